/*
 * 2-D layers. A convolution gathers what a tile of places reads, side by
 * side, and is one product per group; the zeros of padding are written there
 * and nowhere else.
 */
#include "core/image.h"

#include <string.h>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

/* Floats gathered at once: a part of a second-level cache. One place at least. */
#define TILE_FLOATS 8192u

/* The run of taps of one axis that hit places 0 .. places - 1, for one place of the output. */
struct taps {
    int64_t start;      /* place of tap 0 */
    uint32_t from, end; /* taps */
    uint32_t dilation;
};

static struct taps taps_of(const struct toc_image_axis *axis, uint32_t out, uint32_t places)
{
    struct taps taps = {(int64_t)out * axis->stride - axis->before, 0, axis->kernel, axis->dilation};

    while (taps.from < taps.end && taps.start + (int64_t)taps.from * taps.dilation < 0)
        taps.from++;
    while (taps.end > taps.from && taps.start + (int64_t)(taps.end - 1) * taps.dilation >= places)
        taps.end--;
    return taps;
}

static int64_t place(const struct taps *taps, uint32_t tap)
{
    return taps->start + (int64_t)tap * taps->dilation;
}

/* ---- convolution ---- */

static uint64_t terms(const struct toc_image_conv *conv)
{
    return (uint64_t)conv->window.down.kernel * conv->window.across.kernel * (conv->in / conv->groups);
}

static uint32_t tile_places(const struct toc_image_conv *conv)
{
    return terms(conv) >= TILE_FLOATS ? 1 : (uint32_t)(TILE_FLOATS / terms(conv));
}

uint64_t toc_image_packed(const struct toc_image_conv *conv)
{
    return conv->groups * terms(conv) * toc_kernels_width(conv->out / conv->groups);
}

void toc_image_pack(const struct toc_image_conv *conv, const float *weight, const float *scale, float *packed)
{
    const uint64_t in = conv->in / conv->groups, out = conv->out / conv->groups, width = toc_kernels_width(out);
    const uint64_t taps = (uint64_t)conv->window.down.kernel * conv->window.across.kernel;

    for (uint64_t o = 0; o < conv->out; o++)
        for (uint64_t i = 0; i < in; i++)
            for (uint64_t k = 0; k < taps; k++) {
                uint64_t row = (o / out * taps + k) * in + i;

                packed[row * width + o % out] = weight[(o * in + i) * taps + k] * (scale != NULL ? scale[o] : 1.0f);
            }
}

uint64_t toc_image_conv_work(const struct toc_image_conv *conv)
{
    return tile_places(conv) * terms(conv);
}

/* What one place of the output reads of one group: [down][across][in]. */
static void gather(const struct toc_image_conv *conv, struct toc_rows in, const struct taps *down,
                   const struct taps *across, float *columns)
{
    const uint32_t n = conv->in / conv->groups, kernel = conv->window.across.kernel;

    if (down->end - down->from < conv->window.down.kernel || across->end - across->from < kernel)
        memset(columns, 0, terms(conv) * sizeof(*columns));
    for (uint32_t i = down->from; i < down->end; i++)
        for (uint32_t k = across->from; k < across->end; k++) {
            const int64_t at = place(down, i) * conv->window.width + place(across, k);

            memcpy(columns + ((size_t)i * kernel + k) * n, toc_rows_from(in, at).at, n * sizeof(*columns));
        }
}

static void multiply(const struct toc_kernels *kernels, const struct toc_image_conv *conv, uint32_t group,
                     const float *columns, uint32_t places, struct toc_rows out)
{
    const uint32_t n = conv->out / conv->groups;
    const uint64_t width = toc_kernels_width(n);
    const struct toc_product product = {.in = columns,
                                        .in_step = (ptrdiff_t)terms(conv),
                                        .segments = 1,
                                        .segment = (uint32_t)terms(conv),
                                        .rows = places,
                                        .weight = conv->weight + group * terms(conv) * width,
                                        .columns = n,
                                        .init = conv->bias + group * width,
                                        .out = out.at + (size_t)group * n,
                                        .out_step = out.pitch,
                                        .slope = conv->slope};

    kernels->multiply(&product);
}

void toc_image_conv(const struct toc_kernels *kernels, const struct toc_image_conv *conv, struct toc_rows in,
                    uint32_t in_rows, uint32_t first, uint32_t rows, float *work, struct toc_rows out)
{
    const struct toc_image_window *window = &conv->window;
    const uint64_t all = (uint64_t)rows * window->out_width;
    const uint32_t tile = tile_places(conv);

    for (uint64_t p = 0; p < all; p += tile) {
        const uint32_t places = all - p < tile ? (uint32_t)(all - p) : tile;

        for (uint32_t g = 0; g < conv->groups; g++) {
            const struct toc_rows part = {in.at + (size_t)g * (conv->in / conv->groups), in.pitch};

            for (uint32_t i = 0; i < places; i++) {
                const uint32_t row = first + (uint32_t)((p + i) / window->out_width);
                const uint32_t column = (uint32_t)((p + i) % window->out_width);
                const struct taps down = taps_of(&window->down, row, in_rows);
                const struct taps across = taps_of(&window->across, column, window->width);

                gather(conv, part, &down, &across, work + i * terms(conv));
            }
            multiply(kernels, conv, g, work, places, toc_rows_from(out, (int64_t)p));
        }
    }
}

/* ---- pools ---- */

static void take_largest(const float *in, uint32_t channels, bool first, float *out)
{
    if (first)
        memcpy(out, in, channels * sizeof(*out));
    else
        for (uint32_t c = 0; c < channels; c++)
            out[c] = in[c] > out[c] ? in[c] : out[c];
}

static void take_share(const float *in, uint32_t channels, float share, float *out)
{
    for (uint32_t c = 0; c < channels; c++)
        out[c] += in[c] * share;
}

/* share: of each place in a mean; 0: the maximum. */
static void pool_place(const struct toc_image_window *window, uint32_t channels, struct toc_rows in,
                       const struct taps *down, const struct taps *across, float share, float *out)
{
    bool first = true;

    memset(out, 0, channels * sizeof(*out));
    for (uint32_t i = down->from; i < down->end; i++)
        for (uint32_t k = across->from; k < across->end; k++, first = false) {
            const float *at = toc_rows_from(in, place(down, i) * window->width + place(across, k)).at;

            if (share > 0.0f)
                take_share(at, channels, share, out);
            else
                take_largest(at, channels, first, out);
        }
}

static void pool(const struct toc_image_window *window, uint32_t channels, struct toc_rows in, uint32_t in_rows,
                 uint32_t first, uint32_t rows, float share, struct toc_rows out)
{
    for (uint32_t h = first; h < first + rows; h++) {
        const struct taps down = taps_of(&window->down, h, in_rows);

        for (uint32_t w = 0; w < window->out_width; w++, out = toc_rows_from(out, 1)) {
            const struct taps across = taps_of(&window->across, w, window->width);

            pool_place(window, channels, in, &down, &across, share, out.at);
        }
    }
}

void toc_image_maxpool(const struct toc_image_window *window, uint32_t channels, struct toc_rows in, uint32_t in_rows,
                       uint32_t first, uint32_t rows, struct toc_rows out)
{
    pool(window, channels, in, in_rows, first, rows, 0.0f, out);
}

void toc_image_avgpool(const struct toc_image_window *window, uint32_t channels, struct toc_rows in, uint32_t in_rows,
                       uint32_t first, uint32_t rows, struct toc_rows out)
{
    pool(window, channels, in, in_rows, first, rows, 1.0f / ((float)window->down.kernel * (float)window->across.kernel),
         out);
}
