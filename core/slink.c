/*
 * One buffer, one parser per phase. While shaking hands, the server speaks in
 * lines and every command waits for its answer; after END it speaks in
 * packets. Nothing is decided on a prefix that more bytes could change, so
 * how the bytes were cut on their way makes no difference.
 */
#include "core/slink.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/decode.h"

#define BUFFER_SIZE (128 * 1024) /* two of the longest packets: never full once events are pulled */
#define PACKET_HEAD 8
#define DEFAULT_RECORD 512 /* SeisComP's compiled-in length */
#define KEY_SIZE 8         /* "NN" + "SSSSS", blank padded, as they stand in a record */
#define COMMAND_SIZE 64
#define TEXT_SIZE (TOC_SLINK_LINE_MAX + 1)

struct station {
    char network[3];
    char code[6];
    uint32_t first_selector, n_selectors; /* in slink->selectors */
    int32_t resume;
    bool accepted;
};

/* Sorted by key, to find whose record it is. */
struct key {
    char text[KEY_SIZE];
    uint32_t station;
};

struct toc_slink {
    struct station *stations;                   /* owned */
    struct key *keys;                           /* owned, sorted */
    char (*selectors)[TOC_SLINK_SELECTOR_SIZE]; /* owned */
    uint32_t n_stations;
    enum toc_slink_state state;
    uint32_t current;  /* station of the handshake */
    uint32_t selector; /* of that station, the one asked for */
    uint32_t taken;    /* selectors of that station the server took */
    uint32_t n_accepted;
    bool hello_first_seen;
    bool said_streaming;
    char hello[TEXT_SIZE];
    char text[TEXT_SIZE]; /* of the event last given out */
    char output[COMMAND_SIZE];
    size_t output_len;
    size_t start, end; /* unread bytes in buffer */
    uint8_t buffer[BUFFER_SIZE];
};

const char *toc_slink_state_str(enum toc_slink_state state)
{
    static const char *const texts[] = {
#define X(name, text) text,
        TOC_SLINK_STATES(X)
#undef X
    };
    return (unsigned)state < TOC_SLINK_STATE_COUNT ? texts[state] : "unknown state";
}

const char *toc_slink_event_str(enum toc_slink_event_type type)
{
    static const char *const texts[] = {
        [TOC_SLINK_EVENT_HELLO] = "hello",
        [TOC_SLINK_EVENT_STATION_ACCEPTED] = "station accepted",
        [TOC_SLINK_EVENT_STATION_REFUSED] = "station refused",
        [TOC_SLINK_EVENT_SELECTOR_REFUSED] = "selector refused",
        [TOC_SLINK_EVENT_STREAMING] = "streaming",
        [TOC_SLINK_EVENT_RECORD] = "record",
        [TOC_SLINK_EVENT_INFO] = "info",
        [TOC_SLINK_EVENT_END] = "end",
        [TOC_SLINK_EVENT_ERROR] = "error",
        [TOC_SLINK_EVENT_PROTOCOL_ERROR] = "protocol error",
    };
    return (unsigned)type < TOC_SLINK_EVENT_COUNT ? texts[type] : "unknown event";
}

/* ---- create ---- */

/* Codes and patterns go into command lines and logs: only these characters, so nothing can be smuggled in. */
static bool made_of(const char *text, size_t min, size_t max, const char *extra)
{
    if (!text) {
        return false;
    }
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && !strchr(extra, c)) {
            return false;
        }
    }
    return n >= min && n <= max;
}

static int check_station(const struct toc_slink_station *from)
{
    if (from->n_selectors > TOC_SLINK_SELECTORS_MAX) {
        return -E2BIG;
    }
    if (!made_of(from->network, 1, 2, "") || !made_of(from->station, 1, 5, "-") || from->resume < -1 ||
        from->resume > TOC_SLINK_SEQUENCE_MASK) {
        return -EINVAL;
    }
    for (size_t i = 0; i < from->n_selectors; i++) {
        if (!made_of(from->selectors[i], 1, TOC_SLINK_SELECTOR_SIZE - 1, "?-!.")) {
            return -EINVAL;
        }
    }
    return 0;
}

static void make_key(const char *network, const char *code, char key[KEY_SIZE])
{
    memset(key, ' ', KEY_SIZE);
    memcpy(key, network, strlen(network));
    memcpy(key + 2, code, strlen(code));
}

static int compare_keys(const void *a, const void *b)
{
    return memcmp(((const struct key *)a)->text, ((const struct key *)b)->text, KEY_SIZE);
}

