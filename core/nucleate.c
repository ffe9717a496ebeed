/*
 * The search spends its time where picks agree. At a coarse node most sets
 * of picks are thrown out by one count; only what has enough sites in one
 * window of origin times is looked at closer, and only the last few answers
 * are judged.
 */
#include "core/nucleate.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PICKS_MAX TOC_NUCLEATE_PICKS_MAX
#define MARGIN_KM 100.0
#define COARSE_STEPS 26
#define COARSE_MIN_KM 4.0
#define SEEDS_MAX 8
#define FINE_ROUNDS 3
#define FINE_HALF 2       /* nodes to either side: 5 x 5 */
#define SHRINK 2.7
#define SLOWEST_KMS 5.5   /* turns half a cell into a time */
#define QUIET_MAX 24
#define GRACE_S 1.0
#define CHANCE_SITES 4
#define WIDTH_MIN_S 0.3
#define FRONT_APERTURE_KM 25.0
#define FRONT_FOREIGN 0.5
#define FRONT_KMS 10.0
#define FRONT_HALF 10     /* slownesses to either side of zero */
#define FRONT_ANCHORS 8
#define FRONT_S 0.4
#define MISSING_COST 0.5
#define MISFIT_COST 0.5
#define FAR_COST 0.1

static const double coarse_depths_km[] = {3, 10, 20, 40};

struct local {
    struct toc_geo_point place;
    double north_km, east_km; /* from the newest pick's site */
    uint64_t bit;             /* one per site */
};

/* An origin under test. */
struct trial {
    double north_km, east_km, depth_km;
    double t0;
    int n;
    double cost;
};

struct toc_nucleate {
    const struct toc_travel *travel;
    const struct toc_nucleate_settings *settings;
    const struct toc_nucleate_pick *picks;
    size_t n_picks;
    const struct toc_nucleate_site *sites;
    size_t n_sites;
    double lat, lon; /* of the newest pick's site */
    struct local local[PICKS_MAX];
    double distance_km[PICKS_MAX], reduced_s[PICKS_MAX];
    uint8_t near[PICKS_MAX]; /* picks in the window of the newest, by reduced_s */
    size_t n_near;
    const struct toc_nucleate_site *quiet[QUIET_MAX];
    double quiet_km[QUIET_MAX];
    size_t n_quiet;
    struct trial seeds[SEEDS_MAX];
    size_t n_seeds;
};

int toc_nucleate_create(const struct toc_travel *travel, struct toc_nucleate **ret)
{
    struct toc_nucleate *w = calloc(1, sizeof(*w));

    if (!w)
        return -ENOMEM;
    w->travel = travel;
    *ret = w;
    return 0;
}

void toc_nucleate_destroy(struct toc_nucleate *workspace)
{
    free(workspace);
}

/* --- preparation --------------------------------------------------------------------------------------------- */

static void place_picks(struct toc_nucleate *w)
{
    for (size_t i = 0; i < w->n_picks; i++) {
        const struct toc_nucleate_pick *p = &w->picks[i];
        struct local *local = &w->local[i];
        double d = toc_geo_distance_km(w->lat, w->lon, p->latitude_deg, p->longitude_deg);
        double azimuth = toc_geo_azimuth_deg(w->lat, w->lon, p->latitude_deg, p->longitude_deg) * M_PI / 180.0;

        local->place = toc_geo_point(p->latitude_deg, p->longitude_deg);
        local->north_km = d * cos(azimuth);
        local->east_km = d * sin(azimuth);
        local->bit = UINT64_C(1) << i;
        for (size_t j = 0; j < i; j++)
            if (w->picks[j].site == p->site)
                local->bit = w->local[j].bit;
    }
}

static int sites_in(uint64_t bits)
{
    return __builtin_popcountll(bits);
}

static uint64_t all_bits(const struct toc_nucleate *w)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < w->n_picks; i++)
        bits |= w->local[i].bit;
    return bits;
}

