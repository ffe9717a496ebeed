/*
 * Weighing. All numbers here are weights of opinions about one earthquake;
 * core/fusion.h writes every formula out, this file only computes them.
 */
#include "core/fusion.h"

#include <math.h>
#include <stdlib.h>

#include "core/estimator.h"
#include "core/locate.h"
#include "core/pparam.h"

#define STATION_SCATTER 0.25
#define SIGMA_MIN 0.15
#define SIGMA_MAX 2.0
#define UPPER_SIGMAS 2.0
#define HUBER 1.5
#define HUBER_STEPS 5
#define RESIDUAL_SCALE_S 0.8
#define P_BELIEF 0.7
#define S_BELIEF 0.35

/* One voice at one station. */
struct voice {
    double m, precision; /* precision 0: silent */
    double upper;
};

static double held_sigma(double sigma)
{
    return isfinite(sigma) ? fmin(SIGMA_MAX, fmax(SIGMA_MIN, sigma)) : SIGMA_MAX;
}

/* --- one station --------------------------------------------------------------------------------------------- */

/* At the distance where the network was taught to say it, else without. */
static struct voice network_voice(const struct toc_estimate *e, double hypocentral_km, double sigma_km, double weight)
{
    double m = (double)e->magnitude, sigma = (double)e->magnitude_sigma, upper = m + UPPER_SIGMAS * sigma;

    if (!isfinite(m))
        return (struct voice){0};
    (void)toc_estimator_magnitude_at(e, hypocentral_km, sigma_km, &m, &sigma, &upper);
    sigma = held_sigma(sigma);
    return (struct voice){m, weight / (sigma * sigma), upper};
}

static struct voice classical_voice(const struct toc_estimate *e, double hypocentral_km, double weight,
                                    bool *ret_saturated)
{
    double m, sigma;
    bool saturated;

    if (toc_pparam_magnitude(e, hypocentral_km, &m, &sigma, &saturated) < 0 || !isfinite(m))
        return (struct voice){0};
    *ret_saturated = saturated;
    sigma = held_sigma(sigma);
    return (struct voice){m, weight / (sigma * sigma), m + UPPER_SIGMAS * sigma};
}

/* Two voices made one. @return false when both are silent */
static bool combine(struct voice a, struct voice b, struct toc_station_magnitude *ret)
{
    double sum = a.precision + b.precision, apart = a.m - b.m;

    if (!(sum > 0.0))
        return false;
    ret->magnitude = (float)((a.precision * a.m + b.precision * b.m) / sum);
    ret->magnitude_sigma = (float)sqrt(1.0 / sum + apart * apart * a.precision * b.precision / (sum * sum));
    ret->magnitude_upper = (float)((a.precision * a.upper + b.precision * b.upper) / sum);
    return true;
}

static bool station_magnitude(const struct toc_fusion_settings *settings, const struct toc_estimate *e,
                              double hypocentral_km, double sigma_km, struct toc_station_magnitude *ret)
{
    double share = fmin(1.0, fmax(0.0, settings->lstm_weight));
    bool saturated = false, network = isfinite(e->magnitude);
    struct voice classical = classical_voice(e, hypocentral_km, 1.0, &saturated);
    bool both = network && classical.precision > 0.0;

    classical.precision *= both ? 1.0 - share : 1.0; /* alone, it has the whole word */
    *ret = (struct toc_station_magnitude){
        .group = e->group, .site = e->site, .after_p_s = e->after_p_s, .saturated = saturated || e->clipped};
    if (!combine(network_voice(e, hypocentral_km, sigma_km, both ? share : 1.0), classical, ret))
        return false;
    ret->saturated |= (double)ret->magnitude_upper > toc_pparam_largest((double)e->after_p_s);
    return true;
}

double toc_fusion_distance_sigma_km(const struct toc_origin *origin, double epicentral_km)
{
    double km = fmax(1.0, hypot(epicentral_km, origin->depth_km));

    return hypot(origin->horizontal_sigma_km * epicentral_km / km, origin->depth_sigma_km * origin->depth_km / km);
}

