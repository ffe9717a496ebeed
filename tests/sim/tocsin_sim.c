/*
 * tocsin-sim: makes earthquakes. `generate` writes a scenario directory,
 * `serve` plays one (or any recorded one) through SeedLink, `train` writes single-station
 * records for the estimator. The daemon knows nothing of it but what comes through the socket.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sim/options.h"
#include "tests/sim/scenario.h"
#include "tests/sim/serve.h"
#include "tests/sim/train.h"

#define STATION_TEXT_MAX (16u << 20)

static const char usage[] =
    "usage: tocsin-sim generate [options] DIR\n"
    "         --seed N            everything random follows from it (1)\n"
    "         --magnitude M       of the first event (6.0)\n"
    "         --events K          number of events (1), 0 for noise alone\n"
    "         --depth KM          of the first event (drawn)\n"
    "         --origin S          first origin, seconds after the start (60)\n"
    "         --duration S        length of the recording (300)\n"
    "         --stations N        sites on a jittered grid (24)\n"
    "         --stations-file F   FDSN station text instead of the grid\n"
    "         --latitude D --longitude D --extent KM   the grid's centre and side (36, -118, 150)\n"
    "         --rates R[,R...]    sampling rates in Hz, sites take them in turn (100)\n"
    "         --accelerometers    an HN sensor beside each HH\n"
    "         --nuisance          spikes, steps, calibration pulses, footsteps\n"
    "         --delay             write arrivals.csv: telemetry delays and stalls\n"
    "         --packet S          close records after S seconds (0: when full)\n"
    "         --start TIME        of the first sample (2026-01-01T00:00:00Z)\n"
    "         --now               the first sample is now\n"
    "       tocsin-sim serve [options] DIR\n"
    "         --port P            0 any (0)\n"
    "         --port-file FILE    write the port there when listening\n"
    "         --speed X           times real time (1), 0 everything at once\n"
    "         --latency S         after a record's last sample (0.5); DIR/arrivals.csv goes first\n"
    "         --now               move the recording so that its first sample is now\n"
    "         --from-start        a client gets all that was released before it came\n"
    "         --wait              begin when the first client connects\n"
    "         --end               say END and exit when a client has got everything\n";

static int fail(const char *what, int error)
{
    fprintf(stderr, "tocsin-sim: %s: %s\n", what, strerror(-error));
    return 1;
}

static int serve(int argc, char **argv)
{
    struct toc_serve_options serve_options = {.speed = 1.0, .latency_s = 0.5};
    unsigned long long port = 0;
    const struct toc_option options[] = {
        {"--port", TOC_OPTION_COUNT, &port},
        {"--port-file", TOC_OPTION_TEXT, &serve_options.port_file},
        {"--speed", TOC_OPTION_NUMBER, &serve_options.speed},
        {"--latency", TOC_OPTION_NUMBER, &serve_options.latency_s},
        {"--now", TOC_OPTION_FLAG, &serve_options.now},
        {"--from-start", TOC_OPTION_FLAG, &serve_options.from_start},
        {"--wait", TOC_OPTION_FLAG, &serve_options.wait},
        {"--end", TOC_OPTION_FLAG, &serve_options.end},
        {NULL, TOC_OPTION_FLAG, NULL},
    };
    if (toc_options_read(argc, argv, options, &serve_options.directory) < 0 || !serve_options.directory ||
        port > 65535 || serve_options.speed < 0.0) {
        fputs(usage, stderr);
        return 2;
    }
    serve_options.port = (int)port;
    return toc_serve(&serve_options) < 0 ? 1 : 0;
}

/* "100,50,62.5" */
static bool read_rates(const char *text, struct toc_scenario_options *options)
{
    options->n_rates = 0;
    for (;;) {
        char *end;
        if (options->n_rates == TOC_SCENARIO_RATES_MAX)
            return false;
        options->rates_hz[options->n_rates++] = strtod(text, &end);
        if (end == text || (*end != ',' && *end != '\0'))
            return false;
        if (*end == '\0')
            return true;
        text = end + 1;
    }
}

/* The text of a file, to be freed. */
static int read_text(const char *path, char **ret_text, size_t *ret_len)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return -errno;
    char *text = malloc(STATION_TEXT_MAX);
    const size_t len = text ? fread(text, 1, STATION_TEXT_MAX, file) : 0;
    const int result = !text ? -ENOMEM : ferror(file) ? -EIO : len == STATION_TEXT_MAX ? -E2BIG : 0;
    fclose(file);
    if (result < 0) {
        free(text);
        return result;
    }
    *ret_text = text;
    *ret_len = len;
    return 0;
}

