/*
 * Layers over products. Rows are time-major, so the rows a convolution reads
 * for one output lie side by side already and those of the next output
 * overlap them: nothing is gathered, the product steps over them.
 */
#include "core/nn.h"

#include <cblas.h>
#include <float.h>
#include <math.h>
#include <string.h>

/* The loops over channels are what is no product here; gcc turns them into vector code at -O3 only, clang always. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

/* Rows of a tile that passes through work space: a few tens of KiB, so that it stays in the first caches. */
#define TILE_ROWS 32u

/* Measured (./run bench): weights beyond the second cache and rows enough to reuse them are where the blocking of a
 * BLAS wins; below, the kernels do, up to twice. */
#define LARGE_WEIGHTS (UINT64_C(1) << 19)
#define LARGE_ROWS 32u

bool toc_nn_is_large(uint64_t terms, uint64_t columns)
{
    return terms * columns >= LARGE_WEIGHTS;
}

void toc_nn_prepare_large(void)
{
    enum { N = 128 };
    float a[N * N] = {0}, c[N * N];

    openblas_set_num_threads(1);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, N, N, N, 1.0f, a, N, a, N, 0.0f, c, N);
}

static void multiply_large(const struct toc_product *p)
{
    for (size_t r = 0; r < p->rows; r++)
        memcpy(p->out + (ptrdiff_t)r * p->out_step, p->init, p->columns * sizeof(float));
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)p->rows, (blasint)p->columns, (blasint)p->segment,
                1.0f, p->in, (blasint)p->in_step, p->weight, (blasint)toc_kernels_width(p->columns), 1.0f, p->out,
                (blasint)p->out_step);
}

static struct toc_rows from(struct toc_rows rows, size_t t)
{
    return toc_rows_from(rows, (int64_t)t);
}

static size_t width(uint64_t n)
{
    return (size_t)toc_kernels_width(n);
}

/* ---- convolution ---- */

/* Terms of two rows at once need pairs that do not straddle two runs of neighbouring floats. */
bool toc_nn_pairs(const struct toc_kernels *kernels, const struct toc_nn_conv *conv)
{
    return conv->out <= kernels->paired_columns && conv->groups == 1 && (conv->in % 2 == 0 || conv->dilation == 1);
}

uint64_t toc_nn_conv_packed(const struct toc_nn_conv *conv)
{
    uint64_t terms = (uint64_t)conv->kernel * (conv->in / conv->groups);

    return conv->groups * toc_kernels_packed(conv->paired, terms, conv->out / conv->groups);
}

void toc_nn_pack_conv(const struct toc_nn_conv *conv, const float *weight, const float *scale, float *packed)
{
    const size_t in = conv->in / conv->groups, out = conv->out / conv->groups;
    const size_t part = (size_t)toc_kernels_packed(conv->paired, in * conv->kernel, out);

    for (size_t o = 0; o < conv->out; o++)
        for (size_t i = 0; i < in; i++)
            for (size_t k = 0; k < conv->kernel; k++)
                toc_kernels_pack(conv->paired, k * in + i, o % out, out, *weight++ * (scale != NULL ? scale[o] : 1.0f),
                                 packed + o / out * part);
}

/* What a product itself can do to its result; the rest is done to its rows afterwards. */
static float slope_of(enum toc_nn_activation activation, float slope)
{
    return activation == TOC_NN_RELU ? 0.0f : activation == TOC_NN_LEAKY_RELU ? slope : 1.0f;
}

static void finish(const struct toc_kernels *kernels, const struct toc_nn_conv *conv, struct toc_rows out,
                   uint32_t rows)
{
    if (conv->activation != TOC_NN_NONE && conv->activation != TOC_NN_RELU && conv->activation != TOC_NN_LEAKY_RELU)
        toc_nn_activate(kernels, conv->activation, conv->slope, out, rows, conv->out);
}

