/*
 * Bookkeeping around two questions: does this pick fit an event we have
 * (answered here, by its predicted arrivals), and do the ones that fit none
 * make a new one (answered by core/nucleate.h). Events sit in an array in
 * order of opening; with sixteen of them a linear look is the fastest.
 */
#include "core/associator.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/geo.h"
#include "core/nucleate.h"

#define FUTURE_S 10.0
#define TRAVEL_SHARE 0.03
#define SPREAD_KMS 6.0
#define SPREAD_MAX_S 0.8
#define GUARD_S 2.5
#define GUARD_SHARE 0.05
#define CODA_S 20.0
#define CODA_MIN_S 10.0
#define CODA_MAX_S 120.0
#define CODA_LEAD_S 1.0
#define LOUD_DB 26.0                  /* over the 8 s before: more than S is over P, or coda over itself */
#define LOUD_AFTER_S 2.0              /* ... once those seconds hold some of the P */
#define NOISE_RATE_HZ (10.0 / 3600.0) /* false picks per site a quiet network is trusted to stay below */
#define CODA_RATE_HZ (1.0 / 20.0)
#define LOCAL_SURE 0.8f
#define TWIN_S 1.5                    /* two groups of one site within this pick the same onset */
#define FRESH_SIGMA_KM 10.0           /* of an origin nobody has located yet */
#define SITES_LIMIT 65536

/* Arrivals to guard against: of an open event, or of one that was closed. */
struct ghost {
    struct toc_origin origin;
    double magnitude;
    toc_ns until;
};

struct toc_associator {
    const struct toc_travel *travel; /* borrowed */
    struct toc_nucleate *nucleate;   /* owned */
    struct toc_associator_settings settings;
    size_t max_sites;
    uint64_t next_id;
    size_t n_events, n_held, next_ghost, n_lost;
    struct toc_event events[TOC_ASSOCIATOR_EVENTS];
    struct toc_pick held[TOC_ASSOCIATOR_HELD]; /* in order of coming */
    struct ghost ghosts[TOC_ASSOCIATOR_EVENTS];
    struct toc_nucleate_pick candidates[TOC_NUCLEATE_PICKS_MAX];
    double candidate_km[TOC_NUCLEATE_PICKS_MAX];
    struct toc_nucleate_site *reach; /* owned, max_sites */
    uint32_t lost[TOC_ASSOCIATOR_HELD]; /* groups of P picks that left without an event */
};

int toc_associator_create(const struct toc_travel *travel, size_t max_sites, struct toc_associator **ret)
{
    static const struct toc_settings defaults = TOC_SETTINGS_DEFAULT;
    struct toc_associator *a;

    if (!travel || max_sites < 1 || max_sites > SITES_LIMIT)
        return -EINVAL;
    a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->travel = travel;
    a->max_sites = max_sites;
    a->settings = defaults.associator;
    a->next_id = 1;
    for (size_t i = 0; i < TOC_ASSOCIATOR_EVENTS; i++)
        a->ghosts[i].until = TOC_NS_NONE;
    a->reach = calloc(max_sites, sizeof(a->reach[0]));
    if (!a->reach || toc_nucleate_create(travel, &a->nucleate) < 0) {
        toc_associator_destroy(a);
        return -ENOMEM;
    }
    *ret = a;
    return 0;
}

void toc_associator_destroy(struct toc_associator *associator)
{
    if (!associator)
        return;
    toc_nucleate_destroy(associator->nucleate);
    free(associator->reach);
    free(associator);
}

void toc_associator_configure(struct toc_associator *associator, const struct toc_associator_settings *settings)
{
    associator->settings = *settings;
}

size_t toc_associator_count(const struct toc_associator *associator)
{
    return associator->n_events;
}

struct toc_event *toc_associator_event(struct toc_associator *associator, size_t index)
{
    return index < associator->n_events ? &associator->events[index] : NULL;
}

/* --- predicted arrivals -------------------------------------------------------------------------------------- */

static bool site_placed(const struct toc_site *site)
{
    return isfinite(site->latitude_deg) && isfinite(site->longitude_deg) && fabs(site->latitude_deg) <= 90.0;
}

