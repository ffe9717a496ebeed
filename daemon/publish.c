/*
 * A line is written once and referenced by every queue that holds it. A
 * subscriber has at most one write under way; libuv tries it at once, so a
 * reader that keeps up never has a queue.
 */
#include "daemon/publish.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/clock.h"
#include "daemon/log.h"
#include "daemon/unixsock.h"

#define BACKLOG 128
#define WRITE_LINES 32      /* lines in one write */
#define INBOUND_BYTES 4096  /* subscribers have nothing to say; more than this is rubbish */

struct line {
    uint32_t references;
    size_t len;
    char bytes[];
};

struct subscriber {
    uv_pipe_t pipe; /* first: handle and subscriber are one */
    uv_write_t write;
    struct toc_publisher *publisher;
    struct subscriber *next;
    uint64_t number;
    struct line **queue; /* ring of `capacity` pointers */
    size_t capacity, head, n;
    size_t bytes;     /* in the queue, what is under way included */
    size_t under_way; /* lines of the current write */
    struct toc_mono over_since;
    bool over, closing;
    size_t inbound;
    char waste[512];
};

struct toc_publisher {
    uv_pipe_t pipe; /* listening */
    char path[512];
    struct toc_publisher_limits limits;
    struct toc_publisher_counts counts;
    struct subscriber *subscribers;
    struct toc_log_limit log_limit;
    size_t open_handles; /* memory goes when this is 0 */
    bool closing;
};

/* ---- ends ---- */

static void release(struct line *line)
{
    if (--line->references == 0)
        free(line);
}

static void put_handle(struct toc_publisher *p)
{
    if (--p->open_handles == 0)
        free(p);
}

static void on_subscriber_closed(uv_handle_t *handle)
{
    struct subscriber *s = (struct subscriber *)handle;
    struct toc_publisher *p = s->publisher;

    for (size_t i = 0; i < s->n; i++)
        release(s->queue[(s->head + i) % s->capacity]);
    free(s->queue);
    free(s);
    put_handle(p);
}

static void unlink_subscriber(struct subscriber *s)
{
    struct subscriber **at = &s->publisher->subscribers;

    while (*at && *at != s)
        at = &(*at)->next;
    if (*at)
        *at = s->next;
}

static void close_subscriber(struct subscriber *s)
{
    if (s->closing)
        return;
    s->closing = true;
    unlink_subscriber(s);
    s->publisher->counts.subscribers--;
    uv_close((uv_handle_t *)&s->pipe, on_subscriber_closed);
}

static void cut(struct subscriber *s, const char *reason)
{
    const struct toc_log_about about = {.kind = TOC_LOG_SUBSCRIBER};

    if (toc_log_allow(&s->publisher->log_limit, toc_clock_mono()))
        toc_log_about(TOC_LOG_WARNING, &about, "subscriber %llu cut: %s (%zu bytes unread)",
                      (unsigned long long)s->number, reason, s->bytes);
    close_subscriber(s);
}

/* ---- writing ---- */

static void start_write(struct subscriber *s);

static void on_written(uv_write_t *write, int status)
{
    struct subscriber *s = write->data;

    if (s->closing)
        return;
    if (status < 0) {
        close_subscriber(s); /* it went away: nothing to report */
        return;
    }
    for (; s->under_way > 0; s->under_way--) {
        struct line *line = s->queue[s->head];

        s->bytes -= line->len;
        s->head = (s->head + 1) % s->capacity;
        s->n--;
        release(line);
    }
    if (s->bytes <= s->publisher->limits.soft_bytes)
        s->over = false;
    start_write(s);
}

static void start_write(struct subscriber *s)
{
    uv_buf_t bufs[WRITE_LINES];
    size_t n = s->n < WRITE_LINES ? s->n : WRITE_LINES;

    if (n == 0 || s->under_way > 0)
        return;
    for (size_t i = 0; i < n; i++) {
        struct line *line = s->queue[(s->head + i) % s->capacity];

        bufs[i] = uv_buf_init(line->bytes, (unsigned)line->len);
    }
    s->under_way = n;
    s->write.data = s;
    if (uv_write(&s->write, (uv_stream_t *)&s->pipe, bufs, (unsigned)n, on_written) < 0)
        close_subscriber(s);
}

static int grow(struct subscriber *s)
{
    size_t capacity = s->capacity ? 2 * s->capacity : 64;
    struct line **queue = calloc(capacity, sizeof(struct line *));

    if (!queue)
        return -ENOMEM;
    for (size_t i = 0; i < s->n; i++)
        queue[i] = s->queue[(s->head + i) % s->capacity];
    free(s->queue);
    s->queue = queue;
    s->capacity = capacity;
    s->head = 0;
    return 0;
}

/* Over the soft limit for too long, or over the hard one? */
static const char *too_slow(struct subscriber *s, struct toc_mono now)
{
    const struct toc_publisher_limits *limits = &s->publisher->limits;

    if (s->bytes > limits->hard_bytes)
        return "does not read: queue over its hard limit";
    if (s->bytes <= limits->soft_bytes)
        return NULL;
    if (!s->over) {
        s->over = true;
        s->over_since = now;
    }
    return toc_clock_elapsed_s(s->over_since, now) > limits->lag_s ? "reads too slowly" : NULL;
}

