/*
 * Feeds one arrival to the recurrent network step by step. The state of
 * the network is the whole memory: nothing is ever computed twice, so an
 * estimate every 0.1 s costs a few thousand multiplications.
 */
#include "core/estimator.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEP_S 0.1f

#define LOG_FLOOR (-10.0f) /* a tenth of a nanometre (per second): below any sensor */
#define LOG_CEILING 3.0f
#define REFERENCE_NOISE (-6.0f) /* log10 m/s, pv_z before P when the gain is not known */

/* What the network may say: outside it is a sign of input it never saw, not of knowledge. */
#define MAGNITUDE_LEAST (-2.0f)
#define MAGNITUDE_MOST 10.0f
#define SIGMA_LEAST 0.1f
#define SIGMA_MOST 2.0f
#define SP_LEAST_LOG (-1.0f)
#define SP_MOST_LOG 2.0f
#define SP_SIGMA_MOST_LOG 1.0f
/* Of S - P as an origin in the making puts it: onsets, and a few km. */
#define EXPECTED_SIGMA_S 0.3f
#define EXPECTED_SHARE 0.08f


#define DISTANCE_LEAST_KM 5.0
#define DISTANCE_MOST_KM 300.0
#define DISTANCE_MIDDLE_LOG 1.5
#define UPPER_SIGMAS 2.0

struct toc_estimator {
    const struct toc_model *model;     /* borrowed; NULL: none */
    struct toc_model_stream *stream;   /* owned */
    struct toc_pick pick;
    struct toc_arrival arrival;
    bool started, gain_known;
    float observed_sp_s;               /* NAN until S is noted */
    struct toc_expected expected;      /* by the newest origin */
    float expected_sp_s;               /* NAN until there is one */
};

/* --- the arrival --------------------------------------------------------------------------------------------- */

static float larger(float peak, float x)
{
    return isfinite(x) && x > peak ? x : peak;
}

static float positive(float x)
{
    return isfinite(x) && x > 0 ? x : 0;
}

void toc_arrival_start(struct toc_arrival *arrival, toc_ns onset, const struct toc_motion_step *noise, size_t n_noise)
{
    memset(arrival, 0, sizeof *arrival);
    toc_pparam_start(&arrival->p, onset, noise, n_noise);
    arrival->horizontals = arrival->p.noise_pv_h > 0;
}

void toc_arrival_step(struct toc_arrival *arrival, const struct toc_motion_step *step)
{
    const uint32_t n = arrival->p.n;

    toc_pparam_step(&arrival->p, step);
    arrival->pv_h = larger(arrival->pv_h, step->pv_h);
    arrival->pd_h = larger(arrival->pd_h, step->pd_h);
    arrival->pe_h = larger(arrival->pe_h, step->pe_h);
    arrival->horizontals |= step->pv_h > 0;
    arrival->last = *step;
    if (n < TOC_PPARAM_STEPS_MAX)
        arrival->iv2_h[n] = STEP_S * positive(step->v2_h) + (n > 0 ? arrival->iv2_h[n - 1] : 0);
}

/* --- the row ------------------------------------------------------------------------------------------------- */

static float level(float x, float shift)
{
    if (!(x > 0))
        return LOG_FLOOR;
    return fminf(fmaxf(log10f(x) + shift, LOG_FLOOR), LOG_CEILING);
}

static float gain_shift(const struct toc_pparam *p, bool gain_known)
{
    return gain_known || !(p->noise.pv_ms > 0) ? 0 : REFERENCE_NOISE - log10f(p->noise.pv_ms);
}

/* Steps of P alone; of an S that seems to come with P, the first. */
static uint32_t steps_of_p(const struct toc_pparam *p)
{
    uint32_t n = p->n < p->guard ? p->n : p->guard;

    n = n > 0 ? n : 1;
    return n < TOC_PPARAM_STEPS_MAX ? n : TOC_PPARAM_STEPS_MAX;
}