static const struct toc_event_pick *pick_of(const struct toc_event *event, const struct toc_estimate *e)
{
    for (uint16_t i = 0; i < event->n_picks; i++)
        if (event->picks[i].pick.id == e->pick_id && event->picks[i].pick.phase == TOC_PHASE_P)
            return &event->picks[i];
    return NULL;
}

static void collect(const struct toc_fusion_settings *settings, struct toc_event *event,
                    const struct toc_estimate *estimates, size_t n)
{
    double depth = event->origin.depth_km;

    event->n_magnitudes = 0;
    for (size_t i = 0; i < n && event->n_magnitudes < TOC_EVENT_PICKS_MAX; i++) {
        const struct toc_event_pick *pick = pick_of(event, &estimates[i]);

        if (pick && !pick->left_out && station_magnitude(settings, &estimates[i], hypot(pick->distance_km, depth),
                                      toc_fusion_distance_sigma_km(&event->origin, pick->distance_km),
                                      &event->magnitudes[event->n_magnitudes]))
            event->n_magnitudes++;
    }
}

/* --- all stations -------------------------------------------------------------------------------------------- */

static double duration_weight(double after_p_s)
{
    double a = fmax(0.0, after_p_s);

    return a * a / (1.0 + a * a);
}

static double variance_of(const struct toc_station_magnitude *m)
{
    return (double)m->magnitude_sigma * (double)m->magnitude_sigma + STATION_SCATTER * STATION_SCATTER;
}

/* How many groups of the same site are heard, and whether this one is: never saturated beside unsaturated. */
static int heard_at_site(const struct toc_event *event, uint16_t index)
{
    const struct toc_station_magnitude *self = &event->magnitudes[index];
    int same = 0, clear = 0;

    for (uint16_t i = 0; i < event->n_magnitudes; i++) {
        if (event->magnitudes[i].site != self->site)
            continue;
        same++;
        clear += !event->magnitudes[i].saturated;
    }
    if (clear == 0)
        return same;
    return self->saturated ? 0 : clear;
}

static void weigh(struct toc_event *event)
{
    for (uint16_t i = 0; i < event->n_magnitudes; i++) {
        struct toc_station_magnitude *m = &event->magnitudes[i];
        int heard = heard_at_site(event, i);

        m->weight = 0.0f;
        m->used = heard > 0 && m->after_p_s > 0.0f;
        if (m->used)
            m->weight = (float)(duration_weight((double)m->after_p_s) / (heard * variance_of(m)));
    }
}

static double total_weight(const struct toc_event *event, bool only_saturated)
{
    double sum = 0.0;

    for (uint16_t i = 0; i < event->n_magnitudes; i++)
        if (event->magnitudes[i].used && (!only_saturated || event->magnitudes[i].saturated))
            sum += (double)event->magnitudes[i].weight;
    return sum;
}

/* The smallest magnitude at or above which half of the weight lies. */
static double weighted_median(const struct toc_event *event)
{
    double half = 0.5 * total_weight(event, false), best = NAN;

    for (uint16_t i = 0; i < event->n_magnitudes; i++) {
        double m = (double)event->magnitudes[i].magnitude, upto = 0.0;

        if (!event->magnitudes[i].used)
            continue;
        for (uint16_t j = 0; j < event->n_magnitudes; j++)
            if (event->magnitudes[j].used && (double)event->magnitudes[j].magnitude <= m)
                upto += (double)event->magnitudes[j].weight;
        if (upto >= half && !(m >= best))
            best = m;
    }
    return best;
}

static double huber_factor(const struct toc_station_magnitude *m, double mean)
{
    double x = fabs((double)m->magnitude - mean) / sqrt(variance_of(m));

    return x <= HUBER ? 1.0 : HUBER / x;
}

static double huber_mean(const struct toc_event *event)
{
    double mean = weighted_median(event);

    for (int step = 0; step < HUBER_STEPS; step++) {
        double sum = 0.0, total = 0.0;

        for (uint16_t i = 0; i < event->n_magnitudes; i++) {
            const struct toc_station_magnitude *m = &event->magnitudes[i];
            double w = m->used ? (double)m->weight * huber_factor(m, mean) : 0.0;

            sum += w * (double)m->magnitude;
            total += w;
        }
        if (!(total > 0.0))
            break;
        mean = sum / total;
    }
    return mean;
}

