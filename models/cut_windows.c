/*
 * The runtime's own front end as a pipe, so that a network is trained on
 * exactly what it will be shown: samples in, feature rows or motion steps
 * out, through core and nothing else.
 *
 *   cut_windows features < in > out
 *       in: blocks of uint32 n, n rows of 3 float32 (E, N, Z; NaN = missing), 100 Hz; out: n rows of 7 float32 each
 *   cut_windows motion < in > out
 *       in: blocks of uint32 n, uint32 acceleration (0, 1), n rows of 3 float32 (SI units), n uint8 clipped;
 *       out: uint32 n / 10, then so many struct toc_motion_step of 13 float32
 *   cut_windows rows DIR OUT
 *       the *.mseed of DIR with DIR/stations.txt, as the daemon's station groups see them: OUT/<sid>.f32 (rows of
 *       E, N, Z in counts, NaN where missing), .clip (uint8 a row), .json (what, where from, which gain)
 *
 * Little endian; every block of the pipe modes has a fresh state and is answered before the next is read. By hand:
 *
 *   gcc -O3 -march=native -std=gnu11 -D_GNU_SOURCE -I. models/cut_windows.c core/filter.c core/window.c \
 *       core/window_motion.c core/ring.c core/group.c core/station.c core/payload.c core/decode.c core/nstime.c -lm -o cut_windows
 */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/decode.h"
#include "core/group.h"
#include "core/settings.h"
#include "core/station.h"
#include "core/window.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the pipe format is the memory of a little-endian machine"
#endif

_Static_assert(sizeof(struct toc_motion_step) == 13 * sizeof(float), "motion steps are written as they lie in memory");

#define ROWS_MAX 10000000u
#define PIECE_ROWS 4096u
#define PIPE_BUFFER (1u << 20)

static int complain(const char *what, unsigned long block)
{
    fprintf(stderr, "cut_windows: block %lu: %s\n", block, what);
    return -EINVAL;
}

/* @return 1 a block follows, 0 clean end, -EINVAL */
static int read_count(unsigned long block, uint32_t *ret_n)
{
    uint32_t n;
    size_t got = fread(&n, 1, sizeof(n), stdin);

    if (got == 0 && feof(stdin))
        return 0;
    if (got != sizeof(n))
        return complain("cut short in its row count", block);
    if (n == 0 || n > ROWS_MAX)
        return complain("row count out of 1..10000000", block);
    *ret_n = n;
    return 1;
}

struct buffer {
    uint8_t *bytes;
    size_t size;
};

/* Grows with what really arrives, so that a lying row count costs nothing. */
static int buffer_read(struct buffer *buffer, size_t wanted)
{
    for (size_t have = 0; have < wanted;) {
        size_t piece;

        if (buffer->size == have) {
            size_t size = have ? 2 * have : PIPE_BUFFER;
            uint8_t *bytes = realloc(buffer->bytes, size);

            if (!bytes)
                return -ENOMEM;
            *buffer = (struct buffer){bytes, size};
        }
        piece = (wanted < buffer->size ? wanted : buffer->size) - have;
        if (fread(buffer->bytes + have, 1, piece, stdin) != piece)
            return -EIO;
        have += piece;
    }
    return 0;
}

static int features_block(struct toc_features *features, uint32_t n, unsigned long block)
{
    static float in[PIECE_ROWS][TOC_COMPONENTS], out[PIECE_ROWS][TOC_FEATURES];

    toc_features_reset(features);
    for (uint32_t done = 0; done < n;) {
        uint32_t piece = n - done < PIECE_ROWS ? n - done : PIECE_ROWS;

        if (fread(in, sizeof(in[0]), piece, stdin) != piece)
            return complain("cut short in its rows", block);
        for (uint32_t i = 0; i < piece; i++)
            toc_features_push(features, in[i], out[i]);
        if (fwrite(out, sizeof(out[0]), piece, stdout) != piece)
            return complain("cannot write", block);
        done += piece;
    }
    return fflush(stdout) == 0 ? 0 : complain("cannot write", block);
}

