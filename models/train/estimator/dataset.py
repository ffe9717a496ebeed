"""Rows and labels for training: simulated records in bulk, real ones from the developers' data, cached as arrays."""

import os
import pickle

import numpy as np

import cut
import records
import simulated

MISPICK_MEAN_S, MISPICK_SD_S = 0.03, 0.08  # onsets as a picker gives them, not as the simulator knows them
SEEN_LOG = 0.2  # a record counts when Pv of the first 3 s stands this far above its noise: else nobody had picked it
UNSEEN_SHARE = 0.1


def seen(x):
    return x[:30, 0].max() - x[0, cut.COLUMN["noise_pv"]] > SEEN_LOG


def simulated_rows(tools, count, seed, scratch, chunk=500):
    """dict of arrays: x [n, ROWS, INPUTS], magnitude, km, s_minus_p (from the pick), observed (bool)."""
    rng = np.random.default_rng(seed)
    x, labels = [], []
    for first in range(0, count, chunk):
        batch = simulated.make(os.path.join(tools, "tocsin-sim"), seed, first, min(chunk, count - first), scratch)
        for r in batch:
            ahead = int(rng.integers(0, 100_000_000))  # the onset falls anywhere within a motion step
            r["start_ns"] += ahead
            r["onset_ns"] += ahead
        shift = np.clip(rng.normal(MISPICK_MEAN_S, MISPICK_SD_S, len(batch)), -0.3, 0.5)
        for r, rows, late in zip(batch, cut.rows_of(batch, os.path.join(tools, "cut_estimator"), shift_s=shift), shift):
            if len(rows) == cut.ROWS and (seen(rows) or rng.random() < UNSEEN_SHARE):
                x.append(rows)
                labels.append((r["magnitude"], r["km"], max(r["s_minus_p"] - late, 0.1)))
    labels = np.array(labels, "f4")
    return {"x": np.array(x, "f4"), "magnitude": labels[:, 0], "km": labels[:, 1], "s_minus_p": labels[:, 2],
            "observed": np.ones(len(x), bool)}


def site_of(record):
    return record["station"].split("_")[1] if "_" in record["station"] else record["station"]


def weight_of(record, counts):
    """Records of one quake share its weight softly; sensors on one pier (NP.8040 has seven) are one station."""
    site = site_of(record)
    return counts[record["event"]] ** -0.5 / counts[record["event"], site]


def real_rows(tools, data):
    """The same for real records, with event, region, station, split, weight, gain and amplitude (bool: may teach M)."""
    found = list(records.everything(data, os.path.join(tools, "dump_mseed")))
    rows = cut.rows_of(found, os.path.join(tools, "cut_estimator"))
    keep = [i for i, x in enumerate(rows) if len(x) >= 100]
    counts = {}
    for i in keep:
        r = found[i]
        site = site_of(r)
        counts[r["event"], site] = counts.get((r["event"], site), 0) + 1
    for event, _ in list(counts):
        counts[event] = counts.get(event, 0) + 1
    x = np.stack([np.pad(rows[i], ((0, cut.ROWS - len(rows[i])), (0, 0)), "edge") for i in keep])
    pick = lambda key, kind: np.array([found[i].get(key) for i in keep], kind)
    amplitude = np.array([found[i]["gain_known"] and np.isfinite(found[i]["magnitude"]) and
                          "AV_CKT" not in found[i]["station"] for i in keep])  # 1 Hz geophone, driven past its range
    return {"x": x.astype("f4"), "length": np.array([len(rows[i]) for i in keep]), "magnitude": pick("magnitude", "f4"),
            "km": pick("km", "f4"), "s_minus_p": pick("s_minus_p", "f4"), "observed": pick("sp_observed", bool),
            "event": pick("event", object), "region": pick("region", object), "station": pick("station", object),
            "split": pick("split", object), "gain_known": pick("gain_known", bool), "amplitude": amplitude,
            "geophone": pick("geophone", bool),
            "clip_suspect": np.array([bool(found[i].get("clip_suspect")) for i in keep]),
            "weight": np.array([weight_of(found[i], counts) for i in keep], "f4")}


def teaching_weight(real):
    """Half of the draws teach the magnitude, half S-P alone."""
    both = np.where(real["amplitude"], 1.0, 0.0)
    weight = np.zeros(len(both))
    for mask in (both > 0, both == 0):
        if mask.any():
            weight[mask] = real["weight"][mask] / real["weight"][mask].sum()
    return weight


def cached(path, make):
    if os.path.exists(path):
        with open(path, "rb") as file:
            return pickle.load(file)
    value = make()
    with open(path, "wb") as file:
        pickle.dump(value, file, protocol=4)
    return value


def part(data, mask):
    return {key: value[mask] for key, value in data.items()}
