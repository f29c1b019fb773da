"""Where variants are kept: the file first, safe on disk, then the row that lists it."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lilliput.core import Artifact, Measurement, RegistryError, Step
from lilliput.registry.blobs import Blobs, saying_what_was_written
from lilliput.registry.family import Family
from lilliput.registry.variant import Skipped, Variant

__all__ = ["Store"]

_FILE = "registry.db"


class Store:
    """The registry of a run.

    A run killed at any moment leaves it whole. Opening checks every file's digest: a variant whose
    file is missing or damaged is no longer given, so that it will be made and measured again.

    Args:
        place: Folder of the run, or the URL of a database (`postgresql+psycopg://...`).
        blobs: Folder for the files, where `place` is a URL.
        must_exist: Refuse a folder that has no registry, instead of beginning one.
        may_repair: Take damaged files off the list for good, so that they are made again; else
            they are left out for whoever reads now.

    Attributes:
        repairs: What opening found damaged and set aside, in plain words.

    Raises:
        RegistryError: It cannot be read or written, is not there, or is of a newer version.
    """

    def __init__(
        self,
        place: Path | str,
        blobs: Path | str | None = None,
        must_exist: bool = False,
        may_repair: bool = True,
    ) -> None:
        is_url = isinstance(place, str) and "://" in place
        if is_url and blobs is None:
            raise RegistryError(
                f"the registry {place} needs a folder for files: Store(url, folder)"
            )
        self.folder = Path(blobs if blobs is not None else place)
        url = str(place) if is_url else f"sqlite:///{self.folder / _FILE}"
        if must_exist and not is_url and not (self.folder / _FILE).is_file():
            raise RegistryError(
                f"{self.folder} holds no run: it has no {_FILE}; give the folder that "
                "`lilliput compress --out` wrote"
            )
        with saying_what_was_written("a registry", self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        from lilliput.registry.database import Database

        where = str(place) if is_url else str(self.folder / _FILE)
        self._database = Database(url, where, self.folder)
        self._blobs = Blobs(self.folder)
        self._damaged: frozenset[str] = frozenset()
        if may_repair:
            self._blobs.sweep()
        self.repairs = self._repair(may_repair)

    def add(  # noqa: PLR0913
        self,
        *,
        key: str,
        name: str,
        target: str,
        artifact: Artifact,
        measurements: Iterable[Measurement] = (),
        recipe: str = "",
        parent: str | None = None,
        seed: int = 0,
        details: Mapping[str, Any] | None = None,
    ) -> Variant:
        """Stores a copy of the file and then its row.

        Returns:
            The variant; the one that is there already where the key is known.

        Raises:
            RegistryError: The disk is full, or the artifact's file changed since it was made.
        """
        found = self.find(key)
        if found is not None:
            return found
        row = {
            "id": hashlib.sha256(key.encode()).hexdigest()[:12],
            "key": key,
            "name": name,
            "target": target,
            "file": self._blobs.put(artifact),
            "format": artifact.format,
            "sha256": artifact.sha256,
            "recipe": recipe,
            "parent": parent,
            "seed": seed,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "history": json.dumps([dataclasses.asdict(step) for step in artifact.history]),
            "details": json.dumps(dict(details or {})),
        }
        self._insert(row, tuple(measurements))
        added = self.find(key)
        assert added is not None  # noqa: S101
        return added

    def find(self, key: str) -> Variant | None:
        """The variant of a work key, if that work was done."""
        from lilliput.registry.schema import variants

        return next(iter(self._variants(variants.c.key == key)), None)

    def update(self, variant_id: str, measurements: Iterable[Measurement]) -> None:
        """Adds measurements to a variant; of a quantity it has already, the new one counts.

        Raises:
            RegistryError: There is no such variant.
        """
        from sqlalchemy import select

        from lilliput.registry.schema import variants

        with self._database.transaction() as connection:
            query = select(variants.c.id).where(variants.c.id == variant_id)
            if connection.execute(query).first() is None:
                raise RegistryError(f"{self.folder} has no variant {variant_id!r}")
            _measured(connection, variant_id, tuple(measurements))

    def skip(self, name: str, target: str, reason: str) -> None:
        """Notes what was not made, and why; the latest reason counts."""
        from sqlalchemy import delete, insert

        from lilliput.registry.schema import skipped

        row = {"name": name, "target": target, "reason": reason}
        with self._database.transaction() as connection:
            is_same = (skipped.c.name == name) & (skipped.c.target == target)
            connection.execute(delete(skipped).where(is_same))
            connection.execute(insert(skipped).values(row))

    def reason(self, name: str, target: str) -> str:
        """Why a variant was not made; "" where it was."""
        skipped = self.family().skipped
        return next((s.reason for s in skipped if (s.name, s.target) == (name, target)), "")

    def forget_skipped(self) -> None:
        """Forgets what was not made: a run that goes on finds out anew."""
        from sqlalchemy import delete

        from lilliput.registry.schema import skipped

        with self._database.transaction() as connection:
            connection.execute(delete(skipped))

    def note(self, name: str, value: Any) -> None:
        """Keeps a fact of the run, as JSON."""
        from sqlalchemy import delete, insert

        from lilliput.registry.schema import notes

        text = json.dumps(value)
        with self._database.transaction() as connection:
            connection.execute(delete(notes).where(notes.c.name == name))
            connection.execute(insert(notes).values(name=name, value=text))

    def notes(self) -> dict[str, Any]:
        """All facts of the run, by name."""
        from sqlalchemy import select

        from lilliput.registry.schema import notes

        with self._database.transaction() as connection:
            rows = connection.execute(select(notes).order_by(notes.c.name)).all()
        return {row.name: json.loads(row.value) for row in rows}

    def family(self) -> Family:
        """All variants, in the order they were made."""
        from sqlalchemy import select

        from lilliput.registry.schema import skipped

        with self._database.transaction() as connection:
            left_out = connection.execute(select(skipped).order_by(skipped.c.position)).all()
        notes = self.notes()
        return Family(
            task=notes.get("task", ""),
            metric=notes.get("metric", "metric"),
            higher_is_better=notes.get("higher_is_better", True),
            variants=self._variants(),
            skipped=tuple(Skipped(row.name, row.target, row.reason) for row in left_out),
            notes=notes,
            folder=self.folder,
        )

    def _insert(self, row: dict[str, Any], measurements: tuple[Measurement, ...]) -> None:
        """Lists the variant, unless another process was quicker."""
        from sqlalchemy import delete, insert, select
        from sqlalchemy.exc import IntegrityError

        from lilliput.registry.schema import skipped, variants

        with self._database.transaction() as connection:
            known = select(variants.c.id).where(variants.c.key == row["key"])
            if connection.execute(known).first() is not None:
                return
            try:
                with connection.begin_nested():
                    connection.execute(insert(variants).values(row))
            except IntegrityError:
                return
            _measured(connection, row["id"], measurements)
            is_same = (skipped.c.name == row["name"]) & (skipped.c.target == row["target"])
            connection.execute(delete(skipped).where(is_same))

    def _variants(self, condition: Any = None) -> tuple[Variant, ...]:
        from sqlalchemy import select

        from lilliput.registry.schema import measurements, variants

        rows = select(variants).order_by(variants.c.position)
        numbers = select(measurements).order_by(measurements.c.position)
        if condition is not None:
            rows = rows.where(condition)
            numbers = numbers.join(variants).where(condition)
        with self._database.transaction() as connection:
            found = connection.execute(rows).all()
            measured: dict[str, list[Measurement]] = {row.id: [] for row in found}
            for row in connection.execute(numbers):
                measured[row.variant].append(_measurement(row))
        whole = [row for row in found if row.id not in self._damaged]
        return tuple(self._variant(row, measured[row.id]) for row in whole)

    def _variant(self, row: Any, measured: list[Measurement]) -> Variant:
        history = tuple(Step(**step) for step in json.loads(row.history))
        path = self._blobs.folder / row.file
        return Variant(
            id=row.id,
            key=row.key,
            name=row.name,
            target=row.target,
            artifact=Artifact(path, row.format, row.sha256, history),
            measurements=tuple(measured),
            recipe=row.recipe,
            parent=row.parent,
            seed=row.seed,
            created=row.created,
            details=json.loads(row.details),
        )

    def _repair(self, is_for_good: bool) -> tuple[str, ...]:
        """Leaves out variants whose file is missing or damaged."""
        said = []
        for variant in self._variants():
            name = variant.artifact.path.name
            damage = self._blobs.damage(name, variant.artifact.sha256)
            if not damage:
                continue
            self._damaged |= {variant.id}
            what = f"the file of {variant.name!r} for {variant.target} {damage}"
            if is_for_good:
                self._take_off(variant)
                said.append(f"{what}; it was set aside and will be made and measured again")
            else:
                said.append(f"{what} and is left out; `lilliput compress` makes it again")
        if is_for_good:
            self._damaged = frozenset()
        return tuple(said)

    def _take_off(self, variant: Variant) -> None:
        from sqlalchemy import delete

        from lilliput.registry.schema import measurements, variants

        self._blobs.set_aside(variant.artifact.path.name)
        with self._database.transaction() as connection:
            connection.execute(delete(measurements).where(measurements.c.variant == variant.id))
            connection.execute(delete(variants).where(variants.c.id == variant.id))


def _measured(connection: Any, variant_id: str, measured: tuple[Measurement, ...]) -> None:
    from sqlalchemy import delete, insert

    from lilliput.registry.schema import measurements

    for m in measured:
        old = (measurements.c.variant == variant_id) & (measurements.c.quantity == m.quantity)
        connection.execute(delete(measurements).where(old))
        row = {"variant": variant_id, **dataclasses.asdict(m)}
        connection.execute(insert(measurements).values(row))


def _measurement(row: Any) -> Measurement:
    names = [field.name for field in dataclasses.fields(Measurement)]
    return Measurement(**{name: getattr(row, name) for name in names})
