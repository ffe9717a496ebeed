/*
 * One decision per onset. The network's statement is evidence ("an onset lies
 * within the last 3 s"), so a true onset makes a plateau of some 3 s whose age
 * grows as time goes by: the rules turn a plateau into one pick. Probability
 * of P over time, `-` threshold, `.` its half, `|` declared:
 *
 *   true P              -----|~~~~\----        plateau of 3 s, falls by itself: armed again below the half
 *                       ____/......\____
 *   weak P              ____/~~~~~~~|\__       stays within 1.5 of the threshold's logit for 0.5 s
 *   P, then S           P falls when S is seen, S rises: one of each, whatever their order in the block
 *   spike               ____/|\_________       declared: one frame suffices, since speed is what it is for; what
 *                                              follows within dead_s is not a second one
 *   coda                -----|~\/~\/~\--       hovers about the threshold without falling below its half: one pick
 *   second quake        -----|~~~~|~~~~--      in the coda of the first: the onset time jumps on by more than 2 s
 *   stuck plateau       -----|~~~~~~~~~~       age at its limit: its onset time creeps on with the clock, which is
 *                                              no new onset
 *
 * Unhandled: two quakes less than 2 s apart are one pick when the probability
 * does not fall between them.
 */
#include "core/picker.h"

#include <math.h>

#include "core/filter.h"

#define LOWER_BY 1.5    /* logit units below the threshold, */
#define HELD_FRAMES 10u /* for 0.5 s */
#define AGE_MAX_S 4.0
#define MOVED_ON_S 2.0
#define FORGET_S 4.5      /* an old onset may still look like one, at an age nobody taught: */
#define AGAIN_SIGMA_S 0.5 /* until then another needs a time it is sure of */
#define SIGMA_MIN_S 0.03
#define SIGMA_MAX_S 1.0

/* One phase in one frame. */
struct view {
    double odds; /* log(p / (1 - p)) */
    double probability;
    double age_s, sigma_s;
    bool age_limit; /* age_s was cut to AGE_MAX_S */
    toc_ns end, time;
};

void toc_picker_reset(struct toc_picker *picker)
{
    *picker = (struct toc_picker){.phase = {{.armed = true}, {.armed = true}}};
}

/* Neither the operator nor the model said one. */
static const double fallback[] = {[TOC_PHASE_P] = 0.9, [TOC_PHASE_S] = 0.88};

static double choose(double of_layout, double of_all, double suggested, enum toc_phase phase)
{
    if (of_layout >= 0)
        return of_layout;
    if (of_all >= 0)
        return of_all;
    return isfinite(suggested) ? suggested : fallback[phase];
}

struct toc_picker_settings toc_picker_settings_for(const struct toc_picker_settings *settings,
                                                   const double suggested[2][TOC_LAYOUTS], enum toc_layout layout)
{
    const double of_layout[2][TOC_LAYOUTS] = {
        {TOC_AUTO, settings->p_threshold_two, settings->p_threshold_vertical},
        {TOC_AUTO, settings->s_threshold_two, settings->s_threshold_vertical}};
    const double of_all[] = {settings->p_threshold, settings->s_threshold};
    struct toc_picker_settings chosen = *settings;
    double *const thresholds[] = {&chosen.p_threshold, &chosen.s_threshold};

    for (enum toc_phase p = TOC_PHASE_P; p <= TOC_PHASE_S; p++)
        *thresholds[p] = choose(of_layout[p][layout], of_all[p], suggested ? suggested[p][layout] : (double)NAN, p);
    return chosen;
}

static bool frame_is_finite(const float *frame)
{
    for (int i = 0; i < TOC_PICKER_OUTPUTS; i++)
        if (!isfinite(frame[i]))
            return false;
    return true;
}

/* log(exp(a) + exp(b)) without overflow */
static double log_sum(double a, double b)
{
    return fmax(a, b) + log1p(exp(-fabs(a - b)));
}

static struct view view_of(const float *frame, enum toc_phase phase, int64_t index)
{
    double own = (double)frame[1 + phase], other = (double)frame[phase == TOC_PHASE_P ? 2 : 1];
    double age = (double)frame[3 + 2 * phase], b = exp((double)frame[4 + 2 * phase]);
    struct view view = {.odds = own - log_sum((double)frame[0], other)};

