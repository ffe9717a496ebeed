/*
 * core/kernels and core/nn against the formulas written as plain loops in
 * double precision: every layer, shapes around the edges of tiles and
 * vectors, every activation; all of it with every instruction set of this
 * processor.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/nn.h"

static const struct toc_kernels *kernels; /* the set under test */

static uint32_t random_state = 1;

static float next_random(void) /* xorshift32 (Marsaglia 2003), to -1..1 */
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return (float)random_state / 2147483648.0f - 1.0f;
}

static float *random_values(size_t n, float scale)
{
    float *values = malloc((n + 1) * sizeof(*values));

    for (size_t i = 0; i < n; i++)
        values[i] = scale * next_random();
    return values;
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double activate(enum toc_nn_activation activation, double slope, double x)
{
    switch (activation) {
    case TOC_NN_RELU:
        return x > 0 ? x : 0;
    case TOC_NN_LEAKY_RELU:
        return x > 0 ? x : slope * x;
    case TOC_NN_TANH:
        return tanh(x);
    case TOC_NN_SIGMOID:
        return sigmoid(x);
    case TOC_NN_GELU:
        return 0.5 * x * (1 + erf(x / sqrt(2)));
    case TOC_NN_NONE:
        break;
    }
    return x;
}

static double tolerance = 1e-5;

static void assert_near(const float *got, const double *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= tolerance * fmax(1, fabs(want[i]))))
            fail_msg("value %zu of %zu is %.8g, not %.8g", i, n, (double)got[i], want[i]);
}

/* ---- convolutions ---- */

/* in: rows of `pitch` floats */
static void naive_conv(const struct toc_nn_conv *conv, const float *weight, const float *bias, struct toc_rows in,
                       uint32_t rows, double *out)
{
    uint32_t per_group = conv->in / conv->groups;

    for (uint32_t t = 0; t < rows; t++)
        for (uint32_t o = 0; o < conv->out; o++) {
            uint32_t begin = o / (conv->out / conv->groups) * per_group;
            double sum = (double)bias[o];

            for (uint32_t i = 0; i < per_group; i++)
                for (uint32_t k = 0; k < conv->kernel; k++)
                    sum += (double)weight[(o * per_group + i) * conv->kernel + k] *
                           (double)toc_rows_from(in, (int64_t)t * conv->stride + (int64_t)k * conv->dilation)
                               .at[begin + i];
            out[t * conv->out + o] = activate(conv->activation, (double)conv->slope, sum);
        }
}

/* Biases as core/nn.h wants them: each group on whole vectors. */
static float *padded_bias(const float *bias, uint32_t groups, uint32_t out)
{
    size_t of_group = out / groups, width = (size_t)toc_kernels_width(of_group);
    float *padded = calloc(groups * width, sizeof(*padded));

    for (size_t o = 0; o < out; o++)
        padded[o / of_group * width + o % of_group] = bias[o];
    return padded;
}

/* Rows with room between them: what is there must neither count nor be touched. */
static struct toc_rows random_rows(size_t rows, uint32_t channels, uint32_t room)
{
    struct toc_rows made = {malloc((rows * (channels + room) + 16) * sizeof(float)), (ptrdiff_t)(channels + room)};

    for (size_t i = 0; i < rows * (channels + room) + 16; i++)
        made.at[i] = i % (channels + room) < channels ? next_random() : 77;
    return made;
}

static void assert_rows(struct toc_rows got, const double *want, uint32_t rows, uint32_t channels)
{
    for (int64_t t = 0; t < rows; t++) {
        assert_near(toc_rows_from(got, t).at, want + t * channels, channels);
        for (ptrdiff_t c = channels; c < got.pitch; c++)
            assert_true(toc_rows_from(got, t).at[c] == 77);
    }
}

