/*
 * check_model [--more X] PATH...
 *
 * PATH.safetensors on the input of PATH.vec (tests/parity/make.py): with every
 * instruction set of this machine the output must be PyTorch's to 1e-5 of its
 * largest value (of 1, when that is smaller) and X; the same bits must come out of
 * any part of the window, and, of a graph that streams, out of any blocks, of
 * one stream or of several together.
 * Prints the largest difference; the first that is too large fails.
 */
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernels.h"
#include "core/model.h"
#include "tests/unit/model_file.h"

#define TOLERANCE 1e-5
#define STREAMS 5 /* pushed together */

struct check {
    const char *name, *set;
    struct toc_model *model; /* owned */
    uint32_t rows, inputs, out_rows, outputs;
    const float *in, *expected; /* into bytes */
    uint8_t *bytes;             /* owned */
    float *whole, *again;       /* owned; [out_rows][outputs], again: of STREAMS */
    uint32_t random;
    double more; /* allowed on top */
};

__attribute__((format(printf, 2, 3))) static bool fails(const struct check *check, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s (%s): ", check->name, check->set);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    return false;
}

static uint32_t draw(struct check *check, uint32_t n)
{
    check->random = check->random * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)check->random * n) >> 32);
}

static bool read_vector(struct check *check)
{
    char path[1024];
    size_t len = 0, n_in, n_out;

    snprintf(path, sizeof(path), "%s.vec", check->name);
    check->bytes = model_file_read(path, &len);
    if (check->bytes == NULL || len < 16)
        return fails(check, "no vector");
    memcpy(&check->rows, check->bytes, 16);
    n_in = (size_t)check->rows * check->inputs;
    n_out = (size_t)check->out_rows * check->outputs;
    if (len != 16 + 4 * (n_in + n_out))
        return fails(check, "vector of %zu bytes", len);
    check->in = (const float *)(check->bytes + 16);
    check->expected = check->in + n_in;
    check->whole = calloc(n_out, sizeof(float));
    check->again = calloc(STREAMS * n_out, sizeof(float));
    return check->whole != NULL && check->again != NULL;
}

static bool load(struct check *check, const struct toc_kernels *kernels)
{
    char path[1024], why[256] = "cannot be read";
    size_t len = 0;
    uint8_t *bytes;

    snprintf(path, sizeof(path), "%s.safetensors", check->name);
    bytes = model_file_read(path, &len);
    if (bytes == NULL || toc_model_load_for(kernels, bytes, len, &check->model, why, sizeof(why)) != 0)
        fails(check, "%s", why);
    free(bytes);
    if (check->model == NULL)
        return false;
    if (toc_model_inputs(check->model) != check->inputs || toc_model_outputs(check->model) != check->outputs ||
        toc_model_window_rows(check->model, check->rows) != check->out_rows)
        return fails(check, "[%u][%u] is not the shape of the output", check->out_rows, check->outputs);
    return true;
}

static bool check_whole(struct check *check, struct toc_model_scratch *scratch, double *worst)
{
    size_t n = (size_t)check->out_rows * check->outputs;
    double largest = 1, off = 0;
    uint32_t rows = 0;

    if (toc_model_run_window(check->model, scratch, check->in, check->rows, check->whole, &rows) != 0)
        return fails(check, "does not run");
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)check->whole[i] - (double)check->expected[i]);

        largest = fmax(largest, fabs((double)check->expected[i]));
        off = difference <= off ? off : difference; /* NaN stays */
    }
    *worst = off / largest > *worst ? off / largest : *worst;
    return off <= TOLERANCE * largest + check->more || fails(check, "off by %g, the largest value is %g", off, largest);
}

static bool check_parts(struct check *check, struct toc_model_scratch *scratch)
{
    for (int i = 0; i < 8; i++) {
        uint32_t first = draw(check, check->out_rows), count = 1 + draw(check, check->out_rows - first);

        if (toc_model_run_part(check->model, scratch, check->in, check->rows, first, count, check->again) != 0)
            return fails(check, "rows %u+%u of %u do not run", first, count, check->out_rows);
        if (memcmp(check->again, check->whole + (size_t)first * check->outputs,
                   (size_t)count * check->outputs * sizeof(float)) != 0)
            return fails(check, "rows %u+%u of %u are not those of the whole", first, count, check->out_rows);
    }
    return true;
}

