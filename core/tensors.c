/*
 * Tensor table. Sizes are multiplied only after each factor was bounded, and
 * a shape is believed only when it fills its byte range: nothing is allocated
 * from a number that the file merely claims.
 */
#include "core/tensors.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 3, 4))) static int refuse(char *why, size_t size, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(why, size, format, args);
    va_end(args);
    return -EINVAL;
}

int toc_tensors_init(struct toc_tensors *tensors, const uint8_t *payload, uint64_t payload_len)
{
    *tensors = (struct toc_tensors){.payload = payload, .payload_len = payload_len};
    tensors->list = calloc(TOC_TENSORS_MAX, sizeof(*tensors->list));
    return tensors->list != NULL ? 0 : -ENOMEM;
}

void toc_tensors_finish(struct toc_tensors *tensors)
{
    free(tensors->list);
    free(tensors->values);
    *tensors = (struct toc_tensors){0};
}

int toc_tensors_add(struct toc_tensors *tensors, const struct toc_tensor *tensor, char *ret_why, size_t why_size)
{
    uint64_t values = 1;

    if (tensors->n == TOC_TENSORS_MAX)
        return refuse(ret_why, why_size, "more than %zu tensors", TOC_TENSORS_MAX);
    if (tensor->end < tensor->begin || tensor->end > tensors->payload_len)
        return refuse(ret_why, why_size, "tensor '%.60s': offsets lead outside the file", tensor->name);
    for (uint32_t d = 0; d < tensor->n_dims; d++) {
        if (tensor->dims[d] < 1 || tensor->dims[d] > tensors->payload_len)
            return refuse(ret_why, why_size, "tensor '%.60s': dimension %u is out of range", tensor->name, d);
        values *= tensor->dims[d];
        if (values > tensors->payload_len)
            return refuse(ret_why, why_size, "tensor '%.60s': larger than the file", tensor->name);
    }
    if (tensor->end - tensor->begin != values * sizeof(float))
        return refuse(ret_why, why_size, "tensor '%.60s': %llu bytes do not hold its shape", tensor->name,
                      (unsigned long long)(tensor->end - tensor->begin));
    tensors->list[tensors->n++] = *tensor;
    return 0;
}

static int by_begin(const void *a, const void *b)
{
    const struct toc_tensor *x = a, *y = b;

    return (x->begin > y->begin) - (x->begin < y->begin);
}

int toc_tensors_seal(struct toc_tensors *tensors, char *ret_why, size_t why_size)
{
    uint64_t at = 0;

    qsort(tensors->list, tensors->n, sizeof(*tensors->list), by_begin);
    for (size_t i = 0; i < tensors->n; at = tensors->list[i++].end)
        if (tensors->list[i].begin != at)
            return refuse(ret_why, why_size, "tensor '%.60s': overlaps another, or leaves a hole",
                          tensors->list[i].name);
    if (at != tensors->payload_len)
        return refuse(ret_why, why_size, "%llu bytes after the last tensor",
                      (unsigned long long)(tensors->payload_len - at));
    return 0;
}

static int decode(struct toc_tensors *tensors, char *why, size_t size)
{
    size_t n = (size_t)(tensors->payload_len / sizeof(float));

    tensors->values = calloc(n > 0 ? n : 1, sizeof(float));
    if (tensors->values == NULL) {
        refuse(why, size, "out of memory");
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        const uint8_t *b = tensors->payload + 4 * i;
        uint32_t bits = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;

        memcpy(&tensors->values[i], &bits, sizeof(bits));
    }
    return 0;
}

static bool same_shape(const struct toc_tensor *tensor, const struct toc_tensor_spec *spec)
{
    if (tensor->n_dims != spec->n_dims)
        return false;
    for (uint32_t d = 0; d < spec->n_dims; d++)
        if (tensor->dims[d] != spec->dims[d])
            return false;
    return true;
}

static void write_shape(char *text, size_t size, uint32_t n_dims, const uint64_t *dims)
{
    size_t n = 0;

    for (uint32_t d = 0; d < n_dims && n < size; d++)
        n += (size_t)snprintf(text + n, size - n, "%s%llu", d > 0 ? ", " : "", (unsigned long long)dims[d]);
}

static int refuse_shape(const char *name, const struct toc_tensor *tensor, const struct toc_tensor_spec *spec,
                        char *why, size_t size)
{
    uint64_t dims[TOC_TENSOR_DIMS_MAX];
    char has[96] = "", wants[96] = "";

    for (uint32_t d = 0; d < spec->n_dims; d++)
        dims[d] = spec->dims[d];
    write_shape(has, sizeof(has), tensor->n_dims, tensor->dims);
    write_shape(wants, sizeof(wants), spec->n_dims, dims);
    return refuse(why, size, "tensor '%s': shape is [%s], not [%s]", name, has, wants);
}

static int bind_one(struct toc_tensors *tensors, const struct toc_layer *layer, const struct toc_tensor_spec *spec,
                    const float **ret_values, char *why, size_t size)
{
    char name[TOC_GRAPH_NAME_SIZE + 32];

    snprintf(name, sizeof(name), "%s.%s", layer->name, spec->suffix);
    for (size_t i = 0; i < tensors->n; i++) {
        struct toc_tensor *tensor = &tensors->list[i];

        if (strcmp(tensor->name, name) != 0)
            continue;
        if (!same_shape(tensor, spec))
            return refuse_shape(name, tensor, spec, why, size);
        tensor->bound = true;
        *ret_values = tensors->values + tensor->begin / sizeof(float);
        return 0;
    }
    return refuse(why, size, "tensor '%s': missing", name);
}

static int check_used(const struct toc_tensors *tensors, const struct toc_tensor *tensor, char *why, size_t size)
{
    if (!tensor->bound)
        return refuse(why, size, "tensor '%.60s': no layer asks for it", tensor->name);
    for (uint64_t i = tensor->begin / sizeof(float); i < tensor->end / sizeof(float); i++)
        if (!isfinite(tensors->values[i]))
            return refuse(why, size, "tensor '%.60s': holds a value that is not finite", tensor->name);
    return 0;
}

int toc_tensors_bind(struct toc_tensors *tensors, const struct toc_graph *graph,
                     const float *(*ret_bound)[TOC_GRAPH_TENSORS_MAX], char *ret_why, size_t why_size)
{
    struct toc_tensor_spec specs[TOC_GRAPH_TENSORS_MAX];
    int error = decode(tensors, ret_why, why_size);

    for (uint32_t i = 1; i < graph->n_layers; i++) {
        uint32_t n = toc_layer_tensors(&graph->layers[i], specs);

        for (uint32_t t = 0; t < n && error == 0; t++)
            error = bind_one(tensors, &graph->layers[i], &specs[t], &ret_bound[i][t], ret_why, why_size);
    }
    for (size_t i = 0; i < tensors->n && error == 0; i++)
        error = check_used(tensors, &tensors->list[i], ret_why, why_size);
    return error;
}
