/*
 * The configuration: every refusal with its place, the nearest name, what is
 * printed reads back to the same, a text cut at any byte never crashes, and
 * the files in config/ are what the code holds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/config.h"
#include "daemon/files.h"

static const char *source_file(const char *relative, char *buf, size_t size)
{
    const char *root = getenv("TOCSIN_SOURCE");

    snprintf(buf, size, "%s/%s", root ? root : ".", relative);
    return buf;
}

static struct toc_config *must_parse(const char *text)
{
    struct toc_config_error error;
    struct toc_config *config = NULL;
    char why[1024];

    if (toc_config_parse(text, strlen(text), "t.yaml", "/etc/x", &config, &error) < 0) {
        toc_config_error_str(&error, why, sizeof(why));
        fail_msg("refused: %s\n%s", why, text);
    }
    return config;
}

static void check_defaults(void **state)
{
    struct toc_config *config = must_parse("");
    static const struct toc_settings core = TOC_SETTINGS_DEFAULT; /* static: padding is zero */
    (void)state;

    assert_memory_equal(&config->core, &core, sizeof(core));
    assert_int_equal(config->n_layers, 4);
    assert_int_equal(config->n_targets, 0);
    assert_string_equal(toc_config_status_str(config), "actual");
    toc_config_destroy(config);
}

static void check_values(void **state)
{
    struct toc_config *config = must_parse("daemon: {name: x, status: exercise}\n"
                                           "picker:\n  p_threshold: 0.5\n  hop_s: 0.25\n"
                                           "alert: {min_sites: 7}\n"
                                           "output: {picks: false}\n"
                                           "metadata: {stations: st.txt}\n"
                                           "feeds:\n"
                                           "  - type: seedlink\n    host: h\n    port: 18001\n"
                                           "    stations: [CI_CCC, {net: CI, sta: CLC, select: HH?.D}]\n"
                                           "targets: [{name: a b, latitude: 1.5, longitude: -2}]\n");
    const struct toc_config_feed *feed = toc_config_feeds(config);
    const struct toc_config_station *stations = toc_config_feed_stations(feed);
    (void)state;

    assert_string_equal(toc_config_status_str(config), "exercise");
    assert_true(config->core.picker.p_threshold == 0.5 && config->core.picker.hop_s == 0.25);
    assert_true(config->core.picker.s_threshold == TOC_AUTO && config->core.picker.p_threshold_vertical == TOC_AUTO);
    assert_int_equal(config->core.alert.min_sites, 7);
    assert_false(config->send_picks);
    assert_string_equal(config->stations_path, "/etc/x/st.txt");
    assert_int_equal(feed->port, 18001);
    assert_int_equal(feed->stations.n, 2);
    assert_string_equal(stations[0].net, "CI");
    assert_string_equal(stations[0].sta, "CCC");
    assert_string_equal(stations[1].select, "HH?.D");
    assert_int_equal(config->n_targets, 1);
    assert_true(config->targets[0].latitude_deg == 1.5 && config->targets[0].mmi_limit == 5);
    toc_config_destroy(config);
}

struct refusal {
    const char *text;
    int line, column;
    const char *says; /* part of the message */
};

