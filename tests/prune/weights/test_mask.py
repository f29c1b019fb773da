import copy
import warnings
from collections.abc import Callable

import pytest
import torch
from tests.graph.structures import Words
from torch import Tensor, nn

from lilliput.core import Model, PassError, run
from lilliput.prune import PruneWeights, masked, set_mask, sparsity_of
from lilliput.testing import TINY_TASKS
from lilliput.train import Distill, FineTune, Training


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x).relu())


def test_zeros_hold_through_training_copies_and_averages() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    sparse = run(model, [PruneWeights(0.7)])
    training = Training(ema_decay=0.9)
    for pass_ in (FineTune(task, 2, training=training), Distill(task, model, 2)):
        done = run(sparse, [pass_]).clone()
        for name, mask in masked(sparse.module).items():
            weight = done.module.get_submodule(name).weight
            assert torch.equal(mask, masked(done.module)[name])
            assert not weight[~mask].any()
            before = sparse.module.get_submodule(name).weight
            assert not torch.equal(weight[mask], before[mask])


def test_the_parameter_stays_the_same_object() -> None:
    layer = nn.Sequential(nn.Linear(4, 4))
    weight = layer[0].weight
    set_mask(layer, "0", torch.rand(4, 4) > 0.5)
    assert [p is weight for p in layer.parameters()].count(True) == 1


def test_a_copy_has_masks_of_its_own() -> None:
    net = nn.Sequential(nn.Linear(4, 4))
    set_mask(net, "0", torch.ones(4, 4, dtype=torch.bool))
    other = copy.deepcopy(net)
    set_mask(other, "0", torch.zeros(4, 4, dtype=torch.bool))
    assert bool(masked(net)["0"].all())
    assert sparsity_of(net) == 0
    assert sparsity_of(Model(other, (torch.zeros(1, 4),))) == 1


def test_no_gradient_reaches_a_weight_under_the_mask() -> None:
    net = nn.Sequential(nn.Linear(4, 4, bias=False))
    mask = torch.rand(4, 4) > 0.5
    set_mask(net, "0", mask)
    net(torch.randn(3, 4)).square().sum().backward()
    (weight,) = net.parameters()
    assert not weight.grad[~mask].any()
    assert weight.grad[mask].all()


def test_a_shared_weight_has_one_mask() -> None:
    net = Tied()
    done = run(Model(net, (torch.randn(2, 6),)), [PruneWeights(0.5)])
    masks = masked(done.module)
    assert masks["a"] is masks["b"]
    assert sparsity_of(done.module) == 0.5
    assert len(list(done.module.parameters())) == 3
    assert torch.equal(done.module.a.weight, done.module.b.weight)
    again = done.clone()
    assert masked(again.module)["a"] is masked(again.module)["b"]


def test_the_embedding_that_shares_a_weight_is_masked_too() -> None:
    done = run(Model(Words(), (torch.randint(0, 11, (2, 5)),)), [PruneWeights(0.5)])
    assert torch.equal(done.module.embed.weight, done.module.head.weight)


def test_a_weight_held_under_another_name_is_refused() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(3, 3)
            self.table = self.a.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x) @ self.table

    with pytest.raises(PassError, match=r"'table'.*skip=\('a',\)"):
        run(Model(Odd(), (torch.randn(2, 3),)), [PruneWeights(0.5)])


def test_a_parametrized_weight_is_refused() -> None:
    net = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)), nn.Linear(3, 3))
    with pytest.raises(PassError, match=r"'0' is parametrized already.*skip"):
        run(Model(net, (torch.randn(2, 3),)), [PruneWeights(0.5)])
    assert sparsity_of(
        run(Model(net, (torch.randn(2, 3),)), [PruneWeights(0.5, skip=("0",))]).module
    )


def test_refuses_unknown_layers_and_other_shapes() -> None:
    net = nn.Sequential(nn.Linear(4, 4))
    with pytest.raises(PassError, match="called '1'"):
        set_mask(net, "1", torch.ones(4, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"shape \[4, 4\], got \[4, 5\]"):
        set_mask(net, "0", torch.ones(4, 5, dtype=torch.bool))


@pytest.mark.parametrize("norm", [nn.utils.spectral_norm, nn.utils.weight_norm])
def test_a_weight_that_hooks_compute_is_refused(norm: Callable[..., nn.Module]) -> None:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        net = nn.Sequential(norm(nn.Linear(3, 3)), nn.Linear(3, 3)).eval()
        model = Model(net, (torch.randn(2, 3),))
        with pytest.raises(PassError, match=r"'0' is parametrized already.*skip=\('0',\)"):
            run(model, [PruneWeights(0.5)])
        assert list(masked(run(model, [PruneWeights(0.5, skip=("0",))]).module)) == ["1"]
