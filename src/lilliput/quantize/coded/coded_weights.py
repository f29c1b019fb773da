"""A network whose weights are to be coded, and the steps that keep a limit."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lilliput.core import Model, Task
from lilliput.core.progress import track
from lilliput.quantize.beside.distance import distance_of
from lilliput.quantize.beside.lockstep import Lockstep, alone, small_batches, weighted
from lilliput.quantize.beside.replay import keep
from lilliput.quantize.coded.allot import Allotment, allotment_of, refined
from lilliput.quantize.coded.budgets import Limit, Trial, search
from lilliput.quantize.coded.curve import Choice, entropy_bits, rounded_to, rounded_vector
from lilliput.quantize.coded.stepped import Seen, Stepped
from lilliput.quantize.rounding.gram import is_linear
from lilliput.quantize.rounding.least_squares import LeastSquares
from lilliput.quantize.rounding.second_order import on_grid

__all__ = ["CodedWeights", "Rounding"]

Rounding = Literal["nearest", "second-order"]

_LOOKED = 64
"""Examples on which tensors are looked at one by one."""
_POSITIONS = 1 << 13
"""Of what a layer reads, over all examples."""
_DAMPING = 1.0
_SWEEPS = 3
_CHEAPEST, _DEAREST = 1e2, 1e14
"""Bits that a unit of distance may be worth."""
_FIRST = 0.02
"""The sum of distances to begin with where the limit is on the metric."""
_SHORT = 16
"""Biases, scales of norms, and whatever else is no weight, stay as they are if they are fewer."""
_TENSOR_BYTES = 40
"""About those of a tensor's name, shape, tables and checksums in a packed file."""


