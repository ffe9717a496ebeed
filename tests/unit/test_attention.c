/*
 * core/attention against its formulas written as plain loops in double: any
 * shapes, bands, heads, parts of the rows; odd input stays finite.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/attention.h"
#include "tests/unit/reference.h"

enum { ROUNDS = 120 };

struct problem {
    uint32_t rows, channels, first, count;
    struct toc_rows in; /* owned */
    double *weights;    /* owned; [rows] of one row of output */
};

static struct problem draw_problem(uint32_t heads, float scale)
{
    struct problem p = {.rows = 1 + reference_draw(60), .channels = heads * (1 + reference_draw(9))};

    p.first = reference_draw(p.rows);
    p.count = 1 + reference_draw(p.rows - p.first);
    p.in = reference_random_rows(p.rows, p.channels, p.channels + reference_draw(4), scale);
    p.weights = calloc(p.rows, sizeof(*p.weights));
    return p;
}

static void free_problem(struct problem *p)
{
    free(p->in.at);
    free(p->weights);
}

static double input(const struct problem *p, uint32_t t, uint32_t c)
{
    return (double)toc_rows_from(p->in, t).at[c];
}

/* As EQTransformer's code has it: key j is seen from rows lower <= i < upper. */
static bool sees(uint32_t i, uint32_t j, uint32_t band)
{
    int64_t lower = (int64_t)j - band / 2, upper = lower + band;

    return band == 0 || (lower <= i && i < upper);
}

static double project(const struct problem *p, uint32_t t, const float *matrix, uint32_t columns, uint32_t column)
{
    double sum = 0;

    for (uint32_t c = 0; c < p->channels; c++)
        sum += input(p, t, c) * (double)matrix[c * columns + column];
    return sum;
}

static void compare(const struct problem *p, struct toc_rows out, const double *expected, const char *what)
{
    for (uint32_t t = 0; t < p->count; t++)
        for (uint32_t c = 0; c < p->channels; c++) {
            double got = (double)toc_rows_from(out, t).at[c], want = expected[t * p->channels + c];

            if (!(fabs(got - want) <= 1e-5 * (1 + fabs(want))))
                fail_msg("%s: row %u of %u channel %u is %g, not %g", what, p->first + t, p->rows, c, got, want);
        }
    assert_true(reference_guarded(out, p->count, p->channels));
}

/* ---- additive ---- */

struct additive {
    float *wx, *wt, *bh, *wa; /* owned; PyTorch's shapes */
    float *packed_wx, *packed_wt;
    struct toc_attention_additive layer;
};

static struct additive draw_additive(const struct problem *p, float scale)
{
    uint32_t units = 1 + reference_draw(40);
    struct additive a = {.wx = reference_values((size_t)p->channels * units, scale),
                         .wt = reference_values((size_t)p->channels * units, scale),
                         .bh = reference_values(units, scale),
                         .wa = reference_values(units, scale)};

    a.packed_wx = reference_packed(a.wx, p->channels, units);
    a.packed_wt = reference_packed(a.wt, p->channels, units);
    a.layer = (struct toc_attention_additive){.channels = p->channels,
                                              .units = units,
                                              .band = reference_draw(3) > 0 ? 1 + reference_draw(p->rows + 3) : 0,
                                              .eps = reference_draw(2) > 0 ? 1e-5f : 0.5f,
                                              .query = a.packed_wt,
                                              .key = a.packed_wx,
                                              .bias = a.bh,
                                              .score = a.wa};
    return a;
}

static void free_additive(struct additive *a)
{
    free(a->wx);
    free(a->wt);
    free(a->bh);
    free(a->wa);
    free(a->packed_wx);
    free(a->packed_wt);
}

static void additive_row(const struct problem *p, const struct additive *a, uint32_t i, double *ret_row)
{
    uint32_t units = a->layer.units;
    double top = -INFINITY, sum = (double)a->layer.eps;

    for (uint32_t j = 0; j < p->rows; j++) {
        p->weights[j] = 0;
        for (uint32_t u = 0; u < units; u++)
            p->weights[j] += (double)a->wa[u] *
                             tanh(project(p, i, a->wt, units, u) + project(p, j, a->wx, units, u) + (double)a->bh[u]);
        top = fmax(top, p->weights[j]);
    }
    for (uint32_t j = 0; j < p->rows; j++) {
        p->weights[j] = sees(i, j, a->layer.band) ? exp(p->weights[j] - top) : 0;
        sum += p->weights[j];
    }
    for (uint32_t c = 0; c < p->channels; c++) {
        ret_row[c] = 0;
        for (uint32_t j = 0; j < p->rows; j++)
            ret_row[c] += p->weights[j] / sum * input(p, j, c);
    }
}

