/*
 * AVX-512 (F, DQ, VL): vectors of sixteen, thirty-two registers. Layers of
 * eight channels would leave half of each vector idle: their weights are
 * paired, so that even and odd terms of a sum go side by side.
 */
#include <immintrin.h>
#include <string.h>

#include "core/kernels_sets.h"

#define LANES 16
#define TILE_1 12
#define TILE_2 14
#define TILE_3 9
#define TILE_4 6
#define ROW_VECTORS 14

typedef __m512 vector;

static inline vector v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

static inline void v_store(float *p, vector x)
{
    _mm512_storeu_ps(p, x);
}

static inline void v_store_part(float *p, vector x, uint32_t n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), x);
}

static inline vector v_all(float x)
{
    return _mm512_set1_ps(x);
}

static inline vector v_fma(vector a, vector b, vector c)
{
    return _mm512_fmadd_ps(a, b, c);
}

static inline vector v_fnma(vector a, vector b, vector c)
{
    return _mm512_fnmadd_ps(a, b, c);
}

static inline vector v_min(vector a, vector b)
{
    return _mm512_min_ps(a, b);
}

static inline vector v_max(vector a, vector b)
{
    return _mm512_max_ps(a, b);
}

static inline vector v_mul(vector a, vector b)
{
    return _mm512_mul_ps(a, b);
}

static inline vector v_add(vector a, vector b)
{
    return _mm512_add_ps(a, b);
}

static inline vector v_sub(vector a, vector b)
{
    return _mm512_sub_ps(a, b);
}

static inline vector v_div(vector a, vector b)
{
    return _mm512_div_ps(a, b);
}

static inline vector v_reciprocal(vector x)
{
    vector y = _mm512_rcp14_ps(x);

    return v_fma(y, v_fnma(x, y, v_all(1.0f)), y); /* 14 bits and one step of Newton's: 27 */
}

static inline vector v_finite(vector x)
{
    enum { NAN_OR_INFINITE = 0x99 }; /* of the classes, those that are no numbers */

    return _mm512_maskz_mov_ps(_knot_mask16(_mm512_fpclass_ps_mask(x, NAN_OR_INFINITE)), x);
}

static inline vector v_leak(vector x, vector slope)
{
    return _mm512_mask_mul_ps(x, _mm512_movepi32_mask(_mm512_castps_si512(x)), x, slope);
}

static inline vector v_scale(vector p, vector t)
{
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(t), 23)));
}

#define SET toc_kernels_avx512
#define SET_NAME "avx512"
#define PAIRED 8
#define TILE_PAIRED 12

/* Two neighbouring terms of a row, all over the vector. */
static inline vector v_all_pairs(const float *p)
{
    double pair;

    memcpy(&pair, p, sizeof(pair));
    return _mm512_castpd_ps(_mm512_set1_pd(pair));
}

/* Even plus odd lanes: of a into the low half, of b into the high one. */
static inline vector v_add_pairs(vector a, vector b)
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);

    return _mm512_add_ps(_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b));
}

static inline void v_store_halves(float *low, float *high, vector x, uint32_t n)
{
    if (n == 8) {
        _mm256_storeu_ps(low, _mm512_castps512_ps256(x));
        _mm256_storeu_ps(high, _mm512_extractf32x8_ps(x, 1));
        return;
    }
    v_store_part(low, x, n);
    _mm256_mask_storeu_ps(high, (__mmask8)((1u << n) - 1u), _mm512_extractf32x8_ps(x, 1));
}

/* [8], for the sums of two rows */
static inline vector v_load_twice(const float *p)
{
    return _mm512_broadcast_f32x8(_mm256_loadu_ps(p));
}

#include "core/kernels_body.h"
