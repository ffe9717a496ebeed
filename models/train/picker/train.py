"""Train the picker network on crops (crops.py), or prove the chain on made-up ground.

    train.py --crops a.0 a.1 --validate v.0 --minutes 12 --out net.pt [--init earlier.pt]
    train.py --smoke [--work folder]      synthetic quakes, no data needed, under two minutes; says nothing about
                                          real ground and its weights are of no use

The loss: cross-entropy of noise / P / S over the scored frames, and a Laplace
likelihood of the onset's age where there is one.
"""
import argparse
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import net as network  # noqa: E402

CLASS_WEIGHT = torch.tensor([1.0, 1.0, 0.5])
AGE_WEIGHT = 0.08


def laplace(out, first, age):
    """Mean -log likelihood of the ages where they are known."""
    known = torch.isfinite(age)
    if not known.any():
        return out.sum() * 0
    log_scale = out[:, first + 1][known].clamp(-4.6, 1.0)
    miss = (out[:, first][known] - age[known]).abs()
    return (miss * torch.exp(-log_scale) + log_scale).mean()


def losses(out, kind, age):
    """Cross-entropy of the classes, and of the ages."""
    entropy = F.cross_entropy(out[:, :3], kind.clamp(min=-1), ignore_index=-1, reduction="none", weight=CLASS_WEIGHT)
    scored = (kind >= 0).sum().clamp(min=1)
    share = F.softmax(out[:, :3], 1)
    for code, phase in ((-2, 2), (-3, 1)):  # augment.NOT_S, NOT_P
        entropy = entropy - (kind == code) * torch.log((1 - share[:, phase]).clamp(min=1e-4)) * 0.5
    return entropy.sum() / scored, laplace(out, 3, age[:, 0]) + 0.4 * laplace(out, 5, age[:, 1])


def batch(data, index):
    x, kind, age = data
    return (torch.from_numpy(x[index].astype(np.float32).transpose(0, 2, 1).copy()),
            torch.from_numpy(kind[index].astype(np.int64)), torch.from_numpy(age[index].astype(np.float32)))


@torch.no_grad()
def evaluate(net, data):
    net.eval()
    total, ages, n = 0.0, 0.0, 0
    for a in range(0, len(data[0]), 64):
        x, kind, age = batch(data, slice(a, a + 64))
        entropy, miss = losses(net(x), kind, age)
        total, ages, n = total + entropy.item() * len(x), ages + miss.item() * len(x), n + len(x)
    net.train()
    return total / n, ages / n


def train(net, data, validate, minutes, rate, size, log=print, checkpoint=None, steps=None):
    """Until `minutes` are over (or `steps` done), learning rate on a cosine of the share used up."""
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-2)
    rng = np.random.default_rng(0)
    begin, done, told, order = time.time(), 0, 0.0, np.empty(0, int)
    recent = []
    net.train()
    while True:
        share = done / steps if steps else (time.time() - begin) / (60 * minutes)
        if share >= 1:
            break
        warm = min(1.0, (done + 1) / 100)
        for group in optimiser.param_groups:
            group["lr"] = rate * warm * (0.5 + 0.5 * np.cos(np.pi * share)) + 1e-6
        if len(order) < size:
            order = rng.permutation(len(data[0]))
        index, order = np.sort(order[:size]), order[size:]
        x, kind, age = batch(data, index)
        entropy, miss = losses(net(x), kind, age)
        loss = entropy + AGE_WEIGHT * miss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimiser.step()
        done += 1
        recent.append((entropy.item(), miss.item()))
        if time.time() - told > 60:
            told = time.time()
            mean = np.mean(recent[-200:], axis=0)
            held = evaluate(net, validate) if validate is not None else (np.nan, np.nan)
            log("step %d, %.1f min, loss %.4f age %.3f, validation %.4f age %.3f" % (
                done, (told - begin) / 60, mean[0], mean[1], held[0], held[1]), flush=True)
            if checkpoint:
                torch.save(net.state_dict(), checkpoint)
    net.eval()
    mean = np.mean(recent[-200:], axis=0)
    held = evaluate(net, validate) if validate is not None else (np.nan, np.nan)
    net.eval()
    log("end: step %d, %.1f min, loss %.4f age %.3f, validation %.4f age %.3f" % (
        done, (time.time() - begin) / 60, mean[0], mean[1], held[0], held[1]), flush=True)
    if checkpoint:
        torch.save(net.state_dict(), checkpoint)
    return mean, held


