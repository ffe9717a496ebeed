/*
 * Replay and the archive below it: the same bytes twice, arrivals in order and
 * from a table, rubbish stepped over, records of another century passed
 * without ticking through the years, and every bad input named.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "daemon/archive.h"
#include "daemon/feed.h"
#include "daemon/replay.h"
#include "tests/unit/make_record.h"

#define SECONDS 70
#define RATE 100
#define STATIONS 5
#define BASE INT64_C(1562261629040000000)

static char folder[64];

static const char *in_folder(const char *name)
{
    static char paths[8][160];
    static unsigned turn;
    char *path = paths[turn++ % 8];

    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void write_text(const char *name, const char *text)
{
    FILE *file = fopen(in_folder(name), "w");

    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void put_record(FILE *file, const char *sta, const char *cha, int64_t start, const int32_t *samples, int n)
{
    static uint8_t bytes[MAKE_RECORD_MAX];
    struct make_record spec = make_record_default();
    int length = 0;

    spec.sta = sta;
    spec.cha = cha;
    spec.loc = "";
    spec.reclen = 1024;
    spec.start_ns = start;
    spec.samples = samples;
    spec.n = n;
    assert_int_equal(make_record(&spec, bytes, &length), n);
    assert_int_equal(fwrite(bytes, 1, (size_t)length, file), length);
}

/* Noise, then an onset that moves over the stations at 6 km/s. */
static void write_station(int station)
{
    char name[32], file_name[32];
    uint64_t random = 7919u * (uint64_t)(station + 1);
    FILE *file;

    snprintf(name, sizeof(name), "S%d", station);
    snprintf(file_name, sizeof(file_name), "s%d.mseed", station);
    file = fopen(in_folder(file_name), "w");
    assert_non_null(file);
    for (int second = 0; second < SECONDS; second++)
        for (int c = 0; c < 3; c++) {
            const char cha[4] = {'H', 'H', "ENZ"[c], 0};
            int32_t samples[RATE];

            for (int i = 0; i < RATE; i++) {
                double t = second + (double)i / RATE - 45 - 1.0 * station;

                samples[i] = (int32_t)(make_random(&random) % 201) - 100;
                if (t > 0)
                    samples[i] += (int32_t)(3e5 * exp(-t / 8) * sin(2 * 3.141592653589793 * (4 + c) * t));
            }
            put_record(file, name, cha, BASE + (int64_t)second * 1000000000, samples, RATE);
        }
    fclose(file);
}

/* The classical picker: what the shipped network makes of these sines is not this test's business. */
static void write_good_config(void)
{
    write_text("tocsin.yaml", "models: {picker: none, estimator: none}\n");
}

static int make_folder(void **state)
{
    FILE *stations;
    (void)state;

    snprintf(folder, sizeof(folder), "/tmp/tocsin-replay-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    write_good_config();
    stations = fopen(in_folder("stations.txt"), "w");
    for (int i = 0; i < STATIONS; i++) {
        write_station(i);
        for (int c = 0; c < 3; c++)
            fprintf(stations, "XX|S%d||HH%c|%.4f|%.4f|0|0|%d|%d|s|400000000|1|M/S|100|2000-01-01T00:00:00|\n", i,
                    "ENZ"[c], 35 + 0.02 * (i % 2), -117 + 0.066 * i, c == 0 ? 90 : 0, c == 2 ? -90 : 0);
    }
    return fclose(stations);
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"stations.txt", "s0.mseed", "s1.mseed", "s2.mseed", "s3.mseed", "s4.mseed",
                                        "o1", "o2", "p1", "p2", "e1", "e2", "z.mseed", "arrivals.csv", "tocsin.yaml",
                                        "targets.yaml", "stations.xml"};
    (void)state;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unlink(in_folder(names[i]));
    return rmdir(folder);
}

static char *slurp(const char *name)
{
    struct toc_file file;

    assert_int_equal(toc_file_read(in_folder(name), 1 << 28, &file), 0);
    return file.bytes;
}

static int replay(const char *out, const char *picks, const char *estimates)
{
    const struct toc_replay_options options = {.folder = folder, .latency_s = 0.5, .quiet = true, .out = out,
                                               .picks = picks, .estimates = estimates};

    return toc_replay_run(&options);
}

