"""Training crops: a piece of a stream, made harder, with its targets.

Everything happens on raw counts, before the features, so that the network
sees what the runtime would compute from such a signal. Each crop is WARM
samples to settle the features (or none: cold start) and LENGTH samples that
the network gets. Targets follow the runtime's outputs (see targets()).
"""
import numpy as np
from scipy.signal import butter, sosfilt, sosfilt_zi

RATE = 100
LENGTH = 2400
WARM = 1200
STRIDE = 5
FRAMES = LENGTH // STRIDE
UNSCORED_S = 4.0
RECENT_S = {1: 3.0, 2: 2.0}  # how long a P, an S is "recent"
FORGET_S = {1: 4.5, 2: 4.0}  # from when on it is noise again; between the two the network may say what it likes
BAND = butter(2, [2, 20], "bandpass", fs=RATE, output="sos")
IGNORE, NOT_S, NOT_P = -1, -2, -3


class Crop:
    """rows [n, 3] with n = warm + LENGTH; onsets and unknown spans in samples of rows; warm in samples."""

    def __init__(self, rows, live, warm, p, s, unknown):
        self.rows, self.live, self.warm = rows, live, warm
        self.p, self.s, self.unknown = p, s, unknown
        self.timed = True  # the onsets are good enough to learn their time from


def cut(stream, start, warm, stretch):
    """LENGTH + warm output samples that begin at `start` (in the stream's samples), time-stretched by `stretch`."""
    n = warm + LENGTH
    a, m = int(start), int(np.ceil(n * stretch)) + 2
    if a < 0 or a + m > len(stream.rows):
        return None
    x = stream.rows[a:a + m]
    if stretch != 1:
        at = np.arange(n) * stretch
        i = at.astype(int)
        w = (at - i)[:, None].astype(np.float32)
        x = x[i] * (1 - w) + x[i + 1] * w
    else:
        x = x[:n]
    scale = lambda marks: [(m - a) / stretch for m in marks if a - 400 <= m < a + n * stretch]
    spans = [((u - a) / stretch, (v - a) / stretch) for u, v in stream.unknown if v > a and u < a + n * stretch]
    return Crop(x.astype(np.float32, copy=True), stream.live.copy(), warm, scale(stream.p), scale(stream.s), spans)


def band_level(rows, live):
    x = rows[:, live].astype(np.float64)
    return float(np.sqrt(np.mean(sosfilt(BAND, x - x[:1], axis=0)[60:] ** 2))) if live.any() and len(x) > 120 else 0.0


def add_noise(crop, other, rng):
    """Mix `other` in at 0.15..8 times the level before the first onset; arrivals it buries become unknown."""
    first = int(min(crop.p + crop.s + [len(crop.rows)]))
    quiet = crop.rows[:max(first - 20, 200)]
    base, extra = band_level(quiet, crop.live), band_level(other.rows, other.live)
    if base <= 0 or extra <= 0:
        return
    both = crop.live & other.live
    if not both.any():
        return
    ratio = np.exp(rng.uniform(np.log(0.15), np.log(8.0)))
    noise = np.where(both, (other.rows - other.rows.mean(0)) * (ratio * base / extra), 0)
    total = base * np.sqrt(1 + ratio * ratio)
    for marks in (crop.p, crop.s):
        for m in list(marks):
            i = int(m)
            if i < 0 or i + 60 > len(crop.rows):
                continue
            piece = crop.rows[max(i - 150, 0):i + 150]
            before = noise[max(i - 150, 0):i + 1]
            if len(piece) < 200 or len(before) < 60:
                continue
            y = sosfilt(BAND, (piece - piece[:1])[:, crop.live].astype(np.float64), axis=0)
            signal = np.sqrt(np.mean(y[-150:] ** 2))
            local = max(total, float(np.sqrt(np.mean(sosfilt(BAND, before[:, crop.live], axis=0) ** 2))))
            if signal / local < 1.1:
                marks.remove(m)
                crop.unknown.append((m - 60, m + 500))
    crop.rows = (crop.rows + noise).astype(np.float32)
    crop.p += [m for m in other.p]
    crop.s += [m for m in other.s]
    crop.unknown += other.unknown