static bool check_stream(struct check *check, struct toc_model_scratch *scratch, struct toc_model_stream *stream,
                         uint32_t largest)
{
    uint32_t stride = toc_model_stride(check->model);

    toc_model_stream_reset(stream);
    for (uint32_t t = 0, n; t < check->rows; t += n) {
        n = stride * (1 + draw(check, largest));
        n = check->rows - t < n ? check->rows - t : n;
        toc_model_push(check->model, stream, scratch, check->in + (size_t)t * check->inputs, n,
                       check->again + (size_t)(t / stride) * check->outputs);
    }
    if (memcmp(check->again, check->whole, (size_t)check->out_rows * check->outputs * sizeof(float)) != 0)
        return fails(check, "blocks of 1..%u rows of output are not the whole", largest);
    return true;
}

/* Streams with input of their own, pushed together. */
static void push_together(struct check *check, struct toc_model_scratch *scratch,
                          struct toc_model_stream *const *streams, const float *in, float *together, float *out)
{
    uint32_t stride = toc_model_stride(check->model);
    size_t inputs = check->inputs, outputs = check->outputs;

    for (uint32_t t = 0, n; t < check->rows; t += n) {
        n = stride * (1 + draw(check, 9));
        n = check->rows - t < n ? check->rows - t : n;
        for (size_t s = 0; s < STREAMS; s++)
            memcpy(together + s * n * inputs, in + (s * check->rows + t) * inputs, n * inputs * sizeof(*in));
        toc_model_push_many(check->model, streams, STREAMS, scratch, together, n, out);
        for (size_t s = 0; s < STREAMS; s++)
            memcpy(check->again + (s * check->out_rows + t / stride) * outputs, out + s * (n / stride) * outputs,
                   n / stride * outputs * sizeof(*out));
    }
}

static bool check_together(struct check *check, struct toc_model_scratch *scratch)
{
    size_t n_in = (size_t)check->rows * check->inputs, n_out = (size_t)check->out_rows * check->outputs;
    struct toc_model_stream *streams[STREAMS] = {NULL};
    float *in = calloc(2 * STREAMS * n_in, sizeof(*in)), *out = calloc(STREAMS * n_out, sizeof(*out));
    bool good = in != NULL && out != NULL;

    for (size_t s = 0; good && s < STREAMS; s++) {
        good = toc_model_stream_create(check->model, &streams[s]) == 0;
        for (size_t i = 0; i < n_in; i++)
            in[s * n_in + i] = check->in[i] * ((float)s - 1.5f);
    }
    if (good)
        push_together(check, scratch, streams, in, in + STREAMS * n_in, out);
    for (size_t s = 0; good && s < STREAMS; s++) {
        uint32_t rows = 0;

        toc_model_run_window(check->model, scratch, in + s * n_in, check->rows, check->whole, &rows);
        if (memcmp(check->again + s * n_out, check->whole, n_out * sizeof(*out)) != 0)
            good = fails(check, "stream %zu of %d pushed together is not its window", s, STREAMS);
    }
    for (size_t s = 0; s < STREAMS; s++)
        toc_model_stream_destroy(streams[s]);
    free(in);
    free(out);
    return good;
}

static bool check_streams(struct check *check, struct toc_model_scratch *scratch)
{
    struct toc_model_stream *stream = NULL;
    bool good = true;

    if (toc_model_stream_create(check->model, &stream) != 0)
        return true;
    for (uint32_t largest = 1; good && largest <= check->out_rows; largest *= 4)
        good = check_stream(check, scratch, stream, largest);
    toc_model_stream_destroy(stream);
    return good && check_together(check, scratch);
}

static bool check_set(const char *name, const struct toc_kernels *kernels, double more, double *worst)
{
    struct check check = {.name = name, .set = kernels->name, .random = 1, .more = more};
    struct toc_model_scratch *scratch = NULL;
    bool good = read_vector(&check) && load(&check, kernels);

    if (good && toc_model_scratch_create(check.model, check.rows, &scratch) != 0)
        good = fails(&check, "no scratch");
    good =
        good && check_whole(&check, scratch, worst) && check_parts(&check, scratch) && check_streams(&check, scratch);
    toc_model_scratch_destroy(scratch);
    toc_model_destroy(check.model);
    free(check.bytes);
    free(check.whole);
    free(check.again);
    return good;
}

int main(int argc, char **argv)
{
    static const char *const sets[] = {"plain", "avx2", "avx512"};
    double worst = 0, more = 0;
    int first = 1;
    bool good;

    if (argc > 3 && strcmp(argv[1], "--more") == 0) {
        more = strtod(argv[2], NULL);
        first = 3;
    }
    good = argc > first;
    for (int i = first; i < argc; i++)
        for (size_t s = 0; s < sizeof(sets) / sizeof(*sets); s++)
            if (toc_kernels_named(sets[s]) != NULL)
                good = check_set(argv[i], toc_kernels_named(sets[s]), more, &worst) && good;
    printf("largest difference %.2e\n", worst);
    return good ? 0 : 1;
}
