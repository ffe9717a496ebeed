/*
 * See the header. The two things worth knowing: a block may hold many hops,
 * and everything that decides is done hop by hop, so that a block of ten
 * says what ten blocks of one would; and an arrival is followed from the
 * step that holds its onset, which lies in the past when the pick is declared, so
 * steps are kept for a while.
 */
#include "core/listen.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/classic.h"
#include "core/domain.h"
#include "core/estimator.h"
#include "core/gate.h"
#include "core/manifest.h"
#include "core/picker.h"
#include "core/polarity.h"
#include "core/seats.h"
#include "core/second.h"
#include "core/window.h"

#define STRIDE 5u             /* rows per frame of the picker network */
#define OUTPUTS 7u
#define TOGETHER 16u          /* listeners that go through the network at once: their blocks stay in the cache */
#define FRAMES_MAX (TOC_ROWS_MAX / STRIDE)
#define STEPS 128u            /* motion steps: an onset 4 s back, 5 s of noise before it, and a block that is ahead */
#define TRACE 512u            /* rows, for polarity and class */
#define TRACE_SURE 410        /* ... so many before the end of any hop of a block, whatever its size */
#define NOISE_STEPS 50u       /* 5 s before an onset */
#define WORKS 8               /* models at once: pickers that come, go and shadow, estimators likewise */
#define FOLLOWED 2            /* arrivals followed at once: a second quake in the coda of the first */
#define LOUD_DB 26.0f         /* as in core/associator.c: no S and no coda rises so far above the seconds before it ... */
#define LOUD_AFTER_NS (2 * TOC_NS_PER_S) /* ... once those hold some of the P */
#define STALE_NS (60 * TOC_NS_PER_S)
#define LATE_NS (30 * TOC_NS_PER_S)
#define CLIP_MEMORY (30 * TOC_MODEL_RATE_HZ) /* rows */
#define FLAT_ROWS (5 * TOC_MODEL_RATE_HZ)

/* Ids of picks that were not given back yet. */
#define UNBORN (UINT64_C(1) << 63)

struct followed {
    struct toc_estimator *estimator; /* owned */
    struct toc_estimator *successor; /* owned; the owner's: takes its place when no arrival is followed; NULL none */
    bool active;
    uint64_t pick_id;
    toc_ns onset;
    toc_ns s_time; /* S that was noted, TOC_NS_NONE none */
    int64_t next;  /* absolute step it waits for */
    int8_t polarity;
    struct toc_domain domain;
};

/* What the thinking needs of the settings. */
struct rules {
    struct toc_picker_settings picker;
    double follow_s;
};

/* How the group stood when the block was taken. */
struct stand {
    double scale;
    bool acceleration, has_vertical;
    enum toc_layout layout;
};

/* How far the thinking has come, for those who ask. */
struct progress {
    int64_t started;  /* grid index of the first row since a restart */
    int64_t end_row;
    int64_t last_clipped, last_changed;
};

/* What was expected while the listener was out. */
struct expectation {
    uint64_t pick_id; /* 0: none */
    struct toc_expected what;
};

struct toc_listener {
    /* the owner's */
    struct toc_group *group; /* owned */
    uint32_t group_index, site;
    uint32_t hop;            /* rows */
    struct rules next_rules; /* in force from the next block on */
    struct toc_gate_rule next_rule;
    uint32_t step;           /* rows, whole hops: blocks end at multiples of it */
    struct expectation expected[FOLLOWED];
    uint32_t n_expected;
    struct progress seen;    /* as of the last give */
    toc_ns picked_until, arrived;
    bool out;
    bool changing;           /* a new picker does not decide yet, as of the last give */
    /* rows that were taken and not yet used: the due block, and up to a hop behind it */
    struct toc_rows rows;
    uint32_t block;          /* rows of the due block; 0 none */
    struct stand stand;
    /* of the thread that runs it */
    struct rules rules;
    struct toc_gate_rule rule;
    struct toc_seats seats;          /* nobody in the live one: classical */
    struct toc_features *features;   /* owned */
    struct toc_motion *motion;       /* owned */
    struct toc_picker picker, shadow;
    struct toc_classic *classic;     /* owned */
    int heard;                       /* the component it listens to */
    struct toc_second *second;       /* owned; NULL: picks are said once */
    const struct toc_model *second_model;
    struct followed followed[FOLLOWED];
    struct progress now;
    struct toc_gate *gate;           /* owned; with the stream */
    /* history by absolute index */
    struct toc_motion_step steps[STEPS];
    int64_t first_step, end_step; /* kept: [first, end) */
    float trace[TOC_COMPONENTS][TRACE];
    int64_t first_row;            /* kept: [first_row, now.end_row) */
    float last_z;
};

/* Work space for one model. */
struct work {
    const struct toc_model *model;     /* borrowed; NULL: none */
    struct toc_model_scratch *scratch; /* owned */
};

