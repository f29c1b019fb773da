"""The given ResNets, quantized after training: what the files weigh, and that they agree."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from tests.export.nets import cifar10

from lilliput.core import Artifact, Model, Target, run
from lilliput.export import export, load, parity
from lilliput.quantize import QuantizeStatic
from lilliput.targets import get_target

pytestmark = pytest.mark.slow

# bytes: what the best peer's file takes, and how many convolutions and additions there are.
# Source: static quantization of the same nets by six tools; the smallest are ExecuTorch's files.
NETS = {20: (315_048, 19, 9), 56: (961_832, 55, 27)}


@pytest.fixture(scope="module", params=NETS)
def depth(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module", params=["onnxruntime-cpu", "litert-cpu"])
def target(request: pytest.FixtureRequest) -> Target:
    return get_target(request.param)


@pytest.fixture(scope="module")
def model(depth: int, target: Target) -> Model:
    data = cifar10()
    assert target.rules is not None
    return run(data.trained(depth), [QuantizeStatic(target.rules, data.task(), samples=256)])


@pytest.fixture(scope="module")
def artifact(model: Model, target: Target, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return export(model, target, tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    data = cifar10()
    return data.normalise(data.images("test")[0][:200])


def test_the_file_is_smaller_than_the_best_peer_s(artifact: Artifact, depth: int) -> None:
    assert artifact.size_bytes < NETS[depth][0]


def test_the_file_agrees_with_the_simulation(
    model: Model, artifact: Artifact, images: torch.Tensor
) -> None:
    found = parity(model, artifact, (images,))
    assert found.is_close, found.culprit
    assert found.cosine > 0.999
    with torch.no_grad():
        expected = model.module(images).numpy()
    (output,) = load(artifact.path, artifact.format)((images.numpy(),))
    assert np.mean(output.argmax(1) == expected.argmax(1)) >= 0.97


def test_onnx_runtime_runs_all_of_it_in_integers(
    artifact: Artifact, depth: int, tmp_path: Path
) -> None:
    if artifact.format != "onnx":
        pytest.skip("about ONNX Runtime")
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(str(artifact.path), options, providers=["CPUExecutionProvider"])
    graph = onnx.load(tmp_path / "optimized.onnx").graph
    counts = Counter(node.op_type for node in graph.node)
    _, convolutions, additions = NETS[depth]
    assert counts["QLinearConv"] == convolutions
    assert counts["QLinearAdd"] == additions
    assert counts["QGemm"] == 1
    assert counts["QuantizeLinear"] == 1
    assert not counts["Conv"] + counts["Add"] + counts["Gemm"] + counts["DequantizeLinear"]
