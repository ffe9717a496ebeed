/*
 * One TCP connection as a client: bytes in, bytes out, the end told once.
 * Closing it is immediate for its owner; what libuv still holds is freed
 * when libuv lets go. No retry, no protocol: the feed's business.
 */
#ifndef TOC_DAEMON_LINK_H
#define TOC_DAEMON_LINK_H

#include <stddef.h>
#include <stdint.h>

#include <uv.h>

struct toc_link;

/** Whom it tells. After `lost`, or after toc_link_close(), nothing more comes. */
struct toc_link_owner {
    void *user;
    void (*connected)(void *user);
    void (*bytes)(void *user, const uint8_t *bytes, size_t len); /* may close the link */
    void (*lost)(void *user, const char *what, int err);         /* libuv's code; the link is still to be closed */
};

/**
 * Start to connect to one of the addresses: each attempt takes the next one.
 *
 * @param addresses borrowed during the call, at least one
 * @param ret_link  set also when connecting failed at once: close it in any case
 * @return 0, or libuv's negative code
 */
int toc_link_open(uv_loop_t *loop, const struct addrinfo *addresses, unsigned attempt,
                  const struct toc_link_owner *owner, struct toc_link **ret_link);

/** Copy and send; never waits. @return 0, -ENOMEM, or libuv's code */
int toc_link_send(struct toc_link *link, const uint8_t *bytes, size_t len);

/** NULL is fine. */
void toc_link_close(struct toc_link *link);

#endif
