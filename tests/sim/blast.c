/*
 * See blast.h. Holes are alike, so the sum of their waves is one hole's waves repeated: spectral lines at 1 / delay and
 * its multiples, as Baumgardt and Ziegler (1988, BSSA 78, 1773-1795) see them. Rg to some 100 km, 0.4 to 2.5 Hz:
 * Kafka (1990, BSSA 80, 373-394).
 */
#include "tests/sim/blast.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RG_LOW_HZ 0.4
#define RG_HIGH_HZ 2.5
#define RG_LINES 160
#define RG_Q 60.0 /* of the sediments it runs in */

void toc_blast_draw(struct toc_random *random, double magnitude, struct toc_blast *ret_blast)
{
    toc_quake_draw(random, NULL, magnitude, &ret_blast->quake);
    ret_blast->quake.explosion = true;
    ret_blast->quake.n_lobes = 1;
    ret_blast->quake.lobes[0] = (struct toc_quake_lobe){.share = 1.0, .duration_s = 0.5 / ret_blast->quake.corner_hz};
    ret_blast->quake.duration_s = ret_blast->quake.lobes[0].duration_s;
    ret_blast->holes = toc_random_uniform(random) < 0.2 ? 1 : 4 + (int)(36.0 * toc_random_uniform(random));
    ret_blast->delay_s = toc_random_range(random, 0.017, 0.065);
    ret_blast->rg = toc_random_log_range(random, 0.3, 4.0);
}

/* Group delay 1 / U(f), U from 3.0 km/s at long to 1.6 km/s at short periods; its integral over frequency is the phase.
 */
static double rg_slowness(double f)
{
    const double x = log(f / RG_LOW_HZ) / log(RG_HIGH_HZ / RG_LOW_HZ);
    return 1.0 / (3.0 - 1.4 * x);
}

/* One line of the surface wave's spectrum: vertical, and a quarter period away along the path, backwards rolling. The
 * arrival of the line's group bounds it in time, which keeps a sum of lines from repeating itself. */
static void add_rg_line(double f, double phase, double size, double arrival_s, double width_s, double rate_hz,
                        double origin_s, const double along[2], float *const enz[3], size_t n)
{
    const double from_s = origin_s + arrival_s - 3.0 * width_s, to_s = origin_s + arrival_s + 3.0 * width_s;
    size_t k = from_s > 0.0 ? (size_t)ceil(from_s * rate_hz) : 0;
    for (; k < n && (double)k < to_s * rate_hz; k++) {
        const double t = (double)k / rate_hz - origin_s, away = (t - arrival_s) / width_s;
        const double bell = size * exp(-0.5 * away * away);
        const double angle = 2.0 * M_PI * f * t - phase, flat = 0.7 * bell * sin(angle);
        enz[0][k] += (float)(along[0] * flat);
        enz[1][k] += (float)(along[1] * flat);
        enz[2][k] += (float)(bell * cos(angle));
    }
}

static void add_rg(double size, const struct toc_quake_path *path, double rate_hz, double origin_s, float *const enz[3],
                   size_t n)
{
    const double along[2] = {sin(path->azimuth_rad), cos(path->azimuth_rad)};
    const double step_hz = (RG_HIGH_HZ - RG_LOW_HZ) / RG_LINES;
    double phase = 0.0;
    for (int i = 0; i < RG_LINES; i++) {
        const double f = RG_LOW_HZ + (i + 0.5) * step_hz;
        const double arrival_s = path->epicentral_km * rg_slowness(f);
        const double loss = exp(-M_PI * f * arrival_s / RG_Q) * sin(M_PI * (i + 0.5) / RG_LINES);
        phase += 2.0 * M_PI * arrival_s * step_hz;
        add_rg_line(f, phase, size * loss, arrival_s, 1.0 / f + 0.03 * arrival_s, rate_hz, origin_s, along, enz, n);
    }
}

static double peak_of(const float *wave, size_t n)
{
    double peak = 0.0;
    for (size_t k = 0; k < n; k++)
        peak = fmax(peak, fabs(wave[k]));
    return peak;
}

/* Nothing runs faster than its fastest group: the bells' beginnings are cut, softly. */
static void hold_back(double first_s, double rate_hz, float *const rg[3], size_t n)
{
    for (size_t k = 0; k < n; k++) {
        const double t = (double)k / rate_hz - first_s, gate = t <= 0.0 ? 0.0 : 1.0 - exp(-2.0 * t * t);
        for (int c = 0; c < 3; c++)
            rg[c][k] = (float)(gate * rg[c][k]);
    }
}

/* Scale the surface wave to what it should be beside P, then let both run together. */
static void join_rg(const struct toc_blast *blast, const struct toc_quake_path *path, double p_peak, float *const rg[3],
                    float *const one[3], size_t n)
{
    const double km = fmax(path->epicentral_km, 1.0), rg_peak = peak_of(rg[2], n);
    /* P falls with R^-1.6, Rg with R^-1/2 and its loss. */
    const double wanted = p_peak * blast->rg * pow(km / 20.0, 1.1) * exp(-fmax(0.0, km - 20.0) / 25.0);
    for (int c = 0; rg_peak > 0.0 && c < 3; c++)
        for (size_t k = 0; k < n; k++)
            one[c][k] += (float)(wanted / rg_peak * rg[c][k]);
}

static void fire(const struct toc_blast *blast, double rate_hz, float *const one[3], float *const enz[3], size_t n)
{
    for (int hole = 0; hole < blast->holes; hole++) {
        /* Between samples by interpolation: delays are no multiples of them. */
        const double shift = hole * blast->delay_s * rate_hz, part = shift - floor(shift);
        const size_t whole = (size_t)shift;
        for (int c = 0; c < 3; c++)
            for (size_t k = whole + 1; k < n; k++)
                enz[c][k] += (float)(((1.0 - part) * one[c][k - whole] + part * one[c][k - whole - 1]) / blast->holes);
    }
}

int toc_blast_add(struct toc_synth *synth, const struct toc_blast *blast, const struct toc_quake_path *path,
                  double rate_hz, double p_onset_s, float *const enz[3], size_t n)
{
    float *all = calloc(6 * n + 1, sizeof *all);
    if (!all)
        return -ENOMEM;
    float *const one[3] = {all, all + n, all + 2 * n}, *const rg[3] = {all + 3 * n, all + 4 * n, all + 5 * n};
    const double s_s = p_onset_s + path->s_s - path->p_s;
    toc_synth_add(synth, &blast->quake, path, p_onset_s, one, n);
    const size_t p_end = (size_t)fmin((double)n, fmax(0.0, s_s * rate_hz));
    add_rg(1.0, path, rate_hz, p_onset_s - path->p_s, rg, n);
    hold_back(fmax(p_onset_s, p_onset_s - path->p_s + path->epicentral_km / 3.2), rate_hz, rg, n);
    join_rg(blast, path, peak_of(one[2], p_end), rg, one, n);
    fire(blast, rate_hz, one, enz, n);
    free(all);
    return 0;
}
