"""Finished files, packed without loss: their arrays by what they are, the rest as bytes."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from lilliput.core import PackError
from lilliput.core.disk import replacing
from lilliput.core.progress import track
from lilliput.pack.arrays import NamedArray, encode_arrays
from lilliput.pack.codings import Array
from lilliput.pack.container import Packed, Payload, packed_bytes, write_packed
from lilliput.pack.files import FINDERS, Piece
from lilliput.pack.header import Contents, Entry, SourceFile
from lilliput.pack.multiples import step_of
from lilliput.pack.products import segments_of
from lilliput.pack.restore import array_of

__all__ = [
    "arrays_in",
    "check_apart",
    "free_place",
    "pack",
    "pack_bytes",
    "put",
    "taken",
    "unpack",
    "write_whole",
]

_SHORT = 1 << 12
"""Bytes of a file up to which it is always tried as bytes alone: arrays take room in the header."""
_SMALL = 512
"""Items below which arrays of a type are coded together."""
_WORTH_AN_ENTRY = 64
"""Items from which those that are multiples of a step are coded alone all the same."""
_GATHERED = ("int8", "uint8", "int32", "float32")
"""Types whose small arrays are; others stay among the bytes around them."""


def pack(path: Path | str, out: Path | str | None = None, *, smallest: bool = False) -> Packed:
    """Packs a file so that `unpack` gives back the same bytes.

    Arrays inside `.tflite`, `.onnx` and `.safetensors` files are coded as what they are; of other
    files all is bytes.

    Args:
        path: The file.
        out: Where to write; by default beside it, `.lil` after its name.
        smallest: Whether weights take the fewest bytes; unpacking is then tens of times slower.

    Raises:
        PackError: The file cannot be read, or the other not written.
    """
    path = Path(path)
    out = Path(f"{path}.lil") if out is None else Path(out)
    check_apart(out, path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PackError(f"cannot read {path}: {error.strerror or error}") from error
    return pack_bytes(data, path.name, out, smallest=smallest)


def pack_bytes(data: bytes, name: str, out: Path, *, smallest: bool = False) -> Packed:
    """Packs a file that is in memory.

    Args:
        data: Its content.
        name: What it is called when it is unpacked; its end says where arrays are.
        out: Where to write.
        smallest: Whether weights take the fewest bytes; unpacking is then tens of times slower.

    Raises:
        PackError: The file cannot be written.
    """
    name = name.encode("utf-8", "replace").decode()
    source = SourceFile(name, len(data), hashlib.sha256(data).digest())
    ways = [arrays_in(data, Path(name).suffix)]
    if smallest or len(data) <= _SHORT:
        ways.append(arrays_in(data, ""))
    forms = [_coded(arrays, source, smallest) for arrays in ways]
    write_packed(out, *min(forms, key=lambda form: packed_bytes(*form)))
    packed = Packed.open(out, most_bytes=1 << 62)
    if hashlib.sha256(_joined(packed)).digest() != source.sha256:
        raise AssertionError("a packed file does not unpack to what it was made of")
    return packed


def _coded(
    arrays: Sequence[NamedArray], source: SourceFile, smallest: bool
) -> tuple[Contents, list[Payload]]:
    """The header of a file that is coded as these arrays, and its blocks."""
    entries, payloads = encode_arrays(arrays, smallest)
    return Contents("file", tuple(entries), source), list(payloads)


def arrays_in(data: bytes, suffix: str) -> list[NamedArray]:
    """The arrays that a file is coded as.

    Args:
        data: The file.
        suffix: The end of its name, by which arrays inside are found.
    """
    finder = FINDERS.get(suffix)
    pieces = list(_apart((finder(data) if finder else None) or [], len(data)))
    return list(_arrays(data, pieces))


def unpack(packed: Packed, out: Path | str | None = None) -> Path:
    """Writes the file that was packed, whole or not at all.

    Args:
        packed: An open file.
        out: Where to write; by default beside it, under the name it had.

    Raises:
        PackError: It is damaged, or no file; or the other cannot be written, or is there already
            and `out` does not say so: its name comes from the packed file.
    """
    source = packed.contents.source
    if source is None:
        raise PackError(
            f"{packed.path.name} holds a model; open it with lilliput.load_packed, or write it "
            "with unpack_model"
        )
    out = free_place(packed.path.parent, source) if out is None else Path(out)
    check_apart(out, packed.path)
    data = _joined(packed)
    if hashlib.sha256(data).digest() != source.sha256:
        raise PackError(f"{packed.path.name} is damaged: it unpacks to another file")
    write_whole(out, data)
    return out


def write_whole(out: Path, data: bytes | bytearray) -> None:
    """Writes a file whole, or not at all.

    Raises:
        PackError: It cannot be written.
    """
    try:
        with replacing(out) as part:
            part.write_bytes(data)
    except OSError as error:
        raise PackError(f"cannot write {out}: {error.strerror or error}") from error


def check_apart(out: Path, *given: Path) -> None:
    """Makes sure that what is made takes the place of nothing that it is made of.

    Raises:
        PackError: It would.
    """
    if out.resolve() in {path.resolve() for path in given}:
        raise PackError(f"{out} would be replaced by what is made of it; say where else with -o")


def free_place(folder: Path, source: SourceFile) -> Path:
    """Where a file goes of which nobody said where.

    Raises:
        PackError: Another is there, which a packed file must not replace.
    """
    out = folder / plain_name(source.name)
    if out.exists() and not _is_file(out, source):
        raise PackError(f"{out} is there and another file; replace it, or say where, with -o")
    return out


def _is_file(path: Path, source: SourceFile) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).digest() == source.sha256
    except OSError:
        return False


def plain_name(name: str) -> str:
    """A name without folders: a packed file may come from anybody."""
    if name in {"", ".", ".."} or set(name) & set("/\\:") or not name.isprintable():
        raise PackError(f"the file was called {name!r}, which is no name here; say where with -o")
    return name


def _joined(packed: Packed) -> bytearray:
    """The bytes of the file that was packed."""
    source = packed.contents.source
    data = bytearray(source.size if source else 0)
    for entry in track(packed.contents.entries, "unpacking"):
        put(array_of(entry, packed.blocks(entry), packed.path.name), entry, data)
    return data


def put(values: Array, entry: Entry, data: bytearray) -> None:
    """Writes an array's bytes to its places in a file."""
    raw, at = values.tobytes(), 0
    for start, length in entry.ranges:
        data[start : start + length] = raw[at : at + length]
        at += length


