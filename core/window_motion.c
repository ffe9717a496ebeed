/*
 * From the grid to motion steps: a, v, d of all components at once, lanes of
 * a vector (core/lanes.h), and what a step keeps of them.
 */
#include "core/window.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "core/window_sections.h"

#define MOTION_CORNER_HZ 0.075
#define SHORT_PERIOD_CORNER_HZ 0.5
#define PERIOD_CORNER_HZ 3.0
#define PERIOD_MEMORY 0.99 /* a sample */

/* Trapezoid rule, in units of seconds. */
struct integral {
    double sum[TOC_LANES], last[TOC_LANES];
};

/* Of the step in hand. Vertical values are in lane Z, horizontal ones (squares of the vector length) in lane E. */
struct gathered {
    double a[TOC_LANES], v[TOC_LANES], d[TOC_LANES], e[TOC_LANES]; /* largest absolute values */
    double v2[TOC_LANES], d2[TOC_LANES], e2[TOC_LANES];            /* largest squares */
    double sum_v2[TOC_LANES], sum_d2[TOC_LANES];
    double sum_w2[TOC_LANES]; /* of the rate of change of d */
    double period2[TOC_LANES]; /* largest squared predominant period, in samples per radian */
    bool clipped;
};

/* Predominant period: the low-passed velocity, and the decaying sums of its square and of that of its difference. */
struct period {
    struct section low;
    double last[TOC_LANES], value2[TOC_LANES], difference2[TOC_LANES];
};

/* The way from sensor to a, v, d, e. */
struct toc_motion {
    bool acceleration;
    bool known[TOC_COMPONENTS];
    struct section input, velocity, displacement, short_period;
    struct integral to_velocity, to_displacement;
    double last_velocity[TOC_LANES], last_displacement[TOC_LANES];
    struct period period;
    bool started, whole; /* seen a sample; the step in hand was seen from its first one */
    int64_t last_index;
    struct gathered step;
};

int toc_motion_create(struct toc_motion **ret_motion)
{
    struct toc_motion *motion = calloc(1, sizeof(*motion));
    struct toc_filter low, high, slow;

    if (!motion)
        return -ENOMEM;
    /* constant arguments, within every limit: these cannot fail */
    (void)toc_filter_highpass(&low, 2, MOTION_CORNER_HZ, TOC_MODEL_RATE_HZ);
    (void)toc_filter_highpass(&high, 2, SHORT_PERIOD_CORNER_HZ, TOC_MODEL_RATE_HZ);
    (void)toc_filter_lowpass(&slow, 2, PERIOD_CORNER_HZ, TOC_MODEL_RATE_HZ);
    motion->input = motion->velocity = motion->displacement = section_of(&low.stage[0]);
    motion->short_period = section_of(&high.stage[0]);
    motion->period.low = section_of(&slow.stage[0]);
    toc_motion_reset(motion, false);
    *ret_motion = motion;
    return 0;
}

void toc_motion_destroy(struct toc_motion *motion)
{
    free(motion);
}

static void forget_path(struct toc_motion *motion, int c)
{
    motion->known[c] = false;
    section_rest(&motion->input, c);
    section_rest(&motion->velocity, c);
    section_rest(&motion->displacement, c);
    section_rest(&motion->short_period, c);
    motion->to_velocity.sum[c] = motion->to_velocity.last[c] = 0.0;
    motion->to_displacement.sum[c] = motion->to_displacement.last[c] = 0.0;
    motion->last_velocity[c] = motion->last_displacement[c] = 0.0;
    section_rest(&motion->period.low, c);
    motion->period.last[c] = motion->period.value2[c] = motion->period.difference2[c] = 0.0;
}

void toc_motion_reset(struct toc_motion *motion, bool acceleration)
{
    motion->acceleration = acceleration;
    motion->started = motion->whole = false;
    for (int c = 0; c < TOC_COMPONENTS; c++)
        forget_path(motion, c);
    motion->step = (struct gathered){.clipped = false};
}

TOC_LANES_INLINE toc_lanes integrate(toc_lanes *sum, toc_lanes *last, toc_lanes x)
{
    *sum += 0.5 * (x + *last) / (double)TOC_MODEL_RATE_HZ;
    *last = x;
    return *sum;
}

TOC_LANES_INLINE void keep(double lanes[TOC_LANES], toc_lanes x, toc_lanes_bits active)
{
    toc_lanes_store(lanes, toc_lanes_select(active, x, toc_lanes_load(lanes)));
}

TOC_LANES_INLINE void keep_integral(struct integral *integral, toc_lanes sum, toc_lanes last, toc_lanes_bits active)
{
    keep(integral->sum, sum, active);
    keep(integral->last, last, active);
}

/* Squares: the vertical's in its lane, the sum of the horizontals' in the first. */
TOC_LANES_INLINE toc_lanes squares(toc_lanes x)
{
    toc_lanes square = x * x;

    return square + (toc_lanes){square[TOC_N], 0.0, 0.0, 0.0};
}

/* The step in hand, in registers. */
struct gathering {
    toc_lanes a, v, d, e, v2, d2, e2, sum_v2, sum_d2, sum_w2, period2;
};

