"""The figures of the card: one network and the baselines on everything kept aside, as JSON and as Markdown tables.

The thresholds come from calibration noise (stations of the noise sets that are reported on nowhere else), then stay
fixed. Training and validation records are printed beside the held-out ones.
"""
import argparse
import json
import os
import pickle
import sys

import numpy as np
import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import evaluate as ev  # noqa: E402
import net as network  # noqa: E402
import pool as pool_module  # noqa: E402
import runtime  # noqa: E402
import teacher  # noqa: E402

CALIBRATION = ("CM.EZNC", "CM.LL8C", "UT.STN11")
CALIBRATION_SOURCE = ("openeew_2018_9_25",)
RATES = (12.0, 4.0, 1.5)
HOP_S = 0.1  # the daemon's default
S_LEVELS = (0.6, 0.75, 0.88)  # S picks are wrong near P more often than in noise, so noise does not choose these


def is_noise(s):
    return s.group.startswith("noise_cm") or s.group.startswith("noise_hvsrpy") or s.group in (
        "ridgecrest_noise", "openeew", "pr")


def is_calibration(s):
    return s.split == "held" and is_noise(s) and (s.station in CALIBRATION or s.source in CALIBRATION_SOURCE)


def noise_sets(pool):
    sets = {}
    for s in pool:
        if s.split == "held" and is_noise(s) and not is_calibration(s):
            sets.setdefault(s.group, []).append(s)
    return sets


