/*
 * A model file -> a network. Everything the file says is checked before it is
 * believed, in this order: lengths, JSON, metadata, the tensor table,
 * checksum, the graph's shape, tensor names and shapes, values. What
 * is refused is refused with the name of the culprit.
 */
#include "core/model.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/graph.h"
#include "core/net.h"
#include "core/tensors.h"

#define HEADER_MAX (1u << 20) /* bytes of JSON: a graph of 256 layers takes 60 KB */
#define CONSTANTS_MAX 64
#define KEY_SIZE 64
#define LABEL_SIZE 96
#define PUSH_STREAMS 256u

struct constant {
    char key[KEY_SIZE];
    double value;
};

struct toc_model {
    char label[LABEL_SIZE];
    char checksum[16];
    size_t n_constants;
    struct constant constants[CONSTANTS_MAX];
    struct toc_graph graph;
    struct toc_net *net; /* owned */
};

struct toc_model_stream {
    struct toc_net_state *state; /* owned */
};

struct toc_model_scratch {
    uint32_t max_rows;
    struct toc_net_buffers *buffers; /* owned */
};

/* A load in progress. */
struct load {
    const uint8_t *payload; /* borrowed */
    uint64_t payload_len;
    json_t *header, *graph_json;                                     /* owned */
    const char *graph_text;                                          /* borrowed from header */
    struct toc_tensors tensors;                                      /* owned */
    const float *bound[TOC_GRAPH_LAYERS_MAX][TOC_GRAPH_TENSORS_MAX]; /* into tensors */
    const struct toc_kernels *kernels;
    struct toc_model *model;                                         /* owned until handed out */
    char *why;
    size_t why_size;
};

__attribute__((format(printf, 3, 4))) static int refuse(struct load *load, int error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(load->why, load->why_size, format, args);
    va_end(args);
    return error;
}

uint32_t toc_model_crc32c(uint32_t crc, const void *bytes, size_t len)
{
    const uint8_t *byte = bytes;
    uint32_t table[256];

    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[i] = (table[i] >> 1) ^ ((table[i] & 1) != 0 ? 0x82F63B78u : 0);
    }
    crc = ~crc;
    for (size_t i = 0; i < len; i++)
        crc = table[(crc ^ byte[i]) & 0xff] ^ (crc >> 8);
    return ~crc;
}

/* ---- the container ---- */

static uint64_t read_u64(const uint8_t *bytes)
{
    uint64_t value = 0;

    for (int i = 7; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

static int open_container(struct load *load, const uint8_t *bytes, size_t len)
{
    json_error_t error;
    uint64_t header_len;

    if (len > TOC_MODEL_BYTES_MAX)
        return refuse(load, -E2BIG, "file of %zu bytes is larger than %u", len, TOC_MODEL_BYTES_MAX);
    if (len < 8)
        return refuse(load, -EINVAL, "file of %zu bytes is shorter than its header length", len);
    header_len = read_u64(bytes);
    if (header_len > HEADER_MAX || header_len > len - 8)
        return refuse(load, -EINVAL, "header of %llu bytes is longer than the file or than %u",
                      (unsigned long long)header_len, HEADER_MAX);
    if (header_len % 8 != 0)
        return refuse(load, -EINVAL, "header of %llu bytes is not padded to 8", (unsigned long long)header_len);
    load->payload = bytes + 8 + header_len;
    load->payload_len = len - 8 - header_len;
    load->header = json_loadb((const char *)bytes + 8, (size_t)header_len, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(load->header))
        return refuse(load, -EINVAL, "header is not a JSON object: %s",
                      load->header == NULL ? error.text : "another type");
    return 0;
}

static const char *metadata(const struct load *load, const char *key)
{
    const char *text = json_string_value(json_object_get(json_object_get(load->header, "__metadata__"), key));

    return text != NULL ? text : "";
}

static bool is_label(const char *text, size_t size)
{
    size_t n = strlen(text);

    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)text[i]) && strchr("._-", text[i]) == NULL)
            return false;
    return n > 0 && n < size;
}

