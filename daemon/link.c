/*
 * The handle outlives its owner's interest: `open` says whether anybody still
 * wants to hear.
 */
#include "daemon/link.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES 16384 /* one callback's share; libuv turns to others after at most 32 of these */

struct toc_link {
    uv_tcp_t tcp; /* first */
    uv_connect_t connect;
    struct toc_link_owner owner;
    bool open;
    char bytes[READ_BYTES];
};

struct packet {
    uv_write_t write; /* first */
    char bytes[];
};

static void lose(struct toc_link *link, const char *what, int err)
{
    link->open = false;
    link->owner.lost(link->owner.user, what, err);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct toc_link *link = (struct toc_link *)handle;

    (void)suggested;
    *buf = uv_buf_init(link->bytes, sizeof(link->bytes));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct toc_link *link = (struct toc_link *)stream;

    if (!link->open || n == 0)
        return;
    if (n < 0)
        lose(link, "connection lost", (int)n);
    else
        link->owner.bytes(link->owner.user, (const uint8_t *)buf->base, (size_t)n);
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct toc_link *link = connect->data;

    if (!link->open)
        return;
    if (status == 0)
        status = uv_read_start((uv_stream_t *)&link->tcp, on_alloc, on_read);
    if (status < 0)
        lose(link, "connect", status);
    else
        link->owner.connected(link->owner.user);
}

static const struct addrinfo *choose(const struct addrinfo *list, unsigned attempt)
{
    unsigned n = 0;

    for (const struct addrinfo *a = list; a; a = a->ai_next)
        n++;
    for (unsigned skip = attempt % n; skip > 0; skip--)
        list = list->ai_next;
    return list;
}

int toc_link_open(uv_loop_t *loop, const struct addrinfo *addresses, unsigned attempt,
                  const struct toc_link_owner *owner, struct toc_link **ret_link)
{
    struct toc_link *link = calloc(1, sizeof(*link));
    int err = link ? uv_tcp_init(loop, &link->tcp) : -ENOMEM;

    if (err < 0) {
        free(link);
        return err;
    }
    link->owner = *owner;
    link->open = true;
    link->connect.data = link;
    *ret_link = link;
    uv_tcp_nodelay(&link->tcp, 1);
    return uv_tcp_connect(&link->connect, &link->tcp, choose(addresses, attempt)->ai_addr, on_connected);
}

static void on_written(uv_write_t *write, int status)
{
    (void)status; /* a failed write is followed by a failed read, which is handled */
    free(write);
}

int toc_link_send(struct toc_link *link, const uint8_t *bytes, size_t len)
{
    struct packet *packet = malloc(sizeof(*packet) + len);
    uv_buf_t buf;
    int err;

    if (!packet)
        return -ENOMEM;
    memcpy(packet->bytes, bytes, len);
    buf = uv_buf_init(packet->bytes, (unsigned)len);
    err = uv_write(&packet->write, (uv_stream_t *)&link->tcp, &buf, 1, on_written);
    if (err < 0)
        free(packet);
    return err;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

void toc_link_close(struct toc_link *link)
{
    if (!link)
        return;
    link->open = false;
    uv_close((uv_handle_t *)&link->tcp, on_closed);
}
