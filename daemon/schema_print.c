/*
 * Printing, comparing, exchanging: from struct to text or to another struct, by the rows.
 */
#include "daemon/schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/settings.h"

struct printer {
    char *buf;
    size_t size, len; /* len counts on past the end, as snprintf does */
};

static void put(struct printer *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct printer *p, const char *format, ...)
{
    size_t room = p->len < p->size ? p->size - p->len : 0;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(room ? p->buf + p->len : NULL, room, format, args);
    va_end(args);
    p->len += n > 0 ? (size_t)n : 0;
}

/* The shortest form that reads back to the same bits. */
static void put_number(struct printer *p, double value)
{
    char text[40];

    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    put(p, "%s", text);
}

static void put_text(struct printer *p, const char *text)
{
    put(p, "\"");
    for (; *text; text++)
        put(p, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    put(p, "\"");
}

static void put_scalar(struct printer *p, const struct toc_row *row, const void *at)
{
    switch (row->type) {
    case TOC_ROW_NUMBER:
        if ((row->flags & TOC_ROW_AUTO) && *(const double *)at == TOC_AUTO)
            put(p, "auto");
        else
            put_number(p, *(const double *)at);
        break;
    case TOC_ROW_INTEGER:
        put(p, "%d", *(const int32_t *)at);
        break;
    case TOC_ROW_BOOL:
        put(p, "%s", *(const bool *)at ? "true" : "false");
        break;
    case TOC_ROW_TEXT:
        put_text(p, at);
        break;
    case TOC_ROW_CHOICE:
        put(p, "%s", row->choices[*(const int32_t *)at]);
        break;
    case TOC_ROW_LIST:
        break;
    }
}

static bool same_value(const struct toc_row *row, const void *a, const void *b);

static bool same_object(const struct toc_schema *schema, const void *a, const void *b)
{
    return toc_schema_differs(schema, a, b, 0) == schema->n_rows;
}

static bool same_list(const struct toc_schema *schema, const struct toc_list *a, const struct toc_list *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!same_object(schema, (const char *)a->items + i * schema->size, (const char *)b->items + i * schema->size))
            return false;
    return true;
}

static bool same_value(const struct toc_row *row, const void *a, const void *b)
{
    switch (row->type) {
    case TOC_ROW_NUMBER:
        return *(const double *)a == *(const double *)b;
    case TOC_ROW_INTEGER:
    case TOC_ROW_CHOICE:
        return *(const int32_t *)a == *(const int32_t *)b;
    case TOC_ROW_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case TOC_ROW_TEXT:
        return strcmp(a, b) == 0;
    case TOC_ROW_LIST:
        return same_list(row->items, a, b);
    }
    return false;
}

size_t toc_schema_differs(const struct toc_schema *schema, const void *a, const void *b, size_t from)
{
    for (size_t i = from; i < schema->n_rows; i++) {
        size_t offset = schema->rows[i].offset;

        if (!same_value(&schema->rows[i], (const char *)a + offset, (const char *)b + offset))
            return i;
    }
    return schema->n_rows;
}

static size_t value_size(const struct toc_row *row)
{
    switch (row->type) {
    case TOC_ROW_NUMBER:
        return sizeof(double);
    case TOC_ROW_INTEGER:
    case TOC_ROW_CHOICE:
        return sizeof(int32_t);
    case TOC_ROW_BOOL:
        return sizeof(bool);
    case TOC_ROW_TEXT:
        return row->size;
    case TOC_ROW_LIST:
        return sizeof(struct toc_list);
    }
    return 0;
}

void toc_schema_exchange(const struct toc_schema *schema, unsigned flags, void *a, void *b)
{
    for (size_t i = 0; i < schema->n_rows; i++) {
        const struct toc_row *row = &schema->rows[i];
        char *x = (char *)a + row->offset, *y = (char *)b + row->offset;

        for (size_t n = row->flags & flags ? value_size(row) : 0; n > 0; n--, x++, y++) {
            char kept = *x;

            *x = *y;
            *y = kept;
        }
    }
}

