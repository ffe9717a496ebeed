/*
 * One SeedLink connection as a state machine around core/slink.
 *
 *   DISCONNECTED --GO--> CONNECTING --CONNECTED--> GREETING --GREETED--> NEGOTIATING --READY--> STREAMING
 *        ^                   |                        |                      |                     |
 *        '------ STOP        '------------ FAILED or TIMEOUT: drop the link -'---------------------'
 *                                                     v
 *                                                  BACKOFF --TIMEOUT--> CONNECTING
 *
 * What happens in the world, and what it becomes:
 *   server down, refuses, name unknown   FAILED in CONNECTING, waits double up to 15 s
 *   server accepts and says nothing      TIMEOUT in GREETING after 5 s
 *   server greets every time, then cuts  waits keep growing: only real data reset them
 *   cable pulled while streaming         silence: INFO at 2.5 s, TIMEOUT at 5 s; resumed by number
 *   quiet stations, living server        silence: INFO at 2.5 s is answered, stays STREAMING
 *   server ends or refuses               FAILED with its words
 *   name server hangs                    TIMEOUT in CONNECTING; no second query before the first returns
 * Not handled here: a server that forgot our numbers sends from now on; the hole shows as a gap of the data.
 */
#include "daemon/feed.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/slink.h"
#include "daemon/clock.h"
#include "daemon/link.h"
#include "daemon/log.h"
#include "daemon/stations.h"

static const double connect_timeout_s = 5.0;
static const double handshake_timeout_s = 5.0; /* of silence within the handshake */
static const double ask_after_s = 2.5;         /* of silence while streaming */
static const double dead_after_s = 5.0;
static const double backoff_first_s = 0.5, backoff_max_s = 15.0, backoff_jitter = 0.2;

enum state { DISCONNECTED, CONNECTING, GREETING, NEGOTIATING, STREAMING, BACKOFF };

enum event { GO, CONNECTED, GREETED, READY, DATA, FAILED, TIMEOUT, STOP };

struct seedlink {
    struct toc_feed base; /* first */
    uv_loop_t *loop;
    uv_timer_t timer;
    uv_getaddrinfo_t resolve;
    bool resolving, closing;
    unsigned open_handles;
    struct toc_feed_sink sink;
    char name[TOC_NAME_SIZE + 256], host[256], port[8], problem[256];
    struct toc_slink *slink;
    struct toc_station_list stations;
    struct toc_link *link; /* NULL: none */
    enum state state;
    struct toc_mono heard; /* newest byte */
    bool asked;            /* keepalive sent in this silence */
    double backoff_s;
    uint64_t random;
    unsigned attempt;
    bool told_down;        /* this outage is in the log */
    struct toc_feed_report counts;
    struct toc_log_limit log_limit;
};

static const char *state_str(enum state state)
{
    static const char *const names[] = {"disconnected", "connecting", "greeting",
                                        "negotiating",  "streaming",  "backoff"};

    return names[state];
}

static const char *event_str(enum event event)
{
    static const char *const names[] = {"go", "connected", "greeted", "ready", "data", "failed", "timeout", "stop"};

    return names[event];
}

static void dispatch(struct seedlink *f, enum event event);

static struct toc_log_about about(const struct seedlink *f)
{
    return (struct toc_log_about){.kind = TOC_LOG_FEED, .feed = f->name};
}

static void blame(struct seedlink *f, const char *what, const char *detail)
{
    snprintf(f->problem, sizeof(f->problem), "%s%s%s", what, detail ? ": " : "", detail ? detail : "");
}

/* ---- timer ---- */

static void on_timer(uv_timer_t *timer)
{
    dispatch(timer->data, TIMEOUT);
}

static void set_timer(struct seedlink *f, double s)
{
    uv_timer_start(&f->timer, on_timer, (uint64_t)(s * 1000 + 0.5), 0);
}

