"""Fit the classical station magnitude: M = k0 + k1 log10 y + k2 log10 R at knots of seconds after P, y from P alone.

    classical.py --work DIR      (the folder train.py cached its rows in); prints the table of core/pparam.c

Half of the weight is simulated (the shape over M and R), half real records of the training part (the level). Quakes are
weighted as in training the network. Pv and Pe are fitted on M 2 to 6, where they grow; Pd on M 4.7 to 8.
"""

import argparse
import os
import pickle
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import augment  # noqa: E402
from cut import COLUMN as C  # noqa: E402

KNOTS = (0.5, 1, 2, 3, 4, 6, 10)
MEASURES = (("pv", 2.0, 6.0), ("pe", 2.0, 6.0), ("pd", 4.7, 8.0))
SNR_LOG = 0.3
MOST_KM = 250.0


def p_rows(data, t):
    """The row at t seconds after P, or just before S."""
    end = np.minimum(t, np.where(np.isfinite(data["s_minus_p"]), data["s_minus_p"], t))
    i = np.argmin(np.abs(10.0 ** data["x"][:, :, C["log_after"]] - end[:, None]), 1)
    return data["x"][np.arange(len(i)), i]


def usable(data, rows, measure, low, high):
    m = data["magnitude"]
    return ((rows[:, C["pe"]] - rows[:, C["noise_pe"]] > SNR_LOG) &
            (rows[:, C[measure]] - rows[:, C["noise_" + measure]] > SNR_LOG) & (rows[:, C["clipped"]] < 0.5) &
            (m >= low) & (m <= high) & (data["km"] < MOST_KM))


def design(rows, data, measure, nearer):
    """nearer: the correction of simulated amplitudes that training makes."""
    shift = np.interp(np.log10(data["km"]), np.log10(augment.NEARER_KM), augment.NEARER_LOG) if nearer else 0
    return np.stack([np.ones(len(rows)), rows[:, C[measure]] + shift, np.log10(data["km"])], 1)


def fit_one(sim, real, t, measure, low, high):
    parts = []
    for data, weight, slack, nearer in ((sim, 10.0 ** (-0.25 * np.maximum(sim["magnitude"] - 5, 0)), 0.0, True),
                                        (real, real["weight"], 0.7, False)):
        rows = p_rows(data, t)
        ok = usable(data, rows, measure, low - slack, high)
        parts.append((design(rows, data, measure, nearer)[ok], data["magnitude"][ok], weight[ok] / weight[ok].sum()))
    g, m, w = (np.concatenate(p) for p in zip(*parts))
    root = np.sqrt(w)
    k, *_ = np.linalg.lstsq(g * root[:, None], m * root, rcond=None)
    residual = g @ k - m
    return k, np.sqrt(np.sum(w * residual ** 2) / w.sum()), ok


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", required=True)
    args = parser.parse_args()
    sim = pickle.load(open(os.path.join(args.work, "sim_train.pkl"), "rb"))
    real = pickle.load(open(os.path.join(args.work, "real.pkl"), "rb"))
    keep = (real["split"] == "train") & real["amplitude"] & ~np.array(["FDSN:PB_" in s for s in real["station"]])
    real = {key: value[keep] for key, value in real.items()}  # 2 Hz borehole geophones (PB) read displacement low
    for name, low, high in MEASURES:
        print("relation_%s" % name)
        for t in KNOTS:
            k, sigma, ok = fit_one(sim, real, t, name, low, high)
            print("    {%.3f, %.3f, %.3f, %.2f}, /* %4.1f s, %d real records of %d quakes, M %.1f-%.1f, R %.0f-%.0f */" %
                  (*k, sigma, t, ok.sum(), len(set(real["event"][ok])), real["magnitude"][ok].min(),
                   real["magnitude"][ok].max(), real["km"][ok].min(), real["km"][ok].max()))


if __name__ == "__main__":
    main()
