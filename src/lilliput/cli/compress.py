"""`lilliput compress`: a trained model goes in, a measured family of files comes out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lilliput.cli.options import (
    Data,
    Json,
    MaxDrop,
    MaxFlash,
    MaxInstructions,
    MaxLatency,
    MaxRam,
    MaxSize,
    ModelFile,
    Out,
    Strict,
    Targets,
)
from lilliput.cli.output import Answer, answering, say
from lilliput.cli.values import parse_seconds, parse_share

if TYPE_CHECKING:
    import lilliput.registry

__all__ = ["compress"]


def compress(  # noqa: PLR0913, PLR0917
    model_file: ModelFile,
    data: Data = None,
    target: Targets = None,
    max_drop: MaxDrop = None,
    max_size: MaxSize = None,
    max_latency: MaxLatency = None,
    max_ram: MaxRam = None,
    max_flash: MaxFlash = None,
    max_instructions: MaxInstructions = None,
    time_budget: Annotated[
        str, typer.Option(metavar="TIME", help="For the whole run, e.g. 30m or 1h30m.")
    ] = "30m",
    out: Out = None,
    seed: Annotated[int, typer.Option(help="Of training and of the search.")] = 0,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Make smaller and faster variants, each exported and measured (into runs/NAME by default).

    Started again with the same --out, a run goes on where it was. Ctrl-C keeps what was found.
    """
    seconds = parse_seconds(time_budget)
    limit = None if max_drop is None else parse_share(max_drop)
    with answering(as_json) as answer:
        from lilliput.cli.model_file import load_both, name_of
        from lilliput.cli.run_folder import make_budget
        from lilliput.cli.share import check_is_share
        from lilliput.compress import compress as search
        from lilliput.core.check import check_task
        from lilliput.core.data import set_data_dir
        from lilliput.targets import get_target

        set_data_dir(data)
        targets = tuple(dict.fromkeys(target or ["onnxruntime-cpu"]))
        for name in targets:
            get_target(name)
        model, task = load_both(model_file)
        if max_drop is not None and "%" in max_drop:
            check_task(model, task)
            check_is_share(model, task, max_drop)
        folder = out or Path("runs") / name_of(model_file)
        family = search(
            model,
            task,
            make_budget(limit, max_size, max_latency, max_ram, max_flash, max_instructions),
            targets=targets,
            out=folder,
            time_budget_s=seconds,
            seed=seed,
            tell=say,
            strict=strict,
        )
        _answer(answer, family, folder)
    if family.notes.get("was_stopped"):
        again = f"run the same command again to go on from the {len(family.variants)} variants"
        say(f"{again} kept in {folder}")
        raise typer.Exit(130)


def _answer(answer: Answer, family: "lilliput.registry.Family", folder: Path) -> None:
    """Writes the report, and gives the table and what the best variants buy."""
    from lilliput.cli.tables import variants_table
    from lilliput.report import as_dict, report
    from lilliput.report.headline import headlines

    page = report(family, folder / "report.html")
    answer.give(
        as_dict(family),
        variants_table(family, family.variants, answer.console().width),
        "",
        *(f"{target}: {sentence}" for target, sentence in headlines(family)),
        f"report: {page}",
    )
