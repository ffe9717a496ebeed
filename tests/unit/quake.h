/*
 * Synthetic quakes for the tests of source and alert: a seeded random
 * generator, a layered crust, a network in a square, and the picks a quake
 * would make there. Static functions only; include in one test each.
 */
#ifndef TOC_TESTS_UNIT_QUAKE_H
#define TOC_TESTS_UNIT_QUAKE_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/geo.h"
#include "core/station.h"
#include "core/travel.h"
#include "core/types.h"

#define QUAKE_EPOCH (INT64_C(1700000000) * TOC_NS_PER_S)
#define QUAKE_LAT 35.0
#define QUAKE_LON (-117.0)
#define QUAKE_SITES_MAX 200

/* Southern California, after Hadley and Kanamori (1977). */
static const struct toc_layer quake_layers[] = {{-1, 5.5, 3.18}, {5.5, 6.3, 3.64}, {16, 6.7, 3.87}, {32, 7.8, 4.5}};

struct quake {
    double lat, lon, depth_km;
    toc_ns time;
};

struct quake_net {
    struct toc_site sites[QUAKE_SITES_MAX];
    size_t n;
};

static uint64_t quake_seed = 1;

/* xorshift64*: the same on every machine, unlike rand(). */
static inline double quake_uniform(void)
{
    quake_seed ^= quake_seed >> 12;
    quake_seed ^= quake_seed << 25;
    quake_seed ^= quake_seed >> 27;
    return (double)((quake_seed * UINT64_C(2685821657736338717)) >> 11) / 9007199254740992.0;
}

static inline double quake_between(double low, double high)
{
    return low + (high - low) * quake_uniform();
}

static inline double quake_gauss(void)
{
    double u = quake_uniform();

    return sqrt(-2.0 * log(u > 1e-300 ? u : 1e-300)) * cos(2.0 * M_PI * quake_uniform());
}

static inline struct toc_travel *quake_travel(void)
{
    struct toc_travel *travel = NULL;

    return toc_travel_create(quake_layers, 4, 500, 100, &travel) == 0 ? travel : NULL;
}

/* n sites at random in a square of 2 * half_km around QUAKE_LAT, QUAKE_LON. */
static inline void quake_net_random(struct quake_net *net, size_t n, double half_km)
{
    memset(net, 0, sizeof(*net));
    net->n = n;
    for (size_t i = 0; i < n; i++) {
        struct toc_site *s = &net->sites[i];

        snprintf(s->name, sizeof(s->name), "XX_S%03zu", i);
        toc_geo_offset(QUAKE_LAT, QUAKE_LON, quake_between(-half_km, half_km), quake_between(-half_km, half_km),
                       &s->latitude_deg, &s->longitude_deg);
        s->elevation_km = quake_between(0, 2);
        s->usable = true;
        s->picked_until = QUAKE_EPOCH;
    }
}

static inline void quake_net_until(struct quake_net *net, toc_ns until)
{
    for (size_t i = 0; i < net->n; i++)
        net->sites[i].picked_until = until;
}

static inline double quake_distance_km(const struct quake *q, const struct toc_site *site)
{
    return toc_geo_distance_km(q->lat, q->lon, site->latitude_deg, site->longitude_deg);
}

static inline toc_ns quake_arrival(const struct toc_travel *travel, const struct quake *q, const struct toc_site *site,
                                   enum toc_phase phase)
{
    double tt = toc_travel_s(travel, phase, quake_distance_km(q, site), q->depth_km) +
                site->elevation_km / toc_travel_surface_kms(travel, phase);

    return q->time + toc_ns_from_s(tt);
}

static inline struct toc_pick quake_pick(uint64_t id, uint32_t site, enum toc_phase phase, toc_ns time)
{
    return (struct toc_pick){.id = id, .group = site, .site = site, .phase = phase, .time = time, .sigma_s = 0.1f,
                             .probability = 0.9f, .declared = time + TOC_NS_PER_S / 2, .snr_db = NAN};
}

#endif