static double elevation_s(const struct toc_associator *a, const struct toc_site *site, enum toc_phase phase)
{
    return isfinite(site->elevation_km) ? site->elevation_km / toc_travel_surface_kms(a->travel, phase) : 0.0;
}

static double origin_distance_km(const struct toc_origin *o, const struct toc_site *site)
{
    return toc_geo_distance_km(o->latitude_deg, o->longitude_deg, site->latitude_deg, site->longitude_deg);
}

static double travel_s(const struct toc_associator *a, const struct toc_origin *o, const struct toc_site *site,
                       enum toc_phase phase)
{
    return toc_travel_s(a->travel, phase, origin_distance_km(o, site), o->depth_km) + elevation_s(a, site, phase);
}

static double spread_s(const struct toc_origin *o)
{
    return fmin(SPREAD_MAX_S, fmax(0.0, o->horizontal_sigma_km) / SPREAD_KMS);
}

static double pick_sigma_s(const struct toc_pick *pick)
{
    return isfinite(pick->sigma_s) ? fmin(5.0, fmax(0.02, (double)pick->sigma_s)) : 1.0;
}

static double join_tolerance_s(const struct toc_associator *a, const struct toc_origin *o, const struct toc_pick *pick,
                               double travel)
{
    double sigma = pick_sigma_s(pick), model = TRAVEL_SHARE * travel, spread = spread_s(o);

    return a->settings.residual_s + 2.0 * sqrt(sigma * sigma + model * model + spread * spread);
}

/* Residual over tolerance: at most 1 fits. */
static double fit_of(const struct toc_associator *a, const struct toc_event *event, const struct toc_pick *pick,
                     const struct toc_site *site, enum toc_phase phase)
{
    double travel = travel_s(a, &event->origin, site, phase);
    double residual = toc_s_from_ns(pick->time - event->origin.time) - travel;

    return fabs(residual) / join_tolerance_s(a, &event->origin, pick, travel);
}

static bool within_reach(const struct toc_associator *a, const struct toc_event *event, const struct toc_site *sites,
                         const struct toc_site *site)
{
    const struct toc_site *first = &sites[event->picks[0].pick.site];

    return toc_geo_distance_km(first->latitude_deg, first->longitude_deg, site->latitude_deg, site->longitude_deg) <=
           a->settings.max_distance_km;
}

/* --- joining ------------------------------------------------------------------------------------------------- */

static struct toc_event_pick *find_pick(struct toc_event *event, uint64_t id)
{
    for (uint16_t i = 0; i < event->n_picks; i++)
        if (event->picks[i].pick.id == id)
            return &event->picks[i];
    return NULL;
}

/* The pick the event already has of this group (or, with any_group, site) and phase. */
static struct toc_event_pick *find_rival(struct toc_event *event, const struct toc_pick *pick, enum toc_phase phase,
                                         bool any_group)
{
    for (uint16_t i = 0; i < event->n_picks; i++) {
        struct toc_pick *p = &event->picks[i].pick;

        if (p->phase == phase && p->site == pick->site && (any_group || p->group == pick->group))
            return &event->picks[i];
    }
    return NULL;
}

/* Too likely not of a local quake to be used, as long as that is said of it. */
static bool is_foreign(const struct toc_associator *a, const struct toc_pick *pick)
{
    return pick->phase == TOC_PHASE_P && (double)pick->domain.foreign >= a->settings.foreign;
}

static void write_pick(const struct toc_associator *a, struct toc_event_pick *slot, const struct toc_pick *pick,
                       enum toc_phase phase, bool used)
{
    bool foreign = is_foreign(a, pick);

    *slot = (struct toc_event_pick){.pick = *pick, .used = used && !foreign, .left_out = foreign};
    slot->pick.phase = phase;
    if (phase != pick->phase || pick->standing == TOC_STANDING_WITHDRAWN)
        slot->pick.sigma_s = TOC_ASSOCIATOR_SUSPECT_SIGMA_S;
}

