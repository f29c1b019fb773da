"""`lilliput diagnose`: which layers quantization costs accuracy at, and what helps."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lilliput.cli.options import Data, Json, MaxDrop, ModelFile, Out
from lilliput.cli.output import Answer, answering, say
from lilliput.cli.values import parse_share

if TYPE_CHECKING:
    import lilliput.search.clinic.diagnosis

__all__ = ["diagnose"]


def diagnose(  # noqa: PLR0913, PLR0917
    model_file: ModelFile,
    data: Data = None,
    target: Annotated[
        str, typer.Option("--target", "-t", metavar="NAME", help="Where it is to run.")
    ] = "onnxruntime-cpu",
    max_drop: MaxDrop = None,
    bits: Annotated[int, typer.Option(help="Of weights in the file.")] = 8,
    samples: Annotated[
        int, typer.Option(min=1, help="Validation examples that the simulation looks at.")
    ] = 128,
    epochs: Annotated[
        int, typer.Option(min=0, help="Of training, the last remedy; 0 for none.")
    ] = 0,
    layer: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Look at these only; * is anything; may be repeated."),
    ] = None,
    out: Out = None,
    seed: Annotated[int, typer.Option(help="Of training.")] = 0,
    as_json: Json = False,
) -> None:
    """Name the layers that quantization costs accuracy at, and try what helps, in order.

    Ends where the drop is at most --max-drop. Every variant is exported, measured and kept in the
    run (runs/NAME by default), which list, show and report read.
    """
    if max_drop is None:
        raise typer.BadParameter("diagnose needs --max-drop, how much worse the metric may get: 1%")
    limit = parse_share(max_drop)
    with answering(as_json) as answer:
        from lilliput.cli.model_file import load_both, name_of
        from lilliput.core import Budget
        from lilliput.core.check import check_task
        from lilliput.core.data import set_data_dir
        from lilliput.diagnose import diagnose as examine
        from lilliput.targets import get_target

        set_data_dir(data)
        get_target(target)
        model, task = load_both(model_file)
        if "%" in max_drop:
            from lilliput.cli.share import check_is_share

            check_task(model, task)
            check_is_share(model, task, max_drop)
        folder = out or Path("runs") / name_of(model_file)
        found = examine(
            model,
            task,
            target,
            Budget(max_drop=limit),
            out=folder,
            bits=bits,
            samples=samples,
            epochs=epochs,
            only=tuple(layer or ("*",)),
            seed=seed,
            tell=say,
        )
        _answer(answer, found, folder)


def _answer(
    answer: Answer, found: "lilliput.search.clinic.diagnosis.Diagnosis", folder: Path
) -> None:
    """Writes the report, and gives both tables and the outcome."""
    from lilliput.cli.diagnosis import culprits_table, remedies_table
    from lilliput.cli.run_folder import open_run
    from lilliput.report import report
    from lilliput.report.facts import style_of
    from lilliput.report.remedies import outcome

    family = open_run(folder)
    page = report(family, folder / "report.html")
    width, style = answer.console().width, style_of(family)
    known = found.as_dict()
    answer.give(
        {**known, "report": str(page)},
        culprits_table(known, style, width),
        f"simulated in PyTorch on {found.samples} validation examples",
        "",
        remedies_table(known, style, width),
        "measured in the exported files on all validation data",
        "",
        outcome(known, style),
        f"report: {page}",
    )
