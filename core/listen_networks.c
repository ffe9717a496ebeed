/*
 * Listeners going through their networks, many together: whose rows the gate
 * keeps back, who has to catch up, and one push for all who have the same
 * model and as many rows.
 */
#include "core/listen_inner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TOGETHER 16u          /* listeners that go through the network at once: their blocks stay in the cache */
#define FRAMES_MAX (TOC_ROWS_MAX / STRIDE)
#define WORKS 8               /* models at once: pickers that come, go and shadow, estimators likewise */

/* Work space for one model. */
struct work {
    const struct toc_model *model;     /* borrowed; NULL: none */
    struct toc_model_scratch *scratch; /* owned */
};

struct toc_listen_scratch {
    struct work works[WORKS];            /* of each model that may come, no gaps */
    struct work next[WORKS];             /* the owner's: added while it was out */
    float features[TOGETHER * TOC_ROWS_MAX * TOC_FEATURES];
    float frames[TOC_SEATS][TOGETHER * FRAMES_MAX * OUTPUTS];
    float in[TOGETHER * TOC_ROWS_MAX * TOC_FEATURES]; /* the same, of those who are pushed together */
    float out[TOGETHER * FRAMES_MAX * OUTPUTS];
    float missed[TOC_GATE_KEPT_ROWS * TOC_FEATURES];
    bool gated[TOGETHER];
};

bool toc_listen_is_picker(const struct toc_model *model)
{
    return !model || (toc_model_inputs(model) == TOC_FEATURES && toc_model_outputs(model) == OUTPUTS &&
                      toc_model_stride(model) == STRIDE);
}

static uint32_t count_works(const struct toc_listen_scratch *s)
{
    uint32_t n = 0;
    while (n < WORKS && s->works[n].model)
        n++;
    return n;
}

static bool holds(const struct toc_listen_scratch *s, const struct toc_model *model)
{
    for (uint32_t i = 0; i < WORKS; i++)
        if (s->works[i].model == model || s->next[i].model == model)
            return true;
    return false;
}

struct toc_model_scratch *toc_listen_work_of(struct toc_listen_scratch *s, const struct toc_model *model)
{
    for (uint32_t i = 0; model && i < WORKS; i++)
        if (s->works[i].model == model)
            return s->works[i].scratch;
    return NULL;
}

int toc_listen_scratch_create(struct toc_listen_scratch **ret_scratch)
{
    *ret_scratch = calloc(1, sizeof **ret_scratch);
    return *ret_scratch ? 0 : -ENOMEM;
}

int toc_listen_scratch_offer(struct toc_listen_scratch *s, const struct toc_model *model)
{
    struct work work = {.model = model};
    uint32_t n = 0;
    while (n < WORKS && s->next[n].model)
        n++;
    if (!model || holds(s, model))
        return 0;
    if (n == WORKS || count_works(s) + n >= WORKS)
        return -EBUSY;
    uint32_t rows = toc_model_length(model)      ? toc_model_length(model)
                    : toc_listen_is_picker(model) ? 2 * TOC_ROWS_MAX
                                                  : 1;
    int r = toc_model_scratch_create(model, rows, &work.scratch);
    if (r == 0)
        s->next[n] = work;
    return r;
}

void toc_listen_scratch_settle(struct toc_listen_scratch *s)
{
    uint32_t n = count_works(s);
    for (uint32_t i = 0; i < WORKS && s->next[i].model; i++) {
        s->works[n++] = s->next[i];
        s->next[i] = (struct work){0};
    }
}

void toc_listen_scratch_drop(struct toc_listen_scratch *s, const struct toc_model *model)
{
    toc_listen_scratch_settle(s);
    uint32_t n = count_works(s);
    for (uint32_t i = 0; i < n; i++) {
        if (s->works[i].model != model)
            continue;
        toc_model_scratch_destroy(s->works[i].scratch);
        s->works[i] = s->works[n - 1];
        s->works[n - 1] = (struct work){0};
        return;
    }
}

void toc_listen_scratch_destroy(struct toc_listen_scratch *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < WORKS; i++) {
        toc_model_scratch_destroy(s->works[i].scratch);
        toc_model_scratch_destroy(s->next[i].scratch);
    }
    free(s);
}

static float *features_of(struct toc_listen_scratch *s, uint32_t i)
{
    return s->features + i * TOC_ROWS_MAX * TOC_FEATURES;
}

static float *frames_of(struct toc_listen_scratch *s, enum toc_seat_name seat, uint32_t i)
{
    return s->frames[seat] + i * FRAMES_MAX * OUTPUTS;
}

static bool is_following(const struct toc_listener *l)
{
    bool follows = false;
    for (int i = 0; i < FOLLOWED; i++)
        follows |= l->followed[i].active;
    return follows;
}

static uint32_t network_rows(const struct toc_listener *l)
{
    return l->block - toc_listen_lead_rows(l);
}

/* What the gate kept from one network; nothing is said of it, so `frames` is written over. */
static void catch_seat_up(struct toc_seat *seat, struct toc_listen_scratch *s, uint32_t n, bool whole, float *frames)
{
    if (!seat->model)
        return;
    if (!whole) {
        toc_model_stream_reset(seat->stream);
        seat->rows = 0;
    }
    for (uint32_t at = 0; at < n; at += TOC_ROWS_MAX)
        toc_model_push(seat->model, seat->stream, toc_listen_work_of(s, seat->model), s->missed + at * TOC_FEATURES,
                       n - at < TOC_ROWS_MAX ? n - at : TOC_ROWS_MAX, frames);
    seat->rows += n;
}

