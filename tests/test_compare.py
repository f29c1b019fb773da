"""A pruned network against its controls, each in its own runtime."""

import json
from pathlib import Path

import pytest

import lilliput as lp
from lilliput.core import PassError, UnsupportedError
from lilliput.registry import Store
from lilliput.testing.nets import TINY_TASKS, image_classifier, learned, two_input_transformer

ARMS = ["pruned", "scratch, same epochs", "scratch, same compute", "narrower"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["image_classifier", "image_to_image", "two_output_regressor"])
def test_every_arm_is_measured_whatever_the_task(name: str, tmp_path: Path) -> None:
    model, task = TINY_TASKS[name]()
    model = learned(model, task, epochs=2)
    found = lp.compare(model, task, out=tmp_path, epochs=1, seeds=(0, 1))
    assert [row.arm for row in found.rows] == ARMS
    pruned = found["pruned"]
    assert pruned.size.value < found.original.size.value
    assert pruned.macs < found.original.macs
    for row in found.rows:
        assert [run.seed for run in row.runs] == [0, 1]
        assert row.size.value <= pruned.size.value
        assert row.test_metric is not None
        assert row.latency_ratio is not None
        assert {m.method for m in (row.metric, row.size, row.latency_ratio)} == {"measured"}
    scratch = found["scratch, same compute"]
    assert scratch.epochs == max(1, round(found.original.macs / pruned.macs))
    assert json.loads(json.dumps(found.as_dict()))["rows"][0]["arm"] == "pruned"
    assert all(variant.artifact.path.exists() for variant in Store(tmp_path).family())
    before = {variant.key: variant.created for variant in Store(tmp_path).family()}
    assert lp.compare(model, task, out=tmp_path, epochs=1, seeds=(0, 1)) == found
    assert {variant.key: variant.created for variant in Store(tmp_path).family()} == before


@pytest.mark.slow
def test_ctrl_c_gives_what_is_finished(tmp_path: Path) -> None:
    model, task = image_classifier()

    def stop(line: str) -> None:
        if line.startswith("scratch, same epochs"):
            raise KeyboardInterrupt

    found = lp.compare(model, task, out=tmp_path, epochs=1, seeds=(0, 1), tell=stop)
    assert found.was_stopped
    assert [row.arm for row in found.rows] == ["pruned", "scratch, same epochs"]
    assert found.rows[0].test_metric is None
    assert len(Store(tmp_path, must_exist=True).family()) == 3


@pytest.mark.parametrize("seeds", [(), (7,)])
def test_fewer_than_two_seeds_are_refused(seeds: tuple[int, ...], tmp_path: Path) -> None:
    model, task = image_classifier()
    with pytest.raises(ValueError, match=r"an interval needs two runs.*pass \(0, 1, 2\)"):
        lp.compare(model, task, out=tmp_path / "run", seeds=seeds)
    assert not (tmp_path / "run").exists()


def test_equal_seeds_are_refused(tmp_path: Path) -> None:
    model, task = image_classifier()
    with pytest.raises(ValueError, match=r"must all differ, got \[1, 1\]"):
        lp.compare(model, task, out=tmp_path, seeds=(1, 1))


@pytest.mark.parametrize("setting", ["epochs", "original_epochs"])
def test_no_epochs_are_refused(setting: str, tmp_path: Path) -> None:
    model, task = image_classifier()
    with pytest.raises(ValueError, match=f"{setting} must be 1 or more, got 0"):
        lp.compare(model, task, out=tmp_path, **{setting: 0})


def test_a_rate_of_nothing_is_refused_before_any_work(tmp_path: Path) -> None:
    model, task = image_classifier()
    with pytest.raises(ValueError, match="scratch_rate must be more than 0, got 0"):
        lp.compare(model, task, out=tmp_path / "run", scratch_rate=0.0)
    assert not (tmp_path / "run").exists()


def test_a_recipe_that_removes_nothing_is_refused_before_any_file(tmp_path: Path) -> None:
    model, task = image_classifier()
    with pytest.raises(PassError, match=r"removes none of .* ask for a higher ratio"):
        lp.compare(model, task, [lp.PruneChannels(0.0)], out=tmp_path / "run")
    with pytest.raises(PassError, match="Distill trains"):
        lp.compare(model, task, [lp.Distill(task, model)], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_drawn_anew_is_told_before_any_file(tmp_path: Path) -> None:
    model, task = two_input_transformer()
    with pytest.raises(UnsupportedError, match="cannot be drawn anew; the network became a graph"):
        lp.compare(model, task, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_unknown_target_is_named(tmp_path: Path) -> None:
    model, task = image_classifier()
    with pytest.raises(UnsupportedError, match="did you mean 'onnxruntime-cpu'"):
        lp.compare(model, task, target="onnxruntime-cp", out=tmp_path)
