/*
 * What one layer asks for and makes of rows, operation by operation.
 */
#include "core/layer.h"

#include <string.h>

static const char *const op_names[TOC_OP_COUNT] = {
#define X(name, text) [TOC_OP_##name] = text,
    TOC_OPS(X)
#undef X
};

const char *toc_layer_op_str(enum toc_op op)
{
    return op_names[op];
}

enum toc_op toc_layer_op_parse(const char *text)
{
    for (int op = 0; op < TOC_OP_COUNT; op++)
        if (strcmp(op_names[op], text) == 0)
            return (enum toc_op)op;
    return TOC_OP_COUNT;
}

struct toc_layer toc_layer_default(void)
{
    return (struct toc_layer){.width = 1,
                              .kernel = 1,
                              .stride = 1,
                              .dilation = 1,
                              .across = {.kernel = 1, .stride = 1, .dilation = 1},
                              .groups = 1,
                              .heads = 1,
                              .bias = true,
                              .slope = 0.01f,
                              .eps = 1e-5f};
}

bool toc_layer_is_linear(const struct toc_layer *layer)
{
    return layer->op == TOC_OP_CONV1D || layer->op == TOC_OP_CONV2D || layer->op == TOC_OP_CONVTRANSPOSE1D ||
           layer->op == TOC_OP_DENSE;
}

bool toc_layer_is_recurrent(const struct toc_layer *layer)
{
    return layer->op == TOC_OP_LSTM || layer->op == TOC_OP_GRU;
}

bool toc_layer_is_attention(const struct toc_layer *layer)
{
    return layer->op == TOC_OP_ATTENTION || layer->op == TOC_OP_ADDITIVE_ATTENTION;
}

bool toc_layer_is_windowed(const struct toc_layer *layer)
{
    return layer->op == TOC_OP_CONV1D || layer->op == TOC_OP_MAXPOOL || layer->op == TOC_OP_AVGPOOL;
}

bool toc_layer_is_image(const struct toc_layer *layer)
{
    return layer->op == TOC_OP_CONV2D || layer->op == TOC_OP_MAXPOOL2D || layer->op == TOC_OP_AVGPOOL2D;
}

int64_t toc_layer_reach(const struct toc_layer *layer)
{
    return (int64_t)(layer->kernel - 1) * layer->dilation;
}

uint64_t toc_layer_values(const struct toc_layer *layer)
{
    return (uint64_t)layer->width * layer->channels;
}

/* ---- rows ---- */

static uint64_t places(int64_t room, int64_t reach, uint32_t stride)
{
    return room <= reach ? 0 : (uint64_t)((room - reach - 1) / stride + 1);
}

uint64_t toc_layer_rows(const struct toc_layer *layer, uint64_t in_rows)
{
    int64_t rows = (int64_t)in_rows;

    if (toc_layer_is_windowed(layer) || toc_layer_is_image(layer))
        return places(rows + layer->pad_left + layer->pad_right, toc_layer_reach(layer), layer->stride);
    if (layer->op == TOC_OP_CONVTRANSPOSE1D)
        return rows == 0 ? 0 : (uint64_t)((rows - 1) * layer->stride + layer->kernel);
    if (layer->op == TOC_OP_UPSAMPLE)
        return in_rows * layer->stride;
    if (layer->op == TOC_OP_PAD)
        return in_rows + (uint64_t)(layer->pad_left + (int64_t)layer->pad_right);
    if (layer->op == TOC_OP_CROP) {
        rows -= (int64_t)layer->pad_left + layer->pad_right;
        return rows < 0 ? 0 : (uint64_t)rows;
    }
    return layer->op == TOC_OP_FLATTEN || layer->last ? 1 : in_rows;
}

uint64_t toc_layer_columns(const struct toc_layer *layer, uint64_t in_columns)
{
    const struct toc_axis *across = &layer->across;

    if (toc_layer_is_image(layer))
        return places((int64_t)in_columns + across->before + across->after,
                      (int64_t)(across->kernel - 1) * across->dilation, across->stride);
    return layer->op == TOC_OP_FLATTEN ? 1 : in_columns;
}

