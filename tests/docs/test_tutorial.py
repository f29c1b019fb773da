"""The tutorial's code runs as it stands."""

import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    text = (ROOT / "docs" / "tutorial.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.S))
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code, "tutorial.md", "exec"), names)  # noqa: S102

    printed = capsys.readouterr().out
    assert "['PruneChannels', 'Distill', 'QuantizeStatic']" in printed
    assert "latency_ratio" in printed
    assert 'name = "Quantize' in printed  # the best recipe of a short search is not always the same
    page = (tmp_path / "out/run/report.html").read_text()
    assert "plotly" in page.lower()
    assert len(names["family"]) >= 2  # type: ignore[arg-type]
