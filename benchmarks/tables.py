"""Writes the tables of the pages from `benchmarks/results/*.json`: `make results`."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pack_tables import table_pack_quality, table_pack_smaller, table_pack_train
from rows import Row, read
from techniques import table_compare, table_each, table_structures, table_techniques

HOME = Path(__file__).parent.parent
README, QUANTIZE = HOME / "README.md", HOME / "docs" / "quantize.md"
MICROCONTROLLERS = HOME / "docs" / "microcontrollers.md"
TECHNIQUES = HOME / "docs" / "techniques.md"
COMPARE = HOME / "docs" / "compare.md"
PACKED = "lilliput, packed"
PACK = HOME / "docs" / "pack.md"
SCORES = ("top-1", "metric")
DROPS = ("drop", "drop of validation")
DISTANCES = ("KL to the float softmax", "cosine to the float embedding")


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


def table_quantize() -> str:
    """One line for each network, recipe, runtime and system."""
    rows = [row for row in read("quantize") if not row.case.startswith(("simulation", "review"))]
    lines = [
        "| case | system | score | drop, points (95 %) | from the float network | kB "
        "| times as fast as float | examples |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    cases = dict.fromkeys((row.case, row.system) for row in rows)
    for case, system in sorted(cases):
        found = {row.quantity: row for row in rows if (row.case, row.system) == (case, system)}
        score, drop, distance = (_first(found, n) for n in (SCORES, DROPS, DISTANCES))
        if score is None:
            continue
        cells = [
            case,
            system,
            _number(score, 100, "{:.2f} %"),
            _drop(drop),
            _distance(distance),
            _number(found.get("size"), 1e-3, "{:,.0f}"),
            _inverse(found.get("latency_ratio")),
            f"{score.samples:,}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _first(found: dict[str, Row], names: tuple[str, ...]) -> Row | None:
    return next((found[name] for name in names if name in found), None)


def _distance(row: Row | None) -> str:
    if row is None:
        return "-"
    spread = f" ({row.low:.4f} to {row.high:.4f})" if row.low is not None else ""
    return f"{row.quantity.split()[0]} {row.value:.4f}{spread}"


def table_speed() -> str:
    """How long Lilliput itself takes."""
    lines = ["| what | quantity | median | range |", "| --- | --- | --- | --- |"]
    for row in read("speed"):
        unit = "" if row.unit == "1" else f" {row.unit}"
        spread = f"{row.low:.2f} to {row.high:.2f}" if row.low is not None else ""
        lines.append(f"| {row.case} | {row.quantity} | {row.value:.2f}{unit} | {spread} |")
    return "\n".join(lines)


def table_microcontroller() -> str:
    """One line for each network and system: flash, RAM and instructions."""
    rows = read("microcontroller")
    lines = [
        "| network and processor | system | flash, B | RAM, B | million instructions |",
        "| --- | --- | --- | --- | --- |",
    ]
    packed = {row.case for row in rows if row.system == PACKED}
    places = {case: place for place, case in enumerate(dict.fromkeys(row.case for row in rows))}
    systems = dict.fromkeys((row.case, row.system) for row in rows if row.case not in packed)
    for case, system in sorted(systems, key=lambda pair: places[pair[0]]):
        lines.append("| " + " | ".join([case, system, *_chip(rows, case, system)]) + " |")
    return "\n".join(lines)


def table_packed() -> str:
    """One line for each network: flash, RAM and instructions with plain and with packed weights."""
    rows = read("microcontroller")
    lines = [
        "| network and processor | flash, B | packed | RAM, B | packed | million instructions "
        "| packed |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case in dict.fromkeys(row.case for row in rows if row.system == PACKED):
        both = zip(_chip(rows, case, "lilliput"), _chip(rows, case, PACKED), strict=True)
        cells = [cell for pair in both for cell in pair]
        lines.append("| " + " | ".join([case, *cells]) + " |")
    return "\n".join(lines)


def _chip(rows: Sequence[Row], case: str, system: str) -> list[str]:
    """Flash, RAM and instructions."""
    found = {row.quantity: row for row in rows if (row.case, row.system) == (case, system)}
    return [
        _number(found.get("flash"), 1, "{:,.0f}"),
        _number(found.get("RAM"), 1, "{:,.0f}"),
        _number(found.get("instructions"), 1e-6, "{:.2f}"),
    ]


def table_spoken_digits() -> str:
    """One line for each number of the image."""
    lines = ["| what | value | 95 % |", "| --- | --- | --- |"]
    for row in read("spoken_digits"):
        spread = "" if row.low is None else f"{100 * row.low:.2f} to {100 * row.high:.2f} %"
        is_share = row.quantity.startswith(("top-1", "drop"))
        value = f"{100 * row.value:.2f} %" if is_share else f"{row.value:,.0f}"
        unit = " B" if row.unit == "B" else ""
        lines.append(f"| {row.quantity} | {value}{unit} | {spread} |")
    return "\n".join(lines)


def table_pack_files() -> str:
    """One line for each file and system: bytes, and how many times smaller."""
    rows = [row for row in read("pack") if row.case.startswith("lossless")]
    lines = ["| file | system | B | times smaller |", "| --- | --- | --- | --- |"]
    for row in rows:
        if row.quantity == "size":
            key = (row.case, row.system, "file / size")
            ratio = next((other for other in rows if other.key == key), None)
            name = row.case.removeprefix("lossless ")
            times = _number(ratio, 1, "{:.2f}")
            lines.append(f"| {name} | {row.system} | {row.value:,.0f} | {times} |")
    return "\n".join(lines)


def table_pack_integers() -> str:
    """One line for each network and step: bits per weight beside the entropy."""
    rows = [row for row in read("pack") if row.case.startswith("integers")]
    lines = [
        "| network, step | bits per weight | order-0 entropy | of it | worst tensor |",
        "| --- | --- | --- | --- | --- |",
    ]
    for case in dict.fromkeys(row.case for row in rows):
        found = {(row.system, row.quantity): row for row in rows if row.case == case}
        cells = [
            case.removeprefix("integers "),
            _number(found.get(("lilliput", "bits per weight")), 1, "{:.3f}"),
            _number(found.get(("order-0 entropy", "bits per weight")), 1, "{:.3f}"),
            _number(found.get(("lilliput", "bits / entropy")), 100, "{:.1f} %"),
            _number(found.get(("lilliput", "worst tensor")), 100, "{:.1f} %"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table_pack_max() -> str:
    """One line for each network and step: bits per weight without mixing and with it."""
    rows = [row for row in read("pack_max") if row.case.startswith("integers")]
    peers = {
        row.case.removeprefix("beside "): row.value
        for row in read("pack")
        if row.system.startswith("NNCodec") and row.quantity == "size"
    }
    lines = [
        "| network, step | range ANS | `--max` | smaller by | than NNCodec's coder by |",
        "| --- | --- | --- | --- | --- |",
    ]
    for case in dict.fromkeys(row.case for row in rows):
        found = {(row.system, row.quantity): row for row in rows if row.case == case}
        bits = found["max", "bits per weight"]
        peer = peers.get(case.removeprefix("integers "))
        cells = [
            case.removeprefix("integers "),
            _number(found.get(("range ANS", "bits per weight")), 1, "{:.3f}"),
            _number(found.get(("max", "bits per weight")), 1, "{:.3f}"),
            _number(found.get(("max", "saved")), 100, "{:.1f} %"),
            f"{100 * (1 - bits.value * bits.samples / 8 / peer):.1f} %" if peer else "-",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table_pack_speed(name: str = "pack", digits: int = 0) -> str:
    """One line for each network and direction."""
    lines = ["| network, step | | MB/s of fp32 | range of 5 runs |", "| --- | --- | --- | --- |"]
    for row in (row for row in read(name) if row.case.startswith("speed")):
        spread = f"{row.low:.{digits}f} to {row.high:.{digits}f}" if row.low is not None else ""
        case = row.case.removeprefix("speed ")
        lines.append(f"| {case} | {row.quantity} | {row.value:.{digits}f} | {spread} |")
    return "\n".join(lines)


def table_pack_updates() -> str:
    """One line for each pair of files: the update's part of the new file, and what others make."""
    rows = [row for row in read("pack") if row.case.startswith(("moved", "tuned", "file"))]
    others = ("zstd --patch-from", "xdelta3", "bsdiff")
    lines = [
        "| pair | new file, B | update, B | part | zstd --patch-from | xdelta3 | bsdiff "
        "| best of them, packed | top-1, old and new |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case in dict.fromkeys(row.case for row in rows):
        found = {(row.system, row.quantity): row for row in rows if row.case == case}
        part = "update / whole"
        packed = [found[other, part] for other in others if (other, part) in found]
        scores = [found.get((system, "top-1")) for system in ("before", "after")]
        cells = [
            case,
            _number(found.get(("lilliput, whole", "size")), 1, "{:,.0f}"),
            _number(found.get(("lilliput", "size")), 1, "{:,.0f}"),
            _number(found.get(("lilliput", part)), 100, "{:.1f} %"),
            *(_number(found.get((f"{o}, unpacked", part)), 100, "{:.1f} %") for o in others),
            _number(min(packed, key=lambda row: row.value, default=None), 100, "{:.1f} %"),
            ", ".join(_number(score, 100, "{:.2f} %") for score in scores if score) or "-",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table_pack_attacks() -> str:
    """One line for each outcome."""
    rows = [row for row in read("pack") if row.case.startswith("attacks")]
    lines = ["| what | files | updates |", "| --- | --- | --- |"]
    cases = ("attacks", "attacks on updates")
    whole = [next((row.samples for row in rows if row.case == case), 0) for case in cases]
    lines.append("| all | " + " | ".join(f"{count:,}" for count in whole) + " |")
    for quantity in dict.fromkeys(row.quantity for row in rows):
        found = [
            next((row for row in rows if (row.case, row.quantity) == (case, quantity)), None)
            for case in cases
        ]
        form = "{:.3f} s" if quantity == "slowest" else "{:,.0f}"
        cells = [quantity, *(_number(row, 1, form) for row in found)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table_pack_beside() -> str:
    """One line for each network and step: bytes and speed beside NNCodec's arithmetic coder."""
    rows = [row for row in read("pack") if row.case.startswith("beside")]
    lines = [
        "| network, step | B | NNCodec, B | of it | worst tensor | decoding, times as fast "
        "| from file to tensors |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case in dict.fromkeys(row.case for row in rows):
        found = {(row.system.split()[-1], row.quantity): row for row in rows if row.case == case}
        peer = next(row for row in rows if row.case == case and row.system.startswith("NNCodec"))
        cells = [
            case.removeprefix("beside "),
            _number(found.get(("lilliput", "size")), 1, "{:,.0f}"),
            _number(peer, 1, "{:,.0f}"),
            _number(found.get(("lilliput", "size / NNCodec's")), 100, "{:.1f} %"),
            _number(found.get(("lilliput", "worst tensor")), 100, "{:.1f} %"),
            _times(found.get(("alone", "times as fast as NNCodec"))),
            _times(found.get(("lilliput", "times as fast as NNCodec"))),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _times(row: Row | None) -> str:
    if row is None or row.low is None or row.high is None:
        return "-"
    return f"{row.value:.1f} ({row.low:.1f} to {row.high:.1f})"


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
    tables = (
        (README, "cifar10", table_cifar10),
        (README, "speed", table_speed),
        (QUANTIZE, "quantize", table_quantize),
        (MICROCONTROLLERS, "microcontroller", table_microcontroller),
        (MICROCONTROLLERS, "packed", table_packed),
        (MICROCONTROLLERS, "spoken_digits", table_spoken_digits),
        (PACK, "pack files", table_pack_files),
        (PACK, "pack smaller", table_pack_smaller),
        (PACK, "pack quality", table_pack_quality),
        (PACK, "pack train", table_pack_train),
        (PACK, "pack integers", table_pack_integers),
        (PACK, "pack beside", table_pack_beside),
        (PACK, "pack speed", table_pack_speed),
        (PACK, "pack max", table_pack_max),
        (PACK, "pack max speed", partial(table_pack_speed, "pack_max", 1)),
        (PACK, "pack updates", table_pack_updates),
        (PACK, "pack attacks", table_pack_attacks),
        (TECHNIQUES, "techniques", table_techniques),
        (TECHNIQUES, "each", table_each),
        (TECHNIQUES, "structures", table_structures),
        (COMPARE, "compare", table_compare),
    )
    for page, name, make in tables:
        text = page.read_text()
        pattern = rf"(<!-- results: {name} -->\n).*?(<!-- end -->)"
        page.write_text(
            re.sub(pattern, lambda m, make=make: f"{m[1]}{make()}\n{m[2]}", text, flags=re.S)
        )


if __name__ == "__main__":
    main()