# ---- the chain on made-up ground --------------------------------------------------------------------------------------

def made_up_stream(rng, k):
    """A minute and a half of coloured noise with one made-up quake: two bursts with a decay each."""
    import pool
    n = 9000
    rows = rng.standard_normal((n, 3))
    rows = (np.cumsum(rows, 0) * 0.05 + rows) * np.exp(rng.uniform(0, 5))
    level = rows[:2000].std(0).mean()
    p = rng.uniform(2500, 6000)
    s = p + rng.uniform(150, 1200)
    for at, size, vertical in ((p, 8.0, 1.0), (s, 20.0, 0.4)):
        t = (np.arange(n) - at) / 100.0
        burst = np.where(t > 0, np.exp(-np.maximum(t, 0) / 3), 0) * rng.standard_normal(n)
        burst = np.convolve(burst, np.hanning(9) / 4, "same")
        rows += level * size * burst[:, None] * np.array([1.2 - vertical, 1.2 - vertical, vertical])
    return pool.Stream("made-up", "made-up/%d" % k, "XX.M%d" % k, 0.0, rows.astype(np.float32), np.ones(3, bool),
                       "train", [p], [s])


def smoke(work):
    """Streams -> crops through cut_windows -> training -> weights.safetensors. Fails when the loss does not fall."""
    import crops
    import export_picker
    import tempfile
    work = work or tempfile.mkdtemp(prefix="picker-smoke-")
    os.makedirs(work, exist_ok=True)
    rng = np.random.default_rng(7)
    torch.manual_seed(7)
    streams = [made_up_stream(rng, k) for k in range(24)]
    crops.make(streams, "train", 240, 1, os.path.join(work, "smoke.0"))
    crops.make(streams, "train", 60, 2, os.path.join(work, "smoke.1"))
    data, held = crops.load([os.path.join(work, "smoke.0")]), crops.load([os.path.join(work, "smoke.1")])
    net = network.Picker()
    before = evaluate(net, held)[0]
    train(net, data, None, None, 4e-3, 16, steps=90)
    after = evaluate(net, held)[0]
    net.eval()
    path = os.path.join(work, "weights.safetensors")
    export_picker.write(net, path, "smoke", {"p": 0.8, "s": 0.8}, {"words": "made-up crops"})
    worst = export_picker.compare(net, path)
    print("smoke: loss on unseen made-up crops %.3f -> %.3f; exported graph differs by %.1e" % (before, after, worst))
    if not after < 0.75 * before or not worst < 1e-4:
        raise SystemExit("smoke: the chain does not learn or does not export")


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--smoke", action="store_true")
    args.add_argument("--work")
    args.add_argument("--crops", nargs="+")
    args.add_argument("--validate", nargs="+")
    args.add_argument("--init")
    args.add_argument("--minutes", type=float, default=12)
    args.add_argument("--rate", type=float, default=4e-3)
    args.add_argument("--batch", type=int, default=48)
    args.add_argument("--threads", type=int, default=1)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--out")
    opt = args.parse_args()
    torch.set_num_threads(opt.threads)
    if opt.smoke:
        smoke(opt.work)
    else:
        import crops
        torch.manual_seed(opt.seed)
        one = network.Picker()
        if opt.init:
            one.load_state_dict(torch.load(opt.init))
        train(one, crops.load(opt.crops), crops.load(opt.validate) if opt.validate else None, opt.minutes, opt.rate,
              opt.batch, checkpoint=opt.out)