static void try_conv(struct toc_nn_conv conv, uint32_t rows, uint32_t room)
{
    uint32_t in_rows = (rows - 1) * conv.stride + (conv.kernel - 1) * conv.dilation + 1;
    struct toc_rows in = random_rows(in_rows, conv.in, room), out = random_rows(rows, conv.out, room);
    float *weight, *bias = random_values(conv.out, 1), *packed;
    double *want = malloc((size_t)rows * conv.out * sizeof(*want));

    conv.groups = conv.groups == 0 ? 1 : conv.groups;
    conv.paired = toc_nn_pairs(kernels, &conv);
    weight = random_values((size_t)conv.out * conv.in / conv.groups * conv.kernel,
                           1 / sqrtf((float)(conv.in / conv.groups * conv.kernel)));
    packed = calloc(toc_nn_conv_packed(&conv), sizeof(*packed));
    toc_nn_pack_conv(&conv, weight, NULL, packed);
    conv.weight = packed;
    conv.bias = padded_bias(bias, conv.groups, conv.out);
    toc_nn_conv1d(kernels, &conv, in, rows, out);
    naive_conv(&conv, weight, bias, in, rows, want);
    tolerance = conv.in * conv.kernel > 5000 ? 3e-5 : 1e-5; /* floats summed one after the other */
    assert_rows(out, want, rows, conv.out);
    tolerance = 1e-5;
    free(weight);
    free(bias);
    free((float *)conv.bias);
    free(in.at);
    free(packed);
    free(out.at);
    free(want);
}

static void conv1d_is_its_formula(void **state)
{
    static const struct toc_nn_conv shapes[] = {
        {.in = 1, .out = 1, .kernel = 1, .stride = 1, .dilation = 1},
        {.in = 7, .out = 20, .kernel = 7, .stride = 1, .dilation = 1, .activation = TOC_NN_RELU},
        {.in = 20, .out = 40, .kernel = 10, .stride = 5, .dilation = 1, .activation = TOC_NN_LEAKY_RELU, .slope = 0.2f},
        {.in = 40, .out = 40, .kernel = 3, .stride = 1, .dilation = 32, .activation = TOC_NN_TANH},
        {.in = 40, .out = 7, .kernel = 1, .stride = 1, .dilation = 1, .activation = TOC_NN_SIGMOID},
        {.in = 3, .out = 16, .kernel = 4, .stride = 6, .dilation = 1}, /* rows read in place, with holes between */
        {.in = 3, .out = 17, .kernel = 1, .stride = 3, .dilation = 1},
        {.in = 5, .out = 15, .kernel = 3, .stride = 2, .dilation = 4},
        {.in = 8, .out = 8, .kernel = 7, .stride = 4, .dilation = 1, .activation = TOC_NN_RELU}, /* paired weights */
        {.in = 3, .out = 8, .kernel = 7, .stride = 1, .dilation = 1},                            /* ... of an odd sum */
        {.in = 6, .out = 5, .kernel = 3, .stride = 1, .dilation = 3},
        {.in = 16, .out = 33, .kernel = 7, .stride = 1, .dilation = 1},
        {.in = 12, .out = 18, .kernel = 3, .stride = 2, .dilation = 2, .groups = 6},
        {.in = 9, .out = 9, .kernel = 5, .stride = 1, .dilation = 1, .groups = 9},
        {.in = 4, .out = 200, .kernel = 1, .stride = 1, .dilation = 1},
        {.in = 130, .out = 3, .kernel = 64, .stride = 1, .dilation = 1}, /* tiles of one and of two rows */
        {.in = 1030, .out = 520, .kernel = 1, .stride = 1, .dilation = 1, .activation = TOC_NN_RELU}, /* large: BLAS */
        {.in = 300, .out = 3, .kernel = 64, .stride = 1, .dilation = 1},
    };
    static const uint32_t rows[] = {1, 2, 5, 10, 13, 53, 400};

    (void)state;
    for (size_t s = 0; s < sizeof(shapes) / sizeof(*shapes); s++)
        for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++)
            for (uint32_t room = 0; room <= 6;
                 room += 6) /* paired weights of an odd number of channels need solid rows */
                if (room == 0 || shapes[s].out > 16 || shapes[s].in % 2 == 0)
                    try_conv(shapes[s], shapes[s].in > 100 && rows[r] > 53 ? 53 : rows[r], room);
}

