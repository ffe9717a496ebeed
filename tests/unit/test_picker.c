/*
 * core/picker: the timelines of its opening comment, by frames made by hand;
 * and the rules one at a time.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/filter.h"
#include "core/picker.h"

enum { MAX_FRAMES = 2000, MAX_PICKS = 64, NOISE = 0, P = 1, S = 2 };

/* 2019-07-04T17:33:49Z as a frame index: 20 a second */
#define FIRST (INT64_C(1562261629) * 20)

struct scene {
    struct toc_picker_settings settings;
    float frames[MAX_FRAMES][TOC_PICKER_OUTPUTS];
    struct toc_pick picks[MAX_PICKS];
    size_t n_picks;
};

static struct scene scene;

/* All noise at probability 0.98, thresholds 0.8, dead 1 s */
static void quiet(void)
{
    memset(&scene, 0, sizeof(scene));
    scene.settings = (struct toc_picker_settings){
        .hop_s = 0.5, .p_threshold = 0.8, .s_threshold = 0.8, .dead_s = 1.0, .warmup_s = 10};
    for (int f = 0; f < MAX_FRAMES; f++) {
        scene.frames[f][NOISE] = 4.6f;
        scene.frames[f][4] = scene.frames[f][6] = -3.0f;
    }
}

/* Probability of a phase in frames from..to-1, the rest to noise, with an onset `onset` frames after the first. */
static void say(int phase, int from, int to, double probability, double onset)
{
    for (int f = from; f < to; f++) {
        float *frame = scene.frames[f];

        frame[NOISE] = 0;
        frame[P] = frame[S] = -30;
        frame[phase] = (float)log(probability / (1 - probability));
        frame[phase == P ? 3 : 5] = (float)((f - onset) * 0.05);
    }
}

static void extract(int block)
{
    struct toc_picker picker;

    toc_picker_reset(&picker);
    scene.n_picks = 0;
    for (int f = 0; f < MAX_FRAMES; f += block)
        scene.n_picks += toc_picker_extract(&picker, &scene.settings, scene.frames[f],
                                            (size_t)(MAX_FRAMES - f < block ? MAX_FRAMES - f : block), FIRST + f,
                                            scene.picks + scene.n_picks, MAX_PICKS - scene.n_picks);
}

static toc_ns frame_end(double frame) /* of a frame of the scene */
{
    return (5 * (FIRST + 1) - 1) * TOC_GRID_NS + toc_ns_from_s(frame * 0.05);
}

static void assert_pick(size_t i, enum toc_phase phase, double declared, double onset)
{
    assert_true(i < scene.n_picks);
    assert_int_equal(scene.picks[i].phase, phase);
    assert_int_equal(scene.picks[i].declared, frame_end(declared));
    assert_true(llabs(scene.picks[i].time - frame_end(onset)) < 2000000);
}

static void a_plateau_is_one_pick_in_its_first_frame(void **state)
{
    (void)state;
    quiet();
    say(P, 300, 340, 0.97, 298);
    for (int block = 1; block <= MAX_FRAMES; block = block * 7 + 3) {
        extract(block);
        assert_int_equal(scene.n_picks, 1);
        assert_pick(0, TOC_PHASE_P, 300, 298);
    }
    assert_true(fabsf(scene.picks[0].probability - 0.97f) < 1e-4f);
    assert_int_equal(scene.picks[0].method, TOC_METHOD_CNN);
    assert_true(isnan(scene.picks[0].snr_db));
    assert_true(scene.picks[0].declared >= scene.picks[0].time);
}

static void frame_ends_lie_on_the_grid(void **state)
{
    (void)state;
    quiet();
    say(P, 0, 1, 0.97, 0);
    extract(1);
    /* frame f of a whole second has seen samples 0..4 of it: 40 ms after the second */
    assert_int_equal(scene.picks[0].declared, INT64_C(1562261629040000000));
}

static void weak_evidence_must_last(void **state)
{
    (void)state;
    quiet();
    say(P, 300, 309, 0.6, 299); /* logit 0.41: 0.98 below that of 0.8. Nine frames: not yet */
    say(P, 400, 440, 0.6, 399);
    say(P, 600, 700, 0.45, 599); /* more than 1.5 below, however long */
    extract(10);
    assert_int_equal(scene.n_picks, 1);
    assert_pick(0, TOC_PHASE_P, 409, 399);
    assert_true(fabsf(scene.picks[0].probability - 0.6f) < 1e-4f);
}

static void a_hole_in_the_frames_breaks_what_was_held(void **state)
{
    struct toc_picker picker;

    (void)state;
    quiet();
    say(P, 0, 40, 0.6, 0);
    toc_picker_reset(&picker);
    assert_int_equal(toc_picker_extract(&picker, &scene.settings, scene.frames[0], 8, FIRST, scene.picks, 8), 0);
    assert_int_equal(toc_picker_extract(&picker, &scene.settings, scene.frames[8], 8, FIRST + 9, scene.picks, 8), 0);
    assert_int_equal(toc_picker_extract(&picker, &scene.settings, scene.frames[16], 8, FIRST + 17, scene.picks, 8), 1);
}

