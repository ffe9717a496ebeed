"""The trained picker as the file the daemon reads: graph with folded batch norms, thresholds beside it.

    export_picker.py net.pt ../../picker/weights.safetensors --version 1 --p 0.9 --s 0.8
"""
import argparse
import json
import os
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.dirname(HERE))
import net as network  # noqa: E402
from export import write_model  # noqa: E402


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


def write(net, path, version, constants):
    """Returns the checksum text."""
    layers, tensors = graph(net.eval())
    return write_model(path, "picker", version, layers, tensors, constants)


def read(path):
    """Graph and tensors of a written file."""
    with open(path, "rb") as f:
        blob = f.read()
    size = struct.unpack("<Q", blob[:8])[0]
    header = json.loads(blob[8:8 + size])
    meta = header.pop("__metadata__")
    body = blob[8 + size:]
    tensors = {k: torch.from_numpy(np.frombuffer(body[v["data_offsets"][0]:v["data_offsets"][1]], "<f4")
                                   .reshape(v["shape"]).copy()) for k, v in header.items()}
    return json.loads(meta["tocsin.graph"]), tensors


def run(path, rows):
    """The file's graph on rows [n, 7], by its own words: a second reading of the graph, for comparison."""
    layers, tensors = read(path)
    known = {"input": torch.from_numpy(np.ascontiguousarray(rows, np.float32).T[None])}
    last = "input"
    for layer in layers["layers"]:
        inputs = [known[k] for k in layer.get("inputs", [last])]
        last = layer["name"]
        if layer["op"] == "add":
            known[last] = sum(inputs)
            continue
        step, spread = layer.get("stride", 1), layer.get("dilation", 1)
        x = F.pad(inputs[0], ((layer["kernel"] - 1) * spread - (step - 1), 0))
        y = F.conv1d(x, tensors[last + ".weight"], tensors[last + ".bias"], step, 0, spread)
        known[last] = torch.relu(y) if layer.get("activation") == "relu" else y
    return known[last][0].T.numpy()


@torch.no_grad()
def compare(net, path, seed=3):
    """Largest difference between the trained network and the written file, on random rows."""
    rows = np.random.default_rng(seed).standard_normal((1000, network.INPUTS)).astype(np.float32)
    want = net.eval()(torch.from_numpy(rows.T[None].copy()))[0].T.numpy()
    return float(np.abs(run(path, rows) - want).max())


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("checkpoint")
    args.add_argument("out")
    args.add_argument("--version", required=True)
    args.add_argument("--p", type=float, required=True, help="P threshold")
    args.add_argument("--s", type=float, required=True, help="S threshold")
    opt = args.parse_args()
    one = network.Picker()
    one.load_state_dict(torch.load(opt.checkpoint))
    one.eval()
    text = write(one, opt.out, opt.version, {"p_threshold": opt.p, "s_threshold": opt.s, "features_version": 1})
    print("written, checksum %s, differs from the checkpoint by %.1e" % (text, compare(one, opt.out)))
