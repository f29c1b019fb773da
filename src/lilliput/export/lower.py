"""From a network with quantizers to one whose graph says quantize and dequantize.

Converters know `torch.ops.quantized_decomposed.*` pairs and keep their scales. They differ in what
they want for constants: ONNX the stored integers and a dequantize, LiteRT the float values that lie
on the grid already, quantized and dequantized.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, fx

from lilliput.core import ExportError, IntegerType, Model
from lilliput.export.lower_weights import lower_lookup, lower_run_time
from lilliput.graph import operator_of
from lilliput.quantize.numbers.dynamic_range import DynamicQuantize
from lilliput.quantize.numbers.fake import FakeQuantize, settle_all
from lilliput.quantize.placing.scheme import weighted_operators

__all__ = ["constants_of", "evaluate", "is_quantized", "lower"]

_Form = Literal["codes", "pair", "plain"]


def is_quantized(model: Model) -> bool:
    """Whether the network has quantizers that act."""
    return any(
        isinstance(part, FakeQuantize) and part.is_enabled for part in model.module.modules()
    )


def lower(model: Model, stores_integers: bool, clips_codes: bool | None = None) -> Model:
    """Puts quantize/dequantize pairs in the place of each quantizer, with its scale.

    Args:
        model: A captured network, as `QuantizeStatic` and `QuantizeAware` leave it; not changed.
        stores_integers: Constants become integers and a dequantize, instead of floats on the grid,
            a quantize and a dequantize.
        clips_codes: Activations of few bits are clipped as codes, instead of as reals between two
            pairs; None for as constants are stored.

    Raises:
        ExportError: The quantizers stand in a network that was never captured.
    """
    # the registration of the operators is this import's only effect
    from torch.ao.quantization.fx import _decomposed  # noqa: F401

    model = model.clone()
    module = model.module
    if not isinstance(module, fx.GraphModule):
        raise ExportError(
            f"{type(module).__name__} holds quantizers but is no captured network; only those that "
            "QuantizeStatic or QuantizeAware put in can be exported"
        )
    settle_all(module)
    if stores_integers:
        lower_run_time(module, lambda node: evaluate(module, node))
    else:
        _read_integer_inputs(module)
    constants = constants_of(module.graph)
    read_with_floats = {
        weight
        for found in weighted_operators(module)
        if found.scheme != "static"
        for weight in found.node.all_input_nodes
    }
    for node in list(module.graph.nodes):
        part = module.get_submodule(node.target) if node.op == "call_module" else None
        source = node.args[0] if node.args else None
        if isinstance(part, DynamicQuantize) or (
            isinstance(part, FakeQuantize) and not part.is_enabled
        ):
            node.replace_all_uses_with(source)
            module.graph.erase_node(node)
        elif isinstance(part, FakeQuantize) and source in constants:
            is_plain = _is_transposed(node) or node in read_with_floats
            form: _Form = "plain" if is_plain else "pair"
            _lower_constant(module, node, part, "codes" if stores_integers else form)
        elif isinstance(part, FakeQuantize):
            clips = stores_integers if clips_codes is None else clips_codes
            _lower_activation(module, node, part, clips)
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    _drop_unused(module)
    module.recompile()
    return replace(model, module=module.eval())


def _lower_constant(
    module: fx.GraphModule, node: fx.Node, quantizer: FakeQuantize, form: _Form
) -> None:
    """Puts a weight's integers in the place of its quantizer."""
    source = node.args[0]
    assert isinstance(source, fx.Node)  # noqa: S101
    value = quantizer(evaluate(module, source)).detach()
    if not lower_lookup(module, node, value):
        with module.graph.inserting_before(node):
            constant = _constant(module, node.name, value, quantizer, form)
        constant.meta = dict(node.meta)
        node.replace_all_uses_with(constant)
    module.graph.erase_node(node)


def _lower_activation(
    module: fx.GraphModule, node: fx.Node, quantizer: FakeQuantize, clips_codes: bool
) -> None:
    """Puts a pair in the place of a quantizer, clipped where bytes hold more codes than it has."""
    source = node.args[0]
    assert isinstance(source, fx.Node)  # noqa: S101
    with module.graph.inserting_before(node):
        pair = _pair(module, node.name, source, quantizer)
        if quantizer.type.bits not in {8, 16}:
            clip = _clip_codes if clips_codes else _clip_reals
            pair = clip(module, node.name, pair, quantizer)
    pair.meta = dict(node.meta)
    node.replace_all_uses_with(pair)
    module.graph.erase_node(node)


def _read_integer_inputs(module: fx.GraphModule) -> None:
    """A file whose input is integer has no other: all readers of a quantized input read that."""
    for node in [node for node in module.graph.nodes if node.op == "placeholder"]:
        quantized = [
            user
            for user in node.users
            if user.op == "call_module"
            and isinstance(module.get_submodule(str(user.target)), FakeQuantize)
        ]
        if quantized:
            first = quantized[0]
            last_input = [n for n in module.graph.nodes if n.op == "placeholder"][-1]
            last_input.append(first)
            for user in list(node.users):
                if user not in quantized:
                    user.replace_input_with(node, first)


def constants_of(graph: fx.Graph) -> set[fx.Node]:
    """Nodes that depend on parameters and buffers alone."""
    constants: set[fx.Node] = set()
    for node in graph.nodes:
        inputs = node.all_input_nodes
        is_derived = node.op == "call_function" and inputs and constants.issuperset(inputs)
        if node.op == "get_attr" or is_derived:
            constants.add(node)
    return constants


