/*
 * The simulator: is it repeatable, is what it writes what it made, and is it
 * physics. Calibration bounds are stated where they are used; they compare
 * medians over many random quakes with published relations.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <libmseed.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/filter.h"
#include "core/shaking.h"
#include "tests/sim/fft.h"
#include "tests/sim/noise.h"
#include "tests/sim/quake.h"
#include "tests/sim/records.h"
#include "tests/sim/scenario.h"

#define FILES 5
static const char *const file_names[FILES] = {"waveforms.mseed", "stations.txt", "events.csv", "picks.csv",
                                              "arrivals.csv"};

static struct toc_scenario *make_scenario(uint64_t seed, bool nuisance)
{
    struct toc_scenario_options options;
    struct toc_scenario *scenario = NULL;
    char why[160] = "";
    toc_scenario_defaults(&options);
    options.seed = seed;
    options.n_sites = 7;
    options.duration_s = 60.0;
    options.first_origin_s = 20.0;
    options.extent_km = 60.0;
    options.accelerometers = true;
    options.nuisance = nuisance;
    options.rates_hz[1] = 62.5;
    options.rates_hz[2] = 250.0;
    options.n_rates = 3;
    assert_int_equal(toc_scenario_create(&options, &scenario, why, sizeof why), 0);
    return scenario;
}

static char *make_directory(char path[64])
{
    snprintf(path, 64, "/tmp/toc_scenario_XXXXXX");
    assert_non_null(mkdtemp(path));
    return path;
}

static void remove_directory(const char *directory)
{
    char path[128];
    for (int i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, file_names[i]);
        unlink(path);
    }
    rmdir(directory);
}

static uint8_t *read_all(const char *directory, const char *name, size_t *ret_len)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    const long len = ftell(file);
    assert_true(len > 0);
    rewind(file);
    uint8_t *bytes = malloc((size_t)len + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)len, file), len);
    bytes[len] = '\0';
    fclose(file);
    *ret_len = (size_t)len;
    return bytes;
}

static void write_scenario(uint64_t seed, bool nuisance, double packet_s, const char *directory)
{
    struct toc_scenario *scenario = make_scenario(seed, nuisance);
    assert_int_equal(toc_scenario_write(scenario, directory, true, packet_s), 0);
    toc_scenario_destroy(scenario);
}

/* How many of the five files are equal byte by byte. */
static int equal_files(const char *one, const char *other)
{
    int equal = 0;
    for (int i = 0; i < FILES; i++) {
        size_t len1, len2;
        uint8_t *bytes1 = read_all(one, file_names[i], &len1), *bytes2 = read_all(other, file_names[i], &len2);
        equal += len1 == len2 && memcmp(bytes1, bytes2, len1) == 0;
        free(bytes1);
        free(bytes2);
    }
    return equal;
}

static void same_seed_same_bytes(void **state)
{
    char a[64], b[64], c[64];
    (void)state;
    write_scenario(42, true, 0.0, make_directory(a));
    write_scenario(42, true, 0.0, make_directory(b));
    write_scenario(43, true, 0.0, make_directory(c));
    assert_int_equal(equal_files(a, b), FILES);
    assert_int_equal(equal_files(a, c), 0);
    remove_directory(a);
    remove_directory(b);
    remove_directory(c);
}

/* All decoded samples of one channel, end to end; fails on a hole. */
static size_t decode_channel(const uint8_t *file, size_t len, const char *source, int32_t *ret_samples, size_t room)
{
    MSRecord *msr = NULL;
    size_t n = 0;
    hptime_t expected = 0;
    for (size_t at = 0; at < len; at += 512) {
        char name[50];
        assert_int_equal(msr_unpack((char *)file + at, 512, &msr, 1, 0), MS_NOERROR);
        msr_srcname(msr, name, 0);
        if (strcmp(name, source) != 0)
            continue;
        assert_int_equal(msr->encoding, DE_STEIM2);
        assert_true(n + (size_t)msr->numsamples <= room);
        assert_true(n == 0 || llabs((long long)(msr->starttime - expected)) <= 100);
        memcpy(ret_samples + n, msr->datasamples, (size_t)msr->numsamples * sizeof *ret_samples);
        n += (size_t)msr->numsamples;
        expected = msr->starttime + (hptime_t)llround((double)msr->numsamples * 1e6 / msr->samprate);
    }
    msr_free(&msr);
    return n;
}

