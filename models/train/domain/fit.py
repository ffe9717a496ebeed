"""Fits the classes of core/domain.h and writes core/domain_weights.h; prints the tables of models/domain/card.md.

    fit.py --pool POOL.pkl --cutter build/models/cut_domain --sim build/tocsin-sim --weights core/domain_weights.h

The training part of the picker's pool alone is fitted on, a seventh of it (by source) kept for stopping; the held part is
only reported on. Three ways are compared: rules by hand, one linear layer, and one hidden layer of 24; the last is written.
"""
import argparse
import hashlib
import json
import os
import pickle
import sys
import tempfile

import numpy as np
import torch

import examples as ex

HIDDEN = 24
SHARE = {ex.LOCAL: 0.48, ex.TELESEISM: 0.14, ex.BLAST: 0.06, ex.NOISY: 0.16, ex.CALIBRATION: 0.16}  # of the loss
SMOOTH = 0.01


def kept_aside(stream):
    return int(hashlib.md5(("domain" + (stream.source or stream.station)).encode()).hexdigest(), 16) % 7 == 0


def collect(streams, seed, cutter, sizes, sim, scratch):
    """[(kind, example, end, measures and verdict, source)] of one part of the pool."""
    rng = np.random.default_rng(seed)
    maker = ex.Maker(streams, rng)
    out = ex.measure(cutter, maker.locals(sizes["repeat"]), ex.LOCAL)
    out += ex.measure(cutter, maker.noises(sizes["noise"]), ex.NOISY)
    out += ex.measure(cutter, maker.teleseisms(sizes["far"]), ex.TELESEISM)
    out += ex.measure(cutter, maker.artefacts(sizes["artefacts"]), ex.CALIBRATION)
    for kind, label in (("quake", ex.LOCAL), ("teleseism", ex.TELESEISM), ("blast", ex.BLAST), ("nuisance", None)):
        out += ex.measure(cutter, maker.simulated(sim, kind, sizes["sim"], seed, scratch), label)
    return out


def table_of(examples):
    kind = np.array([e[0] for e in examples])
    end = np.array([e[2] for e in examples])
    x = np.stack([e[3][:ex.MEASURES] for e in examples])
    source = np.array([e[4] for e in examples])
    number = np.array([e[1] for e in examples])
    return kind, end, x, source, number


def weights_of(kind, source):
    """Shares by class; within a class sources count by the root of their number, so that no set rules."""
    w = np.zeros(len(kind))
    present = [c for c in SHARE if (kind == c).any()]
    for c in present:
        for s in set(source[kind == c]):
            mine = (kind == c) & (source == s)
            w[mine] = 1 / np.sqrt(mine.sum())
        w[kind == c] *= SHARE[c] / w[kind == c].sum()
    return w / w.sum()


def rules(x):
    """By hand: class numbers."""
    t, snr, colour = x[:, 0], x[:, 1:7], x[:, 7:13]
    out = np.full(len(x), ex.LOCAL)
    out[snr[:, 2:].max(1) < 0.2] = ex.NOISY
    far = (colour[:, 3] < -0.8) & (snr[:, :2].max(1) > 0.5) & (t > -0.5)
    out[far] = ex.TELESEISM
    one_sided = (x[:, 20] > 0.75) & (x[:, 21] > 0.9) & (t > -0.75)
    spike = (x[:, 16] > 0.85) & (x[:, 13] > 0.95) & (t > -0.5)
    tone = (x[:, 18] < -2.3) & (x[:, 19] > 0.2) & (t > -0.4)
    out[one_sided | spike | tone | (x[:, 25] > 0.5)] = ex.CALIBRATION
    return out


def network(hidden):
    n = len(ex.CLASSES)
    if not hidden:
        return torch.nn.Linear(ex.MEASURES, n)
    return torch.nn.Sequential(torch.nn.Linear(ex.MEASURES, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, n))


def loss_of(net, x, kind, w, smooth=SMOOTH):
    log_p = torch.log_softmax(net(x), 1)
    own = -log_p.gather(1, kind[:, None])[:, 0]
    return (w * ((1 - smooth) * own - smooth * log_p.mean(1))).sum()


