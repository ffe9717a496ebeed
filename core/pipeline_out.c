/*
 * Products: bounded queues, pulled and never pushed, and what an operator may
 * ask.
 */
#include "core/pipeline_inner.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

/* ---- in at one end ---------------------------------------------------------------------------------------------- */

void toc_pipeline_queue_pick(struct toc_pipeline *p, const struct toc_pick *pick)
{
    struct toc_pick_report *slot = &p->picks[(p->pick_first + p->pick_n) % PICK_QUEUE];
    if (p->pick_n == PICK_QUEUE) {
        p->pick_first = (p->pick_first + 1) % PICK_QUEUE;
        p->stats.picks_dropped++;
    } else {
        p->pick_n++;
    }
    slot->pick = *pick;
    snprintf(slot->sid, sizeof slot->sid, "%s", toc_group_sid(toc_listener_group(p->listeners[pick->group])));
}

bool toc_pipeline_is_published(const struct toc_pipeline *p, const struct toc_estimate *e)
{
    double every = p->settings.estimator.publish_s, after = (double)e->after_p_s;
    return floor(after / every + 1e-6) > floor((after - 0.1) / every + 1e-6);
}

void toc_pipeline_queue_estimate(struct toc_pipeline *p, const struct toc_estimate *e)
{
    if (!toc_pipeline_is_published(p, e))
        return;
    struct toc_estimate_report *slot = &p->reports[(p->report_first + p->report_n) % ESTIMATE_QUEUE];
    if (p->report_n == ESTIMATE_QUEUE) {
        p->report_first = (p->report_first + 1) % ESTIMATE_QUEUE;
        p->stats.estimates_dropped++;
    } else {
        p->report_n++;
    }
    slot->estimate = *e;
    snprintf(slot->sid, sizeof slot->sid, "%s", toc_group_sid(toc_listener_group(p->listeners[e->group])));
}

void toc_pipeline_queue_note(struct toc_pipeline *p, const struct toc_shadow_report *report)
{
    uint64_t *const counters[] = {[TOC_SHADOW_BOTH] = &p->stats.shadow_both,
                                  [TOC_SHADOW_LIVE_ONLY] = &p->stats.shadow_live_only,
                                  [TOC_SHADOW_ONLY] = &p->stats.shadow_only};
    uint32_t group = report->verdict == TOC_SHADOW_ONLY ? report->shadow.group : report->live.group;
    ++*counters[report->verdict];
    if (p->note_n == SHADOW_QUEUE) { /* nobody pulls: the oldest goes */
        p->note_first = (p->note_first + 1) % SHADOW_QUEUE;
        p->note_n--;
        p->stats.shadow_dropped++;
    }
    struct toc_shadow_note *note = &p->notes[(p->note_first + p->note_n++) % SHADOW_QUEUE];
    note->report = *report;
    snprintf(note->sid, sizeof note->sid, "%s", toc_group_sid(toc_listener_group(p->listeners[group])));
}

/* ---- out at the other ------------------------------------------------------------------------------------------- */

bool toc_pipeline_next_pick(struct toc_pipeline *p, struct toc_pick_report *ret_pick)
{
    if (p->pick_n == 0)
        return false;
    *ret_pick = p->picks[p->pick_first];
    p->pick_first = (p->pick_first + 1) % PICK_QUEUE;
    p->pick_n--;
    return true;
}

bool toc_pipeline_next_estimate(struct toc_pipeline *p, struct toc_estimate_report *ret_estimate)
{
    if (p->report_n == 0)
        return false;
    *ret_estimate = p->reports[p->report_first];
    p->report_first = (p->report_first + 1) % ESTIMATE_QUEUE;
    p->report_n--;
    return true;
}

bool toc_pipeline_next_alert(struct toc_pipeline *p, struct toc_alert *ret_alert)
{
    if (p->alert_n == 0)
        return false;
    *ret_alert = p->alerts[p->alert_first];
    p->alert_first = (p->alert_first + 1) % ALERT_QUEUE;
    p->alert_n--;
    return true;
}

bool toc_pipeline_next_shadow(struct toc_pipeline *p, struct toc_shadow_note *ret_note)
{
    if (p->note_n == 0)
        return false;
    *ret_note = p->notes[p->note_first];
    p->note_first = (p->note_first + 1) % SHADOW_QUEUE;
    p->note_n--;
    return true;
}

bool toc_pipeline_next_load(struct toc_pipeline *p, struct toc_load_report *ret_load)
{
    if (p->load_n == 0)
        return false;
    *ret_load = p->loads[p->load_first];
    p->load_first = (p->load_first + 1) % LOAD_QUEUE;
    p->load_n--;
    return true;
}

/* ---- asked ------------------------------------------------------------------------------------------------------ */

enum toc_load_mode toc_pipeline_load(const struct toc_pipeline *p)
{
    return p->load.mode;
}

double toc_pipeline_wait_s(const struct toc_pipeline *p, toc_ns now)
{
    return toc_turns_wait_s(p->turns, now);
}

size_t toc_pipeline_groups(const struct toc_pipeline *p)
{
    return p->n_listeners;
}

int toc_pipeline_group(const struct toc_pipeline *p, size_t index, struct toc_group_report *ret_group)
{
    if (index >= p->n_listeners)
        return -ENOENT;
    const struct toc_listener *l = p->listeners[index];
    const struct toc_channel *place = toc_group_place(toc_listener_group(l));
    *ret_group = (struct toc_group_report){.status = toc_pipeline_status_of(p, (uint32_t)index, p->clock),
                                           .latitude_deg = place->latitude_deg,
                                           .longitude_deg = place->longitude_deg,
                                           .newest = toc_group_newest(toc_listener_group(l)),
                                           .arrived = toc_listener_arrived(l),
                                           .samples = p->heard[index].samples,
                                           .gaps = p->heard[index].gaps,
                                           .picks = p->heard[index].picks};
    snprintf(ret_group->sid, sizeof ret_group->sid, "%s", toc_group_sid(toc_listener_group(l)));
    return 0;
}

toc_ns toc_pipeline_picked_until(const struct toc_pipeline *p, size_t index)
{
    return index < p->n_listeners ? toc_listener_picked_until(p->listeners[index]) : TOC_NS_NONE;
}

const struct toc_stats *toc_pipeline_stats(const struct toc_pipeline *p)
{
    return &p->stats;
}