static int read_metadata(struct load *load)
{
    struct toc_model *model = load->model;
    const char *name = metadata(load, "tocsin.name"), *version = metadata(load, "tocsin.version");
    const char *checksum = metadata(load, "tocsin.crc32c");

    if (strcmp(metadata(load, "tocsin.format"), "1") != 0)
        return refuse(load, -EINVAL, "tocsin.format is '%.20s', not 1", metadata(load, "tocsin.format"));
    if (!is_label(name, LABEL_SIZE / 2) || (version[0] != '\0' && !is_label(version, LABEL_SIZE / 2)))
        return refuse(load, -EINVAL, "tocsin.name or tocsin.version is absent, too long or not of [A-Za-z0-9._-]");
    if (strlen(checksum) != 8)
        return refuse(load, -EINVAL, "tocsin.crc32c is not 8 hex digits");
    load->graph_text = metadata(load, "tocsin.graph");
    snprintf(model->label, sizeof(model->label), "%s%s%s", name, version[0] != '\0' ? " " : "", version);
    snprintf(model->checksum, sizeof(model->checksum), "%s", checksum);
    return 0;
}

static int check_checksum(struct load *load)
{
    char actual[16];
    uint32_t crc = toc_model_crc32c(0, load->graph_text, strlen(load->graph_text));

    snprintf(actual, sizeof(actual), "%08x", toc_model_crc32c(crc, load->payload, load->payload_len));
    if (strcmp(actual, load->model->checksum) != 0)
        return refuse(load, -EBADMSG, "checksum is %s, the file says %s", actual, load->model->checksum);
    return 0;
}

/* ---- the tensor table ---- */

static int read_shape(struct load *load, struct toc_tensor *tensor, const json_t *shape)
{
    tensor->n_dims = (uint32_t)json_array_size(shape);
    if (!json_is_array(shape) || tensor->n_dims < 1 || json_array_size(shape) > TOC_TENSOR_DIMS_MAX)
        return refuse(load, -EINVAL, "tensor '%.60s': shape is not of 1..3 numbers", tensor->name);
    for (uint32_t d = 0; d < tensor->n_dims; d++) {
        json_int_t n = json_integer_value(json_array_get(shape, d)); /* 0 when it is no whole number */

        if (n < 1)
            return refuse(load, -EINVAL, "tensor '%.60s': dimension %u is out of range", tensor->name, d);
        tensor->dims[d] = (uint64_t)n;
    }
    return 0;
}

static int read_tensor(struct load *load, const char *name, const json_t *entry)
{
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    const json_t *offsets = json_object_get(entry, "data_offsets");
    json_int_t begin = json_integer_value(json_array_get(offsets, 0));
    json_int_t end = json_integer_value(json_array_get(offsets, 1));
    struct toc_tensor tensor = {.name = name, .begin = (uint64_t)begin, .end = (uint64_t)end};
    int error;

    if (dtype == NULL || strcmp(dtype, "F32") != 0)
        return refuse(load, -EINVAL, "tensor '%.60s': dtype is '%.20s', not F32", name, dtype != NULL ? dtype : "");
    if (json_array_size(offsets) != 2 || !json_is_integer(json_array_get(offsets, 0)) ||
        !json_is_integer(json_array_get(offsets, 1)) || begin < 0 || end < 0)
        return refuse(load, -EINVAL, "tensor '%.60s': offsets lead outside the file", name);
    error = read_shape(load, &tensor, json_object_get(entry, "shape"));
    return error != 0 ? error : toc_tensors_add(&load->tensors, &tensor, load->why, load->why_size);
}

static int read_tensors(struct load *load)
{
    const char *name;
    json_t *entry;

    if (toc_tensors_init(&load->tensors, load->payload, load->payload_len) != 0)
        return refuse(load, -ENOMEM, "out of memory");
    json_object_foreach(load->header, name, entry) {
        int error = strcmp(name, "__metadata__") == 0 ? 0 : read_tensor(load, name, entry);

        if (error != 0)
            return error;
    }
    return toc_tensors_seal(&load->tensors, load->why, load->why_size);
}

/* ---- the graph ---- */

static int refuse_layer(struct load *load, const struct toc_layer *layer, const char *what)
{
    return refuse(load, -EINVAL, "layer '%s' (%s): %s", layer->name, toc_graph_op_str(layer->op), what);
}

