/*
 * One followed arrival: the input rows, what is said with and without gain,
 * S noted afterwards, limits on what a network may say; and the shipped
 * network in the C runtime against what PyTorch gave. How good it is: models/estimator/card.md.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/contract.h"
#include "core/estimator.h"
#include "tests/unit/model_file.h"

#define ONSET (INT64_C(1562261629) * TOC_NS_PER_S + 40 * TOC_NS_PER_MS)
#define TOLERANCE 1e-4
#define NOISE 20

static const struct toc_pick pick = {.id = 77, .group = 3, .site = 2, .phase = TOC_PHASE_P, .time = ONSET};

static struct toc_motion_step step_of(float level)
{
    return (struct toc_motion_step){.pa_z = 20 * level, .pv_z = level, .pd_z = 0.1f * level, .pe_z = 0.08f * level,
                                    .pv_h = 0.7f * level, .pd_h = 0.1f * level, .pe_h = 0.05f * level,
                                    .v2_z = level * level / 4, .v2_h = level * level / 16};
}

static void make_noise(struct toc_motion_step noise[NOISE], float level)
{
    for (int i = 0; i < NOISE; i++)
        noise[i] = step_of(level * (float)(1 + i % 3) / 3);
}

/* A made-up P of `level` m/s that grows for a second, S from step 30 on. */
static struct toc_motion_step signal_step(int i, float level)
{
    float grow = i < 10 ? 0.1f * (float)(i + 1) : 1;

    return step_of(level * grow * (i < 30 ? 0.5f + 0.5f * (float)fabs(sin(i)) : 4.0f));
}

static struct toc_model_scratch *work; /* for the model loaded last */

static struct toc_model *load(const uint8_t *bytes, size_t len)
{
    struct toc_model *model = NULL;
    char why[256] = "";

    if (toc_model_load(bytes, len, &model, why, sizeof why) != 0)
        fail_msg("not loaded: %s", why);
    toc_model_scratch_destroy(work);
    assert_int_equal(toc_model_scratch_create(model, 1, &work), 0);
    return model;
}

static struct toc_model *load_shipped(void)
{
    const char *root = getenv("TOCSIN_SOURCE");
    char path[512];
    size_t len = 0;
    uint8_t *bytes;

    snprintf(path, sizeof path, "%s/models/estimator/weights.safetensors", root != NULL ? root : ".");
    bytes = model_file_read(path, &len);
    if (bytes == NULL)
        fail_msg("cannot read %s", path);
    struct toc_model *model = load(bytes, len);

    free(bytes);
    return model;
}

/* A network that says `say` four times, whatever it is shown. */
static struct toc_model *stubborn(uint32_t inputs, uint32_t outputs, float say)
{
    static struct model_file file;
    char graph[256];

    model_file_start(&file, 1);
    snprintf(graph, sizeof graph,
             "{\"input\":{\"channels\":%u},\"layers\":[{\"op\":\"dense\",\"name\":\"only\",\"channels\":%u}]}", inputs,
             outputs);
    model_file_graph(&file, graph);
    model_file_tensor(&file, "only.weight", outputs, inputs, 0, 0, 0);
    model_file_tensor(&file, "only.bias", outputs, 0, 0, say, 0);
    model_file_finish(&file, NULL);
    struct toc_model *model = load(file.bytes, file.len);

    model_file_free(&file);
    return model;
}

static struct toc_estimate follow(struct toc_estimator *estimator, float level, float noise_level, bool gain_known,
                                  int steps)
{
    struct toc_motion_step noise[NOISE];
    struct toc_estimate est = {0};

    make_noise(noise, noise_level);
    toc_estimator_start(estimator, &pick, noise, NOISE, gain_known);
    for (int i = 0; i < steps; i++) {
        struct toc_motion_step step = signal_step(i, level);
        assert_int_equal(toc_estimator_step(estimator, work, &step, &est), 1);
    }
    return est;
}

static void expect_s(struct toc_estimator *estimator, toc_ns s_time)
{
    const struct toc_expected expected = {.s_time = s_time, .hypocentral_km = NAN};

    toc_estimator_expect(estimator, &expected);
}

