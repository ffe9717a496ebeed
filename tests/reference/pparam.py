"""The P parameters in `tocsin replay --estimates`, held against pparam_reference.py: each within 1 %, or it fails.

    pparam.py TOCSIN TOCSIN_SIM CUT_WINDOWS [--data DIR] [--margin SHARE]

On simulated records, and where the recordings are (TOCSIN_DATA) on Pleasant Hill and a few sites of Ridgecrest. The
reference begins at the 100 Hz rows of a station group, as cut_windows writes them: decoding and resampling have their own
tests. Prints the worst difference of each parameter. Exit 0, 1 or 77 (no numpy or scipy).
"""
import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "parity"))
from against import need  # noqa: E402

need("numpy", "scipy")
import numpy as np  # noqa: E402
from pparam_reference import PARAMETERS, RATE, Trace  # noqa: E402

SNR_DB = 0.1   # printed to 0.1 dB: half of that, and as much again for what 1 % of the power is
RIDGECREST_SITES = 5
SETTLED_S = 20  # a trace younger than this still shows how it began


def sh(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def lines(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


class Rows:
    """What one group saw: its vertical in SI units, in gapless pieces, and which rows were clipped."""

    def __init__(self, card):
        with open(card, encoding="utf-8") as f:
            meta = json.load(f)
        stem = card[:-len(".json")]
        z = np.fromfile(stem + ".f32", "<f4").reshape(-1, 3)[:, 2]
        self.sid, self.first, self.scale = meta["sid"], meta["start_index"], meta["scale"]
        self.acceleration = meta["unit"] == "m/s^2"
        self.clipped = np.fromfile(stem + ".clip", "u1")
        edges = np.flatnonzero(np.diff(np.isfinite(z))) + 1
        self.pieces = [(a, z[a:b]) for a, b in zip([0, *edges], [*edges, len(z)]) if np.isfinite(z[a])]
        self.traces = {}

    def trace(self, onset_ns):
        """The piece that holds the onset, or None: too close to its start, or no gain."""
        at = onset_ns // 10_000_000 - self.first
        for a, z in self.pieces:
            if a + SETTLED_S * RATE <= at < a + len(z) and self.scale:
                if a not in self.traces:
                    self.traces[a] = Trace(z / self.scale, self.acceleration, self.first + a)
                return self.traces[a]
        return None

    def any_clipped(self, onset_ns, after_s):
        """In the steps from that of the onset to the one that ends `after_s` later (rounded to 0.01 s)."""
        step = lambda ns: ns // 100_000_000 * 10 - self.first
        return bool(self.clipped[step(onset_ns):step(onset_ns + int(round(after_s * 1e9)) - 50_000_000) + 10].any())


class Tally:
    def __init__(self, margin):
        self.margin, self.worst, self.n, self.bad = margin, {}, 0, []

    def take(self, line, want, clipped):
        self.n += 1
        for name in PARAMETERS:
            got = line[name]
            if want[name] is None:
                continue
            if got is None:
                self.bad.append((name, line, want[name]))
                continue
            off = abs(got - want[name]) if name == "snr_db" else abs(got / want[name] - 1)
            self.worst[name] = max(self.worst.get(name, 0), off)
            if not off <= (SNR_DB if name == "snr_db" else self.margin):
                self.bad.append((name, line, want[name]))
        if clipped != line["clipped"]:
            self.bad.append(("clipped", line, clipped))

    def say(self, title):
        each = ", ".join("%s %.2g%s" % (k, self.worst[k], "" if k == "snr_db" else " (%.3f %%)" % (100 * self.worst[k]))
                         for k in PARAMETERS if k in self.worst)
        print("%s: %d estimates, worst differences: %s" % (title, self.n, each))
        for name, line, want in self.bad[:5]:
            print("  %s: %s says %r, the reference %r (%s, %.2f s after P)" % (
                name, line["sid"], line[name], want, line["pick_time"], line["after_p_s"]))
        return not self.bad and self.n > 0


def guard_is_told(line):
    """The values end before now exactly when the line says that S is kept out (or 20 s are over)."""
    return line["s_guarded"] == (line["window_s"] < min(line["after_p_s"], 19.89))


def compare(programs, folder, title, margin):
    with tempfile.TemporaryDirectory() as work:
        estimates = os.path.join(work, "estimates.jsonl")
        sh(programs.tocsin, "replay", "--out", os.devnull, "--estimates", estimates, folder)
        rows = os.path.join(work, "rows")
        os.mkdir(rows)
        sh(programs.cut_windows, "rows", folder, rows)
        groups = [Rows(card) for card in sorted(glob.glob(os.path.join(rows, "*.json")))]
        tally, half_seconds = Tally(margin), True
        for line in lines(estimates):
            for group in groups:
                trace = group.trace(line["pick_time_ns"]) if group.sid == line["sid"] else None
                want = trace.measure(line["pick_time_ns"], line["window_s"]) if trace and line["window_s"] > 0 else None
                if want:
                    tally.take(line, want, group.any_clipped(line["pick_time_ns"], line["after_p_s"]))
                    half_seconds &= line["after_p_s"] % 0.5 < 0.1001
            if not guard_is_told(line):
                tally.bad.append(("s_guarded", line, not line["s_guarded"]))
        return tally.say(title) and half_seconds


def some_sites(folder, n, work):
    """The folder with the first channels of every k-th site alone: the records of the others have no station then."""
    with open(os.path.join(folder, "stations.txt"), encoding="utf-8") as f:
        text = f.readlines()
    site = lambda line: tuple(line.split("|")[:2])
    sites = sorted({site(line) for line in text if not line.startswith("#") and line.strip()})
    chosen = set(sites[::max(len(sites) // n, 1)][:n])
    with open(os.path.join(work, "stations.txt"), "w", encoding="utf-8") as f:
        f.writelines(line for line in text if line.startswith("#") or site(line) in chosen)
    for path in glob.glob(os.path.join(folder, "*.mseed")):
        os.symlink(path, os.path.join(work, os.path.basename(path)))
    return work


def simulated(programs, margin):
    good = True
    for seed, more in ((3, ["--magnitude", "5.2", "--rates", "100,200,40"]),
                       (4, ["--magnitude", "6.8", "--accelerometers", "--nuisance"])):
        with tempfile.TemporaryDirectory() as folder:
            sh(programs.tocsin_sim, "generate", "--seed", str(seed), "--stations", "8", "--duration", "150", "--extent", "120",
               *more, folder)
            good &= compare(programs, folder, "simulated " + " ".join(more), margin)
    return good


def main():
    parser = argparse.ArgumentParser()
    for name in ("tocsin", "tocsin_sim", "cut_windows"):
        parser.add_argument(name)
    parser.add_argument("--data", default=os.environ.get("TOCSIN_DATA"))
    parser.add_argument("--margin", type=float, default=0.01)
    o = parser.parse_args()
    good = simulated(o, o.margin)
    folder = lambda name: os.path.join(o.data or "", "replay", name)
    if o.data and os.path.isdir(folder("pleasant_hill_2019-10-15")):
        good &= compare(o, folder("pleasant_hill_2019-10-15"), "Pleasant Hill", o.margin)
        with tempfile.TemporaryDirectory() as work:
            good &= compare(o, some_sites(folder("ridgecrest_2019-07-04"), RIDGECREST_SITES, work),
                            "Ridgecrest, %d sites" % RIDGECREST_SITES, o.margin)
    else:
        print("no recordings on this machine: simulated records alone")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
