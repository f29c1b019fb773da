"""Finds the weights of a network that are few values, or integers and scales."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, fx, nn

from lilliput.core import ExportError, Model, QuantizationRules
from lilliput.export.coreml.weights import Blocks, Lookup, NarrowWeight
from lilliput.export.lower_weights import codes_of
from lilliput.quantize.numbers.fake import FakeQuantize
from lilliput.quantize.placing.scheme import kernel_of, weighted_operators
from lilliput.quantize.sharing.cluster import palettes, write_out

__all__ = ["spell_out"]


def spell_out(
    model: Model, rules: QuantizationRules | None
) -> tuple[Model, tuple[NarrowWeight, ...]]:
    """Makes narrow weights plain ones, which every converter understands, and lists what they were.

    Args:
        model: Not changed.
        rules: Of the target; they say how wide weights are in the file.

    Returns:
        The same network, with the same numbers; and the weights.

    Raises:
        ExportError: Scales are shared in a way that the format has no form for.
    """
    lookups = [
        Lookup(name, weight.codes.numpy(), weight.values.float().numpy())
        for name, weight in palettes(model.module).items()
    ]
    model = model.clone()
    write_out(model.module)
    module = model.module
    if not isinstance(module, fx.GraphModule):
        return model, tuple(lookups)
    stored = _stored_bits(module, rules)
    blocks = [_plain(module, call, stored) for call in _weight_calls(module)]
    module.delete_all_unused_submodules()
    module.recompile()
    return replace(model, module=module), (*lookups, *blocks)


def _stored_bits(module: nn.Module, rules: QuantizationRules | None) -> dict[str, int]:
    """How wide the file holds each weight, by its layer."""
    found = {}
    for weighted in weighted_operators(module):
        kernel = kernel_of(weighted, rules) if rules else None
        bits = weighted.quantizer.type.bits
        found[weighted.layer] = kernel.stored(bits) if kernel else 8
    return found


def _weight_calls(module: fx.GraphModule) -> Iterator[fx.Node]:
    for node in list(module.graph.nodes):
        part = module.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(part, FakeQuantize) and part.is_enabled and "is_weight" in node.meta:
            yield node


@torch.no_grad()
def _plain(module: fx.GraphModule, call: fx.Node, stored: dict[str, int]) -> Blocks:
    """Puts the rounded numbers in a quantizer's place."""
    quantizer, source = module.get_submodule(str(call.target)), call.all_input_nodes[0]
    assert isinstance(quantizer, FakeQuantize)  # noqa: S101
    value = _constant(module, str(source.target))
    layer = str(call.target).removesuffix("_quantizer").removesuffix(".weight")
    if bool(quantizer.zero_point.any()):
        raise ExportError(f"the weight of {layer!r} has a zero point other than 0")
    codes, scale = codes_of(value, quantizer).numpy(), _scale(layer, value, quantizer).numpy()
    blocks = Blocks(layer, codes, scale, stored.get(layer, 8))
    name = f"{call.name}_real"
    module.register_buffer(name, torch.from_numpy(blocks.real))
    with module.graph.inserting_before(call):
        plain = module.graph.get_attr(name)
    plain.meta = dict(call.meta)
    call.replace_all_uses_with(plain)
    module.graph.erase_node(call)
    return blocks


def _scale(layer: str, value: Tensor, quantizer: FakeQuantize) -> Tensor:
    """The scales, with as many axes as the weight has.

    A group is neighbours along the last axis of what a channel reads, and all of the axes behind
    it; other groups are no blocks.
    """
    scale = quantizer.scale.detach()
    if quantizer.axis is None:
        return scale.reshape([1] * value.dim())
    if not quantizer.group_size:
        return quantizer.spread(scale, value)
    left, shape = quantizer.group_size, list(value.shape)
    for axis in reversed(range(1, value.dim())):
        size = min(left, shape[axis])
        if left % size or shape[axis] % size:
            raise ExportError(
                f"the weight of {layer!r} has groups of {quantizer.group_size}, which are no "
                f"blocks of its shape {list(value.shape)}"
            )
        left, shape[axis] = left // size, shape[axis] // size
    return scale.reshape(shape)


def _constant(module: nn.Module, name: str) -> Tensor:
    owner, _, leaf = name.rpartition(".")
    value: Tensor = getattr(module.get_submodule(owner), leaf)
    return value.detach()
