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

struct toc_nn_conv toc_weights_conv(const struct toc_kernels *kernels, const struct toc_layer *layer,
                                    float *const *parts)
{
    struct toc_nn_conv conv = {.in = layer->in_channels,
                               .out = layer->channels,
                               .kernel = layer->kernel,
                               .stride = layer->stride,
                               .dilation = layer->dilation,
                               .groups = layer->groups,
                               .weight = parts[0],
                               .bias = parts[1],
                               .activation = layer->activation,
                               .slope = layer->slope};

    if (layer->op == TOC_OP_DENSE)
        conv.kernel = conv.stride = conv.dilation = 1;
    conv.paired = toc_nn_pairs(kernels, &conv);
    return conv;
}

#define PARTS_OF_DIRECTION 2

struct toc_nn_recurrent toc_weights_recurrent(const struct toc_layer *layer, bool reverse, float *const *parts)
{
    parts += reverse ? PARTS_OF_DIRECTION : 0;
    return (struct toc_nn_recurrent){.in = layer->in_channels,
                                     .units = layer->units,
                                     .gru = layer->op == TOC_OP_GRU,
                                     .weight = parts[0],
                                     .bias = parts[1]};
}

struct toc_image_window toc_weights_window(const struct toc_layer *layer)
{
    const struct toc_axis *across = &layer->across;

    return (struct toc_image_window){.down = {layer->kernel, layer->stride, layer->dilation, layer->pad_left},
                                     .across = {across->kernel, across->stride, across->dilation, across->before},
                                     .width = layer->in_width,
                                     .out_width = layer->width};
}

struct toc_image_conv toc_weights_image(const struct toc_layer *layer, float *const *parts)
{
    enum toc_nn_activation activation = layer->activation;

    return (struct toc_image_conv){.window = toc_weights_window(layer),
                                   .in = layer->in_channels,
                                   .out = layer->channels,
                                   .groups = layer->groups,
                                   .weight = parts[0],
                                   .bias = parts[1],
                                   .slope = activation == TOC_NN_RELU         ? 0.0f
                                            : activation == TOC_NN_LEAKY_RELU ? layer->slope
                                                                              : 1.0f};
}

/* Parts: query, key, bias, score. */
struct toc_attention_additive toc_weights_additive(const struct toc_layer *layer, float *const *parts)
{
    return (struct toc_attention_additive){.channels = layer->channels,
                                           .units = layer->units,
                                           .band = layer->band,
                                           .eps = layer->eps,
                                           .query = parts[0],
                                           .key = parts[1],
                                           .bias = parts[2],
                                           .score = parts[3]};
}

/* Parts: query, key and value, out; and their biases. */
struct toc_attention_dot toc_weights_dot(const struct toc_layer *layer, float *const *parts)
{
    return (struct toc_attention_dot){.channels = layer->channels,
                                      .heads = layer->heads,
                                      .band = layer->band,
                                      .query = parts[0],
                                      .key_value = parts[1],
                                      .out = parts[2],
                                      .query_bias = parts[3],
                                      .key_value_bias = parts[4],
                                      .out_bias = parts[5]};
}

/* ---- sizes ---- */

/* Each group's columns fill whole vectors. */
static uint64_t bias_floats(const struct toc_layer *layer)
{
    return layer->groups * toc_kernels_width(layer->channels / layer->groups);
}

static void linear_sizes(const struct toc_kernels *kernels, const struct toc_layer *layer, uint64_t *ret_sizes)
{
    float *const none[TOC_GRAPH_TENSORS_MAX] = {NULL};
    struct toc_nn_conv conv = toc_weights_conv(kernels, layer, none);
    struct toc_image_conv image = toc_weights_image(layer, none);

    ret_sizes[0] = layer->op == TOC_OP_CONV2D            ? toc_image_packed(&image)
                   : layer->op == TOC_OP_CONVTRANSPOSE1D ? toc_nn_transposed_packed(&conv)
                                                         : toc_nn_conv_packed(&conv);
    ret_sizes[1] = bias_floats(layer);
}

static void attention_sizes(const struct toc_layer *layer, uint64_t *ret_sizes)
{
    uint64_t channels = layer->channels, one = toc_kernels_width(channels), two = toc_kernels_width(2 * channels);
    uint64_t units = toc_kernels_width(layer->units);
    const uint64_t additive[] = {channels * units, channels * units, units, units};
    const uint64_t dot[] = {channels * one, channels * two, channels * one, one, two, one};

    if (layer->op == TOC_OP_ADDITIVE_ATTENTION)
        memcpy(ret_sizes, additive, sizeof(additive));
    else
        memcpy(ret_sizes, dot, sizeof(dot));
}

