/*
 * The alert machine. What an event looks like is first boiled down to one
 * input; each state has one handler that lists every input. Times run on
 * the caller's `now`.
 *
 * true quake:      STRONG -> say ALERT, NEWS.. -> say UPDATE.., DONE -> say FINAL
 * slow certainty:  HOPEFUL -> say TENTATIVE, STRONG -> say ALERT, ..
 * one loud spike:  WEAK for ever, LATE -> silent end. (one station makes no event)
 * foreign:         HOPEFUL perhaps -> say TENTATIVE with the reason, never STRONG while most arrivals are not local ones
 * teleseism:       HOPEFUL perhaps -> say TENTATIVE, residuals and quiet sites grow: COLLAPSED -> say CANCEL
 * two at once:     two events, two slots, neither knows of the other
 * outage:          nothing changes but time: WEAK.., DONE -> say FINAL with what was known
 *
 *               WEAK   HOPEFUL     STRONG   NEWS     COLLAPSED     LATE        DONE
 * IDLE           -     TENTATIVE   ALERT    -        -             EXPIRED(1)  EXPIRED(1)
 * TENTATIVE      -     -           ALERT    -        CANCELLED     EXPIRED     EXPIRED
 * ALERT          -     -           -        UPDATE   CANCELLED     -           FINAL
 * over           -     -           -        -        -             -           -            (1) silent
 */
#include "core/alert.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/geo.h"

#define MACHINE_EVENTS_MAX 1024
#define COLLAPSE_S 2.0       /* a dip shorter than this is a late packet, not a change of mind */
#define CERTAINTY_RATIO 0.75 /* a sigma that fell by a quarter is news */
#define FOREIGN 0.5          /* mean of the arrivals of an event: above this it is not alerted ... */
#define FOREIGN_SURE 0.8     /* ... and above this an alert is taken back */
#define FUTURE_S 5.0         /* an origin this far ahead of now is a clock gone wrong, not a quake */

enum input {
    INPUT_WEAK,      /* nothing to say */
    INPUT_HOPEFUL,   /* worth a tentative */
    INPUT_STRONG,    /* worth an alert */
    INPUT_NEWS,      /* materially different from what was last said */
    INPUT_COLLAPSED, /* not believed any more, for long enough */
    INPUT_LATE,      /* older than max_age_s */
    INPUT_DONE       /* final_after_s has come */
};

/* One followed event and what was last said of it. */
struct slot {
    uint64_t id; /* 0: free */
    enum toc_alert_state state;
    uint32_t version;
    toc_ns collapsed_since; /* TOC_NS_NONE: it is believed */
    toc_ns said;
    double said_magnitude, said_sigma;
    double said_latitude_deg, said_longitude_deg;
    bool said_at_least;
};

struct toc_alert_machine {
    size_t max_events;
    uint64_t refused;
    struct slot slots[];
};

/* One step: everything a handler may look at. */
struct step {
    struct slot *slot;
    const struct toc_alert_settings *settings;
    const struct toc_event *event;
    toc_ns now;
    struct toc_alert *ret_alert;
};

int toc_alert_machine_create(size_t max_events, struct toc_alert_machine **ret)
{
    struct toc_alert_machine *machine;

    if (max_events < 1 || max_events > MACHINE_EVENTS_MAX)
        return -EINVAL;
    machine = calloc(1, sizeof(*machine) + max_events * sizeof(machine->slots[0]));
    if (!machine)
        return -ENOMEM;
    machine->max_events = max_events;
    *ret = machine;
    return 0;
}

void toc_alert_machine_destroy(struct toc_alert_machine *machine)
{
    free(machine);
}

static const struct slot *slot_find(const struct toc_alert_machine *machine, uint64_t id)
{
    for (size_t i = 0; id != 0 && i < machine->max_events; i++)
        if (machine->slots[i].id == id)
            return &machine->slots[i];
    return NULL;
}

/* The event's slot, or a fresh one; NULL when all are taken. */
static struct slot *slot_claim(struct toc_alert_machine *machine, uint64_t id)
{
    struct slot *vacant = NULL;

    for (size_t i = 0; i < machine->max_events; i++) {
        if (machine->slots[i].id == id)
            return &machine->slots[i];
        if (machine->slots[i].id == 0 && !vacant)
            vacant = &machine->slots[i];
    }
    if (vacant)
        *vacant = (struct slot){.id = id, .collapsed_since = TOC_NS_NONE, .said = TOC_NS_NONE};
    return vacant;
}

