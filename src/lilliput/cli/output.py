"""Answers go to stdout, all else to stderr."""

import contextlib
import json
import math
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

__all__ = ["Answer", "answering", "complain", "say"]

# tables that go into a file or a pipe have no terminal to ask
_WIDTH_OF_A_PIPE = 140


class Answer:
    """Where a verb's result goes.

    Args:
        stream: The real stdout.
        is_json: Whether JSON was asked for.
    """

    def __init__(self, stream: TextIO, is_json: bool) -> None:
        self.stream, self.is_json = stream, is_json

    def give(self, value: Any, *tables: Any) -> None:
        """Writes `value` as JSON, or the Rich renderables, whichever was asked for."""
        if self.is_json:
            self.stream.write(json.dumps(_finite(value), indent=2) + "\n")
            self.stream.flush()
            return
        console = self.console()
        for table in tables:
            # a path or a recipe is printed as it is: [[pass]] is no markup, and lines are not cut
            console.print(table, markup=False, emoji=False, soft_wrap=isinstance(table, str))

    def console(self) -> Any:
        """A Rich console of the width at hand."""
        from rich.console import Console

        is_sized = self.stream.isatty() or "COLUMNS" in os.environ
        return Console(
            file=self.stream, width=None if is_sized else _WIDTH_OF_A_PIPE, highlight=False
        )


@contextlib.contextmanager
def answering(is_json: bool) -> Iterator[Answer]:
    """Shows progress on stderr; with JSON, keeps what others print off stdout."""
    from lilliput.core.progress import shown

    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(_only_ours()) if is_json else sys.stdout
        stack.enter_context(shown())
        yield Answer(stream, is_json)


@contextlib.contextmanager
def _only_ours() -> Iterator[TextIO]:
    """Gives the real stdout; whatever else writes there meanwhile, C code too, goes to stderr."""
    stream = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        try:
            descriptor = stream.fileno()
        except OSError:  # not a file, as in a test or a notebook
            yield stream
            return
        stream.flush()
        ours = os.dup(descriptor)
        os.dup2(sys.__stderr__.fileno() if sys.__stderr__ else 2, descriptor)
        try:
            with open(ours, "w", encoding="utf-8", closefd=False) as file:
                yield file
        finally:
            os.dup2(ours, descriptor)
            os.close(ours)


def complain(message: str) -> None:
    """One red line on stderr."""
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, highlight=False, soft_wrap=True).print(
        Text.assemble(("error: ", "bold red"), (message, "red"))
    )


def say(message: str) -> None:
    """One plain line on stderr."""
    sys.stderr.write(f"{message}\n")


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: both become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
