from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from tests.export.claims import difference, images, made
from tests.export.nets import examples, quantized
from tests.export.onnx.test_palette import net

from lilliput.core import (
    Granularity,
    PerChannel,
    PerGroup,
    PerTensor,
    run,
)
from lilliput.export import Format, export, load, parity, tensor_parity
from lilliput.export.openvino.format import OpenVino, OpenVinoPredictor
from lilliput.quantize import (
    ClusterWeights,
    ConvertFloat,
    QuantizeDynamic,
    QuantizeStatic,
    QuantizeWeights,
    quantizers,
)
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS, FormatContract

pytest.importorskip("openvino")
TARGET = get_target("openvino-cpu")
RULES = TARGET.rules
assert RULES is not None


class TestOpenVino(FormatContract):
    tasks: ClassVar[tuple[str, ...]] = ("two_output_regressor",)

    @pytest.fixture
    def format_(self) -> Format:
        return OpenVino()


@pytest.mark.slow
class TestOpenVinoOnTheOthers(TestOpenVino):
    tasks: ClassVar[tuple[str, ...]] = (
        "image_classifier",
        "image_to_image",
        "two_input_transformer",
    )


def executed(path: Path) -> Counter[str]:
    """What OpenVINO makes of a file: operators and the types that they compute in."""
    found: Counter[str] = Counter()
    for node in OpenVinoPredictor(path, 1).compiled.get_runtime_model().get_ops():
        info = node.get_rt_info()
        found[f"{info['layerType'].astype(str)} {info['runtimePrecision'].astype(str)}"] += 1
    return found


@pytest.mark.parametrize("tiny", TINY_TASKS)
def test_the_file_says_what_fake_quantization_says(tiny: str, tmp_path: Path) -> None:
    model = quantized(tiny, TARGET.name)
    artifact = export(model, TARGET, tmp_path)
    found = parity(model, artifact, examples(tiny, 8))
    # a tie of a float may fall to the other code
    assert found.difference < 0.01


def test_convolutions_and_linear_layers_run_in_integers(tmp_path: Path) -> None:
    model = quantized("image_classifier", TARGET.name)
    found = executed(export(model, TARGET, tmp_path).path)
    assert found["Convolution u8"] == 3
    assert found["FullyConnected u8"] == 1
    assert found["Eltwise u8"] == found["Pooling u8"] == 1
    assert not found["Convolution f32"] + found["FullyConnected f32"]


def test_every_quantizers_tensor_is_in_the_file(tmp_path: Path) -> None:
    model = quantized("image_classifier", TARGET.name)
    artifact = export(model, TARGET, tmp_path)
    found = tensor_parity(model, artifact, examples("image_classifier", 1))
    activations = [n for n, q in quantizers(model.module).items() if not q.type.is_signed]
    assert set(activations) <= set(found)
    assert max(found.values()) < 0.01


@pytest.mark.parametrize("bits", [8, 4, 3, 2])
@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel()])
def test_static_weights_of_few_bits(bits: int, granularity: Granularity, tmp_path: Path) -> None:
    model, task = images()
    weight = replace(RULES.weight, bits=bits, granularity=granularity)
    static = QuantizeStatic(replace(RULES, weight=weight), task)
    small, artifact = made(model, [static], TARGET, tmp_path)
    assert difference(small, artifact, (2 * model.example_inputs[0],)) < 0.02
    assert artifact.weights == f"stored {8 if bits == 8 else 4}, runs 8"
    assert bool(artifact.notes) == (bits in {2, 3})


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(), PerGroup(16)])
def test_weights_alone_leave_activations_as_they_are(
    bits: int, granularity: Granularity, tmp_path: Path
) -> None:
    model, _ = images()
    small, artifact = made(model, [QuantizeWeights(RULES, bits, granularity)], TARGET, tmp_path)
    assert difference(small, artifact, model.example_inputs) < 1e-5


def test_activations_quantized_at_run_time(tmp_path: Path) -> None:
    model, _ = images()
    small, artifact = made(model, [QuantizeDynamic(RULES)], TARGET, tmp_path)
    assert difference(small, artifact, model.example_inputs) < 0.02


@pytest.mark.parametrize("bits", [6, 4])
def test_narrow_activations_end_where_their_codes_end(bits: int, tmp_path: Path) -> None:
    model, task = images()
    rules = replace(RULES, activation=replace(RULES.activation, bits=bits))
    small, artifact = made(model, [QuantizeStatic(rules, task)], TARGET, tmp_path)
    assert difference(small, artifact, (3 * model.example_inputs[0],)) < 0.02


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_floats_of_16_bits_are_stored_so(dtype: str, tmp_path: Path) -> None:
    model, _ = images()
    size = export(model, TARGET, tmp_path).size_bytes
    small, artifact = made(model, [ConvertFloat(dtype, rules=RULES)], TARGET, tmp_path)
    assert difference(small, artifact, model.example_inputs) < 1e-5
    assert artifact.size_bytes < 0.7 * size


@pytest.mark.parametrize(
    ("clusters", "bits", "is_per_channel"),
    [(4, 4, False), (16, 4, False), (65, 8, False), (4, 4, True), (16, 4, True)],
)
def test_palettes_are_looked_up_once(
    clusters: int, bits: int, is_per_channel: bool, tmp_path: Path
) -> None:
    done = run(net(), [ClusterWeights(clusters, is_per_channel)])
    artifact = export(done, TARGET, tmp_path)
    x = torch.randn(5, 3, 8, 8)
    with torch.no_grad():
        wanted = done.module(x).numpy()
    (found,) = load(artifact.path, artifact.format)((x.numpy(),))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    weights, rows = 3 * 32 * 9 + 32 * 64 * 9 + 64 * 16 * 10, 32 + 64 + 10 if is_per_channel else 3
    assert artifact.size_bytes < weights * bits / 8 + 4 * rows * (clusters + 1) + 3000
    kinds = {name.split()[0] for name in executed(artifact.path)}
    assert not kinds & {"Gather", "GatherElements", "Convert", "Subgraph"}


def test_a_model_can_be_measured(tmp_path: Path) -> None:
    from lilliput.measure import measure

    model, task = TINY_TASKS["image_classifier"]()
    found = {m.quantity: m for m in measure(export(model, TARGET, tmp_path), TARGET, task)}
    assert found["latency"].value > 0
    assert "openvino 20" in found["latency"].device
