/*
 * Records per second through the fence and our decoder, against libmseed
 * alone (msr_parse with samples, no fence) on the same bytes. Rounds of the
 * two alternate, kind after kind, so that what else the machine does falls on
 * both; medians; CPU time of this thread. Prints figures, judges nothing.
 */
#include <libmseed.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/decode.h"
#include "tests/unit/make_record.h"

#define N_RECORDS 1000
#define ROUNDS 41
#define RECLEN 512

/* A channel of noise at 100 Hz, as its steps from sample to sample: what decides how many bits a difference takes. */
struct kind {
    const char *name;
    int encoding;
    double step; /* counts, one standard deviation */
    uint8_t (*records)[RECLEN];
    double samples;                                   /* a record */
    double ours[ROUNDS], bare[ROUNDS], ratio[ROUNDS]; /* seconds a round */
};

static struct kind kinds[] = {
    {.name = "steim2_quiet", .encoding = 11, .step = 3},    {.name = "steim2_typical", .encoding = 11, .step = 40},
    {.name = "steim2_event", .encoding = 11, .step = 4000}, {.name = "steim1_typical", .encoding = 10, .step = 40},
    {.name = "int32", .encoding = 3, .step = 40},           {.name = "float32", .encoding = 4, .step = 40},
};
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Sum of twelve uniform numbers: near enough to normal, one standard deviation. */
static double normal(uint64_t *random)
{
    double sum = -6;
    for (int i = 0; i < 12; i++) {
        sum += (double)(make_random(random) >> 11) * 0x1p-53;
    }
    return sum;
}

/* The level swings with noise and comes back to zero; how loud it is differs from record to record, up to twice. */
static void make_all(struct kind *kind)
{
    static uint8_t to[MAKE_RECORD_MAX];
    static int32_t counts[1000];
    static float floats[1000];
    uint64_t random = 11;
    double level = 0;
    kind->records = malloc(N_RECORDS * sizeof(*kind->records));
    for (int i = 0; kind->records && i < N_RECORDS; i++) {
        struct make_record spec = make_record_default();
        double loud = kind->step * exp2(normal(&random) / 3);
        int length = 0;
        for (int k = 0; k < 1000; k++) {
            level = 0.97 * level + loud * normal(&random);
            counts[k] = (int32_t)lrint(level);
            floats[k] = (float)level;
        }
        spec.encoding = kind->encoding;
        spec.samples = kind->encoding == 4 ? (void *)floats : (void *)counts;
        spec.n = 1000, spec.start_ns += i * INT64_C(1000000000);
        int n = make_record(&spec, to, &length);
        if (n < 0 || length != RECLEN) {
            exit(1);
        }
        memcpy(kind->records[i], to, RECLEN);
        kind->samples += (double)n / N_RECORDS;
    }
}

static double our_round(struct toc_decoder *decoder, const struct kind *kind)
{
    double start = seconds();
    for (int i = 0; i < N_RECORDS; i++) {
        struct toc_chunk chunk;
        if (toc_decode_record(decoder, kind->records[i], RECLEN, &chunk) != TOC_DECODE_OK) {
            exit(1);
        }
    }
    return seconds() - start;
}

static double bare_round(MSRecord **msr, const struct kind *kind)
{
    double start = seconds();
    for (int i = 0; i < N_RECORDS; i++) {
        if (msr_parse((char *)kind->records[i], RECLEN, msr, RECLEN, 1, 0) != 0) {
            exit(1);
        }
    }
    return seconds() - start;
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static double median(double values[ROUNDS])
{
    qsort(values, ROUNDS, sizeof(*values), by_value);
    return values[ROUNDS / 2];
}

static void print(struct kind *kind)
{
    double ours = median(kind->ours) / N_RECORDS, bare = median(kind->bare) / N_RECORDS;
    printf("bench decode_%s %.0f records/s\n", kind->name, 1 / ours);
    printf("bench decode_%s_sample %.2f ns\n", kind->name, ours / kind->samples * 1e9);
    printf("bench decode_%s_bare_libmseed %.0f records/s\n", kind->name, 1 / bare);
    printf("ratio %.2f vs libmseed-%s: decode_%s (asked: at least 0.95)\n", median(kind->ratio), LIBMSEED_VERSION,
           kind->name);
}

int main(void)
{
    struct toc_decoder *decoder;
    MSRecord *msr = NULL;
    if (toc_decoder_create(&decoder) < 0) {
        return 1;
    }
    for (size_t k = 0; k < N_KINDS; k++) {
        make_all(&kinds[k]);
    }
    for (int i = 0; i < ROUNDS; i++) {
        for (size_t k = 0; k < N_KINDS; k++) {
            kinds[k].ours[i] = our_round(decoder, &kinds[k]);
            kinds[k].bare[i] = bare_round(&msr, &kinds[k]);
            kinds[k].ratio[i] = kinds[k].bare[i] / kinds[k].ours[i];
        }
    }
    for (size_t k = 0; k < N_KINDS; k++) {
        print(&kinds[k]);
        free(kinds[k].records);
    }
    msr_free(&msr);
    toc_decoder_destroy(decoder);
    return 0;
}
