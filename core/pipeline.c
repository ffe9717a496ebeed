/*
 * The hallway. Reads like the diagram in the header: push, work, source
 * stages, pull. Holds the registry (channel -> listener -> site), the
 * batches, four bounded queues, and nothing that knows seismology.
 */
#include "core/pipeline.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alert.h"
#include "core/associator.h"
#include "core/fusion.h"
#include "core/geo.h"
#include "core/listen.h"
#include "core/locate.h"
#include "core/model.h"
#include "core/route.h"
#include "core/turns.h"

#define BATCH_MAX 64u
#define BATCH_ROWS 400u /* with workers: a batch that holds so many is full, so that nobody's pick waits for long behind others' */
#define LOAD_QUEUE 8u
#define SHADOW_QUEUE 256u
#define FAVOUR_NS (TOC_NS_PER_S / 2) /* who is near an event is looked up this often */
#define FAVOUR_BEFORE_S 2.0          /* P may come so much earlier than told, data of S and its coda are wanted ... */
#define FAVOUR_AFTER_S 15.0          /* ... this long */
#define PICK_QUEUE 1024u
#define ESTIMATE_QUEUE 1024u
#define ALERT_QUEUE 32u
#define ESTIMATES_KEPT 4096u /* the latest per pick, by pick id */
#define UPDATE_NS (TOC_NS_PER_S / 10) /* an open event is thought over at least this often */
#define LOCATE_NS TOC_NS_PER_S        /* ... and relocated, for the sites that stay silent */
#define HOP_ROWS_MAX 100u
#define NOISY_RATE_HZ (60.0 / 3600) /* a noisy station is taken to pick once a minute without cause */
#define LONE_S 86400.0        /* lone picks are forgotten within a day or so */
#define LONE_MOST 8.0         /* ... counted up to this many times the limit: a bad day does not mark a station for weeks */
#define LONE_OTHERS 4.0       /* more than the others: so many times what half of them have. A swarm makes everybody's picks lone */

/* What the operator asks of each listener. */
struct heard {
    uint64_t samples, gaps, picks;
    double lone; /* P picks without an event, fading with LONE_S, as of lone_at */
    toc_ns lone_at;
    bool noisy;
};

/* What the pipeline keeps beside each event the associator owns. */
struct watch {
    uint64_t event;
    toc_ns thought, located;
    bool news; /* a pick joined since */
};

struct toc_batch {
    bool out;
    uint32_t n;
    struct toc_listener *listeners[BATCH_MAX]; /* borrowed from the pipeline until give */
    uint32_t index[BATCH_MAX];
    struct toc_listen_scratch *scratch;        /* owned by the pipeline */
    struct toc_listener_result results[BATCH_MAX];
};

struct toc_pipeline {
    struct toc_settings settings;
    const struct toc_travel *travel;
    const struct toc_model *picker, *second, *shadow, *estimator;
    struct toc_shadow *compared; /* owned */
    bool changing;               /* some listener may still wait for its new picker */
    struct toc_target targets[TOC_ALERT_TARGETS_MAX];
    size_t n_targets;
    struct toc_decoder *decoder;
    struct toc_stats stats;
    /* registry */
    struct toc_listener **listeners; /* owned, n_listeners */
    uint32_t n_listeners;
    uint32_t *site_of;               /* owned, n_listeners */
    struct heard *heard;             /* owned, n_listeners */
    bool *waits;                     /* owned, n_listeners: holds data back until time has passed */
    struct toc_turns *turns;         /* of the listeners */
    struct toc_routes routes;        /* owned */
    struct toc_site *sites;          /* owned */
    uint32_t n_sites;
    struct toc_geo_point *places;    /* owned, of the sites */
    bool *marked;                    /* owned, of the sites: scratch of favour_near() */
    /* the seam */
    struct toc_batch *batches;       /* owned, n_batches */
    uint32_t n_batches;
    bool shares;                     /* there are workers: batches are kept small, and who is near an event goes first */
    struct toc_load load;
    toc_ns favoured;                 /* when that was looked up last */
    /* source */
    struct toc_associator *associator;
    struct toc_locator *locator;
    struct toc_alert_machine *machine;
    struct watch watches[TOC_ASSOCIATOR_EVENTS];
    struct toc_estimate *estimates; /* owned, ESTIMATES_KEPT */
    uint64_t next_pick_id;
    toc_ns sample, arrival;         /* ledger: newest packet */
    toc_ns ticked;                  /* `now` of the last tick that did the slow things */
    toc_ns clock;                   /* newest `now` seen */
    /* products */
    struct toc_pick_report *picks;         /* owned rings */
    struct toc_estimate_report *reports;
    struct toc_alert *alerts;
    struct toc_load_report loads[LOAD_QUEUE];
    struct toc_shadow_note notes[SHADOW_QUEUE];
    uint32_t note_first, note_n;
    uint32_t load_first, load_n;
    uint32_t pick_first, pick_n, report_first, report_n, alert_first, alert_n;
};

static int say_why(char *why, size_t size, int error, const char *what)
{
    if (why && size)
        snprintf(why, size, "%s", what);
    return error;
}

