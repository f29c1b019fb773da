"""Pruning that knows what a layer reads: the weights that stay make up for those that go."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lilliput.core import Model, PassError, Stage, Task
from lilliput.core.modes import in_eval_mode, with_plain_attention
from lilliput.core.progress import track
from lilliput.core.settings import check_kind, check_names
from lilliput.graph import filters, input_moments
from lilliput.graph.masks import mask_of, original_of
from lilliput.prune.weights.choose import fitting, settled_sparsity
from lilliput.prune.weights.mask import prunable, set_mask
from lilliput.prune.weights.patterns import Pattern, Unstructured
from lilliput.prune.weights.prune_weights import left_dense, matrices_left_dense

__all__ = ["PruneSecondOrder", "sparsified"]

_COLUMNS = 128
"""Inputs whose masks are chosen at a time; the paper's block size."""
_ROWS = 128
"""That are solved for at a time, so that what the solver holds is small beside a layer."""
_STEPS = 32
"""Of conjugate gradients: as exact as single precision is, mostly after fewer."""

Filters = Float[Tensor, "groups each fan"]
Matrix = Float[Tensor, "groups fan fan"]


@dataclass(frozen=True)
class PruneSecondOrder:
    """Zeroes weights so that each layer's outputs change little, at once and without training.

    Layer after layer, with what the network pruned so far reads there: where zeros go is chosen for
    some inputs at a time, by how much of the error the others cannot take up, and each error moves
    onto the weights still to come. Then all that stay are brought to where the layer's outputs
    change least with these zeros. Every layer loses the same share. Transposed convolutions,
    those over three axes or that pad with something else than zeros, and layers that share a weight
    or do not run by themselves stay as they are.

    Source: Frantar and Alistarh 2023, "SparseGPT", algorithm 1, and eq. 3 for the last step.

    Args:
        task: Its training inputs are looked at, without labels.
        sparsity: Share of a layer's weights to zero, at least 0 and below 1; None for the
            pattern's own, or 0.5.
        pattern: Which weights may go together.
        samples: How many examples.
        damping: Share of the mean of the diagonal that is added to it, so that directions that the
            examples do not show stay as they were.
        skip: Names of layers to leave dense, or of modules with layers inside.

    Raises:
        ValueError: A setting is out of range, or the pattern fixes another sparsity.
    """

    stage: ClassVar[Stage] = "sparsify"

    task: Task
    sparsity: float | None = None
    pattern: Pattern = field(default_factory=Unstructured)
    samples: int = 256
    damping: float = 0.01
    skip: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_kind("pattern", self.pattern, Pattern, "NOfM(2, 4)")
        settled_sparsity(self.sparsity, self.pattern)
        check_names("skip", self.skip)
        object.__setattr__(self, "skip", tuple(self.skip))
        if self.samples < 1:
            raise ValueError(f"samples must be 1 or more, got {self.samples}")
        if not self.damping > 0:
            raise ValueError(f"damping must be more than 0, got {self.damping}")

    def __call__(self, model: Model, /) -> Model:
        """Gives the masked network, its other weights changed.

        Raises:
            PassError: There is nothing to prune, or nothing of a name in `skip`.
        """
        every = prunable(model.module, self.skip)
        layers = _in_running_order(model, fitting(every, self.pattern))
        if not layers:
            raise PassError(f"there is nothing to prune: no layer can have {self.pattern}")
        batches = list(self.task.calibration(self.samples))
        for name, layer in track(layers.items(), "second-order pruning", len(layers)):
            self._prune(model.module, name, layer, batches)
        dense = left_dense(every, layers, "their inputs cannot be looked at, or do not divide")
        notes = (*dense, *matrices_left_dense(model.module))
        return replace(model, notes=(*model.notes, *notes))

    @torch.no_grad()
    def _prune(
        self,
        module: nn.Module,
        name: str,
        layer: nn.Module,
        batches: list[tuple[Tensor, ...]],
    ) -> None:
        with with_plain_attention():
            metric = input_moments(module, [name], batches)[name].ridged(self.damping)
        weight = original_of(layer)
        order, spans = _columns(tuple(weight.shape), self.pattern)
        effective: Tensor = layer.weight  # type: ignore[assignment]
        pruned, keep = sparsified(
            filters(effective.double(), len(metric))[..., order],
            metric[:, order[:, None], order],
            settled_sparsity(self.sparsity, self.pattern),
            self.pattern,
            spans,
        )
        back = order.argsort()
        set_mask(module, name, keep[..., back].reshape(weight.shape))
        weight.copy_(pruned[..., back].reshape(weight.shape))


