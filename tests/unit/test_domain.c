/*
 * core/domain: its filters are those it says they are, gain and offset drop
 * out, hostile rows do no harm, and plain cases of each class are told from
 * each other.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdint.h>
#include <string.h>

#include "core/domain.c"
#include "core/filter.h"

#define PI 3.14159265358979323846
enum { ROWS = 720, ONSET = 300 };

static float ground[ROWS][3];
static uint64_t seed;

static double uniform(void) /* xorshift64*, -1..1 */
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (double)((seed * UINT64_C(2685821657736338717)) >> 11) / 4503599627370496.0 - 1.0;
}

static double gauss(void)
{
    return uniform() + uniform() + uniform(); /* variance 1 */
}

/* Noise of unit variance: white, and a slow part beside it. */
static void noise(uint64_t number)
{
    double slow[3] = {0};
    seed = number * 7919 + 1;
    for (int i = 0; i < 200; i++)
        (void)uniform();
    for (int i = 0; i < ROWS; i++)
        for (int c = 0; c < 3; c++) {
            slow[c] += 0.05 * (gauss() - slow[c]);
            ground[i][c] = (float)(0.7 * gauss() + 4 * slow[c]);
        }
}

/* A local P: from the onset on 1 to 25 Hz on all components, growing for 0.2 s. */
static void add_local(double size)
{
    struct toc_filter band[3];
    for (int c = 0; c < 3; c++)
        assert_int_equal(toc_filter_bandpass(&band[c], 2, 2.0, 20.0, 100.0), 0);
    for (int i = ONSET; i < ROWS; i++)
        for (int c = 0; c < 3; c++) {
            double rise = fmin((i - ONSET + 1) / 20.0, 1.0);
            ground[i][c] += (float)(size * rise * (c == TOC_Z ? 1.0 : 0.6) * toc_filter_step(&band[c], gauss()));
        }
}

/* A far P: a pulse of some seconds, steep, nothing above 1.5 Hz. */
static void add_far(double size)
{
    for (int i = ONSET; i < ROWS; i++) {
        double t = (i - ONSET) / 100.0, wave = t * exp(-t / 0.6) * sin(2 * PI * 0.7 * t);
        ground[i][TOC_Z] += (float)(size * wave);
        ground[i][TOC_N] += (float)(0.3 * size * wave);
    }
}

/* Most of it is slow motion of the sea; the short-period noise of a quiet place is far below. */
static void quiet_site(void)
{
    for (int i = 0; i < ROWS; i++)
        for (int c = 0; c < 3; c++)
            ground[i][c] *= 0.2f;
}

static void follow(struct toc_domain *d, int rows_after)
{
    toc_domain_start(d, ONSET, 0);
    for (int i = 0; i < ONSET + rows_after; i++)
        toc_domain_push(d, ground[i]);
}

static struct toc_verdict after(int rows)
{
    struct toc_domain d;
    follow(&d, rows);
    return toc_domain_judge(&d);
}

static void same_section(const double mine[5], const struct toc_filter *theirs)
{
    const struct toc_biquad *q = &theirs->stage[0];
    const double other[5] = {q->b0, q->b1, q->b2, q->a1, q->a2};
    assert_int_equal(theirs->n, 1);
    for (int i = 0; i < 5; i++)
        assert_true(fabs(mine[i] - other[i]) <= 1e-13 * (1 + fabs(other[i])));
}

static void filters_are_as_designed(void **state)
{
    (void)state;
    for (int b = 0; b <= TOC_DOMAIN_BANDS; b++) {
        struct toc_filter high, low;
        double from = b == WIDE ? 1.0 : 0.5 * pow(2, b), to = 2 * from;
        assert_int_equal(toc_filter_highpass(&high, 2, from, 100.0), 0);
        same_section(edges[b].high, &high);
        if (b == WIDE)
            continue;
        assert_int_equal(toc_filter_lowpass(&low, 2, to, 100.0), 0);
        same_section(edges[b].low, &low);
    }
}

static void gain_and_offset_drop_out(void **state)
{
    float a[TOC_DOMAIN_MEASURES], b[TOC_DOMAIN_MEASURES];
    struct toc_domain d;
    (void)state;
    noise(3);
    add_local(20);
    follow(&d, 120);
    assert_true(toc_domain_measure(&d, a));
    for (int i = 0; i < ROWS; i++)
        for (int c = 0; c < 3; c++)
            ground[i][c] = 256 * ground[i][c] + 4096;
    follow(&d, 120);
    assert_true(toc_domain_measure(&d, b));
    for (int i = 0; i < TOC_DOMAIN_MEASURES; i++)
        assert_true(fabsf(a[i] - b[i]) < 2e-3f);
}

