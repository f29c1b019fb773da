"""Takes out of an ONNX graph what only costs bytes.

The names, shapes and notes an exporter leaves are a tenth of a small int8 file.
"""

import itertools
from collections.abc import Iterator
from typing import Any

from lilliput.export.onnx.dialect import Dialect
from lilliput.export.onnx.pack import pack
from lilliput.export.onnx.palette import share
from lilliput.export.onnx.rewrite import rewrite
from lilliput.export.onnx.weights import open_weights

__all__ = ["strip"]

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

# Values an operator takes anyway where the attribute is left out.
# Source: the ONNX operator specifications, opset 20.
_DEFAULTS: dict[str, object] = {
    "auto_pad": "NOTSET",
    "group": 1,
    "alpha": 1.0,
    "beta": 1.0,
    "ceil_mode": 0,
    "storage_order": 0,
    "count_include_pad": 0,
    "noop_with_empty_axes": 0,
    "saturate": 1,
    "block_size": 0,
}
_DEFAULTS_OF: dict[str, dict[str, object]] = {
    "DequantizeLinear": {"axis": 1},
    "QuantizeLinear": {"axis": 1},
    "Gemm": {"transA": 0, "transB": 0},
    "ReduceMean": {"keepdims": 1},
    "ReduceSum": {"keepdims": 1},
    "ReduceMax": {"keepdims": 1},
    "Reshape": {"allowzero": 0},
    "Flatten": {"axis": 1},
    "Pad": {"mode": "constant"},
    "Softmax": {"axis": -1},
    "Gelu": {"approximate": "none"},
    "LayerNormalization": {"axis": -1, "epsilon": 1e-5, "stash_type": 1},
}
_NOT_IN = {"alpha": {"LeakyRelu", "Elu", "HardSigmoid", "Selu", "ThresholdedRelu", "Celu"}}
_SPATIAL = {"Conv", "ConvTranspose", "MaxPool", "AveragePool"}


def strip(model: Any, dialect: Dialect) -> dict[str, str]:
    """Changes an `onnx_ir` model in place.

    Inputs keep their names; outputs are called `output`, `output_1`, ...

    Returns:
        The name each value had, by the short one it has now.
    """
    import onnx_ir as ir
    from onnx_ir.passes import common

    ir.passes.Sequential(
        common.IdentityEliminationPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.CommonSubexpressionEliminationPass(),
    )(model)
    rewrite(model.graph)
    share(model, dialect)
    open_weights(model)
    ir.passes.Sequential(
        common.CommonSubexpressionEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.DeduplicateInitializersPass(),
        common.ClearMetadataAndDocStringPass(),
        common.RemoveUnusedFunctionsPass(),  # type: ignore[no-untyped-call]
        common.RemoveUnusedOpsetsPass(),
    )(model)
    model.producer_name = model.producer_version = None
    graph = model.graph
    graph.name = "g"
    for node in graph:
        _drop_defaults(node)
        node.name = ""
        for value in node.outputs:
            value.type = value.type if value.is_graph_output() else None
            value.shape = value.shape if value.is_graph_output() else None
    pack(model, dialect.fewest_bits)
    return _rename(graph)


def _drop_defaults(node: Any) -> None:
    defaults = {**_DEFAULTS, **_DEFAULTS_OF.get(node.op_type, {})}
    for name, attribute in list(node.attributes.items()):
        if node.op_type in _NOT_IN.get(name, ()):
            continue
        value = attribute.value
        if (name in defaults and value == defaults[name]) or (
            node.op_type in _SPATIAL and _is_spatial_default(node, name, value)
        ):
            del node.attributes[name]


def _is_spatial_default(node: Any, name: str, value: Any) -> bool:
    """Ones and zeros of a convolution, and a kernel's sizes, which its weight has."""
    if name in {"strides", "dilations"}:
        return all(size == 1 for size in value)
    if name in {"pads", "output_padding"}:
        return not any(value)
    return name == "kernel_shape" and node.op_type.startswith("Conv")


def _rename(graph: Any) -> dict[str, str]:
    """Short names for all values, in the order they come; the network's own at both ends."""
    ends = {id(value) for value in [*graph.inputs, *graph.outputs]}
    taken = {value.name for value in graph.inputs}
    names = (name for name in _short_names() if name not in taken)
    was: dict[Any, str] = {}
    values = [*graph.initializers.values(), *(v for node in graph for v in node.outputs)]
    for value in values:
        if id(value) not in ends:
            # two steps, because a short name may be another value's long one
            value.name, was[value] = f"#{len(was)}", value.name
    for value in was:
        value.name = next(names)
    renamed = {value.name: long for value, long in was.items()}
    for index, value in enumerate(graph.outputs):
        name = f"output_{index}" if index else "output"
        if id(value) in {id(x) for x in graph.inputs}:
            continue
        renamed[name] = value.name
        value.name = name
    _name_batch(graph)
    return renamed


def _name_batch(graph: Any) -> None:
    """The one size that may vary is called `batch`; what is computed from it has no name."""
    import onnx_ir as ir

    symbols = {_text(value.shape[0]) for value in graph.inputs if value.shape}
    for value in [*graph.inputs, *graph.outputs]:
        if value.shape is not None:
            texts = [_text(size) for size in value.shape]
            # a symbol that the network's code pinned is a number in writing
            value.shape = ir.Shape(
                int(text) if text.isdigit() else "batch" if text in symbols else None
                for text in texts
            )


def _text(size: Any) -> str:
    return str(size if isinstance(size, int) else size.value)


def _short_names() -> Iterator[str]:
    for length in itertools.count(1):
        for letters in itertools.product(_LETTERS, repeat=length):
            yield "".join(letters)
