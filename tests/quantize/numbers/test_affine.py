import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch.ao.quantization import MinMaxObserver

from lilliput.core import IntegerType
from lilliput.quantize.numbers.affine import dequantize, quantize, scale_and_zero_point

KINDS = [
    IntegerType(bits, is_signed, is_symmetric)
    for bits in (2, 4, 8, 16)
    for is_signed in (True, False)
    for is_symmetric in (True, False)
]
reals = st.floats(-1e4, 1e4, width=32).map(lambda x: 0.0 if abs(x) < 1e-6 else x)


def points(low: float, high: float, kind: IntegerType) -> tuple[torch.Tensor, torch.Tensor]:
    return scale_and_zero_point(torch.tensor([low]), torch.tensor([high]), kind)


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(KINDS), st.lists(reals, min_size=1, max_size=20))
def test_rounds_to_within_half_a_step_inside_the_range(
    kind: IntegerType, values: list[float]
) -> None:
    real = torch.tensor(values)
    scale, zero_point = points(float(real.min()), float(real.max()), kind)
    back = dequantize(quantize(real, scale, zero_point, kind), scale, zero_point)
    # the zero point is rounded, so one end of the range may lie half a step outside
    steps = ((back - real).abs() / scale).max()
    assert steps <= (0.5 if kind.is_symmetric else 1.0) + 0.01


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(KINDS), reals, reals)
def test_zero_is_exact_and_the_zero_point_is_one_of_the_integers(
    kind: IntegerType, a: float, b: float
) -> None:
    scale, zero_point = points(min(a, b), max(a, b), kind)
    assert kind.low <= int(zero_point) <= kind.high
    assert float(scale) > 0
    zero = quantize(torch.zeros(1), scale, zero_point, kind)
    assert int(zero) == int(zero_point)
    assert float(dequantize(zero, scale, zero_point)) == 0.0


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(KINDS), st.data())
def test_integers_survive_the_way_to_reals_and_back(kind: IntegerType, data: st.DataObject) -> None:
    codes = torch.tensor(data.draw(st.lists(st.integers(kind.low, kind.high), min_size=1)))
    scale, zero_point = points(-0.7, 1.3, kind)
    assert torch.equal(
        quantize(dequantize(codes, scale, zero_point), scale, zero_point, kind), codes
    )


@pytest.mark.parametrize("is_signed", [True, False])
@pytest.mark.parametrize("is_symmetric", [True, False])
@pytest.mark.parametrize(("low", "high"), [(-1.5, 4.0), (0.3, 2.0), (-3.0, -1.0)])
def test_agrees_with_pytorchs_observer(
    is_signed: bool, is_symmetric: bool, low: float, high: float
) -> None:
    kind = IntegerType(8, is_signed, is_symmetric)
    if is_symmetric and not is_signed:
        pytest.skip("PyTorch's symmetric unsigned range is one code wider")
    scheme = torch.per_tensor_symmetric if is_symmetric else torch.per_tensor_affine
    dtype = torch.qint8 if is_signed else torch.quint8
    theirs = MinMaxObserver(
        dtype=dtype, qscheme=scheme, quant_min=kind.low, quant_max=kind.high, eps=1e-30
    )
    theirs(torch.tensor([low, high]))
    scale, zero_point = theirs.calculate_qparams()
    ours = points(low, high, kind)
    torch.testing.assert_close(ours[0], scale.float())
    assert int(ours[1]) == int(zero_point)


def test_clips_what_is_out_of_range_and_rounds_ties_to_even() -> None:
    kind = IntegerType(8, is_symmetric=True)
    real = torch.tensor([-9.0, -1.5, -0.5, 0.5, 1.5, 2.5, 9.0]) * 20
    codes = quantize(real, torch.tensor([20.0]), torch.tensor([0]), kind)
    assert codes.tolist() == np.rint([-9.0, -1.5, -0.5, 0.5, 1.5, 2.5, 9.0]).tolist()
    assert quantize(torch.tensor([1e9]), torch.ones(1), torch.tensor([0]), kind).tolist() == [127]


def test_a_channel_of_zeros_has_a_scale_that_divides() -> None:
    scale, _ = points(0.0, 0.0, IntegerType(is_symmetric=True))
    assert float(scale) > 0
    assert float(torch.zeros(1) / scale) == 0.0
