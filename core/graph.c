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
    int n = snprintf(check->why, check->why_size, "layer '%s' (%s): ", layer->name, toc_layer_op_str(layer->op));

    if (n >= 0 && (size_t)n < check->why_size) {
        va_start(args, format);
        vsnprintf(check->why + n, check->why_size - (size_t)n, format, args);
        va_end(args);
    }
    return -EINVAL;
}

static double sum_work(const struct toc_graph *graph, uint32_t n, uint32_t *ret_heaviest)
{
    uint64_t rows[TOC_GRAPH_LAYERS_MAX] = {n};
    double sum = 0, most = -1;

    for (uint32_t i = 1; i < graph->n_layers; i++) {
        const struct toc_layer *layer = &graph->layers[i];
        uint64_t in_rows = rows[layer->inputs[0]];
        double work;

        rows[i] = layer->folded ? in_rows : toc_layer_rows(layer, in_rows);
        work = toc_layer_work(layer, (double)in_rows, (double)rows[i]);
        sum += work;
        *ret_heaviest = work >= most ? i : *ret_heaviest;
        most = work > most ? work : most;
    }
    return sum;
}

double toc_graph_work(const struct toc_graph *graph, uint32_t n)
{
    uint32_t heaviest = 0;

    return sum_work(graph, n, &heaviest);
}

uint32_t toc_graph_most_rows(const struct toc_graph *graph, uint32_t n)
{
    uint64_t rows[TOC_GRAPH_LAYERS_MAX] = {n};
    double most = -1;
    uint32_t index = 0;

    for (uint32_t i = 0; i < graph->n_layers; i++) {
        const struct toc_layer *layer = &graph->layers[i];
        double values;

        if (i > 0)
            rows[i] = layer->folded ? rows[layer->inputs[0]] : toc_layer_rows(layer, rows[layer->inputs[0]]);
        values = ((double)rows[i] + layer->margin_left) * (double)toc_layer_values(layer);
        if (toc_layer_is_attention(layer)) /* what all rows are compared by */
            values += (double)rows[i] * (layer->op == TOC_OP_ATTENTION ? 2 * layer->channels : layer->units);
        index = values > most ? i : index;
        most = values > most ? values : most;
    }
    return index;
}

