/*
 * Single-station records for training: what a sensor says of one made-up
 * happening, in SI units after the digitiser. A plain binary file,
 * little-endian, no file header; one record after another, until the end of
 * the file:
 *
 *   struct toc_record_head      64 bytes, below
 *   float32  rows[n_samples][3] E, N, Z in m/s or m/s^2; NAN where samples were lost
 *   uint8    clipped[n_samples] 1: a component stands at the end of its range
 *
 * What is random in a record follows from the seed and its number alone. The
 * file does not say what noise there was: that is in the seconds before P.
 */
#ifndef TOC_SIM_RECORDS_H
#define TOC_SIM_RECORDS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/sim/instrument.h"
#include "tests/sim/region.h"

#define TOC_RECORD_NONE (-1) /* no such onset; the record's own choice */

enum toc_record_kind {
    TOC_RECORD_QUAKE,     /* a local or regional one */
    TOC_RECORD_TWO,       /* two of them, the second while the first is still to be seen */
    TOC_RECORD_TELESEISM, /* M 5.8 to 8.5 at 30 to 95 degrees: P, pP, sP and their coda; S comes after any record */
    TOC_RECORD_BLAST,     /* a quarry, M 0.8 to 3.5: ripple fire at the surface, 2 to 150 km */
    TOC_RECORD_NUISANCE,  /* no quake: see enum toc_nuisance_kind */
    TOC_RECORD_KINDS
};

struct toc_record_head {
    uint32_t n_samples;
    uint32_t kind;         /* enum toc_record_kind */
    uint32_t instrument;   /* enum toc_instrument_kind */
    uint32_t acceleration; /* 1: rows are m/s^2, 0: m/s */
    uint32_t region;       /* index for toc_region_at(); of a nuisance enum toc_nuisance_kind; of a teleseism 0 */
    float rate_hz;
    float magnitude;       /* as catalogues have it, see quake.h */
    float hypocentral_km, epicentral_km, depth_km;
    float clip;            /* size in rows' units at which the sensor or digitiser clips */
    int32_t p_index;       /* first sample at or after the P onset, or TOC_RECORD_NONE */
    int32_t s_index;       /* the same of S; may lie beyond the end */
    float magnitude2;      /* of a second quake, or NAN */
    int32_t p2_index;      /* its P; of a nuisance its beginning; or TOC_RECORD_NONE */
    int32_t s2_index;
};

/** What to make. Zero is not a default: start with toc_records_defaults(). */
struct toc_records_options {
    uint64_t seed;
    enum toc_record_kind kind;
    double rate_hz;        /* 20..250, or 0: drawn, as suits the instrument */
    double before_s, after_s; /* around the P onset: 2..300, 5..600 */
    bool noise;            /* false: the ground is silent, and the sensor too; it still clips and rounds */
    int instrument;        /* enum toc_instrument_kind, or TOC_RECORD_NONE: drawn */
    int region;            /* or TOC_RECORD_NONE: drawn */
    double least_magnitude, most_magnitude; /* of local quakes: flat between; 0..9 */
    double least_km, most_km;               /* of theirs: hypocentral, log-flat between; 1..500 */
};

/** One that is given instead of drawn; NAN, TOC_RECORD_NONE: drawn after all. */
struct toc_record_place {
    double magnitude, hypocentral_km;
    int region;
};

struct toc_records;

/** Quakes of M 1 to 8 at 5 to 200 km, California's and others' alike, 100 Hz, 10 s before P to 25 s after, with noise. */
void toc_records_defaults(struct toc_records_options *ret_options);

/** @return 0, -EINVAL (something out of its range), -ENOMEM */
int toc_records_create(const struct toc_records_options *options, struct toc_records **ret_records);
void toc_records_destroy(struct toc_records *records);

/** The most samples a record of these options can have: what make() needs room for. */
size_t toc_records_max_samples(const struct toc_records *records);

/** Make record number `index`: the same whatever was made before. @param place NULL: drawn. @return 0 or -ENOMEM */
int toc_records_make(struct toc_records *records, uint64_t index, const struct toc_record_place *place,
                     struct toc_record_head *ret_head, float (*ret_rows)[3], uint8_t *ret_clipped);

/** As make(), but ret_rows is the ground's velocity in m/s, without noise and instrument. */
int toc_records_make_ground(struct toc_records *records, uint64_t index, const struct toc_record_place *place,
                            struct toc_record_head *ret_head, float (*ret_rows)[3]);

/** Write records first..first+count-1. @param places [count] or NULL: all drawn. @return 0, -EIO, -ENOMEM */
int toc_records_write(struct toc_records *records, uint64_t first, uint64_t count,
                      const struct toc_record_place *places, FILE *file);

#endif
