/*
 * Running a network. Three blocks of memory, laid out at create: weights
 * (const, shared), state (one per stream), buffers (one per thread). Every
 * piece starts on 64 bytes, so that the same rows take the same path through
 * the vector code wherever the blocks lie: same bits.
 */
#include "core/net.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN_FLOATS 16u

struct toc_net {
    const struct toc_graph *graph; /* borrowed */
    float *weights;                /* owned: all layers' */
    float *parts[TOC_GRAPH_LAYERS_MAX][TOC_GRAPH_TENSORS_MAX]; /* into weights; by op, see bind_layer() */
    size_t margin_at[TOC_GRAPH_LAYERS_MAX];                    /* into a state's values: the left margin */
    size_t hidden_at[TOC_GRAPH_LAYERS_MAX];                    /* ... hidden, then cell */
    uint64_t state_floats;
};

struct toc_net_state {
    uint64_t seen; /* input rows since reset */
    size_t n;
    float *values; /* owned */
};

struct toc_net_buffers {
    uint32_t max_rows;
    size_t at[TOC_GRAPH_LAYERS_MAX];     /* into values: row 0 of each layer, behind its left margin */
    uint32_t rows[TOC_GRAPH_LAYERS_MAX]; /* of the present run */
    size_t work_at;
    float *values; /* owned */
};

