/*
 * core/model, with core/graph and core/net under it: PyTorch's stored results
 * repeated whole and streamed, blocks of any size, what is refused and by
 * which name, damaged files, and no allocation while running.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>

#include "core/kernels.h"
#include "core/model.h"
#include "tests/unit/allocations.h"
#include "tests/unit/model_file.h"

#define TOLERANCE 1e-5

/* ---- help ---- */

static struct toc_model *load_file(const struct model_file *file)
{
    struct toc_model *model = NULL;
    char why[256] = "";

    if (toc_model_load(file->bytes, file->len, &model, why, sizeof(why)) != 0)
        fail_msg("refused: %s", why);
    return model;
}

static void fill_random(float *values, size_t n, uint32_t seed)
{
    struct model_file file = {.random = seed * 2654435761u + 1u};

    for (size_t i = 0; i < n; i++)
        values[i] = 2.0f * model_file_random(&file);
}

static double largest_difference(const float *a, const float *b, size_t n)
{
    double worst = 0;

    for (size_t i = 0; i < n; i++) {
        assert_true(isfinite(a[i]) && isfinite(b[i]));
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
    }
    return worst;
}

/* Stream `rows` rows in blocks of `block`; the last one may be shorter. */
static void stream_blocks(const struct toc_model *model, const float *in, uint32_t rows, uint32_t block, float *ret_out)
{
    struct toc_model_stream *stream = NULL;
    struct toc_model_scratch *scratch = NULL;
    uint32_t inputs = toc_model_inputs(model), outputs = toc_model_outputs(model), stride = toc_model_stride(model);

    assert_int_equal(toc_model_stream_create(model, &stream), 0);
    assert_int_equal(toc_model_scratch_create(model, block, &scratch), 0);
    for (uint32_t t = 0; t < rows; t += block) {
        uint32_t n = rows - t < block ? rows - t : block;

        toc_model_push(model, stream, scratch, in + t * inputs, n, ret_out + t / stride * outputs);
    }
    toc_model_scratch_destroy(scratch);
    toc_model_stream_destroy(stream);
}

static float *run_whole(const struct toc_model *model, const float *in, uint32_t rows, uint32_t *ret_rows)
{
    struct toc_model_scratch *scratch = NULL;
    size_t room = (size_t)toc_model_window_rows(model, rows) * toc_model_outputs(model);
    float *out = calloc(room, sizeof(*out));

    assert_int_equal(toc_model_scratch_create(model, rows, &scratch), 0);
    assert_int_equal(toc_model_run_window(model, scratch, in, rows, out, ret_rows), 0);
    toc_model_scratch_destroy(scratch);
    return out;
}

/* ---- against PyTorch ---- */

struct vector {
    uint8_t *bytes; /* owned */
    uint32_t in_rows, in_channels, out_rows, out_channels;
    const float *in, *out;
};

static uint8_t *read_parity(const char *name, const char *suffix, size_t *ret_len)
{
    uint8_t *bytes = model_file_stored(name, suffix, ret_len);

    if (bytes == NULL)
        fail_msg("cannot read %s%s", name, suffix);
    return bytes;
}

static struct vector read_vector(const char *name)
{
    struct vector vector = {0};
    size_t len = 0, n_in, n_out;

    vector.bytes = read_parity(name, ".vec", &len);
    assert_true(len >= 16);
    memcpy(&vector.in_rows, vector.bytes, 16);
    n_in = (size_t)vector.in_rows * vector.in_channels;
    n_out = (size_t)vector.out_rows * vector.out_channels;
    assert_int_equal(len, 16 + 4 * (n_in + n_out));
    vector.in = (const float *)(vector.bytes + 16);
    vector.out = vector.in + n_in;
    return vector;
}

static struct toc_model *load_parity(const char *name)
{
    struct model_file file = {0};
    struct toc_model *model;

    file.bytes = read_parity(name, ".safetensors", &file.len);
    model = load_file(&file);
    free(file.bytes);
    return model;
}

static void parity_streamed(const struct toc_model *model, const struct vector *vector, const char *name)
{
    uint32_t stride = toc_model_stride(model), blocks[] = {stride, 2 * stride, 5 * stride, vector->in_rows};
    size_t n = (size_t)vector->out_rows * vector->out_channels;
    float *out = calloc(n, sizeof(*out));

    for (size_t b = 0; b < sizeof(blocks) / sizeof(*blocks); b++) {
        stream_blocks(model, vector->in, vector->in_rows, blocks[b], out);
        if (largest_difference(out, vector->out, n) > TOLERANCE)
            fail_msg("%s in blocks of %u: off by %g", name, blocks[b], largest_difference(out, vector->out, n));
    }
    free(out);
}

static void parity(const char *name, bool causal)
{
    struct vector vector = read_vector(name);
    struct toc_model *model = load_parity(name);
    struct toc_model_stream *stream = NULL;
    uint32_t rows = 0;
    float *out = run_whole(model, vector.in, vector.in_rows, &rows);
    double off = largest_difference(out, vector.out, (size_t)vector.out_rows * vector.out_channels);

    assert_int_equal(toc_model_inputs(model), vector.in_channels);
    assert_int_equal(toc_model_outputs(model), vector.out_channels);
    assert_int_equal(rows, vector.out_rows);
    if (off > TOLERANCE)
        fail_msg("%s whole: off by %g", name, off);
    if (causal)
        parity_streamed(model, &vector, name);
    else
        assert_int_equal(toc_model_stream_create(model, &stream), -EINVAL);
    free(out);
    toc_model_destroy(model);
    free(vector.bytes);
}

static void layers_that_stream_repeat_pytorch(void **state)
{
    (void)state;
    parity("conv_causal", true);
    parity("pools_causal", true);
    parity("pointwise", true);
    parity("folding", true);
    parity("conv_groups", true);
}

static void layers_of_windows_repeat_pytorch(void **state)
{
    (void)state;
    parity("conv_padded", false);
    parity("transposed", false);
    parity("pools", false);
    parity("window_heads", false);
    parity("last_rows", false);
    parity("pictures", false);
    parity("attentions", false);
    parity("both_directions", false);
}

static void networks_repeat_pytorch(void **state)
{
    (void)state;
    parity("lstm_50_50", true);
    parity("gru_50_50", true);
    parity("causal_net", true);
    parity("u_net", false);
    parity("eqtransformer", false);
    parity("gpd", false);
}

