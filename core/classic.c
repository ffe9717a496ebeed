/*
 * STA/LTA and AIC on the 100 Hz grid. The last 2 s of the filtered trace are
 * kept in a ring; the criterion runs over them once per pick, on sums from
 * both ends.
 */
#include "core/classic.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "core/filter.h"

#define RATE ((double)TOC_MODEL_RATE_HZ)
#define LOW_HZ 2.0
#define HIGH_HZ 20.0
#define SHORT_S 0.5
#define LONG_S 10.0
#define TRIGGER ((double)TOC_CLASSIC_TRIGGER)
#define REARM 1.5
#define REARM_SAMPLES (5 * TOC_MODEL_RATE_HZ)
#define CONFIRM_SAMPLES (TOC_MODEL_RATE_HZ / 10)
#define WARMUP_SAMPLES (10 * TOC_MODEL_RATE_HZ)
#define WINDOW (2 * TOC_MODEL_RATE_HZ)
#define RECENT (1 * TOC_MODEL_RATE_HZ)
/* Samples at both ends at which no onset is looked for: a variance of fewer says nothing. */
#define EDGE 5

enum state { ARMED, CONFIRMING, WAITING };

struct toc_classic {
    struct toc_filter band;
    double decay_short, decay_long;   /* per sample */
    double mean_short, mean_long;     /* of the square, from zero */
    double weight_short, weight_long; /* what of the means is signal yet, 0..1 */
    double ratio;
    enum state state;
    int64_t since;         /* samples since the trigger */
    int64_t seen;          /* samples since the reset */
    int64_t index;         /* of the last sample */
    float window[WINDOW];  /* filtered; ring, the sample `index` at index modulo WINDOW */
    float ratios[RECENT];  /* likewise */
};

int toc_classic_create(struct toc_classic **ret_classic)
{
    struct toc_classic *classic = calloc(1, sizeof(*classic));

    if (classic == NULL)
        return -ENOMEM;
    toc_classic_reset(classic);
    *ret_classic = classic;
    return 0;
}

void toc_classic_destroy(struct toc_classic *classic)
{
    free(classic);
}

void toc_classic_reset(struct toc_classic *classic)
{
    *classic =
        (struct toc_classic){.decay_short = exp(-1.0 / (SHORT_S * RATE)), .decay_long = exp(-1.0 / (LONG_S * RATE))};
    toc_filter_bandpass(&classic->band, 2, LOW_HZ, HIGH_HZ, RATE); /* constants: cannot fail */
}

static int64_t place(int64_t index, int64_t n)
{
    int64_t at = index % n;

    return at < 0 ? at + n : at;
}

static double filtered(const struct toc_classic *classic, int64_t index)
{
    return (double)classic->window[place(index, WINDOW)];
}

static double mean(double *sum, double *weight, double decay, double x)
{
    *sum = decay * *sum + (1.0 - decay) * x;
    *weight = decay * *weight + (1.0 - decay);
    return *sum / *weight;
}

/* Ratio after one more sample; 0 where there is nothing to compare with. */
static double update_ratio(struct toc_classic *classic, double x)
{
    double short_term = mean(&classic->mean_short, &classic->weight_short, classic->decay_short, x * x);
    double long_term = mean(&classic->mean_long, &classic->weight_long, classic->decay_long, x * x);

    return long_term > 0.0 ? short_term / long_term : 0.0;
}

struct moments {
    double n, sum, square;
};

static void include(struct moments *moments, double x, double sign)
{
    moments->n += sign;
    moments->sum += sign * x;
    moments->square += sign * x * x;
}

static double log_variance(const struct moments *moments, double floor)
{
    double average = moments->sum / moments->n;

    return log(fmax(moments->square / moments->n - average * average, floor));
}

/* Index of the first sample of the onset, `n` samples back to the last one. Exact zeros (a digital silence before a
 * test pulse) have no variance: the floor, a millionth of the whole, keeps the logarithm finite and the minimum at the
 * edge. */
static int64_t find_onset(struct toc_classic *classic, int64_t n)
{
    struct moments before = {0}, after = {0};
    int64_t first = classic->index - n + 1, best = classic->index;
    double least = INFINITY, floor;

    for (int64_t i = 0; i < n; i++)
        include(&after, filtered(classic, first + i), 1.0);
    floor = fmax(1e-6 * after.square / after.n, 1e-300);
    for (int64_t k = 1; k < n - EDGE; k++) {
        double x = filtered(classic, first + k - 1), criterion;

        include(&before, x, 1.0);
        include(&after, x, -1.0);
        if (k < EDGE)
            continue;
        criterion = (double)k * log_variance(&before, floor) + (double)(n - k - 1) * log_variance(&after, floor);
        if (criterion < least) {
            least = criterion;
            best = first + k;
        }
    }
    return best;
}

static void declare(struct toc_classic *classic, struct toc_pick *ret_pick)
{
    int64_t n = classic->seen < WINDOW ? classic->seen : WINDOW;

    *ret_pick = (struct toc_pick){.phase = TOC_PHASE_P,
                                  .time = find_onset(classic, n) * TOC_GRID_NS,
                                  .sigma_s = TOC_CLASSIC_SIGMA_S,
                                  .probability = TOC_CLASSIC_PROBABILITY,
                                  .declared = classic->index * TOC_GRID_NS,
                                  .method = TOC_METHOD_CLASSICAL,
                                  .snr_db = NAN,
                                  .classical_ratio = toc_classic_recent(classic)};
}

/* ARMED -> ratio rises through the threshold -> CONFIRMING -> 0.1 s -> declare, WAITING -> low, or 5 s -> ARMED */
static int advance(struct toc_classic *classic, double before, struct toc_pick *ret_pick)
{
    classic->since++;
    switch (classic->state) {
    case ARMED:
        if (classic->seen > WARMUP_SAMPLES && before < TRIGGER && classic->ratio >= TRIGGER) {
            classic->state = CONFIRMING;
            classic->since = 0;
        }
        return 0;
    case CONFIRMING:
        if (classic->since < CONFIRM_SAMPLES)
            return 0;
        declare(classic, ret_pick);
        classic->state = WAITING;
        return 1;
    case WAITING:
        if (classic->ratio < REARM || classic->since >= REARM_SAMPLES)
            classic->state = ARMED;
        return 0;
    }
    return 0;
}

int toc_classic_push(struct toc_classic *classic, float z, int64_t index, struct toc_pick *ret_pick)
{
    double before, x;

    if (!isfinite(z)) {
        toc_classic_reset(classic);
        return 0;
    }
    if (classic->seen > 0 && index != classic->index + 1)
        toc_classic_reset(classic);
    if (classic->seen == 0)
        toc_filter_settle(&classic->band, (double)z);
    x = toc_filter_step(&classic->band, (double)z);
    classic->index = index;
    classic->seen++;
    classic->window[place(index, WINDOW)] = (float)x;
    before = classic->ratio;
    classic->ratio = update_ratio(classic, x);
    classic->ratios[place(index, RECENT)] = (float)classic->ratio;
    return advance(classic, before, ret_pick);
}

float toc_classic_recent(const struct toc_classic *classic)
{
    float most = 0;

    for (int i = 0; i < RECENT; i++)
        most = fmaxf(most, classic->ratios[i]);
    return most;
}