/* All rows, or a part of them from the middle. */
static void try_transposed(uint32_t in_channels, uint32_t out, uint32_t kernel, uint32_t stride, uint32_t rows,
                           bool part)
{
    struct toc_nn_conv conv = {.in = in_channels,
                               .out = out,
                               .kernel = kernel,
                               .stride = stride,
                               .dilation = 1,
                               .groups = 1,
                               .activation = TOC_NN_TANH};
    uint32_t out_rows = (rows - 1) * stride + kernel, first = part ? out_rows / 3 : 0,
             count = part ? out_rows / 2 : out_rows;
    size_t n_out = (size_t)out_rows * out, taps = toc_nn_transposed_taps(&conv);
    float *weight = random_values((size_t)in_channels * out * kernel, 0.3f), *bias = random_values(out, 1);
    float *padded = padded_bias(bias, 1, out);
    float *in = calloc((rows + 2 * taps) * in_channels + 1, sizeof(*in)), *row0 = in + (taps - 1) * in_channels;
    float *packed;
    struct toc_rows result = random_rows(count, out, 5);
    double *want = calloc(n_out, sizeof(*want));

    for (size_t i = 0; i < (size_t)rows * in_channels; i++)
        row0[i] = next_random();
    conv.paired = toc_nn_pairs(kernels, &conv);
    packed = calloc(toc_nn_transposed_packed(&conv) + 1, sizeof(*packed));
    toc_nn_pack_transposed(&conv, weight, NULL, packed);
    conv.weight = packed;
    conv.bias = padded;
    toc_nn_transposed(kernels, &conv, (struct toc_rows){row0, (ptrdiff_t)in_channels}, first, count, result);
    for (uint32_t t = 0; t < rows; t++)
        for (uint32_t i = 0; i < in_channels; i++)
            for (uint32_t o = 0; o < out; o++)
                for (uint32_t k = 0; k < kernel; k++)
                    want[(t * stride + k) * out + o] +=
                        (double)weight[(i * out + o) * kernel + k] * (double)row0[t * in_channels + i];
    for (size_t i = 0; i < n_out; i++)
        want[i] = tanh(want[i] + (double)bias[i % out]);
    assert_rows(result, want + (size_t)first * out, count, out);
    free(weight);
    free(bias);
    free(padded);
    free(in);
    free(result.at);
    free(packed);
    free(want);
}

static void transposed_is_its_formula(void **state)
{
    (void)state;
    try_transposed(1, 1, 1, 1, 1, false);
    for (int part = 0; part < 2; part++) {
        try_transposed(8, 5, 7, 4, 30, part);
        try_transposed(3, 4, 2, 5, 9, part); /* rows between that only the bias reaches */
        try_transposed(16, 11, 16, 2, 200, part);
    }
}

/* ---- recurrent ---- */

struct gates {
    uint32_t in, units, rows;
    float *weight_in, *weight_hidden, *bias_in, *bias_hidden, *x;
};

static struct gates random_gates(uint32_t gates, uint32_t in, uint32_t units, uint32_t rows)
{
    return (struct gates){in,
                          units,
                          rows,
                          random_values((size_t)gates * units * in, 0.5f),
                          random_values((size_t)gates * units * units, 0.4f),
                          random_values(gates * units, 0.5f),
                          random_values(gates * units, 0.5f),
                          random_values((size_t)rows * in, 1)};
}

static void free_gates(struct gates *g)
{
    free(g->weight_in);
    free(g->weight_hidden);
    free(g->bias_in);
    free(g->bias_hidden);
    free(g->x);
}

static double from_input(const struct gates *g, uint32_t gate, uint32_t t)
{
    double sum = (double)g->bias_in[gate];

    for (uint32_t i = 0; i < g->in; i++)
        sum += (double)g->weight_in[gate * g->in + i] * (double)g->x[t * g->in + i];
    return sum;
}

static double from_hidden(const struct gates *g, uint32_t gate, const double *hidden)
{
    double sum = (double)g->bias_hidden[gate];

    for (uint32_t u = 0; u < g->units; u++)
        sum += (double)g->weight_hidden[gate * g->units + u] * hidden[u];
    return sum;
}

/* torch.nn.LSTM's documentation: i, f, g, o; c' = f c + i g; h' = o tanh(c') */
static void naive_lstm(const struct gates *g, double *want)
{
    double h[128] = {0}, c[128] = {0}, next[128];
    uint32_t n = g->units;

    for (uint32_t t = 0; t < g->rows; t++) {
        for (uint32_t u = 0; u < n; u++) {
            double i = sigmoid(from_input(g, u, t) + from_hidden(g, u, h));
            double f = sigmoid(from_input(g, n + u, t) + from_hidden(g, n + u, h));
            double fresh = tanh(from_input(g, 2 * n + u, t) + from_hidden(g, 2 * n + u, h));
            double o = sigmoid(from_input(g, 3 * n + u, t) + from_hidden(g, 3 * n + u, h));

            c[u] = f * c[u] + i * fresh;
            next[u] = o * tanh(c[u]);
        }
        memcpy(h, next, sizeof(h));
        memcpy(want + t * n, h, n * sizeof(*h));
    }
}

