/*
 * tocsin replay: arguments to options.
 */
#include "daemon/cli/commands.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/replay.h"

static const char usage[] =
    "usage: tocsin replay [options] DIR\n"
    "Run the daemon's pipeline on recorded files, with a virtual clock.\n"
    "DIR holds *.mseed and stations.txt; tocsin.yaml, targets.yaml and arrivals.csv are used when there.\n"
    "  -c, --config FILE     configuration (default: DIR/tocsin.yaml, else the shipped one)\n"
    "      --speed max|N     as fast as possible (default), or N times real time\n"
    "      --latency S       each record arrives S seconds after its last sample (default 0.5)\n"
    "      --out FILE        alerts as JSON lines (default: standard output)\n"
    "      --picks FILE      every pick and its revisions as JSON lines\n"
    "      --estimates FILE  every estimator step as JSON lines\n"
    "      --shadow MODEL    run this picker beside the live one; it decides nothing\n"
    "      --differences FILE  with a shadow: each onset that either said, as JSON lines (default: standard output)\n"
    "  -q, --quiet           no progress, no summary on standard error\n"
    "Exit code: 0 when the data were read to the end, 2 on bad arguments or input.\n";

enum { OPT_SPEED = 256, OPT_LATENCY, OPT_OUT, OPT_PICKS, OPT_ESTIMATES, OPT_SHADOW, OPT_DIFFERENCES };

static const struct option options[] = {
    {"config", required_argument, NULL, 'c'},         {"speed", required_argument, NULL, OPT_SPEED},
    {"latency", required_argument, NULL, OPT_LATENCY}, {"out", required_argument, NULL, OPT_OUT},
    {"picks", required_argument, NULL, OPT_PICKS},     {"estimates", required_argument, NULL, OPT_ESTIMATES},
    {"shadow", required_argument, NULL, OPT_SHADOW},   {"differences", required_argument, NULL, OPT_DIFFERENCES},
    {"quiet", no_argument, NULL, 'q'},                 {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int bad(const char *what, const char *value)
{
    fprintf(stderr, "tocsin replay: %s '%s'\n", what, value);
    return 2;
}

/* @return 0 and the number, or 2 */
static int number(const char *text, double lo, double hi, const char *what, double *ret)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end || !isfinite(value) || value < lo || value > hi)
        return bad(what, text);
    *ret = value;
    return 0;
}

static int speed(const char *text, double *ret)
{
    if (strcmp(text, "max") == 0) {
        *ret = 0;
        return 0;
    }
    return number(text, 1e-3, 1e6, "--speed is max, or a number from 0.001 to 1000000, not", ret);
}

static int take_option(int option, struct toc_replay_options *o)
{
    switch (option) {
    case 'c':
        o->config = optarg;
        return 0;
    case 'q':
        o->quiet = true;
        return 0;
    case OPT_SPEED:
        return speed(optarg, &o->speed);
    case OPT_LATENCY:
        return number(optarg, 0, 3600, "--latency is seconds from 0 to 3600, not", &o->latency_s);
    case OPT_OUT:
        o->out = optarg;
        return 0;
    case OPT_PICKS:
        o->picks = optarg;
        return 0;
    case OPT_ESTIMATES:
        o->estimates = optarg;
        return 0;
    case OPT_SHADOW:
        o->shadow = optarg;
        return 0;
    case OPT_DIFFERENCES:
        o->differences = optarg;
        return 0;
    default:
        fputs(usage, stderr);
        return 2;
    }
}

int toc_command_replay(int argc, char **argv)
{
    struct toc_replay_options o = {.latency_s = 0.5};
    int option;

    while ((option = getopt_long(argc, argv, "c:qh", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            return 0;
        }
        if (take_option(option, &o) != 0)
            return 2;
    }
    if (optind != argc - 1) {
        fputs(usage, stderr);
        return 2;
    }
    o.folder = argv[optind];
    return toc_replay_run(&o) < 0 ? 2 : 0;
}
