/*
 * The writer. Every byte goes through put(), which is where the bound is.
 */
#include "daemon/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void put(struct toc_json *json, const char *bytes, size_t n)
{
    if (json->full || n >= json->size - json->len) {
        json->full = true;
        return;
    }
    memcpy(json->buf + json->len, bytes, n);
    json->len += n;
    json->buf[json->len] = 0;
}

static void put_char(struct toc_json *json, char c)
{
    put(json, &c, 1);
}

/* Length of the well-formed UTF-8 sequence at s, 0 when it is none: what is not UTF-8 must not leave as JSON. */
static size_t utf8_length(const unsigned char *s)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
               : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;

    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
        (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

static void put_string(struct toc_json *json, const char *text)
{
    char escape[8];

    put_char(json, '"');
    while (*text) {
        size_t n = utf8_length((const unsigned char *)text);

        if (*text == '"' || *text == '\\') {
            put_char(json, '\\');
            put_char(json, *text);
        } else if ((unsigned char)*text < 0x20) {
            snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)*text);
            put(json, escape, 6);
        } else if (n == 0) {
            put_char(json, '?');
        } else {
            put(json, text, n);
        }
        text += n ? n : 1;
    }
    put_char(json, '"');
}

static void begin(struct toc_json *json, const char *name)
{
    if (json->comma)
        put_char(json, ',');
    json->comma = true;
    if (name) {
        put_string(json, name);
        put_char(json, ':');
    }
}

void toc_json_init(struct toc_json *json, char *buf, size_t size)
{
    *json = (struct toc_json){.buf = buf, .size = size, .full = size == 0};
}

void toc_json_open(struct toc_json *json, const char *name, char bracket)
{
    begin(json, name);
    put_char(json, bracket);
    json->comma = false;
}

void toc_json_close(struct toc_json *json, char bracket)
{
    put_char(json, bracket);
    json->comma = true;
}

void toc_json_text(struct toc_json *json, const char *name, const char *value)
{
    begin(json, name);
    if (value)
        put_string(json, value);
    else
        put(json, "null", 4);
}

void toc_json_integer(struct toc_json *json, const char *name, int64_t value)
{
    char text[24];

    begin(json, name);
    put(json, text, (size_t)snprintf(text, sizeof(text), "%lld", (long long)value));
}

void toc_json_count(struct toc_json *json, const char *name, uint64_t value)
{
    char text[24];

    begin(json, name);
    put(json, text, (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)value));
}

void toc_json_bool(struct toc_json *json, const char *name, bool value)
{
    begin(json, name);
    put(json, value ? "true" : "false", value ? 4 : 5);
}

void toc_json_number(struct toc_json *json, const char *name, double value, int decimals)
{
    char text[352]; /* the largest double in %f */

    begin(json, name);
    if (isfinite(value))
        put(json, text, (size_t)snprintf(text, sizeof(text), "%.*f", decimals, value));
    else
        put(json, "null", 4);
}

void toc_json_measure(struct toc_json *json, const char *name, double value)
{
    char text[32];

    begin(json, name);
    if (isfinite(value))
        put(json, text, (size_t)snprintf(text, sizeof(text), "%.5g", value));
    else
        put(json, "null", 4);
}

void toc_json_time(struct toc_json *json, const char *name, toc_ns value)
{
    char text[TOC_TIME_TEXT_SIZE];

    if (value == TOC_NS_NONE || toc_time_format(value, text, sizeof(text)) < 0)
        toc_json_text(json, name, NULL);
    else
        toc_json_text(json, name, text);
}

void toc_json_time_ns(struct toc_json *json, const char *name, toc_ns value)
{
    char with_suffix[64];

    toc_json_time(json, name, value);
    snprintf(with_suffix, sizeof(with_suffix), "%s_ns", name);
    if (value == TOC_NS_NONE)
        toc_json_text(json, with_suffix, NULL);
    else
        toc_json_integer(json, with_suffix, value);
}

int toc_json_finish(struct toc_json *json)
{
    put_char(json, '\n');
    return json->full ? -ENOSPC : (int)json->len;
}
