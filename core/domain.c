/*
 * Sums while rows come in, ratios when somebody asks. All filters begin at
 * rest on the first row less itself, and every sum is over few seconds, so
 * nothing has to be forgotten.
 */
#include "core/domain.h"

#include <math.h>
#include <string.h>

#include "core/domain_weights.h"
#include "core/lanes.h"

#define GUARD_ROWS 10 /* before the onset: picks come up to so late */
#define STEP_ROWS 10
#define FIRST_ROWS 20
#define DENSE_ROWS 5
#define JUMP_ROWS 10
#define TONE_FROM 12 /* rows since the onset: the sensor has left the noise, the filter its start */
#define NOISE_LEAST 100
#define LEVEL_MOST 4.0f  /* of any logarithm of ratios */
#define ADDED_LEAST 0.01 /* of the noise power: less is not told from none */
#define HALF 0.5f
#define ALONE 2.6f /* one component says less: the odds of foreign are divided by this (models/domain/card.md) */

/* ---- filters ------------------------------------------------------------------------------------------------ */

/* Butterworth, order 2 each edge, at 100 Hz, as toc_filter_highpass() and _lowpass() design them (a test compares): octaves
 * from 0.5 Hz to 32 Hz, then wide from 1 Hz on, whose upper edge is not used. b0 b1 b2 a1 a2 */
static const struct edges {
    double high[5], low[5];
} edges[TOC_DOMAIN_BANDS + 1] = {
    {{0.97803047920656, -1.95606095841312, 0.97803047920656, -1.95557824031504, 0.956543676511203},
     {0.000944691843840151, 0.0018893836876803, 0.000944691843840151, -1.91119706742607, 0.914975834801434}},
    {{0.956543225556877, -1.91308645111375, 0.956543225556877, -1.91119706742607, 0.914975834801434},
     {0.00362168151492864, 0.00724336302985728, 0.00362168151492864, -1.82269492519631, 0.837181651256023}},
    {{0.914969144113083, -1.82993828822617, 0.914969144113083, -1.82269492519631, 0.837181651256023},
     {0.0133592000278565, 0.026718400055713, 0.0133592000278565, -1.64745998107698, 0.700896781188403}},
    {{0.837089190566345, -1.67417838113269, 0.837089190566345, -1.64745998107698, 0.700896781188403},
     {0.0461318020933129, 0.0922636041866259, 0.0461318020933129, -1.30728502884932, 0.491812237222575}},
    {{0.699774316517975, -1.39954863303595, 0.699774316517975, -1.30728502884932, 0.491812237222575},
     {0.145323883877042, 0.290647767754085, 0.145323883877042, -0.671029090774096, 0.252324626282266}},
    {{0.480838429264091, -0.961676858528181, 0.480838429264091, -0.671029090774096, 0.252324626282266},
     {0.434739348284747, 0.869478696569493, 0.434739348284747, 0.519303409225292, 0.219653983913695}},
    {{0.956543225556877, -1.91308645111375, 0.956543225556877, -1.91119706742607, 0.914975834801434},
     {0.80059240346457, 1.60118480692914, 0.80059240346457, 1.56101807580072, 0.641351538057563}},
};
#define WIDE TOC_DOMAIN_BANDS

TOC_LANES_INLINE toc_lanes pass(const double q[5], double z[2][4], toc_lanes x)
{
    toc_lanes y = q[0] * x + toc_lanes_load(z[0]);

    toc_lanes_store(z[0], q[1] * x - q[3] * y + toc_lanes_load(z[1]));
    toc_lanes_store(z[1], q[2] * x - q[4] * y);
    return y;
}

TOC_LANES_INLINE toc_lanes pass_band(struct toc_domain *d, int b, toc_lanes x)
{
    return pass(edges[b].low, d->low_z[b], pass(edges[b].high, d->high_z[b], x));
}

TOC_LANES_INLINE void add_to(double sum[4], toc_lanes x)
{
    toc_lanes_store(sum, toc_lanes_load(sum) + x);
}

TOC_LANES_INLINE void raise_to(double most[4], toc_lanes x)
{
    toc_lanes_store(most, toc_lanes_max(toc_lanes_load(most), x));
}

TOC_LANES_INLINE double total(toc_lanes x)
{
    return x[0] + x[1] + x[2];
}

/* ---- rows --------------------------------------------------------------------------------------------------- */

void toc_domain_start(struct toc_domain *d, int64_t onset, int64_t first)
{
    memset(d, 0, sizeof *d);
    d->onset = onset;
    d->index = first;
}

