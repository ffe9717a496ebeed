/*
 * The record fence and decoder: libmseed packs, we decode; every way a
 * record can lie has its verdict; no byte sequence crashes it. Whatever the
 * fence lets pass is also decoded by libmseed, and must be the same bit for
 * bit: packed, simulated, recorded, odd and damaged records alike.
 */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/decode.h"
#include "tests/sim/scenario.h"
#include "tests/unit/allocations.h"
#include "tests/unit/libmseed_samples.h"
#include "tests/unit/make_record.h"

static struct toc_decoder *decoder;
static uint8_t record[MAKE_RECORD_MAX];
static int length;
static int32_t counts[65536];
static float floats[65536];
static double doubles[65536];
static struct libmseed_samples theirs; /* of the last record compared */
static unsigned long n_compared; /* records that libmseed decoded, or refused, as we did */

static int set_up(void **state)
{
    (void)state;
    uint64_t random = 42;
    int32_t level = 1000;
    for (int i = 0; i < 65536; i++) {
        /* Differences of every size that Steim1 and Steim2 know (up to 30 bits for Steim2), in runs. */
        int bits = 4 + (i / 37) % 24;
        int32_t step = (int32_t)(make_random(&random) & ((1u << bits) - 1)) - (1 << (bits - 1));
        level = (level > (1 << 28)) ? level - abs(step) : (level < -(1 << 28)) ? level + abs(step) : level + step;
        counts[i] = level;
        floats[i] = (float)level * 0.37f;
        doubles[i] = (double)level * 1e-3;
    }
    return toc_decoder_create(&decoder);
}

static int tear_down(void **state)
{
    (void)state;
    toc_decoder_destroy(decoder);
    toc_decoder_destroy(NULL);
    return 0;
}

static int pack(struct make_record spec, int n)
{
    static int16_t narrow[65536];
    static int32_t wide[65536];
    spec.n = n;
    spec.samples = spec.encoding == 4 ? (const void *)floats : spec.encoding == 5 ? (const void *)doubles : counts;
    if (spec.encoding == 1) {
        for (int i = 0; i < n; i++) {
            narrow[i] = (int16_t)counts[i];
            wide[i] = narrow[i];
        }
        spec.samples = wide;
    }
    return make_record(&spec, record, &length);
}

/* Decode, and hold the samples (or the refusal of the payload) against libmseed's. */
static enum toc_decode_verdict decode_and_compare(const uint8_t *bytes, size_t len, struct toc_chunk *ret_chunk)
{
    enum toc_decode_verdict verdict = toc_decode_record(decoder, bytes, len, ret_chunk);
    if (verdict == TOC_DECODE_OK || verdict == TOC_DECODE_PAYLOAD) {
        libmseed_decode(bytes, &theirs);
        assert_int_equal(theirs.good, verdict == TOC_DECODE_OK);
        n_compared++;
    }
    if (verdict == TOC_DECODE_OK) {
        assert_int_equal(theirs.n, ret_chunk->n);
        assert_memory_equal(theirs.samples, ret_chunk->samples, ret_chunk->n * sizeof(float));
    }
    return verdict;
}

static enum toc_decode_verdict decode(struct toc_chunk *ret_chunk)
{
    return decode_and_compare(record, (size_t)length, ret_chunk);
}

static void assert_verdict_named(enum toc_decode_verdict expected, int line)
{
    struct toc_chunk chunk = {.n = 12345};
    enum toc_decode_verdict verdict = decode(&chunk);
    if (verdict != expected) {
        fail_msg("line %d: \"%s\" expected, \"%s\" found", line, toc_decode_verdict_str(expected),
                 toc_decode_verdict_str(verdict));
    }
    if (verdict != TOC_DECODE_OK) {
        assert_int_equal(chunk.n, 12345); /* outputs untouched on failure */
    }
}
#define assert_verdict(name) assert_verdict_named(TOC_DECODE_##name, __LINE__)

/* A good record of our default kind, big endian. */
static void good(void)
{
    assert_true(pack(make_record_default(), 1000) > 50);
    assert_verdict(OK);
}

static void put16(int at, unsigned value)
{
    record[at] = (uint8_t)(value >> 8);
    record[at + 1] = (uint8_t)value;
}

static unsigned get16(int at)
{
    return (unsigned)record[at] << 8 | record[at + 1];
}

/* Offset of a blockette of the (big endian) record. */
static int blockette(unsigned type)
{
    int at = (int)get16(46);
    while (at && get16(at) != type) {
        at = (int)get16(at + 2);
    }
    assert_true(at >= 48);
    return at;
}

static float sample_of(int encoding, int i)
{
    switch (encoding) {
    case 1:
        return (float)(int16_t)counts[i];
    case 4:
        return floats[i];
    case 5:
        return (float)doubles[i];
    default:
        return (float)counts[i];
    }
}

