/*
 * A ring of slots on a grid of absolute time. Slot n of a segment stands at
 * origin + n / rate, computed anew each time with the rate as a fraction and
 * 128 bits between, so there is nothing to accumulate. NaN in a slot is
 * the gap mask. What was read stays until it is overwritten: a record sent twice is
 * then known as a duplicate and not taken for a late one.
 */
#include "core/ring.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * Largest numerator and denominator of a rate: the best fraction within is off by less than 1e-12 of it, and
 * slot x denominator x 1e9 stays below 2^125 for every time and rate taken.
 */
#define FRACTION_MAX (INT64_C(1) << 40)

/* Rates closer than this are one rate: digitisers that write the rate they measured must not restart at each record. */
#define SAME_RATE 1e-4

/* Absolute times a ring takes: 1678..2262 is all of int64, this is 1824..2116. */
#define TIME_LIMIT (INT64_C(1) << 62)

struct fraction {
    int64_t num, den;
};

struct toc_ring {
    uint32_t capacity;
    double rate_hz;         /* 0: nothing came yet */
    struct fraction rate;
    toc_ns origin;          /* time of slot 0 */
    int64_t read;           /* slot at the read position */
    int64_t end;            /* slot behind the newest sample; read <= end <= read + capacity */
    int64_t whole;          /* no hole from this slot on */
    float slot[];           /* by slot % capacity; holds end - capacity .. end - 1 */
};

/* The part of a chunk that is worth storing. */
struct piece {
    const float *samples;
    int64_t first; /* slot of samples[0] */
    int64_t n;
};

/* Continued fraction: every rate that is written as a ratio of 16-bit numbers, and every float, comes out exact. */
static struct fraction fraction_of(double rate_hz)
{
    struct fraction before = {0, 1}, now = {1, 0};
    double rest = rate_hz;

    for (int i = 0; i < 64; i++) {
        double whole = floor(rest);
        struct fraction next;

        if (whole * (double)now.num + (double)before.num > (double)FRACTION_MAX ||
            whole * (double)now.den + (double)before.den > (double)FRACTION_MAX)
            break;
        next.num = (int64_t)whole * now.num + before.num;
        next.den = (int64_t)whole * now.den + before.den;
        before = now;
        now = next;
        if (fabs((double)now.num / (double)now.den - rate_hz) <= rate_hz * 1e-15 || rest - whole < 1e-12)
            break;
        rest = 1.0 / (rest - whole);
    }
    return now;
}

/* Quotient rounded to nearest, halves up; the divisor is positive. */
static int64_t divide_nearest(__int128 dividend, __int128 divisor)
{
    __int128 twice = 2 * dividend + divisor;
    __int128 quotient = twice / (2 * divisor);

    return (int64_t)(quotient - (twice % (2 * divisor) < 0));
}

/* Room for a few sums and doublings is left. */
static bool fits_64(int64_t a, int64_t b, int64_t *ret_product)
{
    return !__builtin_mul_overflow(a, b, ret_product) && *ret_product < INT64_MAX / 8 && *ret_product > INT64_MIN / 8;
}

/* Quotient of non-negative numbers. */
static int64_t divide_nearest_64(int64_t dividend, int64_t divisor)
{
    return (2 * dividend + divisor) / (2 * divisor);
}

/* At a whole rate, for the first years of a segment, 64 bits do; 128 take as long as all else there is to do here. */
static toc_ns slot_time(const struct toc_ring *ring, int64_t slot)
{
    int64_t scaled;

    if (ring->rate.den == 1 && slot >= 0 && fits_64(slot, TOC_NS_PER_S, &scaled))
        return ring->origin + divide_nearest_64(scaled, ring->rate.num);
    return ring->origin + divide_nearest((__int128)slot * ring->rate.den * TOC_NS_PER_S, ring->rate.num);
}

/*
 * The slot of a record's first sample: the nearest one, but where the newest sample ends when that is within 3/4 of a
 * sample. Without this preference a feed whose clock slowly passes the half-way mark between two slots would tear at
 * every record, now a hole, now an overlap.
 */
static int64_t slot_at(const struct toc_ring *ring, toc_ns time)
{
    int64_t place, end;

    if (ring->rate.den == 1 && time >= ring->origin && fits_64(time - ring->origin, ring->rate.num, &place) &&
        fits_64(ring->end, TOC_NS_PER_S, &end)) {
        bool at_end = 4 * (place - end) <= 3 * TOC_NS_PER_S && 4 * (place - end) >= -3 * TOC_NS_PER_S;

        return at_end ? ring->end : divide_nearest_64(place, TOC_NS_PER_S);
    }
    __int128 scaled = ((__int128)time - ring->origin) * ring->rate.num;
    __int128 slot_length = (__int128)ring->rate.den * TOC_NS_PER_S;
    __int128 past_end = scaled - ring->end * slot_length;

    if (4 * past_end <= 3 * slot_length && 4 * past_end >= -3 * slot_length)
        return ring->end;
    return divide_nearest(scaled, slot_length);
}

