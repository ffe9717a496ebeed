/*
 * One earthquake seen by one station: an omega-square source (Brune 1970)
 * whose moment grows with time, P and S waves by the stochastic idea of
 * Boore (2003, Pure Appl. Geophys. 160, 635-676), ground velocity E, N, Z out.
 * From M 5.5 on the source is a row of parts along the strike that a rupture
 * front sets off one after another, each with its own distance and delay to
 * the station: the idea of Beresnev and Atkinson (1997, BSSA 87, 67-84), the
 * high frequencies scaled as a whole. Direction and radiation are those of the
 * hypocentre for all parts. Near the source the near and intermediate field
 * come on top (near_field.h). No surface waves, no basin. Everything is
 * causal: before the onset there is nothing.
 *
 * How a phase is made. The excitation is the moment rate (smooth, its sum is
 * 1) plus white noise in a window whose power sums to 1, high-passed where
 * the smooth part takes over: together |spectrum| = 1 at all frequencies.
 * Two poles at the corner make it omega-square; path attenuation is a
 * minimum-phase filter. The moment rate of every rupture starts as the same t^2,
 * whatever it will become: the first second does not know the final size.
 */
#ifndef TOC_SIM_QUAKE_H
#define TOC_SIM_QUAKE_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/sim/random.h"
#include "tests/sim/region.h"

#define TOC_QUAKE_LOBES_MAX 32
#define TOC_QUAKE_ALPHA_MS 6200.0 /* around the source */
#define TOC_QUAKE_BETA_MS 3500.0
#define TOC_QUAKE_DENSITY 2750.0
#define TOC_QUAKE_FREE_SURFACE 2.0

/** Part of a rupture: share of the moment, from start_s on for duration_s, along_km from the hypocentre along strike. */
struct toc_quake_lobe {
    double start_s, duration_s, share, along_km;
};

struct toc_quake {
    double magnitude;      /* as catalogues have it: local magnitude when small */
    double moment_nm;      /* log10 M0 = 1.5 Mw + 9.1 (Hanks and Kanamori 1979, in N m) */
    double stress_drop_pa;
    double corner_hz;      /* of S: 0.4906 beta (stress / M0)^(1/3), SI (Brune 1970); P: 1.2 times that */
    double duration_s;
    double strike_rad, dip_rad, rake_rad;
    bool explosion;        /* the same P everywhere, outwards; S only by what the ground makes of it */
    int n_lobes;
    struct toc_quake_lobe lobes[TOC_QUAKE_LOBES_MAX];
};

/** What lies between source and station. */
struct toc_quake_path {
    const struct toc_region *region; /* borrowed; NULL: California */
    double epicentral_km, depth_km;
    double azimuth_rad;         /* source to station, clockwise from north */
    double p_s, s_s;            /* travel times */
    double incidence_rad;       /* at the surface, from the vertical */
    double q0, q_exponent;      /* Q of S at 1 Hz and its exponent, P the same. q0 INFINITY: no loss */
    double kappa_s;             /* of S; P has 0.6 times that */
    double site_p, site_s;      /* amplification by the ground near the station, well above 1 Hz (none well below) */
    double focus_p, focus_s;    /* what lenses in the crust do to all frequencies; 0: 1 */
    double scattering;          /* strength of the coda and of what P moves sideways, 1 as usual; 0: none */
    double coda_s;              /* decay time of the late coda's power; 0: 22 */
    double convert, convert_s;  /* S made of P below the station over P, and how much later it comes; P made of S is half
                                   of that, as much earlier than S. 0: none */
    uint64_t seed;              /* of everything random in the waves */
};

/** A random double couple of this size; stress drop lognormal around the region's. @param region NULL: California */
void toc_quake_draw(struct toc_random *random, const struct toc_region *region, double magnitude,
                    struct toc_quake *ret_quake);

/** Random properties of a path; geometry, times and seed are left to the caller. @param region NULL: California */
void toc_quake_path_draw(struct toc_random *random, const struct toc_region *region, struct toc_quake_path *ret_path);

/** Radiation pattern of a far-field phase (Aki and Richards 2002, eq. 4.89-4.91). takeoff from straight down. */
struct toc_quake_radiation {
    double p, sv, sh;
};
void toc_quake_radiation(const struct toc_quake *quake, double azimuth_rad, double takeoff_rad,
                         struct toc_quake_radiation *ret_radiation);

/** Distance of one part of the rupture from the station in km, straight. */
double toc_quake_lobe_km(const struct toc_quake *quake, const struct toc_quake_path *path, int lobe);

/** Seconds after the phase's onset at which one part is first heard; never negative. @param speed_ms of the phase */
double toc_quake_lobe_delay_s(const struct toc_quake *quake, const struct toc_quake_path *path, int lobe,
                              double speed_ms);

/** Distance of one part as its waves have it, t seconds after it began: stretched by what has broken of it so far, at
 * most by the finite-fault length 10^(-0.405 + 0.235 M) km of Yenier and Atkinson (2015), M that of the part. */
double toc_quake_lobe_stretched_km(const struct toc_quake *quake, int lobe, double km, double t_s);

/** Decay time of the late coda's power. */
double toc_quake_coda_s(const struct toc_quake_path *path);

/** How long the station sees it: seconds from the P onset until the coda is spent. */
double toc_quake_signal_s(const struct toc_quake *quake, const struct toc_quake_path *path);

/** A quake far away: P from below, and what the surface above the source sends after it. */
struct toc_quake_far {
    double degrees, depth_km;   /* 25..100, 0..700 */
    double azimuth_rad, incidence_rad;
    double t_star_s;            /* of P: about 1 (Der 1998) */
    double site_p;
    uint64_t seed;
};

/** Random properties, distance and depth among them. */
void toc_quake_far_draw(struct toc_random *random, struct toc_quake_far *ret_far);

struct toc_synth; /* work space for one sampling rate and length */

/** @param max_samples of one phase, 1..2^22. @return 0, -EINVAL, -ENOMEM */
int toc_synth_create(double rate_hz, size_t max_samples, struct toc_synth **ret_synth);
void toc_synth_destroy(struct toc_synth *synth);

/**
 * Add the ground velocity (m/s) of one quake to three arrays of n samples, E, N, Z.
 *
 * @param p_onset_s  time of the P onset after sample 0; may be negative or past the end
 * @param n          any; of each phase no more than max_samples are made
 */
void toc_synth_add(struct toc_synth *synth, const struct toc_quake *quake, const struct toc_quake_path *path,
                   double p_onset_s, float *const enz[3], size_t n);

/** The same for a quake far away: P, pP, sP and the coda of them; S comes minutes later and is not made. Amplitude by the
 * geometric factor g(distance) / earth radius of Kanamori and Stewart (1976, PEPI 11, 312-332). */
void toc_synth_add_far(struct toc_synth *synth, const struct toc_quake *quake, const struct toc_quake_far *far,
                       double p_onset_s, float *const enz[3], size_t n);

#endif
