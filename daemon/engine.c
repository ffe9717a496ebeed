/*
 * One ladder up, one ladder down.
 */
#include "daemon/engine.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/files.h"
#include "daemon/log.h"

static int say(char *why, size_t size, int err, const char *what, const char *reason)
{
    snprintf(why, size, "%s: %s", what, reason);
    return err;
}

int toc_inventory_load(const char *path, struct toc_inventory *ret_inventory, char *ret_why, size_t why_size)
{
    struct toc_parse_error error = {0};
    struct toc_file file;
    int err = toc_file_read(path, TOC_STATIONS_BYTES_MAX, &file);

    if (err < 0)
        return say(ret_why, why_size, err, path, strerror(-err));
    err = toc_inventory_parse_text(file.bytes, file.len, ret_inventory, &error);
    toc_file_finish(&file);
    if (err == -EINVAL)
        snprintf(ret_why, why_size, "%s:%d:%d: %s", path, error.line, error.column, error.text);
    else if (err < 0)
        say(ret_why, why_size, err, path, strerror(-err));
    return err < 0 ? err : 0;
}

/* Service: what cannot be used is told and done without, since a station that picks worse is better than none. Replay:
 * nobody shall measure a network and get the classical method. */
static int load_place(const char *configured, const struct toc_contract *contract, bool service,
                      struct toc_placed_model *placed, char *why, size_t size)
{
    int err = toc_placed_model_load(configured, contract, placed);

    if (err < 0 && (!service || err == -ENOMEM)) {
        snprintf(why, size, "%s", placed->why);
        return err;
    }
    if (placed->why[0])
        toc_log(err < 0 ? TOC_LOG_ERROR : TOC_LOG_WARNING, "%s %s: %s", contract->kind, placed->why,
                contract == &toc_contract_second ? "picks are said once" : "the classical method works in its place");
    return 0;
}

/* There is no shipped shadow. */
static const char *shadow_of(const struct toc_config *config)
{
    return config->shadow_path[0] ? config->shadow_path : "none";
}

static int load_models(const struct toc_config *config, bool service, struct toc_engine *engine, char *why, size_t size)
{
    int err = load_place(config->picker_path, &toc_contract_picker, service, &engine->picker, why, size);

    if (err < 0)
        return err;
    err = load_place(shadow_of(config), &toc_contract_picker, service, &engine->shadow, why, size);
    if (err < 0)
        return err;
    err = load_place(config->second_path, &toc_contract_second, service, &engine->second, why, size);
    if (err < 0)
        return err;
    return load_place(config->estimator_path, &toc_contract_estimator, service, &engine->estimator, why, size);
}

static int make_travel(const struct toc_config *config, struct toc_engine *engine, char *why, size_t size)
{
    int err = toc_travel_create(config->layers, config->n_layers, config->max_distance_km, config->max_depth_km,
                                &engine->travel);

    return err < 0 ? say(why, size, err, "velocity model", strerror(-err)) : 0;
}

static int make_pipeline(const struct toc_config *config, uint32_t workers, struct toc_engine *engine, char *why, size_t size)
{
    const struct toc_pipeline_parts parts = {
        .inventory = &engine->inventory,
        .travel = engine->travel,
        .picker = engine->picker.model,
        .shadow = engine->shadow.model,
        .second = engine->second.model,
        .estimator = engine->estimator.model,
        .settings = config->core,
        .targets = config->targets,
        .n_targets = config->n_targets,
        .workers = workers,
    };
    char reason[256] = "";
    int err = toc_pipeline_create(&parts, &engine->pipeline, reason, sizeof(reason));

    if (err < 0)
        return say(why, size, err, "pipeline", reason[0] ? reason : strerror(-err));
    engine->latencies = calloc(toc_pipeline_groups(engine->pipeline) + 1, sizeof(engine->latencies[0]));
    return engine->latencies ? 0 : say(why, size, -ENOMEM, "pipeline", strerror(ENOMEM));
}

int toc_engine_init(const struct toc_config *config, uint32_t workers, bool service, struct toc_engine *ret_engine,
                    char *ret_why, size_t why_size)
{
    int err;

    *ret_engine = (struct toc_engine){0};
    if (!config->stations_path[0])
        return say(ret_why, why_size, -EINVAL, "metadata.stations",
                   "no file given: stations without places are no use");
    err = toc_inventory_load(config->stations_path, &ret_engine->inventory, ret_why, why_size);
    if (err == 0)
        err = make_travel(config, ret_engine, ret_why, why_size);
    if (err == 0)
        err = load_models(config, service, ret_engine, ret_why, why_size);
    if (err == 0)
        err = make_pipeline(config, workers, ret_engine, ret_why, why_size);
    return err;
}

void toc_engine_finish(struct toc_engine *engine)
{
    free(engine->latencies);
    toc_pipeline_destroy(engine->pipeline);
    toc_placed_model_finish(&engine->estimator);
    toc_placed_model_finish(&engine->second);
    toc_placed_model_finish(&engine->shadow);
    for (size_t i = 0; i < TOC_ENGINE_RETIRED_MAX; i++)
        toc_model_destroy(engine->retired[i]);
    toc_placed_model_finish(&engine->picker);
    toc_travel_destroy(engine->travel);
    toc_inventory_finish(&engine->inventory);
    *engine = (struct toc_engine){0};
}

/* ---- other networks while running ---- */

/* The new networks of the places that change, by place. */
struct change {
    const char *configured;
    const struct toc_contract *contract;
    struct toc_placed_model *current; /* of the engine */
    struct toc_placed_model loaded;
    bool same;
};

#define CHANGES 3

static bool is_same(const struct toc_placed_model *a, const struct toc_placed_model *b)
{
    if (!a->model || !b->model)
        return a->model == b->model;
    return strcmp(toc_model_checksum(a->model), toc_model_checksum(b->model)) == 0;
}

