"""C sources for microcontrollers and any other processor; needs the extra `litert`."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from lilliput.core import Model, Target, UnsupportedError
from lilliput.export.c import package
from lilliput.export.c.predictor import CPredictor, compiled
from lilliput.export.format import Array, Predictor, write_bytes
from lilliput.export.litert.format import LitertPredictor, encode
from lilliput.export.lower import is_quantized

__all__ = ["CSource"]

_BESIDE_ARENA = 512
"""Bytes of RAM for the stack, small variables and a few scores; 340 to 440 were measured."""


@dataclass(frozen=True)
class CSource:
    """A zip of `model.h`, `model.c`, `test_model.c` and the int8 `.tflite` that they compute.

    There is C only for int8 throughout. A network that is not quantized, the original of a search
    for instance, is kept as a float `.tflite`, which LiteRT runs. Weights are packed where that
    saves flash.
    """

    suffix: str = ".c.zip"

    def write(self, model: Model, path: Path, target: Target | None, /) -> None:
        """Converts to LiteRT, and from there to C, for as much RAM as the target has."""
        content = encode(model, target.rules if target else None)
        if not is_quantized(model):
            write_bytes(path, package.write({package.FLOAT: content}))
            return
        limits = _limits(target)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / package.MODEL
            file.write_bytes(content)
            made = limits.generate(file)
            sources = {p.name: p.read_bytes() for p in made.write(Path(folder) / "c")}
        files = {**sources, package.MODEL: content, package.LIMITS: limits.text.encode()}
        write_bytes(path, package.write(files))

    def load(self, path: Path, threads: int, /) -> Predictor:
        """Compiles the C for this machine."""
        with tempfile.TemporaryDirectory() as folder:
            facts = package.read(path, Path(folder))
            if facts is None:
                return LitertPredictor(Path(folder) / package.FLOAT, threads)
            return CPredictor(compiled(Path(folder)), facts)

    def intermediates(self, path: Path, _inputs: tuple[Array, ...], /) -> list[Array]:
        """C shows nothing of what lies between its ends."""
        raise UnsupportedError(
            f"{path} is C, which shows no activations; its integers are those of its .tflite file"
        )


def _limits(target: Target | None) -> package.Limits:
    """What the target has room for."""
    if target is None or target.ram_bytes is None:
        return package.Limits(packs_weights=True)
    return package.Limits(max(0, target.ram_bytes - _BESIDE_ARENA), packs_weights=True)
