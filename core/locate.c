/*
 * A grid search that stays honest while it narrows. Each level lays the
 * same few hundred nodes over a smaller box; how much smaller is read off
 * the spread of the level itself, so a well surrounded quake is found in
 * four levels and a far one keeps its long valley. Misfit at each node is
 * exact for the travel-time table: nothing is linearised.
 */
#include "core/locate.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/geo.h"

#define SIGMA_MIN_S 0.02
#define MODEL_S 0.15
#define MODEL_SHARE 0.02
#define HUBER 1.5
#define REDESCEND 6.0
#define QUIET_MAX 16
#define QUIET_GRACE_S 1.0
#define QUIET_COST_MAX 2.0
#define PRIOR_KM 10.0
#define PRIOR_WIDTH_KM 12.0
#define PRIOR_COST_MAX 4.0
#define INDEPENDENT 4.0
#define SIZE_EXPONENT 1.7
#define SIZE_FLOOR_KM 5.0
#define USED_SIGMAS 3.0
#define USED_MIN_S 0.5
#define EXPECTED_REACH 1.2

#define SIDE 7           /* nodes along latitude and longitude */
#define HALF_SIDE 3
#define DEPTHS_MAX 12
#define DEPTHS_FINE 7
#define LEVELS_MAX 12
#define WIDENINGS_MAX 1 /* a coarse level that calls back what a fine one left would do so for ever */
#define FIRST_HALF_KM 60.0
#define STEP_MIN_KM 0.4
#define HOLDS_SIGMAS 3.8
#define MEAN_TOLERANCE 0.5
#define TYPICAL_KMS 6.0  /* P in the crust: turns a step into a time */
#define NODES_MAX (SIDE * SIDE * DEPTHS_MAX)

/* A pick as the search sees it. */
struct datum {
    struct toc_geo_point place;
    enum toc_phase phase;
    double time_s;      /* minus the reference, elevation taken off */
    double variance_s2; /* of the pick */
    uint16_t index;     /* in event->picks */
};

/* A usable site without a P. */
struct quiet {
    struct toc_geo_point place;
    double until_s; /* picked_until - grace - elevation, minus the reference */
};

struct node {
    double lat, lon, depth, weight_volume;
    double t0, misfit;
};

struct box {
    double lat, lon, half_km, step_km;
    double depths[DEPTHS_MAX];
    int n_depths;
    double depth_step_km;
};

struct toc_locator {
    const struct toc_travel *travel;
    toc_ns reference;
    size_t n_data, n_quiet;
    struct datum data[TOC_EVENT_PICKS_MAX];
    struct quiet quiet[QUIET_MAX];
    double distance_km[TOC_EVENT_PICKS_MAX], quiet_km[QUIET_MAX]; /* from the epicentre at hand */
    double reduced_s[TOC_EVENT_PICKS_MAX]; /* observed minus travel time, at the node at hand */
    double weight[TOC_EVENT_PICKS_MAX];    /* 1 / s^2 there */
    double azimuth_deg[TOC_EVENT_PICKS_MAX];
    uint16_t order[TOC_EVENT_PICKS_MAX];   /* data by reduced_s; from node to node it hardly changes */
    size_t n_nodes;
    struct node nodes[NODES_MAX];
};

int toc_locator_create(const struct toc_travel *travel, struct toc_locator **ret)
{
    struct toc_locator *l;

    if (!travel)
        return -EINVAL;
    l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->travel = travel;
    *ret = l;
    return 0;
}

void toc_locator_destroy(struct toc_locator *locator)
{
    free(locator);
}

/* --- what is known ------------------------------------------------------------------------------------------- */

static bool site_placed(const struct toc_site *site)
{
    return isfinite(site->latitude_deg) && isfinite(site->longitude_deg) && fabs(site->latitude_deg) <= 90.0;
}

static double elevation_s(const struct toc_locator *l, const struct toc_site *site, enum toc_phase phase)
{
    return isfinite(site->elevation_km) ? site->elevation_km / toc_travel_surface_kms(l->travel, phase) : 0.0;
}