void toc_nn_conv1d(const struct toc_kernels *kernels, const struct toc_nn_conv *conv, struct toc_rows in, uint32_t rows,
                   struct toc_rows out)
{
    const uint32_t group_in = conv->in / conv->groups, group_out = conv->out / conv->groups;
    const bool together = conv->dilation == 1 && in.pitch == (ptrdiff_t)group_in;
    struct toc_product product = {
        .in = in.at,
        .in_step = (ptrdiff_t)conv->stride * in.pitch,
        .segments = together ? 1 : conv->kernel,
        .segment = together ? conv->kernel * group_in : group_in,
        .segment_step = (ptrdiff_t)conv->dilation * in.pitch,
        .rows = rows,
        .weight = conv->weight,
        .paired = conv->paired,
        .columns = group_out,
        .init = conv->bias,
        .out = out.at,
        .out_step = out.pitch,
        .slope = slope_of(conv->activation, conv->slope),
    };

    if (conv->groups == 1 && product.segments == 1 && product.in_step >= (ptrdiff_t)product.segment &&
        rows >= LARGE_ROWS && toc_nn_is_large(product.segment, group_out)) {
        multiply_large(&product);
        toc_nn_activate(kernels, conv->activation, conv->slope, out, rows, conv->out);
        return;
    }
    for (uint32_t g = 0; g < conv->groups; g++) {
        kernels->multiply(&product);
        product.in += group_in;
        product.out += group_out;
        product.weight += toc_kernels_packed(product.paired, (uint64_t)conv->kernel * group_in, group_out);
        product.init += width(group_out);
    }
    finish(kernels, conv, out, rows);
}

/* ---- transposed convolution ---- */

/*
 * Output rows t * stride + phase read input rows t, t - 1, ... with the taps phase, phase + stride, ...: each phase is
 * an ordinary convolution of its own, written to every stride-th row. A phase past the kernel has no tap, only the
 * bias.
 */
static uint32_t phase_taps(const struct toc_nn_conv *conv, uint32_t phase)
{
    return phase < conv->kernel ? (conv->kernel - phase + conv->stride - 1) / conv->stride : 0;
}

uint32_t toc_nn_transposed_taps(const struct toc_nn_conv *conv)
{
    return phase_taps(conv, 0);
}

static uint64_t phase_packed(const struct toc_nn_conv *conv, uint32_t phase)
{
    return toc_kernels_packed(conv->paired, (uint64_t)phase_taps(conv, phase) * conv->in, conv->out);
}

uint64_t toc_nn_transposed_packed(const struct toc_nn_conv *conv)
{
    uint64_t floats = 0;

    for (uint32_t phase = 0; phase < conv->stride; phase++)
        floats += phase_packed(conv, phase);
    return floats;
}

void toc_nn_pack_transposed(const struct toc_nn_conv *conv, const float *weight, const float *scale, float *packed)
{
    for (uint32_t phase = 0; phase < conv->stride; packed += phase_packed(conv, phase++)) {
        const size_t taps = phase_taps(conv, phase);

        for (size_t tap = 0; tap < taps; tap++)
            for (size_t i = 0; i < conv->in; i++)
                for (size_t o = 0; o < conv->out; o++) {
                    float w = weight[(i * conv->out + o) * conv->kernel + tap * conv->stride + phase];

                    toc_kernels_pack(conv->paired, (taps - 1 - tap) * conv->in + i, o, conv->out,
                                     w * (scale != NULL ? scale[o] : 1.0f), packed);
                }
    }
}

static void run_phase(const struct toc_kernels *kernels, const struct toc_nn_conv *conv, uint32_t phase,
                      const float *weight, struct toc_rows in, uint32_t first, uint32_t end, struct toc_rows out)
{
    const uint32_t stride = conv->stride, taps = phase_taps(conv, phase);
    const uint32_t begin = first > phase ? (first - phase + stride - 1) / stride : 0;
    const uint32_t stop = end > phase ? (end - phase + stride - 1) / stride : 0;
    const bool together = in.pitch == (ptrdiff_t)conv->in;

    if (begin >= stop)
        return;
    kernels->multiply(&(struct toc_product){
        .in = toc_rows_from(in, (int64_t)begin - taps + 1).at,
        .in_step = in.pitch,
        .segments = together ? 1 : taps,
        .segment = together ? taps * conv->in : conv->in,
        .segment_step = in.pitch,
        .rows = stop - begin,
        .weight = weight,
        .paired = conv->paired,
        .columns = conv->out,
        .init = conv->bias,
        .out = toc_rows_from(out, (int64_t)begin * stride + phase - first).at,
        .out_step = (ptrdiff_t)stride * out.pitch,
        .slope = slope_of(conv->activation, conv->slope),
    });
}

