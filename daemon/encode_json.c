/*
 * Field by field, in the order of the protocol page.
 */
#include "daemon/encode_json.h"

#include <math.h>

#include "core/alert.h"
#include "core/domain.h"

static void start(struct toc_json *json, const struct toc_envelope *envelope, const char *type, char *buf, size_t size)
{
    toc_json_init(json, buf, size);
    toc_json_open(json, NULL, '{');
    toc_json_text(json, "schema", TOC_SCHEMA_NAME);
    toc_json_text(json, "type", type);
    toc_json_count(json, "seq", envelope->seq);
    toc_json_time_ns(json, "sent", envelope->sent);
}

static int end(struct toc_json *json)
{
    toc_json_close(json, '}');
    return toc_json_finish(json);
}

int toc_encode_heartbeat(const struct toc_envelope *envelope, const struct toc_heartbeat *heartbeat, char *buf,
                         size_t size)
{
    struct toc_json json;

    start(&json, envelope, "heartbeat", buf, size);
    toc_json_text(&json, "status", envelope->status);
    toc_json_count(&json, "stations_up", heartbeat->stations_up);
    toc_json_count(&json, "stations_total", heartbeat->stations_total);
    toc_json_number(&json, "feed_latency_s", heartbeat->feed_latency_s, 3);
    toc_json_text(&json, "load", heartbeat->load);
    toc_json_number(&json, "wait_s", heartbeat->wait_s, 3);
    toc_json_count(&json, "config_revision", envelope->config_revision);
    return end(&json);
}

static const char *method_str(enum toc_pick_method method)
{
    return method == TOC_METHOD_CNN ? "cnn" : "classical";
}

static void put_domain(struct toc_json *json, const struct toc_verdict *verdict)
{
    toc_json_text(json, "domain", toc_domain_str(verdict->kind));
    toc_json_number(json, "domain_probability", (double)verdict->probability, 3);
    toc_json_number(json, "foreign", (double)verdict->foreign, 3);
}

/* What the second look says; of a first word nothing but that it is one. */
static void put_revision(struct toc_json *json, const struct toc_pick *pick)
{
    toc_json_count(json, "revision", pick->revision);
    toc_json_bool(json, "confirmed", pick->standing == TOC_STANDING_CONFIRMED);
    toc_json_bool(json, "withdrawn", pick->standing == TOC_STANDING_WITHDRAWN);
    if (pick->revision > 0) {
        toc_json_number(json, "s_probability", (double)pick->s_probability, 4);
        toc_json_time_ns(json, "revised", pick->revised);
    }
}

int toc_encode_pick(const struct toc_envelope *envelope, const struct toc_pick_report *report, char *buf, size_t size)
{
    const struct toc_pick *pick = &report->pick;
    struct toc_json json;

    start(&json, envelope, "pick", buf, size);
    toc_json_text(&json, "sid", report->sid);
    toc_json_count(&json, "pick", pick->id);
    toc_json_text(&json, "phase", pick->phase == TOC_PHASE_P ? "P" : "S");
    toc_json_time_ns(&json, "time", pick->time);
    toc_json_number(&json, "sigma_s", (double)pick->sigma_s, 3);
    toc_json_number(&json, "probability", (double)pick->probability, 4);
    toc_json_time_ns(&json, "declared", pick->declared);
    toc_json_text(&json, "method", method_str(pick->method));
    toc_json_number(&json, "snr_db", (double)pick->snr_db, 1);
    toc_json_number(&json, "classical_ratio", (double)pick->classical_ratio, 2);
    toc_json_integer(&json, "polarity", pick->polarity);
    put_revision(&json, pick);
    put_domain(&json, &pick->domain);
    return end(&json);
}

static void put_opinion(struct toc_json *json, const char *who, const struct toc_pick *pick, bool said)
{
    if (!said) {
        toc_json_text(json, who, NULL);
        return;
    }
    toc_json_open(json, who, '{');
    toc_json_time_ns(json, "time", pick->time);
    toc_json_number(json, "sigma_s", (double)pick->sigma_s, 3);
    toc_json_number(json, "probability", (double)pick->probability, 4);
    toc_json_time_ns(json, "declared", pick->declared);
    toc_json_close(json, '}');
}

