"""Where a model is to run: facts about a device and a runtime, each with its source."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["IntegerType", "QuantizationRules", "Target"]


@dataclass(frozen=True)
class IntegerType:
    """How numbers become integers: `real = scale * (integer - zero_point)`.

    Args:
        bits: Width, 2 to 16.
        is_signed: Range around zero, or from zero up.
        is_symmetric: Zero point in the middle of the range (0 when signed), lowest code unused.
        is_per_channel: One scale for each output channel, or one for the whole tensor.

    Source: Jacob et al. 2018, eq. 1.
    """

    bits: int = 8
    is_signed: bool = True
    is_symmetric: bool = False
    is_per_channel: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise ValueError(f"bits must be 2 to 16, got {self.bits}")

    @property
    def low(self) -> int:
        """The smallest integer used."""
        if not self.is_signed:
            return 0
        return int(self.is_symmetric) - (1 << (self.bits - 1))

    @property
    def high(self) -> int:
        """The largest integer used."""
        return (1 << (self.bits - int(self.is_signed))) - 1


@dataclass(frozen=True)
class QuantizationRules:
    """What a runtime wants of quantizers.

    Operators are named by their ATen packet: `conv2d`, `linear`, `add`, `max_pool2d`.

    Args:
        weight: Type of convolution and linear weights.
        activation: Type of activations.
        quantized_operators: Run in integers: their inputs and outputs are quantized.
        shared_scale_operators: Move data only: output and inputs share one scale and zero point.
        fused_activations: Absorbed by the operator before them: only their output is quantized.
        quantizes_outputs: Whether what the network gives is quantized, or left float.
    """

    weight: IntegerType = IntegerType(is_symmetric=True, is_per_channel=True)
    activation: IntegerType = IntegerType()
    quantized_operators: frozenset[str] = frozenset()
    shared_scale_operators: frozenset[str] = frozenset()
    fused_activations: frozenset[str] = frozenset()
    quantizes_outputs: bool = True


@dataclass(frozen=True)
class Target:
    """A device and the runtime on it.

    Args:
        name: Unique, lower case, e.g. `onnxruntime-cpu`.
        format: Name of the file format it loads, a key of `lilliput.export.FORMATS`.
        threads: How many the runtime uses.
        channel_multiple: Channel counts should be multiples of this to use the vector unit.
        flash_bytes: Room for weights and code; None where it is not a limit.
        ram_bytes: Room for activations; None where it is not a limit.
        rules: What its runtime wants of quantizers; None where it runs floats only.
        extra: The `pip install 'lilliput[extra]'` it needs, or "".
        sources: Where each fact comes from, by field name (a document's title, or a measurement).
    """

    name: str
    format: str
    threads: int = 1
    channel_multiple: int = 1
    flash_bytes: int | None = None
    ram_bytes: int | None = None
    rules: QuantizationRules | None = None
    extra: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)
