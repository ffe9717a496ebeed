/*
 * Three channels to rows. Each channel drains its ring through its
 * resampler into a short queue of grid samples; rows leave when every
 * component that is expected has a say about the instant at the cursor.
 * The one idea: a queue's `head` index may lie ahead of the cursor, and that is
 * what a gap is; nothing is ever filled in but short bridges.
 */
#include "core/group.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/ring.h"

#define QUEUE 256u /* grid samples a channel may run ahead; what is further stays in its ring */

struct channel {
    char sid[TOC_SID_SIZE];
    const struct toc_channel *meta; /* borrowed from the inventory: the epoch of the newest chunk */
    const struct toc_channel *epochs; /* borrowed: the first of its epochs */
    uint32_t n_epochs;
    toc_ns from, to;                /* when the first of them holds: read with each record, so not from the inventory */
    struct toc_ring *ring;          /* owned; NULL: the inventory has no such component */
    struct toc_resampler resampler;
    bool running;                   /* the resampler has a segment */
    bool seen;                      /* something was received */
    bool absent;                    /* lags: nobody waits for it */
    toc_ns gap_since;               /* `now` when the hole at the read position was first met; NONE: no hole */
    double last;                    /* last raw sample, where a bridge starts */
    uint32_t bridge;                /* samples of a hole being bridged */
    double factor;                  /* raw counts to the row's counts, with the sign of a reversed vertical */
    int64_t head;                   /* grid index of queue[first] */
    uint32_t first, n;              /* first + n <= QUEUE */
    float queue[QUEUE];
    uint8_t clipped[QUEUE];
};

struct toc_group {
    char sid[TOC_SID_SIZE];
    const struct toc_inventory *inventory; /* borrowed */
    struct toc_stream_settings settings;
    struct channel channel[TOC_COMPONENTS];
    const struct toc_channel *place; /* borrowed from the inventory */
    double turn[4];                  /* [E N] = turn * [first second], row major */
    double scale;
    bool have_cursor;
    bool restart;                    /* the next row is the first after a gap */
    int64_t cursor;                  /* grid index of the next row */
    toc_ns blocked_since;            /* `now` when a lagging component first held the cursor */
};

/* Slots by component letter: E or 2, N or 1, Z or 3. */
static int slot_of(char component)
{
    switch (component) {
    case 'E': case '2': return TOC_E;
    case 'N': case '1': return TOC_N;
    case 'Z': case '3': return TOC_Z;
    default: return -1;
    }
}

static int open_channel(struct channel *c, const struct toc_channel *meta, double ring_s)
{
    double rate = isfinite(meta->rate_hz) && meta->rate_hz > 0 ? meta->rate_hz : TOC_MODEL_RATE_HZ;
    double samples = fmin(fmax(ring_s * rate, 64), 1e6);
    memcpy(c->sid, meta->sid, sizeof c->sid);
    c->meta = c->epochs = meta;
    c->from = meta->start == TOC_NS_NONE ? INT64_MIN : meta->start;
    c->to = meta->end == TOC_NS_NONE ? INT64_MAX : meta->end;
    c->gap_since = TOC_NS_NONE;
    c->factor = 1;
    return toc_ring_create((uint32_t)samples, &c->ring);
}

/* Channels are sorted, so those of a group stand together: all that begin with its sid and a separator. */
static int open_channels(struct toc_group *g)
{
    char group[TOC_SID_SIZE], before[TOC_SID_SIZE + 1];
    snprintf(before, sizeof before, "%s_", g->sid);
    for (size_t i = toc_inventory_from(g->inventory, before), n = strlen(before); i < g->inventory->n; i++) {
        const struct toc_channel *meta = &g->inventory->channels[i];
        if (strncmp(meta->sid, before, n) != 0)
            break;
        int slot = slot_of(toc_sid_component(meta->sid));
        toc_sid_group(meta->sid, group);
        if (slot < 0 || strcmp(group, g->sid) != 0)
            continue;
        struct channel *c = &g->channel[slot];
        int r = c->ring ? 0 : open_channel(c, meta, g->settings.ring_s);
        if (r < 0)
            return r;
        c->n_epochs += strcmp(meta->sid, c->sid) == 0;
        c->meta = meta; /* a later epoch is the better guess before data come */
    }
    return 0;
}

/* Horizontals to east and north: what two sensors at azimuths a, b measure is solved for the ground's motion. Unknown
 * azimuths, or a pair that is nearly parallel, stay as they are named. */
