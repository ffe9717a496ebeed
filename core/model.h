/*
 * A trained network: a safetensors file whose __metadata__ carries the graph
 * as JSON ("tocsin.graph"). A model that may decide also says what it is
 * ("tocsin.manifest", core/manifest.h) and bears a SHA-256 of graph, manifest
 * and tensors ("tocsin.sha256"); a bare network bears a CRC-32C of graph and
 * tensors ("tocsin.crc32c"). models/train/export.py writes and documents them.
 * Tensors are bound by name and shape; a missing, surplus, misshapen or
 * mistyped one is refused by name. Weights are const and shared by any number
 * of runs. File reading is the caller's: core gets bytes.
 */
#ifndef TOC_CORE_MODEL_H
#define TOC_CORE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOC_MODEL_BYTES_MAX (64u << 20) /* larger files are refused before anything is allocated */

struct toc_kernels;  /* core/kernels.h */
struct toc_manifest; /* core/manifest.h */
struct toc_model;

/** @param bytes borrowed during the call. @return 0, -EINVAL (ret_why names tensor or layer), -EBADMSG (checksum),
 * -E2BIG (file, weights or buffers above their limit), -ENOMEM; ret_why has a text on every failure */
int toc_model_load(const uint8_t *bytes, size_t len, struct toc_model **ret_model, char *ret_why, size_t why_size);
/** The same with a stated instruction set, for tests and benchmarks. */
int toc_model_load_for(const struct toc_kernels *kernels, const uint8_t *bytes, size_t len, struct toc_model **ret_model,
                       char *ret_why, size_t why_size);
void toc_model_destroy(struct toc_model *model);

/** CRC-32C (RFC 3720, appendix B.4); start with 0, chain by passing the last result. */
uint32_t toc_model_crc32c(uint32_t crc, const void *bytes, size_t len);

/** Name and version from the metadata ("name version"), and the checksum as hex text: SHA-256, of a bare network CRC-32C;
 * borrowed from the model. */
const char *toc_model_name(const struct toc_model *model);
const char *toc_model_checksum(const struct toc_model *model);

/** What it says of itself, and the JSON text of that; NULL: a bare network. Borrowed from the model. */
const struct toc_manifest *toc_model_manifest(const struct toc_model *model);
const char *toc_model_manifest_text(const struct toc_model *model);

/** Free-form number from the graph's "constants" object (thresholds, scales). @return fallback when absent. */
double toc_model_constant(const struct toc_model *model, const char *key, double fallback);

/** Values of a row of the input and of the output (width times channels), rows of input per row of output (the product of strides). */
uint32_t toc_model_inputs(const struct toc_model *model);
uint32_t toc_model_outputs(const struct toc_model *model);
uint32_t toc_model_stride(const struct toc_model *model);
/** It can be streamed: the graph is causal. */
bool toc_model_streams(const struct toc_model *model);
/** Rows of input that one row of a stream's output is made of: what a new stream must have read to be as good as an old one.
 * UINT32_MAX: all there ever were (a recurrent layer). */
uint32_t toc_model_context(const struct toc_model *model);
/** Rows of the window the graph names; 0: any number. */
uint32_t toc_model_length(const struct toc_model *model);
/** Rows out of toc_model_run_window() for n rows in; 0 when n does not fit. */
uint32_t toc_model_window_rows(const struct toc_model *model, uint32_t n);
/** Multiplications of n rows of input. */
double toc_model_work(const struct toc_model *model, uint32_t n);

/*
 * Streams. Time-major rows: input [n][inputs], output [n / stride][outputs]. A stream carries every layer's left
 * context (causal convolutions) or state (LSTM, GRU): rows pushed in any blocks, alone or together with other streams,
 * give the same bits as the whole sequence in one window.
 */
struct toc_model_stream;  /* state of one station; owned by the caller */
struct toc_model_scratch; /* work space of one thread; owned by the caller */

/** @return 0, -EINVAL (graph not causal), -E2BIG (above 64 MiB), -ENOMEM */
int toc_model_stream_create(const struct toc_model *model, struct toc_model_stream **ret_stream);
void toc_model_stream_destroy(struct toc_model_stream *stream);
/** Back to zero state, as after create (a gap, a new pick). */
void toc_model_stream_reset(struct toc_model_stream *stream);

/** @param max_rows rows of one push or window at most, >= the stride; a graph that is not causal needs its length.
 * @return 0, -EINVAL (max_rows), -E2BIG (above 64 MiB), -ENOMEM */
int toc_model_scratch_create(const struct toc_model *model, uint32_t max_rows, struct toc_model_scratch **ret_scratch);
void toc_model_scratch_destroy(struct toc_model_scratch *scratch);

/** Push n rows (n <= max_rows, multiple of the stride). Allocates nothing. Non-finite inputs are taken as 0.
 * @param ret_out [n / stride][outputs], raw outputs: softmax and the like only where the graph has them. */
void toc_model_push(const struct toc_model *model, struct toc_model_stream *stream, struct toc_model_scratch *scratch,
                    const float *rows, uint32_t n, float *ret_out);

/** The next n rows of each of so many streams at once: the weights are read once for many rows.
 * @param rows     [n_streams][n][inputs]
 * @param ret_out  [n_streams][n / stride][outputs] */
void toc_model_push_many(const struct toc_model *model, struct toc_model_stream *const *streams, uint32_t n_streams,
                         struct toc_model_scratch *scratch, const float *rows, uint32_t n, float *ret_out);

/** Whole windows, from zero state: for graphs that are not causal (U-nets, dense heads) input [length][inputs] with the
 * length the graph names; for causal ones any multiple of the stride up to max_rows. Allocates nothing.
 * @return 0 or -EINVAL (n does not fit) */
int toc_model_run_window(const struct toc_model *model, struct toc_model_scratch *scratch, const float *rows,
                         uint32_t n, float *ret_out, uint32_t *ret_rows);

/** Rows first .. first + count - 1 of a window's output, and of the layers before it only what they are made of: the
 * same bits as in the whole, for less work. @return 0 or -EINVAL (n, first or count do not fit) */
int toc_model_run_part(const struct toc_model *model, struct toc_model_scratch *scratch, const float *rows, uint32_t n,
                       uint32_t first, uint32_t count, float *ret_out);

#endif