static int steps_out(struct toc_motion *motion, const float *rows, const uint8_t *clipped, uint32_t n)
{
    uint32_t steps = n / TOC_STEP_SAMPLES; /* the block begins on a step */
    struct toc_motion_step step;

    if (fwrite(&steps, sizeof(steps), 1, stdout) != 1)
        return -EIO;
    for (uint32_t i = 0; i < n; i++)
        if (toc_motion_push(motion, i, rows + (size_t)i * TOC_COMPONENTS, clipped[i] != 0, &step) &&
            fwrite(&step, sizeof(step), 1, stdout) != 1)
            return -EIO;
    return fflush(stdout) == 0 ? 0 : -EIO;
}

static int motion_block(struct toc_motion *motion, struct buffer *buffer, uint32_t n, unsigned long block)
{
    size_t row_bytes = (size_t)n * TOC_COMPONENTS * sizeof(float);
    uint32_t acceleration;

    if (fread(&acceleration, sizeof(acceleration), 1, stdin) != 1)
        return complain("cut short in its head", block);
    if (acceleration > 1)
        return complain("acceleration is neither 0 nor 1", block);
    if (buffer_read(buffer, row_bytes + n) < 0)
        return complain("cut short in its rows, or no memory for them", block);
    toc_motion_reset(motion, acceleration == 1);
    if (steps_out(motion, (const float *)buffer->bytes, buffer->bytes + row_bytes, n) < 0)
        return complain("cannot write", block);
    return 0;
}

static int motion_mode(void)
{
    struct buffer buffer = {0};
    struct toc_motion *motion;
    uint32_t n;
    int rc = toc_motion_create(&motion);

    if (rc < 0)
        return rc;
    for (unsigned long block = 0; (rc = read_count(block, &n)) > 0; block++) {
        rc = motion_block(motion, &buffer, n, block);
        if (rc < 0)
            break;
    }
    toc_motion_destroy(motion);
    free(buffer.bytes);
    return rc;
}

static int features_mode(void)
{
    struct toc_features *features;
    uint32_t n;
    int rc = toc_features_create(&features);

    if (rc < 0)
        return rc;
    for (unsigned long block = 0; (rc = read_count(block, &n)) > 0; block++) {
        rc = features_block(features, n, block);
        if (rc < 0)
            break;
    }
    toc_features_destroy(features);
    return rc;
}

/*
 * Rows. Records are played by the time of their last sample, each LATENCY later, as a live feed would bring them:
 * waiting for late records and for lagging components then works as it does in the daemon.
 */
#define FILE_BYTES_MAX (1L << 30)
#define LATENCY_NS (TOC_NS_PER_S / 2)
#define PART_AFTER_ROWS (3600 * TOC_MODEL_RATE_HZ) /* a longer gap begins a new file */
#define PATH_SIZE 1024

/* Which record, and when it comes. */
struct arrival {
    const uint8_t *record;
    size_t len;
    toc_ns end;
    size_t order; /* in the files: settles ties */
};

struct archive {
    uint8_t **files;
    size_t n_files;
    struct arrival *arrivals;
    size_t n, room;
};

/* One station group and the part of its rows that is being written. */
struct track {
    struct toc_group *group;
    FILE *samples, *clips;
    unsigned part;
    int64_t start, next;  /* grid indices */
    uint64_t clipped, restarts;
};

struct tracks {
    struct track *track;
    size_t n;
    const char *out;
    struct toc_stats stats;
};

static int fail(const char *what, const char *name)
{
    fprintf(stderr, "cut_windows: %s: %s\n", name, what);
    return -EINVAL;
}

/* Whole file into memory, NUL behind it. @return owned by the caller, or NULL (told) */
static uint8_t *read_file(const char *path, size_t *ret_len)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = NULL;
    long size = -1;

    if (file && fseek(file, 0, SEEK_END) == 0)
        size = ftell(file);
    if (size >= 0 && size <= FILE_BYTES_MAX && fseek(file, 0, SEEK_SET) == 0)
        bytes = malloc((size_t)size + 1);
    if (bytes && fread(bytes, 1, (size_t)size, file) != (size_t)size) {
        free(bytes);
        bytes = NULL;
    }
    if (file)
        fclose(file);
    if (!bytes) {
        fail("cannot be read, or is too large", path);
        return NULL;
    }
    bytes[size] = 0;
    *ret_len = (size_t)size;
    return bytes;
}

static int note_arrival(struct archive *archive, struct arrival arrival)
{
    if (archive->n == archive->room) {
        size_t room = archive->room ? 2 * archive->room : 4096;
        struct arrival *larger = realloc(archive->arrivals, room * sizeof(*larger));

        if (!larger)
            return -ENOMEM;
        archive->arrivals = larger;
        archive->room = room;
    }
    arrival.order = archive->n;
    archive->arrivals[archive->n++] = arrival;
    return 0;
}