/* Uniform in -1..1 (xorshift64*): to spread reconnects of many clients, nothing more. */
static double jitter(struct seedlink *f)
{
    f->random ^= f->random >> 12;
    f->random ^= f->random << 25;
    f->random ^= f->random >> 27;
    return (double)(f->random * 2685821657736338717u >> 11) / (double)(1ull << 52) - 1.0;
}

/* ---- the link ---- */

static void put_handle(struct seedlink *f)
{
    if (--f->open_handles > 0)
        return;
    toc_slink_destroy(f->slink);
    toc_station_list_finish(&f->stations);
    free(f);
}

static void drop_link(struct seedlink *f)
{
    toc_link_close(f->link);
    f->link = NULL;
    toc_slink_disconnected(f->slink);
}

static void send_output(struct seedlink *f)
{
    const uint8_t *bytes;
    size_t len;
    int err;

    toc_slink_output(f->slink, &bytes, &len);
    if (!f->link || len == 0)
        return;
    err = toc_link_send(f->link, bytes, len);
    toc_slink_sent(f->slink, len);
    if (err < 0) {
        blame(f, "write", uv_strerror(err));
        dispatch(f, FAILED);
    }
}

/* ---- what the server says ---- */

static bool behind(int32_t last, uint32_t sequence)
{
    return last >= 0 && (((uint32_t)last - sequence) & TOC_SLINK_SEQUENCE_MASK) < 0x10000;
}

static void on_record(struct seedlink *f, const struct toc_slink_event *event)
{
    if (event->station == TOC_SLINK_NO_STATION) {
        f->counts.foreign++;
        return;
    }
    f->counts.repeated += behind(toc_slink_resume(f->slink, event->station), event->sequence);
    f->counts.records++;
    f->counts.newest = toc_clock_utc();
    f->sink.record(f->sink.user, event->record, event->length, TOC_NS_NONE);
    toc_slink_acknowledge(f->slink, event->station, (int32_t)event->sequence); /* after, never before */
    if (!f->closing) /* the sink may have had enough */
        dispatch(f, DATA);
}

static void on_refused(struct seedlink *f, const struct toc_slink_event *event)
{
    const struct toc_log_about what = about(f);
    const struct toc_config_station *station = toc_station_list_get(&f->stations, event->station);

    if (!toc_log_allow(&f->log_limit, toc_clock_mono()))
        return;
    toc_log_about(TOC_LOG_WARNING, &what, "%s: %s %s_%s refused: %s", f->name,
                  event->type == TOC_SLINK_EVENT_SELECTOR_REFUSED ? "selector of" : "station",
                  station ? station->net : "?", station ? station->sta : "?", event->text);
}

static void handle(struct seedlink *f, const struct toc_slink_event *event)
{
    switch (event->type) {
    case TOC_SLINK_EVENT_HELLO:
        dispatch(f, GREETED);
        break;
    case TOC_SLINK_EVENT_STATION_ACCEPTED:
    case TOC_SLINK_EVENT_INFO: /* a sign of life, noted with its bytes */
        break;
    case TOC_SLINK_EVENT_STATION_REFUSED:
    case TOC_SLINK_EVENT_SELECTOR_REFUSED:
        on_refused(f, event);
        break;
    case TOC_SLINK_EVENT_STREAMING:
        f->counts.stations_accepted = event->n_accepted;
        dispatch(f, READY);
        break;
    case TOC_SLINK_EVENT_RECORD:
        on_record(f, event);
        break;
    case TOC_SLINK_EVENT_END:
    case TOC_SLINK_EVENT_ERROR:
    case TOC_SLINK_EVENT_PROTOCOL_ERROR:
        blame(f, toc_slink_event_str(event->type), event->text);
        dispatch(f, FAILED);
        break;
    case TOC_SLINK_EVENT_COUNT:
        break;
    }
}

