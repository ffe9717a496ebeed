"""Arrivals of every class as rows at 100 Hz with a pick, and what core/domain.c measures on them.

Local quakes and noise are real (the picker's pool, its splits) and simulated quakes of tests/sim; teleseisms, blasts and
artefacts of the instrument are made here or by tests/sim and added to real noise. One example: NOISE rows before
the pick, then up to AFTER rows; measured at every end of ENDS.
"""
import os
import subprocess
import sys

import numpy as np
from scipy.signal import butter, lfilter, sosfilt

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
sys.path.insert(0, os.path.join(ROOT, "models", "train", "picker"))
sys.path.insert(0, os.path.join(ROOT, "models", "train", "estimator"))
import pool as pool_module  # noqa: E402
import simulated  # noqa: E402

RATE = 100
NOISE, AFTER = 300, 400
MEASURES = 28
ENDS = (5, 10, 15, 20, 30, 40, 60, 80, 100, 150, 200, 300, 400)
CLASSES = ("local quake", "teleseism", "blast", "noise", "calibration")
LOCAL, TELESEISM, BLAST, NOISY, CALIBRATION = range(5)
BAND = butter(2, [2, 20], "bandpass", fs=RATE, output="sos")
FAR = butter(2, [0.7, 2], "bandpass", fs=RATE, output="sos")


class Cutter:
    """A running cut_domain."""

    def __init__(self, program):
        self.pipe = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, rows, onset, ends):
        """@return [ends, MEASURES + 3]"""
        rows = np.ascontiguousarray(rows, "<f4")
        head = np.array([len(rows), onset, len(ends), *ends], "<u4")
        self.pipe.stdin.write(head.tobytes() + rows.tobytes())
        self.pipe.stdin.flush()
        want = len(ends) * (MEASURES + 3) * 4
        got = self.pipe.stdout.read(want)
        if len(got) != want:
            raise RuntimeError("cut_domain ended early")
        return np.frombuffer(got, "<f4").reshape(len(ends), -1)

    def close(self):
        self.pipe.stdin.close()
        self.pipe.wait()


# ---- where to cut -----------------------------------------------------------------------------------------------------

def clear(stream, at, margin=600):
    """No labelled arrival and nothing unvouched from a margin before until 5 s after."""
    a, b = at - margin, at + 500
    return (all(not a < m < b for m in stream.p + stream.s) and all(y < a or x > b for x, y in stream.unknown))


def triggers(rows, live, on):
    """Starts of recursive STA/LTA (0.5 s over 10 s, 2-20 Hz), not in the first 15 s."""
    ratio = pool_module.short_long(rows, live)
    above = ratio > on
    starts = np.flatnonzero(above[1:] & ~above[:-1]) + 1
    out, last = [], -10 ** 9
    for i in starts:
        if i > 1500 and i - last > 300:
            out.append(int(i))
            last = i
    return out


def piece(stream, onset):
    """Rows from NOISE before the onset (or the start) to AFTER behind it, missing components NaN. None: too near an edge."""
    a, b = max(onset - NOISE, 0), onset + AFTER
    if onset - a < 150 or b > len(stream.rows):
        return None
    rows = stream.rows[a:b].astype("f8")
    rows[:, ~np.asarray(stream.live, bool)] = np.nan
    return rows, onset - a


def is_noise_set(s):
    return s.group.startswith(("noise", "ridgecrest", "openeew", "pr", "pleasant"))


def picked(rows, onset):
    """Would a picker of 2-20 Hz see anything within 2 s?"""
    live = np.isfinite(rows).all(0)
    seen = np.mean(sosfilt(BAND, rows[:, live] - rows[0, live], axis=0) ** 2, axis=1)
    smooth = np.convolve(seen, np.ones(20) / 20)[:len(seen)]
    return smooth[onset:onset + 200].max() > 3 * np.mean(smooth[150:onset])


def seen_at(rows, at, rng):
    """Where a picker of 2-20 Hz would put a far P that begins at sample `at`; None: it would see nothing."""
    live = np.isfinite(rows).all(0)
    seen = np.mean(sosfilt(BAND, rows[:, live] - rows[0, live], axis=0) ** 2, axis=1)
    smooth = np.convolve(seen, np.ones(20) / 20)[:len(seen)]
    late = np.flatnonzero(smooth[at:at + 600] > 2.5 * np.mean(smooth[150:at]))
    return at + int(late[0]) - int(rng.integers(0, 25)) if len(late) else None


