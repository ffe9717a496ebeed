/*
 * Filters of core/window: second-order sections of all components at once,
 * components being lanes of a vector (core/lanes.h). Included by the files
 * of that stage alone.
 */
#ifndef TOC_CORE_WINDOW_SECTIONS_H
#define TOC_CORE_WINDOW_SECTIONS_H

#include "core/lanes.h"
#include "core/window.h"

/* Below this a state is rest, not signal (core/filter.c); looked at once a stretch, for it takes minutes to get there. */
#define FLUSH_BELOW 1e-150

/* A section of all components: one design, a state for each. */
struct section {
    double b0, b1, b2, a1, a2;
    double z1[TOC_LANES], z2[TOC_LANES];
};

static inline struct section section_of(const struct toc_biquad *q)
{
    return (struct section){.b0 = q->b0, .b1 = q->b1, .b2 = q->b2, .a1 = q->a1, .a2 = q->a2};
}

/* The state of a component after x for ever; `through` is what comes out. */
static inline double section_settle(struct section *s, int lane, double x)
{
    struct toc_filter one = {.n = 1, .stage = {{s->b0, s->b1, s->b2, s->a1, s->a2, 0, 0}}};

    toc_filter_settle(&one, x);
    s->z1[lane] = one.stage[0].z1;
    s->z2[lane] = one.stage[0].z2;
    return x * (s->b0 + s->b1 + s->b2) / (1.0 + s->a1 + s->a2);
}

static inline void section_rest(struct section *s, int lane)
{
    s->z1[lane] = s->z2[lane] = 0.0;
}

/* A section in registers. */
struct running {
    toc_lanes b0, b1, b2, a1, a2, z1, z2;
};

TOC_LANES_INLINE struct running run_section(const struct section *s)
{
    return (struct running){toc_lanes_all(s->b0), toc_lanes_all(s->b1), toc_lanes_all(s->b2), toc_lanes_all(s->a1),
                            toc_lanes_all(s->a2), toc_lanes_load(s->z1), toc_lanes_load(s->z2)};
}

TOC_LANES_INLINE toc_lanes section_step(struct running *r, toc_lanes x)
{
    toc_lanes y = r->b0 * x + r->z1;

    r->z1 = r->b1 * x - r->a1 * y + r->z2;
    r->z2 = r->b2 * x - r->a2 * y;
    return y;
}

TOC_LANES_INLINE toc_lanes rest_or(toc_lanes state)
{
    return toc_lanes_select(toc_lanes_abs(state) < toc_lanes_all(FLUSH_BELOW), toc_lanes_all(0.0), state);
}

/* Lanes that are not `active` keep what they had. */
TOC_LANES_INLINE void keep_section(struct section *s, const struct running *r, toc_lanes_bits active)
{
    toc_lanes_store(s->z1, toc_lanes_select(active, rest_or(r->z1), toc_lanes_load(s->z1)));
    toc_lanes_store(s->z2, toc_lanes_select(active, rest_or(r->z2), toc_lanes_load(s->z2)));
}

TOC_LANES_INLINE toc_lanes_bits mask_of(const bool active[TOC_COMPONENTS])
{
    return (toc_lanes_bits){-active[0], -active[1], -active[2], 0};
}

#endif
