/*
 * A model file -> a network. Everything the file says is checked before it is
 * believed, in this order: lengths, JSON, metadata, the tensor table,
 * checksum, the manifest, the graph's shape, tensor names and shapes, values. What
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

#include "core/description.h"
#include "core/digest.h"
#include "core/graph.h"
#include "core/manifest.h"
#include "core/net.h"
#include "core/tensors.h"

#define HEADER_MAX (1u << 20) /* bytes of JSON: a graph of 256 layers takes 60 KB */
#define LABEL_SIZE 96
#define PUSH_STREAMS 256u

struct toc_model {
    char label[LABEL_SIZE];
    char checksum[TOC_DIGEST_TEXT_SIZE];
    struct toc_constants constants;
    char *manifest_text; /* owned; NULL: a bare network */
    struct toc_manifest manifest;
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
    json_t *header;                                                  /* owned */
    const char *graph_text, *manifest_text;                          /* borrowed from header; "" absent */
    struct toc_tensors tensors;                                      /* owned */
    const float *bound[TOC_GRAPH_LAYERS_MAX][TOC_GRAPH_TENSORS_MAX]; /* into tensors */
    const struct toc_kernels *kernels;
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

static int read_metadata(struct load *load)
{
    struct toc_model *model = load->model;
    const char *name = metadata(load, "tocsin.name"), *version = metadata(load, "tocsin.version");
    const char *crc = metadata(load, "tocsin.crc32c"), *sha = metadata(load, "tocsin.sha256");

    if (strcmp(metadata(load, "tocsin.format"), "1") != 0)
        return refuse(load, -EINVAL, "tocsin.format is '%.20s', not 1", metadata(load, "tocsin.format"));
    if (!toc_description_is_label(name, LABEL_SIZE / 2) ||
        (version[0] != '\0' && !toc_description_is_label(version, LABEL_SIZE / 2)))
        return refuse(load, -EINVAL, "tocsin.name or tocsin.version is absent, too long or not of [A-Za-z0-9._-]");
    load->graph_text = metadata(load, "tocsin.graph");
    load->manifest_text = metadata(load, "tocsin.manifest");
    if (load->manifest_text[0] == '\0' ? strlen(crc) != 8 || sha[0] != '\0' : strlen(sha) != 64 || crc[0] != '\0')
        return refuse(load, -EINVAL, "neither a manifest with tocsin.sha256 of 64 hex digits, nor tocsin.crc32c of 8 alone");
    snprintf(model->label, sizeof(model->label), "%s%s%s", name, version[0] != '\0' ? " " : "", version);
    snprintf(model->checksum, sizeof(model->checksum), "%s", sha[0] != '\0' ? sha : crc);
    return 0;
}

static void take_crc(const struct load *load, char ret_text[TOC_DIGEST_TEXT_SIZE])
{
    uint32_t crc = toc_model_crc32c(0, load->graph_text, strlen(load->graph_text));

    snprintf(ret_text, TOC_DIGEST_TEXT_SIZE, "%08x", toc_model_crc32c(crc, load->payload, load->payload_len));
}

static void take_digest(const struct load *load, char ret_text[TOC_DIGEST_TEXT_SIZE])
{
    struct toc_digest digest;

    toc_digest_init(&digest);
    toc_digest_add(&digest, load->graph_text, strlen(load->graph_text));
    toc_digest_add(&digest, load->manifest_text, strlen(load->manifest_text));
    toc_digest_add(&digest, load->payload, load->payload_len);
    toc_digest_text(&digest, ret_text);
}

static int check_checksum(struct load *load)
{
    char actual[TOC_DIGEST_TEXT_SIZE];

    if (load->manifest_text[0] != '\0')
        take_digest(load, actual);
    else
        take_crc(load, actual);
    if (strcmp(actual, load->model->checksum) != 0)
        return refuse(load, -EBADMSG, "checksum is %s, the file says %s", actual, load->model->checksum);
    return 0;
}

/* ---- the tensor table ---- */

static int read_shape(struct load *load, struct toc_tensor *tensor, const json_t *shape)
{
    tensor->n_dims = (uint32_t)json_array_size(shape);
    if (!json_is_array(shape) || tensor->n_dims < 1 || json_array_size(shape) > TOC_TENSOR_DIMS_MAX)
        return refuse(load, -EINVAL, "tensor '%.60s': shape is not of 1..4 numbers", tensor->name);
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
    json_object_foreach(load->header, name, entry)
    {
        int error = strcmp(name, "__metadata__") == 0 ? 0 : read_tensor(load, name, entry);

        if (error != 0)
            return error;
    }
    return toc_tensors_seal(&load->tensors, load->why, load->why_size);
}

/* ---- all together ---- */

static int refuse_size(struct load *load, int error, uint32_t largest, const char *what)
{
    const struct toc_layer *layer = &load->model->graph.layers[largest];

    if (error != -E2BIG)
        return refuse(load, error, "out of memory");
    return refuse(load, error, "layer '%s' (%s): %s not fit into 64 MiB, this layer's are the largest", layer->name,
                  toc_layer_op_str(layer->op), what);
}

/* A window of the stated length must fit, or the file is of no use. */
static int try_buffers(struct load *load)
{
    const struct toc_model *model = load->model;
    uint32_t rows = model->graph.length > 0 ? model->graph.length : toc_model_stride(model);
    struct toc_net_buffers *buffers = NULL;
    struct toc_net_state *state = NULL;
    int error = toc_net_buffers_create(model->net, rows, &buffers);

    if (error == 0)
        error = toc_net_state_create(model->net, &state);
    toc_net_buffers_destroy(buffers);
    toc_net_state_destroy(state);
    if (error == 0)
        return 0;
    return refuse_size(load, error, toc_graph_most_rows(&model->graph, rows), "buffers or state do");
}

static int make_net(struct load *load)
{
    struct toc_model *model = load->model;
    int error = toc_net_create(&model->graph, load->kernels, load->bound, &model->net, load->why, load->why_size);

    if (error == -E2BIG || error == -ENOMEM)
        return refuse_size(load, error, toc_graph_most_weights(&model->graph), "weights do");
    return error != 0 ? error : try_buffers(load);
}

static int read_manifest(struct load *load)
{
    struct toc_model *model = load->model;

    if (load->manifest_text[0] == '\0')
        return 0;
    model->manifest_text = strdup(load->manifest_text);
    if (model->manifest_text == NULL)
        return refuse(load, -ENOMEM, "out of memory");
    return toc_manifest_read(model->manifest_text, &model->manifest, load->why, load->why_size);
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
        error = read_manifest(load);
    if (error == 0)
        error = toc_description_read(load->graph_text, &load->model->graph, &load->model->constants, load->why,
                                     load->why_size);
    if (error == 0)
        error = toc_tensors_bind(&load->tensors, &load->model->graph, load->bound, load->why, load->why_size);
    return error != 0 ? error : make_net(load);
}

int toc_model_load_for(const struct toc_kernels *kernels, const uint8_t *bytes, size_t len,
                       struct toc_model **ret_model, char *ret_why, size_t why_size)
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
    toc_manifest_finish(&model->manifest);
    free(model->manifest_text);
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

const struct toc_manifest *toc_model_manifest(const struct toc_model *model)
{
    return model->manifest_text != NULL ? &model->manifest : NULL;
}

const char *toc_model_manifest_text(const struct toc_model *model)
{
    return model->manifest_text;
}

double toc_model_constant(const struct toc_model *model, const char *key, double fallback)
{
    for (size_t i = 0; i < model->constants.n; i++)
        if (strcmp(model->constants.list[i].key, key) == 0)
            return model->constants.list[i].value;
    return fallback;
}

uint32_t toc_model_inputs(const struct toc_model *model)
{
    return (uint32_t)toc_layer_values(&model->graph.layers[0]);
}

uint32_t toc_model_outputs(const struct toc_model *model)
{
    return (uint32_t)toc_layer_values(&model->graph.layers[model->graph.output]);
}

uint32_t toc_model_stride(const struct toc_model *model)
{
    return model->graph.causal ? model->graph.layers[model->graph.output].step : 1;
}

uint32_t toc_model_context(const struct toc_model *model)
{
    const struct toc_graph *graph = &model->graph;
    uint64_t rows[TOC_GRAPH_LAYERS_MAX] = {1};

    for (uint32_t i = 1; i < graph->n_layers; i++) {
        const struct toc_layer *layer = &graph->layers[i];

        for (uint32_t k = 0; k < layer->n_inputs; k++)
            if (rows[layer->inputs[k]] > rows[i])
                rows[i] = rows[layer->inputs[k]];
        if (toc_layer_is_windowed(layer))
            rows[i] += (uint64_t)toc_layer_reach(layer) * graph->layers[layer->inputs[0]].step;
        if (toc_layer_is_recurrent(layer) || rows[i] > UINT32_MAX)
            rows[i] = UINT32_MAX;
    }
    return (uint32_t)rows[graph->output];
}

bool toc_model_streams(const struct toc_model *model)
{
    return model->graph.causal;
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
        rows[i] = toc_layer_rows(&graph->layers[i], rows[graph->layers[i].inputs[0]]);
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
