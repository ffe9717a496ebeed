/* Peaks since P, the guard at S that may come late, and the classical magnitude. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "core/pparam.h"

#define ONSET (INT64_C(1562261629) * TOC_NS_PER_S + 40 * TOC_NS_PER_MS)

static struct toc_motion_step step_of(float level)
{
    return (struct toc_motion_step){.pa_z = 10 * level, .pv_z = level, .pd_z = 0.2f * level, .pe_z = 0.1f * level,
                                    .pv_h = 2 * level, .pe_h = 0.3f * level};
}

static void start_in_noise(struct toc_pparam *p, float level)
{
    struct toc_motion_step noise[20];

    for (int i = 0; i < 20; i++)
        noise[i] = step_of(i == 5 ? level : 0.5f * level);
    toc_pparam_start(p, ONSET, noise, 20);
}

static void test_clock(void **state)
{
    struct toc_pparam p;
    struct toc_motion_step step = step_of(1);

    (void)state;
    toc_pparam_start(&p, ONSET, NULL, 0);
    assert_float_equal(toc_pparam_after_s(&p), 0, 1e-9);
    toc_pparam_step(&p, &step);
    assert_float_equal(toc_pparam_after_s(&p), 0.06, 1e-9); /* the step ends at .1, the onset was at .04 */
    for (int i = 0; i < 9; i++)
        toc_pparam_step(&p, &step);
    assert_float_equal(toc_pparam_after_s(&p), 0.96, 1e-9);
    toc_pparam_start(&p, -30 * TOC_NS_PER_MS, NULL, 0); /* before 1970, for what it is worth */
    toc_pparam_step(&p, &step);
    assert_float_equal(toc_pparam_after_s(&p), 0.03, 1e-9);
}

static void test_noise_window(void **state)
{
    struct toc_pparam p;
    struct toc_motion_step noise[60];

    (void)state;
    for (int i = 0; i < 60; i++)
        noise[i] = step_of(1);
    noise[5] = step_of(100);  /* older than 5 s */
    noise[20] = step_of(3);
    noise[58] = step_of(50);  /* P itself, when the pick came late */
    toc_pparam_start(&p, ONSET, noise, 60);
    assert_float_equal(p.noise.pv_ms, 3, 1e-6);
    assert_float_equal(p.noise_pv_h, 6, 1e-6);
    toc_pparam_start(&p, ONSET, noise + 57, 3); /* too few to leave any out */
    assert_float_equal(p.noise.pv_ms, 50, 1e-6);
    toc_pparam_start(&p, ONSET, NULL, 0);
    struct toc_motion_step one = step_of(1);
    toc_pparam_step(&p, &one);
    assert_true(isnan(toc_pparam_snr_pe(&p)));
}

static void test_peaks_grow_only(void **state)
{
    struct toc_pparam p;
    const float levels[] = {1, 4, 2, 3};

    (void)state;
    start_in_noise(&p, 0.5f);
    for (int i = 0; i < 4; i++) {
        struct toc_motion_step step = step_of(levels[i]);
        toc_pparam_step(&p, &step);
    }
    assert_float_equal(toc_pparam_peaks(&p).pv_ms, 4, 1e-6);
    assert_float_equal(toc_pparam_peaks(&p).pa_ms2, 40, 1e-5);
    assert_float_equal(toc_pparam_peaks(&p).pd_m, 0.8, 1e-6);
    assert_float_equal(toc_pparam_snr_pe(&p), 8, 1e-5);
}

