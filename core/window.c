/*
 * From the grid to the networks. First the picker's features, then the
 * estimator's motion steps; they share nothing but the grid.
 * Every average is exponential with its own weight sum beside it, so the
 * first seconds are true averages of what there is, not ramps from zero.
 *
 * Components are lanes of a vector (core/lanes.h): filters and averages of
 * all three advance in one go. A block is cut into stretches within which no
 * component comes, goes or changes its mind; in a stretch a lane that has
 * nothing to say runs along and is put back to where it was.
 */
#include "core/window.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/lanes.h"

#define FAST_S 0.2
#define SLOW_S 8.0
#define RECENT_S 2.0
#define LONG_S 30.0

#define SLOW_DELAY 100 /* samples: 1 s */
#define DEAD_AFTER 200 /* equal samples: 2 s */

#define FEATURE_LIMIT 12.0

#define STRETCH_MAX 100 /* rows; not above SLOW_DELAY: a stretch never reads what it wrote into the delay line */

/* Below this a state is rest, not signal (core/filter.c); looked at once a stretch, for it takes minutes to get there. */
#define FLUSH_BELOW 1e-150

/* ---- lanes ------------------------------------------------------------------------------------------------- */

/* A section of all components: one design, a state for each. */
struct section {
    double b0, b1, b2, a1, a2;
    double z1[TOC_LANES], z2[TOC_LANES];
};

static struct section section_of(const struct toc_biquad *q)
{
    return (struct section){.b0 = q->b0, .b1 = q->b1, .b2 = q->b2, .a1 = q->a1, .a2 = q->a2};
}

/* The state of a component after x for ever; `through` is what comes out. */
static double section_settle(struct section *s, int lane, double x)
{
    struct toc_filter one = {.n = 1, .stage = {{s->b0, s->b1, s->b2, s->a1, s->a2, 0, 0}}};

    toc_filter_settle(&one, x);
    s->z1[lane] = one.stage[0].z1;
    s->z2[lane] = one.stage[0].z2;
    return x * (s->b0 + s->b1 + s->b2) / (1.0 + s->a1 + s->a2);
}

static void section_rest(struct section *s, int lane)
{
    s->z1[lane] = s->z2[lane] = 0.0;
}

/* A section in registers. */
struct running {
    toc_lanes b0, b1, b2, a1, a2, z1, z2;
};

TOC_LANES_INLINE struct running run_section(const struct section *s)
{
    return (struct running){toc_lanes_all(s->b0), toc_lanes_all(s->b1), toc_lanes_all(s->b2), toc_lanes_all(s->a1),
                            toc_lanes_all(s->a2), toc_lanes_load(s->z1), toc_lanes_load(s->z2)};
}

TOC_LANES_INLINE toc_lanes section_step(struct running *r, toc_lanes x)
{
    toc_lanes y = r->b0 * x + r->z1;

    r->z1 = r->b1 * x - r->a1 * y + r->z2;
    r->z2 = r->b2 * x - r->a2 * y;
    return y;
}

TOC_LANES_INLINE toc_lanes rest_or(toc_lanes state)
{
    return toc_lanes_select(toc_lanes_abs(state) < toc_lanes_all(FLUSH_BELOW), toc_lanes_all(0.0), state);
}

/* Lanes that are not `active` keep what they had. */
TOC_LANES_INLINE void keep_section(struct section *s, const struct running *r, toc_lanes_bits active)
{
    toc_lanes_store(s->z1, toc_lanes_select(active, rest_or(r->z1), toc_lanes_load(s->z1)));
    toc_lanes_store(s->z2, toc_lanes_select(active, rest_or(r->z2), toc_lanes_load(s->z2)));
}

TOC_LANES_INLINE toc_lanes_bits mask_of(const bool active[TOC_COMPONENTS])
{
    return (toc_lanes_bits){-active[0], -active[1], -active[2], 0};
}

/* ---- features ---------------------------------------------------------------------------------------------- */

/* Mean square with exponential memory; weight = 1 - decay^n corrects the start. */
enum { FAST, SLOW, RECENT, LENGTHY, AVERAGES };
static const double memory_s[AVERAGES] = {FAST_S, SLOW_S, RECENT_S, LONG_S};

