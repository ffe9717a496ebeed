"""Which records are judged, with which labels, and on which side of the split they lie.

The split itself is that of models/train/picker/pool.py, called, not repeated. Everything becomes a replay directory: the
labelled windows (one made-up station a window, native rate, components missing as in the set, their start extended by
mirrored noise where there is less than LEAD_S of it), the replay sets in packets of 0.1 s, the noise sets as they are.
"""

import csv
import os
import subprocess

import numpy as np

from . import mseed, paths

NS = mseed.NS
LEAD_S = 30.0
START_NS = 1_767_225_600 * NS  # 2026-01-01
FAR = 3  # of the many windows of telica_z every third is judged
WINDOWS = ("phasenet", "deepdenoiser", "stead", "telica_3c", "telica_z")
CALIBRATION = ("CM.EZNC", "CM.LL8C", "UT.STN11")
CALIBRATION_SOURCE = ("openeew_2018_9_25",)


class Window:
    """One labelled record: waves {component: float32}, rate, p and s in samples (None: not labelled)."""

    def __init__(self, group, waves, rate, p, s, split, source="", kind="H"):
        self.group, self.waves, self.rate, self.p, self.s, self.split = group, waves, rate, p, s, split
        self.source, self.kind = source, kind

    def like(self, waves=None, rate=None, scale=1.0, shift=0.0):
        """Another form of the same record, its onsets at `p * scale + shift`."""
        move = lambda at: None if at is None else at * scale + shift
        return Window(
            self.group,
            waves or self.waves,
            rate or self.rate,
            move(self.p),
            move(self.s),
            self.split,
            self.source,
            self.kind,
        )


class Station:
    """Labels of one station of a replay, absolute s: onsets, spans in which every pick is false."""

    def __init__(self, group, split, p=(), s=(), quiet=(), source=""):
        self.group, self.split, self.p, self.s, self.quiet = group, split, list(p), list(s), list(quiet)
        self.source = source


class Set:
    def __init__(self, name, folder):
        self.name, self.folder, self.stations = name, folder, {}


# ---- labelled windows -------------------------------------------------------------------------------------------------


def load_windows(data, group):
    pool = paths.picker_module("pool")
    box = np.load(os.path.join(data, "picks", group + ".npz"))
    waves, rate = box["waveforms"], float(box["rate"])
    with open(os.path.join(data, "picks", group + ".csv")) as f:
        rows = list(csv.DictReader(f))
    for k, row in enumerate(rows):
        if group == "telica_z" and k % FAR:
            continue
        held = group.startswith("telica")
        split = pool.HELD if held else pool.window_split(group, row["source_id"], 25, 8)
        mark = lambda name: float(box[name][k]) if box[name][k] >= 0 else None
        live = {c: waves[k][i] for i, c in enumerate("ZNE") if np.ptp(waves[k][i]) > 0}
        if mark("p_sample") is not None and live:
            kind = "N" if row.get("channels", "")[1:2] == "N" else "H"
            yield with_lead(Window(group, live, rate, mark("p_sample"), mark("s_sample"), split, row["source_id"], kind))


def with_lead(window, lead_s=LEAD_S):
    """The start extended by mirrored noise from before the first onset, so that LEAD_S of signal go before it."""
    first = int(min(m for m in (window.p, window.s) if m is not None))
    want, quiet = int(lead_s * window.rate), max(first - int(0.5 * window.rate), 0)
    if first >= want or quiet < 1.5 * window.rate:
        return window
    need, waves = want - first, {}
    for c, x in window.waves.items():
        parts, got, flip = [], 0, True
        while got < need:
            parts.insert(0, x[:quiet][::-1] if flip else x[:quiet])
            got, flip = got + quiet, not flip
        waves[c] = np.concatenate(parts + [x])[-need - len(x) :]
    return window.like(waves, shift=need)


