/*
 * From the grid to the networks. First the picker's features, then the
 * estimator's motion steps; they share nothing but the grid.
 * Every average is exponential with its own weight sum beside it, so the
 * first seconds are true averages of what there is, not ramps from zero.
 */
#include "core/window.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#define FAST_S 0.2
#define SLOW_S 8.0
#define RECENT_S 2.0
#define LONG_S 30.0

#define SLOW_DELAY 100 /* samples: 1 s */
#define DEAD_AFTER 200 /* equal samples: 2 s */

#define FEATURE_LIMIT 12.0

/* Mean square with exponential memory; weight = 1 - decay^n corrects the start. */
struct average {
    double decay;
    double sum, weight;
};

static struct average average_of(double memory_s)
{
    return (struct average){.decay = exp(-1.0 / (memory_s * TOC_MODEL_RATE_HZ))};
}

static void average_add(struct average *average, double power)
{
    average->sum = average->decay * average->sum + (1.0 - average->decay) * power;
    average->weight = average->decay * average->weight + (1.0 - average->decay);
}

static double average_value(const struct average *average)
{
    return average->weight > 0.0 ? average->sum / average->weight : 0.0;
}

/*
 * One component. It is live from its first movement on (a channel that begins with a constant has not begun) until it
 * stands still for 2 s; NaN makes it a new one. While it stands still its averages are frozen, so that one that comes
 * back is measured against the noise it had, and its filters settle on where it comes back, so that no step is heard.
 */
struct component {
    struct toc_filter high, band;
    struct average fast, slow, recent, lengthy;
    double delayed[SLOW_DELAY]; /* slow powers of the last second, by count % SLOW_DELAY */
    double first_second;        /* slow power when one second was full */
    double reference;           /* the slow power in force */
    int64_t count;              /* samples since it began */
    bool known, live;
    float last;
    int still;                  /* samples equal to the one before */
};

struct toc_features {
    struct component blank; /* filters designed, nothing seen */
    struct component component[TOC_COMPONENTS];
};

int toc_features_create(struct toc_features **ret_features)
{
    struct toc_features *features = calloc(1, sizeof(*features));
    struct component *blank;

    if (!features)
        return -ENOMEM;
    blank = &features->blank;
    /* constant arguments, within every limit: these cannot fail */
    (void)toc_filter_highpass(&blank->high, 2, 1.0, TOC_MODEL_RATE_HZ);
    (void)toc_filter_bandpass(&blank->band, 2, 2.0, 20.0, TOC_MODEL_RATE_HZ);
    blank->fast = average_of(FAST_S);
    blank->slow = average_of(SLOW_S);
    blank->recent = average_of(RECENT_S);
    blank->lengthy = average_of(LONG_S);
    toc_features_reset(features);
    *ret_features = features;
    return 0;
}

void toc_features_destroy(struct toc_features *features)
{
    free(features);
}

void toc_features_reset(struct toc_features *features)
{
    for (int c = 0; c < TOC_COMPONENTS; c++)
        features->component[c] = features->blank;
}

static void note_stillness(struct component *component, float x)
{
    bool moved = component->known && x != component->last;

    if (moved && !component->live) {
        component->live = true;
        toc_filter_settle(&component->high, x);
        toc_filter_settle(&component->band, x);
    }
    component->still = moved || !component->known ? 0 : component->still + 1;
    if (component->still >= DEAD_AFTER) {
        component->live = false;
        component->still = DEAD_AFTER;
    }
    component->known = true;
    component->last = x;
}

/*
 * The slow power of a second ago. A younger component has none that old: in its first second it is measured against
 * the present one, then against that of the first full second until the delay line reaches it. Taken from the very
 * first samples instead, where the filters are only beginning to move, it would make every start look like an onset.
 */
static double slow_reference(struct component *component)
{
    double now = average_value(&component->slow);
    double *slot = &component->delayed[component->count % SLOW_DELAY];
    double before = *slot;

    *slot = now;
    if (component->count <= SLOW_DELAY)
        component->first_second = now;
    return component->count < SLOW_DELAY ? now
           : component->count < 2 * SLOW_DELAY ? component->first_second
                                               : before;
}

static float limited(double value)
{
    return (float)fmin(fmax(value, -FEATURE_LIMIT), FEATURE_LIMIT);
}

