/*
 * core/nn against the formulas written as plain loops in double precision:
 * every layer, shapes around the edges of tiles and vectors, every activation.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/nn.h"

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
    case TOC_NN_NONE:
        break;
    }
    return x;
}

static void assert_near(const float *got, const double *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= 1e-5 * fmax(1, fabs(want[i]))))
            fail_msg("value %zu of %zu is %.8g, not %.8g", i, n, (double)got[i], want[i]);
}

/* ---- convolutions ---- */

static void naive_conv(const struct toc_nn_conv *conv, const float *weight, const float *in, uint32_t rows, double *out)
{
    for (uint32_t t = 0; t < rows; t++)
        for (uint32_t o = 0; o < conv->out; o++) {
            double sum = (double)conv->bias[o];

            for (uint32_t i = 0; i < conv->in; i++)
                for (uint32_t k = 0; k < conv->kernel; k++)
                    sum += (double)weight[(o * conv->in + i) * conv->kernel + k] *
                           (double)in[(t * conv->stride + k * conv->dilation) * conv->in + i];
            out[t * conv->out + o] = activate(conv->activation, (double)conv->slope, sum);
        }
}

static void try_conv(struct toc_nn_conv conv, uint32_t rows)
{
    size_t n = (size_t)conv.out * conv.in * conv.kernel, n_out = (size_t)rows * conv.out;
    size_t packed_n = conv.kernel * conv.in * toc_nn_width(conv.out), work_n = toc_nn_conv_work(&conv);
    size_t n_in = ((size_t)(rows - 1) * conv.stride + (conv.kernel - 1) * conv.dilation + 1) * conv.in;
    float *weight = random_values(n, 1 / sqrtf((float)(conv.in * conv.kernel)));
    float *bias = random_values(conv.out, 1), *in = random_values(n_in, 1);
    float *packed = calloc(packed_n, sizeof(*packed)), *work = malloc((work_n + 1) * sizeof(*work));
    float *out = malloc(n_out * sizeof(*out));
    double *want = malloc(n_out * sizeof(*want));

    conv.bias = bias;
    conv.weight = packed;
    toc_nn_pack_conv(weight, conv.out, conv.in, conv.kernel, packed);
    work[work_n] = 77; /* a guard: the work space is as large as said */
    toc_nn_conv1d(&conv, in, rows, work, out);
    naive_conv(&conv, weight, in, rows, want);
    assert_near(out, want, n_out);
    assert_true(work[work_n] == 77);
    free(weight);
    free(bias);
    free(in);
    free(packed);
    free(work);
    free(out);
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
        {.in = 130, .out = 3, .kernel = 64, .stride = 1, .dilation = 1}, /* tiles of one and of two rows */
        {.in = 300, .out = 3, .kernel = 64, .stride = 1, .dilation = 1},
    };
    static const uint32_t rows[] = {1, 2, 10, 53, 400};

    (void)state;
    for (size_t s = 0; s < sizeof(shapes) / sizeof(*shapes); s++)
        for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++)
            try_conv(shapes[s], shapes[s].in > 100 && rows[r] > 53 ? 53 : rows[r]);
}

static void try_transposed(uint32_t in_channels, uint32_t out, uint32_t kernel, uint32_t stride, uint32_t rows)
{
    struct toc_nn_conv conv = {
        .in = in_channels, .out = out, .kernel = kernel, .stride = stride, .dilation = 1, .activation = TOC_NN_TANH};
    uint32_t out_rows = (rows - 1) * stride + kernel;
    size_t n_out = (size_t)out_rows * out;
    float *weight = random_values((size_t)in_channels * out * kernel, 0.3f), *bias = random_values(out, 1);
    float *in = random_values((size_t)rows * in_channels, 1), *result = malloc(n_out * sizeof(*result));
    float *packed = calloc(in_channels * toc_nn_width((size_t)kernel * out), sizeof(*packed));
    float *work = malloc(toc_nn_transposed_work(&conv) * sizeof(*work));
    double *want = calloc(n_out, sizeof(*want));

    toc_nn_pack_transposed(weight, in_channels, out, kernel, packed);
    conv.weight = packed;
    conv.bias = bias;
    toc_nn_transposed(&conv, in, rows, work, result);
    for (uint32_t t = 0; t < rows; t++)
        for (uint32_t i = 0; i < in_channels; i++)
            for (uint32_t o = 0; o < out; o++)
                for (uint32_t k = 0; k < kernel; k++)
                    want[(t * stride + k) * out + o] +=
                        (double)weight[(i * out + o) * kernel + k] * (double)in[t * in_channels + i];
    for (size_t i = 0; i < n_out; i++)
        want[i] = tanh(want[i] + (double)bias[i % out]);
    assert_near(result, want, n_out);
    free(weight);
    free(bias);
    free(in);
    free(result);
    free(packed);
    free(work);
    free(want);
}

