/*
 * The service manager: told of readiness, reload, status and life. Without one
 * (no NOTIFY_SOCKET) every call does nothing.
 */
#ifndef TOC_DAEMON_NOTIFY_H
#define TOC_DAEMON_NOTIFY_H

#include <stdint.h>

#include "core/nstime.h"

struct toc_notify {
    double watchdog_s;       /* 0: no watchdog */
    struct toc_mono fed;     /* last WATCHDOG=1 */
    char status[160];        /* last STATUS= */
};

/** Read what the manager asks for (WATCHDOG_USEC). */
void toc_notify_init(struct toc_notify *notify);

void toc_notify_ready(void);
/** RELOADING=1 with the monotonic stamp that newer managers want; follow it by toc_notify_ready(). */
void toc_notify_reloading(struct toc_mono now);
void toc_notify_stopping(void);

/** STATUS=, when the text changed. */
void toc_notify_status(struct toc_notify *notify, const char *text);

/** WATCHDOG=1, at most twice in a watchdog period. Call only when the pipeline moved: that is what it vouches for. */
void toc_notify_alive(struct toc_notify *notify, struct toc_mono now);

#endif
