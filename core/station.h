/*
 * Who is listening: channels with their place, orientation and gain by
 * epoch (the inventory), and station groups, the units that pick: three
 * components of one sensor (ZNE, Z12, or Z alone). A site is a NET_STA;
 * several groups (HH and HN on one pier) share it and count once.
 */
#ifndef TOC_CORE_STATION_H
#define TOC_CORE_STATION_H

#include <stddef.h>
#include <stdint.h>

#include "core/types.h"

enum toc_unit { TOC_UNIT_UNKNOWN, TOC_UNIT_DISPLACEMENT, TOC_UNIT_VELOCITY, TOC_UNIT_ACCELERATION };

/** One channel epoch. scale is counts per `unit` (SI: m, m/s, m/s^2), NAN when unknown: never guessed. */
struct toc_channel {
    char sid[TOC_SID_SIZE];      /* FDSN:NET_STA_LOC_B_S_SS */
    double latitude_deg, longitude_deg; /* NAN unknown: the channel is read, and never located with */
    double elevation_m, depth_m;
    double azimuth_deg, dip_deg; /* clockwise from north; positive down (Z up = -90); NAN unknown */
    double scale;
    enum toc_unit unit;
    double rate_hz;              /* NAN unknown */
    toc_ns start, end;           /* half open; TOC_NS_NONE: open */
};

/** Channels, sorted by sid then start. */
struct toc_inventory {
    struct toc_channel *channels; /* owned */
    size_t n;
};

/** Where an inventory text was refused. */
struct toc_parse_error {
    int line, column;  /* from 1; column 0 when it is the whole line */
    char text[160];
};

/**
 * Parse FDSN station text (level=channel, '|' separated, '#' comments). The whole text is refused on the first
 * bad line: half an inventory is worse than the old one.
 *
 * @param text          not necessarily NUL terminated
 * @param ret_inventory owned by the caller, toc_inventory_finish(); untouched on error
 * @param ret_error     filled on -EINVAL
 * @return 0, -EINVAL, -E2BIG (over 100,000 channels), -ENOMEM
 */
int toc_inventory_parse_text(const char *text, size_t len, struct toc_inventory *ret_inventory,
                             struct toc_parse_error *ret_error);

void toc_inventory_finish(struct toc_inventory *inventory);

/** The epoch of a channel that holds at `time`. @return borrowed from the inventory, or NULL. */
const struct toc_channel *toc_inventory_find(const struct toc_inventory *inventory, const char *sid, toc_ns time);

/** The epochs of a channel, or the channels of a group, lie next to each other. @return index of the first channel whose sid
 * is not before `sid` in the order of bytes; inventory->n: none */
size_t toc_inventory_from(const struct toc_inventory *inventory, const char *sid);

/** Does this epoch hold at `time`? */
bool toc_channel_holds(const struct toc_channel *channel, toc_ns time);

/** "CI","CCC","","HHZ" -> "FDSN:CI_CCC__H_H_Z". Codes are A-Z 0-9 ('-' too in station and location), channel
 * exactly three. @return 0 or -EINVAL (log injection and surprises stop here). */
int toc_sid_make(const char *net, const char *sta, const char *loc, const char *cha, char ret_sid[TOC_SID_SIZE]);

/** Component letter of a channel sid (its last character: Z, N, E, 1, 2, 3). */
char toc_sid_component(const char *sid);

/** Group sid of a channel sid: the last "_X" removed ("FDSN:CI_CCC__H_H"). */
void toc_sid_group(const char *sid, char ret_group[TOC_SID_SIZE]);

/** Site part of any sid: "NET_STA" written to ret_site. */
void toc_sid_site(const char *sid, char ret_site[TOC_SID_SIZE]);

/** One reason why a group is, or is not, used. */
enum toc_station_status {
    TOC_STATION_OK = 0,
    TOC_STATION_NO_DATA,     /* nothing came yet */
    TOC_STATION_STALE,       /* data stopped */
    TOC_STATION_WARMING,     /* filters settle after a start or a gap */
    TOC_STATION_NO_METADATA, /* no coordinates: cannot be used */
    TOC_STATION_NO_VERTICAL, /* the Z component is missing */
    TOC_STATION_LOW_RATE,    /* below 20 Hz: not for early warning */
    TOC_STATION_LATE,        /* newest data older than 30 s */
    TOC_STATION_CLIPPED,     /* picks count, amplitudes do not */
    TOC_STATION_FLAT,        /* a constant: dead sensor */
    TOC_STATION_NOISY,       /* picks too often what nobody else has: its picks count for less (core/associator.h) */
    TOC_STATION_STATUS_COUNT
};

/** Static text of a status ("ok", "no data", ...). */
const char *toc_station_status_str(enum toc_station_status status);

/** Where a site is and how far its data have come; what associator and locator see of the network. */
struct toc_site {
    char name[TOC_SID_SIZE]; /* NET_STA */
    double latitude_deg, longitude_deg;
    double elevation_km;
    bool usable;             /* at least one group is TOC_STATION_OK, CLIPPED or NOISY */
    double lone_rate_hz;     /* how often it picks P that belong to no event; 0: as any */
    toc_ns picked_until;     /* the picker has seen all data up to here; TOC_NS_NONE nothing */
};

#endif
