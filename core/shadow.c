/*
 * A short list in the order of coming: picks are few, and wait for seconds.
 */
#include "core/shadow.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define WAITING 256u

struct waiting {
    struct toc_pick pick;
    bool live;
    toc_ns since;
};

struct toc_shadow {
    struct waiting list[WAITING]; /* oldest first */
    uint32_t n;
};

int toc_shadow_create(struct toc_shadow **ret_shadow)
{
    *ret_shadow = calloc(1, sizeof(**ret_shadow));
    return *ret_shadow ? 0 : -ENOMEM;
}

void toc_shadow_destroy(struct toc_shadow *shadow)
{
    free(shadow);
}

const char *toc_shadow_verdict_str(enum toc_shadow_verdict verdict)
{
    switch (verdict) {
    case TOC_SHADOW_BOTH:
        return "both";
    case TOC_SHADOW_LIVE_ONLY:
        return "live_only";
    case TOC_SHADOW_ONLY:
        return "shadow_only";
    }
    return "?";
}

static void drop(struct toc_shadow *shadow, uint32_t i)
{
    shadow->n--;
    memmove(&shadow->list[i], &shadow->list[i + 1], (shadow->n - i) * sizeof(shadow->list[0]));
}

static struct toc_shadow_report alone(const struct waiting *w)
{
    if (w->live)
        return (struct toc_shadow_report){.verdict = TOC_SHADOW_LIVE_ONLY, .live = w->pick};
    return (struct toc_shadow_report){.verdict = TOC_SHADOW_ONLY, .shadow = w->pick};
}

static toc_ns apart(const struct toc_pick *a, const struct toc_pick *b)
{
    return a->time > b->time ? a->time - b->time : b->time - a->time;
}

/* @return n: nobody waits for this one */
static uint32_t find(const struct toc_shadow *shadow, bool live, const struct toc_pick *pick)
{
    toc_ns least = toc_ns_from_s(TOC_SHADOW_SAME_S) + 1;
    uint32_t best = shadow->n;

    for (uint32_t i = 0; i < shadow->n; i++) {
        const struct waiting *w = &shadow->list[i];

        if (w->live == live || w->pick.group != pick->group || w->pick.phase != pick->phase ||
            apart(&w->pick, pick) >= least)
            continue;
        least = apart(&w->pick, pick);
        best = i;
    }
    return best;
}

bool toc_shadow_add(struct toc_shadow *shadow, bool live, const struct toc_pick *pick, toc_ns now,
                    struct toc_shadow_report *ret_report)
{
    uint32_t i = find(shadow, live, pick);
    bool full = shadow->n == WAITING;

    if (i < shadow->n) {
        const struct toc_pick *other = &shadow->list[i].pick;

        *ret_report = (struct toc_shadow_report){.verdict = TOC_SHADOW_BOTH, .live = live ? *pick : *other,
                                                 .shadow = live ? *other : *pick};
        drop(shadow, i);
        return true;
    }
    if (full) {
        *ret_report = alone(&shadow->list[0]);
        drop(shadow, 0);
    }
    shadow->list[shadow->n++] = (struct waiting){.pick = *pick, .live = live, .since = now};
    return full;
}

bool toc_shadow_expire(struct toc_shadow *shadow, toc_ns now, struct toc_shadow_report *ret_report)
{
    if (shadow->n == 0 || now - shadow->list[0].since < toc_ns_from_s(TOC_SHADOW_WAIT_S))
        return false;
    *ret_report = alone(&shadow->list[0]);
    drop(shadow, 0);
    return true;
}
