from itertools import pairwise, product

import pytest
import torch

from lilliput.core import BudgetError, Model, Pass, Task, run
from lilliput.quantize import (
    AverageBits,
    BitSensitivity,
    LayerCosts,
    QuantizeMixed,
    QuantizeStatic,
    WeightBytes,
    allot_bits,
    bit_sensitivity,
    bits_front,
)
from lilliput.quantize.bits.widths import Widths
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS, PassContract

RULES = get_target("onnxruntime-cpu").rules


class TestQuantizeMixed(PassContract):
    @pytest.fixture
    def pass_(self, task: Task) -> Pass:
        return QuantizeMixed(RULES, task, AverageBits(4), samples=64, compared=32)


def sensitivity(layers: int = 5) -> BitSensitivity:
    """Layers of many sizes, the losses of which fall with the bits."""
    draw = torch.Generator().manual_seed(0)
    counts = {f"layer{i}": int(torch.randint(10, 500, (1,), generator=draw)) for i in range(layers)}
    scale = {layer: float(torch.rand(1, generator=draw)) for layer in counts}
    losses = {layer: {b: scale[layer] * 4.0**-b for b in (8, 4, 3, 2)} for layer in counts}
    stored = {8: 8, 4: 4, 3: 4, 2: 2}
    widths = dict.fromkeys(counts, Widths(stored, dict.fromkeys(stored, 8)))
    return BitSensitivity(losses, counts, widths, "x")


@pytest.mark.parametrize("budget", [AverageBits(3), AverageBits(2.2), WeightBytes(500)])
def test_is_the_best_of_all_allotments(budget: AverageBits | WeightBytes) -> None:
    found = sensitivity()
    best = allot_bits(found, budget)
    tried = []
    for widths in product((8, 4, 3, 2), repeat=len(found.counts)):
        bits = dict(zip(found.counts, widths, strict=True))
        is_average = isinstance(budget, AverageBits)
        cost = found.average_bits(bits) if is_average else found.weight_bytes(bits)
        if cost <= budget.limit:
            tried.append(sum(found.losses[layer][width] for layer, width in bits.items()))
    assert best.loss == pytest.approx(min(tried))
    assert best.cost <= budget.limit
    assert best.cost == pytest.approx(
        best.average_bits if isinstance(budget, AverageBits) else best.weight_bytes
    )


def test_the_front_trades_loss_for_cost() -> None:
    front = bits_front(sensitivity(), AverageBits(8), points=12)
    assert len(front) > 6
    assert front[0].average_bits == 2
    assert front[-1].average_bits == 8
    for cheaper, dearer in pairwise(front):
        assert cheaper.cost < dearer.cost
        assert cheaper.loss > dearer.loss


def test_the_network_is_that_of_static_quantization_with_these_bits() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    budget = AverageBits(3)
    mixed = run(model, [QuantizeMixed(RULES, task, budget, samples=64, compared=32)])
    precision = allot_bits(bit_sensitivity(model, task, RULES, samples=32), budget).precision
    static = run(model, [QuantizeStatic(RULES, task, samples=64, precision=precision)])
    ours, theirs = mixed.module.state_dict(), static.module.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert len(set(precision.weights.values())) > 1


def test_latency_is_a_cost_given_by_layer() -> None:
    found = sensitivity(2)
    costs = {"layer0": {8: 5.0, 2: 1.0}, "layer1": {8: 5.0, 2: 1.0}}
    assert allot_bits(found, LayerCosts(costs, 10.0)).bits == {"layer0": 8, "layer1": 8}
    one = allot_bits(found, LayerCosts(costs, 6.0)).bits
    assert sorted(one.values()) == [2, 8]
    assert one[max(found.losses, key=lambda layer: found.losses[layer][2])] == 8


def test_a_budget_that_nothing_meets_is_told_the_least() -> None:
    found = sensitivity()
    least = found.weight_bytes(dict.fromkeys(found.counts, 2))
    with pytest.raises(BudgetError, match=f"the fewest of all come to {least}"):
        allot_bits(found, WeightBytes(10))


@pytest.mark.parametrize("bits", [(), (8, 1), (17,)])
def test_refuses_bits_that_no_integer_has(bits: tuple[int, ...]) -> None:
    _, task = TINY_TASKS["image_classifier"]()
    with pytest.raises(ValueError, match="2 to 16"):
        QuantizeMixed(RULES, task, AverageBits(3), bits=bits)


def test_refuses_no_samples() -> None:
    _, task = TINY_TASKS["image_classifier"]()
    with pytest.raises(ValueError, match="compared must be 1 or more, got 0"):
        QuantizeMixed(RULES, task, AverageBits(3), compared=0)


def test_its_budget_is_recorded() -> None:
    model, task = TINY_TASKS["two_output_regressor"]()
    done: Model = run(model, [QuantizeMixed(RULES, task, AverageBits(3), samples=8, compared=8)])
    assert done.history[-1].settings["budget"] == {"name": "AverageBits", "limit": 3}