/* Put a pick that fits into its event. @return false when there is no place for it */
static bool enter(const struct toc_associator *a, struct toc_event *event, const struct toc_pick *pick, enum toc_phase phase, toc_ns now)
{
    struct toc_event_pick *rival = find_rival(event, pick, phase, false);
    struct toc_event_pick *first = find_rival(event, pick, phase, true);
    bool suspect = phase != pick->phase;

    if (suspect && first)
        return false;
    if (rival && (rival->used || suspect))
        return false;
    if (!rival && event->n_picks >= TOC_EVENT_PICKS_MAX)
        return false;
    if (!rival)
        rival = &event->picks[event->n_picks++];
    write_pick(a, rival, pick, phase, !suspect && (!first || first == rival));
    event->changed = now;
    return true;
}

/* Best fitting event for a pick taken as this phase; NULL when none. */
static struct toc_event *best_event(struct toc_associator *a, const struct toc_pick *pick,
                                    const struct toc_site *sites, enum toc_phase phase)
{
    const struct toc_site *site = &sites[pick->site];
    struct toc_event *best = NULL;
    double best_fit = 1.0;

    for (size_t i = 0; i < a->n_events; i++) {
        struct toc_event *event = &a->events[i];
        double fit = fit_of(a, event, pick, site, phase);

        if (fit <= best_fit && within_reach(a, event, sites, site)) {
            best_fit = fit;
            best = event;
        }
    }
    return best;
}

/* Does the pick stand so high above the wave train of this origin that it is no part of it, but the P of another quake? */
static bool is_loud_in(const struct toc_associator *a, const struct toc_origin *o, const struct toc_pick *pick,
                       const struct toc_site *site)
{
    double after = toc_s_from_ns(pick->time - o->time) - travel_s(a, o, site, TOC_PHASE_P);

    return (double)pick->snr_db >= LOUD_DB && after >= LOUD_AFTER_S; /* false for NAN */
}

/* @return JOINED, REJECTED (it fits, but the place is taken) or HELD (it fits nothing) */
static enum toc_assoc join(struct toc_associator *a, const struct toc_pick *pick, const struct toc_site *sites,
                           toc_ns now, struct toc_event **ret_event)
{
    enum toc_phase phase = pick->phase;
    struct toc_event *event = best_event(a, pick, sites, phase);

    if (!event && phase == TOC_PHASE_P) {
        phase = TOC_PHASE_S;
        event = best_event(a, pick, sites, phase);
        if (event && is_loud_in(a, &event->origin, pick, &sites[pick->site]))
            event = NULL;
    }
    if (!event)
        return TOC_ASSOC_HELD;
    if (!enter(a, event, pick, phase, now))
        return TOC_ASSOC_REJECTED;
    *ret_event = event;
    return TOC_ASSOC_JOINED;
}

static void drop_held(struct toc_associator *a, size_t i)
{
    memmove(&a->held[i], &a->held[i + 1], (--a->n_held - i) * sizeof(a->held[0]));
}

/* Held picks that fit an event by now. What fits but has no place there stays, and leaves with age. */
static void sweep(struct toc_associator *a, const struct toc_site *sites, size_t n_sites, toc_ns now)
{
    struct toc_event *event;

    for (size_t i = 0; i < a->n_held;) {
        if (a->held[i].site < n_sites && join(a, &a->held[i], sites, now, &event) == TOC_ASSOC_JOINED)
            drop_held(a, i);
        else
            i++;
    }
}

/* --- what other events do to a pick -------------------------------------------------------------------------- */

static double coda_s(double magnitude)
{
    if (!isfinite(magnitude))
        return CODA_S;
    return fmin(CODA_MAX_S, fmax(CODA_MIN_S, pow(10.0, 0.4 * magnitude - 0.6)));
}

/* From when to when a site is in the coda of a shock, seconds after its origin. */
static void coda_of(const struct toc_associator *a, const struct ghost *ghost, const struct toc_site *site,
                    double *ret_from, double *ret_to)
{
    double p = travel_s(a, &ghost->origin, site, TOC_PHASE_P), s = travel_s(a, &ghost->origin, site, TOC_PHASE_S);

    *ret_from = p - CODA_LEAD_S;
    *ret_to = s + (s - p) + coda_s(ghost->magnitude);
}