/* Row S1 of the requirements: its weights are made here, as tests/parity/make.py made them (class Formula). */
static void textbook_cnn_repeats_pytorch(void **state)
{
    static const struct {
        const char *name;
        uint32_t n_dims, dims[4];
        float scale;
    } tensors[] = {
        {"conv1.weight", 4, {32, 1, 3, 3}, 0.6f},  {"conv1.bias", 1, {32}, 0.1f},
        {"conv2.weight", 4, {64, 32, 3, 3}, 0.1f}, {"conv2.bias", 1, {64}, 0.1f},
        {"dense1.weight", 2, {128, 1600}, 0.04f},  {"dense1.bias", 1, {128}, 0.1f},
        {"dense2.weight", 2, {10, 128}, 0.15f},    {"dense2.bias", 1, {10}, 0.1f},
    };
    struct vector vector = read_vector("textbook_cnn");
    struct model_file file;
    struct toc_model *model;
    uint32_t rows = 0;
    float *out;

    (void)state;
    model_file_start(&file, 28);
    model_file_graph(&file,
                     "{\"input\":{\"channels\":1,\"length\":28,\"width\":28},\"layers\":["
                     "{\"op\":\"conv2d\",\"name\":\"conv1\",\"channels\":32,\"kernel\":3,\"activation\":\"relu\"},"
                     "{\"op\":\"maxpool2d\",\"name\":\"pool1\",\"kernel\":2},"
                     "{\"op\":\"conv2d\",\"name\":\"conv2\",\"channels\":64,\"kernel\":3,\"activation\":\"relu\"},"
                     "{\"op\":\"maxpool2d\",\"name\":\"pool2\",\"kernel\":2},{\"op\":\"flatten\",\"name\":\"flat\"},"
                     "{\"op\":\"dense\",\"name\":\"dense1\",\"channels\":128,\"activation\":\"relu\"},"
                     "{\"op\":\"dense\",\"name\":\"dense2\",\"channels\":10},"
                     "{\"op\":\"softmax\",\"name\":\"prob\"}]}");
    for (size_t i = 0; i < sizeof(tensors) / sizeof(*tensors); i++)
        model_file_shaped(&file, tensors[i].name, tensors[i].dims, tensors[i].n_dims, 0.0f, tensors[i].scale);
    model_file_finish(&file, NULL);
    model = load_file(&file);
    assert_int_equal(toc_model_inputs(model), vector.in_channels);
    out = run_whole(model, vector.in, vector.in_rows, &rows);
    assert_int_equal(rows, vector.out_rows);
    assert_true(largest_difference(out, vector.out, vector.out_channels) < TOLERANCE);
    free(out);
    free(vector.bytes);
    toc_model_destroy(model);
    model_file_free(&file);
}

/* ---- streams ---- */

enum { PICKER_ROWS = 1500 };

static void blocks_of_any_size_agree(void **state)
{
    static float in[PICKER_ROWS * 7], out[PICKER_ROWS / 5 * 7];
    const uint32_t blocks[] = {5, 10, 50, 200, 45};
    struct model_file file;
    struct toc_model *model;
    uint32_t rows = 0;
    float *whole;

    (void)state;
    model_file_picker(&file, 1);
    model = load_file(&file);
    fill_random(in, PICKER_ROWS * 7, 2);
    whole = run_whole(model, in, PICKER_ROWS, &rows);
    assert_int_equal(rows, PICKER_ROWS / 5);
    for (size_t b = 0; b < sizeof(blocks) / sizeof(*blocks); b++) {
        stream_blocks(model, in, PICKER_ROWS, blocks[b], out);
        assert_true(largest_difference(out, whole, PICKER_ROWS / 5 * 7) < TOLERANCE);
    }
    free(whole);
    toc_model_destroy(model);
    model_file_free(&file);
}

static void same_blocks_give_the_same_bits(void **state)
{
    static float in[PICKER_ROWS * 7], first[PICKER_ROWS / 5 * 7], second[PICKER_ROWS / 5 * 7];
    struct model_file file;
    struct toc_model *model;

    (void)state;
    model_file_picker(&file, 1);
    model = load_file(&file);
    fill_random(in, PICKER_ROWS * 7, 3);
    for (uint32_t block = 5; block <= 50; block += 45) {
        void *shift = malloc(8200); /* so that the second run's buffers lie elsewhere */

        stream_blocks(model, in, PICKER_ROWS, block, first);
        free(shift);
        shift = malloc(24);
        stream_blocks(model, in, PICKER_ROWS, block, second);
        free(shift);
        assert_memory_equal(first, second, sizeof(first));
    }
    toc_model_destroy(model);
    model_file_free(&file);
}

static void one_scratch_serves_many_streams(void **state)
{
    static float in[2][PICKER_ROWS * 7], alone[2][PICKER_ROWS / 5 * 7], mixed[2][PICKER_ROWS / 5 * 7];
    struct toc_model_stream *stream[2] = {NULL, NULL};
    struct toc_model_scratch *scratch = NULL;
    struct model_file file;
    struct toc_model *model;

    (void)state;
    model_file_picker(&file, 4);
    model = load_file(&file);
    assert_int_equal(toc_model_scratch_create(model, 50, &scratch), 0);
    for (int s = 0; s < 2; s++) {
        fill_random(in[s], PICKER_ROWS * 7, (uint32_t)s + 5);
        stream_blocks(model, in[s], PICKER_ROWS, 50, alone[s]);
        assert_int_equal(toc_model_stream_create(model, &stream[s]), 0);
    }
    for (uint32_t t = 0; t < PICKER_ROWS; t += 50)
        for (int s = 0; s < 2; s++)
            toc_model_push(model, stream[s], scratch, in[s] + t * 7, 50, mixed[s] + t / 5 * 7);
    assert_memory_equal(alone, mixed, sizeof(alone));
    assert_memory_not_equal(mixed[0], mixed[1], sizeof(mixed[0]));
    for (int s = 0; s < 2; s++)
        toc_model_stream_destroy(stream[s]);
    toc_model_scratch_destroy(scratch);
    toc_model_destroy(model);
    model_file_free(&file);
}

