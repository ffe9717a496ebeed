/*
 * One followed arrival: motion steps go in, ten a second, and after each
 * comes what the signal since P says about the size of the quake and the
 * time to S. A recurrent network gives both with an uncertainty: the size
 * once as it is without a distance, and once as a function of the distance,
 * which core/fusion.h asks as soon as there is an origin, without running
 * anything again. The peaks of core/pparam.h ride along for the classical
 * relation. It knows nothing of other stations. Memory is fixed after create.
 */
#ifndef TOC_CORE_ESTIMATOR_H
#define TOC_CORE_ESTIMATOR_H

#include <stdbool.h>
#include <stddef.h>

#include "core/model.h"
#include "core/pparam.h"
#include "core/types.h"
#include "core/window.h"

/** What the network reads of one arrival: running measurements since P, with and without S. A plain value. */
struct toc_arrival {
    struct toc_pparam p;
    float pv_h, pd_h, pe_h;               /* running peaks of the horizontals, S included */
    float iv2_h[TOC_PPARAM_STEPS_MAX];    /* of the horizontals after each step, for a guard set afterwards */
    bool horizontals;                     /* moved since P or before it */
    struct toc_motion_step last;
};

/** A new arrival; arguments as toc_pparam_start(). */
void toc_arrival_start(struct toc_arrival *arrival, toc_ns onset, const struct toc_motion_step *noise, size_t n_noise);
/** The next step. */
void toc_arrival_step(struct toc_arrival *arrival, const struct toc_motion_step *step);

/*
 * The network's input per step, all log10 of SI with floors, all finite (standardisation is folded into the weights):
 *   0..5   of P alone, which ends where the guard of core/pparam.h puts S: peaks pv, pe, pd, pa of the vertical, root mean
 *          square velocity of vertical and horizontals
 *   6..11  running peaks with S: pv_z, pe_z, pd_z, pv_h, pe_h, pd_h
 *   12..17 of this step: pv_z, pe_z, pv_h, pe_h, rms_z, rms_h
 *   18..22 before P: peaks pv_z, pe_z, pd_z, pv_h, then rms_z
 *   23     log10 of the seconds after P, at least 0.05
 *   24     log10 of the seconds of P alone, at least 0.05
 *   25     1 when anything since P was clipped, else 0
 *   26     1 when this step was, else 0
 *   27     1 when there are horizontals, else 0
 *   28     1 when the gain is known, else 0: then all amplitudes are scaled so that pv_z before P is 1 um/s,
 *          and what is left are ratios, enough for S - P
 *   29     1 when S is known, observed or expected, else 0
 * Output per step, x = log10 of the hypocentral distance in km - 1.5:
 *   0, 1   magnitude without a distance, ln of its sigma
 *   2, 3   log10 of S-P in s, ln of the sigma of that
 *   4..6   a, b, c: the likeliest magnitude at a distance is a + b x + c x^2
 *   7, 8   ln of its sigma below and above (two half normal distributions of different width, joined at the likeliest)
 */
#define TOC_ESTIMATOR_INPUTS 30
#define TOC_ESTIMATOR_OUTPUTS 9

/** The row for the newest step of `arrival`. */
void toc_estimator_inputs(const struct toc_arrival *arrival, bool gain_known, float ret_row[TOC_ESTIMATOR_INPUTS]);

/**
 * What the network says of the size at a distance.
 *
 * @param hypocentral_km  held in 5..300, where the network was trained
 * @param sigma_km        of the distance; not finite or negative counts as 0
 * @param ret_m           mean
 * @param ret_sigma       one standard deviation, that of the distance included
 * @param ret_upper       the quake is larger in one case of 40
 * @return 0, -ENODATA (no network, no gain, distance not finite)
 */
int toc_estimator_magnitude_at(const struct toc_estimate *e, double hypocentral_km, double sigma_km, double *ret_m,
                               double *ret_sigma, double *ret_upper);

struct toc_estimator;

/** @param model borrowed until destroy; NULL: no network, peaks alone. @return 0, -EINVAL (inputs, outputs or stride of
 * the model do not fit), -ENOMEM */
int toc_estimator_create(const struct toc_model *model, struct toc_estimator **ret_estimator);
void toc_estimator_destroy(struct toc_estimator *estimator);

/** The model it was made with. */
const struct toc_model *toc_estimator_model(const struct toc_estimator *estimator);

/**
 * Follow this pick from now on; whatever was followed before is forgotten.
 *
 * @param pick       copied
 * @param noise      steps before the one that holds the onset, oldest first; NULL when n_noise is 0
 * @param gain_known false: amplitudes are in unknown units, no magnitude and no peaks are given
 */
void toc_estimator_start(struct toc_estimator *estimator, const struct toc_pick *pick,
                         const struct toc_motion_step *noise, size_t n_noise, bool gain_known);

/** The followed pick has another id from now on. */
void toc_estimator_rename(struct toc_estimator *estimator, uint64_t pick_id);

/**
 * The next step, the one that holds the onset first, none left out.
 *
 * @param scratch work space for the model (1 row), shared by all estimators of a thread; NULL without a model
 * @return 1 and the estimate after it, or 0 before toc_estimator_start(). Unknown values are NAN, see core/types.h.
 */
int toc_estimator_step(struct toc_estimator *estimator, struct toc_model_scratch *scratch,
                       const struct toc_motion_step *step, struct toc_estimate *ret_estimate);

/** S was picked: from the next step on S-P is the observed one, and the peaks are those of P alone. A time not after
 * the P pick is ignored. */
void toc_estimator_note_s(struct toc_estimator *estimator, toc_ns s_time);

/** An origin that many stations made puts S there and the source so far away. From the next step on what is of P alone stops
 * at that S, S-P is the mean of this and the network's word by their sigmas (that of the origin: 0.3 s and 8 %), and the
 * magnitude is the one at the distance. A picked S (above) goes before any expectation. May be called again as the origin
 * moves; an S not after the P pick is ignored. */
void toc_estimator_expect(struct toc_estimator *estimator, const struct toc_expected *expected);

#endif
