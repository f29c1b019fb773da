from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from lilliput.core import Artifact, Budget, BudgetError, Measurement
from lilliput.registry import Family, Variant

POINTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12)


def variant(name, target="cpu", **numbers):
    measured = tuple(Measurement(q, float(v), "1", "measured", "x") for q, v in numbers.items())
    artifact = Artifact(Path(f"{name}.onnx"), "onnx", "0" * 64)
    return Variant(name, name, name, target, artifact, measured, "", None, 0, "2026-01-01")


def family(*variants, higher_is_better=True):
    return Family("task", "Accuracy", higher_is_better, tuple(variants))


def numbered(points, x="size", y="metric"):
    return [variant(str(i), **{x: a, y: b}) for i, (a, b) in enumerate(points)]


@pytest.mark.parametrize("higher_is_better", [True, False])
@given(points=POINTS)
def test_no_variant_beats_one_on_the_front_and_each_other_one_is_beaten(points, higher_is_better):
    sign = -1 if higher_is_better else 1
    found = family(*numbered(points), higher_is_better=higher_is_better).front()
    costs = [(v.value("size"), sign * v.value("metric")) for v in found]
    assert costs == sorted(costs)
    for cost in ((float(a), float(sign * b)) for a, b in points):
        is_beaten = any(
            a <= cost[0] and sign * b <= cost[1] and (a, sign * b) != cost for a, b in points
        )
        assert is_beaten != (cost in costs)


def test_fronts_of_other_quantities_are_minimised():
    found = family(*numbered([(1, 3), (2, 2), (3, 1), (3, 3)], "latency", "drop"))
    assert [v.name for v in found.front("latency", "drop")] == ["0", "1", "2"]


def test_a_variant_without_the_quantity_or_of_another_target_is_not_on_the_front():
    found = family(
        variant("a", size=1, metric=0.5),
        variant("b", metric=0.9),
        variant("c", "phone", size=1, metric=0.9),
    )
    assert [v.name for v in found.front(target="cpu")] == ["a"]


def test_best_has_the_best_metric_within_the_budget_and_ties_go_to_the_smallest():
    found = family(
        variant("large", size=900, metric=0.95),
        variant("middle", size=500, metric=0.9),
        variant("small", size=100, metric=0.9),
        variant("tiny", size=10, metric=0.1),
    )
    assert found.best(Budget(max_size_bytes=600)).name == "small"
    assert found.best().name == "large"
    assert family(*found.variants, higher_is_better=False).best().name == "tiny"


def test_a_budget_none_meets_names_the_nearest_and_every_miss():
    found = family(
        variant("int8", size=301_000, metric=0.9, drop=0.012),
        variant("float", size=1_100_000, metric=0.91, drop=0.0),
    )
    with pytest.raises(BudgetError) as caught:
        found.best(Budget(max_size_bytes=250_000, max_drop=0.01, max_latency_ms=2))
    said = str(caught.value)
    assert "latency was not measured (2 ms allowed)" in said
    with pytest.raises(BudgetError) as caught:
        found.best(Budget(max_size_bytes=250_000, max_drop=0.01))
    said = str(caught.value)
    assert "'int8'" in said
    assert "size 301 kB is 51 kB over the 250 kB allowed" in said
    assert "drop 0.012 is 0.002 over the 0.01 allowed" in said


def test_a_target_without_variants_names_those_that_have_some():
    with pytest.raises(BudgetError, match=r"'phone'.*there are variants for cpu"):
        family(variant("a", metric=1)).best(target="phone")


def test_rows_hold_values_units_and_intervals():
    (row,) = family(variant("a", size=3)).to_rows()
    assert (row["name"], row["size"], row["size_unit"], row["size_low"]) == ("a", 3.0, "1", None)


def test_a_limit_on_the_drop_makes_the_smallest_within_it_the_best():
    found = family(
        variant("whole", size=9, metric=0.9, drop=0.0),
        variant("half", size=5, metric=0.89, drop=0.01),
        variant("quarter", size=2, metric=0.8, drop=0.1),
    )
    assert found.best(Budget(max_drop=0.02)).name == "half"
    assert found.best(Budget(max_size_bytes=9)).name == "whole"
