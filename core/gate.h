/*
 * The cheap detector in front of the picker network, for times when there
 * is more to do than time: rows of a station where nothing moves do not go
 * through the network. It reads what is computed anyway, the ratio of fast to
 * slow RMS in the feature rows, and keeps the rows that were left out, so that
 * the network can be given them when something moves.
 */
#ifndef TOC_CORE_GATE_H
#define TOC_CORE_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/window.h"

#define TOC_GATE_OPEN_ROWS 300u    /* open so long after the last row that was loud */
#define TOC_GATE_STRICT_ROWS 100u  /* ... when strict */
/* Rows that were left out: the last 4 s are kept. On the Ridgecrest hour, gated throughout, 2 s kept 188 of the 194 P of
 * 15 dB and more and put 126 S where none were, 4 s 193 and 16, 7 s (the network's whole context) 194 and 3. */
#define TOC_GATE_KEPT_ROWS 400u
#define TOC_GATE_RETURN_ROWS 1000u /* a station that is let go quiet returns within so much data */

/** What it is asked to do. */
struct toc_gate_rule {
    bool gate;   /* false: leave nothing out */
    bool strict; /* an arrival that is followed is no reason to stay open: what is loud in it is */
    float level; /* log10 of the ratio at or above which a row is loud */
};

/** State of one station; a plain value. */
struct toc_gate {
    int64_t loud_until; /* grid index */
    uint32_t missed;    /* rows left out; the last of them stand in kept, row i at i % TOC_GATE_KEPT_ROWS */
    float kept[TOC_GATE_KEPT_ROWS * TOC_FEATURES];
};

/** At the start and after a gap, at grid index `index`: open, nothing missed. */
void toc_gate_reset(struct toc_gate *gate, int64_t index);

/**
 * Shall the network not get these rows? If so they are kept.
 *
 * Left out are rows of a station that follows no arrival and had no loud row for TOC_GATE_OPEN_ROWS. Without a gate, a
 * station from which rows were left out returns when it gets loud, else once its own moment has come in the next
 * TOC_GATE_RETURN_ROWS of data: not all at once, which would be the next overload.
 *
 * @param rows     feature rows [n][TOC_FEATURES]
 * @param first    grid index of the first of them
 * @param moment   tells stations apart, rows: any number
 * @param follows  the station follows an arrival
 */
bool toc_gate_closes(struct toc_gate *gate, const struct toc_gate_rule *rule, const float *rows, uint32_t n,
                     int64_t first, uint32_t moment, bool follows);

/**
 * What was left out, oldest first; it counts as given from here on.
 *
 * @param ret_rows   room for TOC_GATE_KEPT_ROWS rows
 * @param ret_whole  false: there was more, so the state of before does not go on
 * @return rows, 0 when nothing was missed
 */
uint32_t toc_gate_take_missed(struct toc_gate *gate, float *ret_rows, bool *ret_whole);

#endif
