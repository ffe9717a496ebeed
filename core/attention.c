/*
 * Self-attention, one row of the output after the other. What all rows are
 * compared with is kept turned, [units][rows], so that the loops over rows
 * run along memory.
 */
#include "core/attention.h"

#include <math.h>
#include <string.h>

/* gcc turns the loops into vector code at -O3 only, clang always. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

#define LEAST -87.0f  /* exponents below it are no float */
#define TILE_ROWS 16u /* projected at once: enough for the weights to stay in registers and caches */

struct band {
    uint32_t from, end;
};

static struct band band_of(uint32_t row, uint32_t width, uint32_t rows)
{
    int64_t from = (int64_t)row - width + width / 2 + 1, end = (int64_t)row + width / 2 + 1;

    if (width == 0)
        return (struct band){0, rows};
    return (struct band){from < 0 ? 0 : (uint32_t)from, end > rows ? rows : (uint32_t)end};
}

static float largest(const float *values, size_t n)
{
    float best = values[0];

    for (size_t i = 1; i < n; i++)
        best = values[i] > best ? values[i] : best;
    return best;
}

/* exp(x - top) */
static void weigh(const struct toc_kernels *kernels, float *values, size_t n, float top)
{
    for (size_t i = 0; i < n; i++)
        values[i] = values[i] - top > LEAST ? values[i] - top : LEAST;
    kernels->exponential(values, n);
}

static float sum_of(const float *values, size_t n)
{
    float sum = 0.0f;

    for (size_t i = 0; i < n; i++)
        sum += values[i];
    return sum;
}

/* out[rows][columns] = in W + bias */
static void project(const struct toc_kernels *kernels, struct toc_rows in, uint32_t rows, uint32_t terms,
                    const float *weight, const float *bias, uint32_t columns, struct toc_rows out)
{
    const struct toc_product product = {.in = in.at,
                                        .in_step = in.pitch,
                                        .segments = 1,
                                        .segment = terms,
                                        .rows = rows,
                                        .weight = weight,
                                        .columns = columns,
                                        .init = bias,
                                        .out = out.at,
                                        .out_step = out.pitch,
                                        .slope = 1.0f};

    kernels->multiply(&product);
}

/* out += sum over j of weights[j] rows[j][from .. from + n) */
static void add_weighted(const float *weights, struct toc_rows rows, struct band band, uint32_t n, float *out)
{
    for (uint32_t j = band.from; j < band.end; j++) {
        const float *row = rows.at + (ptrdiff_t)j * rows.pitch;

        for (uint32_t c = 0; c < n; c++)
            out[c] += weights[j] * row[c];
    }
}

/* ---- additive ---- */

/* Zeros, queries of one row or keys of a tile, keys of all rows turned, comparisons, scores. */
uint64_t toc_attention_additive_work(const struct toc_attention_additive *layer, uint32_t in_rows)
{
    return toc_kernels_width(layer->units) + (uint64_t)layer->units * (TILE_ROWS + (uint64_t)in_rows) +
           2 * (uint64_t)in_rows;
}

static void turn_keys(const struct toc_kernels *kernels, const struct toc_attention_additive *layer, struct toc_rows in,
                      uint32_t in_rows, float *tile, float *keys)
{
    const struct toc_rows into = {tile, layer->units};

    for (uint32_t t = 0; t < in_rows; t += TILE_ROWS) {
        uint32_t rows = in_rows - t < TILE_ROWS ? in_rows - t : TILE_ROWS;

        project(kernels, toc_rows_from(in, t), rows, layer->channels, layer->key, layer->bias, layer->units, into);
        for (uint32_t r = 0; r < rows; r++)
            for (uint32_t u = 0; u < layer->units; u++)
                keys[(size_t)u * in_rows + t + r] = tile[r * layer->units + u];
    }
}

static void score_rows(const struct toc_kernels *kernels, const struct toc_attention_additive *layer,
                       const float *query, const float *keys, uint32_t in_rows, float *compared, float *scores)
{
    memset(scores, 0, in_rows * sizeof(*scores));
    for (uint32_t u = 0; u < layer->units; u++, keys += in_rows) {
        for (uint32_t j = 0; j < in_rows; j++)
            compared[j] = query[u] + keys[j];
        kernels->hyperbolic_tangent(compared, in_rows);
        for (uint32_t j = 0; j < in_rows; j++)
            scores[j] += layer->score[u] * compared[j];
    }
    toc_nn_clean(scores, in_rows, scores);
    weigh(kernels, scores, in_rows, largest(scores, in_rows));
}

static void mean_rows(const struct toc_attention_additive *layer, struct toc_rows in, struct band band, float *scores,
                      float *out)
{
    float sum = sum_of(scores + band.from, band.end - band.from) + layer->eps;

    for (uint32_t j = band.from; j < band.end; j++)
        scores[j] /= sum;
    memset(out, 0, layer->channels * sizeof(*out));
    add_weighted(scores, in, band, layer->channels, out);
    toc_nn_clean(out, layer->channels, out);
}

