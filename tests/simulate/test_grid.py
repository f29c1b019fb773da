"""Against the formula of affine quantization."""

import math

import torch

from lilliput.core import IntegerType
from lilliput.quantize.numbers.fake import FakeQuantize
from lilliput.simulate.grid import Grid

UNSIGNED, SIGNED = IntegerType(is_signed=False), IntegerType()


def grid(low: float, high: float, kind: IntegerType = UNSIGNED) -> Grid:
    quantizer = FakeQuantize(kind)
    quantizer.set_range(torch.tensor([low]), torch.tensor([high]))
    return Grid.of(quantizer)


def test_codes_come_back_from_their_reals() -> None:
    for step in (1e-6, 0.1, 0.3, 7.0):
        chosen = grid(-step * 100, step * 155)
        codes = torch.arange(256.0)
        assert torch.equal(chosen.codes(chosen.reals(codes)) + chosen.zero_point, codes)


def test_clips_to_the_codes_of_an_activation() -> None:
    chosen = grid(-1.0, 9.0, SIGNED)
    relu, relu6 = chosen.clipped(0.0, math.inf), chosen.clipped(0.0, 6.0)
    assert (relu.low, relu.high) == (chosen.zero_point, 127)
    assert relu6.high == chosen.zero_point + round(6.0 / chosen.scale)
    assert (relu6.least, relu6.most) == (-128, 127)


def test_a_range_within_the_activation_is_not_clipped() -> None:
    chosen = grid(0.0, 6.0)
    assert chosen.clipped(0.0, 6.0) == chosen
