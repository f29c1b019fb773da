"""Nested settings and tensors as JSON plus named tensors, and back: no pickle."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

__all__ = ["flatten", "unflatten"]


def flatten(value: Any, tensors: dict[str, Tensor], name: str) -> Any:
    """Gives what JSON can hold; tensors are put into `tensors` under names that start with `name`.

    Dictionaries keep the types of their keys, tuples stay tuples.

    Raises:
        TypeError: A leaf is neither a tensor nor what JSON can hold.
    """
    if isinstance(value, Tensor):
        # A copy, because safetensors refuses tensors that share memory (tied weights).
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"dict": [[k, flatten(v, tensors, f"{name}.{k}")] for k, v in value.items()]}
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [flatten(item, tensors, f"{name}.{i}") for i, item in enumerate(value)]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{name} is a {type(value).__name__}, which a checkpoint cannot hold")


def unflatten(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Undoes `flatten`.

    Raises:
        KeyError: A tensor is missing.
    """
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "dict" in value:
        return {key: unflatten(item, tensors) for key, item in value["dict"]}
    if "tuple" in value:
        return tuple(unflatten(item, tensors) for item in value["tuple"])
    return [unflatten(item, tensors) for item in value["list"]]
