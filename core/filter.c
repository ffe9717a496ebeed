/*
 * Streaming filters. Second-order sections from the analogue Butterworth
 * prototype by the bilinear transform, the corner pre-warped; states in
 * double, because at 0.075 Hz and 100 Hz the poles lie within 0.004 of the
 * unit circle and float would lose the signal.
 * The resampler computes each output's place in the input from absolute
 * times, never by adding steps, so it does not drift however long it runs.
 */
#include "core/filter.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/lanes.h"

#define PI 3.14159265358979323846

/* Below this a state is rest, not signal: keeps denormal arithmetic, some hundred times slower, out of quiet hours. */
#define FLUSH_BELOW 1e-150

/* Up to this rate the input holds nothing above the grid's Nyquist frequency (50 Hz) worth a low-pass and its delay. */
#define NO_LOWPASS_UP_TO_HZ 101.0
#define ANTI_ALIAS_HZ 40.0
#define ANTI_ALIAS_ORDER 4
#define DELAY_AT_HZ 5.0

#define SAME_RATE_HZ 1e-6
#define ON_GRID_NS 100000 /* 0.1 ms */

enum edge { LOW_PASS, HIGH_PASS };

/* Section k of n/2: a pole pair at angle (2k+1) pi / 2n from the imaginary axis, hence Q = 1 / (2 sin(angle)). */
static struct toc_biquad section(enum edge edge, int order, int k, double corner_hz, double rate_hz)
{
    double warped = tan(PI * corner_hz / rate_hz);
    double damping = 2.0 * sin((2 * k + 1) * PI / (2.0 * order)) * warped; /* warped / Q */
    double square = warped * warped;
    double norm = 1.0 / (1.0 + damping + square);
    double b0 = edge == LOW_PASS ? square * norm : norm;

    return (struct toc_biquad){
        .b0 = b0,
        .b1 = edge == LOW_PASS ? 2.0 * b0 : -2.0 * b0,
        .b2 = b0,
        .a1 = 2.0 * (square - 1.0) * norm,
        .a2 = (1.0 - damping + square) * norm,
    };
}

static int append(struct toc_filter *filter, enum edge edge, int order, double corner_hz, double rate_hz)
{
    /* negated, so that NaN fails too */
    if (order < 2 || order % 2 != 0 || filter->n + order / 2 > TOC_BIQUADS_MAX || !isfinite(rate_hz) ||
        !(corner_hz > 0.0 && corner_hz < rate_hz / 2.0))
        return -EINVAL;
    for (int k = 0; k < order / 2; k++)
        filter->stage[filter->n++] = section(edge, order, k, corner_hz, rate_hz);
    return 0;
}

static int design(struct toc_filter *ret_filter, enum edge edge, int order, double corner_hz, double rate_hz)
{
    struct toc_filter filter = {0};
    int rc = append(&filter, edge, order, corner_hz, rate_hz);

    if (rc == 0)
        *ret_filter = filter;
    return rc;
}

int toc_filter_highpass(struct toc_filter *filter, int order, double corner_hz, double rate_hz)
{
    return design(filter, HIGH_PASS, order, corner_hz, rate_hz);
}

int toc_filter_lowpass(struct toc_filter *filter, int order, double corner_hz, double rate_hz)
{
    return design(filter, LOW_PASS, order, corner_hz, rate_hz);
}

int toc_filter_bandpass(struct toc_filter *filter, int order, double low_hz, double high_hz, double rate_hz)
{
    struct toc_filter both = {0};
    int rc;

    if (!(low_hz < high_hz))
        return -EINVAL;
    rc = append(&both, HIGH_PASS, order, low_hz, rate_hz);
    if (rc == 0)
        rc = append(&both, LOW_PASS, order, high_hz, rate_hz);
    if (rc == 0)
        *filter = both;
    return rc;
}

static double rest_or(double state)
{
    return fabs(state) < FLUSH_BELOW ? 0.0 : state;
}

double toc_filter_step(struct toc_filter *filter, double x)
{
    for (int i = 0; i < filter->n; i++) {
        struct toc_biquad *q = &filter->stage[i];
        double y = q->b0 * x + q->z1;

        q->z1 = rest_or(q->b1 * x - q->a1 * y + q->z2);
        q->z2 = rest_or(q->b2 * x - q->a2 * y);
        x = y;
    }
    return x;
}

void toc_filter_reset(struct toc_filter *filter)
{
    for (int i = 0; i < filter->n; i++)
        filter->stage[i].z1 = filter->stage[i].z2 = 0.0;
}