void toc_nn_transposed(const struct toc_kernels *kernels, const struct toc_nn_conv *conv, struct toc_rows in,
                       uint32_t first, uint32_t rows, struct toc_rows out)
{
    const float *weight = conv->weight;

    for (uint32_t phase = 0; phase < conv->stride; weight += phase_packed(conv, phase++))
        run_phase(kernels, conv, phase, weight, in, first, first + rows, out);
    finish(kernels, conv, out, rows);
}

/* ---- recurrent layers ---- */

uint64_t toc_nn_recurrent_packed(uint32_t terms, uint32_t units)
{
    return toc_kernels_packed(false, terms, 4 * (uint64_t)units);
}

/* A GRU's n is two columns: 2 from the input, 3 from the hidden state, so that the reset gate can come between. */
void toc_nn_pack_recurrent(uint32_t terms, uint32_t units, bool gru, bool hidden, const float *weight, float *packed)
{
    const size_t gates = gru ? 3 : 4;

    for (size_t g = 0; g < gates; g++)
        for (size_t u = 0; u < units; u++)
            for (size_t i = 0; i < terms; i++)
                toc_kernels_pack(false, i, (g + (gru && hidden && g == 2)) * units + u, 4 * (size_t)units, *weight++,
                                 packed);
}

/* One sequence: input gates of so many rows, which do not wait for the row before, are made at once. */
#define GATE_ROWS 32u

/* Floats of a row of gates, and of a row of input and hidden state side by side. */
static size_t gates_width(uint32_t units)
{
    return width(4 * (uint64_t)units);
}

static size_t joint_width(uint32_t in, uint32_t units)
{
    return in + width(units);
}

/* A cell reads 16 floats past its gates. */
size_t toc_nn_recur_work(uint32_t in, uint32_t units, uint32_t n)
{
    size_t alone = gates_width(units) * (GATE_ROWS + 1), together = n * (gates_width(units) + joint_width(in, units));

    return (n == 1 ? alone : together) + 16;
}

static void run_cell(const struct toc_kernels *kernels, const struct toc_nn_recurrent *layer, const float *gates,
                     float *hidden, float *cell)
{
    if (layer->gru)
        kernels->gru_cell(layer->units, gates, hidden);
    else
        kernels->lstm_cell(layer->units, gates, hidden, cell);
}

static struct toc_product gates_product(const struct toc_nn_recurrent *layer, const float *in, ptrdiff_t in_step,
                                        uint32_t terms, const float *weight, float *out)
{
    return (struct toc_product){.in = in,
                                .in_step = in_step,
                                .segments = 1,
                                .segment = terms,
                                .rows = 1,
                                .weight = weight,
                                .columns = 4 * layer->units,
                                .init = layer->bias,
                                .out = out,
                                .out_step = (ptrdiff_t)gates_width(layer->units),
                                .slope = 1.0f};
}

static void recur_alone(const struct toc_kernels *kernels, const struct toc_nn_recurrent *layer, struct toc_rows in,
                        uint32_t rows, float *hidden, float *cell, float *work, struct toc_rows out)
{
    const size_t row = gates_width(layer->units);
    const float *of_hidden = layer->weight + layer->in * row;
    float *gates = work + row * GATE_ROWS;

    for (uint32_t t = 0; t < rows; t++) {
        struct toc_product feed = gates_product(layer, from(in, t).at, in.pitch, layer->in, layer->weight, work);
        struct toc_product recur = gates_product(layer, hidden, 0, layer->units, of_hidden, gates);

        feed.rows = rows - t < GATE_ROWS ? rows - t : GATE_ROWS;
        if (t % GATE_ROWS == 0)
            kernels->multiply(&feed);
        recur.init = work + t % GATE_ROWS * row;
        kernels->multiply(&recur);
        run_cell(kernels, layer, gates, hidden, cell);
        toc_rows_put(hidden, layer->units, from(out, t).at);
    }
}

