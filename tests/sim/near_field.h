/*
 * What a far-field sum leaves out near a large source: the ramp between P and S, and the offset that stays. Aki and
 * Richards (2002), eq. 4.32, the terms in 1/r^4 and 1/r^2 (near, and intermediate P and S), of each part of the rupture,
 * in a whole space with the free surface as a factor.
 */
#ifndef TOC_SIM_NEAR_FIELD_H
#define TOC_SIM_NEAR_FIELD_H

#include <stdbool.h>

#include "tests/sim/quake.h"

/** Worth the trouble? It falls with r^-2, and small quakes are over before S comes. */
bool toc_near_field_seen(const struct toc_quake *quake, const struct toc_quake_path *path);

/**
 * Add ground velocity (m/s), E, N, Z, for moment rates that the source's corner has not yet smoothed.
 *
 * @param first_s  time of sample 0 after the P onset
 */
void toc_near_field_add(const struct toc_quake *quake, const struct toc_quake_path *path, double rate_hz,
                        double first_s, double *const enz[3], size_t n);

#endif
