/*
 * From ground velocity to counts: a velocity sensor or an accelerometer with
 * gain, self-noise, offset and an end of its range. The response is taken
 * as flat (broadband sensors are, from 120 s to near Nyquist).
 */
#ifndef TOC_SIM_INSTRUMENT_H
#define TOC_SIM_INSTRUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/random.h"

#define TOC_COUNTS_24BIT 8388607

struct toc_instrument {
    bool acceleration;
    double gain;           /* counts per m/s or m/s^2 */
    int32_t limit;         /* largest absolute count: beyond it clips */
    double self_noise;     /* of an accelerometer, (m/s^2)/sqrt(Hz), white */
    double offset_counts;
};

/** A random field instrument, 24 bits or (some accelerometers) 16. */
void toc_instrument_draw(struct toc_random *random, bool acceleration, struct toc_instrument *ret_instrument);

/** Digitise ground velocity (m/s). Acceleration is the difference of neighbours: half a sample late. */
void toc_instrument_digitise(const struct toc_instrument *instrument, double rate_hz, struct toc_random *random,
                             const float *velocity, size_t n, int32_t *ret_counts);

#endif
