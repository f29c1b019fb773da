"""Files made by hand, tensor by tensor, against the quantizers they are to have come from."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from torch import fx, nn

from lilliput.core import ExportError, IntegerType, PerChannel, QuantizationRules
from lilliput.export.litert.check import check_scales
from lilliput.quantize import FakeQuantize, quantizers
from lilliput.targets import get_target

RULES = get_target("litert-cpu").rules
assert RULES is not None
FLOAT, INT8 = schema.TensorType.FLOAT32, schema.TensorType.INT8
OPERATORS = schema.BuiltinOperator


@pytest.fixture
def module() -> fx.GraphModule:
    """`relu(x @ weight)` between quantizers, each of a scale of its own."""
    holder = nn.Module()
    weight = IntegerType(is_symmetric=True, granularity=PerChannel())
    holder.x, holder.y = FakeQuantize(IntegerType()), FakeQuantize(IntegerType())
    holder.w = FakeQuantize(weight, axis=0, channels=2)
    holder.weight = nn.Parameter(torch.tensor([[1.0, -2.0, 0.5], [0.1, 0.3, -0.2]]))
    holder.x.set_range(torch.tensor([-1.0]), torch.tensor([3.0]))
    holder.y.set_range(torch.tensor([0.0]), torch.tensor([7.0]))
    holder.w.set_range(torch.tensor([-2.0, -0.3]), torch.tensor([2.0, 0.3]))
    graph = fx.Graph()
    x = graph.call_module("x", (graph.placeholder("input"),))
    w = graph.call_module("w", (graph.get_attr("weight"),))
    product = graph.call_function(torch.ops.aten.linear.default, (x, w))
    relu = graph.call_function(torch.ops.aten.relu.default, (product,))
    graph.output(graph.call_module("y", (relu,)))
    return fx.GraphModule(holder, graph)


def tensor(name: str, scale: Any, point: int = 0, buffer: int = 0, kind: int = INT8) -> Any:
    made = schema.TensorT()
    made.name, made.type, made.buffer, made.shape = name.encode(), kind, buffer, [1]
    if scale is not None:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale = np.array(scale, np.float32).ravel()
        made.quantization.zeroPoint = np.full(np.size(scale), point, np.int64)
    return made


def operator(code: int, inputs: list[int], output: int) -> Any:
    made = schema.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = code, inputs, [output]
    return made


def file_of_tensors(tensors: list[Any]) -> Any:
    """A file that knows a layer and QUANTIZE, and has no operator yet."""
    file, graph = schema.ModelT(), schema.SubGraphT()
    file.operatorCodes = []
    for builtin in (OPERATORS.FULLY_CONNECTED, OPERATORS.QUANTIZE):
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = builtin
        file.operatorCodes.append(code)
    empty, weight = schema.BufferT(), schema.BufferT()
    weight.data = np.zeros(6, np.uint8)
    file.buffers, file.subgraphs = [empty, weight], [graph]
    graph.tensors = tensors
    return file


def file_of(module: fx.GraphModule) -> Any:
    """What a converter should make: one fused layer, from the input's integers to the output's."""
    made = {name: (q.scale.numpy(), int(q.zero_point[0])) for name, q in quantizers(module).items()}
    file = file_of_tensors(
        [
            tensor("input", *made["x"]),
            tensor("weight", *made["w"], buffer=1),
            tensor("output", *made["y"]),
        ]
    )
    file.subgraphs[0].operators = [operator(0, [0, 1], 2)]
    return file


def test_a_file_with_every_scale_passes(module: fx.GraphModule) -> None:
    check_scales(module, file_of(module), RULES)


@pytest.mark.parametrize(("index", "quantizer"), [(0, "x"), (1, "w"), (2, "y")])
@pytest.mark.parametrize("how", ["scale", "zero point", "float"])
def test_a_lost_scale_is_refused_by_name(
    module: fx.GraphModule, index: int, quantizer: str, how: str
) -> None:
    file = file_of(module)
    lost = file.subgraphs[0].tensors[index]
    if how == "scale":
        lost.quantization.scale = lost.quantization.scale * np.float32(1.01)
    elif how == "zero point":
        lost.quantization.zeroPoint = lost.quantization.zeroPoint + 1
    else:
        lost.type, lost.quantization = FLOAT, None
    with pytest.raises(ExportError, match=f"lost the scale of '{quantizer}'"):
        check_scales(module, file, RULES)


def test_one_lost_channel_of_a_weight_is_refused(module: fx.GraphModule) -> None:
    file = file_of(module)
    file.subgraphs[0].tensors[1].quantization.scale[1] *= 2
    with pytest.raises(ExportError, match="lost the scale of 'w'"):
        check_scales(module, file, RULES)


def test_a_foreign_scale_is_refused_by_name(module: fx.GraphModule) -> None:
    file = file_of(module)
    file.subgraphs[0].tensors.append(tensor("inside", 0.125, 3))
    with pytest.raises(ExportError, match=r"'inside' has a scale in the file that no quantizer"):
        check_scales(module, file, RULES)


@pytest.mark.parametrize(
    "add",
    [
        lambda tensors: tensors.append(tensor("softmax", 1 / 256, -128)),  # fixed by the runtime
        lambda tensors: tensors.append(tensor("bias", 0.125, kind=schema.TensorType.INT32)),
        lambda tensors: tensors.append(tensor("float", None, kind=FLOAT)),
    ],
)
def test_scales_that_are_nobodys_choice_pass(
    module: fx.GraphModule, add: Callable[[list[Any]], None]
) -> None:
    file = file_of(module)
    add(file.subgraphs[0].tensors)
    check_scales(module, file, RULES)


def test_the_last_bit_of_a_scale_may_differ(module: fx.GraphModule) -> None:
    file = file_of(module)
    scales = file.subgraphs[0].tensors[1].quantization
    scales.scale = np.nextafter(scales.scale, np.float32(1))
    check_scales(module, file, RULES)


def test_a_layer_that_runs_in_floats_between_right_scales_is_refused(
    module: fx.GraphModule,
) -> None:
    """The output is quantized only after a float layer has run."""
    file = file_of(module)
    graph = file.subgraphs[0]
    graph.tensors.append(tensor("product", None, kind=FLOAT))
    graph.operators = [operator(0, [0, 1], 3), operator(1, [3], 2)]
    with pytest.raises(ExportError, match=r"'relu_default' \(linear\) would run in floats"):
        check_scales(module, file, RULES)
    check_scales(module, file, QuantizationRules())


def test_moving_integers_does_not_make_them(module: fx.GraphModule) -> None:
    """The output of a float layer is quantized and moved once more."""
    file = file_of(module)
    graph = file.subgraphs[0]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = OPERATORS.TRANSPOSE
    file.operatorCodes.append(code)
    graph.tensors.append(tensor("product", None, kind=FLOAT))
    output = graph.tensors[2].quantization
    graph.tensors.append(tensor("moved", output.scale, int(output.zeroPoint[0])))
    graph.operators = [operator(0, [0, 1], 3), operator(1, [3], 2), operator(2, [2], 4)]
    with pytest.raises(ExportError, match=r"'relu_default' \(linear\) would run in floats"):
        check_scales(module, file, RULES)


def test_an_operator_without_weights_may_run_in_floats_and_is_named() -> None:
    holder = nn.Module()
    holder.x, holder.y = FakeQuantize(IntegerType()), FakeQuantize(IntegerType())
    holder.x.set_range(torch.tensor([-1.0]), torch.tensor([3.0]))
    holder.y.set_range(torch.tensor([0.0]), torch.tensor([7.0]))
    graph = fx.Graph()
    x = graph.call_module("x", (graph.placeholder("input"),))
    graph.output(graph.call_module("y", (graph.call_function(torch.ops.aten.mean.dim, (x, [1])),)))
    module = fx.GraphModule(holder, graph)
    made = {name: (q.scale.numpy(), int(q.zero_point[0])) for name, q in quantizers(module).items()}
    file = file_of_tensors([tensor("input", *made["x"]), tensor("output", *made["y"])])
    file.subgraphs[0].operators = [operator(0, [0], 1)]
    assert check_scales(module, file, RULES) == ()
    file.subgraphs[0].tensors.append(tensor("mean", None, kind=FLOAT))
    file.subgraphs[0].operators = [operator(0, [0], 2), operator(1, [2], 1)]
    assert check_scales(module, file, RULES) == ("'mean_dim' (mean)",)


def test_an_operator_that_reads_floats_is_not_asked_for_integers() -> None:
    """A mean of floats, quantized for its reader, is as the network has it."""
    holder = nn.Module()
    holder.y = FakeQuantize(IntegerType())
    holder.y.set_range(torch.tensor([0.0]), torch.tensor([7.0]))
    graph = fx.Graph()
    mean = graph.call_function(torch.ops.aten.mean.dim, (graph.placeholder("input"), [1]))
    graph.output(graph.call_module("y", (mean,)))
    module = fx.GraphModule(holder, graph)
    scale, point = holder.y.scale.numpy(), int(holder.y.zero_point[0])
    tensors = [tensor("input", None, kind=FLOAT), tensor("mean", None, kind=FLOAT)]
    file = file_of_tensors([*tensors, tensor("output", scale, point)])
    file.subgraphs[0].operators = [operator(0, [0], 1), operator(1, [1], 2)]
    assert check_scales(module, file, RULES) == ()


def test_a_quantizer_that_does_not_act_asks_for_nothing(module: fx.GraphModule) -> None:
    file = file_of(module)
    module.y.is_enabled = False
    file.subgraphs[0].tensors[2] = tensor("output", None, kind=FLOAT)
    check_scales(module, file, RULES)
