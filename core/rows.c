/*
 * Rows normalized and rearranged.
 */
#include "core/rows.h"

#include <math.h>
#include <string.h>

/* Sums in double: a float's square overflows long before the float does. */
static void normalize_row(float *row, uint32_t channels, double eps, const float *scale, const float *shift)
{
    double sum = 0, squares = 0, mean, factor;

    for (uint32_t c = 0; c < channels; c++)
        sum += (double)row[c];
    mean = sum / channels;
    for (uint32_t c = 0; c < channels; c++)
        squares += ((double)row[c] - mean) * ((double)row[c] - mean);
    squares = squares / channels + eps;
    factor = squares > 0 ? 1 / sqrt(squares) : 0;
    for (uint32_t c = 0; c < channels; c++)
        row[c] = (float)(((double)row[c] - mean) * factor) * scale[c] + shift[c];
    toc_nn_clean(row, channels, row);
}

void toc_rows_normalize(struct toc_rows rows, uint32_t n, uint32_t channels, float eps, const float *scale,
                        const float *shift)
{
    for (uint32_t t = 0; t < n; t++)
        normalize_row(toc_rows_from(rows, t).at, channels, (double)eps, scale, shift);
}

void toc_rows_repeat(struct toc_rows in, uint32_t channels, uint32_t factor, uint32_t first, uint32_t n,
                     struct toc_rows out)
{
    for (uint32_t t = 0; t < n; t++)
        memcpy(toc_rows_from(out, t).at, toc_rows_from(in, (first + t) / factor).at, channels * sizeof(float));
}

void toc_rows_flatten(struct toc_rows in, uint32_t n, uint32_t channels, float *ret_out)
{
    for (uint32_t t = 0; t < n; t++) {
        const float *row = toc_rows_from(in, t).at;

        for (uint32_t c = 0; c < channels; c++)
            ret_out[(size_t)c * n + t] = row[c];
    }
}