/* Floats of each part of a layer, see struct toc_weights. */
static void part_sizes(const struct toc_kernels *kernels, const struct toc_layer *layer, uint64_t *ret_sizes)
{
    memset(ret_sizes, 0, TOC_GRAPH_TENSORS_MAX * sizeof(*ret_sizes));
    if (toc_layer_is_linear(layer))
        linear_sizes(kernels, layer, ret_sizes);
    if (toc_layer_is_attention(layer))
        attention_sizes(layer, ret_sizes);
    for (int d = 0; toc_layer_is_recurrent(layer) && d < (layer->both ? 2 : 1); d++) {
        ret_sizes[PARTS_OF_DIRECTION * d] = toc_nn_recurrent_packed(layer->in_channels + layer->units, layer->units);
        ret_sizes[PARTS_OF_DIRECTION * d + 1] = toc_kernels_width(4 * (uint64_t)layer->units);
    }
    if (layer->op == TOC_OP_BATCHNORM || layer->op == TOC_OP_LAYERNORM)
        ret_sizes[0] = ret_sizes[1] = layer->channels;
}

static int place(struct toc_weights *weights, const struct toc_graph *graph)
{
    uint64_t sizes[TOC_GRAPH_TENSORS_MAX], total = 0, at = 0;
    int error;

    for (uint32_t i = 0; i < graph->n_layers; i++) {
        part_sizes(weights->kernels, &graph->layers[i], sizes);
        for (int p = 0; p < TOC_GRAPH_TENSORS_MAX; p++)
            total += toc_weights_aligned(sizes[p]);
    }
    error = toc_weights_take(total, &weights->values);
    if (error != 0)
        return error;
    for (uint32_t i = 0; i < graph->n_layers; i++) {
        part_sizes(weights->kernels, &graph->layers[i], sizes);
        for (int p = 0; p < TOC_GRAPH_TENSORS_MAX; p++) {
            weights->parts[i][p] = weights->values + at;
            at += toc_weights_aligned(sizes[p]);
        }
    }
    return 0;
}

/* Only a GRU's reset gate stands between the two biases; its n has two columns, for the input and the hidden state. */
static void bind_recurrent_bias(const struct toc_layer *layer, const float *in, const float *hidden, float *bias)
{
    uint32_t units = layer->units;

    for (uint32_t g = 0; g < (layer->op == TOC_OP_LSTM ? 4 : 2) * units; g++)
        bias[g] = in[g] + hidden[g];
    if (layer->op == TOC_OP_LSTM)
        return;
    memcpy(bias + 2 * units, in + 2 * units, units * sizeof(*bias));
    memcpy(bias + 3 * units, hidden + 2 * units, units * sizeof(*bias));
}

static void bind_recurrent(const struct toc_layer *layer, const float *const *tensors, float *const *parts)
{
    bool gru = layer->op == TOC_OP_GRU;

    for (int d = 0; d < (layer->both ? 2 : 1); d++) {
        toc_nn_pack_recurrent(layer->in_channels, layer->units, gru, false, tensors[0], parts[0]);
        toc_nn_pack_recurrent(layer->units, layer->units, gru, true, tensors[1],
                              parts[0] + toc_nn_recurrent_packed(layer->in_channels, layer->units));
        if (layer->bias)
            bind_recurrent_bias(layer, tensors[2], tensors[3], parts[1]);
        tensors += layer->bias ? 4 : 2;
        parts += PARTS_OF_DIRECTION;
    }
}

/* [terms][columns], or turned [columns][terms], to rows of whole vectors. */
static void bind_matrix(const float *matrix, uint64_t terms, uint64_t columns, bool turned, float *part)
{
    for (uint64_t i = 0; i < terms; i++)
        for (uint64_t c = 0; c < columns; c++)
            part[i * toc_kernels_width(columns) + c] = matrix[turned ? c * terms + i : i * columns + c];
}

