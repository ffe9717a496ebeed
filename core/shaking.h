/*
 * What will shake where, and when: intensity, peak motion and the S arrival
 * at named places. A point source: near a long rupture it says too little,
 * and the sigma does not know that.
 */
#ifndef TOC_CORE_SHAKING_H
#define TOC_CORE_SHAKING_H

#include "core/travel.h"
#include "core/types.h"

/** A place that wants to know what will shake it. */
struct toc_target {
    char name[TOC_NAME_SIZE];
    double latitude_deg, longitude_deg;
    double mmi_limit; /* its own limit, 1..10 */
};

/**
 * Modified Mercalli intensity at a hypocentral distance: Allen, Wald and Worden (2012), J. Seismol. 16, 409-433,
 * hypocentral form, active crust, no site term:
 *   MMI = 2.085 + 1.428 M - 1.402 ln sqrt(R^2 + Rm^2) + [R > 50 km] 0.078 ln(R / 50),  Rm = -0.209 + 2.042 exp(M - 5)
 *   sigma = 0.82 + 0.37 / (1 + (R / 22.9)^2)
 * Made from M 5.0..7.9 within 300 km; used below as it stands. The result is held in 1..10.
 *
 * @param ret_sigma one sigma of the relation alone
 */
double toc_shaking_mmi(double magnitude, double hypocentral_km, double *ret_sigma);

/** Peak acceleration (m/s^2) that goes with an intensity: Worden et al. (2012), BSSA 102, 204-221, inverted:
 * log10(PGA cm/s^2) = (MMI - 1.71) / 2.08 below MMI 2, (MMI - 1.78) / 1.55 below 4.22, (MMI + 1.60) / 3.70 above. */
double toc_shaking_pga_ms2(double mmi);
/** Peak velocity (m/s), same source: (MMI - 4.62) / 2.17 below 2, (MMI - 3.78) / 1.47 below 4.56,
 * (MMI - 2.89) / 3.16 above, cm/s. */
double toc_shaking_pgv_ms(double mmi);

/**
 * One target of one event. S of the first arrival table; blind_zone is set once S is there (seconds_left <= 0):
 * no fixed radius. mmi_sigma includes the magnitude's sigma by the slope of the relation, and the distance's;
 * p_exceed is the normal tail above the target's limit. With an unknown magnitude (NAN) intensity 1, sigma 3 and
 * p_exceed 0 are given: arrival times are known before sizes.
 */
void toc_shaking_target(const struct toc_travel *travel, const struct toc_target *target,
                        const struct toc_event *event, toc_ns now, struct toc_alert_target *ret);

#endif