static double huber_sigma(const struct toc_event *event, double mean, double between)
{
    double total = 0.0, squares = 0.0, spread = 0.0, information = 0.0;

    for (uint16_t i = 0; i < event->n_magnitudes; i++) {
        const struct toc_station_magnitude *m = &event->magnitudes[i];
        double w = m->used ? (double)m->weight : 0.0, r = (double)m->magnitude - mean;

        total += w;
        squares += w * w;
        spread += w * r * r;
        information += w * huber_factor(m, mean);
    }
    return sqrt(between * between + fmax(1.0 / information, spread / total * squares / (total * total)));
}

/* A lower bound below what the others say is no news; above it, it is. */
static void silence_low_bounds(struct toc_event *event)
{
    double clear = total_weight(event, false) - total_weight(event, true), mean;
    bool saturated[TOC_EVENT_PICKS_MAX];

    if (!(clear > 1e-9))
        return;
    for (uint16_t i = 0; i < event->n_magnitudes; i++) {
        saturated[i] = event->magnitudes[i].used && event->magnitudes[i].saturated;
        if (saturated[i])
            event->magnitudes[i].used = false;
    }
    mean = huber_mean(event);
    for (uint16_t i = 0; i < event->n_magnitudes; i++)
        if (saturated[i])
            event->magnitudes[i].used = (double)event->magnitudes[i].magnitude > mean;
}

/* What no station rules out, by the weights they have: all of them hear the same growing rupture, so being many does
 * not bring it nearer. */
static double shared_upper(const struct toc_event *event)
{
    double sum = 0.0;

    for (uint16_t i = 0; i < event->n_magnitudes; i++)
        if (event->magnitudes[i].used)
            sum += (double)event->magnitudes[i].weight * (double)event->magnitudes[i].magnitude_upper;
    return sum;
}

/* Weights become shares of the event's magnitude. */
static void normalise(struct toc_event *event)
{
    double total = total_weight(event, false);

    for (uint16_t i = 0; i < event->n_magnitudes; i++) {
        struct toc_station_magnitude *m = &event->magnitudes[i];

        m->weight = m->used ? (float)((double)m->weight / total) : 0.0f;
    }
}

static void fuse(const struct toc_fusion_settings *settings, struct toc_event *event)
{
    double total, bounded;

    event->magnitude = event->magnitude_sigma = event->magnitude_upper = NAN;
    event->magnitude_at_least = false;
    weigh(event);
    total = total_weight(event, false);
    bounded = total_weight(event, true);
    if (!(total > 0.0))
        return;
    event->magnitude_at_least = bounded > 0.5 * total;
    silence_low_bounds(event);
    event->magnitude = huber_mean(event);
    event->magnitude_sigma = huber_sigma(event, event->magnitude, settings->between_sigma);
    normalise(event);
    if (!event->magnitude_at_least)
        event->magnitude_upper = fmax(shared_upper(event), event->magnitude + UPPER_SIGMAS * event->magnitude_sigma);
}

/* --- score --------------------------------------------------------------------------------------------------- */

static double clamp01(double value)
{
    return value > 0.0 ? (value < 1.0 ? value : 1.0) : 0.0; /* NAN is 0 */
}

static double evidence_term(const struct toc_event *event)
{
    double doubt = 1.0;

    for (uint16_t i = 0; i < event->n_picks; i++) {
        const struct toc_pick *pick = &event->picks[i].pick;

        if (event->picks[i].used)
            doubt *= 1.0 - (pick->phase == TOC_PHASE_P ? P_BELIEF : S_BELIEF) * clamp01((double)pick->probability);
    }
    return 1.0 - doubt;
}

/* Used P picks, one per site: the locator uses no second one. */
static double stations_term(const struct toc_event *event)
{
    int n = 0;

    for (uint16_t i = 0; i < event->n_picks; i++)
        n += event->picks[i].used && event->picks[i].pick.phase == TOC_PHASE_P;
    return n > 0 ? -expm1(-(n - 1) / 2.0) : 0.0;
}

