/*
 * One magnitude and one score from all that is known of an event. Two
 * voices per station, the LSTM and the classical relation, are weighed
 * against each other; stations are weighed among themselves; the score says
 * in five named terms how much the whole deserves to be said aloud.
 *
 * Station magnitude
 *   m = (w1 m1 / s1^2 + w2 m2 / s2^2) / (w1 / s1^2 + w2 / s2^2),  w1 = lstm_weight, w2 = 1 - lstm_weight
 *   s^2 = 1 / ((w1 / s1^2 + w2 / s2^2) / max(w1, w2))  +  (m1 - m2)^2 w1' w2',  w' the shares: two voices that disagree
 *   know less, and two that agree are not two independent ones.
 * Event magnitude
 *   weight_i = d_i / (s_i^2 + 0.25^2),  d = a^2 / (a^2 + 1), a = seconds after P: half weight at one second.
 *   Start at the weighted median, then Huber (k = 1.5 of each station's own sigma + 0.25), 5 steps.
 *   sigma^2 = between_sigma^2 + 1 / sum(weight) + scatter^2 / effective number of stations
 *   One site counts once: its weight is shared among its groups.
 *   A saturated station is a lower bound only: it enters when it pulls the event up, not down. When saturated stations
 *   hold more than half of the weight, magnitude_at_least is set.
 *
 * Score = product of term^exponent, each term in 0..1 and monotone in what it names, so the score is monotone in
 * each; a product, because an alert needs all of them: no number of stations makes up for times that do not fit.
 *   evidence  ^0.15   1 - product over used P picks of (1 - 0.7 p): p the pick's probability; S of the same site adds
 *                     as one more with 0.35 p
 *   stations  ^0.35   1 - exp(-(n - 1) / 2): n used P sites: 2: 0.39, 3: 0.63, 4: 0.78, 6: 0.92
 *   residual  ^0.25   1 / (1 + (rms / 0.8 s)^2) x share of the picks that are used
 *   expected  ^0.25   (expected - missing + 1) / (expected + 1): Laplace's rule, so one quiet site of three hurts
 *                     less than four of twelve
 *   magnitude ^0.10   1 / (1 + sigma^2), 0.5 when unknown
 * The exponents sum to 1.1 on purpose: at all terms 0.8 the score is 0.78. Limits of use: it ranks, it is not a
 * calibrated probability.
 */
#ifndef TOC_CORE_FUSION_H
#define TOC_CORE_FUSION_H

#include <stddef.h>

#include "core/settings.h"
#include "core/station.h"
#include "core/types.h"

/**
 * Fill n_magnitudes, magnitudes, magnitude, magnitude_sigma, magnitude_at_least, score and terms of a located event.
 *
 * @param estimates the latest step per pick, any order; those of picks the event does not hold are skipped
 * @param sites     index = estimate->site (elevation and place; may be shorter: then unused)
 * @param now       not used for amplitudes; kept so that all stages look alike
 */
void toc_fusion_update(const struct toc_fusion_settings *settings, struct toc_event *event,
                       const struct toc_estimate *estimates, size_t n_estimates, const struct toc_site *sites,
                       size_t n_sites, toc_ns now);

/** The product above, from event->terms alone. 0..1. */
double toc_fusion_score(const struct toc_score_terms *terms);

#endif