static void decodes_what_libmseed_packs(void **state)
{
    (void)state;
    static const int encodings[] = {1, 3, 4, 5, 10, 11};
    for (int e = 0; e < 6; e++) {
        for (int bits = 7; bits <= 16; bits++) {
            for (int little = 0; little < 2; little++) {
                struct make_record spec = make_record_default();
                spec.encoding = encodings[e];
                spec.reclen = 1 << bits;
                spec.little_endian = little;
                spec.timing_quality = bits % 2 ? 87 : -1;
                int n = pack(spec, 65000);
                assert_true(n > 0);
                assert_int_equal(length, 1 << bits);
                assert_int_equal(toc_decode_record_length(record, (size_t)length), length);
                struct toc_chunk chunk;
                assert_verdict(OK);
                assert_int_equal(decode(&chunk), TOC_DECODE_OK);
                assert_int_equal(chunk.n, n);
                assert_string_equal(chunk.sid, "FDSN:XX_TEST_00_H_H_Z");
                assert_true(chunk.start == spec.start_ns);
                assert_true(chunk.rate_hz == 100.0);
                assert_int_equal(chunk.timing_quality, spec.timing_quality);
                for (int i = 0; i < n; i++) {
                    assert_true(chunk.samples[i] == sample_of(spec.encoding, i));
                }
            }
        }
    }
}

static void codes_become_an_fdsn_identifier(void **state)
{
    (void)state;
    struct make_record spec = make_record_default();
    struct toc_chunk chunk;
    spec.net = "I", spec.sta = "AB-12", spec.loc = "", spec.cha = "BH1";
    pack(spec, 100);
    assert_int_equal(decode(&chunk), TOC_DECODE_OK);
    assert_string_equal(chunk.sid, "FDSN:I_AB-12__B_H_1");
    spec.loc = "--";
    pack(spec, 100);
    assert_int_equal(decode(&chunk), TOC_DECODE_OK);
    assert_string_equal(chunk.sid, "FDSN:I_AB-12__B_H_1");

    static const struct {
        int at;
        uint8_t value;
    } lies[] = {{8, ' '},  {8, 'a'},  {9, '\n'}, {9, '"'},  {9, ' '}, {13, 0xff}, {13, '*'},
                {15, ' '}, {17, ' '}, {16, '_'}, {18, ' '}, {18, 0},  {19, '-'},  {12, '\t'}};
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        good();
        record[lies[i].at] = lies[i].value;
        if (lies[i].at == 18) {
            record[19] = lies[i].value; /* a network of blanks */
        }
        assert_verdict(CODES);
    }
}

static void start_time_is_exact(void **state)
{
    (void)state;
    struct toc_chunk chunk;
    toc_ns base = INT64_C(1562261629040000000);
    good();

    put16(28, 4321); /* ticks */
    assert_int_equal(decode(&chunk), TOC_DECODE_OK);
    assert_true(chunk.start == base - 40000000 + 432100000);
    put16(28, 10000); /* rounded up: carries */
    assert_int_equal(decode(&chunk), TOC_DECODE_OK);
    assert_true(chunk.start == base - 40000000 + 1000000000);
    put16(28, 10001);
    assert_verdict(TIME);

    struct make_record spec = make_record_default();
    spec.timing_quality = 100;
    pack(spec, 100);
    int at = blockette(1001);
    record[at + 5] = (uint8_t)-50;
    assert_int_equal(decode(&chunk), TOC_DECODE_OK);
    assert_true(chunk.start == base - 50000);
    record[at + 5] = 99;
    assert_int_equal(decode(&chunk), TOC_DECODE_OK);
    assert_true(chunk.start == base + 99000);
    assert_int_equal(chunk.timing_quality, 100);
    record[at + 4] = 101;
    assert_int_equal(decode(&chunk), TOC_DECODE_OK);
    assert_int_equal(chunk.timing_quality, -1);
}

static void time_correction_is_added_once(void **state)
{
    (void)state;
    struct toc_chunk chunk;
    toc_ns base = INT64_C(1562261629040000000);
    good();
    put16(40, 0xffff), put16(42, 0xfff6); /* -10 ticks = -1 ms */
    assert_int_equal(decode(&chunk), TOC_DECODE_OK);
    assert_true(chunk.start == base - 1000000);
    record[36] |= 0x02; /* it was applied already */
    assert_int_equal(decode(&chunk), TOC_DECODE_OK);
    assert_true(chunk.start == base);
    record[36] = 0;
    put16(40, 0x8000), put16(42, 0); /* the largest there is: 2.5 days */
    assert_int_equal(decode(&chunk), TOC_DECODE_OK);
    assert_true(chunk.start == base - INT64_C(214748364800000));
}

static void leap_second_is_the_next_second(void **state)
{
    (void)state;
    struct toc_chunk chunk;
    good();
    put16(20, 2016), put16(22, 366), record[24] = 23, record[25] = 59, record[26] = 60, put16(28, 5000);
    assert_int_equal(decode(&chunk), TOC_DECODE_OK);
    assert_true(chunk.start == INT64_C(1483228800500000000));
}

static void impossible_times(void **state)
{
    (void)state;
    static const struct {
        int at, wide;
        unsigned value;
    } lies[] = {{20, 1, 1899}, {20, 1, 2101}, {22, 1, 0}, {22, 1, 367},  {24, 0, 24},
                {25, 0, 60},   {26, 0, 61},   {20, 1, 0}, {28, 1, 65535}};
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        good();
        if (lies[i].wide) {
            put16(lies[i].at, lies[i].value);
        } else {
            record[lies[i].at] = (uint8_t)lies[i].value;
        }
        assert_verdict(TIME);
    }
    good();
    put16(22, 366); /* 2019 had no such day */
    assert_verdict(TIME);
}

