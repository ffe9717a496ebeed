"""The picker's figures: runs of the runtime over every set, at operating points that calibration noise chose."""

import json
import os

import numpy as np

from . import baselines, classes, counting, paths, sets, variants
from .progress import Progress

RATES = (24.0, 12.0, 4.0)  # false P an hour of calibration noise at which recall is read
GRID = ((0.3, 0.5), (0.5, 0.6), (0.7, 0.75), (0.83, 0.88), (0.93, 0.94), (0.97, 0.97))  # P and S thresholds: neither
# knows of the other, so one run serves both; first words alone are read from it
FINE = tuple(np.round(1 - np.geomspace(0.7, 0.01, 24), 4))
SHORT_LONG = (3, 3.5, 4, 5, 6, 8, 10)
PHASENET = (0.3, 0.5, 0.7)
IN_A_ROW = (1, 2, 4)

NAMES = {  # rows of the tables: (sets, groups, split)
    "training windows": (("phasenet", "deepdenoiser", "stead"), "train"),
    "validation windows": (("phasenet", "deepdenoiser", "stead"), "validate"),
    "held-out windows": (("phasenet", "deepdenoiser", "stead"), "held"),
    "Corinth, manual (region never seen)": (("crl",), "held"),
    "Telica 3C (region never seen)": (("telica_3c",), "held"),
    "Telica Z only (region never seen)": (("telica_z",), "held"),
    "Ridgecrest after the M 6.4, automatic labels": (("ridgecrest_late",), "held"),
    "all held out but Telica Z": (("phasenet", "deepdenoiser", "stead", "crl", "telica_3c", "ridgecrest_late"), "held"),
}
NOISE = {
    "before P, training windows": (("phasenet", "deepdenoiser"), "train"),
    "before P, validation windows": (("phasenet", "deepdenoiser"), "validate"),
    "before P, held-out windows": (("phasenet", "deepdenoiser"), "held"),
    "Ridgecrest quiet": (("ridgecrest_quiet",), "held"),
    "MEMS, training devices": (("mems",), "train"),
    "MEMS, held-out quakes": (("mems",), "held"),
    "CM, training stations": (("cm",), "train"),
    "CM, held-out stations": (("cm",), "held"),
    "H/V survey": (("hvsrpy",), "held"),
    "calibration": (("mems", "cm", "hvsrpy"), "calibration"),
}


def of(all_sets, groups, split):
    """[(set, key, station)] of a table row."""
    return [
        (one, key, station)
        for one in all_sets
        for key, station in one.stations.items()
        if station.group in groups and station.split == split
    ]


# ---- anyone's picks: speaks(set, key) -> [(said, onset, probability)] --------------------------------------------------


def recall(all_sets, row, speaks, phase="P"):
    found = []
    for one, key, station in of(all_sets, *row):
        picks = speaks(one, key)
        found += [counting.Found(picks, at) for at in (station.p if phase == "P" else station.s)]
    return found


def false_rate(all_sets, row, speaks):
    count, watched = 0, 0.0
    for one, key, station in of(all_sets, *row):
        count += len(counting.false_in(speaks(one, key), station.quiet))
        watched += counting.length(station.quiet)
    return counting.rate(count, watched / 3600)


def tables(quakes, noise, speaks, splits=("train", "validate", "held", "calibration")):
    """Rows of other splits are left out."""
    return {
        "recall": {name: counting.summary(recall(quakes, row, speaks)) for name, row in NAMES.items() if row[1] in splits},
        "false": {name: false_rate(quakes + noise, row, speaks) for name, row in NOISE.items() if row[1] in splits},
    }


# ---- the runtime ------------------------------------------------------------------------------------------------------


def speaker(runner, p, s=0.88, phase="P", method="cnn", word="first"):
    """word: first, sent, words, revised or confirmed, as in replays.Picks."""
    return lambda one, key: getattr(runner.picks(one.folder, p, s), word)(key, phase, method)


