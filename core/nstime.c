/*
 * Calendar arithmetic on int64 nanoseconds. No libc time call: those read
 * the zone, take a lock and work in seconds. All sums stay inside the years
 * 1678..2261, where an int64 of nanoseconds cannot overflow.
 */
#include "core/nstime.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define YEAR_MIN 1678
#define YEAR_MAX 2261
#define SECONDS_PER_DAY INT64_C(86400)
#define DAYS_TO_1970 INT64_C(719162) /* from 0001-01-01, proleptic Gregorian */

/* Days before the first of each month in a common year. */
static const int month_start[13] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days before the first of `month` (1..13) in `year`. */
static int days_before_month(int year, int month)
{
    return month_start[month - 1] + (month > 2 && is_leap(year) ? 1 : 0);
}

/* Days from 1970-01-01 to January 1st of `year` (>= 1). */
static int64_t days_before_year(int year)
{
    int64_t whole = (int64_t)year - 1;
    return whole * 365 + whole / 4 - whole / 100 + whole / 400 - DAYS_TO_1970;
}

toc_ns toc_ns_from_s(double s)
{
    if (!(fabs(s) < 9e9)) {
        return TOC_NS_NONE;
    }
    /* The whole seconds are exact; only the fraction is rounded. */
    double whole = floor(s);
    return (toc_ns)whole * TOC_NS_PER_S + (toc_ns)llround((s - whole) * 1e9);
}

double toc_s_from_ns(toc_ns ns)
{
    return (double)ns / 1e9;
}

/* Split a day number since 1970-01-01 into a date. The estimate of the year is at most one too high. */
static void civil_from_days(int64_t days, int *ret_year, int *ret_month, int *ret_day)
{
    int year = (int)(1970 + (days >= 0 ? days : days - 365) / 365);
    while (days_before_year(year) > days) {
        year--;
    }
    while (days_before_year(year + 1) <= days) {
        year++;
    }
    int rest = (int)(days - days_before_year(year));
    int month = 1;
    while (days_before_month(year, month + 1) <= rest) {
        month++;
    }
    *ret_year = year;
    *ret_month = month;
    *ret_day = rest - days_before_month(year, month) + 1;
}

int toc_time_format(toc_ns time, char *buf, size_t size)
{
    char text[TOC_TIME_TEXT_SIZE] = "";
    if (time != TOC_NS_NONE) {
        int64_t second = time / TOC_NS_PER_S;
        int64_t nanos = time % TOC_NS_PER_S;
        if (nanos < 0) {
            nanos += TOC_NS_PER_S;
            second--;
        }
        int64_t day = second / SECONDS_PER_DAY;
        int of_day = (int)(second % SECONDS_PER_DAY);
        if (of_day < 0) {
            of_day += (int)SECONDS_PER_DAY;
            day--;
        }
        int y, m, d;
        civil_from_days(day, &y, &m, &d);
        snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", y, m, d, of_day / 3600, of_day / 60 % 60,
                 of_day % 60, (int)(nanos / 1000));
    }
    size_t length = strlen(text);
    if (length + 1 > size) {
        return -ENOSPC;
    }
    memcpy(buf, text, length + 1);
    return (int)length;
}

int toc_time_from_doy(int year, int day, int hour, int minute, int second, int64_t nanos, toc_ns *ret_time)
{
    if (year < YEAR_MIN || year > YEAR_MAX || day < 1 || day > (is_leap(year) ? 366 : 365)) {
        return -ERANGE;
    }
    /* Second 60 of a leap second becomes second 0 of the next minute: POSIX time has no name for it. */
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 || nanos < 0 ||
        nanos >= TOC_NS_PER_S) {
        return -ERANGE;
    }
    int64_t seconds = (days_before_year(year) + day - 1) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
    *ret_time = seconds * TOC_NS_PER_S + nanos;
    return 0;
}

/* Exactly `digits` decimal digits at *text; moves it on. */
static bool read_digits(const char **text, int digits, int *ret_value)
{
    int value = 0;
    for (int i = 0; i < digits; i++) {
        char c = (*text)[i];
        if (c < '0' || c > '9') {
            return false;
        }
        value = value * 10 + (c - '0');
    }
    *text += digits;
    *ret_value = value;
    return true;
}

static bool read_char(const char **text, char wanted)
{
    if (**text != wanted) {
        return false;
    }
    (*text)++;
    return true;
}

/* ".123456789": at least one digit; those past the ninth are dropped. */
static bool read_fraction(const char **text, int64_t *ret_nanos)
{
    int64_t nanos = 0;
    int64_t unit = TOC_NS_PER_S / 10;
    int digit, count = 0;
    while (read_digits(text, 1, &digit)) {
        nanos += digit * unit;
        unit /= 10;
        count++;
    }
    *ret_nanos = nanos;
    return count > 0;
}

struct clock_text {
    int hour, minute, second;
    int64_t nanos;
};

static bool read_clock(const char **text, struct clock_text *clock)
{
    if (!read_digits(text, 2, &clock->hour) || !read_char(text, ':') || !read_digits(text, 2, &clock->minute) ||
        !read_char(text, ':') || !read_digits(text, 2, &clock->second)) {
        return false;
    }
    return !read_char(text, '.') || read_fraction(text, &clock->nanos);
}

int toc_time_parse(const char *text, toc_ns *ret_time)
{
    int year, month, day;
    struct clock_text clock = {0};
    if (!read_digits(&text, 4, &year) || !read_char(&text, '-') || !read_digits(&text, 2, &month) ||
        !read_char(&text, '-') || !read_digits(&text, 2, &day)) {
        return -EINVAL;
    }
    if ((read_char(&text, 'T') || read_char(&text, ' ')) && !read_clock(&text, &clock)) {
        return -EINVAL;
    }
    read_char(&text, 'Z');
    if (*text != '\0' || year < 1 || month < 1 || month > 12 || day < 1) {
        return -EINVAL;
    }
    int first = days_before_month(year, month);
    if (first + day > days_before_month(year, month + 1)) {
        return -EINVAL;
    }
    toc_ns time;
    if (toc_time_from_doy(year, first + day, clock.hour, clock.minute, clock.second, clock.nanos, &time) < 0) {
        return -EINVAL;
    }
    *ret_time = time;
    return 0;
}
