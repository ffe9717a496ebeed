/*
 * The life of an alert: timelines of the cases the machine is made for,
 * every rule at its edge, and every input in every state.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/alert.h"
#include "core/geo.h"

#define ORIGIN (INT64_C(1700000000) * TOC_NS_PER_S)

struct fixture {
    struct toc_alert_machine *machine;
    struct toc_alert_settings settings;
    struct toc_event event;
    struct toc_alert alert;
};

static const struct toc_settings defaults = TOC_SETTINGS_DEFAULT;
static struct fixture fixture;

static void event_init(struct toc_event *event, uint64_t id)
{
    memset(event, 0, sizeof(*event));
    event->id = id;
    strcpy(event->name, "toc20231114t221320-abcd");
    event->origin = (struct toc_origin){.time = ORIGIN, .latitude_deg = 35, .longitude_deg = -117, .depth_km = 8,
                                        .used_picks = 5, .used_sites = 5};
    event->magnitude = 5.5;
    event->magnitude_sigma = 0.4;
    event->score = 0.8;
}

static int setup(void **state)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.settings = defaults.alert;
    event_init(&fixture.event, 7);
    *state = &fixture;
    return toc_alert_machine_create(4, &fixture.machine);
}

static int teardown(void **state)
{
    toc_alert_machine_destroy(((struct fixture *)*state)->machine);
    return 0;
}

static enum toc_alert_step at(struct fixture *f, double after_s)
{
    return toc_alert_step(f->machine, &f->settings, &f->event, ORIGIN + toc_ns_from_s(after_s), &f->alert);
}

static void expect_say(struct fixture *f, double after_s, enum toc_alert_type type, uint32_t version)
{
    if (at(f, after_s) != TOC_ALERT_SAY)
        fail_msg("silent at %.1f s, expected %s", after_s, toc_alert_type_str(type));
    assert_string_equal(toc_alert_type_str(f->alert.type), toc_alert_type_str(type));
    assert_int_equal(f->alert.version, version);
    assert_true(f->alert.issued == ORIGIN + toc_ns_from_s(after_s));
    assert_non_null(f->alert.rule);
    assert_non_null(f->alert.reason);
}

static void expect_silence(struct fixture *f, double from_s, double to_s)
{
    for (double t = from_s; t <= to_s; t += 0.2)
        if (at(f, t) != TOC_ALERT_NONE)
            fail_msg("said %s at %.1f s", toc_alert_type_str(f->alert.type), t);
}

static void true_quake(void **state)
{
    struct fixture *f = *state;

    f->event.score = 0.4;
    f->event.magnitude = NAN;
    expect_say(f, 3.0, TOC_ALERT_TENTATIVE, 1);
    expect_silence(f, 3.2, 4.0);
    f->event.score = 0.7;
    expect_silence(f, 4.2, 4.4); /* no magnitude yet */
    f->event.magnitude = 5.1;
    expect_say(f, 4.6, TOC_ALERT_ALERT, 2);
    assert_string_equal(f->alert.event, f->event.name);
    assert_true(f->alert.magnitude == 5.1 && f->alert.score == 0.7);
    assert_true(f->alert.ledger_sample == TOC_NS_NONE && f->alert.ledger_arrival == TOC_NS_NONE);
    assert_int_equal(f->alert.n_stations, 0);
    expect_silence(f, 4.8, 10);
    f->event.magnitude = 5.35;
    expect_say(f, 10.2, TOC_ALERT_UPDATE, 3);
    expect_silence(f, 10.4, 59.8);
    expect_say(f, 60.0, TOC_ALERT_FINAL, 4);
    assert_true(toc_alert_over(f->machine, 7));
    f->event.magnitude = 8;
    expect_silence(f, 60.2, 90);
}

static void single_station_spike(void **state)
{
    struct fixture *f = *state;

    f->event.origin.used_sites = 1;
    f->event.score = 0.9;
    expect_silence(f, 1, 60);
    assert_false(toc_alert_over(f->machine, 7));
    expect_silence(f, 60.2, 61);
    assert_true(toc_alert_over(f->machine, 7));
    assert_int_equal(toc_alert_state_of(f->machine, 7), TOC_ALERT_STATE_EXPIRED);
}

static void teleseism_is_taken_back(void **state)
{
    struct fixture *f = *state;

    f->event.score = 0.35;
    expect_say(f, 5, TOC_ALERT_TENTATIVE, 1);
    f->event.score = 0.1;
    expect_silence(f, 6, 7.9);
    expect_say(f, 8.05, TOC_ALERT_CANCEL, 2);
    assert_int_equal(toc_alert_state_of(f->machine, 7), TOC_ALERT_STATE_CANCELLED);
    f->event.score = 0.9;
    expect_silence(f, 8.2, 100);
}