static void reset_forgets_everything(void **state)
{
    const char *const names[] = {"lstm_50_50", "gru_50_50", "pools_causal", "causal_net"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct vector vector = read_vector(names[i]);
        struct toc_model *model = load_parity(names[i]);
        struct toc_model_stream *stream = NULL;
        struct toc_model_scratch *scratch = NULL;
        float *out = calloc((size_t)vector.out_rows * vector.out_channels, sizeof(*out));

        assert_int_equal(toc_model_stream_create(model, &stream), 0);
        assert_int_equal(toc_model_scratch_create(model, vector.in_rows, &scratch), 0);
        toc_model_push(model, stream, scratch, vector.in, vector.in_rows, out);
        toc_model_push(model, stream, scratch, vector.in, vector.in_rows, out); /* carries on: another result */
        assert_true(largest_difference(out, vector.out, vector.out_channels) > 1e-4);
        toc_model_stream_reset(stream);
        toc_model_push(model, stream, scratch, vector.in, vector.in_rows, out);
        assert_true(largest_difference(out, vector.out, (size_t)vector.out_rows * vector.out_channels) < TOLERANCE);
        toc_model_stream_destroy(stream);
        toc_model_scratch_destroy(scratch);
        toc_model_destroy(model);
        free(out);
        free(vector.bytes);
    }
}

static void rubbish_in_finite_out(void **state)
{
    const char *const names[] = {"lstm_50_50", "gru_50_50", "pools_causal", "causal_net", "pointwise"};
    const float rubbish[] = {NAN, INFINITY, -INFINITY, 3.4e38f, -3.4e38f, 1e-42f};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        struct vector vector = read_vector(names[i]);
        struct toc_model *model = load_parity(names[i]);
        size_t n = (size_t)vector.in_rows * vector.in_channels;
        float *bad = calloc(n, sizeof(*bad)), *zeroed = calloc(n, sizeof(*zeroed));
        float *out = calloc(n + 4096, sizeof(*out)), *other = calloc(n + 4096, sizeof(*other));
        size_t n_out = (size_t)vector.out_rows * vector.out_channels;

        for (size_t k = 0; k < n; k++) {
            bad[k] = k % 11 == 5 ? rubbish[k % 3] : vector.in[k];
            zeroed[k] = k % 11 == 5 ? 0.0f : vector.in[k];
        }
        stream_blocks(model, bad, vector.in_rows, vector.in_rows, out);
        stream_blocks(model, zeroed, vector.in_rows, vector.in_rows, other);
        assert_memory_equal(out, other, n_out * sizeof(*out));
        for (size_t k = 0; k < n; k++)
            bad[k] = rubbish[k % 6];
        stream_blocks(model, bad, vector.in_rows, vector.in_rows, out);
        for (size_t k = 0; k < n_out; k++)
            assert_true(isfinite(out[k]));
        free(bad);
        free(zeroed);
        free(out);
        free(other);
        toc_model_destroy(model);
        free(vector.bytes);
    }
}

static void running_allocates_nothing(void **state)
{
    const char *const names[] = {"causal_net", "lstm_50_50", "gru_50_50", "pools_causal", "conv_causal", "pointwise"};

    (void)state;
#ifdef SANITIZED
    skip(); /* the sanitizer owns malloc */
#endif
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        struct vector vector = read_vector(names[i]);
        struct toc_model *model = load_parity(names[i]);
        struct toc_model_stream *stream = NULL;
        struct toc_model_scratch *scratch = NULL;
        static float out[8192];
        unsigned long before;
        uint32_t rows, stride = toc_model_stride(model);

        assert_int_equal(toc_model_stream_create(model, &stream), 0);
        assert_int_equal(toc_model_scratch_create(model, vector.in_rows, &scratch), 0);
        before = allocations;
        assert_true(before > 0); /* the counter counts */
        toc_model_push(model, stream, scratch, vector.in, stride, out);
        toc_model_push(model, stream, scratch, vector.in, vector.in_rows, out);
        toc_model_stream_reset(stream);
        assert_int_equal(toc_model_run_window(model, scratch, vector.in, vector.in_rows, out, &rows), 0);
        assert_int_equal(allocations, before);
        toc_model_stream_destroy(stream);
        toc_model_scratch_destroy(scratch);
        toc_model_destroy(model);
        free(vector.bytes);
    }
}

static void sizes_that_do_not_fit_are_refused(void **state)
{
    struct toc_model *net = load_parity("causal_net"), *window = load_parity("u_net");
    struct toc_model_scratch *scratch = NULL;
    static float in[4096], out[4096];
    uint32_t rows = 77;

    (void)state;
    assert_int_equal(toc_model_stride(net), 5);
    assert_int_equal(toc_model_length(net), 0);
    assert_int_equal(toc_model_length(window), 64);
    assert_int_equal(toc_model_scratch_create(net, 4, &scratch), -EINVAL);
    assert_int_equal(toc_model_scratch_create(net, 2000000, &scratch), -EINVAL);
    assert_int_equal(toc_model_scratch_create(net, 1000000, &scratch), -E2BIG);
    assert_int_equal(toc_model_scratch_create(window, 63, &scratch), -EINVAL);
    assert_int_equal(toc_model_scratch_create(net, 10, &scratch), 0);
    assert_int_equal(toc_model_run_window(net, scratch, in, 7, out, &rows), -EINVAL);
    assert_int_equal(toc_model_run_window(net, scratch, in, 15, out, &rows), -EINVAL);
    assert_int_equal(toc_model_run_window(net, scratch, in, 0, out, &rows), -EINVAL);
    toc_model_scratch_destroy(scratch);
    assert_int_equal(toc_model_scratch_create(window, 64, &scratch), 0);
    assert_int_equal(toc_model_run_window(window, scratch, in, 32, out, &rows), -EINVAL);
    assert_int_equal(rows, 77);
    toc_model_scratch_destroy(scratch);
    toc_model_destroy(net);
    toc_model_destroy(window);
    toc_model_destroy(NULL);
    toc_model_stream_destroy(NULL);
    toc_model_scratch_destroy(NULL);
}

/* ---- random graphs ---- */

static uint32_t pick(struct model_file *file, uint32_t n)
{
    model_file_random(file);
    return file->random / 7 % n;
}

