/*
 * From picks to alerts: the association is fed, each open event is located,
 * weighed and, where its machine says so, spoken of; and events that are over
 * leave.
 */
#include "core/pipeline_inner.h"

#include <math.h>
#include <stdio.h>

#define UPDATE_NS (TOC_NS_PER_S / 10) /* an open event is thought over at least this often */
#define LOCATE_NS TOC_NS_PER_S        /* ... and relocated, for the sites that stay silent */

/* ---- what comes in ---------------------------------------------------------------------------------------------- */

static struct watch *watch_of(struct toc_pipeline *p, uint64_t event)
{
    struct watch *empty = NULL;
    for (size_t i = 0; i < TOC_ASSOCIATOR_EVENTS; i++) {
        if (p->watches[i].event == event)
            return &p->watches[i];
        if (!empty && p->watches[i].event == 0)
            empty = &p->watches[i];
    }
    if (empty)
        *empty = (struct watch){.event = event, .thought = TOC_NS_NONE, .located = TOC_NS_NONE};
    return empty;
}

void toc_pipeline_associate(struct toc_pipeline *p, const struct toc_pick *pick, toc_ns now)
{
    struct toc_event *event;
    if (!isfinite(p->sites[pick->site].latitude_deg) || !isfinite(p->sites[pick->site].longitude_deg))
        return; /* said, but nowhere on the map */
    if (!toc_group_has_vertical(toc_listener_group(p->listeners[pick->group])))
        return; /* said, but P or S cannot be told apart */
    enum toc_assoc result = toc_associator_add(p->associator, pick, p->sites, p->n_sites, now, &event);
    p->stats.events += result == TOC_ASSOC_OPENED;
    p->stats.events_refused += result == TOC_ASSOC_FULL;
    if (result != TOC_ASSOC_JOINED && result != TOC_ASSOC_OPENED)
        return;
    struct watch *w = watch_of(p, event->id);
    if (w)
        w->news = true;
}

/* The associator is told when a P passes its limit, this way or that, and how things stand each publish_s. */
void toc_pipeline_note_verdict(struct toc_pipeline *p, const struct toc_estimate *e, toc_ns now)
{
    const struct toc_estimate *last = &p->estimates[e->pick_id % ESTIMATES_KEPT];
    double limit = p->settings.associator.foreign;
    struct toc_event *event;
    if (last->pick_id == e->pick_id && !toc_pipeline_is_published(p, e) &&
        ((double)last->domain.foreign >= limit) == ((double)e->domain.foreign >= limit))
        return;
    enum toc_assoc result =
        toc_associator_judge(p->associator, e->pick_id, &e->domain, p->sites, p->n_sites, now, &event);
    p->stats.events += result == TOC_ASSOC_OPENED;
    struct watch *w = result == TOC_ASSOC_JOINED || result == TOC_ASSOC_OPENED ? watch_of(p, event->id) : NULL;
    if (w)
        w->news = true;
}

/* ---- what goes out ---------------------------------------------------------------------------------------------- */

static size_t estimates_of(const struct toc_pipeline *p, const struct toc_event *event, struct toc_estimate *ret)
{
    size_t n = 0;
    for (uint16_t i = 0; i < event->n_picks; i++) {
        const struct toc_pick *pick = &event->picks[i].pick;
        const struct toc_estimate *e = &p->estimates[pick->id % ESTIMATES_KEPT];
        if (pick->phase == TOC_PHASE_P && pick->standing != TOC_STANDING_WITHDRAWN && e->pick_id == pick->id)
            ret[n++] = *e;
    }
    return n;
}

static const struct toc_station_magnitude *magnitude_of(const struct toc_event *event, uint32_t group)
{
    for (uint16_t i = 0; i < event->n_magnitudes; i++)
        if (event->magnitudes[i].group == group)
            return &event->magnitudes[i];
    return NULL;
}

static const char *left_out_reason(enum toc_domain_class kind)
{
    return kind == TOC_DOMAIN_TELESEISM     ? "left out: arrival looks like a teleseism"
           : kind == TOC_DOMAIN_NOISE       ? "left out: arrival looks like noise"
           : kind == TOC_DOMAIN_CALIBRATION ? "left out: arrival looks like the instrument's own"
                                            : "left out: arrival does not look like a local quake";
}

/* One line for each used or refused station of the event: the one reason. */
static void describe_station(const struct toc_pipeline *p, const struct toc_event *event,
                             const struct toc_event_pick *ep, struct toc_alert_station *ret)
{
    const struct toc_station_magnitude *m = magnitude_of(event, ep->pick.group);
    ret->group = ep->pick.group;
    snprintf(ret->sid, sizeof ret->sid, "%s", toc_group_sid(toc_listener_group(p->listeners[ep->pick.group])));
    ret->used = ep->used;
    ret->weight = m ? m->weight : 0;
    ret->reason = ep->pick.standing == TOC_STANDING_WITHDRAWN ? "withdrawn: seconds later no P is seen there"
                  : ep->left_out ? left_out_reason(ep->pick.domain.kind)
                  : !ep->used ? "arrival does not fit the origin"
                  : !m      ? "time only: no gain or too little signal"
                  : p->heard[ep->pick.group].noisy ? "time and size; noisy station: counted for little at the start"
                  : m->saturated ? "time; size is a lower bound: clipped or window too short"
                                 : "time and size";
}