static void sample_rate(void **state)
{
    (void)state;
    static const struct {
        int factor, multiplier;
        double rate; /* 0: refused */
    } cases[] = {{100, 1, 100},   {-10, 1, 0.1},     {1, -10, 0.1}, {-10, -10, 0.01}, {50, 2, 100},  {100, 0, 100},
                 {10000, 1, 1e4}, {-100, 1, 0.01},   {0, 0, 0},     {0, 1, 0},        {-101, 1, 0},  {10001, 1, 0},
                 {-32768, 1, 0},  {32767, 32767, 0}, {-100, -2, 0}, {-1, -4, 0.25},   {-2, 500, 250}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        good();
        put16(32, (unsigned)cases[i].factor & 0xffff);
        put16(34, (unsigned)cases[i].multiplier & 0xffff);
        if (cases[i].rate == 0) {
            assert_verdict(RATE);
            continue;
        }
        struct toc_chunk chunk;
        assert_verdict(OK);
        decode(&chunk);
        assert_true(fabs(chunk.rate_hz / cases[i].rate - 1) < 1e-12);
    }
}

/* Replace blockette 1001 by 100: the pack leaves room for 8 bytes, 100 needs 12, so it goes behind the chain. */
static void add_blockette_100(float rate)
{
    struct make_record spec = make_record_default();
    spec.encoding = 3;
    pack(spec, 90);
    int at = blockette(1000);
    uint32_t bits;
    memcpy(&bits, &rate, sizeof(bits));
    memmove(record + 80, record + get16(44), 90 * 4);
    put16(44, 80);
    put16(at + 2, 56);
    memset(record + 56, 0, 24);
    put16(56, 100);
    put16(60, bits >> 16), put16(62, bits & 0xffff);
}

static void blockette_100_overrides_the_rate(void **state)
{
    (void)state;
    struct toc_chunk chunk;
    add_blockette_100(99.9f);
    assert_verdict(OK);
    assert_int_equal(decode(&chunk), TOC_DECODE_OK);
    assert_true(chunk.rate_hz == (double)99.9f);
    assert_true(chunk.samples[89] == (float)counts[89]);
    static const float bad[] = {0, -100, 0.009f, 10001, NAN, INFINITY, 1e38f};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        add_blockette_100(bad[i]);
        assert_verdict(RATE);
    }
}

static void length_lies(void **state)
{
    (void)state;
    good();
    length = 511;
    assert_verdict(SHORT);
    length = 47;
    assert_verdict(SHORT);
    length = 0;
    assert_verdict(SHORT);
    good();
    int at = blockette(1000);
    record[at + 6] = 10; /* states 1024, has 512 */
    assert_verdict(SHORT);
    static const uint8_t exponents[] = {0, 6, 17, 31, 32, 64, 255};
    for (size_t i = 0; i < sizeof(exponents); i++) {
        record[at + 6] = exponents[i];
        assert_verdict(LENGTH);
        assert_int_equal(toc_decode_record_length(record, 512), -EBADMSG);
    }
    good();
    memset(record + 512, 0, 512); /* a short record in a padded block is fine */
    length = 1024;
    assert_verdict(OK);
    record[1023] = 1; /* something else behind it is not */
    assert_verdict(LENGTH);
}

static void chain_lies(void **state)
{
    (void)state;
    static const unsigned first[] = {1, 47, 510, 512, 60000, 65535};
    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
        good();
        put16(46, first[i]);
        assert_verdict(CHAIN);
    }
    good();
    int at = blockette(1000);
    static const int next[] = {0, 2, 4, 7};
    for (size_t i = 0; i < 4; i++) { /* to itself, and into itself */
        put16(at + 2, (unsigned)(at + next[i]));
        assert_verdict(CHAIN);
    }
    put16(at + 2, 46);
    assert_verdict(CHAIN);
    put16(at + 2, 509); /* three bytes left of the record */
    assert_verdict(CHAIN);
    good();
    put16(46, 0);
    assert_verdict(NO_LENGTH);
    assert_int_equal(toc_decode_record_length(record, 512), -EBADMSG);
    good();
    put16(blockette(1000), 999); /* some blockette, but not that one */
    assert_verdict(NO_LENGTH);
    struct make_record spec = make_record_default();
    spec.timing_quality = 50;
    pack(spec, 100);
    int other = blockette(1001);
    memcpy(record + other, record + blockette(1000), 2);
    record[other + 6] = 9;
    assert_verdict(LENGTH); /* two statements of the length */
}

/* A long record with a chain whose second part lies past the length that its first part states. */
static void chain_past_the_stated_length(void **state)
{
    (void)state;
    good();
    memset(record + 512, 0, 512);
    length = 1024;
    put16(blockette(1000) + 2, 600);
    assert_verdict(CHAIN);
}

