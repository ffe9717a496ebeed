/*
 * JSON lines: an independent reader (jansson) takes every line, all fields of
 * the protocol are there with their types, and neither NaN nor a hostile name nor a
 * full buffer makes anything else than JSON.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "daemon/encode_json.h"

#define TIME INT64_C(1562261629040123456)

static char line[TOC_LINE_SIZE];

static const struct toc_envelope envelope = {
    .seq = 42, .sent = TIME, .status = "replay", .config_revision = 3, .picker_name = "p", .picker_hash = "ab"};

/* Exactly one line, and JSON with no duplicate key. */
static json_t *must_load(int len)
{
    json_error_t error;
    json_t *root;

    assert_true(len > 0);
    assert_int_equal(strlen(line), len);
    assert_ptr_equal(strchr(line, '\n'), line + len - 1);
    root = json_loads(line, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        fail_msg("%s: %.300s", error.text, line);
    return root;
}

/* "key:type ..." with s string, i integer, r real or integer, b bool, a array, o object, n null. */
static void must_have(const json_t *object, const char *fields)
{
    char copy[1024], *next = copy, *field;

    snprintf(copy, sizeof(copy), "%s", fields);
    while ((field = strsep(&next, " "))) {
        char *colon = strchr(field, ':');
        const json_t *value;
        bool good = false;

        *colon = 0;
        value = json_object_get(object, field);
        switch (colon[1]) {
        case 's': good = json_is_string(value); break;
        case 'i': good = json_is_integer(value); break;
        case 'r': good = json_is_number(value); break;
        case 'b': good = json_is_boolean(value); break;
        case 'a': good = json_is_array(value); break;
        case 'o': good = json_is_object(value); break;
        case 'n': good = json_is_null(value); break;
        }
        if (!good)
            fail_msg("field %s is missing or no %c in %.400s", field, colon[1], line);
    }
}

static void check_common(const json_t *root, const char *type)
{
    must_have(root, "schema:s type:s seq:i sent:s sent_ns:i");
    assert_string_equal(json_string_value(json_object_get(root, "type")), type);
    assert_int_equal(json_integer_value(json_object_get(root, "seq")), 42);
    assert_string_equal(json_string_value(json_object_get(root, "sent")), "2019-07-04T17:33:49.040123Z");
    assert_true(json_integer_value(json_object_get(root, "sent_ns")) == TIME);
}

static void check_heartbeat(void **state)
{
    const struct toc_heartbeat beat = {.stations_up = 3, .stations_total = 5, .feed_latency_s = 1.25, .load = "gate",
                                       .wait_s = 0.5};
    const struct toc_heartbeat silent = {.stations_total = 5, .feed_latency_s = (double)NAN, .load = "normal"};
    json_t *root = must_load(toc_encode_heartbeat(&envelope, &beat, line, sizeof(line)));
    (void)state;

    check_common(root, "heartbeat");
    must_have(root, "stations_up:i stations_total:i feed_latency_s:r");
    assert_true(json_real_value(json_object_get(root, "feed_latency_s")) == 1.25);
    assert_true(json_real_value(json_object_get(root, "wait_s")) == 0.5);
    assert_string_equal(json_string_value(json_object_get(root, "load")), "gate");
    json_decref(root);
    root = must_load(toc_encode_heartbeat(&envelope, &silent, line, sizeof(line)));
    must_have(root, "feed_latency_s:n");
    json_decref(root);
}

static void check_pick(void **state)
{
    struct toc_pick_report report = {.sid = "FDSN:CI_CCC__H_H",
                                     .pick = {.id = 7, .phase = TOC_PHASE_S, .time = TIME, .probability = 0.5f,
                                              .declared = TIME + 1, .method = TOC_METHOD_CLASSICAL,
                                              .snr_db = NAN, .polarity = -1, .revision = 2,
                                              .standing = TOC_STANDING_CONFIRMED, .s_probability = 0.25f,
                                              .revised = TIME + 5}};
    json_t *root = must_load(toc_encode_pick(&envelope, &report, line, sizeof(line)));
    (void)state;

    check_common(root, "pick");
    must_have(root, "sid:s phase:s time:s time_ns:i probability:r declared:s method:s snr_db:n classical_ratio:r polarity:i revision:i "
                    "domain:s domain_probability:r foreign:r "
                    "confirmed:b withdrawn:b s_probability:r revised:s revised_ns:i");
    assert_true(json_is_true(json_object_get(root, "confirmed")) && json_is_false(json_object_get(root, "withdrawn")));
    assert_true(json_integer_value(json_object_get(root, "revised_ns")) == TIME + 5);
    assert_string_equal(json_string_value(json_object_get(root, "sid")), "FDSN:CI_CCC__H_H");
    assert_string_equal(json_string_value(json_object_get(root, "phase")), "S");
    assert_string_equal(json_string_value(json_object_get(root, "method")), "classical");
    assert_true(json_integer_value(json_object_get(root, "time_ns")) == TIME);
    assert_int_equal(json_integer_value(json_object_get(root, "polarity")), -1);
    assert_int_equal(json_integer_value(json_object_get(root, "revision")), 2);
    json_decref(root);
    report.pick.phase = TOC_PHASE_P;
    report.pick.method = TOC_METHOD_CNN;
    report.pick.revision = 0;
    report.pick.standing = TOC_STANDING_SAID;
    root = must_load(toc_encode_pick(&envelope, &report, line, sizeof(line)));
    assert_string_equal(json_string_value(json_object_get(root, "phase")), "P");
    assert_string_equal(json_string_value(json_object_get(root, "method")), "cnn");
    json_decref(root);
}

static void check_estimate(void **state)
{
    const struct toc_estimate_report report = {
        .sid = "FDSN:CI_CCC__H_H",
        .estimate = {.pick_id = 7, .pick_time = TIME, .after_p_s = 1.5f, .magnitude = 4.25f, .magnitude_sigma = 0.5f,
                     .distance_km = NAN,
                     .s_minus_p_s = 3, .s_minus_p_sigma_s = 1, .saturated = true, .pa_ms2 = NAN, .pd_m = INFINITY,
                     .iv2_m2s = 1.23456789e-17f, .tau_c_s = 0.5f, .tau_p_max_s = NAN, .snr_db = 12.34f, .window_s = 1.25f,
                     .s_guarded = true}};
    json_t *root = must_load(toc_encode_estimate(&envelope, &report, line, sizeof(line)));
    (void)state;

    check_common(root, "estimate");
    must_have(root, "sid:s pick_time:s after_p_s:r magnitude:r magnitude_sigma:r distance_km:n s_minus_p_s:r "
                    "s_minus_p_sigma_s:r "
                    "saturated:b pa_ms2:n pd_m:n iv2_m2s:r tau_c_s:r tau_p_max_s:n snr_db:r window_s:r polarity:i clipped:b "
                    "s_guarded:b");
    assert_float_equal(json_real_value(json_object_get(root, "iv2_m2s")), 1.2346e-17, 1e-30);
    assert_true(json_is_true(json_object_get(root, "s_guarded")));
    assert_true(json_is_false(json_object_get(root, "clipped")));
    assert_true(json_real_value(json_object_get(root, "magnitude")) == 4.25);
    assert_true(json_is_true(json_object_get(root, "saturated")));
    json_decref(root);
}

/* As full as an alert can be, with names that need escaping at every character. */
static struct toc_alert *full_alert(void)
{
    struct toc_alert *a = calloc(1, sizeof(*a));

    a->type = TOC_ALERT_UPDATE;
    snprintf(a->event, sizeof(a->event), "toc20190704t173349");
    a->version = 9;
    a->origin = (struct toc_origin){.time = TIME, .latitude_deg = 35.7, .longitude_deg = -117.5, .depth_km = 8,
                                    .horizontal_sigma_km = 2, .depth_sigma_km = 4, .time_sigma_s = 0.3,
                                    .used_picks = 7, .used_sites = 5};
    a->magnitude = 6.4;
    a->magnitude_sigma = 0.3;
    a->magnitude_upper = 6.4;
    a->magnitude_at_least = true;
    a->score = 0.9;
    a->n_stations = TOC_ALERT_STATIONS_MAX;
    a->n_targets = TOC_ALERT_TARGETS_MAX;
    for (int i = 0; i < TOC_ALERT_STATIONS_MAX; i++) {
        memset(a->stations[i].sid, 'A', TOC_SID_SIZE - 1);
        a->stations[i].reason = "time only: no gain or too little signal";
        a->stations[i].used = i % 2;
    }
    for (int i = 0; i < TOC_ALERT_TARGETS_MAX; i++) {
        memset(a->targets[i].name, i ? '"' : 1, TOC_NAME_SIZE - 1);
        a->targets[i].s_arrival = TIME + TOC_NS_PER_S;
        a->targets[i].mmi = -1e300;
        a->targets[i].pga_ms2 = 1e300;
    }
    a->rule = "r";
    a->reason = "why";
    a->issued = TIME + 2 * TOC_NS_PER_S;
    a->ledger_sample = TIME + TOC_NS_PER_S;
    a->ledger_arrival = TOC_NS_NONE;
    return a;
}

static void check_alert(void **state)
{
    struct toc_alert *alert = full_alert();
    json_t *root, *item;
    (void)state;

    alert->targets[0].mmi = 6;
    alert->n_targets = 2;
    root = must_load(toc_encode_alert(&envelope, alert, line, sizeof(line)));
    check_common(root, "update");
    must_have(root, "event:s version:i status:s origin_time:s origin_time_ns:i origin_time_sigma_s:r latitude:r "
                    "longitude:r horizontal_sigma_km:r depth_km:r depth_sigma_km:r magnitude:r magnitude_sigma:r "
                    "magnitude_upper:r magnitude_at_least:b score:r score_terms:o domain:s "
                    "domain_probability:r foreign:r stations:a targets:a method:s rule:s reason:s "
                    "config_revision:i model:o issued:s issued_ns:i ledger:o");
    must_have(json_object_get(root, "score_terms"), "evidence:r stations:r residual:r expected:r magnitude:r");
    must_have(json_object_get(root, "ledger"), "sample_to_arrival:n arrival_to_decision:n decision_to_sent:r");
    assert_true(json_real_value(json_object_get(json_object_get(root, "ledger"), "decision_to_sent")) == -2000.0);
    must_have(json_object_get(root, "model"), "picker:o estimator:n");
    assert_int_equal(json_array_size(json_object_get(root, "stations")), TOC_ALERT_STATIONS_MAX);
    must_have(json_array_get(json_object_get(root, "stations"), 1), "sid:s used:b reason:s weight:r");
    item = json_array_get(json_object_get(root, "targets"), 0);
    must_have(item, "name:s mmi:r mmi_sigma:r pga_ms2:r pgv_ms:r p_exceed:r s_arrival:s s_arrival_ns:i seconds_left:r "
                    "blind_zone:b");
    assert_int_equal(strlen(json_string_value(json_object_get(item, "name"))), TOC_NAME_SIZE - 1);
    assert_int_equal(json_integer_value(json_object_get(root, "config_revision")), 3);
    json_decref(root);
    free(alert);
}

static void check_every_type_has_its_name(void **state)
{
    static const char *const names[] = {"tentative", "alert", "update", "final", "cancel", "expired"};
    struct toc_alert *alert = full_alert();
    (void)state;

    for (int i = TOC_ALERT_TENTATIVE; i <= TOC_ALERT_EXPIRED; i++) {
        json_t *root;

        alert->type = (enum toc_alert_type)i;
        alert->n_targets = 0;
        root = must_load(toc_encode_alert(&envelope, alert, line, sizeof(line)));
        assert_string_equal(json_string_value(json_object_get(root, "type")), names[i]);
        json_decref(root);
    }
    free(alert);
}

static void check_fullest_fits(void **state)
{
    struct toc_alert *alert = full_alert();
    (void)state;

    for (int i = 0; i < TOC_ALERT_TARGETS_MAX; i++) {
        memset(alert->targets[i].name, 1, TOC_NAME_SIZE - 1); /* each becomes six characters */
        alert->targets[i].mmi = 10;
        alert->targets[i].pga_ms2 = 20;
    }
    json_decref(must_load(toc_encode_alert(&envelope, alert, line, sizeof(line))));
    free(alert);
}

static void check_no_number_but_finite(void **state)
{
    struct toc_alert *alert = full_alert();
    json_t *root;
    (void)state;

    alert->n_targets = 1;
    alert->magnitude = (double)NAN;
    alert->magnitude_sigma = alert->magnitude_upper = (double)INFINITY;
    alert->origin.latitude_deg = (double)-INFINITY;
    alert->origin.time = TOC_NS_NONE;
    alert->targets[0].s_arrival = TOC_NS_NONE;
    root = must_load(toc_encode_alert(&envelope, alert, line, sizeof(line)));
    must_have(root, "magnitude:n magnitude_sigma:n magnitude_upper:n latitude:n origin_time:n origin_time_ns:n");
    json_decref(root);
    free(alert);
}

/* Any buffer size: the whole line or -ENOSPC, and never a byte beyond. */
static void check_short_buffers(void **state)
{
    struct toc_alert *alert = full_alert();
    int need;
    (void)state;

    alert->n_stations = alert->n_targets = 1;
    need = toc_encode_alert(&envelope, alert, line, sizeof(line));
    assert_true(need > 0);
    for (int size = 0; size <= need + 1; size++) {
        char *buf = malloc((size_t)size + 1);
        int got;

        buf[size] = 'X';
        got = toc_encode_alert(&envelope, alert, buf, (size_t)size);
        assert_int_equal(got, size > need ? need : -ENOSPC);
        assert_int_equal(buf[size], 'X');
        free(buf);
    }
    free(alert);
}

static void check_hostile_text(void **state)
{
    static const char *const texts[] = {"a\"b\\c\n\t\x01", "\xff\xfe", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                        "\xc3", "\xe2\x82", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x94\x94"};
    (void)state;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct toc_json json;
        json_t *root;

        toc_json_init(&json, line, sizeof(line));
        toc_json_open(&json, NULL, '{');
        toc_json_text(&json, texts[i], texts[i]);
        toc_json_close(&json, '}');
        root = must_load(toc_json_finish(&json));
        assert_int_equal(json_object_size(root), 1);
        if (i == 0 || i == 7)
            assert_string_equal(json_string_value(json_object_get(root, texts[i])), texts[i]);
        json_decref(root);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_heartbeat),
        cmocka_unit_test(check_pick),
        cmocka_unit_test(check_estimate),
        cmocka_unit_test(check_alert),
        cmocka_unit_test(check_every_type_has_its_name),
        cmocka_unit_test(check_fullest_fits),
        cmocka_unit_test(check_no_number_but_finite),
        cmocka_unit_test(check_short_buffers),
        cmocka_unit_test(check_hostile_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
