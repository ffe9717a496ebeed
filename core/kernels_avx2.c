/*
 * AVX2 and FMA: vectors of eight, sixteen registers.
 */
#include <immintrin.h>
#include <string.h>

#include "core/kernels_sets.h"

#define LANES 8
#define TILE_1 12
#define TILE_2 6
#define TILE_3 4
#define TILE_4 2
#define ROW_VECTORS 13

typedef __m256 vector;

static inline vector v_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

static inline void v_store(float *p, vector x)
{
    _mm256_storeu_ps(p, x);
}

/* Through memory: masked stores are slow on some processors of this set. */
static inline void v_store_part(float *p, vector x, uint32_t n)
{
    float whole[LANES];

    _mm256_storeu_ps(whole, x);
    memcpy(p, whole, n * sizeof(float));
}

static inline vector v_all(float x)
{
    return _mm256_set1_ps(x);
}

static inline vector v_fma(vector a, vector b, vector c)
{
    return _mm256_fmadd_ps(a, b, c);
}

static inline vector v_fnma(vector a, vector b, vector c)
{
    return _mm256_fnmadd_ps(a, b, c);
}

static inline vector v_min(vector a, vector b)
{
    return _mm256_min_ps(a, b);
}

static inline vector v_max(vector a, vector b)
{
    return _mm256_max_ps(a, b);
}

static inline vector v_mul(vector a, vector b)
{
    return _mm256_mul_ps(a, b);
}

static inline vector v_add(vector a, vector b)
{
    return _mm256_add_ps(a, b);
}

static inline vector v_sub(vector a, vector b)
{
    return _mm256_sub_ps(a, b);
}

static inline vector v_div(vector a, vector b)
{
    return _mm256_div_ps(a, b);
}

static inline vector v_reciprocal(vector x)
{
    vector y = _mm256_rcp_ps(x), e = v_fnma(x, y, v_all(1.0f));

    return v_fma(y, v_fma(e, e, e), y); /* 11 bits and a cubic step */
}

static inline vector v_finite(vector x)
{
    const __m256i exponent = _mm256_set1_epi32(0x7f800000);
    __m256i odd = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_castps_si256(x), exponent), exponent);

    return _mm256_andnot_ps(_mm256_castsi256_ps(odd), x);
}

/* The sign bit of x chooses. */
static inline vector v_leak(vector x, vector slope)
{
    return _mm256_blendv_ps(x, _mm256_mul_ps(x, slope), x);
}

static inline vector v_scale(vector p, vector t)
{
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(t), 23)));
}

#define SET toc_kernels_avx2
#define SET_NAME "avx2"
#define PAIRED 0
#include "core/kernels_body.h"
