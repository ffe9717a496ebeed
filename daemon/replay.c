/*
 * Virtual time moves from record to record and from tick to tick; `sent`
 * and `issued` are virtual too.
 */
#include "daemon/replay.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/clock.h"
#include "daemon/encode_json.h"
#include "daemon/engine.h"
#include "daemon/log.h"
#include "daemon/archive.h"

#define TICK (TOC_NS_PER_S / 10)
#define JUMP_S 900.0 /* a longer hole in the data is ticked through this far, then skipped */
#define WHY_SIZE 1024

struct stream {
    FILE *file; /* NULL: not wanted */
    const char *path;
    uint64_t seq;
};

struct replay {
    const struct toc_replay_options *options;
    struct toc_config *config;
    struct toc_engine engine;
    struct toc_archive records;
    struct toc_envelope envelope;
    struct stream alerts, picks, estimates, differences;
    toc_ns now, next_tick;
    struct toc_mono started, shown;
    toc_ns started_at; /* virtual */
    char line[TOC_LINE_SIZE];
    char why[WHY_SIZE];
};

/* ---- reading ---- */

static bool in_folder(const struct replay *r, const char *name, char *ret_path, size_t size)
{
    snprintf(ret_path, size, "%s/%s", r->options->folder, name);
    return access(ret_path, F_OK) == 0;
}

static int refuse(struct replay *r, const struct toc_config_error *error, int err)
{
    toc_config_error_str(error, r->why, sizeof(r->why));
    return err;
}

static int load_config(struct replay *r)
{
    char path[TOC_CONFIG_PATH_SIZE];
    struct toc_config_error error = {0};
    int err = 0;

    if (r->options->config)
        err = toc_config_load(r->options->config, &r->config, &error);
    else if (in_folder(r, "tocsin.yaml", path, sizeof(path)))
        err = toc_config_load(path, &r->config, &error);
    else
        err = toc_config_create(&r->config);
    if (err == 0 && in_folder(r, "targets.yaml", path, sizeof(path)))
        err = toc_config_read_targets(r->config, path, &error);
    return err < 0 ? refuse(r, &error, err) : 0;
}

/* The folder's own stations come first: a configuration made for live use names other ones. */
static int choose_stations(struct replay *r)
{
    char path[TOC_CONFIG_PATH_SIZE];

    if (in_folder(r, "stations.txt", path, sizeof(path)))
        memcpy(r->config->stations_path, path, sizeof(path));
    if (r->config->stations_path[0])
        return 0;
    if (in_folder(r, "stations.xml", path, sizeof(path)))
        snprintf(r->why, sizeof(r->why), "%.400s: StationXML is not read yet: stations.txt (FDSN text) is needed",
                 path);
    else
        snprintf(r->why, sizeof(r->why), "%.400s holds no stations.txt", r->options->folder);
    return -ENOENT;
}

static int load_records(struct replay *r)
{
    char path[TOC_CONFIG_PATH_SIZE], reason[256];
    struct toc_file file;
    int err = toc_archive_load(r->options->folder, &r->records, r->why, sizeof(r->why));

    if (err < 0)
        return err;
    toc_archive_schedule(&r->records, toc_ns_from_s(r->options->latency_s));
    if (!in_folder(r, "arrivals.csv", path, sizeof(path)))
        return 0;
    err = toc_file_read(path, 1u << 30, &file);
    snprintf(reason, sizeof(reason), "%s", strerror(-err));
    if (err == 0) {
        err = toc_archive_override(&r->records, file.bytes, reason, sizeof(reason));
        toc_file_finish(&file);
    }
    if (err < 0)
        snprintf(r->why, sizeof(r->why), "%.400s: %s", path, reason);
    return err;
}

static int open_stream(struct replay *r, const char *path, bool wanted, struct stream *ret_stream)
{
    *ret_stream = (struct stream){.path = path ? path : "standard output"};
    if (!wanted)
        return 0;
    ret_stream->file = path ? fopen(path, "we") : stdout;
    if (ret_stream->file)
        return 0;
    snprintf(r->why, sizeof(r->why), "%s: %s", path, strerror(errno));
    return -errno;
}

static int open_streams(struct replay *r)
{
    const struct toc_replay_options *o = r->options;
    int err = open_stream(r, o->out, true, &r->alerts);

    if (err == 0)
        err = open_stream(r, o->picks, o->picks, &r->picks);
    if (err == 0)
        err = open_stream(r, o->estimates, o->estimates, &r->estimates);
    if (err == 0)
        err = open_stream(r, o->differences, r->engine.shadow.model, &r->differences);
    return err;
}

