/*
 * The fence: every field of a record is read and bounded here before a byte
 * of its payload is decoded (core/payload.c).
 *
 * What this is not: a scanner. Finding the next record in a damaged stream is
 * the caller's business.
 */
#include "core/decode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/payload.h"

#define FIXED_HEADER 48
#define SAMPLES_MAX 65535 /* the header's count has 16 bits */
#define RATE_MIN_HZ 0.01
#define RATE_MAX_HZ 10000.0
#define YEAR_MIN 1900 /* as libmseed infers byte order; no two orders of one year are both in here */
#define YEAR_MAX 2100
#define TICK_NS INT64_C(100000) /* 0.0001 s, the unit of SEED times and corrections */

struct toc_decoder {
    float samples[SAMPLES_MAX + TOC_PAYLOAD_SLACK];
};

/* The fixed header, in our byte order. */
struct header {
    bool big_endian;
    int year, day, hour, minute, second, ticks;
    uint32_t n;
    int rate_factor, rate_multiplier;
    uint8_t activity;
    int32_t correction; /* ticks */
    uint32_t data_offset, first_blockette;
};

/* What the blockettes say. */
struct stated {
    int n_1000;
    int exponent, encoding, word_order;
    bool has_rate;
    float rate_hz; /* blockette 100 */
    int quality;   /* blockette 1001, -1 none */
    int micros;    /* blockette 1001 */
    uint32_t end;  /* first byte past the chain */
};

const char *toc_decode_verdict_str(enum toc_decode_verdict verdict)
{
    static const char *const texts[] = {
#define X(name, text) text,
        TOC_DECODE_VERDICTS(X)
#undef X
    };
    return (unsigned)verdict < TOC_DECODE_VERDICT_COUNT ? texts[verdict] : "unknown verdict";
}

int toc_decoder_create(struct toc_decoder **ret_decoder)
{
    struct toc_decoder *decoder = malloc(sizeof(*decoder));
    if (!decoder) {
        return -ENOMEM;
    }
    *ret_decoder = decoder;
    return 0;
}

void toc_decoder_destroy(struct toc_decoder *decoder)
{
    free(decoder);
}

