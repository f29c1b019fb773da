import math

import pytest
import torch
from torch import nn

from lilliput.train import Constant, Cosine, OneCycle

STEPS = 50


def torch_factors(make_scheduler) -> list[float]:
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    scheduler = make_scheduler(optimizer)
    factors = []
    for _ in range(STEPS):
        factors.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return factors


def test_cosine_is_that_of_torch() -> None:
    expected = torch_factors(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, STEPS))
    found = [Cosine().factor(step / STEPS) for step in range(STEPS)]
    assert found == pytest.approx(expected)


def test_one_cycle_is_that_of_torch_up_to_where_its_steps_end() -> None:
    """Torch's first phase lasts `rise * steps - 1` steps of `steps - 1` in all."""
    make = torch.optim.lr_scheduler.OneCycleLR
    expected = torch_factors(lambda o: make(o, max_lr=1.0, total_steps=STEPS))
    rise = (0.3 * STEPS - 1) / (STEPS - 1)
    found = [OneCycle(rise=rise).factor(step / (STEPS - 1)) for step in range(STEPS)]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("progress", [0.0, 0.05, 0.1, 0.3, 0.55, 1.0])
def test_warm_up_rises_in_a_line_then_falls_along_a_cosine(progress: float) -> None:
    rest = (progress - 0.1) / 0.9
    expected = progress / 0.1 if progress < 0.1 else 0.5 + 0.5 * math.cos(math.pi * rest)
    assert Cosine(warmup=0.1).factor(progress) == pytest.approx(expected)


def test_constant_is_constant() -> None:
    assert [Constant().factor(p) for p in (0.0, 0.5, 1.0)] == [1, 1, 1]


def test_refuses_shares_that_are_none() -> None:
    with pytest.raises(ValueError, match=r"warmup must be at least 0 and less than 1, got 1\.5"):
        Cosine(warmup=1.5)
    with pytest.raises(ValueError, match=r"rise must be between 0 and 1, got 0\.0"):
        OneCycle(rise=0.0)
