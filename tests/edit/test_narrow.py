import pytest
import torch
from tests.graph.structures import build, quick
from torch import Tensor, nn

from lilliput.core import Model, Pass, UnsupportedError, run
from lilliput.edit import Narrow, Reinitialize
from lilliput.graph import channel_groups, is_captured, trace
from lilliput.testing import TINY_TASKS, PassContract

DRAWN = ("image_classifier", "image_to_image", "two_output_regressor")


class TestNarrow(PassContract):
    tasks = DRAWN

    @pytest.fixture
    def pass_(self) -> Pass:
        return Narrow(0.5)


class TestNarrowKeepingWeights(PassContract):
    tasks = ("image_classifier",)

    @pytest.fixture
    def pass_(self) -> Pass:
        return Narrow(0.5, is_fresh=False)


class TestReinitialize(PassContract):
    tasks = DRAWN

    @pytest.fixture
    def pass_(self) -> Pass:
        return Reinitialize(1)


def net(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, width, 3),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * width, 5),
    )


def test_a_fresh_narrow_network_is_the_one_that_pytorch_makes_at_that_width() -> None:
    model = Model(net(12).eval(), (torch.randn(2, 3, 8, 8),))
    narrow = run(model, [Narrow(0.5, seed=3)]).module.state_dict()
    torch.manual_seed(3)
    expected = net(6).state_dict()
    assert list(narrow) == list(expected)
    assert all(torch.equal(value, narrow[name]) for name, value in expected.items())


def test_reinitialize_gives_what_pytorch_makes() -> None:
    model = Model(net(4).eval(), (torch.randn(2, 3, 8, 8),))
    drawn = run(model, [Reinitialize(7)]).module.state_dict()
    torch.manual_seed(7)
    expected = net(4).state_dict()
    assert all(torch.equal(value, drawn[name]) for name, value in expected.items())


def test_the_random_numbers_outside_go_on_as_if_nothing_had_been_drawn() -> None:
    model = Model(net(4).eval(), (torch.randn(2, 3, 8, 8),))
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    run(model, [Reinitialize(7)])
    assert torch.equal(torch.rand(1), expected)


def test_the_first_channels_keep_their_weights() -> None:
    model = Model(net(12).eval(), (torch.randn(2, 3, 8, 8),))
    narrow = run(model, [Narrow(0.5, is_fresh=False)]).module
    assert torch.equal(narrow[0].weight, model.module[0].weight[:6])
    assert torch.equal(narrow[3].weight, model.module[3].weight[:12, :6])


@pytest.mark.parametrize(
    ("alpha", "multiple_of", "width"),
    [(0.5, 1, 6), (0.3, 1, 4), (0.5, 4, 8), (0.9, 8, 12), (1, 5, 12)],
)
def test_widths_are_rounded_up(alpha: float, multiple_of: int, width: int) -> None:
    model = Model(net(12).eval(), (torch.randn(2, 3, 8, 8),))
    narrow = run(model, [Narrow(float(alpha), multiple_of)]).module
    assert narrow[0].out_channels == width


@pytest.mark.parametrize("name", quick("chain", "depthwise", "channel shuffle", "slices"))
def test_networks_of_all_structures_become_narrower(name: str) -> None:
    module, inputs = build(name)
    model = Model(module, inputs)
    narrow = run(model, [Narrow(0.5, is_fresh=False)])
    before = {
        group.name: group.size for group in channel_groups(trace(model)) if group.kind == "channels"
    }
    after = {group.name: group.size for group in channel_groups(trace(narrow))}
    # a group of one channel left is a group no more
    assert all(after.get(key, 1) == -(-size // 2) for key, size in before.items())


def test_names_what_cannot_be_drawn_anew() -> None:
    model, _ = TINY_TASKS["two_input_transformer"]()
    with pytest.raises(
        UnsupportedError, match=r"the network itself .TwoInputTransformer. cannot be drawn anew"
    ):
        run(model, [Reinitialize()])
    module, inputs = build("masked")
    with pytest.raises(
        UnsupportedError, match=r"^Reinitialize failed as the first pass: b .Parametrized"
    ):
        run(Model(module, inputs), [Reinitialize()])
    with pytest.raises(ValueError, match="alpha must be above 0 and at most 1, got 2"):
        Narrow(2.0)


class Scaled(nn.Module):
    """It holds a scale itself and writes a width down, so that removal makes a graph of it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.scale = nn.Conv2d(3, 8, 3), nn.Parameter(torch.empty(8))
        self.head = nn.Linear(8, 2)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.uniform_(self.scale, 5, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).view(-1, 8, 36).mean(2) * self.scale)


def test_a_network_that_becomes_a_graph_is_drawn_by_its_own_class() -> None:
    model = Model(Scaled().eval(), (torch.randn(2, 3, 8, 8),))
    narrow = run(model, [Narrow(0.5, seed=3)]).module
    assert is_captured(narrow)
    torch.manual_seed(3)
    assert torch.equal(narrow.scale, torch.empty(8).uniform_(5, 6)[:4])
    torch.manual_seed(3)
    assert torch.equal(narrow.conv.weight, nn.Conv2d(3, 4, 3).weight)


def test_a_graph_says_that_drawing_has_to_come_first() -> None:
    model = Model(Scaled().eval(), (torch.randn(2, 3, 8, 8),))
    small = run(model, [Narrow(0.5, is_fresh=False)])
    assert is_captured(small.module)
    for pass_ in (Reinitialize(), Narrow(0.5)):
        with pytest.raises(UnsupportedError, match=r"itself .* became a graph.*draw first"):
            run(small, [pass_])
    run(model, [Reinitialize(), Narrow(0.5, is_fresh=False)])


def test_attention_is_drawn_anew() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.mix(x)

    model = Model(Tokens().eval(), (torch.randn(2, 3, 8),))
    drawn = run(model, [Reinitialize(1)]).module
    before = model.module.mix.self_attn.in_proj_weight
    assert not torch.equal(drawn.mix.self_attn.in_proj_weight, before)
