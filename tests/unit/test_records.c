/*
 * The simulator as a source of training records: does the physics that was put in come out? Sizes are held against the
 * formulas they are made by, in other arithmetic than the simulator's own.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/blast.h"
#include "tests/sim/fft.h"
#include "tests/sim/near_field.h"
#include "tests/sim/nuisance.h"
#include "tests/sim/quake.h"
#include "tests/sim/records.h"

enum { HZ = 100, LENGTH = 16384 };

static float ground[3][LENGTH];
static float *const enz[3] = {ground[0], ground[1], ground[2]};

/* Nothing but 1/R: what is left is the source. */
static const struct toc_region plain = {.name = "plain",
                                        .stress_drop_pa = 5e6,
                                        .q0 = INFINITY,
                                        .near_km = 1e4,
                                        .middle_km = 1e4,
                                        .near = -1.0,
                                        .middle = -1.0,
                                        .far = -1.0,
                                        .site_s = 1.0};

static struct toc_quake_path plain_path(double epicentral_km, double depth_km, double azimuth_rad, uint64_t seed)
{
    const double km = hypot(epicentral_km, depth_km);
    return (struct toc_quake_path){.region = &plain,
                                   .epicentral_km = epicentral_km,
                                   .depth_km = depth_km,
                                   .azimuth_rad = azimuth_rad,
                                   .p_s = km / 6.2,
                                   .s_s = km / 3.5,
                                   .q0 = INFINITY,
                                   .site_p = 1.0,
                                   .site_s = 1.0,
                                   .seed = seed};
}

/* Mean displacement spectrum of one component over a band. */
static double displacement(const float *velocity, double low_hz, double high_hz)
{
    static double re[LENGTH], im[LENGTH];
    struct toc_fft *fft = NULL;
    double power = 0.0;
    int n = 0;
    assert_int_equal(toc_fft_create(LENGTH, &fft), 0);
    for (int k = 0; k < LENGTH; k++) {
        re[k] = velocity[k] / HZ;
        im[k] = 0.0;
    }
    toc_fft_run(fft, false, re, im);
    for (int k = (int)ceil(low_hz * LENGTH / HZ); k <= (int)floor(high_hz * LENGTH / HZ); k++, n++) {
        const double omega = 2.0 * M_PI * k * HZ / LENGTH;
        power += (re[k] * re[k] + im[k] * im[k]) / (omega * omega);
    }
    toc_fft_destroy(fft);
    return sqrt(power / n);
}

/* An explosion seen from above: the plateau is the moment over 4 pi rho alpha^3 R, twice for the surface, and at the
 * corner the spectrum is about half of it (omega-square; the made one sags where its smooth and its random part meet).
 */
static void plateau_is_the_moment_and_the_corner_halves_it(void **state)
{
    enum { TRIALS = 30 };
    double plateau = 0.0, corner = 0.0;
    struct toc_random random;
    struct toc_synth *synth = NULL;
    (void)state;
    toc_random_seed(&random, 3, 0);
    assert_int_equal(toc_synth_create(HZ, LENGTH, &synth), 0);
    for (uint64_t i = 0; i < TRIALS; i++) {
        struct toc_quake quake;
        struct toc_quake_path path = plain_path(30.0, 10.0, 1.0, i);
        path.incidence_rad = 0.0;
        path.s_s = path.p_s + 170.0;
        toc_quake_draw(&random, &plain, 4.2, &quake); /* too small for a near field */
        quake.explosion = true;
        memset(ground, 0, sizeof ground);
        toc_synth_add(synth, &quake, &path, 1.0, enz, LENGTH);
        const double expected =
            2.0 * pow(10.0, 1.5 * 4.2 + 9.1) / (4.0 * M_PI * 2750.0 * pow(6200.0, 3.0) * 1e3 * hypot(30.0, 10.0));
        const double fc = 1.2 * quake.corner_hz;
        plateau += log10(displacement(ground[2], 0.05, 0.2) / expected) / TRIALS;
        corner += log10(displacement(ground[2], 0.9 * fc, 1.1 * fc) / expected) / TRIALS;
    }
    if (fabs(plateau) > 0.05 || fabs(corner - log10(0.5)) > 0.25)
        fail_msg("plateau off by %.3f, corner at %.3f of it, in log10", plateau, corner);
    toc_synth_destroy(synth);
}

