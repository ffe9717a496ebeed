/*
 * See the header. The two things worth knowing: features and steps are made
 * as rows come, ahead of the network by at most one block; and an arrival
 * is followed from the step that holds its onset, which lies in the past
 * when the pick is declared, so steps are kept for half a minute.
 */
#include "core/listen.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/classic.h"
#include "core/estimator.h"
#include "core/picker.h"
#include "core/window.h"

#define STRIDE 5u             /* rows per frame of the picker network */
#define HOP_ROWS_MAX 100u
#define OUTPUTS 7u
#define STEPS 320u            /* 32 s of motion steps */
#define TRACE 1024u           /* 10 s of the vertical, for polarity */
#define NOISE_STEPS 50u       /* 5 s before an onset */
#define FOLLOWED 2            /* arrivals followed at once: a second quake in the coda of the first */
#define STALE_NS (60 * TOC_NS_PER_S)
#define LATE_NS (30 * TOC_NS_PER_S)
#define CLIP_MEMORY (30 * TOC_MODEL_RATE_HZ) /* rows */
#define FLAT_ROWS (5 * TOC_MODEL_RATE_HZ)

struct followed {
    struct toc_estimator *estimator; /* owned */
    bool active;
    uint64_t pick_id;
    toc_ns onset;
    int64_t next; /* absolute step it waits for */
};

struct toc_listener {
    struct toc_group *group; /* owned */
    uint32_t group_index, site;
    struct toc_settings settings;
    uint32_t hop;            /* rows per block */
    const struct toc_model *model;
    struct toc_model_stream *stream; /* owned; NULL: classical */
    struct toc_features *features;   /* owned */
    struct toc_motion *motion;       /* owned */
    struct toc_picker picker;
    struct toc_classic *classic;     /* owned; NULL: network */
    struct followed followed[FOLLOWED];
    /* the block being filled, then due */
    float block[HOP_ROWS_MAX * TOC_FEATURES];
    float frames[HOP_ROWS_MAX / STRIDE * OUTPUTS];
    uint32_t filled;
    int64_t block_index;     /* grid index of its first row */
    bool due;
    /* history by absolute index */
    struct toc_motion_step steps[STEPS];
    int64_t first_step, end_step; /* kept: [first, end) */
    float trace[TRACE];
    int64_t first_row, end_row;
    int64_t last_clipped, last_changed;
    float last_z;
    struct toc_pick classic_picks[TOC_LISTEN_PICKS_MAX];
    uint32_t n_classic;
    int64_t started;         /* grid index of the first row since a restart */
    toc_ns picked_until, arrived;
};

static int create_networks(struct toc_listener *l, const struct toc_listener_parts *parts)
{
    l->model = parts->picker;
    if (!l->model)
        return toc_classic_create(&l->classic);
    if (toc_model_inputs(l->model) != TOC_FEATURES || toc_model_outputs(l->model) != OUTPUTS ||
        toc_model_stride(l->model) != STRIDE)
        return -EINVAL;
    return toc_model_stream_create(l->model, &l->stream);
}

static int create_stages(struct toc_listener *l, const struct toc_listener_parts *parts)
{
    int r = toc_group_create(parts->sid, parts->inventory, &parts->settings->stream, &l->group);
    if (r == 0)
        r = toc_features_create(&l->features);
    if (r == 0)
        r = toc_motion_create(&l->motion);
    for (int i = 0; i < FOLLOWED && r == 0; i++)
        r = toc_estimator_create(parts->estimator, &l->followed[i].estimator);
    return r == 0 ? create_networks(l, parts) : r;
}

int toc_listener_create(const struct toc_listener_parts *parts, struct toc_listener **ret_listener)
{
    struct toc_listener *l = calloc(1, sizeof *l);
    if (!l)
        return -ENOMEM;
    l->group_index = parts->group;
    l->site = parts->site;
    l->settings = *parts->settings;
    l->hop = (uint32_t)lround(parts->settings->picker.hop_s * TOC_MODEL_RATE_HZ / STRIDE) * STRIDE;
    l->picked_until = l->arrived = TOC_NS_NONE;
    int r = l->hop >= STRIDE && l->hop <= HOP_ROWS_MAX ? create_stages(l, parts) : -EINVAL;
    if (r < 0) {
        toc_listener_destroy(l);
        return r;
    }
    *ret_listener = l;
    return 0;
}