static void encodings_not_read(void **state)
{
    (void)state;
    for (int encoding = 0; encoding < 256; encoding++) {
        if (encoding == 1 || (encoding >= 3 && encoding <= 5) || encoding == 10 || encoding == 11) {
            continue;
        }
        good();
        record[blockette(1000) + 4] = (uint8_t)encoding;
        assert_verdict(ENCODING);
    }
}

static void sample_count_lies(void **state)
{
    (void)state;
    static const struct {
        int encoding;
        unsigned most; /* in 512 bytes; libmseed puts Steim frames at 64, the rest at 56 */
    } cases[] = {{1, 228}, {3, 114}, {4, 114}, {5, 57}, {10, 7 * 60 - 8}, {11, 7 * 105 - 14}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct make_record spec = make_record_default();
        spec.encoding = cases[i].encoding;
        pack(spec, 1000);
        put16(30, cases[i].most + 1);
        assert_verdict(COUNT);
        put16(30, 65535);
        assert_verdict(COUNT);
        put16(30, 0);
        assert_verdict(EMPTY);
    }
    /* Steim: a count that the frames could hold but do not, in both directions. */
    good();
    unsigned n = get16(30);
    put16(30, 7 * 105 - 14);
    assert_verdict(PAYLOAD);
    put16(30, n - 1);
    assert_verdict(PAYLOAD);
}

static void data_offset_lies(void **state)
{
    (void)state;
    static const unsigned offsets[] = {0, 1, 47, 48, 55, 512, 513, 65535};
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        good();
        put16(44, offsets[i]);
        assert_verdict(DATA_OFFSET);
    }
    good();
    put16(44, 511);
    assert_verdict(COUNT);
}

static void payload_lies(void **state)
{
    (void)state;
    good();
    record[64 + 8 + 3] ^= 1; /* XN, the last sample */
    assert_verdict(PAYLOAD);
    good();
    record[64 + 4 + 3] ^= 1; /* X0, the first: every sum is off */
    assert_verdict(PAYLOAD);
    good();
    memset(record + 64, 0, 448); /* no differences at all */
    assert_verdict(PAYLOAD);
    good();
    memset(record + 64, 0xff, 448); /* nibbles 11 with a difference form that Steim2 does not have */
    assert_verdict(PAYLOAD);
}

static void not_a_record(void **state)
{
    (void)state;
    good();
    memcpy(record, "MS\3", 3);
    assert_verdict(MSEED3);
    length = 3;
    assert_verdict(MSEED3);
    assert_int_equal(toc_decode_record_length(record, 512), -EBADMSG);
    static const struct {
        int at;
        uint8_t value;
    } lies[] = {{0, 'A'}, {5, '.'}, {6, 'V'}, {6, ' '}, {6, 0}, {7, 'X'}};
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        good();
        record[lies[i].at] = lies[i].value;
        assert_verdict(NOT_MSEED);
        assert_int_equal(toc_decode_record_length(record, 512), -EBADMSG);
    }
    memset(record, 0, 512);
    assert_verdict(NOT_MSEED);
}

static void unknown_word_order_takes_the_header_s(void **state)
{
    (void)state;
    struct toc_chunk chunk;
    good();
    record[blockette(1000) + 5] = 95;
    assert_int_equal(decode(&chunk), TOC_DECODE_OK);
    assert_true(chunk.samples[0] == (float)counts[0]);
}

/* An odd data offset must not make anyone read an int32 from an odd address (the sanitizer watches). */
static void payload_may_start_anywhere(void **state)
{
    (void)state;
    struct make_record spec = make_record_default();
    struct toc_chunk chunk;
    static const int encodings[] = {1, 3, 4, 5, 10, 11};
    for (int e = 0; e < 6; e++) {
        for (unsigned shift = 1; shift < 8; shift++) {
            spec.encoding = encodings[e];
            spec.reclen = 512;
            int n = pack(spec, 40);
            unsigned offset = get16(44);
            memmove(record + offset + shift, record + offset, 400);
            put16(44, offset + shift);
            assert_verdict(OK);
            decode(&chunk);
            assert_true(chunk.samples[n - 1] == sample_of(spec.encoding, n - 1));
        }
    }
}

static void doubles_out_of_float_range_become_infinite(void **state)
{
    (void)state;
    double values[5] = {1e300, -1e300, NAN, 0.5, INFINITY};
    struct make_record spec = make_record_default();
    struct toc_chunk chunk;
    spec.encoding = 5, spec.samples = values, spec.n = 5;
    assert_int_equal(make_record(&spec, record, &length), 5);
    assert_int_equal(decode(&chunk), TOC_DECODE_OK);
    assert_true(isinf(chunk.samples[0]) && chunk.samples[0] > 0);
    assert_true(isinf(chunk.samples[1]) && chunk.samples[1] < 0);
    assert_true(isnan(chunk.samples[2]));
    assert_true(chunk.samples[3] == 0.5f);
    assert_true(isinf(chunk.samples[4]));
}

