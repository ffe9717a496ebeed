/* See story_tell.h: what is told when it is over. */
#include "tests/sim/story_inner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/story_map.h"

#define SIGN_PICKED '^'
#define SIGN_QUIET 'o'
#define SIGN_TRUTH 'X'
#define SIGN_SAID '+'
#define SIGN_FRONT '.'

static void heading(const struct toc_telling *telling, const char *text)
{
    fprintf(telling->out, "\n%s%s%s\n", telling->terminal ? STYLE_HEAD : "", text,
            telling->terminal ? STYLE_PLAIN : "");
}

/* Hours to hundredths of a second. */
static void clock_text(toc_ns time, char *buf, size_t size)
{
    char text[TOC_TIME_TEXT_SIZE] = "";
    toc_time_format(time, text, sizeof text);
    snprintf(buf, size, "%.11s", strlen(text) > 22 ? text + 11 : "");
}

static void tell_estimate(const struct toc_telling *telling)
{
    const struct toc_story *story = telling->story;
    const struct said *first = &telling->first, *last = &telling->last;
    char truth[16], was[16], is[16];
    clock_text(story->origin, truth, sizeof truth);
    clock_text(first->origin, was, sizeof was);
    clock_text(last->origin, is, sizeof is);

    heading(telling, "The earthquake            truth     first alert      last word   off by");
    fprintf(telling->out, "  latitude       %14.3f %15.3f %14.3f\n", story->latitude_deg, first->latitude_deg,
            last->latitude_deg);
    fprintf(telling->out, "  longitude      %14.3f %15.3f %14.3f   %.1f km\n", story->longitude_deg,
            first->longitude_deg, last->longitude_deg, last->off_km);
    fprintf(telling->out, "  depth km       %14.1f %15.1f %14.1f   %+.1f km\n", story->depth_km, first->depth_km,
            last->depth_km, last->depth_km - story->depth_km);
    fprintf(telling->out, "  magnitude      %14.1f %15.1f %14.1f   %+.1f (said +- %.1f)\n", story->magnitude,
            first->magnitude, last->magnitude, last->magnitude - story->magnitude, last->magnitude_sigma);
    fprintf(telling->out, "  origin (UTC)   %14s %15s %14s   %+.2f s\n", truth, was, is,
            last->origin == TOC_NS_NONE ? (double)NAN : toc_s_from_ns(last->origin - story->origin));
}

static void tell_warning(const struct toc_telling *telling)
{
    const struct toc_story *story = telling->story;
    const double after_s = toc_s_from_ns(telling->first.heard - story->origin);
    const double blind_km = toc_story_front_km(story, TOC_PHASE_S, after_s);

    heading(telling, "The warning");
    fprintf(telling->out,
            "  first alert    %.1f s after the origin, from %ld stations, %.1f s after P at the nearest\n", after_s,
            telling->first.used_sites, toc_s_from_ns(telling->first.heard - telling->nearest->p));
    fprintf(telling->out, "  blind zone     %.0f km around the epicentre: S was there before the alert\n", blind_km);
    for (size_t i = 0; i < TOC_STORY_TARGETS; i++) {
        const struct toc_story_target *target = &story->targets[i];
        const double lead_s = toc_s_from_ns(target->s - telling->first.heard);
        fprintf(telling->out, "  %-14s %.0f km away, ", target->name, target->epicentral_km);
        if (lead_s > 0.0)
            fprintf(telling->out, "warned %.1f s before S; ", lead_s);
        else
            fprintf(telling->out, "too late: S was there %.1f s before the alert; ", -lead_s);
        fprintf(telling->out, "intensity %.1f, first said %.1f, last %.1f\n", target->mmi,
                telling->first.targets[i].mmi, telling->last.targets[i].mmi);
    }
}

