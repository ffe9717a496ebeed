"""Figures for the card: magnitude and S-P by seconds after P, network and classical relation side by side, Markdown out.

    evaluate.py --work DIR --tools DIR [--card models/estimator/card.md]

DIR is where train.py cached its rows and networks. With --card the part of the card below its mark is replaced.

Real training records are judged by the fold network that did not see their quake; held-out and simulated validation
records by the final network. The classical relation is re-stated from core/pparam.c by reading its table.
"""

import argparse
import contextlib
import io
import os
import re
import sys

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "..", "..", ".."))
sys.path.insert(0, HERE)

import cut  # noqa: E402
import dataset  # noqa: E402
from net import LOG_SIGMA_LEAST, LOG_SIGMA_MOST, Estimator  # noqa: E402
from train import folds_of  # noqa: E402

SECONDS = (1, 2, 3, 4, 6, 10)
SIGMA_LEAST = 0.1
MARK = "<!-- below: evaluate.py -->\n"
SNR = 2.0


def classical_tables():
    text = open(os.path.join(ROOT, "core", "pparam.c")).read()
    tables = {}
    for name in ("pv", "pe", "pd"):
        body = re.search(r"relation_%s\[KNOTS\] = \{(.*?)\n\};" % name, text, re.S).group(1)
        tables[name] = np.array([[float(v) for v in row.split(",")] for row in re.findall(r"\{([^{}]*)\}", body)])
    knots = re.search(r"knot_s\[KNOTS\] = \{(.*?)\}", text).group(1)
    return np.array([float(v) for v in knots.split(",")]), tables


def classical(data, t):
    """Magnitude and sigma of toc_pparam_magnitude() with S guarded as if picked; NAN where it refuses."""
    knots, tables = classical_tables()
    end = np.minimum(t, np.where(np.isfinite(data["s_minus_p"]), data["s_minus_p"], t))
    rows = data["x"][np.arange(len(end)), np.argmin(np.abs(10.0 ** data["x"][:, :, 12] - end[:, None]), 1)]
    km = np.log10(np.clip(data["km"], 5, 300))
    say = {}
    for k, name in enumerate(("pv", "pe", "pd")):
        at = [np.interp(np.log(end), np.log(knots), tables[name][:, c]) for c in range(4)]
        say[name] = (at[0] + at[1] * rows[:, k] + at[2] * km, at[3])
    small, share = 0.5 * (say["pv"][0] + say["pe"][0]), 0
    share = np.clip(small - 5, 0, 1)
    magnitude = small + share * (say["pd"][0] - small)
    sigma = 0.5 * (say["pv"][1] + say["pe"][1]) * (1 - share) + say["pd"][1] * share
    ok = (rows[:, 1] - rows[:, 9] > np.log10(SNR)) & (rows[:, 14] > 0)
    return np.where(ok, magnitude, np.nan), sigma


