/*
 * Association on synthetic networks: what must become one event, what must
 * become two, and what must become none. Picks come in order of their
 * declaration, as they do live, and the sites' picked_until moves along.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/associator.h"
#include "core/locate.h"
#include "tests/unit/quake.h"

#define FEED_MAX 60000
#define DELAY_S 0.7 /* from onset to declaration */

struct fixture {
    struct toc_travel *travel;
    struct toc_associator *associator;
    struct toc_locator *locator;
    struct toc_associator_settings settings;
    struct quake_net net;
    struct toc_pick feed[FEED_MAX];
    size_t n_feed;
    uint64_t next_id;
    /* what happened */
    unsigned results[6];
    unsigned opened;
    struct toc_event first[64]; /* each event as it was when it opened */
    toc_ns opened_at[64];
};

static int setup(void **state)
{
    const struct toc_settings defaults = TOC_SETTINGS_DEFAULT;
    struct fixture *f = calloc(1, sizeof(*f));

    f->travel = quake_travel();
    f->settings = defaults.associator;
    f->next_id = 1;
    quake_seed = 4711;
    *state = f;
    return f->travel && toc_associator_create(f->travel, QUAKE_SITES_MAX, &f->associator) == 0 &&
                   toc_locator_create(f->travel, &f->locator) == 0
               ? 0
               : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    toc_associator_destroy(f->associator);
    toc_locator_destroy(f->locator);
    toc_travel_destroy(f->travel);
    free(f);
    return 0;
}

static struct toc_pick *queue(struct fixture *f, uint32_t site, enum toc_phase phase, toc_ns time)
{
    assert_true(f->n_feed < FEED_MAX);
    f->feed[f->n_feed] = quake_pick(f->next_id++, site, phase, time);
    return &f->feed[f->n_feed++];
}

/* P at every site within reach_km, S at those within half of it; 0.1 s of noise. */
static void queue_quake(struct fixture *f, const struct quake *q, double reach_km)
{
    for (uint32_t i = 0; i < f->net.n; i++) {
        double d = quake_distance_km(q, &f->net.sites[i]);

        if (d <= reach_km)
            queue(f, i, TOC_PHASE_P,
                  quake_arrival(f->travel, q, &f->net.sites[i], TOC_PHASE_P) + toc_ns_from_s(0.1 * quake_gauss()));
        if (d <= 0.5 * reach_km)
            queue(f, i, TOC_PHASE_S,
                  quake_arrival(f->travel, q, &f->net.sites[i], TOC_PHASE_S) + toc_ns_from_s(0.2 * quake_gauss()));
    }
}

/* P picks out of nothing, each site on its own. */
static void queue_noise(struct fixture *f, double per_hour, toc_ns from, double seconds)
{
    for (uint32_t i = 0; i < f->net.n; i++)
        for (double t = -log(1 - quake_uniform()) * 3600 / per_hour; t < seconds;
             t += -log(1 - quake_uniform()) * 3600 / per_hour)
            queue(f, i, TOC_PHASE_P, from + toc_ns_from_s(t));
}

