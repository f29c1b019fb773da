"""A pass maps a model to a model. `run` applies passes in order and keeps them honest."""

import dataclasses
import json
import time
from collections.abc import Sequence
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from lilliput.core.errors import LilliputError, PassError
from lilliput.core.model import Model, Step, check_model
from lilliput.core.task import Task

__all__ = ["Pass", "Stage", "check_order", "name_of", "run", "settings"]

Stage = Literal["edit", "prune", "factorize", "sparsify", "train", "quantize", "reconstruct"]

_CANNOT_FOLLOW = {
    ("sparsify", "factorize"): "the factors of a masked weight are dense",
    ("quantize", "factorize"): "factorized layers would lose their quantizers",
    ("quantize", "sparsify"): "the network's weights are integers already, or share few values",
    ("quantize", "edit"): "edited layers would lose their quantizers",
    ("quantize", "prune"): "removed channels would leave quantizers of another width",
    ("quantize", "quantize"): "the network's weights are integers already, or share few values",
}


@runtime_checkable
class Pass(Protocol):
    """Anything callable as `pass_(model) -> Model`.

    By convention a frozen dataclass named with a verb phrase, whose fields are its settings
    and the data it needs, with `stage: ClassVar[Stage]` saying where in a recipe it belongs.
    `run` hands it a private copy in eval mode, so it may change `model.module` in place.
    """

    def __call__(self, model: Model, /) -> Model: ...


def name_of(pass_: Pass) -> str:
    """A function's own name, or the name of the class."""
    return str(getattr(pass_, "__name__", type(pass_).__name__))


def stage_of(pass_: Pass) -> str:
    """Where in a recipe the pass belongs; "" for a plain function, which may stand anywhere."""
    return str(getattr(pass_, "stage", ""))


def settings(value: Any) -> dict[str, Any]:
    """A pass's fields as JSON can hold them, data replaced by its name; empty for a function."""
    if not dataclasses.is_dataclass(value):
        return {}
    fields = [field for field in dataclasses.fields(value) if field.metadata.get("setting", True)]
    return {field.name: _plain(getattr(value, field.name)) for field in fields}


def _plain(value: Any) -> Any:
    if isinstance(value, Task):
        return value.name
    if isinstance(value, Model):
        return [step.name for step in value.history] or type(value.module).__name__
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"name": type(value).__name__, **settings(value)}
    if isinstance(value, dict | set | frozenset | list | tuple):
        return _plain_items(value)
    if isinstance(value, np.generic):
        value = value.item()
    return value if _is_json(value) else str(getattr(value, "__name__", type(value).__name__))


