"""Draws the pictures of `docs/` from the rows in `benchmarks/results`: `make results`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.ticker import FuncFormatter
from rows import Row, read

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer

DOCS = Path(__file__).parent.parent / "docs"
BLUE, ORANGE, GREY = "#0b6e99", "#d9822b", "#6b6b6b"
STYLE = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "figure.figsize": (9, 4.6),
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
    "savefig.bbox": "tight",
    "svg.fonttype": "none",
    "svg.hashsalt": "lilliput",
    "ytick.left": False,
}
PERCENT = FuncFormatter(lambda share, _: f"{100 * share:.3g} %")


def dots(
    axes: "Axes", xs: Sequence[float], rows: Iterable[Row], colour: str, **options: object
) -> "ErrorbarContainer":
    """A dot for each row's value, with a line from its `low` to its `high`."""
    rows = list(rows)
    ys = [row.value for row in rows]
    return axes.errorbar(xs, ys, reach(rows), fmt="o", color=colour, **options)


def reach(rows: Iterable[Row]) -> tuple[list[float], list[float]]:
    """How far each row's interval goes below its value and above; 0 where it has none."""
    rows = list(rows)
    below = [0.0 if row.low is None else row.value - row.low for row in rows]
    above = [0.0 if row.high is None else row.high - row.value for row in rows]
    return below, above


def front(rows: list[Row]) -> None:
    """Accuracy of each file against its size."""
    sizes = {(row.case, row.system): row.value for row in rows if row.quantity == "size"}
    scores = [r for r in rows if r.quantity == "top-1" and (r.case, r.system) in sizes]
    kinds: dict[tuple[str, str], list[Row]] = {
        ("float ONNX", GREY): [],
        ("peers", ORANGE): [],
        ("Lilliput", BLUE): [],
    }
    floats, peers, ours = kinds.values()
    for row in scores:
        is_float = row.case.endswith("float")
        (floats if is_float else ours if row.system == "lilliput" else peers).append(row)
    axes = pyplot.subplots()[1]
    for (label, colour), found in kinds.items():
        xs = [sizes[row.case, row.system] / 1000 for row in found]
        dots(axes, xs, found, colour, label=label)
    axes.set_title("CIFAR-10 ResNets: top-1 of the exported file, 95 % interval")
    axes.set_xscale("log")
    axes.set_xticks([100, 200, 500, 1000, 2000, 4000])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda kilobytes, _: f"{kilobytes:,.0f}"))
    axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    axes.set_xlabel("size, kB")
    axes.yaxis.set_major_formatter(PERCENT)
    axes.legend(loc="lower right")
    save("front")


def review(rows: list[Row]) -> None:
    """Accuracy by granularity, symmetry, bits and training."""
    found = [r for r in rows if r.case.startswith("review-") and r.quantity == "metric"]
    found.sort(key=lambda row: row.case, reverse=True)
    names = [row.case.removeprefix("review-").replace("-", " ") for row in found]
    axes = pyplot.subplots(figsize=(9, 1 + len(found) / 4))[1]
    for y, (row, name) in enumerate(zip(found, names, strict=True)):
        colour = ORANGE if name.startswith("static") else BLUE
        axes.errorbar(row.value, y, xerr=reach([row]), fmt="o", color=colour)
        text = f"{100 * row.value:.1f} %"
        axes.annotate(text, (1.01, y), xycoords=("axes fraction", "data"), va="center")
    axes.set_yticks(range(len(found)), names)
    axes.set_title("Top-1 of 1,000 digits, by how weights are quantized", x=0)
    axes.set_xlabel("ONNX Runtime, activations of 8 bits; lines are 95 % intervals")
    axes.xaxis.set_major_formatter(PERCENT)
    save("review")


def bits(rows: list[Row]) -> None:
    """What ResNet-56 loses, by bits of a weight."""
    mixed = [r for r in rows if r.case.startswith("resnet56-mixed") and "trained" not in r.case]
    drops = {row.case: row for row in mixed if row.quantity == "drop"}
    axes = pyplot.subplots()[1]
    for quantity, label, colour in (
        ("bits of a weight", "bits as chosen", BLUE),
        ("bits of a weight in the file", "bits as the file stores them", ORANGE),
    ):
        is_stored = quantity.endswith("file")
        found = sorted(
            (row.value, row.case)
            for row in mixed
            if row.quantity == quantity
            and row.case in drops
            and row.case.endswith("in-the-file") == is_stored
        )
        chosen = [drops[case] for _, case in found]
        dots(axes, [value for value, _ in found], chosen, colour, label=label)
    axes.set_title("ResNet-56: points lost, by bits of a weight in the mean")
    axes.set_xlabel(
        "8,000 images of CIFAR-10, no training, ONNX Runtime, activations of 8 bits; "
        "lines are 95 % intervals"
    )
    axes.invert_yaxis()
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.3g}"))
    axes.legend(loc="lower right")
    save("bits")


def widths(rows: list[Row]) -> None:
    """What is left of ResNet-20's time and of its multiplications, by width."""
    found = [row for row in rows if "-width-" in row.case]
    axes = pyplot.subplots()[1]
    for quantity, label, colour in (
        ("latency_ratio", "latency, measured", BLUE),
        ("MACs / float MACs", "multiplications, counted", ORANGE),
    ):
        series = [row for row in found if row.quantity == quantity]
        series.sort(key=_width)
        dots(axes, [_width(row) for row in series], series, colour, label=label, linestyle="-")
    axes.set_title("ResNet-20: what is left of its time and of its multiplications, by width")
    axes.set_xlabel(
        "channels of the first stage; twice and four times as many in the others\n"
        "ONNX Runtime, one thread, batch 1, all files timed in turns; "
        "lines are the 10th to 90th percentile"
    )
    axes.set_ylim(0, 1.1 * max(row.value for row in found))
    axes.yaxis.set_major_formatter(PERCENT)
    axes.legend(loc="upper left")
    save("widths")


def compare(rows: list[Row]) -> None:
    """The score of each arm against the bytes of its file."""
    case = {tuple(r.quantity.split(": ")): r for r in rows if r.case == "resnet20-compare"}
    arms = list(dict.fromkeys(arm for arm, _ in case))
    if not arms:
        return
    _, axes = pyplot.subplots()
    sizes = [case[arm, "size"].value / 1e3 for arm in arms]
    colours = [GREY if arm == "original" else BLUE if arm == "pruned" else ORANGE for arm in arms]
    for arm, size, colour in zip(arms, sizes, colours, strict=True):
        row = case[arm, "top-1"]
        dots(axes, [size], [row], colour)
        left = size == min(sizes)
        place = {"textcoords": "offset points", "va": "center", "ha": "right" if left else "left"}
        axes.annotate(arm, (size, row.value), (-8 if left else 8, 0), color=colour, **place)
    axes.set_xlabel("kB of the file")
    axes.set_title("ResNet-20 on CIFAR-10: pruned, or trained small (top-1, 95 % over seeds)")
    axes.yaxis.set_major_formatter(PERCENT)
    axes.margins(x=0.3)
    save("compare")


def _width(row: Row) -> int:
    return int(row.case.rpartition("-")[2])


def save(name: str) -> None:
    """Writes the picture at hand; the same rows give the same file."""
    pyplot.savefig(DOCS / f"{name}.svg", metadata={"Date": None, "Creator": None})
    pyplot.close()


if __name__ == "__main__":
    mpl.use("svg")
    with mpl.rc_context(STYLE):
        front(read("cifar10"))
        review(read("quantize"))
        bits(read("quantize"))
        widths(read("prune"))
        compare(read("prune"))