static bool is_guarded_by(const struct toc_associator *a, const struct ghost *ghost, const struct toc_pick *pick,
                          const struct toc_site *site)
{
    double after = toc_s_from_ns(pick->time - ghost->origin.time), spread = spread_s(&ghost->origin);

    if (is_loud_in(a, &ghost->origin, pick, site))
        return false;
    for (int phase = TOC_PHASE_P; phase <= TOC_PHASE_S; phase++) {
        double travel = travel_s(a, &ghost->origin, site, (enum toc_phase)phase);

        if (fabs(after - travel) <= fmax(GUARD_S, GUARD_SHARE * travel) + spread)
            return true;
    }
    return false;
}

/* Open events and closed ones that still stand guard, as ghosts. */
static size_t collect_ghosts(const struct toc_associator *a, toc_ns now, struct ghost *ret)
{
    size_t n = 0;

    for (size_t i = 0; i < a->n_events; i++)
        ret[n++] = (struct ghost){a->events[i].origin, a->events[i].magnitude, now};
    for (size_t i = 0; i < TOC_ASSOCIATOR_EVENTS; i++)
        if (a->ghosts[i].until != TOC_NS_NONE && a->ghosts[i].until >= now)
            ret[n++] = a->ghosts[i];
    return n;
}

/* --- opening ------------------------------------------------------------------------------------------------- */

/* State of one try: what the search is given, relative to the newest pick. */
struct attempt {
    const struct toc_pick *newest;
    const struct toc_site *sites;
    size_t n_sites, n_ghosts, n_candidates, n_reach;
    struct ghost ghosts[2 * TOC_ASSOCIATOR_EVENTS];
    double rate_hz;
};

/* Could one origin have made both? The surface bounds the difference: no path is faster than the first arrival. */
static bool compatible(const struct toc_associator *a, const struct attempt *t, const struct toc_pick *pick,
                       double distance_km)
{
    double apart = fabs(toc_s_from_ns(pick->time - t->newest->time));
    double slack = 2.0 * a->settings.residual_s + pick_sigma_s(pick) + pick_sigma_s(t->newest) + 1.0;

    return distance_km <= a->settings.max_distance_km &&
           apart <= toc_travel_s(a->travel, TOC_PHASE_P, distance_km, 0.0) + slack;
}

/* How often this site picks without cause: as all do here, or more if it is known for it. */
static double site_rate_hz(const struct attempt *t, const struct toc_pick *pick)
{
    return fmax(t->rate_hz, t->sites[pick->site].lone_rate_hz);
}

static double false_rate_hz(const struct toc_associator *a, const struct attempt *t, const struct toc_pick *pick)
{
    for (size_t i = 0; i < t->n_ghosts; i++) {
        const struct ghost *ghost = &t->ghosts[i];
        double from, to, after = toc_s_from_ns(pick->time - ghost->origin.time);

        coda_of(a, ghost, &t->sites[pick->site], &from, &to);
        if (after >= from && after <= to && !is_loud_in(a, &ghost->origin, pick, &t->sites[pick->site]))
            return fmax(CODA_RATE_HZ, site_rate_hz(t, pick));
    }
    return site_rate_hz(t, pick);
}

static void insert_candidate(struct toc_associator *a, struct attempt *t, uint32_t held, double distance_km)
{
    const struct toc_pick *pick = &a->held[held];
    const struct toc_site *site = &t->sites[pick->site];
    size_t k = t->n_candidates;

    if (k == TOC_NUCLEATE_PICKS_MAX && distance_km >= a->candidate_km[k - 1])
        return;
    if (k < TOC_NUCLEATE_PICKS_MAX)
        t->n_candidates++;
    else
        k--;
    for (; k > 1 && a->candidate_km[k - 1] > distance_km; k--) { /* 0 is the newest, and stays */
        a->candidates[k] = a->candidates[k - 1];
        a->candidate_km[k] = a->candidate_km[k - 1];
    }
    a->candidate_km[k] = distance_km;
    a->candidates[k] = (struct toc_nucleate_pick){
        .latitude_deg = site->latitude_deg,
        .longitude_deg = site->longitude_deg,
        .site = pick->site,
        .time_s = toc_s_from_ns(pick->time - t->newest->time) - elevation_s(a, site, TOC_PHASE_P),
        .sigma_s = pick_sigma_s(pick),
        .rate_hz = false_rate_hz(a, t, pick),
        .foreign = (double)pick->domain.foreign,
        .tag = held,
    };
}

