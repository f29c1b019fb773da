import pytest
import torch
from torch import nn

from lilliput.core import Model, Pass, PassError, Task, UnsupportedError, run
from lilliput.quantize import ClusterWeights, QuantizeStatic, palettes
from lilliput.quantize.sharing.cluster import Palette, write_out
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS, PassContract
from lilliput.train import FineTune

RULES = get_target("onnxruntime-cpu").rules


class TestClusterWeights(PassContract):
    @pytest.fixture
    def pass_(self, task: Task) -> Pass:
        return ClusterWeights(clusters=8, task=task, samples=32)


class TestClusterChannels(PassContract):
    @pytest.fixture
    def pass_(self) -> Pass:
        return ClusterWeights(clusters=4, is_per_channel=True)


def clustered(**settings: object) -> tuple[Model, Model, Task]:
    model, task = TINY_TASKS["image_classifier"]()
    return model, run(model, [ClusterWeights(**settings)]), task  # type: ignore[arg-type]


def test_weights_are_the_nearest_values_of_the_palette() -> None:
    model, done, _ = clustered(clusters=8)
    before = dict(model.module.named_parameters())
    found = palettes(done.module)
    assert set(found) == {
        "stem.0.weight",
        "conv1.weight",
        "depthwise.weight",
        "head.weight",
    }
    for name, shared in found.items():
        weight = done.module.get_submodule(name.removesuffix(".weight")).weight
        assert len(weight.unique()) <= 8
        torch.testing.assert_close(shared.values[shared.codes.long()], weight)
        distances = (before[name].unsqueeze(-1) - shared.values).abs()
        chosen = (before[name] - weight).abs()
        torch.testing.assert_close(chosen, distances.min(-1).values)


def test_each_channel_has_a_palette_of_its_own() -> None:
    model, done, _ = clustered(clusters=4, is_per_channel=True)
    for name, shared in palettes(done.module).items():
        weight = done.module.get_submodule(name.removesuffix(".weight")).weight
        assert len(shared.values) == len(weight)
        assert all(len(row.unique()) <= 4 for row in weight)
    own = (done.module.head.weight - model.module.head.weight).square().sum()
    _, whole, _ = clustered(clusters=4)
    assert own < (whole.module.head.weight - model.module.head.weight).square().sum()


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_the_gradient_of_a_value_is_the_sum_over_its_weights(granularity: str) -> None:
    codes = torch.randint(0, 4, (5, 3, 2, 2), dtype=torch.uint8)
    values = torch.randn(4) if granularity == "tensor" else torch.randn(5, 4)
    values.requires_grad_()
    weight = Palette(codes, keeps_zero=False)(values)
    slope = torch.randn_like(weight)
    weight.backward(slope)
    assert values.grad is not None
    for code in range(4):
        members = slope * (codes == code)
        if granularity == "tensor":
            torch.testing.assert_close(values.grad[code], members.sum())
        else:
            torch.testing.assert_close(values.grad[:, code], members.flatten(1).sum(1))


def test_training_moves_the_values_and_keeps_the_codes() -> None:
    _, done, task = clustered(clusters=4)
    trained = run(done, [FineTune(task, epochs=1, learning_rate=0.01)])
    before, after = palettes(done.module), palettes(trained.module)
    for name, shared in before.items():
        assert torch.equal(shared.codes, after[name].codes)
        assert not torch.equal(shared.values, after[name].values)


def test_a_pruned_layer_keeps_its_zeros_through_training() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    weight = model.module.conv1.weight
    with torch.no_grad():
        weight[weight.abs() < weight.abs().median()] = 0
    done = run(model, [ClusterWeights(clusters=4), FineTune(task, epochs=1, learning_rate=0.1)])
    after = done.module.conv1.weight
    assert torch.equal(after == 0, weight == 0)
    assert len(after.unique()) == 4


def test_weights_of_few_values_stay_exactly() -> None:
    model, _ = TINY_TASKS["image_classifier"]()
    with torch.no_grad():
        model.module.head.weight.fill_(0.3)
        model.module.conv1.weight.sign_()
    done = run(model, [ClusterWeights()])
    assert torch.equal(done.module.head.weight, model.module.head.weight)
    assert torch.equal(done.module.conv1.weight, model.module.conv1.weight)


