/*
 * The JSON text that describes a network -> struct toc_graph, checked. One
 * table says which operation knows which parameter; models/train/export.py
 * documents them. Neither the file around the text (core/model.h) nor the
 * rules of shape (core/graph.h).
 */
#ifndef TOC_CORE_DESCRIPTION_H
#define TOC_CORE_DESCRIPTION_H

#include <stdbool.h>
#include <stddef.h>

#include "core/graph.h"

#define TOC_CONSTANTS_MAX 64
#define TOC_CONSTANT_KEY_SIZE 64

/** Free-form numbers that travel with a network. */
struct toc_constants {
    size_t n;
    struct {
        char key[TOC_CONSTANT_KEY_SIZE];
        double value;
    } list[TOC_CONSTANTS_MAX];
};

/** @param ret_graph, ret_constants  zeroed by the caller; of no use on failure
 * @param ret_why  on failure: layer and reason. @return 0 or -EINVAL */
int toc_description_read(const char *text, struct toc_graph *ret_graph, struct toc_constants *ret_constants,
                         char *ret_why, size_t why_size);

/** 1..size-1 letters, digits, dots, underscores, dashes: names of layers and models. */
bool toc_description_is_label(const char *text, size_t size);

#endif
