/*
 * The SeedLink test server. One array of records in the order they leave; a
 * client is a cursor into it plus, per station, the index where its own
 * stream begins. A client is written to only when its last write is done, so
 * a slow reader costs nothing but its own delay.
 */
#include "tests/sim/slserver.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/decode.h"

#define SEQUENCE_MASK 0xFFFFFFu
#define SELECTORS_MAX 32
#define SELECTOR_SIZE 12
#define STREAM_SIZE 5 /* LLCCC */
#define LINE_SIZE 256
#define OUT_SIZE (160 * 1024) /* a batch of 64 KiB, the longest packet, and replies */
#define BATCH (64 * 1024)

struct record {
    uint8_t *bytes; /* owned */
    uint32_t length;
    uint32_t station, sequence;
    toc_ns leave;
    char stream[STREAM_SIZE];
};

struct station {
    char net[3], sta[6];
    uint32_t next_sequence;
};

/* What one client asked of one station. */
struct subscription {
    bool active;
    uint32_t station;
    size_t start; /* index of the first record wanted */
    uint32_t n_selectors;
    char selectors[SELECTORS_MAX][SELECTOR_SIZE];
};

struct client {
    uv_tcp_t tcp;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct toc_slserver *server;
    struct client *next;
    struct subscription *subscriptions; /* owned */
    size_t n_subscriptions;
    uint32_t *of_station; /* owned: station -> its subscription + 1; 0 none */
    size_t n_of_station;
    bool streaming, writing, closing;
    bool close_when_flushed, ended;
    bool rubbish_sent;
    size_t cursor;
    uint32_t sent;
    char line[LINE_SIZE];
    size_t line_len;
    char in[4096];
    size_t out_start, out_end;
    uint8_t out[OUT_SIZE];
};

struct toc_slserver {
    uv_loop_t *loop;
    uv_tcp_t listener;
    uv_timer_t timer;
    struct toc_slserver_options options;
    struct toc_decoder *decoder; /* owned */
    struct record *records;      /* owned */
    size_t n_records, room, released;
    struct station *stations; /* owned */
    size_t n_stations, station_room;
    struct client *clients;
    struct toc_slserver_counts counts;
    uint32_t drops;
    bool started, closing;
    int open_handles;
    toc_ns origin;
    uint64_t origin_hrtime;
    void (*closed_cb)(void *data);
    void *closed_data;
};

/* ---- what is held ---- */

static void copy_code(const uint8_t *from, int width, char *to)
{
    int n = 0;
    while (n < width && from[n] != ' ' && from[n] != '\0') {
        to[n] = (char)from[n];
        n++;
    }
    to[n] = '\0';
}

static bool find_station(const struct toc_slserver *server, const char *net, const char *sta, uint32_t *ret_index)
{
    for (size_t i = 0; i < server->n_stations; i++) {
        if (strcasecmp(server->stations[i].net, net) == 0 && strcasecmp(server->stations[i].sta, sta) == 0) {
            *ret_index = (uint32_t)i;
            return true;
        }
    }
    return false;
}

static int find_or_add_station(struct toc_slserver *server, const uint8_t *record, uint32_t *ret_index)
{
    struct station station = {.next_sequence = server->options.first_sequence & SEQUENCE_MASK};
    copy_code(record + 18, 2, station.net);
    copy_code(record + 8, 5, station.sta);
    if (!station.net[0] || !station.sta[0]) {
        return -EBADMSG;
    }
    if (find_station(server, station.net, station.sta, ret_index)) {
        return 0;
    }
    if (server->n_stations == server->station_room) {
        size_t room = server->station_room ? server->station_room * 2 : 64;
        struct station *more = realloc(server->stations, room * sizeof(*more));
        if (!more) {
            return -ENOMEM;
        }
        server->stations = more;
        server->station_room = room;
    }
    *ret_index = (uint32_t)server->n_stations;
    server->stations[server->n_stations++] = station;
    return 0;
}

static int grow_records(struct toc_slserver *server)
{
    if (server->n_records < server->room) {
        return 0;
    }
    size_t room = server->room ? server->room * 2 : 1024;
    struct record *more = realloc(server->records, room * sizeof(*more));
    if (!more) {
        return -ENOMEM;
    }
    server->records = more;
    server->room = room;
    return 0;
}

static void release(struct toc_slserver *server);