def test_all_zeros_stay_zeros() -> None:
    model, _ = TINY_TASKS["image_classifier"]()
    with torch.no_grad():
        model.module.head.weight.zero_()
    assert not run(model, [ClusterWeights()]).module.head.weight.any()


def test_weighing_lowers_the_error_of_the_outputs() -> None:
    torch.manual_seed(0)
    # inputs of very different size, which the weights alone do not show
    x = torch.randn(256, 40) * torch.logspace(-2, 1, 40)
    module = nn.Sequential(nn.Linear(40, 8)).eval()
    task = Task("toy", [(x, x)], [(x, x)], lambda y, _: y.square().mean(), _Nothing())
    model = Model(module, (x[:2],))
    plain, weighed = (
        run(model, [ClusterWeights(clusters=4, task=task, samples=n)]) for n in (0, 256)
    )
    with torch.no_grad():
        errors = [(m.module(x) - module(x)).square().mean() for m in (weighed, plain)]
    assert errors[0] < 0.9 * errors[1]


class _Nothing:
    higher_is_better = True

    def update(self, outputs: object, labels: object, /) -> None: ...

    def compute(self) -> float:
        return 0.0


def test_written_out_it_is_a_plain_network() -> None:
    _, done, _ = clustered(clusters=8)
    plain = done.clone()
    write_out(plain.module)
    assert not palettes(plain.module)
    with torch.no_grad():
        expected = done.module(*done.example_inputs)
        torch.testing.assert_close(plain.module(*done.example_inputs), expected)


class _Mask(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * (torch.arange(weight.numel()) % 2).view(weight.shape)


def test_a_masked_layer_keeps_its_zeros_and_the_network_before_its_mask() -> None:
    model, _ = TINY_TASKS["image_classifier"]()
    nn.utils.parametrize.register_parametrization(model.module.head, "weight", _Mask())
    before = model.module.head.weight
    done = run(model, [ClusterWeights()])
    assert not done.module.head.weight[before == 0].any()
    assert torch.equal(model.module.head.weight, before)


def test_a_weight_that_follows_from_several_tensors_is_refused() -> None:
    model, _ = TINY_TASKS["image_classifier"]()
    nn.utils.parametrizations.weight_norm(model.module.head)
    with pytest.raises(PassError, match="'head' follows from several tensors"):
        run(model, [ClusterWeights()])


def test_quantizing_on_top_is_refused_and_says_why() -> None:
    _, done, task = clustered(clusters=8)
    with pytest.raises(PassError, match="QuantizeStatic cannot come after ClusterWeights"):
        run(done, [QuantizeStatic(RULES, task)])


def test_a_name_that_fits_no_layer_gets_the_nearest() -> None:
    model, _ = TINY_TASKS["image_classifier"]()
    with pytest.raises(UnsupportedError, match="'conv_1'; did you mean 'conv1'"):
        run(model, [ClusterWeights(floats=("conv_1",))])


def test_named_layers_stay_float() -> None:
    _, done, _ = clustered(floats=("stem.*", "head"))
    assert set(palettes(done.module)) == {"conv1.weight", "depthwise.weight"}


def test_nothing_to_cluster_is_refused() -> None:
    model = Model(nn.Sequential(nn.ReLU()).eval(), (torch.randn(1, 3),))
    with pytest.raises(UnsupportedError, match="nothing to cluster"):
        run(model, [ClusterWeights()])


def test_a_weight_that_is_no_number_is_named() -> None:
    model, _ = TINY_TASKS["image_classifier"]()
    with torch.no_grad():
        model.module.head.weight[0, 0] = float("inf")
    with pytest.raises(PassError, match="'head' is NaN or infinite"):
        ClusterWeights()(model)


@pytest.mark.parametrize("clusters", [1, 257])
def test_refuses_palettes_that_no_code_spans(clusters: int) -> None:
    with pytest.raises(ValueError, match=f"got {clusters}"):
        ClusterWeights(clusters=clusters)


def test_refuses_weighing_without_data() -> None:
    with pytest.raises(ValueError, match="pass task"):
        ClusterWeights(samples=8)
