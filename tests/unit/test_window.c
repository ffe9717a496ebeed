/*
 * Features against their definition, written out here as plain sums over
 * the whole past, and motion against pulses known in closed form. Then what
 * the field brings: offsets, dead and missing channels, absurd numbers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/lanes.h"
#include "core/window.h"

#define PI 3.14159265358979323846

static uint64_t dice_state;

static double uniform(void)
{
    dice_state = dice_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(dice_state >> 11) / 9007199254740992.0;
}

static float noise(double sigma)
{
    double sum = 0.0;
    for (int i = 0; i < 12; i++)
        sum += uniform();
    return (float)(sigma * (sum - 6.0));
}

static struct toc_features *open_features(void)
{
    struct toc_features *features = NULL;
    assert_int_equal(toc_features_create(&features), 0);
    return features;
}

static struct toc_motion *open_motion(bool acceleration)
{
    struct toc_motion *motion = NULL;
    assert_int_equal(toc_motion_create(&motion), 0);
    toc_motion_reset(motion, acceleration);
    return motion;
}

/* ---- features ---- */

#define N_DIRECT 1500

/* Weighted mean of the squares so far: the definition, O(n) for each sample. */
static double direct_power(const double *x, int n, double memory_s)
{
    double sum = 0.0, weights = 0.0;
    for (int k = 0; k <= n; k++) {
        double weight = exp(-(double)(n - k) / (memory_s * 100.0));
        sum += weight * x[k] * x[k];
        weights += weight;
    }
    return sum / weights;
}

/* Age of the slow average in force: present in the first second, that of its end in the second, then 1 s old. */
static int slow_sample(int n)
{
    return n < 99 ? n : n < 199 ? 99 : n - 100;
}

static double clamp12(double x)
{
    return fmin(fmax(x, -12.0), 12.0);
}

static void make_components(float rows[][TOC_COMPONENTS], int n)
{
    dice_state = 11;
    for (int i = 0; i < n; i++)
        for (int c = 0; c < TOC_COMPONENTS; c++) {
            double level = (c + 1) * 100.0 * (i >= 900 ? 40.0 * exp(-(i - 900) / 200.0) + 1.0 : 1.0);
            rows[i][c] = roundf(noise(level)) + 1e4f * (float)c;
        }
}

static void test_features_are_as_defined(void **state)
{
    static float rows[N_DIRECT][TOC_COMPONENTS];
    static double high[TOC_COMPONENTS][N_DIRECT], band[TOC_COMPONENTS][N_DIRECT];
    struct toc_features *features = open_features();
    (void)state;
    make_components(rows, N_DIRECT);
    for (int c = 0; c < TOC_COMPONENTS; c++) {
        struct toc_filter h, b;
        assert_int_equal(toc_filter_highpass(&h, 2, 1, 100), 0);
        assert_int_equal(toc_filter_bandpass(&b, 2, 2, 20, 100), 0);
        /* a component begins at its second value; the first only tells that it moves */
        toc_filter_settle(&h, (double)rows[1][c]);
        toc_filter_settle(&b, (double)rows[1][c]);
        for (int i = 1; i < N_DIRECT; i++) {
            high[c][i - 1] = toc_filter_step(&h, (double)rows[i][c]);
            band[c][i - 1] = toc_filter_step(&b, (double)rows[i][c]);
        }
    }
    for (int i = 0; i < N_DIRECT; i++) {
        float row[TOC_FEATURES];
        double recent = 0.0, lengthy = 0.0;
        int n = i - 1;
        toc_features_push(features, rows[i], row);
        if (i < 5 || (i % 7 != 0 && abs(i - 100) > 3 && abs(i - 200) > 3 && abs(i - 900) > 20))
            continue;
        for (int c = 0; c < TOC_COMPONENTS; c++) {
            double slow = direct_power(band[c], slow_sample(n), 8.0);
            double fast = direct_power(band[c], n, 0.2);
            assert_true(fabs((double)row[c] - clamp12(asinh(high[c][n] / sqrt(slow)))) < 1e-4);
            assert_true(fabs((double)row[3 + c] - clamp12(0.5 * log10(fast / slow))) < 1e-4);
            recent += direct_power(band[c], n, 2.0);
            lengthy += direct_power(band[c], n, 30.0);
        }
        assert_true(fabs((double)row[6] - 0.5 * log10(recent / lengthy)) < 1e-4);
    }
    toc_features_destroy(features);
}

