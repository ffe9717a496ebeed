"""Second part of the training: what to say, given what the recurrent layers remember. No time runs here, so it is quick.

The recurrent layers are as simulated records taught them. Rows at moments drawn at random, with what is remembered then,
are taken down once; several heads with starts of their own learn from them, and their mean is what is shipped (one layer as
wide as all of them). So all folds of a cross-validation cost less than the recurrent layers did, and no real quake has a
part in what is remembered.
"""

import copy

import numpy as np
import torch

import augment
import cut
from net import Head

MOMENTS = 12  # of each drawn record


def moments(length, rows, rng):
    """[n, MOMENTS] rows from the fifth on, early ones more often."""
    at = 4 + (rows - 4) * rng.random((len(length), MOMENTS)) ** 2
    return np.minimum(at, length[:, None] - 1).astype(int)


def take_down(net, data, weights, batches, size, rng, real, rows=cut.ROWS, records=None):
    """dict of flat arrays: seen (what a head reads), target and teach columns, index of the record."""
    out = {key: [] for key in ("seen", "magnitude", "teach_m", "log_sp", "teach_sp", "log_km", "record")}
    for b in range(batches):
        pick = records[b] if records is not None else rng.choice(len(weights), size, p=weights / weights.sum())
        one = augment.draw(data, pick, rng, real, rows)
        i = moments(np.minimum(one[5], rows), rows, rng)
        with torch.no_grad():
            seen = net.seen(torch.from_numpy(one[0])).numpy()
        out["seen"].append(seen[np.arange(len(pick))[:, None], i].reshape(-1, seen.shape[2]))
        for key, value in zip(("magnitude", "teach_m", "log_sp", "teach_sp", "log_km", "record"),
                              (one[1], one[2], one[3], one[4], one[6], pick)):
            out[key].append(np.repeat(value, MOMENTS))
    return {key: np.concatenate(value) for key, value in out.items()}


def batch_from(notes, weights, n, rng):
    """Cumulative weights in, columns as tensors out."""
    i = np.searchsorted(weights, rng.random(n) * weights[-1])
    return [torch.from_numpy(notes[key][i].astype("f4")) for key in ("seen", "magnitude", "teach_m", "log_sp", "teach_sp", "log_km")]


class Heads(torch.nn.Module):
    """Several heads side by side on the same rows: one run of wide products instead of many of small ones."""

    def __init__(self, heads):
        super().__init__()
        stacked = lambda name: torch.nn.Parameter(torch.stack([h.state_dict()[name].clone() for h in heads]))
        self.mid, self.mid_bias = stacked("mid.weight"), stacked("mid.bias")
        self.out, self.out_bias = stacked("head.weight"), stacked("head.bias")

    def forward(self, seen):
        """[n, ...] -> [heads, n, OUTPUTS]"""
        seen = seen.expand(len(self.mid), *seen.shape)
        mid = torch.relu(torch.baddbmm(self.mid_bias[:, None], seen, self.mid.transpose(1, 2)))
        both = torch.cat([mid, seen[..., -cut.INPUTS:]], -1)
        return torch.baddbmm(self.out_bias[:, None], both, self.out.transpose(1, 2))

    def apart(self, heads):
        """Copies of `heads` with what was learned."""
        out = []
        for i, head in enumerate(heads):
            head = copy.deepcopy(head)
            head.load_state_dict({"mid.weight": self.mid[i], "mid.bias": self.mid_bias[i], "head.weight": self.out[i],
                                  "head.bias": self.out_bias[i]})
            out.append(head.eval())
        return out


def learn(heads, parts, steps, rate, seed, loss_of, batch=512):
    """New heads. parts: [(notes, weight of each row, share of a batch)]."""
    rng = np.random.default_rng(seed)
    net = Heads(heads)
    cumulative = [(notes, np.cumsum(weight), int(share * batch)) for notes, weight, share in parts]
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        columns = [torch.cat(c) for c in zip(*[batch_from(notes, weight, n, rng) for notes, weight, n in cumulative])]
        loss = len(heads) * loss_of(net(columns[0]), columns[1:])[0]
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), float(len(heads)) ** 0.5)
        optimiser.step()
        schedule.step()
    return net.apart(heads)


def new_head(net, seed):
    torch.manual_seed(seed)
    return Head(net.hidden, net.dense)