/* The link may go while events are handled: then the rest of the bytes belongs to the past. */
static void on_bytes(void *user, const uint8_t *bytes, size_t len)
{
    struct seedlink *f = user;
    const struct toc_link *link = f->link;
    struct toc_slink_event event;

    f->counts.bytes += len;
    f->heard = toc_clock_mono();
    f->asked = false;
    while (len > 0 && f->link == link) {
        size_t took = toc_slink_feed(f->slink, bytes, len);

        while (f->link == link && toc_slink_next(f->slink, &event))
            handle(f, &event);
        if (took == 0)
            break;
        bytes += took;
        len -= took;
    }
    if (f->link == link)
        send_output(f);
}

static void on_connected(void *user)
{
    dispatch(user, CONNECTED);
}

static void on_lost(void *user, const char *what, int err)
{
    struct seedlink *f = user;

    blame(f, what, err == UV_EOF ? "closed by the server" : uv_strerror(err));
    dispatch(f, FAILED);
}

/* ---- looking up the name ---- */

static int open_link(struct seedlink *f, const struct addrinfo *list)
{
    const struct toc_link_owner owner = {.user = f, .connected = on_connected, .bytes = on_bytes, .lost = on_lost};

    if (!list)
        return UV_EAI_NONAME;
    return toc_link_open(f->loop, list, f->attempt, &owner, &f->link);
}

static void on_resolved(uv_getaddrinfo_t *resolve, int status, struct addrinfo *list)
{
    struct seedlink *f = resolve->data;

    f->resolving = false;
    if (f->closing) {
        put_handle(f);
    } else if (f->state == CONNECTING && !f->link) {
        if (status == 0)
            status = open_link(f, list);
        if (status < 0) {
            blame(f, f->host, uv_strerror(status));
            dispatch(f, FAILED);
        }
    }
    uv_freeaddrinfo(list);
}

static int start_resolving(struct seedlink *f)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    int err;

    if (f->resolving)
        return UV_EAI_AGAIN; /* the last query still hangs */
    f->resolve.data = f;
    err = uv_getaddrinfo(f->loop, &f->resolve, on_resolved, f->host, f->port, &hints);
    f->resolving = err == 0;
    return err;
}

/* ---- states ---- */

static enum state enter_backoff(struct seedlink *f)
{
    const struct toc_log_about what = about(f);
    double wait = f->backoff_s * (1 + backoff_jitter * jitter(f));

    if (f->state == STREAMING)
        f->counts.drops++;
    if (!f->told_down)
        toc_log_about(TOC_LOG_WARNING, &what, "%s: %s; trying again", f->name, f->problem);
    f->told_down = true;
    drop_link(f);
    set_timer(f, wait);
    f->backoff_s = fmin(2 * f->backoff_s, backoff_max_s);
    return BACKOFF;
}

static enum state enter_connecting(struct seedlink *f)
{
    int err;

    f->attempt++;
    set_timer(f, connect_timeout_s);
    err = start_resolving(f);
    if (err == 0)
        return CONNECTING;
    blame(f, f->host, uv_strerror(err));
    return enter_backoff(f);
}

static enum state enter_disconnected(struct seedlink *f)
{
    drop_link(f);
    uv_timer_stop(&f->timer);
    return DISCONNECTED;
}

static enum state impossible(struct seedlink *f, enum event event)
{
    const struct toc_log_about what = about(f);

    toc_log_about(TOC_LOG_ERROR, &what, "%s: event %s cannot come while %s (please report)", f->name, event_str(event),
                  state_str(f->state));
    return f->state;
}

static enum state when_disconnected(struct seedlink *f, enum event event)
{
    switch (event) {
    case GO:
        return enter_connecting(f);
    case STOP:
        return DISCONNECTED;
    case CONNECTED:
    case GREETED:
    case READY:
    case DATA:
    case FAILED:
    case TIMEOUT:
        break;
    }
    return impossible(f, event);
}

