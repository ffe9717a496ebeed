/*
 * Counters: plain uint64, written by the pipeline, read by anyone on the
 * same thread. One list makes field and name, so that no counter is
 * printed under another's name.
 */
#ifndef TOC_CORE_STATS_H
#define TOC_CORE_STATS_H

#include <stdint.h>

#define TOC_STATS_LIST(X)                                                                                         \
    X(records)            /* offered to the fence */                                                               \
    X(records_refused)    /* by the fence or the decoder */                                                        \
    X(records_unknown)    /* of channels without metadata */                                                       \
    X(samples)            /* stored in rings */                                                                    \
    X(samples_late)       /* came after their gap was passed, dropped */                                           \
    X(samples_duplicate)  /* already there with the same value */                                                  \
    X(samples_conflict)   /* already there with another value: the first stays */                                  \
    X(samples_future)     /* start later than now + future_s, dropped */                                           \
    X(gaps)               /* passed without data */                                                                \
    X(gaps_bridged)       /* short enough for a straight line */                                                   \
    X(rate_changes)                                                                                               \
    X(blocks)             /* of stations, each of one or more windows */                                           \
    X(windows)            /* given to the network */                                                               \
    X(windows_gated)      /* not given to it: behind, and the station was quiet (core/load.h) */                   \
    X(load_changes)                                                                                               \
    X(picks_p)                                                                                                    \
    X(picks_s)                                                                                                    \
    X(revisions)          /* of picks, by the second look; of these: */                                           \
    X(revisions_confirmed)                                                                                        \
    X(revisions_withdrawn)                                                                                        \
    X(shadow_both)        /* picks the live network and its shadow said */                                         \
    X(shadow_live_only)                                                                                           \
    X(shadow_only)                                                                                                \
    X(shadow_dropped)     /* differences nobody pulled */                                                          \
    X(picks_dropped)      /* nobody pulled them */                                                                 \
    X(estimates)                                                                                                  \
    X(estimates_dropped)                                                                                          \
    X(picks_unassociated) /* aged out without an event */                                                          \
    X(events)                                                                                                     \
    X(events_refused)     /* no room: max open events */                                                           \
    X(alerts)

struct toc_stats {
#define X(name) uint64_t name;
    TOC_STATS_LIST(X)
#undef X
};

#endif
