"""Larger maps against those of the network as it was, position by position."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.graph.structures import ResNet, settle
from torch import Tensor, nn

from lilliput.core import Model, Pass, PassError, UnsupportedError, run
from lilliput.edit import DilateInstead, FuseBatchNorm, MoveStride
from lilliput.export.onnx.format import Onnx
from lilliput.graph import capture, cost, trace
from lilliput.testing import PassContract


class Staged(nn.Module):
    """A residual stage with a convolution in its shortcut, and a strided one after."""

    def __init__(self, padding: int | str = 1) -> None:
        super().__init__()
        self.stem, self.a = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, 2, 1)
        self.b, self.short = nn.Conv2d(8, 8, 3, padding=padding), nn.Conv2d(8, 8, 1, 2)
        self.norm, self.c = nn.BatchNorm2d(8), nn.Conv2d(8, 8, 5, 2, 2)
        self.pool, self.d = nn.MaxPool2d(2, 1), nn.Conv2d(8, 6, 3, padding=1, groups=2)
        self.head = nn.Linear(6, 4)

    def maps(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x).relu()
        first = self.a(x)
        second = (self.norm(self.b(first.relu())) + self.short(x)).relu()
        third = self.pool(self.c(second))
        return [first, second, third, self.d(third)]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.maps(x)[-1].mean((2, 3)))


def staged(size: tuple[int, int] = (21, 26), padding: int | str = 1) -> Model:
    torch.manual_seed(0)
    return Model(settle(Staged(padding)), (torch.randn(2, 3, *size),))


class TestDilateInstead(PassContract):
    tasks = ("image_classifier",)

    @pytest.fixture
    def model(self, tiny: str) -> Model:
        return staged()

    @pytest.fixture
    def pass_(self) -> Pass:
        return DilateInstead(("a", "short"))


class TestMoveStride(PassContract):
    tasks = ("image_classifier",)

    @pytest.fixture
    def model(self, tiny: str) -> Model:
        return staged()

    @pytest.fixture
    def pass_(self) -> Pass:
        return MoveStride("c", "pool")


@pytest.mark.parametrize("size", [(21, 26), (16, 16), (19, 23), (18, 17)])
@pytest.mark.parametrize("padding", [1, "same"])
@pytest.mark.parametrize("layers", [("a", "short"), ("a", "short", "c"), ("c",)])
def test_at_the_positions_there_were_all_maps_are_the_same(
    layers: tuple[str, ...], padding: int | str, size: tuple[int, int]
) -> None:
    model = staged(size, padding)
    dense = run(model, [DilateInstead(layers)])
    assert type(dense.module) is Staged
    (x,) = model.example_inputs
    steps = [1, 1, 1, 1]
    if "a" in layers:
        steps = [2, 2, 2, 2]
    if "c" in layers:
        steps[2:] = [2 * step for step in steps[2:]]
    for large, small, step in zip(dense.module.maps(x), model.module.maps(x), steps, strict=True):
        torch.testing.assert_close(large[:, :, ::step, ::step], small, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("is_captured", [False, True])
def test_shortcuts_that_slice_and_pools_of_fixed_size_follow(is_captured: bool) -> None:
    torch.manual_seed(0)
    model = Model(settle(ResNet(2, (8, 16, 32))), (torch.randn(2, 3, 16, 16),))
    given = capture(model) if is_captured else model
    dense = run(given, [DilateInstead(("layer3.0.conv1",))])
    rows = {row.name: row.macs for row in cost(trace(dense))}
    before = {row.name: row.macs for row in cost(trace(model))}
    assert rows["layer3.1.conv2"] == 4 * before["layer3.1.conv2"]
    assert rows["layer2.1.conv2"] == before["layer2.1.conv2"]
    # the maps of a twin in which pooling takes only the positions there were
    for node in dense.module.graph.nodes:
        if "avg_pool2d" in str(node.target):
            source = node.all_input_nodes[0]
            with dense.module.graph.inserting_before(node):
                twin = dense.module.graph.call_function(lambda x: x[:, :, ::2, ::2], (source,))
            node.replace_input_with(source, twin)
    dense.module.recompile()
    (x,) = model.example_inputs
    torch.testing.assert_close(dense.module(x), model.module(x), rtol=1e-4, atol=1e-5)


def test_dilated_networks_export_and_fuse(tmp_path: Path) -> None:
    done = run(staged(), [DilateInstead(("a", "short")), FuseBatchNorm()])
    Onnx().write(done, tmp_path / "large.onnx", None)
    (output,) = Onnx().load(tmp_path / "large.onnx", 1)((done.example_inputs[0].numpy(),))
    np.testing.assert_allclose(
        output, done.module(*done.example_inputs).detach().numpy(), rtol=1e-4, atol=1e-5
    )


def test_a_stride_passes_pointwise_layers_unseen() -> None:
    """Taking every second position and working on each position by itself may change places."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 1),
        nn.ReLU(),
        nn.Conv2d(8, 4, 1),
    )
    model = Model(settle(net), (torch.randn(2, 3, 15, 12),))
    later = run(model, [MoveStride("0", "5")])
    assert (later.module[0].stride, later.module[5].stride) == ((1, 1), (2, 2))
    (x,) = model.example_inputs
    torch.testing.assert_close(later.module(x), model.module(x), rtol=1e-4, atol=1e-5)


