/*
 * The classical P picker: short-term over long-term average on the vertical,
 * onset by Akaike's criterion. It always listens: beside a network its ratio
 * is a second opinion that owes nothing to training, and where there is no
 * network its picks are the picks. It knows no S: a strong S is picked as P
 * when the P before was missed or is more than 5 s old, and it has no idea
 * of what made the ground move.
 *
 * The network's picks do not wait for it. Believing them only where the ratio was 2 within the last 0.5 s (picker 4,
 * threshold 0.9) left 8 of 15 false picks in 15 h of noise kept aside and took one P of 79 lone quakes, but of 375 P
 * among the Ridgecrest aftershocks it left 80 % where there were 91 %: the coda of one quake hides the next from it.
 *
 *   band      causal Butterworth 2-20 Hz, order 2 each edge
 *   averages  exponential means of the square, time constants 0.5 s and 10 s, bias-corrected at the start
 *             (a recursive STA/LTA: Withers et al. 1998, BSSA 88, 95-106)
 *   trigger   the ratio rises through 5; not before 10 s of signal. Armed again when it falls below 1.5, or 5 s after.
 *   declared  0.1 s after the trigger, so that the criterion has seen some of the onset
 *   onset     k that minimises k log var(x[1..k]) + (n - k - 1) log var(x[k+1..n]) over the 2 s before the declaration
 *             (Maeda 1985, Zisin 38, 365-379)
 */
#ifndef TOC_CORE_CLASSIC_H
#define TOC_CORE_CLASSIC_H

#include <stdint.h>

#include "core/types.h"

/* What such a pick is worth, for the score: half of them, in noise at this threshold, are not of an earthquake. It is a
 * stated guess, not a measurement of the single pick. */
#define TOC_CLASSIC_PROBABILITY 0.5f
#define TOC_CLASSIC_TRIGGER 5.0f
/* One sigma of the onset in s: 1.48 times 0.09 s, the median absolute deviation of STA/LTA 5 with this criterion
 * from catalogued P onsets of many networks. */
#define TOC_CLASSIC_SIGMA_S 0.13f

struct toc_classic; /* state of one group; fixed size, no allocation after create */

/** @return 0 or -ENOMEM */
int toc_classic_create(struct toc_classic **ret_classic);
void toc_classic_destroy(struct toc_classic *classic);
/** At the start and after a gap: forget everything. */
void toc_classic_reset(struct toc_classic *classic);

/**
 * One sample of the vertical.
 *
 * @param z         any linear unit; NAN (or Inf) is a gap
 * @param index     grid index; anything but the last one + 1 is a gap, which forgets everything
 * @param ret_pick  set when 1 is returned; id, group, site are 0 and snr_db NAN: the caller's to fill
 * @return 1 when a pick was declared, else 0
 */
int toc_classic_push(struct toc_classic *classic, float z, int64_t index, struct toc_pick *ret_pick);

/** The largest ratio of the last second, as far as it goes back; 0 after a reset. */
float toc_classic_recent(const struct toc_classic *classic);

#endif