static const struct refusal refusals[] = {
    {"picker:\n  p_treshold: 0.5\n", 2, 3, "did you mean 'p_threshold'?"},
    {"pickr:\n  p_threshold: 0.5\n", 1, 1, "did you mean 'picker'?"},
    {"alert:\n  p_threshold: 0.5\n", 2, 3, "did you mean 'picker.p_threshold'?"},
    {"zzzzzzzzzzzz: 1\n", 1, 1, "unknown key 'zzzzzzzzzzzz'"},
    {"picker: {p_threshold: high}\n", 1, 23, "is not a number"},
    {"picker: {p_threshold: '0.5'}\n", 1, 23, "is not a number"},
    {"picker: {p_threshold: nan}\n", 1, 23, "is not a number"},
    {"picker: {p_threshold: 0x1}\n", 1, 23, "is not a number"},
    {"picker: {p_threshold: 1e999}\n", 1, 23, "is not a number"},
    {"picker: {p_threshold: 1.5}\n", 1, 23, "out of range 0..1"},
    {"picker: {p_threshold: [0.5]}\n", 1, 23, "a single value is wanted here, not a list"},
    {"picker: {p_threshold: {a: 1}}\n", 1, 23, "a single value is wanted here, not a map"},
    {"picker: {p_threshold: }\n", 1, 23, "is not a number"},
    {"picker: {p_threshold: 'auto'}\n", 1, 23, "is not a number"},
    {"picker: {p_threshold: -1}\n", 1, 23, "out of range 0..1"},
    {"picker: {dead_s: auto}\n", 1, 18, "is not a number"},
    {"picker: {hop_s: 0.33}\n", 1, 17, "is not a multiple of 0.05"},
    {"picker: 3\n", 1, 9, "is a section"},
    {"alert: {min_sites: 4.5}\n", 1, 20, "is not a whole number"},
    {"output: {picks: yes}\n", 1, 17, "neither true nor false"},
    {"output: {picks: 'true'}\n", 1, 17, "neither true nor false"},
    {"daemon: {status: actuall}\n", 1, 18, "did you mean 'actual'?"},
    {"daemon: {name: \"a\\nb\"}\n", 1, 16, "control character"},
    {"daemon: {name: \"a\\Nb\"}\n", 1, 16, "control character"},
    {"daemon: {name: \"a\\Lb\"}\n", 1, 16, "control character"},
    {"picker: {dead_s: 1}\npicker: {dead_s: 2}\n", 2, 1, "was given before, at line 1"},
    {"picker:\n  dead_s: 1\n  dead_s: 2\n", 3, 3, "was given before, at line 2"},
    {"a: &x 1\n", 1, 4, "anchors"},
    {"daemon: &x {name: a}\n", 1, 9, "anchors"},
    {"daemon: *x\n", 1, 9, "alias"},
    {"daemon: !!str x\n", 1, 9, "tags"},
    {"daemon: {}\n---\ndaemon: {}\n", 2, 1, "second document"},
    {"[1, 2]\n", 1, 1, "must be a map"},
    {"text\n", 1, 1, "must be a map"},
    {"? [a]\n: 1\n", 1, 3, "a key must be a plain name"},
    {"? {a: 1}\n: 1\n", 1, 3, "a key must be a plain name"},
    {"daemon: {name: a\n", 2, 1, "flow mapping"},
    {"daemon:\n\tname: a\n", 2, 1, "token"},
    {"feeds: {type: file}\n", 1, 8, "a list is wanted here, not a map"},
    {"feeds: 3\n", 1, 8, "a list is wanted here"},
    {"feeds: [3]\n", 1, 9, "each item must be a map"},
    {"feeds: [{host: a}]\n", 1, 9, "'type' is missing"},
    {"feeds: [{type: seedlink}]\n", 1, 9, "needs 'host'"},
    {"feeds: [{type: file}]\n", 1, 9, "needs 'path'"},
    {"feeds: [{type: file, path: a, host: b}]\n", 1, 9, "belong to a seedlink feed"},
    {"feeds: [{type: seedlink, host: a, path: b}]\n", 1, 9, "belongs to a file feed"},
    {"feeds: [{type: file, path: a}, {type: seedlink, host: b}]\n", 1, 9, "must be the only feed"},
    {"feeds: [{type: seedlink, hots: a}]\n", 1, 26, "did you mean 'host'?"},
    {"feeds: [{type: seedlink, host: a, port: 70000}]\n", 1, 41, "out of range 1..65535"},
    {"feeds: [{type: seedlink, host: a, stations: [CCC]}]\n", 1, 46, "is not NET_STA"},
    {"feeds: [{type: seedlink, host: a, stations: [CI_ccc]}]\n", 1, 46, "outside A-Z 0-9"},
    {"feeds: [{type: seedlink, host: a, stations: [{net: CI}]}]\n", 1, 46, "'sta' is missing"},
    {"feeds: [{type: seedlink, host: a, stations: [{net: '', sta: A}]}]\n", 1, 52, "is empty"},
    {"feeds: [{type: seedlink, host: a, stations: [{net: CI, sta: TOOLONGNAME}]}]\n", 1, 61, "longer than 8"},
    {"feeds: [{type: seedlink, host: a, stations: [CIX_A]}]\n", 1, 46, "longer than the 2 that SeedLink 3 has"},
    {"feeds: [{type: seedlink, host: a, stations: [CI_TOOBIG]}]\n", 1, 46, "longer than the 5"},
    {"feeds: [{type: seedlink, host: a, stations: [{net: CI, sta: A, select: HHZ D}]}]\n", 1, 46, "is not [!][LL]"},
    {"velocity: {layers: [{top_km: 0, vp_kms: 5, vs_kms: 5}]}\n", 1, 21, "vs_kms must be below"},
    {"velocity: {layers: [{top_km: 1, vp_kms: 5, vs_kms: 3}]}\n", 1, 21, "must begin at 0"},
    {"velocity:\n  layers:\n  - {top_km: 0, vp_kms: 5, vs_kms: 3}\n  - {top_km: 0, vp_kms: 5, vs_kms: 3}\n", 4, 5,
     "must increase"},
    {"velocity: {layers: [{top_km: 0, vp_kms: 5}]}\n", 1, 21, "'vs_kms' is missing"},
    {"velocity: {file: a, layers: [{top_km: 0, vp_kms: 5, vs_kms: 3}]}\n", 1, 21, "give velocity.file or"},
    {"alert: {tentative_score: 0.9}\n", 1, 9, "must not be above alert.alert_score"},
    {"alert: {cancel_score: 0.9}\n", 1, 9, "must not be above alert.alert_score"},
    {"output: {queue_soft_kib: 2000}\n", 1, 10, "must not be above queue_hard_kib"},
    {"targets_file: a\ntargets: [{name: b, latitude: 0, longitude: 0}]\n", 2, 1, "give targets or targets_file"},
    {"targets: [{name: b, latitude: 91, longitude: 0}]\n", 1, 31, "out of range -90..90"},
    {"daemon: {name: \"\\x00\"}\n", 1, 16, "NUL"},
    {"daemon: {name: \xff}\n", 1, 16, "UTF-8"},
    {"daemon: [[[[[[[[[[1]]]]]]]]]]\n", 1, 16, "nested deeper than 8"},
};