/* Rubbish between records is stepped over in the smallest record length. */
static int index_records(struct archive *archive, struct toc_decoder *decoder, const uint8_t *bytes, size_t len)
{
    struct toc_chunk chunk;

    for (size_t at = 0; at + TOC_RECORD_MIN <= len;) {
        long record = toc_decode_record_length(bytes + at, len - at);

        if (record <= 0 || (size_t)record > len - at) {
            at += TOC_RECORD_MIN;
            continue;
        }
        if (toc_decode_record(decoder, bytes + at, (size_t)record, &chunk) == TOC_DECODE_OK) {
            toc_ns end = chunk.start + toc_ns_from_s(chunk.n / chunk.rate_hz);

            if (note_arrival(archive, (struct arrival){bytes + at, (size_t)record, end, 0}) < 0)
                return -ENOMEM;
        }
        at += (size_t)record;
    }
    return 0;
}

static int only_mseed(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return len > 6 && strcmp(entry->d_name + len - 6, ".mseed") == 0;
}

static int compare_arrivals(const void *a, const void *b)
{
    const struct arrival *x = a, *y = b;

    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static int load_file(struct archive *archive, struct toc_decoder *decoder, const char *dir, const char *name)
{
    char path[PATH_SIZE];
    size_t len;
    uint8_t *bytes;

    if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= PATH_SIZE)
        return fail("path too long", dir);
    bytes = read_file(path, &len);
    if (!bytes)
        return -EIO;
    archive->files[archive->n_files++] = bytes;
    return index_records(archive, decoder, bytes, len);
}

static int load_archive(struct archive *archive, struct toc_decoder *decoder, const char *dir)
{
    struct dirent **names;
    int n = scandir(dir, &names, only_mseed, alphasort);
    int rc = 0;

    if (n <= 0)
        return fail("no *.mseed", dir);
    archive->files = calloc((size_t)n, sizeof(*archive->files));
    if (!archive->files)
        rc = -ENOMEM;
    for (int i = 0; i < n; i++) {
        if (rc == 0)
            rc = load_file(archive, decoder, dir, names[i]->d_name);
        free(names[i]);
    }
    free(names);
    if (rc == 0 && archive->n > 0)
        qsort(archive->arrivals, archive->n, sizeof(*archive->arrivals), compare_arrivals);
    return rc;
}

static void archive_finish(struct archive *archive)
{
    for (size_t i = 0; i < archive->n_files; i++)
        free(archive->files[i]);
    free(archive->files);
    free(archive->arrivals);
}

static int part_path(const struct tracks *tracks, const struct track *track, const char *ending, char path[PATH_SIZE])
{
    char name[TOC_SID_SIZE], part[16] = "";
    int len;

    snprintf(name, sizeof(name), "%s", toc_group_sid(track->group));
    for (char *c = name; *c; c++)
        *c = *c == ':' ? '_' : *c;
    if (track->part > 0)
        snprintf(part, sizeof(part), ".%u", track->part);
    len = snprintf(path, PATH_SIZE, "%s/%s%s%s", tracks->out, name, part, ending);
    return len < PATH_SIZE ? 0 : fail("path too long", tracks->out);
}

static FILE *part_open(const struct tracks *tracks, const struct track *track, const char *ending)
{
    char path[PATH_SIZE];
    FILE *file = part_path(tracks, track, ending, path) == 0 ? fopen(path, "wb") : NULL;

    if (!file)
        fail("cannot be written", path);
    return file;
}

static const char *unit_name(enum toc_unit unit)
{
    static const char *const names[] = {[TOC_UNIT_UNKNOWN] = "unknown", [TOC_UNIT_DISPLACEMENT] = "m",
                                        [TOC_UNIT_VELOCITY] = "m/s", [TOC_UNIT_ACCELERATION] = "m/s^2"};

    return names[unit];
}

/* JSON has no NaN: what is not known is null. */
static void print_number(FILE *card, const char *name, double value)
{
    if (isfinite(value))
        fprintf(card, "\"%s\": %.10g, ", name, value);
    else
        fprintf(card, "\"%s\": null, ", name);
}

