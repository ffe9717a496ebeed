/*
 * Thousands of stations through the whole core: Steim2 records of made-up
 * ground, phases spread, in the order of their data time. First flat out on
 * one thread, with the time of each part of the hallway; then in real time
 * with two workers, with the delay from the arrival of a record to the frames
 * of its last whole hop. Or each stage alone on the same data. Prints figures,
 * judges nothing.
 *
 *   bench_pipeline [stations [samples-per-record [seconds-in-real-time [hop in s]]]]
 *   bench_pipeline stages
 *
 * Half of the stations stand off the 10 ms grid, so that their samples are interpolated. One in sixteen hears a small
 * quake each minute. Nothing is counted in the first seconds, while everybody begins and memory is touched.
 */
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/classic.h"
#include "core/decode.h"
#include "core/estimator.h"
#include "core/group.h"
#include "core/model.h"
#include "core/picker.h"
#include "core/pipeline.h"
#include "core/ring.h"
#include "tests/unit/make_record.h"
#include "tests/unit/model_file.h"

#define RATE 100
#define WARM_S 6
#define CYCLE_S 60
#define CYCLE (CYCLE_S * RATE)
#define TEMPLATES 32
#define RECLEN 512
#define PIECES_MAX (CYCLE / 20)
#define SLOT_NS (10 * INT64_C(1000000)) /* the calendar's grain */
#define SLOTS 1024u                     /* 10 s ahead: longer than any record */
#define NOBODY UINT32_MAX
#define T0 (INT64_C(1767225600) * TOC_NS_PER_S) /* 2026-01-01 */

/* One channel's minute, cut into records. */
struct tape {
    int32_t samples[CYCLE];
    uint8_t (*records)[RECLEN];
    uint32_t from[PIECES_MAX + 1]; /* sample of each record; [n] = CYCLE */
    uint32_t n;
};

/* A station plays its template from its own place on, its three records together. */
struct player {
    toc_ns start;      /* time of sample 0 of the tape's first pass */
    uint32_t template, piece;
    int64_t pass;
    uint32_t next;     /* in its calendar slot */
    toc_ns arrival;    /* of the record it waits for */
    toc_ns hop_end;    /* wanted: picks up to here */
    double pushed_s;   /* when the record with that came; 0: nothing is waited for */
};

static struct tape (*tapes)[3];
static struct player *players;
static uint32_t n_stations, longest_record, calendar[SLOTS];
static struct toc_inventory inventory;
static struct toc_model *picker, *second_look, *estimator;
static double hop_s; /* 0: the default */
static struct toc_travel *travel;

static double clock_s(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double rss_kb(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%*d %ld", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1024;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_pipeline: %s\n", what);
    exit(1);
}

/* ---- the data --------------------------------------------------------------------------------------------- */

static double uniform(uint64_t *random)
{
    return (double)(make_random(random) >> 11) * 0x1p-53 - 0.5;
}

/* Ground noise of some hundred counts, and in one template of sixteen a P and an S that die away. */
static void make_samples(int32_t *samples, int template, int component, uint64_t *random)
{
    double slow = 0, ring = 0, last = 0, p = 20 * RATE, s = p + (4 + template % 5) * RATE;
    for (int k = 0; k < CYCLE; k++) {
        double drive = uniform(random), amplitude = 0;
        slow = 0.98 * slow + 40 * uniform(random);
        if (template % 16 == 0 && k >= p)
            amplitude += (component == 2 ? 1 : 0.4) * exp(-(k - p) / (3.0 * RATE));
        if (template % 16 == 0 && k >= s)
            amplitude += (component == 2 ? 1 : 3) * exp(-(k - s) / (5.0 * RATE));
        double now = 1.6 * ring - 0.9 * last + drive;
        last = ring;
        ring = now;
        samples[k] = (int32_t)lround(slow + 20 * drive + 600 * amplitude * ring);
    }
}

static void cut(struct tape *tape, uint32_t longest)
{
    static uint8_t bytes[MAKE_RECORD_MAX];
    tape->records = calloc(PIECES_MAX, RECLEN);
    for (uint32_t at = 0; at < CYCLE; tape->n++) {
        struct make_record spec = make_record_default();
        int length = 0;
        spec.samples = tape->samples + at;
        spec.n = (int)(longest < CYCLE - at ? longest : CYCLE - at);
        if (make_record(&spec, bytes, &length) != spec.n || length != RECLEN)
            die("a record cannot be made");
        memcpy(tape->records[tape->n], bytes, RECLEN);
        tape->from[tape->n] = at;
        at += (uint32_t)spec.n;
        tape->from[tape->n + 1] = at;
    }
}

