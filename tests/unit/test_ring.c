/*
 * The ring against a reference assembler: a plain array per segment,
 * first writer wins, that knows nothing of wrapping, masks or 128-bit
 * arithmetic. Thousands of random feeds, then the cases with names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/ring.h"

#define T0 INT64_C(1562261629040000000)
#define REF_SLOTS 200000
#define REF_BEFORE 20000 /* slots before the origin that a late record may name */
#define CHUNK_MAX 700

static uint64_t dice_state;

static uint32_t dice(uint32_t sides)
{
    dice_state += 0x9e3779b97f4a7c15u;
    uint64_t z = dice_state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 32) % sides;
}

struct ratio {
    int num, den;
};

static const struct ratio rates[] = {{100, 1}, {20, 1}, {40, 1},  {125, 4}, {200, 1},
                                     {100, 3}, {250, 1}, {1, 10}, {18, 7}};

static double hz(struct ratio rate)
{
    return (double)rate.num / rate.den;
}

/* ---- the reference ---- */

struct reference {
    bool open;
    struct ratio rate;
    toc_ns origin;
    int64_t capacity, read, end;
    float value[REF_SLOTS]; /* slot + REF_BEFORE */
    uint64_t offered, consumed;
};

static toc_ns reference_time(const struct reference *r, int64_t slot)
{
    return r->origin + (toc_ns)floorl((long double)slot * r->rate.den * 1e9L / r->rate.num + 0.5L);
}

static long double reference_place(const struct reference *r, toc_ns time)
{
    return (long double)(time - r->origin) * r->rate.num / r->rate.den / 1e9L;
}

static void reference_open(struct reference *r, struct ratio rate, toc_ns origin)
{
    r->open = true;
    r->rate = rate;
    r->origin = origin;
    for (int i = 0; i < REF_SLOTS; i++)
        r->value[i] = NAN;
}

static void reference_push(struct reference *r, struct ratio rate, const struct toc_chunk *chunk)
{
    int64_t first = 0, last = chunk->n, slot = 0;
    bool same = r->open && rate.num == r->rate.num && rate.den == r->rate.den;
    while (last > 0 && !isfinite(chunk->samples[last - 1]))
        last--;
    while (first < last && !isfinite(chunk->samples[first]))
        first++;
    if (first == last)
        return;
    for (int64_t i = first; i < last; i++)
        r->offered += isfinite(chunk->samples[i]) ? 1 : 0;
    if (r->open) {
        long double place = reference_place(r, chunk->start);
        slot = fabsl(place - (long double)r->end) <= 0.75L ? r->end : (int64_t)floorl(place + 0.5L);
    }
    if (!r->open || slot + first >= r->end + r->capacity || (slot + first >= r->end && !same)) {
        reference_open(r, rate, chunk->start);
        slot = 0;
        r->read = r->end = first;
    } else if (!same) {
        return;
    }
    for (int64_t i = first; i < last; i++) {
        if (!isfinite(chunk->samples[i]) || slot + i < r->read)
            continue;
        assert_in_range(slot + i + REF_BEFORE, 0, REF_SLOTS - 1);
        float *place = &r->value[slot + i + REF_BEFORE];
        if (isnan(*place))
            *place = chunk->samples[i];
    }
    if (slot + last > r->end)
        r->end = slot + last;
    if (r->end - r->capacity > r->read)
        r->read = r->end - r->capacity;
}

static float reference_at(const struct reference *r, int64_t slot)
{
    return r->value[slot + REF_BEFORE];
}

/* ---- reading both side by side ---- */

