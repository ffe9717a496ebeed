/*
 * Distances and directions on the earth. An ellipsoid seen from the middle
 * of the path: meridian and prime-vertical radii of WGS84 at the mean
 * latitude stretch a sphere. Good to 0.1 % up to 1000 km outside the polar
 * caps (|latitude| < 85), which is far better than any velocity model.
 */
#ifndef TOC_CORE_GEO_H
#define TOC_CORE_GEO_H

/** Epicentral distance in km between two points in degrees. Symmetric, 0 for equal points, NAN for NAN. */
double toc_geo_distance_km(double lat1_deg, double lon1_deg, double lat2_deg, double lon2_deg);

/** Direction from point 1 to point 2 in degrees clockwise from north, 0 <= a < 360. Equal points give 0. */
double toc_geo_azimuth_deg(double lat1_deg, double lon1_deg, double lat2_deg, double lon2_deg);

/**
 * The point `north_km` north and `east_km` east of a start, by the same radii; meant for steps up to some
 * hundred km. Longitude comes back in [-180, 180), latitude is held within +/- 90.
 *
 * @param ret_lat_deg, ret_lon_deg may alias nothing else; both are written
 */
void toc_geo_offset(double lat_deg, double lon_deg, double north_km, double east_km, double *ret_lat_deg,
                    double *ret_lon_deg);

#endif
