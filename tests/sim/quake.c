/*
 * The source: size, corner, growth, radiation and spreading. What the
 * station sees of it is made in synth.c.
 *
 * A rupture may break in several lobes from M 5 on, and always does from M 6.5
 * on, along its length (Wells and Coppersmith 1994, surface rupture, all slip
 * types: log10 L = -3.22 + 0.69 M) at 2.7 km/s.
 */
#include "tests/sim/quake.h"

#include <math.h>

#define BETA_MS 3500.0
#define RUPTURE_KMS 2.7
#define COMPLEX_MAGNITUDE 6.5

/* Shares from a stick broken at random, none below a small part: the first lobe may be small or nearly all of it. */
static int draw_shares(struct toc_random *random, double magnitude, double shares[TOC_QUAKE_LOBES_MAX])
{
    const double most = 1.0 + fmin(4.5, 1.5 * fmax(0.0, magnitude - 5.0));
    int n = 1 + (int)(toc_random_uniform(random) * most);
    if (magnitude >= COMPLEX_MAGNITUDE && n < 2)
        n = 2;
    double sum = 0.0;
    for (int i = 0; i < n; i++)
        sum += shares[i] = 0.05 - log(1.0 - toc_random_uniform(random));
    for (int i = 0; i < n; i++)
        shares[i] /= sum;
    return n;
}

/* Lobes of one rupture grow alike: moment rate near its start is 30 share t^2 / T^3, so T goes with share^(1/3). They
 * start spread over the time that the front needs along the fault. */
static void draw_lobes(struct toc_random *random, struct toc_quake *quake)
{
    double shares[TOC_QUAKE_LOBES_MAX];
    const double circular_s = toc_random_range(random, 0.8, 1.2) / quake->corner_hz;
    const double length_km = pow(10.0, -3.22 + 0.69 * quake->magnitude);
    const double front_s = toc_random_range(random, 0.4, 0.9) * length_km / RUPTURE_KMS;

    quake->n_lobes = draw_shares(random, quake->magnitude, shares);
    quake->duration_s = 0.0;
    double start_s = 0.0;
    for (int i = 0; i < quake->n_lobes; i++) {
        struct toc_quake_lobe *lobe = &quake->lobes[i];
        lobe->share = shares[i];
        lobe->duration_s = circular_s * cbrt(shares[i]);
        lobe->start_s = start_s;
        start_s += fmin(lobe->duration_s, front_s / quake->n_lobes) * toc_random_range(random, 0.7, 1.1);
        quake->duration_s = fmax(quake->duration_s, lobe->start_s + lobe->duration_s);
    }
}

void toc_quake_draw(struct toc_random *random, double magnitude, struct toc_quake *ret_quake)
{
    struct toc_quake *quake = ret_quake;
    quake->magnitude = magnitude;
    quake->moment_nm = pow(10.0, 1.5 * magnitude + 9.1);
    quake->stress_drop_pa = 5e6 * pow(10.0, 0.3 * toc_random_normal(random));
    quake->corner_hz = 0.4906 * BETA_MS * cbrt(quake->stress_drop_pa / quake->moment_nm);
    quake->strike_rad = toc_random_range(random, 0.0, 2.0 * M_PI);
    quake->dip_rad = toc_random_range(random, M_PI / 6.0, M_PI / 2.0);
    quake->rake_rad = toc_random_range(random, -M_PI, M_PI);
    draw_lobes(random, quake);
}

void toc_quake_path_draw(struct toc_random *random, struct toc_quake_path *ret_path)
{
    /* Southern California: 180 f^0.45 (Raoof et al. 1999). */
    ret_path->q0 = 180.0 * pow(10.0, 0.15 * toc_random_normal(random));
    ret_path->q_exponent = 0.45;
    ret_path->kappa_s = 0.03 * pow(10.0, 0.15 * toc_random_normal(random));
    /* Soft rock of California amplifies S about twice above 1 Hz (Boore and Joyner 1997); P half of that in log. */
    const double soft = 0.12 * toc_random_normal(random);
    ret_path->site_p = 1.4 * pow(10.0, soft + 0.06 * toc_random_normal(random));
    ret_path->site_s = 2.2 * pow(10.0, soft + 0.12 * toc_random_normal(random));
    ret_path->scattering = pow(10.0, 0.2 * toc_random_normal(random));
    ret_path->incidence_rad = toc_random_range(random, 10.0, 35.0) * M_PI / 180.0;
}

void toc_quake_radiation(const struct toc_quake *quake, double azimuth_rad, double takeoff_rad,
                         struct toc_quake_radiation *ret_radiation)
{
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

double toc_quake_spreading(const struct toc_quake *quake, double hypocentral_km, double t_s)
{
    const double fault_km = pow(10.0, -0.405 + 0.235 * quake->magnitude);
    const double broken_km = fmin(fault_km, RUPTURE_KMS * fmax(t_s, 0.0));
    const double km = fmax(0.5, hypot(hypocentral_km, broken_km));
    return 1e-3 / (km <= 70.0 ? km : sqrt(70.0 * km));
}

double toc_quake_signal_s(const struct toc_quake *quake, const struct toc_quake_path *path)
{
    /* 440 s are twenty decay times of the late coda's power (see synth.c), which starts 18 dB below S. */
    return path->s_s - path->p_s + quake->duration_s + 440.0;
}
