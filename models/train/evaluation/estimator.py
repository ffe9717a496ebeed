"""The estimator's figures from `tocsin replay --estimates` and its alerts: magnitude, S-P, saturation, first words.

Truth: catalogue magnitudes and the onsets of models/train/estimator/records.py. A record is judged from the runtime's own
pick of it (within 1 s of the onset). Beside it, on the same records at the same moments: a regression of the magnitude on
the runtime's Pv and the catalogue's distance, each quake by coefficients that have not seen it.
"""

import json
import os
import subprocess

import numpy as np

from . import counting, paths, sets
from .progress import Progress
from .replays import estimates_of, key_of

SECONDS = (0.5, 1, 2, 3, 4, 6, 10)
EXTRA = "estimator: {publish_s: 0.1}\n"
MATCH_S = 1.0
SNR_LEAST_DB = 6.0
SIMULATED = ((6.5, 101), (7.0, 102), (7.5, 103), (8.0, 104))
ROWS = (
    ("Ridgecrest M 6.4 and aftershocks, 17:33 to 17:50", "ridgecrest", "heldout"),
    ("Pleasant Hill M 4.5", "pleasant_hill", "heldout"),
    ("Ridgecrest M 6.4 and M 4.0 from 180 to 315 km (gm_*)", "global", "heldout"),
    ("Ridgecrest foreshocks, 17:02 to 17:30", "ridgecrest", "train"),
    ("Single quakes of California, Utah, Washington, Alaska, Croatia, Turkey (gm_*)", "global", "train"),
    ("Mexico, MEMS (openeew)", "openeew", "train"),
)


class Row:
    """One record at one moment: what was said, what is true."""

    __slots__ = ("record", "t", "said")

    def __init__(self, record, t, said):
        self.record, self.t, self.said = record, t, said


def at_moment(lines, t):
    """The estimate that was there t seconds after P; None when none was by then or it is long past."""
    before = [e for e in lines if e["after_p_s"] <= t + 0.051]
    return before[-1] if before and before[-1]["after_p_s"] > t - 0.3 else None


def best_match(estimates, station, onset):
    near = [(abs(lines[0]["pick_time_ns"] / 1e9 - onset), lines) for (key, _), lines in estimates.items() if key == station]
    near = [n for n in near if n[0] <= MATCH_S]
    return min(near, key=lambda n: n[0])[1] if near else None


def light(record, name):
    """A record of records.py without its waveform."""
    keep = {k: v for k, v in record.items() if k != "enz"}
    keep["key"], keep["set"], keep["onset"] = key_of(record["station"]), name, record["onset_ns"] / 1e9
    return keep


def real_records(data):
    records, tool = paths.estimator_module("records"), paths.tool("dump_mseed")
    for r in records.ridgecrest(data, tool):
        yield light(r, "ridgecrest_2019-07-04")
    for name in sorted(os.listdir(os.path.join(data, "replay"))):
        region = {"gm": "global", "openeew": "openeew", "pleasant": "pleasant_hill"}.get(name.split("_")[0])
        if region:
            for r in records.one_event_set(data, name, tool, region, SNR_LEAST_DB):
                yield light(r, name)
        elif name.startswith(("crl", "iceland")):
            for r in records.swarm(data, name, tool):
                yield light(r, name)


