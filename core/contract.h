/*
 * What this program asks of a model before it lets it decide: that it is of
 * the kind its place wants, reads what core/window.h or core/estimator.h make,
 * in that order and at that rate, answers what is read of it, and gives
 * through this engine, on this machine, the answer it was stored with.
 */
#ifndef TOC_CORE_CONTRACT_H
#define TOC_CORE_CONTRACT_H

#include <stddef.h>
#include <stdint.h>

#include "core/model.h"

/** How far an answer of the engine may lie from the stored one, times the larger of 1 and its size. */
#define TOC_CONTRACT_TOLERANCE 1e-4

struct toc_contract {
    const char *kind;
    uint32_t input_version; /* raised when rows mean something else; the meaning stands where the rows are made */
    double rate_hz;
    uint32_t stride;        /* rows of input per row of output, streamed; 0: whole windows, as the model says */
    const char *inputs, *outputs; /* names in order, a space between */
};

/** Feature rows of core/window.h -> frames of core/picker.h. */
extern const struct toc_contract toc_contract_picker;
/** Windows of core/second.h. */
extern const struct toc_contract toc_contract_second;
/** Input rows of core/estimator.h, 10 a second -> its four outputs. */
extern const struct toc_contract toc_contract_estimator;

/** @return the contract of this kind, NULL: none in this program */
const struct toc_contract *toc_contract_of(const char *kind);

/**
 * Check the model against the contract and ask its golden question.
 *
 * @param ret_why  on failure: what differs, in words
 * @return 0, -EINVAL (no manifest, or another kind, meaning, rate, order or shape), -EBADMSG (a wrong answer), -ENOMEM
 */
int toc_contract_check(const struct toc_contract *contract, const struct toc_model *model, char *ret_why,
                       size_t why_size);

#endif
