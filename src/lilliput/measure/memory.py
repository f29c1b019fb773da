"""How far the memory of this process rises while something runs in it."""

import ctypes
import gc
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil

__all__ = ["MemoryRise"]

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
_PAUSE_S = 0.001


class MemoryRise:
    """Measures the rise of resident memory to its peak, over what was resident before.

    Where Linux keeps the peak itself (`VmHWM`), that is reset and read; elsewhere a thread looks
    every millisecond.

    Source: proc(5), `clear_refs` ("5: reset the peak resident set size"), `VmHWM` of `status`.

    Attributes:
        peak_bytes: The rise, once the block has ended.
    """

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._highest = 0
        self._is_over = threading.Event()

    def __enter__(self) -> "MemoryRise":  # noqa: PYI034
        gc.collect()
        _give_back_free_memory()
        self._before = resident_bytes()
        self._has_peak = _reset_peak()
        if not self._has_peak:
            self._watcher = threading.Thread(target=self._watch, daemon=True)
            self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._has_peak:
            self._highest = _status_bytes("VmHWM")
        else:
            self._is_over.set()
            self._watcher.join()
        self.peak_bytes = max(0, self._highest - self._before)

    def _watch(self) -> None:
        while not self._is_over.is_set():
            self._highest = max(self._highest, resident_bytes())
            time.sleep(_PAUSE_S)
        self._highest = max(self._highest, resident_bytes())


def resident_bytes() -> int:
    """Memory of this process that is in RAM now."""
    return int(psutil.Process().memory_info().rss)


def _reset_peak() -> bool:
    """Sets the kernel's peak to what is resident now; says whether there is such a thing here."""
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return False
    return True


def _status_bytes(name: str) -> int:
    lines = _STATUS.read_text().splitlines()
    line = next(line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def _give_back_free_memory() -> None:
    """What the allocator holds for later would hide a rise; only glibc has this call."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
