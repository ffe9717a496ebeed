/*
 * From ground velocity to counts: a velocity sensor or an accelerometer with
 * gain, self-noise, offset, an end of its range, and (velocity) a corner
 * below which it hears less and less: two poles, as seismometers have.
 */
#ifndef TOC_SIM_INSTRUMENT_H
#define TOC_SIM_INSTRUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/random.h"

#define TOC_COUNTS_24BIT 8388607

enum toc_instrument_kind {
    TOC_INSTRUMENT_BROADBAND,    /* velocity, flat from 30..120 s */
    TOC_INSTRUMENT_SHORT_PERIOD, /* velocity, flat from 1..4.5 Hz: geophones */
    TOC_INSTRUMENT_STRONG,       /* force-balance acceleration, 24 bits, 2 to 4 g */
    TOC_INSTRUMENT_MEMS,         /* small and cheap acceleration, 16 to 20 bits, 2 to 4 g, noisy */
    TOC_INSTRUMENT_KINDS
};

struct toc_instrument {
    bool acceleration;
    double gain;           /* counts per m/s or m/s^2, where the response is flat */
    int32_t limit;         /* largest absolute count: beyond it clips */
    double corner_hz;      /* of a velocity sensor, damping 0.707; 0: flat down to nothing */
    double self_noise;     /* of an accelerometer, (m/s^2)/sqrt(Hz), white */
    double offset_counts;
};

/** A random field instrument. */
void toc_instrument_draw(struct toc_random *random, enum toc_instrument_kind kind,
                         struct toc_instrument *ret_instrument);

/** A sampling rate such instruments run at, 20 to 250 Hz. */
double toc_instrument_rate_draw(struct toc_random *random, enum toc_instrument_kind kind);

/** What the sensor puts out for ground velocity (m/s), in m/s or m/s^2, before noise, offset and limit. Acceleration is
 * the difference of neighbours: half a sample late. */
void toc_instrument_sense(const struct toc_instrument *instrument, double rate_hz, const float *velocity, size_t n,
                          float *ret_motion);

/** Sense and digitise. @param random for the self-noise */
void toc_instrument_digitise(const struct toc_instrument *instrument, double rate_hz, struct toc_random *random,
                             const float *velocity, size_t n, int32_t *ret_counts);

#endif
