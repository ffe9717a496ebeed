/*
 * The source: size, corner, growth, radiation and spreading. What the
 * station sees of it is made in synth.c.
 *
 * A rupture may break in several lobes from M 5 on. From M 5.5 on it is a row of
 * them along the strike, as long as Wells and Coppersmith (1994, BSSA 84, 974-1002) have it
 * below ground, all slip types: log10 L = -2.44 + 0.59 M.
 */
#include "tests/sim/quake.h"

#include <math.h>
#include <stdlib.h>

#define FINITE_MAGNITUDE 5.5
#define PIECE_KM 4.0       /* of the row: the same for all sizes, so that all begin alike */
#define P_SITE 0.65        /* the ground amplifies P by this power of what it does to S; set by simulator_check.py */
#define CRACK_KMS 2.7      /* how fast a part grows */

/* Shares from a stick broken at random, none below a small part: the first lobe may be small or nearly all of it. */
static int draw_shares(struct toc_random *random, double magnitude, double shares[TOC_QUAKE_LOBES_MAX])
{
    const double most = 1.0 + fmin(4.5, 1.5 * fmax(0.0, magnitude - 5.0));
    const int n = 1 + (int)(toc_random_uniform(random) * most);
    double sum = 0.0;
    for (int i = 0; i < n; i++)
        sum += shares[i] = 0.05 - log(1.0 - toc_random_uniform(random));
    for (int i = 0; i < n; i++)
        shares[i] /= sum;
    return n;
}

/* Slip along a row: log-normal, neighbours alike, less towards the ends. */
static void draw_slip(struct toc_random *random, int n, double shares[TOC_QUAKE_LOBES_MAX])
{
    double log_slip = toc_random_normal(random), sum = 0.0;
    for (int i = 0; i < n; i++) {
        shares[i] = exp(0.8 * log_slip) * sin(M_PI * (i + 0.7) / (n + 0.4));
        sum += shares[i];
        log_slip = 0.6 * log_slip + 0.8 * toc_random_normal(random);
    }
    for (int i = 0; i < n; i++)
        shares[i] /= sum;
}

/* Lobes of one rupture grow alike: moment rate near its start is 30 share t^2 / T^3, so T goes with share^(1/3). */
static double lobe_duration(double circular_s, double share)
{
    return circular_s * cbrt(share);
}

/* One place, parts after another: too small for the station to tell where they are. */
static void draw_point(struct toc_random *random, double circular_s, struct toc_quake *quake)
{
    double shares[TOC_QUAKE_LOBES_MAX], start_s = 0.0;
    quake->n_lobes = draw_shares(random, quake->magnitude, shares);
    for (int i = 0; i < quake->n_lobes; i++) {
        quake->lobes[i] = (struct toc_quake_lobe){
            .share = shares[i], .duration_s = lobe_duration(circular_s, shares[i]), .start_s = start_s};
        start_s += quake->lobes[i].duration_s * toc_random_range(random, 0.3, 0.9);
    }
}

/* The front leaves the hypocentre, anywhere in the row, both ways at one speed; a part starts at its nearer edge. */
static void draw_row(struct toc_random *random, double circular_s, struct toc_quake *quake)
{
    double shares[TOC_QUAKE_LOBES_MAX];
    const double stress = cbrt(5e6 / quake->stress_drop_pa);
    const double length_km =
        stress * pow(10.0, -2.44 + 0.59 * quake->magnitude + 0.12 * toc_random_normal(random));
    const double front_kms = toc_random_range(random, 2.3, 3.0);
    const int n = (int)fmin(TOC_QUAKE_LOBES_MAX, fmax(2.0, round(length_km / PIECE_KM)));
    const double piece_km = length_km / n;
    const int first = (int)(toc_random_uniform(random) * n);

    draw_slip(random, n, shares);
    quake->n_lobes = n;
    for (int i = 0; i < n; i++) {
        const double away_km = i == first ? 0.0 : (abs(i - first) - 0.5) * piece_km;
        quake->lobes[i] = (struct toc_quake_lobe){
            .share = shares[i],
            .duration_s = lobe_duration(circular_s, shares[i]),
            .along_km = i < first ? -away_km : away_km,
            .start_s = away_km / front_kms * toc_random_range(random, 1.0, 1.1),
        };
    }
}

