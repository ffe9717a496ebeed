/*
 * From the last byte of a record to the line it leads to: the living tocsind,
 * 300 stations from a SeedLink server in here, a subscriber on its socket.
 * A quake sweeps the network, so that every station has picks and then
 * estimates to say: a pick or an estimate tells which sample completed it,
 * the bench knows when it sent that sample.
 *
 *   bench_latency TOCSIND [stations [live seconds]]
 *
 * First with the phases of the records spread, then with all records landing in one instant. Records hold 1 s, the three
 * of a station leave together. The clock starts before the write of the record that completes the evidence. Prints figures,
 * judges nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "daemon/unixsock.h"
#include "tests/sim/scenario.h"
#include "tests/unit/make_record.h"

#define STATIONS_MAX 1000
#define RATE 100
#define STEP_NS (TOC_NS_PER_S / RATE)
#define HISTORY_S 14      /* sent at once at the start: warms filters and pickers */
#define SETTLE_S 2.0      /* what is sent right after is not counted */
#define TELEMETRY_NS (50 * TOC_NS_PER_MS)
#define SAMPLES_MAX 400000

/* A second of a station: up to three records, sent in one write. */
struct parcel {
    toc_ns leave;     /* wall clock */
    toc_ns end;       /* of the last sample + one step */
    uint32_t station;
    uint8_t *bytes;   /* owned: packets with their SeedLink heads */
    uint32_t len;
    double sent_s;    /* monotonic; 0 not yet */
};

struct latencies {
    double *ms;
    size_t n;
};

static struct {
    uint32_t stations;
    double live_s;
    bool together; /* all phases equal */
    struct toc_scenario *scenario;
    int32_t *counts[STATIONS_MAX][3];
    char folder[64];
    struct parcel *parcels; /* in the order of leaving */
    size_t n_parcels;
    uint32_t *of[STATIONS_MAX]; /* owned: each station's, in order */
    uint32_t n_of[STATIONS_MAX];
    toc_ns start;  /* wall clock of sample 0 */
    double live_from_s; /* monotonic: what was sent later counts */
    int listener;
    double idle_kb; /* the daemon's resident memory without stations */
    pthread_mutex_t lock; /* of sent_s */
} bench = {.lock = PTHREAD_MUTEX_INITIALIZER};

