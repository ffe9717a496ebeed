/*
 * The log on standard error: priority in front, control characters made
 * harmless, a budget for what others can make it say.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/clock.h"
#include "daemon/log.h"

static char path[] = "/tmp/tocsin-log-XXXXXX";
static int kept;

/* From here to said(), standard error goes to a file. */
static void listen_in(void)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

    fflush(stderr);
    kept = dup(STDERR_FILENO);
    dup2(fd, STDERR_FILENO);
    close(fd);
    unsetenv("JOURNAL_STREAM");
    toc_log_open("me", TOC_LOG_INFO);
}

static const char *said(void)
{
    static char text[65536];
    ssize_t n;

    fflush(stderr);
    n = pread(STDERR_FILENO, text, sizeof(text) - 1, 0);
    dup2(kept, STDERR_FILENO);
    close(kept);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static void check_priority(void **state)
{
    (void)state;

    listen_in();
    toc_log(TOC_LOG_ERROR, "one %d", 1);
    toc_log(TOC_LOG_DEBUG, "not asked for");
    toc_log(TOC_LOG_ALERT, "two");
    assert_string_equal(said(), "<3>me: one 1\n<1>me: two\n");
}

static void check_no_line_of_your_own(void **state)
{
    (void)state;

    listen_in();
    toc_log(TOC_LOG_INFO, "station %s", "A\n<0>kernel: panic\x1b[31m\x7f");
    assert_string_equal(said(), "<6>me: station A?<0>kernel: panic?[31m?\n");
}

static void check_long_line(void **state)
{
    char *text = calloc(1, 5001);
    const char *heard;
    (void)state;

    memset(text, 'x', 5000);
    listen_in();
    toc_log(TOC_LOG_INFO, "%s", text);
    heard = said();
    assert_true(strlen(heard) > 500 && strlen(heard) < 1100);
    assert_ptr_equal(strchr(heard, '\n'), heard + strlen(heard) - 1);
    free(text);
}

static void check_limit(void **state)
{
    struct toc_log_limit limit = {0};
    struct toc_mono now = {.ns = 5000 * TOC_NS_PER_S};
    unsigned allowed = 0;
    (void)state;

    listen_in();
    for (int i = 0; i < 1000; i++)
        allowed += toc_log_allow(&limit, now);
    assert_int_equal(allowed, 20);
    now.ns += 11 * TOC_NS_PER_S;
    assert_true(toc_log_allow(&limit, now)); /* a new window, and the old one is accounted for */
    assert_string_equal(said(), "<5>me: 980 lines of this kind were left out\n");
}

static void check_clocks(void **state)
{
    struct toc_mono a = toc_clock_mono(), b = toc_clock_mono();
    (void)state;

    assert_true(b.ns >= a.ns);
    assert_true(toc_clock_elapsed_s(a, (struct toc_mono){a.ns + 1500000000}) == 1.5);
    assert_true(toc_clock_utc() > INT64_C(1500000000) * TOC_NS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_priority), cmocka_unit_test(check_no_line_of_your_own),
        cmocka_unit_test(check_long_line), cmocka_unit_test(check_limit), cmocka_unit_test(check_clocks),
    };
    int fd = mkstemp(path), failed;

    close(fd);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