static void check_refusals(void **state)
{
    (void)state;

    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const struct refusal *r = &refusals[i];
        struct toc_config_error error;
        struct toc_config *config = NULL;

        if (toc_config_parse(r->text, strlen(r->text), "t.yaml", ".", &config, &error) >= 0)
            fail_msg("accepted: %s", r->text);
        assert_null(config);
        if (!strstr(error.text, r->says))
            fail_msg("%s: '%s' lacks '%s'", r->text, error.text, r->says);
        if (error.place.line != r->line || error.place.column != r->column)
            fail_msg("%s: at %d:%d, not %d:%d (%s)", r->text, error.place.line, error.place.column, r->line,
                     r->column, error.text);
    }
}

static void check_error_text(void **state)
{
    struct toc_config_error error;
    struct toc_config *config = NULL;
    char text[1024];
    (void)state;

    assert_true(toc_config_parse("alert: {x: 1}", 13, "dir/t.yaml", ".", &config, &error) < 0);
    toc_config_error_str(&error, text, sizeof(text));
    assert_non_null(strstr(text, "dir/t.yaml:1:9: unknown key 'alert.x'"));
}

static void check_too_large(void **state)
{
    size_t len = TOC_YAML_BYTES_MAX + 1;
    char *text = malloc(len);
    struct toc_config_error error;
    struct toc_config *config = NULL;
    (void)state;

    memset(text, '#', len);
    assert_int_equal(toc_config_parse(text, len, "t", ".", &config, &error), -22);
    assert_non_null(strstr(error.text, "larger than"));
    free(text);
}

static void check_too_many_items(void **state)
{
    char *text = malloc(16384);
    struct toc_config_error error;
    struct toc_config *config = NULL;
    size_t len = (size_t)sprintf(text, "targets: [");
    (void)state;

    for (int i = 0; i <= TOC_ALERT_TARGETS_MAX; i++)
        len += (size_t)sprintf(text + len, "{name: t%d, latitude: 1, longitude: 2},", i);
    len += (size_t)sprintf(text + len, "]\n");
    assert_int_equal(toc_config_parse(text, len, "t", ".", &config, &error), -22);
    assert_non_null(strstr(error.text, "more than 64 items"));
    free(text);
}

/* A rich text, printed and read again, prints the same; and every value of it survived. */
static void check_round_trip(void **state)
{
    struct toc_config *one = must_parse("daemon: {name: 'q \"uote\\ ü', clock: data}\n"
                                        "picker: {p_threshold: 0.1234567890123, s_threshold_two: 0.5, s_threshold: auto}\n"
                                        "alert: {min_magnitude: -1.5}\n"
                                        "feeds:\n"
                                        "  - type: seedlink\n    host: a\n"
                                        "    stations: [CI_A, {net: CI, sta: B, select: H}]\n"
                                        "  - {type: seedlink, host: b, port: 1}\n"
                                        "velocity: {layers: [{top_km: -1, vp_kms: 5, vs_kms: 3}]}\n"
                                        "targets: [{name: x, latitude: 1, longitude: 2, mmi_limit: 4}]\n");
    char *text = toc_config_print(one), *again;
    struct toc_config *two = must_parse(text);
    (void)state;

    assert_int_equal(toc_schema_differs(&toc_config_schema, one, two, 0), toc_config_schema.n_rows);
    assert_string_equal(two->name, "q \"uote\\ ü");
    assert_true(two->core.picker.p_threshold == 0.1234567890123 && two->core.picker.s_threshold_two == 0.5);
    assert_true(two->core.picker.s_threshold == TOC_AUTO);
    assert_int_equal(two->feeds.n, 2);
    again = toc_config_print(two);
    assert_string_equal(text, again);
    free(text);
    free(again);
    toc_config_destroy(one);
    toc_config_destroy(two);
}