struct toc_listen_scratch {
    struct work works[WORKS];            /* of each model that may come, no gaps */
    struct work next[WORKS];             /* the owner's: added while it was out */
    float features[TOGETHER * TOC_ROWS_MAX * TOC_FEATURES];
    float frames[TOC_SEATS][TOGETHER * FRAMES_MAX * OUTPUTS];
    float in[TOGETHER * TOC_ROWS_MAX * TOC_FEATURES]; /* the same, of those who are pushed together */
    float out[TOGETHER * FRAMES_MAX * OUTPUTS];
    float missed[TOC_GATE_KEPT_ROWS * TOC_FEATURES];
    bool gated[TOGETHER];
};

static bool is_picker(const struct toc_model *model)
{
    return !model || (toc_model_inputs(model) == TOC_FEATURES && toc_model_outputs(model) == OUTPUTS &&
                      toc_model_stride(model) == STRIDE);
}

static uint32_t count_works(const struct toc_listen_scratch *s)
{
    uint32_t n = 0;
    while (n < WORKS && s->works[n].model)
        n++;
    return n;
}

static bool holds(const struct toc_listen_scratch *s, const struct toc_model *model)
{
    for (uint32_t i = 0; i < WORKS; i++)
        if (s->works[i].model == model || s->next[i].model == model)
            return true;
    return false;
}

/* NULL for no model: the classical methods need none. */
static struct toc_model_scratch *work_of(struct toc_listen_scratch *s, const struct toc_model *model)
{
    for (uint32_t i = 0; model && i < WORKS; i++)
        if (s->works[i].model == model)
            return s->works[i].scratch;
    return NULL;
}

static int create_networks(struct toc_listener *l, const struct toc_listener_parts *parts)
{
    if (!is_picker(parts->picker) || !is_picker(parts->shadow))
        return -EINVAL;
    l->gate = calloc(1, sizeof *l->gate);
    return l->gate ? toc_seats_init(&l->seats, parts->picker, parts->shadow) : -ENOMEM;
}

static int create_stages(struct toc_listener *l, const struct toc_listener_parts *parts)
{
    int r = toc_group_create(parts->sid, parts->inventory, &parts->settings->stream, &l->group);
    if (r == 0)
        r = toc_features_create(&l->features);
    if (r == 0)
        r = toc_motion_create(&l->motion);
    if (r == 0)
        r = toc_classic_create(&l->classic);
    for (int i = 0; i < FOLLOWED && r == 0; i++)
        r = toc_estimator_create(parts->estimator, &l->followed[i].estimator);
    if (r == 0 && parts->second)
        r = toc_second_create(parts->second, &l->second);
    l->second_model = parts->second;
    return r == 0 ? create_networks(l, parts) : r;
}

static struct rules rules_of(const struct toc_settings *settings)
{
    return (struct rules){.picker = settings->picker, .follow_s = settings->estimator.follow_s};
}

static enum toc_layout layout_of(const struct toc_group *group)
{
    int n = toc_group_components(group);
    return n >= 3 ? TOC_LAYOUT_THREE : n == 2 ? TOC_LAYOUT_TWO : TOC_LAYOUT_VERTICAL;
}

int toc_listener_create(const struct toc_listener_parts *parts, struct toc_listener **ret_listener)
{
    struct toc_listener *l = calloc(1, sizeof *l);
    if (!l)
        return -ENOMEM;
    l->group_index = parts->group;
    l->site = parts->site;
    l->rules = l->next_rules = rules_of(parts->settings);
    l->hop = (uint32_t)lround(parts->settings->picker.hop_s * TOC_MODEL_RATE_HZ / STRIDE) * STRIDE;
    l->step = l->hop;
    l->picked_until = l->arrived = TOC_NS_NONE;
    int r = l->hop >= STRIDE && l->hop <= TOC_ROWS_MAX ? create_stages(l, parts) : -EINVAL;
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
    for (int i = 0; i < FOLLOWED; i++) {
        toc_estimator_destroy(l->followed[i].estimator);
        toc_estimator_destroy(l->followed[i].successor);
    }
    toc_second_destroy(l->second);
    toc_classic_destroy(l->classic);
    toc_seats_finish(&l->seats);
    free(l->gate);
    toc_motion_destroy(l->motion);
    toc_features_destroy(l->features);
    toc_group_destroy(l->group);
    free(l);
}

void toc_listener_configure(struct toc_listener *l, const struct toc_settings *settings)
{
    l->next_rules = rules_of(settings);
    toc_group_configure(l->group, &settings->stream);
}

bool toc_listener_push(struct toc_listener *l, const struct toc_chunk *chunk, toc_ns now, struct toc_stats *stats)
{
    if (!toc_group_push(l->group, chunk, now, stats))
        return false;
    l->arrived = now;
    return true;
}

void toc_listener_ease(struct toc_listener *l, enum toc_load_mode mode, double gate_ratio)
{
    uint32_t step = (uint32_t)lround(toc_load_hop_s(mode) * TOC_MODEL_RATE_HZ) / l->hop * l->hop;
    l->next_rule = (struct toc_gate_rule){.gate = mode != TOC_LOAD_NORMAL, .level = (float)log10(gate_ratio),
                                          .strict = mode == TOC_LOAD_SLOWEST};
    l->step = step > l->hop && step <= TOC_ROWS_MAX ? step : l->hop;
}