int toc_slserver_add_at(struct toc_slserver *server, const uint8_t *record, size_t len, toc_ns leave)
{
    struct record new = {.length = (uint32_t)len, .leave = leave};
    if (len < TOC_RECORD_MIN || len > TOC_RECORD_MAX) {
        return -EBADMSG;
    }
    int result = find_or_add_station(server, record, &new.station);
    if (result == 0) {
        result = grow_records(server);
    }
    if (result < 0) {
        return result;
    }
    new.bytes = malloc(len);
    if (!new.bytes) {
        return -ENOMEM;
    }
    memcpy(new.bytes, record, len);
    memcpy(new.stream, record + 13, STREAM_SIZE);
    struct station *station = &server->stations[new.station];
    new.sequence = station->next_sequence;
    station->next_sequence = (station->next_sequence + 1) & SEQUENCE_MASK;
    server->records[server->n_records++] = new;
    if (server->started) {
        release(server);
    }
    return 0;
}

int toc_slserver_add(struct toc_slserver *server, const uint8_t *record, size_t len)
{
    struct toc_chunk chunk;
    if (toc_decode_record(server->decoder, record, len, &chunk) != TOC_DECODE_OK) {
        return -EBADMSG;
    }
    toc_ns end = chunk.start + toc_ns_from_s((double)chunk.n / chunk.rate_hz);
    return toc_slserver_add_at(server, record, len, end + toc_ns_from_s(server->options.latency_s));
}

long toc_slserver_add_all(struct toc_slserver *server, const uint8_t *bytes, size_t len)
{
    long added = 0;
    size_t at = 0;
    while (at < len) {
        long n = toc_decode_record_length(bytes + at, len - at);
        if (n <= 0 || (size_t)n > len - at) {
            at += 64;
            continue;
        }
        int result = toc_slserver_add(server, bytes + at, (size_t)n);
        if (result == -ENOMEM) {
            return result;
        }
        added += result == 0;
        at += (size_t)n;
    }
    return added;
}

uint32_t toc_slserver_sequence(const struct toc_slserver *server, size_t index)
{
    return server->records[index].sequence;
}

/* ---- closing ---- */

static void free_server(struct toc_slserver *server)
{
    for (size_t i = 0; i < server->n_records; i++) {
        free(server->records[i].bytes);
    }
    free(server->records);
    free(server->stations);
    toc_decoder_destroy(server->decoder);
    free(server);
}

