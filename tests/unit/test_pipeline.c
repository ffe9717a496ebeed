/*
 * The hallway as a whole, on a simulated quake: what comes out must not depend on how the samples were packed, delayed,
 * repeated or worked on, only on the samples. The shipped picker is used; the magnitude is the classical one.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/classic.h"
#include "core/model.h"
#include "core/pipeline.h"
#include "daemon/workers.h"
#include "tests/unit/allocations.h"
#include "tests/unit/bed.h"

#define SITES 10
#define SECONDS 100
#define PICKS_MAX 400
#define PACKETS_MAX 60000
#define ALERTS_MAX 64

static struct toc_model *second; /* of random weights: what it says means nothing, but that it is always the same does */

struct outcome {
    struct toc_pick_report picks[PICKS_MAX];
    size_t n_picks;
    struct toc_alert alerts[ALERTS_MAX];
    size_t n_alerts;
    size_t n_notes;
    double worst_dt_s; /* of onsets that live and shadow said */
    unsigned changes;  /* of the picker, that were done */
    struct toc_stats stats;
    unsigned long allocations; /* between create and destroy */
};

/* How a run differs from the plain one. */
struct manner {
    size_t packet;       /* samples a packet */
    double jitter_s;     /* random extra delay, so that records overtake each other */
    unsigned repeat;     /* every so many packets one comes twice; 0 never */
    bool by_hand;        /* take, run, give, with pushes in between */
    double reload_every_s; /* new thresholds for alerts; 0 never */
    bool second;         /* picks are looked at again */
    bool classical;
    uint32_t shuffled;   /* so many batches are out at once, and come back in any order at any time; 0 none */
    uint32_t threads;    /* so many threads run batches; 0 none */
    const char *without; /* last letters of channels that are away; NULL none */
    struct toc_picker_settings picker; /* hop_s 0: the defaults */
    double change_every_s;         /* another picker; 0 never */
    const struct toc_model *other; /* the other one */
    const struct toc_model *shadow;
};

/* Batches that are out. */
struct outside {
    struct toc_batch *batches[TOC_PIPELINE_WORKERS_MAX];
    uint32_t n, most;
    uint64_t random;
    uv_loop_t loop;
    struct toc_workers *workers;
    struct toc_pipeline *pipeline;
    toc_ns now;
};

static bool is_away(const struct manner *manner, size_t sensor, size_t channel)
{
    const char *name = bed.scenario->sensors[sensor].channels[channel];
    return manner->without && strchr(manner->without, name[strlen(name) - 1]);
}

static size_t cut(const struct manner *manner, struct bed_packet *packets)
{
    size_t n = 0;
    uint64_t random = 12345;
    for (size_t s = 0; s < SITES; s++)
        for (size_t c = 0; c < 3; c++)
            for (size_t from = is_away(manner, s, c) ? bed.n : 0; from < bed.n; from += manner->packet) {
                size_t len = bed.n - from < manner->packet ? bed.n - from : manner->packet;
                random = random * 6364136223846793005u + 1442695040888963407u;
                /* the first packet of a channel starts its ring: nothing may overtake it */
                double delay = 0.5 + (from > 3 * 100 ? manner->jitter_s : 0) * (double)(random >> 40) / (double)(1 << 24);
                assert_true(n < PACKETS_MAX);
                packets[n++] = (struct bed_packet){s, c, from, len,
                                               toc_scenario_sample_time(bed.scenario, s, from + len) + toc_ns_from_s(delay)};
            }
    qsort(packets, n, sizeof *packets, bed_by_arrival);
    return n;
}

