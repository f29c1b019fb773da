"""What an update starts from: a packed model, a packed file, or that file itself."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lilliput.core import PackError
from lilliput.pack.arrays import NamedArray
from lilliput.pack.codings import MULTIPLES, Array
from lilliput.pack.container import MAGIC, Packed
from lilliput.pack.file import arrays_in
from lilliput.pack.header import DTYPES, Entry, Kind
from lilliput.pack.multiples import integers_of, reals_of, step_in
from lilliput.pack.restore import array_of
from lilliput.pack.tokens import Integers
from lilliput.pack.updates.align import lined_up, read_parts
from lilliput.pack.updates.differences import Places, differences, moved, pools_of

__all__ = ["Base", "Before", "Old", "are_alike"]

_NARROW = {dtype for dtype in DTYPES if not dtype.endswith("64")}
_INTEGERS = {dtype for dtype in _NARROW if "int" in dtype}


@dataclass(frozen=True, eq=False)
class Old:
    """A tensor as it was.

    Args:
        values: Of it.
        dtype: One of `lilliput.pack.header.DTYPES`.
        step: Real value of an integer's unit; 0 where there is none.
    """

    values: Array
    dtype: str
    step: float


@dataclass(frozen=True, eq=False)
class Before:
    """What the items of a new tensor were.

    Args:
        values: One axis, of the new tensor's type, or multiples of its step; 0 where an item is
            new.
        is_new: Where that is.
        step: That of the new tensor, where they are multiples.
    """

    values: Array
    is_new: npt.NDArray[np.bool_]
    step: np.float32 | None = None

    def is_float(self, entry: Entry) -> bool:
        """Whether items differ by the floats between them."""
        return self.step is None and "float" in entry.dtype

    def places(self, entry: Entry) -> Places:
        """The pool of each item of the new tensor's differences."""
        dtype = "int32" if self.step is not None else entry.dtype
        is_text = dtype == "uint8" and len(entry.shape) == 1
        return pools_of(self.values, self.is_new, dtype, is_text=is_text)

    def moved_by(self, by: Integers, entry: Entry) -> Array:
        """The new items, one axis."""
        found = moved(self.values, by, self.is_float(entry))
        return found if self.step is None else reals_of(found, self.step)

    def differences(self, new: Array, entry: Entry) -> Integers:
        """By how much each new item, one axis of them, moved."""
        items = new if self.step is None else integers_of(new, self.step)
        return differences(self.values, items, self.is_float(entry))


class Base:
    """The tensors of the old file.

    Args:
        name: The file's, for errors.
        kind: What it holds.
        digest: SHA-256 of a packed model, or of the file that was packed.
        packed: The packed file; None where the file itself is there.
        arrays: What that is coded as.
    """

    def __init__(
        self,
        name: str,
        kind: Kind,
        digest: bytes,
        packed: Packed | None = None,
        arrays: tuple[NamedArray, ...] = (),
    ) -> None:
        self.name, self.kind, self.digest, self.packed = name, kind, digest, packed
        self._entries = {e.name: e for e in packed.contents.entries} if packed else {}
        self._arrays = {array.name: array for array in arrays}

    @classmethod
    def open(cls, path: Path, most_bytes: int | None = None) -> "Base":
        """Opens the old file.

        Args:
            path: A packed file, or the file itself.
            most_bytes: What may be unpacked from it, as for `Packed.open`.

        Raises:
            PackError: It cannot be read, or is damaged.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise PackError(f"cannot read {path}: {error.strerror or error}") from error
        if not data.startswith(MAGIC):
            arrays = tuple(arrays_in(data, path.suffix))
            return cls(path.name, "file", hashlib.sha256(data).digest(), arrays=arrays)
        packed = Packed.open(path, most_bytes)
        source = packed.contents.source
        digest = source.sha256 if source else hashlib.sha256(data).digest()
        return cls(path.name, packed.contents.kind, digest, packed)

    def entry(self, name: str) -> Entry | None:
        """What the header of a packed file says of a tensor."""
        return self._entries.get(name)

    def blocks(self, entry: Entry) -> list[list[bytes]]:
        """The blocks of a tensor of a packed file."""
        return self.packed.blocks(entry) if self.packed else []

    def old(self, name: str) -> Old | None:
        """A tensor; None where there is none of that name.

        Raises:
            PackError: It is damaged.
        """
        if name in self._arrays:
            array = self._arrays[name]
            return Old(array.values, array.dtype, array.step)
        entry = self.entry(name)
        if entry is None:
            return None
        return Old(array_of(entry, self.blocks(entry), self.name), entry.dtype, entry.step)

    def before(self, entry: Entry, settings: bytes, what: str) -> Before:
        """What each item of a new tensor was.

        Args:
            entry: The new tensor.
            settings: Where its parts were; nothing where all are where they were.
            what: Whose tensor it is, for errors.

        Raises:
            PackError: It was not there, or the parts are not of its size.
        """
        old = self.old(entry.name)
        if old is None or not are_alike(old.dtype, entry.dtype):
            raise PackError(f"{what} differs from none that {self.name} has")
        values, step = _on_grid(np.ascontiguousarray(old.values).reshape(-1), entry)
        if old.dtype != entry.dtype:
            values = values.astype(entry.dtype)
        is_new = np.zeros(entry.items, bool)
        if settings:
            values, is_new = lined_up(values, read_parts(settings, what), entry.items, what)
        if values.size != entry.items:
            raise PackError(f"{what} has {entry.items:,} items and was {values.size:,}")
        return Before(values, is_new, step)


def _on_grid(values: Array, entry: Entry) -> tuple[Array, np.float32 | None]:
    """Floats as multiples of a new tensor's step, if it has one and all of them are; and it."""
    step = step_in(entry.settings) if entry.coding == MULTIPLES else None
    if step is None or values.dtype != np.float32:
        return values, None
    with np.errstate(all="ignore"):
        integers = integers_of(values, step)
    is_on = np.array_equal(reals_of(integers, step).view(np.uint32), values.view(np.uint32))
    return (integers, step) if is_on else (values, None)


def are_alike(old: str, new: str) -> bool:
    """Whether items can be told by differences: of one type, or integers; of 32 bits at most."""
    return new in _NARROW and (old == new or (old in _INTEGERS and new in _INTEGERS))
