/*
 * The SeedLink client machine against scripted servers: what it asks, what
 * it makes of the answers, and that neither depends on how the bytes are cut.
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
#include "tests/unit/make_record.h"

#define HELLO_LINES "SeedLink v3.3 (2024.020)\r\nA place\r\n"

static const char *const bh_hh[] = {"BH?", "00HH?"};

/* GE.APE with two selectors and a resume point, IU.COLA plain. */
static const struct toc_slink_station two_stations[] = {
    {"GE", "APE", bh_hh, 2, 0x41},
    {"IU", "COLA", NULL, 0, -1},
};

static struct toc_slink *make(const struct toc_slink_station *stations, size_t n)
{
    struct toc_slink *slink = NULL;
    assert_int_equal(toc_slink_create(stations, n, &slink), 0);
    return slink;
}

/* What is to be sent, as text; marks it sent. */
static const char *take_output(struct toc_slink *slink)
{
    static char text[256];
    const uint8_t *bytes;
    size_t n;
    toc_slink_output(slink, &bytes, &n);
    assert_true(n < sizeof(text));
    memcpy(text, bytes, n);
    text[n] = '\0';
    toc_slink_sent(slink, n);
    return text;
}

static void feed_text(struct toc_slink *slink, const char *text)
{
    assert_int_equal(toc_slink_feed(slink, (const uint8_t *)text, strlen(text)), strlen(text));
}

static struct toc_slink_event expect(struct toc_slink *slink, enum toc_slink_event_type type, int line)
{
    struct toc_slink_event event = {.type = TOC_SLINK_EVENT_COUNT};
    if (!toc_slink_next(slink, &event) || event.type != type) {
        fail_msg("line %d: event \"%s\" expected, \"%s\" found", line, toc_slink_event_str(type),
                 toc_slink_event_str(event.type));
    }
    return event;
}
#define EXPECT(slink, name) expect(slink, TOC_SLINK_EVENT_##name, __LINE__)

static void assert_quiet(struct toc_slink *slink)
{
    struct toc_slink_event event = {.type = TOC_SLINK_EVENT_COUNT};
    assert_false(toc_slink_next(slink, &event));
    assert_int_equal(event.type, TOC_SLINK_EVENT_COUNT);
}

/* Through the handshake: every station says OK to all. */
static void shake_hands(struct toc_slink *slink)
{
    struct toc_slink_event event;
    toc_slink_connected(slink);
    assert_string_equal(take_output(slink), "HELLO\r\n");
    feed_text(slink, HELLO_LINES);
    EXPECT(slink, HELLO);
    while (toc_slink_state(slink) != TOC_SLINK_STREAMING) {
        assert_true(strlen(take_output(slink)) > 0);
        feed_text(slink, "OK\r\n");
        if (toc_slink_next(slink, &event)) {
            assert_int_equal(event.type, TOC_SLINK_EVENT_STATION_ACCEPTED);
        }
    }
    assert_string_equal(take_output(slink), "END\r\n");
    event = EXPECT(slink, STREAMING);
    assert_true(event.n_accepted > 0);
    assert_quiet(slink);
}

/* A packet at `to`. @return its bytes */
static size_t packet(const char *head, const char *net, const char *sta, int reclen, uint8_t *to)
{
    static int32_t samples[65536];
    struct make_record spec = make_record_default();
    int length = 0;
    spec.net = net, spec.sta = sta, spec.reclen = reclen;
    spec.samples = samples, spec.n = 65000, spec.encoding = 3;
    assert_int_equal(strlen(head), 8);
    memcpy(to, head, 8);
    assert_true(make_record(&spec, to + 8, &length) > 0);
    assert_int_equal(length, reclen);
    return (size_t)length + 8;
}