/* Records are as long as asked, up to what 512 bytes hold of noise (10 bits a sample) and of a quake (16 bits). */
static void make_tapes(uint32_t longest)
{
    uint64_t random = 77;
    tapes = calloc(TEMPLATES, sizeof *tapes);
    for (int t = 0; t < TEMPLATES; t++)
        for (int c = 0; c < 3; c++) {
            uint32_t most = t % 16 == 0 ? 180 : 280;
            make_samples(tapes[t][c].samples, t, c, &random);
            cut(&tapes[t][c], longest < most ? longest : most);
        }
}

static void add_station(uint32_t s)
{
    static const char *const codes[] = {"HHE", "HHN", "HHZ"};
    char station[8];
    snprintf(station, sizeof station, "S%04u", s % 10000);
    for (int i = 0; i < 3; i++) {
        struct toc_channel *c = &inventory.channels[inventory.n++];
        if (toc_sid_make(s < 10000 ? "XA" : "XB", station, "", codes[i], c->sid) < 0)
            die("a name cannot be made");
        c->latitude_deg = 32 + 10 * ((double)(s * 2654435761u) / 4294967296.0);
        c->longitude_deg = -124 + 10 * ((double)(s * 2246822519u) / 4294967296.0);
        c->azimuth_deg = i == 0 ? 90 : 0;
        c->dip_deg = i == 2 ? -90 : 0;
        c->scale = 6e8;
        c->unit = TOC_UNIT_VELOCITY;
        c->rate_hz = RATE;
        c->start = c->end = TOC_NS_NONE;
    }
}

static struct toc_model *load(const char *name)
{
    const char *root = getenv("TOCSIN_SOURCE");
    char path[512], why[256] = "";
    struct toc_model *model = NULL;
    size_t len = 0;
    snprintf(path, sizeof path, "%s/models/%s/weights.safetensors", root ? root : ".", name);
    uint8_t *bytes = model_file_read(path, &len);
    if (!bytes || toc_model_load(bytes, len, &model, why, sizeof why) != 0)
        die(bytes ? why : "the models are not here (run from the source folder)");
    free(bytes);
    return model;
}

/* ---- the calendar ----------------------------------------------------------------------------------------- */

static void wait_for_next(uint32_t s)
{
    struct player *p = &players[s];
    int64_t end = p->pass * CYCLE + tapes[p->template][0].from[p->piece + 1];
    p->arrival = p->start + end * TOC_GRID_NS;
    uint32_t slot = (uint32_t)(p->arrival / SLOT_NS % SLOTS);
    p->next = calendar[slot];
    calendar[slot] = s;
}

/* Everybody begins at T0 with a record of its template, somewhere in the minute. */
static void seat_players(void)
{
    uint64_t random = 5;
    memset(calendar, 0xff, sizeof calendar);
    for (uint32_t s = 0; s < n_stations; s++) {
        struct player *p = &players[s];
        const struct tape *tape;
        *p = (struct player){.template = s % TEMPLATES};
        tape = &tapes[p->template][0];
        p->piece = (uint32_t)(make_random(&random) % tape->n);
        toc_ns spread = (toc_ns)(make_random(&random) % 400) * TOC_GRID_NS, off_grid = s % 2 ? 3700000 : 0;
        p->start = T0 + spread + off_grid - tape->from[p->piece] * TOC_GRID_NS;
        wait_for_next(s);
    }
}

static void put_time(uint8_t *record, toc_ns time)
{
    int64_t tenths = (time + 50000) / 100000, seconds = tenths / 10000;
    struct tm tm;
    time_t whole = (time_t)seconds;
    gmtime_r(&whole, &tm);
    unsigned year = (unsigned)tm.tm_year + 1900, day = (unsigned)tm.tm_yday + 1, fraction = (unsigned)(tenths % 10000);
    record[20] = (uint8_t)(year >> 8), record[21] = (uint8_t)year;
    record[22] = (uint8_t)(day >> 8), record[23] = (uint8_t)day;
    record[24] = (uint8_t)tm.tm_hour, record[25] = (uint8_t)tm.tm_min, record[26] = (uint8_t)tm.tm_sec;
    record[28] = (uint8_t)(fraction >> 8), record[29] = (uint8_t)fraction;
}