def choose(runner, calibration, rates=RATES, phase="P"):
    """For each rate the lowest threshold with no more false picks an hour of calibration noise."""
    at = (lambda t: (t, 0.88)) if phase == "P" else (lambda t: (0.9, t))
    runner.prepare([(one.folder,) + at(t) for one in calibration for t in FINE], "thresholds " + phase)
    row = NOISE["calibration"]
    table = [(t, false_rate(calibration, row, speaker(runner, *at(t), phase=phase))) for t in FINE]
    out = {}
    for rate in rates:
        good = [t for t, r in table if r["per_hour"] <= rate]
        out[rate] = float(good[0]) if good else float(FINE[-1])
    return out, table


# ---- baselines --------------------------------------------------------------------------------------------------------


def short_long_tables(quakes, noise, rows):
    """{name: tables} of STA/LTA + AIC at every threshold."""
    out, every = {}, quakes + noise
    progress = Progress("STA/LTA", len(every) * len(SHORT_LONG))
    said = {on: {} for on in SHORT_LONG}
    for one in every:
        for key, pieces in rows(one.folder).items():
            if key in one.stations:
                detectors = [baselines.ShortLong(*piece) for piece in pieces]
                for on in SHORT_LONG:
                    said[on][one.folder, key] = [p for d in detectors for p in d.picks(on)]
        progress.step(len(SHORT_LONG))
    progress.close()
    for on in SHORT_LONG:
        out["STA/LTA %g + AIC" % on] = tables(quakes, noise, lambda one, key: said[on].get((one.folder, key), []))
    return out


def phasenet_spans(station, start, n):
    """Samples of a piece over which PhaseNet must be run: 2 s before each P to 4.2 s after it, and quiet that is counted."""
    spans = [(p - 2.0, p + 4.2) for p in station.p]
    if not spans or any(station.group in row[0] for row in NOISE.values()):
        spans += station.quiet
    out = []
    for a, b in sorted(((a - start) * 100, (b - start) * 100) for a, b in spans):
        a, b = int(max(a, 0)), int(min(b, n))
        if out and a <= out[-1][1] + 100:
            out[-1] = (out[-1][0], max(out[-1][1], b))
        elif b > a:
            out.append((a, b))
    return out


def phasenet_tables(quakes, noise, rows, net):
    every, said = quakes + noise, {(t, k): {} for t in PHASENET for k in IN_A_ROW}
    progress = Progress("PhaseNet, streamed", sum(len(one.stations) for one in every))
    for one in every:
        for n, (key, station) in enumerate(one.stations.items()):
            for start, data, live in rows(one.folder).get(key, []) if station.split == "held" else []:
                for span in phasenet_spans(station, start, len(data)):
                    for t in PHASENET:
                        seen = (
                            baselines.phasenet_windows(net, start, data, live, t, span, 10 * (n % 5))
                            if t == PHASENET[0]
                            else [(e, [i for i, p in found if p >= t]) for e, found in first]
                        )
                        if t == PHASENET[0]:
                            first = seen
                            seen = [(e, [i for i, _ in found]) for e, found in first]
                        for k in IN_A_ROW:
                            said[t, k].setdefault((one.folder, key), []).extend(baselines.phasenet_picks(seen, k, start))
            progress.step()
    progress.close()
    return {
        "PhaseNet %g, every 0.5 s, %d in a row"
        % (t, k): tables(quakes, noise, lambda one, key: said[t, k].get((one.folder, key), []), ("held",))
        for t, k in said
    }


# ---- all of it --------------------------------------------------------------------------------------------------------

S_LEVELS = (0.6, 0.75, 0.88, 0.94)
HELD = NAMES["held-out windows"]
S_ROWS = ("validation windows", "held-out windows", "Corinth, manual (region never seen)", "Telica 3C (region never seen)")
LOUD = {"phasenet", "deepdenoiser", "stead"}