uint32_t toc_graph_most_weights(const struct toc_graph *graph)
{
    double most = -1;
    uint32_t index = 0;

    for (uint32_t i = 0; i < graph->n_layers; i++) {
        struct toc_tensor_spec specs[TOC_GRAPH_TENSORS_MAX];
        uint32_t n = toc_layer_tensors(&graph->layers[i], specs);
        double values = 0;

        for (uint32_t t = 0; t < n; t++) {
            double product = 1;

            for (uint32_t d = 0; d < specs[t].n_dims; d++)
                product *= specs[t].dims[d];
            values += product;
        }
        index = values > most ? i : index;
        most = values > most ? values : most;
    }
    return index;
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

/* Along one axis: rows, or columns of a 2-D layer. */
static int check_axis(struct check *check, const struct toc_layer *layer, const struct toc_axis *axis)
{
    const int64_t pad_max = TOC_GRAPH_ROWS_MAX;

    if (axis->kernel < 1 || axis->kernel > TOC_GRAPH_KERNEL_MAX)
        return refuse(check, layer, "kernel %u is not 1..%u", axis->kernel, TOC_GRAPH_KERNEL_MAX);
    if (axis->stride < 1 || axis->stride > TOC_GRAPH_KERNEL_MAX)
        return refuse(check, layer, "stride or factor %u is not 1..%u", axis->stride, TOC_GRAPH_KERNEL_MAX);
    if (axis->dilation < 1 || axis->dilation > TOC_GRAPH_KERNEL_MAX ||
        (int64_t)(axis->kernel - 1) * axis->dilation > pad_max)
        return refuse(check, layer, "dilation %u is out of range", axis->dilation);
    if (axis->before < -pad_max || axis->before > pad_max || axis->after < -pad_max || axis->after > pad_max)
        return refuse(check, layer, "padding %d, %d is out of range", axis->before, axis->after);
    return 0;
}

static struct toc_axis along_rows(const struct toc_layer *layer)
{
    return (struct toc_axis){layer->kernel, layer->stride, layer->dilation, layer->pad_left, layer->pad_right};
}

static int check_parameters(struct check *check, struct toc_layer *layer)
{
    struct toc_axis rows = along_rows(layer);
    int error = check_axis(check, layer, &rows);

    if (error == 0)
        error = check_axis(check, layer, &layer->across);
    if (error != 0)
        return error;
    if ((layer->op == TOC_OP_CROP || layer->op == TOC_OP_PAD) && (layer->pad_left < 0 || layer->pad_right < 0))
        return refuse(check, layer, "%d, %d rows is negative", layer->pad_left, layer->pad_right);
    if (layer->groups < 1 || layer->groups > TOC_GRAPH_CHANNELS_MAX)
        return refuse(check, layer, "groups %u is not 1..%u", layer->groups, TOC_GRAPH_CHANNELS_MAX);
    if (layer->heads < 1 || layer->heads > TOC_GRAPH_CHANNELS_MAX)
        return refuse(check, layer, "heads %u is not 1..%u", layer->heads, TOC_GRAPH_CHANNELS_MAX);
    if (!(layer->eps >= 0.0f))
        return refuse(check, layer, "eps %g is negative", (double)layer->eps);
    if ((toc_layer_is_recurrent(layer) || layer->op == TOC_OP_ADDITIVE_ATTENTION) &&
        (layer->units < 1 || layer->units > TOC_GRAPH_CHANNELS_MAX))
        return refuse(check, layer, "%u hidden units is not 1..%u", layer->units, TOC_GRAPH_CHANNELS_MAX);
    return 0;
}

static int pad_axis(struct check *check, const struct toc_layer *layer, struct toc_axis *axis)
{
    int64_t reach = (int64_t)(axis->kernel - 1) * axis->dilation;

    if (layer->padding == TOC_PADDING_EXPLICIT)
        return 0;
    axis->before = axis->after = 0;
    if (layer->padding == TOC_PADDING_CAUSAL) {
        axis->before = (int32_t)(reach - (axis->stride - 1));
    } else if (layer->padding == TOC_PADDING_SAME) {
        if (axis->stride != 1)
            return refuse(check, layer, "padding 'same' with stride %u", axis->stride);
        axis->before = (int32_t)(reach / 2);
        axis->after = (int32_t)(reach - reach / 2);
    }
    return 0;
}

static int derive_padding(struct check *check, struct toc_layer *layer)
{
    struct toc_axis rows = along_rows(layer);
    int error = 0;

    if (!toc_layer_is_windowed(layer) && !toc_layer_is_image(layer))
        return 0;
    if (toc_layer_is_image(layer) && layer->padding == TOC_PADDING_CAUSAL)
        return refuse(check, layer, "padding 'causal' is for one dimension");
    error = pad_axis(check, layer, &rows);
    layer->pad_left = rows.before;
    layer->pad_right = rows.after;
    return error != 0 || !toc_layer_is_image(layer) ? error : pad_axis(check, layer, &layer->across);
}

/* Channels before the limits: of all inputs side by side, or what the layer itself says. */
static int join_channels(struct check *check, const struct toc_layer *layer, uint64_t *ret_channels)
{
    const struct toc_layer *layers = check->graph->layers;

    *ret_channels = layers[layer->inputs[0]].channels;
    for (uint32_t i = 1; i < layer->n_inputs; i++) {
        const struct toc_layer *other = &layers[layer->inputs[i]];

        if (other->width != layers[layer->inputs[0]].width)
            return refuse(check, layer, "joins %u columns to %u", other->width, layers[layer->inputs[0]].width);
        if (layer->op == TOC_OP_CONCAT)
            *ret_channels += other->channels;
        else if (other->channels != *ret_channels)
            return refuse(check, layer, "adds %u channels to %u", other->channels, (unsigned)*ret_channels);
    }
    return 0;
}

static int check_parts(struct check *check, const struct toc_layer *layer)
{
    if (layer->in_channels % layer->groups != 0 || layer->channels % layer->groups != 0)
        return refuse(check, layer, "%u groups do not divide %u channels in, %u out", layer->groups, layer->in_channels,
                      layer->channels);
    if (layer->channels % layer->heads != 0)
        return refuse(check, layer, "%u heads do not divide %u channels", layer->heads, layer->channels);
    if (layer->op == TOC_OP_ATTENTION && layer->channels > TOC_GRAPH_CHANNELS_MAX)
        return refuse(check, layer, "%u channels is not 1..%u", layer->channels, TOC_GRAPH_CHANNELS_MAX);
    return 0;
}

static int derive_channels(struct check *check, uint32_t index)
{
    struct toc_layer *layer = &check->graph->layers[index];
    bool given = index == 0 || toc_layer_is_linear(layer);
    uint64_t channels = layer->channels, limit = given ? TOC_GRAPH_CHANNELS_MAX : TOC_GRAPH_FLAT_MAX;

    layer->in_channels = index == 0 ? layer->channels : check->graph->layers[layer->inputs[0]].channels;
    if (toc_layer_is_recurrent(layer)) {
        channels = (uint64_t)layer->units * (layer->both ? 2 : 1);
    } else if (!given) {
        int error = join_channels(check, layer, &channels);

        if (error != 0)
            return error;
    }
    if (layer->op == TOC_OP_FLATTEN && check->graph->length == 0)
        return refuse(check, layer, "needs the length of the input");
    if (channels < 1 || channels > limit)
        return refuse(check, layer, "%llu channels is not 1..%u", (unsigned long long)channels, (unsigned)limit);
    layer->channels = (uint32_t)channels;
    return check_parts(check, layer);
}

/* Operations that know nothing of columns. */
static bool needs_one_column(const struct toc_layer *layer)
{
    return toc_layer_is_windowed(layer) || toc_layer_is_recurrent(layer) || toc_layer_is_attention(layer) ||
           layer->op == TOC_OP_CONVTRANSPOSE1D || layer->op == TOC_OP_DENSE || layer->op == TOC_OP_CROP ||
           layer->op == TOC_OP_PAD || layer->op == TOC_OP_UPSAMPLE;
}

static int derive_width(struct check *check, uint32_t index)
{
    struct toc_layer *layer = &check->graph->layers[index];
    uint64_t width;

    layer->in_width = index == 0 ? layer->width : check->graph->layers[layer->inputs[0]].width;
    if (needs_one_column(layer) && layer->in_width != 1)
        return refuse(check, layer, "reads rows of one column, not of %u", layer->in_width);
    width = toc_layer_columns(layer, layer->in_width);
    if (width < 1 || width > TOC_GRAPH_KERNEL_MAX)
        return refuse(check, layer, "%llu columns of %u is not 1..%u", (unsigned long long)width, layer->in_width,
                      TOC_GRAPH_KERNEL_MAX);
    layer->width = (uint32_t)width;
    if (toc_layer_values(layer) > TOC_GRAPH_FLAT_MAX)
        return refuse(check, layer, "%u columns of %u channels is more than %u values", layer->width, layer->channels,
                      TOC_GRAPH_FLAT_MAX);
    return 0;
}

/* flatten turns rows and columns into channels. */
static int flatten(struct check *check, struct toc_layer *layer, uint64_t in_rows)
{
    uint64_t values = in_rows * layer->in_width * layer->channels;

    if (values > TOC_GRAPH_FLAT_MAX)
        return refuse(check, layer, "[%llu][%u][%u] is more than %u values", (unsigned long long)in_rows,
                      layer->in_width, layer->channels, TOC_GRAPH_FLAT_MAX);
    layer->channels = (uint32_t)values;
    return 0;
}

/* Rows of every layer for a window of the stated length. */
static int derive_rows(struct check *check, uint32_t index, uint64_t *rows)
{
    struct toc_layer *layer = &check->graph->layers[index];
    uint64_t in_rows = index == 0 ? check->graph->length : rows[layer->inputs[0]];

    if (check->graph->length == 0)
        return 0;
    for (uint32_t i = 1; i < layer->n_inputs; i++)
        if (rows[layer->inputs[i]] != in_rows)
            return refuse(check, layer, "joins %llu rows to %llu", (unsigned long long)rows[layer->inputs[i]],
                          (unsigned long long)in_rows);
    rows[index] = toc_layer_rows(layer, in_rows);
    if (rows[index] < 1 || rows[index] > TOC_GRAPH_ROWS_MAX)
        return refuse(check, layer, "%llu rows of %llu is not 1..%u", (unsigned long long)rows[index],
                      (unsigned long long)in_rows, TOC_GRAPH_ROWS_MAX);
    return layer->op == TOC_OP_FLATTEN ? flatten(check, layer, in_rows) : 0;
}

/* Does row j see nothing after row (j + 1) * stride - 1 of its input, and is there one for each such block? */
static bool streams(const struct toc_layer *layer)
{
    if (toc_layer_is_windowed(layer))
        return layer->pad_right == 0 && layer->pad_left == toc_layer_reach(layer) - (int64_t)(layer->stride - 1);
    switch (layer->op) {
    case TOC_OP_CONV2D:
    case TOC_OP_MAXPOOL2D:
    case TOC_OP_AVGPOOL2D:
    case TOC_OP_CONVTRANSPOSE1D:
    case TOC_OP_ATTENTION:
    case TOC_OP_ADDITIVE_ATTENTION:
    case TOC_OP_CROP:
    case TOC_OP_PAD:
    case TOC_OP_UPSAMPLE:
    case TOC_OP_FLATTEN:
        return false;
    default:
        return !layer->last && !layer->both;
    }
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
    step *= toc_layer_is_windowed(layer) ? layer->stride : 1;
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

        if (norm->op != TOC_OP_BATCHNORM || !toc_layer_is_linear(before) || before->activation != TOC_NN_NONE ||
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

        if (!toc_layer_is_windowed(layer))
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
        error = derive_width(check, index);
    if (error == 0)
        error = derive_rows(check, index, rows);
    return error != 0 ? error : derive_step(check, index);
}

int toc_graph_check(struct toc_graph *graph, char *ret_why, size_t why_size)
{
    struct check check = {graph, ret_why, why_size};
    uint64_t rows[TOC_GRAPH_LAYERS_MAX] = {0};
    uint32_t uses[TOC_GRAPH_LAYERS_MAX], heaviest = 0;

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
    if (sum_work(graph, graph->length > 0 ? graph->length : graph->layers[graph->output].step, &heaviest) >
        TOC_GRAPH_WORK_MAX)
        return refuse(&check, &graph->layers[heaviest], "more than %g multiplications, most of them here",
                      TOC_GRAPH_WORK_MAX);
    return 0;
}
