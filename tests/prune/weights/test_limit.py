"""The limit against sorting everything."""

import pytest
import torch
from hypothesis import given, strategies as st

from lilliput.prune.weights.limit import limit_of

NUMBERS = st.lists(
    st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=60
)


@given(NUMBERS, NUMBERS, st.data())
def test_is_what_sorting_gives(
    first: list[float], second: list[float], data: st.DataObject
) -> None:
    number = data.draw(st.integers(1, len(first) + len(second)))
    parts = [torch.tensor(first), torch.tensor(second)]
    wanted = torch.cat(parts).sort(descending=True).values[number - 1]
    assert limit_of(lambda: parts, number) == wanted


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_keeps_every_type_exact(dtype: torch.dtype) -> None:
    values = torch.randn(5000, generator=torch.Generator().manual_seed(0)).to(dtype)
    for number in (1, 2, 2500, 5000):
        assert limit_of(lambda: [values], number) == values.sort(descending=True).values[number - 1]


def test_knows_infinities_and_ties() -> None:
    values = torch.tensor([1.0, -torch.inf, 1.0, torch.inf, -0.0, 0.0])
    assert [limit_of(lambda: [values], n) for n in range(1, 7)] == [
        *(torch.inf, 1.0, 1.0, 0.0, 0.0, -torch.inf)
    ]
