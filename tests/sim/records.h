/*
 * Single-station records for training the estimator: each a quake of random
 * size and distance, seen by a random instrument in random noise, in SI units
 * after the digitiser. A plain binary file, little-endian, no file header;
 * one record after another, until the end of the file:
 *
 *   uint32   n_samples          always 3500: 100 Hz, 10 s before P to 25 s after
 *   uint32   acceleration       1: rows are m/s^2, 0: m/s
 *   float32  magnitude          moment magnitude, flat in 2.0..8.0
 *   float32  hypocentral_km     5..200, log-flat
 *   float32  epicentral_km
 *   float32  depth_km           3..40
 *   uint32   p_index            first sample at or after the P onset (1000)
 *   uint32   s_index            the same for S; may lie beyond the end
 *   float32  rows[n_samples][3] E, N, Z
 *   uint8    clipped[n_samples] 1: a component stands at the end of its range
 *
 * The file does not say what noise there was: that is in the first 10 s.
 */
#ifndef TOC_SIM_RECORDS_H
#define TOC_SIM_RECORDS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define TOC_RECORD_RATE_HZ 100
#define TOC_RECORD_SAMPLES 3500
#define TOC_RECORD_P_INDEX 1000
#define TOC_RECORD_BYTES (8 * 4 + TOC_RECORD_SAMPLES * (3 * 4 + 1))

struct toc_record_head {
    uint32_t n_samples, acceleration;
    float magnitude, hypocentral_km, epicentral_km, depth_km;
    uint32_t p_index, s_index;
};

struct toc_records;

/** @return 0 or -ENOMEM */
int toc_records_create(uint64_t seed, struct toc_records **ret_records);
void toc_records_destroy(struct toc_records *records);

/** Make record number `index`: the same whatever was made before. rows [TOC_RECORD_SAMPLES][3], clipped [..]. */
void toc_records_make(struct toc_records *records, uint64_t index, struct toc_record_head *ret_head,
                      float (*ret_rows)[3], uint8_t *ret_clipped);

/** As make(), with the size and the place given: for calibration. No noise, no instrument when `clean`. */
void toc_records_make_at(struct toc_records *records, uint64_t index, double magnitude, double hypocentral_km,
                         bool clean, struct toc_record_head *ret_head, float (*ret_rows)[3], uint8_t *ret_clipped);

/** Write records first..first+count-1. @return 0, -EIO, -ENOMEM */
int toc_records_write(struct toc_records *records, uint64_t first, uint64_t count, FILE *file);

#endif
