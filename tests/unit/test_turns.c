/* Whose turn it is, and how much is done when there is too much: pure, on made-up time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/due.h"
#include "core/load.h"
#include "core/turns.h"

#define MS TOC_NS_PER_MS
#define S TOC_NS_PER_S

static uint32_t next(struct toc_turns *t)
{
    uint32_t member = UINT32_MAX;
    return toc_turns_take(t, &member) ? member : UINT32_MAX;
}

/* ---- the heap, against a plain list ---- */

struct entry {
    toc_ns deadline;
    uint64_t number;
    bool waits;
};

static uint32_t earliest(struct entry *list, uint32_t n)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < n; i++) {
        bool sooner = best == UINT32_MAX || list[i].deadline < list[best].deadline ||
                      (list[i].deadline == list[best].deadline && list[i].number < list[best].number);
        if (list[i].waits && sooner)
            best = i;
    }
    return best;
}

static void the_earliest_deadline_is_taken_first(void **state)
{
    enum { N = 50 };
    struct entry list[N] = {0};
    struct toc_due *due = NULL;
    uint64_t random = 1, number = 0;
    (void)state;
    assert_int_equal(toc_due_create(N, &due), 0);
    for (int turn = 0; turn < 20000; turn++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint32_t member = (uint32_t)(random >> 33) % N, taken = 0;
        toc_ns deadline = (toc_ns)(random >> 50) % 40;
        if (random >> 63) {
            struct entry *e = &list[member];
            if (!e->waits)
                *e = (struct entry){.deadline = deadline, .number = number++, .waits = true};
            else if (deadline < e->deadline)
                e->deadline = deadline;
            toc_due_put(due, member, deadline);
        } else {
            uint32_t expected = earliest(list, N);
            assert_int_equal(toc_due_take(due, &taken), expected != UINT32_MAX);
            if (expected == UINT32_MAX)
                continue;
            assert_int_equal(taken, expected);
            list[expected].waits = false;
        }
    }
    toc_due_destroy(due);
}

/* ---- turns ---- */

static void who_waited_longest_goes_first(void **state)
{
    struct toc_turns *t = NULL;
    (void)state;
    assert_int_equal(toc_turns_create(4, &t), 0);
    assert_true(toc_turns_wait_s(t, 5 * S) == 0);
    toc_turns_arrived(t, 2, 90 * S, 100 * S);
    toc_turns_remind(t, 3, 100 * S);
    toc_turns_arrived(t, 0, 90 * S, 100 * S + 1);
    toc_turns_arrived(t, 2, 91 * S, 100 * S + 2); /* waits already, from the first on */
    assert_int_equal(toc_turns_count(t), 3);
    assert_true(toc_turns_wait_s(t, 101 * S) == 1);
    assert_int_equal(next(t), 2);
    assert_int_equal(next(t), 3);
    assert_int_equal(next(t), 0);
    assert_int_equal(next(t), UINT32_MAX);
    toc_turns_destroy(t);
}

static void who_is_out_is_not_taken_again(void **state)
{
    struct toc_turns *t = NULL;
    (void)state;
    assert_int_equal(toc_turns_create(2, &t), 0);
    toc_turns_arrived(t, 0, 10 * S, 100 * S);
    assert_int_equal(next(t), 0);
    toc_turns_arrived(t, 0, 20 * S, 101 * S); /* meanwhile */
    toc_turns_remind(t, 0, 101 * S);
    assert_int_equal(next(t), UINT32_MAX);
    toc_turns_back(t, 0, 5 * S, 20 * S, 101 * S); /* half of the first arrival is done */
    assert_true(toc_turns_wait_s(t, 102 * S) == 2);
    assert_int_equal(next(t), 0);
    toc_turns_back(t, 0, 10 * S, 20 * S, 102 * S); /* all of it: now the second waits */
    assert_true(toc_turns_wait_s(t, 102 * S) == 1);
    assert_int_equal(next(t), 0);
    toc_turns_back(t, 0, 20 * S, 20 * S, 102 * S);
    assert_true(toc_turns_wait_s(t, 103 * S) == 0);
    assert_int_equal(next(t), 0); /* looked at once more, */
    toc_turns_idle(t, 0);         /* and nothing was there */
    assert_int_equal(next(t), UINT32_MAX);
    toc_turns_destroy(t);
}