static void p_and_s_are_one_of_each(void **state)
{
    (void)state;
    quiet();
    say(P, 300, 315, 0.95, 299);
    say(S, 315, 350, 0.95, 314);
    extract(10);
    assert_int_equal(scene.n_picks, 2);
    assert_pick(0, TOC_PHASE_P, 300, 299);
    assert_pick(1, TOC_PHASE_S, 315, 314);
}

static void thresholds_are_chosen_by_layout(void **state)
{
    const double none = (double)NAN, suggested[2][TOC_LAYOUTS] = {{0.91, 0.92, 0.93}, {0.81, none, 0.83}};
    struct toc_settings all = TOC_SETTINGS_DEFAULT;
    struct toc_picker_settings s = all.picker, c;
    (void)state;

    c = toc_picker_settings_for(&s, suggested, TOC_LAYOUT_THREE);
    assert_true(c.p_threshold == 0.91 && c.s_threshold == 0.81 && c.dead_s == s.dead_s);
    c = toc_picker_settings_for(&s, suggested, TOC_LAYOUT_TWO);
    assert_true(c.p_threshold == 0.92 && c.s_threshold == 0.88); /* nothing suggested */
    c = toc_picker_settings_for(&s, suggested, TOC_LAYOUT_VERTICAL);
    assert_true(c.p_threshold == 0.93 && c.s_threshold == 0.83);
    c = toc_picker_settings_for(&s, NULL, TOC_LAYOUT_VERTICAL);
    assert_true(c.p_threshold == 0.9 && c.s_threshold == 0.88);
    s.p_threshold = 0.5; /* for all layouts */
    s.s_threshold_vertical = 0.4; /* for one */
    c = toc_picker_settings_for(&s, suggested, TOC_LAYOUT_VERTICAL);
    assert_true(c.p_threshold == 0.5 && c.s_threshold == 0.4);
    c = toc_picker_settings_for(&s, suggested, TOC_LAYOUT_THREE);
    assert_true(c.p_threshold == 0.5 && c.s_threshold == 0.81);
    s.p_threshold_two = 0; /* a number */
    c = toc_picker_settings_for(&s, suggested, TOC_LAYOUT_TWO);
    assert_true(c.p_threshold == 0);
}

static void each_phase_has_its_threshold(void **state)
{
    (void)state;
    quiet();
    scene.settings.s_threshold = 0.5;
    say(S, 300, 303, 0.7, 299);
    say(P, 400, 403, 0.7, 399);
    extract(10);
    assert_int_equal(scene.n_picks, 1);
    assert_pick(0, TOC_PHASE_S, 300, 299);
    scene.settings.s_threshold = 1; /* never */
    scene.settings.p_threshold = 0.6;
    extract(10);
    assert_int_equal(scene.n_picks, 1);
    assert_pick(0, TOC_PHASE_P, 400, 399);
}

static void spikes_within_the_dead_time_are_one_pick(void **state)
{
    (void)state;
    quiet();
    say(P, 300, 301, 0.95, 300);
    say(P, 310, 311, 0.95, 310); /* 0.5 s */
    say(P, 330, 331, 0.95, 330); /* 1.5 s after the first */
    extract(10);
    assert_int_equal(scene.n_picks, 2);
    assert_pick(0, TOC_PHASE_P, 300, 300);
    assert_pick(1, TOC_PHASE_P, 330, 330);
}

static void the_dead_time_holds_for_the_onset_too(void **state)
{
    (void)state;
    quiet();
    say(P, 300, 301, 0.95, 300);
    say(P, 340, 341, 0.95, 310); /* declared 2 s later, of an onset 0.5 s later */
    say(P, 360, 361, 0.95, 290); /* of one before it */
    extract(10);
    assert_int_equal(scene.n_picks, 1);
}

static void a_coda_that_hovers_is_one_pick(void **state)
{
    (void)state;
    quiet();
    for (int f = 300; f < 800; f++)
        say(P, f, f + 1, f % 30 < 15 ? 0.9 : 0.45, 298); /* 0.45 is above half of 0.8 */
    extract(10);
    assert_int_equal(scene.n_picks, 1);
    assert_pick(0, TOC_PHASE_P, 300, 298);
    for (int f = 300; f < 800; f++)
        say(P, f, f + 1, f % 30 < 15 ? 0.9 : 0.35, f - 1); /* falls below half, with a new onset each time */
    extract(10);
    assert_true(scene.n_picks > 10);
}

static void falling_below_half_arms_again(void **state)
{
    (void)state;
    quiet();
    say(P, 300, 400, 0.9, 299);
    say(P, 340, 350, 0.45, 299); /* not below 0.4 */
    for (int f = 350; f < 400; f++)
        scene.frames[f][3] = 1.0f; /* an onset 1.5 s and more after the first, but not 2 */
    for (int f = 370; f < 400; f++)
        scene.frames[f][3] = (float)((f - 330) * 0.05);
    extract(10);
    assert_int_equal(scene.n_picks, 2); /* by moving on (frame 360 less 1 s is 2.05 s after), not by arming */
    assert_true(scene.picks[1].declared >= frame_end(359));
    say(P, 345, 346, 0.39, 299); /* armed: the onset of frame 350 less 1 s counts at once */
    extract(10);
    assert_pick(1, TOC_PHASE_P, 350, 330);
}

