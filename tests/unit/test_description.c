/*
 * core/description and core/graph: what a network's text is read as - shapes,
 * tensors, what streams - and what is refused, by layer and reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/description.h"

static struct toc_graph graph;
static struct toc_constants constants;

static int read_text(const char *text, char *why, size_t size)
{
    memset(&graph, 0, sizeof(graph));
    memset(&constants, 0, sizeof(constants));
    return toc_description_read(text, &graph, &constants, why, size);
}

/* Layers separated by commas behind an input, both without their outer brackets. */
static void read_layers(const char *input, const char *layers)
{
    static char text[8192], why[256];

    snprintf(text, sizeof(text), "{\"input\":{%s},\"layers\":[%s]}", input, layers);
    if (read_text(text, why, sizeof(why)) != 0)
        fail_msg("%s: refused: %s", layers, why);
}

static const struct toc_layer *layer(const char *name)
{
    for (uint32_t i = 0; i < graph.n_layers; i++)
        if (strcmp(graph.layers[i].name, name) == 0)
            return &graph.layers[i];
    fail_msg("no layer %s", name);
    return NULL;
}

/* "suffix [d, d] suffix [d] ..." */
static const char *tensors(const char *name)
{
    static char text[1024];
    struct toc_tensor_spec specs[TOC_GRAPH_TENSORS_MAX];
    uint32_t count = toc_layer_tensors(layer(name), specs);
    size_t n = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s [", i > 0 ? " " : "", specs[i].suffix);
        for (uint32_t d = 0; d < specs[i].n_dims; d++)
            n += (size_t)snprintf(text + n, sizeof(text) - n, d > 0 ? ", %u" : "%u", specs[i].dims[d]);
        n += (size_t)snprintf(text + n, sizeof(text) - n, "]");
    }
    return text;
}

static void expect_shape(const char *name, uint32_t width, uint32_t channels)
{
    if (layer(name)->width != width || layer(name)->channels != channels)
        fail_msg("%s is [%u][%u], not [%u][%u]", name, layer(name)->width, layer(name)->channels, width, channels);
}

static void pictures_have_rows_and_columns(void **state)
{
    (void)state;
    read_layers(
        "\"channels\":1,\"length\":28,\"width\":30",
        "{\"op\":\"conv2d\",\"name\":\"a\",\"channels\":32,\"kernel\":3,\"activation\":\"relu\"},"
        "{\"op\":\"batchnorm\",\"name\":\"a2\"},"
        "{\"op\":\"maxpool2d\",\"name\":\"b\",\"kernel\":2},"
        "{\"op\":\"conv2d\",\"name\":\"c\",\"channels\":64,\"kernel\":[3,5],\"dilation\":[1,2],\"groups\":4,"
        "\"padding\":[1,2,3,4]},"
        "{\"op\":\"batchnorm\",\"name\":\"c2\",\"activation\":\"gelu\"},"
        "{\"op\":\"avgpool2d\",\"name\":\"d\",\"kernel\":[2,3],\"stride\":[3,1],\"padding\":[0,1,1,1]},"
        "{\"op\":\"conv2d\",\"name\":\"e\",\"channels\":8,\"kernel\":[3,4],\"padding\":\"same\",\"bias\":false},"
        "{\"op\":\"flatten\",\"name\":\"f\"},{\"op\":\"dense\",\"name\":\"g\",\"channels\":10}");
    expect_shape("input", 30, 1);
    expect_shape("a", 28, 32);
    expect_shape("b", 14, 32);
    expect_shape("c", 13, 64);
    expect_shape("d", 13, 64);
    expect_shape("e", 13, 8);
    expect_shape("f", 1, 5 * 13 * 8);  /* 28 - 26 - 13 - 14 - 5 rows */
    assert_false(layer("a2")->folded); /* behind an activation */
    assert_true(layer("c2")->folded);
    assert_int_equal(layer("c")->activation, TOC_NN_GELU);
    assert_string_equal(tensors("c"), "weight [64, 8, 3, 5] bias [64]");
    assert_string_equal(tensors("e"), "weight [8, 64, 3, 4]");
    assert_int_equal(layer("e")->pad_left, 1);
    assert_int_equal(layer("e")->pad_right, 1);
    assert_int_equal(layer("e")->across.before, 1);
    assert_int_equal(layer("e")->across.after, 2);
    assert_false(graph.causal);
}

