/*
 * Layers over CBLAS. A convolution gathers the rows it reads into a tile of
 * columns and is one sgemm per tile: CBLAS refuses overlapping rows (a
 * leading dimension below the width), so the view without a copy exists only
 * for kernels not longer than their stride, and there it is used. Tiles keep
 * the work space small and inside the cache however long the input.
 */
#include "core/nn.h"

#include <cblas.h>
#include <float.h>
#include <math.h>
#include <string.h>

/* The loops over channels are what is not BLAS here; gcc turns them into vector code at -O3 only, clang always. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

/* Floats of gathered columns per tile: 64 KiB, a good part of a second-level cache. One row at least. */
#define TILE_FLOATS 16384u
/* Rows of precomputed input gates: enough for sgemm to pay, little enough to stay in cache. */
#define GATE_ROWS 32u
/* 128^3 multiplications: beyond what OpenBLAS does without its large buffer. */
#define WARM_UP 128

void toc_nn_prepare(void)
{
    float a[WARM_UP * WARM_UP] = {0}, c[WARM_UP * WARM_UP];

    openblas_set_num_threads(1);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, WARM_UP, WARM_UP, WARM_UP, 1.0f, a, WARM_UP, a, WARM_UP,
                0.0f, c, WARM_UP);
}

size_t toc_nn_width(size_t n)
{
    return (n + 15) / 16 * 16;
}

void toc_nn_pack_conv(const float *weight, uint32_t out, uint32_t in, uint32_t kernel, float *ret_packed)
{
    size_t width = toc_nn_width(out);

    for (size_t o = 0; o < out; o++)
        for (size_t i = 0; i < in; i++)
            for (size_t k = 0; k < kernel; k++)
                ret_packed[(k * in + i) * width + o] = weight[(o * in + i) * kernel + k];
}

void toc_nn_pack_transposed(const float *weight, uint32_t in, uint32_t out, uint32_t kernel, float *ret_packed)
{
    size_t width = toc_nn_width((size_t)kernel * out);

    for (size_t i = 0; i < in; i++)
        for (size_t o = 0; o < out; o++)
            for (size_t k = 0; k < kernel; k++)
                ret_packed[i * width + k * out + o] = weight[(i * out + o) * kernel + k];
}

/* Rows of a tile whose widest matrix has so many columns. */
static uint32_t tile_rows(size_t columns)
{
    return columns >= TILE_FLOATS ? 1u : (uint32_t)(TILE_FLOATS / columns);
}

/* Rows that do not overlap and have no holes inside can be read where they are. */
static int reads_in_place(const struct toc_nn_conv *conv)
{
    return conv->kernel == 1 || (conv->dilation == 1 && conv->kernel <= conv->stride);
}

static uint32_t conv_tile(const struct toc_nn_conv *conv)
{
    size_t columns = (size_t)conv->kernel * conv->in, width = toc_nn_width(conv->out);

    return tile_rows(columns > width ? columns : width);
}

size_t toc_nn_conv_work(const struct toc_nn_conv *conv)
{
    size_t columns = reads_in_place(conv) ? 0 : toc_nn_width((size_t)conv->kernel * conv->in * conv_tile(conv));

    return columns + toc_nn_width(conv->out) * conv_tile(conv);
}

size_t toc_nn_transposed_work(const struct toc_nn_conv *conv)
{
    size_t width = toc_nn_width((size_t)conv->kernel * conv->out);

    return width * tile_rows(width);
}

/* Input gates of GATE_ROWS rows, then those of the hidden state for one. */
static size_t gates_work(const struct toc_nn_recurrent *layer, size_t gates)
{
    return toc_nn_width(gates * layer->units) * (GATE_ROWS + 1);
}

size_t toc_nn_lstm_work(const struct toc_nn_recurrent *layer)
{
    return gates_work(layer, 4);
}

size_t toc_nn_gru_work(const struct toc_nn_recurrent *layer)
{
    return gates_work(layer, 3);
}

/* out[rows][width] = in[rows][n], rows `step` floats apart, times weight[n][width]. */
static void multiply(const float *in, size_t step, uint32_t rows, size_t n, const float *weight, size_t width,
                     float *ret_out)
{
    blasint w = (blasint)width;

    if (rows == 1)
        cblas_sgemv(CblasRowMajor, CblasTrans, (blasint)n, w, 1.0f, weight, w, in, 1, 0.0f, ret_out, 1);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)rows, w, (blasint)n, 1.0f, in, (blasint)step,
                    weight, w, 0.0f, ret_out, w);
}

/* Packed rows to rows of n, plus the bias. */
static void add_bias(const float *packed, size_t width, const float *bias, size_t n, uint32_t rows, float *ret_out)
{
    for (uint32_t t = 0; t < rows; t++, packed += width, ret_out += n)
        for (size_t c = 0; c < n; c++)
            ret_out[c] = packed[c] + bias[c];
}