static int write_card(const struct tracks *tracks, const struct track *track)
{
    const struct toc_channel *place = toc_group_place(track->group);
    FILE *card = part_open(tracks, track, ".json");

    if (!card)
        return -EIO;
    fprintf(card, "{\"sid\": \"%s\", \"start_index\": %lld, \"rows\": %lld, \"rate_hz\": %d, \"unit\": \"%s\", ",
            toc_group_sid(track->group), (long long)track->start, (long long)(track->next - track->start),
            TOC_MODEL_RATE_HZ, unit_name(toc_group_unit(track->group)));
    print_number(card, "scale", toc_group_scale(track->group));
    print_number(card, "latitude_deg", place->latitude_deg);
    print_number(card, "longitude_deg", place->longitude_deg);
    fprintf(card, "\"clipped_rows\": %llu, \"restarts\": %llu}\n", (unsigned long long)track->clipped,
            (unsigned long long)track->restarts);
    return fclose(card) == 0 ? 0 : -EIO;
}

static int part_close(const struct tracks *tracks, struct track *track)
{
    int rc;

    if (!track->samples)
        return 0;
    rc = write_card(tracks, track);
    if (fclose(track->samples) != 0 || fclose(track->clips) != 0)
        rc = fail("cannot be written", toc_group_sid(track->group));
    track->samples = track->clips = NULL;
    track->part++;
    return rc;
}

static int part_begin(const struct tracks *tracks, struct track *track, int64_t index)
{
    track->samples = part_open(tracks, track, ".f32");
    track->clips = track->samples ? part_open(tracks, track, ".clip") : NULL;
    if (!track->clips) {
        if (track->samples)
            fclose(track->samples);
        track->samples = NULL;
        return -EIO;
    }
    track->start = track->next = index;
    track->clipped = track->restarts = 0;
    return 0;
}

static int write_row(const struct tracks *tracks, struct track *track, const struct toc_rows *rows, uint32_t i)
{
    static const float missing[TOC_COMPONENTS] = {NAN, NAN, NAN};
    const float row[TOC_COMPONENTS] = {rows->enz[TOC_E][i], rows->enz[TOC_N][i], rows->enz[TOC_Z][i]};
    const int64_t index = rows->first + i;
    int rc = 0;

    if (track->samples && index - track->next > PART_AFTER_ROWS)
        rc = part_close(tracks, track);
    if (rc == 0 && !track->samples)
        rc = part_begin(tracks, track, index);
    if (rc < 0)
        return rc;
    for (; track->next < index; track->next++) {
        fwrite(missing, sizeof(missing), 1, track->samples);
        fputc(0, track->clips);
    }
    fwrite(row, sizeof(row), 1, track->samples);
    fputc(rows->clipped[i], track->clips);
    track->next++;
    track->clipped += rows->clipped[i];
    track->restarts += i == 0 && rows->restart;
    return ferror(track->samples) || ferror(track->clips) ? fail("cannot be written", tracks->out) : 0;
}

/* @return number of rows written, or a negative error */
static long drain(struct tracks *tracks, struct track *track, toc_ns now)
{
    struct toc_rows rows;
    long total = 0;

    do {
        rows.n = 0;
        (void)toc_group_pull(track->group, now, &rows, &tracks->stats);
        for (uint32_t i = 0; i < rows.n; i++) {
            int rc = write_row(tracks, track, &rows, i);

            if (rc < 0)
                return rc;
        }
        total += rows.n;
    } while (rows.n > 0);
    return total;
}

/* Every group of the inventory; its channels are sorted, so those of a group stand together. */
static int open_tracks(struct tracks *tracks, const struct toc_inventory *inventory)
{
    struct toc_stream_settings settings = ((struct toc_settings)TOC_SETTINGS_DEFAULT).stream;
    char sid[TOC_SID_SIZE], last[TOC_SID_SIZE] = "";

    tracks->track = calloc(inventory->n + 1, sizeof(*tracks->track));
    if (!tracks->track)
        return -ENOMEM;
    for (size_t i = 0; i < inventory->n; i++) {
        int rc;

        toc_sid_group(inventory->channels[i].sid, sid);
        if (strcmp(sid, last) == 0)
            continue;
        memcpy(last, sid, sizeof(last));
        rc = toc_group_create(sid, inventory, &settings, &tracks->track[tracks->n].group);
        if (rc == -ENOMEM)
            return rc;
        tracks->n += rc == 0; /* else a channel that is no component of a seismometer */
    }
    return 0;
}

