/*
 * Fusion: the stated formulas on small events worked by hand, what clipped,
 * short and wild stations may and may not do, and a score that rises with
 * each of its terms.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/fusion.h"
#include "core/pparam.h"
#include "tests/unit/quake.h"

#define N_MAX 24

struct fixture {
    struct toc_fusion_settings settings;
    struct toc_event event;
    struct toc_estimate estimates[N_MAX];
    size_t n;
};

static struct fixture fixture;

static void assert_near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("got %.9g, want %.9g +/- %.3g", got, want, tolerance);
}

static int setup(void **state)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.settings = (struct toc_fusion_settings){.lstm_weight = 0.5, .between_sigma = 0.15};
    fixture.event.origin.depth_km = 8;
    quake_seed = 99;
    *state = &fixture;
    return 0;
}

/* A station with a used P, 30 km away, and what the network says of it; no classical voice. */
static struct toc_estimate *add(struct fixture *f, double magnitude, double sigma, double after_p_s)
{
    uint32_t i = (uint32_t)f->n++;

    f->event.picks[i] =
        (struct toc_event_pick){.pick = quake_pick(100 + i, i, TOC_PHASE_P, QUAKE_EPOCH), .distance_km = 30,
                                .used = true};
    f->event.n_picks = (uint16_t)f->n;
    f->estimates[i] = (struct toc_estimate){.pick_id = 100 + i, .group = i, .site = i, .pick_time = QUAKE_EPOCH,
                                            .after_p_s = (float)after_p_s, .magnitude = (float)magnitude,
                                            .magnitude_sigma = (float)sigma, .s_minus_p_s = 5,
                                            .s_minus_p_sigma_s = 1, .pa_ms2 = NAN, .pv_ms = NAN, .pd_m = NAN,
                                            .pe_m = NAN, .snr_pe = NAN};
    return &f->estimates[i];
}

/* Give it amplitudes the classical relation can read. */
static void sound(struct toc_estimate *e, double factor)
{
    e->pa_ms2 = (float)(0.05 * factor);
    e->pv_ms = (float)(1e-3 * factor);
    e->pd_m = (float)(1e-4 * factor);
    e->pe_m = (float)(5e-5 * factor);
    e->snr_pe = 100;
}

static void update(struct fixture *f)
{
    toc_fusion_update(&f->settings, &f->event, f->estimates, f->n, NULL, 0, 0);
}

static void no_station_no_magnitude(void **state)
{
    struct fixture *f = *state;

    update(f);
    assert_true(isnan(f->event.magnitude) && isnan(f->event.magnitude_sigma));
    assert_int_equal(f->event.n_magnitudes, 0);
    assert_near(f->event.terms.magnitude, 0.5, 0);
    assert_near(f->event.score, 0, 0); /* no station, no evidence */
    add(f, NAN, 0.3, 3);
    update(f);
    assert_true(isnan(f->event.magnitude));
    assert_true(f->event.score >= 0 && f->event.score <= 1);
}

static void equal_stations_give_the_formula(void **state)
{
    struct fixture *f = *state;
    double v = 0.3 * 0.3 + 0.25 * 0.25, d = 9.0 / 10;

    for (int i = 0; i < 5; i++)
        add(f, 5.2, 0.3, 3);
    update(f);
    assert_near(f->event.magnitude, 5.2, 1e-5);
    assert_near(f->event.magnitude_sigma, sqrt(0.15 * 0.15 + v / (5 * d)), 1e-4);
    assert_int_equal(f->event.n_magnitudes, 5);
    for (int i = 0; i < 5; i++)
        assert_near((double)f->event.magnitudes[i].weight, 0.2, 1e-5);
    assert_false(f->event.magnitude_at_least);
}

