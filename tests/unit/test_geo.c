/*
 * Geodesy against known places: published geodesics, lengths of degrees,
 * and the agreement of distance, azimuth and offset with one another.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/geo.h"

static void assert_near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("got %.9g, want %.9g +/- %.3g", got, want, tolerance);
}

/* Flinders Peak to Buninyong, the worked example of the GDA94 technical manual (GRS80): 54972.271 m, 306 52 05.37. */
static void flinders_peak_to_buninyong(void **state)
{
    double lat1 = -(37 + 57 / 60.0 + 3.72030 / 3600), lon1 = 144 + 25 / 60.0 + 29.52440 / 3600;
    double lat2 = -(37 + 39 / 60.0 + 10.15610 / 3600), lon2 = 143 + 55 / 60.0 + 35.38390 / 3600;

    (void)state;
    assert_near(toc_geo_distance_km(lat1, lon1, lat2, lon2), 54.972271, 0.003);
    assert_near(toc_geo_azimuth_deg(lat1, lon1, lat2, lon2), 306 + 52 / 60.0 + 5.37 / 3600, 0.001);
    assert_near(toc_geo_azimuth_deg(lat2, lon2, lat1, lon1), 127 + 10 / 60.0 + 25.07 / 3600, 0.001);
}

/* Lengths of one degree on WGS84, as in any table of the ellipsoid. */
static void one_degree_is_as_long_as_the_tables_say(void **state)
{
    (void)state;
    assert_near(toc_geo_distance_km(-0.5, 10, 0.5, 10), 110.574, 0.01);
    assert_near(toc_geo_distance_km(44.5, 10, 45.5, 10), 111.132, 0.01);
    assert_near(toc_geo_distance_km(0, 10, 0, 11), 111.319, 0.01);
    assert_near(toc_geo_distance_km(60, 179.5, 60, -179.5), 55.800, 0.01);
    assert_near(toc_geo_distance_km(84.5, 0, 85.5, 0), 111.685, 0.02);
}

/* A thousand kilometres and a quarter of the meridian (10001.966 km). */
static void long_paths_stay_within_a_thousandth(void **state)
{
    (void)state;
    assert_near(toc_geo_distance_km(0, 0, 0, 9), 9 * 111.319491, 0.1);
    assert_near(toc_geo_distance_km(30, 0, 39, 0), 998.61, 1.0);
    assert_near(toc_geo_distance_km(0, 0, 90, 0), 10001.97, 30.0);
    assert_near(toc_geo_distance_km(0, 0, 0, 180), 20020.0, 40.0);
}

static void edges_are_quiet(void **state)
{
    (void)state;
    assert_true(toc_geo_distance_km(35, -117, 35, -117) == 0.0);
    assert_true(toc_geo_azimuth_deg(35, -117, 35, -117) == 0.0);
    assert_true(isnan(toc_geo_distance_km(NAN, 0, 0, 0)));
    assert_near(toc_geo_azimuth_deg(0, 0, 1, 0), 0, 1e-9);
    assert_near(toc_geo_azimuth_deg(0, 0, 0, 1), 90, 0.01);
    assert_near(toc_geo_azimuth_deg(1, 0, 0, 0), 180, 1e-9);
    assert_near(toc_geo_azimuth_deg(0, 1, 0, 0), 270, 0.01);
}

static void offset_lands_where_distance_and_azimuth_say(void **state)
{
    (void)state;
    srand(7);
    for (int i = 0; i < 500; i++) {
        double lat0 = -68 + 136.0 * rand() / RAND_MAX, lon0 = -180 + 360.0 * rand() / RAND_MAX;
        double north = -200 + 400.0 * rand() / RAND_MAX, east = -200 + 400.0 * rand() / RAND_MAX;
        double lat, lon, far = hypot(north, east), turn;

        toc_geo_offset(lat0, lon0, north, east, &lat, &lon);
        assert_true(lon >= -180 && lon < 180);
        assert_near(toc_geo_distance_km(lat0, lon0, lat, lon), far, 0.005 * far + 1e-6);
        assert_near(toc_geo_distance_km(lat, lon, lat0, lon0), toc_geo_distance_km(lat0, lon0, lat, lon), 1e-9);
        turn = toc_geo_azimuth_deg(lat0, lon0, lat, lon) - atan2(east, north) * 180 / M_PI;
        turn -= 360 * floor(turn / 360 + 0.5);
        if (far > 1)
            assert_near(turn, 0, 4.0);
    }
}

static void offset_survives_pole_and_date_line(void **state)
{
    double lat, lon;

    (void)state;
    toc_geo_offset(89.9, 0, 1000, 1000, &lat, &lon);
    assert_true(lat <= 90 && lat >= -90 && isfinite(lon));
    toc_geo_offset(0, 179.9, 0, 50, &lat, &lon);
    assert_near(lon, -180 + (50 / 111.319491 - 0.1), 1e-4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flinders_peak_to_buninyong),
        cmocka_unit_test(one_degree_is_as_long_as_the_tables_say),
        cmocka_unit_test(long_paths_stay_within_a_thousandth),
        cmocka_unit_test(edges_are_quiet),
        cmocka_unit_test(offset_lands_where_distance_and_azimuth_say),
        cmocka_unit_test(offset_survives_pole_and_date_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
