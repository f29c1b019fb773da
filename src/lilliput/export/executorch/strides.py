"""Every other row or column of images as XNNPACK has it: it slices without steps only.

Left outside, a slice would part the network in two pieces, with floats between them.
"""

import sys

import torch
from torch import fx

from lilliput.export.executorch.pairs import is_dequantize, is_quantize

__all__ = ["convolve_steps"]

_ATEN = torch.ops.aten


def convolve_steps(module: fx.GraphModule) -> None:
    """Makes slices with steps, between pairs of one scale, depthwise convolutions by code 1.

    Each weight is code 1 of scale 1: sums are the codes that they read, and stay so.

    Args:
        module: A network with quantize/dequantize pairs; changed in place.
    """
    for node in list(module.graph.nodes):
        if _skips(node):
            step, axis = int(node.args[4]), int(node.args[1])
            channels = int(node.args[0].meta["val"].shape[1])
            name = f"{node.name}_ones"
            module.register_buffer(name, torch.ones(channels, 1, 1, 1, dtype=torch.int8))
            stride = [step, 1] if axis == 2 else [1, step]
            with module.graph.inserting_before(node):
                codes = module.graph.get_attr(name)
                ones = module.graph.call_function(
                    torch.ops.quantized_decomposed.dequantize_per_tensor,
                    (codes, 1.0, 0, -127, 127, torch.int8),
                )
                arguments = (node.args[0], ones, None, stride, [0, 0], [1, 1], channels)
                convolution = module.graph.call_function(_ATEN.conv2d.default, arguments)
            convolution.meta = dict(node.meta)
            node.replace_all_uses_with(convolution)
            module.graph.erase_node(node)
    module.graph.lint()
    module.recompile()


def _skips(node: fx.Node) -> bool:
    """Whether it takes every n-th row or column of images from the first on, codes as they are."""
    if node.op != "call_function" or node.target != _ATEN.slice.Tensor or len(node.args) < 5:
        return False
    source, axis, start, end, step = node.args
    if not isinstance(source, fx.Node) or not is_dequantize(source) or len(node.users) != 1:
        return False
    value, (reader,) = source.meta.get("val"), node.users
    if value is None or value.dim() != 4 or axis not in {2, 3} or step == 1:
        return False
    ends = sys.maxsize if end is None else end
    is_whole = start in {0, None} and isinstance(ends, int) and ends >= value.shape[axis]
    return is_whole and is_quantize(reader) and reader.args[1:] == source.args[1:]
