"""Floats on a grid are found to be so, and come back bit for bit; others are left alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from lilliput.pack import load_packed, pack_model
from lilliput.pack.multiples import integers_of, reals_of, step_of

DRAW = np.random.default_rng(0)


@given(st.lists(st.integers(-100, 100), min_size=1, max_size=60), st.floats(1e-6, 1e3))
def test_the_step_is_found_whatever_the_integers(numbers, step) -> None:
    # with a one among them, since a multiple of the step need not be a float32
    integers, step = np.array([*numbers, 1], np.int32), np.float32(step)
    values = integers.astype(np.float32) * step  # rounded once, as PyTorch does it
    found = step_of(values)
    assert found is not None
    assert np.array_equal(integers_of(values, found), integers)


@pytest.mark.parametrize("count", [3, 30, 3000])
def test_floats_that_are_on_no_grid_have_no_step(count) -> None:
    assert step_of(DRAW.standard_normal(count).astype(np.float32)) is None


@pytest.mark.parametrize("values", [[], [0, 0], [1, float("inf")], [1, float("nan")], [-0.0, 1, 2]])
def test_what_would_not_come_back_has_no_step(values) -> None:
    assert step_of(np.array(values, np.float32)) is None


def test_a_state_on_grids_takes_few_bits(tmp_path) -> None:
    integers = torch.from_numpy(DRAW.normal(0, 2, (64, 256)).round()) + 0.0
    state = {"w": (integers * 0.0371).float(), "b": torch.randn(64)}
    packed = pack_model(state, tmp_path / "net.lil")
    entry = packed.contents.entries[0]
    assert entry.dtype == "float32"
    assert 8 * entry.stored_bytes / 64 / 256 < 3.2  # the entropy is 3.05
    assert torch.equal(
        load_packed(packed.path)["w"].view(torch.int32), state["w"].view(torch.int32)
    )


def test_multiples_beyond_float32_are_infinite_without_a_warning() -> None:
    assert np.isinf(reals_of(np.array([2], np.int32), np.float32(3e38))).all()
