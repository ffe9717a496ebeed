"""The second network: one window around a proposed onset, seen whole.

In: ROWS rows of the runtime's seven features and a column that is 1 where a row was seen. Out, raw: logits of nothing,
P, S for the proposal, then one logit for each of BINS places of the onset, 20 ms wide, the first at -1 s. Three levels
(50, 25 and 12.5 rows a second) down, and up again for the place alone. Module names are the layer names of the written
graph. No torch.nn trickery: every layer is one the engine has.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

ROWS, BEFORE, INPUTS, CLASSES, BINS = 640, 240, 8, 3, 100
FINE, MIDDLE, COARSE, CODE, HIDDEN = 24, 48, 64, 16, 64
MARGIN = 18  # fine rows kept on either side of the bins while the place is worked out

# name, op and what the engine is told; in the order of running
LAYERS = [
    ("stem", "conv1d", dict(channels=FINE, kernel=9, stride=2, padding=[4, 3], bn=True)),
    ("a0", "conv1d", dict(channels=FINE, kernel=5, padding=[2, 2], bn=True)),
    ("a1", "conv1d", dict(channels=FINE, kernel=1, padding=[0, 0], bn=False)),
    ("a", "add", dict(inputs=["stem", "a1"])),
    ("down", "conv1d", dict(channels=MIDDLE, kernel=5, stride=2, padding=[2, 1], bn=True)),
]


def _block(name, last, channels, spread):
    return [(name + "0", "conv1d", dict(channels=channels, kernel=3, dilation=spread, padding=[spread, spread], bn=True)),
            (name + "1", "conv1d", dict(channels=channels, kernel=1, padding=[0, 0], bn=False)),
            (name, "add", dict(inputs=[last, name + "1"]))]


def layers():
    out = list(LAYERS)
    out += _block("b", "down", MIDDLE, 1) + _block("c", "b", MIDDLE, 2)
    out += [("deep", "conv1d", dict(channels=COARSE, kernel=5, stride=2, padding=[2, 1], bn=True))]
    out += _block("d", "deep", COARSE, 1) + _block("f", "d", COARSE, 3)
    out += [("code", "conv1d", dict(channels=CODE, kernel=1, padding=[0, 0], bn=True)),
            ("codes", "flatten", {}),
            ("hidden", "dense", dict(channels=HIDDEN, activation="relu")),
            ("class", "dense", dict(channels=CLASSES))]
    first = BEFORE // 2 - BINS // 2 - MARGIN          # fine row of the first that is kept
    keep = BINS + 2 * MARGIN
    assert first % 4 == 0 and keep % 4 == 0
    out += [("fcut", "crop", dict(left=first // 4, right=(ROWS // 2 - first - keep) // 4, inputs=["f"])),
            ("fnarrow", "conv1d", dict(channels=MIDDLE, kernel=1, padding=[0, 0], bn=True)),
            ("fup", "upsample", dict(factor=2)),
            ("ccut", "crop", dict(left=first // 2, right=(ROWS // 2 - first - keep) // 2, inputs=["c"])),
            ("g", "add", dict(inputs=["fup", "ccut"]))]
    out += _block("h", "g", MIDDLE, 1)
    out += [("hnarrow", "conv1d", dict(channels=FINE, kernel=1, padding=[0, 0], bn=True)),
            ("hup", "upsample", dict(factor=2)),
            ("acut", "crop", dict(left=first, right=ROWS // 2 - first - keep, inputs=["a"])),
            ("i", "add", dict(inputs=["hup", "acut"]))]
    out += [("i0", "conv1d", dict(channels=FINE, kernel=7, padding=[3, 3], bn=True)),
            ("i1", "conv1d", dict(channels=FINE, kernel=5, padding=[2, 2], bn=True)),
            ("place", "conv1d", dict(channels=1, kernel=3, padding=[1, 1], bn=False)),
            ("bins", "crop", dict(left=MARGIN, right=MARGIN)),
            ("places", "flatten", {}),
            ("out", "concat", dict(inputs=["class", "places"]))]
    return out


class Second(nn.Module):
    def __init__(self):
        super().__init__()
        wide = {"input": INPUTS}
        last = "input"
        self.plan = layers()
        for name, op, how in self.plan:
            given = how.get("inputs", [last])
            n = how.get("channels", wide[given[0]])
            if op == "conv1d":
                self.add_module(name, nn.Conv1d(wide[given[0]], n, how["kernel"], how.get("stride", 1),
                                                dilation=how.get("dilation", 1), bias=not how["bn"]))
                if how["bn"]:
                    self.add_module(name + "_bn", nn.BatchNorm1d(n))
            elif op == "flatten":
                n = {"codes": CODE * ROWS // 8, "places": BINS}[name]
            elif op == "dense":
                self.add_module(name, nn.Linear(wide[given[0]], n))
            elif op == "concat":
                n = CLASSES + BINS
            wide[name] = n
            last = name

    def forward(self, x):
        """x [batch, 8, ROWS] -> [batch, 3 + BINS]"""
        known, last = {"input": x}, "input"
        for name, op, how in self.plan:
            given = [known[k] for k in how.get("inputs", [last])]
            y = given[0]
            if op == "conv1d":
                y = getattr(self, name)(F.pad(y, tuple(how["padding"])))
                if how["bn"]:
                    y = torch.relu(getattr(self, name + "_bn")(y))
            elif op == "add":
                y = given[0] + given[1]
            elif op == "flatten":
                y = y.flatten(1)
            elif op == "dense":
                if name == "hidden" and self.training:
                    y = F.dropout(y, 0.2)
                y = getattr(self, name)(y)
                y = torch.relu(y) if how.get("activation") == "relu" else y
            elif op == "crop":
                y = y[:, :, how["left"]:y.shape[2] - how["right"]]
            elif op == "upsample":
                y = y.repeat_interleave(how["factor"], dim=2)
            elif op == "concat":
                y = torch.cat(given, 1)
            known[name], last = y, name
        return known[last]


def graph():
    """Layers as models/train/export.py describes them."""
    out = []
    for name, op, how in layers():
        one = {"op": op, "name": name}
        one.update({k: v for k, v in how.items() if k not in ("bn", "padding")})
        if op == "conv1d":
            one["padding"] = how["padding"]
            if how["bn"]:
                one["bias"] = False
        out.append(one)
        if how.get("bn"):
            out.append({"op": "batchnorm", "name": name + "_bn", "activation": "relu"})
    return rename({"input": {"channels": INPUTS, "length": ROWS}, "layers": out})


def rename(graph):
    """A layer with a batch norm is known by the norm's name to those who read it."""
    normed = {layer["name"][:-3] for layer in graph["layers"] if layer["op"] == "batchnorm"}
    for layer in graph["layers"]:
        if "inputs" in layer:
            layer["inputs"] = [k + "_bn" if k in normed else k for k in layer["inputs"]]
    return graph


def multiplications():
    """Of one window."""
    total, long, wide, last = 0, {"input": ROWS}, {"input": INPUTS}, "input"
    for name, op, how in layers():
        given = how.get("inputs", [last])
        n, c = long[given[0]], how.get("channels", wide[given[0]])
        if op == "conv1d":
            n = n // how.get("stride", 1)
            total += n * c * wide[given[0]] * how["kernel"]
        elif op == "dense":
            total += c * wide[given[0]] * n
        elif op == "crop":
            n -= how["left"] + how["right"]
        elif op == "upsample":
            n *= how["factor"]
        elif op == "flatten":
            n, c = 1, n * c
        elif op == "concat":
            c = sum(wide[k] for k in given)
        long[name], wide[name], last = n, c, name
    return total


if __name__ == "__main__":
    net = Second().eval()
    y = net(torch.randn(2, INPUTS, ROWS))
    print("out %s, parameters %d, multiplications %d" % (tuple(y.shape), sum(p.numel() for p in net.parameters()),
                                                        multiplications()))
