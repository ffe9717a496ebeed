/* See records.h. Every record has its own random streams, so a part of a set can be made again without the rest. */
#include "tests/sim/records.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/travel.h"
#include "core/types.h"
#include "tests/sim/earth.h"
#include "tests/sim/instrument.h"
#include "tests/sim/noise.h"
#include "tests/sim/quake.h"

struct toc_records {
    uint64_t seed;
    struct toc_travel *travel;
    struct toc_synth *synth;
    float velocity[3][TOC_RECORD_SAMPLES];
    int32_t counts[TOC_RECORD_SAMPLES];
};

int toc_records_create(uint64_t seed, struct toc_records **ret_records)
{
    struct toc_records *records = calloc(1, sizeof *records);
    if (!records)
        return -ENOMEM;
    records->seed = seed;
    int result = toc_earth_create(&records->travel);
    if (result == 0)
        result = toc_synth_create(TOC_RECORD_RATE_HZ, TOC_RECORD_SAMPLES, &records->synth);
    if (result < 0) {
        toc_records_destroy(records);
        return result;
    }
    *ret_records = records;
    return 0;
}

void toc_records_destroy(struct toc_records *records)
{
    if (!records)
        return;
    toc_synth_destroy(records->synth);
    toc_travel_destroy(records->travel);
    free(records);
}

/* Depth first, as far as the distance allows; times stretched by a few percent: no earth is the one in the table. */
static void draw_path(struct toc_records *records, struct toc_random *random, double hypocentral_km,
                      struct toc_quake_path *ret_path)
{
    const double deepest_km = fmin(40.0, 0.98 * hypocentral_km);
    toc_quake_path_draw(random, ret_path);
    ret_path->depth_km = toc_random_range(random, 3.0, fmax(3.1, deepest_km));
    ret_path->epicentral_km =
        sqrt(fmax(0.0, hypocentral_km * hypocentral_km - ret_path->depth_km * ret_path->depth_km));
    ret_path->azimuth_rad = toc_random_range(random, 0.0, 2.0 * M_PI);
    const double stretch = exp(0.04 * toc_random_normal(random)), ratio = exp(0.02 * toc_random_normal(random));
    ret_path->p_s = stretch * toc_travel_s(records->travel, TOC_PHASE_P, ret_path->epicentral_km, ret_path->depth_km);
    ret_path->s_s = ratio * stretch *
                    toc_travel_s(records->travel, TOC_PHASE_S, ret_path->epicentral_km, ret_path->depth_km);
    ret_path->s_s = fmax(ret_path->s_s, ret_path->p_s + 0.3);
    ret_path->seed = toc_random_next(random);
}

static void add_noise(struct toc_records *records, struct toc_random *random)
{
    struct toc_noise_level level;
    toc_noise_level_draw(random, toc_random_range(random, 0.3, 0.8), &level);
    for (int c = 0; c < 3; c++) {
        struct toc_noise noise;
        toc_noise_start(&noise, &level, TOC_RECORD_RATE_HZ, toc_random_next(random));
        for (size_t k = 0; k < TOC_RECORD_SAMPLES; k++)
            records->velocity[c][k] += (float)toc_noise_step(&noise);
    }
}

static void digitise(struct toc_records *records, struct toc_random *random, bool acceleration, float (*ret_rows)[3],
                     uint8_t *ret_clipped)
{
    struct toc_instrument instrument;
    toc_instrument_draw(random, acceleration, &instrument);
    const double gain_factor = 1.0 / instrument.gain;
    for (int c = 0; c < 3; c++) {
        toc_instrument_digitise(&instrument, TOC_RECORD_RATE_HZ, random, records->velocity[c], TOC_RECORD_SAMPLES,
                                records->counts);
        for (size_t k = 0; k < TOC_RECORD_SAMPLES; k++) {
            ret_rows[k][c] = (float)(records->counts[k] * gain_factor);
            ret_clipped[k] |= abs(records->counts[k]) >= instrument.limit;
        }
    }
}

