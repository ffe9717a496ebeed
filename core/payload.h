/*
 * Payload of a miniSEED record -> float samples, for the encodings that live
 * feeds use, in both byte orders. Pure: bytes in, samples out, one pass,
 * nothing kept, nothing allocated. No byte sequence makes it read outside
 * the payload or write outside the room given.
 *
 * The formats: SEED reference manual 2.4, blockette 1000 field 3 (codes) and
 * appendix B (Steim). core/decode.c finds the payload and what it claims.
 */
#ifndef TOC_CORE_PAYLOAD_H
#define TOC_CORE_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The encodings that are read, with their SEED codes. */
enum toc_encoding {
    TOC_ENCODING_INT16 = 1,
    TOC_ENCODING_INT32 = 3,
    TOC_ENCODING_FLOAT32 = 4,
    TOC_ENCODING_FLOAT64 = 5,
    TOC_ENCODING_STEIM1 = 10,
    TOC_ENCODING_STEIM2 = 11
};

#define TOC_PAYLOAD_SLACK 3 /* floats behind the samples that may be written to: whole vectors are stored */

/** Samples that `len` bytes of payload can hold at most; 0 for an encoding that is not read, or too few bytes. */
size_t toc_payload_capacity(int encoding, size_t len);

/**
 * Decode `n` samples.
 *
 * Steim sums wrap at 32 bits; integers above 2^24 are rounded to the nearest float. A double past the range of float
 * becomes infinite, NaN stays NaN.
 *
 * @param bytes        borrowed, `len` of them, at any address
 * @param big_endian   byte order of the payload, which need not be the header's
 * @param ret_samples  room for n + TOC_PAYLOAD_SLACK; undefined when the payload is refused
 * @return 0; -EINVAL: n is 0 or above toc_payload_capacity(); -EBADMSG: Steim frames with fewer than n differences or
 *         with a form of difference that does not exist, or whose sum is not the last sample they state
 */
int toc_payload_decode(int encoding, const uint8_t *bytes, size_t len, bool big_endian, uint32_t n, float *ret_samples);

#endif
