/*
 * Reads a network's description. The order inside the text is the order of
 * running; names are looked up among the layers read so far.
 */
#include "core/description.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct reader {
    json_t *json;                    /* owned */
    struct toc_graph *graph;         /* borrowed */
    struct toc_constants *constants; /* borrowed */
    char *why;
    size_t why_size;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct reader *reader, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(reader->why, reader->why_size, format, args);
    va_end(args);
    return -EINVAL;
}

bool toc_description_is_label(const char *text, size_t size)
{
    size_t n = strlen(text);

    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)text[i]) && strchr("._-", text[i]) == NULL)
            return false;
    return n > 0 && n < size;
}

/* ---- values ---- */

static int refuse_layer(struct reader *reader, const struct toc_layer *layer, const char *what)
{
    return refuse(reader, "layer '%s' (%s): %s", layer->name, toc_layer_op_str(layer->op), what);
}

static int read_number(struct reader *reader, const struct toc_layer *layer, const char *key, const json_t *value,
                       uint32_t *ret_number)
{
    json_int_t n = json_integer_value(value); /* 0 when it is no whole number */

    if (n < 1 || n > (json_int_t)TOC_GRAPH_ROWS_MAX)
        return refuse(reader, "layer '%s' (%s): %s is not a whole number of 1..%u", layer->name,
                      toc_layer_op_str(layer->op), key, TOC_GRAPH_ROWS_MAX);
    *ret_number = (uint32_t)n;
    return 0;
}

static int read_real(struct reader *reader, const struct toc_layer *layer, const json_t *value, float *ret_real)
{
    double x = json_number_value(value);

    if (!json_is_number(value) || !(fabs(x) <= 1e6))
        return refuse_layer(reader, layer, "slope or eps is not a number within 1e6");
    *ret_real = (float)x;
    return 0;
}

static int read_rows(struct reader *reader, const struct toc_layer *layer, const json_t *value, int32_t *ret_rows)
{
    json_int_t n = json_integer_value(value);

    if (!json_is_integer(value) || n < -(json_int_t)TOC_GRAPH_ROWS_MAX || n > (json_int_t)TOC_GRAPH_ROWS_MAX)
        return refuse_layer(reader, layer, "rows of padding or crop are out of range");
    *ret_rows = (int32_t)n;
    return 0;
}

static int read_row_list(struct reader *reader, const struct toc_layer *layer, const json_t *list,
                         int32_t *const *ret_rows)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        int error = read_rows(reader, layer, json_array_get(list, i), ret_rows[i]);

        if (error != 0)
            return error;
    }
    return 0;
}

static int read_padding(struct reader *reader, struct toc_layer *layer, const json_t *value)
{
    int32_t *const ends[] = {&layer->pad_left, &layer->pad_right, &layer->across.before, &layer->across.after};
    const char *text = json_string_value(value);

    if (json_array_size(value) == (toc_layer_is_image(layer) ? 4 : 2)) {
        layer->padding = TOC_PADDING_EXPLICIT;
        return read_row_list(reader, layer, value, ends);
    }
    if (text != NULL && strcmp(text, "valid") == 0)
        layer->padding = TOC_PADDING_VALID;
    else if (text != NULL && strcmp(text, "same") == 0)
        layer->padding = TOC_PADDING_SAME;
    else if (text != NULL && strcmp(text, "causal") == 0)
        layer->padding = TOC_PADDING_CAUSAL;
    else
        return refuse_layer(reader, layer,
                            toc_layer_is_image(layer) ? "padding is none of valid, same, [top, bottom, left, right]"
                                                      : "padding is none of valid, same, causal, [left, right]");
    return 0;
}

/* A number for both axes, or [rows, columns]. */
static int read_pair(struct reader *reader, const struct toc_layer *layer, const char *key, const json_t *value,
                     uint32_t *ret_rows, uint32_t *ret_columns)
{
    bool pair = json_is_array(value);
    int error;

    if (pair && json_array_size(value) != 2)
        return refuse(reader, "layer '%s' (%s): %s is neither a number nor [rows, columns]", layer->name,
                      toc_layer_op_str(layer->op), key);
    error = read_number(reader, layer, key, pair ? json_array_get(value, 0) : value, ret_rows);
    return error != 0 ? error : read_number(reader, layer, key, pair ? json_array_get(value, 1) : value, ret_columns);
}

