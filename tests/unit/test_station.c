/* Inventory text and identifiers: what is read, what is refused and where. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/station.h"

static const char text[] =
    "#Network|Station|Location|Channel|Latitude|Longitude|Elevation|Depth|Azimuth|Dip|SensorDescription|Scale|"
    "ScaleFreq|ScaleUnits|SampleRate|StartTime|EndTime\n"
    "XX|AAA||HHZ|35.5|-117.25|670|0|0|-90|STS-2|627368000|1|M/S|100|2010-01-01T00:00:00|2015-01-01T00:00:00\n"
    "XX|AAA||HHZ|35.5|-117.25|670|0|0|-90|STS-5|300000000|1|M/S|100|2015-01-01T00:00:00|3000-01-01T00:00:00\n"
    "XX|BBB|10|HNE|36|240|1200|5|90|0||427566|1|cm/s**2|200||\n"
    "XX|DDD||HHZ|||||||||||100||\n"
    "XX|CCC|--|EH1|36.5|-118||||||||||2012-06-01|\n";

static struct toc_inventory parse(const char *from)
{
    struct toc_inventory inventory = {NULL, 0};
    struct toc_parse_error error = {0};
    int r = toc_inventory_parse_text(from, strlen(from), &inventory, &error);
    if (r < 0)
        print_message("%d:%d: %s\n", error.line, error.column, error.text);
    assert_int_equal(r, 0);
    return inventory;
}

static toc_ns at(const char *time)
{
    toc_ns t;
    assert_int_equal(toc_time_parse(time, &t), 0);
    return t;
}

static void reads_fields_and_units(void **state)
{
    (void)state;
    struct toc_inventory inventory = parse(text);
    assert_int_equal(inventory.n, 5);
    const struct toc_channel *c = toc_inventory_find(&inventory, "FDSN:XX_BBB_10_H_N_E", at("2020-01-01T00:00:00Z"));
    assert_non_null(c);
    assert_float_equal(c->longitude_deg, -120, 1e-9);
    assert_int_equal(c->unit, TOC_UNIT_ACCELERATION);
    assert_float_equal(c->scale, 42756600, 1e-3); /* counts per cm/s^2 -> per m/s^2 */
    toc_inventory_finish(&inventory);
}

static void empty_is_unknown_not_zero(void **state)
{
    (void)state;
    struct toc_inventory inventory = parse(text);
    const struct toc_channel *c = toc_inventory_find(&inventory, "FDSN:XX_CCC__E_H_1", at("2020-01-01T00:00:00Z"));
    assert_non_null(c);
    assert_true(isnan(c->scale) && isnan(c->azimuth_deg) && isnan(c->rate_hz));
    assert_int_equal(c->unit, TOC_UNIT_UNKNOWN);
    c = toc_inventory_find(&inventory, "FDSN:XX_DDD__H_H_Z", 0);
    assert_non_null(c);
    assert_true(isnan(c->latitude_deg) && isnan(c->longitude_deg));
    toc_inventory_finish(&inventory);
}

static void epoch_is_chosen_by_data_time(void **state)
{
    (void)state;
    struct toc_inventory inventory = parse(text);
    const char *sid = "FDSN:XX_AAA__H_H_Z";
    assert_null(toc_inventory_find(&inventory, sid, at("2009-12-31T23:59:59.999999Z")));
    assert_float_equal(toc_inventory_find(&inventory, sid, at("2014-12-31T23:59:59Z"))->scale, 627368000, 1);
    assert_float_equal(toc_inventory_find(&inventory, sid, at("2015-01-01T00:00:00Z"))->scale, 300000000, 1);
    assert_null(toc_inventory_find(&inventory, "FDSN:XX_AAA__H_H_N", at("2014-01-01T00:00:00Z")));
    toc_inventory_finish(&inventory);
}

static void refusals_name_line_and_column(void **state)
{
    (void)state;
    static const struct { const char *text; int line, column; const char *says; } bad[] = {
        {"XX|AAA||HHZ|95|0|0|0|0|-90||1|1|M/S|100||", 1, 13, "Latitude"},
        {"#c\nXX|AAA||HHZ|5|x|0|0|0|-90||1|1|M/S|100||", 2, 15, "Longitude"},
        {"XX|aa||HHZ|5|0|0|0|0|-90||1|1|M/S|100||", 1, 1, "codes"},
        {"XX|AAA||HHZZ|5|0|0|0|0|-90||1|1|M/S|100||", 1, 1, "codes"},
        {"XX|AAA||HHZ|5|0|0|0|0|-90||nan|1|M/S|100||", 1, 28, "Scale"},
        {"XX|AAA||HHZ|5|0|0|0|0|-90||1|1|M/S|100|2010-13-01|", 1, 40, "time"},
        {"XX|AAA||HHZ|5", 1, 0, "fewer"},
        {"XX|AAA||HHZ|5|0|0|0|0|-90||1|1|M/S|100||||", 1, 42, "more"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct toc_inventory inventory = {NULL, 77};
        struct toc_parse_error error = {0};
        assert_int_equal(toc_inventory_parse_text(bad[i].text, strlen(bad[i].text), &inventory, &error), -EINVAL);
        assert_int_equal(error.line, bad[i].line);
        assert_int_equal(error.column, bad[i].column);
        assert_non_null(strstr(error.text, bad[i].says));
        assert_int_equal(inventory.n, 77); /* untouched */
    }
}

static void every_truncation_is_read_or_refused(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof text; n++) {
        char *copy = malloc(n + 1); /* exact size, so that a read past the end is seen */
        struct toc_inventory inventory = {NULL, 0};
        struct toc_parse_error error;
        memcpy(copy, text, n);
        int r = toc_inventory_parse_text(copy, n, &inventory, &error);
        assert_true(r == 0 || r == -EINVAL);
        toc_inventory_finish(&inventory);
        free(copy);
    }
}

static void identifiers_are_checked_and_cut(void **state)
{
    (void)state;
    char sid[TOC_SID_SIZE], part[TOC_SID_SIZE];
    assert_int_equal(toc_sid_make("CI", "CCC", "--", "HHZ", sid), 0);
    assert_string_equal(sid, "FDSN:CI_CCC__H_H_Z");
    toc_sid_group(sid, part);
    assert_string_equal(part, "FDSN:CI_CCC__H_H");
    toc_sid_site(sid, part);
    assert_string_equal(part, "CI_CCC");
    assert_int_equal(toc_sid_component(sid), 'Z');
    assert_int_equal(toc_sid_make("CI", "C\nC", "", "HHZ", sid), -EINVAL);
    assert_int_equal(toc_sid_make("", "CCC", "", "HHZ", sid), -EINVAL);
    assert_int_equal(toc_sid_make("ABCDEFGHI", "CCC", "", "HHZ", sid), -EINVAL);
    assert_int_equal(toc_sid_make("CI", "CCC", "", "HH", sid), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_fields_and_units),        cmocka_unit_test(empty_is_unknown_not_zero),
        cmocka_unit_test(epoch_is_chosen_by_data_time),  cmocka_unit_test(refusals_name_line_and_column),
        cmocka_unit_test(every_truncation_is_read_or_refused), cmocka_unit_test(identifiers_are_checked_and_cut)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
