/*
 * The second look on made-up rows and made-up networks: when it looks, at
 * what, and how an answer is read; and that the shipped network fits.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/contract.h"
#include "core/filter.h"
#include "core/second.h"
#include "tests/unit/model_file.h"

#define FIRST INT64_C(156227400000) /* a grid index of 2019 */
#define PICKS_MAX 32

static const struct toc_picker_settings settings = {.confirm_threshold = 0.9, .withdraw_threshold = 0.1};

struct bed {
    struct model_file file;
    struct toc_model *model;
    struct toc_model_scratch *scratch;
    struct toc_second *second;
};

static void load(struct bed *b)
{
    char why[160];
    assert_int_equal(toc_model_load(b->file.bytes, b->file.len, &b->model, why, sizeof why), 0);
    assert_int_equal(toc_model_scratch_create(b->model, TOC_SECOND_ROWS, &b->scratch), 0);
    assert_int_equal(toc_second_create(b->model, &b->second), 0);
}

static int setup(void **state)
{
    struct bed *b = calloc(1, sizeof *b);
    model_file_second(&b->file, 5, 0.01f);
    load(b);
    *state = b;
    return 0;
}

static void unload(struct bed *b)
{
    toc_second_destroy(b->second);
    toc_model_scratch_destroy(b->scratch);
    toc_model_destroy(b->model);
}

static int teardown(void **state)
{
    struct bed *b = *state;
    unload(b);
    model_file_free(&b->file);
    free(b);
    return 0;
}

/* Rows anyone can make again: a function of index and column. */
static void make_rows(int64_t first, uint32_t n, float *ret)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t c = 0; c < TOC_FEATURES; c++)
            ret[i * TOC_FEATURES + c] = (float)sin((double)(first + i - FIRST) * (0.3 + 0.1 * c));
}

static void keep(struct bed *b, int64_t first, uint32_t n)
{
    float rows[100 * TOC_FEATURES];
    make_rows(first, n, rows);
    toc_second_keep(b->second, first, rows, n);
}

static struct toc_pick pick_at(uint64_t id, int64_t onset, int64_t declared)
{
    return (struct toc_pick){.id = id, .phase = TOC_PHASE_P, .time = onset * TOC_GRID_NS + 1000000, .sigma_s = 0.2f,
                             .probability = 0.7f, .declared = declared * TOC_GRID_NS, .snr_db = 12};
}

/* Rows come in blocks of `block`, looks are asked for at the end of each hop of 5, as a listener does. */
static size_t play(struct bed *b, uint32_t block, uint32_t rows, const struct toc_pick *picks, size_t n_picks,
                   struct toc_pick *ret, int64_t *ret_end)
{
    size_t n = 0, next = 0;
    for (int64_t at = FIRST; at < FIRST + rows; at += block) {
        keep(b, at, block);
        for (int64_t end = at + 5; end <= at + block; end += 5) {
            while (next < n_picks && picks[next].declared / TOC_GRID_NS < end)
                toc_second_watch(b->second, &picks[next++]);
            size_t got = toc_second_look(b->second, &settings, b->scratch, end, ret + n, PICKS_MAX - n);
            for (size_t i = 0; i < got; i++)
                ret_end[n + i] = end;
            n += got;
        }
    }
    return n;
}

static void it_looks_four_times_and_blocks_do_not_matter(void **state)
{
    struct bed *b = *state;
    const struct toc_pick pick = pick_at(7, FIRST + 1003, FIRST + 1019);
    struct toc_pick small[PICKS_MAX], large[PICKS_MAX];
    int64_t small_end[PICKS_MAX], large_end[PICKS_MAX];
    assert_int_equal(play(b, 5, 1500, &pick, 1, small, small_end), 4);
    toc_second_reset(b->second);
    assert_int_equal(play(b, 100, 1500, &pick, 1, large, large_end), 4);
    for (int i = 0; i < 4; i++) {
        const int64_t seen = FIRST + 1003 + 90 + 100 * i;
        assert_memory_equal(&small[i], &large[i], sizeof small[i]);
        assert_true(small_end[i] == large_end[i] && small_end[i] >= seen && small_end[i] < seen + 5);
        assert_int_equal(small[i].revision, i + 1);
        assert_true(small[i].revised == (seen - 1) * TOC_GRID_NS);
        assert_true(small[i].id == 7 && small[i].declared == pick.declared && small[i].snr_db == 12);
    }
}