static bool pick_valid(const struct toc_event_pick *ep, const struct toc_site *sites, size_t n_sites)
{
    const struct toc_pick *pick = &ep->pick;

    return !ep->left_out && pick->site < n_sites && pick->time != TOC_NS_NONE && pick->sigma_s < TOC_LOCATE_SIGMA_MAX_S &&
           site_placed(&sites[pick->site]);
}

/* Whether an earlier entry already speaks for this site and phase (the event keeps its best one first). */
static bool has_twin(const struct toc_event *event, uint16_t index, const struct toc_site *sites, size_t n_sites)
{
    const struct toc_pick *pick = &event->picks[index].pick;

    for (uint16_t i = 0; i < index; i++) {
        const struct toc_pick *other = &event->picks[i].pick;

        if (other->site == pick->site && other->phase == pick->phase && pick_valid(&event->picks[i], sites, n_sites))
            return true;
    }
    return false;
}

static void take_picks(struct toc_locator *l, const struct toc_event *event, const struct toc_site *sites,
                       size_t n_sites)
{
    l->n_data = 0;
    l->reference = TOC_NS_NONE;
    for (uint16_t i = 0; i < event->n_picks && i < TOC_EVENT_PICKS_MAX; i++) {
        const struct toc_pick *pick = &event->picks[i].pick;
        double sigma = fmax(SIGMA_MIN_S, isfinite(pick->sigma_s) ? (double)pick->sigma_s : 0.0);
        const struct toc_site *site;

        if (!pick_valid(&event->picks[i], sites, n_sites) || has_twin(event, i, sites, n_sites))
            continue;
        if (l->reference == TOC_NS_NONE)
            l->reference = pick->time;
        site = &sites[pick->site];
        l->data[l->n_data++] = (struct datum){
            .place = toc_geo_point(site->latitude_deg, site->longitude_deg),
            .phase = pick->phase,
            .time_s = toc_s_from_ns(pick->time - l->reference) - elevation_s(l, site, pick->phase),
            .variance_s2 = sigma * sigma,
            .index = i,
        };
        l->order[l->n_data - 1] = (uint16_t)(l->n_data - 1);
    }
}

static bool site_has_p(const struct toc_event *event, size_t site)
{
    for (uint16_t i = 0; i < event->n_picks; i++)
        if (event->picks[i].pick.site == site && event->picks[i].pick.phase == TOC_PHASE_P)
            return true;
    return false;
}

/* Keep the nearest QUIET_MAX by insertion: the list is short. */
static void quiet_insert(struct toc_locator *l, const struct quiet *quiet, double distance_km)
{
    size_t i = l->n_quiet;

    if (i == QUIET_MAX && distance_km >= l->quiet_km[QUIET_MAX - 1])
        return;
    if (i < QUIET_MAX)
        l->n_quiet++;
    else
        i = QUIET_MAX - 1;
    for (; i > 0 && l->quiet_km[i - 1] > distance_km; i--) {
        l->quiet[i] = l->quiet[i - 1];
        l->quiet_km[i] = l->quiet_km[i - 1];
    }
    l->quiet[i] = *quiet;
    l->quiet_km[i] = distance_km;
}

static void take_quiet(struct toc_locator *l, const struct toc_event *event, const struct toc_site *sites,
                       size_t n_sites, double lat, double lon)
{
    struct toc_geo_point centre = toc_geo_point(lat, lon);

    l->n_quiet = 0;
    for (size_t i = 0; i < n_sites; i++) {
        struct quiet quiet;

        if (!sites[i].usable || sites[i].picked_until == TOC_NS_NONE || !site_placed(&sites[i]) ||
            site_has_p(event, i))
            continue;
        quiet.place = toc_geo_point(sites[i].latitude_deg, sites[i].longitude_deg);
        quiet.until_s = toc_s_from_ns(sites[i].picked_until - l->reference) - QUIET_GRACE_S -
                        elevation_s(l, &sites[i], TOC_PHASE_P);
        quiet_insert(l, &quiet, toc_geo_point_distance_km(&centre, &quiet.place));
    }
}

/* --- one node ------------------------------------------------------------------------------------------------ */

