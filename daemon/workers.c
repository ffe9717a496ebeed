/*
 * One lock, one condition, a slot per batch that is out. Slots are few, so
 * who is next is looked for, not queued: the lowest number goes first, at
 * the start as at the end.
 */
#include "daemon/workers.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "daemon/clock.h"

enum state { FREE, WAITING, RUNNING, READY };

struct slot {
    enum state state;
    struct toc_batch *batch;
    uint64_t number; /* of the submission */
    struct toc_mono since;
};

struct toc_workers {
    uv_async_t async; /* first: handle and workers are one */
    uv_mutex_t lock;  /* of slots and stop */
    uv_cond_t wake;
    uv_thread_t threads[TOC_WORKERS_MAX];
    unsigned n, n_threads;
    struct slot slots[TOC_WORKERS_MAX];
    bool stop;
    uint64_t next_number;
    unsigned busy; /* of the loop's thread alone */
    void (*done)(void *user, struct toc_batch *batch);
    void *user;
};

/* Under the lock. */
static struct slot *first_in(struct toc_workers *w, enum state state)
{
    struct slot *best = NULL;

    for (unsigned i = 0; i < w->n; i++)
        if (w->slots[i].state == state && (!best || w->slots[i].number < best->number))
            best = &w->slots[i];
    return best;
}

static struct slot *next_job(struct toc_workers *w)
{
    struct slot *slot = NULL;

    while (!w->stop && !(slot = first_in(w, WAITING)))
        uv_cond_wait(&w->wake, &w->lock);
    if (slot && !w->stop)
        slot->state = RUNNING;
    return w->stop ? NULL : slot;
}

static void work(void *arg)
{
    struct toc_workers *w = arg;
    struct slot *slot;

    uv_mutex_lock(&w->lock);
    while ((slot = next_job(w))) {
        uv_mutex_unlock(&w->lock);
        toc_batch_run(slot->batch);
        uv_mutex_lock(&w->lock);
        slot->state = READY;
        uv_async_send(&w->async);
    }
    uv_mutex_unlock(&w->lock);
}

static struct toc_batch *take_ready(struct toc_workers *w)
{
    struct toc_batch *batch = NULL;
    struct slot *slot;

    uv_mutex_lock(&w->lock);
    slot = first_in(w, READY);
    if (slot) {
        batch = slot->batch;
        slot->state = FREE;
    }
    uv_mutex_unlock(&w->lock);
    return batch;
}

static void on_ready(uv_async_t *async)
{
    struct toc_workers *w = (struct toc_workers *)async;
    struct toc_batch *batch;

    while ((batch = take_ready(w))) {
        w->busy--;
        w->done(w->user, batch);
    }
}

static int start_threads(struct toc_workers *w, unsigned n)
{
    int err = 0;

    while (w->n_threads < n && (err = uv_thread_create(&w->threads[w->n_threads], work, w)) == 0)
        w->n_threads++;
    return err;
}

static int start_lock(uv_loop_t *loop, struct toc_workers *w)
{
    int err = uv_mutex_init(&w->lock);

    if (err < 0)
        return err;
    err = uv_cond_init(&w->wake);
    if (err == 0) {
        err = uv_async_init(loop, &w->async, on_ready);
        if (err < 0)
            uv_cond_destroy(&w->wake);
    }
    if (err < 0)
        uv_mutex_destroy(&w->lock);
    return err;
}

int toc_workers_create(uv_loop_t *loop, unsigned n, void (*done)(void *user, struct toc_batch *batch), void *user,
                       struct toc_workers **ret_workers)
{
    struct toc_workers *w;
    int err;

    if (n < 1 || n > TOC_WORKERS_MAX)
        return -EINVAL;
    w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->n = n;
    w->done = done;
    w->user = user;
    err = start_lock(loop, w);
    if (err < 0) {
        free(w);
        return err;
    }
    err = start_threads(w, n);
    if (err < 0) {
        toc_workers_destroy(w);
        return err;
    }
    *ret_workers = w;
    return 0;
}

int toc_workers_submit(struct toc_workers *w, struct toc_batch *batch)
{
    struct slot *slot;

    uv_mutex_lock(&w->lock);
    slot = first_in(w, FREE);
    if (slot)
        *slot = (struct slot){
            .state = WAITING, .batch = batch, .number = w->next_number++, .since = toc_clock_mono()};
    uv_mutex_unlock(&w->lock);
    if (!slot)
        return -EBUSY;
    w->busy++;
    uv_cond_signal(&w->wake);
    return 0;
}

unsigned toc_workers_busy(const struct toc_workers *w)
{
    return w ? w->busy : 0;
}

/* Slots are written by this thread but for their state, and one that is not free cannot change hands meanwhile. */
double toc_workers_oldest_s(const struct toc_workers *workers, struct toc_mono now)
{
    struct toc_workers *w = (struct toc_workers *)workers;
    double oldest = 0;

    if (!w || w->busy == 0)
        return 0;
    uv_mutex_lock(&w->lock);
    for (unsigned i = 0; i < w->n; i++) {
        double age = toc_clock_elapsed_s(w->slots[i].since, now);

        if (w->slots[i].state != FREE && age > oldest)
            oldest = age;
    }
    uv_mutex_unlock(&w->lock);
    return oldest;
}

static void on_closed(uv_handle_t *handle)
{
    struct toc_workers *w = (struct toc_workers *)handle;

    uv_cond_destroy(&w->wake);
    uv_mutex_destroy(&w->lock);
    free(w);
}

void toc_workers_destroy(struct toc_workers *w)
{
    if (!w)
        return;
    uv_mutex_lock(&w->lock);
    w->stop = true;
    uv_cond_broadcast(&w->wake);
    uv_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->n_threads; i++)
        uv_thread_join(&w->threads[i]);
    uv_close((uv_handle_t *)&w->async, on_closed);
}
