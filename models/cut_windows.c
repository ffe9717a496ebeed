/*
 * The runtime's own front end as a pipe, so that a network is trained on
 * exactly what it will be shown: samples in, feature rows or motion steps
 * out, through core/filter.c and core/window.c and nothing else.
 *
 *   gcc -O3 -march=native -std=c11 -D_GNU_SOURCE -I. models/cut_windows.c core/filter.c core/window.c core/nstime.c \
 *       -lm -o cut_windows
 *
 *   cut_windows features < in > out
 *       in: blocks of uint32 n, n rows of 3 float32 (E, N, Z; NaN = missing), 100 Hz; out: n rows of 7 float32 each
 *
 * Little endian, every block with a fresh state, answered before the next is read.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/window.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the pipe format is the memory of a little-endian machine"
#endif

#define ROWS_MAX 10000000u
#define PIECE_ROWS 4096u
#define PIPE_BUFFER (1u << 20)

static int complain(const char *what, unsigned long block)
{
    fprintf(stderr, "cut_windows: block %lu: %s\n", block, what);
    return -EINVAL;
}

/* @return 1 a block follows, 0 clean end, -EINVAL */
static int read_count(unsigned long block, uint32_t *ret_n)
{
    uint32_t n;
    size_t got = fread(&n, 1, sizeof(n), stdin);

    if (got == 0 && feof(stdin))
        return 0;
    if (got != sizeof(n))
        return complain("cut short in its row count", block);
    if (n == 0 || n > ROWS_MAX)
        return complain("row count out of 1..10000000", block);
    *ret_n = n;
    return 1;
}

static int features_block(struct toc_features *features, uint32_t n, unsigned long block)
{
    static float in[PIECE_ROWS][TOC_COMPONENTS], out[PIECE_ROWS][TOC_FEATURES];

    toc_features_reset(features);
    for (uint32_t done = 0; done < n;) {
        uint32_t piece = n - done < PIECE_ROWS ? n - done : PIECE_ROWS;

        if (fread(in, sizeof(in[0]), piece, stdin) != piece)
            return complain("cut short in its rows", block);
        for (uint32_t i = 0; i < piece; i++)
            toc_features_push(features, in[i], out[i]);
        if (fwrite(out, sizeof(out[0]), piece, stdout) != piece)
            return complain("cannot write", block);
        done += piece;
    }
    return fflush(stdout) == 0 ? 0 : complain("cannot write", block);
}

static int features_mode(void)
{
    struct toc_features *features;
    uint32_t n;
    int rc = toc_features_create(&features);

    if (rc < 0)
        return rc;
    for (unsigned long block = 0; (rc = read_count(block, &n)) > 0; block++) {
        rc = features_block(features, n, block);
        if (rc < 0)
            break;
    }
    toc_features_destroy(features);
    return rc;
}

int main(int argc, char **argv)
{
    setvbuf(stdin, NULL, _IOFBF, PIPE_BUFFER);
    setvbuf(stdout, NULL, _IOFBF, PIPE_BUFFER);
    if (argc == 2 && strcmp(argv[1], "features") == 0)
        return features_mode() < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    fprintf(stderr, "usage: cut_windows features < in > out\n");
    return 2;
}
