/*
 * From picks to the final message, without waveforms: associator, locator,
 * fusion, shaking and alert in the order of the pipeline, on random quakes
 * under a network of twenty sites that also pick noise.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/alert.h"
#include "core/associator.h"
#include "core/fusion.h"
#include "core/locate.h"
#include "core/shaking.h"
#include "tests/unit/quake.h"

#define FEED_MAX 8000
#define SAID_MAX 256
#define STEP_S 0.2

/* A pick to come, and what its station's estimator will say. */
struct feed {
    struct toc_pick pick;
    double magnitude; /* NAN: noise, small */
};

struct fixture {
    struct toc_travel *travel;
    struct toc_associator *associator;
    struct toc_locator *locator;
    struct toc_alert_machine *machine;
    struct toc_settings settings;
    struct quake_net net;
    struct feed feed[FEED_MAX];
    size_t n_feed;
    struct toc_estimate estimates[FEED_MAX];
    size_t n_estimates;
    struct toc_alert said[SAID_MAX];
    size_t n_said;
    struct toc_alert_target target;
};

static int setup(void **state)
{
    const struct toc_settings defaults = TOC_SETTINGS_DEFAULT;
    struct fixture *f = calloc(1, sizeof(*f));

    f->travel = quake_travel();
    f->settings = defaults;
    quake_seed = 2024;
    *state = f;
    return f->travel && toc_associator_create(f->travel, QUAKE_SITES_MAX, &f->associator) == 0 &&
                   toc_locator_create(f->travel, &f->locator) == 0 && toc_alert_machine_create(32, &f->machine) == 0
               ? 0
               : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    toc_alert_machine_destroy(f->machine);
    toc_associator_destroy(f->associator);
    toc_locator_destroy(f->locator);
    toc_travel_destroy(f->travel);
    free(f);
    return 0;
}

static void queue(struct fixture *f, uint32_t site, enum toc_phase phase, toc_ns time, double magnitude)
{
    assert_true(f->n_feed < FEED_MAX);
    f->feed[f->n_feed].pick = quake_pick(f->n_feed + 1, site, phase, time);
    f->feed[f->n_feed].pick.declared = time + toc_ns_from_s(quake_between(0.3, 0.9));
    f->feed[f->n_feed++].magnitude = magnitude;
}

static void queue_quake(struct fixture *f, const struct quake *q, double magnitude)
{
    for (uint32_t i = 0; i < f->net.n; i++)
        for (int phase = TOC_PHASE_P; phase <= TOC_PHASE_S; phase++) {
            toc_ns time = quake_arrival(f->travel, q, &f->net.sites[i], (enum toc_phase)phase);

            if (quake_uniform() < (phase == TOC_PHASE_P ? 0.95 : 0.6)) /* pickers miss */
                queue(f, i, (enum toc_phase)phase, time + toc_ns_from_s(0.1 * quake_gauss()),
                      magnitude + 0.3 * quake_gauss());
        }
}

static void queue_noise(struct fixture *f, double per_hour, double seconds)
{
    for (uint32_t i = 0; i < f->net.n; i++)
        for (double t = -log(1 - quake_uniform()) * 3600 / per_hour; t < seconds;
             t += -log(1 - quake_uniform()) * 3600 / per_hour)
            queue(f, i, TOC_PHASE_P, QUAKE_EPOCH + toc_ns_from_s(t), 1.5 + 0.5 * quake_gauss());
}

static int by_declared(const void *a, const void *b)
{
    const struct feed *x = a, *y = b;

    if (x->pick.declared != y->pick.declared)
        return x->pick.declared < y->pick.declared ? -1 : 1;
    return (x->pick.id > y->pick.id) - (x->pick.id < y->pick.id);
}

/* What the estimators of all stations say at this moment: surer with each second. */
static void estimate(struct fixture *f, toc_ns now)
{
    f->n_estimates = 0;
    for (size_t i = 0; i < f->n_feed && f->feed[i].pick.declared <= now; i++) {
        double after = toc_s_from_ns(now - f->feed[i].pick.time);

        if (f->feed[i].pick.phase != TOC_PHASE_P || after > 60)
            continue;
        f->estimates[f->n_estimates++] = (struct toc_estimate){
            .pick_id = f->feed[i].pick.id, .group = f->feed[i].pick.group, .site = f->feed[i].pick.site,
            .after_p_s = (float)after, .magnitude = (float)f->feed[i].magnitude,
            .magnitude_sigma = (float)(0.3 + 0.3 / fmax(0.5, after)), .pa_ms2 = NAN, .pv_ms = NAN, .pd_m = NAN,
            .pe_m = NAN, .snr_pe = NAN};
    }
}

