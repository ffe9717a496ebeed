"""Sigmas that hold: how wide they must be for 68 % of quakes nobody trained on, by seconds after P.

Half of the weight is real records, each judged by the networks of the fold that did not see its quake, half simulated ones
that were kept aside. What is found is a factor a t^b for each sigma; it goes into the last layer, which sees log10 t.
"""

import numpy as np
import torch

import cut
from net import LOG_SIGMA_LEAST, LOG_SIGMA_MOST, likeliest

SECONDS = (0.5, 1, 2, 3, 4, 6, 10)
SIGMA_LEAST = 0.1        # core/estimator.c says no less
LEAST_MAGNITUDE = 2.0    # what follows below is noise and catalogue
SIM_SHARE = 0.5


S_PER_KM = 0.124  # of S - P, as the relation of core/pparam.c has it


def with_origin(data):
    """The rows as they are when an origin has put S where the distance says, from the first step on."""
    x = data["x"].copy()
    cut.guard(x, S_PER_KM * np.nan_to_num(data["km"], nan=1e6), np.zeros(len(x), int))
    return x


def outputs(net, data):
    """[n, ROWS, OUTPUTS]: what is said without a distance of rows without one, the rest of rows with an origin."""
    parts = []
    for one in np.array_split(np.arange(len(data["x"])), max(len(data["x"]) // 256, 1)):
        some = {key: data[key][one] for key in ("x", "km")}
        with torch.no_grad():
            say = net(torch.from_numpy(some["x"])).numpy()
            say[..., 4:] = net(torch.from_numpy(with_origin(some))).numpy()[..., 4:]
        parts.append(say)
    return np.concatenate(parts)


def unseen_outputs(nets, real, fold):
    """Each real record by the network that never saw its quake; internal ones by the final network, which never does."""
    out = np.zeros((len(real["x"]), cut.ROWS, cut.OUTPUTS), "f4")
    for k in sorted(set(fold)):
        mask = fold == k
        out[mask] = outputs(nets["final" if k < 0 else k], {key: real[key][mask] for key in ("x", "km")})
    return out


def at_seconds(data, out, t):
    i = np.argmin(np.abs(10.0 ** data["x"][:, :, cut.COLUMN["log_after"]] - t), 1)
    return out[np.arange(len(i)), i]


def sigma_of(log_sigma):
    return np.maximum(np.exp(np.clip(log_sigma, LOG_SIGMA_LEAST, LOG_SIGMA_MOST)), SIGMA_LEAST)


def ratios(data, out, t):
    """Error over sigma of magnitude, log10 S-P and magnitude at the distance."""
    say = at_seconds(data, out, t)
    log_km = np.log10(np.clip(data["km"], 5, 300))
    off = data["magnitude"] - likeliest(say, log_km)
    free_sigma = np.exp(np.clip(say[:, 3], LOG_SIGMA_LEAST, LOG_SIGMA_MOST))
    return (np.abs(say[:, 0] - data["magnitude"]) / sigma_of(say[:, 1]),
            np.abs(say[:, 2] - np.log10(data["s_minus_p"])) / free_sigma,
            np.abs(off) / sigma_of(np.where(off > 0, say[:, 8], say[:, 7])))


def weighted_quantile(values, weights, q):
    order = np.argsort(values)
    share = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][np.searchsorted(share, q)])


def needed(sources, t, j):
    """Factor for 68 % at t seconds; j: which of ratios()."""
    values, weights = [], []
    for data, out, weight, share, teach_m, teach_sp in sources:
        ratio = ratios(data, out, t)[j]
        ok = (teach_sp if j == 1 else teach_m) & np.isfinite(ratio)
        values.append(ratio[ok])
        weights.append(share * weight[ok] / weight[ok].sum())
    return weighted_quantile(np.concatenate(values), np.concatenate(weights), 0.683)


def honest(nets, real, fold, sim):
    """Widen all networks in place. nets: {fold or "final": network}. @return notes for the file"""
    teach = real["amplitude"] & (real["magnitude"] >= LEAST_MAGNITUDE) & (fold >= 0)
    ones = np.ones(len(sim["x"]), bool)
    sources = ((real, unseen_outputs(nets, real, fold), real["weight"], 1 - SIM_SHARE, teach, real["observed"] & (fold >= 0)),
               (sim, outputs(nets["final"], sim), 10.0 ** (-0.1 * np.maximum(sim["magnitude"] - 5, 0)), SIM_SHARE, ones, ones))
    notes = {}
    for j, (name, columns) in enumerate((("magnitude", (1,)), ("log_sp", (3,)), ("magnitude_at_distance", (7, 8)))):
        factors = [needed(sources, t, j) for t in SECONDS]
        per_decade, at_one_s = np.polyfit(np.log10(SECONDS), np.log(factors), 1)
        print("sigma of %s: factors %s -> %.2f t^%.2f" % (name, " ".join("%.2f" % f for f in factors), np.exp(at_one_s),
                                                         per_decade / np.log(10)))
        notes["sigma_factor_" + name], notes["sigma_power_" + name] = np.exp(at_one_s), per_decade / np.log(10)
        for net in nets.values():
            for column in columns:
                net.widen(column, at_one_s, per_decade)
    return notes
