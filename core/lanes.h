/*
 * Four doubles at a time, one lane per component (E, N, Z and a spare), in
 * the compilers' own vector types: the same source makes SSE2, AVX2 or NEON
 * code, and every operation is rounded as IEEE 754 says, so all of them give
 * the same bits. For loops that are compiled once per instruction set
 * (TOC_LANES_KERNEL) and chosen at run time.
 *
 * Everything here is inlined into such a loop; nothing passes vectors
 * between functions of different instruction sets.
 */
#ifndef TOC_CORE_LANES_H
#define TOC_CORE_LANES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define TOC_LANES 4

typedef double toc_lanes __attribute__((vector_size(32)));
typedef int64_t toc_lanes_bits __attribute__((vector_size(32)));
typedef uint64_t toc_lanes_unsigned __attribute__((vector_size(32)));

#define TOC_LANES_INLINE static inline __attribute__((always_inline))

/* name##_body() is the loop; name() runs it with the widest vectors there are. */
#if defined(__x86_64__)
#define TOC_LANES_KERNEL(name, parameters, arguments)                                                                \
    __attribute__((target("avx2"))) static void name##_avx2 parameters                                              \
    {                                                                                                                \
        name##_body arguments;                                                                                       \
    }                                                                                                                \
    static void name##_plain parameters                                                                              \
    {                                                                                                                \
        name##_body arguments;                                                                                       \
    }                                                                                                                \
    static void name parameters                                                                                      \
    {                                                                                                                \
        if (__builtin_cpu_supports("avx2"))                                                                          \
            name##_avx2 arguments;                                                                                   \
        else                                                                                                         \
            name##_plain arguments;                                                                                  \
    }
#else
#define TOC_LANES_KERNEL(name, parameters, arguments)                                                                \
    static void name parameters                                                                                      \
    {                                                                                                                \
        name##_body arguments;                                                                                       \
    }
#endif

/* Memory holds lanes as plain double[4], wherever malloc put them. */
TOC_LANES_INLINE toc_lanes toc_lanes_load(const double from[TOC_LANES])
{
    toc_lanes x;

    memcpy(&x, from, sizeof x);
    return x;
}

TOC_LANES_INLINE void toc_lanes_store(double to[TOC_LANES], toc_lanes x)
{
    memcpy(to, &x, sizeof x);
}

TOC_LANES_INLINE toc_lanes toc_lanes_all(double x)
{
    return (toc_lanes){x, x, x, x};
}

/** mask ? a : b, lane by lane; masks come from comparisons. */
TOC_LANES_INLINE toc_lanes toc_lanes_select(toc_lanes_bits mask, toc_lanes a, toc_lanes b)
{
    return (toc_lanes)((mask & (toc_lanes_bits)a) | (~mask & (toc_lanes_bits)b));
}

/** Neither may be NAN. */
TOC_LANES_INLINE toc_lanes toc_lanes_max(toc_lanes a, toc_lanes b)
{
    return toc_lanes_select(a > b, a, b);
}

TOC_LANES_INLINE toc_lanes toc_lanes_clamp(toc_lanes x, double limit)
{
    x = toc_lanes_select(x > toc_lanes_all(limit), toc_lanes_all(limit), x);
    return toc_lanes_select(x < toc_lanes_all(-limit), toc_lanes_all(-limit), x);
}

TOC_LANES_INLINE toc_lanes toc_lanes_abs(toc_lanes x)
{
    return (toc_lanes)((toc_lanes_bits)x & INT64_MAX);
}

TOC_LANES_INLINE toc_lanes toc_lanes_sqrt(toc_lanes x)
{
    return (toc_lanes){sqrt(x[0]), sqrt(x[1]), sqrt(x[2]), sqrt(x[3])};
}

/**
 * Natural logarithm of positive normal numbers, relative error below 1e-14 (measured against libm over all exponents and
 * near 1: tests/unit/test_window.c). x = 2^k m with m in [sqrt(1/2), sqrt(2)), and with s = (m - 1) / (m + 1), |s| < 0.172,
 * log m = 2 (s + s^3/3 + s^5/5 + ...), cut behind s^19.
 */
TOC_LANES_INLINE toc_lanes toc_lanes_log(toc_lanes x)
{
    const toc_lanes_unsigned root_half = {UINT64_C(0x3fe6a09e667f3bcd), UINT64_C(0x3fe6a09e667f3bcd),
                                          UINT64_C(0x3fe6a09e667f3bcd), UINT64_C(0x3fe6a09e667f3bcd)};
    toc_lanes_unsigned bits = (toc_lanes_unsigned)x;
    toc_lanes_unsigned k = (bits - root_half + (UINT64_C(1024) << 52)) >> 52; /* k + 1024 */
    toc_lanes m = (toc_lanes)(bits - (k << 52) + (UINT64_C(1024) << 52));
    /* an integer in the low bits of 2^52 is that double plus 2^52 */
    toc_lanes exponent = (toc_lanes)(k | UINT64_C(0x4330000000000000)) - (0x1p52 + 1024.0);
    toc_lanes s = (m - 1.0) / (m + 1.0), z = s * s, w = z * z, v = w * w;
    toc_lanes even = 1.0 / 5 + w * (1.0 / 9) + v * (1.0 / 13 + w * (1.0 / 17));
    toc_lanes odd = 1.0 / 3 + w * (1.0 / 7) + v * (1.0 / 11 + w * (1.0 / 15 + w * (1.0 / 19)));
    toc_lanes series = 2.0 * s + 2.0 * s * (z * odd + w * even);

    /* ln 2 in two parts: exponent times the first is exact */
    return exponent * 0x1.62e42fefa38p-1 + (exponent * 0x1.ef35793c7673p-45 + series);
}

/** log10 of positive normal numbers; relative error below 1e-14. */
TOC_LANES_INLINE toc_lanes toc_lanes_log10(toc_lanes x)
{
    return toc_lanes_log(x) * 0.43429448190325182765;
}

/**
 * Area hyperbolic sine of |x| <= 1e100, relative error below 1e-12: log(|x| + sqrt(x^2 + 1)), and x - x^3 / 6 where that
 * would lose digits.
 */
TOC_LANES_INLINE toc_lanes toc_lanes_asinh(toc_lanes x)
{
    toc_lanes y = toc_lanes_abs(x), square = y * y;
    toc_lanes large = toc_lanes_log(y + toc_lanes_sqrt(square + 1.0));
    toc_lanes size = toc_lanes_select(y < toc_lanes_all(1e-3), y - y * square * (1.0 / 6), large);

    return (toc_lanes)((toc_lanes_bits)size | ((toc_lanes_bits)x & INT64_MIN));
}

#endif
