"""`lilliput export`: one recipe by hand, as a file for a target."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lilliput.cli.options import Data, Json, ModelFile, Out, Strict
from lilliput.cli.output import answering, say

if TYPE_CHECKING:
    import torch

    import lilliput.core
    from lilliput.export import Parity

__all__ = ["export"]


def export(  # noqa: PLR0913, PLR0917
    model_file: ModelFile,
    target: Annotated[
        str, typer.Option("--target", "-t", metavar="NAME", help="Where it is to run.")
    ] = "onnxruntime-cpu",
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="TOML of passes to apply, or the name of a recipe that is shipped; without it "
            "the model as it is.",
        ),
    ] = None,
    data: Data = None,
    out: Out = None,
    seed: Annotated[int, typer.Option(help="Of training.")] = 0,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Apply a recipe, write the file for a target (into out/), and compare it with the network."""
    with answering(as_json) as answer:
        import torch

        from lilliput.cli.model_file import load_both, load_model
        from lilliput.core.amounts import bytes_text
        from lilliput.core.check import check_inputs
        from lilliput.core.data import set_data_dir
        from lilliput.export import export as write
        from lilliput.recipe import text_of
        from lilliput.targets import get_target

        set_data_dir(data)
        place = get_target(target)
        text = "" if recipe is None else text_of(recipe)
        torch.manual_seed(seed)
        folder = out or Path("out")
        begun = folder / f"begun-{seed}"
        if recipe is None:
            model, inputs = load_model(model_file), None
        else:
            model, task = load_both(model_file)
            check_inputs(model, task, "train")
            model = _applied(text, model, task, place, begun)
            inputs = next(task.calibration(16))
        artifact = write(model, place, folder, strict=strict)
        shutil.rmtree(begun, ignore_errors=True)  # there is none where nothing trained
        found, why = _compared(model, artifact, inputs or model.example_inputs, place)
        value = {
            "path": str(artifact.path),
            "format": artifact.format,
            "size_bytes": artifact.size_bytes,
            "sha256": artifact.sha256,
            "parity": found.difference if found else None,
            "passes": [step.name for step in artifact.history],
            "weights": artifact.weights,
            "notes": [note.text for note in artifact.notes],
        }
        answer.give(
            value,
            str(artifact.path),
            f"{bytes_text(float(artifact.size_bytes))}; {_agreement(found, why)}",
            *([f"weights: {artifact.weights}"] if artifact.weights else []),
        )
        for note in artifact.notes:
            say(f"note: {note}")
        if found and not found.is_close:
            say(f"from layer {found.culprit or 'unknown'} on the file says something else")


def _compared(
    model: "lilliput.core.Model",
    artifact: "lilliput.core.Artifact",
    inputs: "tuple[torch.Tensor, ...]",
    target: "lilliput.core.Target",
) -> "tuple[Parity | None, str]":
    """How the file agrees with the network, or why nothing here can say it."""
    from lilliput.core import MissingExtraError
    from lilliput.export import parity
    from lilliput.targets.host import runs_here

    if not runs_here(target):
        return None, "nothing here runs it"
    try:
        return parity(model, artifact, inputs), ""
    except MissingExtraError as error:  # some formats are written without what runs them
        return None, str(error)


def _agreement(found: "Parity | None", why: str) -> str:
    if found is None:
        return f"not compared with the network: {why}"
    return f"differs from the network by {found.difference:.2g} of its output's range"


def _applied(
    text: str,
    model: "lilliput.core.Model",
    task: "lilliput.core.Task",
    target: "lilliput.core.Target",
    begun: Path,
) -> "lilliput.core.Model":
    """The model after the recipe's passes; the original is the teacher.

    Training that was stopped goes on where the same command is given again.
    """
    from lilliput.core import run
    from lilliput.recipe import read, resumable

    small = run(model, resumable(read(text, task, target, teacher=model), begun))
    for step in small.history:
        say(f"{step.name}: {step.seconds:.1f} s")
    return small
