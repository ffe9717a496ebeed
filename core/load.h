/*
 * How much is done per station when there is more to do than time: a ladder
 * of modes, climbed by what really hurts, the age of the oldest data that
 * wait for a worker. Knows no station and no network.
 *
 *   NORMAL   every block of every station goes through the picker network
 *   GATE     ... of stations where something moves; quiet ones are watched by the cheap detector alone
 *   SLOWER   the same, in blocks of 0.5 s: the same picks later, at less cost a sample
 *   SLOWEST  the same, in blocks of 1 s, and what follows an arrival counts as quiet unless it moves; if that is not
 *            enough, it takes ever more to count as moving
 */
#ifndef TOC_CORE_LOAD_H
#define TOC_CORE_LOAD_H

#include <stdbool.h>

#include "core/nstime.h"
#include "core/settings.h"

enum toc_load_mode { TOC_LOAD_NORMAL, TOC_LOAD_GATE, TOC_LOAD_SLOWER, TOC_LOAD_SLOWEST, TOC_LOAD_MODES };

/** State; a plain value, begun by toc_load_init(). */
struct toc_load {
    enum toc_load_mode mode;
    toc_ns raised, lowered; /* when a step up, a step down was last taken; TOC_NS_NONE never */
    double raised_wait_s;   /* the wait then */
    toc_ns calm;            /* nothing has waited long since; TOC_NS_NONE not known */
    double patience_s;      /* calm asked for before the step down to NORMAL */
    double squeeze;         /* factor of the gate's ratio, 1 but in SLOWEST */
};

void toc_load_init(struct toc_load *load);

/**
 * Up one mode when the oldest data wait behind_s or longer, again after 0.6 s, or 0.2 s if the wait goes on growing; in
 * SLOWEST the gate's ratio grows by half instead, up to tenfold, and shrinks again as soon as waits are short. Down one mode
 * after relax_s without waits of half of behind_s; when the step down to NORMAL had to be taken back within 2 relax_s the
 * patience for it doubles, up to 16 relax_s, so that a load at the edge does not swing.
 *
 * @param wait_s  age of the oldest waiting data, 0: none wait
 * @return true when the mode changed
 */
bool toc_load_step(struct toc_load *load, const struct toc_load_settings *settings, double wait_s, toc_ns now);

/** Seconds of data in one block, at least; 0: the hop as configured. */
double toc_load_hop_s(enum toc_load_mode mode);

/** "normal", "gate", "slower", "slowest" */
const char *toc_load_mode_str(enum toc_load_mode mode);

#endif