static void recurrent_layers_run_in_both_directions(void **state)
{
    (void)state;
    read_layers("\"channels\":3,\"length\":40",
                "{\"op\":\"lstm\",\"name\":\"a\",\"channels\":8,\"direction\":\"both\"},"
                "{\"op\":\"gru\",\"name\":\"b\",\"channels\":5,\"direction\":\"both\",\"bias\":false,\"last\":true},"
                "{\"op\":\"lstm\",\"name\":\"c\",\"channels\":4,\"direction\":\"forward\"}");
    expect_shape("a", 1, 16);
    expect_shape("b", 1, 10);
    expect_shape("c", 1, 4);
    assert_string_equal(tensors("a"), "weight_ih_l0 [32, 3] weight_hh_l0 [32, 8] bias_ih_l0 [32] bias_hh_l0 [32] "
                                      "weight_ih_l0_reverse [32, 3] weight_hh_l0_reverse [32, 8] "
                                      "bias_ih_l0_reverse [32] bias_hh_l0_reverse [32]");
    assert_string_equal(tensors("b"), "weight_ih_l0 [15, 16] weight_hh_l0 [15, 5] weight_ih_l0_reverse [15, 16] "
                                      "weight_hh_l0_reverse [15, 5]");
    assert_string_equal(tensors("c"), "weight_ih_l0 [16, 10] weight_hh_l0 [16, 4] bias_ih_l0 [16] bias_hh_l0 [16]");
}

static void attention_asks_for_its_tensors(void **state)
{
    (void)state;
    read_layers("\"channels\":12,\"length\":40",
                "{\"op\":\"attention\",\"name\":\"a\",\"heads\":3},"
                "{\"op\":\"attention\",\"name\":\"b\",\"width\":5,\"bias\":false},"
                "{\"op\":\"additive_attention\",\"name\":\"c\",\"units\":7,\"width\":3,\"eps\":1e-14},"
                "{\"op\":\"layernorm\",\"name\":\"d\",\"eps\":1e-14,\"activation\":\"relu\"}");
    assert_string_equal(tensors("a"), "in_proj_weight [36, 12] out_proj.weight [12, 12] in_proj_bias [36] "
                                      "out_proj.bias [12]");
    assert_string_equal(tensors("b"), "in_proj_weight [36, 12] out_proj.weight [12, 12]");
    assert_string_equal(tensors("c"), "Wx [12, 7] Wt [12, 7] bh [7] Wa [7, 1] ba [1]");
    assert_string_equal(tensors("d"), "weight [12] bias [12]");
    assert_int_equal(layer("c")->band, 3);
    assert_true(layer("d")->eps == 1e-14f);
}

static void rows_grow_and_shrink(void **state)
{
    (void)state;
    read_layers(
        "\"channels\":2,\"length\":10",
        "{\"op\":\"upsample\",\"name\":\"a\",\"factor\":3},{\"op\":\"pad\",\"name\":\"b\",\"left\":2,\"right\":1},"
        "{\"op\":\"crop\",\"name\":\"c\",\"left\":4},{\"op\":\"conv1d\",\"name\":\"d\",\"channels\":4,\"kernel\":3,"
        "\"groups\":2},{\"op\":\"flatten\",\"name\":\"e\"}");
    expect_shape("e", 1, (30 + 3 - 4 - 2) * 4);
    assert_string_equal(tensors("d"), "weight [4, 1, 3] bias [4]");
}

static void grouped_causal_convolutions_stream(void **state)
{
    (void)state;
    read_layers("\"channels\":4", "{\"op\":\"conv1d\",\"name\":\"a\",\"channels\":6,\"kernel\":4,\"stride\":2,"
                                  "\"padding\":\"causal\",\"groups\":2,\"activation\":\"gelu\"},"
                                  "{\"op\":\"layernorm\",\"name\":\"b\"},{\"op\":\"gelu\",\"name\":\"c\"}");
    assert_true(graph.causal);
    assert_int_equal(layer("c")->step, 2);
    assert_int_equal(layer("input")->margin_left, 2);
}

