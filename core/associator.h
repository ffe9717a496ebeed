/*
 * Which picks belong to which earthquake. A pick either joins an open
 * event whose predicted arrival it meets, or is held; when held P picks of
 * enough different sites meet in one origin, and the quiet sites do not
 * speak against it, an event opens. Owns the events; locates nothing finely
 * (core/locate.h does) and decides nothing (core/alert.h does).
 *
 * No allocation after create; at most TOC_ASSOCIATOR_EVENTS open events and
 * TOC_ASSOCIATOR_HELD waiting picks. Same calls, same events, same names.
 */
#ifndef TOC_CORE_ASSOCIATOR_H
#define TOC_CORE_ASSOCIATOR_H

#include <stddef.h>
#include <stdint.h>

#include "core/settings.h"
#include "core/station.h"
#include "core/travel.h"
#include "core/types.h"

#define TOC_ASSOCIATOR_EVENTS 16
#define TOC_ASSOCIATOR_HELD 512

struct toc_associator;

/** What became of a pick. */
enum toc_assoc {
    TOC_ASSOC_JOINED,   /* part of an open event now (or a newer revision of a pick that is) */
    TOC_ASSOC_OPENED,   /* with held picks it opened a new event */
    TOC_ASSOC_HELD,     /* waits up to window_s for others */
    TOC_ASSOC_REJECTED, /* not usable: unknown site, no number, older than the window, a second pick of the same
                           site and phase, or another arrival of an open event (S taken for P, coda) */
    TOC_ASSOC_FULL      /* 16 events are open, or 512 picks wait: nothing is evicted, because losing a live event
                           is worse than missing a new one */
};

/**
 * @param travel    borrowed until destroy
 * @param max_sites most sites any later call will pass, 1..65536
 * @return 0, -EINVAL, -ENOMEM. Settings are TOC_SETTINGS_DEFAULT's until configured.
 */
int toc_associator_create(const struct toc_travel *travel, size_t max_sites, struct toc_associator **ret);
void toc_associator_destroy(struct toc_associator *associator);

/** New thresholds from the next call on; open events and held picks stay. @param settings copied */
void toc_associator_configure(struct toc_associator *associator, const struct toc_associator_settings *settings);

/**
 * Give one pick.
 *
 * It joins an open event when |observed - predicted| <= residual_s + 2 sqrt(pick sigma^2 + (3 % of the travel
 * time)^2 + origin spread^2) and its site has no pick of that phase there yet. A P that fits an open event only as its
 * S joins as an S that the locator must not use (used = false). A P within 2.5 s or 5 % of a predicted P, or in the
 * coda of an event at its site, never helps to open another event unless at least min_sites sites outside any coda
 * agree: one quake must not become two.
 *
 * An event opens when, on a search over epicentre (200 km around the picks, 3 steps down to about 1 km) and depth
 * (0..40 km in 6 steps), at least min_sites different sites lie within residual_s + pick sigma of one origin, with
 * more than what chance explains (see below), and of the usable sites nearer than the farthest of them whose P is
 * predicted before picked_until - 1 s at least min_expected have picked.
 * Chance: the held picks give a rate per site; the expected number of equally good coincidences in the window of the
 * search must stay below 1e-3, so a noisy minute asks for more sites than a quiet one.
 *
 * @param pick       borrowed; copied if kept. A pick with a known id replaces its earlier revision
 * @param sites      index = pick->site; n_sites <= max_sites
 * @param now        UTC of this step, never read from a clock
 * @param ret_event  the event joined or opened, borrowed until the next call; untouched for the other results
 */
enum toc_assoc toc_associator_add(struct toc_associator *associator, const struct toc_pick *pick,
                                  const struct toc_site *sites, size_t n_sites, toc_ns now,
                                  struct toc_event **ret_event);

/**
 * Time passes: held picks older than window_s leave, events without a new pick for close_s are dropped.
 * Call about once a second; later calls only delay the leaving.
 *
 * @return how many picks left without an event
 */
unsigned toc_associator_tick(struct toc_associator *associator, const struct toc_site *sites, size_t n_sites,
                             toc_ns now);

/** Open events, oldest first, index 0..count-1. */
size_t toc_associator_count(const struct toc_associator *associator);
/** Borrowed until the next add, tick or close. NULL when out of range. */
struct toc_event *toc_associator_event(struct toc_associator *associator, size_t index);

/** Forget an event (its alert is over). Its arrivals still stand for close_s as a guard, so that its late picks and coda
 * do not open it again. Unknown ids are ignored. */
void toc_associator_close(struct toc_associator *associator, uint64_t event_id);

#endif
