/*
 * The measures of core/domain.h for made or real arrivals, as a pipe: what
 * the classes are fitted on is computed by the code that runs.
 *
 *   cut_domain < in > out
 *       in:  blocks of uint32 n, onset, ends; uint32 after[ends] (rows since the onset, rising, onset + after <= n);
 *            n rows of 3 float32 (E, N, Z; NaN = missing) at 100 Hz, row 0 being the first that is pushed
 *       out: for each end 26 float32 measures and the verdict (kind, probability, foreign) as 3 float32; measures
 *            are NaN when there is nothing to measure
 *
 * Little endian; a block is answered before the next one is read.
 */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/domain.h"

#define ROWS_MAX 100000u
#define ENDS_MAX 400u

struct head {
    uint32_t n, onset, ends;
};

static int answer(const struct toc_domain *domain)
{
    float out[TOC_DOMAIN_MEASURES + 3];
    struct toc_verdict verdict = toc_domain_judge(domain);

    if (!toc_domain_measure(domain, out))
        for (int i = 0; i < TOC_DOMAIN_MEASURES; i++)
            out[i] = NAN;
    out[TOC_DOMAIN_MEASURES] = (float)verdict.kind;
    out[TOC_DOMAIN_MEASURES + 1] = verdict.probability;
    out[TOC_DOMAIN_MEASURES + 2] = verdict.foreign;
    return fwrite(out, sizeof out, 1, stdout) == 1 ? 0 : -EIO;
}

static int cut(const struct head *head, const uint32_t *after, const float *rows)
{
    struct toc_domain domain;
    int rc = 0;

    toc_domain_start(&domain, head->onset, 0);
    for (uint32_t i = 0, end = 0; i < head->n && end < head->ends && rc == 0; i++) {
        toc_domain_push(&domain, rows + (size_t)i * TOC_COMPONENTS);
        for (; end < head->ends && i + 1 == head->onset + after[end] && rc == 0; end++)
            rc = answer(&domain);
    }
    return rc == 0 && fflush(stdout) == 0 ? 0 : -EIO;
}

static int valid(const struct head *head, const uint32_t *after)
{
    for (uint32_t i = 0; i < head->ends; i++)
        if (after[i] == 0 || after[i] > head->n || head->onset > head->n - after[i] || (i > 0 && after[i] <= after[i - 1]))
            return 0;
    return 1;
}

static int block(const struct head *head)
{
    size_t values = (size_t)head->n * TOC_COMPONENTS;
    uint32_t after[ENDS_MAX];
    float *rows = malloc(values * sizeof *rows);
    int rc = rows ? 0 : -ENOMEM;

    if (rc == 0 && (fread(after, sizeof *after, head->ends, stdin) != head->ends ||
                    fread(rows, sizeof *rows, values, stdin) != values))
        rc = -EIO;
    if (rc == 0)
        rc = valid(head, after) ? cut(head, after, rows) : -EINVAL;
    free(rows);
    return rc;
}

int main(void)
{
    struct head head;
    int rc = 0;

    while (rc == 0 && fread(&head, sizeof head, 1, stdin) == 1)
        rc = head.n > 0 && head.n <= ROWS_MAX && head.ends > 0 && head.ends <= ENDS_MAX ? block(&head) : -EINVAL;
    if (rc < 0)
        fprintf(stderr, "cut_domain: %s\n", strerror(-rc));
    return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
