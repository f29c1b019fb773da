"""Silence around converters and runtimes that talk past Python's own streams."""

import contextlib
import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

__all__ = ["quiet"]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hides warnings, log lines below errors, and all that is printed, native code's included.

    It acts on the whole process, so it should span one call.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            _native_stderr_hidden(),
            contextlib.redirect_stdout(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _native_stderr_hidden() -> Iterator[None]:
    """C++ writes to file descriptor 2 itself; nothing in Python reaches that."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
