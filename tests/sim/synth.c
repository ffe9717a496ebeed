/*
 * Waves of one quake at one station; quake.h says how a phase is made.
 *
 * Duration along the path: part of the energy goes straight, the rest is
 * spread by an exponential so that 95 % of it lies within 0.05 R/km seconds (S: by two
 * of them, it comes out of the P coda and has no edge). Coda comes on top, with a longer
 * exponential and no direction: the crust turns some of the much stronger S into it.
 * Its shares, and those of the scattered components, were set by comparing 2-20 Hz
 * amplitudes of 37 recorded quakes (STEAD and PhaseNet samples, S-P 2 to 25 s) with these.
 */
#include "tests/sim/quake.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/fft.h"
#include "tests/sim/near_field.h"

#define P_NEAR_KM 20.0
/* S of an explosion, against that of a quake of its moment: P over S of 6 to 8 Hz lies some three times higher (Walter,
 * Mayeda and Patton 1995, BSSA 85, 1050-1067), and most of what is seen there is the coda of P. */
#define EXPLOSION_S 0.25
#define HEAD_WAVE 0.35 /* the strength of P that runs below the Moho; set by the few records there are beyond 130 km */
#define P_CODA_HZ 1.5
#define S_CODA_HZ 0.5
#define S_CODA_SPREAD 2.5 /* sites differ more in it than in the coda of P: basins */
#define FILTER_PAD_S 4.0 /* room for the tail of the path filter */

struct toc_synth {
    double rate_hz;
    size_t max_samples, n_fft;
    struct toc_fft *fft;
    double *smooth, *power;    /* excitation: moment rate and noise power per second, each over distance */
    double *near[3];           /* near field, E, N, Z, before the corner */
    double *late;              /* power of the coda, which has no direction */
    double *wave[4];           /* E, N, Z, and zeros for the transform's fourth array */
    double *filter_re, *filter_im;
};

/* One phase, ready to be computed. */
struct phase {
    double onset_s;            /* after sample 0 of the arrays */
    double speed_ms;
    double more_spreading;     /* P: exponent beyond the region's, from P_NEAR_KM on */
    double far_spreading;      /* 1/m, for all parts alike instead of that; 0: not far */
    double level_m2s;          /* displacement spectrum at low frequency times distance: m * s * m */
    double corner_hz;
    double direct;             /* share of energy that goes straight; the rest is spread over the path */
    double path_s;             /* decay time of its power */
    double gradual;            /* share of what is spread that is spread twice: no sharp start */
    bool with_near_field;
    double coda_corner_hz;     /* longer waves are not scattered into the coda */
    double coda_per_s, coda_s; /* power of the coda at its start, relative to the energy above, and its decay time */
    double tail_per_s, tail_s; /* the same for the late coda */
    double travel_s, q0, q_exponent, kappa_s, site;
    int n_polarisations;
    double vector[2][3];       /* E, N, Z */
    double coherent[2];        /* signed radiation: what the long waves see */
    double incoherent[2];      /* what the short waves see: scattering fills the nodes */
    double scatter[3];         /* noise of each component's own, with the wave */
    double isotropic[3];       /* and in the coda */
    double from[3], to[3];     /* what is converted below the station: motion along one, found again along the other */
    double convert_s;          /* so much later (P to S) or earlier (S to P) */
};

static bool synth_allocate(struct toc_synth *synth)
{
    double **arrays[] = {&synth->smooth,  &synth->power,     &synth->late,     &synth->near[0],
                         &synth->near[1], &synth->near[2],   &synth->wave[0],  &synth->wave[1],
                         &synth->wave[2], &synth->wave[3],   &synth->filter_re, &synth->filter_im};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        *arrays[i] = calloc(synth->n_fft, sizeof(double));
        if (!*arrays[i])
            return false;
    }
    return true;
}

