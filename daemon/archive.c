/*
 * Files to records, records to arrival order.
 */
#include "daemon/archive.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/decode.h"

#define TOTAL_BYTES_MAX ((size_t)4 << 30)

/* ---- files ---- */

static int wanted(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return len > 6 && strcmp(entry->d_name + len - 6, ".mseed") == 0 && entry->d_name[0] != '.';
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* not alphasort: that follows the locale */
}

static int add_file(struct toc_archive *r, const char *path, char *why, size_t size)
{
    struct toc_file *grown = realloc(r->files, (r->n_files + 1) * sizeof(*grown));
    size_t total = 0;
    int err;

    if (!grown)
        return -ENOMEM;
    r->files = grown;
    for (size_t i = 0; i < r->n_files; i++)
        total += r->files[i].len;
    err = toc_file_read(path, TOTAL_BYTES_MAX - total, &r->files[r->n_files]);
    if (err < 0)
        snprintf(why, size, "%s: %s", path, strerror(-err));
    else
        r->n_files++;
    return err;
}

static int add_folder(struct toc_archive *r, const char *folder, char *why, size_t size)
{
    struct dirent **names = NULL;
    int n = scandir(folder, &names, wanted, by_name), err = n < 0 ? -errno : 0;
    char path[1024];

    if (n <= 0) {
        snprintf(why, size, "%s: %s", folder, n < 0 ? strerror(errno) : "holds no *.mseed file");
        free(names);
        return n < 0 ? err : -ENOENT;
    }
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
        if (err == 0)
            err = add_file(r, path, why, size);
        free(names[i]);
    }
    free(names);
    return err;
}

/* ---- records ---- */

static struct toc_archived *add_record(struct toc_archive *r)
{
    if (r->n == r->capacity) {
        size_t capacity = r->capacity ? 2 * r->capacity : 1024;
        struct toc_archived *grown = realloc(r->records, capacity * sizeof(*grown));

        if (!grown)
            return NULL;
        r->records = grown;
        r->capacity = capacity;
    }
    return &r->records[r->n];
}

static toc_ns chunk_end(const struct toc_chunk *chunk)
{
    return chunk->start + toc_ns_from_s((double)chunk->n / chunk->rate_hz);
}

static int keep(struct toc_archive *r, struct toc_decoder *decoder, const uint8_t *bytes, size_t len, toc_ns *last_end)
{
    struct toc_archived *record = add_record(r);
    struct toc_chunk chunk;

    if (!record)
        return -ENOMEM;
    *record = (struct toc_archived){.bytes = bytes, .len = (uint32_t)len, .order = (uint32_t)r->n, .end = *last_end,
                                  .start = TOC_NS_NONE};
    if (toc_decode_record(decoder, bytes, len, &chunk) == TOC_DECODE_OK) {
        record->end = *last_end = chunk_end(&chunk);
        record->start = chunk.start;
        memcpy(record->sid, chunk.sid, sizeof(record->sid));
    } else {
        r->undecodable++;
    }
    r->n++;
    return 0;
}

#define HEADER 48 /* bytes that every record has */

/*
 * Where to go on after a record of this length: at its end, or at a record inside it. It may have been cut short by a
 * writer that died, or state a length that is not its own; no real one holds another.
 */
static size_t after_record(const struct toc_file *file, size_t at, size_t len)
{
    const uint8_t *bytes = (const uint8_t *)file->bytes;

    for (size_t inside = at + HEADER; inside < at + len; inside++)
        if (toc_decode_record_length(bytes + inside, file->len - inside) > 0)
            return inside;
    return at + len;
}