struct average {
    double decay;
    double sum[TOC_LANES], weight[TOC_LANES];
};

/*
 * One component. It is live from its first movement on (a channel that begins with a constant has not begun) until it
 * stands still for 2 s; NaN makes it a new one. While it stands still its averages are frozen, so that one that comes
 * back is measured against the noise it had, and its filters settle on where it comes back, so that no step is heard.
 */
struct component {
    double delayed[SLOW_DELAY]; /* slow powers of the last second, by count % SLOW_DELAY */
    double first_second;        /* slow power when one second was full */
    double reference;           /* the slow power in force */
    int64_t count;              /* samples since it began */
    bool known, live;
    float last;
    int still;                  /* samples equal to the one before */
};

struct toc_features {
    struct section high, band[2];
    struct average average[AVERAGES];
    struct component component[TOC_COMPONENTS];
};

int toc_features_create(struct toc_features **ret_features)
{
    struct toc_features *features = calloc(1, sizeof(*features));
    struct toc_filter high, band;

    if (!features)
        return -ENOMEM;
    /* constant arguments, within every limit: these cannot fail */
    (void)toc_filter_highpass(&high, 2, 1.0, TOC_MODEL_RATE_HZ);
    (void)toc_filter_bandpass(&band, 2, 2.0, 20.0, TOC_MODEL_RATE_HZ);
    features->high = section_of(&high.stage[0]);
    for (int i = 0; i < 2; i++)
        features->band[i] = section_of(&band.stage[i]);
    for (int i = 0; i < AVERAGES; i++)
        features->average[i].decay = exp(-1.0 / (memory_s[i] * TOC_MODEL_RATE_HZ));
    *ret_features = features;
    return 0;
}

void toc_features_destroy(struct toc_features *features)
{
    free(features);
}

static void forget_component(struct toc_features *features, int c)
{
    features->component[c] = (struct component){.known = false};
    section_rest(&features->high, c);
    for (int i = 0; i < 2; i++)
        section_rest(&features->band[i], c);
    for (int i = 0; i < AVERAGES; i++)
        features->average[i].sum[c] = features->average[i].weight[c] = 0.0;
}

void toc_features_reset(struct toc_features *features)
{
    for (int c = 0; c < TOC_COMPONENTS; c++)
        forget_component(features, c);
}

/* What a sample says of its component. */
enum news { NOTHING, BEGINS, STANDS, GONE };

static enum news note_stillness(struct component *component, float x)
{
    bool moved = component->known && x != component->last, was_live = component->live;

    component->live |= moved;
    component->still = moved || !component->known ? 0 : component->still + 1;
    if (component->still >= DEAD_AFTER) {
        component->live = false;
        component->still = DEAD_AFTER;
    }
    component->known = true;
    component->last = x;
    return component->live == was_live ? NOTHING : was_live ? STANDS : BEGINS;
}

static enum news note(struct component *component, float x)
{
    if (isfinite(x))
        return note_stillness(component, x);
    if (!component->known)
        return NOTHING;
    component->known = component->live = false;
    return GONE;
}

/* `x` is the sample that brought the news. */
static void take_news(struct toc_features *features, int c, enum news news, float x)
{
    if (news == GONE)
        forget_component(features, c);
    if (news != BEGINS)
        return;
    section_settle(&features->high, c, (double)x);
    section_settle(&features->band[1], c, section_settle(&features->band[0], c, (double)x));
}

/* What a stretch computes on its way, by row. Of lanes that are not live: nothing of use. */
struct stretch {
    double x[STRETCH_MAX][TOC_LANES];
    double high[STRETCH_MAX][TOC_LANES];
    double mean[AVERAGES][STRETCH_MAX][TOC_LANES];
    double reference[STRETCH_MAX][TOC_LANES]; /* 0: none */
    double wave[STRETCH_MAX][TOC_LANES], level[STRETCH_MAX][TOC_LANES];
};

TOC_LANES_INLINE void filter_body(struct toc_features *features, const bool live[TOC_COMPONENTS], uint32_t n,
                                  struct stretch *s)
{
    struct running high = run_section(&features->high);
    struct running low_edge = run_section(&features->band[0]), high_edge = run_section(&features->band[1]);
    toc_lanes sum[AVERAGES], weight[AVERAGES], decay[AVERAGES];
    toc_lanes_bits active = mask_of(live);