static bool has_pick(const struct toc_nucleate *w, uint32_t site)
{
    for (size_t i = 0; i < w->n_picks; i++)
        if (w->picks[i].site == site)
            return true;
    return false;
}

/* The quiet sites nearest to where things happen steer the search; the judge looks at all. */
static void choose_quiet(struct toc_nucleate *w)
{
    w->n_quiet = 0;
    for (size_t i = 0; i < w->n_sites; i++) {
        double d = toc_geo_point_distance_km(&w->local[0].place, &w->sites[i].place);
        size_t k = w->n_quiet;

        if (has_pick(w, w->sites[i].site) || (k == QUIET_MAX && d >= w->quiet_km[k - 1]))
            continue;
        if (k < QUIET_MAX)
            w->n_quiet++;
        else
            k--;
        for (; k > 0 && w->quiet_km[k - 1] > d; k--) {
            w->quiet_km[k] = w->quiet_km[k - 1];
            w->quiet[k] = w->quiet[k - 1];
        }
        w->quiet_km[k] = d;
        w->quiet[k] = &w->sites[i];
    }
}

/* --- one node ------------------------------------------------------------------------------------------------ */

static struct toc_geo_point place_of(const struct toc_nucleate *w, double north_km, double east_km)
{
    double lat, lon;

    toc_geo_offset(w->lat, w->lon, north_km, east_km, &lat, &lon);
    return toc_geo_point(lat, lon);
}

static void measure_distances(struct toc_nucleate *w, const struct toc_geo_point *place)
{
    for (size_t i = 0; i < w->n_picks; i++)
        w->distance_km[i] = toc_geo_point_distance_km(place, &w->local[i].place);
}

static double tolerance_s(const struct toc_nucleate *w, size_t i)
{
    return w->settings->residual_s + w->picks[i].sigma_s;
}

/* Reduced times at a depth, and which picks could share a window with the newest. @return how many sites */
static int gather(struct toc_nucleate *w, double depth_km, double slack_s)
{
    uint64_t bits = 0;

    w->n_near = 0;
    for (size_t i = 0; i < w->n_picks; i++) {
        double reach = tolerance_s(w, i) + tolerance_s(w, 0) + 2.0 * slack_s;
        size_t k;

        w->reduced_s[i] = w->picks[i].time_s - toc_travel_s(w->travel, TOC_PHASE_P, w->distance_km[i], depth_km);
        if (fabs(w->reduced_s[i] - w->reduced_s[0]) > reach)
            continue;
        bits |= w->local[i].bit;
        for (k = w->n_near++; k > 0 && w->reduced_s[w->near[k - 1]] > w->reduced_s[i]; k--)
            w->near[k] = w->near[k - 1];
        w->near[k] = (uint8_t)i;
    }
    return sites_in(bits);
}

/* The densest window that holds the newest pick: how many sites, and their mean time. */
static int densest(const struct toc_nucleate *w, double slack_s, double *ret_t0)
{
    int best = 0;
    double width = 2.0 * (w->settings->residual_s + slack_s);

    for (size_t first = 0; first < w->n_near; first++) {
        double start = w->reduced_s[w->near[first]];
        double sum = 0.0;
        uint64_t bits = 0;
        size_t last = first;

        if (start > w->reduced_s[0])
            break;
        for (; last < w->n_near && w->reduced_s[w->near[last]] - start <= width; last++) {
            bits |= w->local[w->near[last]].bit;
            sum += w->reduced_s[w->near[last]];
        }
        if (w->reduced_s[0] - start > width || sites_in(bits) <= best)
            continue;
        best = sites_in(bits);
        *ret_t0 = sum / (double)(last - first);
    }
    return best;
}

/* What a site without a match says about a trial. */
enum silence { NOT_DUE, DEAF, MISSING };

