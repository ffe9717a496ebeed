/*
 * A checked graph with weights, ready to run: weights repacked into one
 * block, the buffers of all layers planned into another, the state of a
 * stream into a third. Neither file formats nor checks of what a file says
 * (core/model.h, core/graph.h).
 *
 * Each layer's rows lie behind a left margin as long as the longest reader
 * looks back. In a stream the margin is loaded from the state before the
 * layer runs, and the last rows saved to it after: that is all there is to
 * streaming a convolution.
 */
#ifndef TOC_CORE_NET_H
#define TOC_CORE_NET_H

#include <stddef.h>
#include <stdint.h>

#include "core/graph.h"

struct toc_net;

/**
 * Repack weights.
 *
 * @param graph    checked; borrowed until destroy
 * @param tensors  [n_layers][TOC_GRAPH_TENSORS_MAX], in the order of toc_graph_tensors(), of its shapes; not kept
 * @param ret_why  on -EINVAL: layer and reason (a batch norm that divides by zero, values that overflow when folded)
 * @return 0, -EINVAL, -E2BIG (weights above TOC_WEIGHTS_BYTES_MAX), -ENOMEM
 */
int toc_net_create(const struct toc_graph *graph, const float *const (*tensors)[TOC_GRAPH_TENSORS_MAX],
                   struct toc_net **ret_net, char *ret_why, size_t why_size);
void toc_net_destroy(struct toc_net *net);

/** State of one stream: left context of convolutions and pools, hidden and cell of recurrent layers. */
struct toc_net_state;

/** @return 0, -E2BIG, -ENOMEM */
int toc_net_state_create(const struct toc_net *net, struct toc_net_state **ret_state);
void toc_net_state_destroy(struct toc_net_state *state);
void toc_net_state_reset(struct toc_net_state *state);

/** The buffers of one thread. */
struct toc_net_buffers;

/** @param max_rows rows of input at most; for a graph that is not causal its length. @return 0, -E2BIG, -ENOMEM */
int toc_net_buffers_create(const struct toc_net *net, uint32_t max_rows, struct toc_net_buffers **ret_buffers);
void toc_net_buffers_destroy(struct toc_net_buffers *buffers);

/**
 * Run n rows through every layer. Allocates nothing.
 *
 * @param rows     [n][channels of the input]; non-finite values are taken as 0
 * @param n        1..max_rows, a multiple of the output's step; for a graph that is not causal exactly its length
 * @param ret_out  [returned rows][channels of the output], always finite
 * @return rows written
 */
uint32_t toc_net_run(const struct toc_net *net, struct toc_net_state *state, struct toc_net_buffers *buffers,
                     const float *rows, uint32_t n, float *ret_out);

#endif