static void handshake_asks_and_waits(void **state)
{
    (void)state;
    struct toc_slink *slink = make(two_stations, 2);
    struct toc_slink_event event;
    assert_int_equal(toc_slink_state(slink), TOC_SLINK_DISCONNECTED);
    assert_string_equal(take_output(slink), "");
    toc_slink_connected(slink);
    assert_string_equal(take_output(slink), "HELLO\r\n");
    feed_text(slink, "SeedLink v3.3 (2024.020)\r\n");
    assert_quiet(slink);
    assert_string_equal(take_output(slink), ""); /* two lines, not one */
    feed_text(slink, "GEOFON\r\n");
    event = EXPECT(slink, HELLO);
    assert_string_equal(event.text, "SeedLink v3.3 (2024.020)");
    assert_string_equal(event.text2, "GEOFON");
    assert_int_equal(event.protocol_major, 3);
    assert_int_equal(event.protocol_minor, 0);

    static const char *const steps[] = {"STATION APE GE\r\n", "SELECT BH?\r\n", "SELECT 00HH?\r\n", "DATA 000042\r\n"};
    for (int i = 0; i < 4; i++) {
        assert_string_equal(take_output(slink), steps[i]);
        assert_quiet(slink);
        assert_string_equal(take_output(slink), ""); /* nothing before the answer */
        feed_text(slink, "OK\r\n");
        if (i < 3) {
            assert_quiet(slink);
        }
    }
    event = EXPECT(slink, STATION_ACCEPTED);
    assert_int_equal(event.station, 0);
    assert_string_equal(take_output(slink), "STATION COLA IU\r\n");
    feed_text(slink, "OK\r\n");
    assert_quiet(slink);
    assert_string_equal(take_output(slink), "DATA\r\n");
    feed_text(slink, "OK\r\n");
    event = EXPECT(slink, STATION_ACCEPTED);
    assert_int_equal(event.station, 1);
    assert_string_equal(take_output(slink), "END\r\n");
    event = EXPECT(slink, STREAMING);
    assert_int_equal(event.n_accepted, 2);
    assert_quiet(slink);
    assert_int_equal(toc_slink_state(slink), TOC_SLINK_STREAMING);
    toc_slink_destroy(slink);
}

static void output_may_go_out_in_pieces(void **state)
{
    (void)state;
    struct toc_slink *slink = make(two_stations, 2);
    toc_slink_connected(slink);
    toc_slink_sent(slink, 3);
    assert_string_equal(take_output(slink), "LO\r\n");
    toc_slink_connected(slink);
    toc_slink_sent(slink, 999);
    assert_string_equal(take_output(slink), "");
    toc_slink_destroy(slink);
}

static void resume_wraps_at_24_bits(void **state)
{
    (void)state;
    static const struct {
        int32_t last;
        const char *command;
    } cases[] = {{-1, "DATA\r\n"},
                 {0, "DATA 000001\r\n"},
                 {0xFFFFFF, "DATA 000000\r\n"},
                 {0xFFFFFE, "DATA FFFFFF\r\n"},
                 {0xABCDEF, "DATA ABCDF0\r\n"},
                 {-1, "DATA\r\n"}};
    struct toc_slink *slink = make(two_stations + 1, 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(toc_slink_acknowledge(slink, 0, cases[i].last), 0);
        assert_int_equal(toc_slink_resume(slink, 0), cases[i].last);
        toc_slink_connected(slink);
        take_output(slink);
        feed_text(slink, HELLO_LINES);
        EXPECT(slink, HELLO);
        take_output(slink);
        feed_text(slink, "OK\r\n");
        assert_quiet(slink);
        assert_string_equal(take_output(slink), cases[i].command);
        toc_slink_disconnected(slink);
        assert_string_equal(take_output(slink), "");
    }
    assert_int_equal(toc_slink_acknowledge(slink, 0, 0x1000000), -EINVAL);
    assert_int_equal(toc_slink_acknowledge(slink, 0, -2), -EINVAL);
    assert_int_equal(toc_slink_acknowledge(slink, 1, 5), -EINVAL);
    assert_int_equal(toc_slink_resume(slink, 1), -1);
    toc_slink_destroy(slink);
}

static void only_acknowledged_records_move_the_resume_point(void **state)
{
    (void)state;
    struct toc_slink *slink = make(two_stations, 2);
    static uint8_t bytes[1024];
    shake_hands(slink);
    size_t n = packet("SL000042", "GE", "APE", 512, bytes);
    toc_slink_feed(slink, bytes, n);
    struct toc_slink_event event = EXPECT(slink, RECORD);
    assert_int_equal(toc_slink_resume(slink, 0), 0x41);
    toc_slink_acknowledge(slink, event.station, (int32_t)event.sequence);
    assert_int_equal(toc_slink_resume(slink, 0), 0x42);
    assert_int_equal(toc_slink_resume(slink, 1), -1);
    toc_slink_disconnected(slink);
    toc_slink_connected(slink);
    assert_int_equal(toc_slink_resume(slink, 0), 0x42);
    toc_slink_destroy(slink);
}

