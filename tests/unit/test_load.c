/*
 * Three times more data than the workers can do, on made-up time: the
 * worker is a budget of rows a second, so the outcome is the same on any
 * machine. What is asked: data never wait for a second, no station is dropped
 * in silence, a quake in the middle of it is still picked, and afterwards all is
 * as before.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/bed.h"

#define SITES 60
#define SECONDS 200
#define PACKET 20 /* samples */
#define PICKS_MAX 2000
#define PACKETS_MAX 250000
#define LOADS_MAX 64
#define HOP 10.0 /* rows: what the costs below were measured at */
/* What bench_pipeline measured, in rows that go through the network: a row that does not, and a block */
#define GATED_COST 0.29
#define BLOCK_COST 6.5

struct outcome {
    struct toc_pick_report picks[PICKS_MAX];
    size_t n_picks, n_loads;
    struct toc_load_report loads[LOADS_MAX];
    double worst_wait_s;
    struct toc_stats stats;
    enum toc_load_mode last_mode, worst_mode;
    double hops; /* of all stations, given back: gone through the network or left out */
};

/* How much slower, from when to when. */
struct manner {
    double overload;         /* demand over capacity; 0: no limit */
    double from_s, until_s;  /* outside: no limit */
};

static struct outcome *plain;

static struct toc_pipeline *open_pipeline(void)
{
    struct toc_settings settings = TOC_SETTINGS_DEFAULT;
    settings.picker.hop_s = HOP / 100;
    struct toc_pipeline_parts parts = {.inventory = &bed.inventory, .travel = bed.travel, .settings = settings,
                                       .picker = bed.picker, .workers = 1};
    struct toc_pipeline *p = NULL;
    char why[160] = "";
    assert_int_equal(toc_pipeline_create(&parts, &p, why, sizeof why), 0);
    return p;
}

static size_t cut(struct bed_packet *packets)
{
    size_t n = 0;
    for (size_t s = 0; s < bed.sites; s++)
        for (size_t c = 0; c < 3; c++)
            for (size_t from = 0, len = PACKET - (s * 7) % PACKET; from < bed.n; from += len, len = PACKET) {
                len = bed.n - from < len ? bed.n - from : len;
                toc_ns end = toc_scenario_sample_time(bed.scenario, s, from + len);
                packets[n++] = (struct bed_packet){s, c, from, len, end + TOC_NS_PER_S / 10};
            }
    qsort(packets, n, sizeof *packets, bed_by_arrival);
    return n;
}

/* Batches while the worker is free. What the gate leaves out costs less, so the price is known afterwards: the worker is then
 * busy for so long. @return when it is free again */
static toc_ns work(struct toc_pipeline *p, double rows_per_s, toc_ns free_at, toc_ns now)
{
    const struct toc_stats *stats = toc_pipeline_stats(p);
    struct toc_batch *batch;
    while (free_at <= now && (batch = toc_pipeline_take_batch(p, now))) {
        uint64_t windows = stats->windows, gated = stats->windows_gated, blocks = stats->blocks;
        toc_batch_run(batch);
        toc_pipeline_give_batch(p, batch, now);
        double rows = HOP * ((double)(stats->windows - windows) + GATED_COST * (double)(stats->windows_gated - gated)) +
                      BLOCK_COST * (double)(stats->blocks - blocks);
        free_at = (free_at > now - TOC_NS_PER_S / 100 ? free_at : now) + toc_ns_from_s(rows / rows_per_s);
    }
    return free_at;
}

static void drain(struct toc_pipeline *p, struct outcome *o)
{
    static struct toc_alert alert;
    struct toc_estimate_report estimate;
    while (toc_pipeline_next_pick(p, &o->picks[o->n_picks]))
        assert_true(++o->n_picks < PICKS_MAX);
    while (toc_pipeline_next_estimate(p, &estimate)) {
    }
    while (toc_pipeline_next_alert(p, &alert)) {
    }
    while (toc_pipeline_next_load(p, &o->loads[o->n_loads]))
        assert_true(++o->n_loads < LOADS_MAX);
}

static double capacity(const struct manner *m, toc_ns now)
{
    double s = toc_s_from_ns(now - bed.scenario->start), demand = (100 + BLOCK_COST * 100 / PACKET) * (double)bed.sites;
    return m->overload > 0 && s >= m->from_s && s < m->until_s ? demand / m->overload : 100 * demand;
}

static struct outcome *run(const struct manner *manner)
{
    struct bed_packet *packets = calloc(PACKETS_MAX, sizeof *packets);
    struct outcome *o = calloc(1, sizeof *o);
    struct toc_pipeline *p = open_pipeline();
    size_t n = cut(packets);
    toc_ns tick = packets[0].arrival, end = packets[n - 1].arrival + TOC_NS_PER_S, free_at = tick;
    for (size_t i = 0; tick < end;) {
        bool packet = i < n && packets[i].arrival <= tick;
        toc_ns now = packet ? packets[i].arrival : tick;
        if (packet)
            bed_push(p, &packets[i++]);
        else
            toc_pipeline_tick(p, now);
        tick += packet ? 0 : TOC_NS_PER_S / 10;
        free_at = work(p, capacity(manner, now), free_at, now);
        o->worst_wait_s = fmax(o->worst_wait_s, toc_pipeline_wait_s(p, now));
        if (toc_pipeline_load(p) > o->worst_mode)
            o->worst_mode = toc_pipeline_load(p);
        drain(p, o);
    }
    o->stats = *toc_pipeline_stats(p);
    o->hops = (double)(o->stats.windows + o->stats.windows_gated);
    o->last_mode = toc_pipeline_load(p);
    toc_pipeline_destroy(p);
    free(packets);
    return o;
}

