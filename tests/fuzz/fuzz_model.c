/*
 * Model files: the bytes as they are, then once more with the checksum put
 * right, so that the graph and the tensors behind it are reached. What is
 * accepted is run, and must give finite numbers.
 */
#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/contract.h"
#include "core/digest.h"
#include "core/model.h"

#define WORK_MAX 1e6 /* multiplications: what is accepted may still be slow */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void fill(float *rows, size_t n)
{
    static const float odd[] = {0.0f, 1.0f, -2.5f, 3e38f, NAN, -3e38f, 1e-40f, INFINITY, 0.25f};

    for (size_t i = 0; i < n; i++)
        rows[i] = odd[i % 9];
}

static void stream(const struct toc_model *model, struct toc_model_scratch *scratch, const float *rows, uint32_t n,
                   float *out, size_t n_out)
{
    struct toc_model_stream *state = NULL;

    if (toc_model_stream_create(model, &state) != 0)
        return;
    for (int i = 0; i < 3; i++) {
        toc_model_push(model, state, scratch, rows, n, out);
        for (size_t k = 0; k < n_out; k++)
            require(isfinite(out[k]));
    }
    toc_model_stream_destroy(state);
}

static void run(const struct toc_model *model)
{
    uint32_t n = toc_model_length(model) > 0 ? toc_model_length(model) : toc_model_stride(model), rows = 0;
    size_t n_in, n_out;
    struct toc_model_scratch *scratch = NULL;
    float *in, *out;

    if (toc_model_work(model, n) > WORK_MAX || n > 10000)
        return;
    n_in = (size_t)n * toc_model_inputs(model);
    n_out = (size_t)toc_model_window_rows(model, n) * toc_model_outputs(model);
    in = malloc(n_in * sizeof(*in));
    out = malloc(n_out * sizeof(*out));
    require(in != NULL && out != NULL && toc_model_scratch_create(model, n, &scratch) == 0);
    fill(in, n_in);
    require(toc_model_run_window(model, scratch, in, n, out, &rows) == 0);
    for (size_t i = 0; i < n_out; i++)
        require(isfinite(out[i]));
    stream(model, scratch, in, n, out, n_out);
    toc_model_scratch_destroy(scratch);
    free(in);
    free(out);
}

static void load(const uint8_t *data, size_t size)
{
    struct toc_model *model = NULL;
    char why[128] = "";
    int error = toc_model_load(data, size, &model, why, sizeof(why));

    require(error <= 0 && (error == 0) == (model != NULL) && (error == 0 || why[0] != '\0'));
    if (model != NULL) {
        run(model);
        (void)toc_contract_check(&toc_contract_picker, model, why, sizeof(why));
    }
    toc_model_destroy(model);
}

/* Text of the metadata, NULL when it is not there. */
static const char *metadata(const json_t *header, const char *key)
{
    return json_string_value(json_object_get(json_object_get(header, "__metadata__"), key));
}

static void put(uint8_t *data, size_t size, const char *key, const char *text)
{
    uint8_t *at = memmem(data + 8, size - 8, key, strlen(key));

    if (at != NULL && (size_t)(data + size - at) > strlen(key) + strlen(text))
        memcpy(at + strlen(key), text, strlen(text));
}

/* Where the header has a checksum, put what it should be. */
static void repair(uint8_t *data, size_t size)
{
    uint64_t header_len = 0;
    const char *graph, *manifest;
    json_t *header;

    memcpy(&header_len, data, 8);
    if (header_len > size - 8 || header_len > 1u << 20)
        return;
    header = json_loadb((const char *)data + 8, header_len, 0, NULL);
    graph = metadata(header, "tocsin.graph");
    manifest = metadata(header, "tocsin.manifest");
    if (graph != NULL) {
        const uint8_t *payload = data + 8 + header_len;
        size_t len = size - 8 - header_len;
        struct toc_digest digest;
        char text[TOC_DIGEST_TEXT_SIZE];

        snprintf(text, sizeof(text), "%08x", toc_model_crc32c(toc_model_crc32c(0, graph, strlen(graph)), payload, len));
        put(data, 8 + header_len, "\"tocsin.crc32c\":\"", text);
        toc_digest_init(&digest);
        toc_digest_add(&digest, graph, strlen(graph));
        toc_digest_add(&digest, manifest != NULL ? manifest : "", manifest != NULL ? strlen(manifest) : 0);
        toc_digest_add(&digest, payload, len);
        toc_digest_text(&digest, text);
        put(data, 8 + header_len, "\"tocsin.sha256\":\"", text);
    }
    json_decref(header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy;

    load(data, size);
    if (size < 8)
        return 0;
    copy = malloc(size);
    require(copy != NULL);
    memcpy(copy, data, size);
    repair(copy, size);
    load(copy, size);
    free(copy);
    return 0;
}
