"""Puts narrow weights in the place of the constants that the converter made of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from lilliput.core import ExportError
from lilliput.export.coreml.weights import NarrowWeight
from lilliput.export.format import Array

__all__ = ["halve", "place"]

_WEIGHTED = frozenset({"conv", "conv_transpose", "linear", "matmul", "gather"})
_FEWEST = 64
"""Another operator and its name take about a hundred bytes."""


def place(program: Any, weights: Sequence[NarrowWeight]) -> None:
    """Changes the converter's program.

    Converters rename and turn weights, so a weight is looked for by its numbers.

    Raises:
        ExportError: A weight is nowhere to be found.
    """
    block = program.functions["main"]
    wanted = {
        _key(weight.real.transpose(axes)): (weight, axes) for weight, axes in _turned(weights)
    }
    found = set()
    for operator in list(block.operations):
        value = _float_constant(operator)
        if value is not None and _key(value) in wanted:
            weight, axes = wanted[_key(value)]
            with _beside(block, operator):
                _replace(block, operator, weight.put(axes, operator))
            found.add(_key(weight.real))
    missing = [weight.name for weight in weights if _key(weight.real) not in found]
    if missing:
        raise ExportError(f"the converter's program does not show the weight of {missing[0]!r}")


def halve(program: Any) -> None:
    """Stores weights that half precision holds without loss in half the bytes."""
    from coremltools.converters.mil.mil import Builder

    block = program.functions["main"]
    for operator in list(block.operations):
        value = _float_constant(operator)
        if value is None or value.size < _FEWEST:
            continue
        readers = operator.outputs[0].child_ops
        if not all(reader.op_type in _WEIGHTED for reader in readers):
            continue
        with np.errstate(over="ignore"):
            half = value.astype(np.float16)
        if np.array_equal(half.astype(np.float32), value):
            with _beside(block, operator):
                wide = Builder.constexpr_cast(
                    source_val=half, output_dtype="fp32", before_op=operator
                )
                _replace(block, operator, wide)


@contextmanager
def _beside(block: Any, operator: Any) -> Iterator[None]:
    """What is written inside says that it comes from where the operator does: it has to."""
    from coremltools.converters.mil.mil import Builder
    from coremltools.converters.mil.mil.scope import ScopeInfo

    scopes = [ScopeInfo(source=key, data=list(data)) for key, data in operator.scopes.items()]
    with block, Builder.scope(*scopes):
        yield


def _replace(block: Any, operator: Any, variable: Any) -> None:
    block.replace_uses_of_var_after_op(
        anchor_op=operator, old_var=operator.outputs[0], new_var=variable
    )
    block.remove_ops([operator])


def _float_constant(operator: Any) -> Array | None:
    value = operator.outputs[0].val if operator.op_type == "const" else None
    is_tensor = isinstance(value, np.ndarray) and value.dtype == np.float32 and value.ndim > 1
    return value if is_tensor else None


def _turned(weights: Sequence[NarrowWeight]) -> Iterator[tuple[NarrowWeight, tuple[int, ...]]]:
    """Matrices may lie turned; the network's own order comes last, and so wins."""
    for weight in weights:
        if weight.real.ndim == 2:
            yield weight, (1, 0)
    for weight in weights:
        yield weight, tuple(range(weight.real.ndim))


def _key(array: Array) -> tuple[tuple[int, ...], bytes]:
    # -0 and 0 are the same number
    return array.shape, (np.ascontiguousarray(array, np.float32) + np.float32(0)).tobytes()