/* ---- what is refused ---- */

struct refusal {
    const char *layers, *reason;
};

static void expect_refusals(const char *input, const struct refusal *refusals, size_t n)
{
    static char text[8192];

    for (size_t i = 0; i < n; i++) {
        char why[256] = "";

        snprintf(text, sizeof(text), "{\"input\":{%s},\"layers\":[%s]}", input, refusals[i].layers);
        if (read_text(text, why, sizeof(why)) != -EINVAL || strstr(why, refusals[i].reason) == NULL)
            fail_msg("%s: wanted '%s', got '%s'", refusals[i].layers, refusals[i].reason, why);
    }
}

static void mistakes_in_pictures_are_refused_by_name(void **state)
{
    static const struct refusal refusals[] = {
        {"{\"op\":\"conv2d\",\"name\":\"x\",\"channels\":2,\"kernel\":[3,9]}",
         "layer 'x' (conv2d): 0 columns of 8 is not"},
        {"{\"op\":\"conv2d\",\"name\":\"x\",\"channels\":2,\"kernel\":[9,3]}",
         "layer 'x' (conv2d): 0 rows of 8 is not"},
        {"{\"op\":\"conv2d\",\"name\":\"x\",\"channels\":2,\"kernel\":[3,3,3]}",
         "layer 'x' (conv2d): kernel is neither a number nor [rows, columns]"},
        {"{\"op\":\"conv2d\",\"name\":\"x\",\"channels\":2,\"kernel\":[3,0]}",
         "layer 'x' (conv2d): kernel is not a whole number"},
        {"{\"op\":\"conv2d\",\"name\":\"x\",\"channels\":2,\"kernel\":3,\"stride\":[1,5000]}",
         "layer 'x' (conv2d): stride or factor 5000"},
        {"{\"op\":\"conv2d\",\"name\":\"x\",\"channels\":2,\"kernel\":[1,4000],\"dilation\":4000}",
         "layer 'x' (conv2d): dilation 4000"},
        {"{\"op\":\"conv2d\",\"name\":\"x\",\"channels\":2,\"kernel\":3,\"padding\":[1,1]}",
         "layer 'x' (conv2d): padding is none of valid, same, [top, bottom, left, right]"},
        {"{\"op\":\"conv2d\",\"name\":\"x\",\"channels\":2,\"kernel\":3,\"padding\":[1,1,1,\"1\"]}",
         "layer 'x' (conv2d): rows of padding or crop"},
        {"{\"op\":\"conv2d\",\"name\":\"x\",\"channels\":2,\"kernel\":3,\"padding\":\"causal\"}",
         "layer 'x' (conv2d): padding 'causal' is for one dimension"},
        {"{\"op\":\"conv2d\",\"name\":\"x\",\"channels\":2,\"kernel\":3,\"stride\":[1,2],\"padding\":\"same\"}",
         "layer 'x' (conv2d): padding 'same' with stride 2"},
        {"{\"op\":\"conv2d\",\"name\":\"x\",\"channels\":4,\"kernel\":1,\"groups\":2}",
         "layer 'x' (conv2d): 2 groups do not divide 3 channels in, 4 out"},
        {"{\"op\":\"maxpool2d\",\"name\":\"x\",\"kernel\":2,\"dilation\":2}",
         "layer 'x' (maxpool2d): unknown parameter 'dilation'"},
        {"{\"op\":\"conv1d\",\"name\":\"x\",\"channels\":2,\"kernel\":3}",
         "layer 'x' (conv1d): reads rows of one column, not of 8"},
        {"{\"op\":\"dense\",\"name\":\"x\",\"channels\":2}", "layer 'x' (dense): reads rows of one column, not of 8"},
        {"{\"op\":\"lstm\",\"name\":\"x\",\"channels\":2}", "layer 'x' (lstm): reads rows of one column, not of 8"},
        {"{\"op\":\"attention\",\"name\":\"x\"}", "layer 'x' (attention): reads rows of one column, not of 8"},
        {"{\"op\":\"crop\",\"name\":\"x\",\"left\":1}", "layer 'x' (crop): reads rows of one column, not of 8"},
        {"{\"op\":\"maxpool2d\",\"name\":\"x\",\"kernel\":[1,2]},"
         "{\"op\":\"add\",\"name\":\"y\",\"inputs\":[\"x\",\"input\"]}",
         "layer 'y' (add): joins 8 columns to 4"},
        {"{\"op\":\"conv2d\",\"name\":\"x\",\"channels\":4096,\"kernel\":1,\"padding\":[0,0,9,9]}",
         "layer 'x' (conv2d): 26 columns of 4096 channels is more than 65536 values"},
        {"{\"op\":\"conv2d\",\"name\":\"x\",\"channels\":4096,\"kernel\":1},{\"op\":\"flatten\",\"name\":\"y\"}",
         "layer 'y' (flatten): [8][8][4096] is more than 65536 values"},
        {"{\"op\":\"conv2d\",\"name\":\"x\",\"channels\":2,\"kernel\":1,\"padding\":[0,0,4000,4000]}",
         "layer 'x' (conv2d): 8008 columns of 8 is not 1..4096"},
    };

    (void)state;
    expect_refusals("\"channels\":3,\"length\":8,\"width\":8", refusals, sizeof(refusals) / sizeof(*refusals));
}