static void refused_station_is_skipped(void **state)
{
    (void)state;
    struct toc_slink *slink = make(two_stations, 2);
    toc_slink_connected(slink);
    feed_text(slink, HELLO_LINES);
    EXPECT(slink, HELLO);
    feed_text(slink, "ERROR\r\n");
    struct toc_slink_event event = EXPECT(slink, STATION_REFUSED);
    assert_int_equal(event.station, 0);
    assert_string_equal(event.text, "ERROR");
    assert_string_equal(take_output(slink), "STATION COLA IU\r\n");
    feed_text(slink, "OK\r\nOK\r\n");
    EXPECT(slink, STATION_ACCEPTED);
    event = EXPECT(slink, STREAMING);
    assert_int_equal(event.n_accepted, 1);
    assert_false(toc_slink_accepted(slink, 0));
    assert_true(toc_slink_accepted(slink, 1));
    assert_false(toc_slink_accepted(slink, 2));
    toc_slink_destroy(slink);
}

static void all_refused_is_an_error(void **state)
{
    (void)state;
    struct toc_slink *slink = make(two_stations, 2);
    toc_slink_connected(slink);
    feed_text(slink, HELLO_LINES);
    EXPECT(slink, HELLO);
    feed_text(slink, "ERROR\r\n");
    EXPECT(slink, STATION_REFUSED);
    feed_text(slink, "OK\r\nERROR\r\n"); /* the second is refused at DATA */
    EXPECT(slink, STATION_REFUSED);
    EXPECT(slink, ERROR);
    assert_quiet(slink);
    assert_string_equal(take_output(slink), "");
    assert_int_equal(toc_slink_state(slink), TOC_SLINK_ENDED);
    toc_slink_destroy(slink);
}

static void refused_selectors(void **state)
{
    (void)state;
    struct toc_slink *slink = make(two_stations, 2);
    toc_slink_connected(slink);
    feed_text(slink, HELLO_LINES);
    EXPECT(slink, HELLO);
    feed_text(slink, "OK\r\nERROR\r\n"); /* BH? refused */
    struct toc_slink_event event = EXPECT(slink, SELECTOR_REFUSED);
    assert_int_equal(event.station, 0);
    assert_string_equal(event.text, "BH?");
    assert_string_equal(take_output(slink), "SELECT 00HH?\r\n");
    feed_text(slink, "OK\r\n");
    assert_quiet(slink);
    assert_string_equal(take_output(slink), "DATA 000042\r\n");

    toc_slink_connected(slink);
    feed_text(slink, HELLO_LINES);
    EXPECT(slink, HELLO);
    feed_text(slink, "OK\r\nERROR\r\nERROR\r\n"); /* both */
    EXPECT(slink, SELECTOR_REFUSED);
    event = EXPECT(slink, STATION_REFUSED);
    assert_int_equal(event.station, 0);
    assert_string_equal(take_output(slink), "STATION COLA IU\r\n");
    toc_slink_destroy(slink);
}