/* A row is as long as Wells and Coppersmith say, its shares are all of the moment, its far end is nearer to a station
 * there, and no part is heard before the first. */
static void large_sources_are_rows(void **state)
{
    struct toc_random random;
    double length = 0.0;
    (void)state;
    toc_random_seed(&random, 4, 0);
    for (uint64_t i = 0; i < 200; i++) {
        struct toc_quake quake;
        double share = 0.0, least = 0.0, most = 0.0;
        toc_quake_draw(&random, NULL, 7.2, &quake);
        assert_true(quake.n_lobes >= 4 && quake.n_lobes <= TOC_QUAKE_LOBES_MAX);
        struct toc_quake_path path = plain_path(60.0, 8.0, quake.strike_rad, i);
        for (int k = 0; k < quake.n_lobes; k++) {
            const struct toc_quake_lobe *lobe = &quake.lobes[k];
            share += lobe->share;
            least = fmin(least, lobe->along_km);
            most = fmax(most, lobe->along_km);
            if (lobe->along_km > 0.0 && lobe->along_km < 50.0)
                assert_true(toc_quake_lobe_km(&quake, &path, k) < hypot(60.0, 8.0));
            const double detour_km = toc_quake_lobe_km(&quake, &path, k) - hypot(60.0, 8.0);
            assert_true(lobe->start_s + detour_km / 3.5 >= -1e-9);
        }
        assert_true(fabs(share - 1.0) < 1e-9);
        length += log10(most - least) / 200.0;
    }
    assert_true(fabs(length - (-2.44 + 0.59 * 7.2)) < 0.15);
}

/* Seconds between 5 and 80 % of the energy of a component. */
static double duration(const float *wave)
{
    double sum = 0.0, so_far = 0.0;
    int first = 0, last = 0;
    for (int k = 0; k < LENGTH; k++)
        sum += (double)wave[k] * wave[k];
    for (int k = 0; k < LENGTH; k++) {
        so_far += (double)wave[k] * wave[k];
        first = so_far < 0.05 * sum ? k : first;
        last = so_far < 0.80 * sum ? k : last;
    }
    return (double)(last - first) / HZ;
}

/* Where the rupture runs towards, it is over sooner and stronger than where it runs away from. */
static void directivity_shortens_ahead(void **state)
{
    enum { WANTED = 24 };
    struct toc_random random;
    struct toc_synth *synth = NULL;
    double shorter = 0.0;
    int n = 0, right = 0;
    (void)state;
    toc_random_seed(&random, 5, 0);
    assert_int_equal(toc_synth_create(HZ, LENGTH, &synth), 0);
    while (n < WANTED) {
        struct toc_quake quake;
        double seconds[2];
        toc_quake_draw(&random, &plain, 7.0, &quake);
        if (quake.lobes[0].along_km != 0.0)
            continue; /* only those that start at one end */
        for (int side = 0; side < 2; side++) {
            struct toc_quake_path path =
                plain_path(150.0, 10.0, quake.strike_rad + M_PI * side, toc_random_next(&random));
            memset(ground, 0, sizeof ground);
            path.p_s = path.s_s - 5.0;
            toc_synth_add(synth, &quake, &path, 1.0, enz, LENGTH);
            seconds[side] = duration(ground[0]) + duration(ground[1]);
        }
        right += seconds[0] < seconds[1];
        shorter += log10(seconds[1] / seconds[0]) / WANTED;
        n++;
    }
    if (right < WANTED * 3 / 4 || shorter < 0.1)
        fail_msg("shorter ahead in %d of %d, by %.2f in log10", right, WANTED, shorter);
    toc_synth_destroy(synth);
}