static void test_features_forget_on_reset(void **state)
{
    static float rows[600][TOC_COMPONENTS];
    struct toc_features *used = open_features(), *fresh = open_features();
    (void)state;
    make_components(rows, 600);
    for (int i = 0; i < 600; i++) {
        float row[TOC_FEATURES];
        toc_features_push(used, rows[599 - i], row);
    }
    toc_features_reset(used);
    for (int i = 0; i < 600; i++) {
        float a[TOC_FEATURES], b[TOC_FEATURES];
        toc_features_push(used, rows[i], a);
        toc_features_push(fresh, rows[i], b);
        assert_memory_equal(a, b, sizeof a);
    }
    toc_features_destroy(used);
    toc_features_destroy(fresh);
    toc_features_destroy(NULL);
}

/* Offset and gain of a channel are nobody's business: same features. */
static void test_offset_and_gain_drop_out(void **state)
{
    static float rows[1200][TOC_COMPONENTS];
    struct toc_features *plain = open_features(), *other = open_features();
    (void)state;
    make_components(rows, 1200);
    for (int i = 0; i < 1200; i++) {
        float a[TOC_FEATURES], b[TOC_FEATURES], changed[TOC_COMPONENTS];
        for (int c = 0; c < TOC_COMPONENTS; c++)
            changed[c] = rows[i][c] * 16.0f + 1e6f; /* exact in float */
        toc_features_push(plain, rows[i], a);
        toc_features_push(other, changed, b);
        for (int f = 0; f < TOC_FEATURES; f++)
            assert_true(fabsf(a[f] - b[f]) < 1e-3f);
    }
    toc_features_destroy(plain);
    toc_features_destroy(other);
}

/* Noise from the first sample on must not look like an arrival. */
static void test_start_is_no_onset(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct toc_features *features = open_features();
        dice_state = seed;
        for (int i = 0; i < 400; i++) {
            float enz[TOC_COMPONENTS] = {noise(50) + 1e6f, noise(5), noise(500) - 1e5f}, row[TOC_FEATURES];
            toc_features_push(features, enz, row);
            for (int c = 0; c < TOC_COMPONENTS; c++)
                assert_true(fabsf(row[c]) < 5.0f && fabsf(row[3 + c]) < 0.7f);
            assert_true(fabsf(row[6]) < 0.4f);
        }
        toc_features_destroy(features);
    }
}

static void test_onset_is_seen_before_it_normalises_itself(void **state)
{
    struct toc_features *features = open_features();
    float row[TOC_FEATURES], least = 12.0f;
    (void)state;
    dice_state = 5;
    for (int i = 0; i < 3100; i++) {
        float level = i < 3000 ? 10.0f : 300.0f;
        float enz[TOC_COMPONENTS] = {noise((double)level), noise((double)level), noise((double)level)};
        toc_features_push(features, enz, row);
        if (i >= 3040)
            least = fminf(least, row[3 + TOC_Z]);
    }
    assert_true(least > 1.2f); /* a factor of 30 is 1.48; the first second must show it whole */
    assert_true(fabsf(toc_features_snr_db(row) - 20.0f * row[3 + TOC_Z]) < 1e-3f);
    toc_features_destroy(features);
}

