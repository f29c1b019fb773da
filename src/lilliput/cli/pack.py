"""`lilliput pack`: a finished file, packed without loss."""

from pathlib import Path
from typing import Annotated

import typer

from lilliput.cli.options import Json, Out
from lilliput.cli.output import answering

__all__ = ["pack"]


def pack(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A .tflite, .onnx, .safetensors or any other file."),
    ],
    out: Out = None,
    smallest: Annotated[
        bool,
        typer.Option("--max", help="Take long for the fewest bytes; unpacking is slower too."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Pack a file so that unpack gives back the same bytes (into FILE.lil)."""
    with answering(as_json) as answer:
        from lilliput.core.amounts import bytes_text, short
        from lilliput.pack import pack as run

        packed = run(file, out, smallest=smallest)
        before, after = file.stat().st_size, packed.path.stat().st_size
        arrays = sum(entry.name != "structure" for entry in packed.contents.entries)
        value = {
            "path": str(packed.path),
            "size_bytes": after,
            "unpacked_bytes": before,
            "ratio": before / after,
            "arrays": arrays,
        }
        answer.give(
            value,
            str(packed.path),
            f"{bytes_text(before)} became {bytes_text(after)}, {short(before / after)} times "
            f"smaller; {arrays} arrays were coded as what they are",
        )