/* ---- registry ---------------------------------------------------------------------------------------------- */

static int allocate_registry(struct toc_pipeline *p)
{
    size_t n = p->routes.n + 1; /* never more listeners than channels */
    p->listeners = calloc(n, sizeof *p->listeners);
    p->site_of = calloc(n, sizeof *p->site_of);
    p->heard = calloc(n, sizeof *p->heard);
    p->waits = calloc(n, sizeof *p->waits);
    p->sites = calloc(n, sizeof *p->sites);
    p->places = calloc(n, sizeof *p->places);
    p->marked = calloc(n, sizeof *p->marked);
    return p->listeners && p->site_of && p->heard && p->waits && p->sites && p->places && p->marked ? 0 : -ENOMEM;
}

static uint32_t site_index(struct toc_pipeline *p, const char *name)
{
    /* channels are sorted, so a site's groups stand together: it is the last one, or new */
    if (p->n_sites > 0 && strcmp(p->sites[p->n_sites - 1].name, name) == 0)
        return p->n_sites - 1;
    struct toc_site *site = &p->sites[p->n_sites];
    memcpy(site->name, name, TOC_SID_SIZE);
    site->picked_until = TOC_NS_NONE;
    return p->n_sites++;
}

static int add_listener(struct toc_pipeline *p, const struct toc_inventory *inventory, const char *group)
{
    char name[TOC_SID_SIZE];
    toc_sid_site(group, name);
    uint32_t site = site_index(p, name);
    struct toc_listener_parts parts = {.sid = group, .group = p->n_listeners, .site = site, .inventory = inventory,
                                       .picker = p->picker, .second = p->second, .shadow = p->shadow,
                                       .estimator = p->estimator, .settings = &p->settings};
    int r = toc_listener_create(&parts, &p->listeners[p->n_listeners]);
    if (r < 0)
        return r;
    const struct toc_channel *place = toc_group_place(toc_listener_group(p->listeners[p->n_listeners]));
    p->sites[site].latitude_deg = place->latitude_deg;
    p->sites[site].longitude_deg = place->longitude_deg;
    p->places[site] = toc_geo_point(place->latitude_deg, place->longitude_deg);
    p->sites[site].elevation_km = isfinite(place->elevation_m) ? place->elevation_m / 1000 : 0;
    p->site_of[p->n_listeners++] = site;
    return 0;
}

static int build_registry(struct toc_pipeline *p, const struct toc_inventory *inventory)
{
    char group[TOC_SID_SIZE], last[TOC_SID_SIZE] = "";
    int r = toc_routes_init(inventory, &p->routes);
    if (r == 0)
        r = allocate_registry(p);
    for (size_t i = 0; r == 0 && i < p->routes.n; i++) {
        toc_sid_group(p->routes.list[i].sid, group);
        if (strcmp(group, last) != 0)
            r = add_listener(p, inventory, group);
        memcpy(last, group, sizeof last);
        p->routes.list[i].listener = p->n_listeners - 1;
    }
    return r;
}

/* ---- life ------------------------------------------------------------------------------------------------- */

static int create_scratch(const struct toc_pipeline *p, struct toc_listen_scratch **ret_scratch)
{
    const struct toc_model *models[] = {p->picker, p->second, p->shadow, p->estimator};
    int r = toc_listen_scratch_create(ret_scratch);
    for (size_t i = 0; i < sizeof models / sizeof *models && r == 0; i++)
        r = toc_listen_scratch_offer(*ret_scratch, models[i]);
    return r;
}

static int create_batches(struct toc_pipeline *p, uint32_t workers)
{
    p->shares = workers > 0;
    p->n_batches = workers > 0 ? workers : 1;
    p->batches = calloc(p->n_batches, sizeof *p->batches);
    int r = p->batches ? toc_turns_create(p->n_listeners, &p->turns) : -ENOMEM;
    for (uint32_t i = 0; i < p->n_batches && r == 0; i++)
        r = create_scratch(p, &p->batches[i].scratch);
    return r;
}

static int create_stages(struct toc_pipeline *p)
{
    int r = toc_decoder_create(&p->decoder);
    if (r == 0)
        r = toc_associator_create(p->travel, p->n_sites ? p->n_sites : 1, &p->associator);
    if (r == 0)
        r = toc_locator_create(p->travel, &p->locator);
    if (r == 0)
        r = toc_alert_machine_create(2 * TOC_ASSOCIATOR_EVENTS, &p->machine);
    if (r == 0)
        toc_associator_configure(p->associator, &p->settings.associator);
    return r;
}

static int create_queues(struct toc_pipeline *p)
{
    if (toc_shadow_create(&p->compared) < 0)
        return -ENOMEM;
    p->estimates = calloc(ESTIMATES_KEPT, sizeof *p->estimates);
    p->picks = calloc(PICK_QUEUE, sizeof *p->picks);
    p->reports = calloc(ESTIMATE_QUEUE, sizeof *p->reports);
    p->alerts = calloc(ALERT_QUEUE, sizeof *p->alerts);
    return p->estimates && p->picks && p->reports && p->alerts ? 0 : -ENOMEM;
}

