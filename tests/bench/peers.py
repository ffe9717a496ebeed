"""Other engines on the same networks, each with one thread, single precision, and its best setting found on this size.

A maker takes a network and returns a list of `Engine`, or raises `Absent` with the reason. Engines are built from our own
description of the network, so all have the same weights; the driver compares their outputs with ours.
"""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


class Absent(Exception):
    """Not installed, or not usable here; the text says why."""


class Engine:
    """call(batch) runs once on inputs made before; result(batch) is [batch][rows][channels] as numpy."""

    def __init__(self, name, version, setting, calls, results):
        self.name, self.version, self.setting, self.calls, self.results = name, version, setting, calls, results


def numpy():
    try:
        import numpy as np
    except ImportError:
        raise Absent("numpy is absent") from None
    return np


def load(name):
    try:
        return __import__(name)
    except ImportError:
        raise Absent("absent") from None
    except OSError as error:  # a library it wants is not there
        raise Absent("cannot be loaded (%s)" % str(error).split("\n", maxsplit=1)[0][:60]) from None


def tensor(network, name):
    shape, values = network.tensors[name]
    return numpy().frombuffer(values, "<f4").reshape(shape)


class Step:
    """A layer as inference engines want it: batch norm and crop are part of the convolution before them."""

    def __init__(self, op, name, inputs):
        self.op, self.name, self.inputs = op, name, inputs
        self.weight = self.bias = None
        self.stride, self.pads, self.relu = 1, (0, 0), False


def _fold(step, network, layer):
    """y = (conv(x) - mean) / sqrt(var + eps) * weight + bias, written into weight and bias of the convolution."""
    np = numpy()
    scale, shift, mean, var = (tensor(network, "%s.%s" % (layer["name"], key)).astype(np.float64)
                               for key in ("weight", "bias", "running_mean", "running_var"))
    scale = scale / np.sqrt(var + layer["eps"])
    across = (1, -1, 1) if step.op == "up" else (-1, 1, 1)
    step.weight = (step.weight * scale.reshape(across)).astype("<f4")
    step.bias = ((step.bias - mean) * scale + shift).astype("<f4")
    step.relu = layer["activation"] == "relu"


def folded(network):
    """The steps of a convolutional network: op is conv, up (transposed), concat or softmax."""
    np = numpy()
    steps, alias, last = [], {"input": "input"}, "input"
    by_name = {}
    for layer in network.graph["layers"]:
        op, name = layer["op"], layer["name"]
        sources = [alias[source] for source in layer.get("inputs", [last])]
        last = name
        if op in ("batchnorm", "crop"):
            step = by_name[sources[0]]
            if op == "crop":
                step.pads = (layer["left"], layer["right"])
            else:
                _fold(step, network, layer)
            alias[name] = step.name
            continue
        step = Step({"conv1d": "conv", "convtranspose1d": "up"}.get(op, op), name, sources)
        if step.op in ("conv", "up"):
            step.weight = tensor(network, name + ".weight")
            step.bias = (tensor(network, name + ".bias") if layer.get("bias", True) else
                         np.zeros(layer["channels"], "<f4"))
            padding = layer.get("padding", "valid")
            step.stride, step.pads = layer.get("stride", 1), (0, 0) if padding == "valid" else tuple(padding)
        alias[name] = name
        by_name[name] = step
        steps.append(step)
    return steps


# PyTorch ------------------------------------------------------------------------------------------------------------

def _torch():
    torch = load("torch")
    numpy()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    return torch


