/*
 * What really happens in a scenario, as a listener with a watch would need it: the first earthquake of a scenario
 * directory (events.csv, picks.csv, stations.txt), moved in time as the server moved it, and two places that
 * want to be warned. The daemon under test never sees any of this.
 */
#ifndef TOC_SIM_STORY_TRUTH_H
#define TOC_SIM_STORY_TRUTH_H

#include <stddef.h>

#include "core/nstime.h"
#include "core/travel.h"

#define TOC_STORY_TARGETS 2
#define TOC_STORY_MMI_LIMIT 5.0
#define TOC_STORY_SITES_MAX 1000

struct toc_story_site {
    char name[24];                 /* NET_STA */
    double latitude_deg, longitude_deg;
    double epicentral_km;
    toc_ns p, s;                   /* true arrivals, TOC_NS_NONE unknown */
};

struct toc_story_target {
    const char *name;              /* static text */
    double latitude_deg, longitude_deg;
    double epicentral_km;
    toc_ns s;                      /* true arrival of S */
    double mmi;                    /* that core/shaking.h expects from the true source */
};

struct toc_story {
    toc_ns origin;
    double latitude_deg, longitude_deg, depth_km, magnitude;
    struct toc_story_site *sites;  /* owned */
    size_t n_sites;
    struct toc_story_target targets[TOC_STORY_TARGETS];
    struct toc_travel *travel;     /* owned; the earth of the simulation */
};

/**
 * Read a scenario directory. The targets lie 40 and 80 km from the epicentre: the far one toward the middle of the
 * network and beyond, the near one a quarter turn from it.
 *
 * @param moved  added to every time
 * @return 0, -errno of a file that cannot be read, -EBADMSG (a table is damaged), -ENODATA (no event, no station)
 */
int toc_story_read(const char *directory, toc_ns moved, struct toc_story *ret_story);
void toc_story_finish(struct toc_story *story);

/** The site of a source identifier, "FDSN:NET_STA_...". NULL when there is none. */
const struct toc_story_site *toc_story_site(const struct toc_story *story, const char *sid);

/** How far from the epicentre a phase has come at the surface, `after_s` after the origin. 0 while it is below. */
double toc_story_front_km(const struct toc_story *story, enum toc_phase phase, double after_s);

#endif
