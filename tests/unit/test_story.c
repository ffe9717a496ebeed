/*
 * The teller of the demo: does it know the truth, does its map show places where they are, and does it judge as it
 * should: a demo that passes without an alert is worth nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/geo.h"
#include "tests/sim/scenario.h"
#include "tests/sim/story_map.h"
#include "tests/sim/story_tell.h"
#include "tests/sim/story_truth.h"

#define MOVED_NS (INT64_C(86400) * TOC_NS_PER_S + 340 * TOC_NS_PER_MS)

struct made {
    char directory[64];
    struct toc_scenario *scenario;
    struct toc_story story;
};

static void remove_files(const char *directory)
{
    static const char *const names[] = {"waveforms.mseed", "stations.txt", "events.csv", "picks.csv"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        unlink(path);
    }
    rmdir(directory);
}

static int make(void **state)
{
    struct made *made = calloc(1, sizeof *made);
    struct toc_scenario_options options;
    char why[160];
    assert_non_null(made);
    toc_scenario_defaults(&options);
    options.seed = 11;
    options.n_sites = 9;
    options.n_events = 2;
    options.magnitude = 6.1;
    options.duration_s = 30.0;
    options.first_origin_s = 5.0;
    assert_int_equal(toc_scenario_create(&options, &made->scenario, why, sizeof why), 0);
    strcpy(made->directory, "/tmp/toc_story_XXXXXX");
    assert_non_null(mkdtemp(made->directory));
    assert_int_equal(toc_scenario_write(made->scenario, made->directory, false, 0.0), 0);
    assert_int_equal(toc_story_read(made->directory, MOVED_NS, &made->story), 0);
    *state = made;
    return 0;
}

static int unmake(void **state)
{
    struct made *made = *state;
    remove_files(made->directory);
    toc_story_finish(&made->story);
    toc_scenario_destroy(made->scenario);
    free(made);
    return 0;
}

/* The tables hold microseconds. */
static void assert_same_time(toc_ns a, toc_ns b)
{
    assert_true(llabs((long long)(a - b)) <= 1000);
}

static void test_truth_is_that_of_the_first_event_and_moved(void **state)
{
    const struct made *made = *state;
    const struct toc_scenario_event *event = &made->scenario->events[0];
    assert_same_time(made->story.origin, event->origin + MOVED_NS);
    assert_true(fabs(made->story.latitude_deg - event->latitude_deg) < 1e-4);
    assert_true(fabs(made->story.depth_km - event->depth_km) < 1e-2);
    assert_int_equal(made->story.n_sites, made->scenario->n_sites);
    for (size_t i = 0; i < made->scenario->n_sites; i++) {
        char sid[64];
        snprintf(sid, sizeof sid, "FDSN:SY_%s__H_H", made->scenario->sites[i].station);
        const struct toc_story_site *site = toc_story_site(&made->story, sid);
        assert_non_null(site);
        assert_same_time(site->p, made->scenario->arrivals[i].p + MOVED_NS);
        assert_same_time(site->s, made->scenario->arrivals[i].s + MOVED_NS);
    }
    assert_null(toc_story_site(&made->story, "FDSN:SY_T00__H_H"));
    assert_null(toc_story_site(&made->story, "FDSN:"));
}

static void test_front_is_at_a_target_when_s_is(void **state)
{
    const struct made *made = *state;
    static const double km[TOC_STORY_TARGETS] = {40.0, 80.0};
    for (size_t i = 0; i < TOC_STORY_TARGETS; i++) {
        const struct toc_story_target *target = &made->story.targets[i];
        assert_true(fabs(target->epicentral_km - km[i]) < 0.5);
        const double after_s = toc_s_from_ns(target->s - made->story.origin);
        assert_true(fabs(toc_story_front_km(&made->story, TOC_PHASE_S, after_s) - target->epicentral_km) < 0.01);
    }
    assert_true(toc_story_front_km(&made->story, TOC_PHASE_S, 0.0) == 0.0);
}

