"""A network being written down: layers and tensors grow side by side, rows and channels are followed as they go.

Every converter of this folder builds one of these, so that no size is copied by hand: channels and kernels come from
the shapes of the tensors, rows from the length of the window. Shapes and names of the tensors are PyTorch's, as
models/train/export.py documents them; converters from elsewhere turn their arrays before they give them."""
import os
import sys

import numpy as np

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "train"))
from export import write_model  # noqa: E402

USUAL = {"dilation": 1, "activation": "none", "bias": True, "padding": "valid", "groups": 1, "direction": "forward",
         "last": False}
ACTIVATED = ("conv1d", "conv2d", "convtranspose1d", "dense", "batchnorm", "layernorm", "add")
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


def moved(size, kernel, stride, dilation, padding):
    """Places a window finds."""
    return (size + sum(padding) - (kernel - 1) * dilation - 1) // stride + 1


def plain(numbers):
    """A list the JSON writer takes; one number stands for itself."""
    numbers = [int(n) for n in numbers]
    return numbers[0] if len(numbers) == 1 else numbers


class Sketch:
    """Each method adds one layer and returns its name; `source` is the layer it reads (default: the last one)."""

    def __init__(self, channels, length, width=1):
        self.graph = {"input": {"channels": int(channels), "length": int(length)}, "layers": []}
        if width != 1:
            self.graph["input"]["width"] = int(width)
        self.tensors = {}
        self.shape = {"input": (length, channels, width)}
        self.layers = {}
        self.last = "input"

    def rows(self, name=None):
        return self.shape[name or self.last][0]

    def channels(self, name=None):
        return self.shape[name or self.last][1]

    def width(self, name=None):
        return self.shape[name or self.last][2]

    def _add(self, op, name, sources, shape, params=None):
        """shape: (rows, channels, width) that come out; params: those of the graph, the usual values are left away."""
        if min(shape) < 1:
            raise Refused("%s: nothing is left of %s rows" % (name, self.rows("input")))
        layer = {"op": op, "name": name}
        if sources != [self._end()]:
            layer["inputs"] = sources
        layer.update((key, value) for key, value in (params or {}).items() if value != USUAL.get(key, ()))
        self.graph["layers"].append(layer)
        self.layers[name] = layer
        self.shape[name] = tuple(int(n) for n in shape)
        self.last = name
        return name

    def _end(self):
        return self.graph["layers"][-1]["name"] if self.graph["layers"] else "input"

    def _hold(self, name, tensors):
        self.tensors.update({name + "." + key: array(value) for key, value in tensors.items() if value is not None})

    def _expect(self, name, channels, source):
        if channels != self.channels(source):
            raise Refused("%s: reads %d channels, %s has %d" % (name, channels, source, self.channels(source)))

    def _linear(self, op, name, weight, bias, source, shape, params):
        self._hold(name, {"weight": weight, "bias": bias})
        params.update(channels=int(shape[1]), bias=bias is not None)
        return self._add(op, name, [source], shape, params)

    # ---- along the rows, or over rows and columns ----

    def conv(self, name, weight, bias=None, stride=(1,), dilation=(1,), padding=(0, 0), groups=1, activation="none",
             source=None):
        """weight [channels, in / groups, kernel] with padding [left, right], or [.., down, across] with [top, bottom,
        left, right]; stride and dilation of each axis."""
        source = source or self.last
        kernel = array(weight).shape[2:]
        self._expect(name, array(weight).shape[1] * groups, source)
        rows, *width = (moved(size, k, s, d, padding[2 * i:2 * i + 2]) for i, (size, k, s, d) in
                        enumerate(zip((self.rows(source), self.width(source)), kernel, stride, dilation)))
        return self._linear("conv%dd" % len(kernel), name, weight, bias, source,
                            (rows, len(array(weight)), *(width or [1])), {
            "kernel": plain(kernel), "stride": plain(stride), "dilation": plain(dilation), "groups": groups,
            "padding": plain(padding) if any(padding) else "valid", "activation": activation})

    def transposed(self, name, weight, bias=None, stride=1, source=None):
        """weight [in, channels, kernel]; all rows, the crop follows."""
        source = source or self.last
        reads, channels, kernel = array(weight).shape
        self._expect(name, reads, source)
        return self._linear("convtranspose1d", name, weight, bias, source,
                            ((self.rows(source) - 1) * stride + kernel, channels, 1),
                            {"kernel": kernel, "stride": stride})

    def pool(self, op, name, kernel, stride, padding=(0, 0), source=None):
        """op: maxpool or avgpool (which counts the padding as zeros); kernel and stride of each axis."""
        source = source or self.last
        rows, *width = (moved(size, k, s, 1, padding[2 * i:2 * i + 2]) for i, (size, k, s) in
                        enumerate(zip((self.rows(source), self.width(source)), kernel, stride)))
        return self._add(op + ("2d" if width else ""), name, [source], (rows, self.channels(source), *(width or [1])), {
            "kernel": plain(kernel), "stride": plain(stride), "padding": plain(padding) if any(padding) else "valid"})

    # ---- row by row ----

    def dense(self, name, weight, bias=None, activation="none", source=None):
        """weight [channels, in]."""
        source = source or self.last
        channels, reads = array(weight).shape
        self._expect(name, reads, source)
        return self._linear("dense", name, weight, bias, source, (self.rows(source), channels, 1),
                            {"activation": activation})

    def norm(self, name, state, eps, activation="none", source=None):
        """Batch norm. state: weight, bias, running_mean, running_var, each [channels]."""
        source = source or self.last
        self._expect(name, len(array(state["running_mean"])), source)
        self._hold(name, {key: state[key] for key in NORM})
        return self._add("batchnorm", name, [source], self.shape[source], {"eps": eps, "activation": activation})

    def layer_norm(self, name, weight, bias, eps, source=None):
        source = source or self.last
        self._expect(name, array(weight).size, source)
        self._hold(name, {"weight": array(weight).ravel(), "bias": array(bias).ravel()})
        return self._add("layernorm", name, [source], self.shape[source], {"eps": eps})

    def point(self, op, name, source=None, **params):
        """softmax, sigmoid, tanh, relu, leaky_relu, gelu."""
        source = source or self.last
        return self._add(op, name, [source], self.shape[source], params)

    def activate(self, name, op, **params):
        """Give a layer an activation, if it is of a kind that has one and has none yet."""
        layer = self.layers.get(name)
        if layer is None or layer["op"] not in ACTIVATED or "activation" in layer:
            return False
        layer.update(activation=op, **params)
        return True

    def give_bias(self, name, bias):
        """Add to a layer's bias, if it is of a kind that has one and no activation stands between."""
        layer = self.layers.get(name)
        if layer is None or name + ".weight" not in self.tensors or layer["op"] not in ACTIVATED or \
                "activation" in layer:
            return False
        self.tensors[name + ".bias"] = self.tensors.get(name + ".bias", 0) + array(bias)
        layer.pop("bias", None)
        return True

    # ---- over the sequence ----

    def recurrent(self, op, name, directions, last=False, source=None):
        """lstm or gru. directions: one or two of (weight_ih, weight_hh, bias_ih or None, bias_hh or None)."""
        source = source or self.last
        units = array(directions[0][1]).shape[1]
        for suffix, tensors in zip(("", "_reverse"), directions):
            self._expect(name, array(tensors[0]).shape[1], source)
            keys = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
            self._hold(name, {key + suffix: tensor for key, tensor in zip(keys, tensors)})
        return self._add(op, name, [source], (1 if last else self.rows(source), units * len(directions), 1), {
            "channels": units, "bias": directions[0][2] is not None, "last": last,
            "direction": "both" if len(directions) == 2 else "forward"})

    def additive_attention(self, name, tensors, eps, width=None, source=None):
        """tensors: Wx, Wt [channels, units], bh [units], Wa [units, 1], ba [1]; width: rows seen, default all."""
        source = source or self.last
        self._expect(name, len(array(tensors["Wx"])), source)
        self._hold(name, tensors)
        params = {"units": array(tensors["bh"]).size, "eps": eps}
        if width is not None:
            params["width"] = width
        return self._add("additive_attention", name, [source], self.shape[source], params)

    # ---- arrangement ----

    def flatten(self, name, source=None):
        """One row, channel by channel."""
        source = source or self.last
        return self._add("flatten", name, [source], (1, int(np.prod(self.shape[source])), 1))

    def crop(self, name, left, right, source=None):
        """Nothing is added when nothing is cut."""
        source = source or self.last
        if left == right == 0:
            return source
        return self._add("crop", name, [source], (self.rows(source) - left - right, *self.shape[source][1:]),
                         {"left": left, "right": right})

    def pad(self, name, left, right, source=None):
        """Zeros."""
        source = source or self.last
        return self._add("pad", name, [source], (self.rows(source) + left + right, *self.shape[source][1:]),
                         {"left": left, "right": right})

    def upsample(self, name, factor, source=None):
        """Each row so many times."""
        source = source or self.last
        return self._add("upsample", name, [source], (self.rows(source) * factor, *self.shape[source][1:]),
                         {"factor": factor})

    def add(self, name, sources, activation="none"):
        if len({self.shape[source] for source in sources}) != 1:
            raise Refused("%s: shapes differ: %s" % (name, [self.shape[source] for source in sources]))
        return self._add("add", name, list(sources), self.shape[sources[0]], {"activation": activation})

    def concat(self, name, sources):
        rows, _, width = self.shape[sources[0]]
        if any((self.rows(source), self.width(source)) != (rows, width) for source in sources):
            raise Refused("%s: rows differ: %s" % (name, [self.shape[source] for source in sources]))
        return self._add("concat", name, list(sources), (rows, sum(self.channels(source) for source in sources), width))

    # ---- the whole ----

    def output(self, name):
        if name != self._end():
            self.graph["output"] = name

    def forget_length(self):
        """A stream: any number of rows, and windows that look back only say so. (What is not causal the C code refuses
        by name when it loads the file.)"""
        del self.graph["input"]["length"]
        for layer in self.graph["layers"]:
            reach = (layer.get("kernel", 1) - 1) * layer.get("dilation", 1) if layer["op"] in (
                "conv1d", "maxpool", "avgpool") else 0
            if reach > 0 and layer.get("padding", [0, 0]) == [reach - (layer["stride"] - 1), 0]:
                layer["padding"] = "causal"

    def write(self, path, name, version, constants=None):
        """Returns the checksum text."""
        return write_model(path, name, version, self.graph, self.tensors, constants)
