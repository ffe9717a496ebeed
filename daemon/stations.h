/*
 * Whom to ask a SeedLink server for: the configured stations, or all of the
 * inventory with one selector per kind of channel. Only builds the list that
 * core/slink takes.
 */
#ifndef TOC_DAEMON_STATIONS_H
#define TOC_DAEMON_STATIONS_H

#include "core/slink.h"
#include "core/station.h"
#include "daemon/config.h"

struct toc_station_list {
    struct toc_slink_station *asked; /* for toc_slink_create(); owned, texts borrowed from the members below */
    struct toc_config_station *stations; /* owned, one each */
    const char **selectors;              /* owned */
    char (*patterns)[TOC_SLINK_SELECTOR_SIZE]; /* owned */
    size_t n, n_selectors;
};

/** @return 0, -ENOENT (nothing to ask for), -EINVAL (a selector too long), -ENOMEM */
int toc_station_list_make(const struct toc_config_feed *config, const struct toc_inventory *inventory,
                          struct toc_station_list *ret_list);
void toc_station_list_finish(struct toc_station_list *list);

/** @return borrowed, or NULL when there is no such index */
const struct toc_config_station *toc_station_list_get(const struct toc_station_list *list, size_t index);

#endif