static double mono_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static toc_ns wall(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (toc_ns)t.tv_sec * TOC_NS_PER_S + t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_latency: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- data -------------------------------------------------------------------------------------------------- */

static void make_ground(void)
{
    struct toc_scenario_options options;
    char why[160] = "";
    toc_scenario_defaults(&options);
    options.seed = 3;
    options.magnitude = 5.5;
    options.n_sites = bench.stations;
    options.duration_s = HISTORY_S + bench.live_s + 2;
    options.first_origin_s = HISTORY_S + SETTLE_S + 1;
    options.extent_km = 60;
    options.depth_km = 10;
    if (toc_scenario_create(&options, &bench.scenario, why, sizeof why) < 0)
        die(why);
    for (uint32_t s = 0; s < bench.stations; s++) {
        for (int c = 0; c < 3; c++)
            bench.counts[s][c] = calloc(bench.scenario->sensors[s].n_samples, sizeof(int32_t));
        if (toc_scenario_synthesise(bench.scenario, s, NULL, bench.counts[s]) < 0)
            die("no memory");
    }
}

static const char *path(const char *name)
{
    static char text[2][128];
    static int turn;
    turn = !turn;
    snprintf(text[turn], sizeof text[turn], "%s/%s", bench.folder, name);
    return text[turn];
}

static void write_stations(void)
{
    FILE *f = fopen(path("stations.txt"), "w");
    if (!f)
        die("stations.txt");
    for (uint32_t s = 0; s < bench.stations; s++) {
        const struct toc_scenario_sensor *sensor = &bench.scenario->sensors[s];
        const struct toc_scenario_site *site = &bench.scenario->sites[sensor->site];
        for (int c = 0; c < 3; c++)
            fprintf(f, "%s|%s|%s|%s|%.5f|%.5f|%.1f|0|%g|%g|s|%g|1|M/S|100|2000-01-01T00:00:00|\n", site->network,
                    site->station, sensor->location, sensor->channels[c], site->latitude_deg, site->longitude_deg,
                    site->elevation_m, sensor->azimuth_deg[c], sensor->dip_deg[c], sensor->instrument[c].gain);
    }
    fclose(f);
}

static void write_config(int port)
{
    FILE *f = fopen(path("tocsin.yaml"), "w");
    if (!f)
        die("tocsin.yaml");
    fprintf(f,
            "feeds: [{type: seedlink, host: 127.0.0.1, port: %d}]\nmetadata: {stations: stations.txt}\n"
            "output: {socket: a.sock, picks: true, estimates: true}\ncontrol: {socket: c.sock}\n"
            "alert: {update_every_s: 0.1, update_magnitude: 0.05, update_km: 1}\n", /* as many alert lines as there can be */
            port);
    fclose(f);
}

/* Records of one channel from sample `from` on, SeedLink heads before them; most often one. */
static uint32_t pack(uint32_t s, int c, size_t from, size_t n, uint8_t *to)
{
    const struct toc_scenario_sensor *sensor = &bench.scenario->sensors[s];
    const struct toc_scenario_site *site = &bench.scenario->sites[sensor->site];
    static uint8_t record[MAKE_RECORD_MAX];
    static uint32_t sequence;
    uint32_t len = 0;
    while (n > 0) {
        struct make_record spec = make_record_default();
        int length = 0;
        spec.net = site->network;
        spec.sta = site->station;
        spec.loc = sensor->location;
        spec.cha = sensor->channels[c];
        spec.start_ns = bench.start + (toc_ns)from * STEP_NS;
        spec.samples = bench.counts[s][c] + from;
        spec.n = (int)n;
        int packed = make_record(&spec, record, &length);
        if (packed <= 0 || length != 512)
            die("a record was not packed");
        sequence = (sequence + 1) % 0xffffff;
        char head[9];
        snprintf(head, sizeof head, "SL%06X", sequence);
        memcpy(to + len, head, 8);
        memcpy(to + len + 8, record, 512);
        len += 520;
        from += (size_t)packed;
        n -= (size_t)packed;
    }
    return len;
}

static int by_leave(const void *a, const void *b)
{
    const struct parcel *x = a, *y = b;
    return (x->leave > y->leave) - (x->leave < y->leave);
}

static void cut_station(uint32_t s)
{
    static uint8_t bytes[3 * 8 * 520];
    size_t n = bench.scenario->sensors[s].n_samples, first = bench.together ? RATE : 1 + (s * 37u) % RATE;
    for (size_t from = 0, to = first; to <= n; from = to, to += RATE) {
        struct parcel *p = &bench.parcels[bench.n_parcels++];
        *p = (struct parcel){.station = s, .end = bench.start + (toc_ns)to * STEP_NS};
        p->leave = p->end + TELEMETRY_NS;
        for (int c = 0; c < 3; c++)
            p->len += pack(s, c, from, to - from, bytes + p->len);
        p->bytes = malloc(p->len);
        if (!p->bytes)
            die("no memory");
        memcpy(p->bytes, bytes, p->len);
    }
}

/* All that will be sent, on a clock that begins HISTORY_S before `live`. */
static void cut(toc_ns live)
{
    size_t most = bench.stations * (size_t)(HISTORY_S + bench.live_s + 5);
    bench.start = live - HISTORY_S * TOC_NS_PER_S;
    bench.start -= bench.start % STEP_NS; /* on the grid: no sample is waited for by interpolation */
    bench.parcels = calloc(most, sizeof *bench.parcels);
    bench.n_parcels = 0;
    for (uint32_t s = 0; s < bench.stations; s++)
        cut_station(s);
    qsort(bench.parcels, bench.n_parcels, sizeof *bench.parcels, by_leave);
    for (uint32_t s = 0; s < bench.stations; s++) {
        bench.n_of[s] = 0;
        bench.of[s] = calloc(most / bench.stations, sizeof **bench.of);
    }
    for (size_t i = 0; i < bench.n_parcels; i++) {
        uint32_t s = bench.parcels[i].station;
        bench.of[s][bench.n_of[s]++] = (uint32_t)i;
    }
}

static void uncut(void)
{
    for (size_t i = 0; i < bench.n_parcels; i++)
        free(bench.parcels[i].bytes);
    for (uint32_t s = 0; s < bench.stations; s++)
        free(bench.of[s]);
    free(bench.parcels);
}

/* ---- the server -------------------------------------------------------------------------------------------- */

static int listen_somewhere(int *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) < 0 || listen(fd, 1) < 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) < 0)
        die("listen");
    *ret_port = ntohs(at.sin_port);
    return fd;
}

