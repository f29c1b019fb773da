"""What `lilliput inspect` says of a packed file: bits per weight, tensor by tensor."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lilliput.cli.output import Answer
from lilliput.cli.tables import Column, fitted, plain
from lilliput.core.amounts import bytes_text, short
from lilliput.pack import CODINGS, Packed
from lilliput.pack.codings import MULTIPLES
from lilliput.pack.header import Entry
from lilliput.pack.multiples import step_in

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["inspect_packed"]


def inspect_packed(path: Path, answer: Answer) -> None:
    """Reads the header alone, so that a file is looked at before it is trusted."""
    packed = Packed.open(path, most_bytes=1 << 62)
    contents = packed.contents
    whole = packed.data_start + contents.stored_bytes
    tensors = [
        {
            "name": entry.name,
            "type": entry.dtype,
            "shape": list(entry.shape),
            "coding": CODINGS[entry.coding] if entry.coding < len(CODINGS) else "unknown",
            "stored_bytes": entry.stored_bytes,
            "unpacked_bytes": entry.size_bytes,
            "bits_per_weight": 8 * entry.stored_bytes / entry.items if entry.items else None,
            "step": _step(entry),
        }
        for entry in contents.entries
    ]
    size = path.stat().st_size
    unpacked = sum(entry.size_bytes for entry in contents.entries)
    source = contents.source
    value = {
        "kind": contents.kind,
        "name": source.name if source else None,
        "sha256": source.sha256.hex() if source else None,
        "size_bytes": size,
        "missing_bytes": whole - size,
        "unpacked_bytes": unpacked,
        "header_bytes": packed.data_start,
        "tensors": tensors,
    }
    what = f"{plain(source.name)}, {bytes_text(source.size)}" if source else "a model"
    cut = f"cut off: {whole - size:,} of its {whole:,} bytes are missing, {_readable(packed, size)}"
    answer.give(
        value,
        _table(tensors, answer.console().width),
        "",
        f"{what}: {bytes_text(unpacked)} in {bytes_text(whole)}, "
        f"{short(unpacked / whole)} times smaller; {bytes_text(packed.data_start)} are the header",
        *([cut] if whole > size else []),
    )


def _step(entry: Entry) -> float | None:
    """The real value of an integer's unit, where it has one."""
    made = entry.origin or entry
    found = step_in(made.settings) if made.coding == MULTIPLES else None
    return entry.step or (None if found is None else float(found))


def _readable(packed: Packed, size: int) -> str:
    """Which tensors are there in the first bytes of a file."""
    contents = packed.contents
    there = sum(
        packed.data_start + contents.offset_of(entry) + (entry.origin or entry).stored_bytes <= size
        for entry in contents.entries
    )
    if contents.kind == "file" or not there:
        return "so that it cannot be unpacked"
    return f"and {there} of its {len(contents.entries)} tensors can be read (lilliput.load_packed)"


def _table(tensors: list[dict[str, Any]], width: int) -> "Table":
    bits = [tensor["bits_per_weight"] for tensor in tensors]
    columns = [
        Column("tensor", [tensor["name"] for tensor in tensors], wraps=True),
        Column("type", [tensor["type"] for tensor in tensors], 2),
        Column("shape", [" x ".join(map(str, tensor["shape"])) for tensor in tensors], 3),
        Column("unpacked", _sizes(tensors, "unpacked_bytes"), 1, is_number=True),
        Column("packed", _sizes(tensors, "stored_bytes"), 0, is_number=True),
        Column(
            "bits per weight",
            [f"{b:.3f}" if b is not None else "" for b in bits],
            0,
            is_number=True,
        ),
        Column("coding", [tensor["coding"] for tensor in tensors], 4),
        Column("step", [f"{t['step']:.4g}" if t["step"] else "" for t in tensors], 5),
    ]
    return fitted(columns, width)


def _sizes(tensors: list[dict[str, Any]], name: str) -> list[str]:
    return [bytes_text(tensor[name]) for tensor in tensors]