/* One more layer that streams, reading the one before; channels and rows-per-row are kept up. */
static void random_layer(struct model_file *file, int index, uint32_t *channels, uint32_t *stride)
{
    static const char *const acts[] = {"none", "relu", "leaky_relu", "tanh", "sigmoid"};
    uint32_t op = pick(file, 7), out = 1 + pick(file, 20), kernel = 1 + pick(file, 9);
    uint32_t step = *stride < 12 ? 1 + pick(file, 3) : 1, dilation = 1 + pick(file, 5);
    const char *before = file->graph[strlen(file->graph) - 1] == '[' ? "" : ",";
    char name[16], text[256];

    snprintf(name, sizeof(name), "l%d", index);
    if (op < 3) {
        snprintf(text, sizeof(text),
                 "%s{\"op\":\"conv1d\",\"name\":\"%s\",\"channels\":%u,\"kernel\":%u,\"stride\":%u,\"dilation\":%u,"
                 "\"padding\":\"causal\",\"activation\":\"%s\"}",
                 before, name, out, kernel, step, dilation, acts[pick(file, 5)]);
        model_file_conv(file, name, out, *channels, kernel);
    } else if (op < 5) {
        snprintf(text, sizeof(text), "%s{\"op\":\"%s\",\"name\":\"%s\",\"channels\":%u}", before,
                 op == 3 ? "lstm" : "gru", name, out);
        model_file_recurrent(file, name, op == 3 ? 4 : 3, out, *channels);
    } else {
        snprintf(text, sizeof(text),
                 "%s{\"op\":\"%s\",\"name\":\"%s\",\"kernel\":%u,\"stride\":%u,\"padding\":\"causal\"}", before,
                 op == 5 ? "maxpool" : "avgpool", name, kernel, step);
        out = *channels;
    }
    *stride *= op < 3 || op > 4 ? step : 1;
    *channels = out;
    model_file_graph(file, text);
}

static void random_graph(struct model_file *file, uint32_t seed)
{
    uint32_t channels = 1 + seed % 9, stride = 1, layers;
    char text[64];

    model_file_start(file, seed);
    for (int i = 0; i < 10; i++)
        model_file_random(file); /* small seeds start alike */
    layers = 1 + pick(file, 6);
    snprintf(text, sizeof(text), "{\"input\":{\"channels\":%u},\"layers\":[", channels);
    model_file_graph(file, text);
    for (uint32_t i = 0; i < layers; i++)
        random_layer(file, (int)i, &channels, &stride);
    model_file_graph(file, "]}");
    model_file_finish(file, NULL);
}

static void random_graphs_stream_as_they_run_whole(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 200; seed++) {
        struct model_file file;
        struct toc_model *model;
        uint32_t rows, stride;
        float *in, *out, *whole;

        random_graph(&file, seed);
        model = load_file(&file);
        stride = toc_model_stride(model);
        rows = stride * 30;
        in = calloc((size_t)rows * toc_model_inputs(model), sizeof(*in));
        out = calloc((size_t)rows * toc_model_outputs(model), sizeof(*out));
        fill_random(in, (size_t)rows * toc_model_inputs(model), seed);
        whole = run_whole(model, in, rows, &rows);
        assert_int_equal(rows, 30);
        for (uint32_t blocks = 1; blocks <= 7; blocks += 3) {
            double off;

            stream_blocks(model, in, 30 * stride, blocks * stride, out);
            off = largest_difference(out, whole, (size_t)30 * toc_model_outputs(model));
            if (off > TOLERANCE)
                fail_msg("seed %u, blocks of %u: off by %g\n%s", seed, blocks * stride, off, file.graph);
        }
        free(in);
        free(out);
        free(whole);
        toc_model_destroy(model);
        model_file_free(&file);
    }
}

/* Blocks that the length does not fill: PyTorch drops the rest, a stream would wait for it. */
static float *random_rows(size_t n)
{
    float *rows = calloc(n, sizeof(*rows));

    fill_random(rows, n, 5);
    return rows;
}

/* Five streams go through in random company and random blocks; each must give the bits of its own whole window. */
enum { COMPANY = 5, COMPANY_ROWS = 420 };

struct company {
    struct toc_model *model;
    struct toc_model_stream *streams[COMPANY];
    uint32_t done[COMPANY]; /* rows pushed of each */
    float *in, *whole, *got, *block_in, *block_out;
};

static void company_start(struct company *c, const struct toc_kernels *kernels, const struct model_file *file)
{
    struct toc_model_scratch *scratch = NULL;
    char why[256] = "";
    size_t ins, outs;
    uint32_t rows;

    memset(c, 0, sizeof(*c));
    assert_int_equal(toc_model_load_for(kernels, file->bytes, file->len, &c->model, why, sizeof(why)), 0);
    rows = COMPANY_ROWS / toc_model_stride(c->model) * toc_model_stride(c->model);
    ins = COMPANY_ROWS * toc_model_inputs(c->model), outs = COMPANY_ROWS * toc_model_outputs(c->model);
    c->in = random_rows(COMPANY * ins);
    c->whole = calloc(COMPANY * outs, sizeof(float));
    c->got = calloc(COMPANY * outs, sizeof(float));
    c->block_in = malloc(COMPANY * ins * sizeof(float));
    c->block_out = malloc(COMPANY * outs * sizeof(float));
    assert_int_equal(toc_model_scratch_create(c->model, COMPANY_ROWS, &scratch), 0);
    for (int s = 0; s < COMPANY; s++) {
        assert_int_equal(toc_model_stream_create(c->model, &c->streams[s]), 0);
        assert_int_equal(toc_model_run_window(c->model, scratch, c->in + s * ins, rows, c->whole + s * outs, &rows), 0);
        rows *= toc_model_stride(c->model);
    }
    toc_model_scratch_destroy(scratch);
}

/* n rows of each stream that has as many left. */
static void company_push(struct company *c, struct toc_model_scratch *scratch, uint32_t first, uint32_t n,
                         uint32_t total)
{
    uint32_t stride = toc_model_stride(c->model), together = 0, who[COMPANY];
    size_t ins = toc_model_inputs(c->model), outs = toc_model_outputs(c->model);
    struct toc_model_stream *streams[COMPANY];

    for (uint32_t s = first; s < COMPANY; s++)
        if (c->done[s] + n <= total) {
            memcpy(c->block_in + together * n * ins, c->in + (s * (size_t)COMPANY_ROWS + c->done[s]) * ins,
                   n * ins * sizeof(float));
            streams[together] = c->streams[s];
            who[together++] = s;
        }
    toc_model_push_many(c->model, streams, together, scratch, c->block_in, n, c->block_out);
    for (uint32_t k = 0; k < together; k++) {
        memcpy(c->got + (who[k] * (size_t)COMPANY_ROWS + c->done[who[k]] / stride) * outs,
               c->block_out + k * (n / stride) * outs, n / stride * outs * sizeof(float));
        c->done[who[k]] += n;
    }
}

static void company_finish(struct company *c)
{
    for (int s = 0; s < COMPANY; s++)
        toc_model_stream_destroy(c->streams[s]);
    toc_model_destroy(c->model);
    free(c->in);
    free(c->whole);
    free(c->got);
    free(c->block_in);
    free(c->block_out);
}

