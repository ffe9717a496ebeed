/*
 * Where and when: the origin of one event from its P and S picks. The
 * likelihood is summed over a grid in latitude, longitude and depth, each
 * level finer and around the better part of the last; the origin time is
 * solved for at each node. Robust (Huber), so one bad pick bends it little.
 *
 * Misfit at a node, with t0 the best origin time there:
 *   sum over picks of rho((t - t0 - tt) / s),  rho Huber with k = 1.5,
 *   s^2 = pick sigma^2 + (0.15 s + 2 % of the travel time)^2, pick sigma >= 0.02 s
 *   + quiet sites:  for each usable site without a P whose prediction is older than picked_until - 1 s:
 *     min(2, (late / (s + 1 s))^2 / 2), late = picked_until - 1 s - prediction: soft, since pickers miss
 *   + depth prior: ((z - 10 km) / 12 km)^2 / 2 up to 1.5 and then flat: ten is where most crustal quakes are; a deep one
 *     pays 1.5 once and is free.
 * tt includes the station's elevation over the surface velocity of the table.
 * Standard deviations are the second moments of exp(-misfit) over the finest level that holds the mass, never below
 * a quarter of the finest step.
 */
#ifndef TOC_CORE_LOCATE_H
#define TOC_CORE_LOCATE_H

#include <stddef.h>

#include "core/station.h"
#include "core/travel.h"
#include "core/types.h"

struct toc_locator;

/** @param travel borrowed until destroy. @return 0, -EINVAL, -ENOMEM. Nothing is allocated later. */
int toc_locator_create(const struct toc_travel *travel, struct toc_locator **ret);
void toc_locator_destroy(struct toc_locator *locator);

/**
 * Locate anew from all picks the event holds. Writes event->origin, each pick's residual_s, distance_km, azimuth_deg
 * and used (false: |residual| > 3 s with s as above, at least 0.5 s; or an S that core/associator.h found in a P),
 * expected_sites and expected_missing (usable sites not farther than 1.2 times the farthest used one, whose P should
 * have been seen by picked_until - 1 s). With fewer than two picks of known sites the event is left as it is.
 *
 * @param sites index = pick.site; picks of sites beyond n_sites are not used
 */
void toc_locate_update(struct toc_locator *locator, struct toc_event *event, const struct toc_site *sites,
                       size_t n_sites, toc_ns now);

#endif
