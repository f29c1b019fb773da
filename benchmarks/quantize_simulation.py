"""How near simulations come to the exported file: in integers, and fake-quantized.

Steps are those of the file's output: a code of an integer output; of a float one, which is a sum of
products of codes, the smallest step of those sums, and 1/255 of the outputs' range beside it.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial

import lite0
import numpy as np
import torch
from cases import Case
from rows import Row
from scoring import EXAMPLE, WORK
from simulation_layers import from_file, from_simulation, worst_layer
from torch import Tensor, fx

import lilliput as lp
from lilliput.export.format import Array

_IMAGES, _INSIDE = 300, 20
Net = Callable[[], tuple[lp.Model, lp.Task, Tensor]]


def resnet(depth: int) -> tuple[lp.Model, lp.Task, Tensor]:
    """A ResNet, and test images of CIFAR-10."""
    images = EXAMPLE.normalise(EXAMPLE.images("test")[0][:_IMAGES])
    return EXAMPLE.trained(depth), EXAMPLE.task(), images


def efficientnet() -> tuple[lp.Model, lp.Task, Tensor]:
    """EfficientNet-Lite0, and the photos that it is not calibrated on."""
    photos = torch.cat([x for x, _ in lite0.task().validation])
    return lite0.model(), lite0.task(), photos[:_IMAGES]


@cache
def quantized(net: Net, target: str) -> lp.Model:
    """int8 with the ranges of 200 examples."""
    model, task, _ = net()
    return lp.run(model, [lp.QuantizeStatic(lp.get_target(target).rules, task, samples=200)])


def rows_of(case: str, net: Net, target: str) -> list[Row]:
    """The file against the network with fake quantizers, and against the integers."""
    chosen, images = lp.get_target(target), net()[2]
    model = quantized(net, target)
    artifact = lp.export(model, chosen, WORK / "simulation" / case)
    (wanted,) = lp.load(artifact.path, artifact.format)((images.numpy(),))
    integers = lp.simulate(model, chosen)
    rows = []
    for system, simulated in (("fake-quantized", model), ("integers", integers)):
        rows += _against(case, system, wanted, _run(simulated.module, images))
    if artifact.format == "executorch":  # shows nothing of what is inside
        return rows
    assert isinstance(integers.module, fx.GraphModule)  # noqa: S101
    ours = from_simulation(integers.module, images[:_INSIDE])
    worst, equal, found = worst_layer(ours, from_file(artifact, images[:_INSIDE]))
    inside = partial(Row, case, "integers", method="measured", samples=_INSIDE)
    return [
        *rows,
        inside("largest difference in a layer", worst, "codes"),
        inside("layers with equal codes", equal, f"of {found}"),
    ]


def _run(module: torch.nn.Module, images: Tensor) -> Array:
    with torch.no_grad():
        return torch.cat([module(batch) for batch in images.split(20)]).numpy()


def _against(case: str, system: str, wanted: Array, given: Array) -> list[Row]:
    difference = np.abs(wanted.astype(np.float64) - given)
    row = partial(Row, case, system, method="measured", samples=len(wanted))
    largest = float(difference.max())
    return [
        row("largest difference", largest, "1"),
        row("largest difference in steps", largest / _step(wanted), "steps"),
        row("largest difference in 1/255 of range", largest / float(np.ptp(wanted)) * 255, "1"),
        row("bit-equal outputs", float(np.mean(wanted == given)), "1"),
        row("same top-1", float(np.mean(wanted.argmax(1) == given.argmax(1))), "1"),
    ]


def _step(outputs: Array) -> float:
    """The smallest step of any class: outputs are multiples of it."""
    steps = [np.diff(np.unique(column)) for column in outputs.astype(np.float64).T]
    return min(float(step[step > 1e-6 * np.ptp(outputs)].min()) for step in steps if len(step))


def cases() -> Iterator[Case]:
    """Each network for each runtime."""
    nets: dict[str, Net] = {
        "resnet20": partial(resnet, 20),
        "resnet56": partial(resnet, 56),
        "lite0": efficientnet,
    }
    for name, net in nets.items():
        for target in ("onnxruntime-cpu", "litert-cpu", "executorch-cpu"):
            case = f"simulation-{name}-{target.removesuffix('-cpu')}"
            yield Case(case, partial(rows_of, case, net, target), "integers")