static void drain(struct toc_pipeline *p, struct outcome *o)
{
    struct toc_estimate_report estimate;
    while (toc_pipeline_next_pick(p, &o->picks[o->n_picks]))
        assert_true(++o->n_picks < PICKS_MAX);
    while (toc_pipeline_next_estimate(p, &estimate)) {
    }
    struct toc_shadow_note note;
    while (toc_pipeline_next_shadow(p, &note)) {
        double dt = toc_s_from_ns(note.report.live.time - note.report.shadow.time);
        o->n_notes++;
        if (note.report.verdict == TOC_SHADOW_BOTH)
            o->worst_dt_s = fmax(o->worst_dt_s, fabs(dt));
    }
    while (toc_pipeline_next_alert(p, &o->alerts[o->n_alerts]))
        assert_true(++o->n_alerts < ALERTS_MAX);
}

static struct toc_pipeline *open_pipeline(const struct manner *manner, struct toc_settings *settings)
{
    struct toc_settings defaults = TOC_SETTINGS_DEFAULT;
    struct toc_pipeline *p = NULL;
    struct toc_target target = {.name = "Harbour", .latitude_deg = 36.2, .longitude_deg = -118.1, .mmi_limit = 5};
    char why[160] = "";
    *settings = defaults;
    if (manner->picker.hop_s > 0)
        settings->picker = manner->picker;
    settings->load.behind_s = 10; /* made-up time leaps: nobody is behind */
    struct toc_pipeline_parts parts = {.inventory = &bed.inventory, .travel = bed.travel, .settings = *settings,
                                       .picker = manner->classical ? NULL : bed.picker,
                                       .second = manner->second ? second : NULL, .shadow = manner->shadow,
                                       .targets = &target, .n_targets = 1,
                                       .workers = manner->shuffled + manner->threads};
    assert_int_equal(toc_pipeline_create(&parts, &p, why, sizeof why), 0);
    return p;
}

static void work_by_hand(struct toc_pipeline *p, const struct bed_packet *next, toc_ns now)
{
    struct toc_batch *batch = toc_pipeline_take_batch(p, now);
    if (next)
        bed_push(p, next); /* arrives while the batch is out */
    if (!batch)
        return;
    assert_null(toc_pipeline_take_batch(p, now)); /* one at a time */
    toc_batch_run(batch);
    toc_pipeline_give_batch(p, batch, now);
    toc_pipeline_work(p, now);
}

static void work_shuffled(struct toc_pipeline *p, struct outside *o, toc_ns now)
{
    struct toc_batch *batch;
    while ((batch = toc_pipeline_take_batch(p, now))) {
        toc_batch_run(batch);
        o->batches[o->n++] = batch;
    }
    if (o->n > o->most)
        o->most = o->n;
    for (uint32_t i = o->n; i > 0; i--) {
        o->random = o->random * 6364136223846793005u + 1442695040888963407u;
        uint32_t at = (uint32_t)(o->random >> 33) % o->n;
        if (o->random >> 62 == 0)
            continue; /* stays out over the next packets */
        toc_pipeline_give_batch(p, o->batches[at], now);
        o->batches[at] = o->batches[--o->n];
    }
}

static void on_batch(void *user, struct toc_batch *batch)
{
    struct outside *o = user;
    o->n--;
    toc_pipeline_give_batch(o->pipeline, batch, o->now);
}

static void submit(struct toc_pipeline *p, struct outside *o)
{
    struct toc_batch *batch;
    while ((batch = toc_pipeline_take_batch(p, o->now))) {
        assert_int_equal(toc_workers_submit(o->workers, batch), 0);
        o->n++;
    }
    assert_int_equal(toc_workers_busy(o->workers), o->n);
    if (o->n > o->most)
        o->most = o->n;
}

/* Made-up time runs faster than the threads: it waits for them when they are 0.05 s behind. */
static void work_on_threads(struct toc_pipeline *p, struct outside *o, toc_ns now)
{
    o->pipeline = p;
    o->now = now;
    submit(p, o);
    uv_run(&o->loop, UV_RUN_NOWAIT);
    while (o->n > 0 && toc_pipeline_wait_s(p, now) > 0.05) {
        uv_run(&o->loop, UV_RUN_ONCE);
        submit(p, o);
    }
}

