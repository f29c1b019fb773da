"""The code of the page about tasks runs as it stands, and its metrics are what they are called."""

import re
from pathlib import Path

import pytest
import torch

from lilliput.core import Model, Task

PAGE = Path(__file__).parents[2] / "docs" / "task.md"


@pytest.fixture(scope="module")
def names() -> dict[str, object]:
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S))
    names: dict[str, object] = {}
    exec(compile(code, PAGE.name, "exec"), names)  # noqa: S102
    return names


def scored(model: object, task: object) -> tuple[float, torch.Tensor, torch.Tensor]:
    """The task's metric on test data, with all outputs and labels."""
    assert isinstance(model, Model)
    assert isinstance(task, Task)
    metric = task.fresh_metric()
    outputs, labels = [], []
    with torch.no_grad():
        for inputs, wanted in task.batches("test"):
            outputs.append(model.module(*inputs))
            labels.append(wanted)
            metric.update(outputs[-1], wanted)
    return float(metric.compute()), torch.cat(outputs), torch.cat(labels)


def test_the_own_metric_is_the_root_of_the_mean_squared_error(names: dict[str, object]) -> None:
    value, outputs, labels = scored(names["regressor"], names["regression"])
    assert value == pytest.approx(torch.nn.functional.mse_loss(outputs, labels).sqrt().item())
    task = names["regression"]
    assert isinstance(task, Task)
    assert not task.higher_is_better
    assert scored(names["regressor"], task)[0] == value  # nothing was left from the first time


def test_the_ratio_of_images_is_that_of_their_error(names: dict[str, object]) -> None:
    value, outputs, labels = scored(names["denoiser"], names["denoising"])
    error = torch.nn.functional.mse_loss(outputs, labels)
    assert value == pytest.approx(-10 * torch.log10(error).item(), abs=1e-4)


def test_the_mask_reaches_the_network(names: dict[str, object]) -> None:
    texts, reader = names["texts"], names["reader"]
    assert isinstance(texts, Task)
    assert isinstance(reader, Model)
    (tokens, mask), _ = next(texts.batches("test"))
    others = torch.where(mask, tokens, (tokens + 1) % 100)
    with torch.no_grad():
        assert torch.allclose(reader.module(tokens, mask), reader.module(others, mask))
