/*
 * The SeedLink feed against the test server over loopback: a link cut twenty
 * times, half-open links, rubbish, a server that is not there yet. Whatever
 * happens, the rings hold exactly the samples served, each once.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/decode.h"
#include "core/ring.h"
#include "daemon/feed.h"
#include "tests/sim/slserver.h"
#include "tests/unit/make_record.h"

#define STATIONS 3
#define CHANNELS 3
#define RECORDS 80 /* of each channel */
#define SAMPLES 100
#define ALL (STATIONS * CHANNELS * RECORDS)
#define PATIENCE_S 90 /* until a test is given up: not a measure of anything */

static const char *const station_names[STATIONS] = {"AAA", "BBB", "CCC"};
static const char *const channel_names[CHANNELS] = {"HHE", "HHN", "HHZ"};

struct bench {
    uv_loop_t loop;
    uv_timer_t watch;
    struct toc_slserver *server;
    struct toc_feed *feed;
    struct toc_decoder *decoder;
    struct toc_ring *rings[STATIONS * CHANNELS];
    struct toc_ring_counts counts;
    size_t records, wanted, refused;
    int seconds;
    bool stopped, gave_up;
    struct toc_feed_report last; /* as it was when the test stopped */
    void (*on_second)(struct bench *b);
};

static int32_t sample_of(int channel, long index)
{
    uint64_t seed = (uint64_t)(channel + 1) * 1000003u + (uint64_t)index * 7919u + 1;

    make_random(&seed);
    return (int32_t)(make_random(&seed) % 2001) - 1000;
}

static void serve_record(struct toc_slserver *server, int channel, int record)
{
    struct make_record spec = make_record_default();
    static uint8_t bytes[MAKE_RECORD_MAX];
    int32_t samples[SAMPLES];
    int length = 0;

    for (int i = 0; i < SAMPLES; i++)
        samples[i] = sample_of(channel, (long)record * SAMPLES + i);
    spec.sta = station_names[channel / CHANNELS];
    spec.cha = channel_names[channel % CHANNELS];
    spec.start_ns += (int64_t)record * SAMPLES * 10000000;
    spec.samples = samples;
    spec.n = SAMPLES;
    assert_int_equal(make_record(&spec, bytes, &length), SAMPLES);
    assert_int_equal(toc_slserver_add(server, bytes, (size_t)length), 0);
}

static int channel_of(const char *sid)
{
    for (int i = 0; i < STATIONS * CHANNELS; i++) {
        char expected[TOC_SID_SIZE];

        snprintf(expected, sizeof(expected), "FDSN:XX_%s_00_H_H_%c", station_names[i / CHANNELS],
                 channel_names[i % CHANNELS][2]);
        if (strcmp(sid, expected) == 0)
            return i;
    }
    return -1;
}

static void stop(struct bench *b)
{
    if (b->stopped)
        return;
    b->stopped = true;
    if (b->feed) {
        b->feed->ops->report(b->feed, &b->last);
        b->feed->ops->destroy(b->feed);
    }
    if (b->server)
        toc_slserver_close(b->server, NULL, NULL);
    uv_close((uv_handle_t *)&b->watch, NULL);
}

static void on_record(void *user, const uint8_t *bytes, size_t len, toc_ns arrival)
{
    struct bench *b = user;
    struct toc_ring_counts counts = {0};
    struct toc_chunk chunk;
    int channel;

    assert_true(arrival == TOC_NS_NONE);
    b->records++;
    if (toc_decode_record(b->decoder, bytes, len, &chunk) != TOC_DECODE_OK) {
        b->refused++;
        return;
    }
    channel = channel_of(chunk.sid);
    assert_true(channel >= 0);
    toc_ring_push(b->rings[channel], &chunk, &counts);
    b->counts.stored += counts.stored;
    b->counts.duplicate += counts.duplicate;
    b->counts.conflict += counts.conflict;
    b->counts.late += counts.late;
    if (b->counts.stored == b->wanted)
        stop(b);
}

static void on_watch(uv_timer_t *timer)
{
    struct bench *b = timer->data;

    if (b->on_second)
        b->on_second(b);
    if (++b->seconds > PATIENCE_S) {
        b->gave_up = true;
        stop(b);
    }
}

static void make_feed(struct bench *b, const char *host, int port)
{
    const struct toc_feed_sink sink = {.user = b, .record = on_record};
    struct toc_config_station stations[STATIONS] = {{.net = "XX", .sta = "AAA"},
                                                    {.net = "XX", .sta = "BBB", .select = "HH?.D"},
                                                    {.net = "XX", .sta = "CCC"}};
    struct toc_config_feed config = {.port = port, .stations = {.items = stations, .n = STATIONS}};
    const struct toc_inventory none = {0};
    char why[256] = "";

    snprintf(config.host, sizeof(config.host), "%s", host);
    if (toc_feed_seedlink_create(&b->loop, &config, &none, &sink, &b->feed, why, sizeof(why)) < 0)
        fail_msg("%s", why);
}

