"""What comes after masks: folding, channels, blocks, quantization and files."""

from functools import cache

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from tests.graph.structures import ResNet, settle
from torch import Tensor, nn

from lilliput.core import Model, Task, run
from lilliput.edit import FuseBatchNorm
from lilliput.export import export, load, parity
from lilliput.graph import capture, channel_groups, cost, operator_of, trace
from lilliput.graph.masks import without_masks
from lilliput.prune import (
    HoldZeros,
    PruneChannels,
    PruneWeights,
    RemoveBlocks,
    masked,
    removable_blocks,
    set_mask,
    sparsity_of,
)
from lilliput.quantize import EqualizeLayers, QuantizeAware, QuantizeStatic
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS, learned
from lilliput.train import FineTune

TARGET = get_target("onnxruntime-cpu")
QUICK = ("image_classifier", "two_input_transformer")
TINY = [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in TINY_TASKS]


@cache
def sparse(tiny: str) -> tuple[Model, Model, Task]:
    """A masked network, the same with plain zeros, and its task."""
    model, task = TINY_TASKS[tiny]()
    done = run(learned(model, task, 2), [PruneWeights(0.7)])
    plain = model.clone()
    for name, part in plain.module.named_modules():
        for leaf, value in part.named_parameters(recurse=False):
            source = done.module.get_submodule(name)
            value.data.copy_(getattr(source, leaf))
        for leaf, value in part.named_buffers(recurse=False):
            value.copy_(getattr(done.module.get_submodule(name), leaf))
    return done, plain, task


@torch.no_grad()
def outputs(model: Model) -> list[Tensor]:
    found = model.module.eval()(*model.example_inputs)
    return list(found) if isinstance(found, tuple) else [found]


def assert_same(one: Model, other: Model, **tolerance: float) -> None:
    for a, b in zip(outputs(one), outputs(other), strict=True):
        torch.testing.assert_close(a, b, **tolerance)


@pytest.mark.parametrize("is_captured", [False, True])
@pytest.mark.parametrize("tiny", TINY)
def test_batch_norm_folds_and_the_zeros_hold(tiny: str, is_captured: bool) -> None:
    masks, plain, task = sparse(tiny)
    start = capture(masks) if is_captured else masks
    folded = run(start, [FuseBatchNorm()])
    assert_same(folded, masks, rtol=1e-4, atol=1e-5)
    kinds = [type(part) for part in run(plain, [FuseBatchNorm()]).module.modules()]
    assert [type(p) for p in folded.module.modules()].count(nn.BatchNorm2d) == kinds.count(
        nn.BatchNorm2d
    )
    trained = run(folded, [FineTune(task)])
    for name, mask in masked(start.module).items():
        assert torch.equal(masked(trained.module)[name], mask)
    assert sparsity_of(trained.module) == pytest.approx(sparsity_of(start.module), abs=0.01)


@pytest.mark.parametrize("tiny", TINY)
def test_captured_it_stays_masked_and_trains(tiny: str) -> None:
    masks, _, task = sparse(tiny)
    captured = capture(masks)
    assert_same(captured, masks)
    inside_attention = {"encoder.self_attn.out_proj"}
    assert set(masked(captured.module)) == set(masked(masks.module)) - inside_attention
    trained = run(captured, [FineTune(task)])
    for name, mask in masked(trained.module).items():
        assert not trained.module.get_submodule(name).weight[~mask].any()


@pytest.mark.parametrize("tiny", TINY)
def test_without_masks_it_computes_the_same(tiny: str) -> None:
    masks, never, _ = sparse(tiny)
    for start in (masks, capture(masks)):
        plain = without_masks(start)
        assert_same(plain, masks)
        assert not masked(plain.module)
        assert masked(start.module)
        products = [operator_of(node) for node in trace(plain).nodes].count("mul")
        assert products == [operator_of(node) for node in trace(never).nodes].count("mul")


def is_graph(model: Model) -> bool:
    return isinstance(model.module, torch.fx.GraphModule)


def test_costs_what_it_costs_without_masks() -> None:
    masks, plain, _ = sparse("image_classifier")
    ours, theirs = cost(trace(masks)), cost(trace(plain))
    assert [(row.name, row.macs, row.weight_bytes) for row in ours] == [
        (row.name, row.macs, row.weight_bytes) for row in theirs
    ]


def test_channel_groups_keep_their_names() -> None:
    masks, plain, _ = sparse("image_classifier")
    names = [group.name for group in channel_groups(trace(masks))]
    assert names == [group.name for group in channel_groups(trace(plain))]


def option_a() -> Model:
    torch.manual_seed(0)
    net = settle(ResNet(2, (8, 16, 32)))
    return Model(net, (torch.randn(2, 3, 16, 16),))