static void test_dead_and_missing_components_are_zero(void **state)
{
    struct toc_features *features = open_features(), *alone = open_features();
    (void)state;
    dice_state = 3;
    for (int i = 0; i < 1000; i++) {
        float z = noise(100), row[TOC_FEATURES], want[TOC_FEATURES];
        float enz[TOC_COMPONENTS] = {777.0f, NAN, z}, only[TOC_COMPONENTS] = {NAN, NAN, z};
        toc_features_push(features, enz, row);
        toc_features_push(alone, only, want);
        assert_true(row[0] == 0.0f && row[1] == 0.0f && row[3] == 0.0f && row[4] == 0.0f);
        assert_memory_equal(row, want, sizeof row); /* and they do not touch the others */
        if (i > 10)
            assert_true(row[TOC_Z] != 0.0f && row[3 + TOC_Z] != 0.0f);
    }
    toc_features_destroy(features);
    toc_features_destroy(alone);
}

static void push_z(struct toc_features *features, float z, float row[TOC_FEATURES])
{
    float enz[TOC_COMPONENTS] = {NAN, NAN, z};
    toc_features_push(features, enz, row);
}

static void test_component_dies_and_comes_back(void **state)
{
    struct toc_features *features = open_features();
    float row[TOC_FEATURES];
    (void)state;
    dice_state = 9;
    for (int i = 0; i < 2000; i++)
        push_z(features, noise(100), row);
    for (int i = 0; i < 1000; i++) {
        push_z(features, 42.0f, row);
        if (i == 150)
            assert_true(row[3 + TOC_Z] < -0.5f); /* quiet is still a signal */
        if (i > 200)
            for (int f = 0; f < TOC_FEATURES; f++)
                assert_true(row[f] == 0.0f);
    }
    assert_true(isnan(toc_features_snr_db(row)));
    for (int i = 0; i < 300; i++) { /* back, elsewhere: neither a step nor an onset */
        push_z(features, 5e5f + noise(100), row);
        assert_true(fabsf(row[TOC_Z]) < 4.0f && row[3 + TOC_Z] < 0.5f);
    }
    assert_true(row[3 + TOC_Z] > -0.5f && row[3 + TOC_Z] != 0.0f);
    toc_features_destroy(features);
}

/* Away and back is a new component: what it was before must not speak. */
static void test_component_that_was_missing_begins_anew(void **state)
{
    struct toc_features *returned = open_features(), *fresh = open_features();
    struct toc_motion *moved = open_motion(true), *new_motion = open_motion(true);
    (void)state;
    dice_state = 31;
    for (int i = 0; i < 1000; i++) {
        float z = i < 500 ? noise(1e5) : i < 510 ? NAN : noise(10) + 1e4f, a[TOC_FEATURES], b[TOC_FEATURES];
        float enz[TOC_COMPONENTS] = {NAN, NAN, z};
        struct toc_motion_step one, two;
        toc_features_push(returned, enz, a);
        bool step = toc_motion_push(moved, i, enz, false, &one);
        if (i < 510)
            continue;
        toc_features_push(fresh, enz, b);
        assert_memory_equal(a, b, sizeof a);
        assert_int_equal(toc_motion_push(new_motion, i, enz, false, &two), step);
        if (step)
            assert_memory_equal(&one, &two, sizeof one);
    }
    toc_features_destroy(returned);
    toc_features_destroy(fresh);
    toc_motion_destroy(moved);
    toc_motion_destroy(new_motion);
}

static void test_snr_falls_back_to_horizontals(void **state)
{
    struct toc_features *features = open_features();
    float row[TOC_FEATURES];
    (void)state;
    dice_state = 4;
    for (int i = 0; i < 200; i++)
        push_z(features, noise(100), row);
    assert_true(fabsf(toc_features_snr_db(row) - 20.0f * row[3 + TOC_Z]) < 1e-3f);
    toc_features_reset(features);
    for (int i = 0; i < 300; i++) {
        float enz[TOC_COMPONENTS] = {noise(100), noise(i < 270 ? 10 : 100), NAN};
        toc_features_push(features, enz, row);
    }
    assert_true(row[3 + TOC_N] > row[3 + TOC_E] + 0.3f);
    assert_true(fabsf(toc_features_snr_db(row) - 20.0f * row[3 + TOC_N]) < 1e-3f);
    toc_features_destroy(features);
}

