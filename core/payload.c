/*
 * Steim by table. A word's two-bit code and, in Steim2, its own top two bits
 * say how many differences it holds and how wide they are. What comes next
 * is noise to a branch predictor, so no branch asks: each word is spread to
 * eight lanes by the multipliers of its layout, and the next word is written
 * behind the lanes that count. Differences become samples frame by frame.
 * All sums are unsigned: forged differences may overflow as they like.
 *
 * Vectors are the compiler's own (gcc and clang lower them for any CPU).
 */
#include "core/payload.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <string.h>

#define FRAME_BYTES 64
#define FRAME_WORDS 16
#define FRAME_DIFFERENCES (15 * 7)
#define LANES 8 /* written for each word; at most 7 count */

typedef uint32_t vec __attribute__((vector_size(16)));
typedef int32_t vec_signed __attribute__((vector_size(16)));
typedef float vec_float __attribute__((vector_size(16)));

/*
 * How differences lie in a word. Multiplying by 2^left brings one to the top, the shift right brings it down with its
 * sign. `right` is 32 - width.
 */
struct layout {
    uint32_t n; /* differences that count */
    int right;
    uint32_t multiplier[LANES];
};

/*
 * Widths fill a word from the top down. In a little-endian payload, bytes and 16-bit halves lie in the order of their
 * addresses, so a word read as one number has them from the bottom up.
 */
enum form { NONE, F1X32, F1X30, F2X16, F2X15, F3X10, F4X8, F5X6, F6X5, F7X4, F2X16_UP, F4X8_UP, NO_SUCH_FORM };

#define LEFT(bits) (UINT32_C(1) << (bits))
static const struct layout layouts[] = {
    [NONE] = {0, 0, {0}},
    [F1X32] = {1, 0, {LEFT(0)}},
    [F1X30] = {1, 2, {LEFT(2)}},
    [F2X16] = {2, 16, {LEFT(0), LEFT(16)}},
    [F2X15] = {2, 17, {LEFT(2), LEFT(17)}},
    [F3X10] = {3, 22, {LEFT(2), LEFT(12), LEFT(22)}},
    [F4X8] = {4, 24, {LEFT(0), LEFT(8), LEFT(16), LEFT(24)}},
    [F5X6] = {5, 26, {LEFT(2), LEFT(8), LEFT(14), LEFT(20), LEFT(26)}},
    [F6X5] = {6, 27, {LEFT(2), LEFT(7), LEFT(12), LEFT(17), LEFT(22), LEFT(27)}},
    [F7X4] = {7, 28, {LEFT(4), LEFT(8), LEFT(12), LEFT(16), LEFT(20), LEFT(24), LEFT(28)}},
    [F2X16_UP] = {2, 16, {LEFT(16), LEFT(0)}},
    [F4X8_UP] = {4, 24, {LEFT(24), LEFT(16), LEFT(8), LEFT(0)}},
};

/* Form of a word by (code << 2 | its top two bits). */
#define FOUR(form) form, form, form, form
#define STEIM1(bytes, halves) FOUR(NONE), FOUR(bytes), FOUR(halves), FOUR(F1X32)
#define STEIM2(bytes) FOUR(NONE), FOUR(bytes), NO_SUCH_FORM, F1X30, F2X15, F3X10, F5X6, F6X5, F7X4, NO_SUCH_FORM
static const uint8_t steim1_big[16] = {STEIM1(F4X8, F2X16)}, steim1_little[16] = {STEIM1(F4X8_UP, F2X16_UP)};
static const uint8_t steim2_big[16] = {STEIM2(F4X8)}, steim2_little[16] = {STEIM2(F4X8_UP)};

size_t toc_payload_capacity(int encoding, size_t len)
{
    size_t words = len / FRAME_BYTES * 15; /* one word of each frame holds the codes */
    words -= words >= 2 ? 2 : 0;           /* the first frame also states its first and last sample */
    switch (encoding) {
    case TOC_ENCODING_INT16:
        return len / 2;
    case TOC_ENCODING_INT32:
    case TOC_ENCODING_FLOAT32:
        return len / 4;
    case TOC_ENCODING_FLOAT64:
        return len / 8;
    case TOC_ENCODING_STEIM1:
        return words * 4;
    case TOC_ENCODING_STEIM2:
        return words * 7;
    default:
        return 0;
    }
}

/* The byte order is constant where these are inlined: one load, one swap. */
#define INLINE static inline __attribute__((always_inline))

