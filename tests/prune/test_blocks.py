import copy

import pytest
import torch
from torch import Tensor, nn

from lilliput.core import Model, PassError, run
from lilliput.prune import RemoveBlocks, removable_blocks
from lilliput.testing import PassContract


class Residual(nn.Module):
    def __init__(self, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride, 1)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride] + self.conv(x).relu()


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), Residual(4), Residual(4, 2), Residual(4))
    return Model(net.eval(), (torch.randn(2, 3, 8, 8),))


def test_finds_the_blocks_that_keep_their_inputs_shape(model: Model) -> None:
    assert removable_blocks(model) == ("1", "3")


def test_a_network_in_train_mode_keeps_its_statistics_and_modes() -> None:
    block = nn.Sequential(nn.Conv2d(4, 4, 3, 1, 1), nn.BatchNorm2d(4), nn.Dropout(0.5))
    net = nn.Sequential(nn.Conv2d(3, 4, 1), block, nn.BatchNorm2d(4)).train()
    net[2].eval()  # as where its statistics are frozen
    before = copy.deepcopy(net.state_dict())
    modes = [part.training for part in net.modules()]
    model = Model(net, (torch.randn(2, 3, 8, 8),))
    assert removable_blocks(model) == ("1",)
    RemoveBlocks(("1",))(model.clone())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert [part.training for part in net.modules()] == modes


def test_the_shape_of_a_network_that_trains_on_one_example_is_found() -> None:
    """BatchNorm refuses a single value per channel in train mode."""
    net = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)))
    assert removable_blocks(Model(net.train(), (torch.randn(1, 3),))) == ("1",)


def test_a_removed_block_passes_its_input_on(model: Model) -> None:
    small = run(model, [RemoveBlocks(("1",))])
    (x,) = model.example_inputs
    expected = x
    for name in ("0", "2", "3"):
        expected = model.module.get_submodule(name)(expected)
    assert torch.equal(small.module(x), expected)


def test_names_a_block_that_cannot_go(model: Model) -> None:
    with pytest.raises(PassError, match="'2' is no block that keeps its input's shape"):
        run(model, [RemoveBlocks(("2",))])


def test_a_module_called_twice_stays() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = Residual(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.block(self.block(x))

    assert removable_blocks(Model(Twice(), (torch.randn(1, 3, 4, 4),))) == ()


def test_takes_names_not_a_name() -> None:
    # made by hand, because the type checks that run with these tests would refuse it before
    pass_ = object.__new__(RemoveBlocks)
    object.__setattr__(pass_, "names", "1")
    with pytest.raises(TypeError, match=r"^names must be a tuple of names, got the text '1'$"):
        pass_.__post_init__()


def test_a_block_that_is_also_given_named_arguments_passes_its_first_on() -> None:
    model = encoder()
    small = run(model, [RemoveBlocks(("1.layers.1",))])
    x = torch.randn(2, 5, 3)
    parts = model.module[1]
    expected = parts.norm(parts.layers[2](parts.layers[0](model.module[0](x))))
    torch.testing.assert_close(small.module(x), expected)


def test_a_block_whose_input_has_a_name_stays() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = Residual(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.block(x=x)

    model = Model(Named().eval(), (torch.randn(1, 3, 4, 4),))
    assert removable_blocks(model) == ()
    with pytest.raises(PassError, match="'block' is no block"):
        run(model, [RemoveBlocks(("block",))])


def encoder() -> Model:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    net = nn.Sequential(nn.Linear(3, 8), nn.TransformerEncoder(layer, 3, nn.LayerNorm(8)))
    return Model(net.eval(), (torch.randn(2, 5, 3),))


class TestRemoveBlocks(PassContract):
    tasks = ("two_input_transformer",)

    @pytest.fixture
    def pass_(self) -> RemoveBlocks:
        return RemoveBlocks(("encoder",))


def test_a_block_that_is_also_given_a_mask_passes_its_first_argument_on() -> None:
    class Given(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.block = nn.Linear(4, 4), Weighed()

        def forward(self, x: Tensor) -> Tensor:
            return self.block(self.first(x), x > 0)

    model = Model(Given().eval(), (torch.randn(2, 4),))
    assert removable_blocks(model) == ("block",)
    small = run(model, [RemoveBlocks(("block",))])
    x = torch.randn(5, 4)
    assert torch.equal(small.module(x), model.module.first(x))


class Weighed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(4, 4)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x + self.mix(x) * mask