static void check_round_trip(uint64_t seed, double packet_s)
{
    char directory[64];
    size_t len;
    struct toc_scenario *scenario = make_scenario(seed, true);
    assert_int_equal(toc_scenario_write(scenario, make_directory(directory), false, packet_s), 0);
    uint8_t *file = read_all(directory, "waveforms.mseed", &len);

    for (size_t i = 0; i < scenario->n_sensors; i++) {
        const struct toc_scenario_sensor *sensor = &scenario->sensors[i];
        const size_t n = sensor->n_samples;
        int32_t *made = malloc(4 * n * sizeof *made);
        assert_non_null(made);
        int32_t *const counts[3] = {made, made + n, made + 2 * n}, *decoded = made + 3 * n;
        assert_int_equal(toc_scenario_synthesise(scenario, i, NULL, counts), 0);
        for (int k = 0; k < 3; k++) {
            char source[50];
            snprintf(source, sizeof source, "%s_%s_%s_%s", scenario->sites[sensor->site].network,
                     scenario->sites[sensor->site].station, sensor->location, sensor->channels[k]);
            assert_int_equal(decode_channel(file, len, source, decoded, n), n);
            assert_memory_equal(decoded, counts[k], n * sizeof *decoded);
        }
        free(made);
    }
    free(file);
    remove_directory(directory);
    toc_scenario_destroy(scenario);
}

static void records_give_back_the_samples(void **state)
{
    (void)state;
    check_round_trip(5, 0.0);
    check_round_trip(5, 1.0);
}

/* A hard case for differences: the full range of 24 bits from one sample to the next. */
static void clipping_fits_steim2(void **state)
{
    char directory[64];
    size_t len;
    struct toc_scenario *scenario = make_scenario(9, false);
    (void)state;
    struct toc_scenario_sensor *sensor = &scenario->sensors[0];
    for (int k = 0; k < 3; k++)
        sensor->instrument[k].gain = 1e18;
    assert_int_equal(toc_scenario_write(scenario, make_directory(directory), false, 0.0), 0);
    uint8_t *file = read_all(directory, "waveforms.mseed", &len);
    int32_t *decoded = malloc(sensor->n_samples * sizeof *decoded);
    assert_int_equal(decode_channel(file, len, "SY_T001__HHZ", decoded, sensor->n_samples), sensor->n_samples);
    size_t swings = 0;
    for (size_t k = 0; k < sensor->n_samples; k++) {
        assert_int_equal(abs(decoded[k]), TOC_COUNTS_24BIT);
        swings += k > 0 && decoded[k] != decoded[k - 1];
    }
    assert_true(swings > 100);
    free(decoded);
    free(file);
    remove_directory(directory);
    toc_scenario_destroy(scenario);
}

static int64_t record_end_us(const uint8_t *record)
{
    MSRecord *msr = NULL;
    assert_int_equal(msr_unpack((char *)record, 512, &msr, 0, 0), MS_NOERROR);
    const int64_t end = msr_endtime(msr);
    msr_free(&msr);
    return end;
}

static void records_come_in_order_and_arrive_later(void **state)
{
    char directory[64];
    size_t len, text_len;
    (void)state;
    write_scenario(3, false, 0.0, make_directory(directory));
    uint8_t *file = read_all(directory, "waveforms.mseed", &len);
    char *text = (char *)read_all(directory, "arrivals.csv", &text_len), *save = NULL;
    int64_t last = 0;
    char *line = strtok_r(text, "\n", &save);
    assert_string_equal(line, "record,arrival");
    for (size_t i = 0; i * 512 < len; i++) {
        const int64_t end = record_end_us(file + i * 512);
        unsigned long number;
        char when[64];
        toc_ns arrival;
        assert_true(end >= last - 100); /* the header holds tenths of milliseconds */
        last = end;
        line = strtok_r(NULL, "\n", &save);
        assert_non_null(line);
        assert_int_equal(sscanf(line, "%lu,%63s", &number, when), 2);
        assert_int_equal(number, i);
        assert_int_equal(toc_time_parse(when, &arrival), 0);
        assert_true(arrival / 1000 > end);
        assert_true(arrival / 1000 < end + 60 * INT64_C(1000000));
    }
    assert_null(strtok_r(NULL, "\n", &save));
    free(text);
    free(file);
    remove_directory(directory);
}

