/*
 * Running a network. Three blocks of memory, laid out at create: weights
 * (core/weights.h), state (one per stream), the arena (one per thread,
 * core/plan.h). The layers themselves are run in core/net_layers.c.
 */
#include "core/net.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/net_run.h"

static void note_readers(struct toc_net *net)
{
    const struct toc_graph *graph = net->graph;

    for (uint32_t i = 0; i < graph->n_layers; i++)
        for (uint32_t k = 0; k < graph->layers[i].n_inputs && !graph->layers[i].folded; k++)
            net->last_reader[graph->layers[i].inputs[k]] = i;
}

static void plan_state(struct toc_net *net)
{
    uint64_t at = 0;

    for (uint32_t i = 0; i < net->graph->n_layers; i++) {
        const struct toc_layer *layer = &net->graph->layers[i];
        uint64_t units = toc_layer_is_recurrent(layer) ? toc_weights_aligned(layer->units) : 0;

        net->ring_at[i] = at;
        at += toc_weights_aligned(net->graph->causal ? (uint64_t)layer->margin_left * layer->channels : 0);
        net->hidden_at[i] = at;
        net->cell_at[i] = at + units;
        at += 2 * units;
    }
    net->state_floats = at;
}

/* OpenBLAS is woken only for those who need it: its buffers are the largest part of a small daemon. */
static void prepare_large(const struct toc_graph *graph)
{
    for (uint32_t i = 1; i < graph->n_layers; i++)
        if (toc_layer_is_linear(&graph->layers[i]) &&
            toc_nn_is_large((uint64_t)graph->layers[i].in_channels * graph->layers[i].kernel,
                            graph->layers[i].channels)) {
            toc_nn_prepare_large();
            return;
        }
}

