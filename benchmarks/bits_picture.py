"""Draws `docs/bits.svg` from the rows of `quantize_mixed.py`: `make results`."""

from pathlib import Path

from rows import Row, read

PICTURE = Path(__file__).parent.parent / "docs" / "bits.svg"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 360, 64, 24, 64, 48
FEWEST, MOST = 2.0, 4.25
COUNTED = {
    "bits of a weight": ("#0b6e99", "bits as chosen"),
    "bits of a weight in the file": ("#d9822b", "bits as the file stores them"),
}


def points(rows: list[Row], quantity: str) -> list[tuple[float, Row]]:
    """Bits and drop of each file without training whose bits were chosen as counted here."""
    is_stored = quantity.endswith("file")
    drops = {row.case: row for row in rows if row.quantity == "drop"}
    bits = {row.case: row.value for row in rows if row.quantity == quantity}
    return sorted(
        (value, drops[case])
        for case, value in bits.items()
        if case in drops and case.endswith("in-the-file") == is_stored
    )


def draw(series: dict[str, list[tuple[float, Row]]]) -> str:
    """Two lines of dots with their intervals."""
    ends = [end for found in series.values() for _, row in found for end in (row.low, row.high)]
    low, high = (100 * f(ends) for f in (min, max))
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(bits: float) -> float:
        return LEFT + (bits - FEWEST) / (MOST - FEWEST) * wide

    def y(drop: float) -> float:
        return TOP + (100 * drop - low) / (high - low) * tall

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="system-ui, sans-serif" font-size="13" role="img">',
        "<title>Drop of ResNet-56 by bits of a weight</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        '<text x="12" y="24" font-size="16" font-weight="600">ResNet-56: points lost, by bits of '
        "a weight in the mean</text>",
        '<text x="12" y="42" fill="#555">8,000 images of CIFAR-10, no training, ONNX Runtime, '
        "activations of 8 bits; lines are 95 % intervals</text>",
    ]
    for points_lost in range(round(low), round(high) + 1):
        height = y(points_lost / 100)
        parts += [
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}" '
            'stroke="#eee"/>',
            f'<text x="{LEFT - 8}" y="{height + 4:.1f}" text-anchor="end">{-points_lost}</text>',
        ]
    for quarter in range(int(FEWEST * 4), int(MOST * 4) + 1, 2):
        parts.append(
            f'<text x="{x(quarter / 4):.1f}" y="{HEIGHT - 26}" text-anchor="middle" fill="#555">'
            f"{quarter / 4:g}</text>"
        )
    for index, (quantity, found) in enumerate(series.items()):
        colour, words = COUNTED[quantity]
        line = " ".join(f"{x(bits):.1f},{y(row.value):.1f}" for bits, row in found)
        parts += [
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-opacity="0.4"/>',
            f'<circle cx="{LEFT + 8 + 240 * index}" cy="{HEIGHT - 10}" r="5" fill="{colour}"/>',
            f'<text x="{LEFT + 20 + 240 * index}" y="{HEIGHT - 6}">{words}</text>',
        ]
        for bits, row in found:
            at = f"{x(bits):.1f}"
            parts += [
                f'<line x1="{at}" x2="{at}" y1="{y(row.low):.1f}" y2="{y(row.high):.1f}" '
                f'stroke="{colour}" stroke-width="2"/>',
                f'<circle cx="{at}" cy="{y(row.value):.1f}" r="5" fill="{colour}"/>',
            ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Writes the picture, where there are rows."""
    rows = [
        row
        for row in read("quantize")
        if row.case.startswith("resnet56-mixed") and "trained" not in row.case
    ]
    series = {quantity: points(rows, quantity) for quantity in COUNTED}
    if all(series.values()):
        PICTURE.write_text(draw(series))


if __name__ == "__main__":
    main()
