/*
 * Which channel goes where: every ground-motion channel of an inventory once,
 * sorted by name so that the channels of a sensor and the sensors of a site
 * stand together, and found by hash, for that is asked for each record.
 */
#ifndef TOC_CORE_ROUTE_H
#define TOC_CORE_ROUTE_H

#include <stddef.h>
#include <stdint.h>

#include "core/station.h"
#include "core/types.h"

struct toc_route {
    char sid[TOC_SID_SIZE];
    uint32_t listener; /* the caller's: who takes its data */
};

struct toc_routes {
    struct toc_route *list; /* owned; sorted by sid */
    size_t n;
    uint32_t *hashed;       /* owned, mask + 1: place in list + 1, or 0; linear probing */
    uint32_t mask;
};

/** @param ret_routes to be finished, also after an error. @return 0 or -ENOMEM */
int toc_routes_init(const struct toc_inventory *inventory, struct toc_routes *ret_routes);
void toc_routes_finish(struct toc_routes *routes);

/** @return the route of this channel, borrowed until finish; NULL: there is none */
const struct toc_route *toc_routes_find(const struct toc_routes *routes, const char *sid);

#endif
