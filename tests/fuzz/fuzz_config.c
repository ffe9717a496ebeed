/*
 * Fuzz target: the configuration text. Refused with a reason and a place inside the
 * text, or accepted: then what is printed must read back to the same values,
 * every number within its row's range.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                               \
    do {                                                                                                              \
        if (!(condition))                                                                                             \
            abort();                                                                                                  \
    } while (0)

static void check_refusal(const struct toc_config_error *error, const uint8_t *data, size_t size)
{
    int lines = 2; /* the end of the text counts as a line of its own */

    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n' || data[i] == '\r' || data[i] == 0x85 || data[i] == 0xa8 || data[i] == 0xa9;
    MUST(error->text[0]);
    if (strcmp(error->file, "fuzz.yaml") == 0)
        MUST(error->place.line >= 0 && error->place.line <= lines && error->place.column >= 0);
}

static void check_ranges(const struct toc_schema *schema, const void *object)
{
    for (size_t i = 0; i < schema->n_rows; i++) {
        const struct toc_row *row = &schema->rows[i];
        const char *at = (const char *)object + row->offset;

        if (row->type == TOC_ROW_NUMBER && !((row->flags & TOC_ROW_AUTO) && *(const double *)at == TOC_AUTO))
            MUST(isfinite(*(const double *)at) && *(const double *)at >= row->min && *(const double *)at <= row->max);
        if (row->type == TOC_ROW_INTEGER)
            MUST(*(const int32_t *)at >= row->min && *(const int32_t *)at <= row->max);
        if (row->type == TOC_ROW_TEXT)
            MUST(memchr(at, 0, row->size));
        if (row->type == TOC_ROW_LIST) {
            const struct toc_list *list = (const void *)at;

            for (size_t k = 0; k < list->n; k++)
                check_ranges(row->items, (const char *)list->items + k * row->items->size);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct toc_config_error error;
    struct toc_config *config = NULL, *again = NULL;
    char *text;

    if (toc_config_parse((const char *)data, size, "fuzz.yaml", "/nonexistent", &config, &error) < 0) {
        MUST(!config);
        check_refusal(&error, data, size);
        return 0;
    }
    check_ranges(&toc_config_schema, config);
    text = toc_config_print(config);
    MUST(text);
    MUST(toc_config_parse(text, strlen(text), "printed.yaml", "/other", &again, &error) == 0);
    MUST(toc_schema_differs(&toc_config_schema, config, again, 0) == toc_config_schema.n_rows);
    free(text);
    toc_config_destroy(config);
    toc_config_destroy(again);
    return 0;
}
