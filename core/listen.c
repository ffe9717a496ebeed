/*
 * See the header. Here is the owner's side: making, filling and taking back,
 * offers of other networks, status. What the running thread does stands in
 * core/listen_rows.c (a block to features and motion), core/listen_networks.c
 * (the networks, many listeners together) and core/listen_arrivals.c (picks
 * and what follows them).
 */
#include "core/listen_inner.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STALE_NS (60 * TOC_NS_PER_S)
#define LATE_NS (30 * TOC_NS_PER_S)
#define FLAT_ROWS (5 * TOC_MODEL_RATE_HZ)

static int create_networks(struct toc_listener *l, const struct toc_listener_parts *parts)
{
    if (!toc_listen_is_picker(parts->picker) || !toc_listen_is_picker(parts->shadow))
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
    else if (!toc_listen_is_picker(model))
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
