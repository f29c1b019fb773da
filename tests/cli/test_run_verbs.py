"""list, show, best and report read a run folder."""

import json

import pytest

from lilliput.registry import Store


def test_list_shows_every_variant_and_what_was_skipped(lilliput, run_folder):
    called = lilliput("list", run_folder)
    assert called.code == 0
    for variant in Store(run_folder).family():
        assert variant.name in called.out
    assert "pruning to 20% of the MACs" in called.out
    assert "1.2x slower" in called.out


@pytest.mark.parametrize("width", [30, 60, 80, 120, 200])
def test_tables_keep_to_the_width(width, lilliput, run_folder):
    called = lilliput("list", run_folder, width=width)
    table = called.out.split("* on the front")[0].splitlines()
    assert max(map(len, table)) <= width
    assert "214 kB" in called.out or width == 30
    assert "litert-cpu" in called.out or width <= 60


def test_list_as_json_is_the_family(lilliput, run_folder):
    value = lilliput("list", run_folder, "--json").json
    family = Store(run_folder).family()
    assert [row["id"] for row in value["variants"]] == [v.id for v in family]
    assert value["task"] == "cifar10"


def test_show_has_all_measurements_recipe_lineage_and_layers(lilliput, run_folder):
    called = lilliput("show", run_folder, "pruned-70", "--target", "litert-cpu")
    assert called.code == 0
    variant = next(
        v for v in Store(run_folder).family() if (v.name, v.target) == ("pruned-70", "litert-cpu")
    )
    for measurement in variant.measurements:
        assert measurement.quantity.replace("_", " ") in called.out
    assert variant.recipe.strip() in called.out
    assert "original > pruned-70" in called.out
    assert "layer1.0.conv1.6" in called.out


def test_a_variant_is_named_by_the_start_of_its_id(lilliput, run_folder):
    for variant in Store(run_folder).family():
        assert lilliput("show", run_folder, variant.id[:9], "--json").json["id"] == variant.id


def test_a_name_of_two_variants_lists_both(lilliput, run_folder):
    called = lilliput("show", run_folder, "pruned-70")
    assert called.code == 1
    assert "onnxruntime-cpu" in called.err
    assert "litert-cpu" in called.err


def test_a_wrong_name_gets_the_nearest(lilliput, run_folder):
    called = lilliput("show", run_folder, "prunned-70")
    assert called.code == 1
    assert "did you mean 'pruned-70'" in called.err


def test_best_meets_its_limits_for_each_target(lilliput, run_folder):
    rows = lilliput("best", run_folder, "--max-size", "160kB", "--json").json
    assert {row["target"] for row in rows} == {"onnxruntime-cpu", "litert-cpu"}
    assert {row["name"] for row in rows} == {"pruned-50"}
    rows = lilliput("best", run_folder, "--max-drop", "1%", "-t", "litert-cpu", "--json").json
    assert [row["name"] for row in rows] == ["pruned-70"]


def test_best_prints_the_file_to_ship(lilliput, run_folder):
    called = lilliput("best", run_folder, "--max-size", "160kB", "--target", "litert-cpu")
    variant = next(
        v for v in Store(run_folder).family() if (v.name, v.target) == ("pruned-50", "litert-cpu")
    )
    assert called.out.splitlines()[-1] == str(variant.artifact.path)


def test_a_budget_none_meets_is_an_error_that_names_the_nearest(lilliput, run_folder):
    called = lilliput("best", run_folder, "--max-size", "1kB", "--json")
    assert called.code == 1
    assert called.out == ""
    assert "pruned-35" in called.err


def test_an_unknown_target_is_an_error(lilliput, run_folder):
    called = lilliput("best", run_folder, "--target", "esp32")
    assert called.code == 1
    assert "esp32" in called.err


def test_report_writes_where_it_is_told(lilliput, run_folder, tmp_path):
    assert lilliput("report", run_folder).code == 0
    assert (run_folder / "report.html").is_file()
    value = lilliput("report", run_folder, "-o", tmp_path / "x" / "page.html", "--json").json
    assert value["report"] == str(tmp_path / "x" / "page.html")
    assert json.loads((tmp_path / "x" / "family.json").read_text())["task"] == "cifar10"


def test_a_folder_without_a_run_is_left_as_it_is(lilliput, tmp_path):
    called = lilliput("list", tmp_path)
    assert called.code == 1
    assert "no run" in called.err
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_said_on_stderr(lilliput, run_folder):
    victim = next(iter(Store(run_folder).family()))
    victim.artifact.path.write_bytes(b"damaged")
    called = lilliput("list", run_folder, "--json")
    assert victim.id not in {row["id"] for row in called.json["variants"]}
    assert victim.name in called.err
