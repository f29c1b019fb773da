"""Bits and errors of steps, beside their formulas."""

import math

import numpy as np
import torch

from lilliput.quantize.coded.curve import curve, entropy_bits, rounded_vector


def test_entropy_is_shannons() -> None:
    assert entropy_bits(torch.tensor([3, 3, -1, 7], dtype=torch.int32)) == 4 * 1.5
    integers = np.random.default_rng(0).integers(-9, 4, 1000)
    shares = np.unique(integers, return_counts=True)[1] / 1000
    wanted = -1000 * (shares @ np.log2(shares))
    assert math.isclose(entropy_bits(torch.from_numpy(integers).int()), wanted, rel_tol=1e-9)


def test_fine_steps_cost_a_bit_an_octave_and_err_as_uniform_noise_does() -> None:
    weight = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    choices = curve(weight)
    for choice in choices[12:20]:
        assert math.isclose(choice.error, choice.step**2 / 12, rel_tol=0.1)
        # the differential entropy of a normal distribution
        wanted = 0.5 * math.log2(2 * math.pi * math.e) - math.log2(choice.step)
        assert math.isclose(choice.bits / 4000, wanted, rel_tol=0.05)
    assert math.isclose(choices[8].step / choices[4].step, 2.0)


def test_vectors_lose_next_to_nothing_whatever_stands_out() -> None:
    vector = torch.randn(200, generator=torch.Generator().manual_seed(0))
    for largest in (0.0, 1e2, 1e4):
        vector[7] = largest
        error = (rounded_vector(vector) - vector)[torch.arange(200) != 7]
        assert float(error.square().mean().sqrt()) < max(0.004, largest / 50_000)
    assert torch.equal(rounded_vector(torch.zeros(3)), torch.zeros(3))