    for (int i = 0; i < AVERAGES; i++) {
        decay[i] = toc_lanes_all(features->average[i].decay);
        sum[i] = toc_lanes_load(features->average[i].sum);
        weight[i] = toc_lanes_load(features->average[i].weight);
    }
    for (uint32_t row = 0; row < n; row++) {
        toc_lanes x = toc_lanes_load(s->x[row]);
        toc_lanes band = section_step(&high_edge, section_step(&low_edge, x));

        toc_lanes_store(s->high[row], section_step(&high, x));
        for (int i = 0; i < AVERAGES; i++) {
            sum[i] = decay[i] * sum[i] + (1.0 - decay[i]) * (band * band);
            weight[i] = decay[i] * weight[i] + (1.0 - decay[i]);
            toc_lanes_store(s->mean[i][row], sum[i] / weight[i]);
        }
    }
    keep_section(&features->high, &high, active);
    keep_section(&features->band[0], &low_edge, active);
    keep_section(&features->band[1], &high_edge, active);
    for (int i = 0; i < AVERAGES; i++) {
        struct average *a = &features->average[i];

        toc_lanes_store(a->sum, toc_lanes_select(active, sum[i], toc_lanes_load(a->sum)));
        toc_lanes_store(a->weight, toc_lanes_select(active, weight[i], toc_lanes_load(a->weight)));
    }
}

TOC_LANES_KERNEL(filter, (struct toc_features *features, const bool *live, uint32_t n, struct stretch *s),
                 (features, live, n, s))

/*
 * The slow power of a second ago. A younger component has none that old: in its first second it is measured against
 * the present one, then against that of the first full second until the delay line reaches it. Taken from the very
 * first samples instead, where the filters are only beginning to move, it would make every start look like an onset.
 */
static double slow_reference(struct component *component, double now)
{
    double *slot = &component->delayed[component->count % SLOW_DELAY];
    double before = *slot;

    *slot = now;
    if (component->count <= SLOW_DELAY)
        component->first_second = now;
    return component->count < SLOW_DELAY ? now
           : component->count < 2 * SLOW_DELAY ? component->first_second
                                               : before;
}

static void refer(struct component *component, int c, uint32_t n, struct stretch *s)
{
    uint32_t row = 0, at;

    for (; row < n && component->count < 2 * SLOW_DELAY; row++) {
        component->count++;
        s->reference[row][c] = slow_reference(component, s->mean[SLOW][row][c]);
    }
    at = (uint32_t)((component->count + 1) % SLOW_DELAY);
    component->count += n - row;
    for (; row < n; row++, at = at + 1 == SLOW_DELAY ? 0 : at + 1) {
        s->reference[row][c] = component->delayed[at];
        component->delayed[at] = s->mean[SLOW][row][c];
    }
    component->reference = s->reference[n - 1][c];
}

/* The spare lane holds the last pair, over the live components: as `mean[FAST]` and `reference` it goes the same way. */
static void pool(const bool live[TOC_COMPONENTS], uint32_t n, struct stretch *s)
{
    for (uint32_t row = 0; row < n; row++) {
        double recent = 0.0, lengthy = 0.0;

        for (int c = 0; c < TOC_COMPONENTS; c++) {
            recent += live[c] ? s->mean[RECENT][row][c] : 0.0;
            lengthy += live[c] ? s->mean[LENGTHY][row][c] : 0.0;
        }
        s->mean[FAST][row][TOC_COMPONENTS] = recent;
        s->reference[row][TOC_COMPONENTS] = lengthy;
    }
}

/* wave: asinh(high / sqrt(reference)); level: log10 of fast over reference, as amplitudes. 0 when either is at rest. The
 * bounds are wider than the limit of the features and keep every argument a normal number. */