def lay_over(crop, quake, at, rng):
    """A simulated quake (rows, sample of P, sample of S) on this piece of ground, P at sample `at` of it."""
    wave, p, s = quake
    base = band_level(crop.rows, crop.live)
    first = band_level(wave[p - 10:p + 120], crop.live)
    if base <= 0 or first <= 0:
        return
    faint = rng.random() < 0.65
    ratio = np.exp(rng.uniform(np.log(0.8), np.log(8.0))) if faint else np.exp(rng.uniform(np.log(8.0), np.log(400.0)))
    start = int(at) - p
    n = min(len(wave), len(crop.rows) - start)
    if start < 0 or n < p + 60:
        return
    signal = wave[:n] * (ratio * base / first)
    signal = signal * np.where(rng.random(3) < 0.5, 1, rng.uniform(0.5, 1.6, 3)).astype(np.float32)
    crop.rows[start:start + n] += np.where(crop.live, signal, 0).astype(np.float32)
    if ratio >= 1.1:
        crop.p.append(float(at))
        crop.timed = True
    else:
        crop.unknown.append((at - 60, at + 500))
    if s < n - 20:
        loud = band_level(signal[s - 10:s + 150], crop.live) / max(base, band_level(signal[max(s - 160, 0):s - 10], crop.live))
        if loud >= 1.3:
            crop.s.append(float(start + s))
        else:
            crop.unknown.append((start + s - 30, start + s + 400))


def low_pass(crop, rng):
    corner = np.exp(rng.uniform(np.log(6), np.log(40)))
    sos = butter(int(rng.choice([1, 2])) * 2, corner, fs=RATE, output="sos")
    zi = sosfilt_zi(sos)[:, :, None] * crop.rows[0].astype(np.float64)
    crop.rows = sosfilt(sos, crop.rows.astype(np.float64), axis=0, zi=zi)[0].astype(np.float32)


def peaking(hz, quality, gain):
    """Second-order section that lifts or lowers a band by `gain` and leaves the rest (Bristow-Johnson's peaking equaliser)."""
    w, a = 2 * np.pi * hz / RATE, np.sqrt(gain)
    alpha, c = np.sin(w) / (2 * quality), np.cos(w)
    b0, b1, b2, a0, a1, a2 = 1 + alpha * a, -2 * c, 1 - alpha * a, 1 + alpha / a, -2 * c, 1 - alpha / a
    return np.array([[b0 / a0, b1 / a0, b2 / a0, 1.0, a1 / a0, a2 / a0]])


def colour(crop, rng):
    """Another site, another sensor: one to three bands stronger or weaker, the same for all that is in the crop."""
    y = crop.rows.astype(np.float64)
    for _ in range(rng.integers(1, 4)):
        sos = peaking(np.exp(rng.uniform(np.log(0.7), np.log(30))), rng.uniform(0.5, 2.5), 10 ** rng.uniform(-0.7, 0.7))
        y = sosfilt(sos, y, axis=0, zi=sosfilt_zi(sos)[:, :, None] * y[0])[0]
    crop.rows = y.astype(np.float32)


def breathe(crop, rng):
    """Wind and traffic: the strength of all motion comes and goes over seconds."""
    n = len(crop.rows)
    knots = max(int(n / (RATE * np.exp(rng.uniform(np.log(2.5), np.log(15))))), 1) + 2
    curve = np.interp(np.arange(n), np.linspace(0, n - 1, knots), rng.standard_normal(knots) * rng.uniform(0.15, 0.5))
    mean = crop.rows.mean(0)
    crop.rows = ((crop.rows - mean) * np.exp(curve)[:, None] + mean).astype(np.float32)


