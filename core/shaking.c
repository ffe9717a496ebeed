/*
 * Intensity first, motion from intensity: the intensity relation is the one
 * measured on people and buildings, and one relation fewer is one source of
 * error fewer. Uncertainties are propagated by slopes, enough next to a
 * scatter of one intensity unit.
 */
#include "core/shaking.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/geo.h"

/* Allen, Wald and Worden (2012), hypocentral form. */
#define IPE_C0 2.085
#define IPE_C1 1.428
#define IPE_C2 (-1.402)
#define IPE_C4 0.078
#define IPE_M1 (-0.209)
#define IPE_M2 2.042
#define IPE_BEND_KM 50.0
#define IPE_S1 0.82
#define IPE_S2 0.37
#define IPE_S3_KM 22.9

#define MMI_MIN 1.0
#define MMI_MAX 10.0
#define MAGNITUDE_MIN (-2.0)
#define MAGNITUDE_MAX 10.0
#define DISTANCE_MIN_KM 1.0

/* Worden et al. (2012): MMI = offset + slope log10(y), y in cm/s^2 or cm/s; weakest, lower and upper branch. */
struct branch {
    double below_mmi, offset, slope;
};

static const struct branch pga_branches[] = {{2.0, 1.71, 2.08}, {4.22, 1.78, 1.55}, {INFINITY, -1.60, 3.70}};
static const struct branch pgv_branches[] = {{2.0, 4.62, 2.17}, {4.56, 3.78, 1.47}, {INFINITY, 2.89, 3.16}};

static double clamp(double value, double low, double high)
{
    return fmin(high, fmax(low, value));
}

static double ipe_mean(double magnitude, double r_km)
{
    double rm = IPE_M1 + IPE_M2 * exp(magnitude - 5.0);
    double mmi = IPE_C0 + IPE_C1 * magnitude + IPE_C2 * log(hypot(r_km, rm));

    return r_km > IPE_BEND_KM ? mmi + IPE_C4 * log(r_km / IPE_BEND_KM) : mmi;
}

double toc_shaking_mmi(double magnitude, double hypocentral_km, double *ret_sigma)
{
    double m = clamp(magnitude, MAGNITUDE_MIN, MAGNITUDE_MAX), r = fmax(hypocentral_km, DISTANCE_MIN_KM);
    double ratio = r / IPE_S3_KM;

    *ret_sigma = IPE_S1 + IPE_S2 / (1.0 + ratio * ratio);
    return clamp(ipe_mean(m, r), MMI_MIN, MMI_MAX);
}

static double motion_cm(const struct branch *branches, double mmi)
{
    const struct branch *b = branches;

    while (!(mmi < b->below_mmi) && isfinite(b->below_mmi))
        b++;
    return pow(10.0, (mmi - b->offset) / b->slope);
}

double toc_shaking_pga_ms2(double mmi)
{
    return 0.01 * motion_cm(pga_branches, mmi);
}

double toc_shaking_pgv_ms(double mmi)
{
    return 0.01 * motion_cm(pgv_branches, mmi);
}

/* Scatter of the relation, plus what half a sigma to either side in magnitude and distance does to the mean. */
static double total_sigma(double magnitude, double magnitude_sigma, double r_km, double r_sigma_km, double ipe_sigma)
{
    double h = 0.5 * clamp(magnitude_sigma, 0.0, 3.0), k = 0.5 * clamp(r_sigma_km, 0.0, r_km);
    double by_magnitude = ipe_mean(magnitude + h, r_km) - ipe_mean(magnitude - h, r_km);
    double by_distance = ipe_mean(magnitude, r_km - k) - ipe_mean(magnitude, r_km + k);

    return sqrt(ipe_sigma * ipe_sigma + by_magnitude * by_magnitude + by_distance * by_distance);
}

/* The distance sigma of a place: the epicentre's along the path, the depth's by its share of the slant. */
static double distance_sigma_km(const struct toc_origin *o, double epicentral_km, double r_km)
{
    return hypot(epicentral_km * o->horizontal_sigma_km, o->depth_km * o->depth_sigma_km) / r_km;
}

static void fill_intensity(const struct toc_target *target, const struct toc_event *event, double r_km,
                           struct toc_alert_target *out)
{
    double m = clamp(event->magnitude, MAGNITUDE_MIN, MAGNITUDE_MAX), sigma, mean;
    double r_sigma = distance_sigma_km(&event->origin, out->distance_km, r_km);

    if (!isfinite(event->magnitude)) {
        out->mmi = MMI_MIN;
        out->mmi_sigma = 3.0;
    } else {
        out->mmi = toc_shaking_mmi(m, r_km, &sigma);
        mean = ipe_mean(m, r_km);
        out->mmi_sigma = total_sigma(m, isfinite(event->magnitude_sigma) ? event->magnitude_sigma : 1.0, r_km,
                                     isfinite(r_sigma) ? r_sigma : 0.0, sigma);
        /* The tail is taken from the unheld mean: a held one would promise shaking no one feels. */
        out->p_exceed = 0.5 * erfc((target->mmi_limit - mean) / (out->mmi_sigma * M_SQRT2));
    }
    out->pga_ms2 = toc_shaking_pga_ms2(out->mmi);
    out->pgv_ms = toc_shaking_pgv_ms(out->mmi);
}

void toc_shaking_target(const struct toc_travel *travel, const struct toc_target *target,
                        const struct toc_event *event, toc_ns now, struct toc_alert_target *ret)
{
    const struct toc_origin *o = &event->origin;
    double depth = fmax(0.0, o->depth_km), r;

    memset(ret, 0, sizeof(*ret));
    snprintf(ret->name, sizeof(ret->name), "%s", target->name);
    ret->latitude_deg = target->latitude_deg;
    ret->longitude_deg = target->longitude_deg;
    ret->distance_km =
        toc_geo_distance_km(o->latitude_deg, o->longitude_deg, target->latitude_deg, target->longitude_deg);
    r = fmax(DISTANCE_MIN_KM, hypot(ret->distance_km, depth));
    fill_intensity(target, event, r, ret);
    ret->s_arrival = o->time + toc_ns_from_s(toc_travel_s(travel, TOC_PHASE_S, ret->distance_km, depth));
    ret->seconds_left = toc_s_from_ns(ret->s_arrival - now);
    ret->blind_zone = ret->seconds_left <= 0.0;
}