static bool read_some(struct toc_ring *ring, struct reference *r, bool everything)
{
    const float *samples = NULL;
    uint32_t n = 0;
    toc_ns start = 0;
    enum toc_ring_next next = toc_ring_peek(ring, &samples, &n, &start);
    if (next == TOC_RING_EMPTY) {
        assert_true(!r->open || r->read == r->end);
        return false;
    }
    assert_true(r->open && r->read < r->end);
    assert_int_equal(start, reference_time(r, r->read));
    assert_int_equal(start, toc_ring_position(ring));
    assert_true(n >= 1 && r->read + n <= r->end);
    for (uint32_t i = 0; i < n; i++) {
        float want = reference_at(r, r->read + i);
        assert_int_equal(isnan(want), next == TOC_RING_GAP);
        if (next == TOC_RING_SAMPLES)
            assert_true(samples[i] == want);
    }
    if (next == TOC_RING_GAP) /* a hole is told whole */
        assert_true(r->read + n < r->end && !isnan(reference_at(r, r->read + n)));
    uint32_t step = everything || dice(2) ? n : 1 + dice(n);
    toc_ring_consume(ring, step);
    r->read += step;
    r->consumed += next == TOC_RING_SAMPLES ? step : 0;
    return true;
}

/* ---- random feeds ---- */

struct feed {
    struct ratio rate;
    toc_ns next; /* time where the stream goes on */
};

static float truth(int64_t tick)
{
    return (float)((tick * 2654435761u) % 100003) - 50000.0f;
}

static toc_ns samples_long(struct ratio rate, long double n)
{
    return (toc_ns)llroundl(n * rate.den * 1e9L / rate.num);
}

/* Offsets in samples keep clear of the edges of the rules (1/2, 3/4), where rounding of times decides. */
static long double a_phase(void)
{
    static const long double phases[] = {0.0L,   0.01L, -0.02L, 0.2L, -0.3L, 0.45L,
                                         -0.45L, 0.6L,  -0.6L,  0.7L, -0.8L, 0.9L};
    return phases[dice(12)];
}

static struct toc_chunk a_chunk(struct feed *feed, const struct reference *r, float *samples)
{
    uint32_t n = 1 + dice(dice(8) == 0 ? CHUNK_MAX : 60);
    long double shift = 0;
    bool keeps = true; /* the stream goes on behind this record */
    switch (dice(12)) {
    case 0: shift = dice(200); break;                               /* gap */
    case 1: case 2: shift = -(long double)dice(300); keeps = false; break; /* late, duplicate, overlap */
    case 3: shift = a_phase(); break;
    case 4: shift = a_phase() - dice(100); keeps = false; break;
    case 5: shift = a_phase() + dice(50); break;
    default: break;
    }
    uint32_t odd = dice(400);
    if (odd == 0)
        shift = (long double)r->capacity * (1 + dice(3));
    if (odd == 1)
        shift = -(long double)r->capacity * (1 + dice(2));
    if (odd == 2 || odd == 3)
        feed->rate = rates[dice(sizeof rates / sizeof rates[0])];
    toc_ns start = feed->next + samples_long(feed->rate, shift);
    for (uint32_t i = 0; i < n; i++) {
        toc_ns time = start + samples_long(feed->rate, i);
        samples[i] = truth((int64_t)llroundl((long double)(time - T0) * hz(feed->rate) / 1e9L));
    }
    if (dice(10) == 0)
        for (uint32_t i = 0; i < n; i++)
            samples[i] += dice(3) == 0 ? 1.0f : 0.0f; /* conflict */
    if (dice(10) == 0)
        for (uint32_t i = 0, k = dice(n); i < dice(20) && k + i < n; i++)
            samples[k + i] = dice(2) ? NAN : INFINITY;
    if (keeps)
        feed->next = start + samples_long(feed->rate, n);
    return (struct toc_chunk){.start = start, .rate_hz = hz(feed->rate), .n = n, .samples = samples};
}

static void tally(struct toc_ring_counts *total, const struct toc_ring_counts *one)
{
    total->stored += one->stored;
    total->duplicate += one->duplicate;
    total->conflict += one->conflict;
    total->late += one->late;
    total->lost += one->lost;
}

