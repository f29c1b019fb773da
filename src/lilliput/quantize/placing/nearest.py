"""The nearest thing to what was asked for that a target can run."""

from dataclasses import replace
from itertools import chain, product

from lilliput.core import (
    Granularity,
    IntegerType,
    Kernel,
    Note,
    PerChannel,
    PerGroup,
    PerTensor,
    QuantizationRules,
    Scheme,
    UnsupportedError,
)

__all__ = ["nearest_activation", "nearest_weight"]


def nearest_weight(
    kind: IntegerType, layer: str, operator: str, scheme: Scheme, rules: QuantizationRules
) -> tuple[IntegerType, tuple[Note, ...]]:
    """The type of a layer's weight.

    Args:
        kind: What was asked for.
        layer: Its name, for the note.
        operator: Its ATen packet.
        scheme: How its activations go.
        rules: Of the target.

    Returns:
        The type, and what is to be said of it; the same type and nothing where it runs as it is,
        or where the rules know nothing of the runtime.
    """
    kernels = rules.kernels_of(operator, scheme)
    reads = rules.activation.bits if scheme == "static" else 0
    if not kernels or rules.kernel_for(operator, scheme, kind, reads):
        return kind, ()
    wide = [kernel for kernel in kernels if kind.bits <= max(kernel.weight_bits)]
    # other groups cost less than fewer bits
    for granularity, kernel in chain(*(product(_coarser(kind), some) for some in (wide, kernels))):
        bits = min(kind.bits, max(kernel.weight_bits))
        near = replace(kind, bits=bits, granularity=granularity)
        if kernel.takes(near, reads):
            return near, (_note(f"{layer} ({operator})", "weights", kind, near, kernel),)
    raise UnsupportedError(
        f"{layer} ({operator}) cannot have weights of {kind} here; the rules know "
        f"{', '.join(sorted(set().union(*(kernel.granularities for kernel in kernels))))}"
    )


def nearest_activation(
    kind: IntegerType, rules: QuantizationRules
) -> tuple[IntegerType, tuple[Note, ...]]:
    """The type of activations of fixed scale, likewise."""
    kernels = [kernel for kernel in rules.kernels if kernel.scheme == "static"]
    if not kernels:
        return kind, ()
    widest = max(max(kernel.activation_bits) for kernel in kernels)
    near = replace(kind, bits=min(kind.bits, widest))
    wide = [kernel for kernel in kernels if near.bits in kernel.symmetric_activation_bits]
    if wide:
        near = replace(near, is_symmetric=True)
    if near == kind:
        return kind, ()
    return near, (_note("the network", "activations", kind, near, (wide or kernels)[0]),)


def _note(where: str, what: str, asked: IntegerType, got: IntegerType, kernel: Kernel) -> Note:
    why = f": {kernel.why}" if kernel.why else ""
    return Note(f"{where} has {what} of {got} instead of {asked}{why}")


def _coarser(kind: IntegerType) -> tuple[Granularity, ...]:
    """Granularities from the one asked for on, then others."""
    if isinstance(kind.granularity, PerChannel):
        return kind.granularity, PerTensor(), PerGroup(32)
    return kind.granularity, PerChannel(), PerTensor(), PerGroup(32)
