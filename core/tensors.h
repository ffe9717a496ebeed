/*
 * The tensors of a model file: a table of names, shapes and byte ranges over
 * one payload of little-endian floats, checked, decoded, and bound to what a
 * graph asks for. It does not read the table's JSON (core/model.h does).
 */
#ifndef TOC_CORE_TENSORS_H
#define TOC_CORE_TENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/graph.h"

#define TOC_TENSORS_MAX ((size_t)TOC_GRAPH_LAYERS_MAX * TOC_GRAPH_TENSORS_MAX)
#define TOC_TENSOR_DIMS_MAX 4

struct toc_tensor {
    const char *name; /* borrowed until finish */
    uint32_t n_dims;  /* 1..TOC_TENSOR_DIMS_MAX */
    uint64_t dims[TOC_TENSOR_DIMS_MAX];
    uint64_t begin, end; /* bytes into the payload */
    bool bound;          /* set by toc_tensors_bind */
};

struct toc_tensors {
    const uint8_t *payload; /* borrowed until finish */
    uint64_t payload_len;
    size_t n;
    struct toc_tensor *list; /* owned; room for TOC_TENSORS_MAX */
    float *values;           /* owned; the payload as floats of this machine, after bind */
};

/* Every failure leaves a text in ret_why that names the tensor. */

/** @return 0 or -ENOMEM */
int toc_tensors_init(struct toc_tensors *tensors, const uint8_t *payload, uint64_t payload_len);
void toc_tensors_finish(struct toc_tensors *tensors);

/** One entry of the table. @return 0 or -EINVAL (range outside the payload, shape of another size, too many) */
int toc_tensors_add(struct toc_tensors *tensors, const struct toc_tensor *tensor, char *ret_why, size_t why_size);

/** After the last entry: every byte of the payload belongs to exactly one tensor. @return 0 or -EINVAL */
int toc_tensors_seal(struct toc_tensors *tensors, char *ret_why, size_t why_size);

/**
 * Give every layer its tensors.
 *
 * @param ret_bound  [n_layers]: in the order of toc_layer_tensors(); borrowed from tensors until finish
 * @return 0, -EINVAL (missing, of another shape, asked for by nobody, or with a value that is not finite), -ENOMEM
 */
int toc_tensors_bind(struct toc_tensors *tensors, const struct toc_graph *graph,
                     const float *(*ret_bound)[TOC_GRAPH_TENSORS_MAX], char *ret_why, size_t why_size);

#endif
