/*
 * The names of sockets in the file system outlive their owners; most of this
 * is about that.
 */
#include "daemon/unixsock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/files.h"

static int make_address(const char *path, struct sockaddr_un *ret_address)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    *ret_address = address;
    return 0;
}

static int connect_to(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
        return fd;
    err = -errno;
    close(fd);
    return err;
}

int toc_unix_connect(const char *path)
{
    struct sockaddr_un address;
    int err = make_address(path, &address);

    return err < 0 ? err : connect_to(&address);
}

int toc_unix_peer(int fd, uid_t *ret_uid)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        return -errno;
    *ret_uid = peer.uid;
    return 0;
}

/* Remove a socket nobody listens on. Anything else in its place stays and makes bind fail. */
static int clear_stale(const struct sockaddr_un *address)
{
    struct stat st;
    int fd;

    if (lstat(address->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    fd = connect_to(address);
    if (fd >= 0) {
        close(fd);
        return -EADDRINUSE;
    }
    if (fd != -ECONNREFUSED)
        return fd;
    return unlink(address->sun_path) < 0 ? -errno : 0;
}

static int bind_to(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;
    mode_t mask;

    if (fd < 0)
        return -errno;
    mask = umask(0117); /* 0660, with no moment in between */
    err = bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
    umask(mask);
    if (err == 0)
        return fd;
    close(fd);
    return err;
}

int toc_unix_bind(const char *path, char *ret_why, size_t why_size)
{
    struct sockaddr_un address;
    char folder[512];
    int err = make_address(path, &address);

    if (err == 0) {
        toc_path_folder(path, folder, sizeof(folder));
        (void)mkdir(folder, 0755); /* when it cannot be made, bind says why */
        err = clear_stale(&address);
    }
    if (err == 0)
        err = bind_to(&address);
    if (err < 0)
        snprintf(ret_why, why_size, "%s: %s", path,
                 err == -EADDRINUSE ? "another process is listening there"
                 : err == -EEXIST   ? "something that is no socket is in the way"
                                    : strerror(-err));
    return err;
}
