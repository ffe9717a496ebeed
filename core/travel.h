/*
 * Travel times of first-arriving P and S in a layered earth, as tables
 * over epicentral distance and depth, computed once by us: direct rays by
 * shooting in ray parameter, head waves along every deeper layer top; the
 * earliest counts. Flat earth, so to be trusted to about 1000 km.
 */
#ifndef TOC_CORE_TRAVEL_H
#define TOC_CORE_TRAVEL_H

#include <stddef.h>

#include "core/types.h"

#define TOC_LAYERS_MAX 64

/** A layer from top_km down to the next one's top; the last is a half space. */
struct toc_layer {
    double top_km;  /* the first is <= 0; strictly increasing */
    double vp_kms, vs_kms; /* 0.1..15, vp > vs */
};

struct toc_travel;

/**
 * @param max_distance_km 10..2000, @param max_depth_km 1..700
 * @return 0, -EINVAL (layers out of order or range), -ENOMEM
 */
int toc_travel_create(const struct toc_layer *layers, size_t n_layers, double max_distance_km, double max_depth_km,
                      struct toc_travel **ret_travel);
void toc_travel_destroy(struct toc_travel *travel);

/** First arrival in seconds after the origin, bilinear in the table; outside it is extrapolated along the edge's slope.
 * Never negative. Receiver at the surface (elevation is a station correction, elevation / surface velocity). */
double toc_travel_s(const struct toc_travel *travel, enum toc_phase phase, double distance_km, double depth_km);

/** Velocity of the layer at the surface in km/s: the last whose top is not below 0 km. */
double toc_travel_surface_kms(const struct toc_travel *travel, enum toc_phase phase);

/** How far and how deep the table goes, as given at create. */
double toc_travel_max_distance_km(const struct toc_travel *travel);
double toc_travel_max_depth_km(const struct toc_travel *travel);

#endif