static void orient_horizontals(struct toc_group *g)
{
    const struct channel *e = &g->channel[TOC_E], *n = &g->channel[TOC_N];
    g->turn[0] = g->turn[3] = 1;
    g->turn[1] = g->turn[2] = 0;
    if (!e->ring || !n->ring || !isfinite(e->meta->azimuth_deg) || !isfinite(n->meta->azimuth_deg))
        return;
    double radians = acos(-1.0) / 180, a = e->meta->azimuth_deg * radians, b = n->meta->azimuth_deg * radians;
    double determinant = sin(a) * cos(b) - cos(a) * sin(b);
    if (fabs(determinant) < 0.3)
        return;
    g->turn[0] = cos(b) / determinant;
    g->turn[1] = -cos(a) / determinant;
    g->turn[2] = -sin(b) / determinant;
    g->turn[3] = sin(a) / determinant;
}

/* Everything that follows from metadata: place, scale, factors, turn. */
static void orient(struct toc_group *g)
{
    const struct channel *first = NULL;
    for (int i = TOC_COMPONENTS - 1; i >= 0 && !first; i--)
        first = g->channel[i].ring ? &g->channel[i] : NULL;
    g->place = first->meta;
    g->scale = first->meta->scale;
    for (int i = 0; i < TOC_COMPONENTS; i++) {
        struct channel *c = &g->channel[i];
        if (!c->ring)
            continue;
        bool same_unit = c->meta->unit == g->place->unit && isfinite(c->meta->scale) && isfinite(g->scale);
        c->factor = same_unit ? g->scale / c->meta->scale : 1;
        if (i == TOC_Z && c->meta->dip_deg > 45) /* positive dip is down: this vertical is upside down */
            c->factor = -c->factor;
    }
    g->scale = fabs(g->scale);
    orient_horizontals(g);
}

int toc_group_create(const char *sid, const struct toc_inventory *inventory,
                     const struct toc_stream_settings *settings, struct toc_group **ret_group)
{
    struct toc_group *g = calloc(1, sizeof *g);
    if (!g)
        return -ENOMEM;
    strncpy(g->sid, sid, sizeof g->sid - 1);
    g->inventory = inventory;
    g->settings = *settings;
    g->blocked_since = TOC_NS_NONE;
    int r = open_channels(g);
    if (r == 0 && !g->channel[TOC_E].ring && !g->channel[TOC_N].ring && !g->channel[TOC_Z].ring)
        r = -ENOENT;
    if (r < 0) {
        toc_group_destroy(g);
        return r;
    }
    orient(g);
    *ret_group = g;
    return 0;
}

void toc_group_destroy(struct toc_group *g)
{
    if (!g)
        return;
    for (int i = 0; i < TOC_COMPONENTS; i++)
        toc_ring_destroy(g->channel[i].ring);
    free(g);
}

void toc_group_configure(struct toc_group *g, const struct toc_stream_settings *settings)
{
    g->settings = *settings;
}

static const struct toc_channel *epoch_of(const struct channel *c, toc_ns time)
{
    if (c->n_epochs == 1 && time >= c->from && time < c->to)
        return c->epochs;
    for (uint32_t i = 0; i < c->n_epochs; i++)
        if (toc_channel_holds(&c->epochs[i], time))
            return &c->epochs[i];
    return NULL;
}

/* An epoch change takes effect with the chunk that brings it: orientation and gain of samples still queued are those of
 * the new epoch for at most the few seconds that wait in the queue. */
static bool follow_epoch(struct toc_group *g, struct channel *c, const struct toc_chunk *chunk)
{
    bool own = strcmp(chunk->sid, c->sid) == 0; /* not when a group has both HHE and HH2 */
    const struct toc_channel *meta = own ? epoch_of(c, chunk->start)
                                         : toc_inventory_find(g->inventory, chunk->sid, chunk->start);
    if (!meta)
        return false;
    if (meta != c->meta) {
        c->meta = meta;
        orient(g);
    }
    return true;
}

static void count_push(enum toc_ring_result result, const struct toc_ring_counts *counts, struct toc_stats *stats)
{
    stats->samples += counts->stored;
    stats->samples_duplicate += counts->duplicate;
    stats->samples_conflict += counts->conflict;
    stats->samples_late += counts->late + counts->lost;
    stats->rate_changes += result == TOC_RING_RESTARTED;
}

