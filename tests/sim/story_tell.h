/*
 * Tells a person what a daemon says while the earth of a scenario breaks:
 * each message in plain words beside the truth, each moment of the truth as
 * it comes, and a table and a map when it is over. It judges too: was there
 * an alert, and was it right? It reads no clock and no socket.
 */
#ifndef TOC_SIM_STORY_TELL_H
#define TOC_SIM_STORY_TELL_H

#include <stdbool.h>
#include <stdio.h>

#include "tests/sim/story_truth.h"

#define TOC_STORY_GOOD_KM 50.0 /* an alert that is farther off is not about this earthquake */

struct toc_telling;

/** @param story, out  borrowed until destroy. @param terminal  colours, and a line that counts down.
 * @return 0 or -ENOMEM */
int toc_telling_create(const struct toc_story *story, FILE *out, bool terminal, struct toc_telling **ret_telling);
void toc_telling_destroy(struct toc_telling *telling);

/** What a terminal shows until the next line: how long until the origin, and until the end. Nothing elsewhere. */
void toc_telling_wait(struct toc_telling *telling, toc_ns now, toc_ns until);

/** Tell the moments of the truth up to `now`. @return the next one, TOC_NS_NONE when all are told */
toc_ns toc_telling_moments(struct toc_telling *telling, toc_ns now);

/** One message of the daemon, heard at `now`. @return 0, -EBADMSG (said: not JSON, or none of the protocol's) */
int toc_telling_message(struct toc_telling *telling, const char *line, size_t length, toc_ns now);

/** The last word about this earthquake was heard. */
bool toc_telling_is_over(const struct toc_telling *telling);

/** The table and the map. @return an alert about this earthquake came, and still stands; if not, it is said why */
bool toc_telling_end(struct toc_telling *telling);

#endif