/* ---- what is held against the run without a limit ------------------------------------------------------------- */

/* Is there a pick of this phase on this station within `s`? */
static bool has_pick(const struct outcome *o, const struct toc_pick_report *like, double s)
{
    for (size_t i = 0; i < o->n_picks; i++)
        if (strcmp(o->picks[i].sid, like->sid) == 0 && o->picks[i].pick.phase == like->pick.phase &&
            fabs(toc_s_from_ns(o->picks[i].pick.time - like->pick.time)) < s)
            return true;
    return false;
}

static size_t count(const struct outcome *o, enum toc_phase phase)
{
    size_t n = 0;
    for (size_t i = 0; i < o->n_picks; i++)
        n += o->picks[i].pick.phase == phase;
    return n;
}

static size_t common(const struct outcome *a, const struct outcome *b, enum toc_phase phase)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n_picks; i++)
        n += a->picks[i].pick.phase == phase && has_pick(b, &a->picks[i], 0.1);
    return n;
}

static void tell(const char *name, const struct outcome *o)
{
    printf("%s: worst wait %.2f s, mode up to %s, %zu changes, %.0f %% of hops left out, P %zu of %zu, S %zu of %zu\n", name,
           o->worst_wait_s, toc_load_mode_str(o->worst_mode), o->n_loads, 100 * (double)o->stats.windows_gated / o->hops,
           common(plain, o, TOC_PHASE_P), count(plain, TOC_PHASE_P), common(plain, o, TOC_PHASE_S),
           count(plain, TOC_PHASE_S));
}

/* Every sample went through some detector: hops of all stations, whether the network saw them or not. */
static void nobody_was_dropped(const struct outcome *o)
{
    assert_int_equal(o->stats.samples, plain->stats.samples);
    assert_int_equal(o->stats.gaps, 0);
    assert_true(o->hops == plain->hops);
}

static void changes_are_told(const struct outcome *o)
{
    enum toc_load_mode mode = TOC_LOAD_NORMAL;
    assert_int_equal(o->n_loads, o->stats.load_changes);
    for (size_t i = 0; i < o->n_loads; i++) {
        assert_int_equal(o->loads[i].from, mode);
        mode = o->loads[i].to;
        assert_true(mode < o->loads[i].from || o->loads[i].wait_s >= 0.3);
    }
    assert_int_equal(mode, o->last_mode);
}

static void with_room_nothing_is_left_out(void **state)
{
    (void)state;
    assert_true(count(plain, TOC_PHASE_P) >= 30);
    assert_true(plain->worst_wait_s < 0.1);
    assert_int_equal(plain->n_loads, 0);
    assert_int_equal(plain->stats.windows_gated, 0);
}

static void three_times_too_much(void **state)
{
    (void)state;
    struct outcome *o = run(&(struct manner){.overload = 3, .from_s = 30, .until_s = 95});
    tell("3 times too much", o);
    assert_true(o->worst_wait_s < 1);
    nobody_was_dropped(o);
    changes_are_told(o);
    assert_int_equal(o->worst_mode, TOC_LOAD_SLOWEST);
    assert_int_equal(o->last_mode, TOC_LOAD_NORMAL);
    assert_true((double)common(plain, o, TOC_PHASE_P) >= 0.9 * (double)count(plain, TOC_PHASE_P));
    free(o);
}

static void a_little_too_much_costs_little(void **state)
{
    (void)state;
    struct outcome *o = run(&(struct manner){.overload = 1.3, .from_s = 30, .until_s = 95});
    tell("1.3 times too much", o);
    assert_true(o->worst_wait_s < 0.5);
    nobody_was_dropped(o);
    changes_are_told(o);
    assert_true((double)common(plain, o, TOC_PHASE_P) >= 0.95 * (double)count(plain, TOC_PHASE_P));
    assert_true((double)common(plain, o, TOC_PHASE_S) >= 0.6 * (double)count(plain, TOC_PHASE_S));
    free(o);
}

static int prepare(void **state)
{
    struct toc_scenario_options options;
    (void)state;
    toc_scenario_defaults(&options);
    options.seed = 21;
    options.magnitude = 5.5;
    options.n_sites = SITES;
    options.duration_s = SECONDS;
    options.first_origin_s = 60;
    options.extent_km = 300;
    bed_make(&options);
    plain = run(&(struct manner){0});
    return 0;
}

static int clear(void **state)
{
    (void)state;
    free(plain);
    bed_unmake();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_room_nothing_is_left_out),
        cmocka_unit_test(a_little_too_much_costs_little),
        cmocka_unit_test(three_times_too_much),
    };
    return cmocka_run_group_tests(tests, prepare, clear);
}
