/*
 * What a listener keeps of the rows of a block before anything is decided:
 * feature rows for the networks, motion steps for the estimators, a trace
 * for polarity and class.
 */
#include "core/listen_inner.h"

#include <math.h>

/* After a gap nothing of before may reach into what comes. */
static void restart(struct toc_listener *l, int64_t index)
{
    toc_features_reset(l->features);
    toc_motion_reset(l->motion, l->stand.acceleration);
    toc_seats_reset(&l->seats);
    toc_gate_reset(l->gate, index);
    toc_classic_reset(l->classic);
    toc_picker_reset(&l->picker);
    if (l->second)
        toc_second_reset(l->second);
    toc_picker_reset(&l->shadow);
    for (int i = 0; i < FOLLOWED; i++)
        l->followed[i].active = false;
    l->first_row = index;
    l->first_step = l->end_step = 0;
    l->now = (struct progress){
        .started = index, .end_row = index, .last_changed = index, .last_clipped = index - CLIP_MEMORY};
}

static void keep_steps(struct toc_listener *l, int64_t end, const struct toc_motion_step *steps, uint32_t n)
{
    if (n > 0 && l->end_step == l->first_step)
        l->first_step = end - n;
    for (uint32_t i = 0; i < n; i++)
        l->steps[(end - n + i) % STEPS] = steps[i];
    if (n > 0)
        l->end_step = end;
    if (l->end_step - l->first_step > STEPS)
        l->first_step = l->end_step - STEPS;
}

static void keep_row(struct toc_listener *l, int64_t index, float z, bool clipped)
{
    if (clipped)
        l->now.last_clipped = index;
    if (!(z == l->last_z)) /* also true for NAN: a missing vertical is not a flat one */
        l->now.last_changed = index;
    l->last_z = z;
}

static void keep_rows(struct toc_listener *l)
{
    for (uint32_t i = 0; i < l->block; i++) {
        for (int c = 0; c < TOC_COMPONENTS; c++)
            l->trace[c][(l->rows.first + i) % TRACE] = l->rows.enz[c][i];
        keep_row(l, l->rows.first + i, l->rows.enz[TOC_Z][i], l->rows.clipped[i]);
    }
    l->now.end_row = l->rows.first + l->block;
    if (l->now.end_row - l->first_row > TRACE)
        l->first_row = l->now.end_row - TRACE;
}

static void feed_motion(struct toc_listener *l)
{
    float si[TOC_COMPONENTS][TOC_ROWS_MAX];
    const float *const enz[TOC_COMPONENTS] = {si[0], si[1], si[2]};
    double scale = isfinite(l->stand.scale) ? l->stand.scale : 1;
    struct toc_motion_step steps[TOC_ROWS_MAX / TOC_STEP_SAMPLES + 1];
    for (int c = 0; c < TOC_COMPONENTS; c++)
        for (uint32_t i = 0; i < l->block; i++)
            si[c][i] = (float)(l->rows.enz[c][i] / scale);
    uint32_t n = toc_motion_push_rows(l->motion, l->rows.first, enz, l->rows.clipped, l->block, steps);
    keep_steps(l, (l->rows.first + l->block) / TOC_STEP_SAMPLES, steps, n);
}

uint32_t toc_listen_lead_rows(const struct toc_listener *l)
{
    int64_t into = l->rows.first % l->hop;
    return into == 0 ? 0 : (uint32_t)(l->hop - into);
}

void toc_listen_prepare(struct toc_listener *l, float *ret_features)
{
    const float *const enz[TOC_COMPONENTS] = {l->rows.enz[0], l->rows.enz[1], l->rows.enz[2]};
    if (l->rows.restart)
        restart(l, l->rows.first);
    toc_features_push_rows(l->features, enz, l->block, ret_features);
    if (l->second)
        toc_second_keep(l->second, l->rows.first, ret_features, l->block);
    keep_rows(l);
    feed_motion(l);
}