/* Answers until the client has said END. */
static void shake_hands(int fd)
{
    char line[256];
    size_t len = 0;
    while (read(fd, &line[len], 1) == 1) {
        if (line[len] != '\n' && line[len] != '\r') {
            len += len < sizeof line - 2;
            continue;
        }
        line[len] = 0;
        if (len > 0 && strcmp(line, "END") == 0)
            return;
        const char *answer = strcmp(line, "HELLO") == 0 ? "SeedLink v3.1 (bench) :: SLPROTO:3.1\r\nBench\r\n" : "OK\r\n";
        if (len > 0 && write(fd, answer, strlen(answer)) < 0)
            die("handshake");
        len = 0;
    }
    die("the client left");
}

static void send_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n <= 0)
            die("send");
        bytes += n;
        len -= (size_t)n;
    }
}

static void wait_until(toc_ns leave)
{
    struct timespec t = {.tv_sec = leave / TOC_NS_PER_S, .tv_nsec = leave % TOC_NS_PER_S};
    while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

static void *serve(void *arg)
{
    int fd = accept(bench.listener, NULL, NULL);
    (void)arg;
    if (fd < 0)
        die("accept");
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof one);
    shake_hands(fd);
    double live_from = 0;
    for (size_t i = 0; i < bench.n_parcels; i++) {
        struct parcel *p = &bench.parcels[i];
        if (p->leave > wall()) {
            if (live_from == 0) {
                live_from = mono_s() + SETTLE_S;
                bench.live_from_s = live_from;
            }
            wait_until(p->leave);
        }
        pthread_mutex_lock(&bench.lock);
        p->sent_s = mono_s();
        pthread_mutex_unlock(&bench.lock);
        send_all(fd, p->bytes, p->len);
    }
    usleep(500000);
    close(fd);
    return NULL;
}

/* ---- the daemon -------------------------------------------------------------------------------------------- */

