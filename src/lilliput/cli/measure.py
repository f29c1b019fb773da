"""`lilliput measure`: one file, in its own runtime, with the task's data and metric."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from lilliput.cli.options import Data, Json, Split
from lilliput.cli.output import answering
from lilliput.cli.values import parse_seconds

if TYPE_CHECKING:
    import lilliput.core

__all__ = ["measure"]


def measure(  # noqa: PLR0913, PLR0917
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A model file that export wrote.")],
    task: Annotated[str, typer.Option(metavar="FILE.py[:NAME]", help="Python file with task().")],
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            metavar="NAME",
            help="Where to run it; by default the first target that runs such files.",
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The original in the same format, to compare with."),
    ] = None,
    split: Split = "validation",
    time_limit: Annotated[
        str, typer.Option(metavar="TIME", help="A runtime that takes longer is stopped.")
    ] = "10m",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Measure a file: metric, size, latency, peak RAM; with --reference the drop and ratios."""
    seconds = parse_seconds(time_limit)
    if split not in {"validation", "test"}:
        raise typer.BadParameter(f"--split must be validation or test, got {split!r}")
    with answering(as_json) as answer:
        from dataclasses import asdict

        from lilliput.cli.model_file import load_task
        from lilliput.cli.tables import measurements_table
        from lilliput.core.data import set_data_dir
        from lilliput.measure import Reference, measure as run
        from lilliput.report.numbers import MetricStyle
        from lilliput.targets import get_target
        from lilliput.targets.host import check_host

        set_data_dir(data)
        place = get_target(target or _first_target_of(file))
        check_host(place)
        artifact = _artifact(file, place)
        original = _artifact(reference, place) if reference else None
        loaded = load_task(task)
        found = run(
            artifact,
            place,
            loaded,
            reference=Reference(original, None) if original else None,
            split=cast("lilliput.core.Split", split),
            time_limit_s=seconds,
        )
        metrics = [m.value for m in found if m.quantity in {"metric", "test_metric"}]
        style = MetricStyle.of(type(loaded.metric).__name__, metrics, loaded.higher_is_better)
        answer.give(
            [asdict(measurement) for measurement in found],
            measurements_table(found, style, answer.console().width),
        )


def _first_target_of(path: Path) -> str:
    """The first that runs files of such a name; where none does, the first of all."""
    from lilliput.export import FORMATS
    from lilliput.targets import get_target, target_names

    names = target_names()
    ends = {name: FORMATS[get_target(name).format].suffix for name in names}
    return next((name for name in names if path.name.endswith(ends[name])), names[0])


def _artifact(path: Path, target: "lilliput.core.Target") -> "lilliput.core.Artifact":
    """An existing file, taken to be of the target's format.

    Raises:
        MeasureError: There is no such file, or its name says another format.
    """
    from lilliput.core import Artifact, MeasureError
    from lilliput.export import FORMATS

    if not path.is_file():
        raise MeasureError(f"there is no file {path}")
    suffix = FORMATS[target.format].suffix
    if not path.name.endswith(suffix):
        raise MeasureError(
            f"{target.name!r} runs {suffix} files, {path.name} is none; choose another --target"
        )
    return Artifact.of(path, target.format)
