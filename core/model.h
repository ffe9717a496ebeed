/*
 * A trained network: a safetensors file whose __metadata__ carries the graph
 * as JSON ("tocsin.graph") and a checksum of the tensor bytes
 * ("tocsin.sha256" absent: "tocsin.crc32c"). Tensors are bound by name and shape;
 * a missing, surplus, misshapen or mistyped one is refused by name. Weights
 * are const and shared by any number of runs. File reading is the caller's:
 * core gets bytes.
 */
#ifndef TOC_CORE_MODEL_H
#define TOC_CORE_MODEL_H

#include <stddef.h>
#include <stdint.h>

#define TOC_MODEL_BYTES_MAX (64u << 20) /* larger files are refused before anything is allocated */

struct toc_model;

/** @param bytes borrowed during the call. @return 0, -EINVAL (ret_why names tensor or layer), -EBADMSG (checksum), -E2BIG, -ENOMEM */
int toc_model_load(const uint8_t *bytes, size_t len, struct toc_model **ret_model, char *ret_why, size_t why_size);
void toc_model_destroy(struct toc_model *model);

/** Name and version from the metadata, and the checksum as hex text; borrowed from the model. */
const char *toc_model_name(const struct toc_model *model);
const char *toc_model_checksum(const struct toc_model *model);

/** Free-form number from the graph's "constants" object (thresholds, scales). @return fallback when absent. */
double toc_model_constant(const struct toc_model *model, const char *key, double fallback);

/** Channels of the input and of the output, rows of input per row of output (the product of strides). */
uint32_t toc_model_inputs(const struct toc_model *model);
uint32_t toc_model_outputs(const struct toc_model *model);
uint32_t toc_model_stride(const struct toc_model *model);

/*
 * Streams. Time-major rows: input [n][inputs], output [n / stride][outputs]. A stream carries every layer's left
 * context (causal convolutions) or state (LSTM, GRU), so that rows pushed in any blocks of the same size give the
 * same bits, and in any other block sizes the same values to 1e-5, as the whole sequence at once.
 */
struct toc_model_stream; /* state of one station; owned by the caller */
struct toc_model_scratch; /* work space of one thread; owned by the caller */

/** @param max_rows rows of one push at most, a multiple of the stride. @return 0, -EINVAL (graph not causal), -ENOMEM */
int toc_model_stream_create(const struct toc_model *model, struct toc_model_stream **ret_stream);
void toc_model_stream_destroy(struct toc_model_stream *stream);
/** Back to zero state, as after create (a gap, a new pick). */
void toc_model_stream_reset(struct toc_model_stream *stream);

int toc_model_scratch_create(const struct toc_model *model, uint32_t max_rows, struct toc_model_scratch **ret_scratch);
void toc_model_scratch_destroy(struct toc_model_scratch *scratch);

/** Push n rows (n <= max_rows, multiple of the stride). Allocates nothing. Non-finite inputs are taken as 0.
 * @param ret_out [n / stride][outputs], raw outputs: softmax and the like only where the graph has them. */
void toc_model_push(const struct toc_model *model, struct toc_model_stream *stream, struct toc_model_scratch *scratch,
                    const float *rows, uint32_t n, float *ret_out);

/** Whole windows, for graphs that are not causal (U-nets, dense heads): input [length][inputs] with the length the graph
 * names. Output rows as the graph gives them. @return 0 or -EINVAL (length does not fit) */
int toc_model_run_window(const struct toc_model *model, struct toc_model_scratch *scratch, const float *rows, uint32_t n,
                         float *ret_out, uint32_t *ret_rows);

#endif
