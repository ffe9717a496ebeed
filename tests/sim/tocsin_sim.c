/*
 * tocsin-sim: makes earthquakes. `generate` writes a scenario directory,
 * `train` writes single-station records for the estimator. It reads nothing
 * of the daemon and the daemon reads nothing of it but miniSEED.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/options.h"
#include "tests/sim/records.h"

static const char usage[] =
    "usage: tocsin-sim train --count K --out FILE [--seed N] [--first I]\n";

static int fail(const char *what, int error)
{
    fprintf(stderr, "tocsin-sim: %s: %s\n", what, strerror(-error));
    return 1;
}

static int train(int argc, char **argv)
{
    unsigned long long seed = 1, count = 0, first = 0;
    const char *out = NULL;
    const struct toc_option options[] = {
        {"--seed", TOC_OPTION_COUNT, &seed},
        {"--count", TOC_OPTION_COUNT, &count},
        {"--first", TOC_OPTION_COUNT, &first},
        {"--out", TOC_OPTION_TEXT, &out},
        {NULL, TOC_OPTION_FLAG, NULL},
    };
    if (toc_options_read(argc, argv, options, NULL) < 0 || count == 0 || !out) {
        fputs(usage, stderr);
        return 2;
    }
    struct toc_records *records = NULL;
    int result = toc_records_create(seed, &records);
    if (result < 0)
        return fail("train", result);
    FILE *file = fopen(out, "wb");
    result = file ? toc_records_write(records, first, count, file) : -errno;
    if (file && fclose(file) != 0 && result == 0)
        result = -errno;
    toc_records_destroy(records);
    return result < 0 ? fail(out, result) : 0;
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "train") == 0)
        return train(argc - 2, argv + 2);
    fputs(usage, stderr);
    return 2;
}