static void p_alone(const struct toc_arrival *a, float shift, float *ret_row)
{
    const uint32_t n = steps_of_p(&a->p);
    const struct toc_peaks *peaks = &a->p.history[n - 1];

    ret_row[0] = level(peaks->pv_ms, shift);
    ret_row[1] = level(peaks->pe_m, shift);
    ret_row[2] = level(peaks->pd_m, shift);
    ret_row[3] = level(peaks->pa_ms2, shift);
    ret_row[4] = level(sqrtf(peaks->iv2_m2s / (STEP_S * (float)n)), shift);
    ret_row[5] = level(sqrtf(a->iv2_h[n - 1] / (STEP_S * (float)n)), shift);
}

static void with_s(const struct toc_arrival *a, float shift, float *ret_row)
{
    const struct toc_motion_step *step = &a->last;

    ret_row[0] = level(a->p.so_far.pv_ms, shift);
    ret_row[1] = level(a->p.so_far.pe_m, shift);
    ret_row[2] = level(a->p.so_far.pd_m, shift);
    ret_row[3] = level(a->pv_h, shift);
    ret_row[4] = level(a->pe_h, shift);
    ret_row[5] = level(a->pd_h, shift);
    ret_row[6] = level(step->pv_z, shift);
    ret_row[7] = level(step->pe_z, shift);
    ret_row[8] = level(step->pv_h, shift);
    ret_row[9] = level(step->pe_h, shift);
    ret_row[10] = level(sqrtf(positive(step->v2_z)), shift);
    ret_row[11] = level(sqrtf(positive(step->v2_h)), shift);
}

static void before_p(const struct toc_arrival *a, float shift, float *ret_row)
{
    ret_row[0] = level(a->p.noise.pv_ms, shift);
    ret_row[1] = level(a->p.noise.pe_m, shift);
    ret_row[2] = level(a->p.noise.pd_m, shift);
    ret_row[3] = level(a->p.noise_pv_h, shift);
    ret_row[4] = level(sqrtf(a->p.noise.iv2_m2s / (STEP_S * fmaxf((float)a->p.n_noise, 1))), shift);
}

void toc_estimator_inputs(const struct toc_arrival *arrival, bool gain_known, float ret_row[TOC_ESTIMATOR_INPUTS])
{
    const struct toc_pparam *p = &arrival->p;
    const float shift = gain_shift(p, gain_known);
    const double of_p_s = p->first_s + 0.1 * (steps_of_p(p) - 1);

    p_alone(arrival, shift, ret_row);
    with_s(arrival, shift, ret_row + 6);
    before_p(arrival, shift, ret_row + 18);
    ret_row[23] = log10f(fmaxf((float)toc_pparam_after_s(p), 0.05f));
    ret_row[24] = log10f(fmaxf((float)of_p_s, 0.05f));
    ret_row[25] = p->clipped ? 1 : 0;
    ret_row[26] = arrival->last.clipped > 0 ? 1 : 0;
    ret_row[27] = arrival->horizontals ? 1 : 0;
    ret_row[28] = gain_known ? 1 : 0;
    ret_row[29] = p->guard < UINT32_MAX ? 1 : 0;
}

/* --- the estimator ------------------------------------------------------------------------------------------- */

static int model_fits(const struct toc_model *model)
{
    return toc_model_inputs(model) == TOC_ESTIMATOR_INPUTS && toc_model_outputs(model) == TOC_ESTIMATOR_OUTPUTS &&
           toc_model_stride(model) == 1;
}

static int attach_model(struct toc_estimator *estimator, const struct toc_model *model)
{
    if (!model_fits(model))
        return -EINVAL;
    estimator->model = model;
    return toc_model_stream_create(model, &estimator->stream);
}

int toc_estimator_create(const struct toc_model *model, struct toc_estimator **ret_estimator)
{
    struct toc_estimator *estimator = calloc(1, sizeof *estimator);
    int rc = 0;

    if (!estimator)
        return -ENOMEM;
    if (model)
        rc = attach_model(estimator, model);
    if (rc < 0) {
        toc_estimator_destroy(estimator);
        return rc;
    }
    *ret_estimator = estimator;
    return 0;
}

const struct toc_model *toc_estimator_model(const struct toc_estimator *estimator)
{
    return estimator->model;
}