int toc_synth_create(double rate_hz, size_t max_samples, struct toc_synth **ret_synth)
{
    if (!(rate_hz >= 1.0 && rate_hz <= 1000.0) || max_samples == 0 || max_samples > ((size_t)1 << 22))
        return -EINVAL;
    struct toc_synth *synth = calloc(1, sizeof *synth);
    if (!synth)
        return -ENOMEM;
    synth->rate_hz = rate_hz;
    synth->max_samples = max_samples;
    synth->n_fft = 256;
    while (synth->n_fft < max_samples + (size_t)(FILTER_PAD_S * rate_hz))
        synth->n_fft *= 2;
    int result = toc_fft_create(synth->n_fft, &synth->fft);
    if (result == 0 && !synth_allocate(synth))
        result = -ENOMEM;
    if (result < 0) {
        toc_synth_destroy(synth);
        return result;
    }
    *ret_synth = synth;
    return 0;
}

void toc_synth_destroy(struct toc_synth *synth)
{
    if (!synth)
        return;
    toc_fft_destroy(synth->fft);
    free(synth->smooth);
    free(synth->power);
    free(synth->late);
    for (int i = 0; i < 3; i++)
        free(synth->near[i]);
    for (int i = 0; i < 4; i++)
        free(synth->wave[i]);
    free(synth->filter_re);
    free(synth->filter_im);
    free(synth);
}

/* Moment rate and high-frequency power of one part of the rupture, weakened by its distance: 30 x^2 (1-x)^2 / T and
 * 6 x (1-x) / T of what it has of them. */
static void rupture_part(const struct toc_synth *synth, const struct phase *phase, const struct toc_quake *quake,
                         const struct toc_quake_path *path, int lobe, double power, double first_s, size_t n)
{
    const struct toc_region *region = path->region ? path->region : toc_region_at(0);
    /* Shorter than three samples it could fall between them, and its area with it. */
    const double duration_s = fmax(quake->lobes[lobe].duration_s, 3.0 / synth->rate_hz);
    const double km = toc_quake_lobe_km(quake, path, lobe), share = quake->lobes[lobe].share;
    const double start_s = toc_quake_lobe_delay_s(quake, path, lobe, phase->speed_ms);
    size_t k = start_s > first_s ? (size_t)((start_s - first_s) * synth->rate_hz) : 0;

    for (; k < n; k++) {
        const double t = first_s + (double)k / synth->rate_hz - start_s, x = t / duration_s;
        if (x >= 1.0)
            break;
        if (x <= 0.0)
            continue;
        const double stretched_km = toc_quake_lobe_stretched_km(quake, lobe, km, t);
        const double g = phase->far_spreading > 0.0 ? phase->far_spreading
                                                    : toc_region_spreading(region, stretched_km) *
                                                          pow(fmax(1.0, stretched_km / P_NEAR_KM),
                                                              phase->more_spreading);
        synth->smooth[k] += g * share * 30.0 * x * x * (1.0 - x) * (1.0 - x) / duration_s;
        synth->power[k] += g * g * power * 6.0 * x * (1.0 - x) / duration_s;
    }
}

/* Power goes with the area that breaks, share^(2/3); over all time and parts moment and power are 1, but for distance. */
static void rupture(const struct toc_synth *synth, const struct phase *phase, const struct toc_quake *quake,
                    const struct toc_quake_path *path, double first_s, size_t n)
{
    double power_sum = 0.0;
    for (int i = 0; i < quake->n_lobes; i++)
        power_sum += pow(quake->lobes[i].share, 2.0 / 3.0);
    for (int i = 0; i < quake->n_lobes; i++)
        rupture_part(synth, phase, quake, path, i, pow(quake->lobes[i].share, 2.0 / 3.0) / power_sum, first_s, n);
}