static void says_nothing_without_enough(void **state)
{
    struct toc_domain d;
    (void)state;
    noise(4);
    toc_domain_start(&d, ONSET, ONSET - 50); /* half a second of noise */
    for (int i = ONSET - 50; i < ONSET + 100; i++)
        toc_domain_push(&d, ground[i]);
    assert_int_equal(toc_domain_judge(&d).kind, TOC_DOMAIN_UNKNOWN);
    assert_true(toc_domain_judge(&d).probability == 0);
    follow(&d, 0);
    assert_true(toc_domain_judge(&d).probability == 0);
    memset(ground, 0, sizeof ground); /* a dead line */
    assert_true(after(100).probability == 0);
}

static void hostile_rows_do_no_harm(void **state)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-42f};
    (void)state;
    for (uint64_t n = 0; n < 200; n++) {
        noise(n);
        for (int k = 0; k < 20; k++)
            ground[(int)((uniform() + 1) / 2 * (ROWS - 1))][(int)((uniform() + 1) * 1.49)] = bad[(n + (uint64_t)k) % 6];
        for (int rows = 1; rows < 400; rows += 57) {
            struct toc_verdict v = after(rows);
            assert_true(v.probability >= 0 && v.probability <= 1.0001f && v.foreign >= 0 && v.foreign <= 1.0001f);
        }
    }
}

static void a_missing_component_is_left_out(void **state)
{
    float with[TOC_DOMAIN_MEASURES], without[TOC_DOMAIN_MEASURES];
    struct toc_domain d;
    (void)state;
    noise(5);
    add_local(20);
    for (int i = 0; i < ROWS; i++)
        ground[i][TOC_E] = ground[i][TOC_N] = NAN;
    follow(&d, 100);
    assert_true(toc_domain_measure(&d, without));
    assert_true(without[15] == 1 && without[13] == 1);
    for (int i = 0; i < ROWS; i++) /* horizontals that end after the onset are the same as none */
        ground[i][TOC_E] = ground[i][TOC_N] = i < ONSET + 30 ? 1.0f : NAN;
    follow(&d, 100);
    assert_true(toc_domain_measure(&d, with));
    for (int i = 0; i < TOC_DOMAIN_MEASURES; i++)
        if (i != 16 && i != 17 && i != 23 && i != 24 && i != 25) /* what was summed over components stays summed */
            assert_true(fabsf(with[i] - without[i]) < 1e-4f);
}

static void nothing_changes_after_four_seconds(void **state)
{
    struct toc_verdict a, b;
    (void)state;
    noise(6);
    add_local(10);
    a = after(TOC_DOMAIN_ROWS_MAX);
    b = after(TOC_DOMAIN_ROWS_MAX + 15);
    assert_memory_equal(&a, &b, sizeof a);
}

/* How often `kind` is said of 20 cases, `rows` after the onset. */
static int times(enum toc_domain_class kind, int rows, void (*add)(void))
{
    int n = 0;
    for (uint64_t k = 1; k <= 20; k++) {
        noise(100 + k);
        add();
        n += after(rows).kind == kind;
    }
    return n;
}

static void local(void)
{
    add_local(12);
}

static void far_away(void)
{
    quiet_site();
    add_far(60);
}

static void spike(void)
{
    ground[ONSET + 3][TOC_Z] += 200;
}

static void step(void)
{
    for (int i = ONSET + 2; i < ROWS; i++)
        ground[i][TOC_Z] += 300;
}

static void square(void)
{
    for (int i = ONSET; i < ONSET + 100; i++)
        for (int c = 0; c < 3; c++)
            ground[i][c] += 150;
}

static void plain_cases(void **state)
{
    (void)state;
    assert_in_range(times(TOC_DOMAIN_LOCAL, 30, local), 18, 20);
    assert_in_range(times(TOC_DOMAIN_LOCAL, 200, local), 18, 20);
    assert_in_range(times(TOC_DOMAIN_TELESEISM, 150, far_away), 18, 20);
    assert_in_range(times(TOC_DOMAIN_CALIBRATION, 60, spike), 18, 20);
    assert_in_range(times(TOC_DOMAIN_CALIBRATION, 60, step), 18, 20);
    assert_in_range(times(TOC_DOMAIN_CALIBRATION, 60, square), 18, 20);
}

static void every_class_has_a_name(void **state)
{
    (void)state;
    for (int a = 0; a < TOC_DOMAIN_CLASSES; a++)
        for (int b = 0; b < a; b++)
            assert_string_not_equal(toc_domain_str((enum toc_domain_class)a), toc_domain_str((enum toc_domain_class)b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_are_as_designed),     cmocka_unit_test(gain_and_offset_drop_out),
        cmocka_unit_test(says_nothing_without_enough), cmocka_unit_test(hostile_rows_do_no_harm),
        cmocka_unit_test(a_missing_component_is_left_out), cmocka_unit_test(nothing_changes_after_four_seconds),
        cmocka_unit_test(plain_cases),                 cmocka_unit_test(every_class_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
