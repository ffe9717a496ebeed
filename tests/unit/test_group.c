/* Groups: rows from three channels whatever the order of packets, with every wait bounded. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/group.h"

#define T0 (INT64_C(1500000000) * TOC_NS_PER_S)
#define G0 (T0 / TOC_GRID_NS)
#define ROWS 20000

struct row {
    int64_t index;
    float enz[TOC_COMPONENTS];
    bool clipped, restart;
};

struct bed {
    struct toc_inventory inventory;
    struct toc_stream_settings settings;
    struct toc_group *group;
    struct toc_stats stats;
    struct row rows[ROWS];
    uint32_t n;
};

static void open_bed(struct bed *b, const char *text)
{
    struct toc_parse_error error;
    struct toc_settings defaults = TOC_SETTINGS_DEFAULT;
    memset(b, 0, sizeof *b);
    b->settings = defaults.stream;
    assert_int_equal(toc_inventory_parse_text(text, strlen(text), &b->inventory, &error), 0);
    assert_int_equal(toc_group_create("FDSN:XX_AAA__H_H", &b->inventory, &b->settings, &b->group), 0);
}

static void close_bed(struct bed *b)
{
    toc_group_destroy(b->group);
    toc_inventory_finish(&b->inventory);
    free(b);
}

#define LINE(cha, az, dip, scale) "XX|AAA||" cha "|35|-117|0|0|" az "|" dip "||" scale "|1|M/S|100||\n"
#define ZNE LINE("HHZ", "0", "-90", "1000") LINE("HHN", "0", "0", "1000") LINE("HHE", "90", "0", "1000")

static struct bed *zne(void)
{
    struct bed *b = malloc(sizeof *b);
    open_bed(b, ZNE);
    return b;
}

/* Sample k (grid steps after T0) of a component: no two alike. */
static float value(char component, int64_t k)
{
    return (float)(k % 1000) + (component == 'Z' ? 10000 : component == 'N' ? 20000 : 30000);
}

static void push(struct bed *b, char component, int64_t from, int64_t to, double now_s)
{
    float samples[4000];
    struct toc_chunk chunk = {.start = T0 + from * TOC_GRID_NS, .rate_hz = 100, .n = (uint32_t)(to - from),
                              .samples = samples, .timing_quality = -1};
    snprintf(chunk.sid, sizeof chunk.sid, "FDSN:XX_AAA__H_H_%c", component);
    for (int64_t k = from; k < to; k++)
        samples[k - from] = value(component, k);
    toc_group_push(b->group, &chunk, T0 + toc_ns_from_s(now_s), &b->stats);
}

static void keep_rows(struct bed *b, const struct toc_rows *rows)
{
    for (uint32_t i = 0; i < rows->n; i++) {
        struct row *row = &b->rows[b->n++];
        *row = (struct row){.index = rows->first + i, .clipped = rows->clipped[i], .restart = i == 0 && rows->restart};
        for (int c = 0; c < TOC_COMPONENTS; c++)
            row->enz[c] = rows->enz[c][i];
        assert_true(b->n < ROWS);
    }
}

static uint32_t pull(struct bed *b, double now_s)
{
    uint32_t before = b->n;
    struct toc_rows rows;
    do {
        rows.n = 0;
        toc_group_pull(b->group, T0 + toc_ns_from_s(now_s), &rows, &b->stats);
        keep_rows(b, &rows);
    } while (rows.n > 0);
    return b->n - before;
}

static void rows_are(const struct bed *b, uint32_t row, int64_t from, int64_t to)
{
    for (int64_t k = from; k < to; k++, row++) {
        assert_int_equal(b->rows[row].index, G0 + k);
        assert_float_equal(b->rows[row].enz[TOC_Z], value('Z', k), 0);
        assert_float_equal(b->rows[row].enz[TOC_N], value('N', k), 0);
        assert_float_equal(b->rows[row].enz[TOC_E], value('E', k), 0);
    }
}

static void in_order(void **state)
{
    (void)state;
    struct bed *b = zne();
    push(b, 'Z', 0, 300, 3);
    push(b, 'N', 0, 200, 3);
    assert_int_equal(pull(b, 3), 0); /* E may still come */
    push(b, 'E', 0, 250, 3.5);
    assert_int_equal(pull(b, 3.5), 200);
    rows_are(b, 0, 0, 200);
    assert_true(b->rows[0].restart);
    assert_false(b->rows[1].restart);
    push(b, 'N', 200, 300, 4);
    push(b, 'E', 250, 300, 4);
    assert_int_equal(pull(b, 4), 100);
    rows_are(b, 200, 200, 300);
    close_bed(b);
}

