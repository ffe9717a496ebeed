"""Random networks on random input, new at every run: PyTorch's answer and our C code's.

    fresh.py build/tests/check_model [--seed N] [--count N]

Networks grow layer by layer, each drawn from the operations that fit what is there: shapes, strides, dilations,
paddings, groups, heads, branches and joins. Three kinds: those that stream, windows of one dimension, pictures. Then
the network of EQTransformer at its full size. The seed is printed; --seed repeats a run. Skipped without PyTorch.

Some random networks make much of rounding. So each is run by PyTorch in double precision too, and four times what
PyTorch is off by itself is allowed on top of 1e-5.
"""
import argparse
import os
import random
import subprocess
import sys
import tempfile

from against import Cases, need

need("numpy", "torch")
import numpy as np  # noqa: E402
import torch  # noqa: E402
from make import Builder, eqtransformer, lively  # noqa: E402

ACTIVATIONS = ("none", "none", "relu", "leaky_relu", "tanh", "sigmoid", "gelu")
POINTS = ("softmax", "sigmoid", "tanh", "relu", "leaky_relu", "gelu")
CHANNELS_MAX, ROWS_MAX, VALUES_MAX = 24, 150, 4000


class Grower:
    """Draws one network. Every layer is read by the next one; joins also read an earlier layer of the same shape."""

    def __init__(self, draw, kind, fill):
        self.draw, self.kind, self.n = draw, kind, 0
        width = draw.randint(2, 24) if kind == "picture" else None
        rows = draw.randint(2, 24) if width else draw.randint(2, ROWS_MAX)
        self.b = Builder(rows, draw.randint(1, 6), length=kind != "stream", width=width, fill=fill)
        self.flat = False  # behind a flatten: one row

    def shape(self):
        return self.b.out[self.b.last].shape

    def activated(self):
        kind = self.draw.choice(ACTIVATIONS)
        params = {} if kind == "none" else {"activation": kind}
        if kind == "leaky_relu" and self.draw.random() < 0.7:
            params["slope"] = round(self.draw.uniform(0, 0.5), 2)
        return params

    def channels(self):
        return self.draw.randint(1, CHANNELS_MAX)

    def biased(self):
        return {"bias": False} if self.draw.random() < 0.25 else {}

    # ---- windows over rows, or rows and columns ----

    def axis(self, n, dilated=True):
        """Kernel, stride, dilation and padding that leave something of n places."""
        while True:
            kernel, stride = self.draw.randint(1, 7), self.draw.choice((1, 1, 1, 2, 3, 5))
            dilation = self.draw.choice((1, 1, 2, 3, 8)) if dilated else 1
            reach = (kernel - 1) * dilation
            if self.kind == "stream":
                if n % stride == 0:
                    return kernel, stride, dilation, "causal"
                continue
            choice = self.draw.choice(("valid", "same", "explicit"))
            most = reach + (2 if dilated else 0)  # a pool that sees padding alone is another matter to each of us
            pads = {"valid": [0, 0], "same": [reach // 2, reach - reach // 2],
                    "explicit": [self.draw.randint(-2, most), self.draw.randint(-2, most)]}[choice]
            if (choice == "same" and stride > 1) or n + min(pads[0], 0) + min(pads[1], 0) < 1:
                continue
            if n + sum(pads) > reach:
                return kernel, stride, dilation, pads if choice == "explicit" else choice

    def window(self, dilated=True):
        if len(self.shape()) == 3:
            return dict(zip(("kernel", "stride", "dilation", "padding"), self.axis(self.shape()[2], dilated)))
        down, across = self.axis(self.shape()[2], dilated), self.axis(self.shape()[3], dilated)
        params = {key: [down[i], across[i]] for i, key in enumerate(("kernel", "stride", "dilation"))}
        if down[3] == across[3] and isinstance(down[3], str):
            params["padding"] = down[3]
        else:
            params["padding"] = [p for axis in (down, across) for p in self.pads(axis)]
        return params

    @staticmethod
    def pads(axis):
        reach = (axis[0] - 1) * axis[2]
        if isinstance(axis[3], list):
            return axis[3]
        return [0, 0] if axis[3] == "valid" else [reach // 2, reach - reach // 2]

    def conv(self, name):
        params, reads, groups, channels = self.window(), self.shape()[1], 1, self.channels()
        if self.draw.random() < 0.4:
            groups = self.draw.choice([g for g in range(1, reads + 1) if reads % g == 0])
            channels = groups * self.draw.randint(1, max(1, CHANNELS_MAX // groups))
        if groups > 1:
            params["groups"] = groups
        self.b.conv(name, channels, params.pop("kernel"), **params, **self.activated(), **self.biased())
        if self.draw.random() < 0.4:
            self.norm(name + ".bn")

    def pool(self, name):
        while True:
            params = self.window(dilated=False)
            params.pop("dilation")
            if self.kind != "stream" or params["kernel"] >= params["stride"]:
                break
        self.b.pool(self.draw.choice(("maxpool", "avgpool")), name, params.pop("kernel"), **params)

    def transposed(self, name):
        kernel, stride = self.draw.randint(1, 7), self.draw.randint(1, 4)
        self.b.transposed(name, self.channels(), kernel, stride, **self.activated(), **self.biased())

    # ---- over whole sequences ----

    def recurrent(self, name):
        params = self.biased()
        if self.kind != "stream" and self.draw.random() < 0.5:
            params["direction"] = "both"
        if self.kind != "stream" and self.draw.random() < 0.1:
            params["last"] = True
        self.b.recurrent(self.draw.choice(("lstm", "gru")), name, self.draw.randint(1, 20), **params)

    def attention(self, name):
        params = {"width": self.draw.randint(1, self.shape()[2] + 2)} if self.draw.random() < 0.5 else {}
        if self.draw.random() < 0.5:
            self.b.additive_attention(name, self.draw.randint(1, 20), eps=self.draw.choice((1e-5, 1e-7, 0.1)), **params)
            return
        channels = self.shape()[1]
        heads = self.draw.choice([h for h in range(1, channels + 1) if channels % h == 0])
        self.b.attention(name, heads, **params, **self.biased())

    # ---- row by row ----

    def dense(self, name):
        self.b.dense(name, self.channels(), **self.activated(), **self.biased())
        if self.draw.random() < 0.3:
            self.norm(name + ".bn")

    def norm(self, name):
        self.b.norm(name, eps=self.draw.choice((1e-5, 1e-3)), **self.activated())

    def layernorm(self, name):
        """An eps that keeps rows of little variance from blowing up the rounding of either side."""
        if self.shape()[1] >= 4:  # of two or three channels little is left but signs
            self.b.layernorm(name, eps=self.draw.choice((1e-3, 1e-2)), **self.activated())

    def point(self, name):
        self.b.point(self.draw.choice(POINTS), name)

    def join(self, name):
        shape, own = self.shape(), self.b.last
        op = self.draw.choice(("add", "concat"))
        fits = [key for key, x in self.b.out.items() if key != own and x.shape[2:] == shape[2:] and
                (op == "concat" or x.shape[1] == shape[1])]  # in a stream, as many rows mean the same stride
        if not fits:
            return
        inputs = [own] + self.draw.sample(fits, min(len(fits), self.draw.randint(1, 2)))
        self.draw.shuffle(inputs)
        if op == "add":
            self.b.join("add", name, inputs, **self.activated())
        elif sum(self.b.out[key].shape[1] for key in inputs) <= 2 * CHANNELS_MAX:
            self.b.join("concat", name, inputs)

    # ---- rearranged ----

    def cut(self, name):
        rows = self.shape()[2]
        left = self.draw.randint(0, min(4, rows - 1))
        self.b.crop(name, left, self.draw.randint(0, min(4, rows - 1 - left)))

    def padded(self, name):
        self.b.pad(name, self.draw.randint(0, 4), self.draw.randint(0, 4))

    def upsample(self, name):
        self.b.upsample(name, self.draw.randint(1, 3))

    def flatten(self, name):
        if np.prod(self.shape()[1:]) <= VALUES_MAX:
            self.b.flatten(name)
            self.flat = True

    def options(self):
        rowwise = [self.norm, self.layernorm, self.point, self.join, self.join]
        if self.flat:
            return [self.dense, self.norm, self.point]
        if self.kind == "stream":
            return [self.conv] * 4 + [self.pool, self.recurrent, self.recurrent, self.dense] + rowwise
        if len(self.shape()) == 4:
            return [self.conv] * 4 + [self.pool] * 2 + rowwise + [self.flatten]
        return rowwise + [self.conv, self.conv, self.conv, self.pool, self.transposed, self.recurrent, self.attention,
                          self.attention, self.dense, self.cut, self.padded, self.upsample, self.flatten]

    def grow(self, layers):
        while self.n < layers:
            shape = self.shape()
            fits = [option for option in self.options()
                    if shape[2] <= ROWS_MAX or option not in (self.transposed, self.upsample, self.padded)]
            self.draw.choice(fits)("l%d" % self.n)
            self.n += 1
        if self.b.last == "input":
            self.conv("only")
        return self.b


def random_network(seed, kind, fill=lively(1.3)):
    draw = random.Random("%d %s" % (seed, kind))
    torch.manual_seed(draw.getrandbits(32))
    return Grower(draw, kind, fill), draw.randint(1, 10)


def own_error(seed, kind, builder):
    """How far PyTorch is from itself in double precision: what the network makes of rounding."""
    weights = iter(builder.made)
    torch.set_default_dtype(torch.float64)
    try:
        grower, layers = random_network(seed, kind, lambda module: module.load_state_dict(next(weights)))
        grower.b.out["input"] = builder.out["input"].double()
        exact = grower.grow(layers)
    finally:
        torch.set_default_dtype(torch.float32)
    return float((exact.out[exact.last] - builder.out[builder.last]).abs().max())


def check(program, builder, name, allowed=0.0):
    with tempfile.TemporaryDirectory() as folder:
        builder.save(name, folder)
        said = subprocess.run([program, "--more", "%g" % allowed, os.path.join(folder, name)], capture_output=True,
                              text=True)
    if said.returncode != 0:
        ops = " - ".join(layer["op"] for layer in builder.graph["layers"])
        raise AssertionError("%s (%s)" % (said.stderr.strip() or "status %d" % said.returncode, ops))
    return float(said.stdout.split()[-1])


def many(program, kind, seed, count):
    worst, ops = 0.0, set()
    for i in range(count):
        made = []
        grower, layers = random_network(seed + i, kind, keeping(made))
        builder = grower.grow(layers)
        builder.made = made
        try:
            own = own_error(seed + i, kind, builder)
            off = check(program, builder, "%s_%d" % (kind, seed + i), 4 * own)
        except AssertionError as error:
            raise AssertionError("--seed %d --count 1: %s" % (seed + i, error))
        worst = max(worst, off)
        ops |= {layer["op"] for layer in builder.graph["layers"]}
    return "%d networks of %d operations, seed %d, largest difference %.1e" % (count, len(ops), seed, worst)


def keeping(made):
    """Lively weights, kept in the order of making."""
    fill = lively(1.3)

    def fill_and_keep(module):
        fill(module)
        made.append({key: value.detach().clone() for key, value in module.state_dict().items()})
    return fill_and_keep


def full_size(program, seed):
    torch.manual_seed(seed)
    builder = eqtransformer(6000, (8, 16, 16, 32, 32, 64, 64), 16)
    return "seed %d, largest difference %.1e" % (seed, check(program, builder, "eqtransformer"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10 ** 9))
    parser.add_argument("--count", type=int, default=40, help="networks of each kind")
    args = parser.parse_args()
    print("fresh networks, seed %d" % args.seed)
    torch.set_num_threads(1)
    cases = Cases()
    with torch.no_grad():
        for kind in ("stream", "window", "picture"):
            cases.case("fresh_" + kind, many, args.program, kind, args.seed, args.count)
        cases.case("fresh_eqtransformer", full_size, args.program, args.seed)
    cases.finish()


if __name__ == "__main__":
    sys.exit(main())