static const float absurd[] = {NAN,      INFINITY, -INFINITY, 1e30f, -1e30f, 3.4e38f,
                               -3.4e38f, 1e-45f,   -1e-40f,   0.0f,  1.0f,   -7.0f};

static float hostile(int mode)
{
    int kinds = (int)(sizeof absurd / sizeof absurd[0]);
    int which = (int)(uniform() * kinds);
    if (mode == 2) /* seldom, in ordinary noise */
        return uniform() < 0.02 ? absurd[which] : noise(100);
    return mode == 1 ? absurd[3 + which % 9] : absurd[which];
}

static void test_features_are_finite_whatever_comes(void **state)
{
    struct toc_features *features = open_features();
    (void)state;
    for (int mode = 0; mode < 3; mode++) {
        dice_state = 77;
        toc_features_reset(features);
        for (int i = 0; i < 20000; i++) {
            float enz[TOC_COMPONENTS] = {hostile(mode), hostile(mode), hostile(mode)}, row[TOC_FEATURES];
            toc_features_push(features, enz, row);
            for (int f = 0; f < TOC_FEATURES; f++)
                assert_true(isfinite(row[f]) && fabsf(row[f]) <= 12.0f);
        }
    }
    toc_features_destroy(features);
}

/* ---- motion ---- */

/* Displacement a cos(w s) exp(-s^2 / 2 T^2), s = t - 10 s, of 3 Hz: far above every corner. */
#define PULSE_M 1e-3
#define PULSE_W (2.0 * PI * 3.0)
#define PULSE_T 0.5

struct truth {
    double a, v, d;
};

static struct truth pulse(double t)
{
    double s = t - 10.0, q = s / (PULSE_T * PULSE_T);
    double g = PULSE_M * exp(-0.5 * s * q), c = cos(PULSE_W * s), n = sin(PULSE_W * s);
    return (struct truth){
        .d = g * c,
        .v = -g * (q * c + PULSE_W * n),
        .a = g * ((q * q - 1.0 / (PULSE_T * PULSE_T) - PULSE_W * PULSE_W) * c + 2.0 * q * PULSE_W * n),
    };
}

static void near(double got, double want)
{
    if (fabs(got - want) > 0.02 * fabs(want))
        fail_msg("%g is not within 2 %% of %g", got, want);
}

static void run_pulse(bool acceleration, double offset)
{
    struct toc_motion *motion = open_motion(acceleration);
    struct toc_motion_step step, most = {0};
    struct truth peak = {0};
    double energy = 0.0, energy_z = 0.0, energy_h = 0.0;
    for (int i = 0; i < 2000; i++) {
        struct truth now = pulse(i / 100.0);
        double x = acceleration ? now.a : now.v;
        float enz[TOC_COMPONENTS] = {(float)(0.6 * x + offset), (float)(0.8 * x - offset), (float)(x + offset)};
        bool whole = toc_motion_push(motion, i, enz, false, &step);
        assert_int_equal(whole, i % 10 == 9);
        peak = (struct truth){fmax(peak.a, fabs(now.a)), fmax(peak.v, fabs(now.v)), fmax(peak.d, fabs(now.d))};
        energy += now.v * now.v / 100.0;
        if (!whole)
            continue;
        most.pa_z = fmaxf(most.pa_z, step.pa_z);
        most.pv_z = fmaxf(most.pv_z, step.pv_z);
        most.pd_z = fmaxf(most.pd_z, step.pd_z);
        most.pe_z = fmaxf(most.pe_z, step.pe_z);
        most.pv_h = fmaxf(most.pv_h, step.pv_h);
        most.pd_h = fmaxf(most.pd_h, step.pd_h);
        most.pe_h = fmaxf(most.pe_h, step.pe_h);
        energy_z += (double)step.v2_z * 0.1;
        energy_h += (double)step.v2_h * 0.1;
    }
    near((double)most.pa_z, peak.a);
    near((double)most.pv_z, peak.v);
    near((double)most.pd_z, peak.d);
    near((double)most.pe_z, peak.d);
    near((double)most.pv_h, peak.v);
    near((double)most.pd_h, peak.d);
    near((double)most.pe_h, peak.d);
    near(energy_z, energy);
    near(energy_h, energy);
    toc_motion_destroy(motion);
}

