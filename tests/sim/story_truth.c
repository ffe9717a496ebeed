/* See story_truth.h: three small tables of our own making, still read with care, for a person may have touched them. */
#include "tests/sim/story_truth.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/geo.h"
#include "core/shaking.h"
#include "tests/sim/earth.h"

#define LINE_MAX_BYTES 1024
#define FIELDS_MAX 20
#define NEAR_KM 40.0
#define FAR_KM 80.0

/* Called for each line below the heading. */
typedef int line_reader(struct toc_story *story, char *fields[], size_t n_fields, void *data);

static size_t split(char *line, char separator, char *ret_fields[])
{
    size_t n = 0;
    line[strcspn(line, "\r\n")] = '\0';
    for (char *at = line; at && n < FIELDS_MAX; n++) {
        ret_fields[n] = at;
        at = strchr(at, separator);
        if (at)
            *at++ = '\0';
    }
    return n;
}

static int read_table(struct toc_story *story, const char *directory, const char *name, char separator,
                      line_reader *reader, void *data)
{
    char path[4096], line[LINE_MAX_BYTES], *fields[FIELDS_MAX];
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path)
        return -ENAMETOOLONG;
    FILE *file = fopen(path, "r");
    if (!file)
        return -errno;
    int result = fgets(line, sizeof line, file) ? 0 : -EBADMSG; /* the heading */
    while (result == 0 && fgets(line, sizeof line, file)) {
        const size_t n = split(line, separator, fields);
        result = n > 1 ? reader(story, fields, n, data) : 0;
    }
    if (result == 0 && ferror(file))
        result = -EIO;
    fclose(file);
    return result;
}

static bool number(const char *text, double *ret_number)
{
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value))
        return false;
    *ret_number = value;
    return true;
}

/* time,lat,lon,depth_km,mag,... The first line is the first event; its time as text finds its picks. */
static int read_event(struct toc_story *story, char *fields[], size_t n_fields, void *data)
{
    char *origin = data;
    if (origin[0] != '\0')
        return 0;
    if (n_fields < 5 || strlen(fields[0]) >= TOC_TIME_TEXT_SIZE || toc_time_parse(fields[0], &story->origin) < 0 ||
        !number(fields[1], &story->latitude_deg) || !number(fields[2], &story->longitude_deg) ||
        !number(fields[3], &story->depth_km) || !number(fields[4], &story->magnitude))
        return -EBADMSG;
    snprintf(origin, TOC_TIME_TEXT_SIZE, "%s", fields[0]);
    return 0;
}

static struct toc_story_site *find_site(const struct toc_story *story, const char *name)
{
    for (size_t i = 0; i < story->n_sites; i++)
        if (strcmp(story->sites[i].name, name) == 0)
            return &story->sites[i];
    return NULL;
}

/* Network|Station|Location|Channel|Latitude|Longitude|... one line per channel, one site for all of them. */
static int read_station(struct toc_story *story, char *fields[], size_t n_fields, void *data)
{
    (void)data;
    struct toc_story_site site = {.p = TOC_NS_NONE, .s = TOC_NS_NONE};
    if (n_fields < 6 || !number(fields[4], &site.latitude_deg) || !number(fields[5], &site.longitude_deg) ||
        snprintf(site.name, sizeof site.name, "%s_%s", fields[0], fields[1]) >= (int)sizeof site.name)
        return -EBADMSG;
    if (find_site(story, site.name))
        return 0;
    if (story->n_sites == TOC_STORY_SITES_MAX)
        return -E2BIG;
    site.epicentral_km = toc_geo_distance_km(story->latitude_deg, story->longitude_deg, site.latitude_deg,
                                             site.longitude_deg);
    story->sites[story->n_sites++] = site;
    return 0;
}

/* time,network,station,location,channel,phase,method,event_time,... */
static int read_pick(struct toc_story *story, char *fields[], size_t n_fields, void *data)
{
    const char *origin = data;
    char name[24];
    toc_ns time;
    if (n_fields < 8 || toc_time_parse(fields[0], &time) < 0 ||
        snprintf(name, sizeof name, "%s_%s", fields[1], fields[2]) >= (int)sizeof name)
        return -EBADMSG;
    struct toc_story_site *site = find_site(story, name);
    if (!site || strcmp(fields[7], origin) != 0)
        return 0;
    *(fields[5][0] == 'S' ? &site->s : &site->p) = time;
    return 0;
}

