"""What a layer reads, weighed as errors of its outputs count."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lilliput.core import Model, Task
from lilliput.edit.layers import Layer, Place
from lilliput.graph import Moments, filters, input_moments

__all__ = ["Reads", "corrected_bias", "matrices", "reads_of", "right_solved"]

_DAMPING = 1e-6


@dataclass(frozen=True, eq=False)
class Reads:
    """For each group of a layer, in double.

    Args:
        second: Weighs a change of the weights: `tr C second C'` is the mean squared error of the
            outputs. The covariance where a bias takes up means, else the second moment, with a
            ridge of a millionth so that it has an inverse.
        mean: Of what is read.
    """

    second: Float[Tensor, "groups fan fan"]
    mean: Float[Tensor, "groups fan"]


def reads_of(
    model: Model,
    places: Mapping[str, Place],
    task: Task | None,
    samples: int,
    is_shrunk: bool = False,
) -> dict[str, Reads]:
    """What each layer reads in the task's data; without one, as if all inputs were white.

    Args:
        model: It is not changed.
        places: The layers, by name.
        task: Gives calibration data.
        samples: Examples of it to look at.
        is_shrunk: Whether directions are judged, of which few examples show too few.
    """
    if task is None:
        return {name: _white(place.layer) for name, place in places.items()}
    batches = task.calibration(samples)
    moments = input_moments(model.module, list(places), batches)
    return {name: _weighed(moments[name], place.layer, is_shrunk) for name, place in places.items()}


def matrices(layer: Layer) -> Float[Tensor, "groups each fan"]:
    """The layer's weights, in double."""
    groups = 1 if not layer.weight[0, 0].dim() else int(layer.groups)  # type: ignore[arg-type]
    return filters(layer.weight.detach().double(), groups)


def corrected_bias(
    layer: Layer, reads: Reads, change: Float[Tensor, "groups each fan"]
) -> Float[Tensor, " out"] | None:
    """The bias that keeps the mean of the outputs when the weights lose `change`."""
    if layer.bias is None:
        return None
    moved = torch.einsum("gof,gf->go", change, reads.mean).flatten()
    return layer.bias.detach().double() + moved


def right_solved(
    target: Float[Tensor, "*groups each fan"], square: Float[Tensor, "*groups fan fan"]
) -> Float[Tensor, "*groups each fan"]:
    """`X` of `X square = target`, for a symmetric matrix with a ridge of 1e-12.

    The ridge only keeps parts that read nothing, or the same twice, from growing without bound.
    """
    ridge = 1e-12 * square.diagonal(dim1=-2, dim2=-1).mean(-1).clamp_min(1e-30)
    eye = torch.eye(square.shape[-1], dtype=square.dtype, device=square.device)
    solved: Tensor = torch.linalg.solve(square + ridge[..., None, None] * eye, target.mT)
    return solved.mT


def _white(layer: Layer) -> Reads:
    groups, _, fan = matrices(layer).shape
    eye = torch.eye(fan, dtype=torch.double, device=layer.weight.device)
    return Reads(eye.expand(groups, fan, fan), eye.new_zeros(groups, fan))


def _weighed(moments: Moments, layer: Layer, is_shrunk: bool) -> Reads:
    ridge = moments.ridged(_DAMPING) - moments.second
    covariance = moments.covariance
    second = moments.second if layer.bias is None else covariance
    if is_shrunk:
        second = second + _shrunk(covariance, moments.count) - covariance
    return Reads(second + ridge, moments.mean)


def _shrunk(
    covariance: Float[Tensor, "groups fan fan"], count: int
) -> Float[Tensor, "groups fan fan"]:
    """Nearer to a multiple of the identity, the fewer examples there are for its size.

    Fewer examples than inputs leave directions in which none of them lies; layers that lost what
    reads these would lose nothing on the examples and all of it on others.

    Source: Chen, Wiesel, Eldar and Hero 2010, "Shrinkage Algorithms for MMSE Covariance
    Estimation", eq. 23 (OAS).
    """
    size = covariance.shape[-1]
    trace = covariance.diagonal(dim1=1, dim2=2).sum(1)
    square = covariance.square().sum((1, 2))
    spread = (count + 1 - 2 / size) * (square - trace**2 / size)
    share = ((1 - 2 / size) * square + trace**2) / spread.clamp_min(1e-300)
    share = share.clamp(0, 1)[:, None, None]
    eye = torch.eye(size, dtype=covariance.dtype, device=covariance.device)
    return (1 - share) * covariance + share * (trace / size)[:, None, None] * eye
