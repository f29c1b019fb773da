"""Draws `docs/review.svg` from the rows of `quantize_review.py`: `make results`."""

from html import escape
from pathlib import Path

from rows import Row, read

PICTURE = Path(__file__).parent.parent / "docs" / "review.svg"
WIDTH, BAR, GAP, LEFT, RIGHT, TOP = 760, 18, 6, 300, 70, 56
COLOURS = {"static": "#d9822b", "trained": "#0b6e99"}


def draw(rows: list[Row]) -> str:
    """One bar for each cell, with its interval."""
    height = TOP + len(rows) * (BAR + GAP) + 20
    scale = (WIDTH - LEFT - RIGHT) / 100
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
            f'<rect x="{LEFT}" y="{y}" width="{100 * row.value * scale:.1f}" height="{BAR}" '
            f'fill="{colour}"/>',
            f'<text x="{LEFT + 100 * scale + 8}" y="{y + 14}">{100 * row.value:.1f} %</text>',
        ]
        if row.low is not None and row.high is not None:
            ends = [LEFT + 100 * end * scale for end in (row.low, row.high)]
            parts.append(
                f'<line x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{middle}" y2="{middle}" '
                'stroke="#222" stroke-width="2"/>'
            )
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
