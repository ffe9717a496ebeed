/*
 * A checked graph with weights, ready to run: weights repacked into one
 * block, the buffers of all layers planned into another, the state of a
 * stream into a third. Neither file formats nor checks of what a file says
 * (core/model.h, core/graph.h).
 *
 * Two ways to run. A whole window lies in its buffers between rows of zeros,
 * and only the rows asked for, and what they are made of, are computed. A
 * block of streams holds only what is new: each convolution gathers what it
 * looks back on from a ring in the stream's state. Both give the same bits,
 * and so does any division of a stream into blocks or of streams into batches.
 */
#ifndef TOC_CORE_NET_H
#define TOC_CORE_NET_H

#include <stddef.h>
#include <stdint.h>

#include "core/graph.h"
#include "core/kernels.h"

struct toc_net;

/**
 * Repack weights.
 *
 * @param graph    checked; borrowed until destroy
 * @param kernels  which arithmetic; toc_kernels_best() but for tests
 * @param tensors  [n_layers][TOC_GRAPH_TENSORS_MAX], in the order of toc_layer_tensors(), of its shapes; not kept
 * @param ret_why  on -EINVAL: layer and reason (a batch norm that divides by zero, values that overflow when folded)
 * @return 0, -EINVAL, -E2BIG (weights above TOC_WEIGHTS_BYTES_MAX), -ENOMEM
 */
int toc_net_create(const struct toc_graph *graph, const struct toc_kernels *kernels,
                   const float *const (*tensors)[TOC_GRAPH_TENSORS_MAX], struct toc_net **ret_net, char *ret_why,
                   size_t why_size);
void toc_net_destroy(struct toc_net *net);

/** State of one stream: what convolutions and pools look back on, hidden and cell of recurrent layers. */
struct toc_net_state;

/** @return 0, -E2BIG, -ENOMEM */
int toc_net_state_create(const struct toc_net *net, struct toc_net_state **ret_state);
void toc_net_state_destroy(struct toc_net_state *state);
void toc_net_state_reset(struct toc_net_state *state);

/** The arena of one thread. */
struct toc_net_buffers;

/** @param max_rows rows of input at most; for a graph that is not causal its length. @return 0, -E2BIG, -ENOMEM */
int toc_net_buffers_create(const struct toc_net *net, uint32_t max_rows, struct toc_net_buffers **ret_buffers);
void toc_net_buffers_destroy(struct toc_net_buffers *buffers);

/**
 * The next n rows of each of so many streams. Allocates nothing.
 *
 * @param rows     [n_streams][n][channels of the input]; non-finite values are taken as 0
 * @param n        1..max_rows, a multiple of the output's step
 * @param ret_out  [n_streams][n / step][channels of the output], always finite
 */
void toc_net_push(const struct toc_net *net, struct toc_net_state *const *states, uint32_t n_streams,
                  struct toc_net_buffers *buffers, const float *rows, uint32_t n, float *ret_out);

/**
 * A whole window. Allocates nothing.
 *
 * @param rows     [n][channels of the input]; non-finite values are taken as 0
 * @param n        1..max_rows; for a graph that is not causal exactly its length
 * @param first, count  the rows of output wanted, within those there are
 * @param ret_out  [count][channels of the output], always finite
 */
void toc_net_window(const struct toc_net *net, struct toc_net_buffers *buffers, const float *rows, uint32_t n,
                    uint32_t first, uint32_t count, float *ret_out);

#endif