/* Name and time of a station into a copy of its template's record. */
static void address(uint8_t *record, uint32_t s, int component)
{
    const struct player *p = &players[s];
    const struct tape *tape = &tapes[p->template][component];
    uint32_t number = s % 10000;
    memcpy(record, tape->records[p->piece], RECLEN);
    memset(record + 13, ' ', 2);
    record[8] = 'S';
    for (int i = 12; i > 8; i--, number /= 10)
        record[i] = (uint8_t)('0' + number % 10);
    record[15] = 'H', record[16] = 'H', record[17] = (uint8_t)"ENZ"[component];
    record[18] = 'X', record[19] = s < 10000 ? 'A' : 'B';
    record[13] = record[14] = ' '; /* location */
    put_time(record, p->start + (p->pass * CYCLE + tape->from[p->piece]) * TOC_GRID_NS);
}

/* ---- the whole hallway ------------------------------------------------------------------------------------ */

/* CPU seconds by part. */
struct parts {
    double make, push, take, run, give, tick;
    double station_s;
};

/* CPU time of this thread: others may share the core. */
static double lap(double *since)
{
    double now = clock_s(CLOCK_THREAD_CPUTIME_ID), took = now - *since;
    *since = now;
    return took;
}

/* The three records of a station. @return seconds of data in them */
static double play(struct toc_pipeline *p, uint32_t s, toc_ns now, struct parts *parts)
{
    uint8_t records[3][RECLEN];
    struct player *player = &players[s];
    const struct tape *tape = &tapes[player->template][0];
    double since = clock_s(CLOCK_THREAD_CPUTIME_ID);
    for (int c = 0; c < 3; c++)
        address(records[c], s, c);
    parts->make += lap(&since);
    for (int c = 0; c < 3; c++)
        if (toc_pipeline_push_record(p, records[c], RECLEN, now) != TOC_DECODE_OK)
            die("a record was refused");
    parts->push += lap(&since);
    double seconds = (double)(tape->from[player->piece + 1] - tape->from[player->piece]) / RATE;
    player->piece++;
    if (player->piece == tape->n) {
        player->piece = 0;
        player->pass++;
    }
    return seconds;
}

/* Everyone whose record is complete within this slot of the calendar. */
static void play_slot(struct toc_pipeline *p, int64_t slot, struct parts *parts)
{
    uint32_t s = calendar[slot % SLOTS], next;
    calendar[slot % SLOTS] = NOBODY;
    for (; s != NOBODY; s = next) {
        next = players[s].next;
        parts->station_s += play(p, s, players[s].arrival, parts);
        wait_for_next(s);
    }
}

static struct toc_pipeline *open_pipeline(uint32_t workers)
{
    struct toc_settings settings = TOC_SETTINGS_DEFAULT;
    struct toc_pipeline_parts parts = {
        .inventory = &inventory, .travel = travel, .picker = picker, .second = second_look, .estimator = estimator,
        .workers = workers};
    struct toc_pipeline *p = NULL;
    char why[160] = "";
    settings.picker.hop_s = hop_s > 0 ? hop_s : settings.picker.hop_s;
    parts.settings = settings;
    if (toc_pipeline_create(&parts, &p, why, sizeof why) < 0)
        die(why);
    return p;
}

static void drain(struct toc_pipeline *p)
{
    static struct toc_alert alert;
    struct toc_pick_report pick;
    struct toc_estimate_report estimate;
    while (toc_pipeline_next_pick(p, &pick) || toc_pipeline_next_estimate(p, &estimate) ||
           toc_pipeline_next_alert(p, &alert))
        ;
}

static void work_out(struct toc_pipeline *p, toc_ns now, struct parts *parts)
{
    double since = clock_s(CLOCK_THREAD_CPUTIME_ID);
    for (struct toc_batch *batch; (batch = toc_pipeline_take_batch(p, now));) {
        parts->take += lap(&since);
        toc_batch_run(batch);
        parts->run += lap(&since);
        toc_pipeline_give_batch(p, batch, now);
        parts->give += lap(&since);
    }
    parts->take += lap(&since);
}

static void flat_out_until(struct toc_pipeline *p, int64_t *slot, double until_s, struct parts *parts)
{
    for (; *slot < (T0 + toc_ns_from_s(until_s)) / SLOT_NS; ++*slot) {
        toc_ns now = (*slot + 1) * SLOT_NS;
        play_slot(p, *slot, parts);
        work_out(p, now, parts);
        if (*slot % 10 == 9) {
            double since = clock_s(CLOCK_THREAD_CPUTIME_ID);
            toc_pipeline_tick(p, now);
            parts->tick += lap(&since);
            work_out(p, now, parts);
            drain(p);
        }
    }
}

static void say_asked(const char *what, double value, const char *unit, const char *asked)
{
    printf("bench pipeline_%u%s_%s %.4g %s%s\n", n_stations, longest_record > RATE ? "_long_records" : "", what, value, unit,
           asked);
    fflush(stdout);
}