int toc_encode_shadow(const struct toc_envelope *envelope, const struct toc_shadow_note *note, char *buf, size_t size)
{
    const struct toc_shadow_report *r = &note->report;
    const struct toc_pick *either = r->verdict == TOC_SHADOW_ONLY ? &r->shadow : &r->live;
    bool both = r->verdict == TOC_SHADOW_BOTH;
    struct toc_json json;

    start(&json, envelope, "shadow", buf, size);
    toc_json_text(&json, "sid", note->sid);
    toc_json_text(&json, "phase", either->phase == TOC_PHASE_P ? "P" : "S");
    toc_json_text(&json, "verdict", toc_shadow_verdict_str(r->verdict));
    put_opinion(&json, "live", &r->live, r->verdict != TOC_SHADOW_ONLY);
    put_opinion(&json, "shadow", &r->shadow, r->verdict != TOC_SHADOW_LIVE_ONLY);
    toc_json_number(&json, "later_s", both ? toc_s_from_ns(r->shadow.time - r->live.time) : (double)NAN, 3);
    toc_json_number(&json, "declared_later_s", both ? toc_s_from_ns(r->shadow.declared - r->live.declared) : (double)NAN, 3);
    return end(&json);
}

int toc_encode_estimate(const struct toc_envelope *envelope, const struct toc_estimate_report *report, char *buf,
                        size_t size)
{
    const struct toc_estimate *e = &report->estimate;
    struct toc_json json;

    start(&json, envelope, "estimate", buf, size);
    toc_json_text(&json, "sid", report->sid);
    toc_json_count(&json, "pick", e->pick_id);
    toc_json_time_ns(&json, "pick_time", e->pick_time);
    toc_json_number(&json, "after_p_s", (double)e->after_p_s, 2);
    toc_json_number(&json, "magnitude", (double)e->magnitude, 3);
    toc_json_number(&json, "magnitude_sigma", (double)e->magnitude_sigma, 3);
    toc_json_number(&json, "distance_km", (double)e->distance_km, 2);
    toc_json_number(&json, "s_minus_p_s", (double)e->s_minus_p_s, 3);
    toc_json_number(&json, "s_minus_p_sigma_s", (double)e->s_minus_p_sigma_s, 3);
    toc_json_bool(&json, "saturated", e->saturated);
    toc_json_measure(&json, "pa_ms2", (double)e->pa_ms2);
    toc_json_measure(&json, "pv_ms", (double)e->pv_ms);
    toc_json_measure(&json, "pd_m", (double)e->pd_m);
    toc_json_measure(&json, "iv2_m2s", (double)e->iv2_m2s);
    toc_json_measure(&json, "tau_c_s", (double)e->tau_c_s);
    toc_json_measure(&json, "tau_p_max_s", (double)e->tau_p_max_s);
    toc_json_number(&json, "snr_db", (double)e->snr_db, 1);
    toc_json_number(&json, "window_s", (double)e->window_s, 2);
    toc_json_integer(&json, "polarity", e->polarity);
    toc_json_bool(&json, "clipped", e->clipped);
    toc_json_bool(&json, "s_guarded", e->s_guarded);
    put_domain(&json, &e->domain);
    return end(&json);
}

static void put_origin(struct toc_json *json, const struct toc_origin *origin)
{
    toc_json_time_ns(json, "origin_time", origin->time);
    toc_json_number(json, "origin_time_sigma_s", origin->time_sigma_s, 3);
    toc_json_number(json, "latitude", origin->latitude_deg, 5);
    toc_json_number(json, "longitude", origin->longitude_deg, 5);
    toc_json_number(json, "horizontal_sigma_km", origin->horizontal_sigma_km, 2);
    toc_json_number(json, "depth_km", origin->depth_km, 2);
    toc_json_number(json, "depth_sigma_km", origin->depth_sigma_km, 2);
    toc_json_number(json, "rms_s", origin->rms_s, 3);
    toc_json_number(json, "azimuth_gap_deg", origin->azimuth_gap_deg, 0);
    toc_json_count(json, "used_picks", origin->used_picks);
    toc_json_count(json, "used_sites", origin->used_sites);
}

static void put_score(struct toc_json *json, const struct toc_alert *alert)
{
    const struct toc_score_terms *terms = &alert->terms;

    toc_json_number(json, "magnitude", alert->magnitude, 2);
    toc_json_number(json, "magnitude_sigma", alert->magnitude_sigma, 2);
    toc_json_number(json, "magnitude_upper", alert->magnitude_upper, 2);
    toc_json_bool(json, "magnitude_at_least", alert->magnitude_at_least);
    toc_json_number(json, "score", alert->score, 4);
    toc_json_open(json, "score_terms", '{');
    toc_json_number(json, "evidence", terms->evidence, 4);
    toc_json_number(json, "stations", terms->stations, 4);
    toc_json_number(json, "residual", terms->residual, 4);
    toc_json_number(json, "expected", terms->expected, 4);
    toc_json_number(json, "magnitude", terms->magnitude, 4);
    toc_json_close(json, '}');
}

