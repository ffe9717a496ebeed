/*
 * Test records, packed by libmseed: the oracle that core/decode.c is held
 * against. Header only, so that any test can have it. Not for production:
 * it trusts its caller.
 */
#ifndef TOC_TESTS_MAKE_RECORD_H
#define TOC_TESTS_MAKE_RECORD_H

#include <libmseed.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAKE_RECORD_MAX 65536

struct make_record {
    const char *net, *sta, *loc, *cha;
    int64_t start_ns;
    double rate_hz;
    int encoding; /* SEED code */
    int reclen;
    bool little_endian;
    int timing_quality; /* -1: no blockette 1001 */
    uint32_t sequence;
    const void *samples; /* int32_t for 1, 3, 10, 11; float for 4; double for 5; char for 0 */
    int n;
};

/* A plain record to start from. */
static inline struct make_record make_record_default(void)
{
    return (struct make_record){.net = "XX",
                                .sta = "TEST",
                                .loc = "00",
                                .cha = "HHZ",
                                .start_ns = INT64_C(1562261629040000000),
                                .rate_hz = 100,
                                .encoding = 11,
                                .reclen = 512,
                                .timing_quality = -1,
                                .sequence = 1};
}

struct make_record_out {
    uint8_t *to;
    int length;
};

static inline void make_record_keep_first(char *record, int length, void *data)
{
    struct make_record_out *out = data;
    if (out->length == 0) {
        memcpy(out->to, record, (size_t)length);
        out->length = length;
    }
}

/* Pack as many samples as one record takes. `to` holds MAKE_RECORD_MAX bytes. @return samples in it, < 0 on error */
static inline int make_record(const struct make_record *spec, uint8_t *to, int *ret_length)
{
    struct make_record_out out = {.to = to};
    MSRecord *msr = msr_init(NULL);
    int result = -1;
    int64_t packed = 0;
    size_t width = spec->encoding == 5 ? 8 : spec->encoding == 0 ? 1 : 4;
    strcpy(msr->network, spec->net);
    strcpy(msr->station, spec->sta);
    strcpy(msr->location, spec->loc);
    strcpy(msr->channel, spec->cha);
    msr->dataquality = 'D';
    msr->sequence_number = (int32_t)spec->sequence;
    msr->starttime = spec->start_ns / 1000;
    msr->samprate = spec->rate_hz;
    msr->reclen = spec->reclen;
    msr->encoding = (int8_t)spec->encoding;
    msr->byteorder = spec->little_endian ? 0 : 1;
    msr->sampletype = spec->encoding == 5 ? 'd' : spec->encoding == 4 ? 'f' : spec->encoding == 0 ? 'a' : 'i';
    msr->samplecnt = msr->numsamples = spec->n;
    msr->datasamples = malloc((size_t)spec->n * width + 1);
    memcpy(msr->datasamples, spec->samples, (size_t)spec->n * width);
    if (spec->timing_quality >= 0) {
        struct blkt_1001_s quality = {.timing_qual = (uint8_t)spec->timing_quality};
        msr_addblockette(msr, (char *)&quality, sizeof(quality), 1001, 0);
    }
    if (msr_pack(msr, make_record_keep_first, &out, &packed, 1, 0) >= 1) {
        uint8_t *n = to + 30;
        result = spec->little_endian ? n[1] << 8 | n[0] : n[0] << 8 | n[1];
        *ret_length = out.length;
    }
    msr_free(&msr);
    return result;
}

/* A repeatable stream of numbers (xorshift; Marsaglia 2003). */
static inline uint64_t make_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif
