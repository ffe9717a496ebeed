/*
 * One layer of a run: which rows it reads, where they lie, and which function
 * of core/nn.h makes the new ones. In a window rows lie between zeros in
 * their buffers, and only those wanted are made. In a block of streams the
 * rows of the streams follow each other, and what a layer looks back on is
 * fetched from their rings into work space.
 */
#include "core/net_run.h"
#include "core/rows.h"

#include <string.h>

static const struct toc_layer *layer_of(const struct toc_run *run, uint32_t index)
{
    return &run->net->graph->layers[index];
}

static struct toc_rows input_of(const struct toc_run *run, uint32_t index, uint32_t k)
{
    return toc_run_rows(run, layer_of(run, index)->inputs[k]);
}

static struct toc_nn_conv conv_of(const struct toc_run *run, uint32_t index)
{
    return toc_weights_conv(run->net->weights.kernels, layer_of(run, index), run->net->weights.parts[index]);
}

/* ---- what is the same in both: rows in, as many rows out (of a picture, places) ---- */

static void run_add(const struct toc_run *run, uint32_t index, uint32_t first, uint32_t n)
{
    const struct toc_layer *layer = layer_of(run, index);
    struct toc_rows out = toc_rows_from(toc_run_rows(run, index), first);

    toc_nn_add(toc_rows_from(input_of(run, index, 0), first), toc_rows_from(input_of(run, index, 1), first), n,
               layer->channels, out);
    for (uint32_t k = 2; k < layer->n_inputs; k++)
        toc_nn_add(out, toc_rows_from(input_of(run, index, k), first), n, layer->channels, out);
    if (layer->activation != TOC_NN_NONE)
        toc_nn_activate(run->net->weights.kernels, layer->activation, layer->slope, out, n, layer->channels);
}

/* Inputs that were planned into this buffer are there. */
static void run_concat(const struct toc_run *run, uint32_t index, uint32_t first, uint32_t n)
{
    const struct toc_layer *layer = layer_of(run, index);
    struct toc_rows out = toc_rows_from(toc_run_rows(run, index), first);

    for (uint32_t k = 0; k < layer->n_inputs; k++) {
        struct toc_rows in = toc_rows_from(input_of(run, index, k), first);
        uint32_t channels = layer_of(run, layer->inputs[k])->channels;

        if (in.at != out.at)
            toc_nn_copy(in, n, channels, out);
        out.at += channels;
    }
}

/* Operations that work in place on a copy of their input. */
static void run_pointwise(const struct toc_run *run, uint32_t index, uint32_t first, uint32_t n)
{
    const struct toc_kernels *kernels = run->net->weights.kernels;
    const struct toc_layer *layer = layer_of(run, index);
    float *const *parts = run->net->weights.parts[index];
    struct toc_rows out = toc_rows_from(toc_run_rows(run, index), first);

    toc_nn_copy(toc_rows_from(input_of(run, index, 0), first), n, layer->channels, out);
    if (layer->op == TOC_OP_SOFTMAX)
        toc_nn_softmax(kernels, out, n, layer->channels);
    if (layer->op == TOC_OP_BATCHNORM)
        toc_nn_scale(out, n, layer->channels, parts[0], parts[1]);
    if (layer->op == TOC_OP_LAYERNORM)
        toc_rows_normalize(out, n, layer->channels, layer->eps, parts[0], parts[1]);
    toc_nn_activate(kernels, layer->activation, layer->slope, out, n, layer->channels);
}

static void run_rowwise(const struct toc_run *run, uint32_t index, uint32_t first, uint32_t n)
{
    const struct toc_layer *layer = layer_of(run, index);
    struct toc_nn_conv conv = conv_of(run, index);

    switch (layer->op) {
    case TOC_OP_DENSE:
        toc_nn_conv1d(run->net->weights.kernels, &conv, toc_rows_from(input_of(run, index, 0), first), n,
                      toc_rows_from(toc_run_rows(run, index), first));
        break;
    case TOC_OP_ADD:
        run_add(run, index, first, n);
        break;
    case TOC_OP_CONCAT:
        run_concat(run, index, first, n);
        break;
    default:
        run_pointwise(run, index, first, n);
        break;
    }
}

/* ---- windows ---- */

/* @param in  the row that output row `first` reads first */
static void run_reading(const struct toc_run *run, uint32_t index, struct toc_rows in, uint32_t n, uint32_t skip,
                        uint32_t end, struct toc_rows out)
{
    const struct toc_kernels *kernels = run->net->weights.kernels;
    const struct toc_layer *layer = layer_of(run, index);
    struct toc_nn_conv conv = conv_of(run, index);

    if (layer->op == TOC_OP_CONV1D) {
        toc_nn_conv1d(kernels, &conv, in, n, out);
        return;
    }
    if (layer->op == TOC_OP_MAXPOOL)
        toc_nn_maxpool(in, layer->channels, layer->kernel, layer->stride, n, skip, end, out);
    else
        toc_nn_avgpool(in, layer->channels, layer->kernel, layer->stride, n, out);
    toc_nn_activate(kernels, layer->activation, layer->slope, out, n, layer->channels);
}

static void window_reading(const struct toc_run *run, uint32_t index, uint32_t first, uint32_t n)
{
    const struct toc_layer *layer = layer_of(run, index);
    int64_t from = (int64_t)first * layer->stride - layer->pad_left;

    run_reading(run, index, toc_rows_from(input_of(run, index, 0), from), n, from < 0 ? (uint32_t)-from : 0,
                (uint32_t)(run->buffers->rows[layer->inputs[0]] - from),
                toc_rows_from(toc_run_rows(run, index), first));
}

void toc_run_window_layer(const struct toc_run *run, uint32_t index)
{
    const struct toc_layer *layer = layer_of(run, index);
    struct toc_nn_conv conv = conv_of(run, index);
    uint32_t first = run->buffers->first[index], n = run->buffers->count[index];

    if (toc_layer_is_windowed(layer))
        window_reading(run, index, first, n);
    else if (layer->op == TOC_OP_CONVTRANSPOSE1D)
        toc_nn_transposed(run->net->weights.kernels, &conv, input_of(run, index, 0), first, n,
                          toc_rows_from(toc_run_rows(run, index), first));
    else if (toc_run_is_sequence(layer))
        toc_run_sequence_layer(run, index);
    else
        run_rowwise(run, index, first * layer->width, n * layer->width);
}

/* ---- blocks of streams ---- */

/* What a layer reads for one block of one stream, and how it is laid out in work space. */
struct reach {
    uint32_t rows, out_rows; /* per stream: of its input, of its own */
    bool in_place;           /* windows that neither overlap nor look back are read where they lie */
    bool taps;               /* each output's rows side by side; else all rows in order, those looked back on first */
};

/* Whichever copies less: all of what a long dilation looks back on, or only the rows it reads. */
static struct reach reach_of(const struct toc_layer *layer, uint32_t in_rows)
{
    struct reach reach = {.rows = in_rows, .out_rows = in_rows / layer->stride};

    reach.in_place = layer->pad_left == 0 && layer->kernel == layer->stride && layer->dilation == 1;
    reach.taps =
        layer->op == TOC_OP_CONV1D && (int64_t)reach.out_rows * layer->kernel < (int64_t)layer->pad_left + in_rows;
    return reach;
}

/* Rows from .. from + n - 1 of a stream's block, in the block itself or before it in the ring. */
static void fetch(const struct toc_run *run, uint32_t source, uint32_t stream, int64_t from, uint32_t n,
                  float *ret_rows)
{
    const struct toc_layer *layer = layer_of(run, source);
    const struct toc_net_state *state = run->states[stream];
    const float *ring = state->values + run->net->ring_at[source];
    struct toc_rows block = toc_rows_from(toc_run_rows(run, source), (int64_t)stream * run->buffers->rows[source]);
    uint32_t slots = layer->margin_left, channels = layer->channels;

    for (uint32_t straight; n > 0 && from < 0;
         n -= straight, from += straight, ret_rows += (size_t)straight * channels) {
        uint32_t slot = (uint32_t)((state->seen / layer->step + slots - (uint64_t)-from) % slots);

        straight = slots - slot < (uint64_t)-from ? slots - slot : (uint32_t)-from;
        straight = straight < n ? straight : n;
        toc_rows_put(ring + (size_t)slot * channels, (size_t)straight * channels, ret_rows);
    }
    for (uint32_t r = 0; r < n; r++)
        toc_rows_put(toc_rows_from(block, from + r).at, channels, ret_rows + (size_t)r * channels);
}

/* Thousands of streams' rings are in no cache: those of the stream after next are asked for while this one is copied.
 */
#define FORESIGHT 2u
#define LINE_FLOATS 16u

static void foresee(const struct toc_run *run, uint32_t source, uint32_t stream, int64_t from, uint32_t n)
{
    const struct toc_layer *layer = layer_of(run, source);
    uint32_t slots = layer->margin_left, channels = layer->channels, slot;

    if (stream >= run->n_streams || from >= 0)
        return;
    n = (int64_t)n < -from ? n : (uint32_t)-from;
    slot = (uint32_t)((run->states[stream]->seen / layer->step + slots - (uint64_t)-from) % slots);
    for (const float *ring = run->states[stream]->values + run->net->ring_at[source]; n > 0; n--) {
        for (uint32_t c = 0; c < channels; c += LINE_FLOATS)
            __builtin_prefetch(ring + (size_t)slot * channels + c);
        slot = slot + 1 == slots ? 0 : slot + 1;
    }
}

static void foresee_taps(const struct toc_run *run, uint32_t index, const struct reach *reach, uint32_t stream)
{
    const struct toc_layer *layer = layer_of(run, index);

    for (uint32_t k = 0; k < layer->kernel; k++)
        foresee(run, layer->inputs[0], stream, (int64_t)k * layer->dilation - layer->pad_left,
                (reach->out_rows - 1) * layer->stride + 1);
}

static void fetch_taps(const struct toc_run *run, uint32_t index, const struct reach *reach, uint32_t stream,
                       float *work)
{
    const struct toc_layer *layer = layer_of(run, index);
    uint32_t straight = layer->dilation == 1 ? layer->kernel : 1;

    for (uint32_t t = 0; t < reach->out_rows; t++)
        for (uint32_t k = 0; k < layer->kernel; k += straight, work += (size_t)straight * layer->in_channels)
            fetch(run, layer->inputs[0], stream,
                  (int64_t)t * layer->stride + (int64_t)k * layer->dilation - layer->pad_left, straight, work);
}

/* All taps of all outputs of all streams side by side: one convolution of one tap. */
static void block_taps(const struct toc_run *run, uint32_t index, const struct reach *reach)
{
    const struct toc_layer *layer = layer_of(run, index);
    struct toc_nn_conv conv = conv_of(run, index);
    size_t row = (size_t)layer->kernel * layer->in_channels;
    float *work = run->buffers->work;

    for (uint32_t s = 0; s < run->n_streams; s++) {
        foresee_taps(run, index, reach, s + FORESIGHT);
        fetch_taps(run, index, reach, s, work + s * reach->out_rows * row);
    }
    conv.stride = layer->kernel;
    conv.dilation = 1;
    toc_nn_conv1d(run->net->weights.kernels, &conv, (struct toc_rows){work, (ptrdiff_t)layer->in_channels},
                  run->n_streams * reach->out_rows, toc_run_rows(run, index));
}

/* Few rows of many streams: row t of all of them makes a better tile than all rows of one. */
static void convolve_across(const struct toc_run *run, uint32_t index, const struct reach *reach, size_t rows_of_stream)
{
    const struct toc_layer *layer = layer_of(run, index);
    struct toc_nn_conv conv = conv_of(run, index);
    struct toc_rows out = toc_run_rows(run, index), work = {run->buffers->work, (ptrdiff_t)layer->in_channels};

    conv.stride = (uint32_t)rows_of_stream;
    for (uint32_t t = 0; t < reach->out_rows; t++) {
        struct toc_rows column = {toc_rows_from(out, t).at, out.pitch * (ptrdiff_t)reach->out_rows};

        toc_nn_conv1d(run->net->weights.kernels, &conv, toc_rows_from(work, (int64_t)t * layer->stride), run->n_streams,
                      column);
    }
}

static void block_rows_in_order(const struct toc_run *run, uint32_t index, const struct reach *reach)
{
    const struct toc_layer *layer = layer_of(run, index);
    int64_t left = layer->pad_left; /* negative: a kernel shorter than its stride skips rows */
    uint32_t of_stream = (uint32_t)(left + reach->rows);
    struct toc_rows work = {run->buffers->work, (ptrdiff_t)layer->in_channels};

    for (uint32_t s = 0; s < run->n_streams; s++) {
        foresee(run, layer->inputs[0], s + FORESIGHT, -left, left > 0 ? (uint32_t)left : 0);
        fetch(run, layer->inputs[0], s, -left, of_stream, toc_rows_from(work, (int64_t)s * of_stream).at);
    }
    if (layer->op == TOC_OP_CONV1D && run->n_streams > reach->out_rows) {
        convolve_across(run, index, reach, of_stream);
        return;
    }
    for (uint32_t s = 0; s < run->n_streams; s++) {
        int64_t unknown = left - (int64_t)(run->states[s]->seen / layer_of(run, layer->inputs[0])->step);

        run_reading(run, index, toc_rows_from(work, (int64_t)s * of_stream), reach->out_rows,
                    unknown > 0 ? (uint32_t)unknown : 0, of_stream,
                    toc_rows_from(toc_run_rows(run, index), (int64_t)s * reach->out_rows));
    }
}

static void block_reading(const struct toc_run *run, uint32_t index)
{
    const struct toc_layer *layer = layer_of(run, index);
    struct reach reach = reach_of(layer, run->buffers->rows[layer->inputs[0]]);
    uint32_t all = run->n_streams * reach.rows;

    if (reach.in_place)
        run_reading(run, index, input_of(run, index, 0), run->n_streams * reach.out_rows, 0, all,
                    toc_run_rows(run, index));
    else if (reach.taps)
        block_taps(run, index, &reach);
    else
        block_rows_in_order(run, index, &reach);
}

/* The states of all streams side by side, and back. */
static void block_recurrent(const struct toc_run *run, uint32_t index)
{
    const struct toc_layer *layer = layer_of(run, index);
    struct toc_nn_recurrent recurrent = toc_weights_recurrent(layer, false, run->net->weights.parts[index]);
    size_t units = toc_weights_aligned(layer->units), bytes = units * sizeof(float);
    float *hidden = run->buffers->work, *cell = hidden + run->n_streams * units, *work = cell + run->n_streams * units;

    for (uint32_t s = 0; s < run->n_streams; s++) {
        memcpy(hidden + s * units, run->states[s]->values + run->net->hidden_at[index], bytes);
        memcpy(cell + s * units, run->states[s]->values + run->net->cell_at[index], bytes);
    }
    toc_nn_recur(run->net->weights.kernels, &recurrent, input_of(run, index, 0), run->n_streams,
                 run->buffers->rows[index], hidden, cell, work, toc_run_rows(run, index));
    for (uint32_t s = 0; s < run->n_streams; s++) {
        memcpy(run->states[s]->values + run->net->hidden_at[index], hidden + s * units, bytes);
        memcpy(run->states[s]->values + run->net->cell_at[index], cell + s * units, bytes);
    }
}

void toc_run_block_layer(const struct toc_run *run, uint32_t index)
{
    const struct toc_layer *layer = layer_of(run, index);

    if (toc_layer_is_windowed(layer))
        block_reading(run, index);
    else if (toc_layer_is_recurrent(layer))
        block_recurrent(run, index);
    else
        run_rowwise(run, index, 0, run->n_streams * run->buffers->rows[index] * layer->width);
}

/* ---- work space ---- */

static uint64_t reading_work(const struct toc_net *net, const struct toc_layer *layer, const uint32_t *rows,
                             uint32_t n_streams)
{
    struct reach reach = reach_of(layer, rows[layer->inputs[0]]);

    if (!net->graph->causal || reach.in_place)
        return 0;
    return (uint64_t)n_streams * layer->in_channels *
               (reach.taps ? (uint64_t)reach.out_rows * layer->kernel
                           : (uint64_t)((int64_t)layer->pad_left + reach.rows)) +
           1;
}

uint64_t toc_run_work(const struct toc_net *net, uint32_t index, const uint32_t *rows, uint32_t n_streams)
{
    const struct toc_layer *layer = &net->graph->layers[index];

    if (net->graph->causal && toc_layer_is_recurrent(layer))
        return 2 * n_streams * toc_weights_aligned(layer->units) +
               toc_nn_recur_work(layer->in_channels, layer->units, n_streams);
    if (toc_run_is_sequence(layer))
        return toc_run_sequence_work(layer, net->weights.parts[index], rows[layer->inputs[0]]);
    return toc_layer_is_windowed(layer) ? reading_work(net, layer, rows, n_streams) : 0;
}
