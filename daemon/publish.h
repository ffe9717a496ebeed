/*
 * Lines out to many subscribers of a Unix socket. Each has a bounded queue of
 * its own; lines are shared, not copied. Who does not read is cut, with a logged
 * reason, and nobody else notices. No knowledge of what a line says.
 */
#ifndef TOC_DAEMON_PUBLISH_H
#define TOC_DAEMON_PUBLISH_H

#include <stddef.h>
#include <stdint.h>

#include <uv.h>

struct toc_publisher;

struct toc_publisher_limits {
    size_t subscribers_max;
    size_t soft_bytes; /* more than this unread for lag_s: cut */
    size_t hard_bytes; /* more than this: cut at once */
    double lag_s;
};

struct toc_publisher_counts {
    uint64_t lines, accepted, refused, cut_slow, cut_rubbish;
    size_t subscribers;
};

/** Listen at `path`. @return 0 or -errno; ret_why in words */
int toc_publisher_create(uv_loop_t *loop, const char *path, const struct toc_publisher_limits *limits,
                         struct toc_publisher **ret_publisher, char *ret_why, size_t why_size);

/** New limits; they bind from the next line on. */
void toc_publisher_limit(struct toc_publisher *publisher, const struct toc_publisher_limits *limits);

/** To everybody. Never waits. @return 0 or -ENOMEM (nobody got it) */
int toc_publisher_send(struct toc_publisher *publisher, const char *line, size_t len);

/** Bytes that still wait for a reader. 0: all flushed. */
size_t toc_publisher_pending(const struct toc_publisher *publisher);

struct toc_publisher_counts toc_publisher_counts(const struct toc_publisher *publisher);

/** Close all; memory goes when the loop has run the close callbacks. The socket's name is removed. NULL is fine. */
void toc_publisher_destroy(struct toc_publisher *publisher);

#endif
