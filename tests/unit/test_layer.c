/*
 * core/layer: which rows of its input a layer's rows are made of, against the
 * definition of each operation row by row.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdbool.h>

#include "core/layer.h"

enum { ROWS = 64 };

static uint32_t random_state = 1;

static uint32_t draw(uint32_t n) /* xorshift32 (Marsaglia 2003), to 0..n-1 */
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % n;
}

struct range {
    int64_t first, end; /* empty: first >= end */
};

static bool is_windowed(enum toc_op op)
{
    return op == TOC_OP_CONV1D || op == TOC_OP_MAXPOOL || op == TOC_OP_AVGPOOL || op == TOC_OP_CONV2D ||
           op == TOC_OP_MAXPOOL2D || op == TOC_OP_AVGPOOL2D;
}

static bool reads(const struct toc_layer *layer, uint32_t out, int64_t row, uint32_t in_rows)
{
    if (is_windowed(layer->op)) {
        for (uint32_t k = 0; k < layer->kernel; k++)
            if (row == (int64_t)out * layer->stride - layer->pad_left + (int64_t)k * layer->dilation)
                return true;
        return false;
    }
    if (row < 0 || row >= in_rows)
        return false;
    if (layer->op == TOC_OP_CONVTRANSPOSE1D)
        return row * layer->stride <= out && out < row * layer->stride + layer->kernel;
    if (layer->op == TOC_OP_CROP)
        return row == (int64_t)out + layer->pad_left;
    if (layer->op == TOC_OP_PAD)
        return row + layer->pad_left == out;
    if (layer->op == TOC_OP_UPSAMPLE)
        return row == out / layer->stride;
    if (layer->last || layer->both || layer->op == TOC_OP_FLATTEN || layer->op == TOC_OP_ATTENTION ||
        layer->op == TOC_OP_ADDITIVE_ATTENTION)
        return true;
    return toc_layer_is_recurrent(layer) ? row <= out : row == out;
}

/* The rows read, padding included, then cut to those that exist. */
static struct range rows_read(const struct toc_layer *layer, uint32_t first, uint32_t count, uint32_t in_rows)
{
    struct range range = {10 * ROWS, -10 * ROWS};

    for (uint32_t t = first; t < first + count; t++)
        for (int64_t row = -ROWS; row < 3 * ROWS; row++)
            if (reads(layer, t, row, in_rows)) {
                range.first = row < range.first ? row : range.first;
                range.end = row >= range.end ? row + 1 : range.end;
            }
    range.first = range.first < 0 ? 0 : range.first;
    range.end = range.end > in_rows ? in_rows : range.end;
    return range;
}

static void check_needs(const struct toc_layer *layer, uint32_t in_rows)
{
    uint32_t rows = (uint32_t)toc_layer_rows(layer, in_rows), first, count, got, n;
    struct range range;

    if (rows == 0)
        return;
    first = draw(rows);
    count = 1 + draw(rows - first);
    range = rows_read(layer, first, count, in_rows);
    toc_layer_needs(layer, first, count, in_rows, &got, &n);
    if (range.first >= range.end ? n != 0 : got != range.first || got + n != range.end)
        fail_msg("%s kernel %u stride %u dilation %u pads %d %d of %u rows: rows %u+%u need %lld..%lld, told %u+%u",
                 toc_layer_op_str(layer->op), layer->kernel, layer->stride, layer->dilation, layer->pad_left,
                 layer->pad_right, in_rows, first, count, (long long)range.first, (long long)range.end, got, n);
}

static struct toc_layer draw_layer(enum toc_op op)
{
    struct toc_layer layer = toc_layer_default();
    bool shaped = is_windowed(op);

    layer.op = op;
    if (shaped || op == TOC_OP_CONVTRANSPOSE1D)
        layer.kernel = 1 + draw(6);
    if (shaped || op == TOC_OP_CONVTRANSPOSE1D || op == TOC_OP_UPSAMPLE)
        layer.stride = 1 + draw(5);
    layer.dilation = op == TOC_OP_CONV1D || op == TOC_OP_CONV2D ? 1 + draw(4) : 1;
    if (shaped) {
        layer.pad_left = (int32_t)draw(9) - 2;
        layer.pad_right = (int32_t)draw(9) - 2;
    } else if (op == TOC_OP_CROP || op == TOC_OP_PAD) {
        layer.pad_left = (int32_t)draw(4);
        layer.pad_right = (int32_t)draw(4);
    }
    layer.last = toc_layer_is_recurrent(&layer) && draw(3) == 0;
    layer.both = toc_layer_is_recurrent(&layer) && draw(3) == 0;
    return layer;
}

static void rows_needed_are_the_rows_read(void **state)
{
    (void)state;
    for (int i = 0; i < 5000; i++) {
        struct toc_layer layer = draw_layer((enum toc_op)(1 + draw(TOC_OP_COUNT - 1)));

        check_needs(&layer, 1 + draw(ROWS));
    }
}

static void no_rows_need_no_rows(void **state)
{
    (void)state;
    for (int op = 1; op < TOC_OP_COUNT; op++) {
        struct toc_layer layer = draw_layer((enum toc_op)op);
        uint32_t first = 7, count = 7;

        toc_layer_needs(&layer, 0, 0, 10, &first, &count);
        assert_int_equal(count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_needed_are_the_rows_read),
        cmocka_unit_test(no_rows_need_no_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
