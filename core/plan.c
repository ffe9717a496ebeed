/*
 * Places first, from the last layer back to the first, since a reader decides
 * where its input lies; then lives; then addresses, each at the lowest one
 * that is free during its life.
 */
#include "core/plan.h"

#include <string.h>

#include "core/weights.h"

/* Layers that read and write rows of any pitch, and write no row but those wanted. */
static bool is_pitched(const struct toc_layer *layer)
{
    if (layer->width != 1 || layer->in_width != 1)
        return false;
    switch (layer->op) {
    case TOC_OP_CONV1D:
    case TOC_OP_CONVTRANSPOSE1D:
    case TOC_OP_DENSE:
    case TOC_OP_MAXPOOL:
    case TOC_OP_AVGPOOL:
    case TOC_OP_ADD:
    case TOC_OP_CONCAT:
    case TOC_OP_CROP:
    case TOC_OP_RELU:
    case TOC_OP_LEAKY_RELU:
    case TOC_OP_SIGMOID:
    case TOC_OP_TANH:
    case TOC_OP_BATCHNORM:
    case TOC_OP_SOFTMAX:
    case TOC_OP_GELU:
    case TOC_OP_LAYERNORM:
    case TOC_OP_ATTENTION:
    case TOC_OP_ADDITIVE_ATTENTION:
    case TOC_OP_PAD:
    case TOC_OP_UPSAMPLE:
        return true;
    default:
        return false;
    }
}

static bool reads(const struct toc_layer *layer, uint32_t source)
{
    for (uint32_t k = 0; k < layer->n_inputs; k++)
        if (layer->inputs[k] == source)
            return true;
    return false;
}

/* May this layer lie inside another one's buffer? Paired weights of an odd number of channels need rows without room
 * between them; a layer that is joined twice can only be in one place. */
static bool may_move(const struct toc_graph *graph, uint32_t index)
{
    const struct toc_layer *layer = &graph->layers[index];
    uint32_t joins = 0;

    if (index == 0 || index == graph->output || layer->folded || !is_pitched(layer))
        return false;
    for (uint32_t i = index + 1; i < graph->n_layers; i++) {
        const struct toc_layer *reader = &graph->layers[i];

        if (reader->folded || !reads(reader, index))
            continue;
        if (!is_pitched(reader) || (layer->channels % 2 != 0 && reader->kernel > 1))
            return false;
        for (uint32_t k = 0; k < reader->n_inputs; k++)
            joins += reader->op == TOC_OP_CONCAT && reader->inputs[k] == index;
    }
    return joins <= 1;
}

static uint32_t readers(const struct toc_graph *graph, uint32_t index)
{
    uint32_t n = index == graph->output;

    for (uint32_t i = index + 1; i < graph->n_layers; i++)
        n += !graph->layers[i].folded && reads(&graph->layers[i], index);
    return n;
}

static void place_joined(const struct toc_graph *graph, uint32_t index, struct toc_plan *plan)
{
    const struct toc_layer *layer = &graph->layers[index];
    struct toc_place place = plan->places[index];

    for (uint32_t k = 0; k < layer->n_inputs; k++) {
        if (may_move(graph, layer->inputs[k]) && (!place.cut || readers(graph, layer->inputs[k]) == 1))
            plan->places[layer->inputs[k]] = place;
        place.column += graph->layers[layer->inputs[k]].channels;
    }
}

static void place_cropped(const struct toc_graph *graph, uint32_t index, struct toc_plan *plan)
{
    uint32_t source = graph->layers[index].inputs[0];

    if (!may_move(graph, source) || readers(graph, source) != 1)
        return;
    plan->places[source] = plan->places[index];
    plan->places[source].row -= graph->layers[index].pad_left;
    plan->places[source].cut = true;
}

