"""The engine against its peers: PhaseNet, LSTM, our picker, partial decoding, workers. One process, one core, one thread.

    python3 tests/bench/engine.py BUILD_DIR [--data DIR] [--seconds S] [--inductor]

Peers are what this Python has: torch, onnxruntime (with onnx), ncnn; oneDNN where its header is. Without any, and without
numpy, our own figures remain.

How the noise is met. All engines take turns, round after round, so that whatever slows the machine slows all of them. A
turn is one call that is not timed (the engine's weights and code come back into the cache, as they would stay there in a
service) and a few that are. A call during which the kernel took the core away is left out; where too few
others remain, it counts with its processor time (every engine here runs in the thread that calls it).
Medians are what counts; the best run says what a quiet machine would give. Nothing here is asserted.
"""
import argparse
import os
import resource
import statistics
import sys
import time

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
sys.dont_write_bytecode = True

import networks  # noqa: E402
import ours  # noqa: E402
import peers  # noqa: E402

EQUAL = 1e-5
US = 1e6
TURN_S = 0.004  # timed calls of one turn take about this long
TURN_CALLS = 5  # ... and are at most so many


class Subject:
    """One thing that is timed: `items` windows, sequences or seconds of signal a call."""

    def __init__(self, name, call, items=1.0):
        self.name, self.call, self.items = name, call, items
        self.clean, self.disturbed, self.calls = [], [], 1

    def warm(self):
        """Also finds how many calls make a turn."""
        self.call()
        start = time.perf_counter()
        self.call()
        took = time.perf_counter() - start
        self.calls = max(1, min(TURN_CALLS, int(TURN_S / max(took, 1e-9))))

    def turn(self):
        call, clock, cpu, usage = self.call, time.perf_counter, time.thread_time, resource.getrusage
        call()
        for _ in range(self.calls):
            before, busy = usage(resource.RUSAGE_THREAD).ru_nivcsw, cpu()
            start = clock()
            call()
            took, busy = clock() - start, cpu() - busy
            if usage(resource.RUSAGE_THREAD).ru_nivcsw == before:
                self.clean.append(took / self.items)
            else:
                self.disturbed.append(busy / self.items)

    def times(self):
        return self.clean if len(self.clean) >= 9 else self.clean + self.disturbed

    def median(self):
        return statistics.median(self.times())

    def best(self):
        return min(self.times())


class Value(Subject):
    """What measures itself: call() returns the figure (seconds, or a rate)."""

    def warm(self):
        self.call()

    def turn(self):
        self.clean.append(self.call())


def rounds(subjects, seconds, at_least=5):
    for subject in subjects:
        subject.warm()
    end, done = time.monotonic() + seconds, 0
    while done < at_least or time.monotonic() < end:
        for subject in subjects:
            subject.turn()
        done += 1
    return done


class Report:
    """Lines that tests/bench/table.py reads."""

    def bench(self, name, value, unit, note=""):
        print("bench %s %.4g %s%s" % (name, value, unit, "  (%s)" % note if note else ""), flush=True)

    def time(self, name, subject, scale=US, unit="us", asked=""):
        times = subject.times()
        self.bench(name, scale * subject.median(), unit, "best %.4g, %d runs, %d disturbed%s" % (
            scale * subject.best(), len(times), len(subject.disturbed), asked))

    def ratio(self, what, median, best, peer, asked=None):
        print("ratio %.3g vs %s: %s (%sbest runs %.3g)" % (
            median, peer, what, "asked: %s; " % asked if asked else "", best), flush=True)

    def note(self, text):
        print(text, flush=True)


def ask(report, maker, *given, **named):
    """The engines of one maker, or a line that says why there are none."""
    name = maker.__name__.split("_", maxsplit=1)[0]
    name = {"torch": "pytorch", "onnx": "onnxruntime"}.get(name, name)
    try:
        engines = maker(*given, **named)
    except peers.Absent as reason:
        report.note("absent %s: %s" % (name, reason))
        return []
    for engine in engines:
        report.note("peer %s %s: %s" % (engine.name, engine.version, engine.setting))
    return engines