static void open_outside(const struct manner *manner, struct outside *o)
{
    *o = (struct outside){.random = 5};
    assert_int_equal(uv_loop_init(&o->loop), 0);
    if (manner->threads)
        assert_int_equal(toc_workers_create(&o->loop, manner->threads, on_batch, o, &o->workers), 0);
}

static void close_outside(const struct manner *manner, struct outside *o)
{
    while (o->workers && o->n > 0)
        uv_run(&o->loop, UV_RUN_ONCE);
    toc_workers_destroy(o->workers);
    uv_run(&o->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&o->loop), 0);
    assert_true(o->most > 1 || manner->shuffled + manner->threads < 2); /* they were out together */
}

/* Now the one, now the other; what is left by all may be destroyed. */
static void change_picker(struct toc_pipeline *p, const struct manner *manner, struct outcome *o)
{
    const struct toc_model *pair[] = {bed.picker, manner->other};
    assert_int_equal(toc_pipeline_change_models(p, pair[(o->changes + 1) % 2], manner->shadow, NULL), 0);
    o->changes++;
}

static struct outcome *run(const struct manner *manner)
{
    struct bed_packet *packets = calloc(PACKETS_MAX, sizeof *packets);
    struct outcome *o = calloc(1, sizeof *o);
    struct toc_settings settings;
    struct toc_pipeline *p = open_pipeline(manner, &settings);
    size_t n = cut(manner, packets);
    struct outside outside;
    open_outside(manner, &outside);
    unsigned long before = allocations;
    toc_ns change = packets[0].arrival;
    toc_ns tick = packets[0].arrival, reload = tick, end = packets[n - 1].arrival + 60 * TOC_NS_PER_S;
    if (manner->change_every_s > 0)
        end += 5 * TOC_NS_PER_S; /* a minute of silence, and the next tick that looks */
    for (size_t i = 0; tick < end;) {
        bool packet = i < n && packets[i].arrival <= tick;
        toc_ns now = packet ? packets[i].arrival : tick;
        if (packet) {
            bed_push(p, &packets[i]);
            if (manner->repeat && i % manner->repeat == 0)
                bed_push(p, &packets[i]);
            i++;
        } else {
            toc_pipeline_tick(p, now);
            tick += TOC_NS_PER_S / 10;
        }
        if (manner->by_hand) {
            bool more = i < n && packets[i].arrival <= tick;
            work_by_hand(p, more ? &packets[i] : NULL, now);
            i += more;
        } else if (manner->threads) {
            work_on_threads(p, &outside, now);
        } else if (manner->shuffled) {
            work_shuffled(p, &outside, now);
        } else {
            toc_pipeline_work(p, now);
        }
        if (manner->reload_every_s > 0 && now - reload > toc_ns_from_s(manner->reload_every_s)) {
            settings.alert.update_km = settings.alert.update_km > 6 ? 5 : 7;
            assert_int_equal(toc_pipeline_reconfigure(p, &settings, NULL, 0, NULL, 0), 0);
            reload = now;
        }
        if (manner->change_every_s > 0 && i < n && now - change > toc_ns_from_s(manner->change_every_s)) {
            change_picker(p, manner, o);
            change = now;
        }
        drain(p, o);
    }
    if (manner->change_every_s > 0 && manner->other) {
        assert_int_equal(toc_pipeline_changing(p), 0);
        assert_true(toc_pipeline_release(p, o->changes % 2 ? bed.picker : manner->other));
        assert_false(toc_pipeline_release(p, o->changes % 2 ? manner->other : bed.picker));
    }
    o->allocations = allocations - before;
    close_outside(manner, &outside);
    drain(p, o);
    o->stats = *toc_pipeline_stats(p);
    toc_pipeline_destroy(p);
    free(packets);
    return o;
}

static int by_place(const void *a, const void *b)
{
    const struct toc_pick_report *x = a, *y = b;
    int sid = strcmp(x->sid, y->sid);
    int declared = (x->pick.declared > y->pick.declared) - (x->pick.declared < y->pick.declared);
    int phase = (int)x->pick.phase - (int)y->pick.phase;
    return sid ? sid : declared ? declared : phase ? phase : x->pick.revision - y->pick.revision;
}

