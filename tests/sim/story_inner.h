/* What story_tell.c remembers and story_end.c sums up. Nobody else includes it. */
#ifndef TOC_SIM_STORY_INNER_H
#define TOC_SIM_STORY_INNER_H

#include "tests/sim/story_tell.h"

/* Written to a terminal only. */
#define STYLE_PLAIN "\033[0m"
#define STYLE_DIM "\033[2m"
#define STYLE_TRUTH "\033[1;35m"
#define STYLE_P "\033[36m"
#define STYLE_S "\033[34m"
#define STYLE_WRONG "\033[33m"
#define STYLE_ALERT "\033[1;37;41m"
#define STYLE_UPDATE "\033[1;31m"
#define STYLE_HEAD "\033[1m"
#define STYLE_GOOD "\033[1;32m"

#define MOMENTS_MAX (2 + TOC_STORY_TARGETS)

enum moment_kind { MOMENT_ORIGIN, MOMENT_FIRST_P, MOMENT_S_AT_TARGET };

struct moment {
    toc_ns at;
    enum moment_kind kind;
    size_t which;
};

struct pick_told {
    toc_ns heard;     /* TOC_NS_NONE: never */
    double off_s;     /* onset said minus true arrival */
    bool in_first_alert; /* of P: among the stations of the first alert */
};

struct target_said {
    double mmi, mmi_sigma, seconds_left; /* NAN: not said */
};

/* A message about an event. */
struct said {
    char event[64], type[16];
    long version, used_sites;
    toc_ns heard, origin;
    double latitude_deg, longitude_deg, depth_km, magnitude, magnitude_sigma, score;
    double off_km;    /* from the true epicentre */
    struct target_said targets[TOC_STORY_TARGETS];
};

struct toc_telling {
    const struct toc_story *story;
    FILE *out;
    bool terminal, waiting;            /* waiting: the line that counts down is on the screen */
    struct moment moments[MOMENTS_MAX]; /* by time */
    size_t n_moments, next_moment;
    const struct toc_story_site *nearest;
    long up, total;                    /* stations, as last told; -1 never */
    unsigned long heartbeats, wrong_picks, wrong_alerts;
    double wrong_km;                   /* how far off the last wrong alert was */
    struct pick_told *picks;           /* owned; [2 * site + phase] */
    bool alerted, cancelled, closed;
    struct said first, last;           /* when alerted */
};

/** Take the counting line off the screen. */
void toc_telling_clear(struct toc_telling *telling);

#endif
