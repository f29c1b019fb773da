"""Whether a network's quantizers are what a target's rules want."""

from dataclasses import replace

from torch import fx, nn

from lilliput.core import IntegerType, PerTensor, QuantizationRules, UnsupportedError
from lilliput.quantize.fake import quantizers

__all__ = ["check_rules"]


def check_rules(module: nn.Module, rules: QuantizationRules, target: str) -> None:
    """Refuses quantizers that break the rules.

    Args:
        module: A captured network.
        rules: Of the target.
        target: Its name, for the message.

    Raises:
        UnsupportedError: Names the first such quantizer, what it is and what the target wants.
    """
    of_weights = _of_weights(module)
    for name, quantizer in quantizers(module).items():
        wanted = rules.weight if name in of_weights else rules.activation
        if not _runs_as(quantizer.type, wanted):
            raise UnsupportedError(
                f"{name} gives {quantizer.type}, but {target!r} wants {wanted}; "
                f"quantize with rules=get_target({target!r}).rules"
            )


def _of_weights(module: nn.Module) -> set[str]:
    if not isinstance(module, fx.GraphModule):
        return set()
    calls = [node for node in module.graph.nodes if node.op == "call_module"]
    return {str(node.target) for node in calls if "is_weight" in node.meta}


def _runs_as(kind: IntegerType, wanted: IntegerType) -> bool:
    """Whether integers of `wanted` hold those of `kind`: fewer bits, or fewer scales, fit in."""
    is_held = kind.bits <= wanted.bits and isinstance(
        kind.granularity, PerTensor | type(wanted.granularity)
    )
    return is_held and replace(kind, bits=wanted.bits, granularity=wanted.granularity) == wanted
