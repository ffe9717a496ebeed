/*
 * One followed arrival: motion steps go in, ten a second, and after each
 * comes what the signal since P says about the size of the quake and the
 * time to S. A recurrent network gives both with an uncertainty; the peaks
 * of core/pparam.h ride along for the classical relation. It knows nothing
 * of other stations. Memory is fixed after create.
 */
#ifndef TOC_CORE_ESTIMATOR_H
#define TOC_CORE_ESTIMATOR_H

#include <stdbool.h>
#include <stddef.h>

#include "core/model.h"
#include "core/pparam.h"
#include "core/types.h"
#include "core/window.h"

/*
 * The network's input per step, all log10 of SI with floors, all finite (standardisation is folded into the weights):
 *   0..3   running peaks since P (S included), vertical: pv, pe, pd, pa
 *   4..7   of this step: pv_z, pe_z, pv_h, pe_h (without horizontals the floor)
 *   8..11  peaks before P: pv_z, pe_z, pd_z, pv_h
 *   12     log10 of the seconds after P, at least 0.05
 *   13     1 when anything since P was clipped, else 0
 *   14     1 when the gain is known, else 0: then all amplitudes are scaled so that pv_z before P is 1 um/s,
 *          and what is left are ratios, enough for S - P
 * Output per step: magnitude, ln of its sigma, log10 of S-P in s, ln of the sigma of that.
 */
#define TOC_ESTIMATOR_INPUTS 15
#define TOC_ESTIMATOR_OUTPUTS 4

/** The row for the newest step of `p` (toc_pparam_step was called with the same step). */
void toc_estimator_inputs(const struct toc_pparam *p, const struct toc_motion_step *step, bool gain_known,
                          float ret_row[TOC_ESTIMATOR_INPUTS]);

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

/** S is expected at this time by an origin that many stations made: the classical peaks stop there. The network's own
 * S-P stays as it is; a picked S (above) goes before any expectation. May be called again as the origin moves. */
void toc_estimator_expect_s(struct toc_estimator *estimator, toc_ns s_time);

#endif