/* The network's word against the relation's, as E2's function gives it. */
static void two_voices_are_weighed(void **state)
{
    struct fixture *f = *state;
    struct toc_estimate *e = add(f, 5.0, 0.3, 3);
    double m, sigma, w1, w2, want, spread;
    bool saturated;

    sound(e, 1);
    assert_int_equal(toc_pparam_magnitude(e, hypot(30, 8), &m, &sigma, &saturated), 0);
    sigma = fmin(2, fmax(0.15, sigma));
    for (double share = 0.1; share < 1; share += 0.2) {
        f->settings.lstm_weight = share;
        w1 = share / 0.09;
        w2 = (1 - share) / (sigma * sigma);
        want = (w1 * 5.0 + w2 * m) / (w1 + w2);
        spread = 1 / (w1 + w2) + (m - 5) * (m - 5) * w1 * w2 / (w1 + w2) / (w1 + w2);
        update(f);
        assert_near((double)f->event.magnitudes[0].magnitude, want, 1e-4);
        assert_near((double)f->event.magnitudes[0].magnitude_sigma, sqrt(spread), 1e-4);
    }
    f->settings.lstm_weight = 1;
    update(f);
    assert_near((double)f->event.magnitudes[0].magnitude, 5.0, 1e-5);
    f->settings.lstm_weight = 0;
    update(f);
    assert_near((double)f->event.magnitudes[0].magnitude, m, 1e-4);
    f->settings.lstm_weight = 1; /* the network is silent: the relation speaks */
    e->magnitude = NAN;
    update(f);
    assert_near((double)f->event.magnitudes[0].magnitude, m, 1e-4);
}

/* An origin gives the distance: the network's word is the one for that distance, wider by what the origin does not know. */
static void the_network_is_asked_at_the_distance(void **state)
{
    struct fixture *f = *state;
    struct toc_estimate *e = add(f, 5.0, 0.3, 3);
    double x = log10(hypot(30, 8)) - 1.5, m = 4.8 + 2 * x - 0.5 * x * x, slope = 2 - x;

    e->at_distance = (struct toc_magnitude_at_distance){{4.8f, 2.0f, -0.5f}, 0.2f, 0.2f};
    update(f);
    assert_near((double)f->event.magnitudes[0].magnitude, m, 1e-5);
    assert_near((double)f->event.magnitudes[0].magnitude_sigma, 0.2, 1e-5);
    assert_near((double)f->event.magnitudes[0].magnitude_upper, m + 0.4, 1e-5);
    f->event.origin.horizontal_sigma_km = 6;
    update(f);
    assert_near((double)f->event.magnitudes[0].magnitude, m, 1e-5);
    assert_near((double)f->event.magnitudes[0].magnitude_sigma,
                hypot(0.2, slope * 6 * 30 / (30 * 30 + 8 * 8) / log(10)), 1e-5);
    e->at_distance = (struct toc_magnitude_at_distance){{4.8f, 2.0f, -0.5f}, 0.2f, 0.7f}; /* it may still grow */
    f->event.origin.horizontal_sigma_km = 0;
    update(f);
    assert_near((double)f->event.magnitudes[0].magnitude, m + 0.5 * sqrt(2 / acos(-1)), 1e-4);
    assert_near((double)f->event.magnitudes[0].magnitude_upper, m + 1.4, 1e-5);
    e->at_distance = (struct toc_magnitude_at_distance){{NAN, NAN, NAN}, NAN, NAN};
    update(f);
    assert_near((double)f->event.magnitudes[0].magnitude, 5.0, 1e-5);
}

/* Many stations make the magnitude surer, not what a growing rupture may become; a lower bound has no upper one. */
static void the_upper_bound_is_shared(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 12; i++)
        add(f, 4.0, 0.4, 3);
    update(f);
    assert_true(f->event.magnitude_sigma < 0.25);
    assert_near(f->event.magnitude_upper, 4.8, 1e-4);
    assert_false(f->event.magnitude_at_least);
    for (int i = 0; i < 12; i++)
        f->estimates[i].magnitude = 5.6f; /* 6.4 is more than three seconds can tell */
    update(f);
    assert_true(f->event.magnitude_at_least);
    assert_true(isnan(f->event.magnitude_upper));
}

static void disagreement_widens(void **state)
{
    struct fixture *f = *state;
    struct toc_estimate *e = add(f, 5.0, 0.3, 3);
    double m, sigma, agree, apart;
    bool saturated;

    sound(e, 1);
    assert_int_equal(toc_pparam_magnitude(e, hypot(30, 8), &m, &sigma, &saturated), 0);
    e->magnitude = (float)m;
    update(f);
    agree = f->event.magnitude_sigma;
    e->magnitude = (float)(m + 1.5);
    update(f);
    apart = f->event.magnitude_sigma;
    assert_true(apart > agree + 0.2);
}

