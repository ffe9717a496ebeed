/* See records.h. Every record has its own random streams, so a part of a set can be made again without the rest. */
#include "tests/sim/records.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/travel.h"
#include "core/types.h"
#include "tests/sim/blast.h"
#include "tests/sim/earth.h"
#include "tests/sim/noise.h"
#include "tests/sim/nuisance.h"
#include "tests/sim/quake.h"

struct toc_records {
    struct toc_records_options options;
    struct toc_travel *travel;
    struct toc_synth *synth; /* for rate_hz, or NULL */
    double rate_hz;
    size_t max_samples;
    float *velocity[3];      /* the ground */
    float *motion;           /* what one component's sensor puts out */
    int32_t *counts[3];
};

void toc_records_defaults(struct toc_records_options *ret_options)
{
    *ret_options = (struct toc_records_options){
        .seed = 1,
        .rate_hz = 100.0,
        .before_s = 10.0,
        .after_s = 25.0,
        .noise = true,
        .instrument = TOC_RECORD_NONE,
        .region = TOC_RECORD_NONE,
        .least_magnitude = 1.0,
        .most_magnitude = 8.0,
        .least_km = 5.0,
        .most_km = 200.0,
    };
}

static bool options_hold(const struct toc_records_options *options)
{
    return options->kind < TOC_RECORD_KINDS &&
           (options->rate_hz == 0.0 || (options->rate_hz >= 20.0 && options->rate_hz <= 250.0)) &&
           options->before_s >= 2.0 && options->before_s <= 300.0 && options->after_s >= 5.0 &&
           options->after_s <= 600.0 && options->instrument >= TOC_RECORD_NONE &&
           options->instrument < TOC_INSTRUMENT_KINDS && options->region >= TOC_RECORD_NONE &&
           options->region < TOC_REGIONS && options->least_magnitude >= 0.0 && options->most_magnitude <= 9.0 &&
           options->least_magnitude <= options->most_magnitude && options->least_km >= 1.0 &&
           options->most_km <= 500.0 && options->least_km <= options->most_km;
}

static bool allocate(struct toc_records *records)
{
    const double rate_hz = records->options.rate_hz > 0.0 ? records->options.rate_hz : 250.0;
    records->max_samples = (size_t)ceil((records->options.before_s + records->options.after_s) * rate_hz);
    bool all = true;
    for (int c = 0; c < 3; c++) {
        records->velocity[c] = calloc(records->max_samples, sizeof *records->velocity[c]);
        records->counts[c] = calloc(records->max_samples, sizeof *records->counts[c]);
        all = all && records->velocity[c] && records->counts[c];
    }
    records->motion = calloc(records->max_samples, sizeof *records->motion);
    return all && records->motion;
}

int toc_records_create(const struct toc_records_options *options, struct toc_records **ret_records)
{
    if (!options_hold(options))
        return -EINVAL;
    struct toc_records *records = calloc(1, sizeof *records);
    if (!records)
        return -ENOMEM;
    records->options = *options;
    int result = allocate(records) ? toc_earth_create(&records->travel) : -ENOMEM;
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
    for (int c = 0; c < 3; c++) {
        free(records->velocity[c]);
        free(records->counts[c]);
    }
    free(records->motion);
    free(records);
}

size_t toc_records_max_samples(const struct toc_records *records)
{
    return records->max_samples;
}

/* Work space for this rate: the one we have, or another. */
static int synth_for(struct toc_records *records, double rate_hz)
{
    if (records->synth && records->rate_hz == rate_hz)
        return 0;
    toc_synth_destroy(records->synth);
    records->synth = NULL;
    records->rate_hz = rate_hz;
    return toc_synth_create(rate_hz, records->max_samples, &records->synth);
}

/* Depth first, as far as the distance allows. */
static double draw_depth(struct toc_random *random, const struct toc_region *region, double hypocentral_km)
{
    const bool slab = toc_random_uniform(random) < region->slab_share && hypocentral_km > 1.1 * region->deepest_km;
    const double deepest_km = fmin(slab ? region->slab_deepest_km : region->deepest_km, 0.98 * hypocentral_km);
    return toc_random_range(random, fmin(slab ? region->deepest_km : region->shallowest_km, 0.9 * deepest_km),
                            deepest_km);
}

