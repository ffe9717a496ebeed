/*
 * Record to message. Live, the network runs on workers and the loop goes on
 * listening; with the data clock everything is done in place, so that a
 * recording gives the same result at any speed.
 */
#include "daemon/daemon.h"

#include <string.h>

#include "daemon/clock.h"

#define BATCH_LATE_S 1.0

/* ---- messages out ---- */

static const struct toc_envelope *stamp(struct toc_daemon *d)
{
    toc_ns now = toc_dataclock_now(&d->clock);

    d->envelope.seq++;
    d->envelope.sent = now == TOC_NS_NONE ? toc_clock_utc() : now;
    d->envelope.status = toc_config_status_str(d->config);
    d->envelope.config_revision = d->config_revision;
    return &d->envelope;
}

static void send_line(struct toc_daemon *d, int len)
{
    if (len < 0 || toc_publisher_send(d->publisher, d->line, (size_t)len) < 0)
        toc_log(TOC_LOG_ERROR, "message %llu was not sent: %s", (unsigned long long)d->envelope.seq,
                len < 0 ? "too long" : "no memory");
}

static void tell_alert(const struct toc_alert *alert)
{
    const struct toc_log_about about = {.kind = TOC_LOG_EVENT, .event = alert->event};
    bool loud = alert->type == TOC_ALERT_ALERT || alert->type == TOC_ALERT_CANCEL;

    toc_log_about(loud ? TOC_LOG_ALERT : TOC_LOG_NOTICE, &about,
                  "%s %s v%u: M %.1f +- %.1f at %.3f %.3f, %.0f km deep, score %.2f, %u sites (%s)",
                  toc_alert_type_str(alert->type), alert->event, alert->version, alert->magnitude,
                  alert->magnitude_sigma, alert->origin.latitude_deg, alert->origin.longitude_deg,
                  alert->origin.depth_km, alert->score, alert->origin.used_sites, alert->reason ? alert->reason : "");
}

static void send_alerts(struct toc_daemon *d)
{
    static struct toc_alert alert; /* large; one thread */

    while (toc_pipeline_next_alert(d->engine.pipeline, &alert)) {
        send_line(d, toc_encode_alert(stamp(d), &alert, d->line, sizeof(d->line)));
        tell_alert(&alert); /* after: the journal must not delay it */
    }
}

/* A reader of the log shall know why picks came later or why a weak one did not: each change is told. */
static void tell_load(struct toc_daemon *d)
{
    struct toc_load_report load;

    while (toc_pipeline_next_load(d->engine.pipeline, &load))
        toc_log(load.to > load.from ? TOC_LOG_WARNING : TOC_LOG_NOTICE, "load: %s -> %s (data wait %.2f s)%s",
                toc_load_mode_str(load.from), toc_load_mode_str(load.to), load.wait_s,
                load.to > load.from ? ": more data than the workers can do" : "");
}

/* Where the shadow differs is told within a budget of lines; the counters have all of it. */
static void tell_shadow(struct toc_daemon *d)
{
    struct toc_shadow_note note;

    while (toc_pipeline_next_shadow(d->engine.pipeline, &note)) {
        const struct toc_log_about about = {.kind = TOC_LOG_STATION, .station = note.sid};
        bool live = note.report.verdict == TOC_SHADOW_LIVE_ONLY;
        const struct toc_pick *pick = live ? &note.report.live : &note.report.shadow;

        if (note.report.verdict == TOC_SHADOW_BOTH || !toc_log_allow(&d->shadow_limit, toc_clock_mono()))
            continue;
        toc_log_about(TOC_LOG_INFO, &about, "%s: %s with probability %.2f, said by the %s alone", note.sid,
                      pick->phase == TOC_PHASE_P ? "P" : "S", (double)pick->probability,
                      live ? "live picker" : "shadow");
    }
}

void toc_daemon_drain(struct toc_daemon *d)
{
    struct toc_pick_report pick;
    struct toc_estimate_report estimate;

    send_alerts(d);
    tell_load(d);
    tell_shadow(d);
    while (toc_pipeline_next_pick(d->engine.pipeline, &pick))
        if (d->config->send_picks)
            send_line(d, toc_encode_pick(stamp(d), &pick, d->line, sizeof(d->line)));
    while (toc_pipeline_next_estimate(d->engine.pipeline, &estimate))
        if (d->config->send_estimates)
            send_line(d, toc_encode_estimate(stamp(d), &estimate, d->line, sizeof(d->line)));
}

void toc_daemon_beat(struct toc_daemon *d)
{
    struct toc_heartbeat beat;
    const struct toc_envelope *envelope = stamp(d);

    toc_engine_heartbeat(&d->engine, envelope->sent, &beat);
    send_line(d, toc_encode_heartbeat(envelope, &beat, d->line, sizeof(d->line)));
}

/* ---- the network, on workers ---- */

static void give(struct toc_daemon *d, struct toc_batch *batch)
{
    toc_pipeline_give_batch(d->engine.pipeline, batch, toc_dataclock_now(&d->clock));
    toc_daemon_drain(d);
    d->dirty = true;
}

void toc_daemon_on_batch(void *user, struct toc_batch *batch)
{
    struct toc_daemon *d = user;

    give(d, batch);
    if (!d->stopping)
        toc_daemon_infer(d);
}