/* Nothing of a component that went missing may count. */
static void drop_component(struct toc_domain *d, int c)
{
    d->live[c] = false;
    for (int b = 0; b < TOC_DOMAIN_BANDS; b++)
        d->noise_band[b][c] = d->signal_band[b][c] = 0;
    d->noise_wide[c] = d->noise_raw[c] = d->signal_raw[c] = d->signal_sum[c] = d->peak[c] = 0;
    d->signal_wide[c] = d->own[c] = 0;
}

static void begin(struct toc_domain *d, const float enz[TOC_COMPONENTS])
{
    d->started = true;
    for (int c = 0; c < TOC_COMPONENTS; c++) {
        d->live[c] = isfinite(enz[c]);
        d->offset[c] = d->live[c] ? (double)enz[c] : 0;
    }
}

/* Energy by tenths of a second. */
static void note_step(struct toc_domain *d, double energy, uint32_t place, double *most)
{
    d->step += energy;
    if (place % STEP_ROWS != STEP_ROWS - 1)
        return;
    d->step_last = d->step;
    *most = fmax(*most, d->step);
    d->step = 0;
}

static void take_noise(struct toc_domain *d, toc_lanes x, toc_lanes wide)
{
    toc_lanes jump = d->n_noise > 0 ? x - toc_lanes_load(d->last) : toc_lanes_all(0.0);

    add_to(d->noise_raw, x * x);
    add_to(d->noise_sum, x);
    add_to(d->noise_wide, wide * wide);
    d->noise_jumps += total(jump * jump);
    note_step(d, total(wide * wide), d->n_noise++, &d->noise_most);
}

static void take_products(struct toc_domain *d, toc_lanes now)
{
    toc_lanes one = toc_lanes_load(d->last_wide[0]), two = toc_lanes_load(d->last_wide[1]);

    add_to(d->own, now * now);
    add_to(d->one, one * one);
    add_to(d->two, two * two);
    add_to(d->lag_one, now * one);
    add_to(d->lag_two, now * two);
    add_to(d->lag_both, one * two);
}

static void take_jump(struct toc_domain *d, toc_lanes jump)
{
    double dense = 0;

    raise_to(d->jump, jump);
    d->recent_jumps[d->n % JUMP_ROWS] = total(jump * jump);
    d->jumps += total(jump * jump);
    for (int i = 0; i < JUMP_ROWS; i++)
        dense += d->recent_jumps[i];
    d->densest_jumps = fmax(d->densest_jumps, dense);
    d->equal += total(jump) <= 0;
}

static void take_signal(struct toc_domain *d, toc_lanes x, toc_lanes wide)
{
    toc_lanes raw = x - toc_lanes_load(d->noise_sum) / (double)(d->n_noise > 0 ? d->n_noise : 1);
    double energy = total(wide * wide), dense = 0;

    if (d->n == 0)
        d->step = 0;
    add_to(d->signal_raw, raw * raw);
    add_to(d->signal_sum, raw);
    raise_to(d->peak, toc_lanes_abs(raw));
    take_jump(d, toc_lanes_abs(x - toc_lanes_load(d->last)));
    add_to(d->signal_wide, wide * wide);
    if (d->n >= TONE_FROM)
        take_products(d, wide);
    d->recent[d->n % DENSE_ROWS] = energy;
    for (int i = 0; i < DENSE_ROWS; i++)
        dense += d->recent[i];
    d->densest = fmax(d->densest, dense);
    d->first += d->n < FIRST_ROWS ? energy : 0;
    note_step(d, energy, d->n++, &d->step_most);
}

void toc_domain_push(struct toc_domain *d, const float enz[TOC_COMPONENTS])
{
    bool is_signal, is_noise;
    double row[4] = {0};
    toc_lanes x, wide;

    if (!d->started)
        begin(d, enz);
    if (d->n >= TOC_DOMAIN_ROWS_MAX) {
        d->index++;
        return;
    }
    for (int c = 0; c < TOC_COMPONENTS; c++) {
        if (d->live[c] && !isfinite(enz[c]))
            drop_component(d, c);
        row[c] = d->live[c] ? (double)enz[c] - d->offset[c] : 0;
    }
    x = toc_lanes_load(row);
    wide = pass(edges[WIDE].high, d->high_z[WIDE], x);
    is_signal = d->index >= d->onset;
    is_noise = d->index < d->onset - GUARD_ROWS;
    for (int b = 0; b < TOC_DOMAIN_BANDS; b++) {
        toc_lanes y = pass_band(d, b, x);

        if (is_signal || is_noise)
            add_to(is_signal ? d->signal_band[b] : d->noise_band[b], y * y);
    }
    if (is_signal)
        take_signal(d, x, wide);
    else if (is_noise)
        take_noise(d, x, wide);
    toc_lanes_store(d->last, x);
    toc_lanes_store(d->last_wide[1], toc_lanes_load(d->last_wide[0]));
    toc_lanes_store(d->last_wide[0], wide);
    d->index++;
}

