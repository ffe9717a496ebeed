/*
 * Peaks since P and the classical station magnitude. The peaks are kept
 * step by step because S is only known a second or so after it came: a
 * guard must be able to take back what S has added meanwhile.
 */
#include "core/pparam.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define STEP_S 0.1
#define STEP_NS (TOC_NS_PER_S / 10)

/* Picks come up to 0.3 s late: that much before them is not taken for noise, when enough is left without it. */
#define NOISE_SKIP 3
#define NOISE_LEAST 10

#define SNR_LEAST 2.0
#define SEEN_LEAST_S 0.3

static float larger(float peak, float x)
{
    return isfinite(x) && x > peak ? x : peak;
}

static float mean_square(float x)
{
    return larger(0, x);
}

static void peaks_grow(struct toc_peaks *peaks, const struct toc_motion_step *step)
{
    peaks->pa_ms2 = larger(peaks->pa_ms2, step->pa_z);
    peaks->pv_ms = larger(peaks->pv_ms, step->pv_z);
    peaks->pd_m = larger(peaks->pd_m, step->pd_z);
    peaks->pe_m = larger(peaks->pe_m, step->pe_z);
    peaks->iv2_m2s += (float)STEP_S * mean_square(step->v2_z);
}

/* The onset's own step still hears the periods of the noise before it. */
static void periods_grow(struct toc_pparam *p, const struct toc_motion_step *step)
{
    p->int_d2 += STEP_S * (double)mean_square(step->d2_z);
    p->int_w2 += STEP_S * (double)mean_square(step->w2_z);
    if (p->int_w2 > 0)
        p->so_far.tau_c_s = (float)(2 * M_PI * sqrt(p->int_d2 / p->int_w2));
    if (p->n > 0)
        p->so_far.tau_p_s = larger(p->so_far.tau_p_s, step->tau_p_z);
}

static double first_step_end_s(toc_ns onset)
{
    toc_ns into = onset % STEP_NS;

    if (into < 0)
        into += STEP_NS;
    return toc_s_from_ns(STEP_NS - into);
}

void toc_pparam_start(struct toc_pparam *p, toc_ns onset, const struct toc_motion_step *noise, size_t n_noise)
{
    memset(p, 0, sizeof *p);
    p->first_s = first_step_end_s(onset);
    p->guard = UINT32_MAX;
    if (n_noise > TOC_PPARAM_NOISE_MAX) {
        noise += n_noise - TOC_PPARAM_NOISE_MAX;
        n_noise = TOC_PPARAM_NOISE_MAX;
    }
    if (n_noise >= NOISE_LEAST + NOISE_SKIP)
        n_noise -= NOISE_SKIP;
    for (size_t i = 0; i < n_noise; i++) {
        peaks_grow(&p->noise, &noise[i]);
        p->noise_pv_h = larger(p->noise_pv_h, noise[i].pv_h);
        p->noise_pe_h = larger(p->noise_pe_h, noise[i].pe_h);
    }
    p->n_noise = (uint32_t)n_noise;
}

void toc_pparam_step(struct toc_pparam *p, const struct toc_motion_step *step)
{
    if (step->clipped > 0)
        p->clipped = true;
    if (p->n < TOC_PPARAM_STEPS_MAX) {
        peaks_grow(&p->so_far, step);
        periods_grow(p, step);
        p->history[p->n] = p->so_far;
    }
    if (p->n < UINT32_MAX)
        p->n++;
}

void toc_pparam_guard(struct toc_pparam *p, double s_minus_p_s)
{
    if (!isfinite(s_minus_p_s) || s_minus_p_s <= 0)
        p->guard = UINT32_MAX;
    else if (s_minus_p_s < p->first_s)
        p->guard = 0;
    else
        p->guard = (uint32_t)fmin(floor((s_minus_p_s - p->first_s) / STEP_S + 1e-6) + 1, TOC_PPARAM_STEPS_MAX);
}

double toc_pparam_after_s(const struct toc_pparam *p)
{
    return p->n > 0 ? p->first_s + STEP_S * (p->n - 1) : 0;
}

/* Steps that count. */
static uint32_t steps_of_p(const struct toc_pparam *p)
{
    uint32_t n = p->n < p->guard ? p->n : p->guard;

    return n < TOC_PPARAM_STEPS_MAX ? n : TOC_PPARAM_STEPS_MAX;
}

