/*
 * Plain C: vectors of four as gcc and clang spell them for any processor
 * (SSE2, NEON, or loops where there is nothing). The twin that the others
 * are tested against.
 */
#include <string.h>

#include "core/kernels_sets.h"

#define LANES 4
#define TILE_1 8 /* rows of a tile of 1, 2, 3, 4 vectors: what 16 registers hold */
#define TILE_2 6
#define TILE_3 4
#define TILE_4 3
#define ROW_VECTORS 8 /* of a single row */

typedef float vector __attribute__((vector_size(16)));
typedef int32_t integers __attribute__((vector_size(16)));

static inline vector v_load(const float *p)
{
    vector x;

    memcpy(&x, p, sizeof(x));
    return x;
}

static inline void v_store(float *p, vector x)
{
    memcpy(p, &x, sizeof(x));
}

static inline void v_store_part(float *p, vector x, uint32_t n)
{
    memcpy(p, &x, n * sizeof(float));
}

static inline vector v_all(float x)
{
    return (vector){x, x, x, x};
}

static inline vector v_fma(vector a, vector b, vector c)
{
    return a * b + c;
}

static inline vector v_fnma(vector a, vector b, vector c) /* c - a b */
{
    return c - a * b;
}

static inline vector v_choose(integers mask, vector yes, vector no)
{
    return (vector)(((integers)yes & mask) | ((integers)no & ~mask));
}

static inline vector v_min(vector a, vector b)
{
    return v_choose(a < b, a, b);
}

static inline vector v_max(vector a, vector b)
{
    return v_choose(a > b, a, b);
}

static inline vector v_mul(vector a, vector b)
{
    return a * b;
}

static inline vector v_add(vector a, vector b)
{
    return a + b;
}

static inline vector v_sub(vector a, vector b)
{
    return a - b;
}

static inline vector v_div(vector a, vector b)
{
    return a / b;
}

static inline vector v_reciprocal(vector x)
{
    return 1.0f / x;
}

/* 0 for what is not finite: its exponent is all ones. */
static inline vector v_finite(vector x)
{
    integers exponent = (integers)x & 0x7f800000;

    return (vector)((integers)x & (exponent != 0x7f800000));
}

static inline vector v_leak(vector x, vector slope)
{
    return v_choose(x < v_all(0.0f), x * slope, x);
}

/* p * 2^n, n being the low bits of t */
static inline vector v_scale(vector p, vector t)
{
    return (vector)((integers)p + ((integers)t << 23));
}

#define SET toc_kernels_plain
#define SET_NAME "plain"
#define PAIRED 0
#include "core/kernels_body.h"