def emergent(crop, rng):
    """The first second or so of a P grows instead of starting: what the path and a slow rupture do to weak onsets."""
    if not crop.p:
        return
    first = int(min(crop.p))
    width = int(np.exp(rng.uniform(np.log(0.2), np.log(1.5))) * RATE)
    if first < 400 or first + width > len(crop.rows):
        return
    copy = crop.rows[first - 300 - width:first - 300] if first > 300 + width + 10 else None
    if copy is None or any(first - 300 - width - 50 < m < first for m in crop.s):
        return
    ramp = (np.arange(width) / width)[:, None] ** rng.uniform(0.5, 1.2)
    offset = crop.rows[first - 5:first].mean(0) - copy[:5].mean(0)
    floor = 0.15  # the label stays where some of the P is left
    gain = floor + (1 - floor) * ramp
    piece = crop.rows[first:first + width]
    crop.rows[first:first + width] = gain * piece + np.sqrt(np.maximum(1 - gain ** 2, 0)) * (copy + offset)


def noise_rms(crop):
    quiet = crop.rows[:max(int(min(crop.p + crop.s + [len(crop.rows)])) - 20, 200)]
    return np.maximum(np.std(quiet - quiet.mean(0), axis=0), 1e-9)


def some_components(crop, rng):
    which = np.flatnonzero(crop.live)
    if len(which) > 1 and rng.random() < 0.6:
        which = rng.choice(which, 1)
    return which


def spikes(crop, rng):
    rms, n = noise_rms(crop), len(crop.rows)
    for _ in range(rng.integers(1, 4)):
        i, width = rng.integers(0, n - 5), rng.integers(1, 4)
        for c in some_components(crop, rng):
            crop.rows[i:i + width, c] += rng.choice([-1, 1]) * rms[c] * np.exp(rng.uniform(np.log(8), np.log(300)))


def step(crop, rng):
    rms, i = noise_rms(crop), rng.integers(0, len(crop.rows) - 100)
    tail = np.ones(len(crop.rows) - i)
    if rng.random() < 0.4:
        tail = np.exp(-np.arange(len(tail)) / (RATE * np.exp(rng.uniform(np.log(0.3), np.log(30)))))
    if rng.random() < 0.35:
        tail[int(rng.uniform(0.2, 3) * RATE):] = 0  # a square pulse
    for c in some_components(crop, rng):
        crop.rows[i:, c] += tail * rng.choice([-1, 1]) * rms[c] * np.exp(rng.uniform(np.log(5), np.log(500)))


def ring(crop, rng):
    """A calibration pulse: a sine burst or a damped ring on one or all components."""
    rms, n = noise_rms(crop), int(np.exp(rng.uniform(np.log(0.3), np.log(8))) * RATE)
    i = rng.integers(0, len(crop.rows) - 50)
    n = min(n, len(crop.rows) - i)
    t, f = np.arange(n) / RATE, np.exp(rng.uniform(np.log(0.5), np.log(25)))
    y = np.sin(2 * np.pi * f * t) * (np.exp(-t * rng.uniform(0.2, 4)) if rng.random() < 0.5 else 1)
    for c in some_components(crop, rng):
        crop.rows[i:i + n, c] += y * rms[c] * np.exp(rng.uniform(np.log(5), np.log(200)))


def hum(crop, rng):
    f = rng.uniform(1, 45)
    y = np.sin(2 * np.pi * f * np.arange(len(crop.rows)) / RATE + rng.uniform(0, 6.28))
    crop.rows += (y[:, None] * noise_rms(crop) * crop.live * np.exp(rng.uniform(np.log(0.2), np.log(3)))).astype(np.float32)


def gain_step(crop, rng):
    """The digitiser's range changes: everything after is larger or smaller, offset included."""
    i = rng.integers(0, len(crop.rows) - 100)
    crop.rows[i:] *= np.float32(np.exp(rng.uniform(np.log(0.1), np.log(10))))
    crop.unknown += [(i - 10, i + 300)] if any(i - 50 < m < i + 300 for m in crop.p + crop.s) else []


