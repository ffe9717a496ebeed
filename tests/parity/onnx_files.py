"""Networks that PyTorch exports to ONNX: PyTorch's answer and our C code's, on random weights.

    onnx_files.py build/tests/run_model

Each case is a small network with a few of the operators models/import/onnx_file.py converts; exporters write some of
them as several nodes, so the opsets vary. Skipped without PyTorch or onnx.
"""
import io
import os
import sys
import tempfile
import warnings

from against import Cases, equal, need, run

need("numpy", "torch", "onnx")
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

import onnx_file  # noqa: E402

TOLERANCE = 1e-5


class Cnn(nn.Module):
    shape = (3, 60)

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv1d(3, 8, 7, stride=2), nn.Conv1d(8, 12, 4, padding=1), nn.Conv1d(12, 6, 3)
        self.norm, self.head = nn.BatchNorm1d(8), nn.Linear(36, 5)
        self.norm.running_mean.uniform_(-1, 1)
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        x = self.norm(F.relu(self.a(x)))
        x = F.avg_pool1d(F.leaky_relu(self.b(x), 0.2), 3, 2, padding=1)
        x = F.max_pool1d(self.c(x), 3, 2, padding=1, ceil_mode=True)
        return torch.softmax(self.head(x.flatten(1)), 1)[:, :, None]


class UNet(nn.Module):
    """Skips, a transposed convolution with padding, crops, two outputs."""
    shape = (3, 65)

    def __init__(self):
        super().__init__()
        self.stem, self.down = nn.Conv1d(3, 6, 7, padding=3), nn.Conv1d(6, 10, 7, stride=4, padding=2)
        self.inner, self.up = nn.Conv1d(10, 10, 5, padding=2), nn.ConvTranspose1d(10, 6, 7, 4, 1, output_padding=1)
        self.p, self.s = nn.Conv1d(12, 2, 1), nn.Conv1d(12, 1, 3, padding=1)

    def forward(self, x):
        x = skip = torch.relu(self.stem(x))
        x = self.down(F.pad(x, (1, 0)))
        x = torch.tanh(x + torch.relu(self.inner(x)))
        x = torch.cat([skip, self.up(x)[:, :, 1:66]], 1)
        return torch.softmax(self.p(x), 1), torch.sigmoid(self.s(x))


class Lstm(nn.Module):
    shape = (4, 30)

    def __init__(self, both=False):
        super().__init__()
        self.rnn = nn.LSTM(4, 7, num_layers=2, batch_first=True, bidirectional=both)
        self.head = nn.Linear(14 if both else 7, 3)

    def forward(self, x):
        return torch.softmax(self.head(self.rnn(x.transpose(1, 2))[0]), -1).transpose(1, 2)


class GruLast(nn.Module):
    shape = (4, 30)

    def __init__(self, state=False):
        super().__init__()
        self.state, self.rnn, self.head = state, nn.GRU(4, 7, batch_first=True), nn.Linear(7, 3)

    def forward(self, x):
        rows, last = self.rnn(x.transpose(1, 2))
        return self.head(last[0] if self.state else rows[:, -1])[:, :, None]


class Norms(nn.Module):
    """What exporters write as many nodes: GELU, layer norm; nearest upsampling between."""
    shape = (4, 25)

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv1d(4, 6, 3, padding=1), nn.LayerNorm(6, eps=1e-3), nn.Linear(6, 2)
        self.norm.weight.data.uniform_(0.5, 2)
        self.norm.bias.data.uniform_(-1, 1)

    def forward(self, x):
        x = F.interpolate(F.gelu(self.conv(x)), scale_factor=3)
        return self.head(F.gelu(self.norm(x.transpose(1, 2)))).transpose(1, 2)


class Rows(nn.Module):
    """As a network from Keras is exported: rows first, transposes around each convolution, flattened row by row."""
    shape = (40, 3)
    rows_first = True

    def __init__(self):
        super().__init__()
        self.conv, self.a, self.b = nn.Conv1d(3, 5, 5, bias=False), nn.Linear(90, 8), nn.Linear(8, 2)

    def forward(self, x):
        x = (x - torch.tensor([0.1, 0.2, 0.3])) * 1.5
        x = self.conv(x.transpose(1, 2)).transpose(1, 2) + torch.arange(5.0)
        x = F.max_pool1d(torch.relu(x).transpose(1, 2), 2).transpose(1, 2)
        return self.b(torch.sigmoid(self.a(x.reshape(1, -1))))[:, :, None]