/* The rows each output reads, side by side. */
static void gather(const struct toc_nn_conv *conv, const float *in, uint32_t rows, float *columns)
{
    size_t run = conv->dilation == 1 ? (size_t)conv->kernel * conv->in : conv->in;
    size_t runs = conv->dilation == 1 ? 1 : conv->kernel;

    for (size_t t = 0; t < rows; t++)
        for (size_t r = 0; r < runs; r++, columns += run)
            memcpy(columns, in + (t * conv->stride + r * conv->dilation) * conv->in, run * sizeof(*in));
}

void toc_nn_conv1d(const struct toc_nn_conv *conv, const float *in, uint32_t out_rows, float *work, float *ret_out)
{
    size_t columns = (size_t)conv->kernel * conv->in, step = (size_t)conv->stride * conv->in;
    size_t width = toc_nn_width(conv->out);
    uint32_t tile = conv_tile(conv);
    float *packed = reads_in_place(conv) ? work : work + toc_nn_width(columns * tile);

    for (uint32_t t = 0; t < out_rows; t += tile) {
        uint32_t rows = out_rows - t < tile ? out_rows - t : tile;

        if (reads_in_place(conv)) {
            multiply(in + t * step, step, rows, columns, conv->weight, width, packed);
        } else {
            gather(conv, in + t * step, rows, work);
            multiply(work, columns, rows, columns, conv->weight, width, packed);
        }
        add_bias(packed, width, conv->bias, conv->out, rows, ret_out + (size_t)t * conv->out);
    }
    toc_nn_activate(conv->activation, conv->slope, ret_out, (size_t)out_rows * conv->out);
}

void toc_nn_transposed(const struct toc_nn_conv *conv, const float *in, uint32_t in_rows, float *work, float *ret_out)
{
    size_t used = (size_t)conv->kernel * conv->out, width = toc_nn_width(used);
    uint32_t tile = tile_rows(width), out_rows = (in_rows - 1) * conv->stride + conv->kernel;

    for (uint32_t t = 0; t < out_rows; t++)
        memcpy(ret_out + (size_t)t * conv->out, conv->bias, conv->out * sizeof(float));
    for (uint32_t t = 0; t < in_rows; t += tile) {
        uint32_t rows = in_rows - t < tile ? in_rows - t : tile;

        multiply(in + (size_t)t * conv->in, conv->in, rows, conv->in, conv->weight, width, work);
        for (size_t r = 0; r < rows; r++) {
            float *out = ret_out + (t + r) * conv->stride * conv->out;

            for (size_t i = 0; i < used; i++)
                out[i] += work[r * width + i];
        }
    }
    toc_nn_activate(conv->activation, conv->slope, ret_out, (size_t)out_rows * conv->out);
}

/* As a comparison, not as a class: that has a vector form. NaN fails it too. */
static float finite_or_zero(float x)
{
    return fabsf(x) <= FLT_MAX ? x : 0.0f;
}

static float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

/* To 1e-7 absolute, at half the price of tanhf(), which keeps the relative error of tiny values as well. */
static float hyperbolic_tangent(float x)
{
    return 1.0f - 2.0f / (1.0f + expf(2.0f * x));
}

/* gates += W_hidden h */
static void add_hidden(const struct toc_nn_recurrent *layer, size_t gates, const float *hidden, float *out)
{
    cblas_sgemv(CblasRowMajor, CblasNoTrans, (blasint)(gates * layer->units), (blasint)layer->units, 1.0f,
                layer->weight_hidden, (blasint)layer->units, hidden, 1, 1.0f, out, 1);
}

/* The part of the gates that does not wait for the previous row, for a tile of rows at once. */
static void input_gates(const struct toc_nn_recurrent *layer, size_t gates, const float *in, uint32_t rows,
                        float *ret_gates)
{
    size_t n = gates * layer->units, width = toc_nn_width(n);

    multiply(in, layer->in, rows, layer->in, layer->weight_in, width, ret_gates);
    for (uint32_t t = 0; t < rows; t++)
        for (size_t g = 0; g < n; g++)
            ret_gates[t * width + g] += layer->bias_in[g];
}

static void lstm_row(uint32_t units, const float *gates, float *hidden, float *cell)
{
    const float *i = gates, *f = i + units, *g = f + units, *o = g + units;

    for (uint32_t u = 0; u < units; u++) {
        cell[u] = sigmoid(f[u]) * cell[u] + sigmoid(i[u]) * hyperbolic_tangent(g[u]);
        hidden[u] = sigmoid(o[u]) * hyperbolic_tangent(cell[u]);
    }
}

void toc_nn_lstm(const struct toc_nn_recurrent *layer, const float *in, uint32_t rows, float *hidden, float *cell,
                 float *work, float *ret_out)
{
    size_t n = 4 * (size_t)layer->units, width = toc_nn_width(n);

    for (uint32_t t = 0; t < rows; t++, ret_out += layer->units) {
        uint32_t r = t % GATE_ROWS;
        float *gates = work + r * width;

        if (r == 0)
            input_gates(layer, 4, in + (size_t)t * layer->in, rows - t < GATE_ROWS ? rows - t : GATE_ROWS, work);
        add_hidden(layer, 4, hidden, gates);
        toc_nn_clean(gates, n, gates);
        lstm_row(layer->units, gates, hidden, cell);
        memcpy(ret_out, hidden, layer->units * sizeof(*hidden));
    }
}

