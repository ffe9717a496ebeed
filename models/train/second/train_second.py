"""Train the second look on proposals (candidates.py), or prove the chain on made-up ground.

    train_second.py --crops c.0 c.1 --validate v.0 --minutes 20 --out second.pt    goes on where second.pt.state stopped
    train_second.py --smoke [--work folder]

The loss: cross-entropy of nothing / P / S, and of the place of the onset where there is one. Every draw moves the proposal
a little and shows as many rows after it as one of the looks does, so one crop is never seen twice alike.
"""
import argparse
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import second_net as network  # noqa: E402

LOOKS = (90, 190, 290, 390)          # as candidates.py
SHARE = (0.55, 0.20, 0.15, 0.10)     # of the sources first, trigger, near, chance
NOTHING_WEIGHT = 2.0                 # a proposal where nothing is counts so much more: they are fewer than in the field
SHOWN_EXACTLY, HIDDEN = 0.7, 0.04
PLACE_WEIGHT = 0.35
MOVED = 6                            # rows


class Data:
    """Crops and their proposals, drawn from at random."""

    def __init__(self, paths, seed):
        self.x = [np.load(p + ".x.npy", mmap_mode="r") for p in paths]
        tables = [np.load(p + ".proposals.npy") for p in paths]
        self.table = np.concatenate([np.c_[np.full(len(t), k), t] for k, t in enumerate(tables)])
        self.rng = np.random.default_rng(seed)
        source, kind = self.table[:, 2].astype(int), self.table[:, 5].astype(int)
        worth = np.where(kind == 0, NOTHING_WEIGHT, 1.0)
        for s in range(4):
            total = worth[source == s].sum()
            worth[source == s] *= SHARE[s] / total if total else 0
        self.upto = np.cumsum(worth / worth.sum())

    def draw(self, n):
        return np.searchsorted(self.upto, self.rng.random(n)).clip(max=len(self.table) - 1)

    def batch(self, index, seen=None):
        """x [n, 8, ROWS], class [n], place [n] in bins (nan none). seen: rows shown after each; None: at random."""
        rng, n = self.rng, len(index)
        rows = self.table[index]
        move = rng.integers(-MOVED, MOVED + 1, n) if seen is None else 0
        at = np.rint(rows[:, 3] + move).astype(int)
        offset = rows[:, 6] + rows[:, 3] - at
        if seen is None:
            seen = np.where(rng.random(n) < SHOWN_EXACTLY, rng.choice(LOOKS, n), rng.integers(30, 400, n))
            seen = np.maximum(seen, np.where(rows[:, 2] == 0, rows[:, 4] - at + 5, 0)).astype(int)
            hidden = np.where(rng.random(n) < HIDDEN, rng.integers(0, 200, n), 0)
        else:
            seen, hidden = np.full(n, seen), np.zeros(n, int)
        x = np.zeros((n, network.ROWS, network.INPUTS), np.float32)
        for k in range(n):
            crop = self.x[int(rows[k, 0])][int(rows[k, 1])]
            start = at[k] - network.BEFORE
            a, b = max(start + hidden[k], 0), min(at[k] + seen[k], start + network.ROWS, len(crop))
            if b > a:
                x[k, a - start:b - start, :7] = crop[a:b]
                x[k, a - start:b - start, 7] = 1
        kind = rows[:, 5].astype(np.int64)
        place = np.where(kind > 0, (offset + network.BINS) / 2 - 0.5, np.nan)
        return torch.from_numpy(x).transpose(1, 2), torch.from_numpy(kind), torch.from_numpy(place.astype(np.float32))


def place_loss(logits, place):
    known = torch.isfinite(place) & (place > 0) & (place < network.BINS - 1)
    if not known.any():
        return logits.sum() * 0
    p = place[known][:, None]
    bins = torch.arange(network.BINS)[None].float()
    target = (1.5 - (bins - p).abs()).clamp(min=0)  # a triangle of 60 ms
    target = target / target.sum(1, keepdim=True)
    return -(target * F.log_softmax(logits[known], 1)).sum(1).mean()


def losses(out, kind, place):
    return F.cross_entropy(out[:, :3], kind), place_loss(out[:, 3:], place)


@torch.no_grad()
def evaluate(net, data, look, limit=6000):
    """Of the first stage's proposals: cross-entropy, place loss, and of P the share placed within 0.1 s."""
    net.eval()
    index = np.flatnonzero(data.table[:, 2] == 0)[:limit]
    sums, near, n_p = np.zeros(2), 0, 0
    for a in range(0, len(index), 256):
        x, kind, place = data.batch(index[a:a + 256], look)
        out = net(x)
        sums += [v.item() * len(x) for v in losses(out, kind, place)]
        at = smooth(torch.softmax(out[:, 3:], 1)).argmax(1).float()
        near += int(((at - place).abs()[kind == 1] <= 5).sum())
        n_p += int(((kind == 1) & torch.isfinite(place)).sum())
    net.train()
    return sums / max(len(index), 1), near / max(n_p, 1)


