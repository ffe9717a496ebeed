"""The estimator network and how it becomes a file: two LSTM layers reading 0.1 s steps, two dense layers saying four numbers."""

import json
import os
import sys

import numpy as np
import torch
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from export import manifest, write_model  # noqa: E402

from cut import INPUTS  # noqa: E402

OUTPUTS = 4
LOG_SIGMA_LEAST, LOG_SIGMA_MOST = -3.0, 1.0
HERE = os.path.dirname(os.path.abspath(__file__))
DOMAIN = os.path.join(os.path.dirname(os.path.dirname(HERE)), "estimator", "domain.json")  # what it was trained on


class Estimator(nn.Module):
    def __init__(self, hidden=48, dense=32):
        super().__init__()
        self.hidden, self.dense = hidden, dense
        self.rnn0 = nn.LSTM(INPUTS, hidden, batch_first=True)
        self.rnn1 = nn.LSTM(hidden, hidden, batch_first=True)
        self.mid = nn.Linear(hidden, dense)
        self.head = nn.Linear(dense, OUTPUTS)
        with torch.no_grad():  # start from what one would say without looking
            self.head.bias.copy_(torch.tensor([4.5, 0.3, 0.8, -0.9]))
        self.register_buffer("mean", torch.zeros(INPUTS))
        self.register_buffer("std", torch.ones(INPUTS))

    def standardise_by(self, rows):
        flat = rows.reshape(-1, INPUTS)
        self.mean.copy_(torch.as_tensor(flat.mean(0)))
        self.std.copy_(torch.as_tensor(np.maximum(flat.std(0), 0.3)))
        self.mean[13:] = 0
        self.std[13:] = 1

    def forward(self, rows):
        x = (rows - self.mean) / self.std
        x, _ = self.rnn0(x)
        x, _ = self.rnn1(x)
        return self.head(torch.relu(self.mid(x)))

    def widen(self, magnitude, log_sp):
        """Multiply the two sigmas it says."""
        with torch.no_grad():
            self.head.bias[1] += float(np.log(magnitude))
            self.head.bias[3] += float(np.log(log_sp))


@torch.no_grad()
def answer(net, rows):
    """What the network says to steps [n, INPUTS]: [n, OUTPUTS]."""
    return net(torch.from_numpy(np.ascontiguousarray(rows, "f4"))[None])[0].numpy()


def export(net, path, version, notes=None, training=None):
    """Write the file; standardisation goes into the first layer's weights. training: what it has seen, by default
    models/estimator/domain.json. Returns the checksum."""
    state = {k: v.detach().double() for k, v in net.state_dict().items()}
    mean, std = state.pop("mean"), state.pop("std")
    weight = state["rnn0.weight_ih_l0"] / std
    state["rnn0.bias_ih_l0"] = state["rnn0.bias_ih_l0"] - weight @ mean
    state["rnn0.weight_ih_l0"] = weight
    graph = {"input": {"channels": INPUTS}, "layers": [
        {"op": "lstm", "name": "rnn0", "channels": net.hidden}, {"op": "lstm", "name": "rnn1", "channels": net.hidden},
        {"op": "dense", "name": "mid", "channels": net.dense, "activation": "relu"},
        {"op": "dense", "name": "head", "channels": OUTPUTS}]}
    net.eval()
    if training is None:
        with open(DOMAIN) as file:
            training = json.load(file)
    said = manifest("estimator", lambda rows: answer(net, rows), training, card="models/estimator/card.md")
    return write_model(path, "estimator", version, graph, {k: v.float() for k, v in state.items()}, notes, said)
