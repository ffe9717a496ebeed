/*
 * What core/pipeline.c and its rooms, core/pipeline_*.c, share: the hallway
 * itself, and the few calls that cross. Nobody else includes it.
 */
#ifndef TOC_CORE_PIPELINE_INNER_H
#define TOC_CORE_PIPELINE_INNER_H

#include "core/alert.h"
#include "core/associator.h"
#include "core/fusion.h"
#include "core/geo.h"
#include "core/listen.h"
#include "core/locate.h"
#include "core/model.h"
#include "core/pipeline.h"
#include "core/route.h"
#include "core/turns.h"

#define BATCH_MAX 64u
#define PICK_QUEUE 1024u
#define ESTIMATE_QUEUE 1024u
#define ALERT_QUEUE 32u
#define LOAD_QUEUE 8u
#define SHADOW_QUEUE 256u
#define ESTIMATES_KEPT 4096u /* the latest per pick, by pick id */

/* What the operator asks of each listener. */
struct heard {
    uint64_t samples, gaps, picks;
    double lone; /* P picks without an event, fading with LONE_S, as of lone_at */
    toc_ns lone_at;
    bool noisy;
};

/* What the pipeline keeps beside each event the associator owns. */
struct watch {
    uint64_t event;
    toc_ns thought, located;
    bool news; /* a pick joined since */
};

struct toc_batch {
    bool out;
    uint32_t n;
    struct toc_listener *listeners[BATCH_MAX]; /* borrowed from the pipeline until give */
    uint32_t index[BATCH_MAX];
    struct toc_listen_scratch *scratch;        /* owned by the pipeline */
    struct toc_listener_result results[BATCH_MAX];
};

struct toc_pipeline {
    struct toc_settings settings;
    const struct toc_travel *travel;
    const struct toc_model *picker, *second, *shadow, *estimator;
    struct toc_shadow *compared; /* owned */
    bool changing;               /* some listener may still wait for its new picker */
    struct toc_target targets[TOC_ALERT_TARGETS_MAX];
    size_t n_targets;
    struct toc_decoder *decoder;
    struct toc_stats stats;
    /* registry */
    struct toc_listener **listeners; /* owned, n_listeners */
    uint32_t n_listeners;
    uint32_t *site_of;               /* owned, n_listeners */
    struct heard *heard;             /* owned, n_listeners */
    bool *waits;                     /* owned, n_listeners: holds data back until time has passed */
    struct toc_turns *turns;         /* of the listeners */
    struct toc_routes routes;        /* owned */
    struct toc_site *sites;          /* owned */
    uint32_t n_sites;
    struct toc_geo_point *places;    /* owned, of the sites */
    bool *marked;                    /* owned, of the sites: scratch of favour_near() */
    /* the seam */
    struct toc_batch *batches;       /* owned, n_batches */
    uint32_t n_batches;
    bool shares;                     /* there are workers: batches are small, who is near an event goes first */
    struct toc_load load;
    toc_ns favoured;                 /* when that was looked up last */
    /* source */
    struct toc_associator *associator;
    struct toc_locator *locator;
    struct toc_alert_machine *machine;
    struct watch watches[TOC_ASSOCIATOR_EVENTS];
    struct toc_estimate *estimates; /* owned, ESTIMATES_KEPT */
    uint64_t next_pick_id;
    toc_ns sample, arrival;         /* ledger: newest packet */
    toc_ns ticked;                  /* `now` of the last tick that did the slow things */
    toc_ns clock;                   /* newest `now` seen */
    /* products */
    struct toc_pick_report *picks;         /* owned rings */
    struct toc_estimate_report *reports;
    struct toc_alert *alerts;
    struct toc_load_report loads[LOAD_QUEUE];
    struct toc_shadow_note notes[SHADOW_QUEUE];
    uint32_t note_first, note_n;
    uint32_t load_first, load_n;
    uint32_t pick_first, pick_n, report_first, report_n, alert_first, alert_n;
};

static inline toc_ns newest_of(const struct toc_pipeline *p, uint32_t listener)
{
    return toc_group_newest(toc_listener_group(p->listeners[listener]));
}

/* ---- core/pipeline_batch.c: who goes first, and how much is done ---- */

/** Looks up who is near an open event, each half second. */
void toc_pipeline_favour_near(struct toc_pipeline *p, toc_ns now);
/** Reads how long data wait, and queues each change of mode. */
void toc_pipeline_watch_load(struct toc_pipeline *p, toc_ns now);

/* ---- core/pipeline_station.c ---- */

/** Its own status, and noisy where that is all there is to say. */
enum toc_station_status toc_pipeline_status_of(const struct toc_pipeline *p, uint32_t listener, toc_ns now);
/** What the association knows of this listener's site. */
void toc_pipeline_refresh_site(struct toc_pipeline *p, uint32_t listener, toc_ns now);
/** P picks that left without an event since the last call, each on its station's account. */
void toc_pipeline_count_lone(struct toc_pipeline *p, toc_ns now);
/** Noisy above the limit, quiet again below half of it. */
void toc_pipeline_weigh_noise(struct toc_pipeline *p, uint32_t listener, toc_ns now);

/* ---- core/pipeline_event.c ---- */

/** A pick, first or revised, into the association. */
void toc_pipeline_associate(struct toc_pipeline *p, const struct toc_pick *pick, toc_ns now);
/** An estimate's word on what made its P; call before it is kept in p->estimates. */
void toc_pipeline_note_verdict(struct toc_pipeline *p, const struct toc_estimate *e, toc_ns now);
/** Thinks over the events that have news or wait for 0.1 s, and lets go of those that are over. */
void toc_pipeline_update_events(struct toc_pipeline *p, toc_ns now);

/* ---- core/pipeline_models.c ---- */

/** What the live network and the shadow found in one block, beside each other. */
void toc_pipeline_compare(struct toc_pipeline *p, const struct toc_listener_result *result, toc_ns now);
/** Onsets that only one of them said, and that the other no longer will. */
void toc_pipeline_expire_compared(struct toc_pipeline *p, toc_ns now);
/** Once a second while there is a change. */
void toc_pipeline_hurry_silent(struct toc_pipeline *p, toc_ns now);

/* ---- core/pipeline_out.c: in at one end of a queue; when it is full the oldest goes, and is counted ---- */

void toc_pipeline_queue_pick(struct toc_pipeline *p, const struct toc_pick *pick);
/** Of each publish_s alone. */
void toc_pipeline_queue_estimate(struct toc_pipeline *p, const struct toc_estimate *e);
bool toc_pipeline_is_published(const struct toc_pipeline *p, const struct toc_estimate *e);
/** Counts the verdict too. */
void toc_pipeline_queue_note(struct toc_pipeline *p, const struct toc_shadow_report *report);

#endif
