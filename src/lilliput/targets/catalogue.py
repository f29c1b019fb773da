"""The targets known by name, read from the tables beside this file."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from lilliput.core import (
    Granularity,
    IntegerType,
    Kernel,
    PerChannel,
    PerTensor,
    QuantizationRules,
    Target,
    UnsupportedError,
)
from lilliput.core.spelling import did_you_mean

__all__ = ["get_target", "target_names"]

_FILES = ("runtimes.toml", "processors.toml")
_GRANULARITIES: Mapping[str, Granularity] = {"PerTensor": PerTensor(), "PerChannel": PerChannel()}


def target_names() -> tuple[str, ...]:
    """Every name that `get_target` knows."""
    return tuple(_tables())


def get_target(name: str) -> Target:
    """The facts of a device and its runtime.

    Raises:
        UnsupportedError: There is none of that name.
    """
    tables = _tables()
    if name not in tables:
        raise UnsupportedError(f"no target is called {name!r}; {did_you_mean(name, tables)}")
    facts = dict(tables[name])
    if "like" in facts:  # all facts of another target but those that are told
        other = tables[facts.pop("like")]
        sources = {**other["sources"], **facts.get("sources", {})}
        facts = {**other, **facts, "sources": sources}
    rules = facts.pop("rules", None)
    kernels = tuple(_kernel(table) for table in facts.pop("kernels", ()))
    return Target(name=name, rules=_rules(rules, kernels) if rules else None, **facts)


def _tables() -> Mapping[str, Any]:
    texts = [(files("lilliput.targets") / name).read_text("utf-8") for name in _FILES]
    return {name: table for text in texts for name, table in tomllib.loads(text).items()}


def _kernel(table: Mapping[str, Any]) -> Kernel:
    facts: dict[str, Any] = {
        key: frozenset(value) if isinstance(value, list) else value for key, value in table.items()
    }
    return Kernel(**facts)


def _rules(table: Mapping[str, Any], kernels: tuple[Kernel, ...]) -> QuantizationRules:
    values: dict[str, Any] = {
        key: frozenset(value) if isinstance(value, list) else value for key, value in table.items()
    }
    for kind in ("weight", "activation"):
        facts = dict(table[kind])
        granularity = _GRANULARITIES[facts.pop("granularity", "PerTensor")]
        values[kind] = IntegerType(granularity=granularity, **facts)
    return QuantizationRules(kernels=kernels, **values)
