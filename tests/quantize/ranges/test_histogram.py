import pytest
import torch
from hypothesis import given, settings, strategies as st

from lilliput.quantize.ranges.histogram import Histogram


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1), min_size=1, max_size=5))
def test_counts_everything_and_keeps_the_exact_ends(parts: list[list[float]]) -> None:
    seen = Histogram()
    for part in parts:
        seen.add(torch.tensor(part))
    values = [value for part in parts for value in part]
    assert int(seen.counts.sum()) == len(values)
    assert (seen.low, seen.high) == (min(values), max(values))


def test_gives_quantiles_to_within_a_bin() -> None:
    values = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    seen = Histogram()
    for part in values.chunk(7):
        seen.add(part)
    for share in (0.001, 0.1, 0.5, 0.9, 0.999):
        ends = seen.quantile(share) - seen.width, seen.quantile(share) + seen.width
        assert float((values < ends[0]).float().mean()) <= share
        assert float((values <= ends[1]).float().mean()) >= share


def test_memory_does_not_grow() -> None:
    seen = Histogram()
    seen.add(torch.tensor([1e-6]))
    bins = len(seen.counts)
    seen.add(torch.tensor([1e6]))
    assert len(seen.counts) == len(seen.centers) == bins
    assert int(seen.counts.sum()) == 2


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_refuses_what_is_not_finite(bad: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        Histogram().add(torch.tensor([0.0, bad]))


def test_takes_an_empty_tensor_and_one_of_zeros() -> None:
    seen = Histogram()
    seen.add(torch.empty(0))
    seen.add(torch.zeros(5))
    assert (seen.low, seen.high, int(seen.counts.sum())) == (0.0, 0.0, 5)
