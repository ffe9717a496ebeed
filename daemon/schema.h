/*
 * One table says everything about a key: its path, type, unit, range,
 * default, where it is stored, and what it means. Reading, checking, printing,
 * comparing and the manual come from the same rows, so they cannot
 * drift apart. This file knows tables, not what is in them (config.c does).
 */
#ifndef TOC_DAEMON_SCHEMA_H
#define TOC_DAEMON_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/yaml.h"

#define TOC_SCHEMA_ROWS_MAX 96

enum toc_row_type {
    TOC_ROW_NUMBER,  /* double */
    TOC_ROW_INTEGER, /* int32_t */
    TOC_ROW_BOOL,    /* bool */
    TOC_ROW_TEXT,    /* char[size] */
    TOC_ROW_CHOICE,  /* int32_t: position in `choices` */
    TOC_ROW_LIST     /* struct toc_list of `items` */
};

enum {
    TOC_ROW_REQUIRED = 1, /* must be given (items of lists) */
    TOC_ROW_RESTART = 2,  /* a change takes effect at the next start only */
    TOC_ROW_AUTO = 4      /* NUMBER: may be "auto", which is TOC_AUTO of core/settings.h */
};

/** Items of one schema, owned by the struct that holds the list. */
struct toc_list {
    void *items;
    size_t n;
};

struct toc_schema;

struct toc_row {
    const char *path; /* "section.key", or "key" */
    enum toc_row_type type;
    unsigned flags;
    size_t offset;           /* in the struct of the schema */
    size_t size;             /* TEXT: of the buffer, NUL included */
    double min, max;         /* NUMBER, INTEGER; LIST: max items */
    double step;             /* value must be a multiple; 0: any */
    const char *unit;        /* NULL: none */
    const char *const *choices; /* CHOICE: NULL terminated */
    const struct toc_schema *items; /* LIST */
    const char *doc;
    const char *example;     /* LIST: YAML lines shown as a comment while the list is empty; NULL none */
};

struct toc_schema {
    const struct toc_row *rows;
    size_t n_rows;        /* <= TOC_SCHEMA_ROWS_MAX */
    size_t size;          /* of the struct */
    const void *defaults; /* one struct of it; its lists are empty */
    /* Items only. Where the struct keeps its place; and the short form, if the item may be a plain scalar:
     * @return 0, or a static text saying what is wrong through ret_problem and -EINVAL. */
    size_t place_offset;
    int (*from_scalar)(const char *text, void *item, const char **ret_problem);
};

/** Places of the rows that were given, for checks across keys. */
struct toc_schema_places {
    struct toc_place at[TOC_SCHEMA_ROWS_MAX];
};

/** Set `object` to the defaults. Nothing to free yet. */
void toc_schema_init(const struct toc_schema *schema, void *object);
/** Free the lists. */
void toc_schema_finish(const struct toc_schema *schema, void *object);

/**
 * Fill an initialised object from a tree; keys not given keep their value.
 *
 * @param root       NULL (empty document) is fine
 * @param ret_places may be NULL
 * @return 0, -EINVAL (ret_error says place and reason, with the nearest name for an unknown key), -ENOMEM. On error the
 *         object is half filled, to be finished by the caller.
 */
int toc_schema_read(const struct toc_schema *schema, const struct toc_node *root, void *object,
                    struct toc_schema_places *ret_places, struct toc_config_error *ret_error);

/** Write all keys with unit, range, default and meaning as comments. Reads back to the same values.
 * @return bytes needed without NUL (like snprintf; `buf` is always terminated when size > 0) */
size_t toc_schema_print(const struct toc_schema *schema, const void *object, char *buf, size_t size);

/** Index of the first row at or after `from` whose value differs; n_rows when none does. */
size_t toc_schema_differs(const struct toc_schema *schema, const void *a, const void *b, size_t from);

/** Exchange the values of all rows with these flags. Both objects stay whole, lists included. */
void toc_schema_exchange(const struct toc_schema *schema, unsigned flags, void *a, void *b);

/** Steps (insert, delete, replace, swap of neighbours) from a to b, each counted up to 47 characters. */
int toc_edit_distance(const char *a, const char *b);

#endif
