/*
 * What an operator sees: the answer of the control socket, the log lines of
 * stations that change, the one line for the service manager.
 */
#include "daemon/daemon.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/clock.h"

#define STATUS_BASE_BYTES 65536
#define STATUS_GROUP_BYTES 512

static void put_feed(struct toc_json *json, const struct toc_feed *feed)
{
    struct toc_feed_report r;

    feed->ops->report(feed, &r);
    toc_json_open(json, NULL, '{');
    toc_json_text(json, "name", r.name);
    toc_json_text(json, "type", r.type);
    toc_json_text(json, "state", r.state);
    toc_json_text(json, "problem", r.problem);
    toc_json_count(json, "stations_asked", r.stations_asked);
    toc_json_count(json, "stations_accepted", r.stations_accepted);
    toc_json_count(json, "records", r.records);
    toc_json_count(json, "bytes", r.bytes);
    toc_json_count(json, "connects", r.connects);
    toc_json_count(json, "drops", r.drops);
    toc_json_count(json, "repeated", r.repeated);
    toc_json_count(json, "foreign", r.foreign);
    toc_json_count(json, "skipped_bytes", r.skipped_bytes);
    toc_json_time(json, "newest", r.newest);
    toc_json_close(json, '}');
}

static void put_group(struct toc_json *json, const struct toc_group_report *g, toc_ns now)
{
    bool known = g->newest != TOC_NS_NONE && now != TOC_NS_NONE;

    toc_json_open(json, NULL, '{');
    toc_json_text(json, "sid", g->sid);
    toc_json_text(json, "status", toc_station_status_str(g->status));
    toc_json_time(json, "newest", g->newest);
    toc_json_number(json, "latency_s", known ? toc_s_from_ns(now - g->newest) : (double)NAN, 2);
    toc_json_count(json, "samples", g->samples);
    toc_json_count(json, "gaps", g->gaps);
    toc_json_count(json, "picks", g->picks);
    toc_json_close(json, '}');
}

static void put_counters(struct toc_json *json, const struct toc_stats *s)
{
    toc_json_open(json, "counters", '{');
#define X(name) toc_json_count(json, #name, s->name);
    TOC_STATS_LIST(X)
#undef X
    toc_json_close(json, '}');
}

static void put_output(struct toc_json *json, const struct toc_daemon *d)
{
    struct toc_publisher_counts c = toc_publisher_counts(d->publisher);

    toc_json_open(json, "output", '{');
    toc_json_count(json, "seq", d->envelope.seq);
    toc_json_count(json, "subscribers", c.subscribers);
    toc_json_count(json, "lines", c.lines);
    toc_json_count(json, "accepted", c.accepted);
    toc_json_count(json, "refused", c.refused);
    toc_json_count(json, "cut_slow", c.cut_slow);
    toc_json_count(json, "cut_rubbish", c.cut_rubbish);
    toc_json_close(json, '}');
}

static void put_model(struct toc_json *json, const char *place, const struct toc_placed_model *placed, const char *none)
{
    toc_json_open(json, place, '{');
    toc_json_text(json, "name", placed->model ? toc_model_name(placed->model) : none);
    toc_json_text(json, "hash", placed->model ? toc_model_checksum(placed->model) : NULL);
    toc_json_text(json, "problem", placed->why[0] ? placed->why : NULL);
    toc_json_close(json, '}');
}

static void put_shadow(struct toc_json *json, const struct toc_daemon *d)
{
    const struct toc_model *shadow = d->engine.shadow.model;
    const struct toc_stats *s = toc_pipeline_stats(d->engine.pipeline);

    toc_json_open(json, "shadow_picker", '{');
    toc_json_text(json, "name", shadow ? toc_model_name(shadow) : "none");
    toc_json_text(json, "hash", shadow ? toc_model_checksum(shadow) : NULL);
    toc_json_text(json, "problem", d->engine.shadow.why[0] ? d->engine.shadow.why : NULL);
    toc_json_count(json, "both", s->shadow_both);
    toc_json_count(json, "live_only", s->shadow_live_only);
    toc_json_count(json, "shadow_only", s->shadow_only);
    toc_json_close(json, '}');
}

static void put_models(struct toc_json *json, const struct toc_daemon *d)
{
    toc_json_open(json, "models", '{');
    put_model(json, "picker", &d->engine.picker, "classical");
    put_model(json, "second", &d->engine.second, "none");
    put_model(json, "estimator", &d->engine.estimator, "classical");
    put_shadow(json, d);
    toc_json_count(json, "stations_changing", toc_pipeline_changing(d->engine.pipeline));
    toc_json_close(json, '}');
}

