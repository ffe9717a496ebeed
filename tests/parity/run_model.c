/*
 * run_model MODEL.safetensors IN.f32 OUT.f32
 *
 * Runs a model file on raw rows: float32 of this machine, [rows][channels],
 * any number of windows one after the other when the graph names its length,
 * else all rows as one window. Writes the output rows the same way. What an
 * importer checks a converted network with, before anyone listens to it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/model.h"
#include "tests/unit/model_file.h"

static struct toc_model *load(const char *path)
{
    struct toc_model *model = NULL;
    char why[256] = "cannot be read";
    size_t len;
    uint8_t *bytes = model_file_read(path, &len);

    if (bytes == NULL || toc_model_load(bytes, len, &model, why, sizeof(why)) != 0)
        fprintf(stderr, "run_model: %s: %s\n", path, why);
    free(bytes);
    return model;
}

/* Each window from zero state. @return 0, or 1 when the model does not take this many rows or OUT cannot be written */
static int run(const struct toc_model *model, const float *rows, uint32_t window, size_t n_windows, FILE *out)
{
    struct toc_model_scratch *scratch = NULL;
    size_t outputs = toc_model_outputs(model), inputs = toc_model_inputs(model);
    float *result = calloc((size_t)toc_model_window_rows(model, window) * outputs + 1, sizeof(*result));
    int bad = result == NULL || toc_model_scratch_create(model, window, &scratch) != 0;

    for (size_t i = 0; !bad && i < n_windows; i++) {
        uint32_t n = 0;

        bad = toc_model_run_window(model, scratch, rows + i * window * inputs, window, result, &n) != 0 ||
              fwrite(result, sizeof(*result), n * outputs, out) != n * outputs;
    }
    toc_model_scratch_destroy(scratch);
    free(result);
    return bad;
}

static int run_file(const struct toc_model *model, const char *in_path, const char *out_path)
{
    size_t len, inputs = toc_model_inputs(model), rows, window;
    float *in = (void *)model_file_read(in_path, &len);
    FILE *out;
    int bad;

    rows = len / sizeof(*in) / inputs;
    window = toc_model_length(model) > 0 ? toc_model_length(model) : rows;
    if (in == NULL || rows == 0 || len % (sizeof(*in) * inputs) != 0 || rows % window != 0 || window > UINT32_MAX) {
        fprintf(stderr, "run_model: %s: %zu bytes are no windows of %zu rows of %zu channels\n", in_path, len, window,
                inputs);
        free(in);
        return 1;
    }
    out = fopen(out_path, "wb");
    bad = out == NULL || run(model, in, (uint32_t)window, rows / window, out) != 0;
    if (out != NULL && fclose(out) != 0)
        bad = 1;
    if (bad)
        fprintf(stderr, "run_model: %s: %zu rows do not fit the model, or it cannot be written\n", out_path, window);
    else
        printf("%s: %zu windows of %zu rows of %zu, to %u rows of %u\n", toc_model_name(model), rows / window, window,
               inputs, toc_model_window_rows(model, (uint32_t)window), toc_model_outputs(model));
    free(in);
    return bad;
}

int main(int argc, char **argv)
{
    struct toc_model *model;
    int bad;

    if (argc != 4) {
        fprintf(stderr, "usage: run_model MODEL.safetensors IN.f32 OUT.f32\n");
        return 2;
    }
    model = load(argv[1]);
    if (model == NULL)
        return 1;
    bad = run_file(model, argv[2], argv[3]);
    toc_model_destroy(model);
    return bad;
}