    view.probability = 1.0 / (1.0 + exp(-view.odds));
    view.age_limit = age >= AGE_MAX_S;
    view.age_s = fmin(fmax(age, 0.0), AGE_MAX_S);
    view.sigma_s = fmin(fmax(sqrt(2.0) * b, SIGMA_MIN_S), SIGMA_MAX_S);
    view.end = (TOC_PICKER_STRIDE * (index + 1) - 1) * TOC_GRID_NS;
    view.time = view.end - toc_ns_from_s(view.age_s);
    return view;
}

static bool is_due(struct toc_picker_phase *phase, const struct view *view, double threshold)
{
    double level = log(threshold) - log1p(-threshold); /* infinite at 0 and 1: always and never */

    if (view->odds < level - LOWER_BY)
        phase->held = 0;
    else if (phase->held < HELD_FRAMES)
        phase->held++;
    return view->odds >= level || phase->held >= HELD_FRAMES;
}

static bool moved_on(const struct toc_picker_phase *phase, const struct view *view)
{
    return phase->said && !view->age_limit && view->time - phase->time > toc_ns_from_s(MOVED_ON_S);
}

static bool is_dead(const struct toc_picker_phase *phase, const struct view *view, double dead_s)
{
    toc_ns dead = toc_ns_from_s(dead_s);

    bool vague = view->sigma_s > AGAIN_SIGMA_S && view->end - phase->time < toc_ns_from_s(FORGET_S);

    return phase->said && (vague || view->end - phase->declared < dead || view->time - phase->time < dead);
}

static struct toc_pick declare(struct toc_picker_phase *phase, const struct view *view, enum toc_phase which)
{
    phase->armed = false;
    phase->said = true;
    phase->declared = view->end;
    phase->time = view->time;
    return (struct toc_pick){.phase = which,
                             .time = view->time,
                             .sigma_s = (float)view->sigma_s,
                             .probability = (float)view->probability,
                             .declared = view->end,
                             .method = TOC_METHOD_CNN,
                             .snr_db = NAN};
}

static size_t step(struct toc_picker_phase *phase, const struct view *view, enum toc_phase which, double threshold,
                   double dead_s, struct toc_pick *ret_pick, size_t room)
{
    bool due = is_due(phase, view, threshold);

    if (view->probability < threshold / 2.0)
        phase->armed = true;
    if (!due || room == 0 || (!phase->armed && !moved_on(phase, view)) || is_dead(phase, view, dead_s))
        return 0;
    *ret_pick = declare(phase, view, which);
    return 1;
}

/* What rest means for a phase: the logit-odds below which it cannot be due, is not held, and is armed again. */
static double resting_odds(double threshold)
{
    double held = log(threshold) - log1p(-threshold) - LOWER_BY, half = log(threshold / 2.0) - log1p(-threshold / 2.0);

    return fmin(held, half) - 1e-6; /* rounding may not decide here */
}

/* The usual case by far, without an exponential: the odds are at most what the larger rival alone leaves. */
static bool rests(struct toc_picker_phase *phase, const float *frame, enum toc_phase which, double resting)
{
    double rival = fmax((double)frame[0], (double)frame[which == TOC_PHASE_P ? 2 : 1]);

    if (!((double)frame[1 + which] - rival < resting))
        return false;
    phase->held = 0;
    phase->armed = true;
    return true;
}

size_t toc_picker_extract(struct toc_picker *picker, const struct toc_picker_settings *settings, const float *frames,
                          size_t n, int64_t first_frame, struct toc_pick *ret_picks, size_t max)
{
    const double thresholds[] = {settings->p_threshold, settings->s_threshold};
    const double resting[] = {resting_odds(thresholds[TOC_PHASE_P]), resting_odds(thresholds[TOC_PHASE_S])};
    size_t found = 0;

    for (size_t i = 0; i < n; i++, frames += TOC_PICKER_OUTPUTS) {
        int64_t index = first_frame + (int64_t)i;

        if (index != picker->next_frame || !frame_is_finite(frames))
            picker->phase[TOC_PHASE_P].held = picker->phase[TOC_PHASE_S].held = 0;
        picker->next_frame = index + 1;
        if (!frame_is_finite(frames))
            continue;
        for (enum toc_phase p = TOC_PHASE_P; p <= TOC_PHASE_S; p++) {
            struct view view;

            if (rests(&picker->phase[p], frames, p, resting[p]))
                continue;
            view = view_of(frames, p, index);
            found += step(&picker->phase[p], &view, p, thresholds[p], settings->dead_s, ret_picks + found, max - found);
        }
    }
    return found;
}
