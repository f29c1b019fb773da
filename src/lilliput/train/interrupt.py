"""Lets a training step end before Ctrl-C takes effect, so that what is saved is whole."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ["Interrupt", "deferred"]


class Interrupt:
    """Whether Ctrl-C was pressed."""

    def __init__(self) -> None:
        self.is_pressed = False

    def press(self, _signal: int, _frame: FrameType | None) -> None:
        """The first time takes note; the second time stops at once."""
        if self.is_pressed:
            raise KeyboardInterrupt
        self.is_pressed = True


@contextlib.contextmanager
def deferred() -> Iterator[Interrupt]:
    """Inside, Ctrl-C is noted instead of raised; only the main thread can ask for that."""
    interrupt = Interrupt()
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupt
        return
    signal.signal(signal.SIGINT, interrupt.press)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