static void record_length_from_a_growing_prefix(void **state)
{
    (void)state;
    struct make_record spec = make_record_default();
    for (int bits = 7; bits <= 16; bits++) {
        spec.reclen = 1 << bits;
        pack(spec, 65000);
        bool known = false;
        for (int n = 0; n <= 128; n++) {
            /* An exact-size copy: reading one byte more would be seen. */
            uint8_t *prefix = malloc((size_t)n + 1);
            memcpy(prefix, record, (size_t)n);
            uint8_t *tight = realloc(prefix, n ? (size_t)n : 1);
            long found = toc_decode_record_length(tight, (size_t)n);
            free(tight);
            assert_true(found == (known ? spec.reclen : 0) || (!known && found == spec.reclen));
            known = found == spec.reclen;
            assert_true(!known || n >= 56);
            assert_true(known || n < 56);
        }
    }
    good();
    put16(46, 5000); /* a chain that goes past the data is not waited for */
    assert_int_equal(toc_decode_record_length(record, 60), -EBADMSG);
}

static void every_verdict_has_a_text(void **state)
{
    (void)state;
    for (int v = 0; v < TOC_DECODE_VERDICT_COUNT; v++) {
        assert_true(strlen(toc_decode_verdict_str((enum toc_decode_verdict)v)) > 0);
    }
    assert_string_equal(toc_decode_verdict_str((enum toc_decode_verdict)999), "unknown verdict");
}

/* Decode from an exact-size heap block, so that the sanitizer sees any read past it. */
static enum toc_decode_verdict decode_tight(size_t n, struct toc_chunk *ret_chunk)
{
    uint8_t *tight = malloc(n ? n : 1);
    memcpy(tight, record, n);
    enum toc_decode_verdict verdict = decode_and_compare(tight, n, ret_chunk);
    free(tight);
    return verdict;
}

static void assert_sane(const struct toc_chunk *chunk, bool integers)
{
    assert_true(chunk->n >= 1 && chunk->n <= 65535);
    assert_true(chunk->rate_hz >= 0.01 && chunk->rate_hz <= 10000);
    assert_true(strncmp(chunk->sid, "FDSN:", 5) == 0);
    for (uint32_t i = 0; integers && i < chunk->n; i++) {
        assert_true(isfinite(chunk->samples[i]));
    }
}

static void truncated_at_every_byte(void **state)
{
    (void)state;
    static const int encodings[] = {1, 3, 4, 5, 10, 11};
    for (int e = 0; e < 6; e++) {
        struct make_record spec = make_record_default();
        spec.encoding = encodings[e];
        pack(spec, 1000);
        for (size_t n = 0; n < 512; n++) {
            struct toc_chunk chunk;
            enum toc_decode_verdict verdict = decode_tight(n, &chunk);
            assert_true(verdict == TOC_DECODE_SHORT || (n < 64 && verdict == TOC_DECODE_CHAIN));
        }
    }
}

static void random_bit_flips(void **state)
{
    (void)state;
    static const int encodings[] = {1, 3, 4, 5, 10, 11};
    uint64_t random = 20261122;
    int seen[TOC_DECODE_VERDICT_COUNT] = {0};
    for (int run = 0; run < 20000; run++) {
        struct make_record spec = make_record_default();
        int encoding = encodings[make_random(&random) % 6];
        spec.encoding = encoding;
        spec.reclen = 256 << make_random(&random) % 3;
        spec.little_endian = make_random(&random) & 1;
        spec.timing_quality = make_random(&random) & 1 ? 100 : -1;
        pack(spec, 2000);
        int flips = 1 + (int)(make_random(&random) % 4);
        for (int i = 0; i < flips; i++) {
            /* Half of them in the header, where the lies are. */
            uint64_t range = make_random(&random) & 1 ? 64 : (uint64_t)spec.reclen;
            record[make_random(&random) % range] ^= (uint8_t)(1u << make_random(&random) % 8);
        }
        struct toc_chunk chunk;
        enum toc_decode_verdict verdict = decode_tight((size_t)length, &chunk);
        seen[verdict]++;
        if (verdict == TOC_DECODE_OK) {
            assert_sane(&chunk, false);
            unsigned n = spec.little_endian ? (unsigned)record[31] << 8 | record[30] : get16(30);
            assert_int_equal(chunk.n, n);
        }
    }
    /* The run was worth its name: some survive, and most kinds of lie were met. */
    int kinds = 0;
    for (int v = 1; v < TOC_DECODE_VERDICT_COUNT; v++) {
        kinds += seen[v] > 0;
    }
    assert_true(seen[TOC_DECODE_OK] > 1000);
    assert_true(kinds >= 11);
}

/* Random records of every kind: time, rate and samples as libmseed's own reader has them. */
static void random_records_equal_libmseed(void **state)
{
    (void)state;
    static const int encodings[] = {1, 3, 4, 5, 10, 11};
    static const double rates[] = {0.01, 0.1, 1, 20, 31.25, 40, 100, 200, 250, 1000, 10000};
    uint64_t random = 99;
    for (int run = 0; run < 3000; run++) {
        struct make_record spec = make_record_default();
        struct toc_chunk chunk;
        MSRecord *msr = NULL;
        spec.encoding = encodings[make_random(&random) % 6];
        spec.reclen = 128 << make_random(&random) % 6;
        spec.little_endian = make_random(&random) & 1;
        spec.timing_quality = make_random(&random) & 1 ? 50 : -1;
        spec.rate_hz = rates[make_random(&random) % 11];
        /* years 1901..2099, to the microsecond */
        spec.start_ns = (int64_t)(make_random(&random) % UINT64_C(6279811200000000)) * 1000;
        spec.start_ns -= INT64_C(2177452800000000000);
        pack(spec, 1 + (int)(make_random(&random) % 3000));
        assert_int_equal(decode(&chunk), TOC_DECODE_OK);
        assert_int_equal(msr_parse((char *)record, length, &msr, length, 1, 0), 0);
        assert_true(chunk.start == msr->starttime * 1000);
        assert_true(fabs(chunk.rate_hz / msr->samprate - 1) < 1e-12);
        assert_int_equal(chunk.n, msr->numsamples);
        for (uint32_t i = 0; i < chunk.n; i++) {
            assert_true(chunk.samples[i] == sample_of(spec.encoding, (int)i));
        }
        msr_free(&msr);
    }
}

