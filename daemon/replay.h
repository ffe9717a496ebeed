/*
 * The daemon's pipeline on recorded files, with a virtual clock: the
 * same calls in the same order, no loop, no threads, no real time in
 * anything that is written. Two runs give the same bytes.
 */
#ifndef TOC_DAEMON_REPLAY_H
#define TOC_DAEMON_REPLAY_H

#include <stdbool.h>
#include <stddef.h>

struct toc_replay_options {
    const char *folder;
    const char *config;    /* NULL: folder/tocsin.yaml, else built-in */
    double speed;          /* times real time; 0 as fast as possible */
    double latency_s;
    const char *out, *picks, *estimates; /* files; out NULL: stdout; the others NULL: not written */
    const char *shadow;      /* a picker network that decides nothing; NULL: the configuration's */
    const char *differences; /* file; NULL: standard output when there is a shadow */
    bool quiet;            /* no summary, no progress */
};

/** @return 0 when the data were read to the end; else -errno, the reason was logged */
int toc_replay_run(const struct toc_replay_options *options);

#endif
