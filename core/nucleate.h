/*
 * Is there a quake in this heap of picks? Given P picks that belong to no
 * event yet, find the origin that explains the newest of them together with
 * as many other sites as it can, and judge whether chance explains it as
 * well. Knows nothing of events; core/associator.h makes them of this.
 *
 * Search: epicentres over the box of the sites that picked plus 100 km, four depths, coarse to fine (about 12 km, then
 * 4, 1.5 and 0.6 km around the eight best places); at each node the origin time is the densest window of t - tt. A pick
 * matches within residual_s + its sigma.
 *
 * Judgement, all of:
 *   n >= min_sites sites match
 *   n / N >= min_expected, N the n and the usable sites nearer than the farthest of them whose P is due (predicted
 *   before picked_until - 1 s) and that are not deaf to it in the coda of another event
 *   chance: C(N', n) product of q_i <= 10^-8 (10^-2n for min_sites n < 4), N' = N with the deaf ones, q_i = 1 -
 *   exp(-2 w rate_i): as many coincidences would be seen in N' sites that pick at rate_i without cause; w is the
 *   largest residual, corrected for the four fitted parameters, at least 0.3 s and at most the match tolerance. A
 *   noisy minute asks for more sites.
 *   no front: over 25 km and more (any width, when the arrivals are on average foreign by 0.5 and more, core/domain.h), a plane wave faster than 10 km/s explains (within 0.4 s) fewer sites than the point
 *   does (within 0.4 s). A teleseism or a glitch on all sites at once never passes; about one quake of four waits for a
 *   fifth or sixth site because of it, as long as its first four arrivals could be either
 */
#ifndef TOC_CORE_NUCLEATE_H
#define TOC_CORE_NUCLEATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/geo.h"
#include "core/travel.h"

#define TOC_NUCLEATE_PICKS_MAX 48

/** A P pick that waits. Times are seconds after any common reference, elevation already taken off. */
struct toc_nucleate_pick {
    double latitude_deg, longitude_deg;
    uint32_t site;
    double time_s, sigma_s;
    double rate_hz; /* picks without cause at this site and time */
    double foreign; /* probability that no local quake made it */
    uint32_t tag;   /* the caller's */
};

/** A site that may stay quiet. */
struct toc_nucleate_site {
    struct toc_geo_point place;
    uint32_t site;
    double until_s;                /* picked_until, minus elevation, minus reference */
    double deaf_from_s, deaf_to_s; /* in the coda of an event: not waited for */
};

struct toc_nucleate_settings {
    int min_sites;
    double residual_s, min_expected, max_distance_km;
};

/** What was found. */
struct toc_nucleus {
    double latitude_deg, longitude_deg, depth_km, time_s;
    double rms_s;
    size_t n;                             /* matched, one per site */
    uint32_t tags[TOC_NUCLEATE_PICKS_MAX]; /* theirs, earliest first */
    size_t expected;                      /* N */
    double log10_chance;
};

struct toc_nucleate; /* workspace */

/** @return 0 or -ENOMEM. Nothing is allocated later. */
int toc_nucleate_create(const struct toc_travel *travel /* borrowed */, struct toc_nucleate **ret);
void toc_nucleate_destroy(struct toc_nucleate *workspace);

/**
 * @param picks   1..TOC_NUCLEATE_PICKS_MAX, picks[0] is the newest: the search looks for it, since the others were
 *                searched before. Several of one site may be given; one of them counts
 * @param sites   every usable site within reach, those that picked too
 * @return true when an origin passed; ret_nucleus is untouched otherwise
 */
bool toc_nucleate_search(struct toc_nucleate *workspace, const struct toc_nucleate_settings *settings,
                         const struct toc_nucleate_pick *picks, size_t n_picks, const struct toc_nucleate_site *sites,
                         size_t n_sites, struct toc_nucleus *ret_nucleus);

#endif
