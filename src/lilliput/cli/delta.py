"""`lilliput delta`: what turns a packed file into a newer one."""

from pathlib import Path
from typing import Annotated

import typer

from lilliput.cli.options import Json, Out, PackedFile
from lilliput.cli.output import answering

__all__ = ["delta"]


def delta(
    old: Annotated[Path, typer.Argument(metavar="OLD.lil", help="What is out there.")],
    new: PackedFile,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Write an update from which unpack --base OLD.lil makes the new file.

    It goes beside the new file by default, as NEW.update.lil.
    """
    with answering(as_json) as answer:
        from lilliput.core.amounts import bytes_text, short
        from lilliput.pack import delta as run

        path = run(old, new, out or new.with_suffix(".update.lil"))
        size, whole = path.stat().st_size, new.stat().st_size
        answer.give(
            {"path": str(path), "size_bytes": size, "new_bytes": whole, "share": size / whole},
            str(path),
            f"{bytes_text(size)} instead of {bytes_text(whole)}, {short(100 * size / whole)} %",
        )