/* torch.nn.GRU's documentation: n = tanh(W_in x + b_in + r (W_hn h + b_hn)); h' = (1 - z) n + z h */
static void naive_gru(const struct gates *g, double *want)
{
    double h[128] = {0}, next[128];
    uint32_t n = g->units;

    for (uint32_t t = 0; t < g->rows; t++) {
        for (uint32_t u = 0; u < n; u++) {
            double r = sigmoid(from_input(g, u, t) + from_hidden(g, u, h));
            double z = sigmoid(from_input(g, n + u, t) + from_hidden(g, n + u, h));
            double fresh = tanh(from_input(g, 2 * n + u, t) + r * from_hidden(g, 2 * n + u, h));

            next[u] = (1 - z) * fresh + z * h[u];
        }
        memcpy(h, next, sizeof(h));
        memcpy(want + t * n, h, n * sizeof(*h));
    }
}

static float *packed_gates(const struct gates *g, bool gru)
{
    uint64_t of_input = toc_nn_recurrent_packed(g->in, g->units);
    float *packed = calloc(of_input + toc_nn_recurrent_packed(g->units, g->units), sizeof(*packed));

    toc_nn_pack_recurrent(g->in, g->units, gru, false, g->weight_in, packed);
    toc_nn_pack_recurrent(g->units, g->units, gru, true, g->weight_hidden, packed + of_input);
    return packed;
}

/* r, z and an LSTM's gates have one bias; a GRU's n one for each of its columns. */
static float *gate_bias(const struct gates *g, uint32_t gates)
{
    float *bias = calloc((size_t)toc_kernels_width(4 * (uint64_t)g->units), sizeof(*bias));

    for (uint32_t i = 0; i < (gates == 4 ? 4 : 2) * g->units; i++)
        bias[i] = g->bias_in[i] + g->bias_hidden[i];
    for (uint32_t u = 0; u < g->units && gates == 3; u++) {
        bias[2 * g->units + u] = g->bias_in[2 * g->units + u];
        bias[3 * g->units + u] = g->bias_hidden[2 * g->units + u];
    }
    return bias;
}

/* The same sequence `n` times side by side, in blocks. */
static void try_recurrent(uint32_t gates, uint32_t in, uint32_t units, uint32_t rows, uint32_t block, uint32_t n)
{
    struct gates g = random_gates(gates, in, units, rows);
    float *weight = packed_gates(&g, gates == 3);
    float *bias = gate_bias(&g, gates);
    struct toc_nn_recurrent layer = {in, units, gates == 3, weight, bias};
    size_t work_n = toc_nn_recur_work(in, units, n), state = (size_t)toc_kernels_width(units);
    float *work = malloc((work_n + 1) * sizeof(*work)), *x = malloc((size_t)n * block * in * sizeof(*x));
    float *out = malloc((size_t)n * block * units * sizeof(*out));
    float *hidden = calloc(n * state, sizeof(*hidden)), *cell = calloc(n * state, sizeof(*cell));
    double *want = malloc((size_t)rows * units * sizeof(*want));

    work[work_n] = 77; /* a guard: the work space is as large as said */
    (gates == 4 ? naive_lstm : naive_gru)(&g, want);
    for (uint32_t t = 0, m; t < rows; t += m) {
        m = rows - t < block ? rows - t : block;
        for (uint32_t s = 0; s < n; s++)
            memcpy(x + (size_t)s * m * in, g.x + (size_t)t * in, (size_t)m * in * sizeof(*x));
        toc_nn_recur(kernels, &layer, (struct toc_rows){x, (ptrdiff_t)in}, n, m, hidden, cell, work,
                     (struct toc_rows){out, (ptrdiff_t)units});
        for (uint32_t s = 0; s < n; s++)
            assert_near(out + (size_t)s * m * units, want + (size_t)t * units, (size_t)m * units);
    }
    assert_true(work[work_n] == 77);
    free_gates(&g);
    free(weight);
    free(bias);
    free(work);
    free(x);
    free(out);
    free(hidden);
    free(cell);
    free(want);
}

