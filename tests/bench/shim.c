/*
 * What the benchmark driver (tests/bench/engine.py) cannot do from Python: the core's own functions come along in the
 * same library; here are loops without a call from Python in them, the FMA peak, and threads. Never installed.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "core/model.h"

double bench_fma_peak(void);
const char *bench_fma_width(void);
double bench_pushes(const struct toc_model *model, struct toc_model_stream *stream, struct toc_model_scratch *scratch,
                    const float *rows, uint32_t n, uint32_t repeats, float *ret_out);
void bench_push_in_turn(const struct toc_model *model, struct toc_model_stream *const *streams, uint32_t n_streams,
                        struct toc_model_scratch *scratch, const float *rows, uint32_t n, float *ret_out);
double bench_workers(const struct toc_model *model, const int *cpus, uint32_t n_workers, const float *rows, uint32_t n,
                     uint32_t n_windows, uint32_t repeats, uint32_t *ret_disturbed);

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Twelve independent chains: more than two units times their latency of four, and few enough for sixteen registers. */
#define CHAINS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define N_CHAINS 12
#define PEAK_TURNS 20000u

#if defined(__x86_64__)
#include <immintrin.h>

#define START_512(k) __m512 a##k = _mm512_set1_ps(1.0f + 0.01f * k);
#define STEP_512(k) a##k = _mm512_fmadd_ps(a##k, scale, shift);
#define SUM_512(k) sum = _mm512_add_ps(sum, a##k);

__attribute__((target("avx512f"))) static float chains_512(unsigned turns)
{
    const __m512 scale = _mm512_set1_ps(0.999f), shift = _mm512_set1_ps(0.001f);
    __m512 sum = _mm512_setzero_ps();

    CHAINS(START_512)
    for (unsigned t = 0; t < turns; t++) {
        CHAINS(STEP_512)
    }
    CHAINS(SUM_512)
    return _mm512_reduce_add_ps(sum);
}

#define START_256(k) __m256 a##k = _mm256_set1_ps(1.0f + 0.01f * k);
#define STEP_256(k) a##k = _mm256_fmadd_ps(a##k, scale, shift);
#define SUM_256(k) sum = _mm256_add_ps(sum, a##k);

__attribute__((target("avx2,fma"))) static float chains_256(unsigned turns)
{
    const __m256 scale = _mm256_set1_ps(0.999f), shift = _mm256_set1_ps(0.001f);
    __m256 sum = _mm256_setzero_ps();

    CHAINS(START_256)
    for (unsigned t = 0; t < turns; t++) {
        CHAINS(STEP_256)
    }
    CHAINS(SUM_256)
    return _mm256_cvtss_f32(sum);
}
#endif

/* Four floats side by side, which every compiler makes the best of; multiply and add may stay two instructions. */
typedef float four __attribute__((vector_size(16)));
#define START_128(k) four a##k = {1.0f + 0.01f * k, 1.0f, 1.0f, 1.0f};
#define STEP_128(k) a##k = a##k * scale + shift;
#define SUM_128(k) sum += a##k;

static float chains_128(unsigned turns)
{
    const four scale = {0.999f, 0.999f, 0.999f, 0.999f}, shift = {0.001f, 0.001f, 0.001f, 0.001f};
    four sum = {0};

    CHAINS(START_128)
    for (unsigned t = 0; t < turns; t++) {
        CHAINS(STEP_128)
    }
    CHAINS(SUM_128)
    return sum[0] + sum[1] + sum[2] + sum[3];
}

static float (*widest(unsigned *ret_lanes, const char **ret_name))(unsigned)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) {
        *ret_lanes = 16, *ret_name = "AVX-512";
        return chains_512;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        *ret_lanes = 8, *ret_name = "AVX2 + FMA";
        return chains_256;
    }
#endif
    *ret_lanes = 4, *ret_name = "128-bit multiply and add";
    return chains_128;
}

/* Multiply-adds a second of one core, once, over a tenth of a millisecond. */
double bench_fma_peak(void)
{
    volatile float kept;
    unsigned lanes;
    const char *name;
    float (*chains)(unsigned) = widest(&lanes, &name);
    double start = now_s();

    kept = chains(PEAK_TURNS);
    (void)kept;
    return (double)PEAK_TURNS * N_CHAINS * lanes / (now_s() - start);
}