/* A batch is milliseconds of work: one that takes longer is shown, not hidden. Its data and what waits are late meanwhile. */
static void watch_batches(struct toc_daemon *d)
{
    double age = toc_workers_oldest_s(d->workers, toc_clock_mono());

    if (age < BATCH_LATE_S)
        d->late = false;
    else if (!d->late) {
        d->late = true;
        toc_log(TOC_LOG_WARNING, "a worker has been busy with one batch for %.1f s", age);
    }
}

static void on_again(uv_idle_t *again)
{
    (void)again; /* it is the check after it that works; while it runs the loop does not wait */
}

/* Without workers: one batch a turn of the loop, so that sockets are read in between. */
static void run_one(struct toc_daemon *d)
{
    struct toc_batch *batch = toc_pipeline_take_batch(d->engine.pipeline, toc_dataclock_now(&d->clock));

    if (!batch) {
        uv_idle_stop(&d->again);
        return;
    }
    toc_batch_run(batch);
    give(d, batch);
    uv_idle_start(&d->again, on_again);
}

void toc_daemon_infer(struct toc_daemon *d)
{
    struct toc_batch *batch;

    if (d->clock.data || !d->dirty)
        return;
    d->dirty = false;
    if (!d->workers)
        run_one(d);
    else /* as many may be out as there are workers, so each finds one */
        while ((batch = toc_pipeline_take_batch(d->engine.pipeline, toc_dataclock_now(&d->clock))))
            (void)toc_workers_submit(d->workers, batch);
}

/* ---- time and records ---- */

static void tick(struct toc_daemon *d)
{
    toc_ns now = toc_dataclock_now(&d->clock);

    toc_pipeline_tick(d->engine.pipeline, now);
    if (d->clock.data)
        toc_pipeline_work(d->engine.pipeline, now);
    d->dirty = true;
    toc_daemon_drain(d);
    watch_batches(d);
}

static void advance(struct toc_daemon *d, toc_ns until)
{
    while (toc_dataclock_tick(&d->clock, until))
        tick(d);
    toc_dataclock_reach(&d->clock, until);
}

/* A record that lies is counted in core; here the operator hears why, within a budget of lines. The codes of a refused record
 * are not to be believed, so none are shown. */
static void push_record(struct toc_daemon *d, const uint8_t *bytes, size_t len, toc_ns now)
{
    enum toc_decode_verdict verdict = toc_pipeline_push_record(d->engine.pipeline, bytes, len, now);

    if (verdict != TOC_DECODE_OK && toc_log_allow(&d->record_limit, toc_clock_mono()))
        toc_log(TOC_LOG_WARNING, "record of %zu bytes refused: %s", len, toc_decode_verdict_str(verdict));
}

/* TOC_NS_NONE: rubbish before anything else; the fence counts it at any time. */
static void push_at(struct toc_daemon *d, const uint8_t *bytes, size_t len, toc_ns arrival)
{
    if (arrival != TOC_NS_NONE) {
        toc_dataclock_expect(&d->clock, arrival, toc_clock_mono());
        advance(d, arrival);
    }
    push_record(d, bytes, len, d->clock.now == TOC_NS_NONE ? 0 : d->clock.now);
    if (d->clock.now == TOC_NS_NONE)
        return;
    toc_pipeline_work(d->engine.pipeline, d->clock.now);
    toc_daemon_drain(d);
}

/* The next record has come: the one far ahead is believed, or given to the fence at the time that it is. */
static void let_go(struct toc_daemon *d, toc_ns next)
{
    size_t len = d->held_len;

    d->held_len = 0;
    if (len > 0)
        push_at(d, d->held, len, toc_dataclock_believes(d->held_arrival, next) ? d->held_arrival : d->clock.now);
}

static void hold(struct toc_daemon *d, const uint8_t *bytes, size_t len, toc_ns arrival)
{
    memcpy(d->held, bytes, len);
    d->held_len = len;
    d->held_arrival = arrival;
    d->clock.moved = toc_clock_mono();
}

/* Served recordings carry no arrival: half a second after the last sample, as replay assumes. */
static void push_served(struct toc_daemon *d, const uint8_t *bytes, size_t len)
{
    struct toc_chunk chunk;
    toc_ns arrival;

    if (toc_decode_record(d->decoder, bytes, len, &chunk) != TOC_DECODE_OK) {
        push_at(d, bytes, len, d->clock.now);
        return;
    }
    arrival = chunk.start + toc_ns_from_s((double)chunk.n / chunk.rate_hz) + TOC_NS_PER_S / 2;
    let_go(d, arrival);
    if (toc_dataclock_is_far(&d->clock, arrival) && len <= sizeof(d->held))
        hold(d, bytes, len, arrival);
    else
        push_at(d, bytes, len, arrival);
}

void toc_daemon_pass_time(struct toc_daemon *d)
{
    struct toc_mono mono = toc_clock_mono();

    if (!d->clock.data) {
        tick(d);
        return;
    }
    if (d->held_len > 0 && toc_clock_elapsed_s(d->clock.moved, mono) > d->clock.patience_s)
        let_go(d, d->held_arrival); /* no second one comes */
    if (d->clock.now != TOC_NS_NONE)
        advance(d, toc_dataclock_idle(&d->clock, mono));
}

void toc_daemon_on_record(void *user, const uint8_t *bytes, size_t len, toc_ns arrival)
{
    struct toc_daemon *d = user;

    if (d->clock.data) {
        if (arrival == TOC_NS_NONE)
            push_served(d, bytes, len);
        else
            push_at(d, bytes, len, arrival);
        return;
    }
    push_record(d, bytes, len, toc_dataclock_now(&d->clock));
    d->dirty = true;
}