static bool is_guarded(const struct toc_associator *a, const struct attempt *t, const struct toc_pick *pick)
{
    for (size_t i = 0; i < t->n_ghosts; i++)
        if (is_guarded_by(a, &t->ghosts[i], pick, &t->sites[pick->site]))
            return true;
    return false;
}

/* The newest, then the rest by distance from it. @return how many different sites could be in it */
static int collect_candidates(struct toc_associator *a, struct attempt *t)
{
    const struct toc_site *home = &t->sites[t->newest->site];
    int sites = 0;

    t->n_candidates = 0;
    insert_candidate(a, t, (uint32_t)(a->n_held - 1), 0.0);
    for (size_t i = 0; i + 1 < a->n_held; i++) {
        const struct toc_pick *pick = &a->held[i];
        double distance;

        if (pick->phase != TOC_PHASE_P || pick->site >= t->n_sites || pick->site == t->newest->site)
            continue;
        distance = toc_geo_distance_km(home->latitude_deg, home->longitude_deg, t->sites[pick->site].latitude_deg,
                                       t->sites[pick->site].longitude_deg);
        if (compatible(a, t, pick, distance) && !is_foreign(a, pick) && !is_guarded(a, t, pick))
            insert_candidate(a, t, (uint32_t)i, distance);
    }
    for (size_t i = 0; i < t->n_candidates; i++) {
        bool seen = false;

        for (size_t j = 0; j < i && !seen; j++)
            seen = a->candidates[j].site == a->candidates[i].site;
        sites += !seen;
    }
    return sites;
}

/* All usable sites within reach, and when the codas of others make them deaf. */
static void collect_reach(struct toc_associator *a, struct attempt *t)
{
    const struct toc_site *home = &t->sites[t->newest->site];

    t->n_reach = 0;
    for (size_t i = 0; i < t->n_sites; i++) {
        const struct toc_site *site = &t->sites[i];
        struct toc_nucleate_site *r = &a->reach[t->n_reach];

        if (!site->usable || site->picked_until == TOC_NS_NONE || !site_placed(site) ||
            toc_geo_distance_km(home->latitude_deg, home->longitude_deg, site->latitude_deg, site->longitude_deg) >
                a->settings.max_distance_km)
            continue;
        *r = (struct toc_nucleate_site){.place = toc_geo_point(site->latitude_deg, site->longitude_deg),
                                        .site = (uint32_t)i,
                                        .deaf_from_s = INFINITY,
                                        .deaf_to_s = -INFINITY};
        r->until_s = toc_s_from_ns(site->picked_until - t->newest->time) - elevation_s(a, site, TOC_PHASE_P);
        for (size_t g = 0; g < t->n_ghosts; g++) {
            double from, to, origin = toc_s_from_ns(t->ghosts[g].origin.time - t->newest->time);

            coda_of(a, &t->ghosts[g], site, &from, &to);
            r->deaf_from_s = fmin(r->deaf_from_s, origin + from);
            r->deaf_to_s = fmax(r->deaf_to_s, origin + to);
        }
        t->n_reach++;
    }
}

/* P picks without an event per site and second: what lies around unexplained, those under test taken as explained. */
static double stray_rate_hz(const struct toc_associator *a, const struct attempt *t, int explained)
{
    int strays = -explained, usable = 0;

    for (size_t i = 0; i < a->n_held; i++)
        strays += a->held[i].phase == TOC_PHASE_P && !is_guarded(a, t, &a->held[i]);
    for (size_t i = 0; i < t->n_sites; i++)
        usable += t->sites[i].usable;
    return fmax(NOISE_RATE_HZ, (double)strays / (fmax(1.0, usable) * fmax(1.0, a->settings.window_s)));
}

