"""Draws `docs/widths.svg` from the rows of `prune_widths.py`: `make results`."""

from pathlib import Path

from rows import Row, read

PICTURE = Path(__file__).parent.parent / "docs" / "widths.svg"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 380, 64, 24, 64, 56
NARROWEST, WIDEST = 4, 16
SERIES = {
    "latency_ratio": ("#0b6e99", "latency, measured"),
    "MACs / float MACs": ("#d9822b", "multiplications, counted"),
}


def points(rows: list[Row], quantity: str) -> list[tuple[int, Row]]:
    """Width of the first stage and what is left at it."""
    found = [row for row in rows if row.quantity == quantity and "-width-" in row.case]
    return sorted(((int(row.case.rpartition("-")[2]), row) for row in found), key=lambda p: p[0])


def draw(series: dict[str, list[tuple[int, Row]]]) -> str:
    """Two lines of dots, with the spread of the times."""
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    highest = max(row.value for found in series.values() for _, row in found)
    most = max(1.1, 1.05 * highest)

    def x(width: float) -> float:
        return LEFT + (width - NARROWEST) / (WIDEST - NARROWEST) * wide

    def y(share: float) -> float:
        return TOP + (1 - share / most) * tall

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="system-ui, sans-serif" font-size="13" role="img">',
        "<title>Latency of ResNet-20 by width</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        '<text x="12" y="24" font-size="16" font-weight="600">ResNet-20: what is left of its time '
        "and of its multiplications, by width</text>",
        '<text x="12" y="42" fill="#555">ONNX Runtime, one thread, batch 1, all files timed in '
        "turns; lines are the 10th to 90th percentile</text>",
    ]
    for tenths in range(0, 11, 2):
        height = y(tenths / 10)
        parts += [
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}" '
            'stroke="#eee"/>',
            f'<text x="{LEFT - 8}" y="{height + 4:.1f}" text-anchor="end">{10 * tenths} %</text>',
        ]
    for width in range(NARROWEST, WIDEST + 1):
        parts.append(
            f'<text x="{x(width):.1f}" y="{HEIGHT - 34}" text-anchor="middle" fill="#555">'
            f"{width}</text>"
        )
    parts.append(
        f'<text x="{LEFT + wide / 2:.0f}" y="{HEIGHT - 12}" text-anchor="middle" fill="#555">'
        "channels of the first stage; twice and four times as many in the others</text>"
    )
    for index, (quantity, found) in enumerate(series.items()):
        color, label = SERIES[quantity]
        line = " ".join(f"{x(width):.1f},{y(row.value):.1f}" for width, row in found)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        for width, row in found:
            if row.low is not None and row.high is not None:
                parts.append(
                    f'<line x1="{x(width):.1f}" x2="{x(width):.1f}" y1="{y(row.low):.1f}" '
                    f'y2="{y(min(row.high, most)):.1f}" stroke="{color}"/>'
                )
            parts.append(
                f'<circle cx="{x(width):.1f}" cy="{y(row.value):.1f}" r="3.5" fill="{color}">'
                f"<title>width {width}: {100 * row.value:.0f} %</title></circle>"
            )
        top = TOP + 14 + 20 * index
        parts += [
            f'<circle cx="{LEFT + 16}" cy="{top - 4}" r="4" fill="{color}"/>',
            f'<text x="{LEFT + 26}" y="{top}">{label}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Draws where there is something to draw."""
    rows = read("prune")
    series = {quantity: points(rows, quantity) for quantity in SERIES}
    if all(series.values()):
        PICTURE.write_text(draw(series))


if __name__ == "__main__":
    main()