/* Every row can be changed, is printed, and its change is seen by the comparison. */
static void check_every_row_differs(void **state)
{
    struct toc_config *a, *b;
    size_t changed = 0;
    (void)state;

    assert_int_equal(toc_config_create(&a), 0);
    for (size_t i = 0; i < toc_config_schema.n_rows; i++) {
        const struct toc_row *row = &toc_config_schema.rows[i];
        char *at;

        assert_int_equal(toc_config_create(&b), 0);
        at = (char *)b + row->offset;
        if (row->flags & TOC_ROW_AUTO)
            *(double *)at = 0.5;
        else if (row->type == TOC_ROW_NUMBER)
            *(double *)at += row->step > 0 ? row->step : 0.001;
        else if (row->type == TOC_ROW_INTEGER || row->type == TOC_ROW_CHOICE)
            *(int32_t *)at += *(int32_t *)at > (int32_t)row->min ? -1 : 1;
        else if (row->type == TOC_ROW_BOOL)
            *(bool *)at = !*(bool *)at;
        else if (row->type == TOC_ROW_TEXT)
            strcpy(at, "/other");
        if (row->type != TOC_ROW_LIST) {
            char *text = toc_config_print(b);
            struct toc_config_error error;
            struct toc_config *c = NULL;

            changed++;
            assert_int_equal(toc_schema_differs(&toc_config_schema, a, b, 0), i);
            if (strcmp(row->path, "velocity.file") && strcmp(row->path, "targets_file")) { /* name no real file */
                if (toc_config_parse(text, strlen(text), "t", "/etc", &c, &error) < 0)
                    fail_msg("%s: %s", row->path, error.text);
                assert_int_equal(toc_schema_differs(&toc_config_schema, a, c, 0), i);
                assert_int_equal(toc_schema_differs(&toc_config_schema, b, c, 0), toc_config_schema.n_rows);
                toc_config_destroy(c);
            }
            free(text);
        }
        toc_config_destroy(b);
    }
    assert_true(changed > 40);
    toc_config_destroy(a);
}

/* A setting that core gained and the table did not would silently stay at its default. */
static void check_every_setting_has_a_row(void **state)
{
    const size_t first = offsetof(struct toc_config, core);
    bool covered[sizeof(struct toc_settings)] = {false};
    (void)state;

    for (size_t i = 0; i < toc_config_schema.n_rows; i++) {
        const struct toc_row *row = &toc_config_schema.rows[i];
        size_t size = row->type == TOC_ROW_NUMBER ? sizeof(double) : sizeof(int32_t);

        if (row->offset < first || row->offset >= first + sizeof(covered))
            continue;
        assert_true(row->type == TOC_ROW_NUMBER || row->type == TOC_ROW_INTEGER);
        memset(covered + (row->offset - first), true, size);
        if (row->type == TOC_ROW_INTEGER && (row->offset - first) % 8 == 0)
            memset(covered + (row->offset - first) + 4, true, 4); /* padding, or the next whole number */
    }
    for (size_t i = 0; i < sizeof(covered); i++)
        if (!covered[i])
            fail_msg("byte %zu of struct toc_settings belongs to no row", i);
}

static void check_needs_restart(void **state)
{
    struct toc_config *a = must_parse("picker: {p_threshold: 0.7, hop_s: 0.5}\n");
    struct toc_config *b = must_parse("picker: {p_threshold: 0.6, hop_s: 0.25}\nmetadata: {stations: s}\n");
    char names[256];
    (void)state;

    assert_int_equal(toc_config_needs_restart(a, b, names, sizeof(names)), 2);
    assert_string_equal(names, "metadata.stations, picker.hop_s");
    assert_int_equal(toc_config_needs_restart(a, a, names, sizeof(names)), 0);
    toc_config_destroy(a);
    toc_config_destroy(b);
}

