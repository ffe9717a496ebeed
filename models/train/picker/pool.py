"""The pool: every record of the developers' data as streams with labels.

A stream is one station group: contiguous rows E, N, Z at 100 Hz, the onsets
somebody (or the teacher) marked, and the spans nobody can vouch for. Writes
one pickle that training and evaluation read. Which stream is trained on and
which only reported on is decided here, in `split`, and nowhere else.

Not here: features and augmentation. The data stay outside the repository.
"""
import argparse
import csv
import glob
import hashlib
import os
import pickle
import sys
from datetime import datetime, timezone

import numpy as np
from scipy.signal import butter, resample_poly, sosfilt

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import teacher  # noqa: E402

RATE = 100
TRAIN, VALIDATE, HELD = "train", "validate", "held"
HELD_CM = {"EZNC", "LL8C", "VMM09", "VMM12"}  # noise stations never trained on
HELD_OPENEEW = {"openeew_2018_2_16", "openeew_2018_9_25", "openeew_2020_1_29"}
RIDGECREST_FROM = "2019-07-04T17:02:50"  # earlier: held-out noise
RIDGECREST_TO = "2019-07-04T17:30:00"  # later: held-out picks and the replay of the main shock


def seconds(text):
    text = text.strip().rstrip("Z").replace(" ", "T")
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


def bucket(text):
    return int(hashlib.md5(text.encode()).hexdigest(), 16) % 100


class Stream:
    """rows float32 [n, 3]; p, s: onsets in samples (float); unknown: [(from, to)] in samples; quake: labelled record."""

    def __init__(self, group, name, station, start, rows, live, split, p=(), s=(), unknown=(), source=""):
        self.group, self.name, self.station, self.start = group, name, station, start
        self.rows, self.live, self.split = rows, live, split
        self.p, self.s, self.unknown = list(p), list(s), list(unknown)
        self.source = source
        self.teacher = None
        self.triggers = []

    def part(self, a, b, split):
        """Samples a..b as a stream of its own."""
        keep = lambda marks: [m - a for m in marks if a <= m < b]
        spans = [(max(x - a, 0), min(y - a, b - a)) for x, y in self.unknown if y > a and x < b]
        one = Stream(self.group, self.name, self.station, self.start + a / RATE, self.rows[a:b], self.live, split,
                     keep(self.p), keep(self.s), spans, self.source)
        one.teacher = None if self.teacher is None else self.teacher[:, a:b]
        one.triggers = [(x - a, y - a) for x, y in self.triggers if a <= x < b]
        return one


# ---- labelled windows -------------------------------------------------------------------------------------------------

def window_split(group, source_id, held, validate):
    number = bucket(group + source_id)
    return HELD if number < held else VALIDATE if number < held + validate else TRAIN


def load_windows(data, group):
    """picks/<group>.npz with its csv: one stream a row."""
    box = np.load(os.path.join(data, "picks", group + ".npz"))
    rate = float(box["rate"])
    with open(os.path.join(data, "picks", group + ".csv")) as f:
        meta = list(csv.DictReader(f))
    for k, row in enumerate(meta):
        x = box["waveforms"][k][[2, 1, 0]].T.astype(np.float32)  # Z, N, E -> E, N, Z
        up = RATE / rate
        if up != 1:
            mean = x.mean(0)
            x = (resample_poly(x - mean, int(up), 1, axis=0) + mean).astype(np.float32)
        live = np.ptp(x, axis=0) > 0
        p, s = float(box["p_sample"][k]) * up, float(box["s_sample"][k]) * up
        if group.startswith("telica"):
            split = HELD  # internal tests only by its terms, so reported on and never trained on
        else:
            split = window_split(group, row["source_id"], 25, 8)
        one = Stream(group, f"{group}/{k}", row.get("network", "TE") + "." + row["station"], 0.0, x, live, split,
                     [p] if p >= 0 else [], [s] if s >= 0 else [], source=row["source_id"])
        if group.startswith("telica"):
            for word in row["all_picks"].split():
                at, kind = float(word[1:]) * RATE, word[0]
                marks = one.p if kind == "P" else one.s
                if all(abs(at - m) > 5 for m in one.p + one.s):
                    one.unknown.append((at - 100, at + 400))
        yield one


# ---- continuous data and replays --------------------------------------------------------------------------------------

def station_of(key):
    return ".".join(key.split(".")[:2])


