"""The estimator network and how it becomes a file: two LSTM layers reading 0.1 s steps, two dense layers saying four numbers."""

import os
import sys

import numpy as np
import torch
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from export import write_model  # noqa: E402

from cut import INPUTS  # noqa: E402

OUTPUTS = 4
LOG_SIGMA_LEAST, LOG_SIGMA_MOST = -3.0, 1.0
GOLDEN_STEPS = 40


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


def golden_input():
    """Rows that look like nothing in particular, the same here and in tests/unit/test_estimator.c."""
    k, c = np.meshgrid(np.arange(GOLDEN_STEPS), np.arange(INPUTS), indexing="ij")
    return (-5 + 2 * np.sin(0.7 * c + 0.13 * k * (1 + c % 3))).astype("f4")


def export(net, path, version, notes=None):
    """Write the file; standardisation goes into the first layer's weights. Returns the checksum."""
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
    with torch.no_grad():
        golden = net(torch.from_numpy(golden_input())[None])[0, -1].numpy()
    constants = dict(notes or {})
    constants.update({"golden_%d" % i: float(golden[i]) for i in range(OUTPUTS)})
    return write_model(path, "estimator", version, graph, {k: v.float() for k, v in state.items()}, constants)