static bool has_twin_before(const struct toc_event *event, uint16_t index)
{
    const struct toc_pick *pick = &event->picks[index].pick;

    for (uint16_t i = 0; i < index; i++)
        if (event->picks[i].pick.site == pick->site && event->picks[i].pick.phase == pick->phase)
            return true;
    return false;
}

/* A co-located group, a suspect S and what is foreign are left out by rule, not because they disagree. */
static double used_share(const struct toc_event *event)
{
    int used = 0, may = 0;

    for (uint16_t i = 0; i < event->n_picks; i++) {
        if (has_twin_before(event, i) || event->picks[i].left_out || (double)event->picks[i].pick.sigma_s >= TOC_LOCATE_SIGMA_MAX_S)
            continue;
        may++;
        used += event->picks[i].used;
    }
    return may > 0 ? (double)used / may : 0.0;
}

static double residual_term(const struct toc_event *event)
{
    double x = event->origin.rms_s / RESIDUAL_SCALE_S;

    return used_share(event) / (1.0 + x * x);
}

static double expected_term(const struct toc_event *event)
{
    double expected = event->expected_sites, missing = fmin(expected, (double)event->expected_missing);

    return (expected - missing + 1.0) / (expected + 1.0);
}

static double magnitude_term(const struct toc_event *event)
{
    double sigma = event->magnitude_sigma;

    return isfinite(sigma) ? 1.0 / (1.0 + sigma * sigma) : 0.5;
}

double toc_fusion_score(const struct toc_score_terms *terms)
{
    return pow(clamp01(terms->evidence), 0.3) * pow(clamp01(terms->stations), 0.5) *
           pow(clamp01(terms->residual), 0.5) * pow(clamp01(terms->expected), 0.7) *
           pow(clamp01(terms->magnitude), 0.2);
}

/* --- what made it -------------------------------------------------------------------------------------------- */

static void take_verdicts(struct toc_event *event, const struct toc_estimate *estimates, size_t n)
{
    for (size_t k = 0; k < n; k++)
        for (uint16_t i = 0; i < event->n_picks; i++)
            if (event->picks[i].pick.id == estimates[k].pick_id)
                event->picks[i].pick.domain = estimates[k].domain;
}

/* The first group of each site votes for its class with that class's probability. */
static struct toc_verdict verdict_of(const struct toc_event *event)
{
    double votes[TOC_DOMAIN_CLASSES] = {0}, foreign = 0.0;
    struct toc_verdict verdict = {.kind = TOC_DOMAIN_UNKNOWN};
    int n = 0, best = TOC_DOMAIN_LOCAL;

    for (uint16_t i = 0; i < event->n_picks; i++) {
        const struct toc_pick *pick = &event->picks[i].pick;

        if (pick->phase != TOC_PHASE_P || !(pick->domain.probability > 0.0f) || has_twin_before(event, i))
            continue;
        votes[pick->domain.kind] += (double)pick->domain.probability;
        foreign += (double)pick->domain.foreign;
        n++;
    }
    for (int k = TOC_DOMAIN_LOCAL; k < TOC_DOMAIN_CLASSES; k++)
        best = votes[k] > votes[best] ? k : best;
    if (n == 0)
        return verdict;
    verdict.kind = votes[best] >= 0.5 * n ? (enum toc_domain_class)best : TOC_DOMAIN_UNKNOWN;
    verdict.probability = (float)(votes[best] / n);
    verdict.foreign = (float)(foreign / n);
    return verdict;
}

void toc_fusion_update(const struct toc_fusion_settings *settings, struct toc_event *event,
                       const struct toc_estimate *estimates, size_t n_estimates, const struct toc_site *sites,
                       size_t n_sites, toc_ns now)
{
    (void)sites;
    (void)n_sites;
    (void)now;
    collect(settings, event, estimates, n_estimates);
    fuse(settings, event);
    event->terms = (struct toc_score_terms){
        .evidence = clamp01(evidence_term(event)),
        .stations = clamp01(stations_term(event)),
        .residual = clamp01(residual_term(event)),
        .expected = clamp01(expected_term(event)),
        .magnitude = clamp01(magnitude_term(event)),
    };
    event->score = toc_fusion_score(&event->terms);
    take_verdicts(event, estimates, n_estimates);
    event->domain = verdict_of(event);
}
