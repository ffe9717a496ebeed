/*
 * The hallway: owns the stages and calls them in order. Packet in, alert
 * out. No clock, no I/O, no logging: `now` is an argument, products are
 * pulled. Single threaded but for the one seam, a batch of windows, which
 * may run anywhere between take and give.
 *
 *   push_record -> decode fence -> ring
 *   take_batch  -> rows of the three components
 *   batch       -> features, motion -> picker network -> picks -> estimates    (pure, any thread)
 *   give_batch  -> event -> origin -> score -> alert
 */
#ifndef TOC_CORE_PIPELINE_H
#define TOC_CORE_PIPELINE_H

#include <stddef.h>
#include <stdint.h>

#include "core/decode.h"
#include "core/load.h"
#include "core/settings.h"
#include "core/shadow.h"
#include "core/shaking.h"
#include "core/station.h"
#include "core/stats.h"
#include "core/travel.h"
#include "core/types.h"

struct toc_model; /* core/model.h: const weights, shared */
struct toc_pipeline;
struct toc_batch;

/** What a pipeline is made from. Everything is copied or borrowed as said. */
struct toc_pipeline_parts {
    const struct toc_inventory *inventory; /* borrowed until destroy */
    const struct toc_travel *travel;       /* borrowed until destroy */
    const struct toc_model *picker;        /* borrowed; NULL: the classical picker alone */
    const struct toc_model *second;        /* borrowed; NULL: picks are said once (core/second.h) */
    const struct toc_model *shadow;        /* borrowed; NULL none. Reads what the picker reads and decides nothing */
    const struct toc_model *estimator;     /* borrowed; NULL: the classical magnitude alone */
    struct toc_settings settings;          /* copied */
    const struct toc_target *targets;      /* copied */
    size_t n_targets;                      /* <= TOC_ALERT_TARGETS_MAX */
    uint32_t workers;                      /* batches that may be out at once, <= TOC_PIPELINE_WORKERS_MAX; 0: replay,
                                              toc_pipeline_work() alone: nothing is ever late, nobody goes first */
};

#define TOC_PIPELINE_WORKERS_MAX 64

/** A pick as handed out, with its group's sid. */
struct toc_pick_report {
    struct toc_pick pick;
    char sid[TOC_SID_SIZE];
};

struct toc_estimate_report {
    struct toc_estimate estimate;
    char sid[TOC_SID_SIZE];
};

/** How the shadow differs, or not, with the group's sid. */
struct toc_shadow_note {
    struct toc_shadow_report report;
    char sid[TOC_SID_SIZE];
};

/** The load mode changed. */
struct toc_load_report {
    enum toc_load_mode from, to;
    double wait_s; /* of the oldest waiting data, at that moment */
    toc_ns at;
};

/** What an operator sees of one group. */
struct toc_group_report {
    char sid[TOC_SID_SIZE];
    enum toc_station_status status;
    double latitude_deg, longitude_deg;
    toc_ns newest;        /* end of the newest sample; TOC_NS_NONE none */
    toc_ns arrived;       /* `now` of its newest packet; TOC_NS_NONE none */
    uint64_t samples, gaps, picks;
};

/** @return 0, -EINVAL (settings or model do not fit; ret_why says it in words), -ENOMEM. Nothing is allocated after. */
int toc_pipeline_create(const struct toc_pipeline_parts *parts, struct toc_pipeline **ret_pipeline,
                        char *ret_why, size_t why_size);
void toc_pipeline_destroy(struct toc_pipeline *pipeline);

/** New thresholds and targets between two calls; streams, windows and open events stay. hop_s and ring_s are fixed at
 * create: a change of these is refused with -EINVAL and a reason. @return 0 or -EINVAL (nothing changed). */
int toc_pipeline_reconfigure(struct toc_pipeline *pipeline, const struct toc_settings *settings,
                             const struct toc_target *targets, size_t n_targets, char *ret_why, size_t why_size);

