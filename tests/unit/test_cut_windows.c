/*
 * The training pipe: what it writes is what the runtime computes, block by
 * block, and a lying or broken input is an error, not a shorter answer.
 * Runs the program that was built beside this test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/window.h"
#include "tests/unit/make_record.h"

#define ROWS 3000

static float rows[ROWS][TOC_COMPONENTS];
static uint8_t clipped[ROWS];

static int make_rows(void **state)
{
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        for (int c = 0; c < TOC_COMPONENTS; c++)
            rows[i][c] = (float)(sin(i * (0.3 + c)) + 5 * sin(i * i * 0.01 + c)) + (float)c;
        rows[i][TOC_N] = i > 1000 && i < 2000 ? NAN : rows[i][TOC_N];
        clipped[i] = i % 517 == 0;
    }
    return 0;
}

static const char *program(void)
{
    static char path[512];
    const char *build = getenv("TOCSIN_BUILD");
    snprintf(path, sizeof path, "%s/models/cut_windows", build ? build : "build");
    if (access(path, X_OK) != 0)
        skip();
    return path;
}

/* Input and output by files, so that neither side can block the other. @return exit status */
static int run(const char *mode, FILE *in, FILE **ret_out)
{
    const char *path = program();
    FILE *out = tmpfile();
    int status = 0;
    assert_non_null(out);
    assert_int_equal(fflush(in), 0);
    pid_t child = fork();
    if (child == 0) {
        lseek(fileno(in), 0, SEEK_SET);
        dup2(fileno(in), STDIN_FILENO);
        dup2(fileno(out), STDOUT_FILENO);
        if (!freopen("/dev/null", "w", stderr))
            _exit(126);
        execl(path, path, mode, (char *)NULL);
        _exit(127);
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    fclose(in);
    rewind(out);
    *ret_out = out;
    return WEXITSTATUS(status);
}

static void put_u32(FILE *file, uint32_t value)
{
    assert_int_equal(fwrite(&value, sizeof value, 1, file), 1);
}

static void close_to(float got, float want)
{
    if (!(fabsf(got - want) <= 1e-5f * fmaxf(1.0f, fabsf(want))))
        fail_msg("%g is not %g", (double)got, (double)want);
}

static void test_features_equal_the_runtime(void **state)
{
    static const uint32_t lengths[] = {1, ROWS, 700};
    struct toc_features *features;
    FILE *in = tmpfile(), *out;
    (void)state;
    assert_non_null(in);
    for (int b = 0; b < 3; b++) {
        put_u32(in, lengths[b]);
        fwrite(rows, sizeof rows[0], lengths[b], in);
    }
    assert_int_equal(run("features", in, &out), 0);
    assert_int_equal(toc_features_create(&features), 0);
    for (int b = 0; b < 3; b++) {
        toc_features_reset(features); /* each block begins anew */
        for (uint32_t i = 0; i < lengths[b]; i++) {
            float want[TOC_FEATURES], got[TOC_FEATURES];
            toc_features_push(features, rows[i], want);
            assert_int_equal(fread(got, sizeof got, 1, out), 1);
            for (int f = 0; f < TOC_FEATURES; f++)
                close_to(got[f], want[f]);
        }
    }
    assert_int_equal(fgetc(out), EOF);
    toc_features_destroy(features);
    fclose(out);
}

static void put_motion(FILE *in, uint32_t n, uint32_t acceleration)
{
    put_u32(in, n);
    put_u32(in, acceleration);
    fwrite(rows, sizeof rows[0], n, in);
    fwrite(clipped, 1, n, in);
}

static void expect_steps(FILE *out, uint32_t n, bool acceleration)
{
    struct toc_motion *motion;
    uint32_t steps;
    assert_int_equal(fread(&steps, sizeof steps, 1, out), 1);
    assert_int_equal(steps, n / 10);
    assert_int_equal(toc_motion_create(&motion), 0);
    toc_motion_reset(motion, acceleration);
    for (uint32_t i = 0; i < n; i++) {
        struct toc_motion_step step;
        float got[13], want[13];
        if (!toc_motion_push(motion, i, rows[i], clipped[i] != 0, &step))
            continue;
        assert_int_equal(fread(got, sizeof got, 1, out), 1);
        memcpy(want, &step, sizeof want);
        for (int f = 0; f < 13; f++)
            close_to(got[f], want[f]);
    }
    toc_motion_destroy(motion);
}

static void test_motion_equals_the_runtime(void **state)
{
    FILE *in = tmpfile(), *out;
    (void)state;
    assert_non_null(in);
    put_motion(in, ROWS, 0);
    put_motion(in, 9, 1);
    put_motion(in, 1234, 1);
    assert_int_equal(run("motion", in, &out), 0);
    expect_steps(out, ROWS, false);
    expect_steps(out, 9, true);
    expect_steps(out, 1234, true);
    assert_int_equal(fgetc(out), EOF);
    fclose(out);
}

static int status_of(const char *mode, const void *bytes, size_t len)
{
    FILE *in = tmpfile(), *out;
    assert_non_null(in);
    assert_int_equal(fwrite(bytes, 1, len, in), len);
    int status = run(mode, in, &out);
    fclose(out);
    return status;
}

static void test_broken_input_is_an_error(void **state)
{
    static const uint32_t none[] = {0}, many[] = {10000001, 0, 0}, lying[] = {10000000, 0, 0, 0};
    static const uint32_t no_such_sensor[] = {1, 2, 0};
    static const char *const modes[] = {"features", "motion"};
    (void)state;
    for (int m = 0; m < 2; m++) {
        assert_int_equal(status_of(modes[m], "", 0), 0);
        assert_int_equal(status_of(modes[m], "abc", 3), 1);
        assert_int_equal(status_of(modes[m], none, sizeof none), 1);
        assert_int_equal(status_of(modes[m], many, sizeof many), 1);
        assert_int_equal(status_of(modes[m], lying, sizeof lying), 1);
    }
    assert_int_equal(status_of("motion", no_such_sensor, sizeof no_such_sensor), 1);
    assert_int_equal(status_of("nonsense", "", 0), 2);
}

/* ---- rows ---- */

#define T0 INT64_C(1562261629040000000)
#define RECORDS 40
#define PER_RECORD 100

static char folder[] = "/tmp/toc_cut_windows_XXXXXX";

static char *in_folder(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static FILE *open_in_folder(const char *name, const char *mode)
{
    FILE *file = fopen(in_folder(name), mode);
    if (!file)
        fail_msg("no %s", name);
    return file;
}

static int32_t sample_at(int channel, int i)
{
    return 1000 * channel + i * i % 1999 - 700;
}

/* One-second records of Z and N, the later ones first, rubbish in between; Z lacks records 20..29, E is not sent. */
static void write_recording(void)
{
    static const char *const channels[] = {"HHZ", "HHN"};
    static uint8_t record[MAKE_RECORD_MAX];
    FILE *file = open_in_folder("a.mseed", "wb");
    for (int r = RECORDS - 1; r >= 0; r--)
        for (int c = 0; c < 2; c++) {
            struct make_record spec = make_record_default();
            int32_t samples[PER_RECORD];
            int length = 0;
            if (c == 0 && r >= 20 && r < 30)
                continue;
            for (int i = 0; i < PER_RECORD; i++)
                samples[i] = sample_at(c, r * PER_RECORD + i);
            spec.cha = channels[c];
            spec.start_ns = T0 + r * INT64_C(1000000000);
            spec.samples = samples;
            spec.n = PER_RECORD;
            assert_int_equal(make_record(&spec, record, &length), PER_RECORD);
            fwrite(record, 1, (size_t)length, file);
            memset(record, 0xa5, 128);
            fwrite(record, 1, r % 3 == 0 ? 128 : 0, file);
        }
    assert_int_equal(fclose(file), 0);
    file = open_in_folder("stations.txt", "wb");
    for (int c = 0; c < 3; c++)
        fprintf(file, "XX|TEST|00|HH%c|35.5|-117.5|800|0|%d|%d|made up|1000000|1|M/S|100|2010-01-01T00:00:00|\n",
                "ZNE"[c], c == 2 ? 90 : 0, c == 0 ? -90 : 0);
    assert_int_equal(fclose(file), 0);
}

static int run_rows(void)
{
    char command[1024];
    snprintf(command, sizeof command, "'%s' rows %s %s 2>/dev/null", program(), folder, folder);
    int status = system(command);
    assert_true(status >= 0 && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_rows_are_the_samples_at_their_times(void **state)
{
    char card[1024] = "";
    (void)state;
    (void)program();
    assert_non_null(mkdtemp(folder));
    assert_int_not_equal(run_rows(), 0); /* nothing there yet */
    write_recording();
    assert_int_equal(run_rows(), 0);
    FILE *file = open_in_folder("FDSN_XX_TEST_00_H_H.f32", "rb");
    for (int i = 0; i < RECORDS * PER_RECORD; i++) {
        float enz[TOC_COMPONENTS];
        bool gap = i >= 2000 && i < 3000;
        assert_int_equal(fread(enz, sizeof enz, 1, file), 1);
        assert_true(isnan(enz[TOC_E]));
        assert_true(enz[TOC_N] == (float)sample_at(1, i));
        assert_true(gap ? isnan(enz[TOC_Z]) : enz[TOC_Z] == (float)sample_at(0, i));
    }
    assert_int_equal(fgetc(file), EOF);
    fclose(file);
    file = open_in_folder("FDSN_XX_TEST_00_H_H.json", "rb");
    assert_true(fread(card, 1, sizeof card - 1, file) > 0);
    fclose(file);
    assert_non_null(strstr(card, "\"start_index\": 156226162904, \"rows\": 4000, "));
    assert_non_null(strstr(card, "\"unit\": \"m/s\", \"scale\": 1000000, "));
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"a.mseed", "stations.txt", "FDSN_XX_TEST_00_H_H.f32",
                                        "FDSN_XX_TEST_00_H_H.clip", "FDSN_XX_TEST_00_H_H.json"};
    (void)state;
    for (int i = 0; i < 5; i++)
        unlink(in_folder(names[i]));
    rmdir(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_features_equal_the_runtime),
        cmocka_unit_test(test_motion_equals_the_runtime),
        cmocka_unit_test(test_broken_input_is_an_error),
        cmocka_unit_test(test_rows_are_the_samples_at_their_times),
    };
    return cmocka_run_group_tests(tests, make_rows, remove_folder);
}
