"""Where a model is to run: facts about a device and a runtime, each with its source."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lilliput.core.integer import IntegerType, PerChannel
from lilliput.core.kernel import Kernel, Scheme

__all__ = ["QuantizationRules", "Target"]


WEIGHT = IntegerType(is_symmetric=True, granularity=PerChannel())
ACTIVATION = IntegerType()


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
        stored_bits: Widths that weights have in the file, all of which run as `weight`.
        stored_floats: Types of 16 bits that the file holds float weights in.
        ranges_at_run_time: What has a range of its own where activations are quantized at run time:
            the whole tensor, or each row of a linear layer and each example of a convolution.
        kernels: What the runtime does with each operator's weights, the best first; none where it
            is not known.
    """

    weight: IntegerType = WEIGHT
    activation: IntegerType = ACTIVATION
    quantized_operators: frozenset[str] = frozenset()
    shared_scale_operators: frozenset[str] = frozenset()
    fused_activations: frozenset[str] = frozenset()
    quantizes_outputs: bool = True
    stored_bits: frozenset[int] = frozenset({8})
    stored_floats: frozenset[str] = frozenset()
    ranges_at_run_time: Literal["tensor", "row"] = "tensor"
    # of the runtime and not of this recipe, so no setting
    kernels: tuple[Kernel, ...] = field(default=(), metadata={"setting": False})

    def kernels_of(self, operator: str, scheme: Scheme) -> tuple[Kernel, ...]:
        """What the runtime has for an operator, the best first."""
        return tuple(k for k in self.kernels if k.scheme == scheme and operator in k.operators)

    def kernel_for(
        self, operator: str, scheme: Scheme, weight: IntegerType, activation_bits: int = 0
    ) -> Kernel | None:
        """The best that takes weights of a type and activations so wide; None where none does."""
        kernels = self.kernels_of(operator, scheme)
        return next((k for k in kernels if k.takes(weight, activation_bits)), None)


@dataclass(frozen=True)
class Target:
    """A device and the runtime on it.

    Args:
        name: Unique, lower case, e.g. `onnxruntime-cpu`.
        format: Name of the file format it loads, a key of `lilliput.export.FORMATS`.
        threads: How many the runtime uses.
        channel_multiple: Channel counts should be multiples of this to use the vector unit.
        flash_bytes: Room for weights and code, or for the file that runs; None where it is not a
            limit.
        ram_bytes: Room for activations; None where it is not a limit.
        processor: Of a microcontroller, of which flash, RAM and instructions are counted: a key of
            `lilliput.measure.chips.PROCESSORS`; "" for a machine that runs its files itself.
        rules: What its runtime wants of quantizers; None where it runs floats only.
        system: The one operating system that its runtime is there for, as `platform.system()` says
            it, or "" for any.
        extra: The `pip install 'lilliput[extra]'` it needs, or "".
        sources: Where each fact comes from, by field name (a document's title, or a measurement).
    """

    name: str
    format: str
    threads: int = 1
    channel_multiple: int = 1
    flash_bytes: int | None = None
    ram_bytes: int | None = None
    processor: str = ""
    rules: QuantizationRules | None = None
    system: str = ""
    extra: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_chip(self) -> bool:
        """Whether it is a microcontroller."""
        return bool(self.processor)

    @property
    def has_flash(self) -> bool:
        """Whether flash is counted: an image's, or the file's that a packed one becomes."""
        return self.is_chip or self.format == "packed"
