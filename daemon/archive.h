/*
 * miniSEED files as a list of records in the order in which a feed would bring
 * them. Used by the file feed and by replay. Rubbish between records is
 * stepped over and counted; what looks like a record but does not decode is
 * kept, so that the pipeline refuses and counts it like any other.
 */
#ifndef TOC_DAEMON_ARCHIVE_H
#define TOC_DAEMON_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

#include "core/types.h"
#include "daemon/files.h"

struct toc_archived {
    const uint8_t *bytes; /* borrowed from the list's files */
    uint32_t len;
    uint32_t order;       /* position as read: file by file (names sorted), top to bottom */
    toc_ns end;           /* time of sample N+1; of the record before it when it does not decode */
    toc_ns arrival;       /* when it is pushed */
    toc_ns start;         /* of the first sample; TOC_NS_NONE when it does not decode */
    char sid[TOC_SID_SIZE];
};

struct toc_archive {
    struct toc_file *files; /* owned */
    size_t n_files;
    struct toc_archived *records; /* owned */
    size_t n, capacity;
    uint64_t skipped_bytes;     /* stepped over between records */
    uint64_t undecodable;       /* kept, but refused by the decoder */
};

/**
 * Read a file, or the *.mseed files of a folder (names sorted).
 *
 * @return 0, -ENOENT (no such file, or no *.mseed in the folder), -EFBIG (over 4 GiB in all), -ENOMEM, or what
 *         reading gave. ret_why names the file.
 */
int toc_archive_load(const char *path, struct toc_archive *ret_archive, char *ret_why, size_t why_size);
void toc_archive_finish(struct toc_archive *records);

/** Let each arrive `latency` after its end, and sort by arrival; equal ones stay in file order. */
void toc_archive_schedule(struct toc_archive *records, toc_ns latency);

/**
 * Give arrivals from a table (CSV, first line names the columns). Columns: arrival, and either record (number of the
 * record in file order, from 0), or sid and start (FDSN source identifier of the channel, time of its first sample).
 * Times are RFC 3339 or seconds since 1970. Other columns and '#' lines are passed over; records the table does not
 * name keep their arrival. Sorts again.
 *
 * @return 0, or -EINVAL with "line N: reason" in ret_why
 */
int toc_archive_override(struct toc_archive *records, const char *text, char *ret_why, size_t why_size);

#endif
