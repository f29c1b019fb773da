"""What the search may vary, and the candidates that its points stand for."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

from torch import nn

from lilliput.core import Model, Pass, Target, Task
from lilliput.core.data import length_of
from lilliput.quantize import (
    Entropy,
    MeanSquaredError,
    MinMax,
    Observer,
    Percentile,
    Precision,
    QuantizeAware,
    QuantizeStatic,
    RoundSecondOrder,
)
from lilliput.search.candidate import Candidate
from lilliput.search.shape import Amount, Shapes
from lilliput.search.survey import Survey
from lilliput.train import (
    SGD,
    AdamW,
    Distill,
    DistillLayers,
    MeanSquaredErrorMatch,
    SoftTargets,
    Training,
)

__all__ = ["OBSERVERS", "Point", "Space"]

OBSERVERS: Mapping[str, Observer] = {
    "minmax": MinMax(),
    "mse": MeanSquaredError(),
    "percentile": Percentile(),
    "entropy": Entropy(),
}


_LONG = 15
"""Epochs from which on a training takes the whole learning rate."""
_SAMPLES, _STEPS, _BATCH = 4096, 600, 64
"""What parts learn alone from, at most; it takes about as long as an epoch of CIFAR-10."""


@dataclass(frozen=True)
class Point:
    """One point of the search.

    Args:
        share: What pruning leaves of the MACs, bytes or time (`Space.counts`), 1 for all.
        blocks: How many whole blocks are removed, the least sensitive first.
        rank: What factors of low rank leave of the MACs, 1 for none.
        epochs: Of distillation after pruning, before quantization; the first of them part after
            part where parts hold all that was pruned.
        aware_epochs: Of distillation after quantizers are in, 0 for quantization after training.
        observer: Which observer sets the ranges, a key of `OBSERVERS`.
        bits: Of weights in the file.
        is_rounded: Whether weights are rounded by what layers read, not each to its nearest.
    """

    share: float = 1.0
    blocks: int = 0
    rank: float = 1.0
    epochs: int = 0
    aware_epochs: int = 0
    observer: str = "minmax"
    bits: int = 8
    is_rounded: bool = False


@dataclass(frozen=True, eq=False)
class Space:
    """Turns points into candidates for one model and task.

    Args:
        model: The original.
        task: Its data.
        teacher: What students learn from.
        is_classifier: Whether outputs are class scores, so that soft targets apply.
        learning_rate: Of long distillation after pruning; a tenth of it once quantizers are in.
        seed: Of training.
        is_float: Whether no target runs integers, so that nothing is quantized.
        counts: What the share of a point is of: what the budget limits most.
        shapes: Architectures, as far as it is known what the network can spare.
    """

    model: Model
    task: Task
    teacher: Model
    is_classifier: bool
    learning_rate: float = 0.05
    seed: int = 0
    is_float: bool = False
    counts: Amount = "macs"
    shapes: Shapes | None = None

    def informed(self, facts: Survey) -> "Space":
        """The space once the survey has told what the network can spare."""
        # fine steps hit a limit on bytes; a limit on time wants what vector units like
        multiple = min(facts.multiple, 4) if self.counts == "bytes" else facts.multiple
        shapes = Shapes(
            self.model,
            self.task,
            facts.sensitivity,
            facts.block_drops,
            multiple,
            self.counts,
            facts.latency,
        )
        return replace(self, shapes=shapes)

    @property
    def blocks(self) -> tuple[str, ...]:
        """Removable blocks, the least sensitive first; none before they are known."""
        return self.shapes.blocks if self.shapes else ()

    def left_without(self, blocks: int) -> float:
        """The share that is left without so many blocks: of the time where that counts."""
        return self.shapes.left_without(blocks) if self.shapes else 1.0

    def candidate(self, point: Point) -> Candidate:
        """The recipe of a point."""
        shared = self.shape(point)
        if not shared:  # there is nothing to recover from
            point = replace(point, epochs=0)
        name = self.name(point)
        if point.epochs:
            shared = (*shared, *self._recovery(point))
        return Candidate(name, shared, partial(self._finish, point))

    def name(self, point: Point) -> str:
        """What is in a point, in short words."""
        words = [f"blocks-{point.blocks}"] if point.blocks else []
        words += [f"{self.counts}{100 * point.share:.0f}"] if point.share < 1 else []
        words += [f"rank{100 * point.rank:.0f}"] if point.rank < 1 else []
        words += [f"distil{point.epochs}"] if point.epochs else []
        if not self.is_float:
            words += ["int8" if point.bits == 8 else f"w{point.bits}a8", point.observer]
            words += [f"qat{point.aware_epochs}"] if point.aware_epochs else []
            words += ["rounded"] if point.is_rounded else []
        return "-".join(words) or "float"

    def shape(self, point: Point) -> tuple[Pass, ...]:
        """The passes that give the point's architecture."""
        shapes = self.shapes or Shapes(self.model, self.task)
        return shapes.passes(point.blocks, point.share, point.rank)

    def distill(self, epochs: int, is_quantized: bool = False) -> Distill:
        """Training that recovers what a step cost."""
        optimizer = SGD() if _has_batch_norm(self.model) else AdamW()
        # a short training has no time to come back from large steps
        rate = self.learning_rate * min(1.0, max(0.2, epochs / _LONG))
        rate = rate if isinstance(optimizer, SGD) else rate / 50
        return Distill(
            self.task,
            self.teacher,
            epochs=epochs,
            learning_rate=rate / 10 if is_quantized else rate,
            match=SoftTargets() if self.is_classifier else MeanSquaredErrorMatch(),
            training=Training(
                optimizer=optimizer,
                seed=self.seed,
                # BatchNorm is folded then, and one long gradient can end a training
                clip_norm=1.0 if is_quantized else None,
            ),
        )

    def _recovery(self, point: Point) -> tuple[Pass, ...]:
        """Training after pruning; where blocks are narrower inside, each learns alone first.

        A deep network starts nearer to its teacher then than an epoch of the whole brings it. A
        teacher of another architecture has no such blocks.
        """
        shapes, has_time = self.shapes, point.epochs > 1 and self.teacher is self.model
        if has_time and shapes and shapes.is_in_parts(point.blocks, point.share, point.rank):
            return (self._alone, self.distill(point.epochs - 1))
        return (self.distill(point.epochs),)

    @cached_property
    def _alone(self) -> DistillLayers:
        """Teaches parts for about an epoch, and no longer than an epoch of CIFAR-10."""
        inputs, _ = self.task.first("train", 1)[0]
        batches = length_of(self.task.train)
        examples = len(inputs[0]) * batches if batches else _STEPS * _BATCH
        return DistillLayers(
            self.task,
            self.model,
            samples=min(_SAMPLES, examples),
            steps=min(_STEPS, math.ceil(examples / _BATCH)),
            batch=_BATCH,
            seed=self.seed,
        )

    def _finish(self, point: Point, target: Target) -> tuple[Pass, ...]:
        if target.rules is None:
            return ()
        observer = OBSERVERS[point.observer]
        precision = Precision({"*": point.bits} if point.bits != 8 else {})
        if point.aware_epochs:
            return (
                QuantizeAware(target.rules, self.task, observer=observer, precision=precision),
                self.distill(point.aware_epochs, is_quantized=True),
            )
        static = QuantizeStatic(target.rules, self.task, observer=observer, precision=precision)
        return (static, RoundSecondOrder(self.task)) if point.is_rounded else (static,)


def _has_batch_norm(model: Model) -> bool:
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    return any(isinstance(part, kinds) for part in model.module.modules())