/* Insertion, because the order of the last node is nearly that of this one. */
static double median_reduced(struct toc_locator *l)
{
    size_t n = l->n_data;

    for (size_t i = 1; i < n; i++) {
        uint16_t datum = l->order[i];
        size_t j = i;

        for (; j > 0 && l->reduced_s[l->order[j - 1]] > l->reduced_s[datum]; j--)
            l->order[j] = l->order[j - 1];
        l->order[j] = datum;
    }
    return 0.5 * (l->reduced_s[l->order[n / 2]] + l->reduced_s[l->order[(n - 1) / 2]]);
}

/* Travel times and spreads of all picks at a node; distances are those of the epicentre at hand. */
static void reduce(struct toc_locator *l, double depth_km, double step_s)
{
    for (size_t i = 0; i < l->n_data; i++) {
        double tt = toc_travel_s(l->travel, l->data[i].phase, l->distance_km[i], depth_km);
        double model = MODEL_S + MODEL_SHARE * tt;

        l->reduced_s[i] = l->data[i].time_s - tt;
        l->weight[i] = 1.0 / (l->data[i].variance_s2 + model * model + step_s * step_s);
    }
}

/* The origin time that fits best: from the median, two reweighted means. */
static double best_time_s(struct toc_locator *l)
{
    double t0 = median_reduced(l);

    for (int round = 0; round < 2; round++) {
        double sum = 0.0, total = 0.0;

        for (size_t i = 0; i < l->n_data; i++) {
            double r = l->reduced_s[i] - t0, weight = l->weight[i], x2 = r * r * weight;

            if (x2 > REDESCEND * REDESCEND)
                continue;
            if (x2 > HUBER * HUBER)
                weight *= HUBER / sqrt(x2);
            sum += weight * r;
            total += weight;
        }
        if (total <= 0.0)
            break;
        t0 += sum / total;
    }
    return t0;
}

static double rho(double x2)
{
    if (x2 <= HUBER * HUBER)
        return 0.5 * x2;
    return HUBER * fmin(sqrt(x2), REDESCEND) - 0.5 * HUBER * HUBER;
}

static double quiet_cost(const struct toc_locator *l, double depth_km, double t0)
{
    double cost = 0.0;

    for (size_t i = 0; i < l->n_quiet; i++) {
        double tt = toc_travel_s(l->travel, TOC_PHASE_P, l->quiet_km[i], depth_km);
        double late = l->quiet[i].until_s - t0 - tt, s = MODEL_S + MODEL_SHARE * tt + 1.0;

        if (late > 0.0)
            cost += fmin(QUIET_COST_MAX, 0.5 * late * late / (s * s));
    }
    return cost;
}

static double prior_cost(double depth_km)
{
    double x = (depth_km - PRIOR_KM) / PRIOR_WIDTH_KM;

    return fmin(PRIOR_COST_MAX, 0.5 * x * x);
}

/* Small quakes are many and are seen near: mean over the picks of ln R, by the table's surface distance. */
static double size_cost(const struct toc_locator *l, double depth_km)
{
    double product = 1.0, sum = 0.0;

    for (size_t i = 0; i < l->n_data; i++) {
        double r2 = l->distance_km[i] * l->distance_km[i] + depth_km * depth_km;

        product *= fmax(r2, SIZE_FLOOR_KM * SIZE_FLOOR_KM);
        if (i % 16 == 15 || i + 1 == l->n_data) { /* one logarithm for sixteen */
            sum += log(product);
            product = 1.0;
        }
    }
    return SIZE_EXPONENT * 0.5 * sum / (double)l->n_data;
}

static void evaluate(struct toc_locator *l, struct node *node, double step_s)
{
    double misfit = prior_cost(node->depth) + size_cost(l, node->depth), product = 1.0, spread = 0.0;

    reduce(l, node->depth, step_s);
    node->t0 = best_time_s(l);
    for (size_t i = 0; i < l->n_data; i++) {
        double r = l->reduced_s[i] - node->t0;

        misfit += rho(r * r * l->weight[i]);
        product *= l->weight[i];
        if (i % 16 == 15 || i + 1 == l->n_data) {
            spread -= 0.5 * log(product);
            product = 1.0;
        }
    }
    misfit += spread * fmin(1.0, INDEPENDENT / (double)l->n_data);
    node->misfit = misfit + quiet_cost(l, node->depth, node->t0);
}