INLINE uint32_t load16(const uint8_t *p, bool big)
{
    return big ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

INLINE uint32_t load32(const uint8_t *p, bool big)
{
    return big ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
               : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

INLINE uint64_t load64(const uint8_t *p, bool big)
{
    uint64_t first = load32(p, big), second = load32(p + 4, big);
    return big ? first << 32 | second : second << 32 | first;
}

INLINE vec load_vec(const uint32_t *p)
{
    vec v;
    memcpy(&v, p, sizeof(v));
    return v;
}

INLINE void spread(uint32_t word, const struct layout *layout, uint32_t ret_lanes[LANES])
{
    for (int k = 0; k < LANES; k += 4) {
        vec_signed lanes = (vec_signed)(word * load_vec(layout->multiplier + k)) >> layout->right;
        memcpy(ret_lanes + k, &lanes, sizeof(lanes));
    }
}

/* Differences of one frame, from word `first` on, until `wanted` are there. @return how many, -1 on a bad form */
INLINE int unpack_frame(const uint8_t *frame, uint32_t first, bool big, const uint8_t forms[16], uint32_t wanted,
                        uint32_t ret_differences[FRAME_DIFFERENCES + LANES])
{
    uint32_t codes = load32(frame, big) << 2 * first, n = 0;
    for (uint32_t w = first; w < FRAME_WORDS && n < wanted; w++, codes <<= 2) {
        uint32_t word = load32(frame + 4 * w, big);
        enum form form = forms[codes >> 30 << 2 | word >> 30];
        if (form == NO_SUCH_FORM) {
            return -1;
        }
        spread(word, &layouts[form], ret_differences + n);
        n += layouts[form].n;
    }
    memset(ret_differences + n, 0, 4 * sizeof(*ret_differences));
    return (int)n;
}

/*
 * Running sums, four at a time: sample i is sample i-4 and the four differences since. `differences` has three zeros
 * before it, which is what "before the first" adds. @return the last of the n sums
 */
INLINE uint32_t integrate(const uint32_t *differences, uint32_t n, uint32_t level, float *ret_samples)
{
    vec sums = {level, level, level, level};
    for (const uint32_t *d = differences; d < differences + n; d += 4, ret_samples += 4) {
        sums += (load_vec(d) + load_vec(d - 1)) + (load_vec(d - 2) + load_vec(d - 3));
        vec_float samples = __builtin_convertvector((vec_signed)sums, vec_float);
        memcpy(ret_samples, &samples, sizeof(samples));
    }
    return n > 0 ? sums[(n - 1) % 4] : level;
}

/* The first difference leads here from the record before; the first frame states the first sample instead. */
INLINE int decode_steim(const uint8_t forms[16], const uint8_t *bytes, size_t len, bool big, uint32_t n,
                        float *ret_samples)
{
    uint32_t buffer[4 + FRAME_DIFFERENCES + LANES], *differences = buffer + 4;
    memset(buffer, 0, 4 * sizeof(*buffer));
    uint32_t level = 0, done = 0;
    for (size_t at = 0; at + FRAME_BYTES <= len && done < n; at += FRAME_BYTES) {
        int found = unpack_frame(bytes + at, at == 0 ? 3 : 1, big, forms, n - done, differences);
        if (found < 0) {
            return -EBADMSG;
        }
        if (done == 0) {
            differences[0] = load32(bytes + 4, big);
        }
        uint32_t take = (uint32_t)found < n - done ? (uint32_t)found : n - done;
        level = integrate(differences, take, level, ret_samples + done);
        done += take;
    }
    return done == n && level == load32(bytes + 8, big) ? 0 : -EBADMSG;
}

/* A double past the range of float is Inf, which the ring takes for a gap; the plain cast would be undefined. */
INLINE float float_from_double(double x)
{
    if (fabs(x) > FLT_MAX) {
        return x > 0 ? INFINITY : -INFINITY;
    }
    return (float)x;
}

INLINE float sample_at(int encoding, const uint8_t *bytes, bool big, size_t i)
{
    float single;
    double twofold;
    if (encoding == TOC_ENCODING_INT16) {
        return (float)(int16_t)load16(bytes + 2 * i, big);
    }
    if (encoding == TOC_ENCODING_INT32) {
        return (float)(int32_t)load32(bytes + 4 * i, big);
    }
    if (encoding == TOC_ENCODING_FLOAT32) {
        uint32_t bits = load32(bytes + 4 * i, big);
        memcpy(&single, &bits, sizeof(single));
        return single;
    }
    uint64_t bits = load64(bytes + 8 * i, big);
    memcpy(&twofold, &bits, sizeof(twofold));
    return float_from_double(twofold);
}

/* Samples of one width in a row. */
INLINE int decode_plain(int encoding, const uint8_t *bytes, bool big, uint32_t n, float *ret_samples)
{
    for (uint32_t i = 0; i < n; i++) {
        ret_samples[i] = sample_at(encoding, bytes, big, i);
    }
    return 0;
}

INLINE int decode(int encoding, const uint8_t *bytes, size_t len, bool big, uint32_t n, float *ret_samples)
{
    switch (encoding) {
    case TOC_ENCODING_INT16:
        return decode_plain(TOC_ENCODING_INT16, bytes, big, n, ret_samples);
    case TOC_ENCODING_INT32:
        return decode_plain(TOC_ENCODING_INT32, bytes, big, n, ret_samples);
    case TOC_ENCODING_FLOAT32:
        return decode_plain(TOC_ENCODING_FLOAT32, bytes, big, n, ret_samples);
    case TOC_ENCODING_FLOAT64:
        return decode_plain(TOC_ENCODING_FLOAT64, bytes, big, n, ret_samples);
    case TOC_ENCODING_STEIM1:
        return decode_steim(big ? steim1_big : steim1_little, bytes, len, big, n, ret_samples);
    default:
        return decode_steim(big ? steim2_big : steim2_little, bytes, len, big, n, ret_samples);
    }
}

int toc_payload_decode(int encoding, const uint8_t *bytes, size_t len, bool big_endian, uint32_t n, float *ret_samples)
{
    if (n == 0 || n > toc_payload_capacity(encoding, len)) {
        return -EINVAL;
    }
    return big_endian ? decode(encoding, bytes, len, true, n, ret_samples)
                      : decode(encoding, bytes, len, false, n, ret_samples);
}