void toc_attention_additive(const struct toc_kernels *kernels, const struct toc_attention_additive *layer,
                            struct toc_rows in, uint32_t in_rows, uint32_t first, uint32_t rows, float *work,
                            struct toc_rows out)
{
    float *zeros = work, *tile = zeros + toc_kernels_width(layer->units);
    float *keys = tile + TILE_ROWS * (size_t)layer->units, *compared = keys + (size_t)layer->units * in_rows;
    float *scores = compared + in_rows;
    const struct toc_rows query = {tile, layer->units};

    memset(zeros, 0, layer->units * sizeof(*zeros));
    turn_keys(kernels, layer, in, in_rows, tile, keys);
    for (uint32_t i = first; i < first + rows; i++) {
        project(kernels, toc_rows_from(in, i), 1, layer->channels, layer->query, zeros, layer->units, query);
        score_rows(kernels, layer, tile, keys, in_rows, compared, scores);
        mean_rows(layer, in, band_of(i, layer->band, in_rows), scores, toc_rows_from(out, i - first).at);
    }
}

/* ---- dot product ---- */

/* Tiles of queries, of contexts and of keys and values; keys turned; values; scores. */
uint64_t toc_attention_dot_work(const struct toc_attention_dot *layer, uint32_t in_rows)
{
    return (uint64_t)layer->channels * (4 * TILE_ROWS + 2 * (uint64_t)in_rows) + in_rows;
}

/* Where the parts of the work space lie. */
struct dot_work {
    float *queries, *contexts, *both; /* tiles */
    float *keys, *values, *scores;    /* of all rows */
};

static struct dot_work dot_parts(const struct toc_attention_dot *layer, uint32_t in_rows, float *work)
{
    size_t tile = TILE_ROWS * (size_t)layer->channels, all = (size_t)in_rows * layer->channels;

    return (struct dot_work){.queries = work,
                             .contexts = work + tile,
                             .both = work + 2 * tile,
                             .keys = work + 4 * tile,
                             .values = work + 4 * tile + all,
                             .scores = work + 4 * tile + 2 * all};
}

static void keys_and_values(const struct toc_kernels *kernels, const struct toc_attention_dot *layer,
                            struct toc_rows in, uint32_t in_rows, const struct dot_work *work)
{
    const uint32_t n = layer->channels;
    const struct toc_rows into = {work->both, 2 * (ptrdiff_t)n};

    for (uint32_t t = 0; t < in_rows; t += TILE_ROWS) {
        uint32_t rows = in_rows - t < TILE_ROWS ? in_rows - t : TILE_ROWS;

        project(kernels, toc_rows_from(in, t), rows, n, layer->key_value, layer->key_value_bias, 2 * n, into);
        for (uint32_t r = 0; r < rows; r++) {
            const float *both = toc_rows_from(into, r).at;

            for (uint32_t c = 0; c < n; c++)
                work->keys[(size_t)c * in_rows + t + r] = both[c];
            memcpy(work->values + (size_t)(t + r) * n, both + n, n * sizeof(float));
        }
    }
}

static void attend(const struct toc_kernels *kernels, const struct toc_attention_dot *layer, const float *query,
                   struct band band, uint32_t in_rows, const struct dot_work *work, float *context)
{
    const uint32_t size = layer->channels / layer->heads;
    const float scale = 1.0f / sqrtf((float)size);
    float *scores = work->scores, sum;

    for (uint32_t c = 0; c < layer->channels; c += size) {
        const struct toc_rows values = {work->values + c, layer->channels};

        memset(scores + band.from, 0, (band.end - band.from) * sizeof(*scores));
        for (uint32_t u = c; u < c + size; u++)
            for (uint32_t j = band.from; j < band.end; j++)
                scores[j] += query[u] * scale * work->keys[(size_t)u * in_rows + j];
        toc_nn_clean(scores + band.from, band.end - band.from, scores + band.from);
        weigh(kernels, scores + band.from, band.end - band.from, largest(scores + band.from, band.end - band.from));
        sum = sum_of(scores + band.from, band.end - band.from);
        for (uint32_t j = band.from; j < band.end; j++)
            scores[j] /= sum;
        add_weighted(scores, values, band, size, context + c);
    }
}

void toc_attention_dot(const struct toc_kernels *kernels, const struct toc_attention_dot *layer, struct toc_rows in,
                       uint32_t in_rows, uint32_t first, uint32_t rows, float *work, struct toc_rows out)
{
    const uint32_t n = layer->channels;
    const struct dot_work parts = dot_parts(layer, in_rows, work);
    const struct toc_rows queries = {parts.queries, n}, contexts = {parts.contexts, n};

    keys_and_values(kernels, layer, in, in_rows, &parts);
    for (uint32_t t = 0; t < rows; t += TILE_ROWS) {
        uint32_t tile = rows - t < TILE_ROWS ? rows - t : TILE_ROWS;

        project(kernels, toc_rows_from(in, first + t), tile, n, layer->query, layer->query_bias, n, queries);
        memset(parts.contexts, 0, (size_t)tile * n * sizeof(float));
        for (uint32_t r = 0; r < tile; r++)
            attend(kernels, layer, toc_rows_from(queries, r).at, band_of(first + t + r, layer->band, in_rows), in_rows,
                   &parts, toc_rows_from(contexts, r).at);
        toc_nn_clean(parts.contexts, (size_t)tile * n, parts.contexts);
        project(kernels, contexts, tile, n, layer->out, layer->out_bias, n, toc_rows_from(out, t));
    }
}