/* Is the P so long past that the site would have said it, had it not been in a coda? */
static enum silence silence_of(const struct toc_nucleate *w, const struct toc_nucleate_site *site, double distance_km,
                               const struct trial *trial, double slack_s)
{
    double predicted, limit = site->until_s - GRACE_S - slack_s;

    if (trial->t0 >= limit)
        return NOT_DUE;
    predicted = trial->t0 + toc_travel_s(w->travel, TOC_PHASE_P, distance_km, trial->depth_km);
    if (predicted >= limit)
        return NOT_DUE;
    return predicted >= site->deaf_from_s && predicted < site->deaf_to_s ? DEAF : MISSING;
}

/* Quiet sites nearer than the farthest pick of the window that should have spoken. */
static int count_missing(const struct toc_nucleate *w, const struct toc_geo_point *place, const struct trial *trial,
                         double farthest_km, double slack_s)
{
    int missing = 0;

    for (size_t i = 0; i < w->n_quiet; i++) {
        double d = toc_geo_point_distance_km(place, &w->quiet[i]->place);

        missing += d < farthest_km && silence_of(w, w->quiet[i], d, trial, slack_s) == MISSING;
    }
    return missing;
}

/* Fewer sites cost one each, a quiet one half, poor times and far places a little: they break ties. What is above
 * the bound already is not asked for its quiet sites. */
static void price(struct toc_nucleate *w, const struct toc_geo_point *place, double slack_s, double bound,
                  struct trial *trial)
{
    double misfit = 0.0, farthest = 0.0, far = 0.0;
    int used = 0;

    for (size_t k = 0; k < w->n_near; k++) {
        size_t i = w->near[k];
        double r = fabs(w->reduced_s[i] - trial->t0);

        if (r > tolerance_s(w, i) + slack_s)
            continue;
        used++;
        misfit += r;
        far += w->distance_km[i];
        farthest = fmax(farthest, w->distance_km[i]);
    }
    trial->cost = -trial->n;
    if (used == 0)
        return;
    trial->cost += MISFIT_COST * misfit / used + FAR_COST * log1p(hypot(far / used, trial->depth_km) / 10.0);
    if (trial->cost < bound)
        trial->cost += MISSING_COST * count_missing(w, place, trial, farthest, slack_s);
}

/* @return false when too few sites agree at this node, or it costs more than the bound */
static bool test_node(struct toc_nucleate *w, const struct toc_geo_point *place, double slack_s, double bound,
                      struct trial *trial)
{
    if (gather(w, trial->depth_km, slack_s) < w->settings->min_sites)
        return false;
    trial->n = densest(w, slack_s, &trial->t0);
    if (trial->n < w->settings->min_sites || trial->n <= -bound)
        return false;
    price(w, place, slack_s, bound, trial);
    return trial->cost < bound;
}

/* --- coarse to fine ------------------------------------------------------------------------------------------ */

struct range {
    double low, high;
};

static struct range reach_of(const struct toc_nucleate *w, bool north)
{
    struct range r = {0.0, 0.0};

    for (size_t i = 0; i < w->n_picks; i++) {
        double v = north ? w->local[i].north_km : w->local[i].east_km;

        r.low = fmin(r.low, v);
        r.high = fmax(r.high, v);
    }
    r.low = fmax(r.low - MARGIN_KM, -w->settings->max_distance_km);
    r.high = fmin(r.high + MARGIN_KM, w->settings->max_distance_km);
    return r;
}

/* Keep the cheapest places, no two within two steps of each other. */
static void seed_insert(struct toc_nucleate *w, const struct trial *trial, double step_km)
{
    size_t k;

    for (k = 0; k < w->n_seeds; k++) {
        struct trial *seed = &w->seeds[k];

        if (hypot(seed->north_km - trial->north_km, seed->east_km - trial->east_km) >= 2.0 * step_km)
            continue;
        if (seed->cost <= trial->cost)
            return;
        memmove(seed, seed + 1, (--w->n_seeds - k) * sizeof(*seed));
        k--;
    }
    if (w->n_seeds == SEEDS_MAX && w->seeds[SEEDS_MAX - 1].cost <= trial->cost)
        return;
    if (w->n_seeds < SEEDS_MAX)
        w->n_seeds++;
    for (k = w->n_seeds - 1; k > 0 && w->seeds[k - 1].cost > trial->cost; k--)
        w->seeds[k] = w->seeds[k - 1];
    w->seeds[k] = *trial;
}

