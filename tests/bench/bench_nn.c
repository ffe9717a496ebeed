/*
 * How fast networks run on one core: the streaming picker's shape with random
 * weights (speed does not depend on their values), and the estimator's
 * recurrent step. Prints `bench NAME VALUE UNIT`; asserts nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/model.h"
#include "tests/unit/model_file.h"

#define MEASURE_S 0.4

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct toc_model *load(const struct model_file *file)
{
    struct toc_model *model = NULL;
    char why[256] = "";

    if (toc_model_load(file->bytes, file->len, &model, why, sizeof(why)) != 0) {
        fprintf(stderr, "bench_nn: %s\n", why);
        exit(1);
    }
    return model;
}

/* Seconds per push of n rows, over `streams` streams in turn: with one, everything stays in cache. The best of five. */
static double seconds_per_push(const struct toc_model *model, uint32_t n, unsigned streams)
{
    struct toc_model_stream **stream = calloc(streams, sizeof(struct toc_model_stream *));
    struct toc_model_scratch *scratch = NULL;
    float *in = calloc((size_t)n * toc_model_inputs(model), sizeof(*in));
    float *out = calloc((size_t)n * toc_model_outputs(model), sizeof(*out));
    struct model_file random = {.random = 99};
    double best = 1e9;

    for (size_t i = 0; i < (size_t)n * toc_model_inputs(model); i++)
        in[i] = model_file_random(&random);
    for (unsigned s = 0; s < streams; s++)
        if (toc_model_stream_create(model, &stream[s]) != 0)
            exit(1);
    if (toc_model_scratch_create(model, n, &scratch) != 0)
        exit(1);
    for (int repeat = 0; repeat < 5; repeat++) {
        double start = now_s(), took = 0;
        unsigned long pushes = 0;

        for (; took < MEASURE_S / 5; took = now_s() - start)
            for (unsigned s = 0; s < streams; s++, pushes++)
                toc_model_push(model, stream[s], scratch, in, n, out);
        best = took / (double)pushes < best ? took / (double)pushes : best;
    }
    for (unsigned s = 0; s < streams; s++)
        toc_model_stream_destroy(stream[s]);
    toc_model_scratch_destroy(scratch);
    free(stream);
    free(in);
    free(out);
    return best;
}

static void bench_picker(void)
{
    static const uint32_t blocks[] = {10, 50};
    struct model_file file;
    struct toc_model *model;
    double push, window;

    model_file_picker(&file, 1);
    model = load(&file);
    for (int b = 0; b < 2; b++) {
        push = seconds_per_push(model, blocks[b], 1);
        printf("bench picker_block_%u_rows %.2f us\n", blocks[b], 1e6 * push);
    }
    printf("bench picker_gflops %.1f Gmac/s\n", toc_model_work(model, 50) / push * 1e-9);
    push = seconds_per_push(model, 50, 300);
    printf("bench picker_stream_station_seconds_per_second %.0f station-s/s (300 stations, hop 0.5 s, 1 core)\n",
           0.5 / push);
    push = seconds_per_push(model, 10, 300);
    printf("bench picker_stream_station_seconds_per_second_hop_0.1 %.0f station-s/s\n", 0.1 / push);
    window = seconds_per_push(model, 3000, 1);
    printf("bench picker_window_30_s %.0f us\n", 1e6 * window);
    toc_model_destroy(model);
    model_file_free(&file);
}

static void bench_recurrent(const char *op, uint32_t gates, uint32_t units)
{
    struct model_file file;
    struct toc_model *model;
    char text[256];

    model_file_start(&file, 1);
    snprintf(text, sizeof(text),
             "{\"input\":{\"channels\":12},\"layers\":[{\"op\":\"%s\",\"name\":\"a\",\"channels\":%u},"
             "{\"op\":\"%s\",\"name\":\"b\",\"channels\":%u},{\"op\":\"dense\",\"name\":\"h\",\"channels\":4}]}",
             op, units, op, units);
    model_file_graph(&file, text);
    model_file_recurrent(&file, "a", gates, units, 12);
    model_file_recurrent(&file, "b", gates, units, units);
    model_file_conv(&file, "h", 4, units, 0);
    model_file_finish(&file, NULL);
    model = load(&file);
    printf("bench %s_2x%u_step %.2f us\n", op, units, 1e6 * seconds_per_push(model, 1, 1));
    printf("bench %s_2x%u_step_of_100 %.2f us\n", op, units, 1e6 * seconds_per_push(model, 100, 1) / 100);
    toc_model_destroy(model);
    model_file_free(&file);
}

int main(void)
{
    bench_picker();
    bench_recurrent("lstm", 4, 50);
    bench_recurrent("lstm", 4, 64);
    bench_recurrent("gru", 3, 64);
    return 0;
}
