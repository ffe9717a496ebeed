/*
 * What is no local quake makes no alert, and hardly keeps one waiting:
 * simulated teleseisms over a network, a quarry blast seconds before a
 * quake, and instruments that go wrong, through the whole pipeline with the
 * shipped picker. All simulated: no field figures.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/domain.h"
#include "core/geo.h"
#include "core/pipeline.h"
#include "tests/sim/blast.h"
#include "tests/unit/bed.h"

enum { SITES = 12, RATE = 100, SECONDS = 110, PACKET = 20 };
#define ORIGIN_S 40.0
#define EXTENT_KM 110.0

/* What a run said. */
struct outcome {
    size_t picks, alerts, tentatives;
    double first_alert_s; /* after the start; NAN none */
    size_t by_class[TOC_DOMAIN_CLASSES];
    bool heard[SITES];    /* a P pick from `from_s` on */
    enum toc_station_status status[SITES]; /* of the groups, at the end */
    double from_s;
};

static float *pristine[SITES][3];

static void keep_samples(void)
{
    for (size_t s = 0; s < SITES; s++)
        for (int c = 0; c < 3; c++) {
            pristine[s][c] = malloc(bed.n * sizeof(float));
            memcpy(pristine[s][c], bed.samples[s][c], bed.n * sizeof(float));
        }
}

static void restore(void)
{
    for (size_t s = 0; s < SITES; s++)
        for (int c = 0; c < 3; c++)
            memcpy(bed.samples[s][c], pristine[s][c], bed.n * sizeof(float));
}

static void network(double magnitude, size_t events)
{
    struct toc_scenario_options options;
    toc_scenario_defaults(&options);
    options.seed = 11;
    options.magnitude = magnitude;
    options.n_events = events;
    options.n_sites = SITES;
    options.extent_km = EXTENT_KM;
    options.duration_s = SECONDS;
    options.first_origin_s = ORIGIN_S;
    options.depth_km = 9;
    memset(&bed, 0, sizeof bed);
    bed_make(&options);
    keep_samples();
}

static void leave(void)
{
    for (size_t s = 0; s < SITES; s++)
        for (int c = 0; c < 3; c++)
            free(pristine[s][c]);
    bed_unmake();
}

/* Ground velocity E, N, Z into the counts of a sensor; 1 and 2 are taken for N and E. */
static void add_velocity(size_t s, float *const enz[3])
{
    const struct toc_scenario_sensor *sensor = &bed.scenario->sensors[s];
    float *sensed = malloc(bed.n * sizeof *sensed);
    for (int i = 0; i < 3; i++) {
        char letter = sensor->channels[i][2];
        int c = letter == 'Z' ? 2 : letter == 'N' || letter == '1' ? 1 : 0;
        toc_instrument_sense(&sensor->instrument[i], RATE, enz[c], bed.n, sensed);
        for (size_t k = 0; k < bed.n; k++)
            bed.samples[s][i][k] += (float)(sensor->instrument[i].gain * (double)sensed[k]);
    }
    free(sensed);
}

static void drain(struct toc_pipeline *p, struct outcome *o)
{
    struct toc_pick_report pick;
    struct toc_estimate_report estimate;
    static struct toc_alert alert;
    while (toc_pipeline_next_pick(p, &pick)) {
        if (pick.pick.phase != TOC_PHASE_P || toc_s_from_ns(pick.pick.time - bed.scenario->start) < o->from_s)
            continue;
        o->picks++;
        o->heard[pick.pick.site] = true;
        o->by_class[pick.pick.domain.kind]++;
    }
    while (toc_pipeline_next_estimate(p, &estimate)) {
    }
    while (toc_pipeline_next_alert(p, &alert)) {
        o->tentatives += alert.type == TOC_ALERT_TENTATIVE;
        if (alert.type != TOC_ALERT_ALERT)
            continue;
        o->alerts++;
        if (!isfinite(o->first_alert_s))
            o->first_alert_s = toc_s_from_ns(alert.issued - bed.scenario->start);
        printf("         alert: M %.1f, %s %.2f, foreign %.2f\n", alert.magnitude, toc_domain_str(alert.domain.kind),
               (double)alert.domain.probability, (double)alert.domain.foreign);
    }
}