/* Catalogues have small quakes by local magnitude, whose amplitudes go with the moment itself: Mw = 2/3 M + 1.14 below
 * M 3.4, where both meet (Munafo, Malagnini and Chiaraluce 2016, BSSA 106, 2402-2408). Networks differ and some correct
 * for it: half of that fits the records simulator_check.py has. */
static double moment_of(double magnitude)
{
    const double more = fmax(0.0, magnitude / 1.5 + 1.14 - magnitude);
    return pow(10.0, 1.5 * (magnitude + 0.5 * more) + 9.1);
}

static const struct toc_region *or_california(const struct toc_region *region)
{
    return region ? region : toc_region_at(0);
}

void toc_quake_draw(struct toc_random *random, const struct toc_region *region, double magnitude,
                    struct toc_quake *ret_quake)
{
    struct toc_quake *quake = ret_quake;
    region = or_california(region);
    *quake = (struct toc_quake){.magnitude = magnitude};
    quake->moment_nm = moment_of(magnitude);
    quake->stress_drop_pa =
        region->stress_drop_pa * pow(10.0, region->stress_drop_sd * toc_random_normal(random));
    quake->corner_hz = 0.4906 * TOC_QUAKE_BETA_MS * cbrt(quake->stress_drop_pa / quake->moment_nm);
    quake->strike_rad = toc_random_range(random, 0.0, 2.0 * M_PI);
    quake->dip_rad = toc_random_range(random, M_PI / 6.0, M_PI / 2.0);
    quake->rake_rad = toc_random_range(random, -M_PI, M_PI);
    const double circular_s = toc_random_range(random, 0.8, 1.2) / quake->corner_hz;
    if (magnitude >= FINITE_MAGNITUDE)
        draw_row(random, circular_s, quake);
    else
        draw_point(random, circular_s, quake);
    quake->duration_s = 0.0;
    for (int i = 0; i < quake->n_lobes; i++)
        quake->duration_s = fmax(quake->duration_s, quake->lobes[i].start_s + quake->lobes[i].duration_s);
}

void toc_quake_path_draw(struct toc_random *random, const struct toc_region *region, struct toc_quake_path *ret_path)
{
    region = or_california(region);
    ret_path->region = region;
    ret_path->q0 = region->q0 * pow(10.0, 0.15 * toc_random_normal(random));
    ret_path->q_exponent = region->q_exponent;
    ret_path->kappa_s = region->kappa_s * pow(10.0, 0.15 * toc_random_normal(random));
    const double soft = 0.12 * toc_random_normal(random);
    ret_path->site_p = pow(region->site_s, P_SITE) * pow(10.0, soft + 0.10 * toc_random_normal(random));
    ret_path->site_s = region->site_s * pow(10.0, soft + 0.12 * toc_random_normal(random));
    const double focus = 0.15 * toc_random_normal(random);
    ret_path->focus_p = pow(10.0, focus + 0.12 * toc_random_normal(random));
    ret_path->focus_s = pow(10.0, focus + 0.12 * toc_random_normal(random));
    /* Coda Q is that of S (Aki 1980, JGR 85, 6496-6504), taken at 3 Hz. */
    ret_path->coda_s = fmin(40.0, fmax(8.0, region->q0 * pow(3.0, region->q_exponent) / (2.0 * M_PI * 3.0)));
    ret_path->scattering = pow(10.0, 0.2 * toc_random_normal(random));
    ret_path->incidence_rad = toc_random_range(random, 10.0, 35.0) * M_PI / 180.0;
    /* Basements at 0.2 to 3 km, contrasts as receiver functions show them. */
    ret_path->convert = 0.2 * pow(10.0, 0.2 * toc_random_normal(random));
    ret_path->convert_s = toc_random_log_range(random, 0.1, 1.2);
}

