/*
 * A station group at work: up to three channels of one sensor, each with
 * its ring and resampler, brought together as rows (E, N, Z) on the 100 Hz
 * grid of absolute time, turned to true east, north and up by metadata.
 * Waiting is explicit and bounded: for late records at a gap
 * (gap_hold_s), for a component that lags behind the others (align_wait_s);
 * both on the feed's clock `now`, so that a replay repeats exactly.
 *
 *   gap of all components  -> the rows jump, `restart` is set on the first row after it
 *   one component is away  -> its value is NAN, the others go on
 *   short gap (bridge_s)   -> a straight line
 */
#ifndef TOC_CORE_GROUP_H
#define TOC_CORE_GROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/settings.h"
#include "core/station.h"
#include "core/stats.h"
#include "core/types.h"
#include "core/window.h"

/** Most rows of one pull: 1 s. */
#define TOC_ROWS_MAX 100

/** A run of consecutive instants of a group. Values are in counts of the vertical (or first) channel: the other channels
 * are brought to its gain where both gains are known. */
struct toc_rows {
    int64_t first; /* grid index of row 0, time = index * TOC_GRID_NS */
    uint32_t n;
    bool restart;  /* row 0 is the first, or the first after a gap: every state downstream must be forgotten */
    float enz[TOC_COMPONENTS][TOC_ROWS_MAX]; /* NAN: this component is missing now */
    bool clipped[TOC_ROWS_MAX];              /* a raw sample at or above clip_counts is in it */
};

struct toc_group;

/**
 * @param sid        group sid, FDSN:NET_STA_LOC_B_S
 * @param inventory  borrowed until destroy
 * @param settings   copied; ring_s is used here only
 * @return 0, -ENOENT (no channel of this group in the inventory), -ENOMEM. Nothing is allocated after.
 */
int toc_group_create(const char *sid, const struct toc_inventory *inventory,
                     const struct toc_stream_settings *settings, struct toc_group **ret_group);
void toc_group_destroy(struct toc_group *group);
void toc_group_configure(struct toc_group *group, const struct toc_stream_settings *settings);

/** Store a chunk of one of its channels. Counts into stats (borrowed during the call). @return false when the channel has
 * no epoch in the inventory at the chunk's time, or starts later than now + future_s: nothing was stored. */
bool toc_group_push(struct toc_group *group, const struct toc_chunk *chunk, toc_ns now, struct toc_stats *stats);

/**
 * Append the rows that can be decided at `now`, oldest first, each once, until `rows` is full. A row behind a gap goes only
 * into empty rows (n == 0), as their restart.
 *
 * @param rows  n is read; n 0: first and restart are written too
 * @return true: a gap follows what is there, and the rows behind it wait for empty ones
 */
bool toc_group_pull(struct toc_group *group, toc_ns now, struct toc_rows *rows, struct toc_stats *stats);

/** As of the last pull: something is held back until time has passed. False: only a push can make rows. */
bool toc_group_waits(const struct toc_group *group);

const char *toc_group_sid(const struct toc_group *group);
/** Counts per SI unit of the rows; NAN unknown. */
double toc_group_scale(const struct toc_group *group);
enum toc_unit toc_group_unit(const struct toc_group *group);
/** Metadata of its vertical, or of the first channel there is (the epoch of the newest data, else the latest). Never NULL. */
const struct toc_channel *toc_group_place(const struct toc_group *group);
/** The vertical delivers. */
bool toc_group_has_vertical(const struct toc_group *group);
/** Number of components that deliver now. */
int toc_group_components(const struct toc_group *group);
/** End of the newest sample of the vertical (or first channel) as received, TOC_NS_NONE none. */
toc_ns toc_group_newest(const struct toc_group *group);
/** Rate of the vertical in Hz, 0 unknown yet. */
double toc_group_rate(const struct toc_group *group);

#endif
