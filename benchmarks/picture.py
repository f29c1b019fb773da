"""Draws `docs/front.svg` from `benchmarks/results/cifar10.json`: accuracy against size."""

import math
from dataclasses import dataclass
from html import escape
from pathlib import Path

from rows import Row, read

PICTURE = Path(__file__).parent.parent / "docs" / "front.svg"
WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 44, 56
COLOURS = {"lilliput": "#0b6e99", "float": "#6b6b6b", "peer": "#d9822b"}
TICKS_KB = (100, 200, 500, 1000, 2000, 4000)


@dataclass(frozen=True)
class Dot:
    """One file: where it stands and what it is."""

    label: str
    kind: str
    kilobytes: float
    top_1: float
    low: float
    high: float


def dots(rows: list[Row]) -> list[Dot]:
    """One dot for each case and system that has a score and a size."""
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        found.setdefault((row.case, row.system), {})[row.quantity] = row
    made = []
    for (case, system), values in found.items():
        if "top-1" not in values or "size" not in values:
            continue
        score = values["top-1"]
        is_float = case.endswith("float")
        kind = "float" if is_float else "lilliput" if system == "lilliput" else "peer"
        label = f"{case} ({system})"
        low, high = score.low or score.value, score.high or score.value
        size = values["size"].value / 1000
        made.append(Dot(label, kind, size, 100 * score.value, 100 * low, 100 * high))
    return made


def draw(found: list[Dot]) -> str:
    """The picture as SVG text."""
    bottom = math.floor(min(dot.low for dot in found))
    top = math.ceil(max(dot.high for dot in found))

    def x(kilobytes: float) -> float:
        share = math.log(kilobytes / TICKS_KB[0]) / math.log(TICKS_KB[-1] / TICKS_KB[0])
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(percent: float) -> float:
        return TOP + (top - percent) / (top - bottom) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12" fill="#333">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="20" font-size="14">CIFAR-10 ResNets: top-1 of the exported file, %, '
        "95 % interval, against its size, kB</text>",
    ]
    for tick in TICKS_KB:
        parts.append(_line(x(tick), TOP, x(tick), HEIGHT - BOTTOM, "#e6e6e6"))
        parts.append(_text(x(tick), HEIGHT - BOTTOM + 18, f"{tick:,}", "middle"))
    for percent in range(bottom, top + 1):
        parts.append(_line(LEFT, y(percent), WIDTH - RIGHT, y(percent), "#e6e6e6"))
        parts.append(_text(LEFT - 8, y(percent) + 4, str(percent), "end"))
    for dot in found:
        colour = COLOURS[dot.kind]
        parts.append(_line(x(dot.kilobytes), y(dot.low), x(dot.kilobytes), y(dot.high), colour))
        parts.append(
            f'<circle cx="{x(dot.kilobytes):.1f}" cy="{y(dot.top_1):.1f}" r="5" fill="{colour}">'
            f"<title>{escape(dot.label)}: {dot.top_1:.2f} %, {dot.kilobytes:,.0f} kB</title>"
            "</circle>"
        )
    for index, (kind, name) in enumerate(
        {"float": "float ONNX", "peer": "peers, int8", "lilliput": "Lilliput"}.items()
    ):
        left = LEFT + 150 * index
        parts.append(f'<circle cx="{left}" cy="{HEIGHT - 16}" r="5" fill="{COLOURS[kind]}"/>')
        parts.append(_text(left + 12, HEIGHT - 12, name, "start"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="1.5"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


if __name__ == "__main__":
    PICTURE.write_text(draw(dots(read("cifar10"))))
