"""A model file: Python with `def model() -> lilliput.Model` and `def task() -> lilliput.Task`."""

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from lilliput.core import LilliputError, Model, ModelFileError, Task

__all__ = ["load_both", "load_model", "load_task", "name_of"]


def load_model(text: str) -> Model:
    """The model of `FILE.py`, or the first of what `NAME` in `FILE.py:NAME` gives.

    Raises:
        ModelFileError: The file cannot be run, or does not define what it must.
    """
    path, name = _split(text)
    module = _load(path)
    return _pair(module, name)[0] if name else _call(module, "model", Model)


def load_task(text: str) -> Task:
    """The task of `FILE.py`, or the second of what `NAME` in `FILE.py:NAME` gives.

    Raises:
        ModelFileError: The file cannot be run, or does not define what it must.
    """
    path, name = _split(text)
    module = _load(path)
    return _pair(module, name)[1] if name else _call(module, "task", Task)


def load_both(text: str) -> tuple[Model, Task]:
    """The model and the task of `FILE.py` or `FILE.py:NAME`.

    Raises:
        ModelFileError: The file cannot be run, or does not define what it must.
    """
    path, name = _split(text)
    module = _load(path)
    if name:
        return _pair(module, name)
    return _call(module, "model", Model), _call(module, "task", Task)


def name_of(text: str) -> str:
    """What to call the run of a model file: `NAME`, or the file's stem."""
    path, name = _split(text)
    return name or path.stem


def _split(text: str) -> tuple[Path, str]:
    head, colon, name = text.rpartition(":")
    if colon and head.endswith(".py"):
        return Path(head), name
    return Path(text), ""


def _load(path: Path) -> ModuleType:
    """Runs the file, with its folder importable as when Python runs it."""
    if not path.is_file():
        near = (
            sorted(file.name for file in path.parent.glob("*.py")) if path.parent.is_dir() else []
        )
        raise ModelFileError(f"there is no file {path}{_hint(path.name, near)}")
    if path.suffix != ".py":
        raise ModelFileError(f"{path} is not a Python file; a model file ends in .py")
    name = f"lilliput_model_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # noqa: S101
    assert spec.loader is not None  # noqa: S101  both exist for every .py file
    module = importlib.util.module_from_spec(spec)
    # data loaders that pickle need to find the module again
    sys.modules[name] = module
    folder = str(path.parent.absolute())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    _guarded(path, lambda: spec.loader.exec_module(module))  # type: ignore[union-attr]
    return module


def _pair(module: ModuleType, name: str) -> tuple[Model, Task]:
    value = _call(module, name, tuple)
    if len(value) != 2 or not isinstance(value[0], Model) or not isinstance(value[1], Task):
        got = ", ".join(type(item).__name__ for item in value)
        raise ModelFileError(
            f"{module.__file__}: {name}() must give (lilliput.Model, lilliput.Task), got ({got})"
        )
    return value[0], value[1]


def _call(module: ModuleType, name: str, type_: type) -> Any:
    path = Path(str(module.__file__))
    function = getattr(module, name, None)
    if not callable(function):
        raise ModelFileError(f"{path} has no function {name}(); {_what_to_write(module, name)}")
    value = _guarded(path, function)
    if not isinstance(value, type_):
        raise ModelFileError(
            f"{path}: {name}() must give {_wanted(type_)}, got {type(value).__name__}"
            f"{_way_out(value)}"
        )
    return value


def _what_to_write(module: ModuleType, name: str) -> str:
    found = sorted(
        key
        for key, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not key.startswith("_")
    )
    write = {
        "model": "write 'def model() -> lilliput.Model'",
        "task": "write 'def task() -> lilliput.Task'",
    }.get(name, f"write 'def {name}() -> tuple[lilliput.Model, lilliput.Task]'")
    if not found:
        return f"it defines no public function; {write}"
    near = get_close_matches(name, found, n=1)
    guess = f"did you mean {near[0]}()? " if near else ""
    choose = "" if name in found else f", or choose one with {Path(str(module.__file__)).name}:NAME"
    functions = ", ".join(f"{key}()" for key in found)
    return f"{guess}it has {functions}; {write}{choose}"


def _wanted(type_: type) -> str:
    return "(lilliput.Model, lilliput.Task)" if type_ is tuple else f"a lilliput.{type_.__name__}"


def _way_out(value: Any) -> str:
    from torch import nn

    if isinstance(value, nn.Module):
        return "; wrap it: lilliput.Model(net, example_inputs=(x,))"
    return "; does the function end in return?" if value is None else ""


def _guarded(path: Path, call: Callable[[], Any]) -> Any:
    """Calls code of the user's, and says where in their file it fails."""
    try:
        return call()
    except LilliputError:
        raise
    except SyntaxError as error:
        where = Path(error.filename) if error.filename else path
        raise ModelFileError(f"{where}, line {error.lineno}: {error.msg}") from error
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [f.lineno for f in frames if Path(f.filename).absolute() == path.absolute()]
        line = f", line {lines[-1]}" if lines else ""
        raise ModelFileError(f"{path}{line}: {type(error).__name__}: {error}") from error


def _hint(wrong: str, known: list[str]) -> str:
    near = get_close_matches(wrong, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
