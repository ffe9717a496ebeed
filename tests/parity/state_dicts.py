"""State dicts of the architectures models/import knows: PyTorch's answer in float64 and our C code's, on random weights.

    state_dicts.py build/tests/run_model

The networks are written down here from their papers, with SeisBench's names for the tensors. Random weights that make
the outputs vary; random windows. Skipped without PyTorch.
"""
import copy
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

import state_dict  # noqa: E402

TOLERANCE = 1e-5
DEEP = 1e-4  # EQTransformer: 130 layers; PyTorch's own float32 is no nearer
LIFT = 2.0
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


class AdditiveAttention(nn.Module):
    """Each row asks all rows; width: it sees only its neighbours."""

    def __init__(self, channels, width=None, units=32, eps=1e-5):
        super().__init__()
        self.width, self.eps = width, eps
        self.Wx, self.Wt = (nn.Parameter(torch.randn(channels, units) * 0.1) for _ in range(2))
        self.bh, self.Wa = nn.Parameter(torch.randn(units)), nn.Parameter(torch.randn(units, 1))
        self.ba = nn.Parameter(torch.randn(1))

    def forward(self, x):
        x = x.transpose(1, 2)
        score = (torch.tanh((x @ self.Wt)[:, :, None] + (x @ self.Wx)[:, None] + self.bh) @ self.Wa + self.ba)[..., 0]
        score = torch.exp(score - score.max(-1, keepdim=True).values)
        if self.width:
            apart = torch.arange(x.shape[1])[None] - torch.arange(x.shape[1])[:, None]
            score = score * (apart.abs() <= self.width // 2)
        return (score / (score.sum(-1, keepdim=True) + self.eps) @ x).transpose(1, 2)


class ChannelNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.rand(channels, 1) + 0.5), nn.Parameter(torch.randn(channels, 1))

    def forward(self, x):
        return F.layer_norm(x.transpose(1, 2), x.shape[1:2], eps=1e-14).transpose(1, 2) * self.gamma + self.beta


class Transformer(nn.Module):
    def __init__(self, channels, eps):
        super().__init__()
        self.attention = AdditiveAttention(channels, eps=eps)
        self.norm1, self.norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.ff = nn.ModuleDict({"lin1": nn.Linear(channels, 128), "lin2": nn.Linear(128, channels)})

    def forward(self, x):
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.ff["lin2"](F.relu(self.ff["lin1"](x.transpose(1, 2)))).transpose(1, 2))