static void two_quakes_at_once(void **state)
{
    struct fixture *f = *state;
    struct toc_event other;
    struct toc_alert alert;

    event_init(&other, 8);
    strcpy(other.name, "toc20231114t221321-ffff");
    expect_say(f, 5, TOC_ALERT_ALERT, 1);
    assert_int_equal(toc_alert_step(f->machine, &f->settings, &other, ORIGIN + 6 * TOC_NS_PER_S, &alert),
                     TOC_ALERT_SAY);
    assert_int_equal(alert.version, 1);
    assert_string_equal(alert.event, other.name);
    f->event.score = 0.05;
    expect_silence(f, 7, 8.8);
    expect_say(f, 9.1, TOC_ALERT_CANCEL, 2);
    assert_false(toc_alert_over(f->machine, 8));
}

static void outage_mid_event(void **state)
{
    struct fixture *f = *state;

    expect_say(f, 5, TOC_ALERT_ALERT, 1);
    /* nothing comes any more; a minute later the tick still brings the end */
    expect_say(f, 75, TOC_ALERT_FINAL, 2);
}

/* A dip shorter than two seconds is not a change of mind. */
static void a_short_dip_does_not_cancel(void **state)
{
    struct fixture *f = *state;

    expect_say(f, 5, TOC_ALERT_ALERT, 1);
    for (double t = 6; t < 30; t += 2.5) {
        f->event.score = 0.1;
        expect_silence(f, t, t + 1.7);
        f->event.score = 0.8;
        expect_silence(f, t + 1.9, t + 2.2);
    }
    f->event.origin.used_sites = 3;
    expect_silence(f, 40, 41.9);
    expect_say(f, 42.1, TOC_ALERT_CANCEL, 2);
    assert_non_null(strstr(f->alert.reason, "sites"));
}

static void nothing_is_alerted_first_too_late(void **state)
{
    struct fixture *f = *state;

    expect_silence(f, 60.1, 70);
    assert_true(toc_alert_over(f->machine, 7));
    toc_alert_forget(f->machine, 7);
    expect_say(f, 60.0, TOC_ALERT_ALERT, 1); /* on the edge it is still allowed */
    f->event.id = 9;
    f->event.score = 0.35;
    expect_say(f, 50, TOC_ALERT_TENTATIVE, 1);
    f->event.score = 0.9;
    expect_say(f, 60.2, TOC_ALERT_EXPIRED, 2);
    assert_true(toc_alert_over(f->machine, 9));
    f->event.id = 10;
    expect_silence(f, -30, -5.1); /* an origin in the future */
}

static void each_limit_forbids(void **state)
{
    struct fixture *f = *state;

    f->settings.tentative_score = 1;
    f->event.score = 0.59;
    expect_silence(f, 5, 5);
    f->event.score = 0.6;
    f->event.origin.used_sites = 3;
    expect_silence(f, 5.2, 5.2);
    f->event.origin.used_sites = 4;
    f->event.magnitude = 3.89;
    expect_silence(f, 5.4, 5.4);
    f->event.magnitude = NAN;
    expect_silence(f, 5.6, 5.6);
    f->event.score = NAN;
    f->event.magnitude = 3.9;
    expect_silence(f, 5.8, 5.8);
    f->event.score = 0.6;
    f->event.magnitude_sigma = 0.45; /* 3.9 less one sigma is not sure to be 3.5 */
    expect_silence(f, 5.9, 5.9);
    f->event.magnitude_sigma = 0.4;
    expect_say(f, 6, TOC_ALERT_ALERT, 1);
}

static void only_news_is_an_update(void **state)
{
    struct fixture *f = *state;

    expect_say(f, 5, TOC_ALERT_ALERT, 1);
    f->event.magnitude = 5.65;
    f->event.score = 0.95;
    toc_geo_offset(35, -117, 3, 3, &f->event.origin.latitude_deg, &f->event.origin.longitude_deg);
    f->event.magnitude_sigma = 0.31;
    expect_silence(f, 5.2, 20);
    toc_geo_offset(35, -117, 4, 4, &f->event.origin.latitude_deg, &f->event.origin.longitude_deg);
    expect_say(f, 20.2, TOC_ALERT_UPDATE, 2);
    assert_non_null(strstr(f->alert.reason, "epicentre"));
    f->event.magnitude = 5.95;
    expect_silence(f, 20.4, 21.1); /* update_every_s */
    expect_say(f, 21.3, TOC_ALERT_UPDATE, 3);
    assert_non_null(strstr(f->alert.reason, "magnitude changed"));
    f->event.magnitude_sigma = 0.2;
    expect_say(f, 22.4, TOC_ALERT_UPDATE, 4);
    assert_non_null(strstr(f->alert.reason, "better"));
    f->event.magnitude_at_least = true;
    expect_say(f, 23.5, TOC_ALERT_UPDATE, 5);
    expect_silence(f, 23.7, 40);
}

