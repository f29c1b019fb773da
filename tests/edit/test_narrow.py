import pytest
import torch
from torch import nn

from lilliput.core import Model, Pass, run
from lilliput.edit import Narrow, Reinitialize
from lilliput.testing import PassContract, learned
from lilliput.testing.nets import TINY_TASKS, image_classifier


class TestReinitialize(PassContract):
    @pytest.fixture
    def pass_(self) -> Pass:
        return Reinitialize(seed=3)


class TestNarrow(PassContract):
    @pytest.fixture
    def pass_(self) -> Pass:
        return Narrow(0.5)


@pytest.mark.parametrize("tiny", TINY_TASKS)
def test_nothing_that_was_learned_is_left(tiny: str) -> None:
    model, task = TINY_TASKS[tiny]()
    trained = learned(model, task, epochs=1)
    fresh = run(trained, [Reinitialize()])
    before = dict(trained.module.state_dict())
    for name, value in fresh.module.state_dict().items():
        is_start = bool((value == value.flatten()[0]).all())  # a norm's ones, a bias's zeros
        assert is_start or not torch.equal(value, before[name]), name


def test_a_seed_draws_what_the_layer_itself_draws() -> None:
    net = nn.Sequential(nn.Linear(4, 3))
    drawn = run(Model(net.eval(), (torch.zeros(1, 4),)), [Reinitialize(seed=5)])
    torch.manual_seed(5)
    assert torch.equal(drawn.module[0].weight, nn.Linear(4, 3).weight)


def test_widths_are_the_share_asked_for() -> None:
    model, _ = image_classifier()
    narrow = run(model, [Narrow(0.5)]).module
    assert narrow.stem[0].out_channels == 6
    assert narrow.head.in_features == 6 * 2 * 2


def test_the_channels_that_stay_keep_their_weights_where_they_are_not_fresh() -> None:
    model, _ = image_classifier()
    kept = run(model, [Narrow(0.5, is_fresh=False)]).module
    assert torch.equal(kept.stem[0].weight, model.module.stem[0].weight[:6])


@pytest.mark.parametrize("alpha", [0.0, 1.5])
def test_a_share_out_of_range_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match=f"above 0 and at most 1, got {alpha}"):
        Narrow(alpha)
