/*
 * The log: journald fields when systemd runs us, lines on stderr otherwise.
 * A failure is logged once, where it is handled, and on transition: what
 * persists is silent, what changes speaks. What a peer can trigger at will
 * passes a toc_log_limit first.
 */
#ifndef TOC_DAEMON_LOG_H
#define TOC_DAEMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/nstime.h"

/* syslog priorities, the ones in use. */
enum toc_log_priority {
    TOC_LOG_ALERT = 1, /* an earthquake alert went out */
    TOC_LOG_ERROR = 3,
    TOC_LOG_WARNING = 4,
    TOC_LOG_NOTICE = 5,
    TOC_LOG_INFO = 6,
    TOC_LOG_DEBUG = 7
};

/* Kinds of message an operator filters for; each has a fixed journald MESSAGE_ID. */
enum toc_log_kind { TOC_LOG_PLAIN, TOC_LOG_FEED, TOC_LOG_EVENT, TOC_LOG_RELOAD, TOC_LOG_STATION, TOC_LOG_SUBSCRIBER };

/** What a line is about; NULL members are left out. All borrowed during the call. */
struct toc_log_about {
    enum toc_log_kind kind;
    const char *feed;    /* TOCSIN_FEED */
    const char *station; /* TOCSIN_STATION: sid or NET_STA */
    const char *event;   /* TOCSIN_EVENT_ID */
};

/** Decide where lines go (JOURNAL_STREAM names our stderr: journald) and drop all above `max`. Call once, first. */
void toc_log_open(const char *program, enum toc_log_priority max);

/** One line. Control characters in the text are shown as '?', so that nobody writes lines of their own into the log. */
void toc_log(enum toc_log_priority priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

void toc_log_about(enum toc_log_priority priority, const struct toc_log_about *about, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** A budget of lines per 10 s, kept by whoever may be made to log by others. Zero it to start. */
struct toc_log_limit {
    struct toc_mono since;
    uint32_t lines, suppressed;
};

/** May a line be written now? When a new window opens after suppression, one line says how many were left out. */
bool toc_log_allow(struct toc_log_limit *limit, struct toc_mono now);

#endif