/* --- one level ----------------------------------------------------------------------------------------------- */

static void distances(struct toc_locator *l, double lat, double lon)
{
    struct toc_geo_point p = toc_geo_point(lat, lon);

    for (size_t i = 0; i < l->n_data; i++)
        l->distance_km[i] = toc_geo_point_distance_km(&p, &l->data[i].place);
    for (size_t i = 0; i < l->n_quiet; i++)
        l->quiet_km[i] = toc_geo_point_distance_km(&p, &l->quiet[i].place);
}

/* The depth a node stands for: half way to its neighbours. */
static double depth_cell_km(const struct box *box, int i)
{
    double upper = i > 0 ? box->depths[i - 1] : box->depths[i];
    double lower = i + 1 < box->n_depths ? box->depths[i + 1] : box->depths[i];

    return fmax(0.1, 0.5 * (lower - upper));
}

static void search(struct toc_locator *l, const struct box *box)
{
    double step_s = 0.4 * box->step_km / TYPICAL_KMS;

    l->n_nodes = 0;
    for (int iy = -HALF_SIDE; iy <= HALF_SIDE; iy++)
        for (int ix = -HALF_SIDE; ix <= HALF_SIDE; ix++) {
            double lat, lon;

            toc_geo_offset(box->lat, box->lon, iy * box->step_km, ix * box->step_km, &lat, &lon);
            distances(l, lat, lon);
            for (int iz = 0; iz < box->n_depths; iz++) {
                struct node *node = &l->nodes[l->n_nodes++];

                *node = (struct node){.lat = lat, .lon = lon, .depth = box->depths[iz],
                                      .weight_volume = depth_cell_km(box, iz)};
                evaluate(l, node, step_s);
            }
        }
}

/* What a level knows: its best node, its mean, and the second moments about the mean. North and east are from the
 * centre of the box; the horizontal sigma is the root of half the summed variances. */
struct spread {
    struct node best;
    double best_north_km, best_east_km;
    double north_km, east_km, depth, t0;
    double horizontal_km, depth_km, t0_s;
};

static void weigh(struct toc_locator *l)
{
    double least = INFINITY, total = 0.0;

    for (size_t i = 0; i < l->n_nodes; i++)
        least = fmin(least, l->nodes[i].misfit);
    for (size_t i = 0; i < l->n_nodes; i++) {
        l->nodes[i].weight_volume *= exp(least - l->nodes[i].misfit);
        total += l->nodes[i].weight_volume;
    }
    for (size_t i = 0; i < l->n_nodes; i++)
        l->nodes[i].weight_volume /= total;
}

static struct spread measure(struct toc_locator *l, const struct box *box)
{
    struct spread s = {.best = l->nodes[0]};
    double n2 = 0.0, e2 = 0.0, d2 = 0.0, t2 = 0.0;

    weigh(l);
    for (size_t i = 0; i < l->n_nodes; i++) {
        const struct node *node = &l->nodes[i];
        size_t cell = i / (size_t)box->n_depths;
        double w = node->weight_volume;
        double north = ((double)(cell / SIDE) - HALF_SIDE) * box->step_km;
        double east = ((double)(cell % SIDE) - HALF_SIDE) * box->step_km;

        if (node->misfit <= s.best.misfit) {
            s.best = *node;
            s.best_north_km = north;
            s.best_east_km = east;
        }
        s.north_km += w * north;
        s.east_km += w * east;
        s.depth += w * node->depth;
        s.t0 += w * node->t0;
        n2 += w * north * north;
        e2 += w * east * east;
        d2 += w * node->depth * node->depth;
        t2 += w * node->t0 * node->t0;
    }
    n2 = fmax(0.0, n2 - s.north_km * s.north_km);
    e2 = fmax(0.0, e2 - s.east_km * s.east_km);
    s.horizontal_km = sqrt(0.5 * (n2 + e2));
    s.depth_km = sqrt(fmax(0.0, d2 - s.depth * s.depth));
    s.t0_s = sqrt(fmax(0.0, t2 - s.t0 * s.t0));
    return s;
}

