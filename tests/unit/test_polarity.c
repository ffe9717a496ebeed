/* core/polarity: a clear first motion is named, and nothing else is. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <cmocka.h>

#include "core/polarity.h"

static float trace[TOC_POLARITY_ROWS];
static uint32_t random_state;

static double next_random(void) /* xorshift32 (Marsaglia 2003), to -1..1 */
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state / 2147483648.0 - 1.0;
}

/* Noise of scatter 1 about `offset`, none beyond 3. */
static void noise(uint32_t seed, double offset)
{
    random_state = seed * 2654435761u + 1u;
    for (int i = 0; i < TOC_POLARITY_ROWS; i++)
        trace[i] = (float)(offset + next_random() + next_random() + next_random());
}

/* A sine of 5 Hz from `at` samples after the onset on. */
static void wave(int at, double amplitude)
{
    for (int i = TOC_POLARITY_BEFORE + at; i < TOC_POLARITY_ROWS; i++)
        trace[i] += (float)(amplitude * sin(0.31415927 * (i - TOC_POLARITY_BEFORE - at)));
}

static void a_clear_first_motion_is_named(void **state)
{
    int said = 0;

    (void)state;
    for (uint32_t seed = 1; seed <= 200; seed++)
        for (int sign = -1; sign <= 1; sign += 2)
            for (int at = -4; at <= 10; at += 7) { /* the pick is early or late */
                noise(seed, 1000);
                wave(at, sign * 40);
                int8_t got = toc_polarity(trace);
                assert_true(got == sign || got == 0); /* 0: the noise before was not quiet enough */
                said += got != 0;
            }
    assert_true(said > 1100); /* of 1200 */
}

static void what_is_not_clear_is_not_named(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 200; seed++) {
        noise(seed, 0);
        assert_int_equal(toc_polarity(trace), 0); /* noise */
        wave(0, 10);
        assert_int_equal(toc_polarity(trace), 0); /* too weak to trust */
        noise(seed, 0);
        wave(0, 4.5);
        wave(10, -200); /* the first swing is a trifle beside what follows */
        assert_int_equal(toc_polarity(trace), 0);
        noise(seed, 0);
        wave(-30, 40); /* the pick is far too late: the sample there is no first motion */
        assert_int_equal(toc_polarity(trace), 0);
        noise(seed, 0);
        trace[TOC_POLARITY_BEFORE] += 100; /* a spike */
        assert_int_equal(toc_polarity(trace), 0);
    }
}

static void rubbish_is_unclear(void **state)
{
    (void)state;
    for (int i = 0; i < TOC_POLARITY_ROWS; i++)
        trace[i] = i < TOC_POLARITY_BEFORE ? 5.0f : 500.0f; /* no noise at all */
    assert_int_equal(toc_polarity(trace), 0);
    for (int at = 0; at < TOC_POLARITY_ROWS; at++) {
        noise(3, 0);
        wave(0, 40);
        trace[at] = at % 2 ? NAN : INFINITY;
        assert_int_equal(toc_polarity(trace), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clear_first_motion_is_named),
        cmocka_unit_test(what_is_not_clear_is_not_named),
        cmocka_unit_test(rubbish_is_unclear),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