/**
 * Other networks while running; no sample and no pick is lost. A new picker runs beside the old one at each station
 * until it has heard all it looks back on, then decides; where nothing came for a minute it takes over at once.
 * Arrivals that are followed keep their estimator. What is the same as before stays as it is.
 *
 * @param picker, shadow, estimator  borrowed; NULL as in the parts
 * @return 0; -EBUSY: too many changes at once; -EINVAL, -E2BIG, -ENOMEM: of no use or no room, and what was in use
 *         stays
 */
int toc_pipeline_change_models(struct toc_pipeline *pipeline, const struct toc_model *picker,
                               const struct toc_model *shadow, const struct toc_model *estimator);
/** Stations where the new picker does not decide yet. */
size_t toc_pipeline_changing(const struct toc_pipeline *pipeline);
/** Nobody uses this model any more: it may be destroyed. Ask again later when not. */
bool toc_pipeline_release(struct toc_pipeline *pipeline, const struct toc_model *model);

/** One miniSEED record, exactly `len` bytes. @return the decode verdict (TOC_DECODE_OK = 0, or the counted reason). */
enum toc_decode_verdict toc_pipeline_push_record(struct toc_pipeline *pipeline, const uint8_t *record, size_t len,
                                                 toc_ns now);

/** The same from a decoded chunk (tests, other formats). */
void toc_pipeline_push(struct toc_pipeline *pipeline, const struct toc_chunk *chunk, toc_ns now);

/** Time passes: waits end, stations go stale, alerts become final. Call at least every 0.2 s of `now`. */
void toc_pipeline_tick(struct toc_pipeline *pipeline, toc_ns now);

/**
 * Blocks that are due, or NULL: none is, or `workers` batches are out. Data pushed meanwhile wait in the rings. A
 * station is in one batch at most, so its picks come in order; picks of different stations come in the order in which
 * batches are given back, and within a batch in its own. What a station says depends on neither.
 *
 * Who waited longest goes first; data of stations where waves of an open event may arrive now, or whose picks it has,
 * are taken as if they had waited 0.5 s longer. A batch is small when few wait and holds at most some milliseconds of
 * work.
 */
struct toc_batch *toc_pipeline_take_batch(struct toc_pipeline *pipeline, toc_ns now);
/** Run the network. Pure: touches only the batch. */
void toc_batch_run(struct toc_batch *batch);
/** In the order of taking, when several are ready at once. */
void toc_pipeline_give_batch(struct toc_pipeline *pipeline, struct toc_batch *batch, toc_ns now);

/** take, run, give inline until nothing is due: replay, and a daemon without workers. */
void toc_pipeline_work(struct toc_pipeline *pipeline, toc_ns now);

/** Pull products, oldest first. @return true when one was written. Queues are bounded: when nobody pulls, the oldest
 * pick or estimate is dropped and counted; an alert never is (the queue holds one per open event and state). */
bool toc_pipeline_next_pick(struct toc_pipeline *pipeline, struct toc_pick_report *ret_pick);
bool toc_pipeline_next_estimate(struct toc_pipeline *pipeline, struct toc_estimate_report *ret_estimate);
bool toc_pipeline_next_alert(struct toc_pipeline *pipeline, struct toc_alert *ret_alert);

/** With a shadow: each onset that it or the live network said. */
bool toc_pipeline_next_shadow(struct toc_pipeline *pipeline, struct toc_shadow_note *ret_note);

bool toc_pipeline_next_load(struct toc_pipeline *pipeline, struct toc_load_report *ret_load);

/** How much is done per station now (core/load.h), and the age of the oldest data that wait for a worker, in s. */
enum toc_load_mode toc_pipeline_load(const struct toc_pipeline *pipeline);
double toc_pipeline_wait_s(const struct toc_pipeline *pipeline, toc_ns now);

size_t toc_pipeline_groups(const struct toc_pipeline *pipeline);
/** @return 0 or -ENOENT */
int toc_pipeline_group(const struct toc_pipeline *pipeline, size_t index, struct toc_group_report *ret_group);

/** Picks of this group are said up to here; TOC_NS_NONE none, or no such group. */
toc_ns toc_pipeline_picked_until(const struct toc_pipeline *pipeline, size_t index);

/** Counters since create. Borrowed, valid until destroy. */
const struct toc_stats *toc_pipeline_stats(const struct toc_pipeline *pipeline);

#endif