static void one_feed(uint64_t seed, struct reference *r, struct toc_ring_counts *total, uint32_t *restarts)
{
    float samples[CHUNK_MAX];
    dice_state = seed;
    struct feed feed = {rates[dice(sizeof rates / sizeof rates[0])], T0};
    struct toc_ring *ring;
    struct toc_ring_counts sum = {0};
    memset(r, 0, offsetof(struct reference, value));
    r->offered = r->consumed = 0;
    r->capacity = 50 + dice(900);
    assert_int_equal(toc_ring_create((uint32_t)r->capacity, &ring), 0);
    uint32_t patience = 1 + dice(6);
    for (int i = 0; i < 60; i++) {
        struct toc_ring_counts counts;
        struct toc_chunk chunk = a_chunk(&feed, r, samples);
        enum toc_ring_result result = toc_ring_push(ring, &chunk, &counts);
        reference_push(r, feed.rate, &chunk);
        *restarts += result == TOC_RING_RESTARTED;
        assert_true((counts.stored > 0) == (result == TOC_RING_STORED || result == TOC_RING_RESTARTED));
        if (r->open)
            assert_int_equal(toc_ring_end(ring), reference_time(r, r->end));
        tally(&sum, &counts);
        if (dice(patience) == 0)
            while (dice(6) != 0 && read_some(ring, r, false))
                ;
    }
    while (read_some(ring, r, true))
        ;
    /* every finite sample has exactly one fate */
    assert_int_equal(r->offered, r->consumed + sum.duplicate + sum.conflict + sum.late + sum.lost);
    tally(total, &sum);
    toc_ring_destroy(ring);
}

static void test_random_feeds_equal_reference(void **state)
{
    struct reference *r = malloc(sizeof *r);
    struct toc_ring_counts total = {0};
    uint32_t restarts = 0;
    (void)state;
    assert_non_null(r);
    for (uint64_t seed = 1; seed <= 4000; seed++)
        one_feed(seed, r, &total, &restarts);
    /* the feeds must really hold what the test is about */
    assert_true(total.stored > 1000000 && total.duplicate > 10000 && total.conflict > 10000 && total.late > 10000);
    assert_true(total.lost > 10000 && restarts > 500);
    free(r);
}

/* ---- cases with names ---- */

static struct toc_chunk chunk_of(const float *samples, uint32_t n, toc_ns start, double rate_hz)
{
    return (struct toc_chunk){.start = start, .rate_hz = rate_hz, .n = n, .samples = samples, .timing_quality = -1};
}

static enum toc_ring_result put(struct toc_ring *ring, float first, uint32_t n, toc_ns start, double rate_hz,
                                struct toc_ring_counts *ret_counts)
{
    float samples[200];
    for (uint32_t i = 0; i < n; i++)
        samples[i] = first + (float)i;
    struct toc_chunk chunk = chunk_of(samples, n, start, rate_hz);
    return toc_ring_push(ring, &chunk, ret_counts);
}

static void test_new_ring_is_empty(void **state)
{
    struct toc_ring *ring;
    const float *samples;
    uint32_t n;
    toc_ns start;
    (void)state;
    assert_int_equal(toc_ring_create(100, &ring), 0);
    assert_int_equal(toc_ring_peek(ring, &samples, &n, &start), TOC_RING_EMPTY);
    assert_int_equal(toc_ring_end(ring), TOC_NS_NONE);
    assert_int_equal(toc_ring_position(ring), TOC_NS_NONE);
    assert_true(toc_ring_rate(ring) == 0.0);
    toc_ring_consume(ring, 5);
    assert_int_equal(toc_ring_peek(ring, &samples, &n, &start), TOC_RING_EMPTY);
    toc_ring_destroy(ring);
    toc_ring_destroy(NULL);
}