/* Rows up to the last end of a step of whole hops. Longer steps end at another hop in each listener: not all at once. */
static uint32_t whole_rows(const struct toc_listener *l, uint32_t step)
{
    int64_t end = l->rows.first + l->rows.n, own = l->group_index * (int64_t)l->hop;
    int64_t boundary = end - (end + own) % step;
    return boundary > l->rows.first ? (uint32_t)(boundary - l->rows.first) : 0;
}

static void drop_rows(struct toc_rows *rows, uint32_t n)
{
    uint32_t left = rows->n - n;
    for (int i = 0; i < TOC_COMPONENTS; i++)
        memmove(rows->enz[i], rows->enz[i] + n, left * sizeof *rows->enz[i]);
    memmove(rows->clipped, rows->clipped + n, left * sizeof *rows->clipped);
    rows->first += n;
    rows->n = left;
    rows->restart = false;
}

bool toc_listener_advance(struct toc_listener *l, toc_ns now, struct toc_stats *stats)
{
    if (l->out)
        return false;
    while (l->block == 0) {
        bool gap = toc_group_pull(l->group, now, &l->rows, stats);
        l->block = l->rows.n ? whole_rows(l, gap ? l->hop : l->step) : 0;
        if (l->block == 0 && !gap)
            return false;
        if (l->block == 0)
            l->rows.n = 0; /* less than a hop before a gap: nothing will follow it */
    }
    l->rules = l->next_rules;
    l->rule = l->next_rule;
    l->stand = (struct stand){.scale = toc_group_scale(l->group),
                              .acceleration = toc_group_unit(l->group) == TOC_UNIT_ACCELERATION,
                              .has_vertical = toc_group_has_vertical(l->group),
                              .layout = layout_of(l->group)};
    return l->out = true;
}

uint32_t toc_listener_due_rows(const struct toc_listener *l)
{
    return l->block;
}

bool toc_listener_waits(const struct toc_listener *l)
{
    return toc_group_waits(l->group);
}

/* ---- features and motion ----------------------------------------------------------------------------------- */

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

/* Rows before the first hop: they warm the features and go to no network. */
static uint32_t lead_rows(const struct toc_listener *l)
{
    int64_t into = l->rows.first % l->hop;
    return into == 0 ? 0 : (uint32_t)(l->hop - into);
}

static uint32_t network_rows(const struct toc_listener *l)
{
    return l->block - lead_rows(l);
}

/* The due block to feature rows, motion steps and history. */
static void prepare(struct toc_listener *l, float *ret_features)
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

/* ---- picks and estimates ----------------------------------------------------------------------------------- */

