/*
 * Checks of a network's shape. Everything a file can claim about itself is
 * decided here, by name, before a byte is allocated for it: afterwards the
 * arithmetic of core/net.c trusts the numbers.
 */
#include "core/graph.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const op_names[TOC_OP_COUNT] = {
#define X(name, text) [TOC_OP_##name] = text,
    TOC_OPS(X)
#undef X
};

/* What a check works with; says "layer 'x' (op): reason" once and passes -EINVAL up. */
struct check {
    struct toc_graph *graph;
    char *why;
    size_t why_size;
};

__attribute__((format(printf, 3, 4))) static int refuse(struct check *check, const struct toc_layer *layer,
                                                        const char *format, ...)
{
    va_list args;
    int n = snprintf(check->why, check->why_size, "layer '%s' (%s): ", layer->name, op_names[layer->op]);

    if (n >= 0 && (size_t)n < check->why_size) {
        va_start(args, format);
        vsnprintf(check->why + n, check->why_size - (size_t)n, format, args);
        va_end(args);
    }
    return -EINVAL;
}

const char *toc_graph_op_str(enum toc_op op)
{
    return op_names[op];
}

enum toc_op toc_graph_op_parse(const char *text)
{
    for (int op = 0; op < TOC_OP_COUNT; op++)
        if (strcmp(op_names[op], text) == 0)
            return (enum toc_op)op;
    return TOC_OP_COUNT;
}

struct toc_layer toc_graph_layer_default(void)
{
    return (struct toc_layer){.kernel = 1, .stride = 1, .dilation = 1, .bias = true, .slope = 0.01f, .eps = 1e-5f};
}

static bool is_window(const struct toc_layer *layer) /* reads neighbouring rows */
{
    return layer->op == TOC_OP_CONV1D || layer->op == TOC_OP_MAXPOOL || layer->op == TOC_OP_AVGPOOL;
}

bool toc_graph_is_linear(const struct toc_layer *layer)
{
    return layer->op == TOC_OP_CONV1D || layer->op == TOC_OP_CONVTRANSPOSE1D || layer->op == TOC_OP_DENSE;
}

bool toc_graph_is_recurrent(const struct toc_layer *layer)
{
    return layer->op == TOC_OP_LSTM || layer->op == TOC_OP_GRU;
}

static int64_t reach(const struct toc_layer *layer)
{
    return (int64_t)(layer->kernel - 1) * layer->dilation;
}

uint64_t toc_graph_rows(const struct toc_layer *layer, uint64_t in_rows)
{
    int64_t rows = (int64_t)in_rows;

    if (is_window(layer)) {
        int64_t room = rows + layer->pad_left + layer->pad_right - reach(layer) - 1;

        return room < 0 ? 0 : (uint64_t)(room / layer->stride + 1);
    }
    if (layer->op == TOC_OP_CONVTRANSPOSE1D)
        return rows == 0 ? 0 : (uint64_t)((rows - 1) * layer->stride + layer->kernel);
    if (layer->op == TOC_OP_CROP) {
        rows -= (int64_t)layer->pad_left + layer->pad_right;
        return rows < 0 ? 0 : (uint64_t)rows;
    }
    return layer->op == TOC_OP_FLATTEN || layer->last ? 1 : in_rows;
}

/* Rows [*first, *end) of the input behind rows [*first, *end) of the layer, before they are cut to what exists. */
static void needed_range(const struct toc_layer *layer, int64_t in_rows, int64_t *first, int64_t *end)
{
    if (layer->folded)
        return;
    if (layer->op == TOC_OP_FLATTEN || layer->last) {
        *first = 0;
        *end = in_rows;
    } else if (toc_graph_is_recurrent(layer)) {
        *first = 0;
    } else if (is_window(layer)) {
        *end = (*end - 1) * layer->stride - layer->pad_left + reach(layer) + 1;
        *first = *first * layer->stride - layer->pad_left;
    } else if (layer->op == TOC_OP_CONVTRANSPOSE1D) {
        int64_t before = *first - ((int64_t)layer->kernel - 1); /* row t writes t * stride .. + kernel - 1 */

        *first = before > 0 ? (before + layer->stride - 1) / layer->stride : 0;
        *end = (*end - 1) / layer->stride + 1;
    } else if (layer->op == TOC_OP_CROP) {
        *first += layer->pad_left;
        *end += layer->pad_left;
    }
}