static void test_gap_then_late_fill(void **state)
{
    struct toc_ring *ring;
    struct toc_ring_counts c;
    const float *samples;
    uint32_t n;
    toc_ns start;
    (void)state;
    assert_int_equal(toc_ring_create(100, &ring), 0);
    assert_int_equal(put(ring, 0, 10, T0, 100, &c), TOC_RING_STORED);
    assert_int_equal(put(ring, 20, 10, T0 + 200000000, 100, &c), TOC_RING_STORED);
    toc_ring_consume(ring, 10);
    assert_int_equal(toc_ring_peek(ring, &samples, &n, &start), TOC_RING_GAP);
    assert_int_equal(n, 10);
    assert_null(samples);
    assert_int_equal(start, T0 + 100000000);
    assert_int_equal(put(ring, 10, 10, T0 + 100000000, 100, &c), TOC_RING_STORED);
    assert_int_equal(toc_ring_peek(ring, &samples, &n, &start), TOC_RING_SAMPLES);
    assert_int_equal(n, 20);
    for (int i = 0; i < 20; i++)
        assert_true(samples[i] == (float)(10 + i));
    toc_ring_destroy(ring);
}

static void test_gap_passed_stays_passed(void **state)
{
    struct toc_ring *ring;
    struct toc_ring_counts c;
    const float *samples;
    uint32_t n;
    toc_ns start;
    (void)state;
    assert_int_equal(toc_ring_create(100, &ring), 0);
    put(ring, 0, 10, T0, 100, &c);
    put(ring, 20, 10, T0 + 200000000, 100, &c);
    toc_ring_consume(ring, 10);
    toc_ring_consume(ring, 10); /* the hole */
    assert_int_equal(put(ring, 5, 15, T0 + 50000000, 100, &c), TOC_RING_STALE);
    assert_int_equal(c.late, 10);
    assert_int_equal(c.duplicate, 5); /* read, but still known */
    assert_int_equal(toc_ring_peek(ring, &samples, &n, &start), TOC_RING_SAMPLES);
    assert_true(n == 10 && samples[0] == 20.0f);
    toc_ring_destroy(ring);
}

static void test_first_writer_wins(void **state)
{
    struct toc_ring *ring;
    struct toc_ring_counts c;
    const float *samples;
    uint32_t n;
    toc_ns start;
    (void)state;
    assert_int_equal(toc_ring_create(100, &ring), 0);
    put(ring, 0, 10, T0, 100, &c);
    assert_int_equal(put(ring, 0, 10, T0, 100, &c), TOC_RING_DUPLICATE);
    assert_int_equal(c.duplicate, 10);
    assert_int_equal(put(ring, 500, 12, T0, 100, &c), TOC_RING_STORED);
    assert_int_equal(c.conflict, 10);
    assert_int_equal(c.stored, 2);
    toc_ring_peek(ring, &samples, &n, &start);
    assert_int_equal(n, 12);
    assert_true(samples[9] == 9.0f && samples[10] == 510.0f);
    toc_ring_destroy(ring);
}

static void test_nan_is_gap_and_can_be_filled(void **state)
{
    struct toc_ring *ring;
    struct toc_ring_counts c;
    const float *out;
    uint32_t n;
    toc_ns start;
    float with_nan[6] = {NAN, 1, NAN, INFINITY, 4, NAN}, all_nan[3] = {NAN, -INFINITY, NAN};
    struct toc_chunk chunk = chunk_of(with_nan, 6, T0, 100), none = chunk_of(all_nan, 3, T0 + 30000000, 100);
    (void)state;
    assert_int_equal(toc_ring_create(100, &ring), 0);
    assert_int_equal(toc_ring_push(ring, &none, &c), TOC_RING_STALE);
    assert_int_equal(toc_ring_push(ring, &chunk, &c), TOC_RING_STORED);
    assert_int_equal(c.stored, 2);
    assert_int_equal(toc_ring_position(ring), T0 + 10000000);
    assert_int_equal(toc_ring_end(ring), T0 + 50000000);
    assert_int_equal(toc_ring_peek(ring, &out, &n, &start), TOC_RING_SAMPLES);
    assert_int_equal(n, 1);
    toc_ring_consume(ring, 1);
    assert_int_equal(toc_ring_peek(ring, &out, &n, &start), TOC_RING_GAP);
    assert_int_equal(n, 2);
    assert_int_equal(put(ring, 2, 2, T0 + 20000000, 100, &c), TOC_RING_STORED);
    assert_int_equal(toc_ring_peek(ring, &out, &n, &start), TOC_RING_SAMPLES);
    assert_int_equal(n, 3);
    toc_ring_destroy(ring);
}

