/*
 * The second look. A pick is said as soon as it can be; then seconds of
 * signal arrive that the first network never had when it spoke. A second
 * network sees one window around each P that was said, at 0.9, 1.9, 2.9 and
 * 3.9 s after its onset, and the pick is said again: with the probability
 * that a P onset is there, that it was an S, and with a better time. Nothing
 * waits for it. State of one station; knows nothing of any other.
 *
 * A window is TOC_SECOND_ROWS feature rows (core/window.h), TOC_SECOND_BEFORE
 * of them before the row nearest to the onset as it was said first, and an
 * eighth value that is 1 where a row was there and 0 (like the whole row)
 * where it was not: not yet, or before a restart. It ends at the look's own
 * row whatever else has arrived, so what is said does not depend on packets,
 * blocks or hops. Outputs of the network, raw:
 *   [0..2]   logits of nothing, P, S
 *   [3..]    one logit for each of TOC_SECOND_BINS places of the onset, 20 ms
 *            wide, the first from 1 s before that row
 */
#ifndef TOC_CORE_SECOND_H
#define TOC_CORE_SECOND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/model.h"
#include "core/settings.h"
#include "core/types.h"
#include "core/window.h"

#define TOC_SECOND_ROWS 640u
#define TOC_SECOND_BEFORE 240u
#define TOC_SECOND_INPUTS (TOC_FEATURES + 1)
#define TOC_SECOND_BINS 100u
#define TOC_SECOND_OUTPUTS (3u + TOC_SECOND_BINS)

/** Picks that are looked at again at once. More than 1 s apart, so only a dead_s below 1 s brings more; then the newest
 * is not looked at again: it stays as it was said. */
#define TOC_SECOND_WATCHED 6

struct toc_second;

/** @param model borrowed until destroy. @return 0, -EINVAL (inputs, length or outputs of the model do not fit), -ENOMEM
 */
int toc_second_create(const struct toc_model *model, struct toc_second **ret_second);
void toc_second_destroy(struct toc_second *second);

/** At the start and after a gap: rows of before are gone, picks of before stay as they were said last. */
void toc_second_reset(struct toc_second *second);

/** n feature rows, n <= TOC_ROWS_MAX, the first at grid index `first`; they follow those of the last call since a
 * reset. */
void toc_second_keep(struct toc_second *second, int64_t first, const float *rows, uint32_t n);

/** Look at this pick again, whoever said it; S picks are looked at by nobody. @param pick copied */
void toc_second_watch(struct toc_second *second, const struct toc_pick *pick);

/** A watched pick has another id from now on. */
void toc_second_rename(struct toc_second *second, uint64_t from, uint64_t to);

/**
 * The looks that are due when rows up to grid index `end` (exclusive) count as seen, oldest onset first.
 *
 * A revision keeps id, declared, method, snr_db and polarity. Probability: of a P onset within 1 s of where it was
 * said; s_probability: that an S began there and no P. Time: the middle of the mass within 60 ms of the likeliest
 * place; sigma: half of the shortest span around it that holds 68 %, at least 0.02 s. When P is less likely than not, or
 * this sigma is not smaller than the one so far, time and sigma stay as they were. Standing: confirmed at confirm_threshold, withdrawn below withdraw_threshold, else
 * open.
 *
 * @param scratch   for TOC_SECOND_ROWS rows of the model
 * @param ret_picks room for max; a look that found no room is due again at the next call, and sees the same rows
 * @return how many
 */
size_t toc_second_look(struct toc_second *second, const struct toc_picker_settings *settings,
                       struct toc_model_scratch *scratch, int64_t end, struct toc_pick *ret_picks, size_t max);

/** What a network's answer means. @param at grid index of the window's middle row. @param pick as it was said last;
 * gets the new values (not its revision number). Exposed for tests. */
void toc_second_read(const float out[TOC_SECOND_OUTPUTS], const struct toc_picker_settings *settings, int64_t at,
                     struct toc_pick *pick);

#endif
