"""What is asked of a family agrees with its measurements."""

import pytest
from tests.report.families import error_family, share_family, variant, with_variants

from lilliput.core import Budget
from lilliput.report.facts import best_of, budget_of, original_of, recipe_line, size_ratio, speed


def named(family, name, target="onnxruntime-cpu"):
    return next(v for v in family.variants if v.name == name and v.target == target)


def test_ratios_are_to_the_original_of_the_same_target(tmp_path):
    family = share_family(tmp_path)
    pruned = named(family, "pruned-70", "litert-cpu")
    original = original_of(family, "litert-cpu")
    assert original.target == "litert-cpu"
    assert size_ratio(family, pruned) == original.value("size") / pruned.value("size")


def test_half_the_time_is_twice_the_speed():
    some = variant("a", "t", ".", latency_ratio=(0.5, 0.4, 0.8))
    times = speed(some)
    assert (times.value, times.low, times.high) == (2.0, pytest.approx(1.25), pytest.approx(2.5))


@pytest.mark.parametrize(
    ("ratio", "is_slower"),
    [
        ((1.2, 0.9, 1.6), True),  # the median counts, though some rounds were quick
        ((1.03, 1.01, 1.05), True),  # a little, but nearly always
        ((1.02, 0.98, 1.06), False),
        ((0.5, 0.4, 0.8), False),
        (1.2, True),
    ],
)
def test_slower_is_by_a_twentieth_or_nearly_always(ratio, is_slower):
    assert speed(variant("a", "t", ".", latency_ratio=ratio)).is_slower == is_slower


def test_without_a_ratio_there_is_no_speed():
    assert speed(variant("c", "t", ".")) is None


def test_the_budget_is_read_from_the_notes(tmp_path):
    budget = budget_of(share_family(tmp_path))
    assert budget == Budget(max_drop=0.01, max_size_bytes=250_000.0, max_latency_ms=2.0)
    assert budget_of(error_family(tmp_path)) == Budget()


def test_a_limit_on_the_drop_asks_for_the_smallest(tmp_path):
    family = share_family(tmp_path)
    within = [
        v
        for v in family.variants
        if v.target == "litert-cpu" and v.name != "original" and v.value("drop") <= 0.01
    ]
    best, reason = best_of(family, "litert-cpu", Budget(max_drop=0.01))
    assert reason == ""
    assert best.value("size") == min(v.value("size") for v in within)


def test_without_it_the_best_metric_is_asked_for(tmp_path):
    best, _ = best_of(share_family(tmp_path), "litert-cpu", Budget(max_size_bytes=160_000.0))
    assert best.name == "pruned-50"


def test_the_original_is_chosen_only_where_nothing_else_will_do(tmp_path):
    family = share_family(tmp_path)
    best, _ = best_of(family, "litert-cpu", Budget(max_drop=0.0))
    assert best.name == "original"
    best, reason = best_of(family, "litert-cpu", Budget(max_size_bytes=10.0))
    assert best is None
    assert "pruned-35" in reason
    best, reason = best_of(with_variants(family, ()), "litert-cpu")
    assert best is None
    assert reason


def test_a_recipe_in_one_line_has_its_plain_numbers(tmp_path):
    line = recipe_line(named(share_family(tmp_path), "pruned-50"))
    assert line == "PruneChannels(ratio=0.3) > Distill(epochs=12) > QuantizeStatic(samples=512)"
