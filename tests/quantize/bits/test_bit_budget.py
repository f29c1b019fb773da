import pytest

from lilliput.core import BudgetError, UnsupportedError
from lilliput.quantize import AverageBits, BitSensitivity, LayerCosts, RamBytes, WeightBytes
from lilliput.quantize.bits.widths import Widths

FOUND = BitSensitivity(
    {"conv1": {8: 0.0, 3: 1.0}, "head": {8: 0.0, 3: 2.0}},
    {"conv1": 30, "head": 10},
    {"conv1": Widths({8: 8, 3: 4}, {8: 8, 3: 8}), "head": Widths({8: 8, 3: 4}, {8: 8, 3: 4})},
    "x",
    activation_bytes=100,
)


def test_average_bits_weigh_layers_by_their_weights() -> None:
    costs = AverageBits(3).costs(FOUND)
    assert costs["conv1"][8] + costs["head"][3] == pytest.approx((30 * 8 + 10 * 3) / 40)


def test_bytes_are_those_of_the_stored_width() -> None:
    assert WeightBytes(100).costs(FOUND) == {"conv1": {8: 30, 3: 15}, "head": {8: 10, 3: 5}}


def test_memory_is_what_the_runtime_holds_and_the_activations() -> None:
    costs = RamBytes(150).costs(FOUND)
    assert costs["conv1"][3] + costs["head"][3] == 30 + 5 + 100
    assert costs["conv1"][8] + costs["head"][8] == 30 + 10 + 100


def test_layers_without_a_cost_cost_nothing() -> None:
    assert LayerCosts({"head": {8: 2.5}}, 3).costs(FOUND) == {
        "conv1": {8: 0, 3: 0},
        "head": {8: 2.5},
    }


def test_a_name_that_fits_no_layer_gets_the_nearest() -> None:
    with pytest.raises(UnsupportedError, match="'conv_1'; did you mean 'conv1'"):
        LayerCosts({"conv_1": {8: 1.0}}, 3).costs(FOUND)


def test_costs_of_other_widths_are_refused() -> None:
    with pytest.raises(BudgetError, match=r"'head' has costs for \[4\] bits, and losses for 8, 3"):
        LayerCosts({"head": {4: 1.0}}, 3).costs(FOUND)


@pytest.mark.parametrize("limit", [1.5, 17])
def test_refuses_averages_that_no_bits_have(limit: float) -> None:
    with pytest.raises(ValueError, match=str(limit)):
        AverageBits(limit)


@pytest.mark.parametrize("budget", [WeightBytes, RamBytes])
def test_refuses_no_bytes(budget: type[WeightBytes | RamBytes]) -> None:
    with pytest.raises(ValueError, match="got 0"):
        budget(0)
