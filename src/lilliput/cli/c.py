"""`lilliput c`: an int8 `.tflite` file as C for a microcontroller."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lilliput.cli.options import Json, MaxFlash, MaxRam, Out
from lilliput.cli.output import answering

if TYPE_CHECKING:
    from lilliput.export.c.stream import Stream

__all__ = ["c"]


def c(  # noqa: PLR0913, PLR0917
    file: Annotated[Path, typer.Argument(metavar="FILE.tflite", help="An int8 LiteRT file.")],
    out: Out = None,
    max_ram: MaxRam = None,
    max_flash: MaxFlash = None,
    vectors: Annotated[
        int, typer.Option(min=0, help="Inputs that test_model.c has LiteRT's answers for.")
    ] = 3,
    argmax: Annotated[
        bool, typer.Option("--argmax", help="Give the class of the largest score, not scores.")
    ] = False,
    pack: Annotated[
        bool,
        typer.Option(
            "--pack", help="Pack weights of few bits or values, or mostly zero: less flash."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Write an int8 .tflite file as C99 without heap or interpreter (into out/)."""
    with answering(as_json) as answer:
        from lilliput.core.amounts import bytes_text
        from lilliput.export.c.generate import generate

        made = generate(file, max_ram, max_flash, gives_largest=argmax, packs_weights=pack)
        written = made.write(out or Path("out"), vectors)
        plan = made.plan
        packed = f", {made.packed_layers} layers packed" if made.packed_layers else ""
        value = {
            "files": [str(path) for path in written],
            "arena_bytes": plan.size,
            "bound_bytes": plan.bound,
            "peak": made.peak,
            "rows_at_once": made.schedule.stream.rows if made.schedule.stream else None,
            "constant_bytes": made.constant_bytes,
            "packed_layers": made.packed_layers,
            "macs": made.macs,
        }
        answer.give(
            value,
            *map(str, written),
            f"arena {bytes_text(plan.size)}, of which {bytes_text(plan.bound)} are needed at once "
            f"by {made.peak}",
            *_told(made.schedule.stream),
            f"constants {bytes_text(made.constant_bytes)}{packed}; {made.macs:,} multiplications a "
            "run",
        )


def _told(stream: "Stream | None") -> list[str]:
    """What a limit to RAM led to."""
    if stream is None:
        return []
    first, last = stream.layers.start, stream.layers.stop - 1
    return [
        f"rows stream through layers {first} to {last}, {stream.rows} of the tallest map at once"
    ]
