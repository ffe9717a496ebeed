/* See scenario.h: the parts of a scenario that are decided at create; samples are made in waves.c. */
#include "tests/sim/scenario.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/geo.h"
#include "core/travel.h"
#include "tests/sim/earth.h"
#include "tests/sim/network.h"
#include "tests/sim/random.h"

#define RESIDUAL_SD_S 0.1 /* of P at one site: what a layered earth does not explain; S has 1.5 times that */

void toc_scenario_defaults(struct toc_scenario_options *ret_options)
{
    *ret_options = (struct toc_scenario_options){
        .seed = 1,
        .magnitude = 6.0,
        .n_events = 1,
        .n_sites = 24,
        .duration_s = 300.0,
        .first_origin_s = 60.0,
        .latitude_deg = 36.0,
        .longitude_deg = -118.0,
        .extent_km = 150.0,
        .depth_km = NAN,
        .rates_hz = {100.0},
        .n_rates = 1,
        .start = INT64_C(1767225600) * TOC_NS_PER_S, /* 2026-01-01T00:00:00Z */
    };
}

static const char *options_fault(const struct toc_scenario_options *options)
{
    if (!(options->magnitude >= 0.0 && options->magnitude <= 9.0))
        return "magnitude must be 0..9";
    if (options->n_events > TOC_SCENARIO_EVENTS_MAX)
        return "at most 64 events";
    if (!(options->duration_s >= 1.0 && options->duration_s <= TOC_SCENARIO_SECONDS_MAX))
        return "duration must be 1..36000 s";
    if (!(options->first_origin_s >= 0.0 && options->first_origin_s < options->duration_s) && options->n_events > 0)
        return "the first origin must lie within the duration";
    if (options->n_rates < 1 || options->n_rates > TOC_SCENARIO_RATES_MAX)
        return "1 to 16 sampling rates";
    for (size_t i = 0; i < options->n_rates; i++)
        if (!(options->rates_hz[i] >= 20.0 && options->rates_hz[i] <= 250.0))
            return "sampling rates must be 20..250 Hz";
    if (!isnan(options->depth_km) && !(options->depth_km >= 0.5 && options->depth_km <= 60.0))
        return "depth must be 0.5..60 km";
    return NULL;
}

/* Middle of the network, and half the smaller side of the box that holds it. */
static void network_box(const struct toc_scenario *scenario, double *ret_lat, double *ret_lon, double *ret_half_km)
{
    double south = 90.0, north = -90.0, west = 360.0, east = -360.0;
    for (size_t i = 0; i < scenario->n_sites; i++) {
        south = fmin(south, scenario->sites[i].latitude_deg);
        north = fmax(north, scenario->sites[i].latitude_deg);
        west = fmin(west, scenario->sites[i].longitude_deg);
        east = fmax(east, scenario->sites[i].longitude_deg);
    }
    *ret_lat = (south + north) / 2.0;
    *ret_lon = (west + east) / 2.0;
    const double height_km = toc_geo_distance_km(south, *ret_lon, north, *ret_lon);
    const double width_km = toc_geo_distance_km(*ret_lat, west, *ret_lat, east);
    *ret_half_km = fmax(5.0, fmin(height_km, width_km) / 2.0);
}

/* Within the network's inner part: an alert is for those around it. */
static void make_event(const struct toc_scenario_options *options, const struct toc_scenario *scenario, size_t index,
                       struct toc_scenario_event *event)
{
    struct toc_random random;
    double lat, lon, half_km;
    toc_random_seed(&random, options->seed, 1 + index);
    network_box(scenario, &lat, &lon, &half_km);

    const double radius_km = 0.6 * half_km * sqrt(toc_random_uniform(&random));
    const double angle = toc_random_range(&random, 0.0, 2.0 * M_PI);
    const double spacing_s = (options->duration_s - options->first_origin_s) / (double)options->n_events;
    const double smaller = index == 0 ? 0.0 : toc_random_range(&random, 0.0, 1.5);
    const double drawn_km = toc_random_range(&random, 5.0, 18.0);
    const double jitter_s = toc_random_range(&random, 0.0, 1.0);

    toc_geo_offset(lat, lon, radius_km * cos(angle), radius_km * sin(angle), &event->latitude_deg,
                   &event->longitude_deg);
    event->depth_km = index == 0 && !isnan(options->depth_km) ? options->depth_km : drawn_km;
    event->origin = scenario->start + toc_ns_from_s(options->first_origin_s + spacing_s * (double)index + jitter_s);
    toc_quake_draw(&random, NULL, fmax(0.0, options->magnitude - smaller), &event->quake);
    event->seed = toc_random_next(&random);
}

