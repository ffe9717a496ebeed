/*
 * What the first seconds of P say without a network: peaks, periods and
 * energy of the ground motion since the pick, the noise they stand on, and
 * the station magnitude they mean at a known distance. All of them stop at
 * the S wave when its time becomes known, also afterwards. A plain value of
 * fixed size: copy it freely.
 *
 *   Pa, Pv, Pd  largest absolute a, v, d of core/window.h
 *   IV2         integral of v^2 (Festa, Zollo and Lancieri 2008, Geophys. Res. Lett. 35, L22307, there of all components
 *               of 0.05-10 Hz; here of the vertical above 0.075 Hz)
 *   tau_c       2 pi sqrt(int d^2 / int (dd/dt)^2) (Kanamori 2005, Annu. Rev. Earth Planet. Sci. 33, 195-214)
 *   tau_p^max   largest predominant period (core/window.h), the step with the onset left out: from 0 to 0.1 s after P on.
 *               Its memory of 1 s still holds the noise before: it means something where the SNR is high
 *   SNR         mean square of v since P over that of the noise
 *
 * Since P: from the beginning of the step of 0.1 s that holds the onset, so up to 0.1 s of what came before is in it.
 */
#ifndef TOC_CORE_PPARAM_H
#define TOC_CORE_PPARAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/types.h"
#include "core/window.h"

#define TOC_PPARAM_STEPS_MAX 200 /* 20 s: nothing grows any later; P is over or the relation is out of range */
#define TOC_PPARAM_NOISE_MAX 50  /* 5 s of steps before the pick count as noise, the newest of those given */

/** Vertical component, SI. */
struct toc_peaks {
    float pa_ms2, pv_ms, pd_m; /* high-passed at 0.075 Hz */
    float pe_m;                /* high-passed at 0.5 Hz */
    float iv2_m2s;
    float tau_c_s, tau_p_s;    /* 0 unknown: nothing moved */
};

/** State of one followed arrival. */
struct toc_pparam {
    struct toc_peaks noise;           /* before P; all 0 when no noise was given */
    float noise_pv_h, noise_pe_h;     /* horizontal, peak before P */
    uint32_t n_noise;                 /* steps it was measured on */
    double first_s;                   /* seconds after P at the end of the first step, 0..0.1 */
    uint32_t n;                       /* steps taken since P */
    bool clipped;                     /* any step since P held a clipped sample */
    uint32_t guard;                   /* steps that end before S; UINT32_MAX while S is not known */
    double int_d2, int_w2;            /* of d^2 and (dd/dt)^2, S included */
    struct toc_peaks so_far;          /* S included */
    struct toc_peaks history[TOC_PPARAM_STEPS_MAX]; /* so_far after each step, for a guard set afterwards */
};

/**
 * A new arrival.
 *
 * @param onset    time of the pick; the first step given later is the one that holds it
 * @param noise    steps before the one with the onset, oldest first; may be NULL when n_noise is 0
 */
void toc_pparam_start(struct toc_pparam *p, toc_ns onset, const struct toc_motion_step *noise, size_t n_noise);

/** The next step of 0.1 s. Negative and non-finite values count as 0. */
void toc_pparam_step(struct toc_pparam *p, const struct toc_motion_step *step);

/** S comes `s_minus_p_s` after P: only steps that end before it count, also of those already taken. Not finite or not
 * positive: no guard. */
void toc_pparam_guard(struct toc_pparam *p, double s_minus_p_s);

/** Seconds after P at the end of the newest step; 0 before the first. */
double toc_pparam_after_s(const struct toc_pparam *p);

/** Since P, up to S when it is known. All 0 before the first step. */
struct toc_peaks toc_pparam_peaks(const struct toc_pparam *p);

/** Seconds after P at which these end: now, or the last step before S, or 20 s. */
double toc_pparam_window_s(const struct toc_pparam *p);

/** Pe since P (up to S) over the peak Pe before P; NAN without noise steps. */
float toc_pparam_snr_pe(const struct toc_pparam *p);

/** The classical part of an estimate, from pa_ms2 on. @param gain_known false: everything with a unit in it is NAN */
void toc_pparam_say(const struct toc_pparam *p, bool gain_known, struct toc_estimate *ret_estimate);

/**
 * The largest magnitude that t seconds of P can tell apart: half of the source must have been seen. Half duration
 * 1.05e-8 (M0 / dyn cm)^(1/3) s (Ekstrom, Nettles and Dziewonski 2012, Phys. Earth Planet. Int. 200-201, 1-9) with
 * log10 M0 = 1.5 Mw + 16.1 gives Mw = 5.23 + 2 log10 t. @param after_p_s > 0, else the result is that of 0.1 s.
 */
double toc_pparam_largest(double after_p_s);

/*
 * An estimate whose s_minus_p_sigma_s is at or below this carries an OBSERVED S (its peaks are guarded), a larger one
 * a prediction.
 */
#define TOC_PPARAM_S_OBSERVED_SIGMA_S 0.1f

/**
 * Station magnitude from peaks and distance.
 *
 * M = k0 + k1 log10 y + k2 log10 R at knots of seconds after P, interpolated in log time: the mean of what Pv and Pe
 * say below M 5, Pd from M 6 on, between them both. The table in core/pparam.c states data, count, scatter and range.
 * Only seconds before S count: the observed one, else the one the distance puts at 0.124 s per km. Peaks must end there
 * as well (toc_pparam_guard).
 *
 * @param e               pa, pv, pd, pe, snr_pe, after_p_s, s_minus_p and clipped are read
 * @param hypocentral_km  clamped to the range of the relation, 5..300
 * @param ret_m           magnitude
 * @param ret_sigma       one standard deviation, without the error of the distance
 * @param ret_saturated   a lower bound: clipped, or within 0.3 of toc_pparam_largest()
 * @return 0, -ENODATA (no gain, less than 0.3 s seen, distance not finite, or Pe not above twice its noise)
 */
int toc_pparam_magnitude(const struct toc_estimate *e, double hypocentral_km, double *ret_m, double *ret_sigma,
                         bool *ret_saturated);

#endif
