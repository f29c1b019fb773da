from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from lilliput.core import Model, run
from lilliput.export import export, load
from lilliput.quantize import ClusterWeights
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS

TARGET = get_target("onnxruntime-cpu")


def net() -> Model:
    """A few weights more than the tiny networks have, and BatchNorm that does something."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 64, 3, bias=False),
        nn.BatchNorm2d(64), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 16, 10),
    )  # fmt: skip
    for _ in range(3):
        module(torch.randn(16, 3, 8, 8))
    return Model(module.eval(), (torch.randn(2, 3, 8, 8),))


@pytest.mark.parametrize(("clusters", "bits"), [(4, 2), (16, 4), (256, 8)])
@pytest.mark.parametrize("is_per_channel", [False, True])
def test_the_file_says_what_the_network_says_in_few_bits(
    clusters: int, bits: int, is_per_channel: bool, tmp_path: Path
) -> None:
    done = run(net(), [ClusterWeights(clusters, is_per_channel)])
    artifact = export(done, TARGET, tmp_path)
    run_file = load(artifact.path, artifact.format)
    x = torch.randn(5, 3, 8, 8)
    with torch.no_grad():
        wanted = done.module(x)
    torch.testing.assert_close(
        torch.from_numpy(run_file((x.numpy(),))[0]), wanted, rtol=1e-4, atol=1e-4
    )
    weights = 3 * 32 * 9 + 32 * 64 * 9 + 64 * 16 * 10
    rows = 32 + 64 + 10 if is_per_channel else 3
    palettes = 4 * rows * clusters
    assert artifact.size_bytes < weights * bits / 8 + palettes + 3000


def test_nothing_of_a_batch_norm_is_left_to_run(tmp_path: Path) -> None:
    artifact = export(run(net(), [ClusterWeights()]), TARGET, tmp_path)
    graph = onnx.load(artifact.path).graph
    assert not [node for node in graph.node if node.op_type == "BatchNormalization"]


def test_kept_zeros_are_in_the_file(tmp_path: Path) -> None:
    model = net()
    with torch.no_grad():
        for layer in model.module.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.weight[layer.weight.abs() < layer.weight.abs().median()] = 0
    for is_per_channel in (False, True):
        done = run(model, [ClusterWeights(16, is_per_channel)])
        artifact = export(done, TARGET, tmp_path)
        x = torch.randn(5, 3, 8, 8)
        outputs = load(artifact.path, artifact.format)((x.numpy(),))
        with torch.no_grad():
            wanted = done.module(x)
        torch.testing.assert_close(torch.from_numpy(outputs[0]), wanted, rtol=1e-4, atol=1e-4)
        assert artifact.size_bytes < 29_536 / 2 + 4 * 106 * 16 + 3000


@pytest.mark.parametrize("tiny", TINY_TASKS)
def test_every_kind_of_network_exports(tiny: str, tmp_path: Path) -> None:
    done = run(TINY_TASKS[tiny]()[0], [ClusterWeights()])
    artifact = export(done, TARGET, tmp_path)
    with torch.no_grad():
        wanted = done.module(*done.example_inputs)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    outputs = load(artifact.path, artifact.format)(tuple(x.numpy() for x in done.example_inputs))
    for ours, right in zip(outputs, wanted, strict=True):
        torch.testing.assert_close(torch.from_numpy(ours), right, rtol=1e-4, atol=1e-4)