static int read_direction(struct reader *reader, struct toc_layer *layer, const json_t *value)
{
    const char *text = json_string_value(value);

    if (text == NULL || (strcmp(text, "forward") != 0 && strcmp(text, "both") != 0))
        return refuse_layer(reader, layer, "direction is neither forward nor both");
    layer->both = strcmp(text, "both") == 0;
    return 0;
}

static int read_activation(struct reader *reader, struct toc_layer *layer, const json_t *value)
{
    static const char *const names[] = {
        [TOC_NN_NONE] = "none", [TOC_NN_RELU] = "relu",       [TOC_NN_LEAKY_RELU] = "leaky_relu",
        [TOC_NN_TANH] = "tanh", [TOC_NN_SIGMOID] = "sigmoid", [TOC_NN_GELU] = "gelu"};
    const char *text = json_string_value(value);

    for (size_t i = 0; text != NULL && i < sizeof(names) / sizeof(*names); i++)
        if (strcmp(names[i], text) == 0) {
            layer->activation = (enum toc_nn_activation)i;
            return 0;
        }
    return refuse_layer(reader, layer, "activation is none of none, relu, leaky_relu, tanh, sigmoid, gelu");
}

static int find_layer(const struct toc_graph *graph, const char *name)
{
    for (uint32_t i = 0; name != NULL && i < graph->n_layers; i++)
        if (strcmp(graph->layers[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* Names are looked up among the layers read so far: a forward reference, and with it a cycle, is an unknown name. */
static int read_inputs(struct reader *reader, struct toc_layer *layer, const json_t *value)
{
    size_t n = json_array_size(value);

    if (n < 1 || n > TOC_GRAPH_INPUTS_MAX)
        return refuse_layer(reader, layer, "inputs is not a list of 1..8 names");
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(value, i));
        int index = find_layer(reader->graph, name);

        if (index < 0)
            return refuse(reader, "layer '%s' (%s): input '%.60s' is no earlier layer", layer->name,
                          toc_layer_op_str(layer->op), name != NULL ? name : "?");
        layer->inputs[i] = (uint32_t)index;
    }
    layer->n_inputs = (uint32_t)n;
    return 0;
}

static int read_flag(struct reader *reader, const struct toc_layer *layer, const json_t *value, bool *ret_flag)
{
    if (!json_is_boolean(value))
        return refuse_layer(reader, layer, "bias or last is not true or false");
    *ret_flag = json_is_true(value);
    return 0;
}

/* ---- parameters ---- */

#define OP(name) (1u << TOC_OP_##name)
#define CONVS (OP(CONV1D) | OP(CONVTRANSPOSE1D))
#define POOLS (OP(MAXPOOL) | OP(AVGPOOL))
#define IMAGES (OP(CONV2D) | OP(MAXPOOL2D) | OP(AVGPOOL2D))
#define RECURRENTS (OP(LSTM) | OP(GRU))
#define ATTENTIONS (OP(ATTENTION) | OP(ADDITIVE_ATTENTION))
#define LINEARS (CONVS | OP(CONV2D) | OP(DENSE))
#define ACTIVATED (LINEARS | OP(BATCHNORM) | OP(LAYERNORM) | OP(ADD))
#define ANY UINT32_MAX

_Static_assert(TOC_OP_COUNT <= 32, "a bit for each operation");

enum kind { NUMBER, PAIR, REAL, ROWS, FLAG, PADDING, DIRECTION, ACTIVATION, INPUTS, READ_BEFORE };

#define AT(member) offsetof(struct toc_layer, member)

/* Which operation knows which parameter; one it does not know is a mistake, not a remark. */
static const struct parameter {
    const char *key;
    uint32_t ops;
    enum kind kind;
    size_t at, across; /* of the member of struct toc_layer, and of its twin over columns */
} parameters[] = {
    {"op", ANY, READ_BEFORE, 0, 0},
    {"name", ANY, READ_BEFORE, 0, 0},
    {"inputs", ANY, INPUTS, 0, 0},
    {"channels", LINEARS, NUMBER, AT(channels), 0},
    {"channels", RECURRENTS, NUMBER, AT(units), 0},
    {"kernel", CONVS | POOLS, NUMBER, AT(kernel), 0},
    {"stride", CONVS | POOLS, NUMBER, AT(stride), 0},
    {"dilation", OP(CONV1D), NUMBER, AT(dilation), 0},
    {"kernel", IMAGES, PAIR, AT(kernel), AT(across.kernel)},
    {"stride", IMAGES, PAIR, AT(stride), AT(across.stride)},
    {"dilation", OP(CONV2D), PAIR, AT(dilation), AT(across.dilation)},
    {"padding", OP(CONV1D) | POOLS | IMAGES, PADDING, 0, 0},
    {"groups", OP(CONV1D) | OP(CONV2D), NUMBER, AT(groups), 0},
    {"activation", ACTIVATED, ACTIVATION, 0, 0},
    {"slope", ACTIVATED | OP(LEAKY_RELU), REAL, AT(slope), 0},
    {"eps", OP(BATCHNORM) | OP(LAYERNORM) | OP(ADDITIVE_ATTENTION), REAL, AT(eps), 0},
    {"bias", LINEARS | RECURRENTS | OP(ATTENTION), FLAG, AT(bias), 0},
    {"last", RECURRENTS, FLAG, AT(last), 0},
    {"direction", RECURRENTS, DIRECTION, 0, 0},
    {"heads", OP(ATTENTION), NUMBER, AT(heads), 0},
    {"units", OP(ADDITIVE_ATTENTION), NUMBER, AT(units), 0},
    {"width", ATTENTIONS, NUMBER, AT(band), 0},
    {"factor", OP(UPSAMPLE), NUMBER, AT(stride), 0},
    {"left", OP(CROP) | OP(PAD), ROWS, AT(pad_left), 0},
    {"right", OP(CROP) | OP(PAD), ROWS, AT(pad_right), 0},
};

static int read_kind(struct reader *reader, struct toc_layer *layer, const struct parameter *parameter,
                     const json_t *value)
{
    void *member = (char *)layer + parameter->at, *twin = (char *)layer + parameter->across;

    switch (parameter->kind) {
    case NUMBER:
        return read_number(reader, layer, parameter->key, value, member);
    case PAIR:
        return read_pair(reader, layer, parameter->key, value, member, twin);
    case REAL:
        return read_real(reader, layer, value, member);
    case ROWS:
        return read_rows(reader, layer, value, member);
    case FLAG:
        return read_flag(reader, layer, value, member);
    case PADDING:
        return read_padding(reader, layer, value);
    case DIRECTION:
        return read_direction(reader, layer, value);
    case ACTIVATION:
        return read_activation(reader, layer, value);
    case INPUTS:
        return read_inputs(reader, layer, value);
    case READ_BEFORE:
        break;
    }
    return 0;
}

static int read_parameter(struct reader *reader, struct toc_layer *layer, const char *key, const json_t *value)
{
    for (size_t i = 0; i < sizeof(parameters) / sizeof(*parameters); i++)
        if (strcmp(parameters[i].key, key) == 0 && (parameters[i].ops & 1u << layer->op) != 0)
            return read_kind(reader, layer, &parameters[i], value);
    return refuse(reader, "layer '%s' (%s): unknown parameter '%.60s'", layer->name, toc_layer_op_str(layer->op), key);
}

static void set_own_activation(struct toc_layer *layer)
{
    if (layer->op == TOC_OP_SIGMOID)
        layer->activation = TOC_NN_SIGMOID;
    if (layer->op == TOC_OP_TANH)
        layer->activation = TOC_NN_TANH;
    if (layer->op == TOC_OP_RELU)
        layer->activation = TOC_NN_RELU;
    if (layer->op == TOC_OP_LEAKY_RELU)
        layer->activation = TOC_NN_LEAKY_RELU;
    if (layer->op == TOC_OP_GELU)
        layer->activation = TOC_NN_GELU;
}

/* A pool moves by its kernel when nothing else is said. */
static void set_own_stride(struct toc_layer *layer)
{
    bool pools = (POOLS | OP(MAXPOOL2D) | OP(AVGPOOL2D)) & 1u << layer->op;

    if (!pools)
        return;
    layer->stride = layer->kernel;
    layer->across.stride = layer->across.kernel;
}

static int read_name(struct reader *reader, struct toc_layer *layer, const json_t *entry)
{
    const char *name = json_string_value(json_object_get(entry, "name"));
    const char *op = json_string_value(json_object_get(entry, "op"));

    if (name == NULL || !toc_description_is_label(name, sizeof(layer->name)))
        return refuse(reader, "layer %u: name is absent, too long or not of [A-Za-z0-9._-]", reader->graph->n_layers);
    if (find_layer(reader->graph, name) >= 0)
        return refuse(reader, "layer '%s': name is used twice", name);
    snprintf(layer->name, sizeof(layer->name), "%s", name);
    layer->op = op != NULL ? toc_layer_op_parse(op) : TOC_OP_COUNT;
    if (layer->op == TOC_OP_COUNT || layer->op == TOC_OP_INPUT)
        return refuse(reader, "layer '%s': unknown op '%.60s'", name, op != NULL ? op : "");
    return 0;
}

static int read_layer(struct reader *reader, const json_t *entry)
{
    struct toc_graph *graph = reader->graph;
    struct toc_layer layer = toc_layer_default();
    int error = read_name(reader, &layer, entry);
    const char *key;
    json_t *value;

    if (error != 0)
        return error;
    layer.n_inputs = 1;
    layer.inputs[0] = graph->n_layers - 1;
    json_object_foreach((json_t *)entry, key, value)
    {
        error = read_parameter(reader, &layer, key, value);
        if (error != 0)
            return error;
    }
    if (json_object_get(entry, "stride") == NULL)
        set_own_stride(&layer);
    set_own_activation(&layer);
    graph->layers[graph->n_layers++] = layer;
    return 0;
}

static int read_input(struct reader *reader, const json_t *input)
{
    struct toc_graph *graph = reader->graph;
    struct toc_layer *layer = &graph->layers[0];
    const json_t *length = json_object_get(input, "length"), *width = json_object_get(input, "width");
    int error;

    *layer = toc_layer_default();
    snprintf(layer->name, sizeof(layer->name), "input");
    graph->n_layers = 1;
    error = read_number(reader, layer, "channels", json_object_get(input, "channels"), &layer->channels);
    if (error == 0 && length != NULL)
        error = read_number(reader, layer, "length", length, &graph->length);
    if (error == 0 && width != NULL)
        error = read_number(reader, layer, "width", width, &layer->width);
    return error;
}

static int read_constants(struct reader *reader, json_t *json)
{
    struct toc_constants *constants = reader->constants;
    const char *key;
    json_t *value;

    json_object_foreach(json, key, value)
    {
        if (constants->n == TOC_CONSTANTS_MAX || strlen(key) >= TOC_CONSTANT_KEY_SIZE || !json_is_number(value) ||
            !isfinite(json_number_value(value)))
            return refuse(reader, "constant '%.60s': too many, name too long, or not a number", key);
        snprintf(constants->list[constants->n].key, TOC_CONSTANT_KEY_SIZE, "%s", key);
        constants->list[constants->n++].value = json_number_value(value);
    }
    return 0;
}

static int read_output(struct reader *reader)
{
    struct toc_graph *graph = reader->graph;
    const json_t *output = json_object_get(reader->json, "output");
    int index = output == NULL ? (int)graph->n_layers - 1 : find_layer(graph, json_string_value(output));

    if (index < 1)
        return refuse(reader, "graph: output is no layer");
    graph->output = (uint32_t)index;
    return 0;
}

static int read_all(struct reader *reader)
{
    const json_t *layers = json_object_get(reader->json, "layers");
    int error;

    if (!json_is_object(reader->json))
        return refuse(reader, "tocsin.graph is not a JSON object");
    if (json_array_size(layers) < 1 || json_array_size(layers) > TOC_GRAPH_LAYERS_MAX - 1)
        return refuse(reader, "graph: layers is not a list of 1..%d", TOC_GRAPH_LAYERS_MAX - 1);
    error = read_input(reader, json_object_get(reader->json, "input"));
    for (size_t i = 0; error == 0 && i < json_array_size(layers); i++)
        error = read_layer(reader, json_array_get(layers, i));
    if (error == 0)
        error = read_output(reader);
    if (error == 0)
        error = read_constants(reader, json_object_get(reader->json, "constants"));
    return error != 0 ? error : toc_graph_check(reader->graph, reader->why, reader->why_size);
}

int toc_description_read(const char *text, struct toc_graph *ret_graph, struct toc_constants *ret_constants,
                         char *ret_why, size_t why_size)
{
    struct reader reader = {.graph = ret_graph, .constants = ret_constants, .why = ret_why, .why_size = why_size};
    json_error_t json_error;
    int error;

    reader.json = json_loads(text, JSON_REJECT_DUPLICATES, &json_error);
    error = read_all(&reader);
    json_decref(reader.json);
    return error;
}