def records(path):
    """(head, rows) of a file of tocsin-sim train (tests/sim/records.h)."""
    raw, at, size = np.fromfile(path, "u1"), 0, simulated.HEAD.itemsize
    os.remove(path)
    while at < len(raw):
        head = raw[at:at + size].view(simulated.HEAD)[0]
        n = int(head["n"])
        rows = raw[at + size:at + size + 12 * n].view("<f4").reshape(n, 3).astype("f8")
        at += size + 13 * n
        if np.isfinite(rows).all():
            yield head, rows


# ---- spoiling ---------------------------------------------------------------------------------------------------------

def clipped(rows, onset, rng):
    """Cut at a fixed height, as near a strong quake."""
    if rng.random() < 0.12:
        middle = np.nanmean(rows[:onset], axis=0)
        top = np.nanmax(np.abs(rows[onset:] - middle)) * np.exp(rng.uniform(np.log(0.05), np.log(0.8)))
        if top > 6 * np.nanmax(np.abs(rows[:onset] - middle)):
            rows = middle + np.clip(rows - middle, -top, top)
    return rows


def thin(rows, onset, rng):
    """As a digitiser of 40 or 50 Hz, or a vertical alone, would have had it."""
    if rng.random() < 0.2:
        corner = rng.choice([8.0, 12.0, 16.0, 20.0])
        rows = lfilter(*butter(4, corner, fs=RATE), rows - rows[:1], axis=0)
    if rng.random() < 0.2 and np.isfinite(rows[:, 2]).all():
        rows[:, :2] = np.nan
    return rows


def rms(x):
    return np.sqrt(np.nanmean(np.square(x))) + 1e-12


def mixed(rows, onset, quiet, rng):
    """Other noise on top, so loud that the arrival stands 1.5 to 30 times above it in 2-20 Hz; less where it did before."""
    live = np.isfinite(rows).all(0) & np.isfinite(quiet).all(0)
    if not live.any():
        return rows
    signal = sosfilt(BAND, rows[:, live] - rows[0, live], axis=0)[onset:onset + 200]
    noise = sosfilt(BAND, quiet[:, live] - quiet[0, live], axis=0)[100:]
    want = rms(signal) / np.exp(rng.uniform(np.log(1.5), np.log(30)))
    rows = rows.copy()
    n = min(len(rows), len(quiet))
    rows[:n, live] += (quiet[:n, live] - quiet[0, live]) * want / rms(noise)
    return rows


# ---- teleseisms -------------------------------------------------------------------------------------------------------

