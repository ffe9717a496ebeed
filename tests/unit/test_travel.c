/*
 * Travel times against answers got another way: a half space on paper, the
 * textbook head wave, and Fermat's principle by brute force, which knows
 * nothing of ray parameters.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/travel.h"

/* Southern California, after Hadley and Kanamori (1977). */
static const struct toc_layer socal[] = {{-1, 5.5, 3.18}, {5.5, 6.3, 3.64}, {16, 6.7, 3.87}, {32, 7.8, 4.5}};

static void assert_near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("got %.9g, want %.9g +/- %.3g", got, want, tolerance);
}

static struct toc_travel *make(const struct toc_layer *layers, size_t n, double x, double z)
{
    struct toc_travel *travel = NULL;

    assert_int_equal(toc_travel_create(layers, n, x, z, &travel), 0);
    return travel;
}

static void half_space_is_a_straight_line(void **state)
{
    struct toc_layer layer = {0, 6.0, 3.5};
    struct toc_travel *travel = make(&layer, 1, 200, 40);

    (void)state;
    for (double x = 0; x <= 200; x += 3.7)
        for (double z = 0; z <= 40; z += 1.3) {
            double r = hypot(x, z), bound = 0.002 + 0.25 / fmax(r, 1) / 3.5;

            assert_near(toc_travel_s(travel, TOC_PHASE_P, x, z), r / 6.0, bound);
            assert_near(toc_travel_s(travel, TOC_PHASE_S, x, z), r / 3.5, bound);
        }
    assert_near(toc_travel_s(travel, TOC_PHASE_P, 30, 40), 50 / 6.0, 1e-5);
    toc_travel_destroy(travel);
}

/* Two layers: direct below the crossover distance, head wave beyond; nodes, so without interpolation. */
static void head_wave_of_two_layers(void **state)
{
    struct toc_layer layers[] = {{0, 5.0, 2.9}, {20, 8.0, 4.6}};
    struct toc_travel *travel = make(layers, 2, 300, 30);
    double z = 8, cosine = sqrt(1 - 25.0 / 64);

    (void)state;
    for (double x = 0; x <= 300; x += 10) {
        double direct = hypot(x, z) / 5, head = x / 8 + (20 + 20 - z) * cosine / 5;
        double critical = (40 - z) * (5.0 / 8) / cosine;
        double want = x >= critical ? fmin(direct, head) : direct;

        assert_near(toc_travel_s(travel, TOC_PHASE_P, x, z), want, 1e-5);
    }
    toc_travel_destroy(travel);
}

/* Shortest time over where the path crosses the two inner boundaries above a source in the third layer. */
static double fermat_up_s(const struct toc_layer *l, double x, double z)
{
    double best = INFINITY, h1 = l[1].top_km, h2 = l[2].top_km - h1, h3 = z - l[2].top_km;

    for (int i = 0; i <= 1000; i++)
        for (int j = i; j <= 1000; j++) {
            double a = x * i / 1000, b = x * j / 1000;
            double t = hypot(a, h1) / l[0].vp_kms + hypot(b - a, h2) / l[1].vp_kms + hypot(x - b, h3) / l[2].vp_kms;

            best = fmin(best, t);
        }
    return best;
}

/* The same for a source in the first layer with a path down, along the second's top, and up again. */
static double fermat_along_s(const struct toc_layer *l, double x, double z)
{
    double best = INFINITY, down = l[1].top_km - z, up = l[1].top_km;

    for (int i = 0; i <= 1000; i++)
        for (int j = i; j <= 1000; j++) {
            double a = x * i / 1000, b = x * j / 1000;
            double t = (hypot(a, down) + hypot(x - b, up)) / l[0].vp_kms + (b - a) / l[1].vp_kms;

            best = fmin(best, t);
        }
    return best;
}

static void no_path_is_faster(void **state)
{
    struct toc_layer layers[] = {{-2, 4.0, 2.3}, {5, 6.0, 3.5}, {14, 6.8, 3.9}};
    struct toc_layer two[] = {{0, 4.0, 2.3}, {5, 6.0, 3.5}};
    struct toc_travel *three = make(layers, 3, 120, 30), *pair = make(two, 2, 120, 30);

    (void)state;
    for (double x = 1; x <= 120; x += 17) {
        assert_near(toc_travel_s(three, TOC_PHASE_P, x, 22), fermat_up_s(layers, x, 22), 0.002);
        assert_near(toc_travel_s(pair, TOC_PHASE_P, x, 3), fmin(fermat_along_s(two, x, 3), hypot(x, 3) / 4.0), 0.002);
    }
    toc_travel_destroy(three);
    toc_travel_destroy(pair);
}

