/*
 * Ticks lie on multiples of 0.1 s of data time, as in replay: the same
 * arrivals give the same calls.
 */
#include "daemon/dataclock.h"

#include "daemon/clock.h"

#define JUMP (900 * TOC_NS_PER_S)
#define FAR (10 * TOC_NS_PER_S)

void toc_dataclock_init(struct toc_dataclock *clock, bool data, double patience_s)
{
    *clock = (struct toc_dataclock){.data = data, .now = TOC_NS_NONE, .next_tick = TOC_NS_NONE,
                                    .patience_s = patience_s};
}

toc_ns toc_dataclock_now(const struct toc_dataclock *clock)
{
    return clock->data ? clock->now : toc_clock_utc();
}

bool toc_dataclock_is_far(const struct toc_dataclock *clock, toc_ns arrival)
{
    return clock->now == TOC_NS_NONE || arrival - clock->now > FAR;
}

bool toc_dataclock_believes(toc_ns far, toc_ns next)
{
    return next >= far - FAR;
}

void toc_dataclock_expect(struct toc_dataclock *clock, toc_ns arrival, struct toc_mono mono)
{
    if (clock->next_tick == TOC_NS_NONE || arrival - clock->next_tick > JUMP)
        clock->next_tick = arrival - arrival % TOC_DATACLOCK_TICK;
    clock->moved = mono;
}

void toc_dataclock_reach(struct toc_dataclock *clock, toc_ns until)
{
    if (clock->now == TOC_NS_NONE || until > clock->now)
        clock->now = until;
}

bool toc_dataclock_tick(struct toc_dataclock *clock, toc_ns until)
{
    if (clock->next_tick == TOC_NS_NONE || clock->next_tick > until)
        return false;
    toc_dataclock_reach(clock, clock->next_tick);
    clock->next_tick += TOC_DATACLOCK_TICK;
    return true;
}

toc_ns toc_dataclock_idle(const struct toc_dataclock *clock, struct toc_mono mono)
{
    double silent = toc_clock_elapsed_s(clock->moved, mono) - clock->patience_s;

    if (clock->now == TOC_NS_NONE || silent <= 0)
        return clock->now;
    return clock->now + TOC_DATACLOCK_TICK; /* called ten times a second: real pace */
}
