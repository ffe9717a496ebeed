/*
 * What a model says of itself, beside its graph: what it is, what it wants to
 * read and what it answers, where it was trained, which thresholds suit it,
 * and a question with the right answer. JSON text -> struct toc_manifest,
 * checked; models/train/export.py documents and writes it. Whether the program
 * can use such a model is core/contract.h's question.
 */
#ifndef TOC_CORE_MANIFEST_H
#define TOC_CORE_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include "core/types.h"

#define TOC_MANIFEST_CHANNELS_SIZE 512

/**
 * A question made by formula, and the last rows of the answer. Value i (row by row, channel by channel) of the input is
 * offset + scale * g * u: u = 2 (x_i >> 8) / 2^24 - 1 with x_i = 1664525 x_(i-1) + 1013904223 modulo 2^32, x_-1 = seed
 * (Press et al., Numerical Recipes, 2nd ed., section 7.1), and g = 1/4 in the first half of the rows, then 1.
 */
struct toc_golden {
    uint32_t seed;
    uint32_t rows; /* of the question; 0: there is none */
    double offset, scale;
    uint32_t kept; /* rows of the answer that are stored, its last */
    uint32_t outputs;
    float *answer; /* owned: [kept][outputs] */
};

struct toc_manifest {
    char kind[32];         /* picker, estimator, ... */
    uint32_t input_version; /* of the meaning of its input rows */
    double rate_hz;        /* rows of input per second */
    char inputs[TOC_MANIFEST_CHANNELS_SIZE], outputs[TOC_MANIFEST_CHANNELS_SIZE]; /* names in order, a space between */
    double thresholds[2][TOC_LAYOUTS]; /* by enum toc_phase and enum toc_layout; NAN: none suggested */
    char card[128];        /* where its story stands; "" none */
    char parent[65];       /* digest of the model it was tuned from; "" none */
    struct toc_golden golden;
};

/** @param ret_manifest  zeroed by the caller, to be finished also after a failure
 * @param ret_why  on failure: the member and the reason. @return 0, -EINVAL, -ENOMEM */
int toc_manifest_read(const char *text, struct toc_manifest *ret_manifest, char *ret_why, size_t why_size);
void toc_manifest_finish(struct toc_manifest *manifest);

/** three_components, two_components, vertical: as in the manifest. */
const char *toc_layout_str(enum toc_layout layout);

/** The question, from its first value on. @param ret_rows [golden->rows][inputs] */
void toc_golden_ask(const struct toc_golden *golden, uint32_t inputs, float *ret_rows);

#endif
