"""Whether a network's quantizers are what a target's rules want."""

from torch import fx, nn

from lilliput.core import IntegerType, QuantizationRules, UnsupportedError
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
        if quantizer.type != wanted:
            raise UnsupportedError(
                f"{name} gives {_words(quantizer.type)}, but {target!r} wants {_words(wanted)}; "
                f"quantize with rules=get_target({target!r}).rules"
            )


def _of_weights(module: nn.Module) -> set[str]:
    if not isinstance(module, fx.GraphModule):
        return set()
    calls = [node for node in module.graph.nodes if node.op == "call_module"]
    return {str(node.target) for node in calls if "is_weight" in node.meta}


def _words(kind: IntegerType) -> str:
    sign = "int" if kind.is_signed else "uint"
    symmetry = "symmetric" if kind.is_symmetric else "with a zero point"
    return f"{sign}{kind.bits} {symmetry} per {'channel' if kind.is_per_channel else 'tensor'}"
