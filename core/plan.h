/*
 * Where the buffers of a graph's layers lie in one arena, known before the
 * first row. Layers whose lives do not overlap share memory. A layer that is
 * concatenated writes into its columns of the joined buffer, one that is
 * cropped into the rows that stay: no copies. Sizes and places only; no
 * memory, no arithmetic (core/net.h).
 */
#ifndef TOC_CORE_PLAN_H
#define TOC_CORE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/graph.h"

/** Row 0 of a layer lies in row `row`, column `column` of the buffer of layer `root`. */
struct toc_place {
    uint32_t root, column;
    int32_t row;
    bool cut; /* inside a buffer of fewer rows: those outside are never made, for nobody but the crop reads */
};

struct toc_plan {
    bool window; /* whole windows with zero rows around; else blocks of streams */
    struct toc_place places[TOC_GRAPH_LAYERS_MAX];
    /* of roots */
    uint64_t at[TOC_GRAPH_LAYERS_MAX]; /* floats from the arena's start to row 0 */
    uint32_t margin_left[TOC_GRAPH_LAYERS_MAX], margin_right[TOC_GRAPH_LAYERS_MAX]; /* rows of zeros around */
    uint32_t begin[TOC_GRAPH_LAYERS_MAX], end[TOC_GRAPH_LAYERS_MAX]; /* first layer that writes, last that reads */
    uint64_t floats;
};

/**
 * @param graph   checked
 * @param rows    [n_layers], the most rows each layer ever has (of all streams of a block together)
 * @param window  whole windows
 */
void toc_plan_make(const struct toc_graph *graph, const uint32_t *rows, bool window, struct toc_plan *ret_plan);

#endif