static int by_time(const void *a, const void *b)
{
    const struct toc_pick *x = a, *y = b;

    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static void note_opened(struct fixture *f, const struct toc_event *event, toc_ns now)
{
    if (f->opened < 64) {
        f->first[f->opened] = *event;
        f->opened_at[f->opened] = now;
    }
    f->opened++;
}

/* Play the feed: each pick DELAY_S after its onset, a tick each second, a location after each change
 * (each eighth, once it stands well). */
static void play(struct fixture *f)
{
    toc_ns tick;

    qsort(f->feed, f->n_feed, sizeof(f->feed[0]), by_time);
    tick = f->n_feed > 0 ? f->feed[0].time : 0;
    for (size_t i = 0; i < f->n_feed; i++) {
        toc_ns now = f->feed[i].time + toc_ns_from_s(DELAY_S);
        struct toc_event *event = NULL;
        enum toc_assoc result;

        for (; tick < now; tick += TOC_NS_PER_S)
            toc_associator_tick(f->associator, f->net.sites, f->net.n, tick);
        quake_net_until(&f->net, now - toc_ns_from_s(0.2));
        result = toc_associator_add(f->associator, &f->feed[i], f->net.sites, f->net.n, now, &event);
        f->results[result]++;
        if (result != TOC_ASSOC_OPENED && result != TOC_ASSOC_JOINED)
            continue;
        if (event->n_picks < 10 || event->n_picks % 8 == 0)
            toc_locate_update(f->locator, event, f->net.sites, f->net.n, now);
        if (result == TOC_ASSOC_OPENED)
            note_opened(f, event, now);
    }
}

static struct quake quake_at(double north_km, double east_km, double depth_km, double after_s)
{
    struct quake q = {.depth_km = depth_km, .time = QUAKE_EPOCH + toc_ns_from_s(after_s)};

    toc_geo_offset(QUAKE_LAT, QUAKE_LON, north_km, east_km, &q.lat, &q.lon);
    return q;
}

static double event_error_km(const struct toc_event *event, const struct quake *q)
{
    return toc_geo_distance_km(q->lat, q->lon, event->origin.latitude_deg, event->origin.longitude_deg);
}

static void one_quake_is_one_event(void **state)
{
    struct fixture *f = *state;
    struct quake q = quake_at(10, -15, 9, 100);
    struct toc_event *event;
    unsigned n_p = 0;

    quake_net_random(&f->net, 30, 70);
    queue_quake(f, &q, 300);
    play(f);
    assert_int_equal(f->opened, 1);
    assert_int_equal(toc_associator_count(f->associator), 1);
    event = toc_associator_event(f->associator, 0);
    for (uint16_t i = 0; i < event->n_picks; i++)
        n_p += event->picks[i].pick.phase == TOC_PHASE_P && event->picks[i].used;
    assert_true(n_p >= 29);
    assert_true(event->n_picks >= 57);
    assert_true(event_error_km(event, &q) < 2);
    assert_null(toc_associator_event(f->associator, 1));
    assert_true(f->results[TOC_ASSOC_HELD] <= 6); /* the first three P, perhaps an early S */
}

/* Many quakes, one at a time: each opens at the fourth pick or soon after, and none opens twice. */
static void every_quake_is_found_once(void **state)
{
    struct fixture *f = *state;
    unsigned at_four = 0, at_six = 0;

    for (int trial = 0; trial < 60; trial++) {
        struct quake q = quake_at(quake_between(-60, 60), quake_between(-60, 60), quake_between(2, 18), 0);
        unsigned later = 0;

        toc_associator_destroy(f->associator);
        assert_int_equal(toc_associator_create(f->travel, QUAKE_SITES_MAX, &f->associator), 0);
        f->n_feed = f->opened = 0;
        quake_net_random(&f->net, 25, 70);
        queue_quake(f, &q, 300);
        play(f);
        if (f->opened != 1)
            fail_msg("trial %d opened %u events", trial, f->opened);
        for (size_t i = 0; i < f->n_feed; i++)
            later += f->feed[i].phase == TOC_PHASE_P && f->feed[i].time + toc_ns_from_s(DELAY_S) <= f->opened_at[0];
        at_four += later <= 4;
        at_six += later <= 6;
    }
    print_message("opened at the 4th P: %u of 60, by the 6th: %u\n", at_four, at_six);
    assert_true(at_four >= 36); /* the rest could have been a front from far away at their fourth */
    assert_true(at_six >= 55);
}

static void two_at_once_stay_two(void **state)
{
    struct fixture *f = *state;

    for (int trial = 0; trial < 12; trial++) {
        struct quake a = quake_at(-60, quake_between(-40, 40), 8, 0);
        struct quake b = quake_at(60, quake_between(-40, 40), 12, quake_between(-2, 2));
        double error_a = INFINITY, error_b = INFINITY;

        toc_associator_destroy(f->associator);
        assert_int_equal(toc_associator_create(f->travel, QUAKE_SITES_MAX, &f->associator), 0);
        f->n_feed = f->opened = 0;
        quake_net_random(&f->net, 50, 100);
        queue_quake(f, &a, 120);
        queue_quake(f, &b, 120);
        play(f);
        if (f->opened != 2)
            fail_msg("trial %d opened %u events", trial, f->opened);
        for (size_t i = 0; i < 2; i++) {
            error_a = fmin(error_a, event_error_km(toc_associator_event(f->associator, i), &a));
            error_b = fmin(error_b, event_error_km(toc_associator_event(f->associator, i), &b));
        }
        assert_true(error_a < 10 && error_b < 10);
    }
}

/* Twenty seconds after, from nearly the same place, out of a coda full of false picks. */
static void an_aftershock_is_an_event_of_its_own(void **state)
{
    struct fixture *f = *state;
    unsigned found = 0, extra = 0;

    for (int trial = 0; trial < 15; trial++) {
        struct quake a = quake_at(quake_between(-20, 20), quake_between(-20, 20), 8, 0), b = a;

        toc_associator_destroy(f->associator);
        assert_int_equal(toc_associator_create(f->travel, QUAKE_SITES_MAX, &f->associator), 0);
        f->n_feed = f->opened = 0;
        b.time += 20 * TOC_NS_PER_S;
        toc_geo_offset(a.lat, a.lon, 4, -3, &b.lat, &b.lon);
        quake_net_random(&f->net, 25, 60);
        queue_quake(f, &a, 200);
        queue_quake(f, &b, 100);
        queue_noise(f, 120, QUAKE_EPOCH + 5 * TOC_NS_PER_S, 60); /* one in thirty seconds at each site */
        play(f);
        for (unsigned i = 0; i < f->opened; i++)
            if (fabs(toc_s_from_ns(f->first[i].origin.time - b.time)) < 3 && event_error_km(&f->first[i], &b) < 20) {
                found++;
                break;
            }
        extra += f->opened > 2 ? f->opened - 2 : 0;
    }
    print_message("aftershocks found: %u of 15, events too many: %u\n", found, extra);
    assert_true(found >= 13);
    assert_int_equal(extra, 0);
}

/* The coda itself, with twice as many false picks and S taken for P, opens nothing. */
static void coda_opens_nothing(void **state)
{
    struct fixture *f = *state;
    struct quake q = quake_at(5, 5, 10, 0);
    size_t n;

    quake_net_random(&f->net, 30, 70);
    queue_quake(f, &q, 300);
    n = f->n_feed;
    for (size_t i = 0; i < n; i++)
        if (f->feed[i].phase == TOC_PHASE_S) /* the network said P, too */
            queue(f, f->feed[i].site, TOC_PHASE_P, f->feed[i].time + toc_ns_from_s(quake_between(-0.5, 0.5)));
    queue_noise(f, 240, QUAKE_EPOCH + 4 * TOC_NS_PER_S, 60);
    play(f);
    assert_int_equal(f->opened, 1);
    assert_true(event_error_km(toc_associator_event(f->associator, 0), &q) < 3);
}

/* 21 sites with ten false picks an hour each, on 160 and on 20 km. Measured once over 240 h each: no event at all. */
static unsigned noise_events(struct fixture *f, double half_km, double per_hour, double hours)
{
    f->n_feed = f->opened = 0;
    quake_net_random(&f->net, 21, half_km);
    queue_noise(f, per_hour, QUAKE_EPOCH, hours * 3600);
    play(f);
    return f->opened;
}

static void noise_opens_nothing(void **state)
{
    struct fixture *f = *state;
    unsigned wide = noise_events(f, 80, 10, 48), dense = noise_events(f, 10, 10, 48);

    print_message("false events at 10 picks per hour and site: %u in 48 h on 160 km, %u in 48 h on 20 km\n", wide, dense);
    assert_int_equal(wide + dense, 0);
}

/* Every site at the same instant, as a clock or power glitch does: no moveout, no quake. */
static void simultaneous_picks_are_no_quake(void **state)
{
    struct fixture *f = *state;

    quake_net_random(&f->net, 21, 80);
    for (uint32_t i = 0; i < 21; i++)
        queue(f, i, TOC_PHASE_P, QUAKE_EPOCH + toc_ns_from_s(quake_between(0, 0.05)));
    play(f);
    print_message("a glitch on all 21 sites opened %u\n", f->opened);
    assert_int_equal(f->opened, 0);
}

static void min_sites_is_obeyed(void **state)
{
    struct fixture *f = *state;
    struct quake q = quake_at(0, 0, 9, 0);

    f->settings.min_sites = 7;
    toc_associator_configure(f->associator, &f->settings);
    quake_net_random(&f->net, 6, 40);
    queue_quake(f, &q, 300);
    play(f);
    assert_int_equal(f->opened, 0);
    f->settings.min_sites = 3;
    toc_associator_configure(f->associator, &f->settings);
    q.time += 300 * TOC_NS_PER_S;
    f->n_feed = 0;
    queue_quake(f, &q, 300);
    play(f);
    assert_int_equal(f->opened, 1);
    assert_true(f->first[0].n_picks >= 3 && f->first[0].n_picks <= 6);
}

/* Far sites pick, the near ones do not: not believed. */
static void quiet_neighbours_forbid(void **state)
{
    struct fixture *f = *state;
    struct quake q = quake_at(0, 0, 9, 0);
    unsigned far = 0;

    quake_net_random(&f->net, 40, 60);
    for (uint32_t i = 0; i < f->net.n; i++)
        if (quake_distance_km(&q, &f->net.sites[i]) > 50 && far++ < 5)
            queue(f, i, TOC_PHASE_P, quake_arrival(f->travel, &q, &f->net.sites[i], TOC_PHASE_P));
    assert_true(far >= 5);
    play(f);
    assert_int_equal(f->opened, 0);
}

/* --- single picks -------------------------------------------------------------------------------------------- */

static struct toc_event *one_open(struct fixture *f, const struct quake *q)
{
    quake_net_random(&f->net, 12, 50);
    queue_quake(f, q, 300);
    f->n_feed = 0;
    for (uint32_t i = 0; i < 11; i++) /* the twelfth stays quiet */
        queue(f, i, TOC_PHASE_P, quake_arrival(f->travel, q, &f->net.sites[i], TOC_PHASE_P));
    play(f);
    assert_int_equal(toc_associator_count(f->associator), 1);
    return toc_associator_event(f->associator, 0);
}

static enum toc_assoc add(struct fixture *f, const struct toc_pick *pick, struct toc_event **ret_event)
{
    return toc_associator_add(f->associator, pick, f->net.sites, f->net.n, pick->time + TOC_NS_PER_S, ret_event);
}

static void a_pick_joins_by_its_phase(void **state)
{
    struct fixture *f = *state;
    struct quake q = quake_at(0, 0, 9, 0);
    struct toc_event *event = one_open(f, &q), *joined = NULL;
    struct toc_pick s, again, suspect;
    uint16_t n = event->n_picks;

    s = quake_pick(901, 3, TOC_PHASE_S, quake_arrival(f->travel, &q, &f->net.sites[3], TOC_PHASE_S));
    assert_int_equal(add(f, &s, &joined), TOC_ASSOC_JOINED);
    assert_ptr_equal(joined, event);
    assert_int_equal(event->n_picks, n + 1);
    again = quake_pick(902, 3, TOC_PHASE_S, s.time + TOC_NS_PER_S / 2);
    assert_int_equal(add(f, &again, &joined), TOC_ASSOC_REJECTED);
    assert_int_equal(event->n_picks, n + 1);
    suspect = quake_pick(903, 5, TOC_PHASE_P, quake_arrival(f->travel, &q, &f->net.sites[5], TOC_PHASE_S));
    assert_int_equal(add(f, &suspect, &joined), TOC_ASSOC_JOINED);
    assert_int_equal(event->picks[n + 1].pick.phase, TOC_PHASE_S);
    assert_false(event->picks[n + 1].used);
    assert_true((double)event->picks[n + 1].pick.sigma_s >= TOC_LOCATE_SIGMA_MAX_S);
    again = quake_pick(904, 7, TOC_PHASE_P, event->picks[0].pick.time + 45 * TOC_NS_PER_S);
    assert_int_equal(add(f, &again, &joined), TOC_ASSOC_HELD);
}

static void a_better_pick_takes_the_place_of_an_outlier(void **state)
{
    struct fixture *f = *state;
    struct quake q = quake_at(0, 0, 9, 0);
    struct toc_event *event = one_open(f, &q), *joined = NULL;
    struct toc_pick pick = event->picks[2].pick;
    uint16_t n = event->n_picks;

    event->picks[2].used = false; /* as the locator says of outliers */
    pick.id = 905;
    assert_int_equal(add(f, &pick, &joined), TOC_ASSOC_JOINED);
    assert_int_equal(event->n_picks, n);
    assert_int_equal(event->picks[2].pick.id, 905);
    assert_true(event->picks[2].used);
}

static void a_co_located_group_joins_but_does_not_open(void **state)
{
    struct fixture *f = *state;
    struct quake q = quake_at(0, 0, 9, 0);
    struct toc_event *event, *joined = NULL;
    struct toc_pick twin;

    quake_net_random(&f->net, 3, 30);
    for (uint32_t i = 0; i < 3; i++)
        for (uint32_t g = 0; g < 3; g++)
            queue(f, i, TOC_PHASE_P, quake_arrival(f->travel, &q, &f->net.sites[i], TOC_PHASE_P))->group = 10 * g + i;
    play(f);
    assert_int_equal(f->opened, 0); /* nine groups, three sites */
    f->n_feed = 0;
    q.time += 600 * TOC_NS_PER_S;
    event = one_open(f, &q);
    twin = event->picks[1].pick;
    twin.id = 906;
    twin.group += 50;
    assert_int_equal(add(f, &twin, &joined), TOC_ASSOC_JOINED);
    assert_int_equal(event->picks[event->n_picks - 1].pick.id, 906);
    assert_false(event->picks[event->n_picks - 1].used);
}

static void a_revision_replaces(void **state)
{
    struct fixture *f = *state;
    struct quake q = quake_at(0, 0, 9, 0);
    struct toc_event *event = one_open(f, &q), *joined = NULL;
    struct toc_pick pick = event->picks[4].pick;
    uint16_t n = event->n_picks;

    pick.revision++;
    pick.time += TOC_NS_PER_S / 10;
    assert_int_equal(add(f, &pick, &joined), TOC_ASSOC_JOINED);
    assert_int_equal(event->n_picks, n);
    assert_int_equal(event->picks[4].pick.revision, 1);
    assert_true(event->picks[4].pick.time == pick.time);
}

static void a_withdrawn_pick_counts_for_nothing_until_it_is_back(void **state)
{
    struct fixture *f = *state;
    struct quake q = quake_at(0, 0, 9, 0);
    struct toc_event *event = one_open(f, &q), *joined = NULL;
    struct toc_pick pick = event->picks[2].pick;
    float sigma_s = pick.sigma_s;

    toc_locate_update(f->locator, event, f->net.sites, f->net.n, 0);
    uint16_t used = event->origin.used_picks;
    pick.revision = 1;
    pick.standing = TOC_STANDING_WITHDRAWN;
    assert_int_equal(add(f, &pick, &joined), TOC_ASSOC_JOINED);
    assert_false(event->picks[2].used);
    toc_locate_update(f->locator, event, f->net.sites, f->net.n, 0);
    assert_false(event->picks[2].used);
    assert_int_equal(event->origin.used_picks, used - 1);
    pick.revision = 2;
    pick.standing = TOC_STANDING_CONFIRMED;
    assert_int_equal(add(f, &pick, &joined), TOC_ASSOC_JOINED);
    toc_locate_update(f->locator, event, f->net.sites, f->net.n, 0);
    assert_true(event->picks[2].used && event->picks[2].pick.sigma_s == sigma_s);
    for (uint16_t i = 0; i < event->n_picks; i++) { /* all of them: nothing holds the event up */
        pick = event->picks[i].pick;
        pick.standing = TOC_STANDING_WITHDRAWN;
        (void)add(f, &pick, &joined);
    }
    toc_locate_update(f->locator, event, f->net.sites, f->net.n, 0);
    assert_int_equal(event->origin.used_sites, 0);
}

static void a_pick_withdrawn_while_it_waits_is_forgotten(void **state)
{
    struct fixture *f = *state;
    struct quake q = quake_at(0, 0, 9, 0);
    struct toc_event *joined = NULL;
    struct toc_pick picks[3];

    quake_net_random(&f->net, 20, 60);
    for (uint32_t i = 0; i < 3; i++) {
        picks[i] = quake_pick(801 + i, i, TOC_PHASE_P, quake_arrival(f->travel, &q, &f->net.sites[i], TOC_PHASE_P));
        assert_int_equal(add(f, &picks[i], &joined), TOC_ASSOC_HELD);
    }
    picks[1].standing = TOC_STANDING_WITHDRAWN;
    assert_int_equal(add(f, &picks[1], &joined), TOC_ASSOC_WITHDRAWN);
    picks[1].standing = TOC_STANDING_OPEN; /* taken back: it waits again */
    assert_int_equal(add(f, &picks[1], &joined), TOC_ASSOC_HELD);
}

static void a_foreign_pick_waits_until_it_is_none(void **state)
{
    const struct toc_verdict foreign = {TOC_DOMAIN_TELESEISM, 0.97f, 0.99f}, local = {TOC_DOMAIN_LOCAL, 0.9f, 0.05f};
    struct fixture *f = *state;
    struct quake q = quake_at(0, 0, 9, 0);
    struct toc_event *event = NULL;
    uint64_t ids[12];

    quake_net_random(&f->net, 12, 40);
    quake_net_until(&f->net, q.time + 30 * TOC_NS_PER_S);
    for (uint32_t i = 0; i < 12; i++) {
        struct toc_pick pick = quake_pick(f->next_id++, i, TOC_PHASE_P, quake_arrival(f->travel, &q, &f->net.sites[i], TOC_PHASE_P));

        pick.domain = foreign;
        ids[i] = pick.id;
        assert_int_equal(toc_associator_add(f->associator, &pick, f->net.sites, 12, q.time + 15 * TOC_NS_PER_S, &event),
                         TOC_ASSOC_HELD);
    }
    assert_int_equal(toc_associator_count(f->associator), 0);
    for (uint32_t i = 0; i < 12; i++)
        (void)toc_associator_judge(f->associator, ids[i], &local, f->net.sites, 12, q.time + 16 * TOC_NS_PER_S, &event);
    assert_int_equal(toc_associator_count(f->associator), 1);
    event = toc_associator_event(f->associator, 0);
    assert_int_equal(event->n_picks, 12);
    assert_int_equal(toc_associator_judge(f->associator, ids[3], &foreign, f->net.sites, 12, q.time + 17 * TOC_NS_PER_S, &event),
                     TOC_ASSOC_JOINED);
    assert_int_equal(toc_associator_judge(f->associator, ids[3], &foreign, f->net.sites, 12, q.time + 17 * TOC_NS_PER_S, &event),
                     TOC_ASSOC_HELD); /* nothing new */
    assert_int_equal(toc_associator_judge(f->associator, 9999, &foreign, f->net.sites, 12, q.time + 17 * TOC_NS_PER_S, &event),
                     TOC_ASSOC_REJECTED);
    toc_locate_update(f->locator, event, f->net.sites, 12, q.time + 17 * TOC_NS_PER_S);
    for (uint16_t i = 0; i < event->n_picks; i++) {
        assert_true(event->picks[i].left_out == (event->picks[i].pick.id == ids[3]));
        assert_true(event->picks[i].used != event->picks[i].left_out);
    }
    assert_int_equal(event->origin.used_sites, 11);
}

/* Who left without an event is told, but for what surely was a small quake near by. */
static void lone_picks_are_told(void **state)
{
    struct fixture *f = *state;
    const uint32_t *groups = NULL;
    struct toc_event *event = NULL;
    toc_ns late = QUAKE_EPOCH + 200 * TOC_NS_PER_S;

    quake_net_random(&f->net, 3, 40);
    for (uint32_t i = 0; i < 3; i++) {
        struct toc_pick pick = quake_pick(f->next_id++, i, i < 2 ? TOC_PHASE_P : TOC_PHASE_S, QUAKE_EPOCH);

        if (i == 1)
            pick.domain = (struct toc_verdict){TOC_DOMAIN_LOCAL, 0.95f, 0.02f};
        assert_int_equal(toc_associator_add(f->associator, &pick, f->net.sites, 3, QUAKE_EPOCH, &event), TOC_ASSOC_HELD);
    }
    assert_int_equal(toc_associator_tick(f->associator, f->net.sites, 3, late), 3);
    assert_int_equal(toc_associator_take_lost(f->associator, &groups), 1);
    assert_int_equal(groups[0], 0);
    assert_int_equal(toc_associator_take_lost(f->associator, &groups), 0);
}

static void bad_picks_are_rejected(void **state)
{
    struct fixture *f = *state;
    struct toc_event *event = NULL;
    struct toc_pick pick = quake_pick(1, 0, TOC_PHASE_P, QUAKE_EPOCH), bad;

    quake_net_random(&f->net, 5, 50);
    bad = pick;
    bad.site = 5;
    assert_int_equal(add(f, &bad, &event), TOC_ASSOC_REJECTED);
    bad = pick;
    bad.time = TOC_NS_NONE;
    assert_int_equal(toc_associator_add(f->associator, &bad, f->net.sites, 5, QUAKE_EPOCH, &event),
                     TOC_ASSOC_REJECTED);
    assert_int_equal(toc_associator_add(f->associator, &pick, f->net.sites, 5, QUAKE_EPOCH + 61 * TOC_NS_PER_S,
                                        &event),
                     TOC_ASSOC_REJECTED);
    assert_int_equal(toc_associator_add(f->associator, &pick, f->net.sites, 5, QUAKE_EPOCH - 11 * TOC_NS_PER_S,
                                        &event),
                     TOC_ASSOC_REJECTED);
    f->net.sites[0].latitude_deg = NAN;
    assert_int_equal(add(f, &pick, &event), TOC_ASSOC_REJECTED);
    assert_null(event);
    assert_int_equal(toc_associator_create(NULL, 5, &f->associator), -EINVAL);
    assert_int_equal(toc_associator_create(f->travel, 0, &f->associator), -EINVAL);
    toc_associator_destroy(NULL);
}

static void held_picks_leave_with_age_and_room_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct toc_event *event = NULL;

    quake_net_random(&f->net, 2, 50); /* two sites never open */
    for (uint64_t i = 0; i < TOC_ASSOCIATOR_HELD; i++) {
        struct toc_pick pick = quake_pick(i + 1, i % 2, TOC_PHASE_P, QUAKE_EPOCH + (toc_ns)i * TOC_NS_PER_MS);

        assert_int_equal(add(f, &pick, &event), TOC_ASSOC_HELD);
    }
    event = NULL;
    {
        struct toc_pick pick = quake_pick(9999, 0, TOC_PHASE_P, QUAKE_EPOCH + TOC_NS_PER_S);

        assert_int_equal(add(f, &pick, &event), TOC_ASSOC_FULL);
        assert_int_equal(toc_associator_tick(f->associator, f->net.sites, 2, QUAKE_EPOCH + 30 * TOC_NS_PER_S), 0);
        assert_int_equal(toc_associator_tick(f->associator, f->net.sites, 2, QUAKE_EPOCH + 61 * TOC_NS_PER_S),
                         TOC_ASSOCIATOR_HELD);
        pick.time += 60 * TOC_NS_PER_S;
        assert_int_equal(add(f, &pick, &event), TOC_ASSOC_HELD);
    }
    assert_null(event);
}