static void test_guard_takes_s_back(void **state)
{
    struct toc_pparam p;

    (void)state;
    start_in_noise(&p, 0.5f);
    for (int i = 0; i < 40; i++) { /* S comes 2.56 s after P: the step that ends then is number 26 */
        struct toc_motion_step step = step_of(i < 26 ? 1.0f + 0.01f * (float)i : 100.0f);
        toc_pparam_step(&p, &step);
    }
    assert_float_equal(toc_pparam_peaks(&p).pv_ms, 100, 1e-4);
    toc_pparam_guard(&p, 2.56);
    assert_float_equal(toc_pparam_peaks(&p).pv_ms, 1.25, 1e-5);
    assert_float_equal(p.so_far.pv_ms, 100, 1e-4); /* the network still sees it */
    toc_pparam_guard(&p, NAN);
    assert_float_equal(toc_pparam_peaks(&p).pv_ms, 100, 1e-4);
    toc_pparam_guard(&p, 0.01); /* S before the first step is over: nothing is P alone */
    assert_float_equal(toc_pparam_peaks(&p).pv_ms, 0, 0);
}

static void test_rubbish_and_length(void **state)
{
    struct toc_pparam p;
    struct toc_motion_step bad = step_of(1);

    (void)state;
    toc_pparam_start(&p, ONSET, NULL, 0);
    bad.pv_z = NAN;
    bad.pe_z = INFINITY;
    bad.pd_z = -5;
    toc_pparam_step(&p, &bad);
    assert_float_equal(toc_pparam_peaks(&p).pv_ms, 0, 0);
    assert_float_equal(toc_pparam_peaks(&p).pe_m, 0, 0);
    assert_float_equal(toc_pparam_peaks(&p).pd_m, 0, 0);
    for (int i = 1; i < 1000; i++) { /* far past the history: later steps must not count, nor write */
        struct toc_motion_step step = step_of(i < TOC_PPARAM_STEPS_MAX ? 1.0f : 7.0f);
        toc_pparam_step(&p, &step);
    }
    assert_float_equal(toc_pparam_peaks(&p).pv_ms, 1, 1e-6);
    assert_float_equal(toc_pparam_after_s(&p), 99.96, 1e-6);
}

/* ---- signals whose parameters are known -------------------------------------------------------------------- */

#define PI 3.14159265358979323846
#define LEAD 6000 /* samples before the onset: the filters have settled */

struct ground {
    double a, v, d;
};

typedef struct ground (*ground_fn)(double t);

/* Follows `ground` from 60 s on, after 60 s of it, for `steps`. */
static struct toc_estimate measure(ground_fn ground, bool acceleration, int steps)
{
    const int64_t onset = INT64_C(156226162900) + LEAD;
    struct toc_motion *motion;
    struct toc_motion_step step, noise[TOC_PPARAM_NOISE_MAX];
    struct toc_pparam p;
    struct toc_estimate e = {0};
    size_t n = 0;

    assert_int_equal(toc_motion_create(&motion), 0);
    toc_motion_reset(motion, acceleration);
    for (int i = 0; i < LEAD + 10 * steps; i++) {
        struct ground g = ground(i / 100.0);
        float enz[TOC_COMPONENTS] = {NAN, NAN, (float)(acceleration ? g.a : g.v)};
        if (i == LEAD)
            toc_pparam_start(&p, onset * TOC_GRID_NS, noise, n);
        if (!toc_motion_push(motion, onset - LEAD + i, enz, false, &step))
            continue;
        if (i >= LEAD)
            toc_pparam_step(&p, &step);
        else if (i >= LEAD - 500)
            noise[n++] = step;
    }
    toc_motion_destroy(motion);
    toc_pparam_say(&p, true, &e);
    return e;
}

static void within(double got, double want, double share)
{
    if (!(fabs(got - want) <= share * fabs(want)))
        fail_msg("%g is not within %g of %g", got, share * fabs(want), want);
}

#define SINE_HZ 2.0
#define SINE_MS 1e-4

/* For ever. */
static struct ground sine(double t)
{
    double w = 2 * PI * SINE_HZ;

    return (struct ground){.a = SINE_MS * w * cos(w * t), .v = SINE_MS * sin(w * t), .d = -SINE_MS / w * cos(w * t)};
}