/* Spread over the path. */
static void spread(const struct toc_synth *synth, const struct phase *phase, size_t n)
{
    const double path_a = 1.0 - exp(-1.0 / (phase->path_s * synth->rate_hz));
    const double coda_a = 1.0 - exp(-1.0 / (phase->coda_s * synth->rate_hz));
    const double tail_a = 1.0 - exp(-1.0 / (phase->tail_s * synth->rate_hz));
    const double coda_share = phase->coda_per_s * phase->coda_s, tail_share = phase->tail_per_s * phase->tail_s;
    const double straight = phase->direct, along = 1.0 - phase->direct;
    double smooth = 0.0, first = 0.0, second = 0.0, coda = 0.0, tail = 0.0;

    for (size_t k = 0; k < n; k++) {
        smooth += path_a * (synth->smooth[k] - smooth);
        first += path_a * (synth->power[k] - first);
        second += path_a * (first - second);
        coda += coda_a * (synth->power[k] - coda);
        tail += tail_a * (synth->power[k] - tail);
        synth->smooth[k] = straight * synth->smooth[k] + along * smooth;
        synth->power[k] = straight * synth->power[k] + along * (first + phase->gradual * (second - first));
        synth->late[k] = coda_share * coda + tail_share * tail;
    }
}

/* y = x less its first-order low-pass. */
static double highpass(double *low, double a, double x)
{
    *low += a * (x - *low);
    return x - *low;
}

/* The excitation of each component: the smooth part; noise, high-passed where the smooth part takes over; and the
 * coda, high-passed too, for long waves are hardly scattered. */
static void excite(const struct toc_synth *synth, const struct phase *phase, double crossover_hz,
                   struct toc_random *random, size_t n)
{
    const double a = 1.0 - exp(-2.0 * M_PI * crossover_hz / synth->rate_hz);
    const double late_a = 1.0 - exp(-2.0 * M_PI * fmax(crossover_hz, phase->coda_corner_hz) / synth->rate_hz);
    double low[3] = {0.0, 0.0, 0.0}, late_low[3] = {0.0, 0.0, 0.0}, constant[3] = {0.0, 0.0, 0.0};

    for (int j = 0; j < phase->n_polarisations; j++)
        for (int c = 0; c < 3; c++)
            constant[c] += phase->coherent[j] * phase->vector[j][c];
    for (size_t k = 0; k < n; k++) {
        const double sigma = sqrt(synth->power[k] * synth->rate_hz), late = sqrt(synth->late[k] * synth->rate_hz);
        double stream[2] = {0.0, 0.0};
        for (int j = 0; j < phase->n_polarisations; j++)
            stream[j] = phase->incoherent[j] * toc_random_normal(random);
        for (int c = 0; c < 3; c++) {
            double e = phase->scatter[c] * toc_random_normal(random);
            for (int j = 0; j < phase->n_polarisations; j++)
                e += stream[j] * phase->vector[j][c];
            synth->wave[c][k] = constant[c] * synth->smooth[k] + highpass(&low[c], a, sigma * e) +
                                highpass(&late_low[c], late_a, late * phase->isotropic[c] * toc_random_normal(random));
        }
    }
}

/* Velocity of the omega-square source: s / (1 + s/w)^2 = w (1/(1 + s/w) - 1/(1 + s/w)^2), two equal poles. */
static void source_filter(const struct toc_synth *synth, const struct phase *phase, double *wave, size_t n)
{
    const double omega = 2.0 * M_PI * phase->corner_hz;
    const double a = 1.0 - exp(-omega / synth->rate_hz);
    double once = 0.0, twice = 0.0;

    for (size_t k = 0; k < n; k++) {
        once += a * (wave[k] - once);
        twice += a * (once - twice);
        wave[k] = phase->level_m2s * omega * (once - twice);
    }
}

/* The near field knows the same corner, and comes as it is: the formula has velocity already. */
static void add_near(const struct toc_synth *synth, const struct phase *phase, const struct toc_quake *quake,
                     const struct toc_quake_path *path, double first_s, size_t n)
{
    const double a = 1.0 - exp(-2.0 * M_PI * phase->corner_hz / synth->rate_hz);
    if (!phase->with_near_field || !toc_near_field_seen(quake, path))
        return;
    for (int c = 0; c < 3; c++)
        memset(synth->near[c], 0, n * sizeof *synth->near[c]);
    toc_near_field_add(quake, path, synth->rate_hz, first_s, synth->near, n);
    for (int c = 0; c < 3; c++) {
        double once = 0.0, twice = 0.0;
        for (size_t k = 0; k < n; k++) {
            once += a * (synth->near[c][k] - once);
            twice += a * (once - twice);
            synth->wave[c][k] += twice;
        }
    }
}

