/*
 * The shipped picker (models/picker/weights.safetensors) in the C runtime:
 * the answers PyTorch gave on stored features of made-up ground are
 * repeated, streamed in the pipeline's blocks. Says nothing about how well
 * it picks; models/picker/card.md does.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/contract.h"
#include "core/manifest.h"
#include "core/model.h"
#include "tests/unit/model_file.h"

#define TOLERANCE 1e-4
#define BLOCK 50 /* rows: hop_s of 0.5 s */

static uint8_t *read_from_source(const char *name, size_t *ret_len)
{
    const char *root = getenv("TOCSIN_SOURCE");
    char path[512];
    uint8_t *bytes;

    snprintf(path, sizeof(path), "%s/%s", root != NULL ? root : ".", name);
    bytes = model_file_read(path, ret_len);
    if (bytes == NULL)
        fail_msg("cannot read %s", path);
    return bytes;
}

static struct toc_model *load_picker(void)
{
    size_t len = 0;
    uint8_t *bytes = read_from_source("models/picker/weights.safetensors", &len);
    struct toc_model *model = NULL;
    char why[256] = "";

    if (toc_model_load(bytes, len, &model, why, sizeof(why)) != 0)
        fail_msg("not loaded: %s", why);
    free(bytes);
    return model;
}

static void has_the_shape_the_pipeline_expects(void **state)
{
    struct toc_model *model = load_picker();
    const struct toc_manifest *manifest = toc_model_manifest(model);
    char why[256] = "";

    (void)state;
    if (toc_contract_check(&toc_contract_picker, model, why, sizeof(why)) != 0)
        fail_msg("%s", why);
    assert_memory_equal(toc_model_name(model), "picker ", 7); /* and its version */
    assert_int_equal(toc_model_inputs(model), 7);
    assert_int_equal(toc_model_outputs(model), 7);
    assert_int_equal(toc_model_stride(model), 5);
    for (int layout = 0; layout < TOC_LAYOUTS; layout++) {
        double p = manifest->thresholds[TOC_PHASE_P][layout], s = manifest->thresholds[TOC_PHASE_S][layout];

        assert_true(p > 0.5 && p < 1.0 && s > 0.3 && s < 1.0);
    }
    toc_model_destroy(model);
}

static void repeats_pytorch(void **state)
{
    size_t len = 0;
    uint8_t *bytes = read_from_source("tests/parity/picker.vec", &len);
    struct toc_model *model = load_picker();
    struct toc_model_stream *stream = NULL;
    struct toc_model_scratch *scratch = NULL;
    uint32_t shape[4];
    const float *in, *want;
    float out[BLOCK / 5 * 7], worst = 0.0f;

    (void)state;
    memcpy(shape, bytes, sizeof(shape));
    assert_int_equal(shape[0] % BLOCK, 0);
    assert_int_equal(shape[0], shape[2] * 5);
    assert_int_equal(len, 16 + 4 * 7 * ((size_t)shape[0] + shape[2]));
    in = (const float *)(bytes + 16);
    want = in + 7 * (size_t)shape[0];
    assert_int_equal(toc_model_stream_create(model, &stream), 0);
    assert_int_equal(toc_model_scratch_create(model, BLOCK, &scratch), 0);
    for (uint32_t row = 0; row < shape[0]; row += BLOCK) {
        toc_model_push(model, stream, scratch, in + 7 * (size_t)row, BLOCK, out);
        for (uint32_t i = 0; i < BLOCK / 5 * 7; i++)
            worst = fmaxf(worst, fabsf(out[i] - want[7 * (size_t)(row / 5) + i]));
    }
    if (!(worst <= (float)TOLERANCE))
        fail_msg("off by %g", (double)worst);
    toc_model_scratch_destroy(scratch);
    toc_model_stream_destroy(stream);
    toc_model_destroy(model);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_the_shape_the_pipeline_expects),
        cmocka_unit_test(repeats_pytorch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