def absorbed(n, t_star):
    """Impulse response of exp(-pi f t*), minimum phase (cepstrum), n samples."""
    size = 1 << int(np.ceil(np.log2(2 * n)))
    f = np.fft.rfftfreq(size, 1 / RATE)
    cepstrum = np.fft.irfft(-np.pi * f * t_star, size)
    cepstrum[1:size // 2] *= 2
    cepstrum[size // 2 + 1:] = 0
    return np.fft.irfft(np.exp(np.fft.rfft(cepstrum)), size)[:n]


def teleseism(n, rng, t_star=None):
    """Ground velocity E, N, Z of a far P wave that begins at sample 0; scale 1. Lobes of t exp(-t / tau) as moment rate
    (Brune 1970), t* of P about 0.8 s (Stein and Wysession 2003, sect. 3.7), steep incidence, reverberation below the station."""
    magnitude = rng.uniform(5.3, 8.3)
    duration = 1.5 * 10 ** (0.5 * (magnitude - 5.5)) * np.exp(0.3 * rng.standard_normal())
    t = np.arange(n) / RATE
    rate = np.zeros(n)
    for _ in range(rng.integers(1, 12)):
        tau = max(0.08, duration / 8 * np.exp(0.6 * rng.standard_normal()))
        start = rng.uniform(0, 0.7 * duration) if rate.any() else 0.0
        late = np.maximum(t - start, 0)
        rate += np.exp(0.7 * rng.standard_normal()) * late / tau ** 2 * np.exp(-late / tau)
    star = t_star or float(np.clip(0.8 * np.exp(0.35 * rng.standard_normal()), 0.25, 2.0))
    velocity = np.convolve(np.gradient(rate), absorbed(n, star))[:n]
    out = np.zeros((n, 3))
    azimuth, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.55)
    direct = (slope * np.sin(azimuth), slope * np.cos(azimuth), 1.0)
    length = rng.uniform(1, 6)
    for c in range(3):
        echo = rng.standard_normal(n) * np.exp(-t / length) * (rng.random(n) < 0.05) * rng.uniform(0.05, 0.3)
        echo[:5] = 0
        out[:, c] = direct[c] * velocity + np.convolve(velocity, echo)[:n]
    if rng.random() < 0.25:
        out = np.gradient(out, axis=0)  # an accelerometer
    return out * (1 if rng.random() < 0.5 else -1)


def add_teleseism(quiet, at, rng, make=teleseism):
    """@return rows with a far P at sample `at`, and where a picker of 2-20 Hz would put it (None: it would see nothing)"""
    rows = quiet.copy()
    wave = make(len(rows) - at, rng)
    live = np.isfinite(rows).all(0)
    before = sosfilt(FAR, quiet[:, live] - quiet[0, live], axis=0)
    size = np.exp(rng.uniform(np.log(2), np.log(600))) * rms(before[100:]) / rms(sosfilt(FAR, wave[:500, live], axis=0))
    rows[at:] += wave * size
    return rows, seen_at(rows, at, rng)


# ---- artefacts --------------------------------------------------------------------------------------------------------

def shape(kind, n, rate, rng):
    """One artefact of unit size at its own sampling rate, from sample 0."""
    t = np.arange(n) / rate
    out = np.zeros(n)
    if kind == "spike":
        for k in range(rng.integers(1, 4)):
            out[k] = rng.uniform(-1, 1) if k else 1.0
    elif kind == "step":
        out[:] = 1.0 if rng.random() < 0.4 else np.exp(-t / np.exp(rng.uniform(np.log(0.3), np.log(60))))
    elif kind == "square":
        out[:max(2, int(np.exp(rng.uniform(np.log(0.05), np.log(3))) * rate))] = 1.0
    elif kind == "train":
        period = rng.uniform(0.2, 2.0)
        out[:] = np.where((t % period) < period * rng.uniform(0.2, 0.8), 1.0, -1.0 if rng.random() < 0.5 else 0.0)
    elif kind == "sine":
        f, length = np.exp(rng.uniform(np.log(0.5), np.log(min(20, 0.4 * rate)))), np.exp(rng.uniform(np.log(0.3), np.log(60)))
        out[:] = np.sin(2 * np.pi * f * t + rng.uniform(0, 2 * np.pi) * (rng.random() < 0.5)) * (t < length)
        if rng.random() < 0.3:
            out *= np.minimum(t / rng.uniform(0.1, 1.0), 1)
    elif kind == "swing":  # a current step through the calibration coil
        x = 2 * np.pi * t / np.exp(rng.uniform(np.log(1), np.log(120)))
        out[:] = np.exp(-0.707 * x) * np.sin(0.707 * x + rng.uniform(0, 0.5))
    elif kind == "garbage":
        length = int(rng.uniform(0.05, 1.5) * rate) + 1
        out[:length] = rng.standard_normal(length) if rng.random() < 0.5 else rng.choice([-1.0, 1.0], length)
    elif kind == "startup":  # swings from end to end of the range, and decays
        out[:] = np.clip(rng.uniform(1, 5) * np.sin(2 * np.pi * t * rng.uniform(0.05, 1) + rng.uniform(0, 6)), -1, 1)
    return out * rng.choice([-1.0, 1.0])


KINDS = ("spike", "step", "square", "train", "sine", "swing", "garbage", "startup")


def to_grid(x, rate, n):
    """Roughly what the runtime's resampler makes of it."""
    if rate > 101:
        x = sosfilt(butter(4, 40, fs=rate, output="sos"), x)
    return np.interp(np.arange(n) / RATE, np.arange(len(x)) / rate, x)


def add_artefact(quiet, at, rng, kind=None):
    """@return rows with one artefact at sample `at`"""
    kind = kind or KINDS[rng.integers(len(KINDS))]
    rate = float(rng.choice([40, 50, 100, 100, 100, 200]))
    n = len(quiet) - at
    wave = to_grid(shape(kind, int(n * rate / RATE) + 4, rate, rng), rate, n)
    rows = quiet.copy()
    live = np.flatnonzero(np.isfinite(rows).all(0))
    size = np.exp(rng.uniform(np.log(6), np.log(1e5 if kind in ("step", "startup", "swing") else 3e3)))
    hit = live if rng.random() < 0.5 else live[rng.integers(len(live)):][:1]
    for c in hit:
        rows[at:, c] += wave * size * rms(np.diff(quiet[:, c])) * rng.uniform(0.5, 1.5)
    if rng.random() < 0.08:  # a dead stretch instead: zeros, or the last value held
        rows = quiet.copy()
        hold = rng.random() < 0.5
        end = at + int(rng.uniform(0.1, 3) * RATE)
        for c in live:
            rows[at:end, c] = rows[at - 1, c] if hold else 0
    return rows


# ---- all of it --------------------------------------------------------------------------------------------------------

class Maker:
    """Draws examples of one split of the pool."""

    def __init__(self, streams, rng):
        self.rng = rng
        self.quiet = [s for s in streams if is_noise_set(s) or s.group == "cx"]
        self.lengths = np.array([np.sqrt(len(s.rows)) for s in self.quiet])
        self.streams = streams

    def quiet_rows(self, n):
        """n rows of real noise, nothing known in them."""
        while True:
            s = self.quiet[self.rng.choice(len(self.quiet), p=self.lengths / self.lengths.sum())]
            if len(s.rows) < n + 1600:
                continue
            at = int(self.rng.integers(1500, len(s.rows) - n))
            if not all(not at - 600 < m < at + n + 100 for m in s.p + s.s) or not all(
                    y < at or x > at + n for x, y in s.unknown):
                continue
            rows = s.rows[at:at + n].astype("f8")
            rows[:, ~np.asarray(s.live, bool)] = np.nan
            if np.nanstd(rows) > 0:
                return rows

    def locals(self, repeat):
        rng = self.rng
        for s in self.streams:
            if s.group.startswith("noise"):
                continue
            for m, late in [(m, False) for m in s.p] + [(m, True) for m in s.s]:
                for k in range(1 if late else repeat):
                    got = piece(s, int(m) + int(np.clip(8 * rng.standard_normal(), -20, 25)))
                    if got is None or (late and rng.random() < 0.7):
                        continue
                    rows, onset = got
                    if k > 0 and rng.random() < 0.6:
                        rows = mixed(rows, onset, self.quiet_rows(len(rows)), rng)
                        if not picked(rows, onset):
                            continue
                    yield (thin(clipped(rows, onset, rng), onset, rng) if k else rows), onset, s.group

    def noises(self, each, on=2.5):
        rng = self.rng
        for s in self.quiet:
            if s.group == "cx" or len(s.rows) < 4000:
                continue
            marks = [i for i in triggers(s.rows, s.live, on) if clear(s, i)]
            extra = [int(i) for i in rng.integers(1600, len(s.rows) - 500, max(1, len(marks) // 4))]
            marks += [i for i in extra if clear(s, i)]
            rng.shuffle(marks)
            for i in marks[:each]:
                got = piece(s, i - int(rng.integers(0, 30)))
                if got:
                    yield (thin(*got, rng) if rng.random() < 0.3 else got[0]), got[1], s.group

    def teleseisms(self, count, make=teleseism):
        made = 0
        while made < count:
            quiet = self.quiet_rows(1700)
            rows, onset = add_teleseism(quiet, 600, self.rng, make)
            if onset is None:
                continue
            made += 1
            rows = rows[onset - NOISE:onset + AFTER]
            yield thin(rows, NOISE, self.rng), NOISE, "made"

    def simulated(self, tool, kind, count, seed, scratch):
        """Records of `tocsin-sim train` where a picker would see something; a far P where it would see it."""
        path = os.path.join(scratch, "domain_%s_%d.bin" % (kind, seed))
        subprocess.run([tool, "train", "--seed", str(seed), "--count", str(count), "--kind", kind, "--before", "6",
                        "--after", "10", "--out", path], check=True)
        for head, rows in records(path):
            at = int(head["p"] if kind != "nuisance" else head["p2"])
            if at < 550 or at + AFTER + 30 > len(rows) or not picked(rows[at - NOISE:at + AFTER], NOISE):
                continue
            if kind == "teleseism":
                at = seen_at(rows, at, self.rng)
            elif kind != "nuisance":
                at += int(np.clip(8 * self.rng.standard_normal(), -20, 25))
            if at is None or at + AFTER > len(rows):
                continue
            cut = rows[at - NOISE:at + AFTER]
            if kind == "quake":
                cut = clipped(cut, NOISE, self.rng)
            yield thin(cut, NOISE, self.rng), NOISE, "simulated", int(head["region"])

    def artefacts(self, count):
        for _ in range(count):
            at = NOISE + int(self.rng.integers(-5, 15))
            yield add_artefact(self.quiet_rows(NOISE + AFTER + 40), at, self.rng)[:NOISE + AFTER], NOISE, "made"


GROUND = (0, 1)  # nuisances of tests/sim that are of the ground: footsteps, vehicles


def measure(cutter, examples, kind):
    """kind None: the simulator's nuisances, each of its own class. @return [(kind, number of the example, end, measures, what it came from)]"""
    out = []
    for k, (rows, onset, source, *rest) in enumerate(examples):
        if rest and kind is None:
            label = NOISY if rest[0] in GROUND else CALIBRATION
        else:
            label = kind
        ends = [e for e in ENDS if onset + e <= len(rows)]
        if not np.isfinite(rows).any() or not ends:
            continue
        got = cutter(rows, onset, ends)
        for e, line in zip(ends, got):
            if np.isfinite(line[:MEASURES]).all():
                out.append((label, k, e, line, source))
    return out
