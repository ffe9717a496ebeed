/*
 * What stations record besides earthquakes and the sea: things of the ground
 * (footsteps) and things of the electronics (spikes, steps, calibration
 * pulses). A few in ten minutes at some sensors, none at others, by the sensor's seed.
 */
#ifndef TOC_SIM_NUISANCE_H
#define TOC_SIM_NUISANCE_H

#include "tests/sim/scenario.h"

/** Add footsteps to ground velocity. */
void toc_nuisance_ground(const struct toc_scenario_sensor *sensor, float *const enz[3]);

/** Add spikes, steps and calibration pulses to counts, within the digitiser's range. */
void toc_nuisance_electric(const struct toc_scenario_sensor *sensor, int32_t *const counts[3]);

#endif
