/*
 * When a record reaches the centre: latency of the station's link (lognormal
 * around its own median) and now and then a stall, after which all that
 * waited comes at once. Records of one site never overtake each other.
 */
#ifndef TOC_SIM_TELEMETRY_H
#define TOC_SIM_TELEMETRY_H

#include "tests/sim/scenario.h"

struct toc_telemetry;

/** @param scenario borrowed until destroy. @return 0 or -ENOMEM */
int toc_telemetry_create(const struct toc_scenario *scenario, struct toc_telemetry **ret_telemetry);
void toc_telemetry_destroy(struct toc_telemetry *telemetry);

/** Arrival of the next record of a site; `end` (of its last sample) must not go back from call to call of one site. */
toc_ns toc_telemetry_arrival(struct toc_telemetry *telemetry, size_t site, toc_ns end);

#endif
