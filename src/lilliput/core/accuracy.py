"""Top-1 accuracy, so that the commonest task needs no other package."""

import torch
from torch import Tensor

__all__ = ["Accuracy"]


class Accuracy:
    """The share of examples whose largest output is the label's; higher is better."""

    higher_is_better = True

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets all that was counted."""
        self.right, self.seen = 0, 0

    def update(self, outputs: Tensor, labels: Tensor, /) -> None:
        """Counts a batch.

        Args:
            outputs: A score for each class on axis 1, `[batch, classes, ...]`.
            labels: Class numbers, `[batch, ...]`.

        Raises:
            ValueError: A label names no class, or the shapes do not belong together.
        """
        classes = outputs.shape[1]
        if labels.shape != (outputs.shape[0], *outputs.shape[2:]):
            raise ValueError(
                f"labels must have the outputs' shape without axis 1, got labels "
                f"{tuple(labels.shape)} for outputs {tuple(outputs.shape)}"
            )
        if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise ValueError(
                f"labels must be 0 to {classes - 1} for {classes} classes, "
                f"got {int(labels.min())} to {int(labels.max())}"
            )
        self.right += int((outputs.argmax(1) == labels).sum())
        self.seen += labels.numel()

    def compute(self) -> Tensor:
        """The share so far, a scalar between 0 and 1.

        Raises:
            ValueError: Nothing was counted.
        """
        if not self.seen:
            raise ValueError("accuracy of no examples; call update first")
        return torch.tensor(self.right / self.seen, dtype=torch.float64)
