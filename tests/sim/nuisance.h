/*
 * What stations record besides earthquakes and the sea: things of the ground
 * (footsteps, a vehicle) and things of the electronics (spikes, steps,
 * calibration, recentring, lost packets). In a scenario a few in ten minutes at some
 * sensors, none at others, by the sensor's seed; one by one for training.
 */
#ifndef TOC_SIM_NUISANCE_H
#define TOC_SIM_NUISANCE_H

#include "tests/sim/scenario.h"

enum toc_nuisance_kind {
    TOC_NUISANCE_FOOTSTEPS,
    TOC_NUISANCE_VEHICLE,
    TOC_NUISANCE_SPIKE,
    TOC_NUISANCE_STEP,
    TOC_NUISANCE_PULSE,    /* a step through the calibration coil */
    TOC_NUISANCE_SINE,     /* a sine through it, for seconds to minutes */
    TOC_NUISANCE_RECENTRE, /* masses driven to the end and back */
    TOC_NUISANCE_GAP,      /* samples lost; what comes after may be offset */
    TOC_NUISANCE_KINDS
};

/** Add footsteps to ground velocity. */
void toc_nuisance_ground(const struct toc_scenario_sensor *sensor, float *const enz[3]);

/** Add spikes, steps and calibration pulses to counts, within the digitiser's range. */
void toc_nuisance_electric(const struct toc_scenario_sensor *sensor, int32_t *const counts[3]);

/** Footsteps or a vehicle from sample `at` on. Other kinds: nothing. */
void toc_nuisance_add_ground(enum toc_nuisance_kind kind, const struct toc_scenario_sensor *sensor,
                             struct toc_random *random, size_t at, float *const enz[3]);

/** One of the others from sample `at` on, within the digitiser's range.
 * @return how many samples from `at` on are lost: 0 but for a gap */
size_t toc_nuisance_add_electric(enum toc_nuisance_kind kind, const struct toc_scenario_sensor *sensor,
                                 struct toc_random *random, size_t at, int32_t *const counts[3]);

#endif
