from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.export.nets import examples, quantized

from lilliput.core import Artifact, Model
from lilliput.export import export, parity
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS

TARGET = get_target("onnxruntime-cpu")
IMAGES = examples("image_classifier", 4)


@pytest.fixture(scope="module")
def original() -> Model:
    model, _ = TINY_TASKS["image_classifier"]()
    return model


@pytest.fixture(scope="module")
def exported(original: Model, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return export(original, TARGET, tmp_path_factory.mktemp("float"))


def changed(model: Model, name: str) -> Model:
    """The network with the sign of one parameter turned."""
    other = model.clone()
    with torch.no_grad():
        dict(other.module.named_parameters())[name].neg_()
    return other


def test_a_file_agrees_with_its_own_network(original: Model, exported: Artifact) -> None:
    found = parity(original, exported, IMAGES)
    assert found.difference < 1e-5
    assert found.cosine > 0.99999
    assert (found.is_close, found.culprit, found.layers, found.samples) == (True, "", (), 4)


@pytest.mark.parametrize(
    ("parameter", "culprit"),
    [
        ("stem.0.weight", "stem.0"),
        ("depthwise.weight", "depthwise"),
        ("head.weight", "head"),
    ],
)
def test_the_layer_where_they_part_is_named(
    original: Model, exported: Artifact, parameter: str, culprit: str
) -> None:
    found = parity(changed(original, parameter), exported, IMAGES)
    assert not found.is_close
    assert found.culprit == culprit
    assert culprit in [layer.name for layer in found.layers]


@pytest.mark.slow
def test_the_layer_of_an_int8_file_is_named(tmp_path: Path) -> None:
    model = quantized("image_classifier", TARGET.name)
    artifact = export(model, TARGET, tmp_path)
    assert parity(model, artifact, IMAGES).is_close
    found = parity(changed(model, "depthwise.weight"), artifact, IMAGES)
    assert found.culprit == "depthwise (conv2d)"


def test_it_is_a_measurement(original: Model, exported: Artifact) -> None:
    found = replace(parity(original, exported, IMAGES), difference=0.25)
    row = found.measurement
    assert (row.quantity, row.value, row.unit, row.samples) == ("parity", 0.25, "1", 4)
