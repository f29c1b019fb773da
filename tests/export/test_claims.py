"""What the targets' tables claim: exported, run, and equal to the simulation."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import onnx
import pytest
from tests.export.claims import difference, images, made, words

from lilliput.core import (
    Granularity,
    PerChannel,
    PerGroup,
    PerTensor,
    QuantizationRules,
    Target,
    UnsupportedError,
    run,
)
from lilliput.export import export
from lilliput.export.litert.file import read
from lilliput.quantize import (
    ConvertFloat,
    Precision,
    QuantizeDynamic,
    QuantizeStatic,
    QuantizeWeights,
)
from lilliput.targets import get_target

ORT, LITERT = get_target("onnxruntime-cpu"), get_target("litert-cpu")
TARGETS = [ORT, pytest.param(LITERT, marks=pytest.mark.slow)]
EXECUTORCH = pytest.param(
    get_target("executorch-cpu"),
    marks=[
        pytest.mark.slow,
        pytest.mark.skipif(find_spec("executorch") is None, reason="needs executorch"),
    ],
    id="executorch",
)
BITS = (8, 6, 5, 4, 3, 2)
FLOAT, FUSED, CODE = 1e-5, 0.01, 0.02
"""What a file may differ by: where it computes in floats, where the runtime rounds what it reads
for itself, and where one code of a last layer may fall on the other side."""


def rules_of(
    target: Target,
    bits: int = 8,
    granularity: Granularity | None = None,
    activation: int = 8,
    **changed: bool,
) -> QuantizationRules:
    assert target.rules is not None
    weight = replace(
        target.rules.weight,
        bits=bits,
        granularity=granularity or PerChannel(),
        is_power_of_two=changed.get("is_power_of_two", False),
    )
    reads = replace(target.rules.activation, bits=activation, **changed)
    return replace(target.rules, weight=weight, activation=reads)


@pytest.mark.parametrize("target", [*TARGETS, EXECUTORCH])
@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(), PerGroup(16)])
@pytest.mark.parametrize("bits", BITS)
def test_static_weights_of_every_width(
    target: Target, granularity: Granularity, bits: int, tmp_path: Path
) -> None:
    model, task = images()
    static = QuantizeStatic(rules_of(target, bits, granularity), task)
    small, artifact = made(model, [static], target, tmp_path)
    assert difference(small, artifact, (2 * model.example_inputs[0],)) < CODE
    has_note = any(note.is_fallback for note in artifact.notes)
    runs_as_asked = not isinstance(granularity, PerGroup) and target.rules is not None
    stored = {2, 4, 8} if target is ORT else {8}
    assert has_note != (runs_as_asked and bits in stored)


@pytest.mark.parametrize("target", [*TARGETS, EXECUTORCH])
@pytest.mark.parametrize("bits", [16, 8, 6, 4])
def test_activations_of_every_width_end_where_their_codes_end(
    target: Target, bits: int, tmp_path: Path
) -> None:
    model, task = images()
    static = QuantizeStatic(rules_of(target, activation=bits), task)
    small, artifact = made(model, [static], target, tmp_path)
    # inputs beyond those calibrated on: in a byte their codes would go on to 255
    assert difference(small, artifact, (3 * model.example_inputs[0],)) < CODE
    assert bool(artifact.notes) == (bits == 16)


@pytest.mark.parametrize("target", [*TARGETS, EXECUTORCH])
@pytest.mark.parametrize("changed", [{"is_power_of_two": True}, {"is_symmetric": True}])
def test_steps_of_powers_of_two_and_symmetric_activations(
    target: Target, changed: dict[str, bool], tmp_path: Path
) -> None:
    model, task = images()
    static = QuantizeStatic(rules_of(target, **changed), task)
    small, artifact = made(model, [static], target, tmp_path, strict=True)
    assert difference(small, artifact, model.example_inputs) < CODE


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("bits", "granularity", "allowed"),
    [
        (8, PerTensor(), FLOAT),
        (8, PerChannel(), FLOAT),
        (4, PerChannel(), FLOAT),
        (3, PerChannel(), FLOAT),
        (2, PerChannel(), FLOAT),
        (4, PerGroup(16), FUSED),
        (8, PerGroup(32), FUSED),
        (4, PerGroup(8), FLOAT),
    ],
)
def test_weights_alone(
    target: Target, bits: int, granularity: Granularity, allowed: float, tmp_path: Path
) -> None:
    model, _ = images()
    assert target.rules is not None
    weights = QuantizeWeights(target.rules, bits, granularity)
    small, artifact = made(model, [weights], target, tmp_path)
    assert difference(small, artifact, model.example_inputs) < allowed
    assert artifact.weights.startswith("stored ")


@pytest.mark.parametrize("target", [*TARGETS, EXECUTORCH])
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_activations_quantized_at_run_time(target: Target, bits: int, tmp_path: Path) -> None:
    model, _ = images()
    assert target.rules is not None
    small, artifact = made(model, [QuantizeDynamic(target.rules, bits)], target, tmp_path)
    assert difference(small, artifact, model.example_inputs) < CODE


@pytest.mark.parametrize("target", [*TARGETS, EXECUTORCH])
@pytest.mark.parametrize("bits", [8, 4])
def test_tables_hold_integers(target: Target, bits: int, tmp_path: Path) -> None:
    model, task = words()
    float_size = export(model, target, tmp_path).size_bytes
    assert target.rules is not None
    precision = Precision({"table": bits})
    static = QuantizeStatic(target.rules, task, precision=precision)
    small, artifact = made(model, [static], target, tmp_path)
    assert difference(small, artifact, model.example_inputs) < CODE
    saved = 60 * 32 * (32 - (bits if target is ORT else 8)) // 8
    assert artifact.size_bytes < float_size - saved + 1500


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_floats_of_16_bits_are_stored_so(target: Target, dtype: str, tmp_path: Path) -> None:
    model, _ = images()
    size = export(model, target, tmp_path).size_bytes
    assert target.rules is not None
    convert = ConvertFloat(dtype, rules=target.rules)
    small, artifact = made(model, [convert], target, tmp_path)
    assert difference(small, artifact, model.example_inputs) < FLOAT
    is_held = dtype in target.rules.stored_floats
    assert bool(artifact.notes) != is_held
    if is_held:
        weights = sum(p.numel() for p in model.module.parameters() if p.dim() > 1)
        assert artifact.size_bytes < size - 1.7 * weights


def test_narrow_activations_still_run_in_integers(tmp_path: Path) -> None:
    model, task = images()
    static = QuantizeStatic(rules_of(ORT, activation=4), task)
    _, artifact = made(model, [static], ORT, tmp_path)
    assert "QLinearConv" in optimized(artifact.path, tmp_path)


def test_weights_in_groups_stay_narrow_in_memory(tmp_path: Path) -> None:
    model, _ = images()
    assert ORT.rules is not None
    weights = QuantizeWeights(ORT.rules, 4, PerGroup(16))
    _, artifact = made(model, [weights], ORT, tmp_path)
    assert optimized(artifact.path, tmp_path).count("MatMulNBits") == 2
    assert artifact.weights == "stored 4, runs 4 and float"


def test_products_at_run_time_are_fused(tmp_path: Path) -> None:
    model, _ = images()
    assert ORT.rules is not None
    _, artifact = made(model, [QuantizeDynamic(ORT.rules)], ORT, tmp_path)
    assert optimized(artifact.path, tmp_path).count("DynamicQuantizeMatMul") == 2


def optimized(path: Path, folder: Path) -> list[str]:
    """The operators that ONNX Runtime makes of a file."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node]


