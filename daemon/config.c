/*
 * Loading: text to tree to struct, then the checks that no single row can
 * make, then the files named. The caller gets a finished configuration or a
 * place and a reason.
 */
#include "daemon/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "daemon/files.h"

/* Southern California, after Hadley and Kanamori (1977, GSA Bulletin 88) as the regional network uses it (Hutton et al.
 * 2010, BSSA 100): P velocities 5.5, 6.3, 6.7, 7.8 km/s from 0, 5.5, 16, 32 km, S by a Vp/Vs of 1.73. The same stands
 * in config/velocity.yaml; a test compares the two. */
static const struct toc_layer builtin_layers[] = {
    {.top_km = 0, .vp_kms = 5.5, .vs_kms = 3.18},
    {.top_km = 5.5, .vp_kms = 6.3, .vs_kms = 3.64},
    {.top_km = 16, .vp_kms = 6.7, .vs_kms = 3.87},
    {.top_km = 32, .vp_kms = 7.8, .vs_kms = 4.51},
};

int toc_config_create(struct toc_config **ret_config)
{
    struct toc_config *config = calloc(1, sizeof(*config));

    if (!config)
        return -ENOMEM;
    toc_schema_init(&toc_config_schema, config);
    config->n_layers = sizeof(builtin_layers) / sizeof(builtin_layers[0]);
    memcpy(config->layers, builtin_layers, sizeof(builtin_layers));
    *ret_config = config;
    return 0;
}

void toc_config_destroy(struct toc_config *config)
{
    if (!config)
        return;
    toc_schema_finish(&toc_config_schema, config);
    free(config);
}

void toc_config_error_str(const struct toc_config_error *error, char *buf, size_t size)
{
    if (error->place.line)
        snprintf(buf, size, "%s:%d:%d: %s", error->file, error->place.line, error->place.column, error->text);
    else
        snprintf(buf, size, "%s: %s", error->file, error->text);
}

char *toc_config_print(const struct toc_config *config)
{
    static const char head[] = "# Configuration of tocsind. Every key is shown; leave out what you do not change.\n";
    size_t size = toc_schema_print(&toc_config_schema, config, NULL, 0) + sizeof(head);
    char *text = malloc(size);

    if (!text)
        return NULL;
    memcpy(text, head, sizeof(head));
    toc_schema_print(&toc_config_schema, config, text + sizeof(head) - 1, size - sizeof(head) + 1);
    return text;
}

int toc_config_needs_restart(const struct toc_config *a, const struct toc_config *b, char *ret_names, size_t size)
{
    const struct toc_schema *s = &toc_config_schema;
    int n = 0;

    ret_names[0] = 0;
    for (size_t i = 0; (i = toc_schema_differs(s, a, b, i)) < s->n_rows; i++) {
        size_t len = strlen(ret_names);

        if (!(s->rows[i].flags & TOC_ROW_RESTART))
            continue;
        snprintf(ret_names + len, size - len, "%s%s", n++ ? ", " : "", s->rows[i].path);
    }
    return n;
}

unsigned toc_config_workers(const struct toc_config *config)
{
    unsigned processors = uv_available_parallelism(), most = TOC_PIPELINE_WORKERS_MAX;

    if (config->workers >= 0)
        return (unsigned)config->workers;
    return processors < most ? processors : most;
}

const char *toc_config_status_str(const struct toc_config *config)
{
    const struct toc_config_feed *feeds = toc_config_feeds(config);

    if (config->status == TOC_STATUS_EXERCISE)
        return "exercise";
    if (config->clock == TOC_CLOCK_DATA || (config->feeds.n && feeds[0].type == TOC_FEED_FILE))
        return "replay";
    return "actual";
}

/* ---- checks across keys ---- */

static struct toc_place place_of(const struct toc_schema_places *places, const char *path)
{
    for (size_t i = 0; i < toc_config_schema.n_rows; i++)
        if (strcmp(toc_config_schema.rows[i].path, path) == 0)
            return places->at[i];
    return (struct toc_place){0, 0};
}

static int check_code(const struct toc_config_station *station, const char *code, size_t most,
                      struct toc_config_error *error)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";

    if (code[strspn(code, alphabet)])
        return toc_config_refuse(error, station->place, "feeds.stations: '%s' holds a character outside A-Z 0-9 -",
                                 code);
    if (strlen(code) > most)
        return toc_config_refuse(error, station->place,
                                 "feeds.stations: '%s' is longer than the %zu that SeedLink 3 has", code, most);
    return 0;
}

