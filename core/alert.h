/*
 * The life of an alert, one machine per event:
 *
 *   IDLE -> TENTATIVE -> ALERT (updates) -> FINAL
 *             |             `-> CANCELLED
 *             `-> CANCELLED (with a reason) or EXPIRED (too old to be of use)
 *
 * It looks at an event, not at waveforms, and says at most one message per
 * step. Stations, targets and the ledger of the message are for the caller
 * to fill. What it never does: alert first when the event is older than max_age_s, speak twice
 * within update_every_s without a change of state, speak again once over.
 */
#ifndef TOC_CORE_ALERT_H
#define TOC_CORE_ALERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/settings.h"
#include "core/types.h"

enum toc_alert_state {
    TOC_ALERT_STATE_IDLE,      /* not spoken yet */
    TOC_ALERT_STATE_TENTATIVE, /* spoken as "perhaps" */
    TOC_ALERT_STATE_ALERT,     /* alerted; updates follow */
    TOC_ALERT_STATE_FINAL,     /* over */
    TOC_ALERT_STATE_CANCELLED, /* over: taken back */
    TOC_ALERT_STATE_EXPIRED,   /* over: never alerted and too old to be */
    TOC_ALERT_STATE_COUNT
};

enum toc_alert_step { TOC_ALERT_NONE = 0, TOC_ALERT_SAY = 1 };

struct toc_alert_machine;

/** @param max_events 1..1024 events followed at once. @return 0, -EINVAL, -ENOMEM. Nothing is allocated later. */
int toc_alert_machine_create(size_t max_events, struct toc_alert_machine **ret);
void toc_alert_machine_destroy(struct toc_alert_machine *machine);

/**
 * Look at an event: call after every change and at least five times a second while it is open.
 *
 * Rules; cancel goes before final, final before update, alert before tentative:
 *   alert      score >= alert_score, used sites >= min_sites, magnitude - sure_sigmas x sigma >= min_magnitude,
 *              age <= max_age_s
 *   tentative  score >= tentative_score and at least two sites, age <= max_age_s
 *   update     magnitude moved by update_magnitude, or epicentre by update_km, or magnitude sigma fell by a quarter, or
 *              the magnitude became known or (no longer) a lower bound; and update_every_s has passed since the last
 *              message
 *   cancel     score < cancel_score for 2 s, or used sites below min_sites (alert) or 2 (tentative) for 2 s
 *   final      age >= final_after_s of an alerted event
 *   expired    age > max_age_s of one that never was alerted (said only when a tentative was said)
 * Age is now - origin time; below -5 s nothing is said (a clock is wrong). What was cancelled stays cancelled.
 *
 * @param ret_alert type, event, version, origin, magnitude.., score, terms, rule, reason, issued are set, n_stations and
 *                  n_targets are 0, both ledger times TOC_NS_NONE; untouched for TOC_ALERT_NONE
 * @return TOC_ALERT_SAY when ret_alert is to be sent now, else TOC_ALERT_NONE. An event that cannot be followed because
 *         max_events are is not spoken of (NONE); toc_alert_machine_refused() counts it.
 */
enum toc_alert_step toc_alert_step(struct toc_alert_machine *machine, const struct toc_alert_settings *settings,
                                   const struct toc_event *event, toc_ns now, struct toc_alert *ret_alert);

/** True once the event is FINAL, CANCELLED or EXPIRED: nothing more will be said. False for an unknown id. */
bool toc_alert_over(const struct toc_alert_machine *machine, uint64_t event_id);

/** IDLE for an unknown id. */
enum toc_alert_state toc_alert_state_of(const struct toc_alert_machine *machine, uint64_t event_id);

/**
 * Drop an event whose data are gone (associator closed it). Call after the caller has no more use of its state.
 * An alerted event should be brought to its end by toc_alert_step() first; forgetting it says nothing.
 */
void toc_alert_forget(struct toc_alert_machine *machine, uint64_t event_id);

/** Events not followed for want of room since create. */
uint64_t toc_alert_machine_refused(const struct toc_alert_machine *machine);

/** Static texts: "tentative", "alert", "update", "final", "cancel", "expired"; and of states. "unknown" otherwise. */
const char *toc_alert_type_str(enum toc_alert_type type);
const char *toc_alert_state_str(enum toc_alert_state state);

#endif