static void one_handle_less(struct toc_slserver *server)
{
    server->open_handles--;
    if (server->closing && server->open_handles == 0) {
        void (*cb)(void *data) = server->closed_cb;
        void *data = server->closed_data;
        free_server(server);
        if (cb) {
            cb(data);
        }
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    one_handle_less(handle->data);
}

static void on_client_closed(uv_handle_t *handle)
{
    struct client *client = handle->data;
    struct toc_slserver *server = client->server;
    struct client **link = &server->clients;
    while (*link != client) {
        link = &(*link)->next;
    }
    *link = client->next;
    server->counts.clients--;
    free(client->subscriptions);
    free(client->of_station);
    free(client);
    one_handle_less(server);
}

static void close_client(struct client *client)
{
    if (!client->closing) {
        client->closing = true;
        uv_close((uv_handle_t *)&client->tcp, on_client_closed);
    }
}

/* ---- bytes out ---- */

static void pump(struct client *client);

static void on_written(uv_write_t *request, int status)
{
    struct client *client = request->data;
    client->writing = false;
    if (status < 0) {
        close_client(client);
    } else {
        pump(client);
    }
}

static void append(struct client *client, const void *bytes, size_t n)
{
    if (client->out_end + n > OUT_SIZE && client->out_start > 0 && !client->writing) {
        memmove(client->out, client->out + client->out_start, client->out_end - client->out_start);
        client->out_end -= client->out_start;
        client->out_start = 0;
    }
    if (client->out_end + n > OUT_SIZE) {
        close_client(client); /* asks and asks, and never reads */
        return;
    }
    memcpy(client->out + client->out_end, bytes, n);
    client->out_end += n;
}

static bool matches(const char *selector, const char stream[STREAM_SIZE])
{
    size_t n = strcspn(selector, ".");
    const char *type = selector[n] == '.' ? selector + n + 1 : "D";
    if (toupper((unsigned char)type[0]) != 'D' && type[0] != '?') {
        return false; /* all we hold is data */
    }
    size_t first = n == 3 ? 2 : 0; /* CCC alone: any location */
    for (size_t i = 0; i < n; i++) {
        char wanted = selector[i] == '-' ? ' ' : selector[i];
        if (wanted != '?' && toupper((unsigned char)wanted) != stream[first + i]) {
            return false;
        }
    }
    return true;
}

/* Any positive pattern, and no negative one; only negative ones: all but those. */
static bool selected(const struct subscription *subscription, const char stream[STREAM_SIZE])
{
    bool positive = false, match = false;
    for (uint32_t i = 0; i < subscription->n_selectors; i++) {
        const char *selector = subscription->selectors[i];
        if (selector[0] == '!') {
            if (matches(selector + 1, stream)) {
                return false;
            }
            continue;
        }
        positive = true;
        match |= matches(selector, stream);
    }
    return match || !positive;
}

static bool wants(const struct client *client, size_t index)
{
    const struct record *record = &client->server->records[index];
    uint32_t which = record->station < client->n_of_station ? client->of_station[record->station] : 0;
    if (which == 0) {
        return false;
    }
    const struct subscription *subscription = &client->subscriptions[which - 1];
    return subscription->active && index >= subscription->start && selected(subscription, record->stream);
}

static bool drop_is_due(const struct client *client)
{
    const struct toc_slserver_faults *faults = &client->server->options.faults;
    return faults->drop_after > 0 && client->sent >= faults->drop_after &&
           (faults->drop_times == 0 || client->server->drops < faults->drop_times);
}

static bool is_silent(const struct client *client)
{
    const struct toc_slserver_faults *faults = &client->server->options.faults;
    return faults->silent || (faults->silent_after > 0 && client->sent >= faults->silent_after);
}

static void append_record(struct client *client, const struct record *record, bool half)
{
    char head[9];
    snprintf(head, sizeof(head), "SL%06X", record->sequence & SEQUENCE_MASK);
    append(client, head, 8);
    append(client, record->bytes, half ? record->length / 2 : record->length);
}

/* The next record this client wants, if it is released. */
static const struct record *peek_record(struct client *client)
{
    while (client->cursor < client->server->released) {
        if (wants(client, client->cursor)) {
            return &client->server->records[client->cursor];
        }
        client->cursor++;
    }
    return NULL;
}

static void send_rubbish(struct client *client)
{
    static const char rubbish[] = "\x00\xff this is no packet, and it goes on for a while without being one";
    client->rubbish_sent = true;
    append(client, rubbish, sizeof(rubbish));
}

static void drop(struct client *client, const struct record *next)
{
    struct toc_slserver *server = client->server;
    server->drops++;
    server->counts.dropped++;
    client->close_when_flushed = true;
    if (server->options.faults.drop_inside) {
        append_record(client, next, true);
    }
}

static void fill(struct client *client)
{
    struct toc_slserver *server = client->server;
    const struct toc_slserver_faults *faults = &server->options.faults;
    const struct record *record;
    while (client->out_end < BATCH && !is_silent(client) && (record = peek_record(client)) != NULL) {
        if (faults->rubbish_after > 0 && client->sent >= faults->rubbish_after && !client->rubbish_sent) {
            send_rubbish(client);
        }
        if (drop_is_due(client)) {
            drop(client, record);
            return;
        }
        append_record(client, record, false);
        client->cursor++;
        client->sent++;
        server->counts.sent++;
    }
    if (server->options.end_at_end && !client->ended && client->cursor == server->n_records && !is_silent(client)) {
        append(client, "END", 3);
        client->ended = true;
        client->close_when_flushed = true;
    }
}

static void on_shut_down(uv_shutdown_t *request, int status)
{
    (void)status;
    close_client(request->data);
}

/* One write at a time, and only if the server has a voice. */
static void pump(struct client *client)
{
    if (client->closing || client->writing || client->server->options.faults.silent) {
        return;
    }
    if (client->out_start == client->out_end) {
        client->out_start = client->out_end = 0;
        if (client->streaming && !client->close_when_flushed) {
            fill(client);
        }
    }
    size_t n = client->out_end - client->out_start;
    if (client->closing) {
        return;
    }
    if (n == 0) {
        if (client->close_when_flushed) {
            client->writing = true; /* nothing more goes out */
            client->shutdown.data = client;
            if (uv_shutdown(&client->shutdown, (uv_stream_t *)&client->tcp, on_shut_down) < 0) {
                close_client(client);
            }
        }
        return;
    }
    n = client->server->options.faults.one_byte ? 1 : n;
    uv_buf_t buf = uv_buf_init((char *)client->out + client->out_start, (unsigned)n);
    client->out_start += n;
    client->server->counts.bytes += n;
    client->writing = true;
    client->write.data = client;
    if (uv_write(&client->write, (uv_stream_t *)&client->tcp, &buf, 1, on_written) < 0) {
        close_client(client);
    }
}

/* ---- commands in ---- */

static void reply(struct client *client, const char *text)
{
    append(client, text, strlen(text));
    append(client, "\r\n", 2);
}

static bool is_refused(const struct toc_slserver *server, const char *net, const char *sta)
{
    char wanted[24];
    int n = snprintf(wanted, sizeof(wanted), "%s.%s", net, sta);
    const char *at = server->options.faults.refuse;
    while (at && (at = strstr(at, wanted)) != NULL) {
        bool begins = at == server->options.faults.refuse || at[-1] == ' ';
        if (begins && (at[n] == '\0' || at[n] == ' ')) {
            return true;
        }
        at++;
    }
    return false;
}

static void do_hello(struct client *client)
{
    const struct toc_slserver_options *options = &client->server->options;
    reply(client, options->software ? options->software : "SeedLink v3.1 (tocsin-sim) :: SLPROTO:3.1");
    reply(client, options->organization ? options->organization : "Tocsin test bench");
}

static bool map_station(struct client *client, uint32_t station)
{
    if (station >= client->n_of_station) {
        size_t n = client->server->n_stations;
        uint32_t *more = realloc(client->of_station, n * sizeof(*more));
        if (!more) {
            return false;
        }
        memset(more + client->n_of_station, 0, (n - client->n_of_station) * sizeof(*more));
        client->of_station = more;
        client->n_of_station = n;
    }
    client->of_station[station] = (uint32_t)client->n_subscriptions;
    return true;
}

static bool do_station(struct client *client, const char *sta, const char *net)
{
    uint32_t index;
    if (!sta || !net || !find_station(client->server, net, sta, &index) ||
        is_refused(client->server, client->server->stations[index].net, client->server->stations[index].sta)) {
        return false;
    }
    struct subscription *more =
        realloc(client->subscriptions, (client->n_subscriptions + 1) * sizeof(*client->subscriptions));
    if (!more) {
        return false;
    }
    client->subscriptions = more;
    client->subscriptions[client->n_subscriptions++] = (struct subscription){.station = index};
    return map_station(client, index);
}

static bool is_selector(const char *text)
{
    size_t n;
    text += text[0] == '!';
    n = strcspn(text, ".");
    bool length = n == 2 || n == 3 || n == 5 || (n == 0 && text[0] == '.');
    for (size_t i = 0; i < n; i++) {
        length &= isalnum((unsigned char)text[i]) || text[i] == '?' || text[i] == '-';
    }
    return length && (text[n] == '\0' || (strchr("DECOTLdecotl?", text[n + 1]) && text[n + 1] && !text[n + 2]));
}

static bool do_select(struct client *client, const char *pattern)
{
    if (client->n_subscriptions == 0) {
        return false;
    }
    struct subscription *subscription = &client->subscriptions[client->n_subscriptions - 1];
    if (!pattern) {
        subscription->n_selectors = 0;
        return true;
    }
    if (strlen(pattern) >= SELECTOR_SIZE || !is_selector(pattern) || subscription->n_selectors == SELECTORS_MAX) {
        return false;
    }
    strcpy(subscription->selectors[subscription->n_selectors++], pattern);
    return true;
}

/* The first record of a station with that number or, by 24-bit distance, a later one; unknown numbers: from now. */
static size_t find_sequence(const struct toc_slserver *server, uint32_t station, uint32_t sequence)
{
    for (size_t i = 0; i < server->n_records; i++) {
        const struct record *record = &server->records[i];
        if (record->station == station && ((record->sequence - sequence) & SEQUENCE_MASK) < 0x800000) {
            return i;
        }
    }
    return server->released;
}

static bool do_data(struct client *client, const char *number)
{
    const struct toc_slserver *server = client->server;
    if (client->n_subscriptions == 0) {
        return false; /* uni-station mode: not here */
    }
    struct subscription *subscription = &client->subscriptions[client->n_subscriptions - 1];
    if (!number) {
        subscription->start = server->options.from_start || server->options.speed <= 0 ? 0 : server->released;
    } else {
        char *end;
        unsigned long sequence = strtoul(number, &end, 16);
        if (*end != '\0' || !isxdigit((unsigned char)number[0]) || sequence > SEQUENCE_MASK) {
            return false;
        }
        subscription->start = find_sequence(server, subscription->station, (uint32_t)sequence);
    }
    subscription->active = true;
    return true;
}

static void do_end(struct client *client)
{
    client->streaming = true;
    client->cursor = client->server->n_records;
    for (size_t i = 0; i < client->n_subscriptions; i++) {
        const struct subscription *subscription = &client->subscriptions[i];
        if (subscription->active && subscription->start < client->cursor) {
            client->cursor = subscription->start;
        }
    }
}

/* XML in the data part of a 512-byte log record (encoding 0), behind "SLINFO " and a mark for "last". */
static void do_info(struct client *client, const char *level)
{
    bool known = level && strcasecmp(level, "ID") == 0;
    uint8_t packet[8 + 512] = "SLINFO  ";
    uint8_t *record = packet + 8;
    static const uint8_t start[10] = {0x07, 0xE9, 0, 1}; /* 2025, day 1, midnight */
    memcpy(record, known ? "000000D INFO   INFSL" : "000000D INFO   ERRSL", 20);
    memcpy(record + 20, start, sizeof(start));
    record[39] = 1;
    record[45] = 64;
    record[47] = 48;
    record[48] = 1000 >> 8, record[49] = 1000 & 0xff;
    record[53] = 1; /* big endian */
    record[54] = 9; /* 512 bytes */
    int n = snprintf((char *)record + 64, 512 - 64,
                     known ? "<?xml version=\"1.0\"?>\n<seedlink software=\"tocsin-sim\" organization=\"%s\"/>\n"
                           : "<?xml version=\"1.0\"?>\n<seedlink><error code=\"UNSUPPORTED\"/><!-- %s --></seedlink>\n",
                     "Tocsin test bench");
    record[30] = (uint8_t)(n >> 8);
    record[31] = (uint8_t)(n & 0xff);
    client->server->counts.infos++;
    append(client, packet, sizeof(packet));
}

static void on_command(struct client *client, char *line)
{
    char *rest = line;
    char *verb = strtok_r(rest, " \t", &rest);
    if (!verb) {
        return;
    }
    char *first = strtok_r(NULL, " \t", &rest), *second = strtok_r(NULL, " \t", &rest);
    if (strcasecmp(verb, "BYE") == 0) {
        close_client(client);
    } else if (strcasecmp(verb, "INFO") == 0) {
        do_info(client, first);
    } else if (client->streaming) {
        return; /* only these two are heard while data flow */
    } else if (strcasecmp(verb, "END") == 0) {
        do_end(client);
    } else if (strcasecmp(verb, "HELLO") == 0) {
        do_hello(client);
    } else {
        bool ok = (strcasecmp(verb, "STATION") == 0 && do_station(client, first, second)) ||
                  (strcasecmp(verb, "SELECT") == 0 && do_select(client, first)) ||
                  (strcasecmp(verb, "DATA") == 0 && do_data(client, first));
        reply(client, ok ? "OK" : "ERROR");
    }
}

static void on_byte(struct client *client, char c)
{
    if (c == '\r' || c == '\n') {
        client->line[client->line_len] = '\0';
        client->line_len = 0;
        on_command(client, client->line);
    } else if (client->line_len < LINE_SIZE - 1) {
        client->line[client->line_len++] = c;
    } else {
        close_client(client);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    (void)suggested;
    struct client *client = handle->data;
    *ret_buf = uv_buf_init(client->in, sizeof(client->in));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client *client = stream->data;
    if (n < 0) {
        close_client(client);
        return;
    }
    for (ssize_t i = 0; i < n && !client->closing && !is_silent(client); i++) {
        on_byte(client, buf->base[i]);
    }
    pump(client);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct toc_slserver *server = listener->data;
    struct client *client = status < 0 ? NULL : calloc(1, sizeof(*client));
    if (!client || server->closing || uv_tcp_init(server->loop, &client->tcp) < 0) {
        free(client);
        return;
    }
    client->server = server;
    client->tcp.data = client;
    client->next = server->clients;
    server->clients = client;
    server->open_handles++;
    server->counts.clients++;
    server->counts.accepted++;
    if (uv_accept(listener, (uv_stream_t *)&client->tcp) < 0 ||
        uv_read_start((uv_stream_t *)&client->tcp, on_alloc, on_read) < 0) {
        close_client(client);
        return;
    }
    uv_tcp_nodelay(&client->tcp, 1);
}

/* ---- the clock ---- */

static void on_timer(uv_timer_t *timer)
{
    release(timer->data);
}

/* Data time now. */
static toc_ns data_now(const struct toc_slserver *server)
{
    double elapsed = (double)(uv_hrtime() - server->origin_hrtime) * server->options.speed;
    return server->origin + (toc_ns)elapsed;
}

static void release(struct toc_slserver *server)
{
    if (server->closing) {
        return;
    }
    bool all = server->options.speed <= 0;
    toc_ns now = all ? 0 : data_now(server);
    while (server->released < server->n_records && (all || server->records[server->released].leave <= now)) {
        server->released++;
    }
    if (server->released < server->n_records) {
        double wait_ms = (double)(server->records[server->released].leave - now) / 1e6 / server->options.speed;
        wait_ms = wait_ms < 0 ? 0 : wait_ms > 1e9 ? 1e9 : wait_ms;
        uv_timer_start(&server->timer, on_timer, (uint64_t)wait_ms + 1, 0);
    }
    for (struct client *client = server->clients; client; client = client->next) {
        pump(client);
    }
}

void toc_slserver_start(struct toc_slserver *server, toc_ns origin)
{
    server->started = true;
    server->origin = origin;
    if (origin == TOC_NS_NONE) {
        server->origin = server->n_records > 0 ? server->records[0].leave : 0;
    }
    server->origin_hrtime = uv_hrtime();
    release(server);
}

/* ---- life ---- */

int toc_slserver_create(uv_loop_t *loop, const struct toc_slserver_options *options, struct toc_slserver **ret_server)
{
    struct toc_slserver *server = calloc(1, sizeof(*server));
    if (!server) {
        return -ENOMEM;
    }
    int result = toc_decoder_create(&server->decoder);
    if (result < 0) {
        free(server);
        return result;
    }
    signal(SIGPIPE, SIG_IGN);
    server->loop = loop;
    server->options = *options;
    uv_timer_init(loop, &server->timer); /* cannot fail */
    server->timer.data = server;
    server->open_handles = 1;
    *ret_server = server;
    return 0;
}

int toc_slserver_listen(struct toc_slserver *server, int port)
{
    struct sockaddr_in address;
    int length = sizeof(address);
    int result = uv_tcp_init(server->loop, &server->listener);
    if (result < 0) {
        return result;
    }
    server->listener.data = server;
    server->open_handles++;
    uv_ip4_addr("127.0.0.1", port, &address);
    result = uv_tcp_bind(&server->listener, (const struct sockaddr *)&address, 0);
    if (result == 0) {
        result = uv_listen((uv_stream_t *)&server->listener, 64, on_connection);
    }
    if (result == 0) {
        result = uv_tcp_getsockname(&server->listener, (struct sockaddr *)&address, &length);
    }
    return result < 0 ? result : ntohs(address.sin_port);
}

void toc_slserver_set_faults(struct toc_slserver *server, const struct toc_slserver_faults *faults)
{
    server->options.faults = *faults;
    server->drops = 0;
    for (struct client *client = server->clients; client; client = client->next) {
        pump(client);
    }
}

void toc_slserver_drop_all(struct toc_slserver *server)
{
    for (struct client *client = server->clients; client; client = client->next) {
        close_client(client);
    }
}

struct toc_slserver_counts toc_slserver_counts(const struct toc_slserver *server)
{
    struct toc_slserver_counts counts = server->counts;
    counts.held = server->n_records;
    counts.released = server->released;
    return counts;
}

bool toc_slserver_done(const struct toc_slserver *server)
{
    size_t streaming = 0;
    for (const struct client *client = server->clients; client; client = client->next) {
        if (client->streaming && !client->closing) {
            streaming++;
            if (client->cursor < server->n_records || client->writing || client->out_start < client->out_end) {
                return false;
            }
        }
    }
    return streaming > 0 && server->released == server->n_records;
}

void toc_slserver_close(struct toc_slserver *server, void (*cb)(void *data), void *data)
{
    server->closing = true;
    server->closed_cb = cb;
    server->closed_data = data;
    toc_slserver_drop_all(server);
    if (server->listener.data) {
        uv_close((uv_handle_t *)&server->listener, on_handle_closed);
    }
    uv_close((uv_handle_t *)&server->timer, on_handle_closed);
}
