/*
 * Shaking against numbers worked out by hand from the published
 * coefficients, and against common sense: nearer is stronger, doubt widens.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/shaking.h"
#include "tests/unit/quake.h"

static void assert_near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("got %.9g, want %.9g +/- %.3g", got, want, tolerance);
}

static int setup(void **state)
{
    *state = quake_travel();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    toc_travel_destroy(*state);
    return 0;
}

/* By hand: M 7, R 10: Rm = -0.209 + 2.042 e^2 = 14.880, ln 17.927 = 2.8863, MMI = 2.085 + 9.996 - 4.0466. */
static void intensity_by_hand(void **state)
{
    double sigma;

    (void)state;
    assert_near(toc_shaking_mmi(7, 10, &sigma), 8.034, 0.01);
    assert_near(sigma, 0.82 + 0.37 / (1 + 0.19069), 1e-3);
    assert_near(toc_shaking_mmi(7, 100, &sigma), 5.663, 0.005);
    assert_near(toc_shaking_mmi(5, 20, &sigma), 5.018, 0.005);
    assert_near(toc_shaking_mmi(6, 50, &sigma), 5.160, 0.005);
    assert_near(toc_shaking_mmi(2, 290, &sigma), 1, 0);
}

/* The two branches of each relation meet, and known points come back. */
static void motion_by_hand(void **state)
{
    (void)state;
    assert_near(toc_shaking_pga_ms2(3.33), 0.1, 1e-4);            /* log10 10 cm/s^2 = 1 */
    assert_near(toc_shaking_pga_ms2(5.8), 1.0, 1e-3);             /* log10 100 cm/s^2 = 2 */
    assert_near(toc_shaking_pga_ms2(1.71), 0.01, 1e-5);
    assert_near(toc_shaking_pgv_ms(6.05), 0.1, 1e-3);             /* log10 10 cm/s = 1 */
    assert_near(toc_shaking_pgv_ms(3.78), 0.01, 1e-5);
    assert_near(log10(toc_shaking_pga_ms2(4.219) / toc_shaking_pga_ms2(4.221)), 0, 0.02);
    assert_near(log10(toc_shaking_pgv_ms(4.559) / toc_shaking_pgv_ms(4.561)), 0, 0.02);
    for (double mmi = 1; mmi < 10; mmi += 0.01) {
        assert_true(toc_shaking_pga_ms2(mmi + 0.05) > toc_shaking_pga_ms2(mmi));
        assert_true(toc_shaking_pgv_ms(mmi + 0.05) > toc_shaking_pgv_ms(mmi));
    }
}

static struct toc_event event_of(double magnitude, double sigma)
{
    struct toc_event event = {.magnitude = magnitude, .magnitude_sigma = sigma};

    event.origin = (struct toc_origin){.time = QUAKE_EPOCH, .latitude_deg = QUAKE_LAT, .longitude_deg = QUAKE_LON,
                                       .depth_km = 10, .horizontal_sigma_km = 2, .depth_sigma_km = 3};
    return event;
}

static struct toc_target target_at(double east_km)
{
    struct toc_target target = {.name = "Barstow", .mmi_limit = 5};

    toc_geo_offset(QUAKE_LAT, QUAKE_LON, 0, east_km, &target.latitude_deg, &target.longitude_deg);
    return target;
}

static void a_target_is_told_all(void **state)
{
    struct toc_travel *travel = *state;
    struct toc_event event = event_of(6.4, 0.3);
    struct toc_target target = target_at(60);
    struct toc_alert_target t;
    double sigma, r = hypot(60, 10), s = toc_travel_s(travel, TOC_PHASE_S, 60, 10);

    toc_shaking_target(travel, &target, &event, QUAKE_EPOCH + 8 * TOC_NS_PER_S, &t);
    assert_string_equal(t.name, "Barstow");
    assert_near(t.distance_km, 60, 0.1);
    assert_near(t.mmi, toc_shaking_mmi(6.4, r, &sigma), 0.01);
    assert_near(t.pga_ms2, toc_shaking_pga_ms2(t.mmi), 1e-9);
    assert_near(t.pgv_ms, toc_shaking_pgv_ms(t.mmi), 1e-9);
    /* by the magnitude 0.3 x about 1.35, by the distance 2/60 x 1.4: little */
    assert_near(t.mmi_sigma, sqrt(sigma * sigma + 0.41 * 0.41), 0.05);
    assert_near(t.p_exceed, 0.5 * erfc((5 - t.mmi) / t.mmi_sigma / sqrt(2)), 1e-6);
    assert_near(toc_s_from_ns(t.s_arrival - QUAKE_EPOCH), s, 0.02);
    assert_near(t.seconds_left, s - 8, 0.02);
    assert_false(t.blind_zone);
    toc_shaking_target(travel, &target, &event, QUAKE_EPOCH + 30 * TOC_NS_PER_S, &t);
    assert_true(t.blind_zone && t.seconds_left < 0);
}