static bool needs_all(const struct toc_layer *layer)
{
    return layer->op == TOC_OP_FLATTEN || layer->last || layer->both || toc_layer_is_attention(layer);
}

/* Rows [*first, *end) of the input behind rows [*first, *end) of the layer, before they are cut to what exists. */
static void needed_range(const struct toc_layer *layer, int64_t in_rows, int64_t *first, int64_t *end)
{
    if (needs_all(layer)) {
        *first = 0;
        *end = in_rows;
    } else if (toc_layer_is_recurrent(layer)) {
        *first = 0;
    } else if (toc_layer_is_windowed(layer) || toc_layer_is_image(layer)) {
        *end = (*end - 1) * layer->stride - layer->pad_left + toc_layer_reach(layer) + 1;
        *first = *first * layer->stride - layer->pad_left;
    } else if (layer->op == TOC_OP_CONVTRANSPOSE1D) {
        int64_t before = *first - ((int64_t)layer->kernel - 1); /* row t writes t * stride .. + kernel - 1 */

        *first = before > 0 ? (before + layer->stride - 1) / layer->stride : 0;
        *end = (*end - 1) / layer->stride + 1;
    } else if (layer->op == TOC_OP_UPSAMPLE) {
        *first /= layer->stride;
        *end = (*end - 1) / layer->stride + 1;
    } else if (layer->op == TOC_OP_CROP || layer->op == TOC_OP_PAD) {
        *first += layer->op == TOC_OP_CROP ? layer->pad_left : -layer->pad_left;
        *end += layer->op == TOC_OP_CROP ? layer->pad_left : -layer->pad_left;
    }
}

static uint32_t within(int64_t row, uint32_t rows)
{
    return row < 0 ? 0 : row > rows ? rows : (uint32_t)row;
}

void toc_layer_needs(const struct toc_layer *layer, uint32_t first, uint32_t count, uint32_t in_rows,
                     uint32_t *ret_first, uint32_t *ret_count)
{
    int64_t from = first, end = (int64_t)first + count;

    if (count > 0 && !layer->folded)
        needed_range(layer, in_rows, &from, &end);
    from = within(from, in_rows);
    end = within(end, in_rows);
    *ret_first = (uint32_t)from;
    *ret_count = end > from ? (uint32_t)(end - from) : 0;
}

/* ---- tensors ---- */

static uint32_t linear_tensors(const struct toc_layer *layer, struct toc_tensor_spec *ret_specs)
{
    uint32_t in = layer->in_channels / layer->groups, out = layer->channels;

    if (layer->op == TOC_OP_CONV1D)
        ret_specs[0] = (struct toc_tensor_spec){"weight", 3, {out, in, layer->kernel}};
    else if (layer->op == TOC_OP_CONV2D)
        ret_specs[0] = (struct toc_tensor_spec){"weight", 4, {out, in, layer->kernel, layer->across.kernel}};
    else if (layer->op == TOC_OP_CONVTRANSPOSE1D)
        ret_specs[0] = (struct toc_tensor_spec){"weight", 3, {in, out, layer->kernel}};
    else
        ret_specs[0] = (struct toc_tensor_spec){"weight", 2, {out, in}};
    ret_specs[1] = (struct toc_tensor_spec){"bias", 1, {out}};
    return layer->bias ? 2 : 1;
}