static void greetings(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        int minor; /* -1: refused */
    } cases[] = {
        {"SeedLink v4.0 (RingServer/4.5.3) :: SLPROTO:4.0 SLPROTO:3.1 CAP WS:13\r\nx\r\n", 1},
        {"SeedLink v3.1 (2020.075 RingServer) :: SLPROTO:3.1 CAP EXTREPLY NSWILDCARD BATCH\r\n\r\n", 1},
        {"SeedLink v2.9\nold server, bare line feeds\n", 0},
        {"seedlink v3.2\r\nGEOF\xC3\x96N\r\n", 0},
        {"SeedLink v4.0 :: SLPROTO:4.0 SLPROTO:4.1\r\nx\r\n", -1},
        {"SeedLink v3.0 :: SLPROTO:x SLPROTO:\r\nx\r\n", -1},
        {"SSH-2.0-OpenSSH_9.2\r\nx\r\n", -1},
        {"HTTP/1.1 400 Bad Request\r\n\r\n", -1},
        {"\r\n\r\n", -1},
    };
    struct toc_slink *slink = make(two_stations, 2);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        toc_slink_connected(slink);
        take_output(slink);
        feed_text(slink, cases[i].lines);
        if (cases[i].minor < 0) {
            assert_true(strlen(EXPECT(slink, PROTOCOL_ERROR).text) > 0);
            assert_quiet(slink);
            assert_int_equal(toc_slink_state(slink), TOC_SLINK_FAILED);
            continue;
        }
        struct toc_slink_event event = EXPECT(slink, HELLO);
        assert_int_equal(event.protocol_major, 3);
        assert_int_equal(event.protocol_minor, cases[i].minor);
        assert_string_equal(take_output(slink), "STATION APE GE\r\n");
        for (const char *c = event.text2; *c; c++) {
            assert_true(*c >= 0x20 && *c < 0x7f);
        }
    }
    toc_slink_destroy(slink);
}

static void rubbish_is_said_once_and_ends_it(void **state)
{
    (void)state;
    struct toc_slink *slink = make(two_stations, 2);
    char endless[300];
    memset(endless, 'S', sizeof(endless));
    static const char *const handshakes[] = {"MAYBE\r\n", "\r\n", "SL000001", "OKAY THEN THIS HAS NO END"};
    for (int i = 0; i < 3; i++) {
        toc_slink_connected(slink);
        feed_text(slink, HELLO_LINES);
        EXPECT(slink, HELLO);
        feed_text(slink, handshakes[i]);
        feed_text(slink, i == 2 ? "\r\n" : "OK\r\n");
        EXPECT(slink, PROTOCOL_ERROR);
        assert_quiet(slink);
        feed_text(slink, "OK\r\nOK\r\n");
        assert_quiet(slink);
        assert_string_equal(take_output(slink), "");
    }
    toc_slink_connected(slink);
    toc_slink_feed(slink, (const uint8_t *)endless, TOC_SLINK_LINE_MAX - 1);
    assert_quiet(slink);
    toc_slink_feed(slink, (const uint8_t *)endless, 1);
    EXPECT(slink, PROTOCOL_ERROR);

    static const char *const packets[] = {"XX000001", "SL00000G",       "SL-00001",
                                          "SLINF0  ", "OK\r\n\r\n\r\n", "\0\0\0\0\0\0\0\0"};
    for (int i = 0; i < 6; i++) {
        shake_hands(slink);
        toc_slink_feed(slink, (const uint8_t *)packets[i], 7);
        assert_quiet(slink);
        toc_slink_feed(slink, (const uint8_t *)packets[i] + 7, 1);
        EXPECT(slink, PROTOCOL_ERROR);
        assert_quiet(slink);
    }
    shake_hands(slink); /* and it works again */
    toc_slink_destroy(slink);
}

static void records_of_every_length(void **state)
{
    (void)state;
    static uint8_t bytes[65544];
    struct toc_slink *slink = make(two_stations, 2);
    shake_hands(slink);
    for (int bits = 7; bits <= 16; bits++) {
        const char *sta = bits % 2 ? "APE" : "COLA";
        size_t n = packet("SLabcdEF", bits % 2 ? "GE" : "IU", sta, 1 << bits, bytes);
        assert_int_equal(toc_slink_feed(slink, bytes, n - 1), n - 1);
        assert_quiet(slink);
        toc_slink_feed(slink, bytes + n - 1, 1);
        struct toc_slink_event event = EXPECT(slink, RECORD);
        assert_int_equal(event.station, bits % 2 ? 0 : 1);
        assert_int_equal(event.sequence, 0xabcdef);
        assert_int_equal(event.length, 1 << bits);
        assert_memory_equal(event.record, bytes + 8, event.length);
        assert_quiet(slink);
    }
    toc_slink_destroy(slink);
}

