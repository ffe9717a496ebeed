"""Simulated quakes to lay over real noise: exact onsets at any strength, of which real records offer too few.

The bank is made by tests/sim (`tocsin-sim train --noise none`): single quakes without noise, P at a known sample. Nothing of
it is ever an evaluation record.

    sims.py --out bank.npz --count 3000 [--simulator build/tocsin-sim] [--seed 77]
"""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "estimator"))
import simulated  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
RATE = 100
BEFORE = 20  # samples kept before P: silence
SCATTER_S = 1.2


def scattered(wave, rng):
    """Convolved with decaying noise of unit energy: motion that came by other ways."""
    n = int(4 * SCATTER_S * RATE)
    kernel = rng.standard_normal(n) * np.exp(-np.arange(n) / (SCATTER_S * RATE))
    kernel /= np.sqrt(np.sum(kernel ** 2))
    size = 1 << int(np.ceil(np.log2(len(wave) + n)))
    return np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(kernel, size), size)[:len(wave)]


def dress(rows, rng):
    """Vertical motion found again on the horizontals; half of the sensors feel acceleration."""
    rows = rows.astype(np.float64)
    share = 0.8 * 10.0 ** (0.25 * rng.standard_normal())
    vertical = rows[:, 2].copy()
    for k in range(2):
        rows[:, k] += 0.7 * share * scattered(vertical, rng)
    if rng.random() < 0.5:
        rows = np.diff(rows, axis=0, prepend=rows[:1]) * RATE
    return (rows / max(np.abs(rows).max(), 1e-30)).astype(np.float32)


class Bank:
    """rows [count, n, 3] float16, each of largest value 1 with P at sample BEFORE; s [count] the sample of S."""

    def __init__(self, path):
        box = np.load(path)
        self.rows, self.s = box["rows"], box["s"]

    def draw(self, rng):
        k = int(rng.integers(len(self.rows)))
        return self.rows[k].astype(np.float32), BEFORE, int(self.s[k])


def ground(path):
    """(sample of P, sample of S, rows) of each record of the file."""
    raw, at = np.fromfile(path, "u1"), 0
    while at < len(raw):
        head = raw[at:at + simulated.HEAD.itemsize].view(simulated.HEAD)[0]
        n = int(head["n"])
        at += simulated.HEAD.itemsize
        rows = raw[at:at + 12 * n].view("<f4").reshape(n, 3)
        at += 13 * n
        if head["p"] >= BEFORE and np.abs(rows).max() > 0:
            yield int(head["p"]), int(head["s"]), rows


def build(simulator, count, seed, out):
    rng, rows, s = np.random.default_rng(seed), [], []
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "quakes.bin")
        subprocess.run([simulator, "train", "--noise", "none", "--seed", str(seed), "--count", str(count), "--magnitudes",
                        "1.5,7.5", "--out", path], check=True)
        for p, at_s, enz in ground(path):
            rows.append(dress(enz[p - BEFORE:], rng).astype(np.float16))
            s.append(at_s - p + BEFORE)
    least = min(len(r) for r in rows)
    np.savez(out, rows=np.stack([r[:least] for r in rows]), s=np.array(s, np.int32))


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--simulator", default=os.path.join(ROOT, "build", "tocsin-sim"))
    args.add_argument("--count", type=int, default=3000)
    args.add_argument("--seed", type=int, default=77)
    args.add_argument("--out", required=True)
    opt = args.parse_args()
    build(opt.simulator, opt.count, opt.seed, opt.out)
