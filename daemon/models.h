/*
 * Networks from files: read, checked against what this program asks of them
 * (core/contract.h), and asked their golden question, before they may decide.
 */
#ifndef TOC_DAEMON_MODELS_H
#define TOC_DAEMON_MODELS_H

#include <stdio.h>

#include "core/contract.h"
#include "core/model.h"

#define TOC_MODELS_WHY_SIZE 768

/** What stands in one place of the pipeline. */
struct toc_placed_model {
    struct toc_model *model;       /* owned; NULL: the classical method */
    char why[TOC_MODELS_WHY_SIZE]; /* "" all is as configured; else why the classical method does its work: "FILE: reason" */
};

/**
 * Load the network of one place.
 *
 * @param configured  "": the shipped one, which may be missing (model is NULL then, with a why); "none": none; else a path
 * @param ret_placed  to be finished by the caller, also after an error
 * @return 0, or -errno: it is there and cannot be used (-EINVAL, -EBADMSG, -ENOMEM, ...), or a named one is not there
 */
int toc_placed_model_load(const char *configured, const struct toc_contract *contract,
                          struct toc_placed_model *ret_placed);
void toc_placed_model_finish(struct toc_placed_model *placed);

/** Load a file for the place its own manifest names. @return 0 or -errno; ret_why "FILE: reason" */
int toc_model_file_load(const char *path, struct toc_model **ret_model, char *ret_why, size_t why_size);

/** What a model of these (it has a manifest) says of itself. */
void toc_model_print(const struct toc_model *model, const char *path, FILE *out);

#endif