def taken(entry: Entry, data: bytes | bytearray) -> bytes:
    """An array's bytes of their places in a file."""
    return b"".join(data[start : start + length] for start, length in entry.ranges)


def _apart(pieces: Iterable[Piece], size: int) -> Iterator[Piece]:
    """Pieces that lie in the file, say what they are, and do not overlap, in order."""
    at = 0
    for piece in sorted(pieces, key=lambda piece: (piece.start, -piece.length)):
        item = np.dtype("uint16" if piece.dtype == "bfloat16" else piece.dtype).itemsize
        is_whole = min(piece.shape, default=1) > 0
        is_whole = is_whole and math.prod(piece.shape) * item == piece.length
        if is_whole and piece.start >= at and piece.end <= size:
            yield piece
            at = piece.end


def _arrays(data: bytes, pieces: Sequence[Piece]) -> Iterator[NamedArray]:
    """What is coded together: each large array, small ones by type, and all other bytes."""
    names: set[str] = set()
    small: dict[str, list[Piece]] = {dtype: [] for dtype in _GATHERED}
    taken = []
    for piece in pieces:
        if piece.is_side or (math.prod(piece.shape) < _SMALL and not _is_coded(data, piece)):
            if piece.dtype in small:
                small[piece.dtype].append(piece)
                taken.append(piece)
            continue
        taken.append(piece)
        ranges = ((piece.start, piece.length),)
        name = _new(piece.name or "unnamed", names)
        yield NamedArray(name, _values(data, piece), piece.dtype, ranges=ranges)
    for dtype, own in small.items():
        if own:
            yield _gathered(data, own, dtype, _new(f"small {dtype} arrays", names))
    yield from _rest(data, taken, _new("structure", names))


def _is_coded(data: bytes, piece: Piece) -> bool:
    """Whether a small array is one of several multiples of a step of its own."""
    if piece.dtype != "float32" or math.prod(piece.shape) < _WORTH_AN_ENTRY:
        return False
    values = _values(data, piece).reshape(-1)
    return len(np.unique(values)) > 1 and step_of(values) is not None


def _new(name: str, names: set[str]) -> str:
    name = name.encode("utf-8", "replace").decode()[:1000]
    found, number = name, 2
    while found in names:
        found, number = f"{name} ({number})", number + 1
    names.add(found)
    return found


def _values(data: bytes, piece: Piece) -> Array:
    dtype = np.dtype("uint16" if piece.dtype == "bfloat16" else piece.dtype).newbyteorder("<")
    count = math.prod(piece.shape)
    return np.frombuffer(data, dtype, count, piece.start).reshape(piece.shape)


def _gathered(data: bytes, pieces: Sequence[Piece], dtype: str, name: str) -> NamedArray:
    vectors = [_values(data, piece).reshape(-1) for piece in pieces]
    segments = segments_of(vectors) if dtype == "float32" else ()
    has_products = any(segment.source is not None for segment in segments)
    return NamedArray(
        name,
        np.concatenate(vectors),
        dtype,
        ranges=tuple((piece.start, piece.length) for piece in pieces),
        is_text=True,
        segments=segments if has_products else (),
    )


def _rest(data: bytes, taken: Sequence[Piece], name: str) -> Iterator[NamedArray]:
    """All bytes that are in no array."""
    ranges, at = [], 0
    ends = [(piece.start, piece.end) for piece in sorted(taken, key=lambda piece: piece.start)]
    for start, end in [*ends, (len(data), len(data))]:
        if start > at:
            ranges.append((at, start - at))
        at = end
    if ranges:
        raw = b"".join(data[start : start + length] for start, length in ranges)
        values = np.frombuffer(raw, np.uint8)
        yield NamedArray(name, values, "uint8", ranges=tuple(ranges), is_text=True)
