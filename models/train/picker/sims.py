"""Simulated quakes to lay over real noise: exact onsets at any strength, of which real records offer too few.

The bank is made by tests/sim (`tocsin-sim train --noise none`): ground velocity of single quakes without noise, P at a known
sample. Nothing of it is ever an evaluation record.

    sims.py --out bank.npy --count 3000 [--simulator build/tocsin-sim] [--seed 77]
"""
import argparse
import os
import subprocess
import tempfile

import numpy as np

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


def build(simulator, count, seed, out):
    from simulated_records import read_raw
    rng, rows, s = np.random.default_rng(seed), [], []
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "quakes.bin")
        subprocess.run([simulator, "train", "--noise", "none", "--seed", str(seed), "--count", str(count), "--out", path], check=True)
        for p, at_s, one in read_raw(path):
            rows.append(dress(one[p - BEFORE:], rng).astype(np.float16))
            s.append(at_s - p + BEFORE)
    np.savez(out, rows=np.stack(rows), s=np.array(s, np.int32))


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--simulator", default=os.path.join(ROOT, "build", "tocsin-sim"))
    args.add_argument("--count", type=int, default=3000)
    args.add_argument("--seed", type=int, default=77)
    args.add_argument("--out", required=True)
    opt = args.parse_args()
    build(opt.simulator, opt.count, opt.seed, opt.out)
