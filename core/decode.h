/*
 * miniSEED 2 record -> chunk, behind a structural fence: a record that lies
 * about its length, sample count, encoding, blockette chain, rate or time is
 * named, counted by the caller and never decoded.
 *
 * Why our own and not libmseed: 2.19.8 reads past its buffer on forged
 * records (sample count, chain, exponent), allocates for each, and takes
 * twice the time. The tests hold every sample against it.
 */
#ifndef TOC_CORE_DECODE_H
#define TOC_CORE_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "core/types.h"

#define TOC_RECORD_MIN 128    /* bytes: blockette 1000 exponent 7 */
#define TOC_RECORD_MAX 65536  /* exponent 16 */

/* OK is 0; every other verdict is a reason, with a text, never silence. */
#define TOC_DECODE_VERDICTS(X)                                                                                     \
    X(OK, "ok")                                                                                                     \
    X(SHORT, "shorter than its header or its stated length")                                                        \
    X(NOT_MSEED, "not a miniSEED 2 data record")                                                                    \
    X(MSEED3, "miniSEED 3 is not read yet")                                                                         \
    X(TIME, "impossible start time")                                                                                \
    X(CODES, "station or channel codes out of the alphabet")                                                        \
    X(CHAIN, "blockette chain leads outside the record or backwards")                                               \
    X(NO_LENGTH, "no blockette 1000")                                                                               \
    X(LENGTH, "record length out of range or not the bytes given")                                                  \
    X(ENCODING, "encoding not supported")                                                                           \
    X(EMPTY, "no samples")                                                                                          \
    X(COUNT, "more samples than the payload can hold")                                                              \
    X(DATA_OFFSET, "data offset inside the header or past the end")                                                 \
    X(RATE, "sample rate out of 0.01..10000 Hz")                                                                    \
    X(PAYLOAD, "payload does not decode to the stated samples")

enum toc_decode_verdict {
#define X(name, text) TOC_DECODE_##name,
    TOC_DECODE_VERDICTS(X)
#undef X
    TOC_DECODE_VERDICT_COUNT
};

/** Static text of a verdict. */
const char *toc_decode_verdict_str(enum toc_decode_verdict verdict);

struct toc_decoder;

/** Scratch for one thread: samples of one record. The only allocation there is. @return 0 or -ENOMEM */
int toc_decoder_create(struct toc_decoder **ret_decoder);
void toc_decoder_destroy(struct toc_decoder *decoder);

/**
 * Decode one whole record.
 *
 * @param record     borrowed; `len` bytes, exactly the record (longer is LENGTH, unless a shorter record length is
 *                   stated and only padding follows: then the stated length counts)
 * @param ret_chunk  set on TOC_DECODE_OK; samples borrowed from the decoder until its next call
 */
enum toc_decode_verdict toc_decode_record(struct toc_decoder *decoder, const uint8_t *record, size_t len,
                                          struct toc_chunk *ret_chunk);

/**
 * Length of the miniSEED 2 record that starts at `bytes`, from blockette 1000.
 *
 * @return length in bytes; 0 when more bytes are needed to tell; -EBADMSG when this is no data record or none with a
 *         length (the caller moves on by its own rule)
 */
long toc_decode_record_length(const uint8_t *bytes, size_t len);

#endif
