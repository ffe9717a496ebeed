/*
 * Weights from the file's order to the order of running. Batch norms that
 * were marked as folded end here, inside the weights before them.
 */
#include "core/weights.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN_FLOATS 16u

uint64_t toc_weights_aligned(uint64_t n)
{
    return (n + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
}

int toc_weights_take(uint64_t floats, float **ret_values)
{
    uint64_t bytes = toc_weights_aligned(floats > 0 ? floats : 1) * sizeof(float);
    float *values;

    if (bytes > TOC_WEIGHTS_BYTES_MAX)
        return -E2BIG;
    values = aligned_alloc(ALIGN_FLOATS * sizeof(float), bytes);
    if (values == NULL)
        return -ENOMEM;
    memset(values, 0, bytes);
    *ret_values = values;
    return 0;
}

/* Floats of each part of a layer: conv: weight, bias. Recurrent: input weight, hidden weight, input bias, hidden bias.
 * Batch norm: scale, shift. */
static void part_sizes(const struct toc_layer *layer, uint64_t *ret_sizes)
{
    uint64_t in = layer->in_channels, out = layer->channels, gates = layer->op == TOC_OP_LSTM ? 4 : 3;

    memset(ret_sizes, 0, TOC_GRAPH_TENSORS_MAX * sizeof(*ret_sizes));
    if (toc_graph_is_linear(layer)) {
        uint64_t kernel = layer->op == TOC_OP_DENSE ? 1 : layer->kernel;

        ret_sizes[0] =
            layer->op == TOC_OP_CONVTRANSPOSE1D ? in * toc_nn_width(kernel * out) : in * kernel * toc_nn_width(out);
        ret_sizes[1] = out;
    } else if (toc_graph_is_recurrent(layer)) {
        ret_sizes[0] = in * toc_nn_width(gates * out);
        ret_sizes[1] = gates * out * out;
        ret_sizes[2] = ret_sizes[3] = gates * out;
    } else if (layer->op == TOC_OP_BATCHNORM) {
        ret_sizes[0] = ret_sizes[1] = out;
    }
}

static int place(struct toc_weights *weights, const struct toc_graph *graph)
{
    uint64_t sizes[TOC_GRAPH_TENSORS_MAX], total = 0, at = 0;
    int error;

    for (uint32_t i = 0; i < graph->n_layers; i++) {
        part_sizes(&graph->layers[i], sizes);
        for (int p = 0; p < TOC_GRAPH_TENSORS_MAX; p++)
            total += toc_weights_aligned(sizes[p]);
    }
    error = toc_weights_take(total, &weights->values);
    if (error != 0)
        return error;
    for (uint32_t i = 0; i < graph->n_layers; i++) {
        part_sizes(&graph->layers[i], sizes);
        for (int p = 0; p < TOC_GRAPH_TENSORS_MAX; p++) {
            weights->parts[i][p] = weights->values + at;
            at += toc_weights_aligned(sizes[p]);
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
    else if (toc_graph_is_linear(layer))
        toc_nn_pack_conv(tensors[0], layer->channels, layer->in_channels, layer->op == TOC_OP_DENSE ? 1 : layer->kernel,
                         parts[0]);
    if (toc_graph_is_linear(layer) && layer->bias)
        memcpy(parts[1], tensors[1], layer->channels * sizeof(float));
    if (toc_graph_is_recurrent(layer))
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

static bool is_finite(const struct toc_weights *weights, const struct toc_graph *graph, uint32_t layer)
{
    uint64_t sizes[TOC_GRAPH_TENSORS_MAX];

    part_sizes(&graph->layers[layer], sizes);
    for (int p = 0; p < TOC_GRAPH_TENSORS_MAX; p++)
        for (uint64_t i = 0; i < sizes[p]; i++)
            if (!isfinite(weights->parts[layer][p][i]))
                return false;
    return true;
}

static int bind_all(struct toc_weights *weights, const struct toc_graph *graph,
                    const float *const (*tensors)[TOC_GRAPH_TENSORS_MAX], char *ret_why, size_t why_size)
{
    const struct toc_layer *layers = graph->layers;

    for (uint32_t i = 1; i < graph->n_layers; i++) {
        uint32_t into = layers[i].folded ? layers[i].inputs[0] : i;

        bind_layer(&layers[i], tensors[i], weights->parts[i]);
        if (layers[i].folded)
            fold(&layers[into], weights->parts[into], weights->parts[i]);
        if (!is_finite(weights, graph, i) || !is_finite(weights, graph, into)) {
            snprintf(ret_why, why_size, "layer '%s' (%s): weights are not finite", layers[i].name,
                     toc_graph_op_str(layers[i].op));
            return -EINVAL;
        }
    }
    return 0;
}

int toc_weights_init(struct toc_weights *weights, const struct toc_graph *graph,
                     const float *const (*tensors)[TOC_GRAPH_TENSORS_MAX], char *ret_why, size_t why_size)
{
    int error;

    *weights = (struct toc_weights){0};
    error = place(weights, graph);
    if (error == 0)
        error = bind_all(weights, graph, tensors, ret_why, why_size);
    if (error != 0)
        toc_weights_finish(weights);
    return error;
}

void toc_weights_finish(struct toc_weights *weights)
{
    free(weights->values);
    weights->values = NULL;
}
