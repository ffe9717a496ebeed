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

static void peaks_grow(struct toc_peaks *peaks, const struct toc_motion_step *step)
{
    peaks->pa_ms2 = larger(peaks->pa_ms2, step->pa_z);
    peaks->pv_ms = larger(peaks->pv_ms, step->pv_z);
    peaks->pd_m = larger(peaks->pd_m, step->pd_z);
    peaks->pe_m = larger(peaks->pe_m, step->pe_z);
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

struct toc_peaks toc_pparam_peaks(const struct toc_pparam *p)
{
    uint32_t n = p->n < p->guard ? p->n : p->guard;

    if (n > TOC_PPARAM_STEPS_MAX)
        n = TOC_PPARAM_STEPS_MAX;
    return n > 0 ? p->history[n - 1] : (struct toc_peaks){0};
}

float toc_pparam_snr_pe(const struct toc_pparam *p)
{
    if (p->n_noise == 0 || p->noise.pe_m <= 0)
        return NAN;
    return toc_pparam_peaks(p).pe_m / p->noise.pe_m;
}

double toc_pparam_largest(double after_p_s)
{
    return 5.23 + 2 * log10(fmax(after_p_s, STEP_S));
}

/*
 * log10 y = a + b M + c log10 R, y in SI, R hypocentral in km; sigma is the scatter of log10 y.
 * FIRST VALUES, to be replaced by our own fit: Pv and Pe from the regressions over five regions measured for this
 * project (250 records, 33 events, M 0.6-7.1, R 10-214 km); Pd: Wu and Zhao 2006 (Geophys. Res. Lett. 33, L16312),
 * log10 Pd(cm) = -3.463 + 0.729 M - 1.374 log10 R at 3 s.
 */
struct relation {
    double a, b, c, sigma;
};

#define KNOTS 6
static const double knot_s[KNOTS] = {0.5, 1, 2, 3, 4, 6};
static const struct relation relation_pv[KNOTS] = {
    {-2.72, 0.47, -1.93, 0.44}, {-3.05, 0.57, -1.90, 0.41}, {-3.44, 0.63, -1.76, 0.36},
    {-3.43, 0.67, -1.82, 0.32}, {-3.44, 0.68, -1.82, 0.33}, {-3.33, 0.70, -1.90, 0.31},
};
static const struct relation relation_pe[KNOTS] = {
    {-4.98, 0.58, -1.69, 0.49}, {-5.44, 0.70, -1.58, 0.47}, {-5.83, 0.77, -1.44, 0.44},
    {-5.72, 0.81, -1.57, 0.38}, {-5.74, 0.82, -1.55, 0.38}, {-5.57, 0.85, -1.68, 0.36},
};
static const struct relation relation_pd = {-5.463, 0.729, -1.374, 0.39};

#define DISTANCE_LEAST_KM 5.0
#define DISTANCE_MOST_KM 300.0
#define SATURATION_MARGIN 0.3
#define LARGE_FROM 5.0 /* below this Pv and Pe speak, from LARGE_FROM + 1 on Pd, which saturates last */

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

    return (struct relation){mix(l->a, r->a, share), mix(l->b, r->b, share), mix(l->c, r->c, share),
                             mix(l->sigma, r->sigma, share)};
}

static double solve(const struct relation *rel, float y, double log_km)
{
    return (log10((double)y) - rel->a - rel->c * log_km) / rel->b;
}

/* Seconds of P alone: an observed S ends them. */
static double seconds_of_p(const struct toc_estimate *e)
{
    bool observed = e->s_minus_p_sigma_s <= TOC_PPARAM_S_OBSERVED_SIGMA_S;

    return observed ? fmin((double)e->after_p_s, (double)e->s_minus_p_s) : (double)e->after_p_s;
}

static bool usable(const struct toc_estimate *e, double hypocentral_km)
{
    return e->pv_ms > 0 && e->pe_m > 0 && e->pd_m > 0 && isfinite(e->pv_ms) && isfinite(e->pe_m) &&
           isfinite(e->pd_m) && (double)e->snr_pe >= SNR_LEAST && seconds_of_p(e) >= SEEN_LEAST_S &&
           isfinite(hypocentral_km);
}

int toc_pparam_magnitude(const struct toc_estimate *e, double hypocentral_km, double *ret_m, double *ret_sigma,
                         bool *ret_saturated)
{
    if (!usable(e, hypocentral_km))
        return -ENODATA;
    const double after_s = seconds_of_p(e);
    const double log_km = log10(fmin(fmax(hypocentral_km, DISTANCE_LEAST_KM), DISTANCE_MOST_KM));
    const struct relation pv = relation_at(relation_pv, after_s), pe = relation_at(relation_pe, after_s);
    const double small = 0.5 * (solve(&pv, e->pv_ms, log_km) + solve(&pe, e->pe_m, log_km));
    const double large_share = fmin(fmax(small - LARGE_FROM, 0), 1);
    const double m = mix(small, solve(&relation_pd, e->pd_m, log_km), large_share);

    *ret_m = m;
    *ret_sigma = mix(pv.sigma / pv.b, relation_pd.sigma / relation_pd.b, large_share);
    *ret_saturated = e->saturated || m > toc_pparam_largest(after_s) - SATURATION_MARGIN;
    return 0;
}