void toc_listener_destroy(struct toc_listener *l)
{
    if (!l)
        return;
    for (int i = 0; i < FOLLOWED; i++)
        toc_estimator_destroy(l->followed[i].estimator);
    toc_classic_destroy(l->classic);
    toc_model_stream_destroy(l->stream);
    toc_motion_destroy(l->motion);
    toc_features_destroy(l->features);
    toc_group_destroy(l->group);
    free(l);
}

void toc_listener_configure(struct toc_listener *l, const struct toc_settings *settings)
{
    l->settings = *settings;
    toc_group_configure(l->group, &settings->stream);
}

bool toc_listener_push(struct toc_listener *l, const struct toc_chunk *chunk, toc_ns now, struct toc_stats *stats)
{
    if (!toc_group_push(l->group, chunk, now, stats))
        return false;
    l->arrived = now;
    return true;
}

/* After a gap nothing of before may reach into what comes. */
static void restart(struct toc_listener *l, int64_t index)
{
    toc_features_reset(l->features);
    toc_motion_reset(l->motion, toc_group_unit(l->group) == TOC_UNIT_ACCELERATION);
    if (l->stream)
        toc_model_stream_reset(l->stream);
    else
        toc_classic_reset(l->classic);
    toc_picker_reset(&l->picker);
    for (int i = 0; i < FOLLOWED; i++)
        l->followed[i].active = false;
    l->filled = 0;
    l->started = l->first_row = l->end_row = index;
    l->first_step = l->end_step = 0;
    l->last_changed = index;
    l->last_clipped = index - CLIP_MEMORY;
}

static void keep_step(struct toc_listener *l, int64_t step_index, const struct toc_motion_step *step)
{
    if (l->end_step == l->first_step)
        l->first_step = step_index;
    l->steps[step_index % STEPS] = *step;
    l->end_step = step_index + 1;
    if (l->end_step - l->first_step > STEPS)
        l->first_step = l->end_step - STEPS;
}

static void keep_row(struct toc_listener *l, const struct toc_row *row)
{
    float z = row->enz[TOC_Z];
    l->trace[row->index % TRACE] = z;
    l->end_row = row->index + 1;
    if (l->end_row - l->first_row > TRACE)
        l->first_row = l->end_row - TRACE;
    if (row->clipped)
        l->last_clipped = row->index;
    if (!(z == l->last_z)) /* also true for NAN: a missing vertical is not a flat one */
        l->last_changed = row->index;
    l->last_z = z;
}

static void feed_motion(struct toc_listener *l, const struct toc_row *row)
{
    double scale = toc_group_scale(l->group);
    float si[TOC_COMPONENTS];
    for (int i = 0; i < TOC_COMPONENTS; i++)
        si[i] = isfinite(scale) ? (float)(row->enz[i] / scale) : row->enz[i];
    struct toc_motion_step step;
    if (toc_motion_push(l->motion, row->index, si, row->clipped, &step))
        keep_step(l, row->index / TOC_STEP_SAMPLES, &step);
}

static void feed_classic(struct toc_listener *l, const struct toc_row *row)
{
    struct toc_pick pick = {0};
    if (l->n_classic < TOC_LISTEN_PICKS_MAX && toc_classic_push(l->classic, row->enz[TOC_Z], row->index, &pick) == 1)
        l->classic_picks[l->n_classic++] = pick;
}

/* Rows before the first block boundary warm the features and go to no network. */
static void feed_row(struct toc_listener *l, const struct toc_row *row)
{
    float features[TOC_FEATURES];
    toc_features_push(l->features, row->enz, features);
    keep_row(l, row);
    feed_motion(l, row);
    if (l->classic)
        feed_classic(l, row);
    if (l->filled == 0 && row->index % l->hop != 0)
        return;
    if (l->filled == 0)
        l->block_index = row->index;
    memcpy(&l->block[l->filled * TOC_FEATURES], features, sizeof features);
    l->due = ++l->filled == l->hop;
}