static void copy_station(struct toc_slink *slink, uint32_t index, const struct toc_slink_station *from,
                         uint32_t first_selector)
{
    struct station *to = &slink->stations[index];
    memcpy(to->network, from->network, strlen(from->network));
    memcpy(to->code, from->station, strlen(from->station));
    to->resume = from->resume;
    to->first_selector = first_selector;
    to->n_selectors = (uint32_t)from->n_selectors;
    for (size_t i = 0; i < from->n_selectors; i++) {
        memcpy(slink->selectors[first_selector + i], from->selectors[i], strlen(from->selectors[i]));
    }
    make_key(to->network, to->code, slink->keys[index].text);
    slink->keys[index].station = index;
}

static int fill(struct toc_slink *slink, const struct toc_slink_station *stations)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < slink->n_stations; i++) {
        copy_station(slink, i, &stations[i], at);
        at += (uint32_t)stations[i].n_selectors;
    }
    qsort(slink->keys, slink->n_stations, sizeof(*slink->keys), compare_keys);
    for (uint32_t i = 1; i < slink->n_stations; i++) {
        if (compare_keys(&slink->keys[i - 1], &slink->keys[i]) == 0) {
            return -EINVAL;
        }
    }
    return 0;
}

int toc_slink_create(const struct toc_slink_station *stations, size_t n_stations, struct toc_slink **ret_slink)
{
    if (n_stations == 0) {
        return -EINVAL;
    }
    if (n_stations > TOC_SLINK_STATIONS_MAX) {
        return -E2BIG;
    }
    size_t n_selectors = 0;
    for (size_t i = 0; i < n_stations; i++) {
        int result = check_station(&stations[i]);
        if (result < 0) {
            return result;
        }
        n_selectors += stations[i].n_selectors;
    }
    struct toc_slink *slink = calloc(1, sizeof(*slink));
    if (!slink) {
        return -ENOMEM;
    }
    slink->n_stations = (uint32_t)n_stations;
    slink->stations = calloc(n_stations, sizeof(*slink->stations));
    slink->keys = calloc(n_stations, sizeof(*slink->keys));
    slink->selectors = calloc(n_selectors + 1, sizeof(*slink->selectors));
    bool whole = slink->stations && slink->keys && slink->selectors;
    int result = whole ? fill(slink, stations) : -ENOMEM;
    if (result < 0) {
        toc_slink_destroy(slink);
        return result;
    }
    *ret_slink = slink;
    return 0;
}

void toc_slink_destroy(struct toc_slink *slink)
{
    if (!slink) {
        return;
    }
    free(slink->stations);
    free(slink->keys);
    free(slink->selectors);
    free(slink);
}

/* ---- commands ---- */

__attribute__((format(printf, 2, 3))) static void command(struct toc_slink *slink, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(slink->output, sizeof(slink->output), format, args);
    va_end(args);
    /* All arguments were bounded at create; the longest command has 24 bytes. */
    slink->output_len = n > 0 && (size_t)n < sizeof(slink->output) ? (size_t)n : 0;
}

static void ask_station(struct toc_slink *slink)
{
    const struct station *station = &slink->stations[slink->current];
    slink->state = TOC_SLINK_STATION;
    slink->selector = 0;
    slink->taken = 0;
    command(slink, "STATION %s %s\r\n", station->code, station->network);
}

static void ask_selector(struct toc_slink *slink)
{
    const struct station *station = &slink->stations[slink->current];
    slink->state = TOC_SLINK_SELECT;
    command(slink, "SELECT %s\r\n", slink->selectors[station->first_selector + slink->selector]);
}

/* Resume asks for the packet after the last one dealt with; 24 bits, so after FFFFFF comes 000000. */
static void ask_data(struct toc_slink *slink)
{
    int32_t resume = slink->stations[slink->current].resume;
    slink->state = TOC_SLINK_DATA;
    if (resume < 0) {
        command(slink, "DATA\r\n");
    } else {
        command(slink, "DATA %06X\r\n", ((uint32_t)resume + 1) & TOC_SLINK_SEQUENCE_MASK);
    }
}

static void start_over(struct toc_slink *slink)
{
    for (uint32_t i = 0; i < slink->n_stations; i++) {
        slink->stations[i].accepted = false;
    }
    slink->current = 0;
    slink->n_accepted = 0;
    slink->hello_first_seen = false;
    slink->said_streaming = false;
    slink->output_len = 0;
    slink->start = 0;
    slink->end = 0;
}

void toc_slink_connected(struct toc_slink *slink)
{
    start_over(slink);
    slink->state = TOC_SLINK_HELLO;
    command(slink, "HELLO\r\n");
}