def _torch_eager(torch, network):
    """Convolution, batch norm and ReLU as separate modules: what SeisBench runs."""
    nn, functional = torch.nn, torch.nn.functional

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers, self.plan, self.channels, last = nn.ModuleDict(), [], {"input": 3}, "input"
            for layer in network.graph["layers"]:
                sources, name = layer.get("inputs", [last]), layer["name"]
                module = self.make(layer, self.channels[sources[0]])
                if module is not None:
                    keys = [key for key in network.tensors if key.startswith(name + ".")]
                    module.load_state_dict({key[len(name) + 1:]: torch.tensor(tensor(network, key)) for key in keys},
                                           strict=False)
                    self.layers[name] = module
                self.channels[name] = layer.get("channels", sum(self.channels[source] for source in sources))
                self.plan.append((layer["op"], name, sources, layer))
                last = name

        @staticmethod
        def make(layer, reads):
            if layer["op"] == "batchnorm":
                return nn.BatchNorm1d(reads, eps=layer["eps"])
            if layer["op"] == "convtranspose1d":
                return nn.ConvTranspose1d(reads, layer["channels"], layer["kernel"], layer["stride"], bias=layer["bias"])
            if layer["op"] == "conv1d":
                pads = layer.get("padding", "valid")
                even = pads != "valid" and pads[0] == pads[1]
                return nn.Conv1d(reads, layer["channels"], layer["kernel"], layer.get("stride", 1),
                                 padding=pads[0] if even else 0, bias=layer.get("bias", True))
            return None

        def forward(self, x):
            values = {"input": x}
            for op, name, sources, layer in self.plan:
                x = values[sources[0]]
                if op == "concat":
                    x = torch.cat([values[source] for source in sources], 1)
                elif op == "softmax":
                    x = torch.softmax(x, 1)
                elif op == "crop":
                    x = x[:, :, layer["left"]:x.shape[2] - layer["right"]]
                else:
                    pads = layer.get("padding", "valid")
                    if pads != "valid" and pads[0] != pads[1]:
                        x = functional.pad(x, tuple(pads))
                    x = self.layers[name](x)
                    if layer.get("activation") == "relu":
                        x = torch.relu(x)
                values[name] = x
            return x

    return Net().eval()


def _torch_plane(torch, steps):
    """Folded, as a picture of one row: oneDNN inside PyTorch has its good kernels for two dimensions."""
    nn, functional = torch.nn, torch.nn.functional

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.weights = nn.ParameterList()
            for step in steps:
                if step.weight is not None:
                    self.weights.append(nn.Parameter(torch.tensor(step.weight[:, :, None, :]), requires_grad=False))
                    self.weights.append(nn.Parameter(torch.tensor(step.bias), requires_grad=False))

        def forward(self, x):
            values, k = {"input": x.unsqueeze(2)}, 0
            for step in steps:
                x = values[step.inputs[0]]
                if step.op == "concat":
                    x = torch.cat([values[source] for source in step.inputs], 1)
                elif step.op == "softmax":
                    x = torch.softmax(x, 1)
                else:
                    weight, bias, (left, right) = self.weights[k], self.weights[k + 1], step.pads
                    k += 2
                    if step.op == "up":
                        x = functional.conv_transpose2d(x, weight, bias, (1, step.stride))
                        x = x[:, :, :, left:x.shape[3] - right]
                    elif left == right:
                        x = functional.conv2d(x, weight, bias, (1, step.stride), (0, left))
                    else:
                        x = functional.conv2d(functional.pad(x, (left, right)), weight, bias, (1, step.stride))
                    x = torch.relu(x) if step.relu else x
                values[step.name] = x
            return x.squeeze(2)

    return Net().eval()


def _torch_engine(torch, name, setting, made, inputs):
    """made: {batch: module}."""
    tensors = {batch: torch.tensor(x).permute(0, 2, 1).contiguous() for batch, x in inputs.items()}

    def call(batch):
        module, x = made[batch], tensors[batch]

        def run():
            with torch.inference_mode():
                return module(x)
        return run

    calls = {batch: call(batch) for batch in inputs}
    results = {batch: (lambda b=batch: calls[b]().permute(0, 2, 1).contiguous().numpy()) for batch in inputs}
    return Engine(name, torch.__version__, setting, calls, results)


