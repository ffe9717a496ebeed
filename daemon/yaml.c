/*
 * Events of libyaml to nodes. Recursion is safe because the depth is capped
 * before each descent.
 */
#include "daemon/yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

struct reader {
    yaml_parser_t parser;
    const char *text;
    size_t len;
    size_t nodes;
    struct toc_config_error *error;
};

int toc_config_refuse(struct toc_config_error *ret_error, struct toc_place place, const char *format, ...)
{
    va_list args;

    ret_error->place = place;
    va_start(args, format);
    vsnprintf(ret_error->text, sizeof(ret_error->text), format, args);
    va_end(args);
    return -EINVAL;
}

void toc_yaml_destroy(struct toc_node *node)
{
    while (node) {
        struct toc_node *next = node->next;

        toc_yaml_destroy(node->child);
        free(node->text);
        free(node);
        node = next;
    }
}

static struct toc_place place_of(yaml_mark_t mark)
{
    return (struct toc_place){(int)mark.line + 1, (int)mark.column + 1};
}

/* The reader's errors (bad UTF-8) carry a byte offset and no mark. */
static struct toc_place place_of_offset(const struct reader *r, size_t offset)
{
    struct toc_place place = {1, 1};

    for (size_t i = 0; i < offset && i < r->len; i++) {
        place.column++;
        if (r->text[i] == '\n')
            place = (struct toc_place){place.line + 1, 1};
    }
    return place;
}

static int libyaml_failed(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem ? p->problem : "cannot be read";

    if (p->error == YAML_MEMORY_ERROR)
        return -ENOMEM;
    if (p->error == YAML_READER_ERROR)
        return toc_config_refuse(r->error, place_of_offset(r, p->problem_offset), "%s", problem);
    return toc_config_refuse(r->error, place_of(p->problem_mark), "%s%s%s", p->context ? p->context : "",
                             p->context ? ": " : "", problem);
}

/* A scalar or collection start is refused for what a configuration has no use for. */
static int refuse_extras(struct reader *r, const yaml_event_t *e)
{
    struct toc_place place = place_of(e->start_mark);
    const yaml_char_t *anchor = NULL, *tag = NULL;

    if (e->type == YAML_ALIAS_EVENT)
        return toc_config_refuse(r->error, place, "aliases (*name) are not allowed: write the value out");
    if (e->type == YAML_SCALAR_EVENT) {
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
    } else if (e->type == YAML_MAPPING_START_EVENT) {
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
    }
    if (anchor)
        return toc_config_refuse(r->error, place, "anchors (&name) are not allowed: write the value out");
    if (tag)
        return toc_config_refuse(r->error, place, "tags (!name) are not allowed");
    if (++r->nodes > TOC_YAML_NODES_MAX)
        return toc_config_refuse(r->error, place, "more than %d values", TOC_YAML_NODES_MAX);
    return 0;
}

static int new_node(const yaml_event_t *e, enum toc_node_kind kind, struct toc_node **ret_node)
{
    struct toc_node *node = calloc(1, sizeof(*node));

    if (!node)
        return -ENOMEM;
    node->kind = kind;
    node->place = place_of(e->start_mark);
    *ret_node = node;
    return 0;
}

static int new_scalar(struct reader *r, const yaml_event_t *e, struct toc_node **ret_node)
{
    const char *value = (const char *)e->data.scalar.value;
    size_t len = e->data.scalar.length;
    struct toc_node *node;
    int err;

    if (memchr(value, 0, len))
        return toc_config_refuse(r->error, place_of(e->start_mark), "a value holds a NUL character");
    err = new_node(e, TOC_NODE_SCALAR, &node);
    if (err < 0)
        return err;
    node->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    node->text = strndup(value, len);
    if (!node->text) {
        toc_yaml_destroy(node);
        return -ENOMEM;
    }
    *ret_node = node;
    return 0;
}

static int next_event(struct reader *r, yaml_event_t *ret_event)
{
    return yaml_parser_parse(&r->parser, ret_event) ? 0 : libyaml_failed(r);
}

static int read_node(struct reader *r, const yaml_event_t *e, int depth, struct toc_node **ret_node);

/* Children up to the end event, appended in order. */
static int read_children(struct reader *r, struct toc_node *parent, int depth)
{
    struct toc_node **tail = &parent->child;

    for (;;) {
        yaml_event_t e;
        int err = next_event(r, &e);

        if (err < 0)
            return err;
        if (e.type == YAML_SEQUENCE_END_EVENT || e.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&e);
            return 0;
        }
        err = read_node(r, &e, depth, tail);
        yaml_event_delete(&e);
        if (err < 0)
            return err;
        tail = &(*tail)->next;
        parent->n++;
    }
}

static int read_collection(struct reader *r, const yaml_event_t *e, int depth, struct toc_node **ret_node)
{
    bool map = e->type == YAML_MAPPING_START_EVENT;
    struct toc_node *node;
    int err;

    if (depth >= TOC_YAML_DEPTH_MAX)
        return toc_config_refuse(r->error, place_of(e->start_mark), "nested deeper than %d", TOC_YAML_DEPTH_MAX);
    err = new_node(e, map ? TOC_NODE_MAP : TOC_NODE_LIST, &node);
    if (err < 0)
        return err;
    err = read_children(r, node, depth + 1);
    if (err < 0) {
        toc_yaml_destroy(node);
        return err;
    }
    if (map)
        node->n /= 2;
    *ret_node = node;
    return 0;
}

static int read_node(struct reader *r, const yaml_event_t *e, int depth, struct toc_node **ret_node)
{
    int err = refuse_extras(r, e);

    if (err < 0)
        return err;
    if (e->type == YAML_SCALAR_EVENT)
        return new_scalar(r, e, ret_node);
    return read_collection(r, e, depth, ret_node);
}

/* One event of the stream's frame, or the root node. @return 1 at the end of the stream, 0 to go on. */
static int read_frame(struct reader *r, struct toc_node **root, int *documents)
{
    yaml_event_t e;
    int err = next_event(r, &e);

    if (err < 0)
        return err;
    if (e.type == YAML_STREAM_END_EVENT)
        err = 1;
    else if (e.type == YAML_DOCUMENT_START_EVENT && ++*documents > 1)
        err = toc_config_refuse(r->error, place_of(e.start_mark), "a second document is not allowed");
    else if (e.type == YAML_SCALAR_EVENT || e.type == YAML_ALIAS_EVENT || e.type == YAML_SEQUENCE_START_EVENT ||
             e.type == YAML_MAPPING_START_EVENT)
        err = read_node(r, &e, 0, root);
    yaml_event_delete(&e);
    return err;
}

static int read_stream(struct reader *r, struct toc_node **ret_root)
{
    struct toc_node *root = NULL;
    int documents = 0, err;

    do
        err = read_frame(r, &root, &documents);
    while (err == 0);
    if (err < 0) {
        toc_yaml_destroy(root);
        return err;
    }
    *ret_root = root;
    return 0;
}

int toc_yaml_parse(const char *text, size_t len, struct toc_node **ret_root, struct toc_config_error *ret_error)
{
    struct reader r = {.text = text, .len = len, .error = ret_error};
    int err;

    if (len > TOC_YAML_BYTES_MAX)
        return toc_config_refuse(ret_error, (struct toc_place){0, 0}, "larger than %u bytes", TOC_YAML_BYTES_MAX);
    if (!yaml_parser_initialize(&r.parser))
        return -ENOMEM;
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    err = read_stream(&r, ret_root);
    yaml_parser_delete(&r.parser);
    return err;
}