static uint32_t get16(const uint8_t *p, bool big)
{
    return big ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t get32(const uint8_t *p, bool big)
{
    return big ? get16(p, true) << 16 | get16(p + 2, true) : get16(p + 2, false) << 16 | get16(p, false);
}

static bool plausible_day(const uint8_t *start, bool big)
{
    uint32_t year = get16(start, big), day = get16(start + 2, big);
    return year >= YEAR_MIN && year <= YEAR_MAX && day >= 1 && day <= 366;
}

/* Six digits (blank and NUL are seen in the wild), a quality letter, a reserved blank. */
static bool looks_like_data_record(const uint8_t *p)
{
    for (int i = 0; i < 6; i++) {
        if (!(p[i] >= '0' && p[i] <= '9') && p[i] != ' ' && p[i] != '\0') {
            return false;
        }
    }
    return p[6] != '\0' && strchr("DRQM", p[6]) && (p[7] == ' ' || p[7] == '\0');
}

/* Byte order is not stated in the fixed header: the one that gives a possible year and day is it. */
static enum toc_decode_verdict read_header(const uint8_t *p, size_t len, struct header *h)
{
    if (len >= 3 && p[0] == 'M' && p[1] == 'S' && p[2] == 3) {
        return TOC_DECODE_MSEED3;
    }
    if (len < FIXED_HEADER) {
        return TOC_DECODE_SHORT;
    }
    if (!looks_like_data_record(p)) {
        return TOC_DECODE_NOT_MSEED;
    }
    h->big_endian = plausible_day(p + 20, true);
    if (!h->big_endian && !plausible_day(p + 20, false)) {
        return TOC_DECODE_TIME;
    }
    bool big = h->big_endian;
    h->year = (int)get16(p + 20, big);
    h->day = (int)get16(p + 22, big);
    h->hour = p[24];
    h->minute = p[25];
    h->second = p[26];
    h->ticks = (int)get16(p + 28, big);
    h->n = get16(p + 30, big);
    h->rate_factor = (int16_t)get16(p + 32, big);
    h->rate_multiplier = (int16_t)get16(p + 34, big);
    h->activity = p[36];
    h->correction = (int32_t)get32(p + 40, big);
    h->data_offset = get16(p + 44, big);
    h->first_blockette = get16(p + 46, big);
    return TOC_DECODE_OK;
}

/* Bytes of a blockette that we look into, its four-byte head included; of the others only the head. */
static uint32_t blockette_size(uint32_t type)
{
    return type == 100 ? 12 : type == 1000 || type == 1001 ? 8 : 4;
}

static void read_blockette(const uint8_t *p, uint32_t type, bool big, struct stated *s)
{
    if (type == 1000) {
        s->n_1000++;
        s->encoding = p[4];
        s->word_order = p[5];
        s->exponent = p[6];
    } else if (type == 1001) {
        s->quality = p[4] <= 100 ? p[4] : -1;
        s->micros = (int8_t)p[5];
    } else if (type == 100) {
        uint32_t bits = get32(p + 4, big);
        memcpy(&s->rate_hz, &bits, sizeof(bits));
        s->has_rate = true;
    }
}

/*
 * Walk the chain: strictly forward, each blockette whole inside `len`. The count of blockettes in the header is often
 * wrong in real records and is not used. With `until_1000` the walk ends at the first blockette 1000.
 * SHORT: the next blockette lies past `len`, and might be there in a longer record.
 */
static enum toc_decode_verdict walk_chain(const uint8_t *p, size_t len, const struct header *h, bool until_1000,
                                          struct stated *s)
{
    *s = (struct stated){.quality = -1, .end = FIXED_HEADER};
    uint32_t at = h->first_blockette;
    while (at != 0) {
        bool past_data = until_1000 && h->data_offset >= FIXED_HEADER && at >= h->data_offset;
        if (at < s->end || past_data) {
            return TOC_DECODE_CHAIN; /* do not wait in a stream for what cannot be right */
        }
        if ((size_t)at + 4 > len) {
            return TOC_DECODE_SHORT;
        }
        uint32_t type = get16(p + at, h->big_endian);
        if ((size_t)at + blockette_size(type) > len) {
            return TOC_DECODE_SHORT;
        }
        read_blockette(p + at, type, h->big_endian, s);
        s->end = at + blockette_size(type);
        if (until_1000 && type == 1000) {
            break;
        }
        at = get16(p + at + 2, h->big_endian);
    }
    return TOC_DECODE_OK;
}

long toc_decode_record_length(const uint8_t *bytes, size_t len)
{
    struct header h = {0};
    struct stated s;
    enum toc_decode_verdict verdict = read_header(bytes, len, &h);
    if (verdict == TOC_DECODE_OK) {
        verdict = walk_chain(bytes, len, &h, true, &s);
    }
    if (verdict == TOC_DECODE_SHORT) {
        return len < TOC_RECORD_MAX ? 0 : -EBADMSG;
    }
    if (verdict != TOC_DECODE_OK || s.n_1000 == 0 || s.exponent < 7 || s.exponent > 16) {
        return -EBADMSG;
    }
    return 1L << s.exponent;
}

/* More bytes than the stated length may follow only as blanks or zeros. */
static bool only_padding(const uint8_t *p, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if (p[i] != 0 && p[i] != ' ') {
            return false;
        }
    }
    return true;
}

/* Chain, then length: the record ends where blockette 1000 says, and the chain must be inside that. */
static enum toc_decode_verdict check_structure(const uint8_t *p, size_t len, const struct header *h, struct stated *s,
                                               size_t *ret_len)
{
    enum toc_decode_verdict verdict = walk_chain(p, len, h, false, s);
    if (verdict != TOC_DECODE_OK) {
        return TOC_DECODE_CHAIN;
    }
    if (s->n_1000 == 0) {
        return TOC_DECODE_NO_LENGTH;
    }
    if (s->n_1000 > 1 || s->exponent < 7 || s->exponent > 16) {
        return TOC_DECODE_LENGTH;
    }
    size_t stated = (size_t)1 << s->exponent;
    if (len < stated) {
        return TOC_DECODE_SHORT;
    }
    if (!only_padding(p, stated, len)) {
        return TOC_DECODE_LENGTH;
    }
    if (s->end > stated) {
        return TOC_DECODE_CHAIN;
    }
    *ret_len = stated;
    return TOC_DECODE_OK;
}

static enum toc_decode_verdict check_payload(const struct header *h, const struct stated *s, size_t len)
{
    if (toc_payload_capacity(s->encoding, TOC_RECORD_MAX) == 0) {
        return TOC_DECODE_ENCODING;
    }
    if (h->n == 0) {
        return TOC_DECODE_EMPTY;
    }
    if (h->data_offset < s->end || h->data_offset >= len) {
        return TOC_DECODE_DATA_OFFSET;
    }
    return h->n <= toc_payload_capacity(s->encoding, len - h->data_offset) ? TOC_DECODE_OK : TOC_DECODE_COUNT;
}

/* SEED 2.4, fixed header fields 10 and 11: negative means divide. A zero multiplier is read as one, as by libmseed. */
static double rate_of(const struct header *h, const struct stated *s)
{
    if (s->has_rate) {
        return s->rate_hz;
    }
    double rate = h->rate_factor >= 0 ? h->rate_factor : -1.0 / h->rate_factor;
    if (h->rate_multiplier > 0) {
        rate *= h->rate_multiplier;
    } else if (h->rate_multiplier < 0) {
        rate /= -(double)h->rate_multiplier;
    }
    return rate;
}