def test_a_moved_stride_adds_to_that_of_a_pool() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 1), nn.MaxPool2d(2))
    model = Model(net.eval(), (torch.randn(2, 3, 16, 16),))
    later = run(model, [MoveStride("0", "2")])
    assert later.module[2].stride == (4, 4)
    caught = run(capture(model), [MoveStride("0", "2")])
    (x,) = model.example_inputs
    torch.testing.assert_close(caught.module(x), later.module(x))


def test_names_what_is_in_the_way() -> None:
    model = staged()
    with pytest.raises(PassError, match="maps of different sizes would meet at add"):
        run(model, [DilateInstead(("a",))])
    with pytest.raises(PassError, match="'stem' is no strided convolution; known: a, short, c"):
        run(model, [DilateInstead(("stem",))])
    with pytest.raises(PassError, match="'head' is no other convolution or pool; known: stem"):
        run(model, [MoveStride("a", "head")])
    with pytest.raises(PassError, match="'stem' does not read what 'c' gives"):
        run(model, [MoveStride("c", "stem")])
    flat = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Flatten(), nn.Linear(64, 2))
    small = Model(flat.eval(), (torch.randn(1, 3, 8, 8),))
    with pytest.raises(UnsupportedError, match="would read a larger map"):
        run(small, [DilateInstead(("0",))])
    dense = Model(nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1)).eval(), (torch.randn(1, 3, 8, 8),))
    with pytest.raises(PassError, match="the network's output would be larger"):
        run(dense, [DilateInstead(("0",))])


def test_a_pool_that_cannot_be_dilated_is_named() -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.pool = nn.Conv2d(3, 4, 3, 2, 1), nn.MaxPool2d(3, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return F.adaptive_avg_pool2d(self.pool(self.a(x)), 1)

    with pytest.raises(UnsupportedError, match="max_pool2d of 'pool' cannot be dilated"):
        run(Model(Pooled().eval(), (torch.randn(1, 3, 16, 16),)), [DilateInstead(("a",))])


class Placed(nn.Module):
    """A map of positions is added after the stride, or their mean, which suits any size."""

    def __init__(self, is_mean: bool) -> None:
        super().__init__()
        self.a, self.positions = nn.Conv2d(3, 4, 3, 2, 1), nn.Parameter(torch.randn(1, 4, 8, 8))
        self.b, self.is_mean = nn.Conv2d(4, 4, 3, 2, 1), is_mean

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        places = self.positions.mean((2, 3), keepdim=True) if self.is_mean else self.positions
        return self.b(x + places).mean((2, 3))


@pytest.mark.parametrize("pass_", [DilateInstead(("a",)), MoveStride("a", "b")])
def test_a_constant_map_that_would_not_grow_is_named(pass_: Pass) -> None:
    model = Model(Placed(is_mean=False).eval(), (torch.randn(2, 3, 16, 16),))
    with pytest.raises(
        UnsupportedError,
        match=r"add would read a larger map, and 'positions' of shape \[1, 4, 8, 8",
    ):
        run(model, [pass_])
    run(Model(Placed(is_mean=True).eval(), model.example_inputs), [pass_])


def test_the_layer_that_reads_a_map_of_another_size_is_named() -> None:
    """Without padding a map has another size once the stride has moved."""
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2)
    )
    model = Model(net.eval(), (torch.randn(2, 3, 16, 16),))
    with pytest.raises(
        UnsupportedError, match=r"'3' \(Linear\) cannot work on .* \[\[2, 196\]\]: mat1 and mat2"
    ):
        run(model, [MoveStride("0", "1")])
    assert not any(part._forward_hooks for part in net.modules())
