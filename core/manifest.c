/*
 * Reads what a model says of itself. Members that only people read (words on
 * training, units) are let through; those the program relies on are checked.
 */
#include "core/manifest.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/description.h"

#define ROWS_MAX 10000u    /* of a golden question: some milliseconds of work at start */
#define VALUES_MAX 100000u /* of its answer */

struct reader {
    json_t *json;                  /* owned */
    struct toc_manifest *manifest; /* borrowed */
    char *why;
    size_t why_size;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct reader *reader, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(reader->why, reader->why_size, format, args);
    va_end(args);
    return -EINVAL;
}

const char *toc_layout_str(enum toc_layout layout)
{
    static const char *const names[] = {
        [TOC_LAYOUT_THREE] = "three_components", [TOC_LAYOUT_TWO] = "two_components", [TOC_LAYOUT_VERTICAL] = "vertical"};

    return (unsigned)layout < TOC_LAYOUTS ? names[layout] : "?";
}

static int read_text(struct reader *reader, const char *key, char *ret_text, size_t size)
{
    const json_t *value = json_object_get(reader->json, key);
    const char *text = json_string_value(value);

    if (value == NULL || json_is_null(value))
        return 0;
    if (text == NULL || strlen(text) >= size)
        return refuse(reader, "manifest: %s is not a text of at most %zu bytes", key, size - 1);
    snprintf(ret_text, size, "%s", text);
    return 0;
}

/* Names joined by spaces: two lists are the same when the texts are. */
static int read_channels(struct reader *reader, const char *key, const json_t *list, char *ret_names)
{
    size_t len = 0;

    if (json_array_size(list) < 1)
        return refuse(reader, "manifest: %s.channels is not a list of names", key);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));

        if (name == NULL || !toc_description_is_label(name, 64) || len + strlen(name) + 2 > TOC_MANIFEST_CHANNELS_SIZE)
            return refuse(reader, "manifest: %s.channels: name %zu is no name, or they are too many", key, i + 1);
        len += (size_t)snprintf(ret_names + len, TOC_MANIFEST_CHANNELS_SIZE - len, "%s%s", i > 0 ? " " : "", name);
    }
    return 0;
}

static int read_input(struct reader *reader)
{
    const json_t *input = json_object_get(reader->json, "input");
    const json_int_t version = json_integer_value(json_object_get(input, "version"));
    const double rate = json_number_value(json_object_get(input, "rate_hz"));

    if (version < 1 || version > 1000000)
        return refuse(reader, "manifest: input.version is not a whole number of 1..1000000");
    if (!(rate > 0 && rate <= 10000))
        return refuse(reader, "manifest: input.rate_hz is not within 0..10000");
    reader->manifest->input_version = (uint32_t)version;
    reader->manifest->rate_hz = rate;
    return read_channels(reader, "input", json_object_get(input, "channels"), reader->manifest->inputs);
}

static int read_output(struct reader *reader)
{
    const json_t *output = json_object_get(reader->json, "output");

    return read_channels(reader, "output", json_object_get(output, "channels"), reader->manifest->outputs);
}

static int read_threshold(struct reader *reader, const json_t *value, double *ret_threshold)
{
    double x = json_number_value(value);

    *ret_threshold = (double)NAN;
    if (value == NULL || json_is_null(value))
        return 0;
    if (!json_is_number(value) || !(x >= 0 && x <= 1))
        return refuse(reader, "manifest: a threshold is not a number of 0..1");
    *ret_threshold = x;
    return 0;
}

static int read_thresholds(struct reader *reader)
{
    static const char *const phases[] = {[TOC_PHASE_P] = "p", [TOC_PHASE_S] = "s"};
    const json_t *thresholds = json_object_get(reader->json, "thresholds");
    int error = 0;

    for (int phase = 0; phase < 2; phase++)
        for (int layout = 0; layout < TOC_LAYOUTS && error == 0; layout++) {
            const json_t *of_phase = json_object_get(thresholds, phases[phase]);

            error = read_threshold(reader, json_object_get(of_phase, toc_layout_str((enum toc_layout)layout)),
                                   &reader->manifest->thresholds[phase][layout]);
        }
    return error;
}

/* ---- the golden question ---- */

