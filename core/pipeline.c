/*
 * The hallway. Reads like the diagram in the header: life, the way in, and
 * what time does. Holds the registry (channel -> listener -> site), and
 * nothing that knows seismology. The rooms: pipeline_batch.c (the seam),
 * pipeline_station.c (what a station is worth), pipeline_event.c (events and
 * alerts), pipeline_models.c (other networks, the shadow), pipeline_out.c
 * (the queues).
 */
#include "core/pipeline.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/pipeline_inner.h"

#define HOP_ROWS_MAX 100u

static int say_why(char *why, size_t size, int error, const char *what)
{
    if (why && size)
        snprintf(why, size, "%s", what);
    return error;
}

/* ---- registry --------------------------------------------------------------------------------------------------- */

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

/* ---- life ------------------------------------------------------------------------------------------------------- */

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
        return say_why(ret_why, why_size, r,
                       r == -EINVAL ? "a model does not have the shape of its place" : "out of memory");
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

/* ---- in --------------------------------------------------------------------------------------------------------- */

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

/* ---- time ------------------------------------------------------------------------------------------------------- */

void toc_pipeline_tick(struct toc_pipeline *p, toc_ns now)
{
    p->clock = now;
    for (uint32_t i = 0; i < p->n_listeners; i++) {
        if (p->waits[i])
            toc_turns_remind(p->turns, i, now); /* the wait may have ended */
        if (p->ticked == TOC_NS_NONE || now - p->ticked >= TOC_NS_PER_S)
            toc_pipeline_refresh_site(p, i, now);
    }
    if (p->ticked == TOC_NS_NONE || now - p->ticked >= TOC_NS_PER_S) {
        toc_pipeline_hurry_silent(p, now);
        toc_pipeline_expire_compared(p, now);
        p->stats.picks_unassociated += toc_associator_tick(p->associator, p->sites, p->n_sites, now);
        toc_pipeline_count_lone(p, now);
        for (uint32_t i = 0; i < p->n_listeners; i++)
            if (p->heard[i].noisy)
                toc_pipeline_weigh_noise(p, i, now);
        p->ticked = now;
    }
    toc_pipeline_update_events(p, now);
    if (p->shares) {
        toc_pipeline_favour_near(p, now);
        toc_pipeline_watch_load(p, now);
    }
}
