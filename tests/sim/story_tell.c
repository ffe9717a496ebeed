/*
 * See story_tell.h. One line per happening: seconds after the true origin, what it is, the rest. The table and
 * the map are made in story_end.c.
 */
#include "tests/sim/story_tell.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "core/geo.h"
#include "tests/sim/story_inner.h"

#define WRONG_PICK_S 2.0 /* no arrival of the phase this near: the pick is of something else */

static const char *style(const struct toc_telling *telling, const char *code)
{
    return telling->terminal ? code : "";
}

void toc_telling_clear(struct toc_telling *telling)
{
    if (telling->waiting)
        fputs("\r\033[K", telling->out);
    telling->waiting = false;
}

/* NAN for a time that was not said. */
static double seconds_after(const struct toc_telling *telling, toc_ns time)
{
    return time == TOC_NS_NONE ? (double)NAN : toc_s_from_ns(time - telling->story->origin);
}

/* now: TOC_NS_NONE for a line that goes on about the one above. */
__attribute__((format(printf, 5, 6))) static void say(struct toc_telling *telling, toc_ns now, const char *code,
                                                      const char *what, const char *format, ...)
{
    va_list arguments;
    toc_telling_clear(telling);
    if (now == TOC_NS_NONE)
        fprintf(telling->out, "%8s  %-10s  ", "", what);
    else
        fprintf(telling->out, "%+8.1f  %s%-10s%s  ", seconds_after(telling, now), style(telling, code), what,
                style(telling, STYLE_PLAIN));
    va_start(arguments, format);
    vfprintf(telling->out, format, arguments);
    va_end(arguments);
    fputc('\n', telling->out);
    fflush(telling->out);
}

/* ---- the truth as it comes ---- */

static int by_time(const void *left, const void *right)
{
    const struct moment *a = left, *b = right;
    return a->at < b->at ? -1 : a->at > b->at;
}

static void collect_moments(struct toc_telling *telling)
{
    const struct toc_story *story = telling->story;
    telling->nearest = &story->sites[0];
    for (size_t i = 1; i < story->n_sites; i++)
        if (story->sites[i].epicentral_km < telling->nearest->epicentral_km)
            telling->nearest = &story->sites[i];
    telling->moments[telling->n_moments++] = (struct moment){story->origin, MOMENT_ORIGIN, 0};
    if (telling->nearest->p != TOC_NS_NONE)
        telling->moments[telling->n_moments++] = (struct moment){telling->nearest->p, MOMENT_FIRST_P, 0};
    for (size_t i = 0; i < TOC_STORY_TARGETS; i++)
        telling->moments[telling->n_moments++] = (struct moment){story->targets[i].s, MOMENT_S_AT_TARGET, i};
    qsort(telling->moments, telling->n_moments, sizeof telling->moments[0], by_time);
}

static void tell_target_moment(struct toc_telling *telling, toc_ns now, const struct toc_story_target *target)
{
    char warned[64] = "nobody was warned";
    if (telling->alerted)
        snprintf(warned, sizeof warned, "warned %.1f s ago", toc_s_from_ns(target->s - telling->first.heard));
    say(telling, now, STYLE_TRUTH, "shaking", "S reaches %s, %.0f km away, intensity %.1f: %s", target->name,
        target->epicentral_km, target->mmi, warned);
}

static void tell_moment(struct toc_telling *telling, const struct moment *moment)
{
    const struct toc_story *story = telling->story;
    switch (moment->kind) {
    case MOMENT_ORIGIN:
        say(telling, moment->at, STYLE_TRUTH, "origin",
            "the ground breaks: M %.1f at %.3f %.3f, %.1f km deep; nobody knows yet", story->magnitude,
            story->latitude_deg, story->longitude_deg, story->depth_km);
        break;
    case MOMENT_FIRST_P:
        say(telling, moment->at, STYLE_TRUTH, "wave", "P reaches the first station, %s, %.0f km away",
            telling->nearest->name, telling->nearest->epicentral_km);
        break;
    case MOMENT_S_AT_TARGET:
        tell_target_moment(telling, moment->at, &story->targets[moment->which]);
        break;
    }
}

toc_ns toc_telling_moments(struct toc_telling *telling, toc_ns now)
{
    while (telling->next_moment < telling->n_moments && telling->moments[telling->next_moment].at <= now)
        tell_moment(telling, &telling->moments[telling->next_moment++]);
    return telling->next_moment < telling->n_moments ? telling->moments[telling->next_moment].at : TOC_NS_NONE;
}

void toc_telling_wait(struct toc_telling *telling, toc_ns now, toc_ns until)
{
    if (!telling->terminal)
        return;
    const double to_origin_s = -seconds_after(telling, now);
    toc_telling_clear(telling);
    fputs(STYLE_DIM, telling->out);
    if (to_origin_s > 0.0)
        fprintf(telling->out, "          ... listening; the earthquake comes in %.0f s", ceil(to_origin_s));
    else
        fprintf(telling->out, "%+8.0f  ... %.0f s of the story left", -to_origin_s,
                ceil(fmax(0.0, toc_s_from_ns(until - now))));
    fputs(STYLE_PLAIN, telling->out);
    fflush(telling->out);
    telling->waiting = true;
}

