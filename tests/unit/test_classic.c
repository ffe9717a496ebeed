/*
 * core/classic: onsets put into noise are found where they were put and
 * declared when the header says; what is no onset is not.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>

#include "core/classic.h"
#include "core/filter.h"

#define FIRST INT64_C(156226162900) /* grid index of 2019-07-04T17:33:49Z */
enum { N = 12000, MAX_PICKS = 32 };

static float trace[N];
static struct toc_pick picks[MAX_PICKS];
static size_t n_picks;
static uint32_t random_state;

static double next_random(void) /* xorshift32 (Marsaglia 2003), to -1..1 */
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state / 2147483648.0 - 1.0;
}

static void noise(uint32_t seed, double offset)
{
    random_state = seed * 2654435761u + 1u;
    for (int i = 0; i < N; i++)
        trace[i] = (float)(offset + 100 * (next_random() + next_random() + next_random()));
}

/* A burst of 6 Hz from sample `at` on, decaying with time constant `decay_s`. */
static void burst(int at, double amplitude, double decay_s)
{
    for (int i = at; i < N; i++) {
        double t = (i - at) / 100.0;

        trace[i] += (float)(amplitude * exp(-t / decay_s) * sin(6.2831853 * 6 * t + 0.5));
    }
}

static void run(void)
{
    struct toc_classic *classic = NULL;

    assert_int_equal(toc_classic_create(&classic), 0);
    n_picks = 0;
    for (int i = 0; i < N && n_picks < MAX_PICKS; i++) {
        int got = toc_classic_push(classic, trace[i], FIRST + i, &picks[n_picks]);

        assert_true(got == 0 || got == 1);
        if (got == 1)
            assert_int_equal(picks[n_picks].declared, (FIRST + i) * TOC_GRID_NS);
        n_picks += (size_t)got;
    }
    toc_classic_destroy(classic);
}

static double onset_sample(size_t i)
{
    return (double)(picks[i].time - FIRST * TOC_GRID_NS) / TOC_GRID_NS;
}

static void an_onset_is_found_in_time_and_place(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 20; seed++) {
        noise(seed, 0);
        burst(5000, 4000, 3);
        run();
        assert_int_equal(n_picks, 1);
        assert_true(fabs(onset_sample(0) - 5000) <= 5);
        assert_true(picks[0].declared <= (FIRST + 5000 + 40) * TOC_GRID_NS);
        assert_true(picks[0].declared >= (FIRST + 5000 + 10) * TOC_GRID_NS);
        assert_int_equal(picks[0].phase, TOC_PHASE_P);
        assert_int_equal(picks[0].method, TOC_METHOD_CLASSICAL);
        assert_true(picks[0].probability == TOC_CLASSIC_PROBABILITY && picks[0].sigma_s == TOC_CLASSIC_SIGMA_S);
    }
}

static void noise_is_not_picked(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 20; seed++) {
        noise(seed, 1e6); /* an offset is no step: the filter settles on the first sample */
        run();
        assert_int_equal(n_picks, 0);
    }
}

static void what_lies_outside_the_band_is_not_picked(void **state)
{
    (void)state;
    noise(3, 0);
    for (int i = 5000; i < N; i++) /* a slow swell, fifty times the noise */
        trace[i] += (float)(5000 * (1 - exp(-(i - 5000) / 200.0)) * sin(6.2831853 * 0.1 * (i - 5000) / 100));
    run();
    assert_int_equal(n_picks, 0);
}

static void it_says_what_it_heard_of_late(void **state)
{
    struct toc_classic *classic = NULL;
    struct toc_pick pick;
    float most = 0;

    (void)state;
    noise(7, 0);
    burst(5000, 4000, 0.1);
    assert_int_equal(toc_classic_create(&classic), 0);
    assert_true(toc_classic_recent(classic) == 0);
    for (int i = 0; i < 5400; i++) {
        float before = toc_classic_recent(classic);
        bool said = toc_classic_push(classic, trace[i], FIRST + i, &pick) == 1;
        float now = toc_classic_recent(classic);

        if (i > 1000 && i < 5000)
            assert_true(now > 0.3f && now < TOC_CLASSIC_TRIGGER);
        if (said)
            assert_true(pick.classical_ratio == now && now >= TOC_CLASSIC_TRIGGER);
        if (now > before && i >= 5000)
            most = now;
        if (i == 5100)
            assert_true(now == most && most > 2 * TOC_CLASSIC_TRIGGER); /* not forgotten yet */
    }
    assert_true(toc_classic_recent(classic) < 0.5f * most);
    toc_classic_reset(classic);
    assert_true(toc_classic_recent(classic) == 0);
    toc_classic_destroy(classic);
}

