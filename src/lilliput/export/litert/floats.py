"""Keeps floats what a network has in floats between its quantizers.

The converter carries scales on its own across whatever does not change a scale, and makes integers
of what lies between: an average of floats would be taken of clipped ones, a concatenation would get
a second scale, and activations made of several operators scales that nobody chose.
"""

from collections.abc import Sequence
from dataclasses import replace
from operator import getitem

from torch import fx

from lilliput.core import Model, QuantizationRules
from lilliput.export.integers import Integers
from lilliput.export.litert.converter import fence
from lilliput.export.lower import constants_of
from lilliput.quantize.placing.open_layers import operator_kind

__all__ = ["keep_floats"]


def keep_floats(model: Model, rules: QuantizationRules) -> Model:
    """Puts fences between integers and floats; what the network computes stays the same.

    Args:
        model: A captured network with quantizers; not changed.
        rules: The rules that these were placed by.

    Raises:
        MissingExtraError: The converter is not installed.
    """
    model = model.clone()
    module = model.module
    assert isinstance(module, fx.GraphModule)  # noqa: S101
    integers = Integers(module, rules)
    constants = constants_of(module.graph)
    nodes = [node for node in module.graph.nodes if node not in constants]
    running = {node for node in nodes if integers.runs(node) and not _averages_parts(module, node)}
    results = {integers.result(node) for node in running}
    for node in nodes:
        if integers.is_quantizer(node) and node.args[0] in constants:
            continue
        readers = integers.readers(node)
        quantized = [user for user in readers if integers.is_quantizer(user)]
        others = [user for user in readers if user.op != "output" and user not in running]
        if integers.gives(node) or (node.op == "placeholder" and quantized):
            _fence(module.graph, node, [user for user in others if not integers.gives(user)])
        elif node.op != "placeholder" and node not in results:
            _fence(module.graph, node, quantized)
    module.recompile()
    return replace(model, module=module)


def _averages_parts(module: fx.GraphModule, node: fx.Node) -> bool:
    """Whether it gives several means of windows, as AVERAGE_POOL_2D does and MEAN does not.

    In integers these have the scale of the input; where a scale of their own is asked for, the
    converter may as well give it to the input, whose peaks are clipped then before the mean.
    """
    sizes = node.args[1:2]
    is_mean = sizes and sizes[0] in (1, [1], [1, 1], (1,), (1, 1))
    return operator_kind(module, node).startswith("adaptive_avg_pool") and not is_mean


def _fence(graph: fx.Graph, node: fx.Node, users: Sequence[fx.Node]) -> None:
    if not users:
        return
    with graph.inserting_after(node):
        fenced = graph.call_function(fence(), ([node, node],))
    with graph.inserting_after(fenced):
        tensor = graph.call_function(getitem, (fenced, 0))
    tensor.meta = dict(node.meta)
    for user in users:
        user.replace_input_with(node, tensor)
