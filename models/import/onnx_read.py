"""An ONNX file as nodes and constants, without the format around it. Needs the package onnx."""
from onnx_fuse import fuse
from sketch import Refused


class Node:
    """What is used of a node, without the format around it."""

    def __init__(self, name, op, inputs, outputs, attributes):
        self.name, self.op, self.input, self.output = name or outputs[0], op, list(inputs), list(outputs)
        self.attributes = attributes

    def get(self, key, default):
        return self.attributes.get(key, default)


class Graph:
    """Nodes in the order of running, constants by name; the file's own checks are not repeated here."""

    def __init__(self, model):
        from onnx import helper, numpy_helper
        graph = model.graph
        self.opset = max([entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")], default=1)
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.nodes = []
        for node in graph.node:
            attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
            attributes = {key: value.decode() if isinstance(value, bytes) else value
                          for key, value in attributes.items()}
            if node.domain not in ("", "ai.onnx"):
                raise Refused("node '%s': operator %s of domain %s" % (node.name, node.op_type, node.domain))
            if node.op_type == "Constant":
                if "value" not in attributes:
                    raise Refused("node '%s': Constant without a tensor" % node.name)
                self.constants[node.output[0]] = numpy_helper.to_array(attributes["value"])
            else:
                self.nodes.append(Node(node.name, node.op_type, node.input, node.output, attributes))
        self.inputs = [entry for entry in graph.input if entry.name not in self.constants]
        self.outputs = [entry.name for entry in graph.output]
        fuse(self, Node)
        self._drop_unread()

    def _drop_unread(self):
        wanted, kept = set(self.outputs), []
        for node in reversed(self.nodes):
            if wanted & set(node.output):
                wanted |= set(node.input)
                kept.append(node)
        self.nodes = kept[::-1]
        self.readers = {name: sum(list(node.input).count(name) for node in self.nodes) +
                        self.outputs.count(name) for name in wanted}


def read(path):
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise Refused("needs the Python package onnx (Debian: python3-onnx): %s" % error)
    try:
        return Graph(onnx.load(path))
    except Refused:
        raise
    except (DecodeError, onnx.checker.ValidationError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise Refused("%s is no ONNX file, or a damaged one: %s: %s" % (path, type(error).__name__, error))
