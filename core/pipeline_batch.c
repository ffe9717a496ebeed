/*
 * The seam: who is in the next batch, and what becomes of what it found. And
 * the order at it: who goes first, and how much is done.
 */
#include "core/pipeline_inner.h"

#include <math.h>
#include <string.h>

/* With workers: a batch that holds so many is full, so that nobody's pick waits for long behind others'. */
#define BATCH_ROWS 400u
#define FAVOUR_NS (TOC_NS_PER_S / 2) /* who is near an event is looked up this often */
#define FAVOUR_BEFORE_S 2.0          /* P may come so much earlier than told, data of S and its coda are wanted ... */
#define FAVOUR_AFTER_S 15.0          /* ... this long */

/* ---- the seam --------------------------------------------------------------------------------------------------- */

/* How much is asked of a listener's next block. Near an open event weaker motion opens the gate, and blocks stay short;
 * not in the slowest mode: near a large earthquake everybody is near one. */
static void ease(struct toc_pipeline *p, uint32_t listener)
{
    enum toc_load_mode mode = p->load.mode;
    double ratio = p->settings.load.gate_ratio * p->load.squeeze;
    if (mode != TOC_LOAD_SLOWEST && toc_turns_is_favoured(p->turns, listener))
        toc_listener_ease(p->listeners[listener], mode ? TOC_LOAD_GATE : mode, (1 + ratio) / 2);
    else
        toc_listener_ease(p->listeners[listener], mode, ratio);
}

/* Takes the listener's turn. @return true: it is in the batch */
static bool add_to_batch(struct toc_pipeline *p, struct toc_batch *b, uint32_t listener, toc_ns now)
{
    uint64_t gaps = p->stats.gaps;
    ease(p, listener);
    bool is_due = toc_listener_advance(p->listeners[listener], now, &p->stats);
    p->heard[listener].gaps += p->stats.gaps - gaps;
    p->waits[listener] = toc_listener_waits(p->listeners[listener]);
    if (!is_due) {
        toc_turns_idle(p->turns, listener);
        return false;
    }
    b->listeners[b->n] = p->listeners[listener];
    b->index[b->n++] = listener;
    return true;
}

/* With workers: an equal share of those who wait for each, and no more than is done in a millisecond or so. */
static void fill(struct toc_pipeline *p, struct toc_batch *b, toc_ns now)
{
    uint32_t most = BATCH_MAX, rows = 0, listener, share = toc_turns_count(p->turns) / p->n_batches + 1;
    if (p->shares && share < most)
        most = share;
    b->n = 0;
    while (b->n < most && (!p->shares || rows < BATCH_ROWS) && toc_turns_take(p->turns, &listener))
        if (add_to_batch(p, b, listener, now))
            rows += toc_listener_due_rows(p->listeners[listener]);
}

struct toc_batch *toc_pipeline_take_batch(struct toc_pipeline *p, toc_ns now)
{
    for (uint32_t i = 0; i < p->n_batches; i++) {
        struct toc_batch *b = &p->batches[i];
        if (b->out)
            continue;
        toc_listen_scratch_settle(b->scratch);
        fill(p, b, now);
        b->out = b->n > 0;
        return b->n ? b : NULL;
    }
    return NULL;
}

void toc_batch_run(struct toc_batch *b)
{
    toc_listeners_run(b->listeners, b->n, b->scratch, b->results);
}

static void count_pick(struct toc_pipeline *p, uint32_t listener, const struct toc_pick *pick)
{
    bool first = pick->revision == 0;
    p->heard[listener].picks += first;
    p->stats.picks_p += first && pick->phase == TOC_PHASE_P;
    p->stats.picks_s += first && pick->phase == TOC_PHASE_S;
    p->stats.revisions += !first;
    p->stats.revisions_confirmed += pick->standing == TOC_STANDING_CONFIRMED;
    p->stats.revisions_withdrawn += pick->standing == TOC_STANDING_WITHDRAWN;
}

