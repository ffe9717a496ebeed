/*
 * Location of synthetic quakes: exact times give the hypocentre back, noisy
 * ones with wild picks stay within 5 km, and the stated uncertainty is the
 * one that is observed.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/locate.h"
#include "tests/unit/quake.h"

struct fixture {
    struct toc_travel *travel;
    struct toc_locator *locator;
    struct quake_net net;
    struct toc_event event;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->travel = quake_travel();
    quake_seed = 42;
    *state = f;
    return f->travel && toc_locator_create(f->travel, &f->locator) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    toc_locator_destroy(f->locator);
    toc_travel_destroy(f->travel);
    free(f);
    return 0;
}

static void assert_near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("got %.9g, want %.9g +/- %.3g", got, want, tolerance);
}

static struct toc_event_pick *add_pick(struct fixture *f, const struct quake *q, uint32_t site, enum toc_phase phase,
                                       double error_s)
{
    toc_ns time = quake_arrival(f->travel, q, &f->net.sites[site], phase) + toc_ns_from_s(error_s);
    struct toc_event_pick *p = &f->event.picks[f->event.n_picks];

    *p = (struct toc_event_pick){.pick = quake_pick(f->event.n_picks + 1u, site, phase, time), .used = true};
    f->event.n_picks++;
    return p;
}

static void clear(struct fixture *f)
{
    memset(&f->event, 0, sizeof(f->event));
    f->event.id = 1;
    f->event.origin.time = TOC_NS_NONE;
}

static double error_km(const struct fixture *f, const struct quake *q)
{
    const struct toc_origin *o = &f->event.origin;

    return toc_geo_distance_km(q->lat, q->lon, o->latitude_deg, o->longitude_deg);
}

static struct quake random_quake(double half_km)
{
    struct quake q = {.depth_km = quake_between(2, 18), .time = QUAKE_EPOCH};

    toc_geo_offset(QUAKE_LAT, QUAKE_LON, quake_between(-half_km, half_km), quake_between(-half_km, half_km), &q.lat,
                   &q.lon);
    return q;
}

/* The k nearest sites to a quake, nearest first. */
static void nearest(const struct fixture *f, const struct quake *q, uint32_t *ret, size_t k)
{
    bool taken[QUAKE_SITES_MAX] = {false};

    for (size_t j = 0; j < k; j++) {
        double best = INFINITY;

        for (uint32_t i = 0; i < f->net.n; i++)
            if (!taken[i] && quake_distance_km(q, &f->net.sites[i]) < best) {
                best = quake_distance_km(q, &f->net.sites[i]);
                ret[j] = i;
            }
        taken[ret[j]] = true;
    }
}

static void exact_times_give_the_hypocentre_back(void **state)
{
    struct fixture *f = *state;

    for (int trial = 0; trial < 20; trial++) {
        struct quake q = random_quake(40);

        quake_net_random(&f->net, 20, 60);
        clear(f);
        for (uint32_t i = 0; i < f->net.n; i++) {
            add_pick(f, &q, i, TOC_PHASE_P, 0);
            add_pick(f, &q, i, TOC_PHASE_S, 0);
        }
        toc_locate_update(f->locator, &f->event, f->net.sites, f->net.n, 0);
        assert_near(error_km(f, &q), 0, 1.0);
        assert_near(f->event.origin.depth_km, q.depth_km, fmax(2.0, 2.0 * f->event.origin.depth_sigma_km));
        assert_true(f->event.origin.depth_sigma_km < 5.0);
        assert_near(toc_s_from_ns(f->event.origin.time - q.time), 0, 0.15);
        assert_true(f->event.origin.rms_s < 0.1);
        assert_int_equal(f->event.origin.used_picks, 40);
        assert_int_equal(f->event.origin.used_sites, 20);
    }
}

