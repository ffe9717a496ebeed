"""What the second look is asked about: windows around onsets somebody proposed, with the truth.

Reads the picker's training crops (picker/crops.py: features after all augmentation, class and age per frame), takes
proposals from four sources, so that the second look depends on no one first stage:

    first    picks of the first-stage network at a low threshold, by the rules of core/picker.c
    trigger  the ratio of fast to slow RMS of the loudest component rises above 3
    near     anywhere within 0.8 s of a labelled P or S
    chance   anywhere

A window is ROWS feature rows, BEFORE of them before the proposed onset, and a column that is 1 where a row was seen.
Classes: 0 nothing, 1 a P onset lies within REACH rows of the proposal, 2 no P but an S. Proposals near a span nobody can
vouch for are left out. Only crops of the given files are touched: their split is the picker's.
"""
import argparse
import os
import sys

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "picker"))
sys.path.insert(0, os.path.dirname(HERE))
import evaluate as first_stage  # noqa: E402
from export import read_model  # noqa: E402
from export_picker import walk  # noqa: E402

ROWS, BEFORE, REACH = 640, 240, 100  # rows of 10 ms: core/second.h
LOOKS = (90, 190, 290, 390)          # rows after the proposed onset that are seen: core/second.c
NOTHING, P, S = 0, 1, 2
SOURCES = ("first", "trigger", "near", "chance")
EARLIEST, LATEST = 450, 2330         # rows of a crop where a proposal's truth is known
STRIDE = 5


class FirstStage:
    """A written picker (weights.safetensors) run on batches, by the words of its own graph."""

    def __init__(self, path):
        self.graph, tensors, _ = read_model(path)
        self.tensors = {key: torch.from_numpy(tensor) for key, tensor in tensors.items()}

    @torch.no_grad()
    def __call__(self, x):
        """x [batch, 7, n] -> [batch, 7, n / 5]"""
        return walk(self.graph, self.tensors, x)


def onsets(kind, age):
    """P and S onsets of a crop as (row, is the time to be learnt from), from its targets: the age in the first frame that tells
    it, or, where crops.py keeps a machine's time to itself, the first frame."""
    out = {P: [], S: []}
    for phase in (P, S):
        first = (kind == phase) & (np.concatenate([[0], kind[:-1]]) != phase)
        for j in np.flatnonzero(kind == phase):
            told = np.isfinite(age[phase - 1, j])
            at = (j + 1) * STRIDE - 1 - 100.0 * float(age[phase - 1, j]) if told else (j + 1) * STRIDE - 4.0
            if (told or first[j]) and not any(abs(at - m) < 8 for m, _ in out[phase]):
                out[phase].append((at, told))
    return out


def truth(at, marks, kind):
    """(class, offset in rows, nan: nobody says) of a proposal, or None when its class is not known."""
    for phase in (P, S):
        near = [(m - at, told) for m, told in marks[phase] if abs(m - at) < REACH]
        if near:
            offset, told = min(near, key=lambda one: abs(one[0]))
            return phase, offset if told else np.nan
    a, b = max(int(at) - REACH, 0) // STRIDE, (int(at) + REACH) // STRIDE
    return None if (kind[a:b + 1] == -1).any() else (NOTHING, 0.0)


def triggers(x, level=3.0):
    """Rows where the loudest component's fast over slow RMS rises above the level, 1 s apart; the onset is a little before."""
    high = x[:, 3:6].max(1) >= np.log10(level)
    out = []
    for i in np.flatnonzero(high[1:] & ~high[:-1]) + 1:
        if not out or i - out[-1] > 100:
            out.append(int(i))
    return [i - 12 for i in out]


def propose(x, kind, marks, raw, rng):
    """[(source, row, row of declaration)]"""
    out = []
    for threshold in (0.3, float(rng.uniform(0.1, 0.92))):
        for now, at, _ in first_stage.emit(raw, 0, threshold, warmup_s=4.5):
            out.append((0, at * 100, now * 100))
    out += [(1, i, i + 12) for i in triggers(x)]
    for phase, count in ((P, 2), (S, 1)):
        for m, _ in marks[phase]:
            out += [(2, m + rng.uniform(-80, 80), m) for _ in range(count)]
    out.append((3, rng.uniform(EARLIEST, LATEST), 0))
    return [(s, at, said) for s, at, said in out if EARLIEST <= at <= LATEST]


def collect(path, first, seed, batch=64):
    """Table of one crop file: [crop, source, row, declared row, class, offset]."""
    x, kind, age = (np.load("%s.%s.npy" % (path, name), mmap_mode="r") for name in ("x", "kind", "age"))
    rng, table = np.random.default_rng(seed), []
    for a in range(0, len(x), batch):
        part = x[a:a + batch].astype(np.float32)
        raw = first(torch.from_numpy(part.transpose(0, 2, 1).copy())).numpy().transpose(0, 2, 1)
        for k in range(len(part)):
            marks = onsets(kind[a + k], age[a + k])
            for source, at, said in propose(part[k], kind[a + k], marks, raw[k], rng):
                known = truth(at, marks, kind[a + k])
                if known is not None:
                    table.append((a + k, source, at, said, known[0], known[1]))
    return np.array(table, np.float32)


def windows(x, at, seen, hidden=0):
    """[n, ROWS, 8] of rows x [n] (arrays [len, 7]) around rows `at`; `seen` rows after it are there, the first `hidden`
    of the window are not."""
    out = np.zeros((len(at), ROWS, 8), np.float32)
    hidden = np.broadcast_to(hidden, len(at))
    for k, c in enumerate(at):
        a, b = max(int(c) - BEFORE + int(hidden[k]), 0), min(int(c) + int(seen[k]), int(c) - BEFORE + ROWS, len(x[k]))
        if b > a:
            w = a - int(c) + BEFORE
            out[k, w:w + b - a, :7] = x[k][a:b]
            out[k, w:w + b - a, 7] = 1
    return out


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--crops", nargs="+", required=True)
    args.add_argument("--first", required=True, help="weights of the first stage")
    args.add_argument("--seed", type=int, default=1)
    opt = args.parse_args()
    torch.set_num_threads(1)
    one = FirstStage(opt.first)
    for k, name in enumerate(opt.crops):
        rows = collect(name, one, opt.seed * 100 + k)
        np.save(name + ".proposals.npy", rows)
        for s, word in enumerate(SOURCES):
            print(name, word, [int(((rows[:, 1] == s) & (rows[:, 4] == c)).sum()) for c in range(3)], flush=True)
