"""State dicts of the architectures models/import knows: PyTorch's answer and our C code's, on random weights.

    state_dicts.py build/tests/run_model

The networks are written down here from their papers, with SeisBench's names for the tensors. Random weights that make
the outputs vary; random windows. Skipped without PyTorch.
"""
import os
import subprocess
import sys
import tempfile

from against import IMPORT, Cases, equal, need, run

need("numpy", "torch")
import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

TOLERANCE = 1e-5
THIN = (3, 8, 12, 16, 20)


def pair(reads, filters, stride=1, transposed=False):
    """A convolution of PhaseNet without bias, and its batch norm."""
    kind = nn.ConvTranspose1d if transposed else nn.Conv1d
    return [kind(reads, filters, 7, stride=stride, bias=False), nn.BatchNorm1d(filters, eps=1e-3)]


class PhaseNet(nn.Module):
    """Zhu and Beroza 2019: five levels, stride 4, skips; windows of 3001."""

    def __init__(self, root=8, classes=3):
        super().__init__()
        self.inc, self.in_bn = nn.Conv1d(3, root, 7, padding=3), nn.BatchNorm1d(root, eps=1e-3)
        width = [root * 2 ** k for k in range(5)]
        self.down_branch = nn.ModuleList(
            nn.ModuleList(pair(width[max(k - 1, 0)], width[k]) + (pair(width[k], width[k], 4) if k < 4 else []))
            for k in range(5))
        self.up_branch = nn.ModuleList(
            nn.ModuleList(pair(width[k + 1], width[k], 4, True) + pair(2 * width[k], width[k])) for k in (3, 2, 1, 0))
        self.out = nn.Conv1d(root, classes, 1)

    def forward(self, x):
        x = F.relu(self.in_bn(self.inc(x)))
        skips = []
        for level, pads in zip(self.down_branch, ((3, 3), (2, 3), (1, 3), (2, 3), None)):
            x = F.relu(level[1](level[0](F.pad(x, (3, 3)))))
            skips.append(x)
            if pads:
                x = F.relu(level[3](level[2](F.pad(x, pads))))
        for level, skip in zip(self.up_branch, reversed(skips[:-1])):
            x = F.relu(level[1](level[0](x)))[:, :, 1:-2]
            start = (x.shape[2] - skip.shape[2]) // 2
            x = torch.cat([skip, x[:, :, start:start + skip.shape[2]]], 1)
            x = F.relu(level[3](level[2](F.pad(x, (3, 3)))))
        return torch.softmax(self.out(x), 1)


class GPD(nn.Module):
    """Ross et al. 2018: four convolutions with pools of two, three dense layers; windows of 400."""

    def __init__(self, classes=3, time_first=False, widths=(3, 32, 64, 128, 256)):
        super().__init__()
        self.time_first = time_first
        for k, kernel in enumerate((21, 15, 11, 9), 1):
            setattr(self, "conv%d" % k, nn.Conv1d(widths[k - 1], widths[k], kernel, padding=kernel // 2))
            setattr(self, "bn%d" % k, nn.BatchNorm1d(widths[k], eps=1e-3))
        self.fc1, self.bn5 = nn.Linear(25 * widths[4], 200), nn.BatchNorm1d(200, eps=1e-3)
        self.fc2, self.bn6 = nn.Linear(200, 200), nn.BatchNorm1d(200, eps=1e-3)
        self.fc3 = nn.Linear(200, classes)

    def forward(self, x):
        for k in range(1, 5):
            x = F.max_pool1d(F.relu(getattr(self, "bn%d" % k)(getattr(self, "conv%d" % k)(x))), 2)
        x = (x.transpose(1, 2) if self.time_first else x).flatten(1)
        x = F.relu(self.bn5(self.fc1(x)))
        x = self.fc3(F.relu(self.bn6(self.fc2(x))))
        return (torch.softmax(x, 1) if x.shape[1] > 1 else torch.sigmoid(x))[:, :, None]


def randomise(net, x):
    """Batch norms with statistics of their own: as created they would change nothing, and with random ones a deep network
    answers the same to everything."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm1d)]
    for norm in norms:
        norm.weight.data.uniform_(1, 4)
        norm.bias.data.uniform_(-0.5, 0.5)
        norm.momentum = 0.9
    net.train()(x)
    return net.eval()


def convert(state, folder, architecture, *options):
    """A saved state dict through the command line."""
    saved, model = os.path.join(folder, "state.pt"), os.path.join(folder, "model.safetensors")
    torch.save(state, saved)
    said = subprocess.run([sys.executable, os.path.join(IMPORT, "state_dict.py"), "--architecture", architecture,
                           *options, saved, model], capture_output=True, text=True)
    if said.returncode != 0:
        raise AssertionError(said.stderr.strip())
    return model


def same_answer(program, net, length, architecture, *options, seed=1, tolerance=TOLERANCE):
    torch.manual_seed(seed)
    x = torch.randn(4, 3, length)
    with torch.no_grad():
        net = randomise(net(), x)
        want = net(x).transpose(1, 2).numpy()
    if not want.std(axis=0).max() > 0.05:
        raise AssertionError("the answers vary by %.3f only: little would be compared" % want.std(axis=0).max())
    with tempfile.TemporaryDirectory() as folder:
        model = convert(net.state_dict(), folder, architecture, *options)
        return equal(run(program, model, x.numpy().transpose(0, 2, 1)), want, tolerance)


def refused(net, architecture, change, words):
    """A state dict that is another network's is refused, with the culprit's name."""
    state = net().state_dict()
    change(state)
    with tempfile.TemporaryDirectory() as folder:
        try:
            convert(state, folder, architecture)
        except AssertionError as error:
            if words in str(error):
                return str(error)
            raise
    raise AssertionError("not refused")


def main():
    torch.set_num_threads(1)
    cases, program = Cases(), sys.argv[1]
    cases.case("phasenet", same_answer, program, PhaseNet, 3001, "phasenet")
    cases.case("phasenet_wide", same_answer, program, lambda: PhaseNet(root=12, classes=4), 3001, "phasenet")
    cases.case("gpd", same_answer, program, GPD, 400, "gpd")
    cases.case("gpd_original", same_answer, program, lambda: GPD(time_first=True, widths=THIN), 400, "gpd", "--original")
    cases.case("gpd_one_class", same_answer, program, lambda: GPD(classes=1, widths=THIN), 400, "gpd")
    thin = lambda: GPD(widths=THIN)  # noqa: E731
    cases.case("refused_missing", refused, PhaseNet, "phasenet", lambda state: state.pop("up_branch.2.0.weight"),
               "up_branch.2.0.weight")
    cases.case("refused_surplus", refused, thin, "gpd", lambda state: state.update({"fc3.gain": torch.ones(3)}),
               "fc3.gain")
    cases.case("refused_shape", refused, thin, "gpd", lambda state: state.update(
        {"conv2.weight": torch.zeros(12, 9, 15)}), "conv2")
    cases.finish()


if __name__ == "__main__":
    main()