static bool hop_fits(double hop_s)
{
    double frames = hop_s * 20;
    return frames >= 1 && frames * 5 <= HOP_ROWS_MAX && fabs(frames - round(frames)) < 1e-6;
}

/* None may come as NULL. */
static void take_targets(struct toc_pipeline *p, const struct toc_target *targets, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p->targets[i] = targets[i];
    p->n_targets = n;
}

int toc_pipeline_create(const struct toc_pipeline_parts *parts, struct toc_pipeline **ret_pipeline, char *ret_why,
                        size_t why_size)
{
    if (parts->n_targets > TOC_ALERT_TARGETS_MAX)
        return say_why(ret_why, why_size, -EINVAL, "more than 64 targets");
    if (parts->workers > TOC_PIPELINE_WORKERS_MAX)
        return say_why(ret_why, why_size, -EINVAL, "more than 64 workers");
    if (!hop_fits(parts->settings.picker.hop_s))
        return say_why(ret_why, why_size, -EINVAL, "picker.hop_s is not a multiple of 0.05 s in 0.05..1");
    struct toc_pipeline *p = calloc(1, sizeof *p);
    if (!p)
        return say_why(ret_why, why_size, -ENOMEM, "out of memory");
    p->settings = parts->settings;
    p->travel = parts->travel;
    p->picker = parts->picker;
    p->second = parts->second;
    p->shadow = parts->shadow;
    p->estimator = parts->estimator;
    p->next_pick_id = 1;
    p->sample = p->arrival = p->ticked = p->favoured = TOC_NS_NONE;
    toc_load_init(&p->load);
    take_targets(p, parts->targets, parts->n_targets);
    int r = build_registry(p, parts->inventory);
    if (r == 0)
        r = create_batches(p, parts->workers);
    if (r == 0)
        r = create_stages(p);
    if (r == 0)
        r = create_queues(p);
    if (r < 0) {
        toc_pipeline_destroy(p);
        return say_why(ret_why, why_size, r, r == -EINVAL ? "a model does not have the shape of its place" : "out of memory");
    }
    *ret_pipeline = p;
    return 0;
}

void toc_pipeline_destroy(struct toc_pipeline *p)
{
    if (!p)
        return;
    for (uint32_t i = 0; p->listeners && i < p->n_listeners; i++)
        toc_listener_destroy(p->listeners[i]);
    toc_alert_machine_destroy(p->machine);
    toc_locator_destroy(p->locator);
    toc_associator_destroy(p->associator);
    for (uint32_t i = 0; p->batches && i < p->n_batches; i++)
        toc_listen_scratch_destroy(p->batches[i].scratch);
    toc_turns_destroy(p->turns);
    toc_shadow_destroy(p->compared);
    toc_decoder_destroy(p->decoder);
    free(p->listeners);
    free(p->site_of);
    free(p->heard);
    free(p->waits);
    free(p->batches);
    free(p->places);
    free(p->marked);
    toc_routes_finish(&p->routes);
    free(p->sites);
    free(p->estimates);
    free(p->picks);
    free(p->reports);
    free(p->alerts);
    free(p);
}

int toc_pipeline_reconfigure(struct toc_pipeline *p, const struct toc_settings *settings,
                             const struct toc_target *targets, size_t n_targets, char *ret_why, size_t why_size)
{
    if (n_targets > TOC_ALERT_TARGETS_MAX)
        return say_why(ret_why, why_size, -EINVAL, "more than 64 targets");
    if (fabs(settings->picker.hop_s - p->settings.picker.hop_s) > 1e-9)
        return say_why(ret_why, why_size, -EINVAL, "picker.hop_s changes at a restart only");
    if (fabs(settings->stream.ring_s - p->settings.stream.ring_s) > 1e-9)
        return say_why(ret_why, why_size, -EINVAL, "stream.ring_s changes at a restart only");
    p->settings = *settings;
    take_targets(p, targets, n_targets);
    for (uint32_t i = 0; i < p->n_listeners; i++)
        toc_listener_configure(p->listeners[i], settings);
    toc_associator_configure(p->associator, &settings->associator);
    return 0;
}

/* ---- in --------------------------------------------------------------------------------------------------- */

static toc_ns newest_of(const struct toc_pipeline *p, uint32_t listener)
{
    return toc_group_newest(toc_listener_group(p->listeners[listener]));
}

static bool hear(struct toc_pipeline *p, uint32_t listener, const struct toc_chunk *chunk, toc_ns now)
{
    uint64_t before = p->stats.samples, future = p->stats.samples_future;
    bool stored = toc_listener_push(p->listeners[listener], chunk, now, &p->stats);
    p->heard[listener].samples += p->stats.samples - before;
    p->stats.records_unknown += !stored && p->stats.samples_future == future;
    return stored;
}

void toc_pipeline_push(struct toc_pipeline *p, const struct toc_chunk *chunk, toc_ns now)
{
    const struct toc_route *route = toc_routes_find(&p->routes, chunk->sid);
    p->clock = now;
    if (!route) {
        p->stats.records_unknown++;
        return;
    }
    if (!hear(p, route->listener, chunk, now))
        return;
    p->sample = newest_of(p, route->listener);
    p->arrival = now;
    toc_turns_arrived(p->turns, route->listener, p->sample, now);
}

