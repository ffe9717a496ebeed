"""An ONNX file as a model file.

    python3 models/import/onnx_file.py [--length N] network.onnx out.safetensors

Needs numpy and onnx (Debian: python3-onnx). (The name is not onnx.py: that would hide the package.)

The input is [1, channels, rows], or [1, rows, channels] with --rows-first, or a picture [1, channels, rows, columns];
a batch of any size is taken as one. The rows are those of the file, or --length where the file leaves them open.
--stream leaves the length out of the model file, for causal networks that are fed block by block. Several outputs of
the same rows are joined, channel after channel, in their order. Constant expressions of shapes are computed here;
nodes nobody reads are dropped.

Operators: Conv (groups too), ConvTranspose of rows, BatchNormalization, LayerNormalization, Relu, LeakyRelu, Sigmoid,
Tanh, Gelu, Softmax, MaxPool, AveragePool, GlobalMaxPool, GlobalAveragePool, ReduceMean and ReduceMax of rows, Gemm,
MatMul with a constant, Add, Sub, Mul and Div with a constant per channel, Add and Sum of layers, Concat of channels,
Slice and Gather of neighbouring rows, Pad with zeros, LSTM, GRU, Resize and Upsample of rows to whole multiples;
Flatten, Reshape, Squeeze, Unsqueeze and Transpose where they only rename axes or flatten. Whatever else a file holds
is refused with the node's name."""
import argparse
import sys

import numpy as np

from onnx_axes import Axes, Value
from onnx_read import Node, read
from sketch import Refused


class Importer(Axes):
    """Visits each node once and adds its layer."""

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
        layer = self.sketch.pool(op, self.name(), all_of, all_of, (0, 0) * n, value.layer)
        self.give(self.value(layer, "1C" + "1" * n))

    def reduce(self):
        """The mean or the largest of all rows: a pool."""
        value = self.rows_of()
        axes = [self.axis(value, a) for a in self.listed("axes", 1, range(len(value.axes)))]
        if "W" in value.axes or not {value.axes[a] for a in axes} <= {"T", "1"}:
            self.refuse("reduces something else than rows")
        rows = (self.sketch.rows(value.layer),)
        op = {"ReduceMean": "avgpool", "ReduceMax": "maxpool"}[self.node.op]
        layer = self.sketch.pool(op, self.name(), rows, rows, source=value.layer)
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
        if value.turned or "D" in value.axes or len(dims) != len(value.axes) or \
                any(d != 1 for i, d in enumerate(dims) if i != where):
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

    VISIT = {op: method for method, ops in {
        "conv": "Conv",
        "conv_transpose": "ConvTranspose",
        "pool": "MaxPool AveragePool",
        "pool_all": "GlobalMaxPool GlobalAveragePool",
        "reduce": "ReduceMean ReduceMax",
        "pad": "Pad",
        "resize": "Resize Upsample",
        "gemm": "Gemm",
        "matmul": "MatMul",
        "arithmetic": "Add Sub Mul Div Sum",
        "concat": "Concat",
        "norm": "BatchNormalization",
        "layer_norm": "LayerNormalization",
        "point": "Relu LeakyRelu Sigmoid Tanh Gelu",
        "softmax": "Softmax",
        "recurrent": "LSTM GRU",
        "transpose": "Transpose",
        "reshape": "Reshape Flatten",
        "squeeze": "Squeeze",
        "unsqueeze": "Unsqueeze",
        "slice": "Slice",
        "gather": "Gather",
        "shape": "Shape",
        "expand": "Expand",
        "fill": "ConstantOfShape",
        "same": "Identity Dropout Cast"
    }.items() for op in ops.split()}

    def run(self):
        for node in self.graph.nodes:
            self.node = node
            if node.op not in self.VISIT:
                self.refuse("this operator is not known here")
            try:
                getattr(self, self.VISIT[node.op])()
            except Refused as error:
                raise error if str(error).startswith("node ") else Refused("node '%s' (%s): %s" %
                                                                           (node.name, node.op, error))
            except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
                self.refuse("damaged, or of an unknown form: %s: %s" % (type(error).__name__, error))
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
    """A Sketch, or Refused."""
    return Importer(read(path), length, rows_first).run()


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
    except (ValueError, OSError) as error:
        sys.exit("onnx_file: %s" % error)


if __name__ == "__main__":
    main()
