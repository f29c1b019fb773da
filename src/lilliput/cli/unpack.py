"""`lilliput unpack`: the file that was packed, a packed model as safetensors, or a newer file."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lilliput.cli.options import Json, MostBytes, Out, PackedFile
from lilliput.cli.output import answering

__all__ = ["unpack"]


def unpack(
    file: PackedFile,
    base: Annotated[
        Path | None,
        typer.Option(
            metavar="OLD", help="Of an update: the file that it changes, packed or as it was."
        ),
    ] = None,
    out: Out = None,
    most_bytes: MostBytes = None,
    as_json: Json = False,
) -> None:
    """Give back what was packed: the same bytes, or a model's tensors as .safetensors.

    Of an update and the file that it changes, give the new file.
    """
    with answering(as_json) as answer:
        from lilliput.core.amounts import bytes_text

        most = None if most_bytes is None else int(most_bytes)
        kind, written = (
            _unpacked(file, out, most) if base is None else _updated(file, base, out, most)
        )
        size = written.stat().st_size
        answer.give(
            {"path": str(written), "kind": kind, "size_bytes": size},
            str(written),
            bytes_text(size),
        )


def _unpacked(file: Path, out: Path | None, most_bytes: int | None) -> tuple[str, Path]:
    from lilliput.pack import Packed, unpack as run, unpack_model

    packed = Packed.open(file, most_bytes)
    give: Any = run if packed.contents.kind == "file" else unpack_model
    return packed.contents.kind, give(packed, out)


def _updated(file: Path, base: Path, out: Path | None, most_bytes: int | None) -> tuple[str, Path]:
    from lilliput.pack import apply_delta

    return "update", apply_delta(base, file, out, most_bytes)
