"""Training crops from the pool: which piece, how spoilt, and its features.

Draws quakes, quiet, triggers and mined false alarms in fixed shares, spoils
them (augment.py), passes them through the runtime's front end (runtime.py)
and keeps features and targets as arrays. Only streams with split "train" (or
"validate", when asked) are ever touched.
"""
import argparse
import os
import pickle
import sys
from multiprocessing import Process

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import augment  # noqa: E402
import pool as pool_module  # noqa: E402
import runtime  # noqa: E402
import sims  # noqa: E402

SHARE = {"quake": 0.38, "sim": 0.17, "quiet": 0.20, "trigger": 0.25}
SHARE_MINED = {"quake": 0.36, "sim": 0.15, "quiet": 0.14, "trigger": 0.11, "mined": 0.24}
MACHINE = ("iceland", "ridgecrest_train", "gm", "openeew", "cx", "pr")  # onsets timed by a machine: not to learn times from
MACHINE_AGES = 0.4
# what one labelled onset of a set counts: analyst picks most, onsets the teacher found least
WORTH = {"phasenet": 3.0, "deepdenoiser": 2.5, "stead": 5.0, "iceland": 1.2, "ridgecrest_train": 0.6, "gm": 2.0,
         "openeew": 2.0, "cx": 0.8, "pr": 1.5}


def trigger_starts(stream, on=3.5, off=1.5):
    ratio = pool_module.short_long(stream.rows, stream.live)
    high = np.flatnonzero((ratio[1:] >= on) & (ratio[:-1] < on)) + 1
    kept, last = [], -10 ** 9
    for i in high:
        if i > 1000 and i - last > 200:
            kept.append(int(i))
            last = i
    return kept


class Sampler:
    def __init__(self, pool, split, seed, mined=None, bank=None):
        self.rng = np.random.default_rng(seed)
        self.bank = bank
        self.streams = [s for s in pool if s.split == split and len(s.rows) >= augment.LENGTH + 800]
        self.onsets, worth = [], []
        for s in self.streams:
            for m in s.p:
                self.onsets.append((s, m))
                worth.append(WORTH.get(s.group, 1.0))
        self.worth = np.cumsum(worth) / max(sum(worth), 1e-9)
        self.long = [s for s in self.streams if s.group not in ("phasenet", "deepdenoiser", "stead")]
        by_station = {}
        for s in self.long:
            by_station.setdefault(s.station, []).append(s)
        hours = {k: sum(len(s.rows) for s in v) / 360000 for k, v in by_station.items()}
        names = sorted(by_station)
        self.stations = [by_station[k] for k in names]
        w = np.array([min(hours[k], 4.0) ** 0.5 for k in names])
        self.station_worth = np.cumsum(w) / max(w.sum(), 1e-9)
        self.triggers = [(s, t) for s in self.long for t in trigger_starts(s)]
        where = {s.name + "@%.2f" % s.start: s for s in self.streams}
        self.mined = [(where[n], m) for n, m in (mined or []) if n in where]
        share = SHARE_MINED if self.mined else SHARE
        if not self.triggers:
            share = {k: v for k, v in share.items() if k != "trigger"}
        if not self.bank or not self.long:
            share = {k: v for k, v in share.items() if k != "sim"}
        self.kinds = list(share)
        self.kind_worth = np.array(list(share.values())) / sum(share.values())

    def quiet_piece(self, length=None):
        group = self.stations[int(np.searchsorted(self.station_worth, self.rng.random()))]
        s = group[self.rng.integers(len(group))]
        return s, int(self.rng.integers(0, max(len(s.rows) - augment.LENGTH * 2, 1)))

    def anchor(self, kind):
        """A stream and the sample that is to lie somewhere in the scored part."""
        if kind == "quake":
            return self.onsets[min(int(np.searchsorted(self.worth, self.rng.random())), len(self.onsets) - 1)]
        if kind == "trigger":
            return self.triggers[self.rng.integers(len(self.triggers))]
        if kind == "mined":
            return self.mined[self.rng.integers(len(self.mined))]
        s, at = self.quiet_piece()
        return s, at + augment.LENGTH // 2

    def raw(self, kind, length_warm=None):
        rng = self.rng
        for _ in range(20):
            s, at = self.anchor(kind)
            stretch = float(np.exp(rng.uniform(np.log(0.5), np.log(1.35)))) if rng.random() < 0.4 else 1.0
            warm = (0 if rng.random() < 0.12 else augment.WARM) if length_warm is None else length_warm
            lead = int(rng.uniform(420, 2000))
            start = at - (lead + warm) * stretch
            if start < 0 and length_warm is None:
                warm = int(np.clip((at / stretch) - lead, 0, augment.WARM))
                start = max(at - (lead + warm) * stretch, 0)
            last = len(s.rows) - int(np.ceil((warm + augment.LENGTH) * stretch)) - 3
            start = float(np.clip(start, 0, max(last, 0)))
            crop = augment.cut(s, start, warm, stretch)
            if crop is not None:
                crop.timed = s.group not in MACHINE and not s.group.startswith("noise") or rng.random() < MACHINE_AGES
                if kind == "sim":
                    augment.lay_over(crop, self.bank.draw(rng), warm + lead, rng)
                return crop
        return None

    def draw(self):
        """One spoilt crop, or None when the dice found no room."""
        kind = self.kinds[int(self.rng.choice(len(self.kinds), p=self.kind_worth))]
        crop = self.raw(kind)
        if crop is None:
            return None
        mix = None
        if self.rng.random() < (0.45 if kind == "quake" else 0.15):
            mix = self.raw("quake" if self.rng.random() < 0.12 else "quiet", crop.warm)
        augment.spoil(crop, self.rng, mix, real=kind != "sim")
        return crop