/* A slow layer under a fast one: no head wave along it, and deeper is never sooner straight above. */
static void low_velocity_layer_makes_no_head_wave(void **state)
{
    struct toc_layer layers[] = {{0, 6.0, 3.5}, {10, 5.0, 2.9}, {20, 5.5, 3.2}};
    struct toc_travel *travel = make(layers, 3, 200, 30);

    (void)state;
    assert_near(toc_travel_s(travel, TOC_PHASE_P, 200, 0), 200 / 6.0, 1e-4);
    assert_near(toc_travel_s(travel, TOC_PHASE_P, 0, 30), 10 / 6.0 + 10 / 5.0 + 10 / 5.5, 1e-4);
    toc_travel_destroy(travel);
}

static void times_grow_with_distance_and_s_follows_p(void **state)
{
    struct toc_travel *travel = make(socal, 4, 500, 60);

    (void)state;
    for (double z = 0; z <= 60; z += 0.7)
        for (double x = 0.9; x <= 500; x += 0.9) {
            double p = toc_travel_s(travel, TOC_PHASE_P, x, z), s = toc_travel_s(travel, TOC_PHASE_S, x, z);

            assert_true(p > toc_travel_s(travel, TOC_PHASE_P, x - 0.9, z));
            assert_true(s > 1.5 * p && s < 2.0 * p);
        }
    assert_near(toc_travel_surface_kms(travel, TOC_PHASE_P), 5.5, 0);
    assert_near(toc_travel_max_distance_km(travel), 500, 0);
    assert_near(toc_travel_max_depth_km(travel), 60, 0);
    toc_travel_destroy(travel);
}

static void outside_the_table_the_slope_goes_on(void **state)
{
    struct toc_travel *travel = make(socal, 4, 300, 40);
    double edge = toc_travel_s(travel, TOC_PHASE_P, 300, 10);

    (void)state;
    assert_near(toc_travel_s(travel, TOC_PHASE_P, 378, 10), edge + 10, 0.01); /* Pn at 7.8 km/s */
    assert_true(toc_travel_s(travel, TOC_PHASE_P, 0, 50) > toc_travel_s(travel, TOC_PHASE_P, 0, 40));
    assert_true(toc_travel_s(travel, TOC_PHASE_P, 0, -5) == 0.0);
    assert_true(toc_travel_s(travel, TOC_PHASE_P, -3, 5) > 0.0);
    assert_true(isnan(toc_travel_s(travel, TOC_PHASE_P, NAN, 5)));
    assert_true(isnan(toc_travel_s(travel, TOC_PHASE_S, 5, NAN)));
    toc_travel_destroy(travel);
}

/* Layers above sea level: the one at 0 km counts, and its velocity is the surface's. */
static void layers_above_sea_level_are_cut(void **state)
{
    struct toc_layer layers[] = {{-3, 3.0, 1.7}, {-1, 5.0, 2.9}};
    struct toc_travel *travel = make(layers, 2, 100, 10);

    (void)state;
    assert_near(toc_travel_surface_kms(travel, TOC_PHASE_S), 2.9, 0);
    assert_near(toc_travel_s(travel, TOC_PHASE_P, 100, 0), 20, 1e-4);
    toc_travel_destroy(travel);
}

static void bad_layers_are_refused(void **state)
{
    struct toc_travel *travel = (struct toc_travel *)0x1;
    struct toc_layer good = {0, 6, 3.5};
    struct toc_layer bad[][2] = {
        {{1, 6, 3.5}, {2, 7, 4}},     {{0, 6, 3.5}, {0, 7, 4}},     {{0, 6, 6}, {5, 7, 4}}, {{0, NAN, 3}, {5, 7, 4}},
        {{0, 6, 3.5}, {NAN, 7, 4}},   {{0, 6, 0.05}, {5, 7, 4}},    {{0, 16, 3}, {5, 7, 4}}, {{0, 6, 3.5}, {5, 7, NAN}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(toc_travel_create(bad[i], 2, 100, 30, &travel), -EINVAL);
    assert_int_equal(toc_travel_create(&good, 0, 100, 30, &travel), -EINVAL);
    assert_int_equal(toc_travel_create(&good, TOC_LAYERS_MAX + 1, 100, 30, &travel), -EINVAL);
    assert_int_equal(toc_travel_create(&good, 1, 9, 30, &travel), -EINVAL);
    assert_int_equal(toc_travel_create(&good, 1, 100, 701, &travel), -EINVAL);
    assert_int_equal(toc_travel_create(&good, 1, NAN, 30, &travel), -EINVAL);
    assert_ptr_equal(travel, (struct toc_travel *)0x1);
    toc_travel_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_space_is_a_straight_line),
        cmocka_unit_test(head_wave_of_two_layers),
        cmocka_unit_test(no_path_is_faster),
        cmocka_unit_test(low_velocity_layer_makes_no_head_wave),
        cmocka_unit_test(times_grow_with_distance_and_s_follows_p),
        cmocka_unit_test(outside_the_table_the_slope_goes_on),
        cmocka_unit_test(layers_above_sea_level_are_cut),
        cmocka_unit_test(bad_layers_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
