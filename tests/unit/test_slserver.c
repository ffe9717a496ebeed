/*
 * The SeedLink test server and our client machine over real sockets on
 * loopback: what was put in comes out, once, through drops and rubbish too.
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

#include "core/slink.h"
#include "tests/sim/slserver.h"
#include "tests/unit/make_record.h"

#define N_RECORDS 600
#define RECORD_NS INT64_C(1000000000)

struct peer;

struct bench {
    uv_loop_t loop;
    struct toc_slserver *server;
    int port;
    uv_timer_t watch;
    int patience; /* ticks of the watch until the test gives up */
    struct peer *peers[2];
    int n_peers;
    size_t wanted; /* records each peer waits for */
    bool stop_when_quiet;
};

/* A client: connects, talks through toc_slink, and connects again whenever the link goes. */
struct peer {
    struct bench *bench;
    uv_tcp_t tcp;
    uv_connect_t connect;
    bool open;
    struct toc_slink *slink;
    char in[5000];
    size_t n_got;
    uint32_t stations[4 * N_RECORDS], sequences[4 * N_RECORDS];
    uint32_t sums[4 * N_RECORDS];
    int connects, refused, infos, protocol_errors, ends;
};

static uint8_t records[N_RECORDS][512];
static const char *const station_names[] = {"AAA", "BBB", "CCC"};
static const char *const channels[] = {"HHZ", "HHN", "HHE"};

static uint32_t sum_of(const uint8_t *bytes, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum = sum * 31 + bytes[i];
    }
    return sum;
}

/* Records of three stations, three channels; the vertical has location 00, the others none. */
static int make_records(void **state)
{
    (void)state;
    static int32_t samples[200];
    for (int i = 0; i < N_RECORDS; i++) {
        struct make_record spec = make_record_default();
        int length = 0;
        spec.net = "XX", spec.sta = station_names[i % 3], spec.cha = channels[i / 3 % 3];
        spec.loc = i / 3 % 3 == 0 ? "00" : "";
        spec.start_ns += i / 9 * RECORD_NS;
        samples[0] = i;
        spec.samples = samples, spec.n = 100;
        uint8_t *to = malloc(MAKE_RECORD_MAX);
        if (make_record(&spec, to, &length) != 100 || length != 512) {
            free(to);
            return -1;
        }
        memcpy(records[i], to, 512);
        free(to);
    }
    return 0;
}

/* ---- the client over libuv ---- */

static void peer_connect(struct peer *peer);

static void on_peer_closed(uv_handle_t *handle)
{
    struct peer *peer = handle->data;
    peer->open = false;
    toc_slink_disconnected(peer->slink);
    if (peer->bench->patience > 0 && peer->n_got < peer->bench->wanted) {
        peer_connect(peer);
    }
}

static void hang_up(struct peer *peer)
{
    if (peer->open && !uv_is_closing((uv_handle_t *)&peer->tcp)) {
        uv_close((uv_handle_t *)&peer->tcp, on_peer_closed);
    }
}

static void send_output(struct peer *peer)
{
    const uint8_t *bytes;
    size_t n;
    toc_slink_output(peer->slink, &bytes, &n);
    if (n > 0 && !uv_is_closing((uv_handle_t *)&peer->tcp)) {
        uv_buf_t buf = uv_buf_init((char *)bytes, (unsigned)n);
        int sent = uv_try_write((uv_stream_t *)&peer->tcp, &buf, 1);
        toc_slink_sent(peer->slink, sent > 0 ? (size_t)sent : 0);
    }
}

static void on_event(struct peer *peer, const struct toc_slink_event *event)
{
    switch (event->type) {
    case TOC_SLINK_EVENT_RECORD:
        assert_true(peer->n_got < 4 * N_RECORDS);
        peer->stations[peer->n_got] = event->station;
        peer->sequences[peer->n_got] = event->sequence;
        peer->sums[peer->n_got++] = sum_of(event->record, event->length);
        toc_slink_acknowledge(peer->slink, event->station, (int32_t)event->sequence);
        break;
    case TOC_SLINK_EVENT_INFO:
        assert_int_equal(event->length, 512);
        assert_non_null(strstr((const char *)event->record + 64, "<seedlink"));
        peer->infos++;
        break;
    case TOC_SLINK_EVENT_STATION_REFUSED:
        peer->refused++;
        break;
    case TOC_SLINK_EVENT_PROTOCOL_ERROR:
        peer->protocol_errors++;
        hang_up(peer);
        break;
    case TOC_SLINK_EVENT_END:
    case TOC_SLINK_EVENT_ERROR:
        peer->ends++;
        hang_up(peer);
        break;
    default:
        break;
    }
}

static void on_peer_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    (void)suggested;
    struct peer *peer = handle->data;
    *ret_buf = uv_buf_init(peer->in, sizeof(peer->in));
}