enum toc_decode_verdict toc_pipeline_push_record(struct toc_pipeline *p, const uint8_t *record, size_t len, toc_ns now)
{
    struct toc_chunk chunk;
    p->stats.records++;
    enum toc_decode_verdict verdict = toc_decode_record(p->decoder, record, len, &chunk);
    if (verdict == TOC_DECODE_OK)
        toc_pipeline_push(p, &chunk, now);
    else
        p->stats.records_refused++;
    return verdict;
}

/* ---- the seam --------------------------------------------------------------------------------------------- */

/* How much is asked of a listener's next block. Near an open event weaker motion opens the gate, and blocks stay short; not
 * in the slowest mode: near a large earthquake everybody is near one. */
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

static void queue_pick(struct toc_pipeline *p, const struct toc_pick *pick)
{
    struct toc_pick_report *slot = &p->picks[(p->pick_first + p->pick_n) % PICK_QUEUE];
    if (p->pick_n == PICK_QUEUE) {
        p->pick_first = (p->pick_first + 1) % PICK_QUEUE;
        p->stats.picks_dropped++;
    } else {
        p->pick_n++;
    }
    slot->pick = *pick;
    snprintf(slot->sid, sizeof slot->sid, "%s", toc_group_sid(toc_listener_group(p->listeners[pick->group])));
}

static bool is_published(const struct toc_pipeline *p, const struct toc_estimate *e)
{
    double every = p->settings.estimator.publish_s, after = (double)e->after_p_s;
    return floor(after / every + 1e-6) > floor((after - 0.1) / every + 1e-6);
}

static void queue_estimate(struct toc_pipeline *p, const struct toc_estimate *e)
{
    if (!is_published(p, e))
        return;
    struct toc_estimate_report *slot = &p->reports[(p->report_first + p->report_n) % ESTIMATE_QUEUE];
    if (p->report_n == ESTIMATE_QUEUE) {
        p->report_first = (p->report_first + 1) % ESTIMATE_QUEUE;
        p->stats.estimates_dropped++;
    } else {
        p->report_n++;
    }
    slot->estimate = *e;
    snprintf(slot->sid, sizeof slot->sid, "%s", toc_group_sid(toc_listener_group(p->listeners[e->group])));
}

/* ---- source ----------------------------------------------------------------------------------------------- */

static struct watch *watch_of(struct toc_pipeline *p, uint64_t event)
{
    struct watch *empty = NULL;
    for (size_t i = 0; i < TOC_ASSOCIATOR_EVENTS; i++) {
        if (p->watches[i].event == event)
            return &p->watches[i];
        if (!empty && p->watches[i].event == 0)
            empty = &p->watches[i];
    }
    if (empty)
        *empty = (struct watch){.event = event, .thought = TOC_NS_NONE, .located = TOC_NS_NONE};
    return empty;
}

static double lone_picks(const struct heard *h, toc_ns now)
{
    return h->lone > 0 ? h->lone * exp(-toc_s_from_ns(now - h->lone_at) / LONE_S) : 0;
}

/* Do half of the others have at least a quarter of what this one has? */
static bool others_too(const struct toc_pipeline *p, uint32_t listener, toc_ns now)
{
    double quarter = lone_picks(&p->heard[listener], now) / LONE_OTHERS;
    uint32_t as_many = 0, others = 0;
    for (uint32_t i = 0; i < p->n_listeners; i++) {
        if (i == listener || p->heard[i].samples == 0)
            continue;
        others++;
        as_many += lone_picks(&p->heard[i], now) >= quarter;
    }
    return others > 0 && 2 * as_many >= others;
}

/* Noisy above the limit, quiet again below half of it. */
static void weigh_noise(struct toc_pipeline *p, uint32_t listener, toc_ns now)
{
    struct heard *h = &p->heard[listener];
    double limit = p->settings.associator.noisy_per_day, n = lone_picks(h, now);
    if (n > limit && !h->noisy)
        h->noisy = !others_too(p, listener, now);
    else if (n < limit / 2)
        h->noisy = false;
}

static void count_lone(struct toc_pipeline *p, toc_ns now)
{
    const uint32_t *groups;
    size_t n = toc_associator_take_lost(p->associator, &groups);
    for (size_t i = 0; i < n; i++) {
        struct heard *h = &p->heard[groups[i]];
        h->lone = fmin(lone_picks(h, now) + 1, LONE_MOST * p->settings.associator.noisy_per_day);
        h->lone_at = now;
        weigh_noise(p, groups[i], now);
    }
}

/* Its own status, and noisy where that is all there is to say. */
static enum toc_station_status status_of(const struct toc_pipeline *p, uint32_t listener, toc_ns now)
{
    enum toc_station_status status = toc_listener_status(p->listeners[listener], now);
    return status == TOC_STATION_OK && p->heard[listener].noisy ? TOC_STATION_NOISY : status;
}

