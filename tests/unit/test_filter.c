/*
 * Filters against the analytic Butterworth response, and the resampler
 * against signals whose value is known at any time: what comes out at a grid
 * time must be the ground at that time, whatever the rate and phase.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <complex.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "core/filter.h"

#define PI 3.14159265358979323846
#define T0 INT64_C(1562261629040000000)

/* Magnitude at f from the impulse response. */
static double measured(const struct toc_filter *design, double f_hz, double rate_hz, int samples)
{
    struct toc_filter filter = *design;
    double complex sum = 0.0;
    toc_filter_reset(&filter);
    for (int i = 0; i < samples; i++)
        sum += toc_filter_step(&filter, i == 0 ? 1.0 : 0.0) * cexp(-I * 2.0 * PI * f_hz / rate_hz * i);
    return cabs(sum);
}

/* Butterworth through the bilinear transform: the analogue response at the warped frequency. */
static double analytic_lowpass(int order, double f_hz, double corner_hz, double rate_hz)
{
    double ratio = tan(PI * f_hz / rate_hz) / tan(PI * corner_hz / rate_hz);
    return 1.0 / sqrt(1.0 + pow(ratio, 2.0 * order));
}

static double analytic_highpass(int order, double f_hz, double corner_hz, double rate_hz)
{
    double ratio = tan(PI * corner_hz / rate_hz) / tan(PI * f_hz / rate_hz);
    return 1.0 / sqrt(1.0 + pow(ratio, 2.0 * order));
}

static const struct {
    int order;
    double corner_hz, rate_hz;
} designs[] = {{2, 0.075, 100}, {2, 0.5, 100}, {2, 1, 100}, {4, 40, 250}, {6, 10, 100}, {8, 5, 40}, {4, 40, 1000}};

static void test_magnitude_is_butterworth(void **state)
{
    static const double at[] = {0.25, 0.5, 1.0, 1.5, 3.0};
    (void)state;
    for (size_t d = 0; d < sizeof designs / sizeof designs[0]; d++) {
        struct toc_filter low, high;
        double corner = designs[d].corner_hz, rate = designs[d].rate_hz;
        int order = designs[d].order, samples = (int)(15.0 * rate / corner) + 500;
        assert_int_equal(toc_filter_lowpass(&low, order, corner, rate), 0);
        assert_int_equal(toc_filter_highpass(&high, order, corner, rate), 0);
        for (int i = 0; i < 5; i++) {
            double f = corner * at[i];
            if (f >= rate / 2.0)
                continue;
            assert_true(fabs(measured(&low, f, rate, samples) - analytic_lowpass(order, f, corner, rate)) < 1e-6);
            assert_true(fabs(measured(&high, f, rate, samples) - analytic_highpass(order, f, corner, rate)) < 1e-6);
        }
    }
}

static void test_bandpass_is_both_edges(void **state)
{
    static const double at[] = {0.3, 1, 2, 5, 12, 20, 33, 45};
    struct toc_filter band;
    (void)state;
    assert_int_equal(toc_filter_bandpass(&band, 2, 2.0, 20.0, 100.0), 0);
    assert_int_equal(band.n, 2);
    for (int i = 0; i < 8; i++) {
        double want = analytic_highpass(2, at[i], 2, 100) * analytic_lowpass(2, at[i], 20, 100);
        assert_true(fabs(measured(&band, at[i], 100, 4000) - want) < 1e-6);
    }
}

static void test_bad_designs_are_refused(void **state)
{
    struct toc_filter filter, before;
    (void)state;
    memset(&filter, 0x5a, sizeof filter);
    before = filter;
    assert_int_equal(toc_filter_lowpass(&filter, 3, 1, 100), -EINVAL);
    assert_int_equal(toc_filter_lowpass(&filter, 0, 1, 100), -EINVAL);
    assert_int_equal(toc_filter_lowpass(&filter, 10, 1, 100), -EINVAL);
    assert_int_equal(toc_filter_lowpass(&filter, 2, 50, 100), -EINVAL);
    assert_int_equal(toc_filter_highpass(&filter, 2, 0, 100), -EINVAL);
    assert_int_equal(toc_filter_highpass(&filter, 2, -1, 100), -EINVAL);
    assert_int_equal(toc_filter_highpass(&filter, 2, NAN, 100), -EINVAL);
    assert_int_equal(toc_filter_highpass(&filter, 2, 1, NAN), -EINVAL);
    assert_int_equal(toc_filter_highpass(&filter, 2, 1, INFINITY), -EINVAL);
    assert_int_equal(toc_filter_bandpass(&filter, 6, 1, 10, 100), -EINVAL);
    assert_int_equal(toc_filter_bandpass(&filter, 2, 10, 1, 100), -EINVAL);
    assert_memory_equal(&filter, &before, sizeof filter);
}