/* exp(-pi f^(1-n) t / Q0 - pi f kappa), times the amplification of the ground, which comes in around 1 Hz; with the
 * phase that makes it causal: the cepstrum folded onto positive times. */
static void path_filter(struct toc_synth *synth, const struct phase *phase)
{
    double *re = synth->filter_re, *im = synth->filter_im;
    const size_t n = synth->n_fft;

    for (size_t k = 0; k <= n / 2; k++) {
        const double f = (double)k * synth->rate_hz / (double)n;
        const double q = phase->travel_s / phase->q0 * pow(f, 1.0 - phase->q_exponent);
        re[k] = log(phase->site) * f * f / (f * f + 1.0) - M_PI * (q + f * phase->kappa_s);
        re[(n - k) % n] = re[k];
    }
    memset(im, 0, n * sizeof *im);
    toc_fft_run(synth->fft, true, re, im);
    for (size_t k = 1; k < n / 2; k++) {
        re[k] *= 2.0;
        re[n - k] = 0.0;
    }
    memset(im, 0, n * sizeof *im);
    toc_fft_run(synth->fft, false, re, im);
    for (size_t k = 0; k < n; k++) {
        const double size = exp(re[k]), angle = im[k];
        re[k] = size * cos(angle);
        im[k] = size * sin(angle);
    }
}

/* Filter two components at once as one complex signal: the filter is real in time, so they do not mix. */
static void filter_pair(struct toc_synth *synth, double *first, double *second, size_t n)
{
    memset(first + n, 0, (synth->n_fft - n) * sizeof *first);
    memset(second + n, 0, (synth->n_fft - n) * sizeof *second);
    toc_fft_run(synth->fft, false, first, second);
    for (size_t k = 0; k < synth->n_fft; k++) {
        const double re = first[k] * synth->filter_re[k] - second[k] * synth->filter_im[k];
        second[k] = first[k] * synth->filter_im[k] + second[k] * synth->filter_re[k];
        first[k] = re;
    }
    toc_fft_run(synth->fft, true, first, second);
}

/* Where smooth and noise spectra are equally strong: about half the inverse of the time the moment takes to come in. */
static double crossover(const struct phase *phase, const struct toc_quake *quake)
{
    return 0.45 / (quake->duration_s + 2.0 * (1.0 - phase->direct) * phase->path_s);
}

/* 1, and down to 0 over the last third: what is left of the coda must not end in a step. */
static double end_taper(double x)
{
    return x < 0.67 ? 1.0 : x < 1.0 ? 0.5 + 0.5 * cos(M_PI * (x - 0.67) / 0.33) : 0.0;
}

/* A copy, weaker, turned and moved in time: what an interface below the station makes of the wave. */
static void add_converted(const struct toc_synth *synth, const struct phase *phase, size_t begin, size_t skip, size_t n,
                          float *const enz[3], size_t n_all)
{
    const double lag = round(phase->convert_s * synth->rate_hz);
    if (lag == 0.0)
        return;
    for (size_t k = skip; k < n; k++) {
        const double at = (double)(begin + k - skip) + lag;
        if (at < 0.0 || at >= (double)n_all)
            continue;
        double along = 0.0;
        for (int c = 0; c < 3; c++)
            along += phase->from[c] * synth->wave[c][k];
        for (int c = 0; c < 3; c++)
            enz[c][(size_t)at] += (float)(phase->to[c] * along);
    }
}

