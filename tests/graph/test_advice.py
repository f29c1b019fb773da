"""The oracle is doing it: what is saved is what the network costs less afterwards."""

import pytest
import torch
from torch import Tensor, nn

from lilliput.core import IntegerType, Model, QuantizationRules
from lilliput.graph import (
    Advice,
    LayerCost,
    advice,
    channel_groups,
    cost,
    fold_batch_norm,
    remove_channels,
    trace,
)
from lilliput.testing import TINY_TASKS


def given(model: Model, action: str, **settings: object) -> dict[str, Advice]:
    found = advice(trace(model), **settings)
    return {entry.name: entry for entry in found if entry.action == action}


def costs(model: Model) -> tuple[LayerCost, ...]:
    return cost(trace(model))


def spent(model: Model, field: str) -> int:
    return sum(getattr(row, field) for row in costs(model))


@pytest.mark.parametrize("tiny", ["image_classifier", "image_to_image"])
def test_folding_saves_what_it_says(tiny: str) -> None:
    model, _ = TINY_TASKS[tiny]()
    folds = given(model, "fold")
    without_bias = [x for x in model.module.modules() if getattr(x, "bias", 0) is None]
    new_biases = sum(4 * layer.out_channels for layer in without_bias)
    folded, names = fold_batch_norm(model.clone())
    assert set(folds) == set(names)
    saved = sum(entry.saved_bytes for entry in folds.values()) - new_biases
    assert spent(model, "weight_bytes") - spent(folded, "weight_bytes") == saved


@pytest.mark.parametrize("tiny", TINY_TASKS)
def test_pruning_saves_what_it_says(tiny: str) -> None:
    model, _ = TINY_TASKS[tiny]()
    groups = channel_groups(trace(model)).groups
    prunings = given(model, "prune")
    assert set(prunings) == {group.name for group in groups}
    before = spent(model, "weight_bytes"), spent(model, "macs")
    for group in groups:
        drop = {group.name: list(range(min(group.size - 1, round(0.5 * group.size))))}
        smaller = costs(remove_channels(model.clone(), drop))
        entry = prunings[group.name]
        assert before[0] - sum(row.weight_bytes for row in smaller) == entry.saved_bytes > 0
        saved = before[1] - sum(row.macs for row in smaller)
        if tiny == "two_input_transformer":  # attention between activations gets cheaper too
            assert saved >= entry.saved_macs - 2
        else:
            assert saved == pytest.approx(entry.saved_macs, abs=2)


def test_quantization_stores_integers_and_a_scale_for_each_channel() -> None:
    net = nn.Sequential(nn.Conv2d(8, 16, 3), nn.ConvTranspose2d(16, 4, 2), nn.ReLU())
    model = Model(net, (torch.randn(1, 8, 6, 6),))
    found = given(model, "quantize")
    assert found["0"].saved_bytes == 16 * 8 * 9 * 3 - 16 * 4
    assert found["1"].saved_bytes == 16 * 4 * 4 * 3 - 4 * 4
    assert found["0"].text == "int8 weights: 3.39 kB of 4.67 kB less"


def test_quantization_follows_the_targets_rules() -> None:
    model, _ = TINY_TASKS["image_classifier"]()
    four = QuantizationRules(IntegerType(4), quantized_operators=frozenset({"linear"}))
    found = given(model, "quantize", rules=four)
    assert list(found) == ["head"]
    assert found["head"].saved_bytes == 192 * 4 - 192 // 2 - 4
    assert found["head"].text.startswith("int4 weights: ")


def test_attention_projections_are_quantized_by_name() -> None:
    model, _ = TINY_TASKS["two_input_transformer"]()
    names = set(given(model, "quantize"))
    assert {"encoder.self_attn.in_proj", "encoder.self_attn.out_proj", "head"} <= names
    assert "tokens" not in names


def test_dead_weight_and_hot_layers_are_named_with_their_shares() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.AvgPool2d(8), nn.Flatten(), nn.Linear(128, 100)
    )
    model = Model(net, (torch.randn(1, 3, 32, 32),))
    rows = {row.name: row for row in costs(model)}
    share = rows["3"].weight_bytes / (rows["3"].weight_bytes + rows["0"].weight_bytes)
    assert share > 0.9
    notes = given(model, "note")
    assert notes["3"].text == "98 % of the bytes, 5 % of the MACs: here is size"
    assert notes["0"].text == "95 % of the MACs, 2 % of the bytes: here is time"


def test_channels_that_stay_say_why() -> None:
    class Scrambled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(torch.sort(self.one(x), 1)[0])

    kept = given(Model(Scrambled(), (torch.randn(2, 8),)), "keep")
    assert any("sort" in entry.text for entry in kept.values())
    assert all(entry.text.startswith("channels stay: ") for entry in kept.values())


def test_comes_in_running_order_with_names_of_cost() -> None:
    model, _ = TINY_TASKS["image_classifier"]()
    names = [row.name for row in costs(model)]
    found = [entry.name for entry in advice(trace(model)) if entry.name in names]
    assert found == sorted(found, key=names.index)
    assert {"stem.0", "conv1", "head"} <= set(found)


@pytest.mark.parametrize("ratio", [0.0, 1.0, 1.5])
def test_refuses_to_prune_nothing_or_all(ratio: float) -> None:
    model, _ = TINY_TASKS["image_classifier"]()
    with pytest.raises(ValueError, match=f"ratio must be between 0 and 1, got {ratio}"):
        advice(trace(model), ratio=ratio)
