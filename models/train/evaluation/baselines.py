"""What is there already, on the same rows: recursive STA/LTA with AIC, and PhaseNet streamed over the last 30 s.

Rows come out of the runtime (cut_windows), so that the resampler is the same for everyone. Settings are those of
published use: 2 to 20 Hz, 0.5 s over 10 s, time by the least Akaike criterion (Maeda 1985); PhaseNet (Zhu and Beroza
2019) with its published weights, every 0.5 s, peaks in the newest 3 s (4 s with four windows in a row).
"""

import numpy as np

from . import paths

RATE = 100
WARMUP_S = 10.0


def rows_of(folder):
    """{key: [(start s, rows [n, 3], live [3])]} of a replay directory."""
    out = {}
    for key, start, rows, live in paths.picker_module("runtime").read_set(folder):
        out.setdefault(key, []).append((start, rows, live))
    return out


def aic(x):
    """Index of the least Akaike criterion of two white segments."""
    n = len(x)
    k = np.arange(8, n - 8)
    c1, c2 = np.cumsum(x), np.cumsum(x * x)
    left = c2[k - 1] / k - (c1[k - 1] / k) ** 2
    m = n - k
    right = (c2[-1] - c2[k - 1]) / m - ((c1[-1] - c1[k - 1]) / m) ** 2
    return int(k[np.argmin(k * np.log(np.maximum(left, 1e-30)) + m * np.log(np.maximum(right, 1e-30)))])


class ShortLong:
    """The vertical's STA/LTA of one piece, computed once and read at any threshold."""

    def __init__(self, start, rows, live):
        from scipy.signal import butter, lfilter, sosfilt

        c = 2 if live[2] else int(np.argmax(live))
        x = rows[:, c].astype(np.float64)
        self.start = start
        self.x = sosfilt(butter(4, [2, 20], "bandpass", fs=RATE, output="sos"), x - x[:100].mean())
        power, n = self.x * self.x, np.arange(1, len(x) + 1)
        a, b = 1 / (0.5 * RATE), 1 / (10.0 * RATE)
        short = lfilter([a], [1, a - 1], power) / (1 - (1 - a) ** n)
        self.ratio = short / np.maximum(lfilter([b], [1, b - 1], power) / (1 - (1 - b) ** n), 1e-30)

    def picks(self, on, off=1.5):
        """Declared 0.1 s after the trigger; armed again below `off` or after 5 s."""
        out, n, i = [], len(self.x), int(WARMUP_S * RATE)
        high, low = self.ratio >= on, self.ratio < off
        while i < n:
            step = int(np.argmax(high[i:]))
            if not high[i + step]:
                break
            i += step
            end, lo = min(i + 10, n - 1), max(i - 200, 0)
            out.append(
                (self.start + (end + 1) / RATE, self.start + (lo + aic(self.x[lo : end + 1])) / RATE, float(self.ratio[i]))
            )
            stop = min(i + 500, n)
            calm = np.flatnonzero(low[i:stop])
            i = (i + int(calm[0]) if len(calm) else stop) + 1
        return out


def phasenet(folder):
    return paths.picker_module("teacher").PhaseNet(folder)


def with_noise_before(rows, first):
    """Mirrored noise put before rows so that sample `first` has a whole window behind it. @return rows, how many were put"""
    need, quiet = 3000 - first, rows[: max(first + 150, 150)]  # a span begins 2 s before its P
    if need <= 0:
        return rows, 0
    lead, flip = quiet[::-1], False
    while len(lead) < need:
        lead, flip = np.concatenate([quiet[::-1] if flip else quiet, lead]), not flip
    return np.concatenate([lead[-need:], rows]), need


def phasenet_windows(net, start, rows, live, threshold, span=None, phase=0, hop=50, batch=64, newest_s=4.0):
    """[(end sample, [(P peak, probability)])] of the last 30 s every 0.5 s; span: (from, to) in samples, None all."""
    import torch

    peaks = paths.picker_module("teacher").peaks
    first, last = span or (3000, len(rows))
    rows, put = with_noise_before(np.where(np.isnan(rows), 0, rows) * live, first)
    ends = np.arange(first + put + phase, min(last + put, len(rows)) + 1, hop)
    out, oldest = [], 3000 - int(newest_s * RATE)
    for b in range(0, len(ends), batch):
        part = ends[b : b + batch]
        x = np.stack([rows[e - 3000 : e] for e in part]).astype(np.float64)
        x = (x - x.mean(1, keepdims=True)).transpose(0, 2, 1).astype(np.float32)
        with torch.no_grad():
            p = net.run(torch.from_numpy(x))[:, 1].numpy()
        for k, e in enumerate(part):
            at = int(e) - put
            out.append((at, [(at - 3000 + i, float(p[k, i])) for i in peaks(p[k], threshold) if i >= oldest]))
    return out


def phasenet_picks(seen, confirm, start):
    """A pick is said once, when `confirm` windows in a row have seen it."""
    out, given = [], []
    for k in range(confirm - 1, len(seen)):
        end, found = seen[k]
        newest = end - (300 if confirm < 4 else 400)
        for i in found:
            if i < newest or any(abs(i - j) < 100 for j in given):
                continue
            if all(any(abs(i - j) <= 50 for j in old) for _, old in seen[k - confirm + 1 : k]):
                given = given[-20:] + [i]
                out.append((start + end / RATE, start + i / RATE, 1.0))
    return out


def confirmer(net, cache):
    """Whether PhaseNet, given 15 s on both sides, stands by an automatic P label to 0.3 s: (folder, key, at) -> bool."""
    import torch

    def stands(folder, key, at):
        if folder not in cache:
            cache[folder] = rows_of(folder)
        for start, rows, live in cache[folder].get(key, []):
            i = int(round((at - start) * RATE))
            if 0 <= i < len(rows):
                lo = int(np.clip(i - 1500, 0, max(len(rows) - 3000, 0)))
                x = (np.where(np.isnan(rows[lo : lo + 3000]), 0, rows[lo : lo + 3000]) * live).astype(np.float64)
                if len(x) < 3000:
                    return False
                x = (x - x.mean(0)).T[None].astype(np.float32)
                with torch.no_grad():
                    p = net.run(torch.from_numpy(x))[0, 1].numpy()
                return bool(p[max(i - lo - 30, 0) : i - lo + 31].max(initial=0) >= 0.2)
        return False

    return stands
