"""An ONNX file as a model file.

    python3 models/import/onnx_file.py [--length N] network.onnx out.safetensors

Needs numpy and onnx (Debian: python3-onnx). (The name is not onnx.py: that would hide the package.)

The input is [1, channels, rows], or [1, rows, channels] with --rows-first, or a picture [1, channels, rows, columns]; a
batch of any size is taken as one. The rows are those of the file, or --length where the file leaves them open. --stream
leaves the length out of the model file, for causal networks that are fed block by block. Several outputs of the same rows
are joined, channel after channel, in their order. Constant expressions of shapes are computed here; nodes nobody reads
are dropped.

Operators: Conv (groups too), ConvTranspose of rows, BatchNormalization, LayerNormalization, Relu, LeakyRelu, Sigmoid, Tanh,
Gelu, Softmax, MaxPool, AveragePool, GlobalMaxPool, GlobalAveragePool, ReduceMean of rows, Gemm, MatMul with a constant,
Add, Sub, Mul and Div with a constant per channel, Add and Sum of layers, Concat of channels, Slice and Gather of
neighbouring rows, Pad with zeros, LSTM, GRU, Resize and Upsample of rows to whole multiples; Flatten, Reshape, Squeeze,
Unsqueeze and Transpose where they only rename axes or flatten. Whatever else a file holds is refused with the node's name.
"""
import argparse
import sys

import numpy as np

from onnx_fuse import fuse
from sketch import Refused, Sketch

NONE = object()


class Node:
    """What is used of a node, without the format around it."""

    def __init__(self, name, op, inputs, outputs, attributes):
        self.name, self.op, self.input, self.output = name or outputs[0], op, list(inputs), list(outputs)
        self.attributes = attributes

    def get(self, key, default):
        return self.attributes.get(key, default)