static void put_stations(struct toc_json *json, const struct toc_alert *alert)
{
    toc_json_open(json, "stations", '[');
    for (uint16_t i = 0; i < alert->n_stations && i < TOC_ALERT_STATIONS_MAX; i++) {
        const struct toc_alert_station *station = &alert->stations[i];

        toc_json_open(json, NULL, '{');
        toc_json_text(json, "sid", station->sid);
        toc_json_bool(json, "used", station->used);
        toc_json_text(json, "reason", station->reason);
        toc_json_number(json, "weight", (double)station->weight, 4);
        toc_json_close(json, '}');
    }
    toc_json_close(json, ']');
}

static void put_target(struct toc_json *json, const struct toc_alert_target *target)
{
    toc_json_open(json, NULL, '{');
    toc_json_text(json, "name", target->name);
    toc_json_number(json, "distance_km", target->distance_km, 1);
    toc_json_number(json, "mmi", target->mmi, 2);
    toc_json_number(json, "mmi_sigma", target->mmi_sigma, 2);
    toc_json_number(json, "pga_ms2", target->pga_ms2, 5);
    toc_json_number(json, "pgv_ms", target->pgv_ms, 6);
    toc_json_number(json, "p_exceed", target->p_exceed, 4);
    toc_json_time_ns(json, "s_arrival", target->s_arrival);
    toc_json_number(json, "seconds_left", target->seconds_left, 2);
    toc_json_bool(json, "blind_zone", target->blind_zone);
    toc_json_close(json, '}');
}

static void put_targets(struct toc_json *json, const struct toc_alert *alert)
{
    toc_json_open(json, "targets", '[');
    for (uint16_t i = 0; i < alert->n_targets && i < TOC_ALERT_TARGETS_MAX; i++)
        put_target(json, &alert->targets[i]);
    toc_json_close(json, ']');
}

static void put_model(struct toc_json *json, const char *part, const char *name, const char *hash)
{
    if (!name) {
        toc_json_text(json, part, NULL);
        return;
    }
    toc_json_open(json, part, '{');
    toc_json_text(json, "name", name);
    toc_json_text(json, "hash", hash);
    toc_json_close(json, '}');
}

/* Milliseconds between two stages; null when one of them is not known. */
static void put_stage(struct toc_json *json, const char *name, toc_ns from, toc_ns to)
{
    bool known = from != TOC_NS_NONE && to != TOC_NS_NONE;

    toc_json_number(json, name, known ? (double)(to - from) / (double)TOC_NS_PER_MS : (double)NAN, 3);
}

static void put_ledger(struct toc_json *json, const struct toc_envelope *envelope, const struct toc_alert *alert)
{
    toc_json_open(json, "ledger", '{');
    put_stage(json, "origin_to_sample", alert->origin.time, alert->ledger_sample);
    put_stage(json, "sample_to_arrival", alert->ledger_sample, alert->ledger_arrival);
    put_stage(json, "arrival_to_decision", alert->ledger_arrival, alert->issued);
    put_stage(json, "decision_to_sent", alert->issued, envelope->sent);
    toc_json_close(json, '}');
}

int toc_encode_alert(const struct toc_envelope *envelope, const struct toc_alert *alert, char *buf, size_t size)
{
    struct toc_json json;

    start(&json, envelope, toc_alert_type_str(alert->type), buf, size);
    toc_json_text(&json, "event", alert->event);
    toc_json_count(&json, "version", alert->version);
    toc_json_text(&json, "status", envelope->status);
    put_origin(&json, &alert->origin);
    put_score(&json, alert);
    put_domain(&json, &alert->domain);
    put_stations(&json, alert);
    put_targets(&json, alert);
    toc_json_text(&json, "method", method_str(alert->method));
    toc_json_text(&json, "rule", alert->rule);
    toc_json_text(&json, "reason", alert->reason);
    toc_json_count(&json, "config_revision", envelope->config_revision);
    toc_json_open(&json, "model", '{');
    put_model(&json, "picker", envelope->picker_name, envelope->picker_hash);
    put_model(&json, "second", envelope->second_name, envelope->second_hash);
    put_model(&json, "estimator", envelope->estimator_name, envelope->estimator_hash);
    toc_json_text(&json, "problem", envelope->model_problem);
    toc_json_close(&json, '}');
    toc_json_time_ns(&json, "issued", alert->issued);
    put_ledger(&json, envelope, alert);
    return end(&json);
}