static double seed_bound(const struct toc_nucleate *w)
{
    return w->n_seeds == SEEDS_MAX ? w->seeds[SEEDS_MAX - 1].cost : INFINITY;
}

static double slack_of(double step_km)
{
    return 0.7 * step_km / SLOWEST_KMS;
}

static double search_coarse(struct toc_nucleate *w)
{
    struct range north = reach_of(w, true), east = reach_of(w, false);
    double step = fmax(COARSE_MIN_KM, fmax(north.high - north.low, east.high - east.low) / COARSE_STEPS);

    w->n_seeds = 0;
    for (double n = north.low; n <= north.high; n += step)
        for (double e = east.low; e <= east.high; e += step) {
            struct toc_geo_point place = place_of(w, n, e);

            measure_distances(w, &place);
            for (size_t z = 0; z < sizeof(coarse_depths_km) / sizeof(coarse_depths_km[0]); z++) {
                struct trial trial = {.north_km = n, .east_km = e, .depth_km = coarse_depths_km[z]};

                if (test_node(w, &place, slack_of(step), seed_bound(w), &trial))
                    seed_insert(w, &trial, step);
            }
        }
    return step;
}

/* One round around a trial; it is replaced by the cheapest node. @return false when none has enough sites. */
static bool refine_round(struct toc_nucleate *w, double step_km, double depth_step_km, struct trial *trial)
{
    struct trial best = {.cost = INFINITY}, centre = *trial;

    for (int n = -FINE_HALF; n <= FINE_HALF; n++)
        for (int e = -FINE_HALF; e <= FINE_HALF; e++) {
            double north = centre.north_km + n * step_km, east = centre.east_km + e * step_km;
            struct toc_geo_point place = place_of(w, north, east);

            measure_distances(w, &place);
            for (int z = -1; z <= 1; z++) {
                struct trial t = {.north_km = north, .east_km = east,
                                  .depth_km = fmax(0.0, centre.depth_km + z * depth_step_km)};

                if (test_node(w, &place, slack_of(step_km), best.cost, &t))
                    best = t;
            }
        }
    if (!isfinite(best.cost))
        return false;
    *trial = best;
    return true;
}

static bool refine(struct toc_nucleate *w, double step_km, struct trial *trial)
{
    double depth_step = 6.0;

    for (int round = 0; round < FINE_ROUNDS; round++) {
        step_km /= SHRINK;
        if (!refine_round(w, step_km, depth_step, trial))
            return false;
        depth_step *= 0.5;
    }
    return true;
}

/* --- judgement ----------------------------------------------------------------------------------------------- */

/* The pick of each site that matches best; indices into picks, earliest first. */
static size_t match(const struct toc_nucleate *w, double t0, uint8_t *ret_indices)
{
    size_t n = 0;

    for (size_t i = 0; i < w->n_picks; i++) {
        double r = fabs(w->reduced_s[i] - t0);
        size_t k;

        if (r > tolerance_s(w, i))
            continue;
        for (k = 0; k < n && w->local[ret_indices[k]].bit != w->local[i].bit; k++)
            ;
        if (k < n && fabs(w->reduced_s[ret_indices[k]] - t0) <= r)
            continue;
        if (k < n)
            memmove(&ret_indices[k], &ret_indices[k + 1], --n - k);
        for (k = n++; k > 0 && w->picks[ret_indices[k - 1]].time_s > w->picks[i].time_s; k--)
            ret_indices[k] = ret_indices[k - 1];
        ret_indices[k] = (uint8_t)i;
    }
    return n;
}

static double refit_t0(const struct toc_nucleate *w, const uint8_t *indices, size_t n)
{
    double sum = 0.0;

    for (size_t k = 0; k < n; k++)
        sum += w->reduced_s[indices[k]];
    return sum / (double)n;
}