/* A payload of random words, as no packer writes it; most forms of difference exist. */
static void fill_at_random(uint64_t *random, bool little)
{
    for (int i = 64; i < length; i++) {
        record[i] = (uint8_t)make_random(random);
        bool top = i % 4 == (little ? 3 : 0);
        if (top && make_random(random) % 64) {
            record[i] = (uint8_t)((record[i] & 0x3f) | (make_random(random) & 1 ? 0x40 : 0x80));
        }
    }
}

static void random_frames_equal_libmseed(void **state)
{
    (void)state;
    uint64_t random = 7;
    int accepted = 0, refused_form = 0;
    for (int run = 0; run < 20000; run++) {
        struct make_record spec = make_record_default();
        struct toc_chunk chunk;
        spec.encoding = 10 + (int)(make_random(&random) & 1);
        spec.reclen = 256 << make_random(&random) % 2;
        spec.little_endian = make_random(&random) & 1;
        pack(spec, 3000);
        fill_at_random(&random, spec.little_endian);
        record[spec.little_endian ? 31 : 30] = 0;
        record[spec.little_endian ? 30 : 31] = (uint8_t)(1 + make_random(&random) % 255);
        enum toc_decode_verdict verdict = decode(&chunk);
        assert_true(verdict == TOC_DECODE_PAYLOAD || verdict == TOC_DECODE_COUNT);
        if (verdict == TOC_DECODE_COUNT || !theirs.found) {
            refused_form += verdict == TOC_DECODE_PAYLOAD;
            continue;
        }
        for (int i = 0; i < 4; i++) { /* once more, with the last sample stated right */
            record[64 + 8 + i] = (uint8_t)(theirs.last >> 8 * (spec.little_endian ? i : 3 - i));
        }
        assert_verdict(OK);
        accepted++;
    }
    assert_true(accepted > 10000 && refused_form > 500);
}

/* ---- the odd files of ../shared/data, with what ObsPy makes of them ---- */

static char data_dir[512];

/*
 * Files that ObsPy reads and we refuse, whole. Everything else must give the same number of samples (and none where
 * ObsPy refuses).
 */
static const struct {
    const char *file;
    enum toc_decode_verdict verdict; /* of every record in it that is not OK; OK: no record is even found */
    const char *reason;
} refused[] = {
    {"mseed/CDSN_encoding.mseed", TOC_DECODE_ENCODING, "retired encoding"},
    {"mseed/DWWSSN_encoding.mseed", TOC_DECODE_ENCODING, "retired encoding"},
    {"mseed/GEOSCOPE16_4_encoding.mseed", TOC_DECODE_ENCODING, "retired encoding"},
    {"mseed/SRO_encoding.mseed", TOC_DECODE_ENCODING, "retired encoding"},
    {"libmseed/CDSN-encoded.mseed", TOC_DECODE_ENCODING, "retired encoding"},
    {"libmseed/DWWSSN-encoded.mseed", TOC_DECODE_ENCODING, "retired encoding"},
    {"libmseed/GEOSCOPE-16bit-3exp-encoded.mseed", TOC_DECODE_ENCODING, "retired encoding"},
    {"libmseed/SRO-encoded.mseed", TOC_DECODE_ENCODING, "retired encoding"},
    {"mseed/rt130_sr0_cropped.mseed", TOC_DECODE_ENCODING, "text"},
    {"mseed/fullASCII_bigEndian.mseed", TOC_DECODE_ENCODING, "text"},
    {"mseed/fullASCII_littleEndian.mseed", TOC_DECODE_ENCODING, "text"},
    {"mseed/smallASCII_bigEndian.mseed", TOC_DECODE_ENCODING, "text"},
    {"mseed/smallASCII_littleEndian.mseed", TOC_DECODE_ENCODING, "text"},
    {"libmseed/text-encoded.mseed", TOC_DECODE_ENCODING, "text"},
    {"mseed/gecko_non_ascii_header.ms", TOC_DECODE_CODES, "location code is not ASCII"},
    {"mseed/nan_float32.mseed", TOC_DECODE_CODES, "no codes at all: nobody knows where this was"},
    {"mseed/nan_float64.mseed", TOC_DECODE_CODES, "no codes at all"},
    {"more/2005-07-23-1452-04S.CER___030.mseed", TOC_DECODE_CODES, "no network code"},
    {"mseed/mseed_not_a_single_blkt_48byte_data_offset.mseed", TOC_DECODE_OK, "no blockette 1000"},
    {"mseed/mseed_no_blkt_1000.mseed", TOC_DECODE_OK, "no blockette 1000"},
    {"libmseed/no-blockette1000-steim1.mseed", TOC_DECODE_OK, "no blockette 1000"},
};

