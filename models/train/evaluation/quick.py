"""The smoke test: made-up quakes through the runtime, the same counting, tables and pictures; no data set.

What it finds says nothing of the field. It fails when the chain does: a replay that cannot be read, labels that are not
found at all, a table or a picture that does not come out.
"""

import os
import subprocess

import numpy as np

from . import counting, estimator, estimator_report, paths, picker, picker_report, replays, sets

ROW = (("made",), "held")


def made_quakes(work):
    """Two quakes of the simulator, true onsets."""
    folder = os.path.join(work, "made")
    subprocess.run(
        [
            os.path.join(paths.BUILD, "tocsin-sim"),
            "generate",
            "--seed",
            "11",
            "--magnitude",
            "5",
            "--stations",
            "12",
            "--duration",
            "110",
            "--origin",
            "45",
            "--packet",
            "0.5",
            folder,
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    one = sets.Set("made", folder)
    for row in sets.read_csv(os.path.join(folder, "picks.csv")):
        key = ".".join((row["network"], row["station"], row["location"], row["channel"][:2]))
        station = one.stations.setdefault(key, sets.Station("made", "held"))
        at = np.datetime64(row["time"].rstrip("Z"), "ns").astype("i8") / 1e9
        (station.p if row["phase"] == "P" else station.s).append(at)
    for station in one.stations.values():
        station.p.sort()
        station.s.sort()
        station.quiet = [(station.p[0] - 20, station.p[0] - 0.2)]
    return one


def made_windows(work):
    """Noise with a sudden arrival, written by our own hand: what is written must be read back where it was put."""
    rng, windows = np.random.default_rng(2), []
    for k in range(10):
        rate = (100.0, 50.0, 200.0)[k % 3]
        n, p = int(60 * rate), int(35 * rate)
        waves = {}
        for c in ("Z",) if k % 4 == 3 else "ENZ":
            x = rng.standard_normal(n) * 40
            t = np.arange(n - p) / rate
            x[p:] += 4000 * np.exp(-t / 3) * np.sin(2 * np.pi * 6 * t) * (1 if c == "Z" else 0.4)
            waves[c] = x.astype("f4")
        windows.append(sets.Window("made", waves, rate, p, None, "held"))
    return sets.write_windows("made_windows", windows, work)


def made_magnitudes(runner, quakes):
    """The rows of the magnitude table for the made quake, 3 s after P."""
    estimates, _ = estimator.Study("", "", runner).replay(quakes.folder)
    magnitude = float(sets.read_csv(os.path.join(quakes.folder, "events.csv"))[0]["mag"])
    rows = []
    for key, station in quakes.stations.items():
        record = {"magnitude": magnitude, "event": "made", "km": 50.0}
        said = estimator.at_moment(estimator.best_match(estimates, key, station.p[0]) or [], 3)
        if said and said["magnitude"] is not None:
            rows.append((estimator.Row(record, 3, said), np.nan))
    return {"magnitude": {"made-up quake": {"3": estimator.magnitude_row(rows)}}}


def run(tocsin, work):
    runner = replays.Runner(tocsin, work, 1)
    both = [made_quakes(work), made_windows(work)]
    names, noise = dict(picker.NAMES), dict(picker.NOISE)
    picker.NAMES, picker.NOISE = {"made-up records": ROW}, {"before P": ROW}
    try:
        out = {"thresholds": {"-": 0.5}, "network": {}, "curves": {}}
        for name, t in (("P >= 0.5", 0.5), ("shipped thresholds", None)):
            out["network"][name] = picker.tables(both, [], picker.speaker(runner, t))
            found = picker.recall(both, ROW, picker.speaker(runner, t))
            out["curves"][name] = {
                "after_s": [f.after for f in found if np.isfinite(f.after)],
                "n": len(found),
                "residual_s": [f.residual for f in found if np.isfinite(f.residual)],
            }
        out["classical"] = picker.tables(both, [], picker.speaker(runner, None, method="classical"))
        text = picker_report.recall_section(out) + picker_report.false_section(out)
        picker_report.pictures(out, work)
    finally:
        picker.NAMES, picker.NOISE = names, noise
    made = made_magnitudes(runner, both[0])
    print(text + estimator_report.magnitude_section(made))
    strength = made["magnitude"]["made-up quake"]["3"]
    row = out["network"]["P >= 0.5"]["recall"]["made-up records"]
    alone = [f for f in picker.recall(both[1:], ROW, picker.speaker(runner, 0.5))]
    where = counting.summary(alone)["residual_median_ms"]
    drawn = os.path.getsize(os.path.join(work, "recall.svg"))
    checks = (
        ("half of the made-up P are found", row["recall"][-1][2] >= 0.5),
        ("written records are read where they were put", where is not None and abs(where) < 100),
        ("the made-up quake has magnitudes", strength is not None and abs(strength["network"]["mean"]) < 3),
        ("a picture was drawn", 1000 < drawn < 60000),
    )
    for what, ok in checks:
        print("[%s] %s" % ("  ok  " if ok else "FAILED", what))
    return 0 if all(ok for _, ok in checks) else 1
