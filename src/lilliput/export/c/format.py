"""C sources for microcontrollers and any other processor; needs the extra `litert`."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from lilliput.core import Model, QuantizationRules, UnsupportedError
from lilliput.export.c import package
from lilliput.export.c.generate import generate
from lilliput.export.c.predictor import CPredictor, compiled
from lilliput.export.format import Array, Predictor, write_bytes
from lilliput.export.litert.format import LitertPredictor, encode
from lilliput.export.lower import is_quantized

__all__ = ["CSource"]


@dataclass(frozen=True)
class CSource:
    """A zip of `model.h`, `model.c`, `test_model.c` and the int8 `.tflite` that they compute.

    There is C only for int8 throughout. A network that is not quantized, the original of a search
    for instance, is kept as a float `.tflite`, which LiteRT runs. Weights are packed where that
    saves flash.
    """

    suffix: str = ".c.zip"

    def write(self, model: Model, path: Path, rules: QuantizationRules | None, /) -> None:
        """Converts to LiteRT, and from there to C."""
        content = encode(model, rules)
        if not is_quantized(model):
            write_bytes(path, package.write({package.FLOAT: content}))
            return
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / package.MODEL
            file.write_bytes(content)
            made = generate(file, packs_weights=True)
            sources = {p.name: p.read_bytes() for p in made.write(Path(folder) / "c")}
        write_bytes(path, package.write({**sources, package.MODEL: content}))

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