static uint32_t hash_text(uint32_t hash, const void *data, size_t n)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < n; i++)
        hash = (hash ^ bytes[i]) * UINT32_C(16777619); /* FNV-1a */
    return hash;
}

/* "toc20190704t173349-3f2a": second of the first origin, and a hash of the sites and times that opened it. */
static void name_event(struct toc_event *event, const struct toc_site *sites)
{
    char text[TOC_TIME_TEXT_SIZE] = "", digits[16] = "";
    uint32_t hash = UINT32_C(2166136261);
    size_t n = 0;

    for (uint16_t i = 0; i < event->n_picks; i++) {
        const struct toc_pick *pick = &event->picks[i].pick;
        char time[24];

        snprintf(time, sizeof(time), "%lld", (long long)pick->time);
        hash = hash_text(hash, sites[pick->site].name, strnlen(sites[pick->site].name, TOC_SID_SIZE));
        hash = hash_text(hash, time, strlen(time));
    }
    toc_time_format(event->origin.time, text, sizeof(text));
    for (const char *c = text; *c && *c != '.' && n + 1 < sizeof(digits); c++)
        if (*c != '-' && *c != ':')
            digits[n++] = *c == 'T' ? 't' : *c;
    snprintf(event->name, sizeof(event->name), "toc%s-%04x", digits, (hash ^ hash >> 16) & 0xffffu);
}

/* Held picks named by tags move into the event. Tags are indices, so the moved ones leave from the back. */
static void move_picks(struct toc_associator *a, struct toc_event *event, const struct toc_nucleus *nucleus)
{
    for (size_t k = 0; k < nucleus->n; k++)
        write_pick(a, &event->picks[event->n_picks++], &a->held[nucleus->tags[k]], TOC_PHASE_P, true);
    for (size_t i = a->n_held; i-- > 0;)
        for (size_t k = 0; k < nucleus->n; k++)
            if (nucleus->tags[k] == i) {
                drop_held(a, i);
                break;
            }
}

static struct toc_event *open_event(struct toc_associator *a, const struct attempt *t,
                                    const struct toc_nucleus *nucleus, toc_ns now)
{
    struct toc_event *event = &a->events[a->n_events++];

    memset(event, 0, sizeof(*event));
    event->id = a->next_id++;
    event->opened = event->changed = now;
    event->magnitude = event->magnitude_sigma = NAN;
    event->origin = (struct toc_origin){
        .time = t->newest->time + toc_ns_from_s(nucleus->time_s),
        .time_sigma_s = 1.0,
        .latitude_deg = nucleus->latitude_deg,
        .longitude_deg = nucleus->longitude_deg,
        .horizontal_sigma_km = FRESH_SIGMA_KM,
        .depth_km = nucleus->depth_km,
        .depth_sigma_km = FRESH_SIGMA_KM,
        .rms_s = nucleus->rms_s,
        .azimuth_gap_deg = 360.0,
    };
    event->expected_sites = (uint16_t)fmin(UINT16_MAX, (double)nucleus->expected);
    event->expected_missing = (uint16_t)fmin(UINT16_MAX, (double)(nucleus->expected - nucleus->n));
    move_picks(a, event, nucleus);
    name_event(event, t->sites);
    return event;
}

/* The newest held pick is the last one. */
static enum toc_assoc try_open(struct toc_associator *a, const struct toc_site *sites, size_t n_sites, toc_ns now,
                               struct toc_event **ret_event)
{
    struct toc_pick newest = a->held[a->n_held - 1];
    struct attempt t = {.newest = &newest, .sites = sites, .n_sites = n_sites};
    struct toc_nucleate_settings settings = {.min_sites = a->settings.min_sites,
                                             .residual_s = a->settings.residual_s,
                                             .min_expected = a->settings.min_expected,
                                             .max_distance_km = a->settings.max_distance_km};
    struct toc_nucleus nucleus;

