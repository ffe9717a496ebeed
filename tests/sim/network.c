/*
 * See network.h. Every sixth site of the grid has its horizontals turned and named 1
 * and 2, as borehole sensors are: who reads the metadata wrongly is found out.
 */
#include "tests/sim/network.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/geo.h"
#include "core/station.h"
#include "tests/sim/random.h"

#define HH_GAIN 627368000.0 /* counts per m/s: a common broadband sensor and 24-bit digitiser */
#define HN_GAIN 213740.0    /* counts per m/s^2: 4 g at 24 bits */

static int refuse(char *ret_why, size_t why_size, const char *why)
{
    snprintf(ret_why, why_size, "%s", why);
    return -EINVAL;
}

static void place_site(const struct toc_scenario_options *options, struct toc_random *random, size_t index,
                       struct toc_scenario_site *site)
{
    const size_t columns = (size_t)ceil(sqrt((double)options->n_sites));
    const size_t rows = (options->n_sites + columns - 1) / columns;
    const double step_x = options->extent_km / (double)columns, step_y = options->extent_km / (double)rows;
    const double x = ((double)(index % columns) + 0.5 + toc_random_range(random, -0.35, 0.35)) * step_x;
    const double y = ((double)(index / columns) + 0.5 + toc_random_range(random, -0.35, 0.35)) * step_y;

    toc_geo_offset(options->latitude_deg, options->longitude_deg, y - options->extent_km / 2.0,
                   x - options->extent_km / 2.0, &site->latitude_deg, &site->longitude_deg);
    /* As a text file holds it: who reads stations.txt gets the very same place. */
    site->latitude_deg = round(site->latitude_deg * 1e5) / 1e5;
    site->longitude_deg = round(site->longitude_deg * 1e5) / 1e5;
    site->elevation_m = round(toc_random_range(random, 0.0, 1500.0));
    snprintf(site->network, sizeof site->network, "SY"); /* the FDSN's code for synthetic data */
    snprintf(site->station, sizeof site->station, "T%03u", (unsigned)(index + 1) % 10000u);
}

static void finish_site(struct toc_random *random, struct toc_scenario_site *site)
{
    site->quietness = toc_random_range(random, 0.4, 0.8);
    site->seed = toc_random_next(random);
}

/* Channel k of a new sensor; letters E, N, Z or 1, 2, Z. */
static void add_channel(struct toc_scenario_sensor *sensor, const char *band, char letter, double azimuth_deg)
{
    const int k = sensor->n_channels++;
    snprintf(sensor->channels[k], sizeof sensor->channels[k], "%.2s%c", band, letter);
    sensor->azimuth_deg[k] = azimuth_deg;
    sensor->dip_deg[k] = letter == 'Z' ? -90.0 : 0.0;
}

static void grid_sensor(struct toc_random *random, size_t site, const char *band, double rate_hz,
                        struct toc_scenario_sensor *sensor)
{
    const bool acceleration = band[1] == 'N';
    const double turn_deg = site % 6 == 5 ? round(toc_random_range(random, 0.0, 359.0)) : 0.0;

    *sensor = (struct toc_scenario_sensor){.site = site, .rate_hz = rate_hz, .has_scale = true};
    add_channel(sensor, band, site % 6 == 5 ? '2' : 'E', fmod(turn_deg + 90.0, 360.0));
    add_channel(sensor, band, site % 6 == 5 ? '1' : 'N', turn_deg);
    add_channel(sensor, band, 'Z', 0.0);
    for (int k = 0; k < 3; k++) {
        sensor->instrument[k] = (struct toc_instrument){
            .acceleration = acceleration,
            .gain = acceleration ? HN_GAIN : HH_GAIN,
            .limit = TOC_COUNTS_24BIT,
            .self_noise = acceleration ? 1e-6 : 0.0,
            .offset_counts = round(300.0 * toc_random_normal(random)),
        };
    }
    sensor->seed = toc_random_next(random);
}

static int make_grid(const struct toc_scenario_options *options, struct toc_scenario *scenario)
{
    const size_t per_site = options->accelerometers ? 2 : 1;
    scenario->sites = calloc(options->n_sites, sizeof *scenario->sites);
    scenario->sensors = calloc(options->n_sites * per_site, sizeof *scenario->sensors);
    if (!scenario->sites || !scenario->sensors)
        return -ENOMEM;
    for (size_t i = 0; i < options->n_sites; i++) {
        struct toc_random random;
        toc_random_seed(&random, options->seed, 1000 + i);
        place_site(options, &random, i, &scenario->sites[i]);
        finish_site(&random, &scenario->sites[i]);
        const double rate_hz = options->rates_hz[i % options->n_rates];
        grid_sensor(&random, i, "HH", rate_hz, &scenario->sensors[scenario->n_sensors++]);
        if (options->accelerometers)
            grid_sensor(&random, i, "HN", rate_hz, &scenario->sensors[scenario->n_sensors++]);
        scenario->n_sites++;
    }
    return 0;
}

/* Source identifiers are FDSN:NET_STA_LOC_B_S_SS, sound by the inventory's own check. */
static bool split_sid(const char *sid, char net[9], char sta[9], char loc[9], char channel[4])
{
    char band, source, subsource;
    if (sscanf(sid, "FDSN:%8[^_]_%8[^_]_%8[^_]_%c_%c_%c", net, sta, loc, &band, &source, &subsource) != 6) {
        loc[0] = '\0';
        if (sscanf(sid, "FDSN:%8[^_]_%8[^_]__%c_%c_%c", net, sta, &band, &source, &subsource) != 5)
            return false;
    }
    snprintf(channel, 4, "%c%c%c", band, source, subsource);
    return true;
}

