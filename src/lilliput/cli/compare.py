"""`lilliput compare`: is pruning worth it, or is a small network as good that was trained anew?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lilliput.cli.options import Data, Json, ModelFile, Out
from lilliput.cli.output import Answer, answering, say

if TYPE_CHECKING:
    import lilliput.core
    import lilliput.search.contest.comparison

__all__ = ["compare"]

_RATIO = 0.5
Rate = typer.Option(metavar="RATE", help="Learning rate; by default what suits the network.")


def compare(  # noqa: PLR0913, PLR0917
    model_file: ModelFile,
    data: Data = None,
    ratio: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help=f"Of every layer's channels to prune; {_RATIO} without a recipe."
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(metavar="FILE", help="TOML of passes that prune, instead.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Of training the pruned network.")] = 10,
    original_epochs: Annotated[
        int | None,
        typer.Option(min=1, help="How many the original was trained for; --epochs if not known."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=2, help="How often each arm is trained.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="The first of the seeds.")] = 0,
    target: Annotated[
        str, typer.Option("--target", "-t", metavar="NAME", help="Where it is to run.")
    ] = "onnxruntime-cpu",
    teacher: Annotated[
        bool, typer.Option(help="Every arm imitates the original; or else none does.")
    ] = True,
    fine_tune_rate: Annotated[float | None, Rate] = None,
    scratch_rate: Annotated[float | None, Rate] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Compare a pruned network with networks of its size that are trained anew.

    Four arms, each trained with several seeds, exported and measured: pruned and fine-tuned; its
    architecture drawn anew, with as many epochs; with as much compute; the plain network, narrower.
    Started again with the same --out (runs/NAME-compare by default), it goes on where it was.
    """
    with answering(as_json) as answer:
        from lilliput.cli.model_file import load_both, name_of
        from lilliput.compare import compare as contest
        from lilliput.core.data import set_data_dir
        from lilliput.targets import get_target

        if ratio is not None and recipe is not None:
            raise typer.BadParameter("--ratio and --recipe both say what to prune; give one")
        set_data_dir(data)
        place = get_target(target)
        text = _text(ratio, recipe)
        model, task = load_both(model_file)
        folder = out or Path("runs") / f"{name_of(model_file)}-compare"
        found = contest(
            model,
            task,
            _passes(text, model, task, place),
            place,
            out=folder,
            epochs=epochs,
            original_epochs=original_epochs,
            seeds=tuple(range(seed, seed + seeds)),
            with_teacher=teacher,
            fine_tune_rate=fine_tune_rate,
            scratch_rate=scratch_rate,
            tell=say,
        )
        _answer(answer, found, folder)
    if found.was_stopped:
        say(f"run the same command again to go on from the runs kept in {folder}")
        raise typer.Exit(130)


def _text(ratio: float | None, recipe: str | None) -> str:
    """The recipe as text: of a file, or of one ratio.

    Raises:
        RecipeError: There is no such file or recipe.
    """
    from lilliput.recipe import text_of

    if recipe is None:
        return f'[[pass]]\nname = "PruneChannels"\nratio = {_RATIO if ratio is None else ratio}\n'
    return text_of(recipe)


def _passes(
    text: str,
    model: "lilliput.core.Model",
    task: "lilliput.core.Task",
    target: "lilliput.core.Target",
) -> "tuple[lilliput.core.Pass, ...]":
    from lilliput.recipe import read

    return read(text, task, target, teacher=model)


def _answer(
    answer: Answer, found: "lilliput.search.contest.comparison.Comparison", folder: Path
) -> None:
    """Writes the page, and gives the table and the verdict."""
    from lilliput.cli.comparison import arms_table
    from lilliput.report import comparison_page
    from lilliput.report.verdict import style_of_comparison, verdict

    page, style = comparison_page(found, folder / "comparison.html"), style_of_comparison(found)
    for row in found.rows:
        if row.note:
            say(f"{row.arm}: {row.note}")
    for left in found.left_out:
        say(f"{left.arm}: left out, {left.reason}")
    answer.give(
        {**found.as_dict(), "report": str(page)},
        arms_table(found, style, answer.console().width),
        "intervals: 95 %, over seeds; the original's over examples",
        "",
        verdict(found, style),
        f"report: {page}",
    )
