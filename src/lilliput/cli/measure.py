"""`lilliput measure`: one file, in its own runtime, with the task's data and metric."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lilliput.cli.options import Data, Json, Split
from lilliput.cli.output import answering
from lilliput.cli.values import parse_seconds

if TYPE_CHECKING:
    import lilliput.core
    import lilliput.report.numbers

__all__ = ["measure"]


def measure(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A model file that export wrote.")],
    task: Annotated[
        str, typer.Option(metavar="FILE.py[:NAME]", help="Python file with task().")
    ],
    target: Annotated[
        str, typer.Option("--target", "-t", metavar="NAME", help="Where to run it.")
    ] = "onnxruntime-cpu",
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

        import lilliput
        from lilliput.cli.model_file import load_task
        from lilliput.cli.tables import measurements_table
        from lilliput.core.data import set_data_dir

        set_data_dir(data)
        place = lilliput.get_target(target)
        artifact = _artifact(file, place)
        original = _artifact(reference, place) if reference else None
        loaded = load_task(task)
        found = lilliput.measure(
            artifact,
            place,
            loaded,
            reference=lilliput.Reference(original, None) if original else None,
            split=split,
            time_limit_s=seconds,
        )
        style = _style(found, loaded)
        answer.give(
            [asdict(measurement) for measurement in found],
            measurements_table(found, style, answer.console().width),
        )


def _artifact(path: Path, target: "lilliput.core.Target") -> "lilliput.core.Artifact":
    """An existing file, taken to be of the target's format.

    Raises:
        MeasureError: There is no such file.
    """
    from lilliput.core import Artifact, MeasureError

    if not path.is_file():
        raise MeasureError(f"there is no file {path}")
    return Artifact.of(path, target.format)


def _style(
    found: "tuple[lilliput.core.Measurement, ...]", task: "lilliput.core.Task"
) -> "lilliput.report.numbers.MetricStyle":
    """Percent where the metric lies between 0 and 1."""
    from lilliput.report.numbers import MetricStyle

    metrics = [m.value for m in found if m.quantity in {"metric", "test_metric"}]
    is_share = task.higher_is_better and bool(metrics) and all(0 <= m <= 1 for m in metrics)
    return MetricStyle(type(task.metric).__name__, is_share, task.higher_is_better)
