/*
 * tocsin check FILE and tocsin reload: is a configuration good, and take it.
 */
#include "daemon/cli/commands.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cli/client.h"
#include "daemon/config.h"
#include "daemon/engine.h"

static const char check_usage[] = "usage: tocsin check FILE\n"
                                  "Read a configuration and the files it names; say what is wrong, and where.\n"
                                  "Exit code: 0 good, 1 not.\n";

static int check_file(const char *path)
{
    struct toc_config_error error = {0};
    struct toc_config *config = NULL;
    struct toc_inventory inventory = {0};
    char text[1024] = "";
    int err = toc_config_load(path, &config, &error);

    if (err < 0)
        toc_config_error_str(&error, text, sizeof(text));
    else if (config->stations_path[0])
        err = toc_inventory_load(config->stations_path, &inventory, text, sizeof(text));
    if (err < 0)
        fprintf(stderr, "%s\n", text);
    else
        printf("%s: good (%zu channels, %zu feeds, %zu targets)\n", path, inventory.n, config->feeds.n,
               config->n_targets);
    toc_inventory_finish(&inventory);
    toc_config_destroy(config);
    return err < 0 ? 1 : 0;
}

int toc_command_check(int argc, char **argv)
{
    bool help = argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);

    if (argc != 2 || help) {
        fputs(check_usage, help ? stdout : stderr);
        return help ? 0 : 2;
    }
    return check_file(argv[1]);
}

static const char reload_usage[] = "usage: tocsin reload [-c CONFIG | --socket PATH]\n"
                                   "Let the daemon read its configuration again, and wait for its answer.\n"
                                   "Exit code: 0 taken, 1 refused (the old one stays; why is shown), 2 no daemon.\n";

static const struct option options[] = {
    {"config", required_argument, NULL, 'c'}, {"socket", required_argument, NULL, 's'},
    {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
};

static int ask_reload(const char *path)
{
    char *answer = toc_client_ask(path, "reload");
    int code;

    if (!answer)
        return 2;
    code = strncmp(answer, "ok", 2) == 0 ? 0 : 1;
    fputs(answer, code ? stderr : stdout);
    free(answer);
    return code;
}

int toc_command_reload(int argc, char **argv)
{
    const char *given = NULL, *config = NULL;
    char path[TOC_CONFIG_PATH_SIZE];
    int option;

    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (option == 'c')
            config = optarg;
        else if (option == 's')
            given = optarg;
        else {
            fputs(reload_usage, option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
    }
    if (optind != argc || toc_client_socket(given, config, 1, path, sizeof(path)) != 0) {
        fputs(reload_usage, stderr);
        return 2;
    }
    return ask_reload(path);
}
