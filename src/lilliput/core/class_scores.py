"""Whether a network is a classifier, as far as its outputs and labels tell."""

from typing import Any

import torch
from torch import Tensor

from lilliput.core.model import Model
from lilliput.core.task import Task

__all__ = ["are_class_scores", "is_classifier"]


def are_class_scores(outputs: Any, labels: Any) -> bool:
    """Whether outputs are `[batch, classes]` scores, of two classes or more, for class indices."""
    if not (isinstance(outputs, Tensor) and isinstance(labels, Tensor)):
        return False
    is_index = not labels.is_floating_point() and labels.shape == outputs.shape[:1]
    return outputs.dim() == 2 and outputs.shape[1] > 1 and is_index


def is_classifier(model: Model, task: Task) -> bool:
    """The same of a network and the first batch of its task's validation data."""
    inputs, labels = task.first("validation", 1)[0]
    with torch.no_grad():
        outputs = model.clone().module.eval()(*inputs)
    return are_class_scores(outputs, labels)
