/*
 * From a configuration to a running pipeline: reads the metadata, computes
 * the travel-time tables, loads the networks. Shared by the daemon and by
 * replay, so that both run the same thing. It owns all the pipeline borrows.
 */
#ifndef TOC_DAEMON_ENGINE_H
#define TOC_DAEMON_ENGINE_H

#include "core/pipeline.h"
#include "daemon/config.h"
#include "daemon/encode_json.h"
#include "daemon/models.h"

#define TOC_STATIONS_BYTES_MAX (64u << 20)

#define TOC_ENGINE_RETIRED_MAX 8

struct toc_engine {
    struct toc_inventory inventory;
    struct toc_travel *travel;
    struct toc_placed_model picker, shadow, second, estimator;
    struct toc_model *retired[TOC_ENGINE_RETIRED_MAX]; /* owned; NULL: free place. Some station may still use them */
    struct toc_pipeline *pipeline;
    double *latencies; /* owned; scratch of the heartbeat, one for each station group */
};

/**
 * Build everything. A shipped network that is not installed is a warning: the classical method does its work. So it is, as
 * an error in the log, in status and in alerts, when a network of a service cannot be used; for a replay that is an error.
 *
 * @param workers    of the pipeline: batches that may be out at once, 0 for replay
 * @param service    the daemon: it starts without its networks if it must
 * @param ret_engine to be finished by the caller, also after an error
 * @return 0, -EINVAL, -ENOMEM, or what opening a file gave; ret_why says it in words with file (line, column)
 */
int toc_engine_init(const struct toc_config *config, uint32_t workers, bool service, struct toc_engine *ret_engine,
                    char *ret_why, size_t why_size);
void toc_engine_finish(struct toc_engine *engine);

/**
 * The networks that another configuration names, while running: read, checked and asked, then changed without losing a sample
 * or a pick; or not at all. Files that hold what is in use change nothing. The second look changes at a restart only.
 *
 * @param ret_changed  something changed: toc_engine_describe() anew
 * @return 0; -EINVAL, -EBUSY, -ENOMEM, ...: everything stays as it was, ret_why says it with the file
 */
int toc_engine_change_models(struct toc_engine *engine, const struct toc_config *config, bool *ret_changed, char *ret_why,
                             size_t why_size);
/** Now and then: free networks that nobody uses any more. */
void toc_engine_release(struct toc_engine *engine);

/** Read and parse FDSN station text. @return 0, -EINVAL, -ENOMEM, ...; ret_why "file:line:column: reason" */
int toc_inventory_load(const char *path, struct toc_inventory *ret_inventory, char *ret_why, size_t why_size);

/** Names and hashes of the networks in use, and why one is not. Texts are borrowed until finish. */
void toc_engine_describe(const struct toc_engine *engine, struct toc_envelope *envelope);

/** Stations in use, and the median delay of their newest data against `now`. */
void toc_engine_heartbeat(const struct toc_engine *engine, toc_ns now, struct toc_heartbeat *ret_heartbeat);

#endif