/* Several sequences: row t of all of them, input and hidden state side by side, is one product. */
static void recur_together(const struct toc_kernels *kernels, const struct toc_nn_recurrent *layer, struct toc_rows in,
                           uint32_t n, uint32_t rows, float *hidden, float *cell, float *work, struct toc_rows out)
{
    const size_t row = gates_width(layer->units), state = width(layer->units),
                 joint = joint_width(layer->in, layer->units);
    float *gates = work + n * joint;
    struct toc_product product =
        gates_product(layer, work, (ptrdiff_t)joint, layer->in + layer->units, layer->weight, gates);

    product.rows = n;
    for (uint32_t s = 0; s < n; s++)
        toc_rows_put(hidden + s * state, state, work + s * joint + layer->in);
    for (uint32_t t = 0; t < rows; t++) {
        for (uint32_t s = 0; s < n; s++)
            toc_rows_put(from(in, (size_t)s * rows + t).at, layer->in, work + s * joint);
        kernels->multiply(&product);
        for (uint32_t s = 0; s < n; s++) {
            float *h = work + s * joint + layer->in;

            run_cell(kernels, layer, gates + s * row, h, cell + s * state);
            toc_rows_put(h, layer->units, from(out, (size_t)s * rows + t).at);
        }
    }
    for (uint32_t s = 0; s < n; s++)
        toc_rows_put(work + s * joint + layer->in, state, hidden + s * state);
}

void toc_nn_recur(const struct toc_kernels *kernels, const struct toc_nn_recurrent *layer, struct toc_rows in,
                  uint32_t n, uint32_t rows, float *hidden, float *cell, float *work, struct toc_rows out)
{
    if (n == 1)
        recur_alone(kernels, layer, in, rows, hidden, cell, work, out);
    else
        recur_together(kernels, layer, in, n, rows, hidden, cell, work, out);
}

/* ---- pools ---- */

static float column_max(const float *in, ptrdiff_t pitch, uint32_t begin, uint32_t end)
{
    float best = in[(ptrdiff_t)begin * pitch];

    for (uint32_t t = begin + 1; t < end; t++)
        best = in[(ptrdiff_t)t * pitch] > best ? in[(ptrdiff_t)t * pitch] : best;
    return best;
}

void toc_nn_maxpool(struct toc_rows in, uint32_t channels, uint32_t kernel, uint32_t stride, uint32_t rows,
                    uint32_t skip, uint32_t end, struct toc_rows out)
{
    for (uint32_t t = 0; t < rows; t++) {
        uint32_t begin = t * stride < skip ? skip : t * stride;
        uint32_t stop = t * stride + kernel > end ? end : t * stride + kernel;
        float *to = from(out, t).at;

        for (uint32_t c = 0; c < channels; c++)
            to[c] = begin < stop ? column_max(in.at + c, in.pitch, begin, stop) : 0.0f;
    }
}

void toc_nn_avgpool(struct toc_rows in, uint32_t channels, uint32_t kernel, uint32_t stride, uint32_t rows,
                    struct toc_rows out)
{
    for (size_t t = 0; t < rows; t++) {
        float *to = from(out, t).at;

        memset(to, 0, channels * sizeof(*to));
        for (size_t k = 0; k < kernel; k++)
            for (size_t c = 0; c < channels; c++)
                to[c] += from(in, t * stride + k).at[c] / (float)kernel;
    }
}

/* ---- value by value ---- */

/* As a comparison, not as a class: that has a vector form. NaN fails it too. */
static float finite_or_zero(float x)
{
    return fabsf(x) <= FLT_MAX ? x : 0.0f;
}

static void leak(float *values, size_t n, float slope)
{
    for (size_t i = 0; i < n; i++)
        values[i] = finite_or_zero(values[i] > 0.0f ? values[i] : slope * values[i]);
}

static void gelu(float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float x = finite_or_zero(values[i]);

        values[i] = 0.5f * x * (1.0f + erff(x * (float)M_SQRT1_2));
    }
}