static void refresh_site(struct toc_pipeline *p, uint32_t listener, toc_ns now)
{
    struct toc_site *site = &p->sites[p->site_of[listener]];
    toc_ns until = toc_listener_picked_until(p->listeners[listener]);
    if (until > site->picked_until)
        site->picked_until = until;
    site->usable = false;
    site->lone_rate_hz = 0;
    for (uint32_t i = listener; i > 0 && p->site_of[i - 1] == p->site_of[listener]; i--)
        listener = i - 1;
    for (uint32_t i = listener; i < p->n_listeners && p->site_of[i] == p->site_of[listener]; i++) {
        enum toc_station_status status = status_of(p, i, now);
        site->usable |= status == TOC_STATION_OK || status == TOC_STATION_CLIPPED || status == TOC_STATION_NOISY;
        if (p->heard[i].noisy)
            site->lone_rate_hz = fmax(site->lone_rate_hz, NOISY_RATE_HZ);
    }
}

static void associate(struct toc_pipeline *p, const struct toc_pick *pick, toc_ns now)
{
    struct toc_event *event;
    if (!isfinite(p->sites[pick->site].latitude_deg) || !isfinite(p->sites[pick->site].longitude_deg))
        return; /* said, but nowhere on the map */
    if (!toc_group_has_vertical(toc_listener_group(p->listeners[pick->group])))
        return; /* said, but P or S cannot be told apart */
    enum toc_assoc result = toc_associator_add(p->associator, pick, p->sites, p->n_sites, now, &event);
    p->stats.events += result == TOC_ASSOC_OPENED;
    p->stats.events_refused += result == TOC_ASSOC_FULL;
    if (result != TOC_ASSOC_JOINED && result != TOC_ASSOC_OPENED)
        return;
    struct watch *w = watch_of(p, event->id);
    if (w)
        w->news = true;
}

/* The associator is told when a P passes its limit, this way or that, and how things stand each publish_s. */
static void note_verdict(struct toc_pipeline *p, const struct toc_estimate *e, toc_ns now)
{
    const struct toc_estimate *last = &p->estimates[e->pick_id % ESTIMATES_KEPT];
    double limit = p->settings.associator.foreign;
    struct toc_event *event;
    if (last->pick_id == e->pick_id && !is_published(p, e) && ((double)last->domain.foreign >= limit) == ((double)e->domain.foreign >= limit))
        return;
    enum toc_assoc result =
        toc_associator_judge(p->associator, e->pick_id, &e->domain, p->sites, p->n_sites, now, &event);
    p->stats.events += result == TOC_ASSOC_OPENED;
    struct watch *w = result == TOC_ASSOC_JOINED || result == TOC_ASSOC_OPENED ? watch_of(p, event->id) : NULL;
    if (w)
        w->news = true;
}

static size_t estimates_of(const struct toc_pipeline *p, const struct toc_event *event, struct toc_estimate *ret)
{
    size_t n = 0;
    for (uint16_t i = 0; i < event->n_picks; i++) {
        const struct toc_pick *pick = &event->picks[i].pick;
        const struct toc_estimate *e = &p->estimates[pick->id % ESTIMATES_KEPT];
        if (pick->phase == TOC_PHASE_P && pick->standing != TOC_STANDING_WITHDRAWN && e->pick_id == pick->id)
            ret[n++] = *e;
    }
    return n;
}

static const struct toc_station_magnitude *magnitude_of(const struct toc_event *event, uint32_t group)
{
    for (uint16_t i = 0; i < event->n_magnitudes; i++)
        if (event->magnitudes[i].group == group)
            return &event->magnitudes[i];
    return NULL;
}

static const char *left_out_reason(enum toc_domain_class kind)
{
    return kind == TOC_DOMAIN_TELESEISM     ? "left out: arrival looks like a teleseism"
           : kind == TOC_DOMAIN_NOISE       ? "left out: arrival looks like noise"
           : kind == TOC_DOMAIN_CALIBRATION ? "left out: arrival looks like the instrument's own"
                                            : "left out: arrival does not look like a local quake";
}

/* One line for each used or refused station of the event: the one reason. */
static void describe_station(const struct toc_pipeline *p, const struct toc_event *event,
                             const struct toc_event_pick *ep, struct toc_alert_station *ret)
{
    const struct toc_station_magnitude *m = magnitude_of(event, ep->pick.group);
    ret->group = ep->pick.group;
    snprintf(ret->sid, sizeof ret->sid, "%s", toc_group_sid(toc_listener_group(p->listeners[ep->pick.group])));
    ret->used = ep->used;
    ret->weight = m ? m->weight : 0;
    ret->reason = ep->pick.standing == TOC_STANDING_WITHDRAWN ? "withdrawn: seconds later no P is seen there"
                  : ep->left_out ? left_out_reason(ep->pick.domain.kind)
                  : !ep->used ? "arrival does not fit the origin"
                  : !m      ? "time only: no gain or too little signal"
                  : p->heard[ep->pick.group].noisy ? "time and size; noisy station: counted for little at the start"
                  : m->saturated ? "time; size is a lower bound: clipped or window too short"
                                 : "time and size";
}