static uint64_t aligned(uint64_t n)
{
    return (n + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
}

/* Zeroed, on 64 bytes. */
static int take(uint64_t floats, float **ret_values)
{
    uint64_t bytes = aligned(floats > 0 ? floats : 1) * sizeof(float);
    float *values;

    if (bytes > TOC_NET_BYTES_MAX)
        return -E2BIG;
    values = aligned_alloc(ALIGN_FLOATS * sizeof(float), bytes);
    if (values == NULL)
        return -ENOMEM;
    memset(values, 0, bytes);
    *ret_values = values;
    return 0;
}

static bool is_recurrent(const struct toc_layer *layer)
{
    return layer->op == TOC_OP_LSTM || layer->op == TOC_OP_GRU;
}

static bool is_conv(const struct toc_layer *layer) /* anything that is a struct toc_nn_conv */
{
    return layer->op == TOC_OP_CONV1D || layer->op == TOC_OP_CONVTRANSPOSE1D || layer->op == TOC_OP_DENSE;
}

/* ---- weights ---- */

/* Floats of each part of a layer: conv: weight, bias. Recurrent: input weight, hidden weight, input bias, hidden bias.
 * Batch norm: scale, shift. */
static void part_sizes(const struct toc_layer *layer, uint64_t *ret_sizes)
{
    uint64_t in = layer->in_channels, out = layer->channels, gates = layer->op == TOC_OP_LSTM ? 4 : 3;

    memset(ret_sizes, 0, TOC_GRAPH_TENSORS_MAX * sizeof(*ret_sizes));
    if (is_conv(layer)) {
        uint64_t kernel = layer->op == TOC_OP_DENSE ? 1 : layer->kernel;

        ret_sizes[0] = layer->op == TOC_OP_CONVTRANSPOSE1D ? in * toc_nn_width(kernel * out)
                                                           : in * kernel * toc_nn_width(out);
        ret_sizes[1] = out;
    } else if (is_recurrent(layer)) {
        ret_sizes[0] = in * toc_nn_width(gates * out);
        ret_sizes[1] = gates * out * out;
        ret_sizes[2] = ret_sizes[3] = gates * out;
    } else if (layer->op == TOC_OP_BATCHNORM) {
        ret_sizes[0] = ret_sizes[1] = out;
    }
}

static int place_weights(struct toc_net *net)
{
    uint64_t sizes[TOC_GRAPH_TENSORS_MAX], total = 0, at = 0;

    for (uint32_t i = 0; i < net->graph->n_layers; i++) {
        part_sizes(&net->graph->layers[i], sizes);
        for (int p = 0; p < TOC_GRAPH_TENSORS_MAX; p++)
            total += aligned(sizes[p]);
    }
    int error = take(total, &net->weights);
    if (error != 0)
        return error;
    for (uint32_t i = 0; i < net->graph->n_layers; i++) {
        part_sizes(&net->graph->layers[i], sizes);
        for (int p = 0; p < TOC_GRAPH_TENSORS_MAX; p++) {
            net->parts[i][p] = net->weights + at;
            at += aligned(sizes[p]);
        }
    }
    return 0;
}

static void bind_recurrent(const struct toc_layer *layer, const float *const *tensors, float *const *parts)
{
    uint32_t units = layer->channels, gates = layer->op == TOC_OP_LSTM ? 4 * units : 3 * units;

    toc_nn_pack_conv(tensors[0], gates, layer->in_channels, 1, parts[0]);
    memcpy(parts[1], tensors[1], (size_t)gates * units * sizeof(float));
    if (!layer->bias)
        return;
    for (uint32_t g = 0; g < gates; g++) {
        /* Only the GRU's reset gate stands between the two biases. */
        parts[2][g] = layer->op == TOC_OP_LSTM ? tensors[2][g] + tensors[3][g] : tensors[2][g];
        parts[3][g] = tensors[3][g];
    }
}

/* tensors: gamma, beta, mean, variance (Ioffe & Szegedy 2015, section 3.1, inference form). */
static void bind_batchnorm(const struct toc_layer *layer, const float *const *tensors, float *const *parts)
{
    for (uint32_t c = 0; c < layer->channels; c++) {
        double scale = (double)tensors[0][c] / sqrt((double)tensors[3][c] + (double)layer->eps);

        parts[0][c] = (float)scale;
        parts[1][c] = (float)((double)tensors[1][c] - (double)tensors[2][c] * scale);
    }
}

static void bind_layer(const struct toc_layer *layer, const float *const *tensors, float *const *parts)
{
    if (layer->op == TOC_OP_CONVTRANSPOSE1D)
        toc_nn_pack_transposed(tensors[0], layer->in_channels, layer->channels, layer->kernel, parts[0]);
    else if (is_conv(layer))
        toc_nn_pack_conv(tensors[0], layer->channels, layer->in_channels,
                         layer->op == TOC_OP_DENSE ? 1 : layer->kernel, parts[0]);
    if (is_conv(layer) && layer->bias)
        memcpy(parts[1], tensors[1], layer->channels * sizeof(float));
    if (is_recurrent(layer))
        bind_recurrent(layer, tensors, parts);
    if (layer->op == TOC_OP_BATCHNORM)
        bind_batchnorm(layer, tensors, parts);
}

/* Packed weights have the output channel innermost in both kinds of convolution; the zeros at the end of a row stay. */
static void fold(const struct toc_layer *before, float *const *conv, float *const *norm)
{
    uint64_t sizes[TOC_GRAPH_TENSORS_MAX];
    uint64_t used = (uint64_t)before->channels * (before->op == TOC_OP_CONVTRANSPOSE1D ? before->kernel : 1);
    uint64_t width = toc_nn_width(used);

    part_sizes(before, sizes);
    for (uint64_t i = 0; i < sizes[0]; i++)
        if (i % width < used)
            conv[0][i] *= norm[0][i % width % before->channels];
    for (uint32_t c = 0; c < before->channels; c++)
        conv[1][c] = conv[1][c] * norm[0][c] + norm[1][c];
}

static bool weights_finite(const struct toc_net *net, uint32_t layer)
{
    uint64_t sizes[TOC_GRAPH_TENSORS_MAX];

    part_sizes(&net->graph->layers[layer], sizes);
    for (int p = 0; p < TOC_GRAPH_TENSORS_MAX; p++)
        for (uint64_t i = 0; i < sizes[p]; i++)
            if (!isfinite(net->parts[layer][p][i]))
                return false;
    return true;
}

static int bind_all(struct toc_net *net, const float *const (*tensors)[TOC_GRAPH_TENSORS_MAX], char *ret_why,
                    size_t why_size)
{
    const struct toc_layer *layers = net->graph->layers;

    for (uint32_t i = 1; i < net->graph->n_layers; i++) {
        uint32_t into = layers[i].folded ? layers[i].inputs[0] : i;

        bind_layer(&layers[i], tensors[i], net->parts[i]);
        if (layers[i].folded)
            fold(&layers[into], net->parts[into], net->parts[i]);
        if (!weights_finite(net, i) || !weights_finite(net, into)) {
            snprintf(ret_why, why_size, "layer '%s' (%s): weights are not finite", layers[i].name,
                     toc_graph_op_str(layers[i].op));
            return -EINVAL;
        }
    }
    return 0;
}

static void plan_state(struct toc_net *net)
{
    uint64_t at = 0;

    for (uint32_t i = 0; i < net->graph->n_layers; i++) {
        const struct toc_layer *layer = &net->graph->layers[i];

        net->margin_at[i] = at;
        at += aligned(net->graph->causal ? (uint64_t)layer->margin_left * layer->channels : 0);
        net->hidden_at[i] = at;
        at += is_recurrent(layer) ? 2 * aligned(layer->channels) : 0;
    }
    net->state_floats = at;
}

int toc_net_create(const struct toc_graph *graph, const float *const (*tensors)[TOC_GRAPH_TENSORS_MAX],
                   struct toc_net **ret_net, char *ret_why, size_t why_size)
{
    struct toc_net *net = calloc(1, sizeof(*net));
    int error;

    if (net == NULL)
        return -ENOMEM;
    net->graph = graph;
    error = place_weights(net);
    if (error == 0)
        error = bind_all(net, tensors, ret_why, why_size);
    if (error != 0) {
        toc_net_destroy(net);
        return error;
    }
    plan_state(net);
    toc_nn_prepare();
    *ret_net = net;
    return 0;
}

void toc_net_destroy(struct toc_net *net)
{
    if (net == NULL)
        return;
    free(net->weights);
    free(net);
}

/* ---- state ---- */

int toc_net_state_create(const struct toc_net *net, struct toc_net_state **ret_state)
{
    struct toc_net_state *state = calloc(1, sizeof(*state));
    int error;

    if (state == NULL)
        return -ENOMEM;
    error = take(net->state_floats, &state->values);
    if (error != 0) {
        free(state);
        return error;
    }
    state->n = net->state_floats;
    *ret_state = state;
    return 0;
}

void toc_net_state_destroy(struct toc_net_state *state)
{
    if (state == NULL)
        return;
    free(state->values);
    free(state);
}

void toc_net_state_reset(struct toc_net_state *state)
{
    state->seen = 0;
    memset(state->values, 0, state->n * sizeof(*state->values));
}

/* ---- buffers ---- */

/* What each run needs to know about one layer of it. */
struct step {
    const struct toc_layer *layer;
    float *const *parts;
    const float *in;  /* row 0 of the first input */
    uint32_t in_rows;
    float *out;       /* row 0 */
    uint32_t rows;
    float *work;
    float *hidden, *cell;
};

static struct toc_nn_conv conv_of(const struct toc_layer *layer, float *const *parts)
{
    struct toc_nn_conv conv = {.in = layer->in_channels, .out = layer->channels, .kernel = layer->kernel,
                               .stride = layer->stride, .dilation = layer->dilation, .weight = parts[0],
                               .bias = parts[1], .activation = layer->activation, .slope = layer->slope};

    if (layer->op == TOC_OP_DENSE)
        conv.kernel = conv.stride = conv.dilation = 1;
    return conv;
}

static struct toc_nn_recurrent recurrent_of(const struct toc_layer *layer, float *const *parts)
{
    return (struct toc_nn_recurrent){.in = layer->in_channels, .units = layer->channels, .weight_in = parts[0],
                                     .weight_hidden = parts[1], .bias_in = parts[2], .bias_hidden = parts[3]};
}

static uint64_t work_of(const struct toc_net *net, uint32_t index)
{
    const struct toc_layer *layer = &net->graph->layers[index];
    struct toc_nn_conv conv = conv_of(layer, net->parts[index]);
    struct toc_nn_recurrent recurrent = recurrent_of(layer, net->parts[index]);

    if (layer->op == TOC_OP_CONVTRANSPOSE1D)
        return toc_nn_transposed_work(&conv);
    if (is_conv(layer))
        return toc_nn_conv_work(&conv);
    if (!is_recurrent(layer))
        return 0;
    return layer->op == TOC_OP_LSTM ? toc_nn_lstm_work(&recurrent) : toc_nn_gru_work(&recurrent);
}

static void plan_rows(const struct toc_graph *graph, uint32_t n, uint32_t *ret_rows)
{
    ret_rows[0] = n;
    for (uint32_t i = 1; i < graph->n_layers; i++)
        ret_rows[i] = (uint32_t)toc_graph_rows(&graph->layers[i], ret_rows[graph->layers[i].inputs[0]]);
}

/* A recurrent layer that keeps its last row only still writes all of them. */
static uint64_t rows_written(const struct toc_graph *graph, uint32_t index, const uint32_t *rows)
{
    return graph->layers[index].last ? rows[graph->layers[index].inputs[0]] : rows[index];
}

int toc_net_buffers_create(const struct toc_net *net, uint32_t max_rows, struct toc_net_buffers **ret_buffers)
{
    struct toc_net_buffers *buffers = calloc(1, sizeof(*buffers));
    uint64_t at = 0, work = 0;
    int error;

    if (buffers == NULL)
        return -ENOMEM;
    buffers->max_rows = max_rows;
    plan_rows(net->graph, max_rows, buffers->rows);
    for (uint32_t i = 0; i < net->graph->n_layers; i++) {
        const struct toc_layer *layer = &net->graph->layers[i];
        uint64_t needs = layer->folded ? 0 : work_of(net, i);

        at += aligned((uint64_t)layer->margin_left * layer->channels);
        buffers->at[i] = at;
        at += aligned((rows_written(net->graph, i, buffers->rows) + layer->margin_right) * layer->channels);
        work = needs > work ? needs : work;
    }
    buffers->work_at = at;
    error = take(at + work, &buffers->values);
    if (error != 0) {
        free(buffers);
        return error;
    }
    *ret_buffers = buffers;
    return 0;
}

void toc_net_buffers_destroy(struct toc_net_buffers *buffers)
{
    if (buffers == NULL)
        return;
    free(buffers->values);
    free(buffers);
}

/* ---- layers ---- */

/* The first row a convolution or pool reads: inside the left margin, or past rows that a negative padding crops. */
static const float *first_read(const struct step *step)
{
    return step->in - (ptrdiff_t)step->layer->pad_left * (ptrdiff_t)step->layer->in_channels;
}

static void run_maxpool(const struct step *step, uint64_t seen)
{
    const struct toc_layer *layer = step->layer;
    int64_t left = layer->pad_left, known = (int64_t)(seen / layer->step * layer->stride);
    uint32_t skip = left > known ? (uint32_t)(left - known) : 0;

    toc_nn_maxpool(first_read(step), layer->channels, layer->kernel, layer->stride, step->rows, skip,
                   (uint32_t)(left + step->in_rows), step->out);
    toc_nn_activate(layer->activation, layer->slope, step->out, (size_t)step->rows * layer->channels);
}

static void run_recurrent(const struct step *step)
{
    const struct toc_layer *layer = step->layer;
    struct toc_nn_recurrent recurrent = recurrent_of(layer, step->parts);

    if (layer->op == TOC_OP_LSTM)
        toc_nn_lstm(&recurrent, step->in, step->in_rows, step->hidden, step->cell, step->work, step->out);
    else
        toc_nn_gru(&recurrent, step->in, step->in_rows, step->hidden, step->work, step->out);
    if (layer->last)
        memcpy(step->out, step->hidden, layer->channels * sizeof(float));
}

static void run_add(const struct step *step, const struct toc_net_buffers *buffers)
{
    const struct toc_layer *layer = step->layer;
    size_t n = (size_t)step->rows * layer->channels;

    memcpy(step->out, step->in, n * sizeof(float));
    for (uint32_t k = 1; k < layer->n_inputs; k++) {
        const float *other = buffers->values + buffers->at[layer->inputs[k]];

        for (size_t i = 0; i < n; i++)
            step->out[i] += other[i];
    }
    toc_nn_activate(layer->activation, layer->slope, step->out, n);
}

static void run_concat(const struct toc_net *net, const struct step *step, const struct toc_net_buffers *buffers)
{
    const struct toc_layer *layer = step->layer;
    size_t column = 0;

    for (uint32_t k = 0; k < layer->n_inputs; k++) {
        const float *from = buffers->values + buffers->at[layer->inputs[k]];
        size_t width = net->graph->layers[layer->inputs[k]].channels;

        for (size_t t = 0; t < step->rows; t++)
            memcpy(step->out + t * layer->channels + column, from + t * width, width * sizeof(float));
        column += width;
    }
}

static void run_flatten(const struct step *step)
{
    size_t channels = step->layer->in_channels;

    for (size_t t = 0; t < step->in_rows; t++)
        for (size_t c = 0; c < channels; c++)
            step->out[c * step->in_rows + t] = step->in[t * channels + c];
}

/* Operations that work in place on a copy of their input. */
static void run_pointwise(const struct step *step)
{
    const struct toc_layer *layer = step->layer;
    size_t n = (size_t)step->rows * layer->channels;

    memcpy(step->out, step->in, n * sizeof(float));
    if (layer->op == TOC_OP_SOFTMAX)
        toc_nn_softmax(step->out, step->rows, layer->channels);
    if (layer->op == TOC_OP_BATCHNORM)
        toc_nn_scale(step->out, step->rows, layer->channels, step->parts[0], step->parts[1]);
    toc_nn_activate(layer->activation, layer->slope, step->out, n);
}

static void run_layer(const struct toc_net *net, const struct step *step, const struct toc_net_buffers *buffers,
                      uint64_t seen)
{
    const struct toc_layer *layer = step->layer;
    struct toc_nn_conv conv = conv_of(layer, step->parts);

    switch (layer->op) {
    case TOC_OP_CONV1D:
        toc_nn_conv1d(&conv, first_read(step), step->rows, step->work, step->out);
        break;
    case TOC_OP_DENSE:
        toc_nn_conv1d(&conv, step->in, step->rows, step->work, step->out);
        break;
    case TOC_OP_CONVTRANSPOSE1D:
        toc_nn_transposed(&conv, step->in, step->in_rows, step->work, step->out);
        break;
    case TOC_OP_MAXPOOL:
        run_maxpool(step, seen);
        break;
    case TOC_OP_AVGPOOL:
        toc_nn_avgpool(first_read(step), layer->channels, layer->kernel, layer->stride, step->rows, step->out);
        toc_nn_activate(layer->activation, layer->slope, step->out, (size_t)step->rows * layer->channels);
        break;
    case TOC_OP_LSTM:
    case TOC_OP_GRU:
        run_recurrent(step);
        break;
    case TOC_OP_ADD:
        run_add(step, buffers);
        break;
    case TOC_OP_CONCAT:
        run_concat(net, step, buffers);
        break;
    case TOC_OP_CROP:
        memcpy(step->out, step->in + (size_t)layer->pad_left * layer->channels,
               (size_t)step->rows * layer->channels * sizeof(float));
        break;
    case TOC_OP_FLATTEN:
        run_flatten(step);
        break;
    case TOC_OP_BATCHNORM:
    case TOC_OP_SOFTMAX:
    case TOC_OP_SIGMOID:
    case TOC_OP_TANH:
    case TOC_OP_RELU:
    case TOC_OP_LEAKY_RELU:
        run_pointwise(step);
        break;
    case TOC_OP_INPUT:
    case TOC_OP_COUNT:
        break;
    }
}

/* ---- a run ---- */

static void load_margin(const struct toc_net *net, uint32_t index, const struct toc_net_state *state,
                        struct toc_net_buffers *buffers)
{
    const struct toc_layer *layer = &net->graph->layers[index];
    size_t n = (size_t)layer->margin_left * layer->channels;
    float *row0 = buffers->values + buffers->at[index];

    if (net->graph->causal)
        memcpy(row0 - n, state->values + net->margin_at[index], n * sizeof(float));
    else /* zero since create, but a longer sequence may have been written past the last row */
        memset(row0 + (size_t)buffers->rows[index] * layer->channels, 0,
               (size_t)layer->margin_right * layer->channels * sizeof(float));
}

static void save_margin(const struct toc_net *net, uint32_t index, struct toc_net_state *state,
                        const struct toc_net_buffers *buffers)
{
    const struct toc_layer *layer = &net->graph->layers[index];
    size_t n = (size_t)layer->margin_left * layer->channels;
    const float *end = buffers->values + buffers->at[index] + (size_t)buffers->rows[index] * layer->channels;

    if (net->graph->causal)
        memcpy(state->values + net->margin_at[index], end - n, n * sizeof(float));
}

static struct step step_of(const struct toc_net *net, uint32_t index, struct toc_net_state *state,
                           const struct toc_net_buffers *buffers)
{
    const struct toc_layer *layer = &net->graph->layers[index];
    float *hidden = state->values + net->hidden_at[index];

    return (struct step){.layer = layer, .parts = net->parts[index],
                         .in = buffers->values + buffers->at[layer->inputs[0]],
                         .in_rows = buffers->rows[layer->inputs[0]],
                         .out = buffers->values + buffers->at[index], .rows = buffers->rows[index],
                         .work = buffers->values + buffers->work_at,
                         .hidden = hidden, .cell = hidden + aligned(layer->channels)};
}

uint32_t toc_net_run(const struct toc_net *net, struct toc_net_state *state, struct toc_net_buffers *buffers,
                     const float *rows, uint32_t n, float *ret_out)
{
    const struct toc_graph *graph = net->graph;
    uint32_t output = graph->output;

    assert(n > 0 && n <= buffers->max_rows);
    assert(graph->causal ? n % graph->layers[output].step == 0 : n == graph->length);
    plan_rows(graph, n, buffers->rows);
    toc_nn_clean(rows, (size_t)n * graph->layers[0].channels, buffers->values + buffers->at[0]);
    for (uint32_t i = 0; i < graph->n_layers; i++) {
        if (graph->layers[i].folded)
            continue;
        if (i > 0) {
            struct step step = step_of(net, i, state, buffers);

            run_layer(net, &step, buffers, state->seen);
        }
        load_margin(net, i, state, buffers);
        save_margin(net, i, state, buffers);
    }
    state->seen += n;
    memcpy(ret_out, buffers->values + buffers->at[output],
           (size_t)buffers->rows[output] * graph->layers[output].channels * sizeof(float));
    return buffers->rows[output];
}

