/*
 * Layers as plain functions over core/kernels.h, on time-major rows: the
 * newest row last, the channels of a row side by side, `pitch` floats from
 * row to row (a layer may write into a part of a wider buffer). No graph, no
 * state but what is passed, no allocation: work space comes from the caller.
 * core/net.h chains them.
 *
 * Every result is finite: a value that overflowed or came out as NaN is 0,
 * so that one bad sample never lives on in a state.
 */
#ifndef TOC_CORE_NN_H
#define TOC_CORE_NN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/kernels.h"

enum toc_nn_activation {
    TOC_NN_NONE,
    TOC_NN_RELU,
    TOC_NN_LEAKY_RELU, /* x < 0: slope * x */
    TOC_NN_TANH,
    TOC_NN_SIGMOID,
    TOC_NN_GELU, /* x P(z < x) for z of the normal distribution: 0.5 x (1 + erf(x / sqrt(2))) (Hendrycks & Gimpel 2016)
                  */
};

/** Rows in somebody's buffer. */
struct toc_rows {
    float *at;       /* row 0 */
    ptrdiff_t pitch; /* floats; >= channels */
};

/** A convolution, its transpose, or (kernel = stride = dilation = 1) a dense layer applied to each row. */
struct toc_nn_conv {
    uint32_t in, out;                  /* channels */
    uint32_t kernel, stride, dilation; /* rows; >= 1 */
    uint32_t groups;                   /* >= 1, divides in and out; 1 for a transpose */
    bool paired;                       /* how the weight is packed: what toc_nn_pairs() said of the layer */
    const float *weight;               /* borrowed; packed by toc_nn_pack_* for the same kernels */
    const float *bias;                 /* borrowed; [groups][toc_kernels_width(out / groups)] */
    enum toc_nn_activation activation;
    float slope;
};

/** A recurrent layer. Formulas are PyTorch's: LSTM gates i, f, g, o; GRU r, z, n with the reset gate applied to
 * (W_hn h + b_hn), which makes n two columns: from the input, from the hidden state. */
struct toc_nn_recurrent {
    uint32_t in, units;
    bool gru;
    const float *weight; /* borrowed; packed [in + units][4 * units]: of the input, then of the hidden state */
    const float *bias;   /* borrowed; [toc_kernels_width(4 * units)] */
};

/* ---- weights, from PyTorch's order; packed is zeroed by the caller ---- */

/** Will this convolution gain from paired weights, and can it have them? */
bool toc_nn_pairs(const struct toc_kernels *kernels, const struct toc_nn_conv *conv);

/** Floats of packed weights. */
uint64_t toc_nn_conv_packed(const struct toc_nn_conv *conv);
uint64_t toc_nn_transposed_packed(const struct toc_nn_conv *conv);
uint64_t toc_nn_recurrent_packed(uint32_t terms, uint32_t units);

/** From [out][in / groups][kernel]. @param scale  [out], of a batch norm behind it; NULL: 1 */
void toc_nn_pack_conv(const struct toc_nn_conv *conv, const float *weight, const float *scale, float *packed);
/** From [in][out][kernel]. */
void toc_nn_pack_transposed(const struct toc_nn_conv *conv, const float *weight, const float *scale, float *packed);
/** From [gates * units][terms]. @param hidden  these are the weights of the hidden state (a GRU keeps them apart) */
void toc_nn_pack_recurrent(uint32_t terms, uint32_t units, bool gru, bool hidden, const float *weight, float *packed);
/** The most kernel taps that one output row of a transposed convolution reads. */
uint32_t toc_nn_transposed_taps(const struct toc_nn_conv *conv);

/** Dense layers with so many weights go through OpenBLAS when there are rows enough: there alone a row may depend, in
 * its last bits, on how many come with it. */
bool toc_nn_is_large(uint64_t terms, uint64_t columns);
/** Makes OpenBLAS use the calling thread alone, and allocate what it needs, now. */
void toc_nn_prepare_large(void);

/* ---- layers ---- */

/** out[t] = act(bias + sum_k W[k] in[t * stride + k * dilation]). @param in  first row that out[0] reads */
void toc_nn_conv1d(const struct toc_kernels *kernels, const struct toc_nn_conv *conv, struct toc_rows in, uint32_t rows,
                   struct toc_rows out);

/** Rows first .. first + rows - 1 of: out[t * stride + k] = act(bias + sum over t of W[k] in[t]).
 * @param in   row 0; toc_nn_transposed_taps() - 1 zero rows lie before it and after its last one
 * @param out  where row `first` goes */
void toc_nn_transposed(const struct toc_kernels *kernels, const struct toc_nn_conv *conv, struct toc_rows in,
                       uint32_t first, uint32_t rows, struct toc_rows out);

/** n sequences of so many rows each, one behind the other in `in` and `out`. hidden (and cell, LSTM only)
 * [n][toc_kernels_width(units)] are read, carried through and left for the next rows. */
void toc_nn_recur(const struct toc_kernels *kernels, const struct toc_nn_recurrent *layer, struct toc_rows in,
                  uint32_t n, uint32_t rows, float *hidden, float *cell, float *work, struct toc_rows out);
size_t toc_nn_recur_work(uint32_t in, uint32_t units, uint32_t n);

/** out[t] over in[t * stride .. t * stride + kernel - 1]. The maximum leaves out the first `skip` rows of `in` (padding
 * counts as minus infinity) and likewise all rows from `end` on; the average counts them as they are.
 * A maximum over no row at all is 0. */
void toc_nn_maxpool(struct toc_rows in, uint32_t channels, uint32_t kernel, uint32_t stride, uint32_t rows,
                    uint32_t skip, uint32_t end, struct toc_rows out);
void toc_nn_avgpool(struct toc_rows in, uint32_t channels, uint32_t kernel, uint32_t stride, uint32_t rows,
                    struct toc_rows out);

/* In place. */
void toc_nn_activate(const struct toc_kernels *kernels, enum toc_nn_activation activation, float slope,
                     struct toc_rows rows, uint32_t n, uint32_t channels);
/** Each row: exp(x - max) / sum. */
void toc_nn_softmax(const struct toc_kernels *kernels, struct toc_rows rows, uint32_t n, uint32_t channels);
/** x * scale + shift per channel: a batch norm that could not be folded. */
void toc_nn_scale(struct toc_rows rows, uint32_t n, uint32_t channels, const float *scale, const float *shift);

/** out = a + b; out may be a. */
void toc_nn_add(struct toc_rows a, struct toc_rows b, uint32_t n, uint32_t channels, struct toc_rows out);
void toc_nn_copy(struct toc_rows in, uint32_t n, uint32_t channels, struct toc_rows out);
/** Non-finite values become 0. */
void toc_nn_clean(const float *in, size_t n, float *ret_out);

/** One row. Rows are short, and mostly of whole vectors: a call of memcpy for each would cost more than the copy. */
static inline void toc_rows_put(const float *in, size_t n, float *ret_out)
{
    for (; n >= 8; n -= 8, in += 8, ret_out += 8)
        memcpy(ret_out, in, 8 * sizeof(*in));
    for (; n > 0; n--)
        *ret_out++ = *in++;
}

/** Row t of rows. */
static inline struct toc_rows toc_rows_from(struct toc_rows rows, int64_t t)
{
    return (struct toc_rows){rows.at + t * rows.pitch, rows.pitch};
}

#endif