/* Samples of one sensor are those of its own seed, whatever else was asked for before. */
static void order_of_asking_does_not_matter(void **state)
{
    struct toc_scenario *scenario = make_scenario(8, true);
    (void)state;
    const size_t n = scenario->sensors[2].n_samples;
    int32_t *one = malloc(3 * n * sizeof *one), *two = malloc(3 * n * sizeof *two);
    int32_t *const first[3] = {one, one + n, one + 2 * n}, *const second[3] = {two, two + n, two + 2 * n};
    assert_int_equal(toc_scenario_synthesise(scenario, 2, NULL, first), 0);
    for (size_t i = 0; i < scenario->n_sensors; i++) {
        if (scenario->sensors[i].n_samples <= n)
            assert_int_equal(toc_scenario_synthesise(scenario, i, NULL, second), 0);
    }
    assert_int_equal(toc_scenario_synthesise(scenario, 2, NULL, second), 0);
    assert_memory_equal(one, two, 3 * n * sizeof *one);
    free(one);
    free(two);
    toc_scenario_destroy(scenario);
}

static double component_power(float *const enz[3], size_t k)
{
    return (double)enz[0][k] * enz[0][k] + (double)enz[1][k] * enz[1][k] + (double)enz[2][k] * enz[2][k];
}

/* Nothing before the pick, and within 50 ms of it more than a two-hundredth of the P peak of the first half second. */
static void onset_is_at_the_true_pick(void **state)
{
    struct toc_scenario *scenario = make_scenario(21, false);
    size_t tried = 0;
    (void)state;
    for (size_t i = 0; i < scenario->n_sensors; i++) {
        const struct toc_scenario_sensor *sensor = &scenario->sensors[i];
        const struct toc_scenario_arrival *arrival = &scenario->arrivals[sensor->site];
        const size_t n = sensor->n_samples;
        float *all = malloc(3 * n * sizeof *all);
        float *const enz[3] = {all, all + n, all + 2 * n};
        assert_int_equal(toc_scenario_synthesise(scenario, i, enz, NULL), 0);
        const double pick = toc_s_from_ns(arrival->p - scenario->start) * sensor->rate_hz;
        const size_t first = (size_t)ceil(pick), soon = (size_t)(0.05 * sensor->rate_hz) + 1;
        double peak = 0.0, before = 0.0, early = 0.0;
        for (size_t k = 0; k < first + (size_t)(0.5 * sensor->rate_hz); k++) {
            const double power = component_power(enz, k);
            if (k < first)
                before = fmax(before, power);
            else if (k < first + soon)
                early = fmax(early, power);
            peak = fmax(peak, power);
        }
        assert_true(sqrt(before) < 1e-6 * sqrt(peak));
        assert_true(sqrt(early) > 5e-3 * sqrt(peak));
        free(all);
        tried++;
    }
    assert_int_equal(tried, 14);
    toc_scenario_destroy(scenario);
}

struct polarisation {
    double p_vertical, p_radial, p_transverse, s_horizontal, s_vertical, s_radial, s_transverse; /* peaks */
};

/* Peaks of P (its first half second: later it is scattered) and of S. P comes at 1 s, S at 7.2 s, 100 Hz. */
static void polarisation(float *const enz[3], size_t n, double azimuth_rad, struct polarisation *ret)
{
    *ret = (struct polarisation){0};
    for (size_t k = 0; k < n; k++) {
        const double r = enz[0][k] * sin(azimuth_rad) + enz[1][k] * cos(azimuth_rad);
        const double t = enz[0][k] * cos(azimuth_rad) - enz[1][k] * sin(azimuth_rad);
        if (k < 150) {
            ret->p_vertical = fmax(ret->p_vertical, fabs(enz[2][k]));
            ret->p_radial = fmax(ret->p_radial, fabs(r));
            ret->p_transverse = fmax(ret->p_transverse, fabs(t));
        } else if (k > 720) {
            ret->s_horizontal = fmax(ret->s_horizontal, hypot(r, t));
            ret->s_vertical = fmax(ret->s_vertical, fabs(enz[2][k]));
            ret->s_radial = fmax(ret->s_radial, fabs(r));
            ret->s_transverse = fmax(ret->s_transverse, fabs(t));
        }
    }
}

