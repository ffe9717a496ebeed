"""The networks that are timed, as our model files describe them (models/train/export.py): graph and tensors.

Nothing here needs a package, so that our own engine is timed wherever Python is. A tensor is (shape, array of floats).
"""
import array
import json
import math
import os
import random
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.normpath(os.path.join(HERE, os.pardir, os.pardir))
ROWS = 3001  # of PhaseNet's window
NORM = ("weight", "bias", "running_mean", "running_var")


class Network:
    """A graph with its tensors; `origin` says where the weights come from."""

    def __init__(self, name, graph, tensors, origin):
        self.name, self.graph, self.tensors, self.origin = name, graph, tensors, origin

    def file(self, crc32c):
        """The bytes of a model file. crc32c(crc, bytes) is the library's."""
        entries, payload = {}, bytearray()
        for name, (shape, values) in self.tensors.items():
            start = len(payload)
            payload += values.tobytes()
            entries[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, len(payload)]}
        text = json.dumps(self.graph, separators=(",", ":"))
        header = {"__metadata__": {
            "tocsin.format": "1", "tocsin.name": self.name, "tocsin.version": "1", "tocsin.graph": text,
            "tocsin.crc32c": "%08x" % crc32c(crc32c(0, text.encode()), bytes(payload))}}
        header.update(entries)
        blob = json.dumps(header, separators=(",", ":")).encode()
        blob += b" " * (-len(blob) % 8)
        return struct.pack("<Q", len(blob)) + blob + bytes(payload)


def read(name, path, origin):
    """A model file back into a Network."""
    with open(path, "rb") as file:
        length, = struct.unpack("<Q", file.read(8))
        header, payload = json.loads(file.read(length)), file.read()
    graph = json.loads(header.pop("__metadata__")["tocsin.graph"])
    tensors = {key: (tuple(entry["shape"]), array.array("f", payload[slice(*entry["data_offsets"])]))
               for key, entry in header.items()}
    return Network(name, graph, tensors, origin)


def noise(seed, n, scale=1.0):
    """Seeded, about normal. Gaussians would cost a second of start-up for nothing."""
    draw = random.Random(seed).random
    return array.array("f", [scale * 1.7 * (draw() + draw() - 1.0) * 1.44 for _ in range(n)])


class _Random:
    """Layers with random weights; rows and channels are followed as they go."""

    def __init__(self, seed, channels, rows):
        self.graph = {"input": {"channels": channels, "length": rows}, "layers": []}
        self.tensors, self.seed = {}, seed
        self.shape, self.last = {"input": (rows, channels)}, "input"

    def tensor(self, name, shape, scale, centre=0.0):
        self.seed += 1
        values = noise(self.seed, math.prod(shape), scale)
        self.tensors[name] = (shape, array.array("f", [centre + v for v in values]) if centre else values)

    def add(self, op, name, shape, **params):
        self.graph["layers"].append(dict(op=op, name=name, **params))
        self.shape[name], self.last = shape, name

    def level(self, name, channels, kernel=7, stride=1, norm=True, activation="relu"):
        rows, reads = self.shape[self.last]
        out_rows = -(-rows // stride)
        zeros = max((out_rows - 1) * stride + kernel - rows, 0)
        self.tensor(name + ".weight", (channels, reads, kernel), math.sqrt(2.0 / (reads * kernel)))
        if not norm:
            self.tensor(name + ".bias", (channels,), 0.1)
        self.add("conv1d", name, (out_rows, channels), channels=channels, kernel=kernel, stride=stride, bias=not norm,
                 padding=[zeros // 2, zeros - zeros // 2])
        if norm:
            self.norm(name + "_bn", activation)

    def norm(self, name, activation):
        rows, channels = self.shape[self.last]
        for key, scale, centre in zip(NORM, (0.1, 0.1, 0.1, 0.1), (1.0, 0.0, 0.0, 1.0)):
            self.tensor("%s.%s" % (name, key), (channels,), scale, centre)
        self.add("batchnorm", name, (rows, channels), eps=1e-3, activation=activation)

    def up(self, name, channels, skip):
        rows, reads = self.shape[self.last]
        wanted, full = self.shape[skip][0], (rows - 1) * 4 + 7
        left = 1 + (full - 3 - wanted) // 2
        self.tensor(name + ".weight", (reads, channels, 7), math.sqrt(8.0 / (reads * 7)))
        self.add("convtranspose1d", name, (full, channels), channels=channels, kernel=7, stride=4, bias=False)
        self.norm(name + "_bn", "relu")
        self.add("crop", name + "_cut", (wanted, channels), left=left, right=full - wanted - left)
        self.add("concat", name + "_skip", (wanted, channels + self.shape[skip][1]), inputs=[skip, name + "_cut"])


def random_phasenet(rows=ROWS, seed=1):
    """PhaseNet's layers (models/import/phasenet.py) with random weights: time does not depend on the values."""
    net = _Random(seed, 3, rows)
    net.level("in", 8)
    widths, skips = (8, 16, 32, 64, 128), []
    for k, width in enumerate(widths):
        net.level("same%d" % k, width)
        skips.append(net.last)
        if k < 4:
            net.level("down%d" % k, width, stride=4)
    for k in reversed(range(4)):
        net.up("up%d" % k, widths[k], skips[k])
        net.level("join%d" % k, widths[k])
    net.level("out", 3, kernel=1, norm=False)
    net.add("softmax", "probability", net.shape["out"])
    return Network("phasenet", net.graph, net.tensors, "random weights")


def phasenet(data, rows=ROWS):
    """With the published weights where the data set and numpy are."""
    path = os.path.join(data or "", "weights", "phasenet", "weights.npz")
    if not os.path.exists(path):
        return random_phasenet(rows)
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "phasenet.safetensors")
        converter = os.path.join(TOP, "models", "import", "phasenet.py")
        done = subprocess.run([sys.executable, converter, "--npz", path, "--length", str(rows), file],
                              capture_output=True, check=False)
        return read("phasenet", file, "published weights") if done.returncode == 0 else random_phasenet(rows)


def lstm(inputs=3, units=50, seed=7):
    """Two layers, as the magnitude networks of this field have them; PyTorch's own scale of random weights."""
    tensors, scale = {}, 1.0 / math.sqrt(units)
    for layer, reads in (("a", inputs), ("b", units)):
        for key, shape in (("weight_ih_l0", (4 * units, reads)), ("weight_hh_l0", (4 * units, units)),
                           ("bias_ih_l0", (4 * units,)), ("bias_hh_l0", (4 * units,))):
            seed += 1
            tensors["%s.%s" % (layer, key)] = (shape, noise(seed, math.prod(shape), scale))
    graph = {"input": {"channels": inputs}, "layers": [{"op": "lstm", "name": "a", "channels": units},
                                                       {"op": "lstm", "name": "b", "channels": units}]}
    return Network("lstm", graph, tensors, "random weights")