void toc_quake_far_draw(struct toc_random *random, struct toc_quake_far *ret_far)
{
    const bool deep = toc_random_uniform(random) < 0.25;
    *ret_far = (struct toc_quake_far){
        .degrees = toc_random_range(random, 30.0, 95.0),
        .depth_km = deep ? toc_random_range(random, 70.0, 600.0) : toc_random_range(random, 8.0, 70.0),
        .azimuth_rad = toc_random_range(random, 0.0, 2.0 * M_PI),
        .t_star_s = toc_random_range(random, 0.6, 1.4),
        .site_p = 1.5 * pow(10.0, 0.15 * toc_random_normal(random)),
        .seed = toc_random_next(random),
    };
    /* Slowness from 8.8 s per degree at 30 to 4.6 at 95 (Kennett and Engdahl 1991), under 5.8 km/s. */
    const double slowness_s_km = (8.8 - 4.2 * (ret_far->degrees - 30.0) / 65.0) / 111.2;
    ret_far->incidence_rad = asin(5.8 * slowness_s_km);
}

void toc_quake_radiation(const struct toc_quake *quake, double azimuth_rad, double takeoff_rad,
                         struct toc_quake_radiation *ret_radiation)
{
    if (quake->explosion) {
        *ret_radiation = (struct toc_quake_radiation){.p = 1.0};
        return;
    }
    const double a = azimuth_rad - quake->strike_rad, i = takeoff_rad;
    const double sl = sin(quake->rake_rad), cl = cos(quake->rake_rad);
    const double sd = sin(quake->dip_rad), cd = cos(quake->dip_rad);
    const double s2d = sin(2.0 * quake->dip_rad), c2d = cos(2.0 * quake->dip_rad);
    const double sa = sin(a), ca = cos(a), s2a = sin(2.0 * a), c2a = cos(2.0 * a);
    const double si = sin(i), ci = cos(i), s2i = sin(2.0 * i), c2i = cos(2.0 * i);

    ret_radiation->p = cl * sd * si * si * s2a - cl * cd * s2i * ca + sl * s2d * (ci * ci - si * si * sa * sa) +
                       sl * c2d * s2i * sa;
    ret_radiation->sv = sl * c2d * c2i * sa - cl * cd * c2i * ca + 0.5 * cl * sd * s2i * s2a -
                        0.5 * sl * s2d * s2i * (1.0 + sa * sa);
    ret_radiation->sh = cl * cd * ci * sa + cl * sd * si * c2a + sl * c2d * ci * ca - 0.5 * sl * s2d * si * s2a;
}

double toc_quake_lobe_km(const struct toc_quake *quake, const struct toc_quake_path *path, int lobe)
{
    const double along_km = quake->lobes[lobe].along_km;
    const double north = path->epicentral_km * cos(path->azimuth_rad) - along_km * cos(quake->strike_rad);
    const double east = path->epicentral_km * sin(path->azimuth_rad) - along_km * sin(quake->strike_rad);
    return sqrt(north * north + east * east + path->depth_km * path->depth_km);
}

double toc_quake_lobe_delay_s(const struct toc_quake *quake, const struct toc_quake_path *path, int lobe,
                              double speed_ms)
{
    const double detour_km =
        toc_quake_lobe_km(quake, path, lobe) - hypot(path->epicentral_km, path->depth_km);
    return fmax(0.0, quake->lobes[lobe].start_s + 1e3 * detour_km / speed_ms);
}

double toc_quake_lobe_stretched_km(const struct toc_quake *quake, int lobe, double km, double t_s)
{
    const double magnitude = quake->magnitude + log10(quake->lobes[lobe].share) / 1.5;
    const double fault_km = pow(10.0, -0.405 + 0.235 * magnitude);
    return fmax(0.5, hypot(km, fmin(fault_km, CRACK_KMS * fmax(t_s, 0.0))));
}

double toc_quake_coda_s(const struct toc_quake_path *path)
{
    return path->coda_s > 0.0 ? path->coda_s : 22.0;
}

double toc_quake_signal_s(const struct toc_quake *quake, const struct toc_quake_path *path)
{
    /* Twenty decay times of the late coda's power (see synth.c), which starts 18 dB below S. */
    return path->s_s - path->p_s + quake->duration_s + 20.0 * toc_quake_coda_s(path);
}
