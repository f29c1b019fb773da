"""The coders in C, compiled once by this machine's own compiler, and called from Python."""

import ctypes
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from lilliput.core import PackError
from lilliput.pack.mixing import Head
from lilliput.pack.tokens import Integers

__all__ = ["Decode", "Mixing", "decoder", "loaded", "native_mixing", "simd_flags"]

_COMPILERS = ("cc", "gcc", "clang")


def simd_flags(machine: str, cpuinfo: Path) -> tuple[str, ...]:
    """Of the compiler, for the integers that a processor multiplies at once.

    Args:
        machine: Its family.
        cpuinfo: Where Linux says what it can do.
    """
    if machine not in {"x86_64", "AMD64"}:
        return ()
    says = cpuinfo.read_text().split() if cpuinfo.is_file() else []
    return ("-mavx2",) if "avx2" in says else ("-msse4.1",)  # all since 2008 have SSE 4.1


_SIMD = simd_flags(platform.machine(), Path("/proc/cpuinfo"))
_FLAGS = ("-std=c99", "-O2", "-ftree-vectorize", "-funroll-loops", *_SIMD, "-shared", "-fPIC")
_DECODER = ("block", "mixing", "predict", "regression", "tables")
_INCLUDED = ("block.h", "mixer.h", "mixing.h", "predict.h", "range.h", "reader.h", "regression.h")
_COMPILED = (*(f"decoder/{name}.c" for name in _DECODER), "encoder/encode.c")
_SOURCES = (
    *_COMPILED,
    *(f"decoder/{name}" for name in (*_INCLUDED, "tables.h", "shapes.inc")),
    "encoder/encode.h",
)
_ERRORS = {
    1: "it is cut off",
    2: "it says what cannot be",
    3: "its code does not end where it must",
}

Decode = Callable[[bytes, int, int, str], Integers]


@dataclass(frozen=True)
class Mixing:
    """What `lilliput.pack.mixing` does, a thousand times as fast.

    Args:
        decode: As `decode_mixed`.
        encode: As `encode_mixed`, but None where that takes more bytes than are given last.
    """

    decode: Decode
    encode: Callable[[Integers, int, Head, int], bytes | None]


@cache
def native_mixing() -> Mixing | None:
    """The compiled coder of blocks of form 3; None where no compiler is."""
    found = loaded()
    if not found:
        return None
    return Mixing(decoder(found, "decode_mixed", "mixing"), _encoder(found))


def loaded() -> Any:
    """The compiled file; None where there is none.

    It is kept for the next time in the user's cache folder (`LILLIPUT_CACHE` names another), under
    a name made of its sources, in a folder that nobody else may write to.
    """
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    try:
        library = _kept(compiler)
        return ctypes.CDLL(str(library)) if library else None
    except (OSError, RuntimeError):
        return None  # no place to keep it, or a file of another machine: Python gives the same


def _kept(compiler: str | None) -> Path | None:
    """The compiled file, compiled now where it is not there."""
    with as_file(files("lilliput.pack")) as sources:
        texts = [(sources / name).read_bytes() for name in _SOURCES]
        facts = [*_FLAGS, sys.platform, *os.uname()] if hasattr(os, "uname") else [*_FLAGS]
        digest = hashlib.sha256(b"\0".join([*texts, *map(str.encode, facts)])).hexdigest()
        folder = _folder()
        if folder is None:
            return None
        library = folder / f"coder-{digest[:32]}.so"
        if library.is_file() and _is_ours(library):
            return library
        return library if compiler and _compiled(compiler, sources, library) else None


def _folder() -> Path | None:
    """A folder that only this user writes to."""
    named = os.environ.get("LILLIPUT_CACHE")
    general = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(named) if named else Path(general) / "lilliput"
    folder = folder / "coder"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder if _is_ours(folder) else None


def _is_ours(path: Path) -> bool:
    """Whether this user owns it and nobody else may change it."""
    found = path.stat()
    is_open = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return not is_open and (not hasattr(os, "getuid") or found.st_uid == os.getuid())


def _compiled(compiler: str, sources: Path, library: Path) -> bool:
    with tempfile.TemporaryDirectory(dir=library.parent) as place:
        made = Path(place) / library.name
        command = [compiler, *_FLAGS, "-o", str(made), *_COMPILED]
        done = subprocess.run(  # noqa: S603
            command, cwd=sources, capture_output=True, check=False
        )
        if done.returncode:
            return False
        made.chmod(0o700)
        made.replace(library)
    return True


def decoder(library: Any, name: str, memory: str) -> Decode:
    """A function that decodes blocks, and has memory of its own in each thread."""
    function = getattr(library, f"lilliput_{name}")
    function.restype = ctypes.c_int
    size, place = ctypes.c_size_t, ctypes.c_void_p
    function.argtypes = (ctypes.c_char_p, size, place, size, size, place)
    own = _Memory(library, memory)

    def decode(data: bytes, count: int, columns: int, what: str) -> Integers:
        values = np.empty(count, np.int32)
        error = function(data, len(data), values.ctypes.data, count, columns, own.place)
        if error:
            raise PackError(f"{what} is damaged: {_ERRORS[error]}")
        return values

    return decode


class _Memory(threading.local):
    """Of a coder, one for each thread, made when it is needed."""

    def __init__(self, library: Any, name: str) -> None:
        self._bytes_of = getattr(library, f"lilliput_{name}_bytes")
        self._bytes_of.restype = ctypes.c_size_t

    @cached_property
    def place(self) -> Any:
        return ctypes.create_string_buffer(self._bytes_of())


class _Head(ctypes.Structure):
    _fields_ = (
        ("middle", ctypes.c_uint32),
        ("is_turned", ctypes.c_uint32),
        ("group", ctypes.c_uint32),
        ("neighbours", ctypes.c_uint32 * 4),
    )


def _encoder(library: Any) -> Callable[[Integers, int, Head, int], bytes | None]:
    function = library.lilliput_encode_mixed
    function.restype = size = ctypes.c_size_t
    place = ctypes.c_void_p
    function.argtypes = (place, size, place, size, size, ctypes.POINTER(_Head), place)
    own = _Memory(library, "mixing")

    def encode(values: Integers, columns: int, head: Head, most: int) -> bytes | None:
        fields, whole = head.fields, values.copy()
        room = max(0, most - len(fields))
        code = np.empty(room, np.uint8)
        facts = _Head(
            head.middle & 0xFFFFFFFF,
            head.is_turned,
            head.group,
            (ctypes.c_uint32 * 4)(*head.neighbours),
        )
        taken = function(
            code.ctypes.data, room, whole.ctypes.data, len(whole), columns, facts, own.place
        )
        return fields + code[:taken].tobytes() if taken else None

    return encode