static uint32_t index_of(const struct toc_ring *ring, int64_t slot)
{
    int64_t index = slot % ring->capacity;

    return (uint32_t)(index < 0 ? index + ring->capacity : index);
}

static uint32_t next_index(const struct toc_ring *ring, uint32_t index)
{
    return index + 1 == ring->capacity ? 0 : index + 1;
}

static void blank(struct toc_ring *ring, int64_t from, int64_t to)
{
    if (to - from > ring->capacity)
        from = to - ring->capacity;
    for (uint32_t at = index_of(ring, from); from < to; from++, at = next_index(ring, at))
        ring->slot[at] = NAN;
}

static uint32_t count_unread(const struct toc_ring *ring, int64_t before)
{
    uint32_t n = 0, at = index_of(ring, ring->read);

    for (int64_t slot = ring->read; slot < before && slot < ring->end; slot++, at = next_index(ring, at))
        n += isnan(ring->slot[at]) ? 0u : 1u;
    return n;
}

int toc_ring_create(uint32_t capacity, struct toc_ring **ret_ring)
{
    struct toc_ring *ring;

    if (capacity == 0)
        capacity = 1;
    ring = malloc(sizeof(*ring) + capacity * sizeof(ring->slot[0]));
    if (!ring)
        return -ENOMEM;
    *ring = (struct toc_ring){.capacity = capacity};
    blank(ring, 0, capacity);
    *ret_ring = ring;
    return 0;
}

void toc_ring_destroy(struct toc_ring *ring)
{
    free(ring);
}

static bool chunk_is_usable(const struct toc_chunk *chunk)
{
    return chunk->n > 0 && chunk->rate_hz >= 1e-4 && chunk->rate_hz <= 1e6 && chunk->start > -TIME_LIMIT &&
           chunk->start < TIME_LIMIT;
}

/* Leading and trailing gap is no data: it neither opens a segment nor moves its end. */
static struct piece trim(const struct toc_chunk *chunk)
{
    struct piece piece = {chunk->samples, 0, chunk->n};

    while (piece.n > 0 && !isfinite(piece.samples[piece.n - 1]))
        piece.n--;
    while (piece.n > 0 && !isfinite(piece.samples[0])) {
        piece.samples++;
        piece.first++;
        piece.n--;
    }
    return piece;
}

static uint32_t count_finite(const float *samples, int64_t n)
{
    uint32_t finite = 0;

    for (int64_t i = 0; i < n; i++)
        finite += isfinite(samples[i]) ? 1u : 0u;
    return finite;
}

static void open_segment(struct toc_ring *ring, const struct toc_chunk *chunk, int64_t first)
{
    ring->rate_hz = chunk->rate_hz;
    ring->rate = fraction_of(chunk->rate_hz);
    ring->origin = chunk->start;
    ring->read = ring->end = ring->whole = first;
    blank(ring, 0, ring->capacity);
}

static bool same_rate(const struct toc_ring *ring, double rate_hz)
{
    return fabs(rate_hz - ring->rate_hz) <= SAME_RATE * ring->rate_hz;
}

/* Room up to `end` (exclusive): what is overwritten unread is lost. The new slots are the caller's to fill. */
static void extend(struct toc_ring *ring, int64_t end, struct toc_ring_counts *counts)
{
    int64_t oldest = end - ring->capacity;

    if (oldest > ring->read) {
        counts->lost += count_unread(ring, oldest);
        ring->read = oldest;
    }
    ring->end = end;
}

/* First writer wins. Where the reader has passed, a slot can only be compared, no longer filled. */
static void store_one(struct toc_ring *ring, int64_t slot, float value, struct toc_ring_counts *counts)
{
    float *place = &ring->slot[index_of(ring, slot)];

    if (slot < ring->end - ring->capacity)
        counts->late++;
    else if (!isnan(*place) && *place == value)
        counts->duplicate++;
    else if (!isnan(*place))
        counts->conflict++;
    else if (slot < ring->read)
        counts->late++;
    else {
        *place = value;
        counts->stored++;
    }
}

/* Behind all that is stored, where every slot is new: as it lies in memory, up to the edge of the ring and on from its
 * beginning. */
static void append(struct toc_ring *ring, struct piece piece, struct toc_ring_counts *counts)
{
    uint32_t at = index_of(ring, piece.first), finite = 0;

    for (int64_t i = 0; i < piece.n; i++, at = next_index(ring, at)) {
        bool here = isfinite(piece.samples[i]);

        ring->slot[at] = here ? piece.samples[i] : NAN;
        finite += here;
    }
    counts->stored += finite;
    if (finite < piece.n)
        ring->whole = ring->end;
}

