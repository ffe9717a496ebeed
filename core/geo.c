/*
 * The ellipsoid by chords. The arc that belongs to a chord depends on the
 * local radius only in its third-order term (chord^3 / 24 R^2), so a mean
 * radius loses 1e-5 at 1000 km; no iteration, no trouble at antipodes of
 * formulas, none at the poles.
 */
#include "core/geo.h"

#include <math.h>

/* WGS84 defining constants (NIMA TR8350.2). */
#define SEMI_MAJOR_KM 6378.137
#define FLATTENING (1.0 / 298.257223563)
#define ECCENTRICITY2 (FLATTENING * (2.0 - FLATTENING))
#define MEAN_RADIUS_KM 6371.0088

#define RAD (M_PI / 180.0)
#define POLE_GUARD_DEG 89.9

/* Radius of curvature across the meridian. */
static double prime_vertical_km(double sin_lat)
{
    return SEMI_MAJOR_KM / sqrt(1.0 - ECCENTRICITY2 * sin_lat * sin_lat);
}

/* Radius of curvature along the meridian. */
static double meridian_km(double sin_lat)
{
    double w2 = 1.0 - ECCENTRICITY2 * sin_lat * sin_lat;

    return SEMI_MAJOR_KM * (1.0 - ECCENTRICITY2) / (w2 * sqrt(w2));
}

struct toc_geo_point toc_geo_point(double lat_deg, double lon_deg)
{
    double s = sin(lat_deg * RAD), c = cos(lat_deg * RAD);
    double n = prime_vertical_km(s);

    return (struct toc_geo_point){
        .x = n * c * cos(lon_deg * RAD),
        .y = n * c * sin(lon_deg * RAD),
        .z = n * (1.0 - ECCENTRICITY2) * s,
    };
}

double toc_geo_point_distance_km(const struct toc_geo_point *a, const struct toc_geo_point *b)
{
    double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
    double h2 = (dx * dx + dy * dy + dz * dz) / (4.0 * MEAN_RADIUS_KM * MEAN_RADIUS_KM);
    double h = sqrt(h2);

    /* Within 3000 km the series of the arc sine is exact to 1e-5 and saves the call. */
    if (h2 < 0.055)
        return 2.0 * MEAN_RADIUS_KM * h * (1.0 + h2 * (1.0 / 6.0 + h2 * (3.0 / 40.0)));
    if (h >= 1.0)
        return M_PI * MEAN_RADIUS_KM;
    return 2.0 * MEAN_RADIUS_KM * asin(h); /* NAN falls through to here and stays NAN */
}

double toc_geo_distance_km(double lat1_deg, double lon1_deg, double lat2_deg, double lon2_deg)
{
    struct toc_geo_point a = toc_geo_point(lat1_deg, lon1_deg);
    struct toc_geo_point b = toc_geo_point(lat2_deg, lon2_deg);

    return toc_geo_point_distance_km(&a, &b);
}

double toc_geo_azimuth_deg(double lat1_deg, double lon1_deg, double lat2_deg, double lon2_deg)
{
    struct toc_geo_point a = toc_geo_point(lat1_deg, lon1_deg);
    struct toc_geo_point b = toc_geo_point(lat2_deg, lon2_deg);
    double dx = b.x - a.x, dy = b.y - a.y, dz = b.z - a.z;
    double sf = sin(lat1_deg * RAD), cf = cos(lat1_deg * RAD);
    double sl = sin(lon1_deg * RAD), cl = cos(lon1_deg * RAD);
    double east = -sl * dx + cl * dy;
    double north = -sf * cl * dx - sf * sl * dy + cf * dz;
    double azimuth = atan2(east, north) / RAD;

    if (azimuth < 0.0)
        azimuth += 360.0;
    return azimuth >= 360.0 ? 0.0 : azimuth;
}

static double clamp_latitude(double lat_deg)
{
    return fmax(-POLE_GUARD_DEG, fmin(POLE_GUARD_DEG, lat_deg));
}

void toc_geo_offset(double lat_deg, double lon_deg, double north_km, double east_km, double *ret_lat_deg,
                    double *ret_lon_deg)
{
    double lat = clamp_latitude(lat_deg + north_km / meridian_km(sin(lat_deg * RAD)) / RAD);
    double middle = clamp_latitude(0.5 * (lat + lat_deg)) * RAD;
    double lon = lon_deg + east_km / (prime_vertical_km(sin(middle)) * cos(middle)) / RAD;

    lon = fmod(lon + 180.0, 360.0);
    if (lon < 0.0)
        lon += 360.0;
    *ret_lat_deg = lat;
    *ret_lon_deg = lon - 180.0;
}