static void say(const char *what, double value, const char *unit)
{
    say_asked(what, value, unit, "");
}

static void flat_out(double seconds)
{
    double since = clock_s(CLOCK_THREAD_CPUTIME_ID), before = rss_kb();
    struct toc_pipeline *p = open_pipeline(0);
    struct parts warm = {0}, t = {0};
    int64_t slot = T0 / SLOT_NS;
    say("create", lap(&since), "s");
    seat_players();
    flat_out_until(p, &slot, WARM_S, &warm);
    double cpu = clock_s(CLOCK_THREAD_CPUTIME_ID);
    flat_out_until(p, &slot, WARM_S + seconds, &t);
    cpu = clock_s(CLOCK_THREAD_CPUTIME_ID) - cpu - t.make;
    const struct toc_stats *stats = toc_pipeline_stats(p);
    say("flat_out", t.station_s / cpu, "station_s_per_cpu_s");
    say("all", 1e6 * cpu / t.station_s, "us_per_station_s");
    say("push_decode_ring", 1e6 * t.push / t.station_s, "us_per_station_s");
    say("take", 1e6 * t.take / t.station_s, "us_per_station_s");
    say("run_any_thread", 1e6 * t.run / t.station_s, "us_per_station_s");
    say("give", 1e6 * t.give / t.station_s, "us_per_station_s");
    say("tick", 1e6 * t.tick / t.station_s, "us_per_station_s");
    say("picks", (double)(stats->picks_p + stats->picks_s), "");
    say("revisions", (double)stats->revisions, "");
    say("gaps", (double)stats->gaps, "");
    say_asked("memory", (rss_kb() - before) / n_stations / 3, "KB_per_channel", " (asked: at most 150)");
    toc_pipeline_destroy(p);
}

/* What a channel takes when no network listens to it. Measured first: freed memory is the next one's. */
static void memory_without_networks(void)
{
    struct toc_model *networks[] = {picker, second_look, estimator};
    struct parts parts = {0};
    int64_t slot = T0 / SLOT_NS;
    double before = rss_kb();
    picker = second_look = estimator = NULL;
    struct toc_pipeline *p = open_pipeline(0);
    picker = networks[0];
    second_look = networks[1];
    estimator = networks[2];
    seat_players();
    flat_out_until(p, &slot, WARM_S, &parts);
    say_asked("memory_without_networks", (rss_kb() - before) / n_stations / 3, "KB_per_channel", " (asked: at most 36)");
    toc_pipeline_destroy(p);
    malloc_trim(0);
}

/* ---- in real time ----------------------------------------------------------------------------------------- */

#define WORKERS 2

/* A pool at the seam: each worker has one place where a batch is put for it and taken back from. */
struct worker {
    struct pool *pool;
    pthread_t thread;
    struct toc_batch *batch; /* NULL none */
    bool ran;                /* ... and it waits to be given back */
    double cpu_s;
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t put, ready;
    struct worker workers[WORKERS];
    bool stop;
};

static void *work(void *data)
{
    struct worker *w = data;
    struct pool *pool = w->pool;
    pthread_mutex_lock(&pool->lock);
    while (!pool->stop) {
        if (!w->batch || w->ran) {
            pthread_cond_wait(&pool->put, &pool->lock);
            continue;
        }
        pthread_mutex_unlock(&pool->lock);
        toc_batch_run(w->batch);
        pthread_mutex_lock(&pool->lock);
        w->ran = true;
        pthread_cond_signal(&pool->ready);
    }
    w->cpu_s = clock_s(CLOCK_THREAD_CPUTIME_ID);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static void open_pool(struct pool *pool)
{
    *pool = (struct pool){.lock = PTHREAD_MUTEX_INITIALIZER, .put = PTHREAD_COND_INITIALIZER,
                          .ready = PTHREAD_COND_INITIALIZER};
    for (int i = 0; i < WORKERS; i++) {
        pool->workers[i].pool = pool;
        if (pthread_create(&pool->workers[i].thread, NULL, work, &pool->workers[i]) != 0)
            die("no thread");
    }
}

/* @return CPU seconds of all workers */
static double close_pool(struct pool *pool)
{
    double cpu = 0;
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->put);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(pool->workers[i].thread, NULL);
        cpu += pool->workers[i].cpu_s;
    }
    return cpu;
}