struct toc_peaks toc_pparam_peaks(const struct toc_pparam *p)
{
    uint32_t n = steps_of_p(p);

    return n > 0 ? p->history[n - 1] : (struct toc_peaks){0};
}

double toc_pparam_window_s(const struct toc_pparam *p)
{
    uint32_t n = steps_of_p(p);

    return n > 0 ? p->first_s + STEP_S * (n - 1) : 0;
}

float toc_pparam_snr_pe(const struct toc_pparam *p)
{
    if (p->n_noise == 0 || p->noise.pe_m <= 0)
        return NAN;
    return toc_pparam_peaks(p).pe_m / p->noise.pe_m;
}

static float snr_db(const struct toc_pparam *p, const struct toc_peaks *peaks)
{
    const uint32_t n = steps_of_p(p);

    if (n == 0 || p->n_noise == 0 || !(p->noise.iv2_m2s > 0) || !(peaks->iv2_m2s > 0))
        return NAN;
    return (float)(10 * log10((double)peaks->iv2_m2s / n / ((double)p->noise.iv2_m2s / p->n_noise)));
}

static float known(float x, bool is_known)
{
    return is_known && x > 0 ? x : NAN;
}

void toc_pparam_say(const struct toc_pparam *p, bool gain_known, struct toc_estimate *ret_estimate)
{
    const struct toc_peaks peaks = toc_pparam_peaks(p);
    struct toc_estimate *e = ret_estimate;

    e->pa_ms2 = gain_known ? peaks.pa_ms2 : NAN;
    e->pv_ms = gain_known ? peaks.pv_ms : NAN;
    e->pd_m = gain_known ? peaks.pd_m : NAN;
    e->pe_m = gain_known ? peaks.pe_m : NAN;
    e->snr_pe = toc_pparam_snr_pe(p);
    e->iv2_m2s = gain_known ? peaks.iv2_m2s : NAN;
    e->tau_c_s = known(peaks.tau_c_s, gain_known);
    e->tau_p_max_s = known(peaks.tau_p_s, gain_known);
    e->snr_db = snr_db(p, &peaks);
    e->window_s = (float)toc_pparam_window_s(p);
    e->clipped = p->clipped;
    e->s_guarded = p->n > p->guard;
}

double toc_pparam_largest(double after_p_s)
{
    return 5.23 + 2 * log10(fmax(after_p_s, STEP_S));
}

/*
 * M = k0 + k1 log10 y + k2 log10 R; y in SI, R hypocentral in km, sigma the scatter of M. Regressed on M, not on y:
 * a measurement that says little is drawn to the middle of the range and says so by its sigma.
 *
 * Fitted by models/train/estimator/classical.py, half of the weight on 7,461 simulated records (tests/sim, amplitudes
 * brought to the level of the real ones), half on real ones, y twice above its noise and before S: for Pv and Pe 57-69
 * records of 18-19 quakes, M 1.8-5.7, R 10-205 km; for Pd 18-29 of 8-15 quakes, M 4.1-7.2, R 14-214 km; California,
 * Utah, Washington, Croatia, Alaska, Mexico. Pv and Pe stand for M 2-6, Pd for M 4.7-8, above M 6 nearly all of it
 * simulation. Pleasant Hill and the Ridgecrest M 6.4 with its aftershocks are not in the fit; its form was chosen
 * with them in view; models/estimator/card.md has what it says of them.
 */
struct relation {
    double k0, k1, k2, sigma;
};

