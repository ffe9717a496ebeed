/*
 * The life of the daemon: up one ladder, down another, and between them the
 * loop. Start-up errors are fatal and specific; afterwards nothing but a
 * signal ends it.
 */
#include "daemon/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/clock.h"

#define TICK_MS 100
#define FLUSH_MS 20
#define FLUSH_PATIENCE_S 1.0 /* of the two seconds a stop may take */
#define DATA_PATIENCE_S 10.0
#define FILE_PATIENCE_S 1.0

/* ---- the end ---- */

/* Feeds and sockets free themselves; the daemon's own handles need no callback. */
static void close_all(struct toc_daemon *d)
{
    uv_handle_t *own[] = {(uv_handle_t *)&d->tick,      (uv_handle_t *)&d->flush,     (uv_handle_t *)&d->check,
                          (uv_handle_t *)&d->terminate, (uv_handle_t *)&d->interrupt, (uv_handle_t *)&d->hangup,
                          (uv_handle_t *)&d->again};

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (own[i]->loop && !uv_is_closing(own[i])) /* no loop: the start did not come that far */
            uv_close(own[i], NULL);
    toc_publisher_destroy(d->publisher);
    toc_control_destroy(d->control);
    toc_workers_destroy(d->workers);
    d->workers = NULL;
    d->publisher = NULL;
    d->control = NULL;
}

static void close_feeds(struct toc_daemon *d)
{
    for (size_t i = 0; i < d->n_feeds; i++)
        d->feeds[i]->ops->destroy(d->feeds[i]);
    d->n_feeds = 0;
}

/* Subscribers get what is queued for them, if they read it within a second. */
static void on_flush(uv_timer_t *timer)
{
    struct toc_daemon *d = timer->data;

    if (toc_workers_busy(d->workers) || (toc_publisher_pending(d->publisher) > 0 &&
                     toc_clock_elapsed_s(d->stopped, toc_clock_mono()) < FLUSH_PATIENCE_S))
        return;
    close_all(d);
}

static void stop(struct toc_daemon *d, const char *reason)
{
    if (d->stopping)
        return;
    d->stopping = true;
    toc_log(TOC_LOG_NOTICE, "stopping: %s", reason);
    toc_notify_stopping();
    close_feeds(d);
    uv_timer_stop(&d->tick);
    uv_idle_stop(&d->again);
    toc_daemon_drain(d);
    d->stopped = toc_clock_mono();
    uv_timer_start(&d->flush, on_flush, 0, FLUSH_MS);
}

/* ---- the loop's callbacks ---- */

static void on_terminate(uv_signal_t *handle, int number)
{
    stop(handle->data, number == SIGTERM ? "SIGTERM" : "SIGINT");
}

static void on_hangup(uv_signal_t *handle, int number)
{
    char why[1024];

    (void)number;
    (void)toc_daemon_reload(handle->data, why, sizeof(why)); /* logged there */
}

/* Fed only while inference gets done: a stuck worker must not look alive. */
static void feed_watchdog(struct toc_daemon *d, struct toc_mono now)
{
    bool stuck = d->notify.watchdog_s > 0 && toc_workers_oldest_s(d->workers, now) > d->notify.watchdog_s / 2;

    if (!stuck)
        toc_notify_alive(&d->notify, now);
}

static void on_tick(uv_timer_t *timer)
{
    struct toc_daemon *d = timer->data;
    struct toc_mono now = toc_clock_mono();

    toc_daemon_pass_time(d);
    if (toc_clock_elapsed_s(d->beat, now) >= d->config->heartbeat_s - 0.5 * TICK_MS / 1000.0) {
        d->beat = now;
        toc_daemon_beat(d);
    }
    if (toc_clock_elapsed_s(d->second, now) >= 1) {
        d->second = now;
        toc_daemon_watch(d);
    }
    feed_watchdog(d, now);
}

static void on_check(uv_check_t *check)
{
    struct toc_daemon *d = check->data;

    if (!d->stopping)
        toc_daemon_infer(d);
}

static void on_feed_ended(void *user)
{
    struct toc_daemon *d = user;

    d->feeds_ended = true; /* events still speak: the clock goes on by itself */
}

/* ---- the start ---- */

static int start_handles(struct toc_daemon *d)
{
    uv_timer_init(d->loop, &d->tick);
    uv_timer_init(d->loop, &d->flush);
    uv_check_init(d->loop, &d->check);
    uv_idle_init(d->loop, &d->again);
    uv_signal_init(d->loop, &d->terminate);
    uv_signal_init(d->loop, &d->interrupt);
    uv_signal_init(d->loop, &d->hangup);
    d->tick.data = d->flush.data = d->check.data = d;
    d->terminate.data = d->interrupt.data = d->hangup.data = d;
    uv_check_start(&d->check, on_check);
    uv_timer_start(&d->tick, on_tick, TICK_MS, TICK_MS);
    if (uv_signal_start(&d->terminate, on_terminate, SIGTERM) < 0 ||
        uv_signal_start(&d->interrupt, on_terminate, SIGINT) < 0 || uv_signal_start(&d->hangup, on_hangup, SIGHUP) < 0)
        return -ENOMEM;
    return 0;
}

