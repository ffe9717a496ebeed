/*
 * Reading files and finding shipped ones.
 */
#include "daemon/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef TOCSIN_DATADIR
#define TOCSIN_DATADIR "/usr/share/tocsin"
#endif

/* Read until the end, growing: also right for a file that grows meanwhile. */
static int read_all(int fd, size_t guess, size_t max, struct toc_file *ret_file)
{
    size_t size = guess + 2, len = 0;
    char *bytes = malloc(size);

    while (bytes) {
        ssize_t n = read(fd, bytes + len, size - 1 - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || len + (size_t)n > max) {
            int err = n < 0 ? -errno : n ? -EFBIG : 0;

            bytes[len] = 0;
            *ret_file = (struct toc_file){bytes, len};
            return err;
        }
        len += (size_t)n;
        if (len == size - 1) {
            char *grown = realloc(bytes, size *= 2);

            if (!grown)
                free(bytes);
            bytes = grown;
        }
    }
    return -ENOMEM;
}

static int read_open(int fd, size_t max, struct toc_file *ret_file)
{
    struct toc_file file = {0};
    struct stat st;
    int err;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if ((size_t)st.st_size > max)
        return -EFBIG;
    err = read_all(fd, (size_t)st.st_size, max, &file);
    if (err < 0)
        toc_file_finish(&file);
    else
        *ret_file = file;
    return err;
}

int toc_file_read(const char *path, size_t max, struct toc_file *ret_file)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a pipe must not hold up a reload */
    int err;

    if (fd < 0)
        return -errno;
    err = read_open(fd, max, ret_file);
    close(fd);
    return err;
}

void toc_file_finish(struct toc_file *file)
{
    free(file->bytes);
    *file = (struct toc_file){0};
}

int toc_file_read_for_config(const char *path, struct toc_file *ret_file, struct toc_config_error *ret_error)
{
    int err = toc_file_read(path, TOC_YAML_BYTES_MAX, ret_file);

    *ret_error = (struct toc_config_error){0};
    snprintf(ret_error->file, sizeof(ret_error->file), "%s", path);
    snprintf(ret_error->text, sizeof(ret_error->text), "%s", err < 0 ? strerror(-err) : "");
    return err;
}

void toc_path_folder(const char *path, char *ret_folder, size_t size)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        snprintf(ret_folder, size, ".");
    else if (slash == path)
        snprintf(ret_folder, size, "/");
    else
        snprintf(ret_folder, size, "%.*s", (int)(slash - path), path);
}

int toc_path_shipped(const char *relative, char *ret_path, size_t size)
{
    static const char *const places[] = {"../share/tocsin", "..", "../.."};
    char program[512], folder[512];
    ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

    program[n > 0 ? n : 0] = 0;
    toc_path_folder(program, folder, sizeof(folder));
    for (size_t i = 0; n > 0 && i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(ret_path, size, "%s/%s/%s", folder, places[i], relative);
        if (access(ret_path, R_OK) == 0)
            return 0;
    }
    snprintf(ret_path, size, "%s/%s", TOCSIN_DATADIR, relative);
    return access(ret_path, R_OK) == 0 ? 0 : -ENOENT;
}