static void test_missing_and_damaged_tables_are_refused(void **state)
{
    const struct made *made = *state;
    struct toc_story story;
    char path[128];
    assert_int_equal(toc_story_read("/nonexistent/quake", 0, &story), -ENOENT);
    snprintf(path, sizeof path, "%s/events.csv", made->directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("time,lat,lon,depth_km,mag\n", file);
    fclose(file);
    assert_int_equal(toc_story_read(made->directory, 0, &story), -ENODATA);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("time,lat,lon,depth_km,mag\n2026-01-01T00:00:00Z,thirty,-118,10,6\n", file);
    fclose(file);
    assert_int_equal(toc_story_read(made->directory, 0, &story), -EBADMSG);
}

static size_t find_sign(const struct toc_story_map *map, char sign, size_t *ret_row)
{
    for (size_t r = 0; r < TOC_STORY_MAP_ROWS; r++) {
        const char *at = strchr(map->rows[r], sign);
        if (at) {
            *ret_row = r;
            return (size_t)(at - map->rows[r]);
        }
    }
    fail_msg("no %c on the map", sign);
    return 0;
}

/* Marks 50 km north, south, east and west of the middle one: rows and columns as the scale says. */
static void test_map_shows_places_where_they_are(void **state)
{
    (void)state;
    static const struct { double north, east; char sign; } around[] = {
        {0.0, 0.0, 'X'}, {50.0, 0.0, 'n'}, {-50.0, 0.0, 's'}, {0.0, 50.0, 'e'}, {0.0, -50.0, 'w'},
    };
    struct toc_story_mark marks[5];
    struct toc_story_map map;
    size_t row[5], column[5];
    for (size_t i = 0; i < 5; i++) {
        marks[i].sign = around[i].sign;
        toc_geo_offset(36.0, -118.0, around[i].north, around[i].east, &marks[i].latitude_deg, &marks[i].longitude_deg);
    }
    toc_story_map_draw(marks, 5, 25.0, '.', &map);
    for (size_t i = 0; i < 5; i++)
        column[i] = find_sign(&map, around[i].sign, &row[i]);
    assert_int_equal(row[1], 0);
    assert_int_equal(row[2], TOC_STORY_MAP_ROWS - 1);
    /* The middle lies between two rows, and the earth is not flat. */
    assert_true(labs((long)row[3] - (long)row[0]) <= 1 && labs((long)row[4] - (long)row[0]) <= 1);
    assert_true(column[3] > column[0] && column[4] < column[0]);
    assert_true(fabs((double)(column[3] - column[4]) * map.km_per_column - 100.0) <= map.km_per_column);
    /* The circle crosses the row of the middle half-way to the marks. */
    const char *left = strchr(map.rows[row[0]], '.');
    assert_non_null(left);
    const double radius_km = (double)(column[0] - (size_t)(left - map.rows[row[0]])) * map.km_per_column;
    assert_true(fabs(radius_km - 25.0) <= 1.5 * map.km_per_column);
}

/* ---- judging ---- */

struct hearing {
    struct toc_telling *telling;
    FILE *out;
    char *text;
    size_t size;
};

static void start_hearing(const struct toc_story *story, struct hearing *hearing)
{
    hearing->out = open_memstream(&hearing->text, &hearing->size);
    assert_non_null(hearing->out);
    assert_int_equal(toc_telling_create(story, hearing->out, false, &hearing->telling), 0);
}

static bool stop_hearing(struct hearing *hearing)
{
    const bool good = toc_telling_end(hearing->telling);
    toc_telling_destroy(hearing->telling);
    fclose(hearing->out);
    return good;
}

static void hear_event(struct hearing *hearing, const struct toc_story *story, const char *type, double north_km,
                       double after_s)
{
    char line[1024];
    double latitude, longitude;
    toc_geo_offset(story->latitude_deg, story->longitude_deg, north_km, 0.0, &latitude, &longitude);
    const int length = snprintf(line, sizeof line,
        "{\"schema\": \"tocsin/1\", \"type\": \"%s\", \"event\": \"one\", \"version\": 1, \"origin_time_ns\": %lld, "
        "\"latitude\": %.5f, \"longitude\": %.5f, \"depth_km\": 9.0, \"magnitude\": null, \"score\": 0.8, "
        "\"used_sites\": 4, \"reason\": \"why\", \"stations\": [{\"sid\": \"FDSN:SY_T001__H_H\"}], \"targets\": "
        "[{\"name\": \"Harbour\", \"mmi\": 5.25, \"mmi_sigma\": 1.0, \"seconds_left\": 3.5}]}",
        type, (long long)story->origin, latitude, longitude);
    assert_true(length > 0 && length < (int)sizeof line);
    assert_int_equal(toc_telling_message(hearing->telling, line, (size_t)length,
                                         story->origin + toc_ns_from_s(after_s)), 0);
}

static void test_only_an_alert_near_by_is_good(void **state)
{
    static const struct { const char *types[3]; double north_km; bool good; const char *says; } cases[] = {
        {{NULL}, 0.0, false, "missing: an alert"},
        {{"tentative", "update", "final"}, 0.0, false, "missing: an alert"},
        {{"alert"}, 45.0, true, "The alert came 8.0 s after the origin"},
        {{"alert", "update", "final"}, 5.0, true, "The alert came 8.0 s after the origin"},
        {{"alert"}, 55.0, false, "alerts about something else"},
        {{"alert", "update", "cancel"}, 5.0, false, "the alert was taken back"},
    };
    const struct made *made = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hearing hearing;
        start_hearing(&made->story, &hearing);
        for (size_t k = 0; k < 3 && cases[i].types[k]; k++)
            hear_event(&hearing, &made->story, cases[i].types[k], cases[i].north_km, 8.0 + (double)k);
        assert_int_equal(stop_hearing(&hearing), cases[i].good);
        assert_non_null(strstr(hearing.text, cases[i].says));
        free(hearing.text);
    }
}

