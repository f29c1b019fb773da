"""What `lilliput inspect` says of an update: which file it needs, and what it changes."""

from collections import Counter
from pathlib import Path

from lilliput.cli.output import Answer
from lilliput.core.amounts import bytes_text
from lilliput.pack.updates import read_update

__all__ = ["inspect_update"]

_WAYS = ("whole", "same", "differences")


def inspect_update(path: Path, answer: Answer) -> None:
    """Reads the header alone, so that an update is looked at before it is trusted."""
    size = path.stat().st_size
    with path.open("rb") as file:
        update = read_update(file, path.name, size, 1 << 62)
    pairs = zip(update.contents.entries, update.ways, strict=True)
    tensors = [{"name": entry.name, "coded": _WAYS[how.way]} for entry, how in pairs]
    counts = Counter(tensor["coded"] for tensor in tensors)
    value = {
        "kind": "update",
        "needs_sha256": update.base.hex(),
        "makes_sha256": update.result.hex(),
        "makes_bytes": update.size,
        "size_bytes": size,
        "tensors": tensors,
    }
    what = ", ".join(f"{counts[way]} {way}" for way in _WAYS if counts[way])
    answer.give(
        value,
        f"an update, {bytes_text(size)}; tensors: {what}",
        f"needs SHA-256 {update.base.hex()}",
        f"makes SHA-256 {update.result.hex()}, {bytes_text(update.size)}",
    )