static void open_bench(struct bench *b, const struct toc_slserver_faults *faults, bool with_feed)
{
    struct toc_slserver_options options = {.from_start = true, .first_sequence = 0xFFFFF0, .faults = *faults};
    int port;

    *b = (struct bench){.wanted = (size_t)ALL * SAMPLES};
    assert_int_equal(uv_loop_init(&b->loop), 0);
    assert_int_equal(toc_decoder_create(&b->decoder), 0);
    for (int i = 0; i < STATIONS * CHANNELS; i++)
        assert_int_equal(toc_ring_create(2 * RECORDS * SAMPLES, &b->rings[i]), 0);
    assert_int_equal(toc_slserver_create(&b->loop, &options, &b->server), 0);
    for (int record = 0; record < RECORDS; record++)
        for (int channel = 0; channel < STATIONS * CHANNELS; channel++)
            serve_record(b->server, channel, record);
    port = toc_slserver_listen(b->server, 0);
    assert_true(port > 0);
    toc_slserver_start(b->server, TOC_NS_NONE);
    if (with_feed)
        make_feed(b, "127.0.0.1", port);
    uv_timer_init(&b->loop, &b->watch);
    b->watch.data = b;
    uv_timer_start(&b->watch, on_watch, 1000, 1000);
}

static void check_ring(struct bench *b, int channel)
{
    long index = 0;
    const float *samples;
    uint32_t n;
    toc_ns start;

    while (toc_ring_peek(b->rings[channel], &samples, &n, &start) == TOC_RING_SAMPLES) {
        for (uint32_t i = 0; i < n; i++, index++)
            if (samples[i] != (float)sample_of(channel, index))
                fail_msg("channel %d sample %ld differs", channel, index);
        toc_ring_consume(b->rings[channel], n);
    }
    assert_int_equal(index, (long)RECORDS * SAMPLES);
}

/* Run to the end; every sample is there, none came twice. */
static void run_bench(struct bench *b)
{
    uv_run(&b->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&b->loop), 0); /* nothing was left open */
    if (b->gave_up)
        fail_msg("%u of %zu samples after %d s", b->counts.stored, b->wanted, PATIENCE_S);
    assert_int_equal(b->counts.stored, b->wanted);
    assert_int_equal(b->counts.duplicate, 0);
    assert_int_equal(b->counts.conflict, 0);
    assert_int_equal(b->counts.late, 0);
    for (int i = 0; i < STATIONS * CHANNELS; i++) {
        check_ring(b, i);
        toc_ring_destroy(b->rings[i]);
    }
    toc_decoder_destroy(b->decoder);
}

static void check_healthy(void **state)
{
    const struct toc_slserver_faults none = {0};
    struct bench b;
    (void)state;

    open_bench(&b, &none, true);
    run_bench(&b);
    assert_int_equal(b.records, ALL);
}

static void check_twenty_cuts(void **state)
{
    const struct toc_slserver_faults faults = {.drop_after = 33, .drop_inside = true, .drop_times = 20};
    struct bench b;
    (void)state;

    open_bench(&b, &faults, true);
    run_bench(&b);
    assert_int_equal(b.records, ALL); /* resumed at the very next record each time */
    assert_int_equal(b.last.drops, 20);
}

static void check_one_byte(void **state)
{
    const struct toc_slserver_faults faults = {.one_byte = true};
    struct bench b;
    (void)state;

    open_bench(&b, &faults, true);
    run_bench(&b);
}

static void heal(struct bench *b)
{
    const struct toc_slserver_faults none = {0};
    struct toc_feed_report report;

    b->feed->ops->report(b->feed, &report);
    if (report.drops > 0 || (report.connects > 0 && strcmp(report.state, "backoff") == 0))
        toc_slserver_set_faults(b->server, &none);
}

/* Falls silent in the middle: found by silence alone, and nothing is lost. */
static void check_half_open(void **state)
{
    const struct toc_slserver_faults faults = {.silent_after = 100};
    struct bench b;
    (void)state;

    open_bench(&b, &faults, true);
    b.on_second = heal;
    run_bench(&b);
}

static void check_silent_greeting(void **state)
{
    const struct toc_slserver_faults faults = {.silent = true};
    struct bench b;
    (void)state;

    open_bench(&b, &faults, true);
    b.on_second = heal;
    run_bench(&b);
}

static void check_rubbish(void **state)
{
    const struct toc_slserver_faults faults = {.rubbish_after = 50};
    struct bench b;
    (void)state;

    open_bench(&b, &faults, true);
    run_bench(&b);
}

static void check_refused_station(void **state)
{
    const struct toc_slserver_faults faults = {.refuse = "XX.BBB"};
    struct bench b;
    (void)state;

    open_bench(&b, &faults, true);
    b.wanted = (size_t)(STATIONS - 1) * CHANNELS * RECORDS * SAMPLES;
    uv_run(&b.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&b.loop), 0);
    assert_int_equal(b.counts.stored, b.wanted);
    for (int i = 0; i < STATIONS * CHANNELS; i++) {
        assert_true((toc_ring_end(b.rings[i]) == TOC_NS_NONE) == (i / CHANNELS == 1));
        toc_ring_destroy(b.rings[i]);
    }
    toc_decoder_destroy(b.decoder);
}