void toc_pipeline_give_batch(struct toc_pipeline *p, struct toc_batch *b, toc_ns now)
{
    for (uint32_t i = 0; i < b->n; i++) {
        struct toc_listener_result *result = &b->results[i];
        toc_listener_give(b->listeners[i], &p->next_pick_id, result);
        toc_pipeline_refresh_site(p, b->index[i], now);
        p->stats.blocks++;
        p->stats.windows += result->n_hops;
        for (uint32_t k = 0; k < result->n_picks; k++) {
            count_pick(p, b->index[i], &result->picks[k]);
            toc_pipeline_queue_pick(p, &result->picks[k]);
            toc_pipeline_associate(p, &result->picks[k], now);
        }
        for (uint32_t k = 0; k < result->n_estimates; k++) {
            toc_pipeline_note_verdict(p, &result->estimates[k], now);
            p->estimates[result->estimates[k].pick_id % ESTIMATES_KEPT] = result->estimates[k];
            p->stats.estimates++;
            toc_pipeline_queue_estimate(p, &result->estimates[k]);
        }
        p->stats.windows_gated += result->n_gated;
        if (p->shadow)
            toc_pipeline_compare(p, result, now);
        toc_turns_back(p->turns, b->index[i], toc_listener_picked_until(b->listeners[i]), newest_of(p, b->index[i]),
                       now);
    }
    b->out = false;
    toc_pipeline_update_events(p, now);
}

void toc_pipeline_work(struct toc_pipeline *p, toc_ns now)
{
    for (struct toc_batch *b; (b = toc_pipeline_take_batch(p, now));) {
        toc_batch_run(b);
        toc_pipeline_give_batch(p, b, now);
    }
}

/* ---- who goes first, and how much is done ----------------------------------------------------------------------- */

/* Farthest place whose first arrival of this phase comes within `after_s` of the origin. */
static double reach_km(const struct toc_pipeline *p, enum toc_phase phase, double depth_km, double after_s)
{
    double near = 0, far = toc_travel_max_distance_km(p->travel);
    if (toc_travel_s(p->travel, phase, near, depth_km) > after_s)
        return 0;
    for (int i = 0; i < 12; i++) {
        double middle = (near + far) / 2;
        bool within = toc_travel_s(p->travel, phase, middle, depth_km) <= after_s;
        near = within ? middle : near;
        far = within ? far : middle;
    }
    return near;
}

/* Sites between the front of P and the tail of S. */
static void mark_reached(struct toc_pipeline *p, const struct toc_origin *origin, toc_ns now, bool *marked)
{
    double age = toc_s_from_ns(now - origin->time);
    double far = reach_km(p, TOC_PHASE_P, origin->depth_km, age + FAVOUR_BEFORE_S);
    double near = reach_km(p, TOC_PHASE_S, origin->depth_km, age - FAVOUR_AFTER_S);
    struct toc_geo_point centre = toc_geo_point(origin->latitude_deg, origin->longitude_deg);
    for (uint32_t i = 0; i < p->n_sites; i++) {
        double km = toc_geo_point_distance_km(&centre, &p->places[i]);
        marked[i] = marked[i] || (km >= near && km <= far);
    }
}

/* Sites whose P the event has and which are still being followed. */
static void mark_used(struct toc_pipeline *p, const struct toc_event *event, toc_ns now, bool *marked)
{
    for (uint16_t i = 0; i < event->n_picks; i++) {
        const struct toc_pick *pick = &event->picks[i].pick;
        double age = toc_s_from_ns(now - pick->time);
        if (pick->site < p->n_sites && age < p->settings.estimator.follow_s)
            marked[pick->site] = true;
    }
}

void toc_pipeline_favour_near(struct toc_pipeline *p, toc_ns now)
{
    size_t n = toc_associator_count(p->associator);
    if (p->favoured != TOC_NS_NONE && now - p->favoured < FAVOUR_NS)
        return;
    memset(p->marked, 0, p->n_sites * sizeof *p->marked);
    for (size_t i = 0; i < n; i++) {
        const struct toc_event *event = toc_associator_event(p->associator, i);
        mark_reached(p, &event->origin, now, p->marked);
        mark_used(p, event, now, p->marked);
    }
    for (uint32_t i = 0; i < p->n_listeners; i++)
        toc_turns_favour(p->turns, i, p->marked[p->site_of[i]]);
    p->favoured = now;
}

void toc_pipeline_watch_load(struct toc_pipeline *p, toc_ns now)
{
    double wait_s = toc_turns_wait_s(p->turns, now);
    enum toc_load_mode from = p->load.mode;
    if (!toc_load_step(&p->load, &p->settings.load, wait_s, now))
        return;
    p->stats.load_changes++;
    if (p->load_n == LOAD_QUEUE) { /* nobody pulls: the oldest goes */
        p->load_first = (p->load_first + 1) % LOAD_QUEUE;
        p->load_n--;
    }
    p->loads[(p->load_first + p->load_n++) % LOAD_QUEUE] =
        (struct toc_load_report){.from = from, .to = p->load.mode, .wait_s = wait_s, .at = now};
}