class Means(nn.Module):
    """One layer read twice under two names: nothing may be folded into it."""
    shape = (3, 20)

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv1d(3, 6, 3), nn.Linear(18, 4)

    def forward(self, x):
        x = self.conv(x)
        parts = [F.adaptive_avg_pool1d(x, 1)[:, :, 0], torch.relu(x.transpose(1, 2)).mean(1),
                 F.adaptive_max_pool1d(x, 1)[:, :, 0]]
        return self.head(torch.cat(parts, 1))[:, :, None]


class Causal(nn.Module):
    shape = (3, 40)

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv1d(3, 6, 5, dilation=2), nn.Conv1d(6, 6, 10, stride=5), nn.Conv1d(6, 4, 1)

    def forward(self, x):
        x = torch.relu(self.a(F.pad(x, (8, 0))))
        return self.c(torch.relu(self.b(F.pad(x, (5, 0)))))


class Picture(nn.Module):
    """The textbook: convolutions over two dimensions, pools, dense layers; the answer is one row."""
    shape = (2, 14, 11)

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 8, (3, 5), padding=(1, 2)), nn.Conv2d(8, 12, 3, groups=2, dilation=(2, 1))
        self.c, self.d = nn.Linear(36, 16), nn.Linear(16, 10)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.a(x)), 2)
        x = F.avg_pool2d(torch.relu(self.b(x)), (1, 3), stride=1)
        return torch.softmax(self.d(torch.relu(self.c(x.flatten(1)))), 1)[:, :, None]


class TextbookCnn(nn.Module):
    """Row S1 as it stands: 28 x 28, two convolutions of 3 x 3 with pools, two dense layers."""
    shape = (1, 28, 28)
    gain = 2

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.c, self.d = nn.Linear(1600, 128), nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.a(x)), 2)
        x = F.max_pool2d(torch.relu(self.b(x)), 2)
        return torch.softmax(self.d(torch.relu(self.c(x.flatten(1)))), 1)[:, :, None]


class TextbookRnn(nn.Module):
    """Row S2: two recurrent layers of 50 units over 100 rows of one number, one dense layer behind the last row."""
    shape = (1, 100)

    def __init__(self, kind):
        super().__init__()
        self.rnn, self.head = kind(1, 50, num_layers=2, batch_first=True), nn.Linear(50, 1)

    def forward(self, x):
        return self.head(self.rnn(x.transpose(1, 2))[0][:, -1])[:, :, None]


class Depthwise(nn.Module):
    shape = (6, 30)

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv1d(6, 12, 5, groups=6, padding=2), nn.Conv1d(12, 3, 1)

    def forward(self, x):
        return self.b(F.gelu(self.a(x)))


class Odd(nn.Module):
    """One thing that is not converted."""
    shape = (3, 20)

    def __init__(self, what):
        super().__init__()
        self.what, self.conv = what, nn.Conv1d(3, 4, 3)

    def forward(self, x):
        return self.what(self.conv(x))


class Loop(nn.Module):
    """Hidden states the network brings along."""
    shape = (3, 20)

    def __init__(self):
        super().__init__()
        self.rnn, self.state = nn.GRU(3, 4, batch_first=True), nn.Parameter(torch.ones(1, 1, 4))

    def forward(self, x):
        return self.rnn(x.transpose(1, 2), self.state)[0].transpose(1, 2)