static void fill_stations(const struct toc_pipeline *p, const struct toc_event *event, struct toc_alert *alert)
{
    alert->n_stations = 0;
    for (uint16_t i = 0; i < event->n_picks && alert->n_stations < TOC_ALERT_STATIONS_MAX; i++)
        if (event->picks[i].pick.phase == TOC_PHASE_P)
            describe_station(p, event, &event->picks[i], &alert->stations[alert->n_stations++]);
}

static void speak(struct toc_pipeline *p, const struct toc_event *event, toc_ns now)
{
    if (p->alert_n == ALERT_QUEUE)
        return; /* asked again at the next step: the machine is not stepped, so nothing is lost */
    struct toc_alert *alert = &p->alerts[(p->alert_first + p->alert_n) % ALERT_QUEUE];
    if (toc_alert_step(p->machine, &p->settings.alert, event, now, alert) != TOC_ALERT_SAY)
        return;
    fill_stations(p, event, alert);
    alert->n_targets = (uint16_t)p->n_targets;
    for (size_t i = 0; i < p->n_targets; i++)
        toc_shaking_target(p->travel, &p->targets[i], event, now, &alert->targets[i]);
    alert->ledger_sample = p->sample;
    alert->ledger_arrival = p->arrival;
    p->alert_n++;
    p->stats.alerts++;
}

/* ---- thinking it over ------------------------------------------------------------------------------------------- */

/* Where the origin puts S, measurements on P end; and the distance makes the magnitude. */
static void expect(struct toc_pipeline *p, const struct toc_event *event)
{
    for (uint16_t i = 0; i < event->n_picks; i++) {
        const struct toc_event_pick *ep = &event->picks[i];
        if (ep->pick.phase != TOC_PHASE_P || !ep->used)
            continue;
        double s = toc_travel_s(p->travel, TOC_PHASE_S, ep->distance_km, event->origin.depth_km);
        struct toc_expected expected = {.s_time = event->origin.time + toc_ns_from_s(s),
                                        .hypocentral_km = hypot(ep->distance_km, event->origin.depth_km),
                                        .sigma_km = toc_fusion_distance_sigma_km(&event->origin, ep->distance_km)};
        toc_listener_expect(p->listeners[ep->pick.group], ep->pick.id, &expected);
    }
}

static void think_over(struct toc_pipeline *p, struct toc_event *event, struct watch *w, toc_ns now)
{
    struct toc_estimate estimates[TOC_EVENT_PICKS_MAX];
    if (w->news || w->located == TOC_NS_NONE || now - w->located >= LOCATE_NS) {
        toc_locate_update(p->locator, event, p->sites, p->n_sites, now);
        w->located = now;
        expect(p, event);
    }
    size_t n = estimates_of(p, event, estimates);
    toc_fusion_update(&p->settings.fusion, event, estimates, n, p->sites, p->n_sites, now);
    w->thought = now;
    w->news = false;
    speak(p, event, now);
}

/* Events that are over leave both houses. */
static void close_over(struct toc_pipeline *p)
{
    for (size_t i = toc_associator_count(p->associator); i-- > 0;) {
        uint64_t id = toc_associator_event(p->associator, i)->id;
        if (!toc_alert_over(p->machine, id))
            continue;
        toc_associator_close(p->associator, id);
        toc_alert_forget(p->machine, id);
    }
}

static bool is_open(struct toc_pipeline *p, uint64_t id)
{
    for (size_t i = 0; i < toc_associator_count(p->associator); i++)
        if (toc_associator_event(p->associator, i)->id == id)
            return true;
    return false;
}

static void forget_closed(struct toc_pipeline *p)
{
    for (size_t i = 0; i < TOC_ASSOCIATOR_EVENTS; i++)
        if (p->watches[i].event && !is_open(p, p->watches[i].event)) {
            toc_alert_forget(p->machine, p->watches[i].event);
            p->watches[i].event = 0;
        }
}

void toc_pipeline_update_events(struct toc_pipeline *p, toc_ns now)
{
    for (size_t i = 0; i < toc_associator_count(p->associator); i++) {
        struct toc_event *event = toc_associator_event(p->associator, i);
        struct watch *w = watch_of(p, event->id);
        if (w && (w->news || w->thought == TOC_NS_NONE || now - w->thought >= UPDATE_NS))
            think_over(p, event, w, now);
    }
    close_over(p);
    forget_closed(p);
}
