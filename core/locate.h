/*
 * Where and when: the origin of one event from its P and S picks. The
 * likelihood is summed over a grid in latitude, longitude and depth, each
 * level finer and around the better part of the last; the origin time is
 * solved for at each node. Robust, so that one bad pick bends it little.
 *
 * Misfit at a node, with t0 the best origin time there:
 *   picks        sum of  rho((t - t0 - tt) / s) + min(1, 4 / n) ln s,  rho(x) = x^2 / 2 up to 1.5, then growing linearly (Huber) and
 *                flat from |x| = 6 on: a pick that far off says nothing more about the place
 *                s^2 = sigma^2 + (0.15 s + 2 % of tt)^2 (the model's error), sigma at least 0.02 s
 *                ln s counts for four picks at most: the model's errors of neighbours are the same error
 *   quiet sites  sum of  min(2, (late / (s + 1 s))^2 / 2) over usable sites without a P, late = picked_until - 1 s
 *                - t0 - tt when positive: soft, since pickers miss; at most the 16 nearest
 *   depth prior  ((z - 10 km) / 12 km)^2 / 2, never more than 4: ten is where most crustal quakes are; a deep one
 *                pays once and is then free
 *   size prior   1.7 x mean of ln R over the picks (R hypocentral, at least 5 km): amplitudes fall like R^-1.7 and
 *                counts like 10^-M (Gutenberg-Richter, b = 1), so of two places the nearer is likelier by R^-1.7
 * tt includes the elevation of the station over the surface velocity of the table. On a level of step h the model's
 * error is widened by 0.4 h / vp, so that a coarse level cannot miss a narrow valley.
 * The answer is the mean of the last level when it lies in the valley, else its best node.
 * Standard deviations are second moments of exp(-misfit) over the last level wide enough to hold it (3.8 sigma to
 * either side), and never below a third of the last step. Far outside the network the priors pull the epicentre nearer.
 * Flat depth likelihoods stay broad: depth_sigma_km says so.
 */
#ifndef TOC_CORE_LOCATE_H
#define TOC_CORE_LOCATE_H

#include <stddef.h>

#include "core/station.h"
#include "core/travel.h"
#include "core/types.h"

/** Picks with a sigma at or above this are kept with an event, and never located with (an S found in a P). */
#define TOC_LOCATE_SIGMA_MAX_S 5.0

struct toc_locator;

/** @param travel borrowed until destroy. @return 0, -EINVAL, -ENOMEM. Nothing is allocated later. */
int toc_locator_create(const struct toc_travel *travel, struct toc_locator **ret);
void toc_locator_destroy(struct toc_locator *locator);

/**
 * Locate anew from all picks the event holds, starting from event->origin (time TOC_NS_NONE: from the first P pick's
 * site). Writes
 *   event->origin              all of it; rms_s over the used picks
 *   picks[].residual_s, distance_km, azimuth_deg   of every pick of a known site
 *   picks[].used               false: |residual| > max(3 s, 0.5 s) with s as above; sigma too large; or another pick
 *                              of the same site and phase (a co-located group) is used already
 *   expected_sites             usable sites not farther than 1.2 times the farthest used one whose P should have been
 *                              seen by picked_until - 1 s, and sites that have one
 *   expected_missing           of these, without a P pick in the event
 * With fewer than two usable picks the event is left as it is; if picks were withdrawn (core/second.h), its origin then
 * rests on used_picks = used_sites = 0 or 1.
 *
 * @param sites index = pick.site; picks of sites beyond n_sites are not used
 * @param now   not used; all stages look alike
 */
void toc_locate_update(struct toc_locator *locator, struct toc_event *event, const struct toc_site *sites,
                       size_t n_sites, toc_ns now);

#endif