static void nothing_is_said_in_the_first_ten_seconds(void **state)
{
    (void)state;
    noise(4, 0);
    burst(900, 4000, 0.3);
    run();
    assert_int_equal(n_picks, 0);
    noise(4, 0);
    burst(1100, 4000, 0.3);
    run();
    assert_int_equal(n_picks, 1);
}

static void a_coda_is_one_pick_and_a_second_quake_another(void **state)
{
    (void)state;
    noise(5, 0);
    burst(3000, 20000, 8);
    run();
    assert_int_equal(n_picks, 1);
    burst(8000, 20000, 8);
    run();
    assert_int_equal(n_picks, 2);
    assert_true(fabs(onset_sample(1) - 8000) <= 5);
}

static void a_burst_soon_after_is_not_a_second_pick(void **state)
{
    (void)state;
    noise(6, 0);
    burst(5000, 4000, 2);
    burst(5200, 40000, 2); /* 2 s later, ten times as strong: an S */
    run();
    assert_int_equal(n_picks, 1);
}

static void a_gap_forgets(void **state)
{
    struct toc_classic *classic = NULL;
    struct toc_pick pick;

    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        int got = 0;

        noise(7, 0);
        burst(5000, 4000, 3);
        assert_int_equal(toc_classic_create(&classic), 0);
        for (int i = 0; i < 5400; i++) {
            if (i == 4990 && kind == 1)
                trace[i] = NAN;
            /* kind 2: a hole of one sample. Both leave less than 10 s before the burst's end. */
            got += toc_classic_push(classic, trace[i], FIRST + i + (i >= 4990 && kind == 2), &pick);
        }
        assert_int_equal(got, kind == 0 ? 1 : 0);
        toc_classic_destroy(classic);
    }
    toc_classic_destroy(NULL);
}

static void silence_and_extremes_do_no_harm(void **state)
{
    (void)state;
    for (int i = 0; i < N; i++)
        trace[i] = 0;
    run();
    assert_int_equal(n_picks, 0);
    for (int i = 5000; i < 5200; i++)
        trace[i] = i % 2 == 0 ? 3e38f : -3e38f;
    run();
    for (size_t i = 0; i < n_picks; i++)
        assert_true(picks[i].time <= picks[i].declared && picks[i].time > FIRST * TOC_GRID_NS);
    for (int i = 0; i < N; i++)
        trace[i] = 0;
    burst(5000, 1e-6, 1); /* out of digital silence */
    run();
    assert_int_equal(n_picks, 1);
    assert_true(fabs(onset_sample(0) - 5000) <= 5);
}

static void reset_is_a_new_start(void **state)
{
    struct toc_classic *classic = NULL;
    struct toc_pick pick;
    int got = 0;

    (void)state;
    noise(8, 0);
    burst(5000, 4000, 3);
    assert_int_equal(toc_classic_create(&classic), 0);
    for (int i = 0; i < 5400; i++) {
        if (i == 4500)
            toc_classic_reset(classic);
        got += toc_classic_push(classic, trace[i], FIRST + i, &pick);
    }
    assert_int_equal(got, 0); /* the burst lies in the warm-up of the new start */
    toc_classic_destroy(classic);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_onset_is_found_in_time_and_place),
        cmocka_unit_test(noise_is_not_picked),
        cmocka_unit_test(what_lies_outside_the_band_is_not_picked),
        cmocka_unit_test(it_says_what_it_heard_of_late),
        cmocka_unit_test(nothing_is_said_in_the_first_ten_seconds),
        cmocka_unit_test(a_coda_is_one_pick_and_a_second_quake_another),
        cmocka_unit_test(a_burst_soon_after_is_not_a_second_pick),
        cmocka_unit_test(a_gap_forgets),
        cmocka_unit_test(silence_and_extremes_do_no_harm),
        cmocka_unit_test(reset_is_a_new_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
