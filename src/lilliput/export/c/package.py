"""Generated C as one file: a zip with the sources and the `.tflite` that they compute.

The same content gives the same bytes: the zip's times are fixed. What is read again is C that this
very file would be turned into here, or nothing: sources that somebody changed are not compiled.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from lilliput.core import ExportError
from lilliput.export.c.generate import Generated, generate

__all__ = ["FLOAT", "LIMITS", "MODEL", "End", "Facts", "Limits", "facts_of", "read", "write"]

MODEL = "model.tflite"
FLOAT = "float.tflite"
"""Alone in the zip of a network that is not quantized: there is no C for it."""
LIMITS = "limits.json"
"""What the C was to keep to, without which it would not be the same again."""
_SOURCES = ("model.h", "model.c")
_TEST = "test_model.c"
_TIME = (1980, 1, 1, 0, 0, 0)
_MOST_BYTES = 1 << 30
_DAMAGE = (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError)


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


@dataclass(frozen=True)
class Limits:
    """What C keeps to as well as it can.

    Args:
        arena_bytes: Of the static arena; None for no limit.
        packs_weights: Whether weights are packed where that saves flash.
    """

    arena_bytes: int | None = None
    packs_weights: bool = False

    def generate(self, path: Path) -> Generated:
        """C within the limits, or as near to them as it gets."""
        return generate(path, self.arena_bytes, packs_weights=self.packs_weights, is_strict=False)

    @property
    def text(self) -> str:
        """JSON."""
        return json.dumps(asdict(self))

    @staticmethod
    def of(text: bytes) -> "Limits":
        """Raises ExportError for what `text` would not give."""
        try:
            found = Limits(**json.loads(text))
        except (ValueError, TypeError, RecursionError) as error:
            raise ExportError(f"{LIMITS} holds no limits: {error}") from error
        is_of_kind = isinstance(found.arena_bytes, int | None) and isinstance(
            found.packs_weights, bool
        )
        if not is_of_kind or found.text.encode() != text:
            raise ExportError(f"{LIMITS} holds no limits, but {text[:80]!r}")
        return found


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


def write(files: Mapping[str, bytes]) -> bytes:
    """The bytes of the zip.

    Args:
        files: By name: `FLOAT` alone, or `MODEL` and its sources.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _TIME)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(entry, content)
    return buffer.getvalue()


def read(path: Path, folder: Path) -> Facts | None:
    """Unpacks a zip that `write` made into a folder; None where it holds no C.

    Raises:
        ExportError: It is missing, damaged or something else, or its C is not what its network is
            turned into here.
    """
    try:
        with zipfile.ZipFile(path) as file:
            names = set(file.namelist())
            is_whole = names - {_TEST} in ({FLOAT}, {MODEL, LIMITS, *_SOURCES})
            if not is_whole or sum(e.file_size for e in file.infolist()) > _MOST_BYTES:
                held = ", ".join(sorted(names)) or "nothing"
                raise ExportError(f"{path} is no zip of generated C: it holds {held}")
            for name in names:
                (folder / name).write_bytes(file.read(name))
    except _DAMAGE as error:
        raise ExportError(f"{path} is no zip of generated C, or damaged: {error}") from error
    if FLOAT in names:
        return None
    made = Limits.of((folder / LIMITS).read_bytes()).generate(folder / MODEL)
    texts = {"model.h": made.header, "model.c": made.source}
    for name, text in texts.items():
        if (folder / name).read_bytes() != text.encode():
            raise ExportError(
                f"{path}: its {name} is not what its {MODEL} is turned into here; somebody changed "
                "it, or another version made it: export it again"
            )
    return facts_of(made)
