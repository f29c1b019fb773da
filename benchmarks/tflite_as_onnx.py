"""An int8 `.tflite` file as ONNX's integer operators: the same weights, scales and zero points.

Only what the networks of MLPerf Tiny need. Maps are channels first, as ONNX has them, the input's
too.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from lilliput.export.c.lower.step import Windows, activation_range, windows
from lilliput.export.c.network import Network, Operator, Tensor

__all__ = ["check", "onnx_of"]

_MICROSOFT = "com.microsoft"
_MOVED = {4: (0, 3, 1, 2)}
"""Axes of what has four of them; the others stay."""


def onnx_of(network: Network) -> onnx.ModelProto:
    """The same network.

    Raises:
        ValueError: It has an operator, or an activation, that there is no ONNX for here.
    """
    return _Writer(network).model()


def check(path: Path, network: Network, seed: int = 0) -> None:
    """Each operator by itself, given what LiteRT gives it, answers in ONNX Runtime within one.

    Raises:
        ValueError: An operator does not.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    litert = Interpreter(
        str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    litert.allocate_tensors()
    rng = np.random.default_rng(seed)
    for detail in litert.get_input_details():
        litert.set_tensor(detail["index"], rng.integers(-128, 128, detail["shape"], dtype=np.int8))
    litert.invoke()
    for operator in network.operators:
        computed = [k for k in operator.inputs if k is not None and network.tensors[k].data is None]
        inputs = tuple(dict.fromkeys(computed))
        alone = replace(network, operators=(operator,), inputs=inputs, outputs=operator.outputs)
        session = onnxruntime.InferenceSession(onnx_of(alone).SerializeToString())
        given = {_name(k): _channels_first(litert.get_tensor(k)) for k in inputs}
        (found,) = session.run(None, given)
        wanted = _channels_first(litert.get_tensor(operator.outputs[0]))
        off = int(np.abs(found.astype(np.int32) - wanted).max())
        if off > 1:
            raise ValueError(f"{operator} is off by {off} in ONNX Runtime")


class _Writer:
    """Nodes and constants under construction."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def model(self) -> onnx.ModelProto:
        kinds = {
            "CONV_2D": self.convolution,
            "DEPTHWISE_CONV_2D": self.convolution,
            "FULLY_CONNECTED": self.dense,
            "ADD": self.added,
            "AVERAGE_POOL_2D": self.pooled,
            "RESHAPE": self.flattened,
            "SOFTMAX": self.softmax,
        }
        for operator in self.network.operators:
            if operator.kind not in kinds:
                raise ValueError(f"no ONNX for {operator}; what there is: {', '.join(kinds)}")
            kinds[operator.kind](operator)
        inputs, outputs, inner = (
            [self.typed(index) for index in indices]
            for indices in (self.network.inputs, self.network.outputs, self.inner())
        )
        constants = list(self.constants.values())
        graph = helper.make_graph(
            self.nodes, "network", inputs, outputs, constants, value_info=inner
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(_MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def inner(self) -> Iterable[int]:
        """What flows between operators."""
        made = [operator.outputs[0] for operator in self.network.operators]
        return [index for index in made if index not in self.network.outputs]

    def typed(self, index: int) -> onnx.ValueInfoProto:
        shape = self.network.tensors[index].shape
        moved = [shape[axis] for axis in _MOVED.get(len(shape), range(len(shape)))]
        return helper.make_tensor_value_info(_name(index), TensorProto.INT8, moved)

    def constant(self, name: str, values: np.ndarray) -> str:
        self.constants[name] = numpy_helper.from_array(np.array(values, order="C"), name)
        return name

    def scale(self, index: int) -> list[str]:
        """Names of a tensor's scales and zero points."""
        tensor = self.network.tensors[index]
        scales, zeros = np.asarray(tensor.scales), np.asarray(tensor.zero_points, np.int8)
        if len(scales) == 1:
            scales, zeros = scales[0], zeros[0]
        return [
            self.constant(f"{_name(index)}_scale", scales),
            self.constant(f"{_name(index)}_zero", zeros),
        ]

    def node(self, kind: str, inputs: list[str], operator: Operator, **attributes: object) -> None:
        domain = "" if kind in {"QLinearConv", "Reshape"} else _MICROSOFT
        outputs = [_name(operator.outputs[0])]
        self.nodes.append(helper.make_node(kind, inputs, outputs, domain=domain, **attributes))

    def convolution(self, operator: Operator) -> None:
        x, y = self.checked(operator)
        w = self.network.read(operator, 1)
        options = operator.options
        stride = options["strideH"], options["strideW"]
        dilation = options["dilationHFactor"], options["dilationWFactor"]
        kernel = w.shape[1], w.shape[2]
        before, out = windows(operator, x.shape[1:3], Windows(kernel, stride, dilation))
        rows = zip(out, stride, kernel, dilation, before, x.shape[1:3], strict=True)
        after = [max(0, (o - 1) * s + (k - 1) * d + 1 - b - n) for o, s, k, d, b, n in rows]
        is_depthwise = operator.kind == "DEPTHWISE_CONV_2D"
        order = (3, 0, 1, 2) if is_depthwise else (0, 3, 1, 2)
        self.node(
            "QLinearConv",
            [
                *self.read(operator, 0),
                *self.weights(operator, order),
                *self.scale(operator.outputs[0]),
                self.bias(operator, y.shape[3]),
            ],
            operator,
            group=x.shape[3] if is_depthwise else 1,
            strides=stride,
            dilations=dilation,
            pads=[*before, *after],
            kernel_shape=kernel,
        )

    def dense(self, operator: Operator) -> None:
        _, y = self.checked(operator)
        inputs = [*self.read(operator, 0), *self.weights(operator, (0, 1))]
        inputs += [self.bias(operator, y.shape[-1]), *self.scale(operator.outputs[0])]
        self.node("QGemm", inputs, operator, transB=1)

    def added(self, operator: Operator) -> None:
        self.checked(operator)
        inputs = [*self.read(operator, 0), *self.read(operator, 1)]
        self.node("QLinearAdd", [*inputs, *self.scale(operator.outputs[0])], operator)

    def pooled(self, operator: Operator) -> None:
        x, y = self.checked(operator)
        if y.shape[1:3] != (1, 1):
            raise ValueError(f"{operator} gives {list(y.shape)}; only the mean of a map is done")
        size = operator.options["filterHeight"], operator.options["filterWidth"]
        if size != x.shape[1:3]:
            raise ValueError(f"{operator} sees {size} of {list(x.shape)}")
        inputs = [*self.read(operator, 0), *self.scale(operator.outputs[0])]
        self.node("QLinearGlobalAveragePool", inputs, operator, channels_last=0)

    def flattened(self, operator: Operator) -> None:
        x, y = self.network.read(operator, 0), self.network.written(operator)
        if len(x.shape) == 4 and x.shape[1:3] != (1, 1):
            raise ValueError(f"{operator} flattens {list(x.shape)}, whose axes lie otherwise here")
        shape = self.constant(f"{_name(operator.outputs[0])}_shape", np.asarray(y.shape, np.int64))
        self.node("Reshape", [_name(operator.source()), shape], operator)

    def softmax(self, operator: Operator) -> None:
        inputs = [*self.read(operator, 0), *self.scale(operator.outputs[0])]
        self.node("QLinearSoftmax", inputs, operator, axis=-1, opset=13)

    def read(self, operator: Operator, which: int) -> list[str]:
        index = operator.source(which)
        return [_name(index), *self.scale(index)]

    def weights(self, operator: Operator, order: tuple[int, ...]) -> list[str]:
        index = operator.source(1)
        values = self.network.constant(operator, 1).transpose(order)
        return [self.constant(_name(index), values), *self.scale(index)]

    def bias(self, operator: Operator, count: int) -> str:
        has_one = len(operator.inputs) > 2 and operator.inputs[2] is not None
        values = self.network.constant(operator, 2) if has_one else np.zeros(count, np.int32)
        return self.constant(f"{_name(operator.outputs[0])}_bias", values)

    def checked(self, operator: Operator) -> tuple[Tensor, Tensor]:
        """What it reads and writes; an activation must be what int8 does by itself."""
        y = self.network.written(operator)
        if activation_range(operator, y) != (-128, 127):
            raise ValueError(f"{operator} has limits of its own: {activation_range(operator, y)}")
        return self.network.read(operator, 0), y


def _channels_first(values: np.ndarray) -> np.ndarray:
    return values.transpose(_MOVED.get(values.ndim, range(values.ndim)))


def _name(index: int) -> str:
    return f"t{index}"
