/*
 * One layer of a network by itself: its operation, its parameters, and what
 * follows from them - the tensors it asks for, the rows it makes of rows, the
 * rows it needs for rows. No weights and no arithmetic (core/net.h), no JSON
 * (core/description.h); core/graph.h chains layers. models/train/export.py
 * documents the operations and their parameters for those who write them.
 *
 * Rows are time, or the height of a picture; a row is [width][channels], with
 * a width of 1 for whatever is one-dimensional.
 */
#ifndef TOC_CORE_LAYER_H
#define TOC_CORE_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/nn.h"

/* Limits: an order of magnitude above any network of this field, and low enough that no product overflows. */
#define TOC_GRAPH_LAYERS_MAX 256
#define TOC_GRAPH_INPUTS_MAX 8
#define TOC_GRAPH_NAME_SIZE 64
#define TOC_GRAPH_CHANNELS_MAX 4096u
#define TOC_GRAPH_FLAT_MAX 65536u  /* values of a row: channels after flatten, width times channels */
#define TOC_GRAPH_KERNEL_MAX 4096u /* also of stride, dilation, width and upsampling */
#define TOC_GRAPH_ROWS_MAX 1000000u
#define TOC_GRAPH_TENSORS_MAX 8 /* per layer */
#define TOC_GRAPH_WORK_MAX 1e11 /* multiplications per window, or per row of output: seconds of one core */

#define TOC_OPS(X)                                                                                                     \
    X(INPUT, "input")                                                                                                  \
    X(CONV1D, "conv1d")                                                                                                \
    X(CONV2D, "conv2d")                                                                                                \
    X(CONVTRANSPOSE1D, "convtranspose1d")                                                                              \
    X(MAXPOOL, "maxpool")                                                                                              \
    X(AVGPOOL, "avgpool")                                                                                              \
    X(MAXPOOL2D, "maxpool2d")                                                                                          \
    X(AVGPOOL2D, "avgpool2d")                                                                                          \
    X(DENSE, "dense")                                                                                                  \
    X(LSTM, "lstm")                                                                                                    \
    X(GRU, "gru")                                                                                                      \
    X(ATTENTION, "attention")                                                                                          \
    X(ADDITIVE_ATTENTION, "additive_attention")                                                                        \
    X(BATCHNORM, "batchnorm")                                                                                          \
    X(LAYERNORM, "layernorm")                                                                                          \
    X(ADD, "add")                                                                                                      \
    X(CONCAT, "concat")                                                                                                \
    X(CROP, "crop")                                                                                                    \
    X(PAD, "pad")                                                                                                      \
    X(UPSAMPLE, "upsample")                                                                                            \
    X(FLATTEN, "flatten")                                                                                              \
    X(SOFTMAX, "softmax")                                                                                              \
    X(SIGMOID, "sigmoid")                                                                                              \
    X(TANH, "tanh")                                                                                                    \
    X(RELU, "relu")                                                                                                    \
    X(LEAKY_RELU, "leaky_relu")                                                                                        \
    X(GELU, "gelu")

enum toc_op {
#define X(name, text) TOC_OP_##name,
    TOC_OPS(X)
#undef X
        TOC_OP_COUNT
};

enum toc_padding { TOC_PADDING_VALID, TOC_PADDING_SAME, TOC_PADDING_CAUSAL, TOC_PADDING_EXPLICIT };

/** How a window moves along one axis. */
struct toc_axis {
    uint32_t kernel, stride, dilation; /* >= 1 */
    int32_t before, after; /* zeros added at each end (negative: cut off); given when explicit, else derived */
};