static void a_second_quake_moves_the_onset_on(void **state)
{
    (void)state;
    quiet();
    say(P, 300, 360, 0.9, 299);
    say(P, 360, 400, 0.9, 359); /* 3 s later, without a pause */
    extract(10);
    assert_int_equal(scene.n_picks, 2);
    assert_pick(1, TOC_PHASE_P, 360, 359);
}

static void a_stuck_plateau_is_one_pick(void **state)
{
    (void)state;
    quiet();
    say(P, 300, 900, 0.9, 299); /* the age runs to its limit and on: the onset time creeps with the clock */
    extract(10);
    assert_int_equal(scene.n_picks, 1);
}

static void age_and_sigma_are_bounded(void **state)
{
    static const float logs[] = {-1000, -3, 0, 1000};
    static const double sigmas[] = {0.03, 1.4142135 * 0.0497871, 1, 1};

    (void)state;
    for (int i = 0; i < 4; i++) {
        quiet();
        say(P, 300, 301, 0.95, 300);
        scene.frames[300][4] = logs[i];
        scene.frames[300][3] = i % 2 == 0 ? -7.0f : 1e30f;
        extract(10);
        assert_int_equal(scene.n_picks, 1);
        assert_pick(0, TOC_PHASE_P, 300, i % 2 == 0 ? 300 : 220);
        assert_true(fabs((double)scene.picks[0].sigma_s - sigmas[i]) < 1e-6);
    }
}

static void frames_that_are_not_finite_say_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < TOC_PICKER_OUTPUTS; i++)
        for (int kind = 0; kind < 3; kind++) {
            quiet();
            say(P, 300, 301, 0.95, 300);
            scene.frames[300][i] = kind == 0 ? NAN : kind == 1 ? INFINITY : -INFINITY;
            extract(10);
            assert_int_equal(scene.n_picks, 0);
        }
    quiet();
    say(P, 300, 340, 0.95, 300);
    scene.frames[300][1] = NAN;
    extract(10);
    assert_int_equal(scene.n_picks, 1);
    assert_pick(0, TOC_PHASE_P, 301, 300);
}

static void extreme_logits_are_probabilities(void **state)
{
    (void)state;
    quiet();
    scene.frames[300][P] = 3e38f;
    scene.frames[300][NOISE] = -3e38f;
    extract(10);
    assert_int_equal(scene.n_picks, 1);
    assert_true(scene.picks[0].probability == 1.0f);
}

static void without_room_a_pick_waits(void **state)
{
    struct toc_picker picker;

    (void)state;
    quiet();
    say(P, 300, 340, 0.95, 300);
    toc_picker_reset(&picker);
    assert_int_equal(toc_picker_extract(&picker, &scene.settings, scene.frames[300], 10, FIRST + 300, scene.picks, 0),
                     0);
    assert_int_equal(toc_picker_extract(&picker, &scene.settings, scene.frames[310], 10, FIRST + 310, scene.picks, 1),
                     1);
    scene.n_picks = 1;
    assert_pick(0, TOC_PHASE_P, 310, 300);
}

static void reset_forgets_the_last_pick(void **state)
{
    struct toc_picker picker;

    (void)state;
    quiet();
    say(P, 300, 340, 0.95, 300);
    toc_picker_reset(&picker);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            toc_picker_extract(&picker, &scene.settings, scene.frames[300], 40, FIRST + 300, scene.picks, 8), 1);
        assert_int_equal(
            toc_picker_extract(&picker, &scene.settings, scene.frames[300], 40, FIRST + 300, scene.picks, 8), 0);
        toc_picker_reset(&picker);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plateau_is_one_pick_in_its_first_frame),
        cmocka_unit_test(frame_ends_lie_on_the_grid),
        cmocka_unit_test(weak_evidence_must_last),
        cmocka_unit_test(a_hole_in_the_frames_breaks_what_was_held),
        cmocka_unit_test(p_and_s_are_one_of_each),
        cmocka_unit_test(thresholds_are_chosen_by_layout),
        cmocka_unit_test(each_phase_has_its_threshold),
        cmocka_unit_test(spikes_within_the_dead_time_are_one_pick),
        cmocka_unit_test(the_dead_time_holds_for_the_onset_too),
        cmocka_unit_test(a_coda_that_hovers_is_one_pick),
        cmocka_unit_test(falling_below_half_arms_again),
        cmocka_unit_test(a_second_quake_moves_the_onset_on),
        cmocka_unit_test(a_stuck_plateau_is_one_pick),
        cmocka_unit_test(age_and_sigma_are_bounded),
        cmocka_unit_test(frames_that_are_not_finite_say_nothing),
        cmocka_unit_test(extreme_logits_are_probabilities),
        cmocka_unit_test(without_room_a_pick_waits),
        cmocka_unit_test(reset_forgets_the_last_pick),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