void toc_estimator_destroy(struct toc_estimator *estimator)
{
    if (!estimator)
        return;
    toc_model_stream_destroy(estimator->stream);
    free(estimator);
}

void toc_estimator_start(struct toc_estimator *estimator, const struct toc_pick *pick,
                         const struct toc_motion_step *noise, size_t n_noise, bool gain_known)
{
    estimator->pick = *pick;
    estimator->started = true;
    estimator->gain_known = gain_known;
    estimator->observed_sp_s = estimator->expected_sp_s = NAN;
    toc_arrival_start(&estimator->arrival, pick->time, noise, n_noise);
    if (estimator->model)
        toc_model_stream_reset(estimator->stream);
}

void toc_estimator_rename(struct toc_estimator *estimator, uint64_t pick_id)
{
    estimator->pick.id = pick_id;
}

static float clamp(float x, float low, float high)
{
    return fminf(fmaxf(x, low), high); /* fmaxf takes `low` for NAN */
}

/* The network's own words, brought into the units of the estimate. */
static void say_network(const float out[TOC_ESTIMATOR_OUTPUTS], bool gain_known, struct toc_estimate *est)
{
    if (gain_known) {
        est->magnitude = clamp(out[0], MAGNITUDE_LEAST, MAGNITUDE_MOST);
        est->magnitude_sigma = clamp(expf(out[1]), SIGMA_LEAST, SIGMA_MOST);
        for (int i = 0; i < 3; i++)
            est->at_distance.likeliest[i] = clamp(out[4 + i], -20, 20);
        est->at_distance.below = clamp(expf(out[7]), SIGMA_LEAST, SIGMA_MOST);
        est->at_distance.above = clamp(expf(out[8]), SIGMA_LEAST, SIGMA_MOST);
    }
    const float sp = powf(10, clamp(out[2], SP_LEAST_LOG, SP_MOST_LOG));
    const float sigma = (float)M_LN10 * sp * clamp(expf(out[3]), 0, SP_SIGMA_MOST_LOG);

    est->s_minus_p_s = sp;
    est->s_minus_p_sigma_s = fmaxf(sigma, TOC_PPARAM_S_OBSERVED_SIGMA_S * 1.1f);
}

static struct toc_estimate blank(const struct toc_estimator *estimator)
{
    return (struct toc_estimate){
        .pick_id = estimator->pick.id,
        .group = estimator->pick.group,
        .site = estimator->pick.site,
        .pick_time = estimator->pick.time,
        .after_p_s = (float)toc_pparam_after_s(&estimator->arrival.p),
        .magnitude = NAN,
        .magnitude_sigma = NAN,
        .s_minus_p_s = NAN,
        .s_minus_p_sigma_s = NAN,
        .distance_km = NAN,
        .at_distance = {{NAN, NAN, NAN}, NAN, NAN},
        .saturated = estimator->arrival.p.clipped,
    };
}

/* What an origin of many stations says of S - P, weighed against the network's word by what each claims to know. */
static void heed_s_minus_p(float expected_s, struct toc_estimate *est)
{
    const float sigma = EXPECTED_SIGMA_S + EXPECTED_SHARE * expected_s;
    const float own = isfinite(est->s_minus_p_s) ? 1 / (est->s_minus_p_sigma_s * est->s_minus_p_sigma_s) : 0;
    const float origin = 1 / (sigma * sigma);

    est->s_minus_p_s = ((own > 0 ? own * est->s_minus_p_s : 0) + origin * expected_s) / (own + origin);
    est->s_minus_p_sigma_s = fmaxf(1 / sqrtf(own + origin), TOC_PPARAM_S_OBSERVED_SIGMA_S * 1.1f);
}

static void heed_distance(const struct toc_expected *expected, struct toc_estimate *est)
{
    double m, sigma, upper;

    if (toc_estimator_magnitude_at(est, expected->hypocentral_km, expected->sigma_km, &m, &sigma, &upper) < 0)
        return;
    est->magnitude = clamp((float)m, MAGNITUDE_LEAST, MAGNITUDE_MOST);
    est->magnitude_sigma = clamp((float)sigma, SIGMA_LEAST, SIGMA_MOST);
    est->distance_km = (float)expected->hypocentral_km;
}