def evaluate(module: fx.GraphModule, node: fx.Node) -> Tensor:
    """The value of a constant node."""
    if node.op == "get_attr":
        value = module
        for name in str(node.target).split("."):
            value = getattr(value, name)
        assert isinstance(value, Tensor)  # noqa: S101
        return value.detach()
    assert callable(node.target)  # noqa: S101
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: evaluate(module, n))
    result = node.target(*args, **kwargs)
    assert isinstance(result, Tensor)  # noqa: S101
    return result


def _is_transposed(node: fx.Node) -> bool:
    """Whether a weight goes into transposed convolutions only.

    LiteRT's converter turns their weights round and loses a pair on the way, but gives a plain
    constant the scale of its largest value: ours, since the largest is code 127. `check_scales`
    refuses the file where it is not.
    """
    return all(operator_of(user).startswith("conv_transpose") for user in node.users)


def _constant(
    module: fx.GraphModule, name: str, value: Tensor, quantizer: FakeQuantize, form: _Form
) -> fx.Node:
    """A constant whose `value` lies on the quantizer's grid."""
    if form != "codes":
        node = _buffer(module, f"{name}_value", value)
        return _pair(module, name, node, quantizer) if form == "pair" else node
    scale = quantizer.spread(quantizer.scale, value)
    zero_point = quantizer.spread(quantizer.zero_point, value)
    codes = (torch.round(value / scale) + zero_point).to(_dtype(quantizer.type))
    if quantizer.group_size:
        return _grouped(module, name, codes, quantizer)
    node = _buffer(module, f"{name}_codes", codes)
    _, dequantize, arguments = _operators(module, name, quantizer)
    return module.graph.call_function(dequantize, (node, *arguments))


def _grouped(module: fx.GraphModule, name: str, codes: Tensor, quantizer: FakeQuantize) -> fx.Node:
    """Each group is a channel while it is dequantized."""
    node = _buffer(module, f"{name}_codes", quantizer.rows(codes))
    _, dequantize, arguments = _operators(module, name, quantizer)
    rows = module.graph.call_function(dequantize, (node, *arguments))
    view = torch.ops.aten.view.default
    return module.graph.call_function(view, (rows, list(codes.shape)))


def _pair(module: fx.GraphModule, name: str, source: fx.Node, quantizer: FakeQuantize) -> fx.Node:
    quantize, dequantize, arguments = _operators(module, name, quantizer)
    codes = module.graph.call_function(quantize, (source, *arguments))
    return module.graph.call_function(dequantize, (codes, *arguments))


def _clip_codes(module: fx.GraphModule, _: str, pair: fx.Node, quantizer: FakeQuantize) -> fx.Node:
    """Keeps the codes of a pair within few bits: files hold them in bytes, which end at 255."""
    codes = pair.args[0]
    limits = (codes, quantizer.type.low, quantizer.type.high)
    with module.graph.inserting_before(pair):
        clipped = module.graph.call_function(torch.ops.aten.clamp.default, limits)
    pair.update_arg(0, clipped)
    return pair


def _clip_reals(
    module: fx.GraphModule, name: str, pair: fx.Node, quantizer: FakeQuantize
) -> fx.Node:
    """The same between two pairs of one scale, where the converter makes integers of it."""
    kind, scale, zero_point = quantizer.type, float(quantizer.scale), int(quantizer.zero_point)
    limits = ((kind.low - zero_point) * scale, (kind.high - zero_point) * scale)
    clipped = module.graph.call_function(torch.ops.aten.clamp.default, (pair, *limits))
    return _pair(module, name, clipped, quantizer)


def _operators(
    module: fx.GraphModule, name: str, quantizer: FakeQuantize
) -> tuple[Callable[..., Any], Callable[..., Any], tuple[Any, ...]]:
    """Quantize, dequantize, and what both take after their tensor."""
    kind, ops = quantizer.type, torch.ops.quantized_decomposed
    limits = (kind.low, kind.high, _dtype(kind))
    if quantizer.axis is None:
        point = (float(quantizer.scale), int(quantizer.zero_point))
        return ops.quantize_per_tensor, ops.dequantize_per_tensor, (*point, *limits)
    scale = _buffer(module, f"{name}_scale", quantizer.scale.detach())
    zero_point = _buffer(module, f"{name}_zero_point", quantizer.zero_point.to(torch.int64))
    axis = 0 if quantizer.group_size else quantizer.axis
    arguments = (scale, zero_point, axis, *limits)
    return ops.quantize_per_channel, ops.dequantize_per_channel, arguments


def _dtype(kind: IntegerType) -> torch.dtype:
    if kind.bits <= 8:
        return torch.int8 if kind.is_signed else torch.uint8
    return torch.int16 if kind.is_signed else torch.uint16


def _buffer(module: fx.GraphModule, name: str, value: Tensor) -> fx.Node:
    module.register_buffer(name, value.clone())
    return module.graph.get_attr(name)


def _drop_unused(module: fx.GraphModule) -> None:
    """Float weights whose place integers took."""
    used = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    called = tuple(f"{node.target}." for node in module.graph.nodes if node.op == "call_module")
    for name, _ in [*module.named_parameters(), *module.named_buffers()]:
        if name not in used and not name.startswith(called):
            owner, _, leaf = name.rpartition(".")
            delattr(module.get_submodule(owner), leaf)
