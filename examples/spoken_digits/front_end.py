"""The front-end that runs on the chip, compiled for this machine: the same integers."""

import ctypes
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
FRAME, HOP, BANDS, CLIP = 256, 160, 20, 8000
FRAMES = (CLIP - FRAME) // HOP + 1
HERE = Path(__file__).parent


@cache
def _library() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log_mel.so"
        command = ["cc", "-O2", "-shared", "-fPIC", "-o", path, HERE / "log_mel.c"]
        subprocess.run(list(map(str, command)), check=True)  # noqa: S603
        return ctypes.CDLL(str(path))


def one_second(audio: Array) -> Array:
    """The middle second of a recording, with silence around a shorter one."""
    spare = CLIP - len(audio)
    if spare <= 0:
        return audio[-spare // 2 : -spare // 2 + CLIP]
    return np.pad(audio, (spare // 2, spare - spare // 2))


def features(clip: Array) -> Array:
    """Bands of each frame of a second of speech.

    Args:
        clip: int16 [8000].

    Returns:
        int8 [49, 20].
    """
    clip = np.ascontiguousarray(clip, np.int16)
    found = np.zeros((FRAMES, BANDS), np.int8)
    for frame in range(FRAMES):
        samples = np.ascontiguousarray(clip[frame * HOP : frame * HOP + FRAME])
        _library().log_mel(
            ctypes.c_void_p(samples.ctypes.data), ctypes.c_void_p(found[frame].ctypes.data)
        )
    return found
