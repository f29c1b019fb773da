"""Whether `1%` makes sense of a metric."""

import torch
import typer

from lilliput.core import Model, Task

__all__ = ["check_is_share"]


def check_is_share(model: Model, task: Task, text: str) -> None:
    """Refuses `1%` of a metric that does not lie between 0 and 1, as seen on one batch.

    Raises:
        typer.BadParameter: The metric is not a share.
    """
    inputs, labels = next(task.batches("validation"))
    metric = task.fresh_metric()
    with torch.inference_mode():
        metric.update(model.clone().module.eval()(*inputs), labels)
    value = float(metric.compute())
    if not 0 <= value <= 1:
        raise typer.BadParameter(
            f"--max-drop {text} is for a metric between 0 and 1; this one is {value:.4g} on a "
            "first batch: give the drop in its own unit, without %"
        )
