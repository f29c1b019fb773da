"""Numbers put around a map become what a convolution or a pool sees over its edge."""

from dataclasses import replace

from lilliput.export.c.network import Network, Operator

__all__ = ["with_padding_inside"]

_READERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D")
_LEAST = -128
_VALID = 1
_FARTHEST = 127
"""So that all fits the 16 bits of the kernels' settings."""


def with_padding_inside(network: Network) -> Network:
    """The network without `PAD` operators that only such layers read.

    A convolution sees zeros there, which are the zero point, and a pool that takes the largest sees
    the least number there is; other values stay.
    """
    pads = {o.outputs[0]: o for o in network.operators if o.kind in {"PAD", "PADV2"}}
    operators = [_joined(network, pads, operator) for operator in network.operators]
    needed = {*network.outputs, *(t for o in operators for t in o.inputs)}
    left = [o for o in operators if o.outputs[0] in needed or o not in pads.values()]
    return replace(network, operators=tuple(left))


def _joined(network: Network, pads: dict[int, Operator], operator: Operator) -> Operator:
    """The operator on the map inside, told what is around it; or as it is."""
    pad = pads.get(operator.inputs[0] or 0) if operator.inputs else None
    is_valid = int(operator.options.get("padding") or 0) == _VALID
    if pad is None or operator.kind not in _READERS or not is_valid:
        return operator
    around = network.constant(pad, 1).reshape(-1, 2).tolist()
    x, y = network.read(pad, 0), network.written(pad)
    is_flat = len(around) == 4 and around[0] == around[3] == [0, 0]
    is_same = (x.scale, x.zero_point) == (y.scale, y.zero_point)
    unseen = _LEAST if operator.kind == "MAX_POOL_2D" else x.zero_point
    is_near = all(0 <= count <= _FARTHEST for pair in around for count in pair)
    if not (is_flat and is_same and is_near and _value(network, pad) == unseen):
        return operator
    options = {**operator.options, "around": (tuple(around[1]), tuple(around[2]))}
    return replace(operator, inputs=(pad.source(), *operator.inputs[1:]), options=options)


def _value(network: Network, pad: Operator) -> int:
    """What it puts there."""
    if len(pad.inputs) > 2:
        return int(network.constant(pad, 2).reshape(-1)[0])
    return network.written(pad).zero_point
