"""Contracts must catch what breaks them."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from lilliput.core import Model, Stage, run
from lilliput.testing import TINY_TASKS, PassContract


@dataclass
class Loose:
    """Not frozen, of no known stage, and with a set of settings that JSON cannot hold."""

    value: float = float("inf")
    stage: ClassVar[str] = "somewhere"

    def __call__(self, model: Model, /) -> Model:
        return model


@dataclass(frozen=True)
class Noisy:
    """Draws from the global generator."""

    stage: ClassVar[Stage] = "edit"

    @torch.no_grad()
    def __call__(self, model: Model, /) -> Model:
        for parameter in model.module.parameters():
            parameter.add_(torch.randn(()))
        return model


class Half(nn.Module):
    """Works for the traced batch alone, and trains nothing."""

    def __init__(self, net: nn.Module, batch: int) -> None:
        super().__init__()
        self.net, self.batch = net, batch

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return self.net(x).view(self.batch, -1)


@pytest.fixture
def model() -> Model:
    return TINY_TASKS["image_classifier"]()[0]


@pytest.mark.parametrize("name", ["is_a_frozen_value", "says_where_in_a_recipe_it_belongs"])
def test_a_loose_pass_is_caught(name: str) -> None:
    with pytest.raises(AssertionError):
        getattr(PassContract(), f"test_{name}")(Loose())


def test_a_pass_that_draws_numbers_is_caught(model: Model) -> None:
    once = run(model, [Noisy()])
    with pytest.raises(AssertionError):
        PassContract().test_gives_the_same_for_the_same_input(once, Noisy(), model)


def test_a_pass_that_fixes_the_batch_is_caught(model: Model) -> None:
    fixed = Model(Half(model.module, 2), model.example_inputs)
    with pytest.raises((AssertionError, RuntimeError)):
        PassContract().test_keeps_output_shapes_for_any_batch(fixed, model)


def test_a_pass_that_cuts_gradients_is_caught(model: Model) -> None:
    fixed: Any = Model(Half(model.module, 2), model.example_inputs)
    with pytest.raises((AssertionError, RuntimeError)):
        PassContract().test_still_trains(fixed)
