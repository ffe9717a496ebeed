/*
 * A JSON writer into a buffer of the caller: no allocation, no NaN (null
 * stands in its place), text always escaped. It keeps the commas right; nesting
 * is the caller's business. When the buffer is full, nothing more is
 * written and toc_json_finish() says so: half a message never leaves.
 */
#ifndef TOC_DAEMON_JSON_H
#define TOC_DAEMON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/nstime.h"

struct toc_json {
    char *buf;
    size_t size, len;
    bool full;  /* did not fit */
    bool comma; /* the next value needs one before it */
};

void toc_json_init(struct toc_json *json, char *buf, size_t size);

/** `name` NULL: an item of an array, or the outermost value. */
void toc_json_open(struct toc_json *json, const char *name, char bracket); /* '{' or '[' */
void toc_json_close(struct toc_json *json, char bracket);                  /* '}' or ']' */
void toc_json_text(struct toc_json *json, const char *name, const char *value); /* NULL: null */
void toc_json_integer(struct toc_json *json, const char *name, int64_t value);
void toc_json_count(struct toc_json *json, const char *name, uint64_t value);
void toc_json_bool(struct toc_json *json, const char *name, bool value);
/** `decimals` digits after the point; null when not finite. */
void toc_json_number(struct toc_json *json, const char *name, double value, int decimals);
/** A measurement of any size: five significant digits; null when not finite. */
void toc_json_measure(struct toc_json *json, const char *name, double value);
/** RFC 3339 with microseconds and Z; null for TOC_NS_NONE. */
void toc_json_time(struct toc_json *json, const char *name, toc_ns value);
/** The same, and NAME_ns beside it. */
void toc_json_time_ns(struct toc_json *json, const char *name, toc_ns value);

/** End with a newline. @return length (the text is NUL terminated too), or -ENOSPC */
int toc_json_finish(struct toc_json *json);

#endif
