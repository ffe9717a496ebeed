/*
 * What an operator may tune, one struct per stage. Plain numbers: the
 * daemon's schema table fills them from YAML, tests fill them by hand,
 * TOC_SETTINGS_DEFAULT holds what ships. Change here, in the
 * schema table and in config/tocsin.yaml together (a test compares them).
 */
#ifndef TOC_CORE_SETTINGS_H
#define TOC_CORE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

/** A number that is left to the program: "auto" in YAML. */
#define TOC_AUTO (-1.0)

struct toc_stream_settings {
    double ring_s;        /* seconds kept per channel: 10..600 */
    double gap_hold_s;    /* how long to wait (feed clock) for late records before a gap is passed: 0..60 */
    double align_wait_s;  /* how long to wait for a lagging component before going on without it: 0..60.
                             A quiet 512-byte record holds up to 7 s, so less than that tears components apart */
    double bridge_s;      /* gaps up to this are bridged by a straight line, longer ones reset: 0..1 */
    double future_s;      /* records starting later than now + this are refused: 0..3600 */
    double clip_counts;   /* |counts| at or above this is clipped: 1..1e10 */
};

struct toc_picker_settings {
    double hop_s;         /* inference every ... of data, on an absolute grid: 0.05..1, multiple of 0.05. State is carried, so a short
                             hop costs little more than a long one and saves half a hop of waiting */
    double p_threshold;   /* declare P at this probability: 0..1, or TOC_AUTO: what the model suggests for the layout */
    double s_threshold;   /* declare S: likewise */
    double p_threshold_two, s_threshold_two;           /* the same where two components deliver; TOC_AUTO: as the above */
    double p_threshold_vertical, s_threshold_vertical; /* ... and where the vertical alone does */
    double confirm_threshold;  /* a second look this sure of a P confirms it: 0..1 */
    double withdraw_threshold; /* ... and one less sure than this withdraws it: 0..1 */
    double dead_s;        /* no second pick of the same phase within: 0..60 */
    double warmup_s;      /* no pick until this much continuous signal was seen: 0..120 */
};

struct toc_load_settings {
    double behind_s;      /* data that wait this long for a worker mean that it is behind: 0.05..10 */
    double relax_s;       /* calm asked for before more is done again: 1..600 */
    double gate_ratio;    /* when behind, a station is quiet while its fast over slow RMS stays below this: 1.1..10 */
};

struct toc_estimator_settings {
    double follow_s;      /* seconds after P an arrival is followed: 1..120 */
    double publish_s;     /* an estimate is handed out each ... of data: 0.1..10 */
};

struct toc_associator_settings {
    int32_t min_sites;        /* P picks on this many sites open an event: 2..32 */
    double window_s;          /* an unassociated pick is kept this long: 5..300 */
    double residual_s;        /* a pick joins when |residual| is below this plus spread: 0.1..10 */
    double max_distance_km;   /* from the first station of the event: 10..2000 */
    double min_expected;      /* share of sites that should have seen it and did, to open: 0..1 */
    double close_s;           /* an event without news is closed after: 10..3600 */
    double noisy_per_day;     /* a station with more lone P picks a day than this, and than its neighbours, is noisy: 1..1000 */
    double foreign;           /* a P is left out while teleseism, noise and calibration together are this likely: 0.5..1 */
};

struct toc_fusion_settings {
    double lstm_weight;       /* weight of the network's magnitude against the classical one: 0..1 */
    double between_sigma;     /* magnitude scatter no number of stations removes: 0..1 */
};

struct toc_alert_settings {
    double tentative_score;   /* 0..1 */
    double alert_score;       /* 0..1 */
    double cancel_score;      /* below this an alerted event is cancelled: 0..1 */
    double min_magnitude;     /* -2..10 */
    double sure_sigmas;       /* the magnitude less this many of its sigmas must reach min_magnitude: a small quake whose
                                 size is a guess waits until it is known, a large one does not: 0..3 */
    int32_t min_sites;        /* 2..64 */
    double update_magnitude;  /* a change of this much is news: 0.05..5 */
    double update_km;         /* ... or of the epicentre: 1..500 */
    double update_every_s;    /* the least time between two updates: 0.1..60 */
    double final_after_s;     /* after the origin: 5..600 */
    double max_age_s;         /* nothing is alerted first later than this after the origin: 5..600 */
};

struct toc_settings {
    struct toc_stream_settings stream;
    struct toc_picker_settings picker;
    struct toc_load_settings load;
    struct toc_estimator_settings estimator;
    struct toc_associator_settings associator;
    struct toc_fusion_settings fusion;
    struct toc_alert_settings alert;
};

#define TOC_SETTINGS_DEFAULT                                                                                     \
    {                                                                                                            \
        .stream = {.ring_s = 60, .gap_hold_s = 3, .align_wait_s = 10, .bridge_s = 0.1, .future_s = 2,             \
                   .clip_counts = 6710886.4 /* 80 % of 2^23 */},                                                 \
        .picker = {.hop_s = 0.05, .p_threshold = TOC_AUTO, .s_threshold = TOC_AUTO, .p_threshold_two = TOC_AUTO,    \
                   .s_threshold_two = TOC_AUTO, .p_threshold_vertical = TOC_AUTO,                                \
                   .s_threshold_vertical = TOC_AUTO, .confirm_threshold = 0.5,                                    \
                   .withdraw_threshold = 0.02, .dead_s = 1.0, .warmup_s = 4},                                    \
        .load = {.behind_s = 0.3, .relax_s = 10, .gate_ratio = 3},                                               \
        .estimator = {.follow_s = 20, .publish_s = 0.5},                                                         \
        .associator = {.min_sites = 4, .window_s = 60, .residual_s = 1.0, .max_distance_km = 300,                \
                       .min_expected = 0.4, .close_s = 120, .noisy_per_day = 6, .foreign = 0.95},                                                     \
        .fusion = {.lstm_weight = 0.5, .between_sigma = 0.15},                                                   \
        .alert = {.tentative_score = 0.3, .alert_score = 0.6, .cancel_score = 0.2, .min_magnitude = 3.5,         \
                  .sure_sigmas = 1, .min_sites = 4, .update_magnitude = 0.2, .update_km = 5,                     \
                  .update_every_s = 1, .final_after_s = 60, .max_age_s = 60},                                    \
    }

#endif