def _frozen(torch, module, x, channels_last=False):
    with torch.no_grad():
        if channels_last:
            module = module.to(memory_format=torch.channels_last)
        return torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(module, x)))


def _inductor(torch, module, x):
    import torch._inductor.config as config
    config.freezing = True  # weights laid out ahead of time, batch norm folded
    config.cpp.threads = 1
    with torch.no_grad():
        compiled = torch.compile(module, dynamic=False)
        compiled(x)
    return compiled


def torch_phasenet(network, inputs, inductor=False):
    """Eager, and every optimised form of PyTorch that works here."""
    import warnings
    warnings.simplefilter("ignore")
    torch = _torch()
    steps, first = folded(network), {}
    for batch, x in inputs.items():
        first[batch] = torch.tensor(x).permute(0, 2, 1).contiguous()
    eager = _torch_eager(torch, network)
    plane = _torch_plane(torch, steps)
    engines = [_torch_engine(torch, "pytorch_eager", "conv + batch norm", {b: eager for b in inputs}, inputs)]
    forms = [("pytorch_optimized", "trace, freeze, optimize_for_inference",
              lambda b: _frozen(torch, _torch_eager(torch, network), first[b])),
             ("pytorch_optimized_2d", "folded, 2-D channels_last, freeze, optimize_for_inference",
              lambda b: _frozen(torch, plane, first[b], True))]
    if inductor and shutil.which("g++"):
        forms.append(("pytorch_inductor", "torch.compile, freezing", lambda b: _inductor(torch, eager, first[b])))
    for name, setting, make in forms:
        try:
            made = {batch: make(batch) for batch in inputs}
            engines.append(_torch_engine(torch, name, setting, made, inputs))
        except Exception as error:  # a form this version does not have
            print("absent %s: %s" % (name, str(error).split("\n", maxsplit=1)[0][:100]))
    return engines


