/*
 * Listening Unix stream sockets: 0660 from their first moment, stale ones
 * replaced, a living daemon's one never taken away.
 */
#ifndef TOC_DAEMON_UNIXSOCK_H
#define TOC_DAEMON_UNIXSOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/** Bind (not yet listen). Makes the folder when only its last part is missing.
 * @return file descriptor (non-blocking, close-on-exec), or -errno with words in ret_why; -EADDRINUSE: somebody
 *         answers there */
int toc_unix_bind(const char *path, char *ret_why, size_t why_size);

/** Connect, blocking. @return file descriptor or -errno */
int toc_unix_connect(const char *path);

/** User at the other end of a connected socket. @return 0 or -errno */
int toc_unix_peer(int fd, uid_t *ret_uid);

#endif
