/*
 * One magnitude and one score from all that is known of an event. Two
 * voices per station, the LSTM and the classical relation, are weighed
 * against each other; stations are weighed among themselves; the score says
 * in five named terms how much the whole deserves to be said aloud.
 *
 * Station magnitude, of group i of the event (P picks only)
 *   w1 = lstm_weight / s1^2, w2 = (1 - lstm_weight) / s2^2        network and classical, each with its own sigma
 *   m  = (w1 m1 + w2 m2) / (w1 + w2)
 *   s^2 = 1 / (w1 + w2) + (m1 - m2)^2 w1 w2 / (w1 + w2)^2         two that agree have heard the same seconds and know no
 *         more than one; two that disagree know less
 *   A voice that is not there leaves the word to the other. s1 is held in 0.15..2. m1 and s1 are what the network says at the
 *   distance of the origin, s1 with what the origin does not know of it (core/estimator.h).
 *   upper = m1 + 2 times its sigma above, or m2 + 2 s2, weighed alike: the quake is larger in about one case of 40.
 *   Saturated: it clipped, or its upper is more than the seconds it has can tell (toc_pparam_largest).
 * Event magnitude
 *   v_i = d_i u_i / (s_i^2 + 0.25^2),  d = a^2 / (1 + a^2) with a seconds after P: half at one second, 0.9 at three;
 *         0.25 is the scatter between stations.  u = 1 / number of groups heard at the site: a site is one witness; a
 *         saturated group is not heard next to an unsaturated one of its site.
 *   Start at the weighted median, then five Huber steps with k = 1.5 of sqrt(s_i^2 + 0.25^2).
 *   sigma^2 = between_sigma^2 + the larger of 1 / sum(v_i h_i) (what the stations claim) and scatter^2 / n_eff (what
 *             they show);  h the Huber factor, scatter the weighted spread about the mean, n_eff = (sum v)^2 / sum v^2
 *   A saturated station is a lower bound: it is heard when it lies above the mean of the others, and not when below.
 *   When saturated stations hold more than half of all v, magnitude_at_least is set, and there is no upper bound. Else it is
 *   the mean of those of the stations by v_i, or M + 2 sigma when that is more: they all hear the same growing rupture.
 *
 * Score = product of term^exponent. Every term lies in 0..1 and rises with what it names, so the score does too. A
 * product and no sum, because an alert needs all of them: no number of stations makes up for times that do not fit.
 *   evidence  ^0.3   1 - product over used P picks of (1 - 0.7 p), p their probability; a used S adds (1 - 0.35 p)
 *   stations  ^0.5   1 - exp(-(n - 1) / 2), n the sites of used P picks: 2: 0.39, 3: 0.63, 4: 0.78, 6: 0.92
 *   residual  ^0.5   1 / (1 + (rms / 0.8 s)^2) times the share of the picks an origin may use that it does use
 *   expected  ^0.7   (picked + 1) / (expected + 1): one quiet site of three hurts less than four of twelve
 *   magnitude ^0.2   1 / (1 + sigma^2); 0.5 while no magnitude is known
 * Four good sites give 0.8; the same with half of the expected ones quiet 0.5, with all but 15 % quiet 0.2.
 * It ranks; it is no calibrated probability.
 */
#ifndef TOC_CORE_FUSION_H
#define TOC_CORE_FUSION_H

#include <stddef.h>

#include "core/settings.h"
#include "core/station.h"
#include "core/types.h"

/**
 * Fill domain (the mean of what its P picks, one a site, are by now: the class with the most votes, UNKNOWN below half;
 * foreign the mean of theirs), n_magnitudes, magnitudes, magnitude, magnitude_sigma, magnitude_upper (NAN when no station has
 * one), magnitude_at_least,
 * score and terms of a located event.
 *
 * @param estimates the latest step per pick, any order; those of picks the event does not hold as P are skipped
 * @param sites     not used: distances are those the locator left in the event
 * @param now       not used; all stages look alike
 */
void toc_fusion_update(const struct toc_fusion_settings *settings, struct toc_event *event,
                       const struct toc_estimate *estimates, size_t n_estimates, const struct toc_site *sites,
                       size_t n_sites, toc_ns now);

/** One sigma of the hypocentral distance of a station `epicentral_km` away. */
double toc_fusion_distance_sigma_km(const struct toc_origin *origin, double epicentral_km);

/** The product above. Terms are held in 0..1, NAN counts as 0. @return 0..1 */
double toc_fusion_score(const struct toc_score_terms *terms);

#endif
