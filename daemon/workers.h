/*
 * Threads that run batches, so that the loop goes on listening. Our own
 * and not libuv's pool: that one is shared with name look-ups, which may
 * block it for seconds, and its size is the process's. Batches come back on the
 * loop, in the order of submission as far as several are ready at once.
 */
#ifndef TOC_DAEMON_WORKERS_H
#define TOC_DAEMON_WORKERS_H

#include <uv.h>

#include "core/pipeline.h"

#define TOC_WORKERS_MAX 64

struct toc_workers;

/**
 * @param n    threads, 1..TOC_WORKERS_MAX, each for one batch at a time
 * @param done called on the loop for each batch that was run; may submit again
 * @return 0, -EINVAL, -ENOMEM or libuv's code
 */
int toc_workers_create(uv_loop_t *loop, unsigned n, void (*done)(void *user, struct toc_batch *batch), void *user,
                       struct toc_workers **ret_workers);

/** Run a batch; it must come back before it is submitted again. @return 0, or -EBUSY when n are out */
int toc_workers_submit(struct toc_workers *workers, struct toc_batch *batch);

/** Batches that are out. NULL: 0. */
unsigned toc_workers_busy(const struct toc_workers *workers);

/** Seconds since the oldest of them was submitted; 0 when none is. NULL: 0. */
double toc_workers_oldest_s(const struct toc_workers *workers, struct toc_mono now);

/** Waits for batches that run (they take milliseconds), then ends the threads; what is ready is not told any more.
 * Memory goes when the loop has run the close callback. NULL is fine. */
void toc_workers_destroy(struct toc_workers *workers);

#endif