static void add_phase(struct toc_synth *synth, const struct phase *phase, const struct toc_quake *quake,
                      const struct toc_quake_path *path, uint64_t stream, float *const enz[3], size_t n_all)
{
    const double end_s = (double)n_all / synth->rate_hz;
    if (phase->onset_s >= end_s || phase->onset_s + toc_quake_signal_s(quake, path) <= 0.0)
        return;
    /* An onset before sample 0 is computed from its start and its first part dropped, as far as there is room. */
    const double first = ceil(phase->onset_s * synth->rate_hz);
    const size_t skip = first < 0.0 ? (size_t)-first : 0, begin = first > 0.0 ? (size_t)first : 0;
    const size_t wanted = (size_t)(toc_quake_signal_s(quake, path) * synth->rate_hz) + 1;
    size_t n = n_all - begin + skip;
    n = n > wanted ? wanted : n;
    n = n > synth->max_samples ? synth->max_samples : n;
    if (n <= skip)
        return;

    struct toc_random random;
    toc_random_seed(&random, path->seed, stream);
    memset(synth->smooth, 0, n * sizeof *synth->smooth);
    memset(synth->power, 0, n * sizeof *synth->power);
    const double first_s = first / synth->rate_hz - phase->onset_s;
    rupture(synth, phase, quake, path, first_s, n);
    spread(synth, phase, n);
    excite(synth, phase, crossover(phase, quake), &random, n);
    for (int c = 0; c < 3; c++)
        source_filter(synth, phase, synth->wave[c], n);
    add_near(synth, phase, quake, path, first_s, n);
    path_filter(synth, phase);
    filter_pair(synth, synth->wave[0], synth->wave[1], n);
    memset(synth->wave[3], 0, synth->n_fft * sizeof *synth->wave[3]);
    filter_pair(synth, synth->wave[2], synth->wave[3], n);
    for (size_t k = skip; k < n; k++) {
        const double taper = end_taper((double)k / (double)wanted);
        for (int c = 0; c < 3; c++)
            synth->wave[c][k] *= taper;
        for (int c = 0; c < 3; c++)
            enz[c][begin + k - skip] += (float)synth->wave[c][k];
    }
    add_converted(synth, phase, begin, skip, n, enz, n_all);
}

/* Short waves see a blurred radiation pattern: half the pattern, half its mean over the focal sphere. */
static double blurred(double pattern, double mean)
{
    return sqrt(0.5 * pattern * pattern + 0.5 * mean * mean);
}

/* Long waves keep sign and node, but for a floor: a node is a line, a fault is not flat. */
static double floored(double pattern, double least)
{
    return copysign(hypot(pattern, least), pattern);
}

static void common_phase(const struct toc_quake *quake, const struct toc_quake_path *path, double speed_ms,
                         struct phase *phase)
{
    const double r_km = hypot(path->epicentral_km, path->depth_km);
    phase->speed_ms = speed_ms;
    phase->level_m2s = TOC_QUAKE_FREE_SURFACE * quake->moment_nm / (4.0 * M_PI * TOC_QUAKE_DENSITY * pow(speed_ms, 3.0));
    phase->path_s = fmax(0.1, 0.05 * r_km / 3.0);
    phase->q_exponent = path->q_exponent;
    phase->tail_s = toc_quake_coda_s(path);
}

/* Beyond the crossover the first wave runs below the Moho and is weak; the strong one in the crust comes later and
 * grows out of its coda. Spread over a quarter of S-P by then. Not of a teleseism, which comes from below. */
static void spread_p(const struct toc_quake_path *path, struct phase *phase)
{
    const double beyond = fmin(1.0, fmax(0.0, (path->epicentral_km - 80.0) / 70.0));
    const double r_km = hypot(path->epicentral_km, path->depth_km);
    phase->direct = fmin(0.5, fmax(0.1 - 0.07 * beyond, exp(-r_km / 60.0)));
    phase->path_s *= 1.0 + 0.8 * beyond;
    phase->gradual = beyond;
    phase->level_m2s *= pow(HEAD_WAVE, beyond);
    phase->more_spreading = (path->region ? path->region : toc_region_at(0))->p_more;
}