static void look_at_events(struct fixture *f, toc_ns now)
{
    const toc_ns step = toc_ns_from_s(STEP_S);
    uint64_t over[TOC_ASSOCIATOR_EVENTS];
    size_t n_over = 0;

    for (size_t i = 0; i < toc_associator_count(f->associator); i++) {
        struct toc_event *event = toc_associator_event(f->associator, i);

        if (event->changed == now || event->opened == now || now / TOC_NS_PER_S != (now - step) / TOC_NS_PER_S)
            toc_locate_update(f->locator, event, f->net.sites, f->net.n, now);
        toc_fusion_update(&f->settings.fusion, event, f->estimates, f->n_estimates, f->net.sites, f->net.n, now);
        assert_true(f->n_said < SAID_MAX);
        if (toc_alert_step(f->machine, &f->settings.alert, event, now, &f->said[f->n_said]) == TOC_ALERT_SAY)
            f->n_said++;
        if (toc_alert_over(f->machine, event->id))
            over[n_over++] = event->id;
    }
    for (size_t i = 0; i < n_over; i++) {
        toc_associator_close(f->associator, over[i]);
        toc_alert_forget(f->machine, over[i]);
    }
}

static void play(struct fixture *f, double seconds)
{
    size_t next = 0;

    qsort(f->feed, f->n_feed, sizeof(f->feed[0]), by_declared);
    for (double t = 0; t <= seconds; t += STEP_S) {
        toc_ns now = QUAKE_EPOCH + toc_ns_from_s(t);
        struct toc_event *event;

        quake_net_until(&f->net, now - toc_ns_from_s(0.3));
        for (; next < f->n_feed && f->feed[next].pick.declared <= now; next++)
            toc_associator_add(f->associator, &f->feed[next].pick, f->net.sites, f->net.n, now, &event);
        toc_associator_tick(f->associator, f->net.sites, f->net.n, now);
        if (toc_associator_count(f->associator) == 0)
            continue;
        estimate(f, now);
        look_at_events(f, now);
    }
}

static const struct toc_alert *first_of(const struct fixture *f, enum toc_alert_type type)
{
    for (size_t i = 0; i < f->n_said; i++)
        if (f->said[i].type == type)
            return &f->said[i];
    return NULL;
}

static unsigned count_of(const struct fixture *f, enum toc_alert_type type)
{
    unsigned n = 0;

    for (size_t i = 0; i < f->n_said; i++)
        n += f->said[i].type == type;
    return n;
}

static void restart(struct fixture *f)
{
    toc_associator_destroy(f->associator);
    toc_alert_machine_destroy(f->machine);
    assert_int_equal(toc_associator_create(f->travel, QUAKE_SITES_MAX, &f->associator), 0);
    assert_int_equal(toc_alert_machine_create(32, &f->machine), 0);
    f->n_feed = f->n_said = 0;
}