struct toc_layer {
    /* as described */
    enum toc_op op;
    char name[TOC_GRAPH_NAME_SIZE];
    uint32_t n_inputs;
    uint32_t inputs[TOC_GRAPH_INPUTS_MAX]; /* indices of earlier layers */
    uint32_t channels;                     /* of its rows; given for input, conv and dense, else derived */
    uint32_t width;                        /* columns of its rows; given for the input, else derived */
    uint32_t units;                        /* hidden: of a recurrent layer in each direction, of additive attention */
    uint32_t kernel, stride, dilation;     /* over rows; >= 1; stride: also the factor of upsample */
    int32_t pad_left, pad_right;           /* rows; given for EXPLICIT, else derived; crop, pad: rows cut off, added */
    struct toc_axis across;                /* 2-D: over columns */
    enum toc_padding padding;              /* of both axes */
    uint32_t groups;                       /* of a convolution's channels; >= 1 */
    uint32_t heads;                        /* of attention; >= 1 */
    uint32_t band;         /* attention: row i sees rows i - band + band / 2 < j <= i + band / 2; 0: all */
    bool bias, last, both; /* both: a recurrent layer that runs in both directions */
    float slope, eps;
    enum toc_nn_activation activation;
    /* derived by toc_graph_check */
    uint32_t in_channels, in_width;     /* of its first input */
    uint32_t step;                      /* input rows of the graph per row of this layer; 1 when not causal */
    uint32_t margin_left, margin_right; /* rows around this layer's buffer that its readers read */
    bool folded;                        /* a batchnorm that lives in the weights of inputs[0] */
};

/** A tensor a layer asks for: name "<layer>.<suffix>", shape in PyTorch's order. */
struct toc_tensor_spec {
    const char *suffix; /* static */
    uint32_t n_dims;
    uint32_t dims[4];
};

/** Text of an operation as the file spells it; and back: TOC_OP_COUNT when there is none of that name. */
const char *toc_layer_op_str(enum toc_op op);
enum toc_op toc_layer_op_parse(const char *text);

/** A layer with the defaults every operation starts from; name and op are the caller's to fill. */
struct toc_layer toc_layer_default(void);

/* Kinds. A weight matrix and a bias: convolutions, dense. A state: lstm, gru. Attention of either form. Reads
 * neighbouring rows through a window: conv1d and the pools; the same over rows and columns: conv2d and its pools. */
bool toc_layer_is_linear(const struct toc_layer *layer);
bool toc_layer_is_recurrent(const struct toc_layer *layer);
bool toc_layer_is_attention(const struct toc_layer *layer);
bool toc_layer_is_windowed(const struct toc_layer *layer);
bool toc_layer_is_image(const struct toc_layer *layer);

/** Input rows between the first and the last that one row reads through its window. */
int64_t toc_layer_reach(const struct toc_layer *layer);

/** Values of one row: width * channels. */
uint64_t toc_layer_values(const struct toc_layer *layer);

/** @param ret_specs room for TOC_GRAPH_TENSORS_MAX. @return number written, 0 for a layer without weights */
uint32_t toc_layer_tensors(const struct toc_layer *layer, struct toc_tensor_spec *ret_specs);

/** Rows out for rows in; 0 when there is none. Columns likewise, 2-D. */
uint64_t toc_layer_rows(const struct toc_layer *layer, uint64_t in_rows);
uint64_t toc_layer_columns(const struct toc_layer *layer, uint64_t in_columns);

/**
 * The rows of a layer's inputs that some of its rows are made of: what partial evaluation asks, from the output back to
 * the input.
 *
 * @param first, count  rows of this layer, within toc_layer_rows(layer, in_rows)
 * @param ret_first, ret_count  rows of every input, within 0..in_rows; padding is no row, so ret_count may be 0. A
 *        layer that depends on all of a sequence names all of it; one that carries a state, all up to the last row.
 */
void toc_layer_needs(const struct toc_layer *layer, uint32_t first, uint32_t count, uint32_t in_rows,
                     uint32_t *ret_first, uint32_t *ret_count);

/** Multiplications (comparisons, for a pool) for rows in and rows out, elementwise work left out. */
double toc_layer_work(const struct toc_layer *layer, double in_rows, double rows);

#endif