def sparsified(
    weight: Filters,
    metric: Matrix,
    sparsity: float,
    pattern: Pattern,
    spans: list[tuple[int, int]],
) -> tuple[Filters, Bool[Tensor, "groups each fan"]]:
    """Weights with zeros, and where they are not zero.

    Args:
        weight: Of one layer, columns of neighbours side by side; what is zero already stays so.
        metric: The second moment of what the columns read; positive definite.
        sparsity: Share to zero.
        pattern: Which weights may go together.
        spans: First and behind the last of the columns whose masks are chosen together.
    """
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(metric))
    upper = torch.linalg.cholesky(inverse, upper=True)
    del inverse
    may_stay = weight != 0
    left, keep = weight.clone(), torch.zeros_like(may_stay)
    number = max(1, round((1 - sparsity) * weight.numel()))
    kept = 0
    for start, stop in spans:
        scale = upper.diagonal(dim1=1, dim2=2)[:, None, start:stop]
        scores = (left[..., start:stop] / scale).square()
        scores = scores.masked_fill(~may_stay[..., start:stop], -1).flatten(0, 1)
        wanted = round(number * stop / weight.shape[-1]) - kept
        chosen = pattern.keep(scores, wanted).view_as(keep[..., start:stop])
        keep[..., start:stop] = chosen & may_stay[..., start:stop]
        kept += int(chosen.sum())
        errors = torch.zeros_like(left[..., start:stop])
        for column in range(start, stop):
            lost = left[..., column].masked_fill(keep[..., column], 0)
            error = lost / upper[:, None, column, column]
            left[..., column:stop] -= error[..., None] * upper[:, None, column, column:stop]
            errors[..., column - start] = error
        left[..., stop:] -= errors @ upper[:, start:stop, stop:]
    del upper
    left.masked_fill_(~keep, 0)
    for rows in range(0, left.shape[1], _ROWS):
        some = slice(rows, rows + _ROWS)
        left[:, some] = _least(weight[:, some], left[:, some], keep[:, some], metric)
    return left, keep


def _least(
    weight: Filters, start: Filters, keep: Bool[Tensor, "groups each fan"], metric: Matrix
) -> Filters:
    """The weights with these zeros whose outputs are nearest to the first's.

    Each row is a least-squares problem of its own, solved by conjugate gradients that are scaled by
    the diagonal.

    Source: Hestenes and Stiefel 1952; Shewchuk 1994, "An Introduction to the Conjugate Gradient
    Method", B3.
    """
    diagonal = metric.diagonal(dim1=1, dim2=2)[:, None]
    found = start.clone()
    slope = ((weight - found) @ metric) * keep
    direction = scaled = slope / diagonal
    size = (slope * scaled).sum(-1, keepdim=True)
    for _ in range(_STEPS):
        change = (direction @ metric) * keep
        bend = (direction * change).sum(-1, keepdim=True)
        length = torch.where(bend > 0, size / bend, 0)
        found += length * direction
        slope = slope - length * change
        scaled = slope / diagonal
        before, size = size, (slope * scaled).sum(-1, keepdim=True)
        direction = scaled + torch.where(before > 0, size / before, 0) * direction
    return found


def _columns(shape: tuple[int, ...], pattern: Pattern) -> tuple[Tensor, list[tuple[int, int]]]:
    """Inputs of one position of a filter side by side, and which to look at together."""
    inputs, positions = shape[1], torch.Size(shape[2:]).numel()
    order = torch.arange(inputs * positions).view(inputs, positions).T.flatten()
    if pattern.width == 1:
        return order, list(_spans(0, len(order), _COLUMNS))
    # one that fixes each few neighbours' share can be chosen for just these
    size = pattern.width
    if pattern.sparsity is None:
        size = max(size, _COLUMNS // size * size)
    starts = range(0, len(order), inputs)
    return order, [span for first in starts for span in _spans(first, first + inputs, size)]


def _spans(start: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
    for first in range(start, stop, size):
        yield first, min(first + size, stop)


def _in_running_order(model: Model, layers: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """Those whose inputs can be looked at, as they run first."""
    found: dict[str, nn.Module] = {}
    handles = []

    def watch(name: str, layer: nn.Module) -> None:
        def note(_: nn.Module, __: tuple[Tensor, ...]) -> None:
            found.setdefault(name, layer)

        handles.append(layer.register_forward_pre_hook(note))

    for name, layer in layers.items():
        if _can_be_looked_at(layer) and _is_alone(model.module, layer):
            watch(name, layer)
    try:
        with in_eval_mode(model.module), with_plain_attention(), torch.no_grad():
            model.module(*model.example_inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _can_be_looked_at(layer: nn.Module) -> bool:
    is_known = isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d)
    return is_known and getattr(layer, "padding_mode", "zeros") == "zeros"


def _is_alone(module: nn.Module, layer: nn.Module) -> bool:
    """Whether no other module holds the layer's weight, and nothing but a mask computes it."""
    if parametrize.is_parametrized(layer) and mask_of(layer) is None:
        return False
    weight = original_of(layer)
    holders = [p for m in module.modules() for p in m.parameters(recurse=False) if p is weight]
    return len(holders) == 1