/* X and D are one-pole averages of y^2 and its derivative's square, over the same seconds: both swing about their means
 * at twice the frequency, by the share r and in opposition, so the largest ratio is (1 + r) / (1 - r) of the mean one. */
static void test_sine(void **state)
{
    const double w = 2 * PI * SINE_HZ, memory = -1 / (100 * log(0.99)), r = 1 / sqrt(1 + 4 * w * w * memory * memory);

    (void)state;
    for (int acceleration = 0; acceleration < 2; acceleration++) {
        struct toc_estimate e = measure(sine, acceleration, 40);
        within((double)e.pa_ms2, SINE_MS * w, 0.01);
        within((double)e.pv_ms, SINE_MS, 0.01);
        within((double)e.pd_m, SINE_MS / w, 0.01);
        within((double)e.pe_m, SINE_MS / w, 0.01);
        within((double)e.iv2_m2s, 0.5 * SINE_MS * SINE_MS * 4, 0.01);
        within((double)e.tau_c_s, 1 / SINE_HZ, 0.01);
        within((double)e.tau_p_max_s, sqrt((1 + r) / (1 - r)) / SINE_HZ, 0.01);
        assert_float_equal(e.snr_db, 0, 0.2); /* the same before */
        assert_float_equal(e.window_s, 4, 1e-6);
        assert_false(e.clipped || e.s_guarded);
    }
}

#define PULSE_M 1e-5
#define PULSE_S 0.1 /* T */

/* Silence, then d = q exp(-q^2 / 2), q = (t - 61.5 s) / T: the integral of d^2 is T sqrt(pi) / 2, that of v^2 is
 * 3 sqrt(pi) / 4 T. Its peak displacement is not looked at: the corners of 0.075 Hz turn its phase. */
static struct ground pulse(double t)
{
    double q = (t - 61.5) / PULSE_S, g = PULSE_M * exp(-0.5 * q * q);

    if (t < 60)
        return (struct ground){0};
    return (struct ground){.d = g * q, .v = g * (1 - q * q) / PULSE_S, .a = g * (q * q - 3) * q / (PULSE_S * PULSE_S)};
}

static void test_pulse(void **state)
{
    (void)state;
    for (int acceleration = 0; acceleration < 2; acceleration++) {
        struct toc_estimate e = measure(pulse, acceleration, 30);
        within((double)e.pv_ms, PULSE_M / PULSE_S, 0.02);
        within((double)e.pa_ms2, PULSE_M / (PULSE_S * PULSE_S) * 1.3801, 0.02); /* at q^2 = 3 - sqrt(6) */
        within((double)e.iv2_m2s, PULSE_M * PULSE_M * 0.75 * sqrt(PI) / PULSE_S, 0.01);
        within((double)e.tau_c_s, 2 * PI * PULSE_S * sqrt(2.0 / 3), 0.01);
        assert_true(isnan(e.snr_db)); /* over silence */
    }
}

static struct toc_motion_step heard(float v2, float tau_p)
{
    return (struct toc_motion_step){.pv_z = 1, .v2_z = v2, .d2_z = 4, .w2_z = 1, .tau_p_z = tau_p};
}

