/*
 * What tocsind is told: one struct, filled from YAML by the table in
 * config_table.c. A configuration is loaded whole or not at all: all files it
 * names are read and checked before anybody sees it.
 */
#ifndef TOC_DAEMON_CONFIG_H
#define TOC_DAEMON_CONFIG_H

#include "core/pipeline.h"
#include "daemon/schema.h"

#define TOC_CONFIG_PATH_SIZE 512
#define TOC_CONFIG_FEEDS_MAX 16
#define TOC_CONFIG_STATIONS_MAX 4096 /* of one feed */

enum toc_config_status { TOC_STATUS_ACTUAL, TOC_STATUS_EXERCISE };
enum toc_config_clock { TOC_CLOCK_SYSTEM, TOC_CLOCK_DATA };
enum toc_config_feed_type { TOC_FEED_SEEDLINK, TOC_FEED_FILE };

/** A station asked of a SeedLink server. */
struct toc_config_station {
    struct toc_place place;
    char net[9], sta[9];
    char select[32]; /* SeedLink selector; empty: every data record */
};

struct toc_config_feed {
    struct toc_place place;
    int32_t type; /* enum toc_config_feed_type */
    char name[TOC_NAME_SIZE];
    char host[256];
    int32_t port;
    struct toc_list stations; /* struct toc_config_station; empty: all of the inventory */
    char path[TOC_CONFIG_PATH_SIZE];
    double speed; /* file: times real time, 0 as fast as possible */
};

/** A layer as written: core's struct with its place. */
struct toc_config_layer {
    struct toc_place place;
    struct toc_layer layer;
};

struct toc_config_target {
    struct toc_place place;
    struct toc_target target;
};

struct toc_config {
    char name[TOC_NAME_SIZE];
    int32_t status; /* enum toc_config_status */
    int32_t clock;  /* enum toc_config_clock */
    int32_t workers; /* -1: as many as processors */
    struct toc_list feeds; /* struct toc_config_feed */
    char stations_path[TOC_CONFIG_PATH_SIZE];
    char velocity_path[TOC_CONFIG_PATH_SIZE];
    struct toc_list velocity_layers; /* struct toc_config_layer, as written inline */
    double max_distance_km, max_depth_km;
    char picker_path[TOC_CONFIG_PATH_SIZE], shadow_path[TOC_CONFIG_PATH_SIZE], second_path[TOC_CONFIG_PATH_SIZE], estimator_path[TOC_CONFIG_PATH_SIZE];
    struct toc_settings core;
    struct toc_list targets_inline; /* struct toc_config_target */
    char targets_path[TOC_CONFIG_PATH_SIZE];
    char output_path[TOC_CONFIG_PATH_SIZE];
    double heartbeat_s, lag_s;
    int32_t subscribers_max, queue_soft_kib, queue_hard_kib;
    bool send_picks, send_estimates;
    char control_path[TOC_CONFIG_PATH_SIZE];

    /* What the rows above come to, after the files they name were read. */
    struct toc_layer layers[TOC_LAYERS_MAX];
    size_t n_layers;
    struct toc_target targets[TOC_ALERT_TARGETS_MAX];
    size_t n_targets;
};

/** The tables (config_table.c): the main file, a velocity file, a targets file. */
extern const struct toc_schema toc_config_schema, toc_velocity_schema, toc_targets_schema;

/** All defaults, the built-in velocity model, no target. @return 0 or -ENOMEM; toc_config_destroy() */
int toc_config_create(struct toc_config **ret_config);
void toc_config_destroy(struct toc_config *config);

/**
 * Read a file and all files it names. Relative paths in it are relative to its folder.
 *
 * @param ret_error filled on every error
 * @return 0, -EINVAL (refused), -ENOMEM, or what opening the file gave
 */
int toc_config_load(const char *path, struct toc_config **ret_config, struct toc_config_error *ret_error);

/** The same from text; `folder` is what relative paths are relative to, `name` stands in errors. */
int toc_config_parse(const char *text, size_t len, const char *name, const char *folder,
                     struct toc_config **ret_config, struct toc_config_error *ret_error);

/** Replace the targets by those of a targets file. @return 0, -EINVAL, -ENOMEM, or what opening the file gave */
int toc_config_read_targets(struct toc_config *config, const char *path, struct toc_config_error *ret_error);

/** "file:line:column: text" */
void toc_config_error_str(const struct toc_config_error *error, char *buf, size_t size);

/** The whole configuration as commented YAML. @return owned text or NULL (no memory) */
char *toc_config_print(const struct toc_config *config);

/** Names of keys that differ and take effect only at the next start, comma separated. @return how many */
int toc_config_needs_restart(const struct toc_config *a, const struct toc_config *b, char *ret_names, size_t size);

/** Threads to run batches on; 0: none. */
unsigned toc_config_workers(const struct toc_config *config);

const char *toc_config_status_str(const struct toc_config *config);

/** Typed views of the lists. */
static inline const struct toc_config_feed *toc_config_feeds(const struct toc_config *config)
{
    return config->feeds.items;
}

static inline const struct toc_config_station *toc_config_feed_stations(const struct toc_config_feed *feed)
{
    return feed->stations.items;
}

#endif