static void make(struct toc_records *records, struct toc_random *random, double magnitude, double hypocentral_km,
                 bool clean, struct toc_record_head *ret_head, float (*ret_rows)[3], uint8_t *ret_clipped)
{
    struct toc_quake quake;
    struct toc_quake_path path;
    float *const enz[3] = {records->velocity[0], records->velocity[1], records->velocity[2]};
    const bool acceleration = !clean && toc_random_uniform(random) < 0.5;
    /* The onset lies anywhere in the sample before p_index. */
    const double onset_s = (TOC_RECORD_P_INDEX - toc_random_uniform(random)) / TOC_RECORD_RATE_HZ;

    toc_quake_draw(random, magnitude, &quake);
    draw_path(records, random, hypocentral_km, &path);
    memset(records->velocity, 0, sizeof records->velocity);
    memset(ret_clipped, 0, TOC_RECORD_SAMPLES);
    toc_synth_add(records->synth, &quake, &path, onset_s, enz, TOC_RECORD_SAMPLES);
    if (clean) {
        for (size_t k = 0; k < TOC_RECORD_SAMPLES; k++)
            for (int c = 0; c < 3; c++)
                ret_rows[k][c] = records->velocity[c][k];
    } else {
        add_noise(records, random);
        digitise(records, random, acceleration, ret_rows, ret_clipped);
    }
    *ret_head = (struct toc_record_head){
        .n_samples = TOC_RECORD_SAMPLES,
        .acceleration = acceleration,
        .magnitude = (float)magnitude,
        .hypocentral_km = (float)hypot(path.epicentral_km, path.depth_km),
        .epicentral_km = (float)path.epicentral_km,
        .depth_km = (float)path.depth_km,
        .p_index = TOC_RECORD_P_INDEX,
        .s_index = (uint32_t)ceil((onset_s + path.s_s - path.p_s) * TOC_RECORD_RATE_HZ),
    };
}

void toc_records_make(struct toc_records *records, uint64_t index, struct toc_record_head *ret_head,
                      float (*ret_rows)[3], uint8_t *ret_clipped)
{
    struct toc_random random;
    toc_random_seed(&random, records->seed, index);
    const double magnitude = toc_random_range(&random, 2.0, 8.0);
    const double hypocentral_km = toc_random_log_range(&random, 5.0, 200.0);
    make(records, &random, magnitude, hypocentral_km, false, ret_head, ret_rows, ret_clipped);
}

void toc_records_make_at(struct toc_records *records, uint64_t index, double magnitude, double hypocentral_km,
                         bool clean, struct toc_record_head *ret_head, float (*ret_rows)[3], uint8_t *ret_clipped)
{
    struct toc_random random;
    toc_random_seed(&random, records->seed, index);
    make(records, &random, magnitude, hypocentral_km, clean, ret_head, ret_rows, ret_clipped);
}

int toc_records_write(struct toc_records *records, uint64_t first, uint64_t count, FILE *file)
{
    static_assert(sizeof(struct toc_record_head) == 32, "the head is written as it lies in memory");
    struct toc_record_head head;
    float(*rows)[3] = malloc(TOC_RECORD_SAMPLES * sizeof *rows);
    uint8_t *clipped = malloc(TOC_RECORD_SAMPLES);
    int result = rows && clipped ? 0 : -ENOMEM;

    for (uint64_t index = first; result == 0 && index < first + count; index++) {
        toc_records_make(records, index, &head, rows, clipped);
        if (fwrite(&head, sizeof head, 1, file) != 1 ||
            fwrite(rows, sizeof *rows, TOC_RECORD_SAMPLES, file) != TOC_RECORD_SAMPLES ||
            fwrite(clipped, 1, TOC_RECORD_SAMPLES, file) != TOC_RECORD_SAMPLES)
            result = -EIO;
    }
    free(rows);
    free(clipped);
    return result;
}
