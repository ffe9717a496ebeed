/*
 * One station group listening: its rows become feature blocks for the
 * picker network and motion steps for the estimator; frames become picks;
 * each P is followed for a while. Knows nothing of other groups. Blocks are
 * whole hops, cut by data time on an absolute grid, so what is said does not
 * depend on packets.
 *
 *   owner's thread   push -> advance (true: a block is due)          -> give -> picks, estimates
 *   any thread                                toc_listeners_run
 *
 * From a true advance to give the listener is out: its owner may push, expect S, configure and ask for its status;
 * all that thinks belongs to the thread that runs it. What was expected or configured meanwhile holds from give on.
 */
#ifndef TOC_CORE_LISTEN_H
#define TOC_CORE_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/group.h"
#include "core/load.h"
#include "core/model.h"
#include "core/settings.h"
#include "core/types.h"

struct toc_listener;

/** Most picks of one block, revisions included, and estimates of one block (two followed arrivals, steps of 0.1 s in 1 s). */
#define TOC_LISTEN_PICKS_MAX 16
#define TOC_LISTEN_ESTIMATES_MAX 24

/** What a listener is made from. */
struct toc_listener_parts {
    const char *sid;                       /* of the group */
    uint32_t group, site;                  /* its places in the registry, stamped on picks */
    const struct toc_inventory *inventory; /* borrowed until destroy */
    const struct toc_model *picker;        /* borrowed until nobody holds it; NULL: the classical picker */
    const struct toc_model *shadow;        /* likewise: reads what the picker reads, decides nothing; NULL none */
    const struct toc_model *second;        /* borrowed until destroy; NULL: picks are said once (core/second.h) */
    const struct toc_model *estimator;     /* as the picker; NULL: peaks alone */
    const struct toc_settings *settings;   /* copied; hop_s and ring_s are used here only */
};

/** @return 0, -ENOENT (no channels), -EINVAL (a model of another shape), -ENOMEM. Nothing is allocated after. */
int toc_listener_create(const struct toc_listener_parts *parts, struct toc_listener **ret_listener);
void toc_listener_destroy(struct toc_listener *listener);
/** New thresholds; hop_s and ring_s stay. */
void toc_listener_configure(struct toc_listener *listener, const struct toc_settings *settings);

/** @return false: nothing stored, the channel has no metadata at that time or the start lies in the future */
bool toc_listener_push(struct toc_listener *listener, const struct toc_chunk *chunk, toc_ns now,
                       struct toc_stats *stats);

/**
 * How much to do from the next block on, when there is more to do than time: see core/load.h for the modes, core/gate.h for
 * what is left out. Before a listener that was left out goes on, the network is given the rows it missed; of more than are
 * kept the last ones, from zero state. Motion and estimates are never left out.
 *
 * @param gate_ratio  fast over slow RMS at which something moves, above 1
 */
void toc_listener_ease(struct toc_listener *listener, enum toc_load_mode mode, double gate_ratio);

/** Take the rows that are decided at `now`, up to 1 s of them. @return true: at least one hop is full, and the listener is
 * out until it was given back; false: none is, or it is out already */
bool toc_listener_advance(struct toc_listener *listener, toc_ns now, struct toc_stats *stats);

/** Rows of the block that is due or out; 0 none. */
uint32_t toc_listener_due_rows(const struct toc_listener *listener);

/** After an advance: something is held back until time has passed, so it must be asked again although nothing comes. */
bool toc_listener_waits(const struct toc_listener *listener);

/** What a block said. */
struct toc_listener_result {
    uint32_t n_hops; /* that went through the picker; 0: rows before the first whole hop after a restart */
    uint32_t n_gated; /* that did not, for quiet */
    uint32_t n_picks, n_estimates, n_shadow;
    struct toc_pick picks[TOC_LISTEN_PICKS_MAX];             /* first words and revisions; ids are given by toc_listener_give() */
    struct toc_estimate estimates[TOC_LISTEN_ESTIMATES_MAX]; /* each step of each followed arrival */
    struct toc_pick shadow[TOC_LISTEN_PICKS_MAX];            /* what the shadow would have said; without ids */
};

/** Work space of one thread. */
struct toc_listen_scratch;

/** @return 0, -ENOMEM */
int toc_listen_scratch_create(struct toc_listen_scratch **ret_scratch);
/** Room for one more model of the listeners, by its owner, also while the scratch is out; it is there after the next settle.
 * NULL, and one it has room for, are fine. @return 0, -EBUSY (too many at once), -EINVAL, -ENOMEM */
int toc_listen_scratch_offer(struct toc_listen_scratch *scratch, const struct toc_model *model);
/** While it is not out. Allocates nothing. */
void toc_listen_scratch_settle(struct toc_listen_scratch *scratch);
/** While it is not out: no listener holds this model any more. */
void toc_listen_scratch_drop(struct toc_listen_scratch *scratch, const struct toc_model *model);
void toc_listen_scratch_destroy(struct toc_listen_scratch *scratch);

/** All the thinking about the due blocks of n listeners: features, motion, network, picks, estimates. Pure: touches
 * only the listeners (each at most once in the list), the scratch and ret_results [n]. Allocates nothing. */
void toc_listeners_run(struct toc_listener *const *listeners, uint32_t n, struct toc_listen_scratch *scratch,
                       struct toc_listener_result *ret_results);

/**
 * Take the listener back.
 *
 * @param next_pick_id counter of the pipeline, raised for each pick
 * @param result       of its block; picks and estimates get their ids here
 */
void toc_listener_give(struct toc_listener *listener, uint64_t *next_pick_id, struct toc_listener_result *result);

/* Other networks while running. Nothing that was heard or followed is lost: a new picker runs beside the old one until it
 * has heard all it looks back on, a new estimator takes new arrivals. */

enum toc_listener_place { TOC_LISTENER_PICKER, TOC_LISTENER_SHADOW, TOC_LISTENER_ESTIMATOR };

/** Also while it is out. @param model borrowed until nobody holds it; NULL: none, the classical methods.
 * @return 0, -EINVAL (of another shape), -E2BIG, -ENOMEM; then nothing has changed */
int toc_listener_offer(struct toc_listener *listener, enum toc_listener_place place, const struct toc_model *model);
/** It has this model in some place, or may have: it is out. */
bool toc_listener_holds(const struct toc_listener *listener, const struct toc_model *model);
/** The picker that was offered last does not decide yet. */
bool toc_listener_changing(const struct toc_listener *listener);
/** Nothing came for a minute: take what was offered at once, and warm up should data come. Else nothing happens. */
void toc_listener_hurry(struct toc_listener *listener, toc_ns now);

/** What the origin this P belongs to says of it: see toc_estimator_expect(). Unknown or ended picks are ignored. */
void toc_listener_expect(struct toc_listener *listener, uint64_t pick_id, const struct toc_expected *expected);

/** Its one status at `now`. */
enum toc_station_status toc_listener_status(const struct toc_listener *listener, toc_ns now);

const struct toc_group *toc_listener_group(const struct toc_listener *listener);
/** End of the last block that was given back, TOC_NS_NONE none: picks up to here are said. */
toc_ns toc_listener_picked_until(const struct toc_listener *listener);
/** `now` of its newest packet, TOC_NS_NONE none. */
toc_ns toc_listener_arrived(const struct toc_listener *listener);

#endif