/* What stays after all waves (Aki and Richards 2002, eq. 4.34), of a small source far enough to be a point; nothing
 * before P; and between P and S it grows. */
static void near_field_ramps_to_the_static_offset(void **state)
{
    static double wave[3][LENGTH];
    double *const ret[3] = {wave[0], wave[1], wave[2]}, offset[3] = {0}, at_half[3] = {0}, at_s[3] = {0};
    const double km = 60.0, alpha = 6200.0, beta = 3500.0, r = km * 1e3;
    struct toc_quake quake = {.magnitude = 5.0,
                              .moment_nm = pow(10.0, 16.6),
                              .strike_rad = 0.3,
                              .dip_rad = 1.2,
                              .rake_rad = 0.4,
                              .duration_s = 0.6,
                              .n_lobes = 1,
                              .lobes = {{0.0, 0.6, 1.0, 0.0}}};
    struct toc_quake_path path = plain_path(60.0, 0.0, 1.1, 1);
    struct toc_quake_radiation radiation;
    (void)state;
    assert_true(toc_near_field_seen(&quake, &path));
    memset(wave, 0, sizeof wave);
    toc_near_field_add(&quake, &path, HZ, -1.0, ret, LENGTH);
    const int s_at = (int)((1.0 + path.s_s - path.p_s) * HZ);
    for (int k = 0; k < LENGTH; k++) {
        for (int c = 0; c < 3; c++) {
            assert_true(k > HZ || wave[c][k] == 0.0);
            offset[c] += wave[c][k] / HZ;
            at_half[c] = k == (HZ + s_at) / 2 ? offset[c] : at_half[c];
            at_s[c] = k == s_at ? offset[c] : at_s[c];
        }
    }
    toc_quake_radiation(&quake, path.azimuth_rad, M_PI / 2.0, &radiation);
    const double p[3] = {radiation.p * sin(1.1), radiation.p * cos(1.1), 0.0};
    const double s[3] = {radiation.sh * cos(1.1), -radiation.sh * sin(1.1), radiation.sv};
    const double all = hypot(offset[0], hypot(offset[1], offset[2]));
    for (int c = 0; c < 3; c++) {
        const double near = 9.0 * p[c] - 6.0 * s[c], mid_p = 4.0 * p[c] - 2.0 * s[c], mid_s = 3.0 * (s[c] - p[c]);
        const double expected = 2.0 * quake.moment_nm / (4.0 * M_PI * 2750.0 * r * r) *
                                (0.5 * near * (1.0 / (beta * beta) - 1.0 / (alpha * alpha)) + mid_p / (alpha * alpha) +
                                 mid_s / (beta * beta));
        if (fabs(offset[c] - expected) > 0.03 * fabs(expected) + 0.02 * all)
            fail_msg("component %d stays at %g m, not %g", c, offset[c], expected);
    }
    const double half = hypot(at_half[0], hypot(at_half[1], at_half[2]));
    const double whole = hypot(at_s[0], hypot(at_s[1], at_s[2]));
    assert_true(half > 0.0 && whole > half);
}

/* Regions: continuous, 1/R at first, and each name finds itself. */
static void spreading_is_continuous(void **state)
{
    (void)state;
    for (int i = 0; i < TOC_REGIONS; i++) {
        const struct toc_region *region = toc_region_at(i);
        assert_int_equal(toc_region_find(region->name), i);
        assert_true(fabs(toc_region_spreading(region, 1.0) - 1e-3) < 1e-12);
        for (double km = 1.0; km < 400.0; km *= 1.01)
            assert_true(fabs(log10(toc_region_spreading(region, 1.01 * km) / toc_region_spreading(region, km))) < 0.01);
    }
    assert_int_equal(toc_region_find("atlantis"), -1);
}

/* At half a hertz a teleseism is as strong as its moment, a mean pattern of a half, and the way there allow. From 0.5
 * to 1.5 Hz an omega-square source falls by what it does, and the path by exp(-pi f t*) on top. */
