"""BatchNorm becomes part of the layer before it."""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch.nn.modules.batchnorm import _BatchNorm

from lilliput.core import Model, Note, Stage
from lilliput.graph import fold_batch_norm

__all__ = ["FuseBatchNorm"]


@dataclass(frozen=True)
class FuseBatchNorm:
    """Folds each BatchNorm into the convolution or linear layer that alone feeds it.

    The network computes the same in eval mode, with fewer operators. Training afterwards goes on
    without batch statistics, so fold after training from scratch and before quantization.
    """

    stage: ClassVar[Stage] = "edit"

    def __call__(self, model: Model, /) -> Model:
        """Gives the model without those layers; what cannot be folded stays, and a note says so.

        Raises:
            TraceError: The network cannot be traced.
        """
        folded, names = fold_batch_norm(model)
        parts = folded.module.named_modules()
        norms = [n for n, part in parts if isinstance(part, _BatchNorm) and n not in names]
        if not norms:
            return folded
        others = f" and {len(norms) - 1} more" if len(norms) > 1 else ""
        text = f"FuseBatchNorm: {norms[0]}{others} stay: no plain layer alone feeds them"
        return replace(folded, notes=(*folded.notes, Note(text, is_fallback=False)))
