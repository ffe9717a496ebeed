/*
 * The picker networks of one station: the live one, which decides; an heir,
 * which runs beside it until it has heard as much as the network looks back
 * on and then takes its seat without a row lost; and a shadow, which only
 * says what it would have said. All read the same feature rows.
 *
 *   owner's thread    offer, settle, hold                    (settle only while nobody runs the station)
 *   who runs it       feed (counts rows), succeed, reset
 */
#ifndef TOC_CORE_SEATS_H
#define TOC_CORE_SEATS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/model.h"

enum toc_seat_name { TOC_SEAT_LIVE, TOC_SEAT_HEIR, TOC_SEAT_SHADOW, TOC_SEATS };

struct toc_seat {
    const struct toc_model *model;   /* borrowed; NULL: empty */
    struct toc_model_stream *stream; /* owned */
    uint64_t rows;                   /* since zero state */
};

/* What the owner has in hand for a seat. */
struct toc_seat_offer {
    struct toc_seat seat;
    bool waits;
};

struct toc_seats {
    struct toc_seat seat[TOC_SEATS];
    struct toc_seat retired;            /* the old live one, left for the owner */
    struct toc_seat_offer heir, shadow; /* the owner's */
};

/** @param live, shadow  borrowed; NULL: none. @return 0, -EINVAL (not causal), -E2BIG, -ENOMEM */
int toc_seats_init(struct toc_seats *seats, const struct toc_model *live, const struct toc_model *shadow);
void toc_seats_finish(struct toc_seats *seats);

/** A new live network (by way of the heir's seat) or shadow; NULL: none from the next settle on. What was offered before
 * and not settled is forgotten. @param name TOC_SEAT_LIVE or TOC_SEAT_SHADOW. @return as toc_seats_init(); nothing changed */
int toc_seats_offer(struct toc_seats *seats, enum toc_seat_name name, const struct toc_model *model);
/** Take what was offered, free what was retired. Allocates nothing. */
void toc_seats_settle(struct toc_seats *seats);
/** The heir takes over now, however little it heard (nothing comes any more). @return true: there was one */
bool toc_seats_force(struct toc_seats *seats);
/** Somebody still sits there, or was offered a seat, with this model. */
bool toc_seats_hold(const struct toc_seats *seats, const struct toc_model *model);
/** A change of the live network is not yet done. */
bool toc_seats_changing(const struct toc_seats *seats);

/** After a gap: all begin anew, so the heir is as good as the live one and takes over. */
void toc_seats_reset(struct toc_seats *seats);
/** Before a block: the heir takes over if it has heard all it looks back on, or no less than the live one. */
void toc_seats_succeed(struct toc_seats *seats);

#endif
