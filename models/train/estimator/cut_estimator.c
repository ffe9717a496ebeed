/*
 * Input rows of the estimator for training, made by the runtime's own
 * code: resampler, motion steps, peaks, toc_estimator_inputs(). A filter:
 * raw three-component records come in on stdin, rows go out on stdout, both
 * in the byte order of the machine (models/train/estimator/cut.py is the
 * other end). It knows nothing of files, labels or magnitudes.
 *
 * In, per record:  struct record_head, then n samples of float32 E, N, Z in SI units (NAN: component missing).
 * Out, per record: uint32 count, then count rows of TOC_ESTIMATOR_INPUTS float32, the first for the step that holds the
 *                  onset. count is 0 when the record is refused.
 *
 * With `run WEIGHTS` it is the network instead: rows in, rows of TOC_ESTIMATOR_OUTPUTS out, to hold against PyTorch.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/estimator.h"
#include "core/filter.h"
#include "core/window.h"

#define SAMPLES_MAX 10000000u
#define STEP_NS (TOC_NS_PER_S / 10)

struct record_head {
    int64_t start_ns;      /* time of the first sample */
    int64_t onset_ns;      /* P */
    double rate_hz;
    double clip;           /* |sample| at or above is clipped; INFINITY: none */
    uint32_t n;            /* samples per component */
    uint32_t rows;         /* rows wanted after the onset, at most */
    uint32_t acceleration; /* 1: m/s^2, 0: m/s */
    uint32_t gain_known;
};

struct cutter {
    struct toc_motion *motion;
    struct toc_arrival arrival;
    struct toc_motion_step noise[TOC_PPARAM_NOISE_MAX]; /* a ring until P, oldest at n_noise % MAX once full */
    size_t n_noise;
    bool following;
    float *rows;
    uint32_t n_rows;
};

static size_t unroll_noise(const struct cutter *c, struct toc_motion_step *ret)
{
    size_t n = c->n_noise < TOC_PPARAM_NOISE_MAX ? c->n_noise : TOC_PPARAM_NOISE_MAX;

    for (size_t i = 0; i < n; i++)
        ret[i] = c->noise[(c->n_noise - n + i) % TOC_PPARAM_NOISE_MAX];
    return n;
}

static void take_step(struct cutter *c, const struct record_head *head, int64_t end_index,
                      const struct toc_motion_step *step)
{
    const toc_ns end = (end_index + 1) * TOC_GRID_NS;

    if (end <= head->onset_ns) {
        c->noise[c->n_noise++ % TOC_PPARAM_NOISE_MAX] = *step;
        return;
    }
    if (!c->following) {
        struct toc_motion_step noise[TOC_PPARAM_NOISE_MAX];
        size_t n = unroll_noise(c, noise);

        if (end - STEP_NS > head->onset_ns)
            return; /* the step with the onset is not there */
        toc_arrival_start(&c->arrival, head->onset_ns, noise, n);
        c->following = true;
    }
    if (c->n_rows >= head->rows)
        return;
    toc_arrival_step(&c->arrival, step);
    toc_estimator_inputs(&c->arrival, head->gain_known != 0, c->rows + (size_t)c->n_rows * TOC_ESTIMATOR_INPUTS);
    c->n_rows++;
}

static bool sample_clipped(const float *enz, double clip)
{
    return fabs((double)enz[TOC_E]) >= clip || fabs((double)enz[TOC_N]) >= clip || fabs((double)enz[TOC_Z]) >= clip;
}

/* Three resamplers in step: the same rate and start give the same grid indices. */
static void cut_record(struct cutter *c, const struct record_head *head, const float *samples)
{
    struct toc_resampler resampler[TOC_COMPONENTS];

    for (int k = 0; k < TOC_COMPONENTS; k++)
        if (toc_resampler_start(&resampler[k], head->rate_hz, head->start_ns) < 0)
            return;
    for (uint32_t i = 0; i < head->n && c->n_rows < head->rows; i++) {
        float out[TOC_COMPONENTS][8];
        int64_t index = 0;
        int m = 0;

        for (int k = 0; k < TOC_COMPONENTS; k++) {
            double x = (double)samples[i * TOC_COMPONENTS + (uint32_t)k];
            bool missing = !isfinite(x);

            m = toc_resampler_push(&resampler[k], missing ? 0 : x, out[k], &index);
            for (int j = 0; missing && j < m; j++)
                out[k][j] = NAN;
        }
        for (int j = 0; j < m; j++) {
            const float enz[TOC_COMPONENTS] = {out[TOC_E][j], out[TOC_N][j], out[TOC_Z][j]};
            struct toc_motion_step step;

            bool clipped = sample_clipped(samples + i * TOC_COMPONENTS, head->clip);

            if (toc_motion_push(c->motion, index + j, enz, clipped, &step))
                take_step(c, head, index + j, &step);
        }
    }
}