static void test_sums_and_guard(void **state)
{
    struct toc_motion_step noise[20], step = heard(1, 9);
    struct toc_pparam p;
    struct toc_estimate e = {0};

    (void)state;
    for (int i = 0; i < 20; i++)
        noise[i] = heard(0.5f, 5);
    toc_pparam_start(&p, ONSET, noise, 20);
    toc_pparam_say(&p, true, &e); /* before the first step */
    assert_true(isnan(e.snr_db) && isnan(e.tau_c_s) && isnan(e.tau_p_max_s));
    toc_pparam_step(&p, &step); /* holds the onset: its period is that of the noise */
    for (int i = 1; i < 30; i++) {
        step = i < 10 ? heard(50, 0.5f + 0.1f * (float)i) : heard(5000, 20);
        toc_pparam_step(&p, &step);
    }
    toc_pparam_guard(&p, 0.96); /* the tenth step ends there */
    toc_pparam_say(&p, true, &e);
    assert_true(e.s_guarded);
    assert_float_equal(e.window_s, 0.96, 1e-6);
    assert_float_equal(e.iv2_m2s, 0.1 + 45, 1e-4);
    assert_float_equal(e.snr_db, 10 * log10(45.1 / 0.5), 1e-4);
    assert_float_equal(e.tau_c_s, 4 * PI, 1e-5);
    assert_float_equal(e.tau_p_max_s, 1.4, 1e-6);
    toc_pparam_guard(&p, NAN);
    toc_pparam_say(&p, false, &e); /* and of unknown gain */
    assert_false(e.s_guarded);
    assert_true(isnan(e.pv_ms) && isnan(e.iv2_m2s) && isnan(e.tau_c_s) && isnan(e.tau_p_max_s) && isfinite(e.snr_db));
    toc_pparam_guard(&p, 10); /* known, but still to come */
    toc_pparam_say(&p, true, &e);
    assert_false(e.s_guarded);
    assert_float_equal(e.tau_p_max_s, 20, 1e-6);
}

static struct toc_estimate estimate_of(double after_s)
{
    return (struct toc_estimate){.after_p_s = (float)after_s, .s_minus_p_s = 6, .s_minus_p_sigma_s = 2, .snr_pe = 50,
                                 .pa_ms2 = 0.05f, .pv_ms = 1e-3f, .pd_m = 1.5e-4f, .pe_m = 1e-4f};
}

static void test_magnitude_refuses(void **state)
{
    struct toc_estimate e = estimate_of(3);
    double m = -9, sigma = -9;
    bool saturated;

    (void)state;
    e.pv_ms = NAN; /* no gain */
    assert_int_equal(toc_pparam_magnitude(&e, 30, &m, &sigma, &saturated), -ENODATA);
    e = estimate_of(3);
    e.snr_pe = 1.5f;
    assert_int_equal(toc_pparam_magnitude(&e, 30, &m, &sigma, &saturated), -ENODATA);
    e.snr_pe = NAN;
    assert_int_equal(toc_pparam_magnitude(&e, 30, &m, &sigma, &saturated), -ENODATA);
    e = estimate_of(0.2);
    assert_int_equal(toc_pparam_magnitude(&e, 30, &m, &sigma, &saturated), -ENODATA);
    e = estimate_of(3);
    assert_int_equal(toc_pparam_magnitude(&e, NAN, &m, &sigma, &saturated), -ENODATA);
    assert_float_equal(m, -9, 0);
    assert_float_equal(sigma, -9, 0);
}

static double magnitude_of(const struct toc_estimate *e, double km)
{
    double m, sigma;
    bool saturated;

    assert_int_equal(toc_pparam_magnitude(e, km, &m, &sigma, &saturated), 0);
    assert_in_range((uintmax_t)(sigma * 1000), 100, 1500);
    return m;
}

/* Larger amplitude or distance means a larger quake, at every time, across the hand-over from Pv and Pe to Pd. */
static void test_magnitude_is_monotonic(void **state)
{
    (void)state;
    for (double after = 0.3; after < 25; after *= 1.3) {
        double before = -99;
        for (double level = -7; level < -0.5; level += 0.05) {
            struct toc_estimate e = estimate_of(after);
            const float scale = (float)pow(10, level);
            e.pa_ms2 = 20 * scale;
            e.pv_ms = scale;
            e.pe_m = 0.1f * scale;
            e.pd_m = 0.2f * scale;
            const double near = magnitude_of(&e, 20), far = magnitude_of(&e, 60);
            assert_true(near > before);
            assert_true(far > near + 0.3);
            before = near;
        }
    }
}