static void store(struct toc_ring *ring, struct piece piece, struct toc_ring_counts *counts)
{
    int64_t excess = piece.n - ring->capacity, old_end = ring->end;

    if (excess > 0) { /* longer than the ring: its newest part */
        counts->lost += count_finite(piece.samples, excess);
        piece.samples += excess;
        piece.first += excess;
        piece.n -= excess;
    }
    if (piece.first + piece.n > old_end)
        extend(ring, piece.first + piece.n, counts);
    if (piece.first > old_end) {
        blank(ring, old_end, piece.first);
        ring->whole = piece.first;
    }
    if (piece.first < old_end) {
        int64_t inside = old_end - piece.first < piece.n ? old_end - piece.first : piece.n;

        for (int64_t i = 0; i < inside; i++)
            if (isfinite(piece.samples[i]))
                store_one(ring, piece.first + i, piece.samples[i], counts);
        piece = (struct piece){piece.samples + inside, piece.first + inside, piece.n - inside};
    }
    append(ring, piece, counts);
}

/* Does this piece begin a new grid? Only ahead of all that is stored: an old record never throws newer data away. */
static bool restarts(const struct toc_ring *ring, const struct toc_chunk *chunk, const struct piece *piece)
{
    return piece->first >= ring->end + ring->capacity ||
           (piece->first >= ring->end && !same_rate(ring, chunk->rate_hz));
}

static enum toc_ring_result push_piece(struct toc_ring *ring, const struct toc_chunk *chunk, struct piece piece,
                                       struct toc_ring_counts *counts)
{
    enum toc_ring_result result = TOC_RING_STORED;
    int64_t lead = piece.first;

    if (ring->rate_hz == 0.0) {
        open_segment(ring, chunk, lead);
    } else {
        piece.first = slot_at(ring, chunk->start) + lead;
        if (restarts(ring, chunk, &piece)) {
            counts->lost += count_unread(ring, ring->end);
            open_segment(ring, chunk, lead);
            piece.first = lead;
            result = TOC_RING_RESTARTED;
        } else if (!same_rate(ring, chunk->rate_hz)) {
            counts->late += count_finite(piece.samples, piece.n);
            return TOC_RING_STALE;
        }
    }
    store(ring, piece, counts);
    if (result == TOC_RING_STORED && counts->stored == 0)
        result = counts->late > 0 ? TOC_RING_STALE : TOC_RING_DUPLICATE;
    return result;
}

enum toc_ring_result toc_ring_push(struct toc_ring *ring, const struct toc_chunk *chunk,
                                   struct toc_ring_counts *ret_counts)
{
    struct toc_ring_counts counts = {0};
    enum toc_ring_result result = TOC_RING_STALE;

    if (chunk_is_usable(chunk)) {
        struct piece piece = trim(chunk);

        if (piece.n > 0)
            result = push_piece(ring, chunk, piece, &counts);
    }
    *ret_counts = counts;
    return result;
}

static uint32_t gap_length(const struct toc_ring *ring, uint32_t at, uint32_t left)
{
    uint32_t n = 0;

    for (; n < left && isnan(ring->slot[at]); at = next_index(ring, at))
        n++;
    return n;
}

/* Samples are given as they lie in memory, so a run ends at the edge of the ring. */
static uint32_t run_length(const struct toc_ring *ring, uint32_t at, uint32_t left)
{
    uint32_t n = 0, room = ring->capacity - at;

    if (left > room)
        left = room;
    if (ring->read >= ring->whole)
        return left;
    for (; n < left && !isnan(ring->slot[at + n]); n++)
        ;
    return n;
}

enum toc_ring_next toc_ring_peek(const struct toc_ring *ring, const float **ret_samples, uint32_t *ret_n,
                                 toc_ns *ret_start)
{
    uint32_t left = (uint32_t)(ring->end - ring->read);
    uint32_t at = index_of(ring, ring->read);
    bool gap;

    if (left == 0)
        return TOC_RING_EMPTY;
    gap = isnan(ring->slot[at]);
    *ret_samples = gap ? NULL : ring->slot + at;
    *ret_n = gap ? gap_length(ring, at, left) : run_length(ring, at, left);
    *ret_start = slot_time(ring, ring->read);
    return gap ? TOC_RING_GAP : TOC_RING_SAMPLES;
}

void toc_ring_consume(struct toc_ring *ring, uint32_t n)
{
    int64_t left = ring->end - ring->read;

    ring->read += n < left ? n : left;
}

toc_ns toc_ring_end(const struct toc_ring *ring)
{
    return ring->rate_hz == 0.0 ? TOC_NS_NONE : slot_time(ring, ring->end);
}

double toc_ring_rate(const struct toc_ring *ring)
{
    return ring->rate_hz;
}

toc_ns toc_ring_position(const struct toc_ring *ring)
{
    return ring->rate_hz == 0.0 ? TOC_NS_NONE : slot_time(ring, ring->read);
}