/* Stations whose last record has not come out whole, and how long it took those whose did. */
struct delays {
    float *s;          /* owned */
    size_t n, room;
    uint32_t *waiting; /* owned, n_stations */
    uint32_t n_waiting;
};

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void note_delays(const struct toc_pipeline *p, struct delays *delays)
{
    double now = clock_s(CLOCK_REALTIME);
    uint32_t left = 0;
    for (uint32_t i = 0; i < delays->n_waiting; i++) {
        uint32_t s = delays->waiting[i];
        struct player *player = &players[s];
        if (toc_pipeline_picked_until(p, s) < player->hop_end) {
            delays->waiting[left++] = s;
            continue;
        }
        if (delays->n < delays->room)
            delays->s[delays->n++] = (float)(now - player->pushed_s);
        player->pushed_s = 0;
    }
    delays->n_waiting = left;
}

/* Give what ran, put what is due. @return false: nothing moved */
static bool exchange(struct toc_pipeline *p, struct pool *pool, toc_ns now)
{
    bool moved = false;
    for (int i = 0; i < WORKERS; i++) {
        struct worker *w = &pool->workers[i];
        pthread_mutex_lock(&pool->lock);
        bool ran = w->ran, idle = !w->batch;
        pthread_mutex_unlock(&pool->lock);
        if (!ran && !idle)
            continue;
        if (ran)
            toc_pipeline_give_batch(p, w->batch, now);
        struct toc_batch *batch = toc_pipeline_take_batch(p, now);
        pthread_mutex_lock(&pool->lock);
        w->batch = batch;
        w->ran = false;
        if (batch)
            pthread_cond_broadcast(&pool->put);
        pthread_mutex_unlock(&pool->lock);
        moved |= ran || batch;
    }
    return moved;
}

/* Until a worker has something to give back, or `until` (CLOCK_REALTIME) has come. */
static void await(struct pool *pool, double until)
{
    struct timespec t = {.tv_sec = (time_t)until, .tv_nsec = (long)((until - floor(until)) * 1e9)};
    bool ran = false;
    pthread_mutex_lock(&pool->lock);
    for (int i = 0; i < WORKERS; i++)
        ran |= pool->workers[i].ran;
    if (!ran)
        pthread_cond_timedwait(&pool->ready, &pool->lock, &t);
    pthread_mutex_unlock(&pool->lock);
}

/* A run in real time. */
struct live {
    struct toc_pipeline *pipeline;
    struct pool pool;
    struct delays delays;
    double zero_s, noted_s; /* CLOCK_REALTIME of T0, of the last look at delays */
};

static bool exchange_and_note(struct live *live, int64_t slot)
{
    double now = clock_s(CLOCK_REALTIME);
    bool moved = exchange(live->pipeline, &live->pool, slot * SLOT_NS);
    if (moved && now - live->noted_s > 0.0005) {
        note_delays(live->pipeline, &live->delays);
        live->noted_s = now;
    }
    return moved;
}

/* From now on its delay counts, unless an older record's does. */
static void begin_delay(struct live *live, uint32_t s, int64_t slot)
{
    struct player *player = &players[s];
    /* what the network can have said: whole hops, of rows that the interpolation has passed */
    toc_ns seen = player->arrival - (s % 2 ? 2 : 0) * TOC_GRID_NS, hop = TOC_NS_PER_S / 10;
    if (player->pushed_s > 0 || slot < (T0 + WARM_S * TOC_NS_PER_S) / SLOT_NS)
        return;
    player->hop_end = seen - seen % hop;
    player->pushed_s = live->zero_s + toc_s_from_ns((slot + 1) * SLOT_NS - T0);
    live->delays.waiting[live->delays.n_waiting++] = s;
}

/* Everyone whose record is complete within this slot arrives at its end; the workers are served in between. */
static void play_live(struct live *live, int64_t slot)
{
    struct parts parts = {0};
    uint32_t s = calendar[slot % SLOTS], next, n = 0;
    calendar[slot % SLOTS] = NOBODY;
    for (; s != NOBODY; s = next) {
        next = players[s].next;
        begin_delay(live, s, slot);
        play(live->pipeline, s, players[s].arrival, &parts);
        wait_for_next(s);
        if (++n % 4 == 0)
            exchange_and_note(live, slot);
    }
}

/* @return how late the pusher was at most, in s */
static double run_live(struct live *live, double seconds)
{
    double late = 0;
    int64_t slot = T0 / SLOT_NS, end = (T0 + toc_ns_from_s(seconds)) / SLOT_NS;
    live->zero_s = clock_s(CLOCK_REALTIME);
    while (slot < end && late < 5) { /* later than that is hopeless: what was reached is printed */
        double due = live->zero_s + toc_s_from_ns((slot + 1) * SLOT_NS - T0), behind = clock_s(CLOCK_REALTIME) - due;
        if (behind >= 0) {
            late = behind > late && slot > (T0 + WARM_S * TOC_NS_PER_S) / SLOT_NS ? behind : late;
            play_live(live, slot++);
            if (slot % 10 == 0) {
                toc_pipeline_tick(live->pipeline, slot * SLOT_NS);
                drain(live->pipeline);
            }
        }
        if (!exchange_and_note(live, slot) && behind < 0)
            await(&live->pool, due);
    }
    return late;
}