def fit(train, aside, hidden, epochs, seed=1):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    kind, _, x, source, _ = train
    mean, scale = x.mean(0), 1 / np.maximum(x.std(0), 1e-3)
    put = lambda v: torch.tensor((v - mean) * scale, dtype=torch.float32)
    X, K, W = put(x), torch.tensor(kind), torch.tensor(weights_of(kind, source) * len(kind), dtype=torch.float32)
    AX, AK = put(aside[2]), torch.tensor(aside[0])
    AW = torch.tensor(weights_of(aside[0], aside[3]), dtype=torch.float32)
    net = network(hidden)
    steps = epochs * (len(X) // 2048 + 1)
    opt = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=1e-3)
    plan = torch.optim.lr_scheduler.CosineAnnealingLR(opt, steps)
    best, kept = np.inf, None
    for epoch in range(epochs):
        order = rng.permutation(len(X))
        for a in range(0, len(X), 2048):
            i = torch.tensor(order[a:a + 2048])
            value = loss_of(net, X[i], K[i], W[i] / len(i))
            opt.zero_grad()
            value.backward()
            opt.step()
            plan.step()
        with torch.no_grad():
            now = float(loss_of(net, AX, AK, AW, 0))
        if now < best:
            best, kept = now, {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(kept)
    return net, mean, scale, best


def probabilities(fitted, x):
    net, mean, scale, _ = fitted
    with torch.no_grad():
        return torch.softmax(net(torch.tensor((x - mean) * scale, dtype=torch.float32)), 1).numpy()


def foreign(p):
    return p[:, ex.TELESEISM] + p[:, ex.NOISY] + p[:, ex.CALIBRATION]


# ---- what is told -----------------------------------------------------------------------------------------------------

def confusion(kind, said, n=len(ex.CLASSES)):
    table = np.zeros((n, n + 1), int)
    for a, b in zip(kind, said):
        table[a, b] += 1
    return table


def print_confusion(title, kind, p, labels=None):
    said = labels if labels is not None else np.where(p.max(1) >= 0.5, p.argmax(1), len(ex.CLASSES))
    table = confusion(kind, said)
    print("\n%s\n\n| true \\ said | %s | unknown | n |\n|---|%s" % (title, " | ".join(ex.CLASSES), "---|" * 7))
    for c, name in enumerate(ex.CLASSES):
        n = table[c].sum()
        if n:
            print("| %s | %s | %d |" % (name, " | ".join("%.3f" % (v / n) for v in table[c]), n))


def balanced(kind, said):
    return float(np.mean([np.mean(said[kind == c] == c) for c in set(kind)]))


def report(name, data, fitted, ends=(10, 30, 100, 300)):
    kind, end, x, source, _ = data
    p = probabilities(fitted, x)
    for e in ends:
        print_confusion("%s, %.1f s after the pick" % (name, e / 100), kind[end == e], p[end == e])
    return p


def exclusion(name, data, p, levels=(0.9, 0.95, 0.98, 0.99)):
    """Share of arrivals whose foreign probability passes a level, by class, source and time."""
    kind, end, _, source, _ = data
    out = foreign(p)
    print("\n%s: share called foreign (teleseism, noise or calibration together) at a level\n" % name)
    print("| class, source | n | %s |" % " | ".join("%.2f at %.1f s" % (v, e / 100) for v in levels for e in (10, 30, 100, 300)))
    for c in sorted(set(kind)):
        for s in sorted(set(source[kind == c])):
            mine = (kind == c) & (source == s)
            cells = ["%.3f" % np.mean(out[mine & (end == e)] >= v) if (mine & (end == e)).any() else "" for v in levels
                     for e in (10, 30, 100, 300)]
            print("| %s, %s | %d | %s |" % (ex.CLASSES[c], s, (mine & (end == 10)).sum(), " | ".join(cells)))


def calibration(p, kind, bins=10):
    """Expected calibration error of the class said."""
    top, right = p.max(1), p.argmax(1) == kind
    edges = np.linspace(0, 1, bins + 1)
    error = 0.0
    for a, b in zip(edges[:-1], edges[1:]):
        mine = (top > a) & (top <= b)
        if mine.any():
            error += mine.mean() * abs(top[mine].mean() - right[mine].mean())
    return error


# ---- what is written --------------------------------------------------------------------------------------------------

def literal(value):
    text = "%.6g" % value
    return text + ("f" if "." in text or "e" in text else ".0f")


def rows(name, table, n):
    lines = ["static const float %s = {" % name]
    for row in np.atleast_2d(table):
        cells = ", ".join(literal(v) for v in row)
        text = "    {%s}," % cells if np.ndim(table) == 2 else "    %s," % cells
        while len(text) > 120:  # at a comma
            cut = text.rfind(", ", 0, 120) + 1
            lines.append(text[:cut])
            text = "     " + text[cut:] if np.ndim(table) == 2 else "   " + text[cut:]
        lines.append(text)
    return "\n".join(lines + ["};"]) + "\n"


def write(path, fitted, note):
    net, mean, scale, _ = fitted
    state = {k: v.numpy() for k, v in net.state_dict().items()}
    with open(path, "w", encoding="utf-8") as f:
        f.write("/*\n * Written by models/train/domain/fit.py: the network of core/domain.h. For core/domain.c alone.\n * %s\n */\n"
                "#ifndef TOC_CORE_DOMAIN_WEIGHTS_H\n#define TOC_CORE_DOMAIN_WEIGHTS_H\n\n#define HIDDEN %d\n\n" % (note, HIDDEN))
        n, h, c = ex.MEASURES, HIDDEN, len(ex.CLASSES)
        f.write(rows("measure_mean[%d]" % n, mean, n) + rows("measure_scale[%d]" % n, scale, n))
        f.write(rows("hidden_weight[HIDDEN][%d]" % n, state["0.weight"], n) + rows("hidden_bias[HIDDEN]", state["0.bias"], h))
        f.write(rows("class_weight[%d][HIDDEN]" % c, state["2.weight"], h) + rows("class_bias[%d]" % c, state["2.bias"], c))
        f.write("\n#endif\n")


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--pool", required=True)
    args.add_argument("--cutter", required=True)
    args.add_argument("--sim", required=True)
    args.add_argument("--weights", required=True)
    args.add_argument("--epochs", type=int, default=30)
    args.add_argument("--cache", help="keep the measured examples here")
    opt = args.parse_args()
    torch.set_num_threads(1)
    if opt.cache and os.path.exists(opt.cache):
        with open(opt.cache, "rb") as f:
            train, aside, held = pickle.load(f)
    else:
        with open(opt.pool, "rb") as f:
            pool = pickle.load(f)
        cutter = ex.Cutter(opt.cutter)
        part = lambda f: [s for s in pool if f(s)]
        with tempfile.TemporaryDirectory() as scratch:
            train = table_of(collect(part(lambda s: s.split == "train" and not kept_aside(s)), 1, cutter,
                             {"repeat": 5, "noise": 150, "far": 3000, "artefacts": 6000, "sim": 2500}, opt.sim, scratch))
            aside = table_of(collect(part(lambda s: s.split == "validate" or s.split == "train" and kept_aside(s)), 2, cutter,
                             {"repeat": 3, "noise": 150, "far": 800, "artefacts": 1500, "sim": 500}, opt.sim, scratch))
            held = table_of(collect(part(lambda s: s.split == "held"), 3, cutter,
                            {"repeat": 1, "noise": 200, "far": 1000, "artefacts": 2000, "sim": 600}, opt.sim, scratch))
        cutter.close()
        if opt.cache:
            with open(opt.cache, "wb") as f:
                pickle.dump((train, aside, held), f, protocol=4)
    for name, data in (("train", train), ("aside", aside), ("held", held)):
        print(name, {ex.CLASSES[c]: int(((data[0] == c) & (data[1] == 10)).sum()) for c in sorted(set(data[0]))})
    ways = {"linear": fit(train, aside, 0, opt.epochs), "hidden %d" % HIDDEN: fit(train, aside, HIDDEN, opt.epochs)}
    for name, data in (("aside", aside), ("held", held)):
        for e in (10, 30, 100, 300):
            mine = data[1] == e
            row = ["rules %.3f" % balanced(data[0][mine], rules(data[2][mine]))]
            row += ["%s %.3f" % (w, balanced(data[0][mine], probabilities(f, data[2][mine]).argmax(1))) for w, f in ways.items()]
            print("%s, %.1f s: mean recall over classes: %s" % (name, e / 100, ", ".join(row)))
    fitted = ways["hidden %d" % HIDDEN]
    p = report("aside", aside, fitted)
    exclusion("aside", aside, p)
    p = report("held out", held, fitted)
    print("\nexpected calibration error, held out: %.3f" % calibration(p, held[0]))
    exclusion("held out", held, p)
    write(opt.weights, fitted, "%d arrivals measured at %d moments" % (len(set(zip(train[0], train[4]))), len(ex.ENDS)))


if __name__ == "__main__":
    main()
