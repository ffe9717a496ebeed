"""Make the vectors of this folder: small networks run by PyTorch, which core/model.c must repeat to 1e-5.

Run by hand when a case is added (python3 tests/parity/make.py; PyTorch and numpy); the tests read the stored files and
need neither. NAME.safetensors is a model file, NAME.vec one input and PyTorch's output: four u32 (rows and channels in,
rows and channels out), then the floats of both, rows first, little endian.
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


class Builder:
    """Adds a layer to the graph and applies PyTorch's own to the running tensors, [1, C, T] throughout."""

    def __init__(self, rows, channels, length=False):
        self.graph = {"input": {"channels": channels}, "layers": []}
        if length:
            self.graph["input"]["length"] = rows
        self.state = {}
        self.out = {"input": torch.randn(1, channels, rows)}
        self.last = "input"

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
        return {"none": lambda v: v, "relu": F.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid,
                "leaky_relu": lambda v: F.leaky_relu(v, params.get("slope", 0.01))}[kind](x)

    @staticmethod
    def _pad(x, params, kernel, fill=0.0):
        dilation, stride = params.get("dilation", 1), params.get("stride", 1)
        reach, padding = (kernel - 1) * dilation, params.get("padding", "valid")
        pads = {"valid": (0, 0), "same": (reach // 2, reach - reach // 2), "causal": (reach - (stride - 1), 0)}
        return F.pad(x, tuple(padding) if isinstance(padding, list) else pads[padding], value=fill)

    def conv(self, name, channels, kernel, **params):
        x = self._source(params)
        conv = torch.nn.Conv1d(x.shape[1], channels, kernel, stride=params.get("stride", 1),
                               dilation=params.get("dilation", 1), bias=params.get("bias", True))
        y = self._activate(conv(self._pad(x, params, kernel)), params)
        self._add("conv1d", name, y, conv, channels=channels, kernel=kernel, **params)

    def transposed(self, name, channels, kernel, stride, **params):
        x = self._source(params)
        conv = torch.nn.ConvTranspose1d(x.shape[1], channels, kernel, stride=stride)
        self._add("convtranspose1d", name, self._activate(conv(x), params), conv, channels=channels, kernel=kernel,
                  stride=stride, **params)

    def pool(self, op, name, kernel, **params):
        x, stride = self._source(params), params.setdefault("stride", kernel)
        if op == "maxpool":
            y = F.max_pool1d(self._pad(x, params, kernel, -1e30), kernel, stride)
        else:
            y = F.avg_pool1d(self._pad(x, params, kernel), kernel, stride)
        self._add(op, name, y, kernel=kernel, **params)

    def dense(self, name, channels, **params):
        x = self._source(params).transpose(1, 2)
        linear = torch.nn.Linear(x.shape[2], channels, bias=params.get("bias", True))
        self._add("dense", name, self._activate(linear(x), params).transpose(1, 2), linear, channels=channels, **params)

    def recurrent(self, op, name, units, **params):
        x = self._source(params).transpose(1, 2)
        kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[op]
        cell = kind(x.shape[2], units, batch_first=True, bias=params.get("bias", True))
        y = cell(x)[0]
        y = y[:, -1:] if params.get("last") else y
        self._add(op, name, y.transpose(1, 2), cell, channels=units, **params)

    def norm(self, name, **params):
        x = self._source(params)
        norm = torch.nn.BatchNorm1d(x.shape[1], eps=params.get("eps", 1e-5)).eval()
        for tensor, low, high in ((norm.weight, 0.5, 2), (norm.bias, -1, 1), (norm.running_mean, -1, 1),
                                  (norm.running_var, 0.1, 3)):
            tensor.data.uniform_(low, high)
        self._add("batchnorm", name, self._activate(norm(x), params), norm, **params)

    def join(self, op, name, inputs, **params):
        parts = [self.out[key] for key in inputs]
        y = sum(parts) if op == "add" else torch.cat(parts, 1)
        self._add(op, name, self._activate(y, params), inputs=inputs, **params)

    def crop(self, name, left, right):
        x = self._source({})
        self._add("crop", name, x[:, :, left:x.shape[2] - right], left=left, right=right)

    def flatten(self, name):
        self._add("flatten", name, self._source({}).flatten(1)[:, :, None])

    def point(self, op, name, **params):
        x = self._source(params)
        y = {"softmax": lambda: torch.softmax(x, 1), "sigmoid": lambda: torch.sigmoid(x),
             "tanh": lambda: torch.tanh(x), "relu": lambda: F.relu(x),
             "leaky_relu": lambda: F.leaky_relu(x, params.get("slope", 0.01))}[op]()
        self._add(op, name, y, **params)

    def save(self, name):
        path = os.path.join(HERE, name)
        write_model(path + ".safetensors", name, "1", self.graph, self.state)
        x, y = (t[0].T.detach().numpy().astype("<f4") for t in (self.out["input"], self.out[self.last]))
        with open(path + ".vec", "wb") as file:
            file.write(struct.pack("<4I", *x.shape, *y.shape) + np.ascontiguousarray(x).tobytes()
                       + np.ascontiguousarray(y).tobytes())
        print("%-18s in %-9s out %-9s %7d bytes" % (name, x.shape, y.shape, os.path.getsize(path + ".safetensors")))


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


CASES = {"conv_causal": conv_causal, "conv_padded": conv_padded, "transposed": transposed, "pools": pools,
         "pools_causal": pools_causal, "pointwise": pointwise, "folding": folding, "window_heads": window_heads,
         "last_rows": last_rows, "lstm_50_50": lambda: two_recurrent("lstm"), "gru_50_50": lambda: two_recurrent("gru"),
         "causal_net": causal_net, "u_net": u_net}

if __name__ == "__main__":
    with torch.no_grad():
        for index, (case, make) in enumerate(CASES.items()):
            torch.manual_seed(index + 1)
            make().save(case)
