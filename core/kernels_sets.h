/*
 * The sets that are built in; core/kernels.c chooses among them, nobody else
 * names one.
 */
#ifndef TOC_CORE_KERNELS_SETS_H
#define TOC_CORE_KERNELS_SETS_H

#include "core/kernels.h"

extern const struct toc_kernels toc_kernels_plain;
#ifdef TOC_KERNELS_X86
extern const struct toc_kernels toc_kernels_avx2, toc_kernels_avx512;
#endif

#endif
