/*
 * Model files for tests, made in memory: a graph text and the tensors it asks
 * for, filled from a seed. Also: read a stored file. Not the writer of real
 * models (models/train/export.py); it knows the container, not the graph.
 */
#ifndef TOC_TESTS_MODEL_FILE_H
#define TOC_TESTS_MODEL_FILE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/digest.h"
#include "core/model.h"

/* A file being written; all sizes are bounded by the arrays. */
struct model_file {
    char graph[32768];
    char manifest[32768]; /* "": a bare network */
    char entries[65536]; /* JSON of the tensor table, each with a leading comma */
    uint8_t *payload;    /* owned */
    size_t payload_len;
    uint32_t random;
    uint8_t *bytes; /* owned; after model_file_finish() */
    size_t len;
};

static inline void model_file_start(struct model_file *file, uint32_t seed)
{
    memset(file, 0, sizeof(*file));
    file->random = seed * 2654435761u + 1u;
}

/* xorshift32 (Marsaglia 2003), to -1..1 */
static inline float model_file_random(struct model_file *file)
{
    file->random ^= file->random << 13;
    file->random ^= file->random >> 17;
    file->random ^= file->random << 5;
    return (float)file->random / 2147483648.0f - 1.0f;
}

static inline size_t model_file_values(const uint32_t *dims, uint32_t n_dims)
{
    size_t n = 1;

    for (uint32_t d = 0; d < n_dims; d++)
        n *= dims[d];
    return n;
}

/* A tensor of random values of -scale..scale around `mean`. */
static inline void model_file_shaped(struct model_file *file, const char *name, const uint32_t *dims, uint32_t n_dims,
                                     float mean, float scale)
{
    size_t n = model_file_values(dims, n_dims), at = strlen(file->entries);
    char shape[64] = "";

    for (uint32_t d = 0; d < n_dims; d++)
        snprintf(shape + strlen(shape), sizeof(shape) - strlen(shape), d > 0 ? ",%u" : "%u", dims[d]);
    snprintf(file->entries + at, sizeof(file->entries) - at,
             ",\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", name, shape, file->payload_len,
             file->payload_len + 4 * n);
    file->payload = realloc(file->payload, file->payload_len + 4 * n);
    for (size_t i = 0; i < n; i++, file->payload_len += 4) {
        float value = mean + scale * model_file_random(file);

        memcpy(file->payload + file->payload_len, &value, 4); /* tests run on little-endian machines */
    }
}

/* The same of up to three dimensions; dims that are 0 end the shape. */
static inline void model_file_tensor(struct model_file *file, const char *name, uint32_t d0, uint32_t d1, uint32_t d2,
                                     float mean, float scale)
{
    const uint32_t dims[3] = {d0, d1, d2};

    model_file_shaped(file, name, dims, d1 == 0 ? 1 : d2 == 0 ? 2 : 3, mean, scale);
}

/* A convolution's (or, with kernel 0, a dense layer's) weight and bias, scaled so that variance is about kept. */
static inline void model_file_conv(struct model_file *file, const char *name, uint32_t out, uint32_t in,
                                   uint32_t kernel)
{
    char key[128];
    float fan = (float)(in * (kernel > 0 ? kernel : 1)), scale = 1.0f;

    while (scale * scale * fan > 3.0f)
        scale *= 0.9f;
    snprintf(key, sizeof(key), "%s.weight", name);
    model_file_tensor(file, key, out, in, kernel, 0.0f, scale);
    snprintf(key, sizeof(key), "%s.bias", name);
    model_file_tensor(file, key, out, 0, 0, 0.0f, 0.2f);
}

