/*
 * What tests of layers share: random values, buffers with a pitch and guards
 * around them, and the comparison with a formula written in double.
 */
#ifndef TOC_TESTS_REFERENCE_H
#define TOC_TESTS_REFERENCE_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/nn.h"

#define REFERENCE_GUARD 12345.0f

static uint32_t reference_state = 1;

static inline uint32_t reference_draw(uint32_t n) /* xorshift32 (Marsaglia 2003), to 0..n-1 */
{
    reference_state ^= reference_state << 13;
    reference_state ^= reference_state >> 17;
    reference_state ^= reference_state << 5;
    return reference_state % n;
}

static inline float reference_random(void)
{
    return (float)reference_draw(2000001) / 1000000.0f - 1.0f;
}

/* n values, and a vector's worth that may be read behind them; the caller frees. */
static inline float *reference_values(size_t n, float scale)
{
    float *values = aligned_alloc(64, (n + 32) / 16 * 16 * sizeof(*values));

    for (size_t i = 0; i < (n + 32) / 16 * 16; i++)
        values[i] = i < n ? scale * reference_random() : 0.0f;
    return values;
}

/* Rows of `channels` in a buffer `pitch` wide, all of it the guard's value. */
static inline struct toc_rows reference_rows(uint32_t rows, uint32_t pitch)
{
    size_t n = (size_t)rows * pitch + 32;
    struct toc_rows made = {malloc(n * sizeof(float)), (ptrdiff_t)pitch};

    for (size_t i = 0; i < n; i++)
        made.at[i] = REFERENCE_GUARD;
    return made;
}

static inline struct toc_rows reference_random_rows(uint32_t rows, uint32_t channels, uint32_t pitch, float scale)
{
    struct toc_rows made = reference_rows(rows, pitch);

    for (uint32_t t = 0; t < rows; t++)
        for (uint32_t c = 0; c < channels; c++)
            toc_rows_from(made, t).at[c] = scale * reference_random();
    return made;
}

/* Did anything but the channels of the rows change? */
static inline int reference_guarded(struct toc_rows rows, uint32_t n, uint32_t channels)
{
    for (uint32_t t = 0; t < n; t++)
        for (ptrdiff_t c = channels; c < rows.pitch; c++)
            if (toc_rows_from(rows, t).at[c] != REFERENCE_GUARD)
                return 0;
    for (int i = 0; i < 32; i++)
        if (toc_rows_from(rows, n).at[i] != REFERENCE_GUARD)
            return 0;
    return 1;
}

/* A matrix [terms][columns] to rows as wide as the kernels read. */
static inline float *reference_packed(const float *matrix, uint32_t terms, uint32_t columns)
{
    size_t width = (size_t)toc_kernels_width(columns);
    float *packed = calloc(terms * width + 16, sizeof(*packed));

    for (uint32_t i = 0; i < terms; i++)
        memcpy(packed + i * width, matrix + (size_t)i * columns, columns * sizeof(*packed));
    return packed;
}

#endif
