/*
 * Inventory and identifiers. FDSN station text is read field by field with
 * line and column in every refusal. What the text leaves empty becomes NAN
 * here and is treated as unknown downstream: no gain is ever guessed.
 */
#include "core/station.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define INVENTORY_MAX 100000u
#define FIELD_MAX 256u
#define FIELDS 17

enum field {
    F_NET, F_STA, F_LOC, F_CHA, F_LAT, F_LON, F_ELEV, F_DEPTH, F_AZ, F_DIP, F_SENSOR, F_SCALE, F_FREQ, F_UNITS,
    F_RATE, F_START, F_END
};

static const char *const field_names[FIELDS] = {
    "Network", "Station", "Location", "Channel", "Latitude", "Longitude", "Elevation", "Depth", "Azimuth", "Dip",
    "SensorDescription", "Scale", "ScaleFreq", "ScaleUnits", "SampleRate", "StartTime", "EndTime"};

/* A line cut at its bars; column[i] is where field i begins, from 1. */
struct row {
    char text[FIELDS][FIELD_MAX];
    int column[FIELDS];
    int n;
};

static bool code_ok(const char *code, size_t min, size_t max, bool dash)
{
    size_t n = strlen(code);
    if (n < min || n > max)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!(isupper((unsigned char)code[i]) || isdigit((unsigned char)code[i]) || (dash && code[i] == '-')))
            return false;
    return true;
}

int toc_sid_make(const char *net, const char *sta, const char *loc, const char *cha, char ret_sid[TOC_SID_SIZE])
{
    if (strcmp(loc, "--") == 0)
        loc = "";
    if (!code_ok(net, 1, 8, false) || !code_ok(sta, 1, 8, true) || !code_ok(loc, 0, 8, true) || !code_ok(cha, 3, 3, false))
        return -EINVAL;
    snprintf(ret_sid, TOC_SID_SIZE, "FDSN:%s_%s_%s_%c_%c_%c", net, sta, loc, cha[0], cha[1], cha[2]);
    return 0;
}

char toc_sid_component(const char *sid)
{
    size_t n = strlen(sid);
    return n > 0 ? sid[n - 1] : '\0';
}

void toc_sid_group(const char *sid, char ret_group[TOC_SID_SIZE])
{
    snprintf(ret_group, TOC_SID_SIZE, "%s", sid);
    char *last = strrchr(ret_group, '_');
    if (last)
        *last = '\0';
}

void toc_sid_site(const char *sid, char ret_site[TOC_SID_SIZE])
{
    const char *from = strncmp(sid, "FDSN:", 5) == 0 ? sid + 5 : sid;
    snprintf(ret_site, TOC_SID_SIZE, "%s", from);
    char *second = strchr(ret_site, '_');
    second = second ? strchr(second + 1, '_') : NULL;
    if (second)
        *second = '\0';
}

static int refuse(struct toc_parse_error *error, int line, int column, const char *what, const char *value)
{
    error->line = line;
    error->column = column;
    snprintf(error->text, sizeof error->text, "%s '%.60s'", what, value);
    return -EINVAL;
}

static void trim(char *text)
{
    size_t lead = strspn(text, " \t\r");
    memmove(text, text + lead, strlen(text + lead) + 1);
    for (size_t n = strlen(text); n > 0 && strchr(" \t\r", text[n - 1]); n--)
        text[n - 1] = '\0';
}

static int cut_fields(const char *line, size_t len, int number, struct row *ret_row, struct toc_parse_error *error)
{
    size_t at = 0;
    ret_row->n = 0;
    for (;;) {
        size_t end = at;
        while (end < len && line[end] != '|')
            end++;
        if (ret_row->n == FIELDS)
            return refuse(error, number, (int)at + 1, "more than 17 fields at", "|");
        if (end - at >= FIELD_MAX)
            return refuse(error, number, (int)at + 1, "field too long in", field_names[ret_row->n]);
        char *field = ret_row->text[ret_row->n];
        memcpy(field, line + at, end - at);
        field[end - at] = '\0';
        if (strlen(field) != end - at)
            return refuse(error, number, (int)at + 1, "NUL byte in", field_names[ret_row->n]);
        trim(field);
        ret_row->column[ret_row->n++] = (int)at + 1;
        if (end >= len)
            return ret_row->n >= F_RATE + 1 ? 0 : refuse(error, number, 0, "fewer than 15 fields in", "line");
        at = end + 1;
    }
}

