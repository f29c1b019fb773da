"""An int8 network as its file tells it: tensors, and operators in the order they run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lilliput.core import UnsupportedError
from lilliput.export.format import Array

__all__ = ["Network", "Operator", "Tensor"]


@dataclass(frozen=True, eq=False)
class Tensor:
    """What flows between operators, or is constant.

    Args:
        name: As in the file.
        shape: Sizes, all known.
        dtype: In numpy's name.
        data: A constant's values, in its shape; None for what is computed.
        scales: In single precision, as the file holds them; empty where nothing is quantized.
        zero_points: As many.
        axis: Along which scales differ, where there is more than one.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    data: Array | None
    scales: Array
    zero_points: tuple[int, ...]
    axis: int = 0

    @property
    def count(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def scale(self) -> np.float32:
        """Of the whole tensor."""
        if len(self.scales) != 1:
            raise UnsupportedError(
                f"tensor {self.name!r} must have one scale, has {len(self.scales)}"
            )
        return np.float32(self.scales[0])

    @property
    def zero_point(self) -> int:
        """Of the whole tensor."""
        return self.zero_points[0] if self.zero_points else 0


@dataclass(frozen=True, eq=False)
class Operator:
    """One operation.

    Args:
        place: In the file, from 0.
        kind: As the schema names it, `CONV_2D` for instance.
        inputs: Tensors; None for one that is left out.
        outputs: Tensors.
        options: By the schema's names.
    """

    place: int
    kind: str
    inputs: tuple[int | None, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]

    def __str__(self) -> str:
        return f"operator {self.place} ({self.kind})"

    def source(self, which: int = 0) -> int:
        """The tensor that is one of its inputs.

        Raises:
            UnsupportedError: It has no such input.
        """
        index = self.inputs[which] if which < len(self.inputs) else None
        if index is None:
            raise UnsupportedError(f"{self} lacks its input {which}")
        return index


@dataclass(frozen=True, eq=False)
class Network:
    """A graph without branches in time: each operator runs once.

    Args:
        tensors: All there are.
        operators: In the order they run.
        inputs: What the caller gives.
        outputs: What the caller gets.
    """

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def read(self, operator: Operator, which: int) -> Tensor:
        """An input of an operator.

        Raises:
            UnsupportedError: The operator has no such input.
        """
        return self.tensors[operator.source(which)]

    def constant(self, operator: Operator, which: int) -> Array:
        """A constant input of an operator.

        Raises:
            UnsupportedError: It is computed, or left out.
        """
        tensor = self.read(operator, which)
        if tensor.data is None:
            raise UnsupportedError(
                f"{operator}: input {which} ({tensor.name!r}) is computed while the network runs; "
                "it must be a constant"
            )
        return tensor.data

    def written(self, operator: Operator) -> Tensor:
        """The first output of an operator."""
        return self.tensors[operator.outputs[0]]