static void activate(const struct toc_kernels *kernels, enum toc_nn_activation activation, float slope, float *values,
                     size_t n)
{
    switch (activation) {
    case TOC_NN_NONE:
        toc_nn_clean(values, n, values);
        break;
    case TOC_NN_RELU:
    case TOC_NN_LEAKY_RELU:
        leak(values, n, slope_of(activation, slope));
        break;
    case TOC_NN_TANH:
        kernels->hyperbolic_tangent(values, n);
        break;
    case TOC_NN_SIGMOID:
        kernels->sigmoid(values, n);
        break;
    case TOC_NN_GELU:
        gelu(values, n);
        break;
    }
}

/* Rows without room between them are one. */
static bool is_solid(struct toc_rows rows, uint32_t channels)
{
    return rows.pitch == (ptrdiff_t)channels;
}

void toc_nn_activate(const struct toc_kernels *kernels, enum toc_nn_activation activation, float slope,
                     struct toc_rows rows, uint32_t n, uint32_t channels)
{
    if (is_solid(rows, channels)) {
        activate(kernels, activation, slope, rows.at, (size_t)n * channels);
        return;
    }
    for (uint32_t t = 0; t < n; t++)
        activate(kernels, activation, slope, from(rows, t).at, channels);
}

static inline void subtract_max(float *values, uint32_t rows, uint32_t channels)
{
    for (; rows > 0; rows--, values += channels) {
        float top = values[0];

        for (uint32_t c = 1; c < channels; c++)
            top = values[c] > top ? values[c] : top;
        for (uint32_t c = 0; c < channels; c++)
            values[c] -= top;
    }
}

static inline void divide_by_sum(float *values, uint32_t rows, uint32_t channels)
{
    for (; rows > 0; rows--, values += channels) {
        float sum = values[0];

        for (uint32_t c = 1; c < channels; c++)
            sum += values[c];
        sum = 1.0f / sum; /* of 1..channels: the largest exponential is 1 */
        for (uint32_t c = 0; c < channels; c++)
            values[c] *= sum;
    }
}

/* Three classes are what a picker has: loops of a known length are no loops. */
static void softmax_tile(const struct toc_kernels *kernels, float *values, uint32_t rows, uint32_t channels)
{
    if (channels == 3)
        subtract_max(values, rows, 3);
    else
        subtract_max(values, rows, channels);
    kernels->exponential(values, (size_t)rows * channels);
    if (channels == 3)
        divide_by_sum(values, rows, 3);
    else
        divide_by_sum(values, rows, channels);
}

/* In tiles, so that the exponentials of narrow rows fill vectors. */
void toc_nn_softmax(const struct toc_kernels *kernels, struct toc_rows rows, uint32_t n, uint32_t channels)
{
    uint32_t tile = is_solid(rows, channels) ? TILE_ROWS : 1;

    for (uint32_t t = 0; t < n; t += tile)
        softmax_tile(kernels, from(rows, t).at, n - t < tile ? n - t : tile, channels);
}

void toc_nn_scale(struct toc_rows rows, uint32_t n, uint32_t channels, const float *scale, const float *shift)
{
    for (uint32_t t = 0; t < n; t++) {
        float *values = from(rows, t).at;

        for (uint32_t c = 0; c < channels; c++)
            values[c] = finite_or_zero(values[c] * scale[c] + shift[c]);
    }
}

void toc_nn_add(struct toc_rows a, struct toc_rows b, uint32_t n, uint32_t channels, struct toc_rows out)
{
    for (uint32_t t = 0; t < n; t++) {
        const float *x = from(a, t).at, *y = from(b, t).at;
        float *sum = from(out, t).at;

        for (uint32_t c = 0; c < channels; c++)
            sum[c] = finite_or_zero(x[c] + y[c]);
    }
}

void toc_nn_copy(struct toc_rows in, uint32_t n, uint32_t channels, struct toc_rows out)
{
    if (is_solid(in, channels) && is_solid(out, channels)) {
        memcpy(out.at, in.at, (size_t)n * channels * sizeof(float));
        return;
    }
    for (uint32_t t = 0; t < n; t++)
        toc_rows_put(from(in, t).at, channels, from(out, t).at);
}

void toc_nn_clean(const float *in, size_t n, float *ret_out)
{
    for (size_t i = 0; i < n; i++)
        ret_out[i] = finite_or_zero(in[i]);
}