static void try_company(const struct toc_kernels *kernels, const struct model_file *file, struct model_file *random)
{
    struct company c;
    uint32_t stride, total, busy = COMPANY;

    company_start(&c, kernels, file);
    stride = toc_model_stride(c.model);
    total = COMPANY_ROWS / stride * stride;
    while (busy > 0) {
        uint32_t n = (1 + pick(random, 1 + pick(random, 60))) * stride;
        struct toc_model_scratch *scratch = NULL;

        n = n <= total ? n : stride;
        assert_int_equal(toc_model_scratch_create(c.model, n + pick(random, 3) * stride, &scratch), 0);
        company_push(&c, scratch, pick(random, COMPANY), n, total);
        company_push(&c, scratch, 0, stride, total);
        toc_model_scratch_destroy(scratch);
        busy = 0;
        for (int s = 0; s < COMPANY; s++)
            busy += c.done[s] < total;
    }
    assert_memory_equal(c.got, c.whole, (size_t)COMPANY * COMPANY_ROWS * toc_model_outputs(c.model) * sizeof(float));
    company_finish(&c);
}

static void streams_do_not_know_each_other(void **state)
{
    static const char *const sets[] = {"plain", "avx2", "avx512"};
    struct model_file random = {.random = 4711};

    (void)state;
    for (uint32_t seed = 1; seed <= 60; seed++)
        for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
            struct model_file file;

            if (toc_kernels_named(sets[i]) == NULL)
                continue;
            random_graph(&file, seed);
            try_company(toc_kernels_named(sets[i]), &file, &random);
            model_file_free(&file);
        }
}

/* Any rows of the output, alone, are those of the whole: in the U-net (joins, crops, transposes) and in what streams.
 */
static void parts_are_cut_from_the_whole(void **state)
{
    static const char *const names[] = {"u_net", "conv_padded", "transposed", "pools", "causal_net"};
    struct model_file random = {.random = 31};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        struct model_file file = {0};
        struct toc_model *model;
        struct toc_model_scratch *scratch = NULL;
        uint32_t n, rows = 0;
        float *in, *whole, *part;

        file.bytes = read_parity(names[i], ".safetensors", &file.len);
        model = load_file(&file);
        n = toc_model_length(model) > 0 ? toc_model_length(model) : 100 * toc_model_stride(model);
        in = random_rows((size_t)n * toc_model_inputs(model));
        rows = toc_model_window_rows(model, n);
        whole = malloc((size_t)rows * toc_model_outputs(model) * sizeof(float));
        part = malloc((size_t)rows * toc_model_outputs(model) * sizeof(float));
        assert_int_equal(toc_model_scratch_create(model, n, &scratch), 0);
        assert_int_equal(toc_model_run_window(model, scratch, in, n, whole, &rows), 0);
        for (int k = 0; k < 60; k++) {
            uint32_t first = pick(&random, rows), count = 1 + pick(&random, rows - first);

            assert_int_equal(toc_model_run_part(model, scratch, in, n, first, count, part), 0);
            assert_memory_equal(part, whole + (size_t)first * toc_model_outputs(model),
                                (size_t)count * toc_model_outputs(model) * sizeof(float));
        }
        assert_int_equal(toc_model_run_part(model, scratch, in, n, rows, 1, part), -EINVAL);
        assert_int_equal(toc_model_run_part(model, scratch, in, n, 1, rows, part), -EINVAL);
        assert_int_equal(toc_model_run_part(model, scratch, in, n, 0, 0, part), -EINVAL);
        free(file.bytes);
        free(in);
        free(whole);
        free(part);
        toc_model_scratch_destroy(scratch);
        toc_model_destroy(model);
    }
}

static void a_length_off_the_stride_is_a_window(void **state)
{
    const float in[] = {1, 5, 2, 3, 9};
    float out[2] = {0};

    (void)state;
    for (uint32_t length = 4; length <= 5; length++) {
        struct model_file file;
        struct toc_model *model;
        struct toc_model_stream *stream = NULL;
        struct toc_model_scratch *scratch = NULL;
        uint32_t rows = 0;

        model_file_start(&file, 1);
        model_file_graph(&file, length == 4 ? "{\"input\":{\"channels\":1,\"length\":4}"
                                            : "{\"input\":{\"channels\":1,\"length\":5}");
        model_file_graph(&file, ",\"layers\":[{\"op\":\"maxpool\",\"name\":\"m\",\"kernel\":2}]}");
        model_file_finish(&file, NULL);
        model = load_file(&file);
        assert_int_equal(toc_model_stream_create(model, &stream), length == 4 ? 0 : -EINVAL);
        assert_int_equal(toc_model_scratch_create(model, length, &scratch), 0);
        assert_int_equal(toc_model_run_window(model, scratch, in, length, out, &rows), 0);
        assert_int_equal(rows, 2);
        assert_true(out[0] == 5 && out[1] == 3);
        toc_model_stream_destroy(stream);
        toc_model_scratch_destroy(scratch);
        toc_model_destroy(model);
        model_file_free(&file);
    }
}

static void work_is_counted(void **state)
{
    struct model_file file;
    struct toc_model *model;
    double stem = 100 * 20 * 7 * 7.0, down = 20 * 40 * 20 * 10.0, blocks = 20 * 7 * (40 * 40 * 3 + 40 * 40.0);

    (void)state;
    model_file_picker(&file, 1);
    model = load_file(&file);
    assert_true(toc_model_work(model, 100) == stem + down + blocks + 20 * 7 * 40);
    toc_model_destroy(model);
    model_file_free(&file);
    model_file_start(&file, 1);
    model_file_graph(&file, "{\"input\":{\"channels\":1,\"length\":1000000},\"layers\":[");
    for (int i = 0; i < 30; i++) {
        char text[128];

        snprintf(text, sizeof(text),
                 "%s{\"op\":\"maxpool\",\"name\":\"m%d\",\"kernel\":4096,\"stride\":1,"
                 "\"padding\":\"same\"}",
                 i > 0 ? "," : "", i);
        model_file_graph(&file, text);
    }
    model_file_graph(&file, "]}");
    model_file_finish(&file, NULL);
    char why[256] = "";
    assert_int_equal(toc_model_load(file.bytes, file.len, &model, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "layer 'm29' (maxpool): more than 1e+11 multiplications"));
    model_file_free(&file);
}

/* ---- refusals ---- */

struct refusal {
    const char *graph;  /* layers and beyond, after the input */
    const char *reason; /* must be part of the text */
};

#define DENSE(name) "{\"op\":\"dense\",\"name\":\"" name "\",\"channels\":2}"