static void events_close_after_silence(void **state)
{
    struct fixture *f = *state;
    struct quake q = quake_at(0, 0, 9, 0);
    struct toc_event *event = one_open(f, &q);
    toc_ns last = event->changed;

    toc_associator_tick(f->associator, f->net.sites, f->net.n, last + 119 * TOC_NS_PER_S);
    assert_int_equal(toc_associator_count(f->associator), 1);
    toc_associator_tick(f->associator, f->net.sites, f->net.n, last + 121 * TOC_NS_PER_S);
    assert_int_equal(toc_associator_count(f->associator), 0);
}

/* Its late picks do not bring a closed event back. */
static void a_closed_event_does_not_rise_again(void **state)
{
    struct fixture *f = *state;
    struct quake q = quake_at(0, 0, 9, 0);

    quake_net_random(&f->net, 30, 70);
    queue_quake(f, &q, 300);
    qsort(f->feed, f->n_feed, sizeof(f->feed[0]), by_time);
    for (size_t i = 0; i < f->n_feed; i++) {
        struct toc_event *event = NULL;

        quake_net_until(&f->net, f->feed[i].time);
        if (add(f, &f->feed[i], &event) != TOC_ASSOC_OPENED)
            continue;
        f->opened++;
        toc_locate_update(f->locator, event, f->net.sites, f->net.n, 0);
        toc_associator_close(f->associator, event->id);
        assert_int_equal(toc_associator_count(f->associator), 0);
    }
    assert_int_equal(f->opened, 1);
    toc_associator_close(f->associator, 12345); /* unknown: nothing */
}