/* A wild pick for one in ten, 0.1 s of noise; `k` nearest sites have P. Returns the error, writes normalised error. */
static double noisy_trial(struct fixture *f, size_t k, bool with_s, double *ret_normal, double *ret_time_error)
{
    struct quake q = random_quake(40);
    uint32_t order[QUAKE_SITES_MAX];

    quake_net_random(&f->net, 30, 60);
    nearest(f, &q, order, k);
    clear(f);
    for (size_t i = 0; i < k; i++) {
        double error = 0.1 * quake_gauss();

        if (i > 0 && quake_uniform() < 0.1)
            error += quake_uniform() < 0.5 ? quake_between(-4, -1) : quake_between(1, 4);
        add_pick(f, &q, order[i], TOC_PHASE_P, error);
        if (with_s && i < k / 2)
            add_pick(f, &q, order[i], TOC_PHASE_S, 0.2 * quake_gauss());
    }
    quake_net_until(&f->net, quake_arrival(f->travel, &q, &f->net.sites[order[k - 1]], TOC_PHASE_P));
    toc_locate_update(f->locator, &f->event, f->net.sites, f->net.n, 0);
    *ret_normal = error_km(f, &q) / f->event.origin.horizontal_sigma_km;
    *ret_time_error = fabs(toc_s_from_ns(f->event.origin.time - q.time));
    return error_km(f, &q);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void noisy(struct fixture *f, size_t k, bool with_s, double median_bound_km, double share_bound)
{
    enum { TRIALS = 150 };
    double errors[TRIALS], times[TRIALS], inside = 0;

    for (int i = 0; i < TRIALS; i++) {
        double normal;

        errors[i] = noisy_trial(f, k, with_s, &normal, &times[i]);
        inside += normal <= 1.515 ? 1.0 / TRIALS : 0; /* 68 % of a circular normal lie within 1.515 sigma */
    }
    qsort(errors, TRIALS, sizeof(double), ascending);
    qsort(times, TRIALS, sizeof(double), ascending);
    print_message("%zu sites%s: median %.2f km, 90%% %.2f km, time median %.2f s, 68%% region holds %.0f%%\n", k,
                  with_s ? " and S" : "", errors[TRIALS / 2], errors[TRIALS * 9 / 10], times[TRIALS / 2],
                  100 * inside);
    assert_true(errors[TRIALS / 2] <= median_bound_km);
    assert_true(inside >= share_bound);
}

static void four_sites_with_noise_and_outliers(void **state)
{
    noisy(*state, 4, false, 5.0, 0.5);
}

static void six_sites_with_noise_and_outliers(void **state)
{
    noisy(*state, 6, false, 4.0, 0.5);
}

static void twelve_sites_with_s(void **state)
{
    noisy(*state, 12, true, 2.0, 0.5);
}

/* The outlier itself is named. */
static void a_wild_pick_is_not_used(void **state)
{
    struct fixture *f = *state;
    struct quake q = {QUAKE_LAT, QUAKE_LON, 8, QUAKE_EPOCH};

    quake_net_random(&f->net, 10, 50);
    clear(f);
    for (uint32_t i = 0; i < 10; i++)
        add_pick(f, &q, i, TOC_PHASE_P, i == 4 ? 3.0 : 0.0);
    toc_locate_update(f->locator, &f->event, f->net.sites, f->net.n, 0);
    assert_near(error_km(f, &q), 0, 1.5);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(f->event.picks[i].used, i != 4);
    assert_near(f->event.picks[4].residual_s, 3.0, 0.4);
    assert_int_equal(f->event.origin.used_sites, 9);
    assert_near(f->event.picks[3].distance_km, quake_distance_km(&q, &f->net.sites[3]), 1.5);
}

/* Two groups on one pier are one witness. */
static void a_co_located_group_counts_once(void **state)
{
    struct fixture *f = *state;
    struct quake q = {QUAKE_LAT, QUAKE_LON, 8, QUAKE_EPOCH};

    quake_net_random(&f->net, 6, 50);
    clear(f);
    for (uint32_t i = 0; i < 6; i++)
        add_pick(f, &q, i, TOC_PHASE_P, 0);
    add_pick(f, &q, 2, TOC_PHASE_P, 0.05)->pick.group = 77;
    toc_locate_update(f->locator, &f->event, f->net.sites, f->net.n, 0);
    assert_int_equal(f->event.origin.used_picks, 6);
    assert_int_equal(f->event.origin.used_sites, 6);
    assert_true(f->event.picks[2].used);
    assert_false(f->event.picks[6].used);
    assert_near(f->event.picks[6].residual_s, 0.05, 0.1);
}

/* An S with an unknown spread, and a pick of a site that is not there, are kept but silent. */
static void suspects_and_strangers_are_left_out(void **state)
{
    struct fixture *f = *state;
    struct quake q = {QUAKE_LAT, QUAKE_LON, 8, QUAKE_EPOCH};

    quake_net_random(&f->net, 6, 50);
    clear(f);
    for (uint32_t i = 0; i < 5; i++)
        add_pick(f, &q, i, TOC_PHASE_P, 0);
    add_pick(f, &q, 5, TOC_PHASE_S, 4)->pick.sigma_s = 9;
    add_pick(f, &q, 5, TOC_PHASE_S, 0)->pick.site = 500;
    toc_locate_update(f->locator, &f->event, f->net.sites, f->net.n, 0);
    assert_int_equal(f->event.origin.used_picks, 5);
    assert_false(f->event.picks[5].used);
    assert_false(f->event.picks[6].used);
    assert_near(error_km(f, &q), 0, 2);
}

/* One side of the network hears it and the other stays quiet: the quiet side pushes the epicentre away. */
static void quiet_sites_push(void **state)
{
    struct fixture *f = *state;
    struct quake q;
    double with, without;

    memset(&f->net, 0, sizeof(f->net));
    f->net.n = 12;
    toc_geo_offset(QUAKE_LAT, QUAKE_LON, -60, 0, &q.lat, &q.lon);
    q.depth_km = 10;
    q.time = QUAKE_EPOCH;
    for (uint32_t i = 0; i < 12; i++) {
        struct toc_site *s = &f->net.sites[i];

        /* three sites south in a row, nine north of them */
        toc_geo_offset(QUAKE_LAT, QUAKE_LON, i < 3 ? 0 : 30 + 10 * (i / 3), -25.0 + 25 * (i % 3), &s->latitude_deg,
                       &s->longitude_deg);
        s->usable = true;
    }
    clear(f);
    for (uint32_t i = 0; i < 3; i++)
        add_pick(f, &q, i, TOC_PHASE_P, 0);
    quake_net_until(&f->net, TOC_NS_NONE);
    toc_locate_update(f->locator, &f->event, f->net.sites, f->net.n, 0);
    without = f->event.origin.latitude_deg;
    assert_int_equal(f->event.expected_sites, 0);
    quake_net_until(&f->net, quake_arrival(f->travel, &q, &f->net.sites[1], TOC_PHASE_P) + 2 * TOC_NS_PER_S);
    toc_locate_update(f->locator, &f->event, f->net.sites, f->net.n, 0);
    with = f->event.origin.latitude_deg;
    assert_true(with < without - 0.05);
}

static void expected_and_missing_are_counted(void **state)
{
    struct fixture *f = *state;
    struct quake q = {QUAKE_LAT, QUAKE_LON, 8, QUAKE_EPOCH};
    uint32_t order[10];
    uint16_t due = 0;

    quake_net_random(&f->net, 10, 50);
    nearest(f, &q, order, 10);
    clear(f);
    for (uint32_t i = 0; i < 10; i++)
        if (i != 3 && i != 5 && i != 6)
            add_pick(f, &q, order[i], TOC_PHASE_P, 0);
    quake_net_until(&f->net, QUAKE_EPOCH + 60 * TOC_NS_PER_S);
    f->net.sites[order[5]].usable = false;               /* dead: nobody waits for it */
    f->net.sites[order[6]].picked_until = QUAKE_EPOCH;   /* late: its P has not been looked for yet */
    toc_locate_update(f->locator, &f->event, f->net.sites, f->net.n, 0);
    for (uint32_t i = 0; i < 10; i++)
        due += i != 5 && i != 6;
    assert_int_equal(f->event.expected_sites, due);
    assert_int_equal(f->event.expected_missing, 1);
}

static void deep_ones_are_found_deep(void **state)
{
    struct fixture *f = *state;
    struct quake q = {QUAKE_LAT, QUAKE_LON, 75, QUAKE_EPOCH};

    quake_net_random(&f->net, 25, 100);
    clear(f);
    for (uint32_t i = 0; i < 25; i++) {
        add_pick(f, &q, i, TOC_PHASE_P, 0);
        add_pick(f, &q, i, TOC_PHASE_S, 0);
    }
    toc_locate_update(f->locator, &f->event, f->net.sites, f->net.n, 0);
    assert_near(f->event.origin.depth_km, 75, 6);
    assert_near(error_km(f, &q), 0, 3);
}

/* A first origin 100 km off does not hold the search back. */
static void a_bad_start_is_left_behind(void **state)
{
    struct fixture *f = *state;
    struct quake q = {QUAKE_LAT, QUAKE_LON, 8, QUAKE_EPOCH};

    quake_net_random(&f->net, 12, 50);
    clear(f);
    for (uint32_t i = 0; i < 12; i++)
        add_pick(f, &q, i, TOC_PHASE_P, 0.05 * quake_gauss());
    f->event.origin = (struct toc_origin){.time = q.time, .used_picks = 12, .horizontal_sigma_km = 1};
    toc_geo_offset(q.lat, q.lon, 80, 60, &f->event.origin.latitude_deg, &f->event.origin.longitude_deg);
    toc_locate_update(f->locator, &f->event, f->net.sites, f->net.n, 0);
    assert_near(error_km(f, &q), 0, 2);
}

/* One-sided networks know less, and say so. */
static void far_outside_is_uncertain(void **state)
{
    struct fixture *f = *state;
    struct quake q = {.depth_km = 8, .time = QUAKE_EPOCH}, in = {QUAKE_LAT, QUAKE_LON, 8, QUAKE_EPOCH};
    double inside_sigma, inside_gap;

    toc_geo_offset(QUAKE_LAT, QUAKE_LON, 0, 120, &q.lat, &q.lon);
    quake_net_random(&f->net, 12, 30);
    clear(f);
    for (uint32_t i = 0; i < 12; i++)
        add_pick(f, &in, i, TOC_PHASE_P, 0);
    toc_locate_update(f->locator, &f->event, f->net.sites, f->net.n, 0);
    inside_sigma = f->event.origin.horizontal_sigma_km;
    inside_gap = f->event.origin.azimuth_gap_deg;
    clear(f);
    for (uint32_t i = 0; i < 12; i++)
        add_pick(f, &q, i, TOC_PHASE_P, 0);
    toc_locate_update(f->locator, &f->event, f->net.sites, f->net.n, 0);
    assert_true(f->event.origin.horizontal_sigma_km > 3 * inside_sigma);
    assert_true(f->event.origin.azimuth_gap_deg > 250 && inside_gap < 220);
    assert_true(error_km(f, &q) < 4 * f->event.origin.horizontal_sigma_km); /* the priors pull it nearer: 3.1 seen */
}

static void too_little_leaves_the_event_alone(void **state)
{
    struct fixture *f = *state;
    struct quake q = {QUAKE_LAT, QUAKE_LON, 8, QUAKE_EPOCH};
    struct toc_event before;

    quake_net_random(&f->net, 4, 50);
    clear(f);
    add_pick(f, &q, 1, TOC_PHASE_P, 0);
    before = f->event;
    toc_locate_update(f->locator, &f->event, f->net.sites, f->net.n, 0);
    assert_memory_equal(&before, &f->event, sizeof(before));
    toc_locate_update(f->locator, &f->event, f->net.sites, 0, 0);
    assert_memory_equal(&before, &f->event, sizeof(before));
    assert_int_not_equal(toc_locator_create(NULL, &f->locator), 0);
    toc_locator_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(exact_times_give_the_hypocentre_back, setup, teardown),
        cmocka_unit_test_setup_teardown(four_sites_with_noise_and_outliers, setup, teardown),
        cmocka_unit_test_setup_teardown(six_sites_with_noise_and_outliers, setup, teardown),
        cmocka_unit_test_setup_teardown(twelve_sites_with_s, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wild_pick_is_not_used, setup, teardown),
        cmocka_unit_test_setup_teardown(a_co_located_group_counts_once, setup, teardown),
        cmocka_unit_test_setup_teardown(suspects_and_strangers_are_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(quiet_sites_push, setup, teardown),
        cmocka_unit_test_setup_teardown(expected_and_missing_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(deep_ones_are_found_deep, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bad_start_is_left_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(far_outside_is_uncertain, setup, teardown),
        cmocka_unit_test_setup_teardown(too_little_leaves_the_event_alone, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