static void test_settled_offset_makes_no_transient(void **state)
{
    struct toc_filter high, low, band;
    (void)state;
    assert_int_equal(toc_filter_highpass(&high, 4, 0.075, 100), 0);
    assert_int_equal(toc_filter_lowpass(&low, 4, 10, 100), 0);
    assert_int_equal(toc_filter_bandpass(&band, 2, 2, 20, 100), 0);
    toc_filter_settle(&high, 1e6);
    toc_filter_settle(&low, 1e6);
    toc_filter_settle(&band, 1e6);
    for (int i = 0; i < 1000; i++) {
        assert_true(toc_filter_step(&high, 1e6) == 0.0);
        assert_true(toc_filter_step(&band, 1e6) == 0.0);
        assert_true(fabs(toc_filter_step(&low, 1e6) - 1e6) < 1e-6);
    }
}

static void test_reset_and_fork(void **state)
{
    struct toc_filter one, fork;
    double first[50];
    (void)state;
    assert_int_equal(toc_filter_bandpass(&one, 4, 1, 10, 100), 0);
    for (int i = 0; i < 50; i++)
        first[i] = toc_filter_step(&one, sin(i * 0.7) * 100);
    fork = one;
    for (int i = 0; i < 50; i++)
        assert_true(toc_filter_step(&one, i) == toc_filter_step(&fork, i));
    toc_filter_reset(&one);
    for (int i = 0; i < 50; i++)
        assert_true(toc_filter_step(&one, sin(i * 0.7) * 100) == first[i]);
}

static void test_silence_ends_in_rest_not_in_denormals(void **state)
{
    struct toc_filter filter;
    (void)state;
    assert_int_equal(toc_filter_highpass(&filter, 2, 0.5, 100), 0);
    toc_filter_step(&filter, 1.0);
    for (int i = 0; i < 40000; i++) {
        double y = toc_filter_step(&filter, 0.0);
        assert_true(fpclassify(y) != FP_SUBNORMAL);
    }
    assert_true(filter.stage[0].z1 == 0.0 && filter.stage[0].z2 == 0.0);
}

/* ---- resampler ---- */

static const double rates[] = {20, 31.25, 40, 50, 80, 100, 125, 200, 250, 1000};
static const toc_ns phases[] = {0, 1234567, 4999999, -3300000};
#define N_RATES (sizeof rates / sizeof rates[0])
#define N_PHASES (sizeof phases / sizeof phases[0])
#define OUT_MAX 4000

struct resampled {
    int64_t first;
    int n;
    float value[OUT_MAX];
};

typedef double signal_fn(double seconds_after_t0);

static double sine(double t)
{
    return sin(2.0 * PI * 3.0 * t + 0.4);
}

/* An onset: level 0 to 1 around 5 s, as sharp as 20 Hz can hold. */
static double onset(double t)
{
    return 0.5 * (1.0 + erf((t - 5.0) / 0.07));
}

static double grid_time(const struct resampled *out, int i)
{
    return (double)((out->first + i) * TOC_GRID_NS - T0) / 1e9;
}

static void resample(signal_fn *signal, double rate_hz, toc_ns start, double seconds, struct resampled *out)
{
    struct toc_resampler resampler;
    float some[8];
    assert_int_equal(toc_resampler_start(&resampler, rate_hz, start), 0);
    out->n = 0;
    for (int64_t i = 0; (double)i < seconds * rate_hz; i++) {
        int64_t index = -1;
        double t = (double)(start - T0) / 1e9 + (double)i / rate_hz;
        int n = toc_resampler_push(&resampler, signal(t), some, &index);
        assert_in_range(n, 0, 1 + (int)(100.0 / rate_hz));
        assert_in_range(out->n + n, 0, OUT_MAX);
        if (n > 0 && out->n == 0)
            out->first = index;
        if (n > 0)
            assert_int_equal(index, out->first + out->n); /* contiguous */
        memcpy(out->value + out->n, some, (size_t)n * sizeof some[0]);
        out->n += n;
    }
}