def finish(crop, features):
    """Features [LENGTH, 7] float16, class per frame, ages."""
    rows = features(crop.rows)[crop.warm:]
    kind, age = augment.targets(crop.p, crop.s, crop.unknown, crop.warm)
    if not crop.timed:
        age[:] = np.nan
    return rows.astype(np.float16), kind, age.astype(np.float16)


def make(pool, split, count, seed, path, mined=None, bank=None):
    sampler, features = Sampler(pool, split, seed, mined, bank), runtime.Features()
    x = np.empty((count, augment.LENGTH, runtime.FEATURES), np.float16)
    kind = np.empty((count, augment.FRAMES), np.int8)
    age = np.empty((count, 2, augment.FRAMES), np.float16)
    k = 0
    while k < count:
        crop = sampler.draw()
        if crop is None:
            continue
        x[k], kind[k], age[k] = finish(crop, features)
        k += 1
    features.close()
    for name, what in (("x", x), ("kind", kind), ("age", age)):
        np.save(path + "." + name + ".npy", what)


def load(paths):
    parts = [[np.load(p + "." + name + ".npy", mmap_mode="r") for name in ("x", "kind", "age")] for p in paths]
    return [np.concatenate([p[k] for p in parts]) for k in range(3)]


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--pool", required=True)
    args.add_argument("--out", required=True, help="prefix; <out>.<k>.{x,kind,age}.npy")
    args.add_argument("--count", type=int, default=5000, help="crops a part")
    args.add_argument("--parts", type=int, default=2)
    args.add_argument("--jobs", type=int, default=2)
    args.add_argument("--split", default="train")
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--bank", help="simulated quakes from sims.py")
    args.add_argument("--mined", help="pickle of [(stream, sample)] from mine.py")
    opt = args.parse_args()
    with open(opt.pool, "rb") as f:
        streams = pickle.load(f)
    bank = sims.Bank(opt.bank) if opt.bank else None
    mined_list = pickle.load(open(opt.mined, "rb")) if opt.mined else None

    def work(first):
        for k in range(first, opt.parts, opt.jobs):
            make(streams, opt.split, opt.count, opt.seed * 1000 + k, "%s.%d" % (opt.out, k), mined_list, bank)

    jobs = [Process(target=work, args=(k,)) for k in range(opt.jobs)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    sys.exit(any(job.exitcode for job in jobs))