static void picks_are_the_same(struct outcome *a, struct outcome *b)
{
    assert_true(a->n_picks > SITES); /* the quake was heard */
    assert_int_equal(a->n_picks, b->n_picks);
    qsort(a->picks, a->n_picks, sizeof *a->picks, by_place);
    qsort(b->picks, b->n_picks, sizeof *b->picks, by_place);
    for (size_t i = 0; i < a->n_picks; i++) {
        const struct toc_pick *x = &a->picks[i].pick, *y = &b->picks[i].pick;
        assert_string_equal(a->picks[i].sid, b->picks[i].sid);
        assert_true(x->time == y->time && x->declared == y->declared && x->phase == y->phase);
        assert_true(x->probability == y->probability && x->sigma_s == y->sigma_s);
        assert_true(x->revision == y->revision && x->revised == y->revised && x->standing == y->standing);
    }
    assert_int_equal(a->stats.samples, b->stats.samples);
}

static struct outcome *plain;

static void a_quake_is_picked_alerted_and_ended(void **state)
{
    (void)state;
    const struct toc_scenario_event *truth = &bed.scenario->events[0];
    const struct toc_alert *alert = NULL;
    for (size_t i = 0; i < plain->n_alerts && !alert; i++)
        if (plain->alerts[i].type == TOC_ALERT_ALERT)
            alert = &plain->alerts[i];
    assert_non_null(alert);
    assert_int_equal(plain->alerts[plain->n_alerts - 1].type, TOC_ALERT_FINAL);
    assert_true(fabs(toc_s_from_ns(alert->origin.time - truth->origin)) < 2);
    assert_true(fabs(alert->origin.latitude_deg - truth->latitude_deg) < 0.15);
    assert_true(fabs(alert->magnitude - 5.2) < 1.2);
    assert_int_equal(alert->n_targets, 1);
    assert_true(alert->n_stations >= 4);
    assert_int_equal(plain->stats.samples, SITES * 3 * bed.n);
    assert_int_equal(plain->stats.events, 1);
}

static void packet_size_changes_no_pick(void **state)
{
    (void)state;
    const size_t sizes[] = {20, 137, 511};
    for (size_t i = 0; i < 3; i++) {
        struct outcome *o = run(&(struct manner){.packet = sizes[i]});
        picks_are_the_same(plain, o);
        free(o);
    }
}

