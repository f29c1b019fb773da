"""The tables of `docs/techniques.md`: which technique a case shows, and one line for each."""

from rows import Row, read

__all__ = ["table_compare", "table_each", "table_structures", "table_techniques"]

TECHNIQUES = {
    "resnet56-2.1x": "blocks and channels, each block taught, then 20 epochs with CutMix",
    "resnet56-2.1x-2-epochs": "blocks and channels, each block taught, then 2 epochs",
    "resnet56-2.1x-plain-12": "fewer blocks and more channels, 12 epochs",
    "resnet56-2.1x-plain-20": "fewer blocks and more channels, 20 epochs with CutMix",
    "resnet56-2.55x": "blocks and channels, 20 epochs",
    "resnet56-2.1x-blocks": "blocks of the first stage and channels, 12 epochs",
    "resnet56-90": "90 % of weights zero, gradually, 20 epochs with CutMix",
    "resnet56-separable": "separable convolutions",
    "resnet56-low-rank": "low rank",
    "resnet20-2x-taught": "half the MACs (ours: a block, too), taught, 9 epochs, 3 seeds",
    "resnet20-2x-taught-inner": "inner channels, taught, 9 epochs, 3 seeds",
    "resnet20-2x-labels": "a block and channels, labels alone, 9 epochs, 3 seeds",
    "lenet300-tickets": "lottery ticket",
    "sst2-half": "half the heads, half the MLP width",
    "sst2-2of4": "2:4 sparsity, trained again",
    "sst2-2of4-untrained": "2:4 sparsity, second order, no training",
    "vgg16-dense": "float, trained here for 16 epochs",
    "vgg16-filters": "half the filters of seven layers, taught, 4 epochs",
    "vgg16-zeros": "95 % of weights zero, gradually, taught, 6 epochs",
    "sst2-vocabulary": "only the tokens that the data uses",
}
LITE0 = {
    "pruned": "inner channels of every block",
    "low-rank": "pointwise layers of low rank",
    "narrower": "every width",
    "separable": "separable convolutions, of which none suits",
}
EACH = {
    "magnitude": "80 % of weights, by magnitude over all layers",
    "per-layer": "80 % of weights, as many of each layer",
    "erk": "80 % of weights, allotted by Erdos-Renyi kernels",
    "by-sensitivity": "80 % of weights, allotted by sensitivity",
    "again": "55 % of weights, an epoch, then 80 %",
    "gradual": "80 % of weights, gradually",
    "movement": "80 % of weights, by movement",
    "second-order": "80 % of weights, by what layers read",
    "2of4": "2 of 4 weights stay",
    "1of4": "1 of 4 weights stays",
    "4of8": "4 of 8 weights stay",
    "blocks-1x4": "half the weights, in blocks of 1 x 4",
    "blocks-4x1": "half the weights, in blocks of 4 x 1",
    "blocks-8x8": "half the weights, in blocks of 8 x 8",
    "l1": "half the inner channels, by the L1 norm of groups",
    "l2": "half the inner channels, by the L2 norm of groups",
    "filters-l2": "half the inner channels, by the L2 norm of filters",
    "geometric-median": "half the inner channels, by the geometric median",
    "taylor": "half the inner channels, by Taylor expansion",
    "fisher": "half the inner channels, by Fisher information",
    "norm-scales": "half the inner channels, by norms' scales made sparse",
    "group-sparsity": "half the inner channels, groups made sparse",
    "random": "half the inner channels, at random",
    "by-latency": "channels and blocks, to 60 % of the time",
    "similar-blocks": "two blocks, whose inputs and outputs are most alike",
    "channel-svd": "low rank, 1 x 1 after k x k",
    "spatial-svd": "low rank, columns and rows",
    "tucker": "low rank, Tucker",
    "separable": "separable convolutions in the last stage",
    "kernels": "1 x 1 kernels in half of the last stage",
    "stride-later": "the last stride one layer later",
    "dilation": "the last stride turned into dilation",
    "narrow": "0.7 of all widths, drawn anew",
}
GRADUAL = "weights, gradually"
COMPARED = "resnet20-compare"
SKIPPED = ("structures", "resnet20-width", "resnet20-by-latency", COMPARED)