static struct toc_rows run_additive(const struct problem *p, const struct additive *a)
{
    struct toc_rows out = reference_rows(p->count, p->channels + reference_draw(3));
    float *work = malloc(toc_attention_additive_work(&a->layer, p->rows) * sizeof(*work));

    toc_attention_additive(toc_kernels_best(), &a->layer, p->in, p->rows, p->first, p->count, work, out);
    free(work);
    return out;
}

static void additive_attention_follows_its_formula(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct problem p = draw_problem(1, 1.5f);
        struct additive a = draw_additive(&p, 0.5f);
        struct toc_rows out = run_additive(&p, &a);
        double *expected = calloc((size_t)p.count * p.channels, sizeof(*expected));

        for (uint32_t t = 0; t < p.count; t++)
            additive_row(&p, &a, p.first + t, expected + t * p.channels);
        compare(&p, out, expected, "additive");
        free(expected);
        free(out.at);
        free_additive(&a);
        free_problem(&p);
    }
}

/* ---- dot product ---- */

struct dot {
    float *in, *in_bias, *out, *out_bias; /* owned; [channels][3 * channels], [channels][channels] and their biases */
    float *query, *key_value, *packed_out, *key_value_bias; /* owned */
    struct toc_attention_dot layer;
};

static float *part(const float *matrix, uint32_t rows, uint32_t columns, uint32_t from, uint32_t n)
{
    float *cut = malloc(((size_t)rows * n + 16) * sizeof(*cut)), *packed;

    for (uint32_t r = 0; r < rows; r++)
        memcpy(cut + (size_t)r * n, matrix + (size_t)r * columns + from, n * sizeof(*cut));
    packed = reference_packed(cut, rows, n);
    free(cut);
    return packed;
}

static struct dot draw_dot(const struct problem *p, uint32_t heads, float scale)
{
    uint32_t n = p->channels;
    struct dot d = {.in = reference_values((size_t)3 * n * n, scale),
                    .in_bias = reference_values((size_t)3 * n, scale),
                    .out = reference_values((size_t)n * n, scale),
                    .out_bias = reference_values(n, scale)};

    d.query = part(d.in, n, 3 * n, 0, n);
    d.key_value = part(d.in, n, 3 * n, n, 2 * n);
    d.packed_out = reference_packed(d.out, n, n);
    d.key_value_bias = part(d.in_bias, 1, 3 * n, n, 2 * n);
    d.layer = (struct toc_attention_dot){.channels = n,
                                         .heads = heads,
                                         .band = reference_draw(2) > 0 ? 1 + reference_draw(p->rows + 3) : 0,
                                         .query = d.query,
                                         .key_value = d.key_value,
                                         .out = d.packed_out,
                                         .query_bias = d.in_bias,
                                         .key_value_bias = d.key_value_bias,
                                         .out_bias = d.out_bias};
    return d;
}

static void free_dot(struct dot *d)
{
    free(d->in);
    free(d->in_bias);
    free(d->out);
    free(d->out_bias);
    free(d->query);
    free(d->key_value);
    free(d->packed_out);
    free(d->key_value_bias);
}

/* Columns of one row: 0..n-1 queries, then keys, then values. */
static double in_projection(const struct problem *p, const struct dot *d, uint32_t t, uint32_t column)
{
    return project(p, t, d->in, 3 * p->channels, column) + (double)d->in_bias[column];
}

static void dot_head(const struct problem *p, const struct dot *d, uint32_t i, uint32_t head, double *context)
{
    uint32_t n = p->channels, size = n / d->layer.heads;
    double sum = 0;

    for (uint32_t j = 0; j < p->rows; j++) {
        double score = 0;

        for (uint32_t c = head * size; c < (head + 1) * size; c++)
            score += in_projection(p, d, i, c) * in_projection(p, d, j, n + c);
        p->weights[j] = sees(i, j, d->layer.band) ? exp(score / sqrt(size)) : 0;
        sum += p->weights[j];
    }
    for (uint32_t c = head * size; c < (head + 1) * size; c++) {
        context[c] = 0;
        for (uint32_t j = 0; j < p->rows; j++)
            context[c] += p->weights[j] / sum * in_projection(p, d, j, 2 * n + c);
    }
}