def write_windows(name, windows, work, packet_s=0.1, shift_ns=lambda k: k * 37 % 100 * 10_000_000):
    """A replay directory of windows, one station each. Starts differ by `shift_ns`, so that P falls anywhere in a hop."""
    one = Set(name, os.path.join(work, name))
    folder = mseed.Folder(one.folder)
    for k, w in enumerate(windows):
        code, start = folder.station(), START_NS + shift_ns(k)
        fine = max(w.p - 3 * w.rate, 0)
        packets = [(0, 1.0), (fine, packet_s), ((w.s or w.p) + 12 * w.rate, 1.0)]
        for c in sorted(w.waves):
            key = folder.channel(code, c, w.rate, start, w.waves[c], packets, w.kind)
        at = lambda m: start / NS + m / w.rate
        one.stations[key] = Station(
            w.group, w.split, [at(w.p)], [at(w.s)] if w.s is not None else [], [(at(w.p) - 20.0, at(w.p) - 0.2)], w.source
        )
    folder.close()
    return one


# ---- replay and noise sets --------------------------------------------------------------------------------------------


def read_channels(path):
    """{sid: [(start_ns, rate, samples)]} through the runtime's decoder."""
    records = paths.estimator_module("records")
    return records.read_mseed(path, paths.tool("dump_mseed"))


def repack(data, name, work, begin, end, tag="", packet_s=0.1):
    """A part of a replay set, from `begin` to `end` (s since 1970; None: all), in short packets."""
    source = os.path.join(data, "replay", name)
    out = os.path.join(work, name + tag)
    folder = mseed.Folder(out)
    folder.stations.seek(0)
    folder.stations.truncate()
    with open(os.path.join(source, "stations.txt")) as f:
        folder.stations.write(f.read())
    for sid, parts in read_channels(os.path.join(source, "waveforms.mseed")).items():
        net, sta, loc, band, kind, sub = sid.split(":", 1)[1].split("_")
        for start, rate, samples in parts:
            a = max(int(np.ceil((begin - start / NS) * rate)), 0) if begin else 0
            b = min(int((end - start / NS) * rate), len(samples)) if end else len(samples)
            if b > a:
                folder.more(
                    (net, sta, loc, band + kind + sub),
                    rate,
                    start + int(round(a * NS / rate)),
                    samples[a:b],
                    [(0, packet_s)],
                )
    folder.close()
    return out


def read_csv(path):
    with open(path) as f:
        return list(csv.DictReader(f))


def station_keys(folder):
    """{NET.STA.LOC.BS} of a folder's stations.txt."""
    keys = set()
    with open(os.path.join(folder, "stations.txt")) as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                net, sta, loc, channel = line.split("|")[:4]
                keys.add(".".join((net, sta, loc, channel[:2])))
    return sorted(keys)


def seconds(text):
    return paths.picker_module("pool").seconds(text)


def ridgecrest_late(data, work, confirm):
    """The M6.4 and its first 16 minutes: automatic labels, those that `confirm` (folder, key, s) -> bool stands by."""
    name = "ridgecrest_2019-07-04"
    begin = seconds(paths.picker_module("pool").RIDGECREST_TO)
    one = Set("ridgecrest_late", repack(data, name, work, begin - 60, begin + 1200, "-late"))
    labels = {}
    for row in read_csv(os.path.join(data, "replay", name, "picks.csv")):
        at = seconds(row["time"])
        if row["use"] == "1" and row["phase"] == "P" and begin <= at < begin + 1190:
            labels.setdefault(row["network"] + "." + row["station"], []).append(at)
    for key in station_keys(one.folder):
        marks = [
            at for at in labels.get(".".join(key.split(".")[:2]), []) if confirm is None or confirm(one.folder, key, at)
        ]
        if marks:
            one.stations[key] = Station("ridgecrest_late", "held", marks)
    return one


def corinth(data, work):
    name = "crl_2010-01-20"
    one = Set("crl", repack(data, name, work, None, None))
    rows = read_csv(os.path.join(data, "replay", name, "picks.csv"))
    for key in station_keys(one.folder):
        mine = [r for r in rows if r["station"] == key.split(".")[1]]
        if mine:
            at = lambda phase: [seconds(r["time"]) for r in mine if r["phase"][0] == phase]
            one.stations[key] = Station("crl", "held", at("P"), at("S"))
    return one


