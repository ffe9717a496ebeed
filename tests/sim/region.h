/*
 * What differs between parts of the world for waves on their way: Q, spreading, the ground under stations, depths and
 * stress drops. Each set follows a published one, named in region.c.
 */
#ifndef TOC_SIM_REGION_H
#define TOC_SIM_REGION_H

struct toc_region {
    const char *name;
    double stress_drop_pa, stress_drop_sd; /* median, and spread in log10 */
    double q0, q_exponent;                 /* Q of S at 1 Hz, and how it grows with frequency */
    double near_km, middle_km;             /* amplitude goes as R^near to near_km, then R^middle, from middle_km R^far */
    double near, middle, far;
    double p_more;                         /* P: added to these from 20 km on */
    double kappa_s;                        /* near-site loss of S */
    double site_s;                         /* amplification of S by the ground, well above 1 Hz */
    double shallowest_km, deepest_km;      /* of crustal quakes */
    double slab_share, slab_deepest_km;    /* how many are deeper than that, and down to where */
};

#define TOC_REGIONS 4

/** @param index 0..TOC_REGIONS-1; 0 is California */
const struct toc_region *toc_region_at(int index);

/** @return the index of a name, or -1 */
int toc_region_find(const char *name);

/** Geometric spreading in 1/m, continuous, 1/R at 1 km. */
double toc_region_spreading(const struct toc_region *region, double km);

#endif
