"""Figures by event-wise cross-validation over all real quakes, each judged by the network that did not see it.

    crossval.py --work DIR      (where train.py left its folds)

With a distance S is taken to be where that puts it, as when the daemon has an origin. Not the shipped network: that one was never shown what is held out, these were shown all but the quake in question. Beside them
the direct regression on Pv and log R that the issue measures against, cross-validated on the same folds and records. R is the
catalogue's. Intervals: bootstrap over quakes, 90 %.
"""

import argparse
import os
import pickle
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import calibrate  # noqa: E402
import cut  # noqa: E402
from net import LOG_SIGMA_LEAST, LOG_SIGMA_MOST, likeliest, split_normal  # noqa: E402
from train import folds_of, load  # noqa: E402

SECONDS = (0.5, 1, 2, 3, 4, 6, 10)
SNR_LOG = 0.3
C = cut.COLUMN


def regression(data, fold, t, with_distance=True):
    """M = k0 + k1 log Pv + k2 log R on the other folds."""
    rows = calibrate.at_seconds(data, data["x"], t)
    g = np.stack([np.ones(len(rows)), rows[:, C["pv"]]] + ([np.log10(data["km"])] if with_distance else []), 1)
    say = np.full(len(rows), np.nan)
    for k in set(fold):
        coefficients, *_ = np.linalg.lstsq(g[fold != k], data["magnitude"][fold != k], rcond=None)
        say[fold == k] = g[fold == k] @ coefficients
    return say


def medians(error, events, least=3):
    return np.array([np.median(error[events == e]) for e in sorted(set(events)) if np.sum(events == e) >= least])


def interval(statistic, error, events, rng, times=100):
    names = np.array(sorted(set(events)))
    if len(names) < 2:
        return np.nan, np.nan
    where = {e: np.flatnonzero(events == e) for e in names}
    found = []
    for _ in range(times):
        drawn = [where[e] for e in rng.choice(names, len(names))]
        found.append(statistic(error[np.concatenate(drawn)], np.concatenate([np.full(len(d), i) for i, d in enumerate(drawn)])))
    return np.nanpercentile(found, (5, 95))


def single(error, _):
    return error.std()


def network(error, events):
    m = medians(error, events)
    return m.std() if len(m) > 1 else np.nan


def line(name, error, events, rng):
    m = medians(error, events)
    low, high = interval(single, error, events, rng)
    ln, hn = interval(network, error, events, rng)
    print("| %s | %d / %d | %+.2f / %.2f (%.2f-%.2f) | %d: %+.2f / %.2f (%.2f-%.2f) |" %
          (name, len(error), len(set(events)), error.mean(), error.std(), low, high, len(m), m.mean(), m.std(), ln, hn))


def table(title, data, fold, out):
    rng = np.random.default_rng(1)
    print("\n**%s**: %d records of %d quakes, M %.1f-%.1f (sd %.2f), R %.0f-%.0f km\n" %
          (title, len(fold), len(set(data["event"])), data["magnitude"].min(), data["magnitude"].max(), data["magnitude"].std(),
           data["km"].min(), data["km"].max()))
    print("| | records / quakes | single: mean / std (90 %) | median of 3 or more: quakes: mean / std (90 %) |\n|---|---|---|---|")
    truth, events = data["magnitude"], data["event"]
    log_km = np.log10(np.clip(data["km"], 5, 300))
    for t in SECONDS:
        say = calibrate.at_seconds(data, out, t)
        mean, sigma, upper = split_normal(likeliest(say, log_km), calibrate.sigma_of(say[:, 7]), calibrate.sigma_of(say[:, 8]))
        line("%g s network, distance" % t, mean - truth, events, rng)
        line("%g s network, none" % t, say[:, 0] - truth, events, rng)
        if len(set(fold)) > 1:  # else there is nothing to fit on
            line("%g s Pv, distance" % t, regression(data, fold, t) - truth, events, rng)
            line("%g s Pv, none" % t, regression(data, fold, t, False) - truth, events, rng)
        ratio = calibrate.ratios(data, out, t)
        print("| %g s within 68 %%: without distance %.0f %%, with %.0f %%; truth over the upper bound by 0.5: %d | | | |" %
              (t, 100 * np.mean(ratio[0] < 1), 100 * np.mean(ratio[2] < 1), np.sum(truth > upper + 0.5)))


