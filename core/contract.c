/*
 * See the header. The question goes in as it does live: a stream, in small
 * blocks.
 */
#include "core/contract.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/manifest.h"

const struct toc_contract toc_contract_picker = {
    .kind = "picker",
    .input_version = 1,
    .rate_hz = 100,
    .stride = 5,
    .inputs = "hp_e hp_n hp_z fast_slow_e fast_slow_n fast_slow_z rms_2s_30s",
    .outputs = "noise p s p_age_s p_ln_scale s_age_s s_ln_scale",
};

/* Whole windows. The places of the onset are bins of 20 ms, from 1 s before the middle on. */
const struct toc_contract toc_contract_second = {
    .kind = "second",
    .input_version = 1,
    .rate_hz = 100,
    .stride = 0,
    .inputs = "hp_e hp_n hp_z fast_slow_e fast_slow_n fast_slow_z rms_2s_30s seen",
    .outputs = "nothing p s "
               "b00 b01 b02 b03 b04 b05 b06 b07 b08 b09 b10 b11 b12 b13 b14 b15 b16 b17 b18 b19 b20 b21 b22 b23 b24 "
               "b25 b26 b27 b28 b29 b30 b31 b32 b33 b34 b35 b36 b37 b38 b39 b40 b41 b42 b43 b44 b45 b46 b47 b48 b49 "
               "b50 b51 b52 b53 b54 b55 b56 b57 b58 b59 b60 b61 b62 b63 b64 b65 b66 b67 b68 b69 b70 b71 b72 b73 b74 "
               "b75 b76 b77 b78 b79 b80 b81 b82 b83 b84 b85 b86 b87 b88 b89 b90 b91 b92 b93 b94 b95 b96 b97 b98 b99",
};

const struct toc_contract toc_contract_estimator = {
    .kind = "estimator",
    .input_version = 2,
    .rate_hz = 10,
    .stride = 1,
    .inputs = "pv_p pe_p pd_p pa_p rms_p rms_h_p pv pe pd pv_h pe_h pd_h step_pv step_pe step_pv_h step_pe_h step_rms "
              "step_rms_h noise_pv noise_pe noise_pd noise_pv_h noise_rms log_after log_of_p clipped step_clipped "
              "horizontals gain_known s_known",
    .outputs = "magnitude ln_sigma_magnitude log10_s_minus_p ln_sigma_log10_s_minus_p magnitude_at_32_km "
               "per_decade_of_distance per_decade_squared ln_sigma_below ln_sigma_above",
};

const struct toc_contract *toc_contract_of(const char *kind)
{
    static const struct toc_contract *const all[] = {&toc_contract_picker, &toc_contract_second, &toc_contract_estimator};

    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        if (strcmp(all[i]->kind, kind) == 0)
            return all[i];
    return NULL;
}

/* A check in progress. */
struct check {
    const struct toc_contract *contract;
    const struct toc_model *model;
    const struct toc_manifest *manifest;
    char *why;
    size_t why_size;
    /* of the question, owned */
    float *question, *answer;
    struct toc_model_stream *stream;
    struct toc_model_scratch *scratch;
};

__attribute__((format(printf, 3, 4))) static int refuse(struct check *check, int error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(check->why, check->why_size, format, args);
    va_end(args);
    return error;
}

static uint32_t count_names(const char *names)
{
    uint32_t n = 1;

    for (; *names != '\0'; names++)
        n += *names == ' ';
    return n;
}

static int check_shape(struct check *check)
{
    const struct toc_contract *c = check->contract;
    uint32_t in = toc_model_inputs(check->model), out = toc_model_outputs(check->model);

    if (in != count_names(c->inputs) || out != count_names(c->outputs))
        return refuse(check, -EINVAL, "the network reads %u and answers %u values, a %s of this program %u and %u", in, out,
                      c->kind, count_names(c->inputs), count_names(c->outputs));
    if (c->stride > 0 && (toc_model_length(check->model) > 0 || !toc_model_streams(check->model)))
        return refuse(check, -EINVAL, "the network wants whole windows, a %s of this program is streamed", c->kind);
    if (c->stride > 0 && toc_model_stride(check->model) != c->stride)
        return refuse(check, -EINVAL, "the network answers every %u rows, a %s of this program every %u",
                      toc_model_stride(check->model), c->kind, c->stride);
    return 0;
}