static void must_equal(const char *a, const char *b, bool something)
{
    char *x = slurp(a), *y = slurp(b);

    assert_string_equal(x, y);
    assert_true(!something || x[0]);
    free(x);
    free(y);
}

static void check_twice_the_same(void **state)
{
    char *text, *line, *next;
    int64_t before = 0, seq = 0;
    (void)state;

    assert_int_equal(replay(in_folder("o1"), in_folder("p1"), in_folder("e1")), 0);
    assert_int_equal(replay(in_folder("o2"), in_folder("p2"), in_folder("e2")), 0);
    must_equal("o1", "o2", false);
    must_equal("p1", "p2", true);
    must_equal("e1", "e2", true);
    text = next = slurp("p1");
    while ((line = strsep(&next, "\n")) && *line) { /* numbered without holes, sent in order, all of it virtual */
        json_t *pick = json_loads(line, 0, NULL);
        int64_t sent = json_integer_value(json_object_get(pick, "sent_ns"));

        assert_int_equal(json_integer_value(json_object_get(pick, "seq")), ++seq);
        assert_true(sent >= before && sent < BASE + (SECONDS + 300) * INT64_C(1000000000));
        assert_true(sent >= json_integer_value(json_object_get(pick, "time_ns")));
        before = sent;
        json_decref(pick);
    }
    assert_true(seq >= STATIONS);
    free(text);
}

/* Picks by the classical picker; a network beside it that decides nothing: alerts and picks stay the same bytes. */
static void check_shadow(void **state)
{
    const char *root = getenv("TOCSIN_SOURCE");
    char model[512], *lines;
    struct toc_replay_options options = {.folder = folder, .latency_s = 0.5, .quiet = true, .out = in_folder("o1"),
                                         .picks = in_folder("p1"), .differences = in_folder("e1"), .shadow = model};
    (void)state;

    snprintf(model, sizeof(model), "%s/models/picker/weights.safetensors", root ? root : ".");
    write_text("tocsin.yaml", "models: {picker: none, second: none, estimator: none}\n"
                              "picker: {p_threshold: 0.0001}\n"); /* of these sines it thinks little */
    assert_int_equal(replay(in_folder("o2"), in_folder("p2"), NULL), 0);
    assert_int_equal(toc_replay_run(&options), 0);
    must_equal("o1", "o2", false);
    must_equal("p1", "p2", true);
    lines = slurp("e1");
    assert_non_null(strstr(lines, "\"type\":\"shadow\""));
    assert_non_null(strstr(lines, "\"verdict\":\"shadow_only\",\"live\":null,\"shadow\":{\"time\":"));
    assert_null(strstr(lines, "\"verdict\":\"live_only\"")); /* no network is live */
    free(lines);
    options.shadow = in_folder("stations.txt");
    assert_int_equal(toc_replay_run(&options), -EINVAL); /* no network */
    write_good_config();
}

static void check_bad_folders(void **state)
{
    const struct toc_replay_options missing = {.folder = "/nonexistent", .quiet = true};
    const struct toc_replay_options unwritable = {.folder = folder, .quiet = true, .out = "/nonexistent/x"};
    const struct toc_replay_options full = {.folder = folder, .quiet = true, .out = "/dev/null", .picks = "/dev/full"};
    (void)state;

    assert_int_equal(toc_replay_run(&missing), -ENOENT);
    assert_int_equal(toc_replay_run(&unwritable), -ENOENT);
    assert_int_equal(toc_replay_run(&full), -EIO); /* a full disk is no success */
    rename(in_folder("stations.txt"), in_folder("stations.xml"));
    assert_int_equal(replay(in_folder("o1"), NULL, NULL), -ENOENT);
    rename(in_folder("stations.xml"), in_folder("stations.txt"));
    write_text("tocsin.yaml", "x: 1\n");
    assert_int_equal(replay(in_folder("o1"), NULL, NULL), -EINVAL);
    write_good_config();
    write_text("targets.yaml", "targets: [{name: a}]\n");
    assert_int_equal(replay(in_folder("o1"), NULL, NULL), -EINVAL);
    unlink(in_folder("targets.yaml"));
    write_text("arrivals.csv", "record,arrival\n99999,1\n");
    assert_int_equal(replay(in_folder("o1"), NULL, NULL), -EINVAL);
    unlink(in_folder("arrivals.csv"));
}

