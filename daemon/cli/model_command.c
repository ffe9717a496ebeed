/*
 * tocsin model: is this file a network the daemon would take, and what does
 * it say of itself?
 */
#include "daemon/cli/commands.h"

#include <stdio.h>
#include <string.h>

#include "daemon/models.h"

static const char usage[] = "usage: tocsin model FILE\n"
                            "Load a network as the daemon does, ask its golden question, print its manifest.\n"
                            "Exit code: 0 the daemon would take it, 1 it would not (the reason on standard error).\n";

int toc_command_model(int argc, char **argv)
{
    struct toc_model *model = NULL;
    char why[TOC_MODELS_WHY_SIZE];

    if (argc != 2 || argv[1][0] == '-') {
        bool asked = argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);

        fputs(usage, asked ? stdout : stderr);
        return asked ? 0 : 2;
    }
    if (toc_model_file_load(argv[1], &model, why, sizeof(why)) < 0) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    toc_model_print(model, argv[1], stdout);
    toc_model_destroy(model);
    return 0;
}
