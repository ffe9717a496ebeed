/*
 * One writer with two outlets. journald is asked for only when stderr is the
 * journal's own stream, so that a shell, a test or a container sees plain
 * lines. The state is per process, as stderr itself is.
 */
#include "daemon/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <systemd/sd-journal.h>

#define LINE_MAX_BYTES 1024
#define LIMIT_LINES 20
#define LIMIT_WINDOW_S 10.0

/* 128-bit ids, drawn once at random, never changed: catalogues and filters refer to them. */
static const char *const kind_ids[] = {
    [TOC_LOG_PLAIN] = NULL,
    [TOC_LOG_FEED] = "6f0c1d7be2a94c55b7c4d31c1f2ab901",
    [TOC_LOG_EVENT] = "a3e5b9d04f8742c1936d5a70e8c41b72",
    [TOC_LOG_RELOAD] = "d17f62ab90c34e1e8b05c2f4467e9a33",
    [TOC_LOG_STATION] = "3c84fe1572db4b0f9ad1e6038b5c7d94",
    [TOC_LOG_SUBSCRIBER] = "e95b07c36a1d4f28b4430d9fc86172a5",
};

static struct {
    bool journal;
    bool tagged; /* "<prio>" in front: stderr is read by a service manager, not by a person */
    enum toc_log_priority max;
    const char *program;
} out = {.max = TOC_LOG_INFO, .program = "tocsin"};

static bool stderr_is_journal(void)
{
    const char *text = getenv("JOURNAL_STREAM");
    unsigned long device, inode;
    struct stat st;

    if (!text || sscanf(text, "%lu:%lu", &device, &inode) != 2 || fstat(STDERR_FILENO, &st) < 0)
        return false;
    return st.st_dev == device && st.st_ino == inode;
}

void toc_log_open(const char *program, enum toc_log_priority max)
{
    out.program = program;
    out.max = max;
    out.journal = stderr_is_journal();
    out.tagged = !isatty(STDERR_FILENO);
}

static void clean(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

struct fields {
    struct iovec iov[8];
    char text[8][LINE_MAX_BYTES + 32];
    int n;
};

static void add_field(struct fields *f, const char *name, const char *value)
{
    if (!value)
        return;
    snprintf(f->text[f->n], sizeof(f->text[f->n]), "%s=%s", name, value);
    f->iov[f->n].iov_base = f->text[f->n];
    f->iov[f->n].iov_len = strlen(f->text[f->n]);
    f->n++;
}

static void to_journal(enum toc_log_priority priority, const struct toc_log_about *about, const char *line)
{
    struct fields f;
    char digit[2] = {(char)('0' + priority), 0};

    f.n = 0;
    add_field(&f, "MESSAGE", line);
    add_field(&f, "PRIORITY", digit);
    add_field(&f, "SYSLOG_IDENTIFIER", out.program);
    add_field(&f, "MESSAGE_ID", kind_ids[about->kind]);
    add_field(&f, "TOCSIN_FEED", about->feed);
    add_field(&f, "TOCSIN_STATION", about->station);
    add_field(&f, "TOCSIN_EVENT_ID", about->event);
    (void)sd_journal_sendv(f.iov, f.n);
}

static void to_stderr(enum toc_log_priority priority, const char *line)
{
    if (out.tagged)
        fprintf(stderr, "<%d>%s: %s\n", (int)priority, out.program, line);
    else
        fprintf(stderr, "%s: %s\n", out.program, line);
}

static void write_line(enum toc_log_priority priority, const struct toc_log_about *about, const char *format,
                       va_list args) __attribute__((format(printf, 3, 0)));

static void write_line(enum toc_log_priority priority, const struct toc_log_about *about, const char *format,
                       va_list args)
{
    char line[LINE_MAX_BYTES];

    if (priority > out.max)
        return;
    vsnprintf(line, sizeof(line), format, args);
    clean(line);
    if (out.journal)
        to_journal(priority, about, line);
    else
        to_stderr(priority, line);
}

void toc_log(enum toc_log_priority priority, const char *format, ...)
{
    const struct toc_log_about plain = {.kind = TOC_LOG_PLAIN};
    va_list args;

    va_start(args, format);
    write_line(priority, &plain, format, args);
    va_end(args);
}

void toc_log_about(enum toc_log_priority priority, const struct toc_log_about *about, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_line(priority, about, format, args);
    va_end(args);
}

bool toc_log_allow(struct toc_log_limit *limit, struct toc_mono now)
{
    if (limit->lines == 0 || (double)(now.ns - limit->since.ns) > LIMIT_WINDOW_S * (double)TOC_NS_PER_S) {
        uint32_t suppressed = limit->suppressed;

        *limit = (struct toc_log_limit){.since = now};
        if (suppressed)
            toc_log(TOC_LOG_NOTICE, "%u lines of this kind were left out", suppressed);
    }
    if (limit->lines >= LIMIT_LINES) {
        limit->suppressed++;
        return false;
    }
    limit->lines++;
    return true;
}
