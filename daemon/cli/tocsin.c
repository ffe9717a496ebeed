/*
 * tocsin, the operator's tool: one command, its arguments, an exit code.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/cli/commands.h"
#include "daemon/log.h"

#ifndef TOCSIN_VERSION
#define TOCSIN_VERSION "0.1.0"
#endif

static const char usage[] = "usage: tocsin COMMAND [options]\n"
                            "  tail      print messages of a running daemon as they come\n"
                            "  status    what a running daemon sees: feeds, stations, counters\n"
                            "  check     read a configuration file and say what is wrong with it\n"
                            "  reload    let a running daemon read its configuration again\n"
                            "  replay    run the pipeline on recorded files\n"
                            "  model     what a network says of itself, and whether it passes its self-test\n"
                            "tocsin COMMAND --help tells more; tocsin --version the version.\n";

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"tail", toc_command_tail},     {"status", toc_command_status}, {"check", toc_command_check},
    {"reload", toc_command_reload}, {"replay", toc_command_replay}, {"model", toc_command_model},
};

int main(int argc, char **argv)
{
    toc_log_open("tocsin", TOC_LOG_INFO);
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        fputs(usage, argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("tocsin " TOCSIN_VERSION);
        return 0;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "tocsin: unknown command '%s'\n%s", argv[1], usage);
    return 2;
}
