/*
 * Each part is white noise through a filter of one or two poles, scaled so
 * that its one-sided velocity PSD meets the level at its anchor frequency.
 * An autoregression y = r y + k n of variance V and decay time T has the
 * one-sided PSD 4 V T / (1 + (f/fc)^2) with fc = 1 / (2 pi T).
 */
#include "tests/sim/noise.h"

#include <math.h>

/* Peterson (1993), tables 3 and 4, evaluated at 100 s, 5 s, 1 s and 0.1 s. */
static const double low_model[4] = {-185.0, -141.1, -166.4, -168.0};
static const double high_model[4] = {-131.5, -95.8, -116.9, -91.5};

#define LOW_CORNER_HZ 0.005
#define FLAT_CORNER_HZ 0.5
#define TOWN_LOW_HZ 2.0
#define TOWN_HIGH_HZ 15.0
#define MOOD_S 40.0   /* decay time of the cultural strength */
#define MOOD_SD 0.35  /* of its natural logarithm */

static double between(struct toc_random *random, int anchor, double quietness, double spread)
{
    double u = 1.0 - quietness + spread * toc_random_normal(random);
    u = fmin(fmax(u, 0.08), 0.92);
    return low_model[anchor] + u * (high_model[anchor] - low_model[anchor]);
}

void toc_noise_level_draw(struct toc_random *random, double quietness, struct toc_noise_level *ret_level)
{
    ret_level->at_100s = between(random, 0, fmin(0.8, quietness + 0.1), 0.08);
    ret_level->at_5s = between(random, 1, 0.45, 0.12); /* the sea does not care where the town is */
    ret_level->at_1s = between(random, 2, quietness, 0.07);
    ret_level->at_10hz = between(random, 3, quietness, 0.10);
    ret_level->microseism_hz = toc_random_range(random, 0.13, 0.26);
}

/* Velocity PSD from an acceleration level in dB. */
static double velocity_psd(double db, double hz)
{
    const double omega = 2.0 * M_PI * hz;
    return pow(10.0, db / 10.0) / (omega * omega);
}

/* First-order part with corner `corner_hz` whose PSD is `psd` at `hz`; starts in its stationary state. */
static double start_first(struct toc_random *random, double psd, double hz, double corner_hz, double rate_hz,
                          double *ret_keep, double *ret_kick)
{
    const double decay_s = 1.0 / (2.0 * M_PI * corner_hz);
    const double variance = psd * (1.0 + hz * hz / (corner_hz * corner_hz)) / (4.0 * decay_s);
    *ret_keep = exp(-1.0 / (decay_s * rate_hz));
    *ret_kick = sqrt(variance * (1.0 - *ret_keep * *ret_keep));
    return sqrt(variance) * toc_random_normal(random);
}

/* Resonator x = a1 x' + a2 x'' + k n; k from the exact response at the centre. */
static void start_hump(struct toc_noise *noise, double psd, double hz, double rate_hz)
{
    const double quality = 1.6;
    const double radius = exp(-M_PI * hz / (quality * rate_hz)), angle = 2.0 * M_PI * hz / rate_hz;
    const double a1 = 2.0 * radius * cos(angle), a2 = -radius * radius;
    const double re = 1.0 - a1 * cos(angle) - a2 * cos(2.0 * angle);
    const double im = a1 * sin(angle) + a2 * sin(2.0 * angle);
    noise->hump_a1 = a1;
    noise->hump_a2 = a2;
    noise->hump_kick = sqrt(psd * rate_hz / 2.0 * (re * re + im * im));

    /* Stationary pair of values: the variance and lag-one correlation of a second-order autoregression. */
    const double correlation = a1 / (1.0 - a2);
    const double variance =
        noise->hump_kick * noise->hump_kick / (1.0 - a1 * correlation - a2 * (a1 * correlation + a2));
    noise->hump[0] = sqrt(variance) * toc_random_normal(&noise->random);
    noise->hump[1] = correlation * noise->hump[0] +
                     sqrt(variance * (1.0 - correlation * correlation)) * toc_random_normal(&noise->random);
}

static void start_town(struct toc_noise *noise, double psd, double hz, double rate_hz)
{
    const double low2 = TOWN_LOW_HZ * TOWN_LOW_HZ, high2 = TOWN_HIGH_HZ * TOWN_HIGH_HZ;
    const double response = hz * hz / (hz * hz + low2) / (1.0 + hz * hz / high2);
    noise->town_kick = sqrt(psd * rate_hz / 2.0 / response);
    noise->town_lp_a = 1.0 - exp(-2.0 * M_PI * TOWN_HIGH_HZ / rate_hz);
    noise->town_hp_a = 1.0 - exp(-2.0 * M_PI * TOWN_LOW_HZ / rate_hz);
    noise->town_lp = noise->town_hp = 0.0; /* settles in 0.1 s */
    noise->mood_keep = exp(-1.0 / (MOOD_S * rate_hz));
    noise->mood_kick = MOOD_SD * sqrt(1.0 - noise->mood_keep * noise->mood_keep);
    noise->mood = MOOD_SD * toc_random_normal(&noise->random);
}

void toc_noise_start(struct toc_noise *noise, const struct toc_noise_level *level, double rate_hz, uint64_t seed)
{
    struct toc_random *random = &noise->random;
    toc_random_seed(random, seed, 0);
    noise->low = start_first(random, velocity_psd(level->at_100s, 0.01), 0.01, LOW_CORNER_HZ, rate_hz,
                             &noise->low_keep, &noise->low_kick);
    noise->flat = start_first(random, velocity_psd(level->at_1s, 1.0), 1.0, FLAT_CORNER_HZ, rate_hz,
                              &noise->flat_keep, &noise->flat_kick);
    start_hump(noise, velocity_psd(level->at_5s, level->microseism_hz), level->microseism_hz, rate_hz);
    start_town(noise, velocity_psd(level->at_10hz, 10.0), 10.0, rate_hz);
}

double toc_noise_step(struct toc_noise *noise)
{
    struct toc_random *random = &noise->random;
    noise->low = noise->low_keep * noise->low + noise->low_kick * toc_random_normal(random);
    noise->flat = noise->flat_keep * noise->flat + noise->flat_kick * toc_random_normal(random);

    const double hump = noise->hump_a1 * noise->hump[0] + noise->hump_a2 * noise->hump[1] +
                        noise->hump_kick * toc_random_normal(random);
    noise->hump[1] = noise->hump[0];
    noise->hump[0] = hump;

    noise->mood = noise->mood_keep * noise->mood + noise->mood_kick * toc_random_normal(random);
    const double town = noise->town_kick * toc_random_normal(random) * exp(noise->mood);
    noise->town_lp += noise->town_lp_a * (town - noise->town_lp);
    noise->town_hp += noise->town_hp_a * (noise->town_lp - noise->town_hp);
    return noise->low + noise->flat + hump + noise->town_lp - noise->town_hp;
}