/* P is vertical and radial, S is horizontal in both directions, larger: five times by (Vs/Vp)^3, the ground more. */
static void p_is_vertical_and_s_horizontal(void **state)
{
    enum { N = 6000, TRIALS = 60 };
    static float all[3 * N];
    float *const enz[3] = {all, all + N, all + 2 * N};
    double vertical = 0.0, radial = 0.0, s_over_p = 0.0, s_flat = 0.0, s_transverse = 0.0;
    struct toc_random random;
    struct toc_synth *synth = NULL;
    (void)state;
    toc_random_seed(&random, 11, 0);
    assert_int_equal(toc_synth_create(100.0, N, &synth), 0);
    for (int trial = 0; trial < TRIALS; trial++) {
        struct toc_quake quake;
        struct toc_quake_path path = {.epicentral_km = 50.0, .depth_km = 10.0, .p_s = 8.6, .s_s = 14.8};
        struct polarisation seen;
        toc_quake_draw(&random, NULL, 4.5, &quake);
        toc_quake_path_draw(&random, NULL, &path);
        path.azimuth_rad = toc_random_range(&random, 0.0, 2.0 * M_PI);
        path.seed = toc_random_next(&random);
        memset(all, 0, sizeof all);
        toc_synth_add(synth, &quake, &path, 1.0, enz, N);
        polarisation(enz, N, path.azimuth_rad, &seen);
        vertical += log10(seen.p_vertical / seen.p_radial) / TRIALS;
        radial += log10(seen.p_radial / seen.p_transverse) / TRIALS;
        s_over_p += log10(seen.s_horizontal / seen.p_vertical) / TRIALS;
        s_flat += log10(seen.s_horizontal / seen.s_vertical) / TRIALS;
        s_transverse += log10(seen.s_transverse / seen.s_radial) / TRIALS;
    }
    assert_true(vertical > 0.1);
    assert_true(radial > 0.05);
    assert_true(s_flat > 0.15);
    assert_true(fabs(s_transverse) < 0.3);
    assert_true(s_over_p > log10(3.0) && s_over_p < log10(12.0));
    toc_synth_destroy(synth);
}

enum { SPECTRUM = 8192, POINTS = 8 };
static const double spectrum_hz[POINTS] = {0.05, 0.1, 0.2, 1.0, 2.0, 4.0, 8.0, 16.0};

/* P of one quake without losses, straight up: 1 s of nothing, then the wave. */
static void lossless_p(struct toc_random *random, struct toc_synth *synth, struct toc_quake *quake,
                       float ret_vertical[SPECTRUM])
{
    static float horizontal[2][SPECTRUM];
    float *const enz[3] = {horizontal[0], horizontal[1], ret_vertical};
    struct toc_quake_path path;
    toc_quake_draw(random, NULL, 5.0, quake);
    toc_quake_path_draw(random, NULL, &path);
    path.q0 = INFINITY;
    path.kappa_s = 0.0;
    path.scattering = 0.0;
    path.site_p = path.site_s = 1.0;
    path.epicentral_km = 300.0; /* no near field */
    path.depth_km = 8.0;
    path.azimuth_rad = toc_random_range(random, 0.0, 2.0 * M_PI);
    path.incidence_rad = 0.0;
    path.p_s = 7.0;
    path.s_s = 200.0; /* out of the window */
    path.seed = toc_random_next(random);
    memset(ret_vertical, 0, SPECTRUM * sizeof *ret_vertical);
    toc_synth_add(synth, quake, &path, 1.0, enz, SPECTRUM);
}