static bool state_over(enum toc_alert_state state)
{
    return state == TOC_ALERT_STATE_FINAL || state == TOC_ALERT_STATE_CANCELLED || state == TOC_ALERT_STATE_EXPIRED;
}

/* --- from event to input ------------------------------------------------------------------------------------- */

static double age_s(const struct step *s)
{
    return toc_s_from_ns(s->now - s->event->origin.time);
}

static int sites_needed(const struct step *s)
{
    return s->slot->state == TOC_ALERT_STATE_ALERT ? s->settings->min_sites : 2;
}

/* More likely a teleseism, noise or the instruments than a quake here; NAN is not. */
static bool is_foreign(const struct step *s)
{
    return (double)s->event->domain.foreign > FOREIGN;
}

static const char *foreign_reason(const struct toc_event *event)
{
    switch (event->domain.kind) {
    case TOC_DOMAIN_TELESEISM:
        return "withheld: its arrivals look like a teleseism";
    case TOC_DOMAIN_NOISE:
        return "withheld: its arrivals look like noise";
    case TOC_DOMAIN_CALIBRATION:
        return "withheld: its arrivals look like the instruments' own";
    case TOC_DOMAIN_UNKNOWN:
    case TOC_DOMAIN_LOCAL:
    case TOC_DOMAIN_BLAST:
    case TOC_DOMAIN_CLASSES:
        break;
    }
    return "withheld: its arrivals do not look like those of a local quake";
}

static bool is_strong(const struct step *s)
{
    const struct toc_event *e = s->event;

    return !is_foreign(s) && e->score >= s->settings->alert_score && e->origin.used_sites >= s->settings->min_sites &&
           e->magnitude - s->settings->sure_sigmas * e->magnitude_sigma >= s->settings->min_magnitude; /* false for NAN */
}

static bool is_hopeful(const struct step *s)
{
    return s->event->score >= s->settings->tentative_score && s->event->origin.used_sites >= 2;
}

static bool is_doubted(const struct step *s)
{
    if (s->slot->state == TOC_ALERT_STATE_ALERT && (double)s->event->domain.foreign > FOREIGN_SURE)
        return true;
    return !(s->event->score >= s->settings->cancel_score) || s->event->origin.used_sites < sites_needed(s);
}

static bool magnitude_moved(const struct step *s)
{
    const struct slot *said = s->slot;
    const struct toc_event *e = s->event;

    if (isnan(said->said_magnitude) != isnan(e->magnitude) || said->said_at_least != e->magnitude_at_least)
        return true;
    return fabs(e->magnitude - said->said_magnitude) >= s->settings->update_magnitude ||
           e->magnitude_sigma <= CERTAINTY_RATIO * said->said_sigma;
}

static bool epicentre_moved(const struct step *s)
{
    const struct slot *said = s->slot;
    const struct toc_origin *o = &s->event->origin;
    double moved = toc_geo_distance_km(said->said_latitude_deg, said->said_longitude_deg, o->latitude_deg,
                                       o->longitude_deg);

    return moved >= s->settings->update_km;
}

static bool is_news(const struct step *s)
{
    if (toc_s_from_ns(s->now - s->slot->said) < s->settings->update_every_s)
        return false;
    return magnitude_moved(s) || epicentre_moved(s);
}

/* A doubt counts once it has lasted; note when it began. */
static bool has_collapsed(const struct step *s)
{
    if (!is_doubted(s)) {
        s->slot->collapsed_since = TOC_NS_NONE;
        return false;
    }
    if (s->slot->collapsed_since == TOC_NS_NONE)
        s->slot->collapsed_since = s->now;
    return toc_s_from_ns(s->now - s->slot->collapsed_since) >= COLLAPSE_S;
}

static enum input input_of(const struct step *s)
{
    double age = age_s(s);
    bool alerted = s->slot->state == TOC_ALERT_STATE_ALERT;
    bool collapsed = has_collapsed(s); /* asked always: it keeps the time */

