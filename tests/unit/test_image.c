/*
 * core/image and core/rows against their definitions written as plain loops
 * in double: any kernel, stride, dilation, padding, groups, part of the rows.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/image.h"
#include "core/rows.h"
#include "tests/unit/reference.h"

enum { ROUNDS = 400 };

struct picture {
    struct toc_image_window window;
    uint32_t height, out_height, first, count; /* rows */
    uint32_t channels, out_channels;
    struct toc_rows in; /* owned */
};

static struct toc_image_axis draw_axis(bool dilated)
{
    return (struct toc_image_axis){.kernel = 1 + reference_draw(4),
                                   .stride = 1 + reference_draw(3),
                                   .dilation = dilated ? 1 + reference_draw(3) : 1,
                                   .before = (int32_t)reference_draw(6) - 1};
}

/* Places of the output, for so many zeros behind the input. */
static uint32_t places(const struct toc_image_axis *axis, uint32_t n, int32_t after)
{
    int64_t room = (int64_t)n + axis->before + after - (int64_t)(axis->kernel - 1) * axis->dilation - 1;

    return room < 0 ? 0 : (uint32_t)(room / axis->stride) + 1;
}

static struct picture draw_picture(bool dilated, uint32_t groups)
{
    struct picture p;

    do {
        p.window.down = draw_axis(dilated);
        p.window.across = draw_axis(dilated);
        p.height = 1 + reference_draw(12);
        p.window.width = 1 + reference_draw(12);
        p.out_height = places(&p.window.down, p.height, (int32_t)reference_draw(5) - 1);
        p.window.out_width = places(&p.window.across, p.window.width, (int32_t)reference_draw(5) - 1);
    } while (p.out_height == 0 || p.window.out_width == 0);
    p.first = reference_draw(p.out_height);
    p.count = 1 + reference_draw(p.out_height - p.first);
    p.channels = groups * (1 + reference_draw(7));
    p.out_channels = groups * (1 + reference_draw(20));
    p.in = reference_random_rows(p.height * p.window.width, p.channels, p.channels + reference_draw(3), 1.0f);
    return p;
}

/* The value a tap hits; false: it lies outside. */
static bool hit(const struct picture *p, uint32_t h, uint32_t w, uint32_t i, uint32_t k, uint32_t channel, double *ret)
{
    const struct toc_image_axis *down = &p->window.down, *across = &p->window.across;
    int64_t row = (int64_t)h * down->stride + (int64_t)i * down->dilation - down->before;
    int64_t column = (int64_t)w * across->stride + (int64_t)k * across->dilation - across->before;

    if (row < 0 || row >= p->height || column < 0 || column >= p->window.width)
        return false;
    *ret = (double)toc_rows_from(p->in, row * p->window.width + column).at[channel];
    return true;
}

static void compare(const struct picture *p, struct toc_rows out, uint32_t place, uint32_t channel, double want,
                    const char *what)
{
    double got = (double)toc_rows_from(out, place).at[channel];

    if (!(fabs(got - want) <= 1e-5 * (1 + fabs(want))))
        fail_msg("%s of %ux%u, kernel %ux%u: place %u of %u.. channel %u is %g, not %g", what, p->height,
                 p->window.width, p->window.down.kernel, p->window.across.kernel, place, p->first, channel, got, want);
}

/* ---- convolution ---- */

static double convolved(const struct picture *p, const struct toc_image_conv *conv, const float *weight,
                        const float *scale, uint32_t h, uint32_t w, uint32_t o)
{
    uint32_t in = conv->in / conv->groups, out = conv->out / conv->groups;
    double sum = 0, x;

    for (uint32_t i = 0; i < p->window.down.kernel; i++)
        for (uint32_t k = 0; k < p->window.across.kernel; k++)
            for (uint32_t c = 0; c < in; c++)
                if (hit(p, h, w, i, k, o / out * in + c, &x))
                    sum += x * (double)weight[((o * in + c) * p->window.down.kernel + i) * p->window.across.kernel + k];
    sum = sum * (scale != NULL ? (double)scale[o] : 1) +
          (double)conv->bias[o / out * (uint32_t)toc_kernels_width(out) + o % out];
    return sum < 0 ? (double)conv->slope * sum : sum;
}

