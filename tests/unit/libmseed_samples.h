/*
 * The oracle of core/payload.c: the samples of a record as libmseed decodes
 * them. Only for records that our fence let pass (verdict OK or PAYLOAD):
 * libmseed reads past its buffer on others. Its header parser guesses where
 * ours does not, so the few fields are read here.
 */
#ifndef TOC_TESTS_LIBMSEED_SAMPLES_H
#define TOC_TESTS_LIBMSEED_SAMPLES_H

#include <float.h>
#include <libmseed.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct libmseed_samples {
    bool good;  /* as many as the header states and, of Steim, ending as stated */
    bool found; /* as many as the header states: libmseed only warns of another end */
    int n;
    float samples[65536];
    uint32_t last; /* of integers: the last one, not rounded to float */
};

static inline void libmseed_silent(char *text)
{
    (void)text;
}

static inline uint32_t libmseed_get(const uint8_t *p, int size, bool big)
{
    uint32_t value = 0;
    for (int i = 0; i < size; i++) {
        value = value << 8 | p[big ? i : size - 1 - i];
    }
    return value;
}

static inline float libmseed_float(const MSRecord *msr, int i)
{
    if (msr->sampletype == 'i') {
        return (float)((int32_t *)msr->datasamples)[i];
    }
    if (msr->sampletype == 'f') {
        return ((float *)msr->datasamples)[i];
    }
    double x = ((double *)msr->datasamples)[i];
    return fabs(x) > FLT_MAX ? (x > 0 ? INFINITY : -INFINITY) : (float)x;
}

/* Let libmseed unpack a copy of the record: exact, but for the bytes that put the payload on a multiple of eight. */
static inline int libmseed_unpack(MSRecord *msr, const uint8_t *record, uint32_t offset, bool swap)
{
    static uint8_t *copy;
    struct fsdh_s header = {.data_offset = (uint16_t)offset};
    copy = realloc(copy, (size_t)msr->reclen + 8);
    msr->record = (char *)copy + (8 - offset % 8) % 8;
    memcpy(msr->record, record, (size_t)msr->reclen);
    msr->fsdh = &header;
    ms_loginit(libmseed_silent, NULL, libmseed_silent, NULL);
    int n = msr_unpack_data(msr, swap, 0);
    msr->record = NULL; /* neither is its own */
    msr->fsdh = NULL;
    return n;
}

/* Decode the record that starts at `record` and is as long as its blockette 1000 says. */
static inline void libmseed_decode(const uint8_t *record, struct libmseed_samples *ret)
{
    uint32_t year = libmseed_get(record + 20, 2, true), day = libmseed_get(record + 22, 2, true);
    bool big = year >= 1900 && year <= 2100 && day >= 1 && day <= 366;
    uint32_t offset = libmseed_get(record + 44, 2, big);
    const uint8_t *stated = record + libmseed_get(record + 46, 2, big);
    while (libmseed_get(stated, 2, big) != 1000) {
        stated = record + libmseed_get(stated + 2, 2, big);
    }
    bool payload_big = stated[5] > 1 ? big : stated[5] == 1;
    MSRecord *msr = msr_init(NULL);
    msr->reclen = 1 << stated[6];
    msr->encoding = (int8_t)stated[4];
    msr->samplecnt = libmseed_get(record + 30, 2, big);
    ret->n = libmseed_unpack(msr, record, offset, payload_big != (ms_bigendianhost() != 0));
    ret->found = ret->n > 0 && ret->n == (int)msr->samplecnt;
    for (int i = 0; ret->found && i < ret->n; i++) {
        ret->samples[i] = libmseed_float(msr, i);
    }
    bool steim = msr->encoding == DE_STEIM1 || msr->encoding == DE_STEIM2;
    ret->last = ret->found && msr->sampletype == 'i' ? ((uint32_t *)msr->datasamples)[ret->n - 1] : 0;
    ret->good = ret->found && (!steim || ret->last == libmseed_get(record + offset + 8, 4, payload_big));
    msr_free(&msr);
}

#endif
