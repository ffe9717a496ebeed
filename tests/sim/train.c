/* See train.h. */
#include "tests/sim/train.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/options.h"
#include "tests/sim/records.h"

const char toc_train_usage[] =
    "       tocsin-sim train [options] --count K --out FILE      records.h has the format\n"
    "         --kind quake|two-quakes|teleseism|blast|nuisance (quake)\n"
    "         --seed N --first I  records are numbered from I (1, 0)\n"
    "         --places F          lines MAGNITUDE,KM[,REGION]: one record each, instead of --count\n"
    "         --rate HZ           or 0: as suits the instrument (100)\n"
    "         --before S --after S   around the P onset (10, 25)\n"
    "         --noise none        a silent ground and sensor\n"
    "         --instrument broadband|short-period|strong|mems   (all)\n"
    "         --region california|japan|stable|mexico           (all)\n"
    "         --magnitudes A,B --distances A,B   (1,8 and 5,200 km)\n";

static const char *const kinds[] = {"quake", "two-quakes", "teleseism", "blast", "nuisance"};
static const char *const instruments[] = {"broadband", "short-period", "strong", "mems"};

static int find(const char *const *names, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

/* "A,B" */
static bool read_pair(const char *text, double *ret_low, double *ret_high)
{
    char *end;
    *ret_low = strtod(text, &end);
    if (end == text || *end != ',')
        return false;
    text = end + 1;
    *ret_high = strtod(text, &end);
    return end != text && *end == '\0';
}

static bool read_place(char *line, struct toc_record_place *ret_place)
{
    char *save = NULL, *magnitude = strtok_r(line, ",\n", &save), *km = strtok_r(NULL, ",\n", &save);
    const char *region = strtok_r(NULL, ",\n", &save);
    if (!magnitude || !km)
        return false;
    ret_place->magnitude = strtod(magnitude, NULL);
    ret_place->hypocentral_km = strtod(km, NULL);
    ret_place->region = region ? toc_region_find(region) : TOC_RECORD_NONE;
    return ret_place->magnitude >= 0.0 && ret_place->magnitude <= 9.0 && ret_place->hypocentral_km >= 1.0 &&
           ret_place->hypocentral_km <= 1000.0 && (!region || ret_place->region >= 0);
}

/* @return 0, -errno, -EBADMSG */
static int read_places(const char *path, struct toc_record_place **ret_places, size_t *ret_n)
{
    char line[256];
    struct toc_record_place *places = NULL;
    size_t n = 0, room = 0;
    int result = 0;
    FILE *file = fopen(path, "r");
    if (!file)
        return -errno;
    while (result == 0 && fgets(line, sizeof line, file)) {
        if (n == room) {
            room = 2 * room + 64;
            struct toc_record_place *more = realloc(places, room * sizeof *more);
            if (!more) {
                result = -ENOMEM;
                break;
            }
            places = more;
        }
        if (!read_place(line, &places[n++]))
            result = -EBADMSG;
    }
    fclose(file);
    if (result < 0) {
        free(places);
        return result;
    }
    *ret_places = places;
    *ret_n = n;
    return 0;
}

static int write_records(const struct toc_records_options *options, uint64_t first, uint64_t count,
                         const struct toc_record_place *places, const char *out)
{
    struct toc_records *records = NULL;
    int result = toc_records_create(options, &records);
    if (result < 0)
        return result;
    FILE *file = fopen(out, "wb");
    result = file ? toc_records_write(records, first, count, places, file) : -errno;
    if (file && fclose(file) != 0 && result == 0)
        result = -errno;
    toc_records_destroy(records);
    return result;
}

/* The words among the options. @return whether all are known */
static bool read_words(const char *kind, const char *noise, const char *instrument, const char *region,
                       struct toc_records_options *options)
{
    const int found = find(kinds, TOC_RECORD_KINDS, kind);
    options->kind = (enum toc_record_kind)found;
    options->noise = !noise;
    options->instrument = instrument ? find(instruments, TOC_INSTRUMENT_KINDS, instrument) : TOC_RECORD_NONE;
    options->region = region ? toc_region_find(region) : TOC_RECORD_NONE;
    return found >= 0 && (!noise || strcmp(noise, "none") == 0) && (!instrument || options->instrument >= 0) &&
           (!region || options->region >= 0);
}

int toc_train(int argc, char **argv)
{
    struct toc_records_options records;
    toc_records_defaults(&records);
    unsigned long long seed = 1, count = 0, first = 0;
    const char *out = NULL, *kind = "quake", *noise = NULL, *instrument = NULL, *region = NULL, *magnitudes = NULL,
               *distances = NULL, *places_path = NULL;
    const struct toc_option options[] = {
        {"--seed", TOC_OPTION_COUNT, &seed},
        {"--count", TOC_OPTION_COUNT, &count},
        {"--first", TOC_OPTION_COUNT, &first},
        {"--out", TOC_OPTION_TEXT, &out},
        {"--kind", TOC_OPTION_TEXT, &kind},
        {"--places", TOC_OPTION_TEXT, &places_path},
        {"--rate", TOC_OPTION_NUMBER, &records.rate_hz},
        {"--before", TOC_OPTION_NUMBER, &records.before_s},
        {"--after", TOC_OPTION_NUMBER, &records.after_s},
        {"--noise", TOC_OPTION_TEXT, &noise},
        {"--instrument", TOC_OPTION_TEXT, &instrument},
        {"--region", TOC_OPTION_TEXT, &region},
        {"--magnitudes", TOC_OPTION_TEXT, &magnitudes},
        {"--distances", TOC_OPTION_TEXT, &distances},
        {NULL, TOC_OPTION_FLAG, NULL},
    };
    if (toc_options_read(argc, argv, options, NULL) < 0 || !out || (count == 0) == !places_path ||
        !read_words(kind, noise, instrument, region, &records) ||
        (magnitudes && !read_pair(magnitudes, &records.least_magnitude, &records.most_magnitude)) ||
        (distances && !read_pair(distances, &records.least_km, &records.most_km)))
        return 2;
    records.seed = seed;
    struct toc_record_place *places = NULL;
    size_t n = count;
    int result = places_path ? read_places(places_path, &places, &n) : 0;
    if (result == 0)
        result = write_records(&records, first, n, places, out);
    free(places);
    if (result == -EINVAL)
        return 2;
    if (result < 0)
        fprintf(stderr, "tocsin-sim: train: %s: %s\n", out, strerror(-result));
    return result < 0 ? 1 : 0;
}