static void check_conv(const struct picture *p, struct toc_image_conv *conv, const float *weight, const float *scale)
{
    struct toc_rows out = reference_rows(p->count * p->window.out_width, p->out_channels + reference_draw(3));
    float *packed = calloc(toc_image_packed(conv) + 16, sizeof(*packed));
    float *work = malloc(toc_image_conv_work(conv) * sizeof(*work));

    toc_image_pack(conv, weight, scale, packed);
    conv->weight = packed;
    toc_image_conv(toc_kernels_best(), conv, p->in, p->height, p->first, p->count, work, out);
    for (uint32_t h = 0; h < p->count; h++)
        for (uint32_t w = 0; w < p->window.out_width; w++)
            for (uint32_t o = 0; o < p->out_channels; o++)
                compare(p, out, h * p->window.out_width + w, o, convolved(p, conv, weight, scale, p->first + h, w, o),
                        "conv");
    assert_true(reference_guarded(out, p->count * p->window.out_width, p->out_channels));
    free(out.at);
    free(packed);
    free(work);
}

static void convolutions_follow_their_definition(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t groups = 1 + reference_draw(3);
        struct picture p = draw_picture(true, groups);
        size_t taps = (size_t)p.window.down.kernel * p.window.across.kernel, wide;
        float *weight = reference_values(p.out_channels * taps * (p.channels / groups), 0.5f);
        float *scale = reference_values(p.out_channels, 2.0f), *bias;
        struct toc_image_conv conv = {.window = p.window, .in = p.channels, .out = p.out_channels, .groups = groups};

        wide = groups * (size_t)toc_kernels_width(p.out_channels / groups);
        bias = reference_values(wide, 1.0f);
        conv.bias = bias;
        conv.slope = (float)reference_draw(3) / 2.0f;
        check_conv(&p, &conv, weight, round % 2 == 0 ? scale : NULL);
        free(weight);
        free(scale);
        free(bias);
        free(p.in.at);
    }
}

/* ---- pools ---- */

static double pooled(const struct picture *p, uint32_t h, uint32_t w, uint32_t c, bool mean)
{
    double sum = 0, top = -INFINITY, x;

    for (uint32_t i = 0; i < p->window.down.kernel; i++)
        for (uint32_t k = 0; k < p->window.across.kernel; k++)
            if (hit(p, h, w, i, k, c, &x)) {
                sum += x;
                top = fmax(top, x);
            }
    if (mean)
        return sum / ((double)p->window.down.kernel * p->window.across.kernel);
    return isinf(top) ? 0 : top;
}

static void pools_follow_their_definition(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct picture p = draw_picture(false, 1);
        struct toc_rows out = reference_rows(p.count * p.window.out_width, p.channels + reference_draw(3));
        bool mean = round % 2 == 0;

        if (mean)
            toc_image_avgpool(&p.window, p.channels, p.in, p.height, p.first, p.count, out);
        else
            toc_image_maxpool(&p.window, p.channels, p.in, p.height, p.first, p.count, out);
        for (uint32_t h = 0; h < p.count; h++)
            for (uint32_t w = 0; w < p.window.out_width; w++)
                for (uint32_t c = 0; c < p.channels; c++)
                    compare(&p, out, h * p.window.out_width + w, c, pooled(&p, p.first + h, w, c, mean),
                            mean ? "mean" : "max");
        assert_true(reference_guarded(out, p.count * p.window.out_width, p.channels));
        free(out.at);
        free(p.in.at);
    }
}

/* ---- rows ---- */

