"""Draws `docs/review.svg` from the rows of `quantize_review.py`: `make results`."""

import math
from html import escape
from pathlib import Path

from rows import Row, read

PICTURE = Path(__file__).parent.parent / "docs" / "review.svg"
WIDTH, BAR, GAP, LEFT, RIGHT, TOP = 760, 18, 6, 300, 70, 56
COLOURS = {"static": "#d9822b", "trained": "#0b6e99"}


def draw(rows: list[Row]) -> str:
    """One dot for each cell, with its interval."""
    height = TOP + len(rows) * (BAR + GAP) + 36
    least = math.floor(100 * min(row.low or row.value for row in rows))
    scale = (WIDTH - LEFT - RIGHT) / (100 - least)

    def x(share: float) -> float:
        return LEFT + (100 * share - least) * scale

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="13" role="img">',
        "<title>Accuracy by granularity, symmetry, bits and training</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        '<text x="12" y="24" font-size="16" font-weight="600">Top-1 of 1,000 digits, by how '
        "weights are quantized</text>",
        '<text x="12" y="42" fill="#555">ONNX Runtime, activations of 8 bits; lines are 95 % '
        "intervals</text>",
    ]
    for index, row in enumerate(rows):
        y = TOP + index * (BAR + GAP)
        words = row.case.removeprefix("review-").split("-", 1)
        colour = COLOURS[words[0]]
        middle = y + BAR / 2
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">'
            f"{escape(words[1].replace('-', ' '))}, {words[0]}</text>",
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{middle}" y2="{middle}" stroke="#eee"/>',
            f'<text x="{WIDTH - RIGHT + 8}" y="{y + 14}">{100 * row.value:.1f} %</text>',
        ]
        if row.low is not None and row.high is not None:
            parts.append(
                f'<line x1="{x(row.low):.1f}" x2="{x(row.high):.1f}" y1="{middle}" y2="{middle}" '
                f'stroke="{colour}" stroke-width="3"/>'
            )
        parts.append(f'<circle cx="{x(row.value):.1f}" cy="{middle}" r="5" fill="{colour}"/>')
    for percent in range(least, 101, 2):
        where = f'x="{x(percent / 100):.1f}" y="{height - 14}"'
        parts.append(f'<text {where} text-anchor="middle" fill="#555">{percent} %</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Writes the picture, where there are rows."""
    rows = [
        row
        for row in read("quantize")
        if row.case.startswith("review-") and row.quantity == "metric"
    ]
    if rows:
        PICTURE.write_text(draw(sorted(rows, key=lambda row: row.case)))


if __name__ == "__main__":
    main()
