"""Train the picker network on crops (crops.py), or prove the chain on made-up ground.

    train.py --crops a.0 a.1 --validate v.0 --minutes 12 --out net.pt [--init earlier.pt]
    train.py --smoke [--work folder]      synthetic quakes, no data needed, under two minutes; says nothing about
                                          real ground and its weights are of no use

The loss: cross-entropy of noise / P / S over the scored frames, and a Laplace
likelihood of the onset's age where there is one.
"""
import argparse
import copy
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
MEAN_KEEP = 0.999  # of the running mean of the weights, per step
HALF = True        # the forward pass in bfloat16: twice as fast where the processor has matrix units, as good as equal else


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


def batch(data, index, rng=None):
    """Arrays of these crops as tensors. With rng: polarity and horizontals at random, which costs nothing on features."""
    x, kind, age = data
    x = x[index].astype(np.float32).transpose(0, 2, 1).copy()
    if rng is not None:
        x[:, :3] *= rng.choice(np.float32([-1, 1]), (len(x), 3, 1))
        swap = rng.random(len(x)) < 0.5
        for a, b in ((0, 1), (3, 4)):
            x[swap, a], x[swap, b] = x[swap, b], x[swap, a]
    return (torch.from_numpy(x), torch.from_numpy(kind[index].astype(np.int64)),
            torch.from_numpy(age[index].astype(np.float32)))


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


class Run:
    """A training under way: network, its running mean (what is judged and kept), optimiser, and how far it is."""

    def __init__(self, net, rate):
        self.net, self.mean = net, copy.deepcopy(net)
        self.optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-2)
        self.rate, self.done, self.spent, self.best, self.best_at = rate, 0, 0.0, np.inf, 0.0
        self.best_state = copy.deepcopy(net.state_dict())

    def set_rate(self, share):
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * min(1.0, (self.done + 1) / 200) * (0.5 + 0.5 * np.cos(np.pi * share)) + 1e-6

    @torch.no_grad()
    def follow(self):
        """The running mean takes a step: of weights and of batch statistics alike."""
        keep = min(MEAN_KEEP, (self.done + 1) / (self.done + 10))
        for old, new in zip(self.mean.state_dict().values(), self.net.state_dict().values()):
            if old.dtype.is_floating_point:
                old.mul_(keep).add_(new, alpha=1 - keep)
            else:
                old.copy_(new)

    def step(self, data, index, rng):
        x, kind, age = batch(data, index, rng)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=HALF):
            out = self.net(x)
        entropy, miss = losses(out.float(), kind, age)
        self.optimiser.zero_grad()
        (entropy + AGE_WEIGHT * miss).backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 2.0)
        self.optimiser.step()
        self.follow()
        self.done += 1
        return entropy.item(), miss.item()

    def judge(self, validate):
        """Validation losses of the running mean; keeps it when it is the best so far."""
        held = evaluate(self.mean, validate) if validate is not None else (np.nan, np.nan)
        if validate is None or held[0] + AGE_WEIGHT * held[1] < self.best:
            self.best, self.best_at = held[0] + AGE_WEIGHT * held[1], self.spent
            self.best_state = copy.deepcopy(self.mean.state_dict())
        return held

    def save(self, path):
        state = {k: getattr(self, k) for k in ("done", "spent", "best", "best_at", "best_state")}
        torch.save(dict(state, net=self.net.state_dict(), mean=self.mean.state_dict(),
                        optimiser=self.optimiser.state_dict()), path + ".run.tmp")
        os.replace(path + ".run.tmp", path + ".run")
        torch.save(self.best_state, path)

    def resume(self, path):
        state = torch.load(path + ".run")
        self.net.load_state_dict(state.pop("net"))
        self.mean.load_state_dict(state.pop("mean"))
        self.optimiser.load_state_dict(state.pop("optimiser"))
        self.__dict__.update(state)


def train(net, data, validate, minutes, rate, size, log=print, checkpoint=None, steps=None, seed=0, patience_min=None,
          resume=False):
    """Until `minutes` of work are over (or `steps` done), or `patience_min` went by without a better validation; learning
    rate on a cosine of the share used up. `net` has the best running mean afterwards. With a checkpoint it can be stopped
    at any moment and resumed: <checkpoint>.run has all of its state."""
    run = Run(net, rate)
    if resume and checkpoint and os.path.exists(checkpoint + ".run"):
        run.resume(checkpoint)
        log("resumed at step %d, %.1f min" % (run.done, run.spent / 60), flush=True)
    rng = np.random.default_rng(seed + run.done)
    clock, told, order, recent = time.time(), -60.0, np.empty(0, int), []
    share = lambda: run.done / steps if steps else run.spent / (60 * minutes)
    net.train()
    while share() < 1:
        run.set_rate(share())
        if len(order) < size:
            order = rng.permutation(len(data[0]))
        index, order = np.sort(order[:size]), order[size:]
        recent.append(run.step(data, index, rng))
        run.spent, clock = run.spent + time.time() - clock, time.time()
        if run.spent - told > 60:
            told = run.spent
            tell(run, "step", recent, run.judge(validate), log)
            if checkpoint:
                run.save(checkpoint)
            if patience_min and run.spent - run.best_at > 60 * patience_min:
                log("no better for %.0f min" % patience_min, flush=True)
                break
            clock = time.time()
    held = run.judge(validate)
    tell(run, "end: step", recent, held, log)
    if checkpoint:
        run.save(checkpoint)
    net.load_state_dict(run.best_state)
    net.eval()
    return np.mean(recent[-200:], axis=0), held


def tell(run, word, recent, held, log):
    mean = np.mean(recent[-200:], axis=0) if recent else (np.nan, np.nan)
    log("%s %d, %.1f min, loss %.4f age %.3f, validation %.4f age %.3f" % (
        word, run.done, run.spent / 60, mean[0], mean[1], held[0], held[1]), flush=True)


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
    args.add_argument("--patience", type=float, help="minutes without a better validation after which it stops")
    args.add_argument("--resume", action="store_true", help="go on from <out>.run if it is there")
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
              opt.batch, checkpoint=opt.out, seed=opt.seed, patience_min=opt.patience, resume=opt.resume)