static enum state when_connecting(struct seedlink *f, enum event event)
{
    switch (event) {
    case CONNECTED:
        f->counts.connects++;
        f->heard = toc_clock_mono();
        toc_slink_connected(f->slink);
        set_timer(f, handshake_timeout_s);
        return GREETING; /* dispatch() sends what is queued */
    case TIMEOUT:
        blame(f, "no connection within 5 s", NULL);
        return enter_backoff(f);
    case FAILED:
        return enter_backoff(f);
    case STOP:
        return enter_disconnected(f);
    case GO:
    case GREETED:
    case READY:
    case DATA:
        break;
    }
    return impossible(f, event);
}

/* In the handshake only silence counts: with thousands of stations it may take its time. */
static enum state check_silence(struct seedlink *f)
{
    double left = handshake_timeout_s - toc_clock_elapsed_s(f->heard, toc_clock_mono());

    if (left > 0.01) {
        set_timer(f, left);
        return f->state;
    }
    blame(f, f->state == GREETING ? "no greeting within 5 s" : "handshake came to a halt", NULL);
    return enter_backoff(f);
}

static enum state when_greeting(struct seedlink *f, enum event event)
{
    switch (event) {
    case GREETED:
        return NEGOTIATING;
    case TIMEOUT:
        return check_silence(f);
    case FAILED:
        return enter_backoff(f);
    case STOP:
        return enter_disconnected(f);
    case GO:
    case CONNECTED:
    case READY:
    case DATA:
        break;
    }
    return impossible(f, event);
}

static enum state enter_streaming(struct seedlink *f)
{
    const struct toc_log_about what = about(f);

    toc_log_about(TOC_LOG_NOTICE, &what, "%s: streaming, %u of %u stations", f->name, f->counts.stations_accepted,
                  f->counts.stations_asked);
    f->told_down = false;
    f->asked = false;
    set_timer(f, ask_after_s);
    return STREAMING;
}

static enum state when_negotiating(struct seedlink *f, enum event event)
{
    switch (event) {
    case READY:
        return enter_streaming(f);
    case TIMEOUT:
        return check_silence(f);
    case FAILED:
        return enter_backoff(f);
    case STOP:
        return enter_disconnected(f);
    case GO:
    case CONNECTED:
    case GREETED:
    case DATA:
        break;
    }
    return impossible(f, event);
}

/* The timer runs from the newest byte: ask at 2.5 s of silence, give up at 5 s. */
static enum state check_alive(struct seedlink *f)
{
    double silent = toc_clock_elapsed_s(f->heard, toc_clock_mono());

    if (silent >= dead_after_s - 0.01) {
        blame(f, "silent for 5 s, not even an answer to INFO", NULL);
        return enter_backoff(f);
    }
    if (silent >= ask_after_s - 0.01 && !f->asked)
        f->asked = toc_slink_keepalive(f->slink) == 0; /* dispatch() sends it */
    set_timer(f, (silent >= ask_after_s - 0.01 ? dead_after_s : ask_after_s) - silent);
    return STREAMING;
}

static enum state when_streaming(struct seedlink *f, enum event event)
{
    switch (event) {
    case DATA:
        f->backoff_s = backoff_first_s; /* only data prove that it works again */
        return STREAMING;
    case TIMEOUT:
        return check_alive(f);
    case FAILED:
        return enter_backoff(f);
    case STOP:
        return enter_disconnected(f);
    case GO:
    case CONNECTED:
    case GREETED:
    case READY:
        break;
    }
    return impossible(f, event);
}

static enum state when_backoff(struct seedlink *f, enum event event)
{
    switch (event) {
    case TIMEOUT:
        return enter_connecting(f);
    case STOP:
        return enter_disconnected(f);
    case GO:
    case CONNECTED:
    case GREETED:
    case READY:
    case DATA:
    case FAILED:
        break;
    }
    return impossible(f, event);
}