static bool is_refused(const char *file, enum toc_decode_verdict *ret_verdict)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (strcmp(refused[i].file, file) == 0) {
            *ret_verdict = refused[i].verdict;
            return true;
        }
    }
    return false;
}

/* Sum of the samples of all records in a buffer; records are found by their length, else 64 bytes on. */
static long scan(const uint8_t *bytes, size_t size, int *verdicts)
{
    long samples = 0;
    size_t at = 0;
    while (at < size) {
        long n = toc_decode_record_length(bytes + at, size - at);
        if (n <= 0) {
            at += 64;
            continue;
        }
        size_t take = (size_t)n < size - at ? (size_t)n : size - at;
        struct toc_chunk chunk;
        enum toc_decode_verdict verdict = decode_and_compare(bytes + at, take, &chunk);
        verdicts[verdict]++;
        if (verdict == TOC_DECODE_OK) {
            samples += chunk.n;
            assert_sane(&chunk, false);
        }
        at += take;
    }
    return samples;
}

static uint8_t *read_file(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        return NULL;
    }
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(size > 0 ? (size_t)size : 1);
    *ret_size = fread(bytes, 1, (size_t)size, file);
    fclose(file);
    return bytes;
}

static bool find_data(const char *name)
{
    const char *data = getenv("TOCSIN_DATA");
    const char *source = getenv("TOCSIN_SOURCE");
    if (data) {
        snprintf(data_dir, sizeof(data_dir), "%s/%s", data, name);
    } else {
        snprintf(data_dir, sizeof(data_dir), "%s/../shared/data/%s", source ? source : ".", name);
    }
    DIR *dir = opendir(data_dir);
    if (dir) {
        closedir(dir);
    }
    return dir != NULL;
}

/* One line of the table: file, size, what ObsPy did, traces, samples, ... */
static bool agrees(const char *file, long expected)
{
    char path[1024];
    size_t size;
    int verdicts[TOC_DECODE_VERDICT_COUNT] = {0};
    enum toc_decode_verdict why;
    snprintf(path, sizeof(path), "%s/%s", data_dir, file);
    uint8_t *bytes = read_file(path, &size);
    assert_non_null(bytes);
    long samples = scan(bytes, size, verdicts);
    free(bytes);
    bool good = samples == expected;
    if (is_refused(file, &why)) {
        good = samples == 0 && verdicts[TOC_DECODE_OK] == 0;
        for (int v = 1; v < TOC_DECODE_VERDICT_COUNT; v++) {
            good &= (verdicts[v] > 0) == (v == (int)why);
        }
    }
    if (!good) {
        print_error("%s: %ld samples expected, %ld found\n", file, expected, samples);
    }
    return good;
}

static void odd_files_agree_with_obspy(void **state)
{
    (void)state;
    if (!find_data("odd")) {
        skip();
    }
    char path[1024], line[4096];
    snprintf(path, sizeof(path), "%s/expected_obspy.csv", data_dir);
    FILE *table = fopen(path, "r");
    assert_non_null(table);
    int compared = 0, wrong = 0;
    assert_non_null(fgets(line, sizeof(line), table));
    while (fgets(line, sizeof(line), table)) {
        char *fields[5] = {0}, *rest = line;
        for (int i = 0; i < 5; i++) {
            fields[i] = strsep(&rest, ",");
        }
        assert_non_null(fields[4]);
        wrong += !agrees(fields[0], strcmp(fields[2], "read") == 0 ? atol(fields[4]) : 0);
        compared++;
    }
    fclose(table);
    assert_true(compared > 100);
    assert_int_equal(wrong, 0);
}

/* A few of them in full: first samples and start time as ObsPy gives them. */
static void odd_values_agree_with_obspy(void **state)
{
    (void)state;
    static const struct {
        const char *file, *sid, *start;
        float first[3];
    } cases[] = {
        {"mseed/BW.BGLD.__.EHE.D.2008.001.first_record",
         "FDSN:BW_BGLD__E_H_E",
         "2007-12-31T23:59:59.915000Z",
         {-363, -382, -388}},
        {"mseed/1T_MONN_00_EDH.mseed", "FDSN:1T_MONN_00_E_D_H", "2019-04-01T18:43:00.003600Z", {-2210, -2972, -3681}},
        {"libmseed/unapplied-timecorrection.mseed", NULL, "2003-05-29T02:13:23.043400Z", {0}},
    };
    if (!find_data("odd")) {
        skip();
    }
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        char path[1024], text[TOC_TIME_TEXT_SIZE];
        size_t size;
        struct toc_chunk chunk;
        snprintf(path, sizeof(path), "%s/%s", data_dir, cases[c].file);
        uint8_t *bytes = read_file(path, &size);
        assert_non_null(bytes);
        long n = toc_decode_record_length(bytes, size);
        assert_true(n > 0);
        assert_int_equal(toc_decode_record(decoder, bytes, (size_t)n, &chunk), TOC_DECODE_OK);
        free(bytes);
        toc_time_format(chunk.start, text, sizeof(text));
        assert_string_equal(text, cases[c].start);
        if (cases[c].sid) {
            assert_string_equal(chunk.sid, cases[c].sid);
            assert_memory_equal(chunk.samples, cases[c].first, sizeof(cases[c].first));
        }
    }
}