static int start_feed(struct toc_daemon *d, const struct toc_config_feed *config, char *why, size_t size)
{
    const struct toc_feed_sink sink = {.user = d, .record = toc_daemon_on_record, .ended = on_feed_ended};
    struct toc_feed **ret = &d->feeds[d->n_feeds];
    int err;

    if (config->type == TOC_FEED_FILE)
        err = toc_feed_file_create(d->loop, config, &sink, ret, why, size);
    else
        err = toc_feed_seedlink_create(d->loop, config, &d->engine.inventory, &sink, ret, why, size);
    if (err == 0)
        d->n_feeds++;
    return err;
}

static int start_feeds(struct toc_daemon *d, char *why, size_t size)
{
    const struct toc_config_feed *feeds = toc_config_feeds(d->config);
    int err = 0;

    if (d->config->feeds.n == 0)
        toc_log(TOC_LOG_WARNING, "no feed is configured: nothing will come in");
    for (size_t i = 0; i < d->config->feeds.n && err == 0; i++)
        err = start_feed(d, &feeds[i], why, size);
    return err;
}

static int start_clock(struct toc_daemon *d)
{
    const struct toc_config_feed *feeds = toc_config_feeds(d->config);
    bool file = d->config->feeds.n && feeds[0].type == TOC_FEED_FILE;

    toc_dataclock_init(&d->clock, file || d->config->clock == TOC_CLOCK_DATA,
                       file ? FILE_PATIENCE_S : DATA_PATIENCE_S);
    return d->clock.data ? toc_decoder_create(&d->decoder) : 0;
}

static int start_workers(struct toc_daemon *d)
{
    unsigned n = toc_config_workers(d->config);

    return d->clock.data || n == 0 ? 0 : toc_workers_create(d->loop, n, toc_daemon_on_batch, d, &d->workers);
}

/* The data clock works in place, in a fixed order, as replay does; without workers one batch at a time is out. */
static int start_engine(struct toc_daemon *d, char *why, size_t size)
{
    unsigned n = toc_config_workers(d->config);

    return toc_engine_init(d->config, d->clock.data ? 0 : n > 0 ? n : 1, true, &d->engine, why, size);
}

static int start_sockets(struct toc_daemon *d, char *why, size_t size)
{
    struct toc_publisher_limits limits = toc_daemon_limits(d->config);
    int err = toc_publisher_create(d->loop, d->config->output_path, &limits, &d->publisher, why, size);

    if (err < 0)
        return err;
    return toc_control_create(d->loop, d->config->control_path, toc_daemon_answer, d, &d->control, why, size);
}

static int start(struct toc_daemon *d, char *why, size_t size)
{
    int err = start_clock(d);

    if (err == 0)
        err = start_engine(d, why, size);
    if (err < 0)
        return err;
    toc_engine_describe(&d->engine, &d->envelope);
    d->seen = malloc(toc_pipeline_groups(d->engine.pipeline) + 1);
    if (!d->seen)
        return -ENOMEM;
    memset(d->seen, TOC_STATION_NO_DATA, toc_pipeline_groups(d->engine.pipeline) + 1);
    err = start_workers(d);
    if (err == 0)
        err = start_sockets(d, why, size);
    if (err == 0)
        err = start_handles(d);
    return err == 0 ? start_feeds(d, why, size) : err;
}

static void announce(struct toc_daemon *d)
{
    toc_log(TOC_LOG_NOTICE, "%s ready: %zu station groups, %zu feeds, %zu targets, picker %s, estimator %s, status %s",
            d->config->name, toc_pipeline_groups(d->engine.pipeline), d->n_feeds, d->config->n_targets,
            d->envelope.picker_name ? d->envelope.picker_name : "classical",
            d->envelope.estimator_name ? d->envelope.estimator_name : "classical", toc_config_status_str(d->config));
    toc_notify_ready();
}

static void finish(struct toc_daemon *d)
{
    close_feeds(d);
    close_all(d);
    uv_run(d->loop, UV_RUN_DEFAULT); /* close callbacks, and a name server's last answer */
    if (uv_loop_close(d->loop) < 0)
        toc_log(TOC_LOG_ERROR, "the loop still holds handles (please report)");
    toc_engine_finish(&d->engine);
    toc_decoder_destroy(d->decoder);
    toc_config_destroy(d->config);
    free(d->seen);
    free(d);
}

static int run(struct toc_daemon *d)
{
    char why[1024] = "out of memory";

    toc_notify_init(&d->notify);
    d->started = d->beat = d->second = toc_clock_mono();
    if (start(d, why, sizeof(why)) < 0) {
        toc_log(TOC_LOG_ERROR, "cannot start: %s", why);
        return 1;
    }
    announce(d);
    uv_run(d->loop, UV_RUN_DEFAULT);
    return 0;
}

int toc_daemon_run(const char *config_path, struct toc_config *config)
{
    struct toc_daemon *d = calloc(1, sizeof(*d));
    uv_loop_t loop;
    int code;

    if (!d || uv_loop_init(&loop) < 0) {
        free(d);
        toc_config_destroy(config);
        return 1;
    }
    d->loop = &loop;
    d->config_path = config_path;
    d->config = config;
    d->config_revision = 1;
    code = run(d);
    finish(d);
    return code;
}
