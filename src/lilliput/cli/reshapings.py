"""Other layers in a layer's place, told in few lines: equal advice on many layers is one line."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import lilliput.graph

__all__ = ["is_reshaping", "reshaping_lines"]

_ACTIONS = ("factorize", "separate", "shrink", "remove")
_MOST_LINES = 12


def is_reshaping(entry: "lilliput.graph.Advice") -> bool:
    """Whether advice is to put something else in a layer's or a block's place."""
    return entry.action in _ACTIONS


def reshaping_lines(found: "Sequence[lilliput.graph.Advice]") -> list[str]:
    """One line for each thing that could be done, with all layers that it would do the same to.

    What saves most comes first; of long lists the rest is counted.
    """
    alike: dict[tuple[str, str], list[lilliput.graph.Advice]] = defaultdict(list)
    for entry in filter(is_reshaping, found):
        alike[entry.action, entry.text].append(entry)
    whole_bytes = sum(entry.saved_bytes for entry in found) or 1
    whole_macs = sum(entry.saved_macs for entry in found) or 1

    def weight(entries: "Sequence[lilliput.graph.Advice]") -> float:
        saved = sum(e.saved_bytes for e in entries) / whole_bytes
        return saved + sum(e.saved_macs for e in entries) / whole_macs

    rows = sorted(alike.items(), key=lambda item: -weight(item[1]))
    lines = [_line(action, text, entries) for (action, text), entries in rows[:_MOST_LINES]]
    rest = sum(len(entries) for _, entries in rows[_MOST_LINES:])
    return [*lines, f"and {rest} more that save less; --json has all"] if rest else lines


def _line(action: str, text: str, entries: "Sequence[lilliput.graph.Advice]") -> str:
    first, last, count = entries[0].name, entries[-1].name, len(entries)
    if count == 1:
        return f"{action} {first}: {text}"
    names = f"{first} and {last}" if count == 2 else f"{count} from {first} to {last}"
    return f"{action} {names}, each: {text}"