/* log10 of the displacement spectrum, smoothed over 30 % around each frequency. */
static void displacement_spectrum(const struct toc_fft *fft, const float velocity[SPECTRUM], double ret[POINTS])
{
    static double re[SPECTRUM], im[SPECTRUM];
    for (int k = 0; k < SPECTRUM; k++) {
        re[k] = velocity[k] / 100.0;
        im[k] = 0.0;
    }
    toc_fft_run(fft, false, re, im);
    for (int i = 0; i < POINTS; i++) {
        const double f = spectrum_hz[i];
        const int low = (int)floor(f * 0.85 * SPECTRUM / 100.0), high = (int)ceil(f * 1.15 * SPECTRUM / 100.0);
        double power = 0.0;
        for (int k = low; k <= high; k++)
            power += (re[k] * re[k] + im[k] * im[k]) / (high - low + 1);
        ret[i] = log10(sqrt(power) / (2.0 * M_PI * f));
    }
}

/* Flat below the corner, f^-2 above: the mean over many quakes is within 0.15 of log10 of the formula everywhere. */
static void source_is_omega_square(void **state)
{
    enum { TRIALS = 80 };
    static float vertical[SPECTRUM];
    double level[POINTS] = {0}, offset = 0.0;
    struct toc_random random;
    struct toc_synth *synth = NULL;
    struct toc_fft *fft = NULL;
    (void)state;
    toc_random_seed(&random, 77, 0);
    assert_int_equal(toc_synth_create(100.0, SPECTRUM, &synth), 0);
    assert_int_equal(toc_fft_create(SPECTRUM, &fft), 0);
    for (int trial = 0; trial < TRIALS; trial++) {
        struct toc_quake quake;
        double one[POINTS];
        lossless_p(&random, synth, &quake, vertical);
        displacement_spectrum(fft, vertical, one);
        const double corner = 1.2 * quake.corner_hz;
        for (int i = 0; i < POINTS; i++) {
            const double f = spectrum_hz[i];
            level[i] += (one[i] + log10(1.0 + f * f / (corner * corner))) / TRIALS;
        }
    }
    for (int i = 0; i < POINTS; i++)
        offset += level[i] / POINTS;
    for (int i = 0; i < POINTS; i++) {
        if (fabs(level[i] - offset) > 0.15)
            fail_msg("at %g Hz the spectrum is off by %.2f in log10", spectrum_hz[i], level[i] - offset);
    }
    toc_fft_destroy(fft);
    toc_synth_destroy(synth);
}

enum { RECORD_HZ = 100, RECORD_SAMPLES = 3500, RECORD_P = 1000 };

static struct toc_records *records_of(uint64_t seed, int region)
{
    struct toc_records_options options;
    struct toc_records *records = NULL;
    toc_records_defaults(&options);
    options.seed = seed;
    options.region = region;
    assert_int_equal(toc_records_create(&options, &records), 0);
    assert_int_equal(toc_records_max_samples(records), RECORD_SAMPLES);
    return records;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, by_value);
    return values[n / 2];
}

struct peaks {
    double pd_cm, pga_ms2, pgv_ms;
};

/* Pd as Wu and Zhao measure it: vertical displacement, 0.075 Hz high-pass of order 2, 3 s after P (S kept out). */
static void measure(float (*rows)[3], const struct toc_record_head *head, struct peaks *ret)
{
    struct toc_filter highpass;
    double displacement = 0.0;
    *ret = (struct peaks){0};
    assert_int_equal(toc_filter_highpass(&highpass, 2, 0.075, RECORD_HZ), 0);
    for (uint32_t k = 0; k < head->n_samples; k++) {
        displacement += rows[k][2] / RECORD_HZ;
        const double d = fabs(toc_filter_step(&highpass, displacement));
        if ((int32_t)k >= head->p_index && (int32_t)k < head->p_index + 3 * RECORD_HZ && (int32_t)k < head->s_index)
            ret->pd_cm = fmax(ret->pd_cm, 100.0 * d);
        for (int c = 0; c < 2 && k > 0; c++) {
            ret->pgv_ms = fmax(ret->pgv_ms, fabs(rows[k][c]));
            ret->pga_ms2 = fmax(ret->pga_ms2, fabs(rows[k][c] - rows[k - 1][c]) * RECORD_HZ);
        }
    }
}