static void nearer_is_stronger_and_sooner(void **state)
{
    struct toc_event event = event_of(6, 0.3);
    struct toc_alert_target last, t;
    struct toc_target target = target_at(0);

    toc_shaking_target(*state, &target, &event, QUAKE_EPOCH, &last);
    for (double x = 5; x < 400; x += 5) {
        target = target_at(x);
        toc_shaking_target(*state, &target, &event, QUAKE_EPOCH, &t);
        assert_true(t.mmi <= last.mmi && t.p_exceed <= last.p_exceed && t.s_arrival > last.s_arrival);
        assert_true(t.p_exceed >= 0 && t.p_exceed <= 1);
        last = t;
    }
}

static void doubt_widens(void **state)
{
    struct toc_event sure = event_of(6, 0.1), unsure = event_of(6, 0.8), lost = event_of(6, 0.1);
    struct toc_target target = target_at(20);
    struct toc_alert_target a, b, c;

    lost.origin.horizontal_sigma_km = 15;
    toc_shaking_target(*state, &target, &sure, QUAKE_EPOCH, &a);
    toc_shaking_target(*state, &target, &unsure, QUAKE_EPOCH, &b);
    toc_shaking_target(*state, &target, &lost, QUAKE_EPOCH, &c);
    assert_true(b.mmi_sigma > a.mmi_sigma + 0.2);
    assert_true(c.mmi_sigma > a.mmi_sigma + 0.2);
    assert_near(a.mmi, b.mmi, 0);
}

static void an_unknown_magnitude_gives_times_only(void **state)
{
    struct toc_event event = event_of(NAN, NAN);
    struct toc_target target = target_at(30);
    struct toc_alert_target t;

    toc_shaking_target(*state, &target, &event, QUAKE_EPOCH, &t);
    assert_near(t.mmi, 1, 0);
    assert_near(t.mmi_sigma, 3, 0);
    assert_near(t.p_exceed, 0, 0);
    assert_true(t.seconds_left > 8 && isfinite(t.pga_ms2) && isfinite(t.pgv_ms));
}

/* Nothing an event may hold makes a NAN or an endless number. */
static void extremes_stay_finite(void **state)
{
    const double magnitudes[] = {-20, -2, 0, 5, 10, 20}, sigmas[] = {0, 0.3, NAN, INFINITY};

    for (size_t i = 0; i < 6; i++)
        for (size_t j = 0; j < 4; j++) {
            struct toc_event event = event_of(magnitudes[i], sigmas[j]);
            struct toc_target target = target_at(0);
            struct toc_alert_target t;

            event.origin.depth_km = 0;
            toc_shaking_target(*state, &target, &event, QUAKE_EPOCH, &t);
            assert_true(isfinite(t.mmi) && isfinite(t.mmi_sigma) && isfinite(t.p_exceed) && isfinite(t.pga_ms2));
            assert_true(t.mmi >= 1 && t.mmi <= 10 && t.p_exceed >= 0 && t.p_exceed <= 1);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intensity_by_hand),
        cmocka_unit_test(motion_by_hand),
        cmocka_unit_test_setup_teardown(a_target_is_told_all, setup, teardown),
        cmocka_unit_test_setup_teardown(nearer_is_stronger_and_sooner, setup, teardown),
        cmocka_unit_test_setup_teardown(doubt_widens, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unknown_magnitude_gives_times_only, setup, teardown),
        cmocka_unit_test_setup_teardown(extremes_stay_finite, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
