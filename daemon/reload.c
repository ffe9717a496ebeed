/*
 * A new configuration between two ticks: read and checked whole, then swapped,
 * or not at all.
 */
#include "daemon/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/clock.h"

struct toc_publisher_limits toc_daemon_limits(const struct toc_config *config)
{
    return (struct toc_publisher_limits){
        .subscribers_max = (size_t)config->subscribers_max,
        .soft_bytes = (size_t)config->queue_soft_kib * 1024,
        .hard_bytes = (size_t)config->queue_hard_kib * 1024,
        .lag_s = config->lag_s,
    };
}

static int load(struct toc_daemon *d, struct toc_config **ret_config, char *why, size_t size)
{
    struct toc_config_error error = {0};
    int err;

    if (!d->config_path) {
        snprintf(why, size, "started without a configuration file: there is nothing to read again");
        return -EINVAL;
    }
    err = toc_config_load(d->config_path, ret_config, &error);
    if (err < 0)
        toc_config_error_str(&error, why, size);
    return err;
}

static int use_models(struct toc_daemon *d, const struct toc_config *config, char *why, size_t size)
{
    const struct toc_log_about about = {.kind = TOC_LOG_RELOAD};
    bool changed = false;
    int err = toc_engine_change_models(&d->engine, config, &changed, why, size);

    toc_engine_describe(&d->engine, &d->envelope);
    if (changed)
        toc_log_about(TOC_LOG_NOTICE, &about, "networks change: picker %s, estimator %s; %zu stations warm up, nothing is missed",
                      d->envelope.picker_name ? d->envelope.picker_name : "classical",
                      d->envelope.estimator_name ? d->envelope.estimator_name : "classical",
                      toc_pipeline_changing(d->engine.pipeline));
    return err;
}

/* What can change while running is taken; what cannot keeps its running value, and is named. */
static int use(struct toc_daemon *d, struct toc_config *config, char *why, size_t size)
{
    struct toc_settings settings = config->core;
    char reason[256] = "";
    int err;

    settings.picker.hop_s = d->config->core.picker.hop_s;
    settings.stream.ring_s = d->config->core.stream.ring_s;
    err = toc_pipeline_reconfigure(d->engine.pipeline, &settings, config->targets, config->n_targets, reason,
                                   sizeof(reason));
    if (err < 0) {
        snprintf(why, size, "%s: %s", d->config_path, reason[0] ? reason : strerror(-err));
        return err;
    }
    err = use_models(d, config, why, size);
    if (err < 0) /* back to what was accepted before: this cannot fail */
        (void)toc_pipeline_reconfigure(d->engine.pipeline, &d->config->core, d->config->targets, d->config->n_targets,
                                       reason, sizeof(reason));
    return err;
}

static void name_changes(const struct toc_config *before, const struct toc_config *after, uint32_t revision)
{
    const struct toc_log_about about = {.kind = TOC_LOG_RELOAD};
    char names[512] = "";
    size_t n = 0, len = 0;
    const struct toc_schema *s = &toc_config_schema;

    for (size_t i = 0; (i = toc_schema_differs(s, before, after, i)) < s->n_rows; i++) {
        if (len < sizeof(names))
            len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", n ? ", " : "", s->rows[i].path);
        n++;
    }
    toc_log_about(TOC_LOG_NOTICE, &about, "configuration revision %u: %s%s", revision, n ? "changed " : "no change",
                  names);
    if (toc_config_needs_restart(before, after, names, sizeof(names)) > 0)
        toc_log_about(TOC_LOG_WARNING, &about, "these take effect at the next start only: %s", names);
}

/* d->config keeps saying what runs: keys that need a restart keep their old values; every reload names them anew. */
static void swap(struct toc_daemon *d, struct toc_config *config)
{
    struct toc_config *old = d->config;
    struct toc_publisher_limits limits = toc_daemon_limits(config);

    d->config_revision++;
    name_changes(old, config, d->config_revision);
    toc_schema_exchange(&toc_config_schema, TOC_ROW_RESTART, old, config);
    d->config = config;
    toc_publisher_limit(d->publisher, &limits);
    toc_config_destroy(old);
}

static int reload(struct toc_daemon *d, char *why, size_t size)
{
    struct toc_config *config = NULL;
    int err = load(d, &config, why, size);

    if (err < 0)
        return err;
    err = use(d, config, why, size);
    if (err < 0)
        toc_config_destroy(config);
    else
        swap(d, config);
    return err;
}

int toc_daemon_reload(struct toc_daemon *d, char *ret_why, size_t why_size)
{
    const struct toc_log_about about = {.kind = TOC_LOG_RELOAD};
    int err;

    toc_notify_reloading(toc_clock_mono());
    err = reload(d, ret_why, why_size);
    if (err < 0) {
        d->reloads_refused++;
        toc_log_about(TOC_LOG_ERROR, &about, "configuration not taken, the old one stays: %s", ret_why);
    }
    toc_notify_ready();
    return err;
}