def test_four_bits_are_packed_for_linear_layers_only_in_litert(tmp_path: Path) -> None:
    model, task = images()
    static = QuantizeStatic(rules_of(LITERT, 4), task)
    small, artifact = made(model, [static], LITERT, tmp_path)
    assert artifact.weights == "stored 8 and 4, runs 8 and 4"
    told = [note.text for note in artifact.notes]
    assert [text.split()[0] for text in told] == ["conv", "depthwise"]
    assert "stored at 8: with INT4 weights XNNPACK" in told[0]
    graph = read(artifact.path.read_bytes(), "file").subgraphs[0]
    assert sum(tensor.type == 17 for tensor in graph.tensors) == 2
    assert difference(small, artifact, model.example_inputs) < CODE


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (rules_of(LITERT, 4), "conv .* weights of 4 bits, stored at 8"),
        (rules_of(LITERT, 8, PerGroup(16)), "instead of int8 symmetric per group of 16"),
        (rules_of(LITERT, activation=16), "activations of int16 symmetric"),
    ],
)
def test_strict_refuses_what_falls_back(
    rules: QuantizationRules, message: str, tmp_path: Path
) -> None:
    model, task = images()
    small = run(model, [QuantizeStatic(rules, task)])
    with pytest.raises(UnsupportedError, match=f"strict allows nothing else: .*{message}"):
        export(small, LITERT, tmp_path, strict=True)
    assert not list(tmp_path.iterdir())


def test_strict_takes_what_is_stored_narrow_and_runs_wide(tmp_path: Path) -> None:
    model, task = images()
    static = QuantizeStatic(rules_of(ORT, 4), task)
    _, artifact = made(model, [static], ORT, tmp_path, strict=True)
    assert artifact.weights == "stored 4, runs 8"


def test_an_operator_without_integers_is_listed_and_is_no_fallback(tmp_path: Path) -> None:
    model, task = words()
    assert ORT.rules is not None
    _, artifact = made(model, [QuantizeStatic(ORT.rules, task)], ORT, tmp_path, strict=True)
    assert [note.text for note in artifact.notes] == ["in floats run layer_norm"]