static uint32_t within(int64_t row, uint32_t rows)
{
    return row < 0 ? 0 : row > rows ? rows : (uint32_t)row;
}

void toc_graph_needs(const struct toc_layer *layer, uint32_t first, uint32_t count, uint32_t in_rows,
                     uint32_t *ret_first, uint32_t *ret_count)
{
    int64_t from = first, end = (int64_t)first + count;

    if (count > 0)
        needed_range(layer, in_rows, &from, &end);
    from = within(from, in_rows);
    end = within(end, in_rows);
    *ret_first = (uint32_t)from;
    *ret_count = end > from ? (uint32_t)(end - from) : 0;
}

uint32_t toc_graph_tensors(const struct toc_layer *layer, struct toc_tensor_spec *ret_specs)
{
    uint32_t in = layer->in_channels, out = layer->channels;
    uint32_t gates = layer->op == TOC_OP_LSTM ? 4 * out : 3 * out, n = 0;

    if (layer->op == TOC_OP_CONV1D)
        ret_specs[n++] = (struct toc_tensor_spec){"weight", 3, {out, in, layer->kernel}};
    else if (layer->op == TOC_OP_CONVTRANSPOSE1D)
        ret_specs[n++] = (struct toc_tensor_spec){"weight", 3, {in, out, layer->kernel}};
    else if (layer->op == TOC_OP_DENSE)
        ret_specs[n++] = (struct toc_tensor_spec){"weight", 2, {out, in, 0}};
    if (toc_graph_is_linear(layer) && layer->bias)
        ret_specs[n++] = (struct toc_tensor_spec){"bias", 1, {out, 0, 0}};
    if (toc_graph_is_recurrent(layer)) {
        ret_specs[n++] = (struct toc_tensor_spec){"weight_ih_l0", 2, {gates, in, 0}};
        ret_specs[n++] = (struct toc_tensor_spec){"weight_hh_l0", 2, {gates, out, 0}};
        if (layer->bias) {
            ret_specs[n++] = (struct toc_tensor_spec){"bias_ih_l0", 1, {gates, 0, 0}};
            ret_specs[n++] = (struct toc_tensor_spec){"bias_hh_l0", 1, {gates, 0, 0}};
        }
    }
    if (layer->op == TOC_OP_BATCHNORM) {
        static const char *const suffixes[] = {"weight", "bias", "running_mean", "running_var"};

        for (; n < 4; n++)
            ret_specs[n] = (struct toc_tensor_spec){suffixes[n], 1, {out, 0, 0}};
    }
    return n;
}

static double layer_work(const struct toc_layer *layer, double in_rows, double rows)
{
    double in = layer->in_channels, out = layer->channels;

    switch (layer->op) {
    case TOC_OP_CONV1D:
        return rows * out * in * layer->kernel;
    case TOC_OP_CONVTRANSPOSE1D:
        return in_rows * out * in * layer->kernel;
    case TOC_OP_DENSE:
        return rows * out * in;
    case TOC_OP_MAXPOOL:
    case TOC_OP_AVGPOOL:
        return rows * out * layer->kernel;
    case TOC_OP_LSTM:
        return in_rows * 4 * out * (in + out);
    case TOC_OP_GRU:
        return in_rows * 3 * out * (in + out);
    default:
        return 0;
    }
}

