/*
 * Whose turn it is: which stations have data that wait for a worker, since
 * when, and who goes first. Each is waiting, out with a worker, or has
 * nothing to do. Knows no samples: told what arrived and how far a station
 * has come, it says who is next and how old the oldest waiting data are.
 *
 *   arrived / remind -> take -> idle            nothing was due after all
 *                            -> back -> take    some of it was worked off
 */
#ifndef TOC_CORE_TURNS_H
#define TOC_CORE_TURNS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/nstime.h"

/** How much earlier a favoured station's turn comes. */
#define TOC_TURNS_LEAD (TOC_NS_PER_S / 2)

struct toc_turns;

/** Members are 0..n-1. @return 0 or -ENOMEM. Nothing is allocated after. */
int toc_turns_create(uint32_t n, struct toc_turns **ret_turns);
void toc_turns_destroy(struct toc_turns *turns);

/** Data came: the member waits from `now` on, unless it waits already. @param newest end of its newest sample */
void toc_turns_arrived(struct toc_turns *turns, uint32_t member, toc_ns newest, toc_ns now);

/** Something may be due although nothing came (a wait has ended): look at it after those whose data came. */
void toc_turns_remind(struct toc_turns *turns, uint32_t member, toc_ns now);

/** From its next turn on the member goes first, or does not any more. */
void toc_turns_favour(struct toc_turns *turns, uint32_t member, bool favoured);
bool toc_turns_is_favoured(const struct toc_turns *turns, uint32_t member);

/** Who waited longest, favoured ones first by the lead; it is out then. @return false: nobody waits */
bool toc_turns_take(struct toc_turns *turns, uint32_t *ret_member);

/** Taken, but nothing was due: it waits no more. */
void toc_turns_idle(struct toc_turns *turns, uint32_t member);

/** Out no more, waits again if data came meanwhile or are left. @param done end of the data that were worked off */
void toc_turns_back(struct toc_turns *turns, uint32_t member, toc_ns done, toc_ns newest, toc_ns now);

/** Members that wait for being taken. */
uint32_t toc_turns_count(const struct toc_turns *turns);

/** Age in s of the oldest arrival that is not worked off; 0: none. Of a member with several such arrivals the first two
 * are known apart, so when the first is done the age may be told too old, by at most the time between later ones. */
double toc_turns_wait_s(const struct toc_turns *turns, toc_ns now);

#endif