static void room_is_bounded_and_given_back(void **state)
{
    struct fixture *f = *state;

    for (uint64_t id = 1; id <= 4; id++) {
        f->event.id = id;
        expect_say(f, 5, TOC_ALERT_ALERT, 1);
    }
    f->event.id = 5;
    expect_silence(f, 5, 5);
    assert_int_equal(toc_alert_machine_refused(f->machine), 1);
    toc_alert_forget(f->machine, 2);
    toc_alert_forget(f->machine, 99);
    toc_alert_forget(f->machine, 0);
    expect_say(f, 5, TOC_ALERT_ALERT, 1);
    f->event.id = 0; /* no event at all */
    expect_silence(f, 5, 5);
    assert_int_equal(toc_alert_machine_create(0, &f->machine), -EINVAL);
    assert_int_equal(toc_alert_machine_create(1025, &f->machine), -EINVAL);
    assert_int_equal(toc_alert_state_of(f->machine, 77), TOC_ALERT_STATE_IDLE);
    assert_false(toc_alert_over(f->machine, 77));
}

/* --- every input in every state ------------------------------------------------------------------------------ */

enum look { WEAK, HOPEFUL, STRONG, NEWS, COLLAPSED, LATE, DONE, LOOKS };

/* Make the event look so; returns when it is looked at. The machine has waited 10 s since it entered its state. */
static double dress(struct fixture *f, enum look look)
{
    f->event.score = look == COLLAPSED ? 0.1 : look == STRONG || look == NEWS ? 0.8 : look == HOPEFUL ? 0.4 : 0.25;
    if (look == NEWS)
        f->event.magnitude += 1;
    f->settings.final_after_s = look == LATE ? 500 : 60;
    f->settings.max_age_s = look == DONE ? 500 : 60;
    return look == LATE || look == DONE ? 100 : 20;
}

static void enter_state(struct fixture *f, enum toc_alert_state state)
{
    event_init(&f->event, f->event.id + 1);
    f->settings = defaults.alert;
    if (state == TOC_ALERT_STATE_IDLE)
        return;
    f->event.score = state == TOC_ALERT_STATE_TENTATIVE || state == TOC_ALERT_STATE_EXPIRED ? 0.4 : 0.8;
    at(f, 10);
    if (state == TOC_ALERT_STATE_EXPIRED)
        at(f, 61);
    if (state == TOC_ALERT_STATE_FINAL)
        at(f, 60);
    if (state == TOC_ALERT_STATE_CANCELLED) {
        f->event.score = 0;
        at(f, 11);
        at(f, 14);
    }
    assert_int_equal(toc_alert_state_of(f->machine, f->event.id), state);
}

struct outcome {
    enum toc_alert_state next;
    int said; /* -1: nothing */
};

#define STAY(s) {TOC_ALERT_STATE_##s, -1}
#define GO(s, say) {TOC_ALERT_STATE_##s, TOC_ALERT_##say}

static const struct outcome table[TOC_ALERT_STATE_COUNT][LOOKS] = {
    /* WEAK, HOPEFUL, STRONG, NEWS, COLLAPSED, LATE, DONE (DONE is just old, and as weak as WEAK, before an alert) */
    {STAY(IDLE), GO(TENTATIVE, TENTATIVE), GO(ALERT, ALERT), GO(ALERT, ALERT), STAY(IDLE), STAY(EXPIRED), STAY(IDLE)},
    {STAY(TENTATIVE), STAY(TENTATIVE), GO(ALERT, ALERT), GO(ALERT, ALERT), GO(CANCELLED, CANCEL),
     GO(EXPIRED, EXPIRED), STAY(TENTATIVE)},
    {STAY(ALERT), STAY(ALERT), STAY(ALERT), GO(ALERT, UPDATE), GO(CANCELLED, CANCEL), STAY(ALERT), GO(FINAL, FINAL)},
    {STAY(FINAL), STAY(FINAL), STAY(FINAL), STAY(FINAL), STAY(FINAL), STAY(FINAL), STAY(FINAL)},
    {STAY(CANCELLED), STAY(CANCELLED), STAY(CANCELLED), STAY(CANCELLED), STAY(CANCELLED), STAY(CANCELLED),
     STAY(CANCELLED)},
    {STAY(EXPIRED), STAY(EXPIRED), STAY(EXPIRED), STAY(EXPIRED), STAY(EXPIRED), STAY(EXPIRED), STAY(EXPIRED)},
};

