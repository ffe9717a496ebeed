/*
 * Layers as plain functions over CBLAS, on time-major rows: a buffer is
 * [rows][channels], the newest row last. No graph, no state but what is
 * passed, no allocation: work space comes from the caller. core/graph.h
 * chains them.
 *
 * Weights are packed to rows of a multiple of 16 floats, zeros at the end:
 * full vectors, and the only width for which OpenBLAS 0.3.21's small kernels
 * (AVX-512) never call malloc.
 *
 * Every result is finite: a value that overflowed or came out as NaN is 0,
 * so that one bad sample never lives on in a state.
 */
#ifndef TOC_CORE_NN_H
#define TOC_CORE_NN_H

#include <stddef.h>
#include <stdint.h>

enum toc_nn_activation {
    TOC_NN_NONE,
    TOC_NN_RELU,
    TOC_NN_LEAKY_RELU, /* x < 0: slope * x */
    TOC_NN_TANH,
    TOC_NN_SIGMOID,
};

/** A convolution, its transpose, or (kernel = stride = dilation = 1) a dense layer applied to each row. */
struct toc_nn_conv {
    uint32_t in, out;                  /* channels */
    uint32_t kernel, stride, dilation; /* rows; >= 1 */
    const float *weight;               /* borrowed; as toc_nn_pack_conv (or _transposed) left it */
    const float *bias;                 /* borrowed; [out] */
    enum toc_nn_activation activation;
    float slope;
};

/** A recurrent layer. Gate order and formulas are PyTorch's: LSTM i, f, g, o; GRU r, z, n, with the reset gate applied
 * to (W_hn h + b_hn). */
struct toc_nn_recurrent {
    uint32_t in, units;
    const float *weight_in;     /* borrowed; [in][toc_nn_width(gates * units)], packed by toc_nn_pack_conv */
    const float *weight_hidden; /* borrowed; [gates * units][units], as in the file */
    const float *bias_in;       /* borrowed; [gates * units]; LSTM: the sum of both biases */
    const float *bias_hidden;   /* borrowed; [3 * units]; GRU only */
};

/** One BLAS thread per call: the caller owns the parallelism. Also makes OpenBLAS allocate what it needs, now. */
void toc_nn_prepare(void);

/** Floats of a packed row of n values. */
size_t toc_nn_width(size_t n);

/** PyTorch's [out][in][kernel] to [kernel][in][width(out)]. Dense and recurrent input weights: kernel 1.
 * @param ret_packed zeroed by the caller */
void toc_nn_pack_conv(const float *weight, uint32_t out, uint32_t in, uint32_t kernel, float *ret_packed);
/** PyTorch's [in][out][kernel] to [in][width(kernel * out)], out innermost. @param ret_packed zeroed by the caller */
void toc_nn_pack_transposed(const float *weight, uint32_t in, uint32_t out, uint32_t kernel, float *ret_packed);

/** Floats of work space the layer needs, whatever the number of rows. */
size_t toc_nn_conv_work(const struct toc_nn_conv *conv);
size_t toc_nn_transposed_work(const struct toc_nn_conv *conv);
size_t toc_nn_lstm_work(const struct toc_nn_recurrent *layer);
size_t toc_nn_gru_work(const struct toc_nn_recurrent *layer);

/** out[t] = act(bias + sum_k W[k] in[t * stride + k * dilation]).
 * @param in first row that out[0] reads; padding is the caller's margin around its rows */
void toc_nn_conv1d(const struct toc_nn_conv *conv, const float *in, uint32_t out_rows, float *work, float *ret_out);

/** out[t * stride + k] = act(bias + sum over t of W[k] in[t]). @param ret_out [(in_rows - 1) * stride + kernel][out] */
void toc_nn_transposed(const struct toc_nn_conv *conv, const float *in, uint32_t in_rows, float *work, float *ret_out);

/** Sequences; hidden (and cell) [units] is read, carried through and left for the next rows.
 * @param ret_out [rows][units] */
void toc_nn_lstm(const struct toc_nn_recurrent *layer, const float *in, uint32_t rows, float *hidden, float *cell,
                 float *work, float *ret_out);
void toc_nn_gru(const struct toc_nn_recurrent *layer, const float *in, uint32_t rows, float *hidden, float *work,
                float *ret_out);

/** out[t] over in[t * stride .. t * stride + kernel - 1]. The maximum leaves out the first `skip` rows of `in` (padding
 * counts as minus infinity) and likewise all rows from `end` on; the average counts them as they are.
 * A maximum over no row at all is 0. */
void toc_nn_maxpool(const float *in, uint32_t channels, uint32_t kernel, uint32_t stride, uint32_t out_rows,
                    uint32_t skip, uint32_t end, float *ret_out);
void toc_nn_avgpool(const float *in, uint32_t channels, uint32_t kernel, uint32_t stride, uint32_t out_rows,
                    float *ret_out);

/** In place. */
void toc_nn_activate(enum toc_nn_activation activation, float slope, float *values, size_t n);
/** Each row: exp(x - max) / sum. In place. */
void toc_nn_softmax(float *values, uint32_t rows, uint32_t channels);
/** x * scale + shift per channel: batch norm that could not be folded. In place. */
void toc_nn_scale(float *values, uint32_t rows, uint32_t channels, const float *scale, const float *shift);
/** Non-finite values become 0. */
void toc_nn_clean(const float *in, size_t n, float *ret_out);

#endif
