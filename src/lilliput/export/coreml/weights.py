"""Weights that the file holds in few bits, in the two forms that Core ML has for them.

Source: coremltools 9.0, the iOS 18 operators `constexpr_lut_to_dense` and
`constexpr_blockwise_shift_scale`; both are written as the file's constants and opened by Core ML.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from lilliput.export.format import Array

__all__ = ["Blocks", "Lookup", "NarrowWeight", "integers"]

Axes = tuple[int, ...]
_INDEX_BITS = (1, 2, 3, 4, 6, 8)


@runtime_checkable
class NarrowWeight(Protocol):
    """A weight of the network, and what it is in few bits."""

    @property
    def name(self) -> str: ...

    @property
    def real(self) -> Array:
        """The numbers that the network computes with."""
        ...

    def parts(self, axes: Axes, /) -> tuple[Array, Array]:
        """The codes, and the values or scales, where the axes lie in that order in the file."""
        ...

    def put(self, axes: Axes, before: Any, /) -> Any:
        """Writes it before an operator of the converter's program; gives the variable."""
        ...


@dataclass(frozen=True, eq=False)
class Lookup:
    """Few values and, for each number, which of them it is.

    Args:
        name: In the network.
        codes: Of each number.
        values: Of the whole weight, or one row for each channel of axis 0.
    """

    name: str
    codes: Array
    values: Array

    @property
    def real(self) -> Array:
        if self.values.ndim == 1:
            return np.asarray(self.values[self.codes])
        rows = self.codes.reshape(len(self.codes), -1).astype(np.int64)
        return np.take_along_axis(self.values, rows, 1).reshape(self.codes.shape)

    @property
    def bits(self) -> int:
        """The fewest bits of an index that Core ML has and that hold every code."""
        return next(bits for bits in _INDEX_BITS if self.codes.max(initial=0) < 1 << bits)

    def parts(self, axes: Axes, /) -> tuple[Array, Array]:
        """Codes, and a table for each channel or one, filled up to a power of two."""
        values = np.atleast_2d(self.values).astype(np.float32)[:, : 1 << self.bits]
        filled = np.pad(values, ((0, 0), (0, (1 << self.bits) - values.shape[1])))
        shape = [1] * self.codes.ndim
        shape[axes.index(0)] = len(filled)
        table = filled.reshape(*shape, 1 << self.bits, 1)
        return self.codes.transpose(axes).astype(integers(f"uint{self.bits}")), table

    def put(self, axes: Axes, before: Any, /) -> Any:
        from coremltools.converters.mil.mil import Builder

        codes, table = self.parts(axes)
        return Builder.constexpr_lut_to_dense(indices=codes, lut=table, before_op=before)


@dataclass(frozen=True, eq=False)
class Blocks:
    """Integers, and a scale for each block of them.

    Args:
        name: In the network.
        codes: Of each number, signed.
        scale: With as many axes; along each, so many scales as there are blocks.
        bits: In the file, 4 or 8.
    """

    name: str
    codes: Array
    scale: Array
    bits: int

    @property
    def real(self) -> Array:
        scale = self.scale
        for axis, (size, blocks) in enumerate(zip(self.codes.shape, scale.shape, strict=True)):
            scale = scale.repeat(size // blocks, axis)
        return np.asarray(self.codes.astype(np.float32) * scale)

    def parts(self, axes: Axes, /) -> tuple[Array, Array]:
        """Codes and scales."""
        codes = np.ascontiguousarray(self.codes.transpose(axes))
        return codes.astype(integers(f"int{self.bits}")), self.scale.transpose(axes)

    def put(self, axes: Axes, before: Any, /) -> Any:
        from coremltools.converters.mil.mil import Builder

        codes, scale = self.parts(axes)
        return Builder.constexpr_blockwise_shift_scale(data=codes, scale=scale, before_op=before)


def integers(name: str) -> Any:
    """The numpy type that the converter takes for integers of few bits, such as `uint3`."""
    from coremltools.converters.mil.mil import types

    return types.nptype_from_builtin(types.string_to_builtin(name))