/* "0..1 s, default 0.8" */
static void put_facts(struct printer *p, const struct toc_schema *schema, const struct toc_row *row)
{
    const char *unit = row->unit ? row->unit : "";

    if (row->type == TOC_ROW_NUMBER || row->type == TOC_ROW_INTEGER) {
        put_number(p, row->min);
        put(p, "..");
        put_number(p, row->max);
        put(p, "%s%s%s, ", *unit ? " " : "", unit, row->flags & TOC_ROW_AUTO ? " or auto" : "");
    }
    for (int i = 0; row->type == TOC_ROW_CHOICE && row->choices[i]; i++)
        put(p, "%s%s", i ? " | " : "", row->choices[i]);
    put(p, "%s", row->type == TOC_ROW_CHOICE ? ", " : "");
    put(p, "default ");
    put_scalar(p, row, (const char *)schema->defaults + row->offset);
    put(p, "%s", row->flags & TOC_ROW_RESTART ? "; a change needs a restart" : "");
}

static void put_comment(struct printer *p, const char *indent, const char *text)
{
    while (*text) {
        size_t n = strcspn(text, "\n");

        put(p, "%s# %.*s\n", indent, (int)n, text);
        text += n + (text[n] == '\n');
    }
}

static void put_items(struct printer *p, const struct toc_schema *schema, const struct toc_list *list,
                      const char *indent);

/* One key of a list item; values at their default are left out, unless nothing else would stand there. */
static void put_item_row(struct printer *p, const struct toc_schema *schema, const struct toc_row *row,
                         const void *item, const char *indent, bool *first)
{
    const void *at = (const char *)item + row->offset;
    char deeper[32];

    if (!(row->flags & TOC_ROW_REQUIRED) && same_value(row, at, (const char *)schema->defaults + row->offset))
        return;
    put(p, "%s%s%s:", indent, *first ? "- " : "  ", row->path);
    *first = false;
    if (row->type != TOC_ROW_LIST) {
        put(p, " ");
        put_scalar(p, row, at);
        put(p, "\n");
        return;
    }
    put(p, "\n");
    snprintf(deeper, sizeof(deeper), "%.20s    ", indent);
    put_items(p, row->items, at, deeper);
}

static void put_items(struct printer *p, const struct toc_schema *schema, const struct toc_list *list,
                      const char *indent)
{
    for (size_t i = 0; i < list->n; i++) {
        bool first = true;

        for (size_t r = 0; r < schema->n_rows; r++)
            put_item_row(p, schema, &schema->rows[r], (const char *)list->items + i * schema->size, indent, &first);
    }
}

static void put_list_facts(struct printer *p, const struct toc_row *row, const char *indent)
{
    put(p, "%s# A list of at most %.0f%s. Keys of an item:\n", indent, row->max,
        row->flags & TOC_ROW_RESTART ? "; a change needs a restart" : "");
    for (size_t i = 0; i < row->items->n_rows; i++) {
        const struct toc_row *key = &row->items->rows[i];

        put(p, "%s#   %s: %s", indent, key->path, key->doc);
        if (key->type == TOC_ROW_LIST || (key->flags & TOC_ROW_REQUIRED)) {
            put(p, "\n");
            continue;
        }
        put(p, " (");
        put_facts(p, row->items, key);
        put(p, ")\n");
    }
    if (row->example) {
        put(p, "%s# Example:\n", indent);
        put_comment(p, indent, row->example);
    }
}

static void put_row(struct printer *p, const struct toc_schema *schema, const struct toc_row *row, const void *object,
                    const char *indent, const char *name)
{
    const struct toc_list *list = (const void *)((const char *)object + row->offset);

    put_comment(p, indent, row->doc);
    if (row->type == TOC_ROW_LIST) {
        put_list_facts(p, row, indent);
        put(p, "%s%s:%s\n", indent, name, list->n ? "" : " []");
        put_items(p, row->items, list, indent[0] ? "    " : "  ");
        return;
    }
    put(p, "%s# (", indent);
    put_facts(p, schema, row);
    put(p, ")\n%s%s: ", indent, name);
    put_scalar(p, row, (const char *)object + row->offset);
    put(p, "\n");
}

size_t toc_schema_print(const struct toc_schema *schema, const void *object, char *buf, size_t size)
{
    struct printer p = {.buf = buf, .size = size};
    size_t section = 0; /* length of "section." of the row before */
    const char *before = "";

    for (size_t i = 0; i < schema->n_rows; i++) {
        const struct toc_row *row = &schema->rows[i];
        const char *dot = strchr(row->path, '.');
        size_t len = dot ? (size_t)(dot - row->path) + 1 : 0;

        if (len && (len != section || strncmp(before, row->path, len) != 0))
            put(&p, "\n%.*s:\n", (int)len - 1, row->path);
        else if (!len)
            put(&p, "\n");
        section = len;
        before = row->path;
        put_row(&p, schema, row, object, len ? "  " : "", row->path + len);
    }
    return p.len;
}