/* Each layout is asked with its own threshold, from the moment the components are known to be away. */
static void layouts_have_their_own_thresholds(void **state)
{
    const struct toc_settings defaults = TOC_SETTINGS_DEFAULT;
    const struct {
        const char *without;
        double three, two, vertical;
        bool hears;
    } cases[] = {{NULL, 0.9, 1, 1, true},    {"E1", 1, 0.9, 1, true},    {"EN12", 1, 1, 0.9, true},
                 {NULL, 1, 0.9, 0.9, false}, {"E1", 0.9, 1, 0.9, false}, {"EN12", 0.9, 0.9, 1, false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct manner manner = {.packet = 100, .without = cases[i].without, .picker = defaults.picker};
        manner.picker.p_threshold = cases[i].three;
        manner.picker.p_threshold_two = cases[i].two;
        manner.picker.p_threshold_vertical = cases[i].vertical;
        struct outcome *o = run(&manner);
        assert_true(cases[i].hears ? o->stats.picks_p >= SITES / 2 : o->stats.picks_p == 0);
        free(o);
    }
}

static void late_and_repeated_packets_change_no_pick(void **state)
{
    (void)state;
    struct outcome *o = run(&(struct manner){.packet = 100, .jitter_s = 2.4, .repeat = 7});
    picks_are_the_same(plain, o);
    assert_true(o->stats.samples_duplicate > 1000);
    assert_int_equal(o->stats.gaps, 0);
    assert_int_equal(o->stats.samples_late, 0);
    free(o);
}

static void a_batch_that_is_out_changes_no_pick(void **state)
{
    (void)state;
    struct outcome *o = run(&(struct manner){.packet = 100, .by_hand = true});
    picks_are_the_same(plain, o);
    free(o);
}

static void parallel_batches_change_no_pick(void **state)
{
    (void)state;
    const struct manner manners[] = {{.packet = 100, .shuffled = 1}, {.packet = 137, .shuffled = 4, .jitter_s = 2},
                                     {.packet = 50, .threads = 1}, {.packet = 137, .threads = 3, .jitter_s = 2}};
    for (size_t i = 0; i < 4; i++) {
        struct outcome *o = run(&manners[i]);
        bool alerted = false;
        picks_are_the_same(plain, o);
        for (size_t k = 0; k < o->n_alerts; k++)
            alerted |= o->alerts[k].type == TOC_ALERT_ALERT;
        assert_true(alerted);
        assert_int_equal(o->stats.events, 1);
        assert_int_equal(o->stats.windows_gated, 0);
        free(o);
    }
}

static size_t drop_revisions(struct outcome *o)
{
    size_t n = 0;
    for (size_t i = 0; i < o->n_picks; i++)
        if (o->picks[i].pick.revision == 0)
            o->picks[n++] = o->picks[i];
    size_t dropped = o->n_picks - n;
    o->n_picks = n;
    return dropped;
}

/* Every P is looked at again, up to four times, whoever works on it; the first words are those of a run without. */
static void a_second_look_depends_on_no_packet_and_changes_no_first_word(void **state)
{
    (void)state;
    const struct manner manners[] = {{.packet = 20, .second = true},
                                     {.packet = 137, .second = true, .jitter_s = 2.4, .repeat = 7},
                                     {.packet = 511, .second = true},
                                     {.packet = 137, .second = true, .threads = 3, .jitter_s = 2}};
    struct outcome *looked = run(&(struct manner){.packet = 100, .second = true});
    assert_true(looked->stats.revisions > 2 * SITES && looked->stats.picks_p == plain->stats.picks_p);
#ifndef SANITIZED
    assert_int_equal(looked->allocations, 0);
#endif
    for (size_t i = 0; i < 4; i++) {
        struct outcome *o = run(&manners[i]);
        picks_are_the_same(looked, o);
        assert_int_equal(looked->stats.revisions, o->stats.revisions);
        free(o);
    }
    assert_int_equal(drop_revisions(looked), looked->stats.revisions);
    picks_are_the_same(plain, looked);
    free(looked);
}

static void reloads_lose_nothing(void **state)
{
    (void)state;
    struct outcome *o = run(&(struct manner){.packet = 100, .reload_every_s = 1});
    picks_are_the_same(plain, o);
    free(o);
}

/* A network changed for its own copy: not a bit of any pick is another, whenever it happens. */
static void changed_networks_lose_nothing(void **state)
{
    struct toc_model *copy = bed_load_picker();
    const double every_s[] = {9, 0.7, 31};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct outcome *o =
            run(&(struct manner){.packet = 137, .other = copy, .change_every_s = every_s[i], .jitter_s = i == 0 ? 2 : 0});
        picks_are_the_same(plain, o);
        assert_true(o->changes >= 3);
        free(o);
    }
    struct outcome *o = run(&(struct manner){.packet = 137, .other = copy, .change_every_s = 8, .threads = 3, .jitter_s = 2});
    picks_are_the_same(plain, o);
    free(o);
    toc_model_destroy(copy);
}

/* From the network to the classical picker and back: onsets are said throughout. */
static void a_network_that_goes_is_replaced_by_the_classical_picker(void **state)
{
    struct outcome *o = run(&(struct manner){.packet = 100, .other = NULL, .change_every_s = 12});
    bool classical = false, cnn = false;
    (void)state;
    for (size_t i = 0; i < o->n_picks; i++) {
        classical |= o->picks[i].pick.method == TOC_METHOD_CLASSICAL;
        cnn |= o->picks[i].pick.method == TOC_METHOD_CNN;
    }
    assert_true(o->stats.picks_p >= SITES && classical && cnn);
    assert_true(o->changes > 3);
    free(o);
}