def sp_table(title, data, out):
    print("\n**S-P, %s**: %d records\n" % (title, len(data["x"])))
    print("| s after P | n | error of S-P s, mean / std | mad s | log10 std | within 68 % | S still to come: n | std s | log10 std | of a "
          "constant |\n|---|---|---|---|---|---|---|---|---|---|")
    truth = data["s_minus_p"]
    for t in SECONDS:
        say = calibrate.at_seconds(data, out, t)
        sp = 10.0 ** np.clip(say[:, 2], -1, 2)
        log_error, error = say[:, 2] - np.log10(truth), sp - truth
        to_come = truth > t + 0.1
        if to_come.sum() < 2:
            continue
        inside = np.abs(log_error) < np.exp(np.clip(say[:, 3], LOG_SIGMA_LEAST, LOG_SIGMA_MOST))
        print("| %g | %d | %+.2f / %.2f | %.2f | %.2f | %.0f %% | %d | %.2f | %.2f | %.2f |" %
              (t, len(truth), error.mean(), error.std(), 1.4826 * np.median(np.abs(error - np.median(error))), log_error.std(),
               100 * inside.mean(), to_come.sum(), error[to_come].std(), log_error[to_come].std(),
               np.log10(truth[to_come]).std()))


def part(data, mask):
    return {key: value[mask] for key, value in data.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", required=True)
    parser.add_argument("--folds", type=int, default=5)
    args = parser.parse_args()
    real = pickle.load(open(os.path.join(args.work, "real.pkl"), "rb"))
    sim = pickle.load(open(os.path.join(args.work, "sim_check.pkl"), "rb"))
    fold = folds_of(real, args.folds)
    nets = {k: load(os.path.join(args.work, "honest_%s.pt" % k)) for k in list(range(args.folds)) + ["final"]}
    out = calibrate.unseen_outputs(nets, real, fold)
    pe_seen = calibrate.at_seconds(real, real["x"], 3)
    loud = pe_seen[:, C["pe"]] - pe_seen[:, C["noise_pe"]] > SNR_LOG
    size = real["amplitude"] & (fold >= 0)
    rc = size & (real["region"] == "ridgecrest") & ~real["geophone"] & ~real["clip_suspect"]
    for title, mask in (("Ridgecrest, as the issue selects", rc),
                        ("Ridgecrest below M 6", rc & (real["magnitude"] < 6)),
                        ("All regions, Pe above twice its noise", size & loud & ~real["geophone"] & ~real["clip_suspect"]),
                        ("All but Ridgecrest", size & (real["region"] != "ridgecrest") & loud),
                        ("Pleasant Hill", size & (real["region"] == "pleasant_hill"))):
        table(title, part(real, mask), fold[mask], out[mask])
    print("\n| region, M 4-6 | n | mean error at 3 s with distance |\n|---|---|---|")
    for region in sorted(set(real["region"][size])):
        mask = size & (real["region"] == region) & (real["magnitude"] >= 4) & (real["magnitude"] <= 6) & loud
        if mask.any():
            say = calibrate.at_seconds(part(real, mask), out[mask], 3)
            mean, _, _ = split_normal(likeliest(say, np.log10(np.clip(real["km"][mask], 5, 300))),
                                      calibrate.sigma_of(say[:, 7]), calibrate.sigma_of(say[:, 8]))
            print("| %s | %d | %+.2f |" % (region, mask.sum(), (mean - real["magnitude"][mask]).mean()))
    big = size & (real["magnitude"] >= 6.3)
    for title, data, o in (("real M >= 6.3", part(real, big), out[big]),
                           ("simulated M >= 6.5", part(sim, sim["magnitude"] >= 6.5), calibrate.outputs(nets["final"], part(sim, sim["magnitude"] >= 6.5)))):
        print("\n**%s**: %d records\n\n| s after P | mean / std with distance | upper bound - truth, least | below -0.5 | within 68 %% |\n"
              "|---|---|---|---|---|" % (title, len(data["x"])))
        for t in SECONDS:
            say = calibrate.at_seconds(data, o, t)
            mean, _, upper = split_normal(likeliest(say, np.log10(np.clip(data["km"], 5, 300))), calibrate.sigma_of(say[:, 7]),
                                          calibrate.sigma_of(say[:, 8]))
            error = mean - data["magnitude"]
            print("| %g | %+.2f / %.2f | %+.2f | %.1f %% | %.0f %% |" % (t, error.mean(), error.std(), (upper - data["magnitude"]).min(),
                  100 * np.mean(upper < data["magnitude"] - 0.5), 100 * np.mean(calibrate.ratios(data, o, t)[2] < 1)))
    for title, mask in (("picked S, unseen events, in training regions", real["observed"] & (fold >= 0) & (real["s_minus_p"] < 15)),
                        ("picked S, internal sets (never trained on)", real["observed"] & (fold < 0) & (real["s_minus_p"] < 15)),
                        ("Ridgecrest and Pleasant Hill, S by distance", ~real["observed"] & np.isin(real["region"], ["ridgecrest", "pleasant_hill"]))):
        sp_table(title, part(real, mask), out[mask])
    sp_table("simulated below 15 s", part(sim, sim["s_minus_p"] < 15), calibrate.outputs(nets["final"], part(sim, sim["s_minus_p"] < 15)))


if __name__ == "__main__":
    main()
