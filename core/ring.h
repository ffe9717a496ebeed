/*
 * Samples of one channel by absolute time, with a gap mask. Records come in
 * any order; what can be read is always the samples a reference
 * assembler would have, each once, gaps marked and never zero. Equal
 * duplicates are dropped, conflicting ones too: the first stays.
 */
#ifndef TOC_CORE_RING_H
#define TOC_CORE_RING_H

#include <stdint.h>

#include "core/types.h"

struct toc_ring;

enum toc_ring_result {
    TOC_RING_STORED = 0,   /* some or all samples were new */
    TOC_RING_DUPLICATE,    /* all were there already */
    TOC_RING_STALE,        /* nothing stored: older than the read position or the ring, or no finite sample, or no
                              possible rate or time */
    TOC_RING_RESTARTED,    /* rate changed, or a jump longer than the ring: a new segment grid begins here.
                              What was unread is lost and counted by the caller through `ret_counts` */
};

struct toc_ring_counts {
    uint32_t stored, duplicate, conflict, late, lost;
};

/** @param capacity samples. @return 0 or -ENOMEM. Nothing is allocated after. */
int toc_ring_create(uint32_t capacity, struct toc_ring **ret_ring);
void toc_ring_destroy(struct toc_ring *ring);

/**
 * Store a chunk; NaN and Inf become gap. It goes on the grid of the current segment: right behind the newest sample
 * when it starts within 3/4 of a sample of there, else on the slots nearest to its times. So a clock that drifts
 * against the grid shows as a hole or an overlap of one sample now and then, and no time is off by more than 3/4 of one.
 * A new grid begins at a chunk that lies after all that is stored and has another rate (beyond 1e-4 of it), or starts
 * a whole ring after the newest sample. Late samples of another rate are refused.
 *
 * @param ret_counts  what became of each finite sample of the chunk: stored, duplicate, conflict (another value was
 *                    first) or late; lost: samples dropped unread for want of room, from the ring or the chunk itself
 */
enum toc_ring_result toc_ring_push(struct toc_ring *ring, const struct toc_chunk *chunk,
                                   struct toc_ring_counts *ret_counts);

/** What stands at the read position. */
enum toc_ring_next {
    TOC_RING_EMPTY,   /* nothing newer than the read position */
    TOC_RING_SAMPLES, /* contiguous samples */
    TOC_RING_GAP      /* a hole, with data behind it */
};

/**
 * Look at the read position.
 *
 * @param ret_samples  borrowed until the next push; one contiguous run of memory (a run that wraps is given in two)
 * @param ret_n        samples in the run, or the length of the hole in samples
 * @param ret_start    time of the first of them
 */
enum toc_ring_next toc_ring_peek(const struct toc_ring *ring, const float **ret_samples, uint32_t *ret_n,
                                 toc_ns *ret_start);

/** Move the read position by n samples (of the run or the hole that peek showed). */
void toc_ring_consume(struct toc_ring *ring, uint32_t n);

/** Time of sample N+1 of the newest stored sample; TOC_NS_NONE when empty. */
toc_ns toc_ring_end(const struct toc_ring *ring);
/** Current rate in Hz; 0 before the first chunk. */
double toc_ring_rate(const struct toc_ring *ring);
/** Time of the sample at the read position (also when nothing is there yet); TOC_NS_NONE before the first chunk. */
toc_ns toc_ring_position(const struct toc_ring *ring);

#endif
