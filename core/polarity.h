/*
 * First motion: did the ground go up or down first. Said only when it is
 * clear; a wrong sign does more harm to a mechanism than a missing one.
 *
 * Noise: mean and scatter (sigma) of the second that ends 0.1 s before the onset. The first motion is the swing, between
 * two changes of sign, of the first sample beyond 4 sigma from 0.05 s before to 0.2 s after the onset. It is clear when
 *
 *   - two or more of its samples are beyond 4 sigma (no spike),
 *   - it reaches 6 sigma, and a fifth of what follows,
 *   - what follows, within 0.3 s of its first loud sample and 0.4 s of the onset, reaches 15 sigma,
 *   - nothing in the 0.15 s before it leaves 3 sigma: an earlier swing would be the first motion.
 *
 * The limits were chosen on 213 real arrivals so far above their noise (12 sigma and more) that a simple rule shows their
 * sign; no analyst looked at them. Under their own noise, raised until the first second of P stood 3 to 50 sigma above it,
 * and with onsets 0.06 s off, 3 of 10 are said and 1.4 % of these wrongly. On 161 arrivals of quakes kept aside: 1 of 4
 * said, about 2 % of these wrongly. The sign of the first sample beyond 4 sigma alone would be said of 8 in 10, and be
 * wrong in 21 %.
 */
#ifndef TOC_CORE_POLARITY_H
#define TOC_CORE_POLARITY_H

#include <stdint.h>

#define TOC_POLARITY_BEFORE 125 /* samples at 100 Hz before that of the onset */
#define TOC_POLARITY_AFTER 40   /* and from it on */
#define TOC_POLARITY_ROWS (TOC_POLARITY_BEFORE + TOC_POLARITY_AFTER)

/** @param trace the vertical, in any linear unit, up positive. @return +1 up, -1 down, 0 unclear or not finite */
int8_t toc_polarity(const float trace[TOC_POLARITY_ROWS]);

#endif
