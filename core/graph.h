/*
 * The shape of a network: which layers (core/layer.h), fed by which, and
 * what follows from the chain - channels, rows, columns, padding, causality,
 * the rows of margin around each buffer.
 *
 * Layer 0 is the input; a layer reads earlier layers only, so the order of
 * the array is the order of running and a cycle cannot be written down.
 */
#ifndef TOC_CORE_GRAPH_H
#define TOC_CORE_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/layer.h"

struct toc_graph {
    uint32_t n_layers; /* input included */
    uint32_t output;   /* index */
    uint32_t length;   /* rows of a whole window; 0: any */
    bool causal;       /* derived: may be streamed */
    struct toc_layer layers[TOC_GRAPH_LAYERS_MAX];
};

/** Derive everything derived, folding batch norms into the convolution before them.
 * @param graph  n_layers, output, length and the described part of each layer, filled
 * @param ret_why  on failure: layer and reason
 * @return 0, or -EINVAL (shapes do not fit, a limit is passed, a layer is used by nobody, a window of no length) */
int toc_graph_check(struct toc_graph *graph, char *ret_why, size_t why_size);

/** Whom to name when something does not fit: the layer with most values in its rows (what it looks back on and compares
 * included) for n input rows, and the one with most in its tensors. */
uint32_t toc_graph_most_rows(const struct toc_graph *graph, uint32_t n);
uint32_t toc_graph_most_weights(const struct toc_graph *graph);

/** Multiplications (comparisons, for a pool) of a run over n input rows, elementwise work left out. */
double toc_graph_work(const struct toc_graph *graph, uint32_t n);

#endif