static void fill_stations(const struct toc_pipeline *p, const struct toc_event *event, struct toc_alert *alert)
{
    alert->n_stations = 0;
    for (uint16_t i = 0; i < event->n_picks && alert->n_stations < TOC_ALERT_STATIONS_MAX; i++)
        if (event->picks[i].pick.phase == TOC_PHASE_P)
            describe_station(p, event, &event->picks[i], &alert->stations[alert->n_stations++]);
}

static void speak(struct toc_pipeline *p, const struct toc_event *event, toc_ns now)
{
    if (p->alert_n == ALERT_QUEUE)
        return; /* asked again at the next step: the machine is not stepped, so nothing is lost */
    struct toc_alert *alert = &p->alerts[(p->alert_first + p->alert_n) % ALERT_QUEUE];
    if (toc_alert_step(p->machine, &p->settings.alert, event, now, alert) != TOC_ALERT_SAY)
        return;
    fill_stations(p, event, alert);
    alert->n_targets = (uint16_t)p->n_targets;
    for (size_t i = 0; i < p->n_targets; i++)
        toc_shaking_target(p->travel, &p->targets[i], event, now, &alert->targets[i]);
    alert->ledger_sample = p->sample;
    alert->ledger_arrival = p->arrival;
    p->alert_n++;
    p->stats.alerts++;
}

/* Where the origin puts S, measurements on P end; and the distance makes the magnitude. */
static void expect(struct toc_pipeline *p, const struct toc_event *event)
{
    for (uint16_t i = 0; i < event->n_picks; i++) {
        const struct toc_event_pick *ep = &event->picks[i];
        if (ep->pick.phase != TOC_PHASE_P || !ep->used)
            continue;
        double s = toc_travel_s(p->travel, TOC_PHASE_S, ep->distance_km, event->origin.depth_km);
        struct toc_expected expected = {.s_time = event->origin.time + toc_ns_from_s(s),
                                        .hypocentral_km = hypot(ep->distance_km, event->origin.depth_km),
                                        .sigma_km = toc_fusion_distance_sigma_km(&event->origin, ep->distance_km)};
        toc_listener_expect(p->listeners[ep->pick.group], ep->pick.id, &expected);
    }
}

static void think_over(struct toc_pipeline *p, struct toc_event *event, struct watch *w, toc_ns now)
{
    struct toc_estimate estimates[TOC_EVENT_PICKS_MAX];
    if (w->news || w->located == TOC_NS_NONE || now - w->located >= LOCATE_NS) {
        toc_locate_update(p->locator, event, p->sites, p->n_sites, now);
        w->located = now;
        expect(p, event);
    }
    size_t n = estimates_of(p, event, estimates);
    toc_fusion_update(&p->settings.fusion, event, estimates, n, p->sites, p->n_sites, now);
    w->thought = now;
    w->news = false;
    speak(p, event, now);
}

/* Events that are over leave both houses. */
static void close_over(struct toc_pipeline *p)
{
    for (size_t i = toc_associator_count(p->associator); i-- > 0;) {
        uint64_t id = toc_associator_event(p->associator, i)->id;
        if (!toc_alert_over(p->machine, id))
            continue;
        toc_associator_close(p->associator, id);
        toc_alert_forget(p->machine, id);
    }
}

static bool is_open(struct toc_pipeline *p, uint64_t id)
{
    for (size_t i = 0; i < toc_associator_count(p->associator); i++)
        if (toc_associator_event(p->associator, i)->id == id)
            return true;
    return false;
}

static void forget_closed(struct toc_pipeline *p)
{
    for (size_t i = 0; i < TOC_ASSOCIATOR_EVENTS; i++)
        if (p->watches[i].event && !is_open(p, p->watches[i].event)) {
            toc_alert_forget(p->machine, p->watches[i].event);
            p->watches[i].event = 0;
        }
}