def _plain_items(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    items = [_plain(item) for item in value]
    return sorted(items) if isinstance(value, set | frozenset) else items


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


def check_order(passes: Sequence[Pass], history: Sequence[Step] = ()) -> None:
    """Refuses an order that cannot work.

    Raises:
        PassError: Names the two passes that clash, and why.
    """
    done = [(step.name, step.stage) for step in history]
    for pass_ in passes:
        name, stage = name_of(pass_), stage_of(pass_)
        for earlier, earlier_stage in done:
            why = _CANNOT_FOLLOW.get((earlier_stage, stage))
            if why:
                raise PassError(
                    f"{name} cannot come after {earlier}: {why}. "
                    f"The legal order is {', '.join(get_args(Stage))}, train again"
                )
        done.append((name, stage))


def run(model: Model, passes: Sequence[Pass]) -> Model:
    """Applies `passes` in order to a copy of `model`.

    Returns:
        The last pass's model, in eval mode, with one `Step` per pass added to its history.

    Raises:
        PassError: The order cannot work, a pass raised, or its model no longer gives outputs of
            the same shapes, free of NaN, for `model.example_inputs`.
        LilliputError: A pass refused in its own words, as its `Raises` says: the same kind of
            error, which names the pass.
        TypeError: `model` is no `Model`, or `passes` no list of passes.
    """
    check_model(model)
    _check_passes(passes)
    check_order(passes, model.history)
    if not passes:
        return model
    expected = _expected(model)
    for pass_ in passes:
        start = time.perf_counter()
        try:
            result = pass_(_in_eval_mode(model))
            _check(result, expected)
        except Exception as error:
            before = ", ".join(step.name for step in model.history)
            place = f"after {before}" if before else "as the first pass"
            known = error if isinstance(error, LilliputError) else PassError(str(error))
            raise known.within(f"{name_of(pass_)} failed {place}") from error
        seconds = time.perf_counter() - start
        step = Step(name_of(pass_), settings(pass_), seconds, stage_of(pass_))
        model = dataclasses.replace(result, history=(*model.history, step))
    return model


def _check_passes(passes: Any) -> None:
    """Refuses what is no list, such as one pass alone, and what in it is no pass.

    Raises:
        TypeError: Says what was given, and what to write instead.
    """
    if callable(passes):
        name = name_of(passes)
        raise TypeError(f"passes must be a list, got {name} alone; pass [{name}(...)]")
    if not isinstance(passes, Sequence) or isinstance(passes, str):
        raise TypeError(
            f"passes must be a list, got {type(passes).__name__}; pass [A(...), B(...)]"
        )
    for pass_ in passes:
        if isinstance(pass_, type):
            name = pass_.__name__
            raise TypeError(f"{name} in passes is a class; pass an instance, {name}(...)")
        if not callable(pass_):
            raise TypeError(
                f"a pass must be callable with a Model, got {pass_!r:.60}; "
                "a recipe's text is read with lilliput.recipe.read"
            )
        _check_tasks(pass_)


def _check_tasks(value: Any) -> None:
    """Refuses what is no task where one is wanted: in a pass, its options and its hooks.

    Raises:
        TypeError: Names whose it is, and what was given.
    """
    if isinstance(value, list | tuple):
        for item in value:
            _check_tasks(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type | Task | Model):
        for field in dataclasses.fields(value):
            found = getattr(value, field.name)
            if field.name == "task" and not isinstance(found, Task | None):
                raise TypeError(
                    f"the task of {type(value).__name__} must be a lilliput.Task, got {found!r:.60}"
                )
            _check_tasks(found)


def _expected(model: Model) -> list[tuple[int, ...]]:
    """Shapes of the network's outputs, before any pass may be blamed for them."""
    try:
        copy = model.clone()
    except Exception as error:
        raise PassError(
            f"the network cannot be copied: {error}; tensors that a forward or a hook leaves "
            "behind stop it, as nn.utils.weight_norm does: use nn.utils.parametrizations"
        ) from error
    try:
        outputs = _outputs(copy)
    except Exception as error:
        shapes = [tuple(x.shape) for x in model.example_inputs]
        raise PassError(
            f"the network fails before any pass, on its own example_inputs of shapes {shapes}: "
            f"{error}"
        ) from error
    _refuse_nan(outputs, "before any pass, the network's")
    return [tuple(leaf.shape) for leaf in outputs]


def _in_eval_mode(model: Model) -> Model:
    """A copy in which BatchNorm counts nothing and dropout drops nothing, whatever comes in."""
    copy = model.clone()
    copy.module.eval()
    return copy


def _outputs(model: Model) -> list[Tensor]:
    model.module.eval()
    with torch.no_grad():
        leaves = tree_leaves(model.module(*model.example_inputs))
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def _check(model: Any, expected: list[tuple[int, ...]]) -> None:
    if not isinstance(model, Model):
        raise PassError(f"a pass must return a Model, got {type(model).__name__}")
    outputs = _outputs(model)
    shapes = [tuple(leaf.shape) for leaf in outputs]
    if shapes != expected:
        raise PassError(f"its outputs have shapes {shapes}, the model before gave {expected}")
    _refuse_nan(outputs, "its")


def _refuse_nan(outputs: list[Tensor], whose: str) -> None:
    for index, leaf in enumerate(outputs):
        if leaf.is_floating_point() and leaf.isnan().any():
            raise PassError(f"{whose} output {index} holds NaN for the example inputs")