static int read_number(struct load *load, const struct toc_layer *layer, const char *key, const json_t *value,
                       uint32_t *ret_number)
{
    json_int_t n = json_integer_value(value); /* 0 when it is no whole number */

    if (n < 1 || n > (json_int_t)TOC_GRAPH_ROWS_MAX)
        return refuse(load, -EINVAL, "layer '%s' (%s): %s is not a whole number of 1..%u", layer->name,
                      toc_graph_op_str(layer->op), key, TOC_GRAPH_ROWS_MAX);
    *ret_number = (uint32_t)n;
    return 0;
}

static int read_real(struct load *load, const struct toc_layer *layer, const json_t *value, float *ret_real)
{
    double x = json_number_value(value);

    if (!json_is_number(value) || !(fabs(x) <= 1e6))
        return refuse_layer(load, layer, "slope or eps is not a number within 1e6");
    *ret_real = (float)x;
    return 0;
}

static int read_rows(struct load *load, const struct toc_layer *layer, const json_t *value, int32_t *ret_rows)
{
    json_int_t n = json_integer_value(value);

    if (!json_is_integer(value) || n < -(json_int_t)TOC_GRAPH_ROWS_MAX || n > (json_int_t)TOC_GRAPH_ROWS_MAX)
        return refuse_layer(load, layer, "rows of padding or crop are out of range");
    *ret_rows = (int32_t)n;
    return 0;
}

static int read_padding(struct load *load, struct toc_layer *layer, const json_t *value)
{
    const char *text = json_string_value(value);

    if (json_array_size(value) == 2) {
        int error = read_rows(load, layer, json_array_get(value, 0), &layer->pad_left);

        layer->padding = TOC_PADDING_EXPLICIT;
        return error != 0 ? error : read_rows(load, layer, json_array_get(value, 1), &layer->pad_right);
    }
    if (text != NULL && strcmp(text, "valid") == 0)
        layer->padding = TOC_PADDING_VALID;
    else if (text != NULL && strcmp(text, "same") == 0)
        layer->padding = TOC_PADDING_SAME;
    else if (text != NULL && strcmp(text, "causal") == 0)
        layer->padding = TOC_PADDING_CAUSAL;
    else
        return refuse_layer(load, layer, "padding is none of valid, same, causal, [left, right]");
    return 0;
}

static int read_activation(struct load *load, struct toc_layer *layer, const json_t *value)
{
    static const char *const names[] = {[TOC_NN_NONE] = "none",
                                        [TOC_NN_RELU] = "relu",
                                        [TOC_NN_LEAKY_RELU] = "leaky_relu",
                                        [TOC_NN_TANH] = "tanh",
                                        [TOC_NN_SIGMOID] = "sigmoid"};
    const char *text = json_string_value(value);

    for (size_t i = 0; text != NULL && i < sizeof(names) / sizeof(*names); i++)
        if (strcmp(names[i], text) == 0) {
            layer->activation = (enum toc_nn_activation)i;
            return 0;
        }
    return refuse_layer(load, layer, "activation is none of none, relu, leaky_relu, tanh, sigmoid");
}