bool toc_group_push(struct toc_group *g, const struct toc_chunk *chunk, toc_ns now, struct toc_stats *stats)
{
    int slot = slot_of(toc_sid_component(chunk->sid));
    if (slot < 0 || !g->channel[slot].ring)
        return false;
    struct channel *c = &g->channel[slot];
    if (chunk->start > now + toc_ns_from_s(g->settings.future_s)) {
        stats->samples_future += chunk->n;
        return false;
    }
    if (!follow_epoch(g, c, chunk))
        return false;
    struct toc_ring_counts counts = {0};
    enum toc_ring_result result = toc_ring_push(c->ring, chunk, &counts);
    if (result == TOC_RING_RESTARTED) {
        c->running = false;
        c->gap_since = TOC_NS_NONE;
        c->bridge = 0;
    }
    count_push(result, &counts, stats);
    c->seen = true;
    return true;
}

/* Room for n behind what is queued: it moves to the front when it has come to the end. */
static void queue_make_room(struct channel *c, uint32_t n)
{
    if (c->first + c->n + n <= QUEUE)
        return;
    memmove(c->queue, c->queue + c->first, c->n * sizeof *c->queue);
    memmove(c->clipped, c->clipped + c->first, c->n * sizeof *c->clipped);
    c->first = 0;
}

static void feed_sample(struct channel *c, double x, double clip_counts)
{
    float out[8];
    int64_t index;
    int n = toc_resampler_push(&c->resampler, x * c->factor, out, &index);
    if (c->n == 0)
        c->head = index;
    queue_make_room(c, (uint32_t)n);
    for (int i = 0; i < n; i++, c->n++) {
        c->queue[c->first + c->n] = out[i];
        c->clipped[c->first + c->n] = fabs(x) >= clip_counts;
    }
    c->last = x;
}

/* Many samples in one go, where each is one of the grid. @return how many were taken */
static uint32_t feed_run(struct channel *c, const float *samples, uint32_t n, double clip_counts)
{
    int64_t index;
    uint32_t at;
    n = n < QUEUE - c->n ? n : QUEUE - c->n;
    if (n == 0)
        return 0;
    queue_make_room(c, n);
    at = c->first + c->n;
    n = toc_resampler_push_run(&c->resampler, samples, c->factor, n, c->queue + at, &index);
    if (n == 0)
        return 0;
    for (uint32_t i = 0; i < n; i++)
        c->clipped[at + i] = fabs((double)samples[i]) >= clip_counts;
    if (c->n == 0)
        c->head = index;
    c->n += n;
    c->last = (double)samples[n - 1];
    return n;
}

/* Room for whatever one input sample can put out. */
static bool queue_has_room(const struct channel *c)
{
    return c->n + 8 <= QUEUE;
}

static bool start_segment(struct channel *c, toc_ns start)
{
    c->running = toc_resampler_start(&c->resampler, toc_ring_rate(c->ring), start) == 0;
    return c->running;
}

static bool drain_samples(struct channel *c, const float *samples, uint32_t n, toc_ns start, double clip_counts)
{
    uint32_t used = 0;
    if (!c->running) {
        if (c->n > 0)
            return false; /* rows of the segment before must leave first */
        if (!start_segment(c, start)) {
            toc_ring_consume(c->ring, n); /* a rate the resampler does not take: read and forget */
            return true;
        }
    }
    for (uint32_t i = 1; i <= c->bridge && queue_has_room(c); i++)
        feed_sample(c, c->last + ((double)samples[0] - c->last) / (c->bridge + 2 - i), clip_counts);
    c->bridge = 0;
    while (used < n && queue_has_room(c)) {
        uint32_t run = feed_run(c, samples + used, n - used, clip_counts);
        if (run == 0)
            feed_sample(c, (double)samples[used], clip_counts);
        used += run ? run : 1;
    }
    toc_ring_consume(c->ring, used);
    return used > 0;
}

/* A hole that ends before the cursor: whatever would fill it comes too late anyway. */
static bool is_behind(const struct toc_group *g, const struct channel *c, uint32_t n, toc_ns start)
{
    toc_ns end = start + toc_ns_from_s(n / toc_ring_rate(c->ring));
    return g->have_cursor && end <= g->cursor * TOC_GRID_NS;
}

/* Late records may still close the hole: wait, then pass it. One or two samples are no lost record but a clock that was
 * set right, and not worth a wait. */