static int write_rows(const struct cutter *c)
{
    const size_t values = (size_t)c->n_rows * TOC_ESTIMATOR_INPUTS;

    return fwrite(&c->n_rows, sizeof c->n_rows, 1, stdout) == 1 &&
                   fwrite(c->rows, sizeof(float), values, stdout) == values
               ? 0
               : -EIO;
}

static int do_record(struct cutter *c, const struct record_head *head)
{
    const size_t values = (size_t)head->n * TOC_COMPONENTS;
    float *samples = malloc((values > 0 ? values : 1) * sizeof *samples);
    int rc = -EIO;

    c->rows = malloc((size_t)(head->rows + 1) * TOC_ESTIMATOR_INPUTS * sizeof *c->rows);
    c->n_rows = 0;
    c->n_noise = 0;
    c->following = false;
    if (samples && c->rows && fread(samples, sizeof *samples, values, stdin) == values) {
        toc_motion_reset(c->motion, head->acceleration != 0);
        cut_record(c, head, samples);
        rc = write_rows(c);
    }
    free(c->rows);
    free(samples);
    return rc;
}

static uint8_t *read_file(const char *path, size_t *ret_len)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(TOC_MODEL_BYTES_MAX);

    *ret_len = file && bytes ? fread(bytes, 1, TOC_MODEL_BYTES_MAX, file) : 0;
    if (file)
        fclose(file);
    return bytes;
}

static int run_rows(const struct toc_model *model)
{
    float row[TOC_ESTIMATOR_INPUTS], out[TOC_ESTIMATOR_OUTPUTS];
    struct toc_model_stream *stream = NULL;
    struct toc_model_scratch *scratch = NULL;
    int rc = toc_model_stream_create(model, &stream);

    if (rc == 0)
        rc = toc_model_scratch_create(model, 1, &scratch);
    while (rc == 0 && fread(row, sizeof row, 1, stdin) == 1) {
        toc_model_push(model, stream, scratch, row, 1, out);
        rc = fwrite(out, sizeof out, 1, stdout) == 1 ? 0 : -EIO;
    }
    toc_model_scratch_destroy(scratch);
    toc_model_stream_destroy(stream);
    return rc;
}

static int run_network(const char *path)
{
    char why[200] = "";
    size_t len;
    uint8_t *bytes = read_file(path, &len);
    struct toc_model *model = NULL;
    int rc = bytes ? toc_model_load(bytes, len, &model, why, sizeof why) : -ENOMEM;

    if (rc < 0)
        fprintf(stderr, "cut_estimator: %s: %s\n", path, why);
    else if (toc_model_inputs(model) != TOC_ESTIMATOR_INPUTS || toc_model_outputs(model) != TOC_ESTIMATOR_OUTPUTS)
        rc = -EINVAL;
    else
        rc = run_rows(model);
    toc_model_destroy(model);
    free(bytes);
    return rc;
}

static int cut_all(void)
{
    struct cutter c = {0};
    struct record_head head;
    int rc = toc_motion_create(&c.motion);

    while (rc == 0 && fread(&head, sizeof head, 1, stdin) == 1)
        rc = head.n <= SAMPLES_MAX && head.rows <= TOC_PPARAM_STEPS_MAX ? do_record(&c, &head) : -EINVAL;
    toc_motion_destroy(c.motion);
    return rc;
}

int main(int argc, char **argv)
{
    int rc = argc == 3 && strcmp(argv[1], "run") == 0 ? run_network(argv[2]) : argc == 1 ? cut_all() : -EINVAL;

    if (rc < 0)
        fprintf(stderr, "cut_estimator: %s\n", strerror(-rc));
    return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