static struct track *track_of(struct tracks *tracks, const char *channel_sid)
{
    char sid[TOC_SID_SIZE];

    toc_sid_group(channel_sid, sid);
    for (size_t i = 0; i < tracks->n; i++)
        if (strcmp(toc_group_sid(tracks->track[i].group), sid) == 0)
            return &tracks->track[i];
    return NULL;
}

/* The clock goes on after the last record until no wait is left to end. */
static int finish_track(struct tracks *tracks, struct track *track, toc_ns now)
{
    for (int idle = 0; idle < 60; idle++) {
        long n = drain(tracks, track, now += TOC_NS_PER_S);

        if (n < 0)
            return (int)n;
        if (n > 0)
            idle = 0;
    }
    return part_close(tracks, track);
}

static int play(struct tracks *tracks, const struct archive *archive, struct toc_decoder *decoder)
{
    struct toc_chunk chunk;
    toc_ns now = 0;

    for (size_t i = 0; i < archive->n; i++) {
        const struct arrival *arrival = &archive->arrivals[i];
        struct track *track;

        now = arrival->end + LATENCY_NS;
        if (toc_decode_record(decoder, arrival->record, arrival->len, &chunk) != TOC_DECODE_OK)
            continue;
        track = track_of(tracks, chunk.sid);
        if (!track || !toc_group_push(track->group, &chunk, now, &tracks->stats)) {
            tracks->stats.records_unknown++;
            continue;
        }
        if (drain(tracks, track, now) < 0)
            return -EIO;
    }
    for (size_t i = 0; i < tracks->n; i++)
        if (finish_track(tracks, &tracks->track[i], now) < 0)
            return -EIO;
    return 0;
}

static void tracks_finish(struct tracks *tracks)
{
    for (size_t i = 0; i < tracks->n; i++) {
        (void)part_close(tracks, &tracks->track[i]);
        toc_group_destroy(tracks->track[i].group);
    }
    free(tracks->track);
}

static int read_inventory(const char *dir, struct toc_inventory *ret_inventory)
{
    struct toc_parse_error error = {0};
    char path[PATH_SIZE];
    uint8_t *text;
    size_t len;
    int rc;

    if (snprintf(path, sizeof(path), "%s/stations.txt", dir) >= PATH_SIZE)
        return fail("path too long", dir);
    text = read_file(path, &len);
    if (!text)
        return -EIO;
    rc = toc_inventory_parse_text((const char *)text, len, ret_inventory, &error);
    free(text);
    if (rc < 0)
        fprintf(stderr, "cut_windows: %s:%d:%d: %s\n", path, error.line, error.column, error.text);
    return rc;
}

static int rows_mode(const char *dir, const char *out)
{
    struct toc_inventory inventory = {0};
    struct archive archive = {0};
    struct tracks tracks = {.out = out};
    struct toc_decoder *decoder = NULL;
    int rc = toc_decoder_create(&decoder);

    if (rc == 0)
        rc = read_inventory(dir, &inventory);
    if (rc == 0)
        rc = open_tracks(&tracks, &inventory);
    if (rc == 0)
        rc = load_archive(&archive, decoder, dir);
    if (rc == 0)
        rc = play(&tracks, &archive, decoder);
    if (rc == 0)
        fprintf(stderr, "%zu records, %llu not in the inventory, %llu samples, %llu late, %llu gaps\n", archive.n,
                (unsigned long long)tracks.stats.records_unknown, (unsigned long long)tracks.stats.samples,
                (unsigned long long)tracks.stats.samples_late, (unsigned long long)tracks.stats.gaps);
    tracks_finish(&tracks);
    archive_finish(&archive);
    toc_inventory_finish(&inventory);
    toc_decoder_destroy(decoder);
    return rc;
}

int main(int argc, char **argv)
{
    setvbuf(stdin, NULL, _IOFBF, PIPE_BUFFER);
    setvbuf(stdout, NULL, _IOFBF, PIPE_BUFFER);
    if (argc == 2 && strcmp(argv[1], "features") == 0)
        return features_mode() < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    if (argc == 2 && strcmp(argv[1], "motion") == 0)
        return motion_mode() < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    if (argc == 4 && strcmp(argv[1], "rows") == 0)
        return rows_mode(argv[2], argv[3]) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    fprintf(stderr, "usage: cut_windows features|motion < in > out\n       cut_windows rows DIR OUT\n");
    return 2;
}