static int check_words(struct check *check)
{
    const struct toc_contract *c = check->contract;
    const struct toc_manifest *m = check->manifest;

    if (strcmp(m->kind, c->kind) != 0)
        return refuse(check, -EINVAL, "it is of kind %s, its place wants a %s", m->kind, c->kind);
    if (m->input_version != c->input_version)
        return refuse(check, -EINVAL, "it reads version %u of the %s's input rows, this program makes version %u",
                      m->input_version, c->kind, c->input_version);
    if (fabs(m->rate_hz - c->rate_hz) > 1e-9)
        return refuse(check, -EINVAL, "it reads %g rows a second, this program makes %g", m->rate_hz, c->rate_hz);
    if (strcmp(m->inputs, c->inputs) != 0)
        return refuse(check, -EINVAL, "it reads '%.200s', this program makes '%s'", m->inputs, c->inputs);
    if (strcmp(m->outputs, c->outputs) != 0)
        return refuse(check, -EINVAL, "it answers '%.200s', this program reads '%s'", m->outputs, c->outputs);
    return 0;
}

/* ---- the golden question ---- */

/* Blocks of four rows of output: what is carried from block to block is asked too. */
static void ask_stream(struct check *check, uint32_t rows)
{
    uint32_t stride = toc_model_stride(check->model), inputs = toc_model_inputs(check->model);
    uint32_t outputs = toc_model_outputs(check->model), block = 4 * stride;

    for (uint32_t at = 0; at < rows; at += block)
        toc_model_push(check->model, check->stream, check->scratch, check->question + (size_t)at * inputs,
                       rows - at < block ? rows - at : block, check->answer + (size_t)(at / stride) * outputs);
}

static int ask(struct check *check, uint32_t rows)
{
    bool streams = toc_model_streams(check->model);
    int error = toc_model_scratch_create(check->model, streams ? 4 * toc_model_stride(check->model) : rows,
                                         &check->scratch);
    uint32_t n;

    if (error == 0 && streams)
        error = toc_model_stream_create(check->model, &check->stream);
    if (error != 0)
        return refuse(check, error, "no room for the golden question");
    if (streams)
        ask_stream(check, rows);
    else
        (void)toc_model_run_window(check->model, check->scratch, check->question, rows, check->answer, &n);
    return 0;
}

static int compare(struct check *check, uint32_t rows_out)
{
    const struct toc_golden *golden = &check->manifest->golden;
    const float *given = check->answer + (size_t)(rows_out - golden->kept) * golden->outputs;
    double worst = 0;

    for (size_t i = 0; i < (size_t)golden->kept * golden->outputs; i++) {
        double wanted = (double)golden->answer[i];
        double off = fabs((double)given[i] - wanted) / fmax(1, fabs(wanted));

        if (!(off <= worst))
            worst = off;
    }
    if (!(worst <= TOC_CONTRACT_TOLERANCE))
        return refuse(check, -EBADMSG, "self-test failed: the answer to its golden question is off by %.2g (%g allowed)",
                      worst, TOC_CONTRACT_TOLERANCE);
    return 0;
}

static int check_golden(struct check *check)
{
    const struct toc_golden *golden = &check->manifest->golden;
    uint32_t rows_out = toc_model_window_rows(check->model, golden->rows);
    int error;

    if (golden->kept > rows_out || golden->outputs != toc_model_outputs(check->model))
        return refuse(check, -EINVAL, "its golden question of %u rows does not fit its own graph", golden->rows);
    check->question = calloc((size_t)golden->rows * toc_model_inputs(check->model), sizeof(*check->question));
    check->answer = calloc((size_t)rows_out * golden->outputs, sizeof(*check->answer));
    if (check->question == NULL || check->answer == NULL)
        return refuse(check, -ENOMEM, "out of memory");
    toc_golden_ask(golden, toc_model_inputs(check->model), check->question);
    error = ask(check, golden->rows);
    return error != 0 ? error : compare(check, rows_out);
}

int toc_contract_check(const struct toc_contract *contract, const struct toc_model *model, char *ret_why,
                       size_t why_size)
{
    struct check check = {.contract = contract, .model = model, .manifest = toc_model_manifest(model), .why = ret_why,
                          .why_size = why_size};
    int error;

    if (check.manifest == NULL)
        return refuse(&check, -EINVAL, "it has no manifest: a bare network, or one written before models said what they are; export it anew");
    error = check_words(&check);
    if (error == 0)
        error = check_shape(&check);
    if (error == 0)
        error = check_golden(&check);
    toc_model_stream_destroy(check.stream);
    toc_model_scratch_destroy(check.scratch);
    free(check.question);
    free(check.answer);
    return error;
}
