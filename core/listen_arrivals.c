/*
 * Picks, and what follows an arrival. The two things worth knowing: a block
 * may hold many hops, and everything that decides is done hop by hop, so that
 * a block of ten says what ten blocks of one would; and an arrival is
 * followed from the step that holds its onset, which lies in the past when
 * the pick is declared, so steps are kept for a while.
 */
#include "core/listen_inner.h"

#include <math.h>

#include "core/manifest.h"
#include "core/polarity.h"

#define TRACE_SURE 410        /* ... so many before the end of any hop of a block, whatever its size */
#define NOISE_STEPS 50u       /* 5 s before an onset */
#define LOUD_DB 26.0f         /* as in core/associator.c: no S and no coda rises so far above the seconds before it ... */
#define LOUD_AFTER_NS (2 * TOC_NS_PER_S) /* ... once those hold some of the P */

/* Ids of picks that were not given back yet. */
#define UNBORN (UINT64_C(1) << 63)

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
    return toc_estimator_step(f->estimator, toc_listen_work_of(scratch, toc_estimator_model(f->estimator)),
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
    result->n_picks += (uint32_t)toc_second_look(l->second, &l->rules.picker, toc_listen_work_of(scratch, l->second_model),
                                                 end_row, result->picks + first, TOC_LISTEN_PICKS_MAX - first);
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

void toc_listen_conclude(struct toc_listener *l, const float *features, struct heard_frames heard,
                         struct toc_listen_scratch *scratch, struct toc_listener_result *result)
{
    uint32_t lead = toc_listen_lead_rows(l);
    result->n_hops = result->n_picks = result->n_estimates = result->n_gated = result->n_shadow = 0;
    struct toc_pick unsaid[TOC_LISTEN_PICKS_MAX];
    (void)pick_classic(l, 0, lead, unsaid); /* warms it */
    for (uint32_t from = lead; from < l->block; from += l->hop) {
        conclude_hop(l, from, features + (from + l->hop - 1) * TOC_FEATURES, &heard, scratch, result);
        heard.live += heard.live ? l->hop / STRIDE * OUTPUTS : 0;
        heard.shadow += heard.shadow ? l->hop / STRIDE * OUTPUTS : 0;
    }
}