/* First motion, once enough of it was seen; 0 until then. */
static int8_t polarity(const struct toc_listener *l, toc_ns onset, int64_t end_row)
{
    float trace[TOC_POLARITY_ROWS];
    int64_t from = onset / TOC_GRID_NS - TOC_POLARITY_BEFORE;
    if (from < l->first_row || from < end_row - TRACE_SURE || from + TOC_POLARITY_ROWS > end_row)
        return 0;
    for (int64_t i = 0; i < TOC_POLARITY_ROWS; i++)
        trace[i] = l->trace[TOC_Z][(from + i) % TRACE];
    return toc_polarity(trace);
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

/* Rows up to here are taken into account. */
static struct toc_verdict judge(const struct toc_listener *l, struct followed *f, int64_t end_row)
{
    while (f->domain.index < end_row) {
        int64_t at = f->domain.index % TRACE;
        toc_domain_push(&f->domain, (float[]){l->trace[TOC_E][at], l->trace[TOC_N][at], l->trace[TOC_Z][at]});
    }
    return toc_domain_judge(&f->domain);
}

/* What was followed before ends where another quake's P stands far above it, else its size would be that of the other. */
static void end_older(struct toc_listener *l, const struct toc_pick *pick)
{
    for (int i = 0; i < FOLLOWED; i++)
        if (pick->snr_db >= LOUD_DB && pick->time - l->followed[i].onset >= LOUD_AFTER_NS)
            l->followed[i].active = false;
}

static int64_t step_of(toc_ns time)
{
    return time / (TOC_STEP_SAMPLES * TOC_GRID_NS);
}

/* @return false: no motion was seen there, since it just restarted, or none is kept any more */
static bool start_estimator(struct toc_listener *l, struct followed *f, const struct toc_pick *pick)
{
    struct toc_motion_step noise[NOISE_STEPS];
    int64_t onset = step_of(pick->time);
    if (onset < l->first_step || onset > l->end_step)
        return false;
    size_t n = 0;
    int64_t from = onset - NOISE_STEPS;
    for (int64_t i = from < l->first_step ? l->first_step : from; i < onset; i++)
        noise[n++] = l->steps[i % STEPS];
    toc_estimator_start(f->estimator, pick, noise, n, isfinite(l->stand.scale));
    f->active = true;
    f->onset = pick->time;
    f->pick_id = pick->id;
    f->s_time = TOC_NS_NONE;
    f->next = onset;
    f->polarity = pick->polarity;
    return true;
}

static void follow(struct toc_listener *l, struct toc_pick *pick, int64_t end_row)
{
    end_older(l, pick);
    struct followed *f = free_slot(l);
    if (!start_estimator(l, f, pick))
        return;
    int64_t row = (pick->time + TOC_GRID_NS / 2) / TOC_GRID_NS, first = row - TOC_DOMAIN_NOISE_ROWS;
    if (first < end_row - TRACE_SURE)
        first = end_row - TRACE_SURE;
    toc_domain_start(&f->domain, row, first > l->first_row ? first : l->first_row);
    pick->domain = judge(l, f, end_row);
}

/* An S belongs to the youngest followed P before it. */
static void note_s(struct toc_listener *l, toc_ns time)
{
    struct followed *best = NULL;
    for (int i = 0; i < FOLLOWED; i++)
        if (l->followed[i].active && l->followed[i].onset < time && (!best || l->followed[i].onset > best->onset))
            best = &l->followed[i];
    if (!best)
        return;
    best->s_time = time;
    toc_estimator_note_s(best->estimator, time);
}

static bool step_estimator(const struct toc_listener *l, struct followed *f, struct toc_listen_scratch *scratch,
                           struct toc_estimate *ret_estimate)
{
    return toc_estimator_step(f->estimator, work_of(scratch, toc_estimator_model(f->estimator)),
                              &l->steps[f->next++ % STEPS], ret_estimate) == 1;
}

static void step_followed(struct toc_listener *l, struct followed *f, int64_t end_row,
                          struct toc_listen_scratch *scratch, struct toc_listener_result *result)
{
    int64_t end_step = end_row / TOC_STEP_SAMPLES;
    if (f->next < l->first_step) /* cannot be: steps outlive the delay of any pick */
        f->active = false;
    struct toc_verdict verdict = {0};
    if (f->active && f->next < end_step)
        verdict = judge(l, f, end_row);
    if (f->active && f->polarity == 0)
        f->polarity = polarity(l, f->onset, end_row);
    while (f->active && f->next < end_step) {
        struct toc_estimate estimate;
        if (step_estimator(l, f, scratch, &estimate)) {
            bool room = result->n_estimates < TOC_LISTEN_ESTIMATES_MAX;
            estimate.domain = verdict;
            estimate.polarity = f->polarity;
            result->estimates[room ? result->n_estimates++ : result->n_estimates - 1] = estimate;
            f->active = (double)estimate.after_p_s < l->rules.follow_s;
        }
    }
}

/* A revised onset: within a step of the old one the estimator goes on, its peaks and its network have seen the same.
 * Farther off it begins again there and takes the kept steps up to where it was; estimates it gave stay given. What made the
 * arrival is asked of it as it was said first. */
static void follow_revised(struct toc_listener *l, struct followed *f, const struct toc_pick *pick,
                           struct toc_listen_scratch *scratch)
{
    int64_t moved = step_of(pick->time) - step_of(f->onset), was = f->next;
    toc_ns s_time = f->s_time;
    struct toc_estimate unsaid;
    if ((moved >= -1 && moved <= 1) || !start_estimator(l, f, pick))
        return;
    while (f->next < was)
        (void)step_estimator(l, f, scratch, &unsaid);
    f->s_time = s_time;
    if (s_time != TOC_NS_NONE)
        toc_estimator_note_s(f->estimator, s_time);
}

/* Of what is too long ago to be read again, what was said; unless it is another onset now. */
static int8_t revised_polarity(const struct toc_listener *l, const struct followed *f, const struct toc_pick *pick,
                               int64_t end_row)
{
    int8_t seen = polarity(l, pick->time, end_row);
    return seen != 0 || step_of(pick->time) != step_of(f->onset) ? seen : f->polarity;
}

static void revise_picks(struct toc_listener *l, int64_t end_row, struct toc_listen_scratch *scratch,
                         struct toc_listener_result *result)
{
    uint32_t first = result->n_picks;
    if (!l->second)
        return;
    result->n_picks += (uint32_t)toc_second_look(l->second, &l->rules.picker, work_of(scratch, l->second_model), end_row,
                                                 result->picks + first, TOC_LISTEN_PICKS_MAX - first);
    for (uint32_t i = first; i < result->n_picks; i++)
        for (int k = 0; k < FOLLOWED; k++) {
            struct followed *f = &l->followed[k];
            if (!f->active || f->pick_id != result->picks[i].id)
                continue;
            result->picks[i].domain = judge(l, f, end_row);
            result->picks[i].polarity = f->polarity = revised_polarity(l, f, &result->picks[i], end_row);
            follow_revised(l, f, &result->picks[i], scratch);
        }
}

static bool has_network(const struct toc_listener *l)
{
    return l->seats.seat[TOC_SEAT_LIVE].model != NULL;
}

/* Said only when the filters have settled. */
static bool may_pick(const struct toc_listener *l, const struct toc_pick *pick)
{
    return pick->time >= l->now.started * TOC_GRID_NS + toc_ns_from_s(l->rules.picker.warmup_s);
}

/* Without a network, and without the vertical that it needs, the classical picks are the picks. */
static bool picks_classically(const struct toc_listener *l)
{
    return !has_network(l) || !l->stand.has_vertical;
}

static void take_pick(struct toc_listener *l, struct toc_pick *pick, const float *features, int64_t end_row,
                      struct toc_listener_result *result)
{
    if (!may_pick(l, pick) || result->n_picks == TOC_LISTEN_PICKS_MAX)
        return;
    pick->id = UNBORN + result->n_picks;
    pick->group = l->group_index;
    pick->site = l->site;
    pick->snr_db = toc_features_snr_db(features);
    pick->polarity = pick->phase == TOC_PHASE_P ? polarity(l, pick->time, end_row) : 0;
    pick->classical_ratio = toc_classic_recent(l->classic);
    if (pick->phase == TOC_PHASE_S)
        note_s(l, pick->time);
    else if (l->stand.has_vertical)
        follow(l, pick, end_row);
    if (l->second && l->stand.has_vertical)
        toc_second_watch(l->second, pick);
    result->picks[result->n_picks++] = *pick;
}

/* The vertical where it is, else a horizontal. Another one than before begins anew. */
static float hear(struct toc_listener *l, uint32_t row)
{
    int c = TOC_Z;
    while (c > 0 && !isfinite(l->rows.enz[c][row]))
        c--;
    if (c != l->heard)
        toc_classic_reset(l->classic);
    l->heard = c;
    return l->rows.enz[c][row];
}

/* Frames of the networks from a hop on; NULL: the gate kept its rows from them, or there is none. */
struct heard_frames {
    const float *live, *shadow;
};

/* Picks of some rows by the classical picker. @param ret_picks room for TOC_LISTEN_PICKS_MAX */
static uint32_t pick_classic(struct toc_listener *l, uint32_t from, uint32_t to, struct toc_pick *ret_picks)
{
    uint32_t n = 0;
    for (uint32_t i = from; i < to; i++) {
        struct toc_pick pick = {0};
        if (toc_classic_push(l->classic, hear(l, i), l->rows.first + i, &pick) == 1 && n < TOC_LISTEN_PICKS_MAX)
            ret_picks[n++] = pick;
    }
    return n;
}

/* What a network says by its own thresholds for the components that deliver. @param frames NULL: nothing */
static uint32_t pick_frames(const struct toc_listener *l, enum toc_seat_name seat, const float *frames, int64_t first_row,
                            struct toc_picker *picker, struct toc_pick *ret_picks)
{
    const struct toc_model *model = l->seats.seat[seat].model;
    if (!frames || !model)
        return 0;
    const struct toc_manifest *manifest = toc_model_manifest(model);
    const struct toc_picker_settings settings =
        toc_picker_settings_for(&l->rules.picker, manifest ? manifest->thresholds : NULL, l->stand.layout);
    return (uint32_t)toc_picker_extract(picker, &settings, frames, l->hop / STRIDE, first_row / STRIDE, ret_picks,
                                        TOC_LISTEN_PICKS_MAX);
}

/* What the shadow would have said, by the same rules. */
static void note_shadow(struct toc_listener *l, const float *frames, int64_t first_row, struct toc_listener_result *result)
{
    struct toc_pick picks[TOC_LISTEN_PICKS_MAX];
    uint32_t n = pick_frames(l, TOC_SEAT_SHADOW, frames, first_row, &l->shadow, picks);
    for (uint32_t i = 0; i < n && result->n_shadow < TOC_LISTEN_PICKS_MAX; i++) {
        if (!may_pick(l, &picks[i]) || !l->stand.has_vertical)
            continue;
        picks[i].group = l->group_index;
        picks[i].site = l->site;
        result->shadow[result->n_shadow++] = picks[i];
    }
}

/* Picks of one hop, then the steps that are complete at its end. @param features of its last row */
static void conclude_hop(struct toc_listener *l, uint32_t from, const float *features, const struct heard_frames *heard,
                         struct toc_listen_scratch *scratch, struct toc_listener_result *result)
{
    struct toc_pick picks[TOC_LISTEN_PICKS_MAX];
    int64_t first = l->rows.first + from, end = first + l->hop;
    uint32_t n = pick_classic(l, from, from + l->hop, picks);
    if (!picks_classically(l))
        n = pick_frames(l, TOC_SEAT_LIVE, heard->live, first, &l->picker, picks);
    for (uint32_t i = 0; i < n; i++)
        take_pick(l, &picks[i], features, end, result);
    revise_picks(l, end, scratch, result);
    for (int i = 0; i < FOLLOWED; i++)
        step_followed(l, &l->followed[i], end, scratch, result);
    note_shadow(l, heard->shadow, first, result);
    result->n_hops += !has_network(l) || heard->live;
    result->n_gated += has_network(l) && !heard->live;
}

/* @param features of the block, @param heard of its whole hops */
static void conclude(struct toc_listener *l, const float *features, struct heard_frames heard,
                     struct toc_listen_scratch *scratch, struct toc_listener_result *result)
{
    uint32_t lead = lead_rows(l);
    result->n_hops = result->n_picks = result->n_estimates = result->n_gated = result->n_shadow = 0;
    struct toc_pick unsaid[TOC_LISTEN_PICKS_MAX];
    (void)pick_classic(l, 0, lead, unsaid); /* warms it */
    for (uint32_t from = lead; from < l->block; from += l->hop) {
        conclude_hop(l, from, features + (from + l->hop - 1) * TOC_FEATURES, &heard, scratch, result);
        heard.live += heard.live ? l->hop / STRIDE * OUTPUTS : 0;
        heard.shadow += heard.shadow ? l->hop / STRIDE * OUTPUTS : 0;
    }
}

/* ---- run --------------------------------------------------------------------------------------------------- */

int toc_listen_scratch_create(struct toc_listen_scratch **ret_scratch)
{
    *ret_scratch = calloc(1, sizeof **ret_scratch);
    return *ret_scratch ? 0 : -ENOMEM;
}

int toc_listen_scratch_offer(struct toc_listen_scratch *s, const struct toc_model *model)
{
    struct work work = {.model = model};
    uint32_t n = 0;
    while (n < WORKS && s->next[n].model)
        n++;
    if (!model || holds(s, model))
        return 0;
    if (n == WORKS || count_works(s) + n >= WORKS)
        return -EBUSY;
    uint32_t rows = toc_model_length(model) ? toc_model_length(model) : is_picker(model) ? 2 * TOC_ROWS_MAX : 1;
    int r = toc_model_scratch_create(model, rows, &work.scratch);
    if (r == 0)
        s->next[n] = work;
    return r;
}

void toc_listen_scratch_settle(struct toc_listen_scratch *s)
{
    uint32_t n = count_works(s);
    for (uint32_t i = 0; i < WORKS && s->next[i].model; i++) {
        s->works[n++] = s->next[i];
        s->next[i] = (struct work){0};
    }
}

void toc_listen_scratch_drop(struct toc_listen_scratch *s, const struct toc_model *model)
{
    toc_listen_scratch_settle(s);
    uint32_t n = count_works(s);
    for (uint32_t i = 0; i < n; i++) {
        if (s->works[i].model != model)
            continue;
        toc_model_scratch_destroy(s->works[i].scratch);
        s->works[i] = s->works[n - 1];
        s->works[n - 1] = (struct work){0};
        return;
    }
}

void toc_listen_scratch_destroy(struct toc_listen_scratch *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < WORKS; i++) {
        toc_model_scratch_destroy(s->works[i].scratch);
        toc_model_scratch_destroy(s->next[i].scratch);
    }
    free(s);
}

