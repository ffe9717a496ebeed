/*
 * Streaming filters with state, in double precision: biquads from the
 * Butterworth prototype by bilinear transform, an integrator, and the
 * resampler to the model's rate. Chunking never changes a result.
 */
#ifndef TOC_CORE_FILTER_H
#define TOC_CORE_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/nstime.h"

#define TOC_BIQUADS_MAX 4

/** Direct form II transposed. */
struct toc_biquad {
    double b0, b1, b2, a1, a2;
    double z1, z2;
};

/** A cascade; a plain value, copy it to fork a stream. */
struct toc_filter {
    int n;
    struct toc_biquad stage[TOC_BIQUADS_MAX];
};

/** Butterworth of even order 2..8, corner in Hz, 0 < corner < rate/2. @return 0 or -EINVAL */
int toc_filter_highpass(struct toc_filter *filter, int order, double corner_hz, double rate_hz);
int toc_filter_lowpass(struct toc_filter *filter, int order, double corner_hz, double rate_hz);
/** order is that of each edge: high-pass then low-pass, order/2 biquads each; 2*order/2 <= TOC_BIQUADS_MAX. */
int toc_filter_bandpass(struct toc_filter *filter, int order, double low_hz, double high_hz, double rate_hz);
double toc_filter_step(struct toc_filter *filter, double x);
/** Zero state; or settle on a constant input so that an offset makes no transient. */
void toc_filter_reset(struct toc_filter *filter);
void toc_filter_settle(struct toc_filter *filter, double x);

/**
 * Any rate 20..1000 Hz to a 100 Hz grid of absolute time (multiples of 10 ms since 1970). Down: causal 4th-order
 * Butterworth at 40 Hz, whose delay is corrected by shifting time stamps; then, as for up and equal rates with
 * another phase, cubic (4-point Lagrange) interpolation at the grid time. Equal rate on the grid within 0.1 ms passes
 * through untouched. Output k stands for the ground at its grid time: no delay is left but what it needs to see.
 */
#define TOC_MODEL_RATE_HZ 100
#define TOC_GRID_NS INT64_C(10000000)

struct toc_resampler {
    double rate_hz;
    bool pass;            /* equal rate, on the grid */
    double delay_s;       /* group delay of the low-pass at 5 Hz, taken off the time stamps */
    struct toc_filter low;
    bool have_low;
    double history[4];    /* last four filtered inputs, newest last */
    int filled;
    toc_ns start;         /* corrected time of input sample 0 */
    int64_t count;        /* input samples seen since start */
    int64_t next;         /* next grid index to put out */
};

/** Start a segment whose first sample is at `start`. @return 0 or -EINVAL (rate) */
int toc_resampler_start(struct toc_resampler *resampler, double rate_hz, toc_ns start);

/** One input sample. Writes 0..(1+100/rate) outputs. @param ret_out room for at least 8 floats. @param ret_index grid
 * index (time = index * TOC_GRID_NS) of ret_out[0]. @return number written */
int toc_resampler_push(struct toc_resampler *resampler, double x, float *ret_out, int64_t *ret_index);

/** Many input samples, when each makes exactly one output: at the model's rate, from the fourth sample on. The same values
 * as one by one. @return outputs written: n, or 0 (nothing was taken: push them one by one) */
uint32_t toc_resampler_push_run(struct toc_resampler *resampler, const float *samples, double factor, uint32_t n,
                                float *ret_out, int64_t *ret_index);

#endif