TOC_LANES_INLINE struct gathering load_step(const struct gathered *s)
{
    return (struct gathering){toc_lanes_load(s->a),      toc_lanes_load(s->v),      toc_lanes_load(s->d),
                              toc_lanes_load(s->e),      toc_lanes_load(s->v2),     toc_lanes_load(s->d2),
                              toc_lanes_load(s->e2),     toc_lanes_load(s->sum_v2), toc_lanes_load(s->sum_d2),
                              toc_lanes_load(s->sum_w2), toc_lanes_load(s->period2)};
}

TOC_LANES_INLINE void store_step(struct gathered *s, const struct gathering *g)
{
    toc_lanes_store(s->a, g->a);
    toc_lanes_store(s->v, g->v);
    toc_lanes_store(s->d, g->d);
    toc_lanes_store(s->e, g->e);
    toc_lanes_store(s->v2, g->v2);
    toc_lanes_store(s->d2, g->d2);
    toc_lanes_store(s->e2, g->e2);
    toc_lanes_store(s->sum_v2, g->sum_v2);
    toc_lanes_store(s->sum_d2, g->sum_d2);
    toc_lanes_store(s->sum_w2, g->sum_w2);
    toc_lanes_store(s->period2, g->period2);
}

TOC_LANES_INLINE void gather(struct gathering *g, toc_lanes a, toc_lanes v, toc_lanes d, toc_lanes e)
{
    toc_lanes v2 = squares(v), d2 = squares(d);

    g->a = toc_lanes_max(g->a, toc_lanes_abs(a));
    g->v = toc_lanes_max(g->v, toc_lanes_abs(v));
    g->d = toc_lanes_max(g->d, toc_lanes_abs(d));
    g->e = toc_lanes_max(g->e, toc_lanes_abs(e));
    g->v2 = toc_lanes_max(g->v2, v2);
    g->d2 = toc_lanes_max(g->d2, d2);
    g->e2 = toc_lanes_max(g->e2, squares(e));
    g->sum_v2 += v2;
    g->sum_d2 += d2;
}

/* Its squared predominant period, in samples per radian. */
TOC_LANES_INLINE toc_lanes period_step(struct running *low, toc_lanes *last, toc_lanes *value2, toc_lanes *difference2,
                                       toc_lanes v)
{
    toc_lanes y = section_step(low, v), difference = y - *last;

    *last = y;
    *value2 = PERIOD_MEMORY * *value2 + y * y;
    *difference2 = PERIOD_MEMORY * *difference2 + difference * difference;
    return *value2 / toc_lanes_max(*difference2, toc_lanes_all(FLUSH_BELOW));
}

TOC_LANES_INLINE toc_lanes present(toc_lanes_bits active, toc_lanes x)
{
    return (toc_lanes)(active & (toc_lanes_bits)x);
}

/* Rows of one step. Only the input section can meet an offset; behind it all starts from rest. */
TOC_LANES_INLINE void move_body(struct toc_motion *m, uint32_t n, const double (*x)[TOC_LANES])
{
    struct running input = run_section(&m->input), velocity = run_section(&m->velocity);
    struct running displacement = run_section(&m->displacement), short_period = run_section(&m->short_period);
    toc_lanes v_sum = toc_lanes_load(m->to_velocity.sum), v_last = toc_lanes_load(m->to_velocity.last);
    toc_lanes d_sum = toc_lanes_load(m->to_displacement.sum), d_last = toc_lanes_load(m->to_displacement.last);
    toc_lanes last = toc_lanes_load(m->last_velocity), last_d = toc_lanes_load(m->last_displacement);
    struct running low = run_section(&m->period.low);
    toc_lanes y = toc_lanes_load(m->period.last), y2 = toc_lanes_load(m->period.value2);
    toc_lanes dy2 = toc_lanes_load(m->period.difference2);
    toc_lanes_bits active = mask_of(m->known);
    struct gathering step = load_step(&m->step);

    for (uint32_t row = 0; row < n; row++) {
        toc_lanes in = section_step(&input, toc_lanes_load(x[row])), a = in, v = in, moved, d, w;

        if (m->acceleration)
            v = section_step(&velocity, integrate(&v_sum, &v_last, in));
        else
            a = (v - last) * (double)TOC_MODEL_RATE_HZ;
        last = v;
        moved = integrate(&d_sum, &d_last, v);
        d = section_step(&displacement, moved);
        w = present(active, d - last_d);
        last_d = d;
        gather(&step, present(active, a), present(active, v), present(active, d),
               present(active, section_step(&short_period, moved)));
        step.sum_w2 += w * w;
        step.period2 = toc_lanes_max(step.period2, present(active, period_step(&low, &y, &y2, &dy2, v)));
    }
    store_step(&m->step, &step);
    keep_section(&m->input, &input, active);
    keep_section(&m->velocity, &velocity, active);
    keep_section(&m->displacement, &displacement, active);
    keep_section(&m->short_period, &short_period, active);
    keep_integral(&m->to_velocity, v_sum, v_last, active);
    keep_integral(&m->to_displacement, d_sum, d_last, active);
    keep_section(&m->period.low, &low, active);
    keep(m->last_velocity, last, active);
    keep(m->last_displacement, last_d, active);
    keep(m->period.last, y, active);
    keep(m->period.value2, rest_or(y2), active);
    keep(m->period.difference2, rest_or(dy2), active);
}

