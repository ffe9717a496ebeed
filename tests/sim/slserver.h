/*
 * A SeedLink 3 server on libuv for tests and the demo: several clients,
 * records held in memory, per-station 24-bit sequence numbers that survive
 * reconnects, real pace or as fast as a client takes it, and faults on order.
 * It is a test double with manners, no production server: multi-station mode
 * only, commands HELLO STATION SELECT DATA END INFO BYE, loopback only,
 * nothing on disk.
 *
 *     toc_slserver_create(loop, &options, &server);
 *     toc_slserver_add(server, record, 512);  ...       // in the order they shall leave
 *     int port = toc_slserver_listen(server, 0);
 *     toc_slserver_start(server, origin);               // from now on records are released
 *     uv_run(loop, UV_RUN_DEFAULT);
 *     toc_slserver_close(server, on_closed, data);      // frees it, later, on the loop
 */
#ifndef TOC_TESTS_SLSERVER_H
#define TOC_TESTS_SLSERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "core/nstime.h"

/** What goes wrong, by order. Zero is a healthy server. All counts are of records sent on one connection. */
struct toc_slserver_faults {
    uint32_t drop_after;     /* close the link after so many records; 0 never */
    bool drop_inside;        /* ... in the middle of the next one */
    uint32_t drop_times;     /* how often in all; 0 every time */
    bool silent;             /* accept, read, never say a word: half-open */
    uint32_t silent_after;   /* fall silent after so many records; 0 never */
    uint32_t rubbish_after;  /* after so many records send bytes that are no packet, then go on; 0 never */
    bool one_byte;           /* each write has one byte */
    const char *refuse;      /* "NET.STA NET.STA ...": answer ERROR to these; borrowed; NULL none */
};

struct toc_slserver_options {
    double speed;             /* 1 real time, 10 ten times that; 0: everything at once */
    double latency_s;         /* a record leaves this long after its last sample (before `speed`) */
    bool from_start;          /* DATA without a number gives everything held, not just what comes; implied by speed 0 */
    bool end_at_end;          /* say END to a client that has got the last record, and close */
    uint32_t first_sequence;  /* of each station, 24 bits */
    const char *software;     /* first line of HELLO; NULL: "SeedLink v3.1 (tocsin-sim) :: SLPROTO:3.1"; borrowed */
    const char *organization; /* second line; NULL: "Tocsin test bench"; borrowed */
    struct toc_slserver_faults faults;
};

struct toc_slserver;

/** @param loop borrowed, outlives the server. Ignores SIGPIPE for the process, as libuv asks of its users.
 * @return 0 or -ENOMEM or libuv's negative code */
int toc_slserver_create(uv_loop_t *loop, const struct toc_slserver_options *options,
                        struct toc_slserver **ret_server);

/**
 * Hold one record (copied), to leave at its end time + latency. Records leave in the order of adding: one with an
 * earlier time than its predecessor leaves right after it. May be called at any time, also while running.
 *
 * @return 0; -EBADMSG when it is no miniSEED 2 record of exactly `len` bytes with codes and a time; -ENOMEM
 */
int toc_slserver_add(struct toc_slserver *server, const uint8_t *record, size_t len);

/** The same with the moment of leaving given (data clock), for measured arrivals. The record need not decode: only its
 * codes are read, so a test can serve damaged ones. @return 0; -EBADMSG for a length or codes out of range; -ENOMEM */
int toc_slserver_add_at(struct toc_slserver *server, const uint8_t *record, size_t len, toc_ns leave);

/** Add all records of a buffer of concatenated miniSEED; what is no record is skipped 64 bytes at a time.
 * @return records added, or -ENOMEM */
long toc_slserver_add_all(struct toc_slserver *server, const uint8_t *bytes, size_t len);

/** Listen on 127.0.0.1. @param port 0 any. @return the port, or a negative code */
int toc_slserver_listen(struct toc_slserver *server, int port);

/** Begin to release records. @param origin the data time that is now; TOC_NS_NONE: the first record leaves now */
void toc_slserver_start(struct toc_slserver *server, toc_ns origin);

/** Replace the faults of running and future connections. Counts of drops begin again. */
void toc_slserver_set_faults(struct toc_slserver *server, const struct toc_slserver_faults *faults);

/** Close every client's link now (no END): what a crashed server looks like. */
void toc_slserver_drop_all(struct toc_slserver *server);

/** Records held; released so far; sent, over all clients. Connections open; accepted so far. */
struct toc_slserver_counts {
    size_t held, released;
    uint64_t sent, bytes;
    uint32_t clients, accepted;
    uint32_t dropped;   /* links closed by a fault */
    uint32_t infos;     /* INFO requests answered */
};
struct toc_slserver_counts toc_slserver_counts(const struct toc_slserver *server);

/** Has every record been released and handed to every client that streams (at least one)? */
bool toc_slserver_done(const struct toc_slserver *server);

/** Sequence number that the record at `index` (order of adding) bears. */
uint32_t toc_slserver_sequence(const struct toc_slserver *server, size_t index);

/** Stop, close all, then free and call cb (may be NULL) from the loop. */
void toc_slserver_close(struct toc_slserver *server, void (*cb)(void *data), void *data);

#endif
