/*
 * The wait in seconds over time; `-` behind_s, `|` a step up, `.` a step down:
 *
 *   0.3 s ------|~~|~\-----------------------     up at once, again after 0.5 s if it goes on growing,
 *         _____/      \______.______.________     down one by one after relax_s of calm
 */
#include "core/load.h"

#define SETTLE_NS (TOC_NS_PER_S / 2)
#define PATIENCE_MAX 16

void toc_load_init(struct toc_load *load)
{
    *load = (struct toc_load){.raised = TOC_NS_NONE, .lowered = TOC_NS_NONE, .calm = TOC_NS_NONE};
}

static void be_patient(struct toc_load *load, double relax_s, toc_ns now)
{
    bool again = load->lowered != TOC_NS_NONE && now - load->lowered < toc_ns_from_s(2 * relax_s);
    if (again && load->patience_s < PATIENCE_MAX * relax_s)
        load->patience_s *= 2;
    else if (!again && load->mode == TOC_LOAD_NORMAL)
        load->patience_s = relax_s;
}

static bool step_up(struct toc_load *load, double relax_s, toc_ns now)
{
    load->calm = TOC_NS_NONE;
    if (load->mode == TOC_LOAD_SLOWEST || (load->raised != TOC_NS_NONE && now - load->raised < SETTLE_NS))
        return false;
    be_patient(load, relax_s, now);
    load->mode++;
    load->raised = now;
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
        return step_up(load, s->relax_s, now);
    if (wait_s > s->behind_s / 2 || load->calm == TOC_NS_NONE)
        load->calm = now;
    bool rested = now - load->calm >= toc_ns_from_s(load->patience_s);
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
