/* Calendar and text of absolute times; libc's timegm and gmtime are the oracle. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/nstime.h"

static void assert_text(toc_ns time, const char *expected)
{
    char text[TOC_TIME_TEXT_SIZE];
    assert_int_equal(toc_time_format(time, text, sizeof(text)), (int)strlen(expected));
    assert_string_equal(text, expected);
}

static void assert_parsed(const char *text, toc_ns expected)
{
    toc_ns time = 7;
    assert_int_equal(toc_time_parse(text, &time), 0);
    assert_true(time == expected);
}

static void seconds_round_to_nearest(void **state)
{
    (void)state;
    assert_true(toc_ns_from_s(1.5) == 1500000000);
    assert_true(toc_ns_from_s(-0.25) == -250000000);
    assert_true(toc_ns_from_s(1e-9 * 0.6) == 1);
    assert_true(toc_ns_from_s(-1e-9 * 0.6) == -1);
    /* A double of this size has steps of 2.4e-7 s: the whole seconds must still be exact. */
    assert_true(toc_ns_from_s(1562261629.0) == INT64_C(1562261629000000000));
    assert_true(toc_ns_from_s(8999999999.0) == INT64_C(8999999999) * TOC_NS_PER_S);
    assert_true(toc_ns_from_s(NAN) == TOC_NS_NONE);
    assert_true(toc_ns_from_s(INFINITY) == TOC_NS_NONE);
    assert_true(toc_ns_from_s(-9e9) == TOC_NS_NONE);
    assert_true(fabs(toc_s_from_ns(-250000000) + 0.25) < 1e-15);
}

static void format_known_times(void **state)
{
    (void)state;
    assert_text(INT64_C(1562261629040000000), "2019-07-04T17:33:49.040000Z");
    assert_text(0, "1970-01-01T00:00:00.000000Z");
    assert_text(INT64_C(951782400000000000), "2000-02-29T00:00:00.000000Z");
    assert_text(999, "1970-01-01T00:00:00.000000Z");
    assert_text(-1, "1969-12-31T23:59:59.999999Z");
    assert_text(-1000001, "1969-12-31T23:59:59.998999Z");
    assert_text(TOC_NS_NONE, "");
    assert_text(INT64_MAX, "2262-04-11T23:47:16.854775Z");
    assert_text(INT64_MIN + 1, "1677-09-21T00:12:43.145224Z");
}

static void format_refuses_a_small_buffer(void **state)
{
    (void)state;
    char text[28] = "untouched";
    assert_int_equal(toc_time_format(0, text, 27), -ENOSPC);
    assert_string_equal(text, "untouched");
    assert_int_equal(toc_time_format(0, text, 28), 27);
    assert_int_equal(toc_time_format(TOC_NS_NONE, text, 0), -ENOSPC);
}

static void parse_accepts_the_forms(void **state)
{
    (void)state;
    toc_ns expected = INT64_C(1562261629040000000);
    assert_parsed("2019-07-04T17:33:49.040000Z", expected);
    assert_parsed("2019-07-04T17:33:49.04", expected);
    assert_parsed("2019-07-04 17:33:49.04Z", expected);
    assert_parsed("2019-07-04T17:33:49.0400000009999Z", expected);
    assert_parsed("2019-07-04T17:33:49.123456789", expected - 40000000 + 123456789);
    assert_parsed("2019-07-04", INT64_C(1562198400000000000));
    assert_parsed("2019-07-04Z", INT64_C(1562198400000000000));
    assert_parsed("1969-12-31T23:59:59.5Z", -500000000);
    assert_parsed("2016-12-31T23:59:60Z", INT64_C(1483228800000000000)); /* the last leap second */
    assert_parsed("2016-12-31T23:59:60.5Z", INT64_C(1483228800500000000));
    assert_parsed("2000-02-29", INT64_C(951782400000000000));
}

