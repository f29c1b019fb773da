"""Steps of activations learned together from the outputs alone, without labels."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_map

from lilliput.core import Model, PassError, Stage, Task
from lilliput.core.progress import track
from lilliput.quantize.beside.as_float import as_float
from lilliput.quantize.beside.distance import Distance, distance_of
from lilliput.quantize.beside.lockstep import weighted
from lilliput.quantize.numbers.fake import FakeQuantize, quantizers

__all__ = ["LearnRanges"]


@dataclass(frozen=True)
class LearnRanges:
    """Moves the steps of activations so that the network's outputs change least.

    An observer sees one tensor at a time and cannot know what an error there costs at the end. Here
    the outputs are compared with the float network's, on examples without labels, and gradients say
    which range is to clip more or less. Weights keep their codes; zero points stay.

    Args:
        task: Its training inputs are looked at, and of its validation labels what kind they are.
        samples: How many examples.
        steps: Of the optimizer (Adam, whose learning rate falls to zero along a cosine).
        batch: Examples a step.
        pace: About the largest change of a range in a step, as a share of it.
        seed: Of the order of examples.

    Source: learned steps: Esser et al. 2020, "Learned Step Size Quantization", eq. 3, with the
    distance of the outputs as the loss.
    """

    stage: ClassVar[Stage] = "reconstruct"

    task: Task
    samples: int = 512
    steps: int = 200
    batch: int = 64
    pace: float = 5e-4
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("samples", "steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if not 0 < self.pace < 1:
            raise ValueError(f"pace must be more than 0 and less than 1, got {self.pace}")

    def __call__(self, model: Model, /) -> Model:
        """Gives the network with other ranges; weights, biases and zero points stay.

        Raises:
            PassError: The network has no quantizers of activations whose steps may be anything.
        """
        module = model.module.eval()
        ranges = _activations(module)
        if not isinstance(module, fx.GraphModule) or not ranges:
            raise PassError(
                "no activation has a step to learn; QuantizeStatic comes before LearnRanges, and "
                "steps that are powers of two stay"
            )
        distance = distance_of(model, self.task)
        inputs = _joined(self.task, self.samples)
        with as_float(module), torch.no_grad():
            wanted = _outputs(module, inputs, self.batch)
        with _training(module, ranges):
            self._learn(module, ranges, (inputs, wanted), distance)
        return model

    def _learn(
        self,
        module: nn.Module,
        ranges: list[FakeQuantize],
        data: tuple[tuple[Tensor, ...], Any],
        distance: Distance,
    ) -> None:
        inputs, wanted = data
        groups = [
            {"params": [q.scale], "lr": self.pace * float(q.scale.detach().mean())} for q in ranges
        ]
        optimizer = torch.optim.Adam(groups)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        draw = torch.Generator().manual_seed(self.seed)
        count = len(inputs[0])
        for _ in track(range(self.steps), "learn ranges"):
            chosen = torch.randint(count, (min(self.batch, count),), generator=draw)
            outputs = module(*(x[chosen] for x in inputs))
            loss = distance(outputs, _chosen(wanted, chosen, count)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def _activations(module: nn.Module) -> list[FakeQuantize]:
    """The quantizers that are no weight's, and whose steps may be anything."""
    of_weights = {id(q) for _, q in weighted(module)} if isinstance(module, fx.GraphModule) else {}
    found = [q for q in quantizers(module).values() if id(q) not in of_weights]
    return [q for q in found if not q.type.is_power_of_two]


def _joined(task: Task, samples: int) -> tuple[Tensor, ...]:
    batches = list(task.calibration(samples))
    return tuple(torch.cat(parts) for parts in zip(*batches, strict=True))


def _outputs(module: nn.Module, inputs: tuple[Tensor, ...], batch: int) -> Any:
    """What the network gives for all examples; of what has none on its first axis, the first."""
    parts = [module(*x) for x in zip(*(x.split(batch) for x in inputs), strict=True)]
    counts = [len(x) for x in inputs[0].split(batch)]

    def joined(*leaves: Any) -> Any:
        tensors = [y for y in leaves if isinstance(y, Tensor)]
        by_example = [y.shape[:1] == (count,) for y, count in zip(tensors, counts, strict=False)]
        return torch.cat(tensors) if tensors and all(by_example) else leaves[0]

    return tree_map(joined, *parts)


def _chosen(outputs: Any, which: Tensor, count: int) -> Any:
    """The same outputs of some examples."""

    def taken(y: Any) -> Any:
        return y[which] if isinstance(y, Tensor) and y.shape[:1] == (count,) else y

    return tree_map(taken, outputs)


@contextmanager
def _training(module: nn.Module, ranges: list[FakeQuantize]) -> Iterator[None]:
    """Lets gradients reach ranges only; the network itself stays in eval mode."""
    wanted_before = {p: p.requires_grad for p in module.parameters()}
    for parameter in wanted_before:
        parameter.requires_grad_(False)
    for quantizer in ranges:
        quantizer.learn()
        quantizer.train()
    try:
        yield
    finally:
        for quantizer in ranges:
            quantizer.eval()
            quantizer.settle()
        for parameter, wanted in wanted_before.items():
            parameter.requires_grad_(wanted)