static void test_pulse_on_a_velocity_sensor(void **state)
{
    (void)state;
    run_pulse(false, 0.0);
    run_pulse(false, 0.5);
}

static void test_pulse_on_an_accelerometer(void **state)
{
    (void)state;
    run_pulse(true, 0.0);
    run_pulse(true, 9.81); /* a vertical that measures gravity */
}

/* The two high-passes of d: a slow swing of 20 s passes the one at 0.075 Hz twice, and hardly the one at 0.5 Hz. */
static void test_displacement_corners(void **state)
{
    struct toc_motion *motion = open_motion(false);
    struct toc_motion_step step;
    double f = 0.05, w = 2.0 * PI * f, d = 0.0, e = 0.0;
    double slow = 1.0 / sqrt(1.0 + pow(0.075 / f, 4)), fast = 1.0 / sqrt(1.0 + pow(0.5 / f, 4));
    (void)state;
    for (int i = 0; i < 40000; i++) {
        float x = (float)(0.01 * w * sin(w * i / 100.0));
        float enz[TOC_COMPONENTS] = {NAN, NAN, x};
        if (toc_motion_push(motion, i, enz, false, &step) && i > 30000) {
            d = fmax(d, (double)step.pd_z);
            e = fmax(e, (double)step.pe_z);
        }
    }
    near(d, 0.01 * slow * slow);
    near(e, 0.01 * slow * fast);
    toc_motion_destroy(motion);
}

static void test_steps_are_aligned_to_absolute_tenths(void **state)
{
    static const int64_t starts[] = {7, 10, -13, 156226162904, 156226162911};
    (void)state;
    for (int k = 0; k < 5; k++) {
        struct toc_motion *motion = open_motion(false);
        int64_t first = starts[k], aligned = first;
        int steps = 0;
        while (((aligned % 10) + 10) % 10 != 0)
            aligned++;
        for (int64_t i = first; i < aligned + 30; i++) {
            struct toc_motion_step step;
            float enz[TOC_COMPONENTS] = {0, 0, (float)(i - first)};
            bool done = toc_motion_push(motion, i, enz, false, &step);
            assert_int_equal(done, i >= aligned && (i - aligned) % 10 == 9);
            steps += done;
        }
        assert_int_equal(steps, 3);
        toc_motion_destroy(motion);
    }
}

static void test_clipped_marks_its_step_only(void **state)
{
    struct toc_motion *motion = open_motion(false);
    (void)state;
    for (int i = 0; i < 60; i++) {
        float enz[TOC_COMPONENTS] = {0, 0, (float)(i % 3)};
        struct toc_motion_step step;
        if (toc_motion_push(motion, i, enz, i == 20 || i == 49, &step))
            assert_true(step.clipped == (i == 29 || i == 49 ? 1.0f : 0.0f));
    }
    toc_motion_destroy(motion);
}

static void test_missing_components_do_not_move(void **state)
{
    struct toc_motion *motion = open_motion(true);
    struct toc_motion_step step;
    (void)state;
    for (int i = 0; i < 1000; i++) {
        float x = (float)sin(i * 0.3), enz[TOC_COMPONENTS] = {NAN, NAN, x};
        if (toc_motion_push(motion, i, enz, false, &step))
            assert_true(step.pv_h == 0.0f && step.pd_h == 0.0f && step.pe_h == 0.0f && step.v2_h == 0.0f);
    }
    assert_true(step.pa_z > 0.9f && step.v2_z > 0.0f);
    toc_motion_reset(motion, true);
    for (int i = 0; i < 1000; i++) {
        float x = (float)sin(i * 0.3), enz[TOC_COMPONENTS] = {x, NAN, NAN};
        if (toc_motion_push(motion, i, enz, false, &step))
            assert_true(step.pa_z == 0.0f && step.pv_z == 0.0f && step.pd_z == 0.0f && step.v2_z == 0.0f);
    }
    assert_true(step.pv_h > 0.0f && step.pd_h > 0.0f);
    toc_motion_destroy(motion);
}