class Study:
    """Everything that is run and counted, kept as one dictionary of plain numbers."""

    def __init__(self, data, work, runner, kept=None, each=60):
        """kept: file of the baselines' figures, which no training changes; made when it is not there."""
        self.data, self.work, self.runner, self.each, self.kept = data, work, runner, each, kept
        self.cache, self.out = {}, {}
        weights = os.path.join(data, "weights", "phasenet")
        self.net = baselines.phasenet(weights) if os.path.isdir(weights) else None

    def rows(self, folder):
        if folder not in self.cache:
            self.cache[folder] = baselines.rows_of(folder)
        return self.cache[folder]

    def collect(self):
        self.windows = [w for group in sets.WINDOWS for w in sets.load_windows(self.data, group)]
        confirm = baselines.confirmer(self.net, self.cache) if self.net else None
        self.quakes = [
            sets.write_windows("windows", self.windows, self.work),
            sets.ridgecrest_late(self.data, self.work, confirm),
            sets.corinth(self.data, self.work),
        ]
        continuous = lambda name, group: sets.noise_set(os.path.join(self.data, "continuous", name), group)
        self.quiet = sets.ridgecrest_quiet(self.data, self.work)
        self.noise = (
            [self.quiet]
            + list(sets.mems(self.data))
            + [continuous("noise_cm_2017-10-15", "cm"), continuous("noise_hvsrpy_ut", "hvsrpy")]
        )
        self.loud = [w for w in self.windows if w.group in LOUD and w.split == "held"]

    def points(self):
        """Operating points: P thresholds by the false rate they were chosen for, and what is shipped."""
        cut = sets.calibration_cut(self.noise, self.work)
        chosen, table = choose(self.runner, cut)
        self.chosen = chosen
        self.out["thresholds"] = {"%g" % rate: t for rate, t in chosen.items()}
        self.out["calibration"] = [{"threshold": t, **r} for t, r in table]
        self.labels = {"P >= %.3f" % t: t for t in chosen.values()}
        self.labels["shipped thresholds"] = None

    def main_tables(self):
        every = self.quakes + self.noise
        self.runner.plain = set(GRID)
        points = [(t, 0.88) for t in self.labels.values()] + list(GRID)
        self.runner.prepare([(one.folder, *point) for one in every for point in points], "picks")
        self.out["network"] = {
            name: tables(self.quakes, self.noise, speaker(self.runner, t)) for name, t in self.labels.items()
        }
        self.out["revised"], self.out["confirmed"], self.out["local"] = {}, {}, {}
        for name, t in self.labels.items():
            tell = lambda word: tables(self.quakes, self.noise, speaker(self.runner, t, word=word))
            self.out["revised"][name] = {"recall": tell("words")["recall"], "false": tell("revised")["false"]}
            self.out["confirmed"][name], self.out["local"][name] = tell("confirmed"), tell("local")
        self.out["classical"] = tables(self.quakes, self.noise, speaker(self.runner, None, method="classical"))
        self.out["sent"] = tables(self.quakes, self.noise, speaker(self.runner, None, word="sent"))
        self.out["sweep"] = [
            {"threshold": t, **tables(self.quakes, self.noise, speaker(self.runner, t, s))}
            for t, s in sorted(list(GRID) + [(t, 0.88) for t in self.chosen.values()])
        ]
        self.out["curves"] = {name: self.curve(t) for name, t in self.labels.items()}

    def curve(self, threshold):
        found = recall(self.quakes, HELD, speaker(self.runner, threshold))
        return {
            "after_s": [f.after for f in found if np.isfinite(f.after)],
            "n": len(found),
            "residual_s": [f.residual for f in found if np.isfinite(f.residual)],
        }

    def baseline_tables(self):
        if self.kept and os.path.exists(self.kept):
            with open(self.kept) as f:
                self.out["baselines"] = json.load(f)
            return
        self.out["baselines"] = short_long_tables(self.quakes, self.noise, self.rows)
        if self.net:
            held = [one for one in self.noise if any(s.split == "held" for s in one.stations.values())]
            self.out["baselines"].update(phasenet_tables(self.quakes, held, self.rows, self.net))
        if self.kept:
            with open(self.kept, "w") as f:
                json.dump(self.out["baselines"], f)

    def s_tables(self):
        out = {}
        for at, level in (point for point in GRID if point[1] in S_LEVELS):
            speaks = speaker(self.runner, at, level, "S")
            stations = [row for name in S_ROWS[1:] for row in of(self.quakes, *NAMES[name])]
            out["S >= %.2f" % level] = {
                "recall": {name: counting.summary(recall(self.quakes, NAMES[name], speaks, "S")) for name in S_ROWS},
                "false": {name: false_rate(self.quakes + self.noise, row, speaks) for name, row in NOISE.items()},
                "early": classes.too_early(stations, speaks),
            }
        self.out["s"] = out
        self.out["confusion"] = {}
        for name, t in self.labels.items():
            rows = [r for n in S_ROWS[1:3] for r in of(self.quakes, *NAMES[n])]
            self.out["confusion"][name] = classes.confusion(
                rows, speaker(self.runner, t), speaker(self.runner, t, phase="S")
            )

    def calibration(self):
        loud = (
            of(self.quakes, *HELD)
            + of(self.quakes, *NAMES["validation windows"])
            + of(self.quakes, *NAMES["Corinth, manual (region never seen)"])
        )
        noise = [
            row
            for name in ("Ridgecrest quiet", "MEMS, held-out quakes", "CM, held-out stations")
            for row in of(self.noise, *NOISE[name])
        ]
        low = self.chosen[RATES[0]]
        out = {}
        for name, t in (("said at P >= %.3f" % low, low), ("said at the shipped thresholds", None)):
            for what, word in (("", "first"), (", last word", "revised")):
                speaks = speaker(self.runner, t, word=word)
                out[name + what] = classes.reliability(classes.judged_picks(loud, speaks))
                out[name + what + ", with quiet noise"] = classes.reliability(classes.judged_picks(loud, speaks, noise))
        self.out["reliability"] = out

    def forms(self):
        """The same held-out records as other stations would have sent them."""
        write = lambda name, windows: sets.write_windows(name, windows, self.work)
        three, every = variants.three(self.loud), self.loud
        made = [
            ("three components", write("three", three)),
            ("vertical and one horizontal", write("two", variants.two(every))),
            ("vertical only", write("vertical", variants.vertical(every))),
            ("accelerometers", write("accelerometers", variants.accelerometers(every))),
            ("velocity", write("velocity", [w for w in every if w.kind != "N"])),
        ]
        made += [("%d Hz" % rate, write("rate%d" % rate, variants.resampled(every, rate))) for rate in variants.RATES]
        made += [("begins %g s before P" % s, write("cold%g" % s, variants.cold(every, s))) for s in (5, 12)]
        made += [
            ("gap of 2 s, ends %g s before P" % s, variants.write_gappy("gap%g" % s, every, self.work, 2.0, s))
            for s in (5, 15)
        ]
        made += [("packets of %g s" % p, sets.write_windows("packet%g" % p, every, self.work, p)) for p in (0.5, 1.0)]
        points = [None, self.chosen[RATES[0]]]
        self.runner.prepare([(one.folder, t, 0.88) for _, one in made for t in points], "other forms")
        row = (tuple(LOUD), "held")
        self.out["forms"] = {
            name: {
                ("shipped thresholds" if t is None else "P >= %.3f" % t): counting.summary(
                    recall([one], row, speaker(self.runner, t, word="sent" if "packets" in name else "first"))
                )
                for t in points
            }
            for name, one in made
        }

    def strong_motion(self):
        """Onsets of gm_*, OpenEEW and Pleasant Hill by STA/LTA near the expected time, then AIC: automatic."""
        records = paths.estimator_module("records")
        tool = paths.tool("dump_mseed")
        found = {}
        for name in sorted(os.listdir(os.path.join(self.data, "replay"))):
            if not name.startswith(("gm_", "openeew", "pleasant")):
                continue
            one = sets.Set(name, sets.repack(self.data, name, self.work, None, None))
            for r in records.one_event_set(self.data, name, tool, name.split("_")[0], 6.0):
                key = ".".join(r["station"].split(":", 1)[1].split("_")[:3]) + "." + "".join(r["station"].split("_")[3:5])
                kind = "MEMS" if name.startswith("openeew") else "accelerometer" if r["acceleration"] else "velocity"
                split = "train" if sets.role(one.folder, key) == "train" else "held"
                one.stations[key] = sets.Station(kind, split, [r["onset_ns"] / 1e9])
            found[name] = one
        points = list(self.labels.values())
        self.runner.prepare([(one.folder, t, 0.88) for one in found.values() for t in points], "single quakes")
        out = {}
        for kind in ("accelerometer", "velocity", "MEMS"):
            for split, text in (("train", "seen in training"), ("held", "held out")):
                rows = {
                    name: counting.summary(recall(list(found.values()), ((kind,), split), speaker(self.runner, t)))
                    for name, t in self.labels.items()
                }
                if all(rows.values()):
                    out["%s, quakes %s" % (kind, text)] = rows
        self.out["single_quakes"] = out

    def invariance(self):
        """The held-out records again and again: P at every phase of the hop and of the samples, and in other packets."""
        copies = [(1e6 * ms, 0.1) for ms in variants.SHIFTS_MS] + [(0, p) for p in variants.PACKETS_S]
        made = [
            sets.write_windows("copy%d" % k, self.loud, self.work, packet, lambda i, s=shift: int(s))
            for k, (shift, packet) in enumerate(copies)
        ]
        self.runner.prepare([(one.folder, t, 0.88) for one in made for t in self.labels.values()], "position and packets")
        out = {}
        for name, t in self.labels.items():
            for what, part in (
                ("hop phase", made[:10]),
                ("sample phase", [made[0]] + made[10:13]),
                ("packet length", [made[0]] + made[13:]),
                ("all", made),
            ):
                copies = {}
                for one in part:
                    for key, station in one.stations.items():
                        f = counting.Found(speaker(self.runner, t)(one, key), station.p[0])
                        copies.setdefault(key, []).append((f.residual, f.probability) if np.isfinite(f.after) else None)
                out.setdefault(name, {})[what] = classes.spread(copies)
        self.out["invariance"] = out

    def noisy(self):
        """Held-out noise on held-out records."""
        rows = [
            data
            for one in self.noise
            if one.name.startswith("noise_cm")
            for key, pieces in self.rows(one.folder).items()
            if sets.role(one.folder, key) == "held"
            for _, data, live in pieces
            if live.all()
        ]
        made = {r: sets.write_windows("ratio%d" % r, variants.noisy(self.loud, rows, r), self.work) for r in variants.RATIOS}
        points = list(self.labels.values())
        self.runner.prepare([(one.folder, t, 0.88) for one in made.values() for t in points], "noise on top")
        row, out = (tuple(LOUD), "held"), {}
        for ratio, one in made.items():
            mine = {name: counting.summary(recall([one], row, speaker(self.runner, t))) for name, t in self.labels.items()}
            for on in (3.5, 5, 8):
                picks = {
                    key: [p for piece in pieces for p in baselines.ShortLong(*piece).picks(on)]
                    for key, pieces in self.rows(one.folder).items()
                }
                mine["STA/LTA %g + AIC" % on] = counting.summary(recall([one], row, lambda _, key: picks.get(key, [])))
            out["%g" % ratio] = mine
        self.out["noise_on_top"] = out

    def artefacts(self):
        rows = [data for pieces in self.rows(self.quiet.folder).values() for _, data, live in pieces if live.all()]
        made = variants.artefacts(rows, self.each)
        one = sets.write_windows("artefacts", [w for _, w in made], self.work, shift_ns=lambda k: 0)
        self.runner.prepare([(one.folder, t, 0.88) for t in self.labels.values()], "artefacts")
        keys, out = list(one.stations), {kind: {} for kind in variants.ARTEFACTS}
        for name, t in self.labels.items():
            speaks = speaker(self.runner, t)
            for kind in variants.ARTEFACTS:
                new = []
                for (_, _), (k, _), clean, dirty in zip(made[0::2], made[1::2], keys[0::2], keys[1::2]):
                    if k == kind:
                        at = one.stations[dirty].p[0]
                        near = lambda key: sum(1 for _, onset, _ in speaks(one, key) if at - 1 <= onset <= at + 7)
                        new.append(near(dirty) > near(clean))
                out[kind][name] = {"share": float(np.mean(new)), "n": len(new), "interval": counting.interval(new)}
        self.out["artefacts"] = out

    def all(self):
        for stage in (
            self.collect,
            self.points,
            self.main_tables,
            self.s_tables,
            self.calibration,
            self.forms,
            self.strong_motion,
            self.invariance,
            self.noisy,
            self.artefacts,
            self.baseline_tables,
        ):
            stage()
        return self.out
