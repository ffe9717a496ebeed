/*
 * See the header. A quiet station's missed rows are a ring; its counter is
 * kept small, many missed rows being as good as more.
 */
#include "core/gate.h"

#include <string.h>

#define KEPT TOC_GATE_KEPT_ROWS

void toc_gate_reset(struct toc_gate *gate, int64_t index)
{
    gate->loud_until = index;
    gate->missed = 0;
}

static bool is_loud(const float *rows, uint32_t n, float level)
{
    for (; n > 0; n--, rows += TOC_FEATURES)
        if (rows[3] >= level || rows[4] >= level || rows[5] >= level)
            return true;
    return false;
}

static void keep(struct toc_gate *gate, const float *rows, uint32_t n)
{
    for (; n > 0; n--, rows += TOC_FEATURES)
        memcpy(gate->kept + (size_t)(gate->missed++ % KEPT) * TOC_FEATURES, rows, TOC_FEATURES * sizeof *rows);
    while (gate->missed > 3 * KEPT)
        gate->missed -= KEPT;
}

/* Once in RETURN_ROWS of data, at a row of the station's own. */
static bool has_come(int64_t first, uint32_t n, uint32_t moment)
{
    return (first + moment) / TOC_GATE_RETURN_ROWS != (first + moment + n) / TOC_GATE_RETURN_ROWS;
}

bool toc_gate_closes(struct toc_gate *gate, const struct toc_gate_rule *rule, const float *rows, uint32_t n,
                     int64_t first, uint32_t moment, bool follows)
{
    if (!rule->gate && gate->missed == 0)
        return false;
    bool open = (follows && !rule->strict) || is_loud(rows, n, rule->level);
    if (open)
        gate->loud_until = first + n;
    if (rule->gate)
        open = open || first + n - gate->loud_until < (int64_t)(rule->strict ? TOC_GATE_STRICT_ROWS : TOC_GATE_OPEN_ROWS);
    else
        open = open || has_come(first, n, moment);
    if (!open)
        keep(gate, rows, n);
    return !open;
}

uint32_t toc_gate_take_missed(struct toc_gate *gate, float *ret_rows, bool *ret_whole)
{
    uint32_t n = gate->missed < KEPT ? gate->missed : KEPT, first = gate->missed - n;
    for (uint32_t i = 0; i < n; i++)
        memcpy(ret_rows + (size_t)i * TOC_FEATURES, gate->kept + (size_t)((first + i) % KEPT) * TOC_FEATURES,
               TOC_FEATURES * sizeof *ret_rows);
    *ret_whole = first == 0;
    gate->missed = 0;
    return n;
}
