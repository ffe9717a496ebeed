/*
 * miniSEED files as a feed. Records leave at the pace they had, times a
 * factor, or as fast as the loop turns, a bounded number each turn.
 */
#include "daemon/feed.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/clock.h"
#include "daemon/log.h"
#include "daemon/archive.h"

#define TURN_RECORDS 64     /* pushed in one turn of the loop */
#define PACE_MS 20
#define FIRST_MS 200        /* before the first record: time for subscribers of a demonstration */
#define LATENCY (TOC_NS_PER_S / 2) /* a record arrives this long after its last sample, as replay's default */

struct file_feed {
    struct toc_feed base; /* first */
    uv_timer_t timer;
    struct toc_feed_sink sink;
    struct toc_archive records;
    size_t next;
    double speed;
    toc_ns first;
    struct toc_mono started;
    bool begun, closing;
    char name[TOC_CONFIG_PATH_SIZE];
    struct toc_feed_report counts;
};

static bool is_due(const struct file_feed *f, const struct toc_archived *record)
{
    double at = toc_s_from_ns(record->arrival - f->first);

    return f->speed <= 0 || at <= toc_clock_elapsed_s(f->started, toc_clock_mono()) * f->speed;
}

static void give(struct file_feed *f, const struct toc_archived *record)
{
    f->counts.records++;
    f->counts.bytes += record->len;
    f->counts.newest = toc_clock_utc();
    f->sink.record(f->sink.user, record->bytes, record->len, record->arrival);
}

static void end(struct file_feed *f)
{
    uv_timer_stop(&f->timer);
    toc_log(TOC_LOG_NOTICE, "%s: all %zu records given", f->name, f->records.n);
    f->sink.ended(f->sink.user);
}

static void on_timer(uv_timer_t *timer)
{
    struct file_feed *f = timer->data;

    if (!f->begun) {
        f->begun = true;
        f->started = toc_clock_mono();
        uv_timer_set_repeat(timer, f->speed > 0 ? PACE_MS : 1);
        uv_timer_again(timer);
    }
    for (int n = 0; n < TURN_RECORDS && f->next < f->records.n && is_due(f, &f->records.records[f->next]); n++)
        give(f, &f->records.records[f->next++]);
    if (f->next == f->records.n && !f->closing)
        end(f);
}

static void report(const struct toc_feed *feed, struct toc_feed_report *ret_report)
{
    const struct file_feed *f = (const struct file_feed *)feed;

    *ret_report = f->counts;
    ret_report->name = f->name;
    ret_report->type = "file";
    ret_report->state = f->next < f->records.n ? "streaming" : "ended";
    ret_report->problem = "";
    ret_report->skipped_bytes = f->records.skipped_bytes;
}

static void on_closed(uv_handle_t *handle)
{
    struct file_feed *f = handle->data;

    toc_archive_finish(&f->records);
    free(f);
}

static void destroy(struct toc_feed *feed)
{
    struct file_feed *f = (struct file_feed *)feed;

    if (f->closing)
        return;
    f->closing = true;
    uv_close((uv_handle_t *)&f->timer, on_closed);
}

static const struct toc_feed_ops file_ops = {.report = report, .destroy = destroy};

static int load(struct file_feed *f, const char *path, char *why, size_t size)
{
    int err = toc_archive_load(path, &f->records, why, size);

    if (err == 0 && f->records.n == 0) {
        snprintf(why, size, "%s: holds no miniSEED record", path);
        return -ENODATA;
    }
    if (err < 0)
        return err;
    toc_archive_schedule(&f->records, LATENCY);
    f->first = f->records.records[0].arrival;
    if (f->records.skipped_bytes)
        toc_log(TOC_LOG_WARNING, "%s: %llu bytes are no records and were stepped over", path,
                (unsigned long long)f->records.skipped_bytes);
    return 0;
}

int toc_feed_file_create(uv_loop_t *loop, const struct toc_config_feed *config, const struct toc_feed_sink *sink,
                         struct toc_feed **ret_feed, char *ret_why, size_t why_size)
{
    struct file_feed *f = calloc(1, sizeof(*f));
    int err;

    if (!f)
        return -ENOMEM;
    f->base.ops = &file_ops;
    f->sink = *sink;
    f->speed = config->speed;
    f->counts.newest = TOC_NS_NONE;
    snprintf(f->name, sizeof(f->name), "%s", config->name[0] ? config->name : config->path);
    err = load(f, config->path, ret_why, why_size);
    if (err == 0)
        err = uv_timer_init(loop, &f->timer);
    if (err < 0) {
        toc_archive_finish(&f->records);
        free(f);
        return err;
    }
    f->timer.data = f;
    uv_timer_start(&f->timer, on_timer, FIRST_MS, 0);
    *ret_feed = &f->base;
    return 0;
}
