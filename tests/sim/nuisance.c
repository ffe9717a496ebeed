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
static void walk(const struct toc_scenario_sensor *sensor, struct toc_random *random, size_t at, float *const enz[3])
{
    const double first_s = (double)at / sensor->rate_hz;
    const double pace_s = toc_random_range(random, 0.45, 0.65);
    const double nearest = toc_random_log_range(random, 3e-7, 3e-5); /* m/s when closest */
    const double hz = toc_random_range(random, 15.0, fmin(40.0, 0.4 * sensor->rate_hz));
    const int steps = 10 + (int)(30.0 * toc_random_uniform(random));
    for (int i = 0; i < steps; i++) {
        const double away = fabs(2.0 * i / steps - 1.0);
        const double at_s = first_s + i * pace_s + 0.03 * toc_random_normal(random);
        if (at_s >= 0.0 && at_s * sensor->rate_hz < (double)sensor->n_samples)
            footstep(sensor, (size_t)(at_s * sensor->rate_hz), hz, nearest / (1.0 + 8.0 * away * away), enz);
    }
}

/* A lorry passes: noise around its engine's and axles' frequency that swells over seconds and fades. */
static void drive(const struct toc_scenario_sensor *sensor, struct toc_random *random, size_t at, float *const enz[3])
{
    const double hz = toc_random_range(random, 4.0, fmin(18.0, 0.35 * sensor->rate_hz)),
                 length_s = toc_random_range(random, 5.0, 25.0);
    const double size = toc_random_log_range(random, 3e-7, 3e-5), keep = exp(-M_PI * 0.3 * hz / sensor->rate_hz);
    const double a1 = 2.0 * keep * cos(2.0 * M_PI * hz / sensor->rate_hz), a2 = -keep * keep;
    for (int c = 0; c < 3; c++) {
        double y1 = 0.0, y2 = 0.0;
        for (size_t k = at; k < sensor->n_samples; k++) {
            const double x = (double)(k - at) / sensor->rate_hz / length_s;
            if (x > 1.0)
                break;
            const double y = a1 * y1 + a2 * y2 + sqrt(1.0 - keep) * toc_random_normal(random);
            y2 = y1;
            y1 = y;
            enz[c][k] += (float)(size * sin(M_PI * x) * sin(M_PI * x) * y);
        }
    }
}

void toc_nuisance_ground(const struct toc_scenario_sensor *sensor, float *const enz[3])
{
    struct toc_random random;
    toc_random_seed(&random, sensor->seed, 200);
    for (int walks = how_many(sensor, &random, 1.0); walks > 0; walks--)
        walk(sensor, &random, somewhere(sensor, &random), enz);
}

static void add_counts(const struct toc_scenario_sensor *sensor, int channel, size_t k, double value,
                       int32_t *const counts[3])
{
    const double limit = sensor->instrument[channel].limit;
    counts[channel][k] = (int32_t)lrint(fmin(fmax(counts[channel][k] + value, -limit), limit));
}

static int some_channel(const struct toc_scenario_sensor *sensor, struct toc_random *random)
{
    return (int)(toc_random_uniform(random) * sensor->n_channels);
}

/* Counts up or down, sizes as 24 bits have them; of a smaller digitiser the same share. */
static double some_size(const struct toc_scenario_sensor *sensor, struct toc_random *random, double low, double high)
{
    const double size = toc_random_log_range(random, low, high) * (toc_random_uniform(random) < 0.5 ? -1.0 : 1.0);
    return size * sensor->instrument[0].limit / TOC_COUNTS_24BIT;
}

/* A wrong sample or two. */
static void spike(const struct toc_scenario_sensor *sensor, struct toc_random *random, int channel, size_t at,
                  int32_t *const counts[3])
{
    const double size = some_size(sensor, random, 1e3, 5e6);
    add_counts(sensor, channel, at, size, counts);
    if (at + 1 < sensor->n_samples)
        add_counts(sensor, channel, at + 1, size * 0.3, counts);
}

/* The offset jumps; a broadband sensor creeps back within minutes. */
static void step(const struct toc_scenario_sensor *sensor, struct toc_random *random, int channel, size_t at,
                 int32_t *const counts[3])
{
    const double size = some_size(sensor, random, 1e3, 1e6);
    for (size_t k = at; k < sensor->n_samples; k++)
        add_counts(sensor, channel, k, size * exp(-(double)(k - at) / sensor->rate_hz / 40.0), counts);
}

/* A current step through the calibration coil: all components at once, a damped swing of 20 s and more. */
static void pulse(const struct toc_scenario_sensor *sensor, struct toc_random *random, size_t at,
                  int32_t *const counts[3])
{
    const double size = fabs(some_size(sensor, random, 1e4, 1e6)), period_s = toc_random_range(random, 20.0, 60.0);
    for (size_t k = at; k < sensor->n_samples; k++) {
        const double x = 2.0 * M_PI * (double)(k - at) / sensor->rate_hz / period_s;
        for (int c = 0; c < sensor->n_channels; c++)
            add_counts(sensor, c, k, size * exp(-0.707 * x) * sin(0.707 * x + 0.3), counts);
    }
}

