/*
 * Fuzz target: one record, any bytes. Beyond "no crash": what is accepted
 * must be what the header says and the same when asked again, and libmseed
 * must find the same samples bit for bit, or refuse the payload as we do.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/decode.h"
#include "tests/unit/libmseed_samples.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static float kept[65536];
static struct libmseed_samples theirs;

static void check_accepted(const uint8_t *data, size_t size, const struct toc_chunk *chunk)
{
    long length = toc_decode_record_length(data, size);
    MUST(length >= TOC_RECORD_MIN && (size_t)length <= size);
    MUST(chunk->n == ((uint32_t)data[30] << 8 | data[31]) || chunk->n == ((uint32_t)data[31] << 8 | data[30]));
    MUST(chunk->n >= 1 && chunk->n <= 65535);
    MUST(chunk->rate_hz >= 0.01 && chunk->rate_hz <= 10000);
    MUST(strncmp(chunk->sid, "FDSN:", 5) == 0 && strlen(chunk->sid) >= 13);
    MUST(chunk->start != TOC_NS_NONE);
    MUST(chunk->timing_quality >= -1 && chunk->timing_quality <= 100);
    /* All there, and readable (the sanitizer counts the bytes). */
    memcpy(kept, chunk->samples, chunk->n * sizeof(float));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct toc_decoder *decoder;
    struct toc_chunk first, second;
    if (!decoder) {
        MUST(toc_decoder_create(&decoder) == 0);
    }
    enum toc_decode_verdict verdict = toc_decode_record(decoder, data, size, &first);
    MUST(verdict >= TOC_DECODE_OK && verdict < TOC_DECODE_VERDICT_COUNT);
    if (verdict == TOC_DECODE_OK || verdict == TOC_DECODE_PAYLOAD) {
        libmseed_decode(data, &theirs);
        MUST(theirs.good == (verdict == TOC_DECODE_OK));
    }
    if (verdict == TOC_DECODE_OK) {
        MUST(theirs.n == (int)first.n && memcmp(theirs.samples, first.samples, first.n * sizeof(float)) == 0);
        check_accepted(data, size, &first);
        MUST(toc_decode_record(decoder, data, size, &second) == TOC_DECODE_OK);
        MUST(first.n == second.n && first.start == second.start);
        MUST(memcmp(kept, second.samples, first.n * sizeof(float)) == 0);
    }
    /* What a length is must not depend on how much more is there. */
    long length = toc_decode_record_length(data, size);
    for (size_t n = 0; n < size && n < 80; n++) {
        long early = toc_decode_record_length(data, n);
        MUST(early == 0 || early == length);
    }
    return 0;
}