static void first_box(const struct toc_locator *l, double lat, double lon, double half_km, struct box *ret)
{
    static const double depths[DEPTHS_MAX] = {0.5, 3, 6, 10, 15, 21, 28, 40, 70, 130, 260, 500};
    double deepest = toc_travel_max_depth_km(l->travel);

    *ret = (struct box){.lat = lat, .lon = lon, .half_km = half_km, .step_km = half_km / HALF_SIDE};
    for (int i = 0; i < DEPTHS_MAX && (i == 0 || depths[i] <= deepest); i++)
        ret->depths[ret->n_depths++] = depths[i];
    ret->depth_step_km = 10.0;
}

/* Around the best node, as wide as the spread asks, at most 2.5 times finer. Not around the mean: that of a curved
 * valley lies on its slope. */
static void next_box(const struct toc_locator *l, const struct box *box, const struct spread *s, struct box *ret)
{
    double half = fmax(box->half_km / 2.5, fmin(box->half_km / 1.6, 2.5 * s->horizontal_km));
    double deepest = toc_travel_max_depth_km(l->travel);
    double reach = fmax(fmin(2.5 * s->depth_km, 0.5 * deepest), fmax(half, 2.0));
    double top = fmax(0.0, s->best.depth - reach), bottom = fmin(deepest, s->best.depth + reach);

    ret->lat = s->best.lat;
    ret->lon = s->best.lon;
    ret->half_km = half;
    ret->step_km = half / HALF_SIDE;
    ret->n_depths = DEPTHS_FINE;
    ret->depth_step_km = (bottom - top) / (DEPTHS_FINE - 1);
    for (int i = 0; i < DEPTHS_FINE; i++)
        ret->depths[i] = top + i * ret->depth_step_km;
}

/* The box goes on narrowing to pin the best place down; how well it is known is told by the last level that held it
 * all. */
static void keep_sigmas(const struct box *box, const struct spread *known, struct spread *s)
{
    if (box->half_km >= HOLDS_SIGMAS * s->horizontal_km) /* one that is cut off shows 1.7 to 3 */
        return;
    s->horizontal_km = fmax(s->horizontal_km, known->horizontal_km);
    s->depth_km = fmax(s->depth_km, known->depth_km);
    s->t0_s = fmax(s->t0_s, known->t0_s);
}

static bool fine_enough(const struct box *box, const struct spread *s)
{
    return box->step_km <= fmax(STEP_MIN_KM, 0.3 * s->horizontal_km) && box->n_depths == DEPTHS_FINE;
}

/* --- the answer ---------------------------------------------------------------------------------------------- */

static double time_sigma_s(const struct toc_locator *l)
{
    double information = 0.0;

    for (size_t i = 0; i < l->n_data; i++)
        information += l->weight[i];
    return information > 0.0 ? sqrt(1.0 / information) : 0.0;
}

static void write_origin(struct toc_locator *l, const struct box *box, const struct spread *s,
                         struct toc_origin *origin)
{
    struct node node = {.depth = s->depth};
    double step_s = 0.4 * box->step_km / TYPICAL_KMS;

    /* The mean is the better guess as long as it lies in the valley. */
    toc_geo_offset(box->lat, box->lon, s->north_km, s->east_km, &node.lat, &node.lon);
    distances(l, node.lat, node.lon);
    evaluate(l, &node, step_s);
    if (node.misfit > s->best.misfit + MEAN_TOLERANCE)
        node = s->best;
    distances(l, node.lat, node.lon);
    evaluate(l, &node, 0.0);
    origin->time = l->reference + toc_ns_from_s(node.t0);
    origin->time_sigma_s = hypot(s->t0_s, time_sigma_s(l));
    origin->latitude_deg = node.lat;
    origin->longitude_deg = node.lon;
    origin->horizontal_sigma_km = fmax(s->horizontal_km, box->step_km / 3.0);
    origin->depth_km = node.depth;
    origin->depth_sigma_km = fmax(s->depth_km, box->depth_step_km / 3.0);
}