int toc_estimator_step(struct toc_estimator *estimator, struct toc_model_scratch *scratch,
                       const struct toc_motion_step *step, struct toc_estimate *ret_estimate)
{
    struct toc_estimate est;

    if (!estimator->started)
        return 0;
    toc_arrival_step(&estimator->arrival, step);
    est = blank(estimator);
    toc_pparam_say(&estimator->arrival.p, estimator->gain_known, &est);
    if (estimator->model) {
        float row[TOC_ESTIMATOR_INPUTS], out[TOC_ESTIMATOR_OUTPUTS];

        toc_estimator_inputs(&estimator->arrival, estimator->gain_known, row);
        toc_model_push(estimator->model, estimator->stream, scratch, row, 1, out);
        say_network(out, estimator->gain_known, &est);
    }
    if (isfinite(estimator->expected_sp_s)) {
        heed_distance(&estimator->expected, &est);
        heed_s_minus_p(estimator->expected_sp_s, &est);
    }
    if (isfinite(estimator->observed_sp_s)) {
        est.s_minus_p_s = estimator->observed_sp_s;
        est.s_minus_p_sigma_s = TOC_PPARAM_S_OBSERVED_SIGMA_S;
    }
    if (est.magnitude + UPPER_SIGMAS * est.magnitude_sigma > toc_pparam_largest(est.after_p_s))
        est.saturated = true;
    *ret_estimate = est;
    return 1;
}

void toc_estimator_note_s(struct toc_estimator *estimator, toc_ns s_time)
{
    if (!estimator->started || s_time <= estimator->pick.time)
        return;
    estimator->observed_sp_s = (float)toc_s_from_ns(s_time - estimator->pick.time);
    toc_pparam_guard(&estimator->arrival.p, (double)estimator->observed_sp_s);
}

void toc_estimator_expect(struct toc_estimator *estimator, const struct toc_expected *expected)
{
    if (!estimator->started || expected->s_time <= estimator->pick.time)
        return;
    estimator->expected = *expected;
    estimator->expected_sp_s = (float)toc_s_from_ns(expected->s_time - estimator->pick.time);
    if (!isfinite(estimator->observed_sp_s))
        toc_pparam_guard(&estimator->arrival.p, (double)estimator->expected_sp_s);
}

static double polynomial(const float k[3], double x)
{
    return (double)k[0] + x * ((double)k[1] + x * (double)k[2]);
}

/* Mean and variance of two half normal distributions, b wide below and a above the likeliest value: it is moved by
 * (a - b) sqrt(2 / pi), and the variance is (1 - 2 / pi) (a - b)^2 + a b. */
int toc_estimator_magnitude_at(const struct toc_estimate *e, double hypocentral_km, double sigma_km, double *ret_m,
                               double *ret_sigma, double *ret_upper)
{
    const struct toc_magnitude_at_distance *at = &e->at_distance;
    const double a = (double)at->above, b = (double)at->below;

    if (!isfinite(hypocentral_km) || !isfinite(at->likeliest[0]) || !(a > 0) || !(b > 0))
        return -ENODATA;
    const double km = fmin(fmax(hypocentral_km, DISTANCE_LEAST_KM), DISTANCE_MOST_KM);
    const double x = log10(km) - DISTANCE_MIDDLE_LOG;
    const double slope = (double)at->likeliest[1] + 2 * x * (double)at->likeliest[2];
    const double off = isfinite(sigma_km) && sigma_km > 0 ? slope * fmin(sigma_km / km, 1) / M_LN10 : 0;
    const double likeliest = polynomial(at->likeliest, x);

    *ret_m = likeliest + (a - b) * sqrt(M_2_PI);
    *ret_sigma = sqrt((1 - M_2_PI) * (a - b) * (a - b) + a * b + off * off);
    *ret_upper = likeliest + UPPER_SIGMAS * sqrt(a * a + off * off);
    return 0;
}