double toc_graph_work(const struct toc_graph *graph, uint32_t n)
{
    uint64_t rows[TOC_GRAPH_LAYERS_MAX] = {n};
    double work = 0;

    for (uint32_t i = 1; i < graph->n_layers; i++) {
        uint64_t in_rows = rows[graph->layers[i].inputs[0]];

        rows[i] = graph->layers[i].folded ? in_rows : toc_graph_rows(&graph->layers[i], in_rows);
        work += layer_work(&graph->layers[i], (double)in_rows, (double)rows[i]);
    }
    return work;
}

/* ---- the parts of the check, each over one layer, in order ---- */

static int check_inputs(struct check *check, uint32_t index)
{
    struct toc_layer *layer = &check->graph->layers[index];
    bool joins = layer->op == TOC_OP_ADD || layer->op == TOC_OP_CONCAT;

    if (index == 0)
        return layer->op == TOC_OP_INPUT ? 0 : refuse(check, layer, "the first layer must be the input");
    if (layer->op == TOC_OP_INPUT)
        return refuse(check, layer, "only the first layer is the input");
    if (joins ? layer->n_inputs < 2 : layer->n_inputs != 1)
        return refuse(check, layer, "%u inputs", layer->n_inputs);
    for (uint32_t i = 0; i < layer->n_inputs; i++)
        if (layer->inputs[i] >= index)
            return refuse(check, layer, "reads a layer that does not come before it");
    return 0;
}

static int check_parameters(struct check *check, struct toc_layer *layer)
{
    const int64_t pad_max = TOC_GRAPH_ROWS_MAX;

    if (layer->kernel < 1 || layer->kernel > TOC_GRAPH_KERNEL_MAX)
        return refuse(check, layer, "kernel %u is not 1..%u", layer->kernel, TOC_GRAPH_KERNEL_MAX);
    if (layer->stride < 1 || layer->stride > TOC_GRAPH_KERNEL_MAX)
        return refuse(check, layer, "stride %u is not 1..%u", layer->stride, TOC_GRAPH_KERNEL_MAX);
    if (layer->dilation < 1 || layer->dilation > TOC_GRAPH_KERNEL_MAX || reach(layer) > pad_max)
        return refuse(check, layer, "dilation %u is out of range", layer->dilation);
    if (layer->pad_left < -pad_max || layer->pad_left > pad_max || layer->pad_right < -pad_max ||
        layer->pad_right > pad_max)
        return refuse(check, layer, "padding %d, %d is out of range", layer->pad_left, layer->pad_right);
    if (layer->op == TOC_OP_CROP && (layer->pad_left < 0 || layer->pad_right < 0))
        return refuse(check, layer, "crop %d, %d is negative", layer->pad_left, layer->pad_right);
    return 0;
}

static int derive_padding(struct check *check, struct toc_layer *layer)
{
    if (!is_window(layer) || layer->padding == TOC_PADDING_EXPLICIT)
        return 0;
    layer->pad_left = layer->pad_right = 0;
    if (layer->padding == TOC_PADDING_CAUSAL) {
        layer->pad_left = (int32_t)(reach(layer) - (layer->stride - 1));
    } else if (layer->padding == TOC_PADDING_SAME) {
        if (layer->stride != 1)
            return refuse(check, layer, "padding 'same' with stride %u", layer->stride);
        layer->pad_left = (int32_t)(reach(layer) / 2);
        layer->pad_right = (int32_t)(reach(layer) - reach(layer) / 2);
    }
    return 0;
}

static int derive_channels(struct check *check, uint32_t index)
{
    struct toc_layer *layer = &check->graph->layers[index];
    const struct toc_layer *layers = check->graph->layers;
    bool given = index == 0 || toc_graph_is_linear(layer) || toc_graph_is_recurrent(layer);
    uint64_t channels = given ? layer->channels : layers[layer->inputs[0]].channels;
    uint64_t limit = given ? TOC_GRAPH_CHANNELS_MAX : TOC_GRAPH_FLAT_MAX;

    layer->in_channels = index == 0 ? layer->channels : layers[layer->inputs[0]].channels;
    for (uint32_t i = 1; i < layer->n_inputs; i++) {
        uint32_t other = layers[layer->inputs[i]].channels;

        if (layer->op == TOC_OP_CONCAT)
            channels += other;
        else if (other != channels)
            return refuse(check, layer, "adds %u channels to %u", other, (unsigned)channels);
    }
    if (layer->op == TOC_OP_FLATTEN && check->graph->length == 0)
        return refuse(check, layer, "needs the length of the input");
    if (channels < 1 || channels > limit)
        return refuse(check, layer, "%llu channels is not 1..%u", (unsigned long long)channels, (unsigned)limit);
    layer->channels = (uint32_t)channels;
    return 0;
}