/* gates: 4 LSTM, 3 GRU */
static inline void model_file_recurrent(struct model_file *file, const char *name, uint32_t gates, uint32_t units,
                                        uint32_t in)
{
    static const char *const suffix[] = {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"};
    char key[128];

    for (int i = 0; i < 4; i++) {
        snprintf(key, sizeof(key), "%s.%s", name, suffix[i]);
        model_file_tensor(file, key, gates * units, i == 0 ? in : i == 1 ? units : 0, 0, 0.0f, 0.2f);
    }
}

static inline void model_file_graph(struct model_file *file, const char *text)
{
    size_t at = strlen(file->graph);

    snprintf(file->graph + at, sizeof(file->graph) - at, "%s", text);
}

/* The right checksum: SHA-256 with a manifest, else CRC-32C. */
static inline void model_file_checksum(const struct model_file *file, char ret_text[TOC_DIGEST_TEXT_SIZE])
{
    struct toc_digest digest;
    uint32_t crc =
        toc_model_crc32c(toc_model_crc32c(0, file->graph, strlen(file->graph)), file->payload, file->payload_len);

    snprintf(ret_text, TOC_DIGEST_TEXT_SIZE, "%08x", crc);
    if (file->manifest[0] == '\0')
        return;
    toc_digest_init(&digest);
    toc_digest_add(&digest, file->graph, strlen(file->graph));
    toc_digest_add(&digest, file->manifest, strlen(file->manifest));
    toc_digest_add(&digest, file->payload, file->payload_len);
    toc_digest_text(&digest, ret_text);
}

/* JSON text as a JSON string: nothing but quotes is escaped. */
static inline char *model_file_escape(const char *text, char *ret_escaped)
{
    size_t n = 0;

    for (; *text != '\0'; text++) {
        if (*text == '"')
            ret_escaped[n++] = '\\';
        ret_escaped[n++] = *text;
    }
    ret_escaped[n] = '\0';
    return ret_escaped;
}

/* The bytes with a given metadata text for the checksum (NULL: the right one). May be called again after changes. */
static inline void model_file_finish(struct model_file *file, const char *checksum)
{
    static char header[262144], graph[65536], manifest[2 * sizeof(file->manifest) + 64];
    char right[TOC_DIGEST_TEXT_SIZE];
    size_t n = 0;

    model_file_checksum(file, right);
    manifest[0] = '\0';
    if (file->manifest[0] != '\0') {
        n = (size_t)sprintf(manifest, "\"tocsin.manifest\":\"");
        model_file_escape(file->manifest, manifest + n);
        strcat(manifest, "\",");
    }
    n = (size_t)snprintf(header, sizeof(header),
                         "{\"__metadata__\":{\"tocsin.format\":\"1\",\"tocsin.name\":\"test\",\"tocsin.version\":\"7\","
                         "\"tocsin.graph\":\"%s\",%s\"%s\":\"%s\"}%s}",
                         model_file_escape(file->graph, graph), manifest,
                         file->manifest[0] != '\0' ? "tocsin.sha256" : "tocsin.crc32c", checksum != NULL ? checksum : right,
                         file->entries);
    while (n % 8 != 0)
        header[n++] = ' ';
    free(file->bytes);
    file->len = 8 + n + file->payload_len;
    file->bytes = malloc(file->len);
    for (int i = 0; i < 8; i++)
        file->bytes[i] = (uint8_t)((uint64_t)n >> (8 * i));
    memcpy(file->bytes + 8, header, n);
    if (file->payload_len > 0)
        memcpy(file->bytes + 8 + n, file->payload, file->payload_len);
}

static inline void model_file_free(struct model_file *file)
{
    free(file->payload);
    free(file->bytes);
}

/* A second look in shape alone: every output is a weighted sum of the whole window (core/second.h). Weights of up to
 * `scale`; the tensor "out.weight" is the first of the payload, [103][8 columns x 640 rows]. */
static inline void model_file_second(struct model_file *file, uint32_t seed, float scale)
{
    model_file_start(file, seed);
    model_file_graph(file, "{\"input\":{\"channels\":8,\"length\":640},\"layers\":[{\"op\":\"flatten\",\"name\":\"flat\"},"
                           "{\"op\":\"dense\",\"name\":\"out\",\"channels\":103}]}");
    model_file_tensor(file, "out.weight", 103, 8 * 640, 0, 0.0f, scale);
    model_file_tensor(file, "out.bias", 103, 0, 0, 0.0f, scale);
    model_file_finish(file, NULL);
}

/* The streaming picker's shape (55,000 weights): 7 features at 100 Hz -> 7 outputs at 20 Hz. */
static inline void model_file_picker(struct model_file *file, uint32_t seed)
{
    static const int dilations[] = {1, 2, 4, 8, 16, 32, 1};
    char text[512], before[16] = "down", name[16];

    model_file_start(file, seed);
    model_file_graph(file, "{\"input\":{\"channels\":7},\"constants\":{\"p_threshold\":0.75},\"layers\":["
                           "{\"op\":\"conv1d\",\"name\":\"stem\",\"channels\":20,\"kernel\":7,\"padding\":\"causal\","
                           "\"activation\":\"relu\"},{\"op\":\"conv1d\",\"name\":\"down\",\"channels\":40,"
                           "\"kernel\":10,\"stride\":5,\"padding\":\"causal\",\"activation\":\"relu\"},");
    model_file_conv(file, "stem", 20, 7, 7);
    model_file_conv(file, "down", 40, 20, 10);
    for (int i = 0; i < 7; i++) {
        snprintf(text, sizeof(text),
                 "{\"op\":\"conv1d\",\"name\":\"a%d\",\"inputs\":[\"%s\"],\"channels\":40,\"kernel\":3,\"dilation\":%d,"
                 "\"padding\":\"causal\",\"activation\":\"relu\"},{\"op\":\"conv1d\",\"name\":\"b%d\",\"channels\":40,"
                 "\"kernel\":1},{\"op\":\"add\",\"name\":\"r%d\",\"inputs\":[\"%s\",\"b%d\"]},",
                 i, before, dilations[i], i, i, before, i);
        model_file_graph(file, text);
        snprintf(name, sizeof(name), "a%d", i);
        model_file_conv(file, name, 40, 40, 3);
        snprintf(name, sizeof(name), "b%d", i);
        model_file_conv(file, name, 40, 40, 1);
        snprintf(before, sizeof(before), "r%d", i);
    }
    model_file_graph(file, "{\"op\":\"conv1d\",\"name\":\"head\",\"channels\":7,\"kernel\":1}]}");
    model_file_conv(file, "head", 7, 40, 1);
    model_file_finish(file, NULL);
}

/* A whole file; NULL when it cannot be read. */
static inline uint8_t *model_file_read(const char *path, size_t *ret_len)
{
    FILE *stream = fopen(path, "rb");
    uint8_t *bytes = NULL;
    long len = -1;

    if (stream != NULL && fseek(stream, 0, SEEK_END) == 0)
        len = ftell(stream);
    if (len >= 0 && fseek(stream, 0, SEEK_SET) == 0)
        bytes = malloc((size_t)len + 1);
    *ret_len = bytes != NULL ? fread(bytes, 1, (size_t)len, stream) : 0;
    if (stream != NULL)
        fclose(stream);
    return bytes;
}

/* A file of tests/parity, "causal_net" and ".vec" say; NULL when it cannot be read. */
static inline uint8_t *model_file_stored(const char *name, const char *suffix, size_t *ret_len)
{
    const char *root = getenv("TOCSIN_SOURCE");
    char path[512];

    snprintf(path, sizeof(path), "%s/tests/parity/%s%s", root != NULL ? root : ".", name, suffix);
    return model_file_read(path, ret_len);
}

#endif