/* x: gates from the input, h: from the hidden state, each r, z, n. */
static void gru_row(uint32_t units, const float *x, const float *h, float *hidden)
{
    for (uint32_t u = 0; u < units; u++) {
        float reset = sigmoid(finite_or_zero(x[u] + h[u]));
        float keep = sigmoid(finite_or_zero(x[units + u] + h[units + u]));
        float fresh = hyperbolic_tangent(finite_or_zero(x[2 * units + u] + reset * h[2 * units + u]));

        hidden[u] = (1.0f - keep) * fresh + keep * hidden[u];
    }
}

void toc_nn_gru(const struct toc_nn_recurrent *layer, const float *in, uint32_t rows, float *hidden, float *work,
                float *ret_out)
{
    size_t n = 3 * (size_t)layer->units, width = toc_nn_width(n);
    float *from_hidden = work + GATE_ROWS * width;

    for (uint32_t t = 0; t < rows; t++, ret_out += layer->units) {
        uint32_t r = t % GATE_ROWS;

        if (r == 0)
            input_gates(layer, 3, in + (size_t)t * layer->in, rows - t < GATE_ROWS ? rows - t : GATE_ROWS, work);
        memcpy(from_hidden, layer->bias_hidden, n * sizeof(*from_hidden));
        add_hidden(layer, 3, hidden, from_hidden);
        gru_row(layer->units, work + r * width, from_hidden, hidden);
        memcpy(ret_out, hidden, layer->units * sizeof(*hidden));
    }
}

static float column_max(const float *in, uint32_t channels, uint32_t from, uint32_t to)
{
    float best = in[(size_t)from * channels];

    for (uint32_t t = from + 1; t < to; t++)
        best = fmaxf(best, in[(size_t)t * channels]);
    return best;
}

void toc_nn_maxpool(const float *in, uint32_t channels, uint32_t kernel, uint32_t stride, uint32_t out_rows,
                    uint32_t skip, uint32_t end, float *ret_out)
{
    for (uint32_t t = 0; t < out_rows; t++) {
        uint32_t from = t * stride < skip ? skip : t * stride;
        uint32_t to = t * stride + kernel > end ? end : t * stride + kernel;

        for (uint32_t c = 0; c < channels; c++)
            *ret_out++ = from < to ? column_max(in + c, channels, from, to) : 0.0f;
    }
}

void toc_nn_avgpool(const float *in, uint32_t channels, uint32_t kernel, uint32_t stride, uint32_t out_rows,
                    float *ret_out)
{
    for (size_t t = 0; t < out_rows; t++, ret_out += channels) {
        memset(ret_out, 0, channels * sizeof(*ret_out));
        for (size_t k = 0; k < kernel; k++)
            for (size_t c = 0; c < channels; c++)
                ret_out[c] += in[(t * stride + k) * channels + c] / (float)kernel;
    }
}

void toc_nn_activate(enum toc_nn_activation activation, float slope, float *values, size_t n)
{
    switch (activation) {
    case TOC_NN_NONE:
        toc_nn_clean(values, n, values);
        break;
    case TOC_NN_RELU:
        for (size_t i = 0; i < n; i++)
            values[i] = finite_or_zero(values[i] > 0.0f ? values[i] : 0.0f);
        break;
    case TOC_NN_LEAKY_RELU:
        for (size_t i = 0; i < n; i++)
            values[i] = finite_or_zero(values[i] > 0.0f ? values[i] : slope * values[i]);
        break;
    case TOC_NN_TANH:
        for (size_t i = 0; i < n; i++)
            values[i] = hyperbolic_tangent(finite_or_zero(values[i]));
        break;
    case TOC_NN_SIGMOID:
        for (size_t i = 0; i < n; i++)
            values[i] = sigmoid(finite_or_zero(values[i]));
        break;
    }
}

void toc_nn_softmax(float *values, uint32_t rows, uint32_t channels)
{
    for (uint32_t t = 0; t < rows; t++, values += channels) {
        float top = column_max(values, 1, 0, channels), sum = 0.0f;

        for (uint32_t c = 0; c < channels; c++)
            sum += values[c] = expf(values[c] - top);
        for (uint32_t c = 0; c < channels; c++)
            values[c] /= sum;
    }
}

void toc_nn_scale(float *values, uint32_t rows, uint32_t channels, const float *scale, const float *shift)
{
    for (uint32_t t = 0; t < rows; t++, values += channels)
        for (uint32_t c = 0; c < channels; c++)
            values[c] = finite_or_zero(values[c] * scale[c] + shift[c]);
}

void toc_nn_clean(const float *in, size_t n, float *ret_out)
{
    for (size_t i = 0; i < n; i++)
        ret_out[i] = finite_or_zero(in[i]);
}
