/*
 * What makes a network a model: its digest, what it says of itself, and
 * whether this program takes it. Files are made in memory; the shipped ones
 * are asked their questions in test_picker_weights and test_estimator.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/contract.h"
#include "core/manifest.h"
#include "tests/unit/model_file.h"

/* ---- digest: the examples of FIPS 180-4 (csrc.nist.gov, "SHA256.pdf"), and the empty message ---- */

static void must_be(const char *text, size_t times, const char *wanted)
{
    struct toc_digest digest;
    char hex[TOC_DIGEST_TEXT_SIZE];

    toc_digest_init(&digest);
    for (size_t i = 0; i < times; i++)
        toc_digest_add(&digest, text, strlen(text));
    toc_digest_text(&digest, hex);
    assert_string_equal(hex, wanted);
}

static void digests_are_those_of_the_standard(void **state)
{
    (void)state;
    must_be("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    must_be("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    must_be("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    must_be("a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* ---- manifests ---- */

#define INPUT                                                                                                 \
    "\"input\":{\"version\":1,\"rate_hz\":100,\"channels\":[\"hp_e\",\"hp_n\",\"hp_z\",\"fast_slow_e\","      \
    "\"fast_slow_n\",\"fast_slow_z\",\"rms_2s_30s\"]}"
#define OUTPUT                                                                                                \
    "\"output\":{\"channels\":[\"noise\",\"p\",\"s\",\"p_age_s\",\"p_ln_scale\",\"s_age_s\",\"s_ln_scale\"]}"
#define THRESHOLDS "\"thresholds\":{\"p\":{\"three_components\":0.9,\"vertical\":0.5},\"s\":{\"two_components\":null}}"
#define GOLDEN "\"golden\":{\"seed\":1,\"rows\":5,\"offset\":0,\"scale\":1,\"output\":[[1,2,3,4,5,6,7]]}"
#define COMMON INPUT "," OUTPUT "," THRESHOLDS "," GOLDEN

static void what_is_said_is_read(void **state)
{
    struct toc_manifest m = {0};
    char why[256] = "";

    (void)state;
    if (toc_manifest_read("{\"kind\":\"picker\",\"card\":\"a card\",\"parent\":null,\"training\":{\"words\":\"any\"}," COMMON
                          "}", &m, why, sizeof(why)) != 0)
        fail_msg("%s", why);
    assert_string_equal(m.kind, "picker");
    assert_string_equal(m.card, "a card");
    assert_string_equal(m.parent, "");
    assert_int_equal(m.input_version, 1);
    assert_true(m.rate_hz == 100);
    assert_string_equal(m.inputs, toc_contract_picker.inputs);
    assert_string_equal(m.outputs, toc_contract_picker.outputs);
    assert_true(m.thresholds[TOC_PHASE_P][TOC_LAYOUT_THREE] == 0.9 && m.thresholds[TOC_PHASE_P][TOC_LAYOUT_VERTICAL] == 0.5);
    assert_true(isnan(m.thresholds[TOC_PHASE_P][TOC_LAYOUT_TWO]) && isnan(m.thresholds[TOC_PHASE_S][TOC_LAYOUT_TWO]));
    assert_int_equal(m.golden.rows, 5);
    assert_int_equal(m.golden.kept, 1);
    assert_true(m.golden.answer[6] == 7);
    toc_manifest_finish(&m);
}

static void bad_manifests_are_refused_by_name(void **state)
{
    static const struct {
        const char *text, *named;
    } bad[] = {
        {"", "not a JSON object"},
        {"[1]", "not a JSON object"},
        {"{" COMMON "}", "kind"},
        {"{\"kind\":7," COMMON "}", "kind"},
        {"{\"kind\":\"../x\"," COMMON "}", "kind"},
        {"{\"kind\":\"picker\",\"card\":[]," COMMON "}", "card"},
        {"{\"kind\":\"picker\"," OUTPUT "," GOLDEN "}", "input.version"},
        {"{\"kind\":\"picker\",\"input\":{\"version\":0}," OUTPUT "," GOLDEN "}", "input.version"},
        {"{\"kind\":\"picker\",\"input\":{\"version\":1,\"rate_hz\":-1}," OUTPUT "," GOLDEN "}", "input.rate_hz"},
        {"{\"kind\":\"picker\",\"input\":{\"version\":1,\"rate_hz\":1,\"channels\":[7]}," OUTPUT "," GOLDEN "}", "input.channels"},
        {"{\"kind\":\"picker\"," INPUT "," GOLDEN "}", "output.channels"},
        {"{\"kind\":\"picker\"," INPUT "," OUTPUT ",\"thresholds\":{\"p\":{\"vertical\":1.5}}," GOLDEN "}", "threshold"},
        {"{\"kind\":\"picker\"," INPUT "," OUTPUT ",\"thresholds\":{\"s\":{\"vertical\":\"a\"}}," GOLDEN "}", "threshold"},
        {"{\"kind\":\"picker\"," INPUT "," OUTPUT "}", "golden"},
        {"{\"kind\":\"picker\"," INPUT "," OUTPUT ",\"golden\":{\"seed\":1,\"rows\":1e9}}", "golden"},
        {"{\"kind\":\"picker\"," INPUT "," OUTPUT ",\"golden\":{\"seed\":-1,\"rows\":5}}", "golden"},
        {"{\"kind\":\"picker\"," INPUT "," OUTPUT ",\"golden\":{\"seed\":1,\"rows\":5,\"scale\":1e9}}", "golden.offset"},
        {"{\"kind\":\"picker\"," INPUT "," OUTPUT ",\"golden\":{\"seed\":1,\"rows\":5}}", "golden.output"},
        {"{\"kind\":\"picker\"," INPUT "," OUTPUT ",\"golden\":{\"seed\":1,\"rows\":5,\"output\":[[1],[1,2]]}}", "different"},
        {"{\"kind\":\"picker\"," INPUT "," OUTPUT ",\"golden\":{\"seed\":1,\"rows\":5,\"output\":[[1e99]]}}", "no number"},
        {"{\"kind\":\"picker\"," INPUT "," OUTPUT ",\"golden\":{\"seed\":1,\"rows\":1,\"output\":[[1],[1]]}}", "too long"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct toc_manifest m = {0};
        char why[256] = "";

        if (toc_manifest_read(bad[i].text, &m, why, sizeof(why)) != -EINVAL || strstr(why, bad[i].named) == NULL)
            fail_msg("%s: '%s' lacks '%s'", bad[i].text, why, bad[i].named);
        toc_manifest_finish(&m);
    }
}

/* ---- contracts: a picker of random weights, and the answer it gives ---- */

#define ROWS 60u

static struct toc_model *load(const struct model_file *file)
{
    struct toc_model *model = NULL;
    char why[256] = "";

    if (toc_model_load(file->bytes, file->len, &model, why, sizeof(why)) != 0)
        fail_msg("not loaded: %s", why);
    return model;
}

/* The last row of the answer of the bare network, in one window; `off` is added to one value of it. */
static void put_answer(const struct model_file *file, double off, char *ret_text)
{
    struct toc_model *model = load(file);
    const struct toc_golden golden = {.seed = 3, .rows = ROWS, .offset = 0.5, .scale = 2};
    struct toc_model_scratch *scratch;
    float in[ROWS * 7], out[ROWS / 5 * 7];
    uint32_t rows;

    toc_golden_ask(&golden, 7, in);
    assert_int_equal(toc_model_scratch_create(model, ROWS, &scratch), 0);
    assert_int_equal(toc_model_run_window(model, scratch, in, ROWS, out, &rows), 0);
    ret_text += sprintf(ret_text, "\"golden\":{\"seed\":3,\"rows\":%u,\"offset\":0.5,\"scale\":2,\"output\":[[", ROWS);
    for (int i = 0; i < 7; i++)
        ret_text += sprintf(ret_text, "%s%.9g", i > 0 ? "," : "", (double)out[(rows - 1) * 7 + (uint32_t)i] + (i == 4 ? off : 0));
    sprintf(ret_text, "]]}");
    toc_model_scratch_destroy(scratch);
    toc_model_destroy(model);
}

static struct toc_model *make(struct model_file *file, const char *kind, const char *input, const char *output, double off)
{
    char golden[1024];

    model_file_picker(file, 5);
    put_answer(file, off, golden);
    snprintf(file->manifest, sizeof(file->manifest), "{\"kind\":\"%s\",%s,%s,%s}", kind, input, output, golden);
    model_file_finish(file, NULL);
    return load(file);
}

static void must_say(const char *kind, const char *input, const char *output, double off, int wanted, const char *named)
{
    static struct model_file file;
    struct toc_model *model = make(&file, kind, input, output, off);
    char why[512] = "";
    int error = toc_contract_check(&toc_contract_picker, model, why, sizeof(why));

    if (error != wanted || strstr(why, named) == NULL)
        fail_msg("%d: '%s', wanted %d: '%s'", error, why, wanted, named);
    toc_model_destroy(model);
    model_file_free(&file);
}

static void only_what_fits_is_taken(void **state)
{
    (void)state;
    must_say("picker", INPUT, OUTPUT, 0, 0, "");
    must_say("picker", INPUT, OUTPUT, 5e-5, 0, "");
    must_say("picker", INPUT, OUTPUT, 1e-3, -EBADMSG, "self-test failed");
    must_say("estimator", INPUT, OUTPUT, 0, -EINVAL, "it is of kind estimator");
    must_say("picker", "\"input\":{\"version\":2,\"rate_hz\":100,\"channels\":[\"x\"]}", OUTPUT, 0, -EINVAL, "version 2");
    must_say("picker", "\"input\":{\"version\":1,\"rate_hz\":40,\"channels\":[\"x\"]}", OUTPUT, 0, -EINVAL, "40 rows a second");
    must_say("picker", "\"input\":{\"version\":1,\"rate_hz\":100,\"channels\":[\"hp_z\",\"hp_n\"]}", OUTPUT, 0, -EINVAL,
             "it reads 'hp_z hp_n'");
    must_say("picker", INPUT, "\"output\":{\"channels\":[\"p\",\"s\"]}", 0, -EINVAL, "it answers 'p s'");
}

static void networks_without_a_manifest_are_not_taken(void **state)
{
    static struct model_file file;
    struct toc_model *model;
    char why[512] = "";

    (void)state;
    model_file_picker(&file, 5);
    model = load(&file);
    assert_null(toc_model_manifest(model));
    assert_int_equal(toc_contract_check(&toc_contract_picker, model, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "no manifest"));
    toc_model_destroy(model);
    model_file_free(&file);
}

/* A manifest that lies about its graph. */
static void another_shape_is_refused(void **state)
{
    static struct model_file file;
    struct toc_model *model;
    char why[512] = "";

    (void)state;
    model_file_start(&file, 1);
    model_file_graph(&file, "{\"input\":{\"channels\":7},\"layers\":[{\"op\":\"conv1d\",\"name\":\"a\",\"channels\":7,"
                            "\"kernel\":4,\"stride\":4,\"padding\":\"causal\"}]}");
    model_file_conv(&file, "a", 7, 7, 4);
    snprintf(file.manifest, sizeof(file.manifest), "{\"kind\":\"picker\"," COMMON "}");
    model_file_finish(&file, NULL);
    model = load(&file);
    assert_int_equal(toc_contract_check(&toc_contract_picker, model, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "answers every 4 rows"));
    toc_model_destroy(model);
    model_file_free(&file);
}

/* Every byte of graph, manifest and tensors is in the digest. */
static void a_changed_byte_is_refused(void **state)
{
    static struct model_file file;
    struct toc_model *model = make(&file, "picker", INPUT, OUTPUT, 0), *changed = NULL;
    const char *places[] = {"\\\"seed\\\":3", "\\\"kernel\\\":7"};
    char why[256];

    (void)state;
    assert_int_equal(strlen(toc_model_checksum(model)), 64);
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        uint8_t *at = memmem(file.bytes, file.len, places[i], strlen(places[i]));

        assert_non_null(at);
        at[strlen(places[i]) - 1] ^= 1;
        assert_int_equal(toc_model_load(file.bytes, file.len, &changed, why, sizeof(why)), -EBADMSG);
        at[strlen(places[i]) - 1] ^= 1;
    }
    file.bytes[file.len - 3] ^= 1;
    assert_int_equal(toc_model_load(file.bytes, file.len, &changed, why, sizeof(why)), -EBADMSG);
    toc_model_destroy(model);
    model_file_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_those_of_the_standard),
        cmocka_unit_test(what_is_said_is_read),
        cmocka_unit_test(bad_manifests_are_refused_by_name),
        cmocka_unit_test(only_what_fits_is_taken),
        cmocka_unit_test(networks_without_a_manifest_are_not_taken),
        cmocka_unit_test(another_shape_is_refused),
        cmocka_unit_test(a_changed_byte_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
