"""Tune the shipped picker on a center's own archive, and try the result in shadow before it decides anything.

    ./run fine-tune --archive DIR --picks FILE [--minutes 10] --out tuned.safetensors

    DIR     *.mseed and stations.txt (FDSN text, level=channel), as for tocsin replay
    FILE    .xml: QuakeML with picks in events; .csv: columns time, station (STA or NET.STA), phase, and event or
            event_time where known; rows with 0 in a column "use" are neither taught nor counted. Quakes in the archive that the file does not have are taught as noise, so give it
            the stretch of time that somebody looked through.

What it does: reads the archive through the runtime's own rows and features (models/cut_windows.c); joins events that
share ground; puts each group of events into training (60 %), validation (15 %) or test (25 %) by a hash of its name, and
the ground between them likewise by two minutes; starts from the shipped weights with a low learning rate; keeps the best
state by validation; and writes it only if it is no worse on the test events and on the test noise than what it started
from. Nothing but the archive is trained on. At a station with a P
and no S the parent's own S is left out of the teaching, so that an archive without S does not unteach it. The new file names its parent. Debian's python3-torch, numpy and scipy do.

The test figures are of this archive, by the rules of core/picker.c on PyTorch's outputs; they are small numbers: read n.
Exit status: 0 written, 3 not better and nothing written, 1 or 2 no use of the input.
"""
import argparse
import csv
import hashlib
import json
import os
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(HERE, "picker"), HERE]
import augment  # noqa: E402
import crops  # noqa: E402
import evaluate  # noqa: E402
import export_picker  # noqa: E402
import net as network  # noqa: E402
import pool  # noqa: E402
import runtime  # noqa: E402
import train  # noqa: E402
from export import read_model  # noqa: E402

RATE = 100
SPLITS = (("train", 0.60), ("validate", 0.75), ("test", 1.00))  # share of the names, in the order of their hashes
BEFORE_S, AFTER_S = 45.0, 25.0  # ground around the picks of events; events closer than that share it, and so their split
SWARM_S, PAUSE_S = 60.0, 3.0    # ... but for swarms: after so long a new group begins at the next pause of its picks
AWAY_S = 60.0                   # noise is this far from every pick
CHUNK_S = 120.0
DOUBTFUL = "?"  # a phase
DELAYS = evaluate.DELAYS


# ---- labels -------------------------------------------------------------------------------------------------------------

def local(tag):
    return tag.rsplit("}", 1)[-1]


def find(element, *path):
    """The first descendant by local names, whatever the namespace."""
    for name in path:
        element = next((child for child in element if local(child.tag) == name), None)
        if element is None:
            return None
    return element


def read_quakeml(path):
    """[(time in s, station, phase, event)]"""
    out = []
    for event in ElementTree.parse(path).getroot().iter():
        if local(event.tag) != "event":
            continue
        phases = {}  # of the arrivals: what the locator took the pick for
        for arrival in event.iter():
            if local(arrival.tag) == "arrival" and find(arrival, "pickID") is not None and find(arrival, "phase") is not None:
                phases[find(arrival, "pickID").text.strip()] = find(arrival, "phase").text
        for pick in event:
            if local(pick.tag) != "pick":
                continue
            when, where, hint = find(pick, "time", "value"), find(pick, "waveformID"), find(pick, "phaseHint")
            phase = phases.get(pick.get("publicID"), hint.text if hint is not None else "") or ""
            if when is not None and where is not None and phase[:1].upper() in ("P", "S"):
                station = where.get("networkCode", "") + "." + where.get("stationCode", "")
                out.append((pool.seconds(when.text), station.lstrip("."), phase[:1].upper(), event.get("publicID", "")))
    return out


def read_csv(path):
    out = []
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            phase = row["phase"].strip()[:1].upper()
            if phase in ("P", "S"):
                event = row.get("event") or row.get("event_time") or ""
                doubtful = row.get("use", "").strip() == "0"
                station = row["station"].strip().replace("_", ".")
                out.append((pool.seconds(row["time"]), station, DOUBTFUL if doubtful else phase, event))
    return out


