/* The places of a scenario: a jittered grid, or what a station text names. See scenario.h for the structures. */
#ifndef TOC_SIM_NETWORK_H
#define TOC_SIM_NETWORK_H

#include "tests/sim/scenario.h"

/** Fill sites and sensors of an empty scenario; what was allocated stays with the scenario, also on failure.
 * @return 0, -EINVAL (ret_why says it), -ENOMEM */
int toc_network_make(const struct toc_scenario_options *options, struct toc_scenario *scenario, char *ret_why,
                     size_t why_size);

#endif
