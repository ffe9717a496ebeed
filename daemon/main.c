/*
 * tocsind: arguments, then the daemon.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/config.h"
#include "daemon/daemon.h"
#include "daemon/log.h"

#ifndef TOCSIN_VERSION
#define TOCSIN_VERSION "0.1.0"
#endif

static const char usage[] =
    "usage: tocsind [options]\n"
    "Earthquake early-warning daemon: seismic streams in, alerts out.\n"
    "  -c, --config FILE     configuration (default: built-in values)\n"
    "      --check-config    read and check it, the station metadata and the networks it names; 0 good, 1 not\n"
    "      --print-config    write the effective configuration, commented, and stop\n"
    "  -d, --debug           log every state change\n"
    "      --version, --help\n"
    "Signals: SIGHUP reads the configuration again, SIGTERM and SIGINT stop.\n";

enum action { RUN, CHECK, PRINT, VERSION, HELP, BAD };

static const struct option options[] = {
    {"config", required_argument, NULL, 'c'},  {"check-config", no_argument, NULL, 'k'},
    {"print-config", no_argument, NULL, 'p'},  {"debug", no_argument, NULL, 'd'},
    {"version", no_argument, NULL, 'v'},       {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct arguments {
    enum action action;
    const char *config;
    bool debug;
};

static struct arguments read_arguments(int argc, char **argv)
{
    struct arguments a = {.action = RUN};
    int option;

    while ((option = getopt_long(argc, argv, "c:dh", options, NULL)) != -1) {
        if (option == 'c')
            a.config = optarg;
        else if (option == 'd')
            a.debug = true;
        else
            a.action = option == 'k' ? CHECK : option == 'p' ? PRINT : option == 'v' ? VERSION
                       : option == 'h' ? HELP : BAD;
        if (a.action == BAD)
            return a;
    }
    if (optind != argc)
        a.action = BAD;
    return a;
}

static int load(const char *path, struct toc_config **ret_config)
{
    struct toc_config_error error = {0};
    char text[1024];
    int err = path ? toc_config_load(path, ret_config, &error) : toc_config_create(ret_config);

    if (err < 0 && path) {
        toc_config_error_str(&error, text, sizeof(text));
        fprintf(stderr, "%s\n", text);
    }
    return err;
}

static int print(const struct toc_config *config)
{
    char *text = toc_config_print(config);

    if (!text)
        return 1;
    fputs(text, stdout);
    free(text);
    return fflush(stdout) == 0 ? 0 : 1;
}

/* @return 0, or 1: it would start, but not with this network */
static int check_model(const char *configured, const struct toc_contract *contract)
{
    struct toc_placed_model placed;
    int err = toc_placed_model_load(configured, contract, &placed);

    if (placed.why[0])
        fprintf(stderr, "%s %s\n", contract->kind, placed.why);
    if (placed.model)
        toc_model_print(placed.model, contract->kind, stdout);
    toc_placed_model_finish(&placed);
    return err < 0 ? 1 : 0;
}

static int check(const char *path, const struct toc_config *config)
{
    int bad;

    struct toc_inventory inventory = {0};
    char why[1024];

    if (config->stations_path[0] &&
        toc_inventory_load(config->stations_path, &inventory, why, sizeof(why)) < 0) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    bad = check_model(config->picker_path, &toc_contract_picker);
    bad |= config->shadow_path[0] ? check_model(config->shadow_path, &toc_contract_picker) : 0;
    bad |= check_model(config->second_path, &toc_contract_second);
    bad |= check_model(config->estimator_path, &toc_contract_estimator);
    if (bad) {
        toc_inventory_finish(&inventory);
        return 1;
    }
    printf("%s: good (%zu channels, %zu feeds, %zu layers, %zu targets)\n", path ? path : "defaults", inventory.n,
           config->feeds.n, config->n_layers, config->n_targets);
    toc_inventory_finish(&inventory);
    return 0;
}

static int with_config(const struct arguments *a)
{
    struct toc_config *config = NULL;
    int code;

    if (load(a->config, &config) < 0)
        return 1;
    if (a->action == RUN)
        return toc_daemon_run(a->config, config);
    code = a->action == PRINT ? print(config) : check(a->config, config);
    toc_config_destroy(config);
    return code;
}

/* The pool also looks up names, and a name server that hangs must not keep the network from a thread. OpenBLAS would
 * bring threads of its own; one batch is too small for them. */
static void prepare_process(void)
{
    setenv("UV_THREADPOOL_SIZE", "20", 0);
    setenv("OPENBLAS_NUM_THREADS", "1", 0);
    signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
    struct arguments a = read_arguments(argc, argv);

    prepare_process();
    toc_log_open("tocsind", a.debug ? TOC_LOG_DEBUG : TOC_LOG_INFO);
    switch (a.action) {
    case VERSION:
        puts("tocsind " TOCSIN_VERSION);
        return 0;
    case HELP:
        fputs(usage, stdout);
        return 0;
    case BAD:
        fputs(usage, stderr);
        return 2;
    case RUN:
    case CHECK:
    case PRINT:
        break;
    }
    return with_config(&a);
}