static void a_late_word_has_fewer_looks_but_always_one(void **state)
{
    struct bed *b = *state;
    struct toc_pick got[PICKS_MAX];
    int64_t end[PICKS_MAX];
    const int64_t declared[] = {80, 81, 200, 399, 400}; /* rows after the onset */
    const size_t looks[] = {4, 3, 2, 1, 1};
    for (int i = 0; i < 5; i++) {
        const struct toc_pick pick = pick_at(1, FIRST + 1000, FIRST + 1000 + declared[i]);
        toc_second_reset(b->second);
        assert_int_equal(play(b, 100, 1600, &pick, 1, got, end), looks[i]);
        assert_true(got[0].revised >= pick.declared + 9 * TOC_GRID_NS);
    }
}

static void s_is_not_looked_at_and_a_reset_drops(void **state)
{
    struct bed *b = *state;
    struct toc_pick got[PICKS_MAX], pick = pick_at(1, FIRST + 1000, FIRST + 1010);
    int64_t end[PICKS_MAX];
    pick.phase = TOC_PHASE_S;
    assert_int_equal(play(b, 100, 1500, &pick, 1, got, end), 0);
    pick.phase = TOC_PHASE_P;
    toc_second_reset(b->second);
    keep(b, FIRST + 1000, 100);
    toc_second_watch(b->second, &pick);
    toc_second_reset(b->second);
    keep(b, FIRST + 1200, 100);
    assert_int_equal(toc_second_look(b->second, &settings, b->scratch, FIRST + 1300, got, PICKS_MAX), 0);
}

static void without_room_a_look_waits_and_sees_the_same(void **state)
{
    struct bed *b = *state;
    const struct toc_pick pick = pick_at(1, FIRST + 1000, FIRST + 1010);
    struct toc_pick got[PICKS_MAX], late;
    int64_t end[PICKS_MAX];
    assert_int_equal(play(b, 100, 1500, &pick, 1, got, end), 4);
    toc_second_reset(b->second);
    for (int64_t at = FIRST; at < FIRST + 1100; at += 100)
        keep(b, at, 100);
    toc_second_watch(b->second, &pick);
    assert_int_equal(toc_second_look(b->second, &settings, b->scratch, FIRST + 1100, &late, 0), 0);
    keep(b, FIRST + 1100, 50);
    assert_int_equal(toc_second_look(b->second, &settings, b->scratch, FIRST + 1150, &late, 1), 1);
    assert_memory_equal(&late, &got[0], sizeof late);
}

static void more_than_it_can_watch_stay_as_said(void **state)
{
    struct bed *b = *state;
    struct toc_pick picks[TOC_SECOND_WATCHED + 2], got[PICKS_MAX];
    int64_t end[PICKS_MAX];
    for (int i = 0; i < TOC_SECOND_WATCHED + 2; i++)
        picks[i] = pick_at((uint64_t)i + 1, FIRST + 1000 + i, FIRST + 1020 + i);
    assert_int_equal(play(b, 100, 1500, picks, TOC_SECOND_WATCHED + 2, got, end), 4 * TOC_SECOND_WATCHED);
    for (int i = 0; i < 4 * TOC_SECOND_WATCHED; i++)
        assert_true(got[i].id <= TOC_SECOND_WATCHED);
    for (int i = 0; i < TOC_SECOND_WATCHED; i++)
        assert_true(got[i].id == (uint64_t)i + 1); /* oldest onset first */
}

static void a_pick_may_be_renamed(void **state)
{
    struct bed *b = *state;
    const struct toc_pick pick = pick_at(1, FIRST + 50, FIRST + 60);
    struct toc_pick got[PICKS_MAX];
    keep(b, FIRST, 100);
    toc_second_watch(b->second, &pick);
    toc_second_rename(b->second, 1, 99);
    keep(b, FIRST + 100, 100);
    assert_int_equal(toc_second_look(b->second, &settings, b->scratch, FIRST + 200, got, PICKS_MAX), 1);
    assert_true(got[0].id == 99);
}

/* The network adds up what it is shown: P's logit is a hundredth of the rows seen, or of a column's values. */
static void show_column(struct bed *b, uint32_t column)
{
    float *weights = (float *)(void *)b->file.payload;
    unload(b);
    for (size_t i = 0; i < 103 * 8 * 640 + 103; i++)
        weights[i] = 0;
    for (size_t t = 0; t < 640; t++)
        weights[(8 + column) * 640 + t] = 0.01f;
    model_file_finish(&b->file, NULL);
    load(b);
}

static double logit_of(const struct toc_pick *pick)
{
    double p = (double)pick->probability;
    return log(p / (1 - p)) + log(2.0);
}