int toc_net_create(const struct toc_graph *graph, const struct toc_kernels *kernels,
                   const float *const (*tensors)[TOC_GRAPH_TENSORS_MAX], struct toc_net **ret_net, char *ret_why,
                   size_t why_size)
{
    struct toc_net *net = calloc(1, sizeof(*net));
    int error;

    if (net == NULL)
        return -ENOMEM;
    net->graph = graph;
    error = toc_weights_init(&net->weights, kernels, graph, tensors, ret_why, why_size);
    if (error != 0) {
        toc_net_destroy(net);
        return error;
    }
    for (uint32_t i = 1; i < graph->n_layers; i++)
        net->recurrent |= toc_layer_is_recurrent(&graph->layers[i]);
    note_readers(net);
    plan_state(net);
    prepare_large(graph);
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

static void window_rows(const struct toc_graph *graph, uint32_t n, uint32_t *ret_rows)
{
    ret_rows[0] = n;
    for (uint32_t i = 1; i < graph->n_layers; i++)
        ret_rows[i] = (uint32_t)toc_layer_rows(&graph->layers[i], ret_rows[graph->layers[i].inputs[0]]);
}

static void block_rows(const struct toc_graph *graph, uint32_t n, uint32_t *ret_rows)
{
    for (uint32_t i = 0; i < graph->n_layers; i++)
        ret_rows[i] = n / graph->layers[i].step;
}

static uint64_t most_work(const struct toc_net *net, const uint32_t *rows, uint32_t n_streams)
{
    uint64_t most = 0;

    for (uint32_t i = 1; i < net->graph->n_layers; i++) {
        uint64_t needs = net->graph->layers[i].folded ? 0 : toc_run_work(net, i, rows, n_streams);

        most = needs > most ? needs : most;
    }
    return most;
}

/* How many streams go through at once, n rows of each. */
static uint32_t streams_at_once(const struct toc_net_buffers *buffers, uint32_t n)
{
    uint32_t streams = buffers->block_rows / n;

    return streams > TOC_NET_STREAMS ? TOC_NET_STREAMS : streams;
}

static void plan_window(const struct toc_net *net, struct toc_net_buffers *buffers, uint64_t *floats, uint64_t *work)
{
    window_rows(net->graph, buffers->max_rows, buffers->rows);
    toc_plan_make(net->graph, buffers->rows, true, &buffers->window);
    *floats = buffers->window.floats;
    *work = most_work(net, buffers->rows, 1);
}

/* What a layer fetches depends on the length of the block in steps (core/net_layers.c), so every length is asked. */
static void plan_block(const struct toc_net *net, struct toc_net_buffers *buffers, uint64_t *floats, uint64_t *work)
{
    uint32_t step = net->graph->layers[net->graph->output].step;

    buffers->block_rows = buffers->max_rows > TOC_NET_BLOCK_ROWS ? buffers->max_rows : TOC_NET_BLOCK_ROWS;
    buffers->block_rows = (buffers->block_rows + step - 1) / step * step;
    for (uint32_t n = step; n <= buffers->block_rows; n += step) {
        uint64_t needs;

        block_rows(net->graph, n, buffers->rows);
        needs = most_work(net, buffers->rows, streams_at_once(buffers, n));
        *work = needs > *work ? needs : *work;
    }
    block_rows(net->graph, buffers->block_rows, buffers->rows);
    toc_plan_make(net->graph, buffers->rows, false, &buffers->block);
    *floats = buffers->block.floats > *floats ? buffers->block.floats : *floats;
}

/* Room for the largest push, of which small ones use little: pages nobody used stay with the system. */
static int take_untouched(uint64_t floats, struct toc_net_buffers *buffers)
{
    const uintptr_t alignment = 64;

    if (floats > TOC_WEIGHTS_BYTES_MAX / sizeof(float))
        return -E2BIG;
    buffers->memory = calloc(floats + alignment / sizeof(float), sizeof(float));
    if (buffers->memory == NULL)
        return -ENOMEM;
    buffers->values = (float *)(((uintptr_t)buffers->memory + alignment - 1) & ~(alignment - 1));
    return 0;
}

int toc_net_buffers_create(const struct toc_net *net, uint32_t max_rows, struct toc_net_buffers **ret_buffers)
{
    struct toc_net_buffers *buffers = calloc(1, sizeof(*buffers));
    uint64_t floats = 0, work = 0;
    int error;

    if (buffers == NULL)
        return -ENOMEM;
    buffers->max_rows = max_rows;
    plan_window(net, buffers, &floats, &work);
    if (net->graph->causal)
        plan_block(net, buffers, &floats, &work);
    floats = toc_weights_aligned(floats);
    error = take_untouched(floats + work + 16, buffers);
    if (error != 0) {
        free(buffers);
        return error;
    }
    buffers->work = buffers->values + floats;
    *ret_buffers = buffers;
    return 0;
}

void toc_net_buffers_destroy(struct toc_net_buffers *buffers)
{
    if (buffers == NULL)
        return;
    free(buffers->memory);
    free(buffers);
}

struct toc_rows toc_run_rows(const struct toc_run *run, uint32_t layer)
{
    const struct toc_place *place = &run->plan->places[layer];
    ptrdiff_t pitch = (ptrdiff_t)run->net->graph->layers[place->root].channels;

    return (struct toc_rows){
        run->buffers->values + run->plan->at[place->root] + place->row * pitch + (ptrdiff_t)place->column, pitch};
}

/* ---- a whole window ---- */

static void want(struct toc_net_buffers *buffers, uint32_t layer, uint32_t first, uint32_t count)
{
    uint32_t end = first + count, old = buffers->first[layer] + buffers->count[layer];

    if (count == 0)
        return;
    if (buffers->count[layer] > 0) {
        first = first < buffers->first[layer] ? first : buffers->first[layer];
        end = end > old ? end : old;
    }
    buffers->first[layer] = first;
    buffers->count[layer] = end - first;
}

/* From the rows of output back to what they are made of. */
static void want_inputs(const struct toc_graph *graph, struct toc_net_buffers *buffers, uint32_t first, uint32_t count)
{
    memset(buffers->count, 0, graph->n_layers * sizeof(*buffers->count));
    want(buffers, graph->output, first, count);
    for (uint32_t i = graph->output; i > 0; i--) {
        const struct toc_layer *layer = &graph->layers[i];

        if (layer->folded || buffers->count[i] == 0)
            continue;
        toc_layer_needs(layer, buffers->first[i], buffers->count[i], buffers->rows[layer->inputs[0]], &first, &count);
        for (uint32_t k = 0; k < layer->n_inputs; k++)
            want(buffers, layer->inputs[k], first, count);
    }
}

/* The rows around a sequence, when its buffer comes to life: the memory was another layer's before. */
static void clear_margins(const struct toc_run *run, uint32_t layer)
{
    uint32_t root = run->plan->places[layer].root;
    struct toc_rows rows = toc_run_rows(run, root);
    size_t pitch = (size_t)rows.pitch, left = run->plan->margin_left[root] * pitch;

    if (run->plan->begin[root] != layer)
        return;
    memset(rows.at - left, 0, left * sizeof(float));
    memset(rows.at + run->buffers->rows[root] * pitch, 0, run->plan->margin_right[root] * pitch * sizeof(float));
}

void toc_net_window(const struct toc_net *net, struct toc_net_buffers *buffers, const float *rows, uint32_t n,
                    uint32_t first, uint32_t count, float *ret_out)
{
    const struct toc_graph *graph = net->graph;
    const struct toc_run run = {.net = net, .buffers = buffers, .plan = &buffers->window, .n_streams = 1};
    const struct toc_layer *output = &graph->layers[graph->output];
    size_t values = (size_t)toc_layer_values(&graph->layers[0]);

    assert(n > 0 && n <= buffers->max_rows);
    window_rows(graph, n, buffers->rows);
    assert(first + count <= buffers->rows[graph->output]);
    want_inputs(graph, buffers, first, count);
    for (uint32_t i = 0; i < graph->n_layers; i++) {
        if (graph->layers[i].folded)
            continue;
        clear_margins(&run, i);
        if (i == 0)
            toc_nn_clean(rows + buffers->first[0] * values, buffers->count[0] * values,
                         toc_rows_from(toc_run_rows(&run, 0), (int64_t)buffers->first[0] * graph->layers[0].width).at);
        else if (buffers->count[i] > 0)
            toc_run_window_layer(&run, i);
    }
    toc_nn_copy(toc_rows_from(toc_run_rows(&run, graph->output), (int64_t)first * output->width), count * output->width,
                output->channels, (struct toc_rows){ret_out, (ptrdiff_t)output->channels});
}

/* ---- blocks of streams ---- */

/* The last rows of a layer go into each stream's ring: row a of a stream lies in slot a % margin_left. */
static void keep(const struct toc_run *run, uint32_t index)
{
    const struct toc_layer *layer = &run->net->graph->layers[index];
    uint32_t slots = layer->margin_left, rows = run->buffers->rows[index], n = rows < slots ? rows : slots;
    struct toc_rows from = toc_run_rows(run, index);

    for (uint32_t s = 0; s < run->n_streams; s++) {
        struct toc_net_state *state = run->states[s];
        struct toc_rows ring = {state->values + run->net->ring_at[index], (ptrdiff_t)layer->channels};
        uint64_t begin = state->seen / layer->step + rows - n;
        uint32_t slot = (uint32_t)(begin % slots), straight = n < slots - slot ? n : slots - slot;
        struct toc_rows last = toc_rows_from(from, (int64_t)s * rows + (rows - n));

        toc_nn_copy(last, straight, layer->channels, toc_rows_from(ring, slot));
        toc_nn_copy(toc_rows_from(last, straight), n - straight, layer->channels, ring);
    }
}

/* A ring is renewed when the last layer that reads it has run, and before its rows' memory is another's. */
static void keep_read(const struct toc_run *run, uint32_t reader)
{
    for (uint32_t i = 0; i < reader; i++)
        if (run->net->graph->layers[i].margin_left > 0 && run->net->last_reader[i] == reader)
            keep(run, i);
}

/* Streams that go through together, n rows of each from row t on. */
struct block {
    const float *rows; /* of the first of them, row 0; `all` rows from stream to stream */
    uint32_t t, n, all;
    float *out;
};

static void push_block(const struct toc_run *run, const struct block *block)
{
    const struct toc_graph *graph = run->net->graph;
    const struct toc_layer *output = &graph->layers[graph->output];
    size_t in = toc_layer_values(&graph->layers[0]), out = toc_layer_values(output);
    size_t n_out = block->n / output->step, t_out = block->t / output->step, all_out = block->all / output->step;

    block_rows(graph, block->n, run->buffers->rows);
    for (size_t s = 0; s < run->n_streams; s++)
        toc_nn_clean(block->rows + (s * block->all + block->t) * in, block->n * in,
                     toc_run_rows(run, 0).at + s * block->n * in);
    for (uint32_t i = 1; i < graph->n_layers; i++) {
        if (graph->layers[i].folded)
            continue;
        toc_run_block_layer(run, i);
        keep_read(run, i);
    }
    for (size_t s = 0; s < run->n_streams; s++) {
        memcpy(block->out + (s * all_out + t_out) * out, toc_run_rows(run, graph->output).at + s * n_out * out,
               n_out * out * sizeof(float));
        run->states[s]->seen += block->n;
    }
}

/* Recurrent layers go row by row, so they want many streams at once and few rows of each; convolutions fetch what they
 * look back on for each block, so they want many rows. */
static uint32_t rows_at_once(const struct toc_net *net, const struct toc_net_buffers *buffers, uint32_t n_streams,
                             uint32_t n)
{
    uint32_t step = net->graph->layers[net->graph->output].step, rows;

    if (!net->recurrent)
        return n;
    n_streams = n_streams > TOC_NET_STREAMS ? TOC_NET_STREAMS : n_streams;
    rows = buffers->block_rows / n_streams / step * step;
    rows = rows > 0 ? rows : step;
    return rows < n ? rows : n;
}

void toc_net_push(const struct toc_net *net, struct toc_net_state *const *states, uint32_t n_streams,
                  struct toc_net_buffers *buffers, const float *rows, uint32_t n, float *ret_out)
{
    const struct toc_layer *input = &net->graph->layers[0], *output = &net->graph->layers[net->graph->output];
    uint32_t length = rows_at_once(net, buffers, n_streams, n), at_once = streams_at_once(buffers, length);

    assert(net->graph->causal && n > 0 && n <= buffers->max_rows && n % output->step == 0);
    for (uint32_t s = 0; s < n_streams; s += at_once) {
        struct toc_run run = {.net = net,
                              .buffers = buffers,
                              .plan = &buffers->block,
                              .states = states + s,
                              .n_streams = n_streams - s < at_once ? n_streams - s : at_once};
        struct block block = {.rows = rows + (size_t)s * n * toc_layer_values(input),
                              .all = n,
                              .out = ret_out + (size_t)s * (n / output->step) * toc_layer_values(output)};

        for (; block.t < n; block.t += block.n) {
            block.n = n - block.t < length ? n - block.t : length;
            push_block(&run, &block);
        }
    }
}
