"""Passes as text: a TOML recipe names passes and their settings.

    [[pass]]
    name = "PruneChannels"
    ratio = 0.4
    importance = { name = "Taylor", samples = 512 }

    [[pass]]
    name = "QuantizeStatic"

What a recipe does not say is given when it is read: `task`, `target` and its `rules`, `teacher`.
"""

import hashlib
import inspect
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass, replace
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from lilliput.core import Model, Pass, RecipeError, Target, Task
from lilliput.core.passes import name_of, settings
from lilliput.core.spelling import did_you_mean

__all__ = ["known_passes", "read", "recipe_hash", "resumable", "shipped", "text_of", "write"]

_ROOMS = ("edit", "prune", "train", "quantize", "search")
_GIVEN = ("task", "rules", "target", "teacher")


def known_passes() -> dict[str, Any]:
    """Every pass that a recipe may name."""
    return {name: type_ for name, type_ in _types().items() if hasattr(type_, "stage")}


def shipped() -> dict[str, str]:
    """The recipes that come with Lilliput: their texts by name."""
    folder = files("lilliput") / "recipes"
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".toml")]
    return {entry.name.removesuffix(".toml"): entry.read_text(encoding="utf-8") for entry in found}


def text_of(recipe: str) -> str:
    """A recipe's text.

    Args:
        recipe: A file's path, or the name of one that is shipped.

    Raises:
        RecipeError: There is none of that name, or it cannot be read.
    """
    known = shipped()
    if recipe in known:
        return known[recipe]
    try:
        return Path(recipe).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError(
            f"no file or recipe is called {recipe!r}; {did_you_mean(recipe, known)}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read the recipe {recipe}: {error}") from error


def read(
    text: str, task: Task, target: Target | None = None, teacher: Model | None = None
) -> tuple[Pass, ...]:
    """Builds the passes that a recipe names.

    Args:
        text: TOML with one `[[pass]]` table for each pass.
        task: Given to every pass and option that has a `task` setting.
        target: Given to every pass that has a `target` setting, its rules where there is `rules`.
        teacher: Given to every pass that has a `teacher` setting.

    Raises:
        RecipeError: The text is no TOML, or names a pass or setting that does not exist.
    """
    try:
        entries = tomllib.loads(text).get("pass", [])
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"the recipe is not valid TOML: {error}") from error
    if not isinstance(entries, list):
        raise RecipeError("a recipe is a list of [[pass]] tables, with two brackets on each side")
    rules = target.rules if target else None
    given = {"task": task, "rules": rules, "target": target, "teacher": teacher}
    return tuple(_build(entry, known_passes(), given, "pass") for entry in entries)


def resumable(passes: Sequence[Pass], folder: Path) -> tuple[Pass, ...]:
    """The same passes; those that train save there how far they are, and go on from it.

    Args:
        passes: In order.
        folder: Of a folder for each of them, by its place.
    """
    return tuple(
        replace(pass_, checkpoint=folder / str(place))  # type: ignore[type-var]
        if hasattr(pass_, "checkpoint")
        else pass_
        for place, pass_ in enumerate(passes)
    )


def write(passes: Sequence[Pass]) -> str:
    """The recipe of `passes`; `read` gives equal passes for the same task, target and teacher."""
    tables = []
    for pass_ in passes:
        lines = ["[[pass]]", f"name = {json.dumps(name_of(pass_))}"]
        for key, value in settings(pass_).items():
            if key not in _GIVEN and value is not None:
                lines.append(f"{key} = {_toml(value)}")
        tables.append("\n".join(lines))
    return "\n\n".join(tables) + "\n"


def recipe_hash(passes: Sequence[Pass]) -> str:
    """Hex digest that is the same for the same passes with the same settings."""
    return hashlib.sha256(write(passes).encode()).hexdigest()


def _types() -> dict[str, Any]:
    """The dataclasses that the rooms of techniques make public."""
    rooms = [import_module(f"lilliput.{room}") for room in _ROOMS]
    named = {name: getattr(room, name) for room in rooms for name in room.__all__}
    return {
        name: value
        for name, value in named.items()
        if inspect.isclass(value) and is_dataclass(value)
    }


def _build(entry: Any, choices: Mapping[str, Any], given: Mapping[str, Any], kind: str) -> Any:
    entry = dict(entry)
    name = entry.pop("name", None)
    if name not in choices:
        raise RecipeError(f"no {kind} is called {name!r}; {did_you_mean(str(name), choices)}")
    known = inspect.signature(choices[name]).parameters
    for setting, value in entry.items():
        if setting not in known:
            raise RecipeError(f"{name} has no setting {setting!r}; {did_you_mean(setting, known)}")
        entry[setting] = _value(value, given)
    for setting in _GIVEN:
        if setting in known:
            if given[setting] is None and known[setting].default is inspect.Parameter.empty:
                raise RecipeError(f"{name} needs a {setting}; give it beside the recipe")
            entry.setdefault(setting, given[setting])
    for setting, parameter in known.items():
        if setting not in entry and parameter.default is inspect.Parameter.empty:
            raise RecipeError(
                f"{name} needs the setting {setting!r}; what a recipe cannot hold, such as a "
                "model, is given in Python"
            )
    try:
        return choices[name](**entry)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{name}: {error}") from error


def _value(value: Any, given: Mapping[str, Any]) -> Any:
    if isinstance(value, dict) and "name" in value:
        return _build(value, _types(), given, "option")
    if isinstance(value, list):
        return tuple(_value(item, given) for item in value)
    return value


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        pairs = [
            f"{json.dumps(key)} = {_toml(item)}"
            for key, item in value.items()
            if item is not None and not (key in _GIVEN and "name" in value)
        ]
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value)
