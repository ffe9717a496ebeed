/*
 * tocsind itself: the loop's owner. Feeds bring records, the pipeline turns
 * them into messages, the publisher sends them. All of it on one thread, but
 * for the batches that workers run. Files by part: daemon.c the
 * life, flow.c record to message, reload.c a new configuration, status.c what an
 * operator sees.
 */
#ifndef TOC_DAEMON_DAEMON_H
#define TOC_DAEMON_DAEMON_H

#include <stdbool.h>

#include <uv.h>

#include "core/decode.h"
#include "daemon/config.h"
#include "daemon/control.h"
#include "daemon/dataclock.h"
#include "daemon/encode_json.h"
#include "daemon/engine.h"
#include "daemon/feed.h"
#include "daemon/log.h"
#include "daemon/notify.h"
#include "daemon/publish.h"
#include "daemon/workers.h"

struct toc_daemon {
    uv_loop_t *loop;
    const char *config_path; /* borrowed; NULL: defaults */
    struct toc_config *config;
    uint32_t config_revision; /* from 1, counts accepted reloads */
    uint32_t reloads_refused;
    struct toc_engine engine;
    struct toc_publisher *publisher;
    struct toc_control *control;
    struct toc_feed *feeds[TOC_CONFIG_FEEDS_MAX];
    size_t n_feeds;
    uv_timer_t tick, flush;
    uv_check_t check;
    uv_signal_t terminate, interrupt, hangup;
    struct toc_notify notify;
    struct toc_dataclock clock;
    struct toc_decoder *decoder; /* data clock: when does a record end */
    uint8_t held[TOC_RECORD_MAX]; /* data clock: a record far ahead waits for a second one to say so too */
    size_t held_len;              /* 0: none */
    toc_ns held_arrival;
    struct toc_mono started;
    bool dirty;      /* data or time came since the last batch */
    bool feeds_ended;
    /* batches */
    struct toc_workers *workers; /* NULL: they are run on the loop, one a turn */
    uv_idle_t again;             /* without workers: more is due */
    bool late;                   /* told that a batch takes long */
    /* messages */
    struct toc_envelope envelope;
    struct toc_mono beat, second;
    uint8_t *seen; /* last status told of each group */
    uint32_t stations_up;
    struct toc_log_limit station_limit, record_limit, shadow_limit;
    char line[TOC_LINE_SIZE];
    /* the end */
    bool stopping;
    struct toc_mono stopped;
};

/* ---- flow.c ---- */

/** Sink of the feeds: `user` is the daemon. */
void toc_daemon_on_record(void *user, const uint8_t *bytes, size_t len, toc_ns arrival);
/** Ten times a second: time passes for the pipeline. */
void toc_daemon_pass_time(struct toc_daemon *d);
/** After each turn of the loop that brought something: start the batches that are due. */
void toc_daemon_infer(struct toc_daemon *d);
/** A batch came back from its worker. `user` is the daemon. */
void toc_daemon_on_batch(void *user, struct toc_batch *batch);
/** Send all that the pipeline has to say. */
void toc_daemon_drain(struct toc_daemon *d);
/** Send a heartbeat. */
void toc_daemon_beat(struct toc_daemon *d);

/* ---- reload.c ---- */

/** Read the configuration again. @return 0 (in use), or -errno with file:line:column and reason (the old one stays) */
int toc_daemon_reload(struct toc_daemon *d, char *ret_why, size_t why_size);
/** Limits of the publisher as configured. */
struct toc_publisher_limits toc_daemon_limits(const struct toc_config *config);

/* ---- status.c ---- */

/** Answer of the control socket; user is the daemon. */
char *toc_daemon_answer(void *user, const char *command);
/** Once a second: log stations that fell out or came back; STATUS= for the service manager. */
void toc_daemon_watch(struct toc_daemon *d);

/* ---- daemon.c ---- */

/**
 * Build everything and run until told to stop.
 *
 * @param config_path NULL: defaults. @param config owned from here on
 * @return exit code: 0 stopped as asked, 1 could not start (the reason was logged)
 */
int toc_daemon_run(const char *config_path, struct toc_config *config);

#endif