static pid_t start_daemon(const char *program)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    int log = open(path("log"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(log, STDERR_FILENO);
    execl(program, program, "-c", path("tocsin.yaml"), (char *)NULL);
    _exit(127);
}

static FILE *subscribe(void)
{
    for (int i = 0; i < 1000; i++, usleep(10000)) {
        int fd = toc_unix_connect(path("a.sock"));
        if (fd >= 0)
            return fdopen(fd, "r");
    }
    die("the daemon does not listen");
    return NULL;
}

/* A line of /proc/PID/status in kB. */
static double proc_kb(pid_t pid, const char *name)
{
    char file[64], line[256];
    double kb = NAN;
    snprintf(file, sizeof file, "/proc/%d/status", (int)pid);
    FILE *f = fopen(file, "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0)
            kb = atof(line + strlen(name) + 1);
    if (f)
        fclose(f);
    return kb;
}

static double cpu_s(pid_t pid)
{
    char file[64];
    long utime = 0, stime = 0;
    snprintf(file, sizeof file, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(file, "r");
    if (f) {
        if (fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &utime, &stime) != 2)
            utime = stime = 0;
        fclose(f);
    }
    return (double)(utime + stime) / (double)sysconf(_SC_CLK_TCK);
}

/* ---- lines ------------------------------------------------------------------------------------------------- */

static uint32_t station_of(const char *sid)
{
    for (uint32_t s = 0; s < bench.stations; s++) {
        const struct toc_scenario_site *site = &bench.scenario->sites[bench.scenario->sensors[s].site];
        size_t n = strlen(site->network), m = strlen(site->station);
        const char *at = sid + 5; /* FDSN: */
        if (strncmp(at, site->network, n) == 0 && at[n] == '_' && strncmp(at + n + 1, site->station, m) == 0 &&
            at[n + 1 + m] == '_')
            return s;
    }
    return UINT32_MAX;
}

/* When the parcel was sent that holds the row before `end`. 0: before the count began, or not found */
static double completed_s(uint32_t station, toc_ns end)
{
    double sent = 0;
    pthread_mutex_lock(&bench.lock);
    for (uint32_t i = 0; station != UINT32_MAX && i < bench.n_of[station] && sent == 0; i++)
        if (bench.parcels[bench.of[station][i]].end >= end)
            sent = bench.parcels[bench.of[station][i]].sent_s;
    if (bench.live_from_s == 0 || sent < bench.live_from_s)
        sent = 0;
    pthread_mutex_unlock(&bench.lock);
    return sent;
}

/* End of the 0.1 s hop in which the row before `end` lies. */
static toc_ns hop_end(toc_ns end)
{
    const toc_ns hop = TOC_NS_PER_S / 10;
    return (end + hop - 1) / hop * hop;
}

static void note(struct latencies *l, double ms)
{
    if (l->n < SAMPLES_MAX)
        l->ms[l->n++] = ms;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(struct latencies *l, double q)
{
    if (l->n == 0)
        return NAN;
    qsort(l->ms, l->n, sizeof *l->ms, by_value);
    size_t i = (size_t)(q * (double)l->n);
    return l->ms[i < l->n ? i : l->n - 1];
}

struct run {
    struct latencies picks, estimates, bursts, alerts;
    double last_alert_s;  /* read, waiting for the pick that made it */
    double burst_sent, burst_last; /* the burst being answered */
    uint32_t burst_n;
};

/* All records of one instant: how long until the last station has said what it had to say. */
static void note_burst(struct run *run, double sent, double now)
{
    if (fabs(sent - run->burst_sent) > 0.5) {
        if (run->burst_n >= bench.stations / 2)
            note(&run->bursts, 1e3 * (run->burst_last - run->burst_sent));
        run->burst_sent = sent;
        run->burst_n = 0;
    }
    run->burst_sent = sent < run->burst_sent ? sent : run->burst_sent;
    run->burst_last = now;
    run->burst_n++;
}

static void on_line(struct run *run, const char *line, double now)
{
    json_t *root = json_loads(line, 0, NULL);
    const char *type = json_string_value(json_object_get(root, "type")), *sid = json_string_value(json_object_get(root, "sid"));
    if (type && sid && strcmp(type, "pick") == 0) {
        toc_ns declared = json_integer_value(json_object_get(root, "declared_ns"));
        double sent = completed_s(station_of(sid), hop_end(declared + STEP_NS));
        if (sent > 0)
            note(&run->picks, 1e3 * (now - sent));
        if (sent > 0 && run->last_alert_s > 0 && now - run->last_alert_s < 0.001)
            note(&run->alerts, 1e3 * (run->last_alert_s - sent)); /* alerts leave before the picks that made them */
        run->last_alert_s = 0;
    } else if (type && sid && strcmp(type, "estimate") == 0) {
        toc_ns time = 0, after = toc_ns_from_s(json_number_value(json_object_get(root, "after_p_s")));
        const char *text = json_string_value(json_object_get(root, "pick_time"));
        if (text && after > 5 * TOC_NS_PER_S && toc_time_parse(text, &time) == 0) { /* earlier ones wait for their pick */
            double sent = completed_s(station_of(sid), hop_end(time + after - STEP_NS / 2));
            if (sent > 0) {
                note(&run->estimates, 1e3 * (now - sent));
                note_burst(run, sent, now);
            }
        }
    } else if (type && (strcmp(type, "tentative") == 0 || strcmp(type, "alert") == 0 || strcmp(type, "update") == 0)) {
        run->last_alert_s = now;
    }
    json_decref(root);
}

static void listen_to(FILE *f, struct run *run)
{
    char *line = NULL;
    size_t size = 0;
    double end = mono_s() + bench.live_s + 6;
    while (mono_s() < end && getline(&line, &size, f) > 0)
        on_line(run, line, mono_s());
    free(line);
}

/* ---- runs -------------------------------------------------------------------------------------------------- */

static void open_run(struct run *run)
{
    *run = (struct run){0};
    for (struct latencies *l = &run->picks; l <= &run->alerts; l++)
        l->ms = calloc(SAMPLES_MAX, sizeof *l->ms);
}

static void close_run(struct run *run)
{
    for (struct latencies *l = &run->picks; l <= &run->alerts; l++)
        free(l->ms);
}

static void tell(const char *name, struct latencies *l, const char *asked50, const char *asked99)
{
    printf("bench latency_%s_p50 %.2f ms (%s%zu lines)\n", name, quantile(l, 0.5), asked50, l->n);
    printf("bench latency_%s_p99 %.2f ms (%smost %.2f)\n", name, quantile(l, 0.99), asked99, quantile(l, 1));
}

static void measure(const char *program, bool together)
{
    struct run run;
    pthread_t server;
    int port, status;
    open_run(&run);
    bench.together = together;
    bench.live_from_s = 0;
    bench.listener = listen_somewhere(&port);
    write_config(port);
    cut(wall() + TOC_NS_PER_S * 2);
    pthread_create(&server, NULL, serve, NULL);
    pid_t pid = start_daemon(program);
    FILE *lines = subscribe();
    listen_to(lines, &run);
    double cpu = cpu_s(pid), rss = proc_kb(pid, "VmRSS:");
    fclose(lines);
    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
    pthread_join(server, NULL);
    close(bench.listener);
    uncut();
    if (together) {
        printf("bench latency_%u_in_one_instant %.1f ms (median of %zu instants with a word from most, worst %.1f; asked: at most 120)\n",
               bench.stations, quantile(&run.bursts, 0.5), run.bursts.n, quantile(&run.bursts, 1));
    } else {
        tell("pick", &run.picks, "asked: at most 3; ", "asked: at most 15; ");
        tell("estimate", &run.estimates, "", "");
        tell("alert", &run.alerts, "asked: at most 3; ", "asked: at most 15; ");
        printf("bench cpu_%u_stations %.1f %% of a core\n", bench.stations, 100 * cpu / (HISTORY_S + bench.live_s));
        printf("bench rss_%u_stations %.1f MB (%.1f KB a channel more than without)\n", bench.stations, rss / 1024,
               (rss - bench.idle_kb) / (3 * bench.stations));
    }
    fflush(stdout);
    close_run(&run);
}

/* A daemon with nothing to do. */
static void measure_idle(const char *program)
{
    int status;
    FILE *f = fopen(path("stations.txt"), "w");
    if (!f)
        die("stations.txt");
    fprintf(f, "#Network|Station|Location|Channel|Latitude|Longitude|Elevation|Depth|Azimuth|Dip|SensorDescription|Scale|"
               "ScaleFreq|ScaleUnits|SampleRate|StartTime|EndTime\n");
    fclose(f);
    f = fopen(path("tocsin.yaml"), "w");
    fprintf(f, "metadata: {stations: stations.txt}\noutput: {socket: a.sock}\ncontrol: {socket: c.sock}\n");
    fclose(f);
    pid_t pid = start_daemon(program);
    FILE *lines = subscribe();
    usleep(500000);
    double before = cpu_s(pid), since = mono_s();
    usleep(3000000);
    bench.idle_kb = proc_kb(pid, "VmRSS:");
    printf("bench rss_no_stations %.1f MB (asked: at most 10)\n", bench.idle_kb / 1024);
    printf("bench cpu_no_stations %.2f %% of a core\n", 100 * (cpu_s(pid) - before) / (mono_s() - since));
    fclose(lines);
    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_latency TOCSIND [stations [live seconds]]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    bench.stations = argc > 2 ? (uint32_t)atoi(argv[2]) : 300;
    bench.live_s = argc > 3 ? atof(argv[3]) : 20;
    if (bench.stations < 1 || bench.stations > STATIONS_MAX)
        return 2;
    strcpy(bench.folder, "/tmp/bench_latency.XXXXXX");
    if (!mkdtemp(bench.folder))
        die("mkdtemp");
    measure_idle(argv[1]);
    make_ground();
    write_stations();
    measure(argv[1], false);
    measure(argv[1], true);
    if (!getenv("BENCH_KEEP")) {
        const char *names[] = {"stations.txt", "tocsin.yaml", "log"};
        for (size_t i = 0; i < 3; i++)
            unlink(path(names[i]));
        rmdir(bench.folder);
    }
    return 0;
}
