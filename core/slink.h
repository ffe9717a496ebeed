/*
 * SeedLink 3 client, sans I/O: bytes in, events out; commands out through a
 * buffer that the caller sends. Multi-station mode only. One machine is one
 * connection to one server; it survives reconnects (resume points stay) and
 * never allocates after create. No clock: time-outs, back-off and the choice
 * to send a keepalive are the caller's.
 *
 * SeedLink 3 has no formal specification; what is done here follows the
 * SeisComP manual and what libslink and ringserver are known to do.
 *
 * The loop of a caller:
 *
 *     toc_slink_connected(s);                     // TCP is up
 *     send what toc_slink_output() shows; toc_slink_sent(s, n)
 *     on bytes:  while (len > 0) {
 *                    size_t took = toc_slink_feed(s, bytes, len);
 *                    bytes += took; len -= took;
 *                    while (toc_slink_next(s, &event)) handle(&event);
 *                }
 *                then send what toc_slink_output() shows
 *     on RECORD: process, then toc_slink_acknowledge(s, event.station, event.sequence)
 *     on END, ERROR, PROTOCOL_ERROR, or the link down: close, toc_slink_disconnected(s), later connect again
 */
#ifndef TOC_CORE_SLINK_H
#define TOC_CORE_SLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOC_SLINK_STATIONS_MAX 10000 /* as ringserver's limit for one client */
#define TOC_SLINK_SELECTORS_MAX 32   /* per station */
#define TOC_SLINK_SELECTOR_SIZE 12   /* "!LLCCC.T" is 8; NUL included */
#define TOC_SLINK_LINE_MAX 255       /* longest reply line, terminator included */
#define TOC_SLINK_SEQUENCE_MASK 0xFFFFFF
#define TOC_SLINK_NO_STATION UINT32_MAX

/** What to ask for. Copied by create. */
struct toc_slink_station {
    const char *network;          /* 1..2 of A-Z 0-9 */
    const char *station;          /* 1..5 of A-Z 0-9 - */
    const char *const *selectors; /* patterns [!][LL]CCC[.T], characters A-Z 0-9 ? - ! . ; NULL when n_selectors is 0 */
    size_t n_selectors;           /* 0: everything of the station */
    int32_t resume;               /* last sequence number processed, 0..0xFFFFFF; -1: from now */
};

#define TOC_SLINK_STATES(X)                                                                                        \
    X(DISCONNECTED, "disconnected")   /* before connected(), after disconnected() */                               \
    X(HELLO, "hello")                 /* HELLO sent, two lines awaited */                                          \
    X(STATION, "station")             /* STATION sent, reply awaited */                                            \
    X(SELECT, "select")               /* SELECT sent, reply awaited */                                             \
    X(DATA, "data")                   /* DATA sent, reply awaited */                                               \
    X(STREAMING, "streaming")         /* END sent; packets */                                                      \
    X(ENDED, "ended")                 /* server said END or ERROR, or refused every station: bytes are ignored */  \
    X(FAILED, "failed")               /* protocol error: bytes are ignored */

enum toc_slink_state {
#define X(name, text) TOC_SLINK_##name,
    TOC_SLINK_STATES(X)
#undef X
    TOC_SLINK_STATE_COUNT
};

enum toc_slink_event_type {
    TOC_SLINK_EVENT_HELLO,             /* text: software line; text2: organisation; protocol_* */
    TOC_SLINK_EVENT_STATION_ACCEPTED,  /* station */
    TOC_SLINK_EVENT_STATION_REFUSED,   /* station, text: the server's reply. The others go on */
    TOC_SLINK_EVENT_SELECTOR_REFUSED,  /* station, text: the pattern. The station goes on if another pattern is taken */
    TOC_SLINK_EVENT_STREAMING,         /* the handshake is over; n_accepted stations */
    TOC_SLINK_EVENT_RECORD,            /* station, sequence, record, length */
    TOC_SLINK_EVENT_INFO,              /* an answer to INFO (keepalive): record, length, more */
    TOC_SLINK_EVENT_END,               /* server ended the stream */
    TOC_SLINK_EVENT_ERROR,             /* server said ERROR, or every station was refused: text */
    TOC_SLINK_EVENT_PROTOCOL_ERROR,    /* not SeedLink as we know it: text. Said once per connection */
    TOC_SLINK_EVENT_COUNT
};