static void dot_row(const struct problem *p, const struct dot *d, uint32_t i, double *ret_row)
{
    double *context = calloc(p->channels, sizeof(*context));

    for (uint32_t head = 0; head < d->layer.heads; head++)
        dot_head(p, d, i, head, context);
    for (uint32_t c = 0; c < p->channels; c++) {
        ret_row[c] = (double)d->out_bias[c];
        for (uint32_t k = 0; k < p->channels; k++)
            ret_row[c] += context[k] * (double)d->out[k * p->channels + c];
    }
    free(context);
}

static struct toc_rows run_dot(const struct problem *p, const struct dot *d)
{
    struct toc_rows out = reference_rows(p->count, p->channels + reference_draw(3));
    float *work = malloc(toc_attention_dot_work(&d->layer, p->rows) * sizeof(*work));

    toc_attention_dot(toc_kernels_best(), &d->layer, p->in, p->rows, p->first, p->count, work, out);
    free(work);
    return out;
}

static void dot_attention_follows_its_formula(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS / 2; round++) {
        uint32_t heads = 1 + reference_draw(4);
        struct problem p = draw_problem(heads, 1.0f);
        struct dot d = draw_dot(&p, heads, 0.4f);
        struct toc_rows out = run_dot(&p, &d);
        double *expected = calloc((size_t)p.count * p.channels, sizeof(*expected));

        for (uint32_t t = 0; t < p.count; t++)
            dot_row(&p, &d, p.first + t, expected + t * p.channels);
        compare(&p, out, expected, "dot");
        free(expected);
        free(out.at);
        free_dot(&d);
        free_problem(&p);
    }
}

/* ---- both ---- */

static void a_part_has_the_bits_of_the_whole(void **state)
{
    (void)state;
    for (int round = 0; round < 30; round++) {
        uint32_t heads = 1 + reference_draw(3);
        struct problem p = draw_problem(heads, 1.0f), whole = p;
        struct additive a = draw_additive(&p, 0.5f);
        struct dot d = draw_dot(&p, heads, 0.5f);

        whole.first = 0;
        whole.count = p.rows;
        for (int kind = 0; kind < 2; kind++) {
            struct toc_rows some = kind == 0 ? run_additive(&p, &a) : run_dot(&p, &d);
            struct toc_rows all = kind == 0 ? run_additive(&whole, &a) : run_dot(&whole, &d);

            for (uint32_t t = 0; t < p.count; t++)
                assert_memory_equal(toc_rows_from(some, t).at, toc_rows_from(all, p.first + t).at,
                                    p.channels * sizeof(float));
            free(some.at);
            free(all.at);
        }
        free_additive(&a);
        free_dot(&d);
        free_problem(&p);
    }
}

static void require_finite(const struct problem *p, struct toc_rows out)
{
    for (uint32_t t = 0; t < p->count; t++)
        for (uint32_t c = 0; c < p->channels; c++)
            assert_true(isfinite(toc_rows_from(out, t).at[c]));
    free(out.at);
}

static void huge_and_tiny_input_stays_finite(void **state)
{
    static const float scales[] = {0.0f, 1e-40f, 1e-20f, 1e20f, 3.3e38f};

    (void)state;
    for (int round = 0; round < 50; round++) {
        uint32_t heads = 1 + reference_draw(3);
        struct problem p = draw_problem(heads, scales[round % 5]);
        struct additive a = draw_additive(&p, round % 3 == 0 ? 3.3e38f : 1.0f);
        struct dot d = draw_dot(&p, heads, round % 3 == 0 ? 3.3e38f : 1.0f);

        a.layer.eps = 0.0f;
        require_finite(&p, run_additive(&p, &a));
        require_finite(&p, run_dot(&p, &d));
        free_additive(&a);
        free_dot(&d);
        free_problem(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(additive_attention_follows_its_formula),
        cmocka_unit_test(dot_attention_follows_its_formula),
        cmocka_unit_test(a_part_has_the_bits_of_the_whole),
        cmocka_unit_test(huge_and_tiny_input_stays_finite),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