static void p_phase(const struct toc_quake *quake, const struct toc_quake_path *path, double takeoff_rad,
                    struct phase *phase)
{
    const double sin_i = sin(path->incidence_rad), cos_i = cos(path->incidence_rad);
    struct toc_quake_radiation radiation;

    toc_quake_radiation(quake, path->azimuth_rad, takeoff_rad, &radiation);
    common_phase(quake, path, TOC_QUAKE_ALPHA_MS, phase);
    phase->with_near_field = true;
    phase->site = path->site_p;
    phase->level_m2s *= path->focus_p > 0.0 ? path->focus_p : 1.0;
    phase->corner_hz = 1.2 * quake->corner_hz;
    phase->coda_corner_hz = P_CODA_HZ;
    phase->coda_per_s = 0.6 * path->scattering;
    phase->coda_s = fmax(1.0, 0.8 * (path->s_s - path->p_s));
    phase->travel_s = path->p_s;
    phase->q0 = path->q0;
    phase->kappa_s = 0.6 * path->kappa_s;
    phase->n_polarisations = 1;
    phase->vector[0][0] = sin_i * sin(path->azimuth_rad);
    phase->vector[0][1] = sin_i * cos(path->azimuth_rad);
    phase->vector[0][2] = cos_i;
    phase->coherent[0] = floored(radiation.p, 0.15);
    phase->incoherent[0] = blurred(radiation.p, 0.52); /* 0.52, 0.63: means of Boore and Boatwright (1984) */
    phase->scatter[0] = phase->scatter[1] = 0.4 * path->scattering * phase->incoherent[0];
    phase->scatter[2] = 0.15 * phase->incoherent[0];
    phase->isotropic[0] = phase->isotropic[1] = 0.48;
    phase->isotropic[2] = 0.5;
    phase->convert_s = path->convert_s;
    phase->from[2] = 1.0;
    phase->to[0] = path->convert * sin(path->azimuth_rad);
    phase->to[1] = path->convert * cos(path->azimuth_rad);
}

static void s_phase(const struct toc_quake *quake, const struct toc_quake_path *path, double takeoff_rad,
                    struct phase *phase)
{
    const double sin_i = sin(path->incidence_rad), cos_i = cos(path->incidence_rad);
    const double sin_a = sin(path->azimuth_rad), cos_a = cos(path->azimuth_rad);
    struct toc_quake_radiation radiation;

    toc_quake_radiation(quake, path->azimuth_rad, takeoff_rad, &radiation);
    common_phase(quake, path, TOC_QUAKE_BETA_MS, phase);
    phase->site = path->site_s;
    phase->level_m2s *= path->focus_s > 0.0 ? path->focus_s : 1.0;
    phase->level_m2s *= quake->explosion ? EXPLOSION_S : 1.0;
    phase->corner_hz = quake->corner_hz;
    phase->gradual = 1.0;
    phase->direct = 0.1;
    phase->coda_corner_hz = S_CODA_HZ;
    phase->coda_per_s = 0.10 * pow(path->scattering, S_CODA_SPREAD);
    phase->tail_per_s = 0.008 * pow(path->scattering, S_CODA_SPREAD);
    phase->coda_s = 3.0 + 0.15 * path->s_s;
    phase->travel_s = path->s_s;
    phase->q0 = path->q0;
    phase->kappa_s = path->kappa_s;
    phase->n_polarisations = 2;
    const double vectors[2][3] = {{cos_i * sin_a, cos_i * cos_a, -sin_i}, {cos_a, -sin_a, 0.0}};
    memcpy(phase->vector, vectors, sizeof vectors);
    phase->coherent[0] = floored(radiation.sv, 0.15);
    phase->coherent[1] = floored(radiation.sh, 0.15);
    phase->incoherent[0] = blurred(radiation.sv, 0.45); /* 0.63 shared by two directions */
    phase->incoherent[1] = blurred(radiation.sh, 0.45);
    phase->scatter[0] = phase->scatter[1] = 0.15;
    phase->scatter[2] = 0.15;
    phase->isotropic[0] = phase->isotropic[1] = 0.5;
    phase->isotropic[2] = 0.3;
    phase->convert_s = -fmin(path->convert_s, 0.5 * (path->s_s - path->p_s));
    phase->from[0] = sin_a;
    phase->from[1] = cos_a;
    phase->to[2] = 0.5 * path->convert;
}

