"""A network being written down: layers and tensors grow side by side, rows and channels are followed as they go.

Every converter of this folder builds one of these, so that no size is copied by hand: channels and kernels come from the
shapes of the tensors, rows from the length of the window. Shapes and names of the tensors are PyTorch's, as
models/train/export.py documents them; converters from elsewhere turn their arrays before they give them.
"""
import os
import sys

import numpy as np

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "train"))
from export import write_model  # noqa: E402

USUAL = {"stride": 1, "dilation": 1, "activation": "none", "bias": True, "padding": "valid"}
NORM = ("weight", "bias", "running_mean", "running_var")


class Refused(ValueError):
    """What cannot be converted; the text names the tensor or the node."""


def array(tensor):
    """float32 of a numpy array or a PyTorch tensor."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu().numpy()
    return np.asarray(tensor, np.float32)


class Arrays:
    """The arrays of a file by name. All of them must be asked for: what is left over is another network's."""

    def __init__(self, arrays):
        self.arrays = {name: array(value) for name, value in arrays.items()
                       if not name.endswith("num_batches_tracked")}  # PyTorch's counter, no part of the result
        self.used = set()

    def __contains__(self, name):
        return name in self.arrays

    def take(self, name, dims=None):
        """dims: how many dimensions it must have."""
        if name not in self.arrays:
            raise Refused("array '%s' is missing" % name)
        self.used.add(name)
        value = self.arrays[name]
        if dims is not None and value.ndim != dims:
            raise Refused("array '%s': shape %s has not %d dimensions" % (name, list(value.shape), dims))
        return value

    def linear(self, name, dims):
        """weight, and bias or None, of a convolution or dense layer."""
        bias = self.take(name + ".bias", 1) if name + ".bias" in self else None
        return self.take(name + ".weight", dims), bias

    def norm(self, name):
        return {key: self.take("%s.%s" % (name, key), 1) for key in NORM}

    def count(self, pattern, first=0):
        """How many of a numbered array there are."""
        n = 0
        while pattern % (first + n) in self:
            n += 1
        return n

    def finish(self):
        surplus = sorted(set(self.arrays) - self.used)
        if surplus:
            raise Refused("array '%s' is not of this network" % surplus[0])


class Sketch:
    """Each method adds one layer and returns its name; `source` is the layer it reads (default: the last one)."""

    def __init__(self, channels, length=None):
        self.graph = {"input": {"channels": channels}, "layers": []}
        if length is not None:
            self.graph["input"]["length"] = length
        self.tensors = {}
        self.shape = {"input": (length, channels)}
        self.last = "input"

    def rows(self, name=None):
        return self.shape[name or self.last][0]

    def channels(self, name=None):
        return self.shape[name or self.last][1]

    def _add(self, op, name, sources, shape, params=None):
        """shape: (rows, channels) that come out; params: those of the graph, the usual values are left away."""
        if shape[0] is not None and shape[0] < 1:
            raise Refused("%s: no row is left of a window of %s" % (name, self.rows("input")))
        layer = {"op": op, "name": name}
        if sources != [self.last]:
            layer["inputs"] = sources
        layer.update((key, value) for key, value in (params or {}).items() if value != USUAL.get(key))
        self.graph["layers"].append(layer)
        self.shape[name] = shape
        self.last = name
        return name

    def _hold(self, name, tensors):
        self.tensors.update({name + "." + key: array(value) for key, value in tensors.items() if value is not None})

    def _expect(self, name, channels, source):
        if channels != self.channels(source):
            raise Refused("%s: reads %d channels, %s has %d" % (name, channels, source, self.channels(source)))

    def conv(self, name, weight, bias=None, stride=1, dilation=1, padding=(0, 0), activation="none", source=None):
        """weight [channels, in, kernel]; padding [left, right] zeros."""
        source = source or self.last
        channels, reads, kernel = array(weight).shape
        self._expect(name, reads, source)
        reach = (kernel - 1) * dilation + 1
        rows = None if self.rows(source) is None else (self.rows(source) + sum(padding) - reach) // stride + 1
        self._hold(name, {"weight": weight, "bias": bias})
        return self._add("conv1d", name, [source], (rows, channels), {
            "channels": channels, "kernel": kernel, "stride": stride, "dilation": dilation, "bias": bias is not None,
            "padding": [int(side) for side in padding] if any(padding) else "valid", "activation": activation})

    def transposed(self, name, weight, bias=None, stride=1, activation="none", source=None):
        """weight [in, channels, kernel]; all rows, the crop follows."""
        source = source or self.last
        reads, channels, kernel = array(weight).shape
        self._expect(name, reads, source)
        rows = (self.rows(source) - 1) * stride + kernel
        self._hold(name, {"weight": weight, "bias": bias})
        return self._add("convtranspose1d", name, [source], (rows, channels), {
            "channels": channels, "kernel": kernel, "stride": stride, "bias": bias is not None,
            "activation": activation})

    def norm(self, name, state, eps, activation="none", source=None):
        """state: weight, bias, running_mean, running_var, each [channels]."""
        source = source or self.last
        self._expect(name, len(array(state["running_mean"])), source)
        self._hold(name, {key: state[key] for key in NORM})
        return self._add("batchnorm", name, [source], self.shape[source], {"eps": eps, "activation": activation})

    def dense(self, name, weight, bias=None, activation="none", source=None):
        """weight [channels, in]; each row by itself."""
        source = source or self.last
        channels, reads = array(weight).shape
        self._expect(name, reads, source)
        self._hold(name, {"weight": weight, "bias": bias})
        return self._add("dense", name, [source], (self.rows(source), channels),
                         {"channels": channels, "bias": bias is not None, "activation": activation})

    def pool(self, op, name, kernel, stride, padding=(0, 0), source=None):
        """maxpool, avgpool; an average counts the padding as zeros."""
        source = source or self.last
        rows = None if self.rows(source) is None else (self.rows(source) + sum(padding) - kernel) // stride + 1
        return self._add(op, name, [source], (rows, self.channels(source)), {
            "kernel": kernel, "stride": stride, "padding": [int(side) for side in padding] if any(padding) else "valid"})

    def flatten(self, name, source=None):
        """One row, channel by channel."""
        source = source or self.last
        return self._add("flatten", name, [source], (1, self.rows(source) * self.channels(source)))

    def add(self, name, sources, activation="none"):
        if len({self.shape[source] for source in sources}) != 1:
            raise Refused("%s: shapes differ: %s" % (name, [self.shape[source] for source in sources]))
        return self._add("add", name, list(sources), self.shape[sources[0]], {"activation": activation})

    def crop(self, name, left, right, source=None):
        """Nothing is added when nothing is cut."""
        source = source or self.last
        if left == right == 0:
            return source
        return self._add("crop", name, [source], (self.rows(source) - left - right, self.channels(source)),
                         {"left": left, "right": right})

    def concat(self, name, sources):
        if len({self.rows(source) for source in sources}) != 1:
            raise Refused("%s: lengths differ: %s" % (name, [self.rows(source) for source in sources]))
        return self._add("concat", name, list(sources),
                         (self.rows(sources[0]), sum(self.channels(source) for source in sources)))

    def point(self, op, name, source=None, **params):
        """softmax, sigmoid, tanh, relu, leaky_relu."""
        source = source or self.last
        return self._add(op, name, [source], self.shape[source], params)

    def write(self, path, name, version, constants=None):
        """Returns the checksum text."""
        return write_model(path, name, version, self.graph, self.tensors, constants)