class Graph:
    """Nodes in the order of running, constants by name; the file's own checks are not repeated here."""

    def __init__(self, model):
        from onnx import helper, numpy_helper
        graph = model.graph
        self.opset = max([entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")], default=1)
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.nodes = []
        for node in graph.node:
            attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
            attributes = {key: value.decode() if isinstance(value, bytes) else value
                          for key, value in attributes.items()}
            if node.domain not in ("", "ai.onnx"):
                raise Refused("node '%s': operator %s of domain %s" % (node.name, node.op_type, node.domain))
            if node.op_type == "Constant":
                if "value" not in attributes:
                    raise Refused("node '%s': Constant without a tensor" % node.name)
                self.constants[node.output[0]] = numpy_helper.to_array(attributes["value"])
            else:
                self.nodes.append(Node(node.name, node.op_type, node.input, node.output, attributes))
        self.inputs = [entry for entry in graph.input if entry.name not in self.constants]
        self.outputs = [entry.name for entry in graph.output]
        fuse(self, Node)
        self._drop_unread()

    def _drop_unread(self):
        wanted, kept = set(self.outputs), []
        for node in reversed(self.nodes):
            if wanted & set(node.output):
                wanted |= set(node.input)
                kept.append(node)
        self.nodes = kept[::-1]
        self.readers = {name: sum(list(node.input).count(name) for node in self.nodes) +
                        self.outputs.count(name) for name in wanted}


class Value:
    """A layer's rows as ONNX sees them: one letter an axis. C channels, T rows, W columns of a picture, D the two
    directions of a recurrent layer, 1 an axis of size one (it can stand for any). turned: (rows, channels) of a flattened
    row that goes row by row, not channel by channel. fill: (padding, number) that Pad has asked for."""

    def __init__(self, layer, axes, turned=None, fill=None):
        self.layer, self.axes, self.turned, self.fill = layer, axes, turned, fill


class Importer:
    """Visits each node once; `values` has what is known by name: arrays, or Value."""

    def __init__(self, graph, length=None, rows_first=False):
        self.graph = graph
        self.values = dict(graph.constants)
        self.values[""] = None
        self.makers = {name: node for node in graph.nodes for name in node.output}
        self.node = None
        self.names = set()
        if len(graph.inputs) != 1:
            raise Refused("the network has %d inputs, not 1" % len(graph.inputs))
        dims = [d.dim_value for d in graph.inputs[0].type.tensor_type.shape.dim]  # 0: left open
        self._open(graph.inputs[0].name, dims, length, rows_first)

    def _open(self, name, dims, length, rows_first):
        axes = {3: "1TC" if rows_first else "1CT", 4: "1TWC" if rows_first else "1CTW"}.get(len(dims))
        if axes is None:
            raise Refused("input '%s': %d dimensions, expected [1, channels, rows]" % (name, len(dims)))
        size = dict(zip(axes, dims))
        if size["C"] == 0 or size.get("W") == 0:
            raise Refused("input '%s': the number of channels or columns is open" % name)
        if size["T"] > 0 and length not in (None, size["T"]):
            raise Refused("input '%s': has %d rows, not %d" % (name, size["T"], length))
        if size["T"] == 0 and length is None:
            raise Refused("input '%s': the number of rows is open; say it with --length" % name)
        self.sketch = Sketch(size["C"], size["T"] or length, size.get("W", 1))
        self.values[name] = self.value("input", axes)

    # ---- help ----

    def refuse(self, why):
        raise Refused("node '%s' (%s): %s" % (self.node.name, self.node.op, why))

    def size(self, layer, letter, axes=""):
        if letter == "C" and "D" in axes:
            return self.sketch.channels(layer) // 2
        return {"1": 1, "D": 2, "C": self.sketch.channels(layer), "T": self.sketch.rows(layer),
                "W": self.sketch.width(layer)}[letter]

    def value(self, layer, axes, turned=None):
        """Axes of size one lose their meaning: a channel that is alone may be called a row."""
        return Value(layer, "".join(a if self.size(layer, a, axes) > 1 else "1" for a in axes), turned)

    def dims(self, value):
        return [self.size(value.layer, a, value.axes) for a in value.axes]

    def rows_of(self, i=0, fill_ok=False):
        """Input i as a layer's rows, nothing pending."""
        value = self.values.get(self.node.input[i], NONE) if i < len(self.node.input) else None
        if value is NONE:
            self.refuse("input '%s' is not computed before it" % self.node.input[i])
        if not isinstance(value, Value):
            self.refuse("input %d is a constant, or absent" % i)
        if value.fill is not None and not fill_ok:
            if value.fill[1] != 0 or len(value.fill[0]) != 2:
                self.refuse("reads padding that is not rows of zeros")
            value = Value(self.sketch.pad(self.name("_pad"), *value.fill[0], source=value.layer), value.axes)
        return value

    def alone(self, name):
        """Whether nobody else reads the layer behind a name, under this or another name of it."""
        while True:
            node, value = self.makers.get(name), self.values[name]
            if self.graph.readers[name] != 1 or node is None:
                return False
            renamed = [source for source in node.input if isinstance(self.values.get(source), Value) and
                       self.values[source].layer == value.layer]
            if not renamed:
                return True
            name = renamed[0]

    def constant(self, i, default=None):
        """Input i as an array; absent: the default."""
        if i >= len(self.node.input) or self.node.input[i] == "":
            return default
        value = self.values.get(self.node.input[i])
        if not isinstance(value, np.ndarray):
            self.refuse("input '%s' is not constant" % self.node.input[i])
        return value

    def is_layer(self, i):
        return i < len(self.node.input) and isinstance(self.values.get(self.node.input[i]), Value)

    def expect(self, value, *patterns, turned_ok=False):
        """The value's axes, read as one of the patterns."""
        if value.turned and not turned_ok:
            self.refuse("reads a row that was flattened row by row; only a dense layer can")
        for axes in patterns:
            if len(axes) == len(value.axes) and all(have in ("1", want) for have, want in zip(value.axes, axes)):
                return axes
        self.refuse("axes %s of '%s' are none of %s (C channels, T rows)" %
                    (value.axes, value.layer, ", ".join(patterns)))

    def name(self, suffix=""):
        """A name the graph takes: of the node, within 63 letters, not yet used."""
        text = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in self.node.name).strip("_")
        name = text = (text or self.node.op)[-48:] + suffix
        number = 1
        while name in self.names or name == "input":
            number += 1
            name = "%s_%d" % (text, number)
        self.names.add(name)
        return name

    def give(self, value, output=0):
        self.values[self.node.output[output]] = value if isinstance(value, Value) else np.asarray(value)

    def axis(self, value, number):
        if not -len(value.axes) <= number < len(value.axes):
            self.refuse("axis %d of %d" % (number, len(value.axes)))
        return number % len(value.axes)

    def is_read(self, output):
        return output < len(self.node.output) and self.graph.readers.get(self.node.output[output], 0) > 0

    def listed(self, key, i, default=None):
        """What older opsets have as an attribute and newer ones as input i."""
        value = self.constant(i)
        if value is not None:
            return [int(x) for x in value.ravel()]
        return self.node.get(key, default)

    # ---- convolutions and pools ----

    def window(self, value, kernel):
        """Strides, dilations and the padding [before, after, ...] of a window, what Pad added included."""
        node, n = self.node, len(kernel)
        strides, dilations = node.get("strides", [1] * n), node.get("dilations", [1] * n)
        auto, given = node.get("auto_pad", "NOTSET"), node.get("pads", [0] * 2 * n)
        pads = []
        for i, size in enumerate((self.sketch.rows(value.layer), self.sketch.width(value.layer))[:n]):
            total = max((-(-size // strides[i]) - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - size, 0)
            pads += {"NOTSET": [given[i], given[i + n]], "VALID": [0, 0],
                     "SAME_UPPER": [total // 2, total - total // 2],
                     "SAME_LOWER": [total - total // 2, total // 2]}[auto]
        if value.fill is not None:
            pads = [a + b for a, b in zip(pads, value.fill[0])]
        return strides, dilations, pads

    def conv(self):
        value, weight, bias = self.rows_of(fill_ok=True), self.constant(1), self.constant(2)
        axes = self.expect(value, "1CT", "1CTW")
        if weight.ndim != len(axes):
            self.refuse("weight %s" % list(weight.shape))
        if value.fill is not None and value.fill[1] != 0:
            self.refuse("reads rows padded with %g, not zeros" % value.fill[1])
        layer = self.sketch.conv(self.name(), weight, bias, *self.window(value, weight.shape[2:]),
                                 groups=self.node.get("group", 1), source=value.layer)
        self.give(self.value(layer, axes))

    def conv_transpose(self):
        value, weight, bias = self.rows_of(), self.constant(1), self.constant(2)
        self.expect(value, "1CT")
        node = self.node
        if (weight.ndim != 3 or node.get("group", 1) != 1 or set(node.get("dilations", [1])) != {1} or
                node.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or "output_shape" in node.attributes):
            self.refuse("groups, dilations, auto_pad or output_shape")
        left, right = node.get("pads", [0, 0])
        right -= node.get("output_padding", [0])[0]
        if right < 0:
            self.refuse("output_padding is larger than the padding")
        layer = self.sketch.transposed(self.name(), weight, bias, node.get("strides", [1])[0], source=value.layer)
        self.give(self.value(self.sketch.crop(self.name("_cut"), left, right, layer), "1CT"))

    def pool(self):
        value, node, op = self.rows_of(fill_ok=True), self.node, {"MaxPool": "maxpool"}.get(self.node.op, "avgpool")
        axes, kernel = self.expect(value, "1CT", "1CTW"), self.node.get("kernel_shape", [])
        if len(kernel) != len(axes) - 2 or set(node.get("dilations", [1])) != {1} or self.is_read(1):
            self.refuse("kernel %s, dilations or indices" % kernel)
        strides, _, pads = self.window(value, kernel)
        if node.get("ceil_mode", 0):
            for i, size in enumerate((self.sketch.rows(value.layer), self.sketch.width(value.layer))[:len(kernel)]):
                short = (size + sum(pads[2 * i:2 * i + 2]) - kernel[i]) % strides[i]
                pads[2 * i + 1] += strides[i] - short if short else 0
        fill = value.fill[1] if value.fill is not None else None
        if op == "maxpool" and fill is not None and fill > -1e9:
            self.refuse("a maximum of rows padded with %g, not minus infinity" % fill)
        if op == "avgpool" and any(pads) and (fill not in (None, 0) or node.get("ceil_mode", 0) or (
                any(node.get("pads", [])) or fill is None) and not node.get("count_include_pad", 0)):
            self.refuse("an average that leaves out its padding")
        self.give(self.value(self.sketch.pool(op, self.name(), kernel, strides, pads, value.layer), axes))

    def pool_all(self):
        value = self.rows_of()
        n = len(self.expect(value, "1CT", "1CTW")) - 2
        op = "maxpool" if self.node.op == "GlobalMaxPool" else "avgpool"
        all_of = (self.sketch.rows(value.layer), self.sketch.width(value.layer))[:n]
        self.give(self.value(self.sketch.pool(op, self.name(), all_of, all_of, (0, 0) * n, value.layer), "1C" + "1" * n))

    def mean(self):
        """Of all rows: an average pool."""
        value = self.rows_of()
        axes = [self.axis(value, a) for a in self.listed("axes", 1, range(len(value.axes)))]
        if "W" in value.axes or not {value.axes[a] for a in axes} <= {"T", "1"}:
            self.refuse("a mean over something else than rows")
        rows = (self.sketch.rows(value.layer),)
        layer = self.sketch.pool("avgpool", self.name(), rows, rows, source=value.layer)
        left = [a for i, a in enumerate(value.axes) if i not in axes or self.node.get("keepdims", 1)]
        self.give(self.value(layer, "".join("1" if a == "T" else a for a in left)))

    def pad(self):
        value, node = self.rows_of(), self.node
        pads, rank = self.listed("pads", 1), len(value.axes)
        number = self.constant(2)
        number = float(number.ravel()[0]) if number is not None and number.size else node.get("value", 0.0)
        if node.get("mode", "constant") != "constant" or len(pads) != 2 * rank:
            self.refuse("mode %s, or pads for other axes" % node.get("mode", "constant"))
        ends = {"T": [0, 0], "W": [0, 0]}
        for i, letter in enumerate(value.axes):
            if (pads[i], pads[i + rank]) != (0, 0):
                if letter not in ends:
                    self.refuse("pads axis %d, which is not rows" % i)
                ends[letter] = [pads[i], pads[i + rank]]
        if "W" in value.axes:
            return self.give(Value(value.layer, value.axes, None, (ends["T"] + ends["W"], number)))
        cut = self.sketch.crop(self.name("_cut"), *(max(-n, 0) for n in ends["T"]), source=value.layer)
        added = [max(n, 0) for n in ends["T"]]
        self.give(Value(cut, value.axes, value.turned, (added, number) if any(added) else None))

    def resize(self):
        value, node = self.rows_of(), self.node
        self.expect(value, "1CT")
        scales = self.constant({"Upsample": 1}.get(node.op, 2 if self.graph.opset >= 11 else 1))
        sizes = self.constant(3)
        if sizes is not None:
            scales = [size / have for size, have in zip(sizes.ravel(), self.dims(value))]
        elif scales is None or scales.size == 0:
            scales = node.get("scales", [0])
        scales = [float(s) for s in np.ravel(scales)]
        if node.get("mode", "nearest") != "nearest" or len(scales) != 3 or scales[:2] != [1, 1] or scales[2] % 1 != 0:
            self.refuse("scales %s, mode %s" % (scales, node.get("mode", "nearest")))
        where = node.get("coordinate_transformation_mode", "half_pixel" if node.op == "Resize" else "asymmetric")
        rule = node.get("nearest_mode", "round_prefer_floor" if node.op == "Resize" else "floor")
        if self.graph.opset >= 11 and node.op == "Resize" and not (
                where == "asymmetric" and rule == "floor" or where.endswith("half_pixel") and rule.startswith("round")):
            self.refuse("coordinates %s with %s are no plain repeating" % (where, rule))
        self.give(self.value(self.sketch.upsample(self.name(), int(scales[2]), value.layer), "1CT"))

    # ---- rows ----

    def dense(self, value, weight, bias):
        """weight [channels, in]; the value's last axis is its channels."""
        if value.turned is not None:
            rows, channels = value.turned
            weight = weight.reshape(-1, rows, channels).transpose(0, 2, 1).reshape(len(weight), -1)
        layer = self.sketch.dense(self.name(), weight, bias, source=value.layer)
        self.give(self.value(layer, value.axes[:-1] + "C"))

    def gemm(self):
        value, weight, bias, node = self.rows_of(), self.constant(1), self.constant(2), self.node
        self.expect(value, "1C", "TC", turned_ok=True)
        if node.get("transA", 0) or weight.ndim != 2:
            self.refuse("transA")
        weight = (weight if node.get("transB", 0) else weight.T) * node.get("alpha", 1.0)
        if bias is not None:
            bias = np.broadcast_to(bias * node.get("beta", 1.0), (1, len(weight)))[0]
        self.dense(value, weight, bias)

    def matmul(self):
        if not self.is_layer(0) or self.is_layer(1):
            self.refuse("not rows times a constant")
        value, weight = self.rows_of(), self.constant(1)
        self.expect(value, "1TC", "T1C", "1C", "TC", turned_ok=True)
        if weight.ndim != 2:
            self.refuse("weight %s" % list(weight.shape))
        self.dense(value, weight.T, None)

    def per_channel(self, value, constant):
        """A constant that is one number, or one a channel, as [channels]."""
        dims = (1,) * (len(value.axes) - constant.ndim) + constant.shape
        where = value.axes.find("C")
        if value.turned or len(dims) != len(value.axes) or any(d != 1 for i, d in enumerate(dims) if i != where) or "D" in value.axes:
            self.refuse("a constant of shape %s that is not one number a channel" % list(constant.shape))
        return np.broadcast_to(constant.ravel(), (self.sketch.channels(value.layer),)).astype(np.float32)

    def affine(self, value, factor, shift):
        """x * factor + shift: a bias of the layer before it, or a batch norm (the load folds it)."""
        name = value.layer
        if (factor == 1).all() and self.alone(self.source_name()) and self.sketch.give_bias(name, shift):
            return self.give(Value(name, value.axes))
        ones = np.ones(len(factor), np.float32)
        layer = self.sketch.norm(self.name(), {"weight": factor, "bias": shift, "running_mean": ones * 0,
                                               "running_var": ones}, 0.0, source=name)
        self.give(Value(layer, value.axes))

    def source_name(self):
        return next(name for name in self.node.input if isinstance(self.values.get(name), Value))

    def arithmetic(self):
        op, layers = self.node.op, [i for i in range(len(self.node.input)) if self.is_layer(i)]
        if len(layers) == len(self.node.input) and op in ("Add", "Sum"):
            return self.add()
        if len(layers) != 1 or len(self.node.input) != 2 or op == "Div" and layers[0] == 1:
            self.refuse("not a layer and a constant")
        value = self.rows_of(layers[0])
        constant = self.per_channel(value, self.constant(1 - layers[0]))
        one, zero = np.ones_like(constant), np.zeros_like(constant)
        if op == "Add":
            self.affine(value, one, constant)
        elif op == "Mul":
            self.affine(value, constant, zero)
        elif op == "Div":
            self.affine(value, one / constant, zero)
        elif layers[0] == 0:
            self.affine(value, one, -constant)
        else:
            self.affine(value, -one, constant)

    def add(self):
        parts = [self.rows_of(i) for i in range(len(self.node.input))]
        if len({(part.axes, part.turned) for part in parts}) != 1:
            self.refuse("axes %s do not go together" % [part.axes for part in parts])
        layer = self.sketch.add(self.name(), [part.layer for part in parts])
        self.give(Value(layer, parts[0].axes, parts[0].turned))

    def concat(self):
        if not any(self.is_layer(i) for i in range(len(self.node.input))):
            return self.give(np.concatenate([np.atleast_1d(self.constant(i)) for i in range(len(self.node.input))],
                                            self.node.get("axis", 0)))
        parts = [self.rows_of(i) for i in range(len(self.node.input))]
        axis = self.axis(parts[0], self.node.get("axis", 0))
        rest = {part.axes[:axis] + part.axes[axis + 1:] for part in parts}
        if len(rest) != 1 or not {part.axes[axis] for part in parts} <= {"C", "1"} or "C" in rest.pop() or \
                any(part.turned for part in parts):
            self.refuse("joins something else than channels")
        layer = self.sketch.concat(self.name(), [part.layer for part in parts])
        axes = parts[0].axes
        self.give(self.value(layer, axes[:axis] + "C" + axes[axis + 1:]))

    def norm(self):
        value, node = self.rows_of(), self.node
        self.expect(value, "1CT", "1CTW", "1C", "TC")
        if node.get("training_mode", 0):
            self.refuse("training_mode")
        state = dict(zip(("weight", "bias", "running_mean", "running_var"), (self.constant(i) for i in range(1, 5))))
        layer = self.sketch.norm(self.name(), state, float(node.get("epsilon", 1e-5)), source=value.layer)
        self.give(Value(layer, value.axes))

    def layer_norm(self):
        value = self.rows_of()
        axis = self.axis(value, self.node.get("axis", -1))
        if value.turned or axis != len(value.axes) - 1 or value.axes[axis] != "C":
            self.refuse("normalises something else than channels")
        bias = self.constant(2)
        weight = self.constant(1)
        if weight.shape != (self.sketch.channels(value.layer),):
            self.refuse("weight %s" % list(weight.shape))
        layer = self.sketch.layer_norm(self.name(), weight, np.zeros_like(weight) if bias is None else bias,
                                       float(self.node.get("epsilon", 1e-5)), value.layer)
        self.give(Value(layer, value.axes))

    def point(self):
        value, node = self.rows_of(), self.node
        op = {"Relu": "relu", "LeakyRelu": "leaky_relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Gelu": "gelu"}[node.op]
        if node.get("approximate", "none") != "none":
            self.refuse("an approximation of GELU")
        params = {"slope": float(node.get("alpha", 0.01))} if op == "leaky_relu" else {}
        if self.alone(node.input[0]) and self.sketch.activate(value.layer, op, **params):
            return self.give(Value(value.layer, value.axes, value.turned))
        self.give(Value(self.sketch.point(op, self.name(), value.layer, **params), value.axes, value.turned))

    def softmax(self):
        value = self.rows_of()
        axis = self.axis(value, self.node.get("axis", -1 if self.graph.opset >= 13 else 1))
        flat = self.graph.opset < 13 and "T" in value.axes[axis:]  # then all axes from this one on were taken as one
        if value.axes[axis] not in ("C", "1") or value.axes[axis] == "1" and "C" in value.axes or flat or \
                set("WD") & set(value.axes):
            self.refuse("over something else than channels")
        self.give(Value(self.sketch.point("softmax", self.name(), value.layer), value.axes))

    # ---- recurrent ----

    def recurrent(self):
        value, node, op = self.rows_of(), self.node, self.node.op.lower()
        gates = {"lstm": (0, 2, 3, 1), "gru": (1, 0, 2)}[op]  # ONNX: i o f c; z r h. PyTorch: i f g o; r z n
        usual = {"lstm": ["Sigmoid", "Tanh", "Tanh"], "gru": ["Sigmoid", "Tanh"]}[op]
        weight_in, weight_hidden, bias = self.constant(1), self.constant(2), self.constant(3)
        directions, units = weight_hidden.shape[0], weight_hidden.shape[2]
        self.expect(value, "T1C")
        given = [text.decode() if isinstance(text, bytes) else text for text in node.get("activations", [])]
        if node.get("direction", "forward") == "reverse" or given not in ([], usual * directions) or \
                "clip" in node.attributes or node.get("input_forget", 0) or node.get("layout", 0):
            self.refuse("reverse alone, activations, clip, input_forget or layout")
        if op == "gru" and not node.get("linear_before_reset", 0):
            self.refuse("the reset gate stands before the hidden product (linear_before_reset 0)")
        for i in (4, 5, 6, 7):
            state = self.constant(i)
            if state is not None and (i == 4 or state.any()):
                self.refuse("sequence_lens, peepholes or a state to begin with")

        def turn(array, n_blocks):
            blocks = np.split(array, n_blocks)
            return np.concatenate([np.concatenate([blocks[at + g] for g in gates])
                                   for at in range(0, n_blocks, len(gates))])

        tensors = []
        for d in range(directions):
            both = None if bias is None else np.split(turn(bias[d], 2 * len(gates)), 2)
            tensors.append((turn(weight_in[d], len(gates)), turn(weight_hidden[d], len(gates)),
                            both and both[0], both and both[1]))
        rows_read, last_read = self.is_read(0), self.is_read(1)
        if self.is_read(2) or last_read and directions == 2:
            self.refuse("the last state of both directions, or a cell state, is read")
        layer = self.sketch.recurrent(op, self.name(), tensors, last=last_read and not rows_read, source=value.layer)
        if rows_read:
            self.give(self.value(layer, "TD1C" if directions == 2 else "T11C"))
        if last_read:
            rows = self.sketch.rows(layer)
            self.give(self.value(self.sketch.crop(self.name("_last"), rows - 1, 0, layer), "11C"), 1)

    # ---- axes ----

    def transpose(self):
        if not self.is_layer(0):
            return self.give(np.transpose(self.constant(0), self.node.get("perm", None)))
        value = self.rows_of(fill_ok=True)
        order = self.node.get("perm", list(range(len(value.axes)))[::-1])
        self.give(Value(value.layer, "".join(value.axes[i] for i in order), value.turned, value.fill))

    def reshape(self):
        node = self.node
        value = self.rows_of() if self.is_layer(0) else self.constant(0)
        dims = self.dims(value) if self.is_layer(0) else list(value.shape)
        if node.op == "Flatten":
            axis = node.get("axis", 1) % (len(dims) + 1)
            target = [int(np.prod(dims[:axis])), int(np.prod(dims[axis:]))]
        else:
            target = self.listed("shape", 1)
            target = [dims[i] if size == 0 and not node.get("allowzero", 0) else size
                      for i, size in enumerate(target)]
            if -1 in target:
                known = int(np.prod([size for size in target if size != -1]))
                target[target.index(-1)] = int(np.prod(dims)) // max(known, 1)
        if int(np.prod(target)) != int(np.prod(dims)):
            self.refuse("%s to %s" % (dims, target))
        if isinstance(value, Value):
            self.regroup(value, target)
        else:
            self.give(value.reshape(target))

    def regroup(self, value, target):
        """Each new axis is one old one, or some neighbours made one."""
        have = [(a, n) for a, n in zip(value.axes, self.dims(value)) if n > 1]
        axes, layer, turned = "", value.layer, value.turned
        for size in target:
            group, product = "", 1
            while size > 1 and product < size and have:
                letter, n = have.pop(0)
                group, product = group + letter, product * n
            if product != size:
                self.refuse("%s to %s takes axes apart" % (self.dims(value), list(target)))
            if turned and group not in ("", "C"):
                self.refuse("takes a flattened row apart")
            if group in ("CT", "TC", "CTW", "CW", "TW"):
                if group == "TC":
                    turned = (self.sketch.rows(layer), self.sketch.channels(layer))
                layer = self.sketch.flatten(self.name(), layer)
            elif group not in ("", "C", "T", "W", "D", "DC"):
                self.refuse("%s to %s mixes axes %s" % (self.dims(value), list(target), group))
            axes += {"": "1", "T": "T", "D": "D", "W": "W"}.get(group, "C")
        self.give(Value(layer, axes, turned))

    def squeeze(self):
        if not self.is_layer(0):
            return self.give(np.squeeze(self.constant(0), tuple(self.listed("axes", 1, [])) or None))
        value = self.rows_of()
        axes = [self.axis(value, a) for a in self.listed("axes", 1, [i for i, a in enumerate(value.axes) if a == "1"])]
        if any(value.axes[a] != "1" for a in axes):
            self.refuse("an axis that is not of size 1")
        self.give(Value(value.layer, "".join(a for i, a in enumerate(value.axes) if i not in axes), value.turned))

    def unsqueeze(self):
        axes = self.listed("axes", 1)
        if not self.is_layer(0):
            return self.give(np.expand_dims(self.constant(0), tuple(axes)))
        value = self.rows_of()
        letters, rank = list(value.axes), len(value.axes) + len(axes)
        for a in sorted(a % rank for a in axes):
            letters.insert(a, "1")
        self.give(Value(value.layer, "".join(letters), value.turned))

    def cut(self, value, axis, start, stop):
        """Rows start to stop of an axis, or all of it."""
        size = self.dims(value)[axis]
        start, stop = (min(max(x + size if x < 0 else x, 0), size) for x in (start, stop))
        if (start, stop) == (0, size):
            return value
        if value.axes[axis] != "T" or stop <= start:
            self.refuse("takes %d to %d of axis %d, which is not rows" % (start, stop, axis))
        return self.value(self.sketch.crop(self.name(), start, size - stop, value.layer), value.axes)

    def slice(self):
        starts, stops = self.listed("starts", 1), self.listed("ends", 2)
        axes, steps = self.listed("axes", 3, list(range(len(starts)))), self.listed("steps", 4, [1] * len(starts))
        if not self.is_layer(0):
            array = self.constant(0)
            index = [slice(None)] * array.ndim
            for a, start, stop, step in zip(axes, starts, stops, steps):
                index[a] = slice(start, stop, step)
            return self.give(array[tuple(index)])
        value = self.rows_of()
        if set(steps) != {1}:
            self.refuse("steps %s" % steps)
        for a, start, stop in zip(axes, starts, stops):
            value = self.cut(value, self.axis(value, a), start, stop)
        self.give(value)

    def gather(self):
        axis, index = self.node.get("axis", 0), self.constant(1)
        if not self.is_layer(0):
            return self.give(np.take(self.constant(0), index, axis))
        value = self.rows_of()
        axis, size = self.axis(value, axis), self.dims(value)[self.axis(value, axis)]
        if index.size != 1:
            self.refuse("takes %d of an axis, not 1" % index.size)
        at = int(index.ravel()[0]) % size
        taken = self.cut(value, axis, at, at + 1)
        self.give(Value(taken.layer, taken.axes[:axis] + ("1" if index.ndim else "") + taken.axes[axis + 1:]))

    # ---- constants, and what does nothing ----

    def shape(self):
        value = self.values[self.node.input[0]]
        self.give(np.array(self.dims(self.rows_of()) if isinstance(value, Value) else value.shape, np.int64))

    def expand(self):
        self.give(np.broadcast_to(self.constant(0), [int(n) for n in self.constant(1).ravel()]))

    def fill(self):
        value = self.node.get("value", None)
        if value is not None:
            from onnx import numpy_helper
            value = numpy_helper.to_array(value)
        self.give(np.full([int(n) for n in self.constant(0).ravel()], 0.0 if value is None else value.ravel()[0]))

    def same(self):
        """Identity, Dropout when nothing is trained, Cast between kinds of floats or of a constant."""
        if not self.is_layer(0):
            return self.give(self.constant(0))
        if self.node.get("to", 1) not in (1, 10, 11):  # float, float16, double
            self.refuse("to no kind of float")
        self.give(self.rows_of(fill_ok=True))

    VISIT = {"Conv": conv, "ConvTranspose": conv_transpose, "MaxPool": pool, "AveragePool": pool,
             "GlobalMaxPool": pool_all, "GlobalAveragePool": pool_all, "ReduceMean": mean, "Pad": pad,
             "Resize": resize, "Upsample": resize, "Gemm": gemm, "MatMul": matmul, "Add": arithmetic,
             "Sub": arithmetic, "Mul": arithmetic, "Div": arithmetic, "Sum": arithmetic, "Concat": concat,
             "BatchNormalization": norm, "LayerNormalization": layer_norm, "Relu": point, "LeakyRelu": point,
             "Sigmoid": point, "Tanh": point, "Gelu": point, "Softmax": softmax, "LSTM": recurrent, "GRU": recurrent,
             "Transpose": transpose, "Reshape": reshape, "Flatten": reshape, "Squeeze": squeeze,
             "Unsqueeze": unsqueeze, "Slice": slice, "Gather": gather, "Shape": shape, "Expand": expand,
             "ConstantOfShape": fill, "Identity": same, "Dropout": same, "Cast": same}

    def run(self):
        for node in self.graph.nodes:
            self.node = node
            if node.op not in self.VISIT:
                self.refuse("this operator is not known here")
            try:
                self.VISIT[node.op](self)
            except (Refused, NotImplementedError) as error:
                text = str(error)
                raise Refused(text if text.startswith("node ") else "node '%s' (%s): %s" % (node.name, node.op, text))
        self.finish()
        return self.sketch

    def finish(self):
        """The outputs as one layer."""
        outs = [self.values.get(name) for name in self.graph.outputs]
        if not outs or not all(isinstance(out, Value) and out.layer != "input" for out in outs):
            raise Refused("an output is constant, or the input itself")
        if any(out.turned or out.fill for out in outs):
            raise Refused("an output is padded, or flattened row by row")
        layer = outs[0].layer
        if len(outs) > 1:
            self.node = Node("outputs", "Concat", [], ["outputs"], {})
            layer = self.sketch.concat(self.name(), [out.layer for out in outs])
        self.sketch.output(layer)


def convert(path, length=None, rows_first=False):
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise Refused("needs the Python package onnx (Debian: python3-onnx): %s" % error)
    try:
        model = onnx.load(path)
    except DecodeError as error:
        raise Refused("%s is no ONNX file: %s" % (path, error))
    return Importer(Graph(model), length, rows_first).run()


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--length", type=int, help="rows of a window, where the file leaves them open")
    args.add_argument("--rows-first", action="store_true", help="the input is [1, rows, channels]")
    args.add_argument("--stream", action="store_true", help="leave the length out; the network must be causal")
    args.add_argument("--name", default="imported")
    args.add_argument("--version", default="1")
    args.add_argument("network", help=".onnx")
    args.add_argument("out")
    opt = args.parse_args()
    try:
        sketch = convert(opt.network, opt.length, opt.rows_first)
        if opt.stream:
            sketch.forget_length()
        print("written, checksum %s" % sketch.write(opt.out, opt.name, opt.version))
    except (Refused, OSError) as error:
        sys.exit("onnx_file: %s" % error)


if __name__ == "__main__":
    main()
