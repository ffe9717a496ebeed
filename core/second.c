/*
 * Rows are kept as 16-bit numbers: features lie within +-12, a step of 1/2730
 * of that is far below any noise, and 10,000 stations keep 7.7 s each.
 */
#include "core/second.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KEPT 768u     /* rows: 2.4 s before an onset, 4 s after it, a late declaration, a block of 1 s ahead */
#define SCALE 2730.0f /* 12 becomes 32760 */
#define LAST (N_LOOKS - 1)
#define N_LOOKS 4
#define AFTER_DECLARED 10 /* rows: a look sooner than this after the first word has nothing to add */
#define BIN_ROWS 2
#define AROUND 3 /* bins on either side that count as one place: 60 ms */
#define SHARE 0.68
#define SIGMA_LEAST_S 0.02
#define SIGMA_MOST_S 1.0

/* Rows after the onset that a look sees: just under 1, 2, 3 and 4 s, so that hop and way leave it said by then. */
static const int LOOKS[N_LOOKS] = {90, 190, 290, 390};

struct watched {
    struct toc_pick pick; /* as said last */
    bool active;
    int64_t at;       /* grid index nearest to the onset as said first */
    int64_t declared; /* grid index of the frame that said it */
    int next;         /* look */
};

struct toc_second {
    const struct toc_model *model; /* borrowed */
    struct watched watched[TOC_SECOND_WATCHED];
    int64_t first, end; /* grid indices of the rows since the reset: [first, end), the last KEPT of them kept */
    int16_t kept[KEPT * TOC_FEATURES];
};

int toc_second_create(const struct toc_model *model, struct toc_second **ret_second)
{
    if (toc_model_inputs(model) != TOC_SECOND_INPUTS || toc_model_length(model) != TOC_SECOND_ROWS ||
        toc_model_outputs(model) != TOC_SECOND_OUTPUTS || toc_model_window_rows(model, TOC_SECOND_ROWS) != 1)
        return -EINVAL;
    struct toc_second *second = calloc(1, sizeof *second);
    if (!second)
        return -ENOMEM;
    second->model = model;
    *ret_second = second;
    return 0;
}

void toc_second_destroy(struct toc_second *second)
{
    free(second);
}

void toc_second_reset(struct toc_second *second)
{
    for (int i = 0; i < TOC_SECOND_WATCHED; i++)
        second->watched[i].active = false;
    second->first = second->end = 0;
}

void toc_second_keep(struct toc_second *second, int64_t first, const float *rows, uint32_t n)
{
    if (second->end == second->first)
        second->first = first;
    for (uint32_t i = 0; i < n; i++) {
        int16_t *to = second->kept + (first + i) % KEPT * TOC_FEATURES;
        for (uint32_t c = 0; c < TOC_FEATURES; c++)
            to[c] = (int16_t)(rows[i * TOC_FEATURES + c] * SCALE);
    }
    second->end = first + n;
}

/* The first look that comes late enough after the first word; the last one waits for it, if it must. */
static void plan_look(struct watched *w)
{
    while (w->next < LAST && w->at + LOOKS[w->next] < w->declared + AFTER_DECLARED)
        w->next++;
}

static int64_t due_row(const struct watched *w)
{
    int64_t due = w->at + LOOKS[w->next], soonest = w->declared + AFTER_DECLARED;
    return due > soonest ? due : soonest;
}

void toc_second_watch(struct toc_second *second, const struct toc_pick *pick)
{
    if (pick->phase != TOC_PHASE_P)
        return;
    for (int i = 0; i < TOC_SECOND_WATCHED; i++) {
        struct watched *w = &second->watched[i];
        if (w->active)
            continue;
        *w = (struct watched){.pick = *pick,
                              .active = true,
                              .at = (pick->time + TOC_GRID_NS / 2) / TOC_GRID_NS,
                              .declared = pick->declared / TOC_GRID_NS};
        plan_look(w);
        return;
    }
}

void toc_second_rename(struct toc_second *second, uint64_t from, uint64_t to)
{
    for (int i = 0; i < TOC_SECOND_WATCHED; i++)
        if (second->watched[i].active && second->watched[i].pick.id == from)
            second->watched[i].pick.id = to;
}

/* ---- reading the answer ------------------------------------------------------------------------------------ */

