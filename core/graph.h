/*
 * The shape of a network: which layers, fed by which, and what follows from
 * that - channels, rows, padding, causality, the tensors it asks for, the
 * rows of margin around each buffer. No weights and no arithmetic
 * (core/net.h), no JSON (core/model.h). models/train/export.py documents
 * the operations and their parameters for those who write them.
 *
 * Layer 0 is the input; a layer reads earlier layers only, so the order of
 * the array is the order of running and a cycle cannot be written down.
 */
#ifndef TOC_CORE_GRAPH_H
#define TOC_CORE_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/nn.h"

/* Limits: an order of magnitude above any network of this field, and low enough that no product overflows. */
#define TOC_GRAPH_LAYERS_MAX 256
#define TOC_GRAPH_INPUTS_MAX 8
#define TOC_GRAPH_NAME_SIZE 64
#define TOC_GRAPH_CHANNELS_MAX 4096u
#define TOC_GRAPH_FLAT_MAX 65536u  /* channels after flatten */
#define TOC_GRAPH_KERNEL_MAX 4096u /* also of stride and dilation */
#define TOC_GRAPH_ROWS_MAX 1000000u
#define TOC_GRAPH_TENSORS_MAX 4 /* per layer */
#define TOC_GRAPH_WORK_MAX 1e11 /* multiplications per window, or per row of output: seconds of one core */

#define TOC_OPS(X)                                                                                                     \
    X(INPUT, "input")                                                                                                  \
    X(CONV1D, "conv1d")                                                                                                \
    X(CONVTRANSPOSE1D, "convtranspose1d")                                                                              \
    X(MAXPOOL, "maxpool")                                                                                              \
    X(AVGPOOL, "avgpool")                                                                                              \
    X(DENSE, "dense")                                                                                                  \
    X(LSTM, "lstm")                                                                                                    \
    X(GRU, "gru")                                                                                                      \
    X(BATCHNORM, "batchnorm")                                                                                          \
    X(ADD, "add")                                                                                                      \
    X(CONCAT, "concat")                                                                                                \
    X(CROP, "crop")                                                                                                    \
    X(FLATTEN, "flatten")                                                                                              \
    X(SOFTMAX, "softmax")                                                                                              \
    X(SIGMOID, "sigmoid")                                                                                              \
    X(TANH, "tanh")                                                                                                    \
    X(RELU, "relu")                                                                                                    \
    X(LEAKY_RELU, "leaky_relu")

enum toc_op {
#define X(name, text) TOC_OP_##name,
    TOC_OPS(X)
#undef X
    TOC_OP_COUNT
};

enum toc_padding { TOC_PADDING_VALID, TOC_PADDING_SAME, TOC_PADDING_CAUSAL, TOC_PADDING_EXPLICIT };

struct toc_layer {
    /* as described */
    enum toc_op op;
    char name[TOC_GRAPH_NAME_SIZE];
    uint32_t n_inputs;
    uint32_t inputs[TOC_GRAPH_INPUTS_MAX]; /* indices of earlier layers */
    uint32_t channels;                     /* of its rows; given for conv, dense, recurrent and input, else derived */
    uint32_t kernel, stride, dilation;     /* >= 1 */
    enum toc_padding padding;
    int32_t pad_left, pad_right; /* rows; given for EXPLICIT, else derived; crop: rows cut off */
    bool bias, last;
    float slope, eps;
    enum toc_nn_activation activation;
    /* derived by toc_graph_check */
    uint32_t in_channels;               /* of its first input */
    uint32_t step;                      /* input rows of the graph per row of this layer; 1 when not causal */
    uint32_t margin_left, margin_right; /* rows around this layer's buffer that its readers read */
    bool folded;                        /* a batchnorm that lives in the weights of inputs[0] */
};

struct toc_graph {
    uint32_t n_layers; /* input included */
    uint32_t output;   /* index */
    uint32_t length;   /* rows of a whole window; 0: any */
    bool causal;       /* derived: may be streamed */
    struct toc_layer layers[TOC_GRAPH_LAYERS_MAX];
};

/** A tensor a layer asks for: name "<layer>.<suffix>", shape in PyTorch's order. */
struct toc_tensor_spec {
    const char *suffix; /* static */
    uint32_t n_dims;
    uint32_t dims[3];
};

/** Text of an operation as the file spells it; and back: TOC_OP_COUNT when there is none of that name. */
const char *toc_graph_op_str(enum toc_op op);
enum toc_op toc_graph_op_parse(const char *text);

/** A weight matrix and a bias: conv1d, convtranspose1d, dense. And: lstm, gru. */
bool toc_graph_is_linear(const struct toc_layer *layer);
bool toc_graph_is_recurrent(const struct toc_layer *layer);

/** A layer with the defaults every operation starts from; name and op are the caller's to fill. */
struct toc_layer toc_graph_layer_default(void);

/** Derive everything derived, folding batch norms into the convolution before them.
 * @param graph  n_layers, output, length and the described part of each layer, filled
 * @param ret_why  on failure: layer and reason
 * @return 0, or -EINVAL (shapes do not fit, a limit is passed, a layer is used by nobody, a window of no length) */
int toc_graph_check(struct toc_graph *graph, char *ret_why, size_t why_size);

/** @param ret_specs room for TOC_GRAPH_TENSORS_MAX. @return number written, 0 for a layer without weights */
uint32_t toc_graph_tensors(const struct toc_layer *layer, struct toc_tensor_spec *ret_specs);

/** Rows out for rows in; 0 when there is none. */
uint64_t toc_graph_rows(const struct toc_layer *layer, uint64_t in_rows);

/**
 * The rows of a layer's inputs that some of its rows are made of: what partial evaluation asks, from the output back to
 * the input.
 *
 * @param first, count  rows of this layer, within toc_graph_rows(layer, in_rows)
 * @param ret_first, ret_count  rows of every input, within 0..in_rows; padding is no row, so ret_count may be 0. A
 *        layer that depends on all of a sequence names all of it; one that carries a state, all up to the last row.
 */
void toc_graph_needs(const struct toc_layer *layer, uint32_t first, uint32_t count, uint32_t in_rows,
                     uint32_t *ret_first, uint32_t *ret_count);

/** Multiplications (comparisons, for a pool) of a run over n input rows, elementwise work left out. */
double toc_graph_work(const struct toc_graph *graph, uint32_t n);

#endif
