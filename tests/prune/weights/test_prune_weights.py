import pytest
import torch
from torch import nn

from lilliput.core import Model, PassError, run
from lilliput.prune import (
    AcrossLayers,
    ErdosRenyiKernel,
    NOfM,
    PerLayer,
    PruneWeights,
    Unstructured,
    WeightBlocks,
    masked,
    sparsity_of,
)
from lilliput.recipe import read, write
from lilliput.testing import TINY_TASKS, PassContract


class TestPruneWeights(PassContract):
    tasks = ("image_classifier", "two_input_transformer")

    @pytest.fixture
    def pass_(self) -> PruneWeights:
        return PruneWeights(0.6)


class TestPruneTwoOfFour(PassContract):
    tasks = ("image_classifier",)

    @pytest.fixture
    def pass_(self) -> PruneWeights:
        return PruneWeights(pattern=NOfM(2, 4))


class TestPruneBlocks(PassContract):
    tasks = ("image_classifier",)

    @pytest.fixture
    def pass_(self) -> PruneWeights:
        return PruneWeights(0.5, WeightBlocks(4, 1), PerLayer())


@pytest.fixture
def model() -> Model:
    return TINY_TASKS["image_classifier"]()[0]


@pytest.mark.parametrize("allotment", [AcrossLayers(), PerLayer(), ErdosRenyiKernel()])
def test_reaches_the_sparsity_with_the_smallest_weights(model: Model, allotment) -> None:
    done = run(model, [PruneWeights(0.7, allotment=allotment)])
    assert sparsity_of(done.module) == pytest.approx(0.7, abs=0.003)
    for name, mask in masked(done.module).items():
        weight = model.module.get_submodule(name).weight.detach().abs()
        if not mask.all():
            assert float(weight[mask].min()) >= float(weight[~mask].max())


def test_is_what_torch_prunes(model: Model) -> None:
    from torch.nn.utils import prune

    done = run(model, [PruneWeights(0.7)])
    other = model.clone().module
    names = list(masked(done.module))
    layers = [(other.get_submodule(name), "weight") for name in names]
    prune.global_unstructured(layers, prune.L1Unstructured, amount=0.7)
    for name, (layer, _) in zip(names, layers, strict=True):
        assert torch.equal(done.module.get_submodule(name).weight, layer.weight)


def test_only_weights_of_linear_layers_and_convolutions_go(model: Model) -> None:
    done = run(model, [PruneWeights(0.9)]).module
    assert set(masked(done)) == {"stem.0", "conv1", "depthwise", "head"}
    assert torch.equal(done.head.bias, model.module.head.bias)
    assert torch.equal(done.bn1.weight, model.module.bn1.weight)


def test_goes_on_from_the_zeros_there_are(model: Model) -> None:
    once = run(model, [PruneWeights(0.5)])
    twice = run(once, [PruneWeights(0.8, allotment=PerLayer())])
    assert sparsity_of(twice.module) == pytest.approx(0.8, abs=0.01)
    for name, mask in masked(twice.module).items():
        assert not (mask & ~masked(once.module)[name]).any()
    back = run(twice, [PruneWeights(0.2)])
    assert sparsity_of(back.module) == sparsity_of(twice.module)


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_a_pattern_of_its_own_sparsity_needs_none(model: Model, kept: int) -> None:
    done = run(model, [PruneWeights(pattern=NOfM(kept, 4))])
    mask = masked(done.module)["conv1"]
    assert (mask.movedim(1, -1).reshape(-1, 4).sum(1) == kept).all()
    assert set(masked(done.module)) == {"conv1", "head"}
    assert "stem.0, depthwise" in str(done.notes[0])


def test_a_transposed_convolution_has_its_pattern_along_its_inputs() -> None:
    net = nn.ConvTranspose2d(8, 3, 2)
    done = run(
        Model(nn.Sequential(net), (torch.randn(1, 8, 4, 4),)), [PruneWeights(pattern=NOfM())]
    )
    mask = masked(done.module)["0"]
    assert (mask.movedim(0, -1).reshape(-1, 4).sum(1) == 2).all()


def test_no_layer_is_emptied(model: Model) -> None:
    with torch.no_grad():
        model.module.conv1.weight.mul_(1e-6)
    for allotment in (AcrossLayers(), PerLayer(), ErdosRenyiKernel()):
        done = run(model, [PruneWeights(0.999, allotment=allotment)])
        assert all(mask.any() for mask in masked(done.module).values())


def test_frozen_weights_go_too(model: Model) -> None:
    model.module.requires_grad_(False)
    done = run(model, [PruneWeights(0.5)])
    assert sparsity_of(done.module) == pytest.approx(0.5, abs=0.001)
    assert not any(p.requires_grad for p in done.module.parameters())


def test_skips_layers_and_whole_parts(model: Model) -> None:
    done = run(model, [PruneWeights(0.5, skip=("stem", "head"))])
    assert set(masked(done.module)) == {"conv1", "depthwise"}
    with pytest.raises(PassError, match=r"called 'conv2'.*'conv1'"):
        run(model, [PruneWeights(0.5, skip=("conv2",))])


def test_says_what_is_wrong() -> None:
    for sparsity in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="at least 0 and below 1"):
            PruneWeights(sparsity)
    with pytest.raises(ValueError, match=r"sparsity of 0.75, got 0.5; leave sparsity out"):
        PruneWeights(0.5, NOfM(1, 4))
    with pytest.raises(PassError, match="nothing to prune"):
        run(Model(nn.Sequential(nn.ReLU()), (torch.randn(2, 3),)), [PruneWeights(0.5)])


def test_reads_back_from_a_recipe() -> None:
    _, task = TINY_TASKS["image_classifier"]()
    passes = (
        PruneWeights(0.7, Unstructured(), ErdosRenyiKernel(), ("head",)),
        PruneWeights(pattern=NOfM(1, 4)),
        PruneWeights(0.5, WeightBlocks(8, 8), PerLayer()),
    )
    assert read(write(passes), task) == passes