void toc_slink_disconnected(struct toc_slink *slink)
{
    start_over(slink);
    slink->state = TOC_SLINK_DISCONNECTED;
}

void toc_slink_output(const struct toc_slink *slink, const uint8_t **ret_bytes, size_t *ret_len)
{
    *ret_bytes = (const uint8_t *)slink->output;
    *ret_len = slink->output_len;
}

void toc_slink_sent(struct toc_slink *slink, size_t n)
{
    if (n > slink->output_len) {
        n = slink->output_len;
    }
    memmove(slink->output, slink->output + n, slink->output_len - n);
    slink->output_len -= n;
}

int toc_slink_keepalive(struct toc_slink *slink)
{
    if (slink->state != TOC_SLINK_STREAMING || slink->output_len > 0) {
        return -EAGAIN;
    }
    command(slink, "INFO ID\r\n");
    return 0;
}

/* ---- bytes in ---- */

static bool is_deaf(const struct toc_slink *slink)
{
    return slink->state == TOC_SLINK_DISCONNECTED || slink->state == TOC_SLINK_ENDED ||
           slink->state == TOC_SLINK_FAILED;
}

size_t toc_slink_feed(struct toc_slink *slink, const uint8_t *bytes, size_t len)
{
    if (is_deaf(slink)) {
        return len;
    }
    if (len > BUFFER_SIZE - slink->end && slink->start > 0) {
        memmove(slink->buffer, slink->buffer + slink->start, slink->end - slink->start);
        slink->end -= slink->start;
        slink->start = 0;
    }
    size_t room = BUFFER_SIZE - slink->end;
    size_t take = len < room ? len : room;
    if (take > 0) {
        memcpy(slink->buffer + slink->end, bytes, take);
        slink->end += take;
    }
    return take;
}

/* ---- events out ---- */

static void set_event(struct toc_slink_event *event, enum toc_slink_event_type type)
{
    *event = (struct toc_slink_event){.type = type, .station = TOC_SLINK_NO_STATION, .text = "", .text2 = ""};
}

/* Bad servers send bad bytes: texts are made safe for logs here, once. */
static void keep_text(char to[TEXT_SIZE], const uint8_t *from, size_t n)
{
    n = n < TEXT_SIZE - 1 ? n : TEXT_SIZE - 1;
    for (size_t i = 0; i < n; i++) {
        to[i] = from[i] >= 0x20 && from[i] < 0x7f ? (char)from[i] : '?';
    }
    to[n] = '\0';
}

static bool fail(struct toc_slink *slink, const char *reason, struct toc_slink_event *event)
{
    slink->state = TOC_SLINK_FAILED;
    slink->output_len = 0;
    set_event(event, TOC_SLINK_EVENT_PROTOCOL_ERROR);
    event->text = reason;
    return true;
}

static bool finish(struct toc_slink *slink, enum toc_slink_event_type type, const char *text,
                   struct toc_slink_event *event)
{
    slink->state = TOC_SLINK_ENDED;
    slink->output_len = 0;
    set_event(event, type);
    event->text = text;
    return true;
}

/* Version tokens stand behind "::" as SLPROTO:a.b; the number after "SeedLink v" is that of the program. */
static bool speaks_version_3(const char *hello, struct toc_slink_event *event)
{
    bool any = false;
    event->protocol_major = 3;
    event->protocol_minor = -1;
    for (const char *at = strstr(hello, "SLPROTO:"); at; at = strstr(at + 1, "SLPROTO:")) {
        int major, minor;
        any = true;
        if (sscanf(at, "SLPROTO:%2d.%2d", &major, &minor) == 2 && major == 3 && minor > event->protocol_minor) {
            event->protocol_minor = minor;
        }
    }
    if (!any) {
        event->protocol_minor = 0;
    }
    return event->protocol_minor >= 0;
}

static bool on_hello(struct toc_slink *slink, struct toc_slink_event *event)
{
    if (!slink->hello_first_seen) {
        if (strncasecmp(slink->text, "SeedLink", 8) != 0) {
            return fail(slink, "greeting is not that of a SeedLink server", event);
        }
        memcpy(slink->hello, slink->text, sizeof(slink->hello));
        slink->hello_first_seen = true;
        return false;
    }
    set_event(event, TOC_SLINK_EVENT_HELLO);
    if (!speaks_version_3(slink->hello, event)) {
        return fail(slink, "server does not offer SeedLink 3", event);
    }
    event->text = slink->hello;
    event->text2 = slink->text;
    ask_station(slink);
    return true;
}