static void put_head(struct toc_json *json, const struct toc_daemon *d, toc_ns now)
{
    toc_json_text(json, "name", d->config->name);
    toc_json_text(json, "status", toc_config_status_str(d->config));
    toc_json_time(json, "now", now);
    toc_json_number(json, "uptime_s", toc_clock_elapsed_s(d->started, toc_clock_mono()), 1);
    toc_json_text(json, "config", d->config_path);
    toc_json_count(json, "config_revision", d->config_revision);
    toc_json_count(json, "reloads_refused", d->reloads_refused);
    toc_json_text(json, "picker", d->envelope.picker_name ? d->envelope.picker_name : "classical");
    toc_json_text(json, "estimator", d->envelope.estimator_name ? d->envelope.estimator_name : "classical");
    toc_json_bool(json, "feeds_ended", d->feeds_ended);
    toc_json_count(json, "workers", d->workers ? toc_config_workers(d->config) : 0);
    toc_json_text(json, "load", toc_load_mode_str(toc_pipeline_load(d->engine.pipeline)));
    toc_json_number(json, "wait_s", now == TOC_NS_NONE ? 0 : toc_pipeline_wait_s(d->engine.pipeline, now), 3);
}

static void put_status(struct toc_json *json, const struct toc_daemon *d)
{
    toc_ns now = toc_dataclock_now(&d->clock);
    struct toc_group_report g;

    toc_json_open(json, NULL, '{');
    put_head(json, d, now);
    put_models(json, d);
    toc_json_open(json, "feeds", '[');
    for (size_t i = 0; i < d->n_feeds; i++)
        put_feed(json, d->feeds[i]);
    toc_json_close(json, ']');
    toc_json_open(json, "stations", '[');
    for (size_t i = 0; toc_pipeline_group(d->engine.pipeline, i, &g) == 0; i++)
        put_group(json, &g, now);
    toc_json_close(json, ']');
    put_counters(json, toc_pipeline_stats(d->engine.pipeline));
    put_output(json, d);
    toc_json_close(json, '}');
}

static char *answer_status(const struct toc_daemon *d)
{
    size_t size = STATUS_BASE_BYTES + STATUS_GROUP_BYTES * toc_pipeline_groups(d->engine.pipeline);
    struct toc_json json;
    char *text = malloc(size);

    if (!text)
        return NULL;
    toc_json_init(&json, text, size);
    put_status(&json, d);
    if (toc_json_finish(&json) < 0)
        snprintf(text, size, "{\"error\":\"status too long\"}\n");
    return text;
}

static char *answer_reload(struct toc_daemon *d)
{
    char why[1024] = "", text[1200];

    if (toc_daemon_reload(d, why, sizeof(why)) < 0)
        snprintf(text, sizeof(text), "error %s\n", why);
    else
        snprintf(text, sizeof(text), "ok revision %u\n", d->config_revision);
    return strdup(text);
}

char *toc_daemon_answer(void *user, const char *command)
{
    struct toc_daemon *d = user;

    if (strcmp(command, "status") == 0)
        return answer_status(d);
    if (strcmp(command, "reload") == 0)
        return answer_reload(d);
    return strdup("error unknown command (status, reload)\n");
}

/* ---- once a second ---- */

static bool is_up(enum toc_station_status status)
{
    return status == TOC_STATION_OK || status == TOC_STATION_CLIPPED;
}

/* A station that leaves or comes back is news; how it warms up at the start is not. */
static void tell_change(struct toc_daemon *d, const struct toc_group_report *g, enum toc_station_status before)
{
    const struct toc_log_about about = {.kind = TOC_LOG_STATION, .station = g->sid};

    if (is_up(g->status) == is_up(before) || (before != TOC_STATION_OK && !is_up(g->status)))
        return;
    if (before == TOC_STATION_NO_DATA || before == TOC_STATION_WARMING)
        return;
    if (toc_log_allow(&d->station_limit, toc_clock_mono()))
        toc_log_about(is_up(g->status) ? TOC_LOG_INFO : TOC_LOG_NOTICE, &about, "%s: %s -> %s", g->sid,
                      toc_station_status_str(before), toc_station_status_str(g->status));
}

static uint32_t watch_stations(struct toc_daemon *d)
{
    struct toc_group_report g;
    uint32_t up = 0;

    for (size_t i = 0; toc_pipeline_group(d->engine.pipeline, i, &g) == 0; i++) {
        tell_change(d, &g, (enum toc_station_status)d->seen[i]);
        d->seen[i] = (uint8_t)g.status;
        up += is_up(g.status) || g.status == TOC_STATION_NOISY;
    }
    return up;
}

void toc_daemon_watch(struct toc_daemon *d)
{
    uint32_t up = watch_stations(d), total = (uint32_t)toc_pipeline_groups(d->engine.pipeline);
    const struct toc_stats *s = toc_pipeline_stats(d->engine.pipeline);
    char text[160];

    toc_engine_release(&d->engine);
    if (up != d->stations_up && (up == total || up == 0 || d->stations_up == 0 || d->stations_up == total))
        toc_log(TOC_LOG_NOTICE, "%u of %u stations up", up, total);
    d->stations_up = up;
    snprintf(text, sizeof(text), "%u/%u stations, %llu picks, %llu events, revision %u", up, total,
             (unsigned long long)(s->picks_p + s->picks_s), (unsigned long long)s->events, d->config_revision);
    toc_notify_status(&d->notify, text);
}