static void recurrent_layers_are_their_formulas(void **state)
{
    (void)state;
    for (uint32_t gates = 3; gates <= 4; gates++) {
        try_recurrent(gates, 1, 1, 1, 1, 1);
        try_recurrent(gates, 12, 50, 100, 100, 1);
        try_recurrent(gates, 12, 50, 100, 33, 1); /* over the edge of the tile of gates */
        try_recurrent(gates, 12, 50, 20, 7, 5);
        try_recurrent(gates, 5, 17, 40, 1, 40);
        try_recurrent(gates, 64, 64, 64, 32, 3);
    }
}

/* ---- pools ---- */

static void pools_are_their_formulas(void **state)
{
    enum { ROWS = 30, CHANNELS = 3, KERNEL = 4, STRIDE = 3, OUT = (ROWS - KERNEL) / STRIDE + 1 };
    float *in = random_values(ROWS * CHANNELS, 1), largest[OUT * CHANNELS], mean[OUT * CHANNELS];
    double want_largest[OUT * CHANNELS], want_mean[OUT * CHANNELS];

    (void)state;
    for (int t = 0; t < OUT; t++)
        for (int c = 0; c < CHANNELS; c++) {
            want_largest[t * CHANNELS + c] = -1e9;
            want_mean[t * CHANNELS + c] = 0;
            for (int k = 0; k < KERNEL; k++) {
                double x = (double)in[(t * STRIDE + k) * CHANNELS + c];

                want_largest[t * CHANNELS + c] = fmax(want_largest[t * CHANNELS + c], x);
                want_mean[t * CHANNELS + c] += x / KERNEL;
            }
        }
    toc_nn_maxpool((struct toc_rows){in, CHANNELS}, CHANNELS, KERNEL, STRIDE, OUT, 0, ROWS,
                   (struct toc_rows){largest, CHANNELS});
    toc_nn_avgpool((struct toc_rows){in, CHANNELS}, CHANNELS, KERNEL, STRIDE, OUT, (struct toc_rows){mean, CHANNELS});
    assert_near(largest, want_largest, OUT * CHANNELS);
    assert_near(mean, want_mean, OUT * CHANNELS);
    free(in);
}

static void maxpool_leaves_out_padding(void **state)
{
    float in[] = {0, 0, -5, -3, -4, 0}; /* rows 0, 1 and 5 are padding */
    float out[4];

    (void)state;
    toc_nn_maxpool((struct toc_rows){in, 1}, 1, 3, 1, 4, 2, 5, (struct toc_rows){out, 1});
    assert_true(out[0] == -5 && out[1] == -3 && out[2] == -3 && out[3] == -3);
    toc_nn_maxpool((struct toc_rows){in, 1}, 1, 2, 1, 1, 2, 5, (struct toc_rows){out, 1});
    assert_true(out[0] == 0); /* nothing but padding */
}

/* ---- element by element ---- */

static void activations_are_their_formulas(void **state)
{
    const float x[] = {-100, -3, -0.5f, -1e-30f, 0, 1e-30f, 0.5f, 3, 100};
    enum { N = sizeof(x) / sizeof(*x) };

    (void)state;
    for (int a = TOC_NN_NONE; a <= TOC_NN_GELU; a++) {
        float got[N];
        double want[N];

        memcpy(got, x, sizeof(x));
        toc_nn_activate(kernels, (enum toc_nn_activation)a, 0.125f, (struct toc_rows){got, N}, 1, N);
        for (int i = 0; i < N; i++)
            want[i] = activate((enum toc_nn_activation)a, 0.125, (double)x[i]);
        assert_near(got, want, N);
    }
}

static void activations_clean_what_is_not_finite(void **state)
{
    (void)state;
    for (int a = TOC_NN_NONE; a <= TOC_NN_GELU; a++) {
        float x[] = {NAN, INFINITY, -INFINITY, 3e38f}, zero[] = {0};

        toc_nn_activate(kernels, (enum toc_nn_activation)a, 4.0f, (struct toc_rows){x, 4}, 1, 4);
        toc_nn_activate(kernels, (enum toc_nn_activation)a, 4.0f, (struct toc_rows){zero, 1}, 1, 1);
        for (int i = 0; i < 3; i++)
            assert_true(x[i] == zero[0]);
        assert_true(isfinite(x[3]));
    }
}

