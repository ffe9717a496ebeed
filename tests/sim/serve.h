/*
 * Serve a recorded or simulated directory over SeedLink: all *.mseed in DIR, with
 * the moments of DIR/arrivals.csv where there are any, else each record
 * `latency_s` after its last sample. With `now`, the recording is moved in time so that its
 * first sample is now, headers included.
 */
#ifndef TOC_SIM_SERVE_H
#define TOC_SIM_SERVE_H

#include <stdbool.h>

struct toc_serve_options {
    const char *directory;
    const char *port_file; /* where to write the port, when listening; NULL none */
    int port;              /* 0: any */
    double speed;          /* 1: real time; 0: everything at once */
    double latency_s;
    bool now;              /* with a speed above 1 the data run ahead of the clock */
    bool from_start;       /* a client that asks for no number gets all that was released so far */
    bool wait;             /* time begins to run when the first client connects */
    bool end;              /* say END and exit when a client has got everything */
};

/** Runs until SIGINT, SIGTERM, or the end. Prints one line on stdout when listening. @return 0, or -errno, said on
 * stderr */
int toc_serve(const struct toc_serve_options *options);

#endif
