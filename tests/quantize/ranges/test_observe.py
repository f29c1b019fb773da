import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lilliput.core import IntegerType, PerChannel
from lilliput.quantize import Entropy, MeanSquaredError, MinMax, Observer, Percentile
from lilliput.quantize.numbers.affine import dequantize, quantize, scale_and_zero_point
from lilliput.quantize.ranges.histogram import Histogram
from lilliput.quantize.ranges.observe import weight_range

UINT8 = IntegerType(is_signed=False)
INT8 = IntegerType(is_symmetric=True, granularity=PerChannel())
OBSERVERS = [MinMax(), Percentile(), MeanSquaredError(), Entropy()]


def laplace(count: int = 20_000) -> Tensor:
    draw = np.random.default_rng(0)
    return torch.from_numpy(draw.laplace(size=count).astype(np.float32))


def seen(values: Tensor) -> Histogram:
    histogram = Histogram()
    for part in values.chunk(4):
        histogram.add(part)
    return histogram


def error(values: Tensor, low: float, high: float, kind: IntegerType) -> float:
    scale, zero_point = scale_and_zero_point(torch.tensor([low]), torch.tensor([high]), kind)
    back = dequantize(quantize(values, scale, zero_point, kind), scale, zero_point)
    return float(((back - values) ** 2).mean())


def test_min_max_covers_all() -> None:
    values = laplace()
    assert MinMax().range(seen(values), UINT8) == (float(values.min()), float(values.max()))


def test_percentile_leaves_out_its_share() -> None:
    values = laplace()
    low, high = Percentile(99.0).range(seen(values), UINT8)
    outside = ((values < low) | (values > high)).float().mean()
    assert abs(float(outside) - 0.01) < 0.002


def test_percentile_keeps_zero_as_the_low_end_after_a_relu() -> None:
    histogram = seen(laplace().relu())
    low, high = Percentile(99.0).range(histogram, UINT8)
    assert 0.0 <= low <= histogram.width
    assert high > 0.0


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("has_relu", [True, False])
def test_mse_is_as_good_as_the_best_of_a_brute_force_search(bits: int, has_relu: bool) -> None:
    kind = IntegerType(bits, is_signed=False)
    values = laplace()
    values = values.relu() if has_relu else values
    low, high = MeanSquaredError().range(seen(values), kind)
    ends = float(values.min()), float(values.max())
    best = min(
        error(values, ends[0] * share, ends[1] * share, kind)
        for share in np.linspace(0.1, 1.0, 181)
    )
    assert error(values, low, high, kind) <= 1.05 * best
    assert error(values, low, high, kind) <= error(values, *ends, kind)


def test_entropy_chooses_as_a_plain_loop_over_the_definition_does() -> None:
    kind = IntegerType(4, is_signed=False)
    histogram = seen(laplace().relu())
    low, high = Entropy().range(histogram, kind)
    counts = histogram.counts.view(4096, -1).sum(1).numpy()
    centers = histogram.centers.view(4096, -1).mean(1).numpy()
    losses = {}
    for share in torch.linspace(1.0, 0.2, 80).tolist():
        end = histogram.high * share
        scale = end / 15
        p, level_of = [], []
        for count, center in zip(counts, centers, strict=True):
            if 0 <= center <= end:
                p.append(count)
                level_of.append(min(round(center / scale), 15))
        mass, bins = [0.0] * 16, [0] * 16
        for count, level in zip(p, level_of, strict=True):
            mass[level] += count
            bins[level] += count > 0
        q = [mass[lv] / bins[lv] if c else 0.0 for c, lv in zip(p, level_of, strict=True)]
        p[-1] += counts[centers > end].sum()
        a, b = np.array(p) / sum(p), np.array(q) / sum(q)
        losses[end] = float((a * np.log((a + 1e-12) / (b + 1e-12))).sum())
    ours = min(losses, key=lambda end: abs(end - high))
    assert low == 0.0
    assert losses[ours] <= min(losses.values()) + 1e-3
    assert math.isclose(ours, high, rel_tol=1e-5)


@pytest.mark.parametrize("observer", OBSERVERS)
@pytest.mark.parametrize("values", [torch.zeros(10), torch.ones(10), -torch.ones(10)])
def test_constants_have_a_range(observer: Observer, values: Tensor) -> None:
    low, high = observer.range(seen(values), UINT8)
    assert low <= float(values[0]) + 1e-3
    assert high >= float(values[0]) - 1e-3


def test_percentile_is_checked() -> None:
    with pytest.raises(ValueError, match="percentile must be 50 to 100, got 101"):
        Percentile(101)


def test_rows_of_weights_keep_their_whole_range_but_for_mse() -> None:
    weight = torch.randn(6, 40, generator=torch.Generator().manual_seed(0))
    weight[2, 0] = 9.0
    four = IntegerType(4, is_symmetric=True, granularity=PerChannel())
    for observer in (MinMax(), Percentile(), Entropy()):
        low, high = weight_range(weight, four, observer)
        assert torch.equal(low, weight.amin(1))
        assert torch.equal(high, weight.amax(1))
    low, high = weight_range(weight, four, MeanSquaredError())
    for row, a, b in zip(weight, low.tolist(), high.tolist(), strict=True):
        ends = float(row.min()), float(row.max())
        best = min(
            error(row, ends[0] * share, ends[1] * share, four) for share in np.linspace(0.5, 1, 51)
        )
        assert error(row, a, b, four) <= best * 1.001