/* A sine of one frequency, on at once and off at once, alike on all components. */
static void sine(const struct toc_scenario_sensor *sensor, struct toc_random *random, size_t at,
                 int32_t *const counts[3])
{
    const double size = some_size(sensor, random, 1e4, 3e6);
    const double hz = toc_random_log_range(random, 0.1, fmin(10.0, 0.3 * sensor->rate_hz));
    const double length_s = toc_random_range(random, fmax(5.0, 3.0 / hz), 120.0);
    for (size_t k = at; k < sensor->n_samples && (double)(k - at) < length_s * sensor->rate_hz; k++)
        for (int c = 0; c < sensor->n_channels; c++)
            add_counts(sensor, c, k, size * sin(2.0 * M_PI * hz * (double)(k - at) / sensor->rate_hz), counts);
}

/* The masses are driven: each channel to its end, held for seconds, let go, and swings out. */
static void recentre(const struct toc_scenario_sensor *sensor, struct toc_random *random, size_t at,
                     int32_t *const counts[3])
{
    const double held_s = toc_random_range(random, 1.0, 8.0), back_s = toc_random_range(random, 2.0, 20.0);
    for (int c = 0; c < sensor->n_channels; c++) {
        const double size = some_size(sensor, random, 3e6, 2e7);
        for (size_t k = at; k < sensor->n_samples; k++) {
            const double t = (double)(k - at) / sensor->rate_hz;
            const double shape =
                t < held_s ? 1.0 - exp(-4.0 * t) : exp(-(t - held_s) / back_s) * cos(2.0 * (t - held_s) / back_s);
            add_counts(sensor, c, k, size * shape, counts);
        }
    }
}

/* Packets are lost; sometimes the digitiser started anew and its offset is another. */
static size_t gap(const struct toc_scenario_sensor *sensor, struct toc_random *random, size_t at,
                  int32_t *const counts[3])
{
    const size_t left = sensor->n_samples - at,
                 lost = (size_t)(toc_random_log_range(random, 0.02, 10.0) * sensor->rate_hz);
    const double offset = toc_random_uniform(random) < 0.5 ? 0.0 : some_size(sensor, random, 1e2, 1e5);
    for (int c = 0; c < sensor->n_channels; c++)
        for (size_t k = at; k < sensor->n_samples; k++)
            add_counts(sensor, c, k, offset, counts);
    return lost < left ? lost + 1 : left;
}

void toc_nuisance_electric(const struct toc_scenario_sensor *sensor, int32_t *const counts[3])
{
    struct toc_random random;
    toc_random_seed(&random, sensor->seed, 201);
    if (sensor->n_samples == 0 || sensor->n_channels == 0)
        return;
    for (int n = how_many(sensor, &random, 2.0); n > 0; n--) {
        const int channel = some_channel(sensor, &random);
        spike(sensor, &random, channel, somewhere(sensor, &random), counts);
    }
    for (int n = how_many(sensor, &random, 0.5); n > 0; n--) {
        const int channel = some_channel(sensor, &random);
        step(sensor, &random, channel, somewhere(sensor, &random), counts);
    }
    for (int n = how_many(sensor, &random, 0.25); n > 0; n--)
        pulse(sensor, &random, somewhere(sensor, &random), counts);
}

void toc_nuisance_add_ground(enum toc_nuisance_kind kind, const struct toc_scenario_sensor *sensor,
                             struct toc_random *random, size_t at, float *const enz[3])
{
    if (kind == TOC_NUISANCE_FOOTSTEPS)
        walk(sensor, random, at, enz);
    else if (kind == TOC_NUISANCE_VEHICLE)
        drive(sensor, random, at, enz);
}

size_t toc_nuisance_add_electric(enum toc_nuisance_kind kind, const struct toc_scenario_sensor *sensor,
                                 struct toc_random *random, size_t at, int32_t *const counts[3])
{
    switch (kind) {
    case TOC_NUISANCE_SPIKE:
        spike(sensor, random, some_channel(sensor, random), at, counts);
        return 0;
    case TOC_NUISANCE_STEP:
        step(sensor, random, some_channel(sensor, random), at, counts);
        return 0;
    case TOC_NUISANCE_PULSE:
        pulse(sensor, random, at, counts);
        return 0;
    case TOC_NUISANCE_SINE:
        sine(sensor, random, at, counts);
        return 0;
    case TOC_NUISANCE_RECENTRE:
        recentre(sensor, random, at, counts);
        return 0;
    case TOC_NUISANCE_GAP:
        return gap(sensor, random, at, counts);
    default:
        return 0;
    }
}
