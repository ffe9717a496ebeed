"""PhaseNet as a model file (Zhu and Beroza 2019, Geophys. J. Int. 216, 261-273).

    python3 models/import/phasenet.py --npz weights.npz --length 3001 out.safetensors

The npz holds the arrays of the authors' TensorFlow checkpoint under their own names with "/" as ".": kernels [7, 1,
in, out], transposed kernels [7, 1, out, in], batch norms with gamma, beta, moving_mean, moving_variance. PyTorch's
form of the same network (SeisBench): models/import/state_dict.py. Needs numpy.

The window belongs to the file. TensorFlow's "same" padding of a strided convolution depends on the number of rows, so
3000 and 3001 rows give two different graphs of the same weights; symmetric padding instead moves picks by 40 to 50 ms.
The network expects each channel less its mean, divided by its standard deviation over the window; channels E, N, Z at
100 Hz. It answers noise, P, S for each sample.
"""
import argparse
import sys

import numpy as np

from sketch import NORM, Arrays, Refused, Sketch

STRIDE = 4
EPS = 1e-3  # of every batch norm, in both forms
CUT = (1, 2)  # rows of a transposed convolution that "same" drops: 4 n + 3 become 4 n


def same(rows, kernel, stride):
    """TensorFlow's "same": as many rows out as strides begin, an odd zero on the right."""
    total = max((-(-rows // stride) - 1) * stride + kernel - rows, 0)
    return total // 2, total - total // 2


def build(part, depth, length, pads=same):
    """The graph of `depth` levels for windows of `length` rows.

    part(role, level) gives a layer's tensors in PyTorch's shapes, (weight, bias or None, batch norm or None); roles are
    "in", "same" and "down" on the way down, "up" and "join" on the way up, "out". pads(rows, kernel, stride) is asked
    for every strided convolution, level by level.
    """
    weight, bias, norm = part("in", 0)
    sketch = Sketch(weight.shape[1], length)

    def level(name, weight, bias, norm, stride=1):
        kernel = weight.shape[2]
        padding = pads(sketch.rows(), kernel, stride) if stride > 1 else same(sketch.rows(), kernel, 1)
        sketch.conv(name, weight, bias, stride=(stride,), padding=padding)
        return sketch.norm(name + "_bn", norm, EPS, "relu")

    level("in", weight, bias, norm)
    skips = []
    for k in range(depth):
        skips.append(level("same%d" % k, *part("same", k)))
        if k < depth - 1:
            level("down%d" % k, *part("down", k), stride=STRIDE)
    for k in reversed(range(depth - 1)):
        weight, bias, norm = part("up", k)
        sketch.transposed("up%d" % k, weight, bias, STRIDE)
        up = sketch.norm("up%d_bn" % k, norm, EPS, "relu")
        surplus = sketch.rows(up) - sum(CUT) - sketch.rows(skips[k])
        if surplus < 0:
            raise Refused("a window of %d rows does not come back to its length" % length)
        cut = sketch.crop("up%d_cut" % k, CUT[0] + surplus // 2, CUT[1] + surplus - surplus // 2)
        sketch.concat("skip%d" % k, [skips[k], cut])
        level("join%d" % k, *part("join", k))
    weight, bias, _ = part("out", 0)
    sketch.conv("out", weight, bias)
    sketch.point("softmax", "probability")
    return sketch


def from_tensorflow(arrays, length):
    """The authors' checkpoint."""
    def part(role, level):
        number = level + 1
        scope, conv, norm = {
            "in": ("Input", "input_conv", "input_bn"),
            "same": ("DownConv_%d" % level, "down_conv1_%d" % number, "down_bn1_%d" % number),
            "down": ("DownConv_%d" % level, "down_conv3_%d" % number, "down_bn3_%d" % number),
            "up": ("UpConv_%d" % level, "up_conv0_%d" % number, "up_bn0_%d" % number),
            "join": ("UpConv_%d" % level, "up_conv1_%d" % number, "up_bn1_%d" % number),
            "out": ("Output", "output_conv", None)}[role]
        kernel = arrays.take("%s.%s.kernel" % (scope, conv), 4)
        weight = kernel[:, 0].transpose(2, 1, 0)  # [out, in, kernel]; transposed ones are stored [kernel, 1, out, in]
        bias = arrays.take("%s.%s.bias" % (scope, conv), 1) if role in ("in", "out") else None
        keys = zip(NORM, ("gamma", "beta", "moving_mean", "moving_variance"))
        return weight, bias, norm and {ours: arrays.take("%s.%s.%s" % (scope, norm, theirs)) for ours, theirs in keys}

    levels = sum(name.endswith(".kernel") and ".down_conv1_" in name for name in arrays.arrays)
    sketch = build(part, levels, length)
    arrays.finish()
    return sketch


def from_pytorch(arrays, length):
    """SeisBench's names. Its strided convolutions are padded by fixed numbers, TensorFlow's for 3001 rows."""
    levels = arrays.count("down_branch.%d.0.weight")
    lefts = [3, 2, 1, 2]
    if levels - 1 != len(lefts):
        raise Refused("down_branch has %d levels, PhaseNet 5" % levels)

    def part(role, level):
        conv, norm = {"in": ("inc", "in_bn"), "out": ("out", None),
                      "same": ("down_branch.%d.0" % level, "down_branch.%d.1" % level),
                      "down": ("down_branch.%d.2" % level, "down_branch.%d.3" % level),
                      "up": ("up_branch.%d.0" % (levels - 2 - level), "up_branch.%d.1" % (levels - 2 - level)),
                      "join": ("up_branch.%d.2" % (levels - 2 - level), "up_branch.%d.3" % (levels - 2 - level))}[role]
        weight, bias = arrays.linear(conv, 3)
        return weight, bias, norm and arrays.norm(norm)

    sketch = build(part, levels, length, lambda rows, kernel, stride: (lefts.pop(0), kernel // 2))
    arrays.finish()
    return sketch


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--npz", required=True, help="arrays of the TensorFlow checkpoint")
    args.add_argument("--length", type=int, default=3001, help="rows of a window (default 3001)")
    args.add_argument("--version", default="1")
    args.add_argument("out")
    opt = args.parse_args()
    try:
        with np.load(opt.npz) as arrays:
            sketch = from_tensorflow(Arrays(arrays), opt.length)
        print("written, checksum %s" % sketch.write(opt.out, "phasenet", opt.version))
    except (ValueError, OSError) as error:
        sys.exit("phasenet: %s" % error)


if __name__ == "__main__":
    main()