/* The handshake of one station is over, for good or bad; on with the next. When all were heard: END, or give up. */
static void next_station(struct toc_slink *slink)
{
    slink->current++;
    if (slink->current < slink->n_stations) {
        ask_station(slink);
        return;
    }
    slink->state = TOC_SLINK_STREAMING;
    if (slink->n_accepted > 0) {
        command(slink, "END\r\n");
    }
}

static bool refuse_station(struct toc_slink *slink, const char *text, struct toc_slink_event *event)
{
    set_event(event, TOC_SLINK_EVENT_STATION_REFUSED);
    event->station = slink->current;
    event->text = text;
    next_station(slink);
    return true;
}

static bool on_station(struct toc_slink *slink, bool ok, struct toc_slink_event *event)
{
    if (!ok) {
        return refuse_station(slink, slink->text, event);
    }
    if (slink->stations[slink->current].n_selectors > 0) {
        ask_selector(slink);
    } else {
        ask_data(slink);
    }
    return false;
}

/* A refused pattern is told; the station is refused when no positive or negative pattern at all was taken. */
static bool on_select(struct toc_slink *slink, bool ok, struct toc_slink_event *event)
{
    const struct station *station = &slink->stations[slink->current];
    const char *pattern = slink->selectors[station->first_selector + slink->selector];
    uint32_t index = slink->current;
    slink->taken += ok;
    slink->selector++;
    if (slink->selector < station->n_selectors) {
        ask_selector(slink);
    } else if (slink->taken > 0) {
        ask_data(slink);
    } else {
        return refuse_station(slink, "none of its selectors was taken", event);
    }
    if (ok) {
        return false;
    }
    set_event(event, TOC_SLINK_EVENT_SELECTOR_REFUSED);
    event->station = index;
    event->text = pattern;
    return true;
}

static bool on_data(struct toc_slink *slink, bool ok, struct toc_slink_event *event)
{
    if (!ok) {
        return refuse_station(slink, slink->text, event);
    }
    slink->stations[slink->current].accepted = true;
    slink->n_accepted++;
    set_event(event, TOC_SLINK_EVENT_STATION_ACCEPTED);
    event->station = slink->current;
    next_station(slink);
    return true;
}

/* slink->text is a whole line. @return true when it made an event */
static bool on_line(struct toc_slink *slink, struct toc_slink_event *event)
{
    if (slink->state == TOC_SLINK_HELLO) {
        return on_hello(slink, event);
    }
    bool ok = strncmp(slink->text, "OK", 2) == 0;
    if (!ok && strncmp(slink->text, "ERROR", 5) != 0) {
        return fail(slink, "reply is neither OK nor ERROR", event);
    }
    switch (slink->state) {
    case TOC_SLINK_STATION:
        return on_station(slink, ok, event);
    case TOC_SLINK_SELECT:
        return on_select(slink, ok, event);
    case TOC_SLINK_DATA:
        return on_data(slink, ok, event);
    case TOC_SLINK_DISCONNECTED:
    case TOC_SLINK_HELLO:
    case TOC_SLINK_STREAMING:
    case TOC_SLINK_ENDED:
    case TOC_SLINK_FAILED:
    case TOC_SLINK_STATE_COUNT:
        break;
    }
    return fail(slink, "line in a state that has none", event);
}

/* Take one line off the buffer into slink->text. @return 1 a line, 0 not yet, -1 too long */
static int take_line(struct toc_slink *slink)
{
    const uint8_t *from = slink->buffer + slink->start;
    size_t have = slink->end - slink->start;
    size_t look = have < TOC_SLINK_LINE_MAX ? have : TOC_SLINK_LINE_MAX;
    const uint8_t *newline = look > 0 ? memchr(from, '\n', look) : NULL;
    if (!newline) {
        return have >= TOC_SLINK_LINE_MAX ? -1 : 0;
    }
    size_t n = (size_t)(newline - from);
    slink->start += n + 1;
    while (n > 0 && from[n - 1] == '\r') {
        n--;
    }
    keep_text(slink->text, from, n);
    return 1;
}

static bool next_in_handshake(struct toc_slink *slink, struct toc_slink_event *event)
{
    int line;
    while (slink->state != TOC_SLINK_STREAMING && (line = take_line(slink)) != 0) {
        if (line < 0) {
            return fail(slink, "line longer than 255 bytes", event);
        }
        if (on_line(slink, event)) {
            return true;
        }
    }
    return false;
}