static float *features_of(struct toc_listen_scratch *s, uint32_t i)
{
    return s->features + i * TOC_ROWS_MAX * TOC_FEATURES;
}

static float *frames_of(struct toc_listen_scratch *s, enum toc_seat_name seat, uint32_t i)
{
    return s->frames[seat] + i * FRAMES_MAX * OUTPUTS;
}

static bool is_following(const struct toc_listener *l)
{
    bool follows = false;
    for (int i = 0; i < FOLLOWED; i++)
        follows |= l->followed[i].active;
    return follows;
}

/* What the gate kept from one network; nothing is said of it, so `frames` is written over. */
static void catch_seat_up(struct toc_seat *seat, struct toc_listen_scratch *s, uint32_t n, bool whole, float *frames)
{
    if (!seat->model)
        return;
    if (!whole) {
        toc_model_stream_reset(seat->stream);
        seat->rows = 0;
    }
    for (uint32_t at = 0; at < n; at += TOC_ROWS_MAX)
        toc_model_push(seat->model, seat->stream, work_of(s, seat->model), s->missed + at * TOC_FEATURES,
                       n - at < TOC_ROWS_MAX ? n - at : TOC_ROWS_MAX, frames);
    seat->rows += n;
}

static void catch_up(struct toc_listener *l, struct toc_listen_scratch *s, float *frames)
{
    bool whole;
    uint32_t n = toc_gate_take_missed(l->gate, s->missed, &whole);
    for (int i = 0; i < TOC_SEATS && (n > 0 || !whole); i++)
        catch_seat_up(&l->seats.seat[i], s, n, whole, frames);
    if (whole)
        return;
    toc_picker_reset(&l->picker);
    toc_picker_reset(&l->shadow);
}

