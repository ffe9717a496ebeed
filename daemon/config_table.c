/*
 * The schema tables. A key exists here or nowhere. Defaults of the core's
 * settings are core's own (TOC_SETTINGS_DEFAULT); ranges are those stated
 * in core/settings.h.
 */
#include "daemon/config.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- stations of a feed ---- */

#define STATION(member) .offset = offsetof(struct toc_config_station, member), \
                        .size = sizeof(((struct toc_config_station *)0)->member)

static const struct toc_config_station station_default = {.select = ""};

static const struct toc_row station_rows[] = {
    {.path = "net", .type = TOC_ROW_TEXT, .flags = TOC_ROW_REQUIRED, STATION(net), .doc = "network code"},
    {.path = "sta", .type = TOC_ROW_TEXT, .flags = TOC_ROW_REQUIRED, STATION(sta), .doc = "station code"},
    {.path = "select", .type = TOC_ROW_TEXT, STATION(select),
     .doc = "SeedLink selector, [LL]CCC[.T] with ? for any character; empty takes all"},
};

/* "NET_STA" */
static int station_from_scalar(const char *text, void *item, const char **ret_problem)
{
    struct toc_config_station *station = item;
    size_t net = strcspn(text, "_"), sta = text[net] ? strlen(text + net + 1) : 0;

    if (net == 0 || net >= sizeof(station->net) || sta == 0 || sta >= sizeof(station->sta)) {
        *ret_problem = "is not NET_STA (each 1 to 8 characters)";
        return -EINVAL;
    }
    memcpy(station->net, text, net);
    station->net[net] = 0;
    memcpy(station->sta, text + net + 1, sta + 1);
    return 0;
}

static const struct toc_schema station_schema = {
    .rows = station_rows, .n_rows = COUNT(station_rows), .size = sizeof(struct toc_config_station),
    .defaults = &station_default, .place_offset = offsetof(struct toc_config_station, place),
    .from_scalar = station_from_scalar,
};

/* ---- feeds ---- */

#define FEED(member) .offset = offsetof(struct toc_config_feed, member), \
                     .size = sizeof(((struct toc_config_feed *)0)->member)

static const char *const feed_types[] = {"seedlink", "file", NULL};

static const struct toc_config_feed feed_default = {.port = 18000, .speed = 1};

static const struct toc_row feed_rows[] = {
    {.path = "type", .type = TOC_ROW_CHOICE, .flags = TOC_ROW_REQUIRED, FEED(type), .choices = feed_types,
     .doc = "seedlink: a SeedLink 3 server; file: miniSEED from disk, and then this feed alone"},
    {.path = "name", .type = TOC_ROW_TEXT, FEED(name), .doc = "name in log and status; empty: host or path"},
    {.path = "host", .type = TOC_ROW_TEXT, FEED(host), .doc = "seedlink: name or address of the server"},
    {.path = "port", .type = TOC_ROW_INTEGER, FEED(port), .min = 1, .max = 65535, .doc = "seedlink: TCP port"},
    {.path = "stations", .type = TOC_ROW_LIST, FEED(stations), .max = TOC_CONFIG_STATIONS_MAX,
     .items = &station_schema,
     .doc = "seedlink: list of NET_STA or {net, sta, select}; left out: every station of the metadata"},
    {.path = "path", .type = TOC_ROW_TEXT, FEED(path), .doc = "file: a miniSEED file, or a folder of *.mseed"},
    {.path = "speed", .type = TOC_ROW_NUMBER, FEED(speed), .min = 0, .max = 10000, .unit = "times real time",
     .doc = "file: pace; 0 is as fast as possible"},
};

static const struct toc_schema feed_schema = {
    .rows = feed_rows, .n_rows = COUNT(feed_rows), .size = sizeof(struct toc_config_feed),
    .defaults = &feed_default, .place_offset = offsetof(struct toc_config_feed, place),
};

/* ---- layers ---- */

#define LAYER(member) .offset = offsetof(struct toc_config_layer, layer.member)

static const struct toc_config_layer layer_default = {.layer = {.top_km = 0, .vp_kms = 6, .vs_kms = 3.5}};