static void on_peer_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct peer *peer = stream->data;
    struct toc_slink_event event;
    if (n < 0) {
        hang_up(peer);
        return;
    }
    assert_int_equal(toc_slink_feed(peer->slink, (const uint8_t *)buf->base, (size_t)n), n);
    while (toc_slink_next(peer->slink, &event)) {
        on_event(peer, &event);
    }
    send_output(peer);
}

static void on_peer_connected(uv_connect_t *request, int status)
{
    struct peer *peer = request->data;
    if (status < 0) {
        hang_up(peer);
        return;
    }
    toc_slink_connected(peer->slink);
    uv_read_start((uv_stream_t *)&peer->tcp, on_peer_alloc, on_peer_read);
    send_output(peer);
}

static void peer_connect(struct peer *peer)
{
    struct sockaddr_in address;
    uv_ip4_addr("127.0.0.1", peer->bench->port, &address);
    uv_tcp_init(&peer->bench->loop, &peer->tcp);
    peer->tcp.data = peer;
    peer->connect.data = peer;
    peer->open = true;
    peer->connects++;
    assert_int_equal(uv_tcp_connect(&peer->connect, &peer->tcp, (const struct sockaddr *)&address, on_peer_connected),
                     0);
}

static struct peer *add_peer(struct bench *bench, const struct toc_slink_station *stations, size_t n)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    assert_non_null(peer);
    peer->bench = bench;
    assert_int_equal(toc_slink_create(stations, n, &peer->slink), 0);
    bench->peers[bench->n_peers++] = peer;
    peer_connect(peer);
    return peer;
}

/* ---- the bench ---- */

static bool all_have_all(const struct bench *bench)
{
    for (int i = 0; i < bench->n_peers; i++) {
        if (bench->peers[i]->n_got < bench->wanted) {
            return false;
        }
    }
    return true;
}

/* Ends the run when all is there, or after 20 s; the clock is only the safety net. */
static void on_watch(uv_timer_t *timer)
{
    struct bench *bench = timer->data;
    if (--bench->patience <= 0 || all_have_all(bench)) {
        bench->patience = 0;
        uv_stop(&bench->loop);
    }
}

static void bench_start(struct bench *bench, const struct toc_slserver_options *options)
{
    memset(bench, 0, sizeof(*bench));
    uv_loop_init(&bench->loop);
    uv_timer_init(&bench->loop, &bench->watch);
    bench->watch.data = bench;
    bench->patience = 4000;
    bench->wanted = N_RECORDS;
    assert_int_equal(toc_slserver_create(&bench->loop, options, &bench->server), 0);
    for (int i = 0; i < N_RECORDS; i++) {
        assert_int_equal(toc_slserver_add(bench->server, records[i], 512), 0);
    }
    bench->port = toc_slserver_listen(bench->server, 0);
    assert_true(bench->port > 0);
}

static void bench_run(struct bench *bench)
{
    uv_timer_start(&bench->watch, on_watch, 5, 5);
    uv_run(&bench->loop, UV_RUN_DEFAULT);
    uv_timer_stop(&bench->watch);
}

static void on_server_closed(void *data)
{
    *(bool *)data = true;
}

static void bench_finish(struct bench *bench)
{
    bool closed = false;
    bench->patience = 0;
    for (int i = 0; i < bench->n_peers; i++) {
        hang_up(bench->peers[i]);
    }
    uv_close((uv_handle_t *)&bench->watch, NULL);
    toc_slserver_close(bench->server, on_server_closed, &closed);
    uv_run(&bench->loop, UV_RUN_DEFAULT);
    assert_true(closed);
    for (int i = 0; i < bench->n_peers; i++) {
        toc_slink_destroy(bench->peers[i]->slink);
        free(bench->peers[i]);
    }
    assert_int_equal(uv_loop_close(&bench->loop), 0);
}

static const struct toc_slink_station all[] = {
    {"XX", "AAA", NULL, 0, -1}, {"XX", "BBB", NULL, 0, -1}, {"XX", "CCC", NULL, 0, -1}};

/* Every record once, in order, unharmed. */
static void assert_complete(const struct peer *peer, uint32_t first_sequence)
{
    assert_int_equal(peer->n_got, N_RECORDS);
    for (uint32_t i = 0; i < N_RECORDS; i++) {
        assert_int_equal(peer->stations[i], i % 3);
        assert_int_equal(peer->sequences[i], (first_sequence + i / 3) & 0xFFFFFF);
        assert_int_equal(peer->sums[i], sum_of(records[i], 512));
    }
}

