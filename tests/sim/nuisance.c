/* See nuisance.h. */
#include "tests/sim/nuisance.h"

#include <math.h>

#include "tests/sim/random.h"

/* How many of a kind: a Poisson number with this mean per ten minutes. */
static int how_many(const struct toc_scenario_sensor *sensor, struct toc_random *random, double per_600s)
{
    const double mean = per_600s * (double)sensor->n_samples / sensor->rate_hz / 600.0;
    int n = 0;
    for (double t = -log(1.0 - toc_random_uniform(random)); t < mean && n < 1000; n++)
        t -= log(1.0 - toc_random_uniform(random));
    return n;
}

static size_t somewhere(const struct toc_scenario_sensor *sensor, struct toc_random *random)
{
    return (size_t)(toc_random_uniform(random) * (double)sensor->n_samples);
}

/* One step: half a second of 15 to 40 Hz, mostly vertical. */
static void footstep(const struct toc_scenario_sensor *sensor, size_t at, double hz, double size, float *const enz[3])
{
    static const double share[3] = {0.4, 0.4, 1.0};
    const size_t length = (size_t)(0.5 * sensor->rate_hz);
    for (size_t k = 0; k < length && at + k < sensor->n_samples; k++) {
        const double t = (double)k / sensor->rate_hz;
        const double v = size * exp(-t / 0.08) * sin(2.0 * M_PI * hz * t);
        for (int c = 0; c < 3; c++)
            enz[c][at + k] += (float)(share[c] * v);
    }
}

/* Somebody walks by: about two steps a second, nearer and away again. */
void toc_nuisance_ground(const struct toc_scenario_sensor *sensor, float *const enz[3])
{
    struct toc_random random;
    toc_random_seed(&random, sensor->seed, 200);
    for (int walks = how_many(sensor, &random, 1.0); walks > 0; walks--) {
        const double first_s = (double)somewhere(sensor, &random) / sensor->rate_hz;
        const double pace_s = toc_random_range(&random, 0.45, 0.65);
        const double nearest = toc_random_log_range(&random, 3e-7, 3e-5); /* m/s when closest */
        const double hz = toc_random_range(&random, 15.0, fmin(40.0, 0.4 * sensor->rate_hz));
        const int steps = 10 + (int)(30.0 * toc_random_uniform(&random));
        for (int i = 0; i < steps; i++) {
            const double away = fabs(2.0 * i / steps - 1.0);
            const double at_s = first_s + i * pace_s + 0.03 * toc_random_normal(&random);
            if (at_s >= 0.0 && at_s * sensor->rate_hz < (double)sensor->n_samples)
                footstep(sensor, (size_t)(at_s * sensor->rate_hz), hz, nearest / (1.0 + 8.0 * away * away), enz);
        }
    }
}

static void add_counts(const struct toc_scenario_sensor *sensor, int channel, size_t k, double value,
                       int32_t *const counts[3])
{
    const double limit = sensor->instrument[channel].limit;
    counts[channel][k] = (int32_t)lrint(fmin(fmax(counts[channel][k] + value, -limit), limit));
}

/* A wrong sample or two. */
static void spike(const struct toc_scenario_sensor *sensor, struct toc_random *random, int32_t *const counts[3])
{
    const int channel = (int)(toc_random_uniform(random) * sensor->n_channels);
    const size_t at = somewhere(sensor, random);
    const double size = toc_random_log_range(random, 1e3, 5e6) * (toc_random_uniform(random) < 0.5 ? -1.0 : 1.0);
    add_counts(sensor, channel, at, size, counts);
    if (at + 1 < sensor->n_samples)
        add_counts(sensor, channel, at + 1, size * 0.3, counts);
}

/* The offset jumps; a broadband sensor creeps back within minutes. */
static void step(const struct toc_scenario_sensor *sensor, struct toc_random *random, int32_t *const counts[3])
{
    const int channel = (int)(toc_random_uniform(random) * sensor->n_channels);
    const size_t at = somewhere(sensor, random);
    const double size = toc_random_log_range(random, 1e3, 1e6) * (toc_random_uniform(random) < 0.5 ? -1.0 : 1.0);
    for (size_t k = at; k < sensor->n_samples; k++)
        add_counts(sensor, channel, k, size * exp(-(double)(k - at) / sensor->rate_hz / 40.0), counts);
}

/* A current step through the calibration coil: all components at once, a damped swing of 20 s and more. */
static void calibration(const struct toc_scenario_sensor *sensor, struct toc_random *random, int32_t *const counts[3])
{
    const size_t at = somewhere(sensor, random);
    const double size = toc_random_log_range(random, 1e4, 1e6), period_s = toc_random_range(random, 20.0, 60.0);
    for (size_t k = at; k < sensor->n_samples; k++) {
        const double x = 2.0 * M_PI * (double)(k - at) / sensor->rate_hz / period_s;
        for (int c = 0; c < sensor->n_channels; c++)
            add_counts(sensor, c, k, size * exp(-0.707 * x) * sin(0.707 * x + 0.3), counts);
    }
}

void toc_nuisance_electric(const struct toc_scenario_sensor *sensor, int32_t *const counts[3])
{
    struct toc_random random;
    toc_random_seed(&random, sensor->seed, 201);
    if (sensor->n_samples == 0 || sensor->n_channels == 0)
        return;
    for (int n = how_many(sensor, &random, 2.0); n > 0; n--)
        spike(sensor, &random, counts);
    for (int n = how_many(sensor, &random, 0.5); n > 0; n--)
        step(sensor, &random, counts);
    for (int n = how_many(sensor, &random, 0.25); n > 0; n--)
        calibration(sensor, &random, counts);
}