static void a_wild_station_bends_little(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 7; i++)
        add(f, 4.0 + 0.05 * i, 0.3, 3);
    add(f, 7.8, 0.3, 3); /* the ocean-bottom sensor of 2013 */
    update(f);
    assert_near(f->event.magnitude, 4.15, 0.2);
    assert_true(f->event.magnitude_sigma > 0.25);
}

static void short_windows_count_little(void **state)
{
    struct fixture *f = *state;

    add(f, 6.0, 0.3, 4);
    add(f, 4.0, 0.3, 0.3);
    update(f);
    assert_true(f->event.magnitude > 5.7);
    assert_true(f->event.magnitudes[1].weight < 0.1f);
}

/* Clipped stations raise, never lower; when they are the most, it is "at least". */
static void saturated_stations_are_lower_bounds(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 4; i++)
        add(f, 5.0, 0.3, 3);
    add(f, 3.5, 0.3, 3)->clipped = true;
    update(f);
    assert_near(f->event.magnitude, 5.0, 1e-4);
    assert_false(f->event.magnitudes[4].used);
    assert_false(f->event.magnitude_at_least);
    f->estimates[4].magnitude = 5.6f;
    update(f);
    assert_true(f->event.magnitude > 5.05);
    assert_true(f->event.magnitudes[4].used);
    for (int i = 0; i < 3; i++)
        f->estimates[i].clipped = true;
    update(f);
    assert_true(f->event.magnitude_at_least);
    for (int i = 0; i < 5; i++)
        f->estimates[i].clipped = true;
    update(f);
    assert_true(f->event.magnitude_at_least);
    assert_true(isfinite(f->event.magnitude));
}

/* The clipped broadband beside a good strong-motion sensor is not heard at all. */
static void a_site_is_one_witness(void **state)
{
    struct fixture *f = *state;

    add(f, 6.0, 0.3, 3);
    add(f, 5.0, 0.3, 3);
    add(f, 5.0, 0.3, 3);
    f->estimates[2].site = f->event.picks[2].pick.site = 1;
    update(f);
    assert_near(f->event.magnitude, 5.5, 0.02);
    assert_near((double)f->event.magnitudes[0].weight, 0.5, 1e-4);
    f->estimates[2].clipped = true;
    f->estimates[2].magnitude = 7.5f;
    update(f);
    assert_near(f->event.magnitude, 5.5, 0.02);
    assert_false(f->event.magnitudes[2].used);
    assert_near((double)f->event.magnitudes[2].weight, 0, 0);
}

static void strangers_are_skipped(void **state)
{
    struct fixture *f = *state;

    add(f, 5.0, 0.3, 3);
    add(f, 7.0, 0.3, 3)->pick_id = 12345;
    add(f, 7.0, 0.3, 3);
    f->event.picks[2].pick.phase = TOC_PHASE_S; /* a suspect */
    update(f);
    assert_int_equal(f->event.n_magnitudes, 1);
    assert_near(f->event.magnitude, 5.0, 1e-5);
}

/* 400 random networks: the truth lies within one sigma about as often as it should. */
static void the_sigma_is_honest(void **state)
{
    struct fixture *f = *state;
    int inside = 0;

    for (int trial = 0; trial < 400; trial++) {
        double truth = quake_between(3, 7), shift = 0.15 * quake_gauss();

        f->n = 0;
        for (int i = 0; i < 6; i++)
            add(f, truth + shift + 0.3 * quake_gauss() + 0.25 * quake_gauss(), 0.3, 3);
        update(f);
        inside += fabs(f->event.magnitude - truth) <= f->event.magnitude_sigma;
    }
    print_message("truth within one sigma: %.0f%%\n", inside / 4.0);
    assert_in_range(inside, 240, 340);
}

/* --- score --------------------------------------------------------------------------------------------------- */

