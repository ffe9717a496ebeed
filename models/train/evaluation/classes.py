"""What was said against what was there: calibration of the said probability, P called S and the other way, artefacts."""

import numpy as np

from . import counting

APART_S = 2.0  # S - P below this cannot be told apart within the tolerances


def reliability(judged, bins=10):
    """judged: [(probability, right)]. Bins with enough in them, and the expected calibration error."""
    if not judged:
        return None
    p, right = np.array([j[0] for j in judged]), np.array([j[1] for j in judged], float)
    edges = np.linspace(0, 1, bins + 1)
    which = np.clip(np.digitize(p, edges) - 1, 0, bins - 1)
    rows, error = [], 0.0
    for b in range(bins):
        mine = which == b
        if mine.any():
            rows.append({"said": float(p[mine].mean()), "right": float(right[mine].mean()), "n": int(mine.sum())})
            error += mine.mean() * abs(p[mine].mean() - right[mine].mean())
    return {
        "n": len(judged),
        "rows": rows,
        "error": float(error),
        "mean_said": float(p.mean()),
        "mean_right": float(right.mean()),
    }


def judged_picks(stations, speaks, noise=()):
    """P picks of labelled windows from 20 s before P to 0.5 s after it, and those in noise: (probability, right)."""
    out = []
    for one, key, station in stations:
        for p in station.p:
            out += [(q, abs(at - p) <= 0.5) for _, at, q in speaks(one, key) if p - 20 <= at <= p + 0.5]
    for one, key, station in noise:
        out += [(q, False) for q in counting.false_in(speaks(one, key), station.quiet)]
    return out


def near(picks, at, within_s=0.5):
    return any(abs(onset - at) <= within_s for _, onset, _ in picks)


def confusion(stations, p_of, s_of):
    """{truth: [said P, said S, neither, n]}; S only where S - P is over APART_S; noise in pieces of 20 s before P."""
    out = {"P": [0, 0, 0, 0], "S": [0, 0, 0, 0], "noise": [0, 0, 0, 0]}

    def add(row, p, s):
        row[0] += p
        row[1] += s
        row[2] += not p and not s
        row[3] += 1

    for one, key, station in stations:
        ps, ss = p_of(one, key), s_of(one, key)
        for at in station.p:
            if not any(0 < s - at <= APART_S for s in station.s):
                add(out["P"], near(ps, at), near(ss, at))
        for at in station.s:
            before = [p for p in station.p if p < at]
            if before and at - before[-1] > APART_S:
                add(out["S"], near(ps, at), near(ss, at))
        for span in station.quiet:
            add(out["noise"], bool(counting.false_in(ps, [span])), bool(counting.false_in(ss, [span])))
    return out


def too_early(stations, s_of):
    """Of the pairs over APART_S: how many have an S pick between P - 0.2 s and S - 0.5 s."""
    early = total = 0
    for one, key, station in stations:
        for at in station.s:
            before = [p for p in station.p if p < at]
            if before and at - before[-1] > APART_S:
                total += 1
                early += any(before[-1] - 0.2 <= onset <= at - 0.5 for _, onset, _ in s_of(one, key))
    return early, total


def spread(copies):
    """copies: {record: [(residual, probability) or None]}. Spread of time and probability over the copies of a record."""
    times, probabilities, away, whole, some = [], [], [], 0, 0
    for found in copies.values():
        said = [f for f in found if f is not None]
        some += bool(said)
        if len(said) == len(found):
            whole += 1
        if len(said) >= 2:
            t, p = np.array([f[0] for f in said]), np.array([f[1] for f in said])
            times.append(t.max() - t.min())
            probabilities.append(p.max() - p.min())
            away += list(np.abs(t - np.median(t)))
    if not times:
        return None
    at = lambda x, q: float(np.percentile(x, q))
    return {
        "records": len(copies),
        "said_in_some": some,
        "said_in_all": whole,
        "time_range_median_s": at(times, 50),
        "time_range_p95_s": at(times, 95),
        "time_from_median_p95_s": at(away, 95),
        "probability_range_median": at(probabilities, 50),
        "probability_range_p95": at(probabilities, 95),
    }
