"""Core ML itself runs on a Mac only; what a file says is read and computed here without it."""

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from tests.export.coreml.interpreter import Interpreter
from tests.export.coreml.reader import Program, read
from tests.export.nets import examples
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lilliput.core import (
    ExportError,
    Granularity,
    Model,
    Pass,
    PerChannel,
    PerGroup,
    PerTensor,
    UnsupportedError,
    run,
)
from lilliput.export import Format, Predictor, export, load, parity
from lilliput.export.coreml.check import check
from lilliput.export.coreml.format import CoreMl
from lilliput.export.coreml.narrow import spell_out
from lilliput.export.coreml.predictor import exposed
from lilliput.quantize import (
    ClusterWeights,
    ConvertFloat,
    QuantizeStatic,
    QuantizeWeights,
    palettes,
    quantizers,
)
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS, FormatContract, learned

pytest.importorskip("coremltools")
TARGET = get_target("coreml")
RULES = TARGET.rules
assert RULES is not None


class Interpreted(CoreMl):
    """Writes as ever, and runs what the file says by the tests' own interpreter."""

    def load(self, path: Path, threads: int, /) -> Predictor:
        return Interpreter(path)


class TestCoreMl(FormatContract):
    tasks: ClassVar[tuple[str, ...]] = ("two_output_regressor",)

    @pytest.fixture
    def format_(self) -> Format:
        return Interpreted()


@pytest.mark.slow
class TestCoreMlOnTheOthers(TestCoreMl):
    tasks: ClassVar[tuple[str, ...]] = (
        "image_classifier",
        "image_to_image",
        "two_input_transformer",
    )


def images() -> Model:
    """A network with a weight in every layout, of more numbers than the tiny ones."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.ReLU(),
        nn.ConvTranspose2d(16, 8, 2, 2), nn.ReLU(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8 * 36, 12), nn.ReLU(), nn.Linear(12, 5),
    )  # fmt: skip
    for _ in range(3):
        module(torch.randn(16, 3, 8, 8))
    return Model(module.eval(), (torch.randn(2, 3, 8, 8),))


def made(model: Model, passes: list[Pass], folder: Path) -> tuple[Model, Path]:
    small = run(model, passes)
    return small, export(small, TARGET, folder).path


def decoded(program: Program, kind: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Codes, and values or scales, by the name of what they are opened to."""
    names = {"constexpr_lut_to_dense": ("indices", "lut")}
    first, second = names.get(kind, ("data", "scale"))
    return {
        operation.outputs[0]: (operation.constants[first], operation.constants[second])
        for operation in program.operations
        if operation.kind == kind
    }


