"""Write a trained network as the file core/model.c reads: safetensors with the graph in its metadata.

Not a converter: the graph is written down by whoever trained the network, the tensors keep PyTorch's shapes and
names, and whatever the C code does with them (repacking, folding of batch norms) happens when it loads the file.

    from export import write_model
    graph = {"input": {"channels": 7}, "layers": [
        {"op": "conv1d", "name": "stem", "channels": 20, "kernel": 7, "padding": "causal"},
        {"op": "batchnorm", "name": "stem_bn", "activation": "relu"},              # folded into "stem" at load
        {"op": "conv1d", "name": "down", "channels": 40, "kernel": 10, "stride": 5, "padding": "causal",
         "activation": "relu"},
        {"op": "conv1d", "name": "r0a", "channels": 40, "kernel": 3, "dilation": 2, "padding": "causal",
         "activation": "relu"},
        {"op": "conv1d", "name": "r0b", "channels": 40, "kernel": 1, "padding": "causal"},
        {"op": "add", "name": "r0", "inputs": ["down", "r0b"]},                    # residual
        {"op": "conv1d", "name": "head", "channels": 7, "kernel": 1, "padding": "causal"}]}
    # state: {"stem.weight": [20, 7, 7], "stem.bias": [20], "stem_bn.weight": ..., "head.bias": [7]}, i.e.
    # torch's state_dict() when the module's attributes bear the layers' names; else rename first.
    write_model("weights.safetensors", "picker", "1", graph, state, {"p_threshold": 0.8})

    # An LSTM reading steps: tensors are "rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0", "rnn.bias_hh_l0"
    graph = {"input": {"channels": 12}, "layers": [{"op": "lstm", "name": "rnn", "channels": 64},
                                                   {"op": "dense", "name": "head", "channels": 4}]}

THE GRAPH
  input      {"channels": C} for streams; {"channels": C, "length": T} for whole windows of T rows. The input is the
             layer named "input". Rows are time, channels are last: [T][C]. Pictures: see 2-D below.
  layers     in the order of running. Each has "op", "name" (letters, digits, . _ -) and may have "inputs" (names of
             earlier layers; without it: the layer before). No layer may name a later one.
  output     name of the layer whose rows are the result (without it: the last). constants: {"name": number}.

  op                  parameters (default)                                tensors "<name>.<...>", PyTorch's shapes
  conv1d              channels, kernel, stride (1), dilation (1),         weight [channels, in / groups, kernel],
                      groups (1), padding, bias (true), activation        bias [channels]
  conv2d              the same; kernel, stride, dilation: a number or     weight [channels, in / groups, kernel rows,
                      [rows, columns]                                     kernel columns], bias
  convtranspose1d     channels, kernel, stride (1), bias (true),          weight [in, channels, kernel], bias
                      activation; all rows: (T - 1) * stride + kernel, follow with crop
  maxpool avgpool     kernel, stride (kernel), padding ("valid"; an average counts the padding as zeros, a maximum
                      leaves it out)
  maxpool2d avgpool2d the same; kernel, stride: a number or [rows, columns]
  dense               channels, bias (true), activation; row by row       weight [channels, in], bias
  lstm gru            channels (hidden units), direction ("forward";      weight_ih_l0, weight_hh_l0, bias_ih_l0,
                      "both": forward and backward side by side, twice    bias_hh_l0; both: also the four with _reverse
                      the channels), last (false; true: the last row only), bias (true); one layer
  attention           heads (1), width (all), bias (true): PyTorch's      in_proj_weight [3 * C, C], in_proj_bias,
                      MultiheadAttention of the rows among themselves     out_proj.weight [C, C], out_proj.bias
  additive_attention  units, width (all), eps (1e-5): SeqSelfAttention    Wx [C, units], Wt [C, units], bh [units],
                      as EQTransformer and its SeisBench port have it     Wa [units, 1], ba [1]
  batchnorm           eps (1e-5), activation                              weight, bias, running_mean, running_var
  layernorm           eps (1e-5), activation; of each place over its      weight [C], bias [C]
                      channels
  add                 inputs: two or more of one shape; activation
  concat              inputs: two or more of one length and width; joins channels in that order
  crop                left (0), right (0): rows cut off
  pad                 left (0), right (0): rows of zeros put on
  upsample            factor: each row so many times (nearest)
  flatten             [T][W][C] -> [1][C * T * W] in PyTorch's order: channel by channel, row by row
  softmax             over the channels of each place
  sigmoid tanh relu leaky_relu gelu     slope (0.01) for leaky_relu; gelu in its exact form, with erf

  2-D        An input of {"channels": C, "length": H, "width": W} is [H][W][C]: H rows of W columns. conv2d and the 2-D
             pools read rows and columns; batchnorm, layernorm, add, concat, softmax and the activations take any
             width; flatten ends it; all others want rows of one column.
  width      of attention: row i sees the rows j with i - width + width // 2 < j <= i + width // 2 alone.
  activation "none" (default), "relu", "leaky_relu" (with "slope"), "tanh", "sigmoid", "gelu"
  padding    "valid" (default): none. "same": stride 1 only, (kernel - 1) * dilation zeros, half of them (rounded down)
             on the left, as PyTorch. [left, right], in 2-D [top, bottom, left, right]: zeros, explicit. "causal", not
             in 2-D: output row j sees input rows up to and including (j + 1) * stride - 1, the end of its own block
             of rows. In PyTorch: F.pad(x, ((kernel - 1) * dilation - (stride - 1), 0)), so with stride 1 the usual
             (kernel - 1) * dilation, with kernel 10 and stride 5 it is 5, not 9. A negative number crops, as F.pad
             does. Causal pools pad the same way (a maximum with minus infinity).
  A stream needs every conv1d causal (or kernel 1), every pool causal or with kernel = stride, no direction "both", no
  last, and nothing of: conv2d and 2-D pools, convtranspose1d, attention of either kind, crop, pad, upsample, flatten.
  Those are for whole windows: an input with a length.

THE FILE  u64 header length (little endian), JSON header padded by spaces to 8 bytes, tensors: F32 little endian, in the
order of the header, without holes. __metadata__: tocsin.format "1", tocsin.name, tocsin.version, tocsin.graph (JSON
text), tocsin.crc32c (8 hex digits: CRC-32C of the graph text followed by all tensor bytes).
"""

