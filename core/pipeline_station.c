/*
 * What a station is worth to the association: whether it may be used, up to
 * when its picks are said, and whether it picks too often without cause.
 */
#include "core/pipeline_inner.h"

#include <math.h>

#define NOISY_RATE_HZ (60.0 / 3600) /* a noisy station is taken to pick once a minute without cause */
#define LONE_S 86400.0        /* lone picks are forgotten within a day or so */
#define LONE_MOST 8.0         /* ... counted to so many times the limit: a bad day does not mark a station for weeks */
/* More than the others: so many times what half of them have. A swarm makes everybody's picks lone. */
#define LONE_OTHERS 4.0

static double lone_picks(const struct heard *h, toc_ns now)
{
    return h->lone > 0 ? h->lone * exp(-toc_s_from_ns(now - h->lone_at) / LONE_S) : 0;
}

/* Do half of the others have at least a quarter of what this one has? */
static bool others_too(const struct toc_pipeline *p, uint32_t listener, toc_ns now)
{
    double quarter = lone_picks(&p->heard[listener], now) / LONE_OTHERS;
    uint32_t as_many = 0, others = 0;
    for (uint32_t i = 0; i < p->n_listeners; i++) {
        if (i == listener || p->heard[i].samples == 0)
            continue;
        others++;
        as_many += lone_picks(&p->heard[i], now) >= quarter;
    }
    return others > 0 && 2 * as_many >= others;
}

/* Noisy above the limit, quiet again below half of it. */
void toc_pipeline_weigh_noise(struct toc_pipeline *p, uint32_t listener, toc_ns now)
{
    struct heard *h = &p->heard[listener];
    double limit = p->settings.associator.noisy_per_day, n = lone_picks(h, now);
    if (n > limit && !h->noisy)
        h->noisy = !others_too(p, listener, now);
    else if (n < limit / 2)
        h->noisy = false;
}

void toc_pipeline_count_lone(struct toc_pipeline *p, toc_ns now)
{
    const uint32_t *groups;
    size_t n = toc_associator_take_lost(p->associator, &groups);
    for (size_t i = 0; i < n; i++) {
        struct heard *h = &p->heard[groups[i]];
        h->lone = fmin(lone_picks(h, now) + 1, LONE_MOST * p->settings.associator.noisy_per_day);
        h->lone_at = now;
        toc_pipeline_weigh_noise(p, groups[i], now);
    }
}

/* Its own status, and noisy where that is all there is to say. */
enum toc_station_status toc_pipeline_status_of(const struct toc_pipeline *p, uint32_t listener, toc_ns now)
{
    enum toc_station_status status = toc_listener_status(p->listeners[listener], now);
    return status == TOC_STATION_OK && p->heard[listener].noisy ? TOC_STATION_NOISY : status;
}

void toc_pipeline_refresh_site(struct toc_pipeline *p, uint32_t listener, toc_ns now)
{
    struct toc_site *site = &p->sites[p->site_of[listener]];
    toc_ns until = toc_listener_picked_until(p->listeners[listener]);
    if (until > site->picked_until)
        site->picked_until = until;
    site->usable = false;
    site->lone_rate_hz = 0;
    for (uint32_t i = listener; i > 0 && p->site_of[i - 1] == p->site_of[listener]; i--)
        listener = i - 1;
    for (uint32_t i = listener; i < p->n_listeners && p->site_of[i] == p->site_of[listener]; i++) {
        enum toc_station_status status = toc_pipeline_status_of(p, i, now);
        site->usable |= status == TOC_STATION_OK || status == TOC_STATION_CLIPPED || status == TOC_STATION_NOISY;
        if (p->heard[i].noisy)
            site->lone_rate_hz = fmax(site->lone_rate_hz, NOISY_RATE_HZ);
    }
}