def continuous_split(folder, station, start):
    name = os.path.basename(folder)
    code = station.split(".")[1]
    if name.startswith("noise_cm"):
        return HELD if code in HELD_CM else VALIDATE if code == "LL6C" else TRAIN
    if name.startswith("noise_hvsrpy") or name.startswith("pleasant_hill") or name.startswith("crl"):
        return HELD
    if name in HELD_OPENEEW or name == "gm_ci38443183":
        return HELD
    if name.startswith("pr_"):
        return HELD if code == "PR34" else TRAIN
    return TRAIN


def load_triggers(folder, station, start, n):
    out = []
    path = os.path.join(folder, "triggers.csv")
    if not os.path.exists(path):
        return out
    with open(path) as f:
        for row in csv.DictReader(f):
            at = seconds(row["time"])
            alone = station_of(row["channel"]) == station
            i = int((at - start) * RATE)
            if 0 <= i < n:
                out.append((i, i + int(float(row["duration_s"]) * RATE), alone))
    return out


def load_continuous(reader, data, folder):
    for key, start, rows, live in reader(folder):
        station = station_of(key)
        group = os.path.basename(folder).split("_")[0] if "noise" not in folder else os.path.basename(folder)
        one = Stream(group, os.path.basename(folder) + "/" + key, station, start, rows, live,
                     continuous_split(folder, station, start), source=os.path.basename(folder))
        one.triggers = load_triggers(folder, station, start, len(rows))
        yield one


def label_picks(stream, folder, want):
    """Onsets from the folder's picks.csv for this station, as (phase, sample)."""
    out = []
    path = os.path.join(folder, "picks.csv")
    if not os.path.exists(path):
        return out
    with open(path) as f:
        for row in csv.DictReader(f):
            if row["station"] != stream.station.split(".")[1] or not want(row):
                continue
            at = (seconds(row["time"]) - stream.start) * RATE
            if 0 <= at < len(stream.rows):
                out.append((row["phase"][0], at))
    return out


# ---- what the teacher says --------------------------------------------------------------------------------------------

BAND = butter(2, [2, 20], "bandpass", fs=RATE, output="sos")


def short_long(rows, live):
    """Classical STA/LTA (0.5 s / 10 s, recursive) on the vertical, or the first live component."""
    c = 2 if live[2] else int(np.argmax(live))
    x = rows[:, c].astype(np.float64)
    x = sosfilt(BAND, x - x[:200].mean()) ** 2
    from scipy.signal import lfilter
    a, b = 1 / (0.5 * RATE), 1 / (10.0 * RATE)
    sta, lta = lfilter([a], [1, a - 1], x), lfilter([b], [1, b - 1], x)
    i = np.arange(1, len(x) + 1)
    sta, lta = sta / (1 - (1 - a) ** i), lta / (1 - (1 - b) ** i)
    return sta / np.maximum(lta, 1e-30)


def near(marks, at, tolerance):
    return any(abs(at - m) <= tolerance for m in marks)


def apply_teacher(stream, pseudo, confirm=False, until=10 ** 12):
    """Unlabelled arrivals become unknown, or labels where `pseudo` allows (before sample `until`) and a trigger agrees.
    confirm: labels the teacher does not see within 0.3 s become unknown too."""
    prob = stream.teacher
    ratio = short_long(stream.rows, stream.live) if pseudo else None
    if confirm:
        for marks, row in ((stream.p, 0), (stream.s, 1)):
            for m in list(marks):
                a, b = max(int(m) - 30, 0), int(m) + 31
                if prob[row, a:b].size == 0 or prob[row, a:b].max() < 0.2:
                    marks.remove(m)
                    stream.unknown.append((m - 60, m + 400))
    for row, marks, other in ((0, stream.p, stream.s), (1, stream.s, stream.p)):
        for i in teacher.peaks(prob[row], 0.1):
            if near(marks, i, 50) or near(other, i, 30):
                continue
            clear = prob[row, i] >= 0.6 if row == 0 else prob[row, i] >= 0.5
            if pseudo and i < until and clear and (row == 1 or ratio[i:i + 100].max(initial=0) >= 4):
                marks.append(float(i))
            else:
                stream.unknown.append((i - 60, i + 400))
    stream.p.sort()
    stream.s.sort()