static void test_rate_change_restarts_only_forward(void **state)
{
    struct toc_ring *ring;
    struct toc_ring_counts c;
    (void)state;
    assert_int_equal(toc_ring_create(100, &ring), 0);
    put(ring, 0, 50, T0, 100, &c);
    toc_ring_consume(ring, 20);
    assert_int_equal(put(ring, 0, 50, T0 + 100000000, 50, &c), TOC_RING_STALE); /* late, other rate */
    assert_int_equal(c.late, 50);
    assert_int_equal(put(ring, 0, 50, T0 + 500000000, 50, &c), TOC_RING_RESTARTED);
    assert_int_equal(c.lost, 30);
    assert_int_equal(c.stored, 50);
    assert_true(toc_ring_rate(ring) == 50.0);
    assert_int_equal(toc_ring_position(ring), T0 + 500000000);
    assert_int_equal(toc_ring_end(ring), T0 + 1500000000);
    /* a rate that is only measured a little differently is no change */
    assert_int_equal(put(ring, 0, 10, T0 + 1500000000, 50.001, &c), TOC_RING_STORED);
    assert_true(toc_ring_rate(ring) == 50.0);
    toc_ring_destroy(ring);
}

static void test_jump_longer_than_ring_restarts(void **state)
{
    struct toc_ring *ring;
    struct toc_ring_counts c;
    (void)state;
    assert_int_equal(toc_ring_create(100, &ring), 0);
    put(ring, 0, 10, T0, 100, &c);
    assert_int_equal(put(ring, 0, 10, T0 + 1090000000, 100, &c), TOC_RING_STORED); /* 99 slots of hole */
    assert_int_equal(c.lost, 10); /* made room */
    assert_int_equal(put(ring, 0, 10, T0 + 2190000000 + 3333333, 100, &c), TOC_RING_RESTARTED);
    assert_int_equal(c.lost, 10);
    assert_int_equal(toc_ring_position(ring), T0 + 2190000000 + 3333333); /* the phase is the new one's */
    toc_ring_destroy(ring);
}

static void test_slow_reader_loses_the_oldest(void **state)
{
    struct toc_ring *ring;
    struct toc_ring_counts c;
    const float *samples;
    uint32_t n, lost = 0;
    toc_ns start;
    (void)state;
    assert_int_equal(toc_ring_create(100, &ring), 0);
    for (int i = 0; i < 5; i++) {
        put(ring, (float)(50 * i), 50, T0 + i * INT64_C(500000000), 100, &c);
        lost += c.lost;
    }
    assert_int_equal(lost, 150);
    assert_int_equal(toc_ring_position(ring), T0 + 1500000000);
    assert_int_equal(toc_ring_peek(ring, &samples, &n, &start), TOC_RING_SAMPLES);
    assert_true(samples[0] == 150.0f);
    /* the slot just overwritten is late, not compared with what lies there now */
    assert_int_equal(put(ring, 0, 1, T0 + 1490000000, 100, &c), TOC_RING_STALE);
    assert_int_equal(c.late, 1);
    toc_ring_destroy(ring);
}