/* Sites nearer than the farthest match whose P is due, those that match included. The deaf ones are counted too, and
 * apart: chance has as many draws as there are sites, but only the others can be blamed for their silence. */
static size_t count_expected(const struct toc_nucleate *w, const struct toc_geo_point *place,
                             const struct trial *trial, const uint8_t *indices, size_t n, size_t *ret_deaf)
{
    double farthest = 0.0;
    size_t expected = n, deaf = 0;

    for (size_t k = 0; k < n; k++)
        farthest = fmax(farthest, w->distance_km[indices[k]]);
    for (size_t i = 0; i < w->n_sites; i++) {
        double d = toc_geo_point_distance_km(place, &w->sites[i].place);
        bool matched = false;
        enum silence silence;

        if (d >= farthest)
            continue;
        for (size_t k = 0; k < n && !matched; k++)
            matched = w->picks[indices[k]].site == w->sites[i].site;
        silence = matched ? NOT_DUE : silence_of(w, &w->sites[i], d, trial, 0.0);
        expected += silence != NOT_DUE;
        deaf += silence == DEAF;
    }
    *ret_deaf = deaf;
    return expected;
}

/* log10 of the binomial coefficient. */
static double log10_choose(size_t n, size_t k)
{
    return (lgamma((double)n + 1.0) - lgamma((double)k + 1.0) - lgamma((double)(n - k) + 1.0)) / M_LN10;
}

static double log10_chance(const struct toc_nucleate *w, double t0, const uint8_t *indices, size_t n, size_t expected)
{
    double widest = 0.0, sum = log10_choose(expected, n);

    for (size_t k = 0; k < n; k++)
        widest = fmax(widest, fabs(w->reduced_s[indices[k]] - t0));
    /* Four parameters were fitted: with few picks the residuals say nothing. */
    widest = n > 4 ? widest * (double)n / (double)(n - 4) : INFINITY;
    for (size_t k = 0; k < n; k++) {
        double width = fmin(tolerance_s(w, indices[k]), fmax(WIDTH_MIN_S, widest));

        sum += log10(-expm1(-2.0 * width * w->picks[indices[k]].rate_hz));
    }
    return sum;
}

static double rms_s(const struct toc_nucleate *w, double t0, const uint8_t *indices, size_t n)
{
    double sum = 0.0;

    for (size_t k = 0; k < n; k++)
        sum += (w->reduced_s[indices[k]] - t0) * (w->reduced_s[indices[k]] - t0);
    return sqrt(sum / (double)n);
}

static double aperture_km(const struct toc_nucleate *w, const uint8_t *indices, size_t n)
{
    double widest = 0.0;

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            widest = fmax(widest, toc_geo_point_distance_km(&w->local[indices[i]].place,
                                                            &w->local[indices[j]].place));
    return widest;
}

/* Sites that a plane front of this slowness explains, through the matched pick that gathers the most. */
static int front_sites(const struct toc_nucleate *w, const uint8_t *indices, size_t n, double north_s_km,
                       double east_s_km)
{
    double flat[PICKS_MAX];
    int best = 0;

    for (size_t i = 0; i < w->n_picks; i++)
        flat[i] = w->picks[i].time_s - w->local[i].north_km * north_s_km - w->local[i].east_km * east_s_km;
    for (size_t k = 0; k < n && k < FRONT_ANCHORS; k++) {
        uint64_t bits = 0;

        for (size_t i = 0; i < w->n_picks; i++)
            if (fabs(flat[i] - flat[indices[k]]) <= FRONT_S)
                bits |= w->local[i].bit;
        best = sites_in(bits) > best ? sites_in(bits) : best;
    }
    return best;
}

/* Matches no farther from the point's times than a front is allowed from its own. */
static int point_sites(const struct toc_nucleate *w, double t0, const uint8_t *indices, size_t n)
{
    int sites = 0;

    for (size_t k = 0; k < n; k++)
        sites += fabs(w->reduced_s[indices[k]] - t0) <= FRONT_S;
    return sites;
}