def test_channels_go_with_their_masks() -> None:
    masks, _, task = sparse("image_classifier")
    small = run(masks, [PruneChannels({"stem.0": 0.5}), FineTune(task)])
    mask = masked(small.module)["conv1"]
    assert mask.shape == (6, 6, 3, 3)
    assert not small.module.conv1.weight[~mask].any()


def test_channels_go_in_a_network_that_must_be_captured_and_the_zeros_hold() -> None:
    model = run(option_a(), [PruneWeights(0.6)])
    small = run(model, [PruneChannels(0.5)])
    assert is_graph(small)
    assert set(masked(small.module)) == set(masked(model.module))
    small.module.train()
    optimizer = torch.optim.SGD(small.module.parameters(), lr=0.1)
    small.module(torch.randn(4, 3, 16, 16)).square().sum().backward()
    optimizer.step()
    for name, mask in masked(small.module).items():
        assert not small.module.get_submodule(name).weight[~mask].any()


def test_units_rank_by_what_masks_leave() -> None:
    model = Model(
        nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval(), (torch.randn(2, 3),)
    )
    with torch.no_grad():
        model.module[0].weight[1] *= 100
        model.module[2].weight[:, 1] *= 1e-3
    mask = torch.ones(4, 3, dtype=torch.bool)
    mask[1] = False
    set_mask(model.module, "0", mask)
    assert not (PruneChannels(0.25)(model).module[0].weight == 0).any()


def test_blocks_go_with_their_masks() -> None:
    model = run(option_a(), [PruneWeights(0.6)])
    block = removable_blocks(model)[0]
    small = run(model, [RemoveBlocks((block,))])
    assert not any(name.startswith(block) for name in masked(small.module))
    assert masked(small.module)


@pytest.mark.parametrize("tiny", TINY)
def test_quantizes_as_the_same_network_with_plain_zeros(tiny: str) -> None:
    masks, plain, task = sparse(tiny)
    quantize = QuantizeStatic(TARGET.rules, task, samples=64)
    ours, theirs = run(masks, [quantize]), run(plain, [quantize])
    assert_same(ours, theirs, rtol=0, atol=0)
    small = run(capture(masks), [quantize])
    assert_same(small, theirs, rtol=1e-4, atol=1e-4)


def test_is_evened_out_as_the_same_network_with_plain_zeros() -> None:
    masks, plain, _ = sparse("image_classifier")
    ours, theirs = run(masks, [EqualizeLayers()]), run(plain, [EqualizeLayers()])
    assert_same(ours, theirs)


def test_zeros_hold_while_a_quantized_network_trains() -> None:
    masks, _, task = sparse("image_classifier")
    zeros = masked(masks.module)["conv1"].logical_not()
    passes = [FuseBatchNorm(), QuantizeAware(TARGET.rules, task)]
    held = run(masks, [*passes, FineTune(task, hooks=(HoldZeros(),))])
    freed = run(masks, [*passes, FineTune(task)])
    assert not held.module.get_parameter("conv1.weight")[zeros].any()
    assert freed.module.get_parameter("conv1.weight")[zeros].any()


def weights_in(path) -> dict[str, np.ndarray]:
    graph = onnx.load(path).graph
    return {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in graph.initializer
        if len(tensor.dims) > 1
    }


@pytest.mark.parametrize("tiny", TINY)
def test_a_float_file_holds_exact_zeros_and_gives_the_same(tiny: str, tmp_path) -> None:
    masks, _, _ = sparse(tiny)
    for folder, start in (("own", masks), ("captured", capture(masks))):
        artifact = export(start, TARGET, tmp_path / folder)
        file = load(artifact.path, "onnx")
        inputs = tuple(x.numpy() for x in start.example_inputs)
        for ours, theirs in zip(file(inputs), outputs(masks), strict=True):
            np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-4, atol=1e-5)
        found = weights_in(artifact.path)
        zeros = sum(int((value == 0).sum()) for value in found.values())
        expected = sum(int((~mask).sum()) for mask in masked(masks.module).values())
        assert zeros >= expected
        assert not any(
            node.op_type == "Mul" and "mask" in "".join(node.input)
            for node in onnx.load(artifact.path).graph.node
        )


def test_an_integer_file_holds_exact_zeros_and_gives_the_same(tmp_path) -> None:
    masks, _, task = sparse("image_classifier")
    done = run(masks, [QuantizeStatic(TARGET.rules, task, samples=64)])
    artifact = export(done, TARGET, tmp_path)
    found = [value for value in weights_in(artifact.path).values() if value.dtype == np.int8]
    assert len(found) == 4
    expected = sum(int((~mask).sum()) for mask in masked(masks.module).values())
    assert sum(int((value == 0).sum()) for value in found) >= expected
    assert parity(done, artifact, done.example_inputs).difference < 0.05
