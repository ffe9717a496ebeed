/*
 * Every operation (the networks of tests/parity hold them all) on input and
 * weights that no instrument and no training should give: what comes out is
 * finite, the next window knows nothing of it, and nothing is allocated.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>

#include "core/kernels.h"
#include "core/model.h"
#include "tests/unit/allocations.h"
#include "tests/unit/model_file.h"

static const char *const names[] = {"attentions",   "both_directions", "causal_net", "conv_causal", "conv_groups",
                                    "conv_padded",  "eqtransformer",   "folding",    "gpd",         "gru_50_50",
                                    "last_rows",    "lstm_50_50",      "pictures",   "pointwise",   "pools",
                                    "pools_causal", "transposed",      "u_net",      "window_heads"};

struct network {
    struct toc_model *model;           /* owned */
    struct toc_model_scratch *scratch; /* owned */
    uint32_t rows, out_rows;
    size_t n_in, n_out;
    float *good, *bad, *first, *out; /* owned; inputs and outputs */
};

static uint8_t *read_file(const char *name, const char *suffix, size_t *ret_len)
{
    uint8_t *bytes = model_file_stored(name, suffix, ret_len);

    if (bytes == NULL)
        fail_msg("cannot read %s%s", name, suffix);
    return bytes;
}

static bool open_network(const uint8_t *bytes, size_t len, uint32_t rows, struct network *ret_network)
{
    struct network n = {.rows = rows};
    char why[256] = "";

    if (toc_model_load(bytes, len, &n.model, why, sizeof(why)) != 0)
        return false;
    assert_int_equal(toc_model_scratch_create(n.model, rows, &n.scratch), 0);
    n.out_rows = toc_model_window_rows(n.model, rows);
    n.n_in = (size_t)rows * toc_model_inputs(n.model);
    n.n_out = (size_t)n.out_rows * toc_model_outputs(n.model);
    n.good = calloc(n.n_in, sizeof(float));
    n.bad = calloc(n.n_in, sizeof(float));
    n.first = calloc(n.n_out, sizeof(float));
    n.out = calloc(n.n_out, sizeof(float));
    *ret_network = n;
    return true;
}

static void close_network(struct network *n)
{
    toc_model_scratch_destroy(n->scratch);
    toc_model_destroy(n->model);
    free(n->good);
    free(n->bad);
    free(n->first);
    free(n->out);
}

static struct network open_stored(const char *name)
{
    struct network n = {0};
    size_t len = 0, vec_len = 0;
    uint8_t *bytes = read_file(name, ".safetensors", &len), *vec = read_file(name, ".vec", &vec_len);
    uint32_t rows;

    memcpy(&rows, vec, sizeof(rows));
    if (!open_network(bytes, len, rows, &n))
        fail_msg("%s is refused", name);
    memcpy(n.good, vec + 16, n.n_in * sizeof(float));
    free(bytes);
    free(vec);
    return n;
}

static void run(const struct network *n, const float *in, float *out)
{
    uint32_t rows = 0;

    assert_int_equal(toc_model_run_window(n->model, n->scratch, in, n->rows, out, &rows), 0);
    assert_int_equal(rows, n->out_rows);
}

static void assert_finite(const struct network *n, const char *name, const char *what)
{
    for (size_t i = 0; i < n->n_out; i++)
        if (!isfinite(n->out[i]))
            fail_msg("%s on %s: value %zu of %zu is %g", name, what, i, n->n_out, (double)n->out[i]);
}

/* ---- input ---- */

enum pattern { NANS, INFINITIES, DENORMALS, ZEROS, ONES, LARGEST, SQUARE, CLIPPED, SPIKE, MIXTURE, PATTERNS };

static const char *const pattern_names[] = {"NaN",     "infinities",   "denormals",        "zeros", "ones",
                                            "largest", "square waves", "clipped extremes", "spike", "a mixture"};

static float bad_value(enum pattern pattern, size_t i, size_t n)
{
    static const float mixture[] = {NAN, INFINITY, -INFINITY, 3.4e38f, -3.4e38f, 1e-42f, 0.0f, -1e20f};
    bool up = i / 7 % 2 == 0;

    switch (pattern) {
    case NANS:
        return NAN;
    case INFINITIES:
        return up ? INFINITY : -INFINITY;
    case DENORMALS:
        return up ? 1e-42f : -3e-41f;
    case ONES:
        return 1.0f;
    case LARGEST:
        return 3.4e38f;
    case SQUARE:
        return up ? 1.0f : -1.0f;
    case CLIPPED:
        return up ? 3.4e38f : -3.4e38f;
    case SPIKE:
        return i == n / 2 ? 3.4e38f : 0.0f;
    case MIXTURE:
        return mixture[i % 8];
    default:
        return 0.0f;
    }
}