/* What SeedLink 3 can ask for; core/slink.h checks the same again. */
static int check_station(const struct toc_config_station *station, struct toc_config_error *error)
{
    static const char selector[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-?!.";
    int err = check_code(station, station->net, 2, error);

    if (err == 0)
        err = check_code(station, station->sta, 5, error);
    if (err == 0 && (station->select[strspn(station->select, selector)] || strlen(station->select) > 8))
        err = toc_config_refuse(error, station->place, "feeds.stations.select: '%s' is not [!][LL]CCC[.T]",
                                station->select);
    return err;
}

static int check_stations(const struct toc_config_feed *feed, struct toc_config_error *error)
{
    const struct toc_config_station *stations = toc_config_feed_stations(feed);
    int err = 0;

    for (size_t i = 0; i < feed->stations.n && err == 0; i++)
        err = check_station(&stations[i], error);
    return err;
}

static int check_feed(const struct toc_config_feed *feed, struct toc_config_error *error)
{
    if (feed->type == TOC_FEED_SEEDLINK && !feed->host[0])
        return toc_config_refuse(error, feed->place, "feeds: a seedlink feed needs 'host'");
    if (feed->type == TOC_FEED_FILE && !feed->path[0])
        return toc_config_refuse(error, feed->place, "feeds: a file feed needs 'path'");
    if (feed->type == TOC_FEED_FILE && (feed->host[0] || feed->stations.n))
        return toc_config_refuse(error, feed->place, "feeds: 'host' and 'stations' belong to a seedlink feed");
    if (feed->type == TOC_FEED_SEEDLINK && feed->path[0])
        return toc_config_refuse(error, feed->place, "feeds: 'path' belongs to a file feed");
    return check_stations(feed, error);
}

static int check_feeds(const struct toc_config *config, struct toc_config_error *error)
{
    const struct toc_config_feed *feeds = toc_config_feeds(config);
    int err = 0;

    for (size_t i = 0; i < config->feeds.n && err == 0; i++) {
        err = check_feed(&feeds[i], error);
        if (err == 0 && feeds[i].type == TOC_FEED_FILE && config->feeds.n > 1)
            err = toc_config_refuse(error, feeds[i].place,
                                    "feeds: a file feed brings its own time and must be the only feed");
    }
    return err;
}

static int check_layers(const struct toc_config *config, struct toc_config_error *error)
{
    const struct toc_config_layer *layers = config->velocity_layers.items;

    for (size_t i = 0; i < config->velocity_layers.n; i++) {
        if (layers[i].layer.vs_kms >= layers[i].layer.vp_kms)
            return toc_config_refuse(error, layers[i].place, "layers: vs_kms must be below vp_kms");
        if (i == 0 && layers[i].layer.top_km > 0)
            return toc_config_refuse(error, layers[i].place, "layers: the first must begin at 0 or above");
        if (i > 0 && layers[i].layer.top_km <= layers[i - 1].layer.top_km)
            return toc_config_refuse(error, layers[i].place, "layers: top_km must increase");
    }
    return 0;
}

static int check_order(const struct toc_config *config, const struct toc_schema_places *places,
                       struct toc_config_error *error)
{
    const struct toc_alert_settings *alert = &config->core.alert;

    if (alert->tentative_score > alert->alert_score)
        return toc_config_refuse(error, place_of(places, "alert.tentative_score"),
                                 "alert.tentative_score must not be above alert.alert_score (%g)", alert->alert_score);
    if (alert->cancel_score > alert->alert_score)
        return toc_config_refuse(error, place_of(places, "alert.cancel_score"),
                                 "alert.cancel_score must not be above alert.alert_score (%g)", alert->alert_score);
    if (config->queue_soft_kib > config->queue_hard_kib)
        return toc_config_refuse(error, place_of(places, "output.queue_soft_kib"),
                                 "output.queue_soft_kib must not be above queue_hard_kib (%d)", config->queue_hard_kib);
    if (config->velocity_path[0] && config->velocity_layers.n)
        return toc_config_refuse(error, place_of(places, "velocity.layers"), "give velocity.file or velocity.layers");
    if (config->targets_path[0] && config->targets_inline.n)
        return toc_config_refuse(error, place_of(places, "targets"), "give targets or targets_file");
    return 0;
}

static int check_config(const struct toc_config *config, const struct toc_schema_places *places,
                        struct toc_config_error *error)
{
    int err = check_feeds(config, error);

    if (err == 0)
        err = check_layers(config, error);
    return err == 0 ? check_order(config, places, error) : err;
}

/* ---- from rows to what is used ---- */

static void use_layers(struct toc_config *config, const struct toc_list *list)
{
    const struct toc_config_layer *layers = list->items;

    for (size_t i = 0; i < list->n; i++)
        config->layers[i] = layers[i].layer;
    if (list->n)
        config->n_layers = list->n;
}

static void use_targets(struct toc_config *config, const struct toc_list *list)
{
    const struct toc_config_target *targets = list->items;

    for (size_t i = 0; i < list->n; i++)
        config->targets[i] = targets[i].target;
    config->n_targets = list->n;
}

/* Read a file by one of the small tables into a configuration of its own. */
static int read_part(const char *path, const struct toc_schema *schema, struct toc_config **ret_part,
                     struct toc_config_error *error)
{
    struct toc_node *root = NULL;
    struct toc_config *part = NULL;
    struct toc_file file;
    int err = toc_file_read_for_config(path, &file, error);

    if (err < 0)
        return err;
    err = toc_yaml_parse(file.bytes, file.len, &root, error);
    toc_file_finish(&file);
    if (err == 0)
        err = toc_config_create(&part);
    if (err == 0)
        err = toc_schema_read(schema, root, part, NULL, error);
    toc_yaml_destroy(root);
    if (err < 0) {
        toc_config_destroy(part);
        return err;
    }
    *ret_part = part;
    return 0;
}

static int read_velocity(struct toc_config *config, const char *path, struct toc_config_error *error)
{
    struct toc_config *part = NULL;
    int err = read_part(path, &toc_velocity_schema, &part, error);

    if (err < 0)
        return err;
    err = check_layers(part, error);
    if (err == 0 && part->velocity_layers.n == 0)
        err = toc_config_refuse(error, (struct toc_place){0, 0}, "holds no layers");
    if (err == 0)
        use_layers(config, &part->velocity_layers);
    toc_config_destroy(part);
    return err;
}

int toc_config_read_targets(struct toc_config *config, const char *path, struct toc_config_error *ret_error)
{
    struct toc_config *part = NULL;
    int err = read_part(path, &toc_targets_schema, &part, ret_error);

    if (err < 0)
        return err;
    use_targets(config, &part->targets_inline);
    toc_config_destroy(part);
    return 0;
}

static int use_parts(struct toc_config *config, struct toc_config_error *error)
{
    int err = 0;

    use_layers(config, &config->velocity_layers);
    use_targets(config, &config->targets_inline);
    if (config->velocity_path[0])
        err = read_velocity(config, config->velocity_path, error);
    if (err == 0 && config->targets_path[0])
        err = toc_config_read_targets(config, config->targets_path, error);
    return err;
}

/* ---- paths ---- */

static int resolve(char path[TOC_CONFIG_PATH_SIZE], const char *folder, struct toc_config_error *error)
{
    char joined[2 * TOC_CONFIG_PATH_SIZE];

    if (!path[0] || path[0] == '/' || strcmp(path, "none") == 0)
        return 0;
    snprintf(joined, sizeof(joined), "%s/%s", folder, path);
    if (strlen(joined) >= TOC_CONFIG_PATH_SIZE)
        return toc_config_refuse(error, (struct toc_place){0, 0}, "path too long: %.200s", joined);
    strcpy(path, joined);
    return 0;
}

static int resolve_paths(struct toc_config *config, const char *folder, struct toc_config_error *error)
{
    char *paths[] = {config->stations_path, config->velocity_path, config->picker_path, config->shadow_path, config->second_path,
                     config->estimator_path, config->targets_path, config->output_path, config->control_path};
    struct toc_config_feed *feeds = config->feeds.items;
    int err = 0;

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]) && err == 0; i++)
        err = resolve(paths[i], folder, error);
    for (size_t i = 0; i < config->feeds.n && err == 0; i++)
        err = resolve(feeds[i].path, folder, error);
    return err;
}

