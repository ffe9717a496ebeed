/*
 * Fourier transform of a power-of-two length, for shaping synthetic spectra.
 * Plain radix 2, double precision, no tricks: the simulator needs it right,
 * and seconds fast, not milliseconds.
 */
#ifndef TOC_SIM_FFT_H
#define TOC_SIM_FFT_H

#include <stdbool.h>
#include <stddef.h>

struct toc_fft; /* twiddles and bit order of one length; const after create */

/** @param n a power of two, 2..2^24. @return 0, -EINVAL, -ENOMEM */
int toc_fft_create(size_t n, struct toc_fft **ret_fft);
void toc_fft_destroy(struct toc_fft *fft);

/** In place. Forward has exp(-i 2 pi k j / n) and no factor; inverse divides by n. */
void toc_fft_run(const struct toc_fft *fft, bool inverse, double *re, double *im);

#endif
