"""Writes the tables of README.md from `benchmarks/results/*.json`: `make results`."""

import re
from pathlib import Path

from rows import Row, read

README = Path(__file__).parent.parent / "README.md"


def table_cifar10() -> str:
    """One line for each network and system: score, size and speed."""
    rows = read("cifar10")
    lines = [
        "| network | system | top-1 (8,000 images) | drop, points (95 %) | kB | smaller "
        "| faster than eager | faster than float ONNX | KL (10,000 images) |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    cases = list(dict.fromkeys((row.case, row.system) for row in rows))
    for case, system in sorted(cases):
        found = {row.quantity: row for row in rows if (row.case, row.system) == (case, system)}
        cells = [
            case,
            system,
            _number(found.get("top-1"), 100, "{:.2f} %"),
            _drop(found.get("drop")),
            _number(found.get("size"), 1e-3, "{:,.0f}"),
            _number(found.get("float size / size"), 1, "{:.1f}"),
            _inverse(found.get("latency_ratio_eager")),
            _inverse(found.get("latency_ratio")),
            _number(found.get("KL to the float softmax"), 1, "{:.4f}"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table_speed() -> str:
    """How long Lilliput itself takes."""
    lines = ["| what | quantity | median | range |", "| --- | --- | --- | --- |"]
    for row in read("speed"):
        unit = "" if row.unit == "1" else f" {row.unit}"
        spread = f"{row.low:.2f} to {row.high:.2f}" if row.low is not None else ""
        lines.append(f"| {row.case} | {row.quantity} | {row.value:.2f}{unit} | {spread} |")
    return "\n".join(lines)


def _number(row: Row | None, scale: float, form: str) -> str:
    return form.format(row.value * scale) if row else "-"


def _drop(row: Row | None) -> str:
    if row is None or row.low is None or row.high is None:
        return "-"
    return f"{100 * row.value:.2f} ({100 * row.low:.2f} to {100 * row.high:.2f})"


def _inverse(row: Row | None) -> str:
    return f"{1 / row.value:.1f}" if row and row.value else "-"


def main() -> None:
    """Replaces what stands between the markers."""
    text = README.read_text()
    for name, make in (("cifar10", table_cifar10), ("speed", table_speed)):
        pattern = rf"(<!-- results: {name} -->\n).*?(<!-- end -->)"
        text = re.sub(pattern, lambda m, make=make: f"{m[1]}{make()}\n{m[2]}", text, flags=re.S)
    README.write_text(text)


if __name__ == "__main__":
    main()