def equal_ones(report, what, engines, expected):
    """Those whose outputs are ours; expected: {batch: flat array}."""
    kept = []
    for engine in engines:
        worst = 0.0
        for batch, values in expected.items():
            np = peers.numpy()
            mine = np.frombuffer(values, "<f4")
            worst = max(worst, float(abs(engine.results[batch]().ravel() - mine).max()))
        verdict = "equal" if worst <= EQUAL else "DIFFERS, not compared"
        report.note("output %s %s: largest difference %.1e, %s" % (what, engine.name, worst, verdict))
        if worst <= EQUAL:
            kept.append(engine)
    return kept


def as_numpy(rows, batch, n, channels):
    return peers.numpy().frombuffer(rows, "<f4")[:batch * n * channels].reshape(batch, n, channels)


def make_peers(report, what, network, rows, sizes, shape, makers):
    """{batch: numpy input} for those who need numpy; none of them runs without it."""
    try:
        inputs = {batch: as_numpy(rows, batch, *shape) for batch in sizes}
    except peers.Absent as reason:
        report.note("absent every peer of %s: %s" % (what, reason))
        return []
    engines = []
    for maker, named in makers:
        engines += ask(report, maker, network, inputs, **named)
    return engines


def against(report, what, mine, others, asked, items=""):
    """The fastest of others, and the ratio."""
    if not others:
        return
    fastest = min(others, key=Subject.median)
    report.ratio(what, fastest.median() / mine.median(), fastest.best() / mine.best(), fastest.name + items, asked)


# PhaseNet, partial decoding, our picker ------------------------------------------------------------------------------

PART_S = (1, 2, 4)  # seconds of output kept; 2 is what a picker with a hop of 0.5 s needs, an onset and what follows it
STREAMS = 256
HOPS = (10, 50, 100)  # rows at 100 Hz


def picker_subjects(shim):
    """{(rows, together): Subject}: seconds of work per second of one station's signal."""
    model = ours.Model.read(shim, os.path.join(networks.TOP, "models", "picker", "weights.safetensors"))
    rows = networks.noise(5, STREAMS * max(HOPS) * model.inputs)
    subjects = {}
    for n in HOPS:
        outputs = set()
        for together in (False, True):
            call, reset, out = model.turn(rows, STREAMS, n, together)
            call()
            outputs.add(out.tobytes())
            reset()
            name = "picker_hop_%.1fs%s" % (n / 100, "_together" if together else "")
            subjects[n, together] = Subject(name, call, STREAMS * n / 100)
        print("output picker hop %.1f s, in turn and together: %s" % (
            n / 100, "identical bits" if len(outputs) == 1 else "DIFFERS"))
    return model, subjects


def picker_report(report, model, subjects, phasenet, peak):
    macs = model.work(100)
    report.bench("picker_work", macs / 1e6, "Mmac/s of signal")
    for subject in subjects.values():
        report.time(subject.name, subject, unit="us/station-second")
    for (n, together), subject in subjects.items():
        name = "%d streams %s, hop %.1f s" % (STREAMS, "together" if together else "in turn", n / 100)
        report.bench("%s_fma_share" % subject.name, 100 * macs / subject.median() / peak.median(), "%",
                     "best %.0f" % (100 * macs / subject.best() / max(peak.times())))
        if n == 50:
            report.ratio("our picker per station-second, " + name, 2 * phasenet.median() / subject.median(),
                         2 * phasenet.best() / subject.best(), "our PhaseNet, whole window", 25)
    for together in (False, True):
        short, long = subjects[10, together], subjects[100, together]
        report.ratio("our picker, cost at hop 0.1 s over hop 1 s%s" % (", together" if together else ""),
                     short.median() / long.median(), short.best() / long.best(), "itself")


def part_subjects(model, rows, whole):
    """{seconds kept: Subject}, after checking that the kept rows are the same bits."""
    subjects, channels = {}, model.outputs
    for seconds in PART_S:
        count = 100 * seconds
        call, out = model.part(rows, networks.ROWS, networks.ROWS - count, count)
        call()
        same = out.tobytes() == whole[(networks.ROWS - count) * channels:networks.ROWS * channels].tobytes()
        print("output phasenet last %d s: %s" % (seconds, "identical bits" if same else "DIFFERS"))
        subjects[seconds] = Subject("phasenet_part_%ds" % seconds, call)
    return subjects