static void every_input_in_every_state(void **state)
{
    struct fixture *f = *state;

    for (int from = 0; from < TOC_ALERT_STATE_COUNT; from++)
        for (int look = 0; look < LOOKS; look++) {
            const struct outcome *want = &table[from][look];
            enum toc_alert_step step;
            double t;

            toc_alert_machine_destroy(f->machine);
            assert_int_equal(toc_alert_machine_create(1, &f->machine), 0);
            enter_state(f, (enum toc_alert_state)from);
            t = dress(f, (enum look)look);
            if (look == COLLAPSED) /* it has to last */
                assert_int_equal(at(f, t - 3), TOC_ALERT_NONE);
            step = at(f, t);
            if (step != (want->said < 0 ? TOC_ALERT_NONE : TOC_ALERT_SAY) ||
                toc_alert_state_of(f->machine, f->event.id) != want->next ||
                (step == TOC_ALERT_SAY && (int)f->alert.type != want->said))
                fail_msg("state %s, look %d: now %s", toc_alert_state_str((enum toc_alert_state)from), look,
                         toc_alert_state_str(toc_alert_state_of(f->machine, f->event.id)));
        }
}

/* Whatever the world does, the story told is one a listener can follow. */
static void no_random_walk_tells_an_illegal_story(void **state)
{
    struct fixture *f = *state;
    uint32_t seed = 12345;

    for (int story = 0; story < 2000; story++) {
        int last = -1;
        uint32_t version = 0;
        double last_said = -100;

        event_init(&f->event, 1);
        toc_alert_forget(f->machine, 1);
        for (double t = 0; t < 90; t += 0.5) {
            seed = seed * 1664525 + 1013904223;
            f->event.score = (seed >> 8) % 100 / 100.0;
            f->event.origin.used_sites = (uint16_t)((seed >> 16) % 7);
            f->event.magnitude = 3 + (seed >> 20) % 30 / 10.0;
            if (at(f, t) == TOC_ALERT_NONE)
                continue;
            assert_int_equal(f->alert.version, ++version);
            switch (f->alert.type) {
            case TOC_ALERT_TENTATIVE:
                assert_int_equal(last, -1);
                break;
            case TOC_ALERT_ALERT:
                assert_true(last == -1 || last == TOC_ALERT_TENTATIVE);
                assert_true(t <= 60);
                break;
            case TOC_ALERT_UPDATE:
                assert_true(t - last_said >= 1.0);
                assert_true(last == TOC_ALERT_ALERT || last == TOC_ALERT_UPDATE);
                break;
            case TOC_ALERT_FINAL:
                assert_true(last == TOC_ALERT_ALERT || last == TOC_ALERT_UPDATE);
                break;
            case TOC_ALERT_CANCEL:
                assert_true(last == TOC_ALERT_TENTATIVE || last == TOC_ALERT_ALERT || last == TOC_ALERT_UPDATE);
                break;
            case TOC_ALERT_EXPIRED:
                assert_int_equal(last, TOC_ALERT_TENTATIVE);
                break;
            }
            last = (int)f->alert.type;
            last_said = t;
        }
        assert_true(last == -1 || last == TOC_ALERT_FINAL || last == TOC_ALERT_CANCEL || last == TOC_ALERT_EXPIRED);
        assert_true(toc_alert_over(f->machine, 1));
    }
}

static void names_of_types_and_states(void **state)
{
    (void)state;
    assert_string_equal(toc_alert_type_str(TOC_ALERT_CANCEL), "cancel");
    assert_string_equal(toc_alert_type_str((enum toc_alert_type)99), "unknown");
    assert_string_equal(toc_alert_state_str(TOC_ALERT_STATE_CANCELLED), "cancelled");
    assert_string_equal(toc_alert_state_str(TOC_ALERT_STATE_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(true_quake, setup, teardown),
        cmocka_unit_test_setup_teardown(single_station_spike, setup, teardown),
        cmocka_unit_test_setup_teardown(teleseism_is_taken_back, setup, teardown),
        cmocka_unit_test_setup_teardown(two_quakes_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(outage_mid_event, setup, teardown),
        cmocka_unit_test_setup_teardown(a_short_dip_does_not_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_alerted_first_too_late, setup, teardown),
        cmocka_unit_test_setup_teardown(each_limit_forbids, setup, teardown),
        cmocka_unit_test_setup_teardown(only_news_is_an_update, setup, teardown),
        cmocka_unit_test_setup_teardown(room_is_bounded_and_given_back, setup, teardown),
        cmocka_unit_test_setup_teardown(every_input_in_every_state, setup, teardown),
        cmocka_unit_test_setup_teardown(no_random_walk_tells_an_illegal_story, setup, teardown),
        cmocka_unit_test(names_of_types_and_states),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
