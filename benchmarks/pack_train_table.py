"""The table of `docs/pack.md` on networks that were trained for the packed file."""

from rows import Row, read

__all__ = ["table_pack_train"]


def table_pack_train() -> str:
    """One line for each network and way: bytes, and the score beside that before."""
    rows = read("pack_train")
    lines = [
        "| network | way | B (`--max`) | times smaller | float | top-1 (95 %) | drop | of all |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case, system in dict.fromkeys((row.case, row.system) for row in rows):
        found = {row.quantity: row for row in rows if (row.case, row.system) == (case, system)}
        whole = found.get("top-1 of all")
        cells = [
            case,
            system.removeprefix("lilliput, "),
            f"{found['size'].value:,.0f} ({found['size with --max'].value:,.0f})",
            f"{found['float32 weights / size'].value:.1f}",
            f"{100 * found['float top-1'].value:.2f} %",
            _share(found["top-1"]),
            _share(found["drop"], ""),
            f"{100 * whole.value:.2f} %" if whole else "-",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _share(row: Row, unit: str = " %") -> str:
    low, high = row.low or 0.0, row.high or 0.0
    return f"{100 * row.value:.2f}{unit} ({100 * low:.2f} to {100 * high:.2f})"
