"""A PyTorch state dict of a known architecture as a model file.

    python3 models/import/state_dict.py --architecture gpd weights.pt out.safetensors

Architectures, by SeisBench's names of their tensors: phasenet, gpd, eqtransformer. Sizes come from the tensors'
shapes. The file is what torch.save(module.state_dict()) wrote (needs PyTorch; only tensors are unpickled, never code),
or the same tensors as .safetensors or .npz (needs only numpy). A tensor that is missing, left over or of another shape
is refused by name: it is another network, or another version of it.

What a network expects of its input (means, scales, order of channels, sampling rate) is not in a state dict: it is said
in the file of the architecture, and is the caller's.
"""
import argparse
import json
import pickle
import struct
import sys

import numpy as np

import eqtransformer
import gpd
import phasenet
from sketch import Arrays, Refused

ARCHITECTURES = {"phasenet": lambda arrays, opt: phasenet.from_pytorch(arrays, opt.length or 3001),
                 "gpd": lambda arrays, opt: gpd.from_pytorch(arrays, opt.length, opt.original),
                 "eqtransformer": lambda arrays, opt: eqtransformer.from_pytorch(arrays, opt.length)}


def read_safetensors(path):
    """The F32 tensors of a safetensors file: u64 header length, JSON header, data."""
    with open(path, "rb") as file:
        blob = file.read()
    try:
        start = 8 + struct.unpack("<Q", blob[:8])[0]
        header, data = json.loads(blob[8:start]), blob[start:]
        header.pop("__metadata__", None)
        for name, entry in header.items():
            if entry["dtype"] not in ("F32", "I64"):
                raise Refused("array '%s' is %s, not F32" % (name, entry["dtype"]))
        return {name: np.frombuffer(data[slice(*entry["data_offsets"])], "<f4").reshape(entry["shape"])
                for name, entry in header.items() if entry["dtype"] == "F32"}  # I64: counters of batch norms
    except (struct.error, LookupError, TypeError, AttributeError) as error:
        raise Refused("%s is no safetensors file: %s" % (path, error))


def read_torch(path):
    import torch
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise Refused("%s holds more than tensors (%s); save module.state_dict() alone" % (path, error))
    return state.get("state_dict", state)  # a Lightning checkpoint holds it one level down


def read_state(path, prefix=""):
    """Tensors by name; of a larger module's only those whose names begin with the prefix, without it."""
    if path.endswith(".safetensors"):
        state = read_safetensors(path)
    elif path.endswith(".npz"):
        with np.load(path) as stored:
            state = dict(stored)
    else:
        state = read_torch(path)
    return {name[len(prefix):]: value for name, value in state.items() if name.startswith(prefix)}


def arguments():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--architecture", required=True, choices=sorted(ARCHITECTURES))
    args.add_argument("--length", type=int, help="rows of a window (default: the published one)")
    args.add_argument("--original", action="store_true", help="gpd: weights converted from the authors' Keras file "
                      "(SeisBench's original_compatible)")
    args.add_argument("--prefix", default="", help="begins the names of the tensors that are meant")
    args.add_argument("--name", help="in the file (default: the architecture)")
    args.add_argument("--version", default="1")
    args.add_argument("state", help=".safetensors, .npz, or torch.save's")
    args.add_argument("out")
    return args


def convert(words):
    """The command line's words; returns the checksum text, or raises Refused."""
    opt = arguments().parse_args(words)
    sketch = ARCHITECTURES[opt.architecture](Arrays(read_state(opt.state, opt.prefix)), opt)
    return sketch.write(opt.out, opt.name or opt.architecture, opt.version)


if __name__ == "__main__":
    try:
        print("written, checksum %s" % convert(sys.argv[1:]))
    except (ValueError, OSError) as error:
        sys.exit("state_dict: %s" % error)
