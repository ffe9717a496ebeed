/*
 * What the rooms behind core/listen.h share: the listener itself, and the few
 * calls between them. Nobody else includes it.
 */
#ifndef TOC_CORE_LISTEN_INNER_H
#define TOC_CORE_LISTEN_INNER_H

#include "core/classic.h"
#include "core/domain.h"
#include "core/estimator.h"
#include "core/gate.h"
#include "core/group.h"
#include "core/listen.h"
#include "core/picker.h"
#include "core/seats.h"
#include "core/second.h"
#include "core/window.h"

#define STRIDE 5u             /* rows per frame of the picker network */
#define OUTPUTS 7u
#define STEPS 128u            /* motion steps: an onset 4 s back, 5 s of noise before it, and a block that is ahead */
#define TRACE 512u            /* rows, for polarity and class */
#define FOLLOWED 2            /* arrivals followed at once: a second quake in the coda of the first */
#define CLIP_MEMORY (30 * TOC_MODEL_RATE_HZ) /* rows */

struct followed {
    struct toc_estimator *estimator; /* owned */
    struct toc_estimator *successor; /* owned; the owner's: takes its place when no arrival is followed; NULL none */
    bool active;
    uint64_t pick_id;
    toc_ns onset;
    toc_ns s_time; /* S that was noted, TOC_NS_NONE none */
    int64_t next;  /* absolute step it waits for */
    int8_t polarity;
    struct toc_domain domain;
};

/* What the thinking needs of the settings. */
struct rules {
    struct toc_picker_settings picker;
    double follow_s;
};

/* How the group stood when the block was taken. */
struct stand {
    double scale;
    bool acceleration, has_vertical;
    enum toc_layout layout;
};

/* How far the thinking has come, for those who ask. */
struct progress {
    int64_t started; /* grid index of the first row since a restart, or since a network came that has to warm up */
    int64_t end_row;
    int64_t last_clipped, last_changed;
};

/* What was expected while the listener was out. */
struct expectation {
    uint64_t pick_id;
    struct toc_expected what;
};

struct toc_listener {
    /* never changed after create, read by all */
    uint32_t group_index, site;
    uint32_t hop; /* rows */
    const struct toc_model *second_model; /* borrowed */
    /* the owner's */
    struct toc_group *group; /* owned */
    struct rules next_rules; /* in force from the next block on */
    struct toc_gate_rule next_rule;
    uint32_t step;           /* rows, whole hops: from one end of a block to the next, unless a gap cuts it short */
    struct expectation expected[FOLLOWED]; /* what came while it was out */
    uint32_t n_expected;
    struct progress seen;    /* as of the last give */
    toc_ns picked_until, arrived;
    bool out;
    bool changing;           /* a new picker does not decide yet, as of the last give */
    /* rows that were taken and not yet used: the due block, and less than a step behind it. While it is out nobody
     * changes them. */
    struct toc_rows rows;
    uint32_t block;          /* rows of the due block; 0 none */
    struct stand stand;
    /* of the thread that runs it; the owner's while it is not out. What waits for the next give, offers in the seats and
     * successors of estimators, is the owner's always. */
    struct rules rules;
    struct toc_gate_rule rule;
    struct toc_seats seats;          /* nobody in the live one: classical */
    struct toc_features *features;   /* owned */
    struct toc_motion *motion;       /* owned */
    struct toc_picker picker, shadow;
    struct toc_classic *classic;     /* owned */
    int heard;                       /* the component it listens to */
    struct toc_second *second;       /* owned; NULL: picks are said once */
    struct followed followed[FOLLOWED];
    struct progress now;
    struct toc_gate *gate;           /* owned; one for all its networks */
    /* history by absolute index */
    struct toc_motion_step steps[STEPS];
    int64_t first_step, end_step; /* kept: [first, end) */
    float trace[TOC_COMPONENTS][TRACE];
    int64_t first_row;            /* kept: [first_row, now.end_row) */
    float last_z;
};

/* Frames of the networks from a hop on; NULL: the gate kept its rows from them, or there is none. */
struct heard_frames {
    const float *live, *shadow;
};

/* ---- listen_rows.c: the due block to feature rows [rows][7], motion steps and history ---------------------- */

void toc_listen_prepare(struct toc_listener *l, float *ret_features);
/** Rows before the first hop: they warm the features and go to no network. */
uint32_t toc_listen_lead_rows(const struct toc_listener *l);

/* ---- listen_arrivals.c: picks and estimates of the due block ----------------------------------------------- */

/** @param features of the block, @param heard of its whole hops */
void toc_listen_conclude(struct toc_listener *l, const float *features, struct heard_frames heard,
                         struct toc_listen_scratch *scratch, struct toc_listener_result *result);

/* ---- listen_networks.c ------------------------------------------------------------------------------------- */

/** It reads and says what a picker has to; NULL, the classical one, does. */
bool toc_listen_is_picker(const struct toc_model *model);
/** NULL for no model: the classical methods need none. */
struct toc_model_scratch *toc_listen_work_of(struct toc_listen_scratch *s, const struct toc_model *model);

#endif
