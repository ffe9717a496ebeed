/*
 * From the network's frames to picks. A frame is one output row of the
 * picker network; a pick is the decision that an onset was there, made once,
 * with the time and the error the network gave at that moment. No network
 * in here, and no signal: only seven numbers per 50 ms.
 *
 * Frame f (absolute, counted from 1970) has seen samples up to and including
 * grid index 5 (f + 1) - 1; its end is the time of that sample,
 * (5 (f + 1) - 1) * 10 ms.
 *
 * Raw outputs of a frame:
 *   [0..2]  logits of noise, P ("a P onset lies within the last 3 s and no S onset since"), S (2 s)
 *   [3] [4] age of the P onset at the frame's end in s; natural log of the scale b in s of its Laplace error
 *   [5] [6] the same for S
 */
#ifndef TOC_CORE_PICKER_H
#define TOC_CORE_PICKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/settings.h"
#include "core/types.h"

#define TOC_PICKER_OUTPUTS 7
#define TOC_PICKER_STRIDE 5 /* grid samples per frame */

/** What is remembered of one phase. */
struct toc_picker_phase {
    bool armed;      /* may declare */
    bool said;       /* has declared since the reset; then: */
    toc_ns declared; /* when last */
    toc_ns time;     /* and for which onset */
    uint32_t held;   /* frames in a row above the lower level */
};

/** State of one group; a plain value. */
struct toc_picker {
    struct toc_picker_phase phase[2]; /* by enum toc_phase */
    int64_t next_frame;               /* the one that follows what was seen; another one breaks `held` */
};

/**
 * The settings with the thresholds of one layout in p_threshold and s_threshold, as toc_picker_extract() wants them: the
 * operator's for the layout, else the operator's for all, else the model's for the layout, else 0.9 and 0.88.
 *
 * @param suggested  by phase and layout, NAN none (core/manifest.h); NULL none at all
 */
struct toc_picker_settings toc_picker_settings_for(const struct toc_picker_settings *settings,
                                                   const double suggested[2][TOC_LAYOUTS], enum toc_layout layout);

/** At the start and after a gap: forget everything. */
void toc_picker_reset(struct toc_picker *picker);

/**
 * Picks of a run of frames.
 *
 * Declared when the probability (softmax) reaches the phase's threshold, or when its logit-odds have stayed above those
 * of the threshold less 1.5 for 0.5 s. Time = frame end - age (0..4 s), sigma = sqrt(2) b within 0.03..1 s. Not
 * declared again within dead_s, of declaration or of onset, nor before the probability fell below half of the threshold
 * or the onset moved on by more than 2 s, nor within 4.5 s of the last onset with a sigma above 0.5 s. P and S know
 * nothing of each other.
 *
 * Declares in the warm-up too, so that a stream that starts inside a coda is not declared at its end: the caller, who
 * knows when the stream started, drops picks that lie in it.
 *
 * @param settings     thresholds are numbers
 * @param frames       [n][TOC_PICKER_OUTPUTS]; a frame with a value that is not finite says nothing
 * @param first_frame  absolute index of frames[0]
 * @param ret_picks    room for max; id, group, site are 0 and snr_db NAN: the caller's to fill
 * @return number of picks; what found no room is declared by a later frame, if still due
 */
size_t toc_picker_extract(struct toc_picker *picker, const struct toc_picker_settings *settings, const float *frames,
                          size_t n, int64_t first_frame, struct toc_pick *ret_picks, size_t max);

#endif
