/*
 * From the grid to the picker's features. Every average is exponential with
 * its own weight sum beside it, so the first seconds are true averages of
 * what there is, not ramps from zero.
 *
 * Components are lanes of a vector (core/lanes.h): filters and averages of
 * all three advance in one go. A block is cut into stretches within which no
 * component comes, goes or changes its mind; in a stretch a lane that has
 * nothing to say runs along and is put back to where it was.
 */
#include "core/window.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/window_sections.h"

#define FAST_S 0.2
#define SLOW_S 8.0
#define RECENT_S 2.0
#define LONG_S 30.0

#define SLOW_DELAY 100 /* samples: 1 s */
#define DEAD_AFTER 200 /* equal samples: 2 s */

#define FEATURE_LIMIT 12.0

#define STRETCH_MAX 100 /* rows; not above SLOW_DELAY: a stretch never reads what it wrote into the delay line */

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
