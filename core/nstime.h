/*
 * Time. Absolute time is toc_ns: int64 nanoseconds of POSIX UTC, never a
 * double. Monotonic time is a one-field struct, so the compiler refuses to
 * mix the two. Nothing in core reads a clock: `now` is always an argument.
 */
#ifndef TOC_CORE_NSTIME_H
#define TOC_CORE_NSTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int64_t toc_ns; /* UTC, ns since 1970-01-01 */

struct toc_mono {
    int64_t ns; /* CLOCK_MONOTONIC; differences only */
};

#define TOC_NS_NONE INT64_MIN
#define TOC_NS_PER_S INT64_C(1000000000)
#define TOC_NS_PER_MS INT64_C(1000000)

/* Longest text toc_time_format() writes, NUL included. */
#define TOC_TIME_TEXT_SIZE 40

/** Seconds (finite, |s| < 9e9) to nanoseconds, rounded to nearest. */
toc_ns toc_ns_from_s(double s);

/** Nanoseconds to seconds. Use for durations only: 53 bits do not hold an absolute time. */
double toc_s_from_ns(toc_ns ns);

/** RFC 3339 with microseconds and Z ("2019-07-04T17:33:49.040000Z"), truncated toward the past.
 * TOC_NS_NONE gives an empty string. @return length, or -ENOSPC when size is too small. */
int toc_time_format(toc_ns time, char *buf, size_t size);

/** Read YYYY-MM-DD[(T| )hh:mm:ss[.fraction]][Z]; a time without Z is UTC (FDSN custom); second 60 is
 * mapped to the next second. @return 0, or -EINVAL (ret_time untouched). */
int toc_time_parse(const char *text, toc_ns *ret_time);

/** Day-of-year form used by SEED. day 1..366, second 0..60. @return 0 or -ERANGE. */
int toc_time_from_doy(int year, int day, int hour, int minute, int second, int64_t nanos, toc_ns *ret_time);

#endif
