"""Floats at the ends of an int8 file and between its integers, where C can do without."""

from collections import Counter
from dataclasses import replace

from lilliput.export.c.lower.tables import TABLES
from lilliput.export.c.network import Network, Operator

__all__ = ["with_float_functions", "without_float_ends"]


def without_float_ends(network: Network) -> Network:
    """Floats that are quantized at once, or come from integers at last, are the caller's."""
    ends = {*network.inputs, *network.outputs}
    starts: dict[int, int] = {}
    stops: dict[int, int] = {}
    for operator in network.operators:
        source, result = operator.inputs[:1], operator.outputs[0]
        if not source or source[0] is None:
            continue
        is_start = operator.kind == "QUANTIZE" and source[0] in network.inputs
        if is_start and network.tensors[source[0]].dtype == "float32":
            starts[source[0]] = result
        if operator.kind == "DEQUANTIZE" and result in ends:
            stops[result] = source[0]
    dropped = {*starts.values(), *stops}
    left = [o for o in network.operators if o.outputs[0] not in dropped]
    return Network(
        network.tensors,
        tuple(left),
        tuple(starts.get(index, index) for index in network.inputs),
        tuple(stops.get(index, index) for index in network.outputs),
    )


def with_float_functions(network: Network) -> Network:
    """DEQUANTIZE, a function of one number and QUANTIZE become one operator, which is a table."""
    makers = {o.outputs[0]: o for o in network.operators}
    reads = Counter(index for o in network.operators for index in o.inputs)
    reads.update(network.outputs)
    gone: set[int] = set()
    made: dict[int, Operator] = {}
    for last in network.operators:
        middle = makers.get(last.source()) if last.kind == "QUANTIZE" else None
        first = makers.get(middle.source()) if middle is not None and middle.inputs else None
        if middle is None or first is None or first.kind != "DEQUANTIZE":
            continue
        kind = f"{middle.kind} in floats"
        if kind in TABLES and reads[middle.outputs[0]] == reads[first.outputs[0]] == 1:
            gone |= {first.place, middle.place}
            made[last.place] = replace(middle, kind=kind, inputs=first.inputs, outputs=last.outputs)
    left = (made.get(o.place, o) for o in network.operators if o.place not in gone)
    return replace(network, operators=tuple(left))