/* Packets of 0.2 s, half a second late; what is counted of picks begins at `from_s`. */
static struct outcome run_with(struct toc_settings settings, double from_s, bool classical)
{
    struct outcome o = {.first_alert_s = NAN, .from_s = from_s};
    struct toc_pipeline *p = NULL;
    char why[160] = "";
    settings.stream.future_s = 10;
    struct toc_pipeline_parts parts = {
        .inventory = &bed.inventory, .travel = bed.travel, .settings = settings, .picker = classical ? NULL : bed.picker};
    assert_int_equal(toc_pipeline_create(&parts, &p, why, sizeof why), 0);
    for (size_t from = 0; from + PACKET <= bed.n; from += PACKET) {
        toc_ns now = toc_scenario_sample_time(bed.scenario, 0, from + PACKET) + TOC_NS_PER_S / 2;
        for (size_t s = 0; s < SITES; s++)
            for (size_t c = 0; c < 3; c++)
                bed_push(p, &(struct bed_packet){s, c, from, PACKET, now});
        for (int i = 0; i < 2; i++, now += TOC_NS_PER_S / 10) {
            toc_pipeline_work(p, now);
            toc_pipeline_tick(p, now);
            drain(p, &o);
        }
    }
    for (size_t s = 0; s < SITES; s++) {
        struct toc_group_report group;
        assert_int_equal(toc_pipeline_group(p, s, &group), 0);
        o.status[s] = group.status;
    }
    toc_pipeline_destroy(p);
    return o;
}

static struct outcome run(double from_s, bool classical)
{
    const struct toc_settings settings = TOC_SETTINGS_DEFAULT;
    return run_with(settings, from_s, classical);
}

static void tell(const char *what, const struct outcome *o)
{
    printf("         %s: %zu P picks, at declaration", what, o->picks);
    for (int k = 0; k < TOC_DOMAIN_CLASSES; k++)
        if (o->by_class[k])
            printf(" %s %zu", toc_domain_str((enum toc_domain_class)k), o->by_class[k]);
    printf("; %zu tentatives, %zu alerts\n", o->tentatives, o->alerts);
}

static size_t sites_heard(const struct outcome *o)
{
    size_t n = 0;
    for (size_t s = 0; s < SITES; s++)
        n += o->heard[s];
    return n;
}

/* ---- teleseisms --------------------------------------------------------------------------------------------- */

/* Seconds by which a plane wave reaches a site later than the middle of the network. P has some 8.8 s a degree at 30 degrees and
 * 4.6 at 95 (IASP91, Kennett and Engdahl 1991), straight between. */
static double front_s(const struct toc_quake_far *far, size_t site)
{
    const struct toc_scenario_site *s = &bed.scenario->sites[site];
    double km = toc_geo_distance_km(36, -118, s->latitude_deg, s->longitude_deg);
    double azimuth = toc_geo_azimuth_deg(36, -118, s->latitude_deg, s->longitude_deg) * M_PI / 180;
    double slowness = (8.8 - 4.2 * (far->degrees - 30) / 65) / 111.2;
    return slowness * km * cos(azimuth - far->azimuth_rad);
}

static void add_teleseism(uint64_t seed, double magnitude)
{
    struct toc_random random;
    struct toc_quake quake;
    struct toc_quake_far far;
    struct toc_synth *synth = NULL;
    float *enz[3];
    toc_random_seed(&random, seed, 1);
    toc_quake_draw(&random, NULL, magnitude, &quake);
    toc_quake_far_draw(&random, &far);
    far.t_star_s *= seed % 3 ? 0.5 : 1; /* from below a shield, or from far down: there is something for a picker */
    assert_int_equal(toc_synth_create(RATE, bed.n, &synth), 0);
    for (int c = 0; c < 3; c++)
        enz[c] = calloc(bed.n, sizeof *enz[c]);
    for (size_t s = 0; s < SITES; s++) {
        struct toc_quake_far here = far;
        for (int c = 0; c < 3; c++)
            memset(enz[c], 0, bed.n * sizeof *enz[c]);
        here.site_p *= toc_random_log_range(&random, 0.6, 1.6);
        if (seed % 2)
            here.seed += s; /* its short waves, if there are any, are another sum at each site */
        toc_synth_add_far(synth, &quake, &here, ORIGIN_S + front_s(&far, bed.scenario->sensors[s].site), enz, bed.n);
        add_velocity(s, enz);
    }
    for (int c = 0; c < 3; c++)
        free(enz[c]);
    toc_synth_destroy(synth);
}

