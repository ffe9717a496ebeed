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
 *   cut_windows motion < in > out
 *       in: blocks of uint32 n, uint32 acceleration (0, 1), n rows of 3 float32 (SI units), n uint8 clipped;
 *       out: uint32 n / 10, then so many struct toc_motion_step of 10 float32
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

_Static_assert(sizeof(struct toc_motion_step) == 10 * sizeof(float), "motion steps are written as they lie in memory");

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

struct buffer {
    uint8_t *bytes;
    size_t size;
};

/* Grows with what really arrives, so that a lying row count costs nothing. */
static int buffer_read(struct buffer *buffer, size_t wanted)
{
    for (size_t have = 0; have < wanted;) {
        size_t piece;

        if (buffer->size == have) {
            size_t size = have ? 2 * have : PIPE_BUFFER;
            uint8_t *bytes = realloc(buffer->bytes, size);

            if (!bytes)
                return -ENOMEM;
            *buffer = (struct buffer){bytes, size};
        }
        piece = (wanted < buffer->size ? wanted : buffer->size) - have;
        if (fread(buffer->bytes + have, 1, piece, stdin) != piece)
            return -EIO;
        have += piece;
    }
    return 0;
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

static int steps_out(struct toc_motion *motion, const float *rows, const uint8_t *clipped, uint32_t n)
{
    uint32_t steps = n / TOC_STEP_SAMPLES; /* the block begins on a step */
    struct toc_motion_step step;

    if (fwrite(&steps, sizeof(steps), 1, stdout) != 1)
        return -EIO;
    for (uint32_t i = 0; i < n; i++)
        if (toc_motion_push(motion, i, rows + (size_t)i * TOC_COMPONENTS, clipped[i] != 0, &step) &&
            fwrite(&step, sizeof(step), 1, stdout) != 1)
            return -EIO;
    return fflush(stdout) == 0 ? 0 : -EIO;
}

static int motion_block(struct toc_motion *motion, struct buffer *buffer, uint32_t n, unsigned long block)
{
    size_t row_bytes = (size_t)n * TOC_COMPONENTS * sizeof(float);
    uint32_t acceleration;

    if (fread(&acceleration, sizeof(acceleration), 1, stdin) != 1)
        return complain("cut short in its head", block);
    if (acceleration > 1)
        return complain("acceleration is neither 0 nor 1", block);
    if (buffer_read(buffer, row_bytes + n) < 0)
        return complain("cut short in its rows, or no memory for them", block);
    toc_motion_reset(motion, acceleration == 1);
    if (steps_out(motion, (const float *)buffer->bytes, buffer->bytes + row_bytes, n) < 0)
        return complain("cannot write", block);
    return 0;
}

static int motion_mode(void)
{
    struct buffer buffer = {0};
    struct toc_motion *motion;
    uint32_t n;
    int rc = toc_motion_create(&motion);

    if (rc < 0)
        return rc;
    for (unsigned long block = 0; (rc = read_count(block, &n)) > 0; block++) {
        rc = motion_block(motion, &buffer, n, block);
        if (rc < 0)
            break;
    }
    toc_motion_destroy(motion);
    free(buffer.bytes);
    return rc;
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
    if (argc == 2 && strcmp(argv[1], "motion") == 0)
        return motion_mode() < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    fprintf(stderr, "usage: cut_windows features|motion < in > out\n");
    return 2;
}
