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

static int load_model(const char *path, struct toc_model **ret_model, char *why, size_t size)
{
    struct toc_file file;
    char reason[256] = "";
    int err = toc_file_read(path, TOC_MODEL_BYTES_MAX, &file);

    if (err < 0)
        return say(why, size, err, path, strerror(-err));
    err = toc_model_load((const uint8_t *)file.bytes, file.len, ret_model, reason, sizeof(reason));
    toc_file_finish(&file);
    return err < 0 ? say(why, size, err, path, reason[0] ? reason : strerror(-err)) : 0;
}

/* "" is the shipped file, which may be missing; "none" is none. */
static int find_model(const char *configured, const char *relative, struct toc_model **ret_model, char *why,
                      size_t size)
{
    char path[TOC_CONFIG_PATH_SIZE];

    if (strcmp(configured, "none") == 0)
        return 0;
    if (configured[0])
        return load_model(configured, ret_model, why, size);
    if (toc_path_shipped(relative, path, sizeof(path)) < 0) {
        toc_log(TOC_LOG_WARNING, "%s is not installed: the classical method works in its place", path);
        return 0;
    }
    return load_model(path, ret_model, why, size);
}

static int load_models(const struct toc_config *config, struct toc_engine *engine, char *why, size_t size)
{
    int err = find_model(config->picker_path, "models/picker/weights.safetensors", &engine->picker, why, size);

    if (err < 0)
        return err;
    return find_model(config->estimator_path, "models/estimator/weights.safetensors", &engine->estimator, why, size);
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
        .picker = engine->picker,
        .estimator = engine->estimator,
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

int toc_engine_init(const struct toc_config *config, uint32_t workers, struct toc_engine *ret_engine, char *ret_why,
                    size_t why_size)
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
        err = load_models(config, ret_engine, ret_why, why_size);
    if (err == 0)
        err = make_pipeline(config, workers, ret_engine, ret_why, why_size);
    return err;
}

void toc_engine_finish(struct toc_engine *engine)
{
    free(engine->latencies);
    toc_pipeline_destroy(engine->pipeline);
    toc_model_destroy(engine->estimator);
    toc_model_destroy(engine->picker);
    toc_travel_destroy(engine->travel);
    toc_inventory_finish(&engine->inventory);
    *engine = (struct toc_engine){0};
}

void toc_engine_describe(const struct toc_engine *engine, struct toc_envelope *envelope)
{
    envelope->picker_name = engine->picker ? toc_model_name(engine->picker) : NULL;
    envelope->picker_hash = engine->picker ? toc_model_checksum(engine->picker) : NULL;
    envelope->estimator_name = engine->estimator ? toc_model_name(engine->estimator) : NULL;
    envelope->estimator_hash = engine->estimator ? toc_model_checksum(engine->estimator) : NULL;
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
        bool up = group.status == TOC_STATION_OK || group.status == TOC_STATION_CLIPPED;

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
