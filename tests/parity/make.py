"""Make the vectors of this folder: small networks run by PyTorch, which core/model.c must repeat to 1e-5.

Run by hand when a case is added (python3 tests/parity/make.py; PyTorch and numpy); the tests read the stored files
and need neither. tests/parity/fresh.py builds other networks with the same Builder at every run. NAME.safetensors is a
model file, NAME.vec one input and PyTorch's output: four u32 (rows and channels in, rows and channels out), then the
floats of both, rows first, little endian.
"""

import os
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "models", "train"))
sys.dont_write_bytecode = True
from export import write_model  # noqa: E402


class AdditiveAttention(torch.nn.Module):
    """The attention of Mousavi et al. 2020 with the names of its SeisBench port; the formula is in core/attention.h."""

    def __init__(self, channels, units, width=None, eps=1e-5):
        super().__init__()
        self.width, self.eps = width, eps
        for name, shape in (("Wx", (channels, units)), ("Wt", (channels, units)), ("bh", (units,)), ("Wa", (units, 1)),
                            ("ba", (1,))):
            self.register_parameter(name, torch.nn.Parameter(torch.randn(shape) * shape[0] ** -0.5))

    def forward(self, x):  # [1, T, C]
        compared = torch.tanh((x @ self.Wt).unsqueeze(2) + (x @ self.Wx).unsqueeze(1) + self.bh)
        scores = (compared @ self.Wa + self.ba).squeeze(3)
        weights = torch.exp(scores - scores.max(2, keepdim=True).values)
        if self.width:
            weights = weights * sees(x.shape[1], self.width)
        return weights / (weights.sum(2, keepdim=True) + self.eps) @ x


