"""A traced network in the words that Apple's converter takes rightly.

Source: coremltools 9.0: `max_pool2d` wants arguments that torch.export leaves out where they are
the defaults, and `zeros_like` overlooks the type it is asked for, so that a mask added to scores
would become the mask of what to attend to, turned round. `clip` takes no bytes.
"""

from typing import cast

import torch
from torch import fx
from torch.export import ExportedProgram

from lilliput.export.quiet import quiet

__all__ = ["prepare"]

Limits = tuple[int, int]
_LIKE = {
    torch.ops.aten.zeros_like.default: 0,
    torch.ops.aten.ones_like.default: 1,
}
_CLAMP = torch.ops.aten.clamp.default
_QUANTIZE = "quantized_decomposed.quantize_per_tensor.default"


def prepare(program: ExportedProgram) -> ExportedProgram:
    """The same program; one that stands for itself, to be changed freely."""
    with quiet():  # it warns of PyTorch's own use of what PyTorch has deprecated
        program = program.run_decompositions({})
    for node in list(program.graph.nodes):
        if node.target in _LIKE:
            _fill(program.graph, node, _LIKE[node.target])
        elif node.target == _CLAMP and str(node.all_input_nodes[0].target) == _QUANTIZE:
            _clip_before(program.graph, node)
        elif isinstance(node.target, torch._ops.OpOverload):  # noqa: SLF001
            _write_out(node, node.target)
    program.graph_module.recompile()
    return program


def _write_out(node: fx.Node, operator: torch._ops.OpOverload) -> None:
    """Adds the positional arguments that were left out."""
    arguments = operator._schema.arguments[len(node.args) :]  # noqa: SLF001
    for argument in arguments:
        if argument.kwarg_only or argument.name in node.kwargs or not argument.has_default_value():
            break
        node.args = (*node.args, argument.default_value)


def _fill(graph: fx.Graph, node: fx.Node, value: int) -> None:
    """A tensor of a number and of a size known here, in the type that was asked for."""
    like = node.meta["val"]
    with graph.inserting_before(node):
        filled = graph.call_function(
            torch.ops.aten.full.default, (list(like.shape), value), {"dtype": like.dtype}
        )
    filled.meta = dict(node.meta)
    node.replace_all_uses_with(filled)
    graph.erase_node(node)


def _clip_before(graph: fx.Graph, node: fx.Node) -> None:
    """Codes end where the numbers that they come from do."""
    quantize = node.all_input_nodes[0]
    source = quantize.all_input_nodes[0]
    scale, zero_point = cast("float", quantize.args[1]), cast("int", quantize.args[2])
    low, high = ((limit - zero_point) * scale for limit in cast("Limits", node.args[1:3]))
    with graph.inserting_before(quantize):
        clipped = graph.call_function(_CLAMP, (source, low, high))
    clipped.meta = dict(source.meta)
    quantize.update_arg(0, clipped)
    node.replace_all_uses_with(quantize)
    graph.erase_node(node)
