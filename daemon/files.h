/*
 * Whole files into memory, with a cap, and where things lie on disk. Files
 * are read, not mapped: a mapped file that shrinks kills its reader.
 */
#ifndef TOC_DAEMON_FILES_H
#define TOC_DAEMON_FILES_H

#include <stddef.h>

#include "daemon/yaml.h"

struct toc_file {
    char *bytes; /* owned; one NUL beyond len */
    size_t len;
};

/** @return 0, -EFBIG (over `max` bytes), -EISDIR, -EINVAL (no regular file), -ENOMEM, or what open or read gave */
int toc_file_read(const char *path, size_t max, struct toc_file *ret_file);
void toc_file_finish(struct toc_file *file);

/** The same with the cap of a YAML text; on error the reason stands in ret_error, file name included. */
int toc_file_read_for_config(const char *path, struct toc_file *ret_file, struct toc_config_error *ret_error);

/** The folder a path lies in ("." when it names none). */
void toc_path_folder(const char *path, char *ret_folder, size_t size);

/**
 * Find a file that ships with the program ("models/picker/weights.safetensors"): beside an installed program
 * (../share/tocsin), in the tree a program was built in, or in the data folder chosen at build time.
 *
 * @return 0, or -ENOENT (ret_path holds the installed place, for the message)
 */
int toc_path_shipped(const char *relative, char *ret_path, size_t size);

#endif