def quake_sets(pool, telica_z):
    pick = lambda group, split: [s for s in pool if s.group == group and s.split == split and s.p]
    windows = lambda split: pick("phasenet", split) + pick("deepdenoiser", split) + pick("stead", split)
    far = pick("telica_z", "held")
    far = far[::max(len(far) // telica_z, 1)]
    return {"training windows (PhaseNet, DeepDenoiser, STEAD)": windows("train"),
            "validation windows (same sets, other events)": windows("validate"),
            "held-out windows (same sets, other events)": windows("held"),
            "Corinth, manual (region never seen)": pick("crl", "held"),
            "Telica 3C (region never seen)": pick("telica_3c", "held"),
            "Telica Z only (region never seen)": far,
            "Ridgecrest after the M6.4, automatic labels": pick("ridgecrest_late", "held")}


ARTEFACTS = ("spike, 1 sample, Z", "spike, 3 samples, all", "step, Z", "square pulse 1 s, all", "sine 5 Hz 1 s, Z",
             "zeros for 1 s, all", "noise burst 0.3 s, all")


def spoil(rows, kind, at, size, rng):
    """One artefact at row `at`, `size` times the noise of each component."""
    rms = np.std(rows, axis=0) * size
    z = np.array([0, 0, 1.0])
    if kind.startswith("spike, 1"):
        rows[at] += rms * z
    elif kind.startswith("spike"):
        rows[at:at + 3] += rms
    elif kind.startswith("step"):
        rows[at:] += rms * z
    elif kind.startswith("square"):
        rows[at:at + 100] += rms
    elif kind.startswith("sine"):
        rows[at:at + 100] += np.sin(2 * np.pi * 5 * np.arange(100) / 100)[:, None] * rms * z
    elif kind.startswith("zeros"):
        rows[at:at + 100] = 0
    else:
        rows[at:at + 30] += rng.standard_normal((30, 3)) * rms


def artefact_table(net, features, pool, levels, each=60):
    """Share of made-up artefacts (10 to 200 times the noise) in held-out quiet noise with a new P pick within 6 s."""
    rng = np.random.default_rng(5)
    quiet = [s for s in pool if s.group == "ridgecrest_noise" and s.live.all()]
    out = {}
    for kind in ARTEFACTS:
        hits = np.zeros(len(levels))
        for n in range(each):
            s = quiet[n % len(quiet)]
            a = int(rng.integers(0, len(s.rows) - 6000))
            rows = s.rows[a:a + 5500].astype(np.float64)
            clean = ev.outputs(net, features, rows.astype(np.float32))
            spoil(rows, kind, 4500, float(np.exp(rng.uniform(np.log(10), np.log(200)))), rng)
            raw = ev.outputs(net, features, rows.astype(np.float32))
            for i, level in enumerate(levels):
                new = lambda picks: sum(1 for now, at, _ in picks if 44.0 <= at <= 52)
                hits[i] += new(ev.emit(raw, 0, level)) > new(ev.emit(clean, 0, level))
        out[kind] = (hits / each).tolist()
    return out


def network_tables(net, pool, telica_z):
    features = runtime.Features()
    held = lambda streams, lead=True: ev.Held(net, features, streams, lead)
    calibration = held([s for s in pool if is_calibration(s)], False)
    chosen = ev.thresholds(calibration, RATES)
    chosen_s = dict(zip(RATES, S_LEVELS))
    out = {"thresholds": chosen, "thresholds_s": chosen_s, "calibration_hours": calibration.false_rate(0.5)[1],
           "false": {}, "recall": {}, "recall_s": {}, "s_as_p": {}, "sweep": {}, "hop": {}, "s_early": {}}
    quakes = {name: held(streams) for name, streams in quake_sets(pool, telica_z).items() if streams}
    noise = {name: held(streams, False) for name, streams in noise_sets(pool).items()}
    noise["calibration"] = calibration
    for rate in RATES:
        t, ts = chosen[rate], chosen_s[rate]
        out["false"][rate] = {k: v.false_rate(t) + v.false_rate(ts, "S") for k, v in noise.items()}
        out["recall"][rate] = {k: ev.line(v.recall(t)) for k, v in quakes.items()}
        out["hop"][rate] = {k: ev.line(v.recall(t, hop_s=HOP_S)) for k, v in quakes.items()}
        out["recall_s"][rate] = {k: ev.line(v.recall(ts, "S")) for k, v in quakes.items()
                                 if any(s.s for s in v.streams) and "DeepDen" not in k}
        out["s_early"][rate] = {k: v.s_too_early(ts) for k, v in quakes.items()}
        out["s_as_p"][rate] = {k: v.s_as_p(t) for k, v in quakes.items()}
    for t in (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.97):
        out["sweep"][t] = {k: v.false_rate(t)[:1] + v.false_rate(t)[1:] for k, v in noise.items()}
    out["artefacts"] = artefact_table(net, features, pool, [chosen[r] for r in RATES])
    features.close()
    return out


def baseline_tables(pool, telica_z, phasenet, log=print):
    out = {"false": {}, "recall": {}}
    quakes = {k: [ev.with_lead(s) for s in v] for k, v in quake_sets(pool, telica_z).items()
              if v and "training" not in k and "validation" not in k}
    noise = noise_sets(pool)
    for on in (3.5, 5, 8):
        name = "STA/LTA %g + AIC" % on
        out["recall"][name] = {k: ev.line([r for s in v for r in ev.recall(ev.short_long_picks(s, on), s.p)])
                               for k, v in quakes.items()}
        out["false"][name] = {}
        for k, v in noise.items():
            both = [ev.false_picks(ev.short_long_picks(s, on), s) for s in v]
            out["false"][name][k] = (sum(b[0] for b in both), sum(b[1] for b in both) / 3600)
        log(name, flush=True)
    if phasenet:
        phasenet_tables(out, quakes, noise, phasenet, log)
    return out


def phasenet_tables(out, quakes, noise, phasenet, log, threshold=0.5):
    runs = {"PhaseNet %g, every 0.5 s, %d in a row" % (threshold, n): n for n in (1, 4)}
    for name in runs:
        out["recall"][name], out["false"][name] = {}, {}
    for k, v in quakes.items():
        rows = {name: [] for name in runs}
        for n, s in enumerate(v):
            for m in s.p:
                span = (int(m) - 200, min(int(m) + 420, len(s.rows)))
                seen = ev.phasenet_seen(phasenet, s, threshold, phase=10 * (n % 5), span=span)
                for name, confirm in runs.items():
                    rows[name] += ev.recall(ev.phasenet_picks(seen, confirm), [m])
        for name in runs:
            out["recall"][name][k] = ev.line(rows[name])
        log("PhaseNet", k, flush=True)
    for k, v in noise.items():
        count, watched = {name: 0 for name in runs}, 0.0
        for s in v:
            if len(s.rows) < 3100:
                continue
            seen = ev.phasenet_seen(phasenet, s, threshold)
            for name, confirm in runs.items():
                c, w = ev.false_picks(ev.phasenet_picks(seen, confirm), s)
                count[name] += c
            watched += w
        for name in runs:
            out["false"][name][k] = (count[name], watched / 3600)
        log("PhaseNet", k, flush=True)


def rate_cell(count, hours):
    return "%.1f (%d in %.1f h)" % (count / max(hours, 1e-9), count, hours)


HEAD = ("| picker | n | d = 0.3 s | 0.5 s | 1 s | 2 s | 4 s | declared median / p90 s | residual median / MAD ms |\n"
        "|---|---|---|---|---|---|---|---|---|\n")


def markdown(mine, base):
    label = {r: "this network, P >= %.3f" % mine["thresholds"][r] for r in RATES}
    names = list(next(iter(mine["recall"].values())))
    out = []
    for name in names:
        out.append("**%s**\n\n%s" % (name, HEAD))
        for r in RATES:
            row = mine["recall"][r][name]
            out.append("| %s | %d | %s |\n" % (label[r], row["n"], ev.text(row)))
        row = mine["hop"][RATES[1]][name]
        out.append("| the middle one, read every 0.1 s | %d | %s |\n" % (row["n"], ev.text(row)))
        for who, rows in (base or {"recall": {}})["recall"].items():
            if rows.get(name):
                out.append("| %s | %d | %s |\n" % (who, rows[name]["n"], ev.text(rows[name])))
        out.append("\n")
    sets = [k for k in mine["false"][RATES[0]]]
    out.append("False P picks per station-hour\n\n| picker | %s |\n|---|%s\n" % (" | ".join(sets), "---|" * len(sets)))
    for r in RATES:
        out.append("| %s | %s |\n" % (label[r], " | ".join(rate_cell(*mine["false"][r][k][:2]) for k in sets)))
    for who, rows in (base or {"false": {}})["false"].items():
        out.append("| %s | %s |\n" % (who, " | ".join(rate_cell(*rows[k]) if k in rows else "" for k in sets)))
    out.append("\nArtefacts put into held-out quiet noise, 60 each: share with a new P pick within 6 s\n\n| artefact | %s |\n|---|%s\n"
               % (" | ".join(label[r] for r in RATES), "---|" * len(RATES)))
    for kind, row in mine["artefacts"].items():
        out.append("| %s | %s |\n" % (kind, " | ".join("%.2f" % v for v in row)))
    out.append("\nS picks\n\n" + HEAD)
    for name in mine["recall_s"][RATES[0]]:
        for r in RATES:
            row = mine["recall_s"][r].get(name)
            if row:
                out.append("| S >= %.3f: %s | %d | %s |\n" % (mine["thresholds_s"][r], name, row["n"], ev.text(row)))
    out.append("\nFalse S picks per station-hour\n\n| threshold | %s |\n|---|%s\n" % (" | ".join(sets), "---|" * len(sets)))
    for r in RATES:
        out.append("| S >= %.3f | %s |\n" % (mine["thresholds_s"][r],
                                           " | ".join(rate_cell(*mine["false"][r][k][2:]) for k in sets)))
    out.append("\nLabelled S (S - P > 2 s) declared as P: ")
    for r in RATES:
        n, m = np.sum([v for k, v in mine["s_as_p"][r].items() if not k.startswith(("training", "validation"))], 0)
        out.append("%d of %d at %.3f; " % (n, m, mine["thresholds"][r]))
    out.append("\n\nS declared more than 0.5 s before the labelled S (S - P > 2 s): ")
    for r in RATES:
        n, m = np.sum([v for k, v in mine["s_early"][r].items() if not k.startswith(("training", "validation"))], 0)
        out.append("%d of %d at %.2f; " % (n, m, mine["thresholds_s"][r]))
    return "".join(out) + "\n"


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--pool", required=True)
    args.add_argument("--net", required=True)
    args.add_argument("--out", required=True, help="prefix of .json and .md")
    args.add_argument("--baselines", help="JSON of the baselines: read when it is there, else made")
    args.add_argument("--phasenet", help="folder of the PhaseNet weights, for its baseline")
    args.add_argument("--telica-z", type=int, default=230, dest="telica_z")
    opt = args.parse_args()
    torch.set_num_threads(1)
    with open(opt.pool, "rb") as f:
        streams = pickle.load(f)
    base = None
    if opt.baselines and os.path.exists(opt.baselines):
        with open(opt.baselines) as f:
            base = json.load(f)
    elif opt.baselines:
        base = baseline_tables(streams, opt.telica_z, teacher.PhaseNet(opt.phasenet) if opt.phasenet else None)
        with open(opt.baselines, "w") as f:
            json.dump(base, f)
    one = network.Picker()
    one.load_state_dict(torch.load(opt.net))
    one.eval()
    result = network_tables(one, streams, opt.telica_z)
    with open(opt.out + ".json", "w") as f:
        json.dump(result, f, indent=1)
    with open(opt.out + ".md", "w") as f:
        f.write(markdown(result, base))