def part_report(report, subjects, whole):
    """A station each 0.5 s of data costs one window: stations of one core = 0.5 s over the time of one."""
    report.bench("phasenet_stations_per_core_whole", 0.5 / whole.median(), "stations", "hop 0.5 s")
    for seconds, subject in subjects.items():
        report.time(subject.name, subject)
        report.bench("phasenet_stations_per_core_last_%ds" % seconds, 0.5 / subject.median(), "stations", "hop 0.5 s")
        report.ratio("PhaseNet, only the last %d s of output" % seconds, whole.median() / subject.median(),
                     whole.best() / subject.best(), "itself, whole", 2.5 if seconds == 2 else None)


def phasenet(report, shim, opt):
    sizes, n = (1, 16), networks.ROWS
    network = networks.phasenet(opt.data)
    report.note("phasenet [3, %d], %s" % (n, network.origin))
    rows = networks.noise(3, max(sizes) * n * 3)
    model = ours.Model.of(shim, network)
    mine, expected = {}, {}
    for batch in sizes:
        call, expected[batch] = model.windows(rows, batch, n)
        call()
        mine[batch] = Subject("tocsin", call, batch)
    makers = [(peers.torch_phasenet, {"inductor": opt.inductor}), (peers.onnx_phasenet, {}), (peers.ncnn_phasenet, {}),
              (peers.onednn_phasenet, {"folder": os.path.join(opt.build, "tests")})]
    engines = make_peers(report, "phasenet", network, rows, sizes, (n, 3), makers)
    engines = equal_ones(report, "phasenet", engines, expected)
    theirs = {batch: [Subject(engine.name, engine.calls[batch], batch) for engine in engines] for batch in sizes}
    peak = Value("fma_peak", shim.fma_peak)
    parts = part_subjects(model, rows, expected[1])
    picker, hops = picker_subjects(shim)
    subjects = [peak, mine[1]] + theirs[1] + [mine[1], *parts.values(), mine[16]] + theirs[16] + [*hops.values()]
    report.note("%d rounds" % rounds(subjects, opt.seconds))

    report.bench("fma_peak", peak.median() / 1e9, "Gmac/s", "best %.1f, %s" % (max(peak.times()) / 1e9, shim.fma_width()))
    for batch in sizes:
        for subject in [mine[batch]] + theirs[batch]:
            report.time("phasenet_batch%d_%s" % (batch, subject.name), subject, unit="us/window")
    share = [100 * model.work(n) / t / p for t, p in ((mine[1].median(), peak.median()), (mine[1].best(), max(peak.times())))]
    report.bench("phasenet_work", model.work(n) / 1e6, "Mmac")
    report.bench("phasenet_fma_share", share[0], "%", "best %.3g, asked: at least 80 in a quiet run" % share[1])
    phasenet_ratios(report, mine, theirs)
    part_report(report, parts, mine[1])
    picker_report(report, picker, hops, mine[1], peak)
    return model, rows


def phasenet_ratios(report, mine, theirs):
    fast = {batch: [subject for subject in theirs[batch] if subject.name != "pytorch_eager"] for batch in theirs}
    eager = {batch: [subject for subject in theirs[batch] if subject.name == "pytorch_eager"] for batch in theirs}
    against(report, "PhaseNet batch 1, fastest peer", mine[1], fast[1], 2.2)
    against(report, "PhaseNet batch 1, eager", mine[1], eager[1], 6)
    against(report, "PhaseNet, ours batch 1, fastest peer batch 16", mine[1], fast[16], 1.8, " batch 16")
    against(report, "PhaseNet batch 16, fastest peer", mine[16], fast[16], None)


# LSTM -----------------------------------------------------------------------------------------------------------------