static void mistakes_in_sequences_are_refused_by_name(void **state)
{
    static const struct refusal refusals[] = {
        {"{\"op\":\"conv1d\",\"name\":\"x\",\"channels\":4,\"kernel\":1,\"groups\":4}",
         "layer 'x' (conv1d): 4 groups do not divide 6 channels in, 4 out"},
        {"{\"op\":\"conv1d\",\"name\":\"x\",\"channels\":4,\"kernel\":[1,1]}",
         "layer 'x' (conv1d): kernel is not a whole number"},
        {"{\"op\":\"conv1d\",\"name\":\"x\",\"channels\":4,\"kernel\":1,\"padding\":[0,0,0,0]}",
         "layer 'x' (conv1d): padding is none of valid, same, causal, [left, right]"},
        {"{\"op\":\"lstm\",\"name\":\"x\",\"channels\":4,\"direction\":\"reverse\"}",
         "layer 'x' (lstm): direction is neither forward nor both"},
        {"{\"op\":\"lstm\",\"name\":\"x\"}", "layer 'x' (lstm): 0 hidden units"},
        {"{\"op\":\"gru\",\"name\":\"x\",\"channels\":5000}", "layer 'x' (gru): 5000 hidden units"},
        {"{\"op\":\"attention\",\"name\":\"x\",\"heads\":4}",
         "layer 'x' (attention): 4 heads do not divide 6 channels"},
        {"{\"op\":\"attention\",\"name\":\"x\",\"heads\":0}", "layer 'x' (attention): heads is not a whole number"},
        {"{\"op\":\"attention\",\"name\":\"x\",\"width\":-1}", "layer 'x' (attention): width is not a whole number"},
        {"{\"op\":\"attention\",\"name\":\"x\",\"units\":3}", "layer 'x' (attention): unknown parameter 'units'"},
        {"{\"op\":\"additive_attention\",\"name\":\"x\"}", "layer 'x' (additive_attention): 0 hidden units"},
        {"{\"op\":\"additive_attention\",\"name\":\"x\",\"units\":3,\"eps\":-1}",
         "layer 'x' (additive_attention): eps -1 is negative"},
        {"{\"op\":\"layernorm\",\"name\":\"x\",\"eps\":\"1\"}", "layer 'x' (layernorm): slope or eps is not a number"},
        {"{\"op\":\"upsample\",\"name\":\"x\",\"factor\":5000}", "layer 'x' (upsample): stride or factor 5000"},
        {"{\"op\":\"upsample\",\"name\":\"x\",\"factor\":4000},{\"op\":\"upsample\",\"name\":\"y\",\"factor\":4000}",
         "layer 'y' (upsample): 480000000 rows of 120000 is not 1..1000000"},
        {"{\"op\":\"pad\",\"name\":\"x\",\"left\":-1}", "layer 'x' (pad): -1, 0 rows is negative"},
        {"{\"op\":\"pad\",\"name\":\"x\",\"left\":1000000}", "layer 'x' (pad): 1000030 rows of 30"},
        {"{\"op\":\"conv2d\",\"name\":\"x\",\"channels\":2,\"kernel\":3}", "layer 'x' (conv2d): 0 columns of 1"},
        {"{\"op\":\"upsample\",\"name\":\"x\",\"factor\":4000},{\"op\":\"attention\",\"name\":\"y\"},"
         "{\"op\":\"relu\",\"name\":\"z\"}",
         "layer 'y' (attention): more than 1e+11 multiplications"},
        {"{\"op\":\"relu\",\"name\":\"x\",\"inputs\":[\"y\"]},{\"op\":\"relu\",\"name\":\"y\",\"inputs\":[\"x\"]}",
         "layer 'x' (relu): input 'y' is no earlier layer"}, /* a cycle */
    };

    (void)state;
    expect_refusals("\"channels\":6,\"length\":30", refusals, sizeof(refusals) / sizeof(*refusals));
}