def read_picks(path):
    """Sorted by time; raises ValueError when the file is not what it should be."""
    try:
        picks = read_quakeml(path) if path.endswith(".xml") else read_csv(path)
    except (ElementTree.ParseError, KeyError, ValueError, UnicodeDecodeError) as error:
        raise ValueError("%s: %s" % (path, error))
    if not picks:
        raise ValueError("%s: no P and no S pick in it" % path)
    return sorted(picks)


def is_at(station, key):
    """Is a pick's STA or NET.STA that of a group's NET.STA.LOC.BS?"""
    net, sta = key.split(".")[:2]
    return station in (sta, net + "." + sta)


def splits_of(names):
    """One of the three for each name, by the rank of its hash: three names are enough for all three."""
    ranked = sorted(range(len(names)), key=lambda k: (hashlib.md5(names[k].encode()).hexdigest(), k))
    out = [""] * len(names)
    for rank, k in enumerate(ranked):
        out[k] = next(split for split, end in SPLITS if (rank + 0.5) / len(names) < end)
    if len(names) in (3, 4, 5):
        out[ranked[-2]] = "validate"
    return out


def groups_of(picks):
    """[(split, first s, last s, picks)]: quakes that share ground, together; no two groups share any."""
    groups = []
    for pick in picks:
        gap = pick[0] - groups[-1][-1][0] if groups else np.inf
        if gap > BEFORE_S + AFTER_S or (gap > PAUSE_S and pick[0] - groups[-1][0][0] > SWARM_S):
            groups.append([])
        groups[-1].append(pick)
    out, splits = [], splits_of([group[0][3] or "%.0f" % group[0][0] for group in groups])
    for k, group in enumerate(groups):
        before = groups[k - 1][-1][0] + 2 if k > 0 else -np.inf
        after = groups[k + 1][0][0] - 1 if k + 1 < len(groups) else np.inf
        out.append((splits[k], max(group[0][0] - BEFORE_S, before),
                    min(group[-1][0] + AFTER_S, after), group))
    return out


# ---- streams ------------------------------------------------------------------------------------------------------------

def stream_of(record, first_s, last_s, split, picks=()):
    """The stretch of a record as a stream; None when the record does not have enough of it."""
    key, start, rows, live = record
    a, b = max(int((first_s - start) * RATE), 0), min(int((last_s - start) * RATE), len(rows))
    if b - a < augment.LENGTH + augment.WARM + 10:
        return None
    marks = {phase: [(t - start) * RATE - a for t, station, p, _ in picks if p == phase and is_at(station, key)]
             for phase in "PS" + DOUBTFUL}
    marks = {phase: [m for m in sorted(set(found)) if 0 <= m < b - a] for phase, found in marks.items()}
    spans = [(m - 100, m + 500) for m in marks[DOUBTFUL]]
    return pool.Stream("archive", key, key, start + a / RATE, rows[a:b], live, split, marks["P"], marks["S"], spans)


def quake_streams(records, groups):
    out = []
    for split, first, last, picks in groups:
        for record in records:
            one = stream_of(record, first, last, split, picks)
            if one is not None and (one.p or one.s):
                out.append(one)
    return out


