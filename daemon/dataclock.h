/*
 * What "now" is for the pipeline. Live: the host's clock. With recordings:
 * the data's own time, pushed on by each record, so that a recording served fast
 * or slowly gives the same result; when records stop, it goes on at real
 * pace after a patient while, so that last words are said.
 */
#ifndef TOC_DAEMON_DATACLOCK_H
#define TOC_DAEMON_DATACLOCK_H

#include <stdbool.h>

#include "core/nstime.h"

struct toc_dataclock {
    bool data;               /* false: host clock */
    toc_ns now;              /* data: TOC_NS_NONE before the first record */
    toc_ns next_tick;        /* data: next multiple of 0.1 s */
    struct toc_mono moved;   /* data: when a record moved it */
    double patience_s;       /* data: silence before it goes on by itself */
};

#define TOC_DATACLOCK_TICK (TOC_NS_PER_S / 10)

void toc_dataclock_init(struct toc_dataclock *clock, bool data, double patience_s);

/** Now. TOC_NS_NONE: no record came yet. */
toc_ns toc_dataclock_now(const struct toc_dataclock *clock);

/** Would this arrival start the clock, or move it by more than 10 s? One damaged record must not: see believes(). */
bool toc_dataclock_is_far(const struct toc_dataclock *clock, toc_ns arrival);

/** A far step is taken on the word of two: the record after it must not lie before it (by more than 10 s). */
bool toc_dataclock_believes(toc_ns far, toc_ns next);

/** A record is about to arrive at `arrival` of its own time. A step over 900 s is taken in one. */
void toc_dataclock_expect(struct toc_dataclock *clock, toc_ns arrival, struct toc_mono mono);

/** Ticks due until `until`: call until false. Moves now to the tick. */
bool toc_dataclock_tick(struct toc_dataclock *clock, toc_ns until);

/** After the ticks: now is `until`, never less than it was. */
void toc_dataclock_reach(struct toc_dataclock *clock, toc_ns until);

/** Where now should be after this silence; now itself while patience lasts. */
toc_ns toc_dataclock_idle(const struct toc_dataclock *clock, struct toc_mono mono);

#endif