#define KNOTS 7
static const double knot_s[KNOTS] = {0.5, 1, 2, 3, 4, 6, 10};
static const struct relation relation_pv[KNOTS] = {
    {4.020, 1.038, 2.535, 0.54}, {3.908, 1.021, 2.522, 0.48}, {4.017, 1.025, 2.436, 0.45}, {4.035, 1.024, 2.398, 0.44},
    {4.052, 1.021, 2.371, 0.43}, {4.043, 0.991, 2.296, 0.44}, {4.120, 0.991, 2.237, 0.43},
};
static const struct relation relation_pe[KNOTS] = {
    {5.507, 0.919, 2.107, 0.48}, {5.317, 0.881, 2.044, 0.42}, {5.384, 0.868, 1.932, 0.40}, {5.390, 0.860, 1.882, 0.38},
    {5.407, 0.857, 1.850, 0.38}, {5.387, 0.844, 1.813, 0.38}, {5.440, 0.842, 1.766, 0.38},
};
static const struct relation relation_pd[KNOTS] = {
    {6.304, 0.604, 1.101, 0.80}, {5.978, 0.904, 1.880, 0.75}, {6.042, 0.982, 1.955, 0.65}, {6.087, 0.994, 1.915, 0.62},
    {6.054, 0.964, 1.835, 0.62}, {6.128, 0.924, 1.662, 0.61}, {6.181, 0.963, 1.719, 0.60},
};

#define DISTANCE_LEAST_KM 5.0
#define DISTANCE_MOST_KM 300.0
#define SATURATION_MARGIN 0.3
#define LARGE_FROM 5.0 /* below this Pv and Pe speak, from LARGE_FROM + 1 on Pd, which saturates last */

/* S - P of a straight ray at 5.9 km/s with vp/vs 1.73, as the fit had it where S was not picked. */
#define SP_PER_KM (0.73 / 5.9)

static double mix(double x, double y, double share)
{
    return x + share * (y - x);
}

static struct relation relation_at(const struct relation table[KNOTS], double after_s)
{
    int i = 0;
    double share;

    while (i < KNOTS - 2 && after_s > knot_s[i + 1])
        i++;
    share = log(after_s / knot_s[i]) / log(knot_s[i + 1] / knot_s[i]);
    share = fmin(fmax(share, 0), 1);
    const struct relation *l = &table[i], *r = &table[i + 1];

    return (struct relation){mix(l->k0, r->k0, share), mix(l->k1, r->k1, share), mix(l->k2, r->k2, share),
                             mix(l->sigma, r->sigma, share)};
}

static double solve(const struct relation *rel, double log_y, double log_km)
{
    return rel->k0 + rel->k1 * log_y + rel->k2 * log_km;
}

static bool s_observed(const struct toc_estimate *e)
{
    return e->s_minus_p_sigma_s <= TOC_PPARAM_S_OBSERVED_SIGMA_S;
}

/* Seconds of P alone: an S ends them, observed or, with the peaks guarded at it, expected from the distance. */
static double seconds_of_p(const struct toc_estimate *e, double hypocentral_km)
{
    double end_s = s_observed(e) ? (double)e->s_minus_p_s : SP_PER_KM * hypocentral_km;

    return fmin((double)e->after_p_s, end_s);
}

static bool usable(const struct toc_estimate *e, double hypocentral_km)
{
    return e->pv_ms > 0 && e->pe_m > 0 && e->pd_m > 0 && isfinite(e->pv_ms) && isfinite(e->pe_m) &&
           isfinite(e->pd_m) && (double)e->snr_pe >= SNR_LEAST &&
           seconds_of_p(e, hypocentral_km) >= SEEN_LEAST_S;
}

int toc_pparam_magnitude(const struct toc_estimate *e, double hypocentral_km, double *ret_m, double *ret_sigma,
                         bool *ret_saturated)
{
    const double km = fmin(fmax(hypocentral_km, DISTANCE_LEAST_KM), DISTANCE_MOST_KM), log_km = log10(km);

    if (!isfinite(hypocentral_km) || !usable(e, km))
        return -ENODATA;
    const double after_s = seconds_of_p(e, km);
    const struct relation pv = relation_at(relation_pv, after_s), pe = relation_at(relation_pe, after_s),
                          pd = relation_at(relation_pd, after_s);
    const double small = 0.5 * (solve(&pv, log10((double)e->pv_ms), log_km) +
                                solve(&pe, log10((double)e->pe_m), log_km));
    const double large = solve(&pd, log10((double)e->pd_m), log_km);
    const double large_share = fmin(fmax(small - LARGE_FROM, 0), 1);
    const double m = mix(small, large, large_share);

    *ret_m = m;
    *ret_sigma = mix(0.5 * (pv.sigma + pe.sigma), pd.sigma, large_share);
    *ret_saturated = e->clipped || m > toc_pparam_largest(after_s) - SATURATION_MARGIN;
    return 0;
}
