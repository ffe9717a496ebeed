/* See feed.h. */
#include "tests/sim/feed.h"

#include <errno.h>
#include <glob.h>
#include <libmseed.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/decode.h"

#define BYTES_MAX ((size_t)4 << 30)
#define HEADER_UNIT_NS INT64_C(100000) /* a record header counts tenths of milliseconds */

static int append_file(const char *path, struct toc_feed *feed)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return -errno;
    int result = 0;
    for (;;) {
        const size_t chunk = (size_t)1 << 20;
        if (feed->len > BYTES_MAX - chunk) {
            result = -E2BIG;
            break;
        }
        uint8_t *more = realloc(feed->bytes, feed->len + chunk);
        if (!more) {
            result = -ENOMEM;
            break;
        }
        feed->bytes = more;
        const size_t got = fread(feed->bytes + feed->len, 1, chunk, file);
        feed->len += got;
        if (got < chunk) {
            result = ferror(file) ? -EIO : 0;
            break;
        }
    }
    fclose(file);
    return result;
}

static int append_directory(const char *directory, struct toc_feed *feed)
{
    char pattern[4096];
    glob_t found;
    if (snprintf(pattern, sizeof pattern, "%s/*.mseed", directory) >= (int)sizeof pattern)
        return -ENAMETOOLONG;
    const int code = glob(pattern, 0, NULL, &found);
    if (code != 0)
        return code == GLOB_NOMATCH ? -ENOENT : code == GLOB_NOSPACE ? -ENOMEM : -EIO;
    int result = 0;
    for (size_t i = 0; result == 0 && i < found.gl_pathc; i++)
        result = append_file(found.gl_pathv[i], feed);
    globfree(&found);
    return result;
}

static int add_record(struct toc_feed *feed, size_t *room, const struct toc_feed_record *record)
{
    if (feed->n == *room) {
        const size_t more = *room ? 2 * *room : 4096;
        struct toc_feed_record *records = realloc(feed->records, more * sizeof *records);
        if (!records)
            return -ENOMEM;
        feed->records = records;
        *room = more;
    }
    feed->records[feed->n++] = *record;
    return 0;
}

static int index_records(struct toc_feed *feed, double latency_s)
{
    struct toc_decoder *decoder = NULL;
    size_t room = 0;
    toc_ns last = 0;
    int result = toc_decoder_create(&decoder);
    for (size_t at = 0; result == 0 && at < feed->len;) {
        const long length = toc_decode_record_length(feed->bytes + at, feed->len - at);
        if (length <= 0 || (size_t)length > feed->len - at) {
            at += 64;
            continue;
        }
        struct toc_feed_record record = {at, (size_t)length, TOC_NS_NONE, TOC_NS_NONE, last};
        struct toc_chunk chunk;
        if (toc_decode_record(decoder, feed->bytes + at, (size_t)length, &chunk) == TOC_DECODE_OK) {
            record.start = chunk.start;
            record.end = chunk.start + toc_ns_from_s((double)chunk.n / chunk.rate_hz);
            record.arrival = last = record.end + toc_ns_from_s(latency_s);
        }
        result = add_record(feed, &room, &record);
        at += (size_t)length;
    }
    toc_decoder_destroy(decoder);
    return result < 0 ? result : feed->n ? 0 : -ENOENT;
}

static int read_arrivals(const char *directory, struct toc_feed *feed)
{
    char path[4096], line[256];
    if (snprintf(path, sizeof path, "%s/arrivals.csv", directory) >= (int)sizeof path)
        return -ENAMETOOLONG;
    FILE *file = fopen(path, "rb");
    if (!file)
        return errno == ENOENT ? 0 : -errno;
    int result = fgets(line, sizeof line, file) ? 0 : -EBADMSG;
    while (result == 0 && fgets(line, sizeof line, file)) {
        unsigned long long number;
        char when[64];
        if (sscanf(line, "%llu,%63s", &number, when) != 2 || number >= feed->n ||
            toc_time_parse(when, &feed->records[number].arrival) < 0)
            result = -EBADMSG;
    }
    fclose(file);
    return result;
}

static int by_arrival(const void *left, const void *right)
{
    const struct toc_feed_record *a = left, *b = right;
    if (a->arrival != b->arrival)
        return a->arrival < b->arrival ? -1 : 1;
    return a->at < b->at ? -1 : a->at > b->at;
}

int toc_feed_read(const char *directory, double latency_s, struct toc_feed *ret_feed)
{
    struct toc_feed feed = {0};
    int result = append_directory(directory, &feed);
    if (result == 0)
        result = index_records(&feed, latency_s);
    if (result == 0)
        result = read_arrivals(directory, &feed);
    if (result < 0) {
        toc_feed_finish(&feed);
        return result;
    }
    qsort(feed.records, feed.n, sizeof *feed.records, by_arrival);
    *ret_feed = feed;
    return 0;
}

void toc_feed_finish(struct toc_feed *feed)
{
    if (!feed)
        return;
    free(feed->bytes);
    free(feed->records);
    *feed = (struct toc_feed){0};
}

static uint16_t get16(const uint8_t *bytes, bool little)
{
    return (uint16_t)(little ? bytes[0] | bytes[1] << 8 : bytes[0] << 8 | bytes[1]);
}

static void put16(uint8_t *bytes, bool little, uint16_t value)
{
    bytes[little ? 0 : 1] = (uint8_t)value;
    bytes[little ? 1 : 0] = (uint8_t)(value >> 8);
}

/* The header's time: year, day, hour, minute, second, spare byte, tenths of milliseconds, from byte 20 on. */
static void shift_header(uint8_t *header, toc_ns by)
{
    uint8_t *bytes = header + 20;
    const uint16_t big_year = get16(bytes, false);
    const bool little = big_year < 1900 || big_year > 2100;
    BTime time = {
        .year = get16(bytes, little),
        .day = get16(bytes + 2, little),
        .hour = bytes[4],
        .min = bytes[5],
        .sec = bytes[6],
        .fract = get16(bytes + 8, little),
    };
    if (ms_hptime2btime(ms_btime2hptime(&time) + by / 1000, &time) < 0)
        return;
    put16(bytes, little, time.year);
    put16(bytes + 2, little, time.day);
    bytes[4] = time.hour;
    bytes[5] = time.min;
    bytes[6] = time.sec;
    put16(bytes + 8, little, time.fract);
}

void toc_feed_shift(struct toc_feed *feed, toc_ns by)
{
    by -= by % HEADER_UNIT_NS;
    for (size_t i = 0; i < feed->n; i++) {
        struct toc_feed_record *record = &feed->records[i];
        record->arrival += by;
        if (record->start == TOC_NS_NONE)
            continue;
        record->start += by;
        record->end += by;
        shift_header(feed->bytes + record->at, by);
    }
}

toc_ns toc_feed_start(const struct toc_feed *feed)
{
    toc_ns start = TOC_NS_NONE;
    for (size_t i = 0; i < feed->n; i++) {
        const toc_ns one = feed->records[i].start;
        if (one != TOC_NS_NONE && (start == TOC_NS_NONE || one < start))
            start = one;
    }
    return start;
}