static void softmax_is_its_formula(void **state)
{
    float x[] = {1, 2, 3, -1000, 1000, 999, 3e38f, -3e38f, 0};
    const double want[] = {0.090030573, 0.244728471, 0.665240956, 0, 0.731058579, 0.268941421, 1, 0, 0};

    (void)state;
    toc_nn_softmax(kernels, (struct toc_rows){x, 3}, 3, 3);
    assert_near(x, want, 9);
}

static void scale_is_per_channel(void **state)
{
    float x[] = {1, 2, 3, 4, INFINITY, 6};
    const float scale[] = {2, -1, 0.5f}, shift[] = {10, 20, 30};
    const double want[] = {12, 18, 31.5, 18, 0, 33};

    (void)state;
    toc_nn_scale((struct toc_rows){x, 3}, 2, 3, scale, shift);
    assert_near(x, want, 6);
}

/* ---- what the kernels promise ---- */

static void functions_keep_their_error_bounds(void **state)
{
    (void)state;
    for (float x = -90; x <= 90; x += 0.0137f) {
        float e = x, s = x, t = x;

        kernels->exponential(&e, 1);
        kernels->sigmoid(&s, 1);
        kernels->hyperbolic_tangent(&t, 1);
        if (fabsf(x) <= 87)
            assert_true(fabs((double)e / exp((double)x) - 1) < 2e-7);
        assert_true(fabs((double)s - sigmoid((double)x)) < 2e-7);
        assert_true(fabs((double)t - tanh((double)x)) < 2e-7);
    }
}

/* A row comes out the same, bit for bit, alone and among any number of others. */
static void rows_do_not_know_each_other(void **state)
{
    static const uint32_t columns[] = {1, 3, 8, 16, 20, 40, 64, 72, 200};
    enum { ROWS = 40, TERMS = 30 };

    (void)state;
    for (size_t c = 0; c < sizeof(columns) / sizeof(*columns); c++) {
        uint32_t n = columns[c];
        bool paired = n <= kernels->paired_columns;
        float *weight = random_values(toc_kernels_packed(paired, TERMS, n), 1), *in = random_values(ROWS * TERMS, 1);
        float *bias = random_values((size_t)toc_kernels_width(n), 1);
        float *all = malloc(ROWS * n * sizeof(*all)), *some = malloc(ROWS * n * sizeof(*some));
        struct toc_product product = {.in = in,
                                      .in_step = TERMS,
                                      .segments = 1,
                                      .segment = TERMS,
                                      .rows = ROWS,
                                      .weight = weight,
                                      .paired = paired,
                                      .columns = n,
                                      .init = bias,
                                      .out = all,
                                      .out_step = n,
                                      .slope = 0.5f};

        kernels->multiply(&product);
        for (uint32_t at_once = 1; at_once < ROWS; at_once++) {
            for (uint32_t t = 0; t < ROWS; t += at_once) {
                product.in = in + t * TERMS;
                product.out = some + (size_t)t * n;
                product.rows = ROWS - t < at_once ? ROWS - t : at_once;
                kernels->multiply(&product);
            }
            assert_memory_equal(all, some, ROWS * n * sizeof(*all));
        }
        free(weight);
        free(in);
        free(bias);
        free(all);
        free(some);
    }
}

int main(void)
{
    static const char *const sets[] = {"plain", "avx2", "avx512"};
    int failed = 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv1d_is_its_formula),
        cmocka_unit_test(transposed_is_its_formula),
        cmocka_unit_test(recurrent_layers_are_their_formulas),
        cmocka_unit_test(pools_are_their_formulas),
        cmocka_unit_test(maxpool_leaves_out_padding),
        cmocka_unit_test(activations_are_their_formulas),
        cmocka_unit_test(activations_clean_what_is_not_finite),
        cmocka_unit_test(softmax_is_its_formula),
        cmocka_unit_test(scale_is_per_channel),
        cmocka_unit_test(functions_keep_their_error_bounds),
        cmocka_unit_test(rows_do_not_know_each_other),
    };

    for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
        kernels = toc_kernels_named(sets[i]);
        printf("%s %s\n", sets[i], kernels == NULL ? "skipped: not for this processor" : "");
        if (kernels != NULL)
            failed += cmocka_run_group_tests_name(sets[i], tests, NULL, NULL);
    }
    return failed;
}
