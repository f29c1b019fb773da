"""Generated C as one file: a zip with the sources, the `.tflite` they come from, and their ends.

The same content gives the same bytes: the zip's times are fixed.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lilliput.core import ExportError
from lilliput.export.c.generate import Generated

__all__ = ["FLOAT", "MODEL", "End", "Facts", "facts_of", "read", "write"]

MODEL = "model.tflite"
FLOAT = "float.tflite"
"""Alone in the zip of a network that is not quantized: there is no C for it."""
_FACTS = "model.json"
_TIME = (1980, 1, 1, 0, 0, 0)
_MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class End:
    """An input or an output: its name, shape, scale and zero point, and where an input may lie."""

    name: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    is_in_arena: bool = False


@dataclass(frozen=True)
class Facts:
    """What is known of generated C.

    Args:
        inputs: In the order of `lilliput_invoke`'s arguments.
        outputs: Likewise.
        arena_bytes: Of the static arena.
        constant_bytes: Of weights and tables.
        macs: Multiplications of one run.
    """

    inputs: tuple[End, ...]
    outputs: tuple[End, ...]
    arena_bytes: int
    constant_bytes: int
    macs: int


def facts_of(made: Generated) -> Facts:
    """Of a network that was generated."""
    network, offsets = made.program.network, made.plan.offsets

    def end(index: int) -> End:
        tensor = network.tensors[index]
        is_in_arena = index in network.inputs and index in offsets
        scale = float(tensor.scale)
        return End(tensor.name, tensor.shape, scale, tensor.zero_point, is_in_arena)

    return Facts(
        tuple(map(end, network.inputs)),
        tuple(map(end, network.outputs)),
        made.plan.size,
        made.constant_bytes,
        made.macs,
    )


def write(files: Mapping[str, bytes], facts: Facts | None) -> bytes:
    """The bytes of the zip.

    Args:
        files: By name.
        facts: Of the C; None where there is none.
    """
    buffer = io.BytesIO()
    every = dict(files)
    if facts is not None:
        every[_FACTS] = json.dumps(asdict(facts), indent=1).encode()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in every.items():
            entry = zipfile.ZipInfo(name, _TIME)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(entry, content)
    return buffer.getvalue()


def read(path: Path, folder: Path) -> Facts | None:
    """Unpacks a zip that `write` made into a folder; None where it holds no C.

    Raises:
        ExportError: It is missing, truncated or something else.
    """
    known = {"model.h", "model.c", "test_model.c", MODEL, FLOAT, _FACTS}
    try:
        with zipfile.ZipFile(path) as file:
            for entry in file.infolist():
                if entry.filename not in known or entry.file_size > _MOST_BYTES:
                    raise ExportError(f"{path} is no generated C: it holds {entry.filename!r}")
            file.extractall(folder)
        if not (folder / _FACTS).is_file():
            return None
        return _facts(json.loads((folder / _FACTS).read_text("utf-8")))
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{path} is no zip of generated C: {error}") from error


def _facts(found: Mapping[str, Any]) -> Facts:
    inputs, outputs = (
        tuple(End(**{**end, "shape": tuple(end["shape"])}) for end in found[whose])
        for whose in ("inputs", "outputs")
    )
    arena, constants, macs = (int(found[n]) for n in ("arena_bytes", "constant_bytes", "macs"))
    return Facts(inputs, outputs, arena, constants, macs)