def lstm(report, shim, opt):
    """300 steps of 3 inputs through two layers of 50, all outputs."""
    sizes, n = (1, 64), 300
    network = networks.lstm()
    model = ours.Model.of(shim, network)
    rows = networks.noise(11, max(sizes) * n * 3)
    mine, expected = {}, {}
    for batch in sizes:
        if batch > 1:
            call, _, out = model.turn(rows, batch, n, True)
        else:
            call, out = model.windows(rows, batch, n)
        call()
        expected[batch] = out[:]  # the streams go on from there
        mine[batch] = Subject("tocsin", call, batch)
    step = Value("lstm_step", model.step_s(rows, 200))
    makers = [(peers.torch_lstm, {}), (peers.onnx_lstm, {}), (peers.ncnn_lstm, {}),
              (peers.onednn_lstm, {"folder": os.path.join(opt.build, "tests")})]
    engines = equal_ones(report, "lstm", make_peers(report, "lstm", network, rows, sizes, (n, 3), makers), expected)
    theirs = {batch: [Subject(engine.name, engine.calls[batch], batch) for engine in engines] for batch in sizes}
    subjects = [mine[1]] + theirs[1] + [mine[1], step, mine[64]] + theirs[64]
    report.note("%d rounds" % rounds(subjects, opt.seconds))
    for batch in sizes:
        for subject in [mine[batch]] + theirs[batch]:
            report.time("lstm_batch%d_%s" % (batch, subject.name), subject, unit="us/sequence")
    report.time("lstm_streamed_step", step, asked=", asked: at most 3")
    for batch, asked in ((1, {"onednn": 2, "pytorch": 25}), (64, {"onednn": 2, "pytorch": 3})):
        for kind in ("onednn", "pytorch"):
            some = [subject for subject in theirs[batch] if subject.name.startswith(kind)]
            against(report, "LSTM 2x50, %d steps, batch %d" % (n, batch), mine[batch], some, asked[kind])
        against(report, "LSTM 2x50, %d steps, batch %d, fastest of all" % (n, batch), mine[batch], theirs[batch], None)



# Workers --------------------------------------------------------------------------------------------------------------

def workers(report, model, rows, cpus, seconds):
    """Windows a second of one thread on either core and of two on both, turn by turn."""
    if len(cpus) < 2:
        report.note("absent two workers: one processor")
        return
    n, repeats, end, turns = networks.ROWS, 8, time.monotonic() + seconds, []
    while len(turns) < 5 or time.monotonic() < end:
        turns.append([model.workers(rows, n, 16, some, repeats) for some in (cpus[:1], cpus[:2], cpus[1:2])])
    clean = [turn for turn in turns if not any(disturbed for _, disturbed in turn)]
    rates = [[rate for rate, _ in turn] for turn in (clean if len(clean) >= 9 else turns)]
    one, two = [rate for turn in rates for rate in turn[::2]], [turn[1] for turn in rates]
    note = "best %%.0f, %d turns, %d disturbed" % (len(turns), len(turns) - len(clean))
    report.bench("workers_one", statistics.median(one), "windows/s", note % max(one))
    report.bench("workers_two", statistics.median(two), "windows/s", note % max(two))
    report.ratio("PhaseNet, two workers on two cores", statistics.median(2 * b / (a + c) for a, b, c in rates),
                 max(two) / max(one), "one worker", 1.95)


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("build")
    parse.add_argument("--data", default=os.environ.get("TOCSIN_DATA", os.path.join(networks.TOP, "..", "shared", "data")))
    parse.add_argument("--seconds", type=float, default=25, help="of rounds, for PhaseNet and again for the LSTM (25)")
    parse.add_argument("--inductor", action="store_true", help="PyTorch's compiler too: it takes most of a minute to start")
    opt = parse.parse_args()
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[0]})
    report, shim = Report(), ours.open_shim(opt.build)
    report.note("engine: one thread on processor %d, load average %.1f" % (cpus[0], os.getloadavg()[0]))
    model, rows = phasenet(report, shim, opt)
    lstm(report, shim, opt)
    workers(report, model, rows, cpus, opt.seconds / 4)


if __name__ == "__main__":
    main()