static void say_live(struct delays *d, double late, double main_cpu, double worker_cpu, double took)
{
    uint32_t waiting = 0;
    for (uint32_t s = 0; s < n_stations; s++)
        waiting += players[s].pushed_s > 0 && clock_s(CLOCK_REALTIME) - players[s].pushed_s > 1;
    qsort(d->s, d->n, sizeof *d->s, by_value);
    say("live_pusher_late_max", 1e3 * late, "ms");
    if (d->n > 0) {
        say("live_delay_p50", 1e3 * (double)d->s[d->n / 2], "ms");
        say("live_delay_p90", 1e3 * (double)d->s[d->n * 9 / 10], "ms");
        say("live_delay_p99", 1e3 * (double)d->s[d->n * 99 / 100], "ms");
        say("live_delay_max", 1e3 * (double)d->s[d->n - 1], "ms");
    }
    say("live_blocks", (double)d->n, "");
    say_asked("live_within_1s", (double)(n_stations - waiting), "stations", n_stations == 10000 ? " (asked: 10000)" : "");
    say("live_cpu_main", 100 * main_cpu / took, "percent_of_a_core");
    say("live_cpu_workers", 100 * worker_cpu / took, "percent_of_a_core");
    say("live_rss", rss_kb() / 1024, "MB");
}

static void real_time(double seconds)
{
    struct live live = {.pipeline = open_pipeline(WORKERS)};
    struct delays *d = &live.delays;
    seat_players();
    d->room = (size_t)n_stations * (size_t)(seconds * 2 + 2);
    d->s = calloc(d->room, sizeof *d->s);
    d->waiting = calloc(n_stations, sizeof *d->waiting);
    open_pool(&live.pool);
    double cpu = clock_s(CLOCK_THREAD_CPUTIME_ID), took = clock_s(CLOCK_MONOTONIC);
    double late = run_live(&live, WARM_S + seconds);
    cpu = clock_s(CLOCK_THREAD_CPUTIME_ID) - cpu;
    took = clock_s(CLOCK_MONOTONIC) - took;
    double workers = close_pool(&live.pool);
    const struct toc_stats *stats = toc_pipeline_stats(live.pipeline);
    say_live(d, late, cpu, workers, took);
    say("live_gated", 100 * (double)stats->windows_gated / (double)(stats->windows + stats->windows_gated), "percent");
    free(d->s);
    free(d->waiting);
    toc_pipeline_destroy(live.pipeline);
}

/* ---- each stage alone ------------------------------------------------------------------------------------- */

#define ALONE 400u /* stations: more than the caches hold */

static void say_stage(const char *what, double seconds, double station_s)
{
    printf("bench stage_%s %.3g us_per_station_s\n", what, 1e6 * seconds / station_s);
    fflush(stdout);
}

static void stage_decode(void)
{
    struct toc_decoder *decoder;
    double samples = 0, since;
    if (toc_decoder_create(&decoder) < 0)
        die("out of memory");
    since = clock_s(CLOCK_THREAD_CPUTIME_ID);
    for (int t = 0; t < TEMPLATES; t++)
        for (int c = 0; c < 3; c++)
            for (uint32_t i = 0; i < tapes[t][c].n; i++) {
                struct toc_chunk chunk;
                if (toc_decode_record(decoder, tapes[t][c].records[i], RECLEN, &chunk) != TOC_DECODE_OK)
                    die("a record was refused");
                samples += chunk.n;
            }
    say_stage("decode", clock_s(CLOCK_THREAD_CPUTIME_ID) - since, samples / 3 / RATE);
    toc_decoder_destroy(decoder);
}

/* A second of one channel of a station. */
static void second_of(uint32_t s, int component, uint32_t second, float *samples)
{
    const int32_t *from = tapes[s % TEMPLATES][component].samples + second % CYCLE_S * RATE;
    for (int i = 0; i < RATE; i++)
        samples[i] = (float)from[i];
}

static void push_second(struct toc_group *group, uint32_t s, uint32_t second, bool on_grid, struct toc_stats *stats)
{
    float samples[RATE];
    for (int c = 0; c < 3; c++) {
        struct toc_chunk chunk = {.start = T0 + second * TOC_NS_PER_S + (on_grid ? 0 : 3700000), .rate_hz = RATE,
                                  .n = RATE, .samples = samples, .timing_quality = -1};
        second_of(s, c, second, samples);
        memcpy(chunk.sid, inventory.channels[3 * s + (uint32_t)c].sid, sizeof chunk.sid);
        toc_group_push(group, &chunk, chunk.start + TOC_NS_PER_S, stats);
    }
}