/* ---- messages ---- */

static double number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static toc_ns time_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? (toc_ns)json_integer_value(value) : TOC_NS_NONE;
}

static void hear_heartbeat(struct toc_telling *telling, const json_t *message, toc_ns now)
{
    const long up = (long)json_integer_value(json_object_get(message, "stations_up"));
    const long total = (long)json_integer_value(json_object_get(message, "stations_total"));
    const double age_s = number_of(message, "feed_latency_s");
    telling->heartbeats++;
    if (up == telling->up && total == telling->total)
        return;
    telling->up = up;
    telling->total = total;
    if (isfinite(age_s))
        say(telling, now, STYLE_DIM, "stations", "%ld of %ld up, newest samples %.1f s old", up, total, age_s);
    else
        say(telling, now, STYLE_DIM, "stations", "%ld of %ld up", up, total);
}

static double off_by(toc_ns time, toc_ns truth)
{
    return truth == TOC_NS_NONE ? (double)NAN : toc_s_from_ns(time - truth);
}

static void hear_pick(struct toc_telling *telling, const json_t *message, toc_ns now)
{
    const struct toc_story *story = telling->story;
    const struct toc_story_site *site = toc_story_site(story, text_of(message, "sid"));
    const char *phase = text_of(message, "phase");
    const int s = phase[0] == 'S';
    const toc_ns time = time_of(message, "time_ns");
    char what[16];
    if (!site || time == TOC_NS_NONE || json_integer_value(json_object_get(message, "revision")) > 0)
        return;
    snprintf(what, sizeof what, "pick %.1s", phase);
    const toc_ns truth = s ? site->s : site->p;
    const double off_s = off_by(time, truth);
    if (!(fabs(off_s) <= WRONG_PICK_S)) {
        const bool other = fabs(off_by(time, s ? site->p : site->s)) <= WRONG_PICK_S;
        telling->wrong_picks++;
        say(telling, now, STYLE_WRONG, what, "%-8s %4.0f km   %s", site->name, site->epicentral_km,
            other ? s ? "wrong: that was P" : "wrong: that was S" : "wrong: neither P nor S came there then");
        return;
    }
    struct pick_told *pick = &telling->picks[2 * (site - story->sites) + s];
    if (pick->heard != TOC_NS_NONE)
        return;
    pick->heard = now;
    pick->off_s = off_s;
    say(telling, now, s ? STYLE_S : STYLE_P, what, "%-8s %4.0f km   known %4.1f s after the wave came, onset %+.2f s",
        site->name, site->epicentral_km, toc_s_from_ns(now - truth), off_s);
}

static struct target_said *said_target(struct said *said, const struct toc_story *story, const char *name)
{
    for (size_t i = 0; i < TOC_STORY_TARGETS; i++)
        if (strcmp(story->targets[i].name, name) == 0)
            return &said->targets[i];
    return NULL;
}

static void read_said(const struct toc_story *story, const json_t *message, toc_ns now, struct said *said)
{
    size_t i;
    const json_t *one;
    *said = (struct said){
        .heard = now,
        .version = (long)json_integer_value(json_object_get(message, "version")),
        .origin = time_of(message, "origin_time_ns"),
        .latitude_deg = number_of(message, "latitude"),
        .longitude_deg = number_of(message, "longitude"),
        .depth_km = number_of(message, "depth_km"),
        .magnitude = number_of(message, "magnitude"),
        .magnitude_sigma = number_of(message, "magnitude_sigma"),
        .score = number_of(message, "score"),
        .used_sites = (long)json_integer_value(json_object_get(message, "used_sites")),
    };
    snprintf(said->event, sizeof said->event, "%s", text_of(message, "event"));
    snprintf(said->type, sizeof said->type, "%s", text_of(message, "type"));
    said->off_km = toc_geo_distance_km(story->latitude_deg, story->longitude_deg, said->latitude_deg,
                                       said->longitude_deg);
    for (i = 0; i < TOC_STORY_TARGETS; i++)
        said->targets[i] = (struct target_said){(double)NAN, (double)NAN, (double)NAN};
    json_array_foreach(json_object_get(message, "targets"), i, one) {
        struct target_said *target = said_target(said, story, text_of(one, "name"));
        if (target)
            *target = (struct target_said){number_of(one, "mmi"), number_of(one, "mmi_sigma"),
                                           number_of(one, "seconds_left")};
    }
}

/* Once S is past there is nothing left to warn of, but the first alert owns up to having come too late. */
static void tell_target(struct toc_telling *telling, const struct said *said, size_t index)
{
    const struct toc_story_target *target = &telling->story->targets[index];
    const struct target_said *said_here = &said->targets[index];
    const double left_s = toc_s_from_ns(target->s - said->heard);
    if (left_s > 0.0)
        say(telling, TOC_NS_NONE, "", "",
            "  %-9s %2.0f km: S in %4.1f s (said %4.1f), intensity said %.1f +- %.1f, true %.1f", target->name,
            target->epicentral_km, left_s, said_here->seconds_left, said_here->mmi, said_here->mmi_sigma, target->mmi);
    else if (strcmp(said->type, "alert") == 0)
        say(telling, TOC_NS_NONE, "", "", "  %-9s %2.0f km: too late, S was there %.1f s ago", target->name,
            target->epicentral_km, -left_s);
}

