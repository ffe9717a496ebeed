"""EQTransformer (Mousavi et al. 2020, Nat. Commun. 11, 3952), SeisBench's names.

An encoder of convolutions and pools, residual convolutions, LSTMs in both directions, two transformers; then a decoder
for the detection, and for each phase an LSTM, a local attention and a decoder. It answers, for each of 6000 rows:
detection, then the phases in the order of the weights (P, S). The network expects each channel less its mean, all
divided by their common standard deviation, six rows at both ends tapered by a cosine; the order of channels is the
training's (SeisBench: Z, N, E).

Weights converted from the authors' Keras files are known by their LSTM cells (SeisBench's original_compatible,
"non-conservative"). The "conservative" ones need gates with a hard sigmoid, which our graph does not have: refused.
"""
from sketch import Refused, Sketch

LENGTH = 6000
NORM_EPS = 1e-3
LAYER_NORM_EPS = 1e-14
ATTENTION_EPS, ATTENTION_EPS_ORIGINAL = 1e-5, 1e-7
LOCAL = 3  # rows an attention behind a phase's LSTM sees
LSTM = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
CELLS = "bi_lstm_stack.members.%d.lstm.cell_f.weight_ih"


class Builder:
    """Each method reads the last layer of the sketch and leaves its own there. Layers bear the tensors' names."""

    def __init__(self, arrays, length):
        self.arrays = arrays
        self.original = CELLS % 0 in arrays
        self.sketch = Sketch(arrays.take("encoder.convs.0.weight", 3).shape[1], length)

    def conv(self, name, padding, activation="none"):
        weight, bias = self.arrays.linear(name, 3)
        return self.sketch.conv(name, weight, bias, padding=padding, activation=activation)

    def same(self, name, activation="none"):
        reach = self.arrays.take(name + ".weight", 3).shape[2] // 2
        return self.conv(name, (reach, reach), activation)

    def encoder(self):
        for k in range(self.arrays.count("encoder.convs.%d.weight")):
            self.same("encoder.convs.%d" % k, "relu")
            self.sketch.pool("maxpool", "encoder.pools.%d" % k, (2,), (2,), (0, self.sketch.rows() % 2))

    def residual(self, name):
        """Batch norm, ReLU, convolution, twice; an even kernel is padded on the right alone."""
        before = self.sketch.last
        for k in (1, 2):
            self.sketch.norm("%s.norm%d" % (name, k), self.arrays.norm("%s.norm%d" % (name, k)), NORM_EPS, "relu")
            conv = "%s.conv%d" % (name, k)
            reach = self.arrays.take(conv + ".weight", 3).shape[2] - 1
            self.conv(conv, (reach // 2, reach - reach // 2))
        self.sketch.add(name, [before, self.sketch.last])

    def lstm(self, name, suffixes):
        tensors = [tuple(self.arrays.take(name + "." + suffix % key, 2 if key.startswith("weight") else 1)
                         for key in LSTM) for suffix in suffixes]
        self.sketch.recurrent("lstm", name, tensors)

    def both_ways(self, name):
        self.lstm(name + ".lstm", ("cell_f.%s", "cell_b.%s") if self.original else ("%s_l0", "%s_l0_reverse"))
        self.conv(name + ".conv", (0, 0))
        self.sketch.norm(name + ".norm", self.arrays.norm(name + ".norm"), NORM_EPS)

    def attention(self, name, width=None):
        tensors = {key: self.arrays.take("%s.%s" % (name, key)) for key in ("Wx", "Wt", "bh", "Wa", "ba")}
        eps = ATTENTION_EPS_ORIGINAL if self.original else ATTENTION_EPS
        return self.sketch.additive_attention(name, tensors, eps, width)

    def layer_norm(self, name):
        return self.sketch.layer_norm(name, self.arrays.take(name + ".gamma"), self.arrays.take(name + ".beta"),
                                      LAYER_NORM_EPS)

    def transformer(self, name):
        before = self.sketch.last
        self.sketch.add(name + ".sum1", [before, self.attention(name + ".attention")])
        before = self.layer_norm(name + ".norm1")
        self.sketch.dense(name + ".ff.lin1", *self.arrays.linear(name + ".ff.lin1", 2), activation="relu")
        self.sketch.dense(name + ".ff.lin2", *self.arrays.linear(name + ".ff.lin2", 2))
        self.sketch.add(name + ".sum2", [before, self.sketch.last])
        return self.layer_norm(name + ".norm2")

    def decoder(self, name, source):
        """Back to the rows of the encoder, level by level; what does not fit is cut."""
        n = self.arrays.count(name + ".convs.%d.weight")
        rows = [self.sketch.rows("input")]
        for _ in range(n - 1):
            rows.append((rows[-1] + 1) // 2)
        for k in range(n):
            source = self.sketch.upsample("%s.up%d" % (name, k), 2, source)
            surplus = 0 if self.original else self.sketch.rows() - rows[n - 1 - k]
            left, right = (1, 1) if self.original and k == 3 else (0, surplus)
            self.sketch.crop("%s.cut%d" % (name, k), left, right)
            source = self.same("%s.convs.%d" % (name, k), "relu")

    def phase(self, k, source):
        self.sketch.last = source
        self.lstm("pick_lstms.%d" % k, ("%s_l0",))
        self.decoder("pick_decoders.%d" % k, self.attention("pick_attentions.%d" % k, LOCAL))
        return self.same("pick_convs.%d" % k, "sigmoid")


def from_pytorch(arrays, length=None):
    if "pick_lstms.0.cell_f.weight_ih" in arrays:
        raise Refused("array 'pick_lstms.0.cell_f.weight_ih': gates with a hard sigmoid ('conservative' weights)")
    build = Builder(arrays, length or LENGTH)
    build.encoder()
    for k in range(arrays.count("res_cnn_stack.members.%d.conv1.weight")):
        build.residual("res_cnn_stack.members.%d" % k)
    for k in range(arrays.count("bi_lstm_stack.members.%d.conv.weight")):
        build.both_ways("bi_lstm_stack.members.%d" % k)
    build.transformer("transformer_d0")
    shared = build.transformer("transformer_d")
    build.decoder("decoder_d", shared)
    outputs = [build.same("conv_d", "sigmoid")]
    outputs += [build.phase(k, shared) for k in range(arrays.count("pick_convs.%d.weight"))]
    if build.sketch.rows() != build.sketch.rows("input"):
        raise Refused("a window of %d rows does not come back to its length" % build.sketch.rows("input"))
    build.sketch.concat("probability", outputs)
    arrays.finish()
    return build.sketch