static void input_row_is_as_documented(void **state)
{
    struct toc_arrival a;
    struct toc_motion_step noise[12], big = step_of(1e-3f), small = step_of(1e-4f);
    float row[TOC_ESTIMATOR_INPUTS];

    (void)state;
    for (int i = 0; i < 12; i++)
        noise[i] = step_of(1e-6f);
    toc_arrival_start(&a, ONSET, noise, 12);
    toc_arrival_step(&a, &big);
    toc_arrival_step(&a, &small);
    toc_estimator_inputs(&a, true, row);
    double expected[TOC_ESTIMATOR_INPUTS] = {
        -3, -4.09691, -4, -1.69897, -3.44938, -3.75042,         /* of P: peaks of the first step, rms of both */
        -3, -4.09691, -4, -3.15490, -4.30103, -4,               /* with S: the first step */
        -4, -5.09691, -4.15490, -5.30103, -4.30103, -4.60206,   /* the second step */
        -6, -7.09691, -7, -6.15490, -6.30103,                   /* noise */
        log10(0.16), log10(0.16), 0, 0, 1, 1, 0};
    for (int i = 0; i < TOC_ESTIMATOR_INPUTS; i++)
        assert_float_equal(row[i], expected[i], 1e-4);
    toc_pparam_guard(&a.p, 0.1); /* S after the first step: what is of P ends there */
    toc_estimator_inputs(&a, true, row);
    expected[4] = -3.30103;
    expected[5] = -3.60206;
    expected[24] = log10(0.06);
    expected[29] = 1;
    for (int i = 0; i < TOC_ESTIMATOR_INPUTS; i++)
        assert_float_equal(row[i], expected[i], 1e-4);
}

static void input_row_is_finite(void **state)
{
    struct toc_arrival a;
    struct toc_motion_step dead = {0}, mad = step_of(1e30f);
    float row[TOC_ESTIMATOR_INPUTS];

    (void)state;
    mad.pe_z = NAN;
    mad.pv_h = INFINITY;
    mad.clipped = 1;
    for (int gain = 0; gain < 2; gain++) {
        toc_arrival_start(&a, ONSET, &dead, 1);
        toc_arrival_step(&a, &dead);
        toc_estimator_inputs(&a, gain == 1, row);
        assert_float_equal(row[0], -10, 0);
        assert_float_equal(row[27], 0, 0);
        toc_arrival_step(&a, &mad);
        toc_pparam_guard(&a.p, gain == 1 ? 0.01 : NAN); /* S with P */
        toc_estimator_inputs(&a, gain == 1, row);
        for (int i = 0; i < TOC_ESTIMATOR_INPUTS; i++)
            assert_true(isfinite(row[i]) && row[i] >= -10 && row[i] <= 3);
        assert_float_equal(row[25], 1, 0);
        assert_float_equal(row[26], 1, 0);
    }
}

static void refuses_a_model_of_another_shape(void **state)
{
    struct toc_estimator *estimator = NULL;
    struct toc_model *narrow = stubborn(TOC_ESTIMATOR_INPUTS - 1, 4, 1), *mute = stubborn(TOC_ESTIMATOR_INPUTS, 3, 1);

    (void)state;
    assert_int_equal(toc_estimator_create(narrow, &estimator), -EINVAL);
    assert_int_equal(toc_estimator_create(mute, &estimator), -EINVAL);
    assert_null(estimator);
    toc_model_destroy(narrow);
    toc_model_destroy(mute);
    toc_estimator_destroy(NULL);
}

static void without_a_network_peaks_remain(void **state)
{
    struct toc_estimator *estimator = NULL;
    struct toc_estimate est = {.pick_id = 5};
    struct toc_motion_step step = step_of(1);

    (void)state;
    assert_int_equal(toc_estimator_create(NULL, &estimator), 0);
    assert_int_equal(toc_estimator_step(estimator, work, &step, &est), 0);
    assert_int_equal(est.pick_id, 5); /* untouched */
    est = follow(estimator, 1e-3f, 1e-6f, true, 25);
    assert_int_equal(est.pick_id, 77);
    assert_int_equal(est.group, 3);
    assert_int_equal(est.site, 2);
    assert_true(est.pick_time == ONSET);
    assert_float_equal(est.after_p_s, 2.46, 1e-5);
    assert_true(isnan(est.magnitude) && isnan(est.magnitude_sigma) && isnan(est.s_minus_p_s));
    assert_in_range((int)(est.pv_ms * 1e6f), 950, 1001);
    assert_float_equal(est.pd_m, 0.1 * est.pv_ms, 1e-9);
    assert_float_equal(est.snr_pe, est.pe_m / 8e-8, 1);
    toc_estimator_destroy(estimator);
}