static double alert_error_km(const struct toc_alert *alert, const struct quake *q)
{
    return toc_geo_distance_km(q->lat, q->lon, alert->origin.latitude_deg, alert->origin.longitude_deg);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Every quake: one alert, in time, near, of the right size, and one end. */
static void quakes_are_alerted_once_and_closed(void **state)
{
    enum { QUAKES = 16 };
    struct fixture *f = *state;
    double delay[QUAKES], error[QUAKES], last_error[QUAKES], size[QUAKES];

    for (int k = 0; k < QUAKES; k++) {
        struct quake q = {.depth_km = quake_between(3, 15), .time = QUAKE_EPOCH + 30 * TOC_NS_PER_S};
        double magnitude = quake_between(4.5, 6.5);
        const struct toc_alert *alert, *final;

        restart(f);
        quake_net_random(&f->net, 20, 60);
        toc_geo_offset(QUAKE_LAT, QUAKE_LON, quake_between(-45, 45), quake_between(-45, 45), &q.lat, &q.lon);
        queue_quake(f, &q, magnitude);
        queue_noise(f, 10, 120);
        play(f, 125);
        alert = first_of(f, TOC_ALERT_ALERT);
        final = first_of(f, TOC_ALERT_FINAL);
        if (!alert || !final || count_of(f, TOC_ALERT_ALERT) != 1 || count_of(f, TOC_ALERT_FINAL) != 1 ||
            count_of(f, TOC_ALERT_CANCEL) != 0)
            fail_msg("quake %d: %u alerts, %u finals, %u cancels", k, count_of(f, TOC_ALERT_ALERT),
                     count_of(f, TOC_ALERT_FINAL), count_of(f, TOC_ALERT_CANCEL));
        assert_string_equal(alert->event, final->event);
        delay[k] = toc_s_from_ns(alert->issued - q.time);
        error[k] = alert_error_km(alert, &q);
        last_error[k] = alert_error_km(final, &q);
        size[k] = fabs(final->magnitude - magnitude);
    }
    qsort(delay, QUAKES, sizeof(double), ascending);
    qsort(error, QUAKES, sizeof(double), ascending);
    qsort(last_error, QUAKES, sizeof(double), ascending);
    qsort(size, QUAKES, sizeof(double), ascending);
    print_message("%d quakes: first alert median %.1f s after origin (max %.1f), %.1f km off (max %.1f); final %.2f km "
                  "(max %.2f), magnitude %.2f (max %.2f)\n",
                  QUAKES, delay[QUAKES / 2], delay[QUAKES - 1], error[QUAKES / 2], error[QUAKES - 1],
                  last_error[QUAKES / 2], last_error[QUAKES - 1], size[QUAKES / 2], size[QUAKES - 1]);
    assert_true(delay[QUAKES / 2] < 9);
    assert_true(error[QUAKES / 2] < 5);
    assert_true(last_error[QUAKES - 1] < 5);
    assert_true(size[QUAKES - 1] < 0.5);
}

/* The deciding numbers of an alert are those a target can be told from. */
static void a_target_can_be_warned(void **state)
{
    struct fixture *f = *state;
    struct quake q = {QUAKE_LAT, QUAKE_LON, 8, QUAKE_EPOCH + 30 * TOC_NS_PER_S};
    struct toc_target target = {.name = "far", .mmi_limit = 4};
    const struct toc_alert *alert;
    struct toc_event event = {0};

    quake_net_random(&f->net, 20, 60);
    queue_quake(f, &q, 6.5);
    play(f, 60);
    alert = first_of(f, TOC_ALERT_ALERT);
    assert_non_null(alert);
    event.origin = alert->origin;
    event.magnitude = alert->magnitude;
    event.magnitude_sigma = alert->magnitude_sigma;
    toc_geo_offset(q.lat, q.lon, 0, 100, &target.latitude_deg, &target.longitude_deg);
    toc_shaking_target(f->travel, &target, &event, alert->issued, &f->target);
    assert_true(f->target.seconds_left > 10);
    assert_false(f->target.blind_zone);
    assert_true(f->target.p_exceed > 0.5);
}

/* Incident 4: M4.4 and M3.9 far apart in the same seconds. Two alerts, neither larger than the larger. */
static void two_small_quakes_do_not_add_up(void **state)
{
    struct fixture *f = *state;
    struct quake a = {.depth_km = 8, .time = QUAKE_EPOCH + 30 * TOC_NS_PER_S}, b = a;

    quake_net_random(&f->net, 50, 110);
    toc_geo_offset(QUAKE_LAT, QUAKE_LON, -70, -40, &a.lat, &a.lon);
    toc_geo_offset(QUAKE_LAT, QUAKE_LON, 70, 40, &b.lat, &b.lon);
    b.time += 2 * TOC_NS_PER_S;
    queue_quake(f, &a, 4.4);
    queue_quake(f, &b, 3.9);
    play(f, 120);
    assert_int_equal(count_of(f, TOC_ALERT_ALERT), 2);
    for (size_t i = 0; i < f->n_said; i++) {
        if (!(f->said[i].magnitude < 5.0))
            fail_msg("M %.2f said", f->said[i].magnitude);
        assert_true(fmin(alert_error_km(&f->said[i], &a), alert_error_km(&f->said[i], &b)) < 25);
    }
}

/* Hours of false picks, and a glitch on every site at once: nothing is alerted. */
static void noise_and_glitches_are_not_alerted(void **state)
{
    struct fixture *f = *state;
    unsigned alerts = 0;

    for (int k = 0; k < 8; k++) {
        restart(f);
        quake_net_random(&f->net, 20, 60);
        queue_noise(f, 20, 600);
        for (uint32_t i = 0; i < f->net.n; i++)
            queue(f, i, TOC_PHASE_P, QUAKE_EPOCH + toc_ns_from_s(300 + quake_between(0, 0.1)), 5.0);
        play(f, 605);
        alerts += count_of(f, TOC_ALERT_ALERT);
    }
    print_message("alerts from glitches on all sites: %u of 8\n", alerts);
    assert_int_equal(alerts, 0);
}

/* A plane wave at 15 km/s, strong everywhere. */
static void a_teleseism_is_not_alerted(void **state)
{
    struct fixture *f = *state;
    unsigned alerts = 0;

    for (int k = 0; k < 8; k++) {
        double azimuth = quake_between(0, 2 * M_PI);

        restart(f);
        quake_net_random(&f->net, 20, 60);
        for (uint32_t i = 0; i < f->net.n; i++) {
            const struct toc_site *s = &f->net.sites[i];
            double d = toc_geo_distance_km(QUAKE_LAT, QUAKE_LON, s->latitude_deg, s->longitude_deg);
            double a = toc_geo_azimuth_deg(QUAKE_LAT, QUAKE_LON, s->latitude_deg, s->longitude_deg) * M_PI / 180;

            queue(f, i, TOC_PHASE_P,
                  QUAKE_EPOCH + toc_ns_from_s(30 + d * cos(a - azimuth) / 15 + 0.15 * quake_gauss()), 5.0);
        }
        play(f, 100);
        alerts += count_of(f, TOC_ALERT_ALERT);
    }
    print_message("alerts from plane waves at 15 km/s: %u of 8\n", alerts);
    assert_true(alerts <= 4); /* told apart only once five sites have it; core/nucleate.h */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(quakes_are_alerted_once_and_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_target_can_be_warned, setup, teardown),
        cmocka_unit_test_setup_teardown(two_small_quakes_do_not_add_up, setup, teardown),
        cmocka_unit_test_setup_teardown(noise_and_glitches_are_not_alerted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_teleseism_is_not_alerted, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
