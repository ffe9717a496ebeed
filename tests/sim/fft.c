/*
 * Iterative decimation in time: bit-reversed order first, then log2(n)
 * passes of butterflies. The inverse is the forward with the two arrays
 * exchanged, which conjugates on the way in and on the way out.
 */
#include "tests/sim/fft.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

struct toc_fft {
    size_t n;
    double *cosine, *sine; /* of 2 pi k / n, k < n / 2 */
    uint32_t *reversed;
};

static void fill_tables(struct toc_fft *fft)
{
    const double step = 2.0 * M_PI / (double)fft->n;
    for (size_t k = 0; k < fft->n / 2; k++) {
        fft->cosine[k] = cos(step * (double)k);
        fft->sine[k] = sin(step * (double)k);
    }
    fft->reversed[0] = 0;
    for (size_t k = 1; k < fft->n; k++)
        fft->reversed[k] = (uint32_t)((fft->reversed[k / 2] / 2) | ((k & 1) ? fft->n / 2 : 0));
}

int toc_fft_create(size_t n, struct toc_fft **ret_fft)
{
    if (n < 2 || n > ((size_t)1 << 24) || (n & (n - 1)) != 0)
        return -EINVAL;
    struct toc_fft *fft = calloc(1, sizeof *fft);
    if (!fft)
        return -ENOMEM;
    fft->n = n;
    fft->cosine = malloc(n / 2 * sizeof *fft->cosine);
    fft->sine = malloc(n / 2 * sizeof *fft->sine);
    fft->reversed = malloc(n * sizeof *fft->reversed);
    if (!fft->cosine || !fft->sine || !fft->reversed) {
        toc_fft_destroy(fft);
        return -ENOMEM;
    }
    fill_tables(fft);
    *ret_fft = fft;
    return 0;
}

void toc_fft_destroy(struct toc_fft *fft)
{
    if (!fft)
        return;
    free(fft->cosine);
    free(fft->sine);
    free(fft->reversed);
    free(fft);
}

static void reorder(const struct toc_fft *fft, double *re, double *im)
{
    for (size_t k = 0; k < fft->n; k++) {
        const size_t other = fft->reversed[k];
        if (other <= k)
            continue;
        const double re_k = re[k], im_k = im[k];
        re[k] = re[other];
        im[k] = im[other];
        re[other] = re_k;
        im[other] = im_k;
    }
}

static void butterflies(const struct toc_fft *fft, size_t half, double *re, double *im)
{
    const size_t stride = fft->n / (2 * half);
    for (size_t block = 0; block < fft->n; block += 2 * half) {
        for (size_t k = 0; k < half; k++) {
            const double c = fft->cosine[k * stride], s = -fft->sine[k * stride];
            const size_t a = block + k, b = a + half;
            const double br = re[b] * c - im[b] * s, bi = re[b] * s + im[b] * c;
            re[b] = re[a] - br;
            im[b] = im[a] - bi;
            re[a] += br;
            im[a] += bi;
        }
    }
}

void toc_fft_run(const struct toc_fft *fft, bool inverse, double *re, double *im)
{
    double *first = inverse ? im : re, *second = inverse ? re : im;

    reorder(fft, first, second);
    for (size_t half = 1; half < fft->n; half *= 2)
        butterflies(fft, half, first, second);
    if (!inverse)
        return;
    const double factor = 1.0 / (double)fft->n;
    for (size_t k = 0; k < fft->n; k++) {
        re[k] *= factor;
        im[k] *= factor;
    }
}