TOC_LANES_KERNEL(move, (struct toc_motion *m, uint32_t n, const double (*x)[TOC_LANES]), (m, n, x))

/* None of these is negative; absurd input must not become infinite. */
static float bounded(double x)
{
    return (float)fmin(x, (double)FLT_MAX);
}

static struct toc_motion_step close_step(const struct gathered *step)
{
    const double rate = (double)TOC_MODEL_RATE_HZ;

    return (struct toc_motion_step){
        .pa_z = bounded(step->a[TOC_Z]),
        .pv_z = bounded(step->v[TOC_Z]),
        .pd_z = bounded(step->d[TOC_Z]),
        .pe_z = bounded(step->e[TOC_Z]),
        .pv_h = bounded(sqrt(step->v2[TOC_E])),
        .pd_h = bounded(sqrt(step->d2[TOC_E])),
        .pe_h = bounded(sqrt(step->e2[TOC_E])),
        .v2_z = bounded(step->sum_v2[TOC_Z] / TOC_STEP_SAMPLES),
        .v2_h = bounded(step->sum_v2[TOC_E] / TOC_STEP_SAMPLES),
        .clipped = step->clipped ? 1.0f : 0.0f,
        .d2_z = bounded(step->sum_d2[TOC_Z] / TOC_STEP_SAMPLES),
        .w2_z = bounded(step->sum_w2[TOC_Z] * rate * rate / TOC_STEP_SAMPLES),
        .tau_p_z = bounded(2.0 * M_PI / rate * sqrt(step->period2[TOC_Z])),
    };
}

/* A missing component is at rest, and new when it returns. @return true: nobody comes or goes with this row */
static bool same_company(const struct toc_motion *motion, const float *const enz[TOC_COMPONENTS], uint32_t row)
{
    bool same = true;

    for (int c = 0; c < TOC_COMPONENTS; c++)
        same &= !isfinite(enz[c][row]) == !motion->known[c];
    return same;
}

static void meet_company(struct toc_motion *motion, const float *const enz[TOC_COMPONENTS], uint32_t row)
{
    for (int c = 0; c < TOC_COMPONENTS; c++) {
        bool here = isfinite(enz[c][row]);

        if (here && !motion->known[c])
            section_settle(&motion->input, c, (double)enz[c][row]);
        if (!here && motion->known[c])
            forget_path(motion, c);
        motion->known[c] = here;
    }
}

/* As many of the rows, up to n, as have the same company. @return how many */
static uint32_t move_together(struct toc_motion *motion, const float *const enz[TOC_COMPONENTS], uint32_t from, uint32_t n)
{
    double x[TOC_STEP_SAMPLES][TOC_LANES];
    uint32_t row = 0;

    meet_company(motion, enz, from);
    for (; row < n && same_company(motion, enz, from + row); row++) {
        for (int c = 0; c < TOC_COMPONENTS; c++)
            x[row][c] = motion->known[c] ? (double)enz[c][from + row] : 0.0;
        x[row][TOC_COMPONENTS] = 0.0;
    }
    move(motion, row, (const double (*)[TOC_LANES])x);
    return row;
}

uint32_t toc_motion_push_rows(struct toc_motion *motion, int64_t first, const float *const enz[TOC_COMPONENTS],
                              const bool *clipped, uint32_t n, struct toc_motion_step *ret_steps)
{
    uint32_t steps = 0;

    if (motion->started && first - 1 != motion->last_index) /* a jump the caller did not announce */
        toc_motion_reset(motion, motion->acceleration);
    motion->started = true;
    motion->last_index = first + n - 1;
    for (uint32_t row = 0; row < n;) {
        uint32_t place = (uint32_t)(((first + row) % TOC_STEP_SAMPLES + TOC_STEP_SAMPLES) % TOC_STEP_SAMPLES);
        uint32_t left = TOC_STEP_SAMPLES - place, took;

        if (place == 0) {
            motion->whole = true;
            motion->step = (struct gathered){.clipped = false};
        }
        took = move_together(motion, enz, row, left < n - row ? left : n - row);
        for (uint32_t i = row; i < row + took; i++)
            motion->step.clipped |= clipped[i];
        row += took;
        if (took == left && motion->whole)
            ret_steps[steps++] = close_step(&motion->step);
    }
    return steps;
}

bool toc_motion_push(struct toc_motion *motion, int64_t index, const float enz[TOC_COMPONENTS], bool clipped,
                     struct toc_motion_step *ret_step)
{
    const float *const rows[TOC_COMPONENTS] = {&enz[0], &enz[1], &enz[2]};
    struct toc_motion_step step;

    if (toc_motion_push_rows(motion, index, rows, &clipped, 1, &step) == 0)
        return false;
    *ret_step = step;
    return true;
}