/* ---- measures ----------------------------------------------------------------------------------------------- */

static float level(double x)
{
    return fminf(fmaxf((float)log10(fmax(x, 1e-30)), -LEVEL_MOST), LEVEL_MOST);
}

/* Half the logarithm of a power is that of the amplitude. */
static float amplitude(double power)
{
    return fminf(fmaxf(0.5f * (float)log10(fmax(power, 1e-30)), -LEVEL_MOST), LEVEL_MOST);
}

static double sum3(const double x[4])
{
    return x[0] + x[1] + x[2];
}

/* What is left when noise of this power is taken off; some of it always is. */
static double added(double signal, double noise)
{
    return fmax(signal - noise, ADDED_LEAST * noise);
}

static void measure_bands(const struct toc_domain *d, float *ret)
{
    double colour[TOC_DOMAIN_BANDS], strongest = 0;

    for (int b = 0; b < TOC_DOMAIN_BANDS; b++) {
        double noise = sum3(d->noise_band[b]) / d->n_noise, signal = sum3(d->signal_band[b]) / d->n;

        colour[b] = added(signal, noise);
        strongest = fmax(strongest, colour[b]);
        ret[1 + b] = amplitude(noise > 0 ? signal / noise : 1);
    }
    for (int b = 0; b < TOC_DOMAIN_BANDS; b++)
        ret[7 + b] = strongest > 0 ? amplitude(colour[b] / strongest) : 0;
}

/* @return the component with the most added */
static int measure_components(const struct toc_domain *d, float *ret)
{
    double power[TOC_COMPONENTS] = {0}, all = 0, most = 0;
    int n = 0, loudest = TOC_Z;

    for (int c = 0; c < TOC_COMPONENTS; c++) {
        n += d->live[c];
        power[c] = added(d->signal_wide[c] / d->n, d->noise_wide[c] / d->n_noise);
        all += power[c];
        if (power[c] > most) {
            most = power[c];
            loudest = c;
        }
    }
    ret[13] = n > 1 && all > 0 ? (float)(most / all) : 1;
    ret[14] = n > 1 && all > 0 && d->live[TOC_Z] ? (float)(power[TOC_Z] / all) : HALF;
    ret[15] = n > 1 ? 0 : 1;
    return loudest;
}

static void measure_course(const struct toc_domain *d, float *ret)
{
    double all = sum3(d->signal_wide), strongest = fmax(d->step_most, d->step);
    double newest = d->n >= STEP_ROWS ? d->step_last : d->step;

    ret[16] = all > 0 ? (float)fmin(d->densest / all, 1) : 0;
    ret[17] = strongest > 0 ? amplitude(newest / strongest) : 0;
    ret[23] = amplitude(d->noise_most / STEP_ROWS / (sum3(d->noise_wide) / d->n_noise));
    ret[24] = all > 0 ? amplitude(d->first / (d->n < FIRST_ROWS ? d->n : FIRST_ROWS) / (all / d->n)) : 0;
    ret[25] = (float)d->equal / (float)d->n;
    ret[26] = ret[27] = 0;
    if (d->n > 2 * JUMP_ROWS && d->noise_jumps > 0) {
        double noise = d->noise_jumps / d->n_noise;

        ret[26] = amplitude((d->jumps - d->densest_jumps) / (d->n - JUMP_ROWS) / noise);
        ret[27] = amplitude(d->densest_jumps / JUMP_ROWS / noise);
    }
}

/* x_t = p x_t-1 + q x_t-2 by least squares. */
static void measure_tone(const struct toc_domain *d, int c, float *ret)
{
    double det = d->one[c] * d->two[c] - d->lag_both[c] * d->lag_both[c], p, q, cosine;

    ret[18] = ret[19] = 0;
    if (d->n < TONE_FROM + 8 || !(d->own[c] > 0) || !(det > 0))
        return;
    p = (d->lag_one[c] * d->two[c] - d->lag_two[c] * d->lag_both[c]) / det;
    q = (d->lag_two[c] * d->one[c] - d->lag_one[c] * d->lag_both[c]) / det;
    cosine = d->lag_one[c] / sqrt(d->own[c] * d->one[c]);
    ret[18] = level((d->own[c] - p * d->lag_one[c] - q * d->lag_two[c]) / d->own[c]);
    ret[19] = level(acos(fmin(fmax(cosine, -0.99999), 0.99999)) / (2 * M_PI) * TOC_MODEL_RATE_HZ);
}

