"""Reads the folder that `compress` wrote, and finds a variant in it by what people call it."""

from collections.abc import Sequence
from pathlib import Path

from lilliput.cli.output import say
from lilliput.core import Budget, RegistryError
from lilliput.core.spelling import did_you_mean
from lilliput.registry import Family, Store, Variant

__all__ = ["check_targets", "find_variant", "make_budget", "open_run"]


def open_run(folder: Path) -> Family:
    """The family of a run folder.

    Raises:
        RegistryError: There is no run in the folder, or it cannot be read.
    """
    if not folder.is_dir():
        raise RegistryError(f"there is no folder {folder}; 'lilliput compress --out DIR' makes one")
    store = Store(folder, must_exist=True, may_repair=False)
    for repair in store.repairs:
        say(repair)
    return store.family()


def find_variant(family: Family, text: str, target: str | None = None) -> Variant:
    """The variant of that name, or whose id starts with `text`.

    Raises:
        RegistryError: None is called so, or several are.
    """
    own = [v for v in family.variants if target is None or v.target == target]
    found = [v for v in own if v.name == text] or [v for v in own if text and v.id.startswith(text)]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(f"{v.id[:8]} ({v.name} on {v.target})" for v in found)
        raise RegistryError(
            f"{text!r} names {len(found)} variants: {listed}; give an id or --target"
        )
    names = list(dict.fromkeys(v.name for v in own))
    raise RegistryError(f"no variant is called {text!r}; {did_you_mean(text, names)}")


def check_targets(family: Family, targets: Sequence[str]) -> tuple[str, ...]:
    """The targets asked for, or all of the family's.

    Raises:
        RegistryError: The run has no variant for one of them.
    """
    known = tuple(dict.fromkeys(v.target for v in family.variants))
    for target in targets:
        if target not in known:
            raise RegistryError(
                f"the run has no target {target!r}; it has {', '.join(known) or 'none'}"
            )
    return tuple(targets) or known


def make_budget(  # noqa: PLR0913, PLR0917
    max_drop: float | None,
    max_size: float | None,
    max_latency: float | None,
    max_ram: float | None,
    max_flash: float | None,
    max_instructions: float | None,
) -> Budget:
    """The limits of a command line as a budget."""
    return Budget(
        max_size_bytes=max_size,
        max_ram_bytes=max_ram,
        max_flash_bytes=max_flash,
        max_instructions=max_instructions,
        max_latency_ms=max_latency,
        max_drop=max_drop,
    )