static bool has_any_network(const struct toc_listener *l)
{
    bool any = false;
    for (int i = 0; i < TOC_SEATS; i++)
        any |= l->seats.seat[i].model != NULL;
    return any;
}

/* Rows of this listener that go through its networks now: 0 when none are whole, or the gate is closed. */
static uint32_t pass_gate(struct toc_listener *l, struct toc_listen_scratch *s, uint32_t i)
{
    const float *rows = features_of(s, i) + lead_rows(l) * TOC_FEATURES;
    uint32_t n = network_rows(l);
    s->gated[i] = false;
    if (!has_any_network(l) || n == 0)
        return 0;
    s->gated[i] = toc_gate_closes(l->gate, &l->rule, rows, n, l->rows.first + lead_rows(l), l->group_index * l->hop,
                                  is_following(l));
    if (s->gated[i])
        return 0;
    catch_up(l, s, frames_of(s, TOC_SEAT_LIVE, i));
    toc_seats_succeed(&l->seats);
    return n;
}

/* Everyone with this model and as many rows as the first who still waits goes through the network in one push. `waiting`
 * holds the rows of each, 0 from when they are through. */
static void push_alike(struct toc_listener *const *listeners, uint32_t n, struct toc_listen_scratch *s,
                       enum toc_seat_name name, uint32_t first, uint32_t *waiting)
{
    const struct toc_model *model = listeners[first]->seats.seat[name].model;
    struct toc_model_stream *streams[TOGETHER];
    uint32_t who[TOGETHER], n_streams = 0, rows = waiting[first];
    size_t in = (size_t)rows * TOC_FEATURES, out = (size_t)rows / STRIDE * OUTPUTS;
    for (uint32_t i = first; i < n; i++) {
        struct toc_seat *seat = &listeners[i]->seats.seat[name];
        if (waiting[i] != rows || seat->model != model)
            continue;
        memcpy(s->in + n_streams * in, features_of(s, i) + lead_rows(listeners[i]) * TOC_FEATURES, in * sizeof *s->in);
        streams[n_streams] = seat->stream;
        seat->rows += rows;
        who[n_streams++] = i;
        waiting[i] = 0;
    }
    toc_model_push_many(model, streams, n_streams, work_of(s, model), s->in, rows, s->out);
    for (uint32_t k = 0; k < n_streams; k++)
        memcpy(frames_of(s, name, who[k]), s->out + k * out, out * sizeof *s->out);
}

