/*
 * A binary heap that knows where each member stands, so that a deadline can
 * be moved up. The number of the put breaks ties: the same calls give the
 * same order.
 */
#include "core/due.h"

#include <errno.h>
#include <stdlib.h>

#define NOWHERE UINT32_MAX

struct wait {
    toc_ns deadline;
    uint64_t number;
    uint32_t member;
};

struct toc_due {
    struct wait *heap; /* owned, n used */
    uint32_t *place;   /* owned: of each member in the heap, or NOWHERE */
    uint32_t n;
    uint64_t next_number;
};

int toc_due_create(uint32_t n, struct toc_due **ret_due)
{
    struct toc_due *d = calloc(1, sizeof *d);
    if (!d)
        return -ENOMEM;
    d->heap = calloc((size_t)n + 1, sizeof *d->heap);
    d->place = calloc((size_t)n + 1, sizeof *d->place);
    if (!d->heap || !d->place) {
        toc_due_destroy(d);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < n; i++)
        d->place[i] = NOWHERE;
    *ret_due = d;
    return 0;
}

void toc_due_destroy(struct toc_due *d)
{
    if (!d)
        return;
    free(d->heap);
    free(d->place);
    free(d);
}

static bool before(const struct wait *a, const struct wait *b)
{
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->number < b->number;
}

static void set(struct toc_due *d, uint32_t at, const struct wait *wait)
{
    d->heap[at] = *wait;
    d->place[wait->member] = at;
}

static void rise(struct toc_due *d, uint32_t at, const struct wait *wait)
{
    for (; at > 0 && before(wait, &d->heap[(at - 1) / 2]); at = (at - 1) / 2)
        set(d, at, &d->heap[(at - 1) / 2]);
    set(d, at, wait);
}

static void sink(struct toc_due *d, uint32_t at, const struct wait *wait)
{
    for (uint32_t child = 2 * at + 1; child < d->n; at = child, child = 2 * at + 1) {
        if (child + 1 < d->n && before(&d->heap[child + 1], &d->heap[child]))
            child++;
        if (!before(&d->heap[child], wait))
            break;
        set(d, at, &d->heap[child]);
    }
    set(d, at, wait);
}

void toc_due_put(struct toc_due *d, uint32_t member, toc_ns deadline)
{
    uint32_t at = d->place[member];
    struct wait wait = {.deadline = deadline, .member = member};
    if (at == NOWHERE) {
        at = d->n++;
        wait.number = d->next_number++;
    } else if (deadline < d->heap[at].deadline) {
        wait.number = d->heap[at].number;
    } else {
        return;
    }
    rise(d, at, &wait);
}

bool toc_due_take(struct toc_due *d, uint32_t *ret_member)
{
    if (d->n == 0)
        return false;
    *ret_member = d->heap[0].member;
    d->place[*ret_member] = NOWHERE;
    if (--d->n > 0) {
        struct wait last = d->heap[d->n];
        sink(d, 0, &last);
    }
    return true;
}

uint32_t toc_due_count(const struct toc_due *d)
{
    return d->n;
}