    t.n_ghosts = collect_ghosts(a, now, t.ghosts);
    if (is_foreign(a, &newest) || is_guarded(a, &t, &newest))
        return TOC_ASSOC_HELD;
    t.rate_hz = stray_rate_hz(a, &t, a->settings.min_sites);
    if (collect_candidates(a, &t) < a->settings.min_sites)
        return TOC_ASSOC_HELD;
    collect_reach(a, &t);
    if (!toc_nucleate_search(a->nucleate, &settings, a->candidates, t.n_candidates, a->reach, t.n_reach, &nucleus))
        return TOC_ASSOC_HELD;
    if (a->n_events == TOC_ASSOCIATOR_EVENTS)
        return TOC_ASSOC_FULL;
    *ret_event = open_event(a, &t, &nucleus, now);
    sweep(a, sites, n_sites, now);
    return TOC_ASSOC_OPENED;
}

/* --- the door ------------------------------------------------------------------------------------------------ */

static bool acceptable(const struct toc_associator *a, const struct toc_pick *pick, const struct toc_site *sites,
                       size_t n_sites, toc_ns now)
{
    double age;

    if (pick->site >= n_sites || pick->time == TOC_NS_NONE || !site_placed(&sites[pick->site]) ||
        (pick->phase != TOC_PHASE_P && pick->phase != TOC_PHASE_S))
        return false;
    age = toc_s_from_ns(now - pick->time);
    return age <= a->settings.window_s && age >= -FUTURE_S;
}

/* A newer revision of a pick we have. Its phase in the event stays, and so does the doubt about a suspect. */
static bool revise(struct toc_associator *a, const struct toc_pick *pick, toc_ns now, struct toc_event **ret_event)
{
    for (size_t i = 0; i < a->n_events; i++) {
        struct toc_event_pick *old = find_pick(&a->events[i], pick->id);

        if (!old)
            continue;
        write_pick(a, old, pick, old->pick.phase,
                   (old->used || old->left_out) && pick->standing != TOC_STANDING_WITHDRAWN);
        a->events[i].changed = now;
        *ret_event = &a->events[i];
        return true;
    }
    return false;
}

static bool drop_revised(struct toc_associator *a, uint64_t id)
{
    for (size_t i = 0; i < a->n_held; i++)
        if (a->held[i].id == id) {
            drop_held(a, i);
            return true;
        }
    return false;
}

/* Nobody else had it, and it does not even look like a small quake near by. */
static bool is_lone(const struct toc_pick *pick)
{
    bool local = pick->domain.kind == TOC_DOMAIN_LOCAL && pick->domain.probability >= LOCAL_SURE;

    return pick->phase == TOC_PHASE_P && !local;
}

static unsigned expire_held(struct toc_associator *a, toc_ns now)
{
    unsigned gone = 0;

    for (size_t i = 0; i < a->n_held;) {
        if (toc_s_from_ns(now - a->held[i].time) <= a->settings.window_s) {
            i++;
            continue;
        }
        if (is_lone(&a->held[i]) && a->n_lost < TOC_ASSOCIATOR_HELD)
            a->lost[a->n_lost++] = a->held[i].group;
        drop_held(a, i);
        gone++;
    }
    return gone;
}

/* Of a pick that no event and nobody who waits has: join, or wait and perhaps open. */
static enum toc_assoc place(struct toc_associator *a, const struct toc_pick *pick, const struct toc_site *sites,
                            size_t n_sites, toc_ns now, struct toc_event **ret_event)
{
    enum toc_assoc result = join(a, pick, sites, now, ret_event);

    if (result != TOC_ASSOC_HELD)
        return result;
    if (a->n_held == TOC_ASSOCIATOR_HELD)
        expire_held(a, now);
    if (a->n_held == TOC_ASSOCIATOR_HELD)
        return TOC_ASSOC_FULL;
    a->held[a->n_held++] = *pick;
    return pick->phase == TOC_PHASE_P ? try_open(a, sites, n_sites, now, ret_event) : TOC_ASSOC_HELD;
}

enum toc_assoc toc_associator_add(struct toc_associator *associator, const struct toc_pick *pick,
                                  const struct toc_site *sites, size_t n_sites, toc_ns now,
                                  struct toc_event **ret_event)
{
    struct toc_associator *a = associator;