static void teleseisms_have_their_t_star(void **state)
{
    enum { TRIALS = 40 };
    struct toc_random random;
    struct toc_synth *synth = NULL;
    double misfit = 0.0, vertical = 0.0, strength = 0.0;
    (void)state;
    toc_random_seed(&random, 6, 0);
    assert_int_equal(toc_synth_create(HZ, LENGTH, &synth), 0);
    for (int i = 0; i < TRIALS; i++) {
        struct toc_quake quake;
        struct toc_quake_far far;
        toc_quake_draw(&random, NULL, 6.3, &quake);
        toc_quake_far_draw(&random, &far);
        far.site_p = 1.0;
        memset(ground, 0, sizeof ground);
        toc_synth_add_far(synth, &quake, &far, 1.0, enz, LENGTH);
        const double fc = 1.2 * quake.corner_hz;
        const double source = log10((1.0 + 0.25 / (fc * fc)) / (1.0 + 2.25 / (fc * fc)));
        const double seen = log10(displacement(ground[2], 1.4, 1.6) / displacement(ground[2], 0.45, 0.55));
        const double level = 2.0 * quake.moment_nm * (0.42 - 0.0025 * far.degrees) /
                             (4.0 * M_PI * 2750.0 * pow(6200.0, 3.0) * 6371e3);
        const double expected = level / (1.0 + 0.25 / (fc * fc)) * exp(-M_PI * 0.5 * far.t_star_s);
        strength += log10(displacement(ground[2], 0.45, 0.55) / expected) / TRIALS;
        misfit += (seen - source + M_PI * far.t_star_s * M_LOG10E) / TRIALS;
        vertical += log10(displacement(ground[2], 0.1, 1.0) /
                          hypot(displacement(ground[0], 0.1, 1.0), displacement(ground[1], 0.1, 1.0))) /
                    TRIALS;
    }
    if (fabs(strength - log10(0.5)) > 0.3)
        fail_msg("too strong by %.2f in log10", strength - log10(0.5));
    if (fabs(misfit) > 0.12 || vertical < 0.15)
        fail_msg("spectrum off by %.2f, vertical over horizontal %.2f, in log10", misfit, vertical);
    toc_synth_destroy(synth);
}

static struct toc_records *records_of(enum toc_record_kind kind, bool noise, double rate_hz, double after_s)
{
    struct toc_records_options options;
    struct toc_records *records = NULL;
    toc_records_defaults(&options);
    options.kind = kind;
    options.noise = noise;
    options.rate_hz = rate_hz;
    options.after_s = after_s;
    options.seed = 8;
    options.least_magnitude = 2.0;
    options.most_magnitude = 3.0;
    options.least_km = 20.0;
    options.most_km = 100.0;
    assert_int_equal(toc_records_create(&options, &records), 0);
    return records;
}

/* Displacement spectrum of 5 s of a record's component, 3 to 6 Hz: above Rg. */
static double window(float (*rows)[3], int component, int first, int last)
{
    static float wave[LENGTH];
    memset(wave, 0, sizeof wave);
    for (int k = first; k < last; k++)
        wave[k - first] = (float)(rows[k][component] * pow(sin(M_PI * (k - first) / (last - first)), 2.0));
    return displacement(wave, 3.0, 6.0);
}

/* Mean over records of log10 of S on the horizontals over P on the vertical. */
static double s_over_p(enum toc_record_kind kind)
{
    enum { COUNT = 60 };
    static float rows[7000][3];
    struct toc_records *records = records_of(kind, false, HZ, 60.0);
    double sum = 0.0;
    int n = 0;
    assert_int_equal(toc_records_max_samples(records), 7000);
    for (uint64_t i = 0; i < COUNT; i++) {
        struct toc_record_head head;
        assert_int_equal(toc_records_make_ground(records, i, NULL, &head, rows), 0);
        const int p = head.p_index, s = head.s_index;
        if (s < p + 2 * HZ)
            continue;
        const double size_p = window(rows, 2, p, s < p + 5 * HZ ? s : p + 5 * HZ);
        sum += log10(hypot(window(rows, 0, s, s + 5 * HZ), window(rows, 1, s, s + 5 * HZ)) / size_p);
        n++;
    }
    toc_records_destroy(records);
    return sum / n;
}

