/*
 * Two pickers on the same ground, compared: which onsets both said, and which
 * only the live one or only the shadow. Picks go in as they are declared;
 * differences come out, each once. Knows no signal and no network.
 */
#ifndef TOC_CORE_SHADOW_H
#define TOC_CORE_SHADOW_H

#include <stdbool.h>

#include "core/types.h"

#define TOC_SHADOW_SAME_S 1.0 /* picks of a phase at a group no further apart than this are of one onset */
#define TOC_SHADOW_WAIT_S 5.0 /* ... the second of which is waited for this long */

enum toc_shadow_verdict { TOC_SHADOW_BOTH, TOC_SHADOW_LIVE_ONLY, TOC_SHADOW_ONLY };

struct toc_shadow_report {
    enum toc_shadow_verdict verdict;
    struct toc_pick live, shadow; /* the one that was not said is zero */
};

struct toc_shadow;

/** @return 0 or -ENOMEM. Nothing is allocated after. */
int toc_shadow_create(struct toc_shadow **ret_shadow);
void toc_shadow_destroy(struct toc_shadow *shadow);

/** both, live_only, shadow_only */
const char *toc_shadow_verdict_str(enum toc_shadow_verdict verdict);

/** A pick of one of the two. @param ret_report  written when this decides something: its counterpart waited (the nearest in
 * time), or there was no room and the one that waited longest goes alone. @return true: written */
bool toc_shadow_add(struct toc_shadow *shadow, bool live, const struct toc_pick *pick, toc_ns now,
                    struct toc_shadow_report *ret_report);
/** The next that waited too long at `now`. @return false: none */
bool toc_shadow_expire(struct toc_shadow *shadow, toc_ns now, struct toc_shadow_report *ret_report);

#endif
