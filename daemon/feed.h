/*
 * A feed brings records. One connection or one set of files each; it knows
 * its source and nothing of the pipeline. Whoever owns it is told of each
 * record and gives it on; only when that call returned does the feed count the
 * record as done.
 */
#ifndef TOC_DAEMON_FEED_H
#define TOC_DAEMON_FEED_H

#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "core/station.h"
#include "daemon/config.h"

/** Where records go. */
struct toc_feed_sink {
    void *user;
    /** @param arrival when it came, by the recording (file feeds); TOC_NS_NONE: now */
    void (*record)(void *user, const uint8_t *bytes, size_t len, toc_ns arrival);
    /** A file feed has given all. */
    void (*ended)(void *user);
};

/** What an operator sees of a feed. Texts borrowed until the next call on it. */
struct toc_feed_report {
    const char *name, *type, *state;
    const char *problem;        /* the last thing that went wrong, "" none */
    uint64_t records, bytes;
    uint64_t connects, drops;   /* connections made, and lost */
    uint64_t repeated;          /* records the server had sent before */
    uint64_t foreign;           /* records of stations not asked for */
    uint64_t skipped_bytes;     /* file: stepped over */
    uint32_t stations_asked, stations_accepted;
    toc_ns newest;              /* wall clock of the newest record; TOC_NS_NONE none */
};

struct toc_feed;

struct toc_feed_ops {
    void (*report)(const struct toc_feed *feed, struct toc_feed_report *ret_report);
    void (*destroy)(struct toc_feed *feed); /* memory goes when the loop has run the close callbacks */
};

/** First member of every feed. */
struct toc_feed {
    const struct toc_feed_ops *ops;
};

/**
 * A SeedLink connection; starts connecting when the loop runs. Stations come from the configuration, or, when it
 * lists none, are all of the inventory.
 *
 * @return 0, -EINVAL (a station SeedLink 3 cannot ask for), -ENOENT (no station at all), -ENOMEM; ret_why in words
 */
int toc_feed_seedlink_create(uv_loop_t *loop, const struct toc_config_feed *config,
                             const struct toc_inventory *inventory, const struct toc_feed_sink *sink,
                             struct toc_feed **ret_feed, char *ret_why, size_t why_size);

/** miniSEED from disk; starts when the loop runs. @return 0 or -errno; ret_why in words */
int toc_feed_file_create(uv_loop_t *loop, const struct toc_config_feed *config, const struct toc_feed_sink *sink,
                         struct toc_feed **ret_feed, char *ret_why, size_t why_size);

#endif