static double mean_foreign(const struct toc_nucleate *w, const uint8_t *indices, size_t n)
{
    double sum = 0.0;

    for (size_t k = 0; k < n; k++)
        sum += w->picks[indices[k]].foreign;
    return sum / (double)n;
}

/* A front from far away, or a glitch that hits all at once, is faster along the surface than any quake of ours. While a
 * front explains the sites as well as the point does, nobody can tell them apart: the next pick will. */
static bool is_front(const struct toc_nucleate *w, double t0, const uint8_t *indices, size_t n)
{
    const double step = 1.0 / FRONT_KMS / FRONT_HALF;
    int point = point_sites(w, t0, indices, n);

    if (aperture_km(w, indices, n) < FRONT_APERTURE_KM && mean_foreign(w, indices, n) < FRONT_FOREIGN)
        return false;
    for (int y = -FRONT_HALF; y <= FRONT_HALF; y++)
        for (int x = -FRONT_HALF; x <= FRONT_HALF; x++)
            if (x * x + y * y <= FRONT_HALF * FRONT_HALF && front_sites(w, indices, n, y * step, x * step) >= point)
                return true;
    return false;
}

static bool judge(struct toc_nucleate *w, struct trial *trial, struct toc_nucleus *ret)
{
    const struct toc_nucleate_settings *s = w->settings;
    struct toc_geo_point place = place_of(w, trial->north_km, trial->east_km);
    uint8_t indices[PICKS_MAX];
    size_t n, deaf;

    measure_distances(w, &place);
    gather(w, trial->depth_km, 0.0);
    n = match(w, trial->t0, indices);
    if (n < (size_t)s->min_sites)
        return false;
    trial->t0 = refit_t0(w, indices, n);
    n = match(w, trial->t0, indices);
    if (n < (size_t)s->min_sites)
        return false;
    ret->n = n;
    ret->expected = count_expected(w, &place, trial, indices, n, &deaf);
    ret->log10_chance = log10_chance(w, trial->t0, indices, n, ret->expected);
    ret->expected -= deaf;
    if ((double)n < s->min_expected * (double)ret->expected ||
        ret->log10_chance > -2.0 * fmin(CHANCE_SITES, s->min_sites) || is_front(w, trial->t0, indices, n))
        return false;
    toc_geo_offset(w->lat, w->lon, trial->north_km, trial->east_km, &ret->latitude_deg, &ret->longitude_deg);
    ret->depth_km = trial->depth_km;
    ret->time_s = trial->t0;
    ret->rms_s = rms_s(w, trial->t0, indices, n);
    for (size_t k = 0; k < n; k++)
        ret->tags[k] = w->picks[indices[k]].tag;
    return true;
}

bool toc_nucleate_search(struct toc_nucleate *workspace, const struct toc_nucleate_settings *settings,
                         const struct toc_nucleate_pick *picks, size_t n_picks, const struct toc_nucleate_site *sites,
                         size_t n_sites, struct toc_nucleus *ret_nucleus)
{
    struct toc_nucleate *w = workspace;
    struct toc_nucleus nucleus;
    double step, best = INFINITY;

    if (n_picks < 1 || n_picks > PICKS_MAX)
        return false;
    w->settings = settings;
    w->picks = picks;
    w->n_picks = n_picks;
    w->sites = sites;
    w->n_sites = n_sites;
    w->lat = picks[0].latitude_deg;
    w->lon = picks[0].longitude_deg;
    place_picks(w);
    if (sites_in(all_bits(w)) < settings->min_sites)
        return false;
    choose_quiet(w);
    step = search_coarse(w);
    for (size_t k = 0; k < w->n_seeds; k++) {
        struct trial trial = w->seeds[k];

        if (!refine(w, step, &trial) || trial.cost >= best || !judge(w, &trial, &nucleus))
            continue;
        best = trial.cost;
        *ret_nucleus = nucleus;
    }
    return isfinite(best);
}