import json
import struct

import numpy as np

MAX_BYTES = 64 << 20

_TENSORS = {
    "conv1d": ("weight", "bias"),
    "conv2d": ("weight", "bias"),
    "convtranspose1d": ("weight", "bias"),
    "dense": ("weight", "bias"),
    "lstm": ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"),
    "gru": ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"),
    "attention": ("in_proj_weight", "out_proj.weight", "in_proj_bias", "out_proj.bias"),
    "additive_attention": ("Wx", "Wt", "bh", "Wa", "ba"),
    "batchnorm": ("weight", "bias", "running_mean", "running_var"),
    "layernorm": ("weight", "bias"),
}
_ALWAYS_BIASED = ("batchnorm", "layernorm")


def _crc_table():
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)  # Castagnoli, reflected
        table.append(crc)
    return table


_CRC = _crc_table()


def crc32c(data, crc=0):
    """CRC-32C (RFC 3720 appendix B.4: of b"123456789" it is e3069283)."""
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def tensor_names(graph):
    """The tensors a graph asks for, in its order."""
    names = []
    for layer in graph["layers"]:
        biased = layer.get("bias", True) or layer["op"] in _ALWAYS_BIASED
        suffixes = [s for s in _TENSORS.get(layer["op"], ()) if biased or "bias" not in s]
        if layer.get("direction") == "both":
            suffixes += [s + "_reverse" for s in suffixes]
        names += [layer["name"] + "." + suffix for suffix in suffixes]
    return names


def _as_f32(name, tensor):
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu().numpy()
    array = np.ascontiguousarray(np.asarray(tensor, dtype="<f4"))
    if not np.isfinite(array).all():
        raise ValueError("%s: not finite" % name)
    return array


def write_model(path, name, version, graph, tensors, constants=None):
    """Write one file; raises ValueError when graph and tensors do not belong together. Returns the checksum text."""
    graph = dict(graph)
    if constants:
        graph["constants"] = {key: float(value) for key, value in constants.items()}
    wanted = tensor_names(graph)
    given = {key for key in tensors if not key.endswith("num_batches_tracked")}
    if given != set(wanted):
        raise ValueError("missing %s, surplus %s" % (sorted(set(wanted) - given), sorted(given - set(wanted))))

    entries, payload = {}, bytearray()
    for key in wanted:
        array = _as_f32(key, tensors[key])
        start = len(payload)
        payload += array.tobytes()
        entries[key] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [start, len(payload)]}

    text = json.dumps(graph, separators=(",", ":"), allow_nan=False)
    checksum = "%08x" % crc32c(payload, crc32c(text.encode()))
    header = {"__metadata__": {"tocsin.format": "1", "tocsin.name": name, "tocsin.version": str(version),
                               "tocsin.graph": text, "tocsin.crc32c": checksum}}
    header.update(entries)
    blob = json.dumps(header, separators=(",", ":")).encode()
    blob += b" " * (-len(blob) % 8)
    if 8 + len(blob) + len(payload) > MAX_BYTES:
        raise ValueError("larger than %d bytes" % MAX_BYTES)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(blob)) + blob + payload)
    return checksum