bool toc_listener_advance(struct toc_listener *l, toc_ns now, struct toc_stats *stats)
{
    struct toc_row rows[HOP_ROWS_MAX];
    while (!l->due) { /* a pull ends with a block, so nothing is fed past a due one */
        uint32_t n = toc_group_pull(l->group, now, l->hop, rows, l->hop, stats);
        if (n == 0)
            return false;
        if (rows[0].restart)
            restart(l, rows[0].index);
        for (uint32_t i = 0; i < n; i++)
            feed_row(l, &rows[i]);
    }
    return true;
}

void toc_listener_run(struct toc_listener *l, struct toc_model_scratch *scratch)
{
    if (l->stream)
        toc_model_push(l->model, l->stream, scratch, l->block, l->hop, l->frames);
}

/* First motion: the sign of the first sample within 0.3 s after the onset that leaves four times the scatter of the
 * second before it. A crude rule, so anything doubtful stays unclear. */
static int8_t polarity(const struct toc_listener *l, toc_ns onset)
{
    int64_t at = onset / TOC_GRID_NS;
    if (at - 110 < l->first_row || at + 30 > l->end_row)
        return 0;
    double sum = 0, square = 0;
    for (int64_t i = at - 110; i < at - 10; i++) {
        double x = (double)l->trace[i % TRACE];
        sum += x;
        square += x * x;
    }
    double mean = sum / 100, limit = 4 * sqrt(fmax(square / 100 - mean * mean, 0));
    for (int64_t i = at - 5; i < at + 30; i++) {
        double x = (double)l->trace[i % TRACE] - mean;
        if (fabs(x) > limit && limit > 0)
            return x > 0 ? 1 : -1;
    }
    return 0;
}

static struct followed *free_slot(struct toc_listener *l)
{
    struct followed *oldest = &l->followed[0];
    for (int i = 0; i < FOLLOWED; i++) {
        if (!l->followed[i].active)
            return &l->followed[i];
        if (l->followed[i].onset < oldest->onset)
            oldest = &l->followed[i];
    }
    return oldest;
}

static void follow(struct toc_listener *l, const struct toc_pick *pick)
{
    struct toc_motion_step noise[NOISE_STEPS];
    int64_t onset = pick->time / (TOC_STEP_SAMPLES * TOC_GRID_NS);
    if (onset < l->first_step || onset > l->end_step)
        return; /* no motion was seen there: just restarted */
    size_t n = 0;
    int64_t from = onset - NOISE_STEPS;
    for (int64_t i = from < l->first_step ? l->first_step : from; i < onset; i++)
        noise[n++] = l->steps[i % STEPS];
    struct followed *f = free_slot(l);
    toc_estimator_start(f->estimator, pick, noise, n, isfinite(toc_group_scale(l->group)));
    f->active = true;
    f->onset = pick->time;
    f->pick_id = pick->id;
    f->next = onset;
}

/* An S belongs to the youngest followed P before it. */
static void note_s(struct toc_listener *l, toc_ns time)
{
    struct followed *best = NULL;
    for (int i = 0; i < FOLLOWED; i++)
        if (l->followed[i].active && l->followed[i].onset < time && (!best || l->followed[i].onset > best->onset))
            best = &l->followed[i];
    if (best)
        toc_estimator_note_s(best->estimator, time);
}

static void step_followed(struct toc_listener *l, struct followed *f, struct toc_listener_result *result)
{
    if (f->next < l->first_step) /* cannot be: steps outlive the delay of any pick */
        f->active = false;
    while (f->active && f->next < l->end_step) {
        struct toc_estimate estimate;
        if (toc_estimator_step(f->estimator, &l->steps[f->next++ % STEPS], &estimate) == 1) {
            bool room = result->n_estimates < TOC_LISTEN_ESTIMATES_MAX;
            result->estimates[room ? result->n_estimates++ : result->n_estimates - 1] = estimate;
            f->active = (double)estimate.after_p_s < l->settings.estimator.follow_s;
        }
    }
}