class Residual(nn.Module):
    def __init__(self, channels, kernel):
        super().__init__()
        self.pads = ((kernel - 1) // 2, kernel - 1 - (kernel - 1) // 2)
        self.norm1, self.norm2 = nn.BatchNorm1d(channels, eps=1e-3), nn.BatchNorm1d(channels, eps=1e-3)
        self.conv1, self.conv2 = nn.Conv1d(channels, channels, kernel), nn.Conv1d(channels, channels, kernel)

    def forward(self, x):
        y = self.conv1(F.pad(F.relu(self.norm1(x)), self.pads))
        return x + self.conv2(F.pad(F.relu(self.norm2(y)), self.pads))


class CellLstm(nn.Module):
    """An LSTM both ways whose cells bear the names of the converted Keras weights."""

    def __init__(self, reads, units):
        super().__init__()
        self.cell_f, self.cell_b = nn.LSTMCell(reads, units), nn.LSTMCell(reads, units)

    @staticmethod
    def through(cell, rows):
        state, out = None, []
        for row in rows:
            state = cell(row, state)
            out.append(state[0])
        return out

    def forward(self, x):
        rows = x.unbind(0)
        forward, back = self.through(self.cell_f, rows), self.through(self.cell_b, rows[::-1])[::-1]
        return torch.cat([torch.stack(forward), torch.stack(back)], 2), None


class BothWays(nn.Module):
    def __init__(self, reads, original):
        super().__init__()
        self.lstm = CellLstm(reads, 16) if original else nn.LSTM(reads, 16, bidirectional=True)
        self.conv, self.norm = nn.Conv1d(32, 16, 1), nn.BatchNorm1d(16, eps=1e-3)

    def forward(self, x):
        return self.norm(self.conv(self.lstm(x.permute(2, 0, 1))[0].permute(1, 2, 0)))


class EQTransformer(nn.Module):
    """Mousavi et al. 2020, with windows of any length; the original's decoders cut the fourth level on both sides."""
    FILTERS, KERNELS = (8, 16, 16, 32, 32, 64, 64), (11, 9, 7, 7, 5, 5, 3)

    def __init__(self, length=6000, phases=2, original=False, lstm_blocks=3):
        super().__init__()
        self.length, self.original, eps = length, original, 1e-7 if original else 1e-5
        self.encoder = nn.ModuleDict({"convs": self.stack(3, self.FILTERS, self.KERNELS)})
        self.res_cnn_stack = nn.ModuleDict({"members": nn.ModuleList(Residual(64, k) for k in (3, 3, 3, 3, 2, 3, 2))})
        self.bi_lstm_stack = nn.ModuleDict({"members": nn.ModuleList(
            BothWays(64 if k == 0 else 16, original) for k in range(lstm_blocks))})
        self.transformer_d0, self.transformer_d = Transformer(16, eps), Transformer(16, eps)

        def decoder():
            return nn.ModuleDict({"convs": self.stack(16, self.FILTERS[::-1], self.KERNELS[::-1])})
        self.decoder_d, self.conv_d = decoder(), nn.Conv1d(8, 1, 11, padding=5)
        self.pick_lstms = nn.ModuleList(nn.LSTM(16, 16) for _ in range(phases))
        self.pick_attentions = nn.ModuleList(AdditiveAttention(16, 3, eps=eps) for _ in range(phases))
        self.pick_decoders = nn.ModuleList(decoder() for _ in range(phases))
        self.pick_convs = nn.ModuleList(nn.Conv1d(8, 1, 11, padding=5) for _ in range(phases))

    @staticmethod
    def stack(reads, filters, kernels):
        return nn.ModuleList(nn.Conv1d(a, b, k, padding=k // 2) for a, b, k in
                             zip((reads, *filters[:-1]), filters, kernels))

    def decode(self, x, convs, lengths):
        for k, (conv, length) in enumerate(zip(convs, lengths)):
            x = F.interpolate(x, scale_factor=2)
            x = F.relu(conv((x[:, :, 1:-1] if k == 3 else x) if self.original else x[:, :, :length]))
        return x

    def forward(self, x):
        lengths = []
        for conv in self.encoder["convs"]:
            lengths.insert(0, x.shape[2])
            x = F.max_pool1d(F.pad(F.relu(conv(x)), (0, x.shape[2] % 2), value=-1e10), 2)
        for stack in (self.res_cnn_stack, self.bi_lstm_stack):
            for member in stack["members"]:
                x = member(x)
        x = self.transformer_d(self.transformer_d0(x))
        out = [torch.sigmoid(self.conv_d(self.decode(x, self.decoder_d["convs"], lengths)))]
        for lstm, attention, decoder, conv in zip(self.pick_lstms, self.pick_attentions, self.pick_decoders,
                                                  self.pick_convs):
            y = attention(lstm(x.permute(2, 0, 1))[0].permute(1, 2, 0))
            out.append(torch.sigmoid(conv(self.decode(y, decoder["convs"], lengths))))
        return torch.cat(out, 1)


def level(module, _, y):
    """Scale a layer's weights so that each of its channels varies by one over these windows, and lift it, so that ReLU
    passes most of it: as they come, weights make a network that hardly looks at its input, and weights that are only
    scaled make one that multiplies every rounding."""
    channel = 1 if isinstance(module, nn.Conv1d) else y.dim() - 1
    others = [d for d in range(y.dim()) if d != channel]
    shape = [-1 if d == channel else 1 for d in range(y.dim())]
    mean, spread = y.mean(others), y.std(others) + 1e-6
    module.weight.data /= spread.reshape(-1, *[1] * (module.weight.dim() - 1))
    if module.bias is None:
        return y / spread.reshape(shape)
    module.bias.data = (module.bias.data - mean) / spread + LIFT
    return (y - mean.reshape(shape)) / spread.reshape(shape) + LIFT


def randomise(net, x):
    """Random weights a deep network still listens with, batch norms with statistics of their own: as PyTorch creates
    them, it would answer the same to everything."""
    hooks = []
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.uniform_(-0.5, 0.5)
            module.momentum = 0.9
        elif isinstance(module, (nn.Conv1d, nn.Linear)):
            hooks.append(module.register_forward_hook(level))
    net.train()(x)
    for hook in hooks:
        hook.remove()
    return net.eval()


def convert(state, folder, architecture, *options, command=False):
    """A saved state dict through the converter, by its command line or by its words."""
    saved, model = os.path.join(folder, "state.pt"), os.path.join(folder, "model.safetensors")
    torch.save(state, saved)
    words = ["--architecture", architecture, *options, saved, model]
    if not command:
        state_dict.convert(words)
        return model
    program = os.path.join(IMPORT, "state_dict.py")
    said = subprocess.run([sys.executable, program, *words], capture_output=True, text=True)
    if said.returncode != 0:
        raise AssertionError(said.stderr.strip())
    return model


def same_answer(program, net, length, architecture, *options, tolerance=TOLERANCE, command=False):
    torch.manual_seed(1)
    x = torch.randn(16, 3, length)
    with torch.no_grad():
        net, x = randomise(net(), x), x[:4]
        want = copy.deepcopy(net).double()(x.double()).transpose(1, 2).numpy()  # PyTorch's own rounding left out
        own = abs(net(x).transpose(1, 2).numpy() - want).max()
    if not want.std(axis=0).max() > 0.05:
        raise AssertionError("the answers vary by %.3f only: little would be compared" % want.std(axis=0).max())
    with tempfile.TemporaryDirectory() as folder:
        model = convert(net.state_dict(), folder, architecture, *options, command=command)
        said = equal(run(program, model, x.numpy().transpose(0, 2, 1)), want, tolerance)
        return "%s; PyTorch in float32: %.2e" % (said, own)


def refused(net, architecture, change, words):
    """A state dict that is another network's is refused, with the culprit's name."""
    state = net().state_dict()
    change(state)
    with tempfile.TemporaryDirectory() as folder:
        try:
            convert(state, folder, architecture)
        except state_dict.Refused as error:
            if words in str(error):
                return str(error)
            raise
    raise AssertionError("not refused")


def main():
    torch.set_num_threads(1)
    cases, program = Cases(), sys.argv[1]
    for name, net, length, architecture, *options in (
            ("phasenet", PhaseNet, 3001, "phasenet"),
            ("phasenet_wide", lambda: PhaseNet(root=12, classes=4), 3001, "phasenet"),
            ("gpd", GPD, 400, "gpd"),
            ("gpd_original", lambda: GPD(time_first=True, widths=THIN), 400, "gpd", "--original"),
            ("gpd_one_class", lambda: GPD(classes=1, widths=THIN), 400, "gpd")):
        cases.case(name, lambda: same_answer(program, net, length, architecture, *options, command=name == "phasenet"))
    for name, net, length in (
            ("eqtransformer", EQTransformer, 6000),
            ("eqtransformer_short", lambda: EQTransformer(3001, phases=1, lstm_blocks=2), 3001),
            ("eqtransformer_original", lambda: EQTransformer(original=True), 6000)):
        cases.case(name, lambda: same_answer(program, net, length, "eqtransformer", "--length", str(length),
                                             tolerance=DEEP))
    thin, conservative = lambda: GPD(widths=THIN), {"pick_lstms.0.cell_f.weight_ih": torch.ones(64, 16)}
    for name, net, architecture, change, words in (
            ("missing", PhaseNet, "phasenet", lambda state: state.pop("up_branch.2.0.weight"), "up_branch.2.0.weight"),
            ("surplus", thin, "gpd", lambda state: state.update({"fc3.gain": torch.ones(3)}), "fc3.gain"),
            ("shape", thin, "gpd", lambda state: state.update({"conv2.weight": torch.zeros(12, 9, 15)}), "conv2"),
            ("conservative", EQTransformer, "eqtransformer", lambda state: state.update(conservative), "hard sigmoid")):
        cases.case("refused_" + name, refused, net, architecture, change, words)
    cases.finish()


if __name__ == "__main__":
    main()