static void place_all(const struct toc_graph *graph, struct toc_plan *plan)
{
    for (uint32_t i = 0; i < graph->n_layers; i++)
        plan->places[i] = (struct toc_place){.root = i};
    for (uint32_t i = graph->n_layers; i-- > 1;) {
        if (graph->layers[i].op == TOC_OP_CONCAT)
            place_joined(graph, i, plan);
        if (graph->layers[i].op == TOC_OP_CROP)
            place_cropped(graph, i, plan);
    }
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint32_t transposed_taps(const struct toc_layer *layer)
{
    const struct toc_nn_conv conv = {.kernel = layer->kernel, .stride = layer->stride};

    return toc_nn_transposed_taps(&conv);
}

/* Layers that read past the ends of this one. */
static void note_margins(const struct toc_graph *graph, uint32_t index, struct toc_plan *plan)
{
    const struct toc_layer *layer = &graph->layers[index];
    uint32_t root = plan->places[index].root, left = layer->margin_left, right = layer->margin_right;

    for (uint32_t i = index + 1; i < graph->n_layers; i++)
        if (graph->layers[i].op == TOC_OP_CONVTRANSPOSE1D && reads(&graph->layers[i], index)) {
            left = larger(left, transposed_taps(&graph->layers[i]) - 1);
            right = larger(right, transposed_taps(&graph->layers[i]) - 1);
        }
    plan->margin_left[root] = larger(plan->margin_left[root], left);
    plan->margin_right[root] = larger(plan->margin_right[root], right);
}

static uint32_t last_reader(const struct toc_graph *graph, uint32_t index)
{
    uint32_t last = index == graph->output ? graph->n_layers : index;

    for (uint32_t i = index + 1; i < graph->n_layers && last < graph->n_layers; i++)
        if (!graph->layers[i].folded && reads(&graph->layers[i], index))
            last = i;
    return last;
}

static void note_lives(const struct toc_graph *graph, struct toc_plan *plan)
{
    for (uint32_t i = 0; i < graph->n_layers; i++)
        plan->begin[i] = i;
    for (uint32_t i = 0; i < graph->n_layers; i++) {
        uint32_t root = plan->places[i].root;

        if (graph->layers[i].folded)
            continue;
        plan->begin[root] = i < plan->begin[root] ? i : plan->begin[root];
        plan->end[root] = larger(plan->end[root], last_reader(graph, i));
        if (plan->window)
            note_margins(graph, i, plan);
    }
}

static bool is_root(const struct toc_graph *graph, const struct toc_plan *plan, uint32_t index)
{
    return plan->places[index].root == index && !graph->layers[index].folded;
}

static uint64_t left_floats(const struct toc_graph *graph, const struct toc_plan *plan, uint32_t root)
{
    return toc_weights_aligned((uint64_t)plan->margin_left[root] * graph->layers[root].channels);
}

static uint64_t size_of(const struct toc_graph *graph, const struct toc_plan *plan, const uint32_t *rows, uint32_t root)
{
    uint64_t right = (uint64_t)rows[root] + plan->margin_right[root];

    /* one vector more: products of paired weights and cells read a little past the end */
    return left_floats(graph, plan, root) + toc_weights_aligned(right * toc_layer_values(&graph->layers[root])) + 16;
}

/* The lowest address that no root placed before, alive at the same time, occupies. */
static uint64_t address_of(const struct toc_graph *graph, const struct toc_plan *plan, const uint32_t *rows,
                           uint32_t root)
{
    uint64_t at = 0, size = size_of(graph, plan, rows, root);

    for (uint32_t i = 0; i < root;) {
        uint64_t other = plan->at[i], other_size = size_of(graph, plan, rows, i);
        bool together =
            is_root(graph, plan, i) && plan->begin[i] <= plan->end[root] && plan->begin[root] <= plan->end[i];

        if (together && at < other + other_size && other < at + size) {
            at = other + other_size;
            i = 0;
        } else {
            i++;
        }
    }
    return at;
}

void toc_plan_make(const struct toc_graph *graph, const uint32_t *rows, bool window, struct toc_plan *ret_plan)
{
    memset(ret_plan, 0, sizeof(*ret_plan));
    ret_plan->window = window;
    place_all(graph, ret_plan);
    note_lives(graph, ret_plan);
    for (uint32_t i = 0; i < graph->n_layers; i++) {
        if (!is_root(graph, ret_plan, i))
            continue;
        ret_plan->at[i] = address_of(graph, ret_plan, rows, i);
        if (ret_plan->at[i] + size_of(graph, ret_plan, rows, i) > ret_plan->floats)
            ret_plan->floats = ret_plan->at[i] + size_of(graph, ret_plan, rows, i);
    }
    for (uint32_t i = 0; i < graph->n_layers; i++) /* from the start of the block to row 0 */
        ret_plan->at[i] += is_root(graph, ret_plan, i) ? left_floats(graph, ret_plan, i) : 0;
}