void toc_synth_add(struct toc_synth *synth, const struct toc_quake *quake, const struct toc_quake_path *path,
                   double p_onset_s, float *const enz[3], size_t n)
{
    /* The straight ray goes up from the source: pi less its angle from the vertical. */
    const double takeoff_rad = M_PI - atan2(path->epicentral_km, fmax(path->depth_km, 0.1));
    struct phase p = {.onset_s = p_onset_s}, s = {.onset_s = p_onset_s + path->s_s - path->p_s};

    p_phase(quake, path, takeoff_rad, &p);
    spread_p(path, &p);
    s_phase(quake, path, takeoff_rad, &s);
    add_phase(synth, &p, quake, path, 1, enz, n);
    add_phase(synth, &s, quake, path, 2, enz, n);
}

/* A phase that left upwards and came back from the surface: later, and reversed or not. */
static void add_far_phase(struct toc_synth *synth, const struct phase *direct, const struct toc_quake *quake,
                          const struct toc_quake_path *path, double later_s, double size, uint64_t stream,
                          float *const enz[3], size_t n)
{
    struct phase phase = *direct;
    phase.onset_s += later_s;
    phase.coherent[0] *= size;
    phase.incoherent[0] *= fabs(size);
    phase.coda_per_s *= size * size;
    add_phase(synth, &phase, quake, path, stream, enz, n);
}

void toc_synth_add_far(struct toc_synth *synth, const struct toc_quake *quake, const struct toc_quake_far *far,
                       double p_onset_s, float *const enz[3], size_t n)
{
    struct toc_random random;
    toc_random_seed(&random, far->seed, 9);
    /* Out there the parts of the rupture differ by what the wave's slowness makes of their places: a fast phase. */
    const struct toc_quake_path path = {.epicentral_km = 111.2 * far->degrees, .azimuth_rad = far->azimuth_rad,
                                        .incidence_rad = far->incidence_rad, .site_p = far->site_p, .s_s = 30.0,
                                        .scattering = 0.5, .coda_s = 10.0, .seed = far->seed};
    const double takeoff_rad = asin(fmin(0.6, sin(far->incidence_rad) * TOC_QUAKE_ALPHA_MS / 5800.0));
    const double up_s = 2.0 * far->depth_km * cos(takeoff_rad) * 1e3 / TOC_QUAKE_ALPHA_MS;
    struct phase p = {.onset_s = p_onset_s};

    p_phase(quake, &path, takeoff_rad, &p);
    p.with_near_field = false;
    p.speed_ms = TOC_QUAKE_ALPHA_MS / sin(takeoff_rad);
    p.far_spreading = (0.42 - 0.0025 * far->degrees) / 6371e3;
    p.travel_s = far->t_star_s;
    p.q0 = 1.0;
    p.q_exponent = 0.0;
    p.kappa_s = 0.0;
    p.direct = 0.6;
    p.gradual = 0.0;
    p.path_s = 1.0;
    p.coda_corner_hz = 0.2;
    p.coda_per_s = 0.01;
    p.coda_s = 30.0;
    p.scatter[0] = p.scatter[1] = 0.1 * p.incoherent[0];
    p.scatter[2] = 0.05 * p.incoherent[0];
    add_phase(synth, &p, quake, &path, 1, enz, n);
    /* pP reversed; sP by 1.4 of its time, either way: the radiation upwards is another one. */
    add_far_phase(synth, &p, quake, &path, up_s, -toc_random_range(&random, 0.4, 1.0), 2, enz, n);
    add_far_phase(synth, &p, quake, &path, 1.4 * up_s, toc_random_range(&random, -0.9, 0.9), 3, enz, n);
}
