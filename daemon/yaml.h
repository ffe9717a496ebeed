/*
 * YAML text to a small tree that remembers where everything stood. No
 * schema here, no meaning: maps, lists, scalars. The input may be hostile:
 * size, depth and number of nodes are capped; anchors, aliases, tags and a
 * second document are refused, since a configuration needs none of them.
 */
#ifndef TOC_DAEMON_YAML_H
#define TOC_DAEMON_YAML_H

#include <stdbool.h>
#include <stddef.h>

#define TOC_YAML_BYTES_MAX (1u << 20)
#define TOC_YAML_DEPTH_MAX 8
#define TOC_YAML_NODES_MAX 100000

/** A position in a text, counted from 1; 0 unknown. */
struct toc_place {
    int line, column;
};

/** Why a text was refused, and where. */
struct toc_config_error {
    char file[512];
    struct toc_place place;
    char text[320];
};

enum toc_node_kind { TOC_NODE_SCALAR, TOC_NODE_MAP, TOC_NODE_LIST };

struct toc_node {
    enum toc_node_kind kind;
    struct toc_place place;
    char *text;             /* scalar: owned, NUL terminated, free of NUL inside */
    bool quoted;            /* scalar: was written in quotes, so it is text and nothing else */
    struct toc_node *child; /* owned; a map lists key, value, key, value ... */
    struct toc_node *next;  /* owned by the parent's list */
    size_t n;               /* list: items; map: pairs */
};

/**
 * @param text      not necessarily NUL terminated
 * @param ret_root  owned by the caller, toc_yaml_destroy(); NULL for an empty document. Untouched on error
 * @param ret_error place and text filled on -EINVAL (file is left alone)
 * @return 0, -EINVAL, -ENOMEM
 */
int toc_yaml_parse(const char *text, size_t len, struct toc_node **ret_root, struct toc_config_error *ret_error);
void toc_yaml_destroy(struct toc_node *node);

/** Fill an error. @return -EINVAL, to be returned by the caller. */
int toc_config_refuse(struct toc_config_error *ret_error, struct toc_place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