/* @param rows of each that go through, 0 none */
static void push_seat(struct toc_listener *const *listeners, uint32_t n, struct toc_listen_scratch *s,
                      enum toc_seat_name name, const uint32_t *rows)
{
    uint32_t waiting[TOGETHER];
    for (uint32_t i = 0; i < n; i++)
        waiting[i] = listeners[i]->seats.seat[name].model ? rows[i] : 0;
    for (uint32_t i = 0; i < n; i++)
        if (waiting[i] > 0)
            push_alike(listeners, n, s, name, i, waiting);
}

static struct heard_frames heard_by(const struct toc_listener *l, struct toc_listen_scratch *s, uint32_t i)
{
    struct heard_frames heard = {0};
    if (!s->gated[i] && l->seats.seat[TOC_SEAT_LIVE].model)
        heard.live = frames_of(s, TOC_SEAT_LIVE, i);
    if (!s->gated[i] && l->seats.seat[TOC_SEAT_SHADOW].model)
        heard.shadow = frames_of(s, TOC_SEAT_SHADOW, i);
    return heard;
}

static void run_together(struct toc_listener *const *listeners, uint32_t n, struct toc_listen_scratch *s,
                         struct toc_listener_result *ret_results)
{
    uint32_t rows[TOGETHER];
    for (uint32_t i = 0; i < n; i++)
        prepare(listeners[i], features_of(s, i));
    for (uint32_t i = 0; i < n; i++)
        rows[i] = pass_gate(listeners[i], s, i);
    for (enum toc_seat_name name = TOC_SEAT_LIVE; name < TOC_SEATS; name++)
        push_seat(listeners, n, s, name, rows);
    for (uint32_t i = 0; i < n; i++)
        conclude(listeners[i], features_of(s, i), heard_by(listeners[i], s, i), s, &ret_results[i]);
}

void toc_listeners_run(struct toc_listener *const *listeners, uint32_t n, struct toc_listen_scratch *scratch,
                       struct toc_listener_result *ret_results)
{
    for (uint32_t i = 0; i < n; i += TOGETHER)
        run_together(listeners + i, n - i < TOGETHER ? n - i : TOGETHER, scratch, ret_results + i);
}

/* ---- back with its owner ----------------------------------------------------------------------------------- */

static void apply_expectation(struct toc_listener *l, uint64_t pick_id, const struct toc_expected *what)
{
    for (int i = 0; i < FOLLOWED; i++)
        if (l->followed[i].active && l->followed[i].pick_id == pick_id)
            toc_estimator_expect(l->followed[i].estimator, what);
}

/* A pick and what hangs on it gets its id; revisions of the same block come after it. */
static void give_id(struct toc_listener *l, struct toc_listener_result *result, uint64_t unborn, uint64_t id)
{
    for (int i = 0; i < FOLLOWED; i++)
        if (l->followed[i].pick_id == unborn) {
            l->followed[i].pick_id = id;
            toc_estimator_rename(l->followed[i].estimator, id);
        }
    for (uint32_t i = 0; i < result->n_estimates; i++)
        if (result->estimates[i].pick_id == unborn)
            result->estimates[i].pick_id = id;
    for (uint32_t i = 0; i < result->n_picks; i++)
        if (result->picks[i].id == unborn)
            result->picks[i].id = id;
    if (l->second)
        toc_second_rename(l->second, unborn, id);
}