static void it_sees_the_rows_up_to_its_own_and_none_from_before_a_restart(void **state)
{
    struct bed *b = *state;
    struct toc_pick got[PICKS_MAX], pick = pick_at(1, FIRST + 1000, FIRST + 1010);
    int64_t end[PICKS_MAX];
    show_column(b, 7);
    assert_int_equal(play(b, 100, 1500, &pick, 1, got, end), 4);
    assert_true(fabs(logit_of(&got[0]) - 3.3) < 1e-3 && fabs(logit_of(&got[3]) - 6.3) < 1e-3); /* 240 + 90, 240 + 390 */
    toc_second_reset(b->second);
    pick = pick_at(1, FIRST + 60, FIRST + 70);
    assert_int_equal(play(b, 100, 500, &pick, 1, got, end), 4);
    assert_true(fabs(logit_of(&got[0]) - 1.5) < 1e-3); /* 60 + 90 */
}

static void it_sees_what_was_kept(void **state)
{
    struct bed *b = *state;
    const struct toc_pick pick = pick_at(1, FIRST + 1000, FIRST + 1010);
    struct toc_pick got[PICKS_MAX];
    int64_t end[PICKS_MAX];
    float rows[330 * TOC_FEATURES];
    double sum = 0;
    show_column(b, 2);
    assert_int_equal(play(b, 50, 1500, &pick, 1, got, end), 4);
    make_rows(FIRST + 760, 330, rows);
    for (int i = 0; i < 330; i++)
        sum += 0.01 * (double)rows[i * TOC_FEATURES + 2];
    assert_true(fabs(logit_of(&got[0]) - sum) < 330 * 0.01 / 2730);
}

/* ---- answers ------------------------------------------------------------------------------------------------ */

static void answer(float out[TOC_SECOND_OUTPUTS], float nothing, float p, float s)
{
    for (uint32_t i = 0; i < TOC_SECOND_OUTPUTS; i++)
        out[i] = -20;
    out[0] = nothing;
    out[1] = p;
    out[2] = s;
}

static void a_clear_p_is_confirmed_and_timed(void **state)
{
    float out[TOC_SECOND_OUTPUTS];
    struct toc_pick pick = pick_at(1, FIRST, FIRST + 10);
    (void)state;
    answer(out, -4, 4, -4);
    out[3 + 60] = 5; /* 0.20..0.22 s after the row */
    out[3 + 61] = 5;
    toc_second_read(out, &settings, FIRST, &pick);
    assert_int_equal(pick.standing, TOC_STANDING_CONFIRMED);
    assert_true((double)pick.probability > 0.99 && (double)pick.s_probability < 0.01);
    assert_true(llabs(pick.time - FIRST * TOC_GRID_NS - 220000000) < 1000000);
    assert_true((double)pick.sigma_s > 0.0199 && (double)pick.sigma_s < 0.03);
}

static void a_flat_answer_is_wide_and_two_peaks_give_the_larger(void **state)
{
    float out[TOC_SECOND_OUTPUTS];
    struct toc_pick pick = pick_at(1, FIRST, FIRST + 10);
    (void)state;
    pick.sigma_s = 2;
    answer(out, -4, 4, -4);
    toc_second_read(out, &settings, FIRST, &pick);
    assert_true((double)pick.sigma_s > 0.5 && (double)pick.sigma_s <= 1);
    out[3 + 20] = 4;
    out[3 + 80] = 3;
    toc_second_read(out, &settings, FIRST, &pick);
    assert_true(llabs(pick.time - FIRST * TOC_GRID_NS + 590000000) < 10000000); /* (20.5 - 50) 20 ms */
    assert_true((double)pick.sigma_s < 0.1);
    for (uint32_t k = 0; k < TOC_SECOND_BINS; k += TOC_SECOND_BINS - 1) { /* the edges */
        answer(out, -4, 4, -4);
        out[3 + k] = 9;
        pick.sigma_s = 2;
        toc_second_read(out, &settings, FIRST, &pick);
        assert_true(llabs(pick.time - FIRST * TOC_GRID_NS - ((int64_t)k * 2 - 99) * TOC_GRID_NS) < 2000000);
        assert_true((double)pick.sigma_s > 0.0199 && (double)pick.sigma_s < 0.1);
    }
}

