"""Whether a network's quantizers are what a target's rules want."""

from torch import nn

from lilliput.core import QuantizationRules, UnsupportedError
from lilliput.quantize.fake import quantizers

__all__ = ["check_rules"]


def check_rules(module: nn.Module, rules: QuantizationRules, target: str) -> None:
    """Refuses quantizers that break the rules.

    Raises:
        UnsupportedError: Names the first such quantizer, what it is and what the target wants.
    """
    for name, quantizer in quantizers(module).items():
        is_weight = name.endswith(".weight_quantizer") or quantizer.axis is not None
        wanted = rules.weight if is_weight else rules.activation
        if quantizer.type != wanted:
            raise UnsupportedError(
                f"{name} gives {_words(quantizer.type)}, but {target!r} wants {_words(wanted)}; "
                f"quantize with rules=get_target({target!r}).rules"
            )


def _words(kind: object) -> str:
    return str(kind).removeprefix("IntegerType")
