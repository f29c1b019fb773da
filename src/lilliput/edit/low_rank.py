"""Layers of low rank: several cheap ones in a row that compute nearly the same."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import nn

from lilliput.core import Model, PassError, Stage, Task
from lilliput.core.kernel import Note
from lilliput.core.settings import check_kind, check_names
from lilliput.edit.factors.channels import ChannelSvd
from lilliput.edit.factors.kind import Choice, Factors, Kind
from lilliput.edit.factors.ranks import allot_ranks
from lilliput.edit.layers import Place, places, replaced
from lilliput.edit.parts import in_a_row
from lilliput.edit.reads import Reads, matrices, reads_of

__all__ = ["FactorizeLayers"]


@dataclass(frozen=True)
class FactorizeLayers:
    """Replaces layers by factors of low rank, fitted to what the layers read.

    Ranks are chosen over all layers together: those that lose least of their outputs' variance for
    the multiplications they save go first. A layer that would lose much for what it saves stays as
    it is, and is noted.

    Args:
        share: Share of the layers' multiplications that remains, above 0 to 1.
        kind: How a layer is taken apart.
        task: Gives the data the factors are fitted on; without it all inputs count alike.
        samples: Training examples to look at.
        layers: Names of layers; empty for all that the kind suits.
        ranks: Ranks for each layer named, one number or one for each factor, instead of a share.
    """

    share: float = 0.5
    kind: Kind = field(default_factory=ChannelSvd)
    task: Task | None = None
    samples: int = 256
    layers: tuple[str, ...] = ()
    ranks: Mapping[str, int | Sequence[int]] = field(default_factory=dict)
    stage: ClassVar[Stage] = "factorize"

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, got {self.share}")
        if self.samples < 1:
            raise ValueError(f"samples must be 1 or more, got {self.samples}")
        check_names("layers", self.layers)
        check_kind("kind", self.kind, Kind, "Svd()")
        if self.layers and self.ranks:
            raise ValueError("give layers or ranks, not both: ranks name their layers")

    def __call__(self, model: Model, /) -> Model:
        """Gives the model with the layers factorized.

        Raises:
            PassError: A name is no layer of this kind, a rank is out of range, or the share is less
                than rank 1 everywhere leaves.
            TaskError: The task has no training data.
        """
        what = f"layer that {type(self.kind).__name__} suits"
        found = places(model, self.layers or tuple(self.ranks), self.kind.suits, what)
        if not found:
            return _noted(model, f"no {what}, so nothing is factorized")
        reads = reads_of(model, found, self.task, self.samples, is_shrunk=True)
        factors = {name: self.kind.factors(place, reads[name]) for name, place in found.items()}
        ranks = self._given(factors) or self._chosen(found, factors, reads)
        new: dict[str, nn.Module] = {
            name: in_a_row(found[name].layer, factors[name].build(own))
            for name, own in ranks.items()
            if own
        }
        model = replaced(model, new) if new else model
        for name, own in ranks.items():
            if not own:
                model = _noted(model, f"{name} keeps its form", is_fallback=name in self.layers)
        return model

    def _given(self, factors: Mapping[str, Factors]) -> dict[str, tuple[int, ...]]:
        found = {}
        for name, wish in self.ranks.items():
            limits = factors[name].limits
            own = (wish,) * len(limits) if isinstance(wish, int) else tuple(wish)
            is_within = len(own) == len(limits) and all(
                1 <= rank <= limit for rank, limit in zip(own, limits, strict=True)
            )
            if not is_within:
                most = " and ".join(f"1 to {limit}" for limit in limits)
                raise PassError(f"ranks of {name!r} must be {most}, got {wish}")
            found[name] = own
        return found

    def _chosen(
        self,
        found: Mapping[str, Place],
        factors: Mapping[str, Factors],
        reads: Mapping[str, Reads],
    ) -> dict[str, tuple[int, ...]]:
        wholes = {name: _macs(place) for name, place in found.items()}
        target = self.share * sum(wholes.values())
        choices: dict[str, list[Choice]] = {}
        for name, own in factors.items():
            scale = _energy_to_variance(found[name], reads[name])
            choices[name] = [replace(c, lost=scale * c.lost) for c in own.choices()]
        chosen = allot_ranks(wholes, choices, target)
        total = sum(choice.macs for choice in chosen.values())
        if total > target:
            least = math.ceil(1000 * total / sum(wholes.values())) / 1000
            raise PassError(
                f"share is {self.share}, but at rank 1 these layers keep {least:.3f} of their "
                f"multiplications; give share={least:.3f} or more, or other layers"
            )
        return {name: choice.ranks for name, choice in chosen.items()}


def _energy_to_variance(place: Place, reads: Reads) -> float:
    """A mean that outputs have always is no use to what follows: their variance is what counts."""
    weights = matrices(place.layer)
    energy = torch.einsum("gof,gfh,goh->", weights, reads.second, weights)
    always = 0.0
    if place.layer.bias is None:  # else the mean is not in the energy
        always = float(torch.einsum("gof,gf->go", weights, reads.mean).square().sum())
    return float(energy / (energy - always).clamp_min(1e-30))


def _macs(place: Place) -> int:
    """Multiplications of the layer as it is, for the example inputs."""
    weight = place.layer.weight
    total = 0
    for run in place.runs:
        positions = 1
        for size in run.given:
            positions *= size
        total += positions * weight.numel()
    return total


def _noted(model: Model, text: str, is_fallback: bool = True) -> Model:
    note = Note(f"FactorizeLayers: {text}", is_fallback)
    return replace(model, notes=(*model.notes, note))