static void tell_said(struct toc_telling *telling, const struct said *said, const char *reason)
{
    const struct toc_story *story = telling->story;
    char what[24], size[32] = "M not yet known";
    const bool strong = strcmp(said->type, "alert") == 0 || strcmp(said->type, "cancel") == 0;
    snprintf(what, sizeof what, "%s", strcmp(said->type, "alert") == 0 ? "ALERT" : said->type);
    if (isfinite(said->magnitude))
        snprintf(size, sizeof size, "M %.1f +- %.1f", said->magnitude, said->magnitude_sigma);
    say(telling, said->heard, strong ? STYLE_ALERT : STYLE_UPDATE, what,
        "v%ld %s at %.3f %.3f, %.0f km deep, %ld stations, score %.2f", said->version, size, said->latitude_deg,
        said->longitude_deg, said->depth_km, said->used_sites, said->score);
    say(telling, TOC_NS_NONE, "", "", "  %s; off by %.1f km, depth %+.1f km, M %+.1f, time %+.2f s", reason,
        said->off_km, said->depth_km - story->depth_km, said->magnitude - story->magnitude,
        seconds_after(telling, said->origin));
}

/* Which stations the alert rests on: their picks may be said a moment after it. */
static void mark_stations(struct toc_telling *telling, const json_t *message)
{
    size_t i;
    const json_t *one;
    json_array_foreach(json_object_get(message, "stations"), i, one) {
        const struct toc_story_site *site = toc_story_site(telling->story, text_of(one, "sid"));
        if (site)
            telling->picks[2 * (site - telling->story->sites)].in_first_alert = true;
    }
}

/* The first alert that is about this earthquake, and the newest word about the same event. */
static void keep_said(struct toc_telling *telling, const json_t *message, const struct said *said)
{
    const bool alert = strcmp(said->type, "alert") == 0;
    const bool good = said->off_km <= TOC_STORY_GOOD_KM;
    if (alert && !good) {
        telling->wrong_alerts++;
        telling->wrong_km = said->off_km;
    }
    if (alert && good && !telling->alerted) {
        telling->alerted = true;
        telling->first = *said;
        mark_stations(telling, message);
    }
    if (telling->alerted && strcmp(said->event, telling->first.event) == 0) {
        telling->last = *said;
        telling->cancelled |= strcmp(said->type, "cancel") == 0;
        telling->closed |= strcmp(said->type, "final") == 0 || strcmp(said->type, "cancel") == 0;
    }
}

static void hear_event(struct toc_telling *telling, const json_t *message, toc_ns now)
{
    struct said said;
    read_said(telling->story, message, now, &said);
    tell_said(telling, &said, text_of(message, "reason"));
    for (size_t i = 0; i < TOC_STORY_TARGETS; i++)
        tell_target(telling, &said, i);
    keep_said(telling, message, &said);
}

static bool is_about_event(const char *type)
{
    static const char *const types[] = {"tentative", "alert", "update", "final", "cancel", "expired"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(type, types[i]) == 0)
            return true;
    return false;
}

int toc_telling_message(struct toc_telling *telling, const char *line, size_t length, toc_ns now)
{
    json_error_t error;
    json_t *message = json_loadb(line, length, 0, &error);
    const char *type = text_of(message, "type");
    int result = 0;
    if (strcmp(type, "heartbeat") == 0)
        hear_heartbeat(telling, message, now);
    else if (strcmp(type, "pick") == 0)
        hear_pick(telling, message, now);
    else if (is_about_event(type))
        hear_event(telling, message, now);
    else if (!message || type[0] == '\0')
        result = -EBADMSG;
    if (result < 0)
        say(telling, now, STYLE_WRONG, "rubbish", "a line of %zu bytes that is no message: %s", length,
            message ? "it has no type" : error.text);
    json_decref(message);
    return result;
}

bool toc_telling_is_over(const struct toc_telling *telling)
{
    return telling->closed && telling->next_moment == telling->n_moments;
}

int toc_telling_create(const struct toc_story *story, FILE *out, bool terminal, struct toc_telling **ret_telling)
{
    struct toc_telling *telling = calloc(1, sizeof *telling);
    if (telling)
        telling->picks = malloc((2 * story->n_sites + 1) * sizeof *telling->picks);
    if (!telling || !telling->picks) {
        free(telling);
        return -ENOMEM;
    }
    for (size_t i = 0; i < 2 * story->n_sites; i++)
        telling->picks[i] = (struct pick_told){.heard = TOC_NS_NONE};
    telling->story = story;
    telling->out = out;
    telling->terminal = terminal;
    telling->up = telling->total = -1;
    collect_moments(telling);
    *ret_telling = telling;
    return 0;
}

void toc_telling_destroy(struct toc_telling *telling)
{
    if (!telling)
        return;
    free(telling->picks);
    free(telling);
}