/* Rows of every layer for a window of the stated length. flatten turns rows into channels, hence one pass for both. */
static int derive_rows(struct check *check, uint32_t index, uint64_t *rows)
{
    struct toc_layer *layer = &check->graph->layers[index];

    if (check->graph->length == 0)
        return 0;
    if (index == 0) {
        rows[0] = check->graph->length;
        return 0;
    }
    for (uint32_t i = 1; i < layer->n_inputs; i++)
        if (rows[layer->inputs[i]] != rows[layer->inputs[0]])
            return refuse(check, layer, "joins %llu rows to %llu", (unsigned long long)rows[layer->inputs[i]],
                          (unsigned long long)rows[layer->inputs[0]]);
    rows[index] = toc_graph_rows(layer, rows[layer->inputs[0]]);
    if (rows[index] < 1 || rows[index] > TOC_GRAPH_ROWS_MAX)
        return refuse(check, layer, "%llu rows is not 1..%u", (unsigned long long)rows[index], TOC_GRAPH_ROWS_MAX);
    if (layer->op == TOC_OP_FLATTEN) {
        if (rows[layer->inputs[0]] * layer->channels > TOC_GRAPH_FLAT_MAX)
            return refuse(check, layer, "more than %u values", TOC_GRAPH_FLAT_MAX);
        layer->channels = (uint32_t)rows[layer->inputs[0]] * layer->channels;
    }
    return 0;
}

/* Does row j see nothing after row (j + 1) * stride - 1 of its input, and is there one for each such block? */
static bool streams(const struct toc_layer *layer)
{
    if (is_window(layer))
        return layer->pad_right == 0 && layer->pad_left == reach(layer) - (int64_t)(layer->stride - 1);
    return layer->op != TOC_OP_CONVTRANSPOSE1D && layer->op != TOC_OP_CROP && layer->op != TOC_OP_FLATTEN &&
           !layer->last;
}

static int derive_step(struct check *check, uint32_t index)
{
    struct toc_layer *layer = &check->graph->layers[index];
    const struct toc_layer *layers = check->graph->layers;
    uint64_t step = index == 0 ? 1 : layers[layer->inputs[0]].step;

    if (!streams(layer)) {
        if (check->graph->length == 0)
            return refuse(check, layer, "is not causal and the input states no length");
        check->graph->causal = false;
    }
    for (uint32_t i = 1; i < layer->n_inputs; i++)
        if (layers[layer->inputs[i]].step != step) {
            if (check->graph->length == 0)
                return refuse(check, layer, "joins inputs of different strides");
            check->graph->causal = false;
        }
    step *= is_window(layer) ? layer->stride : 1;
    if (step > TOC_GRAPH_ROWS_MAX)
        return refuse(check, layer, "strides multiply to more than %u", TOC_GRAPH_ROWS_MAX);
    layer->step = (uint32_t)step;
    return 0;
}

static void count_uses(const struct toc_graph *graph, uint32_t *ret_uses)
{
    memset(ret_uses, 0, graph->n_layers * sizeof(*ret_uses));
    ret_uses[graph->output]++;
    for (uint32_t i = 1; i < graph->n_layers; i++)
        for (uint32_t k = 0; k < graph->layers[i].n_inputs; k++)
            ret_uses[graph->layers[i].inputs[k]]++;
}