static void make_arrival(const struct toc_scenario *scenario, const struct toc_travel *travel,
                         const struct toc_scenario_event *event, size_t site_index,
                         struct toc_scenario_arrival *arrival)
{
    const struct toc_scenario_site *site = &scenario->sites[site_index];
    struct toc_quake_path *path = &arrival->path;
    struct toc_random random, ground;

    toc_random_seed(&random, event->seed, site_index);
    toc_quake_path_draw(&random, NULL, path);
    /* The ground under a station is the same in every quake. */
    toc_random_seed(&ground, site->seed, 1);
    struct toc_quake_path same;
    toc_quake_path_draw(&ground, NULL, &same);
    path->site_p = same.site_p;
    path->site_s = same.site_s;
    path->kappa_s = same.kappa_s;
    path->convert = same.convert;
    path->convert_s = same.convert_s;

    path->epicentral_km = toc_geo_distance_km(event->latitude_deg, event->longitude_deg, site->latitude_deg,
                                              site->longitude_deg);
    path->azimuth_rad = M_PI / 180.0 * toc_geo_azimuth_deg(event->latitude_deg, event->longitude_deg,
                                                           site->latitude_deg, site->longitude_deg);
    path->depth_km = event->depth_km;
    const double residual_s = RESIDUAL_SD_S * toc_random_normal(&random);
    const double p_s = toc_travel_s(travel, TOC_PHASE_P, path->epicentral_km, path->depth_km);
    const double s_s = toc_travel_s(travel, TOC_PHASE_S, path->epicentral_km, path->depth_km);
    path->p_s = fmax(0.1, p_s + residual_s);
    path->s_s = fmax(path->p_s + 0.2, s_s + 1.5 * residual_s);
    path->seed = toc_random_next(&random);
    arrival->p = event->origin + toc_ns_from_s(path->p_s);
    arrival->s = event->origin + toc_ns_from_s(path->s_s);
}

static int make_events(const struct toc_scenario_options *options, struct toc_scenario *scenario)
{
    struct toc_travel *travel = NULL;
    int result = toc_earth_create(&travel);
    if (result < 0)
        return result;
    scenario->events = calloc(options->n_events + 1, sizeof *scenario->events);
    scenario->arrivals = calloc(options->n_events * scenario->n_sites + 1, sizeof *scenario->arrivals);
    if (!scenario->events || !scenario->arrivals) {
        toc_travel_destroy(travel);
        return -ENOMEM;
    }
    for (size_t e = 0; e < options->n_events; e++) {
        make_event(options, scenario, e, &scenario->events[e]);
        for (size_t i = 0; i < scenario->n_sites; i++)
            make_arrival(scenario, travel, &scenario->events[e], i, &scenario->arrivals[e * scenario->n_sites + i]);
    }
    scenario->n_events = options->n_events;
    toc_travel_destroy(travel);
    return 0;
}

int toc_scenario_create(const struct toc_scenario_options *options, struct toc_scenario **ret_scenario, char *ret_why,
                        size_t why_size)
{
    const char *fault = options_fault(options);
    if (fault) {
        snprintf(ret_why, why_size, "%s", fault);
        return -EINVAL;
    }
    struct toc_scenario *scenario = calloc(1, sizeof *scenario);
    if (!scenario)
        return -ENOMEM;
    scenario->seed = options->seed;
    scenario->start = options->start;
    scenario->duration_s = options->duration_s;
    scenario->nuisance = options->nuisance;
    int result = toc_network_make(options, scenario, ret_why, why_size);
    for (size_t i = 0; i < scenario->n_sensors; i++)
        scenario->sensors[i].n_samples = (size_t)floor(options->duration_s * scenario->sensors[i].rate_hz);
    if (result == 0)
        result = make_events(options, scenario);
    if (result < 0) {
        toc_scenario_destroy(scenario);
        return result;
    }
    *ret_scenario = scenario;
    return 0;
}

void toc_scenario_destroy(struct toc_scenario *scenario)
{
    if (!scenario)
        return;
    free(scenario->sites);
    free(scenario->sensors);
    free(scenario->events);
    free(scenario->arrivals);
    free(scenario);
}

toc_ns toc_scenario_sample_time(const struct toc_scenario *scenario, size_t sensor, size_t k)
{
    const double period_ns = 1e9 / scenario->sensors[sensor].rate_hz;
    return scenario->start + (toc_ns)llround((double)k * period_ns);
}
