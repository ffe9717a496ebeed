/* See options.h. */
#include "tests/sim/options.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_value(const struct toc_option *option, const char *text)
{
    char *end = NULL;
    errno = 0;
    switch (option->type) {
    case TOC_OPTION_COUNT: {
        const unsigned long long count = strtoull(text, &end, 10);
        if (end == text || *end || errno || text[0] == '-')
            return false;
        *(unsigned long long *)option->value = count;
        return true;
    }
    case TOC_OPTION_NUMBER: {
        const double number = strtod(text, &end);
        if (end == text || *end || !isfinite(number))
            return false;
        *(double *)option->value = number;
        return true;
    }
    case TOC_OPTION_TEXT:
        *(const char **)option->value = text;
        return true;
    case TOC_OPTION_FLAG:
        break;
    }
    return false;
}

static int refuse(const char *why, const char *what)
{
    fprintf(stderr, "tocsin-sim: %s: %s\n", why, what);
    return -EINVAL;
}

int toc_options_read(int argc, char **argv, const struct toc_option *options, const char **ret_operand)
{
    const char *operand = NULL;
    for (int i = 0; i < argc; i++) {
        if (argv[i][0] != '-') {
            if (!ret_operand || operand)
                return refuse("unexpected argument", argv[i]);
            operand = argv[i];
            continue;
        }
        const struct toc_option *option = options;
        while (option->name && strcmp(option->name, argv[i]) != 0)
            option++;
        if (!option->name)
            return refuse("unknown option", argv[i]);
        if (option->type == TOC_OPTION_FLAG) {
            *(bool *)option->value = true;
            continue;
        }
        if (i + 1 >= argc || !read_value(option, argv[i + 1]))
            return refuse("missing or bad value of", argv[i]);
        i++;
    }
    if (ret_operand)
        *ret_operand = operand;
    return 0;
}
