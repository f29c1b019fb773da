"""One call of a kernel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lilliput.core import ExportError, UnsupportedError
from lilliput.export.c.network import Network, Operator, Tensor
from lilliput.export.format import Array

__all__ = [
    "Program",
    "Step",
    "Windows",
    "activation_range",
    "check_same_scale",
    "check_shape",
    "windows",
]


_LONGEST_STEP = (1 << 15) - 1


@dataclass(frozen=True, eq=False)
class Step:
    """A call.

    Args:
        kernel: Its name, that of a file in `kernels/`.
        operator: What it does, or a part of it.
        reads: Tensors, constant ones among them.
        writes: The tensor that it fills, or a part of which it fills.
        settings: Numbers, by the names of the kernel's struct.
        arrays: Constants, likewise.
        on_helium: What some of them are instead on processors with Helium.
        macs: Multiplications that it takes.
        distances: For reads that it may write over, by their place among `reads`: by how many bytes
            they must begin behind what it writes, so that nothing is lost before it is read.
        in_place: Reads that it may write over where both begin at the same byte.
        scratch: Bytes of the arena that it needs while it runs; None for a kernel that takes none.
        starts: Bytes from where each tensor begins to what it reads of it, and then to where it
            writes; empty where all are 0.
        fills: Whether nothing is needed any more of what was written there before.
        layer: Calls that are parts of one layer have the same number; None for what is no layer.
    """

    kernel: str
    operator: Operator
    reads: tuple[int, ...]
    writes: int
    settings: Mapping[str, int] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)
    on_helium: Mapping[str, Array] = field(default_factory=dict)
    macs: int = 0
    distances: Mapping[int, int] = field(default_factory=dict)
    in_place: tuple[int, ...] = ()
    scratch: int | None = None
    starts: tuple[int, ...] = ()
    fills: bool = False
    layer: int | None = None


@dataclass(frozen=True, eq=False)
class Program:
    """A network as calls in order.

    Args:
        network: Where it comes from.
        steps: The calls.
        places: Tensors that are another one's bytes under a new shape.
        distances: For a tensor that is written and one that is read meanwhile: by how many bytes
            the second must begin behind the first, so that nothing is lost before it is read.
    """

    network: Network
    steps: tuple[Step, ...]
    places: Mapping[int, int]
    distances: Mapping[tuple[int, int], int] = field(default_factory=dict)

    @property
    def macs(self) -> int:
        """Multiplications for one run."""
        return sum(step.macs for step in self.steps)

    @property
    def constant_bytes(self) -> int:
        """Weights, biases, multipliers and tables; equal arrays count once."""
        arrays = [a for step in self.steps for a in step.arrays.values()]
        return sum({(a.dtype.str, a.tobytes()): a.nbytes for a in arrays}.values())

    def place_of(self, tensor: int) -> int:
        """The tensor whose bytes it has."""
        while tensor in self.places:
            tensor = self.places[tensor]
        return tensor


def activation_range(operator: Operator, output: Tensor) -> tuple[int, int]:
    """Least and most of the outputs under the activation that is fused into an operator.

    Source: TensorFlow Lite, `kernel_util.cc`, CalculateActivationRangeQuantized.
    """
    kind = int(operator.options.get("fusedActivationFunction") or 0)
    limits = {0: (None, None), 1: (0.0, None), 2: (-1.0, 1.0), 3: (0.0, 6.0)}
    if kind not in limits:
        raise UnsupportedError(
            f"{operator} has a fused activation of kind {kind}; use ReLU or ReLU6"
        )
    low, high = limits[kind]
    least = -128 if low is None else max(-128, _quantized(low, output))
    return least, 127 if high is None else min(127, _quantized(high, output))


def check_same_scale(operator: Operator, *tensors: Tensor) -> None:
    """Where bytes are moved or compared, they must mean the same.

    Raises:
        UnsupportedError: They do not.
    """
    first = tensors[0]
    for tensor in tensors[1:]:
        if tensor.scale != first.scale or tensor.zero_point != first.zero_point:
            raise UnsupportedError(
                f"{operator} reads and writes with different scales ({first.scale:g} and "
                f"{tensor.scale:g}); TensorFlow Lite needs them equal here"
            )


def check_shape(operator: Operator, tensor: Tensor, shape: Sequence[int]) -> None:
    """What C writes is what the file has room for.

    Raises:
        ExportError: It is not; the file is damaged.
    """
    if tensor.shape != tuple(shape):
        raise ExportError(f"{operator} gives {list(shape)}, but has room for {list(tensor.shape)}")


@dataclass(frozen=True)
class Windows:
    """How a kernel goes over a map; heights, then widths."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)


def windows(
    operator: Operator, size: Sequence[int], moves: Windows
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Zeros before the map, and the size that comes out, for `SAME` and `VALID`.

    `VALID` windows may see numbers around the map, if the operator's option `around` says how many
    lie before and behind it along either axis.

    Raises:
        ExportError: A kernel, a stride or a dilation is below 1 or too long, or the kernel does not
            fit.
    """
    around = operator.options.get("around", ((0, 0), (0, 0)))
    rows = zip(size, moves.kernel, moves.stride, moves.dilation, around, strict=True)
    before, out = [], []
    for length, kernel, stride, dilation, (first, last) in rows:
        span, whole = (kernel - 1) * dilation + 1, first + length + last
        is_valid = int(operator.options.get("padding") or 0) == 1
        is_wrong = min(kernel, stride, dilation) < 1 or max(stride, dilation) > _LONGEST_STEP
        if is_wrong or (is_valid and span > whole):
            raise ExportError(
                f"{operator}: kernel {kernel}, stride {stride} and dilation {dilation} on {length}"
            )
        out.append((whole - span) // stride + 1 if is_valid else -(-length // stride))
        over = 0 if is_valid else max((out[-1] - 1) * stride + span - length, 0) // 2
        before.append(first + over)
    return tuple(before), tuple(out)


def _quantized(value: float, tensor: Tensor) -> int:
    share = float(tensor.scale.dtype.type(value) / tensor.scale)
    return tensor.zero_point + int(abs(share) + 0.5) * (1 if share >= 0 else -1)