class CodedWeights:
    """A network's weights, to be rounded to steps that keep one limit after another.

    Args:
        model: It is not changed.
        task: Its training inputs are looked at, without labels; outputs are compared on as many
            validation inputs.
        samples: How many examples of each split.
        rounding: How weights become integers.

    Raises:
        UnsupportedError: The network has no weights to round.
        TraceError: The network cannot be traced.
        PassError: A weight is NaN or infinite.
    """

    def __init__(self, model: Model, task: Task, samples: int, rounding: Rounding) -> None:
        self.task, self.rounding = task, rounding
        self.stepped = Stepped(model)
        self.distance = distance_of(model, task)
        self.read = small_batches(task.calibration(samples))
        self._compared = self._look(_inputs(task, samples))
        self._seen = self._look(_inputs(task, min(samples, _LOOKED)))
        self._put: float | None = None
        stepped = self._stepped_names()
        self._vectors = {
            name: parameter.detach()
            for name, parameter in self.stepped.module.named_parameters()
            if name not in stepped and parameter.numel() >= _SHORT
        }
        self._rest = self._other_bytes()
        for name in self._vectors:
            keep(self.stepped.module, name)

    def _stepped_names(self) -> set[str]:
        """Of weights with a step, and of parameters that are tied to one."""
        every = dict(self.stepped.module.named_parameters(remove_duplicate=False))
        weights = {weight.name for weight in self.stepped.weights}
        places = {every[name].data_ptr() for name in weights & every.keys()}
        return weights | {name for name, own in every.items() if own.data_ptr() in places}

    def _other_bytes(self) -> float:
        """Of what stays float, and of what a file says of each tensor."""
        state = self.stepped.module.state_dict()
        quantizers = tuple(f"{weight.name}_quantizer." for weight in self.stepped.weights)
        own = {name: value for name, value in state.items() if not name.startswith(quantizers)}
        rounded = self._stepped_names() | set(self._vectors)
        others = [value for name, value in own.items() if name not in rounded]
        return float(_TENSOR_BYTES * len(own) + sum(x.numel() * x.element_size() for x in others))

    def _look(self, inputs: Iterable[tuple[Tensor, ...]]) -> Seen:
        """What the float network gives for inputs."""
        batches = small_batches(inputs)
        return Seen(batches, self.stepped.outputs(batches), self.distance)

    @property
    def compared(self) -> int:
        """Inputs on which outputs are compared."""
        return self._compared.count

    @cached_property
    def _float_metric(self) -> float:
        """Asked for before anything is rounded."""
        return self.task.score(self.stepped.module)

    @cached_property
    def _rough(self) -> Allotment:
        return allotment_of(self.stepped, self._seen)

    def within(self, limit: Limit) -> Trial:
        """Rounds all weights so that a limit is kept.

        Raises:
            BudgetError: No steps keep it; says the closest.
        """
        self.stepped.restore()
        if limit.quantity == "drop":
            _ = self._float_metric
        price = self._price(self._rough, limit)
        allotment = refined(self._rough, self._rough.at(price), self.stepped, self._compared)

        def attempt(price: float) -> Trial:
            return self._try(allotment, price, limit)

        found = search(limit, self._price(allotment, limit), attempt)
        if self._put != found.price:
            self._round(allotment.at(found.price))
        return found

    def _try(self, allotment: Allotment, price: float, limit: Limit) -> Trial:
        self._round(allotment.at(price))
        self._put = price
        bits = sum(
            entropy_bits(rounded_to(weight.step, weight.value)) for weight in self.stepped.weights
        )
        drop = 0.0
        if limit.quantity == "drop":
            worse = 1 if self.task.higher_is_better else -1
            drop = worse * (self._float_metric - self.task.score(self.stepped.module))
        size = (bits + self._vector_bits()) / 8 + self._rest
        return Trial(price, size, self.stepped.distance(self._compared), drop)

    def _price(self, allotment: Allotment, limit: Limit) -> float:
        """Where a limit is about kept, by what was measured tensor by tensor."""
        most = limit.value if limit.quantity == "distance" else _FIRST
        price, rest = _CHEAPEST, self._rest + self._vector_bits() / 8
        while price < _DEAREST:
            chosen = allotment.at(price)
            if limit.quantity == "bytes":
                if sum(choice.bits for choice in chosen.values()) / 8 + rest > limit.value:
                    break
            elif sum(allotment.slopes[n] * c.error for n, c in chosen.items()) < most:
                break
            price *= 1.25
        return price

    def _vector_bits(self) -> float:
        return sum(entropy_bits(_ranks(vector)) for vector in self._vectors.values())

    @torch.no_grad()
    def _round(self, chosen: Mapping[str, Choice]) -> None:
        """Gives every weight its step, and the integers and biases that suit it."""
        self.stepped.restore()
        self.stepped.set_steps(_steps(chosen))
        walk = Lockstep(self.stepped.module, self.read)
        once = alone(walk.module)
        for place in track(walk.walk(), "round", len(weighted(walk.module))):
            if is_linear(place) and place.node in once:
                problem = LeastSquares.of(place, _DAMPING, positions=_POSITIONS)
                if self.rounding == "nearest":
                    grid = problem.grid()
                    problem.set(grid.real(grid.codes(problem.weight)))
                else:
                    problem.set(on_grid(problem, _SWEEPS))
        for vector in self._vectors.values():
            vector.copy_(rounded_vector(vector))

    def model(self) -> Model:
        """A network of its own with plain weights, each a multiple of its step, biases too."""
        return copy.deepcopy(self.stepped).settled()


def _steps(chosen: Mapping[str, Choice]) -> dict[str, float]:
    return {name: choice.step for name, choice in chosen.items()}


def _ranks(vector: Float[Tensor, "..."]) -> Int[Tensor, "..."]:
    """Which of its values each number is."""
    ranks: Tensor = vector.unique(return_inverse=True)[1]
    return ranks


def _inputs(task: Task, samples: int) -> Iterator[tuple[Tensor, ...]]:
    """Validation inputs, so many."""
    left = samples
    for inputs, _ in task.first("validation", samples):
        yield tuple(x[:left] for x in inputs)
        left -= len(inputs[0])