static void test_sine_keeps_time_and_amplitude(void **state)
{
    static struct resampled out;
    (void)state;
    for (size_t r = 0; r < N_RATES; r++)
        for (size_t p = 0; p < N_PHASES; p++) {
            double complex sum = 0.0;
            resample(sine, rates[r], T0 + phases[p], 12.0, &out);
            assert_true(out.n > 1150);
            /* 10 s: a whole number of periods, so the Fourier coefficient is exact */
            for (int i = 100; i < 1100; i++)
                sum += out.value[i] * cexp(-I * (2.0 * PI * 3.0 * grid_time(&out, i) + 0.4)) / 1000.0;
            double complex relative = sum * 2.0 * I; /* 1 for a perfect copy */
            assert_true(fabs(cabs(relative) - 1.0) < 0.02);
            assert_true(fabs(carg(relative)) / (2.0 * PI * 3.0) < 0.005);
        }
}

static double crossing_time(const struct resampled *out, float level)
{
    for (int i = 1; i < out->n; i++)
        if (out->value[i - 1] < level && out->value[i] >= level)
            return grid_time(out, i - 1) +
                   0.01 * (double)((level - out->value[i - 1]) / (out->value[i] - out->value[i - 1]));
    return NAN;
}

static void test_onset_keeps_time(void **state)
{
    static struct resampled out;
    (void)state;
    for (size_t r = 0; r < N_RATES; r++)
        for (size_t p = 0; p < N_PHASES; p++) {
            float highest = 0.0f;
            resample(onset, rates[r], T0 + phases[p], 10.0, &out);
            assert_true(fabs(crossing_time(&out, 0.5f) - 5.0) < 0.005);
            for (int i = 0; i < out.n; i++)
                highest = fmaxf(highest, out.value[i]);
            assert_true(highest < 1.05f); /* overshoot of a causal low-pass */
            assert_true(fabsf(out.value[out.n - 1] - 1.0f) < 0.001f);
        }
}

static void test_offset_makes_no_transient(void **state)
{
    struct toc_resampler resampler;
    float out[8];
    int64_t index;
    (void)state;
    for (size_t r = 0; r < N_RATES; r++) {
        assert_int_equal(toc_resampler_start(&resampler, rates[r], T0 + 1234567), 0);
        for (int i = 0; i < 500; i++)
            for (int k = toc_resampler_push(&resampler, 1e6, out, &index); k > 0; k--)
                assert_true(fabsf(out[k - 1] - 1e6f) <= 0.0625f);
    }
}

static void test_on_the_grid_passes_untouched(void **state)
{
    static const toc_ns off[] = {0, 99999, -99999};
    (void)state;
    for (int p = 0; p < 3; p++)
        for (int sign = -1; sign <= 1; sign += 2) { /* before 1970 too */
            struct toc_resampler resampler;
            toc_ns start = sign * T0 + off[p];
            assert_int_equal(toc_resampler_start(&resampler, 100, start), 0);
            for (int i = 0; i < 100; i++) {
                float out[8], x = (float)(i * 1234567) * 0.37f;
                int64_t index;
                assert_int_equal(toc_resampler_push(&resampler, (double)x, out, &index), 1);
                assert_true(out[0] == x);
                assert_int_equal(index, sign * (T0 / TOC_GRID_NS) + i);
            }
        }
}

/* Beyond 0.1 ms the samples are moved: a value between its neighbours, not a copy. */
static void test_off_the_grid_is_interpolated(void **state)
{
    struct toc_resampler resampler;
    float out[8];
    int64_t index;
    (void)state;
    assert_int_equal(toc_resampler_start(&resampler, 100, T0 + 2500000), 0);
    for (int i = 0; i < 50; i++) /* a straight line, in units of samples since T0 + 2.5 ms */
        if (toc_resampler_push(&resampler, i, out, &index) == 1)
            assert_true(fabs((double)out[0] - ((double)(index - T0 / TOC_GRID_NS) - 0.25)) < 1e-5);
    assert_true(index > T0 / TOC_GRID_NS + 40);
}

/* As if 1e9 samples had passed: only the two counters know, and place is computed from them. */
static void test_no_drift_after_a_thousand_million_samples(void **state)
{
    static const double drift_rates[] = {20, 31.25, 125, 250};
    (void)state;
    for (int r = 0; r < 4; r++) {
        struct toc_resampler resampler;
        double rate = drift_rates[r];
        int64_t skip = 1000000000, index;
        float out[8];
        int checked = 0;
        assert_int_equal(toc_resampler_start(&resampler, rate, T0), 0);
        for (int64_t i = 0; i < 400; i++) {
            double t = (double)i / rate;
            int n = toc_resampler_push(&resampler, sine(t), out, &index);
            if (i == 10) { /* 1e9 samples are a whole number of grid steps at these rates */
                resampler.count += skip;
                resampler.next += (int64_t)(1e11 / rate);
            }
            if (t < 1.0)
                continue;
            for (int k = 0; k < n; k++, checked++) {
                int64_t since = index + k - T0 / TOC_GRID_NS - (int64_t)(1e11 / rate);
                assert_true(fabs((double)out[k] - sine((double)since / 100.0)) < 0.03);
            }
        }
        assert_true(checked > 50);
    }
}

