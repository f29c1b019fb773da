"""What the files of common networks hold, and give, against the networks with quantizers."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.export.litert.nets import (
    FLOAT,
    INT8,
    Between,
    Gated,
    Recurrent,
    Skips,
    TwoReaders,
    images,
    int8,
    keyword,
    numbers,
    sounds,
    weighted,
)
from torch import Tensor, nn

from lilliput.core import Model
from lilliput.export.litert.file import read
from lilliput.export.litert.format import Litert
from lilliput.quantize import quantizers
from lilliput.targets import get_target

TARGET = get_target("litert-cpu")
INTEGERS, FLOATS = (INT8, INT8), (FLOAT, FLOAT)


def written(model: Model, folder: Path) -> tuple[Path, Any]:
    path = folder / "model.tflite"
    Litert().write(model, path, TARGET)
    return path, read(path.read_bytes(), path.name)


def steps(model: Model, path: Path, x: Tensor) -> float:
    """Largest difference from the simulation, in steps of 255 in the range of its outputs."""
    (output,) = Litert().load(path, 1)((x.numpy(),))
    with torch.no_grad():
        expected = model.module(x).numpy()
    return float(np.abs(output - expected).max() / np.ptp(expected) * 255)


def has_only_scales_of(model: Model, file: Any) -> bool:
    ours = [q.scale.numpy() for q in quantizers(model.module).values()]
    held = [t.quantization.scale for t in file.subgraphs[0].tensors if t.type == INT8]
    return all(
        any(len(own) == len(scale) and np.allclose(own, scale, rtol=1e-6, atol=0) for own in ours)
        for scale in held
    )


def test_convolutions_over_time_run_in_integers(tmp_path: Path) -> None:
    path, file = written(keyword(), tmp_path)
    found = numbers(file)
    assert weighted(file) == {(INT8, INT8, INT8): 4}
    assert found["CONV_2D", *INTEGERS] == 2
    assert found["DEPTHWISE_CONV_2D", *INTEGERS] == 1
    for kind in ("ADD", "MAX_POOL_2D", "GELU", "MEAN"):
        assert found[kind, *INTEGERS] == 1
    assert FLOAT not in {number for _, *both in found for number in both}
    assert has_only_scales_of(keyword(), file)
    assert steps(keyword(), path, sounds()) <= 2


@pytest.mark.slow
def test_all_of_a_network_with_skips_runs_in_integers(tmp_path: Path) -> None:
    model = int8(Skips(), images())
    path, file = written(model, tmp_path)
    found = numbers(file)
    assert weighted(file) == {(INT8, INT8, INT8): 7}
    assert FLOAT not in {number for _, *both in found for number in both}
    assert {found[kind, *INTEGERS] for kind in ("CONCATENATION", "TRANSPOSE_CONV")} == {2}
    assert found["QUANTIZE", *INTEGERS] == 0
    assert has_only_scales_of(model, file)
    assert steps(model, path, images()) <= 6


@pytest.mark.slow
def test_a_squeeze_runs_in_integers_and_only_its_gate_and_the_norm_in_floats(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = int8(Gated(), images())
    path, file = written(model, tmp_path)
    found = numbers(file)
    assert weighted(file) == {(INT8, INT8, INT8): 4}
    assert found["HARD_SWISH", *INTEGERS] == 1
    assert found["MEAN", *INTEGERS] == 1
    assert found["MEAN", *FLOATS] > 0
    assert has_only_scales_of(model, file)
    assert steps(model, path, images()) <= 3
    assert not caplog.records


@pytest.mark.slow
def test_what_stands_beside_a_recurrent_layer_runs_in_integers(tmp_path: Path) -> None:
    model = int8(Recurrent(), sounds())
    path, file = written(model, tmp_path)
    assert weighted(file)[INT8, INT8, INT8] == 2
    assert set(weighted(file)) == {(INT8, INT8, INT8), (FLOAT, FLOAT, FLOAT)}
    assert has_only_scales_of(model, file)
    assert steps(model, path, sounds()) <= 2


@pytest.mark.slow
def test_floats_of_which_two_read_integers_keep_both_scales(tmp_path: Path) -> None:
    model = int8(TwoReaders(), images())
    path, file = written(model, tmp_path)
    assert weighted(file) == {(INT8, INT8, INT8): 3}
    assert numbers(file)["AVERAGE_POOL_2D", *FLOATS] == 1
    assert numbers(file)["QUANTIZE", FLOAT, INT8] == 2
    assert steps(model, path, images()) <= 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "what",
    [
        nn.ELU(),
        nn.SiLU(),
        nn.Softplus(),
        nn.Hardsigmoid(),
        nn.PReLU(),
        nn.Hardshrink(),
        nn.GroupNorm(2, 8),
        nn.AvgPool2d(3, 2, 1),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        nn.AvgPool2d(3, 2, ceil_mode=True),
        nn.Upsample(scale_factor=2, mode="bilinear"),
    ],
    ids=lambda what: type(what).__name__,
)
def test_whatever_stands_between_convolutions_stays_float_and_they_do_not(
    tmp_path: Path, what: nn.Module
) -> None:
    model = int8(Between(what), images())
    path, file = written(model, tmp_path)
    assert weighted(file) == {(INT8, INT8, INT8): 2}
    assert numbers(file)["DEQUANTIZE", INT8, FLOAT] == 1
    assert numbers(file)["QUANTIZE", FLOAT, INT8] == 1
    assert has_only_scales_of(model, file)
    assert steps(model, path, images()) <= 3


@pytest.mark.slow
def test_a_pool_that_lost_its_integers_is_named_and_the_rest_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d((7, 5)), nn.Conv2d(8, 4, 1))
    model = int8(network, images())
    with caplog.at_level(logging.WARNING):
        path, file = written(model, tmp_path)
    assert "'adaptive_avg_pool2d' (adaptive_avg_pool2d)" in caplog.text
    assert weighted(file) == {(INT8, INT8, INT8): 2}
    assert numbers(file)["AVERAGE_POOL_2D", *FLOATS] == 1
    assert steps(model, path, images()) <= 2
