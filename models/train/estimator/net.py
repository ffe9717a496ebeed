"""The estimator network and how it becomes a file: two LSTM layers reading 0.1 s steps, dense layers saying nine numbers."""

import json
import os
import sys

import numpy as np
import torch
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from export import manifest, write_model  # noqa: E402

from cut import COLUMN, INPUTS, OUTPUTS  # noqa: E402

MIDDLE_LOG_KM = 1.5
LEAST_KM, MOST_KM = 5.0, 300.0
LOG_SIGMA_LEAST, LOG_SIGMA_MOST = -3.0, 1.0
FLAGS = [COLUMN[name] for name in ("clipped", "step_clipped", "horizontals", "gain_known", "s_known")]
HERE = os.path.dirname(os.path.abspath(__file__))
DOMAIN = os.path.join(os.path.dirname(os.path.dirname(HERE)), "estimator", "domain.json")  # what it was trained on


class Head(nn.Module):
    """Reads what the recurrent layers say beside the row: a dense layer, then that and the row make the output."""

    def __init__(self, hidden, dense):
        super().__init__()
        self.dense = dense
        self.mid = nn.Linear(hidden + INPUTS, dense)
        self.head = nn.Linear(dense + INPUTS, OUTPUTS)
        with torch.no_grad():  # start from what one would say without looking
            self.head.weight.mul_(0.3)
            self.head.bias.copy_(torch.tensor([4.5, 0.3, 0.8, -0.9, 4.5, 1.5, 0.0, 0.0, 0.0]))

    def forward(self, seen):
        return self.head(torch.cat([torch.relu(self.mid(seen)), seen[..., -INPUTS:]], -1))


class Estimator(nn.Module):
    def __init__(self, hidden=40, dense=40):
        super().__init__()
        self.hidden, self.dense = hidden, dense
        self.rnn0 = nn.LSTM(INPUTS, hidden, batch_first=True)
        self.rnn1 = nn.LSTM(hidden, hidden, batch_first=True)
        self.out = Head(hidden, dense)
        self.register_buffer("mean", torch.zeros(INPUTS))
        self.register_buffer("std", torch.ones(INPUTS))

    def standardise_by(self, rows):
        flat = rows.reshape(-1, INPUTS)
        self.mean.copy_(torch.as_tensor(flat.mean(0)))
        self.std.copy_(torch.as_tensor(np.maximum(flat.std(0), 0.3)))
        self.mean[FLAGS] = 0
        self.std[FLAGS] = 1

    def seen(self, rows):
        """What a head reads: the upper recurrent layer and the row, standardised."""
        row = (rows - self.mean) / self.std
        x, _ = self.rnn0(row)
        x, _ = self.rnn1(x)
        return torch.cat([x, row], -1)

    def forward(self, rows):
        return self.out(self.seen(rows))

    def with_heads(self, heads):
        """The same memory under the mean of these heads, which is one head as wide as all of them."""
        net = Estimator(self.hidden, sum(h.dense for h in heads))
        state = {k: v for k, v in self.state_dict().items() if not k.startswith("out.")}
        parts = [h.state_dict() for h in heads]
        state["out.mid.weight"] = torch.cat([p["mid.weight"] for p in parts])
        state["out.mid.bias"] = torch.cat([p["mid.bias"] for p in parts])
        row = torch.stack([p["head.weight"][:, -INPUTS:] for p in parts]).mean(0)
        state["out.head.weight"] = torch.cat([p["head.weight"][:, :-INPUTS] / len(parts) for p in parts] + [row], 1)
        state["out.head.bias"] = torch.stack([p["head.bias"] for p in parts]).mean(0)
        net.load_state_dict(state)
        return net.eval()

    def widen(self, output, at_one_s, per_decade):
        """Add to the ln of a sigma: a constant, and so much for each factor of ten in the seconds after P."""
        c = COLUMN["log_after"]
        with torch.no_grad():
            self.out.head.weight[output, self.dense + c] += float(per_decade * self.std[c])
            self.out.head.bias[output] += float(at_one_s + per_decade * self.mean[c])


def likeliest(out, log_km):
    x = log_km - MIDDLE_LOG_KM
    return out[..., 4] + x * (out[..., 5] + x * out[..., 6])


def split_normal(likeliest_m, below, above):
    """Mean, sigma and upper bound as toc_estimator_magnitude_at() gives them for a distance without error."""
    mean = likeliest_m + (above - below) * np.sqrt(2 / np.pi)
    return mean, np.sqrt((1 - 2 / np.pi) * (above - below) ** 2 + above * below), likeliest_m + 2 * above


@torch.no_grad()
def answer(net, rows):
    """What the network says to steps [n, INPUTS]: [n, OUTPUTS]."""
    return net(torch.from_numpy(np.ascontiguousarray(rows, "f4"))[None])[0].numpy()


def unstandardised(net):
    """The tensors of a network that reads rows as they are."""
    state = {k.replace("out.", ""): v.detach().double() for k, v in net.state_dict().items()}
    mean, std = state.pop("mean"), state.pop("std")
    for weight, bias, first in (("rnn0.weight_ih_l0", "rnn0.bias_ih_l0", 0), ("mid.weight", "mid.bias", net.hidden),
                                ("head.weight", "head.bias", net.dense)):
        of_row = state[weight][:, first:first + INPUTS] / std
        state[bias] = state[bias] - of_row @ mean
        state[weight] = state[weight].clone()
        state[weight][:, first:first + INPUTS] = of_row
    return {k: v.float() for k, v in state.items()}


def export(net, path, version, notes=None, training=None):
    """Write the file. training: what it has seen, by default models/estimator/domain.json. Returns the checksum."""
    graph = {"input": {"channels": INPUTS}, "layers": [
        {"op": "lstm", "name": "rnn0", "channels": net.hidden}, {"op": "lstm", "name": "rnn1", "channels": net.hidden},
        {"op": "concat", "name": "seen", "inputs": ["rnn1", "input"]},
        {"op": "dense", "name": "mid", "channels": net.dense, "activation": "relu"},
        {"op": "concat", "name": "both", "inputs": ["mid", "input"]},
        {"op": "dense", "name": "head", "channels": OUTPUTS}]}
    net.eval()
    if training is None:
        with open(DOMAIN) as file:
            training = json.load(file)
    said = manifest("estimator", lambda rows: answer(net, rows), training, card="models/estimator/card.md")
    return write_model(path, "estimator", version, graph, unstandardised(net), notes, said)
