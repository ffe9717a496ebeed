"""Which axis of an ONNX tensor is which of ours: the half of a conversion that makes no layers with weights.

ONNX has [batch, channels, rows], or [rows, batch, channels] around recurrent layers, or whatever a Transpose leaves; we
have rows of channels. Transposes and most reshapes are therefore no layers here, but change the letters of a Value.
"""
import numpy as np

from sketch import Refused, Sketch

NONE = object()
CONSTANT_MAX = 1 << 24  # numbers; a network that computes larger constants from its shapes is no network of ours


class Value:
    """A layer's rows as ONNX sees them: one letter an axis. C channels, T rows, W columns of a picture, D the two
    directions of a recurrent layer, 1 an axis of size one (it can stand for any). turned: (rows, channels) of a
    flattened row that goes row by row, not channel by channel. fill: (padding, number) that Pad has asked for."""

    def __init__(self, layer, axes, turned=None, fill=None):
        self.layer, self.axes, self.turned, self.fill = layer, axes, turned, fill


class Axes:
    """What a conversion knows so far, and the nodes that only rename axes, cut rows or compute constants. `values` has
    what is known by name: arrays, or Value; `node` is the one being visited."""

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

    def small(self, i):
        """Input i as a shape that is worth making."""
        shape = [int(n) for n in self.constant(i).ravel()]
        if any(n < 0 for n in shape) or np.prod(shape, dtype=float) > CONSTANT_MAX:
            self.refuse("a constant of shape %s" % shape)
        return shape

    def expand(self):
        value, shape = self.constant(0), self.small(1)
        self.give(np.broadcast_to(value, np.broadcast_shapes(value.shape, tuple(shape))))

    def fill(self):
        value = self.node.get("value", None)
        if value is not None:
            from onnx import numpy_helper
            value = numpy_helper.to_array(value)
        self.give(np.full(self.small(0), 0.0 if value is None else value.ravel()[0]))

    def same(self):
        """Identity, Dropout when nothing is trained, Cast between kinds of floats or of a constant."""
        if not self.is_layer(0):
            return self.give(self.constant(0))
        if self.node.get("to", 1) not in (1, 10, 11):  # float, float16, double
            self.refuse("to no kind of float")
        self.give(self.rows_of(fill_ok=True))