static void stage_group(bool on_grid)
{
    struct toc_stream_settings settings = ((struct toc_settings)TOC_SETTINGS_DEFAULT).stream;
    struct toc_group *groups[ALONE];
    struct toc_stats stats = {0};
    const uint32_t n = ALONE;
    double push = 0, pull = 0, rows_taken = 0;
    for (uint32_t s = 0; s < n; s++) {
        char sid[TOC_SID_SIZE];
        toc_sid_group(inventory.channels[3 * s].sid, sid);
        if (toc_group_create(sid, &inventory, &settings, &groups[s]) < 0)
            die("a group cannot be made");
    }
    for (uint32_t second = 0; second < 20; second++) {
        double since = clock_s(CLOCK_THREAD_CPUTIME_ID);
        for (uint32_t s = 0; s < n; s++)
            push_second(groups[s], s, second, on_grid, &stats);
        push += lap(&since);
        for (uint32_t s = 0; s < n; s++) {
            struct toc_rows rows = {.n = 0};
            toc_group_pull(groups[s], T0 + (second + 1) * TOC_NS_PER_S, &rows, &stats);
            rows_taken += rows.n;
        }
        pull += lap(&since);
    }
    say_stage(on_grid ? "ring_push" : "ring_push_off_grid", push, rows_taken / RATE);
    say_stage(on_grid ? "group_pull" : "group_pull_off_grid", pull, rows_taken / RATE);
    for (uint32_t s = 0; s < n; s++)
        toc_group_destroy(groups[s]);
}

/* Features, motion, network and picks, one after the other on the same seconds, a handful of stations at a time. */
#define HANDFUL 16u

struct alone {
    struct toc_features *features[ALONE];
    struct toc_motion *motion[ALONE];
    struct toc_model_stream *stream[ALONE];
    struct toc_picker pick[ALONE];
    struct toc_model_scratch *scratch;
    float samples[HANDFUL][3][RATE], rows[HANDFUL][RATE][TOC_FEATURES];
    float frames[HANDFUL][RATE / TOC_PICKER_STRIDE][TOC_PICKER_OUTPUTS];
    struct toc_classic *classic[ALONE];
    double features_s, motion_s, classic_s, network_s, picks_s, station_s;
};

static void stages_of_second(struct alone *a, uint32_t first, uint32_t second)
{
    static const bool clipped[RATE];
    struct toc_settings settings = TOC_SETTINGS_DEFAULT;
    const struct toc_picker_settings picking = toc_picker_settings_for(&settings.picker, NULL, TOC_LAYOUT_THREE);
    struct toc_motion_step steps[RATE / TOC_STEP_SAMPLES + 1];
    struct toc_pick picks[8];
    int64_t row = T0 / TOC_GRID_NS + second * RATE;
    for (uint32_t i = 0; i < HANDFUL; i++)
        for (int c = 0; c < 3; c++)
            second_of(first + i, c, second, a->samples[i][c]);
    double since = clock_s(CLOCK_THREAD_CPUTIME_ID);
    for (uint32_t i = 0; i < HANDFUL; i++) {
        const float *const enz[3] = {a->samples[i][0], a->samples[i][1], a->samples[i][2]};
        toc_features_push_rows(a->features[first + i], enz, RATE, a->rows[i][0]);
    }
    a->features_s += lap(&since);
    for (uint32_t i = 0; i < HANDFUL; i++) {
        const float *const enz[3] = {a->samples[i][0], a->samples[i][1], a->samples[i][2]};
        (void)toc_motion_push_rows(a->motion[first + i], row, enz, clipped, RATE, steps);
    }
    a->motion_s += lap(&since);
    for (uint32_t i = 0; i < HANDFUL; i++)
        for (uint32_t k = 0; k < RATE; k++)
            (void)toc_classic_push(a->classic[first + i], a->samples[i][TOC_Z][k], row + k, picks);
    a->classic_s += lap(&since);
    for (uint32_t i = 0; i < HANDFUL; i++)
        toc_model_push(picker, a->stream[first + i], a->scratch, a->rows[i][0], RATE, a->frames[i][0]);
    a->network_s += lap(&since);
    for (uint32_t i = 0; i < HANDFUL; i++)
        (void)toc_picker_extract(&a->pick[first + i], &picking, a->frames[i][0], RATE / TOC_PICKER_STRIDE,
                                 row / TOC_PICKER_STRIDE, picks, 8);
    a->picks_s += lap(&since);
    a->station_s += HANDFUL;
}

