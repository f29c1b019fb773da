"""A process of its own for a runtime, so that one that crashes or hangs costs one variant."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Int64

from lilliput.core import Artifact, LilliputError, MeasureError, MissingExtraError, Target
from lilliput.measure.frames import Array, FrameError, receive, send

__all__ = ["Opened", "Worker"]

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_LAST_BYTES, _LAST_LINES = 4096, 5
_ROUNDS_S = 2.5
_PACKAGE_FOLDER = Path(__file__).parents[2]


@dataclass(frozen=True)
class Opened:
    """What loading a file told.

    Args:
        outputs: Their names.
        peak_ram_bytes: Rise of resident memory while it was loaded and run some times.
        runs: How many times.
    """

    outputs: tuple[str, ...]
    peak_ram_bytes: int
    runs: int


class Worker:
    """A runtime with one file, in another process; a context manager.

    Args:
        artifact: The file.
        target: Its format and threads.
        time_limit_s: For all that is asked together, in seconds.
    """

    def __init__(self, artifact: Artifact, target: Target, time_limit_s: float = 600.0) -> None:
        self.artifact, self.target = artifact, target
        self.limit_s, self.left_s = time_limit_s, time_limit_s

    def __enter__(self) -> "Worker":  # noqa: PYI034
        self._log = tempfile.TemporaryFile()
        self._process = subprocess.Popen(  # noqa: S603
            self._command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=_environment(self.target.threads),
            start_new_session=True,  # Ctrl-C ends it through us, without a word of its own
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None  # noqa: S101
            try:
                stream.close()
            except BrokenPipeError:  # what was on its way to a process that is gone
                continue
        self._log.close()

    def open(self, example: tuple[Array, ...]) -> Opened:
        """Loads the file and runs one example.

        Raises:
            MeasureError: It is damaged or takes other inputs, or the runtime crashed or hung.
            MissingExtraError: The runtime is not installed.
        """
        request = {
            "kind": "open",
            "path": str(self.artifact.path.absolute()),
            "format": self.artifact.format,
            "threads": self.target.threads,
        }
        reply, _ = self._ask(request, example)
        return Opened(tuple(reply["outputs"]), int(reply["peak_ram_bytes"]), int(reply["runs"]))

    def run(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Runs a batch of the file that was opened.

        Raises:
            MeasureError: The runtime crashed, hung or refused the inputs.
        """
        return self._ask({"kind": "run"}, inputs)[1]

    def time(
        self,
        paths: Sequence[Path],
        eager: Path | None,
        examples: Sequence[tuple[Array, ...]],
    ) -> Int64[np.ndarray, "systems rounds"]:
        """Times files of the same format in turns, and after them a PyTorch archive.

        Args:
            paths: The files.
            eager: What `torch.export.save` wrote.
            examples: Batches of one; each round takes the next.

        Returns:
            Nanoseconds of each call.

        Raises:
            MeasureError: A runtime crashed, hung or refused the inputs.
        """
        request = {
            "kind": "time",
            "paths": [str(path.absolute()) for path in paths],
            "eager": str(eager.absolute()) if eager else "",
            "format": self.artifact.format,
            "threads": self.target.threads,
            "inputs": len(examples[0]),
            "seconds": _ROUNDS_S,
        }
        return self._ask(request, [array for example in examples for array in example])[1][0]

    @staticmethod
    def _command() -> list[str]:
        # -P: a torch.py in the user's folder must not stand in for PyTorch
        return [sys.executable, "-P", "-m", "lilliput.measure.worker"]

    def _ask(
        self, request: dict[str, Any], arrays: Sequence[Array]
    ) -> tuple[dict[str, Any], tuple[Array, ...]]:
        requests, replies = self._process.stdin, self._process.stdout
        assert requests is not None  # noqa: S101
        assert replies is not None  # noqa: S101
        is_late = threading.Event()

        def stop() -> None:
            is_late.set()
            self._process.kill()

        guard = threading.Timer(max(self.left_s, 0.0), stop)
        guard.start()
        start = time.monotonic()
        try:
            send(requests, request, arrays)
            reply, results = receive(replies)
        except (EOFError, BrokenPipeError) as error:
            raise self._failure(is_late.is_set()) from error
        except FrameError as error:
            raise MeasureError(f"measuring {self.artifact.path} failed: {error}") from error
        finally:
            guard.cancel()
            self.left_s -= time.monotonic() - start
        if "error" in reply:
            raise self._error(reply)
        return reply, results

    def _error(self, reply: dict[str, Any]) -> LilliputError:
        kinds = {"MissingExtraError": MissingExtraError, "MeasureError": MeasureError}
        if reply["error"] in kinds:  # they say themselves what it is about
            return kinds[reply["error"]](reply["message"])
        return MeasureError(f"{self.artifact.path} does not run: {reply['message']}")

    def _failure(self, is_late: bool) -> MeasureError:
        """What is known of a process that ended without an answer."""
        code = self._process.wait()
        runtime = f"the runtime of {self.artifact.path} ({self.target.name})"
        if is_late:
            return MeasureError(
                f"{runtime} took longer than the {self.limit_s:g} s allowed and was stopped; "
                "a larger time_limit_s gives it more"
            )
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return MeasureError(f"{runtime} ended {how}; its last words: {self._last_words()}")

    def _last_words(self) -> str:
        end = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, end - _LAST_BYTES))
        lines = [line.strip() for line in self._log.read().decode(errors="replace").splitlines()]
        return " | ".join([line for line in lines if line][-_LAST_LINES:]) or "none"


def _environment(threads: int) -> dict[str, str]:
    """Ours, with pinned threads, and with this very package where it is imported from."""
    path = os.pathsep.join(filter(None, [str(_PACKAGE_FOLDER), os.environ.get("PYTHONPATH", "")]))
    pinned = dict.fromkeys(_THREAD_VARIABLES, str(threads))
    return {**os.environ, **pinned, "PYTHONPATH": path}
