"""A layer's rounding as a problem of least squares: which weights come nearest to its outputs."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from lilliput.graph import filters
from lilliput.quantize.beside.lockstep import Place
from lilliput.quantize.numbers.grid import Grid
from lilliput.quantize.rounding.gram import Gram, gram_of, groups_of

__all__ = ["LeastSquares"]

Filters = Shaped[Tensor, "groups each fan"]
Matrix = Float[Tensor, "groups fan fan"]
_TINY = 1e-12
_ROUNDING = 1e-4
"""Of sums of float32 products, a share of the squared mean that is surely more than rounding."""


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """Weights `V` cost `(V - best) metric (V - best)'` more than the best ones.

    Args:
        place: The layer.
        weight: The float network's, by group.
        best: What would do best with what the quantized network reads there.
        metric: Means of products of what it reads, the ridge added.
        gram: What it was made from.
    """

    place: Place
    weight: Filters
    best: Filters
    metric: Matrix
    gram: Gram

    @staticmethod
    def of(
        place: Place, damping: float, gram: Gram | None = None, positions: int | None = None
    ) -> "LeastSquares":
        """The problem of one layer.

        Args:
            place: A layer for which `is_linear` holds.
            damping: Share of the mean of the diagonal that is added to it, so that directions that
                the examples do not show stay as they were.
            gram: What the layer reads, where it is known already.
            positions: Where it is not, about how many positions of all examples are looked at;
                None for all.
        """
        groups = groups_of(place.node, place.weight)
        gram = gram or gram_of(place, place.bias is not None, positions)
        weight = filters(place.weight_float.float(), groups)
        spread = gram.read.diagonal(dim1=1, dim2=2).mean(1)
        # where inputs hardly change, their products about the mean are what rounding left of them
        floor = (_ROUNDING * gram.mean.square().mean(1)).clamp_min(_TINY)
        ridge = damping * torch.maximum(spread, floor)
        metric = gram.read + ridge[:, None, None] * torch.eye(weight.shape[-1])
        wanted = weight @ gram.both + ridge[:, None, None] * weight
        best = torch.linalg.solve(metric, wanted.mT).mT
        return LeastSquares(place, weight, best, metric, gram)

    def grid(self) -> Grid:
        """What the weights can be with the scales as they are."""
        return Grid.of(self.place.quantizer, self.place.weight, len(self.weight))

    def cost(self, real: Filters) -> Float[Tensor, "groups each"]:
        """The squared error of each filter's outputs, less what even the best weights leave."""
        error = real - self.best
        return ((error @ self.metric) * error).sum(-1)

    def least(self, choices: Sequence[Filters]) -> Filters:
        """Of each filter the choice that costs least."""
        costs = torch.stack([self.cost(choice) for choice in choices])
        chosen = costs.argmin(0)[None, :, :, None].expand(1, *self.best.shape)
        return torch.stack(list(choices)).gather(0, chosen)[0]

    @torch.no_grad()
    def set(self, rounded: Filters) -> None:
        """Gives the layer its weights, and a bias that takes up what is left of means.

        The range of the weights stays as it is from now on.
        """
        place = self.place
        place.quantizer.momentum = None
        place.weight.copy_(rounded.reshape(place.weight.shape))
        bias = self.bias(rounded)
        if place.bias is not None and bias is not None:
            place.bias.copy_(bias)

    def bias(self, rounded: Filters) -> Float[Tensor, " out"] | None:
        """What takes up the difference of means; None where the layer has no bias."""
        if self.place.bias_float is None:
            return None
        before = (self.weight @ self.gram.mean_float[:, :, None]).flatten()
        after = (rounded @ self.gram.mean[:, :, None]).flatten()
        return self.place.bias_float + before - after
