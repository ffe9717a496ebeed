/*
 * Self-attention over time-major rows: each row of the output is a weighted
 * mean of all rows of the input (or of a band of them), the weights made of
 * the rows themselves. Additive as EQTransformer has it, dot-product as
 * PyTorch's MultiheadAttention.
 *
 * Weights of one row at a time are held, never rows x rows. A row of output
 * does not depend, bit for bit, on which others are computed with it. No
 * allocation: work space comes from the caller. Every result is finite.
 */
#ifndef TOC_CORE_ATTENTION_H
#define TOC_CORE_ATTENTION_H

#include <stddef.h>
#include <stdint.h>

#include "core/kernels.h"
#include "core/nn.h"

/**
 * Additive self-attention (Bahdanau et al. 2015; in the form of Mousavi et al. 2020, Nat. Commun. 11, 3952, and its
 * SeisBench port):
 *
 *     e[i][j] = sum over u of Wa[u] tanh((x[i] Wt)[u] + (x[j] Wx)[u] + bh[u])
 *     a[i][j] = exp(e[i][j] - max over all j of e[i][j]), 0 outside the band
 *     out[i]  = sum over j of a[i][j] x[j] / (sum over j of a[i][j] + eps)
 *
 * The bias of e falls out of the difference. The maximum is over all rows, the band's or not: with eps in the
 * denominator it matters.
 */
struct toc_attention_additive {
    uint32_t channels, units;
    uint32_t band; /* row i sees rows i - band + band / 2 < j <= i + band / 2; 0: all */
    float eps;
    const float *query, *key; /* borrowed; Wt, Wx: [channels][toc_kernels_width(units)] */
    const float *bias;        /* borrowed; bh: [toc_kernels_width(units)] */
    const float *score;       /* borrowed; Wa: [units] */
};

/**
 * Scaled dot-product attention with heads (Vaswani et al. 2017, section 3.2):
 *
 *     [q | k | v] = x W_in + b_in; for each head, d columns of each:
 *     a[i][j] = softmax over j (of the band) of q[i] . k[j] / sqrt(d)
 *     out[i]  = [sum over j of a[i][j] v[j], heads side by side] W_out + b_out
 */
struct toc_attention_dot {
    uint32_t channels, heads;                            /* heads divides channels */
    uint32_t band;                                       /* as above; the softmax is over the band alone */
    const float *query;                                  /* borrowed; [channels][toc_kernels_width(channels)] */
    const float *key_value;                              /* borrowed; [channels][toc_kernels_width(2 * channels)] */
    const float *out;                                    /* borrowed; [channels][toc_kernels_width(channels)] */
    const float *query_bias, *key_value_bias, *out_bias; /* borrowed; as wide as a row of their weights */
};

/** Floats of work space for so many input rows. */
uint64_t toc_attention_additive_work(const struct toc_attention_additive *layer, uint32_t in_rows);
uint64_t toc_attention_dot_work(const struct toc_attention_dot *layer, uint32_t in_rows);

/** Rows first .. first + rows - 1 of the output. @param in  row 0 of all in_rows. @param out  where row `first` goes */
void toc_attention_additive(const struct toc_kernels *kernels, const struct toc_attention_additive *layer,
                            struct toc_rows in, uint32_t in_rows, uint32_t first, uint32_t rows, float *work,
                            struct toc_rows out);
void toc_attention_dot(const struct toc_kernels *kernels, const struct toc_attention_dot *layer, struct toc_rows in,
                       uint32_t in_rows, uint32_t first, uint32_t rows, float *work, struct toc_rows out);

#endif
