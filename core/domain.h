/*
 * What made this arrival: a local quake, a teleseism, a blast, noise, or the
 * instrument itself (calibration, steps, spikes). A P pick is followed from
 * its first tenth of a second on; a few dozen ratios of the raw components
 * tell the kinds apart, and a very small network that is compiled in
 * (core/domain_weights.h) says how sure that is. Gain, unit and offset drop
 * out. It knows nothing of other stations. A plain value of fixed size.
 *
 * Bands are octaves from 0.5 Hz on (Butterworth, order 2 each edge); "wide" is high-passed at 1 Hz, "raw" is less its mean
 * before the onset. Powers are mean squares over the live components, noise up to 0.1 s before the onset, signal from there on.
 *
 *   0       log10 of the seconds since the onset
 *   1..6    log10 amplitude of signal over noise, by band: what the arrival added
 *   7..12   log10 amplitude of what was added, by band, less the strongest of them: its colour
 *   13 14   share of the strongest component, and of the vertical, in what was added (wide); 1 and 0.5 with one component
 *   15      1 when there is one component, else 0
 *   16      share of the densest 50 ms in the energy since the onset (wide): a spike has it all
 *   17      log10 amplitude of the newest 0.1 s over the strongest 0.1 s (wide): a short burst is over
 *   18 19   log10 of what two samples leave unexplained of the next one (least squares from 0.12 s after the onset), and of the
 *           frequency of zero crossings: one pure tone leaves nothing (the wide component with the most added)
 *   20      |mean| over RMS of the raw signal of the component with the largest excursion: a step is one-sided
 *   21      log10 of its largest excursion over the RMS before
 *   22      log10 of its largest jump from sample to sample over that excursion
 *   23      log10 amplitude of the loudest 0.1 s before the onset over the noise (wide): a restless place
 *   24      log10 amplitude of the first 0.2 s over all since the onset (wide): how sudden
 *   25      share of samples since the onset that equal the one before on all components: a dead line
 *   26 27   log10 amplitude over the noise of the jumps from sample to sample: without the densest 0.1 s, and in it. A spike or
 *           a step is one jump in the same noise as before
 */
#ifndef TOC_CORE_DOMAIN_H
#define TOC_CORE_DOMAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/types.h"
#include "core/window.h"

#define TOC_DOMAIN_BANDS 6
#define TOC_DOMAIN_MEASURES 28
#define TOC_DOMAIN_NOISE_ROWS 300 /* rows before the onset it asks for; with less than 100 it says nothing */
#define TOC_DOMAIN_ROWS_MAX 400   /* since the onset: what comes after 4 s changes nothing any more */

/** One followed arrival. */
struct toc_domain {
    int64_t onset, index;    /* grid indices: of the onset, and of the next row */
    bool started;
    bool live[TOC_COMPONENTS];
    uint32_t n_noise, n;     /* rows before, and since the onset */
    double offset[4], last[4];
    double high_z[TOC_DOMAIN_BANDS + 1][2][4], low_z[TOC_DOMAIN_BANDS][2][4]; /* filters: bands, then wide */
    double noise_band[TOC_DOMAIN_BANDS][4], signal_band[TOC_DOMAIN_BANDS][4]; /* sums of squares */
    double noise_wide[4], noise_raw[4], noise_sum[4];
    double signal_raw[4], signal_sum[4], signal_wide[4];
    double own[4], one[4], two[4], lag_one[4], lag_two[4], lag_both[4]; /* products of a wide sample and the two before */
    double last_wide[2][4];
    double peak[4], jump[4]; /* raw */
    double recent[5];        /* wide energy of the last samples, by n % 5 */
    double step, step_most, step_last, noise_most; /* wide energy of a tenth of a second */
    double densest, first;
    double noise_jumps, jumps, recent_jumps[10], densest_jumps; /* energies, recent by n % 10 */
    uint32_t equal;
};

/** A new arrival.
 * @param onset  grid index of its first sample
 * @param first  of the first row that will be pushed: TOC_DOMAIN_NOISE_ROWS before the onset, or as early as there is one */
void toc_domain_start(struct toc_domain *domain, int64_t onset, int64_t first);

/** The next row of the group, none left out. A component that is missing (NAN) once is left out for good. */
void toc_domain_push(struct toc_domain *domain, const float enz[TOC_COMPONENTS]);

/** The ratios above, all finite. @return false (nothing written): too little noise, nothing since the onset, or dead */
bool toc_domain_measure(const struct toc_domain *domain, float ret_measures[TOC_DOMAIN_MEASURES]);

/** What it is by now; TOC_DOMAIN_UNKNOWN with probability 0 when there is nothing to measure. */
struct toc_verdict toc_domain_judge(const struct toc_domain *domain);

/** Static text of a class: "local quake", "teleseism", "blast", "noise", "calibration", "unknown". */
const char *toc_domain_str(enum toc_domain_class kind);

#endif