static void parse_refuses_the_rest(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "2019",
        "2019-7-04",
        "2019-13-01",
        "2019-00-01",
        "2019-02-29",
        "1900-02-29",
        "2019-04-31",
        "2019-01-00",
        "2019-01-01T",
        "2019-01-01T1",
        "2019-01-01T24:00:00",
        "2019-01-01T00:60:00",
        "2019-01-01T00:00:61",
        "2019-01-01T00:00:00.",
        "2019-01-01T00:00:00ZZ",
        "2019-01-01T00:00:00+01:00",
        " 2019-01-01",
        "2019-01-01T00:00:00 ",
        "0000-01-01",
        "1677-01-01",
        "2262-01-01",
        "9999-12-31",
        "-019-01-01",
        "2019-01-01T-1:00:00",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        toc_ns time = 7;
        assert_int_equal(toc_time_parse(bad[i], &time), -EINVAL);
        assert_true(time == 7);
    }
}

static void day_of_year_bounds(void **state)
{
    (void)state;
    toc_ns time = 7;
    assert_int_equal(toc_time_from_doy(2020, 366, 23, 59, 60, 999999999, &time), 0);
    assert_text(time, "2021-01-01T00:00:00.999999Z");
    assert_int_equal(toc_time_from_doy(1678, 1, 0, 0, 0, 0, &time), 0);
    assert_text(time, "1678-01-01T00:00:00.000000Z");
    assert_int_equal(toc_time_from_doy(2261, 365, 23, 59, 60, 999999999, &time), 0);
    time = 7;
    assert_int_equal(toc_time_from_doy(2019, 366, 0, 0, 0, 0, &time), -ERANGE);
    assert_int_equal(toc_time_from_doy(2019, 0, 0, 0, 0, 0, &time), -ERANGE);
    assert_int_equal(toc_time_from_doy(1677, 1, 0, 0, 0, 0, &time), -ERANGE);
    assert_int_equal(toc_time_from_doy(2262, 1, 0, 0, 0, 0, &time), -ERANGE);
    assert_int_equal(toc_time_from_doy(2019, 1, 24, 0, 0, 0, &time), -ERANGE);
    assert_int_equal(toc_time_from_doy(2019, 1, 0, 60, 0, 0, &time), -ERANGE);
    assert_int_equal(toc_time_from_doy(2019, 1, 0, 0, 61, 0, &time), -ERANGE);
    assert_int_equal(toc_time_from_doy(2019, 1, 0, 0, -1, 0, &time), -ERANGE);
    assert_int_equal(toc_time_from_doy(2019, 1, 0, 0, 0, TOC_NS_PER_S, &time), -ERANGE);
    assert_int_equal(toc_time_from_doy(2019, 1, 0, 0, 0, -1, &time), -ERANGE);
    assert_true(time == 7);
}

/* Every day of the range, against libc; and back through both of our readers. */
static void all_days_agree_with_libc(void **state)
{
    (void)state;
    for (int64_t day = -106000; day < 106000; day++) {
        time_t second = (time_t)(day * 86400 + (day * 7919 % 86400 + 86400) % 86400);
        struct tm tm;
        gmtime_r(&second, &tm);
        char expected[64], text[TOC_TIME_TEXT_SIZE];
        snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02d.000001Z", tm.tm_year + 1900, tm.tm_mon + 1,
                 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        toc_ns time = (toc_ns)second * TOC_NS_PER_S + 1000;
        toc_time_format(time, text, sizeof(text));
        assert_string_equal(text, expected);
        toc_ns back = 0;
        if (tm.tm_year + 1900 >= 1678 && tm.tm_year + 1900 <= 2261) {
            assert_int_equal(toc_time_parse(text, &back), 0);
            assert_true(back == time);
            assert_int_equal(
                toc_time_from_doy(tm.tm_year + 1900, tm.tm_yday + 1, tm.tm_hour, tm.tm_min, tm.tm_sec, 1000, &back), 0);
            assert_true(back == time);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seconds_round_to_nearest),      cmocka_unit_test(format_known_times),
        cmocka_unit_test(format_refuses_a_small_buffer), cmocka_unit_test(parse_accepts_the_forms),
        cmocka_unit_test(parse_refuses_the_rest),        cmocka_unit_test(day_of_year_bounds),
        cmocka_unit_test(all_days_agree_with_libc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
