/*
 * A scenario as a directory, in the form of the recorded data sets: one
 * miniSEED file with the records of all channels sorted by end time, as a
 * live feed brings them, and four small tables. libmseed packs the records.
 */
#include <errno.h>
#include <libmseed.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/sim/random.h"
#include "tests/sim/scenario.h"
#include "tests/sim/telemetry.h"

#define RECORD_BYTES 512

struct packed {
    toc_ns end;      /* of its last sample */
    size_t order;    /* in which it was made: keeps the sort stable */
    size_t site;
    uint8_t bytes[RECORD_BYTES];
};

struct packer {
    const struct toc_scenario *scenario;
    struct packed *records; /* owned */
    size_t n, room;
    size_t sensor, sample;  /* where the next record begins */
    double packet_s;
    int error;
};

static void take_record(char *record, int length, void *data)
{
    struct packer *packer = data;
    if (packer->error)
        return;
    if (length != RECORD_BYTES) {
        packer->error = -EPROTO;
        return;
    }
    if (packer->n == packer->room) {
        const size_t room = packer->room ? 2 * packer->room : 1024;
        struct packed *records = realloc(packer->records, room * sizeof *records);
        if (!records) {
            packer->error = -ENOMEM;
            return;
        }
        packer->records = records;
        packer->room = room;
    }
    /* Number of samples: big-endian 16 bits at byte 30 of the fixed header. */
    const size_t count = (size_t)(((unsigned char)record[30] << 8) | (unsigned char)record[31]);
    struct packed *packed = &packer->records[packer->n];
    packed->end = toc_scenario_sample_time(packer->scenario, packer->sensor, packer->sample + count - 1);
    packed->order = packer->n++;
    packed->site = packer->scenario->sensors[packer->sensor].site;
    memcpy(packed->bytes, record, RECORD_BYTES);
    packer->sample += count;
}

static void describe(const struct packer *packer, int channel, MSRecord *msr)
{
    const struct toc_scenario_sensor *sensor = &packer->scenario->sensors[packer->sensor];
    const struct toc_scenario_site *site = &packer->scenario->sites[sensor->site];
    snprintf(msr->network, sizeof msr->network, "%.2s", site->network);
    snprintf(msr->station, sizeof msr->station, "%.5s", site->station);
    snprintf(msr->location, sizeof msr->location, "%.2s", sensor->location);
    snprintf(msr->channel, sizeof msr->channel, "%.3s", sensor->channels[channel]);
    msr->dataquality = 'D';
    msr->samprate = sensor->rate_hz;
    msr->reclen = RECORD_BYTES;
    msr->byteorder = 1;
    msr->encoding = DE_STEIM2;
    msr->sampletype = 'i';
}

/* Samples of a channel in runs of packet_s, each flushed to its last sample. */
static int pack_channel(struct packer *packer, int channel, int32_t *counts)
{
    const struct toc_scenario_sensor *sensor = &packer->scenario->sensors[packer->sensor];
    const size_t run = packer->packet_s > 0.0 ? (size_t)ceil(packer->packet_s * sensor->rate_hz) : sensor->n_samples;
    int result = 0;
    MSRecord *msr = msr_init(NULL);
    if (!msr)
        return -ENOMEM;
    describe(packer, channel, msr);
    packer->sample = 0;
    for (size_t at = 0; result == 0 && at < sensor->n_samples; at += run) {
        const size_t n = sensor->n_samples - at < run ? sensor->n_samples - at : run;
        int64_t packed = 0;
        msr->starttime = toc_scenario_sample_time(packer->scenario, packer->sensor, at) / 1000; /* microseconds */
        msr->datasamples = counts + at;
        msr->numsamples = msr->samplecnt = (int64_t)n;
        if (msr_pack(msr, take_record, packer, &packed, 1, 0) < 0 || packed != (int64_t)n)
            result = -EIO;
        result = packer->error ? packer->error : result;
    }
    msr->datasamples = NULL; /* ours */
    msr_free(&msr);
    return result;
}

static int pack_sensor(struct packer *packer, size_t index)
{
    const struct toc_scenario_sensor *sensor = &packer->scenario->sensors[index];
    int32_t *all = calloc(3 * sensor->n_samples + 1, sizeof *all);
    if (!all)
        return -ENOMEM;
    int32_t *const counts[3] = {all, all + sensor->n_samples, all + 2 * sensor->n_samples};
    int result = toc_scenario_synthesise(packer->scenario, index, NULL, counts);
    packer->sensor = index;
    for (int k = 0; result == 0 && sensor->n_samples > 0 && k < sensor->n_channels; k++)
        result = pack_channel(packer, k, counts[k]);
    free(all);
    return result;
}

static int by_end(const void *left, const void *right)
{
    const struct packed *a = left, *b = right;
    if (a->end != b->end)
        return a->end < b->end ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static FILE *open_in(const char *directory, const char *name)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    return fopen(path, "wb");
}

static int close_written(FILE *file)
{
    const int bad = ferror(file);
    return fclose(file) != 0 || bad ? -EIO : 0;
}

static int write_records(const struct packer *packer, const char *directory)
{
    FILE *file = open_in(directory, "waveforms.mseed");
    if (!file)
        return -errno;
    for (size_t i = 0; i < packer->n; i++)
        fwrite(packer->records[i].bytes, RECORD_BYTES, 1, file);
    return close_written(file);
}