/* The state after x for ever. b0 + b1 + b2 of a high-pass is exactly zero, so its output is exactly zero as well. */
void toc_filter_settle(struct toc_filter *filter, double x)
{
    for (int i = 0; i < filter->n; i++) {
        struct toc_biquad *q = &filter->stage[i];
        double y = x * (q->b0 + q->b1 + q->b2) / (1.0 + q->a1 + q->a2);

        q->z1 = y - q->b0 * x;
        q->z2 = q->b2 * x - q->a2 * y;
        x = y;
    }
}

/* Group delay in samples of c0 + c1/z + c2/z^2: the real part of sum(k ck z^-k) / sum(ck z^-k). */
static double polynomial_delay(double c0, double c1, double c2, double w)
{
    double re = c0 + c1 * cos(w) + c2 * cos(2.0 * w);
    double im = -c1 * sin(w) - c2 * sin(2.0 * w);
    double ramp_re = c1 * cos(w) + 2.0 * c2 * cos(2.0 * w);
    double ramp_im = -c1 * sin(w) - 2.0 * c2 * sin(2.0 * w);

    return (ramp_re * re + ramp_im * im) / (re * re + im * im);
}

static double group_delay_s(const struct toc_filter *filter, double frequency_hz, double rate_hz)
{
    double w = 2.0 * PI * frequency_hz / rate_hz;
    double samples = 0.0;

    for (int i = 0; i < filter->n; i++) {
        const struct toc_biquad *q = &filter->stage[i];

        samples += polynomial_delay(q->b0, q->b1, q->b2, w) - polynomial_delay(1.0, q->a1, q->a2, w);
    }
    return samples / rate_hz;
}

/* Floor and ceiling division by the grid step, right before 1970 too. */
static int64_t grid_floor(toc_ns time)
{
    return time / TOC_GRID_NS - (time % TOC_GRID_NS < 0);
}

static int64_t grid_ceil(toc_ns time)
{
    return time / TOC_GRID_NS + (time % TOC_GRID_NS > 0);
}

/* Far enough from the ends of int64 for a century of samples behind it. */
static bool time_is_usable(toc_ns time)
{
    return time > INT64_MIN / 2 && time < INT64_MAX / 2;
}

int toc_resampler_start(struct toc_resampler *resampler, double rate_hz, toc_ns start)
{
    struct toc_resampler r = {.rate_hz = rate_hz, .start = start};
    int64_t nearest;

    if (!(rate_hz >= 20.0 && rate_hz <= 1000.0) || !time_is_usable(start))
        return -EINVAL;
    nearest = grid_floor(start + TOC_GRID_NS / 2);
    r.pass = fabs(rate_hz - TOC_MODEL_RATE_HZ) < SAME_RATE_HZ &&
             llabs((long long)(start - nearest * TOC_GRID_NS)) <= ON_GRID_NS;
    r.next = nearest;
    r.have_low = rate_hz > NO_LOWPASS_UP_TO_HZ;
    if (r.have_low) {
        int rc = toc_filter_lowpass(&r.low, ANTI_ALIAS_ORDER, ANTI_ALIAS_HZ, rate_hz);

        if (rc < 0)
            return rc;
        r.delay_s = group_delay_s(&r.low, DELAY_AT_HZ, rate_hz);
        r.start -= toc_ns_from_s(r.delay_s);
    }
    if (!r.pass) /* the second input is the first with a neighbour on its left, which the cubic needs */
        r.next = grid_ceil(r.start + toc_ns_from_s(1.0 / rate_hz));
    *resampler = r;
    return 0;
}

/* Cubic through four equally spaced points, at 1 + u for u in [0, 1]: between the two middle ones. */
static double cubic(const double h[4], double u)
{
    double below = u + 1.0, above1 = u - 1.0, above2 = u - 2.0;

    return -h[0] * u * above1 * above2 / 6.0 + h[1] * below * above1 * above2 / 2.0 -
           h[2] * below * u * above2 / 2.0 + h[3] * below * u * above1 / 6.0;
}

static float to_float(double x)
{
    return (float)fmin(fmax(x, -(double)FLT_MAX), (double)FLT_MAX);
}

static void remember(struct toc_resampler *r, double x)
{
    if (r->have_low) {
        if (r->count == 0)
            toc_filter_settle(&r->low, x);
        x = toc_filter_step(&r->low, x);
    }
    memmove(r->history, r->history + 1, 3 * sizeof(r->history[0]));
    r->history[3] = x;
    if (r->filled < 4)
        r->filled++;
}