def noise_streams(records, picks):
    """Chunks of the minute grid, so that one moment is on one side at all stations."""
    times, out = np.array([p[0] for p in picks]), []
    chunks = sorted({k for r in records for k in range(int(r[1] // CHUNK_S), int((r[1] + len(r[2]) / RATE) // CHUNK_S) + 1)})
    split = dict(zip(chunks, splits_of(["noise %d" % k for k in chunks])))
    for record in records:
        start, end = record[1], record[1] + len(record[2]) / RATE
        for k in range(int(start // CHUNK_S), int(end // CHUNK_S) + 1):
            a, b = k * CHUNK_S, (k + 1) * CHUNK_S
            if len(times) and (np.abs(times - np.clip(times, a, b)) < AWAY_S).any():
                continue
            one = stream_of(record, a, b, split[k])
            if one is not None:
                out.append(one)
    return out


# ---- the network --------------------------------------------------------------------------------------------------------

class Shift(torch.nn.BatchNorm1d):
    """A batch norm that is folded into its convolution: what is left of it is the bias, and it stays that."""

    def forward(self, x):
        return x * self.weight[:, None] + self.bias[:, None]


def shift(bias):
    one = Shift(len(bias))
    with torch.no_grad():
        one.bias.copy_(torch.from_numpy(bias))
        one.weight.fill_(1.0)
        one.running_mean.zero_()
        one.running_var.fill_(1.0 - one.eps)  # fold() divides by sqrt(var + eps)
    return one


def load(path):
    """A picker network from a written file: the inverse of export_picker.graph(). The shape is the file's own."""
    graph, tensors, meta = read_model(path)
    layers = {layer["name"]: layer for layer in graph["layers"]}
    blocks = sum(1 for name in layers if name.startswith("block") and name.endswith(".conv"))
    net = network.Picker(layers["stem"]["channels"], layers["down"]["channels"],
                         tuple(layers["block%d.conv" % k].get("dilation", 1) for k in range(blocks)))

    def put(conv, name):
        with torch.no_grad():
            conv.weight.copy_(torch.from_numpy(tensors[name + ".weight"]))
            if conv.bias is not None:
                conv.bias.copy_(torch.from_numpy(tensors[name + ".bias"]))

    put(net.conv, "stem")
    put(net.down, "down")
    put(net.out, "head")
    net.norm, net.down_norm = shift(tensors["stem.bias"]), shift(tensors["down.bias"])
    for k, block in enumerate(net.blocks):
        put(block.conv, "block%d.conv" % k)
        put(block.back, "block%d.back" % k)
        block.norm = shift(tensors["block%d.conv.bias" % k])
    return net.eval(), meta


def mask_unlabelled_s(net, features, streams):
    """Where a P has no S the parent's S counts as unknown: nobody looked for it."""
    for one in streams:
        if one.p and not one.s:
            share = evaluate.probabilities(evaluate.outputs(net, features, evaluate.masked(one)))[:, 2]
            one.unknown += [(j * evaluate.STRIDE - 50, j * evaluate.STRIDE + 50) for j in np.flatnonzero(share > 0.2)]


# ---- crops --------------------------------------------------------------------------------------------------------------

def draw(quakes, noise, rng):
    """One crop, spoilt as the shipped network's were, with the archive's own noise; None when the dice found no room."""
    quiet = not quakes or (noise and rng.random() < 0.35)
    stream = (noise if quiet else quakes)[rng.integers(len(noise if quiet else quakes))]
    room = len(stream.rows) - augment.LENGTH - 3
    warm = augment.WARM if room > augment.WARM else 0
    start = rng.uniform(0, room - warm)
    if not quiet:
        onset = float(rng.choice(stream.p + stream.s))
        start = float(np.clip(onset - warm - rng.uniform(450, augment.LENGTH - 100), 0, room - warm))
    crop = augment.cut(stream, start, warm, 1)
    if crop is None:
        return None
    mix = None
    if noise and rng.random() < 0.4:
        other = noise[rng.integers(len(noise))]
        mix = augment.cut(other, rng.uniform(0, max(len(other.rows) - augment.LENGTH - warm - 3, 1)), warm, 1)
    augment.spoil(crop, rng, mix)
    return crop


def make_crops(quakes, noise, count, rng, features):
    parts, tries = [], 0
    while len(parts) < count and tries < 20 * count:
        tries += 1
        crop = draw(quakes, noise, rng)
        if crop is not None:
            parts.append(crops.finish(crop, features))
    return [np.stack([part[k] for part in parts]) for k in range(3)]


# ---- figures ------------------------------------------------------------------------------------------------------------

class Judge:
    """One network on streams kept aside."""

    def __init__(self, net, features, quakes, noise):
        self.quakes, self.noise = quakes, noise
        self.heard = [evaluate.outputs(net, features, evaluate.masked(s)) for s in quakes]
        self.silence = [evaluate.outputs(net, features, evaluate.masked(s)) for s in noise]

    def false_per_hour(self, threshold, phase=0):
        both = list(zip(self.heard, self.quakes)) + list(zip(self.silence, self.noise))
        counts = [evaluate.false_picks(evaluate.emit(raw, phase, threshold), s) for raw, s in both]
        hours = sum(c[1] for c in counts) / 3600
        return (sum(c[0] for c in counts) / hours if hours > 0 else float("nan")), hours

    def recall(self, phase, threshold):
        rows = []
        for raw, stream in zip(self.heard, self.quakes):
            rows += evaluate.recall(evaluate.emit(raw, phase, threshold), (stream.p, stream.s)[phase])
        return evaluate.line(rows)

    def figures(self, p, s):
        false, hours = self.false_per_hour(p)
        return {"p": self.recall(0, p), "s": self.recall(1, s), "false_p": false, "hours": hours}


def choose_threshold(judge, limit, start):
    """The lowest from `start` on that is as quiet on validation noise as the parent was at `start`."""
    for threshold in [start] + [t for t in np.round(np.arange(0.5, 0.995, 0.01), 2) if t > start]:
        if not judge.false_per_hour(float(threshold))[0] > limit:
            return float(threshold)
    return 0.99


def cell(line, delay):
    return "-" if line is None else "%.2f" % line["recall"][DELAYS.index(delay)][-1]


def show(before, after, thresholds):
    print("\ntest events and noise of the archive       before   after")
    print("P threshold                                %6.2f  %6.2f" % (thresholds[0], thresholds[1]))
    for phase, name in (("p", "P"), ("s", "S")):
        n = before[phase]["n"] if before[phase] else 0
        for delay in (0.5, 1.0, 4.0):
            print("%s within 0.5 s of the label by %.1f s (n %4d) %6s  %6s" % (
                name, delay, n, cell(before[phase], delay), cell(after[phase], delay)))
    print("false P per hour (%.2f station-hours)       %6.2f  %6.2f\n" % (before["hours"], before["false_p"], after["false_p"]))


def worse(before, after):
    """What got worse, in words; [] nothing."""
    found = []
    for phase, name in (("p", "P"), ("s", "S")):
        for delay in (1.0, 4.0):
            i = DELAYS.index(delay)
            if before[phase] and after[phase]["recall"][i][-1] < before[phase]["recall"][i][-1] - 1e-9:
                found.append("fewer %s by %.0f s" % (name, delay))
    if after["false_p"] > before["false_p"] + 1e-9:
        found.append("more false P")
    return found


# ---- the whole ----------------------------------------------------------------------------------------------------------

def of(streams, split):
    return [s for s in streams if s.split == split]


def suggested(meta):
    """(P, S) thresholds of the parent for three components."""
    said = json.loads(meta["tocsin.manifest"])["thresholds"]
    return said["p"]["three_components"], said["s"]["three_components"]


def write(net, path, parent, meta, p, s, about):
    said = json.loads(meta["tocsin.manifest"])
    training = {"words": "Tuned on an archive of its own: %s" % about, "parent": said["training"]}
    p_all = {layout: max(p, float(old)) if p > suggested(meta)[0] else float(old)
             for layout, old in said["thresholds"]["p"].items()}
    hash_text = export_picker.write(net, path, (meta["tocsin.version"] + ".tuned")[:40],
                                    {"p": p_all, "s": said["thresholds"]["s"]}, training, card=None,
                                    parent=meta["tocsin.sha256"])
    print("written: %s, SHA-256 %s, differs from the network by %.1e" % (path, hash_text, export_picker.compare(net, path)))
    print("Try it: models: {shadow_picker: %s} in tocsin.yaml, then tocsin reload; tocsin status counts where it differs." % path)
    print("Or on recordings: tocsin replay --shadow %s --differences FILE DIR" % path)
    print("It decides nothing until models.picker names it. Parent: %s" % parent)


def tune(records, picks, parent, out, minutes, seed, count=3000, steps=None):
    """Returns the exit status."""
    torch.manual_seed(seed)
    features, rng = runtime.Features(), np.random.default_rng(seed)
    quakes, noise = quake_streams(records, groups_of(picks)), noise_streams(records, picks)
    for split, _ in SPLITS:
        mine = of(quakes, split)
        print("%-9s %4d records of quakes, %4d P, %4d S, %.2f station-hours of noise" % (
            split, len(mine), sum(len(s.p) for s in mine), sum(len(s.s) for s in mine),
            sum(len(s.rows) for s in of(noise, split)) / RATE / 3600))
    if not of(quakes, "train") or not of(quakes, "validate") or not of(quakes, "test"):
        print("too little: each of the three needs events; a longer archive, or more of them", file=sys.stderr)
        return 1
    net, meta = load(parent)
    p, s = suggested(meta)
    before = Judge(net, features, of(quakes, "test"), of(noise, "test")).figures(p, s)
    limit = Judge(net, features, of(quakes, "validate"), of(noise, "validate")).false_per_hour(p)[0]
    mask_unlabelled_s(net, features, of(quakes, "train") + of(quakes, "validate"))
    data = make_crops(of(quakes, "train"), of(noise, "train"), count, rng, features)
    check = make_crops(of(quakes, "validate"), of(noise, "validate"), max(count // 8, 64), rng, features)
    train.train(net, data, check, minutes, 2e-4, 32, seed=seed, steps=steps)
    tuned = choose_threshold(Judge(net, features, of(quakes, "validate"), of(noise, "validate")), limit, p)
    after = Judge(net, features, of(quakes, "test"), of(noise, "test")).figures(tuned, s)
    features.close()
    show(before, after, (p, tuned))
    found = worse(before, after)
    if found:
        print("not written: on events and noise it has not seen it is worse than its parent (%s)" % ", ".join(found))
        return 3
    write(net, out, parent, meta, tuned, s, "%d stations, %d picks" % (len({r[0] for r in records}), len(picks)))
    return 0


# ---- the chain on made-up ground ----------------------------------------------------------------------------------------

QUAKEML = """<q:quakeml xmlns:q="http://quakeml.org/xmlns/quakeml/1.2" xmlns="http://quakeml.org/xmlns/bed/1.2"><eventParameters>
%s</eventParameters></q:quakeml>"""
EVENT = """<event publicID="e%d"><pick publicID="p%d"><time><value>%s</value></time>
<waveformID networkCode="XX" stationCode="S%d"/><phaseHint>%s</phaseHint></pick></event>
"""


def made_up_archive(rng, count):
    """Records of minutes with one made-up quake each, and their picks as QuakeML says them."""
    import datetime
    records, events = [], []
    for k in range(count):
        one = train.made_up_stream(rng, k)
        start = 1e9 + 600.0 * k
        records.append(("XX.S%d..HH" % k, start, one.rows.astype(np.float32), np.ones(3, bool)))
        for phase, marks in (("Pg", one.p), ("S", one.s)):
            for mark in marks:
                when = datetime.datetime.fromtimestamp(start + mark / RATE, datetime.timezone.utc)
                events.append(EVENT % (k, len(events), when.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), k, phase))
    return records, QUAKEML % "".join(events)


def smoke(parent):
    """Reads, tunes for some steps, judges, and writes what it has; says nothing about real ground."""
    net, meta = load(parent)
    inverse = export_picker.compare(net, parent)
    with tempfile.TemporaryDirectory() as folder:
        records, text = made_up_archive(np.random.default_rng(4), 8)
        quakes, out = os.path.join(folder, "quakes.xml"), os.path.join(folder, "tuned.safetensors")
        with open(quakes, "w") as file:
            file.write(text)
        picks = read_picks(quakes)
        code = tune(records, picks, parent, out, 1, 1, count=64, steps=6)
        written = os.path.exists(out)
        write(net, out, parent, meta, *suggested(meta), "made up")
        again = export_picker.compare(net, out)
        named = json.loads(read_model(out)[2]["tocsin.manifest"])["parent"] == meta["tocsin.sha256"]
    print("fine-tune smoke: weights read back differ by %.1e, written by %.1e, %d picks, exit %d" % (
        inverse, again, len(picks), code))
    good = inverse < 1e-3 and again < 1e-3 and named and len(picks) == 16 and code in (0, 3) and written == (code == 0)
    return 0 if good else 1


def main():
    if sys.argv[1:] == ["--smoke"]:
        return smoke(os.path.join(ROOT, "models", "picker", "weights.safetensors"))
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--archive", required=True)
    args.add_argument("--picks", required=True)
    args.add_argument("--out", required=True)
    args.add_argument("--minutes", type=float, default=10, help="of training (default %(default)s)")
    args.add_argument("--from", dest="parent", default=os.path.join(ROOT, "models", "picker", "weights.safetensors"))
    args.add_argument("--seed", type=int, default=1)
    opt = args.parse_args()
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
    try:
        picks = read_picks(opt.picks)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    records = runtime.read_set(opt.archive)
    if not records:
        print("%s: no records (are *.mseed and stations.txt there?)" % opt.archive, file=sys.stderr)
        return 2
    return tune(records, picks, opt.parent, opt.out, opt.minutes, opt.seed)


if __name__ == "__main__":
    sys.exit(main())
