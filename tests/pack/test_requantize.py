"""New weights take the old steps; with slack, integers stay unless they are off by more."""

import numpy as np
import pytest
import torch

import lilliput as lp
from lilliput.core import PackError
from lilliput.pack import Quantized, pack_model

STEP = 0.05


@pytest.fixture
def weight():
    return torch.randn(30, 20, generator=torch.Generator().manual_seed(0)) * 0.2


@pytest.fixture
def old(weight, tmp_path):
    state = {"w": Quantized((weight / STEP).round().int(), STEP), "b": torch.ones(3)}
    return lp.load_packed(pack_model(state, tmp_path / "old.lil").path)


def test_old_steps_are_kept(weight, old):
    new = weight + 0.03
    found = lp.requantize({"w": new, "b": torch.zeros(3), "more": torch.ones(2)}, old)
    assert found["w"].step == STEP
    assert torch.equal(found["w"].integers, (new.double() / STEP).round().int())
    assert torch.equal(found["b"], torch.zeros(3))
    assert torch.equal(found["more"], torch.ones(2))


def test_slack_keeps_integers_within_its_bound(weight, old):
    new = weight + 0.1 * STEP * torch.randn_like(weight)
    before = old.quantized("w").integers
    plain = lp.requantize({"w": new}, old)["w"].integers
    slack = lp.requantize({"w": new}, old, slack=0.25)["w"].integers
    assert (slack != before).sum() < (plain != before).sum()
    assert ((new.double() / STEP - slack).abs() <= 0.75).all()
    changed = slack != before
    assert torch.equal(slack[changed], plain[changed])


def test_floats_on_a_grid_stay_on_it(weight, tmp_path):
    step = np.float32(STEP)
    integers = np.rint(weight.numpy() / np.float64(step)).astype(int)
    state = {"w": torch.from_numpy((integers * np.float64(step)).astype(np.float32))}
    old = lp.load_packed(pack_model(state, tmp_path / "old.lil").path)
    found = lp.requantize({"w": weight + 0.03}, old)["w"]
    assert found.dtype == torch.float32
    wanted = np.rint((weight + 0.03).numpy() / np.float64(step)).astype(int) * np.float64(step)
    np.testing.assert_array_equal(found.numpy(), wanted.astype(np.float32))


def test_what_does_not_fit_is_refused(old):
    with pytest.raises(PackError, match=r"tensor 'w' is \[3\] and was \[30, 20\]"):
        lp.requantize({"w": torch.ones(3)}, old)
    with pytest.raises(PackError, match="no integer of 32 bits"):
        lp.requantize({"w": torch.full((30, 20), 1e12)}, old)
    with pytest.raises(PackError, match="no integer of 32 bits"):
        lp.requantize({"w": torch.full((30, 20), float("nan"))}, old)
    with pytest.raises(ValueError, match=r"slack must be between 0 and 0\.5, got 1"):
        lp.requantize({}, old, slack=1)
