/*
 * Distances and directions on the WGS84 ellipsoid. A place is turned into
 * earth-centred Cartesian km once; a distance is then the chord, bent to an
 * arc: a few multiplications, which the grid searches need. Good to 0.01 %
 * up to 1000 km, and everywhere, poles and date line included.
 */
#ifndef TOC_CORE_GEO_H
#define TOC_CORE_GEO_H

/** A place on the ellipsoid, earth-centred earth-fixed, km. */
struct toc_geo_point {
    double x, y, z;
};

/** Degrees to a point at height zero. NAN in, NAN out. */
struct toc_geo_point toc_geo_point(double lat_deg, double lon_deg);

/** Surface distance in km of two points, below 1000 km to 0.01 %; beyond a quarter of the earth only roughly. */
double toc_geo_point_distance_km(const struct toc_geo_point *a, const struct toc_geo_point *b);

/** Epicentral distance in km between two places in degrees. Symmetric, 0 for equal places, NAN for NAN. */
double toc_geo_distance_km(double lat1_deg, double lon1_deg, double lat2_deg, double lon2_deg);

/** Direction at place 1 toward place 2, degrees clockwise from north, 0 <= a < 360. Equal places give 0. */
double toc_geo_azimuth_deg(double lat1_deg, double lon1_deg, double lat2_deg, double lon2_deg);

/**
 * The place `north_km` north and `east_km` east of a start: north along the meridian, east along the middle parallel.
 * Its distance from the start is the hypotenuse within 0.5 % for steps up to 300 km below 70 degrees of latitude.
 * Longitude comes back in [-180, 180); latitude is held within +/- 89.9.
 */
void toc_geo_offset(double lat_deg, double lon_deg, double north_km, double east_km, double *ret_lat_deg,
                    double *ret_lon_deg);

#endif
