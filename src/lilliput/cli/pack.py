"""`lilliput pack`: a finished file without loss, or a network with its weights rounded for it."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lilliput.cli.options import Data, Json, MaxDrop, MaxSize, Out
from lilliput.cli.output import Answer, answering
from lilliput.cli.values import parse_share

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    import lilliput.core

__all__ = ["pack"]

_FIELDS = {"--max-kl": "max_distance", "--max-drop": "max_drop", "--max-size": "max_bytes"}
"""Of `QuantizeCoded`, by option."""
_TRIES = 6
"""Files that are made to keep a size."""


def pack(  # noqa: PLR0913, PLR0917
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A .tflite, .onnx, .safetensors or any other file; or FILE.py[:NAME] with "
            "model() and task(), and one of the limits.",
        ),
    ],
    data: Data = None,
    max_kl: Annotated[
        float | None,
        typer.Option(
            metavar="NATS",
            help="How far outputs may move: KL divergence of class scores, or the squared error "
            "of other outputs as a share of their square.",
            rich_help_panel="Limits",
        ),
    ] = None,
    max_drop: MaxDrop = None,
    max_size: MaxSize = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="TOML of passes to apply instead of a limit, or the name of a recipe that is "
            "shipped: deep-compression, coded-training.",
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Examples to look at, without labels.")] = 200,
    out: Out = None,
    smallest: Annotated[
        bool,
        typer.Option("--max", help="Take long for the fewest bytes; unpacking is slower too."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Pack a file so that unpack gives back the same bytes, or a network (into FILE.lil)."""
    drop = None if max_drop is None else parse_share(max_drop)
    with answering(as_json) as answer:
        from lilliput.core import LilliputError
        from lilliput.core.data import set_data_dir

        set_data_dir(data)
        limits = {"--max-kl": max_kl, "--max-drop": drop, "--max-size": max_size}
        given = {flag: value for flag, value in limits.items() if value is not None}
        ways = [*given, *(["--recipe"] if recipe is not None else [])]
        if not file.partition(":")[0].endswith(".py"):
            if ways:
                raise LilliputError(
                    f"{file} is packed without loss, so it takes no {ways[0]}; give a FILE.py with "
                    "model() and task() to have its weights rounded"
                )
            _pack_file(Path(file), out, smallest, answer)
            return
        if len(ways) != 1:
            raise LilliputError(
                f"give one of {', '.join(limits)} and --recipe; got {', '.join(ways) or 'none'}"
            )
        if recipe is not None:
            _pack_network(file, partial(_recipe_packed, recipe, smallest), out, answer)
            return
        ((flag, limit),) = given.items()
        if not limit > 0:
            raise LilliputError(f"{flag} must be more than 0, got {limit}")
        most = {_FIELDS[flag]: int(limit) if flag == "--max-size" else limit}
        _pack_network(file, partial(_rounded_and_packed, most, samples, smallest), out, answer)


def _pack_file(file: Path, out: Path | None, smallest: bool, answer: Answer) -> None:
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


def _pack_network(
    file: str,
    make: "Callable[[lilliput.core.Model, lilliput.core.Task, Path], lilliput.core.Model]",
    out: Path | None,
    answer: Answer,
) -> None:
    from lilliput.cli.model_file import load_both, name_of
    from lilliput.core import LilliputError
    from lilliput.core.amounts import bytes_text, short
    from lilliput.core.check import check_task
    from lilliput.pack.file import check_apart

    model, task = load_both(file)
    check_task(model, task)
    path = out or Path(f"{name_of(file)}.lil")
    if not path.absolute().parent.is_dir():
        raise LilliputError(f"cannot write {path}: there is no folder {path.absolute().parent}")
    check_apart(path, Path(file.partition(":")[0]))
    small = make(model, task, path)
    parts = {x.data_ptr(): x.numel() * x.element_size() for x in model.module.state_dict().values()}
    before, after = sum(parts.values()), path.stat().st_size
    scores = [task.score(one.module.eval()) for one in (model, small)]
    notes = [note.text for note in small.notes]
    value = {
        "path": str(path),
        "size_bytes": after,
        "unpacked_bytes": before,
        "ratio": before / after,
        "metric": {"float": scores[0], "packed": scores[1]},
        "notes": notes,
    }
    told = f"{bytes_text(before)} became {bytes_text(after)}, {short(before / after)} times smaller"
    name = type(task.metric).__name__
    score = f"{name} on validation: {scores[1]:.4g}, of the float network {scores[0]:.4g}"
    answer.give(value, str(path), told, score, *notes)


def _recipe_packed(
    recipe: str,
    smallest: bool,
    model: "lilliput.core.Model",
    task: "lilliput.core.Task",
    path: Path,
) -> "lilliput.core.Model":
    """Applies a recipe, the network being the teacher, and writes what comes out.

    Training that was stopped goes on where the same command is given again.
    """
    from lilliput.core import run
    from lilliput.pack import pack_model
    from lilliput.recipe import read, resumable, text_of

    begun = path.with_name(f"{path.name}.begun")
    passes = resumable(read(text_of(recipe), task, teacher=model), begun)
    small = run(model, passes)
    state, small = _for_class(small, model)
    pack_model(state, path, smallest=smallest)
    shutil.rmtree(begun, ignore_errors=True)  # there is none where nothing trained
    return small


def _rounded_and_packed(  # noqa: PLR0913, PLR0917
    limits: dict[str, float],
    samples: int,
    smallest: bool,
    model: "lilliput.core.Model",
    task: "lilliput.core.Task",
    path: Path,
) -> "lilliput.core.Model":
    """Writes the file, and gives the network that is in it.

    Raises:
        BudgetError: The file is larger than it may be, whatever the steps.
    """
    from lilliput.core import BudgetError, run
    from lilliput.core.amounts import bytes_text
    from lilliput.core.disk import replacing
    from lilliput.pack import pack_model
    from lilliput.quantize import QuantizeCoded

    most = limits.get("max_bytes")
    sizes: list[int] = []
    with replacing(path) as part:  # what was there stays unless a file keeps the limit
        for _ in range(_TRIES):
            pass_ = QuantizeCoded(task, samples=samples, **limits)  # type: ignore[arg-type]
            try:
                small = run(model, [pass_])
            except BudgetError:
                if not sizes:
                    raise
                break
            state, small = _for_class(small, model)
            sizes.append(pack_model(state, part, smallest=smallest).path.stat().st_size)
            if most is None or sizes[-1] <= most:
                return small
            # the entropy said less than the coder and the header need, as it may in small networks
            limits = {"max_bytes": max(1, int(limits["max_bytes"]) - (sizes[-1] - int(most)))}
        raise BudgetError(
            f"no file of at most {bytes_text(most or 0)} was found; the smallest had "
            f"{bytes_text(min(sizes))}, so allow that much"
        )


def _for_class(
    small: "lilliput.core.Model", model: "lilliput.core.Model"
) -> "tuple[Mapping[str, Tensor], lilliput.core.Model]":
    """The state that the network's own class opens, or the folded; and the plain network."""
    from lilliput.core import Note, UnsupportedError
    from lilliput.graph import unfolded_state
    from lilliput.quantize.plain import plain_copy_of

    small = plain_copy_of(small)
    found = small.module.state_dict()
    if found.keys() == model.module.state_dict().keys():
        return found, small
    try:
        return unfolded_state(small, model), small
    except UnsupportedError as error:
        note = Note(f"BatchNorm is folded in the file: {error}", is_fallback=False)
        return found, replace(small, notes=(*small.notes, note))
