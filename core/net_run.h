/*
 * What core/net.c and core/net_layers.c share: the objects, and a run in
 * progress. Nobody else includes it.
 */
#ifndef TOC_CORE_NET_RUN_H
#define TOC_CORE_NET_RUN_H

#include "core/net.h"
#include "core/nn.h"
#include "core/plan.h"
#include "core/weights.h"

/* A block of streams: so many rows of input, of all streams together, keep the buffers in the second cache and fill the
 * tiles of a product. */
#define TOC_NET_BLOCK_ROWS 1280u
#define TOC_NET_STREAMS 64u

struct toc_net {
    const struct toc_graph *graph;        /* borrowed */
    struct toc_weights weights;           /* owned */
    size_t ring_at[TOC_GRAPH_LAYERS_MAX]; /* into a state's values: the last margin_left rows of the layer */
    size_t hidden_at[TOC_GRAPH_LAYERS_MAX], cell_at[TOC_GRAPH_LAYERS_MAX];
    uint64_t state_floats;
    uint32_t last_reader[TOC_GRAPH_LAYERS_MAX];
    bool recurrent; /* has a layer that goes row by row */
};

struct toc_net_state {
    uint64_t seen; /* input rows since reset */
    size_t n;
    float *values; /* owned */
};

struct toc_net_buffers {
    uint32_t max_rows, block_rows;
    struct toc_plan window, block;
    float *memory; /* owned; holds values, on 64 bytes */
    float *values; /* the arena of either plan, then work space */
    float *work;   /* into values */
    /* of the run in progress */
    uint32_t rows[TOC_GRAPH_LAYERS_MAX]; /* window: of the sequence; block: of each stream */
    uint32_t first[TOC_GRAPH_LAYERS_MAX], count[TOC_GRAPH_LAYERS_MAX]; /* window: which are wanted */
};

/* A run in progress. */
struct toc_run {
    const struct toc_net *net;
    struct toc_net_buffers *buffers;
    const struct toc_plan *plan;
    struct toc_net_state *const *states; /* block: [n_streams] */
    uint32_t n_streams;                  /* window: 1 */
};

/** Row 0 of a layer, or of a picture its first place: the next row is `width` places on. */
struct toc_rows toc_run_rows(const struct toc_run *run, uint32_t layer);

/** One layer, after all before it. */
void toc_run_window_layer(const struct toc_run *run, uint32_t layer);
void toc_run_block_layer(const struct toc_run *run, uint32_t layer);

/** Layers that a window runs in core/net_sequence.c: over whole sequences, or making other rows of them; and of these
 * alone: one of them, and its work space. */
bool toc_run_is_sequence(const struct toc_layer *layer);
void toc_run_sequence_layer(const struct toc_run *run, uint32_t layer);
uint64_t toc_run_sequence_work(const struct toc_layer *layer, float *const *parts, uint32_t in_rows);

/** Floats of work space a layer needs for so many rows of output, of all streams together, and of input per stream. */
uint64_t toc_run_work(const struct toc_net *net, uint32_t layer, const uint32_t *rows, uint32_t n_streams);

#endif
