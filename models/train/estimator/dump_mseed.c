/*
 * miniSEED on stdin, decoded records on stdout, through the runtime's own
 * fence and decoder: what it refuses, training never sees. A filter for
 * models/train/estimator/records.py, not a converter: no merging, no
 * ordering, no metadata.
 *
 * Out, per good record, machine byte order: struct dump_head, then n float32.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/decode.h"

#define WINDOW (4 * TOC_RECORD_MAX)

struct dump_head {
    char sid[TOC_SID_SIZE];
    int64_t start_ns;
    double rate_hz;
    uint64_t n;
};

static int write_chunk(const struct toc_chunk *chunk)
{
    struct dump_head head = {.start_ns = chunk->start, .rate_hz = chunk->rate_hz, .n = chunk->n};

    memcpy(head.sid, chunk->sid, sizeof head.sid);
    return fwrite(&head, sizeof head, 1, stdout) == 1 &&
                   fwrite(chunk->samples, sizeof(float), chunk->n, stdout) == chunk->n
               ? 0
               : -1;
}

/* Bytes of `window` that are done with; 0: more are needed, -1: stdout is gone. */
static long take_one(struct toc_decoder *decoder, const uint8_t *window, size_t filled, unsigned long *refused)
{
    struct toc_chunk chunk;
    long len = toc_decode_record_length(window, filled);

    if (len < 0) {
        ++*refused;
        return TOC_RECORD_MIN < filled ? TOC_RECORD_MIN : (long)filled;
    }
    if (len == 0 || (size_t)len > filled)
        return 0;
    if (toc_decode_record(decoder, window, (size_t)len, &chunk) != TOC_DECODE_OK)
        ++*refused;
    else if (write_chunk(&chunk) < 0)
        return -1;
    return len;
}

int main(void)
{
    static uint8_t window[WINDOW];
    struct toc_decoder *decoder;
    size_t filled = 0, got;
    unsigned long refused = 0;
    long done = 0;

    if (toc_decoder_create(&decoder) < 0)
        return EXIT_FAILURE;
    while (done >= 0 && (got = fread(window + filled, 1, sizeof window - filled, stdin)) > 0) {
        size_t at = 0;

        filled += got;
        while (at < filled && (done = take_one(decoder, window + at, filled - at, &refused)) > 0)
            at += (size_t)done;
        memmove(window, window + at, filled - at);
        filled -= at;
    }
    toc_decoder_destroy(decoder);
    if (refused > 0)
        fprintf(stderr, "dump_mseed: %lu records refused\n", refused);
    return done < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
