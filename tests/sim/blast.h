/*
 * A quarry blast: holes fired one after another at the surface. P outwards
 * everywhere, little S, a surface wave of short period (Rg) that only shallow sources make, and a spectrum combed by
 * the delays between the holes.
 */
#ifndef TOC_SIM_BLAST_H
#define TOC_SIM_BLAST_H

#include "tests/sim/quake.h"

struct toc_blast {
    struct toc_quake quake;
    int holes;          /* 1: a single shot */
    double delay_s;     /* between them: 17 to 65 ms are usual */
    double rg;          /* peak of Rg over peak of P at 20 km */
};

/** A random blast; magnitude as a catalogue would have it (0.5 to 4). */
void toc_blast_draw(struct toc_random *random, double magnitude, struct toc_blast *ret_blast);

/** As toc_synth_add(). @return 0 or -ENOMEM */
int toc_blast_add(struct toc_synth *synth, const struct toc_blast *blast, const struct toc_quake_path *path,
                  double rate_hz, double p_onset_s, float *const enz[3], size_t n);

#endif