static void s_noted_late_ends_p(void **state)
{
    struct toc_model *model = load_shipped();
    struct toc_estimator *estimator = NULL;
    struct toc_motion_step step;
    struct toc_estimate est;

    (void)state;
    assert_int_equal(toc_estimator_create(model, &estimator), 0);
    est = follow(estimator, 1e-3f, 1e-6f, true, 40);
    assert_true(est.pv_ms > 2e-3f); /* S is in it */
    assert_true(est.s_minus_p_sigma_s > TOC_PPARAM_S_OBSERVED_SIGMA_S);
    toc_estimator_note_s(estimator, ONSET - TOC_NS_PER_S); /* nonsense is ignored */
    toc_estimator_note_s(estimator, ONSET + 2960 * TOC_NS_PER_MS);
    step = signal_step(40, 1e-3f);
    assert_int_equal(toc_estimator_step(estimator, work, &step, &est), 1);
    assert_float_equal(est.s_minus_p_s, 2.96, 1e-5);
    assert_true(est.s_minus_p_sigma_s <= TOC_PPARAM_S_OBSERVED_SIGMA_S);
    assert_true(est.pv_ms <= 1e-3f);
    est = follow(estimator, 1e-3f, 1e-6f, true, 40); /* forgotten with the next arrival */
    assert_true(est.pv_ms > 2e-3f);
    toc_estimator_destroy(estimator);
    toc_model_destroy(model);
}

/* The magnitude becomes the one at the distance an origin gives; without a network's word there is none. */
static void the_distance_of_an_origin_counts(void **state)
{
    struct toc_model *model = load_shipped();
    struct toc_estimator *estimator = NULL;
    struct toc_motion_step step = signal_step(25, 1e-3f);
    struct toc_expected expected = {.s_time = ONSET + 6 * TOC_NS_PER_S, .hypocentral_km = 20, .sigma_km = 1};
    struct toc_estimate near, far;
    double m, sigma, upper;

    (void)state;
    assert_int_equal(toc_estimator_create(model, &estimator), 0);
    near = follow(estimator, 1e-3f, 1e-6f, true, 25);
    assert_true(isnan(near.distance_km));
    toc_estimator_expect(estimator, &expected);
    assert_int_equal(toc_estimator_step(estimator, work, &step, &near), 1);
    assert_float_equal(near.distance_km, 20, 0);
    assert_int_equal(toc_estimator_magnitude_at(&near, 20, 1, &m, &sigma, &upper), 0);
    assert_float_equal(near.magnitude, m, 1e-5);
    assert_float_equal(near.magnitude_sigma, sigma, 1e-5);
    expected.hypocentral_km = 150;
    toc_estimator_expect(estimator, &expected);
    assert_int_equal(toc_estimator_step(estimator, work, &step, &far), 1);
    assert_true(far.magnitude > near.magnitude + 0.5f);
    toc_estimator_destroy(estimator);
    toc_model_destroy(model);
}

/* Where an origin puts S the peaks end, and S-P is told; an S that was picked goes before it. */
static void expected_s_ends_peaks(void **state)
{
    struct toc_estimator *estimator = NULL;
    struct toc_motion_step step = signal_step(40, 1e-3f);
    struct toc_estimate est;

    (void)state;
    assert_int_equal(toc_estimator_create(NULL, &estimator), 0);
    expect_s(estimator, ONSET + TOC_NS_PER_S); /* nothing is followed yet */
    est = follow(estimator, 1e-3f, 1e-6f, true, 40);
    expect_s(estimator, ONSET + 2960 * TOC_NS_PER_MS);
    assert_int_equal(toc_estimator_step(estimator, work, &step, &est), 1);
    assert_true(est.pv_ms <= 1e-3f);
    assert_float_equal(est.s_minus_p_s, 2.96, 1e-4); /* there is no network that says otherwise */
    assert_float_equal(est.s_minus_p_sigma_s, 0.3 + 0.08 * 2.96, 1e-4);
    expect_s(estimator, ONSET + 10 * TOC_NS_PER_S); /* the origin moved */
    assert_int_equal(toc_estimator_step(estimator, work, &step, &est), 1);
    assert_true(est.pv_ms > 2e-3f);
    toc_estimator_note_s(estimator, ONSET + 2960 * TOC_NS_PER_MS);
    expect_s(estimator, ONSET + 10 * TOC_NS_PER_S);
    assert_int_equal(toc_estimator_step(estimator, work, &step, &est), 1);
    assert_true(est.pv_ms <= 1e-3f);
    toc_estimator_destroy(estimator);
}

static void without_gain_only_ratios_speak(void **state)
{
    struct toc_model *model = load_shipped();
    struct toc_estimator *estimator = NULL;

    (void)state;
    assert_int_equal(toc_estimator_create(model, &estimator), 0);
    struct toc_estimate metres = follow(estimator, 1e-4f, 1e-6f, false, 25);
    struct toc_estimate counts = follow(estimator, 1e5f, 1e3f, false, 25);
    assert_true(isnan(metres.magnitude) && isnan(metres.magnitude_sigma) && isnan(metres.pv_ms) && isnan(metres.pe_m));
    assert_float_equal(metres.s_minus_p_s, counts.s_minus_p_s, 1e-3 * metres.s_minus_p_s);
    assert_float_equal(metres.snr_pe, counts.snr_pe, 1e-3 * metres.snr_pe);
    toc_estimator_destroy(estimator);
    toc_model_destroy(model);
}