static void teleseisms_make_no_alert(void **state)
{
    size_t heard = 0, heard_classical = 0, alerts = 0;
    (void)state;
    network(5, 0);
    for (uint64_t seed = 1; seed <= 10; seed++) {
        restore();
        add_teleseism(seed, 6.4 + 0.22 * (double)seed);
        struct outcome o = run(ORIGIN_S - 12, false), classical = run(ORIGIN_S - 12, true);
        tell("teleseism", &o);
        tell("... without a network", &classical);
        heard += sites_heard(&o);
        heard_classical += sites_heard(&classical);
        alerts += o.alerts + classical.alerts;
    }
    printf("         of %d teleseismic station-events the network picked %zu, the classical picker %zu; %zu alerts\n",
           10 * SITES, heard, heard_classical, alerts);
    assert_true(heard >= 10 && heard_classical >= 50);
    assert_int_equal(alerts, 0);
    leave();
}

/* ---- a blast before a quake --------------------------------------------------------------------------------- */

/* At a place in km north and east of the middle, `before_s` before the quake's origin. */
static void add_blast(uint64_t seed, double north_km, double east_km, double before_s)
{
    struct toc_random random;
    struct toc_blast blast;
    struct toc_synth *synth = NULL;
    double lat, lon;
    float *enz[3];
    toc_random_seed(&random, seed, 2);
    toc_blast_draw(&random, 2.6, &blast);
    toc_geo_offset(36, -118, north_km, east_km, &lat, &lon);
    assert_int_equal(toc_synth_create(RATE, bed.n, &synth), 0);
    for (int c = 0; c < 3; c++)
        enz[c] = calloc(bed.n, sizeof *enz[c]);
    for (size_t s = 0; s < SITES; s++) {
        const struct toc_scenario_site *site = &bed.scenario->sites[bed.scenario->sensors[s].site];
        struct toc_quake_path path;
        for (int c = 0; c < 3; c++)
            memset(enz[c], 0, bed.n * sizeof *enz[c]);
        toc_quake_path_draw(&random, NULL, &path);
        path.epicentral_km = fmax(1, toc_geo_distance_km(lat, lon, site->latitude_deg, site->longitude_deg));
        path.azimuth_rad = toc_geo_azimuth_deg(lat, lon, site->latitude_deg, site->longitude_deg) * M_PI / 180;
        path.depth_km = 0.1;
        path.p_s = toc_travel_s(bed.travel, TOC_PHASE_P, path.epicentral_km, path.depth_km);
        path.s_s = toc_travel_s(bed.travel, TOC_PHASE_S, path.epicentral_km, path.depth_km);
        path.incidence_rad = 0.9;
        path.seed = seed * 100 + s;
        assert_int_equal(toc_blast_add(synth, &blast, &path, RATE, ORIGIN_S - before_s + path.p_s, enz, bed.n), 0);
        add_velocity(s, enz);
    }
    for (int c = 0; c < 3; c++)
        free(enz[c]);
    toc_synth_destroy(synth);
}

static void a_blast_before_a_quake_delays_little(void **state)
{
    static const struct {
        double north_km, east_km, before_s;
    } cases[] = {{30, 20, 2}, {-35, 10, 3}, {-20, 35, 5}, {25, -30, 5}, {30, 0, 7}, {10, -30, 10}, {0, 45, 20}};
    int late = 0;
    (void)state;
    network(4.8, 1);
    struct outcome alone = run(0, false);
    tell("quake alone", &alone);
    assert_true(isfinite(alone.first_alert_s));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        restore();
        add_blast(i + 1, cases[i].north_km, cases[i].east_km, cases[i].before_s);
        struct outcome o = run(0, false);
        tell("blast and quake", &o);
        printf("         blast %.0f s before: the alert comes %.2f s after the origin, %.2f s alone; %zu events alerted\n",
               cases[i].before_s, o.first_alert_s - ORIGIN_S, alone.first_alert_s - ORIGIN_S, o.alerts);
        assert_true(isfinite(o.first_alert_s));
        late += o.first_alert_s - alone.first_alert_s >= 1;
    }
    /* Where the arrivals of both are mixed at every site (some 3 s apart, near each other) they make one event for a while. */
    assert_true(late <= 1);
    leave();
}

