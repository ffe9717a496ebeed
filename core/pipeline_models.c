/*
 * More than one network: the shadow beside the live one, and others in the
 * place of those in use.
 */
#include "core/pipeline_inner.h"

/* ---- the shadow ------------------------------------------------------------------------------------------------- */

/* Picks as first said, of networks. */
void toc_pipeline_compare(struct toc_pipeline *p, const struct toc_listener_result *result, toc_ns now)
{
    struct toc_shadow_report report;
    for (uint32_t i = 0; i < result->n_picks; i++)
        if (result->picks[i].method == TOC_METHOD_CNN && result->picks[i].revision == 0 &&
            toc_shadow_add(p->compared, true, &result->picks[i], now, &report))
            toc_pipeline_queue_note(p, &report);
    for (uint32_t i = 0; i < result->n_shadow; i++)
        if (toc_shadow_add(p->compared, false, &result->shadow[i], now, &report))
            toc_pipeline_queue_note(p, &report);
}

void toc_pipeline_expire_compared(struct toc_pipeline *p, toc_ns now)
{
    struct toc_shadow_report report;
    while (toc_shadow_expire(p->compared, now, &report))
        toc_pipeline_queue_note(p, &report);
}

/* ---- other networks --------------------------------------------------------------------------------------------- */

/* Room everywhere first: a station that has the new network must find it in any batch. */
static int offer_scratch(struct toc_pipeline *p, const struct toc_model *model)
{
    int r = 0;
    for (uint32_t i = 0; i < p->n_batches && r == 0; i++)
        r = toc_listen_scratch_offer(p->batches[i].scratch, model);
    return r;
}

/* On failure those who changed are offered the old one again; the way back needs as much memory as there was just
 * before. */
static int change_model(struct toc_pipeline *p, enum toc_listener_place place, const struct toc_model **current,
                        const struct toc_model *model)
{
    if (model == *current)
        return 0;
    int r = offer_scratch(p, model);
    uint32_t n = 0;
    while (r == 0 && n < p->n_listeners) {
        r = toc_listener_offer(p->listeners[n], place, model);
        n += r == 0;
    }
    while (r < 0 && n > 0)
        (void)toc_listener_offer(p->listeners[--n], place, *current);
    if (r < 0)
        return r;
    *current = model;
    p->changing = true;
    return 0;
}

int toc_pipeline_change_models(struct toc_pipeline *p, const struct toc_model *picker, const struct toc_model *shadow,
                               const struct toc_model *estimator)
{
    const struct toc_model *old_picker = p->picker, *old_shadow = p->shadow;
    int r = change_model(p, TOC_LISTENER_PICKER, &p->picker, picker);
    if (r < 0)
        return r;
    r = change_model(p, TOC_LISTENER_SHADOW, &p->shadow, shadow);
    if (r == 0)
        r = change_model(p, TOC_LISTENER_ESTIMATOR, &p->estimator, estimator);
    if (r < 0) {
        (void)change_model(p, TOC_LISTENER_PICKER, &p->picker, old_picker);
        (void)change_model(p, TOC_LISTENER_SHADOW, &p->shadow, old_shadow);
    }
    return r;
}

size_t toc_pipeline_changing(const struct toc_pipeline *p)
{
    size_t n = 0;
    for (uint32_t i = 0; p->changing && i < p->n_listeners; i++)
        n += toc_listener_changing(p->listeners[i]);
    return n;
}

/* Once a second while there is a change. */
void toc_pipeline_hurry_silent(struct toc_pipeline *p, toc_ns now)
{
    for (uint32_t i = 0; p->changing && i < p->n_listeners; i++)
        toc_listener_hurry(p->listeners[i], now);
    p->changing = toc_pipeline_changing(p) > 0;
}

bool toc_pipeline_release(struct toc_pipeline *p, const struct toc_model *model)
{
    if (!model || model == p->picker || model == p->shadow || model == p->estimator)
        return false;
    for (uint32_t i = 0; i < p->n_batches; i++)
        if (p->batches[i].out)
            return false;
    for (uint32_t i = 0; i < p->n_listeners; i++) {
        toc_listener_hurry(p->listeners[i], p->clock);
        if (toc_listener_holds(p->listeners[i], model))
            return false;
    }
    for (uint32_t i = 0; i < p->n_batches; i++)
        toc_listen_scratch_drop(p->batches[i].scratch, model);
    return true;
}
