"""What the search may vary, and the candidates that its points stand for."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from torch import nn

from lilliput.core import Model, Pass, Target, Task, run
from lilliput.graph import channel_groups, cost, trace
from lilliput.prune import PruneChannels, RemoveBlocks, allot, bytes_of, macs_of
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
from lilliput.search.survey import Survey
from lilliput.train import SGD, AdamW, Distill, MeanSquaredErrorMatch, SoftTargets, Training

__all__ = ["OBSERVERS", "Point", "Space"]

OBSERVERS: Mapping[str, Observer] = {
    "minmax": MinMax(),
    "mse": MeanSquaredError(),
    "percentile": Percentile(),
    "entropy": Entropy(),
}


_LONG = 15
"""Epochs from which on a training takes the whole learning rate."""
_CLOSE = 1.02
"""How much more than asked for may be left."""


@dataclass(frozen=True)
class Point:
    """One point of the search.

    Args:
        share: What channel pruning leaves of the MACs or bytes (`Space.counts`), 1 for all.
        blocks: How many whole blocks are removed, the least sensitive first.
        epochs: Of distillation after pruning, before quantization.
        aware_epochs: Of distillation after quantizers are in, 0 for quantization after training.
        observer: Which observer sets the ranges, a key of `OBSERVERS`.
        bits: Of weights in the file.
        is_rounded: Whether weights are rounded by what layers read, not each to its nearest.
    """

    share: float = 1.0
    blocks: int = 0
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
        sensitivity: Rise of the loss by channel group and pruning ratio, once it is known.
        blocks: Removable blocks, the least sensitive first.
        multiple: What widths are rounded to.
        seed: Of training.
        is_float: Whether no target runs integers, so that nothing is quantized.
        counts: What the share of a point is of: what the budget limits most.
    """

    model: Model
    task: Task
    teacher: Model
    is_classifier: bool
    learning_rate: float = 0.05
    sensitivity: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    blocks: tuple[str, ...] = ()
    multiple: int = 1
    seed: int = 0
    is_float: bool = False
    counts: Literal["macs", "bytes"] = "macs"
    _shapes: dict[tuple[int, float], tuple[Pass, ...]] = field(default_factory=dict, init=False)

    def informed(self, facts: Survey) -> "Space":
        """The space once the survey has told what the network can spare."""
        by_bytes = self.counts == "bytes"
        return replace(
            self,
            sensitivity=facts.sensitivity,
            blocks=self._in_order(facts.block_drops),
            # fine steps hit a limit on bytes; a limit on time wants what vector units like
            multiple=min(facts.multiple, 4) if by_bytes else facts.multiple,
        )

    def _in_order(self, drops: Mapping[str, float]) -> tuple[str, ...]:
        """Blocks, first the one whose removal costs least: for its bytes where these count."""
        if self.counts == "macs":  # at batch 1 every block takes about the same time
            return tuple(sorted(drops, key=lambda name: drops[name]))
        parts = {name: self.model.module.get_submodule(name) for name in drops}
        sizes = {n: sum(p.nbytes for p in part.parameters()) for n, part in parts.items()}
        return tuple(sorted(drops, key=lambda n: max(drops[n], 0.0) / max(sizes[n], 1)))

    def candidate(self, point: Point) -> Candidate:
        """The recipe of a point, named by what is in it."""
        shared = self.shape(point)
        words = []
        if point.blocks:
            words.append(f"blocks-{point.blocks}")
        if point.share < 1:
            words.append(f"{self.counts}{100 * point.share:.0f}")
        if shared and point.epochs:
            shared = (*shared, self.distill(point.epochs))
            words.append(f"distil{point.epochs}")
        if not self.is_float:
            words += ["int8" if point.bits == 8 else f"w{point.bits}a8", point.observer]
            words += [f"qat{point.aware_epochs}"] if point.aware_epochs else []
            words += ["rounded"] if point.is_rounded else []
        return Candidate("-".join(words) or "float", shared, partial(self._finish, point))

    def shape(self, point: Point) -> tuple[Pass, ...]:
        """The passes that give the point's architecture, worked out once."""
        key = point.blocks, point.share
        if key not in self._shapes:
            self._shapes[key] = self._shape(point)
        return self._shapes[key]

    def _shape(self, point: Point) -> tuple[Pass, ...]:
        passes: list[Pass] = []
        if point.blocks:
            passes.append(RemoveBlocks(self.blocks[: point.blocks]))
        if point.share < 1:
            passes += self._prune(run(self.model, passes), point.share)
        return tuple(passes)

    def _prune(self, shallower: Model, share: float) -> list[Pass]:
        """Pruning that leaves the share at the least rise of the loss.

        Widths that must be multiples may leave more than was asked for; then less is asked for.
        """
        graph = trace(shallower)
        groups = channel_groups(graph)
        by_bytes = self.counts == "bytes"
        amount = bytes_of(groups) if by_bytes else macs_of(groups, cost(graph))
        drops = {
            group.name: {float(k): drop for k, drop in self.sensitivity[group.name].items()}
            for group in groups
            if group.name in self.sensitivity
        }
        best: list[Pass] = []
        wanted, left = share, 1.0
        while left > _CLOSE * share and wanted > share / 4:
            ratios = allot(drops, amount, wanted)
            if not ratios:
                break
            best = [PruneChannels(ratios, multiple_of=self.multiple)]
            left = self._amount(run(shallower, best)) / self._amount(shallower)
            wanted *= 0.95 * min(1.0, share / left)
        return best

    def _amount(self, model: Model) -> int:
        if self.counts == "bytes":
            return sum(tensor.nbytes for tensor in model.module.parameters())
        return sum(row.macs for row in cost(trace(model)))

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
