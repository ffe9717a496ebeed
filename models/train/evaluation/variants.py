"""The same records in other forms: fewer components, other rates, a cold start, a gap, noise on top, other packets."""

import numpy as np

from . import mseed, sets

RATES = (40, 50, 200, 250)
RATIOS = (10, 5, 3, 2)
SHIFTS_MS = tuple(10 * k for k in range(10)) + (2.5, 5.0, 7.5)
PACKETS_S = (0.05, 0.37, 0.5, 1.0)


def three(windows):
    return [w for w in windows if len(w.waves) == 3]


def vertical(windows):
    return [w.like({"Z": w.waves["Z"]}) for w in three(windows)]


def two(windows):
    return [w.like({c: w.waves[c] for c in ("Z", "EN"[k % 2])}) for k, w in enumerate(three(windows))]


def resampled(windows, rate):
    from scipy.signal import resample_poly

    out = []
    for w in windows:
        up, down = int(rate), int(w.rate)
        part = np.gcd(up, down)
        turn = lambda x: (resample_poly(x - x.mean(dtype="f8"), up // part, down // part) + x.mean(dtype="f8")).astype("f4")
        out.append(w.like({c: turn(x) for c, x in w.waves.items()}, float(rate), rate / w.rate))
    return out


def cold(windows, before_s):
    """Data that begin so long before P."""
    out = []
    for w in windows:
        a = max(int(w.p - before_s * w.rate), 0)
        out.append(w.like({c: x[a:] for c, x in w.waves.items()}, shift=-a))
    return out


def accelerometers(windows):
    return [w for w in windows if w.kind == "N"]


class Gappy:
    """A window of which the samples a..b are never sent."""

    def __init__(self, window, gap_s, before_s):
        self.window = window
        self.b = int(window.p - before_s * window.rate)
        self.a = int(self.b - gap_s * window.rate)


def write_gappy(name, windows, work, gap_s, before_s):
    """As sets.write_windows(), with a gap that ends `before_s` before P."""
    import os

    one = sets.Set(name, os.path.join(work, name))
    folder = mseed.Folder(one.folder)
    for k, w in enumerate(windows):
        code, start = folder.station(), sets.START_NS + k * 37 % 100 * 10_000_000
        b = int(w.p - before_s * w.rate)
        a = max(int(b - gap_s * w.rate), 1)
        for c in sorted(w.waves):
            key = folder.channel(code, c, w.rate, start, w.waves[c][:a], [(0, 0.1)], w.kind)
            band = key.rsplit(".", 1)[1]
            folder.more(
                ("XX", code, "", band + c), w.rate, start + int(round(b * mseed.NS / w.rate)), w.waves[c][b:], [(0, 0.1)]
            )
        at = lambda m: start / mseed.NS + m / w.rate
        one.stations[key] = sets.Station(w.group, w.split, [at(w.p)], [at(w.s)] if w.s is not None else [], (), w.source)
    folder.close()
    return one


def band(x, rate):
    from scipy.signal import butter, sosfilt

    return sosfilt(butter(4, [2, min(20, 0.45 * rate)], "bandpass", fs=rate, output="sos"), x - x[:100].mean())


def noisy(windows, noise, ratio, seed=7):
    """Held-out noise on top: the vertical's RMS from 2 to 20 Hz over the 2 s after P is `ratio` times that of the noise.

    noise: [rows [n, 3]] at 100 Hz, all components live. The same pieces at every ratio.
    """
    rng, out = np.random.default_rng(seed), []
    for w in windows:
        rows = noise[int(rng.integers(len(noise)))]
        n = len(w.waves["Z"])
        a = int(rng.integers(0, max(len(rows) - n, 1)))
        piece = rows[a : a + n].astype("f8")
        if len(piece) < n or w.rate != 100 or len(w.waves) < 3:
            continue
        p = int(w.p)
        signal = np.std(band(w.waves["Z"].astype("f8"), 100)[p : p + 200])
        scale = signal / ratio / max(np.std(band(piece[:, 2], 100)[p - 500 : p]), 1e-30)
        mixed = {c: (w.waves[c] + scale * (piece[:, i] - piece[:, i].mean())).astype("f4") for i, c in enumerate("ENZ")}
        out.append(w.like(mixed))
    return out


ARTEFACTS = (
    "spike, 1 sample, Z",
    "spike, 3 samples, all",
    "step, Z",
    "square pulse 1 s, all",
    "sine 5 Hz 1 s, Z",
    "zeros for 1 s, all",
    "noise burst 0.3 s, all",
)
ARTEFACT_AT_S = 45.0


def spoil(rows, kind, at, size, rng):
    """One artefact at row `at`, `size` times the noise of each component."""
    rms = np.std(rows, axis=0) * size
    z = np.array([0, 0, 1.0])
    if kind.startswith("spike, 1"):
        rows[at] += rms * z
    elif kind.startswith("spike"):
        rows[at : at + 3] += rms
    elif kind.startswith("step"):
        rows[at:] += rms * z
    elif kind.startswith("square"):
        rows[at : at + 100] += rms
    elif kind.startswith("sine"):
        rows[at : at + 100] += np.sin(2 * np.pi * 5 * np.arange(100) / 100)[:, None] * rms * z
    elif kind.startswith("zeros"):
        rows[at : at + 100] = 0
    else:
        rows[at : at + 30] += rng.standard_normal((30, 3)) * rms


def artefacts(noise, each, seed=5):
    """[(kind, record)]: quiet noise with an artefact of 10 to 200 times its RMS at 45 s; kind None: the same noise clean."""
    rng, out = np.random.default_rng(seed), []
    long = [rows for rows in noise if len(rows) > 7000]
    window = lambda rows: sets.Window(
        "artefact", {c: rows[:, i].astype("f4") for i, c in enumerate("ENZ")}, 100.0, ARTEFACT_AT_S * 100, None, "held"
    )
    for kind in ARTEFACTS:
        for k in range(each):
            rows = long[k % len(long)]
            a = int(rng.integers(0, len(rows) - 6000))
            clean = rows[a : a + 5500].astype("f8")
            dirty = clean.copy()
            spoil(dirty, kind, int(ARTEFACT_AT_S * 100), float(np.exp(rng.uniform(np.log(10), np.log(200)))), rng)
            out += [(None, window(clean)), (kind, window(dirty))]
    return out