def dropout(crop, rng):
    """One or all components stuck for a while (short gaps are bridged by the runtime, long ones restart it)."""
    i, n = rng.integers(0, len(crop.rows) - 100), int(np.exp(rng.uniform(np.log(0.05), np.log(3))) * RATE)
    kind = rng.integers(3)
    n = min(n, len(crop.rows) - i - 1)
    for c in some_components(crop, rng):
        a, b = crop.rows[i, c], crop.rows[i + n, c]
        crop.rows[i:i + n, c] = 0 if kind == 0 else a if kind == 1 else np.linspace(a, b, n)
    crop.unknown += [(i - 10, i + n + 250)] if any(i - 50 < m < i + n + 100 for m in crop.p + crop.s) else []


def clip(crop, rng):
    level = np.abs(crop.rows - np.median(crop.rows, axis=0)).max() * rng.uniform(0.05, 0.6)
    rms = noise_rms(crop).max()
    if level > 6 * rms:
        crop.rows = np.clip(crop.rows, -level, level).astype(np.float32)


def coarse(crop, rng):
    step_size = float(noise_rms(crop)[crop.live].mean()) * np.exp(rng.uniform(np.log(0.3), np.log(4)))
    crop.rows = (np.round(crop.rows / step_size) * step_size).astype(np.float32)


def drop_components(crop, rng):
    u, left = rng.random(), crop.live.copy()
    if u < 0.20:
        left &= np.array([False, False, True])
    elif u < 0.26:
        left[rng.integers(3)] = False
    if left.any():
        crop.live = left


def geometry(crop, rng):
    crop.rows *= rng.choice([-1, 1], 3).astype(np.float32)
    if rng.random() < 0.5:
        crop.rows[:, :2] = crop.rows[:, 1::-1].copy()
        crop.live[:2] = crop.live[1::-1].copy()
    elif crop.live.all() and rng.random() < 0.5:
        a = rng.uniform(0, 2 * np.pi)
        e, n = crop.rows[:, 0].copy(), crop.rows[:, 1].copy()
        crop.rows[:, 0], crop.rows[:, 1] = np.cos(a) * e + np.sin(a) * n, np.cos(a) * n - np.sin(a) * e


def spoil(crop, rng, mix=None, real=True):
    """All of it in the order of nature: ground, sensor, digitiser, wire."""
    if mix is not None:
        add_noise(crop, mix, rng)
    drop_components(crop, rng)
    if rng.random() < 0.4:
        colour(crop, rng)
    if rng.random() < 0.2:
        breathe(crop, rng)
    if rng.random() < 0.22:
        low_pass(crop, rng)
    if real and rng.random() < 0.06:
        emergent(crop, rng)
    for chance, work in ((0.05, hum), (0.06, ring), (0.12, step), (0.12, spikes), (0.04, gain_step), (0.06, dropout),
                         (0.10, coarse), (0.04, clip)):
        if rng.random() < chance:
            work(crop, rng)
    geometry(crop, rng)
    crop.rows[:, ~crop.live] = np.nan  # what the runtime says of an absent component


def targets(p, s, unknown, warm, frames=FRAMES, unscored_s=UNSCORED_S):
    """Per frame j, whose time is that of the last sample it sees, 5 (j + 1) - 1: class 0 noise, 1 P, 2 S, -1 not scored,
    -2 anything but S (3 to 4.5 s after a P), -3 anything but P (2 to 4 s after an S); ages of the last P and S."""
    now = ((np.arange(frames) + 1) * STRIDE - 1) / RATE
    kind = np.zeros(frames, np.int8)
    age = np.full((2, frames), np.nan, np.float32)
    for u, v in unknown:
        kind[(now > (u - warm) / RATE) & (now <= (v - warm) / RATE)] = IGNORE
    both = sorted([((m - warm) / RATE, 1) for m in p] + [((m - warm) / RATE, 2) for m in s])
    for at, phase in both:
        after = (now > at + RECENT_S[phase]) & (now <= at + FORGET_S[phase])
        kind[after & (kind != IGNORE)] = NOT_S if phase == 1 else NOT_P
    for at, phase in both:
        on = (now > at) & (now <= at + RECENT_S[phase])
        kind[on] = phase
        age[:, on] = np.nan
        age[phase - 1, on] = now[on] - at
    kind[now <= unscored_s] = IGNORE
    age[:, kind < 0] = np.nan
    return kind, age
