/*
 * Feeds one arrival to the recurrent network step by step. The state of
 * the network is the whole memory: nothing is ever computed twice, so an
 * estimate every 0.1 s costs a few thousand multiplications.
 */
#include "core/estimator.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define LOG_FLOOR (-10.0f) /* a tenth of a nanometre (per second): below any sensor */
#define LOG_CEILING 3.0f
#define REFERENCE_NOISE (-6.0f) /* log10 m/s, pv_z before P when the gain is not known */

/* What the network may say: outside it is a sign of input it never saw, not of knowledge. */
#define SIGMA_LEAST 0.1f
#define SIGMA_MOST 2.0f
#define SP_LEAST_LOG (-1.0f)
#define SP_MOST_LOG 2.0f
#define SP_SIGMA_MOST_LOG 1.0f
#define SATURATION_MARGIN 0.3

struct toc_estimator {
    const struct toc_model *model;     /* borrowed; NULL: none */
    struct toc_model_stream *stream;   /* owned */
    struct toc_pick pick;
    struct toc_pparam p;
    bool started, gain_known;
    float observed_sp_s;               /* NAN until S is noted */
};

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

void toc_estimator_inputs(const struct toc_pparam *p, const struct toc_motion_step *step, bool gain_known,
                          float ret_row[TOC_ESTIMATOR_INPUTS])
{
    const float shift = gain_shift(p, gain_known);

    ret_row[0] = level(p->so_far.pv_ms, shift);
    ret_row[1] = level(p->so_far.pe_m, shift);
    ret_row[2] = level(p->so_far.pd_m, shift);
    ret_row[3] = level(p->so_far.pa_ms2, shift);
    ret_row[4] = level(step->pv_z, shift);
    ret_row[5] = level(step->pe_z, shift);
    ret_row[6] = level(step->pv_h, shift);
    ret_row[7] = level(step->pe_h, shift);
    ret_row[8] = level(p->noise.pv_ms, shift);
    ret_row[9] = level(p->noise.pe_m, shift);
    ret_row[10] = level(p->noise.pd_m, shift);
    ret_row[11] = level(p->noise_pv_h, shift);
    ret_row[12] = log10f(fmaxf((float)toc_pparam_after_s(p), 0.05f));
    ret_row[13] = p->clipped ? 1 : 0;
    ret_row[14] = gain_known ? 1 : 0;
}

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
    estimator->observed_sp_s = NAN;
    toc_pparam_start(&estimator->p, pick->time, noise, n_noise);
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
        est->magnitude = clamp(out[0], -2, 10);
        est->magnitude_sigma = clamp(expf(out[1]), SIGMA_LEAST, SIGMA_MOST);
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
        .after_p_s = (float)toc_pparam_after_s(&estimator->p),
        .magnitude = NAN,
        .magnitude_sigma = NAN,
        .s_minus_p_s = NAN,
        .s_minus_p_sigma_s = NAN,
        .saturated = estimator->p.clipped,
    };
}

int toc_estimator_step(struct toc_estimator *estimator, struct toc_model_scratch *scratch,
                       const struct toc_motion_step *step, struct toc_estimate *ret_estimate)
{
    struct toc_estimate est;

    if (!estimator->started)
        return 0;
    toc_pparam_step(&estimator->p, step);
    est = blank(estimator);
    toc_pparam_say(&estimator->p, estimator->gain_known, &est);
    if (estimator->model) {
        float row[TOC_ESTIMATOR_INPUTS], out[TOC_ESTIMATOR_OUTPUTS];

        toc_estimator_inputs(&estimator->p, step, estimator->gain_known, row);
        toc_model_push(estimator->model, estimator->stream, scratch, row, 1, out);
        say_network(out, estimator->gain_known, &est);
    }
    if (isfinite(estimator->observed_sp_s)) {
        est.s_minus_p_s = estimator->observed_sp_s;
        est.s_minus_p_sigma_s = TOC_PPARAM_S_OBSERVED_SIGMA_S;
    }
    if (est.magnitude > toc_pparam_largest(est.after_p_s) - SATURATION_MARGIN)
        est.saturated = true;
    *ret_estimate = est;
    return 1;
}

void toc_estimator_note_s(struct toc_estimator *estimator, toc_ns s_time)
{
    if (!estimator->started || s_time <= estimator->pick.time)
        return;
    estimator->observed_sp_s = (float)toc_s_from_ns(s_time - estimator->pick.time);
    toc_pparam_guard(&estimator->p, (double)estimator->observed_sp_s);
}

void toc_estimator_expect_s(struct toc_estimator *estimator, toc_ns s_time)
{
    if (!estimator->started || s_time <= estimator->pick.time || isfinite(estimator->observed_sp_s))
        return;
    toc_pparam_guard(&estimator->p, toc_s_from_ns(s_time - estimator->pick.time));
}
