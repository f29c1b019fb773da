"""Networks whose weights follow from others get the keys of their own classes, and only theirs."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from lilliput.core import Model, run
from lilliput.pack import load_packed, pack_model
from lilliput.prune import PruneWeights
from lilliput.quantize import ClusterWeights, QuantizeCodedAware
from lilliput.quantize.plain import plain_copy_of


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval()


def test_all_that_passes_put_on_weights_is_written_out(tmp_path) -> None:
    x = torch.randn(3, 8)
    for passes in (
        [PruneWeights(0.5)],
        [ClusterWeights(4)],
        [PruneWeights(0.5), ClusterWeights(4)],
        [PruneWeights(0.5), QuantizeCodedAware()],
    ):
        model = run(Model(net(), (x,)), passes)
        wanted = model.module(x)
        packed = pack_model(model, tmp_path / "net.lil")
        own = net()
        own.load_state_dict(dict(load_packed(packed.path)))
        assert torch.equal(own(x), wanted)
        assert list(load_packed(packed.path)) == list(own.state_dict())
        # the model itself and its copies are as they were
        assert torch.equal(model.clone().module(x), wanted)
        assert "0.weight" not in dict(model.module.named_parameters())


def test_parametrizations_of_the_users_own_stay() -> None:
    module = net()
    parametrizations.weight_norm(module[0])
    model = Model(module, (torch.randn(3, 8),))
    keys = module.state_dict().keys()
    assert plain_copy_of(model).module.state_dict().keys() == keys
    masked = run(model, [PruneWeights(0.5, skip=("0",))])
    assert plain_copy_of(masked).module.state_dict().keys() == keys


class Pair(nn.Module):
    """Two layers of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 4), nn.Linear(8, 4)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) + self.b(x)


def test_tied_weights_stay_tied() -> None:
    model = run(Model(Pair(), (torch.randn(1, 8),)), [PruneWeights(0.5)])
    plain = plain_copy_of(model).module
    assert plain.a.weight is plain.b.weight
    assert (plain.a.weight == 0).float().mean() >= 0.5