def torch_lstm(network, inputs):
    torch = _torch()
    units, reads = network.tensors["b.weight_hh_l0"][0][1], network.tensors["a.weight_ih_l0"][0][1]
    module = torch.nn.LSTM(reads, units, 2, batch_first=True)
    state = {}
    for layer, number in (("a", 0), ("b", 1)):
        for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            state["%s_l%d" % (key, number)] = torch.tensor(tensor(network, "%s.%s_l0" % (layer, key)))
    module.load_state_dict(state)
    module.eval()

    class First(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = module

        def forward(self, x):
            return self.lstm(x)[0]

    plain = First().eval()

    def engine(name, setting, made):
        tensors = {batch: torch.tensor(x) for batch, x in inputs.items()}

        def call(batch):
            x, run = tensors[batch], made[batch]

            def once():
                with torch.inference_mode():
                    return run(x)
            return once
        calls = {batch: call(batch) for batch in inputs}
        return Engine(name, torch.__version__, setting, calls,
                      {batch: (lambda b=batch: calls[b]().numpy()) for batch in inputs})

    engines = [engine("pytorch_eager", "nn.LSTM", {batch: plain for batch in inputs})]
    try:
        made = {batch: _frozen(torch, First().eval(), torch.tensor(x)) for batch, x in inputs.items()}
        engines.append(engine("pytorch_optimized", "trace, freeze, optimize_for_inference", made))
    except Exception as error:
        print("absent pytorch_optimized: %s" % str(error).split("\n", maxsplit=1)[0][:100])
    return engines


# ONNX Runtime -------------------------------------------------------------------------------------------------------

def _session(model):
    ort = load("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _bound(session, feed):
    """A call on bound buffers, which saves copies, and a function that runs it and takes the output."""
    binding = session.io_binding()
    binding.bind_cpu_input("input", feed)
    binding.bind_output("output", "cpu")

    def call():
        session.run_with_iobinding(binding)

    def taken():
        call()
        return binding.copy_outputs_to_cpu()[0]
    call.held = feed
    return call, taken


def _onnx_model(onnx, nodes, weights, shape_in, shape_out):
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(nodes, "bench", [helper.make_tensor_value_info("input", kind, shape_in)],
                              [helper.make_tensor_value_info("output", kind, shape_out)],
                              [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def _onnx_phasenet(onnx, steps, batch, rows, plane):
    """plane: as pictures of one row, for which ONNX Runtime has blocked layouts."""
    helper, nodes, weights = onnx.helper, [], {}
    axis = [1] if plane else []

    def pads(pair):
        return [0, pair[0], 0, pair[1]] if plane else list(pair)

    for step in steps:
        out = "output" if step is steps[-1] else step.name
        if step.op in ("conv", "up"):
            shape = step.weight.shape
            weights[step.name + ".w"] = step.weight.reshape(shape[0], shape[1], *axis, shape[2]).copy()
            weights[step.name + ".b"] = step.bias
            raw = step.name + ".raw" if step.relu else out
            nodes.append(helper.make_node(
                "Conv" if step.op == "conv" else "ConvTranspose", [step.inputs[0], step.name + ".w", step.name + ".b"],
                [raw], kernel_shape=axis + [shape[2]], strides=axis + [step.stride], pads=pads(step.pads)))
            if step.relu:
                nodes.append(helper.make_node("Relu", [raw], [out]))
        elif step.op == "concat":
            nodes.append(helper.make_node("Concat", step.inputs, [out], axis=1))
        else:
            nodes.append(helper.make_node("Softmax", step.inputs, [out], axis=1))
    shape = lambda channels: [batch, channels, *axis, rows]
    return _onnx_model(onnx, nodes, weights, shape(3), shape(3))


def onnx_phasenet(network, inputs):
    np, ort, onnx = numpy(), load("onnxruntime"), load("onnx")
    from onnx import numpy_helper  # noqa: F401  (onnx.numpy_helper is not imported by itself)
    steps, engines = folded(network), []
    for plane in (False, True):
        calls, results = {}, {}
        for batch, x in inputs.items():
            session = _session(_onnx_phasenet(onnx, steps, batch, x.shape[1], plane))
            feed = np.ascontiguousarray(x.transpose(0, 2, 1))
            calls[batch], taken = _bound(session, feed[:, :, None, :] if plane else feed)
            results[batch] = lambda t=taken, b=batch: t().reshape(b, 3, -1).transpose(0, 2, 1)
        engines.append(Engine("onnxruntime_2d" if plane else "onnxruntime", ort.__version__,
                              "CPU provider, all optimisations" + (", 2-D form" if plane else ""), calls, results))
    return engines


def _onnx_lstm_weights(network, layer):
    """PyTorch's gates i, f, g, o to ONNX's i, o, f, c."""
    np = numpy()

    def order(values):
        i, f, g, o = np.split(values, 4)
        return np.concatenate([i, o, f, g])[None]
    parts = {key: order(tensor(network, "%s.%s_l0" % (layer, key)))
             for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    return {layer + ".w": parts["weight_ih"], layer + ".r": parts["weight_hh"],
            layer + ".b": np.concatenate([parts["bias_ih"], parts["bias_hh"]], 1)}


def onnx_lstm(network, inputs):
    np, ort, onnx = numpy(), load("onnxruntime"), load("onnx")
    from onnx import numpy_helper  # noqa: F401
    helper, weights = onnx.helper, {}
    units = network.tensors["b.weight_hh_l0"][0][1]
    for layer in "ab":
        weights.update(_onnx_lstm_weights(network, layer))
    weights["axis"] = np.array([1], np.int64)
    nodes, source = [], "input"
    for layer in "ab":
        nodes += [helper.make_node("LSTM", [source] + [layer + key for key in (".w", ".r", ".b")], [layer + ".y"],
                                   hidden_size=units),
                  helper.make_node("Squeeze", [layer + ".y", "axis"], ["output" if layer == "b" else layer])]
        source = layer
    calls, results = {}, {}
    for batch, x in inputs.items():
        session = _session(_onnx_model(onnx, nodes, weights, [x.shape[1], batch, x.shape[2]], [x.shape[1], batch, units]))
        calls[batch], taken = _bound(session, np.ascontiguousarray(x.transpose(1, 0, 2)))
        results[batch] = lambda t=taken: t().transpose(1, 0, 2)
    return [Engine("onnxruntime", ort.__version__, "CPU provider, all optimisations", calls, results)]


# ncnn ---------------------------------------------------------------------------------------------------------------

def _ncnn_net(ncnn, text, blob):
    """Single precision everywhere: ncnn would compute in half precision where the processor can."""
    net = ncnn.Net()
    net.opt.num_threads = 1
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage", "use_bf16_packed",
                   "use_vulkan_compute"):
        if hasattr(net.opt, option):
            setattr(net.opt, option, False)
    with tempfile.TemporaryDirectory() as folder:
        param, binary = os.path.join(folder, "net.param"), os.path.join(folder, "net.bin")
        with open(param, "w", encoding="ascii") as file:
            file.write(text)
        with open(binary, "wb") as file:
            file.write(blob)
        if net.load_param(param) != 0 or net.load_model(binary) != 0:
            raise Absent("refuses the network")
    return net


def _ncnn_lines(steps, rows):
    """Its text form and weights. A blob read twice goes through a Split."""
    readers, lines, blob = {}, [], b""
    for step in steps:
        for source in step.inputs:
            readers[source] = readers.get(source, 0) + 1
    taken = {}

    def take(source):
        if readers[source] == 1:
            return source
        taken[source] = taken.get(source, -1) + 1
        return "%s_%d" % (source, taken[source])

    blobs = 1
    lines.append("Input input 0 1 input 0=%d 1=1 2=3" % rows)
    for step in steps:
        line = None
        if step.op in ("conv", "up"):
            kind = "Convolution" if step.op == "conv" else "Deconvolution"
            channels = step.bias.size
            line = "%s %s 1 1 %s %s 0=%d 1=%d 11=1 2=1 12=1 3=%d 13=1 4=%d 14=0 15=%d 16=0 5=1 6=%d 9=%d" % (
                kind, step.name, take(step.inputs[0]), step.name, channels, step.weight.shape[2], step.stride,
                step.pads[0], step.pads[1], step.weight.size, int(step.relu))
            weight = step.weight if step.op == "conv" else step.weight.transpose(1, 0, 2)
            blob += b"\0\0\0\0" + weight.astype("<f4").tobytes() + step.bias.astype("<f4").tobytes()
        elif step.op == "concat":
            line = "Concat %s %d 1 %s %s 0=0" % (step.name, len(step.inputs), " ".join(map(take, step.inputs)), step.name)
        else:
            line = "Softmax %s 1 1 %s %s 0=0 1=1" % (step.name, take(step.inputs[0]), step.name)
        lines.append(line)
        blobs += 1
        n = readers.get(step.name, 0)
        if n > 1:
            lines.append("Split %s_split 1 %d %s %s" % (step.name, n, step.name,
                                                        " ".join("%s_%d" % (step.name, k) for k in range(n))))
            blobs += n
    return "7767517\n%d %d\n%s\n" % (len(lines), blobs, "\n".join(lines)), blob


def _ncnn_engine(ncnn, net, feeds, output, shape, setting):
    """feeds: {batch: list of Mat}. ncnn has no batch: windows go one after the other."""
    np = numpy()

    def one(mat):
        extractor = net.create_extractor()
        extractor.input("input", mat)
        return extractor.extract(output)[1]

    def call(batch):
        return lambda: [one(mat) for mat in feeds[batch]]

    def result(batch):
        return lambda: np.stack([shape(np.array(one(mat))) for mat in feeds[batch]])
    return Engine("ncnn", ncnn.__version__, setting, {b: call(b) for b in feeds}, {b: result(b) for b in feeds})


def ncnn_phasenet(network, inputs):
    np, ncnn = numpy(), load("ncnn")
    steps = folded(network)
    rows = next(iter(inputs.values())).shape[1]
    net = _ncnn_net(ncnn, *_ncnn_lines(steps, rows))
    held = {batch: np.ascontiguousarray(x.transpose(0, 2, 1))[:, :, None, :] for batch, x in inputs.items()}
    feeds = {batch: [ncnn.Mat(window) for window in windows] for batch, windows in held.items()}
    engine = _ncnn_engine(ncnn, net, feeds, steps[-1].name, lambda y: y.reshape(3, -1).T,
                          "2-D form, fp32 (half precision off), window by window")
    engine.held = net, held  # a Mat borrows the array's memory
    return [engine]


def ncnn_lstm(network, inputs):
    """Gates i, f, o, g; ncnn keeps one bias."""
    np, ncnn = numpy(), load("ncnn")
    units = network.tensors["b.weight_hh_l0"][0][1]
    blob, lines = b"", ["Input input 0 1 input"]

    def order(values):
        i, f, g, o = np.split(values, 4)
        return np.concatenate([i, f, o, g]).astype("<f4").tobytes()
    source = "input"
    for layer in "ab":
        part = {key: tensor(network, "%s.%s_l0" % (layer, key)) for key in
                ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        lines.append("LSTM %s 1 1 %s %s 0=%d 1=%d 2=0" % (layer, source, layer, units, part["weight_ih"].size))
        blob += b"\0\0\0\0" + order(part["weight_ih"]) + b"\0\0\0\0" + order(part["bias_ih"] + part["bias_hh"])
        blob += b"\0\0\0\0" + order(part["weight_hh"])
        source = layer
    net = _ncnn_net(ncnn, "7767517\n%d %d\n%s\n" % (len(lines), len(lines), "\n".join(lines)), blob)
    feeds = {batch: [ncnn.Mat(row) for row in x] for batch, x in inputs.items()}
    engine = _ncnn_engine(ncnn, net, feeds, "b", lambda y: y, "fp32 (half precision off), sequence by sequence")
    engine.held = net, inputs
    return [engine]


# oneDNN -------------------------------------------------------------------------------------------------------------

def _onednn_library(prefix, folder):
    """Compiled into the build folder, once; prefix None: the system's."""
    import ctypes
    source = os.path.join(HERE, "onednn.cpp")
    target = os.path.join(folder, "onednn_%s.so" % ("system" if prefix is None else "python"))
    if not os.path.exists(target) or os.path.getmtime(target) < os.path.getmtime(source):
        command = ["g++", "-O2", "-fPIC", "-shared", source, "-o", target]
        if prefix:
            command += ["-I" + os.path.join(prefix, "include"), "-L" + os.path.join(prefix, "lib"),
                        "-Wl,-rpath," + os.path.join(prefix, "lib")]
        subprocess.run(command + ["-ldnnl"], check=True, capture_output=True)
    library = ctypes.CDLL(target)
    library.bench_onednn_lstm.restype = ctypes.c_void_p
    library.bench_onednn_lstm.argtypes = [ctypes.c_long] * 4 + [ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)]
    library.bench_onednn_net.restype = ctypes.c_void_p
    library.bench_onednn_net.argtypes = [ctypes.c_long] * 3 + [ctypes.c_void_p]
    library.bench_onednn_conv.argtypes = ([ctypes.c_void_p, ctypes.c_int, ctypes.c_int] + [ctypes.c_long] * 5 +
                                          [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p])
    library.bench_onednn_concat.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
    library.bench_onednn_softmax.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.bench_onednn_run.restype = ctypes.POINTER(ctypes.c_float)
    library.bench_onednn_run.argtypes = [ctypes.c_void_p]
    return library


def _onednn_net(library, steps, feed):
    """Handle, and what it borrows."""
    np = numpy()
    handle = library.bench_onednn_net(*feed.shape, feed.ctypes.data)
    held, value = [feed], {"input": 0}
    for step in steps:
        sources = [value[source] for source in step.inputs]
        if step.op == "concat":
            made = library.bench_onednn_concat(handle, *sources)
        elif step.op == "softmax":
            made = library.bench_onednn_softmax(handle, *sources)
        else:
            weight = step.weight if step.op == "conv" else step.weight.transpose(1, 0, 2)
            held += [np.ascontiguousarray(weight), np.ascontiguousarray(step.bias)]
            made = library.bench_onednn_conv(handle, sources[0], int(step.op == "up"), weight.shape[0], weight.shape[2],
                                             step.stride, *step.pads, int(step.relu), held[-2].ctypes.data,
                                             held[-1].ctypes.data)
        if made < 0:
            raise Absent("refuses %s" % step.name)
        value[step.name] = made
    return handle, held


def _onednn_phasenet(library, network, inputs):
    np = numpy()
    steps, calls, results, everything = folded(network), {}, {}, []
    for batch, x in inputs.items():
        handle, held = _onednn_net(library, steps, np.ascontiguousarray(x.transpose(0, 2, 1)))
        everything += held
        calls[batch] = lambda h=handle: library.bench_onednn_run(h)
        results[batch] = lambda h=handle, s=x.shape: np.ctypeslib.as_array(library.bench_onednn_run(h), s).copy()
    return _onednn_engine(library, calls, results, everything)


def _onednn_engine(library, calls, results, held):
    number = library.bench_onednn_version()
    version = "%d.%d.%d" % (number // 10000, number // 100 % 100, number % 100)
    engine = Engine("onednn_" + version.rsplit(".", 1)[0], version, "own primitives, layouts of its own choice", calls,
                    results)
    engine.held = held
    return engine


def _onednn_lstm(library, network, inputs):
    import ctypes
    np = numpy()
    units, weights = network.tensors["b.weight_hh_l0"][0][1], []
    for layer in "ab":
        part = {key: tensor(network, "%s.%s_l0" % (layer, key)) for key in
                ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        weights += [part["weight_ih"].copy(), part["weight_hh"].copy(), part["bias_ih"] + part["bias_hh"]]
    pointers = (ctypes.c_void_p * 6)(*[w.ctypes.data for w in weights])
    calls, results, held = {}, {}, [weights, pointers]
    for batch, x in inputs.items():
        feed = np.ascontiguousarray(x.transpose(1, 0, 2))
        rows, _, reads = feed.shape
        handle = library.bench_onednn_lstm(rows, batch, reads, units, feed.ctypes.data, pointers)
        if not handle:
            raise Absent("refuses the network")
        held += [feed]
        calls[batch] = lambda h=handle: library.bench_onednn_run(h)
        results[batch] = lambda h=handle, s=(rows, batch, units): np.ctypeslib.as_array(
            library.bench_onednn_run(h), s).transpose(1, 0, 2).copy()
    return _onednn_engine(library, calls, results, held)


def _onednn(make, network, inputs, folder):
    """The system's oneDNN, and the one beside this Python where there is one."""
    numpy()
    if not shutil.which("g++"):
        raise Absent("absent (no g++ to call it)")
    engines, reason = [], "absent"
    for prefix in (None, sys.prefix):
        if prefix and not os.path.exists(os.path.join(prefix, "include", "dnnl.hpp")):
            continue
        try:
            engines.append(make(_onednn_library(prefix, folder), network, inputs))
        except Absent as error:
            reason = str(error)
        except (subprocess.CalledProcessError, OSError):
            continue
    if not engines:
        raise Absent(reason)
    return engines


def onednn_phasenet(network, inputs, folder):
    return _onednn(_onednn_phasenet, network, inputs, folder)


def onednn_lstm(network, inputs, folder):
    return _onednn(_onednn_lstm, network, inputs, folder)