/* A forged record of 1971 and one of 2090 beside the good ones. That this test ends at all is the point: at ten ticks
 * a second a century would take days. */
static void check_other_centuries(void **state)
{
    int32_t samples[RATE] = {1, 2, 3};
    FILE *file = fopen(in_folder("z.mseed"), "w");
    (void)state;

    put_record(file, "S0", "HHZ", INT64_C(31536000000000000), samples, RATE);
    put_record(file, "S0", "HHZ", INT64_C(3786912000000000000), samples, RATE);
    fclose(file);
    assert_int_equal(replay(in_folder("o2"), in_folder("p2"), NULL), 0);
    must_equal("p1", "p2", true); /* and they change no pick of the good ones */
    unlink(in_folder("z.mseed"));
}

/* ---- the archive ---- */

static void check_rubbish_is_stepped_over(void **state)
{
    struct toc_archive archive;
    char why[256], rubbish[640];
    int32_t samples[RATE] = {0};
    FILE *file = fopen(in_folder("z.mseed"), "w");
    (void)state;

    memset(rubbish, 'r', sizeof(rubbish));
    fwrite(rubbish, 1, 128, file);
    put_record(file, "A", "HHZ", BASE, samples, RATE);
    fwrite(rubbish, 1, 640, file);
    put_record(file, "A", "HHZ", BASE + 1000000000, samples, RATE);
    put_record(file, "A", "HHZ", BASE + 2000000000, samples, RATE);
    fflush(file);
    assert_int_equal(ftruncate(fileno(file), ftell(file) - 500), 0); /* the last one is cut off */
    fclose(file);
    assert_int_equal(toc_archive_load(in_folder("z.mseed"), &archive, why, sizeof(why)), 0);
    assert_int_equal(archive.n, 2);
    assert_int_equal(archive.skipped_bytes, 128 + 640 + 524);
    assert_int_equal(archive.undecodable, 0);
    assert_true(archive.records[1].start == BASE + 1000000000 && archive.records[1].end == BASE + 2000000000);
    toc_archive_finish(&archive);
    unlink(in_folder("z.mseed"));
}

/* A writer that died and went on: half a record, and the next one right behind it. Of five, four must be there. */
static void check_cut_inside(void **state)
{
    struct toc_archive archive;
    char why[256];
    int32_t samples[RATE];
    FILE *file = fopen(in_folder("z.mseed"), "w");
    (void)state;

    for (int i = 0; i < RATE; i++)
        samples[i] = i % 2 * 1000003; /* fills the record well past the cut */
    put_record(file, "A", "HHZ", BASE, samples, RATE);
    put_record(file, "A", "HHZ", BASE + 1000000000, samples, RATE);
    fflush(file);
    assert_int_equal(ftruncate(fileno(file), ftell(file) - 777), 0);
    fseek(file, 0, SEEK_END);
    for (int i = 2; i < 5; i++)
        put_record(file, "A", "HHZ", BASE + i * INT64_C(1000000000), samples, RATE);
    fclose(file);
    assert_int_equal(toc_archive_load(in_folder("z.mseed"), &archive, why, sizeof(why)), 0);
    assert_int_equal(archive.n, 5);
    assert_int_equal(archive.undecodable, 1);
    assert_int_equal(archive.skipped_bytes, 0);
    for (int i = 2; i < 5; i++)
        assert_true(archive.records[i].start == BASE + i * INT64_C(1000000000));
    toc_archive_finish(&archive);
    unlink(in_folder("z.mseed"));
}

static void check_order(void **state)
{
    struct toc_archive archive;
    char why[256];
    (void)state;

    assert_int_equal(toc_archive_load(folder, &archive, why, sizeof(why)), 0);
    assert_int_equal(archive.n, STATIONS * 3 * SECONDS);
    toc_archive_schedule(&archive, 250000000);
    for (size_t i = 0; i < archive.n; i++)
        assert_true(archive.records[i].arrival == archive.records[i].end + 250000000);
    for (size_t i = 1; i < archive.n; i++) {
        const struct toc_archived *a = &archive.records[i - 1], *b = &archive.records[i];

        assert_true(a->arrival < b->arrival || (a->arrival == b->arrival && a->order < b->order));
    }
    toc_archive_finish(&archive);
    assert_int_equal(toc_archive_load("/nonexistent", &archive, why, sizeof(why)), -ENOENT);
    assert_non_null(strstr(why, "/nonexistent"));
}

