/*
 * Which picks belong to which earthquake. A pick either joins an open
 * event whose predicted arrival it meets, or is held; when held P picks of
 * enough different sites meet in one origin, and neither the quiet sites
 * nor chance speak against it (core/nucleate.h), an event opens. Owns the
 * events; locates nothing finely (core/locate.h) and decides nothing
 * (core/alert.h).
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

/* sigma_s of a P pick that fits only as the S of its event, and of one that was withdrawn: it is kept (the first as an S),
 * and the locator must not use it. */
#define TOC_ASSOCIATOR_SUSPECT_SIGMA_S 9.0f

struct toc_associator;

/** What became of a pick. */
enum toc_assoc {
    TOC_ASSOC_JOINED,   /* part of an open event now (or a newer revision of a pick that is) */
    TOC_ASSOC_OPENED,   /* with held picks it opened a new event */
    TOC_ASSOC_HELD,     /* waits up to window_s for others */
    TOC_ASSOC_REJECTED, /* not usable: unknown site, no number, older than the window or more than 10 s ahead of now, a
                           second pick of the same group and phase, or its event holds 96 picks already */
    TOC_ASSOC_WITHDRAWN, /* it was, while it waited or before: forgotten, until a later revision brings it back */
    TOC_ASSOC_FULL      /* 16 events are open, or 512 picks wait: nothing is evicted, because losing a live event
                           is worse than missing a new one */
};

/**
 * @param travel    borrowed until destroy
 * @param max_sites most sites any later call will pass, 1..65536; further ones are not seen
 * @return 0, -EINVAL, -ENOMEM. Settings are TOC_SETTINGS_DEFAULT's until configured.
 */
int toc_associator_create(const struct toc_travel *travel, size_t max_sites, struct toc_associator **ret);
void toc_associator_destroy(struct toc_associator *associator);

/** New thresholds from the next call on; open events and held picks stay. @param settings copied */
void toc_associator_configure(struct toc_associator *associator, const struct toc_associator_settings *settings);

/**
 * Give one pick.
 *
 * Joining: |observed - predicted| <= residual_s + 2 sqrt(sigma^2 + (3 % of the travel time)^2 + spread^2), spread the
 * event's horizontal sigma over 6 km/s, at most 0.8 s; the best fitting event takes it. A P that fits no P but the S
 * of an event joins as a suspect S. A second pick of a group and phase is rejected, unless the first was found to be
 * an outlier: then it takes its place. A pick of another group of the same site joins (its amplitudes count), and
 * neither opens nor locates: one site is one witness.
 *
 * Opening: see core/nucleate.h. Left out are picks within max(2.5 s, 5 % of the travel time) + spread of a predicted P
 * or S of an open event, or of one closed less than close_s ago: one quake must not become two. Picks in an event's
 * coda (from P to S + (S - P) + 20 s; with a known magnitude instead of the 20: 10^(0.4 M - 0.6) within 10..120 s)
 * count as likely false ones, one per 20 s: an aftershock needs more sites to be believed than a first shock. Neither holds for a
 * pick of 26 dB and more over the seconds before it, 2 s or more after the event's P: no S and no coda rises so far above what
 * came before. So a blast or a small shock does not hide the large one that follows.
 *
 * @param pick       borrowed; copied if kept. A pick with a known id replaces its earlier revision; one
 *                   that was withdrawn stays with its event and counts for nothing there, until it is brought back
 * @param sites      index = pick->site
 * @param now        UTC of this step, never read from a clock
 * @param ret_event  the event joined or opened, borrowed until the next call; untouched for the other results
 */
enum toc_assoc toc_associator_add(struct toc_associator *associator, const struct toc_pick *pick,
                                  const struct toc_site *sites, size_t n_sites, toc_ns now,
                                  struct toc_event **ret_event);

/**
 * What made a pick is seen differently by now. A P whose foreign probability (core/domain.h) is at settings.foreign or above
 * opens no event and is left out of the one it belongs to; falling below that, it is taken as if it had just come.
 *
 * @return JOINED (its standing in ret_event changed, or it joined that), OPENED, HELD (nothing changed), REJECTED (nobody has it)
 */
enum toc_assoc toc_associator_judge(struct toc_associator *associator, uint64_t pick_id, const struct toc_verdict *verdict,
                                    const struct toc_site *sites, size_t n_sites, toc_ns now,
                                    struct toc_event **ret_event);

/**
 * Time passes: held picks that meanwhile fit an event (its origin has moved) join it, those older than window_s leave,
 * events without a new pick for close_s are dropped. Call about once a second and after a relocation; later calls
 * only delay things. An event that got picks here has changed == now.
 *
 * @return how many picks left without an event
 */
unsigned toc_associator_tick(struct toc_associator *associator, const struct toc_site *sites, size_t n_sites,
                             toc_ns now);

/** Groups of the P picks that left without an event, and were not surely of a local quake, since this was asked last, one entry each. @param ret_groups borrowed until
 * the next add or tick. @return how many */
size_t toc_associator_take_lost(struct toc_associator *associator, const uint32_t **ret_groups);

/** Open events, oldest first, index 0..count-1. */
size_t toc_associator_count(const struct toc_associator *associator);
/** Borrowed until the next add, tick or close. NULL when out of range. */
struct toc_event *toc_associator_event(struct toc_associator *associator, size_t index);

/** Forget an event (its alert is over). Its arrivals stand as a guard until close_s after its last pick, so that its
 * late picks and coda do not open it again. Unknown ids are ignored. */
void toc_associator_close(struct toc_associator *associator, uint64_t event_id);

#endif
