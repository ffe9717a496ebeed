/*
 * The layered earth that simulated waves cross, as travel-time tables of
 * core/travel.h: southern California after Hadley and Kanamori (1977), Vp/Vs
 * sqrt(3). A daemon under test may well be configured with another one.
 */
#ifndef TOC_SIM_EARTH_H
#define TOC_SIM_EARTH_H

#include "core/travel.h"

/** Tables to 1000 km and 160 km depth. @return as toc_travel_create() */
int toc_earth_create(struct toc_travel **ret_travel);

#endif