/* Off the grid by 0, 0.05, 2.5, 9.99 ms and long after the start; other rates and the first samples are left to single pushes. */
static void test_a_run_says_what_single_samples_say(void **state)
{
    const toc_ns offsets_ns[] = {0, 50000, 2500000, 9990000};
    const double some_hz[] = {100, 100.001, 40, 200};
    (void)state;
    for (size_t k = 0; k < 16; k++) {
        struct toc_resampler one, many;
        float samples[900], singles[4000], runs[4000];
        int64_t first, index;
        int n = 0, m = 0;
        assert_int_equal(toc_resampler_start(&one, some_hz[k / 4], T0 + offsets_ns[k % 4]), 0);
        if (k % 2) { /* months later */
            one.count += INT64_C(1000000000);
            one.next += (int64_t)(1e11 / some_hz[k / 4]);
        }
        many = one;
        for (int i = 0; i < 900; i++)
            samples[i] = (float)(1e5 * sin(0.1 * i) + i % 7);
        for (int i = 0; i < 900; i++)
            n += toc_resampler_push(&one, (double)samples[i] * 0.3, singles + n, &index);
        for (uint32_t i = 0, took; i < 900; i += took) {
            uint32_t asked = 1 + i * 31 % 97;
            took = toc_resampler_push_run(&many, samples + i, 0.3, asked < 900 - i ? asked : 900 - i, runs + m, &first);
            assert_int_equal(took > 0, k / 4 == 0 && (i > 3 || many.pass)); /* only there it is for */
            m += took > 0 ? (int)took : toc_resampler_push(&many, (double)samples[i] * 0.3, runs + m, &first);
            took = took > 0 ? took : 1;
        }
        assert_int_equal(m, n);
        assert_memory_equal(runs, singles, (size_t)n * sizeof *runs);
        assert_int_equal(many.next, one.next);
        assert_int_equal(many.count, one.count);
    }
}

static void test_resampler_refuses_and_survives(void **state)
{
    static const double bad[] = {19.9, 1000.1, 0, -100, NAN, INFINITY};
    struct toc_resampler resampler, before;
    float out[8];
    int64_t index;
    (void)state;
    memset(&resampler, 0x5a, sizeof resampler);
    before = resampler;
    for (int i = 0; i < 6; i++)
        assert_int_equal(toc_resampler_start(&resampler, bad[i], T0), -EINVAL);
    assert_int_equal(toc_resampler_start(&resampler, 100, INT64_MIN), -EINVAL);
    assert_int_equal(toc_resampler_start(&resampler, 100, INT64_MAX), -EINVAL);
    assert_memory_equal(&resampler, &before, sizeof resampler);
    for (size_t r = 0; r < N_RATES; r++) {
        static const double hostile[] = {NAN, INFINITY, -INFINITY, 3.4e38, -3.4e38, 1e-45, 0};
        assert_int_equal(toc_resampler_start(&resampler, rates[r], T0 + 1), 0);
        for (int i = 0; i < 700; i++)
            for (int k = toc_resampler_push(&resampler, hostile[i % 7], out, &index); k > 0; k--)
                assert_true(isfinite(out[k - 1]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_magnitude_is_butterworth),
        cmocka_unit_test(test_bandpass_is_both_edges),
        cmocka_unit_test(test_bad_designs_are_refused),
        cmocka_unit_test(test_settled_offset_makes_no_transient),
        cmocka_unit_test(test_reset_and_fork),
        cmocka_unit_test(test_silence_ends_in_rest_not_in_denormals),
        cmocka_unit_test(test_sine_keeps_time_and_amplitude),
        cmocka_unit_test(test_onset_keeps_time),
        cmocka_unit_test(test_offset_makes_no_transient),
        cmocka_unit_test(test_on_the_grid_passes_untouched),
        cmocka_unit_test(test_off_the_grid_is_interpolated),
        cmocka_unit_test(test_no_drift_after_a_thousand_million_samples),
        cmocka_unit_test(test_a_run_says_what_single_samples_say),
        cmocka_unit_test(test_resampler_refuses_and_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
