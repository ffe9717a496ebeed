/*
 * The publisher with real sockets: everybody gets every line in order; who
 * does not read is cut and nobody else loses a byte; rubbish, too many, a
 * stale or a living socket in the way.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/publish.h"
#include "daemon/unixsock.h"

static char path[64];

struct bench {
    uv_loop_t loop;
    struct toc_publisher *publisher;
};

static const struct toc_publisher_limits usual = {
    .subscribers_max = 8, .soft_bytes = 65536, .hard_bytes = 262144, .lag_s = 0.05};

static int make_path(void **state)
{
    char folder[] = "/tmp/tocsin-publish-XXXXXX";
    (void)state;

    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/a.sock", folder);
    return 0;
}

static int remove_path(void **state)
{
    (void)state;
    unlink(path);
    *strrchr(path, '/') = 0;
    return rmdir(path);
}

static void open_bench(struct bench *b, const struct toc_publisher_limits *limits)
{
    char why[256] = "";

    assert_int_equal(uv_loop_init(&b->loop), 0);
    if (toc_publisher_create(&b->loop, path, limits, &b->publisher, why, sizeof(why)) < 0)
        fail_msg("%s", why);
}

static void turn(struct bench *b)
{
    for (int i = 0; i < 3; i++)
        uv_run(&b->loop, UV_RUN_NOWAIT);
}

static void close_bench(struct bench *b)
{
    toc_publisher_destroy(b->publisher);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&b->loop), 0);
    assert_int_equal(access(path, F_OK), -1); /* the name is gone too */
}

static int join(struct bench *b)
{
    int fd = toc_unix_connect(path);

    assert_true(fd >= 0);
    turn(b);
    return fd;
}

/* Take all that is there, looking at each byte: lines are numbered, padded with blanks, and follow each other. */
struct reader {
    unsigned next; /* number of the line to come */
    size_t in_line;
    char head[9];
};

static void drink(int fd, struct reader *r)
{
    static char text[1 << 18];
    ssize_t n;

    while ((n = recv(fd, text, sizeof(text), MSG_DONTWAIT)) > 0)
        for (ssize_t i = 0; i < n; i++) {
            if (r->in_line < 8)
                r->head[r->in_line] = text[i];
            else if (text[i] != ' ' && text[i] != '\n')
                fail_msg("byte %zu of line %u is %d", r->in_line, r->next, text[i]);
            r->in_line++;
            if (text[i] == '\n') {
                assert_int_equal(strtoul(r->head, NULL, 10), r->next);
                r->next++;
                r->in_line = 0;
            }
        }
}

static void send_numbered(struct bench *b, unsigned number, size_t len)
{
    static char line[1 << 16];

    memset(line, ' ', len);
    line[snprintf(line, 16, "%08u", number)] = ' ';
    line[len - 1] = '\n';
    assert_int_equal(toc_publisher_send(b->publisher, line, len), 0);
}

static void check_all_get_all(void **state)
{
    struct bench b;
    int fds[5];
    struct reader readers[5] = {0};
    struct stat st;
    (void)state;

    open_bench(&b, &usual);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    for (int i = 0; i < 5; i++)
        fds[i] = join(&b);
    for (unsigned k = 0; k < 200; k++) {
        send_numbered(&b, k, 300);
        turn(&b);
        for (int i = 0; i < 5; i++)
            drink(fds[i], &readers[i]);
    }
    for (int i = 0; i < 5; i++) {
        assert_int_equal(readers[i].next, 200);
        close(fds[i]);
    }
    assert_int_equal(toc_publisher_pending(b.publisher), 0);
    close_bench(&b);
}

/* One never reads; four do. The sleeper goes, with its queue; the four lose nothing. */
static void check_slow_one_is_cut(void **state)
{
    struct bench b;
    int sleeper, fds[4];
    struct reader readers[4] = {0};
    unsigned k = 0;
    size_t most = 0;
    (void)state;

    open_bench(&b, &usual);
    sleeper = join(&b);
    for (int i = 0; i < 4; i++)
        fds[i] = join(&b);
    for (; k < 3000 && toc_publisher_counts(b.publisher).cut_slow == 0; k++) {
        send_numbered(&b, k, 4000);
        turn(&b);
        for (int i = 0; i < 4; i++)
            drink(fds[i], &readers[i]);
        most = toc_publisher_pending(b.publisher) > most ? toc_publisher_pending(b.publisher) : most;
    }
    turn(&b);
    assert_int_equal(toc_publisher_counts(b.publisher).cut_slow, 1);
    assert_int_equal(toc_publisher_counts(b.publisher).subscribers, 4);
    assert_true(most <= usual.hard_bytes + 8000); /* bounded */
    for (int i = 0; i < 4; i++) {
        drink(fds[i], &readers[i]);
        assert_int_equal(readers[i].next, k);
        close(fds[i]);
    }
    close(sleeper);
    close_bench(&b);
}

/* Over the soft limit but under the hard one, it is given lag_s to catch up. */
static void check_lagging_one_catches_up(void **state)
{
    const struct toc_publisher_limits patient = {
        .subscribers_max = 8, .soft_bytes = 1000, .hard_bytes = 10000000, .lag_s = 3600};
    struct bench b;
    struct reader reader = {0};
    int fd;
    (void)state;

    open_bench(&b, &patient);
    fd = join(&b);
    for (unsigned k = 0; k < 500; k++)
        send_numbered(&b, k, 4000);
    assert_true(toc_publisher_pending(b.publisher) > 1000);
    for (int i = 0; i < 2000 && reader.next < 500; i++) {
        turn(&b);
        drink(fd, &reader);
    }
    assert_int_equal(reader.next, 500);
    turn(&b);
    assert_int_equal(toc_publisher_pending(b.publisher), 0);
    assert_int_equal(toc_publisher_counts(b.publisher).cut_slow, 0);
    close(fd);
    close_bench(&b);
}