static void test_moments_are_told_in_order_and_once(void **state)
{
    const struct made *made = *state;
    const struct toc_story *story = &made->story;
    struct hearing hearing;
    start_hearing(story, &hearing);
    assert_int_equal(toc_telling_moments(hearing.telling, story->origin - 1), story->origin);
    assert_true(toc_telling_moments(hearing.telling, story->origin) > story->origin);
    hear_event(&hearing, story, "alert", 0.0, 3.0);
    assert_false(toc_telling_is_over(hearing.telling));
    hear_event(&hearing, story, "final", 0.0, 4.0);
    assert_false(toc_telling_is_over(hearing.telling)); /* S has not come to the targets yet */
    assert_int_equal(toc_telling_moments(hearing.telling, story->targets[1].s), TOC_NS_NONE);
    assert_true(toc_telling_is_over(hearing.telling));
    assert_true(stop_hearing(&hearing));
    const char *origin = strstr(hearing.text, "the ground breaks"), *near = strstr(hearing.text, "S reaches Harbour"),
               *far = strstr(hearing.text, "S reaches Hospital");
    assert_true(origin && near && far && origin < near && near < far);
    assert_null(strstr(origin + 1, "the ground breaks"));
    assert_null(strchr(hearing.text, '\033'));
    free(hearing.text);
}

static void test_picks_are_held_against_the_true_arrivals(void **state)
{
    const struct made *made = *state;
    const struct toc_story_site *site = &made->story.sites[3];
    /* 's': said to be P at the time of S. */
    static const struct { char phase; double off_s; const char *says; } cases[] = {
        {'P', 0.1, "onset +0.10 s"},
        {'S', -0.25, "onset -0.25 s"},
        {'P', 2.5, "wrong: neither"},
        {'s', 0.1, "wrong: that was S"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hearing hearing;
        char line[256];
        const toc_ns truth = cases[i].phase == 'P' ? site->p : site->s;
        const int length = snprintf(line, sizeof line,
            "{\"type\": \"pick\", \"sid\": \"FDSN:%s__H_H\", \"phase\": \"%c\", \"time_ns\": %lld, \"revision\": 0}",
            site->name, cases[i].phase == 'S' ? 'S' : 'P', (long long)(truth + toc_ns_from_s(cases[i].off_s)));
        start_hearing(&made->story, &hearing);
        assert_int_equal(toc_telling_message(hearing.telling, line, (size_t)length, truth + 3 * TOC_NS_PER_S), 0);
        assert_false(stop_hearing(&hearing));
        assert_non_null(strstr(hearing.text, cases[i].says));
        free(hearing.text);
    }
}

static void test_rubbish_is_said_to_be_rubbish(void **state)
{
    static const char *const lines[] = {"", "{", "[1, 2]", "{\"type\": 5}", "\xff\xfe", "{\"schema\": \"tocsin/1\"}"};
    const struct made *made = *state;
    struct hearing hearing;
    start_hearing(&made->story, &hearing);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        assert_int_equal(toc_telling_message(hearing.telling, lines[i], strlen(lines[i]), made->story.origin),
                         -EBADMSG);
    /* An event that says nothing of itself is no alert. */
    const char empty[] = "{\"type\": \"alert\"}";
    assert_int_equal(toc_telling_message(hearing.telling, empty, sizeof empty - 1, made->story.origin), 0);
    assert_false(stop_hearing(&hearing));
    free(hearing.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_truth_is_that_of_the_first_event_and_moved, make, unmake),
        cmocka_unit_test_setup_teardown(test_front_is_at_a_target_when_s_is, make, unmake),
        cmocka_unit_test_setup_teardown(test_missing_and_damaged_tables_are_refused, make, unmake),
        cmocka_unit_test(test_map_shows_places_where_they_are),
        cmocka_unit_test_setup_teardown(test_only_an_alert_near_by_is_good, make, unmake),
        cmocka_unit_test_setup_teardown(test_moments_are_told_in_order_and_once, make, unmake),
        cmocka_unit_test_setup_teardown(test_picks_are_held_against_the_true_arrivals, make, unmake),
        cmocka_unit_test_setup_teardown(test_rubbish_is_said_to_be_rubbish, make, unmake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
