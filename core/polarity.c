/*
 * One pass for the noise, one for the swing, one for what is around it.
 */
#include "core/polarity.h"

#include <math.h>
#include <stdbool.h>

#define ONSET TOC_POLARITY_BEFORE
#define NOISE_FROM (ONSET - 110)
#define NOISE_TO (ONSET - 10)
#define SEARCH_FROM (ONSET - 5)
#define SEARCH_TO (ONSET + 20)
#define FOLLOWING 30
#define PRECEDING 15

#define LOUD 4.0
#define SWING_LEAST 6.0
#define SIGNAL_LEAST 15.0
#define QUIET_MOST 3.0
#define SHARE_LEAST 0.2
#define LOUD_LEAST 2

/* In units of the noise's scatter, about its mean. @return false: not finite, or no noise to compare with */
static bool normalise(const float *trace, double *ret)
{
    double sum = 0, square = 0;

    for (int i = NOISE_FROM; i < NOISE_TO; i++)
        sum += (double)trace[i];
    const double mean = sum / (NOISE_TO - NOISE_FROM);

    for (int i = NOISE_FROM; i < NOISE_TO; i++)
        square += ((double)trace[i] - mean) * ((double)trace[i] - mean);
    const double sigma = sqrt(square / (NOISE_TO - NOISE_FROM));

    if (!(sigma > 0))
        return false;
    for (int i = 0; i < TOC_POLARITY_ROWS; i++) {
        ret[i] = ((double)trace[i] - mean) / sigma;
        if (!isfinite(ret[i]))
            return false;
    }
    return true;
}

static double largest(const double *x, int from, int to)
{
    double most = 0;

    for (int i = from; i < to; i++)
        most = fmax(most, fabs(x[i]));
    return most;
}

int8_t toc_polarity(const float trace[TOC_POLARITY_ROWS])
{
    double x[TOC_POLARITY_ROWS];
    int loud = SEARCH_FROM;

    if (!normalise(trace, x))
        return 0;
    while (loud < SEARCH_TO && !(fabs(x[loud]) > LOUD))
        loud++;
    if (loud == SEARCH_TO)
        return 0;
    const bool up = x[loud] > 0;
    int from = loud, to = loud, n_loud = 0;

    while (from > PRECEDING && x[from - 1] != 0 && (x[from - 1] > 0) == up)
        from--;
    while (to < TOC_POLARITY_ROWS && x[to] != 0 && (x[to] > 0) == up)
        n_loud += fabs(x[to++]) > LOUD;
    const int end = loud + FOLLOWING < TOC_POLARITY_ROWS ? loud + FOLLOWING : TOC_POLARITY_ROWS;
    const double swing = largest(x, loud, to), signal = largest(x, loud, end);

    if (n_loud < LOUD_LEAST || swing < SWING_LEAST || signal < SIGNAL_LEAST || swing < SHARE_LEAST * signal ||
        largest(x, from - PRECEDING, from) > QUIET_MOST)
        return 0;
    return up ? 1 : -1;
}
