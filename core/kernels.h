/*
 * The arithmetic that takes the time, once per instruction set: products of
 * narrow matrices whose rows may overlap (a convolution over time-major rows
 * is one), the functions of recurrent cells, exponentials. Chosen at run
 * time; the same source (core/kernels_body.h) compiled for plain C, AVX2 and
 * AVX-512.
 *
 * Each value of a product is one chain of fused multiply-adds in the order
 * of the weights' rows, whatever the number of rows asked for at once: a
 * result does not depend, bit for bit, on how a stream was cut or batched.
 * Between instruction sets results differ by rounding.
 */
#ifndef TOC_CORE_KERNELS_H
#define TOC_CORE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * out[r][c] = act(init[r][c] + sum over s, j of in[r * in_step + s * segment_step + j] * weight[s * segment + j][c])
 *
 * act(x) = x < 0 ? slope * x : x, and 0 where that is not finite: slope 1 is the identity, 0 is ReLU.
 * Reads whole vectors of init and weight: both are padded to toc_kernels_width() of the columns. Of `out` exactly the
 * columns are written.
 */
struct toc_product {
    const float *in;   /* may be read 1 float past the last segment (times a weight of 0) when the weights are paired */
    ptrdiff_t in_step; /* floats from row to row */
    uint32_t segments; /* runs of neighbouring floats of a row, >= 1 */
    uint32_t segment;  /* floats of a run; even when there are several and the weights are paired */
    ptrdiff_t segment_step; /* floats from run to run */
    uint32_t rows;
    const float *weight; /* [segments * segment][width], or paired: see toc_kernels_pack() */
    bool paired;
    uint32_t columns;
    const float *init;   /* bias, or whatever is to be added */
    ptrdiff_t init_step; /* floats from row to row; 0: the same for all, as it must be when the weights are paired */
    float *out;
    ptrdiff_t out_step;
    float slope;
};

struct toc_kernels {
    const char *name; /* "plain", "avx2", "avx512" */
    /* Products of at most this many columns have paired weights, or half a vector would idle; 0: none. */
    uint32_t paired_columns;
    void (*multiply)(const struct toc_product *product);
    /* In place. exp: relative error below 2e-7, of arguments within +-87 (others are clamped, a NaN to -87). sigmoid,
     * tanh: absolute error below 2e-7; what is not finite counts as 0. */
    void (*exponential)(float *values, size_t n);
    void (*sigmoid)(float *values, size_t n);
    void (*hyperbolic_tangent)(float *values, size_t n);
    /* One step of a cell from its gates i, f, g, o [4][units] (Hochreiter & Schmidhuber 1997, forget gate of Gers et
     * al. 2000, as PyTorch). hidden and cell: [units], padded to toc_kernels_width(). Gates are read up to 16 floats
     * past their end. */
    void (*lstm_cell)(uint32_t units, const float *gates, float *hidden, float *cell);
    /* The same for gates r, z, and the two parts of n: from the input, from the hidden state (Cho et al. 2014, as
     * PyTorch). */
    void (*gru_cell)(uint32_t units, const float *gates, float *hidden);
};

/** The fastest this processor runs. Static; never NULL. */
const struct toc_kernels *toc_kernels_best(void);
/** By name; NULL: not built in, or not for this processor. */
const struct toc_kernels *toc_kernels_named(const char *name);

/** n rounded up to what vectors read. */
uint64_t toc_kernels_width(uint64_t n);

/* Weights are packed to [terms][toc_kernels_width(columns)], or paired (at most kernels->paired_columns of them): the
 * weights of two terms side by side for each column, so that one vector of columns takes two terms. */

/** Floats of packed weights of a product of so many terms. */
uint64_t toc_kernels_packed(bool paired, uint64_t terms, uint64_t columns);
/** One weight, in any order. @param packed zeroed by the caller before the first */
void toc_kernels_pack(bool paired, uint64_t term, uint64_t column, uint64_t columns, float value, float *packed);

#endif