static void normalized_rows_have_mean_and_variance_of_the_parameters(void **state)
{
    (void)state;
    for (int round = 0; round < 100; round++) {
        uint32_t n = 1 + reference_draw(20), channels = 1 + reference_draw(40), pitch = channels + reference_draw(3);
        struct toc_rows rows = reference_random_rows(n, channels, pitch, 3.0f), before = reference_rows(n, pitch);
        float *scale = reference_values(channels, 2.0f), *shift = reference_values(channels, 2.0f);
        const float eps = 1e-5f;

        memcpy(before.at, rows.at, (size_t)n * pitch * sizeof(float));
        toc_rows_normalize(rows, n, channels, eps, scale, shift);
        for (uint32_t t = 0; t < n; t++) {
            const float *x = toc_rows_from(before, t).at;
            double mean = 0, variance = 0;

            for (uint32_t c = 0; c < channels; c++)
                mean += (double)x[c] / channels;
            for (uint32_t c = 0; c < channels; c++)
                variance += ((double)x[c] - mean) * ((double)x[c] - mean) / channels;
            for (uint32_t c = 0; c < channels; c++)
                assert_true(fabs(((double)x[c] - mean) / sqrt(variance + (double)eps) * (double)scale[c] +
                                 (double)shift[c] - (double)toc_rows_from(rows, t).at[c]) < 1e-5);
        }
        assert_true(reference_guarded(rows, n, channels));
        free(rows.at);
        free(before.at);
        free(scale);
        free(shift);
    }
}

static void rows_without_variance_become_the_shift(void **state)
{
    const float scale[] = {2, 2, 2}, shift[] = {1, -1, 0}, odd[] = {0.0f, 0.1f, 1e-40f, 3.4e38f, -3.4e38f};
    float row[3];

    (void)state;
    for (int i = 0; i < 5; i++) {
        row[0] = row[1] = row[2] = odd[i];
        toc_rows_normalize((struct toc_rows){row, 3}, 1, 3, 0.0f, scale, shift);
        for (int c = 0; c < 3; c++)
            assert_true(fabsf(row[c] - shift[c]) <= 2.0f);
    }
    row[0] = 3.4e38f;
    row[1] = row[2] = -3.4e38f;
    toc_rows_normalize((struct toc_rows){row, 3}, 1, 3, 1e-5f, scale, shift);
    assert_true(fabs((double)row[0] - (1 + 2 * sqrt(2))) < 1e-5);
}

static void rows_are_repeated_from_anywhere(void **state)
{
    (void)state;
    for (int round = 0; round < 100; round++) {
        uint32_t n = 1 + reference_draw(9), factor = 1 + reference_draw(5), channels = 1 + reference_draw(6);
        uint32_t first = reference_draw(n * factor), count = 1 + reference_draw(n * factor - first);
        struct toc_rows in = reference_random_rows(n, channels, channels + reference_draw(3), 1.0f);
        struct toc_rows out = reference_rows(count, channels + reference_draw(3));

        toc_rows_repeat(in, channels, factor, first, count, out);
        for (uint32_t t = 0; t < count; t++)
            for (uint32_t c = 0; c < channels; c++)
                assert_true(toc_rows_from(out, t).at[c] == toc_rows_from(in, (first + t) / factor).at[c]);
        assert_true(reference_guarded(out, count, channels));
        free(in.at);
        free(out.at);
    }
}

static void flat_pictures_lie_channel_by_channel(void **state)
{
    float in[] = {1, 10, 0, 2, 20, 0, 3, 30, 0, 4, 40, 0}, out[8]; /* [2][2] places of 2 channels, pitch 3 */
    const float expected[] = {1, 2, 3, 4, 10, 20, 30, 40};

    (void)state;
    toc_rows_flatten((struct toc_rows){in, 3}, 4, 2, out);
    assert_memory_equal(out, expected, sizeof(expected));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_follow_their_definition),
        cmocka_unit_test(pools_follow_their_definition),
        cmocka_unit_test(normalized_rows_have_mean_and_variance_of_the_parameters),
        cmocka_unit_test(rows_without_variance_become_the_shift),
        cmocka_unit_test(rows_are_repeated_from_anywhere),
        cmocka_unit_test(flat_pictures_lie_channel_by_channel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
