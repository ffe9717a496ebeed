/*
 * Connections are short: each has a deadline, and there are few of them.
 */
#include "daemon/control.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/unixsock.h"

#define CLIENTS_MAX 16
#define COMMAND_BYTES 64
#define DEADLINE_MS 5000

struct client {
    uv_pipe_t pipe; /* first */
    uv_timer_t deadline;
    uv_write_t write;
    struct toc_control *control;
    unsigned open_handles;
    bool closing, answered;
    size_t len;
    char command[COMMAND_BYTES];
    char *answer; /* owned */
};

struct toc_control {
    uv_pipe_t pipe; /* first */
    char path[512];
    toc_control_answer *answer;
    void *user;
    size_t clients;
    size_t open_handles;
    struct client *list[CLIENTS_MAX];
    bool closing;
};

static void put_control(struct toc_control *c)
{
    if (--c->open_handles == 0)
        free(c);
}

static void on_part_closed(uv_handle_t *handle)
{
    struct client *client = handle->data;
    struct toc_control *control = client->control;

    if (--client->open_handles > 0)
        return;
    free(client->answer);
    free(client);
    put_control(control);
}

static void close_client(struct client *client)
{
    if (client->closing)
        return;
    client->closing = true;
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        if (client->control->list[i] == client)
            client->control->list[i] = NULL;
    client->control->clients--;
    uv_close((uv_handle_t *)&client->deadline, on_part_closed);
    uv_close((uv_handle_t *)&client->pipe, on_part_closed);
}

static void on_deadline(uv_timer_t *timer)
{
    close_client(timer->data);
}

static void on_answered(uv_write_t *write, int status)
{
    struct client *client = write->data;

    (void)status;
    close_client(client);
}

static void answer(struct client *client, const char *command)
{
    uv_buf_t buf;

    client->answered = true;
    uv_read_stop((uv_stream_t *)&client->pipe);
    client->answer = client->control->answer(client->control->user, command);
    if (!client->answer) {
        close_client(client);
        return;
    }
    buf = uv_buf_init(client->answer, (unsigned)strlen(client->answer));
    client->write.data = client;
    if (uv_write(&client->write, (uv_stream_t *)&client->pipe, &buf, 1, on_answered) < 0)
        close_client(client);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct client *client = handle->data;

    (void)suggested;
    *buf = uv_buf_init(client->command + client->len, (unsigned)(COMMAND_BYTES - 1 - client->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client *client = stream->data;
    char *newline;

    (void)buf;
    if (n == 0)
        return;
    if (n < 0) {
        close_client(client); /* a full buffer without a line ends here too: UV_ENOBUFS */
        return;
    }
    client->len += (size_t)n;
    client->command[client->len] = 0;
    newline = strchr(client->command, '\n');
    if (!newline)
        return;
    *newline = 0;
    client->command[strcspn(client->command, "\r")] = 0;
    answer(client, client->command);
}

static bool is_allowed(struct client *client)
{
    uv_os_fd_t fd;
    uid_t uid;

    if (uv_fileno((uv_handle_t *)&client->pipe, &fd) < 0 || toc_unix_peer(fd, &uid) < 0)
        return false;
    if (uid == 0 || uid == geteuid())
        return true;
    toc_log(TOC_LOG_WARNING, "control: user %u is not allowed to give commands", (unsigned)uid);
    return false;
}

static struct client *new_client(struct toc_control *c, uv_loop_t *loop)
{
    struct client *client = calloc(1, sizeof(*client));

    if (!client)
        return NULL;
    client->control = c;
    client->pipe.data = client->deadline.data = client;
    uv_timer_init(loop, &client->deadline); /* neither can fail on Linux */
    uv_pipe_init(loop, &client->pipe, 0);
    client->open_handles = 2;
    c->open_handles++;
    c->clients++;
    return client;
}

static void keep(struct toc_control *c, struct client *client)
{
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        if (!c->list[i]) {
            c->list[i] = client;
            return;
        }
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct toc_control *c = (struct toc_control *)stream;
    struct client *client = status < 0 ? NULL : new_client(c, stream->loop);

    if (!client)
        return;
    keep(c, client);
    if (uv_accept(stream, (uv_stream_t *)&client->pipe) < 0 || c->clients > CLIENTS_MAX || !is_allowed(client)) {
        close_client(client);
        return;
    }
    uv_timer_start(&client->deadline, on_deadline, DEADLINE_MS, 0);
    uv_read_start((uv_stream_t *)&client->pipe, on_alloc, on_read);
}

static void on_control_closed(uv_handle_t *handle)
{
    put_control((struct toc_control *)handle);
}

static int listen_on(struct toc_control *c, int fd)
{
    int err = uv_pipe_open(&c->pipe, fd);

    if (err < 0) {
        close(fd);
        return err;
    }
    return uv_listen((uv_stream_t *)&c->pipe, CLIENTS_MAX, on_connection);
}

int toc_control_create(uv_loop_t *loop, const char *path, toc_control_answer *answer_, void *user,
                       struct toc_control **ret_control, char *ret_why, size_t why_size)
{
    struct toc_control *c;
    int fd = toc_unix_bind(path, ret_why, why_size), err;

    if (fd < 0)
        return fd;
    c = calloc(1, sizeof(*c));
    if (!c || uv_pipe_init(loop, &c->pipe, 0) < 0) {
        close(fd);
        free(c);
        return -ENOMEM;
    }
    c->open_handles = 1;
    c->answer = answer_;
    c->user = user;
    snprintf(c->path, sizeof(c->path), "%s", path);
    err = listen_on(c, fd);
    if (err < 0) {
        snprintf(ret_why, why_size, "%s: %s", path, uv_strerror(err));
        toc_control_destroy(c);
        return err;
    }
    *ret_control = c;
    return 0;
}

void toc_control_destroy(struct toc_control *control)
{
    if (!control || control->closing)
        return;
    control->closing = true;
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        if (control->list[i])
            close_client(control->list[i]);
    (void)unlink(control->path);
    uv_close((uv_handle_t *)&control->pipe, on_control_closed);
}