/* ---- instruments that go wrong ------------------------------------------------------------------------------ */

static double rms_of(size_t s, int c)
{
    double sum = 0;
    for (size_t k = 1; k < bed.n; k++)
        sum += pow((double)pristine[s][c][k] - (double)pristine[s][c][k - 1], 2);
    return sqrt(sum / (double)bed.n);
}

/* One artefact of a kind at a sensor, `size` times what it jumps from sample to sample. */
static void spoil(size_t s, int kind, double at_s, double size)
{
    const size_t at = (size_t)(at_s * RATE);
    for (int c = 0; c < 3; c++) {
        const double a = size * rms_of(s, c);
        for (size_t k = at; k < bed.n; k++) {
            const size_t n = k - at;
            const double t = (double)n / RATE;
            const double add = kind == 0   ? (n == 0 && c == 2 ? a : 0)           /* a spike */
                               : kind == 1 ? (c == 2 ? a : 0)                     /* a step */
                               : kind == 2 ? (n < RATE ? a : 0)                   /* a square pulse on all */
                               : kind == 3 ? (n < 10 * RATE ? a * sin(2 * M_PI * 5 * t) : 0) /* a tone */
                                           : a * exp(-t / 5);                     /* a recentring */
            bed.samples[s][c][k] += (float)add;
        }
    }
}

static void artefacts_make_no_alert(void **state)
{
    static const char *const names[] = {"spikes", "steps", "square pulses", "tones", "recentring"};
    (void)state;
    network(5, 0);
    for (int kind = 0; kind < 5; kind++)
        for (int together = 0; together < 2; together++) {
            restore();
            for (size_t s = 0; s < SITES; s++)
                for (int n = 0; n < 4; n++)
                    spoil(s, kind, 25.0 + 20 * n + (together ? 0 : 1.37 * (double)s), 30 * pow(6, n));
            struct outcome o = run(20, false);
            printf("         %s, %s (%d):\n", names[kind], together ? "everywhere at once" : "one site after another",
                   4 * SITES);
            tell(names[kind], &o);
            assert_int_equal(o.alerts, 0);
        }
    leave();
}

static void artefacts_before_a_quake_delay_little(void **state)
{
    (void)state;
    network(4.8, 1);
    struct outcome alone = run(0, false);
    assert_true(isfinite(alone.first_alert_s));
    for (int kind = 0; kind < 5; kind++) {
        restore();
        for (size_t s = 0; s < SITES; s += 3)
            spoil(s, kind, ORIGIN_S - 4 + (double)s / 3, 300);
        struct outcome o = run(0, false);
        printf("         artefacts of kind %d at a third of the sites: the alert comes %.2f s after the origin, %.2f s alone\n",
               kind, o.first_alert_s - ORIGIN_S, alone.first_alert_s - ORIGIN_S);
        assert_true(isfinite(o.first_alert_s));
        assert_true(o.first_alert_s - alone.first_alert_s < 1);
    }
    leave();
}

/* A sensor whose offset jumps every few seconds, heard by the picker that falls for it. */
static void a_noisy_station_is_said_to_be(void **state)
{
    struct toc_settings settings = TOC_SETTINGS_DEFAULT;
    size_t noisy = 0;
    (void)state;
    network(5, 0);
    settings.associator.window_s = 20;
    for (int n = 0; n < 10; n++)
        spoil(4, 1, 16 + 6 * n, n % 2 ? -3000 : 3000);
    struct outcome o = run_with(settings, 0, true);
    tell("a sensor that jumps", &o);
    for (size_t s = 0; s < SITES; s++) {
        assert_true(o.status[s] == TOC_STATION_OK || o.status[s] == TOC_STATION_NOISY);
        noisy += o.status[s] == TOC_STATION_NOISY;
    }
    assert_int_equal(noisy, 1);
    assert_true(o.heard[4]);
    assert_int_equal(o.alerts, 0);
    leave();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(teleseisms_make_no_alert),
        cmocka_unit_test(a_blast_before_a_quake_delays_little),
        cmocka_unit_test(artefacts_make_no_alert),
        cmocka_unit_test(artefacts_before_a_quake_delay_little),
        cmocka_unit_test(a_noisy_station_is_said_to_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
