"""The one-call road, on tasks of every kind."""

import math
from pathlib import Path

import pytest

import lilliput as lp
from lilliput.core import BudgetError, MissingExtraError, RegistryError, UnsupportedError
from lilliput.registry import Store
from lilliput.testing import nets


@pytest.mark.slow
@pytest.mark.parametrize("name", nets.TINY_TASKS)
def test_a_family_comes_out_whatever_the_task(name: str, tmp_path: Path) -> None:
    model, task = nets.TINY_TASKS[name]()
    lines: list[str] = []
    family = lp.compress(
        model, task, out=tmp_path, time_budget_s=1e6, max_epochs=1, trials=1, tell=lines.append
    )
    names = {variant.name for variant in family}
    assert {"original", "int8-minmax"} <= names
    assert any("qat" in name for name in names)
    assert any(variant.value("test_metric") is not None for variant in family)
    assert family.best(lp.Budget()).value("size") is not None
    assert all(variant.artifact.path.exists() for variant in family)
    page = lp.report(family, tmp_path / "report.html").read_text()
    assert "int8-minmax" in page
    with pytest.raises(BudgetError, match="nearest"):
        family.best(lp.Budget(max_size_bytes=10))


@pytest.mark.slow
def test_a_finished_run_started_again_measures_nothing(tmp_path: Path) -> None:
    model, task = nets.image_classifier()

    def run() -> dict[str, str]:
        family = lp.compress(model, task, out=tmp_path, time_budget_s=1e6, max_epochs=1, trials=0)
        return {variant.key: variant.created for variant in family}

    assert run() == run()


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_found(tmp_path: Path) -> None:
    model, task = nets.image_classifier()
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        if line.startswith("int8-minmax on"):
            raise KeyboardInterrupt

    family = lp.compress(model, task, out=tmp_path, tell=tell)
    assert [variant.name for variant in family] == ["original", "int8-minmax"]
    assert "kept" in lines[-1]
    assert len(Store(tmp_path, must_exist=True).family()) == 2


def test_an_unknown_target_is_named_before_any_work(tmp_path: Path) -> None:
    model, task = nets.image_classifier()
    with pytest.raises(UnsupportedError, match="did you mean 'onnxruntime-cpu'"):
        lp.compress(model, task, targets=["onnxruntime-cp"], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_missing_extra_names_the_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    model, task = nets.image_classifier()
    monkeypatch.setattr(sys.modules["lilliput.search.begin"], "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lilliput\[litert\]'"):
        lp.compress(model, task, targets=["litert-cpu"], out=tmp_path / "run")


@pytest.mark.slow
def test_another_network_does_not_go_into_the_same_folder(tmp_path: Path) -> None:
    model, task = nets.image_classifier()
    made = lp.compress(model, task, out=tmp_path, time_budget_s=1e-3)
    other = model.clone()
    for parameter in other.module.parameters():
        parameter.data += 0.1
    with pytest.raises(RegistryError, match="another network, teacher, loss or data"):
        lp.compress(other, task, out=tmp_path, time_budget_s=1e-3)
    assert [v.id for v in Store(tmp_path).family()] == [v.id for v in made]


def test_flash_limits_are_for_what_has_flash(tmp_path: Path) -> None:
    model, task = nets.image_classifier()
    with pytest.raises(UnsupportedError, match="max_size_bytes"):
        lp.compress(model, task, lp.Budget(max_flash_bytes=1000), out=tmp_path)
    with pytest.raises(UnsupportedError, match="max_latency_ms"):
        lp.compress(model, task, lp.Budget(max_instructions=1000), out=tmp_path)
    with pytest.raises(UnsupportedError, match="max_instructions"):
        lp.compress(model, task, lp.Budget(max_latency_ms=1), "cortex-m4", out=tmp_path)
    budget = lp.Budget(max_latency_ms=1, max_ram_bytes=math.inf)  # which is no limit
    with pytest.raises(UnsupportedError, match="max_latency_ms"):
        lp.compress(model, task, budget, "cortex-m4", out=tmp_path)