/* Softmax of n logits; one that is not finite makes all of them NAN, which no comparison takes for an onset. */
static void shares(const float *logits, size_t n, double *ret)
{
    double most = (double)logits[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        most = fmax(most, (double)logits[i]);
    for (size_t i = 0; i < n; i++)
        sum += ret[i] = exp((double)logits[i] - most);
    for (size_t i = 0; i < n; i++)
        ret[i] /= sum;
}

static size_t clip_bin(int64_t bin)
{
    return bin < 0 ? 0 : bin >= TOC_SECOND_BINS ? TOC_SECOND_BINS - 1 : (size_t)bin;
}

/* The bin around which most lies. */
static size_t likeliest(const double *share)
{
    size_t best = 0;
    double most = -1;
    for (size_t i = 0; i < TOC_SECOND_BINS; i++) {
        double sum = 0;
        for (int64_t k = (int64_t)i - AROUND; k <= (int64_t)i + AROUND; k++)
            sum += k < 0 || k >= TOC_SECOND_BINS ? 0 : share[k];
        if (sum > most) {
            most = sum;
            best = i;
        }
    }
    return best;
}

/* Middle of the mass about that bin, in bins. */
static double middle(const double *share, size_t best)
{
    double sum = 0, moment = 0;
    for (size_t k = clip_bin((int64_t)best - AROUND); k <= clip_bin((int64_t)best + AROUND); k++) {
        sum += share[k];
        moment += share[k] * ((double)k + 0.5);
    }
    return moment / sum;
}

/* Half of the span around `centre` (in bins) that holds SHARE of all: bins are added outwards, the last one in part. */
static double half_span(const double *share, double centre)
{
    int64_t left = (int64_t)centre, right = left + 1; /* held: [left, right) */
    double held = share[clip_bin(left)], last = held;
    while (held < SHARE && (left > 0 || right < TOC_SECOND_BINS)) {
        bool leftwards = right >= TOC_SECOND_BINS || (left > 0 && centre - (double)left < (double)right - centre);
        last = share[leftwards ? --left : right++];
        held += last;
    }
    double whole = (double)(right - left), more = held > SHARE && last > 0 ? (held - SHARE) / last : 0;
    return (whole - fmin(more, 1)) / 2;
}

/* A time that is known worse than the one so far is no news. */
static void read_place(const float *logits, int64_t at, struct toc_pick *pick)
{
    double share[TOC_SECOND_BINS], bin_s = BIN_ROWS * 1e-9 * (double)TOC_GRID_NS;
    shares(logits, TOC_SECOND_BINS, share);
    double centre = middle(share, likeliest(share)), half_s = half_span(share, centre) * bin_s;
    double sigma_s = fmin(fmax(half_s, SIGMA_LEAST_S), SIGMA_MOST_S);
    if (!(sigma_s < (double)pick->sigma_s))
        return;
    pick->time = at * TOC_GRID_NS + toc_ns_from_s((centre - TOC_SECOND_BINS / 2.0) * bin_s);
    pick->sigma_s = (float)sigma_s;
}

static bool all_finite(const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

void toc_second_read(const float out[TOC_SECOND_OUTPUTS], const struct toc_picker_settings *settings, int64_t at,
                     struct toc_pick *pick)
{
    double kind[3];
    pick->standing = TOC_STANDING_OPEN;
    if (!all_finite(out, TOC_SECOND_OUTPUTS))
        return; /* no opinion: everything stays */
    shares(out, 3, kind);
    pick->probability = (float)kind[1];
    pick->s_probability = (float)kind[2];
    if (kind[1] >= 0.5)
        read_place(out + 3, at, pick);
    if (kind[1] >= settings->confirm_threshold)
        pick->standing = TOC_STANDING_CONFIRMED;
    else if (kind[1] < settings->withdraw_threshold)
        pick->standing = TOC_STANDING_WITHDRAWN;
}

/* ---- looking ----------------------------------------------------------------------------------------------- */

static void fill_window(const struct toc_second *second, int64_t at, int64_t until,
                        float ret_rows[TOC_SECOND_ROWS * TOC_SECOND_INPUTS])
{
    int64_t begin = at - (int64_t)TOC_SECOND_BEFORE;
    int64_t from = second->end - second->first > KEPT ? second->end - (int64_t)KEPT : second->first;
    for (uint32_t i = 0; i < TOC_SECOND_ROWS; i++) {
        float *to = ret_rows + i * TOC_SECOND_INPUTS;
        int64_t row = begin + i;
        bool seen = row >= from && row < until;
        for (uint32_t c = 0; c < TOC_FEATURES; c++)
            to[c] = seen ? (float)second->kept[row % KEPT * TOC_FEATURES + c] / SCALE : 0;
        to[TOC_FEATURES] = seen;
    }
}

static struct toc_pick look_again(struct toc_second *second, const struct toc_picker_settings *settings,
                                  struct toc_model_scratch *scratch, struct watched *w)
{
    float rows[TOC_SECOND_ROWS * TOC_SECOND_INPUTS], out[TOC_SECOND_OUTPUTS];
    int64_t due = due_row(w);
    uint32_t n;
    fill_window(second, w->at, due, rows);
    if (toc_model_run_window(second->model, scratch, rows, TOC_SECOND_ROWS, out, &n) < 0)
        out[0] = NAN; /* cannot be: the shape was checked at create */
    toc_second_read(out, settings, w->at, &w->pick);
    w->pick.revision++;
    w->pick.revised = (due - 1) * TOC_GRID_NS;
    w->active = w->next < LAST;
    w->next++;
    if (w->active)
        plan_look(w);
    return w->pick;
}

static struct watched *next_due(struct toc_second *second, int64_t end)
{
    struct watched *oldest = NULL;
    for (int i = 0; i < TOC_SECOND_WATCHED; i++) {
        struct watched *w = &second->watched[i];
        if (w->active && due_row(w) <= end && (!oldest || w->at < oldest->at))
            oldest = w;
    }
    return oldest;
}

size_t toc_second_look(struct toc_second *second, const struct toc_picker_settings *settings,
                       struct toc_model_scratch *scratch, int64_t end, struct toc_pick *ret_picks, size_t max)
{
    size_t n = 0;
    for (struct watched *w; n < max && (w = next_due(second, end)); n++)
        ret_picks[n] = look_again(second, settings, scratch, w);
    return n;
}
