"""The trained picker as the file the daemon reads: graph with folded batch norms, and what it says of itself.

    export_picker.py net.pt ../../picker/weights.safetensors --version 4 --p 0.9 --s 0.88 --p-vertical 0.95
    export_picker.py --again old.safetensors new.safetensors --version 4 --p 0.9 --s 0.88     (another manifest, same weights)

Read ../../picker/domain.json over first: it goes into the file as what the network has seen.
"""
import argparse
import json
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.dirname(HERE))
import net as network  # noqa: E402
from export import LAYOUTS, manifest, read_model, write_model  # noqa: E402

DOMAIN = os.path.join(os.path.dirname(os.path.dirname(HERE)), "picker", "domain.json")
CARD = "models/picker/card.md"


def conv(name, channels, kernel, **more):
    return dict({"op": "conv1d", "name": name, "channels": channels, "kernel": kernel, "padding": "causal"}, **more)


def graph(net):
    """Layers as models/train/export.py describes them, and the tensors they ask for."""
    width_in, width = net.conv.out_channels, net.down.out_channels
    layers = [conv("stem", width_in, 7, activation="relu"),
              conv("down", width, 10, stride=network.STRIDE, activation="relu")]
    tensors = {}
    tensors["stem.weight"], tensors["stem.bias"] = network.fold(net.conv, net.norm)
    tensors["down.weight"], tensors["down.bias"] = network.fold(net.down, net.down_norm)
    last = "down"
    for k, block in enumerate(net.blocks):
        a, b, c = "block%d.conv" % k, "block%d.back" % k, "block%d" % k
        layers += [conv(a, width, 3, dilation=block.conv.dilation[0], activation="relu", inputs=[last]),
                   conv(b, width, 1),
                   {"op": "add", "name": c, "inputs": [last, b]}]
        tensors[a + ".weight"], tensors[a + ".bias"] = network.fold(block.conv, block.norm)
        tensors[b + ".weight"] = block.back.weight.detach().numpy()
        tensors[b + ".bias"] = block.back.bias.detach().numpy()
        last = c
    layers.append(conv("head", network.OUTPUTS, 1, inputs=[last]))
    tensors["head.weight"], tensors["head.bias"] = net.out.weight.detach().numpy(), net.out.bias.detach().numpy()
    return {"input": {"channels": network.INPUTS}, "layers": layers}, tensors


@torch.no_grad()
def answer(net, rows):
    """What the network says to feature rows [n, 7]: [n / 5, 7]."""
    return net(torch.from_numpy(np.ascontiguousarray(rows, np.float32).T[None].copy()))[0].T.numpy()


def write(net, path, version, thresholds, training, card=CARD, parent=None):
    """thresholds: {"p": number or one for each layout, "s": likewise}. Returns the checksum text."""
    net.eval()
    layers, tensors = graph(net)
    said = manifest("picker", lambda rows: answer(net, rows), training, thresholds, card, parent)
    return write_model(path, "picker", version, layers, tensors, manifest=said)


def rewrite(old, path, version, thresholds, training, card=CARD):
    """The weights of a written file with another manifest. Returns the checksum text."""
    layers, tensors, _ = read_model(old)
    layers.pop("constants", None)
    said = manifest("picker", lambda rows: run(old, rows), training, thresholds, card)
    return write_model(path, "picker", version, layers, tensors, manifest=said)


def walk(graph, tensors, x):
    """A picker's graph by its own words on x [batch, 7, n]: [batch, 7, n / 5]. A second reading of what export writes."""
    known, last = {"input": x}, "input"
    for layer in graph["layers"]:
        inputs = [known[k] for k in layer.get("inputs", [last])]
        last = layer["name"]
        if layer["op"] == "add":
            known[last] = sum(inputs)
            continue
        step, spread = layer.get("stride", 1), layer.get("dilation", 1)
        y = F.pad(inputs[0], ((layer["kernel"] - 1) * spread - (step - 1), 0))
        y = F.conv1d(y, tensors[last + ".weight"], tensors[last + ".bias"], step, 0, spread)
        known[last] = torch.relu(y) if layer.get("activation") == "relu" else y
    return known[last]


def run(path, rows):
    """The file's answer to rows [n, 7]."""
    graph, tensors, _ = read_model(path)
    tensors = {key: torch.from_numpy(tensor) for key, tensor in tensors.items()}
    return walk(graph, tensors, torch.from_numpy(np.ascontiguousarray(rows, np.float32).T[None]))[0].T.numpy()


@torch.no_grad()
def compare(net, path, seed=3):
    """Largest difference between the trained network and the written file, on random rows."""
    rows = np.random.default_rng(seed).standard_normal((1000, network.INPUTS)).astype(np.float32)
    return float(np.abs(run(path, rows) - answer(net.eval(), rows)).max())


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("checkpoint", nargs="?")
    args.add_argument("out")
    args.add_argument("--again", metavar="FILE", help="take the weights of this file, not a checkpoint")
    args.add_argument("--version", required=True)
    args.add_argument("--domain", default=DOMAIN, help="what it was trained on, JSON (default: %(default)s)")
    for phase in "ps":
        args.add_argument("--" + phase, type=float, required=True, help=phase.upper() + " threshold")
        for layout in LAYOUTS:
            args.add_argument("--%s-%s" % (phase, layout.split("_")[0]), type=float, help="... of %s" % layout)
    opt = args.parse_args()
    if (opt.checkpoint is None) == (opt.again is None):
        args.error("either a checkpoint or --again")
    with open(opt.domain) as file:
        seen = json.load(file)
    suggested = {}
    for phase in "ps":
        given = {layout: getattr(opt, "%s_%s" % (phase, layout.split("_")[0])) for layout in LAYOUTS}
        suggested[phase] = {layout: getattr(opt, phase) if value is None else value for layout, value in given.items()}
    if opt.again:
        print("written, SHA-256 %s" % rewrite(opt.again, opt.out, opt.version, suggested, seen))
        raise SystemExit(0)
    state = torch.load(opt.checkpoint, map_location="cpu")
    one = network.Picker()
    one.load_state_dict(state)
    one.eval()
    text = write(one, opt.out, opt.version, suggested, seen)
    print("written, SHA-256 %s, differs from the checkpoint by %.1e" % (text, compare(one, opt.out)))