static int find_layer(const struct toc_graph *graph, const char *name)
{
    for (uint32_t i = 0; name != NULL && i < graph->n_layers; i++)
        if (strcmp(graph->layers[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* Names are looked up among the layers read so far: a forward reference, and with it a cycle, is an unknown name. */
static int read_inputs(struct load *load, struct toc_layer *layer, const json_t *value)
{
    size_t n = json_array_size(value);

    if (n < 1 || n > TOC_GRAPH_INPUTS_MAX)
        return refuse_layer(load, layer, "inputs is not a list of 1..8 names");
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(value, i));
        int index = find_layer(&load->model->graph, name);

        if (index < 0)
            return refuse(load, -EINVAL, "layer '%s' (%s): input '%.60s' is no earlier layer", layer->name,
                          toc_graph_op_str(layer->op), name != NULL ? name : "?");
        layer->inputs[i] = (uint32_t)index;
    }
    layer->n_inputs = (uint32_t)n;
    return 0;
}

static int read_flag(struct load *load, const struct toc_layer *layer, const json_t *value, bool *ret_flag)
{
    if (!json_is_boolean(value))
        return refuse_layer(load, layer, "bias or last is not true or false");
    *ret_flag = json_is_true(value);
    return 0;
}

#define OP(name) (1u << TOC_OP_##name)
#define CONVS (OP(CONV1D) | OP(CONVTRANSPOSE1D))
#define POOLS (OP(MAXPOOL) | OP(AVGPOOL))
#define RECURRENTS (OP(LSTM) | OP(GRU))
#define ACTIVATED (CONVS | OP(DENSE) | OP(BATCHNORM) | OP(ADD))
#define ANY UINT32_MAX

enum kind { NUMBER, REAL, ROWS, FLAG, PADDING, ACTIVATION, INPUTS, READ_BEFORE };

/* Which operation knows which parameter; one it does not know is a mistake, not a remark. */
static const struct parameter {
    const char *key;
    uint32_t ops;
    enum kind kind;
    size_t at; /* of the member of struct toc_layer */
} parameters[] = {
    {"op", ANY, READ_BEFORE, 0},
    {"name", ANY, READ_BEFORE, 0},
    {"inputs", ANY, INPUTS, 0},
    {"channels", CONVS | RECURRENTS | OP(DENSE), NUMBER, offsetof(struct toc_layer, channels)},
    {"kernel", CONVS | POOLS, NUMBER, offsetof(struct toc_layer, kernel)},
    {"stride", CONVS | POOLS, NUMBER, offsetof(struct toc_layer, stride)},
    {"dilation", OP(CONV1D), NUMBER, offsetof(struct toc_layer, dilation)},
    {"padding", OP(CONV1D) | POOLS, PADDING, 0},
    {"activation", ACTIVATED, ACTIVATION, 0},
    {"slope", ACTIVATED | OP(LEAKY_RELU), REAL, offsetof(struct toc_layer, slope)},
    {"eps", OP(BATCHNORM), REAL, offsetof(struct toc_layer, eps)},
    {"bias", CONVS | RECURRENTS | OP(DENSE), FLAG, offsetof(struct toc_layer, bias)},
    {"last", RECURRENTS, FLAG, offsetof(struct toc_layer, last)},
    {"left", OP(CROP), ROWS, offsetof(struct toc_layer, pad_left)},
    {"right", OP(CROP), ROWS, offsetof(struct toc_layer, pad_right)},
};

static int read_kind(struct load *load, struct toc_layer *layer, const struct parameter *parameter, const json_t *value)
{
    void *member = (char *)layer + parameter->at;

    switch (parameter->kind) {
    case NUMBER:
        return read_number(load, layer, parameter->key, value, member);
    case REAL:
        return read_real(load, layer, value, member);
    case ROWS:
        return read_rows(load, layer, value, member);
    case FLAG:
        return read_flag(load, layer, value, member);
    case PADDING:
        return read_padding(load, layer, value);
    case ACTIVATION:
        return read_activation(load, layer, value);
    case INPUTS:
        return read_inputs(load, layer, value);
    case READ_BEFORE:
        break;
    }
    return 0;
}

static int read_parameter(struct load *load, struct toc_layer *layer, const char *key, const json_t *value)
{
    for (size_t i = 0; i < sizeof(parameters) / sizeof(*parameters); i++)
        if (strcmp(parameters[i].key, key) == 0 && (parameters[i].ops & 1u << layer->op) != 0)
            return read_kind(load, layer, &parameters[i], value);
    return refuse(load, -EINVAL, "layer '%s' (%s): unknown parameter '%.60s'", layer->name, toc_graph_op_str(layer->op),
                  key);
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
}

static int read_name(struct load *load, struct toc_layer *layer, const json_t *entry)
{
    const char *name = json_string_value(json_object_get(entry, "name"));
    const char *op = json_string_value(json_object_get(entry, "op"));

    if (name == NULL || !is_label(name, sizeof(layer->name)))
        return refuse(load, -EINVAL, "layer %u: name is absent, too long or not of [A-Za-z0-9._-]",
                      load->model->graph.n_layers);
    if (find_layer(&load->model->graph, name) >= 0)
        return refuse(load, -EINVAL, "layer '%s': name is used twice", name);
    snprintf(layer->name, sizeof(layer->name), "%s", name);
    layer->op = op != NULL ? toc_graph_op_parse(op) : TOC_OP_COUNT;
    if (layer->op == TOC_OP_COUNT || layer->op == TOC_OP_INPUT)
        return refuse(load, -EINVAL, "layer '%s': unknown op '%.60s'", name, op != NULL ? op : "");
    return 0;
}

static int read_layer(struct load *load, const json_t *entry)
{
    struct toc_graph *graph = &load->model->graph;
    struct toc_layer layer = toc_graph_layer_default();
    int error = read_name(load, &layer, entry);
    const char *key;
    json_t *value;

    if (error != 0)
        return error;
    layer.n_inputs = 1;
    layer.inputs[0] = graph->n_layers - 1;
    json_object_foreach((json_t *)entry, key, value) {
        error = read_parameter(load, &layer, key, value);
        if (error != 0)
            return error;
    }
    if ((layer.op == TOC_OP_MAXPOOL || layer.op == TOC_OP_AVGPOOL) && json_object_get(entry, "stride") == NULL)
        layer.stride = layer.kernel;
    set_own_activation(&layer);
    graph->layers[graph->n_layers++] = layer;
    return 0;
}

static int read_graph_input(struct load *load, const json_t *input)
{
    struct toc_graph *graph = &load->model->graph;
    struct toc_layer *layer = &graph->layers[0];
    const json_t *length = json_object_get(input, "length");
    int error;

    *layer = toc_graph_layer_default();
    snprintf(layer->name, sizeof(layer->name), "input");
    graph->n_layers = 1;
    error = read_number(load, layer, "channels", json_object_get(input, "channels"), &layer->channels);
    if (error == 0 && layer->channels > TOC_GRAPH_CHANNELS_MAX)
        return refuse_layer(load, layer, "too many channels");
    if (error == 0 && length != NULL)
        error = read_number(load, layer, "length", length, &graph->length);
    return error;
}

static int read_constants(struct load *load, json_t *constants)
{
    struct toc_model *model = load->model;
    const char *key;
    json_t *value;

    json_object_foreach(constants, key, value) {
        if (model->n_constants == CONSTANTS_MAX || strlen(key) >= KEY_SIZE || !json_is_number(value) ||
            !isfinite(json_number_value(value)))
            return refuse(load, -EINVAL, "constant '%.60s': too many, name too long, or not a number", key);
        struct constant *constant = &model->constants[model->n_constants++];

        snprintf(constant->key, sizeof(constant->key), "%s", key);
        constant->value = json_number_value(value);
    }
    return 0;
}

static int read_output(struct load *load)
{
    struct toc_graph *graph = &load->model->graph;
    const json_t *output = json_object_get(load->graph_json, "output");
    int index = output == NULL ? (int)graph->n_layers - 1 : find_layer(graph, json_string_value(output));

    if (index < 1)
        return refuse(load, -EINVAL, "graph: output is no layer");
    graph->output = (uint32_t)index;
    return 0;
}

static int read_graph(struct load *load)
{
    json_error_t json_error;
    json_t *layers;
    int error;

    load->graph_json = json_loads(load->graph_text, JSON_REJECT_DUPLICATES, &json_error);
    if (!json_is_object(load->graph_json))
        return refuse(load, -EINVAL, "tocsin.graph is not a JSON object");
    layers = json_object_get(load->graph_json, "layers");
    if (json_array_size(layers) < 1 || json_array_size(layers) > TOC_GRAPH_LAYERS_MAX - 1)
        return refuse(load, -EINVAL, "graph: layers is not a list of 1..%d", TOC_GRAPH_LAYERS_MAX - 1);
    error = read_graph_input(load, json_object_get(load->graph_json, "input"));
    for (size_t i = 0; error == 0 && i < json_array_size(layers); i++)
        error = read_layer(load, json_array_get(layers, i));
    if (error == 0)
        error = read_output(load);
    if (error == 0)
        error = read_constants(load, json_object_get(load->graph_json, "constants"));
    return error != 0 ? error : toc_graph_check(&load->model->graph, load->why, load->why_size);
}

/* ---- all together ---- */

/* A window of the stated length must fit, or the file is of no use. */
static int try_buffers(struct load *load)
{
    const struct toc_model *model = load->model;
    uint32_t step = toc_model_stride(model);
    struct toc_net_buffers *buffers = NULL;
    struct toc_net_state *state = NULL;
    int error = toc_net_buffers_create(model->net, model->graph.length > 0 ? model->graph.length : step, &buffers);

    if (error == 0)
        error = toc_net_state_create(model->net, &state);
    toc_net_buffers_destroy(buffers);
    toc_net_state_destroy(state);
    return error == 0 ? 0 : refuse(load, error, "buffers or state do not fit into 64 MiB");
}

static int make_net(struct load *load)
{
    struct toc_model *model = load->model;
    int error = toc_net_create(&model->graph, load->kernels, load->bound, &model->net, load->why, load->why_size);

    if (error == -E2BIG || error == -ENOMEM)
        return refuse(load, error, "weights do not fit");
    return error != 0 ? error : try_buffers(load);
}

static int load_all(struct load *load, const uint8_t *bytes, size_t len)
{
    int error = open_container(load, bytes, len);

    if (error == 0)
        error = read_metadata(load);
    if (error == 0)
        error = read_tensors(load);
    if (error == 0)
        error = check_checksum(load);
    if (error == 0)
        error = read_graph(load);
    if (error == 0)
        error = toc_tensors_bind(&load->tensors, &load->model->graph, load->bound, load->why, load->why_size);
    return error != 0 ? error : make_net(load);
}

int toc_model_load_for(const struct toc_kernels *kernels, const uint8_t *bytes, size_t len, struct toc_model **ret_model,
                       char *ret_why, size_t why_size)
{
    struct load *load = calloc(1, sizeof(*load));
    int error = -ENOMEM;

    if (load == NULL)
        return error;
    load->kernels = kernels;
    load->why = ret_why;
    load->why_size = why_size;
    load->model = calloc(1, sizeof(*load->model));
    if (load->model != NULL)
        error = load_all(load, bytes, len);
    if (error == 0) {
        *ret_model = load->model;
        load->model = NULL;
    }
    json_decref(load->header);
    json_decref(load->graph_json);
    toc_tensors_finish(&load->tensors);
    toc_model_destroy(load->model);
    free(load);
    return error;
}

int toc_model_load(const uint8_t *bytes, size_t len, struct toc_model **ret_model, char *ret_why, size_t why_size)
{
    return toc_model_load_for(toc_kernels_best(), bytes, len, ret_model, ret_why, why_size);
}

void toc_model_destroy(struct toc_model *model)
{
    if (model == NULL)
        return;
    toc_net_destroy(model->net);
    free(model);
}

/* ---- what others ask ---- */

const char *toc_model_name(const struct toc_model *model)
{
    return model->label;
}

const char *toc_model_checksum(const struct toc_model *model)
{
    return model->checksum;
}

double toc_model_constant(const struct toc_model *model, const char *key, double fallback)
{
    for (size_t i = 0; i < model->n_constants; i++)
        if (strcmp(model->constants[i].key, key) == 0)
            return model->constants[i].value;
    return fallback;
}

uint32_t toc_model_inputs(const struct toc_model *model)
{
    return model->graph.layers[0].channels;
}

uint32_t toc_model_outputs(const struct toc_model *model)
{
    return model->graph.layers[model->graph.output].channels;
}

uint32_t toc_model_stride(const struct toc_model *model)
{
    return model->graph.causal ? model->graph.layers[model->graph.output].step : 1;
}

uint32_t toc_model_length(const struct toc_model *model)
{
    return model->graph.length;
}

uint32_t toc_model_window_rows(const struct toc_model *model, uint32_t n)
{
    const struct toc_graph *graph = &model->graph;
    uint64_t rows[TOC_GRAPH_LAYERS_MAX] = {n};

    if (n < 1 || n > TOC_GRAPH_ROWS_MAX || (graph->causal ? n % toc_model_stride(model) != 0 : n != graph->length))
        return 0;
    for (uint32_t i = 1; i < graph->n_layers; i++)
        rows[i] = toc_graph_rows(&graph->layers[i], rows[graph->layers[i].inputs[0]]);
    return (uint32_t)rows[graph->output];
}

double toc_model_work(const struct toc_model *model, uint32_t n)
{
    return toc_graph_work(&model->graph, n);
}

/* ---- running ---- */

int toc_model_stream_create(const struct toc_model *model, struct toc_model_stream **ret_stream)
{
    struct toc_model_stream *stream;
    int error;

    if (!model->graph.causal)
        return -EINVAL;
    stream = calloc(1, sizeof(*stream));
    if (stream == NULL)
        return -ENOMEM;
    error = toc_net_state_create(model->net, &stream->state);
    if (error != 0) {
        free(stream);
        return error;
    }
    *ret_stream = stream;
    return 0;
}

void toc_model_stream_destroy(struct toc_model_stream *stream)
{
    if (stream == NULL)
        return;
    toc_net_state_destroy(stream->state);
    free(stream);
}

void toc_model_stream_reset(struct toc_model_stream *stream)
{
    toc_net_state_reset(stream->state);
}

int toc_model_scratch_create(const struct toc_model *model, uint32_t max_rows, struct toc_model_scratch **ret_scratch)
{
    struct toc_model_scratch *scratch;
    int error;

    if (max_rows > TOC_GRAPH_ROWS_MAX ||
        max_rows < (model->graph.causal ? toc_model_stride(model) : model->graph.length))
        return -EINVAL;
    scratch = calloc(1, sizeof(*scratch));
    if (scratch == NULL)
        return -ENOMEM;
    scratch->max_rows = model->graph.causal ? max_rows : model->graph.length;
    error = toc_net_buffers_create(model->net, scratch->max_rows, &scratch->buffers);
    if (error != 0) {
        toc_model_scratch_destroy(scratch);
        return error;
    }
    *ret_scratch = scratch;
    return 0;
}

void toc_model_scratch_destroy(struct toc_model_scratch *scratch)
{
    if (scratch == NULL)
        return;
    toc_net_buffers_destroy(scratch->buffers);
    free(scratch);
}

void toc_model_push(const struct toc_model *model, struct toc_model_stream *stream, struct toc_model_scratch *scratch,
                    const float *rows, uint32_t n, float *ret_out)
{
    toc_net_push(model->net, &stream->state, 1, scratch->buffers, rows, n, ret_out);
}

void toc_model_push_many(const struct toc_model *model, struct toc_model_stream *const *streams, uint32_t n_streams,
                         struct toc_model_scratch *scratch, const float *rows, uint32_t n, float *ret_out)
{
    struct toc_net_state *states[PUSH_STREAMS];
    size_t in = (size_t)n * toc_model_inputs(model);
    size_t out = (size_t)(n / toc_model_stride(model)) * toc_model_outputs(model);

    for (uint32_t s = 0, together; s < n_streams; s += together) {
        together = n_streams - s < PUSH_STREAMS ? n_streams - s : PUSH_STREAMS;
        for (uint32_t k = 0; k < together; k++)
            states[k] = streams[s + k]->state;
        toc_net_push(model->net, states, together, scratch->buffers, rows + s * in, n, ret_out + s * out);
    }
}

int toc_model_run_part(const struct toc_model *model, struct toc_model_scratch *scratch, const float *rows, uint32_t n,
                       uint32_t first, uint32_t count, float *ret_out)
{
    uint32_t all = toc_model_window_rows(model, n);

    if (n > scratch->max_rows || all == 0 || first >= all || count < 1 || count > all - first)
        return -EINVAL;
    toc_net_window(model->net, scratch->buffers, rows, n, first, count, ret_out);
    return 0;
}

int toc_model_run_window(const struct toc_model *model, struct toc_model_scratch *scratch, const float *rows,
                         uint32_t n, float *ret_out, uint32_t *ret_rows)
{
    uint32_t all = toc_model_window_rows(model, n);
    int error = toc_model_run_part(model, scratch, rows, n, 0, all, ret_out);

    if (error == 0)
        *ret_rows = all;
    return error;
}