static void transposed_is_its_formula(void **state)
{
    (void)state;
    try_transposed(1, 1, 1, 1, 1);
    try_transposed(8, 5, 7, 4, 30);
    try_transposed(3, 4, 2, 5, 9); /* rows between that only the bias reaches */
    try_transposed(16, 11, 16, 2, 200);
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

static void try_recurrent(uint32_t gates, uint32_t in, uint32_t units, uint32_t rows, uint32_t block)
{
    struct gates g = random_gates(gates, in, units, rows);
    float *packed = calloc(in * toc_nn_width((size_t)gates * units), sizeof(*packed));
    float *sum = malloc(gates * units * sizeof(*sum)), *out = malloc((size_t)rows * units * sizeof(*out));
    struct toc_nn_recurrent layer = {in, units, packed, g.weight_hidden, gates == 4 ? sum : g.bias_in, g.bias_hidden};
    float *work = malloc((gates == 4 ? toc_nn_lstm_work(&layer) : toc_nn_gru_work(&layer)) * sizeof(*work));
    double *want = malloc((size_t)rows * units * sizeof(*want));
    float hidden[128] = {0}, cell[128] = {0};

    toc_nn_pack_conv(g.weight_in, gates * units, in, 1, packed);
    for (uint32_t i = 0; i < gates * units; i++)
        sum[i] = g.bias_in[i] + g.bias_hidden[i];
    for (uint32_t t = 0; t < rows; t += block) {
        uint32_t n = rows - t < block ? rows - t : block;

        if (gates == 4)
            toc_nn_lstm(&layer, g.x + (size_t)t * in, n, hidden, cell, work, out + (size_t)t * units);
        else
            toc_nn_gru(&layer, g.x + (size_t)t * in, n, hidden, work, out + (size_t)t * units);
    }
    (gates == 4 ? naive_lstm : naive_gru)(&g, want);
    assert_near(out, want, (size_t)rows * units);
    free_gates(&g);
    free(packed);
    free(sum);
    free(out);
    free(work);
    free(want);
}

static void recurrent_layers_are_their_formulas(void **state)
{
    (void)state;
    for (uint32_t gates = 3; gates <= 4; gates++) {
        try_recurrent(gates, 1, 1, 1, 1);
        try_recurrent(gates, 12, 50, 100, 100);
        try_recurrent(gates, 12, 50, 100, 33); /* over the edge of the tile of gates */
        try_recurrent(gates, 5, 17, 40, 1);
        try_recurrent(gates, 64, 64, 64, 32);
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
    toc_nn_maxpool(in, CHANNELS, KERNEL, STRIDE, OUT, 0, ROWS, largest);
    toc_nn_avgpool(in, CHANNELS, KERNEL, STRIDE, OUT, mean);
    assert_near(largest, want_largest, OUT * CHANNELS);
    assert_near(mean, want_mean, OUT * CHANNELS);
    free(in);
}

static void maxpool_leaves_out_padding(void **state)
{
    const float in[] = {0, 0, -5, -3, -4, 0}; /* rows 0, 1 and 5 are padding */
    float out[4];

    (void)state;
    toc_nn_maxpool(in, 1, 3, 1, 4, 2, 5, out);
    assert_true(out[0] == -5 && out[1] == -3 && out[2] == -3 && out[3] == -3);
    toc_nn_maxpool(in, 1, 2, 1, 1, 2, 5, out);
    assert_true(out[0] == 0); /* nothing but padding */
}

/* ---- element by element ---- */

static void activations_are_their_formulas(void **state)
{
    const float x[] = {-100, -3, -0.5f, -1e-30f, 0, 1e-30f, 0.5f, 3, 100};
    enum { N = sizeof(x) / sizeof(*x) };

    (void)state;
    for (int a = TOC_NN_NONE; a <= TOC_NN_SIGMOID; a++) {
        float got[N];
        double want[N];

        memcpy(got, x, sizeof(x));
        toc_nn_activate((enum toc_nn_activation)a, 0.125f, got, N);
        for (int i = 0; i < N; i++)
            want[i] = activate((enum toc_nn_activation)a, 0.125, (double)x[i]);
        assert_near(got, want, N);
    }
}

static void activations_clean_what_is_not_finite(void **state)
{
    (void)state;
    for (int a = TOC_NN_NONE; a <= TOC_NN_SIGMOID; a++) {
        float x[] = {NAN, INFINITY, -INFINITY, 3e38f}, zero[] = {0};

        toc_nn_activate((enum toc_nn_activation)a, 4.0f, x, 4);
        toc_nn_activate((enum toc_nn_activation)a, 4.0f, zero, 1);
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
    toc_nn_softmax(x, 3, 3);
    assert_near(x, want, 9);
}

static void scale_is_per_channel(void **state)
{
    float x[] = {1, 2, 3, 4, INFINITY, 6};
    const float scale[] = {2, -1, 0.5f}, shift[] = {10, 20, 30};
    const double want[] = {12, 18, 31.5, 18, 0, 33};

    (void)state;
    toc_nn_scale(x, 2, 3, scale, shift);
    assert_near(x, want, 6);
}

int main(void)
{
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
    };

    toc_nn_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