/* ---- the whole ---- */

static int fill(struct toc_config *config, const struct toc_node *root, const char *folder,
                struct toc_config_error *error)
{
    struct toc_schema_places places = {0};
    int err = toc_schema_read(&toc_config_schema, root, config, &places, error);

    if (err == 0)
        err = check_config(config, &places, error);
    if (err == 0)
        err = resolve_paths(config, folder, error);
    return err == 0 ? use_parts(config, error) : err;
}

int toc_config_parse(const char *text, size_t len, const char *name, const char *folder,
                     struct toc_config **ret_config, struct toc_config_error *ret_error)
{
    struct toc_config *config = NULL;
    struct toc_node *root = NULL;
    int err;

    *ret_error = (struct toc_config_error){0};
    snprintf(ret_error->file, sizeof(ret_error->file), "%s", name);
    snprintf(ret_error->text, sizeof(ret_error->text), "out of memory");
    err = toc_yaml_parse(text, len, &root, ret_error);
    if (err == 0)
        err = toc_config_create(&config);
    if (err == 0)
        err = fill(config, root, folder, ret_error);
    toc_yaml_destroy(root);
    if (err < 0) {
        toc_config_destroy(config);
        return err;
    }
    *ret_config = config;
    return 0;
}

int toc_config_load(const char *path, struct toc_config **ret_config, struct toc_config_error *ret_error)
{
    char folder[TOC_CONFIG_PATH_SIZE];
    struct toc_file file;
    int err;

    *ret_error = (struct toc_config_error){0};
    err = toc_file_read_for_config(path, &file, ret_error);
    if (err < 0)
        return err;
    toc_path_folder(path, folder, sizeof(folder));
    err = toc_config_parse(file.bytes, file.len, path, folder, ret_config, ret_error);
    toc_file_finish(&file);
    return err;
}
