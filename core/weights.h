/*
 * The weights of a network in one block: repacked for core/nn.h, batch norms
 * folded in. Const once made, shared by every stream and thread. Also: how
 * all blocks of this engine are allocated, at create and never later.
 */
#ifndef TOC_CORE_WEIGHTS_H
#define TOC_CORE_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

#include "core/attention.h"
#include "core/graph.h"
#include "core/image.h"
#include "core/kernels.h"

/** A block (weights, state, buffers) is refused above this. */
#define TOC_WEIGHTS_BYTES_MAX (UINT64_C(64) << 20)

struct toc_weights {
    const struct toc_kernels *kernels;
    float *values; /* owned: all parts */
    /* By operation. Convolutions and dense: weight, bias. Recurrent: weight, bias. Batch norm:
     * scale, shift. Each in the form that core/nn.h asks for. */
    float *parts[TOC_GRAPH_LAYERS_MAX][TOC_GRAPH_TENSORS_MAX]; /* into values */
};

/** n floats rounded up to whole vectors of 64 bytes: what a piece of a block takes. */
uint64_t toc_weights_aligned(uint64_t n);

/** A block of zeros on 64 bytes; owned by the caller, free() it. @return 0, -E2BIG, -ENOMEM */
int toc_weights_take(uint64_t floats, float **ret_values);

/**
 * @param kernels  which will run these weights
 * @param graph    checked; not kept
 * @param tensors  [n_layers][TOC_GRAPH_TENSORS_MAX], in the order of toc_layer_tensors(), of its shapes; not kept
 * @param ret_why  on -EINVAL: layer and reason
 * @return 0, -EINVAL (a batch norm divides by zero, a value overflows), -E2BIG, -ENOMEM; on failure nothing is kept
 */
int toc_weights_init(struct toc_weights *weights, const struct toc_kernels *kernels, const struct toc_graph *graph,
                     const float *const (*tensors)[TOC_GRAPH_TENSORS_MAX], char *ret_why, size_t why_size);
void toc_weights_finish(struct toc_weights *weights);

/* Layers with their parts (borrowed). */

/** A convolution over rows, transposed convolution or dense layer. */
struct toc_nn_conv toc_weights_conv(const struct toc_kernels *kernels, const struct toc_layer *layer,
                                    float *const *parts);
struct toc_nn_recurrent toc_weights_recurrent(const struct toc_layer *layer, bool reverse, float *const *parts);
/** The window of a 2-D layer; a 2-D convolution. */
struct toc_image_window toc_weights_window(const struct toc_layer *layer);
struct toc_image_conv toc_weights_image(const struct toc_layer *layer, float *const *parts);
struct toc_attention_additive toc_weights_additive(const struct toc_layer *layer, float *const *parts);
struct toc_attention_dot toc_weights_dot(const struct toc_layer *layer, float *const *parts);

#endif