static const struct refusal refusals[] = {
    {"{\"op\":\"telepathy\",\"name\":\"x\"}]}", "layer 'x': unknown op 'telepathy'"},
    {"{\"op\":\"input\",\"name\":\"x\"}]}", "layer 'x': unknown op 'input'"},
    {"{\"op\":\"relu\",\"name\":\"x\",\"inputs\":[\"y\"]},{\"op\":\"relu\",\"name\":\"y\"}]}",
     "layer 'x' (relu): input 'y' is no earlier layer"},
    {"{\"op\":\"relu\",\"name\":\"x\",\"inputs\":[\"x\"]}]}", "layer 'x' (relu): input 'x' is no earlier layer"},
    {"{\"op\":\"relu\",\"name\":\"x\"},{\"op\":\"tanh\",\"name\":\"x\"}]}", "layer 'x': name is used twice"},
    {"{\"op\":\"relu\",\"name\":\"x y\"}]}", "layer 1: name"},
    {"{\"op\":\"relu\",\"name\":\"x\",\"colour\":3}]}", "layer 'x' (relu): unknown parameter 'colour'"},
    {"{\"op\":\"relu\",\"name\":\"x\",\"kernel\":3}]}", "layer 'x' (relu): unknown parameter 'kernel'"},
    {"{\"op\":\"dense\",\"name\":\"x\"}]}", "layer 'x' (dense): 0 channels"},
    {"{\"op\":\"dense\",\"name\":\"x\",\"channels\":4097}]}", "layer 'x' (dense): 4097 channels"},
    {"{\"op\":\"dense\",\"name\":\"x\",\"channels\":2.5}]}", "layer 'x' (dense): channels is not a whole number"},
    {"{\"op\":\"conv1d\",\"name\":\"x\",\"channels\":2,\"kernel\":4097,\"padding\":\"causal\"}]}",
     "layer 'x' (conv1d): kernel 4097"},
    {"{\"op\":\"conv1d\",\"name\":\"x\",\"channels\":2,\"kernel\":0,\"padding\":\"causal\"}]}",
     "layer 'x' (conv1d): kernel is not"},
    {"{\"op\":\"conv1d\",\"name\":\"x\",\"channels\":2,\"kernel\":4000,\"dilation\":4000,\"padding\":\"causal\"}]}",
     "layer 'x' (conv1d): dilation 4000"},
    {"{\"op\":\"conv1d\",\"name\":\"x\",\"channels\":2,\"kernel\":3,\"padding\":\"sane\"}]}",
     "layer 'x' (conv1d): padding is none of"},
    {"{\"op\":\"conv1d\",\"name\":\"x\",\"channels\":2,\"kernel\":3,\"padding\":\"same\"}]}",
     "layer 'x' (conv1d): is not causal and the input states no length"},
    {"{\"op\":\"conv1d\",\"name\":\"x\",\"channels\":2,\"kernel\":3,\"stride\":2,\"padding\":\"same\"}]}",
     "layer 'x' (conv1d): padding 'same' with stride 2"},
    {"{\"op\":\"dense\",\"name\":\"x\",\"channels\":2,\"activation\":\"softplus\"}]}",
     "layer 'x' (dense): activation is none of"},
    {DENSE("x") ",{\"op\":\"add\",\"name\":\"y\",\"inputs\":[\"x\",\"input\"]}]}",
     "layer 'y' (add): adds 3 channels to 2"},
    {DENSE("x") ",{\"op\":\"add\",\"name\":\"y\",\"inputs\":[\"x\"]}]}", "layer 'y' (add): 1 inputs"},
    {"{\"op\":\"relu\",\"name\":\"x\",\"inputs\":[\"input\",\"input\"]}]}", "layer 'x' (relu): 2 inputs"},
    {"{\"op\":\"maxpool\",\"name\":\"x\",\"kernel\":2},{\"op\":\"add\",\"name\":\"y\",\"inputs\":[\"x\",\"input\"]}]}",
     "layer 'y' (add): joins inputs of different strides"},
    {DENSE("x") "," DENSE("y") "],\"output\":\"x\"}", "layer 'y' (dense): is used by nobody"},
    {DENSE("x") "],\"output\":\"z\"}", "output is no layer"},
    {DENSE("x") "]}", "tensor 'x.weight': missing"},
    {"{\"op\":\"relu\",\"name\":\"x\"}],\"constants\":{\"a\":\"b\"}}", "constant 'a'"},
    {"{\"op\":\"relu\",\"name\":\"x\"}", "not a JSON object"},
    {"]}", "layers is not a list"},
};

static int try_load(const struct model_file *file, char *why, size_t size)
{
    struct toc_model *model = (struct toc_model *)why; /* must stay as it is */
    int error = toc_model_load(file->bytes, file->len, &model, why, size);

    if (error == 0)
        toc_model_destroy(model);
    else
        assert_ptr_equal(model, why);
    return error;
}

static void expect_refusal(struct model_file *file, const char *reason, int error)
{
    char why[256] = "";
    int got;

    model_file_finish(file, NULL);
    got = try_load(file, why, sizeof(why));
    if (got != error || strstr(why, reason) == NULL)
        fail_msg("wanted %d '%s', got %d '%s'", error, reason, got, why);
    model_file_free(file);
}

static void graphs_are_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        struct model_file file;

        model_file_start(&file, 1);
        model_file_graph(&file, "{\"input\":{\"channels\":3},\"layers\":[");
        model_file_graph(&file, refusals[i].graph);
        expect_refusal(&file, refusals[i].reason, -EINVAL);
    }
}

