/*
 * From three components on the 100 Hz grid to what networks read: the
 * picker's seven features per sample, and the estimator's motion steps, ten
 * a second. Both are causal, in double precision, and independent of
 * chunking; training reads them from this same code (models/cut_windows.c).
 */
#ifndef TOC_CORE_WINDOW_H
#define TOC_CORE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "core/filter.h"

enum { TOC_E = 0, TOC_N = 1, TOC_Z = 2, TOC_COMPONENTS = 3 };

/*
 * Picker features (order of the row):
 *   0..2  asinh(x_hp / slow)         x high-passed at 1 Hz, order 2; for E, N, Z
 *   3..5  log10(fast / slow)         fast: 0.2 s exponential RMS; for E, N, Z
 *   6     log10(rms 2 s / rms 30 s)  over the present components
 * fast, slow and the last pair are of the 2-20 Hz band (order 2 each edge). slow: exponential RMS of 8 s, corrected for
 * its start, DELAYED by 1 s so that an onset does not normalise itself away; in the first second of a component the
 * present value stands in, in the second one that of the first full second. Gain and offset drop out. Values are
 * clamped to +-12. Zeros for a component that is missing (NAN, Inf), has not moved yet, or stands still for over 2 s;
 * the latter keeps its slow RMS for when it moves again, one that was missing begins anew.
 */
#define TOC_FEATURES 7

struct toc_features; /* state of one group; opaque, fixed size, no allocation after create */

int toc_features_create(struct toc_features **ret_features); /* 0 or -ENOMEM */
void toc_features_destroy(struct toc_features *features);
/** After a gap or at the start: forget everything. */
void toc_features_reset(struct toc_features *features);

/** n grid samples, oldest first. @param enz [component][n], any linear unit, NAN for a missing component. @param ret_rows
 * [n][TOC_FEATURES] */
void toc_features_push_rows(struct toc_features *features, const float *const enz[TOC_COMPONENTS], uint32_t n,
                            float *ret_rows);
/** One of them. */
void toc_features_push(struct toc_features *features, const float enz[TOC_COMPONENTS], float ret_row[TOC_FEATURES]);

/** 20 log10(fast / slow) of the vertical, or of the loudest component when it is at rest; NAN when all are. */
float toc_features_snr_db(const float row[TOC_FEATURES]);

/*
 * Motion: ground motion in SI from gain-corrected samples, one step per 0.1 s (ten grid samples, steps aligned to
 * multiples of 0.1 s of absolute time). Velocity sensors: v = hp(x), a = diff, d = hp(integral). Accelerometers:
 * a = hp(x), v = hp(integral a), d = hp(integral v). hp: causal Butterworth order 2, 0.075 Hz; e: d with 0.5 Hz order 2
 * in its place. A missing component is at rest, and new when it returns.
 *
 * w = (d - the d before it) * 100 Hz, so that the ratio of both is a period whatever the filters did.
 * Predominant period (Nakamura 1988; Allen and Kanamori 2003, Science 300, 786-789): 2 pi sqrt(X / D) with
 * X = alpha X + y^2, D = alpha D + (dy/dt)^2, y = v low-passed at 3 Hz (causal Butterworth order 2), dy/dt its difference,
 * alpha = 0.99 at 100 Hz: a memory of 1 s.
 */
#define TOC_STEP_SAMPLES 10

struct toc_motion_step {
    float pa_z, pv_z, pd_z, pe_z; /* largest absolute value within the step, vertical: m/s^2, m/s, m, m */
    float pv_h, pd_h, pe_h;       /* horizontal vector length, largest within the step; 0 without horizontals */
    float v2_z, v2_h;             /* mean square velocity within the step */
    float clipped;                /* 1 when any sample of the step was marked clipped */
    float d2_z, w2_z;             /* mean squares of d and of w, its rate of change, within the step, vertical */
    float tau_p_z;                /* predominant period in s, largest within the step, vertical; 0 at rest */
};

struct toc_motion;

int toc_motion_create(struct toc_motion **ret_motion); /* 0 or -ENOMEM */
void toc_motion_destroy(struct toc_motion *motion);
/** @param acceleration the sensor measures acceleration (else velocity). Forgets everything. */
void toc_motion_reset(struct toc_motion *motion, bool acceleration);

/**
 * n grid samples in a row.
 *
 * @param first      grid index of the first of them; one that does not follow the last resets
 * @param enz        [component][n] SI units, NAN missing
 * @param clipped    [n]
 * @param ret_steps  room for n / TOC_STEP_SAMPLES + 1: steps that were completed, the last of them with index
 *                   (first + n) / TOC_STEP_SAMPLES - 1
 * @return how many; the first, partial step after a reset is not given
 */
uint32_t toc_motion_push_rows(struct toc_motion *motion, int64_t first, const float *const enz[TOC_COMPONENTS],
                              const bool *clipped, uint32_t n, struct toc_motion_step *ret_steps);
/** One of them. @return true when a step was completed and written */
bool toc_motion_push(struct toc_motion *motion, int64_t index, const float enz[TOC_COMPONENTS], bool clipped,
                     struct toc_motion_step *ret_step);

#endif
