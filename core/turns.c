/*
 * The order is that of deadlines (core/due.h): arrival + lead, and for
 * favoured members the arrival itself.
 */
#include "core/turns.h"

#include <errno.h>
#include <stdlib.h>

#include "core/due.h"

/* Closer to the end of the data than this, what is left is less than a block: not waiting for a worker but for data. */
#define NEARLY (TOC_NS_PER_S / 5)

struct turn {
    toc_ns since; /* arrival of the oldest data not worked off; TOC_NS_NONE none */
    toc_ns until; /* data that had come by then */
    toc_ns later; /* arrival after that one; TOC_NS_NONE none */
    bool out, favoured;
};

struct toc_turns {
    struct toc_due *due; /* owned */
    struct turn *turns;  /* owned, n */
    uint32_t n;
};

int toc_turns_create(uint32_t n, struct toc_turns **ret_turns)
{
    struct toc_turns *t = calloc(1, sizeof *t);
    if (!t)
        return -ENOMEM;
    t->n = n;
    t->turns = calloc((size_t)n + 1, sizeof *t->turns);
    if (!t->turns || toc_due_create(n, &t->due) < 0) {
        toc_turns_destroy(t);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < n; i++)
        t->turns[i] = (struct turn){.since = TOC_NS_NONE, .until = TOC_NS_NONE, .later = TOC_NS_NONE};
    *ret_turns = t;
    return 0;
}

void toc_turns_destroy(struct toc_turns *t)
{
    if (!t)
        return;
    toc_due_destroy(t->due);
    free(t->turns);
    free(t);
}

static void queue(struct toc_turns *t, uint32_t member, toc_ns since)
{
    if (!t->turns[member].out)
        toc_due_put(t->due, member, since + (t->turns[member].favoured ? 0 : TOC_TURNS_LEAD));
}

void toc_turns_arrived(struct toc_turns *t, uint32_t member, toc_ns newest, toc_ns now)
{
    struct turn *turn = &t->turns[member];
    if (turn->since == TOC_NS_NONE) {
        turn->since = now;
        turn->until = newest;
    } else if (turn->later == TOC_NS_NONE) {
        turn->later = now;
    }
    queue(t, member, turn->since);
}

void toc_turns_remind(struct toc_turns *t, uint32_t member, toc_ns now)
{
    queue(t, member, now);
}

void toc_turns_favour(struct toc_turns *t, uint32_t member, bool favoured)
{
    struct turn *turn = &t->turns[member];
    bool sooner = favoured && !turn->favoured && turn->since != TOC_NS_NONE;
    turn->favoured = favoured;
    if (sooner)
        queue(t, member, turn->since);
}

bool toc_turns_is_favoured(const struct toc_turns *t, uint32_t member)
{
    return t->turns[member].favoured;
}

bool toc_turns_take(struct toc_turns *t, uint32_t *ret_member)
{
    if (!toc_due_take(t->due, ret_member))
        return false;
    t->turns[*ret_member].out = true;
    return true;
}

void toc_turns_idle(struct toc_turns *t, uint32_t member)
{
    struct turn *turn = &t->turns[member];
    turn->out = false;
    turn->since = turn->later = TOC_NS_NONE;
}

void toc_turns_back(struct toc_turns *t, uint32_t member, toc_ns done, toc_ns newest, toc_ns now)
{
    struct turn *turn = &t->turns[member];
    turn->out = false;
    if (turn->since != TOC_NS_NONE && done + NEARLY > turn->until) {
        turn->since = turn->later;
        turn->until = newest;
        turn->later = TOC_NS_NONE;
    }
    queue(t, member, turn->since == TOC_NS_NONE ? now : turn->since);
}

uint32_t toc_turns_count(const struct toc_turns *t)
{
    return toc_due_count(t->due);
}

double toc_turns_wait_s(const struct toc_turns *t, toc_ns now)
{
    toc_ns oldest = now;
    for (uint32_t i = 0; i < t->n; i++)
        if (t->turns[i].since != TOC_NS_NONE && t->turns[i].since < oldest)
            oldest = t->turns[i].since;
    return toc_s_from_ns(now - oldest);
}