static const struct toc_row layer_rows[] = {
    {.path = "top_km", .type = TOC_ROW_NUMBER, .flags = TOC_ROW_REQUIRED, LAYER(top_km), .min = -10, .max = 1000,
     .unit = "km", .doc = "depth of the upper edge; the first is 0 or less, each next one is deeper"},
    {.path = "vp_kms", .type = TOC_ROW_NUMBER, .flags = TOC_ROW_REQUIRED, LAYER(vp_kms), .min = 0.1, .max = 15,
     .unit = "km/s", .doc = "P velocity"},
    {.path = "vs_kms", .type = TOC_ROW_NUMBER, .flags = TOC_ROW_REQUIRED, LAYER(vs_kms), .min = 0.1, .max = 15,
     .unit = "km/s", .doc = "S velocity, below that of P"},
};

static const struct toc_schema layer_schema = {
    .rows = layer_rows, .n_rows = COUNT(layer_rows), .size = sizeof(struct toc_config_layer),
    .defaults = &layer_default, .place_offset = offsetof(struct toc_config_layer, place),
};

/* ---- targets ---- */

#define TARGET(member) .offset = offsetof(struct toc_config_target, target.member), \
                       .size = sizeof(((struct toc_config_target *)0)->target.member)

static const struct toc_config_target target_default = {.target = {.mmi_limit = 5}};

static const struct toc_row target_rows[] = {
    {.path = "name", .type = TOC_ROW_TEXT, .flags = TOC_ROW_REQUIRED, TARGET(name), .doc = "as it stands in alerts"},
    {.path = "latitude", .type = TOC_ROW_NUMBER, .flags = TOC_ROW_REQUIRED, TARGET(latitude_deg), .min = -90,
     .max = 90, .unit = "deg", .doc = "positive north"},
    {.path = "longitude", .type = TOC_ROW_NUMBER, .flags = TOC_ROW_REQUIRED, TARGET(longitude_deg), .min = -180,
     .max = 180, .unit = "deg", .doc = "positive east"},
    {.path = "mmi_limit", .type = TOC_ROW_NUMBER, TARGET(mmi_limit), .min = 1, .max = 10, .unit = "MMI",
     .doc = "intensity whose probability of being passed is reported"},
};

static const struct toc_schema target_schema = {
    .rows = target_rows, .n_rows = COUNT(target_rows), .size = sizeof(struct toc_config_target),
    .defaults = &target_default, .place_offset = offsetof(struct toc_config_target, place),
};

/* ---- the main file ---- */

#define AT(member) .offset = offsetof(struct toc_config, member), .size = sizeof(((struct toc_config *)0)->member)
#define NUMBER(p, member, lo, hi, u, text) \
    {.path = p, .type = TOC_ROW_NUMBER, AT(member), .min = lo, .max = hi, .unit = u, .doc = text}
#define FIXED_NUMBER(p, member, lo, hi, u, text) \
    {.path = p, .type = TOC_ROW_NUMBER, .flags = TOC_ROW_RESTART, AT(member), .min = lo, .max = hi, .unit = u, \
     .doc = text}
#define THRESHOLD(p, member, text) \
    {.path = p, .type = TOC_ROW_NUMBER, .flags = TOC_ROW_AUTO, AT(member), .min = 0, .max = 1, .doc = text}
#define INTEGER(p, member, lo, hi, u, text) \
    {.path = p, .type = TOC_ROW_INTEGER, AT(member), .min = lo, .max = hi, .unit = u, .doc = text}
#define PATH(p, member, text) \
    {.path = p, .type = TOC_ROW_TEXT, .flags = TOC_ROW_RESTART, AT(member), .doc = text}

#define SWAPPED(p, member, text) {.path = p, .type = TOC_ROW_TEXT, AT(member), .doc = text}

static const char *const statuses[] = {"actual", "exercise", NULL};
static const char *const clocks[] = {"system", "data", NULL};

static const struct toc_config config_default = {
    .name = "tocsin",
    .workers = -1,
    .max_distance_km = 500,
    .max_depth_km = 150,
    .core = TOC_SETTINGS_DEFAULT,
    .output_path = "/run/tocsin/alerts.sock",
    .heartbeat_s = 1,
    .lag_s = 5,
    .subscribers_max = 256,
    .queue_soft_kib = 256,
    .queue_hard_kib = 1024,
    .send_picks = true,
    .send_estimates = false,
    .control_path = "/run/tocsin/control.sock",
};

