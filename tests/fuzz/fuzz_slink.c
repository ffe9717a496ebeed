/*
 * Fuzz target: what a SeedLink server may send. The first byte says whether
 * the handshake is done for the fuzzer (bit 0) and how the bytes are cut; the
 * rest is the server's. The same bytes given whole and in pieces must make
 * the same events, the machine must stop after its one complaint, and what
 * it wants to send must be a command line.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/slink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static const char *const patterns[] = {"BH?", "00HHZ.D"};
static const struct toc_slink_station stations[] = {
    {"GE", "APE", patterns, 2, 0xFFFFFF}, {"XX", "TEST", NULL, 0, -1}, {"I", "A-1", patterns, 1, 5}};

/* Everything that is seen of a run, folded into one number (FNV-1a). */
struct trace {
    uint64_t hash;
    unsigned events, endings;
};

static void fold(struct trace *trace, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < n; i++) {
        trace->hash = (trace->hash ^ p[i]) * UINT64_C(1099511628211);
    }
}

static void check_output(const struct toc_slink *slink)
{
    const uint8_t *bytes;
    size_t n;
    toc_slink_output(slink, &bytes, &n);
    MUST(n == 0 || (n >= 2 && n < 64 && bytes[n - 1] == '\n' && bytes[n - 2] == '\r'));
    for (size_t i = 0; i + 2 < n; i++) {
        MUST(bytes[i] >= 0x20 && bytes[i] < 0x7f);
    }
}

static void see(struct toc_slink *slink, const struct toc_slink_event *event, struct trace *trace)
{
    MUST(event->type < TOC_SLINK_EVENT_COUNT);
    MUST(trace->endings == 0);
    MUST(event->text && event->text2 && strlen(event->text) <= TOC_SLINK_LINE_MAX);
    MUST(event->station < 3 || event->station == TOC_SLINK_NO_STATION);
    fold(trace, &event->type, sizeof(event->type));
    fold(trace, &event->station, sizeof(event->station));
    fold(trace, &event->sequence, sizeof(event->sequence));
    fold(trace, event->text, strlen(event->text));
    fold(trace, event->text2, strlen(event->text2));
    if (event->record) {
        MUST(event->length >= 128 && event->length <= 65536 && event->sequence <= TOC_SLINK_SEQUENCE_MASK);
        fold(trace, event->record, event->length);
    }
    trace->events++;
    trace->endings += event->type == TOC_SLINK_EVENT_END || event->type == TOC_SLINK_EVENT_ERROR ||
                      event->type == TOC_SLINK_EVENT_PROTOCOL_ERROR;
    if (event->type == TOC_SLINK_EVENT_RECORD && event->station != TOC_SLINK_NO_STATION) {
        MUST(toc_slink_acknowledge(slink, event->station, (int32_t)event->sequence) == 0);
    }
}

static void give(struct toc_slink *slink, const uint8_t *bytes, size_t len, size_t piece, struct trace *trace)
{
    struct toc_slink_event event;
    while (len > 0) {
        size_t size = len < piece ? len : piece;
        size_t took = toc_slink_feed(slink, bytes, size);
        MUST(took > 0 && took <= size);
        bytes += took;
        len -= took;
        while (toc_slink_next(slink, &event)) {
            see(slink, &event, trace);
            check_output(slink);
        }
        check_output(slink);
    }
}

static struct trace run(struct toc_slink *slink, const uint8_t *data, size_t size, bool greeted, size_t piece)
{
    static const char greeting[] = "SeedLink v3.1\r\nx\r\nOK\r\nOK\r\nOK\r\nOK\r\nOK\r\nOK\r\nOK\r\nOK\r\nOK\r\n";
    struct trace trace = {.hash = UINT64_C(14695981039346656037)};
    toc_slink_connected(slink);
    if (greeted) {
        give(slink, (const uint8_t *)greeting, sizeof(greeting) - 1, sizeof(greeting), &trace);
        MUST(toc_slink_state(slink) == TOC_SLINK_STREAMING);
    }
    give(slink, data, size, piece, &trace);
    return trace;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct toc_slink *slink;
    if (!slink) {
        MUST(toc_slink_create(stations, 3, &slink) == 0);
    }
    if (size < 1) {
        return 0;
    }
    bool greeted = data[0] & 1;
    size_t piece = 1 + (data[0] >> 1);
    struct trace whole = run(slink, data + 1, size - 1, greeted, size);
    struct trace split = run(slink, data + 1, size - 1, greeted, piece);
    MUST(whole.hash == split.hash && whole.events == split.events);
    toc_slink_disconnected(slink);
    return 0;
}