/* A clock 20 ppm off the stated rate, with jitter: tears once per lost sample, never flutters. */
static void test_drifting_clock_tears_seldom(void **state)
{
    struct toc_ring *ring;
    struct toc_ring_counts c;
    const float *samples;
    uint32_t n, gaps = 0, conflicts = 0;
    toc_ns start;
    (void)state;
    dice_state = 7;
    assert_int_equal(toc_ring_create(1000, &ring), 0);
    for (int64_t record = 0; record < 5000; record++) { /* 5000 s: 10 samples of drift at 100 Hz */
        toc_ns jitter = (toc_ns)dice(2000000) - 1000000;
        put(ring, (float)record, 100, T0 + record * INT64_C(1000020000) + jitter, 100, &c);
        conflicts += c.conflict;
        for (;;) {
            enum toc_ring_next next = toc_ring_peek(ring, &samples, &n, &start);
            if (next == TOC_RING_EMPTY)
                break;
            gaps += next == TOC_RING_GAP;
            toc_ring_consume(ring, n);
        }
        assert_true(llabs(toc_ring_end(ring) - (T0 + (record + 1) * INT64_C(1000020000))) < 10000000);
    }
    assert_in_range(gaps, 8, 12);
    assert_int_equal(conflicts, 0);
    toc_ring_destroy(ring);
}

/* A thousand million samples on: times still exact to the nanosecond. */
static void test_times_do_not_drift(void **state)
{
    static const struct ratio odd[] = {{100, 3}, {100, 1}};
    (void)state;
    for (int k = 0; k < 2; k++) {
        struct toc_ring *ring;
        struct toc_ring_counts c;
        uint32_t stride = 900000;
        assert_int_equal(toc_ring_create(1000000, &ring), 0);
        put(ring, 0, 1, T0, hz(odd[k]), &c);
        for (int64_t slot = stride; slot <= INT64_C(1000000000); slot += stride) {
            toc_ns time = T0 + (slot * INT64_C(1000000000) / odd[k].num) * odd[k].den;
            toc_ring_consume(ring, UINT32_MAX);
            assert_int_equal(put(ring, 1, 1, time, hz(odd[k]), &c), TOC_RING_STORED);
            /* 1e9 / 100 leaves no remainder: this end time is exact */
            assert_int_equal(toc_ring_end(ring), time + INT64_C(1000000000) * odd[k].den / odd[k].num);
        }
        toc_ring_destroy(ring);
    }
}

static void test_impossible_chunks_are_refused(void **state)
{
    static const double bad[] = {0.0, -100.0, NAN, INFINITY, 1e-9, 1e12};
    struct toc_ring *ring;
    struct toc_ring_counts c;
    (void)state;
    assert_int_equal(toc_ring_create(100, &ring), 0);
    for (int i = 0; i < 6; i++)
        assert_int_equal(put(ring, 0, 10, T0, bad[i], &c), TOC_RING_STALE);
    assert_int_equal(put(ring, 0, 0, T0, 100, &c), TOC_RING_STALE);
    assert_int_equal(put(ring, 0, 10, INT64_MAX, 100, &c), TOC_RING_STALE);
    assert_int_equal(put(ring, 0, 10, INT64_MIN, 100, &c), TOC_RING_STALE);
    assert_int_equal(toc_ring_end(ring), TOC_NS_NONE);
    put(ring, 0, 10, T0, 100, &c);
    assert_int_equal(put(ring, 0, 10, -T0, 100, &c), TOC_RING_STALE); /* half a century late */
    assert_int_equal(c.late, 10);
    assert_int_equal(toc_ring_position(ring), T0);
    toc_ring_destroy(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_feeds_equal_reference),
        cmocka_unit_test(test_new_ring_is_empty),
        cmocka_unit_test(test_gap_then_late_fill),
        cmocka_unit_test(test_gap_passed_stays_passed),
        cmocka_unit_test(test_first_writer_wins),
        cmocka_unit_test(test_nan_is_gap_and_can_be_filled),
        cmocka_unit_test(test_rate_change_restarts_only_forward),
        cmocka_unit_test(test_jump_longer_than_ring_restarts),
        cmocka_unit_test(test_slow_reader_loses_the_oldest),
        cmocka_unit_test(test_drifting_clock_tears_seldom),
        cmocka_unit_test(test_times_do_not_drift),
        cmocka_unit_test(test_impossible_chunks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
