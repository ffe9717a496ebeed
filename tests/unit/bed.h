/*
 * A simulated quake on a small network, as samples in memory, and packets cut from it: what tests of the whole pipeline run on.
 * Header only.
 */
#ifndef TOC_TESTS_BED_H
#define TOC_TESTS_BED_H

#include <stdlib.h>
#include <string.h>

#include "core/model.h"
#include "core/pipeline.h"
#include "tests/sim/scenario.h"
#include "tests/unit/model_file.h"

#define BED_SITES_MAX 128

/* The recording, made once. */
static struct {
    struct toc_scenario *scenario;
    struct toc_inventory inventory;
    struct toc_travel *travel;
    struct toc_model *picker;
    size_t sites;
    float *samples[BED_SITES_MAX][3];
    size_t n; /* samples of a channel */
} bed;

struct bed_packet {
    size_t sensor, channel, from, n;
    toc_ns arrival;
};

static void bed_add_channel(const struct toc_scenario_site *site, const struct toc_scenario_sensor *sensor, int i)
{
    struct toc_channel *c = &bed.inventory.channels[bed.inventory.n++];
    assert_int_equal(toc_sid_make(site->network, site->station, sensor->location, sensor->channels[i], c->sid), 0);
    c->latitude_deg = site->latitude_deg;
    c->longitude_deg = site->longitude_deg;
    c->elevation_m = site->elevation_m;
    c->azimuth_deg = sensor->azimuth_deg[i];
    c->dip_deg = sensor->dip_deg[i];
    c->scale = sensor->instrument[i].gain;
    c->unit = TOC_UNIT_VELOCITY;
    c->rate_hz = sensor->rate_hz;
    c->start = c->end = TOC_NS_NONE;
}

static int bed_by_sid(const void *a, const void *b)
{
    return strcmp(((const struct toc_channel *)a)->sid, ((const struct toc_channel *)b)->sid);
}

static void bed_record_sensor(size_t s)
{
    const struct toc_scenario_sensor *sensor = &bed.scenario->sensors[s];
    int32_t *counts[3];
    for (int i = 0; i < 3; i++)
        counts[i] = calloc(sensor->n_samples, sizeof *counts[i]);
    assert_int_equal(toc_scenario_synthesise(bed.scenario, s, NULL, counts), 0);
    for (int i = 0; i < 3; i++) {
        bed.samples[s][i] = calloc(sensor->n_samples, sizeof(float));
        for (size_t k = 0; k < sensor->n_samples; k++)
            bed.samples[s][i][k] = (float)counts[i][k];
        bed_add_channel(&bed.scenario->sites[sensor->site], sensor, i);
        free(counts[i]);
    }
    bed.n = sensor->n_samples;
}

static struct toc_model *bed_load_picker(void)
{
    struct toc_model *model = NULL;
    const char *root = getenv("TOCSIN_SOURCE");
    char path[512], why[160];
    size_t len = 0;
    snprintf(path, sizeof path, "%s/models/picker/weights.safetensors", root ? root : ".");
    uint8_t *bytes = model_file_read(path, &len);
    assert_non_null(bytes);
    assert_int_equal(toc_model_load(bytes, len, &model, why, sizeof why), 0);
    free(bytes);
    return model;
}

/* Options as wanted; one HH sensor of 100 Hz on each site. */
static void bed_make(const struct toc_scenario_options *options)
{
    struct toc_layer layers[] = {{0, 5.5, 3.18}, {5.5, 6.3, 3.64}, {16, 6.7, 3.87}, {32, 7.8, 4.5}};
    char why[160];
    assert_int_equal(toc_scenario_create(options, &bed.scenario, why, sizeof why), 0);
    bed.sites = bed.scenario->n_sites;
    assert_true(bed.sites <= BED_SITES_MAX);
    assert_int_equal(toc_travel_create(layers, 4, 500, 100, &bed.travel), 0);
    bed.inventory.channels = calloc(3 * bed.sites, sizeof *bed.inventory.channels);
    for (size_t s = 0; s < bed.sites; s++)
        bed_record_sensor(s);
    qsort(bed.inventory.channels, bed.inventory.n, sizeof *bed.inventory.channels, bed_by_sid);
    bed.picker = bed_load_picker();
}

static void bed_unmake(void)
{
    for (size_t s = 0; s < bed.sites; s++)
        for (int i = 0; i < 3; i++)
            free(bed.samples[s][i]);
    toc_inventory_finish(&bed.inventory);
    toc_travel_destroy(bed.travel);
    toc_model_destroy(bed.picker);
    toc_scenario_destroy(bed.scenario);
}

static inline int bed_by_arrival(const void *a, const void *b)
{
    const struct bed_packet *x = a, *y = b;
    if (x->arrival != y->arrival)
        return x->arrival < y->arrival ? -1 : 1;
    if (x->sensor != y->sensor)
        return x->sensor < y->sensor ? -1 : 1;
    if (x->channel != y->channel)
        return x->channel < y->channel ? -1 : 1;
    return (x->from > y->from) - (x->from < y->from);
}

static void bed_push(struct toc_pipeline *p, const struct bed_packet *packet)
{
    const struct toc_scenario_sensor *sensor = &bed.scenario->sensors[packet->sensor];
    const struct toc_scenario_site *site = &bed.scenario->sites[sensor->site];
    struct toc_chunk chunk = {.start = toc_scenario_sample_time(bed.scenario, packet->sensor, packet->from),
                              .rate_hz = sensor->rate_hz, .n = (uint32_t)packet->n, .timing_quality = -1,
                              .samples = bed.samples[packet->sensor][packet->channel] + packet->from};
    toc_sid_make(site->network, site->station, sensor->location, sensor->channels[packet->channel], chunk.sid);
    toc_pipeline_push(p, &chunk, packet->arrival);
}

#endif
