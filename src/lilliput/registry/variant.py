"""One row of the registry."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lilliput.core import Artifact, Measurement

__all__ = ["Skipped", "Variant", "work_key"]


def work_key(recipe_hash: str, fingerprint: str, seed: int, target: str) -> str:
    """Identifies work: the same key means the same file would be made again.

    Args:
        recipe_hash: Of the passes and their settings.
        fingerprint: Of the original, the data, and the teacher.
        seed: Of training.
        target: The device and runtime, with all that files made for it depend on.
    """
    return hashlib.sha256(json.dumps([recipe_hash, fingerprint, seed, target]).encode()).hexdigest()


@dataclass(frozen=True)
class Skipped:
    """What was not made, and why.

    Args:
        name: Of the variant it would have been.
        target: For which it would have been made.
        reason: In plain words.
    """

    name: str
    target: str
    reason: str


@dataclass(frozen=True)
class Variant:
    """An artifact with its measurements, recipe and parent.

    Args:
        id: Short and unique; the same work has the same id in every run.
        key: Identifies the work (`work_key`).
        name: What tables and pictures call it.
        target: Where it runs.
        artifact: The file.
        measurements: One for each quantity.
        recipe: The passes as TOML text.
        parent: Id of the variant it goes on from, None for an original.
        seed: Of training.
        created: When, in UTC, as ISO 8601 text.
        details: More for the report: layers, passes and their seconds.
    """

    id: str
    key: str
    name: str
    target: str
    artifact: Artifact
    measurements: tuple[Measurement, ...]
    recipe: str
    parent: str | None
    seed: int
    created: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def measurement(self, quantity: str) -> Measurement | None:
        """What was measured of a quantity, if it was."""
        return next((m for m in self.measurements if m.quantity == quantity), None)

    def value(self, quantity: str) -> float | None:
        """The number alone, in the quantity's unit."""
        found = self.measurement(quantity)
        return None if found is None else found.value

    @property
    def is_on_chip(self) -> bool:
        """Whether it was measured for a microcontroller, of which flash and no time is told."""
        return self.value("flash") is not None and self.value("latency") is None