/* Whole hundredths: on the grid of the models, as a disciplined clock would be. */
static toc_ns time_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (toc_ns)now.tv_sec * TOC_NS_PER_S + now.tv_nsec / (10 * TOC_NS_PER_MS) * (10 * TOC_NS_PER_MS);
}

static void tell(const struct toc_scenario *scenario, const char *directory)
{
    printf("%s: %zu stations, %zu sensors, %g s\n", directory, scenario->n_sites, scenario->n_sensors,
           scenario->duration_s);
    for (size_t e = 0; e < scenario->n_events; e++) {
        const struct toc_scenario_event *event = &scenario->events[e];
        char text[TOC_TIME_TEXT_SIZE];
        toc_time_format(event->origin, text, sizeof text);
        printf("event M %.1f at %s, %.3f %.3f, depth %.1f km\n", event->quake.magnitude, text, event->latitude_deg,
               event->longitude_deg, event->depth_km);
    }
}

static int generate_with(const struct toc_scenario_options *options, const char *directory, bool delays,
                         double packet_s)
{
    struct toc_scenario *scenario = NULL;
    char why[160] = "";
    int result = toc_scenario_create(options, &scenario, why, sizeof why);
    if (result == -EINVAL) {
        fprintf(stderr, "tocsin-sim: %s\n", why);
        return 2;
    }
    if (result == 0)
        result = toc_scenario_write(scenario, directory, delays, packet_s);
    if (result == 0)
        tell(scenario, directory);
    toc_scenario_destroy(scenario);
    return result < 0 ? fail(directory, result) : 0;
}

static int generate(int argc, char **argv)
{
    struct toc_scenario_options scenario;
    toc_scenario_defaults(&scenario);
    unsigned long long seed = scenario.seed, events = scenario.n_events, sites = scenario.n_sites;
    bool delays = false, now = false;
    double packet_s = 0.0;
    const char *directory = NULL, *rates = NULL, *stations = NULL, *start = NULL;
    const struct toc_option options[] = {
        {"--seed", TOC_OPTION_COUNT, &seed},
        {"--magnitude", TOC_OPTION_NUMBER, &scenario.magnitude},
        {"--events", TOC_OPTION_COUNT, &events},
        {"--depth", TOC_OPTION_NUMBER, &scenario.depth_km},
        {"--origin", TOC_OPTION_NUMBER, &scenario.first_origin_s},
        {"--duration", TOC_OPTION_NUMBER, &scenario.duration_s},
        {"--stations", TOC_OPTION_COUNT, &sites},
        {"--stations-file", TOC_OPTION_TEXT, &stations},
        {"--latitude", TOC_OPTION_NUMBER, &scenario.latitude_deg},
        {"--longitude", TOC_OPTION_NUMBER, &scenario.longitude_deg},
        {"--extent", TOC_OPTION_NUMBER, &scenario.extent_km},
        {"--rates", TOC_OPTION_TEXT, &rates},
        {"--accelerometers", TOC_OPTION_FLAG, &scenario.accelerometers},
        {"--nuisance", TOC_OPTION_FLAG, &scenario.nuisance},
        {"--delay", TOC_OPTION_FLAG, &delays},
        {"--packet", TOC_OPTION_NUMBER, &packet_s},
        {"--start", TOC_OPTION_TEXT, &start},
        {"--now", TOC_OPTION_FLAG, &now},
        {NULL, TOC_OPTION_FLAG, NULL},
    };
    if (toc_options_read(argc, argv, options, &directory) < 0 || !directory || packet_s < 0.0 ||
        (rates && !read_rates(rates, &scenario)) || (start && toc_time_parse(start, &scenario.start) < 0)) {
        fputs(usage, stderr);
        return 2;
    }
    scenario.seed = seed;
    scenario.n_events = events;
    scenario.n_sites = sites;
    if (now)
        scenario.start = time_now();
    char *text = NULL;
    const int result = stations ? read_text(stations, &text, &scenario.station_text_len) : 0;
    if (result < 0)
        return fail(stations, result);
    scenario.station_text = text;
    const int status = generate_with(&scenario, directory, delays, packet_s);
    free(text);
    return status;
}

static int show_usage(void)
{
    fputs(usage, stderr);
    fputs(toc_train_usage, stderr);
    return 2;
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "generate") == 0)
        return generate(argc - 2, argv + 2);
    if (argc >= 2 && strcmp(argv[1], "serve") == 0)
        return serve(argc - 2, argv + 2);
    if (argc >= 2 && strcmp(argv[1], "train") == 0) {
        const int status = toc_train(argc - 2, argv + 2);
        return status == 2 ? show_usage() : status;
    }
    return show_usage();
}