static int prepare(struct replay *r)
{
    int err = load_config(r);

    if (err == 0)
        err = choose_stations(r);
    if (err == 0)
        err = load_records(r);
    if (err == 0 && r->options->shadow)
        snprintf(r->config->shadow_path, sizeof(r->config->shadow_path), "%s", r->options->shadow);
    if (err == 0)
        err = toc_engine_init(r->config, 0, false, &r->engine, r->why, sizeof(r->why));
    if (err == 0)
        err = open_streams(r);
    if (err < 0)
        return err;
    r->envelope = (struct toc_envelope){.status = "replay", .config_revision = 1};
    if (r->config->status == TOC_STATUS_EXERCISE)
        r->envelope.status = "exercise";
    toc_engine_describe(&r->engine, &r->envelope);
    return 0;
}

/* ---- writing ---- */

static struct toc_envelope *stamp(struct replay *r, struct stream *stream)
{
    r->envelope.seq = ++stream->seq;
    r->envelope.sent = r->now;
    return &r->envelope;
}

static void emit(struct replay *r, struct stream *stream, int len)
{
    if (len < 0)
        toc_log(TOC_LOG_ERROR, "a message did not fit %d bytes and was left out", TOC_LINE_SIZE);
    else
        fwrite(r->line, 1, (size_t)len, stream->file); /* errors are sticky; close_stream() looks */
}

static void drain(struct replay *r)
{
    struct toc_pick_report pick;
    struct toc_estimate_report estimate;
    struct toc_shadow_note note;
    static struct toc_alert alert; /* large; one thread */
    struct toc_pipeline *p = r->engine.pipeline;

    while (toc_pipeline_next_pick(p, &pick))
        if (r->picks.file)
            emit(r, &r->picks, toc_encode_pick(stamp(r, &r->picks), &pick, r->line, sizeof(r->line)));
    while (toc_pipeline_next_estimate(p, &estimate))
        if (r->estimates.file)
            emit(r, &r->estimates, toc_encode_estimate(stamp(r, &r->estimates), &estimate, r->line, sizeof(r->line)));
    while (toc_pipeline_next_shadow(p, &note))
        if (r->differences.file)
            emit(r, &r->differences, toc_encode_shadow(stamp(r, &r->differences), &note, r->line, sizeof(r->line)));
    while (toc_pipeline_next_alert(p, &alert))
        emit(r, &r->alerts, toc_encode_alert(stamp(r, &r->alerts), &alert, r->line, sizeof(r->line)));
    if (r->options->speed > 0)
        fflush(r->alerts.file);
}

static int close_stream(struct replay *r, struct stream *stream)
{
    bool bad;

    if (!stream->file)
        return 0;
    bad = fflush(stream->file) != 0 || ferror(stream->file);
    if (stream->file != stdout)
        bad = fclose(stream->file) != 0 || bad;
    stream->file = NULL;
    if (bad)
        snprintf(r->why, sizeof(r->why), "%s: could not be written", stream->path);
    return bad ? -EIO : 0;
}

static int close_streams(struct replay *r)
{
    int err = close_stream(r, &r->alerts), next = close_stream(r, &r->picks);

    err = err ? err : next;
    next = close_stream(r, &r->estimates);
    err = err ? err : next;
    next = close_stream(r, &r->differences);
    return err ? err : next;
}

/* ---- time ---- */

static void sleep_s(double s)
{
    struct timespec ts = {.tv_sec = (time_t)s, .tv_nsec = (long)((s - floor(s)) * 1e9)};

    while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
        ;
}

/* With a speed, wait until real time has come as far as `next` is in virtual time. */
static void pace(struct replay *r, toc_ns next)
{
    double due = toc_s_from_ns(next - r->started_at) / r->options->speed;
    double gone = toc_clock_elapsed_s(r->started, toc_clock_mono());

    if (due > gone)
        sleep_s(due - gone);
}

static void move_to(struct replay *r, toc_ns next)
{
    if (r->options->speed > 0)
        pace(r, next);
    r->now = next;
}