def difference(model: Model, path: Path, inputs: tuple[Tensor, ...]) -> float:
    with torch.no_grad():
        expected = tree_leaves(model.module(*inputs))
    found = Interpreter(path)(tuple(x.numpy() for x in inputs))
    return max(
        float(np.abs(a - b.numpy()).max() / np.ptp(b.numpy()))
        for a, b in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize(
    ("clusters", "bits", "is_per_channel"),
    [
        *((2, 1, False), (4, 2, False), (8, 3, False), (16, 4, False), (17, 6, False)),
        *((64, 6, False), (65, 8, False), (2, 1, True), (8, 3, True), (16, 4, True)),
    ],
)
def test_palettes_are_in_the_file_code_by_code_and_value_by_value(
    clusters: int, bits: int, is_per_channel: bool, tmp_path: Path
) -> None:
    small, path = made(images(), [ClusterWeights(clusters, is_per_channel)], tmp_path)
    found = list(decoded(read(path), "constexpr_lut_to_dense").values())
    ours = list(palettes(small.module).values())
    assert len(found) == len(ours) == 5
    for weight, (codes, table) in zip(ours, found, strict=True):
        np.testing.assert_array_equal(codes, weight.codes.numpy())
        rows = np.atleast_2d(weight.values.numpy())
        entries = int(codes.max()) + 1
        np.testing.assert_array_equal(table.reshape(len(rows), -1)[:, :entries], rows[:, :entries])
        assert table.shape == (*([len(rows)] + [1] * (codes.ndim - 1)), table.shape[-2], 1)
    largest = max(int(weight.codes.max()) for weight in ours)
    assert max(table.shape[-2] for _, table in found) == 1 << bits
    assert largest < 1 << bits
    assert difference(small, path, (torch.randn(3, 3, 8, 8),)) < 1e-6


def test_a_zero_that_palettes_keep_is_in_the_file(tmp_path: Path) -> None:
    model = images()
    with torch.no_grad():
        for layer in model.module.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.weight[layer.weight.abs() < layer.weight.abs().median()] = 0
    small, path = made(model, [ClusterWeights(16)], tmp_path)
    found = decoded(read(path), "constexpr_lut_to_dense").values()
    for weight, (codes, table) in zip(palettes(small.module).values(), found, strict=True):
        real = table.reshape(-1)[codes]
        np.testing.assert_array_equal(real, weight.values.numpy()[weight.codes.numpy()])
        assert (real == 0).mean() > 0.3 or codes.ndim == 4
    assert difference(small, path, (torch.randn(3, 3, 8, 8),)) < 1e-6


@pytest.mark.parametrize(
    ("bits", "granularity", "stored"),
    [
        (8, PerTensor(), 8),
        (8, PerChannel(), 8),
        (5, PerChannel(), 8),
        (4, PerTensor(), 4),
        (4, PerChannel(), 4),
        (2, PerChannel(), 4),
        (8, PerGroup(32), 8),
        (4, PerGroup(16), 4),
    ],
)
def test_integers_and_scales_of_weights_are_ours(
    bits: int, granularity: Granularity, stored: int, tmp_path: Path
) -> None:
    small, path = made(images(), [QuantizeWeights(RULES, bits, granularity)], tmp_path)
    found = list(decoded(read(path), "constexpr_blockwise_shift_scale").values())
    ours = list(quantizers(small.module).values())
    assert len(found) == len(ours) == 5
    for quantizer, (codes, scale) in zip(ours, found, strict=True):
        scales = quantizer.scale.numpy()
        assert codes.min() >= -(1 << (bits - 1))
        assert codes.max() < 1 << (bits - 1)
        np.testing.assert_array_equal(scale.reshape(-1), scales)
    linear = [scale for codes, scale in found if codes.ndim == 2]
    if isinstance(granularity, PerGroup):
        assert linear[0].shape == (12, 288 // granularity.size)
    assert difference(small, path, (torch.randn(3, 3, 8, 8),)) < 1e-6
    assert export(small, TARGET, tmp_path).weights == f"stored {stored}, runs float"


def test_layers_of_the_same_numbers_need_one_form(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16))
    small = run(Model(module.eval(), (torch.randn(1, 16),)), [QuantizeWeights(RULES)])
    with torch.no_grad():
        for quantizer, scale in zip(quantizers(small.module).values(), (0.1, 0.2), strict=True):
            quantizer.scale.fill_(scale)
        for name, value in small.module.state_dict().items():
            if name.endswith("weight"):
                value.zero_()
    path = export(small, TARGET, tmp_path).path
    assert len(decoded(read(path), "constexpr_blockwise_shift_scale")) in {1, 2}
    assert difference(small, path, (torch.randn(3, 16),)) < 1e-6


def test_a_scale_that_is_not_ours_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lilliput.export.coreml.weights import Blocks

    def halved(self: Blocks, axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        return whole(self, axes)[0], whole(self, axes)[1] / 2

    whole = Blocks.parts
    small = run(images(), [QuantizeWeights(RULES)])
    plain, weights = spell_out(small, RULES)
    path = export(small, TARGET, tmp_path).path
    check(path.read_bytes(), plain.module, weights)
    monkeypatch.setattr(Blocks, "parts", halved)
    with pytest.raises(ExportError, match=r"does not hold the weight of '0' as it is"):
        check(path.read_bytes(), plain.module, weights)


@pytest.mark.parametrize(
    "tiny",
    [
        "image_classifier",
        *(pytest.param(tiny, marks=pytest.mark.slow) for tiny in list(TINY_TASKS)[1:]),
    ],
)
def test_pairs_have_our_scales_and_the_file_says_what_the_network_says(
    tiny: str, tmp_path: Path
) -> None:
    model, task = TINY_TASKS[tiny]()
    small, path = made(learned(model, task, 2), [QuantizeStatic(RULES, task)], tmp_path)
    pairs = [
        (float(o.constants["scale"]), int(o.constants.get("zero_point", 0)))
        for o in read(path).operations
        if o.kind == "quantize"
    ]
    activations = {
        (float(q.scale), int(q.zero_point))
        for q in quantizers(small.module).values()
        if not q.type.is_signed
    }
    assert set(pairs) == activations
    # one code may fall to the other side where floats are added in another order
    assert difference(small, path, examples(tiny, 8)) < 0.02


def test_activations_of_few_bits_end_where_their_codes_end(tmp_path: Path) -> None:
    model, task = TINY_TASKS["image_classifier"]()
    rules = replace(RULES, activation=replace(RULES.activation, bits=4))
    small, path = made(learned(model, task, 2), [QuantizeStatic(rules, task)], tmp_path)
    (images_,) = examples("image_classifier", 4)
    assert difference(small, path, (3 * images_,)) < 0.02


def test_floats_of_16_bits_stay_so(tmp_path: Path) -> None:
    whole = export(images(), TARGET, tmp_path / "float").size_bytes
    small, path = made(images(), [ConvertFloat(rules=RULES)], tmp_path)
    assert difference(small, path, small.example_inputs) < 1e-6
    weights = sum(p.numel() for p in small.module.parameters() if p.dim() > 1 and p.numel() > 64)
    assert path.stat().st_size < whole - 2 * weights + 600


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (export(images(), TARGET, tmp_path / name) for name in "ab")
    assert first.sha256 == second.sha256


def test_apples_own_reader_opens_the_unzipped_folder(tmp_path: Path) -> None:
    import coremltools

    path = export(images(), TARGET, tmp_path).path
    with zipfile.ZipFile(path) as file:
        file.extractall(tmp_path)
    model = coremltools.models.MLModel(str(tmp_path / "model.mlpackage"), skip_model_load=True)
    assert model.get_spec().specificationVersion == coremltools.target.iOS18


def test_activations_become_outputs_of_a_copy(tmp_path: Path) -> None:
    path = export(images(), TARGET, tmp_path).path
    x = (images().example_inputs[0].numpy(),)
    with exposed(path) as copy:
        inside = Interpreter(copy)(x)
    assert len(inside) > 8
    np.testing.assert_array_equal(inside[0], Interpreter(path)(x)[0])


def test_a_file_that_is_no_package_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "text.mlpackage.zip"
    path.write_text("<html>404 not found</html>")
    with pytest.raises(ExportError, match=r"text\.mlpackage\.zip is no zipped Core ML package"):
        load(path, "coreml")


def test_a_zip_cannot_write_beside_its_own_folder(tmp_path: Path) -> None:
    path = tmp_path / "model.mlpackage.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("../outside", "text")
    with pytest.raises(ExportError, match=r"it holds '\.\./outside'"):
        load(path, "coreml")


def test_elsewhere_than_on_a_mac_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    path = export(images(), TARGET, tmp_path).path
    with pytest.raises(UnsupportedError, match="runs on macOS alone, and this is Linux"):
        load(path, "coreml")


class StandIn:
    """Apple's `MLModel` as its documentation describes it, over the tests' interpreter."""

    def __init__(self, package: str) -> None:
        folder = Path(package)
        file = folder.parent / "again.zip"
        with zipfile.ZipFile(file, "w") as again:
            for path in folder.rglob("*"):
                again.write(path, path.relative_to(folder.parent))
        self.interpreter = Interpreter(file)

    def predict(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        specs = self.interpreter.inputs
        assert [array.dtype for array in feeds.values()] == [
            np.dtype(np.int32 if spec.dtype == "int64" else np.float32) for spec in specs
        ]
        outputs = self.interpreter(tuple(feeds[spec.name] for spec in specs))
        return {s.name: x for s, x in zip(self.interpreter.outputs, outputs, strict=True)}


def test_on_a_mac_inputs_and_outputs_are_those_of_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = TINY_TASKS["two_input_transformer"]()
    artifact = export(model, TARGET, tmp_path)
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("coremltools.models.MLModel", StandIn)
    predictor = load(artifact.path, "coreml")
    assert [spec.dtype for spec in predictor.inputs] == ["int64", "bool"]
    inputs = examples("two_input_transformer", 3)
    (found,) = predictor(tuple(x.numpy() for x in inputs))
    with torch.no_grad():
        np.testing.assert_allclose(found, model.module(*inputs).numpy(), atol=1e-5)
    assert parity(model, artifact, inputs, tolerance=-1.0).layers