/*
 * Start time with microseconds and, unless bit 1 of the activity flags says it was done, the time correction.
 * A tick field of exactly 10000 is seen in real records (a rounded-up 9999.9) and carries into the second.
 */
static enum toc_decode_verdict start_of(const struct header *h, const struct stated *s, toc_ns *ret_start)
{
    toc_ns start;
    if (h->ticks > 10000 || toc_time_from_doy(h->year, h->day, h->hour, h->minute, h->second, 0, &start) < 0) {
        return TOC_DECODE_TIME;
    }
    start += h->ticks * TICK_NS + s->micros * INT64_C(1000);
    if (!(h->activity & 0x02)) {
        start += h->correction * TICK_NS; /* at most 2.5 days: years 1900..2100 cannot overflow */
    }
    *ret_start = start;
    return TOC_DECODE_OK;
}

/* Copy a code of `width` bytes without the blanks behind it. @return its length, -1 when a character is foreign */
static int read_code(const uint8_t *p, int width, bool dash, char *to)
{
    int n = width;
    while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\0')) {
        n--;
    }
    for (int i = 0; i < n; i++) {
        bool good = (p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= '0' && p[i] <= '9') || (dash && p[i] == '-');
        if (!good) {
            return -1;
        }
        to[i] = (char)p[i];
    }
    return n;
}

/* Append a code and an underscore at *at. @return length of the code, -1 as read_code */
static int append_code(const uint8_t *p, int width, bool dash, char **at)
{
    int n = read_code(p, width, dash, *at);
    if (n >= 0) {
        *at += n;
        *(*at)++ = '_';
    }
    return n;
}

/* FDSN source identifier. Blank location is legal; so is "--", which some writers put for it. */
static enum toc_decode_verdict sid_of(const uint8_t *p, char sid[TOC_SID_SIZE])
{
    static const uint8_t blank[2] = "  ";
    const uint8_t *location = p[13] == '-' && p[14] == '-' ? blank : p + 13;
    char *at = sid + 5, channel[4];
    memcpy(sid, "FDSN:", 5);
    if (append_code(p + 18, 2, false, &at) < 1 || append_code(p + 8, 5, true, &at) < 1 ||
        append_code(location, 2, true, &at) < 0 || read_code(p + 15, 3, false, channel) != 3) {
        return TOC_DECODE_CODES;
    }
    const char rest[6] = {channel[0], '_', channel[1], '_', channel[2], '\0'};
    memcpy(at, rest, sizeof(rest));
    return TOC_DECODE_OK;
}

static enum toc_decode_verdict decode_payload(const uint8_t *record, size_t len, const struct header *h,
                                              const struct stated *s, float *ret_samples)
{
    /* Word order other than 0 or 1 is seen in the wild: then the header's order is the best guess. */
    bool big = s->word_order > 1 ? h->big_endian : s->word_order == 1;
    int err = toc_payload_decode(s->encoding, record + h->data_offset, len - h->data_offset, big, h->n, ret_samples);
    return err == 0 ? TOC_DECODE_OK : TOC_DECODE_PAYLOAD;
}

enum toc_decode_verdict toc_decode_record(struct toc_decoder *decoder, const uint8_t *record, size_t len,
                                          struct toc_chunk *ret_chunk)
{
    struct header h = {0};
    struct stated s;
    struct toc_chunk chunk = {.samples = decoder->samples};
    enum toc_decode_verdict verdict = read_header(record, len, &h);
    if (verdict == TOC_DECODE_OK) {
        verdict = sid_of(record, chunk.sid);
    }
    if (verdict == TOC_DECODE_OK) {
        verdict = check_structure(record, len, &h, &s, &len);
    }
    if (verdict == TOC_DECODE_OK) {
        verdict = check_payload(&h, &s, len);
    }
    if (verdict == TOC_DECODE_OK) {
        verdict = start_of(&h, &s, &chunk.start);
    }
    if (verdict != TOC_DECODE_OK) {
        return verdict;
    }
    chunk.rate_hz = rate_of(&h, &s);
    if (!(chunk.rate_hz >= RATE_MIN_HZ && chunk.rate_hz <= RATE_MAX_HZ)) {
        return TOC_DECODE_RATE;
    }
    verdict = decode_payload(record, len, &h, &s, decoder->samples);
    if (verdict == TOC_DECODE_OK) {
        chunk.n = h.n;
        chunk.timing_quality = (int8_t)s.quality;
        *ret_chunk = chunk;
    }
    return verdict;
}