static void tick_until(struct replay *r, toc_ns until)
{
    for (; r->next_tick <= until; r->next_tick += TICK) {
        move_to(r, r->next_tick);
        toc_pipeline_tick(r->engine.pipeline, r->now);
        toc_pipeline_work(r->engine.pipeline, r->now);
        drain(r);
    }
}

/* A hole of years, which one forged record can make, must not take years of ticks. */
static void go_to(struct replay *r, toc_ns arrival)
{
    toc_ns most = toc_ns_from_s(JUMP_S);

    if (arrival - r->next_tick > 2 * most) {
        tick_until(r, r->next_tick + most);
        r->next_tick = arrival - arrival % TICK;
        r->started_at = arrival; /* do not sleep through it either */
        r->started = toc_clock_mono();
    }
    tick_until(r, arrival);
    move_to(r, arrival > r->now ? arrival : r->now);
}

/* ---- progress ---- */

static void show_progress(struct replay *r, size_t done)
{
    struct toc_mono now = toc_clock_mono();
    double gone = toc_clock_elapsed_s(r->started, now), share = (double)done / (double)r->records.n;

    if (toc_clock_elapsed_s(r->shown, now) < 0.5 || gone < 1)
        return;
    r->shown = now;
    fprintf(stderr, "\r%3.0f %%, %.0f s to go   ", 100 * share, gone / share - gone);
    fflush(stderr);
}

static void summarise(struct replay *r, bool terminal)
{
    const struct toc_stats *s = toc_pipeline_stats(r->engine.pipeline);
    double took = toc_clock_elapsed_s(r->started, toc_clock_mono());
    double span = toc_s_from_ns(r->records.records[r->records.n - 1].end - r->records.records[0].end);

    if (terminal)
        fputs("\r                              \r", stderr);
    fprintf(stderr, "%zu records (%llu refused, %llu without metadata, %llu bytes stepped over), %llu samples, "
            "%llu P and %llu S picks, %llu events, %llu messages; %.0f s of data in %.1f s (%.0f times real time)\n",
            r->records.n, (unsigned long long)s->records_refused, (unsigned long long)s->records_unknown,
            (unsigned long long)r->records.skipped_bytes, (unsigned long long)s->samples,
            (unsigned long long)s->picks_p, (unsigned long long)s->picks_s, (unsigned long long)s->events,
            (unsigned long long)s->alerts, span, took, took > 0 ? span / took : 0.0);
}

/* ---- the run ---- */

/* How long events may still speak after the last record. */
static double tail_s(const struct toc_config *config)
{
    return config->core.stream.gap_hold_s + config->core.alert.final_after_s + config->core.associator.close_s + 10;
}

static void run(struct replay *r)
{
    bool terminal = !r->options->quiet && isatty(STDERR_FILENO);
    const struct toc_archived *records = r->records.records;

    r->started = r->shown = toc_clock_mono();
    r->started_at = r->now = records[0].arrival;
    r->next_tick = r->now - r->now % TICK;
    for (size_t i = 0; i < r->records.n; i++) {
        go_to(r, records[i].arrival);
        (void)toc_pipeline_push_record(r->engine.pipeline, records[i].bytes, records[i].len, r->now); /* counted */
        toc_pipeline_work(r->engine.pipeline, r->now);
        drain(r);
        if (terminal && i % 256 == 0)
            show_progress(r, i + 1);
    }
    tick_until(r, r->now + toc_ns_from_s(tail_s(r->config)));
    if (!r->options->quiet)
        summarise(r, terminal);
}

static int run_all(struct replay *r)
{
    int err = prepare(r);

    if (err == 0 && r->records.n == 0) {
        snprintf(r->why, sizeof(r->why), "%s: no miniSEED record in its files", r->options->folder);
        err = -ENODATA;
    }
    if (err == 0)
        run(r);
    if (err == 0)
        return close_streams(r);
    (void)close_streams(&(struct replay){.alerts = r->alerts, .picks = r->picks, .estimates = r->estimates, .differences = r->differences});
    return err;
}

int toc_replay_run(const struct toc_replay_options *options)
{
    struct replay *r = calloc(1, sizeof(*r));
    int err;

    if (!r)
        return -ENOMEM;
    r->options = options;
    err = run_all(r);
    if (err < 0)
        toc_log(TOC_LOG_ERROR, "%s", r->why[0] ? r->why : strerror(-err));
    toc_engine_finish(&r->engine);
    toc_archive_finish(&r->records);
    toc_config_destroy(r->config);
    free(r);
    return err;
}
