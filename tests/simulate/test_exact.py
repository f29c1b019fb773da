"""Against sums of Python's and NumPy's integers."""

import numpy as np
import pytest
import torch

from lilliput.simulate.exact import Sums


@pytest.mark.parametrize(("features", "dtype"), [(20, torch.float32), (4000, torch.float64)])
def test_sums_are_those_of_integers(features: int, dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(0)
    codes = torch.randint(-255, 256, (7, features), generator=draw)
    weight = torch.randint(-127, 128, (5, features), generator=draw)
    bias = torch.randint(-(2**20), 2**20, (5,), generator=draw)
    sums = Sums(torch.nn.functional.linear, weight.float(), bias.double(), 255, 0)
    assert sums.weight.dtype == dtype
    wanted = codes.numpy() @ weight.numpy().T + bias.numpy()
    np.testing.assert_array_equal(sums(codes.float()).numpy(), wanted)


def test_the_largest_sums_that_floats_hold_are_exact() -> None:
    weight = torch.full((1, 518), 127.0)
    codes = torch.full((1, 518), 255.0)
    sums = Sums(torch.nn.functional.linear, weight, None, 255, 0)
    assert sums.weight.dtype == torch.float32
    assert float(sums(codes)) == 518 * 127 * 255
