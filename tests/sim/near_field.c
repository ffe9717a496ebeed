/* See near_field.h. With the moment rate 30 x^2 (1-x)^2 / T of a part, all integrals are polynomials. */
#include "tests/sim/near_field.h"

#include <math.h>

#define LEAST_MAGNITUDE 4.5
#define MOST_KM 200.0

/* One part of the rupture as the station sees it. */
struct part {
    double duration_s;
    double p_s, s_s;            /* when its P and S come, after the P onset of the whole */
    double p_travel_s, s_travel_s;
    double near[3], mid_p[3], mid_s[3]; /* E, N, Z: what multiplies the integral, the rate at P, the rate at S */
};

bool toc_near_field_seen(const struct toc_quake *quake, const struct toc_quake_path *path)
{
    return quake->magnitude >= LEAST_MAGNITUDE && hypot(path->epicentral_km, path->depth_km) < MOST_KM;
}

/* Moment rate, moment, and the integral of the moment, at t after the part's start, for a moment of 1. */
static double moment_rate(double t_s, double duration_s)
{
    const double x = t_s / duration_s;
    return x > 0.0 && x < 1.0 ? 30.0 * x * x * (1.0 - x) * (1.0 - x) / duration_s : 0.0;
}

static double moment(double t_s, double duration_s)
{
    const double x = fmin(fmax(t_s / duration_s, 0.0), 1.0);
    return x * x * x * (10.0 - 15.0 * x + 6.0 * x * x);
}

static double moment_integral(double t_s, double duration_s)
{
    const double x = fmin(fmax(t_s / duration_s, 0.0), 1.0);
    return duration_s * x * x * x * x * (2.5 - 3.0 * x + x * x) + fmax(0.0, t_s - duration_s);
}

/* The patterns of eq. 4.33 in terms of those of the far field, P along the ray and S across it: near 9 P - 6 S,
 * intermediate 4 P - 2 S and -3 P + 3 S. */
static void patterns(const struct toc_quake *quake, const struct toc_quake_path *path, double ret_p[3], double ret_s[3])
{
    const double theta = atan2(path->epicentral_km, fmax(path->depth_km, 0.1)); /* of the ray, from straight up */
    const double sin_t = sin(theta), cos_t = cos(theta), sin_a = sin(path->azimuth_rad), cos_a = cos(path->azimuth_rad);
    struct toc_quake_radiation radiation;

    toc_quake_radiation(quake, path->azimuth_rad, M_PI - theta, &radiation);
    const double ray[3] = {sin_t * sin_a, sin_t * cos_a, cos_t};
    const double sv[3] = {-cos_t * sin_a, -cos_t * cos_a, sin_t}, sh[3] = {cos_a, -sin_a, 0.0};
    for (int c = 0; c < 3; c++) {
        ret_p[c] = radiation.p * ray[c];
        ret_s[c] = radiation.sv * sv[c] + radiation.sh * sh[c];
    }
}

static void make_part(const struct toc_quake *quake, const struct toc_quake_path *path, int lobe, const double p[3],
                      const double s[3], struct part *ret_part)
{
    const double km = toc_quake_lobe_km(quake, path, lobe);
    const double r = 1e3 * toc_quake_lobe_stretched_km(quake, lobe, km, INFINITY);
    const double level = TOC_QUAKE_FREE_SURFACE * quake->moment_nm * quake->lobes[lobe].share /
                         (4.0 * M_PI * TOC_QUAKE_DENSITY);
    ret_part->duration_s = quake->lobes[lobe].duration_s;
    ret_part->p_s = toc_quake_lobe_delay_s(quake, path, lobe, TOC_QUAKE_ALPHA_MS);
    ret_part->s_s = path->s_s - path->p_s + toc_quake_lobe_delay_s(quake, path, lobe, TOC_QUAKE_BETA_MS);
    ret_part->p_travel_s = 1e3 * km / TOC_QUAKE_ALPHA_MS;
    ret_part->s_travel_s = ret_part->p_travel_s + ret_part->s_s - ret_part->p_s;
    for (int c = 0; c < 3; c++) {
        ret_part->near[c] = level / pow(r, 4.0) * (9.0 * p[c] - 6.0 * s[c]);
        ret_part->mid_p[c] = level / pow(TOC_QUAKE_ALPHA_MS * r, 2.0) * (4.0 * p[c] - 2.0 * s[c]);
        ret_part->mid_s[c] = level / pow(TOC_QUAKE_BETA_MS * r, 2.0) * (-3.0 * p[c] + 3.0 * s[c]);
    }
}

static void add_part(const struct part *part, double rate_hz, double first_s, double *const enz[3], size_t n)
{
    const double end_s = fmax(part->p_s, part->s_s) + part->duration_s;
    for (size_t k = 0; k < n; k++) {
        const double t = first_s + (double)k / rate_hz, p = t - part->p_s, s = t - part->s_s, d = part->duration_s;
        if (p <= 0.0)
            continue;
        if (t > end_s)
            break;
        /* The integral of tau times the rate at t - tau, from P's travel time to S's, by parts. */
        const double near = part->p_travel_s * moment(p, d) - part->s_travel_s * moment(s, d) +
                            moment_integral(p, d) - moment_integral(s, d);
        for (int c = 0; c < 3; c++)
            enz[c][k] += part->near[c] * near + part->mid_p[c] * moment_rate(p, d) + part->mid_s[c] * moment_rate(s, d);
    }
}

void toc_near_field_add(const struct toc_quake *quake, const struct toc_quake_path *path, double rate_hz,
                        double first_s, double *const enz[3], size_t n)
{
    double p[3], s[3];
    patterns(quake, path, p, s);
    for (int i = 0; i < quake->n_lobes; i++) {
        struct part part;
        make_part(quake, path, i, p, s, &part);
        add_part(&part, rate_hz, first_s, enz, n);
    }
}
