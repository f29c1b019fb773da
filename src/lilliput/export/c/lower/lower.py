"""A network as kernel calls."""

from collections.abc import Callable
from dataclasses import replace

from lilliput.core import ExportError, UnsupportedError
from lilliput.export.c.lower import convolutions, elementwise, movement, pools, resize
from lilliput.export.c.lower.softmax import softmax
from lilliput.export.c.lower.step import Program, Step, check_same_scale
from lilliput.export.c.lower.tables import TABLES, table
from lilliput.export.c.network import Network, Operator

__all__ = ["lower"]

_Lower = Callable[[Network, Operator], list[Step]]

_STEPS: dict[str, _Lower] = {
    "CONV_2D": convolutions.convolution,
    "DEPTHWISE_CONV_2D": convolutions.depthwise,
    "FULLY_CONNECTED": convolutions.fully_connected,
    "TRANSPOSE_CONV": convolutions.transposed,
    "ADD": elementwise.added,
    "SUB": elementwise.subtracted,
    "MUL": elementwise.multiplied,
    "AVERAGE_POOL_2D": pools.average,
    "MAX_POOL_2D": pools.maximum,
    "MEAN": pools.mean,
    "SOFTMAX": softmax,
    "LARGEST": pools.largest,
    "CONCATENATION": movement.concatenated,
    "PACK": movement.joined,
    "UNPACK": movement.parted,
    "SPLIT": movement.split,
    "SPLIT_V": movement.split,
    "PAD": movement.padded,
    "PADV2": movement.padded,
    "SLICE": movement.sliced,
    "STRIDED_SLICE": movement.strided,
    "TRANSPOSE": movement.transposed_axes,
    "RESIZE_NEAREST_NEIGHBOR": resize.nearest,
    "RESIZE_BILINEAR": resize.bilinear,
    **dict.fromkeys(TABLES, table),
}
_RENAMED = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
"""Operators after which the bytes lie as before."""


def lower(network: Network) -> Program:
    """Kernel calls, in order.

    Raises:
        UnsupportedError: An operator that no kernel does; names all of them.
        ExportError: Sizes do not fit one another.
    """
    unknown = [o for o in network.operators if o.kind not in (*_STEPS, *_RENAMED)]
    if unknown:
        named = ", ".join(str(operator) for operator in unknown)
        known = sorted(
            kind for kind in (*_STEPS, *_RENAMED) if kind.isidentifier() and kind != "LARGEST"
        )
        raise UnsupportedError(f"no C for {named}; what there is: {', '.join(known)}")
    steps: list[Step] = []
    places: dict[int, int] = {}
    for operator in network.operators:
        source = operator.inputs[0] if operator.inputs else None
        if operator.kind in _RENAMED and source is not None:
            x, y = network.read(operator, 0), network.written(operator)
            check_same_scale(operator, x, y)
            if x.count != y.count:
                raise ExportError(f"{operator}: {list(x.shape)} is no {list(y.shape)}")
            places[operator.outputs[0]] = source
        else:
            steps += _lowered(network, operator)
    numbered = (replace(step, layer=number) for number, step in enumerate(steps))
    program = Program(network, tuple(numbered), places)
    _check_outputs(program)
    return program


def _check_outputs(program: Program) -> None:
    """Each output is written by some step, into a buffer of its own."""
    written = {program.place_of(step.writes) for step in program.steps}
    outputs = [program.place_of(tensor) for tensor in program.network.outputs]
    for place in outputs:
        if place not in written or outputs.count(place) > 1:
            name = program.network.tensors[place].name
            raise UnsupportedError(
                f"an output is {name!r} as it is, which is an input, a constant or another "
                "output; leave it out, since the caller has it"
            )


def _lowered(network: Network, operator: Operator) -> list[Step]:
    try:
        return _STEPS[operator.kind](network, operator)
    except (ValueError, LookupError, ArithmeticError, TypeError) as error:
        raise ExportError(
            f"{operator} is damaged: {error or type(error).__name__}; its inputs have the shapes "
            f"{[list(network.tensors[i].shape) for i in operator.inputs if i is not None]}"
        ) from error