static int read_answer_row(struct reader *reader, const json_t *row, float *ret_values)
{
    for (uint32_t i = 0; i < reader->manifest->golden.outputs; i++) {
        const json_t *value = json_array_get(row, i);
        float x = (float)json_number_value(value);

        if (!json_is_number(value) || !isfinite(x))
            return refuse(reader, "manifest: golden.output holds something that is no number");
        ret_values[i] = x;
    }
    return 0;
}

static int read_answer(struct reader *reader, const json_t *rows)
{
    struct toc_golden *golden = &reader->manifest->golden;
    size_t kept = json_array_size(rows), outputs = json_array_size(json_array_get(rows, 0));
    int error = 0;

    if (kept < 1 || outputs < 1 || kept > golden->rows || kept > VALUES_MAX / outputs)
        return refuse(reader, "manifest: golden.output is not a list of rows, or too long");
    golden->answer = malloc(kept * outputs * sizeof(*golden->answer));
    if (golden->answer == NULL) {
        (void)refuse(reader, "out of memory");
        return -ENOMEM;
    }
    golden->kept = (uint32_t)kept;
    golden->outputs = (uint32_t)outputs;
    for (size_t i = 0; i < kept && error == 0; i++) {
        const json_t *row = json_array_get(rows, i);

        if (json_array_size(row) != outputs)
            return refuse(reader, "manifest: golden.output has rows of different lengths");
        error = read_answer_row(reader, row, golden->answer + i * outputs);
    }
    return error;
}

static int read_golden(struct reader *reader)
{
    const json_t *json = json_object_get(reader->json, "golden");
    const json_int_t rows = json_integer_value(json_object_get(json, "rows"));
    const json_int_t seed = json_integer_value(json_object_get(json, "seed"));
    struct toc_golden *golden = &reader->manifest->golden;

    if (!json_is_object(json) || rows < 1 || rows > (json_int_t)ROWS_MAX || seed < 0 || seed > (json_int_t)UINT32_MAX)
        return refuse(reader, "manifest: golden is absent, or its rows or seed are out of range");
    golden->rows = (uint32_t)rows;
    golden->seed = (uint32_t)seed;
    golden->offset = json_number_value(json_object_get(json, "offset"));
    golden->scale = json_number_value(json_object_get(json, "scale"));
    if (!(fabs(golden->offset) <= 1e6) || !(fabs(golden->scale) <= 1e6))
        return refuse(reader, "manifest: golden.offset or golden.scale is out of range");
    return read_answer(reader, json_object_get(json, "output"));
}

void toc_golden_ask(const struct toc_golden *golden, uint32_t inputs, float *ret_rows)
{
    uint32_t x = golden->seed;

    for (uint32_t row = 0; row < golden->rows; row++) {
        double scale = 2 * row < golden->rows ? golden->scale / 4 : golden->scale;

        for (uint32_t i = 0; i < inputs; i++) {
            x = x * 1664525u + 1013904223u;
            *ret_rows++ = (float)(golden->offset + scale * (2 * ((double)(x >> 8) / 16777216.0) - 1));
        }
    }
}

/* ---- all together ---- */

static int read_all(struct reader *reader)
{
    struct toc_manifest *manifest = reader->manifest;
    int error;

    if (!json_is_object(reader->json))
        return refuse(reader, "tocsin.manifest is not a JSON object");
    error = read_text(reader, "kind", manifest->kind, sizeof(manifest->kind));
    if (error == 0 && !toc_description_is_label(manifest->kind, sizeof(manifest->kind)))
        error = refuse(reader, "manifest: kind is absent or not of [A-Za-z0-9._-]");
    if (error == 0)
        error = read_text(reader, "card", manifest->card, sizeof(manifest->card));
    if (error == 0)
        error = read_text(reader, "parent", manifest->parent, sizeof(manifest->parent));
    if (error == 0)
        error = read_input(reader);
    if (error == 0)
        error = read_output(reader);
    if (error == 0)
        error = read_thresholds(reader);
    return error != 0 ? error : read_golden(reader);
}

int toc_manifest_read(const char *text, struct toc_manifest *ret_manifest, char *ret_why, size_t why_size)
{
    struct reader reader = {.manifest = ret_manifest, .why = ret_why, .why_size = why_size};
    json_error_t json_error;
    int error;

    reader.json = json_loads(text, JSON_REJECT_DUPLICATES, &json_error);
    error = read_all(&reader);
    json_decref(reader.json);
    return error;
}

void toc_manifest_finish(struct toc_manifest *manifest)
{
    free(manifest->golden.answer);
    manifest->golden = (struct toc_golden){0};
}
