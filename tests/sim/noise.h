/*
 * Ground noise as stations have it: a low-frequency part like 1/f^2 in
 * velocity, the microseism hump, a background flat in acceleration, and
 * cultural noise above 2 Hz whose strength wanders over minutes. Levels are drawn
 * between the new low and high noise models of Peterson (1993, USGS OFR
 * 93-322), in order of magnitude. Recursive filters on white noise; no file.
 */
#ifndef TOC_SIM_NOISE_H
#define TOC_SIM_NOISE_H

#include "tests/sim/random.h"

/** Power spectral density of ground acceleration, dB relative to (m/s^2)^2/Hz, at four anchors. */
struct toc_noise_level {
    double at_100s, at_5s, at_1s, at_10hz;
    double microseism_hz; /* centre of the hump, 0.1..0.3 */
};

/** One component. A plain value. */
struct toc_noise {
    struct toc_random random;
    double low, low_keep, low_kick;             /* first-order autoregressions: y = keep y + kick n */
    double flat, flat_keep, flat_kick;
    double hump[2], hump_a1, hump_a2, hump_kick; /* second-order resonator */
    double town_lp, town_hp, town_lp_a, town_hp_a, town_kick;
    double mood, mood_keep, mood_kick;          /* log of the cultural strength */
};

/** Levels of a station; quietness 0 (all near the high model) to 1 (all near the low one), with a spread of its own. */
void toc_noise_level_draw(struct toc_random *random, double quietness, struct toc_noise_level *ret_level);

/** Start in the stationary state: no warm-up is visible. @param rate_hz 20..1000 */
void toc_noise_start(struct toc_noise *noise, const struct toc_noise_level *level, double rate_hz, uint64_t seed);

/** Next sample of ground velocity in m/s. */
double toc_noise_step(struct toc_noise *noise);

#endif