/* log10 of the ratio of two amplitudes, given as powers; none when either is at rest. */
static float log_ratio(double power, double reference)
{
    return power > 0.0 && reference > 0.0 ? limited(0.5 * log10(power / reference)) : 0.0f;
}

static void component_push(struct component *component, float x, float *ret_wave, float *ret_level)
{
    double high, band;

    *ret_wave = *ret_level = 0.0f;
    note_stillness(component, x);
    if (!component->live)
        return;
    high = toc_filter_step(&component->high, x);
    band = toc_filter_step(&component->band, x);
    average_add(&component->fast, band * band);
    average_add(&component->slow, band * band);
    average_add(&component->recent, band * band);
    average_add(&component->lengthy, band * band);
    component->count++;
    component->reference = slow_reference(component);
    if (component->reference > 0.0)
        *ret_wave = limited(asinh(high / sqrt(component->reference)));
    *ret_level = log_ratio(average_value(&component->fast), component->reference);
}

void toc_features_push(struct toc_features *features, const float enz[TOC_COMPONENTS], float ret_row[TOC_FEATURES])
{
    double recent = 0.0, lengthy = 0.0;

    for (int c = 0; c < TOC_COMPONENTS; c++) {
        struct component *component = &features->component[c];

        if (!isfinite(enz[c])) {
            if (component->known)
                *component = features->blank;
            ret_row[c] = ret_row[TOC_COMPONENTS + c] = 0.0f;
            continue;
        }
        component_push(component, enz[c], &ret_row[c], &ret_row[TOC_COMPONENTS + c]);
        if (component->live) {
            recent += average_value(&component->recent);
            lengthy += average_value(&component->lengthy);
        }
    }
    ret_row[2 * TOC_COMPONENTS] = log_ratio(recent, lengthy);
}

static float component_snr_db(const struct component *component)
{
    double fast = average_value(&component->fast);

    if (!component->live || component->count < SLOW_DELAY || !(fast > 0.0) || !(component->reference > 0.0))
        return NAN;
    return (float)(10.0 * log10(fast / component->reference));
}

float toc_features_snr_db(const struct toc_features *features)
{
    float vertical = component_snr_db(&features->component[TOC_Z]);

    if (!isnan(vertical) || features->component[TOC_Z].live)
        return vertical;
    return fmaxf(component_snr_db(&features->component[TOC_E]), component_snr_db(&features->component[TOC_N]));
}

#define MOTION_CORNER_HZ 0.075
#define SHORT_PERIOD_CORNER_HZ 0.5

/* Trapezoid rule, in units of seconds. */
struct integral {
    double sum, last;
};

/* One component's way from sensor to a, v, d, e. */
struct motion_path {
    bool known;
    struct toc_filter input, velocity, displacement, short_period;
    struct integral to_velocity, to_displacement;
    double last_velocity;
};

struct motion_sample {
    double a, v, d, e;
};

struct toc_motion {
    bool acceleration;
    struct motion_path blank;
    struct motion_path path[TOC_COMPONENTS];
    bool started, whole;   /* seen a sample; the step in hand was seen from its first one */
    int64_t last_index;
    bool clipped;
    struct motion_sample peak_z, peak_h; /* h: squares of the vector length */
    double sum_z, sum_h;                 /* of squared velocity */
};

static double integrate(struct integral *integral, double x)
{
    integral->sum += 0.5 * (x + integral->last) / TOC_MODEL_RATE_HZ;
    integral->last = x;
    return integral->sum;
}

int toc_motion_create(struct toc_motion **ret_motion)
{
    struct toc_motion *motion = calloc(1, sizeof(*motion));
    struct motion_path *blank;

    if (!motion)
        return -ENOMEM;
    blank = &motion->blank;
    /* constant arguments, within every limit: these cannot fail */
    (void)toc_filter_highpass(&blank->input, 2, MOTION_CORNER_HZ, TOC_MODEL_RATE_HZ);
    (void)toc_filter_highpass(&blank->short_period, 2, SHORT_PERIOD_CORNER_HZ, TOC_MODEL_RATE_HZ);
    blank->velocity = blank->displacement = blank->input;
    toc_motion_reset(motion, false);
    *ret_motion = motion;
    return 0;
}

void toc_motion_destroy(struct toc_motion *motion)
{
    free(motion);
}

static void open_step(struct toc_motion *motion)
{
    motion->clipped = false;
    motion->peak_z = motion->peak_h = (struct motion_sample){0};
    motion->sum_z = motion->sum_h = 0.0;
}