static void redirect(struct toc_graph *graph, uint32_t from, uint32_t to)
{
    for (uint32_t i = from + 1; i < graph->n_layers; i++)
        for (uint32_t k = 0; k < graph->layers[i].n_inputs; k++)
            if (graph->layers[i].inputs[k] == from)
                graph->layers[i].inputs[k] = to;
    if (graph->output == from)
        graph->output = to;
}

/* W x + b followed by an affine map per channel is another W x + b, whatever the padding. */
static void fold_batchnorms(struct toc_graph *graph, uint32_t *uses)
{
    for (uint32_t i = 1; i < graph->n_layers; i++) {
        struct toc_layer *norm = &graph->layers[i], *before = &graph->layers[norm->inputs[0]];

        if (norm->op != TOC_OP_BATCHNORM || !toc_graph_is_linear(before) || before->activation != TOC_NN_NONE ||
            uses[norm->inputs[0]] != 1)
            continue;
        norm->folded = true;
        before->activation = norm->activation;
        before->slope = norm->slope;
        uses[norm->inputs[0]] = uses[i];
        redirect(graph, i, norm->inputs[0]);
    }
}

static void derive_margins(struct toc_graph *graph)
{
    for (uint32_t i = 1; i < graph->n_layers; i++) {
        const struct toc_layer *layer = &graph->layers[i];
        struct toc_layer *source = &graph->layers[layer->inputs[0]];

        if (!is_window(layer))
            continue;
        if (layer->pad_left > 0 && (uint32_t)layer->pad_left > source->margin_left)
            source->margin_left = (uint32_t)layer->pad_left;
        if (layer->pad_right > 0 && (uint32_t)layer->pad_right > source->margin_right)
            source->margin_right = (uint32_t)layer->pad_right;
    }
}

static int check_layer(struct check *check, uint32_t index, uint64_t *rows)
{
    struct toc_layer *layer = &check->graph->layers[index];
    int error = check_inputs(check, index);

    layer->margin_left = layer->margin_right = 0;
    layer->folded = false;
    if (error == 0)
        error = check_parameters(check, layer);
    if (error == 0)
        error = derive_padding(check, layer);
    if (error == 0)
        error = derive_channels(check, index);
    if (error == 0)
        error = derive_rows(check, index, rows);
    return error != 0 ? error : derive_step(check, index);
}

int toc_graph_check(struct toc_graph *graph, char *ret_why, size_t why_size)
{
    struct check check = {graph, ret_why, why_size};
    uint64_t rows[TOC_GRAPH_LAYERS_MAX] = {0};
    uint32_t uses[TOC_GRAPH_LAYERS_MAX];

    if (graph->n_layers < 2 || graph->n_layers > TOC_GRAPH_LAYERS_MAX || graph->output >= graph->n_layers ||
        graph->output == 0 || graph->length > TOC_GRAPH_ROWS_MAX) {
        snprintf(ret_why, why_size, "graph of %u layers, output %u, length %u", graph->n_layers, graph->output,
                 graph->length);
        return -EINVAL;
    }
    graph->causal = true;
    for (uint32_t i = 0; i < graph->n_layers; i++) {
        int error = check_layer(&check, i, rows);

        if (error != 0)
            return error;
    }
    count_uses(graph, uses);
    for (uint32_t i = 0; i < graph->n_layers; i++)
        if (uses[i] == 0)
            return refuse(&check, &graph->layers[i], "is used by nobody");
    if (graph->length % graph->layers[graph->output].step != 0)
        graph->causal = false; /* its last rows fill no block: a window, not a stream */
    fold_batchnorms(graph, uses);
    derive_margins(graph);
    if (toc_graph_work(graph, graph->length > 0 ? graph->length : graph->layers[graph->output].step) >
        TOC_GRAPH_WORK_MAX)
        return refuse(&check, &graph->layers[graph->output], "more than %g multiplications", TOC_GRAPH_WORK_MAX);
    return 0;
}
