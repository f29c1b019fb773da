"""A folded network's weights open in the class that it was folded from, and say the same."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import lilliput as lp
from lilliput.core import Model, UnsupportedError
from lilliput.graph import capture, fold_batch_norm, unfolded_state


class OwnConv(nn.Conv2d):
    """Pads as TensorFlow does, as layers of EfficientNet-Lite do."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(functional.pad(x, (0, 1, 0, 1)), self.weight, self.bias, (2, 2))


class Net(nn.Module):
    """BatchNorm of all kinds behind layers of all kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(8, eps=1e-3)
        self.biased = nn.Conv2d(8, 8, 1)
        self.biased_norm = nn.BatchNorm2d(8)
        self.plain = nn.Conv2d(8, 8, 1, bias=False)
        self.plain_norm = nn.BatchNorm2d(8, affine=False)
        self.own = OwnConv(8, 8, 3, bias=False)
        self.own_norm = nn.BatchNorm2d(8)
        self.wide = nn.ConvTranspose2d(8, 6, 2, groups=2, bias=False)
        self.wide_norm = nn.BatchNorm2d(6)
        self.alone_norm = nn.BatchNorm2d(6)  # which nothing takes
        self.hidden = nn.Linear(6, 10, bias=False)
        self.hidden_norm = nn.BatchNorm1d(10)
        self.head = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.conv(x)))
        x = functional.relu(self.depthwise_norm(self.depthwise(x)))
        x = functional.relu(self.biased_norm(self.biased(x)))
        x = functional.relu(self.plain_norm(self.plain(x)))
        x = functional.relu(self.own_norm(self.own(x)))
        x = functional.relu(self.wide_norm(self.wide(x)))
        x = self.alone_norm(x).mean((2, 3))
        return self.head(functional.relu(self.hidden_norm(self.hidden(x))))


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    net = Net()
    for part in net.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            for value in part.state_dict().values():
                if value.is_floating_point():
                    value.uniform_(0.5, 1.5)
            part.num_batches_tracked += 7
    return Model(net.eval(), (torch.randn(2, 3, 9, 9),))


@pytest.fixture(scope="module")
def folded(model: Model) -> Model:
    return fold_batch_norm(capture(model))[0]


@torch.no_grad()
def test_the_class_says_what_the_folded_network_says(
    model: Model, folded: Model, tmp_path: Path
) -> None:
    lp.pack_model(unfolded_state(folded, model), tmp_path / "net.lil")
    net = Net().eval()
    net.load_state_dict(lp.load_packed(tmp_path / "net.lil"))
    x = torch.randn(5, 3, 9, 9, generator=torch.Generator().manual_seed(1))
    wanted = folded.module(x)
    assert wanted.std() > 0.01
    torch.testing.assert_close(net(x), wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(net(x), model.module(x), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_folded_norms_add_the_bias_bit_for_bit_and_others_stay(model: Model, folded: Model) -> None:
    net = Net().eval()
    net.load_state_dict(unfolded_state(folded, model))
    found, layers = folded.module.state_dict(), dict(net.named_children())
    norms = [name for name in layers if name.endswith("norm") and name != "alone_norm"]
    assert len(norms) == 7
    for name in norms:
        before = name.removesuffix("norm").removesuffix("_") or "conv"
        layer, norm = layers[before], layers[name]
        sizes = () if isinstance(norm, nn.BatchNorm1d) else (5, 5)
        x = 10 * torch.randn(4, norm.num_features, *sizes)
        bias = found[f"{before}.bias"].view(-1, *(1 for _ in sizes))
        assert torch.equal(norm(x), x if layer.bias is not None else x + bias), name
        assert norm.num_batches_tracked == 7
    assert "own_norm.weight" not in found
    before, after = (module.alone_norm.state_dict() for module in (model.module, net))
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_variance_and_epsilon_add_up_to_one_exactly(folded: Model) -> None:
    for exponent in torch.linspace(-12, 0, 500).tolist():
        eps = 10**exponent
        assert float((torch.ones(1) - eps) + torch.tensor(eps)) == 1.0


def test_constants_cost_a_few_bytes_each(model: Model, folded: Model, tmp_path: Path) -> None:
    small = lp.pack_model(folded, tmp_path / "folded.lil").path.stat().st_size
    whole = lp.pack_model(unfolded_state(folded, model), tmp_path / "net.lil").path.stat().st_size
    assert whole - small < 7 * 50  # 28 tensors, their names too


def test_a_network_of_other_layers_is_refused_by_name(model: Model, folded: Model) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)).eval()
    other = Model(net, model.example_inputs)
    with pytest.raises(UnsupportedError, match=r"the class has '0\.weight', and the network"):
        unfolded_state(folded, other)
    wider = model.clone()
    wider.module.get_submodule("head").weight = nn.Parameter(torch.zeros(5, 10))
    wider.module.get_submodule("head").bias = nn.Parameter(torch.zeros(5))
    with pytest.raises(UnsupportedError, match=r"'head\.weight' has shape \[4, 10\] and in the cl"):
        unfolded_state(folded, wider)