static void bind_attention(const struct toc_layer *layer, const float *const *tensors, float *const *parts)
{
    const uint64_t n = layer->channels;

    if (layer->op == TOC_OP_ADDITIVE_ATTENTION) {
        bind_matrix(tensors[1], n, layer->units, false, parts[0]);
        bind_matrix(tensors[0], n, layer->units, false, parts[1]);
        memcpy(parts[2], tensors[2], layer->units * sizeof(float));
        memcpy(parts[3], tensors[3], layer->units * sizeof(float));
        return;
    }
    bind_matrix(tensors[0], n, n, true, parts[0]);
    bind_matrix(tensors[0] + n * n, n, 2 * n, true, parts[1]);
    bind_matrix(tensors[1], n, n, true, parts[2]);
    if (!layer->bias)
        return;
    memcpy(parts[3], tensors[2], n * sizeof(float));
    memcpy(parts[4], tensors[2] + n, 2 * n * sizeof(float));
    memcpy(parts[5], tensors[3], n * sizeof(float));
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

/* The first batch norm folded into a layer; 0: none, the input is no batch norm. */
static uint32_t norm_of(const struct toc_graph *graph, uint32_t index)
{
    for (uint32_t i = index + 1; i < graph->n_layers; i++)
        if (graph->layers[i].folded && graph->layers[i].inputs[0] == index)
            return i;
    return 0;
}

/* A batch norm behind a batch norm that is folded already: one map after another is one map. */
static void compose(struct toc_weights *weights, const struct toc_graph *graph, uint32_t index)
{
    const struct toc_layer *layer = &graph->layers[index];
    uint32_t first = layer->folded ? norm_of(graph, layer->inputs[0]) : index;

    for (uint32_t c = 0; first != index && c < layer->channels; c++) {
        weights->parts[first][0][c] *= weights->parts[index][0][c];
        weights->parts[first][1][c] =
            weights->parts[first][1][c] * weights->parts[index][0][c] + weights->parts[index][1][c];
    }
}

/* norm: parts of the batch norm behind it, NULL none. */
static void bind_bias(const struct toc_layer *layer, const float *bias, float *const *norm, float *part)
{
    const uint32_t group = layer->channels / layer->groups;

    for (uint32_t c = 0; c < layer->channels; c++) {
        float value = bias != NULL ? bias[c] : 0.0f;

        part[c / group * toc_kernels_width(group) + c % group] = norm != NULL ? value * norm[0][c] + norm[1][c] : value;
    }
}

static void bind_linear(const struct toc_kernels *kernels, const struct toc_layer *layer, const float *const *tensors,
                        float *const *norm, float *const *parts)
{
    const struct toc_nn_conv conv = toc_weights_conv(kernels, layer, parts);
    const struct toc_image_conv image = toc_weights_image(layer, parts);
    const float *scale = norm != NULL ? norm[0] : NULL;

    if (layer->op == TOC_OP_CONV2D)
        toc_image_pack(&image, tensors[0], scale, parts[0]);
    else if (layer->op == TOC_OP_CONVTRANSPOSE1D)
        toc_nn_pack_transposed(&conv, tensors[0], scale, parts[0]);
    else
        toc_nn_pack_conv(&conv, tensors[0], scale, parts[0]);
    bind_bias(layer, layer->bias ? tensors[1] : NULL, norm, parts[1]);
}

static bool is_finite(const struct toc_weights *weights, const struct toc_graph *graph, uint32_t layer)
{
    uint64_t sizes[TOC_GRAPH_TENSORS_MAX];

    part_sizes(weights->kernels, &graph->layers[layer], sizes);
    for (int p = 0; p < TOC_GRAPH_TENSORS_MAX; p++)
        for (uint64_t i = 0; i < sizes[p]; i++)
            if (!isfinite(weights->parts[layer][p][i]))
                return false;
    return true;
}

static int check_finite(const struct toc_weights *weights, const struct toc_graph *graph, uint32_t index, char *why,
                        size_t size)
{
    if (is_finite(weights, graph, index))
        return 0;
    snprintf(why, size, "layer '%s' (%s): weights are not finite", graph->layers[index].name,
             toc_layer_op_str(graph->layers[index].op));
    return -EINVAL;
}

/* Batch norms first: the layers before them take them in. */
static int bind_all(struct toc_weights *weights, const struct toc_graph *graph,
                    const float *const (*tensors)[TOC_GRAPH_TENSORS_MAX], char *ret_why, size_t why_size)
{
    int error = 0;

    for (uint32_t i = 1; i < graph->n_layers && error == 0; i++)
        if (graph->layers[i].op == TOC_OP_BATCHNORM) {
            bind_batchnorm(&graph->layers[i], tensors[i], weights->parts[i]);
            compose(weights, graph, i);
            error = check_finite(weights, graph, i, ret_why, why_size);
        }
    for (uint32_t i = 1; i < graph->n_layers && error == 0; i++) {
        const struct toc_layer *layer = &graph->layers[i];
        uint32_t norm = norm_of(graph, i);

        if (toc_layer_is_linear(layer))
            bind_linear(weights->kernels, layer, tensors[i], norm > 0 ? weights->parts[norm] : NULL, weights->parts[i]);
        if (toc_layer_is_recurrent(layer))
            bind_recurrent(layer, tensors[i], weights->parts[i]);
        if (toc_layer_is_attention(layer))
            bind_attention(layer, tensors[i], weights->parts[i]);
        for (int p = 0; layer->op == TOC_OP_LAYERNORM && p < 2; p++)
            memcpy(weights->parts[i][p], tensors[i][p], layer->channels * sizeof(float));
        error = check_finite(weights, graph, i, ret_why, why_size);
    }
    return error;
}

int toc_weights_init(struct toc_weights *weights, const struct toc_kernels *kernels, const struct toc_graph *graph,
                     const float *const (*tensors)[TOC_GRAPH_TENSORS_MAX], char *ret_why, size_t why_size)
{
    int error;

    *weights = (struct toc_weights){.kernels = kernels};
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
