/*
 * Layers over two dimensions: a row is `width` places side by side, each of
 * `channels` floats.
 *
 * struct toc_rows here counts places: place w of row h lies at
 * at + (h * width + w) * pitch. Padding is not in memory: what lies outside
 * 0 .. in_rows - 1 and 0 .. width - 1 counts as zeros (a maximum leaves it
 * out). No allocation: work space comes from the caller. Every result is
 * finite for finite input.
 */
#ifndef TOC_CORE_IMAGE_H
#define TOC_CORE_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/kernels.h"
#include "core/nn.h"

/** How a window of kernel x kernel places moves. */
struct toc_image_axis {
    uint32_t kernel, stride, dilation; /* >= 1 */
    int32_t before;                    /* places of padding before the first; negative: cut off */
};

struct toc_image_window {
    struct toc_image_axis down, across;
    uint32_t width, out_width; /* places of a row in, out */
};

struct toc_image_conv {
    struct toc_image_window window;
    uint32_t in, out, groups; /* channels; groups divides both */
    const float *weight;      /* borrowed; as toc_image_pack() left it */
    const float *bias;        /* borrowed; [groups][toc_kernels_width(out / groups)] */
    float slope;              /* of negative results: 1: none, 0: ReLU */
};

/** Floats of packed weights; and from PyTorch's [out][in / groups][down][across].
 * @param scale   [out], of a batch norm behind it; NULL: 1
 * @param packed  zeroed by the caller */
uint64_t toc_image_packed(const struct toc_image_conv *conv);
void toc_image_pack(const struct toc_image_conv *conv, const float *weight, const float *scale, float *packed);

/** Floats of work space, whatever the number of rows. */
uint64_t toc_image_conv_work(const struct toc_image_conv *conv);

/* Rows first .. first + rows - 1 of the output. in: row 0 of all in_rows; out: where row `first` goes. */

void toc_image_conv(const struct toc_kernels *kernels, const struct toc_image_conv *conv, struct toc_rows in,
                    uint32_t in_rows, uint32_t first, uint32_t rows, float *work, struct toc_rows out);

/** A maximum over no place at all is 0. */
void toc_image_maxpool(const struct toc_image_window *window, uint32_t channels, struct toc_rows in, uint32_t in_rows,
                       uint32_t first, uint32_t rows, struct toc_rows out);
/** Padding counts as zeros. */
void toc_image_avgpool(const struct toc_image_window *window, uint32_t channels, struct toc_rows in, uint32_t in_rows,
                       uint32_t first, uint32_t rows, struct toc_rows out);

#endif
