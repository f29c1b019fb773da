"""An `.mlpackage`, which is a folder, as one file: a zip that holds it, uncompressed.

One file is written whole or not at all, has a size and a digest, and lies in a registry as every
other does. The same content gives the same bytes: the zip's times and the manifest's identifiers
are fixed.

Source: the manifest is that of coremltools 9.0 (`libmodelpackage`), format version 1.0.0.
"""

import io
import json
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lilliput.core import ExportError
from lilliput.export.coreml.converter import import_converter

__all__ = ["FOLDER", "Package", "read", "unpack", "write"]

FOLDER = "model.mlpackage"
_DATA = "Data"
_MODEL = "com.apple.CoreML/model.mlmodel"
_WEIGHTS = "com.apple.CoreML/weights"
_BLOB = f"{_WEIGHTS}/weight.bin"
_MANIFEST = "Manifest.json"
_TIME = (1980, 1, 1, 0, 0, 0)
_UNIX, _MODE = 3, 0o644 << 16
_MOST_BYTES = 1 << 34


@dataclass(frozen=True, eq=False)
class Package:
    """What a package holds.

    Args:
        spec: The program, a `Model` of Core ML's protocol buffers.
        blob: The weights that the program points into; empty where there are none.
    """

    spec: Any
    blob: bytes


def write(package: Package) -> bytes:
    """The bytes of the zip."""
    files = {
        _MANIFEST: _manifest(),
        f"{_DATA}/{_MODEL}": package.spec.SerializeToString(deterministic=True),
        f"{_DATA}/{_BLOB}": package.blob,
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
        for name, content in files.items():
            entry = zipfile.ZipInfo(f"{FOLDER}/{name}", _TIME)
            entry.create_system, entry.external_attr = _UNIX, _MODE
            file.writestr(entry, content)
    return buffer.getvalue()


def _manifest() -> bytes:
    items = {
        _identifier(path): {
            "author": "com.apple.CoreML",
            "description": description,
            "name": path.rpartition("/")[2],
            "path": path,
        }
        for path, description in (
            (_MODEL, "CoreML Model Specification"),
            (_WEIGHTS, "CoreML Model Weights"),
        )
    }
    manifest = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": items,
        "rootModelIdentifier": _identifier(_MODEL),
    }
    return json.dumps(manifest, indent=1).encode()


def _identifier(path: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, path)).upper()


def read(path: Path) -> Package:
    """Reads a file that `write` made.

    Raises:
        ExportError: It is missing, truncated or something else.
        MissingExtraError: coremltools is not installed.
    """
    import_converter()
    from coremltools.proto import Model_pb2
    from google.protobuf.message import DecodeError

    spec = Model_pb2.Model()
    try:
        with zipfile.ZipFile(path) as file:
            _check(path, file)
            spec.ParseFromString(file.read(f"{FOLDER}/{_DATA}/{_MODEL}"))
            blob = file.read(f"{FOLDER}/{_DATA}/{_BLOB}")
    except (OSError, KeyError, zipfile.BadZipFile, DecodeError) as error:
        raise ExportError(f"{path} is no zipped Core ML package: {error}") from error
    if spec.WhichOneof("Type") != "mlProgram":
        raise ExportError(f"{path} holds no ML program")
    return Package(spec, blob)


def unpack(path: Path, folder: Path) -> Path:
    """Makes the package's folder inside another, for Core ML itself to load; gives its path.

    Raises:
        ExportError: The file is missing, truncated or something else.
    """
    try:
        with zipfile.ZipFile(path) as file:
            _check(path, file)
            file.extractall(folder)
    except (OSError, zipfile.BadZipFile) as error:
        raise ExportError(f"{path} is no zipped Core ML package: {error}") from error
    return folder / FOLDER


def _check(path: Path, file: zipfile.ZipFile) -> None:
    """Only what a package holds, and no larger than the file: `write` compresses nothing."""
    size = min(path.stat().st_size, _MOST_BYTES)
    for entry in file.infolist():
        if entry.file_size > size or not entry.filename.startswith(f"{FOLDER}/"):
            raise ExportError(f"{path} is no zipped Core ML package: it holds {entry.filename!r}")
