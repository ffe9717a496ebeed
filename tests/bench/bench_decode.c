/*
 * Records per second through the fence and libmseed, against libmseed alone
 * (msr_parse) on the same Steim2 records. Best of several rounds, CPU time of
 * this thread. Prints figures, judges nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/decode.h"
#include "tests/unit/make_record.h"

#define N_RECORDS 2000
#define ROUNDS 20
#define RECLEN 512

static uint8_t records[N_RECORDS][RECLEN];

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Noise of some hundred counts, as a quiet broadband channel at 100 Hz has it: about 350 samples a record. */
static long make_all(void)
{
    static uint8_t to[MAKE_RECORD_MAX];
    static int32_t samples[1000];
    uint64_t random = 11;
    long total = 0;
    for (int i = 0; i < N_RECORDS; i++) {
        struct make_record spec = make_record_default();
        int length = 0;
        for (int k = 0; k < 1000; k++) {
            samples[k] = (int32_t)(make_random(&random) % 64) + (int32_t)(make_random(&random) % 64);
        }
        spec.samples = samples, spec.n = 1000, spec.start_ns += i * INT64_C(1000000000);
        int n = make_record(&spec, to, &length);
        if (n < 0 || length != RECLEN) {
            exit(1);
        }
        memcpy(records[i], to, RECLEN);
        total += n;
    }
    return total;
}

static double fenced_round(struct toc_decoder *decoder)
{
    double start = seconds();
    for (int i = 0; i < N_RECORDS; i++) {
        struct toc_chunk chunk;
        if (toc_decode_record(decoder, records[i], RECLEN, &chunk) != TOC_DECODE_OK) {
            exit(1);
        }
    }
    return seconds() - start;
}

static double bare_round(MSRecord **msr)
{
    double start = seconds();
    for (int i = 0; i < N_RECORDS; i++) {
        if (msr_parse((char *)records[i], RECLEN, msr, RECLEN, 1, 0) != 0) {
            exit(1);
        }
    }
    return seconds() - start;
}

int main(void)
{
    struct toc_decoder *decoder;
    MSRecord *msr = NULL;
    double fenced = 1e9, bare = 1e9;
    if (toc_decoder_create(&decoder) < 0) {
        return 1;
    }
    long samples = make_all();
    for (int i = 0; i < ROUNDS; i++) {
        double f = fenced_round(decoder), b = bare_round(&msr);
        fenced = f < fenced ? f : fenced;
        bare = b < bare ? b : bare;
    }
    printf("bench decode_records %.0f records/s\n", N_RECORDS / fenced);
    printf("bench decode_samples %.0f samples/s\n", (double)samples / fenced);
    printf("bench decode_bare_libmseed %.0f records/s\n", N_RECORDS / bare);
    printf("ratio %.2f vs libmseed-%s\n", bare / fenced, LIBMSEED_VERSION);
    msr_free(&msr);
    toc_decoder_destroy(decoder);
    return 0;
}