static uint32_t collect(struct toc_listener *l, struct toc_pick *ret_picks)
{
    if (l->stream)
        return (uint32_t)toc_picker_extract(&l->picker, &l->settings.picker, l->frames, l->hop / STRIDE,
                                            l->block_index / STRIDE, ret_picks, TOC_LISTEN_PICKS_MAX);
    uint32_t n = l->n_classic;
    memcpy(ret_picks, l->classic_picks, n * sizeof *ret_picks);
    l->n_classic = 0;
    return n;
}

/* Said only when it can be used: settled filters, and a vertical to hear it with. */
static bool may_pick(const struct toc_listener *l, const struct toc_pick *pick)
{
    toc_ns settled = l->started * TOC_GRID_NS + toc_ns_from_s(l->settings.picker.warmup_s);
    return pick->time >= settled && toc_group_has_vertical(l->group);
}

static void complete(struct toc_listener *l, struct toc_pick *pick, uint64_t id)
{
    pick->id = id;
    pick->group = l->group_index;
    pick->site = l->site;
    pick->snr_db = toc_features_snr_db(l->features);
    pick->polarity = pick->phase == TOC_PHASE_P ? polarity(l, pick->time) : 0;
}

void toc_listener_give(struct toc_listener *l, uint64_t *next_pick_id, struct toc_listener_result *ret_result)
{
    struct toc_pick picks[TOC_LISTEN_PICKS_MAX];
    uint32_t n = collect(l, picks);
    ret_result->n_picks = ret_result->n_estimates = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!may_pick(l, &picks[i]))
            continue;
        complete(l, &picks[i], (*next_pick_id)++);
        ret_result->picks[ret_result->n_picks++] = picks[i];
        if (picks[i].phase == TOC_PHASE_P)
            follow(l, &picks[i]);
        else
            note_s(l, picks[i].time);
    }
    for (int i = 0; i < FOLLOWED; i++)
        step_followed(l, &l->followed[i], ret_result);
    l->picked_until = (l->block_index + l->hop) * TOC_GRID_NS;
    l->filled = 0;
    l->due = false;
}

void toc_listener_expect_s(struct toc_listener *l, uint64_t pick_id, toc_ns s_time)
{
    for (int i = 0; i < FOLLOWED; i++)
        if (l->followed[i].active && l->followed[i].pick_id == pick_id)
            toc_estimator_expect_s(l->followed[i].estimator, s_time);
}

enum toc_station_status toc_listener_status(const struct toc_listener *l, toc_ns now)
{
    toc_ns newest = toc_group_newest(l->group);
    double rate = toc_group_rate(l->group);
    if (!isfinite(toc_group_place(l->group)->latitude_deg) || !isfinite(toc_group_place(l->group)->longitude_deg))
        return TOC_STATION_NO_METADATA;
    if (newest == TOC_NS_NONE)
        return l->arrived == TOC_NS_NONE ? TOC_STATION_NO_DATA : TOC_STATION_NO_VERTICAL;
    if (now - l->arrived > STALE_NS)
        return TOC_STATION_STALE;
    if (rate > 0 && rate < 20)
        return TOC_STATION_LOW_RATE;
    if (now - newest > LATE_NS)
        return TOC_STATION_LATE;
    if (!toc_group_has_vertical(l->group))
        return TOC_STATION_NO_VERTICAL;
    if (l->end_row - l->started < (int64_t)(l->settings.picker.warmup_s * TOC_MODEL_RATE_HZ))
        return TOC_STATION_WARMING;
    if (l->end_row - l->last_changed > FLAT_ROWS)
        return TOC_STATION_FLAT;
    return l->end_row - l->last_clipped < CLIP_MEMORY ? TOC_STATION_CLIPPED : TOC_STATION_OK;
}

const struct toc_group *toc_listener_group(const struct toc_listener *l)
{
    return l->group;
}

toc_ns toc_listener_picked_until(const struct toc_listener *l)
{
    return l->picked_until;
}

toc_ns toc_listener_arrived(const struct toc_listener *l)
{
    return l->arrived;
}