static void what_cannot_stream_needs_a_length(void **state)
{
    static const struct refusal refusals[] = {
        {"{\"op\":\"conv2d\",\"name\":\"x\",\"channels\":2,\"kernel\":1}", "layer 'x' (conv2d): is not causal"},
        {"{\"op\":\"maxpool2d\",\"name\":\"x\",\"kernel\":1}", "layer 'x' (maxpool2d): is not causal"},
        {"{\"op\":\"attention\",\"name\":\"x\"}", "layer 'x' (attention): is not causal"},
        {"{\"op\":\"additive_attention\",\"name\":\"x\",\"units\":1}", "layer 'x' (additive_attention): is not causal"},
        {"{\"op\":\"lstm\",\"name\":\"x\",\"channels\":1,\"direction\":\"both\"}", "layer 'x' (lstm): is not causal"},
        {"{\"op\":\"pad\",\"name\":\"x\",\"left\":1}", "layer 'x' (pad): is not causal"},
        {"{\"op\":\"upsample\",\"name\":\"x\",\"factor\":2}", "layer 'x' (upsample): is not causal"},
        {"{\"op\":\"flatten\",\"name\":\"x\"}", "layer 'x' (flatten): needs the length"},
    };

    (void)state;
    expect_refusals("\"channels\":6", refusals, sizeof(refusals) / sizeof(*refusals));
}

static void odd_inputs_are_refused(void **state)
{
    static const struct refusal refusals[] = {{"{\"op\":\"relu\",\"name\":\"x\"}", "layer 'input' (input):"}};
    static const char *const inputs[] = {
        "\"channels\":4097",
        "\"channels\":0",
        "\"channels\":1,\"width\":4097",
        "\"channels\":1,\"width\":0",
        "\"channels\":1,\"width\":\"8\"",
        "\"channels\":4096,\"width\":17",
        "\"channels\":1,\"length\":-1",
        "\"channels\":1,\"length\":1000001",
        "\"length\":1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(inputs) / sizeof(*inputs); i++)
        expect_refusals(inputs[i], refusals, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_have_rows_and_columns),
        cmocka_unit_test(recurrent_layers_run_in_both_directions),
        cmocka_unit_test(attention_asks_for_its_tensors),
        cmocka_unit_test(rows_grow_and_shrink),
        cmocka_unit_test(grouped_causal_convolutions_stream),
        cmocka_unit_test(mistakes_in_pictures_are_refused_by_name),
        cmocka_unit_test(mistakes_in_sequences_are_refused_by_name),
        cmocka_unit_test(what_cannot_stream_needs_a_length),
        cmocka_unit_test(odd_inputs_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