static void records_nobody_asked_for(void **state)
{
    (void)state;
    static uint8_t bytes[1024];
    struct toc_slink *slink = make(two_stations, 2);
    shake_hands(slink);
    static const char *const codes[][2] = {{"GE", "COLA"}, {"IU", "APE"}, {"G", "APE"}, {"GE", "APEX"}, {"IU", "COL"}};
    for (int i = 0; i < 5; i++) {
        size_t n = packet("SL000001", codes[i][0], codes[i][1], 512, bytes);
        toc_slink_feed(slink, bytes, n);
        assert_true(EXPECT(slink, RECORD).station == TOC_SLINK_NO_STATION);
    }
    toc_slink_destroy(slink);
}

static void info_is_told_apart(void **state)
{
    (void)state;
    static uint8_t bytes[4096];
    struct toc_slink *slink = make(two_stations, 2);
    assert_int_equal(toc_slink_keepalive(slink), -EAGAIN);
    shake_hands(slink);
    assert_int_equal(toc_slink_keepalive(slink), 0);
    assert_int_equal(toc_slink_keepalive(slink), -EAGAIN); /* the first still waits */
    assert_string_equal(take_output(slink), "INFO ID\r\n");
    size_t n = packet("SL000001", "GE", "APE", 512, bytes);
    n += packet("SLINFO *", "SL", "INFO", 512, bytes + n);
    n += packet("SLINFO  ", "SL", "INFO", 512, bytes + n);
    n += packet("SL000002", "GE", "APE", 512, bytes + n);
    toc_slink_feed(slink, bytes, n);
    EXPECT(slink, RECORD);
    struct toc_slink_event event = EXPECT(slink, INFO);
    assert_true(event.more);
    assert_int_equal(event.length, 512);
    assert_false(EXPECT(slink, INFO).more);
    assert_int_equal(EXPECT(slink, RECORD).sequence, 2);
    assert_int_equal(toc_slink_keepalive(slink), 0);
    toc_slink_destroy(slink);
}

static void server_ends_the_stream(void **state)
{
    (void)state;
    static uint8_t bytes[1024];
    struct toc_slink *slink = make(two_stations, 2);
    for (int i = 0; i < 2; i++) {
        shake_hands(slink);
        size_t n = packet("SL000001", "GE", "APE", 512, bytes);
        toc_slink_feed(slink, bytes, n);
        feed_text(slink, i ? "ERROR" : "END");
        EXPECT(slink, RECORD);
        if (i) {
            EXPECT(slink, ERROR);
        } else {
            EXPECT(slink, END);
        }
        assert_int_equal(toc_slink_state(slink), TOC_SLINK_ENDED);
        toc_slink_feed(slink, bytes, n);
        assert_quiet(slink);
        assert_int_equal(toc_slink_keepalive(slink), -EAGAIN);
    }
    toc_slink_destroy(slink);
}

/* A record that hides its length is handed on as 512 bytes, and what follows is still understood. */
static void record_without_a_length(void **state)
{
    (void)state;
    static uint8_t bytes[2048];
    struct toc_slink *slink = make(two_stations, 2);
    for (int lie = 0; lie < 4; lie++) {
        shake_hands(slink);
        size_t n = packet("SL000001", "GE", "APE", 512, bytes);
        uint8_t *record = bytes + 8;
        if (lie == 0) {
            memset(record, 'x', 512); /* no record at all */
        } else if (lie == 1) {
            record[46] = record[47] = 0; /* no blockettes */
        } else if (lie == 2) {
            record[44] = record[45] = 0; /* a chain far away: must not be waited for */
            record[46] = 0xEA, record[47] = 0x60;
        } else {
            record[54] = 200; /* exponent */
        }
        n += packet("SL000002", "GE", "APE", 512, bytes + n);
        toc_slink_feed(slink, bytes, n);
        assert_int_equal(EXPECT(slink, RECORD).length, 512);
        assert_int_equal(EXPECT(slink, RECORD).sequence, 2);
        assert_quiet(slink);
    }
    toc_slink_destroy(slink);
}

/* ---- how bytes are cut makes no difference ---- */

struct log {
    char text[65536];
    size_t n;
};

static void log_event(struct log *log, const struct toc_slink_event *event)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < event->length; i++) {
        sum = sum * 31 + event->record[i];
    }
    int n = snprintf(log->text + log->n, sizeof(log->text) - log->n, "%s %u %u %zu %u %d [%s] [%s]\n",
                     toc_slink_event_str(event->type), event->station, event->sequence, event->length, sum, event->more,
                     event->text, event->text2);
    assert_true(n > 0 && (size_t)n < sizeof(log->text) - log->n);
    log->n += (size_t)n;
}