static void names_come_from_content(void **state)
{
    struct fixture *f = *state;
    struct quake q = quake_at(0, 0, 9, 0);
    char name[TOC_EVENT_ID_SIZE];
    struct toc_event *event = one_open(f, &q);

    memcpy(name, event->name, sizeof(name));
    assert_memory_equal(name, "toc20231114t2213", 16); /* QUAKE_EPOCH is 2023-11-14T22:13:20Z */
    assert_int_equal(strlen(name), strlen("toc20190704t173349-3f2a"));
    toc_associator_destroy(f->associator);
    assert_int_equal(toc_associator_create(f->travel, QUAKE_SITES_MAX, &f->associator), 0);
    for (size_t i = 0; i < f->n_feed; i++)
        f->feed[i].id += 1000;
    play(f);
    assert_string_equal(toc_associator_event(f->associator, 0)->name, name);
    toc_associator_destroy(f->associator);
    assert_int_equal(toc_associator_create(f->travel, QUAKE_SITES_MAX, &f->associator), 0);
    for (size_t i = 0; i < f->n_feed; i++)
        f->feed[i].time += TOC_NS_PER_MS;
    play(f);
    assert_string_not_equal(toc_associator_event(f->associator, 0)->name, name);
}

/* Twenty-four quakes far apart: sixteen are kept, the others refused, none is evicted. */
static void a_full_house_refuses(void **state)
{
    struct fixture *f = *state;
    unsigned full = 0;

    f->net.n = 24 * 6;
    for (uint32_t i = 0; i < f->net.n; i++) {
        struct toc_site *s = &f->net.sites[i];

        toc_geo_offset(20, -170 + 15.0 * (i / 6), quake_between(-25, 25), quake_between(-25, 25), &s->latitude_deg,
                       &s->longitude_deg);
        s->usable = true;
    }
    for (uint32_t k = 0; k < 24; k++) {
        struct quake q = {20, -170 + 15.0 * k, 8, QUAKE_EPOCH + k * 4 * TOC_NS_PER_S};

        for (uint32_t i = 6 * k; i < 6 * k + 6; i++)
            queue(f, i, TOC_PHASE_P, quake_arrival(f->travel, &q, &f->net.sites[i], TOC_PHASE_P));
    }
    play(f);
    full = f->results[TOC_ASSOC_FULL];
    assert_int_equal(f->opened, 16);
    assert_int_equal(toc_associator_count(f->associator), TOC_ASSOCIATOR_EVENTS);
    assert_true(full >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_quake_is_one_event, setup, teardown),
        cmocka_unit_test_setup_teardown(every_quake_is_found_once, setup, teardown),
        cmocka_unit_test_setup_teardown(two_at_once_stay_two, setup, teardown),
        cmocka_unit_test_setup_teardown(an_aftershock_is_an_event_of_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(coda_opens_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(noise_opens_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(simultaneous_picks_are_no_quake, setup, teardown),
        cmocka_unit_test_setup_teardown(min_sites_is_obeyed, setup, teardown),
        cmocka_unit_test_setup_teardown(quiet_neighbours_forbid, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pick_joins_by_its_phase, setup, teardown),
        cmocka_unit_test_setup_teardown(a_better_pick_takes_the_place_of_an_outlier, setup, teardown),
        cmocka_unit_test_setup_teardown(a_co_located_group_joins_but_does_not_open, setup, teardown),
        cmocka_unit_test_setup_teardown(a_revision_replaces, setup, teardown),
        cmocka_unit_test_setup_teardown(a_withdrawn_pick_counts_for_nothing_until_it_is_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pick_withdrawn_while_it_waits_is_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(a_foreign_pick_waits_until_it_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(lone_picks_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_picks_are_rejected, setup, teardown),
        cmocka_unit_test_setup_teardown(held_picks_leave_with_age_and_room_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(events_close_after_silence, setup, teardown),
        cmocka_unit_test_setup_teardown(a_closed_event_does_not_rise_again, setup, teardown),
        cmocka_unit_test_setup_teardown(names_come_from_content, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_house_refuses, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