/*
 * Wu and Zhao (2006), GRL 33, L16312: log10 Pd(cm) = -3.463 + 0.729 M - 1.374 log10 R, sigma 0.305, M 4 to 6.5. All
 * medians together within 0.2 of it, and each cell within 0.5: the relation averages over real crusts, slopes differ.
 */
static void pd_agrees_with_wu_and_zhao(void **state)
{
    enum { PER_CELL = 80, CELLS = 24 };
    static const double magnitudes[] = {4.0, 4.5, 5.0, 5.5, 6.0, 6.5}, distances[] = {20.0, 35.0, 60.0, 100.0};
    static float rows[RECORD_SAMPLES][3];
    struct toc_records *records = NULL;
    double misfit[PER_CELL], cells[CELLS];
    size_t n_cells = 0;
    uint64_t index = 0;
    (void)state;
    records = records_of(1234, 0);
    for (size_t m = 0; m < 6; m++) {
        for (size_t r = 0; r < 4; r++) {
            for (size_t i = 0; i < PER_CELL; i++) {
                struct toc_record_head head;
                struct peaks peaks;
                const struct toc_record_place place = {magnitudes[m], distances[r], 0};
                assert_int_equal(toc_records_make_ground(records, index++, &place, &head, rows), 0);
                measure(rows, &head, &peaks);
                misfit[i] = log10(peaks.pd_cm) - (-3.463 + 0.729 * magnitudes[m] - 1.374 * log10(distances[r]));
            }
            cells[n_cells] = median(misfit, PER_CELL);
            if (fabs(cells[n_cells]) > 0.5)
                fail_msg("M %g at %g km: Pd is off by %.2f in log10", magnitudes[m], distances[r], cells[n_cells]);
            n_cells++;
        }
    }
    const double all = median(cells, n_cells);
    if (fabs(all) > 0.2)
        fail_msg("Pd is off by %.2f in log10", all);
    toc_records_destroy(records);
}

/* Peak motion within a factor of four of what the runtime's own relations say (Allen, Wald and Worden 2012; Worden et
 * al. 2012): they are for mean ground and we are rock, and below MMI 4 they are thin. */
static void peak_motion_has_the_right_size(void **state)
{
    enum { PER_CELL = 40 };
    static const double magnitudes[] = {5.0, 6.0, 7.0}, distances[] = {20.0, 40.0};
    static float rows[RECORD_SAMPLES][3];
    struct toc_records *records = NULL;
    double pga[PER_CELL], pgv[PER_CELL];
    uint64_t index = 0;
    (void)state;
    records = records_of(99, 0);
    for (size_t m = 0; m < 3; m++) {
        for (size_t r = 0; r < 2; r++) {
            for (size_t i = 0; i < PER_CELL; i++) {
                struct toc_record_head head;
                struct peaks peaks;
                const struct toc_record_place place = {magnitudes[m], distances[r], 0};
                assert_int_equal(toc_records_make_ground(records, index++, &place, &head, rows), 0);
                measure(rows, &head, &peaks);
                pga[i] = log10(peaks.pga_ms2);
                pgv[i] = log10(peaks.pgv_ms);
            }
            double sigma;
            const double mmi = toc_shaking_mmi(magnitudes[m], distances[r], &sigma);
            const double a = median(pga, PER_CELL) - log10(toc_shaking_pga_ms2(mmi));
            const double v = median(pgv, PER_CELL) - log10(toc_shaking_pgv_ms(mmi));
            if (fabs(a) > log10(4.0) || fabs(v) > log10(4.0))
                fail_msg("M %g at %g km: PGA off by %.2f, PGV by %.2f in log10", magnitudes[m], distances[r], a, v);
        }
    }
    toc_records_destroy(records);
}