static void a_shadow_decides_nothing_and_is_compared(void **state)
{
    static struct model_file file;
    struct toc_model *copy = bed_load_picker(), *random = NULL;
    char why[160];
    (void)state;
    struct outcome *o = run(&(struct manner){.packet = 100, .shadow = copy});
    picks_are_the_same(plain, o);
    assert_int_equal(o->allocations, 0);
    assert_int_equal(o->stats.shadow_both, o->stats.picks_p + o->stats.picks_s);
    assert_int_equal(o->stats.shadow_live_only + o->stats.shadow_only, 0);
    assert_int_equal(o->n_notes, o->stats.shadow_both);
    assert_true(o->worst_dt_s == 0);
    free(o);
    model_file_picker(&file, 3); /* random weights: another opinion */
    assert_int_equal(toc_model_load(file.bytes, file.len, &random, why, sizeof why), 0);
    o = run(&(struct manner){.packet = 100, .shadow = random, .shuffled = 4});
    picks_are_the_same(plain, o);
    assert_int_equal(o->stats.shadow_both + o->stats.shadow_live_only, o->stats.picks_p + o->stats.picks_s);
    assert_true(o->stats.shadow_live_only + o->stats.shadow_only > 0);
    free(o);
    model_file_free(&file);
    toc_model_destroy(random);
    toc_model_destroy(copy);
}

static void without_a_network_the_classical_picker_speaks(void **state)
{
    (void)state;
    struct outcome *o = run(&(struct manner){.packet = 100, .classical = true});
    bool alerted = false;
    for (size_t i = 0; i < o->n_picks; i++)
        assert_int_equal(o->picks[i].pick.method, TOC_METHOD_CLASSICAL);
    for (size_t i = 0; i < o->n_alerts; i++)
        alerted |= o->alerts[i].type == TOC_ALERT_ALERT;
    assert_true(alerted);
    for (size_t i = 0; i < o->n_alerts; i++)
        assert_int_equal(o->alerts[i].method, TOC_METHOD_CLASSICAL);
    free(o);
}

/* Each pick is said once, by the network; the classical picker only says what it heard of it. */
static void beside_a_network_the_classical_picker_listens(void **state)
{
    (void)state;
    size_t p = 0, agreed = 0;
    for (size_t i = 0; i < plain->n_picks; i++) {
        const struct toc_pick *pick = &plain->picks[i].pick;
        assert_int_equal(pick->method, TOC_METHOD_CNN);
        assert_true(pick->classical_ratio > 0);
        p += pick->phase == TOC_PHASE_P;
        agreed += pick->phase == TOC_PHASE_P && pick->classical_ratio >= TOC_CLASSIC_TRIGGER;
    }
    assert_true(agreed > 0 && 2 * agreed >= p);
    for (size_t i = 0; i < plain->n_alerts; i++)
        assert_int_equal(plain->alerts[i].method, TOC_METHOD_CNN);
}

static void without_a_vertical_it_speaks_and_makes_no_event(void **state)
{
    (void)state;
    struct outcome *o = run(&(struct manner){.packet = 100, .without = "Z"});
    assert_true(o->n_picks >= SITES / 2);
    for (size_t i = 0; i < o->n_picks; i++)
        assert_int_equal(o->picks[i].pick.method, TOC_METHOD_CLASSICAL);
    assert_int_equal(o->stats.events, 0);
    assert_int_equal(o->n_alerts, 0);
    free(o);
}

static void nothing_is_allocated_after_create(void **state)
{
    (void)state;
#ifdef SANITIZED
    skip();
#endif
    assert_true(plain->stats.windows > 5000 && plain->n_alerts > 2); /* network, estimator, location and alert all ran */
    assert_int_equal(plain->allocations, 0);
}