static void late_records_are_put_in_order(void **state)
{
    (void)state;
    struct bed *b = zne();
    for (const char *c = "ZNE"; *c; c++)
        push(b, *c, 0, 100, 1);
    pull(b, 1);
    for (const char *c = "ZNE"; *c; c++)
        push(b, *c, 200, 300, 3);
    assert_int_equal(pull(b, 3), 0); /* the hole may be filled */
    for (const char *c = "ZNE"; *c; c++)
        push(b, *c, 100, 200, 4);
    assert_int_equal(pull(b, 4), 200);
    rows_are(b, 0, 0, 300);
    for (uint32_t i = 1; i < b->n; i++)
        assert_false(b->rows[i].restart);
    assert_int_equal(b->stats.gaps, 0);
    close_bed(b);
}

static void a_gap_is_passed_after_the_hold_and_restarts(void **state)
{
    (void)state;
    struct bed *b = zne();
    for (const char *c = "ZNE"; *c; c++) {
        push(b, *c, 0, 100, 1);
        push(b, *c, 200, 300, 3);
    }
    pull(b, 3);
    assert_int_equal(pull(b, 3 + b->settings.gap_hold_s - 0.1), 0);
    assert_int_equal(pull(b, 3 + b->settings.gap_hold_s + 0.1), 100);
    rows_are(b, 0, 0, 100);
    rows_are(b, 100, 200, 300);
    assert_true(b->rows[100].restart);
    assert_int_equal(b->stats.gaps, 3);
    close_bed(b);
}

static void a_short_gap_is_bridged_by_a_line(void **state)
{
    (void)state;
    struct bed *b = zne();
    for (const char *c = "ZNE"; *c; c++) {
        push(b, *c, 0, 100, 1);
        push(b, *c, 104, 200, 2);
    }
    pull(b, 2);
    pull(b, 2.1 + b->settings.gap_hold_s);
    assert_int_equal(b->n, 200);
    rows_are(b, 0, 0, 200); /* value() is a straight line there */
    assert_false(b->rows[104].restart);
    assert_int_equal(b->stats.gaps_bridged, 3);
    assert_int_equal(b->stats.gaps, 0);
    close_bed(b);
}

static void a_lagging_component_is_left_behind_once_and_comes_back(void **state)
{
    (void)state;
    struct bed *b = zne();
    for (const char *c = "ZNE"; *c; c++)
        push(b, *c, 0, 100, 1);
    pull(b, 1);
    push(b, 'Z', 100, 400, 4);
    push(b, 'N', 100, 400, 4);
    assert_int_equal(pull(b, 4), 0);
    assert_int_equal(pull(b, 4 + b->settings.align_wait_s - 0.1), 0);
    assert_int_equal(pull(b, 4 + b->settings.align_wait_s + 0.1), 300);
    assert_true(isnan(b->rows[150].enz[TOC_E]));
    assert_float_equal(b->rows[150].enz[TOC_Z], value('Z', 150), 0);
    assert_false(b->rows[100].restart);
    push(b, 'Z', 400, 500, 15);
    push(b, 'N', 400, 500, 15);
    assert_int_equal(pull(b, 15), 100); /* nobody waits a second time */
    for (const char *c = "EZN"; *c; c++)
        push(b, *c, 500, 600, 16);
    pull(b, 16);
    rows_are(b, 500, 500, 600);
    assert_true(toc_group_components(b->group) == 3);
    close_bed(b);
}

static void silence_between_packets_leaves_nobody_behind(void **state)
{
    (void)state;
    struct bed *b = zne();
    for (const char *c = "ZNE"; *c; c++)
        push(b, *c, 0, 100, 1);
    pull(b, 1);
    for (double now = 1; now < 60; now += 0.5)
        assert_int_equal(pull(b, now), 0);
    push(b, 'Z', 100, 200, 60);
    assert_int_equal(pull(b, 60), 0); /* N and E are still waited for */
    push(b, 'N', 100, 200, 60.5);
    push(b, 'E', 100, 200, 60.5);
    assert_int_equal(pull(b, 60.5), 100);
    rows_are(b, 0, 0, 200);
    close_bed(b);
}

static void horizontals_are_turned_and_a_reversed_vertical_flipped(void **state)
{
    (void)state;
    struct bed *b = malloc(sizeof *b);
    open_bed(b, LINE("HHZ", "0", "90", "1000") LINE("HH1", "30", "0", "1000") LINE("HH2", "120", "0", "2000"));
    double radians = acos(-1.0) / 180, east = 3000, north = -1000, up = 500;
    const char *sid[3] = {"FDSN:XX_AAA__H_H_Z", "FDSN:XX_AAA__H_H_1", "FDSN:XX_AAA__H_H_2"};
    double azimuth[3] = {0, 30, 120};
    for (int i = 0; i < 3; i++) {
        float samples[50];
        double along = i == 0 ? -up : north * cos(azimuth[i] * radians) + east * sin(azimuth[i] * radians);
        for (int k = 0; k < 50; k++)
            samples[k] = (float)(along * (i == 2 ? 2 : 1)); /* twice the gain */
        struct toc_chunk chunk = {.start = T0, .rate_hz = 100, .n = 50, .samples = samples};
        snprintf(chunk.sid, sizeof chunk.sid, "%s", sid[i]);
        assert_true(toc_group_push(b->group, &chunk, T0 + TOC_NS_PER_S, &b->stats));
    }
    assert_int_equal(pull(b, 1), 50);
    assert_float_equal(b->rows[7].enz[TOC_E], east, 1e-2);
    assert_float_equal(b->rows[7].enz[TOC_N], north, 1e-2);
    assert_float_equal(b->rows[7].enz[TOC_Z], up, 1e-2);
    assert_float_equal(toc_group_scale(b->group), 1000, 1e-9);
    close_bed(b);
}