/* The first second does not know the size: M 6 and M 8 differ by less than a factor two there, far more at last. */
static void the_start_does_not_know_the_end(void **state)
{
    enum { TRIALS = 150 };
    static float rows[RECORD_SAMPLES][3];
    struct toc_records *records = NULL;
    double first[2][TRIALS], last[2][TRIALS];
    (void)state;
    records = records_of(55, 0);
    for (int size = 0; size < 2; size++) {
        for (uint64_t i = 0; i < TRIALS; i++) {
            struct toc_record_head head;
            double displacement = 0.0, early = 0.0, late = 0.0;
            const struct toc_record_place place = {size ? 8.0 : 6.0, 80.0, 0};
                assert_int_equal(toc_records_make_ground(records, i, &place, &head, rows), 0);
            for (int32_t k = head.p_index; k < (int32_t)head.n_samples; k++) {
                displacement += rows[k][2] / RECORD_HZ;
                if (k < head.p_index + 70)
                    early = fmax(early, fabs(displacement));
                late = fmax(late, fabs(displacement));
            }
            first[size][i] = log10(early);
            last[size][i] = log10(late);
        }
    }
    const double at_first = median(first[1], TRIALS) - median(first[0], TRIALS);
    if (fabs(at_first) > log10(2.0))
        fail_msg("M 8 starts stronger than M 6 by %.2f in log10", at_first);
    assert_true(median(last[1], TRIALS) - median(last[0], TRIALS) > log10(8.0));
    toc_records_destroy(records);
}

/* Noise lies between the low and the high model (Peterson 1993), give or take 10 dB, at three frequencies. */
static void noise_is_between_the_models(void **state)
{
    enum { N = 32768 };
    static const double hz[] = {0.2, 1.0, 10.0}, low[] = {-141.1, -166.4, -168.0}, high[] = {-95.8, -116.9, -91.5};
    static double re[N], im[N];
    struct toc_random random;
    struct toc_fft *fft = NULL;
    (void)state;
    toc_random_seed(&random, 5, 0);
    assert_int_equal(toc_fft_create(N, &fft), 0);
    for (uint64_t trial = 0; trial < 20; trial++) {
        struct toc_noise_level level;
        struct toc_noise noise;
        toc_noise_level_draw(&random, toc_random_range(&random, 0.3, 0.8), &level);
        toc_noise_start(&noise, &level, 100.0, trial);
        for (int k = 0; k < N; k++) {
            re[k] = toc_noise_step(&noise) * sin(M_PI * k / N) * sqrt(2.0); /* a taper of mean power one */
            im[k] = 0.0;
        }
        toc_fft_run(fft, false, re, im);
        for (int i = 0; i < 3; i++) {
            const int from = (int)(hz[i] * 0.8 * N / 100.0), to = (int)(hz[i] * 1.25 * N / 100.0);
            double psd = 0.0;
            for (int k = from; k <= to; k++)
                psd += 2.0 * (re[k] * re[k] + im[k] * im[k]) / (100.0 * N) / (to - from + 1);
            const double db = 10.0 * log10(psd * pow(2.0 * M_PI * hz[i], 2.0));
            assert_true(db > low[i] - 10.0 && db < high[i] + 10.0);
        }
    }
    toc_fft_destroy(fft);
}

/* What is written in stations.txt makes the same network again. */
static void stations_file_is_taken(void **state)
{
    char directory[64], why[160] = "";
    size_t len;
    struct toc_scenario_options options;
    struct toc_scenario *scenario = NULL, *original = make_scenario(3, false);
    (void)state;
    assert_int_equal(toc_scenario_write(original, make_directory(directory), true, 0.0), 0);
    char *text = (char *)read_all(directory, "stations.txt", &len);
    toc_scenario_defaults(&options);
    options.station_text = text;
    options.station_text_len = len;
    assert_int_equal(toc_scenario_create(&options, &scenario, why, sizeof why), 0);
    assert_int_equal(scenario->n_sites, original->n_sites);
    assert_int_equal(scenario->n_sensors, original->n_sensors);
    for (size_t i = 0; i < scenario->n_sensors; i++) {
        assert_int_equal(scenario->sensors[i].n_channels, 3);
        assert_true(scenario->sensors[i].instrument[0].gain > 1e5);
        assert_int_equal(scenario->sensors[i].instrument[0].acceleration, scenario->sensors[i].channels[0][1] == 'N');
    }
    assert_true(fabs(scenario->sites[3].latitude_deg - original->sites[3].latitude_deg) < 1e-5);
    text[len / 2] = '\0';
    options.station_text_len = len / 2 + 1;
    struct toc_scenario *untouched = NULL;
    assert_int_equal(toc_scenario_create(&options, &untouched, why, sizeof why), -EINVAL);
    assert_null(untouched);
    assert_true(strlen(why) > 0);
    free(text);
    toc_scenario_destroy(scenario);
    toc_scenario_destroy(original);
    remove_directory(directory);
}