/* Every record of a file, found by its length, is decoded as libmseed does; at least so many of them. */
static void compare_file(const char *path, unsigned long least)
{
    size_t size;
    int verdicts[TOC_DECODE_VERDICT_COUNT] = {0};
    unsigned long before = n_compared;
    uint8_t *bytes = read_file(path, &size);
    assert_non_null(bytes);
    scan(bytes, size, verdicts);
    free(bytes);
    if (n_compared - before < least) {
        fail_msg("%s: %lu records compared, %lu expected", path, n_compared - before, least);
    }
}

static void simulated_records_equal_libmseed(void **state)
{
    (void)state;
    static const char *const names[] = {"waveforms.mseed", "stations.txt", "events.csv", "picks.csv"};
    struct toc_scenario_options options;
    struct toc_scenario *scenario;
    char folder[] = "/tmp/toc_decode_XXXXXX", path[128], why[160];
    toc_scenario_defaults(&options);
    options.n_sites = 4, options.duration_s = 90, options.first_origin_s = 20, options.extent_km = 40;
    assert_int_equal(toc_scenario_create(&options, &scenario, why, sizeof(why)), 0);
    assert_non_null(mkdtemp(folder));
    assert_int_equal(toc_scenario_write(scenario, folder, false, 1.0), 0);
    snprintf(path, sizeof(path), "%s/waveforms.mseed", folder);
    compare_file(path, 4 * 3 * 90);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
    toc_scenario_destroy(scenario);
}

/* Every recorded quake there is. */
static void recorded_records_equal_libmseed(void **state)
{
    (void)state;
    if (!find_data("replay")) {
        skip();
    }
    DIR *dir = opendir(data_dir);
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        char path[1024];
        snprintf(path, sizeof(path), "%s/%s/waveforms.mseed", data_dir, entry->d_name);
        if (entry->d_name[0] != '.' && access(path, R_OK) == 0) {
            compare_file(path, 100);
        }
    }
    closedir(dir);
}

/* Good records of every encoding, and one that is refused: libmseed allocates for each, we for none. */
static void nothing_is_allocated_for_a_record(void **state)
{
    (void)state;
#ifdef SANITIZED
    skip();
#endif
    static const int encodings[] = {1, 3, 4, 5, 10, 11};
    for (int e = 0; e < 6; e++) {
        struct make_record spec = make_record_default();
        struct toc_chunk chunk;
        spec.encoding = encodings[e];
        spec.reclen = 4096;
        pack(spec, 5000);
        unsigned long before = allocations;
        for (int i = 0; i < 100; i++) {
            assert_int_equal(toc_decode_record(decoder, record, (size_t)length, &chunk), TOC_DECODE_OK);
        }
        record[spec.encoding >= 10 ? 64 + 8 : 46] ^= 0x55; /* a wrong last sample, a wrong chain */
        assert_int_not_equal(toc_decode_record(decoder, record, (size_t)length, &chunk), TOC_DECODE_OK);
        assert_int_equal(allocations, before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_what_libmseed_packs),
        cmocka_unit_test(codes_become_an_fdsn_identifier),
        cmocka_unit_test(start_time_is_exact),
        cmocka_unit_test(time_correction_is_added_once),
        cmocka_unit_test(leap_second_is_the_next_second),
        cmocka_unit_test(impossible_times),
        cmocka_unit_test(sample_rate),
        cmocka_unit_test(blockette_100_overrides_the_rate),
        cmocka_unit_test(length_lies),
        cmocka_unit_test(chain_lies),
        cmocka_unit_test(chain_past_the_stated_length),
        cmocka_unit_test(encodings_not_read),
        cmocka_unit_test(sample_count_lies),
        cmocka_unit_test(data_offset_lies),
        cmocka_unit_test(payload_lies),
        cmocka_unit_test(not_a_record),
        cmocka_unit_test(unknown_word_order_takes_the_header_s),
        cmocka_unit_test(payload_may_start_anywhere),
        cmocka_unit_test(doubles_out_of_float_range_become_infinite),
        cmocka_unit_test(record_length_from_a_growing_prefix),
        cmocka_unit_test(every_verdict_has_a_text),
        cmocka_unit_test(truncated_at_every_byte),
        cmocka_unit_test(random_bit_flips),
        cmocka_unit_test(random_records_equal_libmseed),
        cmocka_unit_test(random_frames_equal_libmseed),
        cmocka_unit_test(simulated_records_equal_libmseed),
        cmocka_unit_test(recorded_records_equal_libmseed),
        cmocka_unit_test(nothing_is_allocated_for_a_record),
        cmocka_unit_test(odd_files_agree_with_obspy),
        cmocka_unit_test(odd_values_agree_with_obspy),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