static void clipping_is_marked_where_it_is(void **state)
{
    (void)state;
    struct bed *b = malloc(sizeof *b);
    open_bed(b, LINE("HHZ", "0", "-90", "1000"));
    float samples[100] = {0};
    samples[40] = (float)b->settings.clip_counts;
    struct toc_chunk chunk = {.sid = "FDSN:XX_AAA__H_H_Z", .start = T0, .rate_hz = 100, .n = 100, .samples = samples};
    toc_group_push(b->group, &chunk, T0 + TOC_NS_PER_S, &b->stats);
    assert_int_equal(pull(b, 1), 100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(b->rows[i].clipped, i == 40);
    close_bed(b);
}

static void future_and_unknown_are_refused(void **state)
{
    (void)state;
    struct bed *b = zne();
    push(b, 'Z', 1000, 1100, 1);
    assert_int_equal(b->stats.samples_future, 100);
    assert_int_equal(b->stats.samples, 0);
    push(b, 'Q', 0, 100, 1);
    assert_int_equal(pull(b, 30), 0);
    close_bed(b);
}

/* Rows gather over pulls until there is room for no more; behind a gap only empty ones begin. */
static void pulls_append_and_stop_before_a_gap(void **state)
{
    (void)state;
    struct bed *b = malloc(sizeof *b);
    struct toc_rows rows = {.n = 0};
    open_bed(b, LINE("HHZ", "0", "-90", "1000"));
    push(b, 'Z', 13, 40, 1);
    assert_false(toc_group_pull(b->group, T0 + TOC_NS_PER_S, &rows, &b->stats));
    assert_int_equal(rows.n, 27);
    assert_true(rows.restart && rows.first == G0 + 13);
    push(b, 'Z', 40, 150, 2);
    assert_false(toc_group_pull(b->group, T0 + 2 * TOC_NS_PER_S, &rows, &b->stats));
    assert_int_equal(rows.n, TOC_ROWS_MAX);
    push(b, 'Z', 200, 250, 3);
    rows.n = 0;
    toc_ns late = T0 + 3 * TOC_NS_PER_S + toc_ns_from_s(b->settings.gap_hold_s) + TOC_NS_PER_S;
    assert_false(toc_group_pull(b->group, T0 + 3 * TOC_NS_PER_S, &rows, &b->stats)); /* the hole may be filled */
    assert_int_equal(rows.n, 37);
    assert_false(rows.restart);
    assert_true(toc_group_pull(b->group, late, &rows, &b->stats));
    assert_int_equal(rows.n, 37);
    rows.n = 0;
    assert_false(toc_group_pull(b->group, late, &rows, &b->stats));
    assert_int_equal(rows.n, 50);
    assert_true(rows.restart && rows.first == G0 + 200);
    close_bed(b);
}

/* Who holds something back must be asked again as time passes; the others need not be. */
static void waits_are_told(void **state)
{
    (void)state;
    struct bed *b = zne();
    for (const char *c = "ZNE"; *c; c++)
        push(b, *c, 0, 100, 1);
    pull(b, 1);
    assert_false(toc_group_waits(b->group));
    for (const char *c = "ZNE"; *c; c++)
        push(b, *c, 150, 200, 2);
    assert_int_equal(pull(b, 2), 0);
    assert_true(toc_group_waits(b->group)); /* for what is missing before */
    assert_int_equal(pull(b, 2.1 + b->settings.gap_hold_s), 50);
    assert_false(toc_group_waits(b->group));
    push(b, 'Z', 200, 300, 6);
    assert_int_equal(pull(b, 6), 0);
    assert_true(toc_group_waits(b->group)); /* for the horizontals */
    assert_int_equal(pull(b, 6.1 + b->settings.align_wait_s), 100);
    assert_false(toc_group_waits(b->group));
    close_bed(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order),
        cmocka_unit_test(late_records_are_put_in_order),
        cmocka_unit_test(a_gap_is_passed_after_the_hold_and_restarts),
        cmocka_unit_test(a_short_gap_is_bridged_by_a_line),
        cmocka_unit_test(a_lagging_component_is_left_behind_once_and_comes_back),
        cmocka_unit_test(silence_between_packets_leaves_nobody_behind),
        cmocka_unit_test(horizontals_are_turned_and_a_reversed_vertical_flipped),
        cmocka_unit_test(clipping_is_marked_where_it_is),
        cmocka_unit_test(future_and_unknown_are_refused),
        cmocka_unit_test(pulls_append_and_stop_before_a_gap),
        cmocka_unit_test(waits_are_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