static void stages_alone(void)
{
    struct alone *a = calloc(1, sizeof *a);
    if (toc_model_scratch_create(picker, RATE, &a->scratch) < 0)
        die("out of memory");
    for (uint32_t s = 0; s < ALONE; s++) {
        if (toc_features_create(&a->features[s]) < 0 || toc_motion_create(&a->motion[s]) < 0 ||
            toc_classic_create(&a->classic[s]) < 0 || toc_model_stream_create(picker, &a->stream[s]) < 0)
            die("out of memory");
        toc_motion_reset(a->motion[s], false);
        toc_picker_reset(&a->pick[s]);
    }
    for (uint32_t second = 0; second < 24; second++)
        for (uint32_t s = 0; s < ALONE; s += HANDFUL)
            stages_of_second(a, s, second);
    say_stage("features", a->features_s, a->station_s);
    say_stage("motion", a->motion_s, a->station_s);
    say_stage("classic", a->classic_s, a->station_s);
    say_stage("network", a->network_s, a->station_s);
    say_stage("picks", a->picks_s, a->station_s);
    for (uint32_t s = 0; s < ALONE; s++) {
        toc_features_destroy(a->features[s]);
        toc_motion_destroy(a->motion[s]);
        toc_classic_destroy(a->classic[s]);
        toc_model_stream_destroy(a->stream[s]);
    }
    toc_model_scratch_destroy(a->scratch);
    free(a);
}

/* One followed arrival takes ten of these a second. */
static void stage_estimator(void)
{
    struct toc_motion_step step = {.pa_z = 1e-3f, .pv_z = 1e-4f, .pd_z = 1e-5f, .pe_z = 1e-6f, .pv_h = 1e-4f};
    struct toc_pick pick = {.id = 1, .time = T0};
    struct toc_model_scratch *scratch;
    struct toc_estimator *followed[ALONE];
    struct toc_estimate estimate;
    double since = clock_s(CLOCK_THREAD_CPUTIME_ID);
    if (toc_model_scratch_create(estimator, 1, &scratch) < 0)
        die("out of memory");
    for (uint32_t s = 0; s < ALONE; s++) {
        if (toc_estimator_create(estimator, &followed[s]) < 0)
            die("out of memory");
        toc_estimator_start(followed[s], &pick, &step, 1, true);
    }
    (void)lap(&since);
    for (int i = 0; i < 100; i++)
        for (uint32_t s = 0; s < ALONE; s++)
            (void)toc_estimator_step(followed[s], scratch, &step, &estimate);
    printf("bench stage_estimator %.3g us_per_step\n", 1e6 * lap(&since) / (100.0 * ALONE));
    for (uint32_t s = 0; s < ALONE; s++)
        toc_estimator_destroy(followed[s]);
    toc_model_scratch_destroy(scratch);
}

static void open_world(uint32_t stations, uint32_t longest)
{
    struct toc_layer layers[] = {{0, 5.5, 3.18}, {5.5, 6.3, 3.64}, {16, 6.7, 3.87}, {32, 7.8, 4.5}};
    n_stations = stations;
    longest_record = longest;
    if (n_stations < 1 || n_stations > 20000 || longest < 20)
        die("usage: bench_pipeline stages | [1..20000 stations [20.. samples a record [seconds in real time]]]");
    if (toc_travel_create(layers, 4, 1500, 100, &travel) < 0)
        die("no travel times");
    picker = load("picker");
    second_look = load("second");
    estimator = load("estimator");
    inventory.channels = calloc(3 * (size_t)n_stations, sizeof *inventory.channels);
    players = calloc(n_stations, sizeof *players);
    for (uint32_t s = 0; s < n_stations; s++)
        add_station(s);
    make_tapes(longest);
}

int main(int argc, char **argv)
{
    double seconds = argc > 3 ? atof(argv[3]) : 20;
    hop_s = argc > 4 ? atof(argv[4]) : 0;
    if (argc > 1 && strcmp(argv[1], "stages") == 0) {
        open_world(ALONE, 100);
        stage_decode();
        stage_group(true);
        stage_group(false);
        stages_alone();
        stage_estimator();
        return 0;
    }
    open_world(argc > 1 ? (uint32_t)atoi(argv[1]) : 10000, argc > 2 ? (uint32_t)atoi(argv[2]) : 100);
    memory_without_networks();
    flat_out(n_stations < 3000 ? 20 : 10);
    if (seconds > 0)
        real_time(seconds);
    return 0;
}