def export(net, x, path, opset, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an exporter's remarks about itself
        torch.onnx.export(net, x, path, opset_version=opset, **options)


def convert(net, x, folder, opset=14, length=None, stream=False, **options):
    path, model = os.path.join(folder, "net.onnx"), os.path.join(folder, "net.safetensors")
    said, sys.stderr = sys.stderr, io.StringIO()
    try:
        export(net, x, path, opset, **options)
    finally:
        sys.stderr = said
    sketch = onnx_file.convert(path, length, getattr(net, "rows_first", False))
    if stream:
        sketch.forget_length()
    sketch.write(model, "test", "1")
    return model


def rows(x, net):
    """PyTorch's [1, C, T (, W)] or [1, T, C] as our rows, columns and channels side by side."""
    if getattr(net, "rows_first", False):
        return x.numpy()
    return x.movedim(1, -1).flatten(2).numpy()


def same_answer(program, make, opset=14, seed=1, again=None, **options):
    """again: rows of another window for the same file, where the file leaves the number open."""
    torch.manual_seed(seed)
    net = make().eval()
    for weight in net.parameters():
        weight.data *= getattr(net, "gain", 3) if weight.dim() > 1 else 1  # else it hardly looks at its input
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        model = convert(net, torch.randn(1, *net.shape), folder, opset, **options)
        windows = torch.randn(4, 1, net.shape[0], again) if again else torch.randn(4, 1, *net.shape)
        want = [net(x) for x in windows]
        want = torch.cat([torch.cat(y, 1) if isinstance(y, tuple) else y for y in want]).transpose(1, 2).numpy()
        if not want.std(axis=0).max() > 0.01:
            raise AssertionError("the answers hardly vary: nothing would be compared")
        got = [run(program, model, rows(x, net))[0] for x in windows]
        return equal(np.stack(got), want, TOLERANCE)


def refused(make, words, options={}):
    torch.manual_seed(1)
    net = make().eval()
    with tempfile.TemporaryDirectory() as folder:
        try:
            convert(net, torch.randn(1, *net.shape), folder, **options)
        except onnx_file.Refused as error:
            if all(word in str(error) for word in words):
                return str(error)
            raise
    raise AssertionError("not refused")


def damaged(make, seed=1, times=400):
    """Bytes of a file turned over: whatever is then read is converted or refused, and nothing else happens."""
    rng, net = np.random.default_rng(seed), make().eval()
    done = stopped = 0
    with tempfile.TemporaryDirectory() as folder:
        convert(net, torch.randn(1, *net.shape), folder)
        path = os.path.join(folder, "net.onnx")
        with open(path, "rb") as file:
            whole = np.frombuffer(file.read(), "u1")
        for _ in range(times):
            bytes_ = whole.copy()
            at = rng.integers(len(bytes_), size=rng.integers(1, 4))
            bytes_[at] ^= rng.integers(1, 256, len(at)).astype("u1")
            bytes_[:rng.integers(len(bytes_)) if rng.random() < 0.1 else None].tofile(path)
            try:
                onnx_file.convert(path)
                done += 1
            except (onnx_file.Refused, OSError):  # OSError: a tensor said to lie in another file
                stopped += 1
    if not stopped:
        raise AssertionError("nothing was refused")
    return "%d converted, %d refused" % (done, stopped)


OPEN = {"input_names": ["rows"], "dynamic_axes": {"rows": {2: "time"}}}


def main():
    torch.set_num_threads(1)
    cases, program = Cases(), sys.argv[1]
    print("onnx %s, PyTorch %s" % (onnx.__version__, torch.__version__))
    for name, make, options in (
            ("cnn", Cnn, {}), ("cnn_unfolded", Cnn, {"training": torch.onnx.TrainingMode.PRESERVE}),
            ("u_net", UNet, {}), ("lstm", Lstm, {}), ("lstm_both", lambda: Lstm(True), {}),
            ("gru_last_row", GruLast, {}), ("gru_last_state", lambda: GruLast(True), {}),
            ("norms", Norms, {}), ("norms_17", Norms, {"opset": 17}),
            ("rows_first", Rows, {}), ("read_twice", Means, {}), ("opset_11", Lstm, {"opset": 11}),
            ("causal", Causal, {}), ("causal_stream", Causal, {"stream": True, "again": 95}),
            ("open_length", Causal, dict(OPEN, length=50, again=50)), ("picture", Picture, {}),
            ("depthwise", Depthwise, {}), ("textbook_cnn", TextbookCnn, {}),
            ("textbook_lstm", lambda: TextbookRnn(nn.LSTM), {}), ("textbook_gru", lambda: TextbookRnn(nn.GRU), {})):
        cases.case(name, lambda: same_answer(program, make, **options))
    cases.case("refused_operator", refused, lambda: Odd(torch.sin), ["Sin"])
    cases.case("refused_attention", refused, lambda: Odd(lambda x: x @ x.transpose(1, 2)), ["MatMul"])
    cases.case("refused_reverse_rows", refused, lambda: Odd(lambda x: x[:, 1:3]), ["Slice", "not rows"])
    cases.case("refused_state", refused, Loop, ["GRU", "state to begin with"])
    cases.case("refused_open_length", refused, Causal, ["number of rows is open"], OPEN)
    cases.case("damaged_cnn", damaged, Cnn)
    cases.case("damaged_gru", damaged, GruLast)
    cases.finish()


if __name__ == "__main__":
    main()
