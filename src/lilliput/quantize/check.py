"""Whether a target runs what a network's quantizers say, and what it makes of the rest."""

from collections.abc import Iterator
from dataclasses import replace

from torch import fx, nn

from lilliput.core import IntegerType, Note, QuantizationRules, UnsupportedError
from lilliput.quantize.numbers.fake import FakeQuantize, quantizers
from lilliput.quantize.placing.open_layers import operator_kind
from lilliput.quantize.placing.plan import keeps_values
from lilliput.quantize.placing.scheme import Weighted, kernel_of, weighted_operators

__all__ = ["check_rules", "weights_line"]


def check_rules(module: nn.Module, rules: QuantizationRules, target: str) -> tuple[Note, ...]:
    """Refuses what the target cannot hold, and tells what it runs otherwise than asked for.

    Args:
        module: A captured network.
        rules: Of the target.
        target: Its name, for the message.

    Returns:
        A note for each layer that the runtime executes otherwise.

    Raises:
        UnsupportedError: An integer of another kind than the target's, an operator that it has no
            integers for, or scales that should be one and are several; names the first.
    """
    way_out = f"quantize with rules=get_target({target!r}).rules"
    for name, quantizer in quantizers(module).items():
        wanted = _wanted(module, name, rules)
        if not _is_held(quantizer.type, wanted, rules):
            raise UnsupportedError(
                f"{name} gives {quantizer.type}, but {target!r} wants {wanted}; {way_out}"
            )
    for node in _with_several_scales(module, rules):
        raise UnsupportedError(
            f"{node.name!r} reads and gives integers of several scales, but {target!r} wants one; "
            f"{way_out}"
        )
    return tuple(_notes(module, rules, target, way_out))


def weights_line(module: nn.Module, rules: QuantizationRules | None) -> str:
    """How wide quantized weights are in the file, and when they run: `stored 4, runs 8`."""
    stored: set[int] = set()
    run: set[int] = set()
    for found in weighted_operators(module):
        kernel = kernel_of(found, rules) if rules is not None else None
        bits = found.quantizer.type.bits
        stored.add(kernel.stored(bits) if kernel else max(bits, 8))
        run.add(kernel.run(bits) if kernel else max(bits, 8))
    if not stored:
        return ""
    return f"stored {_listed(stored)}, runs {_listed(run)}"


def _listed(bits: set[int]) -> str:
    return " and ".join(str(b) if b else "float" for b in sorted(bits, reverse=True))


def _notes(
    module: nn.Module, rules: QuantizationRules, target: str, way_out: str
) -> Iterator[Note]:
    for found in weighted_operators(module):
        if not rules.kernels:
            return
        kernel = kernel_of(found, rules)
        bits = found.quantizer.type.bits
        where = f"{found.layer} ({found.operator})"
        if kernel is None:
            raise UnsupportedError(
                f"{where} has weights of {found.quantizer.type}, activations {_reads(found)}, "
                f"and {target!r} has no form for that; {way_out}"
            )
        why = f": {kernel.why}" if kernel.why else ""
        if kernel.runs_in == "floats" and found.scheme == "static":
            yield Note(f"{where} runs in floats{why}")
        elif kernel.stored(bits) > bits:
            yield Note(f"{where} has weights of {bits} bits, stored at {kernel.stored(bits)}{why}")
        elif kernel.why and found.reads > 8:
            yield Note(f"{where}{why}")


def _reads(found: Weighted) -> str:
    words = {"static": f"of {found.reads} bits", "dynamic": "quantized at run time"}
    return words.get(found.scheme, "in floats")


def _wanted(module: nn.Module, name: str, rules: QuantizationRules) -> IntegerType:
    return rules.weight if name in _of_weights(module) else rules.activation


def _of_weights(module: nn.Module) -> set[str]:
    if not isinstance(module, fx.GraphModule):
        return set()
    calls = [node for node in module.graph.nodes if node.op == "call_module"]
    return {str(node.target) for node in calls if "is_weight" in node.meta}


def _is_held(kind: IntegerType, wanted: IntegerType, rules: QuantizationRules) -> bool:
    """Whether the file's integers hold those of `kind`.

    How wide they are, and how many share a scale, is for the kernels to say where they are known.
    """
    widest = wanted.bits
    granularity = kind.granularity
    if rules.kernels:
        wide = kind.bits > 8 and not kind.is_symmetric
        widest = 16 if not (wide and _wants_symmetry(kind.bits, rules)) else 8
    elif type(granularity).__name__ not in {"PerTensor", type(wanted.granularity).__name__}:
        return False
    same = replace(
        kind,
        bits=wanted.bits,
        granularity=wanted.granularity,
        # a zero point in the middle is a zero point
        is_symmetric=kind.is_symmetric and wanted.is_symmetric,
        is_power_of_two=kind.is_power_of_two and wanted.is_power_of_two,
    )
    return kind.bits <= widest and same == wanted


def _wants_symmetry(bits: int, rules: QuantizationRules) -> bool:
    return any(bits in kernel.symmetric_activation_bits for kernel in rules.kernels)


def _with_several_scales(module: nn.Module, rules: QuantizationRules) -> Iterator[fx.Node]:
    """Operators that only move data, between quantizers of different scales."""
    if not isinstance(module, fx.GraphModule):
        return
    for node in module.graph.nodes:
        kind = operator_kind(module, node)
        if kind not in rules.shared_scale_operators or not keeps_values(node, kind):
            continue
        around = [*node.all_input_nodes, *node.users]
        parts = [module.get_submodule(str(n.target)) for n in around if n.op == "call_module"]
        quantized = [p for p in parts if isinstance(p, FakeQuantize) and p.is_enabled]
        before = [p for p in parts[: len(node.all_input_nodes)] if isinstance(p, FakeQuantize)]
        if len(quantized) == len(around) and before and len({id(p) for p in quantized}) > 1:
            yield node
