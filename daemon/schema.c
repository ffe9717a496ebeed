/*
 * Reading: tree to struct by the rows.
 */
#include "daemon/schema.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/settings.h"

#define NAME_MAX_CHARS 47
#define PATH_SIZE 128

struct context {
    const struct toc_schema *schema;
    void *object;
    struct toc_schema_places *places; /* NULL: nobody asks */
    struct toc_config_error *error;
};

void toc_schema_init(const struct toc_schema *schema, void *object)
{
    memcpy(object, schema->defaults, schema->size);
}

static void finish_list(const struct toc_schema *items, struct toc_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        toc_schema_finish(items, (char *)list->items + i * items->size);
    free(list->items);
    *list = (struct toc_list){0};
}

void toc_schema_finish(const struct toc_schema *schema, void *object)
{
    for (size_t i = 0; i < schema->n_rows; i++) {
        const struct toc_row *row = &schema->rows[i];

        if (row->type == TOC_ROW_LIST)
            finish_list(row->items, (struct toc_list *)((char *)object + row->offset));
    }
}

static int min3(int a, int b, int c)
{
    int m = a < b ? a : b;

    return m < c ? m : c;
}

int toc_edit_distance(const char *a, const char *b)
{
    int d[3][NAME_MAX_CHARS + 1]; /* the last three rows of the table */
    int n = (int)strnlen(a, NAME_MAX_CHARS), m = (int)strnlen(b, NAME_MAX_CHARS);

    for (int j = 0; j <= m; j++)
        d[0][j] = j;
    for (int i = 1; i <= n; i++) {
        int *now = d[i % 3], *one = d[(i + 2) % 3], *two = d[(i + 1) % 3];

        now[0] = i;
        for (int j = 1; j <= m; j++) {
            now[j] = min3(one[j] + 1, now[j - 1] + 1, one[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && two[j - 2] + 1 < now[j])
                now[j] = two[j - 2] + 1;
        }
    }
    return d[n % 3][m];
}

/* ---- nearest name ---- */

struct nearest {
    int distance;
    char name[PATH_SIZE];
};

static void consider(struct nearest *best, const char *given, const char *name, size_t name_len, const char *shown)
{
    char copy[PATH_SIZE];
    int distance;

    snprintf(copy, sizeof(copy), "%.*s", (int)name_len, name);
    distance = toc_edit_distance(given, copy);
    if (distance < best->distance) {
        best->distance = distance;
        snprintf(best->name, sizeof(best->name), "%s", shown ? shown : copy);
    }
}

/* A key of this map first; failing that the same key of another section, named with its section. */
static int refuse_unknown(const struct context *c, const char *prefix, const struct toc_node *key)
{
    size_t skip = strlen(prefix), len = strlen(key->text);
    struct nearest best = {.distance = (int)(len < 3 ? 2 : len / 3 + 2)};

    for (size_t i = 0; i < c->schema->n_rows; i++)
        if (strncmp(c->schema->rows[i].path, prefix, skip) == 0) {
            const char *rest = c->schema->rows[i].path + skip;

            consider(&best, key->text, rest, strcspn(rest, "."), NULL);
        }
    for (size_t i = 0; i < c->schema->n_rows && best.distance > 1; i++) {
        const char *path = c->schema->rows[i].path, *dot = strchr(path, '.');

        if (dot && strcmp(dot + 1, key->text) == 0)
            consider(&best, key->text, dot + 1, strlen(dot + 1), path);
    }
    if (best.name[0])
        return toc_config_refuse(c->error, key->place, "unknown key '%.60s%.60s' (did you mean '%s'?)", prefix,
                                 key->text, best.name);
    return toc_config_refuse(c->error, key->place, "unknown key '%.60s%.60s'", prefix, key->text);
}

/* ---- scalars ---- */

static int read_real(const struct context *c, const struct toc_row *row, const struct toc_node *value, double *ret)
{
    char *end;
    double number;

    if (value->quoted || !value->text[0] || strpbrk(value->text, "xXnN"))
        return toc_config_refuse(c->error, value->place, "%s: '%.40s' is not a number", row->path, value->text);
    errno = 0;
    number = strtod(value->text, &end);
    if (*end || end == value->text || errno == ERANGE || !isfinite(number))
        return toc_config_refuse(c->error, value->place, "%s: '%.40s' is not a number", row->path, value->text);
    if (number < row->min || number > row->max)
        return toc_config_refuse(c->error, value->place, "%s: %.15g is out of range %.15g..%.15g%s%s", row->path,
                                 number, row->min, row->max, row->unit ? " " : "", row->unit ? row->unit : "");
    if (row->step > 0 && fabs(remainder(number, row->step)) > 1e-9)
        return toc_config_refuse(c->error, value->place, "%s: %.15g is not a multiple of %.15g", row->path, number,
                                 row->step);
    *ret = number;
    return 0;
}

static int read_number(const struct context *c, const struct toc_row *row, const struct toc_node *value, void *at)
{
    if ((row->flags & TOC_ROW_AUTO) && !value->quoted && strcmp(value->text, "auto") == 0) {
        *(double *)at = TOC_AUTO;
        return 0;
    }
    return read_real(c, row, value, at);
}

static int read_integer(const struct context *c, const struct toc_row *row, const struct toc_node *value, void *at)
{
    double number;
    int err = read_real(c, row, value, &number);

    if (err < 0)
        return err;
    if (number != floor(number))
        return toc_config_refuse(c->error, value->place, "%s: %.15g is not a whole number", row->path, number);
    *(int32_t *)at = (int32_t)number; /* the range of every integer row lies within int32 */
    return 0;
}

static int read_bool(const struct context *c, const struct toc_row *row, const struct toc_node *value, void *at)
{
    bool yes = strcmp(value->text, "true") == 0;

    if (value->quoted || (!yes && strcmp(value->text, "false") != 0))
        return toc_config_refuse(c->error, value->place, "%s: '%.40s' is neither true nor false", row->path,
                                 value->text);
    *(bool *)at = yes;
    return 0;
}

/* Controls, and what YAML takes for a line break or a mark in UTF-8: C1 controls with NEL, U+2028, U+2029, U+FEFF. They
 * would not survive being printed and read again, and have no business in a log line. */
static bool is_control(const char *s)
{
    unsigned char a = (unsigned char)s[0], b = (unsigned char)s[1];

    if (a < 0x20 || a == 0x7f)
        return true;
    if (a == 0xc2)
        return b < 0xa0;
    return !strncmp(s, "\xe2\x80\xa8", 3) || !strncmp(s, "\xe2\x80\xa9", 3) || !strncmp(s, "\xef\xbb\xbf", 3);
}

static int read_text(const struct context *c, const struct toc_row *row, const struct toc_node *value, void *at)
{
    size_t len = strlen(value->text);

    if (len >= row->size)
        return toc_config_refuse(c->error, value->place, "%s: longer than %zu bytes", row->path, row->size - 1);
    for (const char *s = value->text; *s; s++)
        if (is_control(s))
            return toc_config_refuse(c->error, value->place, "%s: holds a control character", row->path);
    if ((row->flags & TOC_ROW_REQUIRED) && len == 0)
        return toc_config_refuse(c->error, value->place, "%s: is empty", row->path);
    memcpy(at, value->text, len + 1);
    return 0;
}

static int read_choice(const struct context *c, const struct toc_row *row, const struct toc_node *value, void *at)
{
    struct nearest best = {.distance = 4};

    for (int32_t i = 0; row->choices[i]; i++) {
        if (strcmp(row->choices[i], value->text) == 0) {
            *(int32_t *)at = i;
            return 0;
        }
        consider(&best, value->text, row->choices[i], strlen(row->choices[i]), NULL);
    }
    return toc_config_refuse(c->error, value->place, "%s: '%.40s' is not one of its values (did you mean '%s'?)",
                             row->path, value->text, best.name[0] ? best.name : row->choices[0]);
}

/* ---- lists ---- */

static int check_required(const struct context *c, const struct toc_node *item, const struct toc_schema_places *places)
{
    for (size_t i = 0; i < c->schema->n_rows; i++)
        if ((c->schema->rows[i].flags & TOC_ROW_REQUIRED) && !places->at[i].line)
            return toc_config_refuse(c->error, item->place, "'%s' is missing here", c->schema->rows[i].path);
    return 0;
}

static int read_item(const struct context *c, const struct toc_row *row, const struct toc_node *item, void *object)
{
    const struct toc_schema *schema = row->items;
    struct toc_schema_places places = {0};
    struct context inner = {schema, object, &places, c->error};
    const char *problem = "";
    int err;

    *(struct toc_place *)((char *)object + schema->place_offset) = item->place;
    if (item->kind == TOC_NODE_SCALAR && schema->from_scalar) {
        if (schema->from_scalar(item->text, object, &problem) < 0)
            return toc_config_refuse(c->error, item->place, "%s: '%.40s' %s", row->path, item->text, problem);
        return 0;
    }
    if (item->kind != TOC_NODE_MAP)
        return toc_config_refuse(c->error, item->place, "%s: each item must be a map (key: value)", row->path);
    err = toc_schema_read(schema, item, object, &places, c->error);
    return err < 0 ? err : check_required(&inner, item, &places);
}

static int read_list(const struct context *c, const struct toc_row *row, const struct toc_node *value, void *at)
{
    const struct toc_schema *schema = row->items;
    struct toc_list *list = at;
    int err = 0;

    if ((double)value->n > row->max)
        return toc_config_refuse(c->error, value->place, "%s: more than %.0f items", row->path, row->max);
    finish_list(schema, list);
    if (value->n == 0)
        return 0;
    list->items = calloc(value->n, schema->size);
    if (!list->items)
        return -ENOMEM;
    for (const struct toc_node *item = value->child; item && err == 0; item = item->next) {
        void *object = (char *)list->items + list->n++ * schema->size;

        toc_schema_init(schema, object);
        err = read_item(c, row, item, object);
    }
    return err;
}

/* ---- rows and maps ---- */

static int read_scalar(const struct context *c, const struct toc_row *row, const struct toc_node *value, void *at)
{
    switch (row->type) {
    case TOC_ROW_NUMBER:
        return read_number(c, row, value, at);
    case TOC_ROW_INTEGER:
        return read_integer(c, row, value, at);
    case TOC_ROW_BOOL:
        return read_bool(c, row, value, at);
    case TOC_ROW_TEXT:
        return read_text(c, row, value, at);
    case TOC_ROW_CHOICE:
        return read_choice(c, row, value, at);
    case TOC_ROW_LIST:
        break;
    }
    return toc_config_refuse(c->error, value->place, "%s: a list is wanted here", row->path);
}

static int read_row(const struct context *c, const struct toc_row *row, const struct toc_node *key,
                    const struct toc_node *value)
{
    void *at = (char *)c->object + row->offset;

    if (c->places)
        c->places->at[row - c->schema->rows] = key->place;
    if (row->type == TOC_ROW_LIST && value->kind == TOC_NODE_LIST)
        return read_list(c, row, value, at);
    if (value->kind != TOC_NODE_SCALAR)
        return toc_config_refuse(c->error, value->place, "%s: a %s is wanted here, not a %s", row->path,
                                 row->type == TOC_ROW_LIST ? "list" : "single value",
                                 value->kind == TOC_NODE_MAP ? "map" : "list");
    return read_scalar(c, row, value, at);
}

static const struct toc_row *find_row(const struct toc_schema *schema, const char *path)
{
    for (size_t i = 0; i < schema->n_rows; i++)
        if (strcmp(schema->rows[i].path, path) == 0)
            return &schema->rows[i];
    return NULL;
}

static bool is_section(const struct toc_schema *schema, const char *prefix)
{
    for (size_t i = 0; i < schema->n_rows; i++)
        if (strncmp(schema->rows[i].path, prefix, strlen(prefix)) == 0)
            return true;
    return false;
}

/* Only keys already found valid are compared, so the pairs are few even in a hostile file. */
static int refuse_duplicate(const struct context *c, const struct toc_node *map, const struct toc_node *key)
{
    for (const struct toc_node *k = map->child; k != key; k = k->next->next)
        if (strcmp(k->text, key->text) == 0)
            return toc_config_refuse(c->error, key->place, "key '%.60s' was given before, at line %d", key->text,
                                     k->place.line);
    return 0;
}

static int read_map(const struct context *c, const char *prefix, const struct toc_node *map);

static int read_section(const struct context *c, const char *prefix, const struct toc_node *value)
{
    if (value->kind == TOC_NODE_SCALAR && !value->quoted && !value->text[0])
        return 0; /* "picker:" with nothing below: all defaults */
    if (value->kind != TOC_NODE_MAP)
        return toc_config_refuse(c->error, value->place, "'%.*s' is a section: keys belong below it",
                                 (int)strlen(prefix) - 1, prefix);
    return read_map(c, prefix, value);
}

static int read_pair(const struct context *c, const char *prefix, const struct toc_node *key)
{
    char path[PATH_SIZE];
    const struct toc_row *row;

    if (key->kind != TOC_NODE_SCALAR)
        return toc_config_refuse(c->error, key->place, "a key must be a plain name");
    if (strlen(prefix) + strlen(key->text) + 2 > sizeof(path) || !key->text[0] || strchr(key->text, '.'))
        return refuse_unknown(c, prefix, key);
    snprintf(path, sizeof(path), "%s%s", prefix, key->text);
    row = find_row(c->schema, path);
    if (row)
        return read_row(c, row, key, key->next);
    strcat(path, "."); /* room was checked above */
    if (is_section(c->schema, path))
        return read_section(c, path, key->next);
    return refuse_unknown(c, prefix, key);
}

static int read_map(const struct context *c, const char *prefix, const struct toc_node *map)
{
    int err = 0;

    for (const struct toc_node *key = map->child; key && err == 0; key = key->next->next) {
        err = key->kind == TOC_NODE_SCALAR ? refuse_duplicate(c, map, key) : 0;
        if (err == 0)
            err = read_pair(c, prefix, key);
    }
    return err;
}

int toc_schema_read(const struct toc_schema *schema, const struct toc_node *root, void *object,
                    struct toc_schema_places *ret_places, struct toc_config_error *ret_error)
{
    const struct context c = {schema, object, ret_places, ret_error};

    if (!root)
        return 0;
    if (root->kind == TOC_NODE_SCALAR && !root->quoted && !root->text[0])
        return 0;
    if (root->kind != TOC_NODE_MAP)
        return toc_config_refuse(ret_error, root->place, "the file must be a map (section: ...)");
    return read_map(&c, "", root);
}
