"""Quick looks at a network in training: its picks on streams kept aside, from PyTorch's outputs; recall by delay, false picks.

The figures of the card are made elsewhere, from what the C runtime says (models/train/evaluate).

A pick counts with the time it had when it was emitted. Recall R(t) by d: the
share of labelled onsets with a pick emitted no later than d seconds after the
onset and no further than t from it. False picks: those in noise streams,
away from spans nobody can vouch for. Nothing here changes weights or chooses
thresholds on the streams it reports on (see thresholds()).
"""
import os
import sys

import numpy as np
import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pool as pool_module  # noqa: E402

RATE, STRIDE = 100, 5
DEAD_S, WARMUP_S = 1.0, 10.0
LOWER_BY, HELD_FRAMES, AGE_MAX_S, MOVED_ON_S = 1.5, 10, 4.0, 2.0  # core/picker.c
FORGET_S, AGAIN_SIGMA_S = 4.5, 0.5
DELAYS = (0.3, 0.5, 1.0, 2.0, 4.0)
TOLERANCES = (0.1, 0.3, 0.5)
LEAD_S = 30.0


# ---- the network ------------------------------------------------------------------------------------------------------

def masked(stream):
    rows = stream.rows.astype(np.float32, copy=True)
    rows[:, ~stream.live] = np.nan
    return rows


