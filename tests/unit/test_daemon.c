/*
 * tocsind as a process: what it tells a service manager, that reloads under a
 * running stream change nothing they should not, that a bad start is refused
 * with a reason, and that it stops when told to. A stand-in for systemd and
 * for a SeedLink server are in here; nothing leaves the machine.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "daemon/unixsock.h"
#include "tests/sim/slserver.h"
#include "tests/unit/make_record.h"

#define STATIONS 5
#define SECONDS 80
#define RATE 100
#define ONSET_S 50
#define PATIENCE 60000 /* ms until a step is given up; measures nothing */

static char folder[64], program[512], tool[512];

/* ---- files ---- */

static const char *in_folder(const char *name)
{
    static char path[2][160];
    static int turn;

    turn = !turn;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
    return path[turn];
}

static void write_file(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void write_file(const char *name, const char *format, ...)
{
    FILE *file = fopen(in_folder(name), "w");
    va_list args;

    assert_non_null(file);
    va_start(args, format);
    vfprintf(file, format, args);
    va_end(args);
    assert_int_equal(fclose(file), 0);
}

static void write_stations(void)
{
    FILE *file = fopen(in_folder("stations.txt"), "w");

    assert_non_null(file);
    for (int i = 0; i < STATIONS; i++)
        for (int c = 0; c < 3; c++)
            fprintf(file, "XX|S%d||HH%c|%.3f|%.3f|0|0|%d|%d|s|1000000000|1|M/S|100|2000-01-01T00:00:00|\n", i, "ENZ"[c],
                    35.0 + 0.08 * (i % 3), -117.0 + 0.1 * i, c == 0 ? 90 : 0, c == 2 ? -90 : 0);
    fclose(file);
}

static void write_config(int port, double min_magnitude)
{
    write_file("tocsin.yaml",
               "daemon: {clock: data}\n"
               "feeds: [{type: seedlink, host: 127.0.0.1, port: %d}]\n"
               "metadata: {stations: stations.txt}\n"
               "models: {picker: none, estimator: none}\n"
               "alert: {min_magnitude: %g}\n"
               "output: {socket: a.sock, heartbeat_s: 0.1}\n"
               "control: {socket: c.sock}\n",
               port, min_magnitude);
}

/* ---- a SeedLink server in a process of its own ---- */

static int32_t sample_at(int station, int component, int i, uint64_t *random)
{
    double noise = ((double)(make_random(random) % 2001) - 1000) / 10;
    double t = (double)i / RATE - ONSET_S - 0.4 * station;

    if (t < 0)
        return (int32_t)noise;
    return (int32_t)(noise + 2e5 * exp(-t / 6) * sin(2 * 3.141592653589793 * (5 + component) * t));
}

static void serve_second(struct toc_slserver *server, int second, uint64_t randoms[STATIONS][3])
{
    static uint8_t bytes[MAKE_RECORD_MAX];

    for (int station = 0; station < STATIONS; station++)
        for (int c = 0; c < 3; c++) {
            struct make_record spec = make_record_default();
            int32_t samples[RATE];
            char name[16], channel[4] = {'H', 'H', "ENZ"[c], 0};
            int length = 0;

            for (int i = 0; i < RATE; i++)
                samples[i] = sample_at(station, c, second * RATE + i, &randoms[station][c]);
            snprintf(name, sizeof(name), "S%d", station);
            spec.sta = name;
            spec.cha = channel;
            spec.loc = "";
            spec.reclen = 1024;
            spec.start_ns += (int64_t)second * 1000000000;
            spec.samples = samples;
            spec.n = RATE;
            if (make_record(&spec, bytes, &length) != RATE || toc_slserver_add(server, bytes, (size_t)length) < 0)
                _exit(1);
        }
}

static void serve(int report, double speed)
{
    const struct toc_slserver_options options = {.speed = speed, .from_start = true};
    uint64_t randoms[STATIONS][3];
    struct toc_slserver *server;
    uv_loop_t loop;
    int port;

    if (uv_loop_init(&loop) < 0 || toc_slserver_create(&loop, &options, &server) < 0)
        _exit(1);
    for (int i = 0; i < STATIONS * 3; i++)
        randoms[i / 3][i % 3] = 7919u * (uint64_t)(i + 1);
    for (int second = 0; second < SECONDS; second++)
        serve_second(server, second, randoms);
    port = toc_slserver_listen(server, 0);
    if (port <= 0 || write(report, &port, sizeof(port)) != sizeof(port))
        _exit(1);
    toc_slserver_start(server, TOC_NS_NONE);
    uv_run(&loop, UV_RUN_DEFAULT);
    _exit(0);
}

static pid_t start_server(double speed, int *ret_port)
{
    int ends[2];
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        serve(ends[1], speed);
    close(ends[1]);
    assert_int_equal(read(ends[0], ret_port, sizeof(*ret_port)), sizeof(*ret_port));
    close(ends[0]);
    return pid;
}

static void stop_server(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* ---- the daemon ---- */

static pid_t start_daemon(const char *log)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int fd = open(in_folder(log), O_WRONLY | O_CREAT | O_TRUNC, 0600);

        dup2(fd, STDERR_FILENO);
        execl(program, program, "-c", in_folder("tocsin.yaml"), (char *)NULL);
        _exit(127);
    }
    return pid;
}