/* The shipped file cut at every byte, and with every byte changed in turn: a verdict each time, never a crash. */
static void check_cut_and_flipped(void **state)
{
    char path[512];
    struct toc_file file;
    (void)state;

    assert_int_equal(toc_file_read(source_file("config/tocsin.yaml", path, sizeof(path)), 1 << 20, &file), 0);
    for (size_t cut = 0; cut < file.len; cut += cut < 600 ? 1 : 7) {
        struct toc_config_error error;
        struct toc_config *config = NULL;
        char saved = file.bytes[cut];

        if (toc_config_parse(file.bytes, cut, "t", ".", &config, &error) == 0)
            toc_config_destroy(config);
        else
            assert_true(error.text[0]);
        config = NULL;
        file.bytes[cut] = (char)(saved ^ (1 << (cut % 8)));
        if (toc_config_parse(file.bytes, file.len, "t", ".", &config, &error) == 0)
            toc_config_destroy(config);
        file.bytes[cut] = saved;
    }
    toc_file_finish(&file);
}

static void check_shipped_is_default(void **state)
{
    char path[512];
    struct toc_file file;
    struct toc_config *config;
    char *text;
    (void)state;

    assert_int_equal(toc_file_read(source_file("config/tocsin.yaml", path, sizeof(path)), 1 << 20, &file), 0);
    assert_int_equal(toc_config_create(&config), 0);
    text = toc_config_print(config);
    assert_string_equal(file.bytes, text); /* config/tocsin.yaml is what --print-config says without a file */
    free(text);
    toc_config_destroy(config);
    toc_file_finish(&file);
}

static void check_shipped_velocity(void **state)
{
    char path[600], text[700];
    struct toc_config *file, *builtin;
    struct toc_config_error error;
    (void)state;

    assert_non_null(realpath(source_file("config/velocity.yaml", text, sizeof(text)), path));
    snprintf(text, sizeof(text), "velocity: {file: %s}\n", path);
    assert_int_equal(toc_config_parse(text, strlen(text), "t", ".", &file, &error), 0);
    assert_int_equal(toc_config_create(&builtin), 0);
    assert_int_equal(file->n_layers, builtin->n_layers);
    assert_memory_equal(file->layers, builtin->layers, sizeof(builtin->layers[0]) * builtin->n_layers);
    toc_config_destroy(file);
    toc_config_destroy(builtin);
}

/* An error in a file that the configuration names is told with that file's name. */
static void check_error_in_named_file(void **state)
{
    char path[] = "/tmp/tocsin-test-XXXXXX", text[128], why[1024];
    struct toc_config *config = NULL;
    struct toc_config_error error;
    int fd = mkstemp(path);
    (void)state;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "targets:\n - {name: a}\n", 22), 22);
    close(fd);
    snprintf(text, sizeof(text), "targets_file: %s\n", path);
    assert_true(toc_config_parse(text, strlen(text), "t.yaml", ".", &config, &error) < 0);
    toc_config_error_str(&error, why, sizeof(why));
    assert_non_null(strstr(why, path));
    assert_non_null(strstr(why, ":2:4: 'latitude' is missing"));
    unlink(path);
    assert_int_equal(toc_config_parse(text, strlen(text), "t.yaml", ".", &config, &error), -2);
    toc_config_error_str(&error, why, sizeof(why));
    assert_non_null(strstr(why, "No such file"));
}

static void check_edit_distance(void **state)
{
    (void)state;

    assert_int_equal(toc_edit_distance("", "abc"), 3);
    assert_int_equal(toc_edit_distance("abc", "abc"), 0);
    assert_int_equal(toc_edit_distance("abc", "acb"), 1); /* neighbours swapped */
    assert_int_equal(toc_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(toc_edit_distance("p_treshold", "p_threshold"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_defaults),
        cmocka_unit_test(check_values),
        cmocka_unit_test(check_refusals),
        cmocka_unit_test(check_error_text),
        cmocka_unit_test(check_too_large),
        cmocka_unit_test(check_too_many_items),
        cmocka_unit_test(check_round_trip),
        cmocka_unit_test(check_every_row_differs),
        cmocka_unit_test(check_every_setting_has_a_row),
        cmocka_unit_test(check_needs_restart),
        cmocka_unit_test(check_cut_and_flipped),
        cmocka_unit_test(check_shipped_is_default),
        cmocka_unit_test(check_shipped_velocity),
        cmocka_unit_test(check_error_in_named_file),
        cmocka_unit_test(check_edit_distance),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