static bool drain_gap(struct toc_group *g, struct channel *c, uint32_t n, toc_ns start, toc_ns now,
                      struct toc_stats *stats)
{
    const struct toc_stream_settings *s = &g->settings;
    if (c->gap_since == TOC_NS_NONE)
        c->gap_since = now;
    if (now - c->gap_since < toc_ns_from_s(s->gap_hold_s) && n > 2 && !is_behind(g, c, n, start))
        return false;
    c->gap_since = TOC_NS_NONE;
    bool bridge = c->running && n <= s->bridge_s * toc_ring_rate(c->ring) && n < 64;
    c->bridge = bridge ? n : 0;
    c->running = bridge;
    stats->gaps += !bridge;
    stats->gaps_bridged += bridge;
    toc_ring_consume(c->ring, n);
    return true;
}

static void drain(struct toc_group *g, struct channel *c, toc_ns now, struct toc_stats *stats)
{
    const float *samples;
    uint32_t n;
    toc_ns start;
    bool moved = true;
    while (moved && queue_has_room(c)) {
        switch (toc_ring_peek(c->ring, &samples, &n, &start)) {
        case TOC_RING_EMPTY:
            return;
        case TOC_RING_SAMPLES:
            c->gap_since = TOC_NS_NONE;
            moved = drain_samples(c, samples, n, start, g->settings.clip_counts);
            break;
        case TOC_RING_GAP:
            moved = drain_gap(g, c, n, start, now, stats);
            break;
        }
    }
}

static void queue_drop(struct channel *c, uint32_t n)
{
    c->n -= n;
    c->head += n;
    c->first = c->n ? c->first + n : 0;
}

/* What the cursor passed while a component was away is not wanted any more. */
static void drop_before(struct channel *c, int64_t cursor, struct toc_stats *stats)
{
    if (c->n == 0 || c->head >= cursor)
        return;
    uint32_t n = cursor - c->head < c->n ? (uint32_t)(cursor - c->head) : c->n;
    queue_drop(c, n);
    stats->samples_late += n;
}

enum verdict { HAS_VALUE, MISSING, LAGGING, NOT_THERE };

static enum verdict look(const struct channel *c, int64_t cursor)
{
    if (!c->ring)
        return NOT_THERE;
    if (c->n == 0)
        return c->absent ? MISSING : LAGGING;
    return c->head == cursor ? HAS_VALUE : MISSING;
}

/* The cursor stands where no component has data and all that are expected are past it: jump to the earliest. */
static bool place_cursor(struct toc_group *g)
{
    int64_t earliest = INT64_MAX;
    for (int i = 0; i < TOC_COMPONENTS; i++)
        if (g->channel[i].ring && g->channel[i].n > 0 && g->channel[i].head < earliest)
            earliest = g->channel[i].head;
    if (earliest == INT64_MAX)
        return false;
    if (!g->have_cursor || earliest != g->cursor) {
        g->restart = true;
        g->cursor = earliest;
        g->have_cursor = true;
    }
    return true;
}

/* May a row leave without the components that lag? */
static bool may_go_on(struct toc_group *g, const enum verdict *verdicts, toc_ns now)
{
    bool lagging = false;
    for (int i = 0; i < TOC_COMPONENTS; i++)
        lagging |= verdicts[i] == LAGGING;
    if (!lagging) {
        g->blocked_since = TOC_NS_NONE;
        return true;
    }
    if (g->blocked_since == TOC_NS_NONE)
        g->blocked_since = now;
    if (now - g->blocked_since < toc_ns_from_s(g->settings.align_wait_s))
        return false;
    for (int i = 0; i < TOC_COMPONENTS; i++)
        g->channel[i].absent |= verdicts[i] == LAGGING;
    g->blocked_since = TOC_NS_NONE;
    return true;
}

/* How many rows leave alike: until a component ends, or one that is behind a hole comes back. */
static uint32_t run_length(const struct toc_group *g, const enum verdict *verdicts, uint32_t room)
{
    uint32_t run = room;
    for (int i = 0; i < TOC_COMPONENTS; i++) {
        const struct channel *c = &g->channel[i];
        if (verdicts[i] == HAS_VALUE && c->n < run)
            run = c->n;
        if (verdicts[i] == MISSING && c->n > 0 && c->head - g->cursor < run)
            run = (uint32_t)(c->head - g->cursor);
    }
    return run;
}

static void take_channel(struct channel *c, uint32_t n, float *ret_values, bool *clipped)
{
    memcpy(ret_values, c->queue + c->first, n * sizeof *ret_values);
    for (uint32_t k = 0; k < n; k++)
        clipped[k] |= c->clipped[c->first + k];
    queue_drop(c, n);
    c->absent = false;
}