static size_t find_or_add_site(struct toc_scenario *scenario, const struct toc_channel *channel, const char *net,
                               const char *sta, uint64_t seed)
{
    for (size_t i = 0; i < scenario->n_sites; i++)
        if (strcmp(scenario->sites[i].network, net) == 0 && strcmp(scenario->sites[i].station, sta) == 0)
            return i;
    struct toc_scenario_site *site = &scenario->sites[scenario->n_sites];
    struct toc_random random;
    toc_random_seed(&random, seed, 1000 + scenario->n_sites);
    snprintf(site->network, sizeof site->network, "%.8s", net);
    snprintf(site->station, sizeof site->station, "%.8s", sta);
    site->latitude_deg = channel->latitude_deg;
    site->longitude_deg = channel->longitude_deg;
    site->elevation_m = channel->elevation_m;
    finish_site(&random, site);
    return scenario->n_sites++;
}

/* The last sensor takes the channel if it is of its kind and no second epoch (channels come sorted); else a new one
 * begins. NULL: not wanted. */
static struct toc_scenario_sensor *sensor_for(struct toc_scenario *scenario, size_t site, const char *location,
                                              const char *channel, double rate_hz)
{
    struct toc_scenario_sensor *last = scenario->n_sensors ? &scenario->sensors[scenario->n_sensors - 1] : NULL;
    if (last && last->site == site && strcmp(last->location, location) == 0 &&
        strncmp(last->channels[0], channel, 2) == 0) {
        for (int k = 0; k < last->n_channels; k++)
            if (strcmp(last->channels[k], channel) == 0)
                return NULL;
        return last->n_channels < 3 ? last : NULL;
    }
    struct toc_scenario_sensor *sensor = &scenario->sensors[scenario->n_sensors++];
    *sensor = (struct toc_scenario_sensor){.site = site, .rate_hz = rate_hz, .has_scale = true};
    snprintf(sensor->location, sizeof sensor->location, "%.8s", location);
    return sensor;
}

static void take_channel(const struct toc_scenario_options *options, struct toc_scenario *scenario,
                         const struct toc_channel *channel)
{
    char net[9], sta[9], loc[9], code[4];
    if (!split_sid(channel->sid, net, sta, loc, code) || !isfinite(channel->latitude_deg) ||
        !isfinite(channel->longitude_deg))
        return;
    const double rate_hz = isfinite(channel->rate_hz) ? channel->rate_hz : 100.0;
    if (rate_hz < 20.0 || rate_hz > 250.0)
        return;
    const size_t site = find_or_add_site(scenario, channel, net, sta, options->seed);
    struct toc_scenario_sensor *sensor = sensor_for(scenario, site, loc, code, rate_hz);
    if (!sensor)
        return;

    const int k = sensor->n_channels++;
    const bool acceleration = channel->unit == TOC_UNIT_ACCELERATION ||
                              (channel->unit != TOC_UNIT_VELOCITY && code[1] == 'N');
    memcpy(sensor->channels[k], code, sizeof code);
    sensor->azimuth_deg[k] = isfinite(channel->azimuth_deg) ? channel->azimuth_deg : code[2] == 'E' ? 90.0 : 0.0;
    sensor->dip_deg[k] = isfinite(channel->dip_deg) ? channel->dip_deg : code[2] == 'Z' ? -90.0 : 0.0;
    sensor->has_scale = sensor->has_scale && isfinite(channel->scale);
    sensor->instrument[k] = (struct toc_instrument){
        .acceleration = acceleration,
        .gain = isfinite(channel->scale) ? channel->scale : acceleration ? HN_GAIN : HH_GAIN,
        .limit = TOC_COUNTS_24BIT,
        .self_noise = acceleration ? 1e-6 : 0.0,
    };
    sensor->seed = toc_random_mix(scenario->sites[site].seed, scenario->n_sensors);
}

static int make_from_text(const struct toc_scenario_options *options, struct toc_scenario *scenario, char *ret_why,
                          size_t why_size)
{
    struct toc_inventory inventory;
    struct toc_parse_error error;
    int result = toc_inventory_parse_text(options->station_text, options->station_text_len, &inventory, &error);
    if (result == -EINVAL)
        snprintf(ret_why, why_size, "stations, line %d: %.100s", error.line, error.text);
    if (result < 0)
        return result;
    scenario->sites = calloc(inventory.n + 1, sizeof *scenario->sites);
    scenario->sensors = calloc(inventory.n + 1, sizeof *scenario->sensors);
    if (!scenario->sites || !scenario->sensors)
        result = -ENOMEM;
    for (size_t i = 0; result == 0 && i < inventory.n; i++) {
        take_channel(options, scenario, &inventory.channels[i]);
        if (scenario->n_sites > TOC_SCENARIO_SITES_MAX)
            result = refuse(ret_why, why_size, "too many sites");
    }
    toc_inventory_finish(&inventory);
    if (result == 0 && scenario->n_sensors == 0)
        result = refuse(ret_why, why_size, "no usable channel in the stations");
    return result;
}

int toc_network_make(const struct toc_scenario_options *options, struct toc_scenario *scenario, char *ret_why,
                     size_t why_size)
{
    if (options->station_text)
        return make_from_text(options, scenario, ret_why, why_size);
    if (options->n_sites < 1 || options->n_sites > TOC_SCENARIO_SITES_MAX)
        return refuse(ret_why, why_size, "stations must be 1..1000");
    if (!(options->extent_km >= 1.0 && options->extent_km <= 800.0))
        return refuse(ret_why, why_size, "the network's extent must be 1..800 km");
    if (!(fabs(options->latitude_deg) <= 75.0) || !(fabs(options->longitude_deg) <= 180.0))
        return refuse(ret_why, why_size, "centre out of range (latitude -75..75, longitude -180..180)");
    return make_grid(options, scenario);
}