/* piece 0: random sizes. */
static void play(struct toc_slink *slink, const uint8_t *bytes, size_t len, size_t piece, uint64_t *random,
                 struct log *log)
{
    struct toc_slink_event event;
    log->n = 0;
    log->text[0] = '\0';
    toc_slink_connected(slink);
    while (len > 0) {
        size_t size = piece ? piece : 1 + make_random(random) % (1u << make_random(random) % 14);
        size = size < len ? size : len;
        while (size > 0) {
            size_t took = toc_slink_feed(slink, bytes, size);
            assert_true(took > 0);
            bytes += took, len -= took, size -= took;
            while (toc_slink_next(slink, &event)) {
                log_event(log, &event);
            }
        }
    }
}

static size_t make_stream(uint64_t *random, uint8_t *to)
{
    static const char *const handshakes[] = {
        HELLO_LINES "OK\r\nOK\r\nOK\r\nOK\r\nOK\r\nOK\r\n",
        HELLO_LINES "ERROR\r\nOK\r\nOK\r\n",
        HELLO_LINES "OK\r\nERROR\r\nERROR\r\nOK\nOK\n",
        HELLO_LINES "OK\r\nERROR\r\nOK\r\nOK\r\nOK\r\nERROR\r\n",
        HELLO_LINES "ERROR\r\nERROR\r\n",
        "SeedLink v4 :: SLPROTO:4.0\r\n\r\n",
        HELLO_LINES "WHAT\r\n",
    };
    uint64_t which = make_random(random) % 12;
    const char *handshake = handshakes[which < 7 ? which : 0];
    size_t n = strlen(handshake);
    memcpy(to, handshake, n);
    for (int i = 0; i < 8; i++) {
        char head[16];
        snprintf(head, sizeof(head), "SL%06X", (unsigned)(make_random(random) & 0xFFFFFF));
        bool info = make_random(random) % 5 == 0;
        size_t size = packet(info ? "SLINFO *" : head, i % 3 ? "GE" : "IU", i % 2 ? "APE" : "COLA",
                             128 << make_random(random) % 10, to + n);
        if (make_random(random) % 6 == 0) { /* damage */
            to[n + make_random(random) % 80] ^= (uint8_t)(1u << make_random(random) % 8);
        }
        n += size;
    }
    const char *tail = make_random(random) & 1 ? "END" : "ERROR\r\n";
    memcpy(to + n, tail, strlen(tail));
    return n + strlen(tail);
}

static void every_split_gives_the_same_events(void **state)
{
    (void)state;
    static uint8_t bytes[1 << 20];
    static struct log whole, split;
    uint64_t random = 7;
    int endings = 0;
    for (int run = 0; run < 150; run++) {
        struct toc_slink *slink = make(two_stations, 2);
        size_t n = make_stream(&random, bytes);
        play(slink, bytes, n, n, &random, &whole);
        assert_true(whole.n > 0);
        endings += strstr(whole.text, "\nend ") != NULL;
        play(slink, bytes, n, 1, &random, &split);
        assert_string_equal(whole.text, split.text);
        for (int i = 0; i < 3; i++) {
            play(slink, bytes, n, 0, &random, &split);
            assert_string_equal(whole.text, split.text);
        }
        toc_slink_destroy(slink);
    }
    assert_true(endings > 10); /* streams that were read to their end were among them */
}