static void windows_are_refused_by_name(void **state)
{
    static const struct refusal windows[] = {
        {"{\"op\":\"conv1d\",\"name\":\"x\",\"channels\":2,\"kernel\":9}]}", "layer 'x' (conv1d): 0 rows"},
        {"{\"op\":\"crop\",\"name\":\"x\",\"left\":5,\"right\":3}]}", "layer 'x' (crop): 0 rows"},
        {"{\"op\":\"crop\",\"name\":\"x\",\"left\":-5}]}", "layer 'x' (crop): -5, 0 rows is negative"},
        {"{\"op\":\"crop\",\"name\":\"x\",\"left\":1},{\"op\":\"concat\",\"name\":\"y\",\"inputs\":[\"x\",\"input\"]}]"
         "}",
         "layer 'y' (concat): joins 8 rows to 7"},
        {"{\"op\":\"convtranspose1d\",\"name\":\"x\",\"channels\":1,\"kernel\":1,\"stride\":4096},"
         "{\"op\":\"convtranspose1d\",\"name\":\"y\",\"channels\":1,\"kernel\":1,\"stride\":4096}]}",
         "layer 'y' (convtranspose1d): 117440513 rows"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(windows) / sizeof(*windows); i++) {
        struct model_file file;

        model_file_start(&file, 1);
        model_file_graph(&file, "{\"input\":{\"channels\":3,\"length\":8},\"layers\":[");
        model_file_graph(&file, windows[i].graph);
        expect_refusal(&file, windows[i].reason, -EINVAL);
    }
}

static void start_dense(struct model_file *file)
{
    model_file_start(file, 1);
    model_file_graph(file, "{\"input\":{\"channels\":3},\"layers\":[" DENSE("x") "]}");
}

static void tensors_are_refused_by_name(void **state)
{
    struct model_file file;
    char *at;

    (void)state;
    start_dense(&file);
    model_file_conv(&file, "x", 2, 4, 0);
    expect_refusal(&file, "tensor 'x.weight': shape is [2, 4], not [2, 3]", -EINVAL);
    start_dense(&file);
    model_file_conv(&file, "x", 2, 3, 1);
    expect_refusal(&file, "tensor 'x.weight': shape is [2, 3, 1], not [2, 3]", -EINVAL);
    start_dense(&file);
    model_file_conv(&file, "x", 2, 3, 0);
    model_file_tensor(&file, "y.bias", 2, 0, 0, 0, 1);
    expect_refusal(&file, "tensor 'y.bias': no layer asks for it", -EINVAL);
    start_dense(&file);
    model_file_conv(&file, "x", 2, 3, 0);
    at = strstr(file.entries, "F32");
    memcpy(at, "F16", 3);
    expect_refusal(&file, "tensor 'x.weight': dtype is 'F16'", -EINVAL);
    start_dense(&file);
    model_file_tensor(&file, "x.weight", 2, 3, 0, INFINITY, 0);
    model_file_tensor(&file, "x.bias", 2, 0, 0, 0, 1);
    expect_refusal(&file, "tensor 'x.weight': holds a value that is not finite", -EINVAL);
}

/* Offsets written over in the table; widths are kept so that nothing else changes. */
static void offsets_are_refused(void **state)
{
    static const struct {
        const char *from, *to, *reason;
    } cases[] = {
        {"[24,32]", "[20,28]", "overlaps another"},
        {"[24,32]", "[25,33]", "offsets lead outside"},
        {"[24,32]", "[99,32]", "offsets lead outside"},
        {"[24,32]", "[-4,32]", "offsets lead outside"},
        {"[24,32]", "[24,28]", "bytes do not hold its shape"},
        {"[0,24]", "[0,32]", "bytes do not hold its shape"},
        {"[0,24]", "[1.,2]", ""},
        {"[0,24]", "[null]", "offsets lead outside"},
        {"[2,3]", "[2,0]", "dimension 1"},
        {"[2,3]", "[2.5]", "dimension 0"},
        {"[2,3]", "[{} ]", "dimension 0"},
        {"[2,3]", "\"2,3\"", "shape is not"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct model_file file;
        char *at, rest[1024];

        start_dense(&file);
        model_file_conv(&file, "x", 2, 3, 0);
        at = strstr(file.entries, cases[i].from);
        assert_non_null(at);
        snprintf(rest, sizeof(rest), "%s", at + strlen(cases[i].from));
        sprintf(at, "%s%s", cases[i].to, rest);
        expect_refusal(&file, cases[i].reason, -EINVAL);
    }
}

static void containers_are_refused(void **state)
{
    struct model_file file;
    char why[256];
    uint8_t *big = calloc(1, TOC_MODEL_BYTES_MAX + 1u);

    (void)state;
    start_dense(&file);
    model_file_conv(&file, "x", 2, 3, 0);
    model_file_finish(&file, NULL);
    assert_int_equal(try_load(&file, why, sizeof(why)), 0);
    model_file_finish(&file, "deadbeef");
    assert_int_equal(try_load(&file, why, sizeof(why)), -EBADMSG);
    assert_non_null(strstr(why, "the file says deadbeef"));
    model_file_finish(&file, "deadbee");
    assert_int_equal(try_load(&file, why, sizeof(why)), -EINVAL);
    model_file_finish(&file, NULL);
    file.bytes[6] = 1; /* header length beyond the file */
    assert_int_equal(try_load(&file, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "longer than the file"));
    model_file_free(&file);
    file.bytes = big;
    file.len = TOC_MODEL_BYTES_MAX + 1u;
    assert_int_equal(try_load(&file, why, sizeof(why)), -E2BIG);
    free(big);
}

static void weights_that_overflow_when_folded_are_refused(void **state)
{
    static const char *const suffix[] = {"weight", "bias", "running_mean", "running_var"};

    (void)state;
    for (int variance = -1; variance <= 0; variance++) {
        struct model_file file;
        char key[32];

        start_dense(&file);
        file.graph[strlen(file.graph) - 2] = '\0';
        model_file_graph(&file, ",{\"op\":\"batchnorm\",\"name\":\"n\",\"eps\":0}]}");
        model_file_conv(&file, "x", 2, 3, 0);
        for (int i = 0; i < 4; i++) {
            snprintf(key, sizeof(key), "n.%s", suffix[i]);
            model_file_tensor(&file, key, 2, 0, 0, i == 3 ? (float)variance : 1.0f, 0);
        }
        expect_refusal(&file, "layer 'n' (batchnorm): weights are not finite", -EINVAL);
    }
}

static void buffers_beyond_the_limit_are_refused(void **state)
{
    struct model_file file;

    (void)state;
    model_file_start(&file, 1);
    model_file_graph(&file, "{\"input\":{\"channels\":4,\"length\":1000000},\"layers\":[{\"op\":\"relu\","
                            "\"name\":\"w\"},{\"op\":\"concat\",\"name\":\"x\",\"inputs\":[\"w\",\"w\",\"w\","
                            "\"w\",\"w\"]},{\"op\":\"maxpool\",\"name\":\"y\",\"kernel\":2}]}");
    expect_refusal(&file, "layer 'x' (concat): buffers or state do not fit into 64 MiB", -E2BIG);
    model_file_start(&file, 1);
    model_file_graph(&file, "{\"input\":{\"channels\":4096},\"layers\":[{\"op\":\"maxpool\",\"name\":\"x\","
                            "\"kernel\":4096,\"stride\":1,\"padding\":\"causal\"}]}");
    expect_refusal(&file, "layer 'input' (input): buffers or state do not fit into 64 MiB", -E2BIG);
    model_file_start(&file, 1);
    model_file_graph(&file, "{\"input\":{\"channels\":1,\"length\":4700},\"layers\":[{\"op\":\"relu\",\"name\":\"w\"},"
                            "{\"op\":\"additive_attention\",\"name\":\"x\",\"units\":4000},"
                            "{\"op\":\"relu\",\"name\":\"y\"}]}");
    model_file_tensor(&file, "x.Wx", 1, 4000, 0, 0, 1);
    model_file_tensor(&file, "x.Wt", 1, 4000, 0, 0, 1);
    model_file_tensor(&file, "x.bh", 4000, 0, 0, 0, 1);
    model_file_tensor(&file, "x.Wa", 4000, 1, 0, 0, 1);
    model_file_tensor(&file, "x.ba", 1, 0, 0, 0, 1);
    expect_refusal(&file, "layer 'x' (additive_attention): more than 1e+11", -EINVAL);
    model_file_start(&file, 1); /* 17 MB of a single column, which take whole vectors */
    model_file_graph(&file,
                     "{\"input\":{\"channels\":1024},\"layers\":[{\"op\":\"relu\",\"name\":\"w\"},{\"op\":\"conv1d\","
                     "\"name\":\"x\",\"channels\":1,\"kernel\":4096,\"padding\":\"causal\",\"bias\":false}]}");
    model_file_tensor(&file, "x.weight", 1, 1024, 4096, 0, 1);
    expect_refusal(&file, "layer 'x' (conv1d): weights do not fit into 64 MiB", -E2BIG);
}

/* ---- damaged files ---- */

static void use_and_destroy(struct toc_model *model)
{
    uint32_t n = toc_model_length(model) > 0 ? toc_model_length(model) : toc_model_stride(model), rows = 0;
    struct toc_model_scratch *scratch = NULL;
    float *in = calloc((size_t)n * toc_model_inputs(model), sizeof(*in));
    float *out = calloc((size_t)toc_model_window_rows(model, n) * toc_model_outputs(model), sizeof(*out));

    assert_int_equal(toc_model_scratch_create(model, n, &scratch), 0);
    assert_int_equal(toc_model_run_window(model, scratch, in, n, out, &rows), 0);
    for (size_t i = 0; i < (size_t)rows * toc_model_outputs(model); i++)
        assert_true(isfinite(out[i]));
    toc_model_scratch_destroy(scratch);
    toc_model_destroy(model);
    free(in);
    free(out);
}

static void every_truncation_is_refused(void **state)
{
    size_t len = 0;
    uint8_t *bytes = read_parity("conv_causal", ".safetensors", &len);

    (void)state;
    for (size_t n = 0; n < len; n++) {
        uint8_t *cut = malloc(n > 0 ? n : 1); /* of exactly this length: a read past the end is seen */
        struct toc_model *model = NULL;
        char why[256] = "";

        memcpy(cut, bytes, n);
        assert_true(toc_model_load(cut, n, &model, why, sizeof(why)) < 0);
        assert_null(model);
        assert_true(why[0] != '\0');
        free(cut);
    }
    free(bytes);
}

static void flipped_bits_are_refused_or_harmless(void **state)
{
    static const char *const names[] = {"folding", "u_net", "last_rows", "pools_causal"};
    struct model_file random = {.random = 12345};
    unsigned accepted = 0;

    (void)state;
    for (int i = 0; i < 10000; i++) {
        static uint8_t *bytes;
        static size_t len;
        struct toc_model *model = NULL;
        char why[256] = "";
        size_t bit;

        if (i % 2500 == 0) {
            free(bytes);
            bytes = read_parity(names[i / 2500], ".safetensors", &len);
        }
        model_file_random(&random);
        bit = random.random % (8 * (i % 2 == 0 ? 2000 % len : len)); /* half of them into the header */
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (toc_model_load(bytes, len, &model, why, sizeof(why)) == 0) {
            use_and_destroy(model);
            accepted++;
        }
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (i == 9999)
            free(bytes);
    }
    assert_true(accepted < 200); /* of the name, version and padding: nothing that is computed with */
}

static void names_and_constants_are_found(void **state)
{
    struct model_file file;
    struct toc_model *model;
    char crc[16];

    (void)state;
    model_file_picker(&file, 1);
    model = load_file(&file);
    snprintf(crc, sizeof(crc), "%08x",
             toc_model_crc32c(toc_model_crc32c(0, file.graph, strlen(file.graph)), file.payload, file.payload_len));
    assert_string_equal(toc_model_name(model), "test 7");
    assert_string_equal(toc_model_checksum(model), crc);
    assert_true(toc_model_constant(model, "p_threshold", 0) == 0.75);
    assert_true(toc_model_constant(model, "absent", -3) == -3);
    assert_int_equal(toc_model_crc32c(0, "123456789", 9), 0xe3069283);
    toc_model_destroy(model);
    model_file_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_that_stream_repeat_pytorch),
        cmocka_unit_test(layers_of_windows_repeat_pytorch),
        cmocka_unit_test(networks_repeat_pytorch),
        cmocka_unit_test(textbook_cnn_repeats_pytorch),
        cmocka_unit_test(blocks_of_any_size_agree),
        cmocka_unit_test(same_blocks_give_the_same_bits),
        cmocka_unit_test(one_scratch_serves_many_streams),
        cmocka_unit_test(reset_forgets_everything),
        cmocka_unit_test(rubbish_in_finite_out),
        cmocka_unit_test(running_allocates_nothing),
        cmocka_unit_test(sizes_that_do_not_fit_are_refused),
        cmocka_unit_test(random_graphs_stream_as_they_run_whole),
        cmocka_unit_test(streams_do_not_know_each_other),
        cmocka_unit_test(parts_are_cut_from_the_whole),
        cmocka_unit_test(a_length_off_the_stride_is_a_window),
        cmocka_unit_test(work_is_counted),
        cmocka_unit_test(graphs_are_refused_by_name),
        cmocka_unit_test(windows_are_refused_by_name),
        cmocka_unit_test(tensors_are_refused_by_name),
        cmocka_unit_test(offsets_are_refused),
        cmocka_unit_test(containers_are_refused),
        cmocka_unit_test(weights_that_overflow_when_folded_are_refused),
        cmocka_unit_test(buffers_beyond_the_limit_are_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(flipped_bits_are_refused_or_harmless),
        cmocka_unit_test(names_and_constants_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