/** `text`, `text2` and `record` are borrowed from the machine until the next call that changes it. */
struct toc_slink_event {
    enum toc_slink_event_type type;
    uint32_t station;      /* index in the list given to create; TOC_SLINK_NO_STATION: none, or for a RECORD: of a
                              station that was not asked for (count it, drop it) */
    uint32_t sequence;     /* RECORD: 24 bits, per station and server; with selectors holes are no loss */
    const uint8_t *record; /* RECORD, INFO: a miniSEED 2 record, not checked beyond its length */
    size_t length;         /* bytes of the record. A record that states no length is taken as 512 bytes, the constant
                              of SeisComP, and left to the decoder to refuse */
    bool more;             /* INFO: further packets belong to this answer */
    const char *text;      /* printable ASCII, never NULL */
    const char *text2;     /* likewise */
    int protocol_major, protocol_minor; /* HELLO: highest 3.x offered (SLPROTO tokens; without any, 3.0) */
    uint32_t n_accepted;   /* STREAMING */
};

struct toc_slink;

/**
 * A machine for one server, DISCONNECTED.
 *
 * @param stations  borrowed during the call
 * @return 0; -EINVAL for a code, selector or resume number out of its form, a station listed twice, or none;
 *         -E2BIG for more than the limits; -ENOMEM
 */
int toc_slink_create(const struct toc_slink_station *stations, size_t n_stations, struct toc_slink **ret_slink);
void toc_slink_destroy(struct toc_slink *slink);

/** The connection is up: forget everything of the last one but the resume points, queue HELLO. Any state. */
void toc_slink_connected(struct toc_slink *slink);

/** The connection is gone: DISCONNECTED; nothing to send, no events. Any state. */
void toc_slink_disconnected(struct toc_slink *slink);

/** Bytes to send now; ret_len 0 when none. Borrowed until the next call that changes the machine. */
void toc_slink_output(const struct toc_slink *slink, const uint8_t **ret_bytes, size_t *ret_len);

/** The first n of them are on their way. n beyond the output counts as all. */
void toc_slink_sent(struct toc_slink *slink, size_t n);

/**
 * Take bytes from the server. Pull all events before the next call.
 *
 * @return how many were taken; less than len only when the buffer is full, and never 0 for len > 0 once all events
 *         have been pulled
 */
size_t toc_slink_feed(struct toc_slink *slink, const uint8_t *bytes, size_t len);

/** The next event. @return false when more bytes are needed (ret_event untouched) */
bool toc_slink_next(struct toc_slink *slink, struct toc_slink_event *ret_event);

/**
 * Queue INFO ID: asks a silent server for a sign of life (an INFO event).
 *
 * @return 0; -EAGAIN when not STREAMING, or when earlier output still waits
 */
int toc_slink_keepalive(struct toc_slink *slink);

/**
 * The record with this number has been dealt with: after a reconnect, its station asks for the next one (24 bits,
 * wraps). Call it after processing, never before: a number noted too early is a lost packet.
 * ringserver positions a connection at the newest of the numbers asked for, so call it for every record in order.
 *
 * @param sequence  0..0xFFFFFF, or -1 to forget (another server: numbers of two servers do not compare)
 * @return 0, -EINVAL for an index or number out of range
 */
int toc_slink_acknowledge(struct toc_slink *slink, uint32_t station, int32_t sequence);

/** Last acknowledged number of a station; -1 none, or no such station. */
int32_t toc_slink_resume(const struct toc_slink *slink, uint32_t station);

/** Was the station accepted on this connection? */
bool toc_slink_accepted(const struct toc_slink *slink, uint32_t station);

enum toc_slink_state toc_slink_state(const struct toc_slink *slink);

/** Static texts. */
const char *toc_slink_state_str(enum toc_slink_state state);
const char *toc_slink_event_str(enum toc_slink_event_type type);

#endif
