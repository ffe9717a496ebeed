/*
 * tocsin-story: a subscriber of the alert stream that knows the truth. `targets` prints the places that want to be
 * warned, for a configuration; `tell` listens to a daemon's socket while the scenario is served, and tells.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/options.h"
#include "tests/sim/story_tell.h"

#define LINE_MAX_BYTES 262144
#define SOCKET_WAIT_S 20
#define TICK_NS TOC_NS_PER_S

static const char usage[] =
    "usage: tocsin-story targets DIR\n"
    "       tocsin-story tell --socket PATH [options] DIR\n"
    "         --moved S           by how much the server moved the recording (0)\n"
    "         --until S           listen so long after the origin (45)\n"
    "         --save FILE         keep the stream as it came\n"
    "DIR is a scenario of tocsin-sim. tell exits 0 when the earthquake was alerted, 1 when not.\n";

struct listener {
    int fd;
    FILE *copy; /* or NULL */
    char buffer[LINE_MAX_BYTES];
    size_t held;
};

static toc_ns time_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (toc_ns)now.tv_sec * TOC_NS_PER_S + now.tv_nsec;
}

static int complain(const char *what, int error)
{
    fprintf(stderr, "tocsin-story: %s: %s\n", what, strerror(-error));
    return error;
}

/* @return descriptor or -errno */
static int connect_once(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    const int error = -errno;
    close(fd);
    return error;
}

/* The daemon may still be starting. */
static int connect_to(const char *path)
{
    const struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
    int fd = connect_once(path);
    for (int i = 0; i < 10 * SOCKET_WAIT_S && (fd == -ENOENT || fd == -ECONNREFUSED); i++) {
        nanosleep(&pause, NULL);
        fd = connect_once(path);
    }
    return fd;
}

/* All whole lines of the buffer; the rest moves to its beginning. */
static void tell_lines(struct listener *listener, struct toc_telling *telling)
{
    const toc_ns now = time_now();
    char *at = listener->buffer, *end = listener->buffer + listener->held, *stop;
    while ((stop = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        toc_telling_moments(telling, now);
        toc_telling_message(telling, at, (size_t)(stop - at), now);
        at = stop + 1;
    }
    listener->held = (size_t)(end - at);
    memmove(listener->buffer, at, listener->held);
}

/* @return 0, -EPIPE (the daemon closed), -EMSGSIZE (a line longer than any message), -errno */
static int hear(struct listener *listener, struct toc_telling *telling)
{
    const ssize_t n = read(listener->fd, listener->buffer + listener->held, sizeof listener->buffer - listener->held);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : -errno;
    if (n == 0)
        return -EPIPE;
    if (listener->copy)
        fwrite(listener->buffer + listener->held, 1, (size_t)n, listener->copy);
    listener->held += (size_t)n;
    tell_lines(listener, telling);
    return listener->held == sizeof listener->buffer ? -EMSGSIZE : 0;
}

static int listen_until(struct listener *listener, struct toc_telling *telling, toc_ns until)
{
    int result = 0;
    for (toc_ns now = time_now(); result == 0 && now < until && !toc_telling_is_over(telling); now = time_now()) {
        const toc_ns moment = toc_telling_moments(telling, now);
        toc_telling_wait(telling, now, until);
        toc_ns next = now + TICK_NS < until ? now + TICK_NS : until;
        if (moment != TOC_NS_NONE && moment < next)
            next = moment;
        struct pollfd pollfd = {.fd = listener->fd, .events = POLLIN};
        const int ready = poll(&pollfd, 1, (int)((next - now) / TOC_NS_PER_MS) + 1);
        if (ready < 0 && errno != EINTR)
            result = -errno;
        else if (ready > 0)
            result = hear(listener, telling);
    }
    return result;
}

static int tell_from(const struct toc_story *story, const char *path, FILE *copy, double until_s)
{
    static struct listener listener;
    struct toc_telling *telling = NULL;
    const bool terminal = isatty(STDOUT_FILENO) == 1 && !getenv("NO_COLOR");
    int result = toc_telling_create(story, stdout, terminal, &telling);
    if (result < 0) {
        complain("telling", result);
        return 1;
    }
    listener.copy = copy;
    listener.fd = connect_to(path);
    if (listener.fd < 0) {
        complain(path, listener.fd);
        toc_telling_destroy(telling);
        return 1;
    }
    result = listen_until(&listener, telling, story->origin + toc_ns_from_s(until_s));
    close(listener.fd);
    const bool good = toc_telling_end(telling);
    toc_telling_destroy(telling);
    if (result == -EPIPE)
        fputs("tocsin-story: the daemon closed the stream\n", stderr);
    else if (result < 0)
        complain("stream", result);
    return good && result == 0 ? 0 : 1;
}

static int tell(int argc, char **argv)
{
    const char *path = NULL, *save = NULL, *directory = NULL;
    double moved_s = 0.0, until_s = 45.0;
    struct toc_story story;
    const struct toc_option options[] = {
        {"--socket", TOC_OPTION_TEXT, &path},
        {"--moved", TOC_OPTION_NUMBER, &moved_s},
        {"--until", TOC_OPTION_NUMBER, &until_s},
        {"--save", TOC_OPTION_TEXT, &save},
        {NULL, TOC_OPTION_FLAG, NULL},
    };
    if (toc_options_read(argc, argv, options, &directory) < 0 || !path || !directory) {
        fputs(usage, stderr);
        return 2;
    }
    const int result = toc_story_read(directory, toc_ns_from_s(moved_s), &story);
    if (result < 0) {
        complain(directory, result);
        return 2;
    }
    FILE *copy = save ? fopen(save, "w") : NULL;
    if (save && !copy)
        complain(save, -errno);
    const int status = save && !copy ? 2 : tell_from(&story, path, copy, until_s);
    if (copy && fclose(copy) != 0)
        complain(save, -errno);
    toc_story_finish(&story);
    return status;
}

static int print_targets(const char *directory)
{
    struct toc_story story;
    const int result = toc_story_read(directory, 0, &story);
    if (result < 0) {
        complain(directory, result);
        return 2;
    }
    for (size_t i = 0; i < TOC_STORY_TARGETS; i++)
        printf("  - {name: %s, latitude: %.4f, longitude: %.4f, mmi_limit: %g}\n", story.targets[i].name,
               story.targets[i].latitude_deg, story.targets[i].longitude_deg, TOC_STORY_MMI_LIMIT);
    toc_story_finish(&story);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "targets") == 0)
        return print_targets(argv[2]);
    if (argc >= 2 && strcmp(argv[1], "tell") == 0)
        return tell(argc - 2, argv + 2);
    fputs(usage, stderr);
    return 2;
}