static void write_residuals(const struct toc_locator *l, struct toc_event *event, const struct toc_site *sites,
                            size_t n_sites)
{
    const struct toc_origin *o = &event->origin;

    for (uint16_t i = 0; i < event->n_picks; i++) {
        struct toc_event_pick *p = &event->picks[i];
        const struct toc_site *site = p->pick.site < n_sites ? &sites[p->pick.site] : NULL;
        double tt;

        p->used = false;
        if (!site || !site_placed(site))
            continue;
        p->distance_km =
            toc_geo_distance_km(o->latitude_deg, o->longitude_deg, site->latitude_deg, site->longitude_deg);
        p->azimuth_deg =
            toc_geo_azimuth_deg(o->latitude_deg, o->longitude_deg, site->latitude_deg, site->longitude_deg);
        tt = toc_travel_s(l->travel, p->pick.phase, p->distance_km, o->depth_km) +
             elevation_s(l, site, p->pick.phase);
        p->residual_s = toc_s_from_ns(p->pick.time - o->time) - tt;
    }
}

static bool site_used_before(const struct toc_event *event, uint16_t index)
{
    for (uint16_t i = 0; i < index; i++)
        if (event->picks[i].used && event->picks[i].pick.site == event->picks[index].pick.site)
            return true;
    return false;
}

/* Decide which picks agree, and sum up those that do. */
static void write_used(const struct toc_locator *l, struct toc_event *event)
{
    struct toc_origin *o = &event->origin;
    double sum = 0.0;

    o->used_picks = o->used_sites = 0;
    for (size_t i = 0; i < l->n_data; i++) {
        struct toc_event_pick *p = &event->picks[l->data[i].index];

        p->used = fabs(p->residual_s) <= fmax(USED_MIN_S, USED_SIGMAS / sqrt(l->weight[i]));
        if (!p->used)
            continue;
        sum += p->residual_s * p->residual_s;
        o->used_picks++;
        if (!site_used_before(event, l->data[i].index))
            o->used_sites++;
    }
    o->rms_s = o->used_picks > 0 ? sqrt(sum / o->used_picks) : 0.0;
}