const char *bench_fma_width(void)
{
    unsigned lanes;
    const char *name;

    widest(&lanes, &name);
    return name;
}

/* Seconds of one push of n rows, over `repeats` of them. */
double bench_pushes(const struct toc_model *model, struct toc_model_stream *stream, struct toc_model_scratch *scratch,
                    const float *rows, uint32_t n, uint32_t repeats, float *ret_out)
{
    double start = now_s();

    for (uint32_t i = 0; i < repeats; i++)
        toc_model_push(model, stream, scratch, rows, n, ret_out);
    return (now_s() - start) / repeats;
}

/* One block of n rows for each stream. rows: [n_streams][n][inputs] */
void bench_push_in_turn(const struct toc_model *model, struct toc_model_stream *const *streams, uint32_t n_streams,
                        struct toc_model_scratch *scratch, const float *rows, uint32_t n, float *ret_out)
{
    size_t in = (size_t)n * toc_model_inputs(model), out = n / toc_model_stride(model) * toc_model_outputs(model);

    for (uint32_t s = 0; s < n_streams; s++)
        toc_model_push(model, streams[s], scratch, rows + s * in, n, ret_out + s * out);
}

struct worker {
    pthread_t thread;
    pthread_barrier_t *ready;
    const struct toc_model *model;
    const float *rows; /* [n_windows][n][inputs] */
    uint32_t n, n_windows, repeats;
    int cpu;
    double start, end; /* s */
    long disturbed;    /* times the kernel took the core away */
};

static long preemptions(void)
{
    struct rusage usage;

    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nivcsw;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct toc_model_scratch *scratch = NULL;
    size_t in = (size_t)w->n * toc_model_inputs(w->model);
    float *out = calloc((size_t)w->n * toc_model_outputs(w->model), sizeof(*out));
    uint32_t rows;
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(w->cpu, &set);
    pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
    if (!out || toc_model_scratch_create(w->model, w->n, &scratch) != 0)
        abort();
    toc_model_run_window(w->model, scratch, w->rows, w->n, out, &rows); /* warm */
    pthread_barrier_wait(w->ready);
    w->disturbed = -preemptions();
    w->start = now_s();
    for (uint32_t i = 0; i < w->repeats; i++)
        toc_model_run_window(w->model, scratch, w->rows + i % w->n_windows * in, w->n, out, &rows);
    w->end = now_s();
    w->disturbed += preemptions();
    toc_model_scratch_destroy(scratch);
    free(out);
    return NULL;
}

/* Windows a second of n_workers threads (at most 64), each on its own core with its own scratch, `repeats` windows
 * each, from the first start to the last end. ret_disturbed: times the kernel took one of their cores away meanwhile.
 */
double bench_workers(const struct toc_model *model, const int *cpus, uint32_t n_workers, const float *rows, uint32_t n,
                     uint32_t n_windows, uint32_t repeats, uint32_t *ret_disturbed)
{
    struct worker workers[64];
    pthread_barrier_t ready;
    double start, end;

    pthread_barrier_init(&ready, NULL, n_workers);
    for (uint32_t k = 0; k < n_workers; k++) {
        workers[k] = (struct worker){.ready = &ready,
                                     .model = model,
                                     .rows = rows,
                                     .n = n,
                                     .n_windows = n_windows,
                                     .repeats = repeats,
                                     .cpu = cpus[k]};
        if (pthread_create(&workers[k].thread, NULL, work, &workers[k]) != 0)
            abort();
    }
    start = 1e300, end = 0, *ret_disturbed = 0;
    for (uint32_t k = 0; k < n_workers; k++) {
        pthread_join(workers[k].thread, NULL);
        start = workers[k].start < start ? workers[k].start : start;
        end = workers[k].end > end ? workers[k].end : end;
        *ret_disturbed += (uint32_t)workers[k].disturbed;
    }
    pthread_barrier_destroy(&ready);
    return (double)n_workers * repeats / (end - start);
}
