"""The tables of `docs/pack.md` on what a packed network still knows, rounded or trained."""

from rows import Row, read

__all__ = ["table_pack_quality", "table_pack_smaller", "table_pack_train"]

DISTANCES = ("KL", "1 - cosine", "PSNR")
KINDS = ("", " opt_qp", " strengthened")


def table_pack_smaller() -> str:
    """One line for each of our files: how much smaller it is than NNCodec's as near."""
    rows = [row for row in read("pack_quality") if row.case.startswith("smaller ")]
    lines = [
        "| network | limit | smaller than NNCodec (95 %) | with `opt_qp` | strengthened |",
        "| --- | --- | --- | --- | --- |",
    ]
    for case, system in dict.fromkeys((row.case, row.system) for row in rows):
        found = {row.quantity: row for row in rows if (row.case, row.system) == (case, system)}
        cells = [_share(found.get(f"smaller than NNCodec{kind}")) for kind in KINDS]
        limit = system.removeprefix("lilliput, ")
        lines.append("| " + " | ".join([case.removeprefix("smaller "), limit, *cells]) + " |")
    return "\n".join(lines)


def table_pack_quality() -> str:
    """One line for each network and file: bytes, and what is left of the outputs."""
    rows = [row for row in read("pack_quality") if row.case.startswith("quality ")]
    lines = [
        "| network | file | B | distance (95 %) | agreement | top-1 (95 %) | of all |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case, system in dict.fromkeys((row.case, row.system) for row in rows):
        found = {row.quantity: row for row in rows if (row.case, row.system) == (case, system)}
        size, agreement = found.get("size"), found.get("agreement")
        distance = next((found[name] for name in DISTANCES if name in found), None)
        cells = [
            case.removeprefix("quality "),
            system,
            f"{size.value:,.0f}" if size else "-",
            _distance(distance),
            f"{100 * agreement.value:.1f} %" if agreement else "-",
            _share(found.get("top-1"), 2),
            f"{100 * found['top-1 of all'].value:.2f} %" if "top-1 of all" in found else "-",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


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
            _share(found["top-1"], 2),
            _share(found["drop"], 2),
            f"{100 * whole.value:.2f} %" if whole else "-",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _distance(row: Row | None) -> str:
    if row is None:
        return "-"
    digits = 1 if row.unit == "dB" else 4
    value, low, high = (f"{x:.{digits}f}" for x in (row.value, row.low or 0, row.high or 0))
    return f"{row.quantity} {value} ({low} to {high})"


def _share(row: Row | None, digits: int = 1) -> str:
    if row is None or row.low is None or row.high is None:
        return "-"
    value, low, high = (f"{100 * x:.{digits}f}" for x in (row.value, row.low, row.high))
    return f"{value} % ({low} to {high})"
