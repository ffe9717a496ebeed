/*
 * Which instruction set, and how weights lie for it.
 */
#include "core/kernels.h"

#include <stdbool.h>
#include <string.h>

#include "core/kernels_sets.h"

#define WIDTH 16u /* the widest vector: weights lie the same way for all sets, but for paired ones */

uint64_t toc_kernels_width(uint64_t n)
{
    return (n + WIDTH - 1) / WIDTH * WIDTH;
}

static const struct toc_kernels *const sets[] = {
#ifdef TOC_KERNELS_X86
    &toc_kernels_avx512,
    &toc_kernels_avx2,
#endif
    &toc_kernels_plain,
};

static bool runs_here(const struct toc_kernels *kernels)
{
#ifdef TOC_KERNELS_X86
    if (kernels == &toc_kernels_avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
    if (kernels == &toc_kernels_avx2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return kernels == &toc_kernels_plain;
}

const struct toc_kernels *toc_kernels_named(const char *name)
{
    for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++)
        if (strcmp(sets[i]->name, name) == 0 && runs_here(sets[i]))
            return sets[i];
    return NULL;
}

const struct toc_kernels *toc_kernels_best(void)
{
    size_t i = 0;

    while (!runs_here(sets[i]))
        i++;
    return sets[i];
}

uint64_t toc_kernels_packed(bool paired, uint64_t terms, uint64_t columns)
{
    return paired ? (terms + 1) / 2 * toc_kernels_width(2 * columns) : terms * toc_kernels_width(columns);
}

void toc_kernels_pack(bool paired, uint64_t term, uint64_t column, uint64_t columns, float value, float *packed)
{
    uint64_t at = paired ? term / 2 * toc_kernels_width(2 * columns) + 2 * column + term % 2
                         : term * toc_kernels_width(columns) + column;

    packed[at] = value;
}
