"""Factors against the layers they came from, PyTorch's own decomposition, and counted costs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.edit.inputs import correlated, task_of
from tests.graph.structures import STRUCTURES, build
from torch import nn

from lilliput import recipe
from lilliput.core import Model, Pass, PassError, Task, run
from lilliput.edit import ChannelSvd, FactorizeLayers, SpatialSvd, Svd, Tucker
from lilliput.edit.layers import places
from lilliput.edit.reads import reads_of
from lilliput.export.onnx.format import Onnx
from lilliput.graph import capture, cost, trace
from lilliput.testing import TINY_TASKS, PassContract

KINDS = {"svd": Svd(), "channel": ChannelSvd(), "spatial": SpatialSvd(), "tucker": Tucker()}


class TestFactorizeLayers(PassContract):
    tasks = ("image_classifier", "two_input_transformer")

    @pytest.fixture
    def pass_(self, task: Task) -> Pass:
        return FactorizeLayers(0.7, task=task, samples=32)


class TestFactorizeLayersByTucker(PassContract):
    tasks = ("image_classifier", "image_to_image")

    @pytest.fixture
    def pass_(self, task: Task) -> Pass:
        return FactorizeLayers(0.7, kind=Tucker(), task=task, samples=32)


class TestFactorizeLayersBySpatialSvd(PassContract):
    tasks = ("image_classifier", "image_to_image")

    @pytest.fixture
    def pass_(self, task: Task) -> Pass:
        return FactorizeLayers(0.8, kind=SpatialSvd(), task=task, samples=32)


LAYERS = {
    "linear": (lambda: nn.Linear(7, 5), (4, 3, 7)),
    "pointwise": (lambda: nn.Conv2d(7, 5, 1, 2, bias=False), (4, 7, 9, 8)),
    "line": (lambda: nn.Conv1d(6, 5, 3, 2, 1), (4, 6, 11)),
    "plain": (lambda: nn.Conv2d(6, 8, 3, padding=1), (4, 6, 9, 8)),
    "strided": (lambda: nn.Conv2d(6, 5, 3, 2, 2, 2, bias=False), (4, 6, 9, 12)),
    "uneven": (lambda: nn.Conv2d(4, 5, (3, 5), (1, 2), (0, 2)), (4, 4, 9, 12)),
    "same": (lambda: nn.Conv2d(4, 5, (4, 3), padding="same"), (4, 4, 9, 8)),
}


def made(name: str) -> tuple[Model, Task, torch.Tensor]:
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    inputs = correlated(shape)
    return Model(nn.Sequential(make()).eval(), (inputs[0],)), task_of(inputs[:-1]), inputs[-1]


def suited() -> list[tuple[str, str]]:
    return [
        (name, kind)
        for name, (make, _) in LAYERS.items()
        for kind, how in KINDS.items()
        if how.suits(make())
    ]


@pytest.mark.parametrize("has_task", [False, True])
@pytest.mark.parametrize(("name", "kind"), suited())
def test_full_rank_computes_the_same(name: str, kind: str, has_task: bool) -> None:
    model, task, x = made(name)
    how, given = KINDS[kind], task if has_task else None
    place = places(model, (), how.suits, "layer")["0"]
    limits = how.factors(place, reads_of(model, {"0": place}, None, 1)["0"]).limits
    full = run(model, [FactorizeLayers(kind=how, task=given, ranks={"0": limits})])
    assert len(full.module.get_submodule("0")) == (3 if kind == "tucker" else 2)
    torch.testing.assert_close(full.module(x), model.module(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "kind"), suited())
def test_fitted_factors_lose_less_than_those_of_the_weights_alone(name: str, kind: str) -> None:
    model, task, x = made(name)
    lost = {}
    for given in (None, task):
        low = run(model, [FactorizeLayers(kind=KINDS[kind], task=given, ranks={"0": 2})])
        lost[given] = float((low.module(x) - model.module(x)).square().mean().detach())
    assert lost[task] < 0.9 * lost[None]


def test_without_data_it_is_the_truncated_svd_of_the_weight() -> None:
    model, _, _ = made("plain")
    low = run(model, [FactorizeLayers(ranks={"0": 3})]).module.get_submodule("0")
    product = low[1].weight.flatten(1) @ low[0].weight.flatten(1)
    u, s, v = torch.linalg.svd(model.module[0].weight.flatten(1), full_matrices=False)
    torch.testing.assert_close(product, u[:, :3] * s[:3] @ v[:3], rtol=1e-4, atol=1e-5)


def test_the_height_and_width_factors_are_the_truncated_svd_of_jaderberg() -> None:
    model, _, _ = made("plain")
    low = run(model, [FactorizeLayers(kind=SpatialSvd(), ranks={"0": 4})]).module.get_submodule("0")
    product = torch.einsum("riy,orx->iyox", low[0].weight[..., 0], low[1].weight[:, :, 0])
    whole = model.module[0].weight.permute(1, 2, 0, 3)
    u, s, v = torch.linalg.svd(whole.flatten(2).flatten(0, 1), full_matrices=False)
    expected = (u[:, :4] * s[:4] @ v[:4]).view(whole.shape)
    torch.testing.assert_close(product, expected, rtol=1e-4, atol=1e-5)


def test_sweeps_of_tucker_never_lose_more_than_the_first_guess() -> None:
    torch.manual_seed(0)
    model = Model(nn.Sequential(nn.Conv2d(8, 9, 3)).eval(), (torch.randn(1, 8, 5, 5),))
    whole = model.module[0].weight
    lost = []
    for sweeps in (0, 1, 8):
        low = run(model, [FactorizeLayers(kind=Tucker(sweeps), ranks={"0": (3, 2)})])
        inner, core, outer = (part.weight.flatten(2) for part in low.module.get_submodule("0"))
        product = torch.einsum("oa,abk,bi->oik", outer[..., 0], core, inner[..., 0])
        lost.append(float((product - whole.flatten(2)).square().sum().detach()))
    assert lost[0] >= lost[1] - 1e-6 >= lost[2] - 2e-6
    assert lost[2] < lost[0]


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 12, 3, 2, 1), nn.Conv2d(12, 16, 5, padding=2)
        self.c, self.d = nn.Conv2d(16, 24, 1), nn.Conv2d(24, 24, 3, padding=(0, 1))
        self.head = nn.Linear(24, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.c(self.b(self.a(x).relu()).relu()).relu()
        return self.head(self.d(self.d(x)).relu().mean((2, 3)))


@pytest.mark.parametrize("share", [0.3, 0.6])
@pytest.mark.parametrize("kind", list(KINDS))
def test_the_share_of_multiplications_is_met_as_the_graph_counts(kind: str, share: float) -> None:
    torch.manual_seed(0)
    model = Model(Several().eval(), (torch.randn(2, 3, 16, 14),))
    how = KINDS[kind]
    names = [name for name, layer in model.module.named_children() if how.suits(layer)]
    small = run(model, [FactorizeLayers(share, kind=how)])

    def counted(model: Model) -> int:
        rows = cost(trace(model))
        return sum(row.macs for row in rows if row.name.split("@")[0].split(".")[0] in names)

    reached = counted(small) / counted(model)
    assert 0.7 * share < reached <= share


def test_a_layer_without_a_rank_that_saves_keeps_its_form_and_is_noted() -> None:
    torch.manual_seed(0)
    wide, weak = nn.Linear(64, 64), nn.Linear(64, 64)
    with torch.no_grad():
        weak.weight.copy_(torch.randn(64, 2) @ torch.randn(2, 64))
    model = Model(nn.Sequential(wide, weak).eval(), (torch.randn(1, 64),))
    low = run(model, [FactorizeLayers(0.6)])
    assert isinstance(low.module[0], nn.Linear)
    assert isinstance(low.module[1], nn.Sequential)
    assert [str(note) for note in low.notes] == ["FactorizeLayers: 0 keeps its form"]


def test_a_captured_network_is_factorized_alike() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    pass_ = FactorizeLayers(0.6, task=task, samples=32)
    (x,), _ = next(task.batches("test"))
    own, caught = run(model, [pass_]), run(capture(model), [pass_])
    torch.testing.assert_close(caught.module(x), own.module(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, "channel") for name in STRUCTURES]
    + [(name, kind) for name in ("option A", "transposed") for kind in ("spatial", "tucker")],
)
def test_networks_of_all_structures_survive(name: str, kind: str) -> None:
    module, inputs = build(name)
    done = run(Model(module, inputs), [FactorizeLayers(0.9, kind=KINDS[kind])])
    trace(done)


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_onnx_file_says_the_same(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Model(Several().eval(), (torch.randn(2, 3, 16, 14),))
    done = run(model, [FactorizeLayers(0.5, kind=KINDS[kind])])
    Onnx().write(done, tmp_path / "small.onnx", None)
    (output,) = Onnx().load(tmp_path / "small.onnx", 1)((done.example_inputs[0].numpy(),))
    np.testing.assert_allclose(
        output, done.module(*done.example_inputs).detach().numpy(), rtol=1e-4, atol=1e-5
    )


def test_type_gradients_and_training_go_over_to_the_factors() -> None:
    layer = nn.Linear(8, 8).double().requires_grad_(False)
    model = Model(nn.Sequential(layer).eval(), (torch.randn(1, 8).double(),))
    low = run(model, [FactorizeLayers(ranks={"0": 2})]).module
    assert all(p.dtype == torch.double and not p.requires_grad for p in low.parameters())


def test_names_what_cannot_be_factorized() -> None:
    model, _ = TINY_TASKS["image_classifier"]()
    with pytest.raises(PassError, match=r"'con1' is no layer .* did you mean 'conv1'"):
        run(model, [FactorizeLayers(layers=("con1",))])
    with pytest.raises(PassError, match="'depthwise' is no layer that ChannelSvd suits"):
        run(model, [FactorizeLayers(layers=("depthwise",))])
    with pytest.raises(PassError, match=r"share is 0\.01, but at rank 1"):
        run(model, [FactorizeLayers(0.01)])
    with pytest.raises(PassError, match="ranks of 'conv1' must be 1 to 12, got 13"):
        run(model, [FactorizeLayers(ranks={"conv1": 13})])
    with pytest.raises(ValueError, match="share must be above 0 and at most 1, got 0"):
        FactorizeLayers(0.0)


def test_recipes_say_it() -> None:
    _, task = TINY_TASKS["image_classifier"]()
    passes = (
        FactorizeLayers(0.4, kind=Tucker(2), task=task),
        FactorizeLayers(task=task, ranks={"a": [1, 2]}),
    )
    assert recipe.read(recipe.write(passes), task) == passes


def test_few_examples_do_not_hide_what_other_examples_read() -> None:
    """Of 20 examples, 20 directions are all there is; of white inputs, all directions count."""
    torch.manual_seed(0)
    model = Model(nn.Sequential(nn.Linear(200, 80)).eval(), (torch.randn(2, 200),))
    few, fresh = torch.randn(20, 200), torch.randn(2000, 200)
    lost = []
    for task in (task_of([few]), None):
        small = run(model, [FactorizeLayers(0.5, Svd(), task, samples=20)])
        with torch.no_grad():
            wrong = small.module(fresh) - model.module(fresh)
        lost.append(float(wrong.square().mean()))
    assert lost[0] < 1.1 * lost[1]


@pytest.mark.parametrize("count", [30, 3000])
def test_covariances_shrink_as_those_of_scikit_learn(count: int) -> None:
    from sklearn.covariance import oas

    x = torch.cat(correlated((1, 60), count)).double() + 1
    module = nn.Sequential(nn.Linear(60, 5))
    model = Model(module.eval(), (x[:1].float(),))
    found = places(model, (), Svd().suits, "layer")
    reads = reads_of(model, found, task_of([x.float()]), count, is_shrunk=True)
    wanted, share = oas(x.numpy())
    assert share > 0.01 if count == 30 else share < 0.01
    np.testing.assert_allclose(reads["0"].second[0].numpy(), wanted, atol=0.05 * wanted.max())


def test_a_mean_that_is_always_there_makes_no_layer_look_spared() -> None:
    """Two layers read the same but for a mean, which a norm takes out again: they lose alike."""
    torch.manual_seed(0)
    weight = torch.randn(16, 16)

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = (nn.Conv2d(16, 16, 1, bias=False) for _ in range(2))
            for layer in (self.a, self.b):
                layer.weight = nn.Parameter(weight[..., None, None].clone())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(x) + self.b(x + 30)

    x = torch.randn(64, 16, 2, 2)
    model = Model(Two().eval(), (x[:2],))
    small = run(model, [FactorizeLayers(0.6, Svd(), task_of([x]), samples=64)]).module
    ranks = [small.get_submodule(name)[0].out_channels for name in "ab"]
    assert abs(ranks[0] - ranks[1]) <= 1