/* Wait for the end of a process; one that does not end is killed and fails the test. */
static int exit_code(pid_t pid)
{
    int status;

    for (int ms = 0; ms < PATIENCE; ms += 10, usleep(10000))
        if (waitpid(pid, &status, WNOHANG) == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return -1;
}

static int stop_daemon(pid_t pid)
{
    kill(pid, SIGTERM);
    return exit_code(pid);
}

static int subscribe(void)
{
    for (int ms = 0; ms < PATIENCE; ms += 10, usleep(10000)) {
        int fd = toc_unix_connect(in_folder("a.sock"));

        if (fd >= 0)
            return fd;
    }
    fail_msg("the daemon does not listen");
    return -1;
}

/* @return the answer, owned; NULL when nobody answers */
static char *ask(const char *command)
{
    int fd = toc_unix_connect(in_folder("c.sock"));
    size_t size = 1 << 20, len = 0;
    char *text;
    ssize_t n;

    if (fd < 0)
        return NULL;
    text = malloc(size);
    dprintf(fd, "%s\n", command);
    while (len < size - 1 && (n = read(fd, text + len, size - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = 0;
    close(fd);
    return text;
}

static long long counter(const char *name)
{
    char *answer = ask("status");
    json_t *root = answer ? json_loads(answer, 0, NULL) : NULL;
    long long value = json_integer_value(json_object_get(json_object_get(root, "counters"), name));

    json_decref(root);
    free(answer);
    return value;
}

static char *log_text(const char *name)
{
    static char text[65536];
    int fd = open(in_folder(name), O_RDONLY);
    ssize_t n = read(fd, text, sizeof(text) - 1);

    close(fd);
    text[n > 0 ? n : 0] = 0;
    return text;
}

/* ---- reload under a stream ---- */

/* Picks and messages about events, without what counts or dates the sending. */
static char *collect(int fd)
{
    FILE *stream = fdopen(fd, "r");
    char *line = NULL, *all = NULL;
    size_t size = 0, all_size = 0;
    FILE *out = open_memstream(&all, &all_size);

    while (getline(&line, &size, stream) > 0) {
        json_t *message = json_loads(line, 0, NULL);

        assert_non_null(message);
        if (strcmp(json_string_value(json_object_get(message, "type")), "heartbeat") != 0) {
            char *text;

            json_object_del(message, "seq");
            json_object_del(message, "config_revision");
            text = json_dumps(message, JSON_SORT_KEYS);
            fprintf(out, "%s\n", text);
            free(text);
        }
        json_decref(message);
    }
    free(line);
    fclose(stream);
    fclose(out);
    return all;
}

static int reloads_taken, reloads_refused;

/* One good, one bad, one that changes a number the data never reach. */
static void reload_once(int round, int port)
{
    char *answer;

    if (round % 3 == 1)
        write_file("tocsin.yaml", "alert: {min_magnitude: 3.5\n");
    else
        write_config(port, round % 3 == 0 ? 9.4 : 9.5);
    answer = ask("reload");
    assert_non_null(answer);
    reloads_taken += strncmp(answer, "ok", 2) == 0;
    reloads_refused += strncmp(answer, "error", 5) == 0 && strstr(answer, "tocsin.yaml:2:1");
    free(answer);
}

/* Serve the stream once. @return what was said, owned */
static char *run_stream(bool reload)
{
    const long long all = (long long)STATIONS * 3 * SECONDS * RATE;
    pid_t server, daemon;
    int port, fd, round = 0;
    char *said;

    server = start_server(20, &port);
    write_config(port, 9.5);
    daemon = start_daemon("log");
    fd = subscribe();
    for (int ms = 0; ms < PATIENCE && counter("samples") < all; ms += 20, usleep(20000))
        if (reload)
            reload_once(round++, port);
    assert_int_equal(counter("samples"), all);
    assert_int_equal(counter("samples_duplicate"), 0);
    assert_int_equal(counter("gaps"), 0);
    assert_int_equal(counter("records_refused"), 0);
    kill(daemon, SIGTERM);
    said = collect(fd);
    if (exit_code(daemon) != 0)
        fail_msg("%s", log_text("log"));
    stop_server(server);
    return said;
}

static void check_reload_under_stream(void **state)
{
    char *quiet, *reloaded;
    (void)state;

    reloads_taken = reloads_refused = 0;
    quiet = run_stream(false);
    reloaded = run_stream(true);
    assert_non_null(strstr(quiet, "\"pick\"")); /* there is something to change */
    assert_string_equal(quiet, reloaded);
    assert_true(reloads_taken > 5);
    assert_true(reloads_refused > 5);
    free(quiet);
    free(reloaded);
}

/* ---- the host's clock, with and without workers ---- */

/* The stream once more, as live data. @return P picks */
static long long run_live(int workers)
{
    const long long all = (long long)STATIONS * 3 * SECONDS * RATE;
    pid_t server, daemon;
    json_t *root;
    char *answer;
    long long picks = 0, last = -1;
    int port, fd;

    server = start_server(20, &port);
    write_file("tocsin.yaml",
               "daemon: {workers: %d}\nfeeds: [{type: seedlink, host: 127.0.0.1, port: %d}]\n"
               "metadata: {stations: stations.txt}\nmodels: {picker: none, estimator: none}\n"
               "output: {socket: a.sock, heartbeat_s: 0.1}\ncontrol: {socket: c.sock}\n",
               workers, port);
    daemon = start_daemon("log");
    fd = subscribe();
    for (int ms = 0; ms < PATIENCE && counter("samples") < all; ms += 20, usleep(20000))
        ;
    assert_int_equal(counter("samples"), all);
    while (picks != last) { /* what is out comes back */
        last = picks;
        usleep(300000);
        picks = counter("picks_p");
    }
    answer = ask("status");
    root = json_loads(answer, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(root, "workers")), workers);
    assert_non_null(json_string_value(json_object_get(root, "load")));
    assert_true(json_number_value(json_object_get(root, "wait_s")) >= 0);
    json_decref(root);
    free(answer);
    assert_int_equal(stop_daemon(daemon), 0);
    close(fd);
    stop_server(server);
    return picks;
}

static void check_workers_say_what_one_thread_says(void **state)
{
    long long alone = run_live(0);
    (void)state;

    assert_true(alone >= STATIONS);
    assert_int_equal(run_live(1), alone);
    assert_int_equal(run_live(3), alone);
}

/* ---- the service manager ---- */

static int notify_fd;

static void open_notify(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", in_folder("notify"));
    notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(notify_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
}

static void close_notify(void)
{
    close(notify_fd);
    unlink(in_folder("notify"));
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
}

/* Datagrams until one holds the text. `never` must not come before it. */
static void expect(const char *wanted, const char *never)
{
    struct pollfd p = {.fd = notify_fd, .events = POLLIN};
    char text[1024];

    while (poll(&p, 1, PATIENCE) == 1) {
        ssize_t n = recv(notify_fd, text, sizeof(text) - 1, 0);

        text[n > 0 ? n : 0] = 0;
        if (strstr(text, wanted))
            return;
        if (never && strstr(text, never))
            fail_msg("'%s' came before '%s'", never, wanted);
    }
    fail_msg("the service manager was never told %s", wanted);
}

static void check_notify(void **state)
{
    pid_t daemon;
    (void)state;

    open_notify();
    setenv("WATCHDOG_USEC", "400000", 1);
    write_config(1, 3.5);
    daemon = start_daemon("log");
    expect("READY=1", "WATCHDOG=1");
    expect("STATUS=", NULL);
    for (int i = 0; i < 3; i++)
        expect("WATCHDOG=1", "STOPPING=1");
    kill(daemon, SIGHUP);
    expect("RELOADING=1\nMONOTONIC_USEC=", NULL);
    expect("READY=1", NULL);
    write_file("tocsin.yaml", "alert: {min_magnitud: 1}\n");
    kill(daemon, SIGHUP); /* refused, and ready all the same: the old configuration runs */
    expect("RELOADING=1", NULL);
    expect("READY=1", NULL);
    kill(daemon, SIGTERM);
    expect("STOPPING=1", NULL);
    assert_int_equal(exit_code(daemon), 0);
    assert_non_null(strstr(log_text("log"), "tocsin.yaml:1:9: unknown key 'alert.min_magnitud' (did you mean "
                                            "'min_magnitude'?)"));
    close_notify();
}

/* ---- starts and ends ---- */

static void check_restart_keys_are_named(void **state)
{
    pid_t daemon;
    char *answer;
    (void)state;

    write_config(1, 3.5);
    daemon = start_daemon("log");
    close(subscribe());
    write_config(2, 3.5); /* another port */
    for (int i = 0; i < 2; i++) {
        answer = ask("reload");
        assert_non_null(answer);
        assert_memory_equal(answer, "ok revision", 11);
        free(answer);
    }
    assert_int_equal(stop_daemon(daemon), 0);
    answer = strstr(log_text("log"), "these take effect at the next start only: feeds");
    assert_non_null(answer);
    assert_non_null(strstr(answer + 1, "these take effect at the next start only: feeds")); /* each time anew */
}

static void must_refuse(const char *reason)
{
    pid_t daemon = start_daemon("refused");

    assert_int_equal(exit_code(daemon), 1);
    if (!strstr(log_text("refused"), reason))
        fail_msg("'%s' lacks '%s'", log_text("refused"), reason);
}

static void check_bad_starts(void **state)
{
    (void)state;

    write_file("tocsin.yaml", "picker: {p_threshold: 2}\n");
    must_refuse("tocsin.yaml:1:23: picker.p_threshold: 2 is out of range");
    write_file("tocsin.yaml", "models: {picker: none, estimator: none}\n");
    must_refuse("metadata.stations");
    write_file("tocsin.yaml", "metadata: {stations: missing.txt}\n");
    must_refuse("missing.txt: No such file");
    write_file("bad.txt", "XX|S0||HHZ|north|2|0|0|0|-90|s|1|1|M/S|100|2000-01-01T00:00:00|\n");
    write_file("tocsin.yaml", "metadata: {stations: bad.txt}\n");
    must_refuse("bad.txt:1:");
    write_file("tocsin.yaml", "metadata: {stations: stations.txt}\nmodels: {picker: none, estimator: none}\n"
                              "output: {socket: /nonexistent/a/b}\n");
    must_refuse("/nonexistent/a/b");
}

/* A network that cannot be used is no reason to be silent: the classical picker works, and everybody is told. */
static void check_bad_model_start(void **state)
{
    pid_t daemon;
    char *answer;
    (void)state;

    write_file("bad.txt", "no network\n");
    write_file("tocsin.yaml", "daemon: {clock: data}\nmetadata: {stations: stations.txt}\n"
                              "models: {picker: bad.txt, estimator: none}\n"
                              "output: {socket: a.sock}\ncontrol: {socket: c.sock}\n");
    daemon = start_daemon("log");
    close(subscribe());
    answer = ask("status");
    assert_non_null(answer);
    assert_non_null(strstr(answer, "\"models\":{\"picker\":{\"name\":\"classical\",\"hash\":null,\"problem\":\""));
    assert_non_null(strstr(answer, "bad.txt: header of "));
    free(answer);
    assert_int_equal(stop_daemon(daemon), 0);
    assert_non_null(strstr(log_text("log"), "bad.txt: header of "));
    assert_non_null(strstr(log_text("log"), "the classical method works in its place"));
}

static void write_models(const char *picker, const char *shadow)
{
    write_file("tocsin.yaml", "daemon: {clock: data}\nmetadata: {stations: stations.txt}\n"
                              "models: {picker: %s, shadow_picker: %s, second: none, estimator: none}\n"
                              "output: {socket: a.sock}\ncontrol: {socket: c.sock}\n", picker, shadow);
}

static void must_answer(const char *command, const char *part)
{
    char *answer = ask(command);

    assert_non_null(answer);
    if (!strstr(answer, part))
        fail_msg("'%s' lacks '%s'", answer, part);
    free(answer);
}

/* Networks come and go at a reload; one that cannot be used is refused and all stays as it was. */
static void check_models_change_at_reload(void **state)
{
    const char *source = getenv("TOCSIN_SOURCE");
    char good[512];
    pid_t daemon;
    (void)state;

    snprintf(good, sizeof(good), "%s/models/picker/weights.safetensors", source ? source : ".");
    write_file("bad.txt", "no network\n");
    write_models("none", "");
    daemon = start_daemon("log");
    close(subscribe());
    must_answer("status", "\"models\":{\"picker\":{\"name\":\"classical\"");
    write_models(good, good);
    must_answer("reload", "ok revision 2");
    must_answer("status", "\"models\":{\"picker\":{\"name\":\"picker ");
    must_answer("status", "\"shadow_picker\":{\"name\":\"picker ");
    write_models("bad.txt", "none");
    must_answer("reload", "bad.txt: header of ");
    must_answer("status", "\"models\":{\"picker\":{\"name\":\"picker ");
    must_answer("status", "\"shadow_picker\":{\"name\":\"picker ");
    must_answer("status", "\"config_revision\":2");
    write_models(good, "none");
    must_answer("reload", "ok revision 3");
    must_answer("status", "\"shadow_picker\":{\"name\":\"none\"");
    assert_int_equal(stop_daemon(daemon), 0);
}

static void check_second_daemon_is_refused(void **state)
{
    pid_t first;
    char *answer;
    (void)state;

    write_config(1, 3.5);
    first = start_daemon("log");
    close(subscribe());
    must_refuse("another process is listening");
    answer = ask("status"); /* the first one is not disturbed */
    assert_non_null(answer);
    assert_int_equal(answer[0], '{');
    free(answer);
    assert_int_equal(stop_daemon(first), 0);
}

/* A subscriber that never reads does not keep it from stopping; nor does a control client that never asks. */
static void check_stops_with_sleepers(void **state)
{
    int subscriber, client;
    pid_t daemon;
    char *answer;
    (void)state;

    write_config(1, 3.5);
    daemon = start_daemon("log");
    subscriber = subscribe();
    client = toc_unix_connect(in_folder("c.sock"));
    assert_true(client >= 0);
    answer = ask("reboot");
    assert_non_null(answer);
    assert_memory_equal(answer, "error unknown command", 21);
    free(answer);
    assert_int_equal(stop_daemon(daemon), 0);
    close(subscriber);
    close(client);
    assert_int_equal(access(in_folder("a.sock"), F_OK), -1);
    assert_int_equal(access(in_folder("c.sock"), F_OK), -1);
}

/* ---- the operator's tool ---- */

/* Run tocsin with arguments; its output goes to the file "said". @return exit code */
static int run_tool(const char *const *arguments)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int fd = open(in_folder("said"), O_WRONLY | O_CREAT | O_TRUNC, 0600);

        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        execv(tool, (char *const *)arguments);
        _exit(127);
    }
    return exit_code(pid);
}

#define TOOL(...) run_tool((const char *const[]){"tocsin", __VA_ARGS__, NULL})

static void must_say(const char *text)
{
    if (!strstr(log_text("said"), text))
        fail_msg("'%s' lacks '%s'", log_text("said"), text);
}

static void check_tool(void **state)
{
    char config[160];
    pid_t daemon;
    (void)state;

    snprintf(config, sizeof(config), "%s/tocsin.yaml", folder);
    write_config(1, 3.5);
    assert_int_equal(TOOL("status", "-c", config), 2);
    must_say("is tocsind running?");
    daemon = start_daemon("log");
    close(subscribe());
    assert_int_equal(TOOL("status", "-c", config), 0);
    must_say("127.0.0.1:1");
    must_say("no data");
    assert_int_equal(TOOL("status", "--json", "--socket", in_folder("c.sock")), 0);
    must_say("\"config_revision\":1");
    assert_int_equal(TOOL("reload", "-c", config), 0);
    must_say("ok revision 2");
    assert_int_equal(TOOL("tail", "-n", "2", "--heartbeats", "-c", config), 0);
    must_say("heartbeat  0 of 5 stations up");
    assert_int_equal(TOOL("tail", "-n", "1", "--heartbeats", "--json", "-c", config), 0);
    must_say("\"type\":\"heartbeat\"");
    write_file("tocsin.yaml", "alert: {min_sites: 1}\n");
    assert_int_equal(TOOL("reload", "--socket", in_folder("c.sock")), 1);
    must_say("tocsin.yaml:1:20: alert.min_sites: 1 is out of range 2..64 sites");
    assert_int_equal(TOOL("check", config), 1);
    must_say("tocsin.yaml:1:20:");
    write_config(1, 3.5);
    assert_int_equal(TOOL("check", config), 0);
    must_say("good (15 channels, 1 feeds, 0 targets)");
    assert_int_equal(stop_daemon(daemon), 0);
}

static void check_tool_refuses(void **state)
{
    (void)state;

    assert_int_equal(TOOL("dance"), 2);
    assert_int_equal(TOOL("check"), 2);
    assert_int_equal(TOOL("check", "/nonexistent"), 1);
    assert_int_equal(TOOL("status", "extra"), 2);
    assert_int_equal(TOOL("tail", "-n", "none"), 2);
    assert_int_equal(TOOL("replay"), 2);
    assert_int_equal(TOOL("replay", "--speed", "-1", folder), 2);
    assert_int_equal(TOOL("replay", "--speed", "fast", folder), 2);
    assert_int_equal(TOOL("replay", "--latency", "nan", folder), 2);
    assert_int_equal(TOOL("replay", "--bad", folder), 2);
    assert_int_equal(TOOL("replay", "/nonexistent"), 2);
    must_say("/nonexistent");
    assert_int_equal(TOOL("replay", "--help"), 0);
}

/* Somebody else's process is not heard, even where the file system would let it in. */
static void check_other_user_is_refused(void **state)
{
    char path[160];
    pid_t daemon, other;
    (void)state;

    if (geteuid() != 0)
        skip();
    snprintf(path, sizeof(path), "%s/c.sock", folder);
    write_config(1, 3.5);
    daemon = start_daemon("log");
    close(subscribe());
    assert_int_equal(chmod(folder, 0711), 0);
    assert_int_equal(chmod(path, 0666), 0);
    other = fork();
    if (other == 0) {
        char byte;
        int fd;

        if (setgid(65534) < 0 || setuid(65534) < 0 || (fd = toc_unix_connect(path)) < 0)
            _exit(2);
        (void)!write(fd, "status\n", 7);
        _exit(read(fd, &byte, 1) > 0 ? 1 : 0); /* closed without a word */
    }
    assert_int_equal(exit_code(other), 0);
    assert_int_equal(stop_daemon(daemon), 0);
    assert_non_null(strstr(log_text("log"), "user 65534 is not allowed"));
}

static int find_program(const char *name, char *ret_path, size_t size)
{
    static const char *const places[] = {"", "daemon/"};
    const char *build = getenv("TOCSIN_BUILD");

    for (size_t i = 0; build && i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(ret_path, size, "%s/%s%s", build, places[i], name);
        if (access(ret_path, X_OK) == 0)
            return 0;
    }
    fprintf(stderr, "%s is not in TOCSIN_BUILD\n", name);
    return -1;
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/tocsin-daemon-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    write_stations();
    return 0;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"stations.txt", "tocsin.yaml", "bad.txt", "log", "refused", "said"};
    (void)state;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unlink(in_folder(names[i]));
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_reload_under_stream), cmocka_unit_test(check_workers_say_what_one_thread_says),
        cmocka_unit_test(check_notify),
        cmocka_unit_test(check_restart_keys_are_named), cmocka_unit_test(check_bad_starts),
        cmocka_unit_test(check_bad_model_start),
        cmocka_unit_test(check_models_change_at_reload),
        cmocka_unit_test(check_second_daemon_is_refused), cmocka_unit_test(check_stops_with_sleepers),
        cmocka_unit_test(check_tool), cmocka_unit_test(check_tool_refuses),
        cmocka_unit_test(check_other_user_is_refused),
    };

    signal(SIGPIPE, SIG_IGN);
    if (find_program("tocsind", program, sizeof(program)) < 0 || find_program("tocsin", tool, sizeof(tool)) < 0)
        return getenv("TOCSIN_BUILD") ? 1 : 77;
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
