/*
 * Layers of whole windows alone: those that see a sequence from both ends,
 * all of it at once, or change its rows into others. The rows wanted are
 * made, and of a picture whole rows of columns.
 */
#include <string.h>

#include "core/attention.h"
#include "core/image.h"
#include "core/net_run.h"
#include "core/rows.h"

/* What all of them work with. */
struct task {
    const struct toc_run *run;
    const struct toc_kernels *kernels;
    const struct toc_layer *layer;
    float *const *parts;
    struct toc_rows in;     /* row 0, column 0 */
    struct toc_rows out;    /* row 0 */
    struct toc_rows wanted; /* row `first` of out */
    uint32_t in_rows, first, n;
    float *work;
};

static struct task task_of(const struct toc_run *run, uint32_t index)
{
    const struct toc_layer *layer = &run->net->graph->layers[index];
    struct task task = {.run = run,
                        .kernels = run->net->weights.kernels,
                        .layer = layer,
                        .parts = run->net->weights.parts[index],
                        .in = toc_run_rows(run, layer->inputs[0]),
                        .out = toc_run_rows(run, index),
                        .in_rows = run->buffers->rows[layer->inputs[0]],
                        .first = run->buffers->first[index],
                        .n = run->buffers->count[index],
                        .work = run->buffers->work};

    task.wanted = toc_rows_from(task.out, (int64_t)task.first * layer->width);
    return task;
}

/* Backward is forward over rows in the other order. A layer that keeps its last row only writes each row over the one
 * before; backward, the last row is the first. */
static void run_direction(const struct task *task, bool reverse)
{
    const struct toc_layer *layer = task->layer;
    struct toc_nn_recurrent recurrent = toc_weights_recurrent(layer, reverse, task->parts);
    size_t units = toc_weights_aligned(layer->units);
    struct toc_rows in = task->in, out = task->out;
    uint32_t rows = layer->last || layer->both ? task->in_rows : task->first + task->n;

    if (reverse) {
        out.at += layer->units;
        in = toc_rows_from(in, (int64_t)rows - 1);
        out = layer->last ? out : toc_rows_from(out, (int64_t)rows - 1);
        in.pitch = -in.pitch;
        out.pitch = -out.pitch;
        rows = layer->last ? 1 : rows;
    }
    out.pitch = layer->last ? 0 : out.pitch;
    memset(task->work, 0, 2 * units * sizeof(*task->work));
    toc_nn_recur(task->kernels, &recurrent, in, 1, rows, task->work, task->work + units, task->work + 2 * units, out);
}

static void run_recurrent(const struct task *task)
{
    run_direction(task, false);
    if (task->layer->both)
        run_direction(task, true);
}

static void run_attention(const struct task *task)
{
    const struct toc_attention_additive additive = toc_weights_additive(task->layer, task->parts);
    const struct toc_attention_dot dot = toc_weights_dot(task->layer, task->parts);

    if (task->layer->op == TOC_OP_ADDITIVE_ATTENTION)
        toc_attention_additive(task->kernels, &additive, task->in, task->in_rows, task->first, task->n, task->work,
                               task->wanted);
    else
        toc_attention_dot(task->kernels, &dot, task->in, task->in_rows, task->first, task->n, task->work, task->wanted);
}

static void run_image(const struct task *task)
{
    const struct toc_layer *layer = task->layer;
    const struct toc_image_conv conv = toc_weights_image(layer, task->parts);
    const enum toc_nn_activation activation = layer->activation;

    if (layer->op == TOC_OP_CONV2D)
        toc_image_conv(task->kernels, &conv, task->in, task->in_rows, task->first, task->n, task->work, task->wanted);
    else if (layer->op == TOC_OP_MAXPOOL2D)
        toc_image_maxpool(&conv.window, layer->channels, task->in, task->in_rows, task->first, task->n, task->wanted);
    else
        toc_image_avgpool(&conv.window, layer->channels, task->in, task->in_rows, task->first, task->n, task->wanted);
    if (activation != TOC_NN_NONE && activation != TOC_NN_RELU && activation != TOC_NN_LEAKY_RELU) /* by the product */
        toc_nn_activate(task->kernels, activation, layer->slope, task->wanted, task->n * layer->width, layer->channels);
}

/* Rows that lie in place already, or come from `shift` rows further on; zeros where there are none. */
static void run_shifted(const struct task *task, int64_t shift)
{
    const uint32_t channels = task->layer->channels;

    if (toc_rows_from(task->in, shift).at == task->out.at)
        return;
    for (uint32_t t = 0; t < task->n; t++) {
        const int64_t from = (int64_t)task->first + t + shift;
        const struct toc_rows to = toc_rows_from(task->wanted, t);

        if (from < 0 || from >= task->in_rows)
            memset(to.at, 0, channels * sizeof(*to.at));
        else
            toc_nn_copy(toc_rows_from(task->in, from), 1, channels, to);
    }
}

bool toc_run_is_sequence(const struct toc_layer *layer)
{
    switch (layer->op) {
    case TOC_OP_CROP:
    case TOC_OP_PAD:
    case TOC_OP_UPSAMPLE:
    case TOC_OP_FLATTEN:
        return true;
    default:
        return toc_layer_is_recurrent(layer) || toc_layer_is_attention(layer) || toc_layer_is_image(layer);
    }
}

void toc_run_sequence_layer(const struct toc_run *run, uint32_t index)
{
    const struct task task = task_of(run, index);
    const struct toc_layer *layer = task.layer;

    if (toc_layer_is_recurrent(layer))
        run_recurrent(&task);
    else if (toc_layer_is_attention(layer))
        run_attention(&task);
    else if (toc_layer_is_image(layer))
        run_image(&task);
    else if (layer->op == TOC_OP_CROP || layer->op == TOC_OP_PAD)
        run_shifted(&task, layer->op == TOC_OP_CROP ? layer->pad_left : -layer->pad_left);
    else if (layer->op == TOC_OP_UPSAMPLE)
        toc_rows_repeat(task.in, layer->channels, layer->stride, task.first, task.n, task.wanted);
    else
        toc_rows_flatten(task.in, task.in_rows * layer->in_width, layer->in_channels, task.out.at);
}

uint64_t toc_run_sequence_work(const struct toc_layer *layer, float *const *parts, uint32_t in_rows)
{
    const struct toc_attention_additive additive = toc_weights_additive(layer, parts);
    const struct toc_attention_dot dot = toc_weights_dot(layer, parts);
    const struct toc_image_conv conv = toc_weights_image(layer, parts);

    if (layer->op == TOC_OP_ADDITIVE_ATTENTION)
        return toc_attention_additive_work(&additive, in_rows);
    if (layer->op == TOC_OP_ATTENTION)
        return toc_attention_dot_work(&dot, in_rows);
    if (layer->op == TOC_OP_CONV2D)
        return toc_image_conv_work(&conv);
    return toc_layer_is_recurrent(layer)
               ? 2 * toc_weights_aligned(layer->units) + toc_nn_recur_work(layer->in_channels, layer->units, 1)
               : 0;
}