static void create_refuses(void **state)
{
    (void)state;
    static const char *const smuggled[] = {"BH?\r\nBYE"};
    static const char *const long_pattern[] = {"!00BHZ.D.E.F"};
    static const char *const empty[] = {""};
    static const char *many[TOC_SLINK_SELECTORS_MAX + 1];
    for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++) {
        many[i] = "BHZ";
    }
    const struct {
        struct toc_slink_station station;
        int result;
    } cases[] = {
        {{"", "APE", NULL, 0, -1}, -EINVAL},
        {{"GE", "", NULL, 0, -1}, -EINVAL},
        {{"GEO", "APE", NULL, 0, -1}, -EINVAL},
        {{"GE", "APEAPE", NULL, 0, -1}, -EINVAL},
        {{"ge", "APE", NULL, 0, -1}, -EINVAL},
        {{"GE", "A E", NULL, 0, -1}, -EINVAL},
        {{"GE", "A\r\n", NULL, 0, -1}, -EINVAL},
        {{NULL, "APE", NULL, 0, -1}, -EINVAL},
        {{"GE", "APE", NULL, 0, 0x1000000}, -EINVAL},
        {{"GE", "APE", NULL, 0, -2}, -EINVAL},
        {{"GE", "APE", smuggled, 1, -1}, -EINVAL},
        {{"GE", "APE", long_pattern, 1, -1}, -EINVAL},
        {{"GE", "APE", empty, 1, -1}, -EINVAL},
        {{"GE", "APE", many, TOC_SLINK_SELECTORS_MAX + 1, -1}, -E2BIG},
        {{"GE", "APE", many, TOC_SLINK_SELECTORS_MAX, -1}, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct toc_slink *slink = NULL;
        assert_int_equal(toc_slink_create(&cases[i].station, 1, &slink), cases[i].result);
        assert_true((slink != NULL) == (cases[i].result == 0));
        toc_slink_destroy(slink);
    }
    struct toc_slink *slink = NULL;
    struct toc_slink_station twice[2] = {two_stations[0], two_stations[0]};
    assert_int_equal(toc_slink_create(twice, 2, &slink), -EINVAL);
    assert_int_equal(toc_slink_create(twice, 0, &slink), -EINVAL);
    assert_int_equal(toc_slink_create(twice, TOC_SLINK_STATIONS_MAX + 1, &slink), -E2BIG);
    assert_null(slink);
}

static void ten_thousand_stations(void **state)
{
    (void)state;
    static struct toc_slink_station stations[TOC_SLINK_STATIONS_MAX];
    static char codes[TOC_SLINK_STATIONS_MAX][6];
    static uint8_t bytes[1024];
    for (int i = 0; i < TOC_SLINK_STATIONS_MAX; i++) {
        snprintf(codes[i], sizeof(codes[i]), "S%04u", (unsigned)i * 7919 % 10000u);
        stations[i] = (struct toc_slink_station){"XX", codes[i], NULL, 0, -1};
    }
    struct toc_slink *slink = make(stations, TOC_SLINK_STATIONS_MAX);
    shake_hands(slink);
    for (uint32_t i = 0; i < TOC_SLINK_STATIONS_MAX; i += 997) {
        size_t n = packet("SL000001", "XX", codes[i], 128, bytes);
        toc_slink_feed(slink, bytes, n);
        assert_int_equal(EXPECT(slink, RECORD).station, i);
    }
    toc_slink_destroy(slink);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(toc_slink_state_str(TOC_SLINK_STREAMING), "streaming");
    assert_string_equal(toc_slink_state_str((enum toc_slink_state)99), "unknown state");
    for (int i = 0; i < TOC_SLINK_EVENT_COUNT; i++) {
        assert_true(strlen(toc_slink_event_str((enum toc_slink_event_type)i)) > 0);
    }
    assert_string_equal(toc_slink_event_str(TOC_SLINK_EVENT_COUNT), "unknown event");
    toc_slink_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshake_asks_and_waits),
        cmocka_unit_test(output_may_go_out_in_pieces),
        cmocka_unit_test(resume_wraps_at_24_bits),
        cmocka_unit_test(only_acknowledged_records_move_the_resume_point),
        cmocka_unit_test(refused_station_is_skipped),
        cmocka_unit_test(all_refused_is_an_error),
        cmocka_unit_test(refused_selectors),
        cmocka_unit_test(greetings),
        cmocka_unit_test(rubbish_is_said_once_and_ends_it),
        cmocka_unit_test(records_of_every_length),
        cmocka_unit_test(records_nobody_asked_for),
        cmocka_unit_test(info_is_told_apart),
        cmocka_unit_test(server_ends_the_stream),
        cmocka_unit_test(record_without_a_length),
        cmocka_unit_test(every_split_gives_the_same_events),
        cmocka_unit_test(create_refuses),
        cmocka_unit_test(ten_thousand_stations),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
