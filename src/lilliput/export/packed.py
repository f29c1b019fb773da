"""A packed ONNX file: small to download, unpacked where it runs, and run by ONNX Runtime."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lilliput.core import ExportError, Model, PackError, Target
from lilliput.export.format import Array, Predictor
from lilliput.export.onnx.format import Onnx, encode
from lilliput.pack import Packed, SourceFile, pack_bytes, unpack

__all__ = ["PackedOnnx", "unpacked_bytes"]

_NAME = "model.onnx"
"""What the file is called where it is unpacked."""
_ONNX = Onnx()


@dataclass(frozen=True)
class PackedOnnx:
    """`.lil` files that hold an `.onnx` file without loss.

    Its size is what is downloaded. A device keeps the file that it unpacks to, and opens that.
    """

    suffix: str = ".lil"

    def write(self, model: Model, path: Path, target: Target | None, /) -> None:  # noqa: ARG002
        """Writes ONNX, and packs it."""
        content = encode(model)
        try:
            pack_bytes(content, _NAME, path)
        except PackError as error:
            raise ExportError(str(error)) from error

    def load(self, path: Path, threads: int, /) -> Predictor:
        """Unpacks the file and opens a session of ONNX Runtime."""
        with _unpacked(path) as file:
            return _ONNX.load(file, threads)

    def intermediates(self, path: Path, inputs: tuple[Array, ...], /) -> list[Array]:
        """Those of the file that it unpacks to."""
        with _unpacked(path) as file:
            return _ONNX.intermediates(file, inputs)


def unpacked_bytes(path: Path) -> int:
    """How large the file is that a packed one becomes.

    Raises:
        ExportError: It is no packed ONNX file, or its header is damaged.
    """
    with _told(path):
        _, source = _opened(path)
    return source.size


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """The ONNX file, in a folder that is gone afterwards."""
    with _told(path), tempfile.TemporaryDirectory() as folder:
        packed, _ = _opened(path)
        yield unpack(packed, Path(folder) / _NAME)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Names the packed file in what is raised, for nobody knows the one that it becomes."""
    try:
        yield
    except (PackError, ExportError) as error:
        raise ExportError(f"{path} is no packed ONNX file that runs: {error}") from error


def _opened(path: Path) -> tuple[Packed, SourceFile]:
    """The header, once it says that an ONNX file follows."""
    packed = Packed.open(path)
    source = packed.contents.source
    if source is None:
        raise PackError(
            "it holds the tensors of a model, which lilliput.load_packed opens; lilliput export "
            "--target download packs a whole file"
        )
    if Path(source.name).suffix != _ONNX.suffix:
        raise PackError(
            f"it holds {source.name!r}; give that back with lilliput unpack, and run it by itself"
        )
    return packed, source
