/* See instrument.h. Gains are those of common field equipment, in order of magnitude. */
#include "tests/sim/instrument.h"

#include <math.h>

/* State of the response, one sample after another. */
struct sensing {
    double b, a1, a2, x1, x2, y1, y2; /* high-pass of order 2 by the bilinear transform; b 0: none */
    double before;                    /* velocity one sample ago */
};

void toc_instrument_draw(struct toc_random *random, enum toc_instrument_kind kind,
                         struct toc_instrument *ret_instrument)
{
    struct toc_instrument one = {.limit = TOC_COUNTS_24BIT};
    const double full_ms2 = 9.81 * toc_random_range(random, 2.0, 4.0);

    switch (kind) {
    case TOC_INSTRUMENT_BROADBAND:
        one.gain = toc_random_log_range(random, 1e8, 1.5e9);
        one.corner_hz = toc_random_log_range(random, 1.0 / 120.0, 1.0 / 30.0);
        break;
    case TOC_INSTRUMENT_SHORT_PERIOD:
        one.gain = toc_random_log_range(random, 3e7, 1e9);
        one.corner_hz = toc_random_range(random, 1.0, 4.5);
        break;
    case TOC_INSTRUMENT_STRONG:
        one.self_noise = toc_random_log_range(random, 3e-8, 1e-6);
        one.gain = TOC_COUNTS_24BIT / full_ms2;
        break;
    case TOC_INSTRUMENT_MEMS:
    case TOC_INSTRUMENT_KINDS:
        one.limit = (1 << (15 + (int)(5.0 * toc_random_uniform(random)))) - 1;
        one.self_noise = toc_random_log_range(random, 5e-5, 1e-3);
        one.gain = one.limit / full_ms2;
        break;
    }
    one.acceleration = kind >= TOC_INSTRUMENT_STRONG;
    one.offset_counts = toc_random_normal(random) * one.limit * 2e-5;
    *ret_instrument = one;
}

double toc_instrument_rate_draw(struct toc_random *random, enum toc_instrument_kind kind)
{
    static const double rates[TOC_INSTRUMENT_KINDS][6] = {
        {100.0, 100.0, 100.0, 40.0, 50.0, 20.0},
        {100.0, 100.0, 100.0, 50.0, 200.0, 250.0},
        {100.0, 100.0, 200.0, 200.0, 80.0, 250.0},
        {31.25, 31.25, 50.0, 100.0, 100.0, 125.0},
    };
    return rates[kind][(int)(6.0 * toc_random_uniform(random))];
}

static void start(const struct toc_instrument *instrument, double rate_hz, double first, struct sensing *ret_sensing)
{
    *ret_sensing = (struct sensing){.before = first};
    if (instrument->acceleration || instrument->corner_hz <= 0.0)
        return;
    const double w = tan(M_PI * fmin(instrument->corner_hz, 0.45 * rate_hz) / rate_hz);
    const double norm = 1.0 / (1.0 + M_SQRT2 * w + w * w);
    ret_sensing->b = norm;
    ret_sensing->a1 = 2.0 * (w * w - 1.0) * norm;
    ret_sensing->a2 = (1.0 - M_SQRT2 * w + w * w) * norm;
    ret_sensing->x1 = ret_sensing->x2 = first; /* as if the ground had always moved so: no start is heard */
}

static double hear(struct sensing *s, double x)
{
    const double y = s->b * (x - 2.0 * s->x1 + s->x2) - s->a1 * s->y1 - s->a2 * s->y2;
    s->x2 = s->x1;
    s->x1 = x;
    s->y2 = s->y1;
    s->y1 = y;
    return y;
}

static double sense(const struct toc_instrument *instrument, double rate_hz, struct sensing *s, double velocity)
{
    if (!instrument->acceleration)
        return s->b > 0.0 ? hear(s, velocity) : velocity;
    const double acceleration = (velocity - s->before) * rate_hz;
    s->before = velocity;
    return acceleration;
}

void toc_instrument_sense(const struct toc_instrument *instrument, double rate_hz, const float *velocity, size_t n,
                          float *ret_motion)
{
    struct sensing state;
    start(instrument, rate_hz, n > 0 ? velocity[0] : 0.0, &state);
    for (size_t k = 0; k < n; k++)
        ret_motion[k] = (float)sense(instrument, rate_hz, &state, velocity[k]);
}

void toc_instrument_digitise(const struct toc_instrument *instrument, double rate_hz, struct toc_random *random,
                             const float *velocity, size_t n, int32_t *ret_counts)
{
    const double hiss = instrument->self_noise * sqrt(rate_hz / 2.0);
    const double limit = instrument->limit;
    struct sensing state;

    start(instrument, rate_hz, n > 0 ? velocity[0] : 0.0, &state);
    for (size_t k = 0; k < n; k++) {
        double motion = sense(instrument, rate_hz, &state, velocity[k]);
        if (instrument->acceleration)
            motion += hiss * toc_random_normal(random);
        const double counts = motion * instrument->gain + instrument->offset_counts;
        ret_counts[k] = (int32_t)lrint(fmin(fmax(counts, -limit), limit));
    }
}