static bool read_sequence(const uint8_t *digits, uint32_t *ret_sequence)
{
    uint32_t value = 0;
    for (int i = 0; i < 6; i++) {
        int c = digits[i];
        if (!isxdigit(c)) {
            return false;
        }
        value = value << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    *ret_sequence = value;
    return true;
}

/*
 * Length of the record behind a packet head; 0 not known yet. One that does not state its length in its first 512
 * bytes is taken as 512, whole or not: if that is wrong, the next head is too and the connection ends there.
 */
static size_t record_length(const uint8_t *record, size_t have)
{
    /* Never look further, even when more is there: what a packet is must not depend on how it came. */
    long length = toc_decode_record_length(record, have < DEFAULT_RECORD ? have : DEFAULT_RECORD);
    if (length > 0) {
        return (size_t)length;
    }
    return length < 0 || have >= DEFAULT_RECORD ? DEFAULT_RECORD : 0;
}

static uint32_t station_of(const struct toc_slink *slink, const uint8_t *record)
{
    struct key wanted;
    memset(wanted.text, ' ', KEY_SIZE);
    memcpy(wanted.text, record + 18, 2);
    memcpy(wanted.text + 2, record + 8, 5);
    for (int i = 0; i < KEY_SIZE; i++) {
        wanted.text[i] = wanted.text[i] == '\0' ? ' ' : wanted.text[i];
    }
    const struct key *found = bsearch(&wanted, slink->keys, slink->n_stations, sizeof(*slink->keys), compare_keys);
    return found ? found->station : TOC_SLINK_NO_STATION;
}

static bool on_packet(struct toc_slink *slink, const uint8_t *head, size_t have, struct toc_slink_event *event)
{
    uint32_t sequence = 0;
    bool info = memcmp(head, "SLINFO", 6) == 0;
    if (!info && (memcmp(head, "SL", 2) != 0 || !read_sequence(head + 2, &sequence))) {
        return fail(slink, "no packet where one must begin", event);
    }
    const uint8_t *record = head + PACKET_HEAD;
    size_t length = record_length(record, have - PACKET_HEAD);
    if (length == 0 || have - PACKET_HEAD < length) {
        return false;
    }
    slink->start += PACKET_HEAD + length;
    set_event(event, info ? TOC_SLINK_EVENT_INFO : TOC_SLINK_EVENT_RECORD);
    event->record = record;
    event->length = length;
    event->more = info && head[7] == '*';
    event->sequence = sequence;
    event->station = info ? TOC_SLINK_NO_STATION : station_of(slink, record);
    return true;
}

static bool next_packet(struct toc_slink *slink, struct toc_slink_event *event)
{
    const uint8_t *head = slink->buffer + slink->start;
    size_t have = slink->end - slink->start;
    if (have >= 3 && memcmp(head, "END", 3) == 0) {
        return finish(slink, TOC_SLINK_EVENT_END, "server ended the stream", event);
    }
    if (have >= 5 && memcmp(head, "ERROR", 5) == 0) {
        return finish(slink, TOC_SLINK_EVENT_ERROR, "server said ERROR", event);
    }
    return have >= PACKET_HEAD && on_packet(slink, head, have, event);
}

/* The handshake has just ended: say so once, before the first packet. */
static bool say_streaming(struct toc_slink *slink, struct toc_slink_event *event)
{
    slink->said_streaming = true;
    if (slink->n_accepted == 0) {
        return finish(slink, TOC_SLINK_EVENT_ERROR, "every station was refused", event);
    }
    set_event(event, TOC_SLINK_EVENT_STREAMING);
    event->n_accepted = slink->n_accepted;
    return true;
}

bool toc_slink_next(struct toc_slink *slink, struct toc_slink_event *ret_event)
{
    if (is_deaf(slink)) {
        return false;
    }
    if (slink->state != TOC_SLINK_STREAMING && next_in_handshake(slink, ret_event)) {
        return true;
    }
    if (slink->state != TOC_SLINK_STREAMING) {
        return false;
    }
    return slink->said_streaming ? next_packet(slink, ret_event) : say_streaming(slink, ret_event);
}

/* ---- resume points ---- */

int toc_slink_acknowledge(struct toc_slink *slink, uint32_t station, int32_t sequence)
{
    if (station >= slink->n_stations || sequence < -1 || sequence > TOC_SLINK_SEQUENCE_MASK) {
        return -EINVAL;
    }
    slink->stations[station].resume = sequence;
    return 0;
}

int32_t toc_slink_resume(const struct toc_slink *slink, uint32_t station)
{
    return station < slink->n_stations ? slink->stations[station].resume : -1;
}

bool toc_slink_accepted(const struct toc_slink *slink, uint32_t station)
{
    return station < slink->n_stations && slink->stations[station].accepted;
}

enum toc_slink_state toc_slink_state(const struct toc_slink *slink)
{
    return slink->state;
}