static void enqueue(struct subscriber *s, struct line *line, struct toc_mono now)
{
    const char *reason;

    if (s->n == s->capacity && grow(s) < 0) {
        cut(s, "no memory for its queue");
        return;
    }
    s->queue[(s->head + s->n++) % s->capacity] = line;
    s->bytes += line->len;
    line->references++;
    start_write(s);
    if (s->closing)
        return;
    reason = too_slow(s, now);
    if (reason) {
        s->publisher->counts.cut_slow++;
        cut(s, reason);
    }
}

int toc_publisher_send(struct toc_publisher *publisher, const char *text, size_t len)
{
    struct line *line = malloc(sizeof(*line) + len);
    struct toc_mono now = toc_clock_mono();
    struct subscriber *s, *next;

    if (!line)
        return -ENOMEM;
    line->references = 1;
    line->len = len;
    memcpy(line->bytes, text, len);
    publisher->counts.lines++;
    for (s = publisher->subscribers; s; s = next) {
        next = s->next;
        enqueue(s, line, now);
    }
    release(line);
    return 0;
}

/* ---- reading: nothing is expected, the end is noticed ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct subscriber *s = (struct subscriber *)handle;

    (void)suggested;
    *buf = uv_buf_init(s->waste, sizeof(s->waste));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct subscriber *s = (struct subscriber *)stream;

    (void)buf;
    if (n == UV_EOF) {
        uv_read_stop(stream); /* it will not speak but may still listen; if it is gone, the next line finds out */
        return;
    }
    if (n < 0) {
        close_subscriber(s);
        return;
    }
    s->inbound += (size_t)n;
    if (s->inbound > INBOUND_BYTES) {
        s->publisher->counts.cut_rubbish++;
        cut(s, "sends what nobody asked for");
    }
}

/* ---- listening ---- */

static void welcome(struct toc_publisher *p, struct subscriber *s)
{
    bool room = p->counts.subscribers < p->limits.subscribers_max;

    p->counts.subscribers++;
    s->number = ++p->counts.accepted;
    s->next = p->subscribers;
    p->subscribers = s;
    if (room && uv_read_start((uv_stream_t *)&s->pipe, on_alloc, on_read) == 0)
        return;
    p->counts.accepted--;
    p->counts.refused++;
    cut(s, room ? "cannot be read from" : "no room: output.subscribers_max are connected");
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct toc_publisher *p = (struct toc_publisher *)stream;
    struct subscriber *s = status < 0 ? NULL : calloc(1, sizeof(*s));

    if (!s || uv_pipe_init(stream->loop, &s->pipe, 0) < 0) {
        free(s);
        return;
    }
    s->publisher = p;
    p->open_handles++;
    if (uv_accept(stream, (uv_stream_t *)&s->pipe) < 0) {
        s->closing = true;
        uv_close((uv_handle_t *)&s->pipe, on_subscriber_closed);
        return;
    }
    welcome(p, s);
}

static void on_publisher_closed(uv_handle_t *handle)
{
    put_handle((struct toc_publisher *)handle);
}

static int listen_on(struct toc_publisher *p, int fd)
{
    int err = uv_pipe_open(&p->pipe, fd);

    if (err < 0) {
        close(fd);
        return err;
    }
    return uv_listen((uv_stream_t *)&p->pipe, BACKLOG, on_connection);
}

int toc_publisher_create(uv_loop_t *loop, const char *path, const struct toc_publisher_limits *limits,
                         struct toc_publisher **ret_publisher, char *ret_why, size_t why_size)
{
    struct toc_publisher *p;
    int fd = toc_unix_bind(path, ret_why, why_size), err;

    if (fd < 0)
        return fd;
    p = calloc(1, sizeof(*p));
    if (!p || uv_pipe_init(loop, &p->pipe, 0) < 0) {
        close(fd);
        free(p);
        return -ENOMEM;
    }
    p->open_handles = 1;
    p->limits = *limits;
    snprintf(p->path, sizeof(p->path), "%s", path);
    err = listen_on(p, fd);
    if (err < 0) {
        snprintf(ret_why, why_size, "%s: %s", path, uv_strerror(err));
        toc_publisher_destroy(p);
        return err;
    }
    *ret_publisher = p;
    return 0;
}

void toc_publisher_limit(struct toc_publisher *publisher, const struct toc_publisher_limits *limits)
{
    publisher->limits = *limits;
}

size_t toc_publisher_pending(const struct toc_publisher *publisher)
{
    size_t bytes = 0;

    for (const struct subscriber *s = publisher->subscribers; s; s = s->next)
        bytes += s->bytes;
    return bytes;
}

struct toc_publisher_counts toc_publisher_counts(const struct toc_publisher *publisher)
{
    return publisher->counts;
}

void toc_publisher_destroy(struct toc_publisher *publisher)
{
    if (!publisher || publisher->closing)
        return;
    publisher->closing = true;
    while (publisher->subscribers)
        close_subscriber(publisher->subscribers);
    (void)unlink(publisher->path);
    uv_close((uv_handle_t *)&publisher->pipe, on_publisher_closed);
}
