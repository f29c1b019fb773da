"""Lowering takes seconds a file, so most of this is slow; one small net is not."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.export.executorch.nets import IMAGE_NETS, RULES, TARGET, images, int8, layers
from tests.export.nets import examples, quantized
from torch.utils._pytree import tree_leaves

from lilliput.core import (
    ExportError,
    Granularity,
    MissingExtraError,
    Model,
    PerChannel,
    PerGroup,
    UnsupportedError,
    run,
)
from lilliput.export import Format, export, load, parity
from lilliput.export.executorch.check import check_scales
from lilliput.export.executorch.converter import convert
from lilliput.export.executorch.file import Contents, read
from lilliput.export.executorch.format import ExecuTorch
from lilliput.export.lower import lower
from lilliput.graph import trace
from lilliput.quantize import QuantizeDynamic, quantizers
from lilliput.simulate import simulate
from lilliput.testing import FormatContract

pytest.importorskip("executorch")


@pytest.mark.slow
class TestExecuTorch(FormatContract):
    @pytest.fixture
    def format_(self) -> Format:
        return ExecuTorch()


@pytest.fixture(scope="module")
def model() -> Model:
    return quantized("two_output_regressor", TARGET.name)


@pytest.fixture(scope="module")
def path(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "model.pte"
    ExecuTorch().write(model, path, TARGET)
    return path


def contents(path: Path) -> Contents:
    return read(path.read_bytes(), path.name)


def outputs(model: Model, *inputs: torch.Tensor) -> list[np.ndarray]:
    with torch.no_grad():
        return [leaf.numpy() for leaf in tree_leaves(model.module(*inputs))]


def test_all_layers_run_in_integers(path: Path) -> None:
    file = contents(path)
    assert (file.operators, file.pieces) == ((), 1)
    kinds = Counter(node.kind for node in file.nodes)
    assert kinds == {"FullyConnected": 4, "Convert": 3}
    linear = [node for node in file.nodes if node.weight is not None]
    assert {(n.inputs[0].kind, n.weight.kind, n.output.kind) for n in linear if n.weight} == {
        ("qint8", "qcint8", "qint8")
    }


def test_every_scale_is_the_network_s(model: Model, path: Path) -> None:
    nodes = contents(path).nodes
    values = [v for n in nodes for v in (*n.inputs, n.output, n.weight) if v is not None]
    held = {v.scale for v in values if v.scale}
    assert held == {q.scale.numpy().tobytes() for q in quantizers(model.module).values()}


def test_the_file_gives_what_the_simulation_gives(model: Model, path: Path) -> None:
    inputs = examples("two_output_regressor", 32)
    given = ExecuTorch().load(path, 1)(tuple(x.numpy() for x in inputs))
    for ours, theirs in zip(outputs(simulate(model, TARGET), *inputs), given, strict=True):
        np.testing.assert_array_equal(theirs, ours)


def test_weights_are_stored_once_as_codes(model: Model, path: Path) -> None:
    data = path.read_bytes()
    for name, quantizer in quantizers(model.module).items():
        if quantizer.axis is not None:
            weight = model.module.get_parameter(name.removesuffix("_quantizer")).detach()
            codes = (weight / quantizer.scale[:, None]).round().to(torch.int8)
            assert data.count(codes.numpy().tobytes()) == 1
            assert data.count(weight.numpy().tobytes()) == 0


def test_a_scale_that_is_not_the_network_s_is_refused(model: Model, path: Path) -> None:
    other = model.clone()
    next(iter(quantizers(other.module).values())).scale.mul_(1.5)
    with pytest.raises(ExportError, match=r"would run in floats|no quantizer has"):
        check_scales(other.module, contents(path), RULES)


@pytest.mark.parametrize("size", [0, 20, 50, 3000, -1])
def test_a_file_that_was_cut_anywhere_is_refused(path: Path, size: int, tmp_path: Path) -> None:
    short = tmp_path / "short.pte"
    short.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ExportError, match=r"short\.pte"):
        load(short, "executorch")


def test_files_in_use_keep_their_threads(path: Path) -> None:
    one = load(path, "executorch", 1)
    with pytest.raises(UnsupportedError, match="run on 1 threads"):
        load(path, "executorch", 2)
    inputs = tuple(x.numpy() for x in examples("two_output_regressor", 4))
    first = one(inputs)
    del one
    for ours, theirs in zip(load(path, "executorch", 2)(inputs), first, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_where_they_part_is_not_known_but_that_they_do(model: Model, tmp_path: Path) -> None:
    artifact = export(model, TARGET, tmp_path)
    other = model.clone()
    with torch.no_grad():
        next(p for p in other.module.parameters() if p.dim() > 1).neg_()
    found = parity(other, artifact, examples("two_output_regressor", 4))
    assert (found.is_close, found.culprit, found.layers) == (False, "", ())
    with pytest.raises(UnsupportedError, match="does not show what is inside"):
        ExecuTorch().intermediates(artifact.path, ())


def test_without_the_package_the_extra_is_named(
    model: Model, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("executorch")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "executorch", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lilliput\[executorch\]'"):
        load(path, "executorch")
    with pytest.raises(MissingExtraError, match=r"pip install 'lilliput\[executorch\]'"):
        ExecuTorch().write(model, tmp_path / "model.pte", TARGET)


@pytest.mark.slow
@pytest.mark.parametrize("net", IMAGE_NETS)
def test_all_in_one_piece_and_equal_to_the_simulation(net: str, tmp_path: Path) -> None:
    model, x = int8(net), images(1)
    artifact = export(model, TARGET, tmp_path, strict=True)
    file = contents(artifact.path)
    assert (file.operators, file.pieces) == ((), 1)
    (given,) = load(artifact.path, "executorch")((x.numpy(),))
    np.testing.assert_array_equal(given, outputs(simulate(model, TARGET), x)[0])


@pytest.mark.slow
def test_narrow_activations_end_where_their_codes_end(tmp_path: Path) -> None:
    model, x = int8("averaged", activation_bits=4), 3 * images(1)
    artifact = export(model, TARGET, tmp_path)
    file = contents(artifact.path)
    assert (file.operators, file.pieces) == ((), 1)
    (given,), (wanted,) = load(artifact.path, "executorch")((x.numpy(),)), outputs(model, x)
    assert len(np.unique(given.round(5))) <= 16
    assert np.abs(given - wanted).max() < 1e-5 + np.ptp(wanted) / 15


@pytest.mark.slow
def test_a_weight_that_xnnpack_leaves_alone_is_refused() -> None:
    loose = lower(int8("averaged"), stores_integers=True)  # dropout stands between the pair
    with pytest.raises(ExportError, match="head_weight_quantizer_codes"):
        convert(trace(loose, has_dynamic_batch=False).program)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(8,), (4, 3)])
@pytest.mark.parametrize(
    ("bits", "granularity", "kinds"),
    [
        (8, PerChannel(), {"qcint8"}),
        (4, PerChannel(), {"qcint4"}),
        (3, PerChannel(), {"qcint4"}),
        (4, PerGroup(32), {"qbint4"}),
    ],
)
def test_activations_quantized_at_run_time(
    shape: tuple[int, ...], bits: int, granularity: Granularity, kinds: set[str], tmp_path: Path
) -> None:
    model = run(layers(shape), [QuantizeDynamic(RULES, bits, granularity)])
    artifact = export(model, TARGET, tmp_path)
    nodes = [node for node in contents(artifact.path).nodes if node.weight is not None]
    assert {node.weight.kind for node in nodes if node.weight is not None} == kinds
    assert {node.inputs[0].kind for node in nodes} == {"qdint8"}
    codes = sum(node.weight.size_bytes for node in nodes if node.weight is not None)
    assert codes == (64 * 96 + 96 * 32 + 32 * 5) * (8 if bits == 8 else 4) // 8
    (x,) = layers(shape).example_inputs
    (given,), (wanted,) = load(artifact.path, "executorch")((x.numpy(),)), outputs(model, x)
    # a code of what is rounded at run time may fall on the other side of a tie
    assert np.abs(given - wanted).max() < 1e-3 * np.ptp(wanted)
    assert np.median(np.abs(given - wanted)) < 1e-6 * np.ptp(wanted)


def test_groups_of_eight_bits_become_channels() -> None:
    model = run(layers((8,)), [QuantizeDynamic(RULES, 8, PerGroup(32))])
    types = {str(quantizer.type) for quantizer in quantizers(model.module).values()}
    assert types == {"int8 symmetric per channel"}
    assert all("instead of" in note.text for note in model.notes)


def test_scales_of_groups_are_those_that_the_file_holds() -> None:
    model = run(layers((8,)), [QuantizeDynamic(RULES, 4, PerGroup(32))])
    for quantizer in quantizers(model.module).values():
        assert torch.equal(quantizer.scale, quantizer.scale.bfloat16().float())