TOC_LANES_INLINE void express_body(uint32_t n, struct stretch *s)
{
    const toc_lanes zero = toc_lanes_all(0.0), one = toc_lanes_all(1.0);

    for (uint32_t row = 0; row < n; row++) {
        toc_lanes reference = toc_lanes_load(s->reference[row]), power = toc_lanes_load(s->mean[FAST][row]);
        toc_lanes_bits measured = reference > zero, both = measured & (power > zero);
        toc_lanes by = toc_lanes_select(measured, reference, one);
        toc_lanes wave = toc_lanes_clamp(toc_lanes_load(s->high[row]) / toc_lanes_sqrt(by), 1e9);
        toc_lanes ratio = toc_lanes_max(toc_lanes_clamp(power / by, 1e30), toc_lanes_all(1e-30));
        toc_lanes level = 0.5 * toc_lanes_log10(ratio);

        wave = toc_lanes_clamp(toc_lanes_asinh(wave), FEATURE_LIMIT);
        toc_lanes_store(s->wave[row], toc_lanes_select(measured, wave, zero));
        toc_lanes_store(s->level[row], toc_lanes_select(both, toc_lanes_clamp(level, FEATURE_LIMIT), zero));
    }
}

TOC_LANES_KERNEL(express, (uint32_t n, struct stretch *s), (n, s))

/* n rows, all with the same components live; the first of them is at enz[.][from]. */
static void push_stretch(struct toc_features *features, const float *const enz[TOC_COMPONENTS], uint32_t from, uint32_t n,
                         const bool live[TOC_COMPONENTS], float *ret_rows)
{
    struct stretch s;

    if (n == 0)
        return;
    for (uint32_t row = 0; row < n; row++) {
        for (int c = 0; c < TOC_COMPONENTS; c++)
            s.x[row][c] = live[c] ? (double)enz[c][from + row] : 0.0;
        s.x[row][TOC_COMPONENTS] = 0.0;
    }
    filter(features, live, n, &s);
    for (int c = 0; c < TOC_COMPONENTS; c++) {
        if (live[c])
            refer(&features->component[c], c, n, &s);
        for (uint32_t row = 0; !live[c] && row < n; row++)
            s.reference[row][c] = 0.0;
    }
    pool(live, n, &s);
    express(n, &s);
    for (uint32_t row = 0; row < n; row++, ret_rows += TOC_FEATURES) {
        for (int c = 0; c < TOC_COMPONENTS; c++) {
            ret_rows[c] = (float)s.wave[row][c];
            ret_rows[TOC_COMPONENTS + c] = (float)s.level[row][c];
        }
        ret_rows[2 * TOC_COMPONENTS] = (float)s.level[row][TOC_COMPONENTS];
    }
}

void toc_features_push_rows(struct toc_features *features, const float *const enz[TOC_COMPONENTS], uint32_t n,
                            float *ret_rows)
{
    bool live[TOC_COMPONENTS];
    uint32_t from = 0;

    for (int c = 0; c < TOC_COMPONENTS; c++)
        live[c] = features->component[c].live;
    for (uint32_t row = 0; row < n; row++) {
        enum news news[TOC_COMPONENTS];
        bool any = false;

        for (int c = 0; c < TOC_COMPONENTS; c++) {
            news[c] = note(&features->component[c], enz[c][row]);
            any |= news[c] != NOTHING;
        }
        if (!any && row - from < STRETCH_MAX)
            continue;
        push_stretch(features, enz, from, row - from, live, ret_rows + from * TOC_FEATURES);
        from = row;
        for (int c = 0; c < TOC_COMPONENTS; c++) {
            take_news(features, c, news[c], enz[c][row]);
            live[c] = features->component[c].live;
        }
    }
    push_stretch(features, enz, from, n - from, live, ret_rows + from * TOC_FEATURES);
}

void toc_features_push(struct toc_features *features, const float enz[TOC_COMPONENTS], float ret_row[TOC_FEATURES])
{
    const float *const rows[TOC_COMPONENTS] = {&enz[0], &enz[1], &enz[2]};

    toc_features_push_rows(features, rows, 1, ret_row);
}

float toc_features_snr_db(const float row[TOC_FEATURES])
{
    const float *level = row + TOC_COMPONENTS;
    float loudest = NAN;

    if (level[TOC_Z] != 0.0f)
        return 20.0f * level[TOC_Z];
    for (int c = 0; c < TOC_Z; c++)
        if (level[c] != 0.0f)
            loudest = fmaxf(loudest, 20.0f * level[c]);
    return loudest;
}

/* ---- motion ------------------------------------------------------------------------------------------------ */

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
