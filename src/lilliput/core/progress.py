"""Progress of long work: whoever works reports, whoever owns the screen shows."""

import contextlib
import contextvars
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar, runtime_checkable

from lilliput.core.data import length_of

__all__ = ["Reporter", "shown", "track"]

Item = TypeVar("Item")


@runtime_checkable
class Reporter(Protocol):
    """Shows how far work has come."""

    def start(self, description: str, total: float | None, /) -> int: ...

    def update(self, task: int, done: int, note: str, /) -> None: ...

    def stop(self, task: int, /) -> None: ...


_active: contextvars.ContextVar[Reporter | None] = contextvars.ContextVar("reporter", default=None)


def track(
    items: Iterable[Item],
    description: str,
    total: int | float | None = None,
    start: int = 0,
    note: Callable[[], str] | None = None,
) -> Iterator[Item]:
    """Gives the items, and reports how many are done to whoever shows progress.

    Args:
        items: What to go through.
        description: A few words.
        total: How many there are; by default the length of `items` where it has one.
        start: How many were done before (work that resumes).
        note: Gives the description anew before each item, where it changes.
    """
    reporter = _active.get()
    if reporter is None:
        yield from items
        return
    if total is None:
        length = length_of(items)
        total = None if length is None else float(length)
    task = reporter.start(description, total)
    try:
        for done, item in enumerate(items, start):
            reporter.update(task, done, note() if note else "")
            yield item
    finally:
        reporter.stop(task)


class RichReporter:
    """Bars with time left, on stderr."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )

    def start(self, description: str, total: float | None, /) -> int:
        return int(self.progress.add_task(description, total=total))

    def update(self, task: int, done: int, note: str, /) -> None:
        self.progress.update(task, completed=done)  # type: ignore[arg-type]
        if note:
            self.progress.update(task, description=note)  # type: ignore[arg-type]

    def stop(self, task: int, /) -> None:
        self.progress.remove_task(task)  # type: ignore[arg-type]


@contextlib.contextmanager
def shown() -> Iterator[None]:
    """Shows bars for all that is tracked inside, where stderr is a terminal and nobody does yet."""
    if _active.get() is not None or not sys.stderr.isatty():
        yield
        return
    reporter = RichReporter()
    token = _active.set(reporter)
    try:
        with reporter.progress:
            yield
    finally:
        _active.reset(token)