class Study:
    def __init__(self, data, work, runner):
        self.data, self.work, self.runner, self.out = data, work, runner, {}
        self.alerts = {}

    def replay(self, folder, alone=False):
        paths_ = self.runner.replay(
            folder, self.runner.config(None, None, False, EXTRA + (self.runner.ALONE if alone else ""))
        )
        with open(paths_[2]) as f:
            alerts = [json.loads(line) for line in f]
        return estimates_of(paths_[1]), alerts

    def collect(self):
        records = list(real_records(self.data))
        progress = Progress("estimates", len({r["set"] for r in records}))
        self.rows, self.missed = [], []
        for name in sorted({r["set"] for r in records}):
            estimates, self.alerts[name] = self.replay(os.path.join(self.data, "replay", name))
            for r in (r for r in records if r["set"] == name):
                self.take(r, best_match(estimates, r["key"], r["onset"]))
            progress.step()
        progress.close()

    def take(self, record, lines):
        if lines is None:
            self.missed.append(record)
            return
        for t in SECONDS:
            said = at_moment(lines, t)
            if said:
                self.rows.append(Row(record, t, said))

    def windows(self):
        """S - P of analysts: windows with both onsets, no gain."""
        both = [
            w
            for group in ("phasenet", "stead", "telica_3c")
            for w in sets.load_windows(self.data, group)
            if w.s is not None and len(w.waves) == 3
        ]
        one = sets.write_windows("both", both, self.work)
        estimates, _ = self.replay(one.folder, True)
        for key, station in one.stations.items():
            record = {
                "key": key,
                "set": station.group,
                "onset": station.p[0],
                "region": station.group,
                "event": station.source,
                "magnitude": np.nan,
                "s_minus_p": station.s[0] - station.p[0],
                "sp_observed": True,
                "km": np.nan,
                "split": "train",
                "gain_known": False,
                "clip_suspect": False,
            }
            self.take(record, best_match(estimates, key, station.p[0]))

    # ---- magnitude ----

    def usable(self, row):
        return (
            row.said["magnitude"] is not None
            and row.record["gain_known"]
            and np.isfinite(row.record["magnitude"])
            and not row.record.get("clip_suspect", False)
        )

    def magnitudes(self):
        rows = [r for r in self.rows if self.usable(r)]
        classical = regression(rows)
        self.out["magnitude"], self.out["scatter"] = {}, []
        for title, region, split in ROWS:
            mine = [(r, c) for r, c in zip(rows, classical) if r.record["region"] == region and r.record["split"] == split]
            if mine:
                self.out["magnitude"][title] = {str(t): magnitude_row([m for m in mine if m[0].t == t]) for t in SECONDS}
        located = lambda r: r.said.get("distance_km") is not None
        for splits, title, want in (
            (("heldout",), "all held out", lambda r: True),
            (("heldout",), "all held out, located by then", located),
            (("heldout",), "all held out, not yet located", lambda r: not located(r)),
            (("train",), "all of training quakes", lambda r: True),
            (("heldout", "train"), "all regions together, held out and not", lambda r: True),
        ):
            mine = [(r, c) for r, c in zip(rows, classical) if r.record["split"] in splits and want(r)]
            self.out["magnitude"][title] = {str(t): magnitude_row([m for m in mine if m[0].t == t]) for t in SECONDS}
        self.out["scatter"] = [(r.record["magnitude"], r.said["magnitude"], r.record["split"]) for r in rows if r.t == 3]
        self.out["missed"] = {
            "records": len({(r["key"], r["onset"]) for r in self.missed}),
            "said": len({(r.record["key"], r.record["onset"]) for r in self.rows}),
        }

    def bias(self):
        """Mean error by region for M 4 to 6 at 3 s."""
        self.out["bias"] = {}
        for region in ("ridgecrest", "pleasant_hill", "global", "openeew"):
            error = [
                r.said["magnitude"] - r.record["magnitude"]
                for r in self.rows
                if self.usable(r) and r.t == 3 and r.record["region"] == region and 4 <= r.record["magnitude"] <= 6
            ]
            if error:
                self.out["bias"][region] = {
                    "n": len(error),
                    "mean": float(np.mean(error)),
                    "interval": counting.interval(error),
                }

    # ---- S - P ----

    def s_minus_p(self):
        self.out["s_minus_p"] = {}
        internal = lambda r: r["region"].startswith(("telica", "crl"))
        for title, pick in (
            ("S picked: phasenet, stead, iceland (quakes of the training sets)", lambda r: r["sp_observed"] and not internal(r)),
            ("S picked: Telica, Corinth (never trained on)", lambda r: r["sp_observed"] and internal(r)),
            (
                "S from the distance, held out: Ridgecrest and Pleasant Hill",
                lambda r: not r["sp_observed"] and r["split"] == "heldout" and r["region"] != "global",
            ),
        ):
            mine = [r for r in self.rows if pick(r.record) and 0 < r.record["s_minus_p"] < 15 and r.said["s_minus_p_s"]]
            self.out["s_minus_p"][title] = {str(t): sp_row([r for r in mine if r.t == t]) for t in SECONDS}

    # ---- large quakes ----

    def large(self):
        out = {"real": [], "simulated": []}
        for r in self.rows:
            if r.said["magnitude"] is not None and r.record["gain_known"] and r.record["magnitude"] >= 6.5:
                out["real"].append(bound(r.record["magnitude"], r.t, r.said))
        progress = Progress("simulated large quakes", len(SIMULATED))
        for magnitude, seed in SIMULATED:
            folder = os.path.join(self.work, "sim%d" % seed)
            subprocess.run(
                [
                    os.path.join(paths.BUILD, "tocsin-sim"),
                    "generate",
                    "--seed",
                    str(seed),
                    "--magnitude",
                    str(magnitude),
                    "--stations",
                    "24",
                    "--duration",
                    "130",
                    "--origin",
                    "40",
                    folder,
                ],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            estimates, alerts = self.replay(folder)
            self.alerts["sim%d" % seed] = alerts
            for row in sets.read_csv(os.path.join(folder, "picks.csv")):
                if row["phase"] == "P":
                    key = ".".join((row["network"], row["station"], row["location"], row["channel"][:2]))
                    onset = np.datetime64(row["time"].rstrip("Z"), "ns").astype("i8") / 1e9
                    for t in SECONDS:
                        said = at_moment(best_match(estimates, key, onset) or [], t)
                        if said and said["magnitude"] is not None:
                            out["simulated"].append(bound(magnitude, t, said))
            progress.step()
        progress.close()
        self.out["large"] = {
            kind: {str(t): large_row([b for b in rows if b["t"] == t]) for t in SECONDS} for kind, rows in out.items()
        }

    # ---- alerts ----

    def events(self):
        """The first network estimate of each catalogued quake, and the last."""
        found = []
        for name, alerts in self.alerts.items():
            folder = os.path.join(self.data, "replay", name)
            if not os.path.isdir(folder) and not name.startswith("sim"):
                continue
            for quake in sets.read_csv(
                os.path.join(folder if os.path.isdir(folder) else os.path.join(self.work, name), "events.csv")
            ):
                if quake["mag"]:
                    said = about(alerts, quake)
                    if said:
                        found.append({"set": name, "magnitude": float(quake["mag"]), **said})
        twice = [(e["set"], e["event"]) for e in found]
        self.out["events"] = [
            e
            for e in found
            if twice.count((e["set"], e["event"])) == 1
            or e["magnitude"] == max(f["magnitude"] for f in found if (f["set"], f["event"]) == (e["set"], e["event"]))
        ]

    def all(self):
        for stage in (self.collect, self.windows, self.magnitudes, self.bias, self.s_minus_p, self.large, self.events):
            stage()
        return self.out


def regression(rows, folds=10):
    """M on log10 Pv and log10 R, by moment, each quake by the others' coefficients. NAN where Pv is not known."""
    say = np.full(len(rows), np.nan)
    pv = np.array([r.said.get("pv_ms") or np.nan for r in rows], float)
    km = np.array([r.record["km"] for r in rows], float)
    m = np.array([r.record["magnitude"] for r in rows], float)
    t = np.array([r.t for r in rows])
    names = sorted({r.record["event"] for r in rows})
    fold = np.array([names.index(r.record["event"]) % folds for r in rows])
    ok = (pv > 0) & np.isfinite(km)
    g = np.stack([np.ones(len(rows)), np.log10(np.where(ok, pv, 1)), np.log10(np.where(ok, km, 1))], 1)
    for moment in set(t):
        for k in range(folds):
            learn, judge = ok & (t == moment) & (fold != k), ok & (t == moment) & (fold == k)
            if learn.sum() > 10 and judge.any():
                coefficients, *_ = np.linalg.lstsq(g[learn], m[learn], rcond=None)
                say[judge] = g[judge] @ coefficients
    return say


def medians(error, events, least=3):
    error, events = np.asarray(error), np.asarray(events)
    return np.array([np.median(error[events == e]) for e in sorted(set(events)) if np.sum(events == e) >= least])


def describe(error, events):
    error = np.asarray(error, float)
    ok = np.isfinite(error)
    if ok.sum() < 3:
        return None
    error, events = error[ok], np.asarray(events)[ok]
    network = medians(error, events)
    return {
        "n": int(ok.sum()),
        "quakes": len(set(events)),
        "mean": float(error.mean()),
        "std": float(error.std()),
        "std_interval": event_interval(error, events),
        "network_n": len(network),
        "network_mean": float(network.mean()) if len(network) else None,
        "network_std": float(network.std()) if len(network) > 1 else None,
    }


def event_interval(error, events, n=400, seed=3):
    """95 % interval of the scatter, bootstrap over quakes."""
    names = sorted(set(events))
    if len(names) < 3:
        return None
    rng, where = np.random.default_rng(seed), {e: np.flatnonzero(events == e) for e in names}
    draws = [
        error[np.concatenate([where[names[i]] for i in rng.integers(0, len(names), len(names))])].std() for _ in range(n)
    ]
    return tuple(float(v) for v in np.percentile(draws, (2.5, 97.5)))


def magnitude_row(pairs):
    """pairs: [(Row, classical magnitude)] of one moment."""
    if len(pairs) < 3:
        return None
    truth = np.array([r.record["magnitude"] for r, _ in pairs])
    error = np.array([r.said["magnitude"] for r, _ in pairs]) - truth
    sigma = np.array([r.said["magnitude_sigma"] for r, _ in pairs])
    events = [r.record["event"] for r, _ in pairs]
    return {
        "network": describe(error, events),
        "classical": describe(np.array([c for _, c in pairs]) - truth, events),
        "coverage": float(np.mean(np.abs(error) < sigma)),
        "at_least": float(np.mean([r.said["saturated"] for r, _ in pairs])),
        "located": float(np.mean([r.said.get("distance_km") is not None for r, _ in pairs])),
        "constant": float(truth.std()),
    }


def sp_row(rows):
    out = {}
    for name, mine in (
        ("to come", [r for r in rows if r.record["s_minus_p"] > r.t]),
        ("has come", [r for r in rows if r.record["s_minus_p"] < r.t - 0.5]),
    ):
        if len(mine) >= 3:
            error = np.array([r.said["s_minus_p_s"] - r.record["s_minus_p"] for r in mine])
            sigma = np.array([r.said["s_minus_p_sigma_s"] for r in mine])
            out[name] = {
                "n": len(mine),
                "mean": float(error.mean()),
                "std": float(error.std()),
                "mad": counting.mad(error),
                "median_abs": float(np.median(np.abs(error))),
                "coverage": float(np.mean(np.abs(error) < sigma)),
            }
    return out


def bound(truth, t, said):
    """Whether two sigmas above the magnitude lie more than 0.5 below the truth; "at least" rules nothing out."""
    upper = np.inf if said["saturated"] else said["magnitude"] + 2 * said["magnitude_sigma"]
    return {"t": t, "error": said["magnitude"] - truth, "short": upper < truth - 0.5, "saturated": said["saturated"]}


def large_row(rows):
    if not rows:
        return None
    return {
        "n": len(rows),
        "mean": float(np.mean([b["error"] for b in rows])),
        "std": float(np.std([b["error"] for b in rows])),
        "at_least": float(np.mean([b["saturated"] for b in rows])),
        "short": int(sum(b["short"] for b in rows)),
    }


def about(alerts, quake):
    """Of the events within 100 km and 5 s of a quake the one nearest in time: its first word with a magnitude, its last."""
    seconds, km = sets.seconds, paths.estimator_module("records").km_between
    origin, lat, lon = seconds(quake["time"]), float(quake["lat"]), float(quake["lon"])
    last = {m["event"]: m for m in alerts if "event" in m and m.get("origin_time")}
    near = [
        (abs(seconds(m["origin_time"]) - origin), e)
        for e, m in last.items()
        if km(lat, lon, m["latitude"], m["longitude"]) < 100
    ]
    if not near or min(near)[0] > 5:
        return None
    said = [
        m
        for m in alerts
        if m.get("event") == min(near)[1]
        and m["type"] in ("tentative", "alert", "update", "final")
        and m["magnitude"] is not None
    ]
    if not said:
        return None
    picture = lambda m: {
        "s": seconds(m["issued"]) - origin,
        "magnitude": m["magnitude"],
        "sigma": m["magnitude_sigma"],
        "at_least": m["magnitude_at_least"],
        "stations": sum(s["used"] for s in m["stations"]),
        "km": float(km(lat, lon, m["latitude"], m["longitude"])),
    }
    short = [m for m in said if m.get("magnitude_upper") is not None and m["magnitude_upper"] < float(quake["mag"]) - 0.5]
    return {"event": min(near)[1], "first": picture(said[0]), "last": picture(said[-1]), "words": len(said), "short": len(short)}
