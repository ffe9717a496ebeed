/*
 * Running a network. Three blocks of memory, laid out at create: weights
 * (core/weights.h), state (one per stream), buffers (one per thread). Every
 * piece starts on 64 bytes, so that the same rows take the same path through
 * the vector code wherever the blocks lie: same bits.
 */
#include "core/net.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/weights.h"

struct toc_net {
    const struct toc_graph *graph;          /* borrowed */
    struct toc_weights weights;             /* owned */
    size_t margin_at[TOC_GRAPH_LAYERS_MAX]; /* into a state's values: the left margin */
    size_t hidden_at[TOC_GRAPH_LAYERS_MAX]; /* ... hidden, then cell */
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

static void plan_state(struct toc_net *net)
{
    uint64_t at = 0;

    for (uint32_t i = 0; i < net->graph->n_layers; i++) {
        const struct toc_layer *layer = &net->graph->layers[i];

        net->margin_at[i] = at;
        at += toc_weights_aligned(net->graph->causal ? (uint64_t)layer->margin_left * layer->channels : 0);
        net->hidden_at[i] = at;
        at += toc_graph_is_recurrent(layer) ? 2 * toc_weights_aligned(layer->channels) : 0;
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
    error = toc_weights_init(&net->weights, graph, tensors, ret_why, why_size);
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
    toc_weights_finish(&net->weights);
    free(net);
}

/* ---- state ---- */

int toc_net_state_create(const struct toc_net *net, struct toc_net_state **ret_state)
{
    struct toc_net_state *state = calloc(1, sizeof(*state));
    int error;

    if (state == NULL)
        return -ENOMEM;
    error = toc_weights_take(net->state_floats, &state->values);
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
    const float *in; /* row 0 of the first input */
    uint32_t in_rows;
    float *out; /* row 0 */
    uint32_t rows;
    float *work;
    float *hidden, *cell;
};

static struct toc_nn_conv conv_of(const struct toc_layer *layer, float *const *parts)
{
    struct toc_nn_conv conv = {.in = layer->in_channels,
                               .out = layer->channels,
                               .kernel = layer->kernel,
                               .stride = layer->stride,
                               .dilation = layer->dilation,
                               .weight = parts[0],
                               .bias = parts[1],
                               .activation = layer->activation,
                               .slope = layer->slope};

    if (layer->op == TOC_OP_DENSE)
        conv.kernel = conv.stride = conv.dilation = 1;
    return conv;
}

static struct toc_nn_recurrent recurrent_of(const struct toc_layer *layer, float *const *parts)
{
    return (struct toc_nn_recurrent){.in = layer->in_channels,
                                     .units = layer->channels,
                                     .weight_in = parts[0],
                                     .weight_hidden = parts[1],
                                     .bias_in = parts[2],
                                     .bias_hidden = parts[3]};
}

static uint64_t work_of(const struct toc_net *net, uint32_t index)
{
    const struct toc_layer *layer = &net->graph->layers[index];
    struct toc_nn_conv conv = conv_of(layer, net->weights.parts[index]);
    struct toc_nn_recurrent recurrent = recurrent_of(layer, net->weights.parts[index]);

    if (layer->op == TOC_OP_CONVTRANSPOSE1D)
        return toc_nn_transposed_work(&conv);
    if (toc_graph_is_linear(layer))
        return toc_nn_conv_work(&conv);
    if (!toc_graph_is_recurrent(layer))
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

        at += toc_weights_aligned((uint64_t)layer->margin_left * layer->channels);
        buffers->at[i] = at;
        at += toc_weights_aligned((rows_written(net->graph, i, buffers->rows) + layer->margin_right) * layer->channels);
        work = needs > work ? needs : work;
    }
    buffers->work_at = at;
    error = toc_weights_take(at + work, &buffers->values);
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

    return (struct step){.layer = layer,
                         .parts = net->weights.parts[index],
                         .in = buffers->values + buffers->at[layer->inputs[0]],
                         .in_rows = buffers->rows[layer->inputs[0]],
                         .out = buffers->values + buffers->at[index],
                         .rows = buffers->rows[index],
                         .work = buffers->values + buffers->work_at,
                         .hidden = hidden,
                         .cell = hidden + toc_weights_aligned(layer->channels)};
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