/* An empty field is NAN where that is allowed. */
static int read_number(const struct row *row, enum field f, int line, double min, double max, bool may_be_empty,
                       double *ret_value, struct toc_parse_error *error)
{
    const char *text = row->text[f];
    if (text[0] == '\0' && may_be_empty) {
        *ret_value = (double)NAN;
        return 0;
    }
    char *end = NULL;
    double value = strtod(text, &end);
    char what[80];
    snprintf(what, sizeof what, "%s is not a number in %g..%g:", field_names[f], min, max);
    if (end == text || *end != '\0' || !isfinite(value) || value < min || value > max)
        return refuse(error, line, row->column[f], what, text);
    *ret_value = value;
    return 0;
}

/* Data centers write "still open" as the year 2500, 2599 or 3000; int64 nanoseconds end in 2262. */
static bool is_far_future(const char *text)
{
    char *end;
    long year = strtol(text, &end, 10);
    return end == text + 4 && *end == '-' && year >= 2200;
}

static int read_time(const struct row *row, enum field f, int line, toc_ns *ret_time, struct toc_parse_error *error)
{
    *ret_time = TOC_NS_NONE;
    if ((int)f >= row->n || row->text[f][0] == '\0')
        return 0;
    if (f == F_END && is_far_future(row->text[f]))
        return 0;
    if (toc_time_parse(row->text[f], ret_time) < 0)
        return refuse(error, line, row->column[f], "not a time:", row->text[f]);
    return 0;
}

/* Scale is counts per `unit`; sub-units are turned into SI here, once, at the border. */
static enum toc_unit read_unit(const char *text, double *scale)
{
    static const struct { const char *text; enum toc_unit unit; double per_si; } known[] = {
        {"m/s", TOC_UNIT_VELOCITY, 1}, {"nm/s", TOC_UNIT_VELOCITY, 1e9}, {"um/s", TOC_UNIT_VELOCITY, 1e6},
        {"mm/s", TOC_UNIT_VELOCITY, 1e3}, {"cm/s", TOC_UNIT_VELOCITY, 1e2}, {"m/s**2", TOC_UNIT_ACCELERATION, 1},
        {"m/s^2", TOC_UNIT_ACCELERATION, 1}, {"m/s/s", TOC_UNIT_ACCELERATION, 1}, {"m/s2", TOC_UNIT_ACCELERATION, 1},
        {"cm/s**2", TOC_UNIT_ACCELERATION, 1e2}, {"nm/s**2", TOC_UNIT_ACCELERATION, 1e9},
        {"m", TOC_UNIT_DISPLACEMENT, 1}, {"nm", TOC_UNIT_DISPLACEMENT, 1e9}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcasecmp(text, known[i].text) == 0) {
            *scale *= known[i].per_si;
            return known[i].unit;
        }
    return TOC_UNIT_UNKNOWN;
}

static int read_channel(const struct row *row, int line, struct toc_channel *c, struct toc_parse_error *error)
{
    if (toc_sid_make(row->text[F_NET], row->text[F_STA], row->text[F_LOC], row->text[F_CHA], c->sid) < 0)
        return refuse(error, line, row->column[F_NET], "codes are not FDSN codes, at station", row->text[F_STA]);
    const struct { enum field f; double min, max; bool empty; double *to; } numbers[] = {
        {F_LAT, -90, 90, true, &c->latitude_deg}, {F_LON, -180, 360, true, &c->longitude_deg},
        {F_ELEV, -12000, 10000, true, &c->elevation_m}, {F_DEPTH, -1000, 12000, true, &c->depth_m},
        {F_AZ, -360, 360, true, &c->azimuth_deg}, {F_DIP, -90, 90, true, &c->dip_deg},
        {F_SCALE, -1e30, 1e30, true, &c->scale}, {F_RATE, 0, 1e6, true, &c->rate_hz}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        int r = read_number(row, numbers[i].f, line, numbers[i].min, numbers[i].max, numbers[i].empty, numbers[i].to, error);
        if (r < 0)
            return r;
    }
    c->unit = read_unit(row->text[F_UNITS], &c->scale);
    if (c->unit == TOC_UNIT_UNKNOWN || !(fabs(c->scale) > 0))
        c->scale = (double)NAN;
    if (c->longitude_deg > 180)
        c->longitude_deg -= 360;
    int r = read_time(row, F_START, line, &c->start, error);
    return r < 0 ? r : read_time(row, F_END, line, &c->end, error);
}