    if (!alerted && age > s->settings->max_age_s)
        return INPUT_LATE;
    if (collapsed)
        return INPUT_COLLAPSED;
    if (alerted && age >= s->settings->final_after_s)
        return INPUT_DONE;
    if (alerted)
        return is_news(s) ? INPUT_NEWS : INPUT_WEAK;
    if (age < -FUTURE_S)
        return INPUT_WEAK;
    if (is_strong(s))
        return INPUT_STRONG;
    return is_hopeful(s) ? INPUT_HOPEFUL : INPUT_WEAK;
}

/* --- speaking ------------------------------------------------------------------------------------------------ */

static void remember(struct slot *slot, const struct toc_event *event, toc_ns now)
{
    slot->said = now;
    slot->said_magnitude = event->magnitude;
    slot->said_sigma = event->magnitude_sigma;
    slot->said_at_least = event->magnitude_at_least;
    slot->said_latitude_deg = event->origin.latitude_deg;
    slot->said_longitude_deg = event->origin.longitude_deg;
}

static enum toc_pick_method method_of(const struct toc_event *event)
{
    for (uint16_t i = 0; i < event->n_picks; i++)
        if (event->picks[i].used && event->picks[i].pick.method == TOC_METHOD_CNN)
            return TOC_METHOD_CNN;
    return TOC_METHOD_CLASSICAL;
}

static enum toc_alert_step say(const struct step *s, enum toc_alert_type type, enum toc_alert_state next,
                               const char *rule, const char *reason)
{
    const struct toc_event *e = s->event;
    struct toc_alert *a = s->ret_alert;

    s->slot->state = next;
    s->slot->version++;
    remember(s->slot, e, s->now);
    memset(a, 0, sizeof(*a));
    memcpy(a->event, e->name, sizeof(a->event));
    a->event[sizeof(a->event) - 1] = '\0';
    a->type = type;
    a->version = s->slot->version;
    a->origin = e->origin;
    a->magnitude = e->magnitude;
    a->magnitude_sigma = e->magnitude_sigma;
    a->magnitude_upper = e->magnitude_upper;
    a->magnitude_at_least = e->magnitude_at_least;
    a->score = e->score;
    a->terms = e->terms;
    a->method = method_of(e);
    a->domain = e->domain;
    a->rule = rule;
    a->reason = reason;
    a->issued = s->now;
    a->ledger_sample = TOC_NS_NONE;
    a->ledger_arrival = TOC_NS_NONE;
    return TOC_ALERT_SAY;
}

static enum toc_alert_step say_alert(const struct step *s)
{
    return say(s, TOC_ALERT_ALERT, TOC_ALERT_STATE_ALERT, "alert: score, sites and magnitude above their limits",
               s->slot->version == 0 ? "first message" : "certain enough now");
}

static enum toc_alert_step say_cancel(const struct step *s)
{
    bool few = s->event->origin.used_sites < sites_needed(s);

    return say(s, TOC_ALERT_CANCEL, TOC_ALERT_STATE_CANCELLED, "cancel: not believed for 2 s",
               few                                                  ? "too few sites still agree"
               : !(s->event->score >= s->settings->cancel_score) ? "score fell below cancel_score"
                                                                    : "its arrivals are not those of a local quake");
}

static const char *news_reason(const struct step *s)
{
    if (epicentre_moved(s))
        return "epicentre moved";
    if (fabs(s->event->magnitude - s->slot->said_magnitude) >= s->settings->update_magnitude)
        return "magnitude changed";
    return "magnitude better known";
}

/* --- one handler per state ----------------------------------------------------------------------------------- */

static enum toc_alert_step handle_idle(const struct step *s, enum input input)
{
    switch (input) {
    case INPUT_STRONG:
        return say_alert(s);
    case INPUT_HOPEFUL:
        return say(s, TOC_ALERT_TENTATIVE, TOC_ALERT_STATE_TENTATIVE, "tentative: score above tentative_score",
                   is_foreign(s) ? foreign_reason(s->event) : "first message");
    case INPUT_LATE:
    case INPUT_DONE:
        s->slot->state = TOC_ALERT_STATE_EXPIRED; /* nothing was said, so nothing is taken back */
        return TOC_ALERT_NONE;
    case INPUT_WEAK:
    case INPUT_NEWS:
    case INPUT_COLLAPSED: /* it may still grow: an event opens with few sites */
        return TOC_ALERT_NONE;
    }
    return TOC_ALERT_NONE;
}