static int write_arrivals(const struct packer *packer, const char *directory)
{
    struct toc_telemetry *telemetry = NULL;
    FILE *file = open_in(directory, "arrivals.csv");
    if (!file)
        return -errno;
    const int result = toc_telemetry_create(packer->scenario, &telemetry);
    fputs("record,arrival\n", file);
    for (size_t i = 0; result == 0 && i < packer->n; i++) {
        char text[TOC_TIME_TEXT_SIZE];
        toc_time_format(toc_telemetry_arrival(telemetry, packer->records[i].site, packer->records[i].end), text,
                        sizeof text);
        fprintf(file, "%zu,%s\n", i, text);
    }
    toc_telemetry_destroy(telemetry);
    const int closed = close_written(file);
    return result < 0 ? result : closed;
}

static int write_waveforms(const struct toc_scenario *scenario, const char *directory, bool delays, double packet_s)
{
    struct packer packer = {.scenario = scenario, .packet_s = packet_s};
    int result = 0;
    for (size_t i = 0; result == 0 && i < scenario->n_sensors; i++)
        result = pack_sensor(&packer, i);
    if (result == 0 && packer.n > 0)
        qsort(packer.records, packer.n, sizeof *packer.records, by_end);
    if (result == 0)
        result = write_records(&packer, directory);
    if (result == 0 && delays)
        result = write_arrivals(&packer, directory);
    free(packer.records);
    return result;
}

static int write_stations(const struct toc_scenario *scenario, const char *directory)
{
    FILE *file = open_in(directory, "stations.txt");
    if (!file)
        return -errno;
    fputs("#Network|Station|Location|Channel|Latitude|Longitude|Elevation|Depth|Azimuth|Dip|SensorDescription|Scale|"
          "ScaleFreq|ScaleUnits|SampleRate|StartTime|EndTime\n", file);
    for (size_t i = 0; i < scenario->n_sensors; i++) {
        const struct toc_scenario_sensor *sensor = &scenario->sensors[i];
        const struct toc_scenario_site *site = &scenario->sites[sensor->site];
        for (int k = 0; k < sensor->n_channels; k++) {
            const struct toc_instrument *instrument = &sensor->instrument[k];
            fprintf(file, "%s|%s|%s|%s|%.5f|%.5f|%g|0|%g|%g|simulated|", site->network, site->station,
                    sensor->location, sensor->channels[k], site->latitude_deg, site->longitude_deg, site->elevation_m,
                    sensor->azimuth_deg[k], sensor->dip_deg[k]);
            if (sensor->has_scale)
                fprintf(file, "%.10g|1|%s|", instrument->gain, instrument->acceleration ? "M/S**2" : "M/S");
            else
                fputs("|||", file);
            fprintf(file, "%.10g||\n", sensor->rate_hz);
        }
    }
    return close_written(file);
}

static int write_events(const struct toc_scenario *scenario, const char *directory)
{
    FILE *file = open_in(directory, "events.csv");
    if (!file)
        return -errno;
    fputs("time,lat,lon,depth_km,mag,magtype,source\n", file);
    for (size_t e = 0; e < scenario->n_events; e++) {
        const struct toc_scenario_event *event = &scenario->events[e];
        char text[TOC_TIME_TEXT_SIZE];
        toc_time_format(event->origin, text, sizeof text);
        fprintf(file, "%s,%.5f,%.5f,%.3f,%.3f,Mw,simulated\n", text, event->latitude_deg, event->longitude_deg,
                event->depth_km, event->quake.magnitude);
    }
    return close_written(file);
}

/* The first sensor of a site speaks for it; its last channel, the vertical where there is one. */
static const struct toc_scenario_sensor *speaker(const struct toc_scenario *scenario, size_t site)
{
    for (size_t i = 0; i < scenario->n_sensors; i++)
        if (scenario->sensors[i].site == site)
            return &scenario->sensors[i];
    return NULL;
}

static void write_pick(FILE *file, const struct toc_scenario *scenario, const struct toc_scenario_event *event,
                       size_t site_index, const char *phase, toc_ns time, double epicentral_km)
{
    const struct toc_scenario_sensor *sensor = speaker(scenario, site_index);
    const struct toc_scenario_site *site = &scenario->sites[site_index];
    char text[TOC_TIME_TEXT_SIZE], origin[TOC_TIME_TEXT_SIZE];
    toc_time_format(time, text, sizeof text);
    toc_time_format(event->origin, origin, sizeof origin);
    fprintf(file, "%s,%s,%s,%s,%s,%s,true,%s,%.3f,%.2f\n", text, site->network, site->station,
            sensor ? sensor->location : "", sensor ? sensor->channels[sensor->n_channels - 1] : "", phase, origin,
            event->quake.magnitude, epicentral_km);
}

static int write_picks(const struct toc_scenario *scenario, const char *directory)
{
    FILE *file = open_in(directory, "picks.csv");
    if (!file)
        return -errno;
    fputs("time,network,station,location,channel,phase,method,event_time,mag,epi_km\n", file);
    for (size_t e = 0; e < scenario->n_events; e++) {
        for (size_t i = 0; i < scenario->n_sites; i++) {
            const struct toc_scenario_arrival *arrival = &scenario->arrivals[e * scenario->n_sites + i];
            const double km = arrival->path.epicentral_km;
            write_pick(file, scenario, &scenario->events[e], i, "P", arrival->p, km);
            write_pick(file, scenario, &scenario->events[e], i, "S", arrival->s, km);
        }
    }
    return close_written(file);
}

int toc_scenario_write(const struct toc_scenario *scenario, const char *directory, bool delays, double packet_s)
{
    if (mkdir(directory, 0777) < 0 && errno != EEXIST)
        return -errno;
    int result = write_stations(scenario, directory);
    if (result == 0)
        result = write_events(scenario, directory);
    if (result == 0)
        result = write_picks(scenario, directory);
    return result == 0 ? write_waveforms(scenario, directory, delays, packet_s) : result;
}