static void catch_up(struct toc_listener *l, struct toc_listen_scratch *s, float *frames)
{
    bool whole;
    uint32_t n = toc_gate_take_missed(l->gate, s->missed, &whole);
    for (int i = 0; i < TOC_SEATS && (n > 0 || !whole); i++)
        catch_seat_up(&l->seats.seat[i], s, n, whole, frames);
    if (whole)
        return;
    toc_picker_reset(&l->picker);
    toc_picker_reset(&l->shadow);
}

static bool has_any_network(const struct toc_listener *l)
{
    bool any = false;
    for (int i = 0; i < TOC_SEATS; i++)
        any |= l->seats.seat[i].model != NULL;
    return any;
}

/* Rows of this listener that go through its networks now: 0 when none are whole, or the gate is closed. */
static uint32_t pass_gate(struct toc_listener *l, struct toc_listen_scratch *s, uint32_t i)
{
    const float *rows = features_of(s, i) + toc_listen_lead_rows(l) * TOC_FEATURES;
    uint32_t n = network_rows(l);
    s->gated[i] = false;
    if (!has_any_network(l) || n == 0)
        return 0;
    s->gated[i] = toc_gate_closes(l->gate, &l->rule, rows, n, l->rows.first + toc_listen_lead_rows(l),
                                  l->group_index * l->hop, is_following(l));
    if (s->gated[i])
        return 0;
    catch_up(l, s, frames_of(s, TOC_SEAT_LIVE, i));
    toc_seats_succeed(&l->seats);
    return n;
}

/* Everyone with this model and as many rows as the first who still waits goes through the network in one push. `waiting`
 * holds the rows of each, 0 from when they are through. */
static void push_alike(struct toc_listener *const *listeners, uint32_t n, struct toc_listen_scratch *s,
                       enum toc_seat_name name, uint32_t first, uint32_t *waiting)
{
    const struct toc_model *model = listeners[first]->seats.seat[name].model;
    struct toc_model_stream *streams[TOGETHER];
    uint32_t who[TOGETHER], n_streams = 0, rows = waiting[first];
    size_t in = (size_t)rows * TOC_FEATURES, out = (size_t)rows / STRIDE * OUTPUTS;
    for (uint32_t i = first; i < n; i++) {
        struct toc_seat *seat = &listeners[i]->seats.seat[name];
        if (waiting[i] != rows || seat->model != model)
            continue;
        memcpy(s->in + n_streams * in, features_of(s, i) + toc_listen_lead_rows(listeners[i]) * TOC_FEATURES,
               in * sizeof *s->in);
        streams[n_streams] = seat->stream;
        seat->rows += rows;
        who[n_streams++] = i;
        waiting[i] = 0;
    }
    toc_model_push_many(model, streams, n_streams, toc_listen_work_of(s, model), s->in, rows, s->out);
    for (uint32_t k = 0; k < n_streams; k++)
        memcpy(frames_of(s, name, who[k]), s->out + k * out, out * sizeof *s->out);
}

/* @param rows of each that go through, 0 none */
static void push_seat(struct toc_listener *const *listeners, uint32_t n, struct toc_listen_scratch *s,
                      enum toc_seat_name name, const uint32_t *rows)
{
    uint32_t waiting[TOGETHER];
    for (uint32_t i = 0; i < n; i++)
        waiting[i] = listeners[i]->seats.seat[name].model ? rows[i] : 0;
    for (uint32_t i = 0; i < n; i++)
        if (waiting[i] > 0)
            push_alike(listeners, n, s, name, i, waiting);
}

static struct heard_frames heard_by(const struct toc_listener *l, struct toc_listen_scratch *s, uint32_t i)
{
    struct heard_frames heard = {0};
    if (!s->gated[i] && l->seats.seat[TOC_SEAT_LIVE].model)
        heard.live = frames_of(s, TOC_SEAT_LIVE, i);
    if (!s->gated[i] && l->seats.seat[TOC_SEAT_SHADOW].model)
        heard.shadow = frames_of(s, TOC_SEAT_SHADOW, i);
    return heard;
}

static void run_together(struct toc_listener *const *listeners, uint32_t n, struct toc_listen_scratch *s,
                         struct toc_listener_result *ret_results)
{
    uint32_t rows[TOGETHER];
    for (uint32_t i = 0; i < n; i++)
        toc_listen_prepare(listeners[i], features_of(s, i));
    for (uint32_t i = 0; i < n; i++)
        rows[i] = pass_gate(listeners[i], s, i);
    for (enum toc_seat_name name = TOC_SEAT_LIVE; name < TOC_SEATS; name++)
        push_seat(listeners, n, s, name, rows);
    for (uint32_t i = 0; i < n; i++)
        toc_listen_conclude(listeners[i], features_of(s, i), heard_by(listeners[i], s, i), s, &ret_results[i]);
}

void toc_listeners_run(struct toc_listener *const *listeners, uint32_t n, struct toc_listen_scratch *scratch,
                       struct toc_listener_result *ret_results)
{
    for (uint32_t i = 0; i < n; i += TOGETHER)
        run_together(listeners + i, n - i < TOGETHER ? n - i : TOGETHER, scratch, ret_results + i);
}