void toc_motion_reset(struct toc_motion *motion, bool acceleration)
{
    motion->acceleration = acceleration;
    motion->started = motion->whole = false;
    for (int c = 0; c < TOC_COMPONENTS; c++)
        motion->path[c] = motion->blank;
    open_step(motion);
}

/* Only the input filter can meet an offset; behind it everything starts from rest. */
static struct motion_sample path_push(struct motion_path *path, bool acceleration, double x)
{
    struct motion_sample m;
    double input, displacement;

    if (!path->known)
        toc_filter_settle(&path->input, x);
    path->known = true;
    input = toc_filter_step(&path->input, x);
    if (acceleration) {
        m.a = input;
        m.v = toc_filter_step(&path->velocity, integrate(&path->to_velocity, input));
    } else {
        m.v = input;
        m.a = (m.v - path->last_velocity) * TOC_MODEL_RATE_HZ;
        path->last_velocity = m.v;
    }
    displacement = integrate(&path->to_displacement, m.v);
    m.d = toc_filter_step(&path->displacement, displacement);
    m.e = toc_filter_step(&path->short_period, displacement);
    return m;
}

/* A missing component is at rest, and new when it returns. */
static struct motion_sample component_motion(struct toc_motion *motion, int c, float x)
{
    if (isfinite(x))
        return path_push(&motion->path[c], motion->acceleration, x);
    if (motion->path[c].known)
        motion->path[c] = motion->blank;
    return (struct motion_sample){0};
}

static void collect(struct toc_motion *motion, const float enz[TOC_COMPONENTS])
{
    struct motion_sample e = component_motion(motion, TOC_E, enz[TOC_E]);
    struct motion_sample n = component_motion(motion, TOC_N, enz[TOC_N]);
    struct motion_sample z = component_motion(motion, TOC_Z, enz[TOC_Z]);
    struct motion_sample *peak = &motion->peak_z;
    double v2_h = e.v * e.v + n.v * n.v;

    peak->a = fmax(peak->a, fabs(z.a));
    peak->v = fmax(peak->v, fabs(z.v));
    peak->d = fmax(peak->d, fabs(z.d));
    peak->e = fmax(peak->e, fabs(z.e));
    motion->peak_h.v = fmax(motion->peak_h.v, v2_h);
    motion->peak_h.d = fmax(motion->peak_h.d, e.d * e.d + n.d * n.d);
    motion->peak_h.e = fmax(motion->peak_h.e, e.e * e.e + n.e * n.e);
    motion->sum_z += z.v * z.v;
    motion->sum_h += v2_h;
}

/* None of these is negative; absurd input must not become infinite. */
static float bounded(double x)
{
    return (float)fmin(x, (double)FLT_MAX);
}

static struct toc_motion_step close_step(const struct toc_motion *motion)
{
    return (struct toc_motion_step){
        .pa_z = bounded(motion->peak_z.a),
        .pv_z = bounded(motion->peak_z.v),
        .pd_z = bounded(motion->peak_z.d),
        .pe_z = bounded(motion->peak_z.e),
        .pv_h = bounded(sqrt(motion->peak_h.v)),
        .pd_h = bounded(sqrt(motion->peak_h.d)),
        .pe_h = bounded(sqrt(motion->peak_h.e)),
        .v2_z = bounded(motion->sum_z / TOC_STEP_SAMPLES),
        .v2_h = bounded(motion->sum_h / TOC_STEP_SAMPLES),
        .clipped = motion->clipped ? 1.0f : 0.0f,
    };
}

bool toc_motion_push(struct toc_motion *motion, int64_t index, const float enz[TOC_COMPONENTS], bool clipped,
                     struct toc_motion_step *ret_step)
{
    int64_t place = index % TOC_STEP_SAMPLES;

    if (place < 0)
        place += TOC_STEP_SAMPLES;
    if (motion->started && index - 1 != motion->last_index) /* a jump the caller did not announce */
        toc_motion_reset(motion, motion->acceleration);
    motion->started = true;
    motion->last_index = index;
    if (place == 0) {
        motion->whole = true;
        open_step(motion);
    }
    motion->clipped |= clipped;
    collect(motion, enz);
    if (!motion->whole || place != TOC_STEP_SAMPLES - 1)
        return false;
    *ret_step = close_step(motion);
    return true;
}