def sees(rows, width):
    """[rows, rows]: may row i look at row j."""
    i, j = torch.arange(rows)[:, None], torch.arange(rows)[None, :]
    return (j - width // 2 <= i) & (i < j - width // 2 + width)


def pair(value):
    return tuple(value) if isinstance(value, (list, tuple)) else (value, value)


class Builder:
    """Adds a layer to the graph and applies PyTorch's own to the running tensors, [1, C, T] or [1, C, H, W] throughout.

    fill: called with each module (or None) before it is used, to give it other weights than PyTorch's."""

    def __init__(self, rows, channels, length=False, width=None, fill=None):
        self.graph = {"input": {"channels": channels}, "layers": []}
        if length:
            self.graph["input"]["length"] = rows
        if width:
            self.graph["input"]["width"] = width
        self.state = {}
        self.fill = fill
        self.out = {"input": torch.randn((1, channels, rows) + ((width,) if width else ()))}
        self.last = "input"

    def _made(self, module):
        if self.fill:
            self.fill(module)
        return module

    def _add(self, op, name, result, module=None, **params):
        self.graph["layers"].append(dict(op=op, name=name, **params))
        if module is not None:
            self.state.update({name + "." + key: value for key, value in module.state_dict().items()})
        self.out[name] = result
        self.last = name

    def _source(self, params):
        return self.out[params["inputs"][0] if "inputs" in params else self.last]

    @staticmethod
    def _activate(x, params):
        kind = params.get("activation", "none")
        return {"none": lambda v: v, "relu": F.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "gelu": F.gelu,
                "leaky_relu": lambda v: F.leaky_relu(v, params.get("slope", 0.01))}[kind](x)

    @staticmethod
    def _pads(params, kernel, axis):
        """Zeros before and after along an axis: 0 rows, 1 columns."""
        dilation, stride = pair(params.get("dilation", 1))[axis], pair(params.get("stride", 1))[axis]
        reach, padding = (kernel - 1) * dilation, params.get("padding", "valid")
        if isinstance(padding, list):
            return padding[2 * axis:2 * axis + 2]
        return {"valid": [0, 0], "same": [reach // 2, reach - reach // 2], "causal": [reach - (stride - 1), 0]}[padding]

    @classmethod
    def _pad(cls, x, params, kernel, fill=0.0):
        pads = cls._pads(params, pair(kernel)[0], 0)
        if x.dim() == 4:
            pads = cls._pads(params, pair(kernel)[1], 1) + pads  # F.pad wants the last axis first
        return F.pad(x, tuple(pads), value=fill)

    def conv(self, name, channels, kernel, **params):
        x = self._source(params)
        kind = torch.nn.Conv1d if x.dim() == 3 else torch.nn.Conv2d
        conv = self._made(kind(x.shape[1], channels, kernel, stride=params.get("stride", 1),
                               dilation=params.get("dilation", 1), groups=params.get("groups", 1),
                               bias=params.get("bias", True)))
        y = self._activate(conv(self._pad(x, params, kernel)), params)
        self._add("conv1d" if x.dim() == 3 else "conv2d", name, y, conv, channels=channels, kernel=kernel, **params)

    def transposed(self, name, channels, kernel, stride, **params):
        x = self._source(params)
        conv = self._made(torch.nn.ConvTranspose1d(x.shape[1], channels, kernel, stride=stride,
                                                   bias=params.get("bias", True)))
        self._add("convtranspose1d", name, self._activate(conv(x), params), conv, channels=channels, kernel=kernel,
                  stride=stride, **params)

    def pool(self, op, name, kernel, **params):
        x, stride = self._source(params), params.setdefault("stride", kernel)
        flat = x.dim() == 4
        if op == "maxpool":
            y = (F.max_pool2d if flat else F.max_pool1d)(self._pad(x, params, kernel, -1e30), kernel, stride)
        else:
            y = (F.avg_pool2d if flat else F.avg_pool1d)(self._pad(x, params, kernel), kernel, stride)
        self._add(op + "2d" if flat else op, name, y, kernel=kernel, **params)

    def dense(self, name, channels, **params):
        x = self._source(params).transpose(1, 2)
        linear = self._made(torch.nn.Linear(x.shape[2], channels, bias=params.get("bias", True)))
        self._add("dense", name, self._activate(linear(x), params).transpose(1, 2), linear, channels=channels, **params)

    def recurrent(self, op, name, units, **params):
        x = self._source(params).transpose(1, 2)
        kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[op]
        cell = self._made(kind(x.shape[2], units, batch_first=True, bias=params.get("bias", True),
                               bidirectional=params.get("direction") == "both"))
        y = cell(x)[0]
        y = y[:, -1:] if params.get("last") else y
        self._add(op, name, y.transpose(1, 2), cell, channels=units, **params)

    def attention(self, name, heads, **params):
        x = self._source(params).transpose(1, 2)
        module = torch.nn.MultiheadAttention(x.shape[2], heads, bias=params.get("bias", True), batch_first=True)
        for key, tensor in module.named_parameters():
            if "bias" in key:
                tensor.data.uniform_(-0.5, 0.5)
        self._made(module)
        mask = ~sees(x.shape[1], params["width"]) if "width" in params else None
        y = module(x, x, x, attn_mask=mask, need_weights=False)[0]
        self._add("attention", name, y.transpose(1, 2), module, heads=heads, **params)

    def additive_attention(self, name, units, **params):
        x = self._source(params).transpose(1, 2)
        module = self._made(AdditiveAttention(x.shape[2], units, params.get("width"), params.get("eps", 1e-5)))
        self._add("additive_attention", name, module(x).transpose(1, 2), module, units=units, **params)

    def norm(self, name, **params):
        x = self._source(params)
        kind = torch.nn.BatchNorm1d if x.dim() == 3 else torch.nn.BatchNorm2d
        norm = kind(x.shape[1], eps=params.get("eps", 1e-5)).eval()
        for tensor, low, high in ((norm.weight, 0.5, 2), (norm.bias, -1, 1), (norm.running_mean, -1, 1),
                                  (norm.running_var, 0.1, 3)):
            tensor.data.uniform_(low, high)
        self._made(norm)
        self._add("batchnorm", name, self._activate(norm(x), params), norm, **params)

    def layernorm(self, name, **params):
        x = self._source(params).movedim(1, -1)
        norm = torch.nn.LayerNorm(x.shape[-1], eps=params.get("eps", 1e-5))
        norm.weight.data.uniform_(0.5, 2)
        norm.bias.data.uniform_(-1, 1)
        self._made(norm)
        self._add("layernorm", name, self._activate(norm(x).movedim(-1, 1), params), norm, **params)

    def join(self, op, name, inputs, **params):
        parts = [self.out[key] for key in inputs]
        y = sum(parts) if op == "add" else torch.cat(parts, 1)
        self._add(op, name, self._activate(y, params), inputs=inputs, **params)

    def crop(self, name, left, right, **params):
        x = self._source(params)
        self._add("crop", name, x[:, :, left:x.shape[2] - right], left=left, right=right, **params)

    def pad(self, name, left, right, **params):
        self._add("pad", name, F.pad(self._source(params), (left, right)), left=left, right=right, **params)

    def upsample(self, name, factor, **params):
        y = torch.nn.Upsample(scale_factor=factor, mode="nearest")(self._source(params))
        self._add("upsample", name, y, factor=factor, **params)

    def flatten(self, name):
        self._add("flatten", name, self._source({}).flatten(1)[:, :, None])

    def point(self, op, name, **params):
        x = self._source(params)
        y = {"softmax": lambda: torch.softmax(x, 1), "sigmoid": lambda: torch.sigmoid(x),
             "tanh": lambda: torch.tanh(x), "relu": lambda: F.relu(x), "gelu": lambda: F.gelu(x),
             "leaky_relu": lambda: F.leaky_relu(x, params.get("slope", 0.01))}[op]()
        self._add(op, name, y, **params)

    def vector(self):
        """Input and output as core/model.c has them: [rows, width * channels]."""
        tensors = (self.out["input"][0], self.out[self.last][0])
        return [np.ascontiguousarray(t.detach().movedim(0, -1).flatten(1).numpy(), "<f4") for t in tensors]

    def save(self, name, folder=HERE, weights=True):
        path = os.path.join(folder, name)
        if weights:
            write_model(path + ".safetensors", name, "1", self.graph, self.state)
        x, y = self.vector()
        with open(path + ".vec", "wb") as file:
            file.write(struct.pack("<4I", *x.shape, *y.shape) + x.tobytes() + y.tobytes())
        size = os.path.getsize(path + ".safetensors") if weights else 0
        return "%-18s in %-11s out %-11s %7d bytes" % (name, x.shape, y.shape, size)


def conv_causal():
    b = Builder(40, 3)
    b.conv("dilated", 5, 4, dilation=3, padding="causal", activation="relu")
    b.conv("strided", 6, 10, stride=5, padding="causal", bias=False, activation="tanh")
    b.conv("short", 4, 2, stride=4, padding="causal")
    return b


def conv_padded():
    b = Builder(41, 3, length=True)
    b.conv("odd", 4, 5, padding="same", activation="leaky_relu", slope=0.2)
    b.conv("even", 4, 4, dilation=2, padding="same", activation="sigmoid")
    b.conv("explicit", 5, 7, stride=4, padding=[3, 2])
    b.conv("cropped", 4, 3, padding=[-1, 1])
    b.conv("valid", 3, 3)
    return b


def transposed():
    b = Builder(20, 3, length=True)
    b.transposed("up", 5, 7, 4, activation="relu")
    b.crop("cut", 1, 2)
    b.transposed("up2", 2, 2, 3)
    return b


def pools():
    b = Builder(48, 4, length=True)
    b.conv("c", 4, 3, padding="same")
    b.pool("maxpool", "max_valid", 3, stride=2)
    b.pool("maxpool", "max_same", 4, stride=1, padding="same")
    b.pool("avgpool", "mean", 3, stride=2, padding=[1, 1])
    return b


def pools_causal():
    b = Builder(48, 4)
    b.pool("maxpool", "max_blocks", 2)
    b.pool("maxpool", "max_causal", 5, stride=2, padding="causal")
    b.pool("avgpool", "mean_causal", 3, stride=1, padding="causal")
    b.pool("avgpool", "mean_blocks", 3)
    return b


def pointwise():
    b = Builder(12, 5)
    b.norm("norm_first", activation="tanh")  # nothing to fold into
    b.dense("d1", 6)
    b.point("leaky_relu", "leaky", slope=0.3)
    b.dense("d2", 6, bias=False)
    b.point("tanh", "tanh")
    b.dense("d3", 6)
    b.point("sigmoid", "sigmoid")
    b.dense("d4", 6)
    b.point("relu", "relu")
    b.join("concat", "both", ["relu", "sigmoid", "tanh"])
    b.dense("d5", 6)
    b.join("add", "sum", ["d5", "leaky", "d4"], activation="leaky_relu", slope=0.1)
    b.norm("norm_sum", eps=1e-3)
    b.point("softmax", "softmax")
    return b


def folding():
    b = Builder(20, 3)
    b.conv("c1", 6, 3, padding="causal")
    b.norm("n1", activation="relu")
    b.conv("c2", 6, 3, padding="causal", bias=False)
    b.norm("n2")
    b.norm("n3", activation="relu")
    b.conv("c3", 6, 3, padding="causal", activation="relu")
    b.norm("n4")  # behind an activation: cannot be folded
    b.conv("c4", 6, 1)
    b.norm("n5")  # c4 is read twice: cannot be folded
    b.join("add", "sum", ["c4", "n5", "n1"])
    b.dense("d", 3)
    b.norm("n6")
    return b


def window_heads():
    b = Builder(15, 3, length=True)
    b.recurrent("lstm", "seq", 6)
    b.conv("c", 4, 3, padding="same")
    b.flatten("flat")
    b.dense("d", 5, activation="relu")
    return b


def last_rows():
    b = Builder(50, 3, length=True)
    b.recurrent("gru", "seq", 6, bias=False)
    b.recurrent("lstm", "end", 5, last=True, bias=False)
    b.dense("d", 2)
    return b


def two_recurrent(op):
    b = Builder(100, 1)
    b.recurrent(op, "first", 50)
    b.recurrent(op, "second", 50)
    b.dense("head", 1)
    return b


def causal_net():
    """The shape of a streaming picker, thin."""
    b = Builder(400, 7)
    b.conv("stem", 8, 7, padding="causal")
    b.norm("stem_bn", activation="relu")
    b.conv("down", 12, 10, stride=5, padding="causal")
    b.norm("down_bn", activation="relu")
    block = "down_bn"
    for i, dilation in enumerate((1, 2, 4, 8, 16, 32, 1)):
        b.conv("a%d" % i, 12, 3, dilation=dilation, padding="causal", inputs=[block])
        b.norm("n%d" % i, activation="relu")
        b.conv("b%d" % i, 12, 1)
        b.join("add", "r%d" % i, [block, "b%d" % i])
        block = "r%d" % i
    b.conv("head", 7, 1)
    return b


def u_net():
    b = Builder(64, 3, length=True)
    b.conv("in", 6, 7, padding="same")
    b.norm("in_bn", activation="relu")
    b.conv("down1", 8, 7, stride=4, padding=[3, 3])
    b.norm("down1_bn", activation="relu")
    b.conv("down2", 10, 7, stride=4, padding=[3, 3], activation="relu")
    b.transposed("up2", 8, 7, 4)
    b.norm("up2_bn", activation="relu")
    b.crop("cut2", 1, 2)
    b.join("concat", "skip2", ["down1_bn", "cut2"])
    b.transposed("up1", 6, 7, 4, activation="relu")
    b.crop("cut1", 1, 2)
    b.join("concat", "skip1", ["in_bn", "cut1"])
    b.conv("head", 3, 1)
    b.point("softmax", "prob")
    return b


def lively(gain):
    """Weights that keep the variance from layer to layer, and make attention choose: PyTorch's own shrink it."""
    def fill(module):
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.LayerNorm)):
            return
        additive, turned = isinstance(module, AdditiveAttention), isinstance(module, torch.nn.ConvTranspose1d)
        for name, tensor in module.named_parameters():
            if tensor.dim() == 1:
                tensor.data.uniform_(-0.3, 0.3)
            else:
                reads = tensor.shape[0] if additive or turned else tensor[0].numel()
                tensor.data.normal_(0, gain * (4 if name == "Wa" else 1) * reads ** -0.5)
    return fill


def conv_groups():
    b = Builder(40, 6, fill=lively(1.3))
    b.conv("depthwise", 12, 5, groups=6, padding="causal", activation="gelu")
    b.conv("pairs", 9, 4, groups=3, dilation=2, padding="causal")
    b.norm("pairs_bn", activation="leaky_relu", slope=0.1)
    b.conv("strided", 4, 4, stride=4, padding="causal", bias=False)
    b.point("gelu", "gelu")
    return b


def pictures():
    """2-D layers: every parameter, both axes different."""
    b = Builder(17, 3, length=True, width=14, fill=lively(1.2))
    b.conv("same", 6, [3, 4], padding="same", activation="relu")
    b.conv("dilated", 8, [2, 3], dilation=[2, 1], groups=2, padding=[1, 0, 2, 1])
    b.norm("dilated_bn", activation="gelu")
    b.pool("maxpool", "max", [2, 3], stride=[2, 1], padding=[0, 1, 1, 1])
    b.conv("strided", 8, [3, 2], stride=[1, 2], padding=[-1, 1, 1, 0], bias=False)
    b.layernorm("layers")
    b.conv("side", 8, 1, inputs=["strided"])
    b.join("add", "sum", ["layers", "side"], activation="relu")
    b.join("concat", "both", ["sum", "layers"])
    b.pool("avgpool", "mean", 2, stride=[2, 1], padding=[1, 0, 0, 1])
    b.point("softmax", "soft")
    b.norm("last_bn")
    b.flatten("flat")
    b.dense("head", 5)
    return b


def attentions():
    """Every form of attention, each beside its input, so that what it says is seen."""
    b = Builder(43, 5, length=True, fill=lively(1.5))
    b.dense("wide", 12)
    b.attention("dot", 3)
    b.join("add", "sum1", ["wide", "dot"])
    b.layernorm("norm1", activation="gelu", eps=1e-3)
    b.additive_attention("band", 9, width=3, eps=1e-2)
    b.join("add", "sum2", ["norm1", "band"])
    b.attention("dot_band", 4, width=6, bias=False)
    b.join("add", "sum3", ["sum2", "dot_band"])
    b.layernorm("norm2")
    b.additive_attention("all", 7)
    b.join("add", "sum4", ["norm2", "all"])
    return b


def both_directions():
    b = Builder(37, 4, length=True, fill=lively(1.5))
    b.recurrent("lstm", "lstm", 6, direction="both")
    b.recurrent("gru", "gru", 5, direction="both", bias=False)
    b.upsample("up", 3)
    b.pad("pad", 2, 1)
    b.conv("c", 6, 5, stride=2)
    b.recurrent("gru", "end", 4, direction="both", last=True)
    b.dense("d", 3)
    return b


def transformer(b, name):
    """Attention, feed-forward, both with a residual and a layer norm behind (post-norm)."""
    source, units = b.last, b.out[b.last].shape[1]
    b.additive_attention(name + ".at", 8)
    b.join("add", name + ".r1", [source, name + ".at"])
    b.layernorm(name + ".n1", eps=1e-14)
    b.dense(name + ".f1", 2 * units, activation="relu")
    b.dense(name + ".f2", units)
    b.join("add", name + ".r2", [name + ".n1", name + ".f2"])
    b.layernorm(name + ".n2", eps=1e-14)


def eqtransformer(samples=1500, filters=(4, 6, 6, 8, 8, 10, 10), units=8):
    """EQTransformer (Mousavi et al. 2020) by its operations, thin; all three outputs side by side."""
    b = Builder(samples, 3, length=True, fill=lively(1.4))
    kernels, lengths = (11, 9, 7, 7, 5, 5, 3), []
    for i, (channels, kernel) in enumerate(zip(filters, kernels)):
        b.conv("enc%d" % i, channels, kernel, padding=[kernel // 2] * 2, activation="relu")
        lengths.append(b.out[b.last].shape[2])
        b.pool("maxpool", "pool%d" % i, 2, padding=[0, lengths[-1] % 2])
    for i, kernel in enumerate((3, 3, 2)):
        source = b.last
        for k in "ab":
            b.norm("res%d%s.n" % (i, k), activation="relu", eps=1e-3)
            b.conv("res%d%s.c" % (i, k), filters[-1], kernel, padding=[1, 1] if kernel == 3 else [0, 1])
        b.join("add", "res%d" % i, [source, b.last])
    for i in range(2):
        b.recurrent("lstm", "bi%d" % i, units, direction="both")
        b.conv("bi%d.c" % i, units, 1)
        b.norm("bi%d.n" % i, eps=1e-3)
    transformer(b, "t0")
    transformer(b, "t1")
    shared = b.last
    for branch in ("d", "p", "s"):
        source = shared
        if branch != "d":
            b.recurrent("lstm", branch + ".lstm", units, inputs=[shared])
            b.additive_attention(branch + ".at", 8, width=3)
            source = b.last
        for i, (channels, kernel) in enumerate(zip(filters[::-1], kernels[::-1])):
            b.upsample("%s.up%d" % (branch, i), 2, inputs=[source])
            source = b.last
            if lengths[-1 - i] % 2:
                b.crop("%s.cut%d" % (branch, i), 0, 1)
            b.conv("%s.c%d" % (branch, i), channels, kernel, padding=[kernel // 2] * 2, activation="relu")
            source = b.last
        b.conv(branch + ".out", 1, 11, padding=[5, 5], activation="sigmoid")
    b.join("concat", "out", ["d.out", "p.out", "s.out"])
    return b


def gpd():
    """Generalized phase detection (Ross et al. 2018), thin."""
    b = Builder(400, 3, length=True, fill=lively(0.8))
    for i, (channels, kernel) in enumerate(((4, 21), (6, 15), (8, 11), (10, 9))):
        b.conv("c%d" % i, channels, kernel, padding="same")
        b.norm("n%d" % i, activation="relu")
        b.pool("maxpool", "p%d" % i, 2)
    b.flatten("flat")
    for i in range(2):
        b.dense("d%d" % i, 20)
        b.norm("dn%d" % i, activation="relu")
    b.dense("head", 3)
    b.point("softmax", "prob")
    return b


class Formula:
    """Weights too many to store: xorshift32 (Marsaglia 2003) from `seed`, tensor after tensor, last index fastest; each
    number n becomes scale * (n / 2^31 - 1) in float32. tests/unit/model_file.h makes the same."""

    def __init__(self, seed, scales):
        self.state = (seed * 2654435761 + 1) % 2 ** 32
        self.scales = iter(scales)

    def values(self, shape, scale):
        numbers = np.empty(int(np.prod(shape)), "f4")
        for i in range(len(numbers)):
            self.state ^= self.state << 13 & 0xFFFFFFFF
            self.state ^= self.state >> 17
            self.state ^= self.state << 5 & 0xFFFFFFFF
            numbers[i] = np.float32(self.state) / np.float32(2 ** 31) - np.float32(1)
        return torch.from_numpy((np.float32(scale) * numbers).reshape(shape))

    def __call__(self, module):
        for tensor in module.parameters():
            tensor.data = self.values(tuple(tensor.shape), next(self.scales))


def textbook_cnn():
    """Row S1: conv 32 3x3 - pool 2x2 - conv 64 3x3 - pool - flatten - dense 128 - dense 10 softmax on 28x28x1."""
    b = Builder(28, 1, length=True, width=28, fill=Formula(28, (0.6, 0.1, 0.1, 0.1, 0.04, 0.1, 0.15, 0.1)))
    b.conv("conv1", 32, 3, activation="relu")
    b.pool("maxpool", "pool1", 2)
    b.conv("conv2", 64, 3, activation="relu")
    b.pool("maxpool", "pool2", 2)
    b.flatten("flat")
    b.dense("dense1", 128, activation="relu")
    b.dense("dense2", 10)
    b.point("softmax", "prob")
    return b


CASES = {"conv_causal": conv_causal, "conv_padded": conv_padded, "transposed": transposed, "pools": pools,
         "pools_causal": pools_causal, "pointwise": pointwise, "folding": folding, "window_heads": window_heads,
         "last_rows": last_rows, "lstm_50_50": lambda: two_recurrent("lstm"), "gru_50_50": lambda: two_recurrent("gru"),
         "causal_net": causal_net, "u_net": u_net, "conv_groups": conv_groups, "pictures": pictures,
         "attentions": attentions, "both_directions": both_directions, "eqtransformer": eqtransformer, "gpd": gpd,
         "textbook_cnn": textbook_cnn}
BY_FORMULA = ("textbook_cnn",)

if __name__ == "__main__":
    with torch.no_grad():
        for index, (case, make) in enumerate(CASES.items()):
            torch.manual_seed(index + 1)
            print(make().save(case, weights=case not in BY_FORMULA))
