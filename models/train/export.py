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
text), and either tocsin.crc32c (8 hex digits: CRC-32C of the graph text followed by all tensor bytes) or
tocsin.manifest (JSON text) with tocsin.sha256 (64 hex digits: SHA-256 of graph text, manifest text, all tensor bytes).

THE MANIFEST  makes a network a model: without it a file can be run and compared, but the daemon lets it decide nothing.
  kind        what it is for: "picker", "second", "estimator"; core/contract.c holds what is asked of each
  made        date of the file. card: where its story is told. parent: SHA-256 of the model it was tuned from, or null
  input       {"version": of the meaning of the rows, "rate_hz": rows a second, "channels": [names in order], "units"}
  output      {"rate_hz", "channels", "units"}
  training    what it has seen, for people: words, magnitudes, distances_km, rates_hz, regions, held_out, trained
              (models/picker/domain.json and its like)
  thresholds  {"p": {"three_components", "two_components", "vertical"}, "s": the same}: suggestions; null or absent: none
  golden      {"seed", "rows", "offset", "scale", "output": [the last rows of the answer]}: a made-up question (by the
              formula of core/manifest.h) that the daemon asks at every load; off by 1e-4 and the model is refused
"""

import datetime
import hashlib
import json
import struct

import numpy as np

MAX_BYTES = 64 << 20

PHASES, LAYOUTS = ("p", "s"), ("three_components", "two_components", "vertical")

# What the runtime asks of each kind (core/contract.c says the same and compares), and how its golden question is made.
KINDS = {
    "picker": {
        "input": {"version": 1, "rate_hz": 100,
                  "channels": ["hp_e", "hp_n", "hp_z", "fast_slow_e", "fast_slow_n", "fast_slow_z", "rms_2s_30s"],
                  "units": "ratios: asinh of high-passed over slow RMS, log10 of fast over slow RMS (core/window.h)"},
        "output": {"rate_hz": 20,
                   "channels": ["noise", "p", "s", "p_age_s", "p_ln_scale", "s_age_s", "s_ln_scale"],
                   "units": "logits; age of the onset in s, ln of the scale in s of its error (core/picker.h)"},
        "golden": {"seed": 20, "rows": 1000, "offset": 0.0, "scale": 2.0, "keep": 20}},
    "second": {
        "input": {"version": 1, "rate_hz": 100,
                  "channels": ["hp_e", "hp_n", "hp_z", "fast_slow_e", "fast_slow_n", "fast_slow_z", "rms_2s_30s", "seen"],
                  "units": "as the picker's; 1 where a row was seen (core/second.h)"},
        "output": {"rate_hz": 0,
                   "channels": ["nothing", "p", "s"] + ["b%02d" % k for k in range(100)],
                   "units": "logits; of the place of the onset, in bins of 20 ms (core/second.h)"},
        "golden": {"seed": 20, "rows": 640, "offset": 0.0, "scale": 2.0, "keep": 1}},
    "estimator": {
        "input": {"version": 2, "rate_hz": 10,
                  "channels": ["pv_p", "pe_p", "pd_p", "pa_p", "rms_p", "rms_h_p", "pv", "pe", "pd", "pv_h", "pe_h", "pd_h",
                               "step_pv", "step_pe", "step_pv_h", "step_pe_h", "step_rms", "step_rms_h",
                               "noise_pv", "noise_pe", "noise_pd", "noise_pv_h", "noise_rms", "log_after", "log_of_p",
                               "clipped", "step_clipped", "horizontals", "gain_known", "s_known"],
                  "units": "log10 of m, m/s, m/s^2; log10 of s; 0 or 1 (core/estimator.h)"},
        "output": {"rate_hz": 10,
                   "channels": ["magnitude", "ln_sigma_magnitude", "log10_s_minus_p", "ln_sigma_log10_s_minus_p",
                                "magnitude_at_32_km", "per_decade_of_distance", "per_decade_squared", "ln_sigma_below",
                                "ln_sigma_above"],
                   "units": "magnitude; log10 of s; ln of one standard deviation of each; a polynomial of log10 of km / 32"},
        "golden": {"seed": 20, "rows": 50, "offset": -3.0, "scale": 4.0, "keep": 5}},
}

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


def golden_rows(inputs, seed, rows, offset, scale):
    """The question of core/manifest.h, float32 [rows, inputs], bit for bit."""
    x, values = seed, []
    for i in range(rows * inputs):
        x = (x * 1664525 + 1013904223) & 0xFFFFFFFF
        gain = scale / 4 if 2 * (i // inputs) < rows else scale
        values.append(offset + gain * (2 * ((x >> 8) / 16777216.0) - 1))
    return np.array(values).reshape(rows, inputs).astype("f4")


def manifest(kind, run, training, thresholds=None, card=None, parent=None):
    """What a model says of itself.

    run: rows float32 [n, inputs] -> answer [n / stride, outputs], by the network as it was trained, not by the file.
    training: see above. thresholds: {"p": number, or one for each layout, "s": likewise}.
    """
    asked = dict(KINDS[kind]["golden"])
    keep = asked.pop("keep")
    answer = np.asarray(run(golden_rows(len(KINDS[kind]["input"]["channels"]), **asked)))[-keep:]
    suggested = {}
    for phase, given in (thresholds or {}).items():
        suggested[phase] = {layout: given[layout] if isinstance(given, dict) else given for layout in LAYOUTS}
    return {"kind": kind, "made": datetime.date.today().isoformat(), "card": card, "parent": parent,
            "input": KINDS[kind]["input"], "output": KINDS[kind]["output"], "training": training,
            "thresholds": suggested,
            "golden": dict(asked, output=[[float("%.8g" % value) for value in row] for row in answer])}


def read_model(path):
    """Graph, tensors {name: float32 array} and metadata (texts as they stand) of a written file."""
    with open(path, "rb") as file:
        blob = file.read()
    size = struct.unpack("<Q", blob[:8])[0]
    header = json.loads(blob[8:8 + size])
    meta, body = header.pop("__metadata__"), blob[8 + size:]
    tensors = {key: np.frombuffer(body[slice(*entry["data_offsets"])], "<f4").reshape(entry["shape"]).copy()
               for key, entry in header.items()}
    return json.loads(meta["tocsin.graph"]), tensors, meta


def write_model(path, name, version, graph, tensors, constants=None, manifest=None):
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
    meta = {"tocsin.format": "1", "tocsin.name": name, "tocsin.version": str(version), "tocsin.graph": text}
    if manifest is None:
        checksum = meta["tocsin.crc32c"] = "%08x" % crc32c(payload, crc32c(text.encode()))
    else:
        said = meta["tocsin.manifest"] = json.dumps(manifest, separators=(",", ":"), allow_nan=False)
        checksum = hashlib.sha256(text.encode() + said.encode() + bytes(payload)).hexdigest()
        meta["tocsin.sha256"] = checksum
    header = {"__metadata__": meta}
    header.update(entries)
    blob = json.dumps(header, separators=(",", ":")).encode()
    blob += b" " * (-len(blob) % 8)
    if 8 + len(blob) + len(payload) > MAX_BYTES:
        raise ValueError("larger than %d bytes" % MAX_BYTES)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(blob)) + blob + payload)
    return checksum
