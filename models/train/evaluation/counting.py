"""Picks against labels. A pick is (said s, onset s, probability), a label an absolute time.

Recall R(t) by d: the share of labelled onsets with a pick no further than t from it that was said not later than d seconds
after it. A pick near a label that is marked late may have been said before it: it counts. Intervals: 95 %, bootstrap over
records.
"""

import numpy as np

DELAYS = (0.3, 0.5, 1.0, 2.0, 4.0)
TOLERANCES = (0.1, 0.3, 0.5)
SLACK_S = 1e-6


class Found:
    """Of one label: hit [delays, tolerances], residual and probability of the first pick within 0.5 s, when it was said."""

    __slots__ = ("hit", "residual", "after", "probability")

    def __init__(self, picks, at):
        """picks: (said, onset, probability[, number of the pick]); of words with one number the newest by a moment counts."""
        self.hit = np.zeros((len(DELAYS), len(TOLERANCES)), bool)
        self.residual, self.after, self.probability = np.nan, np.inf, np.nan
        near = [p for p in picks if abs(p[1] - at) <= 2.0 and p[0] - at <= DELAYS[-1] + SLACK_S]
        for i, d in enumerate(DELAYS):
            newest = {p[3] if len(p) > 3 else k: p[1] - at for k, p in enumerate(near) if p[0] - at <= d + SLACK_S}
            for miss in newest.values():
                self.hit[i] |= abs(miss) <= np.array(TOLERANCES) + SLACK_S
        for said, onset, probability in (p[:3] for p in near):
            if abs(onset - at) <= 0.5 + SLACK_S and said - at < self.after:
                self.after, self.residual, self.probability = said - at, onset - at, probability


def in_spans(at, spans):
    return any(a <= at < b for a, b in spans)


def false_in(picks, spans):
    """Picks whose onset lies in the spans: [probability]."""
    return [pick[2] for pick in picks if in_spans(pick[1], spans)]


def length(spans):
    return sum(b - a for a, b in spans)


def interval(values, n=1000, seed=1, of=np.mean):
    """95 % bootstrap interval of a statistic of the rows."""
    values = np.asarray(values)
    if len(values) < 2:
        return np.nan, np.nan
    draw = np.random.default_rng(seed).integers(0, len(values), (n, len(values)))
    return tuple(float(v) for v in np.percentile([of(values[d]) for d in draw], (2.5, 97.5)))


def rate_interval(count, hours):
    """Poisson, 95 %: Byar's approximation."""
    low = count * (1 - 1 / (9 * count) - 1.96 / (3 * count**0.5)) ** 3 if count else 0.0
    high = (count + 1) * (1 - 1 / (9 * (count + 1)) + 1.96 / (3 * (count + 1) ** 0.5)) ** 3
    return low / hours, high / hours


def mad(x):
    return 1.4826 * float(np.median(np.abs(x - np.median(x)))) if len(x) else np.nan


def order(values, share):
    """Percentile that may be infinite: the value at rank ceil(share n)."""
    values = np.sort(values)
    return float(values[min(int(np.ceil(share * len(values))) - 1, len(values) - 1)]) if len(values) else np.nan


def summary(found):
    """Figures of one set of labels."""
    if not found:
        return None
    hits = np.array([f.hit for f in found])
    residual = np.array([f.residual for f in found])
    residual = residual[np.isfinite(residual)]
    after = np.array([f.after for f in found])
    return {
        "n": len(found),
        "recall": hits.mean(0).tolist(),
        "interval": [interval(hits[:, i, 2]) for i in range(len(DELAYS))],
        "residual_median_ms": float(np.median(residual) * 1e3) if len(residual) else None,
        "residual_mad_ms": mad(residual) * 1e3 if len(residual) else None,
        "said_median_s": order(after, 0.5),
        "said_p90_s": order(after, 0.9),
    }


def rate(count, hours):
    low, high = rate_interval(count, hours) if hours else (np.nan, np.nan)
    return {"count": count, "hours": hours, "per_hour": count / hours if hours else None, "interval": (low, high)}
