/*
 * miniSEED on stdin, the 100 Hz rows of every station group on stdout: the
 * runtime's decoder, rings, resamplers and alignment, so that training sees
 * the rows the daemon would. Features are made from them later (after
 * augmentation) by models/cut_windows.c. Records in the order of their end
 * times, as a feed would bring them.
 *
 *   rows stations.txt < records > runs
 *
 * Out, little endian: per run of rows without a restart char sid[48],
 * int64 grid index of its first row, uint32 n, then n rows of 3 float32
 * (E, N, Z; NaN missing). Runs of one group follow one another in time.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/decode.h"
#include "core/group.h"
#include "core/settings.h"

#define GROUPS_MAX 256
#define SID_BYTES 48
#define PULL_ROWS 512
#define TEXT_MAX (4u << 20)

struct run {
    struct toc_group *group;
    char sid[TOC_SID_SIZE];
    int64_t first;
    float *rows; /* owned */
    size_t n, room;
};

static struct run runs[GROUPS_MAX];
static size_t n_runs;
static struct toc_stats stats;

static void write_run(struct run *run)
{
    char sid[SID_BYTES] = "";
    uint32_t n = (uint32_t)run->n;

    if (run->n == 0)
        return;
    snprintf(sid, sizeof(sid), "%s", run->sid);
    if (fwrite(sid, sizeof(sid), 1, stdout) != 1 || fwrite(&run->first, sizeof(run->first), 1, stdout) != 1 ||
        fwrite(&n, sizeof(n), 1, stdout) != 1 || fwrite(run->rows, 3 * sizeof(float), run->n, stdout) != run->n)
        exit(EXIT_FAILURE);
    run->n = 0;
}

static void keep_row(struct run *run, const struct toc_row *row)
{
    if (row->restart || (run->n > 0 && row->index != run->first + (int64_t)run->n))
        write_run(run);
    if (run->n == 0)
        run->first = row->index;
    if (run->n == run->room) {
        run->room = run->room > 0 ? 2 * run->room : 65536;
        run->rows = realloc(run->rows, run->room * 3 * sizeof(float));
        if (run->rows == NULL)
            exit(EXIT_FAILURE);
    }
    memcpy(run->rows + 3 * run->n++, row->enz, 3 * sizeof(float));
}

static void pull_all(toc_ns now)
{
    struct toc_row rows[PULL_ROWS];
    uint32_t n;

    for (size_t g = 0; g < n_runs; g++)
        while ((n = toc_group_pull(runs[g].group, now, 0, rows, PULL_ROWS, &stats)) > 0)
            for (uint32_t i = 0; i < n; i++)
                keep_row(&runs[g], &rows[i]);
}

/* The group of a channel, made when first met; NULL: not in the inventory. */
static struct run *run_of(const char *channel, const struct toc_inventory *inventory)
{
    struct toc_settings settings = TOC_SETTINGS_DEFAULT;
    struct run *run = &runs[n_runs];
    char sid[TOC_SID_SIZE];

    toc_sid_group(channel, sid);
    for (size_t g = 0; g < n_runs; g++)
        if (strcmp(runs[g].sid, sid) == 0)
            return &runs[g];
    if (n_runs == GROUPS_MAX || toc_group_create(sid, inventory, &settings.stream, &run->group) < 0)
        return NULL;
    snprintf(run->sid, sizeof(run->sid), "%s", sid);
    n_runs++;
    return run;
}

static toc_ns feed(const struct toc_inventory *inventory)
{
    static uint8_t record[TOC_RECORD_MAX];
    struct toc_decoder *decoder;
    struct toc_chunk chunk;
    toc_ns now = 0;
    size_t filled = 0;

    if (toc_decoder_create(&decoder) < 0)
        exit(EXIT_FAILURE);
    while ((filled += fread(record + filled, 1, sizeof(record) - filled, stdin)) >= TOC_RECORD_MIN) {
        long len = toc_decode_record_length(record, filled);
        struct run *run;

        if (len <= 0 || (size_t)len > filled)
            break;
        if (toc_decode_record(decoder, record, (size_t)len, &chunk) == TOC_DECODE_OK &&
            (run = run_of(chunk.sid, inventory)) != NULL) {
            toc_ns end = chunk.start + (toc_ns)((double)chunk.n / chunk.rate_hz * 1e9);

            now = end > now ? end : now;
            (void)toc_group_push(run->group, &chunk, now, &stats);
            pull_all(now);
        }
        memmove(record, record + len, filled - (size_t)len);
        filled -= (size_t)len;
    }
    toc_decoder_destroy(decoder);
    return now;
}

int main(int argc, char **argv)
{
    static char text[TEXT_MAX];
    struct toc_inventory inventory;
    struct toc_parse_error error;
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    size_t len = file != NULL ? fread(text, 1, sizeof(text), file) : 0;

    if (file == NULL) {
        fprintf(stderr, "usage: rows stations.txt < records > runs\n");
        return 2;
    }
    fclose(file);
    if (toc_inventory_parse_text(text, len, &inventory, &error) < 0) {
        fprintf(stderr, "rows: %s:%d: %s\n", argv[1], error.line, error.text);
        return EXIT_FAILURE;
    }
    toc_ns end = feed(&inventory);
    for (int later = 1; later <= 60; later++)
        pull_all(end + later * TOC_NS_PER_S);
    for (size_t g = 0; g < n_runs; g++) {
        write_run(&runs[g]);
        toc_group_destroy(runs[g].group);
        free(runs[g].rows);
    }
    toc_inventory_finish(&inventory);
    return EXIT_SUCCESS;
}