static const struct toc_row config_rows[] = {
    {.path = "daemon.name", .type = TOC_ROW_TEXT, AT(name), .doc = "Name of this instance in status and log."},
    {.path = "daemon.status", .type = TOC_ROW_CHOICE, AT(status), .choices = statuses,
     .doc = "What alerts say of themselves. With a file feed or the data clock they say replay (or exercise)."},
    {.path = "daemon.clock", .type = TOC_ROW_CHOICE, .flags = TOC_ROW_RESTART, AT(clock), .choices = clocks,
     .doc = "system: now is the host's clock. data: now follows the newest data, for recordings served as if live;\n"
            "never for real warning."},
    {.path = "daemon.workers", .type = TOC_ROW_INTEGER, .flags = TOC_ROW_RESTART, AT(workers), .min = -1,
     .max = TOC_PIPELINE_WORKERS_MAX, .unit = "threads",
     .doc = "Threads that run the networks; -1: one per processor; 0: all on one thread."},

    {.path = "feeds", .type = TOC_ROW_LIST, .flags = TOC_ROW_RESTART, AT(feeds), .max = TOC_CONFIG_FEEDS_MAX,
     .items = &feed_schema, .doc = "Where data come from.",
     .example = "feeds:\n  - type: seedlink\n    host: rtserve.iris.washington.edu\n    stations:\n      - CI_CCC\n"
                "      - {net: CI, sta: CLC, select: HH?.D}"},

    PATH("metadata.stations", stations_path,
         "FDSN station text (level=channel): places, orientations, gains. Relative paths are relative to this file."),

    PATH("velocity.file", velocity_path, "Layered velocity model; empty: the layers below, or the built-in model."),
    {.path = "velocity.layers", .type = TOC_ROW_LIST, .flags = TOC_ROW_RESTART, AT(velocity_layers),
     .max = TOC_LAYERS_MAX, .items = &layer_schema, .doc = "The model written out here instead of in a file.",
     .example = "layers:\n  - {top_km: 0, vp_kms: 5.5, vs_kms: 3.18}\n  - {top_km: 5.5, vp_kms: 6.3, vs_kms: 3.64}"},
    FIXED_NUMBER("velocity.max_distance_km", max_distance_km, 10, 2000, "km", "Travel-time tables reach this far."),
    FIXED_NUMBER("velocity.max_depth_km", max_depth_km, 1, 700, "km", "... and this deep."),

    SWAPPED("models.picker", picker_path,
            "Picker network (safetensors); empty: the one that ships; none: the classical picker alone. Read again at each\n"
            "reload: a new one runs beside the old one until it has heard enough, then decides."),
    SWAPPED("models.shadow_picker", shadow_path,
            "Another picker network that reads the same data and decides nothing: log and status say where it differs;\n"
            "empty: none."),
    PATH("models.second", second_path,
         "Network of the second look (safetensors), which says a P again 1 to 4 s after its onset, confirmed or withdrawn and\n"
         "with a better time; empty: the one that ships; none: picks are said once."),
    SWAPPED("models.estimator", estimator_path,
            "Magnitude network (safetensors); empty: the one that ships; none: the classical relation alone. Read again at\n"
            "each reload: new arrivals get the new one."),

    FIXED_NUMBER("stream.ring_s", core.stream.ring_s, 10, 600, "s", "Seconds of samples kept per channel."),
    NUMBER("stream.gap_hold_s", core.stream.gap_hold_s, 0, 60, "s",
           "How long late records are waited for before a gap is passed."),
    NUMBER("stream.align_wait_s", core.stream.align_wait_s, 0, 60, "s",
           "How long a lagging component is waited for before going on without it."),
    NUMBER("stream.bridge_s", core.stream.bridge_s, 0, 1, "s",
           "Gaps up to this length are bridged by a straight line; longer ones restart the filters."),
    NUMBER("stream.future_s", core.stream.future_s, 0, 3600, "s",
           "Records that start later than now by more than this are refused."),
    NUMBER("stream.clip_counts", core.stream.clip_counts, 1, 1e10, "counts",
           "Samples of this size or more are clipped (80 % of a 24-bit range)."),

    {.path = "picker.hop_s", .type = TOC_ROW_NUMBER, .flags = TOC_ROW_RESTART, AT(core.picker.hop_s), .min = 0.05,
     .max = 1, .step = 0.05, .unit = "s", .doc = "The network runs each time this much new data is there."},
    THRESHOLD("picker.p_threshold", core.picker.p_threshold,
              "Probability at which a P pick is declared; auto: what the network's manifest suggests for the components\n"
              "that deliver (tocsin model FILE shows it)."),
    THRESHOLD("picker.s_threshold", core.picker.s_threshold, "... and an S pick."),
    THRESHOLD("picker.p_threshold_two", core.picker.p_threshold_two,
              "The same for groups of which two components deliver; auto: p_threshold if that is a number, else the manifest."),
    THRESHOLD("picker.s_threshold_two", core.picker.s_threshold_two, "... likewise."),
    THRESHOLD("picker.p_threshold_vertical", core.picker.p_threshold_vertical,
              "The same for groups of which the vertical alone delivers."),
    THRESHOLD("picker.s_threshold_vertical", core.picker.s_threshold_vertical, "... likewise."),
    NUMBER("picker.confirm_threshold", core.picker.confirm_threshold, 0, 1, NULL,
           "Probability at which a second look confirms a P pick."),
    NUMBER("picker.withdraw_threshold", core.picker.withdraw_threshold, 0, 1, NULL,
           "... and below which it withdraws it: the pick then counts for nothing."),
    NUMBER("picker.dead_s", core.picker.dead_s, 0, 60, "s", "No second pick of the same phase within this time."),
    NUMBER("picker.warmup_s", core.picker.warmup_s, 0, 120, "s",
           "No pick before this much continuous signal was seen."),

    NUMBER("load.behind_s", core.load.behind_s, 0.05, 10, "s",
           "Data that wait this long for a worker mean that it is behind: then quiet stations are only watched by a\n"
           "cheap detector, and if that is not enough blocks get longer. Each change is logged and told in heartbeats."),
    NUMBER("load.relax_s", core.load.relax_s, 1, 600, "s", "Calm asked for before one step of that is taken back."),
    NUMBER("load.gate_ratio", core.load.gate_ratio, 1.1, 10, NULL,
           "Behind, a station is quiet while its 0.2 s over its 8 s RMS stays below this."),

    NUMBER("estimator.follow_s", core.estimator.follow_s, 1, 120, "s", "How long an arrival is followed after P."),
    NUMBER("estimator.publish_s", core.estimator.publish_s, 0.1, 10, "s", "An estimate is handed out this often."),

    INTEGER("associator.min_sites", core.associator.min_sites, 2, 32, "sites",
            "P picks on this many sites open an event."),
    NUMBER("associator.window_s", core.associator.window_s, 5, 300, "s",
           "A pick that belongs to no event is kept this long."),
    NUMBER("associator.residual_s", core.associator.residual_s, 0.1, 10, "s",
           "A pick joins an event when its residual is below this (plus its spread)."),
    NUMBER("associator.max_distance_km", core.associator.max_distance_km, 10, 2000, "km",
           "... and its site is this near to the first one of the event."),
    NUMBER("associator.min_expected", core.associator.min_expected, 0, 1, NULL,
           "Share of the sites that should have seen the event and did, to open it."),
    NUMBER("associator.close_s", core.associator.close_s, 10, 3600, "s", "An event without news is closed after this."),
    NUMBER("associator.noisy_per_day", core.associator.noisy_per_day, 1, 1000, NULL,
           "A station with more P picks a day that belong to no event, and far more than the others, is noisy."),
    NUMBER("associator.foreign", core.associator.foreign, 0.5, 1, NULL,
           "A P is left out while it is this likely to be a teleseism, noise or the instrument's own."),

    NUMBER("fusion.lstm_weight", core.fusion.lstm_weight, 0, 1, NULL,
           "Weight of the network's magnitude against the classical one."),
    NUMBER("fusion.between_sigma", core.fusion.between_sigma, 0, 1, "magnitude",
           "Scatter of the magnitude that no number of stations removes."),

    NUMBER("alert.tentative_score", core.alert.tentative_score, 0, 1, NULL,
           "Score from which an event is told at all."),
    NUMBER("alert.alert_score", core.alert.alert_score, 0, 1, NULL, "Score from which it is an alert."),
    NUMBER("alert.cancel_score", core.alert.cancel_score, 0, 1, NULL, "Score below which an alert is cancelled."),
    NUMBER("alert.min_magnitude", core.alert.min_magnitude, -2, 10, "magnitude", "No alert below this magnitude."),
    NUMBER("alert.sure_sigmas", core.alert.sure_sigmas, 0, 3, "",
           "The magnitude less this many of its sigmas must reach min_magnitude: a small quake of unsure size waits."),
    INTEGER("alert.min_sites", core.alert.min_sites, 2, 64, "sites", "No alert with fewer sites."),
    NUMBER("alert.update_magnitude", core.alert.update_magnitude, 0.05, 5, "magnitude",
           "A change of the magnitude by this much is news."),
    NUMBER("alert.update_km", core.alert.update_km, 1, 500, "km", "... or of the epicentre."),
    NUMBER("alert.update_every_s", core.alert.update_every_s, 0.1, 60, "s", "Least time between two updates."),
    NUMBER("alert.final_after_s", core.alert.final_after_s, 5, 600, "s",
           "The last word comes this long after the origin."),
    NUMBER("alert.max_age_s", core.alert.max_age_s, 5, 600, "s",
           "Nothing is alerted for the first time later than this after the origin."),

    {.path = "targets", .type = TOC_ROW_LIST, AT(targets_inline), .max = TOC_ALERT_TARGETS_MAX,
     .items = &target_schema, .doc = "Places that want to know what will shake them.",
     .example = "targets:\n  - {name: Los Angeles, latitude: 34.05, longitude: -118.24, mmi_limit: 5}"},
    {.path = "targets_file", .type = TOC_ROW_TEXT, AT(targets_path),
     .doc = "... or a file with such a list; read again at each reload."},

    PATH("output.socket", output_path, "Unix stream socket that gives messages as JSON lines."),
    NUMBER("output.heartbeat_s", heartbeat_s, 0.1, 60, "s", "Time between heartbeats."),
    INTEGER("output.subscribers_max", subscribers_max, 1, 4096, NULL, "More are turned away."),
    INTEGER("output.queue_soft_kib", queue_soft_kib, 1, 65536, "KiB",
            "A subscriber with more than this unread for lag_s is cut."),
    INTEGER("output.queue_hard_kib", queue_hard_kib, 64, 65536, "KiB", "With more than this it is cut at once."),
    NUMBER("output.lag_s", lag_s, 0.1, 600, "s", "Patience with a subscriber over the soft limit."),
    {.path = "output.picks", .type = TOC_ROW_BOOL, AT(send_picks), .doc = "Send picks too."},
    {.path = "output.estimates", .type = TOC_ROW_BOOL, AT(send_estimates), .doc = "Send every estimator step too."},

    PATH("control.socket", control_path, "Unix stream socket for tocsin status and tocsin reload; same user or root."),
};

_Static_assert(COUNT(config_rows) <= TOC_SCHEMA_ROWS_MAX, "more rows than places");

const struct toc_schema toc_config_schema = {
    .rows = config_rows, .n_rows = COUNT(config_rows), .size = sizeof(struct toc_config), .defaults = &config_default,
};

/* ---- files of their own; they fill the same struct ---- */

static const struct toc_row velocity_rows[] = {
    {.path = "layers", .type = TOC_ROW_LIST, AT(velocity_layers), .max = TOC_LAYERS_MAX, .items = &layer_schema,
     .doc = "Layers from the top; the last is a half space."},
};

const struct toc_schema toc_velocity_schema = {
    .rows = velocity_rows, .n_rows = COUNT(velocity_rows), .size = sizeof(struct toc_config),
    .defaults = &config_default,
};

static const struct toc_row targets_rows[] = {
    {.path = "targets", .type = TOC_ROW_LIST, AT(targets_inline), .max = TOC_ALERT_TARGETS_MAX,
     .items = &target_schema, .doc = "Places that want to know what will shake them."},
};

const struct toc_schema toc_targets_schema = {
    .rows = targets_rows, .n_rows = COUNT(targets_rows), .size = sizeof(struct toc_config),
    .defaults = &config_default,
};