static void favoured_ones_go_first_and_nobody_starves(void **state)
{
    struct toc_turns *t = NULL;
    uint32_t taken;
    int before = 0;
    (void)state;
    assert_int_equal(toc_turns_create(3, &t), 0);
    toc_turns_arrived(t, 0, S, 100 * S);
    toc_turns_arrived(t, 1, S, 100 * S + 400 * MS);
    toc_turns_favour(t, 1, true); /* while it waits */
    assert_int_equal(next(t), 1);
    /* 1 always has more; 0 gets its turn when it has waited for the lead */
    for (toc_ns now = 100 * S + 10 * MS; before < 1000; before++, now += 10 * MS) {
        toc_turns_back(t, 1, 0, 100 * S, now);
        toc_turns_idle(t, 1);
        toc_turns_arrived(t, 1, 100 * S, now);
        assert_true(toc_turns_take(t, &taken));
        if (taken == 0)
            break;
    }
    assert_in_range(before, 47, 51);
    toc_turns_favour(t, 1, false);
    assert_false(toc_turns_is_favoured(t, 1));
    toc_turns_destroy(t);
}

/* ---- load ---- */

static const struct toc_load_settings settings = {.behind_s = 0.3, .relax_s = 10, .gate_ratio = 2};

/* Steps of 0.1 s with one wait; @return how many changes */
static int pass(struct toc_load *load, double wait_s, double seconds, toc_ns *now)
{
    int changes = 0;
    for (double t = 0; t < seconds - 1e-6; t += 0.1, *now += 100 * MS)
        changes += toc_load_step(load, &settings, wait_s, *now);
    return changes;
}

static void up_at_once_and_down_in_calm(void **state)
{
    struct toc_load load;
    toc_ns now = 100 * S;
    (void)state;
    toc_load_init(&load);
    assert_int_equal(pass(&load, 0.29, 5, &now), 0);
    assert_int_equal(pass(&load, 0.3, 0.1, &now), 1);
    assert_int_equal(load.mode, TOC_LOAD_GATE);
    assert_int_equal(pass(&load, 0.35, 0.5, &now), 0); /* a mode needs time to show */
    assert_int_equal(pass(&load, 0.35, 0.2, &now), 1);
    assert_int_equal(pass(&load, 0.5, 0.3, &now), 1); /* it grows: less time */
    assert_int_equal(load.mode, TOC_LOAD_SLOWEST);
    assert_true(load.squeeze == 1);
    assert_int_equal(pass(&load, 9, 20, &now), 0); /* there is no mode above, but the gate narrows */
    assert_true(load.squeeze == 10);
    assert_int_equal(pass(&load, 0.2, 20, &now), 0); /* not behind, not calm */
    assert_true(load.squeeze == 10);
    assert_int_equal(pass(&load, 0.1, 6, &now), 0);
    assert_true(load.squeeze == 1);
    assert_int_equal(pass(&load, 0.1, 9.5, &now), 1);
    assert_int_equal(load.mode, TOC_LOAD_SLOWER);
    assert_int_equal(pass(&load, 0.1, 20.4, &now), 2);
    assert_int_equal(load.mode, TOC_LOAD_NORMAL);
    assert_int_equal(pass(&load, 0, 100, &now), 0);
}

/* A load at the edge: too much whenever all is done. The swings get rare. */
static void a_load_at_the_edge_does_not_swing(void **state)
{
    struct toc_load load;
    toc_ns now = 100 * S;
    int changes = 0;
    (void)state;
    toc_load_init(&load);
    for (int i = 0; i < 6000; i++, now += 100 * MS)
        changes += toc_load_step(&load, &settings, load.mode == TOC_LOAD_NORMAL ? 0.4 : 0, now);
    assert_in_range(changes, 8, 14); /* in ten minutes; without patience it were 120 */
    assert_int_equal(pass(&load, 0, 400, &now), 1);
    assert_int_equal(pass(&load, 0.4, 0.1, &now), 1); /* long after: begins anew */
    assert_int_equal(pass(&load, 0, 10.2, &now), 1);
}

static void modes_have_names(void **state)
{
    (void)state;
    for (enum toc_load_mode m = TOC_LOAD_NORMAL; m < TOC_LOAD_MODES; m++) {
        assert_true(toc_load_mode_str(m)[0] != '?');
        assert_true(m == TOC_LOAD_NORMAL || toc_load_hop_s(m) >= toc_load_hop_s(m - 1));
    }
    assert_string_equal(toc_load_mode_str(TOC_LOAD_MODES), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_earliest_deadline_is_taken_first),
        cmocka_unit_test(who_waited_longest_goes_first),
        cmocka_unit_test(who_is_out_is_not_taken_again),
        cmocka_unit_test(favoured_ones_go_first_and_nobody_starves),
        cmocka_unit_test(up_at_once_and_down_in_calm),
        cmocka_unit_test(a_load_at_the_edge_does_not_swing),
        cmocka_unit_test(modes_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
