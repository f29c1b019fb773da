"""Networks to be packed: what each is calibrated on, what it is scored on, and how.

- `lite0`: 140 photos to round by, and 60 to compare on; KL, agreement and top-1 on 300 others.
- `resnet20`, `resnet56`: test images 0 to 511, unlabelled, to calibrate; scored on test images
  2,000 to 9,999, and top-1 of all 10,000 beside it.
- `minilm`: 128 phrases of SST-2 to round by, and 128 to compare on; 1 - cosine of the embeddings of
  872 others.
- `style`: 32 photos to calibrate; PSNR of the pictures made of 64 others.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from rows import Row
from torch import Tensor, nn

import lilliput as lp
from lilliput.measure.intervals import mean as interval_of_mean
from lilliput.quantize.beside.distance import Divergence, SquaredError

__all__ = ["SUBJECTS", "Subject", "answers", "rows_of"]

LITE0_READ = 140
"""Of the 200 photos without labels: what is rounded to fit some is looked at on others."""

Values = dict[str, tuple[Tensor, str]]


@dataclass(frozen=True, eq=False)
class Subject:
    """A network to be packed.

    Args:
        model: As it was trained.
        task: What it is calibrated on, unlabelled: `train`, and `validation` to compare on.
        test: Batches that nothing was chosen on.
        values: Of outputs, the float network's and labels: each quantity's values, one for each
            example, and their unit. The first is the distance that sizes are compared at.
        samples: Examples to calibrate on.
    """

    model: lp.Model
    task: lp.Task
    test: Iterable[tuple[object, Tensor]]
    values: Callable[[Tensor, Tensor, Tensor], Values]
    samples: int = 200


def _classes(scored: slice, scores: Tensor, wanted: Tensor, labels: Tensor) -> Values:
    best = scores.argmax(1)
    right = (best == labels).double()
    found = {
        "KL": (Divergence()(scores, wanted)[scored], "nat"),
        "agreement": ((best == wanted.argmax(1)).double()[scored], "1"),
        "top-1": (right[scored], "1"),
    }
    return found | ({"top-1 of all": (right, "1")} if scored.start else {})


def _embeddings(found: Tensor, wanted: Tensor, _: Tensor) -> Values:
    return {"1 - cosine": (1 - F.cosine_similarity(found.double(), wanted.double()), "1")}


def _pictures(found: Tensor, wanted: Tensor, _: Tensor) -> Values:
    shares = SquaredError()(found, wanted).double()
    decibels = -10 * ((found - wanted).double().square().flatten(1).mean(1) / 255**2).log10()
    return {"PSNR": (decibels, "dB"), "relative squared error": (shares, "1")}


def lite0() -> Subject:
    """EfficientNet-Lite0."""
    import lite0

    task = lite0.task()
    read = lite0.Photos(0, LITE0_READ)
    compared = lite0.Photos(LITE0_READ, lite0.CALIBRATION)
    task = replace(task, train=read, validation=compared)
    values = partial(_classes, slice(0, None))
    return Subject(lite0.model(), task, task.test, values, samples=LITE0_READ)


def resnet(net: str) -> Subject:
    """A ResNet for CIFAR-10; it has memorised its training images, so none of them calibrates."""
    from scoring import EXAMPLE

    model, task = getattr(EXAMPLE, net)()
    halves = [EXAMPLE.Batches("test", a, a + 256, 64, is_augmented=False) for a in (0, 256)]
    test = EXAMPLE.Batches("test", 0, 10_000, 250, is_augmented=False)
    values = partial(_classes, slice(2_000, None))
    task = replace(task, train=halves[0], validation=halves[1])
    return Subject(model, task, test, values, samples=256)


def sentences() -> Subject:
    """MiniLM-L6."""
    import minilm

    task, count = minilm.task(), minilm.CALIBRATION
    others = minilm.encoded([phrase for _, phrase in minilm.rows("train", 2 * count)][count:])
    parts = zip(*(x.split(32) for x in others), strict=True)
    compared = [(part, torch.zeros(len(part[0]))) for part in parts]
    task = replace(task, validation=compared, test=task.validation)
    return Subject(minilm.model(), task, task.test, _embeddings, count)


def style() -> Subject:
    """Style transfer."""
    import style

    task = style.task()
    return Subject(style.model(), task, task.test, _pictures, style.CALIBRATION)


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "resnet20": partial(resnet, "resnet20"),
    "resnet56": partial(resnet, "resnet56"),
    "lite0": lite0,
    "minilm": sentences,
    "style": style,
}


@torch.no_grad()
def answers(module: nn.Module, test: Iterable[tuple[object, Tensor]]) -> tuple[Tensor, Tensor]:
    """Outputs and labels of all test examples."""
    pairs = []
    for inputs, labels in test:
        arguments = inputs if isinstance(inputs, tuple) else (inputs,)
        pairs.append((module.eval()(*arguments), labels))
    return torch.cat([outputs for outputs, _ in pairs]), torch.cat([labels for _, labels in pairs])


def rows_of(case: str, system: str, values: Values) -> list[Row]:
    """What is left of the outputs, each quantity with a 95 % interval over examples."""
    rows = []
    for quantity, (each, unit) in values.items():
        found = interval_of_mean(each.numpy())
        mean = float(each.mean())
        rows.append(
            Row(case, system, quantity, mean, unit, "measured", found.low, found.high, len(each))
        )
    return rows