static void odd_input_gives_finite_output(void **state)
{
    (void)state;
    for (size_t m = 0; m < sizeof(names) / sizeof(*names); m++) {
        struct network n = open_stored(names[m]);

        run(&n, n.good, n.first);
        for (int pattern = 0; pattern < PATTERNS; pattern++) {
            for (size_t i = 0; i < n.n_in; i++)
                n.bad[i] = bad_value((enum pattern)pattern, i, n.n_in);
            run(&n, n.bad, n.out);
            assert_finite(&n, names[m], pattern_names[pattern]);
            run(&n, n.good, n.out); /* and nothing of it stays */
            assert_memory_equal(n.out, n.first, n.n_out * sizeof(float));
        }
        close_network(&n);
    }
}

static void what_is_not_finite_counts_as_zero(void **state)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY};

    (void)state;
    for (size_t m = 0; m < sizeof(names) / sizeof(*names); m++) {
        struct network n = open_stored(names[m]);

        for (size_t i = 0; i < n.n_in; i++) {
            n.bad[i] = i % 11 == 5 ? odd[i % 3] : n.good[i];
            n.good[i] = i % 11 == 5 ? 0.0f : n.good[i];
        }
        run(&n, n.good, n.first);
        run(&n, n.bad, n.out);
        assert_memory_equal(n.out, n.first, n.n_out * sizeof(float));
        close_network(&n);
    }
}

/* ---- weights ---- */

static size_t payload_at(const uint8_t *bytes)
{
    uint64_t header = 0;

    memcpy(&header, bytes, 8);
    return 8 + (size_t)header;
}

static void put_right_checksum(uint8_t *bytes, size_t len)
{
    static const char key[] = "\"tocsin.crc32c\":\"", graph_key[] = "\"tocsin.graph\":\"";
    size_t at = payload_at(bytes), n = 0;
    uint8_t *text = memmem(bytes, at, graph_key, sizeof(graph_key) - 1), *sum = memmem(bytes, at, key, sizeof(key) - 1);
    char *graph = malloc(at), right[16];

    assert_true(text != NULL && sum != NULL);
    for (text += sizeof(graph_key) - 1; *text != '"'; text++)
        graph[n++] = (char)(*text == '\\' ? *++text : *text); /* nothing but quotes is escaped */
    snprintf(right, sizeof(right), "%08x", toc_model_crc32c(toc_model_crc32c(0, graph, n), bytes + at, len - at));
    memcpy(sum + sizeof(key) - 1, right, 8);
    free(graph);
}

static void scale_weights(uint8_t *bytes, size_t len, float factor)
{
    for (size_t at = payload_at(bytes); at + 4 <= len; at += 4) {
        float value;

        memcpy(&value, bytes + at, 4);
        value = fminf(fmaxf(value * factor, -3.4e38f), 3.4e38f);
        memcpy(bytes + at, &value, 4);
    }
    put_right_checksum(bytes, len);
}

/* A folded batch norm may overflow and is refused then; what is accepted must run. */
static void odd_weights_are_refused_or_give_finite_output(void **state)
{
    static const float factors[] = {0.0f, 1e-39f, 1e5f, 1e19f, 1e38f, -1e38f};
    size_t accepted = 0;

    (void)state;
    for (size_t m = 0; m < sizeof(names) / sizeof(*names); m++)
        for (size_t f = 0; f < sizeof(factors) / sizeof(*factors); f++) {
            struct network n = {0}, stored = open_stored(names[m]);
            size_t len = 0;
            uint8_t *bytes = read_file(names[m], ".safetensors", &len);

            scale_weights(bytes, len, factors[f]);
            if (open_network(bytes, len, stored.rows, &n)) {
                accepted++;
                run(&n, stored.good, n.out);
                assert_finite(&n, names[m], "odd weights");
                for (size_t i = 0; i < n.n_in; i++)
                    n.bad[i] = bad_value(MIXTURE, i, n.n_in);
                run(&n, n.bad, n.out);
                assert_finite(&n, names[m], "odd weights and input");
                close_network(&n);
            }
            free(bytes);
            close_network(&stored);
        }
    assert_true(accepted > 3 * sizeof(names) / sizeof(*names));
}

/* ---- memory ---- */

static void windows_allocate_nothing(void **state)
{
    (void)state;
#ifdef SANITIZED
    skip(); /* the sanitizer owns malloc */
#endif
    for (size_t m = 0; m < sizeof(names) / sizeof(*names); m++) {
        struct network n = open_stored(names[m]);
        unsigned long before = allocations;

        assert_true(before > 0); /* the counter counts */
        run(&n, n.good, n.out);
        assert_int_equal(toc_model_run_part(n.model, n.scratch, n.good, n.rows, n.out_rows / 2, 1, n.out), 0);
        assert_int_equal(allocations, before);
        close_network(&n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_input_gives_finite_output),
        cmocka_unit_test(what_is_not_finite_counts_as_zero),
        cmocka_unit_test(odd_weights_are_refused_or_give_finite_output),
        cmocka_unit_test(windows_allocate_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
