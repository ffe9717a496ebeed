/*
 * Layers that normalize or rearrange rows (struct toc_rows of core/nn.h).
 */
#ifndef TOC_CORE_ROWS_H
#define TOC_CORE_ROWS_H

#include <stdint.h>

#include "core/nn.h"

/** Layer norm (Ba et al. 2016) of each row over its channels, in place: (x - mean) / sqrt(variance + eps) * scale +
 * shift; scale and shift [channels]. A row without variance becomes the shift. */
void toc_rows_normalize(struct toc_rows rows, uint32_t n, uint32_t channels, float eps, const float *scale,
                        const float *shift);

/** Rows first .. first + n - 1 of the input with each row `factor` times in turn.
 * @param in  row 0. @param out  where row `first` goes */
void toc_rows_repeat(struct toc_rows in, uint32_t channels, uint32_t factor, uint32_t first, uint32_t n,
                     struct toc_rows out);

/** [n places][channels] to [channels][n places], channel by channel: PyTorch's order of a flat picture. */
void toc_rows_flatten(struct toc_rows in, uint32_t n, uint32_t channels, float *ret_out);

#endif
