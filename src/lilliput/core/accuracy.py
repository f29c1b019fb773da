"""The metric most users start with."""

from typing import Any

from torch import Tensor

from lilliput.core.errors import TaskError

__all__ = ["Accuracy"]


class Accuracy:
    """Share of examples whose highest score is at the labelled class (top-1)."""

    higher_is_better = True

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets all that was counted."""
        self.correct, self.count = 0, 0

    def update(self, outputs: Any, labels: Any, /) -> None:
        """Counts a batch.

        Args:
            outputs: Scores, `[batch, classes]`.
            labels: Class indices, `[batch]`.

        Raises:
            TaskError: Other shapes or types, or a label that is no class of the network's.
        """
        _check(outputs, labels)
        self.correct += int((outputs.argmax(1) == labels.to(outputs.device)).sum())
        self.count += len(labels)

    def compute(self) -> float:
        """The share so far.

        Raises:
            TaskError: Nothing was counted yet.
        """
        if not self.count:
            raise TaskError("the accuracy of no examples is asked for; call update first")
        return self.correct / self.count


def _check(outputs: Any, labels: Any) -> None:
    """Refuses what would count wrongly without a word, as broadcasting does."""
    if not (isinstance(outputs, Tensor) and outputs.dim() == 2 and outputs.shape[1] > 0):
        raise TaskError(f"Accuracy takes outputs [batch, classes], got {_said(outputs)}")
    is_index = isinstance(labels, Tensor) and not labels.is_floating_point()
    if not is_index or labels.shape != outputs.shape[:1]:
        raise TaskError(
            f"Accuracy takes class indices [{len(outputs)}] as labels, got {_said(labels)}; "
            "for other labels give Task(metric=...) one of torchmetrics"
        )
    classes = outputs.shape[1]
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        wrong = int(labels.min()) if int(labels.min()) < 0 else int(labels.max())
        raise TaskError(
            f"a label is {wrong}, but the network has {classes} classes: labels must be 0 to "
            f"{classes - 1}"
        )


def _said(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} {list(value.shape)}".removeprefix("torch.")
    return type(value).__name__