/* A jump of the index is a gap: what comes after equals a fresh start. */
static void test_jump_forgets(void **state)
{
    struct toc_motion *jumped = open_motion(false), *fresh = open_motion(false);
    struct toc_motion_step a, b;
    (void)state;
    dice_state = 21;
    for (int i = 0; i < 205; i++) {
        float enz[TOC_COMPONENTS] = {noise(1), noise(1), noise(1) + 3.0f};
        (void)toc_motion_push(jumped, i, enz, true, &a);
    }
    for (int64_t i = 1003; i < 1400; i++) {
        float enz[TOC_COMPONENTS] = {noise(1), noise(1), noise(1) - 100.0f};
        bool one = toc_motion_push(jumped, i, enz, false, &a), two = toc_motion_push(fresh, i, enz, false, &b);
        assert_int_equal(one, two);
        if (one)
            assert_memory_equal(&a, &b, sizeof a);
    }
    toc_motion_destroy(jumped);
    toc_motion_destroy(fresh);
    toc_motion_destroy(NULL);
}

static void test_motion_is_finite_whatever_comes(void **state)
{
    (void)state;
    for (int mode = 0; mode < 6; mode++) {
        struct toc_motion *motion = open_motion(mode % 2 == 1);
        dice_state = 78;
        for (int i = 0; i < 20000; i++) {
            float enz[TOC_COMPONENTS] = {hostile(mode / 2), hostile(mode / 2), hostile(mode / 2)}, field[13];
            struct toc_motion_step step;
            if (!toc_motion_push(motion, i, enz, false, &step))
                continue;
            memcpy(field, &step, sizeof field);
            for (int f = 0; f < 13; f++)
                assert_true(isfinite(field[f]) && field[f] >= 0.0f);
        }
        toc_motion_destroy(motion);
    }
}

/* ---- blocks ---- */

/* Noise with everything that cuts a block: a component that is missing, stands still, or begins late. */
static void make_rough(float enz[TOC_COMPONENTS][2000])
{
    for (int i = 0; i < 2000; i++) {
        enz[TOC_E][i] = i % 500 > 470 ? NAN : noise(100);
        enz[TOC_N][i] = i < 333 || (i > 900 && i < 1200) ? 5.0f : noise(1e6);
        enz[TOC_Z][i] = i % 777 == 0 ? INFINITY : noise(1);
    }
}

static void test_blocks_say_what_single_rows_say(void **state)
{
    static float enz[TOC_COMPONENTS][2000], whole[2000][TOC_FEATURES];
    static struct toc_motion_step steps[260];
    struct toc_features *blocks = open_features(), *single = open_features();
    struct toc_motion *moved = open_motion(false), *step_by_step = open_motion(false);
    static bool clipped[2000];
    uint32_t n_steps = 0;
    (void)state;
    dice_state = 19;
    make_rough(enz);
    for (uint32_t at = 0, n; at < 2000; at += n) {
        const float *const from[TOC_COMPONENTS] = {enz[0] + at, enz[1] + at, enz[2] + at};
        n = 1 + (uint32_t)(uniform() * 250);
        n = n < 2000 - at ? n : 2000 - at;
        toc_features_push_rows(blocks, from, n, whole[at]);
        n_steps += toc_motion_push_rows(moved, 3 + at, from, clipped + at, n, steps + n_steps);
        assert_true(n_steps < 230);
    }
    for (uint32_t i = 0, k = 0; i < 2000; i++) {
        float row[TOC_FEATURES], x[TOC_COMPONENTS] = {enz[0][i], enz[1][i], enz[2][i]};
        struct toc_motion_step step;
        toc_features_push(single, x, row);
        assert_memory_equal(row, whole[i], sizeof row);
        if (toc_motion_push(step_by_step, 3 + i, x, false, &step))
            assert_memory_equal(&step, &steps[k++], sizeof step);
    }
    assert_int_equal(n_steps, 199); /* the first is partial */
    toc_features_destroy(blocks);
    toc_features_destroy(single);
    toc_motion_destroy(moved);
    toc_motion_destroy(step_by_step);
}