static void move(struct toc_story *story, toc_ns moved)
{
    story->origin += moved;
    for (size_t i = 0; i < story->n_sites; i++) {
        struct toc_story_site *site = &story->sites[i];
        site->p = site->p == TOC_NS_NONE ? TOC_NS_NONE : site->p + moved;
        site->s = site->s == TOC_NS_NONE ? TOC_NS_NONE : site->s + moved;
    }
}

static void place_target(const struct toc_story *story, const char *name, double km, double azimuth_deg,
                         struct toc_story_target *target)
{
    const double azimuth = azimuth_deg * M_PI / 180.0;
    double sigma;
    target->name = name;
    toc_geo_offset(story->latitude_deg, story->longitude_deg, km * cos(azimuth), km * sin(azimuth),
                   &target->latitude_deg, &target->longitude_deg);
    /* As it will stand in a configuration. */
    target->latitude_deg = round(target->latitude_deg * 1e4) / 1e4;
    target->longitude_deg = round(target->longitude_deg * 1e4) / 1e4;
    target->epicentral_km = toc_geo_distance_km(story->latitude_deg, story->longitude_deg, target->latitude_deg,
                                                target->longitude_deg);
    target->s = story->origin +
                toc_ns_from_s(toc_travel_s(story->travel, TOC_PHASE_S, target->epicentral_km, story->depth_km));
    target->mmi = toc_shaking_mmi(story->magnitude, hypot(target->epicentral_km, story->depth_km), &sigma);
}

static void place_targets(struct toc_story *story)
{
    double latitude = 0.0, longitude = 0.0;
    for (size_t i = 0; i < story->n_sites; i++) {
        latitude += story->sites[i].latitude_deg / (double)story->n_sites;
        longitude += story->sites[i].longitude_deg / (double)story->n_sites;
    }
    const double inward = toc_geo_azimuth_deg(story->latitude_deg, story->longitude_deg, latitude, longitude);
    place_target(story, "Harbour", NEAR_KM, inward + 90.0, &story->targets[0]);
    place_target(story, "Hospital", FAR_KM, inward, &story->targets[1]);
}

static int read_tables(struct toc_story *story, const char *directory)
{
    char origin[TOC_TIME_TEXT_SIZE] = "";
    int result = read_table(story, directory, "events.csv", ',', read_event, origin);
    if (result == 0 && origin[0] == '\0')
        result = -ENODATA;
    if (result == 0)
        result = read_table(story, directory, "stations.txt", '|', read_station, NULL);
    if (result == 0 && story->n_sites == 0)
        result = -ENODATA;
    return result == 0 ? read_table(story, directory, "picks.csv", ',', read_pick, origin) : result;
}

int toc_story_read(const char *directory, toc_ns moved, struct toc_story *ret_story)
{
    struct toc_story story = {0};
    int result = toc_earth_create(&story.travel);
    if (result < 0)
        return result;
    story.sites = calloc(TOC_STORY_SITES_MAX, sizeof *story.sites);
    result = story.sites ? read_tables(&story, directory) : -ENOMEM;
    if (result < 0) {
        toc_story_finish(&story);
        return result;
    }
    move(&story, moved);
    place_targets(&story);
    *ret_story = story;
    return 0;
}

void toc_story_finish(struct toc_story *story)
{
    free(story->sites);
    toc_travel_destroy(story->travel);
    *story = (struct toc_story){0};
}

const struct toc_story_site *toc_story_site(const struct toc_story *story, const char *sid)
{
    char name[24];
    const char *at = strncmp(sid, "FDSN:", 5) == 0 ? sid + 5 : sid;
    const size_t network = strcspn(at, "_");
    if (at[network] == '\0')
        return NULL;
    const size_t length = network + 1 + strcspn(at + network + 1, "_");
    if (length >= sizeof name)
        return NULL;
    memcpy(name, at, length);
    name[length] = '\0';
    return find_site(story, name);
}

double toc_story_front_km(const struct toc_story *story, enum toc_phase phase, double after_s)
{
    double near = 0.0, far = toc_travel_max_distance_km(story->travel);
    if (!(after_s > toc_travel_s(story->travel, phase, 0.0, story->depth_km)))
        return 0.0;
    for (int i = 0; i < 50; i++) {
        const double middle = (near + far) / 2.0;
        if (toc_travel_s(story->travel, phase, middle, story->depth_km) <= after_s)
            near = middle;
        else
            far = middle;
    }
    return near;
}
