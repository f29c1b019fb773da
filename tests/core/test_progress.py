from collections.abc import Iterator

import pytest

from lilliput.core import progress
from lilliput.core.progress import Reporter, shown, track


class Log:
    """Writes down what is reported."""

    def __init__(self) -> None:
        self.lines: list[tuple[object, ...]] = []

    def start(self, description: str, total: float | None, /) -> int:
        self.lines.append(("start", description, total))
        return 7

    def update(self, task: int, done: int, note: str, /) -> None:
        self.lines.append((task, done, note))

    def stop(self, task: int, /) -> None:
        self.lines.append(("stop", task))


@pytest.fixture
def log() -> Iterator[Log]:
    log = Log()
    token = progress._active.set(log)
    yield log
    progress._active.reset(token)


def test_gives_the_items_when_nobody_looks() -> None:
    assert list(track(range(3), "counting")) == [0, 1, 2]


def test_reports_start_each_step_and_end(log: Log) -> None:
    assert isinstance(log, Reporter)
    assert list(track("ab", "letters")) == ["a", "b"]
    assert log.lines == [("start", "letters", 2), (7, 0, ""), (7, 1, ""), ("stop", 7)]


def test_resumes_where_it_was(log: Log) -> None:
    list(track(iter("cd"), "letters", 4.0, start=2, note=lambda: "loss 0.5"))
    assert log.lines == [
        ("start", "letters", 4.0),
        (7, 2, "loss 0.5"),
        (7, 3, "loss 0.5"),
        ("stop", 7),
    ]


def test_a_length_that_nobody_knows_is_none(log: Log) -> None:
    list(track((x for x in "ab"), "letters"))
    assert log.lines[0] == ("start", "letters", None)


def test_ends_when_the_work_fails(log: Log) -> None:
    def work() -> None:
        for _ in track("ab", "letters"):
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert log.lines[-1] == ("stop", 7)


def test_shows_nothing_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with shown():
        list(track(range(3), "counting"))
    assert capsys.readouterr() == ("", "")


def test_shows_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with shown():
        reporter = progress._active.get()
        assert isinstance(reporter, progress.RichReporter)
        for item in track(range(3), "counting", note=lambda: "still"):
            assert reporter.progress.tasks[0].completed == item
            assert reporter.progress.tasks[0].description == "still"
        assert reporter.progress.tasks == []
        with shown():
            assert progress._active.get() is reporter
    assert progress._active.get() is None
