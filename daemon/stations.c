/*
 * Selectors are by instrument ("HH?.D"), not by channel: three components of
 * one instrument are asked for in one line.
 */
#include "daemon/stations.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void toc_station_list_finish(struct toc_station_list *list)
{
    free(list->asked);
    free(list->stations);
    free(list->selectors);
    free(list->patterns);
    *list = (struct toc_station_list){0};
}

const struct toc_config_station *toc_station_list_get(const struct toc_station_list *list, size_t index)
{
    return index < list->n ? &list->stations[index] : NULL;
}

/* Room for every channel once; an inventory has no more stations, nor instruments, than channels. */
static int make_room(size_t n, struct toc_station_list *list)
{
    list->asked = calloc(n, sizeof(*list->asked));
    list->stations = calloc(n, sizeof(*list->stations));
    list->selectors = calloc(n, sizeof(*list->selectors));
    list->patterns = calloc(n, sizeof(*list->patterns));
    return list->asked && list->stations && list->selectors && list->patterns ? 0 : -ENOMEM;
}

static struct toc_slink_station *add_station(struct toc_station_list *list, const char *net, const char *sta)
{
    struct toc_config_station *kept = &list->stations[list->n];
    struct toc_slink_station *asked = &list->asked[list->n++];

    snprintf(kept->net, sizeof(kept->net), "%s", net);
    snprintf(kept->sta, sizeof(kept->sta), "%s", sta);
    *asked = (struct toc_slink_station){.network = kept->net, .station = kept->sta,
                                        .selectors = &list->selectors[list->n_selectors], .resume = -1};
    return asked;
}

static int add_selector(struct toc_station_list *list, struct toc_slink_station *station, const char *pattern)
{
    char *kept = list->patterns[list->n_selectors];

    for (size_t i = 0; i < station->n_selectors; i++)
        if (strcmp(station->selectors[i], pattern) == 0)
            return 0;
    if (strlen(pattern) >= TOC_SLINK_SELECTOR_SIZE)
        return -EINVAL;
    if (station->n_selectors == TOC_SLINK_SELECTORS_MAX)
        return 0; /* more instruments than a request can name: the first ones */
    strcpy(kept, pattern);
    list->selectors[list->n_selectors++] = kept;
    station->n_selectors++;
    return 0;
}

static int from_config(const struct toc_config_feed *config, struct toc_station_list *list)
{
    const struct toc_config_station *stations = toc_config_feed_stations(config);
    int err = make_room(config->stations.n, list);

    for (size_t i = 0; i < config->stations.n && err == 0; i++) {
        struct toc_slink_station *station = add_station(list, stations[i].net, stations[i].sta);

        if (stations[i].select[0])
            err = add_selector(list, station, stations[i].select);
    }
    return err;
}

/* "FDSN:CI_CCC__H_H_Z" -> "CI", "CCC", and the selector "HH?.D". @return false for anything else */
static bool take_apart(const char *sid, char net[9], char sta[9], char select[8])
{
    const char *end = sid + strlen(sid);

    if (sscanf(sid, "FDSN:%8[^_]_%8[^_]_", net, sta) != 2 || end - sid < 6)
        return false;
    if (end[-2] != '_' || end[-4] != '_')
        return false;
    snprintf(select, 8, "%c%c?.D", end[-5], end[-3]);
    return true;
}

/* Channels are sorted by sid, so that those of a station are neighbours. */
static int from_inventory(const struct toc_inventory *inventory, struct toc_station_list *list)
{
    struct toc_slink_station *station = NULL;
    int err = make_room(inventory->n + 1, list);

    for (size_t i = 0; i < inventory->n && err == 0; i++) {
        char net[9], sta[9], select[8];

        if (!take_apart(inventory->channels[i].sid, net, sta, select))
            continue;
        if (!station || strcmp(station->network, net) != 0 || strcmp(station->station, sta) != 0)
            station = add_station(list, net, sta);
        err = add_selector(list, station, select);
    }
    return err;
}

int toc_station_list_make(const struct toc_config_feed *config, const struct toc_inventory *inventory,
                          struct toc_station_list *ret_list)
{
    struct toc_station_list list = {0};
    int err = config->stations.n ? from_config(config, &list) : from_inventory(inventory, &list);

    if (err == 0 && list.n == 0)
        err = -ENOENT;
    if (err < 0)
        toc_station_list_finish(&list);
    else
        *ret_list = list;
    return err;
}
