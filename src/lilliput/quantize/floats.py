"""Half the bytes for each weight, still as floats."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from lilliput.core import Model, Note, PassError, QuantizationRules, Stage
from lilliput.graph import fold_batch_norm

__all__ = ["ConvertFloat"]

_TYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class ConvertFloat:
    """Rounds weights to floats of 16 bits, in which the file holds them; BatchNorm is folded first.

    The network goes on computing with floats of 32 bits, as processors do: the kernels that
    runtimes have for 16 bits there widen and round at every operator, and are no faster.

    Args:
        dtype: `float16` has 11 bits of precision and ends at 65,504; `bfloat16` has 8 bits and the
            range of 32-bit floats.
        rules: What the target's runtime reads; None for any. Where its files hold no such floats
            they are 32 bits wide there, and a note says so.

    Source: IEEE 754-2019, binary16; ONNX Runtime 1.32.0 on x86-64: MatMul 384x1536 of float16 takes
    1.01 times as long as of float32.
    """

    stage: ClassVar[Stage] = "quantize"

    dtype: str = "float16"
    rules: QuantizationRules | None = None

    def __post_init__(self) -> None:
        if self.dtype not in _TYPES:
            raise ValueError(f"dtype must be float16 or bfloat16, got {self.dtype!r}")

    @torch.no_grad()
    def __call__(self, model: Model, /) -> Model:
        """Gives the network with rounded weights.

        Raises:
            PassError: A weight is NaN, infinite, or too large for the type; names it.
        """
        # converters fold it too, and the products would be 32 bits wide again
        model, _ = fold_batch_norm(model)
        tensors = [*model.module.named_parameters(), *model.module.named_buffers()]
        for name, value in tensors:
            if value.is_floating_point():
                value.copy_(self._rounded(name, value))
        if self.rules is None or self.dtype in self.rules.stored_floats:
            return model
        held = " and ".join(sorted({"float32", *self.rules.stored_floats}))
        note = Note(f"weights are {self.dtype} stored as float32: files of the target hold {held}")
        return replace(model, notes=(*model.notes, note))

    def _rounded(self, name: str, value: Tensor) -> Tensor:
        if not value.isfinite().all():
            raise PassError(f"the weight {name} is NaN or infinite")
        rounded = value.to(_TYPES[self.dtype])
        if not rounded.isfinite().all():
            raise PassError(
                f"the weight {name} reaches {float(value.abs().max()):,.0f}, and {self.dtype} ends "
                f"at {torch.finfo(_TYPES[self.dtype]).max:,.0f}; use dtype='bfloat16'"
            )
        return rounded.to(value.dtype)