static void update_events(struct toc_pipeline *p, toc_ns now)
{
    for (size_t i = 0; i < toc_associator_count(p->associator); i++) {
        struct toc_event *event = toc_associator_event(p->associator, i);
        struct watch *w = watch_of(p, event->id);
        if (w && (w->news || w->thought == TOC_NS_NONE || now - w->thought >= UPDATE_NS))
            think_over(p, event, w, now);
    }
    close_over(p);
    forget_closed(p);
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

/* ---- the shadow ------------------------------------------------------------------------------------------------ */

static void queue_note(struct toc_pipeline *p, const struct toc_shadow_report *report)
{
    uint64_t *const counters[] = {[TOC_SHADOW_BOTH] = &p->stats.shadow_both,
                                  [TOC_SHADOW_LIVE_ONLY] = &p->stats.shadow_live_only,
                                  [TOC_SHADOW_ONLY] = &p->stats.shadow_only};
    uint32_t group = report->verdict == TOC_SHADOW_ONLY ? report->shadow.group : report->live.group;
    ++*counters[report->verdict];
    if (p->note_n == SHADOW_QUEUE) { /* nobody pulls: the oldest goes */
        p->note_first = (p->note_first + 1) % SHADOW_QUEUE;
        p->note_n--;
        p->stats.shadow_dropped++;
    }
    struct toc_shadow_note *note = &p->notes[(p->note_first + p->note_n++) % SHADOW_QUEUE];
    note->report = *report;
    snprintf(note->sid, sizeof note->sid, "%s", toc_group_sid(toc_listener_group(p->listeners[group])));
}

/* Picks as first said, of networks. */
static void compare(struct toc_pipeline *p, const struct toc_listener_result *result, toc_ns now)
{
    struct toc_shadow_report report;
    for (uint32_t i = 0; i < result->n_picks; i++)
        if (result->picks[i].method == TOC_METHOD_CNN && result->picks[i].revision == 0 &&
            toc_shadow_add(p->compared, true, &result->picks[i], now, &report))
            queue_note(p, &report);
    for (uint32_t i = 0; i < result->n_shadow; i++)
        if (toc_shadow_add(p->compared, false, &result->shadow[i], now, &report))
            queue_note(p, &report);
}

static void expire_compared(struct toc_pipeline *p, toc_ns now)
{
    struct toc_shadow_report report;
    while (toc_shadow_expire(p->compared, now, &report))
        queue_note(p, &report);
}

void toc_pipeline_give_batch(struct toc_pipeline *p, struct toc_batch *b, toc_ns now)
{
    for (uint32_t i = 0; i < b->n; i++) {
        struct toc_listener_result *result = &b->results[i];
        toc_listener_give(b->listeners[i], &p->next_pick_id, result);
        refresh_site(p, b->index[i], now);
        p->stats.blocks++;
        p->stats.windows += result->n_hops;
        for (uint32_t k = 0; k < result->n_picks; k++) {
            count_pick(p, b->index[i], &result->picks[k]);
            queue_pick(p, &result->picks[k]);
            associate(p, &result->picks[k], now);
        }
        for (uint32_t k = 0; k < result->n_estimates; k++) {
            note_verdict(p, &result->estimates[k], now);
            p->estimates[result->estimates[k].pick_id % ESTIMATES_KEPT] = result->estimates[k];
            p->stats.estimates++;
            queue_estimate(p, &result->estimates[k]);
        }
        p->stats.windows_gated += result->n_gated;
        if (p->shadow)
            compare(p, result, now);
        toc_turns_back(p->turns, b->index[i], toc_listener_picked_until(b->listeners[i]), newest_of(p, b->index[i]), now);
    }
    b->out = false;
    update_events(p, now);
}

void toc_pipeline_work(struct toc_pipeline *p, toc_ns now)
{
    for (struct toc_batch *b; (b = toc_pipeline_take_batch(p, now));) {
        toc_batch_run(b);
        toc_pipeline_give_batch(p, b, now);
    }
}

/* ---- other networks ------------------------------------------------------------------------------------------- */

/* Room everywhere first: a station that has the new network must find it in any batch. */
static int offer_scratch(struct toc_pipeline *p, const struct toc_model *model)
{
    int r = 0;
    for (uint32_t i = 0; i < p->n_batches && r == 0; i++)
        r = toc_listen_scratch_offer(p->batches[i].scratch, model);
    return r;
}

/* On failure those who changed are offered the old one again; the way back needs as much memory as there was just before. */
static int change_model(struct toc_pipeline *p, enum toc_listener_place place, const struct toc_model **current,
                        const struct toc_model *model)
{
    if (model == *current)
        return 0;
    int r = offer_scratch(p, model);
    uint32_t n = 0;
    while (r == 0 && n < p->n_listeners) {
        r = toc_listener_offer(p->listeners[n], place, model);
        n += r == 0;
    }
    while (r < 0 && n > 0)
        (void)toc_listener_offer(p->listeners[--n], place, *current);
    if (r < 0)
        return r;
    *current = model;
    p->changing = true;
    return 0;
}

int toc_pipeline_change_models(struct toc_pipeline *p, const struct toc_model *picker, const struct toc_model *shadow,
                               const struct toc_model *estimator)
{
    const struct toc_model *old_picker = p->picker, *old_shadow = p->shadow;
    int r = change_model(p, TOC_LISTENER_PICKER, &p->picker, picker);
    if (r < 0)
        return r;
    r = change_model(p, TOC_LISTENER_SHADOW, &p->shadow, shadow);
    if (r == 0)
        r = change_model(p, TOC_LISTENER_ESTIMATOR, &p->estimator, estimator);
    if (r < 0) {
        (void)change_model(p, TOC_LISTENER_PICKER, &p->picker, old_picker);
        (void)change_model(p, TOC_LISTENER_SHADOW, &p->shadow, old_shadow);
    }
    return r;
}

size_t toc_pipeline_changing(const struct toc_pipeline *p)
{
    size_t n = 0;
    for (uint32_t i = 0; p->changing && i < p->n_listeners; i++)
        n += toc_listener_changing(p->listeners[i]);
    return n;
}

/* Once a second while there is a change. */
static void hurry_silent(struct toc_pipeline *p, toc_ns now)
{
    for (uint32_t i = 0; p->changing && i < p->n_listeners; i++)
        toc_listener_hurry(p->listeners[i], now);
    p->changing = toc_pipeline_changing(p) > 0;
}

bool toc_pipeline_release(struct toc_pipeline *p, const struct toc_model *model)
{
    if (!model || model == p->picker || model == p->shadow || model == p->estimator)
        return false;
    for (uint32_t i = 0; i < p->n_batches; i++)
        if (p->batches[i].out)
            return false;
    for (uint32_t i = 0; i < p->n_listeners; i++) {
        toc_listener_hurry(p->listeners[i], p->clock);
        if (toc_listener_holds(p->listeners[i], model))
            return false;
    }
    for (uint32_t i = 0; i < p->n_batches; i++)
        toc_listen_scratch_drop(p->batches[i].scratch, model);
    return true;
}

/* ---- who goes first, and how much is done --------------------------------------------------------------------- */

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

static void favour_near(struct toc_pipeline *p, toc_ns now)
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

static void watch_load(struct toc_pipeline *p, toc_ns now)
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

void toc_pipeline_tick(struct toc_pipeline *p, toc_ns now)
{
    p->clock = now;
    for (uint32_t i = 0; i < p->n_listeners; i++) {
        if (p->waits[i])
            toc_turns_remind(p->turns, i, now); /* the wait may have ended */
        if (p->ticked == TOC_NS_NONE || now - p->ticked >= TOC_NS_PER_S)
            refresh_site(p, i, now);
    }
    if (p->ticked == TOC_NS_NONE || now - p->ticked >= TOC_NS_PER_S) {
        hurry_silent(p, now);
        expire_compared(p, now);
        p->stats.picks_unassociated += toc_associator_tick(p->associator, p->sites, p->n_sites, now);
        count_lone(p, now);
        for (uint32_t i = 0; i < p->n_listeners; i++)
            if (p->heard[i].noisy)
                weigh_noise(p, i, now);
        p->ticked = now;
    }
    update_events(p, now);
    if (p->shares) {
        favour_near(p, now);
        watch_load(p, now);
    }
}

/* ---- out -------------------------------------------------------------------------------------------------- */

bool toc_pipeline_next_pick(struct toc_pipeline *p, struct toc_pick_report *ret_pick)
{
    if (p->pick_n == 0)
        return false;
    *ret_pick = p->picks[p->pick_first];
    p->pick_first = (p->pick_first + 1) % PICK_QUEUE;
    p->pick_n--;
    return true;
}

bool toc_pipeline_next_estimate(struct toc_pipeline *p, struct toc_estimate_report *ret_estimate)
{
    if (p->report_n == 0)
        return false;
    *ret_estimate = p->reports[p->report_first];
    p->report_first = (p->report_first + 1) % ESTIMATE_QUEUE;
    p->report_n--;
    return true;
}

bool toc_pipeline_next_alert(struct toc_pipeline *p, struct toc_alert *ret_alert)
{
    if (p->alert_n == 0)
        return false;
    *ret_alert = p->alerts[p->alert_first];
    p->alert_first = (p->alert_first + 1) % ALERT_QUEUE;
    p->alert_n--;
    return true;
}

bool toc_pipeline_next_shadow(struct toc_pipeline *p, struct toc_shadow_note *ret_note)
{
    if (p->note_n == 0)
        return false;
    *ret_note = p->notes[p->note_first];
    p->note_first = (p->note_first + 1) % SHADOW_QUEUE;
    p->note_n--;
    return true;
}

bool toc_pipeline_next_load(struct toc_pipeline *p, struct toc_load_report *ret_load)
{
    if (p->load_n == 0)
        return false;
    *ret_load = p->loads[p->load_first];
    p->load_first = (p->load_first + 1) % LOAD_QUEUE;
    p->load_n--;
    return true;
}

enum toc_load_mode toc_pipeline_load(const struct toc_pipeline *p)
{
    return p->load.mode;
}

double toc_pipeline_wait_s(const struct toc_pipeline *p, toc_ns now)
{
    return toc_turns_wait_s(p->turns, now);
}

size_t toc_pipeline_groups(const struct toc_pipeline *p)
{
    return p->n_listeners;
}

int toc_pipeline_group(const struct toc_pipeline *p, size_t index, struct toc_group_report *ret_group)
{
    if (index >= p->n_listeners)
        return -ENOENT;
    const struct toc_listener *l = p->listeners[index];
    const struct toc_channel *place = toc_group_place(toc_listener_group(l));
    *ret_group = (struct toc_group_report){.status = status_of(p, (uint32_t)index, p->clock),
                                           .latitude_deg = place->latitude_deg,
                                           .longitude_deg = place->longitude_deg,
                                           .newest = toc_group_newest(toc_listener_group(l)),
                                           .arrived = toc_listener_arrived(l),
                                           .samples = p->heard[index].samples,
                                           .gaps = p->heard[index].gaps,
                                           .picks = p->heard[index].picks};
    snprintf(ret_group->sid, sizeof ret_group->sid, "%s", toc_group_sid(toc_listener_group(l)));
    return 0;
}

toc_ns toc_pipeline_picked_until(const struct toc_pipeline *p, size_t index)
{
    return index < p->n_listeners ? toc_listener_picked_until(p->listeners[index]) : TOC_NS_NONE;
}

const struct toc_stats *toc_pipeline_stats(const struct toc_pipeline *p)
{
    return &p->stats;
}