static void test_range_of_distance(void **state)
{
    struct toc_estimate e = estimate_of(3);

    (void)state;
    assert_float_equal(magnitude_of(&e, 0), magnitude_of(&e, 5), 1e-9);
    assert_float_equal(magnitude_of(&e, 5000), magnitude_of(&e, 300), 1e-9);
    assert_true(magnitude_of(&e, 60) > magnitude_of(&e, 30));
}

static void test_observed_s_ends_p(void **state)
{
    struct toc_estimate late = estimate_of(15), early = estimate_of(4);

    (void)state;
    late.s_minus_p_s = 4;
    late.s_minus_p_sigma_s = TOC_PPARAM_S_OBSERVED_SIGMA_S;
    assert_float_equal(magnitude_of(&late, 33), magnitude_of(&early, 33), 1e-9);
}

static void test_saturation(void **state)
{
    struct toc_estimate e = estimate_of(1);
    double m, sigma;
    bool saturated = true;

    (void)state;
    assert_float_equal(toc_pparam_largest(1), 5.23, 1e-9);
    assert_float_equal(toc_pparam_largest(10), 7.23, 1e-9);
    assert_true(isfinite(toc_pparam_largest(0)));
    e.pv_ms = 1e-5f;
    e.pe_m = 1e-6f;
    e.pd_m = 1e-6f;
    assert_int_equal(toc_pparam_magnitude(&e, 20, &m, &sigma, &saturated), 0);
    assert_false(saturated);
    e.clipped = true;
    assert_int_equal(toc_pparam_magnitude(&e, 20, &m, &sigma, &saturated), 0);
    assert_true(saturated);
    e = estimate_of(1);
    e.pv_ms = 0.3f;
    e.pe_m = 0.03f;
    e.pd_m = 0.05f;
    assert_int_equal(toc_pparam_magnitude(&e, 60, &m, &sigma, &saturated), 0);
    assert_true(saturated);
}

/* Measured at 2.1 s on two records: Pleasant Hill M 4.46 at BK.BRIB (not in the fit), Zagreb M 5.4 at SL.KOGS. A check
 * on units, signs and the table as a whole: a wrong factor of ten in any measure is a whole magnitude. */
static void test_known_quakes(void **state)
{
    struct toc_estimate e = estimate_of(2.1);

    (void)state;
    e.pv_ms = 2.7e-3f;
    e.pe_m = 1.82e-4f;
    e.pd_m = 1.84e-4f;
    assert_float_equal(magnitude_of(&e, 16.4), 4.46, 0.5);
    e.pv_ms = 7.8e-4f;
    e.pe_m = 8.0e-5f;
    e.pd_m = 1.09e-4f;
    assert_float_equal(magnitude_of(&e, 65.8), 5.4, 0.5);
}

/* At 30 km S comes 3.7 s after P, picked or not: later seconds are none of P. */
static void test_expected_s_ends_p(void **state)
{
    struct toc_estimate late = estimate_of(15), early = estimate_of(3.712), earlier = estimate_of(1);

    (void)state;
    assert_float_equal(magnitude_of(&late, 30), magnitude_of(&early, 30), 1e-3);
    assert_true(fabs(magnitude_of(&earlier, 30) - magnitude_of(&early, 30)) > 0.01);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_noise_window),
        cmocka_unit_test(test_peaks_grow_only),
        cmocka_unit_test(test_guard_takes_s_back),
        cmocka_unit_test(test_sine),
        cmocka_unit_test(test_pulse),
        cmocka_unit_test(test_sums_and_guard),
        cmocka_unit_test(test_rubbish_and_length),
        cmocka_unit_test(test_magnitude_refuses),
        cmocka_unit_test(test_magnitude_is_monotonic),
        cmocka_unit_test(test_range_of_distance),
        cmocka_unit_test(test_observed_s_ends_p),
        cmocka_unit_test(test_saturation),
        cmocka_unit_test(test_known_quakes),
        cmocka_unit_test(test_expected_s_ends_p),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