/* Records back to back; where none begins, on byte by byte. */
static int index_file(struct toc_archive *r, struct toc_decoder *decoder, const struct toc_file *file)
{
    const uint8_t *bytes = (const uint8_t *)file->bytes;
    toc_ns last_end = TOC_NS_NONE;
    size_t at = 0;
    int err = 0;

    while (at < file->len && err == 0) {
        long len = toc_decode_record_length(bytes + at, file->len - at);

        if (len > 0 && (size_t)len <= file->len - at) {
            err = keep(r, decoder, bytes + at, (size_t)len, &last_end);
            at = after_record(file, at, (size_t)len);
        } else {
            r->skipped_bytes++;
            at++;
        }
    }
    return err;
}

/* What never decoded before the first good record goes with the first: it must come at some time. */
static void fill_ends(struct toc_archive *r)
{
    toc_ns first = 0;

    for (size_t i = r->n; i-- > 0;)
        if (r->records[i].end != TOC_NS_NONE)
            first = r->records[i].end;
    for (size_t i = 0; i < r->n; i++)
        if (r->records[i].end == TOC_NS_NONE)
            r->records[i].end = first;
}

static int index_all(struct toc_archive *r)
{
    struct toc_decoder *decoder = NULL;
    int err = toc_decoder_create(&decoder);

    for (size_t i = 0; i < r->n_files && err == 0; i++)
        err = index_file(r, decoder, &r->files[i]);
    toc_decoder_destroy(decoder);
    fill_ends(r);
    return err;
}

int toc_archive_load(const char *path, struct toc_archive *ret_archive, char *ret_why, size_t why_size)
{
    struct toc_archive r = {0};
    struct stat st;
    int err;

    snprintf(ret_why, why_size, "%s: out of memory", path);
    if (stat(path, &st) < 0) {
        snprintf(ret_why, why_size, "%s: %s", path, strerror(errno));
        return -errno;
    }
    err = S_ISDIR(st.st_mode) ? add_folder(&r, path, ret_why, why_size) : add_file(&r, path, ret_why, why_size);
    if (err == 0)
        err = index_all(&r);
    if (err < 0) {
        toc_archive_finish(&r);
        return err;
    }
    *ret_archive = r;
    return 0;
}

void toc_archive_finish(struct toc_archive *records)
{
    for (size_t i = 0; i < records->n_files; i++)
        toc_file_finish(&records->files[i]);
    free(records->files);
    free(records->records);
    *records = (struct toc_archive){0};
}

/* ---- order ---- */

