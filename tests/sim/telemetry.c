/* See telemetry.h. */
#include "tests/sim/telemetry.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "tests/sim/random.h"

#define STALL_EVERY_S 400.0

struct link {
    struct toc_random random;
    double median_s;
    toc_ns last;                     /* arrival of the newest record */
    toc_ns stall_start, stall_end;   /* the next or the present one */
};

struct toc_telemetry {
    size_t n;
    struct link links[];
};

static void next_stall(struct link *link, toc_ns after)
{
    const double wait_s = -STALL_EVERY_S * log(1.0 - toc_random_uniform(&link->random));
    link->stall_start = after + toc_ns_from_s(wait_s);
    link->stall_end = link->stall_start + toc_ns_from_s(toc_random_log_range(&link->random, 2.0, 20.0));
}

int toc_telemetry_create(const struct toc_scenario *scenario, struct toc_telemetry **ret_telemetry)
{
    struct toc_telemetry *telemetry = calloc(1, sizeof *telemetry + scenario->n_sites * sizeof telemetry->links[0]);
    if (!telemetry)
        return -ENOMEM;
    telemetry->n = scenario->n_sites;
    for (size_t i = 0; i < telemetry->n; i++) {
        struct link *link = &telemetry->links[i];
        toc_random_seed(&link->random, scenario->sites[i].seed, 3);
        link->median_s = toc_random_log_range(&link->random, 0.2, 1.5);
        link->last = TOC_NS_NONE;
        next_stall(link, scenario->start);
    }
    *ret_telemetry = telemetry;
    return 0;
}

void toc_telemetry_destroy(struct toc_telemetry *telemetry)
{
    free(telemetry);
}

toc_ns toc_telemetry_arrival(struct toc_telemetry *telemetry, size_t site, toc_ns end)
{
    struct link *link = &telemetry->links[site];
    toc_ns arrival = end + toc_ns_from_s(link->median_s * exp(0.25 * toc_random_normal(&link->random)));
    while (arrival >= link->stall_end)
        next_stall(link, link->stall_end);
    if (arrival >= link->stall_start)
        arrival = link->stall_end;
    if (link->last != TOC_NS_NONE && arrival < link->last + TOC_NS_PER_MS)
        arrival = link->last + TOC_NS_PER_MS;
    link->last = arrival;
    return arrival;
}