def smooth(probability):
    """Mass within 60 ms on either side: the most likely place is where that is largest."""
    return F.avg_pool1d(F.pad(probability[:, None], (3, 3)), 7, 1)[:, 0]


def train(net, data, validate, minutes, rate, size, out=None, steps=None, log=print):
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=2e-2)
    done, used, told = 0, 0.0, time.time()
    if out and os.path.exists(out + ".state"):
        state = torch.load(out + ".state")
        net.load_state_dict(state["net"])
        optimiser.load_state_dict(state["optimiser"])
        done, used = state["done"], state["used"]
        data.rng = np.random.default_rng(done)
        log("goes on at step %d, %.1f min" % (done, used / 60), flush=True)
    recent, last = [], time.process_time()
    net.train()
    while True:
        share = done / steps if steps else used / (60 * minutes)
        if share >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = float(rate * min(1.0, (done + 1) / 200) * (0.5 + 0.5 * np.cos(np.pi * share)) + 1e-6)
        x, kind, place = data.batch(data.draw(size))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = net(x)
        entropy, miss = losses(y.float(), kind, place)
        optimiser.zero_grad()
        (entropy + PLACE_WEIGHT * miss).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimiser.step()
        recent.append((entropy.item(), miss.item()))
        done, now = done + 1, time.process_time()
        used, last = used + now - last, now  # of this process alone: others share the machine
        if time.time() - told > 180:
            told = time.time()
            mean = np.mean(recent[-200:], axis=0)
            text = ""
            if validate is not None:
                for look in (90, 190, 390):
                    (e, m), near = evaluate(net, validate, look)
                    text += "  %.1f s: %.4f place %.3f within 0.1 s %.3f" % (look / 100, e, m, near)
            log("step %d, %.1f min, loss %.4f place %.3f |%s" % (done, used / 60, mean[0], mean[1], text), flush=True)
            if out:
                torch.save({"net": net.state_dict(), "optimiser": optimiser.state_dict(), "done": done, "used": used},
                           out + ".state")
            last = time.process_time()
    net.eval()
    if out:
        torch.save(net.state_dict(), out)
    return np.mean(recent[-100:], axis=0)


def smoke(work):
    """Made-up crops -> proposals -> training -> weights.safetensors. Fails when the loss does not fall."""
    import tempfile
    sys.path.insert(0, os.path.join(os.path.dirname(HERE), "picker"))
    import candidates
    import crops
    import export_second
    sys.path.insert(0, os.path.join(os.path.dirname(HERE), "picker"))  # before other folders' train.py, once more
    import train as picker_train
    work = work or tempfile.mkdtemp(prefix="second-smoke-")
    os.makedirs(work, exist_ok=True)
    rng = np.random.default_rng(7)
    torch.manual_seed(7)
    streams = [picker_train.made_up_stream(rng, k) for k in range(24)]
    path = os.path.join(work, "smoke.0")
    crops.make(streams, "train", 160, 1, path)
    first = candidates.FirstStage(os.path.join(HERE, "..", "..", "picker", "weights.safetensors"))
    np.save(path + ".proposals.npy", candidates.collect(path, first, 1))
    data = Data([path], 1)
    net = network.Second()
    x, kind, place = data.batch(data.draw(128), 180)
    net.eval()
    with torch.no_grad():
        before = losses(net(x), kind, place)[0].item()
    train(net, data, None, None, 2e-3, 32, steps=90)
    with torch.no_grad():
        after = losses(net(x), kind, place)[0].item()
    written = os.path.join(work, "weights.safetensors")
    export_second.write(net, written, "smoke", {})
    print("smoke: second look, loss %.3f -> %.3f" % (before, after))
    if not after < 0.8 * before:
        raise SystemExit("smoke: the second look does not learn")


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--smoke", action="store_true")
    args.add_argument("--work")
    args.add_argument("--crops", nargs="+")
    args.add_argument("--validate", nargs="+")
    args.add_argument("--minutes", type=float, default=20)
    args.add_argument("--rate", type=float, default=2e-3)
    args.add_argument("--batch", type=int, default=192)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--out")
    opt = args.parse_args()
    torch.set_num_threads(1)
    if opt.smoke:
        smoke(opt.work)
    else:
        torch.manual_seed(opt.seed)
        one = network.Second()
        train(one, Data(opt.crops, opt.seed), Data(opt.validate, 99) if opt.validate else None, opt.minutes, opt.rate,
              opt.batch, opt.out)
