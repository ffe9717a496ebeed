/*
 * See region.h. Where a source gives no spreading of its own, that of its Q study is taken: the two belong together.
 *
 * All of them are about S. P in the crust loses as much at the same frequency, though it is faster: Yoshimoto, Sato and
 * Ohtake (1993, GJI 114, 165-174) have Q of P below that of S. Its peak falls faster with distance: R^-1.37 is what Wu
 * and Zhao (2006, GRL 33, L16312) find for Pd; the loss explains a part, p_more the rest.
 */
#include "tests/sim/region.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static const struct toc_region regions[TOC_REGIONS] = {
    /* Q and spreading: Raoof, Herrmann and Malagnini (1999, BSSA 89, 888-902), southern California. Ground: generic rock
     * of Boore and Joyner (1997, BSSA 87, 327-341), kappa 0.035 s. Stress drop: Allmann and Shearer (2009, JGR 114,
     * B01310) have a median of 4 MPa for the world's strike-slip and reverse quakes. */
    {
        .name = "california",
        .stress_drop_pa = 5e6, .stress_drop_sd = 0.3,
        .q0 = 180.0, .q_exponent = 0.45,
        .near_km = 40.0, .middle_km = 40.0, .near = -1.0, .middle = -0.5, .far = -0.5, .p_more = -0.6,
        .kappa_s = 0.035, .site_s = 2.2,
        .shallowest_km = 3.0, .deepest_km = 20.0,
    },
    /* Q: Satoh, Kawase and Sato (1997, BSSA 87, 446-462, Sendai): 110 f^0.69 with 1/R. Slab quakes have larger stress drops;
     * depths to 150 km. Soft ground: Boore and Joyner's generic soil is some 3 above 1 Hz. */
    {
        .name = "japan",
        .stress_drop_pa = 8e6, .stress_drop_sd = 0.35,
        .q0 = 110.0, .q_exponent = 0.69,
        .near_km = 100.0, .middle_km = 100.0, .near = -1.0, .middle = -0.5, .far = -0.5, .p_more = -0.6,
        .kappa_s = 0.04, .site_s = 2.8,
        .shallowest_km = 3.0, .deepest_km = 40.0, .slab_share = 0.4, .slab_deepest_km = 150.0,
    },
    /* Atkinson (2004, BSSA 94, 1079-1095), eastern North America: Q 893 f^0.32, R^-1.3 to 70 km, R^0.2 to 140 km, R^-0.5.
     * Hard rock: kappa 0.005 s, hardly any amplification (Atkinson and Boore 2006, BSSA 96, 2181-2205; 14 MPa). */
    {
        .name = "stable",
        .stress_drop_pa = 14e6, .stress_drop_sd = 0.3,
        .q0 = 893.0, .q_exponent = 0.32,
        .near_km = 70.0, .middle_km = 140.0, .near = -1.3, .middle = 0.2, .far = -0.5, .p_more = -0.3,
        .kappa_s = 0.006, .site_s = 1.3,
        .shallowest_km = 2.0, .deepest_km = 25.0,
    },
    /* Ordaz and Singh (1992, BSSA 82, 24-43), Guerrero coast: Q 273 f^0.66, 1/R to 100 km, then R^-0.5. Slab quakes to
     * 120 km as Garcia et al. (2004, BSSA 94, 789-802) treat them. */
    {
        .name = "mexico",
        .stress_drop_pa = 5e6, .stress_drop_sd = 0.35,
        .q0 = 273.0, .q_exponent = 0.66,
        .near_km = 100.0, .middle_km = 100.0, .near = -1.0, .middle = -0.5, .far = -0.5, .p_more = -0.6,
        .kappa_s = 0.03, .site_s = 2.2,
        .shallowest_km = 5.0, .deepest_km = 35.0, .slab_share = 0.35, .slab_deepest_km = 120.0,
    },
};

const struct toc_region *toc_region_at(int index)
{
    return &regions[index];
}

int toc_region_find(const char *name)
{
    for (int i = 0; i < TOC_REGIONS; i++)
        if (strcmp(name, regions[i].name) == 0)
            return i;
    return -1;
}

double toc_region_spreading(const struct toc_region *region, double km)
{
    double g = 1e-3 * pow(fmin(km, region->near_km), region->near);
    if (km > region->near_km)
        g *= pow(fmin(km, region->middle_km) / region->near_km, region->middle);
    if (km > region->middle_km)
        g *= pow(km / region->middle_km, region->far);
    return g;
}
