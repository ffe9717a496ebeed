"""One node again of what an exporter wrote as several: GELU (before opset 20) and layer normalisation (before opset
17).

A pattern counts only when its inner results are read by nobody else and its constants are the right ones; else the
nodes stay as they are, and the converter refuses the first one it does not know by name."""
import math


class Pattern:
    """Walks from node to node of a graph; raises LookupError where it is another one."""

    def __init__(self, graph):
        self.makers = {name: node for node in graph.nodes for name in node.output}
        self.readers = {}
        for node in graph.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.constant = graph.constants.get
        self.outputs = set(graph.outputs)

    def maker(self, name, op):
        node = self.makers.get(name)
        if node is None or node.op != op:
            raise LookupError(op)
        return node

    def only_reader(self, node, op):
        readers = self.readers.get(node.output[0], [])
        if len(readers) != 1 or readers[0].op != op or node.output[0] in self.outputs:
            raise LookupError(op)
        return readers[0]

    def number(self, node, value, tolerance=1e-6):
        """The node's input that is this constant is dropped; the other one's name."""
        for i in (0, 1):
            constant = self.constant(node.input[i])
            if constant is not None and constant.size == 1 and abs(float(constant.ravel()[0]) - value) <= tolerance:
                return node.input[1 - i]
        raise LookupError(node.op)

    def other(self, node, name):
        if name not in node.input:
            raise LookupError(node.op)
        return node.input[1 - list(node.input).index(name)]


def gelu(pattern, erf):
    """0.5 x (1 + erf(x / sqrt 2)), the factors in any order."""
    inner = pattern.makers.get(erf.input[0])
    if inner is None or inner.op not in ("Div", "Mul"):
        raise LookupError("Erf")
    x = pattern.number(inner, math.sqrt(2) if inner.op == "Div" else math.sqrt(0.5))
    last = pattern.only_reader(erf, "Add")
    pattern.number(last, 1.0)
    parts, wanted = [inner, erf, last], {"x", "half"}
    while wanted:
        product = pattern.only_reader(last, "Mul")
        factor = pattern.other(product, last.output[0])
        if factor == x:
            found = {"x"}
        elif pattern.constant(factor) is not None:
            pattern.number(product, 0.5)
            found = {"half"}
        else:
            half = pattern.maker(factor, "Mul")
            if pattern.number(half, 0.5) != x:
                raise LookupError("Erf")
            parts.append(half)
            found = {"x", "half"}
        if not found <= wanted:
            raise LookupError("Erf")
        wanted -= found
        parts.append(product)
        last = product
    return parts, "Gelu", [x], last.output, {}


def layer_normalization(pattern, root):
    """(x - mean) / sqrt(mean of its square + eps) * weight + bias, over the last axis."""
    shifted = pattern.maker(root.input[0], "Add")
    square_mean = next((pattern.makers[name] for name in shifted.input if name in pattern.makers and
                        pattern.makers[name].op == "ReduceMean"), None)
    if square_mean is None:
        raise LookupError("Sqrt")
    eps = pattern.constant(pattern.other(shifted, square_mean.output[0]))
    square = pattern.makers.get(square_mean.input[0])
    if eps is None or square is None or square.op not in ("Pow", "Mul"):
        raise LookupError("Sqrt")
    centred = pattern.maker(square.input[0], "Sub")
    if square.op == "Pow":
        pattern.number(square, 2.0)
    mean = pattern.maker(centred.input[1], "ReduceMean")
    division = pattern.only_reader(root, "Div")
    scaled = pattern.only_reader(division, "Mul")
    biased = pattern.only_reader(scaled, "Add")
    x = mean.input[0]
    axes = mean.get("axes", None)
    if x != centred.input[0] or division.input[0] != centred.output[0] or axes != square_mean.get("axes", None):
        raise LookupError("Sqrt")
    weight, bias = pattern.other(scaled, division.output[0]), pattern.other(biased, scaled.output[0])
    return ([mean, centred, square, square_mean, shifted, root, division, scaled, biased], "LayerNormalization",
            [x, weight, bias], biased.output, {"axis": axes[0] if axes else -1, "epsilon": float(eps.ravel()[0])})


SEEDS = {"Erf": gelu, "Sqrt": layer_normalization}


def fuse(graph, make_node):
    """make_node(name, op, inputs, outputs, attributes); the new node stands where the last of the old ones stood."""
    for seed in [node for node in graph.nodes if node.op in SEEDS]:
        try:
            parts, op, inputs, outputs, attributes = SEEDS[seed.op](Pattern(graph), seed)
        except LookupError:
            continue
        at = max(graph.nodes.index(part) for part in parts)
        graph.nodes[at] = make_node(seed.name, op, inputs, outputs, attributes)
        graph.nodes = [node for node in graph.nodes if node not in parts]