def network(net, data):
    with torch.no_grad():
        return np.concatenate([net(torch.from_numpy(part)).numpy() for part in np.array_split(data["x"],
                               max(len(data["x"]) // 256, 1))]) if len(data["x"]) else np.zeros((0, cut.ROWS, 4))


def load(path):
    net = Estimator()
    net.load_state_dict(torch.load(path))
    return net.eval()


def at_seconds(data, out, t):
    i = np.argmin(np.abs(10.0 ** data["x"][:, :, 12] - t), 1)
    return out[np.arange(len(i)), i]


def sigma_of(log_sigma):
    return np.maximum(np.exp(np.clip(log_sigma, LOG_SIGMA_LEAST, LOG_SIGMA_MOST)), SIGMA_LEAST)


def describe(error, sigma):
    ok = np.isfinite(error)
    if ok.sum() < 2:
        return "%d | - | -" % ok.sum()
    inside = np.mean(np.abs(error[ok]) < sigma[ok])
    return "%d | %+.2f / %.2f | %.0f %%" % (ok.sum(), error[ok].mean(), error[ok].std(), 100 * inside)


def by_event(error, events, least=3):
    medians = [np.median(error[(events == e) & np.isfinite(error)]) for e in sorted(set(events))
               if np.sum((events == e) & np.isfinite(error)) >= least]
    return "%d: %+.2f / %.2f" % (len(medians), np.mean(medians), np.std(medians)) if len(medians) > 1 else \
        "%d: %+.2f" % (len(medians), medians[0]) if medians else "-"


def magnitude_table(title, data, out, events=None):
    print("\n**%s**: %d records%s, M %.1f to %.1f\n" % (title, len(data["x"]), "" if events is None else
          " of %d quakes" % len(set(events)), data["magnitude"].min(), data["magnitude"].max()))
    print("| s after P | network: n | mean / std | within 1 sigma | network median by quake | "
          "classical: n | mean / std | within 1 sigma | classical median by quake | network on these n | constant |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for t in SECONDS:
        say = at_seconds(data, out, t)
        error, sigma = say[:, 0] - data["magnitude"], sigma_of(say[:, 1])
        m, s = classical(data, t)
        old = m - data["magnitude"]
        pair = ("-", "-") if events is None else (by_event(error, events), by_event(old, events))
        same = error[np.isfinite(old)]
        print("| %g | %s | %s | %s | %s | %s | %.2f |" %
              (t, describe(error, sigma), pair[0], describe(old, s), pair[1],
               "%+.2f / %.2f" % (same.mean(), same.std()) if len(same) > 1 else "-", data["magnitude"].std()))


def sp_table(title, data, out):
    print("\n**%s**: %d records, S-P %.1f to %.1f s\n" % (title, len(data["x"]), np.nanmin(data["s_minus_p"]),
                                                          np.nanmax(data["s_minus_p"])))
    print("| s after P | S still to come: n | error of log10 S-P, mean / std | median abs. error, s | within 1 sigma | "
          "S has come: n | mean / std | median abs. error, s | constant std |")
    print("|---|---|---|---|---|---|---|---|---|")
    target = np.log10(data["s_minus_p"])
    for t in SECONDS:
        say = at_seconds(data, out, t)
        error, sigma = say[:, 2] - target, np.exp(np.clip(say[:, 3], LOG_SIGMA_LEAST, LOG_SIGMA_MOST))
        seconds = np.abs(10.0 ** say[:, 2] - data["s_minus_p"])
        cells = []
        for mask in (data["s_minus_p"] > t, data["s_minus_p"] < t - 0.5):
            ok = mask & np.isfinite(error)
            if ok.sum() < 3:
                cells.append("%d | - | -" % ok.sum())
            else:
                cells.append("%d | %+.2f / %.2f | %.1f" % (ok.sum(), error[ok].mean(), error[ok].std(),
                                                           np.median(seconds[ok])))
        coming = data["s_minus_p"] > t
        inside = np.mean(np.abs(error[coming]) < sigma[coming]) if coming.sum() > 2 else np.nan
        said = "%.0f %%" % (100 * inside) if np.isfinite(inside) else "-"
        print("| %g | %s | %s | %s | %.2f |" % (t, cells[0], said, cells[1], target.std()))


def real_out(args, real, final, fold):
    out = network(final, real)
    for k in range(args.folds):
        path = os.path.join(args.work, "honest_fold%d.pt" % k)
        if os.path.exists(path):
            out[fold == k] = network(load(path), dataset.part(real, fold == k))
        else:
            print("(fold %d not trained: its records are judged by the network that saw them)" % k)
    return out


def show_real(real, out, held_out):
    clean = real["amplitude"] & ~real["clip_suspect"] & ((real["split"] == "heldout") == held_out)
    for title, region in (("Ridgecrest M 6.4 and aftershocks, 17:33 to 17:50" if held_out else
                           "Ridgecrest foreshocks, 17:02 to 17:30", "ridgecrest"),
                          ("Pleasant Hill", "pleasant_hill"),
                          ("Ridgecrest M 6.4 and M 4.0 seen from 180 to 315 km (gm_*)" if held_out else
                           "Single records of California, Utah, Washington, Alaska, Croatia, Turkey (gm_*)", "global"),
                          ("Mexico, MEMS sensors (openeew)", "openeew")):
        mask = clean & (real["region"] == region)
        if mask.any():
            magnitude_table(title, dataset.part(real, mask), out[mask], real["event"][mask])
    if held_out:
        mask = (real["split"] == "heldout") & (real["region"] != "global")
        sp_table("S-P (from distance, S not picked): Ridgecrest and Pleasant Hill", dataset.part(real, mask), out[mask])
    else:
        mask = real["observed"]
        sp_table("S-P (picked S): phasenet, stead, telica, crl, iceland; no gain but for 14 records of crl",
                 dataset.part(real, mask), out[mask])


def number(x):
    return "%.1f" % x if np.isfinite(x) else "-"


def large_quakes(real, out):
    print("\n| record | M | km | " + " | ".join("%g s" % t for t in SECONDS) + " |")
    print("|---|---|---|" + "---|" * len(SECONDS))
    for i in np.flatnonzero(real["amplitude"] & (real["magnitude"] >= 5.3)):
        one = dataset.part(real, np.array([i]))
        cells = []
        for t in SECONDS:
            say = at_seconds(one, out[[i]], t)[0]
            cells.append("%.1f ± %.1f, %s" % (say[0], sigma_of(say[1]), number(classical(one, t)[0][0])))
        print("| %s%s%s | %.1f | %.0f | %s |" % (real["station"][i].replace("FDSN:", ""), " (held out)" if
              real["split"][i] == "heldout" else "", " (clips)" if real["clip_suspect"][i] else "", real["magnitude"][i],
              real["km"][i], " | ".join(cells)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", required=True)
    parser.add_argument("--tools", required=True)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--card")
    args = parser.parse_args()
    torch.set_num_threads(1)
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        show(args)
    if args.card:
        with open(args.card) as file:
            head = file.read().split(MARK)[0]
        with open(args.card, "w") as file:
            file.write(head + MARK + "\n" + text.getvalue())
    else:
        print(text.getvalue())


def show(args):
    final = load(os.path.join(args.work, "honest_final.pt"))
    check = dataset.cached(os.path.join(args.work, "sim_check.pkl"),
                           lambda: dataset.simulated_rows(args.tools, 3000, 12, args.work))
    real = dataset.cached(os.path.join(args.work, "real.pkl"), lambda: None)
    fold = folds_of(real, args.folds)
    print("## Figures: field\n\n### Held out: never trained on\n")
    out = real_out(args, real, final, fold)
    show_real(real, out, True)
    print("\n### Training regions, every quake judged by a network that did not see it\n")
    show_real(real, out, False)
    print("\n### The same training records, judged by the shipped network, which saw them\n")
    mask = (fold >= 0) & real["amplitude"] & ~real["clip_suspect"]
    magnitude_table("All training regions", dataset.part(real, mask), network(final, dataset.part(real, mask)),
                    real["event"][mask])
    print("\n### Quakes of M 5.3 and more, one record each: network ± sigma, classical\n")
    large_quakes(real, out)
    print("\n## Figures: simulated, quakes not in training\n")
    out = network(final, check)
    for low, high in ((2, 4), (4, 6), (6, 8)):
        mask = (check["magnitude"] >= low) & (check["magnitude"] < high)
        magnitude_table("Simulated M %d to %d" % (low, high), dataset.part(check, mask), out[mask])
    sp_table("Simulated", check, out)


if __name__ == "__main__":
    main()