/* Place of the next grid time among the inputs when `count` have come, from the second newest but one on. */
static double place_of(const struct toc_resampler *r, int64_t next, int64_t count)
{
    double place = (double)(next * TOC_GRID_NS - r->start) * r->rate_hz / (double)TOC_NS_PER_S;

    return place - (double)(count - 3);
}

int toc_resampler_push(struct toc_resampler *r, double x, float *ret_out, int64_t *ret_index)
{
    int written = 0;

    if (!isfinite(x)) /* the ring keeps these out; were one to pass, it must not poison the filter for ever */
        x = r->history[3];
    if (!r->pass)
        remember(r, x);
    else
        r->history[3] = x;
    r->count++;
    *ret_index = r->next;
    if (r->pass) {
        ret_out[0] = to_float(x);
        r->next++;
        return 1;
    }
    for (; r->filled == 4; r->next++) {
        double u = place_of(r, r->next, r->count);

        if (u > 1.0)
            break;
        ret_out[written++] = to_float(cubic(r->history, u));
    }
    return written;
}

static void pass_run(const float *samples, double factor, uint32_t n, float *ret_out)
{
    if (factor == 1.0)
        memcpy(ret_out, samples, n * sizeof(*ret_out));
    else
        for (uint32_t i = 0; i < n; i++)
            ret_out[i] = to_float((double)samples[i] * factor);
}

#define RUN_MAX 256u

/* The inputs of a run behind the three before it, and room for whole lanes behind the last. */
struct run {
    double inputs[RUN_MAX + 3 + TOC_LANES];
    double outputs[RUN_MAX + TOC_LANES];
};

/* As place_of() and cubic(), four grid times at once: the same operations in the same order. */
TOC_LANES_INLINE void interpolate_body(const struct toc_resampler *r, uint32_t n, struct run *run)
{
    for (uint32_t i = 0; i < n; i += TOC_LANES) {
        toc_lanes elapsed, seen;

        for (uint32_t k = 0; k < TOC_LANES; k++) {
            elapsed[k] = (double)((r->next + i + k) * TOC_GRID_NS - r->start);
            seen[k] = (double)(r->count + 1 + i + k - 3);
        }
        toc_lanes u = elapsed * r->rate_hz / (double)TOC_NS_PER_S - seen;
        toc_lanes below = u + 1.0, above1 = u - 1.0, above2 = u - 2.0;
        toc_lanes h0 = toc_lanes_load(run->inputs + i), h1 = toc_lanes_load(run->inputs + i + 1);
        toc_lanes h2 = toc_lanes_load(run->inputs + i + 2), h3 = toc_lanes_load(run->inputs + i + 3);

        toc_lanes_store(run->outputs + i, -h0 * u * above1 * above2 / 6.0 + h1 * below * above1 * above2 / 2.0 -
                                              h2 * below * u * above2 / 2.0 + h3 * below * u * above1 / 6.0);
    }
}

TOC_LANES_KERNEL(interpolate, (const struct toc_resampler *r, uint32_t n, struct run *run), (r, n, run))

/* Well inside: neither this input nor its neighbours could make two outputs or none. */
static bool is_inside(double u)
{
    return u > 1e-3 && u < 1.0 - 1e-3;
}

uint32_t toc_resampler_push_run(struct toc_resampler *r, const float *samples, double factor, uint32_t n, float *ret_out,
                                int64_t *ret_index)
{
    struct run run;

    *ret_index = r->next;
    if (r->pass) {
        pass_run(samples, factor, n, ret_out);
        r->history[3] = (double)samples[n - 1] * factor;
    } else {
        if (n > RUN_MAX || r->have_low || r->rate_hz != TOC_MODEL_RATE_HZ || r->filled < 4 ||
            !is_inside(place_of(r, r->next, r->count + 1)) || !is_inside(place_of(r, r->next + n - 1, r->count + n)))
            return 0;
        memcpy(run.inputs, r->history + 1, 3 * sizeof(run.inputs[0]));
        for (uint32_t i = 0; i < n; i++)
            run.inputs[3 + i] = (double)samples[i] * factor;
        memset(run.inputs + 3 + n, 0, TOC_LANES * sizeof(run.inputs[0]));
        interpolate(r, n, &run);
        for (uint32_t i = 0; i < n; i++)
            ret_out[i] = to_float(run.outputs[i]);
        memcpy(r->history, run.inputs + n - 1, sizeof(r->history));
    }
    r->count += n;
    r->next += n;
    return n;
}