static int by_value(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

/* Median delay and worst onset of one phase. values: room for one per site. */
static void tell_phase(const struct toc_telling *telling, int s, double *values)
{
    const struct toc_story *story = telling->story;
    size_t n = 0;
    double worst_s = 0.0;
    for (size_t i = 0; i < story->n_sites; i++) {
        const struct pick_told *pick = &telling->picks[2 * i + (size_t)s];
        if (pick->heard == TOC_NS_NONE)
            continue;
        values[n++] = toc_s_from_ns(pick->heard - (s ? story->sites[i].s : story->sites[i].p));
        worst_s = fmax(worst_s, fabs(pick->off_s));
    }
    fprintf(telling->out, "  picks of %c     %zu of %zu stations", s ? 'S' : 'P', n, story->n_sites);
    if (n > 0) {
        qsort(values, n, sizeof *values, by_value);
        fprintf(telling->out, ", known %.1f s after the wave (median), worst onset off by %.2f s", values[n / 2],
                worst_s);
    }
    fputc('\n', telling->out);
}

static void tell_picks(const struct toc_telling *telling)
{
    double *values = malloc(telling->story->n_sites * sizeof *values);
    heading(telling, "The picks");
    for (int s = 0; values && s < 2; s++)
        tell_phase(telling, s, values);
    fprintf(telling->out, "  wrong          %lu where no such wave came\n", telling->wrong_picks);
    free(values);
}

static const char *sign_style(char sign)
{
    switch (sign) {
    case SIGN_PICKED:
        return STYLE_P;
    case SIGN_QUIET:
        return STYLE_DIM;
    case SIGN_TRUTH:
        return STYLE_TRUTH;
    case SIGN_SAID:
        return STYLE_UPDATE;
    case SIGN_FRONT:
        return STYLE_WRONG;
    default:
        return STYLE_GOOD;
    }
}

static void print_row(const struct toc_telling *telling, const char *row, const char *beside)
{
    fputs("  |", telling->out);
    for (; *row; row++) {
        if (telling->terminal && *row != ' ')
            fprintf(telling->out, "%s%c%s", sign_style(*row), *row, STYLE_PLAIN);
        else
            fputc(*row, telling->out);
    }
    fprintf(telling->out, "|%s%s\n", *beside ? "  " : "", beside);
}

static void print_map(const struct toc_telling *telling, const struct toc_story_map *map)
{
    static const char *const beside[] = {
        "^  station, P heard",   "o  station, not yet", "X  epicentre",       "+  epicentre as alerted",
        "1  Harbour  2  Hospital", ".  S, the strong shaking", "",
    };
    const size_t n_beside = sizeof beside / sizeof beside[0];
    const double bar_km = 20.0;
    char scale[64] = "";
    const long bar = lround(bar_km / map->km_per_column);
    if (bar >= 2 && bar < 30)
        snprintf(scale, sizeof scale, "|%.*s| %.0f km", (int)(bar - 1), "------------------------------", bar_km);
    fprintf(telling->out, "  +%.*s+\n", TOC_STORY_MAP_COLUMNS,
            "--------------------------------------------------------------------------------");
    for (size_t r = 0; r < TOC_STORY_MAP_ROWS; r++)
        print_row(telling, map->rows[r], r < n_beside ? beside[r] : r == n_beside ? scale : "");
    fprintf(telling->out, "  +%.*s+\n", TOC_STORY_MAP_COLUMNS,
            "--------------------------------------------------------------------------------");
}

/* Epicentre first: the circle is about it. It is put once more on top, but under what was said of it. */
static void tell_map(const struct toc_telling *telling)
{
    const struct toc_story *story = telling->story;
    const struct said *first = &telling->first;
    const double front_km = toc_story_front_km(story, TOC_PHASE_S, toc_s_from_ns(first->heard - story->origin));
    const struct toc_story_mark truth = {story->latitude_deg, story->longitude_deg, SIGN_TRUTH};
    struct toc_story_mark *marks = malloc((story->n_sites + TOC_STORY_TARGETS + 3) * sizeof *marks);
    struct toc_story_map map;
    size_t n = 0;
    if (!marks)
        return;
    marks[n++] = truth;
    for (size_t i = 0; i < story->n_sites; i++) {
        const struct pick_told *pick = &telling->picks[2 * i];
        const bool heard = pick->in_first_alert || (pick->heard != TOC_NS_NONE && pick->heard <= first->heard);
        const char sign = heard ? SIGN_PICKED : SIGN_QUIET;
        marks[n++] = (struct toc_story_mark){story->sites[i].latitude_deg, story->sites[i].longitude_deg, sign};
    }
    for (size_t i = 0; i < TOC_STORY_TARGETS; i++)
        marks[n++] = (struct toc_story_mark){story->targets[i].latitude_deg, story->targets[i].longitude_deg,
                                             (char)('1' + (int)i)};
    marks[n++] = (struct toc_story_mark){first->latitude_deg, first->longitude_deg, SIGN_SAID};
    marks[n++] = truth;
    toc_story_map_draw(marks, n, front_km, SIGN_FRONT, &map);
    heading(telling, "The moment of the first alert");
    print_map(telling, &map);
    free(marks);
}

static bool judge(const struct toc_telling *telling)
{
    FILE *out = telling->out;
    fputc('\n', out);
    if (telling->heartbeats == 0)
        fputs("missing: a heartbeat; the daemon said nothing\n", out);
    else if (telling->up < 1)
        fputs("missing: data; no station was up at the end\n", out);
    if (telling->wrong_alerts > 0)
        fprintf(out, "wrong: %lu alerts about something else, the last %.0f km off\n", telling->wrong_alerts,
                telling->wrong_km);
    if (!telling->alerted)
        fprintf(out, "missing: an alert within %.0f km of the epicentre\n", TOC_STORY_GOOD_KM);
    if (telling->cancelled)
        fputs("wrong: the alert was taken back\n", out);
    return telling->alerted && !telling->cancelled;
}

bool toc_telling_end(struct toc_telling *telling)
{
    toc_telling_clear(telling);
    if (telling->alerted) {
        tell_estimate(telling);
        tell_warning(telling);
    }
    tell_picks(telling);
    if (telling->alerted)
        tell_map(telling);
    const bool good = judge(telling);
    if (good)
        fprintf(telling->out, "%sThe alert came %.1f s after the origin, %.1f km off.%s\n",
                telling->terminal ? STYLE_GOOD : "", toc_s_from_ns(telling->first.heard - telling->story->origin),
                telling->first.off_km, telling->terminal ? STYLE_PLAIN : "");
    fflush(telling->out);
    return good;
}