    n_sites = n_sites < a->max_sites ? n_sites : a->max_sites;
    if (!acceptable(a, pick, sites, n_sites, now))
        return TOC_ASSOC_REJECTED;
    if (revise(a, pick, now, ret_event))
        return TOC_ASSOC_JOINED;
    drop_revised(a, pick->id);
    if (pick->standing == TOC_STANDING_WITHDRAWN)
        return TOC_ASSOC_WITHDRAWN;
    return place(a, pick, sites, n_sites, now, ret_event);
}

/* Of an event's pick. @return its standing changed */
static bool judge_joined(const struct toc_associator *a, struct toc_event_pick *ep, const struct toc_verdict *verdict)
{
    bool before = ep->left_out;

    ep->pick.domain = *verdict;
    ep->left_out = is_foreign(a, &ep->pick);
    ep->used = ep->used && !ep->left_out; /* who comes back is used once the locator has found that it fits */
    return ep->left_out != before;
}

static enum toc_assoc judge_held(struct toc_associator *a, size_t i, const struct toc_verdict *verdict,
                                 const struct toc_site *sites, size_t n_sites, toc_ns now, struct toc_event **ret_event)
{
    struct toc_pick pick = a->held[i];
    bool before = is_foreign(a, &pick);

    a->held[i].domain = pick.domain = *verdict;
    if (!before || is_foreign(a, &pick))
        return TOC_ASSOC_HELD;
    drop_held(a, i); /* it comes in anew: it may be the one that opens an event */
    return place(a, &pick, sites, n_sites, now, ret_event);
}

enum toc_assoc toc_associator_judge(struct toc_associator *associator, uint64_t pick_id, const struct toc_verdict *verdict,
                                    const struct toc_site *sites, size_t n_sites, toc_ns now,
                                    struct toc_event **ret_event)
{
    struct toc_associator *a = associator;

    n_sites = n_sites < a->max_sites ? n_sites : a->max_sites;
    for (size_t i = 0; i < a->n_events; i++) {
        struct toc_event_pick *ep = find_pick(&a->events[i], pick_id);

        if (!ep)
            continue;
        *ret_event = &a->events[i];
        return judge_joined(a, ep, verdict) ? TOC_ASSOC_JOINED : TOC_ASSOC_HELD;
    }
    for (size_t i = 0; i < a->n_held; i++)
        if (a->held[i].id == pick_id && a->held[i].site < n_sites)
            return judge_held(a, i, verdict, sites, n_sites, now, ret_event);
    return TOC_ASSOC_REJECTED;
}

static void drop_event(struct toc_associator *a, size_t i)
{
    memmove(&a->events[i], &a->events[i + 1], (--a->n_events - i) * sizeof(a->events[0]));
}

unsigned toc_associator_tick(struct toc_associator *associator, const struct toc_site *sites, size_t n_sites,
                             toc_ns now)
{
    struct toc_associator *a = associator;

    n_sites = n_sites < a->max_sites ? n_sites : a->max_sites;
    if (a->n_events > 0)
        sweep(a, sites, n_sites, now);
    for (size_t i = 0; i < a->n_events;) {
        if (toc_s_from_ns(now - a->events[i].changed) > a->settings.close_s)
            drop_event(a, i);
        else
            i++;
    }
    return expire_held(a, now);
}

size_t toc_associator_take_lost(struct toc_associator *associator, const uint32_t **ret_groups)
{
    size_t n = associator->n_lost;

    associator->n_lost = 0;
    *ret_groups = associator->lost;
    return n;
}

void toc_associator_close(struct toc_associator *associator, uint64_t event_id)
{
    struct toc_associator *a = associator;

    for (size_t i = 0; i < a->n_events; i++) {
        const struct toc_event *event = &a->events[i];

        if (event->id != event_id)
            continue;
        a->ghosts[a->next_ghost] = (struct ghost){event->origin, event->magnitude,
                                                  event->changed + toc_ns_from_s(a->settings.close_s)};
        a->next_ghost = (a->next_ghost + 1) % TOC_ASSOCIATOR_EVENTS;
        drop_event(a, i);
        return;
    }
}
