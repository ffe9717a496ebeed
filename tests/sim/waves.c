/*
 * Samples of a scenario's sensor: the quakes, the ground's noise, nuisances,
 * then the instrument of each channel, which looks along its own azimuth and
 * dip. A station's ground moves the same under all its sensors; the noise is theirs.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/nuisance.h"
#include "tests/sim/scenario.h"

static int add_quakes(const struct toc_scenario *scenario, const struct toc_scenario_sensor *sensor,
                      float *const enz[3])
{
    const size_t n = sensor->n_samples;
    struct toc_synth *synth = NULL;
    if (n == 0 || scenario->n_events == 0)
        return 0;
    /* A quake's seconds need not fill the whole record: the work space is for the longest of them. */
    double longest_s = 0.0;
    for (size_t e = 0; e < scenario->n_events; e++)
        longest_s = fmax(longest_s, toc_quake_signal_s(&scenario->events[e].quake,
                                                       &scenario->arrivals[e * scenario->n_sites + sensor->site].path));
    const size_t wanted = (size_t)((longest_s + 1.0) * sensor->rate_hz), most = wanted < n ? wanted : n;
    int result = toc_synth_create(sensor->rate_hz, most, &synth);
    for (size_t e = 0; result == 0 && e < scenario->n_events; e++) {
        const struct toc_scenario_arrival *arrival = &scenario->arrivals[e * scenario->n_sites + sensor->site];
        const double p_s = toc_s_from_ns(arrival->p - scenario->start);
        toc_synth_add(synth, &scenario->events[e].quake, &arrival->path, p_s, enz, n);
    }
    toc_synth_destroy(synth);
    return result;
}

static void add_noise(const struct toc_scenario *scenario, const struct toc_scenario_sensor *sensor,
                      float *const enz[3])
{
    const struct toc_scenario_site *site = &scenario->sites[sensor->site];
    struct toc_random random;
    struct toc_noise_level level;
    toc_random_seed(&random, site->seed, 2);
    toc_noise_level_draw(&random, site->quietness, &level);
    for (int c = 0; c < 3; c++) {
        struct toc_noise noise;
        toc_noise_start(&noise, &level, sensor->rate_hz, toc_random_mix(sensor->seed, (uint64_t)c));
        for (size_t k = 0; k < sensor->n_samples; k++)
            enz[c][k] += (float)toc_noise_step(&noise);
    }
}

/* What a channel sees: motion along its axis. Dip is positive down. */
static void along_axis(const struct toc_scenario_sensor *sensor, int channel, float *const enz[3], float *ret)
{
    const double azimuth = sensor->azimuth_deg[channel] * M_PI / 180.0, dip = sensor->dip_deg[channel] * M_PI / 180.0;
    const double e = sin(azimuth) * cos(dip), n = cos(azimuth) * cos(dip), z = -sin(dip);
    for (size_t k = 0; k < sensor->n_samples; k++)
        ret[k] = (float)(e * enz[0][k] + n * enz[1][k] + z * enz[2][k]);
}

static int digitise(const struct toc_scenario *scenario, const struct toc_scenario_sensor *sensor, float *const enz[3],
                    int32_t *const ret_counts[3])
{
    float *motion = malloc((sensor->n_samples + 1) * sizeof *motion);
    if (!motion)
        return -ENOMEM;
    for (int k = 0; k < sensor->n_channels; k++) {
        struct toc_random random;
        toc_random_seed(&random, sensor->seed, 100 + (uint64_t)k);
        along_axis(sensor, k, enz, motion);
        toc_instrument_digitise(&sensor->instrument[k], sensor->rate_hz, &random, motion, sensor->n_samples,
                                ret_counts[k]);
    }
    free(motion);
    if (scenario->nuisance)
        toc_nuisance_electric(sensor, ret_counts);
    return 0;
}

int toc_scenario_synthesise(const struct toc_scenario *scenario, size_t sensor_index, float *const ret_enz[3],
                            int32_t *const ret_counts[3])
{
    const struct toc_scenario_sensor *sensor = &scenario->sensors[sensor_index];
    const size_t n = sensor->n_samples;
    float *all = calloc(3 * n + 1, sizeof *all);
    if (!all)
        return -ENOMEM;
    float *const enz[3] = {all, all + n, all + 2 * n};

    int result = add_quakes(scenario, sensor, enz);
    for (int c = 0; result == 0 && ret_enz && c < 3; c++)
        memcpy(ret_enz[c], enz[c], n * sizeof *enz[c]);
    if (result == 0 && ret_counts) {
        add_noise(scenario, sensor, enz);
        if (scenario->nuisance)
            toc_nuisance_ground(sensor, enz);
        result = digitise(scenario, sensor, enz, ret_counts);
    }
    free(all);
    return result;
}