@torch.no_grad()
def outputs(net, features, rows, piece=60000):
    """Raw outputs [frames, 7] of the stream."""
    x = features(rows)
    n = len(x) // STRIDE * STRIDE
    lap, out = 2000, []
    for a in range(0, n, piece):
        lo = max(a - lap, 0)
        y = net(torch.from_numpy(x[lo:min(a + piece, n)].T[None].copy()))[0].T.numpy()
        out.append(y[(a - lo) // STRIDE:])
    return np.concatenate(out)


def probabilities(raw):
    e = np.exp(raw[:, :3] - raw[:, :3].max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def emit(raw, phase, threshold, hop_s=None, warmup_s=WARMUP_S, offset_s=0.0):
    """Picks [(emitted s, pick s, probability)] by the rules of core/picker.c. hop_s: the moment of emission is that of the
    block the frame is in, as in the daemon (blocks end at offset_s and every hop_s from it); without it the frame's own."""
    own, other = raw[:, 1 + phase].astype(np.float64), raw[:, 2 - phase].astype(np.float64)
    odds = own - np.logaddexp(raw[:, 0].astype(np.float64), other)
    level = np.log(threshold) - np.log1p(-threshold)
    index = np.arange(len(odds))
    broken = np.maximum.accumulate(np.where(odds < level - LOWER_BY, index, -1))
    due = np.flatnonzero((odds >= level) | (index - broken >= HELD_FRAMES))
    half = threshold / 2
    low = np.concatenate([[0], np.cumsum(odds < np.log(half) - np.log1p(-half))])
    out, said, last_out, last_pick, last_j = [], False, 0.0, 0.0, -1
    for j in due:
        now = ((j + 1) * STRIDE - 1) / RATE
        age = float(raw[j, 3 + 2 * phase])
        at = now - float(np.clip(age, 0, AGE_MAX_S))
        armed = not said or low[j + 1] > low[last_j + 1]
        vague = np.sqrt(2) * np.exp(min(float(raw[j, 4 + 2 * phase]), 1.0)) > AGAIN_SIGMA_S and now - last_pick < FORGET_S
        if said and (vague or now - last_out < DEAD_S or at - last_pick < DEAD_S or
                     not (armed or (age < AGE_MAX_S and at - last_pick > MOVED_ON_S))):
            continue
        said, last_out, last_pick, last_j = True, now, at, j
        if now >= warmup_s:
            shown = offset_s + np.ceil((now + 0.01 - offset_s) / hop_s - 1e-9) * hop_s if hop_s else now
            out.append((float(shown), at, float(1 / (1 + np.exp(-odds[j])))))
    return out


# ---- counting ---------------------------------------------------------------------------------------------------------

def with_lead(stream):
    """The record with at least LEAD_S before its first onset: its start is extended by mirrored noise from before it."""
    first = min(stream.p + stream.s)
    want = int(LEAD_S * RATE)
    quiet = stream.rows[:max(int(first) - 50, 0)]
    if first >= want or len(quiet) < 150:
        return stream
    need, parts, flip = want - int(first), [], True
    got = 0
    while got < need:
        parts.insert(0, quiet[::-1] if flip else quiet)
        got, flip = got + len(quiet), not flip
    lead = np.concatenate(parts)[-need:]
    one = pool_module.Stream(stream.group, stream.name, stream.station, stream.start, np.concatenate([lead, stream.rows]),
                             stream.live, stream.split, [m + need for m in stream.p], [m + need for m in stream.s],
                             [(a + need, b + need) for a, b in stream.unknown], stream.source)
    return one


def recall(picks, marks, delays=DELAYS, tolerances=TOLERANCES):
    """Per mark: hit [delays, tolerances], residual of the best pick within 0.5 s (nan none), first declaration after it."""
    rows = []
    for m in marks:
        at = m / RATE
        hit = np.zeros((len(delays), len(tolerances)), bool)
        best, when = np.nan, np.inf
        for now, pick, _ in picks:
            miss = pick - at
            if abs(miss) > 0.5 or now > at + delays[-1]:
                continue
            for i, d in enumerate(delays):
                if now <= at + d:
                    hit[i] |= np.abs(miss) <= np.array(tolerances) + 1e-9
            if now - at < when:
                when, best = now - at, miss
        rows.append((hit, best, when))
    return rows


def merge_spans(spans, n):
    flag = np.zeros(n + 1, bool)
    for a, b in spans:
        flag[max(int(a), 0):max(min(int(b), n), 0)] = True
    return flag


def false_picks(picks, stream):
    """(false picks, seconds watched) away from labels and unknown spans and after the warm-up."""
    n = len(stream.rows)
    spans = list(stream.unknown) + [(m - 100, m + 400) for m in stream.p + stream.s]
    flag = merge_spans(spans, n)
    flag[:int(WARMUP_S * RATE)] = True
    count = sum(1 for now, at, _ in picks if not flag[min(int(now * RATE), n)] and not flag[int(np.clip(at * RATE, 0, n))])
    return count, float((~flag[:n]).sum()) / RATE


def line(rows):
    """One table line from rows of recall()."""
    if not rows:
        return None
    hit = np.mean([r[0] for r in rows], 0)
    miss = np.array([r[1] for r in rows])
    miss = miss[np.isfinite(miss)]
    when = np.array([r[2] for r in rows])
    median = np.median(miss) if len(miss) else np.nan
    return {"n": len(rows), "recall": hit.tolist(), "median_ms": float(median * 1e3),
            "mad_ms": float(1482.6 * np.median(np.abs(miss - median))) if len(miss) else np.nan,
            "declared_s": float(np.median(when)), "declared_p90_s": float(np.percentile(when, 90, method="higher"))
            if len(when) else np.nan}


def text(row):
    cells = ["/".join("%.2f" % v for v in r) for r in row["recall"]]
    return " | ".join(cells) + " | %.2f / %.2f | %+.0f / %.0f" % (
        row["declared_s"], row["declared_p90_s"], row["median_ms"], row["mad_ms"])


class Held:
    """Outputs of one network on many streams, computed once, read at any threshold."""

    def __init__(self, net, features, streams, lead=True):
        self.streams, self.raw = [], []
        for one in streams:
            if lead and (one.p or one.s):
                one = with_lead(one)
            self.streams.append(one)
            self.raw.append(outputs(net, features, masked(one)))

    def picks(self, k, threshold, phase="P", hop_s=None):
        return emit(self.raw[k], "PS".index(phase), threshold, hop_s, offset_s=0.02 * (k % 5))

    def recall(self, threshold, phase="P", hop_s=None):
        rows = []
        for k, one in enumerate(self.streams):
            rows += recall(self.picks(k, threshold, phase, hop_s), one.p if phase == "P" else one.s)
        return rows

    def false_rate(self, threshold, phase="P"):
        count, watched = 0, 0.0
        for k, one in enumerate(self.streams):
            c, w = false_picks(self.picks(k, threshold, phase), one)
            count, watched = count + c, watched + w
        return count, watched / 3600

    def s_as_p(self, threshold):
        """Share of labelled S (more than 2 s after P) that a P pick names."""
        named = total = 0
        for k, one in enumerate(self.streams):
            picks = self.picks(k, threshold)
            for m in one.s:
                before = [q for q in one.p if q < m]
                if not before or m - before[-1] <= 200:
                    continue
                total += 1
                named += any(abs(at - m / RATE) <= 0.5 for _, at, _ in picks)
        return named, total


    def s_too_early(self, threshold):
        """Of the onset pairs more than 2 s apart: how many have an S pick between P - 0.2 s and S - 0.5 s."""
        early = total = 0
        for k, one in enumerate(self.streams):
            picks = self.picks(k, threshold, "S")
            for m in one.s:
                before = [q for q in one.p if q < m]
                if before and m - before[-1] > 200:
                    total += 1
                    early += any(before[-1] / RATE - 0.2 <= at <= m / RATE - 0.5 for _, at, _ in picks)
        return early, total


def thresholds(noise, rates, phase="P"):
    """For each wanted rate per hour the lowest threshold with no more false picks on the calibration noise."""
    grid = 1 - np.geomspace(0.6, 0.004, 60)
    table = [(t,) + noise.false_rate(t, phase) for t in grid]
    out = {}
    for rate in rates:
        good = [t for t, c, h in table if c / max(h, 1e-9) <= rate]
        out[rate] = float(good[0]) if good else float(grid[-1])
    return out
