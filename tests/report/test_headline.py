"""The headline says what the best variant buys, and no more."""

from tests.report.families import error_family, share_family, variant, with_variants

from lilliput.report import headline


def test_it_names_size_speed_and_drop_with_interval(tmp_path):
    family = share_family(tmp_path)
    sentence = headline(family, "onnxruntime-cpu")
    assert sentence == (
        "pruned-70: 5.1 times smaller, 2.8 times faster, "
        "drop 0.66 points (0.46 to 0.86) on test data"
    )


def test_what_was_not_measured_is_said(tmp_path):
    sentence = headline(error_family(tmp_path), "onnxruntime-cpu")
    assert sentence == (
        "int8: 3.6 times smaller, latency not measured, drop 0.6 (0.4 to 0.7) on validation data"
    )


def test_of_a_microcontroller_flash_ram_and_instructions_are_told(tmp_path):
    common = {"target": "cortex-m4", "folder": tmp_path, "metric": 0.9, "drop": 0.0}
    pair = [
        variant("original", size=1000, **common),
        variant("int8", size=2000, flash=11_190, peak_ram=5504, instructions=1.417e6, **common),
    ]
    said = headline(with_variants(error_family(tmp_path), pair), "cortex-m4")
    assert said.startswith("int8: 11.2 kB of flash, 5.50 kB of RAM, 1.42 million instructions, ")


def test_smaller_but_slower_is_said(tmp_path):
    common = {"target": "t", "folder": tmp_path, "metric": 0.9, "drop": 0.0}
    pair = [
        variant("original", size=1000, latency_ratio=1.0, **common),
        variant("signed", size=500, latency_ratio=(1.4, 1.3, 1.5), **common),
    ]
    family = with_variants(error_family(tmp_path), pair)
    assert "2.0 times smaller, 1.4 times slower" in headline(family, "t")


def test_a_speed_that_rounds_disagree_on_is_none(tmp_path):
    common = {"target": "t", "folder": tmp_path, "metric": 0.9, "drop": 0.0}
    pair = [
        variant("original", size=1000, latency_ratio=1.0, **common),
        variant("noisy", size=500, latency_ratio=(0.9, 0.8, 1.1), **common),
    ]
    family = with_variants(error_family(tmp_path), pair)
    assert "2.0 times smaller, about as fast as the original" in headline(family, "t")


def test_a_budget_that_none_meets_names_the_nearest(tmp_path):
    family = share_family(tmp_path)
    family.notes["budget"] = {"size": 1000.0}
    assert "the nearest is 'pruned-35'" in headline(family, "onnxruntime-cpu")


def test_the_original_alone_is_no_success(tmp_path):
    family = error_family(tmp_path)
    alone = with_variants(family, family.variants[:1])
    assert headline(alone, "onnxruntime-cpu") == "no variant besides the original yet"


def test_a_negative_drop_is_a_gain(tmp_path):
    common = {"target": "t", "folder": tmp_path, "size": 1000}
    pair = [
        variant("original", metric=0.9, drop=0.0, **common),
        variant("better", metric=0.92, drop=(-0.02, -0.03, -0.005), **common),
    ]
    family = with_variants(share_family(tmp_path), pair)
    family.notes.clear()
    assert "gain 2.00 points (0.50 to 3.00)" in headline(family, "t")
