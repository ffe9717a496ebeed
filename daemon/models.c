/*
 * A network that is not what its place wants is told apart from one that is
 * not there: the caller decides what to do without it.
 */
#include "daemon/models.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/manifest.h"
#include "daemon/config.h"
#include "daemon/files.h"

static int say(char *why, size_t size, int err, const char *path, const char *reason)
{
    snprintf(why, size, "%s: %s", path, reason);
    return err;
}

static int read_model(const char *path, struct toc_model **ret_model, char *why, size_t size)
{
    struct toc_file file;
    char reason[512] = "";
    int err = toc_file_read(path, TOC_MODEL_BYTES_MAX, &file);

    if (err < 0)
        return say(why, size, err, path, strerror(-err));
    err = toc_model_load((const uint8_t *)file.bytes, file.len, ret_model, reason, sizeof(reason));
    toc_file_finish(&file);
    return err < 0 ? say(why, size, err, path, reason[0] ? reason : strerror(-err)) : 0;
}

static int load_for(const struct toc_contract *contract, const char *path, struct toc_model **ret_model, char *why,
                    size_t size)
{
    struct toc_model *model = NULL;
    char reason[TOC_MODELS_WHY_SIZE] = "";
    int err = read_model(path, &model, why, size);

    if (err < 0)
        return err;
    err = toc_contract_check(contract, model, reason, sizeof(reason));
    if (err < 0) {
        toc_model_destroy(model);
        return say(why, size, err, path, reason);
    }
    *ret_model = model;
    return 0;
}

int toc_placed_model_load(const char *configured, const struct toc_contract *contract,
                          struct toc_placed_model *ret_placed)
{
    char path[TOC_CONFIG_PATH_SIZE], relative[128];

    *ret_placed = (struct toc_placed_model){0};
    if (strcmp(configured, "none") == 0)
        return 0;
    if (configured[0])
        return load_for(contract, configured, &ret_placed->model, ret_placed->why, sizeof(ret_placed->why));
    snprintf(relative, sizeof(relative), "models/%s/weights.safetensors", contract->kind);
    if (toc_path_shipped(relative, path, sizeof(path)) < 0) {
        (void)say(ret_placed->why, sizeof(ret_placed->why), 0, path, "not installed");
        return 0;
    }
    return load_for(contract, path, &ret_placed->model, ret_placed->why, sizeof(ret_placed->why));
}

void toc_placed_model_finish(struct toc_placed_model *placed)
{
    toc_model_destroy(placed->model);
    *placed = (struct toc_placed_model){0};
}

int toc_model_file_load(const char *path, struct toc_model **ret_model, char *ret_why, size_t why_size)
{
    const struct toc_contract *contract;
    struct toc_model *model = NULL;
    int err = read_model(path, &model, ret_why, why_size);

    if (err < 0)
        return err;
    contract = toc_model_manifest(model) ? toc_contract_of(toc_model_manifest(model)->kind) : &toc_contract_picker;
    if (!contract) {
        err = say(ret_why, why_size, -EINVAL, path, "of a kind this program has no place for");
        toc_model_destroy(model);
        return err;
    }
    toc_model_destroy(model);
    return load_for(contract, path, ret_model, ret_why, why_size);
}

/* ---- for people ---- */

static void print_line(const struct toc_model *model, const char *path, FILE *out)
{
    const struct toc_manifest *m = toc_model_manifest(model);

    fprintf(out, "%s: %s, sha256 %s, %u values in at %g Hz, %u out, self-test passed\n", path, toc_model_name(model),
            toc_model_checksum(model), toc_model_inputs(model), m->rate_hz, toc_model_outputs(model));
}

static void print_thresholds(const struct toc_manifest *m, FILE *out)
{
    for (int phase = 0; phase < 2; phase++)
        for (int layout = 0; layout < TOC_LAYOUTS; layout++)
            if (isfinite(m->thresholds[phase][layout]))
                fprintf(out, "threshold %s, %s: %g\n", phase == TOC_PHASE_P ? "P" : "S",
                        toc_layout_str((enum toc_layout)layout), m->thresholds[phase][layout]);
}

static void print_member(const json_t *json, const char *key, FILE *out)
{
    char *text = json_dumps(json_object_get(json, key), JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));

    if (text && strcmp(text, "null") != 0)
        fprintf(out, "%s: %s\n", key, text);
    free(text);
}

/* The answer of the golden question is for machines; all else is shown. */
void toc_model_print(const struct toc_model *model, const char *path, FILE *out)
{
    static const char *const shown[] = {"made", "card", "parent", "input", "output"};
    json_t *json = json_loads(toc_model_manifest_text(model), 0, NULL), *value;
    const json_t *training = json_object_get(json, "training");
    const char *key;

    print_line(model, path, out);
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
        print_member(json, shown[i], out);
    print_thresholds(toc_model_manifest(model), out);
    json_object_foreach((json_t *)training, key, value)
    {
        fputs("training ", out);
        print_member(training, key, out);
    }
    json_decref(json);
}