static void a_mad_network_is_held_in_bounds(void **state)
{
    const float words[] = {80, -80};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct toc_model *model = stubborn(TOC_ESTIMATOR_INPUTS, TOC_ESTIMATOR_OUTPUTS, words[i]);
        struct toc_estimator *estimator = NULL;
        assert_int_equal(toc_estimator_create(model, &estimator), 0);
        struct toc_estimate est = follow(estimator, 1e-3f, 1e-6f, true, 10);
        assert_float_equal(est.magnitude, i == 0 ? 10 : -2, 1e-6);
        assert_float_equal(est.magnitude_sigma, i == 0 ? 2 : 0.1, 1e-6);
        double m, sigma, upper;
        assert_int_equal(toc_estimator_magnitude_at(&est, 1e9, NAN, &m, &sigma, &upper), 0);
        assert_true(isfinite(m) && isfinite(sigma) && sigma > 0 && upper > m);
        assert_float_equal(est.s_minus_p_s, i == 0 ? 100 : 0.1, 1e-4);
        assert_true(isfinite(est.s_minus_p_sigma_s) && est.s_minus_p_sigma_s > TOC_PPARAM_S_OBSERVED_SIGMA_S);
        toc_estimator_destroy(estimator);
        toc_model_destroy(model);
    }
}

static void saturation_by_size_and_by_clipping(void **state)
{
    struct toc_model *model = stubborn(TOC_ESTIMATOR_INPUTS, TOC_ESTIMATOR_OUTPUTS, 1.5f);
    struct toc_estimator *estimator = NULL;
    struct toc_estimate est;
    struct toc_motion_step clipped = step_of(1e-3f), fine = step_of(1e-3f);

    (void)state;
    assert_int_equal(toc_estimator_create(model, &estimator), 0);
    est = follow(estimator, 1e-3f, 1e-6f, true, 10); /* M 1.5 with a sigma of 2: up to 5.5, but one second tells 5.2 */
    assert_true(est.saturated);
    est = follow(estimator, 1e-3f, 1e-6f, true, 40);
    assert_false(est.saturated);
    clipped.clipped = 1;
    assert_int_equal(toc_estimator_step(estimator, work, &clipped, &est), 1);
    assert_int_equal(toc_estimator_step(estimator, work, &fine, &est), 1);
    assert_true(est.saturated); /* and stays */
    toc_estimator_destroy(estimator);
    toc_model_destroy(model);
}

/* Its golden question, answered by PyTorch when it was written. */
static void repeats_pytorch(void **state)
{
    struct toc_model *model = load_shipped();
    char why[256] = "";

    (void)state;
    if (toc_contract_check(&toc_contract_estimator, model, why, sizeof(why)) != 0)
        fail_msg("%s", why);
    toc_model_destroy(model);
}

static void the_shipped_network_makes_sense(void **state)
{
    struct toc_model *model = load_shipped();
    struct toc_estimator *estimator = NULL;

    (void)state;
    assert_int_equal(toc_estimator_create(model, &estimator), 0);
    struct toc_estimate weak = follow(estimator, 1e-5f, 1e-7f, true, 28);
    struct toc_estimate strong = follow(estimator, 1e-3f, 1e-7f, true, 28);
    struct toc_estimate again = follow(estimator, 1e-5f, 1e-7f, true, 28);
    assert_true(strong.magnitude > weak.magnitude + 0.8f); /* a hundred times the motion */
    assert_true(weak.magnitude_sigma > 0.1f && weak.magnitude_sigma < 1.5f);
    assert_true(weak.s_minus_p_s > 0.3f && weak.s_minus_p_s < 60);
    assert_memory_equal(&weak, &again, offsetof(struct toc_estimate, saturated)); /* nothing is left over */
    toc_estimator_destroy(estimator);
    toc_model_destroy(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(input_row_is_as_documented),
        cmocka_unit_test(input_row_is_finite),
        cmocka_unit_test(refuses_a_model_of_another_shape),
        cmocka_unit_test(without_a_network_peaks_remain),
        cmocka_unit_test(s_noted_late_ends_p),
        cmocka_unit_test(expected_s_ends_peaks),
        cmocka_unit_test(the_distance_of_an_origin_counts),
        cmocka_unit_test(without_gain_only_ratios_speak),
        cmocka_unit_test(a_mad_network_is_held_in_bounds),
        cmocka_unit_test(saturation_by_size_and_by_clipping),
        cmocka_unit_test(repeats_pytorch),
        cmocka_unit_test(the_shipped_network_makes_sense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
