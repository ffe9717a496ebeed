/*
 * The wait in seconds over time; `-` behind_s, `|` a step up, `.` a step down:
 *
 *   0.3 s ------|~~|~\-----------------------     up at once, again after 0.5 s if it goes on growing,
 *         _____/      \______.______.________     down one by one after relax_s of calm
 */
#include "core/load.h"

#include <math.h>

#define SETTLE_NS (TOC_NS_PER_S / 5)
#define SQUEEZE 2.0
#define SQUEEZE_MAX 10.0
#define PATIENCE_MAX 16

void toc_load_init(struct toc_load *load)
{
    *load = (struct toc_load){.raised = TOC_NS_NONE, .lowered = TOC_NS_NONE, .calm = TOC_NS_NONE, .squeeze = 1};
}

static void be_patient(struct toc_load *load, double relax_s, toc_ns now)
{
    bool again = load->lowered != TOC_NS_NONE && now - load->lowered < toc_ns_from_s(2 * relax_s);
    if (again && load->patience_s < PATIENCE_MAX * relax_s)
        load->patience_s *= 2;
    else if (!again && load->mode == TOC_LOAD_NORMAL)
        load->patience_s = relax_s;
}

/* A step needs time to show, less when the wait goes on growing. */
static bool shows_nothing(const struct toc_load *load, double wait_s, toc_ns now)
{
    if (load->raised == TOC_NS_NONE)
        return true;
    bool grows = wait_s > load->raised_wait_s + toc_s_from_ns(SETTLE_NS) / 2;
    return now - load->raised >= (grows ? SETTLE_NS : 3 * SETTLE_NS);
}

static bool step_up(struct toc_load *load, double relax_s, double wait_s, toc_ns now)
{
    bool slowest = load->mode == TOC_LOAD_SLOWEST;
    load->calm = TOC_NS_NONE;
    if (!shows_nothing(load, wait_s, now))
        return false;
    load->raised = now;
    load->raised_wait_s = wait_s;
    if (slowest) {
        load->squeeze = fmin(load->squeeze * SQUEEZE, SQUEEZE_MAX);
        return false;
    }
    be_patient(load, relax_s, now);
    load->mode++;
    return true;
}

static bool step_down(struct toc_load *load, toc_ns now)
{
    load->mode--;
    load->lowered = load->calm = now;
    return true;
}

bool toc_load_step(struct toc_load *load, const struct toc_load_settings *s, double wait_s, toc_ns now)
{
    if (wait_s >= s->behind_s)
        return step_up(load, s->relax_s, wait_s, now);
    if (wait_s > s->behind_s / 2 || load->calm == TOC_NS_NONE)
        load->calm = now;
    if (load->squeeze > 1 && now - load->calm >= 2 * SETTLE_NS) {
        load->squeeze = fmax(load->squeeze / SQUEEZE, 1);
        load->calm = now; /* the next step waits as long again */
        return false;
    }
    bool rested = now - load->calm >= toc_ns_from_s(load->mode == TOC_LOAD_GATE ? load->patience_s : s->relax_s);
    return load->mode != TOC_LOAD_NORMAL && rested && step_down(load, now);
}

double toc_load_hop_s(enum toc_load_mode mode)
{
    return mode == TOC_LOAD_SLOWEST ? 1.0 : mode == TOC_LOAD_SLOWER ? 0.5 : 0.0;
}

const char *toc_load_mode_str(enum toc_load_mode mode)
{
    static const char *const names[] = {"normal", "gate", "slower", "slowest"};
    return mode < TOC_LOAD_MODES ? names[mode] : "?";
}