static uint32_t recurrent_tensors(const struct toc_layer *layer, struct toc_tensor_spec *ret_specs)
{
    static const char *const suffixes[2][4] = {
        {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"},
        {"weight_ih_l0_reverse", "weight_hh_l0_reverse", "bias_ih_l0_reverse", "bias_hh_l0_reverse"}};
    uint32_t gates = (layer->op == TOC_OP_LSTM ? 4 : 3) * layer->units, n = 0;

    for (int direction = 0; direction < (layer->both ? 2 : 1); direction++) {
        const char *const *suffix = suffixes[direction];

        ret_specs[n++] = (struct toc_tensor_spec){suffix[0], 2, {gates, layer->in_channels}};
        ret_specs[n++] = (struct toc_tensor_spec){suffix[1], 2, {gates, layer->units}};
        for (int b = 2; b < 4 && layer->bias; b++)
            ret_specs[n++] = (struct toc_tensor_spec){suffix[b], 1, {gates}};
    }
    return n;
}

static uint32_t attention_tensors(const struct toc_layer *layer, struct toc_tensor_spec *ret_specs)
{
    uint32_t channels = layer->channels, units = layer->units, n = 0;

    if (layer->op == TOC_OP_ADDITIVE_ATTENTION) {
        ret_specs[n++] = (struct toc_tensor_spec){"Wx", 2, {channels, units}};
        ret_specs[n++] = (struct toc_tensor_spec){"Wt", 2, {channels, units}};
        ret_specs[n++] = (struct toc_tensor_spec){"bh", 1, {units}};
        ret_specs[n++] = (struct toc_tensor_spec){"Wa", 2, {units, 1}};
        ret_specs[n++] = (struct toc_tensor_spec){"ba", 1, {1}};
        return n;
    }
    ret_specs[n++] = (struct toc_tensor_spec){"in_proj_weight", 2, {3 * channels, channels}};
    ret_specs[n++] = (struct toc_tensor_spec){"out_proj.weight", 2, {channels, channels}};
    if (layer->bias) {
        ret_specs[n++] = (struct toc_tensor_spec){"in_proj_bias", 1, {3 * channels}};
        ret_specs[n++] = (struct toc_tensor_spec){"out_proj.bias", 1, {channels}};
    }
    return n;
}

uint32_t toc_layer_tensors(const struct toc_layer *layer, struct toc_tensor_spec *ret_specs)
{
    static const char *const norm[] = {"weight", "bias", "running_mean", "running_var"};
    uint32_t n = layer->op == TOC_OP_BATCHNORM ? 4 : layer->op == TOC_OP_LAYERNORM ? 2 : 0;

    if (toc_layer_is_linear(layer))
        return linear_tensors(layer, ret_specs);
    if (toc_layer_is_recurrent(layer))
        return recurrent_tensors(layer, ret_specs);
    if (toc_layer_is_attention(layer))
        return attention_tensors(layer, ret_specs);
    for (uint32_t i = 0; i < n; i++)
        ret_specs[i] = (struct toc_tensor_spec){norm[i], 1, {layer->channels}};
    return n;
}

/* ---- work ---- */

static double attention_work(const struct toc_layer *layer, double in_rows, double rows)
{
    double channels = layer->channels, units = layer->units;

    if (layer->op == TOC_OP_ADDITIVE_ATTENTION) /* a tanh counts as ten */
        return (in_rows + rows) * channels * units + in_rows * rows * (10 * units + channels);
    return (2 * in_rows + 2 * rows) * channels * channels + 2 * in_rows * rows * channels;
}

double toc_layer_work(const struct toc_layer *layer, double in_rows, double rows)
{
    double in = layer->in_channels / layer->groups, out = layer->channels, units = layer->units;
    double directions = layer->both ? 2 : 1, window = (double)layer->kernel * layer->across.kernel;

    switch (layer->op) {
    case TOC_OP_CONV1D:
    case TOC_OP_CONV2D:
        return rows * layer->width * out * in * window;
    case TOC_OP_CONVTRANSPOSE1D:
        return in_rows * out * in * layer->kernel;
    case TOC_OP_DENSE:
        return rows * out * in;
    case TOC_OP_MAXPOOL:
    case TOC_OP_AVGPOOL:
    case TOC_OP_MAXPOOL2D:
    case TOC_OP_AVGPOOL2D:
        return rows * layer->width * out * window;
    case TOC_OP_LSTM:
        return directions * in_rows * 4 * units * (in + units);
    case TOC_OP_GRU:
        return directions * in_rows * 3 * units * (in + units);
    case TOC_OP_ATTENTION:
    case TOC_OP_ADDITIVE_ATTENTION:
        return attention_work(layer, in_rows, rows);
    default:
        return 0;
    }
}
