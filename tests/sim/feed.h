/*
 * The records of a directory in the order in which they reach us, each with
 * its moment: what a feed is, without the network.
 */
#ifndef TOC_SIM_FEED_H
#define TOC_SIM_FEED_H

#include <stddef.h>
#include <stdint.h>

#include "core/nstime.h"

struct toc_feed_record {
    size_t at, length;  /* in bytes[] */
    toc_ns start, end;  /* first sample, end of the last; TOC_NS_NONE when it does not decode */
    toc_ns arrival;
};

struct toc_feed {
    uint8_t *bytes;     /* owned: all files, one after another, by name */
    size_t len;
    struct toc_feed_record *records; /* owned; by arrival */
    size_t n;
};

/**
 * Read all *.mseed of a directory, and arrivals.csv ("record,arrival", numbers in file order) if there is one. A record
 * without a line there arrives latency_s after its end; one that does not decode, together with its predecessor.
 *
 * @return 0, -ENOENT (no records), -EBADMSG (arrivals.csv is damaged), or another -errno
 */
int toc_feed_read(const char *directory, double latency_s, struct toc_feed *ret_feed);
void toc_feed_finish(struct toc_feed *feed);

/** Move everything in time, the start times in the record headers too; rounded to 0.1 ms, what a header holds. */
void toc_feed_shift(struct toc_feed *feed, toc_ns by);

/** Earliest start of all records that decode, TOC_NS_NONE without any. */
toc_ns toc_feed_start(const struct toc_feed *feed);

#endif