/* ---- other networks ---------------------------------------------------------------------------------------- */

/* A network that follows an arrival goes on with it. */
static void settle_estimators(struct toc_listener *l)
{
    for (int i = 0; i < FOLLOWED; i++) {
        struct followed *f = &l->followed[i];
        if (f->active || !f->successor)
            continue;
        toc_estimator_destroy(f->estimator);
        f->estimator = f->successor;
        f->successor = NULL;
    }
}

static void settle(struct toc_listener *l)
{
    toc_seats_settle(&l->seats);
    settle_estimators(l);
    l->changing = toc_seats_changing(&l->seats);
}

static int offer_estimators(struct toc_listener *l, const struct toc_model *model)
{
    struct toc_estimator *made[FOLLOWED] = {0};
    int r = 0;
    for (int i = 0; i < FOLLOWED && r == 0; i++)
        r = toc_estimator_create(model, &made[i]);
    for (int i = 0; i < FOLLOWED; i++) {
        if (r == 0) {
            toc_estimator_destroy(l->followed[i].successor);
            l->followed[i].successor = made[i];
        } else {
            toc_estimator_destroy(made[i]);
        }
    }
    return r;
}

int toc_listener_offer(struct toc_listener *l, enum toc_listener_place place, const struct toc_model *model)
{
    int r;
    if (place == TOC_LISTENER_ESTIMATOR)
        r = offer_estimators(l, model);
    else if (!is_picker(model))
        r = -EINVAL;
    else
        r = toc_seats_offer(&l->seats, place == TOC_LISTENER_SHADOW ? TOC_SEAT_SHADOW : TOC_SEAT_LIVE, model);
    if (r == 0)
        l->changing = true; /* so that it is looked at after the next give */
    if (r == 0 && !l->out)
        settle(l);
    return r;
}

bool toc_listener_holds(const struct toc_listener *l, const struct toc_model *model)
{
    bool holds_it = l->out || toc_seats_hold(&l->seats, model);
    for (int i = 0; i < FOLLOWED && !holds_it; i++)
        holds_it |= toc_estimator_model(l->followed[i].estimator) == model ||
                    (l->followed[i].successor && toc_estimator_model(l->followed[i].successor) == model);
    return holds_it;
}

bool toc_listener_changing(const struct toc_listener *l)
{
    return l->changing;
}

void toc_listener_hurry(struct toc_listener *l, toc_ns now)
{
    bool silent = l->arrived == TOC_NS_NONE || now - l->arrived > STALE_NS;
    if (l->out || !silent)
        return;
    if (toc_seats_force(&l->seats)) /* if data go on where they stopped, it has to warm up first */
        l->now.started = l->seen.started = l->now.end_row;
    for (int i = 0; i < FOLLOWED; i++)
        l->followed[i].active = l->followed[i].active && !l->followed[i].successor;
    settle(l);
}

void toc_listener_give(struct toc_listener *l, uint64_t *next_pick_id, struct toc_listener_result *result)
{
    for (uint32_t i = 0; i < result->n_picks; i++)
        if (result->picks[i].revision == 0)
            give_id(l, result, result->picks[i].id, (*next_pick_id)++);
    if (result->n_hops + result->n_gated > 0)
        l->picked_until = (l->rows.first + l->block) * TOC_GRID_NS;
    drop_rows(&l->rows, l->block);
    l->block = 0;
    l->seen = l->now;
    l->out = false;
    settle(l);
    for (uint32_t i = 0; i < l->n_expected; i++)
        apply_expectation(l, l->expected[i].pick_id, &l->expected[i].what);
    l->n_expected = 0;
}

/* The newest word on a pick replaces the one before. More picks than slots: the rest is not followed any more. */
static void expect_later(struct toc_listener *l, uint64_t pick_id, const struct toc_expected *what)
{
    uint32_t i = 0;
    while (i < l->n_expected && l->expected[i].pick_id != pick_id)
        i++;
    if (i == FOLLOWED)
        return;
    l->expected[i] = (struct expectation){.pick_id = pick_id, .what = *what};
    l->n_expected += i == l->n_expected;
}

void toc_listener_expect(struct toc_listener *l, uint64_t pick_id, const struct toc_expected *what)
{
    if (l->out)
        expect_later(l, pick_id, what);
    else
        apply_expectation(l, pick_id, what);
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
    const struct progress *p = &l->seen;
    if (p->end_row - p->started < (int64_t)(l->next_rules.picker.warmup_s * TOC_MODEL_RATE_HZ))
        return TOC_STATION_WARMING;
    if (p->end_row - p->last_changed > FLAT_ROWS)
        return TOC_STATION_FLAT;
    return p->end_row - p->last_clipped < CLIP_MEMORY ? TOC_STATION_CLIPPED : TOC_STATION_OK;
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