static void what_is_fixed_at_create_is_refused_later(void **state)
{
    (void)state;
    struct toc_settings settings, other;
    char why[160] = "";
    struct toc_pipeline *p = open_pipeline(&(struct manner){.packet = 100}, &settings);
    other = settings;
    other.picker.hop_s = 0.5;
    assert_int_equal(toc_pipeline_reconfigure(p, &other, NULL, 0, why, sizeof why), -EINVAL);
    assert_non_null(strstr(why, "hop_s"));
    other = settings;
    other.stream.ring_s = 30;
    assert_int_equal(toc_pipeline_reconfigure(p, &other, NULL, 0, why, sizeof why), -EINVAL);
    assert_non_null(strstr(why, "ring_s"));
    toc_pipeline_destroy(p);
}

static void unknown_channels_and_the_future_are_counted_not_stored(void **state)
{
    (void)state;
    struct toc_settings settings;
    struct toc_pipeline *p = open_pipeline(&(struct manner){.packet = 100}, &settings);
    float samples[10] = {0};
    struct toc_chunk chunk = {.sid = "FDSN:XX_NONE__H_H_Z", .start = bed.scenario->start, .rate_hz = 100, .n = 10,
                              .samples = samples};
    toc_pipeline_push(p, &chunk, chunk.start + TOC_NS_PER_S);
    memcpy(chunk.sid, bed.inventory.channels[0].sid, sizeof chunk.sid);
    toc_pipeline_push(p, &chunk, chunk.start - 10 * TOC_NS_PER_S);
    assert_int_equal(toc_pipeline_stats(p)->records_unknown, 1);
    assert_int_equal(toc_pipeline_stats(p)->samples_future, 10);
    assert_int_equal(toc_pipeline_stats(p)->samples, 0);
    toc_pipeline_destroy(p);
}

static void load_second(void)
{
    struct model_file file;
    char why[160];
    model_file_second(&file, 3, 0.02f);
    assert_int_equal(toc_model_load(file.bytes, file.len, &second, why, sizeof why), 0);
    model_file_free(&file);
}

static int prepare(void **state)
{
    struct toc_scenario_options options;
    (void)state;
    toc_scenario_defaults(&options);
    options.seed = 11;
    options.magnitude = 5.2;
    options.n_sites = SITES;
    options.duration_s = SECONDS;
    options.first_origin_s = 40;
    options.extent_km = 90;
    bed_make(&options);
    load_second();
    plain = run(&(struct manner){.packet = 100});
    return 0;
}

static int clear(void **state)
{
    (void)state;
    free(plain);
    toc_model_destroy(second);
    bed_unmake();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quake_is_picked_alerted_and_ended),
        cmocka_unit_test(packet_size_changes_no_pick),
        cmocka_unit_test(layouts_have_their_own_thresholds),
        cmocka_unit_test(late_and_repeated_packets_change_no_pick),
        cmocka_unit_test(a_batch_that_is_out_changes_no_pick),
        cmocka_unit_test(parallel_batches_change_no_pick),
        cmocka_unit_test(a_second_look_depends_on_no_packet_and_changes_no_first_word),
        cmocka_unit_test(reloads_lose_nothing),
        cmocka_unit_test(changed_networks_lose_nothing),
        cmocka_unit_test(a_network_that_goes_is_replaced_by_the_classical_picker),
        cmocka_unit_test(a_shadow_decides_nothing_and_is_compared),
        cmocka_unit_test(without_a_network_the_classical_picker_speaks),
        cmocka_unit_test(beside_a_network_the_classical_picker_listens),
        cmocka_unit_test(without_a_vertical_it_speaks_and_makes_no_event),
        cmocka_unit_test(nothing_is_allocated_after_create),
        cmocka_unit_test(what_is_fixed_at_create_is_refused_later),
        cmocka_unit_test(unknown_channels_and_the_future_are_counted_not_stored)};
    return cmocka_run_group_tests(tests, prepare, clear);
}
