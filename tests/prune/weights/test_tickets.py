from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lilliput.core import Model, PassError, run
from lilliput.prune import PruneWeights, Rewind, ShuffleMasks, masked, sparsity_of
from lilliput.testing import TINY_TASKS, PassContract, learned
from lilliput.train import FineTune


class TestRewind(PassContract):
    tasks = ("image_classifier", "two_output_regressor")

    @pytest.fixture
    def pass_(self, model: Model) -> Rewind:
        return Rewind(model.clone())


class TestShuffleMasks(PassContract):
    tasks = ("image_classifier",)

    @pytest.fixture
    def pass_(self) -> ShuffleMasks:
        return ShuffleMasks(3)

    @pytest.fixture
    def model(self, tiny: str) -> Model:
        model = TINY_TASKS[tiny]()[0]
        return Model(run(model, [PruneWeights(0.6)]).module, model.example_inputs)


def test_a_ticket_has_the_masks_of_the_end_and_the_weights_of_the_beginning() -> None:
    start, task = TINY_TASKS["image_classifier"]()
    end = run(learned(start, task, 2), [PruneWeights(0.8), FineTune(task)])
    for origin in (start, run(start, [PruneWeights(0.3)])):
        ticket = run(end, [Rewind(origin)])
        for name, mask in masked(end.module).items():
            weight = start.module.get_submodule(name).weight
            assert torch.equal(masked(ticket.module)[name], mask)
            assert torch.equal(ticket.module.get_submodule(name).weight, weight * mask)
        for name in ("bn1.weight", "bn1.running_var", "head.bias"):
            assert torch.equal(ticket.module.state_dict()[name], start.module.state_dict()[name])


class Tied(nn.Module):
    """Two layers of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(16, 16), nn.Linear(16, 16)
        self.out.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.first(x).relu())


@pytest.mark.parametrize("make", [Tied, lambda: nn.Linear(16, 16)], ids=["tied", "one layer"])
@pytest.mark.parametrize("is_masked", [False, True])
def test_masks_stay_where_a_weight_has_two_names_or_no_layer_around(
    make: Callable[[], nn.Module], is_masked: bool
) -> None:
    torch.manual_seed(0)
    start = Model(make().eval(), (torch.randn(2, 16),))
    origin = run(start, [PruneWeights(0.0)]) if is_masked else start
    end = run(start, [PruneWeights(0.5)])
    with torch.no_grad():
        for weight in end.module.parameters():
            weight.add_(1)
    ticket = run(end, [Rewind(origin)])
    assert sparsity_of(ticket.module) == sparsity_of(end.module) == 0.5
    for name, mask in masked(end.module).items():
        assert torch.equal(masked(ticket.module)[name], mask)
        weight = start.module.get_submodule(name).weight
        assert torch.equal(ticket.module.get_submodule(name).weight, weight * mask)


def test_shuffled_masks_zero_as_many_weights_elsewhere() -> None:
    model = run(TINY_TASKS["image_classifier"]()[0], [PruneWeights(0.8)])
    once, again, other = (run(model, [ShuffleMasks(seed)]) for seed in (0, 0, 1))
    assert sparsity_of(once.module) == sparsity_of(model.module)
    for name, mask in masked(model.module).items():
        shuffled = masked(once.module)[name]
        assert int(shuffled.sum()) == int(mask.sum())
        assert not torch.equal(shuffled, mask)
        assert torch.equal(shuffled, masked(again.module)[name])
        assert not torch.equal(shuffled, masked(other.module)[name])


def test_says_what_is_wrong() -> None:
    model, _ = TINY_TASKS["image_classifier"]()
    with pytest.raises(PassError, match="there are no masks to shuffle"):
        run(model, [ShuffleMasks()])
    with pytest.raises(PassError, match="rewind to has no"):
        run(model, [Rewind(TINY_TASKS["two_output_regressor"]()[0])])
    wide = model.clone()
    wide.module.head = torch.nn.Linear(48, 5)
    with pytest.raises(PassError, match=r"'head.weight' is \[4, 48\], but \[5, 48\]"):
        run(model, [Rewind(wide)])