#define VALUES 40000

/* [0] log, [1] asinh of each */
TOC_LANES_INLINE void functions_body(const double *x, uint32_t n, double (*ret)[VALUES])
{
    for (uint32_t i = 0; i < n; i += TOC_LANES) {
        toc_lanes at = toc_lanes_load(x + i);
        toc_lanes_store(&ret[0][i], toc_lanes_log(toc_lanes_abs(at)));
        toc_lanes_store(&ret[1][i], toc_lanes_asinh(at));
    }
}

TOC_LANES_KERNEL(functions, (const double *x, uint32_t n, double (*ret)[VALUES]), (x, n, ret))

static double relative(double x, double truth)
{
    return truth == 0.0 ? fabs(x) : fabs(x - truth) / fabs(truth);
}

/* Over all exponents, and closely around 1, where a logarithm loses digits when made carelessly. */
static void test_functions_are_those_of_the_library(void **state)
{
    static double x[VALUES], got[2][VALUES], plain[2][VALUES];
    double worst_log = 0.0, worst_asinh = 0.0;
    (void)state;
    dice_state = 23;
    for (int i = 0; i < VALUES; i++) {
        double exponent = i < VALUES / 2 ? 2000 * uniform() - 1000 : 20 * uniform() - 15;
        x[i] = (i % 2 ? -1 : 1) * (i < VALUES / 2 ? exp2(exponent) : i % 8 < 4 ? 1 + exp2(exponent - 10) : exp2(exponent));
    }
    x[0] = 1.0;
    x[1] = -1.0;
    functions(x, VALUES, got);
    functions_body(x, VALUES, plain);
    assert_memory_equal(got, plain, sizeof got); /* whatever the instruction set */
    for (int i = 0; i < VALUES; i++) {
        worst_log = fmax(worst_log, relative(got[0][i], log(fabs(x[i]))));
        if (fabs(x[i]) <= 1e100)
            worst_asinh = fmax(worst_asinh, relative(got[1][i], asinh(x[i])));
    }
    assert_true(worst_log < 1e-14);
    assert_true(worst_asinh < 1e-12);
    assert_true(got[0][0] == 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_features_are_as_defined),
        cmocka_unit_test(test_features_forget_on_reset),
        cmocka_unit_test(test_offset_and_gain_drop_out),
        cmocka_unit_test(test_start_is_no_onset),
        cmocka_unit_test(test_onset_is_seen_before_it_normalises_itself),
        cmocka_unit_test(test_dead_and_missing_components_are_zero),
        cmocka_unit_test(test_component_dies_and_comes_back),
        cmocka_unit_test(test_component_that_was_missing_begins_anew),
        cmocka_unit_test(test_snr_falls_back_to_horizontals),
        cmocka_unit_test(test_features_are_finite_whatever_comes),
        cmocka_unit_test(test_pulse_on_a_velocity_sensor),
        cmocka_unit_test(test_pulse_on_an_accelerometer),
        cmocka_unit_test(test_displacement_corners),
        cmocka_unit_test(test_steps_are_aligned_to_absolute_tenths),
        cmocka_unit_test(test_clipped_marks_its_step_only),
        cmocka_unit_test(test_missing_components_do_not_move),
        cmocka_unit_test(test_jump_forgets),
        cmocka_unit_test(test_motion_is_finite_whatever_comes),
        cmocka_unit_test(test_blocks_say_what_single_rows_say),
        cmocka_unit_test(test_functions_are_those_of_the_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