/* Times are stretched by a few percent: no earth is the one in the table. */
static void draw_path(struct toc_records *records, struct toc_random *random, const struct toc_region *region,
                      double hypocentral_km, struct toc_quake_path *ret_path)
{
    toc_quake_path_draw(random, region, ret_path);
    ret_path->depth_km = draw_depth(random, region, hypocentral_km);
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

/* How often each kind stands in the field, roughly. */
static enum toc_instrument_kind draw_kind(const struct toc_records *records, struct toc_random *random)
{
    static const double share[TOC_INSTRUMENT_KINDS] = {0.40, 0.10, 0.35, 0.15};
    double u = toc_random_uniform(random);
    int kind = 0;
    while (kind < TOC_INSTRUMENT_KINDS - 1 && u >= share[kind])
        u -= share[kind++];
    return records->options.instrument == TOC_RECORD_NONE ? (enum toc_instrument_kind)kind
                                                          : (enum toc_instrument_kind)records->options.instrument;
}

/* A quake as the options (or the place) want it, added to the ground. */
static void add_quake(struct toc_records *records, struct toc_random *random, const struct toc_record_place *place,
                      double onset_s, struct toc_record_head *head, int32_t *ret_s_index)
{
    const struct toc_records_options *options = &records->options;
    struct toc_quake quake;
    struct toc_quake_path path;
    const double drawn = toc_random_range(random, options->least_magnitude, options->most_magnitude);
    const double drawn_km = toc_random_log_range(random, options->least_km, options->most_km);
    const int drawn_region = (int)(toc_random_uniform(random) * TOC_REGIONS);
    const double magnitude = place && isfinite(place->magnitude) ? place->magnitude : drawn;
    const int wanted = place && place->region != TOC_RECORD_NONE ? place->region : options->region;

    head->region = (uint32_t)(wanted == TOC_RECORD_NONE ? drawn_region : wanted);
    const struct toc_region *region = toc_region_at((int)head->region);
    toc_quake_draw(random, region, magnitude, &quake);
    draw_path(records, random, region, place && isfinite(place->hypocentral_km) ? place->hypocentral_km : drawn_km,
              &path);
    toc_synth_add(records->synth, &quake, &path, onset_s, records->velocity, head->n_samples);
    head->magnitude = (float)magnitude;
    head->hypocentral_km = (float)hypot(path.epicentral_km, path.depth_km);
    head->epicentral_km = (float)path.epicentral_km;
    head->depth_km = (float)path.depth_km;
    *ret_s_index = (int32_t)ceil((onset_s + path.s_s - path.p_s) * records->rate_hz);
}

/* Another quake 1 to 20 s after the first one's P, of any size and place. */
static void add_second(struct toc_records *records, struct toc_random *random, double onset_s,
                       struct toc_record_head *head)
{
    struct toc_record_head second = *head;
    const double later_s = onset_s + toc_random_log_range(random, 1.0, 20.0);
    add_quake(records, random, NULL, later_s, &second, &head->s2_index);
    head->magnitude2 = second.magnitude;
    head->p2_index = (int32_t)ceil(later_s * records->rate_hz);
}

static void add_far(struct toc_records *records, struct toc_random *random, double onset_s,
                    struct toc_record_head *head)
{
    struct toc_quake quake;
    struct toc_quake_far far;
    /* Fewer of the great ones: magnitudes from the least up, by an exponential as quakes have it, half as steep. */
    const double magnitude = fmin(8.5, 5.8 - 0.9 * log(1.0 - toc_random_uniform(random)));
    toc_quake_draw(random, NULL, magnitude, &quake);
    toc_quake_far_draw(random, &far);
    toc_synth_add_far(records->synth, &quake, &far, onset_s, records->velocity, head->n_samples);
    head->magnitude = (float)magnitude;
    head->depth_km = (float)far.depth_km;
    head->epicentral_km = (float)(111.2 * far.degrees);
    head->hypocentral_km = (float)hypot(head->epicentral_km, far.depth_km);
}

static int add_blast(struct toc_records *records, struct toc_random *random, double onset_s,
                     struct toc_record_head *head)
{
    struct toc_blast blast;
    struct toc_quake_path path;
    head->region = (uint32_t)(toc_random_uniform(random) * TOC_REGIONS);
    toc_blast_draw(random, toc_random_range(random, 0.8, 3.5), &blast);
    draw_path(records, random, toc_region_at((int)head->region), toc_random_log_range(random, 2.0, 150.0), &path);
    path.epicentral_km = hypot(path.epicentral_km, path.depth_km);
    path.depth_km = toc_random_range(random, 0.01, 0.2);
    path.p_s = toc_travel_s(records->travel, TOC_PHASE_P, path.epicentral_km, path.depth_km);
    path.s_s = toc_travel_s(records->travel, TOC_PHASE_S, path.epicentral_km, path.depth_km);
    path.kappa_s *= 1.5; /* down and up through the weathered ground */
    head->magnitude = (float)blast.quake.magnitude;
    head->hypocentral_km = head->epicentral_km = (float)path.epicentral_km;
    head->depth_km = (float)path.depth_km;
    head->s_index = (int32_t)ceil((onset_s + path.s_s - path.p_s) * records->rate_hz);
    return toc_blast_add(records->synth, &blast, &path, records->rate_hz, onset_s, records->velocity, head->n_samples);
}

static void add_noise(struct toc_records *records, struct toc_random *random, size_t n)
{
    struct toc_noise_level level;
    toc_noise_level_draw(random, toc_random_range(random, 0.1, 0.9), &level);
    for (int c = 0; c < 3; c++) {
        struct toc_noise noise;
        toc_noise_start(&noise, &level, records->rate_hz, toc_random_next(random));
        for (size_t k = 0; k < n; k++)
            records->velocity[c][k] += (float)toc_noise_step(&noise);
    }
}

static void say_rows(const struct toc_records *records, int component, const struct toc_instrument *instrument,
                     const struct toc_record_head *head, float (*ret_rows)[3], uint8_t *ret_clipped)
{
    for (size_t k = 0; k < head->n_samples; k++) {
        ret_rows[k][component] = (float)(records->counts[component][k] / instrument->gain);
        ret_clipped[k] |= abs(records->counts[component][k]) >= instrument->limit;
    }
}

/* Without noise: the response and the end of its range alone. */
static void sense(struct toc_records *records, const struct toc_instrument *instrument,
                  const struct toc_record_head *head, float (*ret_rows)[3], uint8_t *ret_clipped)
{
    const double limit = instrument->limit / instrument->gain;
    for (int c = 0; c < 3; c++) {
        toc_instrument_sense(instrument, head->rate_hz, records->velocity[c], head->n_samples, records->motion);
        for (size_t k = 0; k < head->n_samples; k++) {
            ret_rows[k][c] = (float)fmin(fmax(records->motion[k], -limit), limit);
            ret_clipped[k] |= fabs((double)records->motion[k]) >= limit;
        }
    }
}

static void digitise(struct toc_records *records, struct toc_random *random, const struct toc_instrument *instrument,
                     const struct toc_record_head *head)
{
    for (int c = 0; c < 3; c++)
        toc_instrument_digitise(instrument, head->rate_hz, random, records->velocity[c], head->n_samples,
                                records->counts[c]);
}

/* One thing that is no quake, in whatever noise there is; its beginning lies where P would. */
static void disturb(struct toc_records *records, struct toc_random *random, const struct toc_instrument *instrument,
                    struct toc_record_head *head, float (*ret_rows)[3], uint8_t *ret_clipped)
{
    struct toc_scenario_sensor sensor = {.n_channels = 3, .rate_hz = head->rate_hz, .n_samples = head->n_samples,
                                         .instrument = {*instrument, *instrument, *instrument}};
    const enum toc_nuisance_kind kind = (enum toc_nuisance_kind)(toc_random_uniform(random) * TOC_NUISANCE_KINDS);
    const size_t at = (size_t)head->p2_index;

    head->region = kind;
    toc_nuisance_add_ground(kind, &sensor, random, at, records->velocity);
    if (!records->options.noise)
        for (int c = 0; c < 3; c++)
            sensor.instrument[c].self_noise = sensor.instrument[c].offset_counts = 0.0;
    digitise(records, random, &sensor.instrument[0], head);
    const size_t lost = toc_nuisance_add_electric(kind, &sensor, random, at, records->counts);
    for (int c = 0; c < 3; c++)
        say_rows(records, c, instrument, head, ret_rows, ret_clipped);
    for (size_t k = at; k < at + lost; k++)
        for (int c = 0; c < 3; c++)
            ret_rows[k][c] = NAN;
}

static int start_record(struct toc_records *records, struct toc_random *random, enum toc_instrument_kind instrument,
                        struct toc_record_head *head)
{
    const struct toc_records_options *options = &records->options;
    const double drawn_hz = toc_instrument_rate_draw(random, instrument);
    const int result = synth_for(records, options->rate_hz > 0.0 ? options->rate_hz : drawn_hz);
    if (result < 0)
        return result;
    *head = (struct toc_record_head){
        .n_samples = (uint32_t)((options->before_s + options->after_s) * records->rate_hz),
        .kind = options->kind,
        .instrument = instrument,
        .acceleration = instrument >= TOC_INSTRUMENT_STRONG,
        .rate_hz = (float)records->rate_hz,
        .magnitude = NAN,
        .hypocentral_km = NAN,
        .epicentral_km = NAN,
        .depth_km = NAN,
        .clip = INFINITY,
        .p_index = (int32_t)ceil(options->before_s * records->rate_hz),
        .s_index = TOC_RECORD_NONE,
        .magnitude2 = NAN,
        .p2_index = TOC_RECORD_NONE,
        .s2_index = TOC_RECORD_NONE,
    };
    for (int c = 0; c < 3; c++)
        memset(records->velocity[c], 0, head->n_samples * sizeof *records->velocity[c]);
    return 0;
}

/* What happens to the ground, and the head of the record. */
static int make_ground(struct toc_records *records, struct toc_random *random, const struct toc_record_place *place,
                       enum toc_instrument_kind instrument, struct toc_record_head *head)
{
    int result = start_record(records, random, instrument, head);
    if (result < 0)
        return result;
    /* The onset lies anywhere in the sample before p_index. */
    const double onset_s = (head->p_index - toc_random_uniform(random)) / records->rate_hz;
    switch (records->options.kind) {
    case TOC_RECORD_TELESEISM:
        add_far(records, random, onset_s, head);
        break;
    case TOC_RECORD_BLAST:
        result = add_blast(records, random, onset_s, head);
        break;
    case TOC_RECORD_NUISANCE:
        head->p2_index = head->p_index;
        head->p_index = TOC_RECORD_NONE;
        break;
    default:
        add_quake(records, random, place, onset_s, head, &head->s_index);
        if (records->options.kind == TOC_RECORD_TWO)
            add_second(records, random, onset_s, head);
        break;
    }
    return result;
}

int toc_records_make(struct toc_records *records, uint64_t index, const struct toc_record_place *place,
                     struct toc_record_head *ret_head, float (*ret_rows)[3], uint8_t *ret_clipped)
{
    struct toc_random random;
    struct toc_instrument instrument;
    toc_random_seed(&random, records->options.seed, index);
    const enum toc_instrument_kind kind = draw_kind(records, &random);
    toc_instrument_draw(&random, kind, &instrument);
    const int result = make_ground(records, &random, place, kind, ret_head);
    if (result < 0)
        return result;
    if (records->options.noise)
        add_noise(records, &random, ret_head->n_samples);
    memset(ret_clipped, 0, ret_head->n_samples);
    ret_head->clip = (float)(instrument.limit / instrument.gain);
    if (records->options.kind == TOC_RECORD_NUISANCE) {
        disturb(records, &random, &instrument, ret_head, ret_rows, ret_clipped);
    } else if (!records->options.noise) {
        sense(records, &instrument, ret_head, ret_rows, ret_clipped);
    } else {
        digitise(records, &random, &instrument, ret_head);
        for (int c = 0; c < 3; c++)
            say_rows(records, c, &instrument, ret_head, ret_rows, ret_clipped);
    }
    return 0;
}

int toc_records_make_ground(struct toc_records *records, uint64_t index, const struct toc_record_place *place,
                            struct toc_record_head *ret_head, float (*ret_rows)[3])
{
    struct toc_random random;
    toc_random_seed(&random, records->options.seed, index);
    const int result = make_ground(records, &random, place, TOC_INSTRUMENT_BROADBAND, ret_head);
    for (size_t k = 0; result == 0 && k < ret_head->n_samples; k++)
        for (int c = 0; c < 3; c++)
            ret_rows[k][c] = records->velocity[c][k];
    return result;
}

int toc_records_write(struct toc_records *records, uint64_t first, uint64_t count,
                      const struct toc_record_place *places, FILE *file)
{
    static_assert(sizeof(struct toc_record_head) == 64, "the head is written as it lies in memory");
    struct toc_record_head head;
    float(*rows)[3] = malloc(records->max_samples * sizeof *rows);
    uint8_t *clipped = malloc(records->max_samples);
    int result = rows && clipped ? 0 : -ENOMEM;

    for (uint64_t i = 0; result == 0 && i < count; i++) {
        result = toc_records_make(records, first + i, places ? &places[i] : NULL, &head, rows, clipped);
        if (result == 0 && (fwrite(&head, sizeof head, 1, file) != 1 ||
                            fwrite(rows, sizeof *rows, head.n_samples, file) != head.n_samples ||
                            fwrite(clipped, 1, head.n_samples, file) != head.n_samples))
            result = -EIO;
    }
    free(rows);
    free(clipped);
    return result;
}