static enum toc_alert_step handle_tentative(const struct step *s, enum input input)
{
    switch (input) {
    case INPUT_STRONG:
        return say_alert(s);
    case INPUT_COLLAPSED:
        return say_cancel(s);
    case INPUT_LATE:
    case INPUT_DONE:
        return say(s, TOC_ALERT_EXPIRED, TOC_ALERT_STATE_EXPIRED, "expired: older than max_age_s",
                   is_foreign(s) ? foreign_reason(s->event) : "never strong enough for an alert");
    case INPUT_WEAK:
    case INPUT_HOPEFUL:
    case INPUT_NEWS:
        return TOC_ALERT_NONE;
    }
    return TOC_ALERT_NONE;
}

static enum toc_alert_step handle_alert(const struct step *s, enum input input)
{
    switch (input) {
    case INPUT_NEWS:
        return say(s, TOC_ALERT_UPDATE, TOC_ALERT_STATE_ALERT, "update: material change", news_reason(s));
    case INPUT_COLLAPSED:
        return say_cancel(s);
    case INPUT_DONE:
        return say(s, TOC_ALERT_FINAL, TOC_ALERT_STATE_FINAL, "final: final_after_s after the origin",
                   "nothing more is expected");
    case INPUT_WEAK:
    case INPUT_HOPEFUL:
    case INPUT_STRONG:
    case INPUT_LATE: /* the alert stands; its end is final or cancel */
        return TOC_ALERT_NONE;
    }
    return TOC_ALERT_NONE;
}

enum toc_alert_step toc_alert_step(struct toc_alert_machine *machine, const struct toc_alert_settings *settings,
                                   const struct toc_event *event, toc_ns now, struct toc_alert *ret_alert)
{
    struct step s = {.settings = settings, .event = event, .now = now, .ret_alert = ret_alert};

    s.slot = event->id != 0 ? slot_claim(machine, event->id) : NULL;
    if (!s.slot) {
        machine->refused++;
        return TOC_ALERT_NONE;
    }
    switch (s.slot->state) {
    case TOC_ALERT_STATE_IDLE:
        return handle_idle(&s, input_of(&s));
    case TOC_ALERT_STATE_TENTATIVE:
        return handle_tentative(&s, input_of(&s));
    case TOC_ALERT_STATE_ALERT:
        return handle_alert(&s, input_of(&s));
    case TOC_ALERT_STATE_FINAL:
    case TOC_ALERT_STATE_CANCELLED:
    case TOC_ALERT_STATE_EXPIRED:
    case TOC_ALERT_STATE_COUNT:
        break; /* over is over: a message after the last one would be read as a new quake */
    }
    return TOC_ALERT_NONE;
}

enum toc_alert_state toc_alert_state_of(const struct toc_alert_machine *machine, uint64_t event_id)
{
    const struct slot *slot = slot_find(machine, event_id);

    return slot ? slot->state : TOC_ALERT_STATE_IDLE;
}

bool toc_alert_over(const struct toc_alert_machine *machine, uint64_t event_id)
{
    return state_over(toc_alert_state_of(machine, event_id));
}

void toc_alert_forget(struct toc_alert_machine *machine, uint64_t event_id)
{
    for (size_t i = 0; event_id != 0 && i < machine->max_events; i++)
        if (machine->slots[i].id == event_id)
            machine->slots[i].id = 0;
}

uint64_t toc_alert_machine_refused(const struct toc_alert_machine *machine)
{
    return machine->refused;
}

const char *toc_alert_type_str(enum toc_alert_type type)
{
    switch (type) {
    case TOC_ALERT_TENTATIVE:
        return "tentative";
    case TOC_ALERT_ALERT:
        return "alert";
    case TOC_ALERT_UPDATE:
        return "update";
    case TOC_ALERT_FINAL:
        return "final";
    case TOC_ALERT_CANCEL:
        return "cancel";
    case TOC_ALERT_EXPIRED:
        return "expired";
    }
    return "unknown";
}

const char *toc_alert_state_str(enum toc_alert_state state)
{
    static const char *const names[] = {"idle", "tentative", "alert", "final", "cancelled", "expired"};

    return (unsigned)state < TOC_ALERT_STATE_COUNT ? names[state] : "unknown";
}
