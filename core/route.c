/*
 * Channel names to listeners. The table is built once and never changes, so
 * it is filled to half at most and needs no deletion.
 */
#include "core/route.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_ground_motion(const char *sid)
{
    char component = toc_sid_component(sid);
    size_t n = strlen(sid);
    return strchr("ZNE123", component) && n > 4 && strchr("HLNPG", sid[n - 3]);
}

static int by_sid(const void *a, const void *b)
{
    return strcmp(((const struct toc_route *)a)->sid, ((const struct toc_route *)b)->sid);
}

/* FNV-1a (Fowler, Noll and Vo). */
static uint32_t hash_of(const char *sid)
{
    uint32_t hash = 2166136261u;
    for (; *sid; sid++)
        hash = (hash ^ (uint8_t)*sid) * 16777619u;
    return hash;
}

const struct toc_route *toc_routes_find(const struct toc_routes *routes, const char *sid)
{
    for (uint32_t at = hash_of(sid) & routes->mask; routes->hashed[at] != 0; at = (at + 1) & routes->mask)
        if (strcmp(routes->list[routes->hashed[at] - 1].sid, sid) == 0)
            return &routes->list[routes->hashed[at] - 1];
    return NULL;
}

/* At most half full, so that a search ends soon. */
static int hash_routes(struct toc_routes *routes)
{
    uint32_t size = 16;
    while (size < 2 * routes->n)
        size *= 2;
    routes->mask = size - 1;
    routes->hashed = calloc(size, sizeof *routes->hashed);
    if (!routes->hashed)
        return -ENOMEM;
    for (uint32_t i = 0; i < routes->n; i++) {
        uint32_t at = hash_of(routes->list[i].sid) & routes->mask;
        while (routes->hashed[at] != 0)
            at = (at + 1) & routes->mask;
        routes->hashed[at] = i + 1;
    }
    return 0;
}

static int list_channels(struct toc_routes *routes, const struct toc_inventory *inventory)
{
    routes->list = calloc(inventory->n + 1, sizeof *routes->list);
    if (!routes->list)
        return -ENOMEM;
    for (size_t i = 0; i < inventory->n; i++) {
        const char *sid = inventory->channels[i].sid;
        bool again = i > 0 && strcmp(sid, inventory->channels[i - 1].sid) == 0;
        if (!again && is_ground_motion(sid))
            memcpy(routes->list[routes->n++].sid, sid, TOC_SID_SIZE);
    }
    qsort(routes->list, routes->n, sizeof *routes->list, by_sid);
    return 0;
}

int toc_routes_init(const struct toc_inventory *inventory, struct toc_routes *ret_routes)
{
    *ret_routes = (struct toc_routes){0};
    int r = list_channels(ret_routes, inventory);
    return r == 0 ? hash_routes(ret_routes) : r;
}

void toc_routes_finish(struct toc_routes *routes)
{
    free(routes->hashed);
    free(routes->list);
    *routes = (struct toc_routes){0};
}