def apply_triggers(streams):
    """A trigger is judged local noise (and taught as such) when the teacher is silent about it and no other station of
    the set triggers within 15 s; any other trigger is unknown."""
    seen = {}
    for one in streams:
        seen.setdefault(one.source, []).extend((one.station, one.start + a / RATE) for a, b, mine in one.triggers if mine)
    for one in streams:
        if not one.triggers:
            continue
        times = seen[one.source]
        kept = []
        for a, b, mine in one.triggers:
            if not mine:
                continue
            at = one.start + a / RATE
            lone = not any(st != one.station and abs(t - at) < 15 for st, t in times)
            said = one.teacher[:, max(a - 300, 0):b + 800]
            if lone and said.max(initial=0) < 0.05:
                kept.append((a, b))
            elif not (near(one.p, a, 150) or near(one.s, a, 150)):
                one.unknown.append((a - 150, max(b + 300, a + 500)))
        one.triggers = kept


# ---- all of it --------------------------------------------------------------------------------------------------------

def cut_ridgecrest(one):
    edges = [0] + [min(max(int((seconds(t) - one.start) * RATE), 0), len(one.rows))
                   for t in (RIDGECREST_FROM, RIDGECREST_TO)] + [len(one.rows)]
    for (a, b), split, tag in zip(zip(edges[:-1], edges[1:]), (HELD, TRAIN, HELD), ("noise", "train", "late")):
        if b - a >= 3000:
            part = one.part(a, b, split)
            part.group = "ridgecrest_" + tag
            yield part


def build(data, reader, log=print):
    net = teacher.PhaseNet(os.path.join(data, "weights", "phasenet"))
    pool = []
    for group in ("phasenet", "deepdenoiser", "stead", "telica_3c", "telica_z"):
        pool += list(load_windows(data, group))
    folders = sorted(glob.glob(os.path.join(data, "continuous", "*")) + glob.glob(os.path.join(data, "replay", "*"))
                     + [os.path.join(data, "negatives", "artefacts_cm_agcc")])
    for folder in folders:
        for one in load_continuous(reader, data, folder):
            if len(one.rows) < 2500 or not one.live.any():
                continue
            name = os.path.basename(folder)
            if name.startswith("ridgecrest"):
                marks = label_picks(one, folder, lambda r: r["use"] == "1")
            elif name.startswith(("iceland", "crl")):
                marks = label_picks(one, folder, lambda r: True)
            else:
                marks = []
            one.p += [m for k, m in marks if k == "P"]
            one.s += [m for k, m in marks if k == "S"]
            pool.append(one)
        log(folder, len(pool), flush=True)
    for one in pool:
        one.teacher = net.over(one.rows)
    log("teacher done", flush=True)
    for one in pool:
        held_labels = one.split == HELD
        if one.group == "deepdenoiser":
            apply_teacher(one, pseudo=not held_labels)
        elif one.group.startswith("ridgecrest"):
            apply_teacher(one, pseudo=True, confirm=True, until=(seconds(RIDGECREST_TO) - one.start) * RATE)
        elif one.group == "iceland":
            apply_teacher(one, pseudo=True, confirm=True)
        elif one.group in ("phasenet", "stead", "telica_3c", "telica_z", "crl"):
            apply_teacher(one, pseudo=False)
        elif one.group in ("negatives", "artefacts"):
            pass  # judged by the set's README: no arrivals
        else:
            apply_teacher(one, pseudo=not held_labels or one.group.startswith("gm"))
    apply_triggers(pool)
    out = []
    for one in pool:
        out += list(cut_ridgecrest(one)) if one.group.startswith("ridgecrest") else [one]
    return out


def summary(pool):
    table = {}
    for one in pool:
        row = table.setdefault((one.group, one.split), [0, 0.0, 0, 0, 0.0])
        row[0] += 1
        row[1] += len(one.rows) / RATE / 3600
        row[2] += len(one.p)
        row[3] += len(one.s)
        row[4] += sum(b - a for a, b in one.unknown) / RATE / 3600
    for key in sorted(table):
        print("%-28s %-9s streams %4d  hours %7.2f  P %5d  S %5d  unknown h %.2f" % (key + tuple(table[key])))


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--data", default="../shared/data")
    args.add_argument("--out", required=True)
    args.add_argument("--reader", help="python file with read_set(folder); default: the runtime's own rows")
    opt = args.parse_args()
    if opt.reader:
        import importlib.util
        spec = importlib.util.spec_from_file_location("reader", opt.reader)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        read = module.read_set
    else:
        from runtime import read_set as read
    result = build(opt.data, read)
    with open(opt.out, "wb") as f:
        pickle.dump(result, f, protocol=4)
    summary(result)


if __name__ == "__main__":
    import pool  # so that the pickle names the module, not the program
    pool.main()