static void measure_raw(const struct toc_domain *d, float *ret)
{
    int widest = TOC_Z;
    double rms, noise;

    for (int c = 0; c < TOC_COMPONENTS; c++)
        if (d->peak[c] > d->peak[widest])
            widest = c;
    rms = sqrt(d->signal_raw[widest] / d->n);
    noise = d->noise_raw[widest] / d->n_noise - pow(d->noise_sum[widest] / d->n_noise, 2);
    ret[20] = rms > 0 ? (float)(fabs(d->signal_sum[widest]) / d->n / rms) : 0;
    ret[21] = noise > 0 ? level(d->peak[widest] / sqrt(noise)) : 0;
    ret[22] = d->peak[widest] > 0 ? level(d->jump[widest] / d->peak[widest]) : 0;
}

bool toc_domain_measure(const struct toc_domain *d, float ret_measures[TOC_DOMAIN_MEASURES])
{
    if (d->n == 0 || d->n_noise < NOISE_LEAST || !(sum3(d->noise_wide) > 0))
        return false;
    ret_measures[0] = level((double)d->n / TOC_MODEL_RATE_HZ);
    measure_bands(d, ret_measures);
    int loudest = measure_components(d, ret_measures);
    measure_course(d, ret_measures);
    measure_tone(d, loudest, ret_measures);
    measure_raw(d, ret_measures);
    for (int i = 0; i < TOC_DOMAIN_MEASURES; i++) {
        if (!isfinite(ret_measures[i])) /* absurd input: sums that left the range of doubles */
            return false;
        ret_measures[i] = fminf(fmaxf(ret_measures[i], -LEVEL_MOST), LEVEL_MOST);
    }
    return true;
}

/* ---- the network -------------------------------------------------------------------------------------------- */

static void hidden_layer(const float *measures, float ret[HIDDEN])
{
    for (int h = 0; h < HIDDEN; h++) {
        float sum = hidden_bias[h];

        for (int i = 0; i < TOC_DOMAIN_MEASURES; i++)
            sum += hidden_weight[h][i] * (measures[i] - measure_mean[i]) * measure_scale[i];
        ret[h] = fmaxf(sum, 0);
    }
}

/* Probabilities by class; that of UNKNOWN is 0. */
static void class_layer(const float hidden[HIDDEN], float ret[TOC_DOMAIN_CLASSES])
{
    float most = -INFINITY, sum = 0;

    for (int k = 1; k < TOC_DOMAIN_CLASSES; k++) {
        ret[k] = class_bias[k - 1];
        for (int h = 0; h < HIDDEN; h++)
            ret[k] += class_weight[k - 1][h] * hidden[h];
        most = fmaxf(most, ret[k]);
    }
    for (int k = 1; k < TOC_DOMAIN_CLASSES; k++)
        sum += ret[k] = expf(ret[k] - most);
    for (int k = 1; k < TOC_DOMAIN_CLASSES; k++)
        ret[k] /= sum;
    ret[TOC_DOMAIN_UNKNOWN] = 0;
}

struct toc_verdict toc_domain_judge(const struct toc_domain *d)
{
    float measures[TOC_DOMAIN_MEASURES], hidden[HIDDEN], p[TOC_DOMAIN_CLASSES];
    struct toc_verdict verdict = {.kind = TOC_DOMAIN_UNKNOWN};
    int best = TOC_DOMAIN_LOCAL;

    if (!toc_domain_measure(d, measures))
        return verdict;
    hidden_layer(measures, hidden);
    class_layer(hidden, p);
    for (int k = 1; k < TOC_DOMAIN_CLASSES; k++)
        if (p[k] > p[best])
            best = k;
    verdict.kind = p[best] >= HALF ? (enum toc_domain_class)best : TOC_DOMAIN_UNKNOWN;
    verdict.probability = p[best];
    verdict.foreign = fminf(p[TOC_DOMAIN_TELESEISM] + p[TOC_DOMAIN_NOISE] + p[TOC_DOMAIN_CALIBRATION], 1);
    if (measures[15] > 0)
        verdict.foreign /= verdict.foreign + ALONE * (1 - verdict.foreign);
    return verdict;
}

const char *toc_domain_str(enum toc_domain_class kind)
{
    static const char *const text[TOC_DOMAIN_CLASSES] = {"unknown", "local quake", "teleseism",
                                                         "blast",   "noise",       "calibration"};

    return kind < TOC_DOMAIN_CLASSES ? text[kind] : "unknown";
}
