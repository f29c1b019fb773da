"""Whether an ExecuTorch file runs in integers where the network has quantizers, with their scales.

Without it an operator whose pairs the partitioner does not find would run in floats, or outside
XNNPACK, and nothing would say so.
"""

import torch
from torch import Tensor, fx

from lilliput.core import ExportError, QuantizationRules
from lilliput.export.executorch.file import Contents, Node, Value
from lilliput.export.integers import Integers
from lilliput.quantize.numbers.fake import FakeQuantize
from lilliput.quantize.placing.scheme import Weighted, kernel_of, weighted_operators

__all__ = ["check_scales"]

_ACTIVATION = "qint8"
_RUN_TIME = "qdint8"
_BIASES = frozenset({"qint32", "qcint32"})
# these give the integers that they read, or make integers of floats and back
_MOVES = frozenset(
    {
        "Convert", "StaticTranspose", "StaticReshape", "StaticSlice", "StaticConstantPad", "Copy",
        "MaxPooling2d", "Clamp", "Concatenate2", "Concatenate3", "Concatenate4", "Concatenate5",
    }
)  # fmt: skip

Grid = tuple[bytes, int]
_ONE: Grid = (torch.ones(1).numpy().tobytes(), 0)
"""Of the weights that take every other row or column."""


def check_scales(
    module: fx.GraphModule, file: Contents, rules: QuantizationRules | None
) -> tuple[str, ...]:
    """Compares the scales of the file with those of the network's quantizers.

    Args:
        module: The captured network with its quantizers.
        file: What was written.
        rules: Say which operators are to run in integers, and how wide weights are in the file.

    Returns:
        Operators without weights that run in floats though they read and give integers.

    Raises:
        ExportError: A scale was lost or is not ours, or a convolution or linear operator does not
            run in XNNPACK's integers; names it.
    """
    integers = Integers(module, rules or QuantizationRules())
    quantizers = dict(integers.quantizers())
    for found in weighted_operators(module):
        if found.scheme != "weights":
            _check_weight(found, file, rules)
    held = {_grid(value) for node in file.nodes for value in (*node.inputs, node.output)}
    ours = {_ONE, *(_grid_of(quantizer) for quantizer in quantizers.values())}
    for node, quantizer in quantizers.items():
        if "is_weight" not in node.meta and _grid_of(quantizer) not in held:
            raise ExportError(f"the file lost the scale of {node.target!r}: it would run in floats")
    for each in file.nodes:
        for value in (*each.inputs, each.output, *([each.weight] if each.weight else [])):
            if value.scale and value.kind not in _BIASES and _grid(value) not in ours:
                raise ExportError(f"{each.kind} has a scale in the file that no quantizer has")
    return tuple(_in_floats(integers, quantizers, file)) if rules else ()


def _check_weight(found: Weighted, file: Contents, rules: QuantizationRules | None) -> None:
    """That an operator with that weight runs in integers, and stores what the tables say."""
    grid = _grid_of(found.quantizer)
    reads = _RUN_TIME if found.scheme == "dynamic" else _ACTIVATION
    nodes = [n for n in file.nodes if n.weight is not None and _grid(n.weight) == grid]
    name = f"{found.layer!r} ({found.operator})"
    if not any(_runs(node, reads) for node in nodes):
        raise ExportError(f"{name} would run in floats in the file, or outside XNNPACK")
    kernel = kernel_of(found, rules) if rules is not None else None
    wanted = kernel.stored(found.quantizer.type.bits) if kernel else 8
    kinds = {node.weight.kind for node in nodes if node.weight is not None}
    if wanted == 4 and not any(kind.endswith("4") for kind in kinds):
        raise ExportError(f"{name} has no weights of 4 bits in the file")


def _runs(node: Node, reads: str) -> bool:
    gives = node.output.kind
    return node.inputs[0].kind == reads and (reads == _RUN_TIME or gives == _ACTIVATION)


def _in_floats(
    integers: Integers, quantizers: dict[fx.Node, FakeQuantize], file: Contents
) -> list[str]:
    made = {_grid(node.output) for node in file.nodes if node.kind not in _MOVES}
    makers = integers.makers()
    names = []
    for node, quantizer in quantizers.items():
        source = node.all_input_nodes[0]
        if source in makers and _grid_of(quantizer) not in made:
            names.append(f"{source.name!r} ({makers[source]})")
    return names


def _grid(value: Value) -> Grid:
    return value.scale, value.zero_point


def _grid_of(quantizer: FakeQuantize) -> Grid:
    """As the file holds it: groups of four bits have scales of 16."""
    scale: Tensor = quantizer.scale.detach()
    if quantizer.group_size:
        return scale.to(torch.bfloat16).view(torch.int16).numpy().tobytes(), 0
    point = int(quantizer.zero_point.view(-1)[0])
    return scale.numpy().tobytes(), point
