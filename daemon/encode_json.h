/*
 * Products of the pipeline as JSON lines, as docs/alert-protocol.md says.
 * One line is one message, complete in itself.
 */
#ifndef TOC_DAEMON_ENCODE_JSON_H
#define TOC_DAEMON_ENCODE_JSON_H

#include "core/alert.h"
#include "core/pipeline.h"
#include "daemon/json.h"

#define TOC_SCHEMA_NAME "tocsin/1"

/* Room for the longest message: an alert with every station and target, names at full length and fully escaped. */
#define TOC_LINE_SIZE 131072

/** What every message of a stream carries. Texts are borrowed during the call. */
struct toc_envelope {
    uint64_t seq;
    toc_ns sent;
    const char *status;       /* actual, exercise, replay */
    uint32_t config_revision;
    const char *picker_name, *picker_hash;       /* NULL: no network in use */
    const char *second_name, *second_hash;
    const char *estimator_name, *estimator_hash;
    const char *model_problem; /* NULL: none; else why a configured network is not in use */
};

struct toc_heartbeat {
    uint32_t stations_up, stations_total;
    double feed_latency_s; /* median over stations; NAN unknown */
    const char *load;      /* how much is done per station (core/load.h) */
    double wait_s;         /* of the oldest data that wait for a worker */
};

/* Each writes one line, newline included. @return length or -ENOSPC (buf then holds nothing to be sent). */
int toc_encode_heartbeat(const struct toc_envelope *envelope, const struct toc_heartbeat *heartbeat, char *buf,
                         size_t size);
int toc_encode_pick(const struct toc_envelope *envelope, const struct toc_pick_report *report, char *buf, size_t size);
/** An onset that the live picker, its shadow or both said (replay). */
int toc_encode_shadow(const struct toc_envelope *envelope, const struct toc_shadow_note *note, char *buf, size_t size);
int toc_encode_estimate(const struct toc_envelope *envelope, const struct toc_estimate_report *report, char *buf,
                        size_t size);
int toc_encode_alert(const struct toc_envelope *envelope, const struct toc_alert *alert, char *buf, size_t size);


#endif
