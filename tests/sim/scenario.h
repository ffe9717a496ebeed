/*
 * A made-up network and made-up earthquakes, complete from a seed: places,
 * instruments, origins, arrival times, samples. The same options give the
 * same bytes. Samples are made on demand, one sensor at a time and in any
 * order. It knows nothing of the daemon under test.
 */
#ifndef TOC_SIM_SCENARIO_H
#define TOC_SIM_SCENARIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/nstime.h"
#include "tests/sim/instrument.h"
#include "tests/sim/noise.h"
#include "tests/sim/quake.h"

#define TOC_SCENARIO_EVENTS_MAX 64
#define TOC_SCENARIO_SITES_MAX 1000
#define TOC_SCENARIO_RATES_MAX 16
#define TOC_SCENARIO_SECONDS_MAX 36000.0

struct toc_scenario_options {
    uint64_t seed;
    double magnitude;              /* of the first event; the others lie up to 1.5 below it */
    size_t n_events;               /* 0: noise only */
    size_t n_sites;                /* on a jittered grid, when no station text is given */
    double duration_s;
    double first_origin_s;         /* after the start; the other origins follow at equal distances */
    double latitude_deg, longitude_deg, extent_km; /* centre and side of the network's square */
    double depth_km;               /* of the first event; NAN: drawn */
    double rates_hz[TOC_SCENARIO_RATES_MAX]; /* sites take them in turn */
    size_t n_rates;
    bool accelerometers;           /* an HN sensor beside each HH */
    bool nuisance;                 /* spikes, steps, calibration pulses, footsteps */
    toc_ns start;                  /* of the first sample */
    const char *station_text;      /* FDSN text, level=channel, instead of the grid, or NULL. Borrowed in create */
    size_t station_text_len;
};

struct toc_scenario_site {
    char network[9], station[9];
    double latitude_deg, longitude_deg, elevation_m;
    double quietness;              /* see toc_noise_level_draw() */
    uint64_t seed;
};

/** One sensor: up to three channels of one site, band and source. */
struct toc_scenario_sensor {
    size_t site;
    char location[9];
    char channels[3][4];           /* "HHZ" */
    double azimuth_deg[3], dip_deg[3];
    int n_channels;
    double rate_hz;
    struct toc_instrument instrument[3]; /* one per channel */
    bool has_scale;                /* false: the station text does not say the gain, so neither do we */
    size_t n_samples;
    uint64_t seed;
};

struct toc_scenario_event {
    toc_ns origin;
    double latitude_deg, longitude_deg, depth_km;
    struct toc_quake quake;
    uint64_t seed;
};

/** True arrivals of one event at one site. */
struct toc_scenario_arrival {
    toc_ns p, s;
    struct toc_quake_path path;
};

struct toc_scenario {
    uint64_t seed;
    toc_ns start;
    double duration_s;
    bool nuisance;
    struct toc_scenario_site *sites;        /* owned */
    size_t n_sites;
    struct toc_scenario_sensor *sensors;    /* owned; sorted as made */
    size_t n_sensors;
    struct toc_scenario_event *events;      /* owned; by origin */
    size_t n_events;
    struct toc_scenario_arrival *arrivals;  /* owned; [event * n_sites + site] */
};

/** M 6.0 at 60 s of 300 s, 24 sites at 100 Hz over 150 km, start 2026-01-01T00:00:00Z. */
void toc_scenario_defaults(struct toc_scenario_options *ret_options);

/** @param ret_why text of 160 bytes at least, filled on -EINVAL. @return 0, -EINVAL, -ENOMEM */
int toc_scenario_create(const struct toc_scenario_options *options, struct toc_scenario **ret_scenario, char *ret_why,
                        size_t why_size);
void toc_scenario_destroy(struct toc_scenario *scenario);

/**
 * All samples of one sensor.
 *
 * @param ret_enz     ground velocity of the quakes alone, E, N, Z in m/s, no noise; n_samples each; or NULL
 * @param ret_counts  what the digitiser puts out, per channel, n_samples each; or NULL
 * @return 0, -ENOMEM
 */
int toc_scenario_synthesise(const struct toc_scenario *scenario, size_t sensor, float *const ret_enz[3],
                            int32_t *const ret_counts[3]);

/** Time of sample k of a sensor. */
toc_ns toc_scenario_sample_time(const struct toc_scenario *scenario, size_t sensor, size_t k);

/**
 * Write DIR/waveforms.mseed (Steim2, 512 bytes, sorted by end time), stations.txt, events.csv, picks.csv and, with
 * `delays`, arrivals.csv: "record,arrival", the record's number in file order from 0 and when it reaches us.
 * The directory is made if missing; existing files are replaced.
 *
 * @param packet_s  a record is closed after so many seconds even if there is room in it, as low-latency digitisers
 *                  do; 0: records are filled (1 to 7 s at 100 Hz)
 * @return 0, or -errno
 */
int toc_scenario_write(const struct toc_scenario *scenario, const char *directory, bool delays, double packet_s);

#endif
