/*
 * See the header. Pointers change hands on the thread that runs the station;
 * memory is taken and given back by its owner alone.
 */
#include "core/seats.h"

#include <stddef.h>

#define ENDLESS_ROWS 3000u

static int sit(const struct toc_model *model, struct toc_seat *ret_seat)
{
    *ret_seat = (struct toc_seat){.model = model};
    return model ? toc_model_stream_create(model, &ret_seat->stream) : 0;
}

static void leave(struct toc_seat *seat)
{
    toc_model_stream_destroy(seat->stream);
    *seat = (struct toc_seat){0};
}

int toc_seats_init(struct toc_seats *seats, const struct toc_model *live, const struct toc_model *shadow)
{
    int r;

    *seats = (struct toc_seats){0};
    r = sit(live, &seats->seat[TOC_SEAT_LIVE]);
    if (r == 0)
        r = sit(shadow, &seats->seat[TOC_SEAT_SHADOW]);
    return r;
}

void toc_seats_finish(struct toc_seats *seats)
{
    for (int i = 0; i < TOC_SEATS; i++)
        leave(&seats->seat[i]);
    leave(&seats->retired);
    leave(&seats->heir.seat);
    leave(&seats->shadow.seat);
}

int toc_seats_offer(struct toc_seats *seats, enum toc_seat_name name, const struct toc_model *model)
{
    struct toc_seat_offer *offer = name == TOC_SEAT_SHADOW ? &seats->shadow : &seats->heir;
    struct toc_seat seat;
    int r = sit(model, &seat);

    if (r < 0)
        return r;
    leave(&offer->seat);
    *offer = (struct toc_seat_offer){.seat = seat, .waits = true};
    return 0;
}

static void take(struct toc_seat_offer *offer, struct toc_seat *seat)
{
    leave(seat);
    *seat = offer->seat;
    *offer = (struct toc_seat_offer){0};
}

void toc_seats_settle(struct toc_seats *seats)
{
    leave(&seats->retired);
    if (seats->shadow.waits)
        take(&seats->shadow, &seats->seat[TOC_SEAT_SHADOW]);
    if (!seats->heir.waits)
        return;
    take(&seats->heir, &seats->seat[TOC_SEAT_HEIR]);
    if (!seats->seat[TOC_SEAT_HEIR].model) /* none is wanted: the classical picker listens anyway */
        leave(&seats->seat[TOC_SEAT_LIVE]);
}

static void hand_over(struct toc_seats *seats)
{
    seats->retired = seats->seat[TOC_SEAT_LIVE];
    seats->seat[TOC_SEAT_LIVE] = seats->seat[TOC_SEAT_HEIR];
    seats->seat[TOC_SEAT_HEIR] = (struct toc_seat){0};
}

bool toc_seats_force(struct toc_seats *seats)
{
    if (!seats->seat[TOC_SEAT_HEIR].model)
        return false;
    hand_over(seats);
    toc_seats_settle(seats);
    return true;
}

bool toc_seats_hold(const struct toc_seats *seats, const struct toc_model *model)
{
    for (int i = 0; i < TOC_SEATS; i++)
        if (seats->seat[i].model == model)
            return true;
    return seats->retired.model == model || seats->heir.seat.model == model || seats->shadow.seat.model == model;
}

bool toc_seats_changing(const struct toc_seats *seats)
{
    return seats->heir.waits || seats->seat[TOC_SEAT_HEIR].model;
}

void toc_seats_reset(struct toc_seats *seats)
{
    if (seats->seat[TOC_SEAT_HEIR].model)
        hand_over(seats);
    for (int i = 0; i < TOC_SEATS; i++)
        if (seats->seat[i].model) {
            toc_model_stream_reset(seats->seat[i].stream);
            seats->seat[i].rows = 0;
        }
}

/* A state that never ends has forgotten its beginning after half a minute. */
static uint64_t enough(const struct toc_model *model)
{
    uint32_t context = toc_model_context(model);

    return context < ENDLESS_ROWS ? context : ENDLESS_ROWS;
}

void toc_seats_succeed(struct toc_seats *seats)
{
    const struct toc_seat *heir = &seats->seat[TOC_SEAT_HEIR], *live = &seats->seat[TOC_SEAT_LIVE];

    if (heir->model && heir->rows > 0 && (heir->rows >= enough(heir->model) ||
                                          (live->model && heir->rows >= live->rows)))
        hand_over(seats);
}