/* Nobody listens for two seconds, then the server comes up on that port. */
static int late_port;

static void come_up(struct bench *b)
{
    if (b->seconds == 2)
        assert_int_equal(toc_slserver_listen(b->server, late_port), late_port);
}

static int free_port(uv_loop_t *loop)
{
    struct sockaddr_storage address;
    int len = sizeof(address);
    struct sockaddr_in any;
    uv_tcp_t tcp;

    uv_ip4_addr("127.0.0.1", 0, &any);
    uv_tcp_init(loop, &tcp);
    assert_int_equal(uv_tcp_bind(&tcp, (const struct sockaddr *)&any, 0), 0);
    assert_int_equal(uv_tcp_getsockname(&tcp, (struct sockaddr *)&address, &len), 0);
    uv_close((uv_handle_t *)&tcp, NULL);
    uv_run(loop, UV_RUN_NOWAIT);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

static void check_late_server(void **state)
{
    const struct toc_slserver_options options = {.from_start = true};
    struct bench b = {.wanted = (size_t)ALL * SAMPLES};
    (void)state;

    assert_int_equal(uv_loop_init(&b.loop), 0);
    late_port = free_port(&b.loop);
    assert_int_equal(toc_decoder_create(&b.decoder), 0);
    for (int i = 0; i < STATIONS * CHANNELS; i++)
        assert_int_equal(toc_ring_create(2 * RECORDS * SAMPLES, &b.rings[i]), 0);
    assert_int_equal(toc_slserver_create(&b.loop, &options, &b.server), 0);
    for (int record = 0; record < RECORDS; record++)
        for (int channel = 0; channel < STATIONS * CHANNELS; channel++)
            serve_record(b.server, channel, record);
    toc_slserver_start(b.server, TOC_NS_NONE);
    make_feed(&b, "localhost", late_port);
    b.on_second = come_up;
    uv_timer_init(&b.loop, &b.watch);
    b.watch.data = &b;
    uv_timer_start(&b.watch, on_watch, 1000, 1000);
    run_bench(&b);
}

/* Destroyed in each of its states, the feed leaves nothing on the loop. */
static void check_destroy_any_time(void **state)
{
    (void)state;

    for (int turns = 0; turns < 40; turns++) {
        const struct toc_slserver_faults none = {0};
        struct bench b;

        open_bench(&b, &none, true);
        for (int i = 0; i < turns && !b.stopped; i++)
            uv_run(&b.loop, UV_RUN_NOWAIT);
        stop(&b);
        uv_run(&b.loop, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&b.loop), 0);
        for (int i = 0; i < STATIONS * CHANNELS; i++)
            toc_ring_destroy(b.rings[i]);
        toc_decoder_destroy(b.decoder);
    }
}

/* Without a list, all of the inventory is asked for, by instrument. */
static void check_from_inventory(void **state)
{
    static const char text[] = "XX|AAA|00|HHZ|1|2|0|0|0|-90|s|1|1|M/S|100|2000-01-01T00:00:00|\n"
                               "XX|AAA|00|HHN|1|2|0|0|0|0|s|1|1|M/S|100|2000-01-01T00:00:00|\n"
                               "XX|AAA||HNZ|1|2|0|0|0|-90|s|1|1|M/S|100|2000-01-01T00:00:00|\n"
                               "XX|BBB||EHZ|1|2|0|0|0|-90|s|1|1|M/S|100|2000-01-01T00:00:00|\n";
    struct toc_inventory inventory = {0};
    struct toc_parse_error error;
    const struct toc_config_feed config = {.port = 1, .host = "h"};
    const struct toc_feed_sink sink = {0};
    struct toc_feed_report report;
    struct toc_feed *feed;
    uv_loop_t loop;
    char why[256];
    (void)state;

    assert_int_equal(toc_inventory_parse_text(text, strlen(text), &inventory, &error), 0);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(toc_feed_seedlink_create(&loop, &config, &inventory, &sink, &feed, why, sizeof(why)), 0);
    feed->ops->report(feed, &report);
    assert_int_equal(report.stations_asked, 2);
    feed->ops->destroy(feed);
    toc_inventory_finish(&inventory);
    assert_int_equal(toc_feed_seedlink_create(&loop, &config, &inventory, &sink, &feed, why, sizeof(why)), -ENOENT);
    assert_non_null(strstr(why, "no station"));
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_healthy),         cmocka_unit_test(check_twenty_cuts),
        cmocka_unit_test(check_one_byte),        cmocka_unit_test(check_half_open),
        cmocka_unit_test(check_silent_greeting), cmocka_unit_test(check_rubbish),
        cmocka_unit_test(check_refused_station), cmocka_unit_test(check_late_server),
        cmocka_unit_test(check_destroy_any_time), cmocka_unit_test(check_from_inventory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
