/*
 * tocsin status: the daemon's answer, readable or as it is.
 */
#include "daemon/cli/commands.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "daemon/cli/client.h"
#include "daemon/config.h"

static const char usage[] = "usage: tocsin status [-c CONFIG | --socket PATH] [--json]\n"
                            "What a running daemon sees: feeds, stations with the reason of their state, counters.\n"
                            "Exit code: 0 answered, 2 no daemon.\n";

static const struct option options[] = {
    {"config", required_argument, NULL, 'c'}, {"socket", required_argument, NULL, 's'},
    {"json", no_argument, NULL, 'j'},         {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "-";
}

static long long count_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void show_head(const json_t *root)
{
    printf("%s (%s), up %.0f s, configuration revision %lld, picker %s, estimator %s\n", text_of(root, "name"),
           text_of(root, "status"), json_number_value(json_object_get(root, "uptime_s")),
           count_of(root, "config_revision"), text_of(root, "picker"), text_of(root, "estimator"));
}

static void show_models(json_t *models)
{
    const char *place, *hash, *problem;
    json_t *model;

    json_object_foreach(models, place, model)
    {
        if (!json_is_object(model))
            continue;
        hash = json_string_value(json_object_get(model, "hash"));
        problem = json_string_value(json_object_get(model, "problem"));
        printf("model    %-28s %s%s%.12s%s%s\n", place, text_of(model, "name"), hash ? " " : "", hash ? hash : "",
               problem ? ": " : "", problem ? problem : "");
    }
    if (count_of(models, "stations_changing") > 0)
        printf("model    a new picker warms up at %lld stations\n", count_of(models, "stations_changing"));
}

static void show_feed(const json_t *feed)
{
    const char *problem = text_of(feed, "problem");

    printf("feed     %-28s %-12s %lld records, %lld connects, %lld drops%s%s\n", text_of(feed, "name"),
           text_of(feed, "state"), count_of(feed, "records"), count_of(feed, "connects"), count_of(feed, "drops"),
           problem[0] ? ": " : "", problem);
}

static void show_station(const json_t *station)
{
    const json_t *latency = json_object_get(station, "latency_s");

    printf("station  %-28s %-12s ", text_of(station, "sid"), text_of(station, "status"));
    if (json_is_number(latency))
        printf("%6.1f s old", json_number_value(latency));
    printf("  %lld picks, %lld gaps\n", count_of(station, "picks"), count_of(station, "gaps"));
}

static void show_counters(json_t *counters)
{
    const char *name;
    json_t *value;

    json_object_foreach(counters, name, value)
        if (json_integer_value(value))
            printf("counter  %-28s %lld\n", name, (long long)json_integer_value(value));
}

static int show(const char *answer)
{
    json_t *root = json_loads(answer, 0, NULL), *item;
    size_t i;

    if (!root) {
        fprintf(stderr, "tocsin status: %s", answer);
        return 2;
    }
    show_head(root);
    show_models(json_object_get(root, "models"));
    json_array_foreach(json_object_get(root, "feeds"), i, item)
        show_feed(item);
    json_array_foreach(json_object_get(root, "stations"), i, item)
        show_station(item);
    show_counters(json_object_get(root, "counters"));
    item = json_object_get(root, "output");
    printf("output   %lld subscribers, %lld messages sent\n", count_of(item, "subscribers"), count_of(item, "lines"));
    json_decref(root);
    return 0;
}

static int ask(const char *path, bool raw)
{
    char *answer = toc_client_ask(path, "status");
    int code = 0;

    if (!answer)
        return 2;
    if (raw)
        fputs(answer, stdout);
    else
        code = show(answer);
    free(answer);
    return code;
}

int toc_command_status(int argc, char **argv)
{
    const char *given = NULL, *config = NULL;
    char path[TOC_CONFIG_PATH_SIZE];
    bool raw = false;
    int option;

    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (option == 'c')
            config = optarg;
        else if (option == 's')
            given = optarg;
        else if (option == 'j')
            raw = true;
        else {
            fputs(usage, option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
    }
    if (optind != argc || toc_client_socket(given, config, 1, path, sizeof(path)) != 0) {
        fputs(usage, stderr);
        return 2;
    }
    return ask(path, raw);
}
