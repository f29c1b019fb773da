"""Weights of one step each while a network trains, for files whose frequent integers are short."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lilliput.core import IntegerType, Model, PassError, PerTensor, Stage, UnsupportedError
from lilliput.core.spelling import did_you_mean
from lilliput.graph.masks import is_masked, original_of
from lilliput.quantize.numbers.fake import FakeQuantize

__all__ = ["QuantizeCodedAware", "SteppedLayer", "stepped_layers"]

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED, nn.Embedding)
_TYPE = IntegerType(16, granularity=PerTensor())


@dataclass(frozen=True, eq=False)
class SteppedLayer:
    """A layer whose weight is rounded to multiples of a step.

    Args:
        name: In the network.
        layer: Its `weight` is the rounded one.
        quantizer: Its scale is the step.
    """

    name: str
    layer: nn.Module
    quantizer: FakeQuantize

    @property
    def step(self) -> Tensor:
        """Real value of an integer's unit, without axes."""
        return self.quantizer.scale.reshape(())

    @property
    def channel_axis(self) -> int:
        """Of the weight, the axis of output channels."""
        return 1 if isinstance(self.layer, _TRANSPOSED) else 0

    @property
    def chain(self) -> parametrize.ParametrizationList:
        """What the weight goes through."""
        return self.layer.parametrizations["weight"]  # type: ignore[index, return-value]

    @property
    def original(self) -> Tensor:
        """The parameter that is trained."""
        return self.chain.original

    @property
    def is_masked(self) -> bool:
        """Whether something comes before the rounding."""
        return len(self.chain) > 1

    def units(self) -> Tensor:
        """The weight before it is rounded, in steps; masked numbers are zero."""
        weight = self.original
        for part in list(self.chain)[:-1]:
            weight = part(weight)
        return weight.float() / self.step


def stepped_layers(module: nn.Module) -> Iterator[SteppedLayer]:
    """Every layer that `QuantizeCodedAware` gave a step."""
    for name, layer in module.named_modules():
        if parametrize.is_parametrized(layer, "weight"):
            last = list(layer.parametrizations["weight"])[-1]
            if isinstance(last, FakeQuantize):
                yield SteppedLayer(name, layer, last)


@dataclass(frozen=True)
class QuantizeCodedAware:
    """Rounds each weight to multiples of one step, for `FineTune` or `Distill` to train with.

    The gradient passes straight through the rounding. BatchNorm stays and learns on. With the hook
    `RatePenalty` the integers become such as take few bits, most of them zero; `SettleCoded` then
    makes weights plain. Masks of pruned weights stay.

    Args:
        step: Of each weight, as a share of its root mean square: 1 begins with some 2 bits a
            weight, 0.5 with 3. It is fixed, and the weights move.
        floats: Layers to leave alone; `*` stands for anything.

    Source: Oktay et al. 2020, "Scalable Model Compression by Entropy Penalized Reparameterization",
    section 3, with straight-through rounding in the place of noise.
    """

    stage: ClassVar[Stage] = "quantize"

    step: float = 0.7
    floats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.step > 0:
            raise ValueError(f"step must be more than 0, got {self.step}")

    def __call__(self, model: Model, /) -> Model:
        """Gives the network with a quantizer on each weight.

        Raises:
            UnsupportedError: There is no weight to round, or no layer of a name in `floats`.
            PassError: A weight is NaN or infinite.
        """
        layers = dict(_layers(model.module))
        for pattern in self.floats:
            if not any(fnmatchcase(name, pattern) for name in layers):
                raise UnsupportedError(
                    f"no layer with a weight to round is called {pattern!r}; "
                    f"{did_you_mean(pattern, layers)}"
                )
        chosen = {
            name: layer
            for name, layer in layers.items()
            if not any(fnmatchcase(name, pattern) for pattern in self.floats)
        }
        if not chosen:
            raise UnsupportedError(
                "there is no weight to round: no convolution, linear layer or embedding has one "
                "of its own"
            )
        for name, layer in chosen.items():
            _add_step(name, layer, self.step)
        return model


def _layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Layers with a weight of their own, plain or masked: one that two share would be two."""
    found = [
        (name, part)
        for name, part in module.named_modules()
        if isinstance(part, _LAYERS) and (is_masked(part) or not parametrize.is_parametrized(part))
    ]
    owners = Counter(id(original_of(part)) for _, part in found)
    for name, part in found:
        if part.weight.numel() and owners[id(original_of(part))] == 1:
            yield name, part


@torch.no_grad()
def _add_step(name: str, layer: nn.Module, share: float) -> None:
    weight: Tensor = layer.weight  # type: ignore[assignment]
    if not weight.isfinite().all():
        raise PassError(f"the weight of {name!r} is NaN or infinite")
    left = weight[weight != 0]
    spread = float(left.square().mean().sqrt()) if len(left) else 1.0
    quantizer = FakeQuantize(_TYPE).to(weight.device)
    quantizer.scale.fill_(max(spread * share, float(weight.abs().max()) / _TYPE.high))
    quantizer.is_enabled = True
    parametrize.register_parametrization(layer, "weight", quantizer)