static void blasts_have_little_s(void **state)
{
    (void)state;
    const double quake = s_over_p(TOC_RECORD_QUAKE), blast = s_over_p(TOC_RECORD_BLAST);
    if (!(blast < quake - 0.5 && blast < 0.4))
        fail_msg("S over P: quakes %.2f, blasts %.2f in log10", quake, blast);
}

/* Holes 50 ms apart: strong at 20 Hz, weak halfway at 10 Hz, against one hole of the same blast. */
static void ripple_fire_combs_the_spectrum(void **state)
{
    enum { TRIALS = 10 };
    static float single[3][LENGTH];
    float *const one[3] = {single[0], single[1], single[2]};
    struct toc_random random;
    struct toc_synth *synth = NULL;
    double line = 0.0, between = 0.0;
    (void)state;
    toc_random_seed(&random, 9, 0);
    assert_int_equal(toc_synth_create(HZ, LENGTH, &synth), 0);
    for (int i = 0; i < TRIALS; i++) {
        struct toc_blast blast;
        struct toc_quake_path path = plain_path(30.0, 0.1, 0.5, toc_random_next(&random));
        toc_blast_draw(&random, 2.5, &blast);
        blast.delay_s = 0.05;
        memset(ground, 0, sizeof ground);
        memset(single, 0, sizeof single);
        blast.holes = 10;
        assert_int_equal(toc_blast_add(synth, &blast, &path, HZ, 1.0, enz, LENGTH), 0);
        blast.holes = 1;
        assert_int_equal(toc_blast_add(synth, &blast, &path, HZ, 1.0, one, LENGTH), 0);
        line += log10(displacement(ground[2], 19.8, 20.2) / displacement(single[2], 19.8, 20.2)) / TRIALS;
        between += log10(displacement(ground[2], 9.8, 10.2) / displacement(single[2], 9.8, 10.2)) / TRIALS;
    }
    if (line < -0.15 || between > -0.8)
        fail_msg("at the line %.2f, between %.2f in log10", line, between);
    toc_synth_destroy(synth);
}

/* Each kind is what its head says, and what is silent before P is silent. */
static void records_of_every_kind_hold_together(void **state)
{
    enum { COUNT = 40, MOST = 3500 * 5 / 2 };
    static float rows[MOST][3];
    static uint8_t clipped[MOST];
    (void)state;
    for (int kind = 0; kind < TOC_RECORD_KINDS; kind++) {
        struct toc_records *records = records_of((enum toc_record_kind)kind, false, 0.0, 25.0);
        assert_true(toc_records_max_samples(records) <= MOST);
        for (uint64_t i = 0; i < COUNT; i++) {
            struct toc_record_head head;
            double before = 0.0, after = 0.0;
            assert_int_equal(toc_records_make(records, i, NULL, &head, rows, clipped), 0);
            assert_int_equal(head.kind, kind);
            assert_int_equal(head.acceleration, head.instrument >= TOC_INSTRUMENT_STRONG);
            assert_int_equal(head.n_samples, (uint32_t)(35.0 * head.rate_hz));
            const bool quiet_kind = kind == TOC_RECORD_NUISANCE;
            assert_true(quiet_kind ? head.p_index == TOC_RECORD_NONE : head.p_index > 0);
            assert_true(quiet_kind == isnan(head.magnitude));
            assert_true((kind == TOC_RECORD_TWO) == isfinite(head.magnitude2));
            const int at = quiet_kind ? head.p2_index : head.p_index;
            for (int k = 0; k < (int)head.n_samples; k++)
                for (int c = 0; c < 3; c++)
                    *(k < at - (quiet_kind ? (int)(0.2 * head.rate_hz) : 1) ? &before : &after) +=
                        isnan(rows[k][c]) ? 1.0 : fabs((double)rows[k][c]);
            assert_true(before == 0.0);
            assert_true(after > 0.0 || quiet_kind); /* the smallest footsteps are less than a count of a small sensor */
        }
        toc_records_destroy(records);
    }
}

