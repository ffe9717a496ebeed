/*
 * The clocks. This is the only part of the program that reads one; everybody
 * else is handed `now`. Wall time dates data and messages, monotonic time
 * measures waits: a step of the host clock moves the first, never the second.
 */
#ifndef TOC_DAEMON_CLOCK_H
#define TOC_DAEMON_CLOCK_H

#include "core/nstime.h"

/** Wall clock, UTC. */
toc_ns toc_clock_utc(void);

/** Monotonic clock; differences only. */
struct toc_mono toc_clock_mono(void);

/** Seconds from `from` to `to`. */
double toc_clock_elapsed_s(struct toc_mono from, struct toc_mono to);

#endif