/* When picks were withdrawn and too few are left, the origin stays where it was, held up by nothing. */
static void write_too_few(const struct toc_locator *l, struct toc_event *event)
{
    bool withdrawn = false;

    for (uint16_t i = 0; i < event->n_picks; i++)
        withdrawn |= event->picks[i].pick.standing == TOC_STANDING_WITHDRAWN;
    if (!withdrawn)
        return;
    for (uint16_t i = 0; i < event->n_picks; i++)
        event->picks[i].used = l->n_data == 1 && i == l->data[0].index;
    event->origin.used_picks = event->origin.used_sites = (uint16_t)l->n_data;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double azimuth_gap_deg(struct toc_locator *l, const struct toc_event *event)
{
    size_t n = 0;
    double gap;

    for (size_t i = 0; i < l->n_data; i++)
        if (event->picks[l->data[i].index].used)
            l->azimuth_deg[n++] = event->picks[l->data[i].index].azimuth_deg;
    if (n < 2)
        return 360.0;
    qsort(l->azimuth_deg, n, sizeof(l->azimuth_deg[0]), ascending);
    gap = 360.0 - (l->azimuth_deg[n - 1] - l->azimuth_deg[0]);
    for (size_t i = 1; i < n; i++)
        gap = fmax(gap, l->azimuth_deg[i] - l->azimuth_deg[i - 1]);
    return gap;
}

static double reach_km(const struct toc_event *event)
{
    double farthest = 0.0;

    for (uint16_t i = 0; i < event->n_picks; i++)
        if (event->picks[i].used)
            farthest = fmax(farthest, event->picks[i].distance_km);
    return EXPECTED_REACH * farthest;
}

static void write_expected(const struct toc_locator *l, struct toc_event *event, const struct toc_site *sites,
                           size_t n_sites)
{
    const struct toc_origin *o = &event->origin;
    struct toc_geo_point epicentre = toc_geo_point(o->latitude_deg, o->longitude_deg);
    double reach = reach_km(event);
    size_t expected = 0, missing = 0;

    for (size_t i = 0; i < n_sites; i++) {
        struct toc_geo_point p;
        double distance, due_s;
        bool picked;

        if (!sites[i].usable || sites[i].picked_until == TOC_NS_NONE || !site_placed(&sites[i]))
            continue;
        p = toc_geo_point(sites[i].latitude_deg, sites[i].longitude_deg);
        distance = toc_geo_point_distance_km(&epicentre, &p);
        due_s = toc_travel_s(l->travel, TOC_PHASE_P, distance, o->depth_km) +
                elevation_s(l, &sites[i], TOC_PHASE_P) + QUIET_GRACE_S;
        if (!(distance <= reach))
            continue;
        picked = site_has_p(event, i);
        if (!picked && toc_s_from_ns(sites[i].picked_until - o->time) < due_s)
            continue;
        expected++;
        missing += picked ? 0 : 1;
    }
    event->expected_sites = (uint16_t)(expected < UINT16_MAX ? expected : UINT16_MAX);
    event->expected_missing = (uint16_t)(missing < UINT16_MAX ? missing : UINT16_MAX);
}

/* Where the search begins: the last origin, or the site of the first pick. */
static double start_at(const struct toc_event *event, const struct toc_site *sites, const struct datum *first,
                       double *ret_lat, double *ret_lon)
{
    const struct toc_origin *o = &event->origin;
    const struct toc_site *site = &sites[event->picks[first->index].pick.site];

    if (o->time != TOC_NS_NONE && isfinite(o->latitude_deg) && isfinite(o->longitude_deg)) {
        *ret_lat = o->latitude_deg;
        *ret_lon = o->longitude_deg;
        /* A solution with many picks moves little; one with few may jump. */
        return o->used_picks >= 8 && o->horizontal_sigma_km > 0.0
                   ? fmin(FIRST_HALF_KM, fmax(20.0, 5.0 * o->horizontal_sigma_km))
                   : FIRST_HALF_KM;
    }
    *ret_lat = site->latitude_deg;
    *ret_lon = site->longitude_deg;
    return 2.0 * FIRST_HALF_KM;
}

static bool at_edge(const struct box *box, const struct spread *s)
{
    double inside = box->half_km - 0.5 * box->step_km;

    return fabs(s->best_north_km) > inside || fabs(s->best_east_km) > inside;
}

void toc_locate_update(struct toc_locator *locator, struct toc_event *event, const struct toc_site *sites,
                       size_t n_sites, toc_ns now)
{
    struct toc_locator *l = locator;
    struct spread spread = {0}, known;
    struct box box, next;
    double lat, lon, half;
    int widened = 0;

    (void)now;
    take_picks(l, event, sites, n_sites);
    if (l->n_data < 2) {
        write_too_few(l, event);
        return;
    }
    half = start_at(event, sites, &l->data[0], &lat, &lon);
    take_quiet(l, event, sites, n_sites, lat, lon);
    first_box(l, lat, lon, half, &box);
    for (int level = 0;; level++) {
        search(l, &box);
        known = spread;
        spread = measure(l, &box);
        if (level > 0)
            keep_sigmas(&box, &known, &spread);
        if (level >= LEVELS_MAX - 1 || fine_enough(&box, &spread))
            break;
        if (at_edge(&box, &spread)) { /* the truth lies outside: move, and at first widen; do not narrow */
            next = box;
            next.lat = spread.best.lat;
            next.lon = spread.best.lon;
            if (widened++ < WIDENINGS_MAX)
                first_box(l, next.lat, next.lon, fmin(2.0 * box.half_km, FIRST_HALF_KM), &next);
            box = next;
            continue;
        }
        next_box(l, &box, &spread, &next);
        box = next;
    }
    write_origin(l, &box, &spread, &event->origin);
    write_residuals(l, event, sites, n_sites);
    write_used(l, event);
    event->origin.azimuth_gap_deg = azimuth_gap_deg(l, event);
    write_expected(l, event, sites, n_sites);
}