/* Between the limits for longer than lag_s: cut, at the next line. */
static void check_lagging_one_is_cut(void **state)
{
    const struct toc_publisher_limits strict = {
        .subscribers_max = 8, .soft_bytes = 1000, .hard_bytes = 100000000, .lag_s = 0.01};
    struct bench b;
    int fd;
    (void)state;

    open_bench(&b, &strict);
    fd = join(&b);
    for (unsigned k = 0; k < 500; k++)
        send_numbered(&b, k, 4000);
    usleep(20000);
    send_numbered(&b, 500, 100);
    turn(&b);
    assert_int_equal(toc_publisher_counts(b.publisher).cut_slow, 1);
    assert_int_equal(toc_publisher_counts(b.publisher).subscribers, 0);
    close(fd);
    close_bench(&b);
}

static void check_rubbish_is_cut(void **state)
{
    struct bench b;
    char rubbish[8192];
    int fd, quiet;
    (void)state;

    memset(rubbish, 'x', sizeof(rubbish));
    open_bench(&b, &usual);
    fd = join(&b);
    quiet = join(&b);
    assert_int_equal(write(quiet, rubbish, 100), 100); /* a little is overlooked */
    assert_int_equal(write(fd, rubbish, sizeof(rubbish)), sizeof(rubbish));
    for (int i = 0; i < 20; i++)
        turn(&b);
    assert_int_equal(toc_publisher_counts(b.publisher).cut_rubbish, 1);
    assert_int_equal(toc_publisher_counts(b.publisher).subscribers, 1);
    close(fd);
    close(quiet);
    close_bench(&b);
}

static void check_too_many(void **state)
{
    struct bench b;
    int fds[10];
    struct reader reader = {0};
    (void)state;

    open_bench(&b, &usual);
    for (int i = 0; i < 10; i++)
        fds[i] = join(&b);
    assert_int_equal(toc_publisher_counts(b.publisher).subscribers, 8);
    assert_int_equal(toc_publisher_counts(b.publisher).refused, 2);
    send_numbered(&b, 0, 100);
    turn(&b);
    drink(fds[0], &reader);
    assert_int_equal(reader.next, 1);
    for (int i = 0; i < 10; i++)
        close(fds[i]);
    turn(&b);
    send_numbered(&b, 1, 100); /* finds out that they are gone */
    turn(&b);
    assert_int_equal(toc_publisher_counts(b.publisher).subscribers, 0);
    close_bench(&b);
}

/* It said all it had to say, and listens on. */
static void check_half_closed_listens(void **state)
{
    struct bench b;
    struct reader reader = {0};
    int fd;
    (void)state;

    open_bench(&b, &usual);
    fd = join(&b);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    turn(&b);
    send_numbered(&b, 0, 100);
    turn(&b);
    drink(fd, &reader);
    assert_int_equal(reader.next, 1);
    close(fd);
    close_bench(&b);
}

static void check_socket_in_the_way(void **state)
{
    struct toc_publisher *second = NULL;
    struct bench b;
    char why[256];
    FILE *file;
    int fd;
    (void)state;

    fd = toc_unix_bind(path, why, sizeof(why)); /* a dead one: bound, never listening, then closed */
    assert_true(fd >= 0);
    close(fd);
    open_bench(&b, &usual);
    assert_int_equal(toc_publisher_create(&b.loop, path, &usual, &second, why, sizeof(why)), -EADDRINUSE);
    assert_non_null(strstr(why, "another process"));
    close_bench(&b);
    file = fopen(path, "w");
    fclose(file);
    assert_int_equal(toc_publisher_create(&b.loop, path, &usual, &second, why, sizeof(why)), -EEXIST);
    assert_int_equal(access(path, F_OK), 0); /* a file is never removed */
    unlink(path);
    assert_int_equal(toc_unix_bind("/nonexistent/x/y", why, sizeof(why)), -ENOENT);
    memset(why, 'a', sizeof(why));
    why[sizeof(why) - 1] = 0;
    assert_int_equal(toc_unix_connect(why), -ENAMETOOLONG);
}

/* Closed with subscribers, queues and a write under way: all memory comes back (the sanitizers look). */
static void check_destroy_with_queues(void **state)
{
    struct bench b;
    int fds[3];
    (void)state;

    open_bench(&b, &usual);
    for (int i = 0; i < 3; i++)
        fds[i] = join(&b);
    for (unsigned k = 0; k < 60; k++)
        send_numbered(&b, k, 4000);
    assert_true(toc_publisher_pending(b.publisher) > 0);
    close_bench(&b);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_all_get_all),          cmocka_unit_test(check_slow_one_is_cut),
        cmocka_unit_test(check_lagging_one_catches_up), cmocka_unit_test(check_lagging_one_is_cut),
        cmocka_unit_test(check_rubbish_is_cut),
        cmocka_unit_test(check_too_many),             cmocka_unit_test(check_half_closed_listens),
        cmocka_unit_test(check_socket_in_the_way),    cmocka_unit_test(check_destroy_with_queues),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