static void dispatch(struct seedlink *f, enum event event)
{
    static enum state (*const handlers[])(struct seedlink *, enum event) = {
        [DISCONNECTED] = when_disconnected, [CONNECTING] = when_connecting, [GREETING] = when_greeting,
        [NEGOTIATING] = when_negotiating,   [STREAMING] = when_streaming,   [BACKOFF] = when_backoff,
    };
    enum state before = f->state;
    enum state after = handlers[before](f, event);

    if (event == DATA && after == before)
        return; /* each record: no line */
    f->state = after;
    toc_log(TOC_LOG_DEBUG, "%s: %s -> %s -> %s", f->name, state_str(before), event_str(event), state_str(after));
    if (event == CONNECTED || event == TIMEOUT)
        send_output(f);
}

/* ---- the feed ---- */

static void report(const struct toc_feed *feed, struct toc_feed_report *ret_report)
{
    const struct seedlink *f = (const struct seedlink *)feed;

    *ret_report = f->counts;
    ret_report->name = f->name;
    ret_report->type = "seedlink";
    ret_report->state = state_str(f->state);
    ret_report->problem = f->state == STREAMING ? "" : f->problem;
}

static void on_timer_closed(uv_handle_t *handle_)
{
    put_handle(handle_->data);
}

static void destroy(struct toc_feed *feed)
{
    struct seedlink *f = (struct seedlink *)feed;

    if (f->closing)
        return;
    dispatch(f, STOP);
    f->closing = true;
    if (f->resolving) {
        f->open_handles++; /* its callback comes in any case */
        (void)uv_cancel((uv_req_t *)&f->resolve);
    }
    uv_close((uv_handle_t *)&f->timer, on_timer_closed);
}

static const struct toc_feed_ops seedlink_ops = {.report = report, .destroy = destroy};

static void on_go(uv_timer_t *timer)
{
    dispatch(timer->data, GO);
}

static void name_feed(struct seedlink *f, const struct toc_config_feed *config)
{
    snprintf(f->host, sizeof(f->host), "%s", config->host);
    snprintf(f->port, sizeof(f->port), "%d", config->port);
    if (config->name[0])
        snprintf(f->name, sizeof(f->name), "%s", config->name);
    else
        snprintf(f->name, sizeof(f->name), "%s:%d", config->host, config->port);
}

static int make_machine(struct seedlink *f, const struct toc_config_feed *config,
                        const struct toc_inventory *inventory, char *why, size_t size)
{
    int err = toc_station_list_make(config, inventory, &f->stations);

    if (err == 0)
        err = toc_slink_create(f->stations.asked, f->stations.n, &f->slink);
    f->counts.stations_asked = (uint32_t)f->stations.n;
    if (err < 0)
        snprintf(why, size, "feed %s: %s", f->name,
                 err == -ENOENT   ? "the metadata hold no station to ask for"
                 : err == -EINVAL ? "a station or selector does not fit SeedLink 3 (network 1-2, station 1-5 "
                                    "characters, selector [!][LL]CCC[.T], none twice)"
                                  : strerror(-err));
    return err;
}

static int start_timer(struct seedlink *f)
{
    int err = uv_timer_init(f->loop, &f->timer);

    if (err < 0)
        return err;
    f->open_handles = 1;
    f->timer.data = f;
    return uv_timer_start(&f->timer, on_go, 0, 0);
}

int toc_feed_seedlink_create(uv_loop_t *loop, const struct toc_config_feed *config,
                             const struct toc_inventory *inventory, const struct toc_feed_sink *sink,
                             struct toc_feed **ret_feed, char *ret_why, size_t why_size)
{
    struct seedlink *f = calloc(1, sizeof(*f));
    int err;

    if (!f)
        return -ENOMEM;
    f->base.ops = &seedlink_ops;
    f->loop = loop;
    f->sink = *sink;
    f->backoff_s = backoff_first_s;
    f->random = (uint64_t)toc_clock_mono().ns * 2 + 1;
    f->counts.newest = TOC_NS_NONE;
    name_feed(f, config);
    err = make_machine(f, config, inventory, ret_why, why_size);
    if (err == 0)
        err = start_timer(f);
    if (err < 0) {
        f->open_handles = 1;
        put_handle(f);
        return err;
    }
    *ret_feed = &f->base;
    return 0;
}