static int by_arrival(const void *a, const void *b)
{
    const struct toc_archived *x = a, *y = b;

    if (x->arrival != y->arrival)
        return x->arrival < y->arrival ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static int by_order(const void *a, const void *b)
{
    const struct toc_archived *x = a, *y = b;

    return x->order < y->order ? -1 : x->order > y->order;
}

static int by_channel(const void *a, const void *b)
{
    const struct toc_archived *x = a, *y = b;
    int c = strcmp(x->sid, y->sid);

    if (c)
        return c;
    return x->start < y->start ? -1 : x->start > y->start ? 1 : by_order(a, b);
}

static void sort_records(struct toc_archive *records, int (*compare)(const void *, const void *))
{
    if (records->n > 0)
        qsort(records->records, records->n, sizeof(records->records[0]), compare);
}

void toc_archive_schedule(struct toc_archive *records, toc_ns latency)
{
    for (size_t i = 0; i < records->n; i++)
        records->records[i].arrival = records->records[i].end + latency;
    sort_records(records, by_arrival);
}

/* ---- arrivals from a table ---- */

#define COLUMNS_MAX 32

struct table {
    int order, sid, start, arrival; /* columns, -1: not there */
};

/* Cut a line at commas, in place. */
static int split(char *line, char *fields[COLUMNS_MAX])
{
    int n = 0;

    for (char *next = line; next && n < COLUMNS_MAX;) {
        fields[n++] = strsep(&next, ",");
    }
    return n;
}

static int read_header(char *line, struct table *ret_table)
{
    char *fields[COLUMNS_MAX];
    int n = split(line, fields);

    *ret_table = (struct table){-1, -1, -1, -1};
    for (int i = 0; i < n; i++) {
        if (strcmp(fields[i], "record") == 0 || strcmp(fields[i], "order") == 0)
            ret_table->order = i;
        else if (strcmp(fields[i], "sid") == 0)
            ret_table->sid = i;
        else if (strcmp(fields[i], "start") == 0)
            ret_table->start = i;
        else if (strcmp(fields[i], "arrival") == 0)
            ret_table->arrival = i;
    }
    return ret_table->arrival >= 0 && (ret_table->order >= 0 || (ret_table->sid >= 0 && ret_table->start >= 0))
               ? 0 : -EINVAL;
}

static int read_time(const char *text, toc_ns *ret_time)
{
    char *end;
    double seconds;

    if (strchr(text, '-') && toc_time_parse(text, ret_time) == 0)
        return 0;
    seconds = strtod(text, &end);
    if (end == text || *end || !isfinite(seconds) || fabs(seconds) > 9e9)
        return -EINVAL;
    *ret_time = (toc_ns)floor(seconds) * TOC_NS_PER_S + toc_ns_from_s(seconds - floor(seconds));
    return 0;
}

/* Records are sorted by order, which counts them from 0. */
static struct toc_archived *find_order(struct toc_archive *r, const char *text)
{
    char *end;
    unsigned long order = strtoul(text, &end, 10);

    return *text && !*end && order < r->n ? &r->records[order] : NULL;
}

/* Within a millisecond, since tables carry rounded times. Records are sorted by channel and start. */
static struct toc_archived *find_channel(struct toc_archive *r, const char *sid, toc_ns start)
{
    size_t lo = 0, hi = r->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = strcmp(r->records[mid].sid, sid);

        if (c < 0 || (c == 0 && r->records[mid].start < start - TOC_NS_PER_MS))
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == r->n || strcmp(r->records[lo].sid, sid) != 0 || r->records[lo].start > start + TOC_NS_PER_MS)
        return NULL;
    return &r->records[lo];
}

/* @return NULL, or what is wrong with the line */
static const char *take_line(struct toc_archive *r, const struct table *t, char *line)
{
    char *fields[COLUMNS_MAX];
    int n = split(line, fields);
    struct toc_archived *record;
    toc_ns arrival, start;

    if (n <= t->arrival || n <= t->order || n <= t->sid || n <= t->start)
        return "too few columns";
    if (read_time(fields[t->arrival], &arrival) < 0)
        return "arrival is no time";
    if (t->order >= 0) {
        record = find_order(r, fields[t->order]);
    } else {
        if (read_time(fields[t->start], &start) < 0)
            return "start is no time";
        record = find_channel(r, fields[t->sid], start);
    }
    if (!record)
        return "no such record";
    record->arrival = arrival;
    return NULL;
}

static const char *take_lines(struct toc_archive *r, char *text, int *ret_line)
{
    struct table table;
    const char *wrong = NULL;
    bool header = false;

    *ret_line = 0;
    for (char *line; !wrong && (line = strsep(&text, "\n"));) {
        line[strcspn(line, "\r")] = 0;
        ++*ret_line;
        if (!line[0] || line[0] == '#')
            continue;
        if (header)
            wrong = take_line(r, &table, line);
        else if (read_header(line, &table) < 0)
            wrong = "the first line must name the columns arrival, and record or sid and start";
        else
            sort_records(r, table.order >= 0 ? by_order : by_channel);
        header = true;
    }
    return wrong;
}

int toc_archive_override(struct toc_archive *records, const char *text, char *ret_why, size_t why_size)
{
    char *copy = strdup(text);
    const char *wrong;
    int line = 0;

    if (!copy)
        return -ENOMEM;
    wrong = take_lines(records, copy, &line);
    free(copy);
    sort_records(records, by_arrival);
    if (wrong)
        snprintf(ret_why, why_size, "line %d: %s", line, wrong);
    return wrong ? -EINVAL : 0;
}
