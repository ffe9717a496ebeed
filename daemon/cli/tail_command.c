/*
 * tocsin tail: messages as they come, one readable line each, or as they are.
 */
#include "daemon/cli/commands.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "daemon/cli/client.h"
#include "daemon/config.h"
#include "daemon/unixsock.h"

static const char usage[] = "usage: tocsin tail [-c CONFIG | --socket PATH] [--json] [--heartbeats] [-n N]\n"
                            "Print messages of a running daemon as they come.\n"
                            "      --json        as sent\n"
                            "      --heartbeats  these too\n"
                            "  -n N              stop after N messages\n"
                            "Exit code: 0 after N messages or when the daemon stopped, 2 no daemon.\n";

static const struct option options[] = {
    {"config", required_argument, NULL, 'c'}, {"socket", required_argument, NULL, 's'},
    {"json", no_argument, NULL, 'j'},         {"heartbeats", no_argument, NULL, 'b'},
    {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
};

struct tail {
    bool raw, heartbeats;
    long most; /* 0: no end */
    long shown;
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "-";
}

static double number_of(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* "17:33:52.34" of an RFC 3339 time */
static const char *clock_of(const char *time, char buf[16])
{
    snprintf(buf, 16, "%.11s", strlen(time) > 22 ? time + 11 : time);
    return buf;
}

static void show_pick(const json_t *m)
{
    char at[16];

    printf("pick       %-26s %s %s  p %.2f  snr %.0f dB  %s\n", text_of(m, "sid"), text_of(m, "phase"),
           clock_of(text_of(m, "time"), at), number_of(m, "probability"), number_of(m, "snr_db"),
           text_of(m, "method"));
}

static void show_estimate(const json_t *m)
{
    printf("estimate   %-26s %4.1f s after P: M %.1f +- %.1f\n", text_of(m, "sid"), number_of(m, "after_p_s"),
           number_of(m, "magnitude"), number_of(m, "magnitude_sigma"));
}

static void show_target(const json_t *target)
{
    printf("           -> %-24s MMI %.1f +- %.1f, S in %.1f s%s\n", text_of(target, "name"), number_of(target, "mmi"),
           number_of(target, "mmi_sigma"), number_of(target, "seconds_left"),
           json_is_true(json_object_get(target, "blind_zone")) ? " (blind zone)" : "");
}

static void show_event(const json_t *m)
{
    double delay = ((double)json_integer_value(json_object_get(m, "issued_ns")) -
                    (double)json_integer_value(json_object_get(m, "origin_time_ns"))) / 1e9;
    json_t *target;
    char at[16];
    size_t i;

    printf("%-10s %s v%.0f  M %s%.1f +- %.1f  %.3f %.3f  %.0f km deep  origin %s, %.1f s ago  score %.2f  [%s] %s\n",
           text_of(m, "type"), text_of(m, "event"), number_of(m, "version"),
           json_is_true(json_object_get(m, "magnitude_at_least")) ? ">= " : "", number_of(m, "magnitude"),
           number_of(m, "magnitude_sigma"), number_of(m, "latitude"), number_of(m, "longitude"),
           number_of(m, "depth_km"), clock_of(text_of(m, "origin_time"), at), delay, number_of(m, "score"),
           text_of(m, "status"), text_of(m, "reason"));
    json_array_foreach(json_object_get(m, "targets"), i, target)
        show_target(target);
}

static void show_heartbeat(const json_t *m)
{
    printf("heartbeat  %.0f of %.0f stations up, data %.1f s old\n", number_of(m, "stations_up"),
           number_of(m, "stations_total"), number_of(m, "feed_latency_s"));
}

static void show(const json_t *m)
{
    const char *type = text_of(m, "type");

    if (strcmp(type, "heartbeat") == 0)
        show_heartbeat(m);
    else if (strcmp(type, "pick") == 0)
        show_pick(m);
    else if (strcmp(type, "estimate") == 0)
        show_estimate(m);
    else
        show_event(m);
}

static void take(struct tail *tail, const char *line)
{
    json_t *message = json_loads(line, 0, NULL);
    bool beat = message && strcmp(text_of(message, "type"), "heartbeat") == 0;

    if (message && (!beat || tail->heartbeats)) {
        if (tail->raw)
            fputs(line, stdout);
        else
            show(message);
        fflush(stdout);
        tail->shown++;
    }
    json_decref(message);
}

static int follow(const char *path, struct tail *tail)
{
    int fd = toc_unix_connect(path);
    FILE *stream = fd < 0 ? NULL : fdopen(fd, "r");
    char *line = NULL;
    size_t size = 0;

    if (!stream) {
        fprintf(stderr, "tocsin: %s: %s (is tocsind running?)\n", path, strerror(fd < 0 ? -fd : 0));
        if (fd >= 0)
            close(fd);
        return 2;
    }
    while ((!tail->most || tail->shown < tail->most) && getline(&line, &size, stream) > 0)
        take(tail, line);
    free(line);
    fclose(stream);
    return 0;
}

static int take_option(int option, struct tail *tail, const char **config, const char **given)
{
    if (option == 'c')
        *config = optarg;
    else if (option == 's')
        *given = optarg;
    else if (option == 'j')
        tail->raw = true;
    else if (option == 'b')
        tail->heartbeats = true;
    else if (option == 'n' && strtol(optarg, NULL, 10) > 0)
        tail->most = strtol(optarg, NULL, 10);
    else
        return -1;
    return 0;
}

int toc_command_tail(int argc, char **argv)
{
    const char *given = NULL, *config = NULL;
    char path[TOC_CONFIG_PATH_SIZE];
    struct tail tail = {0};
    int option;

    while ((option = getopt_long(argc, argv, "c:n:h", options, NULL)) != -1)
        if (take_option(option, &tail, &config, &given) < 0) {
            fputs(usage, option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
    if (optind != argc || toc_client_socket(given, config, 0, path, sizeof(path)) != 0) {
        fputs(usage, stderr);
        return 2;
    }
    return follow(path, &tail);
}