def table_techniques() -> str:
    """One line for each case and system."""
    return _table([row for row in read("prune") if not row.case.startswith((*SKIPPED, "each-"))])


def table_each() -> str:
    """One line for each technique alone."""
    return _table([row for row in read("prune") if row.case.startswith("each-")])


def _table(rows: list[Row]) -> str:
    lines = [
        "| case | technique | system | kB | smaller | fewer weights | fewer MACs "
        "| times as fast | score | drop, points (95 %) |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case, system in dict.fromkeys((row.case, row.system) for row in rows):
        found = {row.quantity: row for row in rows if (row.case, row.system) == (case, system)}
        name = _name(case)
        cells = [
            case,
            "float" if case.endswith(("-float", "-dense")) else name,
            system,
            _number(found.get("size"), 1e-3, "{:,.0f}"),
            _number(found.get("float size / size"), 1, "{:.1f}"),
            _number(found.get("float weights / weights"), 1, "{:.1f}"),
            _number(found.get("float MACs / MACs"), 1, "{:.2f}"),
            _inverse(found.get("latency_ratio")),
            _score(found),
            _drop(found.get("drop")),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table_compare() -> str:
    """One line for each arm: pruned, trained small, and by how much the first is better."""
    rows = [row for row in read("prune") if row.case == COMPARED]
    lines = [
        "| arm | epochs | top-1 (test) | pruned leads by, points (95 %) | kB | MACs, M "
        "| times as fast |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    found = {tuple(row.quantity.split(": ")): row for row in rows}
    for arm in dict.fromkeys(arm for arm, _ in found):
        cells = [
            arm,
            _number(found.get((arm, "epochs")), 1, "{:.0f}"),
            _score({"metric": found[arm, "top-1"]}),
            _drop(found.get((arm, "pruned leads by"))),
            _number(found.get((arm, "size")), 1e-3, "{:,.0f}"),
            _number(found.get((arm, "MACs")), 1e-6, "{:.1f}"),
            _inverse(found.get((arm, "latency ratio"))),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table_structures() -> str:
    """What became of each structure, with each system."""
    rows = [row for row in read("prune") if row.case == "structures"]
    systems = list(dict.fromkeys(row.system for row in rows))
    names = dict.fromkeys(row.quantity for row in rows if "," not in row.quantity)
    found = {(row.system, row.quantity): row.value for row in rows}
    lines = [
        "| structure | " + " | ".join(systems) + " |",
        "| --- |" + " --- |" * len(systems),
    ]
    for name in names:
        cells = [_outcome(found, system, name) for system in systems]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _outcome(found: dict[tuple[str, str], float], system: str, name: str) -> str:
    left = found.get((system, f"{name}, parameters left"), 1.0)
    if (system, name) not in found:
        return "-"
    if found[system, name] == 1:
        return f"works, {100 * left:.0f} % of the parameters left"
    return "refuses, or removes nothing" if left == 1 else "wrong outputs, or does not run"


def _name(case: str) -> str:
    """What the case shows."""
    if case.startswith("each-"):
        return EACH[case.removeprefix("each-")]
    if case.startswith("lite0-"):
        way = case.removeprefix("lite0-").removesuffix("-untrained")
        return LITE0[way] + (", not taught yet" if case.endswith("-untrained") else "")
    return TECHNIQUES.get(case, GRADUAL if case.startswith("lenet") else "")


def _score(found: dict[str, Row]) -> str:
    tickets = [row for name, row in found.items() if name.startswith("metric of the ")]
    if tickets:
        texts = (
            f"{row.quantity.removeprefix('metric of the ')} {100 * row.value:.2f} %"
            f" ({100 * row.low:.2f} to {100 * row.high:.2f})"
            for row in tickets
        )
        return ", ".join(texts)
    row = found.get("metric", found.get("top-1"))
    return _number(row, 100, "{:.2f} %")


def _number(row: Row | None, scale: float, form: str) -> str:
    return form.format(row.value * scale) if row else "-"


def _inverse(row: Row | None) -> str:
    return f"{1 / row.value:.2f}" if row and row.value else "-"


def _drop(row: Row | None) -> str:
    if row is None or row.low is None or row.high is None:
        return "-"
    return f"{100 * row.value:.2f} ({100 * row.low:.2f} to {100 * row.high:.2f})"
