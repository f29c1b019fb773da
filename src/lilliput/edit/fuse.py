"""BatchNorm becomes part of the layer before it."""

from dataclasses import dataclass
from typing import ClassVar

from lilliput.core import Model, Stage
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
        """Gives the model without those layers; what cannot be folded stays as it is.

        Raises:
            TraceError: The network cannot be traced.
        """
        folded, _ = fold_batch_norm(model)
        return folded