static void a_time_that_is_known_worse_is_not_taken(void **state)
{
    float out[TOC_SECOND_OUTPUTS];
    struct toc_pick pick = pick_at(1, FIRST, FIRST + 10);
    const toc_ns time = pick.time;
    (void)state;
    answer(out, -4, 4, -4); /* anywhere in 2 s */
    toc_second_read(out, &settings, FIRST, &pick);
    assert_int_equal(pick.standing, TOC_STANDING_CONFIRMED);
    assert_true(pick.time == time && pick.sigma_s == 0.2f);
}

static void what_is_no_p_is_withdrawn_and_keeps_its_time(void **state)
{
    float out[TOC_SECOND_OUTPUTS];
    struct toc_pick pick = pick_at(1, FIRST, FIRST + 10);
    const toc_ns time = pick.time;
    (void)state;
    answer(out, 4, -1, 0);
    out[3 + 10] = 9;
    toc_second_read(out, &settings, FIRST, &pick);
    assert_int_equal(pick.standing, TOC_STANDING_WITHDRAWN);
    assert_true(pick.time == time && pick.sigma_s == 0.2f);
    answer(out, 0, 0, 3);
    toc_second_read(out, &settings, FIRST, &pick);
    assert_true((double)pick.s_probability > 0.9 && pick.standing == TOC_STANDING_WITHDRAWN);
    answer(out, 1, 1.5f, -9);
    toc_second_read(out, &settings, FIRST, &pick);
    assert_int_equal(pick.standing, TOC_STANDING_OPEN);
}

static void an_answer_that_is_no_number_changes_nothing(void **state)
{
    float out[TOC_SECOND_OUTPUTS];
    struct toc_pick pick = pick_at(1, FIRST, FIRST + 10);
    const struct toc_pick before = pick;
    (void)state;
    for (uint32_t i = 0; i < TOC_SECOND_OUTPUTS; i += 51) {
        answer(out, 0, 9, 0);
        out[i] = i % 2 ? NAN : INFINITY;
        toc_second_read(out, &settings, FIRST, &pick);
        assert_int_equal(pick.standing, TOC_STANDING_OPEN);
        assert_true(pick.time == before.time && pick.probability == before.probability);
    }
}

static void a_network_of_another_shape_is_refused(void **state)
{
    struct model_file file;
    struct toc_model *model;
    struct toc_second *second;
    char why[160];
    (void)state;
    model_file_picker(&file, 1);
    assert_int_equal(toc_model_load(file.bytes, file.len, &model, why, sizeof why), 0);
    assert_int_equal(toc_second_create(model, &second), -EINVAL);
    toc_model_destroy(model);
    model_file_free(&file);
}

static void the_shipped_network_fits(void **state)
{
    const char *root = getenv("TOCSIN_SOURCE");
    struct toc_model *model;
    struct toc_second *second;
    char path[512], why[512] = "";
    size_t len = 0;
    (void)state;
    snprintf(path, sizeof path, "%s/models/second/weights.safetensors", root ? root : ".");
    uint8_t *bytes = model_file_read(path, &len);
    assert_non_null(bytes);
    assert_true(len < 2 << 20);
    assert_int_equal(toc_model_load(bytes, len, &model, why, sizeof why), 0);
    if (toc_contract_check(&toc_contract_second, model, why, sizeof why) != 0)
        fail_msg("%s", why); /* PyTorch's answer to a made-up question is in the file */
    assert_int_equal(toc_second_create(model, &second), 0);
    toc_second_destroy(second);
    toc_model_destroy(model);
    free(bytes);
}

#define ON_BED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {ON_BED(it_looks_four_times_and_blocks_do_not_matter),
                                       ON_BED(a_late_word_has_fewer_looks_but_always_one),
                                       ON_BED(s_is_not_looked_at_and_a_reset_drops),
                                       ON_BED(without_room_a_look_waits_and_sees_the_same),
                                       ON_BED(more_than_it_can_watch_stay_as_said),
                                       ON_BED(a_pick_may_be_renamed),
                                       ON_BED(it_sees_the_rows_up_to_its_own_and_none_from_before_a_restart),
                                       ON_BED(it_sees_what_was_kept),
                                       cmocka_unit_test(a_clear_p_is_confirmed_and_timed),
                                       cmocka_unit_test(a_flat_answer_is_wide_and_two_peaks_give_the_larger),
                                       cmocka_unit_test(a_time_that_is_known_worse_is_not_taken),
                                       cmocka_unit_test(what_is_no_p_is_withdrawn_and_keeps_its_time),
                                       cmocka_unit_test(an_answer_that_is_no_number_changes_nothing),
                                       cmocka_unit_test(a_network_of_another_shape_is_refused),
                                       cmocka_unit_test(the_shipped_network_fits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