static void all_records_reach_all_clients(void **state)
{
    (void)state;
    struct bench bench;
    bench_start(&bench, &(struct toc_slserver_options){0});
    add_peer(&bench, all, 3);
    add_peer(&bench, all, 3);
    assert_int_equal(toc_slserver_counts(bench.server).released, 0);
    toc_slserver_start(bench.server, TOC_NS_NONE);
    bench_run(&bench);
    for (int i = 0; i < 2; i++) {
        assert_complete(bench.peers[i], 0);
        assert_int_equal(bench.peers[i]->connects, 1);
    }
    assert_true(toc_slserver_done(bench.server));
    struct toc_slserver_counts counts = toc_slserver_counts(bench.server);
    assert_int_equal(counts.sent, 2 * N_RECORDS);
    assert_int_equal(counts.clients, 2);
    assert_int_equal(toc_slserver_sequence(bench.server, 7), 2);
    bench_finish(&bench);
}

static void selectors_choose(void **state)
{
    (void)state;
    static const char *const vertical[] = {"HHZ"}, *const at_00[] = {"00???"}, *const blank[] = {"--HH?"},
                             *const but_north[] = {"!HHN"}, *const wrong[] = {"HHZZ"}, *const logs[] = {"HH?.L"};
    static const struct {
        const char *const *selectors;
        size_t wanted;
        int refused;
    } cases[] = {{vertical, N_RECORDS / 9, 0},
                 {at_00, N_RECORDS / 9, 0},
                 {blank, 2 * (N_RECORDS / 9), 0},
                 {but_north, 2 * (N_RECORDS / 9), 0},
                 {wrong, 0, 1},
                 {logs, 0, 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bench bench;
        struct toc_slink_station station = {"XX", "BBB", cases[i].selectors, 1, -1};
        bench_start(&bench, &(struct toc_slserver_options){.end_at_end = true});
        struct peer *peer = add_peer(&bench, &station, 1);
        bench.patience = cases[i].wanted ? 4000 : 20;
        toc_slserver_start(bench.server, TOC_NS_NONE);
        bench.wanted = cases[i].wanted ? cases[i].wanted : 1;
        bench_run(&bench);
        assert_true(peer->n_got / 3 == cases[i].wanted / 3);
        assert_true(peer->refused >= cases[i].refused);
        bench_finish(&bench);
    }
}

/* Twenty drops, half of them inside a record, over the wrap of the numbers: nothing lost, nothing twice. */
static void resume_through_twenty_drops(void **state)
{
    (void)state;
    for (int inside = 0; inside < 2; inside++) {
        struct bench bench;
        bench_start(&bench, &(struct toc_slserver_options){
                                .first_sequence = 0xFFFFC0,
                                .faults = {.drop_after = 25, .drop_inside = inside, .drop_times = 20}});
        struct peer *peer = add_peer(&bench, all, 3);
        toc_slserver_start(bench.server, TOC_NS_NONE);
        bench_run(&bench);
        assert_int_equal(toc_slserver_counts(bench.server).dropped, 20);
        assert_int_equal(peer->connects, 21);
        assert_complete(peer, 0xFFFFC0);
        bench_finish(&bench);
    }
}

static void rubbish_then_reconnect(void **state)
{
    (void)state;
    struct bench bench;
    bench_start(&bench, &(struct toc_slserver_options){.faults = {.rubbish_after = 100}});
    struct peer *peer = add_peer(&bench, all, 3);
    toc_slserver_start(bench.server, TOC_NS_NONE);
    bench_run(&bench);
    assert_complete(peer, 0);
    assert_true(peer->protocol_errors >= 5);
    bench_finish(&bench);
}

static void one_byte_at_a_time(void **state)
{
    (void)state;
    struct bench bench;
    bench_start(&bench, &(struct toc_slserver_options){.faults = {.one_byte = true}});
    struct peer *peer = add_peer(&bench, all, 3);
    bench.wanted = 60;
    toc_slserver_start(bench.server, TOC_NS_NONE);
    bench_run(&bench);
    assert_true(peer->n_got >= 60);
    assert_int_equal(peer->connects, 1);
    assert_int_equal(peer->protocol_errors, 0);
    for (uint32_t i = 0; i < 60; i++) {
        assert_int_equal(peer->sums[i], sum_of(records[i], 512));
    }
    bench_finish(&bench);
}

static void refused_and_unknown_stations(void **state)
{
    (void)state;
    struct toc_slink_station four[4] = {all[0], all[1], all[2], {"XX", "NOONE", NULL, 0, -1}};
    struct bench bench;
    bench_start(&bench, &(struct toc_slserver_options){.faults = {.refuse = "YY.AAA XX.BBB"}});
    struct peer *peer = add_peer(&bench, four, 4);
    bench.wanted = N_RECORDS / 3 * 2;
    toc_slserver_start(bench.server, TOC_NS_NONE);
    bench_run(&bench);
    assert_int_equal(peer->n_got, N_RECORDS / 3 * 2);
    assert_int_equal(peer->refused, 2);
    for (size_t i = 0; i < peer->n_got; i++) {
        assert_int_not_equal(peer->stations[i], 1);
    }
    bench_finish(&bench);
}

static void keepalive_is_answered(void **state)
{
    (void)state;
    struct bench bench;
    bench_start(&bench, &(struct toc_slserver_options){0});
    struct peer *peer = add_peer(&bench, all, 3);
    toc_slserver_start(bench.server, TOC_NS_NONE);
    bench_run(&bench);
    assert_int_equal(peer->n_got, N_RECORDS);
    assert_int_equal(toc_slink_keepalive(peer->slink), 0);
    send_output(peer);
    for (int i = 0; i < 1000 && peer->infos == 0; i++) {
        uv_run(&bench.loop, UV_RUN_ONCE);
    }
    assert_int_equal(peer->infos, 1);
    assert_int_equal(toc_slserver_counts(bench.server).infos, 1);
    bench_finish(&bench);
}

static void silence_says_nothing_and_keeps_the_link(void **state)
{
    (void)state;
    struct bench bench;
    bench_start(&bench, &(struct toc_slserver_options){.faults = {.silent_after = 40}});
    struct peer *peer = add_peer(&bench, all, 3);
    toc_slserver_start(bench.server, TOC_NS_NONE);
    bench.patience = 40;
    bench_run(&bench);
    assert_int_equal(peer->n_got, 40);
    assert_int_equal(peer->connects, 1);
    assert_true(peer->open);
    assert_int_equal(toc_slink_keepalive(peer->slink), 0);
    send_output(peer);
    bench.patience = 20;
    bench_run(&bench);
    assert_int_equal(peer->infos, 0);
    bench.patience = 4000; /* and it can find its voice again */
    toc_slserver_set_faults(bench.server, &(struct toc_slserver_faults){0});
    bench_run(&bench);
    assert_complete(peer, 0);
    bench_finish(&bench);
}

/* Paced: a thousand times real time, records leave by their own clock; a fresh client gets only what comes. */
static void paced_from_now(void **state)
{
    (void)state;
    struct bench bench;
    bench_start(&bench, &(struct toc_slserver_options){.speed = 200, .latency_s = 0.5});
    /* The first 300 records (33 s of data) are in the past already when the clock starts. */
    toc_ns origin = INT64_C(1562261629040000000) + 33 * RECORD_NS + RECORD_NS + RECORD_NS / 2 + RECORD_NS / 4;
    toc_slserver_start(bench.server, origin);
    size_t released = toc_slserver_counts(bench.server).released;
    assert_true(released >= 306 && released < N_RECORDS);
    struct peer *peer = add_peer(&bench, all, 3);
    bench.wanted = 200;
    bench_run(&bench);
    assert_true(peer->n_got >= 200);
    uint32_t first = peer->sequences[0];
    assert_true(first >= 306 / 3);
    for (size_t i = 3; i < peer->n_got; i++) {
        assert_int_equal(peer->sequences[i], peer->sequences[i - 3] + 1);
    }
    bench_finish(&bench);
}

static void added_buffer_is_cut_into_records(void **state)
{
    (void)state;
    struct bench bench;
    bench_start(&bench, &(struct toc_slserver_options){0});
    uint8_t *bytes = calloc(1, 512 * 4 + 100);
    memcpy(bytes, records[0], 512);
    memcpy(bytes + 1024, records[1], 1024); /* 512 bytes of nothing before */
    assert_int_equal(toc_slserver_add_all(bench.server, bytes, 512 * 4 + 100), 3);
    assert_int_equal(toc_slserver_add(bench.server, bytes + 512, 512), -EBADMSG);
    assert_int_equal(toc_slserver_add_at(bench.server, bytes + 512, 512, 0), -EBADMSG);
    assert_int_equal(toc_slserver_add_at(bench.server, bytes, 64, 0), -EBADMSG);
    assert_int_equal(toc_slserver_counts(bench.server).held, N_RECORDS + 3);
    free(bytes);
    bench_finish(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_records_reach_all_clients),
        cmocka_unit_test(selectors_choose),
        cmocka_unit_test(resume_through_twenty_drops),
        cmocka_unit_test(rubbish_then_reconnect),
        cmocka_unit_test(one_byte_at_a_time),
        cmocka_unit_test(refused_and_unknown_stations),
        cmocka_unit_test(keepalive_is_answered),
        cmocka_unit_test(silence_says_nothing_and_keeps_the_link),
        cmocka_unit_test(paced_from_now),
        cmocka_unit_test(added_buffer_is_cut_into_records),
    };
    return cmocka_run_group_tests(tests, make_records, NULL);
}
