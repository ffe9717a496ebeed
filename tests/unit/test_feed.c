/*
 * What the server plays: a directory read back in the order of arrival, moved in time
 * without a sample being touched, and damaged input refused or passed by.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/decode.h"
#include "tests/sim/feed.h"
#include "tests/sim/scenario.h"

static char directory[64];

static void path_in(const char *name, char path[128])
{
    snprintf(path, 128, "%s/%s", directory, name);
}

static int make_directory(void **state)
{
    struct toc_scenario_options options;
    struct toc_scenario *scenario = NULL;
    char why[160];
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/toc_feed_XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    toc_scenario_defaults(&options);
    options.n_sites = 3;
    options.duration_s = 40.0;
    options.first_origin_s = 10.0;
    int result = toc_scenario_create(&options, &scenario, why, sizeof why);
    if (result == 0)
        result = toc_scenario_write(scenario, directory, true, 0.0);
    toc_scenario_destroy(scenario);
    return result;
}

static int remove_directory(void **state)
{
    static const char *const names[] = {"waveforms.mseed", "a.mseed", "stations.txt", "events.csv", "picks.csv",
                                        "arrivals.csv"};
    char path[128];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        path_in(names[i], path);
        unlink(path);
    }
    rmdir(directory);
    return 0;
}

static void write_file(const char *name, const void *bytes, size_t len)
{
    char path[128];
    path_in(name, path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void arrivals_set_the_order(void **state)
{
    struct toc_feed feed;
    size_t turned = 0;
    (void)state;
    assert_int_equal(toc_feed_read(directory, 0.5, &feed), 0);
    assert_true(feed.n > 50);
    assert_int_equal(feed.n * 512, feed.len);
    for (size_t i = 1; i < feed.n; i++) {
        assert_true(feed.records[i].arrival >= feed.records[i - 1].arrival);
        turned += feed.records[i].at < feed.records[i - 1].at;
    }
    assert_true(turned > 0); /* the file is by end time: links differ, so some order must differ */
    toc_feed_finish(&feed);
}

static void latency_counts_without_arrivals(void **state)
{
    char path[128];
    struct toc_feed feed;
    (void)state;
    path_in("arrivals.csv", path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(toc_feed_read(directory, 2.25, &feed), 0);
    for (size_t i = 0; i < feed.n; i++)
        assert_int_equal(feed.records[i].arrival, feed.records[i].end + INT64_C(2250000000));
    toc_feed_finish(&feed);
}

/* Over a year's end, a leap day, and back in time. */
static void shifting_moves_headers_and_nothing_else(void **state)
{
    static const toc_ns shifts[] = {INT64_C(12345678900000000), -INT64_C(3600) * TOC_NS_PER_S - 100000,
                                    INT64_C(68256000) * TOC_NS_PER_S};
    struct toc_decoder *decoder = NULL;
    (void)state;
    assert_int_equal(toc_decoder_create(&decoder), 0);
    for (size_t s = 0; s < 3; s++) {
        struct toc_feed feed, before;
        assert_int_equal(toc_feed_read(directory, 0.5, &before), 0);
        assert_int_equal(toc_feed_read(directory, 0.5, &feed), 0);
        toc_feed_shift(&feed, shifts[s]);
        assert_int_equal(toc_feed_start(&feed), toc_feed_start(&before) + shifts[s]);
        for (size_t i = 0; i < feed.n; i++) {
            struct toc_chunk chunk;
            uint8_t *record = feed.bytes + feed.records[i].at;
            assert_int_equal(toc_decode_record(decoder, record, feed.records[i].length, &chunk), TOC_DECODE_OK);
            assert_int_equal(chunk.start, before.records[i].start + shifts[s]);
            assert_int_equal(feed.records[i].arrival, before.records[i].arrival + shifts[s]);
            assert_memory_equal(record + 30, before.bytes + before.records[i].at + 30, 512 - 30);
        }
        toc_feed_finish(&feed);
        toc_feed_finish(&before);
    }
    toc_decoder_destroy(decoder);
}

static void damage_is_passed_by_or_refused(void **state)
{
    struct toc_feed feed, untouched = {.n = 77};
    uint8_t rubbish[1000];
    (void)state;
    memset(rubbish, 'x', sizeof rubbish);
    assert_int_equal(toc_feed_read(directory, 0.5, &feed), 0);
    const size_t n = feed.n;
    toc_feed_finish(&feed);
    write_file("a.mseed", rubbish, 960); /* comes first by name */
    assert_int_equal(toc_feed_read(directory, 0.5, &feed), 0);
    assert_int_equal(feed.n, n);
    toc_feed_finish(&feed);

    static const char *const bad[] = {"record,arrival\n0\n", "record,arrival\n999999,2026-01-01T00:00:00Z\n",
                                      "record,arrival\n0,yesterday\n", ""};
    for (size_t i = 0; i < 4; i++) {
        write_file("arrivals.csv", bad[i], strlen(bad[i]));
        assert_int_equal(toc_feed_read(directory, 0.5, &untouched), -EBADMSG);
        assert_int_equal(untouched.n, 77);
    }
    assert_int_equal(toc_feed_read("/nonexistent", 0.5, &untouched), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(arrivals_set_the_order, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(latency_counts_without_arrivals, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(shifting_moves_headers_and_nothing_else, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(damage_is_passed_by_or_refused, make_directory, remove_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
