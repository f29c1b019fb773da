"""Options that several verbs share, so that each is spelled the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

from lilliput.cli.values import parse_bytes, parse_count, parse_ms

__all__ = [
    "Data",
    "Json",
    "MaxDrop",
    "MaxFlash",
    "MaxInstructions",
    "MaxLatency",
    "MaxRam",
    "MaxSize",
    "ModelFile",
    "MostBytes",
    "Out",
    "PackedFile",
    "RunFolder",
    "Split",
    "Strict",
    "Targets",
]

_LIMITS = "Limits"

ModelFile = Annotated[
    str, typer.Argument(metavar="FILE.py[:NAME]", help="Python file with model() and task().")
]
RunFolder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder that compress wrote.")]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Reaches the model file as lilliput.data_dir()."),
]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout instead of a table.")]
Targets = Annotated[
    list[str] | None,
    typer.Option("--target", "-t", metavar="NAME", help="Where it is to run; may be repeated."),
]
MaxDrop = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE",
        help="How much worse the metric may get: 1% of one between 0 and 1 is 0.01; "
        "a plain number is in the metric's own unit.",
        rich_help_panel=_LIMITS,
    ),
]
MaxSize = Annotated[
    float | None,
    typer.Option(
        parser=parse_bytes,
        metavar="SIZE",
        help="Of the file, e.g. 250kB.",
        rich_help_panel=_LIMITS,
    ),
]
MaxLatency = Annotated[
    float | None,
    typer.Option(
        parser=parse_ms,
        metavar="TIME",
        help="Median for one example, e.g. 2ms.",
        rich_help_panel=_LIMITS,
    ),
]
MaxRam = Annotated[
    float | None,
    typer.Option(
        parser=parse_bytes,
        metavar="SIZE",
        help="Peak of the runtime, e.g. 10MB.",
        rich_help_panel=_LIMITS,
    ),
]
MaxFlash = Annotated[
    float | None,
    typer.Option(
        parser=parse_bytes,
        metavar="SIZE",
        help="Code and weights on a microcontroller, or what a packed file becomes.",
        rich_help_panel=_LIMITS,
    ),
]
MaxInstructions = Annotated[
    float | None,
    typer.Option(
        parser=parse_count,
        metavar="COUNT",
        help="Of one run on a microcontroller, e.g. 5M.",
        rich_help_panel=_LIMITS,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="PATH", help="Where to write.", show_default=False),
]
PackedFile = Annotated[Path, typer.Argument(metavar="FILE.lil", help="A packed file.")]
MostBytes = Annotated[
    float | None,
    typer.Option(
        parser=parse_bytes,
        metavar="SIZE",
        help="Refuse to unpack to more; by default 64 MiB, or 1,000 times the file where that "
        "is more.",
    ),
]
Split = Annotated[
    str,
    typer.Option(metavar="SPLIT", help="Data to score on: validation or test."),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict", help="Refuse what the target does not run as asked for, instead of telling."
    ),
]