static void the_score_rises_with_each_term(void **state)
{
    struct toc_score_terms base = {0.7, 0.7, 0.7, 0.7, 0.7};
    double *terms[] = {&base.evidence, &base.stations, &base.residual, &base.expected, &base.magnitude};

    (void)state;
    for (int i = 0; i < 5; i++) {
        double last = -1;

        for (double v = 0; v <= 1.0001; v += 0.05) {
            double score;

            *terms[i] = v;
            score = toc_fusion_score(&base);
            assert_true(score > last && score >= 0 && score <= 1);
            last = score;
        }
        *terms[i] = 0.7;
    }
    base = (struct toc_score_terms){1, 1, 1, 1, 1};
    assert_near(toc_fusion_score(&base), 1, 1e-12);
    base.residual = NAN;
    assert_near(toc_fusion_score(&base), 0, 0);
    base.residual = 7;
    assert_near(toc_fusion_score(&base), 1, 1e-12);
}

static void terms_as_the_header_says(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 4; i++)
        add(f, 5, 0.3, 3);
    f->event.picks[0].pick.probability = 0.5f;
    f->event.origin.rms_s = 0.4;
    f->event.expected_sites = 9;
    f->event.expected_missing = 5;
    f->event.picks[3].used = false;
    update(f);
    assert_near(f->event.terms.evidence, 1 - 0.65 * 0.37 * 0.37, 1e-6);
    assert_near(f->event.terms.stations, 1 - exp(-1), 1e-9);
    assert_near(f->event.terms.residual, 0.75 / 1.25, 1e-9);
    assert_near(f->event.terms.expected, 0.5, 1e-9);
    assert_near(f->event.terms.magnitude, 1 / (1 + f->event.magnitude_sigma * f->event.magnitude_sigma), 1e-9);
    assert_near(f->event.score, toc_fusion_score(&f->event.terms), 1e-12);
    /* a co-located twin and a suspect are no disagreement */
    f->event.picks[3].pick.site = 0;
    update(f);
    assert_near(f->event.terms.residual, 1 / 1.25, 1e-9);
    f->event.picks[3].pick.site = 3;
    f->event.picks[3].pick.sigma_s = 9;
    update(f);
    assert_near(f->event.terms.residual, 1 / 1.25, 1e-9);
}

/* What the header promises of four good sites, against the shipped thresholds. */
static void four_good_sites_alert_and_silence_cancels(void **state)
{
    const struct toc_settings defaults = TOC_SETTINGS_DEFAULT;
    struct fixture *f = *state;

    for (int i = 0; i < 4; i++)
        add(f, 5, 0.35, 2);
    f->event.origin.rms_s = 0.2;
    f->event.expected_sites = 4;
    update(f);
    assert_true(f->event.score >= 0.75);
    f->event.expected_sites = 12;
    f->event.expected_missing = 8;
    update(f);
    assert_true(f->event.score < defaults.alert.alert_score);
    f->event.expected_sites = 40;
    f->event.expected_missing = 36;
    update(f);
    assert_true(f->event.score < defaults.alert.cancel_score);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(no_station_no_magnitude, setup),
        cmocka_unit_test_setup(equal_stations_give_the_formula, setup),
        cmocka_unit_test_setup(two_voices_are_weighed, setup),
        cmocka_unit_test_setup(the_network_is_asked_at_the_distance, setup),
        cmocka_unit_test_setup(the_upper_bound_is_shared, setup),
        cmocka_unit_test_setup(disagreement_widens, setup),
        cmocka_unit_test_setup(a_wild_station_bends_little, setup),
        cmocka_unit_test_setup(short_windows_count_little, setup),
        cmocka_unit_test_setup(saturated_stations_are_lower_bounds, setup),
        cmocka_unit_test_setup(a_site_is_one_witness, setup),
        cmocka_unit_test_setup(strangers_are_skipped, setup),
        cmocka_unit_test_setup(the_sigma_is_honest, setup),
        cmocka_unit_test(the_score_rises_with_each_term),
        cmocka_unit_test_setup(terms_as_the_header_says, setup),
        cmocka_unit_test_setup(four_good_sites_alert_and_silence_cancels, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
