/*
 * The only caller of clock_gettime.
 */
#include "daemon/clock.h"

#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec ts = {0};

    (void)clock_gettime(id, &ts); /* both clocks always exist on Linux */
    return (int64_t)ts.tv_sec * TOC_NS_PER_S + ts.tv_nsec;
}

toc_ns toc_clock_utc(void)
{
    return read_clock(CLOCK_REALTIME);
}

struct toc_mono toc_clock_mono(void)
{
    return (struct toc_mono){.ns = read_clock(CLOCK_MONOTONIC)};
}

double toc_clock_elapsed_s(struct toc_mono from, struct toc_mono to)
{
    return (double)(to.ns - from.ns) / (double)TOC_NS_PER_S;
}