/* A shipped one that is gone is no reason to stop using it. */
static int load_change(struct change *change, char *why, size_t size)
{
    int err = toc_placed_model_load(change->configured, change->contract, &change->loaded);

    if (err == 0 && change->loaded.why[0] && change->current->model)
        err = -ENOENT;
    if (err < 0 && err != -ENOMEM && !change->current->model && strcmp(change->loaded.why, change->current->why) == 0)
        err = 0; /* as bad as it was at the start, which is known: no reason to refuse all else */
    if (err < 0)
        snprintf(why, size, "%s %s", change->contract->kind, change->loaded.why);
    change->same = is_same(change->current, &change->loaded);
    return err;
}

static struct toc_model *wanted(const struct change *change)
{
    return change->same ? change->current->model : change->loaded.model;
}

static size_t free_places(const struct toc_engine *engine)
{
    size_t n = 0;

    for (size_t i = 0; i < TOC_ENGINE_RETIRED_MAX; i++)
        n += engine->retired[i] == NULL;
    return n;
}

static void retire(struct toc_engine *engine, struct toc_model *model)
{
    for (size_t i = 0; model && i < TOC_ENGINE_RETIRED_MAX; i++)
        if (!engine->retired[i]) {
            engine->retired[i] = model;
            return;
        }
}

/* What is loaded takes its place, what was there retires; what is the same, or was not taken, goes. */
static void keep(struct toc_engine *engine, struct change *change, bool taken)
{
    if (taken && !change->same) {
        retire(engine, change->current->model);
        *change->current = change->loaded;
        return;
    }
    if (taken)
        memcpy(change->current->why, change->loaded.why, sizeof(change->loaded.why));
    toc_placed_model_finish(&change->loaded);
}

static int change_all(struct toc_engine *engine, struct change *changes, char *why, size_t size)
{
    int err = 0;

    for (size_t i = 0; i < CHANGES && err == 0; i++)
        err = load_change(&changes[i], why, size);
    if (err < 0)
        return err;
    if (free_places(engine) < CHANGES)
        return say(why, size, -EBUSY, "models", "too many changes of networks are under way: some seconds later");
    err = toc_pipeline_change_models(engine->pipeline, wanted(&changes[0]), wanted(&changes[1]), wanted(&changes[2]));
    return err < 0 ? say(why, size, err, "models", strerror(-err)) : 0;
}

int toc_engine_change_models(struct toc_engine *engine, const struct toc_config *config, bool *ret_changed, char *ret_why,
                             size_t why_size)
{
    struct change changes[CHANGES] = {
        {.configured = config->picker_path, .contract = &toc_contract_picker, .current = &engine->picker},
        {.configured = shadow_of(config), .contract = &toc_contract_picker, .current = &engine->shadow},
        {.configured = config->estimator_path, .contract = &toc_contract_estimator, .current = &engine->estimator}};
    int err;

    toc_engine_release(engine);
    err = change_all(engine, changes, ret_why, why_size);
    *ret_changed = false;
    for (size_t i = 0; i < CHANGES; i++) {
        *ret_changed |= err == 0 && !changes[i].same;
        keep(engine, &changes[i], err == 0);
    }
    return err;
}

void toc_engine_release(struct toc_engine *engine)
{
    for (size_t i = 0; i < TOC_ENGINE_RETIRED_MAX; i++)
        if (engine->retired[i] && toc_pipeline_release(engine->pipeline, engine->retired[i])) {
            toc_model_destroy(engine->retired[i]);
            engine->retired[i] = NULL;
        }
}

void toc_engine_describe(const struct toc_engine *engine, struct toc_envelope *envelope)
{
    const struct toc_model *picker = engine->picker.model, *second = engine->second.model,
                           *estimator = engine->estimator.model;

    envelope->picker_name = picker ? toc_model_name(picker) : NULL;
    envelope->picker_hash = picker ? toc_model_checksum(picker) : NULL;
    envelope->second_name = second ? toc_model_name(second) : NULL;
    envelope->second_hash = second ? toc_model_checksum(second) : NULL;
    envelope->estimator_name = estimator ? toc_model_name(estimator) : NULL;
    envelope->estimator_hash = estimator ? toc_model_checksum(estimator) : NULL;
    envelope->model_problem = engine->picker.why[0]      ? engine->picker.why
                              : engine->second.why[0]    ? engine->second.why
                              : engine->estimator.why[0] ? engine->estimator.why
                                                         : NULL;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

void toc_engine_heartbeat(const struct toc_engine *engine, toc_ns now, struct toc_heartbeat *ret_heartbeat)
{
    double *latencies = engine->latencies;
    size_t n = 0, total = toc_pipeline_groups(engine->pipeline);
    struct toc_heartbeat beat = {.stations_total = (uint32_t)total, .feed_latency_s = (double)NAN};
    struct toc_group_report group;

    for (size_t i = 0; i < total && toc_pipeline_group(engine->pipeline, i, &group) == 0; i++) {
        bool up = group.status == TOC_STATION_OK || group.status == TOC_STATION_CLIPPED ||
                  group.status == TOC_STATION_NOISY;

        beat.stations_up += up;
        if (up && group.newest != TOC_NS_NONE)
            latencies[n++] = toc_s_from_ns(now - group.newest);
    }
    if (n > 0) {
        qsort(latencies, n, sizeof(latencies[0]), by_value);
        beat.feed_latency_s = latencies[n / 2];
    }
    beat.load = toc_load_mode_str(toc_pipeline_load(engine->pipeline));
    beat.wait_s = toc_pipeline_wait_s(engine->pipeline, now);
    *ret_heartbeat = beat;
}