/* All nuisances occur, and only a gap loses samples. */
static void nuisances_are_what_they_say(void **state)
{
    static float rows[3500][3];
    static uint8_t clipped[3500];
    struct toc_records *records = records_of(TOC_RECORD_NUISANCE, true, HZ, 25.0);
    int seen[TOC_NUISANCE_KINDS] = {0};
    (void)state;
    for (uint64_t i = 0; i < 120; i++) {
        struct toc_record_head head;
        bool lost = false;
        assert_int_equal(toc_records_make(records, i, NULL, &head, rows, clipped), 0);
        assert_true(head.region < TOC_NUISANCE_KINDS);
        seen[head.region]++;
        for (uint32_t k = 0; k < head.n_samples; k++)
            lost = lost || isnan(rows[k][0]);
        assert_int_equal(lost, head.region == TOC_NUISANCE_GAP);
    }
    for (int i = 0; i < TOC_NUISANCE_KINDS; i++)
        assert_true(seen[i] > 0);
    toc_records_destroy(records);
}

/* A geophone hears its band and forgets what is below; an accelerometer gives the slope; both end somewhere. */
static void instruments_respond(void **state)
{
    enum { N = 6000 };
    static float velocity[N], motion[N];
    static int32_t counts[N];
    struct toc_random random;
    struct toc_instrument instrument;
    (void)state;
    toc_random_seed(&random, 2, 0);
    toc_instrument_draw(&random, TOC_INSTRUMENT_SHORT_PERIOD, &instrument);
    assert_true(instrument.corner_hz >= 1.0 && !instrument.acceleration);
    for (int slow = 0; slow < 2; slow++) {
        const double hz = slow ? 0.1 : 20.0;
        double peak = 0.0;
        for (int k = 0; k < N; k++)
            velocity[k] = (float)(1e-4 * sin(2.0 * M_PI * hz * k / HZ));
        toc_instrument_sense(&instrument, HZ, velocity, N, motion);
        for (int k = N / 2; k < N; k++)
            peak = fmax(peak, fabs(motion[k]));
        const double expected = slow ? 1e-4 * pow(0.1 / instrument.corner_hz, 2.0) : 1e-4;
        assert_true(fabs(log10(peak / expected)) < 0.05);
    }
    toc_instrument_draw(&random, TOC_INSTRUMENT_MEMS, &instrument);
    assert_true(instrument.acceleration && instrument.limit < 1 << 20);
    for (int k = 0; k < N; k++)
        velocity[k] = (float)(k < N / 2 ? 0.0 : 60.0 * (k - N / 2) / HZ); /* 6 g */
    toc_instrument_digitise(&instrument, HZ, &random, velocity, N, counts);
    assert_int_equal(counts[N - 1], instrument.limit);
    double power = 0.0;
    for (int k = 0; k < N / 2; k++)
        power += pow((counts[k] - instrument.offset_counts) / instrument.gain, 2.0) / (N / 2);
    const double expected = instrument.self_noise * sqrt(HZ / 2.0);
    assert_true(fabs(log10(sqrt(power) / hypot(expected, 0.29 / instrument.gain))) < 0.1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plateau_is_the_moment_and_the_corner_halves_it),
        cmocka_unit_test(large_sources_are_rows),
        cmocka_unit_test(directivity_shortens_ahead),
        cmocka_unit_test(near_field_ramps_to_the_static_offset),
        cmocka_unit_test(spreading_is_continuous),
        cmocka_unit_test(teleseisms_have_their_t_star),
        cmocka_unit_test(blasts_have_little_s),
        cmocka_unit_test(ripple_fire_combs_the_spectrum),
        cmocka_unit_test(records_of_every_kind_hold_together),
        cmocka_unit_test(nuisances_are_what_they_say),
        cmocka_unit_test(instruments_respond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