static void bad_options_are_refused(void **state)
{
    struct toc_scenario *scenario = NULL;
    (void)state;
    for (int i = 0; i < 8; i++) {
        struct toc_scenario_options options;
        char why[160] = "";
        toc_scenario_defaults(&options);
        switch (i) {
        case 0: options.magnitude = 12.0; break;
        case 1: options.n_events = TOC_SCENARIO_EVENTS_MAX + 1; break;
        case 2: options.n_sites = 0; break;
        case 3: options.duration_s = NAN; break;
        case 4: options.rates_hz[0] = 5.0; break;
        case 5: options.latitude_deg = 89.0; break;
        case 6: options.first_origin_s = 400.0; break;
        case 7: options.depth_km = -1.0; break;
        }
        assert_int_equal(toc_scenario_create(&options, &scenario, why, sizeof why), -EINVAL);
        assert_null(scenario);
        assert_true(strlen(why) > 0);
    }
}

/* Training records say where P is: the second after it is stronger than the one before, for good signals. */
static void training_records_hold_together(void **state)
{
    enum { COUNT = 60 };
    static float rows[RECORD_SAMPLES][3], again[RECORD_SAMPLES][3];
    static uint8_t clipped[RECORD_SAMPLES];
    struct toc_records *records = NULL;
    struct toc_record_head head;
    size_t louder = 0, accelerometers = 0;
    (void)state;
    records = records_of(17, TOC_RECORD_NONE);
    for (uint64_t i = 0; i < COUNT; i++) {
        double before = 0.0, after = 0.0, mean = 0.0;
        assert_int_equal(toc_records_make(records, i, NULL, &head, rows, clipped), 0);
        assert_int_equal(head.n_samples, RECORD_SAMPLES);
        assert_int_equal(head.p_index, RECORD_P);
        assert_true(head.magnitude >= 1.0f && head.magnitude <= 8.0f);
        assert_true(head.hypocentral_km > 4.9f && head.hypocentral_km < 200.1f);
        assert_true(head.s_index > head.p_index);
        for (uint32_t k = 900; k < 1000; k++)
            mean += rows[k][2] / 100.0;
        for (uint32_t k = 900; k < 1100; k++)
            *(k < 1000 ? &before : &after) += (rows[k][2] - mean) * (rows[k][2] - mean);
        louder += after > 4.0 * before;
        accelerometers += head.acceleration;
    }
    assert_true(louder > COUNT / 3);
    assert_true(accelerometers > COUNT / 5 && accelerometers < COUNT * 4 / 5);
    assert_int_equal(toc_records_make(records, 3, NULL, &head, rows, clipped), 0);
    assert_int_equal(toc_records_make(records, 50, NULL, &head, again, clipped), 0);
    assert_int_equal(toc_records_make(records, 3, NULL, &head, again, clipped), 0);
    assert_memory_equal(rows, again, sizeof rows);
    toc_records_destroy(records);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_seed_same_bytes),
        cmocka_unit_test(records_give_back_the_samples),
        cmocka_unit_test(clipping_fits_steim2),
        cmocka_unit_test(records_come_in_order_and_arrive_later),
        cmocka_unit_test(order_of_asking_does_not_matter),
        cmocka_unit_test(onset_is_at_the_true_pick),
        cmocka_unit_test(p_is_vertical_and_s_horizontal),
        cmocka_unit_test(source_is_omega_square),
        cmocka_unit_test(pd_agrees_with_wu_and_zhao),
        cmocka_unit_test(peak_motion_has_the_right_size),
        cmocka_unit_test(the_start_does_not_know_the_end),
        cmocka_unit_test(noise_is_between_the_models),
        cmocka_unit_test(stations_file_is_taken),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(training_records_hold_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