static int by_sid_and_start(const void *a, const void *b)
{
    const struct toc_channel *x = a, *y = b;
    int by_sid = strcmp(x->sid, y->sid);
    return by_sid ? by_sid : (x->start > y->start) - (x->start < y->start);
}

/* Grow by doubling; a hostile text cannot make it pass the cap. */
static int append(struct toc_inventory *inventory, size_t *capacity, const struct toc_channel *channel)
{
    if (inventory->n >= INVENTORY_MAX)
        return -E2BIG;
    if (inventory->n == *capacity) {
        size_t grown = *capacity ? *capacity * 2 : 64;
        struct toc_channel *bigger = realloc(inventory->channels, grown * sizeof *bigger);
        if (!bigger)
            return -ENOMEM;
        inventory->channels = bigger;
        *capacity = grown;
    }
    inventory->channels[inventory->n++] = *channel;
    return 0;
}

static int parse_line(const char *line, size_t len, int number, struct toc_inventory *inventory, size_t *capacity,
                      struct toc_parse_error *error)
{
    size_t lead = 0;
    while (lead < len && isspace((unsigned char)line[lead]))
        lead++;
    if (lead == len || line[lead] == '#')
        return 0;
    struct row row = {.n = 0};
    int r = cut_fields(line, len, number, &row, error);
    if (r < 0)
        return r;
    struct toc_channel channel = {.start = TOC_NS_NONE};
    r = read_channel(&row, number, &channel, error);
    return r < 0 ? r : append(inventory, capacity, &channel);
}

int toc_inventory_parse_text(const char *text, size_t len, struct toc_inventory *ret_inventory,
                             struct toc_parse_error *ret_error)
{
    struct toc_inventory inventory = {NULL, 0};
    size_t capacity = 0;
    int number = 1;
    for (size_t at = 0; at < len; number++) {
        const char *eol = memchr(text + at, '\n', len - at);
        size_t n = eol ? (size_t)(eol - text) - at : len - at;
        int r = parse_line(text + at, n, number, &inventory, &capacity, ret_error);
        if (r < 0) {
            toc_inventory_finish(&inventory);
            return r;
        }
        at += n + 1;
    }
    if (inventory.n)
        qsort(inventory.channels, inventory.n, sizeof *inventory.channels, by_sid_and_start);
    *ret_inventory = inventory;
    return 0;
}

void toc_inventory_finish(struct toc_inventory *inventory)
{
    if (!inventory)
        return;
    free(inventory->channels);
    inventory->channels = NULL;
    inventory->n = 0;
}

bool toc_channel_holds(const struct toc_channel *c, toc_ns time)
{
    return (c->start == TOC_NS_NONE || time >= c->start) && (c->end == TOC_NS_NONE || time < c->end);
}

size_t toc_inventory_from(const struct toc_inventory *inventory, const char *sid)
{
    size_t low = 0, high = inventory->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(inventory->channels[middle].sid, sid) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct toc_channel *toc_inventory_find(const struct toc_inventory *inventory, const char *sid, toc_ns time)
{
    size_t i = toc_inventory_from(inventory, sid);
    for (; i < inventory->n && strcmp(inventory->channels[i].sid, sid) == 0; i++)
        if (toc_channel_holds(&inventory->channels[i], time))
            return &inventory->channels[i];
    return NULL;
}

const char *toc_station_status_str(enum toc_station_status status)
{
    static const char *const text[TOC_STATION_STATUS_COUNT] = {
        [TOC_STATION_OK] = "ok", [TOC_STATION_NO_DATA] = "no data", [TOC_STATION_STALE] = "stale",
        [TOC_STATION_WARMING] = "warming up", [TOC_STATION_NO_METADATA] = "no metadata",
        [TOC_STATION_NO_VERTICAL] = "no vertical", [TOC_STATION_LOW_RATE] = "rate below 20 Hz",
        [TOC_STATION_LATE] = "late", [TOC_STATION_CLIPPED] = "clipped", [TOC_STATION_FLAT] = "flat",
        [TOC_STATION_NOISY] = "noisy"};
    return status < TOC_STATION_STATUS_COUNT ? text[status] : "?";
}
