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

#define HEADER_MAX (1u << 20) /* bytes of JSON: a graph of 256 layers takes 60 KB */
#define TENSORS_MAX ((size_t)TOC_GRAPH_LAYERS_MAX * TOC_GRAPH_TENSORS_MAX)
#define CONSTANTS_MAX 64
#define KEY_SIZE 64
#define LABEL_SIZE 96

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
    struct toc_net_state *state;     /* owned; of whole windows */
};

/* One entry of the file's tensor table. */
struct tensor {
    const char *name; /* borrowed from the JSON header */
    uint32_t n_dims;
    uint64_t dims[3];
    uint64_t begin, end; /* bytes into the payload */
    bool bound;
};

/* A load in progress. */
struct load {
    const uint8_t *payload; /* borrowed */
    uint64_t payload_len;
    json_t *header, *graph_json; /* owned */
    const char *graph_text;      /* borrowed from header */
    struct tensor *tensors;      /* owned; TENSORS_MAX */
    size_t n_tensors;
    float *values; /* owned; the payload as aligned floats of this machine */
    const float *bound[TOC_GRAPH_LAYERS_MAX][TOC_GRAPH_TENSORS_MAX]; /* into values */
    struct toc_model *model; /* owned until handed out */
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

static int read_shape(struct load *load, struct tensor *tensor, const json_t *shape)
{
    uint64_t values = 1;

    tensor->n_dims = (uint32_t)json_array_size(shape);
    if (!json_is_array(shape) || json_array_size(shape) < 1 || json_array_size(shape) > 3)
        return refuse(load, -EINVAL, "tensor '%s': shape is not of 1..3 numbers", tensor->name);
    for (uint32_t d = 0; d < tensor->n_dims; d++) {
        const json_t *dim = json_array_get(shape, d);
        json_int_t n = json_integer_value(dim);

        if (!json_is_integer(dim) || n < 1 || n > (json_int_t)TOC_MODEL_BYTES_MAX)
            return refuse(load, -EINVAL, "tensor '%s': dimension %u is out of range", tensor->name, d);
        tensor->dims[d] = (uint64_t)n;
        values *= (uint64_t)n;
        if (values > TOC_MODEL_BYTES_MAX)
            return refuse(load, -EINVAL, "tensor '%s': larger than the file", tensor->name);
    }
    if (tensor->end - tensor->begin != values * sizeof(float))
        return refuse(load, -EINVAL, "tensor '%s': %llu bytes do not hold its shape", tensor->name,
                      (unsigned long long)(tensor->end - tensor->begin));
    return 0;
}

static int read_tensor(struct load *load, const char *name, const json_t *entry)
{
    struct tensor *tensor = &load->tensors[load->n_tensors];
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    const json_t *offsets = json_object_get(entry, "data_offsets");
    json_int_t begin = json_integer_value(json_array_get(offsets, 0));
    json_int_t end = json_integer_value(json_array_get(offsets, 1));

    if (load->n_tensors == TENSORS_MAX)
        return refuse(load, -EINVAL, "more than %zu tensors", TENSORS_MAX);
    if (dtype == NULL || strcmp(dtype, "F32") != 0)
        return refuse(load, -EINVAL, "tensor '%.60s': dtype is '%.20s', not F32", name, dtype != NULL ? dtype : "");
    if (json_array_size(offsets) != 2 || !json_is_integer(json_array_get(offsets, 0)) ||
        !json_is_integer(json_array_get(offsets, 1)) || begin < 0 || end < begin || (uint64_t)end > load->payload_len)
        return refuse(load, -EINVAL, "tensor '%.60s': offsets lead outside the file", name);
    *tensor = (struct tensor){.name = name, .begin = (uint64_t)begin, .end = (uint64_t)end};
    load->n_tensors++;
    return read_shape(load, tensor, json_object_get(entry, "shape"));
}

static int by_begin(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;

    return (x->begin > y->begin) - (x->begin < y->begin);
}

/* Without overlaps and holes, as the format demands: every byte belongs to one tensor. */
static int read_tensors(struct load *load)
{
    const char *name;
    json_t *entry;
    uint64_t at = 0;

    load->tensors = calloc(TENSORS_MAX, sizeof(*load->tensors));
    if (load->tensors == NULL)
        return refuse(load, -ENOMEM, "out of memory");
    json_object_foreach(load->header, name, entry) {
        int error = strcmp(name, "__metadata__") == 0 ? 0 : read_tensor(load, name, entry);

        if (error != 0)
            return error;
    }
    qsort(load->tensors, load->n_tensors, sizeof(*load->tensors), by_begin);
    for (size_t i = 0; i < load->n_tensors; at = load->tensors[i++].end)
        if (load->tensors[i].begin != at)
            return refuse(load, -EINVAL, "tensor '%.60s': overlaps another, or leaves a hole", load->tensors[i].name);
    if (at != load->payload_len)
        return refuse(load, -EINVAL, "%llu bytes after the last tensor", (unsigned long long)(load->payload_len - at));
    return 0;
}

static int read_values(struct load *load)
{
    size_t n = (size_t)(load->payload_len / sizeof(float));

    load->values = calloc(n > 0 ? n : 1, sizeof(float));
    if (load->values == NULL)
        return refuse(load, -ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const uint8_t *b = load->payload + 4 * i;
        uint32_t bits = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;

        memcpy(&load->values[i], &bits, sizeof(bits));
    }
    return 0;
}

/* ---- the graph ---- */

static int refuse_layer(struct load *load, const struct toc_layer *layer, const char *what)
{
    return refuse(load, -EINVAL, "layer '%s' (%s): %s", layer->name, toc_graph_op_str(layer->op), what);
}

static int read_number(struct load *load, const struct toc_layer *layer, const json_t *value, const char *key,
                       uint32_t *ret_number)
{
    json_int_t n = json_integer_value(value);

    if (!json_is_integer(value) || n < 1 || n > (json_int_t)TOC_GRAPH_ROWS_MAX)
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
    static const char *const names[] = {[TOC_NN_NONE] = "none", [TOC_NN_RELU] = "relu",
                                        [TOC_NN_LEAKY_RELU] = "leaky_relu", [TOC_NN_TANH] = "tanh",
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

/* Which operation knows which parameter; a parameter it does not know is a mistake, not a remark. */
static bool knows(enum toc_op op, const char *key)
{
    bool conv = op == TOC_OP_CONV1D || op == TOC_OP_CONVTRANSPOSE1D;
    bool pool = op == TOC_OP_MAXPOOL || op == TOC_OP_AVGPOOL, recurrent = op == TOC_OP_LSTM || op == TOC_OP_GRU;

    if (strcmp(key, "channels") == 0 || strcmp(key, "bias") == 0)
        return conv || recurrent || op == TOC_OP_DENSE;
    if (strcmp(key, "kernel") == 0 || strcmp(key, "stride") == 0)
        return conv || pool;
    if (strcmp(key, "dilation") == 0)
        return op == TOC_OP_CONV1D;
    if (strcmp(key, "padding") == 0)
        return op == TOC_OP_CONV1D || pool;
    if (strcmp(key, "activation") == 0)
        return conv || op == TOC_OP_DENSE || op == TOC_OP_BATCHNORM || op == TOC_OP_ADD;
    if (strcmp(key, "slope") == 0)
        return op == TOC_OP_LEAKY_RELU || knows(op, "activation");
    if (strcmp(key, "last") == 0)
        return recurrent;
    if (strcmp(key, "eps") == 0)
        return op == TOC_OP_BATCHNORM;
    if (strcmp(key, "left") == 0 || strcmp(key, "right") == 0)
        return op == TOC_OP_CROP;
    return strcmp(key, "op") == 0 || strcmp(key, "name") == 0 || strcmp(key, "inputs") == 0;
}

static int read_parameter(struct load *load, struct toc_layer *layer, const char *key, const json_t *value)
{
    if (!knows(layer->op, key))
        return refuse(load, -EINVAL, "layer '%s' (%s): unknown parameter '%.60s'", layer->name,
                      toc_graph_op_str(layer->op), key);
    if (strcmp(key, "inputs") == 0)
        return read_inputs(load, layer, value);
    if (strcmp(key, "channels") == 0)
        return read_number(load, layer, value, key, &layer->channels);
    if (strcmp(key, "kernel") == 0)
        return read_number(load, layer, value, key, &layer->kernel);
    if (strcmp(key, "stride") == 0)
        return read_number(load, layer, value, key, &layer->stride);
    if (strcmp(key, "dilation") == 0)
        return read_number(load, layer, value, key, &layer->dilation);
    if (strcmp(key, "padding") == 0)
        return read_padding(load, layer, value);
    if (strcmp(key, "activation") == 0)
        return read_activation(load, layer, value);
    if (strcmp(key, "slope") == 0 || strcmp(key, "eps") == 0)
        return read_real(load, layer, value, key[0] == 's' ? &layer->slope : &layer->eps);
    if (strcmp(key, "bias") == 0 || strcmp(key, "last") == 0)
        return read_flag(load, layer, value, key[0] == 'b' ? &layer->bias : &layer->last);
    if (strcmp(key, "left") == 0 || strcmp(key, "right") == 0)
        return read_rows(load, layer, value, key[0] == 'l' ? &layer->pad_left : &layer->pad_right);
    return 0; /* op and name are read already */
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
    error = read_number(load, layer, json_object_get(input, "channels"), "channels", &layer->channels);
    if (error == 0 && layer->channels > TOC_GRAPH_CHANNELS_MAX)
        return refuse_layer(load, layer, "too many channels");
    if (error == 0 && length != NULL)
        error = read_number(load, layer, length, "length", &graph->length);
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

/* ---- graph meets tensors ---- */

static bool same_shape(const struct tensor *tensor, const struct toc_tensor_spec *spec)
{
    if (tensor->n_dims != spec->n_dims)
        return false;
    for (uint32_t d = 0; d < spec->n_dims; d++)
        if (tensor->dims[d] != spec->dims[d])
            return false;
    return true;
}

static int bind_tensor(struct load *load, const struct toc_layer *layer, const struct toc_tensor_spec *spec,
                       const float **ret_values)
{
    char name[TOC_GRAPH_NAME_SIZE + 32];

    snprintf(name, sizeof(name), "%s.%s", layer->name, spec->suffix);
    for (size_t i = 0; i < load->n_tensors; i++) {
        struct tensor *tensor = &load->tensors[i];

        if (strcmp(tensor->name, name) != 0)
            continue;
        if (!same_shape(tensor, spec))
            return refuse(load, -EINVAL, "tensor '%s': shape is not [%u, %u, %u] (%u dimensions)", name, spec->dims[0],
                          spec->dims[1], spec->dims[2], spec->n_dims);
        tensor->bound = true;
        *ret_values = load->values + tensor->begin / sizeof(float);
        return 0;
    }
    return refuse(load, -EINVAL, "tensor '%s': missing", name);
}

static int check_values(struct load *load, const struct tensor *tensor)
{
    for (uint64_t i = tensor->begin / sizeof(float); i < tensor->end / sizeof(float); i++)
        if (!isfinite(load->values[i]))
            return refuse(load, -EINVAL, "tensor '%s': holds a value that is not finite", tensor->name);
    return 0;
}

static int bind_tensors(struct load *load)
{
    const struct toc_graph *graph = &load->model->graph;
    struct toc_tensor_spec specs[TOC_GRAPH_TENSORS_MAX];
    int error = 0;

    for (uint32_t i = 1; i < graph->n_layers; i++) {
        uint32_t n = toc_graph_tensors(&graph->layers[i], specs);

        for (uint32_t t = 0; t < n && error == 0; t++)
            error = bind_tensor(load, &graph->layers[i], &specs[t], &load->bound[i][t]);
        if (error != 0)
            return error;
    }
    for (size_t i = 0; i < load->n_tensors && error == 0; i++) {
        if (!load->tensors[i].bound)
            return refuse(load, -EINVAL, "tensor '%.60s': no layer asks for it", load->tensors[i].name);
        error = check_values(load, &load->tensors[i]);
    }
    return error;
}

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
    int error = toc_net_create(&model->graph, load->bound, &model->net, load->why, load->why_size);

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
        error = read_values(load);
    if (error == 0)
        error = bind_tensors(load);
    return error != 0 ? error : make_net(load);
}

int toc_model_load(const uint8_t *bytes, size_t len, struct toc_model **ret_model, char *ret_why, size_t why_size)
{
    struct load *load = calloc(1, sizeof(*load));
    int error = -ENOMEM;

    if (load == NULL)
        return error;
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
    free(load->tensors);
    free(load->values);
    toc_model_destroy(load->model);
    free(load);
    return error;
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

    if (max_rows > TOC_GRAPH_ROWS_MAX || max_rows < (model->graph.causal ? toc_model_stride(model) : model->graph.length))
        return -EINVAL;
    scratch = calloc(1, sizeof(*scratch));
    if (scratch == NULL)
        return -ENOMEM;
    scratch->max_rows = model->graph.causal ? max_rows : model->graph.length;
    error = toc_net_buffers_create(model->net, scratch->max_rows, &scratch->buffers);
    if (error == 0)
        error = toc_net_state_create(model->net, &scratch->state);
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
    toc_net_state_destroy(scratch->state);
    free(scratch);
}

void toc_model_push(const struct toc_model *model, struct toc_model_stream *stream, struct toc_model_scratch *scratch,
                    const float *rows, uint32_t n, float *ret_out)
{
    toc_net_run(model->net, stream->state, scratch->buffers, rows, n, ret_out);
}

int toc_model_run_window(const struct toc_model *model, struct toc_model_scratch *scratch, const float *rows, uint32_t n,
                         float *ret_out, uint32_t *ret_rows)
{
    if (n > scratch->max_rows || toc_model_window_rows(model, n) == 0)
        return -EINVAL;
    toc_net_state_reset(scratch->state);
    *ret_rows = toc_net_run(model->net, scratch->state, scratch->buffers, rows, n, ret_out);
    return 0;
}