static void turn_horizontals(const struct toc_group *g, uint32_t n, float *e, float *n_)
{
    for (uint32_t k = 0; k < n; k++) {
        float east = e[k], north = n_[k];
        e[k] = (float)(g->turn[0] * east + g->turn[1] * north);
        n_[k] = (float)(g->turn[2] * east + g->turn[3] * north);
    }
}

static void take(struct toc_group *g, const enum verdict *verdicts, uint32_t n, struct toc_rows *rows)
{
    uint32_t at = rows->n;
    memset(rows->clipped + at, 0, n * sizeof *rows->clipped);
    for (int i = 0; i < TOC_COMPONENTS; i++) {
        if (verdicts[i] == HAS_VALUE)
            take_channel(&g->channel[i], n, rows->enz[i] + at, rows->clipped + at);
        else
            for (uint32_t k = 0; k < n; k++)
                rows->enz[i][at + k] = NAN;
    }
    if (verdicts[TOC_E] == HAS_VALUE && verdicts[TOC_N] == HAS_VALUE)
        turn_horizontals(g, n, rows->enz[TOC_E] + at, rows->enz[TOC_N] + at);
    if (at == 0) {
        rows->first = g->cursor;
        rows->restart = g->restart;
    }
    g->restart = false;
    g->cursor += n;
    rows->n += n;
}

/* What each component says of the instant at the cursor. @return false: nothing is queued or decided there */
static bool decide(struct toc_group *g, toc_ns now, struct toc_stats *stats, enum verdict *ret_verdicts)
{
    bool queued = false, here = false;
    for (int i = 0; i < TOC_COMPONENTS; i++) {
        if (g->have_cursor)
            drop_before(&g->channel[i], g->cursor, stats);
        ret_verdicts[i] = look(&g->channel[i], g->cursor);
        queued |= g->channel[i].n > 0;
        here |= g->have_cursor && ret_verdicts[i] == HAS_VALUE;
    }
    if (!queued) { /* between packets: nobody is behind anybody */
        g->blocked_since = TOC_NS_NONE;
        return false;
    }
    if (here)
        return true;
    if (!may_go_on(g, ret_verdicts, now) || !place_cursor(g))
        return false;
    for (int i = 0; i < TOC_COMPONENTS; i++)
        ret_verdicts[i] = look(&g->channel[i], g->cursor);
    return true;
}

bool toc_group_pull(struct toc_group *g, toc_ns now, struct toc_rows *rows, struct toc_stats *stats)
{
    enum verdict verdicts[TOC_COMPONENTS];
    for (int i = 0; i < TOC_COMPONENTS; i++)
        if (g->channel[i].ring)
            drain(g, &g->channel[i], now, stats);
    while (rows->n < TOC_ROWS_MAX && decide(g, now, stats, verdicts)) {
        if (g->restart && rows->n > 0)
            return true;
        if (!may_go_on(g, verdicts, now))
            return false;
        take(g, verdicts, run_length(g, verdicts, TOC_ROWS_MAX - rows->n), rows);
    }
    return false;
}

bool toc_group_waits(const struct toc_group *g)
{
    bool waits = g->blocked_since != TOC_NS_NONE;
    for (int i = 0; i < TOC_COMPONENTS; i++)
        waits |= g->channel[i].ring && g->channel[i].gap_since != TOC_NS_NONE;
    return waits;
}

const char *toc_group_sid(const struct toc_group *g)
{
    return g->sid;
}

double toc_group_scale(const struct toc_group *g)
{
    return g->scale;
}

enum toc_unit toc_group_unit(const struct toc_group *g)
{
    return g->place->unit;
}

const struct toc_channel *toc_group_place(const struct toc_group *g)
{
    return g->place;
}

bool toc_group_has_vertical(const struct toc_group *g)
{
    const struct channel *c = &g->channel[TOC_Z];
    return c->ring && c->seen && !c->absent;
}

int toc_group_components(const struct toc_group *g)
{
    int n = 0;
    for (int i = 0; i < TOC_COMPONENTS; i++)
        n += g->channel[i].ring && g->channel[i].seen && !g->channel[i].absent;
    return n;
}

static const struct channel *main_channel(const struct toc_group *g)
{
    for (int i = TOC_COMPONENTS - 1; i > 0; i--)
        if (g->channel[i].ring)
            return &g->channel[i];
    return &g->channel[0];
}

toc_ns toc_group_newest(const struct toc_group *g)
{
    const struct channel *c = main_channel(g);
    return c->seen ? toc_ring_end(c->ring) : TOC_NS_NONE;
}

double toc_group_rate(const struct toc_group *g)
{
    return toc_ring_rate(main_channel(g)->ring);
}