def triggers(folder):
    """{NET.STA: [(a, b)]}: where nobody can vouch for quiet: triggers less 5 s, plus 120 s, as the set's README has it."""
    out, path = {}, os.path.join(folder, "triggers.csv")
    for row in read_csv(path) if os.path.exists(path) else []:
        at = seconds(row["time"])
        out.setdefault(".".join(row["channel"].split(".")[:2]), []).append((at - 5, at + float(row["duration_s"]) + 120))
    return out


def without(span, holes):
    """`span` less the holes."""
    out, at = [], span[0]
    if span[1] <= span[0]:
        return []
    for a, b in sorted(holes):
        if a > at:
            out.append((at, min(a, span[1])))
        at = max(at, b)
        if at >= span[1]:
            break
    if at < span[1]:
        out.append((at, span[1]))
    return [(a, b) for a, b in out if b - a > 1]


def extents(folder):
    """{key: [(first, last)] in s} of what was recorded without a gap of more than a second, on any component."""
    out = {}
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".mseed"):
            continue
        for sid, parts in read_channels(os.path.join(folder, name)).items():
            key = ".".join(sid.split(":", 1)[1].split("_")[:3]) + "." + "".join(sid.split("_")[3:5])
            out.setdefault(key, []).extend((p[0] / NS, p[0] / NS + len(p[2]) / p[1]) for p in parts)
    for key, spans in out.items():
        whole = []
        for a, b in sorted(spans):
            if whole and a <= whole[-1][1] + 1.0:
                whole[-1] = (whole[-1][0], max(whole[-1][1], b))
            else:
                whole.append((a, b))
        out[key] = whole
    return out


def role(folder, key):
    """train, validate, held or calibration."""
    station = ".".join(key.split(".")[:2])
    if station in CALIBRATION or os.path.basename(folder) in CALIBRATION_SOURCE:
        return "calibration"
    return paths.picker_module("pool").continuous_split(folder, station, 0)


def noise_set(folder, group, until=None, outside=True, warm_s=30.0):
    """Continuous data as they are; every pick outside triggers and after the warm-up is false."""
    one = Set(os.path.basename(folder), folder)
    holes = triggers(folder) if outside else {}
    for key, spans in extents(folder).items():
        station = ".".join(key.split(".")[:2])
        quiet = [piece for a, b in spans for piece in without((a + warm_s, min(b, until or b)), holes.get(station, []))]
        if quiet:
            one.stations[key] = Station(group, role(folder, key), quiet=quiet, source=os.path.basename(folder))
    return one


def ridgecrest_quiet(data, work):
    begin = seconds(paths.picker_module("pool").RIDGECREST_FROM)
    one = noise_set(
        repack(data, "ridgecrest_2019-07-04", work, begin - 1200, begin, "-quiet", 1.0), "ridgecrest_quiet", warm_s=12.0
    )
    for station in one.stations.values():
        station.split = "held"
    return one


def mems(data):
    """Low-cost accelerometers before their quakes."""
    for name in sorted(os.listdir(os.path.join(data, "replay"))):
        if name.startswith("openeew"):
            folder = os.path.join(data, "replay", name)
            origin = min(seconds(r["time"]) for r in read_csv(os.path.join(folder, "events.csv")))
            yield noise_set(folder, "mems", until=origin)


def calibration_cut(noise, work):
    """The calibration stations of the noise sets alone, record by record, so that many thresholds can be tried."""
    out = []
    for one in noise:
        keys = {key: s for key, s in one.stations.items() if s.split == "calibration"}
        if not keys:
            continue
        cut = Set(one.name + "-calibration", os.path.join(work, one.name + "-calibration"))
        cut.stations = keys
        folder = mseed.Folder(cut.folder)
        folder.stations.seek(0)
        with open(os.path.join(one.folder, "stations.txt")) as f:
            folder.stations.write(f.read())
        codes = {key.split(".")[1].ljust(5).encode() for key in keys}
        for name in sorted(n for n in os.listdir(one.folder) if n.endswith(".mseed")):
            with open(os.path.join(one.folder, name), "rb") as f:
                raw = f.read()
            records = [raw[i : i + 512] for i in range(0, len(raw), 512)]  # the data set's records all have 512 bytes
            folder.waves.write(b"".join(r for r in records if r[8:13] in codes))
        folder.close()
        out.append(cut)
    return out