static void check_arrivals(void **state)
{
    static const char by_number[] = "# note\nrecord,arrival\n1,2019-07-04T18:00:00Z\n0,1562263200.5\n";
    static const char by_channel[] = "x,start,sid,arrival\r\n,2019-07-04T17:33:50.04Z,FDSN:XX_S1__H_H_Z,1562270000\r\n";
    static const struct {
        const char *text, *says;
    } bad[] = {{"a,b\n", "line 1: the first line must name"},
               {"record,arrival\n0\n", "line 2: too few columns"},
               {"record,arrival\n0,soon\n", "line 2: arrival is no time"},
               {"record,arrival\n0,nan\n", "line 2: arrival is no time"},
               {"record,arrival\n\n-1,1\n", "line 3: no such record"},
               {"record,arrival\nx,1\n", "line 2: no such record"},
               {"sid,start,arrival\nFDSN:XX_S1__H_H_Z,never,1\n", "line 2: start is no time"},
               {"sid,start,arrival\nFDSN:XX_S1__H_H_Z,2001-01-01T00:00:00Z,1\n", "line 2: no such record"}};
    struct toc_archive archive;
    char why[256];
    (void)state;

    assert_int_equal(toc_archive_load(folder, &archive, why, sizeof(why)), 0);
    toc_archive_schedule(&archive, 0);
    assert_int_equal(toc_archive_override(&archive, by_number, why, sizeof(why)), 0);
    assert_int_equal(archive.records[archive.n - 1].order, 0); /* half a second after record 1 */
    assert_int_equal(archive.records[archive.n - 2].order, 1);
    assert_true(archive.records[archive.n - 1].arrival == INT64_C(1562263200500000000));
    assert_int_equal(toc_archive_override(&archive, by_channel, why, sizeof(why)), 0);
    assert_string_equal(archive.records[archive.n - 1].sid, "FDSN:XX_S1__H_H_Z");
    assert_true(archive.records[archive.n - 1].start == BASE + 1000000000);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(toc_archive_override(&archive, bad[i].text, why, sizeof(why)), -EINVAL);
        if (!strstr(why, bad[i].says))
            fail_msg("'%s' lacks '%s'", why, bad[i].says);
    }
    toc_archive_finish(&archive);
}

/* ---- the same files as a feed ---- */

struct heard {
    struct toc_feed *feed;
    size_t records;
    toc_ns last;
    bool ended;
};

static void on_record(void *user, const uint8_t *bytes, size_t len, toc_ns arrival)
{
    struct heard *h = user;

    assert_non_null(bytes);
    assert_int_equal(len, 1024);
    assert_true(arrival >= h->last);
    assert_false(h->ended);
    h->last = arrival;
    h->records++;
}

static void on_ended(void *user)
{
    struct heard *h = user;

    h->ended = true;
    h->feed->ops->destroy(h->feed);
}

static void run_feed(double speed)
{
    struct heard h = {0};
    const struct toc_feed_sink sink = {.user = &h, .record = on_record, .ended = on_ended};
    struct toc_config_feed config = {.type = TOC_FEED_FILE, .speed = speed};
    uv_loop_t loop;
    char why[256] = "";

    snprintf(config.path, sizeof(config.path), "%s", folder);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(toc_feed_file_create(&loop, &config, &sink, &h.feed, why, sizeof(why)), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_true(h.ended);
    assert_int_equal(h.records, STATIONS * 3 * SECONDS);
}

static void check_file_feed(void **state)
{
    struct toc_config_feed config = {.type = TOC_FEED_FILE, .path = "/nonexistent"};
    const struct toc_feed_sink sink = {0};
    struct toc_feed *feed = NULL;
    uv_loop_t loop;
    char why[256];
    (void)state;

    run_feed(0);
    run_feed(100);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(toc_feed_file_create(&loop, &config, &sink, &feed, why, sizeof(why)), -ENOENT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_twice_the_same), cmocka_unit_test(check_bad_folders),
        cmocka_unit_test(check_other_centuries), cmocka_unit_test(check_rubbish_is_stepped_over),
        cmocka_unit_test(check_cut_inside),
        cmocka_unit_test(check_order),          cmocka_unit_test(check_arrivals),
        cmocka_unit_test(check_file_feed),
        cmocka_unit_test(check_shadow),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
