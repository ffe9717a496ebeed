/* See serve.h: a feed read into memory, and a loop with the server, two signals and a timer on it. */
#include "tests/sim/serve.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <uv.h>

#include "tests/sim/feed.h"
#include "tests/sim/slserver.h"

#define POLL_MS 50

struct serving {
    const struct toc_serve_options *options;
    struct toc_feed feed;
    struct toc_slserver *server;
    toc_ns moved;
    uv_loop_t loop;
    uv_signal_t signals[2];
    uv_timer_t timer;
    bool started, closing;
};

static toc_ns time_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (toc_ns)now.tv_sec * TOC_NS_PER_S + now.tv_nsec;
}

static int complain(const char *what, int error)
{
    fprintf(stderr, "tocsin-sim: %s: %s\n", what, strerror(-error));
    return error;
}

static void close_all(struct serving *serving)
{
    if (serving->closing)
        return;
    serving->closing = true;
    uv_close((uv_handle_t *)&serving->signals[0], NULL);
    uv_close((uv_handle_t *)&serving->signals[1], NULL);
    uv_close((uv_handle_t *)&serving->timer, NULL);
    toc_slserver_close(serving->server, NULL, NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    close_all(handle->data);
}

/* Moved data live on the real clock; others start when we do. */
static void start(struct serving *serving)
{
    serving->started = true;
    toc_slserver_start(serving->server, serving->options->now ? time_now() : toc_feed_start(&serving->feed));
}

static void on_timer(uv_timer_t *timer)
{
    struct serving *serving = timer->data;
    const struct toc_slserver_counts counts = toc_slserver_counts(serving->server);
    if (!serving->started && counts.clients > 0)
        start(serving);
    /* Everything was handed out and the readers have gone. */
    if (serving->options->end && counts.accepted > 0 && counts.clients == 0 && counts.released == counts.held)
        close_all(serving);
}

static int fill(struct serving *serving)
{
    const struct toc_serve_options *options = serving->options;
    int result = toc_feed_read(options->directory, options->latency_s, &serving->feed);
    if (result < 0)
        return complain(options->directory, result);
    if (options->now) {
        /* Whole hundredths of a second: samples on the models' grid stay on it. */
        const toc_ns by = time_now() - toc_feed_start(&serving->feed);
        serving->moved = by - by % (10 * TOC_NS_PER_MS);
        toc_feed_shift(&serving->feed, serving->moved);
    }
    for (size_t i = 0; i < serving->feed.n; i++) {
        const struct toc_feed_record *record = &serving->feed.records[i];
        const uint8_t *bytes = serving->feed.bytes + record->at;
        result = toc_slserver_add_at(serving->server, bytes, record->length, record->arrival);
        if (result == -ENOMEM)
            return complain("records", result);
    }
    return 0;
}

static int announce(const struct serving *serving, int port)
{
    const char *path = serving->options->port_file;
    if (path) {
        /* Written aside and renamed: who waits for the file never reads half a number. */
        char part[4096];
        if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part)
            return complain(path, -ENAMETOOLONG);
        FILE *file = fopen(part, "w");
        if (!file)
            return complain(part, -errno);
        fprintf(file, "%d\n", port);
        if (fclose(file) != 0 || rename(part, path) < 0)
            return complain(path, -errno);
    }
    /* Who knows the truth of the recording finds it again: the move is whole hundredths. */
    printf("listening on 127.0.0.1:%d, %zu records, moved by %.2f s\n", port, serving->feed.n,
           toc_s_from_ns(serving->moved));
    fflush(stdout);
    return 0;
}

static int listen_and_run(struct serving *serving)
{
    const int port = toc_slserver_listen(serving->server, serving->options->port);
    if (port < 0) {
        fprintf(stderr, "tocsin-sim: port %d: %s\n", serving->options->port, uv_strerror(port));
        return port;
    }
    const int result = announce(serving, port);
    if (result < 0)
        return result;
    if (!serving->options->wait)
        start(serving);
    uv_timer_start(&serving->timer, on_timer, POLL_MS, POLL_MS);
    uv_run(&serving->loop, UV_RUN_DEFAULT);
    return 0;
}

int toc_serve(const struct toc_serve_options *options)
{
    static const int numbers[2] = {SIGINT, SIGTERM};
    struct serving serving = {.options = options};
    const struct toc_slserver_options server_options = {
        .speed = options->speed,
        .from_start = options->from_start,
        .end_at_end = options->end,
    };
    int result = uv_loop_init(&serving.loop);
    if (result < 0)
        return complain("event loop", result);
    result = toc_slserver_create(&serving.loop, &server_options, &serving.server);
    if (result < 0) {
        uv_loop_close(&serving.loop);
        return complain("server", result);
    }
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&serving.loop, &serving.signals[i]);
        serving.signals[i].data = &serving;
        uv_signal_start(&serving.signals[i], on_signal, numbers[i]);
    }
    uv_timer_init(&serving.loop, &serving.timer);
    serving.timer.data = &serving;
    result = fill(&serving);
    if (result == 0)
        result = listen_and_run(&serving);
    close_all(&serving);
    uv_run(&serving.loop, UV_RUN_DEFAULT); /* let the handles close */
    uv_loop_close(&serving.loop);
    toc_feed_finish(&serving.feed);
    return result;
}
